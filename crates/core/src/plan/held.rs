//! What holds back a rotation that is due: a pause, an approval that nobody gave yet, a window that is not open.
//!
//! Start at [`View::unless_held`]. Nothing else is held back, so that none of it can leave a consumer with an invalid key: no
//! repair, no regeneration under way, no proof, and no end of a key that was left.

use chrono::{DateTime, TimeDelta, Utc};

use super::{BlockedBy, Decision, Due, Snapshot, Step, View, WaitFor, announced, safety};
use crate::journal::{Approval, Event, Held, Journal, KeyRecord};
use crate::model::{Fingerprint, KeyType, PerKey};
use crate::policy::{ApprovalPolicy, Policy};
use crate::time::delta;

/// How long an approval may begin a rotation, from the next window on: long enough that another window of every week lies in
/// it. An event that is delivered again after that approves nothing.
pub const APPROVED_FOR: TimeDelta = TimeDelta::days(7);

/// When a rotation may begin, by its windows and freezes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When it is due.
    pub due: DateTime<Utc>,
    /// When a window opens then; nothing if none ever does.
    pub opens: Option<DateTime<Utc>>,
    /// The same, if it is before the next rotation would be due: else the rotation is blocked until then.
    pub begins: Option<DateTime<Utc>>,
}

impl Opening {
    /// That of a rotation that is due then, from `from` on.
    pub fn of(due: DateTime<Utc>, from: DateTime<Utc>, policy: &Policy) -> Self {
        let calendar = policy.calendar();
        let from = from.max(due);
        let opens = calendar.opens(from);
        // It is measured from when the rotation could first have been done, so that nothing goes quiet as time passes.
        let since = if calendar.opens(due) == opens { due } else { from };
        let begins = opens.filter(|opens| *opens <= since + delta(policy.rotate_every));
        Self { due, opens, begins }
    }
}

/// Why a rotation does not wait for what holds back all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgent {
    /// A key that consumers hold is compromised.
    Compromised(KeyType),
    /// A key that consumers hold is announced to be regenerated, before what holds the rotation back is over.
    Announced { key_type: KeyType, at: DateTime<Utc> },
}

/// Whether a person is asked for his approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// No rotation is due, or it needs none.
    Nothing,
    For(Due),
    /// It was given, and holds.
    Given(Due, Approval),
}

/// That somebody approves a rotation, as an event says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Approving {
    /// The key that the rotation replaces.
    pub key: Fingerprint,
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// What became of an approval that an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heeded {
    /// It is on record, and holds until then.
    Recorded { until: DateTime<Utc> },
    /// The rotation was approved before.
    Already { by: String, at: DateTime<Utc> },
    /// That rotation is over: its key is in use no more.
    Over,
    /// The key is in use, and no rotation of it waits for an approval.
    NotAsked,
    /// It was given too long ago.
    Expired { at: DateTime<Utc> },
    /// It says that it was given at a time that is still to come. It would be good for ever: each time that it is sent again.
    Ahead { at: DateTime<Utc> },
    /// The service is not known to have had such a key.
    Unknown,
}

impl View<'_> {
    /// What moves consumers that work, or prepares for that, waits: for the end of a pause, for an approval, for a window.
    pub(super) fn unless_held(&self, decision: Decision) -> Decision {
        let moves = matches!(decision, Decision::Do(Step::Repoint { .. } | Step::Regenerate(_)));
        // A person is asked at once, and not when the grace that runs meanwhile is over, or the wait before it.
        let asks = matches!(
            decision,
            Decision::Waiting {
                reason: WaitFor::Grace(_) | WaitFor::Readers { .. } | WaitFor::Executions { .. },
                ..
            }
        );
        if !moves && !asks {
            return decision;
        }
        let Some(due) = self.due() else { return decision };
        let held = if self.urgent(&due).is_some() { None } else { self.hold(&due) };
        let held =
            held.map(|held| if self.is_rotation(&due) { held } else { going_home(held, due.key_type) });
        match held {
            Some(held) if moves || held.asks_for_approval() => held,
            _ => decision,
        }
    }

    /// Whether that is a rotation, and not the way home at the end of one.
    fn is_rotation(&self, due: &Due) -> bool {
        self.due_since(due.key_type).is_some()
    }

    /// The rotation that is due, or whose consumers are to come home.
    pub(super) fn due(&self) -> Option<Due> {
        let held = KeyType::ALL.into_iter().filter(|key_type| self.snapshot.is_held(*key_type));
        let newer = self.newer();
        let due = held.filter(|key_type| self.leaves_since(*key_type).is_some());
        let key_type = due.max_by_key(|key_type| *key_type == newer)?;
        let record = &self.keys[key_type];
        let since = match self.due_since(key_type) {
            Some(_) => due_from(record, self.journal, self.policy),
            None => self.keys[key_type.other()].created,
        };
        Some(Due { key_type, key: record.fingerprint.clone(), since })
    }

    fn hold(&self, due: &Due) -> Option<Decision> {
        let patience = delta(self.policy.rotate_every);
        if let Some(pause) = self.journal.paused(self.now) {
            return Some(Decision::Waiting { reason: WaitFor::Pause(pause.clone()), until: pause.until });
        }
        if self.is_to_be_asked(due) && self.approval(due).is_none() {
            let until = due.since + patience;
            if until <= self.now {
                return Some(Decision::Blocked(BlockedBy::NotApproved(due.clone())));
            }
            let expired = self.journal.approved().filter(|approval| approval.fingerprint == due.key);
            let expired = expired.map(|approval| approval.until);
            return Some(Decision::Waiting {
                reason: WaitFor::Approval { due: due.clone(), expired },
                until,
            });
        }
        let calendar = self.policy.calendar();
        if calendar.is_open(self.now) {
            return None;
        }
        let reason = if calendar.frozen(self.now).is_some() { WaitFor::Freeze } else { WaitFor::Window };
        let opening = Opening::of(due.since, self.now, self.policy);
        Some(match opening.begins {
            Some(until) => Decision::Waiting { reason, until },
            None => Decision::Blocked(BlockedBy::NeverOpens { opens: opening.opens }),
        })
    }

    /// When all that holds it back is over; nobody knows when a person approves it.
    fn may_begin(&self, due: &Due) -> Option<DateTime<Utc>> {
        let waits = self.is_to_be_asked(due) && self.approval(due).is_none();
        let paused = self.journal.paused(self.now).map_or(self.now, |pause| pause.until);
        if waits { None } else { self.policy.calendar().opens(paused) }
    }

    /// Why a rotation does not wait, if so: the keys that consumers hold are compromised, or one of them is announced to be
    /// regenerated before the wait would be over.
    fn urgent(&self, due: &Due) -> Option<Urgent> {
        let begins = self.may_begin(due);
        let held = KeyType::ALL.into_iter().filter(|key_type| self.snapshot.is_held(*key_type));
        let urgent = held.filter_map(|key_type| {
            if self.is_compromised(key_type) {
                return Some(Urgent::Compromised(key_type));
            }
            let mut announced = announced::ahead(self.journal, key_type, self.now).into_iter();
            let at = announced.find(|at| begins.is_none_or(|begins| *at <= begins))?;
            Some(Urgent::Announced { key_type, at })
        });
        urgent.min()
    }

    /// Whoever approved a rotation approved its end as well.
    fn is_to_be_asked(&self, due: &Due) -> bool {
        self.policy.approval == ApprovalPolicy::Required && self.is_rotation(due)
    }

    /// The approval of a rotation, if it holds: it may begin, or has begun since. What was begun under one goes on to its end.
    fn approval(&self, due: &Due) -> Option<&Approval> {
        let approval = self.journal.approved().filter(|approval| approval.fingerprint == due.key)?;
        let standby = due.key_type.other();
        let begun = self.is_fresh(standby, approval.at);
        (self.now < approval.until || begun).then_some(approval)
    }
}

fn going_home(held: Decision, left: KeyType) -> Decision {
    match held {
        Decision::Waiting { reason, until } => {
            Decision::Waiting { reason: WaitFor::Home { home: left.other(), held: Box::new(reason) }, until }
        }
        other => other,
    }
}

/// Whether a person is asked to approve a rotation.
///
/// Assumption: the journal is reconciled with the snapshot.
pub fn asks(snapshot: &Snapshot, journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> Asks {
    let Some(keys) = journal.keys() else { return Asks::Nothing };
    let view = View { snapshot, journal, keys, policy, now };
    match view.due().filter(|due| view.is_to_be_asked(due) && view.urgent(due).is_none()) {
        None => Asks::Nothing,
        Some(due) => match view.approval(&due).cloned() {
            Some(approval) => Asks::Given(due, approval),
            None => Asks::For(due),
        },
    }
}

/// Why the rotation that is due does not wait for a pause, an approval or a window that would hold back any other; nothing
/// if nothing would, or it does wait.
///
/// Assumption: the journal is reconciled with the snapshot.
pub fn urgent(snapshot: &Snapshot, journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> Option<Urgent> {
    let view = View { snapshot, journal, keys: journal.keys()?, policy, now };
    let due = view.due()?;
    view.urgent(&due).filter(|_| view.hold(&due).is_some())
}

/// When the next rotation may begin, by what is on record; nothing if nobody is known to hold a key.
pub fn next_opening(journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> Option<Opening> {
    let paused = journal.paused(now).map_or(now, |pause| pause.until);
    Some(Opening::of(due_next(journal, policy)?, paused, policy))
}

/// The approval of a rotation that is given now, as it goes on record.
pub fn approves(due: &Due, by: String, noticed: bool, policy: &Policy, now: DateTime<Utc>) -> Event {
    Event::Approved { fingerprint: due.key.clone(), until: holds_until(policy, now), by, noticed }
}

/// Until when an approval of then may begin a rotation: for a week from when it may at the earliest.
fn holds_until(policy: &Policy, at: DateTime<Utc>) -> DateTime<Utc> {
    policy.calendar().opens(at).unwrap_or(at) + APPROVED_FOR
}

/// What becomes of an approval that an event tells. It is put on record once for a rotation, and never begins one that is not
/// due.
///
/// Assumption: the journal is reconciled with the snapshot.
pub(super) fn heeded(
    approving: &Approving,
    snapshot: &Snapshot,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
) -> (Heeded, Option<Event>) {
    let is_in_use = || {
        KeyType::ALL
            .into_iter()
            .any(|key_type| snapshot.keys[key_type] == approving.key && snapshot.is_held(key_type))
    };
    let heeded = match asks(snapshot, journal, policy, now) {
        Asks::Given(due, approval) if due.key == approving.key => {
            Heeded::Already { by: approval.by, at: approval.at }
        }
        Asks::For(due) if due.key == approving.key => {
            if approving.is_ahead(now) {
                return (Heeded::Ahead { at: approving.at }, None);
            }
            // What was sent again, or comes late, counts from when it was given.
            let at = approving.at.min(now);
            let until = holds_until(policy, at);
            if until <= now {
                return (Heeded::Expired { at }, None);
            }
            let (fingerprint, by) = (due.key, approving.by.clone());
            let event = Event::Approved { fingerprint, until, by, noticed: true };
            return (Heeded::Recorded { until }, Some(event));
        }
        _ if is_in_use() => Heeded::NotAsked,
        _ if journal.remembers(&approving.key) => Heeded::Over,
        _ => Heeded::Unknown,
    };
    (heeded, None)
}

/// How far the clock of whoever approves may be ahead of ours.
const SKEW: TimeDelta = TimeDelta::minutes(5);

impl Approving {
    /// Whether it is said to be given at a time that is still to come.
    pub fn is_ahead(&self, now: DateTime<Utc>) -> bool {
        self.at > now + SKEW
    }
}

/// What becomes of an approval, where the journal alone tells it and no check is needed. Anybody may send one, as often as he
/// likes.
pub fn heeded_by_record(
    approving: &Approving,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<Heeded> {
    let is_current =
        |keys: &PerKey<KeyRecord>| keys.iter().any(|(_, record)| record.fingerprint == approving.key);
    if !journal.keys().is_some_and(is_current) {
        return Some(if journal.remembers(&approving.key) { Heeded::Over } else { Heeded::Unknown });
    }
    let given = journal.approved().filter(|given| given.fingerprint == approving.key && now < given.until);
    if let Some(Approval { by, at, .. }) = given {
        return Some(Heeded::Already { by: by.clone(), at: *at });
    }
    let is_due = due_next(journal, policy).is_some_and(|due| due <= now);
    (policy.approval != ApprovalPolicy::Required || !is_due).then_some(Heeded::NotAsked)
}

/// When the next rotation is due, or since when one is; nothing if nobody is known to hold a key.
pub fn due_next(journal: &Journal, policy: &Policy) -> Option<DateTime<Utc>> {
    let held = journal.keys()?.iter().filter(|(_, record)| record.held == Held::Now);
    held.map(|(_, record)| due_from(record, journal, policy)).min()
}

/// The rotation that is due for so long that the next would be, and that nobody has approved; by the journal alone.
pub fn late_approval(journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> Option<Due> {
    let held = journal.keys()?.iter().filter(|(_, record)| record.held == Held::Now);
    let due = |(key_type, record): (KeyType, &KeyRecord)| Due {
        key_type,
        key: record.fingerprint.clone(),
        since: due_from(record, journal, policy),
    };
    let is_given =
        |due: &Due| journal.approved().is_some_and(|given| given.fingerprint == due.key && now < given.until);
    let waits = policy.approval == ApprovalPolicy::Required && journal.paused(now).is_none();
    let late = held.map(due).find(|due| due.since + delta(policy.rotate_every) <= now);
    late.filter(|due| waits && !is_given(due))
}

/// From when on a key in use is due, by its age or because a rotation was asked for, whichever comes first: so long it waits.
fn due_from(record: &KeyRecord, journal: &Journal, policy: &Policy) -> DateTime<Utc> {
    let by_age = safety::due_by_age(record, policy);
    let by_request = journal.requested().filter(|requested| record.created <= *requested);
    by_request.map_or(by_age, |requested| requested.min(by_age))
}
