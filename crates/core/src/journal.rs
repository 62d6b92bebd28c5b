//! What is remembered of an instance between passes: events, and the fold of them into state.
//!
//! Start at [`Journal::apply`]. An event that does not fit the state is an [`Illegal`] error, not a shrug: it means
//! that something was done out of order, and nothing further may be done until a person has looked. The journal
//! knows nothing of where it is kept (`store`) nor of how Azure is asked (`arm`).

mod event;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use event::without_operation;
pub use event::{Event, UNCHANGED};

use crate::model::{AppId, Fingerprint, KeyType, OperationUrl, PerKey};

/// How many events are kept. A rotation makes about ten, so this is the last ten rotations of an instance; at 200
/// bytes an event the document stays near 20 kB.
const HISTORY: usize = 100;

/// How many ids of apps the events that are kept may hold together, beyond those of the latest. A repairing writes as many
/// apps in one event as there are, and the document must stay far below what the store reads of one (4 MiB).
const HISTORY_APPS: usize = 4000;

/// How many replaced fingerprints are remembered, for recognising a stale consumer behind a custom domain, and a key in
/// other text. Two a month make twenty years; at 20 bytes each they are half as much of the document as its history.
const FORMER: usize = 500;

/// How many times to watch are kept. Each is an announcement of another time, of which nobody has more than a few.
pub const WATCHES: usize = 64;

/// The state of one instance, as far as it was ever seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    keys: Option<PerKey<KeyRecord>>,
    in_flight: Option<InFlight>,
    requested: Option<DateTime<Utc>>,
    /// Documents of before it was known have none.
    #[serde(default)]
    exposed: Option<DateTime<Utc>>,
    #[serde(default)]
    noticed: Option<DateTime<Utc>>,
    failures: Option<Failures>,
    blind: bool,
    /// Documents of before it was known have none.
    #[serde(default)]
    #[serde(rename = "unmended")]
    unrepaired: bool,
    /// Whether an app that was there is not found any more. Documents of before it was known have none.
    #[serde(default)]
    missing: bool,
    /// The apps that were ever read, with the keys that they were last seen with. Documents of before it was known have
    /// none: then an app that Azure does not find counts as never seen, which is the safe reading.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    seen: BTreeMap<AppId, Vec<Fingerprint>>,
    /// Those of them that went out of sight since, and may have taken any key there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    blurred: BTreeSet<AppId>,
    /// The times in which the keys are looked at every few seconds. Documents of before it was known have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    watches: Vec<Watch>,
    /// The last call of another run after which one has checked, with everybody on a valid key. Documents of before it was known have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    heard: u64,
    former: VecDeque<Fingerprint>,
    history: VecDeque<Entry>,
}

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
    /// A consumer held it at the last look.
    Now,
    /// The first look at which no consumer held it any more. The last consumer left some time before: counting the
    /// grace from the look errs on the safe side, counting it from the last look that saw the consumer would not.
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

/// An event that the state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal does not allow the event {event:?} ({why}); nothing further is done to this instance. \
     Run `signalr-rekey status` and compare it with the keys in Azure"
)]
pub struct Illegal {
    event: Box<Event>,
    why: &'static str,
}

impl Journal {
    /// What is known of the keys; nothing before the first look.
    #[must_use]
    pub fn keys(&self) -> Option<&PerKey<KeyRecord>> {
        self.keys.as_ref()
    }

    /// The regeneration under way.
    #[must_use]
    pub fn in_flight(&self) -> Option<&InFlight> {
        self.in_flight.as_ref()
    }

    /// When a rotation was last asked for.
    #[must_use]
    pub fn requested(&self) -> Option<DateTime<Utc>> {
        self.requested
    }

    /// When the keys were last reported as exposed: those that were there then die after a short grace.
    #[must_use]
    pub fn exposed(&self) -> Option<DateTime<Utc>> {
        self.exposed
    }

    /// When a notice last asked for a rotation.
    #[must_use]
    pub fn noticed(&self) -> Option<DateTime<Utc>> {
        self.noticed
    }

    /// Whether something could not be seen at the last look.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Whether an app that was there was not found at the last look.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.missing
    }

    /// Whether a key changed from outside, and not everybody was seen with a valid one since.
    #[must_use]
    pub fn is_unrepaired(&self) -> bool {
        self.unrepaired
    }

    /// The keys that an app was last seen with, if it was ever seen.
    #[must_use]
    pub fn seen(&self, app: &AppId) -> Option<&[Fingerprint]> {
        self.seen.get(app).map(Vec::as_slice)
    }

    /// Whether an app that was seen went out of sight since, and may have taken any key there.
    #[must_use]
    pub fn is_blurred(&self, app: &AppId) -> bool {
        self.blurred.contains(app)
    }

    /// The times in which the keys are looked at every few seconds; those that are over go with the next.
    #[must_use]
    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// The last call of another run after which the one at work has checked, with everybody on a valid key.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Regenerations in a row that came to nothing.
    #[must_use]
    pub fn failures(&self) -> Option<&Failures> {
        self.failures.as_ref()
    }

    /// What `unblock` would let be tried again at once.
    #[must_use]
    pub fn obstacles(&self) -> Vec<Obstacle<'_>> {
        let failures = self.failures.iter().map(Obstacle::Failures);
        let refused = self.keys.iter().flat_map(PerKey::iter).filter_map(|(key_type, record)| {
            let detail = &record.refusal.as_ref()?.detail;
            Some(Obstacle::Refused { key_type, detail })
        });
        let asked = self.in_flight.iter().filter(|flight| flight.operation.is_some());
        let asked = asked.map(|flight| Obstacle::Operation { key_type: flight.key_type });
        failures.chain(refused).chain(asked).collect()
    }

    /// The latest events, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.history.iter()
    }

    /// Whether a key of this fingerprint ever belonged to the instance, as far as is remembered.
    #[must_use]
    pub fn remembers(&self, fingerprint: &Fingerprint) -> bool {
        let current =
            self.keys.iter().flat_map(PerKey::iter).any(|(_, record)| record.fingerprint == *fingerprint);
        current || self.former.contains(fingerprint)
    }

    /// Folds an event into the state. Guarantee: on an error the state is as it was.
    pub fn apply(&mut self, event: Event, at: DateTime<Utc>) -> Result<(), Illegal> {
        let mut next = self.clone();
        if let Err(why) = next.fold(&event, at) {
            return Err(Illegal { event: Box::new(event), why });
        }
        // Which apps were seen is kept as it is now, and so is who was heard; told one by one they would push out what was done.
        if !matches!(event, Event::AppsSeen { .. } | Event::AppsBlurred { .. } | Event::Heard { .. }) {
            next.history.push_back(Entry { at, event: without_operation(event) });
        }
        next.forget();
        *self = next;
        Ok(())
    }

    fn fold(&mut self, event: &Event, at: DateTime<Utc>) -> Result<(), &'static str> {
        match event {
            Event::Adopted { keys } => self.adopt(keys, at),
            Event::KeyChanged { key_type, fingerprint } => {
                if self.in_flight.as_ref().is_some_and(|flight| flight.key_type == *key_type) {
                    return Err("a regeneration of that key is in flight, so the change is ours");
                }
                self.unrepaired = true;
                self.replace(*key_type, KeyRecord::new(fingerprint, at, Origin::Outside, Held::Unknown(at)))
            }
            Event::Recovered {} => {
                self.unrepaired = false;
                Ok(())
            }
            Event::AppsSeen { apps } => {
                self.seen.extend(apps.iter().map(|(app, held)| (app.clone(), held.clone())));
                self.blurred.retain(|app| !apps.contains_key(app));
                Ok(())
            }
            Event::AppsBlurred { apps } => {
                self.blurred.extend(apps.iter().cloned());
                Ok(())
            }
            Event::AppsMissing { missing } => {
                self.missing = *missing;
                Ok(())
            }
            Event::Taken { key_type } => self.hold(*key_type),
            Event::Left { key_type } => match &mut self.record(*key_type)?.held {
                held @ Held::Now => {
                    *held = Held::Left(at);
                    Ok(())
                }
                Held::Never | Held::Left(_) | Held::Unknown(_) => Err("no consumer held that key"),
            },
            Event::Blinded {} => {
                self.blind = true;
                Ok(())
            }
            Event::Sighted {} => self.see(at),
            Event::RotationRequested { exposed, noticed } => {
                self.requested = Some(at);
                self.exposed = if *exposed { Some(at) } else { self.exposed };
                self.noticed = if *noticed { Some(at) } else { self.noticed };
                Ok(())
            }
            Event::WatchAsked { from, until } => self.watch(Watch { from: *from, until: *until }, at),
            Event::Heard { call } => {
                self.heard = self.heard.max(*call);
                Ok(())
            }
            Event::Unblocked {} => {
                self.failures = None;
                // An operation that cannot be asked is asked no more. When it is over is known without it, no sooner.
                self.in_flight.iter_mut().for_each(|flight| flight.operation = None);
                self.keys.iter_mut().flat_map(PerKey::iter_mut).for_each(|record| record.refusal = None);
                Ok(())
            }
            Event::RegenerationIntended { key_type } => self.intend(*key_type, at),
            Event::RegenerationAccepted { operation, promised } => {
                let flight = self.in_flight.as_mut().ok_or(NOTHING_IN_FLIGHT)?;
                flight.operation.clone_from(operation);
                flight.promised.clone_from(promised);
                Ok(())
            }
            Event::Regenerated { fingerprint, confirmed } => {
                let flight = self.in_flight.take().ok_or(NOTHING_IN_FLIGHT)?;
                if flight.prior == *fingerprint {
                    return Err("the key did not change");
                }
                self.failures = None;
                let held = match self.record(flight.key_type)?.held {
                    // Somebody took the key while it was in flight, and took the old value or the new.
                    Held::Now => Held::Now,
                    // Somebody took the new key while it was in flight, and left it again.
                    Held::Left(left) if flight.intended <= left => Held::Left(left),
                    Held::Unknown(since) if flight.intended <= since => Held::Unknown(at),
                    _ if *confirmed && flight.promised.as_ref() == Some(fingerprint) => Held::Never,
                    // It may have been somebody else who regenerated, and handed the key on.
                    Held::Never | Held::Left(_) | Held::Unknown(_) => Held::Unknown(at),
                };
                let made = KeyRecord::new(fingerprint, at, Origin::Ours, held);
                self.replace(flight.key_type, KeyRecord { confirmed: *confirmed, ..made })
            }
            Event::RegenerationFailed { detail, lasting } => self.fail(detail, *lasting, at),
            Event::Verified { key_type } => {
                let record = self.record(*key_type)?;
                (record.verified, record.refusal) = (true, None);
                Ok(())
            }
            Event::VerificationRefused { key_type, detail } => {
                self.record(*key_type)?.refusal = Some(Refusal { at, detail: detail.clone() });
                Ok(())
            }
            Event::RepointIntended { key_type } | Event::Repointed { key_type, .. } => self.hold(*key_type),
        }
    }

    /// Drops the oldest events of which there are too many.
    fn forget(&mut self) {
        self.history.drain(..self.history.len().saturating_sub(HISTORY));
        let mut apps: usize = self.history.iter().map(|entry| entry.event.apps().len()).sum();
        while apps > HISTORY_APPS && self.history.len() > 1 {
            apps -= self.history.pop_front().map_or(0, |entry| entry.event.apps().len());
        }
    }

    /// Every time that is on record.
    pub fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let of_keys = self.keys.iter().flat_map(PerKey::iter).flat_map(|(_, record)| record.times());
        let asked = [self.requested, self.exposed, self.noticed].into_iter().flatten();
        let flight = self.in_flight.iter().map(|flight| flight.intended);
        let failures = self.failures.iter().map(|failures| failures.at);
        let history = self.history.iter().map(|entry| entry.at);
        let watches = self.watches.iter().flat_map(|watch| [watch.from, watch.until]);
        of_keys.chain(asked).chain(flight).chain(failures).chain(watches).chain(history)
    }

    fn adopt(&mut self, keys: &PerKey<Fingerprint>, at: DateTime<Utc>) -> Result<(), &'static str> {
        if self.keys.is_some() {
            return Err("the instance is already known");
        }
        let record = |key_type| KeyRecord::new(&keys[key_type], at, Origin::FirstSeen, Held::Unknown(at));
        self.keys = Some(PerKey::from_fn(record));
        Ok(())
    }

    fn replace(&mut self, key_type: KeyType, by: KeyRecord) -> Result<(), &'static str> {
        let former = std::mem::replace(self.record(key_type)?, by).fingerprint;
        self.former.push_back(former);
        self.former.drain(..self.former.len().saturating_sub(FORMER));
        Ok(())
    }

    /// Whoever could not be seen may have held either key until now.
    fn see(&mut self, at: DateTime<Utc>) -> Result<(), &'static str> {
        for key_type in KeyType::ALL {
            let held = &mut self.record(key_type)?.held;
            if *held != Held::Now {
                *held = Held::Unknown(at);
            }
        }
        self.blind = false;
        Ok(())
    }

    fn watch(&mut self, watch: Watch, at: DateTime<Utc>) -> Result<(), &'static str> {
        self.watches.retain(|watch| at < watch.until);
        if watch.until < watch.from {
            return Err("it ends before it begins");
        }
        if self.watches.len() >= WATCHES {
            return Err("too many times are watched already");
        }
        self.watches.push(watch);
        Ok(())
    }

    fn hold(&mut self, key_type: KeyType) -> Result<(), &'static str> {
        self.record(key_type)?.held = Held::Now;
        Ok(())
    }

    fn intend(&mut self, key_type: KeyType, at: DateTime<Utc>) -> Result<(), &'static str> {
        if self.in_flight.is_some() {
            return Err("another regeneration is in flight");
        }
        let record = self.record(key_type)?;
        if record.held == Held::Now {
            return Err("a consumer holds that key");
        }
        let prior = record.fingerprint.clone();
        self.in_flight = Some(InFlight { key_type, prior, intended: at, operation: None, promised: None });
        Ok(())
    }

    fn fail(&mut self, detail: &str, lasting: bool, at: DateTime<Utc>) -> Result<(), &'static str> {
        self.in_flight.take().ok_or(NOTHING_IN_FLIGHT)?;
        let before = self.failures.as_ref().map_or(0, |failures| failures.count);
        let count = before.saturating_add(1);
        self.failures = Some(Failures { count, at, detail: detail.to_owned(), lasting });
        Ok(())
    }

    fn record(&mut self, key_type: KeyType) -> Result<&mut KeyRecord, &'static str> {
        self.keys.as_mut().map(|keys| &mut keys[key_type]).ok_or("the instance was never seen")
    }
}

impl KeyRecord {
    fn new(fingerprint: &Fingerprint, created: DateTime<Utc>, origin: Origin, held: Held) -> Self {
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

    fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let held = match self.held {
            Held::Never | Held::Now => None,
            Held::Left(at) | Held::Unknown(at) => Some(at),
        };
        let refused = self.refusal.as_ref().map(|refusal| refusal.at);
        [Some(self.created), held, refused].into_iter().flatten()
    }
}

/// What a document need not say.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

const NOTHING_IN_FLIGHT: &str = "no regeneration is in flight";

#[cfg(test)]
mod tests;
