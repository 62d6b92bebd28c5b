//! How things stand in the middle of a rotation, for who has stopped it.

use chrono::{DateTime, Utc};

use super::instances::is_simulated;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ServiceConfig, StateConfig};
use crate::report::RunReport;
use crate::report::text::{InWords, command as words, readable, snapshot as text};
use rekey_core::journal::{Held, Journal, KeyRecord, Origin};
use rekey_core::model::{KeyType, PerKey};
use rekey_core::plan::{BlockedBy, ConsumerRef, Decision, Holding, Snapshot, forecast};

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
        lines.push(words::STANDING_NOTHING.to_owned());
    }
    if let Some(flight) = journal.in_flight() {
        lines.push(words::standing_in_flight(flight.key_type, readable(flight.intended)));
    }
    if !report.cut_off.is_empty() {
        lines.push(text::stale(&report.cut_off));
    }
    if let Some(snapshot) = seen {
        lines.push(words::standing_next(next_at(instance, snapshot, journal, now).in_words()));
    }
    lines
}

fn made(record: &KeyRecord) -> String {
    let at = readable(record.created);
    let made = match record.origin {
        Origin::Ours => words::standing_ours(at),
        Origin::Outside => words::standing_outside(at),
        Origin::FirstSeen => words::standing_first_seen(at),
    };
    if record.verified { words::standing_accepted(&made) } else { made }
}

fn holders(key_type: KeyType, record: &KeyRecord, seen: Option<&Snapshot>) -> String {
    let holders = seen.map(|seen| seen.holders(|holding| *holding == Holding::Valid(key_type)));
    let is_sure = |at: &&ConsumerRef| seen.is_some_and(|seen| seen.is_sure(at));
    let (sure, perhaps): (Vec<&ConsumerRef>, Vec<_>) = holders.iter().flatten().partition(is_sure);
    let perhaps: Vec<String> =
        perhaps.into_iter().map(|at| words::standing_may_hold(at.in_words())).collect();
    let holders: Vec<String> = sure.into_iter().map(InWords::in_words).chain(perhaps).collect();
    match record.held {
        _ if !holders.is_empty() => words::standing_held_by(holders.join(", ")),
        Held::Now => words::STANDING_HELD.to_owned(),
        Held::Never => words::STANDING_NOT_HELD.to_owned(),
        Held::Left(at) => words::standing_left(readable(at)),
        Held::Unknown(at) => words::standing_unseen(readable(at)),
    }
}

/// What is decided next, on what was seen last.
pub(super) fn next(instance: &ServiceConfig, snapshot: &Snapshot, journal: &Journal) -> Decision {
    next_at(instance, snapshot, journal, SystemClock.now())
}

fn next_at(instance: &ServiceConfig, snapshot: &Snapshot, journal: &Journal, now: DateTime<Utc>) -> Decision {
    let forecast = forecast(snapshot, journal, &instance.policy, now, false);
    let first = forecast.steps.into_iter().next().map(|first| first.decision);
    first.or(forecast.end).unwrap_or(Decision::Blocked(BlockedBy::JournalDisagrees))
}

/// Who goes on with it.
pub(super) fn carries_on(config: &Config) -> &'static str {
    match config.state {
        StateConfig::Blob(_) if is_simulated(config) => words::STANDING_A_HANDLER_CARRIES_ON,
        StateConfig::Memory => words::STANDING_NOBODY_CARRIES_ON,
        StateConfig::Blob(_) => words::STANDING_THE_TIMER_CARRIES_ON,
    }
}
