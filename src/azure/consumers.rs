//! The kinds of places that hold keys.
//!
//! Start at [`Place`], which is all that the rest of the program knows of them: a dictionary of an app's settings, a secret of
//! a Key Vault, a key-value of App Configuration, or what the platform has made of an app's references to secrets. Each kind is a `ConsumerKind`. What a value
//! says of a service, wherever it is kept, is read by [`Marks`].

pub(crate) mod app_configuration;
pub mod app_service;
pub(crate) mod key_vault;
mod text;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::app_configuration::KeyValue;
use self::app_service::{Dictionary, References, Resolved};
use self::key_vault::Secret;
pub(crate) use self::value::InFile;
use super::arm::{Arm, ArmError, Operation};
use crate::config::{AppConfig, KeyValueConfig};
use rekey_core::journal::Journal;
use rekey_core::model::{AppId, ConsumerId, Key, KeyPair, KeyValueId, SecretId, SecretReference, Section};
use rekey_core::plan::{ConsumerRef, Snapshot, Whereabouts};

/// A place of one kind: what is read in one request, and written in one.
#[allow(
    async_fn_in_trait,
    reason = "called on the kinds alone, of whose futures it is known that they are `Send`"
)]
pub(crate) trait ConsumerKind: Sized {
    /// What was read of it, with its version where the store keeps one. It may hold key material; its `Debug` does not.
    type Contents;

    /// The operations of Azure's contract that places of this kind are read and written by. Roles, the doctor and the
    /// documents go by what they need.
    fn operations() -> Vec<Operation>;

    /// The consumer that it belongs to.
    fn consumer(&self) -> ConsumerId;

    /// Reads what it holds; or why not.
    async fn read(&self, arm: &Arm) -> Result<Self::Contents, ArmError>;

    /// Writes another key into its consumers and changes nothing else: conditionally where the store can, else merged into
    /// what is read just before (or was read so lately that it can stand for that), and compared with the answer, or with
    /// what others wrote meanwhile.
    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&Self::Contents>,
        change: &Change<'_>,
    ) -> Result<Written<Self::Contents>, ArmError>;

    /// Whether a place that is written whole, on no condition, shows that another service's keys are in it: whoever rotates
    /// those writes it too, and may be configured elsewhere. `marks` tell which are ours.
    fn holds_anothers(&self, contents: &Self::Contents, marks: Marks<'_>) -> bool;

    /// What must follow a write until readers really use the new value.
    fn settling(&self) -> Settling;
}

/// A place, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A dictionary of an app's settings.
    Settings(app_service::Place),
    /// What the platform has made of the references to secrets in an app's settings. It is only read.
    References(AppId),
    /// A secret: its newest version, which is what is written, or another, which is only read.
    Secret(key_vault::Place),
    /// A key-value of App Configuration.
    KeyValue(app_configuration::Place),
}

/// What was read of a place. It may hold key material; its `Debug` does not.
#[derive(Clone, Debug)]
pub enum Contents {
    Settings(Dictionary),
    References(References),
    Secret(Secret),
    KeyValue(KeyValue),
}

/// What the references of an app may be followed to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Following<'a> {
    /// How the hosts of vaults end that may be asked; empty, if none may.
    pub vault_suffix: &'a str,
    /// The same of stores.
    pub store_suffixes: &'a [&'a str],
    /// The key-values that are configured: who refers to one is meant, whatever its name says.
    pub key_values: &'a [KeyValueConfig],
}

/// An app that is given what a key-value holds: by a setting that refers to it, or because it reads it when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueReader {
    /// The setting, where there is one.
    pub at: ConsumerRef,
    pub of: KeyValueId,
    /// Whether the configuration names the setting.
    pub named: bool,
    /// The version of it that the app was last started with, by a write of its settings, if that is on record there.
    pub started_with: Option<String>,
}

/// A setting of an app that refers to a secret of ours, as far as its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The setting.
    pub at: ConsumerRef,
    pub reference: SecretReference,
    /// Whether the configuration names the setting.
    pub named: bool,
    /// The version of the secret that the app was last made to fetch, by a write of its settings that restarted it, and when,
    /// if that is on record there.
    pub refreshed: Option<(String, DateTime<Utc>)>,
}

impl Followed {
    /// The version that a write of the app's settings brought there, and when, where that is known.
    pub fn brought(&self) -> Option<(&str, Option<DateTime<Utc>>)> {
        let pinned = self.reference.version.as_deref().map(|version| (version, None));
        pinned.or_else(|| self.refreshed.as_ref().map(|(version, at)| (version.as_str(), Some(*at))))
    }
}

impl Place {
    /// Every operation that places are read and written by. Roles, the doctor and the documents go by what they need.
    pub fn operations() -> Vec<Operation> {
        let of_data = [key_vault::Place::operations(), app_configuration::Place::operations()];
        [app_service::Place::operations(), of_data.concat()].concat()
    }

    /// The places of an app that can hold consumers, by what was configured of it. What they refer to is found when they are
    /// read ([`Place::follows`]).
    pub fn of(app: &AppConfig) -> Vec<Self> {
        app_service::Place::of(app).into_iter().map(Self::Settings).collect()
    }

    /// The app settings of an app.
    pub(crate) fn settings_of(app: &AppId) -> Self {
        Self::Settings(app_service::Place::settings_of(app))
    }

    /// The newest version of a secret.
    pub const fn of_secret(id: SecretId) -> Self {
        Self::Secret(key_vault::Place { id, version: None })
    }

    /// Another version of a secret.
    pub const fn of_version(id: SecretId, version: String) -> Self {
        Self::Secret(key_vault::Place { id, version: Some(version) })
    }

    /// A key-value.
    pub const fn of_key_value(id: KeyValueId) -> Self {
        Self::KeyValue(app_configuration::Place { id })
    }

    /// The consumer that it belongs to.
    pub fn consumer(&self) -> ConsumerId {
        match self {
            Self::Settings(place) => place.consumer(),
            Self::References(app) => app.into(),
            Self::Secret(place) => place.consumer(),
            Self::KeyValue(place) => place.consumer(),
        }
    }

    /// Whether what it holds never changes.
    pub const fn is_fixed(&self) -> bool {
        matches!(self, Self::Secret(key_vault::Place { version: Some(_), .. }))
    }

    /// Reads what it holds; or why not.
    pub async fn read(&self, arm: &Arm) -> Result<Contents, ArmError> {
        match self {
            Self::Settings(place) => place.read(arm).await.map(Contents::Settings),
            Self::References(app) => app_service::read_references(arm, app).await.map(Contents::References),
            Self::Secret(place) => place.read(arm).await.map(Contents::Secret),
            Self::KeyValue(place) => place.read(arm).await.map(Contents::KeyValue),
        }
    }

    /// Adds what a dictionary shows of a service. The names of those values are answered that refer to something of which
    /// nobody can tell whether it is a key of ours.
    pub fn shows(
        &self,
        contents: &Contents,
        app: &AppConfig,
        marks: Marks<'_>,
        following: Following<'_>,
        out: &mut Snapshot,
    ) -> Vec<String> {
        match (self, contents) {
            (Self::Settings(place), Contents::Settings(settings)) => {
                app_service::shown(place, settings, app, marks, following, out)
            }
            _ => Vec::new(),
        }
    }

    /// The settings of an app that refer to secrets of ours.
    pub fn follows(&self, contents: &Contents, app: &AppConfig, vault_suffix: &str) -> Vec<Followed> {
        match (self, contents) {
            (Self::Settings(place), Contents::Settings(settings)) => {
                app_service::followed(place, settings, app, vault_suffix)
            }
            _ => Vec::new(),
        }
    }

    /// The settings of an app that refer to key-values of ours.
    pub fn reads(
        &self,
        contents: &Contents,
        app: &AppConfig,
        following: Following<'_>,
    ) -> Vec<KeyValueReader> {
        match (self, contents) {
            (Self::Settings(place), Contents::Settings(settings))
                if place.section == Section::AppSettings =>
            {
                app_service::by_reference(settings, app, following)
            }
            _ => Vec::new(),
        }
    }

    /// Looks for what Azure does not find under its id: whether it was deleted, moved, or never there. `there` are consumers
    /// that were read just now, and vouch for a list. Nobody can tell that of a
    /// secret or a key-value.
    pub async fn look_for(&self, arm: &Arm, there: &BTreeSet<ConsumerId>) -> Option<Missing> {
        match self {
            Self::Settings(place) => Some(place.look_for(arm, there).await),
            Self::References(_) | Self::Secret(_) | Self::KeyValue(_) => None,
        }
    }

    /// Writes another key into its consumers and changes nothing else: conditionally where the store can, else merged into
    /// what is read just before (or was read so lately that it can stand for that), and compared with the answer.
    pub async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&Contents>,
        change: &Change<'_>,
    ) -> Result<Written<Contents>, ArmError> {
        match self {
            Self::Settings(place) => {
                let just_read = just_read.and_then(Contents::settings);
                place.write(arm, just_read, change).await.map(|done| done.map(Contents::Settings))
            }
            Self::Secret(place) => {
                let just_read = just_read.and_then(Contents::secret);
                place.write(arm, just_read, change).await.map(|done| done.map(Contents::Secret))
            }
            Self::KeyValue(place) => {
                let just_read = just_read.and_then(Contents::key_value);
                place.write(arm, just_read, change).await.map(|done| done.map(Contents::KeyValue))
            }
            // Nothing is ever to be written there.
            Self::References(_) => Ok(Written::Overwritten),
        }
    }

    /// Whether a place that is written whole, on no condition, shows that another service's keys are in it: whoever rotates
    /// those writes it too, and may be configured elsewhere. `marks` tell which are ours.
    pub fn holds_anothers(&self, contents: &Contents, marks: Marks<'_>) -> bool {
        match (self, contents) {
            (Self::Settings(place), Contents::Settings(settings)) => place.holds_anothers(settings, marks),
            (Self::Secret(place), Contents::Secret(secret)) => place.holds_anothers(secret, marks),
            (Self::KeyValue(place), Contents::KeyValue(read)) => place.holds_anothers(read, marks),
            _ => false,
        }
    }

    /// What must follow a write until readers really use the new value.
    pub fn settling(&self) -> Settling {
        match self {
            Self::Settings(place) => place.settling(),
            // The platform fetches a secret when it restarts the app.
            Self::References(app) => app_service::Place::settings_of(app).settling(),
            Self::Secret(place) => place.settling(),
            Self::KeyValue(place) => place.settling(),
        }
    }

    /// Whether writing it restarts the site of this name, which may be the one that we run in.
    pub fn restarts(&self, site: &str) -> bool {
        matches!(self, Self::Settings(place) if place.restarts(site))
    }
}

impl Place {
    /// The place in which a consumer is; none where only others can change it.
    pub fn of_consumer(consumer: &ConsumerRef) -> Option<Self> {
        Some(match &consumer.app {
            ConsumerId::AppService(app) => {
                let section = consumer.section.unwrap_or(Section::AppSettings);
                Self::Settings(app_service::Place { app: app.clone(), section })
            }
            ConsumerId::KeyVaultSecret(id) => Self::of_secret(id.clone()),
            ConsumerId::KeyValue(id) => Self::of_key_value(id.clone()),
            ConsumerId::Reporter(_) | ConsumerId::Manual(_) => return None,
        })
    }
}

impl Contents {
    const fn settings(&self) -> Option<&Dictionary> {
        match self {
            Self::Settings(settings) => Some(settings),
            Self::References(_) | Self::Secret(_) | Self::KeyValue(_) => None,
        }
    }

    pub(crate) const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Settings(_) | Self::References(_) | Self::KeyValue(_) => None,
        }
    }

    pub(crate) const fn key_value(&self) -> Option<&KeyValue> {
        match self {
            Self::KeyValue(read) => Some(read),
            Self::Settings(_) | Self::References(_) | Self::Secret(_) => None,
        }
    }

    /// What an app's settings tell of the key-values that it reads by itself.
    pub(crate) fn reads_by_itself(&self, app: &AppId, key_values: &[KeyValueConfig]) -> Vec<KeyValueReader> {
        self.settings()
            .map(|settings| app_service::by_themselves(settings, app, key_values))
            .unwrap_or_default()
    }

    /// What the platform has made of a reference.
    pub(crate) fn resolved(&self, setting: &str) -> Option<&Resolved> {
        match self {
            Self::References(references) => {
                let of_name = |(name, _): &(&String, &Resolved)| name.eq_ignore_ascii_case(setting);
                references.iter().find(of_name).map(|(_, resolved)| resolved)
            }
            Self::Settings(_) | Self::Secret(_) | Self::KeyValue(_) => None,
        }
    }
}

/// What is known of a service, to recognise its keys and connection strings by.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// Its keys, if they could be listed. Without them a string is still known by its host.
    pub keys: Option<&'a KeyPair>,
    /// Its host; may be empty.
    pub host: &'a str,
    /// What is remembered of it.
    pub journal: &'a Journal,
}

/// What could be found out of a consumer that Azure does not find.
#[derive(Debug)]
pub struct Missing {
    /// What became of it.
    pub absence: Absence,
    /// What may be meant by its id.
    pub meant: Option<ConsumerId>,
}

/// What became of a consumer that is not found under its id.
#[derive(Debug)]
pub enum Absence {
    /// All places that it could be in were listed, and it is in none: it was deleted.
    Deleted,
    /// It is somewhere, or may be.
    Elsewhere(Whereabouts),
}

/// Another key for the consumers of one place.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The names of the consumers.
    pub names: &'a [&'a str],
    /// By what a value is known to be the service's: by the time of the write it may be another's, and is left alone then.
    pub marks: Marks<'a>,
    pub key: &'a Key,
    /// Of names that refer to secrets or key-values, the version that holds the key: their apps are made to fetch it.
    pub versions: &'a BTreeMap<String, String>,
    /// Whether invalid keys alone are replaced: a valid one beside them is given another only once the service accepted that.
    pub only_stale: bool,
}

/// What came of a write that Azure took.
#[derive(Debug)]
pub enum Written<C> {
    /// It holds the new key already, and nothing was sent: readers are not restarted for nothing.
    Already(C),
    /// It was written. This is what Azure answered: what was asked for, and no sight of the place.
    Accepted(C),
    /// Azure's answer does not hold the new key: somebody else writes the place at the same time.
    Overwritten,
}

impl<C> Written<C> {
    fn map<D>(self, to: impl FnOnce(C) -> D) -> Written<D> {
        match self {
            Self::Already(contents) => Written::Already(to(contents)),
            Self::Accepted(contents) => Written::Accepted(to(contents)),
            Self::Overwritten => Written::Overwritten,
        }
    }
}

/// A pinned reference with another version in it, and nothing else changed.
fn with_version(value: &str, old: &str, new: &str) -> String {
    let at = value.to_ascii_lowercase().rfind(old);
    at.map_or_else(|| value.to_owned(), |at| format!("{}{new}{}", &value[..at], &value[at + old.len()..]))
}

/// What must follow a write until readers really use the new value, and how that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Nothing must: the platform hands the new value to its readers.
    ByItself {
        /// It is observed by reading the place again, not before so long: until then an editor who had read it before the
        /// write may replace it.
        read_back_after: TimeDelta,
        /// No reader works on with the old value for longer; that cannot be observed.
        at_most: Duration,
    },
}

impl Settling {
    /// How long after a write the place is read again.
    pub const fn read_back_after(self) -> TimeDelta {
        match self {
            Self::ByItself { read_back_after, .. } => read_back_after,
        }
    }

    /// How long a reader may work on with the old value.
    pub const fn at_most(self) -> Duration {
        match self {
            Self::ByItself { at_most, .. } => at_most,
        }
    }
}
