//! Where the journal is kept, and the lease that lets one worker at a time change an instance.
//!
//! Start at [`Draft::read`] and [`Draft::take`]. A [`Store`] keeps small documents with conditional writes and knows nothing of what is
//! in them. The lease is a part of the document, every write is conditional on the version of the last, and a change
//! in Azure asks for a [`LeaseProof`], which nothing outside this file can make: who lost the lease learns it from
//! the next write, before the next step.

mod blob;
mod calls;
mod examined;
mod memory;
mod timer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub(crate) use blob::Meaning;
pub use blob::{BlobStore, Refusal};
pub use calls::{call, calls};
pub use examined::was_examined;
pub use memory::MemoryStore;
pub use timer::{Told, timer_last_ran, timer_ran, timer_told};

use crate::clock::Clock;
use crate::report::text::InWords;
use crate::report::text::azure as words;
use rekey_core::journal::{Event, Illegal, Journal};
use rekey_core::model::ServiceId;
use rekey_core::time::delta;

/// How long a lease lasts unless it is renewed: half of it for sending, which is twice as long as one request may take,
/// and half for what was sent to arrive ([`LeaseProof::until`]); short enough that a killed worker is followed within
/// two timer ticks.
const LEASE: Duration = Duration::from_secs(120);

/// When a lease is renewed: late enough that following a regeneration (74 s at the most on record) costs no write of its
/// own, and early enough that what is left is longer than one request to Azure may take (30 s).
const RENEW_AFTER: Duration = Duration::from_secs(80);

/// The waits before a write is sent again. All tries together stay far below the time that a lease is good for.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// The largest document that is read. Ours hold a hundred events and among them some four thousand ids of apps (`journal`),
/// each of at most 400 characters (docs: Naming rules for Azure resources), and so stay below half of it.
pub(crate) const LARGEST_DOCUMENT: usize = 4 << 20;

/// The only document version that is understood.
const VERSION: u32 = 1;

/// Keeps documents by name, each with a version that changes at every write.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// A document, if there is one.
    async fn get(&self, name: &str) -> Result<Found, StoreError>;

    /// Writes a document if it is still as it was: of version `expected`, or absent.
    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError>;
}

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
        /// Who.
        holder: String,
        /// Until when, unless it renews.
        until: DateTime<Utc>,
        /// The last [`call`] that it knows of, and after which it checks again.
        heard: u64,
    },
    /// The journal has a lease that is longer than any of ours: whoever wrote it does not know us, or by a wrong clock.
    StrangeLease {
        /// Who.
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
    /// The document is that of another instance: a file that was restored or copied under the wrong name.
    OfAnother {
        /// The document's name.
        name: String,
        /// Whose it says it is.
        found: Box<ServiceId>,
        /// Whose it should be.
        wanted: Box<ServiceId>,
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
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Changed | Self::Held { .. } | Self::StrangeLease { .. } | Self::Unavailable(_) => true,
            Self::Unreadable { .. } | Self::OfAnother { .. } | Self::Refused(_) | Self::Illegal(_) => false,
        }
    }

    /// A document that cannot be one of ours, and is not read to its end.
    fn too_large(name: &str) -> Self {
        let detail = words::document_too_large(LARGEST_DOCUMENT >> 20);
        Self::Unreadable { name: name.into(), detail }
    }
}

/// The document of one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    /// Whose journal it is. Documents of before it was written have none: their names tell.
    #[serde(default)]
    service: Option<ServiceId>,
    lease: Option<LeaseRecord>,
    journal: Journal,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LeaseRecord {
    holder: String,
    expires: DateTime<Utc>,
}

/// Proof that whoever shows it held the lease at the last write. Only [`Lease::proof`] makes one.
///
/// It proves nothing of now: a worker may be frozen behind that write for longer than its lease, while another takes
/// over. So it ends, and whoever sends a request on the strength of it looks at the clock just before.
#[derive(Debug)]
pub struct LeaseProof<'lease> {
    until: DateTime<Utc>,
    _lease: std::marker::PhantomData<&'lease Lease>,
}

impl LeaseProof<'_> {
    /// Until when a request may be sent, by our clock: half of the lease. The other half is for what was sent in time
    /// to arrive, so that nothing of ours is under way any more when another worker may take over.
    #[must_use]
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }
}

/// The journal of an instance as it was read, before anybody takes the lease. Enough for looking and deciding; whoever
/// finds something to do takes the lease on exactly this version.
#[derive(Debug)]
pub struct Draft {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    name: String,
    document: Document,
    etag: Option<ETag>,
    /// The storage's clock and ours when it was read.
    read: (DateTime<Utc>, DateTime<Utc>),
}

impl Draft {
    /// Reads the journal of an instance, or tells who is at work on it.
    ///
    /// Whether a lease is over is judged by the storage's clock alone, by which it was also written: a worker whose
    /// own clock is wrong can neither steal a lease nor keep one.
    pub async fn read(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
        holder: &str,
    ) -> Result<Self, StoreError> {
        let (draft, modified) = Self::read_whoever_holds_it(store, clock, instance).await?;
        let at = draft.read.0;
        if let Some(LeaseRecord { holder: other, expires }) = &draft.document.lease {
            // No lease of ours is longer, so one that claims to be is believed no longer than ours.
            let until = (*expires).min(modified + delta(LEASE));
            if until > at && other != holder {
                let (holder, claims) = (other.clone(), *expires);
                let is_strange = claims > modified + delta(2 * LEASE);
                return Err(if is_strange {
                    StoreError::StrangeLease { holder, claims, until }
                } else {
                    StoreError::Held { holder, until, heard: draft.document.journal.heard() }
                });
            }
        }
        Ok(draft)
    }

    /// The same, and when it was written, whoever has the lease.
    async fn read_whoever_holds_it(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
    ) -> Result<(Self, DateTime<Utc>), StoreError> {
        let name = document_name(instance);
        let local = clock.now();
        let Loaded { document, etag, modified, at } = load(&*store, instance).await?;
        Ok((Self { store, clock, name, document, etag, read: (at, local) }, modified))
    }

    /// What is remembered.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.document.journal
    }

    /// Takes the lease, if nobody has written since this was read.
    pub async fn take(self, holder: &str) -> Result<Lease, StoreError> {
        let Self { store, clock, name, document, etag, read: (storage, local) } = self;
        let (ahead, holder) = (storage - local, holder.to_owned());
        let mut lease = Lease {
            store,
            clock,
            name,
            holder,
            document,
            etag,
            ahead,
            renew_at: local,
            proves_until: local,
            dirty: false,
        };
        lease.renew().await?;
        Ok(lease)
    }
}

/// The right to change one instance, and its journal.
///
/// Events are folded in memory by [`Lease::record`] and written by [`Lease::commit`]. Nothing may be done in Azure on
/// the strength of an event that is not committed; [`Lease::proof`] commits, so it cannot be forgotten.
#[derive(Debug)]
pub struct Lease {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    name: String,
    holder: String,
    document: Document,
    etag: Option<ETag>,
    /// How far the storage's clock is ahead of ours, as they were last seen side by side.
    ahead: TimeDelta,
    /// When the lease is to be renewed, by our clock.
    renew_at: DateTime<Utc>,
    /// Until when the last write is good for a proof, by our clock.
    proves_until: DateTime<Utc>,
    dirty: bool,
}

impl Lease {
    /// Reads the journal of an instance and takes the lease at once.
    pub async fn acquire(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
        holder: &str,
    ) -> Result<Self, StoreError> {
        Draft::read(store, clock, instance, holder).await?.take(holder).await
    }

    /// The same for a person who has looked: a lease that is longer than any of ours is ended.
    pub async fn acquire_by_hand(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
        holder: &str,
    ) -> Result<Self, StoreError> {
        let again = (Arc::clone(&store), Arc::clone(&clock));
        match Self::acquire(store, clock, instance, holder).await {
            Err(StoreError::StrangeLease { .. }) => {
                let (draft, _) = Draft::read_whoever_holds_it(again.0, again.1, instance).await?;
                draft.take(holder).await
            }
            acquired => acquired,
        }
    }

    /// The journal, with the events that were recorded.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.document.journal
    }

    /// Folds an event into the journal; [`Lease::commit`] writes it.
    pub fn record(&mut self, event: Event) -> Result<(), StoreError> {
        tracing::debug!(event = event.in_words(), "recorded");
        self.document.journal.apply(event, self.clock.now())?;
        self.dirty = true;
        Ok(())
    }

    /// Writes what was recorded, and renews the lease with it.
    pub async fn commit(&mut self) -> Result<(), StoreError> {
        if self.dirty { self.renew().await } else { Ok(()) }
    }

    /// Renews the lease once most of it is gone.
    pub async fn keep(&mut self) -> Result<(), StoreError> {
        if self.renew_at <= self.clock.now() { self.renew().await } else { Ok(()) }
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        self.write(Some(delta(LEASE))).await
    }

    /// When [`Lease::keep`] would write.
    #[must_use]
    pub fn renew_at(&self) -> DateTime<Utc> {
        self.renew_at
    }

    /// What a change in Azure asks for: everything recorded is written, and the lease is ours as of now, with time
    /// enough left for a request.
    pub async fn proof(&mut self) -> Result<LeaseProof<'_>, StoreError> {
        let soon = self.clock.now() + delta(LEASE / 4);
        if self.dirty || self.proves_until <= soon {
            self.renew().await?;
        }
        Ok(LeaseProof { until: self.proves_until, _lease: std::marker::PhantomData })
    }

    /// Writes what was recorded and gives the lease back.
    pub async fn release(mut self) -> Result<(), StoreError> {
        self.write(None).await
    }

    /// Writes the document with a lease of this length from now by the storage's clock, or with none.
    async fn write(&mut self, length: Option<TimeDelta>) -> Result<(), StoreError> {
        let local = self.clock.now();
        let expires =
            |length| LeaseRecord { holder: self.holder.clone(), expires: local + self.ahead + length };
        self.document.lease = length.map(expires);
        let body = encode(&self.document)?;
        let stored = self.put(&body).await?;
        (self.etag, self.ahead) = (Some(stored.etag), stored.at - self.clock.now());
        (self.renew_at, self.proves_until) = (local + delta(RENEW_AFTER), local + delta(LEASE / 2));
        self.dirty = false;
        Ok(())
    }

    /// Writes, and again where a write failed and left the document as it was: storage closes idle connections whenever it
    /// likes, and a pass is not to fail for that. A write that was done all the same, its answer lost, is recognised by
    /// what is there; and one that is still on its way can do no harm after the next, for it is conditional on a version
    /// that is gone by then.
    async fn put(&self, body: &[u8]) -> Result<Stored, StoreError> {
        let mut waits = AGAIN.iter();
        loop {
            let error = match self.store.put(&self.name, body.to_vec(), self.etag.as_ref()).await {
                Ok(stored) => return Ok(stored),
                Err(error @ StoreError::Refused(_)) => return Err(error),
                Err(error) => error,
            };
            let Ok(Found { document, at, .. }) = self.store.get(&self.name).await else { return Err(error) };
            match (document, waits.next()) {
                (Some((there, etag)), _) if there == body => return Ok(Stored { etag, at }),
                (found, Some(wait)) if found.as_ref().map(|(_, etag)| etag) == self.etag.as_ref() => {
                    self.clock.sleep(*wait).await;
                }
                _ => return Err(error),
            }
        }
    }
}

/// Reads the journal of an instance without taking the lease, for showing it.
pub async fn peek(store: &dyn Store, instance: &ServiceId) -> Result<Journal, StoreError> {
    Ok(load(store, instance).await?.document.journal)
}

struct Loaded {
    document: Document,
    etag: Option<ETag>,
    modified: DateTime<Utc>,
    at: DateTime<Utc>,
}

/// Reads the document of an instance, or makes the first one.
async fn load(store: &dyn Store, instance: &ServiceId) -> Result<Loaded, StoreError> {
    let name = document_name(instance);
    let Found { document, modified, at } = store.get(&name).await?;
    let (mut document, etag) = match document {
        None => (Document { version: VERSION, ..Document::default() }, None),
        Some((body, etag)) => (parse(&name, &body)?, Some(etag)),
    };
    let service = document.service.get_or_insert_with(|| instance.clone());
    if service != instance {
        let (found, wanted) = (Box::new(service.clone()), Box::new(instance.clone()));
        return Err(StoreError::OfAnother { name, found, wanted });
    }
    Ok(Loaded { document, etag, modified, at })
}

fn parse(name: &str, body: &[u8]) -> Result<Document, StoreError> {
    if body.len() > LARGEST_DOCUMENT {
        return Err(StoreError::too_large(name));
    }
    let unreadable = |detail: String| StoreError::Unreadable { name: name.into(), detail };
    let versioned: Versioned = serde_json::from_slice(body).map_err(|error| unreadable(place(&error)))?;
    if versioned.version != VERSION {
        return Err(unreadable(words::document_of_another_release(versioned.version)));
    }
    let document: Document = serde_json::from_slice(body).map_err(|error| unreadable(place(&error)))?;
    if !document.times().all(|time| (FIRST_YEAR..=LAST_YEAR).contains(&time.year())) {
        return Err(unreadable(words::document_strange_time(FIRST_YEAR, LAST_YEAR)));
    }
    Ok(document)
}

/// Where a document is at fault. serde's own words may quote a value, and the URL of an operation is a secret of sorts.
fn place(error: &serde_json::Error) -> String {
    words::document_malformed(error.line(), error.column())
}

/// The years that times are taken from: none of ours is of before the first, and beyond the last one of them plus a
/// policy's ten years is no longer written with four digits.
const FIRST_YEAR: i32 = 1970;
const LAST_YEAR: i32 = 9980;

impl Document {
    fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.journal.times().chain(self.lease.iter().map(|lease| lease.expires))
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn encode(document: &Document) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec_pretty(document).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// A readable name that no two instances share: ids compare without regard to case, so it is in lower case.
fn document_name(instance: &ServiceId) -> String {
    let name = format!("{}/{}/{}.json", instance.subscription(), instance.group(), instance.name());
    name.to_lowercase()
}
