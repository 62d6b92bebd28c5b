//! Apps that need not be configured: finding them and reading them, whatever fails on the way. For `doctor` and `init`.

use chrono::DateTime;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};

use super::arm::{Arm, ArmError, ArmErrorKind};
use super::consumers::app_service::{Dictionary, Place, Site};
use super::consumers::{Followed, Following, KeyValueReader, Marks, app_service};
use crate::config::{AppConfig, KeyValueConfig};
use rekey_core::model::{AppId, ConnectionString, Key, PerKey, Section};
use rekey_core::plan::{Snapshot, Unknown};

/// How many are asked at the same time. ARM lets 10 requests a second pass in the long run, and the bucket of 200 holds for
/// more than these.
const AT_ONCE: usize = 8;

/// Both dictionaries of an app, or why they could not be read. Its `Debug` holds no value.
#[derive(Debug)]
pub struct Dictionaries {
    read: Vec<(Section, Result<Dictionary, ArmError>)>,
    /// How the hosts of vaults end that may be asked.
    vault_suffix: &'static str,
    /// The same of App Configuration stores.
    store_suffixes: &'static [&'static str],
}

impl FromIterator<(Section, Dictionary)> for Dictionaries {
    fn from_iter<I: IntoIterator<Item = (Section, Dictionary)>>(read: I) -> Self {
        let read = read.into_iter().map(|(section, settings)| (section, Ok(settings))).collect();
        Self { read, vault_suffix: "", store_suffixes: &[] }
    }
}

impl Dictionaries {
    pub async fn read(arm: &Arm, app: &AppId) -> Self {
        let mut read = Vec::new();
        for section in Section::ALL {
            read.push((section, arm.list_settings(app, section).await));
        }
        Self { read, vault_suffix: arm.vault_suffix(), store_suffixes: arm.store_suffixes() }
    }

    /// The first error that is not that the app is gone.
    pub fn error(&self) -> Option<&ArmError> {
        self.errors().find(|error| error.kind() != ArmErrorKind::Gone)
    }

    /// Whether Azure says that there is no such app.
    pub fn is_gone(&self) -> bool {
        self.errors().any(|error| error.kind() == ArmErrorKind::Gone)
    }

    /// The names in one dictionary; none if it could not be read.
    pub fn names(&self, section: Section) -> impl Iterator<Item = &str> {
        let read = self.read.iter().filter(move |(known, _)| *known == section);
        read.filter_map(|(_, settings)| settings.as_ref().ok()).flat_map(Dictionary::names)
    }

    /// The settings whose connection string says how to connect by identity beside its key, which is what counts.
    pub fn beside_a_key(&self) -> impl Iterator<Item = (Section, &str)> {
        let read =
            self.read.iter().filter_map(|(section, settings)| Some((*section, settings.as_ref().ok()?)));
        read.flat_map(|(section, settings)| {
            settings.exposed().map(move |(name, value)| (section, name, value))
        })
        .filter(|(.., value)| {
            let parsed = value.and_then(|value| ConnectionString::parse(value).ok());
            parsed.is_some_and(|string| string.has_auth_type() && string.key().is_some())
        })
        .map(|(section, name, _)| (section, name))
    }

    fn errors(&self) -> impl Iterator<Item = &ArmError> {
        self.read.iter().filter_map(|(_, settings)| settings.as_ref().err())
    }

    /// The settings that refer to Key Vault secrets of ours, as far as their names tell.
    pub fn followed(&self, app: &AppConfig) -> Vec<Followed> {
        let read = self.read.iter().filter_map(|(section, settings)| {
            let place = Place { app: app.id.clone(), section: *section };
            Some(app_service::followed(&place, settings.as_ref().ok()?, app, self.vault_suffix))
        });
        read.flatten().collect()
    }

    /// The settings that refer to key-values of ours, as far as names tell, or because these are configured; and those that
    /// the app reads by itself.
    pub fn readers(&self, app: &AppConfig, key_values: &[KeyValueConfig]) -> Vec<KeyValueReader> {
        let settings = self.read.iter().filter(|(section, _)| *section == Section::AppSettings);
        let settings = settings.filter_map(|(_, settings)| settings.as_ref().ok());
        settings
            .flat_map(|settings| {
                let by_itself = app_service::by_themselves(settings, &app.id, key_values);
                [app_service::by_reference(settings, app, self.following(key_values)), by_itself].concat()
            })
            .collect()
    }

    fn following<'a>(&self, key_values: &'a [KeyValueConfig]) -> Following<'a> {
        Following { vault_suffix: self.vault_suffix, store_suffixes: self.store_suffixes, key_values }
    }

    /// What was read shows of a service. That something could not be read, or that the app is gone, is not in it; nor what
    /// references lead to, if they are followed otherwise: to secrets, and to `key_values` of ours.
    pub fn shown(
        &self,
        app: &AppConfig,
        marks: Marks<'_>,
        key_values: Option<&[KeyValueConfig]>,
    ) -> Snapshot {
        let following = key_values.map(|configured| self.following(configured)).unwrap_or_default();
        // An empty key is nobody's.
        let fingerprints = PerKey::from_fn(|key_type| match marks.keys {
            Some(keys) => keys[key_type].fingerprint(),
            None => Key::new("").fingerprint(),
        });
        let mut shown = Snapshot::of_keys(DateTime::UNIX_EPOCH, fingerprints);
        let mut unclear = Vec::new();
        for (section, settings) in &self.read {
            if let Ok(settings) = settings {
                let place = Place { app: app.id.clone(), section: *section };
                unclear.extend(app_service::shown(&place, settings, app, marks, following, &mut shown));
            }
        }
        if shown.consumers.is_empty() && shown.unknown.is_empty() && !unclear.is_empty() {
            shown.unknown.push(Unknown::OnlyReferences { app: (&app.id).into(), names: unclear });
        }
        shown
    }
}

/// An app that is looked at by value, and need hold nothing.
pub fn by_value(id: &AppId) -> AppConfig {
    AppConfig { id: id.clone(), settings: vec![], connection_strings: vec![], may_hold_none: true }
}

/// The slots of sites, and the sites whose slots could not be listed. A site that is gone has none.
pub async fn slots(arm: &Arm, sites: &[AppId]) -> (Vec<AppId>, Vec<(String, ArmError)>) {
    let asked = sites.iter().map(|site| {
        async move {
            let lists = arm.list_slots(site).await;
            (site.to_string(), lists)
        }
        .boxed()
    });
    parted(at_once(asked).await)
}

/// What is in lists, and the lists that could not be had. A list of something that is gone is empty.
pub fn parted(lists: Vec<(String, Result<Vec<Site>, ArmError>)>) -> (Vec<AppId>, Vec<(String, ArmError)>) {
    let (mut found, mut unlisted) = (Vec::new(), Vec::new());
    for (id, list) in lists {
        match list {
            Ok(sites) => found.extend(sites.into_iter().map(|site| site.id)),
            Err(error) if error.kind() == ArmErrorKind::Gone => {}
            Err(error) => unlisted.push((id, error)),
        }
    }
    (found, unlisted)
}

/// Asks several at a time; the answers in the order of the questions.
pub async fn at_once<'a, T: Send>(asked: impl Iterator<Item = BoxFuture<'a, T>>) -> Vec<T> {
    stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
}
