//! Everything that the embedded Azure knows, and how it changes as time passes.
//!
//! Time is discrete and lazy: [`State::advance_to`] works off what has fallen due since it was last called, in the
//! order of time. Traffic is sampled at every tick, and that of whom a change concerns right before and right after it
//! besides, so that no cut-off hides between two ticks, however coarse they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast;

use crate::activity::{Activity, ActivityKind};
use crate::app::{App, Section};
use crate::barriers::Barrier;
use crate::buckets::Buckets;
use crate::clock::delta;
use crate::event_grid::Queue;
use crate::faults::{FaultKind, Faults, Hooks};
use crate::identity::Identity;
use crate::ids::KeyType;
use crate::options::Options;
use crate::placeholders::{self, Placeholders};
use crate::platform::Platform;
use crate::random::{self, IdMaker, KeyMaker};
use crate::report::Log;
use crate::roles::Denial;
use crate::service::{Operation, Service, Status};
use crate::traffic::{Change, read_connections};
use crate::vaults::{Content, Vault, Version};
use crate::world::{InitialApp, UpdateStrategy, World, WorldError};

/// The embedded Azure as it stands. Tests reach it through `EmbeddedAzure::with`, and hooks are handed it.
/// Its `Debug` shows the time and no more, for settings hold keys.
pub struct State {
    pub(crate) now: DateTime<Utc>,
    pub(crate) options: Options,
    pub(crate) subscription: String,
    pub(crate) services: Vec<Service>,
    pub(crate) apps: Vec<App>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) keys: KeyMaker,
    pub(crate) ids: IdMaker,
    /// The events on their way to the subscription, if there is one.
    pub(crate) grid: Option<Queue>,
    pub(crate) event_ids: IdMaker,
    pub(crate) identity: Identity,
    /// What the caller may not do.
    pub(crate) denials: Vec<Denial>,
    /// What stands at which scope.
    pub(crate) barriers: Vec<Barrier>,
    pub(crate) vaults: Vec<Vault>,
    /// By how many seconds their clocks are fast.
    pub(crate) vaults_are_fast_by: i64,
    /// The ids of the versions of secrets.
    pub(crate) versions: IdMaker,
    /// What references to a secret or key of this name, in lower case, lead to, if it is in no vault of ours.
    pub(crate) references: BTreeMap<String, String>,
    /// Resource groups that are there though nothing is in them.
    pub(crate) empty_groups: BTreeSet<String>,
    pub(crate) faults: Faults,
    pub(crate) hooks: Hooks<Self>,
    /// What a hook wants to become of the request that it waited for.
    pub(crate) spoiled: Option<FaultKind>,
    pub(crate) log: Log,
    pub(crate) started: DateTime<Utc>,
    activity: broadcast::Sender<Activity>,
    pub(crate) buckets: Buckets,
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

/// Whether a change is felt by the clients of an app at a service. Thousands of others that sign and verify their calls at
/// each would take more time than Azure itself.
type Feels<'a> = dyn Fn(usize, usize) -> bool + 'a;

/// A jump in time is sampled at most this often besides the changes in it: nothing changes in between.
const MOST_TICKS: i32 = 100;

/// How long an instance that is drained may go on with what it runs (docs: Site update strategies in Flex Consumption).
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// How much a slow listener may lag behind before it loses the oldest.
const ACTIVITIES_KEPT: usize = 4096;

impl State {
    pub(crate) fn new(world: &World, options: Options, now: DateTime<Utc>) -> Result<Self, WorldError> {
        world.check()?;
        let mut keys = KeyMaker::new(options.seed, &options.key_prefix);
        let services: Vec<Service> = world
            .signalr
            .iter()
            .zip(world.services())
            .map(|(spec, id)| Service::new(id, spec, &mut keys))
            .collect();
        let pairs =
            services.iter().map(|one| (one.id.name().to_lowercase(), (one.host(), one.listed()))).collect();
        let references = world.lead(&pairs)?;
        let mut versions = IdMaker::of_secrets(options.seed);
        let vaults = vaults(world, &pairs, &mut versions, now)?;
        let mut apps: Vec<App> = world.build(&pairs)?.into_iter().map(|app| App::new(app, now)).collect();
        // What apps hold of a service whose keys are switched off is of before that.
        let mut services = services;
        for service in services.iter_mut().filter(|service| service.disable_local_auth) {
            KeyType::ALL.into_iter().for_each(|key_type| service.replace_by_force(key_type, keys.key()));
        }
        let platform = Platform { vaults: &vaults, elsewhere: &references, denials: &world.denials };
        for app in &mut apps {
            app.fetch(&platform, now);
            app.process.restart(read_connections(&app.reads(), &services));
        }
        let mut ids = IdMaker::new(options.seed);
        let grid = options.event_grid.clone();
        let grid = grid.map(|rules| Queue::new(rules, random::of_deliveries(options.seed)));
        Ok(Self {
            now,
            subscription: world.subscription.clone(),
            services,
            apps,
            operations: Vec::new(),
            keys,
            identity: Identity::new(&mut ids, options.identity_header.clone()),
            ids,
            denials: world.denials.clone(),
            barriers: world.barriers.clone(),
            vaults,
            vaults_are_fast_by: 0,
            versions,
            references,
            empty_groups: BTreeSet::new(),
            grid,
            event_ids: IdMaker::of_events(options.seed),
            faults: Faults::default(),
            hooks: Hooks::default(),
            spoiled: None,
            log: Log::default(),
            started: now,
            activity: broadcast::Sender::new(ACTIVITIES_KEPT),
            buckets: Buckets::default(),
            next_tick: now,
            late: Vec::new(),
            options,
        })
    }

    /// Works off everything that is due until `until`. Time never runs backwards.
    pub(crate) fn advance_to(&mut self, until: DateTime<Utc>) {
        let until = until.max(self.now);
        let tick = delta(self.options.tick)
            .max((until - self.now) / MOST_TICKS)
            .max(chrono::TimeDelta::milliseconds(1));
        self.next_tick = self.next_tick.min(self.now + tick);
        loop {
            let due = self.next_change().filter(|due| *due <= until);
            while self.next_tick <= due.unwrap_or(until) {
                self.now = self.now.max(self.next_tick);
                self.sample(&|_, _| true);
                self.next_tick += tick;
            }
            let Some(due) = due else { break };
            self.now = self.now.max(due);
            let (apps, services) = self.concerned();
            let feels = |app, service| apps.contains(&app) || services.contains(&service);
            self.change(&feels, Self::work_off);
        }
        self.now = until;
    }

    /// Makes a change that the clients of some apps at some services may feel, with their traffic sampled on both sides of it.
    pub(crate) fn change<T>(&mut self, feels: &Feels<'_>, change: impl FnOnce(&mut Self) -> T) -> T {
        self.sample(feels);
        let outcome = change(self);
        self.sample(feels);
        outcome
    }

    pub(crate) fn tell(&self, what: ActivityKind) {
        // Nobody listening is no fault.
        let _ = self.activity.send(Activity { at: self.now, what });
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Activity> {
        self.activity.subscribe()
    }

    /// The app's new process takes over `restart_takes` from now; changes until then are read by it too. The old
    /// process serves meanwhile (docs: App Service restarts overlap old and new workers). One that is drained may work for
    /// an hour before it ends, and nothing tells that it has (docs: Site update strategies in Flex Consumption).
    pub(crate) fn restart(&mut self, app: usize) {
        let drains = self.apps[app].update_strategy == Some(UpdateStrategy::RollingUpdate);
        let drained = if drains { LONGEST_DRAIN } else { Duration::ZERO };
        self.apps[app].restarted_at = Some(self.now + delta(drained + self.options.restart_takes));
    }

    /// Adds an app and starts its process.
    pub(crate) fn add_app(&mut self, app: InitialApp) {
        let mut app = App::new(app, self.now);
        app.fetch(&self.platform(), self.now);
        app.planted = self.invalid_keys_in(&app.reads());
        app.process.restart(read_connections(&app.reads(), &self.services));
        self.apps.push(app);
    }

    /// What the platform that resolves references can reach.
    pub(crate) fn platform(&self) -> Platform<'_> {
        let Self { vaults, references, denials, .. } = self;
        Platform { vaults, elsewhere: references, denials }
    }

    /// Lets the platform fetch an app's references, and tells whether any leads to something else by that. The app's process
    /// gets it when it restarts.
    pub(crate) fn fetch(&mut self, at: usize) -> bool {
        let Self { apps, vaults, references, denials, now, .. } = self;
        let changed = apps[at].fetch(&Platform { vaults, elsewhere: references, denials }, *now);
        if changed {
            let app = apps[at].name.clone();
            self.tell(ActivityKind::ReferencesFetched { app });
        }
        changed
    }

    /// Replaces a section of an app's settings when so much time has passed.
    pub(crate) fn replace_later(&mut self, app: usize, section: Section, after: Duration) {
        self.late.push(Late { due: self.now + delta(after), app, section });
    }

    /// Ends the connections of everybody with a service that is gone.
    pub(crate) fn disconnect(&mut self, service: usize) {
        self.operations.retain(|operation| operation.service != service);
        for app in &mut self.apps {
            app.process.forget(service);
            app.tallies.entry(service).or_default().close();
        }
    }

    fn next_change(&self) -> Option<DateTime<Utc>> {
        let running = self.operations.iter().filter(|operation| operation.status == Status::Running);
        let restarts = self.apps.iter().filter_map(|app| app.restarted_at);
        let late = self.late.iter().map(|late| late.due);
        let fetches = self.apps.iter().filter_map(App::fetches_at);
        running.map(|operation| operation.due).chain(restarts).chain(late).chain(fetches).min()
    }

    /// The apps and the services that change with what is due now.
    fn concerned(&self) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let now = self.now;
        let restarts = |app: &App| app.restarted_at.is_some_and(|due| due <= now);
        let restarting = (0..self.apps.len()).filter(|at| restarts(&self.apps[*at]));
        let late = self.late.iter().filter(|late| late.due <= now).map(|late| late.app);
        let ends = |operation: &&Operation| operation.status == Status::Running && operation.due <= now;
        let services = self.operations.iter().filter(ends).map(|operation| operation.service);
        (restarting.chain(late).collect(), services.collect())
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
            if self.apps[at].fetches_at().is_some_and(|time| time <= now) {
                self.refetch(at);
            }
            if self.apps[at].restarted_at.take_if(|time| *time <= now).is_some() {
                self.take_over(at);
            }
        }
    }

    /// The platform fetches an app's references, as it was asked to or because a day is over. Whether that reaches the process
    /// that runs is not documented; people saw it restart by the refresh that they asked for.
    fn refetch(&mut self, at: usize) {
        let asked = self.apps[at].refreshed_at.take_if(|time| *time <= self.now).is_some();
        let changed = self.fetch(at);
        if self.options.refresh_restarts && (asked || changed) {
            self.restart(at);
        }
    }

    fn take_over(&mut self, at: usize) {
        let app = &mut self.apps[at];
        let connections = read_connections(&app.reads(), &self.services);
        app.process.restart(connections);
        if !app.deleted {
            let app = app.name.clone();
            self.tell(ActivityKind::Restarted { app });
        }
    }

    /// Lets apps make their calls of this instant.
    fn sample(&mut self, feels: &Feels<'_>) {
        let (now, life) = (self.now, self.options.client_token_life);
        let mut happenings = Vec::new();
        for (index, app) in self.apps.iter_mut().enumerate().filter(|(_, app)| !app.deleted) {
            for at in app.process.services().into_iter().filter(|at| feels(index, *at)) {
                let counts = app.process.sample((at, &self.services[at]), &app.planted, now, life);
                let service = || self.services[at].id.name().to_owned();
                match app.tallies.entry(at).or_default().add(counts, now) {
                    None => {}
                    Some(Change::Refused) => {
                        happenings.push(ActivityKind::Refused { instance: service(), app: app.name.clone() });
                    }
                    Some(Change::Recovered { after_ms }) => {
                        let app = app.name.clone();
                        happenings.push(ActivityKind::Recovered { instance: service(), app, after_ms });
                    }
                }
            }
        }
        happenings.into_iter().for_each(|what| self.tell(what));
    }
}

/// The vaults of a world as it begins.
fn vaults(
    world: &World,
    pairs: &Placeholders,
    versions: &mut IdMaker,
    now: DateTime<Utc>,
) -> Result<Vec<Vault>, WorldError> {
    let mut vaults = Vec::new();
    for (spec, id) in world.vaults.iter().zip(world.vault_ids()) {
        let mut vault = Vault { id, secrets: BTreeMap::new() };
        for (name, secret) in &spec.secrets {
            let value = placeholders::fill(&secret.value, pairs, &format!("{}/{name}", spec.name))?;
            let content = Content {
                content_type: secret.content_type.clone(),
                tags: secret.tags.clone(),
                enabled: secret.enabled,
                exp: secret.exp,
                ..Content::of(value)
            };
            vault.add(name, Version::new(versions.version(), content, now));
        }
        vaults.push(vault);
    }
    Ok(vaults)
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("now", &self.now).finish_non_exhaustive()
    }
}
