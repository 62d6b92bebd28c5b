//! What has happened in a run so far: its events, told as they come, and the fold of them. Whatever a run goes by later is
//! in here, and changes in one place.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::Narrator;
use crate::azure::consumers::Place;
use crate::report::{Ending, RunEvent, RunReport};
use rekey_core::intent::{Cause, Claim, Intent, Known, RotationRequest};
use rekey_core::journal::Event;
use rekey_core::model::ServiceId;
use rekey_core::plan::{Approving, CutOff, Forecast, Snapshot};

/// The events of one run over one service.
pub(super) struct RunLog {
    service: ServiceId,
    narrator: Narrator,
    started: DateTime<Utc>,
    events: Vec<RunEvent>,
    recorded: Vec<Event>,
    /// Of each rotation that was over, whether nothing is left to be done.
    rotations: Vec<bool>,
    /// When something was last done.
    progressed: DateTime<Utc>,
    /// When the last stale app was written.
    repaired: Option<DateTime<Utc>>,
    /// That a key was regenerated, as long as nothing explains it.
    claim: Option<Claim>,
    /// The rotation that is asked for, until it is judged.
    rotation: Option<RotationRequest>,
    /// When one that was asked for too soon may be asked for again.
    postponed: Option<DateTime<Utc>>,
    /// Whether the announced times are on record; and one that cannot be watched.
    assessed: bool,
    unwatched: Option<DateTime<Utc>>,
    /// Another run's call after which everything is to be checked before it is answered.
    called: Option<u64>,
    known: Option<Known>,
    /// What the last check showed, and who is cut off as far as it was read: Azure's answer to a write is no sight of who was
    /// written.
    seen: Option<Snapshot>,
    cut_off: Vec<CutOff>,
    /// Whether somebody may be cut off, and no check has shown yet who.
    alarmed: bool,
    /// The approvals that an event gives, until they are judged.
    approvals: BTreeSet<Approving>,
    /// What the rotation would do that waits for an approval.
    foreseen: Option<Forecast>,
    /// How often Azure was asked about the regeneration under way.
    polls: usize,
    /// Whether its log was asked who wrote an old string back.
    writers_asked: bool,
    /// How often each place was written.
    writes: BTreeMap<Place, u32>,
    /// Why a document of evidence could not be written, and whether that passes by itself.
    unproved: Option<(String, bool)>,
}

impl RunLog {
    /// Nothing has happened yet.
    pub(super) fn new(service: ServiceId, intent: &Intent, narrator: Narrator, now: DateTime<Utc>) -> Self {
        Self {
            service,
            narrator,
            started: now,
            events: Vec::new(),
            recorded: Vec::new(),
            rotations: Vec::new(),
            progressed: now,
            repaired: None,
            claim: intent.claim,
            rotation: intent.rotation,
            postponed: None,
            assessed: false,
            unwatched: None,
            called: None,
            known: None,
            seen: None,
            cut_off: Vec::new(),
            alarmed: false,
            approvals: intent.approvals.clone(),
            foreseen: None,
            polls: 0,
            writers_asked: false,
            writes: BTreeMap::new(),
            unproved: None,
        }
    }

    /// Takes an event in, and tells it where people would want to know.
    pub(super) fn emit(&mut self, event: RunEvent, now: DateTime<Utc>) {
        if event.is_told() {
            if event.is_warning() {
                tracing::warn!("{event}");
            } else {
                tracing::info!("{event}");
            }
            self.events.push(event.clone());
        }
        (self.narrator)(&self.service, &event);
        self.fold(event, now);
    }

    /// The same for what is told once in a run.
    pub(super) fn emit_once(&mut self, event: RunEvent, now: DateTime<Utc>) {
        if !self.events.iter().any(|told| told.says_the_same(&event)) {
            self.emit(event, now);
        }
    }

    fn fold(&mut self, event: RunEvent, now: DateTime<Utc>) {
        if event.is_progress() {
            self.progressed = now;
        }
        match event {
            RunEvent::Recorded { event, .. } => self.record(event, now),
            RunEvent::Covered(_) => self.rotation = None,
            RunEvent::Postponed { until } => (self.rotation, self.postponed) = (None, Some(until)),
            RunEvent::Known(known) => self.known = Some(known),
            RunEvent::Checked(snapshot) => self.see(*snapshot),
            RunEvent::Alarmed(alarmed) => self.alarmed = alarmed,
            RunEvent::CutOff(who) => self.cut_off = who,
            RunEvent::ClaimSettled => self.claim = None,
            RunEvent::Called { call } => self.called = Some(call),
            RunEvent::Assessed { unwatched } => {
                (self.assessed, self.unwatched) = (true, unwatched);
                self.approvals.clear();
            }
            RunEvent::Foreseen(forecast) => self.foreseen = Some(*forecast),
            RunEvent::RotationOver { finished } => self.rotations.push(finished),
            RunEvent::Polled => self.polls += 1,
            RunEvent::NotProved { why, passes } => self.unproved = Some((why, passes)),
            RunEvent::WritersAsked => self.writers_asked = true,
            RunEvent::Written { place, given } => self.write(place, given),
            RunEvent::Gone(_)
            | RunEvent::ChangedSince { .. }
            | RunEvent::Heeded { .. }
            | RunEvent::Unseen(_)
            | RunEvent::Waiting(_)
            | RunEvent::AppsNotRead { .. }
            | RunEvent::Watching { .. }
            | RunEvent::NotCalled { .. }
            | RunEvent::NotAccepted { .. }
            | RunEvent::Late { .. }
            | RunEvent::NotWritten { .. }
            | RunEvent::OperationLost(_)
            | RunEvent::StoodIn(_)
            | RunEvent::Hurries(_)
            | RunEvent::NotWellYet { .. }
            | RunEvent::TimerSilent { .. } => {}
        }
    }

    /// Azure accepted the write, but the app has not been read since: that is all that is known of it.
    fn write(&mut self, place: Place, given: bool) {
        for who in self.cut_off.iter_mut().filter(|_| given) {
            if let CutOff::Stale(consumer) = who
                && Place::of_consumer(consumer).as_ref() == Some(&place)
            {
                *who = CutOff::Unconfirmed(consumer.clone());
            }
        }
        *self.writes.entry(place).or_default() += 1;
    }

    fn record(&mut self, event: Event, now: DateTime<Utc>) {
        match &event {
            // The first check of a service asks for a rotation by itself: that is the one that the operator means.
            Event::RotationRequested { noticed, .. } => {
                self.rotation = self.rotation.filter(|asked| !noticed && asked.cause != Cause::Operator);
            }
            Event::KeyChanged { .. } => self.claim = None,
            Event::Repointed { repaired: true, .. } => (self.claim, self.repaired) = (None, Some(now)),
            Event::RegenerationAccepted { .. } => self.polls = 0,
            Event::Heard { .. } => self.called = None,
            Event::EvidenceKept { .. } => self.unproved = None,
            _ => {}
        }
        self.recorded.push(event);
    }

    fn see(&mut self, snapshot: Snapshot) {
        if !snapshot.echoed {
            self.cut_off = snapshot.cut_off();
            self.alarmed = false;
        }
        self.known = None;
        self.seen = Some(snapshot);
    }

    pub(super) const fn progressed(&self) -> DateTime<Utc> {
        self.progressed
    }

    pub(super) const fn claim(&self) -> Option<Claim> {
        self.claim
    }

    pub(super) const fn rotation(&self) -> Option<RotationRequest> {
        self.rotation
    }

    pub(super) const fn approvals(&self) -> &BTreeSet<Approving> {
        &self.approvals
    }

    pub(super) const fn postponed(&self) -> Option<DateTime<Utc>> {
        self.postponed
    }

    pub(super) const fn unwatched(&self) -> Option<DateTime<Utc>> {
        self.unwatched
    }

    /// Whether everything that was wanted is on record, or need not be.
    pub(super) const fn is_on_record(&self) -> bool {
        self.assessed && self.rotation.is_none() && self.postponed.is_none() && self.claim.is_none()
    }

    pub(super) fn unproved(&self) -> Option<(&str, bool)> {
        self.unproved.as_ref().map(|(why, passes)| (why.as_str(), *passes))
    }

    pub(super) const fn called(&self) -> Option<u64> {
        self.called
    }

    pub(super) const fn seen(&self) -> Option<&Snapshot> {
        self.seen.as_ref()
    }

    pub(super) fn cut_off(&self) -> &[CutOff] {
        &self.cut_off
    }

    /// Whether somebody is cut off, or may be.
    pub(super) fn is_in_need(&self) -> bool {
        self.alarmed || !self.cut_off.is_empty()
    }

    pub(super) const fn has_asked_who_wrote(&self) -> bool {
        self.writers_asked
    }

    pub(super) const fn polls(&self) -> usize {
        self.polls
    }

    pub(super) fn writes(&self, place: &Place) -> u32 {
        self.writes.get(place).copied().unwrap_or_default()
    }

    pub(super) fn report(self, run: String, ending: Ending, now: DateTime<Utc>) -> RunReport {
        let since = |at: DateTime<Utc>| (at - self.started).to_std().unwrap_or_default();
        RunReport {
            service: self.service,
            run,
            took: since(now),
            repaired_in: self.repaired.map(since),
            events: self.events,
            recorded: self.recorded,
            rotations: self.rotations,
            seen: self.seen,
            known: self.known,
            cut_off: self.cut_off,
            foreseen: self.foreseen,
            ending,
        }
    }
}
