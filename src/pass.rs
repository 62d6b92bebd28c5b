//! Passes over instances: the only place that joins the parts.
//!
//! ```text
//! lease -> observe -> decide -> record intent -> act -> verify -> record outcome -> (again) -> report
//! ```
//!
//! Start at [`Rekey::run`]. A pass repeats decide and act until nothing can be done now or its time ends. It may be
//! killed at any point: the next pass carries on from what it observes and what was recorded.

mod one;
mod report;
mod steps;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::sync::Semaphore;
use tracing::Instrument;

use one::Pass;
pub use report::{Ending, PassReport};

use crate::act::Gates;
use crate::arm::{Arm, ArmError};
use crate::clock::Clock;
use crate::config::{Config, InstanceConfig};
use crate::data_plane::DataPlane;
use crate::journal::Journal;
use crate::model::InstanceId;
use crate::observe::Look;
use crate::plan::{self, Decision, Snapshot};
use crate::store::{Store, StoreError};

/// How many instances are worked on at the same time. One that waits, for Azure or for a grace, does not count: any
/// number of them may wait at once.
const INSTANCES_AT_ONCE: usize = 8;

/// Hears every line of a pass as it happens.
pub type Narrator = Arc<dyn Fn(&InstanceId, &str) + Send + Sync>;

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
    /// Where the journal is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Hears what happens.
    pub narrator: Narrator,
}

/// What a run is for.
#[derive(Clone, Debug)]
pub struct Run {
    /// The instances; all if none is named.
    pub instances: Vec<InstanceId>,
    /// What may be done.
    pub purpose: Purpose,
    /// Who does it; no two runs share a name.
    pub holder: String,
    /// When the run must have answered.
    pub deadline: DateTime<Utc>,
}

/// What a run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everything that is due.
    Rotate {
        /// Whether to rotate whatever the age of the keys.
        now: bool,
    },
    /// Mend stale consumers, and nothing else. It waits for whoever else is at work.
    Mend,
}

impl Rekey {
    /// Runs a pass over each instance, several at a time. One instance's failure is reported and stops no other.
    pub async fn run(&self, run: &Run) -> Vec<PassReport> {
        let wanted =
            |instance: &&InstanceConfig| run.instances.is_empty() || run.instances.contains(&instance.id);
        let instances = self.config.instances.iter().filter(wanted);
        let slots = Arc::new(Semaphore::new(INSTANCES_AT_ONCE));
        let passes = instances.map(|instance| self.instance(run, instance, Arc::clone(&slots)).boxed());
        let mut reports = futures::future::join_all(passes).await;
        reports.sort_by(|a, b| a.instance.cmp(&b.instance));
        reports
    }

    async fn instance(&self, run: &Run, instance: &InstanceConfig, slots: Arc<Semaphore>) -> PassReport {
        let span = tracing::info_span!("pass", instance = instance.id.name());
        let mut pass = Pass::new(self, run, instance, slots);
        async {
            let ending = pass.run().await;
            let report = pass.report(ending);
            report.log();
            report
        }
        .instrument(span)
        .await
    }

    /// What a pass would do now, without doing it: a look and a decision, on a copy of the journal.
    pub async fn preview(
        &self,
        instance: &InstanceConfig,
        deadline: DateTime<Utc>,
    ) -> Result<Preview, PassError> {
        let remembered = crate::store::peek(&*self.store, &instance.id).await?;
        let look = Look::take(&self.arm.until(deadline), &*self.clock, instance).await?;
        let snapshot = look.snapshot(instance, &remembered);
        let now = self.clock.now();
        let mut journal = remembered.clone();
        for event in plan::reconcile(&snapshot, &journal, &instance.policy, now) {
            journal.apply(event, now).map_err(StoreError::from)?;
        }
        let decision = plan::decide(&snapshot, &journal, &instance.policy, now);
        Ok(Preview { snapshot, decision, journal: remembered })
    }
}

/// What a pass would begin with.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What would be done.
    pub decision: Decision,
    /// What is remembered, without what this look adds.
    pub journal: Journal,
}

/// Why a pass cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Azure refused or did not answer.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// The journal cannot be used, or the lease is lost.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time of the run ended.
    #[error("the time of this run is over")]
    OutOfTime,
    /// Something failed for single apps; the others were done.
    #[error("{0}")]
    Apps(String),
}
