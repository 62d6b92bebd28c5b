//! What is remembered of a change until it is proved to whoever asks later: its steps, who was moved, and what became of the old
//! keys.
//!
//! Start at [`Evidence::hear`]. A change begins with the first step that alters keys or who holds them, and is over when nothing
//! is left to be done: a rotation with both its keys is one, and so is a repair with what it makes necessary. What is over waits
//! here until its document is written ([`crate::evidence`]), which follows from the journal alone: whoever dies in between leaves
//! all that the next needs to write the same.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::record::Fate;
use super::{Event, Journal, Origin};
use crate::model::{ConsumerId, Fingerprint, KeyType};

/// How many steps of a change are kept: a rotation has about six, and one in waves two more for each.
const STEPS: usize = 60;

/// How many moves of consumers are kept of a change, and of all that wait to be written together: at some 500 bytes each they
/// stay below a quarter of what the store reads of a document.
const MOVES: usize = 1000;
const MOVES_WAITING: usize = 2000;

/// How many changes wait to be written: of a service with some apps they leave the journal below 64 KiB, which each run reads.
/// With a rotation a month the storage may fail for half a year before one is left out, and each run says so meanwhile.
const WAITING: usize = 6;

/// After how long a change is put on record that is not over: what is waited for may take longer, and nobody is to find nothing
/// until then. What is left of it is a change of its own.
const LONGEST: TimeDelta = TimeDelta::days(7);

/// What one check puts on record comes this soon after each other.
const AT_ONCE: TimeDelta = TimeDelta::seconds(10);

/// The document that was written last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// When the chain began, which names it.
    pub chain: DateTime<Utc>,
    pub sequence: u64,
    pub name: String,
    pub sha256: String,
}

/// What is kept for the evidence of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evidence {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<Head>,
    /// The change that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<Change>,
    /// Those that are over and not written yet, oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    waiting: VecDeque<Change>,
    /// How many were left out since the last that waits, for too many waited.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    left_out: u64,
    /// That the next document begins a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anew: Option<Anew>,
}

/// That a chain is begun by a person's word, for another than ours stood where the last one was to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Anew {
    pub at: DateTime<Utc>,
    /// The document that stood there.
    pub found: String,
    /// The last of the chain of before that the journal knows, if it knows of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Head>,
}

/// What there was no room for, as long as documents cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    pub changes: u64,
    /// Steps and moves.
    pub entries: u64,
}

/// A change of keys, or of who holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    pub began: DateTime<Utc>,
    /// When it was over; of one that goes on, when its last step was.
    pub ended: DateTime<Utc>,
    /// Whether nothing was left to be done.
    pub finished: bool,
    pub asked: Asked,
    pub steps: Vec<Step>,
    pub moves: Vec<Move>,
    /// How many changes before this one there was no room for, while none could be written.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub changes_left_out: u64,
    /// How many steps and moves of it there was no room for.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub steps_left_out: u64,
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub moves_left_out: u64,
}

/// Why a change began, and by whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    pub by: AskedBy,
    /// When somebody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Whether because the keys were reported as compromised.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compromised: bool,
    /// The person who approved it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AskedBy {
    /// The age of the keys, or that they were seen for the first time.
    Schedule,
    /// A person, by a command.
    Command,
    /// An event or an alert.
    Notice,
    /// A key was regenerated from outside.
    Outside,
    /// A consumer held another key than it should.
    Consumers,
}

/// A step of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step", deny_unknown_fields)]
pub enum Step {
    /// A key was made anew, or was to be.
    Regeneration(Regeneration),
    /// Somebody else did.
    ChangedFromOutside { key: KeyType, old: Fingerprint, new: Fingerprint, done: DateTime<Utc> },
    /// The service was asked whether it accepts a key, by signed calls.
    Acceptance {
        key: KeyType,
        fingerprint: Fingerprint,
        done: DateTime<Utc>,
        /// What it said, if it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
        /// How often it had said so before, right before that.
        #[serde(default, skip_serializing_if = "super::is_zero")]
        again: u64,
    },
    /// Consumers were given a key; [`Move`] tells who.
    HandingOut {
        key: KeyType,
        fingerprint: Fingerprint,
        intended: DateTime<Utc>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        done: Option<DateTime<Utc>>,
        /// How often it was tried again until then: nobody had been given it.
        #[serde(default, skip_serializing_if = "super::is_zero")]
        again: u64,
    },
    /// It was looked how a wave came back.
    Gate {
        wave: u32,
        done: DateTime<Utc>,
        /// What was not well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// Everybody was seen with a valid key again.
    Recovered { done: DateTime<Utc> },
}

/// A key was made anew, or was to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Regeneration {
    pub key: KeyType,
    pub old: Fingerprint,
    pub intended: DateTime<Utc>,
    /// When Azure took it on, and the id by which Azure's support finds the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Fingerprint>,
    /// Why it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What became of the key that was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_key: Option<OldKey>,
}

/// What became of a key that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OldKey {
    pub at: DateTime<Utc>,
    /// How many calls were signed with it.
    pub calls: u32,
    pub fate: Fate,
}

/// That a consumer was given a key in the place of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Move {
    pub consumer: ConsumerId,
    pub kind: String,
    /// The keys that it was seen with before.
    pub from: Vec<Fingerprint>,
    pub to: Fingerprint,
    /// Whether it held an invalid one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repaired: bool,
    /// When it was written, and the id by which Azure's support finds the request; nothing where others did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// When it was seen with this key alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<DateTime<Utc>>,
    pub how: How,
    /// The person by whose word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How it is known which key a consumer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// Its settings, secrets, replicas or executions were read.
    Read,
    /// It said so itself.
    Reported,
    /// A person said so.
    Acknowledged,
}

impl Evidence {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The document that was written last.
    pub const fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The document that was written last, also where the next one begins a chain in the place of its.
    pub(crate) fn last(&self) -> Option<&Head> {
        self.head.as_ref().or_else(|| self.anew.as_ref()?.last.as_ref())
    }

    /// That the next document begins a chain, if somebody said so.
    pub const fn anew(&self) -> Option<&Anew> {
        self.anew.as_ref()
    }

    /// The change that goes on.
    pub const fn open(&self) -> Option<&Change> {
        self.open.as_ref()
    }

    /// Those that are over and not written yet, oldest first.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Change> {
        self.waiting.iter()
    }

    /// How many changes were left out since a document was written, and how many steps and moves of those that wait.
    pub fn left_out(&self) -> LeftOut {
        let of = |part: fn(&Change) -> u64| self.waiting.iter().chain(&self.open).map(part).sum::<u64>();
        LeftOut {
            changes: self.left_out + of(|change| change.changes_left_out),
            entries: of(|change| change.steps_left_out + change.moves_left_out),
        }
    }

    /// The keys that we have replaced, and of which it is not on record whether they are dead, with those in their place.
    pub fn undecided(&self) -> impl Iterator<Item = (&Fingerprint, KeyType)> {
        self.open.iter().flat_map(|open| &open.steps).filter_map(|step| match step {
            Step::Regeneration(Regeneration { key, old, new: Some(_), old_key: None, .. }) => {
                Some((old, *key))
            }
            _ => None,
        })
    }

    /// Whether the change that goes on is to be put on record: nothing is left to be done, or it goes on for too long. Which of
    /// the two.
    pub(super) fn concludes(&self, settled: bool, now: DateTime<Utc>) -> Option<bool> {
        let open = self.open.as_ref()?;
        (settled || open.began + LONGEST <= now).then_some(settled)
    }

    /// The times that it holds.
    pub(super) fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let of_change = |change: &Change| [change.began, change.ended];
        let head = self.head.iter().map(|head| head.chain).chain(self.anew.iter().map(|anew| anew.at));
        head.chain(self.open.iter().chain(&self.waiting).flat_map(of_change))
    }

    /// Takes in what happens to a service, whose journal is as it was before.
    pub(super) fn hear(&mut self, before: &Journal, event: &Event, at: DateTime<Utc>) {
        self.begin(before, event, at);
        match event {
            Event::Concluded { finished } => self.conclude(*finished, at),
            Event::EvidenceKept { name, sha256 } => self.kept(name, sha256),
            Event::EvidenceBegun { found } => {
                // Where one that was begun so stood in the way too, what it was to follow is all that is known.
                let before = self.anew.take().and_then(|anew| anew.last);
                self.anew = Some(Anew { at, found: found.clone(), last: self.head.take().or(before) });
            }
            _ => {
                if let Some(open) = &mut self.open {
                    open.hear(before, event, at);
                }
            }
        }
    }

    fn begin(&mut self, before: &Journal, event: &Event, at: DateTime<Utc>) {
        if self.open.is_some() {
            return;
        }
        let asked = match event {
            Event::RegenerationIntended { key_type } => Asked::of_rotation(before, *key_type),
            Event::KeyChanged { .. } => Asked::by(AskedBy::Outside),
            Event::RepointIntended { .. } => Asked::by(AskedBy::Consumers),
            _ => return,
        };
        self.open = Some(Change {
            began: at,
            ended: at,
            finished: false,
            asked,
            steps: vec![],
            moves: vec![],
            changes_left_out: 0,
            steps_left_out: 0,
            moves_left_out: 0,
        });
    }

    fn conclude(&mut self, finished: bool, at: DateTime<Utc>) {
        let Some(mut over) = self.open.take() else { return };
        (over.ended, over.finished) = (at, finished);
        if self.waiting.len() >= WAITING {
            self.left_out += 1;
            return;
        }
        let waiting: usize = self.waiting.iter().map(|change| change.moves.len()).sum();
        let room = MOVES_WAITING.saturating_sub(waiting);
        over.moves_left_out += over.moves.len().saturating_sub(room) as u64;
        over.moves.truncate(room);
        // What a document says is settled here: whoever writes it, and however often, writes the same.
        over.changes_left_out = std::mem::take(&mut self.left_out);
        self.waiting.push_back(over);
    }

    fn kept(&mut self, name: &str, sha256: &str) {
        let Some(change) = self.waiting.pop_front() else { return };
        let (chain, sequence) = self.next_place(&change);
        self.head = Some(Head { chain, sequence, name: name.to_owned(), sha256: sha256.to_owned() });
        self.anew = None;
    }

    /// The chain and the number in it of the next document, which is of this change.
    pub(crate) fn next_place(&self, change: &Change) -> (DateTime<Utc>, u64) {
        let begun = self.anew.as_ref().map_or(change.began, |anew| anew.at).trunc_subsecs(3);
        self.head.as_ref().map_or((begun, 1), |head| (head.chain, head.sequence.saturating_add(1)))
    }
}

impl Step {
    /// Whether another is the same once more, after this one came to nothing; then this one stands for both. Runs try for as
    /// long as it takes, and would push out everything else.
    fn is_tried_again(&mut self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::HandingOut { fingerprint, done: None, again, .. },
                Self::HandingOut { fingerprint: other, .. },
            ) if fingerprint == other => *again += 1,
            (
                Self::Acceptance { fingerprint, done, refused: Some(refused), again, .. },
                Self::Acceptance { fingerprint: other, done: at, refused: Some(why), .. },
            ) if fingerprint == other => {
                (*done, *again) = (*at, *again + 1);
                refused.clone_from(why);
            }
            _ => return false,
        }
        true
    }
}

impl Change {
    /// Whether a rotation was part of it, a repair, or neither.
    pub fn what(&self) -> &'static str {
        let repairs = self.moves.iter().any(|one| one.repaired)
            || self.steps.iter().any(|step| matches!(step, Step::ChangedFromOutside { .. }));
        match (self.rotates(), repairs) {
            (true, true) => "rotation+repair",
            (true, false) => "rotation",
            (false, true) => "repair",
            (false, false) => "move",
        }
    }

    /// Whether a rotation was part of it.
    pub fn rotates(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Regeneration(_)))
    }

    fn hear(&mut self, before: &Journal, event: &Event, at: DateTime<Utc>) {
        let fingerprint = |key: KeyType| Some(before.keys()?[key].fingerprint.clone());
        self.ended = at;
        match event {
            Event::RegenerationIntended { key_type: key } => {
                let Some(old) = fingerprint(*key) else { return };
                self.step(Step::Regeneration(Regeneration {
                    key: *key,
                    old,
                    intended: at,
                    accepted: None,
                    correlation: None,
                    done: None,
                    new: None,
                    failed: None,
                    old_key: None,
                }));
            }
            Event::RegenerationAccepted { .. } => self.going_on(|one| one.accepted = Some(at)),
            Event::Regenerated { fingerprint, .. } => {
                self.going_on(|one| (one.done, one.new) = (Some(at), Some(fingerprint.clone())));
            }
            Event::RegenerationFailed { detail, .. } => {
                self.going_on(|one| (one.done, one.failed) = (Some(at), Some(detail.clone())));
            }
            Event::OldKeyTried { fingerprint, calls, fate } => self.old_key(fingerprint, *calls, fate, at),
            Event::Traced { regeneration, consumers } => self.traced(regeneration.as_ref(), consumers),
            Event::KeyChanged { key_type: key, fingerprint: new } => {
                let Some(old) = fingerprint(*key) else { return };
                self.step(Step::ChangedFromOutside { key: *key, old, new: new.clone(), done: at });
            }
            Event::Verified { key_type: key } => self.accepts(*key, fingerprint(*key), None, at),
            Event::VerificationRefused { key_type: key, detail } => {
                self.accepts(*key, fingerprint(*key), Some(detail.clone()), at);
            }
            Event::RepointIntended { key_type: key } => {
                let Some(fingerprint) = fingerprint(*key) else { return };
                self.step(Step::HandingOut { key: *key, fingerprint, intended: at, done: None, again: 0 });
            }
            Event::Repointed { key_type: key, apps, repaired } => {
                if let Some(Step::HandingOut { done, .. }) = self.steps.last_mut() {
                    *done = Some(at);
                }
                let Some(to) = fingerprint(*key) else { return };
                for app in apps {
                    self.moved(before, app, &to, *repaired, at);
                }
            }
            Event::AppsSeen { apps, .. } => self.seen(apps, at),
            Event::Reported { consumer, fingerprint } => {
                self.said(before, consumer, fingerprint, (How::Reported, None), at);
            }
            Event::Acknowledged { consumer, fingerprint, by } => {
                self.said(before, consumer, fingerprint, (How::Acknowledged, Some(by)), at);
            }
            Event::GatePassed { number: wave, .. } => {
                self.step(Step::Gate { wave: *wave, done: at, failed: None });
            }
            Event::GateFailed { number: wave, detail, .. } => {
                self.step(Step::Gate { wave: *wave, done: at, failed: Some(detail.clone()) });
            }
            Event::Recovered {} => self.step(Step::Recovered { done: at }),
            _ => {}
        }
    }

    fn step(&mut self, step: Step) {
        if self.steps.last_mut().is_some_and(|last| last.is_tried_again(&step)) {
            return;
        }
        // How it began and how it ended says more than what was in between.
        if self.steps.len() >= STEPS {
            self.steps.remove(STEPS / 2);
            self.steps_left_out += 1;
        }
        self.steps.push(step);
    }

    fn regenerations(&mut self) -> impl DoubleEndedIterator<Item = &mut Regeneration> {
        self.steps.iter_mut().filter_map(|step| match step {
            Step::Regeneration(one) => Some(one),
            _ => None,
        })
    }

    /// Changes what is known of the regeneration that goes on, if there was room for it.
    fn going_on(&mut self, change: impl FnOnce(&mut Regeneration)) {
        self.regenerations().next_back().filter(|one| one.done.is_none()).map(change);
    }

    fn old_key(&mut self, fingerprint: &Fingerprint, calls: u32, fate: &Fate, at: DateTime<Utc>) {
        let is_it =
            |one: &&mut Regeneration| one.old == *fingerprint && one.new.is_some() && one.old_key.is_none();
        for one in self.regenerations().filter(is_it) {
            one.old_key = Some(OldKey { at, calls, fate: fate.clone() });
        }
    }

    fn traced(&mut self, regeneration: Option<&String>, consumers: &BTreeMap<ConsumerId, String>) {
        if let Some(id) = regeneration {
            self.going_on(|one| one.correlation = Some(id.clone()));
        }
        for (consumer, id) in consumers {
            if let Some(moved) = self.moves.iter_mut().rev().find(|moved| moved.consumer == *consumer) {
                moved.correlation = Some(id.clone());
            }
        }
    }

    fn accepts(
        &mut self,
        key: KeyType,
        fingerprint: Option<Fingerprint>,
        refused: Option<String>,
        done: DateTime<Utc>,
    ) {
        if let Some(fingerprint) = fingerprint {
            self.step(Step::Acceptance { key, fingerprint, done, refused, again: 0 });
        }
    }

    fn moved(
        &mut self,
        before: &Journal,
        app: &ConsumerId,
        to: &Fingerprint,
        repaired: bool,
        at: DateTime<Utc>,
    ) {
        // From before the write on it counts as holding what it is given.
        let held = before.seen(app).unwrap_or_default();
        let from = held.iter().filter(|key| *key != to).cloned().collect();
        self.push(Move {
            consumer: app.clone(),
            kind: app.kind().to_owned(),
            from,
            to: to.clone(),
            repaired,
            written: Some(at),
            correlation: None,
            observed: None,
            how: How::Read,
            by: None,
        });
    }

    fn seen(&mut self, apps: &BTreeMap<ConsumerId, Vec<Fingerprint>>, at: DateTime<Utc>) {
        for moved in self.moves.iter_mut().filter(|moved| moved.observed.is_none()) {
            if apps.get(&moved.consumer).is_some_and(|held| *held == [moved.to.clone()]) {
                moved.observed = Some(at);
            }
        }
    }

    /// What only others can change was changed, by the word of somebody.
    fn said(
        &mut self,
        before: &Journal,
        consumer: &ConsumerId,
        to: &Fingerprint,
        (how, by): (How, Option<&String>),
        at: DateTime<Utc>,
    ) {
        let known = before.report(consumer).map(|report| report.fingerprint.clone());
        if known.as_ref() == Some(to) {
            return;
        }
        self.push(Move {
            consumer: consumer.clone(),
            kind: consumer.kind().to_owned(),
            from: known.into_iter().collect(),
            to: to.clone(),
            repaired: false,
            written: None,
            correlation: None,
            observed: Some(at),
            how,
            by: by.cloned(),
        });
    }

    fn push(&mut self, moved: Move) {
        if self.moves.len() < MOVES {
            self.moves.push(moved);
        } else {
            self.moves_left_out += 1;
        }
    }
}

impl Asked {
    const fn by(by: AskedBy) -> Self {
        Self { by, at: None, compromised: false, approved_by: None, approved_at: None }
    }

    /// Why a rotation begins: a request that the key to be replaced was there for, or its age.
    fn of_rotation(before: &Journal, key_type: KeyType) -> Self {
        let Some(record) = before.keys().map(|keys| &keys[key_type]) else {
            return Self::by(AskedBy::Schedule);
        };
        let is_new = |at: &DateTime<Utc>| record.created <= *at;
        // The first check of a service asks for a rotation by itself, and puts that on record with the keys.
        let by_itself =
            |at: &DateTime<Utc>| record.origin == Origin::FirstSeen && *at - record.created < AT_ONCE;
        let asked = before.requested().filter(|at| is_new(at) && !by_itself(at));
        let by = match asked {
            Some(_) if before.noticed() == asked => AskedBy::Notice,
            Some(_) => AskedBy::Command,
            None => AskedBy::Schedule,
        };
        let approval = before.approved();
        Self {
            by,
            at: asked,
            compromised: before.compromised().as_ref().is_some_and(is_new),
            approved_by: approval.map(|approval| approval.by.clone()),
            approved_at: approval.map(|approval| approval.at),
        }
    }
}
