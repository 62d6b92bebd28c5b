//! What is wanted of one service: one type, from the trigger to the journal.
//!
//! Start at [`Intent`]. A trigger makes one (the timer, the operator, or what [`classify`](crate::notice::classify) says that
//! an event means), intents of one service [merge](Intent::merge), a run serves it, and what it asks for goes on record as
//! journal events. An intent chooses no key, no consumer and no value: it may cause a check, or one rate-limited rotation.

mod delivery;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

pub use delivery::{Caution, Configured, Delivery, Fault, Foreseen, Oddity, delivery, foresee};

use crate::journal::{Held, Journal, KeyRecord, Origin};
use crate::model::{ConsumerId, Fingerprint, PerKey};
use crate::plan::{Agreement, Approving, Deadline, Holding, Snapshot, agreement};

/// How long the event of a regeneration may take to reach us; most come within seconds, and those that were not taken at
/// once again within minutes (docs: Event Grid message delivery and retry).
const LATELY: TimeDelta = TimeDelta::minutes(15);

/// How far Azure's clocks and ours may be apart.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// How long after its event a regeneration comes into effect at the latest: the longest on record took 74 s.
const IN_EFFECT: TimeDelta = TimeDelta::minutes(3);

/// How long after the intent the event of a regeneration of ours may happen: the longest on record took 74 s.
const OURS: TimeDelta = TimeDelta::minutes(2);

/// What is wanted of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Who wants it.
    pub source: Source,
    /// An event says that a key was regenerated.
    pub claim: Option<Claim>,
    /// Something happened to these consumers.
    pub consumers: BTreeSet<ConsumerId>,
    /// Something happened that only a check of everything can tell.
    pub everything: bool,
    /// A rotation is asked for, whatever the age of the keys.
    pub rotation: Option<RotationRequest>,
    /// When keys are going to be regenerated, as far as that was announced.
    pub deadlines: BTreeSet<Deadline>,
    /// The rotations that are said to be approved. They are put on record, and begun by the timer.
    pub approvals: BTreeSet<Approving>,
}

/// Who wants something, and with that how a run may go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The timer: whatever is due. Its run does not sit and wait for what takes its time; the next one carries on.
    Timer,
    /// An operator, who waits until whatever is due is done.
    Operator,
    /// A notice that has found the timer silent: whatever is due, in the timer's place.
    StandIn,
    /// A notice: repairs, and a rotation if one is asked for.
    Notice,
}

/// That a key was regenerated, as an event says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When; unknown if one of the events does not say so.
    pub happened: Option<DateTime<Utc>>,
}

/// A rotation that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationRequest {
    pub cause: Cause,
    /// When that came about which it is asked for, if that is known: a rotation that was asked for since then is the one
    /// that is meant.
    pub since: Option<DateTime<Utc>>,
}

/// Why a rotation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The operator wants it.
    Operator,
    /// Somebody will regenerate these keys, and is to find them held by nobody.
    Announced {
        /// The keys that are named.
        keys: PerKey<bool>,
    },
    /// The keys are reported as compromised.
    Compromised,
}

/// How it is that what an intent tells is no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The journal explains it.
    Explained,
    /// It says that a key was regenerated, none changed lately, and Azure lists the keys that the journal knows: it may yet
    /// be under way, and listed when it is in effect.
    Puzzling,
}

impl Intent {
    fn of(source: Source) -> Self {
        Self {
            source,
            claim: None,
            consumers: BTreeSet::new(),
            everything: false,
            rotation: None,
            deadlines: BTreeSet::new(),
            approvals: BTreeSet::new(),
        }
    }

    /// Everything that is due, when the timer says so.
    pub fn timer() -> Self {
        Self::of(Source::Timer)
    }

    /// Everything that is due, for an operator who waits; with `now` a rotation whatever the age of the keys.
    pub fn operator(now: bool) -> Self {
        let rotation = now.then_some(RotationRequest { cause: Cause::Operator, since: None });
        Self { rotation, ..Self::of(Source::Operator) }
    }

    /// Everything that is due, in place of the timer.
    pub fn stand_in() -> Self {
        Self::of(Source::StandIn)
    }

    /// A check of everything, and repair.
    pub fn check() -> Self {
        Self { everything: true, ..Self::of(Source::Notice) }
    }

    /// A check because a key is said to have been regenerated.
    pub fn regenerated(happened: Option<DateTime<Utc>>) -> Self {
        Self { claim: Some(Claim { happened }), ..Self::of(Source::Notice) }
    }

    /// A check because something happened to these consumers.
    pub fn changed(consumers: BTreeSet<ConsumerId>) -> Self {
        Self { consumers, ..Self::of(Source::Notice) }
    }

    /// A rotation that a notice asks for.
    pub fn rotation(cause: Cause, since: Option<DateTime<Utc>>) -> Self {
        Self { rotation: Some(RotationRequest { cause, since }), ..Self::of(Source::Notice) }
    }

    /// That somebody approves a rotation: where the journal alone does not answer it, it is judged by a check of everything.
    pub fn approval(approving: Approving) -> Self {
        Self { approvals: BTreeSet::from([approving]), ..Self::of(Source::Notice) }
    }

    /// Takes in what another notice wants of the same service.
    pub fn merge(&mut self, other: Self) {
        let Self { source: _, claim, consumers, everything, rotation, deadlines, approvals } = other;
        self.claim = match (self.claim, claim) {
            (Some(one), Some(other)) => {
                Some(Claim { happened: one.happened.zip(other.happened).map(|(one, other)| one.max(other)) })
            }
            (one, other) => one.or(other),
        };
        self.consumers.extend(consumers);
        self.everything |= everything;
        self.rotation = merged(self.rotation, rotation);
        self.deadlines.extend(deadlines);
        self.approvals.extend(approvals);
    }

    /// Whether stale consumers are repaired, and nothing else is done.
    pub fn only_repairs(&self) -> bool {
        self.source == Source::Notice && self.rotation.is_none()
    }

    /// Whether a notice is behind it, whose sender waits for the answer and knows no better time.
    pub const fn is_notice(&self) -> bool {
        matches!(self.source, Source::Notice | Source::StandIn)
    }

    /// Whether its run stays for the times in which keys are to be watched.
    pub const fn stays_to_watch(&self) -> bool {
        matches!(self.source, Source::Timer | Source::StandIn)
    }

    /// Whether the keys and the consumers that it names show nothing that the journal does not explain. While something is
    /// out of sight nothing is explained: who answers well that nothing happened has checked everything.
    pub fn is_known(&self, snapshot: &Snapshot, journal: &Journal) -> bool {
        let keys = journal.keys().filter(|_| self.may_be_known(&snapshot.keys, journal));
        keys.is_some_and(|keys| in_order(snapshot, keys))
    }

    /// Whether that hangs on the consumers: the keys alone show nothing new.
    pub fn may_be_known(&self, listed: &PerKey<Fingerprint>, journal: &Journal) -> bool {
        let all_in_sight = !journal.is_blind() && !journal.is_missing();
        let repaired = self.claim.is_none() || !journal.is_unrepaired();
        !self.everything && all_in_sight && repaired && are_on_record(listed, journal)
    }
}

/// The graver of two requests. What happened last counts: a rotation that was asked for before it is not enough.
fn merged(one: Option<RotationRequest>, other: Option<RotationRequest>) -> Option<RotationRequest> {
    let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
    let cause = match (one.cause, other.cause) {
        (Cause::Announced { keys: these }, Cause::Announced { keys: those }) => {
            Cause::Announced { keys: PerKey::from_fn(|key_type| these[key_type] || those[key_type]) }
        }
        (Cause::Compromised, _) | (_, Cause::Compromised) => Cause::Compromised,
        (Cause::Operator, cause) | (cause, Cause::Operator) => cause,
    };
    let since = one.since.zip(other.since).map(|(one, other)| one.max(other));
    Some(RotationRequest { cause, since })
}

impl Claim {
    /// Until when it may show. What does not say when it happened, or says a time to come, may have happened now.
    pub fn shows_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let happened = self.happened.filter(|at| *at <= now + SKEW).unwrap_or(now);
        happened.checked_add_signed(IN_EFFECT).unwrap_or(happened)
    }

    /// Whether it is still open: the time in which it may show is not over, and the journal does not explain it.
    pub fn is_open(&self, journal: &Journal, now: DateTime<Utc>) -> bool {
        now < self.shows_until(now) && !changed_lately(journal, self.happened, now)
    }
}

/// Whether a check of the keys shows a change that the journal does not know, or knows and has not seen repaired: somebody
/// may be cut off.
pub fn is_alarming(listed: &PerKey<Fingerprint>, journal: &Journal) -> bool {
    journal.is_unrepaired() || (journal.keys().is_some() && !are_on_record(listed, journal))
}

/// Whether the keys that Azure lists are those on record; nothing on record explains none.
pub fn are_on_record(listed: &PerKey<Fingerprint>, journal: &Journal) -> bool {
    agreement(listed, journal) == Agreement::Explained
}

/// Whether a regeneration of ours is under way, or a key changed so lately that the event of it may be on its way still. An
/// event of something that happened after that is not the event of it.
fn changed_lately(journal: &Journal, happened: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let until = |end: DateTime<Utc>| happened.is_none_or(|happened| happened <= end);
    let lately = |record: &KeyRecord| {
        record.origin != Origin::FirstSeen && now < record.created + LATELY && until(record.created + SKEW)
    };
    let made = |keys: &PerKey<KeyRecord>| keys.iter().any(|(_, record)| lately(record));
    journal.in_flight().is_some_and(|flight| until(flight.intended + OURS))
        || journal.keys().is_some_and(made)
}

/// Whether the consumers that were looked at hold keys that the journal knows to be held, and nothing is out of sight.
fn in_order(snapshot: &Snapshot, keys: &PerKey<KeyRecord>) -> bool {
    let fits = |holding: &Holding| match holding {
        Holding::Valid(key_type) => keys[*key_type].held == Held::Now,
        Holding::Stale(_) => false,
        Holding::Identity => true,
    };
    let seen = snapshot.unknown.is_empty() && snapshot.gone.is_empty();
    seen && snapshot.consumers.iter().all(|consumer| fits(&consumer.holds))
}
