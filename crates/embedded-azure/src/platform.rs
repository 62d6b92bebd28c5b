//! What App Service makes of references: it resolves them by the app's own identity and hands the app what they lead to (docs:
//! Use Key Vault references as app settings; Use App Configuration references).
//!
//! Statuses are those of the swagger (`ResolveStatus`). Which one a disabled secret has no document says; here it is
//! `OtherReasons`. Nor does one say which one an app has whose `keyVaultReferenceIdentity` is not assigned to it; here it is
//! that of an app without any identity, `MSINotEnabled`.

use std::collections::BTreeMap;

use crate::ids::Key;
use crate::references::{self, Reference, SecretName};
use crate::roles::{self, Denial};
use crate::vaults::{Unreadable, Vault};
use crate::world::SiteIdentity;

/// The data action by which the platform reads a secret for an app (docs: Azure role-based access control in Key Vault).
pub(crate) const GET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";

/// What the platform can reach.
pub(crate) struct Platform<'a> {
    pub(crate) vaults: &'a [Vault],
    /// What leads elsewhere, by the name of the secret or key in lower case.
    pub(crate) elsewhere: &'a BTreeMap<String, String>,
    pub(crate) denials: &'a [Denial],
}

/// What became of a reference when it was last fetched.
#[derive(PartialEq, Eq)]
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
            Reference::Malformed => Err(ResolveStatus::InvalidSyntax),
            Reference::KeyValue(key) => self.elsewhere(key).ok_or(ResolveStatus::OtherReasons),
            Reference::Secret(secret) => match self.vault(&secret.vault) {
                Some(_) if !identity.resolves() => Err(ResolveStatus::MsiNotEnabled),
                Some(vault) => self.secret(app, vault, secret),
                None => self.elsewhere(&secret.name).ok_or(ResolveStatus::VaultNotFound),
            },
        };
        Some(match resolution {
            Ok((value, version, planted)) => {
                let (status, value) = (ResolveStatus::Resolved, Some(value));
                Resolution { reference, status, value, version, planted }
            }
            Err(status) => Resolution { reference, status, value: None, version: None, planted: Vec::new() },
        })
    }

    fn vault(&self, name: &str) -> Option<&Vault> {
        self.vaults.iter().find(|vault| vault.id.name.eq_ignore_ascii_case(name))
    }

    fn elsewhere(&self, name: &str) -> Option<Led> {
        self.elsewhere.get(name).map(|value| (value.clone(), None, Vec::new()))
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
        Ok((version.content.expose().to_owned(), Some(version.id.clone()), version.planted.clone()))
    }
}

/// A value, the version of the secret that it is of, and the keys that were planted in it.
type Led = (String, Option<String>, Vec<Key>);

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
