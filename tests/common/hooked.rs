//! Stores between a worker and his own: one that tells what is asked of it before it does it, and fails where it is told to,
//! and one that does a write and loses its answer.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use signalr_rekey::store::{ETag, Found, Store, StoreError, Stored};

/// What is asked of a store: the name of a document, and what is to be written, if anything is. The error that is answered
/// instead.
type Hook = Box<dyn FnMut(&str, Option<&[u8]>) -> Result<(), StoreError> + Send>;

/// A store with a hook before it.
pub struct Hooked {
    inner: Arc<dyn Store>,
    hook: Mutex<Hook>,
}

impl Hooked {
    pub fn new(
        inner: Arc<dyn Store>,
        hook: impl FnMut(&str, Option<&[u8]>) -> Result<(), StoreError> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner, hook: Mutex::new(Box::new(hook)) })
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

#[async_trait]
impl Store for Hooked {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        (self.hook.lock().unwrap())(name, None)?;
        self.inner.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        (self.hook.lock().unwrap())(name, Some(&body))?;
        self.inner.put(name, body, expected).await
    }
}

/// A store whose n-th write is done, but answered with an error.
#[derive(Debug)]
pub struct Forgetful {
    inner: Arc<dyn Store>,
    writes: AtomicUsize,
    lost: usize,
    answer: StoreError,
}

impl Forgetful {
    pub fn new(inner: Arc<dyn Store>, lost: usize, answer: StoreError) -> Arc<Self> {
        Arc::new(Self { inner, writes: AtomicUsize::new(0), lost, answer })
    }
}

#[async_trait]
impl Store for Forgetful {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.inner.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let stored = self.inner.put(name, body, expected).await?;
        if self.writes.fetch_add(1, Ordering::Relaxed) == self.lost {
            return Err(self.answer.clone());
        }
        Ok(stored)
    }
}
