//! Consumers that can only be moved together, and are configured to be in different waves: only Azure shows who reads what.

use super::collect::InstanceFacts;
use super::finding::{Check, Finding};
use crate::report::text::InWords;
use rekey_core::plan::{BlockedBy, WaveOrder};

pub(super) fn check(instance: &InstanceFacts<'_>) -> Vec<Finding> {
    let Some(Ok(seen)) = &instance.as_checked else { return Vec::new() };
    let differ = WaveOrder::of(seen, &instance.config.policy).differ;
    if differ.is_empty() {
        return Vec::new();
    }
    let what = BlockedBy::WavesDiffer(differ).in_words();
    let why = "no app is moved to another key until then; who holds an invalid one is repaired all the same";
    vec![Finding::error(Check::Consumer, &instance.config.id, what, why).of(&instance.config.id)]
}
