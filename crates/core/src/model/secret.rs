//! Key Vault secrets, and how the settings of apps refer to them.
//!
//! Start at [`SecretId`] and [`SecretReference`].

use std::fmt;
use std::str::FromStr;

use super::id::IdError;
use super::name::AnyCase;

/// A secret of a Key Vault, whatever its version: the vault's host, which is in lower case as Azure answers it, and the
/// secret's name as somebody wrote it. Neither knows of case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId {
    host: String,
    name: AnyCase,
}

/// A reference of App Service to a secret, in one of the documented forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    pub secret: SecretId,
    /// The version that it names; the newest, where it names none.
    pub version: Option<String>,
}

impl SecretId {
    /// How one is written.
    pub const TEMPLATE: &'static str = "https://{vault}.vault.azure.net/secrets/{name}";

    /// Nothing where a name is not one that Azure would have given: names are letters, digits and hyphens, of vaults at most
    /// 24, of secrets at most 127 (docs: Key Vault, object identifiers).
    pub fn new(host: &str, name: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        (is_host(&host) && is_name(name, 127)).then(|| Self { host, name: AnyCase::new(name) })
    }

    /// The host of the vault.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The vault's own name, without its cloud's domain.
    pub fn vault(&self) -> &str {
        self.host.split('.').next().unwrap_or_default()
    }

    /// Whether its host is that of a vault below a cloud's suffix: nothing else is given a token.
    pub fn is_below(&self, suffix: &str) -> bool {
        let vault = self.host.strip_suffix(suffix).and_then(|vault| vault.strip_suffix('.'));
        vault.is_some_and(|vault| !vault.is_empty() && !vault.contains('.'))
    }

    /// The secret's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    fn of_url(url: &str) -> Option<SecretReference> {
        let (scheme, rest) = url.split_at_checked("https://".len())?;
        let mut parts = rest.trim_end_matches('/').split('/');
        let (host, folder, name) = (parts.next()?, parts.next()?, parts.next()?);
        let version = parts.next().map(str::to_ascii_lowercase);
        let is_one = scheme.eq_ignore_ascii_case("https://") && folder.eq_ignore_ascii_case("secrets");
        let is_version =
            |version: &String| !version.is_empty() && version.bytes().all(|sign| sign.is_ascii_hexdigit());
        let ends = parts.next().is_none() && version.as_ref().is_none_or(is_version);
        let secret = Self::new(host.strip_suffix(":443").unwrap_or(host), name)?;
        (is_one && ends).then_some(SecretReference { secret, version })
    }
}

impl FromStr for SecretId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fault = || IdError { text: text.into(), wanted: Self::TEMPLATE, fault: None };
        let read = Self::of_url(text.trim()).filter(|read| read.version.is_none());
        read.map(|read| read.secret).ok_or_else(fault)
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}/secrets/{}", self.host, self.name())
    }
}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SecretReference {
    /// Reads the URL of a secret, and of a version of it, if there is one.
    pub fn of_url(url: &str) -> Option<Self> {
        SecretId::of_url(url.trim())
    }

    /// Reads a whole value, `@Microsoft.KeyVault(SecretUri=…)` or `(VaultName=…;SecretName=…;SecretVersion=…)` (docs: Use Key
    /// Vault references); `suffix` is what the platform puts behind a vault's name. Whether case and blanks matter is not
    /// documented, so they do not here. Nothing where any of it is not understood.
    pub fn read(value: &str, suffix: &str) -> Option<Self> {
        let text: String = value.chars().filter(|sign| !sign.is_whitespace()).collect();
        let (head, rest) = text.split_at_checked("@Microsoft.KeyVault(".len())?;
        let members = rest.strip_suffix(')').filter(|_| head.eq_ignore_ascii_case("@Microsoft.KeyVault("))?;
        let (mut uri, mut vault, mut name, mut version) = (None, None, None, None);
        for member in members.split(';').filter(|member| !member.is_empty()) {
            let (key, value) = member.split_once('=')?;
            let slot = match key.to_ascii_lowercase().as_str() {
                "secreturi" => &mut uri,
                "vaultname" => &mut vault,
                "secretname" => &mut name,
                "secretversion" => &mut version,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        match (uri, vault, name, version) {
            (Some(uri), None, None, None) => SecretId::of_url(uri),
            (None, Some(vault), Some(name), version) => {
                let version = version.filter(|version| !version.is_empty());
                let version = version.map_or(String::new(), |version| format!("/{version}"));
                SecretId::of_url(&format!("https://{vault}.{suffix}/secrets/{name}{version}"))
            }
            _ => None,
        }
    }
}

/// Whether a text is the name of a host that is below some domain.
pub(super) fn is_host(text: &str) -> bool {
    text.split('.').all(|label| is_name(label, 63)) && text.contains('.')
}

fn is_name(text: &str, most: usize) -> bool {
    let signs = text.bytes().all(|sign| sign.is_ascii_alphanumeric() || sign == b'-');
    signs && !text.is_empty() && text.len() <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn references_are_read_in_the_documented_forms() {
        let secret = SecretId::new("chat.vault.azure.net", "signalr").unwrap();
        assert_eq!(secret.to_string(), "https://chat.vault.azure.net/secrets/signalr");
        assert_eq!(secret.to_string().parse(), Ok(secret.clone()));
        for (value, version) in [
            ("@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/secrets/signalr/)", None),
            ("@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/secrets/signalr)", None),
            ("@Microsoft.KeyVault(SecretUri=https://Chat.vault.azure.net:443/secrets/SignalR)", None),
            (" @microsoft.keyvault( SecretUri = HTTPS://chat.vault.azure.net/secrets/signalr/ ) ", None),
            (
                "@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/secrets/signalr/\
                 0123456789ABCDEF0123456789abcdef)",
                Some(VERSION),
            ),
            ("@Microsoft.KeyVault(VaultName=chat;SecretName=signalr)", None),
            ("@Microsoft.KeyVault(VaultName=chat; SecretName=signalr; SecretVersion=)", None),
            (
                "@Microsoft.KeyVault(VaultName=chat;SecretName=signalr;\
                 SecretVersion=0123456789abcdef0123456789abcdef)",
                Some(VERSION),
            ),
        ] {
            let version = version.map(ToOwned::to_owned);
            let read = SecretReference { secret: secret.clone(), version };
            assert_eq!(SecretReference::read(value, "vault.azure.net"), Some(read), "{value}");
        }
    }

    #[test]
    fn a_secret_is_shown_as_it_is_written_and_compared_without_case() {
        let url = "https://chat.vault.azure.net/secrets/SignalR-Chat";
        let written: SecretId = url.parse().unwrap();
        assert_eq!((written.to_string().as_str(), written.name()), (url, "SignalR-Chat"));
        assert_eq!(url.to_lowercase().parse(), Ok(written.clone()));
        let reference = "@Microsoft.KeyVault(VaultName=Chat;SecretName=SignalR-Chat)";
        let read = SecretReference::read(reference, "vault.azure.net").unwrap().secret;
        assert_eq!((read.to_string().as_str(), read), (url, written));
    }

    #[test]
    fn what_is_not_understood_is_no_reference() {
        for value in [
            "",
            "@Microsoft.KeyVault()",
            "@Microsoft.KeyVault(SecretUri=http://chat.vault.azure.net/secrets/signalr)",
            "@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/keys/signalr)",
            "@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/secrets/)",
            "@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/secrets/signalr/latest)",
            "@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/secrets/signalr/0/1)",
            "@Microsoft.KeyVault(SecretUri=https://me@chat.vault.azure.net/secrets/signalr)",
            "@Microsoft.KeyVault(SecretUri=https://chat.vault.azure.net/secrets/a?x=/)",
            "@Microsoft.KeyVault(VaultName=chat.evil.example/;SecretName=signalr)",
            "@Microsoft.KeyVault(VaultName=chat;SecretName=signalr;SecretName=other)",
            "@Microsoft.KeyVault(VaultName=chat;SecretName=signalr",
            "x@Microsoft.KeyVault(VaultName=chat;SecretName=signalr)",
            "@Microsoft.AppConfiguration(VaultName=chat;SecretName=signalr)",
        ] {
            assert_eq!(SecretReference::read(value, "vault.azure.net"), None, "{value}");
        }
    }
}
