//! `simulate` and the program together: the command's own arguments, and what passes between the two over HTTP.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly, its helpers too")]

mod command_line;
mod webhook;
