//! Whether a rotation that somebody asks for is to be recorded.

use chrono::{DateTime, Utc};

use super::Snapshot;
use crate::journal::{Event, Journal};
use crate::model::PerKey;
use crate::policy::Policy;
use crate::time::delta;

/// A rotation that is asked for, whatever the age of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Why.
    pub why: Why,
    /// When that came about which it is asked for, if that is known: a rotation that was asked for since then is the one
    /// that is meant.
    pub since: Option<DateTime<Utc>>,
}

/// Why a rotation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The operator wants it.
    Operator,
    /// Somebody will regenerate these keys, and is to hit keys that nobody holds.
    Announced {
        /// Which.
        keys: PerKey<bool>,
    },
    /// The keys are in strange hands.
    Exposed,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is recorded.
    Record(Event),
    /// There is nothing to record, and why.
    Covered(Covered),
    /// It comes too soon after the last; it may be asked again from then on.
    TooSoon {
        /// When.
        until: DateTime<Utc>,
    },
}

/// Why a request needs no rotation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// A rotation was asked for since.
    Asked {
        /// When.
        at: DateTime<Utc>,
    },
    /// Everything could be seen, and nobody holds a key that will be regenerated.
    NobodyHolds,
}

/// Judges a request. The operator may always ask; a notice, which anybody may have forged, not more often than the policy
/// says.
///
/// Assumption: the journal is reconciled with the snapshot.
#[must_use]
pub fn judge(
    request: &Request,
    snapshot: &Snapshot,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Verdict {
    let (exposed, noticed) = (request.why == Why::Exposed, request.why != Why::Operator);
    let record = Verdict::Record(Event::RotationRequested { exposed, noticed });
    if !noticed {
        return record;
    }
    // An exposure is answered only by the answer to an exposure: any other lets the old keys live longer.
    let last = if exposed { journal.exposed() } else { journal.requested() };
    if let Some(at) = last.filter(|at| request.since.is_some_and(|since| since <= *at)) {
        return Verdict::Covered(Covered::Asked { at });
    }
    if nobody_holds(&request.why, snapshot) {
        return Verdict::Covered(Covered::NobodyHolds);
    }
    let until = journal.noticed().map(|at| at + delta(policy.min_rotation_interval));
    match until.filter(|until| *until > now) {
        Some(until) => Verdict::TooSoon { until },
        None => record,
    }
}

fn nobody_holds(why: &Why, snapshot: &Snapshot) -> bool {
    match why {
        Why::Announced { keys } if snapshot.unknown.is_empty() => {
            !keys.iter().any(|(key_type, announced)| *announced && snapshot.is_held(key_type))
        }
        _ => false,
    }
}
