//! A crash at every point. Each scenario is played once undisturbed, and then once for every request that it made and
//! every place around it: the worker dies there, and fresh ones carry on. The same with every request repeated, and
//! with every answer lost.
//!
//! Start at [`at_every_request`]; `interceptor` lets a worker die, `scenario` plays, `watch` and `assertions` judge.
#![cfg(feature = "simulator")]
#![allow(unreachable_pub, reason = "the modules of a test binary")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail loudly, its helpers too"
)]

mod assertions;
#[path = "../common/mod.rs"]
mod common;
mod interceptor;
mod kill;
mod scenario;
mod watch;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use common::{CONSUMERS, count};
use futures::FutureExt;
use interceptor::{Mishap, OTHERS, STOPS};
use rekey_core::journal::Event;
use rekey_core::model::KeyType;
use scenario::{Journals, Played, Scenario, play, play_in, play_with};

/// Which of the mishaps of a scenario are played.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Points {
    /// All at every request.
    Every,
    /// Those that can come to something else than the one before: [`Interceptor::deaths`], and what writes that
    /// arrive twice do.
    Distinct,
}

/// Plays a scenario once for every request and every mishap, judges each, and tells how many there were.
async fn at_every_request(scenario: Scenario, journals: Journals, mishaps: &[Mishap], points: Points) {
    let undisturbed = Box::pin(play(scenario, journals, None)).await;
    undisturbed.judge(0);
    let (requests, deaths) = (undisturbed.interceptor.passed(), undisturbed.interceptor.deaths());
    let is_distinct = |nth: usize, kind: &str, mishap: Mishap| match mishap {
        Mishap::Lost | Mishap::OthersBefore | Mishap::OthersBetween => true,
        Mishap::Twice => interceptor::writes(kind),
        Mishap::StopBefore | Mishap::StopBetween | Mishap::StopAfter => deaths.contains(&(nth, mishap)),
    };
    let mut played: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut wrong, mut the_same) = (Vec::new(), 0);
    for (nth, kind) in (1..).zip(&requests) {
        for mishap in mishaps {
            if points == Points::Distinct && !is_distinct(nth, kind, *mishap) {
                the_same += 1;
                continue;
            }
            let tried =
                AssertUnwindSafe(Box::pin(one(scenario, journals, (nth, *mishap)))).catch_unwind().await;
            match tried {
                Ok(()) => *played.entry(kind).or_default() += 1,
                Err(_) => wrong.push(format!("{mishap:?} at {kind}, request {nth}")),
            }
        }
    }
    let covered: usize = played.values().sum();
    println!(
        "{scenario:?}, {journals:?}: {} requests, {covered} points {played:?}, {the_same} as one of these",
        requests.len()
    );
    assert!(wrong.is_empty(), "{scenario:?}: {wrong:#?}");
    assert!(covered + the_same >= mishaps.len() * requests.len() && covered > 0);
}

async fn one(scenario: Scenario, journals: Journals, mishap: (usize, Mishap)) {
    let played = play(scenario, journals, Some(mishap)).await;
    assert!(played.interceptor.met(), "no such request: {mishap:?}");
    // A regeneration that arrives twice is accepted and then refused as a conflict. Who hears the refusal alone takes
    // the new key for somebody else's, and makes one of its own. Nothing else costs a key.
    played.judge(usize::from(mishap.1 == Mishap::Twice));
}

async fn a_crash(scenario: Scenario) {
    at_every_request(scenario, Journals::Memory, &STOPS, Points::Distinct).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_first_adoption() {
    a_crash(Scenario::FirstAdoption).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation() {
    a_crash(Scenario::DueRotation).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_whose_keys_are_listed_late() {
    a_crash(Scenario::DueAndListedLate).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_the_retirement_of_the_key_that_was_left() {
    a_crash(Scenario::Retirement).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_a_forced_regeneration() {
    a_crash(Scenario::ForcedKey).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_a_forced_regeneration_of_both_keys() {
    a_crash(Scenario::ForcedKeys).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_uniting_split_consumers() {
    a_crash(Scenario::SplitConsumers).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_while_an_app_cannot_be_read() {
    a_crash(Scenario::ForcedUnreadable).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_while_an_app_cannot_be_written() {
    a_crash(Scenario::ForcedUnwritable).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_where_a_write_is_lost() {
    a_crash(Scenario::ForcedUnwritten).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_with_a_container_app() {
    a_crash(Scenario::DueContainers).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_a_container_app_and_a_job() {
    a_crash(Scenario::ForcedContainers).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_under_a_lock() {
    a_crash(Scenario::ForcedLocked).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_where_a_string_is_in_a_vault() {
    a_crash(Scenario::ForcedReference).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_where_a_setting_holds_the_bare_key() {
    a_crash(Scenario::ForcedBareKey).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_while_an_app_is_not_found() {
    a_crash(Scenario::ForcedMoved).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_adopting_with_an_id_that_leads_nowhere() {
    a_crash(Scenario::AdoptionMistyped).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_of_a_secret() {
    a_crash(Scenario::DueVault).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_who_refers_to_a_secret() {
    a_crash(Scenario::ForcedVault).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_of_a_key_value() {
    a_crash(Scenario::DueKeyValue).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_who_refers_to_a_key_value() {
    a_crash(Scenario::ForcedKeyValue).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_of_what_a_container_app_fetches_from_a_vault() {
    a_crash(Scenario::DueContainerVault).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_what_a_container_app_fetches_from_a_vault() {
    a_crash(Scenario::ForcedContainerVault).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_with_a_job() {
    a_crash(Scenario::DueJob).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_with_a_static_web_app() {
    a_crash(Scenario::DueStatic).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_repairing_a_static_web_app() {
    a_crash(Scenario::ForcedStatic).await;
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_due_rotation_that_others_report_and_acknowledge() {
    a_crash(Scenario::DueReported).await;
}

/// A machine takes the key that there is for it and reports it in the midst of a run, beside every request of that. While the run
/// has the lease the report is turned away, and is sent again.
#[tokio::test]
async fn a_report_comes_in_at_every_point_of_a_due_rotation() {
    let scenario = Scenario::DueReported;
    at_every_request(scenario, Journals::Memory, &OTHERS, Points::Every).await;
    // Where the run has just given its lease back the machine is heard sooner than when it is waited for.
    let reported = |played: &Played| {
        let mut history = played.journals[1].history();
        history
            .find(|entry| played.began < entry.at && matches!(entry.event, Event::Reported { .. }))
            .unwrap()
            .at
    };
    let undisturbed = play(scenario, Journals::Memory, None).await;
    let requests = undisturbed.interceptor.passed();
    let mut sooner = 0;
    for (before, _) in requests.iter().enumerate().filter(|(_, kind)| **kind == "journal write") {
        let played = play(scenario, Journals::Memory, Some((1 + before, Mishap::OthersBetween))).await;
        sooner += usize::from(reported(&played) < reported(&undisturbed));
    }
    assert!(sooner > 0, "no report was taken but where it is waited for");
}

#[tokio::test]
async fn a_crash_at_every_point_of_a_wave_that_is_rolled_back() {
    a_crash(Scenario::RolledBack).await;
}

#[tokio::test]
async fn every_request_arrives_twice() {
    for scenario in Scenario::ALL {
        at_every_request(scenario, Journals::Memory, &[Mishap::Twice], Points::Distinct).await;
    }
}

#[tokio::test]
async fn every_answer_is_lost_once() {
    for scenario in Scenario::ALL {
        at_every_request(scenario, Journals::Memory, &[Mishap::Lost], Points::Distinct).await;
    }
}

/// Half an hour: that what is left out above comes to the same.
#[tokio::test]
#[ignore = "takes half an hour; `cargo test --test crash -- --ignored`"]
async fn every_point_of_every_scenario() {
    for scenario in Scenario::ALL {
        at_every_request(scenario, Journals::Memory, &STOPS, Points::Every).await;
        at_every_request(scenario, Journals::Memory, &[Mishap::Twice], Points::Every).await;
    }
}

/// Where ARCHITECTURE.md tells how many points there are, it tells what there is.
#[tokio::test]
async fn the_figures_of_the_architecture_are_these() {
    let words: String =
        include_str!("../../ARCHITECTURE.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut points: BTreeMap<&str, usize> = BTreeMap::new();
    let mut told = Vec::new();
    let mut total = 0;
    for scenario in Scenario::ALL {
        let requests = play(scenario, Journals::Memory, None).await.interceptor.passed();
        total += requests.len();
        for kind in &requests {
            *points.entry(interceptor::row(kind)).or_default() += STOPS.len();
        }
        told.push((scenario.words(), STOPS.len() * requests.len()));
    }
    let retirement = play(Scenario::Retirement, Journals::Azurite, None).await.interceptor.passed();
    for kind in &retirement {
        *points.entry(interceptor::row(kind)).or_default() += STOPS.len();
    }
    let rows = points.into_iter().map(|(row, points)| match row {
        // One row for each of the three places.
        "before the regeneration is sent" => (row, points / STOPS.len()),
        _ => (row, points),
    });
    let rows = rows.map(|(row, points)| (format!("| {row}"), format!("| {points} |")));
    // The row ends where the next begins.
    let said = |(row, points): &(String, String)| {
        let rest = words.split_once(row.as_str()).and_then(|(_, rest)| rest.split("| |").next());
        rest.is_some_and(|rest| format!("{rest}|").contains(points.as_str()))
    };
    let missing: Vec<_> = rows.filter(|row| !said(row)).collect();
    let figures = told.into_iter().map(|(words, points)| format!("{words} {points}"));
    let totals = [
        format!("{} scenarios", Scenario::ALL.len()),
        format!("({total} points)"),
        format!("in Azurite ({})", STOPS.len() * retirement.len()),
    ];
    let lacking: Vec<_> = figures.chain(totals).filter(|figure| !words.contains(figure.as_str())).collect();
    assert!(missing.is_empty() && lacking.is_empty(), "{missing:#?} {lacking:#?}");
}

/// Blob Storage has a clock, conditions and errors of its own.
#[tokio::test]
async fn a_crash_at_every_point_of_a_retirement_with_the_journal_in_blob_storage() {
    at_every_request(Scenario::Retirement, Journals::Azurite, &STOPS, Points::Distinct).await;
}

/// What the journal tells where the worker died around a regeneration, in which nothing may be sent blindly.
#[tokio::test]
async fn a_regeneration_is_sent_again_only_where_it_was_never_sent() {
    let undisturbed = play(Scenario::Retirement, Journals::Memory, None).await;
    let sent =
        1 + undisturbed.interceptor.passed().iter().position(|kind| *kind == "regeneration sent").unwrap();
    for (stop, failed, confirmed) in
        [(Mishap::StopBefore, 1, true), (Mishap::StopBetween, 0, false), (Mishap::StopAfter, 0, false)]
    {
        let played = play(Scenario::Retirement, Journals::Memory, Some((sent, stop))).await;
        played.judge(0);
        let [_, journal] = &played.journals;
        let came_to_nothing = count(journal, |event| matches!(event, Event::RegenerationFailed { .. }));
        assert_eq!(came_to_nothing, failed, "{stop:?}");
        let mut told = journal.history().filter_map(|entry| match entry.event {
            Event::Regenerated { confirmed, .. } => Some(confirmed),
            _ => None,
        });
        assert_eq!(told.next_back(), Some(confirmed), "{stop:?}");
    }
}

/// The judges themselves are not blind.
#[tokio::test]
async fn a_planted_fault_is_found() {
    let mut story = Scenario::DueRotation.arrange().await;
    story.config.instances[0].policy.grace = Duration::ZERO;
    let played = play_in(story, Scenario::DueRotation, Journals::Memory, None).await;
    assert!(found(&played), "clients are refused when the grace is missing");

    let played = play(Scenario::DueRotation, Journals::Memory, None).await;
    assert!(!found(&played));
    played.story.sim.edit_setting("chat-func", CONSUMERS[2].1, Some("{primary:sr-demo}")).unwrap();
    assert!(found(&played), "consumers hold different keys");
    played.story.force("sr-demo", &[KeyType::Primary]).unwrap();
    played.watch.look();
    assert!(!played.watch.lost().is_empty() && found(&played), "a valid key was taken away");
}

/// A worker that leaves out the app which it cannot read says that all is well, and it is not.
#[tokio::test]
async fn a_run_that_settles_although_something_is_unknown_is_found() {
    let mut story = Scenario::ForcedUnreadable.arrange().await;
    let configured = story.config.clone();
    story.config.instances[0].apps.retain(|app| app.id.name() != "chat-func");
    let played =
        Box::pin(play_with(story, Scenario::ForcedUnreadable, Journals::Memory, None, &configured)).await;
    let told = |word: &str| played.untrue.iter().any(|untrue| untrue.contains(word));
    assert!(told("chat-func is answered 403") && told("chat-func signs with a key"), "{:#?}", played.untrue);
    assert!(found(&played));
}

fn found(played: &Played) -> bool {
    std::panic::catch_unwind(AssertUnwindSafe(|| played.judge(0))).is_err()
}
