//! What happens in the embedded Azure that a person would want to watch.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ids::KeyType;

/// Something notable, and when it happened by the embedded Azure's clock. It never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub what: ActivityKind,
}

/// The kinds of things that happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ActivityKind {
    /// Azure accepted to regenerate a key.
    RegenerationAccepted {
        /// The service.
        instance: String,
        /// The key; none for `Salt`.
        key_type: Option<KeyType>,
    },
    /// The new key works, the old one no longer does.
    RegenerationInEffect {
        /// The service.
        instance: String,
        /// The key; none for `Salt`.
        key_type: Option<KeyType>,
    },
    /// A regeneration ended and the key is the old one.
    RegenerationWithoutEffect {
        /// The service.
        instance: String,
        /// Whether it ended as `Failed`; if not, it claims to have succeeded.
        failed: bool,
    },
    /// Azure, or a person, replaced a key at once.
    Forced {
        /// The service.
        instance: String,
        /// The key.
        key_type: KeyType,
    },
    /// Settings of an app were changed.
    SettingsChanged {
        /// The app.
        app: String,
        /// The names that were added, removed or given another value.
        names: Vec<String>,
    },
    /// An app's new process has read its settings and taken over.
    Restarted {
        /// The app.
        app: String,
    },
    /// The platform has fetched an app's references again, and they lead to something else.
    ReferencesFetched {
        /// The app.
        app: String,
    },
    /// A secret has a new version, or is otherwise what it was not.
    SecretChanged {
        /// The vault and the secret, `vault/secret`.
        secret: String,
        /// What was done to it, as a participle.
        deed: &'static str,
    },
    /// A key-value of App Configuration was written, deleted, locked or unlocked.
    KeyValueChanged {
        /// The store, the key and the label, `store/key` or `store/key (label)`.
        key_value: String,
        /// What was done to it, as a participle.
        deed: &'static str,
    },
    /// The first refused client call after a time without.
    Refused {
        /// The service.
        instance: String,
        /// The app whose client it was.
        app: String,
    },
    /// No client call is refused any more.
    Recovered {
        /// The service.
        instance: String,
        /// The app.
        app: String,
        /// How long calls were refused.
        after_ms: i64,
    },
    /// An app or a service was deleted.
    Deleted {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)
    }
}

impl fmt::Display for ActivityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |key_type: &Option<KeyType>| key_type.map_or("Salt", KeyType::name);
        match self {
            Self::RegenerationAccepted { instance, key_type } => {
                write!(f, "{instance}: regeneration of {} accepted", key(key_type))
            }
            Self::RegenerationInEffect { instance, key_type } => {
                write!(f, "{instance}: the new {} key is in effect", key(key_type))
            }
            Self::RegenerationWithoutEffect { instance, failed: true } => {
                write!(f, "{instance}: the regeneration failed")
            }
            Self::RegenerationWithoutEffect { instance, failed: false } => {
                write!(f, "{instance}: the regeneration ended without having rotated")
            }
            Self::Forced { instance, key_type } => {
                write!(f, "{instance}: {} key replaced by force", key_type.name())
            }
            Self::SettingsChanged { app, names } => {
                write!(f, "{app}: settings changed: {}", names.join(", "))
            }
            Self::Restarted { app } => write!(f, "{app}: restarted with the new settings"),
            Self::ReferencesFetched { app } => write!(f, "{app}: references fetched again"),
            Self::SecretChanged { secret, deed } => write!(f, "{secret}: {deed}"),
            Self::KeyValueChanged { key_value, deed } => write!(f, "{key_value}: {deed}"),
            Self::Refused { instance, app } => write!(f, "{app}: client calls to {instance} are refused"),
            Self::Recovered { instance, app, after_ms } => {
                write!(f, "{app}: client calls to {instance} work again, after {after_ms} ms")
            }
            Self::Deleted { name } => write!(f, "{name}: deleted"),
        }
    }
}
