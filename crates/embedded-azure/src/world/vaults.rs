//! Key vaults in the world file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::world::WorldError;

/// One key vault.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Its resource group.
    pub group: String,
    /// Its name, unique in all of Azure.
    pub name: String,
    /// Its secrets, each a value alone or with what belongs to it.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
}

/// A secret in its one version. In the world file a text stands for a secret with this value and nothing else.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// The value; it may have placeholders.
    pub value: String,
    /// What the value is.
    #[serde(rename = "contentType")]
    pub content_type: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it may be read.
    pub enabled: bool,
    /// When it expires, in Unix seconds.
    pub exp: Option<i64>,
}

/// The most tags of a secret (docs: About Azure Key Vault secrets, secret tags).
pub(crate) const MOST_TAGS: usize = 15;

impl Secret {
    /// A secret with a value and nothing else.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        let (content_type, tags) = (None, BTreeMap::new());
        Self { value: value.into(), content_type, tags, enabled: true, exp: None }
    }
}

impl fmt::Debug for Secret {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

impl Vault {
    /// The value of a secret, as it stands in the world file.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.secrets.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, secret)| secret.value.as_str())
    }

    pub(crate) fn check(&self) -> Result<(), WorldError> {
        let mut seen = BTreeSet::new();
        for (name, secret) in &self.secrets {
            if !is_secret_name(name) {
                return Err(WorldError::BadName(name.clone()));
            }
            if !seen.insert(name.to_lowercase()) {
                return Err(WorldError::Twice(name.clone()));
            }
            if secret.tags.len() > MOST_TAGS {
                let secret = format!("{}/{name}", self.name);
                return Err(WorldError::BadSecret { secret, found: "more than 15 tags" });
            }
        }
        Ok(())
    }
}

/// Whether Key Vault takes a name for a secret (docs: About keys, secrets and certificates, object identifiers).
pub(crate) fn is_secret_name(name: &str) -> bool {
    let fits = |sign: u8| sign.is_ascii_alphanumeric() || sign == b'-';
    (1..=127).contains(&name.len()) && name.bytes().all(fits)
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            value: String,
            #[serde(rename = "contentType", default)]
            content_type: Option<String>,
            #[serde(default)]
            tags: BTreeMap<String, String>,
            #[serde(default = "yes")]
            enabled: bool,
            #[serde(default)]
            exp: Option<i64>,
        }

        /// An untagged enumeration would not say which member is unknown.
        struct TextOrWhole;

        impl<'de> Visitor<'de> for TextOrWhole {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the value of a secret, or an object with it")
            }

            fn visit_str<E>(self, value: &str) -> Result<Secret, E> {
                Ok(Secret::new(value))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                let whole = Whole::deserialize(MapAccessDeserializer::new(map))?;
                let Whole { value, content_type, tags, enabled, exp } = whole;
                Ok(Secret { value, content_type, tags, enabled, exp })
            }
        }

        deserializer.deserialize_any(TextOrWhole)
    }
}

const fn yes() -> bool {
    true
}
