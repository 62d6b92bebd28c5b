//! Runs over services: the only place that joins the parts.
//!
//! Start at [`Engine::run`]: one run over each service, several at a time. A run may be killed at any point: the next
//! carries on from what it checks and what was recorded. [`Dispatcher`] makes runs of what triggers tell.

pub mod act;
mod attempt;
pub mod check;
mod coalesce;
mod dispatch;
mod full_checks;
mod gate;
mod log;
mod process;
mod proof;
mod recent;
mod reports;
mod run;
mod silence;
mod status;
mod steps;
mod tags;
mod waits;
mod watch;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use parking_lot::Mutex;
use tracing::Instrument;

pub use dispatch::Dispatcher;
pub use full_checks::FullChecks;
pub use process::{AtWork, Calls, InUse, KeysInUse, Remembered, Stop};
pub use tags::Tags;

use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Barrier};
use crate::azure::data_plane::DataPlane;
use crate::azure::http::Http;
use crate::clock::Clock;
use crate::config::{self, Config, ServiceConfig};
use crate::engine::act::RewriteError;
use crate::engine::check::{Check, Reader};
use crate::metrics::Metrics;
use crate::overview::ServiceOverview;
use crate::report::notify::Notifier;
use crate::report::text::InWords;
use crate::report::text::snapshot::stale;
use crate::report::{RunEvent, RunReport};
use crate::store::{AppLocks, Store, StoreError};
use rekey_core::intent::Intent;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, ServiceId};
use rekey_core::plan::{self, Assessment, BlockedBy, CutOff, Decision, Open, Snapshot, Standing};

/// Hears every event of a run, as it happens; whether people are told of it, it tells itself ([`RunEvent::is_told`]).
pub type Narrator = Arc<dyn Fn(&ServiceId, &RunEvent) + Send + Sync>;

/// Everything that a run needs, for the life of the process.
#[derive(Clone)]
pub struct Engine {
    /// What the operator decided.
    pub config: Arc<Config>,
    /// Azure Resource Manager.
    pub arm: Arm,
    /// The service's own API.
    pub data_plane: DataPlane,
    /// Asks apps how they are.
    pub http: Http,
    /// Keeps runs over different services from writing the same app at once.
    pub app_locks: Arc<AppLocks>,
    /// Calls from runs that wait to those at work.
    pub calls: Arc<Calls>,
    /// The services of which the timer has seen in this process that older releases are kept out.
    pub fenced: Arc<Mutex<BTreeSet<ServiceId>>>,
    /// The keys that consumers hold, for the watch.
    pub in_use: Arc<InUse>,
    /// When services were last read in full.
    pub full_checks: Arc<FullChecks>,
    /// What runs leave to the next ones.
    pub remembered: Arc<Remembered>,
    /// What runs have told of their services, until it is kept.
    pub overviews: Arc<Mutex<Vec<ServiceOverview>>>,
    /// What services are to be tagged with.
    pub tags: Arc<Tags>,
    /// Asks those at work to stop.
    pub stop: Stop,
    /// How many are at work.
    pub at_work: AtWork,
    /// Where the journal is kept.
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// Tells the operator's webhook how runs ended.
    pub notifier: Option<Arc<Notifier>>,
    /// Exports numbers, where somebody asks for them.
    pub metrics: Option<Arc<Metrics>>,
    /// Hears what happens.
    pub narrator: Narrator,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Order {
    /// Over which services, those first whose requests are to come first; over all if none is named.
    pub services: Vec<ServiceId>,
    /// What is wanted of each.
    pub intent: Intent,
    /// Who does it; no two runs share a name.
    pub holder: String,
    /// When the run must have answered.
    pub deadline: DateTime<Utc>,
}

impl Engine {
    /// Puts the parts together. What is kept for the life of the process begins empty.
    pub fn new(
        config: Arc<Config>,
        arm: Arm,
        data_plane: DataPlane,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        http: &Http,
        narrator: Narrator,
    ) -> Self {
        let app_locks = Arc::new(AppLocks::new(config.shared_consumers()));
        let notify = config.notify.clone();
        let notifier = notify.map(|notify| Notifier::new(notify, http.clone(), Arc::clone(&clock)));
        let metrics = match &config.metrics {
            config::Metrics::To(receiver) => {
                let (receiver, clock) = ((**receiver).clone(), Arc::clone(&clock));
                Some(Metrics::new(receiver, arm.clone(), http.clone(), clock))
            }
            config::Metrics::Off | config::Metrics::Wrong(_) => None,
        };
        Self {
            config,
            arm,
            data_plane,
            http: http.clone(),
            app_locks,
            calls: Arc::default(),
            fenced: Arc::default(),
            in_use: Arc::default(),
            full_checks: Arc::default(),
            remembered: Arc::default(),
            overviews: Arc::default(),
            tags: Arc::default(),
            stop: Stop::default(),
            at_work: AtWork::default(),
            store,
            clock,
            notifier,
            metrics,
            narrator,
        }
    }

    /// Runs over each service, all at the same time: which of their requests comes first is seen to where they are sent
    /// (`azure::arm`). One service's failure is reported and stops no other.
    pub async fn run(&self, order: &Order) -> Vec<RunReport> {
        let all = || self.config.instances.iter().map(|service| (&service.id, service));
        let by_id: BTreeMap<_, _> = all().collect();
        let wanted: Vec<&ServiceConfig> = match &order.services[..] {
            [] => all().map(|(_, service)| service).collect(),
            named => named.iter().filter_map(|id| by_id.get(id).copied()).collect(),
        };
        let runs = wanted.into_iter().map(|service| self.serve(order, service).boxed());
        let mut reports = futures::future::join_all(runs).await;
        reports.sort_by(|a, b| a.service.cmp(&b.service));
        reports
    }

    async fn serve(&self, order: &Order, service: &ServiceConfig) -> RunReport {
        let span = tracing::info_span!("run", instance = service.id.name(), run = order.holder);
        let _at_work = self.at_work.begin();
        let run = run::Run::new(self, order, service);
        async {
            let report = run.complete().boxed().await;
            report.log();
            self.full_checks.note(order.intent.source, &report, self.clock.now());
            if let Some(notifier) = &self.notifier {
                notifier.tell(&report);
            }
            if let Some(metrics) = &self.metrics {
                metrics.count(&report);
            }
            report
        }
        .instrument(span)
        .await
    }

    /// Opens the ways to Azure and to storage, so that the first notice need not.
    pub async fn warm_up(&self) {
        let (_, _) = futures::join!(self.arm.warm_up(), crate::store::timer(&*self.store));
    }

    /// Ends when no run of this process is at work: for who leaves, after he has asked them to stop.
    pub async fn at_rest(&self) {
        self.at_work.rest().await;
    }

    /// Whom an error says to be cut off, without a check: of a service that has no keys, the apps that were last seen with
    /// one.
    pub async fn cut_off_by(&self, error: &RunError, service: &ServiceConfig) -> Vec<CutOff> {
        if !error.is_of_no_keys() {
            return Vec::new();
        }
        let journal = crate::store::peek(&*self.store, &service.id).await.unwrap_or_default();
        let held = |app: &ConsumerId| journal.seen(app).is_some_and(|held| !held.is_empty());
        let apps = service.apps.iter().map(|app| ConsumerId::from(&app.id)).filter(held);
        let external = service.external.iter().map(|one| one.id.clone());
        let reported = external.filter(|consumer| journal.report(consumer).is_some());
        apps.chain(reported).map(CutOff::OfNoKeys).collect()
    }

    /// What a run would do now, without doing it: a check and what follows from it, on a copy of the journal.
    pub async fn preview(
        &self,
        service: &ServiceConfig,
        deadline: DateTime<Utc>,
    ) -> Result<Preview, RunError> {
        let journal = crate::store::peek_at_both(&*self.store, &service.id).await?;
        let arm = self.arm.until(deadline);
        let reader = Reader { arm: &arm, clock: &*self.clock, in_need: false };
        let snapshot = Check::take(reader, service, &journal).await?.snapshot(service, &journal);
        let now = self.clock.now();
        let assessed = plan::assess(snapshot, &journal, Open::nothing(), &service.policy, now);
        let assessment = assessed.map_err(StoreError::from)?;
        let Assessment { snapshot, decision, .. } = assessment;
        let standing = plan::standing(&snapshot, &journal, &decision, &service.policy, now);
        let unwell = self.not_well_yet(service, &journal, &snapshot, now).await;
        Ok(Preview { at: now, snapshot, decision, standing, unwell, journal })
    }
}

/// What a run would begin with.
#[derive(Clone, Debug)]
pub struct Preview {
    /// As of when.
    pub at: DateTime<Utc>,
    /// What was seen.
    pub snapshot: Snapshot,
    /// What would be done.
    pub decision: Decision,
    /// What earlier runs tried in vain and is still to be done.
    pub standing: Option<Standing>,
    /// What those say who were moved or repaired and are waited for, if they are not well yet.
    pub unwell: Vec<RunEvent>,
    /// What is remembered, without what this check adds.
    pub journal: Journal,
}

impl Preview {
    /// What a person has to know first: who is cut off, and what stands in the way; nothing if all is well.
    pub fn trouble(&self) -> Vec<String> {
        let cut_off = self.snapshot.cut_off();
        let stale = (!cut_off.is_empty()).then(|| stale(&cut_off));
        let unseen = match &self.decision {
            Decision::Blocked(_) => Some(self.decision.in_words()),
            _ if self.snapshot.unknown.is_empty() => None,
            _ => Some(BlockedBy::Unknown(self.snapshot.unknown.clone()).in_words()),
        };
        let standing = self.standing.iter().map(InWords::in_words);
        let unwell = self.unwell.iter().map(ToString::to_string);
        stale.into_iter().chain(unseen).chain(standing).chain(unwell).collect()
    }
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Azure refused or did not answer.
    Arm(#[from] ArmError),
    /// The journal cannot be used, or the lease is lost.
    Store(#[from] StoreError),
    /// The time of the run ended.
    OutOfTime,
    /// Our clock is not that of the storage, which is so far ahead of it: when a grace is over cannot be told.
    Clock { ahead: TimeDelta },
    /// Single apps could not be written; the others were.
    Rewrites(Vec<RewriteError>),
}

impl RunError {
    /// Whether it is that the service has no keys, so that whoever holds one is cut off.
    fn is_of_no_keys(&self) -> bool {
        matches!(self, Self::Arm(error) if error.kind() == ArmErrorKind::Barred(Barrier::NoKeys))
    }

    /// Whether to try again soon helps: Azure or the storage is busy or out of reach, or was seen in the middle of a change.
    fn is_passing(&self) -> bool {
        match self {
            Self::Arm(error) => error.is_passing() || error.kind() == ArmErrorKind::OutcomeUnknown,
            Self::Store(error) => error.is_passing(),
            Self::OutOfTime => true,
            Self::Clock { .. } => false,
            Self::Rewrites(errors) => errors.iter().any(RewriteError::is_passing),
        }
    }
}
