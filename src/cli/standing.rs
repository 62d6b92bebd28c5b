//! How things stand in the middle of a rotation, for who has stopped it.

use chrono::{DateTime, Utc};

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ServiceConfig, StateConfig};
use crate::report::{RunReport, text};
use rekey_core::journal::{Held, Journal, KeyRecord, Origin};
use rekey_core::model::{KeyType, PerKey};
use rekey_core::plan::{Decision, Holding, Snapshot, forecast};
use rekey_core::time::readable;

/// Which key was made when, who holds which, and what waits: by the journal as it is now, and by what the run saw last.
pub(super) fn lines(
    instance: &ServiceConfig,
    report: &RunReport,
    journal: &Journal,
    now: DateTime<Utc>,
) -> Vec<String> {
    let seen = report.seen.as_ref();
    let of_key = |(key_type, record): (KeyType, &KeyRecord)| {
        format!("the {key_type} key {}; {}", made(record), holders(key_type, record, seen))
    };
    let mut lines: Vec<String> = journal.keys().into_iter().flat_map(PerKey::iter).map(of_key).collect();
    if lines.is_empty() {
        lines.push("nothing was done, and nothing is on record".to_owned());
    }
    if let Some(flight) = journal.in_flight() {
        let (key_type, at) = (flight.key_type, readable(flight.intended));
        lines.push(format!(
            "the {key_type} key, which no app holds, is being regenerated since {at}: Azure ends that by itself"
        ));
    }
    let stale = text::cut_off(&report.cut_off);
    if !stale.is_empty() {
        lines.push(format!("stale: these hold an invalid key, and their calls are refused: {stale}"));
    }
    if let Some(snapshot) = seen {
        lines.push(format!("what waits: {}", next_at(instance, snapshot, journal, now)));
    }
    lines
}

fn made(record: &KeyRecord) -> String {
    let at = readable(record.created);
    let made = match record.origin {
        Origin::Ours => format!("was regenerated at {at}"),
        Origin::Outside => format!("was regenerated from outside, as was seen at {at}"),
        Origin::FirstSeen => format!("is the one that was first seen at {at}"),
    };
    if record.verified { format!("{made}, and the service accepts it") } else { made }
}

fn holders(key_type: KeyType, record: &KeyRecord, seen: Option<&Snapshot>) -> String {
    let holders = seen.map(|seen| seen.holders(|holding| *holding == Holding::Valid(key_type)));
    let holders: Vec<String> = holders.iter().flatten().map(ToString::to_string).collect();
    match record.held {
        _ if !holders.is_empty() => format!("it is held by {}", holders.join(", ")),
        Held::Now => "apps hold it, or are being given it".to_owned(),
        Held::Never => "no app holds it".to_owned(),
        Held::Left(at) => format!("no app holds it since {}", readable(at)),
        Held::Unknown(at) => format!("no app was seen with it since {}", readable(at)),
    }
}

/// What is decided next, on what was seen last.
pub(super) fn next(instance: &ServiceConfig, snapshot: &Snapshot, journal: &Journal) -> Decision {
    next_at(instance, snapshot, journal, SystemClock.now())
}

fn next_at(instance: &ServiceConfig, snapshot: &Snapshot, journal: &Journal, now: DateTime<Utc>) -> Decision {
    let forecast = forecast(snapshot, journal, &instance.policy, now, false);
    forecast.steps.into_iter().next().map_or(forecast.end, |first| first.decision)
}

/// Who goes on with it.
pub(super) const fn carries_on(config: &Config) -> &'static str {
    match config.state {
        StateConfig::Memory => {
            "nobody carries on, for the journal was in this process alone: run `rotate` again, which sees everything as if for \
             the first time"
        }
        StateConfig::Blob(_) => {
            "RotateKeys of the deployed app carries on at its next schedule; to go on yourself, run `rotate` again, without \
             --now"
        }
    }
}
