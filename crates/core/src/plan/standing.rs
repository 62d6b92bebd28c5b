//! What was tried in vain, and is to be tried again.

use chrono::{DateTime, TimeDelta, Utc};

use super::safety::is_hopeless;
use super::{Decision, Step};
use crate::journal::{Event, Journal};
use crate::model::KeyType;
use crate::policy::Policy;
use crate::time::delta;

/// How long a run may be between an intent and its outcome: as long as its lease.
const AT_WORK: TimeDelta = TimeDelta::minutes(2);

/// What was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Regenerating a key failed for a reason that does not pass, or too often.
    NotRegenerated {
        /// The key.
        key_type: KeyType,
        /// When it failed last.
        at: DateTime<Utc>,
        /// What was said of it.
        detail: String,
    },
    /// The service has refused a key for longer than a regeneration takes.
    NotAccepted {
        /// The key.
        key_type: KeyType,
        /// When it refused it last.
        at: DateTime<Utc>,
        /// What it said.
        detail: String,
    },
    /// A run was to give a key to consumers, and not all of them have it.
    NotGivenOut {
        /// The key.
        key_type: KeyType,
        /// When that run put it on record.
        at: DateTime<Utc>,
    },
}

/// What the step that is decided was already tried for in vain; nothing if it is tried for the first time, or what stood in
/// the way passes by itself. Between two tries the decision alone would say that all is well.
pub fn standing(
    journal: &Journal,
    decision: &Decision,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<Standing> {
    let Decision::Do(step) = decision else { return None };
    match step {
        Step::Regenerate { key_type } => refused_to_regenerate(journal, *key_type),
        Step::Verify { key_type } => refused_for_long(journal, *key_type, policy),
        Step::Repoint { to, .. } => given_out_in_vain(journal, *to, now),
        Step::Follow { .. } => None,
    }
}

fn refused_to_regenerate(journal: &Journal, key_type: KeyType) -> Option<Standing> {
    let failures = journal.failures().filter(|failures| is_hopeless(failures))?;
    Some(Standing::NotRegenerated { key_type, at: failures.at, detail: failures.detail.clone() })
}

fn refused_for_long(journal: &Journal, key_type: KeyType, policy: &Policy) -> Option<Standing> {
    let record = &journal.keys()?[key_type];
    let refusal = record.refusal.as_ref()?;
    let long = record.created + delta(policy.longest_operation) < refusal.at;
    long.then(|| Standing::NotAccepted { key_type, at: refusal.at, detail: refusal.detail.clone() })
}

/// A run has put on record that it would give the key to apps, and not all of them have it since.
fn given_out_in_vain(journal: &Journal, to: KeyType, now: DateTime<Utc>) -> Option<Standing> {
    let last = journal.history().rev().find(|entry| {
        let replaced = matches!(entry.event, Event::Regenerated { .. } | Event::KeyChanged { .. });
        replaced || matches!(entry.event, Event::RepointIntended { .. })
    })?;
    let meant = matches!(last.event, Event::RepointIntended { key_type } if key_type == to);
    let over = last.at + AT_WORK <= now;
    (meant && over).then_some(Standing::NotGivenOut { key_type: to, at: last.at })
}
