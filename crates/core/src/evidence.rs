//! The documents that prove what was changed: one for each change, each with the hash of the one before, so that none can be
//! altered, taken away or put in between without that it shows.
//!
//! Start at [`next`] and [`verify`]. Name and content of a document follow from the journal alone, so that it is the same each
//! time that it is written. The journal has the name and the hash of the last ([`Head`]).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::journal::{Anew, Change, Evidence, Head, Journal};
use crate::model::ServiceId;

/// The version of what is written.
pub const VERSION: u32 = 1;

/// How a chain is named: by when it began, to the millisecond.
const CHAIN: &str = "%Y%m%dT%H%M%S%3fZ";

/// A document to be written, and never to be written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub name: String,
    pub body: Vec<u8>,
    pub sha256: String,
}

/// What a document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub version: u32,
    pub service: ServiceId,
    /// When the chain began, which names it.
    pub chain: DateTime<Utc>,
    /// The number of the document in its chain, from 1.
    pub sequence: u64,
    /// The one before; nothing in the first.
    pub previous: Option<Previous>,
    /// In the first of a chain that was begun in the place of another: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew: Option<Anew>,
    pub what: String,
    pub change: Change,
}

/// The document before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    pub name: String,
    pub sha256: String,
}

/// The next document of a service, if a change waits for one.
pub fn next(journal: &Journal, service: &ServiceId) -> Result<Option<Document>, serde_json::Error> {
    let evidence = journal.evidence();
    let Some(change) = evidence.waiting().next() else { return Ok(None) };
    let (chain, sequence) = evidence.next_place(change);
    let previous = evidence.head().map(|Head { name, sha256, .. }| {
        let (name, sha256) = (name.clone(), sha256.clone());
        Previous { name, sha256 }
    });
    let record = Record {
        version: VERSION,
        service: service.clone(),
        chain,
        sequence,
        previous,
        anew: evidence.anew().cloned(),
        what: change.what().to_owned(),
        change: change.clone(),
    };
    let body = serde_json::to_vec_pretty(&record)?;
    let month = change.ended.format("%Y/%m");
    let name = format!("{month}/{}/{}-{sequence:06}.json", service.path(), chain.format(CHAIN));
    Ok(Some(Document { name, sha256: sha256(&body), body }))
}

/// The hash of a document, in hexadecimal.
pub fn sha256(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a document is one of a service, by its name.
pub fn is_of(name: &str, service: &ServiceId) -> bool {
    let mut parts = name.splitn(3, '/');
    let rest = parts.nth(2).unwrap_or_default();
    rest.rsplit_once('/').is_some_and(|(of, _)| of == service.path())
}

/// The month of a document, by its name.
pub fn month(name: &str) -> Option<&str> {
    name.get(..7).filter(|month| month.as_bytes().get(4) == Some(&b'/'))
}

/// The chain and the number that a name tells.
fn place(name: &str) -> Option<(DateTime<Utc>, u64)> {
    let (_, file) = name.rsplit_once('/')?;
    let (chain, sequence) = file.strip_suffix(".json")?.split_once('-')?;
    let chain = NaiveDateTime::parse_from_str(chain, CHAIN).ok()?.and_utc();
    Some((chain, sequence.parse().ok()?))
}

/// Reads a document; where it is at fault, without any of its content.
pub fn read(body: &[u8]) -> Result<Record, Flawed> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let malformed =
        |error: serde_json::Error| Flawed::Malformed { line: error.line(), column: error.column() };
    let Versioned { version } = serde_json::from_slice(body).map_err(malformed)?;
    if version != VERSION {
        return Err(Flawed::OfVersion(version));
    }
    serde_json::from_slice(body).map_err(malformed)
}

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flawed {
    /// A later release wrote it.
    OfVersion(u32),
    /// It is none of ours, or was cut off.
    Malformed { line: usize, column: usize },
    /// The storage does not give it; what it said.
    NotGiven(String),
}

/// What is wrong with the evidence of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// One that the next, or the journal, names is not there.
    Missing {
        name: String,
    },
    /// Those of these numbers, one after another, are not there, and nothing that is there names them.
    Gap {
        chain: DateTime<Utc>,
        first: u64,
        last: u64,
    },
    /// One is not what it was when the next was written.
    Changed {
        name: String,
    },
    Unreadable {
        name: String,
        why: Flawed,
    },
    /// One that the journal knows nothing of.
    Unknown {
        name: String,
    },
    /// The journal knows of no such chain: it was lost, or replaced, or an older release has begun anew. How the chain ended
    /// cannot be told.
    NoHead {
        chain: DateTime<Utc>,
        documents: usize,
        last: String,
    },
}

/// What was found of a service.
pub type Found = BTreeMap<String, Result<Vec<u8>, String>>;

/// Checks the evidence of a service against its journal: from the last document back to the first. `next` is the one that would be
/// written now: it may be there already, where a run crashed before that was on record.
pub fn verify(evidence: &Evidence, next: Option<&Document>, documents: &Found) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut chains: BTreeMap<DateTime<Utc>, BTreeMap<u64, &str>> = BTreeMap::new();
    let mut beside = BTreeSet::new();
    for name in documents.keys() {
        let known = place(name).map(|(chain, sequence)| {
            chains.entry(chain).or_default().insert(sequence, name).is_none_or(|other| !beside.insert(other))
        });
        if known.is_none() {
            beside.insert(name);
        }
    }
    let is_next = |name: &str| {
        next.is_some_and(|next| next.name == name && documents.get(name) == Some(&Ok(next.body.clone())))
    };
    flaws.extend(
        beside.iter().filter(|name| !is_next(name)).map(|name| Flaw::Unknown { name: (*name).to_owned() }),
    );
    let mut last = evidence.last().cloned();
    while let Some(head) = last {
        let numbers = chains.remove(&head.chain).unwrap_or_default();
        let beyond = numbers.range(head.sequence.saturating_add(1)..).map(|(_, name)| *name);
        let beyond = beyond.filter(|name| !is_next(name));
        flaws.extend(beyond.map(|name| Flaw::Unknown { name: name.to_owned() }));
        let vouched = Some((head.name.as_str(), head.sha256.as_str()));
        let before = walk((head.chain, head.sequence), vouched, &numbers, documents, &mut flaws);
        // One that was begun in its place is a later one.
        last = before.filter(|before| before.chain < head.chain);
    }
    for (chain, numbers) in chains {
        let Some((sequence, last)) = numbers.last_key_value() else { continue };
        if numbers.len() == 1 && is_next(last) {
            continue;
        }
        let (documents_of, name) = (numbers.len(), (*last).to_owned());
        flaws.push(Flaw::NoHead { chain, documents: documents_of, last: name });
        // Nothing vouches for what it says of an earlier chain, which is reported like this one.
        walk((chain, *sequence), None, &numbers, documents, &mut flaws);
    }
    flaws
}

/// Goes from a document back to the first of its chain; the last document of the chain in whose place it was begun, if it was
/// and says so. `expected` is what vouches for a document, as long as one does.
fn walk(
    (chain, last): (DateTime<Utc>, u64),
    expected: Option<(&str, &str)>,
    numbers: &BTreeMap<u64, &str>,
    documents: &Found,
    flaws: &mut Vec<Flaw>,
) -> Option<Head> {
    let mut expected = expected.map(|(name, sha256)| (name.to_owned(), sha256.to_owned()));
    let mut before = None;
    let mut sequence = last;
    while sequence > 0 {
        let named = expected.as_ref().map(|(name, _)| name.as_str());
        let name = named.or_else(|| numbers.get(&sequence).copied());
        let found = name.and_then(|name| documents.get_key_value(name));
        let mut previous = None;
        match (name, found) {
            (None, _) => {
                let below = numbers.range(..sequence).next_back().map_or(0, |(below, _)| *below);
                flaws.push(Flaw::Gap { chain, first: below + 1, last: sequence });
                sequence = below + 1;
            }
            (Some(name), None) => flaws.push(Flaw::Missing { name: name.to_owned() }),
            (Some(_), Some((name, Err(why)))) => {
                flaws.push(Flaw::Unreadable { name: name.clone(), why: Flawed::NotGiven(why.clone()) });
            }
            (Some(_), Some((name, Ok(body)))) => {
                let is_as_it_was = expected.as_ref().is_none_or(|(_, hash)| *hash == sha256(body));
                match read(body) {
                    Ok(record) => {
                        let is_here = (record.chain, record.sequence) == (chain, sequence);
                        if !is_as_it_was || !is_here || (record.previous.is_none() != (sequence == 1)) {
                            flaws.push(Flaw::Changed { name: name.clone() });
                        } else {
                            previous = record.previous;
                            before = record.anew.and_then(|anew| anew.last);
                        }
                    }
                    Err(_) if !is_as_it_was => flaws.push(Flaw::Changed { name: name.clone() }),
                    Err(why) => flaws.push(Flaw::Unreadable { name: name.clone(), why }),
                }
            }
        }
        expected = previous.map(|Previous { name, sha256 }| (name, sha256));
        sequence -= 1;
    }
    before
}

#[cfg(test)]
mod tests;
