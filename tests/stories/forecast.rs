//! What is foreseen is what is done: the steps of a forecast against those of the run that follows it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::common::{DAY, HOUR, MINUTE, Story};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use embedded_azure::{Fault, FaultKind};
use rekey_core::intent::Intent;
use rekey_core::journal::{Entry, Event};
use rekey_core::model::KeyType;
use rekey_core::plan::{Decision, Forecast, Step, forecast};
use rekey_core::policy::FirstRotation;
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::Preview;

/// A step by its name and key, and when it is over.
type Done = (&'static str, KeyType, DateTime<Utc>);

/// How far a step may be from when it was foreseen: what Azure and the network take is not the same each time.
fn tolerance() -> TimeDelta {
    TimeDelta::minutes(2)
}

async fn preview(story: &Story) -> Preview {
    let deadline = story.clock.now() + TimeDelta::minutes(1);
    story.rekey().preview(&story.config.instances[0], deadline).await.unwrap()
}

async fn foresee(story: &Story, asked: bool) -> Forecast {
    let Preview { snapshot, journal, .. } = preview(story).await;
    forecast(&snapshot, &journal, &story.config.instances[0].policy, story.clock.now(), asked)
}

/// The steps of a forecast, each with when the next one begins. Following a regeneration is a part of it.
fn foreseen(forecast: &Forecast) -> Vec<Done> {
    let ends = forecast.steps.iter().skip(1).map(|step| step.at).chain([forecast.over]);
    let steps = forecast.steps.iter().zip(ends).filter_map(|(foreseen, over)| match &foreseen.decision {
        Decision::Do(step @ (Step::Regenerate(key_type) | Step::Verify(key_type))) => {
            Some((step.name(), *key_type, over))
        }
        Decision::Do(Step::Follow(key_type)) => Some(("regenerate", *key_type, over)),
        Decision::Do(step @ Step::Repoint { to, .. }) => Some((step.name(), *to, over)),
        _ => None,
    });
    steps.collect()
}

/// The steps that a journal tells of behind its first entries. Apps that are written in several goes are one step.
fn done(history: &[Entry], before: usize) -> Vec<Done> {
    let mut steps: Vec<Done> = Vec::new();
    let mut regenerated = None;
    for (number, Entry { at, event }) in history.iter().enumerate() {
        match event {
            Event::RegenerationIntended { key_type } => regenerated = Some(*key_type),
            _ if number < before => {}
            Event::Regenerated { .. } => steps.push(("regenerate", regenerated.unwrap(), *at)),
            Event::Verified { key_type } => steps.push(("verify", *key_type, *at)),
            Event::Repointed { key_type, repaired, .. } => {
                steps.push((if *repaired { "mend" } else { "repoint" }, *key_type, *at));
            }
            _ => {}
        }
    }
    steps.dedup_by(|later, first| (later.0, later.1) == (first.0, first.1));
    steps
}

/// Foresees, runs to the end, and compares; what was foreseen.
async fn holds(story: &Story, now: bool) -> Forecast {
    let before = story.journal().await.history().count();
    let forecast = foresee(story, now).await;
    let reports = story.run(Intent::operator(now), 2 * DAY).await;
    let history: Vec<Entry> = story.journal().await.history().cloned().collect();
    let (foreseen, done) = (foreseen(&forecast), done(&history, before));
    let bare = |steps: &[Done]| steps.iter().map(|(name, key, _)| (*name, *key)).collect::<Vec<_>>();
    assert_eq!(bare(&foreseen), bare(&done), "{forecast:#?}\n{reports:#?}");
    for ((name, key_type, expected), (.., found)) in foreseen.iter().zip(&done) {
        let off = (*expected - *found).abs();
        assert!(off < tolerance(), "{name} {key_type}: foreseen at {expected}, done at {found}");
    }
    assert_eq!(
        matches!(forecast.end, Some(Decision::Settled { .. })),
        settled(&reports),
        "{:?}, {reports:#?}",
        forecast.end
    );
    forecast
}

#[tokio::test]
async fn a_first_rotation_is_foreseen_with_its_times_and_restarts() {
    let story = Story::new().await;
    let first = holds(&story, false).await;
    assert_eq!(foreseen(&first).len(), 4, "regenerate, verify, repoint, regenerate: {first:#?}");
    let length = first.over - super::common::start();
    let grace = delta(story.config.instances[0].policy.grace);
    let (least, most) = (grace * 2, grace * 2 + TimeDelta::minutes(10));
    assert!(length > least && length < most, "two graces: {length}");
    assert_eq!(first.restarts().into_values().collect::<Vec<_>>(), [1, 1, 1], "each app once");

    let second = holds(&story, true).await;
    assert_eq!(all_hold(&story), PRIMARY);
    assert!(second.over - second.steps[0].at < grace + TimeDelta::minutes(10), "one grace: {second:#?}");

    let idle = holds(&story, false).await;
    assert!(idle.is_idle() && idle.steps.is_empty(), "{idle:#?}");
    story.clock.advance(31 * DAY);
    assert_eq!(foreseen(&holds(&story, false).await).len(), 4, "due by its age");
}

#[tokio::test]
async fn what_is_asked_of_a_service_that_was_never_seen_is_one_rotation() {
    for first_rotation in [FirstRotation::Now, FirstRotation::WhenDue] {
        let mut story = Story::new().await;
        story.config.instances[0].policy.first_rotation = first_rotation;
        holds(&story, true).await;
        let history: Vec<Entry> = story.journal().await.history().cloned().collect();
        let asked = history.iter().filter(|entry| matches!(entry.event, Event::RotationRequested { .. }));
        assert_eq!(asked.count(), 1, "{first_rotation:?}");
        let told = story.told.lock().unwrap().clone();
        assert_eq!(told.iter().filter(|line| line.contains("rotation requested")).count(), 1, "{told:#?}");
    }
}

#[tokio::test]
async fn a_repair_is_foreseen_before_everything_else() {
    for keys in [&[SECONDARY][..], &KeyType::ALL] {
        let story = Story::new().await;
        story.watch(6 * HOUR).await;
        story.force("sr-demo", keys).unwrap();
        story.clock.advance(MINUTE);
        let forecast = holds(&story, false).await;
        assert_eq!(foreseen(&forecast)[0].0, "mend", "{forecast:#?}");
        story.force("sr-demo", keys).unwrap();
        story.clock.advance(MINUTE);
        holds(&story, true).await;
    }
}

#[tokio::test]
async fn the_rest_of_a_rotation_is_foreseen_wherever_it_stopped() {
    for seconds in [4, 8, 30, 80, 90, 120] {
        let story = Story::new().await;
        story.run(Intent::operator(false), MINUTE).await;
        story.clock.advance(story.config.instances[0].policy.grace);
        story.run(Intent::operator(false), Duration::from_secs(seconds)).await;
        holds(&story, false).await;
    }
}

#[tokio::test]
async fn consumers_on_both_keys_are_foreseen_to_be_united() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let other = story.key("sr-demo", PRIMARY);
    let string = story.sim.settings("chat-func").unwrap()["AzureSignalRConnectionString"].clone();
    let held = story.held("chat-func", "AzureSignalRConnectionString");
    let string = string.replace(held.expose(), other.expose());
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(&string)).unwrap();
    assert!(holds(&story, false).await.is_idle(), "both keys are good");
    story.clock.advance(40 * DAY);
    holds(&story, false).await;
}

#[tokio::test]
async fn what_stays_out_of_sight_ends_the_forecast_as_blocked() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story.sim.fault(Fault {
        operation: "WebApps_ListApplicationSettings".into(),
        resource: Some("chat-func".into()),
        skip: 0,
        count: 1000,
        kind: FaultKind::Forbidden,
        retry_after: None,
        delay_ms: 0,
    });
    let forecast = holds(&story, false).await;
    assert!(matches!(forecast.end, Some(Decision::Blocked(_))), "{forecast:#?}");
    assert_eq!(foreseen(&forecast).len(), 1, "the others are repaired");
}

/// What the summary says of a repair is what is true at its end, with the time that the repair itself took.
#[tokio::test]
async fn a_run_that_repairs_and_goes_on_tells_which_key_apps_hold_by_then() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &[all_hold(&story)]).unwrap();
    story.clock.advance(MINUTE);
    let reports = story.run(Intent::operator(true), DAY).await;
    let (summary, held) = (reports[0].summary(), all_hold(&story));
    assert!(settled(&reports), "{summary}");
    assert!(summary.contains(&format!("now hold the {held} key")), "{summary}");
    assert!(!summary.contains(&format!("now hold the {} key", held.other())), "{summary}");
    let (took, repaired_in) = (reports[0].took, reports[0].repaired_in.unwrap());
    assert!(took > HOUR && repaired_in < MINUTE, "it was repaired in {repaired_in:?} of {took:?}");
    let lines = reports[0].lines();
    let repaired = lines.iter().find(|line| line.contains("in the place of an invalid one")).unwrap();
    assert!(repaired.contains(&format!("given the {} key", held.other())), "its own line: {repaired}");
}

/// A repair that Azure refuses is no secret between two runs: who is cut off is named, and that it was tried.
#[tokio::test]
async fn a_repair_that_was_refused_is_told_until_it_succeeds() {
    let story = Story::new().await;
    story.tick().await;
    for operation in ["WebApps_UpdateApplicationSettings", "WebApps_UpdateApplicationSettingsSlot"] {
        story.sim.fault(Fault::new(operation, FaultKind::Forbidden).times(1000));
    }
    story.force("sr-demo", &KeyType::ALL).unwrap();
    assert!(story.tick().await[0].ending.is_failure());
    story.clock.advance(5 * MINUTE);
    let trouble = preview(&story).await.trouble().join("\n");
    assert!(
        trouble.contains("are being refused") && trouble.contains("did not manage to give the "),
        "{trouble}"
    );
    story.sim.clear_faults();
    story.tick().await;
    assert_eq!(preview(&story).await.trouble(), Vec::<String>::new());
}

/// A write that Azure refuses leaves nobody stale, and is no good state all the same.
#[tokio::test]
async fn what_was_refused_and_is_still_to_be_done_is_trouble() {
    let refused = |operation: &str| Fault {
        operation: operation.into(),
        resource: None,
        skip: 0,
        count: 1000,
        kind: FaultKind::Forbidden,
        retry_after: None,
        delay_ms: 0,
    };
    for (operation, says) in [
        ("WebApps_UpdateApplicationSettings", "did not manage to give the Secondary key to these apps"),
        ("SignalR_RegenerateKey", "regenerating the Secondary key failed at"),
    ] {
        let story = Story::new().await;
        story.tick().await;
        story.clock.advance(story.config.instances[0].policy.grace);
        assert_eq!(preview(&story).await.trouble(), Vec::<String>::new(), "nothing was tried yet");
        story.sim.fault(refused(operation));
        if operation.starts_with("WebApps") {
            story.sim.fault(refused("WebApps_UpdateApplicationSettingsSlot"));
        }
        let reports = story.tick().await;
        assert!(reports[0].ending.is_failure() && reports[0].cut_off.is_empty(), "{reports:#?}");
        story.clock.advance(5 * MINUTE);
        let trouble = preview(&story).await.trouble();
        assert!(trouble.len() == 1 && trouble[0].contains(says), "{trouble:?}");
        story.sim.clear_faults();
        story.watch(8 * HOUR).await;
        assert_eq!(preview(&story).await.trouble(), Vec::<String>::new(), "{operation}");
    }
}
