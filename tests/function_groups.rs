//! The timer and the event functions as on Flex Consumption: each in a process of its own, which may be gone a minute later.
//! What one has to know of the other is in the store.
//!
//! The processes here are two services with nothing in common but the store and Azure, on a clock that passes hours in
//! milliseconds; `two_workers` has two real ones.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::{CONSUMERS, DAY, HOUR, MINUTE, Story, all_hold};
use embedded_azure::{Options, World};
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use rekey_core::model::{KeyType, ServiceType};
use rekey_core::notice;
use rekey_core::time::delta;
use serde_json::{Value, json};
use signalr_rekey::azure::services::KeyService;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::{BlobAccess, BlobConfig, Config, StateConfig};
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};
use signalr_rekey::store::{self, Lease, Store, Timer, timer_ran};

/// How often the timer runs by the schedule that `infra/` deploys.
const EVERY: Duration = Duration::from_secs(300);

/// A process that runs functions of one group.
struct Process<'a> {
    story: &'a Story,
    service: Arc<Dispatcher>,
}

impl<'a> Process<'a> {
    fn start(story: &'a Story) -> Self {
        let mut rekey = story.rekey();
        // The processes share the story's store, as they would share an account.
        let account = BlobConfig {
            account: "stdemo".into(),
            endpoint: "https://stdemo.blob.core.windows.net/".parse().unwrap(),
            access: BlobAccess::Identity { client_id: None },
        };
        let config = Config { state: StateConfig::Blob(account), ..(*rekey.config).clone() };
        rekey.config = Arc::new(config);
        Self { story, service: Dispatcher::new(rekey) }
    }

    async fn run(&self, trigger: Trigger, function: &'static str, time: Duration) -> Outcome {
        let deadline = self.story.clock.now() + delta(time);
        let invocation = Invocation { id: uuid::Uuid::new_v4().to_string(), function, deadline };
        self.service.run(trigger, invocation).await
    }

    async fn timer(&self) -> Outcome {
        self.run(Trigger::Timer, "RotateKeys", 9 * MINUTE).await
    }

    async fn notice(&self, event: &Value) -> Outcome {
        let events = notice::read(event, "the event").unwrap();
        self.run(Trigger::Events(events), "OnKeyNotice", Duration::from_secs(25)).await
    }
}

fn regenerated(story: &Story, at: DateTime<Utc>) -> Value {
    let instance = story.config.instances[0].id.to_string();
    json!({
        "id": uuid::Uuid::new_v4().to_string(), "eventType": "Microsoft.Resources.ResourceActionSuccess",
        "subject": instance, "eventTime": at.to_rfc3339(),
        "data": {
            "operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action", "resourceUri": instance,
        },
    })
}

fn announced(story: &Story, deadline: DateTime<Utc>) -> Value {
    json!({
        "type": "SignalRRekey.RegenerationAnnounced", "id": "1", "time": story.clock.now().to_rfc3339(),
        "data": { "instance": story.config.instances[0].id.to_string(), "deadline": deadline.to_rfc3339() },
    })
}

/// Whether every app holds a key that is valid.
fn is_repaired(story: &Story) -> bool {
    let keys = KeyType::ALL.map(|key_type| story.key("sr-demo", key_type));
    CONSUMERS.iter().all(|(app, setting)| keys.contains(&story.held(app, setting)))
}

/// Lets time pass until every app holds a valid key; when that is.
async fn until_repaired(story: &Story) -> DateTime<Utc> {
    let patience = story.clock.now() + TimeDelta::hours(1);
    while !is_repaired(story) {
        assert!(story.clock.now() < patience, "nobody repaired it");
        tokio::task::yield_now().await;
    }
    story.clock.now()
}

/// Runs the timer on its schedule until then.
async fn on_schedule(story: &Story, until: DateTime<Utc>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while story.clock.now() < until {
        let due = story.clock.now() + delta(EVERY);
        outcomes.push(Process::start(story).timer().await);
        story.clock.sleep_until(due).await;
    }
    outcomes
}

fn assert_well(outcome: &Outcome) {
    assert_eq!(outcome.failure, None, "{outcome:#?}");
}

/// The timer's run follows its own regeneration for more than a minute. The other key, which every app holds, is regenerated
/// by somebody else meanwhile, and the notice of it reaches another process.
#[tokio::test]
async fn a_notice_wakes_the_timers_run_in_another_process() {
    let story = Story::new().await;
    on_schedule(&story, story.clock.now() + TimeDelta::hours(6)).await;
    story.clock.advance(31 * DAY);
    let in_use = all_hold(&story);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    story.sim.after("SignalR_OperationStatuses", 3, move |_| sender.send(()).unwrap());
    let timer = async { Process::start(&story).timer().await };
    let notice = async {
        receiver.recv().await.unwrap();
        let start = story.clock.now();
        story.force("sr-demo", &[in_use]).unwrap();
        let outcome = Process::start(&story).notice(&regenerated(&story, start)).await;
        (outcome, until_repaired(&story).await - start)
    };
    let (timer, (notice, took)) = tokio::join!(timer, notice);
    assert_well(&notice);
    assert!(
        notice.logs.join("\n").contains("has checked since; every consumer holds a valid key"),
        "{notice:#?}"
    );
    // The run polls every 1 to 15 seconds; the writes take some more.
    assert!(took <= TimeDelta::seconds(25), "{took}");
    assert_well(&timer);
    assert!(story.journal().await.heard() > 0);
    on_schedule(&story, story.clock.now() + TimeDelta::hours(6)).await;
    all_hold(&story);
}

/// Whoever has the lease and hears nothing is no reason to answer well.
#[tokio::test]
async fn a_run_that_does_not_hear_a_notice_leaves_it_unanswered() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let id = &story.config.instances[0].id;
    let dead =
        Lease::acquire(story.store.clone(), story.clock.clone(), id, "one that was killed").await.unwrap();
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let process = Process::start(&story);
    let event = regenerated(&story, story.clock.now());
    let outcome = process.notice(&event).await;
    assert!(outcome.unfinished && outcome.failure.is_some(), "{outcome:#?}");
    drop(dead);
    story.clock.advance(2 * MINUTE);
    assert_well(&process.notice(&event).await);
    all_hold(&story);
}

/// What a run once heard is of no use to who calls later, even if somebody has deleted the document of the calls.
#[tokio::test]
async fn what_was_heard_before_answers_no_later_call() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let (id, store) = (&story.config.instances[0].id, &*story.store as &dyn Store);
    let heard = store::call(store, id).await.unwrap();
    let mut lease =
        Lease::acquire(story.store.clone(), story.clock.clone(), id, "one at work").await.unwrap();
    lease.record(Event::Heard { call: heard }).unwrap();
    lease.commit().await.unwrap();
    story.force("sr-demo", &KeyType::ALL).unwrap();
    for calls in [heard, 0] {
        let name = common::document_name(id).replace(".json", ".calls.json");
        let etag = store.get(&name).await.unwrap().document.map(|(_, etag)| etag);
        store.put(&name, json!({"calls": calls}).to_string().into_bytes(), etag.as_ref()).await.unwrap();
        story.clock.advance(Duration::from_secs(1));
        let outcome = Process::start(&story).notice(&regenerated(&story, story.clock.now())).await;
        assert!(outcome.unfinished && outcome.failure.is_some(), "{calls}: {outcome:#?}");
        lease.keep().await.unwrap();
    }
}

/// A regeneration of both keys is announced; its time comes while the timer's runs keep looking, and both are regenerated. What
/// happens besides, and then everybody is repaired soon: each check is ten seconds after the last.
async fn repaired_soon_in_an_announced_time(besides: impl AsyncFnOnce(&Story)) {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let at = story.clock.now() + TimeDelta::hours(5);
    assert_well(&Process::start(&story).notice(&announced(&story, at)).await);
    let forced = async {
        while story.clock.now() < at + TimeDelta::minutes(3) {
            tokio::task::yield_now().await;
        }
        let start = story.clock.now();
        story.force("sr-demo", &KeyType::ALL).unwrap();
        besides(&story).await;
        until_repaired(&story).await - start
    };
    let (outcomes, took) = tokio::join!(on_schedule(&story, at + TimeDelta::minutes(30)), forced);
    outcomes.iter().for_each(assert_well);
    assert!(took <= TimeDelta::seconds(20), "{took}");
    all_hold(&story);
}

/// The process that was told of the time is gone when it comes; the timer's runs keep looking.
#[tokio::test]
async fn an_announced_time_is_watched_by_the_timers_runs() {
    repaired_soon_in_an_announced_time(async |_| {}).await;
}

/// Another process found it first, put the keys on record, and was killed before it had repaired anybody.
#[tokio::test]
async fn a_key_that_another_process_put_on_record_is_repaired_by_the_run_that_watches() {
    repaired_soon_in_an_announced_time(async |story| {
        let id = &story.config.instances[0].id;
        let mut killed =
            Lease::acquire(story.store.clone(), story.clock.clone(), id, "killed").await.unwrap();
        for key_type in KeyType::ALL {
            let fingerprint = story.key("sr-demo", key_type).fingerprint();
            killed.record(Event::KeyChanged { key_type, fingerprint }).unwrap();
        }
        killed.release().await.unwrap();
    })
    .await;
}

/// It is looked at closely around its time alone, an hour long.
#[tokio::test]
async fn a_watch_ends() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let at = story.clock.now() + TimeDelta::minutes(30);
    assert_well(&Process::start(&story).notice(&announced(&story, at)).await);
    let listed = || story.requests("SignalR_ListKeys");
    on_schedule(&story, at - TimeDelta::minutes(10)).await;
    let before = listed();
    on_schedule(&story, at + TimeDelta::hours(1)).await;
    let watching = listed() - before;
    assert!((300..=500).contains(&watching), "{watching} in an hour, every ten seconds");
    let before = listed();
    on_schedule(&story, story.clock.now() + TimeDelta::hours(1)).await;
    assert!(listed() - before <= 14, "{} in an hour, every five minutes", listed() - before);
}

#[tokio::test]
async fn a_time_that_is_not_watched_is_told() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    for (from_now, told) in [
        (TimeDelta::days(400), "is more than a year away, so the keys are not watched around it"),
        (-TimeDelta::days(3), "is past, so the keys are not watched"),
    ] {
        let at = story.clock.now() + from_now;
        let outcome = Process::start(&story).notice(&announced(&story, at)).await;
        assert!(outcome.logs.join("\n").contains(told), "{outcome:#?}");
        assert!(story.journal().await.watches().is_empty());
    }
}

#[tokio::test]
async fn an_announcement_without_its_own_time_is_told() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let at = story.clock.now() + TimeDelta::days(3);
    let mut event = announced(&story, at);
    let outcome = Process::start(&story).notice(&event).await;
    assert!(!outcome.logs.join("\n").contains("has no time"), "{outcome:#?}");
    event.as_object_mut().unwrap().retain(|name, _| name != "time" && name != "eventTime");
    let outcome = Process::start(&story).notice(&event).await;
    assert!(outcome.logs.join("\n").contains("the event has no time with Z or an offset"), "{outcome:#?}");
}

/// A story that has rotated once, a while ago.
async fn settled() -> Story {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.clock.advance(HOUR);
    timer_ran(&*story.store, None, &[], &Timer::default()).await.unwrap();
    story
}

/// A colleague regenerates the key in use; the event is there at once, and the keys are listed when they are in effect, more
/// than a minute later.
async fn lagging() -> (Story, Value) {
    let options = Options { list_keys_lags: true, ..Options::default() };
    let story = Story::of(World::default(), options).await;
    story.watch(6 * HOUR).await;
    story.clock.advance(HOUR);
    let (in_use, id) = (all_hold(&story), story.config.instances[0].id.clone());
    ServiceType::SignalR.regenerate(&story.rekey().arm, &id, in_use).await.unwrap();
    let event = regenerated(&story, story.clock.now());
    (story, event)
}

#[tokio::test]
async fn a_regeneration_that_cannot_be_seen_yet_is_not_answered_before_it_can() {
    let (story, event) = lagging().await;
    let start = story.clock.now();
    let mut deliveries = 1;
    loop {
        // Each delivery may reach another process.
        let outcome = Process::start(&story).notice(&event).await;
        if outcome.failure.is_none() {
            break;
        }
        assert!(outcome.unfinished, "{outcome:#?}");
        deliveries += 1;
        story.clock.advance(Duration::from_secs(10));
    }
    assert!(is_repaired(&story));
    assert!(deliveries >= 2 && story.clock.now() - start < TimeDelta::minutes(2), "{deliveries}");
}

#[tokio::test]
async fn a_regeneration_that_cannot_be_seen_yet_is_watched_by_the_timers_run() {
    let (story, event) = lagging().await;
    let outcome = Process::start(&story).notice(&event).await;
    assert!(outcome.unfinished, "{outcome:#?}");
    assert_eq!(story.journal().await.watches().len(), 1);
    let start = story.clock.now();
    let (outcome, took) = tokio::join!(async { Process::start(&story).timer().await }, async {
        until_repaired(&story).await - start
    });
    assert_well(&outcome);
    assert!(took < TimeDelta::minutes(2), "{took}");
}

/// Nothing comes of it: the event was of a request that Azure took and did not carry out.
#[tokio::test]
async fn a_regeneration_that_never_shows_is_answered_after_three_minutes() {
    let story = settled().await;
    let event = regenerated(&story, story.clock.now());
    let start = story.clock.now();
    while Process::start(&story).notice(&event).await.failure.is_some() {
        assert!(story.clock.now() - start < TimeDelta::minutes(4));
        story.clock.advance(Duration::from_secs(10));
    }
    let took = story.clock.now() - start;
    assert!(
        took >= TimeDelta::minutes(2) && took <= TimeDelta::minutes(3) + TimeDelta::seconds(10),
        "{took}"
    );
}

/// Azure's events have a time. What says none, or one to come, may be of now each time.
#[tokio::test]
async fn an_event_that_does_not_say_when_is_not_answered_before_a_key_has_changed() {
    let story = settled().await;
    let mut timeless = regenerated(&story, story.clock.now());
    timeless.as_object_mut().unwrap().remove("eventTime");
    let to_come = regenerated(&story, story.clock.now() + TimeDelta::days(400));
    for event in [timeless, to_come] {
        for _ in 0..12 {
            let outcome = Process::start(&story).notice(&event).await;
            assert!(outcome.unfinished && outcome.failure.is_some(), "{outcome:#?}");
            story.clock.advance(2 * MINUTE);
        }
        let in_use = all_hold(&story);
        story.force("sr-demo", &[in_use]).unwrap();
        assert_well(&Process::start(&story).notice(&event).await);
        all_hold(&story);
        story.clock.advance(HOUR);
    }
}

/// What else an event of the same delivery, or one that was queued with it, asks for does not answer it.
#[tokio::test]
async fn a_regeneration_that_cannot_be_seen_yet_is_not_answered_by_what_comes_with_it() {
    for with in ["a write of the service", "an announcement", "an old regeneration"] {
        let (story, event) = lagging().await;
        let id = story.config.instances[0].id.to_string();
        let other = match with {
            "an announcement" => announced(&story, story.clock.now() + TimeDelta::days(2)),
            "an old regeneration" => regenerated(&story, story.clock.now() - TimeDelta::hours(9)),
            _ => json!({
                "id": "2", "eventType": "Microsoft.Resources.ResourceWriteSuccess", "subject": id,
                "eventTime": story.clock.now().to_rfc3339(), "data": { "resourceUri": id },
            }),
        };
        let outcome = Process::start(&story).notice(&json!([event, other])).await;
        assert!(outcome.unfinished && outcome.failure.is_some(), "{with}: {outcome:#?}");
    }
}

/// A colleague regenerates the key in use half a minute after ours is done. His event is not that of ours.
#[tokio::test]
async fn a_regeneration_right_after_ours_is_not_taken_for_ours() {
    let options = Options { list_keys_lags: true, ..Options::default() };
    let story = Story::of(World::default(), options).await;
    story.watch(6 * HOUR).await;
    story.clock.advance(31 * DAY);
    assert_well(&Process::start(&story).timer().await);
    let (in_use, id) = (all_hold(&story), story.config.instances[0].id.clone());
    story.clock.advance(MINUTE / 2);
    ServiceType::SignalR.regenerate(&story.rekey().arm, &id, in_use).await.unwrap();
    let outcome = Process::start(&story).notice(&regenerated(&story, story.clock.now())).await;
    assert!(outcome.unfinished && outcome.failure.is_some(), "{outcome:#?}");
}

/// Whoever waits behind a run that only looks is not kept waiting: that run gives way, and its own notice comes again.
#[tokio::test]
async fn a_claim_that_does_not_show_keeps_no_other_notice_waiting() {
    let story = settled().await;
    let process = Process::start(&story);
    let (app, setting) = CONSUMERS[2];
    let stale = "Endpoint=https://sr-demo.service.signalr.net;AccessKey=RECOGNISABLEKEYdead;Version=1.0;";
    let id =
        story.config.instances[0].apps.iter().find(|known| known.id.name() == app).unwrap().id.to_string();
    let written = json!({
        "id": "2", "type": "Microsoft.Resources.ResourceWriteSuccess", "specversion": "1.0", "subject": id,
        "data": { "operationName": "Microsoft.Web/sites/config/write", "resourceUri": id },
    });
    let claim = regenerated(&story, story.clock.now());
    let listed = story.requests("SignalR_ListKeys");
    let second = async {
        // The first has looked, and waits.
        while story.requests("SignalR_ListKeys") == listed {
            tokio::task::yield_now().await;
        }
        story.sim.edit_setting(app, setting, Some(stale)).unwrap();
        let start = story.clock.now();
        let outcome = process.notice(&written).await;
        (outcome, story.clock.now() - start)
    };
    let (first, (second, took)) = tokio::join!(process.notice(&claim), second);
    assert!(first.unfinished && first.failure.is_some(), "{first:#?}");
    assert_well(&second);
    assert!(is_repaired(&story) && took <= TimeDelta::seconds(15), "{took}");
}

#[tokio::test]
async fn every_announced_time_of_a_delivery_is_on_record_and_none_keeps_apps_from_being_repaired() {
    let story = settled().await;
    let now = story.clock.now();
    let absurd = |deadline: &str| {
        let mut event = announced(&story, now);
        event["data"]["deadline"] = deadline.into();
        event
    };
    let events = [
        announced(&story, now + TimeDelta::hours(3)),
        announced(&story, now + TimeDelta::hours(30)),
        announced(&story, now - TimeDelta::days(3)),
        absurd("-262143-01-01T00:00:00Z"),
    ];
    let process = Process::start(&story);
    process.notice(&json!(events[..3])).await;
    assert_eq!(story.journal().await.watches().len(), 2, "{:#?}", story.journal().await.watches());
    process.notice(&events[3]).await;

    // No more than 64 are kept. The one too many is told, after the apps were repaired.
    for minutes in 0..62 {
        process.notice(&announced(&story, now + TimeDelta::hours(50) + TimeDelta::minutes(minutes))).await;
    }
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let too_many = announced(&story, now + TimeDelta::hours(90));
    let outcome = process.notice(&json!([too_many, regenerated(&story, story.clock.now())])).await;
    assert!(is_repaired(&story), "{outcome:#?}");
    assert!(outcome.failure.as_ref().unwrap().contains("will not be watched"), "{outcome:#?}");
    // Those that are over make room.
    story.clock.advance(4 * HOUR);
    process.notice(&too_many).await;
    assert!(story.journal().await.watches().iter().any(|watch| watch.until == now + TimeDelta::hours(91)));
}

/// It was too soon for a rotation, and stays so, whoever else is at work meanwhile.
#[tokio::test]
async fn a_leak_that_was_told_too_soon_is_not_answered_by_another_run() {
    let story = settled().await;
    let exposed = |id: &str| {
        json!({
            "type": "SignalRRekey.KeysExposed", "id": id, "time": story.clock.now().to_rfc3339(),
            "data": { "instance": story.config.instances[0].id.to_string() },
        })
    };
    Process::start(&story).notice(&exposed("1")).await;
    story.clock.advance(MINUTE);
    let id = &story.config.instances[0].id;
    let mut lease =
        Lease::acquire(story.store.clone(), story.clock.clone(), id, "one at work").await.unwrap();
    lease.record(Event::Heard { call: u64::MAX }).unwrap();
    lease.commit().await.unwrap();
    let outcome = Process::start(&story).notice(&exposed("2")).await;
    assert!(outcome.unfinished && outcome.failure.is_some(), "{outcome:#?}");
}

/// The run at work is asked to stop when it has just been called: nobody checks, and nobody is told that somebody did.
#[tokio::test]
async fn a_run_that_stops_answers_no_call() {
    let story = settled().await;
    story.clock.advance(31 * DAY);
    let in_use = all_hold(&story);
    let rekey = story.rekey();
    let (stop, store, id) = (rekey.stop.clone(), story.store.clone(), story.config.instances[0].id.clone());
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    story.sim.after("SignalR_OperationStatuses", 3, move |_| sender.send(()).unwrap());
    let order = story.order(Intent::timer(), 9 * MINUTE);
    let run = rekey.run(&order);
    let stopped = async {
        receiver.recv().await.unwrap();
        story.force("sr-demo", &[in_use]).unwrap();
        let call = store::call(&*store, &id).await.unwrap();
        stop.ask();
        call
    };
    let (reports, call) = tokio::join!(run, stopped);
    assert_eq!(reports[0].ending.name(), "stopped", "{reports:#?}");
    assert!(story.journal().await.heard() < call, "nothing was checked after it");
    assert_well(&Process::start(&story).notice(&regenerated(&story, story.clock.now())).await);
    assert!(is_repaired(&story));
}

/// The timer has stopped; notices of anything still come.
#[tokio::test]
async fn a_notice_does_the_work_of_a_timer_that_is_silent() {
    let story = Story::new().await;
    on_schedule(&story, story.clock.now() + TimeDelta::hours(6)).await;
    let in_use = all_hold(&story);
    let notice = async || {
        let outcome = Process::start(&story)
            .notice(&regenerated(&story, story.clock.now() - TimeDelta::hours(1)))
            .await;
        outcome.logs.join("\n")
    };
    let told = notice().await;
    assert!(!told.contains("silent"), "{told}");
    story.clock.advance(40 * DAY);
    let told = notice().await;
    assert!(told.contains("the timer is silent: RotateKeys last ran at"), "{told}");
    for _ in 0..40 {
        story.clock.advance(10 * MINUTE);
        notice().await;
    }
    assert_eq!(all_hold(&story), in_use.other(), "what was due is done");
    // The timer is back.
    on_schedule(&story, story.clock.now() + TimeDelta::minutes(20)).await;
    let told = notice().await;
    assert!(!told.contains("silent"), "{told}");
}

/// Whoever forges notices where the timer is silent brings about no more than is due, and no two rotations in a row.
#[tokio::test]
async fn notices_in_place_of_the_timer_rotate_no_more_than_is_due() {
    let story = Story::new().await;
    on_schedule(&story, story.clock.now() + TimeDelta::hours(6)).await;
    story.clock.advance(HOUR);
    let before = story.requests("SignalR_RegenerateKey");
    for _ in 0..40 {
        story.clock.advance(10 * MINUTE);
        assert_well(
            &Process::start(&story)
                .notice(&regenerated(&story, story.clock.now() - TimeDelta::hours(1)))
                .await,
        );
    }
    assert_eq!(story.requests("SignalR_RegenerateKey"), before, "nothing is due");
}

/// A run of the timer does not sit and wait, for a grace or for an operation that takes its time.
#[tokio::test]
async fn a_run_of_the_timer_ends_within_minutes() {
    let options = Options { regenerate_takes: Duration::from_secs(280), ..Options::default() };
    let story = Story::of(World::default(), options).await;
    let mut told = Vec::new();
    let end = story.clock.now() + TimeDelta::hours(6);
    while story.clock.now() < end {
        let start = story.clock.now();
        let outcome = Process::start(&story).timer().await;
        assert_well(&outcome);
        let took = story.clock.now() - start;
        assert!(took <= TimeDelta::minutes(3), "{took}: {outcome:#?}");
        told.extend(outcome.logs);
        story.clock.sleep_until(start + delta(EVERY)).await;
    }
    let told = told.join("\n");
    assert!(
        told.contains("Azure is still regenerating the Secondary key; the next run checks again"),
        "{told}"
    );
    assert!(told.contains("waiting until") && told.contains("settled"), "{told}");
    all_hold(&story);
    assert_eq!(story.refused(), 0);
}
