//! Zero-downtime rotation of the access keys of Azure SignalR Service.

pub mod arm;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod data_plane;
pub mod http;
pub mod model;
