//! The instances, whoever looks after them, and how far they are.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use url::Url;

use super::ledger::Ledger;
use super::weather::Kill;
use super::{StormOptions, silent, world};
use crate::azure::http::Http;
use crate::clock::{Clock, SystemClock};
use crate::config::{AppConfig, Config};
use crate::demo::Trouble;
use crate::engine::Order;
use crate::report::{Ending, RunReport};
use crate::sim::{self, Options, Sim, VirtualClock};
use crate::store::{MemoryStore, Store, peek};
use rekey_core::intent::Intent;
use rekey_core::journal::{Held, Journal, Origin};
use rekey_core::model::{AppId, ServiceId};
use rekey_core::plan::Decision;
use rekey_core::time::delta;

/// The simulated Azure, the store, and what was seen of the instances so far.
pub(super) struct Crew {
    pub(super) sim: Sim,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) config: Arc<Config>,
    /// The configuration without what somebody mistyped.
    pub(super) configured: Arc<Config>,
    pub(super) rounds: u64,
    pub(super) passes: u64,
    pub(super) kills: u64,
    pub(super) endings: BTreeMap<&'static str, u64>,
    /// Whether the weather leaves this round alone.
    pub(super) calm: bool,
    /// Passes that failed all the same, and why.
    pub(super) failed_in_calm: Vec<String>,
    /// Whether workers leave out what they cannot read.
    pub(super) blind: bool,
    /// Whether somebody did something in the midst of the pass that runs, which it may not have seen.
    pub(super) disturbed: Arc<AtomicBool>,
    /// How many passes ended well and were compared with what is true.
    pub(super) judged: u64,
    /// Those that ended well though not everything was well, and what was not.
    pub(super) untrue: Vec<String>,
    pub(super) started: DateTime<Utc>,
    schedule: DefaultHasher,
    courses: BTreeMap<ServiceId, Course>,
    http: Http,
    base: Url,
}

/// How far an instance is.
#[derive(Default)]
struct Course {
    /// When it is due, as it was told when it last was settled.
    due: Option<DateTime<Utc>>,
    /// Whether there was nothing to do at the last pass.
    settled: bool,
    rotations: u64,
}

/// The timer's usual time, and a notice's.
const TIMER: Duration = Duration::from_secs(9 * 60);
const NOTICE: Duration = Duration::from_secs(25);

impl Crew {
    pub(super) async fn new(options: &StormOptions) -> Result<Self, Trouble> {
        let (world, clock) = (world::world(), Arc::new(VirtualClock::default()));
        let azure = Options { tick: options.tick, seed: options.seed, ..Options::like_azure() };
        let config = Arc::new(sim::config(&world, options.policy));
        let sim = Sim::start(world, azure, clock.clone(), ([127, 0, 0, 1], 0).into()).await;
        let sim = sim.map_err(|error| Trouble::of("the embedded Azure cannot be started", &error))?;
        let base =
            Url::parse(sim.base()).map_err(|error| Trouble::of("the embedded Azure has no URL", &error))?;
        Ok(Self {
            ledger: Arc::new(Ledger::new(MemoryStore::new(clock.clone()))),
            courses: config.instances.iter().map(|known| (known.id.clone(), Course::default())).collect(),
            sim,
            clock,
            configured: Arc::clone(&config),
            config,
            rounds: 0,
            passes: 0,
            kills: 0,
            endings: BTreeMap::new(),
            calm: false,
            failed_in_calm: Vec::new(),
            blind: false,
            disturbed: Arc::default(),
            judged: 0,
            untrue: Vec::new(),
            started: SystemClock.now(),
            schedule: DefaultHasher::new(),
            http: Http::new(),
            base,
        })
    }

    /// Rotations that are complete, of all instances together.
    pub(super) fn rotations(&self) -> u64 {
        self.courses.values().map(|course| course.rotations).sum()
    }

    /// What came of every pass, and when, as one number: it tells whether two storms were the same.
    pub(super) fn schedule(&self) -> u64 {
        self.schedule.finish()
    }

    /// The names of the instances.
    pub(super) fn instances(&self) -> impl Iterator<Item = &str> {
        self.config.instances.iter().map(|instance| instance.id.name())
    }

    /// Minutes, mostly; where everything is settled, until something is due.
    pub(super) fn let_time_pass(&self, rng: &mut Rng) {
        let now = self.clock.now();
        let all_settled = self.courses.values().all(|course| course.settled);
        let due = self.courses.values().filter_map(|course| course.due).min();
        match due.filter(|due| all_settled && *due > now && rng.u8(0..100) < 80) {
            Some(due) => {
                let later = Duration::from_secs(rng.u64(0..7200));
                self.clock.advance((due - now).to_std().unwrap_or_default() + later);
            }
            None if rng.u8(0..100) < 3 => self.clock.advance(Duration::from_secs(rng.u64(3600..36_000))),
            None => self.clock.advance(Duration::from_secs(rng.u64(30..2400))),
        }
    }

    /// A pass over one instance by a fresh worker, killed where the weather says so.
    pub(super) async fn pass(
        &mut self,
        instance: &ServiceId,
        intent: Intent,
        kill: Option<Kill>,
    ) -> Result<(), Trouble> {
        self.passes += 1;
        self.disturbed.store(false, Ordering::Relaxed);
        let config = self.config_of_a_worker();
        let store: Arc<dyn Store> = self.ledger.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let worker = sim::worker(&self.base, &self.http, config, store, clock, silent());
        let worker = worker.map_err(|error| Trouble::of("a worker cannot be started", &error))?;
        let time = if intent == Intent::timer() { TIMER } else { NOTICE };
        let order = Order {
            services: vec![instance.clone()],
            intent,
            holder: format!("worker-{}", self.passes),
            deadline: self.clock.now() + delta(time),
        };
        let killed = kill.as_ref().map(|kill| kill.arm(&self.sim, &self.ledger));
        let reports = match killed {
            None => Some(worker.run(&order).await),
            Some(killed) => tokio::select! {
                biased;
                () = killed.notified() => None,
                reports = worker.run(&order) => Some(reports),
            },
        };
        if kill.is_some() {
            Kill::disarm(&self.sim, &self.ledger);
        }
        self.judge(reports.iter().flatten().next());
        self.note(instance, reports.as_deref()).await;
        Ok(())
    }

    /// What a worker is configured with.
    fn config_of_a_worker(&self) -> Arc<Config> {
        if !self.blind {
            return Arc::clone(&self.config);
        }
        let mut config = (*self.config).clone();
        for instance in &mut config.instances {
            let id = instance.id.clone();
            let can_be_read = |app: &AppConfig| {
                self.sim.with(|state| state.troubles(&id, std::slice::from_ref(&app.id)).is_empty())
            };
            instance.apps.retain(can_be_read);
        }
        Arc::new(config)
    }

    /// A run that ends well says that everything was seen, and that everybody holds a valid key. Whether that is so, the
    /// simulator knows. What a notice tells that is known already sees no app, and says nothing of any.
    fn judge(&mut self, report: Option<&RunReport>) {
        let said = |report: &&RunReport| ended_well(&report.ending) && report.known.is_none();
        let disturbed = self.disturbed.load(Ordering::Relaxed);
        let Some(report) = report.filter(said).filter(|_| !disturbed) else { return };
        let Some(configured) = self.config.instances.iter().find(|known| known.id == report.service) else {
            return;
        };
        let apps: Vec<AppId> = configured.apps.iter().map(|app| app.id.clone()).collect();
        let troubles = self.sim.with(|state| state.troubles(&report.service, &apps));
        self.judged += 1;
        if !troubles.is_empty() {
            let (name, round, ending) = (report.service.name(), self.rounds, report.ending.name());
            let troubles = troubles.join("; ");
            self.untrue
                .push(format!("in round {round} a run over {name} ended well ({ending}), but {troubles}"));
        }
    }

    /// Passes in fair weather, until all is settled or a day has gone by.
    pub(super) async fn settle(&mut self) -> Result<(), Trouble> {
        let instances: Vec<ServiceId> = self.courses.keys().cloned().collect();
        let end = self.clock.now() + TimeDelta::days(1);
        self.calm = true;
        while self.clock.now() < end {
            for instance in &instances {
                self.pass(instance, Intent::timer(), None).await?;
            }
            if self.courses.values().all(|course| course.settled) {
                break;
            }
            self.clock.advance(Duration::from_secs(600));
        }
        // So that nothing hides behind the last request.
        self.clock.advance(Duration::from_secs(7200));
        Ok(())
    }

    /// The instances that had something left to do at their last pass.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &str> {
        self.courses.iter().filter(|(_, course)| !course.settled).map(|(instance, _)| instance.name())
    }

    /// Takes down what came of a pass.
    async fn note(&mut self, instance: &ServiceId, reports: Option<&[RunReport]>) {
        let ending = reports.and_then(|reports| reports.first()).map(|report| &report.ending);
        let name = ending.map_or("killed", Ending::name);
        self.kills += u64::from(ending.is_none());
        *self.endings.entry(name).or_default() += 1;
        if let Some(Ending::Failed(error)) = ending.filter(|_| self.calm) {
            self.failed_in_calm
                .push(format!("in calm weather a pass over {} failed: {error}", instance.name()));
        }
        let now = self.clock.now();
        (instance.name(), name, now, self.sim.report().arm_requests_total).hash(&mut self.schedule);
        let next = match ending {
            Some(Ending::Decided(Decision::Settled { next })) => *next,
            // It has nothing to say about a rotation.
            Some(Ending::Repaired | Ending::Known) => return,
            _ => None,
        };
        // What the storm does to the storage is not for us who watch it.
        let journal = match next {
            Some(_) => self.ledger.peek(instance).await,
            None => None,
        };
        let Some(course) = self.courses.get_mut(instance) else { return };
        course.settled = next.is_some();
        let (Some(next), Some(journal)) = (next, journal) else { return };
        let begun = course.due.is_none_or(|due| due <= now);
        course.rotations += u64::from(begun && is_rotated(&journal, course.due));
        course.due = Some(next);
    }
}

/// Whether whoever called, or reads the exit code, is told that all is well.
const fn ended_well(ending: &Ending) -> bool {
    matches!(ending, Ending::Repaired | Ending::Decided(Decision::Settled { .. } | Decision::Waiting { .. }))
}

/// Whether the keys that consumers hold were made by us for the rotation that was due.
fn is_rotated(journal: &Journal, due: Option<DateTime<Utc>>) -> bool {
    let Some(keys) = journal.keys() else { return false };
    let mut held = keys.iter().map(|(_, key)| key).filter(|key| key.held == Held::Now);
    held.all(|key| key.origin == Origin::Ours && due.is_none_or(|due| key.created >= due))
}

impl Ledger {
    /// The journal of an instance, whatever the weather.
    pub(super) async fn peek(&self, instance: &ServiceId) -> Option<Journal> {
        peek(self.calm(), instance).await.ok()
    }
}
