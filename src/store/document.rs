//! The journal's document: its name, its format, and the format of before.
//!
//! Start at [`load`]. A document of format 1 is read here; it is carried over by [`Draft::take`](super::Draft::take), under its
//! own lease.

use crate::report::text::azure as words;
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

use super::{ETag, Found, LARGEST_DOCUMENT, Store, StoreError};
use crate::report::cause;
use rekey_core::journal::Journal;
use rekey_core::model::{ServiceId, ServiceType};

/// The version of the documents that are written, and that of the fences in the place of those of format 1.
const VERSION: u32 = 2;

/// The version that is carried over.
const FORMAT_1: u32 = 1;

/// The document of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    version: u32,
    pub(super) service: ServiceId,
    /// Whether older releases are known to be kept out. Until then this is a copy of a document of format 1 that somebody
    /// began to carry over, and counts for nothing as long as that one is there.
    pub(super) fenced: bool,
    pub(super) lease: Option<LeaseRecord>,
    pub(super) journal: Journal,
}

/// The same in format 1.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Format1 {
    #[serde(rename = "version")]
    _version: u32,
    /// Whose journal it is. Documents of before it was written have none: their names tell.
    #[serde(default)]
    service: Option<ServiceId>,
    lease: Option<LeaseRecord>,
    journal: Journal,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LeaseRecord {
    pub(super) holder: String,
    pub(super) expires: DateTime<Utc>,
}

/// What stands in the place of a document of format 1, so that older releases, which do not know its version, leave the service
/// alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Fence {
    version: u32,
    /// Where the journal is now.
    moved_to: String,
    /// Who did it. No two workers write the same.
    by: String,
    at: DateTime<Utc>,
    note: String,
}

impl Fence {
    pub(super) fn new(journal: &str, holder: &str, at: DateTime<Utc>) -> Self {
        let note = words::FENCE;
        Self { version: VERSION, moved_to: journal.into(), by: holder.into(), at, note: note.into() }
    }
}

/// The journal of a service as it was found.
pub(super) struct Loaded {
    pub(super) document: Document,
    pub(super) place: Place,
    /// When it was written, by the storage's clock.
    pub(super) modified: DateTime<Utc>,
    /// The time by the storage's clock.
    pub(super) at: DateTime<Utc>,
}

/// Where it was found, with what a write to it is conditional on.
#[derive(Debug)]
pub(super) enum Place {
    /// In no document yet; whether older releases are kept out.
    Nowhere { fenced: bool },
    Format1 {
        body: Vec<u8>,
        etag: ETag,
        /// A copy that somebody began to carry over.
        copy: Option<ETag>,
    },
    /// In the one of now.
    Here { etag: ETag },
}

/// What stands under the name of format 1.
#[derive(Debug)]
pub(super) enum Older {
    None,
    Fenced,
    Journal { body: Vec<u8>, etag: ETag, modified: DateTime<Utc>, at: DateTime<Utc> },
}

/// Reads the journal of a service without taking the lease, for showing it.
pub async fn peek(store: &dyn Store, instance: &ServiceId) -> Result<Journal, StoreError> {
    Ok(load(store, instance).await?.document.journal)
}

/// The same, where a person asks: whether an older release has begun a journal of its own is looked at too.
pub async fn peek_at_both(store: &dyn Store, service: &ServiceId) -> Result<Journal, StoreError> {
    let document = load(store, service).await?.document;
    if document.fenced {
        document.is_kept(older(store, service).await)?;
    }
    Ok(document.journal)
}

/// Reads the document of a service, or makes the first one.
pub(super) async fn load(store: &dyn Store, service: &ServiceId) -> Result<Loaded, StoreError> {
    let name = name_of(service);
    let Found { document, modified, at } = store.get(&name).await?;
    let found = match document {
        Some((body, etag)) => Some((Document::read(&name, &body, service)?, etag)),
        None => None,
    };
    match found {
        Some((document, etag)) if document.fenced => {
            Ok(Loaded { document, place: Place::Here { etag }, modified, at })
        }
        found => match (older(store, service).await?, found) {
            (Older::Journal { body, etag, modified, at }, found) => {
                let document = Document::carried_over(service, &body)?;
                let copy = found.map(|(_, etag)| etag);
                Ok(Loaded { document, place: Place::Format1 { body, etag, copy }, modified, at })
            }
            // Whoever closed the one of format 1 was killed before he wrote that down; or a person has deleted it.
            (Older::None | Older::Fenced, Some((document, etag))) => {
                Ok(Loaded { document, place: Place::Here { etag }, modified, at })
            }
            (older, None) => {
                let fenced = matches!(older, Older::Fenced);
                let document = Document::new(service, None, Journal::default());
                Ok(Loaded { document, place: Place::Nowhere { fenced }, modified, at })
            }
        },
    }
}

/// What stands under the name of format 1.
pub(super) async fn older(store: &dyn Store, service: &ServiceId) -> Result<Older, StoreError> {
    let Some(name) = format_1_name(service) else { return Ok(Older::Fenced) };
    let Found { document, modified, at } = store.get(&name).await?;
    let Some((body, etag)) = document else { return Ok(Older::None) };
    match version(&name, &body)? {
        FORMAT_1 => Ok(Older::Journal { body, etag, modified, at }),
        VERSION => parse::<Fence>(&name, &body).map(|_| Older::Fenced),
        other => Err(unknown(&name, other)),
    }
}

/// The name of the journal whose lease counts now.
pub(super) async fn holds_the_lease(store: &dyn Store, service: &ServiceId) -> Result<String, StoreError> {
    let older = format_1_name(service);
    Ok(match load(store, service).await?.place {
        Place::Format1 { .. } => older.unwrap_or_else(|| name_of(service)),
        Place::Nowhere { .. } | Place::Here { .. } => name_of(service),
    })
}

impl Document {
    fn new(service: &ServiceId, lease: Option<LeaseRecord>, journal: Journal) -> Self {
        Self { version: VERSION, service: service.clone(), fenced: false, lease, journal }
    }

    /// Whether older releases are kept out by what stands under the name of format 1. Once they are, what cannot be read there
    /// keeps them out as well as a fence: they refuse what they cannot read. A journal that they can read is one of theirs.
    pub(super) fn is_kept(&self, older: Result<Older, StoreError>) -> Result<bool, StoreError> {
        let kept = older.and_then(|older| match older {
            Older::None => Ok(false),
            Older::Fenced => Ok(true),
            Older::Journal { body, .. } => match Self::carried_over(&self.service, &body) {
                Err(unreadable @ StoreError::Unreadable { .. }) => Err(unreadable),
                _ => Err(StoreError::TwoJournals {
                    old: format_1_name(&self.service).unwrap_or_default(),
                    new: name_of(&self.service),
                }),
            },
        });
        match kept {
            Err(StoreError::Unreadable { .. }) if self.fenced => Ok(true),
            kept => kept,
        }
    }

    fn read(name: &str, body: &[u8], service: &ServiceId) -> Result<Self, StoreError> {
        let found = version(name, body)?;
        if found != VERSION {
            return Err(unknown(name, found));
        }
        let document: Self = parse(name, body)?;
        is_of(name, &document.service, service)?;
        are_within_years(name, &document.journal, document.lease.as_ref())?;
        Ok(document)
    }

    /// The document of format 1 as one of now.
    fn carried_over(service: &ServiceId, body: &[u8]) -> Result<Self, StoreError> {
        let name = format_1_name(service).unwrap_or_default();
        let Format1 { service: found, lease, journal, .. } = parse(&name, body)?;
        is_of(&name, found.as_ref().unwrap_or(service), service)?;
        are_within_years(&name, &journal, lease.as_ref())?;
        Ok(Self::new(service, lease, journal))
    }
}

/// The document of format 1 with another lease, and everything else of it as it is: an older release is to read it as its own.
pub(super) fn format_1_with_lease(
    name: &str,
    body: &[u8],
    lease: &LeaseRecord,
) -> Result<Vec<u8>, StoreError> {
    let mut document: serde_json::Value = parse(name, body)?;
    document["lease"] = serde_json::to_value(lease).map_err(|error| unwritable(&error))?;
    encode(&document)
}

fn is_of(name: &str, found: &ServiceId, wanted: &ServiceId) -> Result<(), StoreError> {
    if found == wanted {
        return Ok(());
    }
    let (found, wanted) = (Box::new(found.clone()), Box::new(wanted.clone()));
    Err(StoreError::OfAnother { name: name.to_owned(), found, wanted })
}

fn version(name: &str, body: &[u8]) -> Result<u32, StoreError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    if body.len() > LARGEST_DOCUMENT {
        return Err(StoreError::too_large(name));
    }
    parse(name, body).map(|Versioned { version }| version)
}

fn unknown(name: &str, version: u32) -> StoreError {
    let detail = words::document_of_another_release(version);
    StoreError::Unreadable { name: name.into(), detail }
}

fn parse<'body, T: Deserialize<'body>>(name: &str, body: &'body [u8]) -> Result<T, StoreError> {
    let unreadable = |error| StoreError::Unreadable { name: name.into(), detail: place(&error) };
    serde_json::from_slice(body).map_err(unreadable)
}

/// Where a document is at fault. serde's own words may quote a value, and the URL of an operation is a secret of sorts.
pub(super) fn place(error: &serde_json::Error) -> String {
    words::document_malformed(error.line(), error.column())
}

/// The years that times are taken from: none of ours is of before the first, and beyond the last one of them plus a
/// policy's ten years is no longer written with four digits.
const FIRST_YEAR: i32 = 1970;
const LAST_YEAR: i32 = 9980;

fn are_within_years(name: &str, journal: &Journal, lease: Option<&LeaseRecord>) -> Result<(), StoreError> {
    let mut times = journal.times().chain(lease.map(|lease| lease.expires));
    if times.all(|time| (FIRST_YEAR..=LAST_YEAR).contains(&time.year())) {
        return Ok(());
    }
    let detail = words::document_strange_time(FIRST_YEAR, LAST_YEAR);
    Err(StoreError::Unreadable { name: name.into(), detail })
}

pub(super) fn encode(document: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec_pretty(document).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> StoreError {
    StoreError::Unavailable(cause::told(error))
}

/// The name of the journal of a service.
pub(super) fn name_of(service: &ServiceId) -> String {
    format!("{}.json", service.path())
}

/// The name in format 1, which knew of SignalR alone.
pub(super) fn format_1_name(service: &ServiceId) -> Option<String> {
    match service.service_type() {
        ServiceType::SignalR => {
            let name = format!("{}/{}/{}.json", service.subscription(), service.group(), service.name());
            Some(name.to_lowercase())
        }
    }
}
