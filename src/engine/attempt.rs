//! A run, in one direction.
//!
//! ```text
//! journal -> check -> assess -> lease -> record -> act -> verify -> record -> (assess again) -> report
//! ```
//!
//! Start at [`Run::complete`]. An [attempt](Run::attempt) reads the journal, checks, assesses, and where there is something
//! to do takes the lease and [works](Run::work) until nothing can be done now. What happened flows through the
//! [`RunLog`](super::log::RunLog), which is all that a run goes by besides the journal and the check.

use std::mem::take;
use std::ops::ControlFlow;
use std::pin::pin;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{Either, select};
use futures::{FutureExt, join};

use super::RunError;
use super::check::{Check, FRESH};
use super::run::{Begin, Next, RESERVE, Run, Then};
use crate::azure::arm::{ArmError, ArmErrorKind};
use crate::overview::ServiceOverview;
use crate::report::text::run::not_proved;
use crate::report::{Ending, RunEvent, RunReport, cause};
use crate::store::{Draft, Lease, StoreError};
use rekey_core::intent::{Source, is_alarming};
use rekey_core::journal::{Event, Held, Journal, KeyRecord, Origin};
use rekey_core::model::KeyType;
use rekey_core::plan::{self, Assessment, CutOff, Decision, Open, Snapshot, Step, Verdict, WaitFor};
use rekey_core::time::delta;

/// The longest wait for which a run keeps the lease. For a longer one it gives the lease back, so that whoever is told
/// of a forced regeneration meanwhile can repair it.
const SHORT_WAIT: TimeDelta = TimeDelta::seconds(10);

/// How often a run that waits for something far off checks again, in case something happens before.
const CHECK_AGAIN: TimeDelta = TimeDelta::minutes(5);

/// How long a run lets another have the lease that called: it checks everything before it takes it.
const TURN: TimeDelta = TimeDelta::seconds(10);

/// How often a run checks again because somebody else wrote the journal between its check and its lease. Another run
/// writes then and has the lease; a journal that changes each time and is leased to nobody gets nothing done.
const OVERTAKEN: u32 = 4;

impl Run<'_> {
    pub(super) async fn complete(mut self) -> RunReport {
        let ending = match self.attempts().await {
            Ok(ending) => ending,
            Err(error) => self.failed(error).await,
        };
        let ending = match ending {
            Ending::OutOfTime { .. } => self.out_of_time(),
            // It leaves somebody cut off, which is no good end.
            Ending::Stopped if self.log.is_in_need() => self.out_of_time(),
            ending => ending,
        };
        let ending = match (self.log.unwatched(), self.log.unproved(), self.log.postponed()) {
            _ if ending.is_failure() => ending,
            (Some(at), ..) => Ending::Unwatched { at },
            (None, Some((why, true)), _) => Ending::Unavailable(not_proved(why)),
            (None, Some((why, false)), _) => Ending::Failed(not_proved(why)),
            (None, None, Some(until)) => Ending::Postponed { until },
            (None, None, None) => ending,
        };
        let now = self.now();
        let report = self.log.report(self.order.holder.clone(), ending, now);
        let journal = self.journal.unwrap_or_default();
        let overview = ServiceOverview::of_run(self.service, &report, &journal, now);
        self.engine.overviews.lock().extend(overview);
        report
    }

    /// How a failure ends the run. Of a service without keys it is known without a check who is cut off.
    async fn failed(&mut self, error: RunError) -> Ending {
        let cut_off = self.engine.cut_off_by(&error, self.service).await;
        if !cut_off.is_empty() {
            self.emit(RunEvent::CutOff(cut_off));
        }
        match error {
            RunError::Store(StoreError::Held { holder, until, .. }) => {
                Ending::Busy { holder, until, cut_off: self.log.cut_off().to_vec() }
            }
            RunError::OutOfTime => Ending::OutOfTime { cut_off: vec![] },
            RunError::Arm(error) if error.kind() == ArmErrorKind::OutOfTime => {
                Ending::OutOfTime { cut_off: vec![] }
            }
            error if error.is_passing() => Ending::Unavailable(cause::told(&error)),
            error => Ending::Failed(cause::told(&error)),
        }
    }

    /// The time is over. What was out of sight is said first, for it stays.
    fn out_of_time(&mut self) -> Ending {
        if self.log.is_in_need() && self.log.cut_off().is_empty() {
            self.emit(RunEvent::CutOff(vec![CutOff::Unchecked]));
        }
        let unknown = self.log.seen().map(|seen| seen.unknown.clone()).unwrap_or_default();
        let cut_off = self.log.cut_off().to_vec();
        let asks = self.intent().source == Source::Notice && self.intent().rotation.is_some();
        match (unknown.is_empty(), cut_off.is_empty()) {
            (false, _) => Ending::unseen(unknown),
            (true, true) if asks && self.log.is_on_record() => Ending::Recorded,
            (true, _) => Ending::OutOfTime { cut_off },
        }
    }

    async fn attempts(&mut self) -> Result<Ending, RunError> {
        // Most of what Azure tells us was our own doing.
        let mut begin = Begin { asks_first: self.intent().only_repairs(), ..Begin::default() };
        while !self.engine.stop.is_asked() {
            let next = match self.attempt(begin).await? {
                Next::End(ending) if ending.is_answered() => self.await_claim(ending).boxed().await?,
                next => next,
            };
            begin = Begin::default();
            match next {
                Next::End(ending) => return Ok(ending),
                Next::Again { at, begin: next } => {
                    if let Some(at) = at {
                        self.pause(at).await;
                    }
                    begin = next;
                }
                Next::Watch { watch, ending } => {
                    if !self.watch_closely(watch).await? {
                        return Ok(ending);
                    }
                }
            }
        }
        Ok(Ending::Stopped)
    }

    /// Checks, and where there is something to do takes the lease and does it. A check of a service in order costs one
    /// read of the journal and no write.
    async fn attempt(&mut self, begin: Begin) -> Result<Next, RunError> {
        // Boxed like the other long parts: a fleet has as many runs as services, and each is in one of its parts.
        let (draft, keys) = self.look(begin).boxed().await;
        let draft = match draft {
            Ok(draft) => draft,
            Err(error @ (StoreError::Held { .. } | StoreError::StrangeLease { .. })) => {
                return self.wait_in_turn(begin, error, keys).await;
            }
            Err(error) => return Err(error.into()),
        };
        // Once in a process, for it costs a request.
        let service = &self.service.id;
        if self.intent().source == Source::Timer && !self.engine.fenced.lock().contains(service) {
            draft.keep_fenced(&self.order.holder).await?;
            self.engine.fenced.lock().insert(service.clone());
        }
        self.journal = Some(draft.journal().clone());
        let mut check = match self.check(begin, draft.journal(), keys).await? {
            ControlFlow::Continue(check) => check,
            ControlFlow::Break(ending) => {
                if let Ending::Decided(decision) = &ending {
                    by_a_right_clock(draft.apart(), decision)?;
                }
                return Ok(Next::End(ending));
            }
        };
        let assessment = self.assess(&check, draft.journal())?;
        // Whether or not the lease can be taken: who is cut off is known now.
        self.see(&check, &assessment.snapshot);
        by_a_right_clock(draft.apart(), &assessment.decision)?;
        let acts = self.is_to_act(&assessment) || check.is_echoed();
        let settled = matches!(assessment.decision, Decision::Settled { .. });
        let owes = draft.journal().owes_evidence(settled, self.now());
        let is_done = assessment.news.is_empty() && !acts && !owes;
        if is_done && !self.asks_who_wrote(draft.journal()) {
            self.judge(&assessment);
            return Ok(self.next(&assessment, assessment.decision.clone()));
        }
        let sounded = async {
            match &assessment.decision {
                Decision::Do(Step::Repoint { to, repair: true, .. }) => {
                    self.sound_out(*to, &check, &assessment.journal).await
                }
                _ => None,
            }
        };
        let (taken, refused) = join!(draft.take(&self.order.holder).boxed(), sounded);
        refused.into_iter().for_each(|refused| check.heard(refused));
        let mut lease = match taken {
            // Somebody was faster, and what was seen may be older than what he did.
            Err(StoreError::Changed) if begin.overtaken < OVERTAKEN => {
                let begin = Begin { overtaken: begin.overtaken + 1, ..Begin::default() };
                return Ok(Next::Again { at: None, begin });
            }
            taken => taken?,
        };
        self.acts = true;
        let next = match self.work(&mut lease, check).boxed().await {
            Ok(next) => next,
            Err(error) => Next::End(self.failed(error).await),
        };
        self.acts = false;
        self.journal = Some(lease.journal().clone());
        match (lease.release().await, next) {
            // Who lost the lease has nothing to give back; the first failure is the one to tell.
            (Err(error), Next::End(ending)) if !ending.is_failure() => Err(error.into()),
            (Err(error), Next::Again { .. } | Next::Watch { .. }) => Err(error.into()),
            (released, next) => {
                self.knows_journal(released.ok().flatten());
                Ok(next)
            }
        }
    }

    /// Reads the journal and, where a notice waits for the answer, the keys side by side with it; and the apps as well, if the
    /// journal comes first and does not explain what the notice claims: most likely they are to be written.
    async fn look(&self, begin: Begin) -> (Result<Draft, StoreError>, Option<Result<Check, ArmError>>) {
        if !begin.asks_first {
            return (self.read().await, None);
        }
        let known = self.engine.remembered.of(&self.service.id).journal;
        let (began, keys) = (self.now(), Check::of_keys(self.reader(), self.service));
        let (draft, mut check) = match select(pin!(self.read()), pin!(keys)).await {
            Either::Left((Ok(draft), keys)) if self.is_claimed(draft.journal()) => {
                let keys = self.heeded(keys, draft.journal());
                let check = self.check_all(keys, draft.journal()).await;
                (Ok(draft), check)
            }
            Either::Left((draft, keys)) => (draft, keys.await),
            Either::Right((keys, draft)) => (draft.await, keys),
        };
        // A key that another run of ours made, and put on record, after they were listed would be taken for one that is gone. Not
        // where the journal is the version that was known here before.
        if let (Ok(draft), Ok(listed)) = (&draft, &mut check)
            && (known.is_none() || draft.version() != known.as_ref())
            && draft.may_be_written_within(self.now() - began)
            && let Err(error) = listed.read_keys(self.reader(), self.service).await
        {
            check = Err(error);
        }
        (draft, Some(check))
    }

    /// Checks the keys and all consumers. The run ends here if the notice reports nothing new, or if the keys are enough.
    async fn check(
        &mut self,
        begin: Begin,
        journal: &Journal,
        keys: Option<Result<Check, ArmError>>,
    ) -> Result<ControlFlow<Ending, Check>, RunError> {
        let mut check = match keys {
            Some(check) => check?,
            None if self.may_rest().is_some() => Check::of_keys(self.reader(), self.service).await?,
            None => {
                let keys = self.heeded(Check::of_keys(self.reader(), self.service), journal);
                self.check_all(keys, journal).await?
            }
        };
        if begin.asks_first && self.is_known(&mut check, journal).await? {
            return Ok(ControlFlow::Break(Ending::Known));
        }
        self.settle_claim(journal);
        self.emit(RunEvent::Alarmed(is_alarming(&check.fingerprints(), journal)));
        if let Some(decision) = self.by_keys_alone(&check, journal) {
            return Ok(ControlFlow::Break(Ending::Decided(decision)));
        }
        check.expect(self.led_to());
        check.goes_on(take(&mut self.going));
        check.complete(self.reader(), self.service, journal).await?;
        self.engine.remembered.note(&self.service.id, |memory| memory.led_to = check.led_to_by(self.service));
        Ok(ControlFlow::Continue(check))
    }

    /// That there is nothing to do, where the keys tell it and the apps need not be read in this run of the timer. One that
    /// has read them once goes by what it read.
    fn by_keys_alone(&mut self, check: &Check, journal: &Journal) -> Option<Decision> {
        let (read, service) = (self.may_rest()?, self.service);
        let apps = service.consumers();
        let (now, end) = (self.now(), self.order.deadline - RESERVE);
        let (listed, external) = (check.fingerprints(), service.external.iter().cloned());
        let decision = plan::quiet(&listed, apps, external, journal, &service.policy, now, end)?;
        let held = |key_type| journal.keys().is_some_and(|keys| keys[key_type].held == Held::Now);
        self.keep_in_use(check, held);
        let ago = (now - read).to_std().unwrap_or_default();
        self.emit(RunEvent::AppsNotRead { ago, every: service.policy.full_check_every });
        Some(decision)
    }

    /// When the apps were last read, if this run of the timer need not read them.
    fn may_rest(&self) -> Option<DateTime<Utc>> {
        let may = self.intent().source == Source::Timer && self.log.seen().is_none();
        self.engine.full_checks.rests(&self.service.id).filter(|_| may)
    }

    fn assess(&self, check: &Check, journal: &Journal) -> Result<Assessment, RunError> {
        let snapshot = check.snapshot(self.service, journal);
        let (rotation, deadlines) = (self.log.rotation(), &self.intent().deadlines);
        let open = Open { rotation, deadlines, approvals: self.log.approvals() };
        let assessed = plan::assess(snapshot, journal, open, &self.service.policy, self.now());
        assessed.map_err(|illegal| StoreError::from(illegal).into())
    }

    /// Whether there is a step to do now that the intent allows.
    fn is_to_act(&self, assessment: &Assessment) -> bool {
        matches!(&assessment.decision, Decision::Do(step) if self.may(step, &assessment.journal))
    }

    /// Takes down what a check has shown, for the operator, the watch, and the end of the run.
    pub(super) fn see(&mut self, check: &Check, snapshot: &Snapshot) {
        for app in &snapshot.gone {
            self.emit_once(RunEvent::Gone(app.clone()));
        }
        for (app, at) in &snapshot.changed {
            self.emit_once(RunEvent::ChangedSince { app: app.clone(), at: *at });
        }
        for unknown in &snapshot.unknown {
            self.emit_once(RunEvent::Unseen(unknown.clone()));
        }
        self.keep_in_use(check, |key_type| snapshot.is_held(key_type));
        self.emit(RunEvent::Checked(Box::new(snapshot.clone())));
    }

    /// Takes down for the watch which keys are held.
    fn keep_in_use(&self, check: &Check, is_held: impl Fn(KeyType) -> bool) {
        if self.engine.config.watch.is_some() {
            let held = KeyType::ALL.into_iter().filter(|key_type| is_held(*key_type));
            let keys = held.map(|key_type| check.keys()[key_type].clone()).collect();
            self.engine.in_use.set(&self.service.id, check.host(), keys);
        }
    }

    /// Takes down what becomes of what is wanted, once it is on record or need not be.
    fn judge(&mut self, assessment: &Assessment) {
        match &assessment.verdict {
            Some(Verdict::Covered(covered)) => self.emit(RunEvent::Covered(*covered)),
            Some(Verdict::TooSoon(until)) => self.emit(RunEvent::Postponed { until: *until }),
            Some(Verdict::Record(_)) | None => {}
        }
        for (key, heeded) in assessment.heeded.clone() {
            self.emit(RunEvent::Heeded { key, heeded });
        }
        self.emit(RunEvent::Assessed { unwatched: assessment.unwatched });
    }

    /// Records, decides and acts until there is nothing to do now.
    async fn work(&mut self, lease: &mut Lease, mut check: Check) -> Result<Next, RunError> {
        while !self.engine.stop.is_asked() {
            let assessment = self.assess(&check, lease.journal())?;
            for event in assessment.news.clone() {
                self.record(lease, event)?;
            }
            self.see(&check, &assessment.snapshot);
            self.judge(&assessment);
            self.answer_call(lease, &assessment.snapshot).await?;
            match self.act(lease, &mut check, assessment).await {
                Ok(None) => {}
                Ok(Some(next)) => return Ok(next),
                Err(error @ RunError::Rewrites(_)) => {
                    // It is the one to tell; what fails besides comes again with the next run.
                    let _ = self.beside(lease, &mut check).await;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        // The report of a run that was stopped shows how things stand after its last step.
        let snapshot = check.snapshot(self.service, lease.journal());
        self.see(&check, &snapshot);
        Ok(Next::End(Ending::Stopped))
    }

    /// Sees to the others, where some could not be written: who was written is not told to be cut off, if there is time to see
    /// him, and who was moved or repaired before is asked how he is, and moved back.
    async fn beside(&mut self, lease: &mut Lease, check: &mut Check) -> Result<(), RunError> {
        if check.is_echoed() {
            self.read_back(lease, check).await?;
            let snapshot = check.snapshot(self.service, lease.journal());
            self.see(check, &snapshot);
        }
        loop {
            let (journal, policy, now) = (lease.journal(), &self.service.policy, self.now());
            let snapshot = check.snapshot(self.service, journal);
            let step = plan::gates_beside(&snapshot, journal, policy, now);
            let Some(step) = step.filter(|step| now < self.order.deadline && self.may(step, journal)) else {
                return Ok(());
            };
            if !self.confirm(&step, check, lease.journal()).await? || self.engine.stop.is_asked() {
                return Ok(());
            }
            match self.step(lease, check, step).await? {
                Then::Assess => {}
                Then::Rest { .. } | Then::Leave(_) => return Ok(()),
            }
        }
    }

    /// Puts on record that it was checked after a call: everything was seen since, and everybody holds a valid key.
    async fn answer_call(&mut self, lease: &mut Lease, snapshot: &Snapshot) -> Result<(), RunError> {
        let seen = !snapshot.echoed && snapshot.unknown.is_empty() && snapshot.stale().is_empty();
        let Some(call) = self.log.called().filter(|_| seen) else { return Ok(()) };
        self.record(lease, Event::Heard { call })?;
        Ok(lease.commit().await?)
    }

    /// Acts on an assessment that is on record; how the run goes on, if not by assessing anew.
    async fn act(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        assessment: Assessment,
    ) -> Result<Option<Next>, RunError> {
        let (acts, now) = (self.is_to_act(&assessment), self.now());
        if let Decision::Do(Step::Repoint { repair: false, .. } | Step::Regenerate(_)) = &assessment.decision
        {
            let (seen, journal) = (&assessment.snapshot, &assessment.journal);
            if let Some(urgent) = plan::urgent(seen, journal, &self.service.policy, now) {
                self.emit_once(RunEvent::Hurries(urgent));
            }
        }
        if !check.is_echoed() {
            by_a_right_clock(lease.apart(), &assessment.decision)?;
        }
        // Who called waits for it, so it comes before all that takes its time.
        if self.log.called().is_some() && check.is_echoed() && !assessment.decision.repairs() {
            return self.read_back_or_yield(lease, check).await;
        }
        match assessment.decision.clone() {
            Decision::Do(_) if acts && now >= self.order.deadline => Err(RunError::OutOfTime),
            Decision::Do(step) if acts => {
                // Before what it rests on is confirmed: apps that do not answer take their time.
                if let Some(held_back) = self.hold_back(lease, &step).await? {
                    return Ok(Some(self.next(&assessment, held_back)));
                }
                let stands = self.confirm(&step, check, lease.journal()).await?;
                // What is begun now is no step that is under way.
                if !stands || self.engine.stop.is_asked() {
                    return Ok(None);
                }
                match self.step(lease, check, step).await? {
                    Then::Assess => Ok(None),
                    Then::Rest { until } => self.rest_and_hear(lease, check, until, None).await.map(|_| None),
                    // Who was repaired beside it is seen first.
                    Then::Leave(_) if check.is_echoed() => self.read_back_or_yield(lease, check).await,
                    Then::Leave(waiting) => Ok(Some(self.next(&assessment, waiting))),
                }
            }
            _ if check.is_echoed() => self.read_back_or_yield(lease, check).await,
            Decision::Waiting { reason, until } if self.is_short(&reason, until) => {
                let decision = Decision::Waiting { reason, until };
                self.emit_once(RunEvent::Waiting(decision));
                lease.commit().await?;
                self.rest_and_hear(lease, check, until, Some(FRESH)).await.map(|_| None)
            }
            decision => {
                self.name_writers(lease).await?;
                match self.prove(lease, check, &decision).await? {
                    Some(again) => self.rest_or_yield(lease, check, again).await,
                    None => Ok(Some(self.next(&assessment, decision))),
                }
            }
        }
    }

    /// Whether a wait is not worth giving the lease back for. Between two moves it is: who pauses has his turn there.
    fn is_short(&self, reason: &WaitFor, until: DateTime<Utc>) -> bool {
        let moves_on = matches!(reason, WaitFor::Gate(_) | WaitFor::BetweenWaves(_));
        !moves_on && self.waits(until) && until <= self.now() + SHORT_WAIT
    }

    /// Reads back what was written. Replicas that are being replaced take minutes, and who calls meanwhile has his turn.
    async fn read_back_or_yield(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
    ) -> Result<Option<Next>, RunError> {
        self.read_back(lease, check).await?;
        let answered = self.log.called();
        if check.is_echoed() {
            self.hear(lease).await;
        }
        Ok(self.yields(answered, check))
    }

    /// Waits for what may take minutes and hurts nobody, with the lease, until somebody calls.
    async fn rest_or_yield(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        until: DateTime<Utc>,
    ) -> Result<Option<Next>, RunError> {
        let answered = self.log.called();
        self.rest_and_hear(lease, check, until, None).await?;
        Ok(self.yields(answered, check))
    }

    /// Who has called since is given the lease once, for he may have more to do than to be heard.
    fn yields(&mut self, answered: Option<u64>, check: &mut Check) -> Option<Next> {
        if self.log.called() == answered {
            return None;
        }
        self.going = check.take_going();
        Some(Next::Again { at: Some(self.now() + TURN), begin: Begin::default() })
    }

    /// What follows from a decision with which nothing is done now.
    fn next(&mut self, assessment: &Assessment, decision: Decision) -> Next {
        if let Decision::Waiting { until, .. } = &decision
            && self.waits(*until)
        {
            let at = (*until).min(self.now() + CHECK_AGAIN);
            self.emit_once(RunEvent::Waiting(decision));
            return Next::Again { at: Some(at), begin: Begin::default() };
        }
        self.foresee(assessment, &decision);
        let ending = self.ending(&assessment.snapshot, decision.clone());
        // Every run tells who is waited for, whatever else it ends with.
        if decision.awaits().next().is_some() && ending != Ending::Decided(decision.clone()) {
            self.emit_once(RunEvent::Waiting(decision));
        }
        let (now, end) = (self.now(), self.order.deadline - RESERVE);
        let stays = self.intent().stays_to_watch();
        match plan::to_watch(&assessment.journal, now, end).filter(|_| stays) {
            Some(watch) => Next::Watch { watch, ending },
            None => Next::End(ending),
        }
    }

    /// Takes down what a person is asked to approve.
    fn foresee(&mut self, assessment: &Assessment, decision: &Decision) {
        if decision.asks_for_approval() {
            let Assessment { snapshot, journal, .. } = assessment;
            let forecast = plan::forecast(snapshot, journal, &self.service.policy, self.now(), false);
            self.emit(RunEvent::Foreseen(Box::new(forecast)));
        }
    }

    /// A run ends well only if everything was seen, whatever it was for.
    fn ending(&self, snapshot: &Snapshot, decision: Decision) -> Ending {
        if !snapshot.unknown.is_empty() {
            return Ending::unseen(snapshot.unknown.clone());
        }
        // What a run may not do is left to one that may; what it may do is done.
        let left = self.intent().only_repairs() || matches!(decision, Decision::Do(_));
        if left { Ending::Repaired } else { Ending::Decided(decision) }
    }

    /// Whether the intent allows a step.
    fn may(&self, step: &Step, journal: &Journal) -> bool {
        match self.intent().source {
            // Anybody may have forged the notices that bring it about.
            Source::StandIn => !matches!(step, Step::Regenerate(_)) || !self.made_lately(journal),
            Source::Notice if self.intent().only_repairs() => {
                matches!(step, Step::Repoint { repair: true, .. })
            }
            Source::Notice | Source::Timer | Source::Operator => true,
        }
    }

    /// Whether we made a key less than `min_rotation_interval` ago.
    fn made_lately(&self, journal: &Journal) -> bool {
        let since = self.now() - delta(self.service.policy.min_rotation_interval);
        let lately = |record: &KeyRecord| record.origin == Origin::Ours && since < record.created;
        journal.keys().is_some_and(|keys| keys.iter().any(|(_, record)| lately(record)))
    }
}

/// Whose clock is wrong repairs, for that waits for no time, and does nothing else: he would take a grace for over that has just
/// begun, and say that nothing is due.
fn by_a_right_clock(ahead: Option<TimeDelta>, decision: &Decision) -> Result<(), RunError> {
    match ahead {
        Some(ahead) if !decision.repairs() => Err(RunError::Clock { ahead }),
        _ => Ok(()),
    }
}
