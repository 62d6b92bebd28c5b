//! A run over one service: what it is made of, and what its attempts, steps and waits have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::act::Actor;
use super::check::{Check, Going, Reader};
use super::log::RunLog;
use super::{Engine, Order, RunError};
use crate::azure::arm::{Arm, ArmError, Urgency};
use crate::azure::consumers::Place;
use crate::config::ServiceConfig;
use crate::report::{Ending, RunEvent};
use crate::store::{Draft, ETag, Lease, Locker, StoreError};
use rekey_core::intent::{Intent, Known, Source, is_alarming};
use rekey_core::journal::{Event, Journal, Watch};
use rekey_core::model::{ConsumerId, Fingerprint, Key};
use rekey_core::plan::{self, Approving, Decision};

/// What is left of a run's time when it looks for the last time, so that it may begin to repair what it finds.
pub(super) const RESERVE: TimeDelta = TimeDelta::seconds(5);

/// One run over one service.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) order: &'a Order,
    pub(super) service: &'a ServiceConfig,
    pub(super) arm: Arm,
    pub(super) log: RunLog,
    /// Whether it has begun to change something.
    pub(super) acts: bool,
    /// What it has set going, while another has the lease.
    pub(super) going: Going,
    /// The journal as the run knows it, for who looks.
    pub(super) journal: Option<Journal>,
    /// The keys that it replaced, until it is known that they are dead. They are nowhere else.
    pub(super) old_keys: BTreeMap<Fingerprint, OldKey>,
}

/// A key that was replaced, and how often it was tried.
#[derive(Debug)]
pub(super) struct OldKey {
    pub(super) key: Key,
    pub(super) calls: u32,
    /// When it was first tried.
    pub(super) since: Option<DateTime<Utc>>,
}

/// How an attempt begins.
#[derive(Clone, Copy, Default)]
pub(super) struct Begin {
    /// Whether to ask first whether what is told is news.
    pub(super) asks_first: bool,
    /// The number of our call to the run at work, where one was made.
    pub(super) call: Option<u64>,
    /// How often somebody wrote the journal between check and lease.
    pub(super) overtaken: u32,
}

/// How a run goes on after an attempt.
pub(super) enum Next {
    /// Not at all.
    End(Ending),
    /// With another attempt; at once, if no time is given.
    Again { at: Option<DateTime<Utc>>, begin: Begin },
    /// By looking at the keys for a while; and to this end, if they stay what they are.
    Watch { watch: Watch, ending: Ending },
}

/// What follows a step.
pub(super) enum Then {
    /// It is assessed anew what there is to do.
    Assess,
    /// The same, after a wait with the lease.
    Rest { until: DateTime<Utc> },
    /// It goes on without this run: that is what is waited for.
    Leave(Decision),
}

impl<'a> Run<'a> {
    pub(super) fn new(engine: &'a Engine, order: &'a Order, service: &'a ServiceConfig) -> Self {
        let (narrator, now) = (Arc::clone(&engine.narrator), engine.clock.now());
        let run = Self {
            engine,
            order,
            service,
            arm: engine.arm.in_turn().until(order.deadline),
            log: RunLog::new(service.id.clone(), &order.intent, narrator, now),
            acts: false,
            going: Going::default(),
            journal: None,
            old_keys: BTreeMap::new(),
        };
        run.arm.set_urgency(run.urgency());
        run
    }

    /// Reads the journal.
    pub(super) async fn read(&self) -> Result<Draft, StoreError> {
        let (store, clock) = (Arc::clone(&self.engine.store), Arc::clone(&self.engine.clock));
        let draft = Draft::read(store, clock, &self.service.id, &self.order.holder).await?;
        self.knows_journal(draft.version().cloned());
        Ok(draft)
    }

    /// Takes down for the next run the version of the journal that is there.
    pub(super) fn knows_journal(&self, version: Option<ETag>) {
        self.engine.remembered.note(&self.service.id, |memory| memory.journal = version);
    }

    /// Checks everything, side by side with what that will most likely lead to: what is on record, and what the last check of
    /// this process was led to.
    pub(super) async fn check_all(
        &self,
        keys: impl Future<Output = Result<Check, ArmError>>,
        journal: &Journal,
    ) -> Result<Check, ArmError> {
        Check::of_all(keys, self.reader(), self.service, journal, self.led_to()).await
    }

    /// What the last check of this process was led to by what it read.
    pub(super) fn led_to(&self) -> BTreeSet<Place> {
        self.engine.remembered.of(&self.service.id).led_to
    }

    /// Whether the keys, and the consumers that the intent names, show nothing that the journal does not explain.
    pub(super) async fn is_known(&mut self, check: &mut Check, journal: &Journal) -> Result<bool, RunError> {
        let now = self.now();
        let judged = |approving: &Approving| {
            let heeded = plan::heeded_by_record(approving, journal, &self.service.policy, now)?;
            Some((approving.key.clone(), heeded))
        };
        let approvals = self.log.approvals();
        let heeded: Vec<_> = approvals.iter().filter_map(judged).collect();
        // One that is to be judged needs a check of everything.
        if heeded.len() < approvals.len() {
            return Ok(false);
        }
        self.settle_claim(journal);
        let intent = self.intent();
        if !intent.may_be_known(&check.fingerprints(), journal) {
            return Ok(false);
        }
        let apps = self
            .service
            .apps
            .iter()
            .filter(|app| intent.consumers.contains(&ConsumerId::from(&app.id)))
            .cloned();
        let named = ServiceConfig { apps: apps.collect(), ..self.service.clone() };
        check.complete_named(self.reader(), &named).await?;
        let known = self.intent().is_known(&check.snapshot(&named, journal), journal);
        if known {
            let claimed = self.log.claim().is_some();
            self.emit(RunEvent::Known(if claimed { Known::Puzzling } else { Known::Explained }));
            heeded.into_iter().for_each(|(key, heeded)| self.emit(RunEvent::Heeded { key, heeded }));
        }
        Ok(known)
    }

    /// Whether it is claimed that a key was regenerated, and the journal does not explain it.
    pub(super) fn is_claimed(&self, journal: &Journal) -> bool {
        self.log.claim().is_some_and(|claim| claim.is_open(journal, self.now()))
    }

    /// Lets go of the claim that a key was regenerated, if the journal explains it, or the time in which it may show is over.
    pub(super) fn settle_claim(&mut self, journal: &Journal) {
        if self.log.claim().is_some() && !self.is_claimed(journal) {
            self.emit(RunEvent::ClaimSettled);
        }
    }

    /// What is listed. Where it shows that somebody may be cut off, the apps that are read side by side with it are urgent.
    pub(super) async fn heeded(
        &self,
        keys: impl Future<Output = Result<Check, ArmError>>,
        journal: &Journal,
    ) -> Result<Check, ArmError> {
        let check = keys.await?;
        if is_alarming(&check.fingerprints(), journal) {
            self.arm.set_urgency(Urgency::Repair);
        }
        Ok(check)
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        // From a key that changed until the end of the run: who is found stale is to be repaired first.
        let in_need = self.intent().is_notice() || self.log.is_in_need();
        Reader { arm: &self.arm, clock: &*self.engine.clock, in_need }
    }

    /// What its requests are for, among those of all runs.
    fn urgency(&self) -> Urgency {
        let is_notice = self.intent().source == Source::Notice;
        // Who is out of sight may be cut off, if somebody is told to be.
        let is_blind = || self.log.seen().is_some_and(|seen| !seen.unknown.is_empty());
        if self.log.is_in_need() || (is_notice && is_blind()) {
            Urgency::Repair
        } else if self.acts {
            Urgency::Rotation
        } else if is_notice {
            Urgency::Notice
        } else {
            Urgency::Check
        }
    }

    pub(super) fn actor(&self) -> Actor<'_> {
        Actor {
            arm: &self.arm,
            data_plane: &self.engine.data_plane,
            clock: &*self.engine.clock,
            locks: Locker {
                locks: &self.engine.app_locks,
                store: &*self.engine.store,
                clock: &self.engine.clock,
                run: &self.order.holder,
                service: &self.service.id,
            },
            instance: self.service,
            own_site: self.engine.config.own_site.as_deref(),
            deadline: self.order.deadline,
        }
    }

    pub(super) fn intent(&self) -> &'a Intent {
        &self.order.intent
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.engine.clock.now()
    }

    pub(super) fn emit(&mut self, event: RunEvent) {
        let now = self.now();
        self.log.emit(event, now);
        self.arm.set_urgency(self.urgency());
    }

    pub(super) fn emit_once(&mut self, event: RunEvent) {
        let now = self.now();
        self.log.emit_once(event, now);
    }

    pub(super) fn record(&mut self, lease: &mut Lease, event: Event) -> Result<(), RunError> {
        let in_flight = lease.journal().in_flight().map(|flight| flight.key_type);
        lease.record(event.clone())?;
        self.emit(RunEvent::Recorded { event, in_flight });
        Ok(())
    }
}
