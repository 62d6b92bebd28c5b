//! Zero-downtime rotation of the access keys of Azure SignalR Service.

pub mod act;
pub mod arm;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod data_plane;
pub mod http;
pub mod journal;
pub mod model;
pub mod observe;
pub mod pass;
pub mod plan;
pub mod store;
