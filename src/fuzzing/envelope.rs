//! What the Functions host sends, to each of the three functions.

use super::notice::judge;
use super::{assert_harmless, plant};
use crate::handler::{Function, Trigger};

/// Longer than any sentence of ours about an envelope: of its content nothing is repeated.
const LONGEST_FAULT: usize = 200;

/// An envelope is taken or refused, and what is said of it holds nothing of it.
pub fn envelope(data: &[u8]) {
    // Bytes that are no text go in as they are.
    let planted = std::str::from_utf8(data).map(|text| plant(text).into_bytes());
    let data = planted.as_deref().unwrap_or(data);
    for function in [Function::RotateKeys, Function::OnKeyNotice, Function::OnAlert] {
        match function.trigger(data) {
            Ok(Trigger::Timer(_)) => {}
            Ok(Trigger::Events(events)) => judge(&events, data.len()),
            Err(malformed) => {
                let said = malformed.to_string();
                assert!(said.len() <= LONGEST_FAULT, "{said}");
                assert_harmless(&said);
            }
        }
    }
}
