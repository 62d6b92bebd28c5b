//! A storm as it runs: the services, the workers that look after them one run at a time, and how far they are.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::{EmbeddedAzure, Options, State, VirtualClock};
use fastrand::Rng;
use url::Url;

use super::flaky_store::{FlakyStore, Kill};
use super::held::{self, Health};
use super::judge::{Evidence, Judge};
use super::world;
use crate::azure::http::Http;
use crate::clock::{Clock, SystemClock};
use crate::config::{AppConfig, Config};
use crate::demo::{Trouble, setup};
use crate::engine::{Engine, Narrator, Order};
use crate::handler::KeyReport;
use crate::report::{Ending, RunReport};
use crate::store::{Lease, MemoryStore, Store};
use rekey_core::intent::Intent;
use rekey_core::journal::{Event, Held, Journal, Origin};
use rekey_core::model::{Fingerprint, ServiceId};
use rekey_core::plan::Decision;
use rekey_core::policy::{ApprovalPolicy, Policy};
use rekey_core::time::delta;

/// What kind of storm.
#[derive(Clone, Debug)]
pub struct StormOptions {
    /// Where everything in it comes from.
    pub seed: u64,
    /// How many rotations it lasts, of all services together.
    pub rotations: u64,
    /// What the worker is told. A grace period shorter than the life of client tokens must be found out.
    pub policy: Policy,
    /// The interval between two client calls of an app.
    pub tick: Duration,
    /// How workers are wrong: it must be found out, and the storm ends with that.
    pub bent: Option<Bent>,
}

/// How workers can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bent {
    /// They leave out the apps that they cannot read, instead of saying so.
    Blind,
    /// They know of no windows and no freezes.
    AtAnyTime,
    /// They need no approval.
    Unasked,
    /// They ask no app how it is, and move all at once.
    Ungated,
}

impl StormOptions {
    /// A storm of this seed and length, under the usual policy.
    pub fn new(seed: u64, rotations: u64) -> Self {
        Self { seed, rotations, policy: Policy::default(), tick: Duration::from_secs(600), bent: None }
    }
}

/// The embedded Azure, the store, and what was seen of the services so far.
pub(super) struct Storm {
    pub(super) azure: Arc<EmbeddedAzure>,
    /// What says of the apps how they are.
    pub(super) health: Health,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) store: Arc<FlakyStore>,
    pub(super) config: Arc<Config>,
    /// The configuration without what somebody mistyped.
    pub(super) configured: Arc<Config>,
    pub(super) rounds: u64,
    pub(super) runs: u64,
    pub(super) kills: u64,
    pub(super) endings: BTreeMap<&'static str, u64>,
    /// Whether nothing goes wrong in this round.
    pub(super) calm: bool,
    /// Runs that failed all the same, and why.
    pub(super) failed_in_calm: Vec<String>,
    /// How workers are wrong.
    bent: Option<Bent>,
    /// Whether somebody did something in the midst of the run under way, which it may not have seen.
    pub(super) disturbed: Arc<AtomicBool>,
    /// Whether that was so of any run of this round.
    disturbed_round: bool,
    pub(super) judge: Judge,
    /// Whether each app said in the last run that it is well, each time.
    all_well: bool,
    /// When the last run began.
    began: DateTime<Utc>,
    /// How many runs ended well and were compared with what is true.
    pub(super) judged: u64,
    /// Those that ended well though not everything was well, and what was not.
    pub(super) untrue: Vec<String>,
    pub(super) started: DateTime<Utc>,
    schedule: DefaultHasher,
    progress: BTreeMap<ServiceId, Progress>,
    http: Http,
    base: Url,
}

/// How far a service is.
#[derive(Default)]
struct Progress {
    /// When it is due, as it was told when it last was settled.
    due: Option<DateTime<Utc>>,
    /// What was decided at the last run, if it came to that.
    decision: Option<Decision>,
    rotations: u64,
}

impl Progress {
    const fn is_settled(&self) -> bool {
        matches!(self.decision, Some(Decision::Settled { next: Some(_) }))
    }
}

/// How long the platform takes to fetch the references of an app when somebody asks it to: no document says, and it may be long.
const SLOWLY: Duration = Duration::from_secs(7 * 60);

/// The timer's usual time, and a notice's.
const TIMER: Duration = Duration::from_secs(9 * 60);
const NOTICE: Duration = Duration::from_secs(25);

impl Storm {
    pub(super) async fn new(options: &StormOptions) -> Result<Self, Trouble> {
        let (world, clock) = (world::world(), Arc::new(VirtualClock::default()));
        let rules = Options {
            tick: options.tick,
            seed: options.seed,
            refresh_takes: SLOWLY,
            // No document says whether it does.
            refresh_restarts: options.seed.is_multiple_of(2),
            ..Options::like_azure()
        };
        let config = setup::config(&world, &options.policy);
        let mut config = config.map_err(|error| Trouble::of("the world has an id that is none", &error))?;
        world::complete(&mut config)?;
        let now = clock.now();
        held::configure(&mut config, now)?;
        let azure = EmbeddedAzure::start(world, rules, clock.clone(), ([127, 0, 0, 1], 0).into()).await;
        let azure = azure.map_err(|error| Trouble::of("the embedded Azure cannot be started", &error))?;
        let azure = Arc::new(azure);
        azure.with(world::pin)?;
        let health = Health::start(Arc::clone(&azure), Arc::clone(&clock), options.seed).await?;
        let config = Arc::new(config);
        let services = config.instances.iter().map(|known| known.id.name().to_owned());
        let judge = Judge::new(services, now);
        let base =
            Url::parse(azure.base()).map_err(|error| Trouble::of("the embedded Azure has no URL", &error))?;
        Ok(Self {
            store: Arc::new(FlakyStore::new(MemoryStore::new(clock.clone()))),
            progress: config.instances.iter().map(|known| (known.id.clone(), Progress::default())).collect(),
            judge,
            health,
            azure,
            clock,
            configured: Arc::clone(&config),
            config,
            rounds: 0,
            runs: 0,
            kills: 0,
            endings: BTreeMap::new(),
            calm: false,
            failed_in_calm: Vec::new(),
            bent: options.bent,
            disturbed: Arc::default(),
            disturbed_round: false,
            all_well: true,
            began: now,
            judged: 0,
            untrue: Vec::new(),
            started: SystemClock.now(),
            schedule: DefaultHasher::new(),
            http: Http::new(),
            base,
        })
    }

    /// Rotations that are complete, of all services together.
    pub(super) fn rotations(&self) -> u64 {
        self.progress.values().map(|progress| progress.rotations).sum()
    }

    /// What came of every run, and when, as one number: it tells whether two storms were the same.
    pub(super) fn schedule(&self) -> u64 {
        self.schedule.finish()
    }

    /// The names of the services.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.config.instances.iter().map(|service| service.id.name())
    }

    /// When the next round begins: in minutes, mostly; where nothing is to be done, when something is again.
    pub(super) fn next_round(&self, rng: &mut Rng) -> DateTime<Utc> {
        let now = self.clock.now();
        match self.rests_until().filter(|until| *until > now && rng.u8(0..100) < 80) {
            Some(until) => until + TimeDelta::seconds(rng.i64(0..7200)),
            None if rng.u8(0..100) < 3 => now + TimeDelta::seconds(rng.i64(3600..36_000)),
            None => now + TimeDelta::seconds(rng.i64(30..2400)),
        }
    }

    /// Until when nothing is to be done, if that is so of all services.
    pub(super) fn rests_until(&self) -> Option<DateTime<Utc>> {
        let now = self.clock.now();
        let rests = |progress: &Progress| held::rests_until(progress.decision.as_ref()?, now);
        let until: Option<Vec<_>> = self.progress.values().map(rests).collect();
        until?.into_iter().min()
    }

    /// What was decided at the last run over a service.
    pub(super) fn decision(&self, service: &ServiceId) -> Option<&Decision> {
        self.progress.get(service)?.decision.as_ref()
    }

    /// One run over one service by a fresh worker, which may be killed.
    pub(super) async fn run(
        &mut self,
        service: &ServiceId,
        intent: Intent,
        kill: Option<Kill>,
    ) -> Result<(), Trouble> {
        self.runs += 1;
        self.began = self.clock.now();
        self.health.begin(self.runs);
        self.disturbed.store(false, Ordering::Relaxed);
        let worker = self.worker()?;
        let time = if intent == Intent::timer() { TIMER } else { NOTICE };
        let order = Order {
            services: vec![service.clone()],
            intent,
            holder: format!("worker-{}", self.runs),
            deadline: self.clock.now() + delta(time),
        };
        let killed = kill.as_ref().map(|kill| kill.arm(&self.azure, &self.store));
        let reports = match killed {
            None => Some(worker.run(&order).await),
            Some(killed) => tokio::select! {
                biased;
                () = killed.notified() => None,
                reports = worker.run(&order) => Some(reports),
            },
        };
        if kill.is_some() {
            Kill::disarm(&self.azure, &self.store);
        }
        self.disturbed_round |= self.disturbed.load(Ordering::Relaxed);
        self.hear();
        self.compare(reports.iter().flatten().next());
        self.note(service, reports.as_deref()).await;
        Ok(())
    }

    /// A worker that was just started.
    fn worker(&self) -> Result<Engine, Trouble> {
        let store: Arc<dyn Store> = self.store.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let worker = setup::worker(&self.base, &self.http, self.config_of_a_worker(), store, clock, silent());
        worker.map_err(|error| Trouble::of("a worker cannot be started", &error))
    }

    /// A machine reports to a handler what it holds. Whether that is on record.
    pub(super) async fn report(&self, service: &str, name: &str, fingerprint: Fingerprint) -> bool {
        let (Some(service), Ok(name)) = (self.id_of(service), name.parse()) else { return false };
        let Ok(worker) = self.worker() else { return false };
        let report = KeyReport { service, name, fingerprint };
        worker.take_report(&report, self.clock.now() + delta(NOTICE)).await.is_ok()
    }

    /// A person puts something on record. Whether it is.
    pub(super) async fn record(&self, service: &str, event: Event) -> bool {
        let Some(service) = self.id_of(service) else { return false };
        let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) = (self.store.clone(), self.clock.clone());
        let Ok(mut lease) = Lease::acquire(store, clock, &service, "acknowledge").await else { return false };
        let recorded = lease.record(event);
        lease.release().await.is_ok() && recorded.is_ok()
    }

    /// What is on record of a service.
    pub(super) async fn journal_of(&self, service: &str) -> Option<Journal> {
        self.store.peek(&self.id_of(service)?).await
    }

    fn id_of(&self, service: &str) -> Option<ServiceId> {
        self.progress.keys().find(|id| id.name() == service).cloned()
    }

    /// What a worker is configured with.
    fn config_of_a_worker(&self) -> Arc<Config> {
        let mut config = (*self.config).clone();
        self.health.configure(&mut config, self.runs);
        for service in &mut config.instances {
            let Some(bent) = self.bent else { break };
            let id = service.id.to_string();
            match bent {
                Bent::Blind => {
                    let can_be_read = |app: &AppConfig| {
                        self.azure.with(|state| state.problems(&id, &[app.id.to_string()]).is_empty())
                    };
                    service.apps.retain(can_be_read);
                }
                Bent::AtAnyTime => {
                    (service.policy.windows, service.policy.freezes) = (vec![], vec![]);
                }
                Bent::Unasked => service.policy.approval = ApprovalPolicy::None,
                Bent::Ungated => {
                    let waves = service.consumers().map(|one| (one, 1)).collect();
                    let policy = &mut service.policy;
                    (policy.waves, policy.restarts_at_once) = (waves, 0);
                    policy.watched.clear();
                    service.health.clear();
                }
            }
        }
        Arc::new(config)
    }

    /// What nobody worked at any more is over: what was written late is judged by itself.
    pub(super) fn begin_round(&mut self) {
        self.hear();
        self.disturbed_round = false;
    }

    /// Judges what is on record since that was last done.
    fn hear(&mut self) {
        let handovers = self.azure.with(State::take_handovers);
        let answers = self.health.answers();
        self.all_well = answers.iter().all(|answer| answer.well);
        let keys = self.config.instances.iter().flat_map(|known| {
            let name = known.id.name();
            self.keys(&known.id).into_iter().map(move |key| (name.to_owned(), key))
        });
        let keys = keys.collect();
        let evidence =
            Evidence { began: self.began, handovers, answers, disturbed: self.disturbed_round, keys };
        let round = self.rounds;
        let wrong = self.judge.hear(evidence);
        self.untrue.extend(wrong.into_iter().map(|wrong| format!("in round {round} {wrong}")));
    }

    /// A run that ends well says that everything was seen, and that everybody holds a valid key. Whether that is so, the
    /// embedded Azure knows. What a notice tells that is known already sees no app, and says nothing of any. Whatever holds a
    /// rotation back holds back no repair.
    fn compare(&mut self, report: Option<&RunReport>) {
        let is_held = |report: &RunReport| matches!(&report.ending, Ending::Decided(decision) if held::is_held(decision));
        let said =
            |report: &&RunReport| (ended_well(&report.ending) || is_held(report)) && report.known.is_none();
        let disturbed = self.disturbed.load(Ordering::Relaxed);
        let Some(report) = report.filter(said).filter(|_| !disturbed) else { return };
        let Some(configured) = self.config.instances.iter().find(|known| known.id == report.service) else {
            return;
        };
        let apps: Vec<String> = configured.consumers().map(|consumer| consumer.to_string()).collect();
        let service = report.service.to_string();
        let mut problems = self.azure.with(|state| state.problems(&service, &apps));
        // A run that is blocked says itself that not all is well.
        problems.retain(|problem| ended_well(&report.ending) || problem.contains("signs with"));
        self.judged += 1;
        if !problems.is_empty() {
            let (name, round, ending) = (report.service.name(), self.rounds, report.ending.name());
            let problems = problems.join("; ");
            self.untrue
                .push(format!("in round {round} a run over {name} ended well ({ending}), but {problems}"));
        }
    }

    /// One run over each service with nothing going wrong; whether all is settled.
    pub(super) async fn run_in_calm(&mut self) -> Result<bool, Trouble> {
        self.calm = true;
        let services: Vec<ServiceId> = self.progress.keys().cloned().collect();
        for service in &services {
            self.run(service, Intent::timer(), None).await?;
        }
        Ok(self.progress.values().all(Progress::is_settled))
    }

    /// The services that had something left to do at their last run.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &str> {
        self.progress.iter().filter(|(_, progress)| !progress.is_settled()).map(|(service, _)| service.name())
    }

    /// Takes down what came of a run.
    async fn note(&mut self, service: &ServiceId, reports: Option<&[RunReport]>) {
        let ending = reports.and_then(|reports| reports.first()).map(|report| &report.ending);
        let name = ending.map_or("killed", Ending::name);
        self.kills += u64::from(ending.is_none());
        *self.endings.entry(name).or_default() += 1;
        if let Some(Ending::Failed(error)) = ending.filter(|_| self.calm && self.all_well) {
            self.failed_in_calm
                .push(format!("with nothing going wrong a run over {} failed: {error}", service.name()));
        }
        let now = self.clock.now();
        (service.name(), name, now, self.azure.report().arm_requests_total).hash(&mut self.schedule);
        let Some(progress) = self.progress.get_mut(service) else { return };
        progress.decision = match ending {
            Some(Ending::Decided(decision)) => Some(decision.clone()),
            // It has nothing to say about a rotation.
            Some(Ending::Repaired | Ending::Known) => return,
            _ => None,
        };
        let Some(Decision::Settled { next: Some(next) }) = progress.decision else { return };
        // What goes wrong with the storage is not for us who watch it.
        let Some(journal) = self.store.peek(service).await else { return };
        let begun = progress.due.is_none_or(|due| due <= now);
        progress.rotations += u64::from(begun && is_rotated(&journal, progress.due));
        progress.due = Some(next);
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

/// Nobody hears what a worker tells.
fn silent() -> Narrator {
    Arc::new(|_, _| {})
}
