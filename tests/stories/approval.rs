//! Rotations that a person approves, and rotations that a person lets rest, over real HTTP on a clock that passes days.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::common::{DAY, HOUR, MINUTE, Story, count};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use rekey_core::model::{Fingerprint, Key, KeyType};
use rekey_core::notice;
use rekey_core::plan::{Decision, Due, WaitFor};
use rekey_core::policy::ApprovalPolicy;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::Lease;

async fn story() -> Story {
    let mut story = Story::new().await;
    story.config.instances[0].policy.approval = ApprovalPolicy::Required;
    story
}

/// What each of these runs waits for: the approval of one rotation.
fn asked(reports: &[RunReport]) -> Due {
    let due = |report: &RunReport| match &report.ending {
        Ending::Decided(Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. }) => due.clone(),
        other => panic!("{other:?}"),
    };
    let due: Vec<Due> = reports.iter().map(due).collect();
    assert!(due.windows(2).all(|two| two[0] == two[1]), "{due:#?}");
    due[0].clone()
}

fn waits_for_the_end_of_a_pause(reports: &[RunReport]) -> bool {
    reports.iter().all(|report| {
        matches!(&report.ending, Ending::Decided(Decision::Waiting { reason: WaitFor::Pause(_), .. }))
    })
}

/// Puts a person's word on record, as the commands do.
async fn say(story: &Story, event: Event) {
    let service = &story.config.instances[0].id;
    let (store, clock) = (Arc::clone(&story.store), Arc::clone(&story.clock));
    let mut lease = Lease::acquire(store, clock, service, "a person").await.unwrap();
    lease.record(event).unwrap();
    lease.release().await.unwrap();
}

async fn pause(story: &Story, time: TimeDelta) {
    let until = story.clock.now() + time;
    say(story, Event::Paused { until, by: "ada".into(), why: "an audit".into() }).await;
}

fn event(story: &Story, id: &str, key: &Fingerprint, given: DateTime<Utc>) -> Value {
    let instance = story.config.instances[0].id.to_string();
    json!({
        "id": id, "type": "SignalRRekey.RotationApproved", "time": given.to_rfc3339(),
        "data": { "instance": instance, "key": key, "by": "bob" },
    })
}

/// Delivers events to a handler.
async fn deliver(story: &Story, events: &[Value]) -> Outcome {
    let dispatcher = Dispatcher::new(story.rekey());
    let events = notice::read(&json!(events), "the events").unwrap();
    let invocation = Invocation {
        function: "OnKeyNotice",
        id: "1".into(),
        deadline: story.clock.now() + TimeDelta::seconds(25),
    };
    dispatcher.run(Trigger::Events(events), invocation).await
}

fn approvals(event: &Event) -> bool {
    matches!(event, Event::Approved { .. })
}

#[tokio::test]
async fn a_rotation_waits_for_its_approval_and_the_next_for_another() {
    let story = story().await;
    let due = asked(&story.watch(4 * HOUR).await);
    assert_eq!((due.key_type, story.requests("SignalR_RegenerateKey")), (KeyType::Primary, 0));

    // The event of it, twice in a delivery and once more after it.
    let now = story.clock.now();
    let one = event(&story, "1", &due.key, now);
    let told = deliver(&story, &[one, event(&story, "2", &due.key, now)]).await;
    assert_eq!(told.failure, None, "{told:?}");
    assert_eq!(count(&story.journal().await, approvals), 1);
    let told = deliver(&story, &[event(&story, "3", &due.key, now)]).await;
    assert!(told.logs.iter().any(|line| line.contains("bob approved this rotation at")), "{told:?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0, "the timer begins it");

    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (SECONDARY, 2));
    let history = story.journal().await;
    let by = history.history().find_map(|entry| match &entry.event {
        Event::Approved { by, noticed, .. } => Some((by.clone(), *noticed)),
        _ => None,
    });
    assert_eq!(by, Some(("bob".to_owned(), true)));

    // The rotation is over, and the same word approves nothing any more, though the next is due.
    story.clock.advance(31 * DAY);
    let next = asked(&story.watch(HOUR).await);
    assert_ne!(next.key, due.key);
    let told = deliver(&story, &[event(&story, "4", &due.key, story.clock.now())]).await;
    assert_eq!(told.failure, None, "to send it again helps nobody");
    assert!(told.logs.iter().any(|line| line.contains("the rotation that is meant is over")), "{told:?}");
    asked(&story.watch(HOUR).await);
    assert_eq!((count(&story.journal().await, approvals), story.refused()), (1, 0));
}

#[tokio::test]
async fn an_approval_of_too_long_ago_is_told_and_one_that_began_nothing_ends() {
    let story = story().await;
    let due = asked(&story.watch(HOUR).await);
    let given = story.clock.now();
    story.clock.advance(8 * DAY);
    let told = deliver(&story, &[event(&story, "1", &due.key, given)]).await;
    assert!(told.logs.iter().any(|line| line.contains("which is too long ago")), "{told:?}");
    let strange = Key::new("another").fingerprint();
    let told = deliver(&story, &[event(&story, "2", &strange, story.clock.now())]).await;
    assert!(told.logs.iter().any(|line| line.contains("not known to have had such a key")), "{told:?}");
    assert_eq!(count(&story.journal().await, approvals), 0);

    let told = deliver(&story, &[event(&story, "3", &due.key, story.clock.now())]).await;
    assert_eq!(told.failure, None, "{told:?}");
    pause(&story, TimeDelta::days(8)).await;
    assert!(waits_for_the_end_of_a_pause(&story.watch(HOUR).await));
    story.clock.advance(8 * DAY);
    let reports = story.watch(HOUR).await;
    let ended = |report: &RunReport| report.summary().contains("an approval of it ended at");
    assert!(reports.iter().all(ended) && asked(&reports).key == due.key, "{reports:#?}");
}

/// Anybody who may publish can send them, as often as he likes.
#[tokio::test]
async fn an_approval_that_the_journal_answers_reads_no_app() {
    let story = story().await;
    asked(&story.watch(HOUR).await);
    let read = || story.requests("WebApps_ListApplicationSettings");
    let before = read();
    for (id, key) in [("1", "made up"), ("2", "another")] {
        let strange = Key::new(key).fingerprint();
        let told = deliver(&story, &[event(&story, id, &strange, story.clock.now())]).await;
        assert!(told.logs.iter().any(|line| line.contains("not known to have had such a key")), "{told:?}");
        assert_eq!(told.failure, None, "{told:?}");
    }
    assert_eq!(read(), before);
}

#[tokio::test]
async fn a_forced_regeneration_while_an_approval_is_waited_for_is_repaired_at_once() {
    let story = story().await;
    let due = asked(&story.watch(HOUR).await);
    story.force("sr-demo", &[KeyType::Primary]).unwrap();
    story.clock.advance(2 * MINUTE);
    story.repair().await;
    assert_eq!(all_hold(&story), SECONDARY);
    // The key that was to be replaced is gone, and what is due is to replace another.
    let next = asked(&story.watch(HOUR).await);
    assert_eq!(next.key_type, KeyType::Secondary);
    let told = deliver(&story, &[event(&story, "1", &due.key, story.clock.now())]).await;
    assert!(told.logs.iter().any(|line| line.contains("the rotation that is meant is over")), "{told:?}");
    deliver(&story, &[event(&story, "2", &next.key, story.clock.now())]).await;
    assert!(settled(&story.watch(9 * HOUR).await));
    assert_eq!(all_hold(&story), PRIMARY);
}

#[tokio::test]
async fn a_pause_in_the_middle_of_a_rotation_leaves_everybody_with_a_valid_key() {
    let story = Story::new().await;
    // The new key is there, the slot was moved to it, and the others were refused to us.
    let fault =
        embedded_azure::Fault::new("WebApps_UpdateApplicationSettings", embedded_azure::FaultKind::Forbidden);
    story.sim.fault(fault.times(u64::MAX));
    story.watch(4 * HOUR).await;
    story.sim.clear_faults();
    let held = |app: &str| story.held(app, "Azure__SignalR__ConnectionString").fingerprint();
    let (site, slot) = (held("chat-web"), held("chat-web/staging"));
    assert_ne!(site, slot);

    pause(&story, TimeDelta::hours(12)).await;
    let reports = story.watch(2 * HOUR).await;
    assert!(waits_for_the_end_of_a_pause(&reports), "{reports:#?}");
    assert_eq!((held("chat-web"), held("chat-web/staging")), (site, slot));

    // Who is cut off meanwhile is repaired, and with that all have one key.
    story.force("sr-demo", &[KeyType::Primary]).unwrap();
    story.clock.advance(2 * MINUTE);
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| !report.ending.is_failure()), "{reports:#?}");
    assert_eq!(all_hold(&story), SECONDARY);
    story.clock.advance(12 * HOUR);
    assert!(settled(&story.watch(9 * HOUR).await));
}

#[tokio::test]
async fn a_pause_holds_a_rotation_until_it_ends_or_is_ended() {
    let story = Story::new().await;
    story.tick().await;
    pause(&story, TimeDelta::hours(12)).await;
    story.clock.advance(3 * HOUR);
    let reports = story.watch(2 * HOUR).await;
    assert!(waits_for_the_end_of_a_pause(&reports), "{reports:#?}");
    assert!(reports[0].summary().contains("as ada said: an audit"), "{}", reports[0].summary());
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    // Who asks for a rotation waits as well.
    let reports = story.run(Intent::operator(true), HOUR).await;
    assert!(waits_for_the_end_of_a_pause(&reports), "{reports:#?}");
    say(&story, Event::Resumed { by: "ada".into() }).await;
    assert!(settled(&story.watch(9 * HOUR).await));
    assert_eq!(all_hold(&story), SECONDARY);
}
