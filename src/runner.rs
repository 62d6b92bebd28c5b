//! What the Functions host asks for, as passes: the timer rotates; notices repair, and rotate where they ask for it.
//!
//! Start at [`Service::run`](Runner::run). Notices go event → [`classify`](rekey_core::notice::classify) → what is wanted of
//! each instance → a pass that all who want the same share.

mod coalesce;
mod recent;
mod silence;
mod vigil;
mod wanted;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::join_all;

use self::coalesce::{Asked, Coalescer, outcome};
use self::recent::Recent;
use self::silence::Silence;
use self::wanted::{Delivery, Wanted};
pub use self::wanted::{Foreseen, foresee};
use crate::config::ServiceConfig;
use crate::handler::{Invocation, Outcome, Runner, Served, Trigger};
use crate::panics::{self, Panicked};
use crate::pass::{Ending, Purpose, Rekey, Run, RunReport};
use crate::report::InWords;
use crate::report::cause;
use crate::report::text::notice as text;
use crate::report::text::run as words;
use crate::store::{timer_ran, timer_told};
use rekey_core::model::ServiceId;
use rekey_core::notice::{Event, Notice};
use rekey_core::time::delta;

/// Runs passes for the Functions host, for the life of the process.
pub struct Service {
    rekey: Arc<Rekey>,
    passes: Coalescer<ServiceId, Wanted, Shared>,
    /// How many events called for nothing.
    ignored: AtomicU64,
    /// The events that were answered well of late.
    recent: Mutex<Recent>,
}

/// How a pass that several wait for has ended.
type Shared = Result<Option<Arc<RunReport>>, Panicked>;

impl Service {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(rekey: Rekey) -> Arc<Self> {
        let rekey = Arc::new(rekey);
        let silence = Silence::new(&rekey.config, rekey.clock.now());
        let notices = Arc::new(Notices { rekey: Arc::clone(&rekey), silence, in_vain: Mutex::default() });
        let work = move |instance, wanted: Wanted| {
            let notices = Arc::clone(&notices);
            panics::catch(async move { notices.pass(instance, wanted).await }).boxed()
        };
        let passes = Coalescer::new(work);
        Arc::new(Self { rekey, passes, ignored: AtomicU64::new(0), recent: Mutex::default() })
    }

    async fn rotate(&self, invocation: &Invocation) -> Outcome {
        // The id stays the same over the retries of a timer, so the holder needs more than that.
        let holder = format!("{}/{}/{}", invocation.function, invocation.id, uuid::Uuid::new_v4());
        let purpose = Purpose::Scheduled;
        self.recall().await;
        let reports =
            self.rekey.run(&Run { instances: vec![], purpose, holder, deadline: invocation.deadline }).await;
        let (reports, unrecorded) = self.counted(reports).await;
        let failed = reports.iter().filter(|report| report.ending.is_failure());
        let failures: Vec<String> = failed.map(RunReport::summary).chain(unrecorded).collect();
        Outcome {
            logs: reports.iter().flat_map(lines).collect(),
            failure: said(failures),
            unfinished: false,
            served: reports.iter().map(|report| served(report, false)).collect(),
        }
    }

    /// The reports of a timer's run, which is put on record; and why it could not be, if so. One that only ran out of time, or
    /// met another run, is no failure; the second in a row is, for then nothing gets done.
    async fn counted(&self, reports: Vec<RunReport>) -> (Vec<RunReport>, Option<String>) {
        let finished = |report: &RunReport| {
            !matches!(report.ending, Ending::OutOfTime { .. } | Ending::Busy { .. } | Ending::Stopped)
        };
        let services: Vec<(ServiceId, bool)> =
            reports.iter().map(|report| (report.instance.clone(), finished(report))).collect();
        let told = self.rekey.notifier.as_ref().map(|notifier| notifier.told()).unwrap_or_default();
        let (counted, unrecorded) = match timer_ran(&*self.rekey.store, &services, &told).await {
            Ok(counted) => (counted, None),
            Err(error) => {
                let why = cause::told(&error);
                let line = words::unrecorded(&why);
                tracing::error!("{line}");
                (BTreeMap::new(), Some(line))
            }
        };
        let judged = |report: RunReport| match counted.get(&report.instance) {
            None | Some(..=1) => report,
            Some(runs) => {
                let why = words::unfinished_again(&report.ending, *runs);
                self.failed(report, why)
            }
        };
        (reports.into_iter().map(judged).collect(), unrecorded)
    }

    /// Each of the timer's runs may be a process of its own: what the webhook was told of by the last, and goes on, is no
    /// news for six hours. What cannot be read is told again.
    async fn recall(&self) {
        let Some(notifier) = &self.rekey.notifier else { return };
        match timer_told(&*self.rekey.store).await {
            Ok(told) => notifier.recall(told),
            Err(error) => {
                let why = cause::told(&error);
                tracing::warn!("{}", words::untold(&why));
            }
        }
    }

    /// The same report as a failure, told as one.
    fn failed(&self, report: RunReport, why: String) -> RunReport {
        let failed = RunReport { ending: Ending::Failed(why), ..report };
        failed.log();
        if let Some(notifier) = &self.rekey.notifier {
            notifier.tell(&failed);
        }
        failed
    }

    async fn notices(self: &Arc<Self>, events: &[Event]) -> Outcome {
        let fresh: Vec<&Event> = events.iter().filter(|event| !self.was_answered(event)).collect();
        let now = self.rekey.clock.now();
        let Delivery { wanted, ignored, faults, warnings } = wanted::wanted(&fresh, &self.rekey.config, now);
        self.count(events.len() - fresh.len(), ignored);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        for fault in &faults {
            tracing::error!("{fault}");
        }
        let answers =
            join_all(wanted.into_iter().map(|(instance, wanted)| self.answer(instance, wanted))).await;
        // Time does not make an event clearer, but it helps whoever it helps.
        let unfinished = answers.iter().any(|answer| answer.unfinished);
        let mut all = Outcome { unfinished, logs: warnings, ..Outcome::default() };
        let mut failures = faults;
        for answer in answers {
            all.logs.extend(answer.logs);
            all.served.extend(answer.served);
            failures.extend(answer.failure);
        }
        if failures.is_empty() {
            self.remember(&fresh);
        }
        Outcome { failure: said(failures), ..all }
    }

    fn was_answered(&self, event: &Event) -> bool {
        lock(&self.recent).knows(event, self.rekey.clock.now())
    }

    fn remember(&self, events: &[&Event]) {
        let now = self.rekey.clock.now();
        let mut recent = lock(&self.recent);
        events.iter().for_each(|event| recent.answered(event, now));
    }

    /// One line for all that called for nothing; not for the host, whose log it would fill.
    fn count(&self, copies: usize, (events, last): (u64, Option<Notice>)) {
        let why = match last {
            Some(last) => last.in_words(),
            None if copies > 0 => text::A_COPY.to_owned(),
            None => return,
        };
        let events = events + copies as u64;
        let so_far = self.ignored.fetch_add(events, Ordering::Relaxed) + events;
        tracing::debug!("{}", text::ignored(&why, so_far));
    }

    /// Asks for a pass and waits for it. It ends in its own time; who waits for one that was queued behind another may run
    /// out of his before, and the host answers for him.
    async fn answer(self: &Arc<Self>, instance: ServiceId, wanted: Wanted) -> Outcome {
        let name = instance.name().to_owned();
        let failed = |why: &dyn std::fmt::Display, unfinished| Outcome {
            failure: Some(format!("{name}: {why}")),
            unfinished,
            ..Outcome::default()
        };
        let Asked { done, shared } = self.ask(&instance, wanted);
        match outcome(done).await {
            Some(Ok(Some(report))) => told(&report, shared),
            Some(Ok(None)) => Outcome::default(),
            Some(Err(panicked)) => failed(&panicked, false),
            None => failed(&words::ENDING_PROCESS, true),
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

    fn is_leaving(&self) -> bool {
        self.rekey.stop.is_asked()
    }
}

/// How soon after a pass that found nothing new the next one begins. Thousands of events in a row, forged or not, then
/// cost one `listKeys` a second, a tenth of what ARM gives back (docs: Understand how ARM throttles requests).
const APART: TimeDelta = TimeDelta::seconds(1);

/// Passes for notices, one after another for each instance.
struct Notices {
    rekey: Arc<Rekey>,
    silence: Silence,
    /// When each instance's last pass began, of those that found nothing new.
    in_vain: Mutex<BTreeMap<ServiceId, DateTime<Utc>>>,
}

impl Notices {
    async fn pass(&self, instance: ServiceId, wanted: Wanted) -> Option<Arc<RunReport>> {
        let last = lock(&self.in_vain).remove(&instance);
        if let Some(last) = last {
            self.rekey.clock.sleep_until(last + APART).await;
        }
        let start = self.rekey.clock.now();
        let report = self.pass_now(instance.clone(), wanted).await?;
        if report.known.is_some() {
            lock(&self.in_vain).insert(instance, start);
        }
        Some(Arc::new(report))
    }

    /// It has a time of its own: whoever waits for it came at different times. Where the timer is silent, and what the
    /// notice calls for is done, it does the timer's work as well.
    async fn pass_now(&self, instance: ServiceId, wanted: Wanted) -> Option<RunReport> {
        let clock = &self.rekey.clock;
        let deadline = clock.now() + delta(self.rekey.config.notice_budget);
        let (purpose, holder) = (wanted.purpose(), format!("notice/{}", uuid::Uuid::new_v4()));
        let mut run = Run { instances: vec![instance.clone()], purpose, holder, deadline };
        let mut report = self.rekey.run(&run).await.pop()?;
        let Some(silent) = self.silence.told(&*self.rekey.store, &**clock).await else { return Some(report) };
        tracing::error!("{silent}");
        let done = run.purpose.only_repairs() && report.ending.is_answered();
        if done && self.silence.stands_in(&instance, clock.now()) {
            run.purpose = Purpose::StandIn;
            let stood_in = self.rekey.run(&run).await.pop()?;
            report.lines.extend(stood_in.lines.iter().cloned());
            report.lines.push(words::in_place_of_the_timer(&stood_in.ending));
            // The notice is answered by what it called for; what went wrong beside it is told all the same.
            if stood_in.ending.is_failure() {
                report = RunReport { lines: report.lines, ..stood_in };
            }
        }
        report.lines.push(silent);
        Some(report)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(report: &RunReport, shared: bool) -> Outcome {
    let answered = report.ending.is_answered();
    Outcome {
        logs: lines(report).collect(),
        failure: (!answered).then(|| report.summary()),
        unfinished: !answered && report.ending.needs_time(),
        served: vec![served(report, shared)],
    }
}

fn served(report: &RunReport, shared: bool) -> Served {
    Served { ended: report.summary(), run: report.run.clone(), shared }
}

fn lines(report: &RunReport) -> impl Iterator<Item = String> + use<> {
    let name = report.instance.name().to_owned();
    let told = report.lines.iter().map(|line| format!("{name}: {line}")).collect::<Vec<_>>();
    told.into_iter().chain([report.summary()])
}

fn said(failures: Vec<String>) -> Option<String> {
    (!failures.is_empty()).then(|| cause::once(failures).join("\n"))
}

impl Service {
    /// Asks for a pass. What is at work on the instance is called: it may be following a regeneration for a minute while
    /// somebody is being cut off.
    fn ask(&self, instance: &ServiceId, wanted: Wanted) -> Asked<Shared> {
        self.passes.ask(instance.clone(), wanted, || self.rekey.calls.call(instance))
    }

    /// The instances that are looked after.
    fn instances(&self) -> &[ServiceConfig] {
        &self.rekey.config.instances
    }
}
