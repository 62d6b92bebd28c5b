//! Key vaults: their secrets with all versions, and what may be read of them (swagger: Key Vault secrets 7.5; docs: About
//! Azure Key Vault secrets; Azure Key Vault soft-delete overview).
//!
//! The data plane and the platform that resolves references read by the same [`Vault::read`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::ids::{Key, VaultId};

/// One key vault.
pub(crate) struct Vault {
    pub(crate) id: VaultId,
    /// By their names in lower case, deleted ones among them.
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// A secret and its versions.
pub(crate) struct Secret {
    pub(crate) name: String,
    /// The oldest first; there is at least one.
    pub(crate) versions: Vec<Version>,
    /// When it was deleted, in Unix seconds: it can be recovered until it is purged.
    pub(crate) deleted: Option<i64>,
}

/// One version of a secret. Its value never changes.
pub(crate) struct Version {
    /// 32 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) content: Content,
    /// In Unix seconds.
    pub(crate) created: i64,
    pub(crate) updated: i64,
    /// The keys in it that did not work, or were about to be replaced, when another person wrote it.
    pub(crate) planted: Vec<Key>,
}

/// What is written.
pub(crate) struct Content {
    pub(crate) value: SecretString,
    pub(crate) content_type: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) enabled: bool,
    /// In Unix seconds, as `exp`. Neither keeps anybody from reading it (docs: About Azure Key Vault secrets).
    pub(crate) nbf: Option<i64>,
    pub(crate) exp: Option<i64>,
}

/// Why a secret cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// There is none of this name, or it is deleted.
    NoSecret,
    /// There is no such version of it.
    NoVersion,
    /// The version is disabled. Where the newest is, no older one takes its place.
    Disabled,
}

impl Vault {
    /// A secret that is not deleted.
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(&name.to_lowercase()).filter(|secret| secret.deleted.is_none())
    }

    /// A secret that is not deleted, to be changed.
    pub(crate) fn secret_mut(&mut self, name: &str) -> Option<&mut Secret> {
        self.secrets.get_mut(&name.to_lowercase()).filter(|secret| secret.deleted.is_none())
    }

    /// A secret that is deleted.
    pub(crate) fn deleted(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(&name.to_lowercase()).filter(|secret| secret.deleted.is_some())
    }

    /// The version that a reader is given: the one he asks for, or the newest.
    pub(crate) fn read(&self, name: &str, version: Option<&str>) -> Result<&Version, Unreadable> {
        let secret = self.secret(name).ok_or(Unreadable::NoSecret)?;
        let found = secret.version(version).ok_or(Unreadable::NoVersion)?;
        if found.content.enabled { Ok(found) } else { Err(Unreadable::Disabled) }
    }

    /// Adds a version, whose secret must not be deleted.
    pub(crate) fn add(&mut self, name: &str, version: Version) {
        let made = || Secret { name: name.to_owned(), versions: Vec::new(), deleted: None };
        self.secrets.entry(name.to_lowercase()).or_insert_with(made).versions.push(version);
    }
}

impl Version {
    pub(crate) fn new(id: String, content: Content, now: DateTime<Utc>) -> Self {
        let now = now.timestamp();
        Self { id, content, created: now, updated: now, planted: Vec::new() }
    }
}

impl Secret {
    /// A version by its id, or the newest.
    pub(crate) fn version(&self, id: Option<&str>) -> Option<&Version> {
        match id {
            Some(id) => self.versions.iter().find(|version| version.id.eq_ignore_ascii_case(id)),
            None => self.versions.last(),
        }
    }

    /// The same, to be changed.
    pub(crate) fn version_mut(&mut self, id: Option<&str>) -> Option<&mut Version> {
        match id {
            Some(id) => self.versions.iter_mut().find(|version| version.id.eq_ignore_ascii_case(id)),
            None => self.versions.last_mut(),
        }
    }
}

impl Content {
    /// A value and nothing else.
    pub(crate) fn of(value: String) -> Self {
        let (content_type, tags) = (None, BTreeMap::new());
        Self { value: value.into(), content_type, tags, enabled: true, nbf: None, exp: None }
    }

    /// The value itself.
    pub(crate) fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}
