//! A store that tells what is asked of it before it does it, and fails where it is told to.

use std::fmt;
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
