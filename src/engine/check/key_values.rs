//! What a check reads and shows of App Configuration's key-values, and of the apps that are given what they hold.
//!
//! Start at [`Check::add_reader`] for what it means. Nothing in Azure tells with what an app was started: the platform resolves
//! a reference to a key-value when the app's settings change, and an SDK reads it when the app starts. So an app has surely
//! what the key-value holds now if the last write of its settings that we made, which is on record there, was made when the
//! key-value was in the state that it is in now. An app that has not may hold either key, and what it was last seen with.

use std::collections::{BTreeMap, BTreeSet};

use super::references::{add_either, holders};
use super::{Check, held, lose};
use crate::azure::arm::ArmErrorKind;
use crate::azure::consumers::app_configuration::KeyValue;
use crate::azure::consumers::{Contents, Following, KeyValueReader, Marks, Place};
use crate::config::{AppConfig, ServiceConfig};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, Key, KeyValueId, SecretId, SecretReference};
use rekey_core::plan::{Consumer, ConsumerRef, Holding, SettingFault, Snapshot, Unknown};

/// Why a place could not be read.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ArmErrorKind,
    /// The action that it takes.
    pub(crate) action: Option<&'static str>,
    pub(crate) told: String,
}

/// What whoever reads a key-value is given.
struct Given {
    /// What holds it: the key-value, or the secret that it leads to.
    by: ConsumerId,
    shown: Vec<Result<Holding, SettingFault>>,
    /// The state of all that it depends on.
    version: String,
}

/// Why that cannot be told, and whether that passes by itself.
type Unseen = (String, bool);

impl Check {
    /// What references of an app may be followed to.
    pub(super) fn following<'a>(&self, service: &'a ServiceConfig) -> Following<'a> {
        let (vault_suffix, store_suffixes) = (self.vault_suffix, self.store_suffixes);
        Following { vault_suffix, store_suffixes, key_values: &service.app_configuration }
    }

    /// What is given to an app, by a reference or because it reads it itself.
    pub(super) fn add_reader(
        &self,
        reader: &KeyValueReader,
        journal: &Journal,
        marks: Marks<'_>,
        out: &mut Snapshot,
    ) {
        let KeyValueReader { at, of, named, started_with } = reader;
        let unknown = |why: &str, passing: bool| {
            let (app, name, to, why) = (at.app.clone(), at.name.clone(), of.clone(), why.to_owned());
            Unknown::KeyValueReference { app, name, to, why, passing }
        };
        let given = match self.given(of, marks) {
            Ok(given) => given,
            Err((_, passing)) => return out.unknown.push(unknown(words::OUT_OF_SIGHT, passing)),
        };
        let holdings: Vec<Holding> = given.shown.iter().filter_map(|shown| shown.clone().ok()).collect();
        if given.shown.len() > holdings.len() {
            out.unknown.push(unknown(words::FAULTY, false));
        }
        if holdings.is_empty() {
            let (app, name, fault) = (at.app.clone(), at.name.clone(), SettingFault::NotOurs);
            return out.unknown.extend(named.then_some(Unknown::Setting { app, name, fault }));
        }
        let consumers = holdings.into_iter().map(|holds| Consumer { at: at.clone(), holds });
        out.consumers.extend(consumers);
        if started_with.as_ref() != Some(&given.version) {
            let before = (at.app.clone(), ConsumerId::KeyValue(of.clone()));
            out.given_before.extend(started_with.is_some().then_some(before));
            add_either(at, out);
            add_former(at, journal, out);
        }
    }

    /// A key-value that an app is given, or that is configured. It is a consumer if it holds a key of the service.
    pub(super) fn add_key_value(
        &self,
        id: &KeyValueId,
        service: &ServiceConfig,
        journal: &Journal,
        out: &mut Snapshot,
    ) {
        let consumer = ConsumerId::KeyValue(id.clone());
        let at = ConsumerRef { app: consumer.clone(), section: None, name: String::new() };
        let first = out.consumers.len();
        let left_behind = self.is_left_behind(id, service);
        let read = self.places.get(&Place::of_key_value(id.clone())).map(|read| &read.found);
        // A store tells no reason for its 404.
        let is_gone =
            read.is_some_and(|found| found.as_ref().is_err_and(|error| error.status() == Some(404)));
        if left_behind && is_gone {
            return self.remember_key_value(id, service, journal, out);
        }
        let Given { by, shown, .. } = match self.given(id, self.marks(journal)) {
            Ok(given) => given,
            Err((detail, passing)) => {
                out.unknown.push(Unknown::Unreadable { app: consumer.clone(), detail, passing });
                let _ = lose(&consumer, journal, out);
                return;
            }
        };
        let is_configured = service.app_configuration.iter().any(|one| one.id == *id);
        if shown.is_empty() && is_configured {
            return out.unknown.push(Unknown::NoConsumer { app: consumer });
        }
        if left_behind && !shown.iter().any(Result::is_ok) {
            return self.remember_key_value(id, service, journal, out);
        }
        if left_behind {
            out.left_behind.push(consumer.clone());
        }
        if shown.iter().any(Result::is_ok) {
            out.readers_within.insert(consumer.clone(), service.readers_of(id));
        }
        for shown in shown {
            match shown {
                // What a secret holds is added with the secret.
                Ok(holds) if by == consumer => out.consumers.push(Consumer { at: at.clone(), holds }),
                Ok(_) => {}
                Err(fault) => {
                    let name = words::VALUE.to_owned();
                    out.unknown.push(Unknown::Setting { app: by.clone(), name, fault });
                }
            }
        }
        if out.consumers.len() > first {
            let read = self.read_of(&Place::of_key_value(id.clone())).and_then(Contents::key_value);
            let (app, name, fault) = (consumer.clone(), words::VALUE.to_owned(), SettingFault::Locked);
            let locked = read.is_some_and(KeyValue::is_locked);
            out.unknown.extend(locked.then_some(Unknown::Setting { app, name, fault }));
            out.seen.insert(consumer, held(out, first, false));
        }
    }

    /// What whoever reads a key-value is given; or why that cannot be told.
    fn given(&self, id: &KeyValueId, marks: Marks<'_>) -> Result<Given, Unseen> {
        let read = self.found(&Place::of_key_value(id.clone()))?.key_value();
        let read = read.ok_or_else(|| (words::NOT_READ.to_owned(), true))?;
        let itself = ConsumerId::KeyValue(id.clone());
        if !read.is_reference() {
            return Ok(Given { by: itself, shown: read.shows(marks), version: read.version() });
        }
        let Some(SecretReference { secret, version }) = read.refers_to() else {
            return Err((words::STRANGE_REFERENCE.to_owned(), false));
        };
        if !secret.is_below(self.vault_suffix) {
            return Err((words::strange_vault(secret.host(), self.vault_suffix), false));
        }
        // One that names a version has to be made to name another.
        let by = if version.is_some() { itself } else { ConsumerId::KeyVaultSecret(secret.clone()) };
        let of_secret = self.found(&secret_at(secret, version))?.secret();
        let of_secret = of_secret.ok_or_else(|| (words::NOT_READ.to_owned(), true))?;
        let version = format!("{}+{}", read.version(), of_secret.version);
        Ok(Given { by, shown: of_secret.shows(marks), version })
    }

    /// What was read of a place, or why nothing was.
    fn found(&self, place: &Place) -> Result<&Contents, Unseen> {
        let read = self.places.get(place).ok_or_else(|| (words::NOT_READ.to_owned(), true))?;
        read.found.as_ref().map_err(|error| (cause::told(error), error.is_passing()))
    }

    /// The settings of an app that refer to key-values of ours, as far as they were read, and the key-values that it reads by
    /// itself.
    pub(super) fn readers(&self, app: &AppConfig, service: &ServiceConfig) -> Vec<KeyValueReader> {
        let following = self.following(service);
        let by_reference = Place::of(app)
            .into_iter()
            .filter_map(|place| Some(place.reads(self.read_of(&place)?, app, following)));
        let settings = self.read_of(&Place::settings_of(&app.id));
        let by_itself = settings.map(|read| read.reads_by_itself(&app.id, &service.app_configuration));
        by_reference.chain(by_itself).flatten().collect()
    }

    /// All that is given what key-values hold, and whether it is sure that it has what they hold now.
    pub(crate) fn key_value_readers(
        &self,
        service: &ServiceConfig,
        journal: &Journal,
    ) -> Vec<(KeyValueReader, bool)> {
        let is_current = |reader: &KeyValueReader| {
            let given = self.given(&reader.of, self.marks(journal));
            given.is_ok_and(|given| reader.started_with.as_ref() == Some(&given.version))
        };
        let all = service.apps.iter().flat_map(|app| self.readers(app, service));
        all.map(|reader| (is_current(&reader), reader)).map(|(current, reader)| (reader, current)).collect()
    }

    /// Why places could not be read, by their consumers.
    pub(crate) fn refusals(&self) -> BTreeMap<ConsumerId, Vec<Refusal>> {
        let mut refused: BTreeMap<ConsumerId, Vec<Refusal>> = BTreeMap::new();
        for (place, read) in &self.places {
            if let Err(error) = &read.found {
                let (kind, action, told) = (error.kind(), error.action(), cause::told(error));
                refused.entry(place.consumer()).or_default().push(Refusal { kind, action, told });
            }
        }
        refused
    }

    /// The environments that container apps and jobs are in, as far as they were read.
    pub(crate) fn environments(&self) -> Vec<(ConsumerId, String)> {
        let read = self.places.iter().filter_map(|(place, read)| {
            let app = read.found.as_ref().ok()?.container_app()?;
            Some((place.consumer(), app.environment()?.to_owned()))
        });
        read.collect()
    }

    /// The key-values that matter to a service, as far as is known.
    pub(super) fn key_values(&self, service: &ServiceConfig) -> BTreeSet<KeyValueId> {
        let configured = service.app_configuration.iter().map(|one| one.id.clone());
        let read = service.apps.iter().flat_map(|app| self.readers(app, service));
        let of_record = self.values_on_record.iter().cloned();
        configured.chain(read.map(|reader| reader.of)).chain(of_record).collect()
    }

    /// Whether nothing that is configured leads to a key-value any more, which is on record as a holder of a key: whoever reads
    /// it without being seen goes on with that.
    fn is_left_behind(&self, id: &KeyValueId, service: &ServiceConfig) -> bool {
        let is_configured = service.app_configuration.iter().any(|one| one.id == *id);
        let mut read = service.apps.iter().flat_map(|app| self.readers(app, service));
        self.values_on_record.contains(id) && !is_configured && !read.any(|reader| reader.of == *id)
    }

    /// A key-value that nothing leads to any more, and that holds no key, or is gone: it stays on record with what it held while
    /// that is a key of the service.
    fn remember_key_value(
        &self,
        id: &KeyValueId,
        service: &ServiceConfig,
        journal: &Journal,
        out: &mut Snapshot,
    ) {
        let consumer = ConsumerId::KeyValue(id.clone());
        let last = journal.seen(&consumer).unwrap_or_default();
        if last.iter().any(|key| out.keys.iter().any(|(_, current)| current == key)) {
            out.readers_within.insert(consumer.clone(), service.readers_of(id));
            out.left_behind.push(consumer);
        } else {
            out.seen.insert(consumer, vec![]);
        }
    }

    /// The secrets that they lead to.
    pub(super) fn led_to(&self, service: &ServiceConfig) -> BTreeSet<SecretId> {
        self.references(service).map(|reference| reference.secret).collect()
    }

    /// What is to be read of key-values, of what they lead to, and of those who read them.
    pub(super) fn wanted_of_key_values(&self, service: &ServiceConfig) -> BTreeSet<Place> {
        let values = self.key_values(service).into_iter().map(Place::of_key_value);
        let readers = service.app_configuration.iter().flat_map(|one| &one.read_by);
        let secrets = self.references(service).flat_map(|SecretReference { secret, version }| {
            let pinned = version.map(|version| Place::of_version(secret.clone(), version));
            [Some(Place::of_secret(secret)), pinned].into_iter().flatten()
        });
        values.chain(readers.map(Place::settings_of)).chain(secrets).collect()
    }

    /// Which key-value leads to which secret.
    pub(super) fn leads(&self, service: &ServiceConfig) -> Vec<(ConsumerId, ConsumerId)> {
        let all = self.references_of(service);
        all.map(|(id, reference)| (ConsumerId::KeyValue(id), ConsumerId::KeyVaultSecret(reference.secret)))
            .collect()
    }

    fn references(&self, service: &ServiceConfig) -> impl Iterator<Item = SecretReference> {
        self.references_of(service).map(|(_, reference)| reference)
    }

    fn references_of(&self, service: &ServiceConfig) -> impl Iterator<Item = (KeyValueId, SecretReference)> {
        let of = |id: KeyValueId| {
            let reference = self.read_of(&Place::of_key_value(id.clone()))?.key_value()?.refers_to()?;
            Some((id, reference))
        };
        let all = self.key_values(service).into_iter().filter_map(of);
        all.filter(|(_, reference)| reference.secret.is_below(self.vault_suffix))
    }

    /// Of all that an app reads of key-values, the versions that hold one of these keys.
    pub(super) fn versions_of_key_values(
        &self,
        app: &AppConfig,
        service: &ServiceConfig,
        keys: &[&Key],
    ) -> BTreeMap<String, String> {
        let version = |reader: KeyValueReader| {
            let read = self.read_of(&Place::of_key_value(reader.of))?.key_value()?;
            let version = if read.is_reference() {
                let SecretReference { secret, version } = read.refers_to()?;
                let secret = self.read_of(&secret_at(secret, version))?.secret()?;
                keys.iter()
                    .any(|key| secret.holds(key))
                    .then(|| format!("{}+{}", read.version(), secret.version))
            } else {
                keys.iter().any(|key| read.holds(key)).then(|| read.version())
            };
            Some((reader.at.name, version?))
        };
        self.readers(app, service).into_iter().filter_map(version).collect()
    }

    /// The version of a secret that holds one of these keys, for a key-value that names another.
    pub fn version_behind(&self, id: &KeyValueId, keys: &[&Key]) -> BTreeMap<String, String> {
        let version = || {
            let read = self.read_of(&Place::of_key_value(id.clone()))?.key_value()?;
            let secret = self.read_of(&Place::of_secret(read.refers_to()?.secret))?.secret()?;
            keys.iter().any(|key| secret.holds(key)).then(|| (String::new(), secret.version.clone()))
        };
        version().into_iter().collect()
    }
}

fn secret_at(secret: SecretId, version: Option<String>) -> Place {
    match version {
        Some(version) => Place::of_version(secret, version),
        None => Place::of_secret(secret),
    }
}

/// The keys that an app was last seen with, or was to be given, and that the service no longer has: nothing tells that it has
/// left them.
fn add_former(at: &ConsumerRef, journal: &Journal, out: &mut Snapshot) {
    let seen = journal.seen(&at.app).unwrap_or_default();
    for key in seen.iter().filter(|key| !out.keys.iter().any(|(_, current)| current == *key)) {
        let consumer = Consumer { at: at.clone(), holds: Holding::Stale(key.clone()) };
        if !out.consumers.contains(&consumer) {
            out.consumers.push(consumer);
        }
    }
}

/// The key-values that are on record as holders of a key.
pub(super) fn on_record(journal: &Journal) -> BTreeSet<KeyValueId> {
    let values = holders(journal).filter_map(|consumer| match consumer {
        ConsumerId::KeyValue(id) => Some(id.clone()),
        _ => None,
    });
    values.collect()
}
