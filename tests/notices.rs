//! Notices, from the event to what was done about it: through classification, coalescing, real passes and real HTTP, on a
//! clock that passes hours in milliseconds.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::counting::Counting;
use common::{CONSUMERS, DAY, HOUR, KEY_MARK, MINUTE, Story, all_hold, settled};
use embedded_azure::{
    AppConfiguration, EventGrid, Fault, FaultKind, KeyValue, KeysOff, Options, Secret, SignalR, Site, Vault,
    World,
};
use futures::StreamExt;
use futures::future::join_all;
use rekey_core::intent::Intent;
use rekey_core::journal::Held;
use rekey_core::model::KeyType;
use rekey_core::notice;
use rekey_core::policy::FirstRotation;
use rekey_core::time::delta;
use serde_json::{Value, json};
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::engine::Engine;
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};
use signalr_rekey::store::{ETag, Found, Store, StoreError, Stored};

const REGENERATE: &str = "Microsoft.SignalRService/SignalR/regenerateKey/action";
const BUDGET: Duration = Duration::from_secs(25);

/// A handler that lives through the story, with a store that counts.
struct Handler {
    service: Arc<Dispatcher>,
    store: Arc<Counting>,
    clock: Arc<embedded_azure::VirtualClock>,
}

impl Handler {
    fn of(story: &Story) -> Self {
        let store = Counting::new(story.store.clone());
        let rekey = Engine { store: Arc::clone(&store) as Arc<dyn Store>, ..story.rekey() };
        Self { service: Dispatcher::new(rekey), store, clock: story.clock.clone() }
    }

    fn invocation(&self, time: Duration) -> Invocation {
        Invocation { id: "an-id".into(), function: "OnKeyNotice", deadline: self.clock.now() + delta(time) }
    }

    async fn deliver(&self, event: &Value) -> Outcome {
        let events = notice::read(event, "the event").unwrap();
        let outcome = self.service.run(Trigger::Events(events), self.invocation(BUDGET)).await;
        assert!(!format!("{outcome:?}").contains(KEY_MARK), "a key in {outcome:?}");
        outcome
    }
}

fn instance(name: &str) -> String {
    format!(
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/RG-DEMO/providers\
         /Microsoft.SignalRService/SignalR/{name}"
    )
}

/// The id of an event of its own.
fn fresh() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn action(resource: &str, operation: &str) -> Value {
    json!({
        "id": fresh(), "eventType": "Microsoft.Resources.ResourceActionSuccess", "subject": resource,
        "data": { "operationName": operation, "resourceUri": resource },
    })
}

fn regenerated(name: &str) -> Value {
    action(&instance(name), REGENERATE)
}

fn regenerated_at(at: DateTime<Utc>) -> Value {
    let mut event = regenerated("sr-demo");
    event["eventTime"] = at.to_rfc3339().into();
    event
}

fn settings_written(site: &str) -> Value {
    let site = format!(
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers\
         /Microsoft.Web/sites/{site}"
    );
    json!({
        "id": fresh(), "type": "Microsoft.Resources.ResourceWriteSuccess", "specversion": "1.0", "subject": site,
        "data": { "operationName": "Microsoft.Web/sites/config/write", "resourceUri": format!("{site}/config/appsettings") },
    })
}

fn bridged(kind: &str, at: DateTime<Utc>, data: Value) -> Value {
    let mut data = data;
    data["instance"] = instance("sr-demo").into();
    json!({ "id": "3", "type": format!("SignalRRekey.{kind}"), "time": at.to_rfc3339(), "source": "mail", "data": data })
}

fn arm_requests(story: &Story) -> usize {
    story.sim.requests().iter().filter(|request| request.arm).count()
}

fn assert_done(outcome: &Outcome) {
    assert_eq!(outcome.failure, None, "{outcome:#?}");
}

#[tokio::test]
async fn what_is_ignored_asks_nothing_of_anybody() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let before = (arm_requests(&story), handler.store.requests());
    for event in [
        action(&instance("sr-demo"), "Microsoft.SignalRService/SignalR/listKeys/action"),
        action(&instance("another"), REGENERATE),
        settings_written("another"),
        json!({ "type": "Contoso.Any", "data": {} }),
        json!([]),
    ] {
        let outcome = handler.deliver(&event).await;
        assert_done(&outcome);
    }
    let last = handler.deliver(&json!({ "type": "Contoso.Any" })).await;
    assert_eq!(last, Outcome::default(), "the host's log would fill with it");
    assert_eq!((arm_requests(&story), handler.store.requests()), before);
}

#[tokio::test]
async fn a_regeneration_from_outside_is_repaired() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    let outcome = handler.deliver(&regenerated("sr-demo")).await;
    assert_done(&outcome);
    assert_eq!(all_hold(&story), KeyType::Primary);
    let told = outcome.logs.last().unwrap();
    for app in ["chat-web", "chat-web/staging", "chat-func", "now hold the Primary key", "repaired in"] {
        assert!(told.contains(app), "{told}");
    }
}

#[tokio::test]
async fn a_regeneration_that_is_known_costs_no_write() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    story.force("sr-demo", &KeyType::ALL).unwrap();
    assert_done(&handler.deliver(&regenerated("sr-demo")).await);
    let (writes, puts) = (handler.store.writes(), story.requests("WebApps_UpdateApplicationSettings"));
    for _ in 0..3 {
        assert_done(&handler.deliver(&regenerated("sr-demo")).await);
    }
    assert_eq!((handler.store.writes(), story.requests("WebApps_UpdateApplicationSettings")), (writes, puts));
}

#[tokio::test]
async fn a_copy_of_what_was_answered_costs_nothing() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    let event = regenerated("sr-demo");
    let forbidden = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden);
    story.sim.fault(forbidden);
    assert!(handler.deliver(&event).await.failure.is_some());
    assert_done(&handler.deliver(&event).await);
    all_hold(&story);
    let before = (arm_requests(&story), handler.store.requests());
    let outcome = handler.deliver(&event).await;
    assert_eq!(outcome, Outcome::default());
    assert_eq!((arm_requests(&story), handler.store.requests()), before);
}

/// Who sends again on a 503 alone, as an action group does, is told so wherever that helps, and nowhere else.
#[tokio::test]
async fn a_repeat_is_asked_for_where_it_helps() {
    let (list, update) = ("SignalR_ListKeys", "WebApps_UpdateApplicationSettings");
    for (operation, kind, helps) in [
        (list, FaultKind::Throttled, true),
        (list, FaultKind::ServerError, true),
        (list, FaultKind::Unavailable, true),
        (list, FaultKind::TimeoutBefore, true),
        (list, FaultKind::Forbidden, false),
        (list, FaultKind::BadRequest, false),
        (update, FaultKind::Throttled, true),
        (update, FaultKind::Conflict, true),
        (update, FaultKind::Swallowed, true),
        (update, FaultKind::Forbidden, false),
        (update, FaultKind::ContentShare, false),
    ] {
        let story = Story::new().await;
        story.watch(6 * HOUR).await;
        let handler = Handler::of(&story);
        story.force("sr-demo", &KeyType::ALL).unwrap();
        story.sim.fault(Fault { count: 1000, ..Fault::new(operation, kind) });
        let outcome = handler.deliver(&regenerated("sr-demo")).await;
        assert!(outcome.failure.is_some(), "{operation} {kind:?}");
        assert_eq!(outcome.unfinished, helps, "{operation} {kind:?}: {outcome:#?}");
    }
}

/// A storage that fails at each request.
#[derive(Debug)]
struct Failing(StoreError);

#[async_trait]
impl Store for Failing {
    async fn get(&self, _: &str) -> Result<Found, StoreError> {
        Err(self.0.clone())
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Option<&ETag>) -> Result<Stored, StoreError> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn a_repeat_is_asked_for_where_the_storage_is_out_of_reach() {
    let unreadable = StoreError::Unreadable { name: "a.json".into(), detail: "it is no JSON".into() };
    for (error, helps) in [(StoreError::Unavailable("timed out".into()), true), (unreadable, false)] {
        let story = Story::new().await;
        let rekey = Engine { store: Arc::new(Failing(error.clone())), ..story.rekey() };
        let handler = Handler { service: Dispatcher::new(rekey), ..Handler::of(&story) };
        let outcome = handler.deliver(&regenerated("sr-demo")).await;
        assert!(outcome.failure.is_some(), "{error}");
        assert_eq!(outcome.unfinished, helps, "{error}");
    }
}

/// Each of them says that a key was regenerated, and none was: whoever sends them cannot use up what ARM lets us ask.
#[tokio::test]
async fn a_flood_of_lies_costs_one_list_keys_a_second() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let (before, start) = (arm_requests(&story), story.clock.now());
    // For three minutes they may yet come true.
    let is_believed = |outcome: &Outcome| outcome.failure.is_some();
    let answers =
        futures::stream::iter(0..60).then(|_| async { handler.deliver(&regenerated_at(start)).await });
    let believed = answers.collect::<Vec<_>>().await.iter().filter(|outcome| is_believed(outcome)).count();
    assert!((5..=10).contains(&believed), "{believed}");
    let asked = arm_requests(&story) - before;
    let seconds = usize::try_from((story.clock.now() - start).num_seconds()).unwrap();
    assert!(asked >= 60 && asked <= seconds + 2, "{asked} in {seconds} s");
}

#[tokio::test]
async fn our_own_regeneration_costs_one_list_keys() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let before = (arm_requests(&story), handler.store.writes());
    // It comes late: the last of them was hours ago.
    let mut event = regenerated("sr-demo");
    let history: Vec<_> = story.journal().await.history().cloned().collect();
    let made =
        |event: &rekey_core::journal::Event| matches!(event, rekey_core::journal::Event::Regenerated { .. });
    event["eventTime"] = history.iter().rfind(|entry| made(&entry.event)).unwrap().at.to_rfc3339().into();
    let outcome = handler.deliver(&event).await;
    assert_done(&outcome);
    assert!(outcome.logs[0].contains("known already"), "{outcome:?}");
    assert_eq!((arm_requests(&story), handler.store.writes()), (before.0 + 1, before.1));
}

/// The run that regenerates holds the lease for as long as it takes. Its event must not wait for that.
#[tokio::test]
async fn the_event_of_a_regeneration_under_way_waits_for_nobody() {
    let story = Story::new().await;
    let handler = Arc::new(Handler::of(&story));
    story.watch(6 * HOUR).await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    for nth in 1..4 {
        let sender = sender.clone();
        story.sim.after("SignalR_OperationStatuses", nth, move |_| sender.send(()).unwrap());
    }
    let run = story.run(Intent::operator(true), 9 * MINUTE);
    let notice = async {
        receiver.recv().await.unwrap();
        let (lists, now) = (story.requests("SignalR_ListKeys"), story.clock.now());
        let outcome = handler.deliver(&regenerated("sr-demo")).await;
        (outcome, story.requests("SignalR_ListKeys") - lists, story.clock.now() - now)
    };
    let (reports, (outcome, lists, took)) = tokio::join!(run, notice);
    assert_done(&outcome);
    assert!(outcome.logs[0].contains("known already"), "{outcome:?}");
    // The clock of the story is moved by the run beside it, so a poll or two may pass; not the 75 s of the operation.
    assert!(lists >= 1 && took < delta(BUDGET), "{lists} {took}");
    assert!(!reports[0].ending.is_failure(), "{reports:#?}");
}

#[tokio::test]
async fn settings_that_somebody_edited_are_checked_by_themselves() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let before = arm_requests(&story);
    assert_done(&handler.deliver(&settings_written("chat-func")).await);
    // listKeys and the two dictionaries of the app; not the other apps.
    assert_eq!(arm_requests(&story), before + 3);

    let dead = "Endpoint=https://sr-demo.service.signalr.net;AccessKey=RECOGNISABLEKEYdead;Version=1.0;";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(dead)).unwrap();
    assert_done(&handler.deliver(&settings_written("chat-func")).await);
    all_hold(&story);
}

#[tokio::test]
async fn one_app_that_may_not_be_written_delays_no_other_and_is_not_forgotten() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    let forbidden = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden).on("chat-web");
    story.sim.fault(forbidden);
    let outcome = handler.deliver(&regenerated("sr-demo")).await;
    let failure = outcome.failure.clone().unwrap();
    assert!(failure.contains("chat-web") && failure.contains("403") && !outcome.unfinished, "{outcome:?}");
    assert_eq!(story.held("chat-func", CONSUMERS[2].1), story.key("sr-demo", KeyType::Primary));
    // Delivered again, the fault over: the rest is done, though the journal knows the new key by now.
    assert_done(&handler.deliver(&regenerated("sr-demo")).await);
    assert_eq!(all_hold(&story), KeyType::Primary);
}

#[tokio::test]
async fn who_cannot_wait_for_the_lease_any_longer_says_unfinished() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let lease = signalr_rekey::store::Draft::read(
        story.store.clone(),
        story.clock.clone(),
        &story.config.instances[0].id,
        "another",
    );
    let lease = lease.await.unwrap().take("another").await.unwrap();
    story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    let handler = Handler::of(&story);
    let start = story.clock.now();
    let outcome = handler.deliver(&regenerated("sr-demo")).await;
    assert!(outcome.unfinished && outcome.failure.unwrap().contains("another"), "503, and who is at work");
    let waited = story.clock.now() - start;
    assert!(
        waited > delta(BUDGET) - delta(2 * Duration::from_secs(1)) && waited <= delta(BUDGET),
        "{waited}"
    );
    lease.release().await.unwrap();
    assert_done(&handler.deliver(&regenerated("sr-demo")).await);
    all_hold(&story);
}

#[tokio::test]
async fn a_slow_azure_ends_the_budget_and_the_next_delivery_carries_on() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    let slow = Fault { delay_ms: 60_000, ..Fault::new("WebApps_ListApplicationSettings", FaultKind::Slow) };
    story.sim.fault(slow.on("chat-func").times(1));
    let handler = Handler::of(&story);
    let outcome = handler.deliver(&regenerated("sr-demo")).await;
    assert!(outcome.unfinished && outcome.failure.is_some(), "{outcome:?}");
    assert_done(&handler.deliver(&regenerated("sr-demo")).await);
    all_hold(&story);
}

#[tokio::test]
async fn a_thousand_copies_of_one_event_cost_two_runs() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    let handler = Handler::of(&story);
    let before = arm_requests(&story);
    let event = regenerated("sr-demo");
    let outcomes = join_all((0..1000).map(|_| handler.deliver(&event))).await;
    outcomes.iter().for_each(assert_done);
    all_hold(&story);
    // Two looks (listKeys, and both dictionaries of three apps), and three writes.
    let asked = arm_requests(&story) - before;
    assert!(asked <= 2 * 7 + 3, "{asked} requests");
}

#[tokio::test]
async fn a_hundred_instances_at_once_are_all_repaired() {
    let names: Vec<String> = (0..100).map(|n| format!("sr-{n}")).collect();
    let site = |name: &String| Site {
        group: "rg-demo".into(),
        name: format!("web-{name}"),
        settings: [("Azure__SignalR__ConnectionString".to_owned(), format!("{{secondary:{name}}}"))].into(),
        ..Site::default()
    };
    let signalr = |name: &String| SignalR {
        group: "rg-demo".into(),
        name: name.clone(),
        apps: vec![format!("web-{name}")],
        ..SignalR::default()
    };
    let world = World {
        signalr: names.iter().map(signalr).collect(),
        sites: names.iter().map(site).collect(),
        ..World::default()
    };
    let story = Story::of(world, Options::default()).await;
    for name in &names {
        story.force(name, &[KeyType::Secondary]).unwrap();
    }
    let handler = Handler::of(&story);
    let events: Vec<Value> = names.iter().map(|name| regenerated(name)).collect();
    assert_done(&handler.deliver(&Value::from(events)).await);
    for name in &names {
        let held = story.held(&format!("web-{name}"), "Azure__SignalR__ConnectionString");
        assert!(KeyType::ALL.iter().any(|key_type| story.key(name, *key_type) == held), "{name}");
    }
}

#[tokio::test]
async fn an_announced_regeneration_of_a_key_that_nobody_holds_needs_nothing() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let standby = all_hold(&story).other();
    let writes = handler.store.writes();
    let data = json!({ "keyTypes": [standby.as_str()] });
    let outcome = handler.deliver(&bridged("RegenerationAnnounced", story.clock.now(), data)).await;
    assert_done(&outcome);
    assert!(outcome.logs.join("\n").contains("no app will be cut off"), "{outcome:?}");
    assert_eq!(handler.store.writes(), writes + 1, "what the status page shows, and nothing else");
}

#[tokio::test]
async fn an_announced_regeneration_rotates_once_however_often_it_is_delivered() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let in_use = all_hold(&story);
    let event = bridged("RegenerationAnnounced", story.clock.now(), json!({ "keyTypes": [in_use.as_str()] }));
    // The first is answered as soon as the rotation is on record, and the timer carries on.
    for _ in 0..20 {
        assert_done(&handler.deliver(&event).await);
        story.clock.advance(30 * Duration::from_secs(1));
        story.tick().await;
    }
    assert_eq!(all_hold(&story), in_use.other(), "nobody holds what will be regenerated");
    // It is regenerated; nobody is cut off.
    let refused = story.refused();
    story.clock.advance(HOUR + MINUTE);
    story.force("sr-demo", &[in_use]).unwrap();
    assert!(settled(&story.watch(6 * HOUR).await));
    assert_eq!(story.refused(), refused);
    assert_eq!(common::count(&story.journal().await, asked), 2, "the first look's, and this one");
}

fn asked(event: &rekey_core::journal::Event) -> bool {
    matches!(event, rekey_core::journal::Event::RotationRequested { .. })
}

#[tokio::test]
async fn a_flood_of_announcements_rotates_no_more_often_than_the_policy_says() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let before = common::count(&story.journal().await, asked);
    let start = story.clock.now();
    let mut refused = 0;
    while story.clock.now() < start + delta(3 * HOUR) {
        for kind in ["RegenerationAnnounced", "KeysExposed"] {
            let outcome = handler.deliver(&bridged(kind, story.clock.now(), json!({}))).await;
            refused +=
                usize::from(outcome.failure.is_some_and(|failure| failure.contains("min_rotation_interval")));
        }
        story.clock.advance(5 * MINUTE);
    }
    let asked = common::count(&story.journal().await, asked) - before;
    let hours = usize::try_from((story.clock.now() - start).num_hours()).unwrap();
    assert!((2..=hours + 1).contains(&asked), "{asked} in {hours} h");
    assert!(refused > 10, "{refused}");
    story.watch(12 * HOUR).await;
    all_hold(&story);
}

#[tokio::test]
async fn exposed_keys_die_after_a_short_grace() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let exposed = KeyType::ALL.map(|key_type| story.key("sr-demo", key_type));
    let start = story.clock.now();
    let event = bridged("KeysExposed", start, json!({}));
    for _ in 0..12 {
        handler.deliver(&event).await;
        story.tick().await;
        story.clock.advance(5 * MINUTE);
        let now = KeyType::ALL.map(|key_type| story.key("sr-demo", key_type));
        if now.iter().all(|key| !exposed.contains(key)) {
            let took = story.clock.now() - start;
            assert!(took < delta(HOUR), "both exposed keys are dead after {took}, before the usual grace");
            assert!(settled(&story.tick().await));
            all_hold(&story);
            let journal = story.journal().await;
            assert!(journal.keys().unwrap().iter().any(|(_, record)| record.held == Held::Now));
            return;
        }
    }
    panic!("the exposed keys are still alive");
}

#[tokio::test]
async fn what_the_bridge_got_wrong_fails_and_changes_nothing() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    let before = arm_requests(&story);
    let outcome =
        handler.deliver(&json!({ "id": "77", "type": "SignalRRekey.KeysExposed", "data": {} })).await;
    let failure = outcome.failure.unwrap();
    assert_eq!(failure, "cannot understand the event 77: its data has no instance");
    assert!(!outcome.unfinished, "time does not help");
    assert_eq!(arm_requests(&story), before);
}

/// Who tells of a leak of a service that is not configured has to know that nothing was done.
#[tokio::test]
async fn a_leak_of_a_service_that_is_not_configured_is_no_success() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let handler = Handler::of(&story);
    for kind in ["KeysExposed", "RegenerationAnnounced"] {
        let mut event = bridged(kind, story.clock.now(), json!({}));
        event["data"]["instance"] = instance("sr-dmeo").into();
        let failure = handler.deliver(&event).await.failure.expect("it is refused");
        assert!(failure.contains("nothing was rotated; did you mean sr-demo?"), "{kind}: {failure}");
    }
}

#[tokio::test]
async fn with_keys_switched_off_nothing_that_calls_is_answered_well_and_afterwards_all_are_repaired() {
    for keys_off in [KeysOff::Empty, KeysOff::Refused] {
        let story = Story::of(World::default(), Options { keys_off, ..Options::default() }).await;
        assert!(settled(&story.watch(6 * HOUR).await));
        let handler = Handler::of(&story);
        let written = || {
            let mut event = action(&instance("sr-demo"), "Microsoft.SignalRService/SignalR/write");
            event["eventType"] = json!("Microsoft.Resources.ResourceWriteSuccess");
            event
        };
        story.sim.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
        for event in [written(), regenerated("sr-demo"), settings_written("chat-web")] {
            let outcome = handler.deliver(&event).await;
            let told = outcome.failure.unwrap_or_else(|| panic!("answered well: {event}"));
            assert!(told.contains("cut off") && told.contains("disableLocalAuth"), "{told}");
            assert!(!outcome.unfinished, "time does not cure it: {told}");
        }
        let timer = Trigger::Timer;
        let outcome = handler.service.run(timer, handler.invocation(9 * MINUTE)).await;
        assert!(outcome.failure.is_some_and(|told| told.contains("disableLocalAuth")));

        story.sim.with(|state| state.disable_local_auth("sr-demo", false)).unwrap();
        let outcome = handler.deliver(&written()).await;
        assert_eq!(outcome.failure, None);
        all_hold(&story);
    }
}

/// What a vault tells of a new version may be our own doing, or anybody's: it calls for nothing, however often it comes.
#[tokio::test]
async fn a_new_version_of_a_secret_calls_for_nothing() {
    let vault = Vault {
        group: "rg-demo".into(),
        name: "kv-demo".into(),
        secrets: [("signalr".to_owned(), Secret::new("{primary:sr-demo}"))].into(),
    };
    let story = Story::of(World { vaults: vec![vault], ..World::default() }, Options::default()).await;
    let handler = Handler::of(&story);
    let requests = || story.sim.report().arm_requests.values().sum::<u64>();
    let before = requests();
    for version in 0..3 {
        let event = json!({
            "id": fresh(), "eventType": "Microsoft.KeyVault.SecretNewVersionCreated", "subject": "signalr",
            "topic": "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers\
                /Microsoft.KeyVault/vaults/kv-demo",
            "eventTime": story.clock.now().to_rfc3339(), "dataVersion": "1",
            "data": {
                "Id": format!("https://kv-demo.vault.azure.net/secrets/signalr/{version:032x}"),
                "VaultName": "kv-demo", "ObjectType": "Secret", "ObjectName": "signalr",
                "Version": format!("{version:032x}"), "NBF": null, "EXP": null,
            },
        });
        let outcome = handler.deliver(&event).await;
        assert!(!format!("{outcome:?}").contains("settled"), "{outcome:?}");
    }
    assert_eq!(requests(), before, "nothing was read or written");
}

/// Our own rotation of a secret and of a key-value raises events of the vault and of the store, which come back: nothing is read or
/// written for them, or each would be the cause of the next.
#[tokio::test]
async fn what_vaults_and_stores_tell_of_our_own_writes_causes_nothing() {
    let grid = EventGrid { latency: Duration::ZERO, disorder: Duration::ZERO, ..EventGrid::default() };
    let options = Options { event_grid: Some(grid), ..Options::default() };
    let mut story = Story::of(vault_and_store(), options).await;
    story.config.instances[0].policy.first_rotation = FirstRotation::Now;
    assert!(settled(&story.watch(3 * DAY).await));
    assert_eq!(story.requests("KeyVault_SetSecret") + story.requests("AppConfiguration_PutKeyValue"), 2);

    let kinds = ["Microsoft.KeyVault.SecretNewVersionCreated", "Microsoft.AppConfiguration.KeyValueModified"];
    let mut told = story.sim.undelivered_events();
    told.retain(|event| kinds.iter().any(|kind| event["eventType"] == *kind));
    for kind in kinds {
        assert!(told.iter().any(|event| event["eventType"] == kind), "{kind} is raised");
    }
    let handler = Handler::of(&story);
    let asked = story.sim.requests().len();
    for event in &told {
        assert_done(&handler.deliver(event).await);
    }
    assert_eq!(story.sim.requests().len(), asked, "nothing is asked");
}

/// One app refers to a secret, another to a key-value.
fn vault_and_store() -> World {
    let (group, primary) = (|| "rg-demo".to_owned(), "{primary:sr-demo}");
    let site = |name: &str, value: &str| Site {
        group: group(),
        name: name.into(),
        kind: "app".into(),
        settings: [(CONSUMERS[0].1.to_owned(), value.to_owned())].into(),
        ..Site::default()
    };
    World {
        signalr: vec![SignalR { group: group(), name: "sr-demo".into(), ..SignalR::default() }],
        sites: vec![
            site("by-vault", "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=signalr)"),
            site(
                "by-store",
                "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=signalr)",
            ),
        ],
        vaults: vec![Vault {
            group: group(),
            name: "kv-demo".into(),
            secrets: [("signalr".to_owned(), Secret::new(primary))].into(),
        }],
        app_configurations: vec![AppConfiguration {
            group: group(),
            name: "cs-demo".into(),
            key_values: vec![KeyValue::new("signalr", None, primary)],
            access_key: None,
        }],
        ..World::default()
    }
}
