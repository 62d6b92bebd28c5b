//! What App Service makes of references: it resolves them by the app's own identity and hands the app what they lead to (docs:
//! Use Key Vault references as app settings; Use App Configuration references).
//!
//! Statuses are those of the swagger (`ResolveStatus`). Which one a disabled secret has no document says; here it is
//! `OtherReasons`. Nor does one say which one an app has whose `keyVaultReferenceIdentity` is not assigned to it; here it is
//! that of an app without any identity, `MSINotEnabled`.

use std::collections::BTreeMap;

use crate::ids::Key;
use crate::references::{self, KeyValueName, Reference, SecretName};
use crate::roles::{self, Denial};
use crate::stores::{Name, Store};
use crate::vaults::{Unreadable, Vault};
use crate::world::SiteIdentity;
use crate::world::app_configurations::Read;

/// The data action by which the platform reads a secret for an app (docs: Azure role-based access control in Key Vault).
pub(crate) const GET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";

/// The same for a key-value (docs: App Configuration REST API, Microsoft Entra authorization).
pub(crate) const READ_KEY_VALUE: &str = "Microsoft.AppConfiguration/configurationStores/keyValues/read";

/// What the platform can reach, and apps by themselves.
pub(crate) struct Platform<'a> {
    pub(crate) vaults: &'a [Vault],
    pub(crate) stores: &'a [Store],
    /// What leads elsewhere, by the name of the secret or key in lower case.
    pub(crate) elsewhere: &'a BTreeMap<String, String>,
    pub(crate) denials: &'a [Denial],
}

/// What became of a reference when it was last fetched.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Resolution {
    pub(crate) reference: Reference,
    pub(crate) status: ResolveStatus,
    /// What is handed to the app; without it the app gets the reference's own text.
    pub(crate) value: Option<String>,
    /// The version of the secret that is handed out.
    pub(crate) version: Option<String>,
    /// The keys in it that another person put there when they did not work, or were about to be replaced.
    pub(crate) planted: Vec<Key>,
}

/// Whether a reference leads anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolveStatus {
    Resolved,
    InvalidSyntax,
    VaultNotFound,
    SecretNotFound,
    SecretVersionNotFound,
    AccessToKeyVaultDenied,
    MsiNotEnabled,
    OtherReasons,
}

impl Platform<'_> {
    /// Resolves a value for an app, `site` or `site/slot`; nothing if it is no reference.
    pub(crate) fn resolve(&self, app: &str, identity: &SiteIdentity, value: &str) -> Option<Resolution> {
        let reference = references::read(value)?;
        let resolution = match &reference {
            Reference::Malformed(_) => Err(ResolveStatus::InvalidSyntax),
            Reference::KeyValue(name) => self.key_value(app, name),
            Reference::Secret(secret) => match self.vault(&secret.vault) {
                Some(_) if !identity.resolves() => Err(ResolveStatus::MsiNotEnabled),
                Some(vault) => self.secret(app, vault, secret),
                None => self.elsewhere(&secret.name).ok_or(ResolveStatus::VaultNotFound),
            },
        };
        Some(match resolution {
            Ok(Led { value, version, planted }) => {
                let (status, value) = (ResolveStatus::Resolved, Some(value));
                Resolution { reference, status, value, version, planted }
            }
            Err(status) => Resolution { reference, status, value: None, version: None, planted: Vec::new() },
        })
    }

    /// Fetches the secret at a URL, as container apps and jobs name theirs, for one of this label.
    pub(crate) fn fetch(&self, app: &str, url: &str) -> Result<Led, ResolveStatus> {
        let secret = references::at_url(url).ok_or(ResolveStatus::InvalidSyntax)?;
        match self.vault(&secret.vault) {
            Some(vault) => self.secret(app, vault, &secret),
            None => self.elsewhere(&secret.name).ok_or(ResolveStatus::VaultNotFound),
        }
    }

    fn vault(&self, name: &str) -> Option<&Vault> {
        self.vaults.iter().find(|vault| vault.id.name.eq_ignore_ascii_case(name))
    }

    /// What an app reads by itself; nothing if it cannot.
    pub(crate) fn read(&self, app: &str, read: &Read) -> Option<Led> {
        match read {
            Read::KeyValue { store, key, label } => {
                let (store, key, label) = (store.clone(), key.clone(), label.clone());
                self.key_value(app, &KeyValueName { store, key, label }).ok()
            }
            Read::Secret { vault, name } => {
                let wanted = SecretName { vault: vault.clone(), name: name.clone(), version: None };
                self.secret(app, self.vault(vault)?, &wanted).ok()
            }
        }
    }

    fn elsewhere(&self, name: &str) -> Option<Led> {
        let value = self.elsewhere.get(&name.to_lowercase())?.clone();
        Some(Led { value, version: None, planted: Vec::new() })
    }

    /// A key-value, or the secret that it names, by the same identity (docs: Use App Configuration references). Which statuses
    /// there are for one that cannot be read no document says.
    fn key_value(&self, app: &str, wanted: &KeyValueName) -> Result<Led, ResolveStatus> {
        let store = self.stores.iter().find(|store| store.id.name.eq_ignore_ascii_case(&wanted.store));
        let Some(store) = store else {
            return self.elsewhere(&wanted.key).ok_or(ResolveStatus::OtherReasons);
        };
        if roles::denies_app(self.denials, app, &store.id.to_string(), READ_KEY_VALUE) {
            return Err(ResolveStatus::OtherReasons);
        }
        let name = Name::new(&wanted.key, wanted.label.as_deref());
        let found = store.get(&name).ok_or(ResolveStatus::OtherReasons)?;
        if found.item.is_reference() {
            let secret = found.item.secret().ok_or(ResolveStatus::InvalidSyntax)?;
            let vault = self.vault(&secret.vault).ok_or(ResolveStatus::VaultNotFound)?;
            return Ok(Led { version: None, ..self.secret(app, vault, &secret)? });
        }
        let value = found.item.expose().unwrap_or_default().to_owned();
        Ok(Led { value, version: None, planted: found.planted.clone() })
    }

    fn secret(&self, app: &str, vault: &Vault, wanted: &SecretName) -> Result<Led, ResolveStatus> {
        let scope = format!("{}/secrets/{}", vault.id, wanted.name);
        if roles::denies_app(self.denials, app, &scope, GET_SECRET) {
            return Err(ResolveStatus::AccessToKeyVaultDenied);
        }
        let version = vault.read(&wanted.name, wanted.version.as_deref()).map_err(|why| match why {
            Unreadable::NoSecret => ResolveStatus::SecretNotFound,
            Unreadable::NoVersion => ResolveStatus::SecretVersionNotFound,
            Unreadable::Disabled => ResolveStatus::OtherReasons,
        })?;
        let value = version.content.expose().to_owned();
        Ok(Led { value, version: Some(version.id.clone()), planted: version.planted.clone() })
    }
}

/// What something leads to.
pub(crate) struct Led {
    pub(crate) value: String,
    /// The version of the secret that was named.
    version: Option<String>,
    /// The keys in it that another person put there when they did not work, or were about to be replaced.
    pub(crate) planted: Vec<Key>,
}

impl Resolution {
    /// Whether another version may be handed out when it is fetched again.
    pub(crate) fn moves(&self) -> bool {
        matches!(&self.reference, Reference::Secret(secret) if secret.version.is_none())
    }
}

impl ResolveStatus {
    /// Azure's word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Resolved => "Resolved",
            Self::InvalidSyntax => "InvalidSyntax",
            Self::VaultNotFound => "VaultNotFound",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretVersionNotFound => "SecretVersionNotFound",
            Self::AccessToKeyVaultDenied => "AccessToKeyVaultDenied",
            Self::MsiNotEnabled => "MSINotEnabled",
            Self::OtherReasons => "OtherReasons",
        }
    }
}
