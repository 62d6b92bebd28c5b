//! A store that counts what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use signalr_rekey::store::{ETag, Found, Store, StoreError, Stored};

/// Counts what is asked of a store.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn Store>,
    requests: AtomicU64,
    writes: AtomicU64,
}

impl Counting {
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, requests: AtomicU64::new(0), writes: AtomicU64::new(0) })
    }

    /// Reads and writes so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Store for Counting {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.put(name, body, expected).await
    }
}
