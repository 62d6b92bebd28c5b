//! Azure Resource Manager's limits of requests (docs: Understand how Azure Resource Manager throttles requests): what a fleet
//! takes under them, and who comes first.
//!
//! Time is tokio's own, stopped: it goes on when everybody waits, to whoever is the next to wake.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are for people")]

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use embedded_azure::{EmbeddedAzure, Options, RequestRecord, SignalR, Site, TokioClock, World};
use rekey_core::intent::Intent;
use rekey_core::plan::Decision;
use rekey_core::policy::{FirstRotation, Policy};
use signalr_rekey::azure::http::Http;
use signalr_rekey::clock::Clock as _;
use signalr_rekey::demo::setup;
use signalr_rekey::engine::{Engine, Order};
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
        let clock = Arc::new(TokioClock::default());
        let world = world(services, apps);
        let config = setup::config(&world, policy).unwrap();
        let options = Options {
            live: false,
            buckets,
            regenerate_takes: Duration::from_secs(2),
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
    let bound = (writes as f64 - 200.0) / 10.0;
    println!("{services} x {apps}: {writes} writes take {bound:.0} s of the bucket; took {took:.0} s");
    assert_eq!(requests.iter().filter(|request| request.status == Some(429)).count(), 0, "throttled");
    assert!(took <= 1.15 * bound, "{took} of {bound}");
    assert_eq!(fleet.azure.report().refused_unexplained, 0);
}

fn is_settled(report: &RunReport) {
    assert!(matches!(report.ending, Ending::Decided(Decision::Settled { .. })), "{report:#?}");
}

fn world(services: usize, apps: usize) -> World {
    let group = || "rg-fleet".to_owned();
    let names = |service: usize| (0..apps).map(move |app| format!("app-{service:04}-{app}"));
    let service = |at: usize| SignalR {
        group: group(),
        name: format!("sr-{at:04}"),
        apps: names(at).collect(),
        ..SignalR::default()
    };
    let site = |name: String| Site { group: group(), name, kind: "app".into(), ..Site::default() };
    World {
        signalr: (0..services).map(service).collect(),
        sites: (0..services).flat_map(names).map(site).collect(),
        ..World::default()
    }
}
