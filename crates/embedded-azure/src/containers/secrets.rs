//! The secrets of a container app or job: by value, or by the URL of a secret in a vault (swagger: Microsoft.App, `Secret`).

use serde_json::{Value, json};

use crate::ids::Key;
use crate::platform::{Led, Platform};
use crate::references;
use crate::world::containers::{FromVault, InitialSecret};

/// One secret.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) name: String,
    /// Where it comes from, if it is not given by value.
    pub(crate) vault: Option<FromVault>,
    /// What is handed to containers; nothing if it was never fetched.
    pub(crate) value: Option<String>,
    /// The keys in it that another person put there when they did not work, or were about to be replaced.
    pub(crate) planted: Vec<Key>,
}

impl Secret {
    pub(crate) fn new(secret: InitialSecret) -> Self {
        let InitialSecret { name, vault, value } = secret;
        Self { name, vault, value, planted: Vec::new() }
    }

    /// Fetches one that comes from a vault, for the app or job of this label.
    pub(crate) fn fetch(&mut self, label: &str, platform: &Platform<'_>) -> Result<(), ()> {
        let Some(vault) = &self.vault else { return Ok(()) };
        let Led { value, planted, .. } = platform.fetch(label, &vault.url).map_err(drop)?;
        self.value = Some(value);
        self.planted = planted;
        Ok(())
    }

    /// Whether it is of the newest version of a secret.
    pub(crate) fn moves(&self) -> bool {
        self.vault
            .as_ref()
            .is_some_and(|vault| references::at_url(&vault.url).is_some_and(|one| one.version.is_none()))
    }

    /// Without its value, as a GET has it.
    pub(crate) fn describe(&self) -> Value {
        match &self.vault {
            None => json!({"name": self.name}),
            Some(vault) => json!({"name": self.name, "keyVaultUrl": vault.url, "identity": vault.identity}),
        }
    }

    /// With its value, as it is listed.
    pub(crate) fn tell(&self) -> Value {
        let mut told = self.describe();
        if let Some(value) = &self.value {
            told["value"] = value.as_str().into();
        }
        told
    }
}
