//! Storms, bounded: nobody is refused but by what others did, the same seed plays the same storm, and the storm finds
//! out a worker that is wrong.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are for people")]

use std::time::Duration;

use rekey_core::policy::Policy;
use signalr_rekey::demo::storm::{Bent, Moves, StormOptions, StormSummary, storm};

fn played(options: &StormOptions) -> StormSummary {
    let summary = storm(options, |_| {}).unwrap();
    println!("{summary}");
    summary
}

fn holds(seed: u64, rotations: u64) -> StormSummary {
    let summary = played(&StormOptions::new(seed, rotations));
    assert_eq!(
        summary.violations,
        Vec::<String>::new(),
        "to see it again: signalr-rekey demo --storm --seed {seed} --rotations {rotations}"
    );
    assert!(summary.rotations >= rotations && summary.kills > 0 && summary.refused > 0, "{summary}");
    assert!(summary.judged > 100, "runs are compared with what is true: {summary}");
    let held = [
        "paused",
        "app that does not come back",
        "unblocked",
        "approved",
        "approved twice",
        "approval expired",
    ];
    for held in held {
        assert!(summary.faults.contains_key(held), "no rotation is held back so: {held}: {summary}");
    }
    let of_secrets = [
        "secret written anew",
        "secret written at the same time",
        "references fetched slowly",
        "note of what was fetched lost",
    ];
    for done in of_secrets {
        assert!(
            summary.faults.contains_key(done),
            "nobody does this to secrets and references: {done}: {summary}"
        );
    }
    let Moves { moved, moved_back, repaired } = summary.moves;
    assert!(moved > 100 && moved_back > 0 && repaired > 0, "who was given a key is judged: {summary}");
    summary
}

#[test]
fn the_storm_of_seed_1() {
    holds(1, 25);
}

#[test]
fn the_storm_of_seed_2() {
    holds(2, 25);
}

#[test]
fn the_storm_of_seed_3() {
    holds(3, 25);
}

#[test]
fn the_same_seed_plays_the_same_storm() {
    let play = |seed| played(&StormOptions::new(seed, 8)).without_time();
    let first = play(4);
    assert_eq!(play(4), first);
    assert_ne!(play(5).schedule, first.schedule);
}

/// Plays a storm whose workers are wrong, and wants that to be found out, in these words.
fn is_found_out(bent: Bent, seed: u64, words: &str) {
    let summary = played(&StormOptions { bent: Some(bent), ..StormOptions::new(seed, 12) });
    assert!(summary.violations.iter().any(|violation| violation.contains(words)), "{summary}");
}

#[test]
fn a_worker_that_leaves_out_what_it_cannot_read_is_found_out() {
    is_found_out(Bent::Blind, 3, "ended well");
}

#[test]
fn a_worker_that_knows_no_window_is_found_out() {
    is_found_out(Bent::AtAnyTime, 1, "no window is open");
}

#[test]
fn a_worker_that_asks_nobody_is_found_out() {
    is_found_out(Bent::Unasked, 1, "nobody has approved");
}

#[test]
fn a_worker_without_gates_is_found_out() {
    is_found_out(Bent::Ungated, 1, "has not come back");
}

#[test]
fn a_worker_without_a_grace_is_found_out() {
    let policy = Policy { grace: Duration::ZERO, ..Policy::default() };
    let summary = played(&StormOptions { policy, ..StormOptions::new(6, 8) });
    assert!(summary.refused_unexplained > 0, "client tokens outlive the key that signed them: {summary}");
    assert!(summary.violations.iter().any(|violation| violation.contains("without a cause")), "{summary}");
}
