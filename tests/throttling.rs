//! Azure Resource Manager's limits of requests (docs: Understand how Azure Resource Manager throttles requests): what a fleet
//! takes under them, and who comes first.
//!
//! Time is tokio's own, stopped: it goes on when everybody waits, to whoever is the next to wake.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are for people")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::{EmbeddedAzure, KeyType, Options, RequestRecord, TokioClock, World};
use rekey_core::intent::Intent;
use rekey_core::notice;
use rekey_core::plan::Decision;
use rekey_core::policy::{FirstRotation, Policy};
use serde_json::json;
use signalr_rekey::azure::http::Http;
use signalr_rekey::clock::Clock as _;
use signalr_rekey::demo::setup;
use signalr_rekey::engine::{Dispatcher, Engine, Order};
use signalr_rekey::handler::{Invocation, Outcome, Runner as _, Trigger};
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::MemoryStore;

/// Services with apps of their own, and an engine that looks after them.
struct Fleet {
    azure: EmbeddedAzure,
    clock: Arc<TokioClock>,
    engine: Engine,
}

impl Fleet {
    async fn new(services: usize, apps: usize, buckets: bool, policy: Policy) -> Self {
        Self::whose_operations_take(Duration::from_secs(2), services, apps, buckets, policy).await
    }

    async fn whose_operations_take(
        regenerate_takes: Duration,
        services: usize,
        apps: usize,
        buckets: bool,
        policy: Policy,
    ) -> Self {
        let clock = Arc::new(TokioClock::default());
        let world = common::fleet::world(services, apps);
        let config = setup::config(&world, &policy).unwrap();
        let options = Options {
            live: false,
            tick: Duration::from_secs(60),
            buckets,
            regenerate_takes,
            latency: Duration::from_millis(50),
            ..Options::default()
        };
        let azure =
            EmbeddedAzure::start(world, options, clock.clone(), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let base = azure.base().parse().unwrap();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let silent = signalr_rekey::compose::silent();
        let engine =
            setup::worker(&base, &Http::new(), Arc::new(config), store, clock.clone(), silent).unwrap();
        Self { azure, clock, engine }
    }

    /// A run of the timer, as the host calls it.
    async fn tick(&self, timer: &Arc<Dispatcher>) -> (Outcome, f64) {
        let start = self.clock.now();
        let deadline = start + TimeDelta::minutes(9);
        let invocation = Invocation { id: start.to_string(), function: "RotateKeys", deadline };
        let outcome = timer.run(Trigger::Timer, invocation).await;
        (outcome, (self.clock.now() - start).as_seconds_f64())
    }

    async fn run(&self, intent: Intent) -> (Vec<RunReport>, f64) {
        let start = self.clock.now();
        let deadline = start + TimeDelta::hours(2);
        let holder = format!("run-{start}");
        let reports = self.engine.run(&Order { services: vec![], intent, holder, deadline }).await;
        (reports, (self.clock.now() - start).as_seconds_f64())
    }

    /// The requests to Azure Resource Manager since the first so many.
    fn requests(&self, since: usize) -> Vec<RequestRecord> {
        self.azure.requests().into_iter().filter(|request| request.arm).skip(since).collect()
    }
}

/// Everybody has new keys after 100 services with three apps each were rotated, and the buckets were empty the whole time.
#[tokio::test(start_paused = true)]
async fn a_rotation_takes_as_long_as_the_buckets_give_and_nothing_is_refused() {
    let (services, apps) = (100, 3);
    let grace = Duration::from_secs(3);
    let policy = Policy { grace, first_rotation: FirstRotation::WhenDue, ..Policy::default() };
    let fleet = Fleet::new(services, apps, true, policy).await;
    let (reports, _) = fleet.run(Intent::timer()).await;
    reports.iter().for_each(is_settled);
    // The buckets are full again.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = fleet.requests(0).len();
    let (reports, took) = fleet.run(Intent::operator(true)).await;
    reports.iter().for_each(is_settled);
    let requests = fleet.requests(before);
    let of = |operation: &str| requests.iter().filter(|request| request.operation == operation).count();
    assert_eq!(of("SignalR_RegenerateKey"), 2 * services);
    let writes = requests.iter().filter(|request| request.method != "GET").count();
    // What docs/performance.md says: the formula without the polls, which are reads, and what has to be read again because the
    // bucket made the first reading slow.
    let formula = services * (6 + 6 * apps);
    assert!((formula..=formula + services / 4).contains(&writes), "{writes} writes");
    let bound = (writes as f64 - 200.0) / 10.0;
    println!("{services} x {apps}: {writes} writes take {bound:.0} s of the bucket; took {took:.0} s");
    assert_eq!(requests.iter().filter(|request| request.status == Some(429)).count(), 0, "throttled");
    assert!(took <= 1.15 * bound, "{took} of {bound}");
    assert_eq!(fleet.azure.report().refused_unexplained, 0);
}

/// What the keys of a service cost at the least: `docs/performance.md` says which invariant needs each request.
#[tokio::test(start_paused = true)]
async fn a_rotation_costs_what_the_invariants_need_and_no_more() {
    for services in [1, 100] {
        let apps = 3;
        // Longer than what was read stays fresh, and shorter than a wait in which everything is checked again.
        let grace = Duration::from_secs(120);
        let policy = Policy { grace, first_rotation: FirstRotation::WhenDue, ..Policy::default() };
        let fleet = Fleet::new(services, apps, false, policy).await;
        fleet.run(Intent::timer()).await.0.iter().for_each(is_settled);
        let before = fleet.requests(0).len();
        // Nobody is known to have left a key just before.
        tokio::time::sleep(2 * grace).await;
        fleet.run(Intent::operator(true)).await.0.iter().for_each(is_settled);
        let requests = fleet.requests(before);
        let of = |start: &str| requests.iter().filter(|request| request.operation.starts_with(start)).count();
        let asked = ["SignalR_ListKeys", "SignalR_RegenerateKey", "WebApps_List", "WebApps_Update"].map(of);
        // The keys at the check, after each regeneration, after the writes, and before the second regeneration. Of each app both
        // sections at the check, one just before its write, for the key was followed and proved meanwhile, the same read back
        // after it, and both afresh before the second regeneration.
        let wanted = [5, 2, (2 + 1 + 1 + 2) * apps, apps].map(|each| each * services);
        assert_eq!(asked, wanted, "{services} x {apps}");
        let polls = of("SignalR_Operation");
        assert!(polls <= 3 * 2 * services, "{polls} polls of operations of two seconds");
        assert_eq!(requests.len(), asked.iter().sum::<usize>() + polls);
    }
}

/// Anybody may send events, as many as he likes: neither the timer nor a rotation waits for them for long, and somebody who is
/// cut off meanwhile is repaired at once.
#[tokio::test(start_paused = true)]
async fn events_without_end_of_all_services_stop_nothing() {
    let services = 40;
    let policy =
        Policy { grace: Duration::from_secs(3), first_rotation: FirstRotation::WhenDue, ..Policy::default() };
    let fleet = Fleet::new(services, 1, true, policy).await;
    fleet.run(Intent::timer()).await.0.iter().for_each(is_settled);
    let timer = Dispatcher::new(fleet.engine.clone());
    for n in 0..services {
        let (notices, clock) = (Arc::clone(&timer), fleet.clock.clone());
        tokio::spawn(async move {
            loop {
                told(&notices, n, DateTime::UNIX_EPOCH, clock.now()).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (outcome, took) = fleet.tick(&timer).await;
    assert_eq!(outcome.failure, None);
    println!("a run of the timer took {took:.0} s");
    assert!(took < 30.0, "three requests of each service at three quarters of what is given back: {took} s");
    let start = fleet.clock.now();
    fleet.azure.regenerate(&common::fleet::service(1), &[KeyType::Primary]).unwrap();
    let outcome = told(&timer, 1, start, start).await;
    let took = (fleet.clock.now() - start).as_seconds_f64();
    println!("a repair took {took:.1} s");
    assert_eq!((outcome.failure, took < 20.0), (None, true), "{took}");
    let (reports, took) = fleet.run(Intent::operator(true)).await;
    reports.iter().for_each(is_settled);
    println!("a rotation took {took:.0} s");
    assert!(took < 120.0, "{took}");
    assert_eq!(fleet.requests(0).iter().filter(|request| request.status == Some(429)).count(), 0);
}

/// Tells of a regeneration that happened then.
async fn told(notices: &Arc<Dispatcher>, service: usize, time: DateTime<Utc>, now: DateTime<Utc>) -> Outcome {
    let (subscription, service) = (World::default().subscription, common::fleet::service(service));
    let id = format!(
        "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.SignalRService/SignalR/{service}"
    );
    let event = json!({
        "id": uuid::Uuid::new_v4().to_string(),
        "type": "Microsoft.Resources.ResourceActionSuccess",
        "specversion": "1.0",
        "subject": id,
        "time": time,
        "data": { "operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action", "resourceUri": id },
    });
    let events = notice::read(&event, "the event").unwrap();
    let deadline = now + TimeDelta::seconds(60);
    let invocation = Invocation { id: "an event".into(), function: "OnKeyNotice", deadline };
    notices.run(Trigger::Events(events), invocation).await
}

/// What a rotation costs with operations of 13 to 75 seconds, the default grace and a run every five minutes: the timer reads
/// everything as long as the grace goes on, and that is most of it.
#[tokio::test(start_paused = true)]
async fn a_rotation_with_a_real_grace_costs_what_the_document_says() {
    let apps = 3;
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md")).unwrap();
    let document = document.split_whitespace().collect::<Vec<_>>().join(" ");
    for seconds in [13, 75] {
        let policy = Policy { first_rotation: FirstRotation::WhenDue, ..Policy::default() };
        let takes = Duration::from_secs(seconds);
        let fleet = Fleet::whose_operations_take(takes, 1, apps, false, policy.clone()).await;
        let timer = Dispatcher::new(fleet.engine.clone());
        assert_eq!(fleet.tick(&timer).await.0.failure, None);
        tokio::time::sleep(policy.rotate_every + Duration::from_secs(60)).await;
        let (first, mut waits) = (fleet.requests(0).len(), 0);
        loop {
            let before = fleet.requests(0).len();
            let (outcome, took) = fleet.tick(&timer).await;
            assert_eq!(outcome.failure, None);
            waits += usize::from(fleet.requests(before).len() == 1 + 2 * apps);
            if outcome.served[0].ended.contains("settled") {
                break;
            }
            tokio::time::sleep(Duration::from_secs_f64(300.0 - took)).await;
        }
        let requests = fleet.requests(first);
        let polls =
            requests.iter().filter(|request| request.operation.starts_with("SignalR_Operation")).count();
        let (all, waited) = (requests.len(), waits * (1 + 2 * apps));
        let own = all - waited;
        println!(
            "{seconds} s: {all} requests, {own} of the rotation, {polls} polls; {waits} runs that waited"
        );
        assert_eq!(own, 8 + polls + 9 * apps);
        for said in [
            format!("{own} requests with operations of {seconds} s ({polls} polls)"),
            format!("in {waits} runs, which is {waited} requests for three apps"),
            "`8 + polls + 9 × apps`".to_owned(),
        ] {
            assert!(document.contains(&said), "docs/performance.md does not say {said:?}");
        }
    }
}

/// What is read before a regeneration is older than it may be when the last of it is there: it is not read for ever.
#[tokio::test(start_paused = true)]
async fn services_whose_apps_take_long_to_read_are_rotated_all_the_same() {
    let policy =
        Policy { grace: Duration::from_secs(3), first_rotation: FirstRotation::WhenDue, ..Policy::default() };
    let fleet = Fleet::new(3, 60, true, policy).await;
    fleet.run(Intent::timer()).await.0.iter().for_each(is_settled);
    let before = fleet.requests(0).len();
    let (reports, took) = fleet.run(Intent::operator(true)).await;
    reports.iter().for_each(is_settled);
    let requests = fleet.requests(before);
    println!("3 x 60: {} requests in {took:.0} s", requests.len());
    let regenerated = requests.iter().filter(|request| request.operation == "SignalR_RegenerateKey").count();
    assert_eq!((regenerated, fleet.azure.report().refused_unexplained), (6, 0));
}

/// What thousands of requests a subscription's bucket gives back between two runs is enough for a thousand services.
#[tokio::test(start_paused = true)]
async fn a_thousand_services_are_watched_within_the_buckets() {
    let policy = Policy { first_rotation: FirstRotation::WhenDue, ..Policy::default() };
    let fleet = Fleet::new(1000, 3, true, policy).await;
    let timer = Dispatcher::new(fleet.engine.clone());
    // At first everything is read, which is more than fits into one run. A run takes a while, and the schedule goes on.
    let mut first = 0;
    while fleet.tick(&timer).await.0.failure.is_some() {
        first += 1;
        assert!(first < 4, "everything was read");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(150)).await;
        let before = fleet.requests(0).len();
        let (outcome, took) = fleet.tick(&timer).await;
        assert_eq!(outcome.failure, None);
        let requests = fleet.requests(before);
        let keys = requests.iter().filter(|request| request.operation == "SignalR_ListKeys").count();
        println!("1000 x 3: {keys} listKeys among {} requests, in {took:.0} s", requests.len());
        assert_eq!(keys, 1000);
        assert!(took < 300.0, "{took} s are more than there are between two runs");
    }
    let refused = fleet.requests(0).iter().filter(|request| request.status == Some(429)).count();
    assert_eq!(refused, 0, "throttled");
}

fn is_settled(report: &RunReport) {
    assert!(matches!(report.ending, Ending::Decided(Decision::Settled { .. })), "{report:#?}");
}
