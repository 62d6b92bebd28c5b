//! What the two workers share: Azure, the apps, and the document with journal and lease. Time passes in ticks.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rekey_core::journal::{Event, Held, Journal};
use rekey_core::model::{AppId, ConsumerId, Fingerprint, Key, KeyType, PerKey, Section};
use rekey_core::plan::{Consumer, ConsumerRef, External, Holding, Snapshot};

use super::canon::canonical;
use super::worker::{Next, Session};

/// A tick is a minute; every time of the model is a number of them.
pub(crate) type Tick = u32;

/// As `store::LEASE`.
pub(crate) const LEASE: Tick = 2;
/// For how long after its journal write a worker may send: half of the lease, so less than a tick after it.
pub(crate) const MAY_SEND: Tick = 1;
/// How long a request may be under way before Azure takes it on.
pub(crate) const ARRIVES: Tick = 1;
/// How long a regeneration takes at most.
pub(crate) const TAKES: Tick = 1;
/// As `Policy::longest_operation`.
pub(crate) const LONGEST: Tick = 2;
/// How long clients go on using a key that their app has left.
pub(crate) const GATE_AFTER: Tick = 1;
pub(crate) const GRACE: Tick = 2;

/// A key. Each is made once.
pub(crate) type Id = u8;

/// Everything there is.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) now: Tick,
    /// Counts what happened, so that nothing has the same time as what came before it.
    pub(crate) happened: u32,
    /// What Azure lists, which during a regeneration is newer than what works.
    pub(crate) keys: PerKey<Id>,
    pub(crate) pending: Option<Pending>,
    pub(crate) transit: Vec<Transit>,
    pub(crate) apps: Vec<App>,
    /// A machine that changes its key itself and reports which it holds; not in every model.
    pub(crate) machine: Option<App>,
    /// A person has said that it holds another key than it does. What becomes of that key is no matter of ours, until the machine
    /// has left it, and when it does.
    pub(crate) belied: bool,
    /// How long readers that nobody sees may go on with a key that the last app has left.
    pub(crate) readers: Tick,
    /// When those readers have left a key sooner.
    pub(crate) readers_left: BTreeMap<Id, Tick>,
    /// When the last app left a key, for keys that were ever held.
    pub(crate) left: BTreeMap<Id, Tick>,
    /// Keys that died by a regeneration from outside.
    pub(crate) killed: BTreeSet<Id>,
    pub(crate) made: Id,
    pub(crate) document: Document,
    pub(crate) written: u32,
    pub(crate) workers: [Option<Box<Session>>; 2],
    pub(crate) crashes: u8,
    pub(crate) outside: u8,
    pub(crate) lost: u8,
    /// What a person said that is not so.
    pub(crate) lies: u8,
    /// How many faults of all kinds may still happen.
    pub(crate) faults: u8,
    pub(crate) broken: Option<Broken>,
}

/// A regeneration that Azure took on and that is not yet in effect.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) key_type: KeyType,
    /// Works until then.
    pub(crate) old: Id,
    pub(crate) outside: bool,
    pub(crate) since: Tick,
}

/// A request for a regeneration that was sent and has not reached Azure.
#[derive(Clone, Debug)]
pub(crate) struct Transit {
    pub(crate) key_type: KeyType,
    pub(crate) sent: Tick,
    /// The worker that waits for the answer; none if it crashed or gave up.
    pub(crate) awaited_by: Option<usize>,
}

/// One app, which is one consumer.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) key: Id,
    /// A regeneration from outside takes its key, or took it and it is failing until it is repaired.
    pub(crate) excused: bool,
}

/// The document in the store.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) journal: Arc<Journal>,
    /// Who, and until when.
    pub(crate) lease: Option<(usize, Tick)>,
    pub(crate) etag: u32,
}

/// How a transition broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A request that changes Azure was sent by a worker that did not hold the lease at that moment.
    SentWithoutLease,
    /// Azure took on a regeneration of ours of a key that an app holds.
    HeldRegenerated,
    /// Azure took on a regeneration of ours of a key whose clients may still use it.
    WithinGrace,
    /// The journal met an event that it does not allow.
    Illegal,
}

impl State {
    /// A first check away, with apps that hold these keys.
    pub(crate) fn new(holds: &[KeyType], faults: u8) -> Self {
        let keys = PerKey { primary: 1, secondary: 2 };
        Self {
            now: 0,
            happened: 0,
            keys,
            pending: None,
            transit: vec![],
            apps: holds.iter().map(|held| App { key: keys[*held], excused: false }).collect(),
            machine: None,
            belied: false,
            readers: 0,
            readers_left: BTreeMap::new(),
            // Somebody may have left either key just before the first check.
            left: BTreeMap::from([(1, 0), (2, 0)]),
            killed: BTreeSet::new(),
            made: 2,
            document: Document { journal: Arc::default(), lease: None, etag: 0 },
            written: 0,
            workers: [None, None],
            crashes: 0,
            outside: 0,
            lost: 0,
            lies: 0,
            faults,
            broken: None,
        }
    }

    /// The same with a machine that holds the primary key, and has said so, or nothing yet; and with readers.
    pub(crate) fn beside(mut self, reported: bool, readers: Tick) -> Self {
        let key = self.keys.primary;
        self.machine = Some(App { key, excused: false });
        self.readers = readers;
        if reported {
            self.record_report(key);
        }
        self
    }

    /// The machine takes the key that the first app holds, as if from a secret, and says so: a write of the document under its
    /// lease, like every other. False while another has that, and if it is on record.
    pub(crate) fn report(&mut self, by_a_person: bool) -> bool {
        let Some(old) = self.machine.as_ref().map(|machine| machine.key) else { return false };
        let taken = self.apps[0].key;
        // Of a key that is on record alone a person says it.
        let is_known = !by_a_person || self.is_on_record(taken);
        if self.is_leased() || !is_known || (self.reported() == Some(taken) && old == taken) {
            return false;
        }
        if old != taken && !std::mem::take(&mut self.belied) {
            self.leave(old);
        }
        self.machine = Some(App { key: taken, excused: !self.works(taken) });
        match by_a_person {
            true => {
                let (fingerprint, by) = (fingerprint(taken), "somebody".to_owned());
                self.record(Event::Acknowledged { consumer: machine().id, fingerprint, by });
            }
            false => self.record_report(taken),
        }
        self.is_written();
        true
    }

    /// A person says that the machine holds a key, and it holds another: a write like the one above.
    pub(crate) fn belie(&mut self, key_type: KeyType) -> bool {
        let (key, holds) = (self.keys[key_type], self.machine.as_ref().map(|machine| machine.key));
        if self.is_leased() || !self.is_on_record(key) || [holds, self.reported()].contains(&Some(key)) {
            return false;
        }
        self.belied = true;
        let (fingerprint, by) = (fingerprint(key), "somebody".to_owned());
        self.record(Event::Acknowledged { consumer: machine().id, fingerprint, by });
        self.is_written();
        true
    }

    /// Whether it is the false word that let the machine's key die.
    pub(crate) fn is_cut_off_by_a_word(&self) -> bool {
        let of_ours = |machine: &App| !machine.excused && !self.works(machine.key);
        self.belied && self.machine.as_ref().is_some_and(of_ours)
    }

    /// A person says that the readers have left a key, which no app holds by the journal: a write like the one above.
    pub(crate) fn acknowledge(&mut self, key_type: KeyType, is_right: bool) -> bool {
        let key = self.keys[key_type];
        let held = self.document.journal.keys().map(|keys| keys[key_type].held);
        let is_left = matches!(held, Some(Held::Left(_) | Held::Unknown(_))) && !self.is_held(key);
        let left = self.document.journal.readers_left(&app(0), &fingerprint(key));
        // Said twice in one tick it says nothing more.
        let is_said = left.is_some_and(|left| tick(left.at) == self.now);
        if self.is_leased() || !is_left || !self.is_on_record(key) || is_said {
            return false;
        }
        if is_right {
            self.readers_left.insert(key, self.now);
        }
        let (fingerprint, by) = (fingerprint(key), "somebody".to_owned());
        self.record(Event::ReadersAcknowledged { consumer: app(0), fingerprint, by });
        self.is_written();
        true
    }

    fn is_leased(&self) -> bool {
        self.document.lease.is_some_and(|(_, expires)| expires > self.now)
    }

    fn is_on_record(&self, key: Id) -> bool {
        let keys = self.document.journal.keys();
        keys.is_some_and(|keys| keys.iter().any(|(_, record)| record.fingerprint == fingerprint(key)))
    }

    fn is_written(&mut self) {
        self.written += 1;
        self.document.etag = self.written;
        self.document.lease = None;
    }

    fn record_report(&mut self, key: Id) {
        self.record(Event::Reported { consumer: machine().id, fingerprint: fingerprint(key) });
    }

    fn record(&mut self, event: Event) {
        let at = self.time();
        if Arc::make_mut(&mut self.document.journal).apply(event, at).is_err() {
            self.breaks(Broken::Illegal);
        }
    }

    /// The key that the machine said last to hold.
    pub(crate) fn reported(&self) -> Option<Id> {
        let report = self.document.journal.report(&machine().id)?;
        Some(id_of(&report.fingerprint))
    }

    /// Everybody who holds a key, but for a machine of which another was said.
    fn holders(&self) -> impl Iterator<Item = &App> {
        self.apps.iter().chain(self.machine.as_ref().filter(|_| !self.belied))
    }

    pub(crate) fn works(&self, key: Id) -> bool {
        KeyType::ALL.into_iter().any(|key_type| match &self.pending {
            Some(pending) if pending.key_type == key_type => pending.old == key,
            _ => self.keys[key_type] == key,
        })
    }

    /// Whether another fault of a kind may happen, of which there were so many.
    pub(crate) fn may(&self, have: u8) -> bool {
        have == 0 && self.faults > 0
    }

    pub(crate) fn is_held(&self, key: Id) -> bool {
        self.holders().any(|holder| holder.key == key)
    }

    pub(crate) fn cut_off(&self) -> bool {
        self.holders().any(|holder| !holder.excused && !self.works(holder.key))
    }

    pub(crate) fn is_leased_to(&self, worker: usize) -> bool {
        self.document.lease.is_some_and(|(holder, expires)| holder == worker && expires > self.now)
    }

    /// What is sent without the lease is followed on to what it does.
    pub(crate) fn breaks(&mut self, broken: Broken) {
        if !self.is_broken_for_good() {
            self.broken = Some(broken);
        }
    }

    pub(crate) fn is_broken_for_good(&self) -> bool {
        self.broken.is_some_and(|broken| broken != Broken::SentWithoutLease)
    }

    /// Whether a worker waits for an answer, and whether that has been given.
    pub(crate) fn awaits(&self, worker: usize) -> Option<bool> {
        match &self.workers[worker].as_ref()?.next {
            Next::Await { answer, .. } => Some(answer.is_some()),
            _ => None,
        }
    }

    /// Whether its request is still on the way.
    pub(crate) fn is_sending(&self, worker: usize) -> bool {
        self.transit.iter().any(|transit| transit.awaited_by == Some(worker))
    }

    /// Azure takes a regeneration on, unless another runs (409); the new key.
    pub(crate) fn regenerate(&mut self, key_type: KeyType, outside: bool) -> Option<Id> {
        if self.pending.is_some() {
            return None;
        }
        self.made += 1;
        let old = std::mem::replace(&mut self.keys[key_type], self.made);
        self.pending = Some(Pending { key_type, old, outside, since: self.now });
        Some(self.made)
    }

    /// The regeneration takes effect: the old key dies.
    pub(crate) fn take_effect(&mut self) {
        if let Some(Pending { old, outside: true, .. }) = self.pending.take() {
            self.killed.insert(old);
        }
    }

    /// A request of ours reaches Azure.
    pub(crate) fn arrive(&mut self, index: usize) {
        let Transit { key_type, awaited_by, .. } = self.transit.remove(index);
        let key = self.keys[key_type];
        if self.pending.is_none() {
            if self.is_held(key) {
                self.breaks(Broken::HeldRegenerated);
            }
            if self.left_by_readers(key).is_some_and(|left| left + GRACE > self.now) {
                self.breaks(Broken::WithinGrace);
            }
        }
        let answer = self.regenerate(key_type, false);
        if let Some(session) = awaited_by.and_then(|worker| self.workers[worker].as_mut()) {
            session.answered(answer);
        }
    }

    /// When the last of those left a key who read it without being seen: as long as they may take after the last app, or sooner.
    fn left_by_readers(&self, key: Id) -> Option<Tick> {
        let at_last = *self.left.get(&key)? + self.readers;
        Some(self.readers_left.get(&key).map_or(at_last, |sooner| (*sooner).min(at_last)))
    }

    /// Somebody leaves a key: readers have their time anew.
    fn leave(&mut self, key: Id) {
        self.left.insert(key, self.now);
        self.readers_left.remove(&key);
    }

    /// A worker writes a key into an app.
    pub(crate) fn put(&mut self, app: usize, key: Id) {
        let old = std::mem::replace(&mut self.apps[app].key, key);
        self.leave(old);
        // That somebody outside was faster with the key that is just being handed out is not our doing.
        if self.killed.contains(&key) {
            self.apps[app].excused = true;
        }
    }

    /// Whether the bounds on requests and operations allow a tick to pass.
    pub(crate) fn may_tick(&self) -> bool {
        self.transit.iter().all(|transit| self.now < transit.sent + ARRIVES)
            && self.pending.as_ref().is_none_or(|pending| self.now < pending.since + TAKES)
    }

    /// Forgets what can no longer matter, so that the state stays finite.
    pub(crate) fn forget(&mut self) {
        let dying = self.pending.as_ref().filter(|pending| pending.outside).map(|pending| pending.old);
        for index in 0..self.apps.len() {
            let key = self.apps[index].key;
            if Some(key) == dying {
                self.apps[index].excused = true;
            } else if self.works(key) {
                self.apps[index].excused = false;
            }
        }
        if let Some(key) = self.machine.as_ref().map(|machine| machine.key) {
            // Unlike an app's its key is not repaired by us: from then on it is its own matter, until it has taken another.
            let (dies, works) = (Some(key) == dying, self.works(key));
            self.machine.iter_mut().for_each(|machine| machine.excused = dies || (machine.excused && !works));
        }
        let old = self.pending.as_ref().map(|pending| pending.old);
        let keys = self.keys;
        let is_there = |id: &Id| *id == keys.primary || *id == keys.secondary || Some(*id) == old;
        self.left.retain(|id, _| is_there(id));
        self.readers_left.retain(|id, _| is_there(id));
        let handed_out = self.workers.iter().flatten().flat_map(|session| session.keys_in_hand());
        let held = self.apps.iter().chain(&self.machine).map(|holder| holder.key);
        let known: BTreeSet<Id> = handed_out.chain(held).collect();
        self.killed.retain(|id| known.contains(id));
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        canonical(self) == canonical(other)
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        canonical(self).hash(state);
    }
}

impl State {
    /// The time as the real code is told it. Events of one tick are milliseconds apart, in their order: that decides
    /// which of two keys is the newer, and can end no wait of whole ticks early or late.
    pub(crate) fn time(&self) -> DateTime<Utc> {
        let minutes = TimeDelta::minutes(i64::from(self.now));
        DateTime::UNIX_EPOCH + minutes + TimeDelta::milliseconds(i64::from(self.happened))
    }
}

pub(crate) fn tick(at: DateTime<Utc>) -> Tick {
    u32::try_from((at - DateTime::UNIX_EPOCH).num_minutes()).unwrap()
}

/// What the real code sees of a key.
pub(crate) fn fingerprint(id: Id) -> Fingerprint {
    fingerprints()[usize::from(id)].clone()
}

pub(crate) fn id_of(fingerprint: &Fingerprint) -> Id {
    let position = fingerprints().iter().position(|known| known == fingerprint).unwrap();
    Id::try_from(position).unwrap()
}

fn fingerprints() -> &'static Vec<Fingerprint> {
    static ALL: OnceLock<Vec<Fingerprint>> = OnceLock::new();
    ALL.get_or_init(|| (0..=Id::MAX).map(|id| Key::new(id.to_string()).fingerprint()).collect())
}

/// The machine, as it is configured.
pub(crate) fn machine() -> External {
    let id: ConsumerId = "reporter:machine".parse().unwrap();
    External { id, within: Duration::from_secs(60), owner: None, ticket: None }
}

/// What a look at these keys and apps shows, and, where there is a machine, what it has said by a journal.
pub(crate) fn snapshot_beside(state: &State, keys: PerKey<Id>, apps: &[Id], journal: &Journal) -> Snapshot {
    let mut snapshot = snapshot(keys, apps, state.time());
    snapshot.readers_within.insert(app(0), Duration::from_secs(60 * u64::from(state.readers)));
    snapshot.add_external(state.machine.is_some().then(machine), journal);
    snapshot
}

fn snapshot(keys: PerKey<Id>, apps: &[Id], seen: DateTime<Utc>) -> Snapshot {
    let holds = |key: Id| match KeyType::ALL.into_iter().find(|key_type| keys[*key_type] == key) {
        Some(key_type) => Holding::Valid(key_type),
        None => Holding::Stale(fingerprint(key)),
    };
    let consumer = |(index, key): (usize, &Id)| Consumer { at: consumer(index), holds: holds(*key) };
    Snapshot {
        consumers: apps.iter().enumerate().map(consumer).collect(),
        ..Snapshot::of_keys(seen, PerKey::from_fn(|key_type| fingerprint(keys[key_type])))
    }
}

fn consumer(index: usize) -> ConsumerRef {
    ConsumerRef { app: app(index), section: Some(Section::AppSettings), name: "SignalR".into() }
}

pub(crate) fn app(index: usize) -> ConsumerId {
    AppId::new("s", "g", &format!("app-{index}"), None).into()
}

pub(crate) fn index_of(consumer: &ConsumerRef) -> usize {
    (0..).find(|index| app(*index) == consumer.app).unwrap()
}
