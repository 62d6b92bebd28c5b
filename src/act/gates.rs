//! One writer of an app's settings at a time. Two instances may share an app, and their passes run side by side: each
//! replaces the whole dictionary, so one would undo the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::OwnedMutexGuard;

use rekey_core::model::AppId;

/// A gate for each app, for the life of the process.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<AppId, Arc<Gate>>>);

/// When we last wrote the app's settings; held while they are read and written.
type Gate = tokio::sync::Mutex<Option<DateTime<Utc>>>;

impl Gates {
    /// Waits until nobody else of this process writes the app. What is in it is when somebody last did: what was read
    /// before that is out of date.
    pub(crate) async fn enter(&self, app: &AppId) -> OwnedMutexGuard<Option<DateTime<Utc>>> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(gates.entry(app.clone()).or_default())
        };
        gate.lock_owned().await
    }
}
