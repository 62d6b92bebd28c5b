//! `rekey.toml` as anybody may have written it.

use super::{assert_harmless, plant};
use crate::config::{Environment, load_from};

/// It is taken or refused, and no fault repeats a key that was pasted into it.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment: Environment = [("REKEY_STATE", "memory")].into_iter().collect();
    let Err(faults) = load_from(&plant(text), "rekey.toml", &environment) else { return };
    assert!(faults.iter().next().is_some(), "refused without a reason");
    let said = format!("{faults} {faults:?}");
    assert_harmless(&said);
    assert!(!said.to_lowercase().contains("accesskey="), "a connection string is repeated: {said}");
}
