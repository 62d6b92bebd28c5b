//! References in settings: which secret of which vault, or which key-value, a text names instead of a value.
//!
//! The whole value has to be the reference (docs: Use Key Vault references; Use App Configuration references). Whether case
//! and blanks matter no document says; here they do not.

use url::Url;

/// What a text refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A secret.
    Secret(SecretName),
    /// A key-value of App Configuration, by its key in lower case. Stores and labels are not told apart.
    KeyValue(String),
    /// It begins as a Key Vault reference and is none.
    Malformed,
}

/// Which secret, and in which version if it is pinned to one. Names are in lower case, for Key Vault's have none (docs:
/// About keys, secrets and certificates, object identifiers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretName {
    /// The name of the vault; the whole host where that is no vault's.
    pub(crate) vault: String,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

/// The hosts of vaults in Azure's clouds (docs: About keys, secrets and certificates), and here.
const DOMAINS: [&str; 4] = [".vault.azure.net", ".vault.usgovcloudapi.net", ".vault.azure.cn", ".localhost"];

/// Reads a setting's value; nothing if it is an ordinary one.
pub(crate) fn read(text: &str) -> Option<Reference> {
    let (kind, inside) = text.trim().strip_prefix('@')?.split_once('(')?;
    let inside = inside.strip_suffix(')');
    match (kind.trim().to_lowercase().as_str(), inside) {
        ("microsoft.keyvault", Some(inside)) => Some(secret(inside).unwrap_or(Reference::Malformed)),
        ("microsoft.keyvault", None) => Some(Reference::Malformed),
        ("microsoft.appconfiguration", Some(inside)) => part(inside, "Key").map(Reference::KeyValue),
        _ => None,
    }
}

/// Which secret a URL names.
pub(crate) fn at_url(url: &str) -> Option<SecretName> {
    in_uri(&url.trim().to_lowercase())
}

/// The name of the vault that a host in lower case is of; a port may follow.
pub(crate) fn vault_at(host: &str) -> Option<&str> {
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let name = DOMAINS.iter().find_map(|domain| host.strip_suffix(domain))?;
    (!name.is_empty() && !name.contains('.')).then_some(name)
}

/// `SecretUri=…`, or `VaultName=…;SecretName=…` and perhaps `SecretVersion=…`.
fn secret(inside: &str) -> Option<Reference> {
    let name = match part(inside, "SecretUri") {
        Some(uri) => in_uri(&uri)?,
        None => SecretName {
            vault: part(inside, "VaultName")?,
            name: part(inside, "SecretName")?,
            version: part(inside, "SecretVersion"),
        },
    };
    Some(Reference::Secret(name))
}

fn in_uri(uri: &str) -> Option<SecretName> {
    let url = Url::parse(uri).ok()?;
    let host = url.host_str()?;
    let words: Vec<&str> = url.path_segments()?.filter(|word| !word.is_empty()).collect();
    let (name, version) = match words[..] {
        ["secrets", name] => (name, None),
        ["secrets", name, version] => (name, Some(version.to_owned())),
        _ => return None,
    };
    Some(SecretName { vault: vault_at(host).unwrap_or(host).to_owned(), name: name.to_owned(), version })
}

/// The part of this name, in lower case; nothing if it is empty.
fn part(inside: &str, wanted: &str) -> Option<String> {
    let mut parts = inside.split(';').filter_map(|part| part.split_once('='));
    let (_, value) = parts.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
    Some(value.trim().to_lowercase()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(vault: &str, version: Option<&str>) -> Option<Reference> {
        let version = version.map(str::to_owned);
        Some(Reference::Secret(SecretName { vault: vault.into(), name: "chat".into(), version }))
    }

    #[test]
    fn every_documented_syntax_names_its_secret() {
        let version = "ec96f02080254f109c51a1f14cdb1931";
        for (inside, vault, pinned) in [
            ("SecretUri=https://kv-1.vault.azure.net/secrets/chat/", "kv-1", false),
            ("SecretUri=https://kv-1.vault.azure.net/secrets/chat", "kv-1", false),
            (
                "SecretUri=https://kv-1.vault.azure.net/secrets/chat/ec96f02080254f109c51a1f14cdb1931",
                "kv-1",
                true,
            ),
            ("VaultName=kv-1;SecretName=chat", "kv-1", false),
            ("VaultName=kv-1;SecretName=chat;SecretVersion=ec96f02080254f109c51a1f14cdb1931", "kv-1", true),
            ("SecretUri=https://kv-1.vault.azure.cn/secrets/Chat/", "kv-1", false),
            ("SecretUri=https://kv-1.localhost:7401/secrets/chat", "kv-1", false),
            ("SecretUri=https://kv-1.vault.example/secrets/chat", "kv-1.vault.example", false),
            ("SecretUri=https://a.kv-1.vault.azure.net/secrets/chat", "a.kv-1.vault.azure.net", false),
            (" vaultname = KV-1 ; secretname = chat ", "kv-1", false),
        ] {
            let text = format!("@Microsoft.KeyVault({inside})");
            assert_eq!(read(&text), named(vault, pinned.then_some(version)), "{text}");
        }
        assert_eq!(read(" @microsoft.keyvault(VaultName=kv;SecretName=chat) "), named("kv", None));
    }

    #[test]
    fn what_is_no_reference_is_told_apart_from_one_that_is_wrong() {
        for text in [
            "@Microsoft.KeyVault(SecretUri=chat)",
            "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/keys/chat)",
            "@Microsoft.KeyVault(VaultName=kv)",
            "@Microsoft.KeyVault(SecretName=chat)",
            "@Microsoft.KeyVault(VaultName=kv;SecretName=chat",
            "@Microsoft.KeyVault()",
        ] {
            assert_eq!(read(text), Some(Reference::Malformed), "{text}");
        }
        let key_value = "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=Chat; Label=x)";
        assert_eq!(read(key_value), Some(Reference::KeyValue("chat".into())));
        for text in ["", "chat", "@Microsoft.Other(Key=x)", "see @Microsoft.KeyVault(SecretName=x)"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
