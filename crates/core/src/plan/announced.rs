//! Times for which a regeneration is announced.
//!
//! Start at [`Announced`].

use chrono::{DateTime, TimeDelta, Utc};

use crate::journal::{Journal, Watch};
use crate::model::{KeyType, PerKey};

/// From when on, and how long after an announced time, keys are watched.
const BEFORE: TimeDelta = TimeDelta::minutes(1);
const AFTER: TimeDelta = TimeDelta::hours(1);

/// The farthest announced time that is watched. Nobody announces farther ahead, and a time that is a slip of the pen would be
/// on record for ever.
const FAR: TimeDelta = TimeDelta::days(366);

/// A regeneration that is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    pub at: DateTime<Utc>,
    /// The keys that are named.
    pub keys: PerKey<bool>,
}

/// What becomes of a time for which a regeneration is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The keys are watched around it.
    Watched(Watch),
    Over,
    /// It is too far ahead.
    Far,
}

impl Announced {
    /// What becomes of it if it is told now.
    pub fn of(deadline: Deadline, now: DateTime<Utc>) -> Self {
        let Deadline { at, keys } = deadline;
        if at > now + FAR {
            return Self::Far;
        }
        if at <= now - AFTER {
            return Self::Over;
        }
        Self::Watched(Watch { from: at - BEFORE, until: at + AFTER, keys: Some(keys) })
    }

    /// Whether keys are watched because of an announcement, and not for a claim.
    pub fn is_behind(watch: &Watch) -> bool {
        watch.until - watch.from == BEFORE + AFTER
    }
}

/// The regenerations that are announced and may still come.
fn open(journal: &Journal, now: DateTime<Utc>) -> impl Iterator<Item = &Watch> {
    journal.watches().iter().filter(move |watch| Announced::is_behind(watch) && now < watch.until)
}

/// Whether a regeneration is announced that may still come.
pub(super) fn is_open(journal: &Journal, now: DateTime<Utc>) -> bool {
    open(journal, now).next().is_some()
}

/// The times ahead for which a regeneration of this key is announced, as far as they are on record. What is announced without a
/// key, by releases of before, may be of any.
pub(super) fn ahead(journal: &Journal, key_type: KeyType, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let of_key = open(journal, now).filter(|watch| watch.keys.is_none_or(|keys| keys[key_type]));
    of_key.map(|watch| watch.from + BEFORE).filter(|at| now <= *at).collect()
}

/// The key whose regeneration is announced, and that of the other is not, with when it may come at the latest: nobody is to be
/// found on it then.
pub(super) fn alone(journal: &Journal, now: DateTime<Utc>) -> Option<(KeyType, DateTime<Utc>)> {
    let named =
        |key_type| open(journal, now).filter(move |watch| watch.keys.is_none_or(|keys| keys[key_type]));
    let last = |key_type| named(key_type).map(|watch| watch.until).max();
    let [one, other] = KeyType::ALL.map(|key_type| Some((key_type, last(key_type)?)));
    one.xor(other)
}
