//! Zero-downtime rotation of the access keys of Azure SignalR Service.

pub mod clock;
pub mod config;
pub mod model;
#[cfg(feature = "simulator")]
pub mod sim;
