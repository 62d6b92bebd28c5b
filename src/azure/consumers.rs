//! The kinds of places that hold keys.
//!
//! Start at [`Place`], which is all that the rest of the program knows of them: a dictionary of an app's settings, a secret of
//! a Key Vault, a key-value of App Configuration, what the platform has made of an app's references to secrets, the secrets of
//! a container app, a dictionary of a static web app. Each kind is a `ConsumerKind`. What a value says of a service, wherever it
//! is kept, is read by [`Marks`].

pub mod app_configuration;
pub mod app_service;
pub mod container_apps;
pub mod key_vault;
pub mod static_web_apps;
mod text;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::app_configuration::KeyValue;
use self::app_service::{Dictionary, References, Resolved};
use self::container_apps::ContainerApp;
use self::key_vault::Secret;
pub(crate) use self::value::InFile;
use super::arm::{Arm, ArmError, AskedBy, Operation};
use crate::config::{AppConfig, KeyValueConfig, ServiceConfig};
use rekey_core::journal::Journal;
use rekey_core::model::{
    AppId, ConsumerId, ContainerAppId, Key, KeyPair, KeyValueId, SecretId, SecretReference, Section,
    StaticWebAppId,
};
use rekey_core::plan::{ConsumerRef, Snapshot, Whereabouts};
use secrecy::zeroize::Zeroizing;

/// A place of one kind: what is read at one time, and written at one.
#[allow(
    async_fn_in_trait,
    reason = "called on the kinds alone, of whose futures it is known that they are `Send`"
)]
pub(crate) trait ConsumerKind: Sized {
    /// What was read of it, with its version where the store keeps one. It may hold key material; its `Debug` does not.
    type Contents: Clone;

    /// The operations of Azure's contract that places of this kind are read and written by. Roles, the doctor and the
    /// documents go by what they need.
    fn operations() -> Vec<Operation>;

    /// The consumer that it belongs to.
    fn consumer(&self) -> ConsumerId;

    /// Reads what it holds; or why not.
    async fn read(&self, arm: &Arm) -> Result<Self::Contents, ArmError>;

    /// What it holds just before it is written.
    async fn just_before(
        &self,
        arm: &Arm,
        just_read: Option<&Self::Contents>,
    ) -> Result<Self::Contents, ArmError> {
        match just_read {
            Some(read) => Ok(read.clone()),
            None => self.read(arm).await,
        }
    }

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
    /// What the platform has made of the references to secrets in a dictionary of an app's settings. It is only read.
    References(app_service::Place),
    /// A secret: its newest version, which is what is written, or another, which is only read.
    Secret(key_vault::Place),
    /// A container app, or a job of Container Apps.
    ContainerApp(container_apps::Place),
    /// A dictionary of a static web app.
    StaticWebApp(static_web_apps::Place),
    /// The environments of a static web app. They are only read.
    Environments(StaticWebAppId),
    /// A key-value of App Configuration.
    KeyValue(app_configuration::Place),
}

/// What was read of a place. It may hold key material; its `Debug` does not.
#[derive(Clone, Debug)]
pub enum Contents {
    Settings(Dictionary),
    References(References),
    Secret(Secret),
    ContainerApp(Box<ContainerApp>),
    StaticWebApp(Dictionary),
    Environments(Vec<String>),
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
    /// Where it shows what the platform has made of it; nothing if it is not in an app.
    pub fn resolved_in(&self) -> Option<Place> {
        let app = self.at.app.app()?.clone();
        let section = self.at.section.unwrap_or(Section::AppSettings);
        Some(Place::References(app_service::Place { app, section }))
    }

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
        let others = [container_apps::Place::operations(), static_web_apps::Place::operations()];
        [app_service::Place::operations(), of_data.concat(), others.concat()].concat()
    }

    /// Those of them that the deployed handler asks of a consumer.
    pub fn operations_on(consumer: &ConsumerId) -> Vec<Operation> {
        let all = match consumer {
            ConsumerId::AppService(_) => app_service::Place::operations(),
            ConsumerId::KeyVaultSecret(_) => key_vault::Place::operations(),
            ConsumerId::KeyValue(_) => app_configuration::Place::operations(),
            ConsumerId::ContainerApp(id) => container_apps::operations_on(id),
            ConsumerId::StaticWebApp(_) => static_web_apps::Place::operations(),
            ConsumerId::Reporter(_) | ConsumerId::Manual(_) => vec![],
        };
        all.into_iter().filter(|operation| operation.asked_by == AskedBy::Handler).collect()
    }

    /// The places of an app that can hold consumers, by what was configured of it. What they refer to is found when they are
    /// read ([`Place::follows`]).
    pub fn of(app: &AppConfig) -> Vec<Self> {
        app_service::Place::of(app).into_iter().map(Self::Settings).collect()
    }

    /// The places of a service of which the configuration tells. What they lead to is found when they are read.
    pub fn configured(service: &ServiceConfig) -> Vec<Self> {
        let apps = service.apps.iter().flat_map(Self::of);
        let container_apps = service.container_apps.iter().cloned().map(Self::of_container_app);
        let static_web_apps = service.static_web_apps.iter().flat_map(|site| {
            let settings = Self::of_environment(site, None).into_iter();
            [Self::Environments(site.clone())].into_iter().chain(settings)
        });
        apps.chain(container_apps).chain(static_web_apps).collect()
    }

    /// A container app, or a job.
    pub const fn of_container_app(id: ContainerAppId) -> Self {
        Self::ContainerApp(container_apps::Place { id })
    }

    /// The dictionaries of an environment of a static web app, or of the site itself.
    pub fn of_environment(site: &StaticWebAppId, environment: Option<&str>) -> Vec<Self> {
        static_web_apps::Place::of(site, environment).into_iter().map(Self::StaticWebApp).collect()
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
            Self::References(of) => of.consumer(),
            Self::Secret(place) => place.consumer(),
            Self::KeyValue(place) => place.consumer(),
            Self::ContainerApp(place) => place.consumer(),
            Self::StaticWebApp(place) => place.consumer(),
            Self::Environments(site) => ConsumerId::StaticWebApp(site.clone()),
        }
    }

    /// What a dictionary is called beside the others of its consumer; nothing of what is none.
    pub(crate) fn dictionary(&self) -> Option<String> {
        match self {
            Self::Settings(place) => Some(place.section.to_string()),
            Self::StaticWebApp(place) => Some(place.dictionary()),
            _ => None,
        }
    }

    /// The same dictionary of a static web app, of production by the name that this has as an environment.
    pub(crate) fn as_environment(&self) -> Option<Self> {
        match self {
            Self::StaticWebApp(place) => place.as_environment().map(Self::StaticWebApp),
            _ => None,
        }
    }

    /// The other way round.
    pub(crate) fn of_production(&self) -> Option<Self> {
        match self {
            Self::StaticWebApp(place) => place.of_production().map(Self::StaticWebApp),
            _ => None,
        }
    }

    /// Whether it is of an environment of a static web app, which may go at any time.
    pub(crate) const fn is_of_an_environment(&self) -> bool {
        matches!(self, Self::StaticWebApp(static_web_apps::Place { environment: Some(_), .. }))
    }

    /// About how many requests it takes to read it.
    pub const fn requests(&self) -> usize {
        match self {
            // Its secrets, itself, its revisions and the replicas of one.
            Self::ContainerApp(_) => 4,
            _ => 1,
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
            Self::References(of) => app_service::read_references(arm, of).await.map(Contents::References),
            Self::Secret(place) => place.read(arm).await.map(Contents::Secret),
            Self::KeyValue(place) => place.read(arm).await.map(Contents::KeyValue),
            Self::ContainerApp(place) => place.read(arm).await.map(Box::new).map(Contents::ContainerApp),
            Self::StaticWebApp(place) => place.read(arm).await.map(Contents::StaticWebApp),
            Self::Environments(site) => {
                static_web_apps::environments(arm, site).await.map(Contents::Environments)
            }
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
            _ => None,
        }
    }

    /// Adds what a dictionary of a static web app shows, likewise.
    pub(crate) fn shows_settings(
        &self,
        contents: &Contents,
        marks: Marks<'_>,
        out: &mut Snapshot,
    ) -> Vec<String> {
        match (self, contents) {
            (Self::StaticWebApp(place), Contents::StaticWebApp(settings)) => {
                place.shows(settings, marks, out)
            }
            _ => Vec::new(),
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
            Self::ContainerApp(place) => {
                let just_read = just_read.and_then(Contents::container_app);
                let done = place.write(arm, just_read, change).await?;
                Ok(done.map(Box::new).map(Contents::ContainerApp))
            }
            Self::StaticWebApp(place) => {
                let just_read = just_read.and_then(Contents::static_web_app);
                place.write(arm, just_read, change).await.map(|done| done.map(Contents::StaticWebApp))
            }
            Self::KeyValue(place) => {
                let just_read = just_read.and_then(Contents::key_value);
                place.write(arm, just_read, change).await.map(|done| done.map(Contents::KeyValue))
            }
            // Nothing is ever to be written there.
            Self::References(_) | Self::Environments(_) => Ok(Written::Overwritten),
        }
    }

    /// Whether a place that is written whole, on no condition, shows that another service's keys are in it: whoever rotates
    /// those writes it too, and may be configured elsewhere. `marks` tell which are ours.
    pub fn holds_anothers(&self, contents: &Contents, marks: Marks<'_>) -> bool {
        match (self, contents) {
            (Self::Settings(place), Contents::Settings(settings)) => place.holds_anothers(settings, marks),
            (Self::Secret(place), Contents::Secret(secret)) => place.holds_anothers(secret, marks),
            (Self::ContainerApp(place), Contents::ContainerApp(app)) => place.holds_anothers(app, marks),
            (Self::StaticWebApp(place), Contents::StaticWebApp(of)) => place.holds_anothers(of, marks),
            (Self::KeyValue(place), Contents::KeyValue(read)) => place.holds_anothers(read, marks),
            _ => false,
        }
    }

    /// What must follow a write until readers really use the new value.
    pub fn settling(&self) -> Settling {
        match self {
            Self::Settings(place) => place.settling(),
            // The platform fetches a secret when it restarts the app.
            Self::References(of) => of.settling(),
            Self::Secret(place) => place.settling(),
            Self::ContainerApp(place) => place.settling(),
            Self::StaticWebApp(place) => place.settling(),
            Self::Environments(_) => Settling::AT_ONCE,
            Self::KeyValue(place) => place.settling(),
        }
    }

    /// Whether a write of it makes the platform fetch what is behind references again: any change of an app's configuration
    /// has it fetch all secrets of the app (docs: Use Key Vault references, Rotation).
    pub fn makes_fetch(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Settings(written), Self::References(of)) => written.app == of.app,
            _ => false,
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
            ConsumerId::ContainerApp(id) => Self::of_container_app(id.clone()),
            ConsumerId::StaticWebApp(site) => {
                Self::StaticWebApp(static_web_apps::Place::of_setting(site, consumer))
            }
            ConsumerId::KeyValue(id) => Self::of_key_value(id.clone()),
            ConsumerId::Reporter(_) | ConsumerId::Manual(_) => return None,
        })
    }
}

impl Contents {
    const fn settings(&self) -> Option<&Dictionary> {
        match self {
            Self::Settings(settings) => Some(settings),
            _ => None,
        }
    }

    /// Whether it is a dictionary without any setting.
    pub(crate) fn is_empty(&self) -> bool {
        self.settings().or_else(|| self.static_web_app()).is_some_and(Dictionary::is_empty)
    }

    pub(crate) const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    pub(crate) const fn container_app(&self) -> Option<&ContainerApp> {
        match self {
            Self::ContainerApp(app) => Some(app),
            _ => None,
        }
    }

    pub(crate) const fn static_web_app(&self) -> Option<&Dictionary> {
        match self {
            Self::StaticWebApp(settings) => Some(settings),
            _ => None,
        }
    }

    /// The environments of a static web app.
    pub(crate) fn environments(&self) -> &[String] {
        match self {
            Self::Environments(environments) => environments,
            _ => &[],
        }
    }

    pub(crate) const fn key_value(&self) -> Option<&KeyValue> {
        match self {
            Self::KeyValue(read) => Some(read),
            _ => None,
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
            _ => None,
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

/// By what refers to it, the version of something that others refer to; and which secret it is of, where it is one.
pub(crate) type Versions = BTreeMap<String, (Option<SecretId>, String)>;

/// Another key for the consumers of one place.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The names of the consumers.
    pub names: &'a [&'a str],
    /// By what a value is known to be the service's: by the time of the write it may be another's, and is left alone then.
    pub marks: Marks<'a>,
    pub key: &'a Key,
    /// Of names that refer to secrets or key-values, the version that holds the key: their apps are made to fetch it.
    pub versions: &'a Versions,
    /// Whether invalid keys alone are replaced: a valid one beside them is given another only once the service accepted that.
    pub only_stale: bool,
}

impl Change<'_> {
    /// A value with the new key; nothing if it holds none of ours, or has it already.
    pub(super) fn rewritten(&self, value: &str) -> Option<Zeroizing<String>> {
        let written = self.marks.with_key(value, self.key, self.only_stale)?;
        (*written != value).then_some(written)
    }

    /// A dictionary with the new key in settings of it. What is there no longer, or is something else by now, is left alone: the
    /// next check says what became of it.
    fn rewrite<'n>(&self, before: &Dictionary, names: impl IntoIterator<Item = &'n str>) -> Dictionary {
        let mut wanted = before.clone();
        for name in names {
            if let Some(text) = before.expose(name).and_then(|value| self.rewritten(value)) {
                wanted.set_value(name, &text);
            }
        }
        wanted
    }
}

/// What came of writing a dictionary, by Azure's answer.
fn written<'n>(
    after: Dictionary,
    wanted: &Dictionary,
    names: impl IntoIterator<Item = &'n str>,
) -> Written<Dictionary> {
    let took = names.into_iter().all(|name| after.expose(name) == wanted.expose(name));
    if took { Written::Accepted(after) } else { Written::Overwritten }
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
    /// The readers are restarted with the write, and it is observed that those are gone that were there before.
    Restarted {
        /// How long after one look the next is taken.
        look_after: TimeDelta,
        /// Who does not come up is not waited for any longer.
        at_most: Duration,
    },
}

impl Settling {
    /// Of what nobody writes.
    const AT_ONCE: Self = Self::ByItself { read_back_after: TimeDelta::zero(), at_most: Duration::ZERO };

    /// How long after a write the place is read again.
    pub const fn read_back_after(self) -> TimeDelta {
        match self {
            Self::ByItself { read_back_after, .. } => read_back_after,
            Self::Restarted { look_after, .. } => look_after,
        }
    }

    /// How long a reader may work on with the old value.
    pub const fn at_most(self) -> Duration {
        match self {
            Self::ByItself { at_most, .. } | Self::Restarted { at_most, .. } => at_most,
        }
    }
}
