//! What triggers tell, as runs: the timer rotates; notices repair, and rotate where they ask for it.
//!
//! Start at [`Dispatcher`]. Notices go event → [`delivery`] → an intent of each service → a run that all who want something of
//! that service share.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::join_all;
use parking_lot::Mutex;

use super::coalesce::{Asked, Coalescer, Merge, outcome};
use super::recent::Recent;
use super::silence::Silence;
use super::{Engine, Order};
use crate::handler::{Invocation, Outcome, Runner, Served, Trigger};
use crate::panics::{self, Panicked};
use crate::report::text::{InWords, run as words};
use crate::report::{Ending, RunEvent, RunReport, cause, once, text};
use crate::store::{Timer, TimerFound, timer, timer_ran};
use rekey_core::intent::{Configured, Delivery, Intent, delivery};
use rekey_core::model::ServiceId;
use rekey_core::notice::{Event, Notice};
use rekey_core::time::delta;

/// Makes the runs that triggers call for, for the life of the process.
pub struct Dispatcher {
    engine: Arc<Engine>,
    runs: Coalescer<ServiceId, Intent, Shared>,
    /// How many events called for nothing.
    ignored: AtomicU64,
    /// The events that were answered well of late.
    recent: Mutex<Recent>,
}

/// How a run that several wait for has ended.
pub(super) type Shared = Result<Option<Arc<RunReport>>, Panicked>;

impl Dispatcher {
    /// Nothing runs yet.
    pub fn new(engine: Engine) -> Arc<Self> {
        let engine = Arc::new(engine);
        let silence = Silence::new(&engine.config, engine.clock.now());
        let notices = Arc::new(Notices { engine: Arc::clone(&engine), silence, in_vain: Mutex::default() });
        let work = move |service, intent: Intent| {
            let notices = Arc::clone(&notices);
            panics::catch(async move { notices.run(service, intent).await }).boxed()
        };
        let runs = Coalescer::new(work);
        Arc::new(Self { engine, runs, ignored: AtomicU64::new(0), recent: Mutex::default() })
    }

    async fn rotate(&self, invocation: &Invocation) -> Outcome {
        // The id stays the same over the retries of a timer, so the holder needs more than that.
        let holder = format!("{}/{}/{}", invocation.function, invocation.id, uuid::Uuid::new_v4());
        let found = self.recall().await;
        let services = self.those_left_first(found.as_ref());
        let order = Order { services, intent: Intent::timer(), holder, deadline: invocation.deadline };
        let reports = self.engine.run(&order).await;
        let (reports, unrecorded) = self.counted(reports, found).await;
        self.engine.keep_overviews().await;
        let failed = reports.iter().filter(|report| report.ending.is_failure());
        let failures: Vec<String> = failed.map(RunReport::summary).chain(unrecorded).collect();
        Outcome {
            logs: reports.iter().flat_map(lines).collect(),
            failure: said(failures),
            unfinished: false,
            served: reports.iter().map(|report| served(report, false)).collect(),
            reply: None,
        }
    }

    /// The reports of a timer's run, which is put on record; and why it could not be, if so. One that only ran out of time, or
    /// met another run, is no failure; the second in a row is, for then nothing gets done.
    async fn counted(
        &self,
        reports: Vec<RunReport>,
        found: Option<TimerFound>,
    ) -> (Vec<RunReport>, Option<String>) {
        let finished = |report: &RunReport| {
            !matches!(report.ending, Ending::OutOfTime { .. } | Ending::Busy { .. } | Ending::Stopped)
        };
        let services: Vec<(ServiceId, bool)> =
            reports.iter().map(|report| (report.service.clone(), finished(report))).collect();
        let leaves = Timer {
            told: self.engine.notifier.as_ref().map(|notifier| notifier.told()).unwrap_or_default(),
            with: self.engine.config.digest(),
            read: self.engine.full_checks.end(),
            ..Timer::default()
        };
        let (counted, unrecorded) = match timer_ran(&*self.engine.store, found, &services, &leaves).await {
            Ok(counted) => (counted, None),
            Err(error) => {
                let why = cause::told(&error);
                let line = words::unrecorded(&why);
                tracing::error!("{line}");
                (BTreeMap::new(), Some(line))
            }
        };
        let judged = |report: RunReport| match counted.get(&report.service) {
            None | Some(..=1) => report,
            Some(runs) => self.never_finished(report, *runs),
        };
        (reports.into_iter().map(judged).collect(), unrecorded)
    }

    /// Each of the timer's runs may be a process of its own: what the webhook was told of by the last, and goes on, is no
    /// news for six hours, and services that were read in full a while ago may be gone by their keys. What cannot be read
    /// is told again, and read again.
    async fn recall(&self) -> Option<TimerFound> {
        let engine = &self.engine;
        let found = timer(&*engine.store).await.inspect_err(|error| {
            let why = cause::told(error);
            tracing::warn!("{}", words::not_recalled(&why));
        });
        let found = found.ok();
        let before = found.as_ref().map(|found| found.timer.clone()).unwrap_or_default();
        if let Some(notifier) = &engine.notifier {
            notifier.recall(before.told);
        }
        // What another release or another configuration has read may be less than what is to be read.
        let is_same = before.with == engine.config.digest();
        let read = if is_same { before.read } else { BTreeMap::new() };
        engine.full_checks.begin(read, &engine.config, engine.clock.now());
        found
    }

    /// All services, those first that earlier runs had no time to finish: where Azure's limit of requests is too small for
    /// all in a run, it is not always the same who come last.
    fn those_left_first(&self, found: Option<&TimerFound>) -> Vec<ServiceId> {
        let mut all: Vec<ServiceId> =
            self.engine.config.instances.iter().map(|service| service.id.clone()).collect();
        let unfinished = |service: &ServiceId| found?.timer.unfinished.get(service).copied();
        all.sort_by_cached_key(|service| Reverse(unfinished(service)));
        all
    }

    /// The same report as a failure, told as one.
    fn never_finished(&self, report: RunReport, runs: u32) -> RunReport {
        let ending = Ending::NeverFinished { ending: Box::new(report.ending), runs };
        let failed = RunReport { ending, ..report };
        failed.log();
        if let Some(notifier) = &self.engine.notifier {
            notifier.tell(&failed);
        }
        failed
    }

    async fn notices(self: &Arc<Self>, events: &[Event]) -> Outcome {
        let fresh: Vec<&Event> = events.iter().filter(|event| !self.was_answered(event)).collect();
        let now = self.engine.clock.now();
        let Delivery { intents, ignored, faults, cautions } = delivery(&fresh, &self.configured(), now);
        self.count(events.len() - fresh.len(), ignored);
        let cautions: Vec<String> = cautions.iter().map(text::notice::caution).collect();
        for caution in &cautions {
            tracing::warn!("{caution}");
        }
        let faults: Vec<String> = faults.iter().map(text::notice::fault).collect();
        for fault in &faults {
            tracing::error!("{fault}");
        }
        let answers =
            join_all(intents.into_iter().map(|(service, intent)| self.answer(service, intent))).await;
        // Time does not make an event clearer, but it helps whoever it helps.
        let unfinished = answers.iter().any(|answer| answer.unfinished);
        let mut all = Outcome { unfinished, logs: cautions, ..Outcome::default() };
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
        self.recent.lock().knows(event, self.engine.clock.now())
    }

    fn remember(&self, events: &[&Event]) {
        let now = self.engine.clock.now();
        let mut recent = self.recent.lock();
        events.iter().for_each(|event| recent.answered(event, now));
    }

    /// One line for all that called for nothing; not for the host, whose log it would fill.
    fn count(&self, copies: usize, (events, last): (u64, Option<Notice>)) {
        let why = match last {
            Some(last) => last.in_words(),
            None if copies > 0 => text::notice::A_COPY.to_owned(),
            None => return,
        };
        let events = events + copies as u64;
        let so_far = self.ignored.fetch_add(events, Ordering::Relaxed) + events;
        tracing::debug!("{}", text::notice::ignored(&why, so_far));
    }

    /// Asks for a run and waits for it. It ends in its own time; who waits for one that was queued behind another may run
    /// out of his before, and the host answers for him.
    async fn answer(self: &Arc<Self>, service: ServiceId, intent: Intent) -> Outcome {
        let name = service.name().to_owned();
        let failed = |why: &dyn std::fmt::Display, unfinished| Outcome {
            failure: Some(format!("{name}: {why}")),
            unfinished,
            ..Outcome::default()
        };
        let Asked { done, shared } = self.ask(&service, intent);
        match outcome(done).await {
            Some(Ok(Some(report))) => told(&report, shared),
            Some(Ok(None)) => Outcome::default(),
            Some(Err(panicked)) => failed(&panicked, false),
            None => failed(&words::ENDING_PROCESS, true),
        }
    }
}

#[async_trait]
impl Runner for Arc<Dispatcher> {
    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
        let outcome = match trigger {
            Trigger::Timer => self.rotate(&invocation).await,
            Trigger::Events(events) => self.notices(&events).await,
            Trigger::Report(report) => self.reported(&report, invocation.deadline).await,
            Trigger::Status(asked) => self.status(&asked).await,
        };
        self.engine.tag(invocation.deadline).await;
        if let Some(metrics) = &self.engine.metrics {
            metrics.flush(invocation.deadline).await;
        }
        outcome
    }

    fn is_leaving(&self) -> bool {
        self.engine.stop.is_asked()
    }
}

/// How soon after a run that found nothing new the next one of that service begins. Thousands of events in a row, forged or
/// not, then cost one `listKeys` a second of each service that they name; what all together may take is the gate's to say.
const APART: TimeDelta = TimeDelta::seconds(1);

/// Runs for notices, one after another for each service.
struct Notices {
    engine: Arc<Engine>,
    silence: Silence,
    /// When each service's last run began, of those that found nothing new.
    in_vain: Mutex<BTreeMap<ServiceId, DateTime<Utc>>>,
}

impl Notices {
    async fn run(&self, service: ServiceId, intent: Intent) -> Option<Arc<RunReport>> {
        let last = self.in_vain.lock().remove(&service);
        if let Some(last) = last {
            // No longer than that, where the clock was set back.
            self.engine.clock.sleep_until(last.min(self.engine.clock.now()) + APART).await;
        }
        let start = self.engine.clock.now();
        let report = self.run_now(service.clone(), intent).await?;
        self.engine.keep_overviews().await;
        if report.known.is_some() {
            self.in_vain.lock().insert(service, start);
        }
        Some(Arc::new(report))
    }

    /// It has a time of its own: whoever waits for it came at different times. Where the timer is silent, and what the
    /// notice calls for is done, it does the timer's work as well.
    async fn run_now(&self, service: ServiceId, intent: Intent) -> Option<RunReport> {
        let clock = &self.engine.clock;
        let deadline = clock.now() + delta(self.engine.config.notice_budget);
        let only_repairs = intent.only_repairs();
        let holder = format!("notice/{}", uuid::Uuid::new_v4());
        let order = Order { services: vec![service.clone()], intent, holder, deadline };
        let mut report = self.engine.run(&order).await.pop()?;
        let Some(silent) = self.silence.of_timer(&*self.engine.store, &**clock).await else {
            return Some(report);
        };
        tracing::error!("{silent}");
        if only_repairs && report.ending.is_answered() && self.silence.stands_in(&service, clock.now()) {
            let order = Order { intent: Intent::stand_in(), ..order };
            let stood_in = self.engine.run(&order).await.pop()?;
            report.events.extend(stood_in.events.iter().cloned());
            report.events.push(RunEvent::StoodIn(Box::new(stood_in.ending.clone())));
            // The notice is answered by what it called for; what went wrong beside it is told all the same.
            if stood_in.ending.is_failure() {
                report = RunReport { events: report.events, ..stood_in };
            }
        }
        report.events.push(silent);
        Some(report)
    }
}

impl Merge for Intent {
    fn merge(&mut self, other: Self) {
        Self::merge(self, other);
    }
}

fn told(report: &RunReport, shared: bool) -> Outcome {
    let answered = report.ending.is_answered();
    Outcome {
        logs: lines(report).collect(),
        failure: (!answered).then(|| report.summary()),
        unfinished: !answered && report.ending.needs_time(),
        served: vec![served(report, shared)],
        reply: None,
    }
}

fn served(report: &RunReport, shared: bool) -> Served {
    let keys_alone = report.events.iter().any(|event| matches!(event, RunEvent::AppsNotRead { .. }));
    Served { ended: report.summary(), run: report.run.clone(), shared, keys_alone }
}

fn lines(report: &RunReport) -> impl Iterator<Item = String> + use<> {
    let name = report.service.name().to_owned();
    let told = report.lines().iter().map(|line| format!("{name}: {line}")).collect::<Vec<_>>();
    told.into_iter().chain([report.summary()])
}

/// Of how many causes the answer to an invocation tells in full.
const TOLD_OF: usize = 10;

fn said(failures: Vec<String>) -> Option<String> {
    (!failures.is_empty()).then(|| once::briefly(failures, TOLD_OF).join("\n"))
}

impl Dispatcher {
    /// Asks for a run. What is at work on the service is called: it may be following a regeneration for a minute while
    /// somebody is being cut off.
    pub(super) fn ask(&self, service: &ServiceId, intent: Intent) -> Asked<Shared> {
        self.runs.ask(service.clone(), intent, || self.engine.calls.call(service))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    fn configured(&self) -> Vec<Configured<'_>> {
        self.engine.config.configured()
    }
}
