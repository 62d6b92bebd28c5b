//! A store in memory: for the demo, for tests, and for trying things out. It forgets everything with the process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{ETag, Store, StoreError};

/// Documents in memory, with the conditions of Blob Storage (`If-Match`, `If-None-Match: *`).
#[derive(Debug, Default)]
pub struct MemoryStore {
    documents: Mutex<HashMap<String, (Vec<u8>, u64)>>,
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, name: &str) -> Result<Option<(Vec<u8>, ETag)>, StoreError> {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(documents.get(name).map(|(body, version)| (body.clone(), etag(*version))))
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<ETag, StoreError> {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let version = documents.get(name).map(|(_, version)| *version);
        if version.map(etag).as_ref() != expected {
            return Err(StoreError::Changed);
        }
        let next = version.unwrap_or_default() + 1;
        documents.insert(name.into(), (body, next));
        Ok(etag(next))
    }
}

fn etag(version: u64) -> ETag {
    ETag(version.to_string())
}
