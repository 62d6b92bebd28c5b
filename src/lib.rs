//! Rotation of the access keys of Azure SignalR Service, without a call that is refused because of a key.

pub mod act;
pub mod arm;
pub mod cause;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod credentials;
pub mod data_plane;
#[cfg(feature = "simulator")]
pub mod demo;
pub mod doctor;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod http;
pub mod init;
pub mod journal;
pub mod model;
pub mod notice;
pub mod notify;
pub mod observe;
pub mod panics;
pub mod pass;
pub mod plan;
pub mod runner;
pub mod schedule;
#[cfg(feature = "simulator")]
pub mod sim;
pub mod store;
pub mod telemetry;
