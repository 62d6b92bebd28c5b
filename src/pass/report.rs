//! What a pass tells: to the log, to the host, to the operator.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Known;
use crate::journal::Event;
use crate::model::{AppId, InstanceId};
use crate::plan::{ConsumerRef, Decision, Unknown, readable};

/// What one pass did, and how it ended.
#[derive(Clone, Debug)]
pub struct PassReport {
    /// The instance.
    pub instance: InstanceId,
    /// What happened, in order.
    pub lines: Vec<String>,
    /// The same as it went into the journal.
    pub happened: Vec<Event>,
    /// How long it took.
    pub took: Duration,
    /// How it is that what called for it was no news; nothing if it was.
    pub known: Option<Known>,
    /// How it ended.
    pub ending: Ending,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing to do now, and why.
    Decided(Decision),
    /// No consumer is stale (any more), which is all that was asked for.
    Mended,
    /// The time of the run ended between two steps; the next pass carries on.
    OutOfTime {
        /// The consumers that it leaves with an invalid key.
        stale: Vec<ConsumerRef>,
    },
    /// Nothing to do of what could be seen, and Azure was too busy to show everything.
    Unseen(Vec<Unknown>),
    /// The process was asked to stop; the lease was given back, and the next pass carries on.
    Stopped,
    /// Another worker is at it.
    Busy {
        /// Who.
        holder: String,
        /// Until when at the latest.
        until: DateTime<Utc>,
    },
    /// A notice asked for a rotation too soon after the last that one asked for.
    Postponed {
        /// When it may ask again.
        until: DateTime<Utc>,
    },
    /// Something failed.
    Failed(String),
}

impl Ending {
    /// A word for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Decided(decision) => decision.name(),
            Self::Mended => "mended",
            Self::OutOfTime { .. } => "outOfTime",
            Self::Unseen(_) => "unseen",
            Self::Stopped => "stopped",
            Self::Busy { .. } => "busy",
            Self::Postponed { .. } => "postponed",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether a person, or a retry, has to look after it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Unseen(_) | Self::Decided(Decision::Blocked(_)) => true,
            Self::OutOfTime { stale } => !stale.is_empty(),
            Self::Decided(_) | Self::Mended | Self::Stopped | Self::Busy { .. } | Self::Postponed { .. } => {
                false
            }
        }
    }

    /// Whether more time is all that it needs: whoever called may call again soon.
    #[must_use]
    pub const fn needs_time(&self) -> bool {
        matches!(self, Self::OutOfTime { .. } | Self::Unseen(_) | Self::Busy { .. } | Self::Postponed { .. })
    }

    /// Whether what a mending run was asked for is done.
    #[must_use]
    pub fn is_mended(&self) -> bool {
        *self == Self::Mended
    }

    /// Whether what a notice called for is done, or on record and now a matter of waiting. If not, the notice is to be
    /// delivered again.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let settled =
            |decision: &Decision| matches!(decision, Decision::Settled { .. } | Decision::Waiting { .. });
        self.is_mended() || matches!(self, Self::Decided(decision) if settled(decision))
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Decided(decision) => decision.fmt(f),
            Self::Mended => f.write_str("no app holds a dead key"),
            Self::OutOfTime { stale } if stale.is_empty() => {
                f.write_str("the time of this run is over; the next one carries on")
            }
            Self::OutOfTime { stale } => {
                let stale: Vec<String> = stale.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "failed: the time of this run is over, and these still hold an invalid key: {}; the next one \
                     carries on",
                    stale.join(", ")
                )
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
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

impl PassReport {
    /// One line for people: the instance and how the pass ended.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}: {}{}", self.instance.name(), self.ending, self.mended().unwrap_or_default())
    }

    /// What was mended, if anything: who holds which key now, and how long it took.
    fn mended(&self) -> Option<String> {
        let mended = self.happened.iter().filter_map(|event| match event {
            Event::Repointed { key_type, apps, mended: true } => Some((key_type, apps)),
            _ => None,
        });
        let mut told = mended.map(|(key_type, apps)| {
            let apps: Vec<String> = apps.iter().map(AppId::name).collect();
            format!("{} now hold the {key_type} key", apps.join(", "))
        });
        let first = told.next()?;
        let all = told.fold(first, |all, one| format!("{all}; {one}"));
        let took = Duration::from_millis(u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX));
        Some(format!(" (mended in {}: {all})", humantime::format_duration(took)))
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
