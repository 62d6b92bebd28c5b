//! What decides: ids and keys, the policy, the journal, the decision, and what events mean.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no async. Start at [`plan::decide`].

pub mod calendar;
pub mod evidence;
pub mod intent;
pub mod journal;
pub mod model;
pub mod notice;
pub mod plan;
pub mod policy;
pub mod time;
