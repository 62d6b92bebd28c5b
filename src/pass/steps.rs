//! Doing one step of a pass: intent on record, the act, the outcome on record.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use tracing::Instrument;

use super::RunError;
use super::one::Pass;
use crate::act::{Failure, Progress, Proof, Rewrite, RewriteError};
use crate::azure::arm::{ArmError, ArmErrorKind, Regeneration};
use crate::observe::Look;
use crate::report::cause;
use crate::report::text::run as words;
use crate::store::{self, Lease};
use rekey_core::journal::{Event, InFlight};
use rekey_core::model::{AppId, Fingerprint, KeyType, Section};
use rekey_core::plan::{self, ConsumerRef, Decision, Step, WaitFor};
use rekey_core::time::delta;

/// How often one run writes the same dictionary: as often as it merges one write anew.
const WRITES: u32 = 4;

impl Pass<'_> {
    /// Does a step. Where it goes on without this run, that is what is waited for.
    pub(super) async fn step(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        step: Step,
    ) -> Result<Option<Decision>, RunError> {
        let span = tracing::info_span!("step", step = step.name());
        async {
            match step {
                Step::Repoint { to, consumers, repair } => {
                    self.repoint(lease, look, to, &consumers, repair).await?;
                }
                Step::Follow { .. } => return self.follow(lease, look).await,
                Step::Verify { key_type } => self.verify(lease, look, key_type).await?,
                Step::Regenerate { key_type } => self.regenerate(lease, look, key_type).await?,
            }
            Ok(None)
        }
        .instrument(span)
        .await
    }

    async fn repoint(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        to: KeyType,
        consumers: &[ConsumerRef],
        repair: bool,
    ) -> Result<(), RunError> {
        self.record(lease, Event::RepointIntended { key_type: to })?;
        self.record(lease, plan::handed_out(lease.journal(), &look.keys()[to].fingerprint(), consumers))?;
        let (consumers, overwritten) = self.not_in_vain(consumers);
        let mut failed = overwritten;
        for consumers in self.actor().batches(&consumers) {
            failed.extend(self.repoint_batch(lease, look, to, &consumers, repair).await?);
        }
        if failed.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = failed.iter().map(|error| cause::told(error)).collect();
        Err(RunError::Apps { told: told.join("; "), passing: failed.iter().any(RewriteError::is_passing) })
    }

    /// The consumers whose dictionaries are still worth writing. What was written several times in this run and does not
    /// hold what was written is left to a person, and to the next run.
    fn not_in_vain(&self, consumers: &[ConsumerRef]) -> (Vec<ConsumerRef>, Vec<RewriteError>) {
        let part = |consumer: &ConsumerRef| (consumer.app.clone(), consumer.section);
        let in_vain = |part: &(AppId, Section)| self.writes.get(part).is_some_and(|writes| *writes >= WRITES);
        let vain: BTreeSet<_> = consumers.iter().map(part).filter(in_vain).collect();
        let left = consumers.iter().filter(|consumer| !vain.contains(&part(consumer))).cloned().collect();
        let overwritten =
            vain.into_iter().map(|(app, section)| RewriteError::Overwritten { app, section }).collect();
        (left, overwritten)
    }

    /// Repoints as many apps as one proof of the lease is good for; what failed.
    async fn repoint_batch(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        to: KeyType,
        consumers: &[ConsumerRef],
        repair: bool,
    ) -> Result<Vec<RewriteError>, RunError> {
        let journal = lease.journal().clone();
        let is_ours = |string: &_| look.is_ours(string, &journal);
        let proof = lease.proof().await?;
        let done = self.actor().repoint(&proof, look, &is_ours, &look.keys()[to], consumers).await;
        let (written, failed): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
        let mut apps: Vec<AppId> = Vec::new();
        let now = self.rekey.clock.now();
        for Rewrite { app, section, settings } in written.into_iter().flatten() {
            apps.push(app.clone());
            *self.writes.entry((app.clone(), section)).or_default() += 1;
            look.written(app, section, settings, now);
        }
        apps.sort();
        apps.dedup();
        if !apps.is_empty() {
            self.record(lease, Event::Repointed { key_type: to, apps, repaired: repair })?;
        }
        let failed = failed.into_iter().filter_map(Result::err);
        // What the proof left no time for is not given up while the run has time: it is decided anew.
        let in_time = now < self.run.deadline;
        let (late, failed): (Vec<RewriteError>, Vec<_>) =
            failed.partition(|error| in_time && error.is_late());
        late.iter().for_each(|error| self.say_once(&cause::told(error)));
        Ok(failed)
    }

    async fn regenerate(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        key_type: KeyType,
    ) -> Result<(), RunError> {
        self.record(lease, Event::RegenerationIntended { key_type })?;
        let proof = lease.proof().await?;
        match self.actor().regenerate(&proof, look.oldest(), key_type).await {
            Ok(regeneration) => self.accepted(lease, look, key_type, regeneration).await,
            Err(error) => self.not_accepted(lease, error).await,
        }
    }

    /// Azure took it on, and mostly answers with an operation to follow (202); a 200 says that it is done.
    async fn accepted(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        key_type: KeyType,
        answer: Regeneration,
    ) -> Result<(), RunError> {
        let promised = answer.keys.as_ref().map(|keys| keys[key_type].fingerprint());
        let done = answer.finished;
        self.record(lease, Event::RegenerationAccepted { operation: answer.operation, promised })?;
        lease.commit().await?;
        if done {
            return self.finish(lease, look, None).await;
        }
        Ok(())
    }

    /// Where the request surely came to nothing, the journal says so. Where nobody knows, the intent stays on record
    /// and the next looks tell (invariant 4).
    async fn not_accepted(&mut self, lease: &mut Lease, error: ArmError) -> Result<(), RunError> {
        if error.kind() != ArmErrorKind::OutcomeUnknown {
            let Failure { detail, lasting } = Failure::from(&error);
            self.record(lease, Event::RegenerationFailed { detail, lasting })?;
            lease.commit().await?;
        }
        match error.kind() {
            // Our time to send was over, not that of the run: a later look begins anew.
            ArmErrorKind::OutOfTime if self.rekey.clock.now() < self.run.deadline => {
                self.say(&cause::told(&error));
                Ok(())
            }
            // Azure is busy with another regeneration, or with too many requests: waiting is all there is to do.
            ArmErrorKind::Conflict | ArmErrorKind::Throttled { .. } | ArmErrorKind::OutcomeUnknown => {
                self.say(&cause::told(&error));
                Ok(())
            }
            _ => Err(error.into()),
        }
    }

    /// Asks how the regeneration under way goes until it ends, somebody calls, or this run has waited for long enough.
    async fn follow(&mut self, lease: &mut Lease, look: &mut Look) -> Result<Option<Decision>, RunError> {
        let Some(flight) = lease.journal().in_flight().cloned() else { return Ok(None) };
        let InFlight { operation: Some(operation), promised, .. } = &flight else { return Ok(None) };
        let mut asked = 0;
        let done = loop {
            let progress = self.actor().poll(operation, asked).await;
            asked += 1;
            let overdue = plan::is_overdue(&flight, &self.instance.policy, self.rekey.clock.now());
            match progress {
                Ok(Progress::Succeeded) => break self.finish(lease, look, None).await,
                Ok(Progress::Failed(failure)) => break self.finish(lease, look, Some(failure)).await,
                Ok(Progress::Lost(error)) => {
                    break self.ask_no_more(lease, look, promised.clone(), &cause::told(&error)).await;
                }
                Ok(Progress::Running(_)) if overdue => {
                    let why = words::RUNS_TOO_LONG;
                    break self.ask_no_more(lease, look, promised.clone(), why).await;
                }
                Err(error) if overdue && error.kind() != ArmErrorKind::OutOfTime => {
                    break self.ask_no_more(lease, look, promised.clone(), &cause::told(&error)).await;
                }
                Err(error) => return Err(error.into()),
                Ok(Progress::Running(wait)) => {
                    let next = self.rekey.clock.now() + delta(wait);
                    if next >= self.run.deadline {
                        return Err(RunError::OutOfTime);
                    }
                    if !self.waits(next) {
                        return Ok(Some(self.still_running(&flight)));
                    }
                    let woken = self.rest(lease, next).await?;
                    if self.hear(lease).await || woken {
                        // Whatever is found is decided on anew: repairing comes before following.
                        look.refresh(self.eyes(), self.instance, TimeDelta::zero()).await?;
                        break Ok(());
                    }
                }
            }
        };
        done.map(|()| None)
    }

    /// What is waited for where a regeneration takes longer than this run does.
    fn still_running(&self, flight: &InFlight) -> Decision {
        let until = flight.intended + delta(self.instance.policy.longest_operation);
        Decision::Waiting { reason: WaitFor::Operation { key_type: flight.key_type }, until }
    }

    /// Whether another run has called since one last answered a call. It is answered when everything was checked. A call that
    /// cannot be read is not answered, and the notice behind it comes again.
    pub(super) async fn hear(&mut self, lease: &Lease) -> bool {
        match store::calls(&*self.rekey.store, &self.instance.id).await {
            Ok(call) if call > lease.journal().heard() => {
                self.called = Some(call);
                true
            }
            Ok(_) => false,
            Err(error) => {
                let why = cause::told(&error);
                tracing::warn!("{}", words::not_heard(&why));
                false
            }
        }
    }

    /// The operation's URL is of no use (any more): the keys tell what became of it, as where it was never learned.
    async fn ask_no_more(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        promised: Option<Fingerprint>,
        why: &str,
    ) -> Result<(), RunError> {
        self.say(&words::not_asked_any_more(why));
        self.record(lease, Event::RegenerationAccepted { operation: None, promised })?;
        lease.commit().await?;
        // What they tell is told by the keys of now, not by those of before the operation was followed.
        Ok(look.read_keys(self.eyes(), self.instance).await?)
    }

    /// An operation ended: what became of it is read off the keys, for the first of two overlapping regenerations
    /// may report success without having rotated.
    async fn finish(
        &mut self,
        lease: &mut Lease,
        look: &mut Look,
        failure: Option<Failure>,
    ) -> Result<(), RunError> {
        let Some(flight) = lease.journal().in_flight().cloned() else { return Ok(()) };
        look.read_keys(self.eyes(), self.instance).await?;
        let fingerprint = look.keys()[flight.key_type].fingerprint();
        let event = if fingerprint == flight.prior {
            let unchanged = || {
                let detail = words::UNCHANGED_SUCCESS.to_owned();
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
        look: &mut Look,
        key_type: KeyType,
    ) -> Result<(), RunError> {
        let proof = self.actor().prove(look.host(), &look.keys()[key_type]).await;
        let event = match proof {
            Proof::Accepted => Event::Verified { key_type },
            Proof::Refused(detail) => Event::VerificationRefused { key_type, detail },
        };
        self.record(lease, event)?;
        Ok(lease.keep().await?)
    }
}
