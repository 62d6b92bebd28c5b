//! The pass itself: read the journal, look, and where there is something to do take the lease and do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::OwnedSemaphorePermit;

use super::hint::Begun;
use super::report::{Ending, RunReport};
use super::{Claim, Hint, Known, Purpose, Rekey, Run, RunError};
use crate::act::Actor;
use crate::azure::arm::{Arm, ArmErrorKind};
use crate::config::ServiceConfig;
use crate::observe::{self, Eyes, Look};
use crate::report::InWords;
use crate::report::cause;
use crate::report::text::journal::told;
use crate::report::text::run as words;
use crate::report::text::snapshot::warnings;
use crate::store::{self, Draft, Lease, StoreError};
use rekey_core::journal::{Event, Journal, KeyRecord, Origin, WATCHES, Watch};
use rekey_core::model::{AppId, KeyType, Section};
use rekey_core::plan::{self, BlockedBy, Decision, Request, Snapshot, Step, Unknown};
use rekey_core::policy::Verify;
use rekey_core::time::delta;

/// The longest wait for which a pass keeps the lease. For a longer one it gives the lease back, so that whoever is told
/// of a forced regeneration meanwhile can repair it.
fn short_wait() -> TimeDelta {
    TimeDelta::seconds(10)
}

/// How often a run that waits for something far off looks again, in case something happens before.
fn look_again() -> TimeDelta {
    TimeDelta::minutes(5)
}

/// How long after a write it is read back. Azure's answer to a write is only what was asked for: another writer may have
/// replaced it since, with what he read before. Two seconds is what a list and a write take together, so that whoever
/// had read the old dictionary has written it by then.
fn moment() -> TimeDelta {
    TimeDelta::seconds(2)
}

/// How often a run looks again because somebody else wrote the journal between its look and its lease. Another run
/// writes then and has the lease; a journal that changes each time and is leased to nobody gets nothing done.
const OVERTAKEN: u32 = 4;

/// How long a run of the timer waits while nothing gets done. The longest regeneration on record took 74 s; what takes
/// longer, a grace period above all, is the next run's: a run that sits and waits is paid for by the second, and keeps the
/// Functions host from stopping.
fn sit() -> TimeDelta {
    TimeDelta::seconds(90)
}

/// How a pass goes on.
pub(super) enum Next {
    /// Not at all.
    End(Ending),
    /// With a new look, at this time.
    Pause(DateTime<Utc>),
    /// By looking at the keys for a while; like this, if they stay what they are.
    Watch {
        /// For which.
        watch: Watch,
        /// How.
        ending: Ending,
    },
}

/// One pass over one instance.
pub(super) struct Pass<'a> {
    pub(super) rekey: &'a Rekey,
    pub(super) run: &'a Run,
    pub(super) instance: &'a ServiceConfig,
    pub(super) arm: Arm,
    lines: Vec<String>,
    /// What happened, as it went into the journal.
    happened: Vec<Event>,
    started: DateTime<Utc>,
    /// When something was last done.
    progressed: DateTime<Utc>,
    /// That a key was regenerated, as long as nothing explains it.
    pub(super) claim: Option<Claim>,
    /// Another run's call after which everything is to be checked before it is answered.
    pub(super) called: Option<u64>,
    /// Whether a time to watch was announced and is not on record yet; and one that cannot be watched.
    unrecorded: bool,
    pub(super) unwatched: Option<DateTime<Utc>>,
    /// The rotation that is asked for and not yet judged.
    pub(super) asked: Option<Request>,
    /// When a rotation that was asked for too soon may be asked for again.
    pub(super) postponed: Option<DateTime<Utc>>,
    /// What called for the pass, until the first look.
    pub(super) hint: Option<Hint>,
    /// Whether that was no news.
    pub(super) known: Option<Known>,
    /// How often each dictionary was written.
    pub(super) writes: BTreeMap<(AppId, Section), u32>,
    /// Who is cut off as far as the last check shows, and what it could not see. Who was written since and not read back is
    /// cut off until he was read.
    cut_off: Vec<String>,
    unknown: Vec<Unknown>,
    /// What the last check showed.
    seen: Option<Snapshot>,
    /// When the last stale app was written.
    repaired: Option<DateTime<Utc>>,
    /// Whether somebody may be cut off, and no check has shown yet who.
    pub(super) alarmed: bool,
    /// The place among those at work; none while waiting.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(rekey: &'a Rekey, run: &'a Run, instance: &'a ServiceConfig) -> Self {
        Self {
            rekey,
            run,
            instance,
            arm: rekey.arm.until(run.deadline),
            lines: Vec::new(),
            happened: Vec::new(),
            started: rekey.clock.now(),
            progressed: rekey.clock.now(),
            claim: run.purpose.claim(),
            called: None,
            unrecorded: run.purpose.deadlines().next().is_some(),
            unwatched: None,
            asked: run.purpose.request(),
            postponed: None,
            hint: run.purpose.hint(),
            known: None,
            writes: BTreeMap::new(),
            cut_off: Vec::new(),
            unknown: Vec::new(),
            seen: None,
            repaired: None,
            alarmed: false,
            slot: None,
        }
    }

    pub(super) async fn run(&mut self) -> Ending {
        self.take_slot().await;
        match self.try_run().await {
            Ok(Ending::OutOfTime { .. }) => self.out_of_time(),
            // It leaves somebody cut off, which is no good end.
            Ok(Ending::Stopped) if self.alarmed || !self.cut_off.is_empty() => self.out_of_time(),
            Ok(ending) if !ending.is_failure() => match (self.unwatched, self.postponed) {
                (Some(at), _) => Ending::Failed(words::not_watched(at, WATCHES)),
                (None, Some(until)) => Ending::Postponed { until },
                (None, None) => ending,
            },
            Ok(ending) => ending,
            Err(RunError::Store(StoreError::Held { holder, until, .. })) => Ending::Busy { holder, until },
            Err(RunError::HandedOver { holder }) => Ending::HandedOver { holder },
            Err(error) => match self.ended_by(error).await {
                Ending::OutOfTime { .. } => self.out_of_time(),
                ending => ending,
            },
        }
    }

    /// How a failure ends the run. Of a service without keys it is known without a look who is cut off.
    async fn ended_by(&mut self, error: RunError) -> Ending {
        let cut_off = self.rekey.cut_off_by(&error, self.instance).await;
        if !cut_off.is_empty() {
            self.cut_off = cut_off;
        }
        ended_by(error)
    }

    /// The time is over. What was out of sight is said first, for it stays.
    fn out_of_time(&mut self) -> Ending {
        if self.alarmed && self.cut_off.is_empty() {
            self.cut_off.push(words::UNCHECKED.into());
        }
        let unknown = std::mem::take(&mut self.unknown);
        let answers = matches!(self.run.purpose, Purpose::Answer { .. });
        let judged = self.asked.is_none() && self.postponed.is_none();
        let on_record = answers && judged && !self.unrecorded && self.claim.is_none();
        match (unknown.is_empty(), self.cut_off.is_empty()) {
            (false, _) => unseen(unknown),
            (true, true) if on_record => Ending::Recorded,
            (true, _) => Ending::OutOfTime { cut_off: self.cut_off.clone() },
        }
    }

    async fn try_run(&mut self) -> Result<Ending, RunError> {
        while !self.rekey.stop.is_asked() {
            match self.once().await? {
                Next::End(ending) if !ending.is_answered() => return Ok(ending),
                Next::End(ending) => {
                    let Some(until) = self.unexplained().await? else { return Ok(ending) };
                    if let Some(ending) = self.await_effect(until).await? {
                        return Ok(ending);
                    }
                }
                Next::Pause(until) => self.pause(until).await,
                Next::Watch { watch, ending } => {
                    if !self.keep_looking(watch).await? {
                        return Ok(ending);
                    }
                }
            }
        }
        Ok(Ending::Stopped)
    }

    /// Waits without the lease and without the place among those at work, or until it is asked to stop.
    pub(super) async fn pause(&mut self, until: DateTime<Utc>) {
        self.slot = None;
        tokio::select! {
            biased;
            () = self.rekey.stop.asked() => {}
            () = self.rekey.clock.sleep_until(until) => {}
        }
        self.take_slot().await;
    }

    /// Looks, and where there is something to do takes the lease and does it. A look at an instance in order costs one
    /// read of the journal and no write.
    async fn once(&mut self) -> Result<Next, RunError> {
        let mut overtaken = 0;
        let (mut lease, look) = loop {
            let (draft, look) = match self.begin().await? {
                Begun::Known => return Ok(Next::End(Ending::Known)),
                Begun::Seen(seen) => *seen,
            };
            if let Some(next) = self.idle(&draft, &look) {
                return Ok(next);
            }
            match draft.take(&self.run.holder).await {
                // Somebody was faster, and what was seen may be older than what he did.
                Err(StoreError::Changed) if overtaken < OVERTAKEN => overtaken += 1,
                taken => break (taken?, look),
            }
        };
        let next = match self.work(&mut lease, look).await {
            Ok(next) => next,
            Err(error) => Next::End(self.ended_by(error).await),
        };
        match (lease.release().await, next) {
            // Who lost the lease has nothing to give back; the first failure is the one to tell.
            (Err(error), Next::End(ending)) if !ending.is_failure() => Err(error.into()),
            (Err(error), Next::Pause(_) | Next::Watch { .. }) => Err(error.into()),
            (_, next) => Ok(next),
        }
    }

    /// How to go on without the lease: there is nothing to record and nothing to do now.
    fn idle(&mut self, draft: &Draft, look: &Look) -> Option<Next> {
        let snapshot = look.snapshot(self.instance, draft.journal());
        let now = self.rekey.clock.now();
        let nothing_new = plan::reconcile(&snapshot, draft.journal(), &self.instance.policy, now).is_empty();
        let asks = self.judge_request(&snapshot, draft.journal()).is_some();
        self.unrecorded = !self.watches_to_record(draft.journal()).is_empty();
        if !nothing_new || asks || self.unrecorded {
            return None;
        }
        match plan::decide(&snapshot, draft.journal(), &self.instance.policy, now) {
            Decision::Do(step) if self.may(&step, draft.journal()) => None,
            decision => {
                self.remember(look, &snapshot);
                Some(self.next(&snapshot, draft.journal(), decision))
            }
        }
    }

    /// What follows from a decision with which nothing is done now.
    fn next(&mut self, snapshot: &Snapshot, journal: &Journal, decision: Decision) -> Next {
        if let Decision::Waiting { until, .. } = &decision
            && self.waits(*until)
        {
            self.say_once(&decision.in_words());
            return Next::Pause((*until).min(self.rekey.clock.now() + look_again()));
        }
        let ending = self.ending(snapshot, decision);
        match self.to_watch(journal) {
            Some(watch) => Next::Watch { watch, ending },
            None => Next::End(ending),
        }
    }

    /// A run ends well only if everything was seen, whatever it was for.
    fn ending(&self, snapshot: &Snapshot, decision: Decision) -> Ending {
        if !snapshot.unknown.is_empty() {
            return unseen(snapshot.unknown.clone());
        }
        // What a run may not do is left to one that may; what it may do is done.
        let left = self.run.purpose.only_repairs() || matches!(decision, Decision::Do(_));
        if left { Ending::Repaired } else { Ending::Decided(decision) }
    }

    /// Reads the journal.
    pub(super) async fn read(&self) -> Result<Draft, StoreError> {
        let (store, clock) = (Arc::clone(&self.rekey.store), Arc::clone(&self.rekey.clock));
        Draft::read(store, clock, &self.instance.id, &self.run.holder).await
    }

    /// Reads the journal; a notice's run waits for whoever is at work as long as it has time.
    ///
    /// It calls that run, and is done when that run has put on record that it checked after the call, unless it has something
    /// of its own to see to.
    pub(super) async fn read_in_turn(&mut self) -> Result<Draft, RunError> {
        let mut call = None;
        loop {
            let read = self.read().await;
            let again = self.rekey.clock.now() + TimeDelta::milliseconds(500);
            let waits = self.run.purpose.is_notice() && again < self.run.deadline;
            match read {
                Err(StoreError::Held { holder, heard, .. })
                    if call.is_some_and(|call| call <= heard) && self.may_hand_over() =>
                {
                    return Err(RunError::HandedOver { holder });
                }
                Err(StoreError::Held { .. } | StoreError::StrangeLease { .. })
                    if waits && !self.rekey.stop.is_asked() =>
                {
                    if call.is_none() {
                        call = self.call().await;
                    }
                    self.pause(again).await;
                }
                read => return Ok(read?),
            }
        }
    }

    /// Whether another run's check is all that this one is for.
    fn may_hand_over(&self) -> bool {
        self.run.purpose.request().is_none() && self.claim.is_none()
    }

    /// Calls the run at work, in whatever process it is; the number of the call, if it could be written.
    async fn call(&mut self) -> Option<u64> {
        let call = store::call(&*self.rekey.store, &self.instance.id).await;
        self.rekey.calls.call(&self.instance.id);
        if let Err(error) = &call {
            self.say_once(&words::not_called(&cause::told(error)));
        }
        call.ok()
    }

    /// Decides and acts until there is nothing to do now.
    async fn work(&mut self, lease: &mut Lease, mut look: Look) -> Result<Next, RunError> {
        while !self.rekey.stop.is_asked() {
            let snapshot = self.reconcile(lease, &look)?;
            if let Some(event) = self.judge_request(&snapshot, lease.journal()) {
                self.asked = None;
                self.record(lease, event)?;
            }
            for event in self.watches_to_record(lease.journal()) {
                self.record(lease, event)?;
            }
            self.unrecorded = false;
            self.answer_call(lease, &snapshot).await?;
            let now = self.rekey.clock.now();
            let decision = plan::decide(&snapshot, lease.journal(), &self.instance.policy, now);
            // Who called waits for it, so it comes before all that takes its time.
            if self.called.is_some() && look.is_echoed() && !decision.repairs() {
                self.read_back(lease, &mut look).await?;
                continue;
            }
            match decision {
                Decision::Do(step) if self.may(&step, lease.journal()) && now >= self.run.deadline => {
                    return Err(RunError::OutOfTime);
                }
                Decision::Do(step) if self.may(&step, lease.journal()) => {
                    let ready = self.is_ready(&step, &mut look, lease.journal()).await?;
                    // What is begun now is no step that is under way.
                    if !ready || self.rekey.stop.is_asked() {
                        continue;
                    }
                    match self.step(lease, &mut look, step).await? {
                        // Who was repaired beside it is seen first.
                        Some(_) if look.is_echoed() => self.read_back(lease, &mut look).await?,
                        Some(waiting) => return Ok(self.next(&snapshot, lease.journal(), waiting)),
                        None => {}
                    }
                }
                _ if look.is_echoed() => self.read_back(lease, &mut look).await?,
                decision @ Decision::Waiting { until, .. }
                    if self.waits(until) && until <= now + short_wait() =>
                {
                    self.say_once(&decision.in_words());
                    self.wait(lease, &mut look, until).await?;
                }
                decision => return Ok(self.next(&snapshot, lease.journal(), decision)),
            }
        }
        Ok(Next::End(Ending::Stopped))
    }

    /// Puts on record that it was checked after a call: everything was seen since, and everybody holds a valid key.
    async fn answer_call(&mut self, lease: &mut Lease, snapshot: &Snapshot) -> Result<(), RunError> {
        let seen = !snapshot.echoed && snapshot.unknown.is_empty() && snapshot.stale().is_empty();
        let Some(call) = self.called.filter(|_| seen) else { return Ok(()) };
        self.called = None;
        self.record(lease, Event::Heard { call })?;
        Ok(lease.commit().await?)
    }

    /// Whether the purpose of the run allows a step.
    fn may(&self, step: &Step, journal: &Journal) -> bool {
        match &self.run.purpose {
            Purpose::Repair | Purpose::Check(_) => matches!(step, Step::Repoint { repair: true, .. }),
            // Anybody may have forged the notices that bring it about.
            Purpose::StandIn => !matches!(step, Step::Regenerate { .. }) || !self.made_lately(journal),
            Purpose::Scheduled | Purpose::Rotate { .. } | Purpose::Answer { .. } => true,
        }
    }

    /// Whether we made a key less than `min_rotation_interval` ago.
    fn made_lately(&self, journal: &Journal) -> bool {
        let since = self.rekey.clock.now() - delta(self.instance.policy.min_rotation_interval);
        let lately = |record: &KeyRecord| record.origin == Origin::Ours && since < record.created;
        journal.keys().is_some_and(|keys| keys.iter().any(|(_, record)| lately(record)))
    }

    /// Brings the journal up to the look.
    fn reconcile(&mut self, lease: &mut Lease, look: &Look) -> Result<Snapshot, RunError> {
        let snapshot = look.snapshot(self.instance, lease.journal());
        let now = self.rekey.clock.now();
        for event in plan::reconcile(&snapshot, lease.journal(), &self.instance.policy, now) {
            self.record(lease, event)?;
        }
        self.remember(look, &snapshot);
        Ok(snapshot)
    }

    /// Takes down what the end of the run, the operator and the watch have to know of a check.
    fn remember(&mut self, look: &Look, snapshot: &Snapshot) {
        self.warn(snapshot);
        // Azure's answer to a write is no sight of who was written.
        if !snapshot.echoed {
            self.cut_off = snapshot.cut_off().iter().map(InWords::in_words).collect();
            self.alarmed = false;
        }
        self.unknown.clone_from(&snapshot.unknown);
        self.seen = Some(snapshot.clone());
        if self.rekey.config.watch.is_some() {
            let held = KeyType::ALL.into_iter().filter(|key_type| snapshot.is_held(*key_type));
            let keys = held.map(|key_type| look.keys()[key_type].clone()).collect();
            self.rekey.in_use.set(&self.instance.id, look.host(), keys);
        }
    }

    /// Tells what the operator should know of what was seen.
    fn warn(&mut self, snapshot: &Snapshot) {
        for warning in warnings(snapshot) {
            if !self.lines.contains(&warning) {
                tracing::warn!("{warning}");
                self.tell(&warning);
            }
        }
    }

    /// Checks just before a step that what it rests on is not too old; if it was, it is read again and the decision
    /// is made anew.
    async fn is_ready(&self, step: &Step, look: &mut Look, journal: &Journal) -> Result<bool, RunError> {
        let keys = look.keys().clone();
        match step {
            Step::Regenerate { .. } => {
                return Ok(!look.refresh(self.eyes(), self.instance, observe::fresh()).await?);
            }
            Step::Repoint { .. } => {
                look.refresh_keys(self.eyes(), self.instance, observe::fresh()).await?;
            }
            Step::Follow { .. } | Step::Verify { .. } => {}
        }
        Ok(match step {
            Step::Repoint { to, repair: true, .. } if *look.keys() == keys => {
                self.is_good_enough(*to, look, journal).await
            }
            _ => *look.keys() == keys,
        })
    }

    /// Whether stale consumers are to get this key: not if it is not surely in effect yet, and the service refuses it and
    /// takes the other.
    async fn is_good_enough(&self, to: KeyType, look: &mut Look, journal: &Journal) -> bool {
        let (policy, now) = (&self.instance.policy, self.rekey.clock.now());
        let asked = look.refused().is_some() || policy.verify == Verify::ControlPlane;
        if asked || !plan::is_doubtful(to, journal, policy, now) {
            return true;
        }
        let refused = self.actor().sound_out(look.host(), look.keys()).await;
        look.heard(refused);
        !refused[to] || refused[to.other()]
    }

    /// Whether a wait is short enough for this run.
    pub(super) fn waits(&self, until: DateTime<Utc>) -> bool {
        let sits = self.run.purpose != Purpose::Scheduled || until <= self.progressed + sit();
        !self.run.purpose.only_repairs() && until < self.run.deadline && sits
    }

    async fn wait(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        until: DateTime<Utc>,
    ) -> Result<(), RunError> {
        lease.commit().await?;
        let woken = self.rest(lease, until).await?;
        let age = if self.hear(lease).await || woken { TimeDelta::zero() } else { observe::fresh() };
        look.refresh(self.eyes(), self.instance, age).await?;
        Ok(())
    }

    /// Reads what was written a moment ago. A run does not end well on Azure's word that it wrote what it was told.
    async fn read_back(&mut self, lease: &mut Lease, look: &mut Look) -> Result<(), RunError> {
        let until = self.rekey.clock.now() + moment();
        if until >= self.run.deadline {
            return Err(RunError::OutOfTime);
        }
        self.rest(lease, until).await?;
        Ok(look.read_back(self.eyes(), self.instance).await?)
    }

    /// Waits, with the lease and without the place among those at work. Whether somebody called before the time was over:
    /// then there is something to look at, or it was asked to stop.
    pub(super) async fn rest(&mut self, lease: &mut Lease, until: DateTime<Utc>) -> Result<bool, StoreError> {
        self.slot = None;
        let clock = &self.rekey.clock;
        let mut called = false;
        while !called && clock.now() < until {
            tokio::select! {
                biased;
                () = self.rekey.stop.asked() => called = true,
                () = self.rekey.calls.called(&self.instance.id) => called = true,
                () = clock.sleep_until(until.min(lease.renew_at())) => {}
            }
            lease.keep().await?;
        }
        self.take_slot().await;
        Ok(called)
    }

    pub(super) async fn take_slot(&mut self) {
        // Nobody closes the semaphore.
        self.slot = Arc::clone(&self.rekey.places.0).acquire_owned().await.ok();
    }

    pub(super) fn eyes(&self) -> Eyes<'_> {
        let at_once = self.run.purpose.apps_at_once();
        // From a key that changed until the end of the run: who is found stale is to be repaired first.
        let in_need = self.run.purpose.is_notice() || self.alarmed || !self.cut_off.is_empty();
        Eyes { arm: &self.arm, clock: &*self.rekey.clock, at_once, in_need }
    }

    pub(super) fn actor(&self) -> Actor<'_> {
        Actor {
            arm: &self.arm,
            data_plane: &self.rekey.data_plane,
            clock: &*self.rekey.clock,
            gates: &self.rekey.gates,
            instance: self.instance,
            own_site: self.rekey.config.own_site.as_deref(),
            at_once: self.run.purpose.apps_at_once(),
            deadline: self.run.deadline,
        }
    }

    /// Whether this run has put a rotation on record.
    pub(super) fn has_asked(&self) -> bool {
        self.happened.iter().any(|event| matches!(event, Event::RotationRequested { .. }))
    }

    /// Records an event, and tells it where people would want to know.
    pub(super) fn record(&mut self, lease: &mut Lease, event: Event) -> Result<(), RunError> {
        let quiet = matches!(
            event,
            Event::Taken { .. }
                | Event::AppsSeen { .. }
                | Event::RepointIntended { .. }
                | Event::Blinded {}
                | Event::Recovered {}
        );
        let progress = matches!(
            event,
            Event::RegenerationAccepted { .. }
                | Event::Regenerated { .. }
                | Event::RegenerationFailed { .. }
                | Event::Verified { .. }
                | Event::Repointed { .. }
        );
        if matches!(event, Event::KeyChanged { .. } | Event::Repointed { repaired: true, .. }) {
            self.claim = None;
        }
        if progress {
            self.progressed = self.rekey.clock.now();
        }
        if !quiet {
            let in_flight = lease.journal().in_flight().map(|flight| flight.key_type);
            self.say(&told(&event, in_flight));
        }
        lease.record(event.clone())?;
        if matches!(event, Event::Repointed { repaired: true, .. }) {
            self.repaired = Some(self.rekey.clock.now());
        }
        self.happened.push(event);
        Ok(())
    }

    pub(super) fn say(&mut self, line: &str) {
        tracing::info!("{line}");
        self.tell(line);
    }

    fn tell(&mut self, line: &str) {
        (self.rekey.narrator)(&self.instance.id, line);
        self.lines.push(line.to_owned());
    }

    pub(super) fn say_once(&mut self, line: &str) {
        if !self.lines.iter().any(|said| said == line) {
            self.say(line);
        }
    }

    pub(super) fn report(self, ending: Ending) -> RunReport {
        let took = (self.rekey.clock.now() - self.started).to_std().unwrap_or_default();
        RunReport {
            instance: self.instance.id.clone(),
            run: self.run.holder.clone(),
            lines: self.lines,
            happened: self.happened,
            took,
            repaired_in: self.repaired.map(|at| (at - self.started).to_std().unwrap_or_default()),
            seen: self.seen,
            known: self.known,
            cut_off: self.cut_off,
            ending,
        }
    }
}

/// How a run ends that did not see everything: what lasts blocks, and what passes by itself is seen by the next.
fn unseen(unknown: Vec<Unknown>) -> Ending {
    if unknown.iter().any(Unknown::lasts) {
        Ending::Decided(Decision::Blocked(BlockedBy::Unknown(unknown)))
    } else {
        Ending::Unseen(unknown)
    }
}

fn ended_by(error: RunError) -> Ending {
    match error {
        RunError::OutOfTime => Ending::OutOfTime { cut_off: vec![] },
        RunError::Arm(error) if error.kind() == ArmErrorKind::OutOfTime => {
            Ending::OutOfTime { cut_off: vec![] }
        }
        error if error.is_passing() => Ending::Unavailable(cause::told(&error)),
        error => Ending::Failed(cause::told(&error)),
    }
}
