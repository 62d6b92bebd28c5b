//! What a check reads and shows of Key Vault secrets, and of the apps that refer to them.
//!
//! Start at [`Check::wanted`] for what is read, and at [`Check::add_reference`] for what it means: an app holds the key of the
//! version that the platform gives it, and has left another only once a write of its settings brought that version there.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{Check, held, lose};
use crate::azure::arm::{ArmError, ArmErrorKind};
use crate::azure::consumers::app_service::FETCHED_WITHIN;
use crate::azure::consumers::key_vault::Secret;
use crate::azure::consumers::{Contents, Followed, Marks, Place, Versions};
use crate::config::{AppConfig, ServiceConfig};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, Fingerprint, Key, KeyType, SecretId};
use rekey_core::plan::{Consumer, ConsumerRef, Holding, ReferenceFault, SettingFault, Snapshot, Unknown};

impl Check {
    /// What an app is given of a secret that it refers to. It holds the key of the version that the platform has fetched, and
    /// surely no other only if a write of its settings, which restarted it, brought that version there: a process may run with
    /// an older one for as long as it lives.
    pub(super) fn add_reference(&self, followed: &Followed, marks: Marks<'_>, out: &mut Snapshot) {
        let Followed { at, reference, named, .. } = followed;
        let brought = followed.brought();
        let of_fault = |fault: ReferenceFault, why: String, passing: bool| {
            let (app, name) = (at.app.clone(), at.name.clone());
            Unknown::Reference { app, name, fault, why, passing }
        };
        let unknown = |why: String, passing: bool| of_fault(ReferenceFault::Other, why, passing);
        let read = followed.resolved_in().and_then(|place| self.places.get(&place));
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
            let (fault, passing) = (resolved.fault(), resolved.is_under_way());
            let details = resolved.details.as_deref().unwrap_or_default();
            let advice = words::of_reference(fault, passing);
            let why = words::not_resolved(&resolved.status, details, advice);
            return out.unknown.push(of_fault(fault, why, passing));
        }
        let asked_for = brought.map(|(version, _)| version).filter(|_| echo);
        let version = asked_for.or(resolved.active_version.as_deref());
        let secret = version.map(|version| self.version(&reference.secret, version));
        let secret = match secret {
            Some(Some(Ok(secret))) => secret,
            // No version of a secret that is there can be deleted: this one is of the secret that the setting referred to before.
            Some(Some(Err(error)))
                if error.kind() == ArmErrorKind::Gone && self.is_there(&reference.secret) =>
            {
                let why = words::of_another_secret(version.unwrap_or_default());
                return out.unknown.push(of_fault(ReferenceFault::Awaited, why, true));
            }
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
        // A version that is not the newest of the secret will not come: a newer one was made since, or the setting was made to
        // refer to another secret, whose versions say nothing of this one.
        let is_newest = |version: &str| {
            let newest = self.read_of(&Place::of_secret(reference.secret.clone())).and_then(Contents::secret);
            newest.is_none_or(|newest| newest.version == version)
        };
        match brought {
            Some((brought, _)) if brought == secret.version => {}
            Some((brought, since)) if is_new(since) && (since.is_none() || is_newest(brought)) => {
                let why = words::not_fetched(&secret.version, brought);
                out.unknown.push(of_fault(ReferenceFault::Awaited, why, true));
            }
            Some(_) | None => add_either(at, out),
        }
    }

    /// A secret that an app refers to, or that is configured. It is a consumer if it holds a key of the service.
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
                let is_consumer = out.consumers.len() > first;
                self.remember(id, held(out, first, false), service, journal, out);
                if !is_consumer && service.secrets().any(|one| one == id) {
                    out.unknown.push(Unknown::NoConsumer { app: consumer });
                }
            }
            Some(Err(error)) => {
                let (detail, passing) = (cause::told(error), error.is_passing());
                out.unknown.push(Unknown::Unreadable { app: consumer.clone(), detail, passing });
                let _ = lose(&consumer, journal, out);
            }
            None => {
                let detail = words::NOT_READ.to_owned();
                out.unknown.push(Unknown::Unreadable { app: consumer, detail, passing: true });
            }
        }
    }

    /// A secret that is on record as a holder of a key, and that nothing leads to any more: a reference was taken out, or its
    /// entry in the configuration. Whoever reads it without being seen does so all the same, so it stays a consumer for as long
    /// as it holds a key, and one that is gone counts for as long as its readers may go on with what it held.
    pub(super) fn add_left_behind(
        &self,
        id: &SecretId,
        service: &ServiceConfig,
        journal: &Journal,
        out: &mut Snapshot,
    ) {
        let consumer = ConsumerId::KeyVaultSecret(id.clone());
        match self.places.get(&Place::of_secret(id.clone())).map(|read| &read.found) {
            Some(Err(error)) if error.kind() == ArmErrorKind::Gone => {
                self.remember(id, Vec::new(), service, journal, out);
            }
            Some(Err(error)) => {
                let (detail, passing) = (words::left_behind(cause::told(error)), error.is_passing());
                out.unknown.push(Unknown::Unreadable { app: consumer.clone(), detail, passing });
                let _ = lose(&consumer, journal, out);
            }
            Some(Ok(_)) | None => self.add_secret(id, service, journal, out),
        }
        if !out.seen.get(&consumer).is_some_and(Vec::is_empty) {
            out.left_behind.push(consumer);
        }
    }

    /// Takes down which keys a secret holds. One that holds none any more stays on record with what it held while that is a key
    /// of the service: its readers may go on with it.
    fn remember(
        &self,
        id: &SecretId,
        held: Vec<Fingerprint>,
        service: &ServiceConfig,
        journal: &Journal,
        out: &mut Snapshot,
    ) {
        let consumer = ConsumerId::KeyVaultSecret(id.clone());
        let last = journal.seen(&consumer);
        let is_current = |key: &&Fingerprint| out.keys.iter().any(|(_, current)| current == *key);
        let goes_on = held.is_empty() && last.unwrap_or_default().iter().any(|key| is_current(&key));
        if !held.is_empty() || goes_on {
            out.readers_within.insert(consumer.clone(), service.readers_within(id));
        }
        if !goes_on && (last.is_some() || !held.is_empty()) {
            out.seen.insert(consumer, held);
        }
    }

    /// Whether a secret was found.
    fn is_there(&self, id: &SecretId) -> bool {
        self.read_of(&Place::of_secret(id.clone())).is_some()
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

    /// The secrets whose newest version was read, or why it could not be.
    pub fn secrets(&self) -> impl Iterator<Item = (ConsumerId, Result<&Secret, &ArmError>)> {
        let read = self.places.iter().filter(|(place, _)| !place.is_fixed());
        read.filter_map(|(place, read)| {
            let id = place.consumer();
            id.secret()?;
            match &read.found {
                Ok(contents) => Some((id, Ok(contents.secret()?))),
                Err(error) => Some((id, Err(error))),
            }
        })
    }

    /// The settings of an app that refer to secrets of ours, as far as they were read.
    fn followed(&self, app: &AppConfig) -> Vec<Followed> {
        let read = |place: &Place| Some(place.follows(self.read_of(place)?, app, self.vault_suffix));
        Place::of(app).iter().filter_map(read).flatten().collect()
    }

    /// Of a dictionary's settings that refer to secrets or key-values, the versions that hold one of these keys.
    pub fn versions(
        &self,
        place: &Place,
        app: &AppConfig,
        service: &ServiceConfig,
        keys: &[&Key],
    ) -> Versions {
        let holds = |secret: &&Secret| keys.iter().any(|key| secret.holds(key));
        let contents = self.read_of(place);
        let followed = contents.map(|contents| place.follows(contents, app, self.vault_suffix));
        let version = |followed: Followed| {
            let id = followed.reference.secret;
            let secret = self.read_of(&Place::of_secret(id.clone()))?.secret().filter(holds)?;
            Some((followed.at.name, (Some(id), secret.version.clone())))
        };
        let of_secrets = followed.into_iter().flatten().filter_map(version);
        // Of key-values only app settings are followed.
        let of_settings = *place == Place::settings_of(&app.id);
        let of_key_values = of_settings.then(|| self.versions_of_key_values(app, service, keys));
        let of_key_values = of_key_values.into_iter().flatten();
        of_secrets.chain(of_key_values.map(|(name, version)| (name, (None, version)))).collect()
    }

    /// What is to be read of a service, as far as is known: what apps refer to is known when they were read.
    pub(super) fn wanted(&self, service: &ServiceConfig) -> BTreeSet<Place> {
        let of_secrets =
            service.secrets().chain(self.on_record.iter().flatten()).cloned().map(Place::of_secret);
        let mut wanted: BTreeSet<Place> = Place::configured(service).into_iter().chain(of_secrets).collect();
        let in_vaults = service.consumers().flat_map(|consumer| self.in_vaults(&consumer));
        wanted.extend(in_vaults.map(|(_, secret)| Place::of_secret(secret)));
        wanted.extend(service.static_web_apps.iter().flat_map(|site| self.environments_of(site)));
        wanted.extend(self.wanted_of_key_values(service));
        for app in &service.apps {
            for followed in self.followed(app) {
                let references = followed.resolved_in();
                let read = references.as_ref().and_then(|references| self.read_of(references));
                let resolved = read.and_then(|contents| contents.resolved(&followed.at.name));
                let id = followed.reference.secret;
                let active = resolved.and_then(|resolved| resolved.active_version.clone());
                let newest = Place::of_secret(id.clone());
                let secret = self.read_of(&newest).and_then(Contents::secret);
                let version = active.filter(|active| secret.is_none_or(|secret| secret.version != *active));
                let version = version.filter(|_| self.places.contains_key(&newest));
                let version = version.map(|version| Place::of_version(id, version));
                wanted.extend(references.into_iter().chain([newest]).chain(version));
            }
        }
        wanted
    }

    /// What an app was made to fetch and is not there yet counts as not read, for a while.
    pub(super) fn await_arrival(&mut self, service: &ServiceConfig, now: DateTime<Utc>) {
        let followed = service.apps.iter().flat_map(|app| self.followed(app));
        let due = followed.filter_map(|followed| {
            let references = followed.resolved_in()?;
            let resolved = self.read_of(&references).and_then(|found| found.resolved(&followed.at.name));
            let active = resolved.and_then(|resolved| resolved.active_version.as_deref());
            let has_come = followed.brought().is_none_or(|(wanted, _)| active == Some(wanted));
            let awaited = self.going.references.get(&references).is_some_and(|until| now < *until);
            (awaited && !has_come).then_some(references)
        });
        let late: BTreeSet<Place> = due.collect();
        self.going.references.retain(|references, _| late.contains(references));
        for (_, read) in self.places.iter_mut().filter(|(place, _)| late.contains(place)) {
            read.echo = true;
        }
    }
}

/// The secrets that are on record as holders of a key, but for those that a person says are unused.
pub(super) fn on_record(service: &ServiceConfig, journal: &Journal) -> BTreeSet<SecretId> {
    let secrets = holders(journal).filter_map(ConsumerId::secret);
    secrets.filter(|secret| !service.is_unused(secret)).cloned().collect()
}

/// The consumers that are on record as holders of a key.
pub(super) fn holders(journal: &Journal) -> impl Iterator<Item = &ConsumerId> {
    journal.all_seen().filter(|(_, held)| !held.is_empty()).map(|(consumer, _)| consumer)
}

/// An app whose process may run with either key.
pub(super) fn add_either(at: &ConsumerRef, out: &mut Snapshot) {
    out.may_hold.insert(at.clone());
    for key_type in KeyType::ALL {
        let consumer = Consumer { at: at.clone(), holds: Holding::Valid(key_type) };
        if !out.consumers.contains(&consumer) {
            out.consumers.push(consumer);
        }
    }
}
