//! How sentences for people name the file that configures this process.

use std::sync::OnceLock;

static NAMED: OnceLock<String> = OnceLock::new();

/// The name that was given, or `rekey.toml`.
#[must_use]
pub fn file_name() -> &'static str {
    NAMED.get().map_or("rekey.toml", String::as_str)
}

/// From now on, sentences name this file. The first call counts.
pub fn name_file(name: String) {
    let _ = NAMED.set(name);
}
