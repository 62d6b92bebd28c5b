//! Whether a world makes sense: its names, and what refers to what.

use std::collections::BTreeSet;

use super::app_configurations::Read;
use super::{InitialApp, World, WorldError};

impl World {
    /// Checks names and references.
    pub(crate) fn check(&self) -> Result<(), WorldError> {
        self.check_names()?;
        self.check_containers()?;
        self.check_static_sites()?;
        let apps: Vec<InitialApp> = self.sites.iter().flat_map(|site| self.apps(site)).collect();
        for service in &self.signalr {
            for listed in &service.apps {
                let known = apps.iter().any(|app| app.id.name().eq_ignore_ascii_case(listed));
                let error = || WorldError::NoSuchApp { service: service.name.clone(), app: listed.clone() };
                known.then_some(()).ok_or_else(error)?;
            }
        }
        apps.iter().try_for_each(|app| app.reads.iter().try_for_each(|read| self.check_read(app, read)))
    }

    /// What is read has to be of something that there is; it may be put there later.
    fn check_read(&self, app: &InitialApp, read: &Read) -> Result<(), WorldError> {
        let (there, place) = match read {
            Read::KeyValue { store, .. } => {
                (self.app_configurations.iter().any(|one| one.name.eq_ignore_ascii_case(store)), store)
            }
            Read::Secret { vault, .. } => {
                (self.vaults.iter().any(|one| one.name.eq_ignore_ascii_case(vault)), vault)
            }
        };
        let error = || WorldError::NothingToRead { app: app.id.name(), place: place.clone() };
        there.then_some(()).ok_or_else(error)
    }

    fn check_names(&self) -> Result<(), WorldError> {
        let mut seen = BTreeSet::new();
        for id in self.services() {
            if !id.is_valid() {
                return Err(WorldError::BadName(id.name));
            }
            if !seen.insert(format!("signalr {}", id.name.to_lowercase())) {
                return Err(WorldError::Twice(id.name));
            }
        }
        for (vault, id) in self.vaults.iter().zip(self.vault_ids()) {
            if !id.is_valid() {
                return Err(WorldError::BadName(id.name));
            }
            if !seen.insert(format!("vault {}", id.name.to_lowercase())) {
                return Err(WorldError::Twice(id.name));
            }
            vault.check()?;
        }
        for (store, id) in self.app_configurations.iter().zip(self.app_configuration_ids()) {
            if !id.is_valid() {
                return Err(WorldError::BadName(id.name));
            }
            if !seen.insert(format!("store {}", id.name.to_lowercase())) {
                return Err(WorldError::Twice(id.name));
            }
            store.check()?;
        }
        for app in self.sites.iter().flat_map(|site| self.apps(site)) {
            if !app.id.is_valid() {
                return Err(WorldError::BadName(app.id.name()));
            }
            if !seen.insert(format!("site {}", app.id.name().to_lowercase())) {
                return Err(WorldError::Twice(app.id.name()));
            }
        }
        Ok(())
    }
}
