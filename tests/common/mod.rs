//! The one harness of the stories: an embedded Azure over real HTTP, the real client with azure_identity, and a clock
//! that passes hours in milliseconds.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of the harness")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up its world fails")]

pub mod azurite;
pub mod counting;
pub mod fleet;
pub mod health;
pub mod hooked;
pub mod journals;
pub mod log;
pub mod older;
pub mod program;
pub mod proxy;
pub mod round_trips;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::{EmbeddedAzure, Options, SignalR, Site, Unknown, VirtualClock, World};
use rekey_core::intent::Intent;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{AppId, ConnectionString, Key, KeyPair, KeyType, ServiceId};
use rekey_core::plan::Decision;
use rekey_core::policy::Policy;
use rekey_core::time::delta;
use serde_json::{Value, json};
use signalr_rekey::azure::http::Http;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::{AppConfig, Config};
use signalr_rekey::demo::setup;
use signalr_rekey::engine::{Engine, Narrator, Order};
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::{MemoryStore, Store, StoreError, Timer, peek, timer_ran};
use url::Url;

/// What every key of the embedded Azure starts with, so that any output can be searched for it.
pub const KEY_MARK: &str = "RECOGNISABLEKEY";

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

thread_local! {
    /// The HTTP client of a test's workers: building one takes in the system's certificates, which is most of what a short
    /// story costs.
    static HTTP: Http = Http::new();
}

/// An embedded Azure and a worker that looks after it.
pub struct Story {
    pub sim: Arc<EmbeddedAzure>,
    pub clock: Arc<VirtualClock>,
    pub store: Arc<MemoryStore>,
    pub config: Config,
    /// Everything that the passes told, for people.
    pub told: Arc<Mutex<Vec<String>>>,
}

/// A clock that is wrong by so much.
#[derive(Debug)]
struct Wrong {
    clock: Arc<VirtualClock>,
    by: TimeDelta,
}

#[async_trait::async_trait]
impl Clock for Wrong {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now() + self.by
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        self.clock.sleep_until(time - self.by).await;
    }
}

impl Story {
    /// The default world: one instance, a web app with a slot, a function app; Azure as slow as the real one.
    pub async fn new() -> Self {
        Self::of(World::default(), Options::default()).await
    }

    /// A world of one's own.
    pub async fn of(world: World, options: Options) -> Self {
        let clock = Arc::new(VirtualClock::default());
        // As long as the longest on record, unless it is said.
        let said = (options.regenerate_takes != Options::default().regenerate_takes)
            .then_some(options.regenerate_takes);
        let options = Options {
            live: false,
            regenerate_takes: said.unwrap_or(Duration::from_secs(75)),
            restart_takes: Duration::from_secs(20),
            client_token_life: HOUR,
            tick: MINUTE,
            key_prefix: KEY_MARK.to_owned(),
            ..options
        };
        let config = config(&world);
        let sim =
            EmbeddedAzure::start(world, options, clock.clone(), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let told = Arc::default();
        Self { sim: Arc::new(sim), clock, store, config, told }
    }

    /// A worker, as a new process would be: nothing in memory but what is in the store.
    pub fn rekey(&self) -> Engine {
        self.worker(&self.sim.base().parse().unwrap(), self.store.clone(), self.clock.clone())
    }

    /// A worker that reaches Azure, the journal and the time by ways of one's own.
    pub fn worker(&self, base: &Url, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Engine {
        let told = Arc::clone(&self.told);
        let narrator: Narrator = Arc::new(move |instance, event| {
            if event.is_told() {
                told.lock().unwrap().push(format!("{}: {event}", instance.name()));
            }
        });
        let config = Arc::new(self.config.clone());
        HTTP.with(|http| setup::worker(base, http, config, store, clock, narrator)).unwrap()
    }

    /// A worker whose clock is wrong by so much.
    pub fn worker_by(&self, by: TimeDelta) -> Engine {
        let clock = Arc::new(Wrong { clock: self.clock.clone(), by });
        self.worker(&self.sim.base().parse().unwrap(), self.store.clone(), clock)
    }

    /// One run over all instances with so much time.
    pub async fn run(&self, intent: Intent, time: Duration) -> Vec<RunReport> {
        self.rekey().run(&self.order(intent, time)).await
    }

    /// The order for a run over all instances, under a name that no other run has.
    pub fn order(&self, intent: Intent, time: Duration) -> Order {
        let holder = uuid::Uuid::new_v4().to_string();
        Order { services: vec![], intent, holder, deadline: self.clock.now() + delta(time) }
    }

    /// A run of the timer: what is due, within its usual nine minutes.
    pub async fn tick(&self) -> Vec<RunReport> {
        let reports = self.run(Intent::timer(), 9 * MINUTE).await;
        timer_ran(&*self.store, None, &[], &Timer::default()).await.unwrap();
        reports
    }

    /// An operator's run every ten minutes, for so long, which reaches Azure by way of one's own. The last reports.
    pub async fn watch_by(&self, base: &Url, time: Duration) -> Vec<RunReport> {
        let rekey = self.worker(base, self.store.clone(), self.clock.clone());
        let end = self.clock.now() + delta(time);
        loop {
            let reports = rekey.run(&self.order(Intent::operator(false), 9 * MINUTE)).await;
            if self.clock.now() >= end {
                return reports;
            }
            self.clock.advance(10 * MINUTE);
        }
    }

    /// The timer at work every ten minutes, for so long. The last reports.
    pub async fn watch(&self, time: Duration) -> Vec<RunReport> {
        let end = self.clock.now() + delta(time);
        loop {
            let reports = self.tick().await;
            if self.clock.now() >= end {
                return reports;
            }
            self.clock.advance(10 * MINUTE);
        }
    }

    /// A notice's run.
    pub async fn repair(&self) -> Vec<RunReport> {
        self.run(Intent::check(), Duration::from_secs(25)).await
    }

    /// The one instance's journal.
    pub async fn journal(&self) -> Journal {
        peek(&*self.store as &dyn Store, &self.config.instances[0].id).await.unwrap()
    }

    /// How often a request was made.
    pub fn requests(&self, operation: &str) -> usize {
        self.sim.requests().iter().filter(|request| request.operation == operation).count()
    }

    /// The key of an instance that is in effect.
    pub fn key(&self, instance: &str, key_type: KeyType) -> Key {
        self.keys(instance).unwrap()[key_type].clone()
    }

    /// The keys of an instance that are in effect.
    pub fn keys(&self, instance: &str) -> Result<KeyPair, Unknown> {
        self.sim.keys(instance).map(|keys| {
            let [primary, secondary] = [keys.primary, keys.secondary].map(|key| Key::new(key.expose()));
            KeyPair { primary, secondary }
        })
    }

    /// Regenerates keys by force, as Azure does.
    pub fn force(&self, instance: &str, key_types: &[KeyType]) -> Result<(), Unknown> {
        self.sim.regenerate(instance, &azures(key_types))
    }

    /// The key in a setting of an app.
    pub fn held(&self, app: &str, setting: &str) -> Key {
        let settings = self.sim.settings(app).unwrap();
        ConnectionString::parse(&settings[setting]).unwrap().key().unwrap()
    }

    /// Refused client calls so far. Time passes for a moment first, so that nothing hides behind the last request.
    pub fn refused(&self) -> u64 {
        self.clock.advance(MINUTE);
        self.sim.report().refused
    }
}

/// Key types in the words of the embedded Azure, which shares none of ours.
pub fn azures(key_types: &[KeyType]) -> Vec<embedded_azure::KeyType> {
    let named = |key_type: &KeyType| embedded_azure::KeyType::named(key_type.as_str()).unwrap();
    key_types.iter().map(named).collect()
}

/// A key type of the embedded Azure in ours.
pub fn ours(key_type: embedded_azure::KeyType) -> KeyType {
    key_type.name().parse().unwrap()
}

/// Whether every instance is in order, with a next rotation to come.
pub fn settled(reports: &[RunReport]) -> bool {
    let is =
        |report: &RunReport| matches!(report.ending, Ending::Decided(Decision::Settled { next: Some(_) }));
    reports.iter().all(is)
}

/// A run that ends well says that every app of its instance was seen and signs with a valid key. What the embedded Azure knows
/// against it, for each run that ended well; what a notice tells that is known already sees no app.
pub fn untrue(sim: &EmbeddedAzure, config: &Config, reports: &[RunReport]) -> Vec<String> {
    let well = |report: &&RunReport| {
        let said = matches!(
            report.ending,
            Ending::Repaired | Ending::Decided(Decision::Settled { .. } | Decision::Waiting { .. })
        );
        said && report.known.is_none()
    };
    let problems = |report: &RunReport| {
        let configured = config.instances.iter().find(|known| known.id == report.service).unwrap();
        let apps: Vec<String> = configured.consumers().map(|consumer| consumer.to_string()).collect();
        let problems = sim.with(|state| state.problems(&report.service.to_string(), &apps));
        let ending = report.ending.to_string();
        problems.into_iter().map(move |problem| format!("it ended well ({ending}), but {problem}"))
    };
    reports.iter().filter(well).flat_map(problems).collect()
}

/// Every consumer of the default world holds the same valid key; which.
pub fn all_hold(story: &Story) -> KeyType {
    // By what the app signs with, which the embedded Azure knows.
    let holds = |(name, _): (&str, &str)| {
        let signs = story.sim.with(|state| state.signs(name)).unwrap();
        assert_eq!(signs.len(), 1, "{name} signs with {signs:?}");
        signs.into_iter().find_map(|(_, key_type)| key_type)
    };
    let held: Vec<_> = CONSUMERS.into_iter().map(holds).collect();
    assert!(held.iter().all(|key_type| *key_type == held[0]), "{held:?}");
    ours(held[0].unwrap())
}

/// The settings that hold the connection string in the default world.
pub const CONSUMERS: [(&str, &str); 3] = [
    ("chat-web", "Azure__SignalR__ConnectionString"),
    ("chat-web/staging", "Azure__SignalR__ConnectionString"),
    ("chat-func", "AzureSignalRConnectionString"),
];

/// Two services, and one app that holds a key of each.
pub fn two_services_of_one_app() -> World {
    let instance = |name: &str| SignalR {
        group: "rg".into(),
        name: name.into(),
        apps: vec!["both".into()],
        ..SignalR::default()
    };
    let settings = ["sr-one", "sr-two"].map(|name| (name.to_owned(), format!("{{primary:{name}}}")));
    let site = Site {
        group: "rg".into(),
        name: "both".into(),
        kind: "app".into(),
        settings: settings.into(),
        ..Site::default()
    };
    World { signalr: vec![instance("sr-one"), instance("sr-two")], sites: vec![site], ..World::default() }
}

/// A configuration that looks after everything in a world, and moves all of it in one wave.
pub fn config(world: &World) -> Config {
    let mut config = setup::config(world, &Policy::default()).unwrap();
    for instance in &mut config.instances {
        instance.policy.waves = instance.consumers().map(|consumer| (consumer, 2)).collect();
    }
    config
}

/// An app that is looked at by value.
pub fn app(id: AppId) -> AppConfig {
    AppConfig { id, settings: vec![], connection_strings: vec![], may_hold_none: false }
}

/// How many events of a kind a journal tells of.
pub fn count(journal: &Journal, tells: fn(&Event) -> bool) -> usize {
    journal.history().filter(|entry| tells(&entry.event)).count()
}

/// Under which name the journal of an instance is stored.
pub fn document_name(instance: &ServiceId) -> String {
    let (subscription, group, name) = (instance.subscription(), instance.group(), instance.name());
    format!("{subscription}/{group}/signalr/{name}.json").to_lowercase()
}

/// Under which name it was stored in format 1.
pub fn format_1_name(instance: &ServiceId) -> String {
    format!("{}/{}/{}.json", instance.subscription(), instance.group(), instance.name()).to_lowercase()
}

/// Lets the lease in a journal end, as time would.
pub async fn expire_lease(store: &dyn Store, instance: &ServiceId) {
    let name = document_name(instance);
    loop {
        let Some((body, etag)) = store.get(&name).await.unwrap().document else { return };
        let mut document: Value = serde_json::from_slice(&body).unwrap();
        if !document["lease"].is_object() {
            return;
        }
        document["lease"]["expires"] = json!("2020-01-01T00:00:00Z");
        match store.put(&name, serde_json::to_vec(&document).unwrap(), Some(&etag)).await {
            // The write of a worker was on its way when it was killed.
            Err(StoreError::Changed) => {}
            done => return drop(done.unwrap()),
        }
    }
}

/// A time as the virtual clock begins.
pub fn start() -> DateTime<Utc> {
    VirtualClock::default().now()
}
