//! What the Functions host asks for, as passes: the timer rotates; notices mend, and rotate where they ask for it.
//!
//! Start at [`Service::run`](Runner::run). Notices go event → [`classify`](crate::notice::classify) → what is wanted of
//! each instance → a pass that all who want the same share.

mod coalesce;
mod wanted;
mod watch;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::join_all;

use self::coalesce::{Coalescer, outcome};
pub use self::wanted::foresee;
use self::wanted::{Delivery, Wanted};
use crate::clock::delta;
use crate::config::InstanceConfig;
use crate::host::{Invocation, Outcome, Runner, Trigger};
use crate::model::InstanceId;
use crate::notice::Event;
use crate::panics::{self, Panicked};
use crate::pass::{Ending, PassReport, Purpose, Rekey, Run};

/// Runs passes for the Functions host, for the life of the process.
pub struct Service {
    rekey: Arc<Rekey>,
    passes: Coalescer<InstanceId, Wanted, Shared>,
    /// How many events called for nothing.
    ignored: AtomicU64,
    /// Until when instances are watched closely.
    closely: Mutex<BTreeMap<InstanceId, DateTime<Utc>>>,
}

/// How a pass that several wait for has ended.
type Shared = Result<Option<Arc<PassReport>>, Panicked>;

impl Service {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(rekey: Rekey) -> Arc<Self> {
        let rekey = Arc::new(rekey);
        let worker = Arc::clone(&rekey);
        let work = move |instance, wanted: Wanted| {
            let rekey = Arc::clone(&worker);
            panics::catch(async move { pass(&rekey, instance, wanted).await }).boxed()
        };
        let passes = Coalescer::new(work);
        Arc::new(Self { rekey, passes, ignored: AtomicU64::new(0), closely: Mutex::default() })
    }

    async fn rotate(&self, invocation: &Invocation) -> Outcome {
        // The id stays the same over the retries of a timer, so the holder needs more than that.
        let holder = format!("{}/{}/{}", invocation.function, invocation.id, uuid::Uuid::new_v4());
        let purpose = Purpose::Rotate { now: false };
        let reports =
            self.rekey.run(&Run { instances: vec![], purpose, holder, deadline: invocation.deadline }).await;
        let failed = reports.iter().filter(|report| report.ending.is_failure());
        let failures: Vec<String> = failed.map(PassReport::summary).collect();
        Outcome {
            logs: reports.iter().flat_map(lines).collect(),
            failure: said(&failures),
            unfinished: false,
        }
    }

    async fn notices(self: &Arc<Self>, events: &[Event]) -> Outcome {
        let Delivery { wanted, ignored, faults } = wanted::wanted(events, &self.rekey.config);
        let mut logs = self.count(ignored);
        let mut failures = Vec::new();
        for fault in faults {
            tracing::error!("{fault}");
            failures.push(fault);
        }
        // Time does not make an event clearer; a person has to look at it.
        let mut unfinished = failures.is_empty();
        let passes = wanted.into_iter().map(|(instance, wanted)| self.answer(instance, wanted));
        for answer in join_all(passes).await {
            logs.extend(answer.logs);
            unfinished &= answer.unfinished || answer.failure.is_none();
            failures.extend(answer.failure);
        }
        Outcome { logs, unfinished: unfinished && !failures.is_empty(), failure: said(&failures) }
    }

    /// One line for all that called for nothing.
    fn count(&self, (events, last): (u64, Option<crate::notice::Notice>)) -> Vec<String> {
        let Some(last) = last else { return Vec::new() };
        let so_far = self.ignored.fetch_add(events, Ordering::Relaxed) + events;
        let line = format!("nothing to do: {last} ({so_far} such so far)");
        tracing::debug!("{line}");
        vec![line]
    }

    /// Asks for a pass and waits for it. It ends in its own time; who waits for one that was queued behind another may run
    /// out of his before, and the host answers for him.
    async fn answer(self: &Arc<Self>, instance: InstanceId, wanted: Wanted) -> Outcome {
        let name = instance.name().to_owned();
        if let Some(at) = wanted.deadline {
            self.watch_closely(&instance, at);
        }
        let failed = |why: &dyn std::fmt::Display| Outcome {
            failure: Some(format!("{name}: {why}")),
            ..Outcome::default()
        };
        match outcome(self.passes.ask(instance, wanted)).await {
            Some(Ok(Some(report))) => told(&report),
            Some(Ok(None)) => Outcome::default(),
            Some(Err(panicked)) => failed(&panicked),
            None => failed(&"the process is shutting down"),
        }
    }
}

#[async_trait]
impl Runner for Arc<Service> {
    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
        match trigger {
            Trigger::Timer(_) => self.rotate(&invocation).await,
            Trigger::Events(events) => self.notices(&events).await,
        }
    }
}

/// One pass for notices. It has a time of its own: whoever waits for it came at different times.
async fn pass(rekey: &Rekey, instance: InstanceId, wanted: Wanted) -> Option<Arc<PassReport>> {
    let holder = format!("notice/{}", uuid::Uuid::new_v4());
    let deadline = rekey.clock.now() + delta(rekey.config.notice_budget);
    let run = Run { instances: vec![instance], purpose: wanted.purpose(), holder, deadline };
    rekey.run(&run).await.pop().map(Arc::new)
}

fn told(report: &PassReport) -> Outcome {
    let answered = report.ending.is_answered();
    let more_time =
        matches!(report.ending, Ending::OutOfTime | Ending::Busy { .. } | Ending::Postponed { .. });
    Outcome {
        logs: lines(report).collect(),
        failure: (!answered).then(|| report.summary()),
        unfinished: !answered && more_time,
    }
}

fn lines(report: &PassReport) -> impl Iterator<Item = String> + use<> {
    let name = report.instance.name().to_owned();
    let told = report.lines.iter().map(|line| format!("{name}: {line}")).collect::<Vec<_>>();
    told.into_iter().chain([report.summary()])
}

fn said(failures: &[String]) -> Option<String> {
    (!failures.is_empty()).then(|| failures.join("\n"))
}

impl Service {
    /// The instances that are looked after.
    fn instances(&self) -> &[InstanceConfig] {
        &self.rekey.config.instances
    }
}
