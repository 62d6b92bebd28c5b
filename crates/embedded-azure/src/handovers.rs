//! Who was given which key, and how good both were: a record for whoever judges those who give.
//!
//! It goes by what is written into a place (settings, a secret, a key-value), and not by when whoever reads it restarts.

use chrono::{DateTime, Utc};

use crate::ids::{Key, KeyType};

/// A place that holds another key than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The app, `site/slot`, `containerApps/NAME`, `jobs/NAME`, `staticSites/NAME/ENVIRONMENT`, `vault/secret` or `store/key`.
    pub place: String,
    /// The service whose keys these are.
    pub service: String,
    /// Whether it was written because somebody asked Azure's interfaces for it, and not by another person.
    pub asked: bool,
    /// What is not in it any more.
    pub left: Vec<(Key, Standing)>,
    /// What was not in it before.
    pub given: Vec<(Key, Standing)>,
}

/// How good a key is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It works, and nothing is about to replace it.
    Works(KeyType),
    /// It works, and a regeneration is under way that replaces it.
    Ends(KeyType),
    /// It is listed, or promised by a regeneration that is under way, and does not work yet.
    Begins(KeyType),
    /// It does not work any more: somebody replaced it by force.
    ForcedOut,
    /// It does not work.
    Gone,
}
