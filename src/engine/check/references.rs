//! What a check reads and shows of Key Vault secrets, and of the apps that refer to them.
//!
//! Start at [`Check::wanted`] for what is read, and at [`Check::add_reference`] for what it means: an app holds the key of the
//! version that the platform gives it, and has left another only once a write of its settings brought that version there.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Check, held, lose};
use crate::azure::arm::ArmError;
use crate::azure::consumers::app_service::FETCHED_WITHIN;
use crate::azure::consumers::key_vault::Secret;
use crate::azure::consumers::{Contents, Followed, Marks, Place};
use crate::config::{AppConfig, ServiceConfig};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::journal::Journal;
use rekey_core::model::{AppId, ConsumerId, Key, KeyType, SecretId};
use rekey_core::plan::{Consumer, ConsumerRef, Holding, SettingFault, Snapshot, Unknown};

impl Check {
    /// What an app is given of a secret that it refers to. It holds the key of the version that the platform has fetched, and
    /// surely no other only if a write of its settings, which restarted it, brought that version there: a process may run with
    /// an older one for as long as it lives.
    pub(super) fn add_reference(
        &self,
        followed: &Followed,
        app: &AppId,
        marks: Marks<'_>,
        out: &mut Snapshot,
    ) {
        let Followed { at, reference, named, .. } = followed;
        let brought = followed.brought();
        let unknown = |why: String, passing: bool| {
            let (app, name) = (at.app.clone(), at.name.clone());
            Unknown::Reference { app, name, why, passing }
        };
        let read = self.places.get(&Place::References(app.clone()));
        let references = match read.map(|read| &read.found) {
            Some(Ok(references)) => references,
            Some(Err(error)) => {
                return out.unknown.push(unknown(cause::told(error), error.is_passing()));
            }
            None => return out.unknown.push(unknown(words::NOT_READ.to_owned(), true)),
        };
        let echo = read.is_some_and(|read| read.echo);
        let Some(resolved) = references.resolved(&at.name) else {
            return out.unknown.push(unknown(words::NOT_A_REFERENCE.to_owned(), false));
        };
        if !resolved.is_resolved() && !echo {
            let why = words::not_resolved(&resolved.status, resolved.details.as_deref().unwrap_or_default());
            return out.unknown.push(unknown(why, resolved.is_under_way()));
        }
        let asked_for = brought.map(|(version, _)| version).filter(|_| echo);
        let version = asked_for.or(resolved.active_version.as_deref());
        let secret = version.map(|version| self.version(&reference.secret, version));
        let secret = match secret {
            Some(Some(Ok(secret))) => secret,
            Some(Some(Err(error))) => {
                return out.unknown.push(unknown(cause::told(error), error.is_passing()));
            }
            Some(None) => return out.unknown.push(unknown(words::NOT_READ.to_owned(), true)),
            None => return out.unknown.push(unknown(words::NO_VERSION.to_owned(), false)),
        };
        let held = secret.shows(marks);
        let is_ours = held.iter().any(Result::is_ok);
        for shown in held {
            match shown {
                Ok(holds) => out.consumers.push(Consumer { at: at.clone(), holds }),
                Err(fault) => {
                    out.unknown.push(Unknown::Setting { app: at.app.clone(), name: at.name.clone(), fault });
                }
            }
        }
        if !is_ours {
            let fault = SettingFault::NotOurs;
            let not_ours = Unknown::Setting { app: at.app.clone(), name: at.name.clone(), fault };
            out.unknown.extend(named.then_some(not_ours));
            return;
        }
        let is_new = |since: Option<DateTime<Utc>>| {
            let read = read.map_or(self.keys_at, |read| read.at);
            since.is_none_or(|since| read < since + FETCHED_WITHIN)
        };
        match brought {
            Some((brought, _)) if brought == secret.version => {}
            Some((brought, since)) if is_new(since) => {
                out.unknown.push(unknown(words::not_fetched(&secret.version, brought), true));
            }
            Some(_) | None => add_either(at, out),
        }
    }

    /// A secret that an app refers to. It is a consumer if it holds a key of the service.
    pub(super) fn add_secret(
        &self,
        id: &SecretId,
        service: &ServiceConfig,
        journal: &Journal,
        out: &mut Snapshot,
    ) {
        let consumer = ConsumerId::KeyVaultSecret(id.clone());
        let at = ConsumerRef { app: consumer.clone(), section: None, name: String::new() };
        let first = out.consumers.len();
        match self.places.get(&Place::of_secret(id.clone())).map(|read| &read.found) {
            Some(Ok(contents)) => {
                let shown = contents.secret().map(|secret| secret.shows(self.marks(journal)));
                let holds = shown.into_iter().flatten().filter_map(Result::ok);
                out.consumers.extend(holds.map(|holds| Consumer { at: at.clone(), holds }));
                if out.consumers.len() > first {
                    out.readers_within.insert(consumer.clone(), service.readers_within(id));
                    out.seen.insert(consumer, held(out, first, false));
                } else if service.vault_secrets.iter().any(|one| one.id == *id) {
                    out.unknown.push(Unknown::NoConsumer { app: consumer });
                }
            }
            Some(Err(error)) => {
                let (detail, passing) = (cause::told(error), error.is_passing());
                out.unknown.push(Unknown::Unreadable { app: consumer.clone(), detail, passing });
                lose(&consumer, journal, out);
            }
            None => {
                let detail = words::NOT_READ.to_owned();
                out.unknown.push(Unknown::Unreadable { app: consumer, detail, passing: true });
            }
        }
    }

    /// A version of a secret that was read, or why it could not be.
    fn version(&self, id: &SecretId, version: &str) -> Option<Result<&Secret, &ArmError>> {
        let newest = self.places.get(&Place::of_secret(id.clone())).map(|read| &read.found);
        if let Some(Ok(contents)) = newest
            && let Some(secret) = contents.secret().filter(|secret| secret.version == version)
        {
            return Some(Ok(secret));
        }
        let place = Place::of_version(id.clone(), version.to_owned());
        let read = self.places.get(&place).map(|read| read.found.as_ref())?;
        match read {
            Ok(contents) => contents.secret().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// The settings of an app that refer to secrets of ours, as far as they were read.
    fn followed(&self, app: &AppConfig) -> Vec<Followed> {
        let read = |place: &Place| Some(place.follows(self.read_of(place)?, app, self.vault_suffix));
        Place::of(app).iter().filter_map(read).flatten().collect()
    }

    /// Of an app's settings that refer to secrets or key-values, the versions that hold one of these keys.
    pub fn versions(
        &self,
        app: &AppConfig,
        service: &ServiceConfig,
        keys: &[&Key],
    ) -> BTreeMap<String, String> {
        let holds = |secret: &&Secret| keys.iter().any(|key| secret.holds(key));
        let version = |followed: Followed| {
            let newest = Place::of_secret(followed.reference.secret);
            let secret = self.read_of(&newest)?.secret().filter(holds)?;
            Some((followed.at.name, secret.version.clone()))
        };
        let of_secrets = self.followed(app).into_iter().filter_map(version);
        of_secrets.chain(self.versions_of_key_values(app, service, keys)).collect()
    }

    /// What is to be read of a service, as far as is known: what apps refer to is known when they were read.
    pub(super) fn wanted(&self, service: &ServiceConfig) -> BTreeSet<Place> {
        let of_secrets = service.vault_secrets.iter().map(|one| Place::of_secret(one.id.clone()));
        let mut wanted: BTreeSet<Place> = service.apps.iter().flat_map(Place::of).chain(of_secrets).collect();
        wanted.extend(self.wanted_of_key_values(service));
        for app in &service.apps {
            for followed in self.followed(app) {
                let (references, id) = (Place::References(app.id.clone()), followed.reference.secret);
                let resolved =
                    self.read_of(&references).and_then(|contents| contents.resolved(&followed.at.name));
                let active = resolved.and_then(|resolved| resolved.active_version.clone());
                let newest = Place::of_secret(id.clone());
                let secret = self.read_of(&newest).and_then(Contents::secret);
                let version = active.filter(|active| secret.is_none_or(|secret| secret.version != *active));
                let version = version.filter(|_| self.places.contains_key(&newest));
                let version = version.map(|version| Place::of_version(id, version));
                wanted.extend([references, newest].into_iter().chain(version));
            }
        }
        wanted
    }

    /// Whether all that an app was made to fetch has come.
    fn has_come(&self, app: &AppConfig) -> bool {
        let references = self.read_of(&Place::References(app.id.clone()));
        self.followed(app).iter().all(|followed| {
            let resolved = references.and_then(|found| found.resolved(&followed.at.name));
            let active = resolved.and_then(|resolved| resolved.active_version.as_deref());
            followed.brought().is_none_or(|(wanted, _)| active == Some(wanted))
        })
    }

    /// What an app was made to fetch and is not there yet counts as not read, for a while.
    pub(super) fn await_arrival(&mut self, service: &ServiceConfig, now: DateTime<Utc>) {
        let awaited = |app: &&AppConfig| self.awaited.get(&app.id).is_some_and(|until| now < *until);
        let late: BTreeSet<AppId> = service
            .apps
            .iter()
            .filter(awaited)
            .filter(|app| !self.has_come(app))
            .map(|app| app.id.clone())
            .collect();
        self.awaited.retain(|app, _| late.contains(app));
        for app in late {
            if let Some(read) = self.places.get_mut(&Place::References(app)) {
                read.echo = true;
            }
        }
    }
}

/// An app whose process may run with either key.
pub(super) fn add_either(at: &ConsumerRef, out: &mut Snapshot) {
    for key_type in KeyType::ALL {
        let consumer = Consumer { at: at.clone(), holds: Holding::Valid(key_type) };
        if !out.consumers.contains(&consumer) {
            out.consumers.push(consumer);
        }
    }
}
