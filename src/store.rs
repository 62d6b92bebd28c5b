//! Where the journal is kept, and the lease that lets one worker at a time change a service.
//!
//! Start at [`Draft::read`] and [`Draft::take`]. A [`Store`] keeps small documents with conditional writes and knows nothing
//! of what is in them. The lease is a part of the journal's document, every write is conditional on the version of the last,
//! and a change in Azure asks for a [`LeaseProof`], which nothing outside `store/lease.rs` can make: who lost the lease learns
//! it from the next write, before the next step. What two services may write at once has locks of its own ([`AppLocks`]).

mod app_locks;
mod blob;
mod document;
mod evidence;
mod lease;
mod memory;
mod small;

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use app_locks::{AppLock, AppLocks, Held, LockError, LockHolder, Locker};
pub(crate) use blob::Meaning;
pub use blob::{BlobStore, Refusal};
pub use document::{peek, peek_at_both};
pub use evidence::{evidence, evidence_names};
pub(crate) use evidence::{in_the_way, keep_evidence};
pub(crate) use lease::CLOCKS_AGREE;
pub use lease::{Draft, Lease, LeaseProof};
pub use memory::MemoryStore;
pub use small::{Timer, TimerFound, Told, call, calls, timer_ran};
pub(crate) use small::{timer, timer_last_ran, was_examined};

use crate::report::text::azure as words;
use rekey_core::journal::Illegal;
use rekey_core::model::ServiceId;

/// The largest document that is read. Ours hold a hundred events and among them some four thousand ids of apps (`journal`),
/// each of at most 400 characters (docs: Naming rules for Azure resources), and so stay below half of it.
pub(crate) const LARGEST_DOCUMENT: usize = 4 << 20;

/// Keeps documents by name, each with a version that changes at every write.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// A document, if there is one.
    async fn get(&self, name: &str) -> Result<Found, StoreError>;

    /// Writes a document if it is still as it was: of version `expected`, or absent.
    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError>;

    /// The names of all documents of [evidence](EVIDENCE); nothing, if there is no container for them.
    async fn list_evidence(&self) -> Result<Option<Vec<String>>, StoreError> {
        Err(StoreError::Unavailable(words::NOT_LISTED.into()))
    }
}

/// What the names of documents of evidence begin with. They are in a container of their own, under the rest of the name, where
/// an immutability policy may keep them.
pub const EVIDENCE: &str = "evidence/";

/// What was found under a name.
#[derive(Clone, Debug)]
pub struct Found {
    /// The document and its version.
    pub document: Option<(Vec<u8>, ETag)>,
    /// When it was last written, by the storage's own clock; of no meaning without a document.
    pub modified: DateTime<Utc>,
    /// The time by the storage's own clock.
    pub at: DateTime<Utc>,
}

/// What a write answers.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The new version.
    pub etag: ETag,
    /// The time by the storage's own clock.
    pub at: DateTime<Utc>,
}

/// The version of a document, as the store names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(pub String);

/// Why the journal cannot be read or written. Nothing is changed in Azure then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote the document.
    Changed,
    /// Another worker has the lease.
    Held {
        /// The run that has it.
        holder: String,
        /// Until when, unless it renews.
        until: DateTime<Utc>,
        /// The last [`call`] that it knows of, and after which it checks again.
        heard: u64,
    },
    /// The journal has a lease that is longer than any of ours: whoever wrote it does not know us, or by a wrong clock.
    StrangeLease {
        /// The run that has it, by its own word.
        holder: String,
        /// Until when it claims to last.
        claims: DateTime<Utc>,
        /// Until when it is believed all the same: a worker of ours may have a wrong clock.
        until: DateTime<Utc>,
    },
    /// The document is not one of ours.
    Unreadable {
        /// The document's name.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// The document is that of another service: a file that was restored or copied under the wrong name.
    OfAnother {
        /// The document's name.
        name: String,
        /// Whose it says it is.
        found: Box<ServiceId>,
        /// Whose it should be.
        wanted: Box<ServiceId>,
    },
    /// Under the name of a document of evidence there is another, which is left as it is.
    OtherEvidence { name: String },
    /// The storage did not take or give a document of evidence.
    NoEvidence {
        why: String,
        /// Whether that passes by itself.
        passes: bool,
    },
    /// There are two journals of the service: an older release writes the one of format 1 again.
    TwoJournals {
        /// That of format 1.
        old: String,
        /// That of now.
        new: String,
    },
    /// The storage does not answer, or fails.
    Unavailable(String),
    /// The storage refused, and will refuse again until a person does something about it.
    Refused(Refusal),
    /// An event that the journal does not allow.
    Illegal(Illegal),
}

impl From<Illegal> for StoreError {
    fn from(illegal: Illegal) -> Self {
        Self::Illegal(illegal)
    }
}

impl StoreError {
    /// Whether it passes by itself, within minutes.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Changed | Self::Held { .. } | Self::StrangeLease { .. } | Self::Unavailable(_) => true,
            Self::NoEvidence { passes, .. } => *passes,
            Self::Unreadable { .. }
            | Self::OfAnother { .. }
            | Self::TwoJournals { .. }
            | Self::OtherEvidence { .. }
            | Self::Refused(_)
            | Self::Illegal(_) => false,
        }
    }

    /// A document that cannot be one of ours, and is not read to its end.
    fn too_large(name: &str) -> Self {
        let detail = words::document_too_large(LARGEST_DOCUMENT >> 20);
        Self::Unreadable { name: name.into(), detail }
    }
}
