//! A store in memory: for the demo, for tests, and for trying things out. It forgets everything with the process.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::{ETag, EVIDENCE, Found, Store, StoreError, Stored};
use crate::clock::Clock;

/// Documents in memory, with the conditions of Blob Storage (`If-Match`, `If-None-Match: *`).
#[derive(Debug)]
pub struct MemoryStore {
    documents: Mutex<HashMap<String, Kept>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
struct Kept {
    body: Vec<u8>,
    version: u64,
    modified: DateTime<Utc>,
}

impl MemoryStore {
    /// An empty store, whose clock this is.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { documents: Mutex::default(), clock }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        let documents = self.documents.lock();
        let (at, kept) = (self.clock.now(), documents.get(name));
        let document = kept.map(|kept| (kept.body.clone(), etag(kept.version)));
        Ok(Found { document, modified: kept.map_or(at, |kept| kept.modified), at })
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let mut documents = self.documents.lock();
        let version = documents.get(name).map(|kept| kept.version);
        if version.map(etag).as_ref() != expected {
            return Err(StoreError::Changed);
        }
        let (next, at) = (version.unwrap_or_default() + 1, self.clock.now());
        documents.insert(name.into(), Kept { body, version: next, modified: at });
        Ok(Stored { etag: etag(next), at })
    }

    async fn list_evidence(&self) -> Result<Option<Vec<String>>, StoreError> {
        let documents = self.documents.lock();
        let names: Vec<_> = documents.keys().filter_map(|name| name.strip_prefix(EVIDENCE)).collect();
        Ok((!names.is_empty()).then(|| names.into_iter().map(ToOwned::to_owned).collect()))
    }
}

fn etag(version: u64) -> ETag {
    ETag(version.to_string())
}
