//! Azure over HTTP: one client for all, as whom it is asked, Azure Resource Manager, and what is special to each kind of
//! service whose keys are rotated (`services`) and of consumer that holds them (`consumers`).

pub mod activity_log;
pub mod arm;
pub mod cloud;
pub mod consumers;
pub mod credentials;
pub mod data_plane;
pub mod discovery;
pub mod http;
pub mod rbac;
pub mod resources;
pub mod services;
pub mod tags;
