//! Stories told over real HTTP between the real client, azure_identity and the simulated Azure, on a clock that passes
//! hours in milliseconds. Each ends by asking what became of the world.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod app_configuration;
mod app_locks;
mod approval;
mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod container_apps;
mod evidence;
mod faults;
mod forecast;
mod refusals;
mod repairing;
mod reporters;
mod rotation;
mod settings;
mod static_web_apps;
mod tags;
mod texts;
mod unfinished;
mod unseen;
mod values;
mod vaults;
mod waves;
mod windows;
mod writers;

use common::{Story, all_hold, settled};
use rekey_core::model::KeyType;

const PRIMARY: KeyType = KeyType::Primary;

const SECONDARY: KeyType = KeyType::Secondary;
