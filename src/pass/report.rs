//! What a pass tells: to the log, to the host, to the operator.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Known;
use crate::report::text::run::summary;
use rekey_core::journal::Event;
use rekey_core::model::ServiceId;
use rekey_core::plan::{BlockedBy, Decision, Snapshot, Unknown};

/// What one pass did, and how it ended.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The instance.
    pub instance: ServiceId,
    /// The run that the pass was part of: [`Run::holder`](super::Run::holder).
    pub run: String,
    /// What happened, in order.
    pub lines: Vec<String>,
    /// The same as it went into the journal.
    pub happened: Vec<Event>,
    /// How long it took.
    pub took: Duration,
    /// How long it took until the last stale app was written; nothing if none was.
    pub repaired_in: Option<Duration>,
    /// What its last check showed; nothing if it made none.
    pub seen: Option<Snapshot>,
    /// How it is that what called for it was no news; nothing if it was.
    pub known: Option<Known>,
    /// Who is cut off, as far as its last check shows.
    pub cut_off: Vec<String>,
    /// How it ended.
    pub ending: Ending,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing to do now, and why.
    Decided(Decision),
    /// No consumer is stale (any more), which is all that was asked for.
    Repaired,
    /// What called for it was no news; no more was looked at than that took.
    Known,
    /// The time of the run ended between two steps; the next pass carries on.
    OutOfTime {
        /// Whom it leaves cut off.
        cut_off: Vec<String>,
    },
    /// The time of the run ended; the rotation that a notice asks for is on record, and everybody was seen with a valid key.
    Recorded,
    /// The run at work has put on record that it checked after the notice, and that everybody holds a valid key.
    HandedOver {
        /// Which run that is.
        holder: String,
    },
    /// A notice says that a key was regenerated, and Azure does not show it yet.
    Awaited {
        /// Until when it may take.
        until: DateTime<Utc>,
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
    /// Azure or the storage did not answer, was too busy, or nobody knows what it did: to ask again soon helps.
    Unavailable(String),
    /// Something failed.
    Failed(String),
}

impl Ending {
    /// A word for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Decided(decision) => decision.name(),
            Self::Repaired => "mended",
            Self::Known => "known",
            Self::OutOfTime { .. } => "outOfTime",
            Self::Recorded => "recorded",
            Self::HandedOver { .. } => "handedOver",
            Self::Awaited { .. } => "awaited",
            Self::Unseen(_) => "unseen",
            Self::Stopped => "stopped",
            Self::Busy { .. } => "busy",
            Self::Postponed { .. } => "postponed",
            Self::Unavailable(_) | Self::Failed(_) => "failed",
        }
    }

    /// Whether a person, or a retry, has to look after it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_)
            | Self::Unavailable(_)
            | Self::Unseen(_)
            | Self::Decided(Decision::Blocked(_)) => true,
            Self::OutOfTime { cut_off } => !cut_off.is_empty(),
            Self::Decided(_)
            | Self::Repaired
            | Self::Known
            | Self::Recorded
            | Self::HandedOver { .. }
            | Self::Awaited { .. }
            | Self::Stopped
            | Self::Busy { .. }
            | Self::Postponed { .. } => false,
        }
    }

    /// Whether more time helps, with any of it: whoever called may call again soon.
    #[must_use]
    pub fn needs_time(&self) -> bool {
        match self {
            Self::OutOfTime { .. }
            | Self::Awaited { .. }
            | Self::Unseen(_)
            | Self::Unavailable(_)
            | Self::Stopped
            | Self::Busy { .. }
            | Self::Postponed { .. } => true,
            Self::Decided(Decision::Blocked(BlockedBy::Unknown(unknown))) => {
                unknown.iter().any(|unknown| !unknown.lasts())
            }
            Self::Decided(_)
            | Self::Repaired
            | Self::Known
            | Self::Recorded
            | Self::HandedOver { .. }
            | Self::Failed(_) => false,
        }
    }

    /// Whether what a repairing run was asked for is done.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        matches!(self, Self::Repaired | Self::Known)
    }

    /// Whether what a notice called for is done, or on record: a rotation, or that the run at work checks again after it. If
    /// not, the notice is to be delivered again. That the timer comes in any case is no reason.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let settled =
            |decision: &Decision| matches!(decision, Decision::Settled { .. } | Decision::Waiting { .. });
        match self {
            Self::Recorded | Self::HandedOver { .. } => true,
            Self::Decided(decision) => settled(decision),
            _ => self.is_repaired(),
        }
    }
}

impl RunReport {
    /// One line for people: the instance, who is cut off if anybody is, and how the pass ended.
    #[must_use]
    pub fn summary(&self) -> String {
        summary(self)
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
