//! One pass over one instance, and passes over many. The only file that joins the parts.
//!
//! ```text
//! lease -> observe -> decide -> record intent -> act -> verify -> record outcome -> (again) -> report
//! ```
//!
//! Start at [`Rekey::run`]. A pass repeats decide and act until nothing can be done now or its time ends. It may be
//! killed at any point: the next pass carries on from what it observes and what was recorded.

mod report;
mod steps;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, stream};
use tracing::Instrument;

pub use report::{Ending, PassReport};

use crate::act::{Actor, FollowError, Gates};
use crate::arm::{Arm, ArmError, ArmErrorKind};
use crate::clock::Clock;
use crate::config::{Config, InstanceConfig};
use crate::data_plane::DataPlane;
use crate::journal::{Event, Journal};
use crate::model::InstanceId;
use crate::observe::{self, Look};
use crate::plan::{self, Decision, Snapshot, Step, WaitFor};
use crate::store::{Draft, Lease, Store, StoreError};

/// How many instances are worked on at the same time.
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
        let passes: Vec<_> = instances.map(|instance| self.instance(run, instance).boxed()).collect();
        let mut reports: Vec<_> = stream::iter(passes).buffer_unordered(INSTANCES_AT_ONCE).collect().await;
        reports.sort_by(|a, b| a.instance.cmp(&b.instance));
        reports
    }

    async fn instance(&self, run: &Run, instance: &InstanceConfig) -> PassReport {
        let span = tracing::info_span!("pass", instance = instance.id.name());
        let mut pass = Pass::new(self, run, instance);
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

impl From<FollowError> for PassError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Arm(error) => error.into(),
            FollowError::Store(error) => error.into(),
        }
    }
}

/// One pass over one instance.
struct Pass<'a> {
    rekey: &'a Rekey,
    run: &'a Run,
    instance: &'a InstanceConfig,
    arm: Arm,
    lines: Vec<String>,
}

impl<'a> Pass<'a> {
    fn new(rekey: &'a Rekey, run: &'a Run, instance: &'a InstanceConfig) -> Self {
        Self { rekey, run, instance, arm: rekey.arm.until(run.deadline), lines: Vec::new() }
    }

    async fn run(&mut self) -> Ending {
        match self.try_run().await {
            Ok(ending) => ending,
            Err(PassError::Store(StoreError::Held { holder, until })) => Ending::Busy { holder, until },
            Err(error) => ended_by(error),
        }
    }

    /// Looks, and where there is something to do takes the lease and does it. A look at an instance in order costs one
    /// read of the journal and no write.
    async fn try_run(&mut self) -> Result<Ending, PassError> {
        let (mut lease, look) = loop {
            let draft = self.read().await?;
            let look = Look::take(&self.arm, &*self.rekey.clock, self.instance).await?;
            if let Some(ending) = self.idle(&draft, &look) {
                return Ok(ending);
            }
            match draft.take(&self.run.holder).await {
                // Somebody was faster, and what was seen may be older than what he did.
                Err(StoreError::Changed) => {}
                taken => break (taken?, look),
            }
        };
        let ending = self.work(&mut lease, look).await.unwrap_or_else(ended_by);
        // Who lost the lease has nothing to give back.
        match lease.release().await {
            Err(error) if !ending.is_failure() => Ok(Ending::Failed(error.to_string())),
            _ => Ok(ending),
        }
    }

    /// How the pass ends without the lease: there is nothing to record and nothing to do now.
    fn idle(&mut self, draft: &Draft, look: &Look) -> Option<Ending> {
        let snapshot = look.snapshot(self.instance, draft.journal());
        let now = self.rekey.clock.now();
        let nothing_new = plan::reconcile(&snapshot, draft.journal(), &self.instance.policy, now).is_empty();
        if !nothing_new || self.run.purpose == (Purpose::Rotate { now: true }) {
            return None;
        }
        let decision = plan::decide(&snapshot, draft.journal(), &self.instance.policy, now);
        let acts = match &decision {
            Decision::Do(step) => self.may(step),
            Decision::Waiting { until, .. } => self.waits(*until),
            Decision::Blocked(_) | Decision::Settled { .. } => false,
        };
        self.warn(&snapshot);
        (!acts).then(|| self.ending(&snapshot, decision))
    }

    fn ending(&self, snapshot: &Snapshot, decision: Decision) -> Ending {
        match self.run.purpose {
            Purpose::Mend => mended(snapshot),
            Purpose::Rotate { .. } => Ending::Decided(decision),
        }
    }

    /// Reads the journal; a mending run waits for whoever is at work as long as it has time.
    async fn read(&self) -> Result<Draft, StoreError> {
        let clock = &self.rekey.clock;
        loop {
            let store = Arc::clone(&self.rekey.store);
            let read = Draft::read(store, Arc::clone(clock), &self.instance.id, &self.run.holder).await;
            let again = clock.now() + chrono::TimeDelta::milliseconds(500);
            match read {
                Err(StoreError::Held { .. })
                    if self.run.purpose == Purpose::Mend && again < self.run.deadline =>
                {
                    clock.sleep_until(again).await;
                }
                read => return read,
            }
        }
    }

    /// Decides and acts until there is nothing to do now.
    async fn work(&mut self, lease: &mut Lease, mut look: Look) -> Result<Ending, PassError> {
        let mut asked = self.run.purpose == Purpose::Rotate { now: true };
        loop {
            let snapshot = self.reconcile(lease, &look)?;
            if std::mem::take(&mut asked) {
                self.record(lease, Event::RotationRequested {})?;
            }
            let now = self.rekey.clock.now();
            match plan::decide(&snapshot, lease.journal(), &self.instance.policy, now) {
                Decision::Do(step) if self.may(&step) && now >= self.run.deadline => {
                    return Ok(Ending::OutOfTime);
                }
                Decision::Do(step) if self.may(&step) => {
                    if self.is_ready(&step, &mut look).await? {
                        self.step(lease, &mut look, step).await?;
                    }
                }
                Decision::Waiting { reason, until } if self.waits(until) => {
                    self.wait(lease, &mut look, &reason, until).await?;
                }
                end => return Ok(self.ending(&snapshot, end)),
            }
        }
    }

    /// Whether the purpose of the run allows a step.
    fn may(&self, step: &Step) -> bool {
        matches!(
            (self.run.purpose, step),
            (Purpose::Rotate { .. }, _) | (_, Step::Repoint { mend: true, .. })
        )
    }

    /// Brings the journal up to the look.
    fn reconcile(&mut self, lease: &mut Lease, look: &Look) -> Result<Snapshot, PassError> {
        let snapshot = look.snapshot(self.instance, lease.journal());
        let now = self.rekey.clock.now();
        for event in plan::reconcile(&snapshot, lease.journal(), &self.instance.policy, now) {
            self.record(lease, event)?;
        }
        self.warn(&snapshot);
        Ok(snapshot)
    }

    /// Tells what the operator should know of what was seen.
    fn warn(&mut self, snapshot: &Snapshot) {
        for app in &snapshot.gone {
            self.say_once(&format!("{} no longer exists; take it out of rekey.toml", app.name()));
        }
        for unknown in &snapshot.unknown {
            self.say_once(&unknown.to_string());
        }
    }

    /// Checks just before a step that what it rests on is not too old; if it was, it is read again and the decision
    /// is made anew.
    async fn is_ready(&self, step: &Step, look: &mut Look) -> Result<bool, PassError> {
        let clock = &*self.rekey.clock;
        let before = (look.oldest(), look.keys().clone());
        match step {
            Step::Regenerate { .. } => {
                look.refresh(&self.arm, clock, self.instance, observe::fresh()).await?;
            }
            Step::Repoint { .. } => {
                look.refresh_keys(&self.arm, clock, self.instance, observe::fresh()).await?;
            }
            Step::Follow { .. } | Step::Verify { .. } => {}
        }
        let unchanged = match step {
            Step::Regenerate { .. } => look.oldest() == before.0,
            _ => *look.keys() == before.1,
        };
        Ok(unchanged)
    }

    /// Whether a wait is short enough for this run.
    fn waits(&self, until: DateTime<Utc>) -> bool {
        self.run.purpose != Purpose::Mend && until < self.run.deadline
    }

    async fn wait(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        reason: &WaitFor,
        until: DateTime<Utc>,
    ) -> Result<(), PassError> {
        self.say(&format!("waiting until {}: {reason}", plan::readable(until)));
        lease.commit().await?;
        let clock = &self.rekey.clock;
        while clock.now() < until {
            clock.sleep_until(until.min(lease.renew_at())).await;
            lease.keep().await?;
        }
        Ok(look.refresh(&self.arm, &**clock, self.instance, observe::fresh()).await?)
    }

    fn actor(&self) -> Actor<'_> {
        Actor {
            arm: &self.arm,
            data_plane: &self.rekey.data_plane,
            clock: &*self.rekey.clock,
            gates: &self.rekey.gates,
            instance: self.instance,
            own_site: self.rekey.config.own_site.as_deref(),
            deadline: self.run.deadline,
        }
    }

    /// Records an event, and tells it where people would want to know.
    fn record(&mut self, lease: &mut Lease, event: Event) -> Result<(), PassError> {
        let quiet = matches!(event, Event::Taken { .. } | Event::RepointIntended { .. } | Event::Blinded {});
        if !quiet {
            self.say(&event.to_string());
        }
        Ok(lease.record(event)?)
    }

    fn say(&mut self, line: &str) {
        tracing::info!("{line}");
        (self.rekey.narrator)(&self.instance.id, line);
        self.lines.push(line.to_owned());
    }

    fn say_once(&mut self, line: &str) {
        if !self.lines.iter().any(|said| said == line) {
            self.say(line);
        }
    }

    fn report(self, ending: Ending) -> PassReport {
        PassReport { instance: self.instance.id.clone(), lines: self.lines, ending }
    }
}

/// No consumer that could be seen is stale. Where Azure was too busy to show one, that is not yet good enough.
fn mended(snapshot: &Snapshot) -> Ending {
    let unseen: Vec<_> =
        snapshot.unknown.iter().filter(|unknown| !unknown.lasts()).map(ToString::to_string).collect();
    if unseen.is_empty() { Ending::Mended } else { Ending::Failed(unseen.join("; ")) }
}

fn ended_by(error: PassError) -> Ending {
    match error {
        PassError::OutOfTime => Ending::OutOfTime,
        PassError::Arm(error) if error.kind() == ArmErrorKind::OutOfTime => Ending::OutOfTime,
        error => Ending::Failed(error.to_string()),
    }
}
