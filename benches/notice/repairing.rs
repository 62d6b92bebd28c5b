//! One forced regeneration after the other, each repaired once by us and once by the floor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_azure::{EmbeddedAzure, KeyType, Options, SignalR, Site, World};
use rekey_core::intent::Intent;
use rekey_core::model::{AppId, ConnectionString};
use rekey_core::notice;
use rekey_core::policy::Policy;
use rekey_core::time::delta;
use serde_json::json;
use signalr_rekey::azure::http::Http;
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::config::AppConfig;
use signalr_rekey::demo::setup;
use signalr_rekey::engine::{Dispatcher, Order};
use signalr_rekey::handler::{Invocation, Runner, Trigger};
use signalr_rekey::store::MemoryStore;

use super::common::round_trips::AT_REST;
use super::floor::Floor;
use super::table::Figure;

const LATENCY: Duration = Duration::from_millis(50);
const GOAL: f64 = 1.5;
pub(crate) const SETTING: &str = "Azure__SignalR__ConnectionString";

pub(crate) async fn figure(apps: usize, runs: usize) -> Figure {
    let bench = Bench::new(apps).await;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(bench.repair().await);
        floor.push(bench.floor().await);
    }
    let (ours, floor) = (median(&mut ours), median(&mut floor));
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    Figure {
        name: format!("{apps} apps"),
        ours: format!("{ours:.0?}"),
        floor: format!("{floor:.0?}"),
        ratio,
        goal: format!("<= {GOAL}x"),
        reached: ratio <= GOAL,
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

struct Bench {
    sim: EmbeddedAzure,
    service: Arc<Dispatcher>,
    floor: Floor,
    apps: Vec<AppId>,
    event: serde_json::Value,
}

impl Bench {
    async fn new(apps: usize) -> Self {
        let group = || "rg-bench".to_owned();
        let names: Vec<String> = (0..apps).map(|app| format!("app-{app:03}")).collect();
        let site = |name: &String| Site {
            group: group(),
            name: name.clone(),
            kind: "app".into(),
            ..Site::default()
        };
        let sites = names.iter().map(site).collect();
        let signalr = SignalR { group: group(), name: "sr-bench".into(), apps: names, ..SignalR::default() };
        let world = World { signalr: vec![signalr], sites, ..World::default() };
        let mut config = setup::config(&world, &Policy::default()).unwrap();
        // As the floor, which knows where to look.
        let named = |app: &mut AppConfig| app.settings = vec![SETTING.to_owned()];
        config.instances[0].apps.iter_mut().for_each(named);
        let apps = config.instances[0].apps.iter().map(|app| app.id.clone()).collect();
        let instance = config.instances[0].id.clone();
        let options = Options { latency: LATENCY, tick: Duration::from_secs(1), ..Options::default() };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let sim = EmbeddedAzure::start(
            world,
            options,
            Arc::new(embedded_azure::SystemClock),
            ([127, 0, 0, 1], 0).into(),
        )
        .await
        .unwrap();
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let silent = Arc::new(|_: &_, _: &_| {});
        let base = sim.base().parse().unwrap();
        let rekey = setup::worker(&base, &Http::new(), Arc::new(config), store, clock, silent).unwrap();
        // Known before, so that nothing of the first sight is in the figures.
        let deadline = SystemClock.now() + delta(Duration::from_secs(60));
        let run = Order { services: vec![], intent: Intent::check(), holder: "first".into(), deadline };
        assert!(rekey.run(&run).await[0].ending.is_repaired());
        let event = json!({
            "type": "Microsoft.Resources.ResourceActionSuccess", "subject": instance.to_string(),
            "data": { "operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action" },
        });
        let floor = Floor::new(&sim, instance).await;
        Self { sim, service: Dispatcher::new(rekey), floor, apps, event }
    }

    /// The time from the notice to the last write by us. The answer comes later: what was written is read back first.
    async fn repair(&self) -> Duration {
        tokio::time::sleep(AT_REST).await;
        self.force();
        let events = notice::read(&self.event, "the event").unwrap();
        let deadline = SystemClock.now() + delta(Duration::from_secs(25));
        let invocation = Invocation { id: "1".into(), function: "OnKeyNotice", deadline };
        let start = Instant::now();
        let service = Arc::clone(&self.service);
        let run = tokio::spawn(async move { service.run(Trigger::Events(events), invocation).await });
        while !self.is_repaired() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = start.elapsed();
        assert_eq!(run.await.unwrap().failure, None);
        assert!(self.is_repaired());
        took
    }

    /// The same by three round trips and nothing else.
    async fn floor(&self) -> Duration {
        self.force();
        let start = Instant::now();
        self.floor.repair(&self.apps).await;
        let took = start.elapsed();
        assert!(self.is_repaired());
        took
    }

    fn force(&self) {
        self.sim.regenerate("sr-bench", &KeyType::ALL).unwrap();
    }

    fn is_repaired(&self) -> bool {
        let keys = self.sim.keys("sr-bench").unwrap();
        self.apps.iter().all(|app| {
            let held = self.sim.settings(&app.name()).unwrap()[SETTING].clone();
            let held = ConnectionString::parse(&held).unwrap().key().unwrap();
            [&keys.primary, &keys.secondary].iter().any(|key| key.expose() == held.expose())
        })
    }
}
