//! What the timer's runs ask where nothing happens: the keys of each service at each run, and its apps once in
//! `full_check_every` where there are too many to read them each time. And what is read in full at once all the same.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::counting::Counting;
use common::fleet::{app, service, world};
use common::{DAY, MINUTE, Story};
use embedded_azure::{Fault, FaultKind, Options, RequestRecord, World};
use rekey_core::model::{Key, KeyType};
use rekey_core::notice;
use rekey_core::policy::FirstRotation;
use rekey_core::time::delta;
use serde_json::{Value, json};
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::{Dispatcher, Engine};
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};
use signalr_rekey::store::Store;

const LIST_KEYS: &str = "SignalR_ListKeys";
const LIST_SETTINGS: &str = "WebApps_ListApplicationSettings";
const LIST_STRINGS: &str = "WebApps_ListConnectionStrings";
const REGENERATE: &str = "SignalR_RegenerateKey";
const SETTING: &str = "Azure__SignalR__ConnectionString";

/// Services that are alike, and what their storage is asked.
struct Idle {
    story: Story,
    store: Arc<Counting>,
}

/// What was asked in a run.
struct Asked {
    outcome: Outcome,
    requests: Vec<RequestRecord>,
    storage: u64,
}

impl Idle {
    /// All are settled, and were read in full at the timer's first run, five minutes ago.
    async fn of(services: usize, apps: usize) -> Self {
        let idle = Self::unread(services, apps).await;
        let first = idle.tick(&idle.process()).await;
        assert_eq!(first.read_in_full(apps), (0..services).map(service).collect::<Vec<_>>());
        idle.story.clock.advance(5 * MINUTE);
        idle
    }

    async fn unread(services: usize, apps: usize) -> Self {
        let mut story = Story::of(world(services, apps), Options::default()).await;
        for service in &mut story.config.instances {
            service.policy.first_rotation = FirstRotation::WhenDue;
        }
        let store = Counting::new(story.store.clone());
        Self { story, store }
    }

    fn engine(&self) -> Engine {
        Engine { store: Arc::clone(&self.store) as Arc<dyn Store>, ..self.story.rekey() }
    }

    fn process(&self) -> Arc<Dispatcher> {
        Dispatcher::new(self.engine())
    }

    async fn run(&self, process: &Arc<Dispatcher>, trigger: Trigger, function: &'static str) -> Asked {
        let (before, storage) = (self.story.sim.requests().len(), self.store.requests());
        let deadline = self.story.clock.now() + delta(9 * MINUTE);
        let outcome = process.run(trigger, Invocation { id: "an-id".into(), function, deadline }).await;
        let requests = self.story.sim.requests().split_off(before);
        let requests = requests.into_iter().filter(|request| request.arm).collect();
        Asked { outcome, requests, storage: self.store.requests() - storage }
    }

    /// A run of the timer.
    async fn tick(&self, process: &Arc<Dispatcher>) -> Asked {
        self.run(process, Trigger::Timer, "RotateKeys").await
    }

    /// A run of the timer that ended well, of a process of its own.
    async fn tick_well(&self) -> Asked {
        let asked = self.tick(&self.process()).await;
        assert_eq!(asked.outcome.failure, None);
        asked
    }

    async fn notice(&self, process: &Arc<Dispatcher>, event: &Value) -> Asked {
        let events = notice::read(event, "the event").unwrap();
        self.run(process, Trigger::Events(events), "OnKeyNotice").await
    }

    fn set(&self, app: &str, value: &str) {
        self.story.sim.edit_setting(app, SETTING, Some(value)).unwrap();
    }

    /// A string of a service with a key that it no longer has.
    fn old_string(&self, name: &str, app: &str) -> String {
        let former = self.story.key(name, KeyType::Secondary);
        self.story.force(name, &[KeyType::Secondary]).unwrap();
        let current = self.story.key(name, KeyType::Primary);
        let string = self.story.sim.settings(app).unwrap()[SETTING].clone();
        assert!(string.contains(current.expose()));
        string.replace(current.expose(), former.expose())
    }
}

impl Asked {
    fn count(&self, operation: &str, resource: &str) -> usize {
        let is = |request: &&RequestRecord| request.operation == operation && request.resource == resource;
        self.requests.iter().filter(is).count()
    }

    /// The services whose keys were asked for, in order.
    fn listed(&self) -> Vec<String> {
        let listed = self.requests.iter().filter(|request| request.operation == LIST_KEYS);
        let mut listed: Vec<_> = listed.map(|request| request.resource.clone()).collect();
        listed.sort();
        listed
    }

    /// The services of which every place of every app was read once; and nothing else was asked but keys.
    fn read_in_full(&self, apps: usize) -> Vec<String> {
        let mut read: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for request in self.requests.iter().filter(|request| request.operation != LIST_KEYS) {
            assert!([LIST_SETTINGS, LIST_STRINGS].contains(&request.operation), "{request:?}");
            let of = request.resource.split('-').nth(1).unwrap();
            *read.entry((of, request.operation)).or_default() += 1;
        }
        assert!(read.values().all(|count| *count == apps), "{read:?}");
        assert_eq!(read.len() % 2, 0, "both sections: {read:?}");
        let of = read.into_keys().filter(|(_, operation)| *operation == LIST_SETTINGS);
        of.map(|(service, _)| format!("sr-{service}")).collect()
    }

    fn told(&self) -> String {
        self.outcome.logs.join("\n")
    }
}

/// An hour of a hundred services with three apps each, by one process, and by a process of its own for each run.
#[tokio::test]
async fn where_nothing_happens_a_run_asks_for_the_keys_and_for_everything_once_in_an_hour() {
    for lives in [true, false] {
        let idle = Idle::of(100, 3).await;
        let (process, all) = (idle.process(), (0..100).map(service).collect::<Vec<_>>());
        let (mut read, mut numbers) = (Vec::new(), Vec::new());
        for run in 0..12 {
            let process = if lives { Arc::clone(&process) } else { idle.process() };
            let asked = idle.tick(&process).await;
            assert_eq!(asked.outcome.failure, None);
            assert_eq!(asked.listed(), all, "the keys of each, once");
            let in_full = asked.read_in_full(3);
            assert_eq!(asked.requests.len(), 100 + 6 * in_full.len());
            // The journal of each, and once in a process what keeps older releases out; what the timer leaves is read and written, and
            // so is what the status page shows.
            let first = run == 0 || !lives;
            assert_eq!(asked.storage, if first { 200 } else { 100 } + 4, "storage at run {run}");
            let ago = "It did not read what the apps hold: an earlier run did, ";
            assert_eq!(asked.told().matches(ago).count(), 100 - in_full.len(), "{}", asked.told());
            let alone = asked.outcome.served.iter().filter(|one| one.keys_alone).count();
            assert_eq!(alone, 100 - in_full.len(), "what the last line of the run counts");
            assert_eq!(asked.told().matches("settled; the next rotation is due at").count(), 100);
            numbers.push(in_full.len());
            read.extend(in_full);
            idle.story.clock.advance(5 * MINUTE);
        }
        read.sort();
        assert_eq!(read, all, "everything of each, once");
        assert_eq!(numbers, [8, 8, 8, 8, 8, 9, 8, 9, 8, 9, 8, 9]);
    }
}

/// What does not fit at each run goes round, whatever its age: the numbers of docs/deploy.md.
#[tokio::test]
async fn what_fits_is_read_at_every_run_in_turn() {
    let idle = Idle::of(60, 3).await;
    let (mut requests, mut read) = (0, Vec::new());
    for _ in 0..12 {
        let asked = idle.tick_well().await;
        requests += asked.requests.len();
        read.push(asked.read_in_full(3));
        idle.story.clock.advance(5 * MINUTE);
    }
    assert!(read.iter().all(|run| run.len() == 7), "{read:?}");
    assert_eq!(read[..9].concat().into_iter().collect::<BTreeSet<_>>().len(), 60, "all within nine runs");
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deploy.md")).unwrap();
    assert!(document.contains(&format!("| 60 | 7 | 45 min | {requests} |")), "{requests}");
}

#[tokio::test]
async fn a_small_installation_is_read_in_full_at_every_run() {
    let idle = Idle::of(7, 3).await;
    for _ in 0..3 {
        let asked = idle.tick_well().await;
        assert_eq!((asked.read_in_full(3).len(), asked.requests.len()), (7, 49));
        assert!(!asked.told().contains("did not read"), "{}", asked.told());
        assert!(asked.outcome.served.iter().all(|one| !one.keys_alone));
        idle.story.clock.advance(5 * MINUTE);
    }
}

/// Two services with thirty apps each take more than a quarter of the bucket, one by one.
async fn stretched() -> Idle {
    let idle = Idle::of(2, 30).await;
    assert_eq!(idle.tick_well().await.requests.len(), 2, "it is not stretched");
    idle.story.clock.advance(5 * MINUTE);
    idle
}

#[tokio::test]
async fn an_old_string_that_is_written_back_is_found_within_full_check_every() {
    let mut idle = Idle::unread(2, 30).await;
    let (name, written) = (app(1, 17), "app-001-17 now holds the Primary key");
    let old = idle.old_string("sr-001", &name);
    idle.story.config.instances[1].policy.full_check_every = 30 * MINUTE;
    idle.tick_well().await;
    idle.story.clock.advance(MINUTE);
    idle.set(&name, &old);
    let since = idle.story.clock.now();
    idle.story.clock.advance(4 * MINUTE);
    let mut runs = 0;
    loop {
        let asked = idle.tick_well().await;
        runs += 1;
        if asked.told().contains(written) {
            break;
        }
        assert_eq!(asked.count(LIST_SETTINGS, &name), 0, "who reads it repairs it");
        idle.story.clock.advance(5 * MINUTE);
    }
    assert!(idle.story.clock.now() - since <= delta(30 * MINUTE));
    assert!(runs > 1, "it is not stretched");
    assert_eq!(
        idle.story.held(&name, SETTING).fingerprint(),
        idle.story.key("sr-001", KeyType::Primary).fingerprint()
    );
}

#[tokio::test]
async fn a_key_that_changes_is_found_by_the_next_run_and_its_apps_are_repaired() {
    let idle = stretched().await;
    idle.story.force("sr-001", &[KeyType::Primary]).unwrap();
    let asked = idle.tick_well().await;
    let valid = idle.story.key("sr-001", KeyType::Secondary).fingerprint();
    for n in 0..30 {
        assert_eq!(idle.story.held(&app(1, n), SETTING).fingerprint(), valid, "{n}");
        assert_eq!(asked.count(LIST_SETTINGS, &app(0, n)), 0, "the other service is in order");
    }
}

/// All that a key's regeneration rests on is read in the run that sends it.
#[tokio::test]
async fn what_is_due_is_read_in_full_and_so_is_everything_before_a_regeneration() {
    let mut idle = Idle::unread(2, 30).await;
    let policy = &mut idle.story.config.instances[0].policy;
    (policy.rotate_every, policy.grace) = (12 * MINUTE, MINUTE);
    for run in 0..3 {
        let asked = idle.tick_well().await;
        assert_eq!(asked.count(REGENERATE, "sr-000"), 0);
        assert_eq!(asked.count(LIST_SETTINGS, &app(0, 3)), usize::from(run == 0), "run {run}");
        idle.story.clock.advance(5 * MINUTE);
    }
    let due = idle.tick_well().await;
    let sent = due.requests.iter().position(|request| request.operation == REGENERATE).expect("it is due");
    for operation in [LIST_SETTINGS, LIST_STRINGS] {
        let read = |n| {
            let is =
                |request: &&RequestRecord| request.operation == operation && request.resource == app(0, n);
            due.requests[..sent].iter().filter(is).count()
        };
        assert!((0..30).all(|n| read(n) > 0), "an app was not read before the key was regenerated");
    }
    assert_eq!(due.count(LIST_SETTINGS, &app(1, 3)), 0, "the other service is not due");
}

#[tokio::test]
async fn what_cannot_be_read_is_read_at_every_run_until_it_was_seen() {
    for kind in [FaultKind::Forbidden, FaultKind::Unavailable] {
        let idle = Idle::unread(2, 30).await;
        idle.story.sim.fault(Fault::new(LIST_SETTINGS, kind).on(&app(1, 3)).times(1_000_000));
        for run in 0..3 {
            let asked = idle.tick(&idle.process()).await;
            assert!(
                asked.outcome.failure.as_ref().is_some_and(|failure| failure.contains("app-001-3")),
                "{kind:?}"
            );
            assert_eq!(asked.count(LIST_SETTINGS, &app(1, 4)), 1, "{kind:?}: all of its service");
            assert_eq!(
                asked.count(LIST_SETTINGS, &app(0, 4)),
                usize::from(run == 0),
                "{kind:?}: not the other"
            );
            idle.story.clock.advance(5 * MINUTE);
        }
        idle.story.sim.clear_faults();
        assert_eq!(idle.tick_well().await.count(LIST_SETTINGS, &app(1, 3)), 1, "{kind:?}");
        idle.story.clock.advance(5 * MINUTE);
        assert_eq!(idle.tick_well().await.requests.len(), 2, "{kind:?}: it is in order");
    }
}

#[tokio::test]
async fn a_deleted_app_is_told_of_at_every_run() {
    let mut idle = stretched().await;
    idle.story.sim.delete_site(&app(1, 3)).unwrap();
    idle.story.config.instances[1].policy.full_check_every = Duration::ZERO;
    assert!(idle.tick_well().await.told().contains("app-001-3"), "it is read");
    idle.story.config.instances[1].policy.full_check_every = 60 * MINUTE;
    for run in 0..2 {
        idle.story.clock.advance(5 * MINUTE);
        assert!(idle.tick_well().await.told().contains("app-001-3"), "run {run}");
    }
}

#[tokio::test]
async fn another_configuration_is_read_in_full_at_once() {
    let mut idle = stretched().await;
    let both = ["sr-000", "sr-001"];
    idle.story.config.instances[1].apps[3].may_hold_none = true;
    assert_eq!(idle.tick_well().await.read_in_full(30), both);
    assert_eq!(idle.tick_well().await.requests.len(), 2);
    idle.story.config.instances[0].policy.full_check_every = Duration::ZERO;
    assert_eq!(idle.tick_well().await.read_in_full(30), both);
    assert_eq!(idle.tick_well().await.read_in_full(30), ["sr-000"], "at every run, as it says");
}

#[tokio::test]
async fn where_it_cannot_be_told_when_all_was_read_it_is_read() {
    let idle = stretched().await;
    let record = || async { idle.story.store.get("timer.json").await.unwrap().document.unwrap() };
    let good = String::from_utf8(record().await.0).unwrap();
    let of_another_release = good.replace(r#""with":""#, r#""with":"another"#);
    let [today, tomorrow] = [0, 1].map(|days| (idle.story.clock.now() + delta(days * DAY)).date_naive());
    let of_a_wrong_clock = good.replace(&today.to_string(), &tomorrow.to_string());
    assert!(of_another_release != good && of_a_wrong_clock != good);
    let others = ["no", r#"{"unfinished":{},"later":1}"#, r#"{"unfinished":{}}"#];
    for damaged in others.into_iter().chain([&*of_another_release, &*of_a_wrong_clock]) {
        let (_, etag) = record().await;
        idle.story.store.put("timer.json", damaged.into(), Some(&etag)).await.unwrap();
        assert_eq!(idle.tick_well().await.read_in_full(30).len(), 2, "{damaged}");
        assert_eq!(idle.tick_well().await.requests.len(), 2, "{damaged}");
    }
}

fn settings_written(app: &str) -> Value {
    let site = format!(
        "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.Web/sites/{app}",
        World::default().subscription
    );
    json!({
        "id": uuid::Uuid::new_v4().to_string(), "type": "Microsoft.Resources.ResourceWriteSuccess", "specversion": "1.0",
        "subject": site, "data": {
            "operationName": "Microsoft.Web/sites/config/write", "resourceUri": format!("{site}/config/appsettings"),
        },
    })
}

#[tokio::test]
async fn a_notice_of_a_changed_app_has_everything_read_at_once() {
    let idle = stretched().await;
    let name = app(1, 3);
    idle.set(&name, &idle.old_string("sr-001", &name));
    let asked = idle.notice(&idle.process(), &settings_written(&name)).await;
    assert_eq!(asked.outcome.failure, None);
    assert!((0..30).all(|n| asked.count(LIST_SETTINGS, &app(1, n)) > 0), "everything of its service");
    assert_eq!(
        idle.story.held(&name, SETTING).fingerprint(),
        idle.story.key("sr-001", KeyType::Primary).fingerprint()
    );
}

/// The notice comes again, but whoever has it may be another process: the timer's runs of this one look as well.
#[tokio::test]
async fn after_a_notice_that_failed_the_next_run_reads_everything() {
    let idle = stretched().await;
    let (process, name) = (idle.process(), app(1, 3));
    assert_eq!(idle.tick(&process).await.requests.len(), 2);
    idle.story.sim.fault(Fault::new(LIST_SETTINGS, FaultKind::Unavailable).on(&name).times(1_000_000));
    let asked = idle.notice(&process, &settings_written(&name)).await;
    assert!(asked.outcome.failure.is_some(), "{:#?}", asked.outcome);
    idle.story.sim.clear_faults();
    idle.story.clock.advance(MINUTE);
    assert_eq!(idle.tick(&process).await.read_in_full(30), ["sr-001"]);
    assert_eq!(idle.tick(&process).await.requests.len(), 2, "all is in order");
}

#[tokio::test]
async fn the_watch_knows_the_keys_in_use_where_the_apps_were_not_read() {
    let mut idle = stretched().await;
    idle.story.config.watch = Some(MINUTE);
    let engine = idle.engine();
    assert_eq!(idle.tick(&Dispatcher::new(engine.clone())).await.requests.len(), 2);
    for service in &idle.story.config.instances {
        let in_use = engine.in_use.get(&service.id).expect("it was checked");
        let primary = idle.story.key(service.id.name(), KeyType::Primary);
        let keys: Vec<_> = in_use.keys.iter().map(Key::fingerprint).collect();
        assert_eq!(keys, [primary.fingerprint()]);
        assert!(in_use.host.starts_with(service.id.name()), "{}", in_use.host);
    }
}
