//! A run's events, its report and its ending, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::journal::told;
use super::snapshot::{cut_off_by_keys, gone};
use super::{InWords, listed, readable, rounded};
use crate::report::{Ending, LostOperation, RunEvent, RunReport};
use rekey_core::intent::Known;
use rekey_core::journal::{Event, WATCHES, Watch};
use rekey_core::model::{ConsumerId, KeyType};
use rekey_core::plan::Announced;

impl fmt::Display for RunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded { event, in_flight } => f.write_str(&told(event, *in_flight)),
            Self::Gone(app) => f.write_str(&gone(app)),
            Self::Unseen(unknown) => f.write_str(&unknown.in_words()),
            Self::Waiting(decision) => f.write_str(&decision.in_words()),
            Self::Covered(covered) => f.write_str(&covered.in_words()),
            Self::Known(Known::Explained) => f.write_str("nothing to do: this is known already"),
            Self::Watching { watch, every } => write!(
                f,
                "keys are checked every {} seconds from {} until {}",
                every.as_secs(),
                readable(watch.from),
                readable(watch.until)
            ),
            Self::NotCalled { why } => write!(f, "cannot ask the run at work to check again: {why}"),
            Self::NotAccepted { why } | Self::Late { why } => f.write_str(why),
            Self::OperationLost(LostOperation::RunsForEver) => f.write_str(
                "Azure says that the regeneration is still running, after the longest time that one takes. The listed keys will \
                 show how it ended",
            ),
            Self::OperationLost(LostOperation::Failed { why }) => {
                write!(f, "{why}. The listed keys will show how it ended")
            }
            Self::StoodIn(ending) => write!(f, "in place of the timer: {ending}"),
            Self::TimerSilent { since, every } => write!(
                f,
                "the timer is silent: RotateKeys last ran at {}, but should run every {}. Until it does, keys are rotated only \
                 when a notice comes. Check that the function RotateKeys is enabled, and restart the function app",
                readable(*since),
                rounded(*every)
            ),
            Self::Known(Known::Puzzling)
            | Self::Postponed { .. }
            | Self::Checked(_)
            | Self::Alarmed(_)
            | Self::CutOff(_)
            | Self::ClaimSettled
            | Self::Called { .. }
            | Self::Assessed { .. }
            | Self::Polled
            | Self::Written(_) => Ok(()),
        }
    }
}

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
            Self::Unwatched { at } => write!(
                f,
                "failed: the keys will not be watched around {}: {WATCHES} announced times are on record already",
                readable(*at)
            ),
            Self::NeverFinished { ending, runs } => {
                write!(f, "failed: {ending}; this is run {runs} in a row that did not finish")
            }
            Self::Unavailable(error) | Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

/// What Azure calls a success, and is none.
pub(crate) const UNCHANGED_SUCCESS: &str = "Azure reports success, but the key is unchanged";

/// When and why keys are watched.
pub(crate) fn watch(watch: &Watch) -> String {
    let why = if Announced::is_behind(watch) {
        "a regeneration is announced"
    } else {
        "a notice says that a key was regenerated, which Azure did not show yet"
    };
    let (from, until) = (readable(watch.from), readable(watch.until));
    format!("keys are watched closely from {from} until {until}: {why}")
}

impl RunReport {
    /// What happened, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.events.iter().map(ToString::to_string).collect()
    }

    /// One line for people: the service, who is cut off if anybody is, and how the run ended.
    #[must_use]
    pub fn summary(&self) -> String {
        let (name, ending) = (self.service.name(), self.ending.to_string());
        let repaired = self.repaired().unwrap_or_default();
        if self.cut_off.is_empty() || !self.ending.is_failure() {
            return format!("{name}: {ending}{repaired}");
        }
        // What alerts look for stays in front.
        let said = ending.split_once(": ").filter(|(word, _)| matches!(*word, "failed" | "blocked"));
        let (word, rest) = said.unwrap_or(("failed", &ending));
        format!("{name}: {word}: {}; {rest}{repaired}", cut_off_by_keys(&self.cut_off))
    }

    /// What was repaired, if anything: how long that took, and which key those apps hold now, which is another if the run
    /// went on to rotate. Who was written and is cut off all the same was not.
    fn repaired(&self) -> Option<String> {
        let (mut stale, mut holds) = (BTreeSet::new(), BTreeMap::new());
        for event in &self.recorded {
            if let Event::Repointed { key_type, apps, repaired } = event {
                stale.extend(apps.iter().filter(|_| *repaired));
                holds.extend(apps.iter().map(|app| (app, *key_type)));
            }
        }
        holds.retain(|app, _| stale.contains(app));
        let is_cut_off = |app: &ConsumerId| self.cut_off.iter().any(|who| who.app() == Some(app));
        let told = KeyType::ALL.into_iter().filter_map(|key_type| {
            let apps = holds.iter().filter(|(app, held)| **held == key_type && !is_cut_off(app));
            let apps: Vec<String> = apps.map(|(app, _)| app.name()).collect();
            (!apps.is_empty()).then(|| {
                format!(
                    "{} now {} the {key_type} key",
                    apps.join(", "),
                    if apps.len() == 1 { "holds" } else { "hold" }
                )
            })
        });
        let told: Vec<String> = told.collect();
        let took = rounded(self.repaired_in.unwrap_or(self.took));
        (!told.is_empty()).then(|| format!(" (repaired in {took}: {})", told.join("; ")))
    }

    /// Writes it into the log.
    pub(crate) fn log(&self) {
        if self.ending.is_failure() {
            tracing::error!("{}", self.summary());
        } else {
            tracing::info!("{}", self.summary());
        }
    }
}

/// Whether another run asks for a check could not be read.
pub(crate) fn not_heard(why: &str) -> String {
    format!("cannot read whether another run asks for a check: {why}")
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

/// This process takes on nothing more.
pub(crate) const ENDING_PROCESS: &str = "this process is ending; the next delivery carries on";
