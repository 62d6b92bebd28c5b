//! Storms, bounded: nobody is refused but by what others did, the same seed plays the same storm, and the storm finds
//! out a worker that is wrong.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are for people")]

use std::time::Duration;

use rekey_core::policy::Policy;
use signalr_rekey::demo::storm::{StormOptions, StormSummary, storm};

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

#[test]
fn a_worker_that_leaves_out_what_it_cannot_read_is_found_out() {
    let summary = played(&StormOptions { blind: true, ..StormOptions::new(3, 12) });
    let found = |violation: &&String| violation.contains("ended well") && violation.contains("is answered");
    assert!(
        summary.violations.iter().any(|violation| found(&violation)),
        "settled although unknown: {summary}"
    );
}

#[test]
fn a_worker_without_a_grace_is_found_out() {
    let policy = Policy { grace: Duration::ZERO, ..Policy::default() };
    let summary = played(&StormOptions { policy, ..StormOptions::new(6, 8) });
    assert!(summary.refused_unexplained > 0, "client tokens outlive the key that signed them: {summary}");
    assert!(summary.violations.iter().any(|violation| violation.contains("without a cause")), "{summary}");
}
