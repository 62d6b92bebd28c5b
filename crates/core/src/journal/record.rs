//! What is known of keys, and of a regeneration under way.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Event;
use crate::model::{Fingerprint, KeyType, OperationUrl};

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRecord {
    /// The key, in so far as it may be told.
    pub fingerprint: Fingerprint,
    /// When it was made, or, where that was not our doing, first seen.
    pub created: DateTime<Utc>,
    /// How it came to be.
    pub origin: Origin,
    /// Whether Azure said that the regeneration which made it succeeded.
    pub confirmed: bool,
    /// Whether the service was seen to accept it.
    pub verified: bool,
    /// The last time the service refused it while we tried to verify it.
    pub refusal: Option<Refusal>,
    /// Whether consumers hold it.
    pub held: Held,
}

/// How a key came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// We regenerated it.
    Ours,
    /// Azure or another person did.
    Outside,
    /// It was there when we first looked.
    FirstSeen,
}

/// Whether consumers hold a key, and if not, since when surely not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "at")]
pub enum Held {
    /// We made it, and no consumer was ever seen with it.
    Never,
    /// A consumer held it at the last check.
    Now,
    /// The first look at which no consumer held it any more. The last consumer left some time before: counting the
    /// grace from the check errs on the safe side, counting it from the last check that saw the consumer would not.
    Left(DateTime<Utc>),
    /// Nobody was seen with it since this time, but somebody may have left it just before: it was not made by us, or
    /// not everything could be seen until then.
    Unknown(DateTime<Utc>),
}

/// A refusal of a key that was to be verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// When.
    pub at: DateTime<Utc>,
    /// What the service said.
    pub detail: String,
}

/// A regeneration that was begun and whose end is not yet known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InFlight {
    /// The key that is being replaced.
    pub key_type: KeyType,
    /// Its fingerprint before: the key is replaced when this changed.
    pub prior: Fingerprint,
    /// When the intent was recorded, just before the request was sent.
    pub intended: DateTime<Utc>,
    /// Azure's URL of the operation, once it is known.
    pub operation: Option<OperationUrl>,
    /// The new key, as the answer to the request gave it. Azure's 202 already holds it.
    pub promised: Option<Fingerprint>,
    /// Whether Azure took it on. Documents of before it was known have none.
    #[serde(default)]
    pub accepted: bool,
}

impl InFlight {
    /// Whether Azure is known to have taken it on.
    pub(super) const fn is_accepted(&self) -> bool {
        self.accepted || self.operation.is_some() || self.promised.is_some()
    }
}

/// A time in which the keys are looked at every few seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watch {
    /// Its beginning.
    pub from: DateTime<Utc>,
    /// Its end.
    pub until: DateTime<Utc>,
}

/// Regenerations in a row that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// The last one.
    pub at: DateTime<Utc>,
    /// What was said of it.
    pub detail: String,
    /// Whether the next will fail alike, until a person does something about it. Documents of before it was known have
    /// none.
    #[serde(default)]
    pub lasting: bool,
}

/// What keeps something from being tried again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle<'journal> {
    /// Regenerations in a row that came to nothing.
    Failures(&'journal Failures),
    /// The service did not accept a key.
    Refused {
        /// The key.
        key_type: KeyType,
        /// What it said.
        detail: &'journal str,
    },
    /// Azure is asked how an operation goes.
    Operation {
        /// The key that it regenerates.
        key_type: KeyType,
    },
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub event: Event,
}

impl KeyRecord {
    pub(super) fn new(fingerprint: &Fingerprint, created: DateTime<Utc>, origin: Origin, held: Held) -> Self {
        Self {
            fingerprint: fingerprint.clone(),
            created,
            origin,
            confirmed: false,
            verified: false,
            refusal: None,
            held,
        }
    }

    pub(super) fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let held = match self.held {
            Held::Never | Held::Now => None,
            Held::Left(at) | Held::Unknown(at) => Some(at),
        };
        let refused = self.refusal.as_ref().map(|refusal| refusal.at);
        [Some(self.created), held, refused].into_iter().flatten()
    }
}
