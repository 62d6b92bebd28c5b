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
    /// A key-value of App Configuration.
    KeyValue(KeyValueName),
    /// It begins as a reference to something of this service and is none.
    Malformed(Source),
}

/// What references lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    KeyVault,
    AppConfiguration,
}

/// Which key-value. In the key and the label case counts (docs: App Configuration, Keys and values).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyValueName {
    /// The name of the store, in lower case; the whole host where that is no store's.
    pub(crate) store: String,
    pub(crate) key: String,
    pub(crate) label: Option<String>,
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

/// Those of App Configuration stores (azure-sdk-for-js, endpoints of the clouds), and here.
const STORE_DOMAINS: [&str; 7] = [
    ".azconfig.io",
    ".azconfig.azure.us",
    ".azconfig.azure.cn",
    ".appconfig.io",
    ".appconfig.azure.us",
    ".appconfig.azure.cn",
    ".azconfig.localhost",
];

/// Reads a setting's value; nothing if it is an ordinary one.
pub(crate) fn read(text: &str) -> Option<Reference> {
    let (kind, inside) = text.trim().strip_prefix('@')?.split_once('(')?;
    let inside = inside.strip_suffix(')');
    match (kind.trim().to_lowercase().as_str(), inside) {
        ("microsoft.keyvault", inside) => {
            Some(inside.and_then(secret).unwrap_or(Reference::Malformed(Source::KeyVault)))
        }
        ("microsoft.appconfiguration", inside) => {
            Some(inside.and_then(key_value).unwrap_or(Reference::Malformed(Source::AppConfiguration)))
        }
        _ => None,
    }
}

/// Which secret a URL names.
pub(crate) fn at_url(url: &str) -> Option<SecretName> {
    in_uri(&url.trim().to_lowercase())
}

/// The name of the vault that a host in lower case is of; a port may follow.
pub(crate) fn vault_at(host: &str) -> Option<&str> {
    below(host, &DOMAINS)
}

/// The name of the App Configuration store that a host in lower case is of; a port may follow.
pub(crate) fn store_at(host: &str) -> Option<&str> {
    below(host, &STORE_DOMAINS)
}

fn below<'a>(host: &'a str, domains: &[&str]) -> Option<&'a str> {
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let name = domains.iter().find_map(|domain| host.strip_suffix(domain))?;
    (!name.is_empty() && !name.contains('.')).then_some(name)
}

/// `Endpoint=…; Key=…`, and perhaps `Label=…`.
fn key_value(inside: &str) -> Option<Reference> {
    let endpoint = Url::parse(&part(inside, "Endpoint")?).ok()?;
    let host = endpoint.host_str()?;
    let store = store_at(host).unwrap_or(host).to_owned();
    let (key, label) = (part(inside, "Key")?, part(inside, "Label"));
    Some(Reference::KeyValue(KeyValueName { store, key, label }))
}

/// `SecretUri=…`, or `VaultName=…;SecretName=…` and perhaps `SecretVersion=…`.
fn secret(inside: &str) -> Option<Reference> {
    let lower = |name: &str| part(inside, name).map(|value| value.to_lowercase());
    let name = match lower("SecretUri") {
        Some(uri) => in_uri(&uri)?,
        None => SecretName {
            vault: lower("VaultName")?,
            name: lower("SecretName")?,
            version: lower("SecretVersion"),
        },
    };
    Some(Reference::Secret(name))
}

/// The secret that a URL names.
pub(crate) fn in_uri(uri: &str) -> Option<SecretName> {
    let url = Url::parse(&uri.to_lowercase()).ok()?;
    let host = url.host_str()?;
    let words: Vec<&str> = url.path_segments()?.filter(|word| !word.is_empty()).collect();
    let (name, version) = match words[..] {
        ["secrets", name] => (name, None),
        ["secrets", name, version] => (name, Some(version.to_owned())),
        _ => return None,
    };
    Some(SecretName { vault: vault_at(host).unwrap_or(host).to_owned(), name: name.to_owned(), version })
}

/// The part of this name; nothing if it is empty.
fn part(inside: &str, wanted: &str) -> Option<String> {
    let mut parts = inside.split(';').filter_map(|part| part.split_once('='));
    let (_, value) = parts.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
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
    fn a_key_value_is_named_by_its_store_key_and_label() {
        for (inside, store, key, label) in [
            (
                "Endpoint=https://s-1.azconfig.io; Key=Chat:SignalR; Label=Prod",
                "s-1",
                "Chat:SignalR",
                Some("Prod"),
            ),
            ("Endpoint=https://S-1.azconfig.io/;Key=a=b", "s-1", "a=b", None),
            ("endpoint = https://s-1.azconfig.azure.us ; KEY = chat ; label = ", "s-1", "chat", None),
            ("Endpoint=https://s-1.azconfig.localhost:7401; Key=chat", "s-1", "chat", None),
            ("Endpoint=https://s-1.example; Key=chat", "s-1.example", "chat", None),
        ] {
            let name = KeyValueName { store: store.into(), key: key.into(), label: label.map(str::to_owned) };
            let text = format!("@Microsoft.AppConfiguration({inside})");
            assert_eq!(read(&text), Some(Reference::KeyValue(name)), "{text}");
        }
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
            assert_eq!(read(text), Some(Reference::Malformed(Source::KeyVault)), "{text}");
        }
        for text in [
            "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io)",
            "@Microsoft.AppConfiguration(Endpoint=s.azconfig.io; Key=chat)",
            "@Microsoft.AppConfiguration(Key=chat; Label=prod)",
            "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=chat",
        ] {
            assert_eq!(read(text), Some(Reference::Malformed(Source::AppConfiguration)), "{text}");
        }
        for text in ["", "chat", "@Microsoft.Other(Key=x)", "see @Microsoft.KeyVault(SecretName=x)"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
