//! Stories told over real HTTP between the real client, azure_identity and the simulated Azure, on a clock that passes
//! hours in milliseconds. Each ends by asking what became of the world.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod mending;
mod rotation;
mod settings;

use common::{CONSUMERS, Story};
use signalr_rekey::model::KeyType;
use signalr_rekey::pass::{Ending, PassReport};
use signalr_rekey::plan::Decision;

const PRIMARY: KeyType = KeyType::Primary;

const SECONDARY: KeyType = KeyType::Secondary;

fn settled(reports: &[PassReport]) -> bool {
    let is =
        |report: &PassReport| matches!(report.ending, Ending::Decided(Decision::Settled { next: Some(_) }));
    reports.iter().all(is)
}

/// Every consumer of the default world holds the same valid key; which.
fn all_hold(story: &Story) -> KeyType {
    let holds = |(name, setting): (&str, &str)| {
        let key = story.held(name, setting);
        KeyType::ALL.into_iter().find(|key_type| story.key("sr-demo", *key_type) == key)
    };
    let held: Vec<_> = CONSUMERS.into_iter().map(holds).collect();
    assert!(held.iter().all(|key_type| *key_type == held[0]), "{held:?}");
    held[0].expect("a valid key")
}
