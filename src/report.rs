//! What people and machines are told: the events of a run, every sentence, the text of causes, the webhook, the log.

pub mod cause;
pub mod json;
pub mod notify;
pub(crate) mod once;
mod run;
pub mod telemetry;
pub mod text;

pub use run::{Ending, LostOperation, RunEvent, RunReport};
pub use text::InWords;
