//! Everything that the embedded Azure knows, and how it changes as time passes.
//!
//! Time is discrete and lazy: [`State::advance_to`] works off what has fallen due since it was last called, in the
//! order of time. Traffic is sampled at every tick, and that of whom a change concerns right before and right after it
//! besides, so that no cut-off hides between two ticks, however coarse they are.

mod initial;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::broadcast;

use crate::activity::{Activity, ActivityKind};
use crate::app::App;
use crate::barriers::Barrier;
use crate::buckets::Buckets;
use crate::clients::{Feels, Party};
use crate::clock::delta;
use crate::containers::writes::{SYNC_EVERY, Write};
use crate::containers::{Container, Making};
use crate::deeds::Entry;
use crate::event_grid::Queue;
use crate::faults::{FaultKind, Faults, Hooks};
use crate::handovers::Handover;
use crate::identity::Identity;
use crate::ids::KeyType;
use crate::late::Late;
use crate::options::Options;
use crate::platform::Platform;
use crate::random::{self, IdMaker, KeyMaker};
use crate::report::Log;
use crate::roles::Denial;
use crate::service::{Operation, Service, Status};
use crate::static_sites::StaticSite;
use crate::stores::Store;
use crate::vaults::Vault;
use crate::world::connectors::Link;
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
    /// Container apps and jobs.
    pub(crate) containers: Vec<Container>,
    /// What changes them.
    pub(crate) writes: Vec<Write>,
    /// The names of replicas and executions.
    pub(crate) container_names: IdMaker,
    pub(crate) static_sites: Vec<StaticSite>,
    pub(crate) keys: KeyMaker,
    pub(crate) ids: IdMaker,
    /// The events on their way to the subscription, if there is one.
    pub(crate) grid: Option<Queue>,
    pub(crate) event_ids: IdMaker,
    /// What was done, for the activity log.
    pub(crate) deeds: VecDeque<Entry>,
    pub(crate) identity: Identity,
    /// What the caller may not do.
    pub(crate) denials: Vec<Denial>,
    /// What stands at which scope.
    pub(crate) barriers: Vec<Barrier>,
    /// What Service Connector linked.
    pub(crate) links: Vec<Link>,
    pub(crate) vaults: Vec<Vault>,
    /// By how many seconds their clocks are fast.
    pub(crate) vaults_are_fast_by: i64,
    pub(crate) stores: Vec<Store>,
    /// The ETags of key-values.
    pub(crate) etags: IdMaker,
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
    /// Who was given which key.
    pub(crate) handovers: Vec<Handover>,
    /// Whether what happens now was asked for through an interface of Azure.
    pub(crate) asked: bool,
    pub(crate) started: DateTime<Utc>,
    activity: broadcast::Sender<Activity>,
    pub(crate) buckets: Buckets,
    next_tick: DateTime<Utc>,
    /// When the platform looks for new versions of the secrets of container apps.
    next_sync: DateTime<Utc>,
    /// Settings that were answered for and are not written yet.
    pub(crate) late: Vec<Late>,
}

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
        let vaults = initial::vaults(world, &pairs, &mut versions, now)?;
        let mut etags = IdMaker::of_key_values(options.seed);
        let stores = initial::stores(world, &pairs, &mut etags, now)?;
        let mut apps: Vec<App> = world.build(&pairs)?.into_iter().map(|app| App::new(app, now)).collect();
        // What apps hold of a service whose keys are switched off is of before that.
        let mut services = services;
        for service in services.iter_mut().filter(|service| service.disable_local_auth) {
            KeyType::ALL.into_iter().for_each(|key_type| service.replace_by_force(key_type, keys.key()));
        }
        let denials = &world.denials;
        let platform = Platform { vaults: &vaults, stores: &stores, elsewhere: &references, denials };
        for app in &mut apps {
            app.fetch(&platform, now);
            app.start(&platform, &services);
        }
        let mut container_names = IdMaker::of_containers(options.seed);
        let containers = world.build_containers(&pairs)?.into_iter().map(|spec| {
            let half = delta(options.restart_takes) / 2;
            let mut making = Making { services: &services, names: &mut container_names, now, half };
            Container::new(spec, &platform, &mut making)
        });
        let containers = containers.collect();
        let mut static_sites = Vec::new();
        for (spec, id) in world.static_web_apps.iter().zip(world.static_site_ids()) {
            let environments = spec.build(&pairs)?;
            static_sites.push(StaticSite::new(id, spec.tags.clone(), environments, &services, now));
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
            containers,
            writes: Vec::new(),
            container_names,
            static_sites,
            keys,
            identity: Identity::new(&mut ids, options.identity_header.clone()),
            ids,
            denials: world.denials.clone(),
            barriers: world.barriers.clone(),
            links: world.links(),
            vaults,
            vaults_are_fast_by: 0,
            stores,
            etags,
            versions,
            references,
            empty_groups: BTreeSet::new(),
            grid,
            event_ids: IdMaker::of_events(options.seed),
            deeds: VecDeque::new(),
            faults: Faults::default(),
            hooks: Hooks::default(),
            spoiled: None,
            log: Log::default(),
            handovers: Vec::new(),
            asked: false,
            started: now,
            activity: broadcast::Sender::new(ACTIVITIES_KEPT),
            buckets: Buckets::default(),
            next_tick: now,
            next_sync: now + SYNC_EVERY,
            late: Vec::new(),
            options,
        })
    }

    /// Works off everything that is due until `until`. Time never runs backwards.
    pub(crate) fn advance_to(&mut self, until: DateTime<Utc>) {
        let until = until.max(self.now);
        let tick =
            delta(self.options.tick).max((until - self.now) / MOST_TICKS).max(TimeDelta::milliseconds(1));
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
            let (parties, services) = self.concerned();
            let feels = |party, service| parties.contains(&party) || services.contains(&service);
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
        app.start(&self.platform(), &self.services);
        self.apps.push(app);
    }

    /// What the platform that resolves references can reach.
    pub(crate) fn platform(&self) -> Platform<'_> {
        let Self { vaults, stores, references, denials, .. } = self;
        Platform { vaults, stores, elsewhere: references, denials }
    }

    /// Lets the platform fetch an app's references, and tells whether any leads to something else by that. The app's process
    /// gets it when it restarts.
    pub(crate) fn fetch(&mut self, at: usize) -> bool {
        self.fetched(at, App::fetch)
    }

    fn fetched(&mut self, at: usize, fetch: fn(&mut App, &Platform<'_>, DateTime<Utc>) -> bool) -> bool {
        let Self { apps, vaults, stores, references, denials, now, .. } = self;
        let platform = Platform { vaults, stores, elsewhere: references, denials };
        let changed = fetch(&mut apps[at], &platform, *now);
        if changed {
            let app = apps[at].name.clone();
            self.tell(ActivityKind::ReferencesFetched { app });
        }
        changed
    }

    fn next_change(&self) -> Option<DateTime<Utc>> {
        let running = self.operations.iter().filter(|operation| operation.status == Status::Running);
        let restarts = self.apps.iter().filter_map(|app| app.restarted_at);
        let late = self.late.iter().map(|late| late.due);
        let fetches = self.apps.iter().filter_map(App::fetches_at);
        let containers = self.containers.iter().filter(|one| !one.deleted).filter_map(Container::next);
        let sync = (!self.containers.is_empty()).then_some(self.next_sync);
        let others = containers.chain(self.next_write()).chain(self.next_static_restart()).chain(sync);
        running.map(|operation| operation.due).chain(restarts).chain(late).chain(fetches).chain(others).min()
    }

    /// The parties and the services that change with what is due now.
    fn concerned(&self) -> (BTreeSet<Party>, BTreeSet<usize>) {
        let now = self.now;
        let restarts = |app: &App| app.restarted_at.is_some_and(|due| due <= now);
        let restarting = (0..self.apps.len()).filter(|at| restarts(&self.apps[*at])).map(Party::App);
        let late = self.late.iter().filter(|late| late.due <= now).map(Late::party);
        let replaced = |one: &Container| one.next().is_some_and(|due| due <= now);
        let replaced = (0..self.containers.len()).filter(|at| replaced(&self.containers[*at]));
        let written = self.writes.iter().filter(|write| write.is_due(now)).map(|write| write.container);
        let containers = replaced.chain(written).map(Party::Container);
        let ends = |operation: &&Operation| operation.status == Status::Running && operation.due <= now;
        let services = self.operations.iter().filter(ends).map(|operation| operation.service);
        let parties = restarting.chain(late).chain(containers).chain(self.restarting_environments());
        (parties.collect(), services.collect())
    }

    fn work_off(&mut self) {
        let now = self.now;
        let due = |operation: &Operation| operation.status == Status::Running && operation.due <= now;
        for at in (0..self.operations.len()).filter(|at| due(&self.operations[*at])).collect::<Vec<_>>() {
            self.finish(at);
        }
        self.asked = true;
        self.write_late();
        self.finish_writes();
        self.asked = false;
        if self.next_sync <= now {
            self.next_sync += SYNC_EVERY;
            self.sync_secrets();
        }
        for at in 0..self.containers.len() {
            if self.with_container(at, |container, making, _| container.work_off(making)) {
                self.tell(ActivityKind::Restarted { app: self.containers[at].id.label() });
            }
        }
        self.restart_static();
        for at in 0..self.apps.len() {
            if self.apps[at].fetches_at().is_some_and(|time| time <= now) {
                self.refetch(at);
            }
            if self.apps[at].restarted_at.take_if(|time| *time <= now).is_some() {
                self.take_over(at);
            }
        }
    }

    /// The platform fetches an app's references to Key Vault, as it was asked to or because a day is over. Whether that reaches the process
    /// that runs is not documented; people saw it restart by the refresh that they asked for.
    fn refetch(&mut self, at: usize) {
        let asked = self.apps[at].refreshed_at.take_if(|time| *time <= self.now).is_some();
        let changed = self.fetched(at, App::refresh);
        if self.options.refresh_restarts && (asked || changed) {
            self.restart(at);
        }
    }

    fn take_over(&mut self, at: usize) {
        let Self { apps, vaults, stores, references, denials, services, .. } = self;
        let app = &mut apps[at];
        app.start(&Platform { vaults, stores, elsewhere: references, denials }, services);
        if !app.deleted {
            let app = app.name.clone();
            self.tell(ActivityKind::Restarted { app });
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("now", &self.now).finish_non_exhaustive()
    }
}
