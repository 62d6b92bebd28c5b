//! What can be decided: values, which `report` puts into words.

use chrono::{DateTime, Utc};

use super::{ConsumerRef, Execution, Unknown};
use crate::journal::{AfterGate, Pause};
use crate::model::{ConsumerId, Fingerprint, KeyType};

/// What to do next, or why nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Do(Step),
    /// Nothing before a time.
    Waiting {
        reason: WaitFor,
        until: DateTime<Utc>,
    },
    /// Nothing until something outside changes.
    Blocked(BlockedBy),
    /// Nothing to do.
    Settled {
        /// When the next rotation is due; none if no consumer holds a key.
        next: Option<DateTime<Utc>>,
    },
}

/// One step, with nothing left to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a key's connection string into consumers.
    Repoint {
        /// The key they get.
        to: KeyType,
        /// Who gets it.
        consumers: Vec<ConsumerRef>,
        /// Whether they hold an invalid key now.
        repair: bool,
        /// Which part of all that is.
        part: Part,
    },
    /// Ask how the regeneration of this key goes until it ends.
    Follow(KeyType),
    /// Prove that the service accepts this key.
    Verify(KeyType),
    /// Replace this key, which nobody holds.
    Regenerate(KeyType),
    /// Ask how those are who were moved, or repaired, last.
    Gate(Gated),
}

/// Who is asked how he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gated {
    /// The wave of this number, which was moved last.
    Wave(u32),
    /// Those who were repaired last.
    Repaired,
}

/// Which part of those who are to be moved a step moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them, and nothing is asked of them afterwards.
    All,
    /// A wave, or as many of it as may restart at once.
    Wave {
        number: u32,
        /// Whether it waits for those of it who are not well before. What is compromised waits for nobody.
        waits: bool,
    },
    /// A wave that did not come back, to the key that it had.
    Back(u32),
}

impl Decision {
    /// Those who are waited for, or are late, and whom only others can change, with the key that they are to leave.
    pub fn awaits(&self) -> impl Iterator<Item = (KeyType, &Awaited)> {
        let (key_type, who, others) = match self {
            Self::Waiting { reason: WaitFor::External { key_type, who, .. }, .. } => {
                (*key_type, &who[..], &[][..])
            }
            Self::Blocked(BlockedBy::ExternalLate { key_type, who, others, .. }) => {
                (*key_type, &who[..], &others[..])
            }
            _ => (KeyType::Primary, &[][..], &[][..]),
        };
        who.iter().chain(others).map(move |one| (key_type, one))
    }

    /// Whether a person is asked to approve a rotation, be it late.
    pub const fn asks_for_approval(&self) -> bool {
        matches!(
            self,
            Self::Waiting { reason: WaitFor::Approval { .. }, .. } | Self::Blocked(BlockedBy::NotApproved(_))
        )
    }

    /// Whether stale consumers are given a valid key.
    pub const fn repairs(&self) -> bool {
        matches!(self, Self::Do(Step::Repoint { repair: true, .. }))
    }

    /// A word for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Blocked(by) if by.passes() => "unseen",
            Self::Do(step) => step.name(),
            Self::Waiting { .. } => "waiting",
            Self::Blocked(_) => "blocked",
            Self::Settled { .. } => "settled",
        }
    }
}

impl Step {
    /// A word for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Repoint { repair: true, .. } => "mend",
            Self::Repoint { part: Part::Back(_), .. } => "rollBack",
            Self::Repoint { repair: false, .. } => "repoint",
            Self::Follow(_) => "follow",
            Self::Verify(_) => "verify",
            Self::Regenerate(_) => "regenerate",
            Self::Gate(_) => "gate",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The grace of this key, which was, or may have been, left.
    Grace(KeyType),
    /// The end of executions that may run with this key, which all consumers have left, and the grace after it.
    Executions {
        key_type: KeyType,
        /// Those that may run for longest.
        who: Vec<Execution>,
    },
    /// That whoever reads a secret or key-value without being seen leaves this key, which all consumers have left, and the grace
    /// after it.
    Readers {
        key_type: KeyType,
        /// Where they read it.
        who: Vec<Unseen>,
    },
    /// The end of the regeneration of this key, which takes longer than a run of the timer waits for.
    Operation(KeyType),
    /// The longest that the regeneration of this key can take, whose operation URL was lost, or cannot be asked.
    LostOperation(KeyType),
    /// The next try of this key, which the service did not accept yet.
    Acceptance(KeyType),
    /// The next try of a regeneration that came to nothing.
    RegenerateAgain {
        key_type: KeyType,
        /// What was said of it.
        detail: String,
    },
    /// The next window in which consumers that work may be moved, and keys regenerated because they are due.
    Window,
    /// The end of the freeze that is on, and a window after it.
    Freeze,
    /// That it is asked how these are: apps take their time to restart.
    Gate(Gated),
    /// That the regeneration of this key which others have announced has come: nobody is moved to it before.
    Announced(KeyType),
    /// The end of the pause before the wave of this number.
    BetweenWaves(u32),
    /// The end of a pause, or a person who ends it.
    Pause(Pause),
    /// A person who approves the rotation that is due.
    Approval {
        /// The rotation.
        due: Due,
        /// When an approval of it ended, under which it did not begin.
        expired: Option<DateTime<Utc>>,
    },
    /// The same window, freeze or pause, where the rotation is done but for its end: consumers are to come home to this key.
    Home { home: KeyType, held: Box<Self> },
    /// Those who hold this key and whom only others can change. All others have left it for the other key.
    External {
        key_type: KeyType,
        who: Vec<Awaited>,
        /// Whether it is compromised, and stays valid for them all the same.
        compromised: bool,
    },
}

impl WaitFor {
    /// Whether it is for what the operator said of when: nothing is under way, and nothing is wrong.
    pub const fn is_for_calendar(&self) -> bool {
        matches!(self, Self::Window | Self::Freeze | Self::Pause(_) | Self::Home { .. })
    }

    /// Whether it is for the end of a pause, with the whole rotation or with its end.
    pub fn is_for_pause(&self) -> bool {
        match self {
            Self::Pause(_) => true,
            Self::Home { held, .. } => held.is_for_pause(),
            _ => false,
        }
    }
}

/// A rotation that is due, by the key in use that it replaces: of two that are due, the newer. No other rotation ever replaces
/// that key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub key_type: KeyType,
    pub key: Fingerprint,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A consumer whose readers nobody sees, and may go on with a key that it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    pub consumer: ConsumerId,
    /// Since when no consumer holds the key.
    pub since: DateTime<Utc>,
    /// The longest that they may go on with it.
    pub until: DateTime<Utc>,
}

/// A consumer that is waited for, which only others can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    pub consumer: ConsumerId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// From when on it is late.
    pub late: DateTime<Utc>,
    /// Whom people ask about it.
    pub owner: Option<String>,
    /// Where people find what is to be done.
    pub ticket: Option<String>,
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockedBy {
    /// Not everything is known that must be.
    Unknown(Vec<Unknown>),
    /// The service goes on refusing a new key. Nobody has been moved to it.
    KeyRefused {
        key_type: KeyType,
        /// Since when it exists.
        since: DateTime<Utc>,
        /// What the service said.
        detail: String,
    },
    /// Regenerating a key goes on coming to nothing, or was refused for a reason that does not pass.
    RegenerationFails {
        key_type: KeyType,
        /// When it is tried again.
        again: DateTime<Utc>,
        /// What was said of the last one.
        detail: String,
    },
    /// A rotation is due, and no window opens before the next one would be.
    NeverOpens {
        /// When the next one opens, if ever.
        opens: Option<DateTime<Utc>>,
    },
    /// A rotation is due, and nobody has approved it until the next one would be.
    NotApproved(Due),
    /// A wave did not come back. Until a person says so, no other is moved.
    Unhealthy {
        wave: u32,
        /// The key that it was given.
        to: KeyType,
        then: AfterGate,
        /// What was not well, and what was said.
        detail: String,
    },
    /// A wave is not moved, for something of it is not well before.
    UnhealthyBefore {
        wave: u32,
        /// What, and what was said.
        detail: String,
    },
    /// Consumers that can only be moved together are configured to be in different waves.
    WavesDiffer(Vec<WavesDiffer>),
    /// The journal speaks of other keys than Azure lists.
    JournalDisagrees,
    /// Of those who hold this key and whom only others can change, these have taken longer to leave it than they may.
    ExternalLate {
        key_type: KeyType,
        who: Vec<Awaited>,
        /// Who holds it besides, and is in time.
        others: Vec<Awaited>,
        /// Whether it is compromised.
        compromised: bool,
    },
}

impl BlockedBy {
    /// Whether it is only that Azure was busy: nobody has to do anything, the next run checks again.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Unknown(unknown) if !unknown.iter().any(Unknown::lasts))
    }
}

/// Consumers that can only be moved together, and are configured to be in different waves: each with its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavesDiffer {
    /// Those that are configured, with their waves.
    pub waves: Vec<(ConsumerId, u32)>,
    /// What they read, one write of which moves them all.
    pub by: Vec<ConsumerId>,
}
