//! The judgements that decisions rest on: when a key is due, when it is free, which one a repaired consumer gets; and what was
//! tried in vain.

use std::cmp::Reverse;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{ConsumerRef, Decision, Execution, Holding, Part, Snapshot, Step, Unseen, View, announced};
use crate::journal::{Event, Failures, Held, InFlight, Journal, KeyRecord, Origin};
use crate::model::{ConsumerId, Fingerprint, KeyType, PerKey};
use crate::policy::Policy;
use crate::time::delta;

/// How long after a refusal a key is tried again. Propagation is uneven for seconds (azure-signalr#2197).
pub(super) const VERIFY_AGAIN: Duration = Duration::from_secs(10);

/// How long after its intent a request to regenerate may still reach Azure: the minute in which it may be sent
/// (`LeaseProof::until`), and as long again on its way, after which ARM has closed it.
const ARRIVES: Duration = Duration::from_secs(120);

impl View<'_> {
    /// When it is known how a regeneration ended whose operation was never learned.
    pub(super) fn known_at(&self, flight: &InFlight) -> DateTime<Utc> {
        known_at(flight, &self.snapshot.keys[flight.key_type], self.policy)
    }
}

/// When it is known how a regeneration ended whose operation was never learned. An unchanged key says so when the
/// operation can no longer be running. A changed one says so when the request can no longer be on its way: before that,
/// the change may be somebody else's, and ours yet to come and to kill the key that was found.
pub(super) fn known_at(flight: &InFlight, found: &Fingerprint, policy: &Policy) -> DateTime<Utc> {
    let changed = *found != flight.prior;
    let longest = if changed { ARRIVES } else { policy.longest_operation.max(ARRIVES) };
    flight.intended + delta(longest)
}

/// Whether an operation should long have told how it ended. From then on the keys tell, as where its URL was never learned,
/// whatever the URL says or whoever refuses to ask it. Until then it is asked again at each run, for what stands in the
/// way may be cured. It is the wait after which an unchanged key proves that the operation is over, and no shorter.
pub fn is_overdue(flight: &InFlight, policy: &Policy, now: DateTime<Utc>) -> bool {
    flight.intended + delta(policy.longest_operation.max(ARRIVES)) <= now
}

/// How often regenerating may come to nothing in a row before it is told as a failure, whatever the reason: by then it was
/// tried for half an hour, and Azure is not just busy.
pub(super) const PATIENCE: u32 = 6;

/// Whether regenerating is told as a failure: it was refused for a reason that does not pass, or came to nothing too often.
pub(super) const fn is_hopeless(failures: &Failures) -> bool {
    failures.lasting || failures.count >= PATIENCE
}

/// How long regenerating rests after it came to nothing `count` times in a row: a minute, doubling up to about an
/// hour. Nobody holds the key, so there is no hurry.
pub(super) fn back_off(count: u32) -> TimeDelta {
    TimeDelta::minutes(1 << count.saturating_sub(1).min(6))
}

impl View<'_> {
    /// When a key in use is due to be replaced by its age.
    pub(super) fn due_at(&self, key_type: KeyType) -> DateTime<Utc> {
        due_by_age(&self.keys[key_type], self.policy)
    }

    /// Since when a key in use is due: by its age, or because a rotation was asked for that it is older than. The
    /// later of the two, since a standby key made before that is not meant by it.
    pub(super) fn due_since(&self, key_type: KeyType) -> Option<DateTime<Utc>> {
        let created = self.keys[key_type].created;
        let by_age = Some(self.due_at(key_type)).filter(|due| *due <= self.now);
        let by_request = self.journal.requested().filter(|requested| created <= *requested);
        by_age.max(by_request)
    }

    /// The same, or that its consumers are to come home: since the key was made, for the other is newer.
    pub(super) fn leaves_since(&self, key_type: KeyType) -> Option<DateTime<Utc>> {
        let comes_home = self.comes_home(key_type).then_some(self.keys[key_type].created);
        self.due_since(key_type).or(comes_home)
    }

    /// Whether the consumers of a key are to come home to the other, which we made after it. While a regeneration is announced
    /// the key that it does not mean is home to all. Where it means both they stay where they are, and so they do where a notice
    /// has moved them away: nothing tells for how long the key that it meant is in danger. The next rotation brings them home.
    fn comes_home(&self, key_type: KeyType) -> bool {
        let (left, home) = (&self.keys[key_type], key_type.other());
        if let Some((announced, _)) = announced::alone(self.journal, self.now) {
            return announced == key_type && self.is_fresh(home, left.created);
        }
        let near = |at: DateTime<Utc>| left.created < at + delta(self.policy.rotate_every);
        let noticed = self.journal.noticed().filter(|at| self.journal.compromised() != Some(*at));
        self.policy.home == Some(home)
            && self.is_fresh(home, left.created)
            && !noticed.is_some_and(near)
            && !announced::is_open(self.journal, self.now)
    }

    /// Whether a standby key was made by us for the rotation that is due.
    pub(super) fn is_fresh(&self, key_type: KeyType, due_since: DateTime<Utc>) -> bool {
        let record = &self.keys[key_type];
        record.origin == Origin::Ours && record.created > due_since
    }

    /// How long a key stays valid after its last consumer and reader left it. One that was there when the keys were reported as
    /// compromised is in strange hands: it dies sooner.
    fn grace(&self, key_type: KeyType) -> TimeDelta {
        let grace = self.policy.grace;
        delta(if self.is_compromised(key_type) { grace.min(self.policy.exposed_grace) } else { grace })
    }

    /// When the last of those left a key whom no check shows, where its last consumer left it at `left`: after the longest
    /// that they may take, or when a person says that they have. What he said before that time was of another time that the
    /// key was left. Compromised keys shorten no such wait.
    fn readers_left(&self, key_type: KeyType, left: DateTime<Utc>) -> DateTime<Utc> {
        let bounds = self.readers(key_type, left).map(|readers| readers.until);
        let executions = self.snapshot.executions.iter().map(|execution| execution.until);
        bounds.chain(executions).fold(left, DateTime::max)
    }

    /// Those of each secret and key-value, and until when they may go on with a key that its last consumer left at `left`.
    fn readers(&self, key_type: KeyType, left: DateTime<Utc>) -> impl Iterator<Item = Unseen> {
        let key = &self.snapshot.keys[key_type];
        self.snapshot.readers_within.iter().map(move |(consumer, within)| {
            let at_last = left + delta(*within);
            let told = self.journal.readers_left(consumer, key).filter(|told| left <= told.at);
            let until = told.map_or(at_last, |told| told.at.min(at_last));
            Unseen { consumer: consumer.clone(), since: left, until }
        })
    }

    /// Those of them who are waited for still.
    pub(super) fn readers_awaited(&self, key_type: KeyType) -> Vec<Unseen> {
        let (Held::Left(left) | Held::Unknown(left)) = self.keys[key_type].held else { return Vec::new() };
        self.readers(key_type, left).filter(|readers| self.now < readers.until).collect()
    }

    /// The executions that keep a key, which is released then, from being released sooner. Of those that have ended it is the
    /// grace.
    pub(super) fn executions_until(&self, key_type: KeyType, released: DateTime<Utc>) -> Vec<Execution> {
        let lasts = |one: &&Execution| self.now < one.until && one.until + self.grace(key_type) >= released;
        self.snapshot.executions.iter().filter(lasts).cloned().collect()
    }

    /// Whether a key was there when the keys were reported as compromised.
    pub(super) fn is_compromised(&self, key_type: KeyType) -> bool {
        is_compromised(&self.keys[key_type], self.journal)
    }

    /// From when on a standby key may be regenerated; never while a consumer holds it.
    pub(super) fn released(&self, key_type: KeyType) -> Option<DateTime<Utc>> {
        match self.keys[key_type].held {
            Held::Now => None,
            Held::Never => Some(self.keys[key_type].created),
            Held::Left(at) | Held::Unknown(at) => {
                Some(self.readers_left(key_type, at) + self.grace(key_type))
            }
        }
    }

    /// The key that stale consumers get: the fitter one.
    pub(super) fn repairing_key(&self) -> KeyType {
        let (primary, secondary) = (KeyType::Primary, KeyType::Secondary);
        if self.fitness(secondary) > self.fitness(primary) { secondary } else { primary }
    }

    fn fitness(&self, key_type: KeyType) -> Fitness {
        let record = &self.keys[key_type];
        let flight = self.journal.in_flight().filter(|flight| flight.key_type == key_type);
        let listed = Some(&self.snapshot.keys[key_type]);
        let holders = self.snapshot.holders(|holding| *holding == Holding::Valid(key_type)).len();
        Fitness {
            stays: flight.is_none_or(|flight| flight.promised.as_ref() == listed),
            not_refused: !self.snapshot.refused[key_type],
            is_held: holders > 0,
            surely_in_effect: flight.is_none() && surely_in_effect(record, self.policy, self.now),
            changed_first: Reverse(flight.map_or(record.created, |flight| flight.intended)),
            is_ours: flight.is_some() || record.origin == Origin::Ours,
            holders,
        }
    }
}

/// Whether a key was there when the keys were reported as compromised. One that goes on record with the report was: the first
/// check of a service may be the one that the report calls for.
pub(super) fn is_compromised(record: &KeyRecord, journal: &Journal) -> bool {
    journal.compromised().is_some_and(|compromised| record.created <= compromised)
}

/// When a key in use is due to be replaced by its age.
pub(super) fn due_by_age(record: &KeyRecord, policy: &Policy) -> DateTime<Utc> {
    record.created + delta(policy.rotate_every) + delta(policy.due_later)
}

/// How fit a key is for stale consumers. What comes first counts first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fitness {
    /// It is not about to be replaced. Once Azure took the regeneration on and lists its key, that one is here to stay.
    stays: bool,
    /// The service was not seen to refuse it.
    not_refused: bool,
    /// Others hold it.
    is_held: bool,
    surely_in_effect: bool,
    /// Azure replaces one key at a time, so the one that changed first was in effect before the other was begun.
    changed_first: Reverse<DateTime<Utc>>,
    /// Before another's that was found with it: just before ours nothing was changed yet.
    is_ours: bool,
    holders: usize,
}

/// Whether a key works beyond doubt: the service accepted it, Azure said so, it was there before us, or it is old enough.
fn surely_in_effect(record: &KeyRecord, policy: &Policy, now: DateTime<Utc>) -> bool {
    let old = record.created + delta(policy.longest_operation) <= now;
    record.verified || record.confirmed || record.origin == Origin::FirstSeen || old
}

/// Whether it is worth asking the service before stale consumers get a key: it may not be in effect yet.
pub fn is_doubtful(key_type: KeyType, journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> bool {
    let in_flight = journal.in_flight().is_some_and(|flight| flight.key_type == key_type);
    let sure = |keys: &PerKey<KeyRecord>| surely_in_effect(&keys[key_type], policy, now);
    in_flight || !journal.keys().is_some_and(sure)
}

/// How long a run may be between an intent and its outcome: as long as its lease.
const AT_WORK: TimeDelta = TimeDelta::minutes(2);

/// What was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Regenerating a key failed for a reason that does not pass, or too often.
    NotRegenerated {
        key_type: KeyType,
        /// When it failed last.
        at: DateTime<Utc>,
        /// What was said of it.
        detail: String,
    },
    /// The service has refused a key for longer than a regeneration takes.
    NotAccepted {
        key_type: KeyType,
        /// When it refused it last.
        at: DateTime<Utc>,
        /// What it said.
        detail: String,
    },
    /// A wave is not moved, for something of it was not well before.
    HeldBack {
        wave: u32,
        /// Since when it says so.
        at: DateTime<Utc>,
        /// What, and what was said.
        detail: String,
    },
    /// Those who were repaired did not come back. Nothing waits for them.
    NotBack {
        /// When that was seen.
        at: DateTime<Utc>,
        /// What was not well, and what was said.
        detail: String,
    },
    /// A run was to give a key to consumers, and not all of them have it.
    NotGivenOut {
        key_type: KeyType,
        /// When that run put it on record.
        at: DateTime<Utc>,
    },
}

/// What the step that is decided was already tried for in vain, and what else a person has to look after; nothing if it is
/// tried for the first time, or what stood in the way passes by itself. Between two tries the decision alone would say that all
/// is well.
pub fn standing(
    snapshot: &Snapshot,
    journal: &Journal,
    decision: &Decision,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<Standing> {
    let of_step = match decision {
        Decision::Do(Step::Regenerate(key_type)) => refused_to_regenerate(journal, *key_type),
        Decision::Do(Step::Verify(key_type)) => refused_for_long(journal, *key_type, policy),
        Decision::Do(Step::Repoint { to, part, consumers, .. }) => {
            let changed = |app: &ConsumerId| snapshot.given_before.iter().any(|(given, _)| given == app);
            let is_new = |one: &ConsumerRef| changed(&one.app) && was_given(journal, *to, &one.app);
            let are_new = !consumers.is_empty() && consumers.iter().all(is_new);
            // Where Azure lists another, this one was never given out.
            let is_known = journal.keys().is_some_and(|keys| keys[*to].fingerprint == snapshot.keys[*to]);
            let in_vain = || given_out_in_vain(journal, *to, now).filter(|_| is_known && !are_new);
            held_back(journal, *part).or_else(in_vain)
        }
        _ => None,
    };
    of_step.or_else(|| not_back(journal))
}

/// That those who were repaired are not well, by what is on record.
pub fn not_back(journal: &Journal) -> Option<Standing> {
    let failed = journal.repair()?.failed.as_ref()?;
    Some(Standing::NotBack { at: failed.at, detail: failed.detail.clone() })
}

fn held_back(journal: &Journal, part: Part) -> Option<Standing> {
    let Part::Wave { number, waits: true } = part else { return None };
    let known = journal.held_back().filter(|known| known.number == number)?;
    Some(Standing::HeldBack { wave: number, at: known.at, detail: known.detail.clone() })
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

/// Whether an app was given a key, and no run has tried to give that to anybody since: of whom it tried the history does not tell.
fn was_given(journal: &Journal, to: KeyType, app: &ConsumerId) -> bool {
    for entry in journal.history().rev() {
        match &entry.event {
            Event::Repointed { key_type, apps, .. } if *key_type == to && apps.contains(app) => return true,
            Event::RepointIntended { .. } | Event::Regenerated { .. } | Event::KeyChanged { .. } => {
                return false;
            }
            _ => {}
        }
    }
    false
}

/// A run has put on record that it would give the key to apps, and not all of them have it since. Tries right after one another,
/// of which none gave it to anybody, count from the first: each of them may be a run's that is still at it.
fn given_out_in_vain(journal: &Journal, to: KeyType, now: DateTime<Utc>) -> Option<Standing> {
    let (mut first, mut last) = (None, None);
    for entry in journal.history().rev() {
        match entry.event {
            Event::RepointIntended { key_type } if key_type == to => {
                (first, last) = (Some(entry.at), last.or(Some(entry.at)));
            }
            Event::Repointed { .. } if last.is_some() => break,
            Event::RepointIntended { .. } | Event::Regenerated { .. } | Event::KeyChanged { .. } => break,
            _ => {}
        }
    }
    let at = last.filter(|_| first.is_some_and(|first| first + AT_WORK <= now))?;
    Some(Standing::NotGivenOut { key_type: to, at })
}
