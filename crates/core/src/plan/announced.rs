//! Times for which a regeneration is announced.
//!
//! Start at [`Announced`].

use chrono::{DateTime, TimeDelta, Utc};

use crate::journal::{Journal, Watch};

/// From when on, and how long after an announced time, keys are watched.
const BEFORE: TimeDelta = TimeDelta::minutes(1);
const AFTER: TimeDelta = TimeDelta::hours(1);

/// The farthest announced time that is watched. Nobody announces farther ahead, and a time that is a slip of the pen would be
/// on record for ever.
const FAR: TimeDelta = TimeDelta::days(366);

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
    pub fn of(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        if at > now + FAR {
            return Self::Far;
        }
        if at <= now - AFTER {
            return Self::Over;
        }
        Self::Watched(Watch { from: at - BEFORE, until: at + AFTER })
    }

    /// Whether keys are watched because of an announcement, and not for a claim.
    pub fn is_behind(watch: &Watch) -> bool {
        watch.until - watch.from == BEFORE + AFTER
    }
}

/// Whether a regeneration is announced that may still come.
pub(super) fn is_open(journal: &Journal, now: DateTime<Utc>) -> bool {
    journal.watches().iter().any(|watch| Announced::is_behind(watch) && now < watch.until)
}

/// The times ahead for which a regeneration is announced, as far as they are on record.
pub(super) fn ahead(journal: &Journal, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let announced = journal.watches().iter().filter(|watch| Announced::is_behind(watch));
    announced.map(|watch| watch.from + BEFORE).filter(|at| now <= *at).collect()
}
