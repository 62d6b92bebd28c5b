//! How a run waits: for its turn, for Azure, for a time, and for what is claimed or announced.
//!
//! Whoever waits is called by whoever finds something to repair meanwhile.

use std::future::ready;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;

use super::RunError;
use super::run::{Begin, Next, RESERVE, Run};
use crate::azure::arm::ArmError;
use crate::engine::check::Check;
use crate::report::text::run::not_heard;
use crate::report::{Ending, RunEvent, cause};
use crate::store::{self, Lease, StoreError};
use rekey_core::intent::{Source, are_on_record, is_alarming};
use rekey_core::journal::{Event, WATCHES, Watch};

/// How often a notice's run that finds another at work asks whether it is its turn.
const IN_TURN: TimeDelta = TimeDelta::milliseconds(500);

/// How long a run of the timer waits while nothing gets done. The longest regeneration on record took 74 s; what takes
/// longer, a grace period above all, is the next run's: a run that sits and waits is paid for by the second, and keeps the
/// Functions host from stopping.
const SIT: TimeDelta = TimeDelta::seconds(90);

/// How often keys are looked at in a time to watch. `listKeys` counts as a write, of which ARM gives back ten a second: one
/// in ten seconds is a hundredth of that.
const CLOSE: TimeDelta = TimeDelta::seconds(10);

impl Run<'_> {
    /// Another run is at work. Most likely what is told was its doing, and there is nothing to wait for. Else a notice's run
    /// waits for its turn as long as it has time: it calls that run, and is done when that run has put on record that it
    /// checked after the call, unless it has something of its own to see to. Any other run leaves it to that one, unless somebody
    /// is cut off: that one may have died, and then its lease is waited out.
    pub(super) async fn wait_in_turn(
        &mut self,
        begin: Begin,
        error: StoreError,
        keys: Option<Result<Check, ArmError>>,
    ) -> Result<Next, RunError> {
        if let Some(check) = keys {
            let journal = store::peek(&*self.engine.store, &self.service.id).await?;
            if self.is_known(&mut check?, &journal).await? {
                return Ok(Next::End(Ending::Known));
            }
        }
        let is_notice = self.intent().is_notice();
        let has_more = self.log.rotation().is_some() || self.log.claim().is_some();
        let heard = match &error {
            StoreError::Held { holder, heard, .. } => {
                begin.call.is_some_and(|call| call <= *heard).then_some(holder)
            }
            _ => None,
        };
        if let Some(holder) = heard.filter(|_| is_notice && !has_more) {
            return Ok(Next::End(Ending::HandedOver { holder: holder.clone() }));
        }
        if !is_notice && (heard.is_some() || !self.log.is_in_need()) {
            self.look_past().boxed().await?;
        }
        let (again, waits) = (self.now() + IN_TURN, is_notice || self.log.is_in_need());
        if !waits || again >= self.order.deadline || self.engine.stop.is_asked() {
            return Err(error.into());
        }
        let call = match begin.call {
            None => self.call().await,
            call => call,
        };
        Ok(Next::Again { at: Some(again), begin: Begin { call, asks_first: false, ..begin } })
    }

    /// Looks, past another run's lease, whether somebody is cut off, and who. Mostly the keys tell that nobody is.
    async fn look_past(&mut self) -> Result<(), RunError> {
        let journal = store::peek(&*self.engine.store, &self.service.id).await?;
        let keys = Check::of_keys(self.reader(), self.service).await?;
        let alarming = is_alarming(&keys.fingerprints(), &journal);
        self.emit(RunEvent::Alarmed(alarming));
        if !alarming {
            self.emit(RunEvent::CutOff(vec![]));
            return Ok(());
        }
        let mut check = Check::of_all(ready(Ok(keys)), self.reader(), self.service).await?;
        check.complete(self.reader(), self.service, &journal).await?;
        self.see(&check, &check.snapshot(self.service, &journal));
        Ok(())
    }

    /// Calls the run at work, in whatever process it is; the number of the call, if it could be written.
    async fn call(&mut self) -> Option<u64> {
        let call = store::call(&*self.engine.store, &self.service.id).await;
        self.engine.calls.call(&self.service.id);
        if let Err(error) = &call {
            self.emit_once(RunEvent::NotCalled { why: cause::told(error) });
        }
        call.ok()
    }

    /// Whether a wait is short enough for this run.
    pub(super) fn waits(&self, until: DateTime<Utc>) -> bool {
        let sits = self.intent().source != Source::Timer || until <= self.log.progressed() + SIT;
        !self.intent().only_repairs() && until < self.order.deadline && sits
    }

    /// Waits with the lease, and then reads again what is older than `age`; all of it if another run called meanwhile, for
    /// whatever is found is decided on anew: repairing comes before all else. Whether one called.
    pub(super) async fn rest_and_hear(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        until: DateTime<Utc>,
        age: Option<TimeDelta>,
    ) -> Result<bool, RunError> {
        let woken = self.rest(lease, until).await?;
        if self.engine.stop.is_asked() {
            return Ok(woken);
        }
        let called = self.hear(lease).await || woken;
        if let Some(age) = if called { Some(TimeDelta::zero()) } else { age } {
            check.refresh(self.reader(), self.service, age).await?;
        }
        Ok(called)
    }

    /// Reads what was written a moment ago: Azure's answer to a write is only what was asked for, and another writer may have
    /// replaced it since, with what he read before. A run does not end well on Azure's word that it wrote what it was told.
    pub(super) async fn read_back(&mut self, lease: &mut Lease, check: &mut Check) -> Result<(), RunError> {
        let until = self.now() + check.settles_in();
        if until >= self.order.deadline {
            return Err(RunError::OutOfTime);
        }
        self.rest(lease, until).await?;
        Ok(check.read_back(self.reader(), self.service).await?)
    }

    /// Waits, with the lease. Whether somebody called before the time was over:
    /// then there is something to check, or it was asked to stop.
    async fn rest(&mut self, lease: &mut Lease, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let clock = &self.engine.clock;
        let mut called = false;
        while !called && clock.now() < until {
            tokio::select! {
                biased;
                () = self.engine.stop.asked() => called = true,
                () = self.engine.calls.called(&self.service.id) => called = true,
                () = clock.sleep_until(until.min(lease.renew_at())) => {}
            }
            lease.keep().await?;
        }
        Ok(called)
    }

    /// Whether another run has called since one last answered a call. It is answered when everything was checked. A call that
    /// cannot be read is not answered, and the notice behind it comes again.
    pub(super) async fn hear(&mut self, lease: &Lease) -> bool {
        match store::calls(&*self.engine.store, &self.service.id).await {
            Ok(call) if call > lease.journal().heard() => {
                self.emit(RunEvent::Called { call });
                true
            }
            Ok(_) => false,
            Err(error) => {
                let why = cause::told(&error);
                tracing::warn!("{}", not_heard(&why));
                false
            }
        }
    }

    /// What is claimed and nothing explains: that a key was regenerated, though Azure lists those that were there before. It
    /// goes on record, so that the timer's runs check too, and the run looks as long as it may come true. Then everything is
    /// checked once more: what did not come true was nothing, but others may have found something meanwhile.
    pub(super) async fn await_claim(&mut self, ending: Ending) -> Result<Next, RunError> {
        let now = self.now();
        let until = self.log.claim().map(|claim| claim.shows_until(now)).filter(|until| now < *until);
        let Some(until) = until else { return Ok(Next::End(ending)) };
        self.put_on_record(until).await?;
        let changed = self.watch_closely(Watch { from: self.now(), until, keys: None }).await?;
        if !changed && self.now() < until {
            return Ok(Next::End(Ending::Awaited { until }));
        }
        self.emit(RunEvent::ClaimSettled);
        Ok(Next::Again { at: None, begin: Begin::default() })
    }

    async fn put_on_record(&self, until: DateTime<Utc>) -> Result<(), RunError> {
        let now = self.now();
        let covers = |watch: &Watch| watch.from <= now && until <= watch.until + RESERVE;
        let draft = match self.read().await {
            Ok(draft) if draft.journal().watches().iter().any(covers) => return Ok(()),
            Ok(draft) if draft.journal().watches().len() >= WATCHES => return Ok(()),
            Ok(draft) => draft,
            // Who has it looks himself, or the next delivery does.
            Err(StoreError::Held { .. } | StoreError::StrangeLease { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match draft.take(&self.order.holder).await {
            Ok(mut lease) => {
                lease.record(Event::WatchAsked { from: now, until, keys: None })?;
                Ok(lease.release().await?)
            }
            Err(StoreError::Changed | StoreError::Held { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks at the keys every few seconds, without the lease, until they are no longer those on record, or those that this run has seen, the time to watch or that of this run is over, or it is asked to stop. Whether there is
    /// something to do.
    pub(super) async fn watch_closely(&mut self, watch: Watch) -> Result<bool, RunError> {
        let told = Watch { from: watch.from.max(self.now()), until: watch.until, keys: watch.keys };
        let every = CLOSE.to_std().unwrap_or_default();
        self.emit_once(RunEvent::Watching { watch: told, every });
        let until = watch.until.min(self.order.deadline - RESERVE);
        while self.now() < until {
            let next = watch.from.max(self.now() + CLOSE).min(until);
            if self.is_called_away(next).await {
                return Ok(false);
            }
            let check = Check::of_keys(self.reader(), self.service).await?;
            let journal = store::peek(&*self.engine.store, &self.service.id).await?;
            // Another run may have put a key on record and not repaired its holders: it is news to this one all the same.
            let listed = check.fingerprints();
            let is_news = self.log.seen().is_some_and(|seen| seen.keys != listed);
            if is_news || !are_on_record(&listed, &journal) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits, and is called away by who asks the process to stop, or by another notice that waits behind this one's run.
    async fn is_called_away(&mut self, until: DateTime<Utc>) -> bool {
        let (engine, is_notice) = (self.engine, self.intent().is_notice());
        let called = async {
            if is_notice { engine.calls.called(&self.service.id).await } else { std::future::pending().await }
        };
        let away = tokio::select! {
            biased;
            () = engine.stop.asked() => true,
            () = called => true,
            () = engine.clock.sleep_until(until) => false,
        };
        away
    }

    /// Waits without the lease, or until it is asked to stop.
    pub(super) async fn pause(&mut self, until: DateTime<Utc>) {
        tokio::select! {
            biased;
            () = self.engine.stop.asked() => {}
            () = self.engine.clock.sleep_until(until) => {}
        }
    }
}
