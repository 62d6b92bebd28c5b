//! A run over one service: how it ended, and what it says on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use rekey_core::journal::{Event, Watch};
use rekey_core::model::{AppId, KeyType};

use super::snapshot::cut_off_by_keys;
use super::{InWords, listed, readable, rounded};
use crate::pass::{Ending, RunError, RunReport};

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided(decision) => f.write_str(&decision.in_words()),
            Self::Repaired => f.write_str("OK: every consumer holds a valid key"),
            Self::Known => f.write_str("nothing to do: the keys are the ones on record"),
            Self::OutOfTime { cut_off } if cut_off.is_empty() => {
                f.write_str("out of time; the next run carries on")
            }
            Self::OutOfTime { .. } => f.write_str(
                "failed: out of time before every stale consumer was repaired; the next run carries on",
            ),
            Self::Recorded => f.write_str("rotation request recorded; the next run carries on"),
            Self::HandedOver { holder } => {
                write!(f, "another run ({holder}) has checked since; every consumer holds a valid key")
            }
            Self::Awaited { until } => write!(
                f,
                "a notice says that a key was regenerated, but Azure still lists the previous keys; a new key may take until \
                 {} to appear",
                readable(*until)
            ),
            Self::Unseen(unknown) => write!(
                f,
                "failed: Azure was too busy to show everything; the next run checks again: {}",
                listed(unknown, "; ")
            ),
            Self::Stopped => f.write_str("stopped; the next run carries on"),
            Self::Busy { holder, until } => write!(
                f,
                "another run ({holder}) is working on this service until {} at the latest",
                readable(*until)
            ),
            Self::Postponed { until } => write!(
                f,
                "rotation request deferred by min_rotation_interval; accepted again after {}",
                readable(*until)
            ),
            Self::Unavailable(error) | Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::OutOfTime => f.write_str("out of time"),
            Self::HandedOver { holder } => write!(f, "another run ({holder}) has checked since"),
            Self::Apps { told, .. } => f.write_str(told),
        }
    }
}

/// One line for people: the service, who is cut off if anybody is, and how the run ended.
#[must_use]
pub fn summary(report: &RunReport) -> String {
    let (name, ending) = (report.instance.name(), report.ending.to_string());
    let repaired = repaired(report).unwrap_or_default();
    if report.cut_off.is_empty() || !report.ending.is_failure() {
        return format!("{name}: {ending}{repaired}");
    }
    // What alerts look for stays in front.
    let said = ending.split_once(": ").filter(|(word, _)| matches!(*word, "failed" | "blocked"));
    let (word, rest) = said.unwrap_or(("failed", &ending));
    let cut_off = cut_off_by_keys(&report.cut_off.join(", "));
    format!("{name}: {word}: {cut_off}; {rest}{repaired}")
}

/// What was repaired, if anything: how long that took, and which key those apps hold now, which is another if the run
/// went on to rotate. Who was written and is cut off all the same was not.
fn repaired(report: &RunReport) -> Option<String> {
    let (mut stale, mut holds) = (BTreeSet::new(), BTreeMap::new());
    for event in &report.happened {
        if let Event::Repointed { key_type, apps, repaired } = event {
            stale.extend(apps.iter().filter(|_| *repaired));
            holds.extend(apps.iter().map(|app| (app, *key_type)));
        }
    }
    holds.retain(|app, _| stale.contains(app));
    let is_cut_off =
        |app: &AppId| report.cut_off.iter().any(|who| who.starts_with(&format!("{} (", app.name())));
    let told = KeyType::ALL.into_iter().filter_map(|key_type| {
        let apps = holds.iter().filter(|(app, held)| **held == key_type && !is_cut_off(app));
        let apps: Vec<String> = apps.map(|(app, _)| app.name()).collect();
        let hold = if apps.len() == 1 { "holds" } else { "hold" };
        (!apps.is_empty()).then(|| format!("{} now {hold} the {key_type} key", apps.join(", ")))
    });
    let told: Vec<String> = told.collect();
    let took = rounded(report.repaired_in.unwrap_or(report.took));
    (!told.is_empty()).then(|| format!(" (repaired in {took}: {})", told.join("; ")))
}

/// An event of what the journal knows.
pub(crate) const KNOWN: &str = "nothing to do: this is known already";

/// Whom a run leaves cut off that had no time to check.
pub(crate) const UNCHECKED: &str =
    "apps that could not be checked in time, after a key was regenerated from outside";

/// An operation that Azure says to be running for longer than one can.
pub(crate) const RUNS_TOO_LONG: &str =
    "Azure says that the regeneration is still running, after the longest time that one takes";

/// What Azure calls a success, and is none.
pub(crate) const UNCHANGED_SUCCESS: &str = "Azure reports success, but the key is unchanged";

/// An operation is asked no more.
pub(crate) fn not_asked_any_more(why: &str) -> String {
    format!("{why}. The listed keys will show how it ended")
}

/// An announced time that does not fit into the journal any more.
pub(crate) fn not_watched(at: DateTime<Utc>, most: usize) -> String {
    format!(
        "the keys will not be watched around {}: {most} announced times are on record already",
        readable(at)
    )
}

/// The run at work could not be asked to check again.
pub(crate) fn not_called(why: &str) -> String {
    format!("cannot ask the run at work to check again: {why}")
}

/// Whether another run asks for a check could not be read.
pub(crate) fn not_heard(why: &str) -> String {
    format!("cannot read whether another run asks for a check: {why}")
}

/// The keys are checked closely from now on.
pub(crate) fn watching(every: i64, from: DateTime<Utc>, until: DateTime<Utc>) -> String {
    format!("keys are checked every {every} seconds from {} until {}", readable(from), readable(until))
}

/// When and why keys are watched.
pub(crate) fn watch(watch: &Watch, announced: bool) -> String {
    let why = if announced {
        "a regeneration is announced"
    } else {
        "a notice says that a key was regenerated, which Azure did not show yet"
    };
    let (from, until) = (readable(watch.from), readable(watch.until));
    format!("keys are watched closely from {from} until {until}: {why}")
}

/// The timer's run is one of several in a row that did not finish.
pub(crate) fn unfinished_again(ending: &Ending, runs: u32) -> String {
    format!("{ending}; this is run {runs} in a row that did not finish")
}

/// That the timer has run could not be put on record.
pub(crate) fn unrecorded(why: &str) -> String {
    format!("cannot record that RotateKeys has run: {why}")
}

/// What the webhook was told before could not be read.
pub(crate) fn untold(why: &str) -> String {
    format!("cannot read what the webhook was told before: {why}")
}

/// Whether the timer still runs could not be read.
pub(crate) fn silence_unknown(why: &str) -> String {
    format!("cannot read whether RotateKeys still runs: {why}")
}

/// The timer has not run for long.
pub(crate) fn silent(last: DateTime<Utc>, gap: impl fmt::Display) -> String {
    format!(
        "the timer is silent: RotateKeys last ran at {}, but should run every {gap}. Until it does, keys are rotated only when \
         a notice comes. Check that the function RotateKeys is enabled, and restart the function app",
        readable(last)
    )
}

/// A notice's run has done the timer's work.
pub(crate) fn in_place_of_the_timer(ending: &Ending) -> String {
    format!("in place of the timer: {ending}")
}

/// This process takes on nothing more.
pub(crate) const ENDING_PROCESS: &str = "this process is ending; the next delivery carries on";

/// The watch begins.
pub(crate) fn watching_the_data_plane(every: impl fmt::Display) -> String {
    format!(
        "checking the keys against the service every {every}; Functions unloads this process while nothing calls it, and then \
         only RotateKeys checks, unless alwaysReady keeps an instance of the group http"
    )
}

/// The watch has found a key that the service refuses.
pub(crate) fn refused_in_use(name: &str, detail: &str) -> String {
    format!("{name}: the service refuses a key that consumers hold ({detail}); checking them")
}

/// The watch could not reach the service.
pub(crate) fn watch_learned_nothing(detail: &str) -> String {
    format!("the watch could not check the key: {detail}")
}

/// What the watch found could not be repaired.
pub(crate) fn not_repaired_by_watch(summary: &str) -> String {
    format!("the watch could not repair it; RotateKeys carries on: {summary}")
}
