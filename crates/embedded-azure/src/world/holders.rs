//! Which apps of a world hold a key of a service: in a setting, or where a setting or they themselves look.

use super::app_configurations::Read;
use super::{InitialApp, SignalR, World, values};
use crate::ids::AppId;
use crate::placeholders::names;
use crate::references::{self, KeyValueName, Reference, SecretName};
use crate::stores;

impl World {
    /// Whether an app holds a key of a service: listed, named in a placeholder, or named where a reference leads or what it
    /// reads by itself.
    pub(super) fn holds(&self, app: &InitialApp, service: &SignalR) -> bool {
        let named = |value: &str| names(value, &service.name);
        let held = |value: &str| named(value) || self.led(value).is_some_and(named);
        let read = |read: &Read| self.read(read).is_some_and(named);
        lists(service, &app.id) || values(app).any(held) || app.reads.iter().any(read)
    }

    /// The key-values with a key of a service that apps read by themselves, each with these apps.
    pub fn read_by_apps(&self, service: &SignalR) -> Vec<(&Read, Vec<AppId>)> {
        let mut all: Vec<(&Read, Vec<AppId>)> = Vec::new();
        for site in &self.sites {
            let apps = || self.apps(site).into_iter().map(|app| app.id);
            for read in site.reads.iter().filter(|read| matches!(read, Read::KeyValue { .. })) {
                if !self.read(read).is_some_and(|value| names(value, &service.name)) {
                    continue;
                }
                match all.iter_mut().find(|(known, _)| *known == read) {
                    Some((_, known)) => known.extend(apps()),
                    None => all.push((read, apps().collect())),
                }
            }
        }
        all
    }

    /// What a value leads to, if it is a reference.
    fn led(&self, value: &str) -> Option<&str> {
        match references::read(value)? {
            Reference::Secret(secret) => self.secret(&secret),
            Reference::KeyValue(name) => self.key_value(&name),
            Reference::Malformed(_) => None,
        }
    }

    fn read(&self, read: &Read) -> Option<&str> {
        match read {
            Read::KeyValue { store, key, label } => {
                let (store, key, label) = (store.clone(), key.clone(), label.clone());
                self.key_value(&KeyValueName { store, key, label })
            }
            Read::Secret { vault, name } => {
                self.secret(&SecretName { vault: vault.clone(), name: name.clone(), version: None })
            }
        }
    }

    pub(super) fn secret(&self, secret: &SecretName) -> Option<&str> {
        let vault = self.vaults.iter().find(|vault| vault.name.eq_ignore_ascii_case(&secret.vault));
        vault.map_or_else(|| self.elsewhere(&secret.name), |vault| vault.value(&secret.name))
    }

    fn key_value(&self, name: &KeyValueName) -> Option<&str> {
        let store = self.app_configurations.iter().find(|store| store.name.eq_ignore_ascii_case(&name.store));
        let Some(store) = store else { return self.elsewhere(&name.key) };
        let found = store.get(&name.key, name.label.as_deref())?;
        match found.content_type.as_deref().is_some_and(stores::is_reference) {
            true => self.secret(&stores::named_secret(&found.value)?),
            false => Some(&found.value),
        }
    }

    fn elsewhere(&self, name: &str) -> Option<&str> {
        let mut all = self.references.iter();
        all.find(|(known, _)| known.to_lowercase() == name.to_lowercase()).map(|(_, value)| value.as_str())
    }
}

/// Whether a service lists an app.
pub(super) fn lists(service: &SignalR, app: &AppId) -> bool {
    let name = app.name();
    service.apps.iter().any(|listed| listed.eq_ignore_ascii_case(&name))
}
