//! One forced regeneration after the other, each repaired once by us and once by the floor. Then the same where all apps read
//! one Key Vault secret, up to where each was seen to be given the new version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_azure::{EmbeddedAzure, KeyType, Options, Secret, SignalR, Site, Vault, World};
use rekey_core::intent::Intent;
use rekey_core::model::{AppId, ConnectionString};
use rekey_core::notice;
use rekey_core::policy::{Policy, Verify};
use rekey_core::time::delta;
use serde_json::json;
use signalr_rekey::azure::http::Http;
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::config::{AppConfig, SecretConfig};
use signalr_rekey::demo::setup;
use signalr_rekey::engine::{Dispatcher, Order};
use signalr_rekey::handler::{Invocation, Runner, Trigger};
use signalr_rekey::store::MemoryStore;

use super::common::round_trips::AT_REST;
use super::floor::Floor;
use super::table::Figure;

const LATENCY: Duration = Duration::from_millis(50);
const GOAL: f64 = 1.5;
/// How long after a write it is read back: ARM takes no condition, and what another wrote at the same time shows then.
pub(crate) const READ_BACK: Duration = Duration::from_secs(2);
pub(crate) const VAULT: &str = "kv-bench";
const REFERENCE: &str = "@Microsoft.KeyVault(VaultName=kv-bench;SecretName=signalr)";
pub(crate) const SETTING: &str = "Azure__SignalR__ConnectionString";

/// What a string is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// In a setting of each app.
    InApps,
    /// In one secret, to which a setting of each app refers.
    InASecret,
}

/// From the notice to its answer, which comes when the last reader was observed, beside the floor. The goal is two round trips
/// more: the keys come first, for an event so soon after another may be one of our own doing; and one is to spare.
pub(crate) async fn of_a_secret(readers: usize, runs: usize) -> Figure {
    let bench = Bench::new(readers, Kept::InASecret).await;
    let (_, ours, floor) = bench.medians(runs).await;
    let goal = floor + 2 * LATENCY;
    let besides = |time: Duration| time.saturating_sub(READ_BACK).as_secs_f64();
    Figure {
        name: format!("1 secret, {readers} readers, observed"),
        ours: format!("{} ms", ours.as_millis()),
        floor: format!("{} ms", floor.as_millis()),
        // Of what is not waited, which both do.
        ratio: besides(ours) / besides(floor),
        goal: format!("<= {} ms", goal.as_millis()),
        reached: ours <= goal,
    }
}

pub(crate) async fn figure(apps: usize, runs: usize) -> Figure {
    let bench = Bench::new(apps, Kept::InApps).await;
    let (ours, _, floor) = bench.medians(runs).await;
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

/// The settings of an app where they are not listed for it.
fn reference(kept: Kept) -> BTreeMap<String, String> {
    let setting = || (SETTING.to_owned(), REFERENCE.to_owned());
    (kept == Kept::InASecret).then(setting).into_iter().collect()
}

struct Bench {
    sim: EmbeddedAzure,
    service: Arc<Dispatcher>,
    floor: Floor,
    apps: Vec<AppId>,
    kept: Kept,
    event: serde_json::Value,
}

impl Bench {
    async fn new(apps: usize, kept: Kept) -> Self {
        let group = || "rg-bench".to_owned();
        let names: Vec<String> = (0..apps).map(|app| format!("app-{app:03}")).collect();
        let site = |name: &String| Site {
            group: group(),
            name: name.clone(),
            kind: "app".into(),
            settings: reference(kept),
            ..Site::default()
        };
        let sites = names.iter().map(site).collect();
        // Who is listed is given a string of its own.
        let listed = if kept == Kept::InApps { names } else { vec![] };
        let signalr = SignalR { group: group(), name: "sr-bench".into(), apps: listed, ..SignalR::default() };
        let secrets = [("signalr".to_owned(), Secret::new("{primary:sr-bench}"))].into();
        let vault = Vault { group: group(), name: VAULT.into(), secrets };
        let world = World { signalr: vec![signalr], sites, vaults: vec![vault], ..World::default() };
        // No data plane: a run would try for minutes whether it still accepts a key that was replaced.
        let policy = Policy { verify: Verify::ControlPlane, ..Policy::default() };
        let mut config = setup::config(&world, &policy).unwrap();
        // As the floor, which knows where to look.
        let named = |app: &mut AppConfig| app.settings = vec![SETTING.to_owned()];
        config.instances[0].apps.iter_mut().for_each(named);
        if kept == Kept::InASecret {
            let id = "https://kv-bench.vault.azure.net/secrets/signalr".parse().unwrap();
            config.instances[0].vault_secrets =
                vec![SecretConfig { id, readers_within: Duration::ZERO, unused: false }];
        }
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
        let reports = rekey.run(&run).await;
        assert!(reports[0].ending.is_repaired(), "{reports:#?}");
        let event = json!({
            "type": "Microsoft.Resources.ResourceActionSuccess", "subject": instance.to_string(),
            "data": { "operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action" },
        });
        let floor = Floor::new(&sim, instance).await;
        Self { sim, service: Dispatcher::new(rekey), floor, apps, kept, event }
    }

    /// So many times each: to our last write, to our answer, and what the floor takes. That comes afterwards, for the keys that it
    /// gives are on no record of ours, and whoever finds such a one looks at the keys once more.
    async fn medians(&self, runs: usize) -> (Duration, Duration, Duration) {
        let (mut written, mut answered, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            let (write, answer) = self.repair().await;
            written.push(write);
            answered.push(answer);
        }
        for _ in 0..runs {
            floor.push(self.floor().await);
        }
        (median(&mut written), median(&mut answered), median(&mut floor))
    }

    /// The time from the notice to the last write of an app's own string by us, and to the answer, which comes later: what was
    /// written is read back first.
    async fn repair(&self) -> (Duration, Duration) {
        tokio::time::sleep(AT_REST).await;
        self.force();
        let events = notice::read(&self.event, "the event").unwrap();
        let deadline = SystemClock.now() + delta(Duration::from_secs(25));
        let invocation = Invocation { id: "1".into(), function: "OnKeyNotice", deadline };
        let start = Instant::now();
        let service = Arc::clone(&self.service);
        let run = tokio::spawn(async move { service.run(Trigger::Events(events), invocation).await });
        while self.kept == Kept::InApps && !self.is_repaired() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = start.elapsed();
        assert_eq!(run.await.unwrap().failure, None);
        assert!(self.is_repaired());
        (took, start.elapsed())
    }

    /// The same by a bare client.
    async fn floor(&self) -> Duration {
        self.force();
        let start = Instant::now();
        match self.kept {
            Kept::InApps => self.floor.repair(&self.apps).await,
            Kept::InASecret => self.floor.repair_secret(&self.apps).await,
        }
        let took = start.elapsed();
        assert!(self.is_repaired());
        took
    }

    fn force(&self) {
        self.sim.regenerate("sr-bench", &KeyType::ALL).unwrap();
    }

    fn is_repaired(&self) -> bool {
        if self.kept == Kept::InASecret {
            let valid = |app: &AppId| {
                let signs = self.sim.with(|state| state.signs(&app.name())).unwrap();
                signs.iter().all(|(_, key)| key.is_some())
            };
            return self.apps.iter().all(valid);
        }
        let keys = self.sim.keys("sr-bench").unwrap();
        self.apps.iter().all(|app| {
            let held = self.sim.settings(&app.name()).unwrap()[SETTING].clone();
            let held = ConnectionString::parse(&held).unwrap().key().unwrap();
            [&keys.primary, &keys.secondary].iter().any(|key| key.expose() == held.expose())
        })
    }
}
