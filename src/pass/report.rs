//! What a pass tells: to the log, to the host, to the operator.

use chrono::{DateTime, Utc};

use crate::model::InstanceId;
use crate::plan::{Decision, readable};

/// What one pass did, and how it ended.
#[derive(Clone, Debug)]
pub struct PassReport {
    /// The instance.
    pub instance: InstanceId,
    /// What happened, in order.
    pub lines: Vec<String>,
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
    OutOfTime,
    /// Another worker is at it.
    Busy {
        /// Who.
        holder: String,
        /// Until when at the latest.
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
            Self::OutOfTime => "outOfTime",
            Self::Busy { .. } => "busy",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether a person, or a retry, has to look after it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Decided(Decision::Blocked(_)))
    }

    /// Whether what a mending run was asked for is done. If not, the event is to be delivered again.
    #[must_use]
    pub fn is_mended(&self) -> bool {
        *self == Self::Mended
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Decided(decision) => decision.fmt(f),
            Self::Mended => f.write_str("no app holds a dead key"),
            Self::OutOfTime => f.write_str("the time of this run is over; the next one carries on"),
            Self::Busy { holder, until } => {
                write!(f, "another run ({holder}) is at work on it until {} at the latest", readable(*until))
            }
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

impl PassReport {
    /// One line for people: the instance and how the pass ended.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}: {}", self.instance.name(), self.ending)
    }

    pub(super) fn log(&self) {
        if self.ending.is_failure() {
            tracing::error!("{}", self.summary());
        } else {
            tracing::info!("{}", self.summary());
        }
    }
}
