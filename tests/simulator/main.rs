//! Stories about the simulated Azure, told over real HTTP. The clock is virtual, so hours pass in milliseconds.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly, its helpers too")]

mod arm;
mod barriers;
mod command_line;
mod control;
mod data_plane;
mod deliveries;
mod event_grid;
mod faults;
mod harness;
mod identity;
mod references;
mod roles;
mod traffic;
mod truth;
mod webhook;
mod world;
