//! What people and machines are told: the text of causes, the webhook, the log.

pub mod cause;
pub mod json;
pub mod notify;
mod run;
pub mod telemetry;
pub(crate) mod text;

pub use run::{Ending, LostOperation, RunEvent, RunReport};
