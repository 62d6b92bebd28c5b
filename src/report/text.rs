//! Every sentence for people.

mod intent;
mod run;

pub(crate) use intent::{caution, fault, foreseen};
pub(crate) use run::{cut_off, watch};
