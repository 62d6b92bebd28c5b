//! What all runs of a process share: calls between them, the keys in use, what one leaves to the next, and how they are asked
//! to stop.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::azure::consumers::Place;
use crate::store::ETag;
use rekey_core::model::{Key, ServiceId};

/// Calls from a run that waits to the run that holds the lease, within one process: check again, somebody is being cut off.
/// One bell for each service, for the life of the process.
///
/// Following a regeneration takes a minute and more, and the lease is kept for it. When the key in use is regenerated from
/// outside in that minute, the notice of it finds the lease taken; its call makes the run that has it check and repair at
/// once. Between two processes the store carries the call ([`call`](crate::store::call)).
#[derive(Debug, Default)]
pub struct Calls(Mutex<HashMap<ServiceId, Arc<Notify>>>);

impl Calls {
    /// Calls whoever is at work on the service. A call that nobody hears is heard by the next who listens.
    pub fn call(&self, service: &ServiceId) {
        self.bell(service).notify_one();
    }

    /// Waits for a call.
    pub(super) async fn called(&self, service: &ServiceId) {
        self.bell(service).notified().await;
    }

    fn bell(&self, service: &ServiceId) -> Arc<Notify> {
        let mut bells = self.0.lock();
        Arc::clone(bells.entry(service.clone()).or_default())
    }
}

/// What a run leaves to the next one over the same service, so that it waits for less. Nothing is decided by it, and a new process
/// knows nothing.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<BTreeMap<ServiceId, Memory>>);

/// Of one service.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The version of the journal that was written or read last.
    pub(super) journal: Option<ETag>,
    /// What the last check was led to by what it read, such as what the platform has made of references.
    pub(super) led_to: BTreeSet<Place>,
}

impl Remembered {
    pub(super) fn of(&self, service: &ServiceId) -> Memory {
        self.0.lock().get(service).cloned().unwrap_or_default()
    }

    pub(super) fn note(&self, service: &ServiceId, change: impl FnOnce(&mut Memory)) {
        change(self.0.lock().entry(service.clone()).or_default());
    }
}

/// The keys in use of every service that was checked.
#[derive(Debug, Default)]
pub struct InUse(Mutex<BTreeMap<ServiceId, KeysInUse>>);

/// The keys in use of one service.
#[derive(Clone, Debug)]
pub struct KeysInUse {
    /// The host by which its connection strings name it.
    pub host: String,
    /// One or two keys; none if no consumer holds a valid one.
    pub keys: Vec<Key>,
}

impl InUse {
    /// The keys of a service, if it was checked.
    pub fn get(&self, service: &ServiceId) -> Option<KeysInUse> {
        self.0.lock().get(service).cloned()
    }

    pub(super) fn set(&self, service: &ServiceId, host: &str, keys: Vec<Key>) {
        let found = KeysInUse { host: host.to_owned(), keys };
        self.0.lock().insert(service.clone(), found);
    }
}

/// Asks the runs of a process to end where they are: at their waits, and between two steps. The lease is given back, and
/// the next run carries on. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Asks, once and for all.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it is asked.
    pub async fn asked(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }
}

/// How many runs are at work in this process. Clones share it.
#[derive(Clone, Debug)]
pub struct AtWork(Arc<watch::Sender<usize>>);

impl Default for AtWork {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl AtWork {
    /// Counts a run for as long as the answer lives.
    pub(super) fn begin(&self) -> AtWorkGuard {
        self.0.send_modify(|runs| *runs += 1);
        AtWorkGuard(self.clone())
    }

    /// Ends when no run is at work.
    pub async fn rest(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|runs| *runs == 0).await;
    }
}

/// A run that is at work.
#[derive(Debug)]
pub(super) struct AtWorkGuard(AtWork);

impl Drop for AtWorkGuard {
    fn drop(&mut self) {
        self.0.0.send_modify(|runs| *runs -= 1);
    }
}
