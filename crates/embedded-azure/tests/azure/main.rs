//! Stories about the embedded Azure, told over real HTTP. The clock is virtual, so hours pass in milliseconds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly, its helpers too")]

mod access;
mod activity_log;
mod app_configuration;
mod arm;
mod barriers;
mod buckets;
mod containers;
mod control;
mod data_plane;
mod deliveries;
mod event_grid;
mod faults;
mod harness;
mod identity;
mod jobs;
mod key_values_of_apps;
mod key_vault;
mod references;
mod resolution;
mod roles;
mod static_sites;
mod tls;
mod traffic;
mod world;
