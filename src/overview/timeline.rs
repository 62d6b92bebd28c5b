//! The last rotations of a service as spans of time: how long each key lived, when consumers held it, its grace periods, the
//! consumers' moves, and the outages.
//!
//! It is made of the journal's events alone. Of what began before the oldest of them the beginning is not known, and is left out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use rekey_core::journal::{Event, Held, Journal, Origin};
use rekey_core::model::{ConsumerId, Fingerprint, KeyType, PerKey};

/// What happened, as spans. A span without an end goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// From when on it shows what happened; none if nothing is on record.
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub to: Option<DateTime<Utc>>,
    pub lives: Vec<Life>,
    /// When consumers held a key.
    pub held: Vec<Span>,
    /// From when the last consumer left a key until it was regenerated.
    pub graces: Vec<Span>,
    /// From a regeneration from outside until everybody was seen with a valid key.
    pub outages: Vec<Span>,
    pub moves: Vec<Move>,
}

/// The life of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    pub key_type: KeyType,
    pub fingerprint: Fingerprint,
    /// None if it was made before the oldest event.
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    pub origin: Origin,
}

/// A time, of one of the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    pub key_type: KeyType,
    pub from: DateTime<Utc>,
    pub until: Option<DateTime<Utc>>,
}

/// Consumers were given a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    pub at: DateTime<Utc>,
    /// The key that they got.
    pub key_type: KeyType,
    pub consumers: Vec<String>,
    /// Whether they held an invalid one.
    pub repair: bool,
}

impl Timeline {
    /// What a journal has of it.
    pub fn of(journal: &Journal, now: DateTime<Utc>) -> Self {
        let mut timeline = Self { from: journal.history().next().map(|first| first.at), ..Self::default() };
        timeline.to = timeline.from.map(|_| now);
        let mut in_flight = None;
        for entry in journal.history() {
            timeline.fold(&entry.event, entry.at, &mut in_flight);
        }
        timeline.end_with(journal);
        timeline
    }

    fn fold(&mut self, event: &Event, at: DateTime<Utc>, in_flight: &mut Option<KeyType>) {
        match event {
            Event::Adopted { keys } => {
                for (key_type, fingerprint) in keys.iter() {
                    self.begins(key_type, fingerprint, None, Origin::FirstSeen);
                }
            }
            Event::KeyChanged { key_type, fingerprint } => {
                self.begins(*key_type, fingerprint, Some(at), Origin::Outside);
                if self.outages.last().is_none_or(|outage| outage.until.is_some()) {
                    self.outages.push(Span { key_type: *key_type, from: at, until: None });
                }
            }
            Event::Recovered {} => end(&mut self.outages, |_| true, at),
            Event::RegenerationIntended { key_type } => *in_flight = Some(*key_type),
            Event::RegenerationFailed { .. } => *in_flight = None,
            Event::Regenerated { fingerprint, .. } => {
                if let Some(key_type) = in_flight.take() {
                    self.begins(key_type, fingerprint, Some(at), Origin::Ours);
                }
            }
            Event::Taken { key_type } | Event::RepointIntended { key_type } => self.taken(*key_type, at),
            Event::Repointed { key_type, apps, repaired } => {
                self.taken(*key_type, at);
                let consumers = apps.iter().map(ConsumerId::name).collect();
                self.moves.push(Move { at, key_type: *key_type, consumers, repair: *repaired });
            }
            Event::Left { key_type } => {
                end(&mut self.held, |span| span.key_type == *key_type, at);
                self.graces.push(Span { key_type: *key_type, from: at, until: None });
            }
            _ => {}
        }
    }

    /// A key begins to live, and the one before it is dead.
    fn begins(
        &mut self,
        key_type: KeyType,
        fingerprint: &Fingerprint,
        from: Option<DateTime<Utc>>,
        origin: Origin,
    ) {
        if let Some(at) = from {
            let before = self.lives.iter_mut().rfind(|life| life.key_type == key_type);
            before.into_iter().for_each(|life| life.until = life.until.or(Some(at)));
            end(&mut self.held, |span| span.key_type == key_type, at);
            end(&mut self.graces, |span| span.key_type == key_type, at);
        }
        self.lives.push(Life { key_type, fingerprint: fingerprint.clone(), from, until: None, origin });
    }

    fn taken(&mut self, key_type: KeyType, at: DateTime<Utc>) {
        end(&mut self.graces, |span| span.key_type == key_type, at);
        if !self.held.iter().any(|span| span.key_type == key_type && span.until.is_none()) {
            self.held.push(Span { key_type, from: at, until: None });
        }
    }

    /// What the events are too young to tell, and the state does.
    fn end_with(&mut self, journal: &Journal) {
        let (Some(start), Some(keys)) = (self.from, journal.keys()) else { return };
        for (key_type, record) in PerKey::iter(keys) {
            if !self.lives.iter().any(|life| life.key_type == key_type && life.until.is_none()) {
                let from = Some(record.created).filter(|created| start <= *created);
                self.begins(key_type, &record.fingerprint, from, record.origin);
            }
            let is_shown = self.held.iter().any(|span| span.key_type == key_type && span.until.is_none());
            if record.held == Held::Now && !is_shown {
                self.held.push(Span { key_type, from: start, until: None });
            }
        }
        // Of the keys before the oldest event, that they were there is all that is known.
    }
}

/// Ends the last open one of those.
fn end(spans: &mut [Span], of: impl Fn(&Span) -> bool, at: DateTime<Utc>) {
    let open = spans.iter_mut().rfind(|span| of(span) && span.until.is_none());
    open.into_iter().for_each(|span| span.until = Some(at));
}
