//! Rotation of the access keys of Azure SignalR Service, without a call that is refused because of a key.

pub mod agent;
pub mod azure;
mod bounded;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
#[cfg(feature = "simulator")]
pub mod demo;
pub mod doctor;
pub mod engine;
pub mod handler;
pub mod init;
mod loopback;
pub mod metrics;
pub mod overview;
pub mod panics;
pub mod report;
pub mod schedule;
pub mod store;
mod terminal;
