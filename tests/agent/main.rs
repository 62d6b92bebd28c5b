//! The agent as a real process, on files of a real folder, against the embedded Azure over real HTTP.
#![cfg(all(unix, feature = "simulator"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
mod config;
mod faults;
mod going_back;
mod killed;
mod machine;
mod nginx;
mod receiver;
mod texts;
