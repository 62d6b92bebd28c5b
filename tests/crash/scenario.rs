//! The scenarios, and how one is played from its beginning to its end, whatever happens on the way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::{
    Activity, ActivityKind, AppConfiguration, BarrierKind, ContainerApp, ContainerJob, ContainerSecret,
    Fault, FaultKind, KeyValue, Options, Secret, Site, State, StaticEnvironment, StaticWebApp, Vault, World,
};
use rekey_core::evidence;
use rekey_core::intent::Intent;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{ConnectionString, ConsumerId, KeyType, KeyValueId, ServiceId};
use rekey_core::plan::{BlockedBy, Decision, External, WaitFor};
use rekey_core::policy::FirstRotation;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::{Config, KeyValueConfig, SecretConfig};
use signalr_rekey::handler::KeyReport;
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::{ETag, EVIDENCE, Found, Lease, Store, StoreError, Stored, evidence_names, peek};
use tokio::sync::broadcast::Receiver;
use url::Url;

use crate::common::{CONSUMERS, DAY, MINUTE, Story, all_hold, azurite, document_name, expire_lease, untrue};
use crate::interceptor::{HEALTH, Interceptor, Mishap, Others, Proxy, Stores, Timed};
use crate::watch::Watch;

/// What the worker has to live through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// An instance that was never seen is adopted and rotated at once.
    FirstAdoption,
    /// A known instance is due.
    DueRotation,
    /// The same, at an Azure that lists a new key only when it works: a regeneration whose answer was never heard
    /// looks as if it had come to nothing.
    DueAndListedLate,
    /// The grace of the key that was left in a rotation is over.
    Retirement,
    /// Azure regenerates the key in use.
    ForcedKey,
    /// Azure regenerates both keys.
    ForcedKeys,
    /// A known instance is due, and its consumers hold both keys.
    SplitConsumers,
    /// Azure regenerates the key in use while one app may not be read; its role comes back when a run has said so.
    ForcedUnreadable,
    /// The same while a policy keeps one app from being written.
    ForcedUnwritable,
    /// The same, and the first settings that are written to an app are lost, though they were answered for.
    ForcedUnwritten,
    /// The same under a read-only lock on everything.
    ForcedLocked,
    /// The same while one app's string is in a vault; somebody writes it into the setting when a run has said so.
    ForcedReference,
    /// The same where one app's setting holds the bare key, which is repaired as all others are.
    ForcedBareKey,
    /// The same while one app has been moved to another group; it comes back when a run has said so.
    ForcedMoved,
    /// An instance is adopted, one of whose apps is not found under its id.
    AdoptionMistyped,
    /// A known instance is due, and one app gets its string through a Key Vault reference.
    DueVault,
    /// Azure regenerates the key in use where one app gets its string so.
    ForcedVault,
    /// A known instance is due, and a container app is among its consumers.
    DueContainers,
    /// Azure regenerates the key in use, which a container app and a job have besides.
    ForcedContainers,
    /// A known instance is due, and one app gets its string through a reference to a key-value of App Configuration.
    DueKeyValue,
    /// Azure regenerates the key in use where one app gets its string so.
    ForcedKeyValue,
    /// A known instance is due, and a container app gets its string from a vault.
    DueContainerVault,
    /// Azure regenerates the key in use where a container app gets its string so.
    ForcedContainerVault,
    /// A known instance is due, and a job, one of whose executions runs until a run has ended that does not settle.
    DueJob,
    /// A known instance is due, and a static web app is among its consumers, with two environments.
    DueStatic,
    /// Azure regenerates the key in use, which a static web app has besides.
    ForcedStatic,
    /// A known instance is due; a machine that reports and what a person changes take the new key when they are asked to, and
    /// say so. Those who write it down may die as well.
    DueReported,
    /// A known instance is due, and the wave of its slot does not come back: it is rolled back, somebody cures the app, and
    /// says that the rotation goes on.
    RolledBack,
}

/// Where the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journals {
    Memory,
    Azurite,
}

impl Journals {
    /// The store, with what the story has recorded so far.
    async fn of(self, story: &Story) -> Arc<dyn Store> {
        let memory: Arc<dyn Store> = story.store.clone();
        if self == Self::Memory {
            return memory;
        }
        let (azurite, name) =
            (azurite::store(story.clock.clone()), document_name(&story.config.instances[0].id));
        if let Some((body, _)) = memory.get(&name).await.unwrap().document {
            azurite.put(&name, body, None).await.unwrap();
        }
        for name in memory.list_evidence().await.unwrap().unwrap_or_default() {
            let name = format!("{EVIDENCE}{name}");
            let (body, _) = memory.get(&name).await.unwrap().document.unwrap();
            azurite.put(&name, body, None).await.unwrap();
        }
        Arc::new(OnTheStorysClock { store: azurite, clock: story.clock.clone() })
    }
}

/// A storage whose clock is that of the story. Azurite's is the machine's, and who compares the two takes his own for wrong.
#[derive(Debug)]
struct OnTheStorysClock {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Store for OnTheStorysClock {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        let (found, at) = (self.store.get(name).await?, self.clock.now());
        Ok(Found { modified: at - (found.at - found.modified), at, ..found })
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let stored = self.store.put(name, body, expected).await?;
        Ok(Stored { at: self.clock.now(), ..stored })
    }

    async fn list_evidence(&self) -> Result<Option<Vec<String>>, StoreError> {
        self.store.list_evidence().await
    }
}

const GROUP: &str = "/subscriptions/SUBSCRIPTION/resourceGroups/rg-demo/providers/Microsoft.Web/sites";

const IN_THE_VAULT: &str = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=chat)";

const IN_THE_STORE: &str = "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=chat)";

/// The app that does not come back.
const SLOT: &str = CONSUMERS[1].0;

const ANOTHER_GROUP: &str = "rg-another";

/// More passes than any of the scenarios takes with one mishap on the way; who needs more goes round in circles.
const MOST_PASSES: usize = 60;

impl Scenario {
    pub const ALL: [Self; 28] = [
        Self::FirstAdoption,
        Self::DueRotation,
        Self::DueAndListedLate,
        Self::Retirement,
        Self::ForcedKey,
        Self::ForcedKeys,
        Self::SplitConsumers,
        Self::ForcedUnreadable,
        Self::ForcedUnwritable,
        Self::ForcedUnwritten,
        Self::ForcedLocked,
        Self::ForcedReference,
        Self::ForcedBareKey,
        Self::ForcedMoved,
        Self::AdoptionMistyped,
        Self::DueVault,
        Self::ForcedVault,
        Self::DueContainers,
        Self::ForcedContainers,
        Self::DueKeyValue,
        Self::ForcedKeyValue,
        Self::DueContainerVault,
        Self::ForcedContainerVault,
        Self::DueJob,
        Self::DueStatic,
        Self::ForcedStatic,
        Self::DueReported,
        Self::RolledBack,
    ];

    /// What ARCHITECTURE.md calls it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::FirstAdoption => "first adoption",
            Self::DueRotation => "due rotation",
            Self::DueAndListedLate => "shows a new key late",
            Self::Retirement => "the key that was left",
            Self::ForcedKey => "regeneration of one key",
            Self::ForcedKeys => "and of both",
            Self::SplitConsumers => "split over both keys",
            Self::ForcedUnreadable => "cannot be read",
            Self::ForcedUnwritable => "cannot be written",
            Self::ForcedUnwritten => "and lost",
            Self::ForcedLocked => "under a lock",
            Self::ForcedReference => "that cannot be followed",
            Self::ForcedBareKey => "the bare key",
            Self::ForcedMoved => "while an app is not found",
            Self::AdoptionMistyped => "adoption with an app that is not found",
            Self::DueVault => "| a secret, to which an app refers |",
            Self::ForcedVault => "| a secret that is repaired |",
            Self::DueContainers => "| a container app |",
            Self::ForcedContainers => "| a container app and a job that are repaired |",
            Self::DueKeyValue => "| a key-value, to which an app refers |",
            Self::ForcedKeyValue => "| a key-value that is repaired |",
            Self::DueContainerVault => "| a secret that a container app fetches |",
            Self::ForcedContainerVault => "| such a secret that is repaired |",
            Self::DueJob => "| a job, of which an execution runs |",
            Self::DueStatic => "| a static web app with a preview |",
            Self::ForcedStatic => "| a static web app that is repaired |",
            Self::DueReported => "| a machine that reports, and a person who acknowledges |",
            Self::RolledBack => "| a wave that comes back unhealthy, and is rolled back |",
        }
    }

    /// Who signs besides the apps of the default world, as the embedded Azure names it.
    pub fn others(self) -> &'static [&'static str] {
        match self {
            Self::DueContainers | Self::DueContainerVault | Self::ForcedContainerVault => {
                &["containerApps/chat-api"]
            }
            Self::ForcedContainers => &["containerApps/chat-api", "jobs/nightly"],
            // Of the executions only those are asked that begin from now on.
            Self::DueJob => &["jobs/nightly"],
            Self::DueStatic | Self::ForcedStatic => &["staticSites/pages", "staticSites/pages/7"],
            Self::DueReported => &MACHINES,
            _ => &[],
        }
    }

    const fn has_secret(self) -> bool {
        self.has_secret_of_an_app() || matches!(self, Self::DueContainerVault | Self::ForcedContainerVault)
    }

    const fn has_secret_of_an_app(self) -> bool {
        matches!(self, Self::DueVault | Self::ForcedVault)
    }

    /// How often each key, primary and secondary, is regenerated by us when nothing goes wrong.
    pub fn regenerations(self) -> [usize; 2] {
        match self {
            Self::FirstAdoption
            | Self::DueRotation
            | Self::DueAndListedLate
            | Self::SplitConsumers
            | Self::AdoptionMistyped
            | Self::DueVault
            | Self::DueContainers
            | Self::DueKeyValue
            | Self::DueContainerVault
            | Self::DueJob
            | Self::DueStatic
            | Self::DueReported
            | Self::RolledBack => [1, 1],
            // Who was not made to fetch the secret or key-value yet counted as a holder of either key, and has left that one since.
            Self::Retirement
            | Self::ForcedVault
            | Self::ForcedContainers
            | Self::ForcedKeyValue
            | Self::ForcedContainerVault => [1, 0],
            Self::ForcedKey
            | Self::ForcedKeys
            | Self::ForcedUnreadable
            | Self::ForcedUnwritable
            | Self::ForcedUnwritten
            | Self::ForcedLocked
            | Self::ForcedReference
            | Self::ForcedBareKey
            | Self::ForcedStatic
            | Self::ForcedMoved => [0, 0],
        }
    }

    /// What stands in one app's setting instead of a string, which holds the same key.
    const fn held_elsewhere(self) -> Option<&'static str> {
        match self {
            Self::ForcedReference => Some("@Microsoft.KeyVault(VaultName=v;SecretName=chat)"),
            Self::ForcedBareKey => Some("{primaryKey:sr-demo}"),
            Self::DueVault | Self::ForcedVault => Some(IN_THE_VAULT),
            Self::DueKeyValue | Self::ForcedKeyValue => Some(IN_THE_STORE),
            _ => None,
        }
    }

    /// Whether there is something in the way that a person has to see to.
    const fn is_hindered(self) -> bool {
        matches!(
            self,
            Self::ForcedUnreadable
                | Self::ForcedUnwritable
                | Self::ForcedLocked
                | Self::ForcedReference
                | Self::ForcedMoved
                | Self::AdoptionMistyped
                | Self::DueJob
        )
    }

    /// The keys that Azure regenerates by itself.
    pub fn forced(self) -> &'static [KeyType] {
        match self {
            Self::ForcedKey
            | Self::ForcedUnreadable
            | Self::ForcedUnwritable
            | Self::ForcedUnwritten
            | Self::ForcedLocked
            | Self::ForcedReference
            | Self::ForcedBareKey
            | Self::ForcedMoved
            | Self::ForcedVault
            | Self::ForcedContainers
            | Self::ForcedKeyValue
            | Self::ForcedContainerVault
            | Self::ForcedStatic => &[KeyType::Primary],
            Self::ForcedKeys => &KeyType::ALL,
            _ => &[],
        }
    }

    /// The world just before the worker of the scenario begins.
    pub async fn arrange(self) -> Story {
        // Journals of several stories stand side by side in one storage account.
        let subscription = uuid::Uuid::new_v4().to_string();
        let mut world = World { subscription: subscription.clone(), ..World::default() };
        if self.has_secret() {
            let secret = Secret::new("{primary:sr-demo}");
            let secrets = [("chat".to_owned(), secret)].into();
            world.vaults = vec![Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets }];
        }
        if matches!(self, Self::DueContainers | Self::ForcedContainers) {
            let string = ContainerSecret::Value("{primary:sr-demo}".into());
            let secrets = [("signalr".to_owned(), string)].into();
            let (group, name) = ("rg-demo".into(), "chat-api".into());
            world.container_apps =
                vec![ContainerApp { group, name, secrets, replicas: 2, ..ContainerApp::default() }];
        }
        if matches!(self, Self::DueContainerVault | Self::ForcedContainerVault) {
            let (url, identity) = ("https://kv-demo.vault.azure.net/secrets/chat".into(), "System".into());
            let secrets = [("signalr".to_owned(), ContainerSecret::Vault { url, identity })].into();
            let (group, name) = ("rg-demo".into(), "chat-api".into());
            world.container_apps =
                vec![ContainerApp { group, name, secrets, replicas: 2, ..ContainerApp::default() }];
        }
        if matches!(self, Self::DueJob | Self::ForcedContainers) {
            let string = ContainerSecret::Value("{primary:sr-demo}".into());
            let secrets = [("signalr".to_owned(), string)].into();
            let (group, name) = ("rg-demo".into(), "nightly".into());
            world.container_jobs = vec![ContainerJob { group, name, secrets, ..ContainerJob::default() }];
        }
        if matches!(self, Self::DueStatic | Self::ForcedStatic) {
            let settings: BTreeMap<_, _> =
                [(CONSUMERS[2].1.to_owned(), "{primary:sr-demo}".to_owned())].into();
            let preview =
                StaticEnvironment { settings: settings.clone(), function_settings: Some([].into()) };
            world.static_web_apps = vec![StaticWebApp {
                group: "rg-demo".into(),
                name: "pages".into(),
                function_settings: Some(settings),
                environments: [("7".to_owned(), preview)].into(),
                ..StaticWebApp::default()
            }];
        }
        if self == Self::DueReported {
            world.sites.extend(MACHINES.map(|name| Site {
                group: "rg-demo".into(),
                name: name.into(),
                kind: "app".into(),
                settings: [(CONSUMERS[0].1.to_owned(), "{primary:sr-demo}".to_owned())].into(),
                ..Site::default()
            }));
        }
        if matches!(self, Self::DueKeyValue | Self::ForcedKeyValue) {
            let key_values = vec![KeyValue::new("chat", None, "{primary:sr-demo}")];
            let (group, name) = ("rg-demo".into(), "cs-demo".into());
            world.app_configurations = vec![AppConfiguration { group, name, key_values, access_key: None }];
        }
        let options = Options { list_keys_lags: self == Self::DueAndListedLate, ..Options::default() };
        let mut story = Story::of(world, options).await;
        let to_another_group = |state: &mut State| state.move_site("chat-func", ANOTHER_GROUP).unwrap();
        if self == Self::AdoptionMistyped {
            story.sim.with(to_another_group);
        }
        if matches!(self, Self::FirstAdoption | Self::AdoptionMistyped) {
            return story;
        }
        if self == Self::SplitConsumers {
            story.sim.edit_setting("chat-func", CONSUMERS[2].1, Some("{secondary:sr-demo}")).unwrap();
        }
        story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
        if self == Self::DueReported {
            configure_machines(&mut story).await;
        }
        if self.has_secret() {
            let id = "https://kv-demo.vault.azure.net/secrets/chat".parse().unwrap();
            story.config.instances[0].vault_secrets =
                vec![SecretConfig { id, readers_within: Duration::ZERO, unused: false }];
        }
        if self.has_secret_of_an_app() {
            story.sim.edit_setting("chat-func", CONSUMERS[2].1, Some(IN_THE_VAULT)).unwrap();
            story.clock.advance(MINUTE);
        }
        if matches!(self, Self::DueKeyValue | Self::ForcedKeyValue) {
            let id = KeyValueId::new("https://cs-demo.azconfig.io", "chat", None).unwrap();
            story.config.instances[0].app_configuration =
                vec![KeyValueConfig { id, readers_within: Duration::ZERO, read_by: vec![] }];
            story.sim.edit_setting("chat-func", CONSUMERS[2].1, Some(IN_THE_STORE)).unwrap();
            story.clock.advance(MINUTE);
        }
        story.tick().await;
        if self.forced().is_empty() {
            story.clock.advance(30 * DAY);
        }
        if self == Self::Retirement {
            story.tick().await;
            story.clock.advance(story.config.instances[0].policy.grace);
        }
        let is_arranged = |value: &&str| [IN_THE_VAULT, IN_THE_STORE].contains(value);
        if let Some(value) = self.held_elsewhere().filter(|value| !is_arranged(value)) {
            let string = story.sim.settings("chat-func").unwrap()[CONSUMERS[2].1].clone();
            story.sim.with(|state| state.lead_references("chat", Some(&string))).unwrap();
            story.sim.edit_setting("chat-func", CONSUMERS[2].1, Some(value)).unwrap();
            story.clock.advance(MINUTE);
        }
        if self == Self::DueJob {
            story.sim.with(|state| state.start_execution("nightly")).unwrap();
        }
        story.force("sr-demo", self.forced()).unwrap();
        let scope = format!("{GROUP}/chat-func").replace("SUBSCRIPTION", &subscription);
        match self {
            Self::ForcedUnreadable => story.sim.with(|state| state.deny(&scope, "*/config/list/action")),
            Self::ForcedUnwritable => story.sim.with(|state| state.bar(&scope, BarrierKind::Policy)),
            Self::ForcedLocked => {
                let scope = format!("/subscriptions/{subscription}");
                story.sim.with(|state| state.bar(&scope, BarrierKind::ReadOnlyLock));
            }
            Self::ForcedMoved => story.sim.with(to_another_group),
            Self::ForcedUnwritten => {
                let lost = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Swallowed);
                story.sim.fault(lost.on("chat-func"));
            }
            _ => {}
        }
        story
    }
}

/// The names under which two report, and of the sites that play them, which no list names.
const MACHINES: [&str; 2] = ["iis-01", "gateway"];

/// One of them reports by itself, the other is a person's; both have said what they hold.
async fn configure_machines(story: &mut Story) {
    let instance = &mut story.config.instances[0];
    instance.apps.retain(|app| !MACHINES.contains(&app.id.name().as_str()));
    let external =
        |id: &str| External { id: id.parse().unwrap(), within: 7 * DAY, owner: None, ticket: None };
    instance.external = vec![external("reporter:iis-01"), external("manual:gateway")];
    for name in MACHINES {
        let deadline = story.clock.now() + TimeDelta::minutes(1);
        story.rekey().take_report(&report(story, name), deadline).await.unwrap();
    }
}

/// What one of them says: what its site holds.
fn report(story: &Story, name: &str) -> KeyReport {
    let fingerprint = story.held(name, CONSUMERS[0].1).fingerprint();
    KeyReport { service: story.config.instances[0].id.clone(), name: name.parse().unwrap(), fingerprint }
}

/// What was played, and what became of it.
pub struct Played {
    pub scenario: Scenario,
    pub story: Story,
    pub interceptor: Arc<Interceptor>,
    pub watch: Arc<Watch>,
    /// The journal as it was at the beginning and as it is at the end.
    pub journals: [Journal; 2],
    pub began: DateTime<Utc>,
    /// Regenerations that came into effect, primary and secondary.
    pub regenerated: [usize; 2],
    /// What was not so when a run said that all is well.
    pub untrue: Vec<String>,
    /// The documents that prove what was done, from the first check on.
    pub documents: evidence::Found,
}

/// Plays a scenario in which one request meets a mishap, up to the end: settled.
pub async fn play(scenario: Scenario, journals: Journals, mishap: Option<(usize, Mishap)>) -> Played {
    Box::pin(play_in(scenario.arrange().await, scenario, journals, mishap)).await
}

/// The same in a world of one's own.
pub async fn play_in(
    story: Story,
    scenario: Scenario,
    journals: Journals,
    mishap: Option<(usize, Mishap)>,
) -> Played {
    let configured = story.config.clone();
    Box::pin(play_with(story, scenario, journals, mishap, &configured)).await
}

/// The same, judged by another configuration than the worker has.
pub async fn play_with(
    mut story: Story,
    scenario: Scenario,
    journals: Journals,
    mishap: Option<(usize, Mishap)>,
    configured: &Config,
) -> Played {
    let store = journals.of(&story).await;
    let watch = Arc::new(Watch::over(&story, scenario.others()));
    let interceptor = {
        let (watch, others) = (Arc::clone(&watch), reporting(&story, &store));
        Arc::new(Interceptor::new(mishap, move || watch.look(), others))
    };
    let cured = Arc::new(AtomicBool::new(false));
    let is_well = is_well(&story, &cured);
    let proxy = Proxy::start(Arc::clone(&interceptor), story.sim.base(), is_well).await;
    if scenario == Scenario::RolledBack {
        ask(&mut story, proxy.base.join(HEALTH).unwrap());
    }
    let (configured, untrue) = (configured.clone(), Mutex::default());
    let stage = Stage { story, interceptor, journals, store, proxy, configured, untrue, cured };
    let (before, began) = (stage.journal().await, stage.story.clock.now());
    let mut events = stage.story.sim.activity();
    Box::pin(stage.play(scenario)).await;
    let after = stage.journal().await;
    let documents = stage.documents().await;
    let Stage { story, interceptor, untrue, .. } = stage;
    let untrue = untrue.into_inner().unwrap();
    // What is cut off shows at the latest when the next processes have started.
    story.clock.advance(10 * MINUTE);
    watch.look();
    let regenerated = in_effect(&mut events);
    let journals = [before, after];
    Played { scenario, story, interceptor, watch, journals, began, regenerated, untrue, documents }
}

/// The machine takes the key that the apps have, and tells a handler, which looks once whether it can write that down.
fn reporting(story: &Story, store: &Arc<dyn Store>) -> Others {
    let (sim, clock) = (Arc::clone(&story.sim), Arc::clone(&story.clock));
    let handler = Arc::new(story.worker(&sim.base().parse().unwrap(), Arc::clone(store), clock.clone()));
    let service = story.config.instances[0].id.clone();
    Box::new(move || {
        let [(app, setting), ..] = CONSUMERS;
        let string = sim.settings(app).unwrap()[setting].clone();
        sim.edit_setting(MACHINES[0], setting, Some(&string)).unwrap();
        let fingerprint = ConnectionString::parse(&string).unwrap().key().unwrap().fingerprint();
        let report = KeyReport { service: service.clone(), name: MACHINES[0].parse().unwrap(), fingerprint };
        let (handler, now) = (Arc::clone(&handler), clock.now());
        // Who is turned away reports again: in this scenario when he is waited for.
        Box::pin(async move { drop(handler.take_report(&report, now).await) })
    })
}

/// The slot is well as long as it signs with the key that it had, or once somebody has cured it.
fn is_well(story: &Story, cured: &Arc<AtomicBool>) -> impl Fn() -> bool + Send + Sync + use<> {
    let (sim, cured) = (Arc::clone(&story.sim), Arc::clone(cured));
    move || {
        let signs = sim.with(|state| state.signs(SLOT)).unwrap();
        let moved = signs.iter().any(|(_, valid)| *valid == Some(embedded_azure::KeyType::Secondary));
        !moved || cured.load(Ordering::SeqCst)
    }
}

/// Waves as they are where nothing is said, with a gate in which the slot is asked; it has no second chance, for that is
/// nothing but more of the same.
fn ask(story: &mut Story, health: Url) {
    let instance = &mut story.config.instances[0];
    let slot = instance.consumers().find(|consumer| consumer.name() == SLOT).unwrap();
    instance.policy.waves.clear();
    instance.policy.settle_within = Duration::ZERO;
    instance.policy.watched.insert(slot.clone());
    instance.health.insert(slot, health);
}

struct Stage {
    story: Story,
    interceptor: Arc<Interceptor>,
    journals: Journals,
    store: Arc<dyn Store>,
    proxy: Proxy,
    /// What the worker is to look after, whatever it is configured with.
    configured: Config,
    untrue: Mutex<Vec<String>>,
    /// Whether the app has been cured that does not come back.
    cured: Arc<AtomicBool>,
}

impl Stage {
    async fn play(&self, scenario: Scenario) {
        let mut told = !scenario.forced().is_empty();

        for _ in 0..MOST_PASSES {
            // Event Grid delivers again until a run has answered that everybody is repaired.
            let intent = if told { Intent::regenerated(None) } else { Intent::timer() };
            let Some(reports) = self.pass(intent).await else {
                self.bury().await;
                continue;
            };
            let untrue = untrue(&self.story.sim, &self.configured, &reports);
            self.untrue.lock().unwrap().extend(untrue);
            match &reports[0].ending {
                Ending::Repaired | Ending::Known => told = false,
                Ending::Decided(Decision::Settled { next }) => return assert!(next.is_some()),
                Ending::Decided(Decision::Waiting { reason: WaitFor::External { .. }, .. }) => {
                    self.others_say().await;
                }
                Ending::Decided(Decision::Waiting { until, .. }) | Ending::Busy { until, .. } => {
                    self.execution_ends();
                    self.pass_time(*until);
                }
                Ending::Decided(Decision::Blocked(BlockedBy::Unhealthy { .. })) => {
                    assert_eq!(
                        all_hold(&self.story),
                        KeyType::Primary,
                        "it is back, and nobody else was moved"
                    );
                    self.cured.store(true, Ordering::SeqCst);
                    self.unblock().await;
                }
                // Somebody reads what is in the way, and sees to it.
                Ending::Decided(Decision::Blocked(_)) if scenario.is_hindered() => self.sees_to_it(scenario),
                Ending::Decided(Decision::Blocked(_) | Decision::Do(_)) => panic!("{reports:#?}"),
                // The next trigger carries on.
                ending => {
                    if ending.is_failure() {
                        self.sees_to_it(scenario);
                    }
                    self.story.clock.advance(MINUTE);
                }
            }
        }
        panic!("it goes round in circles: {:#?}", self.story.told.lock().unwrap());
    }

    /// What runs of the job ends; where there is none nothing does.
    fn execution_ends(&self) {
        let _ = self.story.sim.with(|state| state.end_execution("nightly", None, true));
    }

    fn sees_to_it(&self, scenario: Scenario) {
        let sim = &self.story.sim;
        self.execution_ends();
        sim.with(State::allow_all);
        sim.with(State::lift_barriers);
        sim.with(|state| state.move_site("chat-func", "rg-demo")).unwrap();
        let (app, setting) = CONSUMERS[2];
        let holds_none = !sim.settings(app).unwrap()[setting].starts_with("Endpoint=");
        if holds_none && scenario.is_hindered() {
            sim.edit_setting(app, setting, Some("{secondary:sr-demo}")).unwrap();
        }
    }

    /// Those that only others can change take the key that the apps have, and it is put on record: by a handler, to which one
    /// reports, and by a person's command. Both may die on the way.
    async fn others_say(&self) {
        let story = &self.story;
        let string = story.sim.settings("chat-web").unwrap()[CONSUMERS[0].1].clone();
        for name in MACHINES {
            story.sim.edit_setting(name, CONSUMERS[0].1, Some(&string)).unwrap();
        }
        story.clock.advance(MINUTE);
        let (store, clock) = self.intercepted();
        let worker = story.worker(&self.proxy.base, Arc::clone(&store), Arc::clone(&clock));
        let reported = report(story, MACHINES[0]);
        let says = async {
            worker.take_report(&reported, story.clock.now() + TimeDelta::seconds(25)).await.is_ok()
                && acknowledge(store, clock, &report(story, MACHINES[1])).await.is_ok()
        };
        self.maybe_killed(says).await;
    }

    /// A person who has cured the app says that the waves go on; his command may die on the way, and he says it again.
    async fn unblock(&self) {
        let (store, clock) = self.intercepted();
        self.maybe_killed(record(store, clock, &self.story.config.instances[0].id, Event::Unblocked {}))
            .await;
    }

    /// Does something that is no run, and buries whoever died of it.
    async fn maybe_killed<T>(&self, act: impl Future<Output = T>) {
        self.interceptor.turns();
        let done = tokio::select! {
            biased;
            () = self.interceptor.stopped() => None,
            done = Box::pin(act) => Some(done),
        };
        if done.is_none() || self.interceptor.is_dead() {
            self.bury().await;
        }
    }

    fn intercepted(&self) -> (Arc<dyn Store>, Arc<dyn Clock>) {
        let store = Stores(Arc::clone(&self.interceptor), Arc::clone(&self.store));
        (Arc::new(store), Arc::new(Timed(Arc::clone(&self.interceptor), Arc::clone(&self.story.clock))))
    }

    /// One run of a worker that was just started; nothing if it died.
    async fn pass(&self, intent: Intent) -> Option<Vec<RunReport>> {
        let (store, clock) = self.intercepted();
        let worker = self.story.worker(&self.proxy.base, store, clock);
        self.interceptor.turns();
        let is_notice = intent.is_notice();
        let time = if is_notice { Duration::from_secs(25) } else { 9 * MINUTE };
        let order = self.story.order(intent, time);
        let reports = tokio::select! {
            biased;
            () = self.interceptor.stopped() => None,
            reports = Box::pin(worker.run(&order)) => Some(reports),
        };
        // Who is to die after the answer to his last request has nothing to do any more.
        reports.filter(|_| !self.interceptor.is_dead())
    }

    /// A worker has died; the next one finds no lease in its way.
    async fn bury(&self) {
        // What the dead one had on the wire arrives nowhere: the proxy sees its connections close.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.interceptor.hand_over();
        // A lease lasts two minutes.
        self.story.clock.advance(2 * MINUTE + Duration::from_secs(1));
        if self.journals == Journals::Azurite {
            expire_lease(&*self.store, &self.story.config.instances[0].id).await;
        }
    }

    fn pass_time(&self, until: DateTime<Utc>) {
        self.story.clock.advance((until - self.story.clock.now()).to_std().unwrap_or_default());
    }

    async fn documents(&self) -> evidence::Found {
        let mut documents = evidence::Found::new();
        let names = evidence_names(&*self.store).await.unwrap().unwrap_or_default();
        // Documents of several stories stand side by side in one storage account.
        let service = &self.story.config.instances[0].id;
        for name in names.into_iter().filter(|name| evidence::is_of(name, service)) {
            let body = signalr_rekey::store::evidence(&*self.store, &name).await.unwrap().unwrap();
            documents.insert(name, Ok(body));
        }
        documents
    }

    async fn journal(&self) -> Journal {
        peek(&*self.store, &self.story.config.instances[0].id).await.unwrap()
    }
}

async fn acknowledge(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    said: &KeyReport,
) -> Result<(), StoreError> {
    let (consumer, fingerprint) = (ConsumerId::Manual(said.name.clone()), said.fingerprint.clone());
    record(store, clock, &said.service, Event::Acknowledged { consumer, fingerprint, by: "ada".into() }).await
}

/// Puts something on record as commands do.
async fn record(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    service: &ServiceId,
    event: Event,
) -> Result<(), StoreError> {
    let mut lease = Lease::acquire(store, clock, service, "a person").await?;
    let recorded = lease.record(event);
    lease.release().await?;
    recorded
}

/// How often each key came to be replaced since the listener began.
fn in_effect(activity: &mut Receiver<Activity>) -> [usize; 2] {
    let mut counts = [0, 0];
    while let Ok(Activity { what, .. }) = activity.try_recv() {
        if let ActivityKind::RegenerationInEffect { key_type: Some(key_type), .. } = what {
            counts[usize::from(key_type != embedded_azure::KeyType::Primary)] += 1;
        }
    }
    assert!(activity.is_empty(), "the listener lags behind");
    counts
}
