//! Settings that say where their value is, and do not hold it.

/// A reference that App Service, or the app itself, resolves. What it leads to is never overwritten by a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// To which kind of store it leads.
    pub store: ReferenceStore,
    /// What it names there: the secret, or the key. Empty where that cannot be read.
    pub names: Vec<String>,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceStore {
    /// A Key Vault, or something else behind a reference of App Service that we do not know.
    KeyVault,
    /// App Configuration.
    AppConfiguration,
}

impl Reference {
    /// Reads a setting's value: `@Microsoft.KeyVault(SecretUri=…)` or `(VaultName=…;SecretName=…)` (docs: Use Key Vault
    /// references), `@Microsoft.AppConfiguration(Endpoint=…; Key=…)` (docs: Use App Configuration references), or the URL
    /// of a secret in any text, as a value of App Configuration or of an app's own has it. Case and blanks mean nothing.
    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        let text: String =
            value.chars().filter(|sign| !sign.is_whitespace()).flat_map(char::to_lowercase).collect();
        let named = |member: &str| {
            let parts = text.split(['(', ';', ')']);
            parts.filter_map(|part| part.strip_prefix(member)?.strip_prefix('=').map(str::to_owned)).collect()
        };
        if text.starts_with("@microsoft.appconfiguration(") {
            return Some(Self { store: ReferenceStore::AppConfiguration, names: named("key") });
        }
        let of_urls = secrets(&text);
        let is_reference = text.starts_with("@microsoft.") || !of_urls.is_empty();
        let names = [named("secretname"), of_urls].concat();
        is_reference.then_some(Self { store: ReferenceStore::KeyVault, names })
    }

    /// Whether a name within it tells that it leads to something of SignalR.
    #[must_use]
    pub fn names_signalr(&self) -> bool {
        self.names.iter().any(|name| names_signalr(name))
    }
}

/// The names of secrets in URLs like `https://{vault}.vault.azure.net/secrets/{name}/{version}`.
fn secrets(text: &str) -> Vec<String> {
    let urls = text.split("https://").skip(1).filter_map(|url| url.split_once("/secrets/"));
    let of_vaults = urls.filter(|(host, _)| host.contains(".vault") && !host.contains('/'));
    let name = |rest: &str| {
        rest.split(|sign: char| !sign.is_alphanumeric() && sign != '-').next().map(str::to_owned)
    };
    of_vaults.filter_map(|(_, rest)| name(rest)).filter(|name| !name.is_empty()).collect()
}

/// Whether a name speaks of SignalR, however it is written: `AzureSignalR__Connection`, `chat-signal-r`.
#[must_use]
pub fn names_signalr(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    letters.to_lowercase().contains("signalr")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_in_every_syntax() {
        use ReferenceStore::{AppConfiguration, KeyVault};
        for (value, store, name) in [
            (
                "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/Chat-SignalR/)",
                KeyVault,
                "chat-signalr",
            ),
            (
                "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/a/0123456789abcdef)",
                KeyVault,
                "a",
            ),
            ("@microsoft.keyvault( VaultName = v ; SecretName = a ; SecretVersion = 1 )", KeyVault, "a"),
            (" @ Microsoft.KeyVault (VaultName=v;SecretName=a)", KeyVault, "a"),
            ("https://v.vault.azure.cn/secrets/a", KeyVault, "a"),
            ("https://v.vault.usgovcloudapi.net/secrets/a?api-version=7.5", KeyVault, "a"),
            (r#"{"uri":"https://v.vault.azure.net/secrets/a"}"#, KeyVault, "a"),
            (
                "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=chat:signalr; Label=prod)",
                AppConfiguration,
                "chat:signalr",
            ),
            ("@MICROSOFT.APPCONFIGURATION(endpoint=https://s.azconfig.io;key=a)", AppConfiguration, "a"),
        ] {
            let read = Reference::read(value).unwrap();
            assert_eq!((read.store, &read.names[..]), (store, &[name.to_owned()][..]), "{value}");
        }
        for value in [
            "",
            "Endpoint=https://chat;AccessKey=k;",
            "https://v.vault.azure.net/",
            "@Microsoft",
            "secrets/a",
        ] {
            assert_eq!(Reference::read(value), None, "{value}");
        }
    }

    #[test]
    fn names_speak_of_signalr_however_they_are_written() {
        for name in ["AzureSignalRConnectionString", "SIGNALR_ACCESS_KEY", "chat-signal-r", "Azure:SignalR:X"]
        {
            assert!(names_signalr(name), "{name}");
        }
        assert!(!names_signalr("Signal") && !names_signalr("DbPassword"));
    }
}
