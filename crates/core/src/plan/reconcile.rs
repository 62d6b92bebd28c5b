//! Bringing the journal up to what a check has shown.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::external::wait_begun_or_over;
use super::safety::known_at;
use super::writers::written_back;
use super::{ConsumerRef, Execution, Snapshot, Unknown, decide, rotates_at_first_sight};
use crate::journal::{Event, Held, InFlight, Journal, KeyRecord, UNCHANGED};
use crate::model::{ConsumerId, Fingerprint, KeyType, PerKey};
use crate::policy::Policy;

/// The events that a check adds to the journal, in the order in which they are applied.
///
/// Guarantee: applied to the journal that they were made from, none of them is illegal, and afterwards [`decide`]
/// finds journal and snapshot agreeing.
pub fn reconcile(snapshot: &Snapshot, journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> Vec<Event> {
    let mut events = seen_of(snapshot, journal, policy, now);
    let is_waited_for = |keys: &PerKey<KeyRecord>| keys.iter().any(|(_, record)| record.awaited.is_some());
    if snapshot.external.is_empty() && !journal.keys().is_some_and(is_waited_for) {
        return events;
    }
    let mut brought_up = journal.clone();
    if events.iter().try_for_each(|event| brought_up.apply(event.clone(), now)).is_ok() {
        let decision = || decide(snapshot, &brought_up, policy, now);
        events.extend(wait_begun_or_over(snapshot, &brought_up, decision));
    }
    events
}

/// What a check shows that is not on record.
fn seen_of(snapshot: &Snapshot, journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> Vec<Event> {
    let mut events = Vec::new();
    let Some(keys) = journal.keys() else {
        events.push(Event::Adopted { keys: snapshot.keys.clone() });
        if rotates_at_first_sight(policy) {
            events.push(Event::RotationRequested { compromised: false, noticed: false });
        }
        events.extend(held(snapshot).map(|key_type| Event::Taken { key_type }));
        events.extend(blind(snapshot, journal).then_some(Event::Blinded {}));
        events.extend(newly_seen(snapshot, journal));
        return events;
    };
    let ended = journal.in_flight().and_then(|flight| ended_unseen(flight, snapshot, policy, now));
    let in_flight = journal.in_flight().filter(|_| ended.is_none()).map(|flight| flight.key_type);
    let replaced_by_us = match (&ended, journal.in_flight()) {
        (Some(Event::Regenerated { .. }), Some(flight)) => Some(flight.key_type),
        _ => None,
    };
    events.extend(ended);
    for key_type in KeyType::ALL {
        let ours = replaced_by_us == Some(key_type) || in_flight == Some(key_type);
        let changed = keys[key_type].fingerprint != snapshot.keys[key_type];
        if changed && !ours {
            events.push(Event::KeyChanged { key_type, fingerprint: snapshot.keys[key_type].clone() });
        }
        // Who took a key of ours while it was in flight holds the new one, or has left it by now.
        let replaced = changed && !ours;
        events.extend(held_or_left(key_type, keys, snapshot, replaced));
    }
    match (journal.is_blind(), blind(snapshot, journal)) {
        (false, true) => events.push(Event::Blinded {}),
        (true, false) if snapshot.unknown.iter().all(Unknown::lasts) => events.push(Event::Sighted {}),
        _ => {}
    }
    let missing = snapshot.unknown.iter().any(Unknown::is_of_missing);
    events.extend((missing != journal.is_missing()).then_some(Event::AppsMissing { missing }));
    let unrepaired =
        journal.is_unrepaired() || events.iter().any(|event| matches!(event, Event::KeyChanged { .. }));
    events.extend((unrepaired && is_repaired(snapshot)).then_some(Event::Recovered {}));
    events.extend(written_back(snapshot, journal).filter(|_| policy.name_writers));
    events.extend(newly_seen(snapshot, journal));
    events.extend(newly_blurred(snapshot, journal));
    events
}

/// How the keys that Azure lists stand to those on record. Of both keys the greater counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// They are the same, or one is the one that is being made for us: nothing is news.
    Explained,
    /// A key that we are replacing is another already, and nobody knows yet whether it is ours.
    InFlight,
    /// A key is another, and we have not begun to replace it; or nothing is on record.
    Differs,
}

/// Compares the keys that Azure lists with those on record.
pub fn agreement(listed: &PerKey<Fingerprint>, journal: &Journal) -> Agreement {
    let Some(keys) = journal.keys() else { return Agreement::Differs };
    let of_key = |(key_type, record): (KeyType, &KeyRecord)| {
        let found = &listed[key_type];
        match journal.in_flight().filter(|flight| flight.key_type == key_type) {
            _ if record.fingerprint == *found => Agreement::Explained,
            Some(flight) if flight.promised.as_ref() == Some(found) => Agreement::Explained,
            Some(_) => Agreement::InFlight,
            None => Agreement::Differs,
        }
    };
    keys.iter().map(of_key).max().unwrap_or(Agreement::Differs)
}

/// The apps that were never seen before, or hold other keys than when they were last seen. What Azure answered to a write
/// of ours is no sight of an app.
fn newly_seen(snapshot: &Snapshot, journal: &Journal) -> Option<Event> {
    let news = |(app, held): &(&ConsumerId, &Vec<Fingerprint>)| {
        let moved = journal.dictionaries(app) != snapshot.dictionaries.get(*app);
        let ran = journal.executions(app).cloned().unwrap_or_default() != snapshot.executions_of(app);
        moved || ran || journal.is_blurred(app) || journal.seen(app) != Some(held.as_slice())
    };
    let apps: BTreeMap<ConsumerId, Vec<Fingerprint>> =
        snapshot.seen.iter().filter(news).map(|(app, held)| (app.clone(), held.clone())).collect();
    let of_news = snapshot.dictionaries.iter().filter(|(app, _)| apps.contains_key(app));
    let dictionaries = of_news.map(|(app, held_in)| (app.clone(), held_in.clone())).collect();
    let executions = apps.keys().map(|app| (app.clone(), snapshot.executions_of(app)));
    let executions = executions.filter(|(_, running)| !running.is_empty()).collect();
    (!apps.is_empty() && !snapshot.echoed).then_some(Event::AppsSeen { apps, dictionaries, executions })
}

/// The apps that go out of sight with this check.
fn newly_blurred(snapshot: &Snapshot, journal: &Journal) -> Option<Event> {
    let in_sight = |app: &&ConsumerId| journal.seen(app).is_some() && !journal.is_blurred(app);
    let apps: BTreeSet<ConsumerId> = snapshot.blurred.iter().filter(in_sight).cloned().collect();
    (!apps.is_empty()).then_some(Event::AppsBlurred { apps })
}

/// From before the write on, each of these apps may hold the key that it is about to be given, beside what it was seen
/// with; the next check of it says what it does hold. Executions that are `running` go on with what they were started with, until
/// they are seen to have ended.
pub fn handed_out(
    journal: &Journal,
    key: &Fingerprint,
    consumers: &[ConsumerRef],
    running: &[Execution],
) -> Event {
    let of_app =
        |consumer: &ConsumerRef| Some((consumer.app.clone(), journal.dictionaries(&consumer.app)?.clone()));
    let dictionaries = consumers.iter().filter_map(of_app).collect();
    let executions = consumers.iter().map(|ConsumerRef { app: job, .. }| {
        let mut going = journal.executions(job).cloned().unwrap_or_default();
        for execution in running.iter().filter(|one| one.job == *job) {
            going.entry(execution.name.clone()).or_insert(execution.until);
        }
        (job.clone(), going)
    });
    let executions = executions.filter(|(_, going)| !going.is_empty()).collect();
    let apps = consumers.iter().map(|consumer| {
        let mut held = journal.seen(&consumer.app).unwrap_or_default().to_vec();
        if !held.contains(key) {
            held.push(key.clone());
        }
        (consumer.app.clone(), held)
    });
    Event::AppsSeen { apps: apps.collect(), dictionaries, executions }
}

/// The end of a regeneration whose operation URL was never learned or is of no use, once that is known: the key changed,
/// so it was done, or it did not. With a URL, Azure is asked instead.
fn ended_unseen(
    flight: &InFlight,
    snapshot: &Snapshot,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<Event> {
    if flight.operation.is_some() {
        return None;
    }
    let fingerprint = &snapshot.keys[flight.key_type];
    if known_at(flight, fingerprint, policy) > now {
        return None;
    }
    Some(if *fingerprint == flight.prior {
        Event::RegenerationFailed { detail: UNCHANGED.into(), lasting: false }
    } else {
        Event::Regenerated { fingerprint: fingerprint.clone(), confirmed: false }
    })
}

fn held_or_left(
    key_type: KeyType,
    keys: &PerKey<KeyRecord>,
    snapshot: &Snapshot,
    replaced: bool,
) -> Option<Event> {
    let before = keys[key_type].held == Held::Now && !replaced;
    match (before, snapshot.is_held(key_type)) {
        (false, true) => Some(Event::Taken { key_type }),
        // Where something could not be seen, the consumer may be there; and Azure's answer to a write is not yet what the
        // app is given. Its leaving is not established then, and the grace must not begin to run.
        (true, false) if !snapshot.echoed && !snapshot.may_be_held_unseen(key_type) => {
            Some(Event::Left { key_type })
        }
        _ => None,
    }
}

/// Whether everybody could be seen, and nobody holds an invalid key.
fn is_repaired(snapshot: &Snapshot) -> bool {
    snapshot.stale().is_empty() && snapshot.unknown.is_empty() && !snapshot.echoed
}

/// Whether something that may hold any key stays out of sight. Who has vanished holds what it last held, unless it was out
/// of sight before: then it may have taken either key until it is seen to be deleted.
fn blind(snapshot: &Snapshot, journal: &Journal) -> bool {
    let unseen = |unknown: &Unknown| match unknown {
        Unknown::Vanished { app, .. } => journal.is_blurred(app),
        other => other.lasts(),
    };
    snapshot.unknown.iter().any(unseen)
}

fn held(snapshot: &Snapshot) -> impl Iterator<Item = KeyType> {
    KeyType::ALL.into_iter().filter(|key_type| snapshot.is_held(*key_type))
}
