//! What was tried in vain, and is to be tried again.

use chrono::{DateTime, TimeDelta, Utc};

use super::safety::is_hopeless;
use super::{Decision, Step};
use crate::journal::{Event, Journal};
use crate::model::KeyType;
use crate::policy::Policy;
use crate::time::delta;
use crate::time::readable;

/// How long a run may be between an intent and its outcome: as long as its lease.
const AT_WORK: TimeDelta = TimeDelta::minutes(2);

/// What the step that is decided was already tried for in vain, in words; nothing if it is tried for the first time, or
/// what stood in the way passes by itself. Between two tries the decision alone would say that all is well.
#[must_use]
pub fn standing(journal: &Journal, decision: &Decision, policy: &Policy, now: DateTime<Utc>) -> Vec<String> {
    let Decision::Do(step) = decision else { return Vec::new() };
    let tried = match step {
        Step::Regenerate { key_type } => refused_to_regenerate(journal, *key_type),
        Step::Verify { key_type } => refused_for_long(journal, *key_type, policy),
        Step::Repoint { to, .. } => given_out_in_vain(journal, *to, now),
        Step::Follow { .. } => None,
    };
    tried.into_iter().collect()
}

fn refused_to_regenerate(journal: &Journal, key_type: KeyType) -> Option<String> {
    let failures = journal.failures().filter(|failures| is_hopeless(failures))?;
    let (at, detail) = (readable(failures.at), &failures.detail);
    Some(format!("regenerating the {key_type} key failed at {at}, and the next run tries it again: {detail}"))
}

fn refused_for_long(journal: &Journal, key_type: KeyType, policy: &Policy) -> Option<String> {
    let record = &journal.keys()?[key_type];
    let refusal = record.refusal.as_ref()?;
    let long = record.created + delta(policy.longest_operation) < refusal.at;
    let (at, detail) = (readable(refusal.at), &refusal.detail);
    long.then(|| {
        format!("the service refused the {key_type} key at {at}, and the next run asks again: {detail}")
    })
}

/// A run has put on record that it would give the key to apps, and not all of them have it since.
fn given_out_in_vain(journal: &Journal, to: KeyType, now: DateTime<Utc>) -> Option<String> {
    let last = journal.history().rev().find(|entry| {
        let replaced = matches!(entry.event, Event::Regenerated { .. } | Event::KeyChanged { .. });
        replaced || matches!(entry.event, Event::RepointIntended { .. })
    })?;
    let meant = matches!(last.event, Event::RepointIntended { key_type } if key_type == to);
    let at = readable(last.at);
    (meant && last.at + AT_WORK <= now).then(|| {
        format!(
            "the run of {at} was to give the {to} key to these apps and did not get it done: its log says why, and the next \
             run tries again"
        )
    })
}
