//! What can be decided. Each value prints itself for the operator.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{ConsumerRef, Holding, Unknown};
use crate::model::KeyType;
use crate::time::readable;

/// What to do next, or why nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do this one step.
    Do(Step),
    /// Nothing before a time.
    Waiting {
        /// What for.
        reason: WaitFor,
        /// Until when.
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
        /// Whether they hold a dead key now.
        repair: bool,
    },
    /// Ask how the regeneration in flight goes until it ends.
    Follow {
        /// The key that is being replaced.
        key_type: KeyType,
    },
    /// Prove that the service accepts a key.
    Verify {
        /// The key.
        key_type: KeyType,
    },
    /// Replace a key that nobody holds.
    Regenerate {
        /// The key.
        key_type: KeyType,
    },
}

impl Decision {
    /// Whether stale consumers are given a valid key.
    #[must_use]
    pub const fn repairs(&self) -> bool {
        matches!(self, Self::Do(Step::Repoint { repair: true, .. }))
    }

    /// A word for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Do(step) => step.name(),
            Self::Waiting { .. } => "waiting",
            Self::Blocked(_) => "blocked",
            Self::Settled { .. } => "settled",
        }
    }
}

impl Step {
    /// A word for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Repoint { repair: true, .. } => "mend",
            Self::Repoint { repair: false, .. } => "repoint",
            Self::Follow { .. } => "follow",
            Self::Verify { .. } => "verify",
            Self::Regenerate { .. } => "regenerate",
        }
    }
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The grace of a key that was, or may have been, left.
    Grace {
        /// The key.
        key_type: KeyType,
    },
    /// The end of a regeneration that takes longer than a run of the timer waits for.
    Operation {
        /// The key.
        key_type: KeyType,
    },
    /// The longest that a regeneration can take whose operation URL was lost, or cannot be asked.
    LostOperation {
        /// The key.
        key_type: KeyType,
    },
    /// The next try of a key that the service did not accept yet.
    Acceptance {
        /// The key.
        key_type: KeyType,
    },
    /// The next try of a regeneration that came to nothing.
    RegenerateAgain {
        /// The key.
        key_type: KeyType,
        /// What was said of it.
        detail: String,
    },
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockedBy {
    /// Not everything is known that must be.
    Unknown(Vec<Unknown>),
    /// The service goes on refusing a new key. Nobody has been moved to it.
    KeyRefused {
        /// The key.
        key_type: KeyType,
        /// Since when it exists.
        since: DateTime<Utc>,
        /// What the service said.
        detail: String,
    },
    /// Regenerating a key goes on coming to nothing, or was refused for a reason that does not pass.
    RegenerationFails {
        /// The key.
        key_type: KeyType,
        /// When it is tried again.
        again: DateTime<Utc>,
        /// What was said of the last one.
        detail: String,
    },
    /// The journal speaks of other keys than Azure lists.
    JournalDisagrees,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Do(step) => step.fmt(f),
            Self::Waiting { reason, until } => write!(f, "waiting until {}: {reason}", readable(*until)),
            Self::Blocked(by) => write!(f, "blocked: {by}"),
            Self::Settled { next: Some(next) } => {
                write!(f, "settled; the next rotation is due at {}", readable(*next))
            }
            Self::Settled { next: None } => f.write_str("settled; no app holds a key of this instance"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repoint { to, consumers, repair } => {
                let verb = if *repair { "repair" } else { "repoint" };
                let names: Vec<String> = consumers.iter().map(ToString::to_string).collect();
                write!(f, "{verb} to the {to} key: {}", names.join(", "))
            }
            Self::Follow { key_type } => write!(f, "follow the regeneration of the {key_type} key"),
            Self::Verify { key_type } => write!(f, "verify that the service accepts the {key_type} key"),
            Self::Regenerate { key_type } => write!(f, "regenerate the {key_type} key, which nobody holds"),
        }
    }
}

impl fmt::Display for ConsumerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.app.name(), self.section.entry(), self.name)
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid(key_type) => write!(f, "the {key_type} key"),
            Self::Stale(fingerprint) => write!(f, "a dead key ({fingerprint})"),
            Self::Identity => f.write_str("no key (it connects by identity)"),
        }
    }
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grace { key_type } => {
                write!(f, "clients may still hold the {key_type} key, which is regenerated after its grace")
            }
            Self::Operation { key_type } => {
                write!(f, "Azure is still regenerating the {key_type} key; the next run asks again")
            }
            Self::LostOperation { key_type } => write!(
                f,
                "a regeneration of the {key_type} key was sent, and Azure cannot be asked how it goes; the keys tell \
                 when it can no longer be running"
            ),
            Self::Acceptance { key_type } => write!(f, "the service does not accept the {key_type} key yet"),
            Self::RegenerateAgain { key_type, detail } => {
                write!(
                    f,
                    "regenerating the {key_type} key came to nothing and is tried again; Azure said: {detail}"
                )
            }
        }
    }
}

impl fmt::Display for BlockedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(unknown) => {
                let reasons: Vec<String> = unknown.iter().map(ToString::to_string).collect();
                write!(f, "no key may be regenerated while this is not known: {}", reasons.join("; "))
            }
            Self::KeyRefused { key_type, since, detail } => write!(
                f,
                "the service still refuses the {key_type} key made at {}: {detail}. Nobody was moved to it. Check \
                 whether local authentication is switched off (disableLocalAuth), or whether this host is kept out \
                 by network rules; then set verify = \"control-plane\"",
                readable(*since)
            ),
            Self::RegenerationFails { key_type, again, detail } => write!(
                f,
                "the {key_type} key cannot be regenerated: {detail}. Both keys stay valid. It is tried again at {}; \
                 `unblock` tries at once",
                readable(*again)
            ),
            Self::JournalDisagrees => f.write_str(
                "the journal speaks of other keys than Azure lists; run the pass again, and if this stays, report it",
            ),
        }
    }
}
