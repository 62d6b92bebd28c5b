//! The keys that consumers hold, as the last look found them. They are in memory alone, and only where the watch needs
//! them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rekey_core::model::{Key, ServiceId};

/// The keys in use of every instance that was looked at.
#[derive(Debug, Default)]
pub struct InUse(Mutex<BTreeMap<ServiceId, KeysInUse>>);

/// The keys in use of one instance.
#[derive(Clone, Debug)]
pub struct KeysInUse {
    /// The host by which its connection strings name it.
    pub host: String,
    /// One or two keys; none if no consumer holds a valid one.
    pub keys: Vec<Key>,
}

impl InUse {
    /// The keys of an instance, if it was looked at.
    #[must_use]
    pub fn get(&self, instance: &ServiceId) -> Option<KeysInUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(instance).cloned()
    }

    pub(super) fn set(&self, instance: &ServiceId, host: &str, keys: Vec<Key>) {
        let found = KeysInUse { host: host.to_owned(), keys };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(instance.clone(), found);
    }
}
