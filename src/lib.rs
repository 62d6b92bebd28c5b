//! Zero-downtime rotation of the access keys of Azure SignalR Service.

pub mod clock;
pub mod config;
pub mod journal;
pub mod model;
pub mod plan;
pub mod store;
