//! Everything that the simulated Azure knows, and how it changes as time passes.
//!
//! Time is discrete and lazy: [`State::advance_to`] works off what has fallen due since it was last called, in the
//! order of time. Traffic is sampled at every tick and besides right before and right after every change, so that
//! no cut-off hides between two ticks, however coarse they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast;

use super::barriers::Barrier;
use super::event::{Happening, SimEvent};
use super::event_grid::{Occurrence, Queue};
use super::faults::{FaultKind, Faults, Hooks};
use super::identity::Identity;
use super::log::Log;
use super::options::Options;
use super::random::{self, IdMaker, KeyMaker};
use super::roles::Denial;
use super::sdk;
use super::traffic::{Change, Process, Tally, read_connections};
use super::world::{ConnectionStringEntry, InitialApp, SignalR, UpdateStrategy, World, WorldError};
use rekey_core::model::{AppId, Key, KeyPair, KeyType, PerKey, ServiceId};
use rekey_core::time::delta;

/// The simulated Azure. Tests reach it through [`Sim`](super::Sim), and hooks are handed it as it stands.
/// Its `Debug` shows the time and no more, for settings hold keys.
pub struct State {
    pub(super) now: DateTime<Utc>,
    pub(super) options: Options,
    pub(super) subscription: String,
    pub(super) instances: Vec<Instance>,
    pub(super) apps: Vec<App>,
    pub(super) operations: Vec<Operation>,
    pub(super) keys: KeyMaker,
    pub(super) ids: IdMaker,
    /// The events on their way to the subscription, if there is one.
    pub(super) grid: Option<Queue>,
    pub(super) event_ids: IdMaker,
    pub(super) identity: Identity,
    /// What the caller may not do.
    pub(super) denials: Vec<Denial>,
    /// What stands at which scope.
    pub(super) barriers: Vec<Barrier>,
    /// What references to a secret or key of this name, in lower case, lead to.
    pub(super) references: BTreeMap<String, String>,
    /// Resource groups that are there though nothing is in them.
    pub(super) empty_groups: BTreeSet<String>,
    pub(super) faults: Faults,
    pub(super) hooks: Hooks,
    /// What a hook wants to become of the request that it waited for.
    pub(super) spoiled: Option<FaultKind>,
    pub(super) log: Log,
    pub(super) started: DateTime<Utc>,
    events: broadcast::Sender<SimEvent>,
    next_tick: DateTime<Utc>,
    /// Settings that were answered for and are not written yet.
    late: Vec<Late>,
}

/// Settings that are going to be written.
struct Late {
    due: DateTime<Utc>,
    app: usize,
    section: Section,
}

/// One of the two dictionaries of an app, whole.
pub(super) enum Section {
    Settings(BTreeMap<String, String>),
    ConnectionStrings(BTreeMap<String, ConnectionStringEntry>),
}

/// One Azure SignalR Service.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: ServiceId,
    pub(super) keys: PerKey<KeySlot>,
    pub(super) disable_local_auth: bool,
    /// Other hosts that lead to it, in lower case.
    domains: Vec<String>,
    /// The regions of its replicas.
    pub(super) replicas: Vec<String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) deleted: bool,
    /// How many keys were replaced because ARM was asked to.
    pub(super) regenerations: u64,
    /// Every key that it ever had; bare keys in settings are recognised by it.
    issued: Vec<Key>,
    /// The keys that worked until somebody replaced them by force.
    forced_out: Vec<Key>,
}

/// One of the two keys. While a regeneration runs, what is listed is newer than what works.
#[derive(Debug)]
pub(super) struct KeySlot {
    pub(super) listed: Key,
    pub(super) effective: Key,
    /// Counts the replacements, so that an operation notices that it was overtaken.
    pub(super) generation: u64,
}

/// One web app, function app or slot.
pub(super) struct App {
    pub(super) id: AppId,
    /// `site` or `site/slot`.
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) update_strategy: Option<UpdateStrategy>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) connection_strings: BTreeMap<String, ConnectionStringEntry>,
    pub(super) sticky_settings: BTreeSet<String>,
    pub(super) sticky_connection_strings: BTreeSet<String>,
    pub(super) modified: DateTime<Utc>,
    pub(super) deleted: bool,
    pub(super) tallies: BTreeMap<usize, Tally>,
    /// Keys that another person gave it when they were dead or dying.
    pub(super) planted: Vec<Key>,
    process: Process,
    restarted_at: Option<DateTime<Utc>>,
    /// What its references led to when they were last fetched, by their text.
    fetched: BTreeMap<String, String>,
    /// Whether the restart that is under way fetches them again.
    pub(super) fetches: bool,
}

/// A regeneration in the eyes of ARM.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) instance: usize,
    /// Which key, with the new one; none for `Salt`.
    pub(super) key: Option<(KeyType, Key)>,
    pub(super) generation: u64,
    pub(super) started: DateTime<Utc>,
    pub(super) due: DateTime<Utc>,
    pub(super) course: Course,
    pub(super) status: Status,
    /// The query of its URLs, signature included.
    pub(super) query: String,
    /// What is announced when it ends.
    pub(super) announcement: Option<Occurrence>,
}

/// How a regeneration is going to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// With a new key.
    Rotate,
    /// Reported as a success, with the old key.
    WithoutEffect,
    /// Reported as a failure, with the old key.
    Fail,
}

/// Where an operation stands, in the words of Microsoft.SignalRService (Azure CLI recording, 2021-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Running,
    Succeeded,
    Failed,
}

/// A jump in time is sampled at most this often besides the changes in it: nothing changes in between.
const MOST_TICKS: i32 = 100;

/// How long an instance that is drained may go on with what it runs (docs: Site update strategies in Flex Consumption).
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// How many events a slow listener may lag behind before it loses the oldest.
const EVENTS_KEPT: usize = 4096;

impl State {
    pub(super) fn new(world: &World, options: Options, now: DateTime<Utc>) -> Result<Self, WorldError> {
        world.check()?;
        let mut keys = KeyMaker::new(options.seed, &options.key_prefix);
        let instances: Vec<Instance> = world
            .signalr
            .iter()
            .zip(world.instances())
            .map(|(spec, id)| Instance::new(id, spec, &mut keys))
            .collect();
        let pairs =
            instances.iter().map(|one| (one.id.name().to_lowercase(), (one.host(), one.listed()))).collect();
        let references = world.lead(&pairs)?;
        let mut apps: Vec<App> = world.build(&pairs)?.into_iter().map(|app| App::new(app, now)).collect();
        // What apps hold of an instance whose keys are switched off is of before that.
        let mut instances = instances;
        for instance in instances.iter_mut().filter(|instance| instance.disable_local_auth) {
            KeyType::ALL.into_iter().for_each(|key_type| instance.replace_by_force(key_type, keys.key()));
        }
        for app in &mut apps {
            app.fetch(&references);
            app.process.restart(read_connections(&app.reads(), &instances));
        }
        let mut ids = IdMaker::new(options.seed);
        let grid = options.event_grid.clone();
        let grid = grid.map(|rules| Queue::new(rules, random::of_deliveries(options.seed)));
        Ok(Self {
            now,
            subscription: world.subscription.clone(),
            instances,
            apps,
            operations: Vec::new(),
            keys,
            identity: Identity::new(&mut ids, options.identity_header.clone()),
            ids,
            denials: world.denials.clone(),
            barriers: world.barriers.clone(),
            references,
            empty_groups: BTreeSet::new(),
            grid,
            event_ids: IdMaker::of_events(options.seed),
            faults: Faults::default(),
            hooks: Hooks::default(),
            spoiled: None,
            log: Log::default(),
            started: now,
            events: broadcast::Sender::new(EVENTS_KEPT),
            next_tick: now,
            late: Vec::new(),
            options,
        })
    }

    /// Works off everything that is due until `until`. Time never runs backwards.
    pub(super) fn advance_to(&mut self, until: DateTime<Utc>) {
        let until = until.max(self.now);
        let tick = delta(self.options.tick)
            .max((until - self.now) / MOST_TICKS)
            .max(chrono::TimeDelta::milliseconds(1));
        self.next_tick = self.next_tick.min(self.now + tick);
        loop {
            let due = self.next_change().filter(|due| *due <= until);
            while self.next_tick <= due.unwrap_or(until) {
                self.now = self.now.max(self.next_tick);
                self.sample();
                self.next_tick += tick;
            }
            let Some(due) = due else { break };
            self.now = self.now.max(due);
            self.change(Self::work_off);
        }
        self.now = until;
    }

    /// Makes a change that clients may feel, with traffic sampled on both sides of it.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> T {
        self.sample();
        let outcome = change(self);
        self.sample();
        outcome
    }

    pub(super) fn tell(&self, what: Happening) {
        // Nobody listening is no fault.
        let _ = self.events.send(SimEvent { at: self.now, what });
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<SimEvent> {
        self.events.subscribe()
    }

    /// The app's new process takes over `restart_takes` from now; changes until then are read by it too. The old
    /// process serves meanwhile (docs: App Service restarts overlap old and new workers). One that is drained may work for
    /// an hour before it ends, and nothing tells that it has (docs: Site update strategies in Flex Consumption).
    pub(super) fn restart(&mut self, app: usize) {
        let drains = self.apps[app].update_strategy == Some(UpdateStrategy::RollingUpdate);
        let drained = if drains { LONGEST_DRAIN } else { Duration::ZERO };
        self.apps[app].restarted_at = Some(self.now + delta(drained + self.options.restart_takes));
    }

    /// Adds an app and starts its process.
    pub(super) fn add_app(&mut self, app: InitialApp) {
        let mut app = App::new(app, self.now);
        app.fetch(&self.references);
        app.planted = self.dead_or_dying(&app.reads());
        app.process.restart(read_connections(&app.reads(), &self.instances));
        self.apps.push(app);
    }

    /// Replaces a section of an app's settings when so much time has passed.
    pub(super) fn replace_later(&mut self, app: usize, section: Section, after: Duration) {
        self.late.push(Late { due: self.now + delta(after), app, section });
    }

    /// Ends the connections of everybody with an instance that is gone.
    pub(super) fn disconnect(&mut self, instance: usize) {
        self.operations.retain(|operation| operation.instance != instance);
        for app in &mut self.apps {
            app.process.forget(instance);
            app.tallies.entry(instance).or_default().close();
        }
    }

    fn next_change(&self) -> Option<DateTime<Utc>> {
        let running = self.operations.iter().filter(|operation| operation.status == Status::Running);
        let restarts = self.apps.iter().filter_map(|app| app.restarted_at);
        let late = self.late.iter().map(|late| late.due);
        running.map(|operation| operation.due).chain(restarts).chain(late).min()
    }

    fn work_off(&mut self) {
        let now = self.now;
        let due = |operation: &Operation| operation.status == Status::Running && operation.due <= now;
        for at in (0..self.operations.len()).filter(|at| due(&self.operations[*at])).collect::<Vec<_>>() {
            self.finish(at);
        }
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|late| late.due <= now);
        self.late = later;
        due.into_iter().for_each(|Late { app, section, .. }| self.replace(app, section));
        for at in 0..self.apps.len() {
            if self.apps[at].restarted_at.take_if(|time| *time <= now).is_some() {
                self.take_over(at);
            }
        }
    }

    fn take_over(&mut self, at: usize) {
        let app = &mut self.apps[at];
        if std::mem::take(&mut app.fetches) {
            app.fetch(&self.references);
        }
        let connections = read_connections(&app.reads(), &self.instances);
        app.process.restart(connections);
        if !app.deleted {
            let app = app.name.clone();
            self.tell(Happening::Restarted { app });
        }
    }

    fn finish(&mut self, at: usize) {
        let operation = &mut self.operations[at];
        let instance = &mut self.instances[operation.instance];
        let name = instance.id.name().to_owned();
        let failed = operation.course == Course::Fail;
        operation.status = if failed { Status::Failed } else { Status::Succeeded };
        let key_type = operation.key.as_ref().map(|(key_type, _)| *key_type);
        let announcement = operation.announcement.take();
        let what = match &operation.key {
            Some((key_type, key)) if instance.keys[*key_type].generation == operation.generation => {
                let slot = &mut instance.keys[*key_type];
                if operation.course == Course::Rotate {
                    slot.replace(key.clone());
                    instance.regenerations += 1;
                    Happening::RegenerationInEffect { instance: name, key_type: Some(*key_type) }
                } else {
                    slot.listed = slot.effective.clone();
                    Happening::RegenerationWithoutEffect { instance: name, failed }
                }
            }
            None if !failed => Happening::RegenerationInEffect { instance: name, key_type },
            // Somebody replaced the key by force in the meantime: that one stays.
            _ => Happening::RegenerationWithoutEffect { instance: name, failed },
        };
        self.tell(what);
        if let Some(announcement) = announcement {
            self.publish(&if failed { announcement.failed() } else { announcement });
        }
    }

    /// Lets every app make its calls of this instant.
    fn sample(&mut self) {
        let (now, life) = (self.now, self.options.client_token_life);
        let mut happenings = Vec::new();
        for app in self.apps.iter_mut().filter(|app| !app.deleted) {
            for at in app.process.instances() {
                let counts = app.process.sample((at, &self.instances[at]), &app.planted, now, life);
                let instance = || self.instances[at].id.name().to_owned();
                match app.tallies.entry(at).or_default().add(counts, now) {
                    None => {}
                    Some(Change::Refused) => {
                        happenings.push(Happening::Refused { instance: instance(), app: app.name.clone() });
                    }
                    Some(Change::Recovered { after_ms }) => {
                        let app = app.name.clone();
                        happenings.push(Happening::Recovered { instance: instance(), app, after_ms });
                    }
                }
            }
        }
        happenings.into_iter().for_each(|what| self.tell(what));
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Instance {
    fn new(id: ServiceId, spec: &SignalR, keys: &mut KeyMaker) -> Self {
        let keys = PerKey::from_fn(|_| {
            let key = keys.key();
            KeySlot { listed: key.clone(), effective: key, generation: 0 }
        });
        let issued = keys.iter().map(|(_, slot)| slot.effective.clone()).collect();
        Self {
            id,
            keys,
            disable_local_auth: spec.disable_local_auth,
            domains: spec.domains.iter().map(|domain| domain.to_lowercase()).collect(),
            replicas: spec.replicas.clone(),
            tags: spec.tags.clone(),
            deleted: false,
            regenerations: 0,
            issued,
            forced_out: Vec::new(),
        }
    }

    /// The host of its data plane (docs: Connection string in Azure SignalR Service).
    pub(super) fn host(&self) -> String {
        format!("{}.service.signalr.net", self.id.name().to_lowercase())
    }

    /// Whether a host leads to it: its own, also as a fully qualified name with a dot at its end, a custom domain (docs:
    /// Configure a custom domain for your Azure SignalR Service) or a gateway before it.
    pub(super) fn is_at(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_lowercase();
        host == self.host() || self.domains.contains(&host)
    }

    /// The keys that listKeys shows.
    pub(super) fn listed(&self) -> KeyPair {
        KeyPair::from_fn(|key_type| self.keys[key_type].listed.clone())
    }

    /// The keys that work.
    pub(super) fn effective(&self) -> KeyPair {
        KeyPair::from_fn(|key_type| self.keys[key_type].effective.clone())
    }

    /// Notes a key that was made for it.
    pub(super) fn note(&mut self, key: &Key) {
        self.issued.push(key.clone());
    }

    /// Replaces a key as Azure or another person does, without being asked through ARM.
    pub(super) fn replace_by_force(&mut self, key_type: KeyType, key: Key) {
        self.note(&key);
        self.forced_out.push(self.keys[key_type].effective.clone());
        self.keys[key_type].replace(key);
    }

    /// Whether a key worked until it was replaced by force.
    pub(super) fn replaced_by_force(&self, key: &Key) -> bool {
        self.forced_out.contains(key)
    }

    pub(super) fn issued(&self, key: &Key) -> bool {
        self.issued.contains(key)
    }

    /// Its keys, of all times, that an app finds in a text.
    pub(super) fn found_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Key> + 'a {
        self.issued.iter().filter(|key| sdk::finds(text, key)).cloned()
    }
}

impl KeySlot {
    pub(super) fn replace(&mut self, key: Key) {
        *self = Self { listed: key.clone(), effective: key, generation: self.generation + 1 };
    }
}

impl App {
    fn new(app: InitialApp, now: DateTime<Utc>) -> Self {
        let InitialApp { id, kind, update_strategy, settings, connection_strings, sticky_settings } = app;
        Self {
            name: id.name(),
            id,
            kind,
            update_strategy,
            settings,
            connection_strings,
            sticky_settings,
            sticky_connection_strings: BTreeSet::new(),
            modified: now,
            deleted: false,
            tallies: BTreeMap::new(),
            planted: Vec::new(),
            process: Process::default(),
            restarted_at: None,
            fetched: BTreeMap::new(),
            fetches: false,
        }
    }

    /// What its process reads: every value, and in the place of a reference what it leads to. One that leads nowhere
    /// reaches the app as its own text (docs: Use Key Vault references; Use App Configuration references).
    pub(super) fn reads(&self) -> Vec<&str> {
        let entries = self.connection_strings.values().map(|entry| entry.value.as_str());
        let values = self.settings.values().map(String::as_str).chain(entries);
        values.map(|value| self.fetched.get(value).map_or(value, String::as_str)).collect()
    }

    /// Follows its references, as the platform does when the configuration changes.
    fn fetch(&mut self, references: &BTreeMap<String, String>) {
        let entries = self.connection_strings.values().map(|entry| &entry.value);
        let values = self.settings.values().chain(entries);
        let led = |value: &String| Some((value.clone(), references.get(&sdk::referred(value)?)?.clone()));
        self.fetched = values.filter_map(led).collect();
    }

    /// Whether a restart is under way.
    pub(super) fn restarting(&self) -> bool {
        self.restarted_at.is_some()
    }
}
