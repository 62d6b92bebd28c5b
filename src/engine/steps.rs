//! Doing one step of a run: intent on record, the act, the outcome on record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use tracing::Instrument;

use super::RunError;
use super::run::{Run, Then};
use crate::azure::arm::{ArmError, ArmErrorKind};
use crate::azure::consumers::Place;
use crate::azure::services::Regeneration;
use crate::engine::act::{Acceptance, Failure, Progress, Rewrite, RewriteError};
use crate::engine::check::{Check, FRESH};
use crate::report::text::run::UNCHANGED_SUCCESS;
use crate::report::{LostOperation, RunEvent, cause};
use crate::store::{Lease, LockError};
use rekey_core::journal::{Event, InFlight, Journal};
use rekey_core::model::{ConsumerId, KeyType, PerKey};
use rekey_core::plan::{self, ConsumerRef, Decision, Holding, Snapshot, Step, WaitFor};
use rekey_core::policy::Verify;
use rekey_core::time::delta;

/// How often one run writes the same dictionary: as often as it merges one write anew.
const WRITES: u32 = 4;

/// How long one step waits for apps that another process has locked before it is decided anew: half of what a lock lasts
/// that is not given back.
const LOCKED: TimeDelta = TimeDelta::seconds(60);

impl Run<'_> {
    /// Checks just before a step that what it rests on is not too old. If it was, it is read again, and the step does not
    /// stand before it was decided anew.
    pub(super) async fn confirm(
        &mut self,
        step: &Step,
        check: &mut Check,
        journal: &Journal,
    ) -> Result<bool, RunError> {
        let keys = check.keys().clone();
        match step {
            Step::Regenerate(_) => {
                return Ok(!check.refresh_for_step(self.reader(), self.service).await?);
            }
            // A key that was never on record is most likely newer than the list of those that are valid.
            Step::Repoint { .. } if check.shows_strange_keys(self.service, journal) => {
                check.read_keys(self.reader(), self.service).await?;
            }
            Step::Repoint { .. } => {
                check.refresh_keys(self.reader(), self.service, FRESH).await?;
            }
            Step::Follow(_) | Step::Verify(_) | Step::Gate(_) => {}
        }
        if *check.keys() != keys {
            return Ok(false);
        }
        match step {
            Step::Repoint { to, repair: true, .. } => Ok(self.is_good_enough(*to, check, journal).await),
            _ => Ok(true),
        }
    }

    /// Whether stale consumers are to get this key: not if it is not surely in effect yet, and the service refuses it and
    /// takes the other.
    async fn is_good_enough(&self, to: KeyType, check: &mut Check, journal: &Journal) -> bool {
        let Some(refused) = self.sound_out(to, check, journal).await else { return true };
        check.heard(refused);
        !refused[to] || refused[to.other()]
    }

    /// Asks the service which keys it refuses, if that was not asked yet and it is not sure that this one is in effect.
    pub(super) async fn sound_out(
        &self,
        to: KeyType,
        check: &Check,
        journal: &Journal,
    ) -> Option<PerKey<bool>> {
        let policy = &self.service.policy;
        let asked = check.refused().is_some() || policy.verify == Verify::ControlPlane;
        if asked || !plan::is_doubtful(to, journal, policy, self.now()) {
            return None;
        }
        Some(self.actor().sound_out(check.host(), check.keys()).await)
    }

    /// Does a step.
    pub(super) async fn step(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        step: Step,
    ) -> Result<Then, RunError> {
        let span = tracing::info_span!("step", step = step.name());
        async {
            match step {
                Step::Repoint { to, consumers, repair, part } => {
                    if let Some(event) = plan::begun((part, repair), to, &consumers, &self.service.policy) {
                        self.record(lease, event)?;
                    }
                    self.repoint(lease, check, to, &consumers, repair).await?;
                }
                Step::Follow(_) => return self.follow(lease, check).await,
                Step::Verify(key_type) => self.verify(lease, check, key_type).await?,
                Step::Regenerate(key_type) => self.regenerate(lease, check, key_type).await?,
                Step::Gate(gated) => return self.gate(lease, check, gated).await,
            }
            Ok(Then::Assess)
        }
        .instrument(span)
        .await
    }

    async fn repoint(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        to: KeyType,
        consumers: &[ConsumerRef],
        repair: bool,
    ) -> Result<(), RunError> {
        self.record(lease, Event::RepointIntended { key_type: to })?;
        let event = {
            let running = check.snapshot(self.service, lease.journal()).running;
            plan::handed_out(lease.journal(), &check.keys()[to].fingerprint(), consumers, &running)
        };
        self.record(lease, event)?;
        let (consumers, mut failed) = self.not_in_vain(consumers);
        for consumers in self.actor().in_order(consumers) {
            failed.extend(self.repoint_all(lease, check, to, consumers, repair).await?);
        }
        // How the run ends is told in one line, which has no room for many.
        for error in failed.iter().filter(|_| failed.len() > 1) {
            self.emit_once(RunEvent::NotWritten { why: cause::told(error) });
        }
        if failed.is_empty() { Ok(()) } else { Err(RunError::Rewrites(failed)) }
    }

    /// Repoints everybody whose app is not locked by another process, and then those who are, as they are let go: one that
    /// died with its locks keeps nobody waiting but the apps that it had. What failed.
    async fn repoint_all(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        to: KeyType,
        mut consumers: Vec<ConsumerRef>,
        repair: bool,
    ) -> Result<Vec<RewriteError>, RunError> {
        let (mut failed, patience) = (Vec::new(), (self.now() + LOCKED).min(self.order.deadline));
        loop {
            let mut locked = BTreeMap::new();
            for batch in self.actor().batches(&consumers) {
                for error in self.repoint_batch(lease, check, to, &batch, repair).await? {
                    match error {
                        RewriteError::Locked { place, error: LockError::Held(held) }
                            if self.now() < patience =>
                        {
                            locked.insert(place, held.again.min(patience));
                        }
                        error => failed.push(error),
                    }
                }
            }
            let Some(again) = locked.values().min() else { break };
            // A call from another run may be about something that has to be decided before this.
            if self.rest_and_hear(lease, check, *again, None).await? || self.engine.stop.is_asked() {
                break;
            }
            let is_locked = |place: Place| locked.contains_key(&place);
            consumers.retain(|consumer| Place::of_consumer(consumer).is_some_and(is_locked));
        }
        // What there was no time for is not given up while the run has time: it is decided anew.
        let in_time = self.now() < self.order.deadline;
        let (late, failed): (Vec<RewriteError>, Vec<_>) =
            failed.into_iter().partition(|error| in_time && error.is_late());
        for error in &late {
            self.emit_once(RunEvent::Late { why: cause::told(error) });
        }
        Ok(failed)
    }

    /// The consumers whose dictionaries are still worth writing. What was written several times in this run and does not
    /// hold what was written is left to a person, and to the next run.
    fn not_in_vain(&self, consumers: &[ConsumerRef]) -> (Vec<ConsumerRef>, Vec<RewriteError>) {
        let in_vain = |place: &Place| self.log.writes(place) >= WRITES;
        let vain: BTreeSet<_> = consumers.iter().filter_map(Place::of_consumer).filter(in_vain).collect();
        let is_vain =
            |consumer: &ConsumerRef| Place::of_consumer(consumer).is_some_and(|place| vain.contains(&place));
        let left = consumers.iter().filter(|consumer| !is_vain(consumer));
        let left = left.cloned().collect();
        let not_kept =
            vain.into_iter().map(|place| RewriteError::NotKept { place, writes: WRITES }).collect();
        (left, not_kept)
    }

    /// Repoints as many apps as one proof of the lease is good for; what failed.
    async fn repoint_batch(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        to: KeyType,
        consumers: &[ConsumerRef],
        repair: bool,
    ) -> Result<Vec<RewriteError>, RunError> {
        let journal = lease.journal().clone();
        let proof = lease.proof().await?;
        let (marks, key) = (check.marks(&journal), &check.keys()[to]);
        let done = self.actor().repoint(&proof, check, marks, key, consumers, repair).await;
        let (written, failed): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
        let (mut places, mut traces, now) = (Vec::new(), BTreeMap::new(), self.now());
        for Rewrite { place, contents, correlation } in written.into_iter().flatten() {
            check.written(place.clone(), contents, now);
            traces.extend(correlation.map(|id| (place.consumer(), id)));
            places.push(place);
        }
        let snapshot = check.snapshot(self.service, lease.journal());
        let mut apps: Vec<ConsumerId> = Vec::new();
        for place in places {
            let given = is_given(&place, (to, repair), consumers, &snapshot);
            apps.extend(given.then(|| place.consumer()));
            self.emit(RunEvent::Written { place, given });
        }
        apps.sort();
        apps.dedup();
        if !apps.is_empty() {
            traces.retain(|consumer, _| apps.contains(consumer));
            self.record(lease, Event::Repointed { key_type: to, apps, repaired: repair })?;
            if !traces.is_empty() {
                self.record(lease, Event::Traced { regeneration: None, consumers: traces })?;
            }
        }
        Ok(failed.into_iter().filter_map(Result::err).collect())
    }

    async fn regenerate(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        key_type: KeyType,
    ) -> Result<(), RunError> {
        self.record(lease, Event::RegenerationIntended { key_type })?;
        self.remember(&check.keys()[key_type]);
        let proof = lease.proof().await?;
        match self.actor().regenerate(&proof, check.oldest(), key_type).await {
            Ok(regeneration) => self.accepted(lease, check, key_type, regeneration).await,
            Err(error) => self.not_accepted(lease, key_type, error).await,
        }
    }

    /// Azure took it on, and mostly answers with an operation to follow (202); a 200 says that it is done.
    async fn accepted(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        key_type: KeyType,
        answer: Regeneration,
    ) -> Result<(), RunError> {
        let promised = answer.keys.as_ref().map(|keys| keys[key_type].fingerprint());
        let done = answer.finished;
        self.record(lease, Event::RegenerationAccepted { operation: answer.operation, promised })?;
        if let Some(id) = answer.correlation {
            self.record(lease, Event::Traced { regeneration: Some(id), consumers: BTreeMap::new() })?;
        }
        lease.commit().await?;
        if done {
            return self.finish(lease, check, None).await;
        }
        Ok(())
    }

    /// Where the request surely came to nothing, the journal says so. Where nobody knows, the intent stays on record
    /// and the next checks tell (invariant 4).
    async fn not_accepted(
        &mut self,
        lease: &mut Lease,
        key_type: KeyType,
        error: ArmError,
    ) -> Result<(), RunError> {
        if error.kind() != ArmErrorKind::OutcomeUnknown {
            let Failure { detail, lasting } = Failure::from(&error);
            self.record(lease, Event::RegenerationFailed { detail, lasting })?;
            lease.commit().await?;
        }
        match error.kind() {
            // Our time to send was over, not that of the run: a later check begins anew.
            ArmErrorKind::OutOfTime if self.now() < self.order.deadline => {
                self.emit(RunEvent::NotAccepted { key_type, why: cause::told(&error) });
                Ok(())
            }
            // Azure is busy with another regeneration, or with too many requests: waiting is all there is to do.
            ArmErrorKind::Conflict | ArmErrorKind::Throttled { .. } | ArmErrorKind::OutcomeUnknown => {
                self.emit(RunEvent::NotAccepted { key_type, why: cause::told(&error) });
                Ok(())
            }
            _ => Err(error.into()),
        }
    }

    /// Asks once how the regeneration under way goes.
    async fn follow(&mut self, lease: &mut Lease, check: &mut Check) -> Result<Then, RunError> {
        let Some(flight) = lease.journal().in_flight().cloned() else { return Ok(Then::Assess) };
        let InFlight { operation: Some(operation), .. } = &flight else { return Ok(Then::Assess) };
        let progress = self.actor().poll(operation, self.log.polls()).await;
        self.emit(RunEvent::Polled);
        let overdue = plan::is_overdue(&flight, &self.service.policy, self.now());
        let lost = match progress {
            Ok(Progress::Succeeded) => return self.finish(lease, check, None).await.map(|()| Then::Assess),
            Ok(Progress::Failed(failure)) => {
                return self.finish(lease, check, Some(failure)).await.map(|()| Then::Assess);
            }
            Ok(Progress::Running(wait)) if !overdue => return self.follow_later(&flight, wait),
            Ok(Progress::Running(_)) => LostOperation::RunsForEver,
            Ok(Progress::Lost(error)) => LostOperation::Failed { why: cause::told(&error) },
            Err(error) if overdue && error.kind() != ArmErrorKind::OutOfTime => {
                LostOperation::Failed { why: cause::told(&error) }
            }
            Err(error) => return Err(error.into()),
        };
        self.ask_no_more(lease, check, lost).await.map(|()| Then::Assess)
    }

    /// How the run goes on while a regeneration runs: it asks again, or leaves it to the next run.
    fn follow_later(&self, flight: &InFlight, wait: Duration) -> Result<Then, RunError> {
        let next = self.now() + delta(wait);
        if next >= self.order.deadline {
            return Err(RunError::OutOfTime);
        }
        if self.waits(next) {
            return Ok(Then::Rest { until: next });
        }
        let until = flight.intended + delta(self.service.policy.longest_operation);
        let reason = WaitFor::Operation(flight.key_type);
        Ok(Then::Leave(Decision::Waiting { reason, until }))
    }

    /// The operation's URL is of no use (any more): the keys tell what became of it, as where it was never learned.
    async fn ask_no_more(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        lost: LostOperation,
    ) -> Result<(), RunError> {
        self.emit(RunEvent::OperationLost(lost));
        self.record(lease, Event::OperationLost {})?;
        lease.commit().await?;
        // What they tell is told by the keys of now, not by those of before the operation was followed.
        Ok(check.read_keys(self.reader(), self.service).await?)
    }

    /// An operation ended: what became of it is read off the keys, for the first of two overlapping regenerations
    /// may report success without having rotated.
    async fn finish(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        failure: Option<Failure>,
    ) -> Result<(), RunError> {
        let Some(flight) = lease.journal().in_flight().cloned() else { return Ok(()) };
        // A run that only follows knows the old key if it began before Azure had replaced it.
        let before = check.keys()[flight.key_type].clone();
        if before.fingerprint() == flight.prior {
            self.remember(&before);
        }
        check.read_keys(self.reader(), self.service).await?;
        let fingerprint = check.keys()[flight.key_type].fingerprint();
        let event = if fingerprint == flight.prior {
            let unchanged = || {
                let detail = UNCHANGED_SUCCESS.to_owned();
                Failure { detail, lasting: false }
            };
            let Failure { detail, lasting } = failure.unwrap_or_else(unchanged);
            Event::RegenerationFailed { detail, lasting }
        } else {
            Event::Regenerated { fingerprint, confirmed: failure.is_none() }
        };
        // The next write takes it along. Lost in a crash, it is found again: the operation's URL is on record.
        self.record(lease, event)
    }

    async fn verify(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        key_type: KeyType,
    ) -> Result<(), RunError> {
        let proof = self.actor().prove(check.host(), &check.keys()[key_type]).await;
        let event = match proof {
            Acceptance::Accepted => Event::Verified { key_type },
            Acceptance::Refused(detail) => Event::VerificationRefused { key_type, detail },
            // The service has refused nothing.
            Acceptance::OutOfTime => return Err(RunError::OutOfTime),
        };
        self.record(lease, event)?;
        Ok(lease.keep().await?)
    }
}

/// Whether the consumers of a place that was to be written have another key by that. What refers to a secret or a key-value that
/// could not be written has not, though nothing was wrong with itself; nor has what was found to be something else. Who is
/// repaired by what a secret holds is given that, whichever of the two keys it is.
fn is_given(
    place: &Place,
    (to, repair): (KeyType, bool),
    consumers: &[ConsumerRef],
    shown: &Snapshot,
) -> bool {
    let is_there = |consumer: &&ConsumerRef| Place::of_consumer(consumer).as_ref() == Some(place);
    consumers.iter().filter(is_there).all(|at| {
        let held: Vec<&Holding> =
            shown.consumers.iter().filter(|one| one.at == *at).map(|one| &one.holds).collect();
        let is_good =
            |holds: &&Holding| matches!(holds, Holding::Valid(key_type) if repair || *key_type == to);
        held.iter().any(is_good) && !held.iter().any(|holds| matches!(holds, Holding::Stale(_)))
    })
}
