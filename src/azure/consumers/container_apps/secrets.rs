//! The list of an app's secrets, which is read and replaced as a whole.
//!
//! Guarantee: what is listed goes back verbatim, in Azure's order, with members that we do not know, but for the values in which
//! keys were replaced; and of a secret that is kept in a Key Vault without its value, as Azure takes it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::azure::consumers::value::Value as OfText;
use crate::azure::consumers::{Change, Marks};
use rekey_core::model::SecretReference;
use rekey_core::plan::{Holding, SettingFault};

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Secrets {
    value: Vec<Entry>,
}

/// A secret of an app. Its `Debug` shows no value.
#[derive(Clone, Deserialize)]
pub(crate) struct Entry {
    pub name: String,
    /// Where it is kept in a Key Vault, this is what the platform has fetched.
    #[serde(default, deserialize_with = "secret")]
    value: Option<SecretString>,
    #[serde(rename = "keyVaultUrl")]
    url: Option<String>,
    #[serde(flatten)]
    members: Map<String, Value>,
}

/// What a secret shows of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Holds(Holding),
    Fault(SettingFault),
}

impl Shown {
    pub(super) const fn is_stale(&self) -> bool {
        matches!(self, Self::Holds(Holding::Stale(_)) | Self::Fault(SettingFault::StaleKeyInOtherText))
    }

    pub(super) const fn holds_a_key(&self) -> bool {
        matches!(self, Self::Holds(Holding::Valid(_)) | Self::Fault(SettingFault::KeyInOtherText))
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Entry {
    /// Its value **in the clear**.
    pub(super) fn exposed(&self) -> Option<&str> {
        self.value.as_ref().map(ExposeSecret::expose_secret)
    }

    /// What it refers to in a Key Vault; nothing where it is kept in the app, or the URL is not understood.
    pub(crate) fn reference(&self) -> Option<SecretReference> {
        SecretReference::of_url(self.url.as_deref()?)
    }

    /// Whether it is kept in a Key Vault.
    pub(crate) const fn is_in_a_vault(&self) -> bool {
        self.url.is_some()
    }

    /// Whether the platform has not told what it fetched.
    pub(crate) const fn is_without_value(&self) -> bool {
        self.value.is_none()
    }

    pub(crate) fn shows(&self, marks: Marks<'_>) -> Vec<Shown> {
        self.value.as_ref().map(|value| shows(value, marks)).unwrap_or_default()
    }

    /// The same with another key, or made to be fetched anew; nothing where that changes nothing.
    fn rewritten(&self, change: &Change<'_>) -> Option<Self> {
        if !change.names.contains(&self.name.as_str()) {
            return None;
        }
        let written = change.rewritten(self.exposed()?)?;
        let url = match &self.url {
            None => None,
            // What the vault does not hold yet cannot be fetched.
            Some(url) => {
                let (reference, (of, version)) = (self.reference()?, change.versions.get(&self.name)?);
                // Since the check it may have been made to name another, of which nothing is known here.
                let same = of.as_ref() == Some(&reference.secret);
                Some(same.then(|| with_version(url, reference.version.as_deref(), version))?)
            }
        };
        Some(Self { value: Some(written.as_str().into()), url, ..self.clone() })
    }
}

/// What a text shows of a service.
pub(super) fn shows(value: &SecretString, marks: Marks<'_>) -> Vec<Shown> {
    let shown = marks.values(value.expose_secret()).into_iter().filter_map(|value| match value {
        OfText::Holds(holding) => Some(Shown::Holds(holding)),
        OfText::Fault(fault) => Some(Shown::Fault(fault)),
        OfText::Placeholder { ours: true } => Some(Shown::Fault(SettingFault::Placeholder)),
        OfText::Placeholder { ours: false } | OfText::Reference(_) | OfText::Other => None,
    });
    shown.collect()
}

/// The URL of a secret that names a version, with another version; one that names none stays.
fn with_version(url: &str, old: Option<&str>, new: &str) -> String {
    let at = old.and_then(|old| Some((url.to_ascii_lowercase().rfind(old)?, old.len())));
    at.map_or_else(|| url.to_owned(), |(at, length)| format!("{}{new}{}", &url[..at], &url[at + length..]))
}

impl Secrets {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.value.iter()
    }

    /// The list with another key; nothing where that changes nothing.
    pub(super) fn rewritten(&self, change: &Change<'_>) -> Option<Self> {
        let rewritten: Vec<Option<Entry>> = self.iter().map(|entry| entry.rewritten(change)).collect();
        let any = rewritten.iter().any(Option::is_some);
        let value = self.iter().zip(rewritten).map(|(before, after)| after.unwrap_or_else(|| before.clone()));
        any.then(|| Self { value: value.collect() })
    }

    /// As a write takes it.
    pub(super) fn for_a_write(&self) -> Value {
        let entry = |entry: &Entry| {
            let mut members = entry.members.clone();
            members.insert("name".to_owned(), json!(entry.name));
            match (&entry.url, entry.exposed()) {
                (Some(url), _) => members.insert("keyVaultUrl".to_owned(), json!(url)),
                (None, value) => members.insert("value".to_owned(), json!(value)),
            };
            Value::Object(members)
        };
        self.iter().map(entry).collect()
    }

    /// Whether what was written is there: what is kept in a vault may come later.
    pub(super) fn took(&self, written: &Self) -> bool {
        written.iter().all(|wanted| {
            let found = self.iter().find(|entry| entry.name == wanted.name);
            found.is_some_and(|found| match &wanted.url {
                Some(_) => found.url == wanted.url,
                None => found.exposed() == wanted.exposed(),
            })
        })
    }

    /// Whether it holds all values of another list that are `meant`.
    pub(super) fn hold_what(&self, other: &Self, meant: impl Fn(&Entry) -> bool) -> bool {
        other.iter().filter(|entry| meant(entry)).all(|wanted| {
            self.iter().any(|entry| entry.name == wanted.name && entry.exposed() == wanted.exposed())
        })
    }

    /// Whether what is to be written has come, of the secrets that are kept in vaults too: a restart before that is in vain.
    pub(super) fn are_fetched(&self, change: &Change<'_>) -> bool {
        let named = self.iter().filter(|entry| change.names.contains(&entry.name.as_str()));
        named.filter_map(Entry::exposed).all(|value| change.rewritten(value).is_none())
    }

    /// Takes for fetched what was asked for.
    pub(super) fn expect(&mut self, written: Self) {
        for wanted in written.value.into_iter().filter(Entry::is_in_a_vault) {
            if let Some(entry) = self.value.iter_mut().find(|entry| entry.name == wanted.name) {
                entry.value = wanted.value;
            }
        }
    }
}
