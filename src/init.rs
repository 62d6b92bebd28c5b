//! Finds the instances of a resource group or subscription and the apps that hold their connection strings, and writes a
//! `rekey.toml` of it for the operator to review.
//!
//! Start at [`Found::look`]; [`write()`] is pure. What could not be read is said where it matters: an app that may not be
//! read may hold one.
//!
//! Guarantee: nothing that is written holds key material or a setting's value.

mod find;
mod write;

pub use find::{App, Found, Scope, ScopeError, Service, is_misnamed};
pub use write::write;
