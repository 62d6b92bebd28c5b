//! Whether the keys alone tell that there is nothing to do.
//!
//! Start at [`quiet`]. A check that reads every consumer costs two requests for each app, the keys cost one; and mostly
//! nothing has happened.

use chrono::{DateTime, Utc};

use super::{
    Agreement, Consumer, ConsumerRef, Decision, Holding, Open, Snapshot, agreement, assess, to_watch,
};
use crate::journal::Journal;
use crate::model::{ConsumerId, Fingerprint, PerKey, Section};
use crate::policy::Policy;

/// The decision to do nothing now, if everybody holds what the journal says; nothing if that is not known of each of `apps`,
/// or something is due, waited for, under way, to be repaired, or watched before `end`: then everything is to be read.
///
/// Guarantee, kept by property tests: a check of everything that shows what the journal says comes to the same decision. So
/// nothing is done that rests on less than a check of everything, and nothing that is due waits for one.
pub fn quiet(
    listed: &PerKey<Fingerprint>,
    apps: impl IntoIterator<Item = ConsumerId>,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Option<Decision> {
    if to_watch(journal, now, end).is_some() {
        return None;
    }
    let snapshot = remembered(listed, apps, journal, now)?;
    let assessment = assess(snapshot, journal, Open::nothing(), policy, now).ok()?;
    let settled = matches!(assessment.decision, Decision::Settled { .. });
    (settled && assessment.news.is_empty()).then_some(assessment.decision)
}

/// What the last check of everything has shown, as far as it is on record that it saw everything.
fn remembered(
    listed: &PerKey<Fingerprint>,
    apps: impl IntoIterator<Item = ConsumerId>,
    journal: &Journal,
    now: DateTime<Utc>,
) -> Option<Snapshot> {
    let out_of_sight = journal.is_blind() || journal.is_missing() || journal.is_unrepaired();
    if out_of_sight || journal.in_flight().is_some() || agreement(listed, journal) != Agreement::Explained {
        return None;
    }
    let mut snapshot = Snapshot::of_keys(now, listed.clone());
    for app in apps {
        let held = journal.seen(&app).filter(|_| !journal.is_blurred(&app))?;
        snapshot.consumers.extend(held.iter().map(|key| holder(&app, key, listed)));
        snapshot.seen.insert(app, held.to_vec());
    }
    Some(snapshot)
}

/// A consumer that stands for those of an app that hold a key. In which setting that is the journal does not keep.
fn holder(app: &ConsumerId, key: &Fingerprint, listed: &PerKey<Fingerprint>) -> Consumer {
    let of_key = listed.iter().find(|(_, current)| *current == key);
    Consumer {
        at: ConsumerRef { app: app.clone(), section: Section::AppSettings, name: String::new() },
        holds: of_key.map_or_else(|| Holding::Stale(key.clone()), |(key_type, _)| Holding::Valid(key_type)),
    }
}
