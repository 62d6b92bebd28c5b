//! Passes over instances: the only place that joins the parts.
//!
//! ```text
//! lease -> observe -> decide -> record intent -> act -> verify -> record outcome -> (again) -> report
//! ```
//!
//! Start at [`Rekey::run`]. A pass repeats decide and act until nothing can be done now or its time ends. It may be
//! killed at any point: the next pass carries on from what it observes and what was recorded.

mod asked;
mod calls;
mod hint;
mod in_use;
mod one;
mod report;
mod steps;
mod stop;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::sync::Semaphore;
use tracing::Instrument;

pub use calls::Calls;
pub use hint::{Claim, Hint, Known};
pub use in_use::{InUse, KeysInUse};
use one::Pass;
pub use report::{Ending, RunReport};
pub use stop::{AtWork, Stop};
pub(crate) use watch::{Announced, told as told_of_watch};

use crate::act::Gates;
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Barrier};
use crate::azure::data_plane::DataPlane;
use crate::azure::http::Http;
use crate::clock::Clock;
use crate::config::{Config, ServiceConfig};
use crate::observe::{APPS_AT_ONCE, APPS_AT_ONCE_IN_NEED, Eyes, Look};
use crate::report::InWords;
use crate::report::notify::Notifier;
use crate::report::text::listed;
use crate::report::text::snapshot::stale;
use crate::store::{Store, StoreError};
use rekey_core::journal::Journal;
use rekey_core::model::{AppId, ServiceId};
use rekey_core::plan::{self, BlockedBy, CutOff, Decision, Request, Snapshot, Why};

/// How many instances are worked on at the same time. One that waits, for Azure, for a grace or for another worker, does
/// not count: any number of them may wait at once.
const INSTANCES_AT_ONCE: usize = 8;

/// The places of those at work.
#[derive(Clone, Debug)]
pub struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(INSTANCES_AT_ONCE)))
    }
}

/// Hears every line of a pass as it happens.
pub type Narrator = Arc<dyn Fn(&ServiceId, &str) + Send + Sync>;

/// Everything that a pass needs, for the life of the process.
#[derive(Clone)]
pub struct Rekey {
    /// What the operator decided.
    pub config: Arc<Config>,
    /// Azure Resource Manager.
    pub arm: Arm,
    /// The service's own API.
    pub data_plane: DataPlane,
    /// Keeps passes over different instances from writing the same app at once.
    pub gates: Arc<Gates>,
    /// The places of those at work, of all runs together.
    pub places: Places,
    /// Calls from runs that wait to those at work.
    pub calls: Arc<Calls>,
    /// The keys that consumers hold, for the watch.
    pub in_use: Arc<InUse>,
    /// Asks those at work to stop.
    pub stop: Stop,
    /// How many are at work.
    pub at_work: AtWork,
    /// Where the journal is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells the operator's webhook how passes ended.
    pub notifier: Option<Arc<Notifier>>,
    /// Hears what happens.
    pub narrator: Narrator,
}

/// What a run is for.
#[derive(Clone, Debug)]
pub struct Run {
    /// The instances; all if none is named.
    pub instances: Vec<ServiceId>,
    /// What may be done.
    pub purpose: Purpose,
    /// Who does it; no two runs share a name.
    pub holder: String,
    /// When the run must have answered.
    pub deadline: DateTime<Utc>,
}

/// What a run may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everything that is due, when the timer says so. It does not sit and wait for what takes its time: the next run
    /// carries on.
    Scheduled,
    /// Everything that is due, for an operator who waits until it is done.
    Rotate {
        /// Whether to rotate whatever the age of the keys.
        now: bool,
    },
    /// Everything that is due, in place of the timer, which a notice has found silent. It waits for whoever else is at
    /// work.
    StandIn,
    /// Everything that is due, with a rotation that a notice asks for. It waits for whoever else is at work.
    Answer {
        /// What is asked for.
        request: Request,
        /// When keys will be regenerated, as far as that is known.
        deadlines: BTreeSet<DateTime<Utc>>,
        /// What the events that ask for it hint at besides.
        hint: Hint,
    },
    /// Repair stale consumers, and nothing else. It waits for whoever else is at work.
    Repair,
    /// The same, if the hint that calls for it is news.
    Check(Hint),
}

impl Purpose {
    /// The rotation that it asks for.
    fn request(&self) -> Option<Request> {
        match self {
            Self::Rotate { now: true } => Some(Request { why: Why::Operator, since: None }),
            Self::Answer { request, .. } => Some(*request),
            Self::Scheduled | Self::Rotate { now: false } | Self::StandIn | Self::Repair | Self::Check(_) => {
                None
            }
        }
    }

    /// When keys will be regenerated.
    fn deadlines(&self) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let deadlines = match self {
            Self::Answer { deadlines, .. } => deadlines.clone(),
            Self::Scheduled | Self::Rotate { .. } | Self::StandIn | Self::Repair | Self::Check(_) => {
                BTreeSet::new()
            }
        };
        deadlines.into_iter()
    }

    /// That a key was regenerated, if an event says so.
    fn claim(&self) -> Option<Claim> {
        match self {
            Self::Check(hint) | Self::Answer { hint, .. } => hint.claim(),
            Self::Scheduled | Self::Rotate { .. } | Self::StandIn | Self::Repair => None,
        }
    }

    /// What calls for it.
    fn hint(&self) -> Option<Hint> {
        match self {
            Self::Check(hint) => Some(hint.clone()),
            Self::Scheduled | Self::Rotate { .. } | Self::StandIn | Self::Answer { .. } | Self::Repair => {
                None
            }
        }
    }

    /// Whether only stale consumers are repaired.
    pub(crate) const fn only_repairs(&self) -> bool {
        matches!(self, Self::Repair | Self::Check(_))
    }

    /// Whether it stays for what is to be watched.
    const fn keeps_looking(&self) -> bool {
        matches!(self, Self::Scheduled | Self::StandIn)
    }

    /// Whether a notice is behind it, whose sender waits for the answer and knows no better time.
    const fn is_notice(&self) -> bool {
        !matches!(self, Self::Scheduled | Self::Rotate { .. })
    }

    /// How many apps may be asked at the same time.
    const fn apps_at_once(&self) -> usize {
        if self.is_notice() { APPS_AT_ONCE_IN_NEED } else { APPS_AT_ONCE }
    }
}

impl Rekey {
    /// Puts the parts together. What is kept for the life of the process begins empty.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        arm: Arm,
        data_plane: DataPlane,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        http: &Http,
        narrator: Narrator,
    ) -> Self {
        let notify = config.notify.clone();
        let notifier = notify.map(|notify| Notifier::new(notify, http.clone(), Arc::clone(&clock)));
        Self {
            config,
            arm,
            data_plane,
            gates: Arc::default(),
            places: Places::default(),
            calls: Arc::default(),
            in_use: Arc::default(),
            stop: Stop::default(),
            at_work: AtWork::default(),
            store,
            clock,
            notifier,
            narrator,
        }
    }

    /// Runs a pass over each instance, several at a time. One instance's failure is reported and stops no other.
    pub async fn run(&self, run: &Run) -> Vec<RunReport> {
        let wanted =
            |instance: &&ServiceConfig| run.instances.is_empty() || run.instances.contains(&instance.id);
        let instances = self.config.instances.iter().filter(wanted);
        let passes = instances.map(|instance| self.instance(run, instance).boxed());
        let mut reports = futures::future::join_all(passes).await;
        reports.sort_by(|a, b| a.instance.cmp(&b.instance));
        reports
    }

    async fn instance(&self, run: &Run, instance: &ServiceConfig) -> RunReport {
        let span = tracing::info_span!("pass", instance = instance.id.name(), run = run.holder);
        let _at_work = self.at_work.begin();
        let mut pass = Pass::new(self, run, instance);
        async {
            let ending = pass.run().await;
            let report = pass.report(ending);
            report.log();
            if let Some(notifier) = &self.notifier {
                notifier.tell(&report);
            }
            report
        }
        .instrument(span)
        .await
    }

    /// Ends when no pass of this process is at work: for who leaves, after he has asked them to stop.
    pub async fn at_rest(&self) {
        self.at_work.rest().await;
    }

    /// Whom an error says to be cut off, without a look: of a service that has no keys, the apps that were last seen with one.
    pub async fn cut_off_by(&self, error: &RunError, instance: &ServiceConfig) -> Vec<String> {
        if !error.is_of_no_keys() {
            return Vec::new();
        }
        let journal = crate::store::peek(&*self.store, &instance.id).await.unwrap_or_default();
        let held = |app: &AppId| journal.seen(app).is_some_and(|held| !held.is_empty());
        let apps = instance.apps.iter().filter(|app| held(&app.id));
        apps.map(|app| CutOff::WithoutKeys(app.id.clone()).in_words()).collect()
    }

    /// What a pass would do now, without doing it: a look and a decision, on a copy of the journal.
    pub async fn preview(
        &self,
        instance: &ServiceConfig,
        deadline: DateTime<Utc>,
    ) -> Result<Preview, RunError> {
        let remembered = crate::store::peek(&*self.store, &instance.id).await?;
        let arm = self.arm.until(deadline);
        let eyes = Eyes { arm: &arm, clock: &*self.clock, at_once: APPS_AT_ONCE, in_need: false };
        let look = Look::take(eyes, instance).await?;
        let snapshot = look.snapshot(instance, &remembered);
        let now = self.clock.now();
        let mut journal = remembered.clone();
        for event in plan::reconcile(&snapshot, &journal, &instance.policy, now) {
            journal.apply(event, now).map_err(StoreError::from)?;
        }
        let decision = plan::decide(&snapshot, &journal, &instance.policy, now);
        let standing = plan::standing(&remembered, &decision, &instance.policy, now);
        let standing = standing.iter().map(InWords::in_words).collect();
        Ok(Preview { snapshot, decision, standing, journal: remembered })
    }
}

/// What a pass would begin with.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What would be done.
    pub decision: Decision,
    /// What earlier runs tried in vain and is still to be done.
    pub standing: Vec<String>,
    /// What is remembered, without what this look adds.
    pub journal: Journal,
}

impl Preview {
    /// What a person has to know first: who is cut off, and what stands in the way; nothing if all is well.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        let cut_off = self.snapshot.cut_off();
        let stale = (!cut_off.is_empty()).then(|| stale(&listed(&cut_off, ", ")));
        let unseen = match &self.decision {
            Decision::Blocked(_) => Some(self.decision.in_words()),
            _ if self.snapshot.unknown.is_empty() => None,
            _ => Some(BlockedBy::Unknown(self.snapshot.unknown.clone()).in_words()),
        };
        stale.into_iter().chain(unseen).chain(self.standing.iter().cloned()).collect()
    }
}

/// Why a pass cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Azure refused or did not answer.
    Arm(#[from] ArmError),
    /// The journal cannot be used, or the lease is lost.
    Store(#[from] StoreError),
    /// The time of the run ended.
    OutOfTime,
    /// The run at work has checked again since, and everybody holds a valid key.
    HandedOver {
        /// Which run that is.
        holder: String,
    },
    /// Something failed for single apps; the others were done.
    Apps {
        /// What.
        told: String,
        /// Whether to try again soon helps any of them.
        passing: bool,
    },
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
            Self::OutOfTime | Self::HandedOver { .. } => true,
            Self::Apps { passing, .. } => *passing,
        }
    }
}
