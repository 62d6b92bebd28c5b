//! Azure over HTTP: one client for all, as whom it is asked, Azure Resource Manager, and the service's own API.

pub mod arm;
pub mod credentials;
pub mod data_plane;
pub mod http;
