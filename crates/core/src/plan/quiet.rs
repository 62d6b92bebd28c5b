//! Whether the keys alone tell that there is nothing to do.
//!
//! Start at [`quiet`]. A check that reads every consumer costs two requests for each app, the keys cost one; and mostly
//! nothing has happened.

use chrono::{DateTime, Utc};

use super::{Consumer, ConsumerRef, Decision, External, Holding, Open, Snapshot, assess, to_watch, unnamed};
use crate::journal::Journal;
use crate::model::{ConsumerId, Fingerprint, PerKey, Section};
use crate::policy::Policy;

/// The decision to do nothing now, where a check that shows what the journal says would bring no news and come to it; nothing if
/// it is not on record what each of `apps` holds, or the keys are watched before `end`. So it is nothing as well where a key
/// changed, something is out of sight, due, waited for (but for a window), under way, to be repaired, to be asked about or to be proved: then everything is to
/// be read.
///
/// Guarantee, kept by property tests: a check of everything that agrees with the journal comes to the same decision. So
/// nothing that is to be done waits for one.
pub fn quiet(
    listed: &PerKey<Fingerprint>,
    apps: impl IntoIterator<Item = ConsumerId>,
    external: impl IntoIterator<Item = External>,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Option<Decision> {
    if to_watch(journal, now, end).is_some() || !unnamed(journal, policy).is_empty() {
        return None;
    }
    let mut remembered = Snapshot::of_keys(now, listed.clone());
    for app in apps {
        let held = journal.seen(&app)?;
        remembered.consumers.extend(held.iter().map(|key| holder(&app, key, listed)));
        // Whether they have ended only Azure tells.
        if journal.executions(&app).is_some() {
            return None;
        }
        if let Some(held_in) = journal.dictionaries(&app) {
            remembered.dictionaries.insert(app.clone(), held_in.clone());
        }
        remembered.seen.insert(app, held.to_vec());
    }
    remembered.add_external(external, journal);
    let assessment = assess(remembered, journal, Open::nothing(), policy, now).ok()?;
    let rests = match &assessment.decision {
        Decision::Settled { .. } => true,
        Decision::Waiting { reason, .. } => reason.is_for_calendar(),
        Decision::Do(_) | Decision::Blocked(_) => false,
    };
    let settled = matches!(assessment.decision, Decision::Settled { .. });
    let owed = journal.owes_evidence(settled, now);
    (rests && !owed && assessment.news.is_empty()).then_some(assessment.decision)
}

/// A consumer that stands for those of an app that hold a key. In which setting that is the journal does not keep.
fn holder(app: &ConsumerId, key: &Fingerprint, listed: &PerKey<Fingerprint>) -> Consumer {
    let of_key = listed.iter().find(|(_, current)| *current == key);
    Consumer {
        at: ConsumerRef { app: app.clone(), section: Some(Section::AppSettings), name: String::new() },
        holds: of_key.map_or_else(|| Holding::Stale(key.clone()), |(key_type, _)| Holding::Valid(key_type)),
    }
}
