//! A run's events, its report and its ending, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::file_name;
use crate::report::{Ending, LostOperation, RunEvent, RunReport};
use rekey_core::intent::Known;
use rekey_core::journal::{Event, WATCHES, Watch};
use rekey_core::model::{ConsumerId, KeyType};
use rekey_core::plan::{Announced, CutOff};
use rekey_core::time::{readable, rounded};

impl fmt::Display for RunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(event) => event.fmt(f),
            Self::Gone(app) => write!(
                f,
                "{} was deleted, as far as the subscriptions show that can be listed: no site of its name is left. If it was \
                 moved to another one, name its new id in {}; else take it out",
                app.name(),
                file_name()
            ),
            Self::Unseen(unknown) => unknown.fmt(f),
            Self::Waiting(decision) => decision.fmt(f),
            Self::Covered(covered) => covered.fmt(f),
            Self::Known(Known::Explained) => f.write_str("this is known already; nothing to do"),
            Self::Watching { watch, every } => write!(
                f,
                "its keys are looked at every {} seconds from {} until {}",
                every.as_secs(),
                readable(watch.from),
                readable(watch.until)
            ),
            Self::NotCalled { why } => write!(f, "the run at work cannot be asked to check again: {why}"),
            Self::NotAccepted { why } | Self::Late { why } => f.write_str(why),
            Self::OperationLost(LostOperation::RunsForEver) => f.write_str(
                "Azure says that the regeneration still runs, after the longest time that one can take. The keys will tell \
                 what became of it",
            ),
            Self::OperationLost(LostOperation::Failed { why }) => {
                write!(f, "{why}. The keys will tell what became of it")
            }
            Self::StoodIn(ending) => write!(f, "in place of the timer: {ending}"),
            Self::TimerSilent { since, every } => write!(
                f,
                "the timer is silent: RotateKeys has not run since {}, and should every {}. Until it does, keys are rotated \
                 only when a notice comes. Look whether the function RotateKeys is enabled, and restart the function app",
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
            Self::Decided(decision) => decision.fmt(f),
            Self::Repaired => f.write_str("no app holds a dead key"),
            Self::Known => f.write_str("the keys are those on record, so there is nothing to do"),
            Self::OutOfTime { cut_off } if cut_off.is_empty() => {
                f.write_str("the time of this run is over; the next one carries on")
            }
            Self::Recorded => f.write_str("the rotation that was asked for is on record; the next run carries on"),
            Self::HandedOver { holder } => {
                write!(f, "another run ({holder}) has checked again since, and every app holds a valid key")
            }
            Self::Awaited { until } => write!(
                f,
                "a notice says that a key was regenerated, and Azure still lists the keys that were there before; it may \
                 take until {} to show",
                readable(*until)
            ),
            Self::OutOfTime { .. } => {
                f.write_str("failed: the time of this run is over before all of them were repaired; the next one carries on")
            }
            Self::Unseen(unknown) => {
                let unseen: Vec<String> = unknown.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "failed: Azure was too busy to show everything, and the next run checks again: {}",
                    unseen.join("; ")
                )
            }
            Self::Stopped => f.write_str("stopped; the next run carries on"),
            Self::Busy { holder, until } => {
                write!(f, "another run ({holder}) is at work on it until {} at the latest", readable(*until))
            }
            Self::Postponed { until } => write!(
                f,
                "a notice asks for a rotation, too soon after the last that one asked for (min_rotation_interval); it \
                 may ask again at {}",
                readable(*until)
            ),
            Self::Unwatched { at } => write!(
                f,
                "failed: {} is not watched, for {WATCHES} announced times are watched already",
                readable(*at)
            ),
            Self::NeverFinished { ending, runs } => {
                write!(f, "failed: {ending}; it is run {runs} in a row that did not finish")
            }
            Self::Unavailable(error) | Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

/// When and why keys are watched.
pub(crate) fn watch(watch: &Watch) -> String {
    let why = if Announced::is_behind(watch) {
        "an announced regeneration"
    } else {
        "a notice told of a regeneration that Azure did not show yet"
    };
    let (from, until) = (readable(watch.from), readable(watch.until));
    format!("its keys are watched closely from {from} until {until}: {why}")
}

/// Who is cut off, in one line.
pub(crate) fn cut_off(who: &[CutOff]) -> String {
    who.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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
        let cut_off = cut_off(&self.cut_off);
        format!("{name}: {word}: cut off, for their key is invalid: {cut_off}; {rest}{repaired}")
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
