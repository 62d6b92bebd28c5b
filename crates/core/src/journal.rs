//! What is remembered of a service between runs: events, and the fold of them into state.
//!
//! Start at [`Journal::apply`]. An event that does not fit the state is an [`Illegal`] error, not a shrug: it means
//! that something was done out of order, and nothing further may be done until a person has looked. What fits is one
//! table, in `legal`. The journal knows nothing of where it is kept (`store`) nor of how Azure is asked (`arm`).

mod evidence;
mod legal;
mod record;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use evidence::{
    Anew, Asked, AskedBy, Change, Evidence, Head, How, LeftOut, Move, OldKey, Regeneration,
    Step as ChangeStep,
};
pub use legal::Condition;
use legal::conditions;
use record::without_operation;
pub use record::{
    AfterGate, Approval, Entry, Event, Failures, Fate, Gate, Held, HeldBack, InFlight, KeyRecord, Obstacle,
    Origin, Pause, ReadersLeft, Refusal, Repair, Report, UNCHANGED, Unwell, Watch, Wave,
};

use crate::model::{ConsumerId, Fingerprint, KeyType, PerKey};

/// How many events are kept. A rotation makes about ten, so this is the last ten rotations of a service; at 200
/// bytes an event the document stays near 20 kB.
const HISTORY: usize = 100;

/// How many ids of apps the events that are kept may hold together, beyond those of the latest. A repairing writes as many
/// apps in one event as there are, and the document must stay far below what the store reads of one (4 MiB).
const HISTORY_APPS: usize = 4000;

/// How many replaced fingerprints are remembered, for recognising a stale consumer behind a custom domain, and a key in
/// other text. Two a month make twenty years; at 20 bytes each they are half as much of the document as its history.
const FORMER: usize = 500;

/// How many reports the history keeps. With a hundred machines they would push out what was done.
const HISTORY_REPORTS: usize = 20;

/// How many of them may be of one consumer: one that goes to and fro between two keys would push out the others'.
const HISTORY_REPORTS_OF_ONE: usize = 4;

/// How many of the events the history keeps that only tell of what was seen to come and go: who goes to and fro brings them about
/// with each run, and they would push out what was done.
const HISTORY_SIGHTS: usize = 40;

/// How many times to watch are kept. Each is an announcement of another time, of which nobody has more than a few.
pub const WATCHES: usize = 64;

/// The state of one service, as far as it was ever seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    keys: Option<PerKey<KeyRecord>>,
    in_flight: Option<InFlight>,
    requested: Option<DateTime<Utc>>,
    /// Documents of before it was known have none.
    #[serde(default, alias = "exposed")]
    compromised: Option<DateTime<Utc>>,
    #[serde(default)]
    noticed: Option<DateTime<Utc>>,
    failures: Option<Failures>,
    blind: bool,
    /// Documents of before it was known have none.
    #[serde(default, alias = "unmended")]
    unrepaired: bool,
    /// Whether an app that was there is not found any more. Documents of before it was known have none.
    #[serde(default)]
    missing: bool,
    /// The apps that were ever read, with the keys that they were last seen with. Documents of before it was known have
    /// none: then an app that Azure does not find counts as never seen, which is the safe reading.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    seen: BTreeMap<ConsumerId, Vec<Fingerprint>>,
    /// The dictionaries in which they were seen, where the keys alone do not tell that one of them is missing. Releases of
    /// before it was known refuse a document that has any: they would take one that comes back empty for left.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    dictionaries: BTreeMap<ConsumerId, BTreeSet<String>>,
    /// Of jobs, the executions that were seen to run and may have been started with a key that is to be left, and when each will
    /// have ended at the latest: until then, or until they are seen to have ended, they count. Releases of before it was known
    /// refuse a document that has any: they would take them for ended where Azure lists none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    executions: BTreeMap<ConsumerId, BTreeMap<String, DateTime<Utc>>>,
    /// Those of them that went out of sight since, and may have taken any key there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    blurred: BTreeSet<ConsumerId>,
    /// The times in which the keys are looked at every few seconds. Documents of before it was known have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    watches: Vec<Watch>,
    /// The last call of another run after which one has checked, with everybody on a valid key. Documents of before it was known have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    heard: u64,
    /// Of consumers whose readers nobody sees, the key that these have left by a person's word. Releases of before it was known
    /// refuse a document that has any, and so they do with reports: they would regenerate a key that is waited for.
    #[serde(default)]
    readers: BTreeMap<ConsumerId, ReadersLeft>,
    /// What was last said of consumers that only others can change.
    #[serde(default)]
    reports: BTreeMap<ConsumerId, Report>,
    /// The wave that was moved last, while both keys are those of then. Releases of before it was known refuse a document that
    /// has one: they would move the others without regard to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wave: Option<Wave>,
    /// The wave that is not moved, for something of it was not well before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_back: Option<HeldBack>,
    /// Those who were repaired last and are asked how they are, until they are well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repair: Option<Repair>,
    /// That rotations rest, and that one of them was approved. Releases of before they were known refuse a document that has
    /// either: they would rotate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approved: Option<Approval>,
    /// What is kept to prove what was changed. Releases of before it was known refuse a document that has any: they would go on
    /// without it, and the chain would end where nobody sees it.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    evidence: Evidence,
    former: VecDeque<Fingerprint>,
    history: VecDeque<Entry>,
}

/// An event that the state does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    pub event: Box<Event>,
    /// What it asks of the state and the state is not.
    pub unmet: Condition,
}

impl Journal {
    /// One of which nothing is known but some former keys: for who keeps no journal of a service, and has to recognise its
    /// keys all the same.
    pub fn of_former(former: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self { former: former.into_iter().collect(), ..Self::default() }
    }

    /// What is known of the keys; nothing before the first check.
    pub fn keys(&self) -> Option<&PerKey<KeyRecord>> {
        self.keys.as_ref()
    }

    /// The regeneration under way.
    pub fn in_flight(&self) -> Option<&InFlight> {
        self.in_flight.as_ref()
    }

    /// When a rotation was last asked for.
    pub fn requested(&self) -> Option<DateTime<Utc>> {
        self.requested
    }

    /// When the keys were last reported as compromised: those that were there then die after a short grace.
    pub fn compromised(&self) -> Option<DateTime<Utc>> {
        self.compromised
    }

    /// When a notice last asked for a rotation.
    pub fn noticed(&self) -> Option<DateTime<Utc>> {
        self.noticed
    }

    /// Whether something could not be seen at the last check.
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Whether an app that was there was not found at the last check.
    pub fn is_missing(&self) -> bool {
        self.missing
    }

    /// Whether a key changed from outside, and not everybody was seen with a valid one since.
    pub fn is_unrepaired(&self) -> bool {
        self.unrepaired
    }

    /// The keys that an app was last seen with, if it was ever seen.
    pub fn seen(&self, app: &ConsumerId) -> Option<&[Fingerprint]> {
        self.seen.get(app).map(Vec::as_slice)
    }

    /// All consumers that were ever seen, with the keys that they were last seen with.
    pub fn all_seen(&self) -> impl Iterator<Item = (&ConsumerId, &[Fingerprint])> {
        self.seen.iter().map(|(consumer, held)| (consumer, held.as_slice()))
    }

    /// The dictionaries of an app that were last seen with keys, where they are on record.
    pub fn dictionaries(&self, app: &ConsumerId) -> Option<&BTreeSet<String>> {
        self.dictionaries.get(app)
    }

    /// The executions of a job that were seen to run with what they were started with, and when each will have ended.
    pub fn executions(&self, job: &ConsumerId) -> Option<&BTreeMap<String, DateTime<Utc>>> {
        self.executions.get(job)
    }

    /// Whether an app that was seen went out of sight since, and may have taken any key there.
    pub fn is_blurred(&self, app: &ConsumerId) -> bool {
        self.blurred.contains(app)
    }

    /// The times in which the keys are looked at every few seconds; those that are over go with the next.
    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// The last call of another run after which the one at work has checked, with everybody on a valid key.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// What was last said of a consumer that only others can change.
    pub fn report(&self, consumer: &ConsumerId) -> Option<&Report> {
        self.reports.get(consumer)
    }

    /// When the readers of a consumer whom nobody sees have left this key, by a person's word.
    pub fn readers_left(&self, consumer: &ConsumerId, key: &Fingerprint) -> Option<&ReadersLeft> {
        self.readers.get(consumer).filter(|left| left.fingerprint == *key)
    }

    /// The wave that was moved last, while both keys are those of then.
    pub fn wave(&self) -> Option<&Wave> {
        self.wave.as_ref()
    }

    /// That wave, until it is known how it came back.
    pub fn open_wave(&self) -> Option<&Wave> {
        self.wave().filter(|wave| wave.gate == Gate::Open)
    }

    /// The wave that is not moved, for something of it was not well before.
    pub fn held_back(&self) -> Option<&HeldBack> {
        self.held_back.as_ref()
    }

    /// Those who were repaired last and are asked how they are, until they are well.
    pub fn repair(&self) -> Option<&Repair> {
        self.repair.as_ref()
    }

    /// Those, until it is known how they came back.
    pub fn open_repair(&self) -> Option<&Repair> {
        self.repair().filter(|repair| repair.failed.is_none())
    }

    /// That rotations rest now, by a person's word.
    pub fn paused(&self, now: DateTime<Utc>) -> Option<&Pause> {
        self.paused.as_ref().filter(|pause| now < pause.until)
    }

    /// The rotation that was last approved, whatever became of it.
    pub fn approved(&self) -> Option<&Approval> {
        self.approved.as_ref()
    }

    /// What is kept to prove what was changed.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Whether the change that goes on is to be put on record, and if so whether nothing of it is left to be done: that it stands
    /// still, or goes on for too long.
    pub fn concludes(&self, settled: bool, now: DateTime<Utc>) -> Option<bool> {
        self.evidence.concludes(settled, now).filter(|_| self.in_flight().is_none())
    }

    /// Whether there is something to put on record, or a document to be written.
    pub fn owes_evidence(&self, settled: bool, now: DateTime<Utc>) -> bool {
        self.evidence.waiting().len() > 0 || self.concludes(settled, now).is_some()
    }

    /// Regenerations in a row that came to nothing.
    pub fn failures(&self) -> Option<&Failures> {
        self.failures.as_ref()
    }

    /// What `unblock` would let be tried again at once.
    pub fn obstacles(&self) -> Vec<Obstacle<'_>> {
        let failures = self.failures.iter().map(Obstacle::Failures);
        let refused = self.keys.iter().flat_map(PerKey::iter).filter_map(|(key_type, record)| {
            let detail = &record.refusal.as_ref()?.detail;
            Some(Obstacle::Refused { key_type, detail })
        });
        let asked = self.in_flight.iter().filter(|flight| flight.operation.is_some());
        let asked = asked.map(|flight| Obstacle::Operation { key_type: flight.key_type });
        let gate = self.wave.iter().filter_map(|wave| match &wave.gate {
            Gate::Failed { detail, then: AfterGate::RollBack | AfterGate::Stop, .. } => {
                Some(Obstacle::Gate { number: wave.number, detail })
            }
            _ => None,
        });
        let repair = self.repair.iter().filter_map(|repair| {
            let detail = &repair.failed.as_ref()?.detail;
            Some(Obstacle::Repair { detail })
        });
        failures.chain(refused).chain(asked).chain(gate).chain(repair).collect()
    }

    /// The latest events, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.history.iter()
    }

    /// Whether a key of this fingerprint ever belonged to the service, as far as is remembered.
    pub fn remembers(&self, fingerprint: &Fingerprint) -> bool {
        let current =
            self.keys.iter().flat_map(PerKey::iter).any(|(_, record)| record.fingerprint == *fingerprint);
        current || self.former.contains(fingerprint)
    }

    /// Folds an event into the state. Guarantee: on an error the state is as it was.
    pub fn apply(&mut self, event: Event, at: DateTime<Utc>) -> Result<(), Illegal> {
        let unmet = conditions(&event).iter().find(|condition| !condition.is_met(self, &event, at));
        if let Some(unmet) = unmet {
            return Err(Illegal { event: Box::new(event), unmet: *unmet });
        }
        // Which apps were seen is kept as it is now, and so is who was heard; told one by one they would push out what was done.
        let is_kept = match &event {
            Event::AppsSeen { .. }
            | Event::AppsBlurred { .. }
            | Event::Heard { .. }
            | Event::Traced { .. }
            | Event::Concluded { .. }
            | Event::EvidenceKept { .. } => false,
            Event::Reported { consumer, fingerprint } => {
                self.report(consumer).is_none_or(|report| report.fingerprint != *fingerprint)
            }
            // Those who hold a wave back may say something else each time that they are asked.
            Event::WaveHeldBack { number, .. } => {
                self.held_back.as_ref().is_none_or(|known| known.number != *number)
            }
            _ => true,
        };
        let mut evidence = std::mem::take(&mut self.evidence);
        evidence.hear(self, &event, at);
        self.evidence = evidence;
        self.fold(&event, at);
        if is_kept {
            self.forget_try(&event);
            self.history.push_back(Entry { at, event: without_operation(event) });
        }
        self.forget();
        Ok(())
    }

    /// What a legal event changes.
    fn fold(&mut self, event: &Event, at: DateTime<Utc>) {
        match event {
            Event::Adopted { keys } => {
                let record =
                    |key_type| KeyRecord::new(&keys[key_type], at, Origin::FirstSeen, Held::Unknown(at));
                self.keys = Some(PerKey::from_fn(record));
            }
            Event::KeyChanged { key_type, fingerprint } => {
                self.unrepaired = true;
                self.replace(*key_type, KeyRecord::new(fingerprint, at, Origin::Outside, Held::Unknown(at)));
            }
            Event::Recovered {} => self.unrepaired = false,
            Event::AppsSeen { apps, dictionaries, executions } => {
                self.dictionaries.retain(|app, _| !apps.contains_key(app));
                self.dictionaries.extend(dictionaries.clone());
                self.executions.retain(|job, _| !apps.contains_key(job));
                self.executions.extend(executions.clone());
                self.seen.extend(apps.iter().map(|(app, held)| (app.clone(), held.clone())));
                self.blurred.retain(|app| !apps.contains_key(app));
            }
            Event::AppsBlurred { apps } => self.blurred.extend(apps.iter().cloned()),
            Event::AppsMissing { missing } => self.missing = *missing,
            Event::Taken { key_type }
            | Event::RepointIntended { key_type }
            | Event::Repointed { key_type, .. } => {
                if let (Event::Repointed { .. }, Some(wave)) = (event, &mut self.wave)
                    && wave.to == *key_type
                    && wave.gate == Gate::Open
                {
                    wave.moved = at;
                }
                if let Event::Repointed { apps, repaired, .. } = event {
                    self.repaired(apps, *repaired, at);
                }
                self.change(*key_type, |key| (key.held, key.awaited) = (Held::Now, None));
            }
            Event::Left { key_type } => {
                self.change(*key_type, |key| (key.held, key.awaited) = (Held::Left(at), None));
            }
            Event::Blinded {} => self.blind = true,
            Event::Sighted {} => self.see(at),
            Event::RotationRequested { compromised, noticed } => {
                self.requested = Some(at);
                self.compromised = if *compromised { Some(at) } else { self.compromised };
                self.noticed = if *noticed { Some(at) } else { self.noticed };
                // Who asks for a rotation by hand has seen how it stands; and compromised keys wait for no gate.
                if !noticed || *compromised {
                    self.forget_gate();
                }
            }
            Event::WatchAsked { from, until, keys } => {
                self.watches.retain(|watch| at < watch.until);
                self.watches.push(Watch { from: *from, until: *until, keys: *keys });
            }
            Event::Heard { call } => self.heard = self.heard.max(*call),
            Event::Unblocked {} => self.unblock(),
            Event::RegenerationIntended { key_type } => self.intend(*key_type, at),
            Event::RegenerationAccepted { operation, promised } => {
                if let Some(flight) = &mut self.in_flight {
                    flight.accepted = true;
                    flight.operation.clone_from(operation);
                    flight.promised.clone_from(promised);
                }
            }
            Event::OperationLost {} => self.in_flight.iter_mut().for_each(|flight| flight.operation = None),
            Event::Regenerated { fingerprint, confirmed } => self.regenerated(fingerprint, *confirmed, at),
            Event::RegenerationFailed { detail, lasting } => {
                self.in_flight = None;
                let before = self.failures.as_ref().map_or(0, |failures| failures.count);
                let (count, detail) = (before.saturating_add(1), detail.clone());
                self.failures = Some(Failures { count, at, detail, lasting: *lasting });
            }
            Event::Verified { key_type } => {
                self.change(*key_type, |key| (key.verified, key.refusal) = (true, None));
            }
            Event::VerificationRefused { key_type, detail } => {
                self.change(*key_type, |key| key.refusal = Some(Refusal { at, detail: detail.clone() }));
            }
            Event::Reported { consumer, fingerprint } => self.hear(consumer, fingerprint, None, at),
            Event::Acknowledged { consumer, fingerprint, by } => {
                self.hear(consumer, fingerprint, Some(by), at);
            }
            Event::ReadersAcknowledged { consumer, fingerprint, by } => {
                let (fingerprint, by) = (fingerprint.clone(), by.clone());
                self.readers.insert(consumer.clone(), ReadersLeft { fingerprint, at, by });
            }
            Event::ExternalAwaited { key_type, awaited, .. } => {
                self.change(*key_type, |key| key.awaited = awaited.then_some(at));
            }
            Event::WaveIntended { number, key_type, apps } => {
                // What is compromised waits for no gate: how those are who are waited for stays to be told.
                let goes_on = |wave: &Wave| wave.number == *number && wave.to == *key_type;
                if self.open_wave().is_some_and(|wave| !goes_on(wave)) {
                    self.end_wave();
                }
                let mut wave = self.wave.take().filter(|wave| wave.gate == Gate::Open);
                let wave = wave.get_or_insert_with(|| Wave {
                    number: *number,
                    to: *key_type,
                    apps: BTreeSet::new(),
                    moved: at,
                    gate: Gate::Open,
                });
                wave.apps.extend(apps.iter().cloned());
                (self.wave, self.held_back) = (Some(wave.clone()), None);
            }
            Event::WaveHeldBack { number, detail } => {
                self.held_back = Some(HeldBack { number: *number, at, detail: detail.clone() });
            }
            Event::GatePassed { left, .. } => self.wave.iter_mut().for_each(|wave| {
                if left.is_empty() {
                    wave.gate = Gate::Passed { at };
                } else {
                    (wave.apps, wave.moved) = (left.iter().cloned().collect(), at);
                }
            }),
            Event::GateFailed { detail, then, .. } => {
                let failed = Gate::Failed { at, detail: detail.clone(), then: *then };
                self.wave.iter_mut().for_each(|wave| wave.gate = failed.clone());
            }
            Event::RepairIntended { apps } => {
                // Who cannot be repaired is tried again and again, and the others keep their time. Who was not well then is
                // asked again with those who are new, and not forgotten.
                let are_known = |repair: &Repair| apps.iter().all(|app| repair.apps.contains(app));
                if !self.repair.as_ref().is_some_and(are_known) {
                    let known = self.repair.take().map(|repair| repair.apps).unwrap_or_default();
                    let apps = known.into_iter().chain(apps.iter().cloned()).collect();
                    self.repair = Some(Repair { apps, moved: at, failed: None });
                }
            }
            // What is proved by them is heard of where it is kept.
            Event::Traced { .. }
            | Event::OldKeyTried { .. }
            | Event::Concluded { .. }
            | Event::EvidenceKept { .. }
            | Event::EvidenceBegun { .. } => {}
            // The history tells who is to be named.
            Event::WrittenBack { .. } | Event::WriterNamed { .. } | Event::WriterUnknown { .. } => {}
            Event::RepairPassed { left } => {
                self.repair.iter_mut().for_each(|repair| repair.apps = left.iter().cloned().collect());
                self.repair.take_if(|repair| repair.apps.is_empty());
            }
            Event::RepairFailed { detail } => {
                let failed = Some(Unwell { at, detail: detail.clone() });
                self.repair.iter_mut().for_each(|repair| repair.failed.clone_from(&failed));
            }
            Event::Paused { until, by, why } => {
                let (by, why) = (by.clone(), why.clone());
                self.paused = Some(Pause { at, until: *until, by, why });
            }
            Event::Resumed { .. } => self.paused = None,
            Event::Approved { fingerprint, until, by, noticed: _ } => {
                let (fingerprint, by) = (fingerprint.clone(), by.clone());
                self.approved = Some(Approval { fingerprint, at, until: *until, by });
            }
        }
    }

    /// Who is repaired has his time from then on; who is moved after that has another gate.
    fn repaired(&mut self, apps: &[ConsumerId], repaired: bool, at: DateTime<Utc>) {
        let Some(repair) = &mut self.repair else { return };
        if !repaired {
            repair.apps.retain(|app| !apps.contains(app));
        } else if apps.iter().any(|app| repair.apps.contains(app)) {
            (repair.moved, repair.failed) = (at, None);
        }
        self.repair.take_if(|repair| repair.apps.is_empty());
    }

    /// Takes down what was said of a consumer, by itself or by a person.
    fn hear(&mut self, consumer: &ConsumerId, key: &Fingerprint, by: Option<&String>, at: DateTime<Utc>) {
        let before = self.reports.get(consumer).filter(|report| report.fingerprint == *key);
        let since = before.map_or(at, |report| report.since);
        let report = Report { fingerprint: key.clone(), since, at, by: by.cloned() };
        self.reports.insert(consumer.clone(), report);
        // It counts at once: who takes a key and leaves it again before the next check has held it.
        let of_key =
            |(key_type, record): (KeyType, &KeyRecord)| (record.fingerprint == *key).then_some(key_type);
        if let Some(key_type) = self.keys.as_ref().and_then(|keys| keys.iter().find_map(of_key)) {
            self.change(key_type, |record| record.held = Held::Now);
        }
    }

    fn regenerated(&mut self, fingerprint: &Fingerprint, confirmed: bool, at: DateTime<Utc>) {
        let Some(flight) = self.in_flight.take() else { return };
        self.failures = None;
        let is_ours = confirmed && flight.promised.as_ref() == Some(fingerprint);
        let held = match self.keys.as_ref().map_or(Held::Never, |keys| keys[flight.key_type].held) {
            // Somebody took the key while it was in flight, and took the old value or the new.
            Held::Now => Held::Now,
            // It may have been somebody else who regenerated, and handed the key on, whoever left ours before.
            _ if !is_ours => Held::Unknown(at),
            // Somebody took the new key while it was in flight, and left it again.
            Held::Left(left) if flight.intended <= left => Held::Left(left),
            Held::Unknown(since) if flight.intended <= since => Held::Unknown(at),
            Held::Never | Held::Left(_) | Held::Unknown(_) => Held::Never,
        };
        let made = KeyRecord::new(fingerprint, at, Origin::Ours, held);
        self.replace(flight.key_type, KeyRecord { confirmed, ..made });
    }

    /// Lets the waves go on after one that did not come back.
    fn forget_gate(&mut self) {
        self.held_back = None;
        self.wave.take_if(|wave| matches!(wave.gate, Gate::Failed { .. }));
        self.repair.take_if(|repair| repair.failed.is_some());
    }

    fn unblock(&mut self) {
        self.failures = None;
        self.dictionaries.clear();
        self.forget_gate();
        // An operation that cannot be asked is asked no more. When it is over is known without it, no sooner.
        self.in_flight.iter_mut().for_each(|flight| flight.operation = None);
        self.keys.iter_mut().flat_map(PerKey::iter_mut).for_each(|record| record.refusal = None);
    }

    /// Of what was tried right after one another, and came to nothing each time, the first and the last are kept: runs try as long
    /// as it takes, and would push out what was done.
    fn forget_try(&mut self, event: &Event) {
        let is_same = |known: &Event| match (known, event) {
            (Event::RepointIntended { key_type: known }, Event::RepointIntended { key_type })
            | (
                Event::VerificationRefused { key_type: known, .. },
                Event::VerificationRefused { key_type, .. },
            ) => known == key_type,
            _ => false,
        };
        let tries = self.history.iter().enumerate().rev().filter(|(_, entry)| !entry.event.is_sight());
        let mut tries = tries.take_while(|(_, entry)| is_same(&entry.event)).map(|(at, _)| at);
        if let (Some(last), Some(_)) = (tries.next(), tries.next()) {
            self.history.remove(last);
        }
    }

    /// Drops the oldest events of which there are too many.
    fn forget(&mut self) {
        if let Some(Event::Reported { consumer, .. }) = self.history.back().map(|entry| entry.event.clone()) {
            let is_of_it =
                |event: &Event| matches!(event, Event::Reported { consumer: of, .. } if *of == consumer);
            self.keep(HISTORY_REPORTS_OF_ONE, is_of_it);
        }
        self.keep(HISTORY_REPORTS, |event| matches!(event, Event::Reported { .. }));
        self.keep(HISTORY_SIGHTS, Event::is_sight);
        self.history.drain(..self.history.len().saturating_sub(HISTORY));
        let mut apps: usize = self.history.iter().map(|entry| entry.event.apps().len()).sum();
        while apps > HISTORY_APPS && self.history.len() > 1 {
            apps -= self.history.pop_front().map_or(0, |entry| entry.event.apps().len());
        }
    }

    /// Keeps the latest of some events.
    fn keep(&mut self, most: usize, is_meant: impl Fn(&Event) -> bool) {
        let meant = self.history.iter().filter(|entry| is_meant(&entry.event)).count();
        let mut surplus = meant.saturating_sub(most);
        self.history.retain(|entry| {
            let goes = surplus > 0 && is_meant(&entry.event);
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// Every time that is on record.
    pub fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let of_keys = self.keys.iter().flat_map(PerKey::iter).flat_map(|(_, record)| record.times());
        let asked = [self.requested, self.compromised, self.noticed].into_iter().flatten();
        let flight = self.in_flight.iter().map(|flight| flight.intended);
        let failures = self.failures.iter().map(|failures| failures.at);
        let history = self.history.iter().map(|entry| entry.at);
        let watches = self.watches.iter().flat_map(|watch| [watch.from, watch.until]);
        let reports = self.reports.values().flat_map(|report| [report.since, report.at]);
        let readers = self.readers.values().map(|left| left.at);
        let executions = self.executions.values().flat_map(BTreeMap::values).copied();
        let waves = self.wave.iter().flat_map(|wave| [Some(wave.moved), wave.decided()]).flatten();
        let held_back = self.held_back.iter().map(|held_back| held_back.at);
        let repair = self.repair.iter().flat_map(|repair| {
            std::iter::once(repair.moved).chain(repair.failed.iter().map(|failed| failed.at))
        });
        let paused = self.paused.iter().flat_map(|pause| [pause.at, pause.until]);
        let approved = self.approved.iter().flat_map(|approval| [approval.at, approval.until]);
        let others = reports.chain(executions).chain(readers).chain(waves).chain(held_back).chain(repair);
        let others = others.chain(paused).chain(approved).chain(self.evidence.times());
        of_keys.chain(asked).chain(flight).chain(failures).chain(watches).chain(history).chain(others)
    }

    fn replace(&mut self, key_type: KeyType, by: KeyRecord) {
        self.change(key_type, |key| *key = by);
    }

    /// Whoever could not be seen may have held either key until now.
    fn see(&mut self, at: DateTime<Utc>) {
        self.blind = false;
        for record in self.keys.iter_mut().flat_map(PerKey::iter_mut) {
            if record.held != Held::Now {
                record.held = Held::Unknown(at);
            }
        }
    }

    fn intend(&mut self, key_type: KeyType, at: DateTime<Utc>) {
        let prior = self.keys.as_ref().map(|keys| keys[key_type].fingerprint.clone());
        self.in_flight = prior.map(|prior| InFlight {
            key_type,
            prior,
            intended: at,
            operation: None,
            promised: None,
            accepted: false,
        });
    }

    /// The wave that was moved last is over, for one of its keys is: nobody can be moved back, or on. How those are who were not
    /// seen to be well stays to be told.
    fn end_wave(&mut self) {
        self.held_back = None;
        let Some(wave) = self.wave.take() else { return };
        let failed = match wave.gate {
            Gate::Passed { .. } => return,
            Gate::Open => None,
            Gate::Failed { at, detail, .. } => Some(Unwell { at, detail }),
        };
        let known = self.repair.take();
        let (apps, before) = known.map_or_else(Default::default, |known| (known.apps, known.failed));
        let apps = apps.into_iter().chain(wave.apps).collect();
        self.repair = Some(Repair { apps, moved: wave.moved, failed: failed.or(before) });
    }

    /// Changes what is known of a key, which whatever is legal here has.
    fn change(&mut self, key_type: KeyType, change: impl FnOnce(&mut KeyRecord)) {
        let Some(keys) = &mut self.keys else { return };
        let before = keys[key_type].fingerprint.clone();
        change(&mut keys[key_type]);
        if keys[key_type].fingerprint != before {
            self.end_wave();
            self.readers.retain(|_, left| left.fingerprint != before);
            self.approved.take_if(|approval| approval.fingerprint == before);
            self.former.push_back(before);
            self.former.drain(..self.former.len().saturating_sub(FORMER));
        }
    }
}

/// What a document need not say.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
