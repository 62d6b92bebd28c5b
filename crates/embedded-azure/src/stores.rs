//! App Configuration stores: their key-values, and on which conditions one is read and written (docs: App Configuration REST
//! API, Key-values; Lock key-values).
//!
//! The data plane, the platform that resolves references and the apps that read by an SDK all see the same [`Store::get`].

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::ids::{Key, StoreId};
use crate::references::{self, SecretName};

/// One App Configuration store.
pub(crate) struct Store {
    pub(crate) id: StoreId,
    pub(crate) key_values: BTreeMap<Name, KeyValue>,
    /// What each was before its last change; nothing if it was not there.
    pub(crate) before: BTreeMap<Name, Option<KeyValue>>,
    /// What connection strings sign with, if it takes any.
    pub(crate) access_key: Option<AccessKey>,
    /// What its sync tokens are called.
    pub(crate) sync_id: String,
    /// How often it was written: the sequence number of its sync tokens.
    pub(crate) written: u64,
}

/// What tells key-values apart. Case counts in both; without a label it is another one than with any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) key: String,
    pub(crate) label: Option<String>,
}

/// One key-value as it stands.
#[derive(Clone)]
pub(crate) struct KeyValue {
    pub(crate) etag: String,
    pub(crate) item: Item,
    pub(crate) locked: bool,
    pub(crate) modified: DateTime<Utc>,
    /// The keys in it that did not work, or were about to be replaced, when another person wrote it.
    pub(crate) planted: Vec<Key>,
}

/// What is written, all of it at once: what is not sent is gone (docs: Key-values, set key).
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) value: Option<SecretString>,
    pub(crate) content_type: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// An access key for reading and writing.
#[derive(Clone)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    /// In base64.
    pub(crate) secret: SecretString,
}

/// What a request demands of the ETag: `If-Match` and `If-None-Match`.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

/// The content type of a key-value that names a Key Vault secret; parameters may follow (azure-appconfiguration for Python,
/// `SecretReferenceConfigurationSetting`).
const REFERENCE: &str = "application/vnd.microsoft.appconfig.keyvaultref+json";

impl Store {
    pub(crate) fn get(&self, name: &Name) -> Option<&KeyValue> {
        self.key_values.get(name)
    }

    /// The same as another replica of the store has it, which does not know the last change yet.
    pub(crate) fn get_late(&self, name: &Name) -> Option<&KeyValue> {
        self.before.get(name).map_or_else(|| self.get(name), Option::as_ref)
    }

    /// Whether a caller has seen the last change, by the `Sync-Token` that he brings back: `id=value`, several of them with
    /// commas, with or without a sequence number.
    pub(crate) fn is_seen_by(&self, header: &str) -> bool {
        let seen = |token: &str| -> Option<u64> {
            let (id, value) = token.split(';').next()?.trim().split_once('=')?;
            let value = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
            value.strip_prefix("0:")?.parse().ok().filter(|_| id == self.sync_id)
        };
        header.split(',').filter_map(seen).any(|seen| seen >= self.written)
    }

    /// The value of the header by which a client that has seen this state will see nothing older (docs: App Configuration REST
    /// API, Consistency).
    pub(crate) fn sync_token(&self) -> String {
        let sequence = self.written;
        let value = STANDARD.encode(format!("0:{sequence}"));
        format!("{}={value};sn={sequence}", self.sync_id)
    }
}

impl Name {
    /// An empty label and `\0` are none.
    pub(crate) fn new(key: &str, label: Option<&str>) -> Self {
        let label = label.filter(|label| !label.is_empty() && *label != "\0");
        Self { key: key.to_owned(), label: label.map(str::to_owned) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, label } = self;
        f.write_str(key)?;
        label.iter().try_for_each(|label| write!(f, " ({label})"))
    }
}

impl Item {
    /// A value and nothing else.
    pub(crate) fn of(value: String) -> Self {
        Self { value: Some(value.into()), content_type: None, tags: BTreeMap::new() }
    }

    /// The value itself.
    pub(crate) fn expose(&self) -> Option<&str> {
        self.value.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Whether it names a Key Vault secret instead of holding a value.
    pub(crate) fn is_reference(&self) -> bool {
        self.content_type.as_deref().is_some_and(is_reference)
    }

    /// The secret that it names, if it is a reference to one.
    pub(crate) fn secret(&self) -> Option<SecretName> {
        self.expose().filter(|_| self.is_reference()).and_then(named_secret)
    }
}

/// Whether a content type is that of a reference to a Key Vault secret.
pub(crate) fn is_reference(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case(REFERENCE)
}

/// The secret that a reference names by `{"uri": …}`.
pub(crate) fn named_secret(value: &str) -> Option<SecretName> {
    let value: Value = serde_json::from_str(value).ok()?;
    references::in_uri(value["uri"].as_str()?)
}

impl Conditions {
    /// Whether a key-value with this ETag, or one that is not there, may be changed.
    pub(crate) fn allow(&self, etag: Option<&str>) -> bool {
        self.if_match.as_ref().is_none_or(|wanted| fits(wanted, etag)) && !self.is_known(etag)
    }

    /// Whether the caller has this state already.
    pub(crate) fn is_known(&self, etag: Option<&str>) -> bool {
        self.if_none_match.as_ref().is_some_and(|known| fits(known, etag))
    }
}

/// Whether an ETag is among those of a header; `*` is any that there is. Whether they are in quotes, or weak, makes no
/// difference: the documents quote even the star.
fn fits(header: &str, etag: Option<&str>) -> bool {
    let bare = |one: &str| one.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    etag.is_some_and(|etag| header.split(',').map(bare).any(|one| one == "*" || one == etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_the_documents() {
        let allowed = |if_match: Option<&str>, if_none_match: Option<&str>, etag: Option<&str>| {
            let (if_match, if_none_match) = (if_match.map(str::to_owned), if_none_match.map(str::to_owned));
            Conditions { if_match, if_none_match }.allow(etag)
        };
        assert!(allowed(None, None, None) && allowed(None, None, Some("a")));
        for same in ["\"a\"", "a", "W/\"a\"", "\"b\", \"a\"", "*", "\"*\""] {
            assert!(allowed(Some(same), None, Some("a")), "{same}");
            assert!(!allowed(Some(same), None, None), "{same}: there is none");
            assert!(!allowed(None, Some(same), Some("a")), "{same}");
            assert!(allowed(None, Some(same), None), "{same}");
        }
        assert!(!allowed(Some("\"b\""), None, Some("a")) && allowed(None, Some("\"b\""), Some("a")));
    }

    #[test]
    fn a_reference_to_a_secret_is_known_by_its_content_type() {
        let item = |content_type: &str, value: &str| Item {
            content_type: Some(content_type.into()),
            ..Item::of(value.into())
        };
        let value = r#"{"uri":"https://kv-1.vault.azure.net/secrets/chat"}"#;
        let secret =
            item("application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8", value).secret();
        assert_eq!(secret.map(|secret| (secret.vault, secret.name)), Some(("kv-1".into(), "chat".into())));
        assert_eq!(item("application/json", value).secret(), None);
        assert_eq!(item(REFERENCE, "chat").secret(), None);
        assert!(item(REFERENCE, "chat").is_reference());
    }
}
