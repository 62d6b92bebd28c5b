//! A store in memory: for the demo, for tests, and for trying things out. It forgets everything with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{ETag, Found, Store, StoreError, Stored};
use crate::clock::Clock;

/// Documents in memory, with the conditions of Blob Storage (`If-Match`, `If-None-Match: *`).
#[derive(Debug)]
pub struct MemoryStore {
    documents: Mutex<HashMap<String, (Vec<u8>, u64)>>,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// An empty store, whose clock this is.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { documents: Mutex::default(), clock }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let document = documents.get(name).map(|(body, version)| (body.clone(), etag(*version)));
        Ok(Found { document, at: self.clock.now() })
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let version = documents.get(name).map(|(_, version)| *version);
        if version.map(etag).as_ref() != expected {
            return Err(StoreError::Changed);
        }
        let next = version.unwrap_or_default() + 1;
        documents.insert(name.into(), (body, next));
        Ok(Stored { etag: etag(next), at: self.clock.now() })
    }
}

fn etag(version: u64) -> ETag {
    ETag(version.to_string())
}
