//! App Configuration stores in the world file, and what apps read by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stores::Name;
use crate::world::WorldError;

/// One App Configuration store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfiguration {
    /// Its resource group.
    pub group: String,
    /// Its name, unique in all of Azure.
    pub name: String,
    /// Its key-values.
    #[serde(default, rename = "keyValues")]
    pub key_values: Vec<KeyValue>,
    /// What connection strings sign with. Without it tokens alone are taken.
    #[serde(default, rename = "accessKey")]
    pub access_key: Option<AccessKey>,
}

/// A key-value.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyValue {
    /// Its key. Case counts.
    pub key: String,
    /// Its label, if it has one. Case counts.
    #[serde(default)]
    pub label: Option<String>,
    /// The value; it may have placeholders.
    pub value: String,
    /// What the value is: a reference to a Key Vault secret is known by it.
    #[serde(default, rename = "contentType")]
    pub content_type: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether it may not be changed.
    #[serde(default)]
    pub locked: bool,
}

/// An access key of a store, for reading and writing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret, in base64.
    pub secret: String,
}

/// What an app reads by an SDK when its process starts, by its own identity, and never again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Read {
    /// A key-value, and the secret that it names if it is a reference to one.
    KeyValue {
        /// The name of the store.
        store: String,
        /// The key.
        key: String,
        /// The label, if it has one.
        #[serde(default)]
        label: Option<String>,
    },
    /// A Key Vault secret, in its newest version.
    Secret {
        /// The name of the vault.
        vault: String,
        /// The name of the secret.
        name: String,
    },
}

impl KeyValue {
    /// A key-value with nothing but a value.
    #[must_use]
    pub fn new(key: impl Into<String>, label: Option<&str>, value: impl Into<String>) -> Self {
        let label = label.map(str::to_owned);
        Self { key: key.into(), label, value: value.into(), ..Self::default() }
    }
}

impl fmt::Debug for KeyValue {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, label, .. } = self;
        f.debug_struct("KeyValue").field("key", key).field("label", label).finish_non_exhaustive()
    }
}

impl fmt::Debug for AccessKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl AppConfiguration {
    /// A key-value as it stands in the world file.
    pub(crate) fn get(&self, key: &str, label: Option<&str>) -> Option<&KeyValue> {
        let wanted = Name::new(key, label);
        self.key_values.iter().find(|one| Name::new(&one.key, one.label.as_deref()) == wanted)
    }

    pub(crate) fn check(&self) -> Result<(), WorldError> {
        let mut seen = BTreeSet::new();
        for one in &self.key_values {
            if !is_key(&one.key) {
                return Err(WorldError::BadKey(one.key.clone()));
            }
            let name = Name::new(&one.key, one.label.as_deref());
            if !seen.insert(name.clone()) {
                return Err(WorldError::Twice(name.to_string()));
            }
        }
        Ok(())
    }
}

/// Whether App Configuration takes a text for a key (docs: App Configuration, Keys and values).
pub(crate) fn is_key(key: &str) -> bool {
    !key.is_empty() && key != "." && key != ".." && !key.contains('%')
}
