//! Who wrote an old string back into an app: that somebody did, and when it is to be asked in which time.
//!
//! Start at [`written_back`]. Nothing is decided by it: what an app holds is repaired, or moved, whoever wrote it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Holding, Snapshot};
use crate::journal::{Event, Journal};
use crate::model::{ConsumerId, Fingerprint};
use crate::policy::Policy;
use crate::time::delta;

/// How long Azure may take to show an entry of its activity log (docs: Azure Monitor activity log; 3 to 20 minutes), and some
/// more. What it does not show by then it does not have, or does not show to us.
const SHOWN_WITHIN: TimeDelta = TimeDelta::minutes(25);

/// How much older than the last reading of all apps a write may be that is found now: a run that was left out, and clocks that
/// differ.
const MARGIN: TimeDelta = TimeDelta::minutes(30);

/// An app that was given an old string, and nobody knows yet by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    pub app: ConsumerId,
    /// The time in which that happened.
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

impl Unnamed {
    /// Whether the log would show it by now.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.until + SHOWN_WITHIN <= now
    }
}

/// That apps hold keys that they had left: somebody wrote an old string back. What we give them is on record before. Of what an
/// app is given by a secret or key-value, of replicas of which it is only known that they may hold a key, and of apps that were
/// out of sight it cannot be told.
pub(super) fn written_back(snapshot: &Snapshot, journal: &Journal) -> Option<Event> {
    let fits = |app: &ConsumerId| {
        app.restarts()
            && !snapshot.echoed
            && snapshot.seen.contains_key(app)
            && !journal.is_blurred(app)
            && !snapshot.reads.iter().any(|(reader, _)| reader == app)
    };
    let held =
        snapshot.consumers.iter().filter(|one| fits(&one.at.app) && !snapshot.may_hold.contains(&one.at));
    let old = held.filter_map(|one| {
        let before = journal.seen(&one.at.app).filter(|before| !before.is_empty())?;
        let key = match &one.holds {
            Holding::Valid(key_type) => &snapshot.keys[*key_type],
            Holding::Stale(key) => key,
            Holding::Identity => return None,
        };
        (!before.contains(key) && is_older(key, before, journal)).then(|| (one.at.app.clone(), key.clone()))
    });
    let consumers: BTreeMap<ConsumerId, Fingerprint> = old.collect();
    (!consumers.is_empty()).then_some(Event::WrittenBack { consumers })
}

/// Whether a key of the service is older than one that an app had.
fn is_older(key: &Fingerprint, before: &[Fingerprint], journal: &Journal) -> bool {
    let made = |key: &Fingerprint| {
        let keys = journal.keys()?;
        keys.iter().find(|(_, record)| record.fingerprint == *key).map(|(_, record)| record.created)
    };
    match made(key) {
        // It was one of the two once.
        None => journal.remembers(key),
        Some(at) => before.iter().filter_map(made).any(|had| at < had),
    }
}

/// The apps that were given an old string by somebody who was neither named nor given up.
pub fn unnamed(journal: &Journal, policy: &Policy) -> Vec<Unnamed> {
    if !policy.name_writers {
        return Vec::new();
    }
    let mut open: BTreeMap<&ConsumerId, Unnamed> = BTreeMap::new();
    let mut given: BTreeMap<&ConsumerId, DateTime<Utc>> = BTreeMap::new();
    for entry in journal.history() {
        match &entry.event {
            Event::Repointed { apps, .. } => given.extend(apps.iter().map(|app| (app, entry.at))),
            Event::WrittenBack { consumers } => {
                for app in consumers.keys() {
                    let earliest = entry.at - delta(policy.full_check_every) - MARGIN;
                    let from = given.get(app).copied().map_or(earliest, |at| at.max(earliest));
                    open.insert(app, Unnamed { app: app.clone(), from, until: entry.at });
                }
            }
            Event::WriterNamed { consumer, .. } => drop(open.remove(consumer)),
            Event::WriterUnknown { consumers, .. } => {
                open.retain(|app, _| !consumers.contains(app));
            }
            _ => {}
        }
    }
    open.into_values().collect()
}

/// A write that Azure's activity log tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedWrite {
    /// The id of what was written: of settings one of their own, below the app's.
    pub resource: String,
    /// What was done, as Azure calls it.
    pub action: String,
    /// Who did it.
    pub by: String,
    pub at: DateTime<Utc>,
    /// Whether it was one of our requests.
    pub ours: bool,
}

/// Who wrote which app last in its time, as events; and of whom the log tells nothing.
pub fn name(open: Vec<Unnamed>, log: &[LoggedWrite]) -> (Vec<Event>, Vec<Unnamed>) {
    let (mut named, mut unnamed) = (Vec::new(), Vec::new());
    for one in open {
        let fits = |write: &&LoggedWrite| {
            !write.ours && one.from <= write.at && write.at <= one.until && writes(write, &one.app)
        };
        match log.iter().filter(fits).max_by_key(|write| write.at) {
            Some(LoggedWrite { by, at, action, .. }) => named.push(Event::WriterNamed {
                consumer: one.app,
                by: by.clone(),
                written: *at,
                action: action.clone(),
            }),
            None => unnamed.push(one),
        }
    }
    (named, unnamed)
}

/// What holds settings below an app.
const SETTINGS: [&str; 3] = ["appsettings", "connectionstrings", "functionappsettings"];

/// Whether a write may have changed what an app holds: it is of the app itself, or of its settings, or swaps it with a slot.
fn writes(write: &LoggedWrite, app: &ConsumerId) -> bool {
    let [resource, action, app] =
        [write.resource.as_str(), &write.action, &app.to_string()].map(str::to_ascii_lowercase);
    let (site, _) = app.split_once("/slots/").unwrap_or((&app, ""));
    if action.ends_with("slotsswap/action") {
        return resource == site || resource.strip_prefix(site).is_some_and(|rest| rest.starts_with('/'));
    }
    let Some(below) = resource.strip_prefix(&app).filter(|_| action.ends_with("/write")) else {
        return false;
    };
    let is_of_settings = || SETTINGS.iter().any(|name| below.ends_with(&format!("/config/{name}")));
    below.is_empty() || (below.starts_with('/') && !below.starts_with("/slots/") && is_of_settings())
}
