//! Zero-downtime rotation of the access keys of Azure SignalR Service.

pub mod clock;
pub mod config;
pub mod host;
pub mod model;
pub mod panics;
pub mod telemetry;
