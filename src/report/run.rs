//! What a run tells, as types: its events as they happen, and its report at the end. Log lines, the handler's `Logs`, the
//! webhook, `--json` and the terminal are renderings of them ([`text`](super::text)).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::azure::consumers::Place;
use rekey_core::intent::Known;
use rekey_core::journal::{Event, Fate, Watch};
use rekey_core::model::{ConsumerId, Fingerprint, KeyType, ServiceId};
use rekey_core::plan::{BlockedBy, Covered, CutOff, Decision, Forecast, Heeded, Snapshot, Unknown, Urgent};

/// Something that happens in a run over one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// It went on record.
    Recorded {
        event: Event,
        /// The key whose regeneration is in flight.
        in_flight: Option<KeyType>,
    },
    /// An app was deleted, as far as can be seen.
    Gone(ConsumerId),
    /// A container app was changed by somebody, after it was seen to hold what it holds.
    ChangedSince {
        app: ConsumerId,
        /// When.
        at: DateTime<Utc>,
    },
    /// Something cannot be seen.
    Unseen(Unknown),
    /// There is nothing to do before a time.
    Waiting(Decision),
    /// A rotation does not wait for the pause, the approval or the window that would hold back any other.
    Hurries(Urgent),
    /// The rotation that is asked for is not needed.
    Covered(Covered),
    /// The rotation that is asked for comes too soon after the last.
    Postponed {
        /// When it may be asked for again.
        until: DateTime<Utc>,
    },
    /// What called for the run is no news.
    Known(Known),
    /// The keys alone told that there is nothing to do.
    AppsNotRead {
        /// How long ago all apps were last read.
        ago: Duration,
        /// How long ago that may be at most.
        every: Duration,
    },
    /// The keys are looked at every few seconds.
    Watching {
        /// In which time.
        watch: Watch,
        every: Duration,
    },
    /// The run at work could not be asked to check again.
    NotCalled { why: String },
    /// Azure did not take a request, and waiting is all there is to do.
    NotAccepted { key_type: KeyType, why: String },
    /// There was no time left to write an app on this proof of the lease; it is decided anew.
    Late {
        /// Which, and what was said.
        why: String,
    },
    /// A place could not be written, beside others that could not be either.
    NotWritten {
        /// Which, and what was said.
        why: String,
    },
    /// A document that proves what was changed could not be written.
    NotProved {
        /// What was said.
        why: String,
        /// Whether that passes by itself.
        passes: bool,
    },
    /// Azure's answers about a regeneration are of no use any more; the keys will tell.
    OperationLost(LostOperation),
    /// The timer is silent, and this notice does its work.
    StoodIn(Box<Ending>),
    TimerSilent {
        /// When it last ran.
        since: DateTime<Utc>,
        /// How often it should.
        every: Duration,
    },
    /// What became of the approval of a rotation.
    Heeded {
        /// The key that it names.
        key: Fingerprint,
        heeded: Heeded,
    },
    /// What a rotation would do that waits for an approval.
    Foreseen(Box<Forecast>),
    /// A check of the service was taken.
    Checked(Box<Snapshot>),
    /// A key is not the one on record, or changed from outside and not everybody was seen with a valid one since; or not.
    Alarmed(bool),
    /// The service has no keys, so these are cut off.
    CutOff(Vec<CutOff>),
    /// Nothing speaks any more for the claim that a key was regenerated.
    ClaimSettled,
    /// Another run asks for a check.
    Called { call: u64 },
    /// What is wanted is on record, or need not be; but for a time that cannot be watched.
    Assessed { unwatched: Option<DateTime<Utc>> },
    /// Those who were moved or repaired are not well yet.
    NotWellYet {
        /// What is not well, and what was said.
        why: String,
        /// How long they may take.
        until: DateTime<Utc>,
    },
    /// A rotation is on record as over.
    RotationOver {
        /// Whether nothing of it is left to be done.
        finished: bool,
    },
    /// Azure was asked how the regeneration goes.
    Polled,
    /// Azure's activity log was asked who wrote an old string back.
    WritersAsked,
    /// A place that holds keys was written, or found to be as wanted.
    Written {
        place: Place,
        /// Whether its consumers have another key by that, by Azure's answer. What they refer to may not have been written.
        given: bool,
    },
}

/// Why Azure's answers about a regeneration are of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostOperation {
    /// It says "running" after the longest time that one can take.
    RunsForEver,
    /// It cannot be asked.
    Failed {
        /// What was said.
        why: String,
    },
}

impl RunEvent {
    /// Whether people are told of it.
    pub const fn is_told(&self) -> bool {
        match self {
            Self::Recorded { event, .. } => !matches!(
                event,
                Event::Taken { .. }
                    | Event::AppsSeen { .. }
                    | Event::RepointIntended { .. }
                    | Event::WaveIntended { .. }
                    | Event::RepairIntended { .. }
                    | Event::Blinded {}
                    | Event::Recovered {}
                    | Event::OperationLost {}
                    | Event::Traced { .. }
                    | Event::Concluded { .. }
                    | Event::EvidenceKept { .. }
            ),
            Self::Known(known) => matches!(known, Known::Explained),
            // That it is on record is told by the record.
            Self::Heeded { heeded, .. } => !matches!(heeded, Heeded::Recorded { .. }),
            Self::Gone(_)
            | Self::ChangedSince { .. }
            | Self::Unseen(_)
            | Self::Waiting(_)
            | Self::Covered(_)
            | Self::AppsNotRead { .. }
            | Self::Watching { .. }
            | Self::NotCalled { .. }
            | Self::NotAccepted { .. }
            | Self::Late { .. }
            | Self::NotWritten { .. }
            | Self::NotProved { .. }
            | Self::OperationLost(_)
            | Self::StoodIn(_)
            | Self::Hurries(_)
            | Self::NotWellYet { .. }
            | Self::TimerSilent { .. } => true,
            Self::Postponed { .. }
            | Self::Foreseen(_)
            | Self::Checked(_)
            | Self::Alarmed(_)
            | Self::CutOff(_)
            | Self::ClaimSettled
            | Self::Called { .. }
            | Self::Assessed { .. }
            | Self::RotationOver { .. }
            | Self::Polled
            | Self::WritersAsked
            | Self::Written { .. } => false,
        }
    }

    /// Whether it warns.
    pub const fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Gone(_)
                | Self::Unseen(_)
                | Self::Recorded {
                    event: Event::GateFailed { .. }
                        | Event::RepairFailed { .. }
                        | Event::WaveHeldBack { .. }
                        | Event::OldKeyTried { fate: Fate::StillAccepted, .. },
                    ..
                }
                | Self::NotWritten { .. }
                | Self::NotProved { .. }
                | Self::Covered(Covered::Asked { compromised: true, .. })
                | Self::Heeded {
                    heeded: Heeded::Over
                        | Heeded::NotAsked
                        | Heeded::Expired { .. }
                        | Heeded::Ahead { .. }
                        | Heeded::Unknown,
                    ..
                }
        )
    }

    /// Whether another says the same once more. Each time that Azure is too busy to show an app it says so in other words.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let busy = |event: &Self| match event {
            Self::Unseen(unknown @ Unknown::Unreadable { app, .. }) if !unknown.lasts() => Some(app.clone()),
            _ => None,
        };
        self == other || busy(self).is_some_and(|app| busy(other) == Some(app))
    }

    /// Whether something got done.
    pub const fn is_progress(&self) -> bool {
        matches!(
            self,
            Self::Recorded {
                event: Event::RegenerationAccepted { .. }
                    | Event::Regenerated { .. }
                    | Event::RegenerationFailed { .. }
                    | Event::Verified { .. }
                    | Event::Repointed { .. }
                    | Event::GatePassed { .. }
                    | Event::GateFailed { .. }
                    | Event::RepairPassed { .. }
                    | Event::RepairFailed { .. },
                ..
            }
        )
    }
}

/// What one run over one service did, and how it ended.
#[derive(Clone, Debug)]
pub struct RunReport {
    pub service: ServiceId,
    /// The name of the run, which all its lines in the log bear.
    pub run: String,
    /// What people are told of it, in order.
    pub events: Vec<RunEvent>,
    /// What went on record, in order.
    pub recorded: Vec<Event>,
    /// Of each rotation that was over in it, whether nothing is left to be done.
    pub rotations: Vec<bool>,
    /// How long it took.
    pub took: Duration,
    /// How long it took until the last stale app was written; nothing if none was.
    pub repaired_in: Option<Duration>,
    /// What its last check showed; nothing if it made none, or read the keys alone.
    pub seen: Option<Snapshot>,
    /// How it is that what called for it was no news; nothing if it was.
    pub known: Option<Known>,
    /// Who is cut off, as far as its last check shows.
    pub cut_off: Vec<CutOff>,
    /// What the rotation would do that it leaves waiting for an approval.
    pub foreseen: Option<Forecast>,
    pub ending: Ending,
}

impl RunReport {
    /// Whom it leaves cut off. Of who was given another key it is not known yet that he works, and nothing is left to be done.
    pub fn left_cut_off(&self) -> impl Iterator<Item = &CutOff> {
        self.cut_off.iter().filter(|who| !matches!(who, CutOff::Unconfirmed(_)))
    }
}

#[cfg(test)]
impl RunReport {
    /// One of which nothing matters but how it ended, and what went on record.
    pub(crate) fn that_ended(service: ServiceId, ending: Ending, recorded: Vec<Event>) -> Self {
        Self {
            service,
            run: String::new(),
            events: vec![],
            recorded,
            rotations: vec![],
            took: Duration::ZERO,
            repaired_in: None,
            seen: None,
            known: None,
            cut_off: vec![],
            foreseen: None,
            ending,
        }
    }
}

/// How a run over one service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing to do now, and why.
    Decided(Decision),
    /// No consumer is stale (any more), which is all that was asked for.
    Repaired,
    /// What called for it was no news; no more was looked at than that took.
    Known,
    /// The time of the run ended between two steps; the next one carries on.
    OutOfTime {
        /// Whom it leaves cut off.
        cut_off: Vec<CutOff>,
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
    /// The process was asked to stop; the lease was given back, and the next run carries on.
    Stopped,
    /// Another worker is at it.
    Busy {
        holder: String,
        /// Until when at the latest.
        until: DateTime<Utc>,
        /// Who is cut off meanwhile. It may be about to repair them, or it may have died.
        cut_off: Vec<CutOff>,
    },
    /// A notice asked for a rotation too soon after the last that one asked for.
    Postponed {
        /// When it may ask again.
        until: DateTime<Utc>,
    },
    /// A time that is announced is not watched, for too many are.
    Unwatched {
        at: DateTime<Utc>,
    },
    /// The timer's runs do not get done what they are for.
    NeverFinished {
        ending: Box<Self>,
        /// How many in a row that are.
        runs: u32,
    },
    /// Azure or the storage did not answer, was too busy, or nobody knows what it did: to ask again soon helps.
    Unavailable(String),
    Failed(String),
}

impl Ending {
    /// How a run ends that did not see everything: what lasts blocks, and what passes by itself is seen by the next.
    pub fn unseen(unknown: Vec<Unknown>) -> Self {
        if unknown.iter().any(Unknown::lasts) {
            Self::Decided(Decision::Blocked(BlockedBy::Unknown(unknown)))
        } else {
            Self::Unseen(unknown)
        }
    }

    /// A word for machines.
    pub fn name(&self) -> &'static str {
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
            Self::Unwatched { .. } | Self::NeverFinished { .. } | Self::Unavailable(_) | Self::Failed(_) => {
                "failed"
            }
        }
    }

    /// Whether a person, or a retry, has to look after it.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_)
            | Self::Unavailable(_)
            | Self::Unwatched { .. }
            | Self::NeverFinished { .. }
            | Self::Unseen(_)
            | Self::Decided(Decision::Blocked(_)) => true,
            Self::OutOfTime { cut_off } | Self::Busy { cut_off, .. } => !cut_off.is_empty(),
            Self::Decided(_)
            | Self::Repaired
            | Self::Known
            | Self::Recorded
            | Self::HandedOver { .. }
            | Self::Awaited { .. }
            | Self::Stopped
            | Self::Postponed { .. } => false,
        }
    }

    /// Whether more time helps, with any of it: whoever called may call again soon.
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
            | Self::Unwatched { .. }
            | Self::NeverFinished { .. }
            | Self::Failed(_) => false,
        }
    }

    /// Whether what a repairing run was asked for is done.
    pub const fn is_repaired(&self) -> bool {
        matches!(self, Self::Repaired | Self::Known)
    }

    /// Whether what a notice called for is done, or on record: a rotation, or that the run at work checks again after it. If
    /// not, the notice is to be delivered again. That the timer comes in any case is no reason.
    pub const fn is_answered(&self) -> bool {
        match self {
            Self::Recorded | Self::HandedOver { .. } => true,
            Self::Decided(decision) => {
                matches!(decision, Decision::Settled { .. } | Decision::Waiting { .. })
            }
            _ => self.is_repaired(),
        }
    }
}
