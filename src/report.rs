//! What people and machines are told: the text of causes, the webhook, the log.

pub mod cause;
pub mod notify;
pub mod telemetry;
pub mod text;

pub use text::InWords;
