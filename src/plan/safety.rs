//! The judgements that decisions rest on: when a key is due, when it is free, which one a mended consumer gets.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Holding, View};
use crate::clock::delta;
use crate::journal::{Held, Origin};
use crate::model::KeyType;

/// How long after a refusal a key is tried again. Propagation is uneven for seconds (azure-signalr#2197).
pub(super) const VERIFY_AGAIN: Duration = Duration::from_secs(10);

/// How long regenerating rests after it came to nothing `count` times in a row: a minute, doubling up to about an
/// hour. Nobody holds the key, so there is no hurry.
pub(super) fn back_off(count: u32) -> TimeDelta {
    TimeDelta::minutes(1 << count.saturating_sub(1).min(6))
}

impl View<'_> {
    /// When a key in use is due to be replaced by its age.
    pub(super) fn due_at(&self, key_type: KeyType) -> DateTime<Utc> {
        self.keys[key_type].created + delta(self.policy.rotate_every)
    }

    /// Since when a key in use is due: by its age, or because a rotation was asked for that it is older than. The
    /// later of the two, since a standby key made before that is not meant by it.
    pub(super) fn due_since(&self, key_type: KeyType) -> Option<DateTime<Utc>> {
        let created = self.keys[key_type].created;
        let by_age = Some(self.due_at(key_type)).filter(|due| *due <= self.now);
        let by_request = self.journal.requested().filter(|requested| created <= *requested);
        by_age.max(by_request)
    }

    /// Whether a standby key was made by us for the rotation that is due.
    pub(super) fn is_fresh(&self, key_type: KeyType, due_since: DateTime<Utc>) -> bool {
        let record = &self.keys[key_type];
        record.origin == Origin::Ours && record.created > due_since
    }

    /// From when on a standby key may be regenerated; never while a consumer holds it.
    pub(super) fn released(&self, key_type: KeyType) -> Option<DateTime<Utc>> {
        match self.keys[key_type].held {
            Held::Now => None,
            Held::Never => Some(self.keys[key_type].created),
            Held::Left(at) | Held::Unknown(at) => Some(at + delta(self.policy.grace)),
        }
    }

    /// The key that stale consumers get: one that others hold, else one that is surely in effect, else the newest.
    /// A key that is about to be replaced is none of these, as long as there is another.
    pub(super) fn mending_key(&self) -> KeyType {
        let rank = |key_type: KeyType| {
            let stays = self.journal.in_flight().is_none_or(|flight| flight.key_type != key_type);
            let others = self.snapshot.holders(|holding| *holding == Holding::Valid(key_type)).len();
            (stays, others > 0, self.surely_in_effect(key_type), self.keys[key_type].created, others)
        };
        let (primary, secondary) = (KeyType::Primary, KeyType::Secondary);
        if rank(secondary) > rank(primary) { secondary } else { primary }
    }

    /// Whether a key works beyond doubt: the service accepted it, Azure said so, it was there before us, or it is old
    /// enough.
    fn surely_in_effect(&self, key_type: KeyType) -> bool {
        let record = &self.keys[key_type];
        let old = record.created + delta(self.policy.longest_operation) <= self.now;
        record.verified || record.confirmed || record.origin == Origin::FirstSeen || old
    }
}
