//! Calls from a run that waits to the run that holds the lease, within one process: look again, somebody is being cut off.
//!
//! Following a regeneration takes a minute and more, and the lease is kept for it. When the key in use is regenerated from
//! outside in that minute, the notice of it finds the lease taken; its call makes the run that has it look and repair at
//! once. Between two processes there is no such call: there the notice waits, or is delivered again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use rekey_core::model::ServiceId;

/// One bell for each instance, for the life of the process.
#[derive(Debug, Default)]
pub struct Calls(Mutex<HashMap<ServiceId, Arc<Notify>>>);

impl Calls {
    /// Calls whoever is at work on the instance. A call that nobody hears is heard by the next who listens.
    pub fn call(&self, instance: &ServiceId) {
        self.bell(instance).notify_one();
    }

    /// Waits for a call.
    pub(super) async fn called(&self, instance: &ServiceId) {
        self.bell(instance).notified().await;
    }

    fn bell(&self, instance: &ServiceId) -> Arc<Notify> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(instance.clone()).or_default())
    }
}
