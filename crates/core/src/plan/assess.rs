//! One check, assessed: what is to go on record, and what to do then.
//!
//! Start at [`assess`]. `plan`, a run that asks whether there is anything to do, and a run at work all go by it, so that
//! they cannot disagree.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::announced::{Announced, Deadline};
use super::{Approving, Decision, Heeded, Snapshot, decide, held, reconcile};
use crate::intent::{Cause, RotationRequest};
use crate::journal::{Event, Illegal, Journal, WATCHES, Watch};
use crate::model::Fingerprint;
use crate::policy::Policy;
use crate::time::delta;

/// What of an intent is not served yet.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// A rotation that is asked for and not judged yet.
    pub rotation: Option<RotationRequest>,
    /// When keys are going to be regenerated.
    pub deadlines: &'a BTreeSet<Deadline>,
    /// The rotations that are said to be approved, and are not judged yet.
    pub approvals: &'a BTreeSet<Approving>,
}

impl Open<'static> {
    /// Nothing is wanted.
    pub fn nothing() -> Self {
        static NONE: (BTreeSet<Deadline>, BTreeSet<Approving>) = (BTreeSet::new(), BTreeSet::new());
        Self { rotation: None, deadlines: &NONE.0, approvals: &NONE.1 }
    }
}

/// What a check means.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What the journal does not know yet, in the order in which it is to be recorded.
    pub news: Vec<Event>,
    /// What becomes of the rotation that is asked for.
    pub verdict: Option<Verdict>,
    /// What becomes of the approvals, each with the key that it names.
    pub heeded: Vec<(Fingerprint, Heeded)>,
    /// An announced time that cannot be watched, for too many are watched already.
    pub unwatched: Option<DateTime<Utc>>,
    /// What to do, once the news are on record.
    pub decision: Decision,
    /// The journal with them.
    pub journal: Journal,
}

/// Assesses a check.
///
/// Errors: news that do not fit the journal, which `reconcile` guarantees not to make.
pub fn assess(
    snapshot: Snapshot,
    journal: &Journal,
    open: Open<'_>,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<Assessment, Illegal> {
    let mut journal = journal.clone();
    let mut news = reconcile(&snapshot, &journal, policy, now);
    apply(&mut journal, &news, now)?;
    // The first check of a service asks for a rotation by itself: that is the one that the operator means.
    let asked = news.iter().any(|event| matches!(event, Event::RotationRequested { .. }));
    let rotation = open.rotation.filter(|request| !(asked && request.cause == Cause::Operator));
    let verdict = rotation.map(|request| judge(&request, &snapshot, &journal, policy, now));
    let (watches, unwatched) = watches_to_record(open.deadlines, &journal, now);
    let requested = match &verdict {
        Some(Verdict::Record(event)) => Some(event.clone()),
        _ => None,
    };
    let wanted: Vec<Event> = requested.into_iter().chain(watches).collect();
    apply(&mut journal, &wanted, now)?;
    news.extend(wanted);
    let mut heeded = Vec::new();
    for approving in open.approvals {
        let (one, event) = held::heeded(approving, &snapshot, &journal, policy, now);
        heeded.push((approving.key.clone(), one));
        apply(&mut journal, event.as_slice(), now)?;
        news.extend(event);
    }
    let decision = decide(&snapshot, &journal, policy, now);
    Ok(Assessment { snapshot, news, verdict, heeded, unwatched, decision, journal })
}

fn apply(journal: &mut Journal, events: &[Event], now: DateTime<Utc>) -> Result<(), Illegal> {
    events.iter().try_for_each(|event| journal.apply(event.clone(), now))
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Record(Event),
    /// There is nothing to record, and why.
    Covered(Covered),
    /// It comes too soon after the last; it may be asked again from then on.
    TooSoon(DateTime<Utc>),
}

/// Why a request needs no rotation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// A rotation was asked for since.
    Asked {
        at: DateTime<Utc>,
        /// Whether because keys were reported as compromised: the keys that the event means are those of before.
        compromised: bool,
    },
    /// Everything could be seen, and nobody holds a key that will be regenerated.
    NobodyHolds,
}

/// Judges a request. The operator may always ask; a notice, which anybody may have forged, not more often than the policy
/// says.
///
/// Assumption: the journal is reconciled with the snapshot.
pub fn judge(
    request: &RotationRequest,
    snapshot: &Snapshot,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Verdict {
    let (compromised, noticed) = (request.cause == Cause::Compromised, request.cause != Cause::Operator);
    let record = Verdict::Record(Event::RotationRequested { compromised, noticed });
    if !noticed {
        return record;
    }
    // Compromised keys are answered only by the answer to compromised keys: any other lets the old keys live longer.
    let last = if compromised { journal.compromised() } else { journal.requested() };
    if let Some(at) = last.filter(|at| request.since.is_some_and(|since| since <= *at)) {
        return Verdict::Covered(Covered::Asked { at, compromised });
    }
    if nobody_holds(&request.cause, snapshot) {
        return Verdict::Covered(Covered::NobodyHolds);
    }
    let until = journal.noticed().map(|at| at + delta(policy.min_rotation_interval));
    match until.filter(|until| *until > now) {
        Some(until) => Verdict::TooSoon(until),
        None => record,
    }
}

fn nobody_holds(cause: &Cause, snapshot: &Snapshot) -> bool {
    match cause {
        Cause::Announced { keys } if snapshot.unknown.is_empty() => {
            !keys.iter().any(|(key_type, announced)| *announced && snapshot.is_held(key_type))
        }
        _ => false,
    }
}

/// The times to watch that were announced and are not on record, as the events that they are to be recorded as, and one that
/// cannot be watched. Whoever read the notice has told of those that are over or too far ahead.
fn watches_to_record(
    deadlines: &BTreeSet<Deadline>,
    journal: &Journal,
    now: DateTime<Utc>,
) -> (Vec<Event>, Option<DateTime<Utc>>) {
    let open = journal.watches().iter().filter(|watch| now < watch.until).count();
    let (mut events, mut unwatched) = (Vec::new(), None);
    for deadline in deadlines {
        let Announced::Watched(watch) = Announced::of(*deadline, now) else { continue };
        if journal.watches().contains(&watch) {
            continue;
        }
        if open + events.len() >= WATCHES {
            unwatched = Some(deadline.at);
            continue;
        }
        events.push(Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys });
    }
    (events, unwatched)
}

/// The time to watch that is on record and begins before `end`: of those that have begun the one that lasts longest, else
/// the next.
pub fn to_watch(journal: &Journal, now: DateTime<Utc>, end: DateTime<Utc>) -> Option<Watch> {
    let comes = |watch: &&Watch| now < watch.until && watch.from < end;
    let (open, ahead): (Vec<Watch>, Vec<Watch>) =
        journal.watches().iter().filter(comes).partition(|watch| watch.from <= now);
    let longest = open.into_iter().max_by_key(|watch| watch.until);
    longest.or_else(|| ahead.into_iter().min_by_key(|watch| watch.from))
}
