//! Connection strings, parsed as the SDK does and changed in one place only: the value of `AccessKey`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Key;

/// A connection string of Azure SignalR Service (docs: Connection string in Azure SignalR Service; grammar as in the
/// .NET SDK's `ConnectionStringParser`): parts `name=value` joined by `;`, split at their first `=`, names without
/// regard to case. The text is kept as it is, so that replacing the key leaves order, case and blanks alone.
///
/// Guarantee: [`ConnectionString::with_key`] changes the characters of the key and nothing else.
#[derive(Clone)]
pub struct ConnectionString {
    text: SecretString,
    host: String,
    /// Where the key stands in `text`; none in an identity-based string.
    key: Option<std::ops::Range<usize>>,
}

/// Why a text is not a connection string. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer than two `name=value` parts.
    #[error("it has fewer than two parts of the form name=value")]
    TooFewParts,
    /// The SDK refuses a name that stands twice.
    #[error("a part stands in it twice")]
    Duplicate,
    /// No `Endpoint`, or one that is no http(s) URL.
    #[error("its Endpoint is missing or is no http(s) URL")]
    Endpoint,
    /// Neither a key nor an `AuthType`.
    #[error("it has neither an AccessKey nor an AuthType")]
    NoKey,
    /// A version other than 1.x.
    #[error("its Version is not 1.x")]
    Version,
    /// A port outside 1 to 65535.
    #[error("its Port is not within 1 to 65535")]
    Port,
}

/// The `AuthType` values that mean identity; the SDK takes every other as access key.
const IDENTITY_TYPES: [&str; 4] = ["azure", "azure.msi", "azure.app", "aad"];

impl ConnectionString {
    /// Reads a setting's value.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let parts = Parts::read(text)?;
        let endpoint = parts.value("endpoint").ok_or(Malformed::Endpoint)?;
        let url = Url::parse(endpoint).map_err(|_| Malformed::Endpoint)?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
        let host = host.ok_or(Malformed::Endpoint)?.to_lowercase();
        check_version_and_port(&parts)?;
        let auth = parts.value("authtype").unwrap_or_default().to_lowercase();
        let key = match parts.range("accesskey") {
            _ if IDENTITY_TYPES.contains(&auth.as_str()) => None,
            Some(range) if !range.is_empty() => Some(range),
            _ => return Err(Malformed::NoKey),
        };
        Ok(Self { text: SecretString::from(text), host, key })
    }

    /// The host of `Endpoint`, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The key it holds; none when it is identity-based.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.key.clone().map(|range| Key::new(&self.text.expose_secret()[range]))
    }

    /// The same string with another key; unchanged when it is identity-based.
    #[must_use]
    pub fn with_key(&self, key: &Key) -> Self {
        let Some(range) = self.key.clone() else { return self.clone() };
        let text = self.text.expose_secret();
        let changed = [&text[..range.start], key.expose(), &text[range.end..]].concat();
        let end = range.start + key.expose().len();
        Self { text: SecretString::from(changed), host: self.host.clone(), key: Some(range.start..end) }
    }

    /// The whole text, key included. For writing it into a setting; for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString").field("host", &self.host).field("key", &self.key()).finish()
    }
}

/// Whether a setting's value is a Key Vault reference (docs: Use Key Vault references): App Service hands the app
/// what it points at, so the value must never be replaced by a key.
#[must_use]
pub fn looks_like_key_vault_reference(value: &str) -> bool {
    value.trim_start().get(..20).is_some_and(|start| start.eq_ignore_ascii_case("@Microsoft.KeyVault("))
}

fn check_version_and_port(parts: &Parts<'_>) -> Result<(), Malformed> {
    if let Some(version) = parts.value("version") {
        let minor = version.strip_prefix("1.").ok_or(Malformed::Version)?;
        let digits = !minor.is_empty() && minor.chars().all(|digit| digit.is_ascii_digit() || digit == '.');
        digits.then_some(()).ok_or(Malformed::Version)?;
    }
    match parts.value("port").map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err(Malformed::Port),
    }
}

/// The `name=value` parts of a text, by the ranges of their values.
struct Parts<'text> {
    text: &'text str,
    values: Vec<(String, std::ops::Range<usize>)>,
}

impl<'text> Parts<'text> {
    fn read(text: &'text str) -> Result<Self, Malformed> {
        let mut values: Vec<(String, std::ops::Range<usize>)> = Vec::new();
        let mut start = 0;
        for part in text.split(';') {
            if let Some((name, value)) = part.split_once('=') {
                let name = name.trim().to_lowercase();
                if values.iter().any(|(known, _)| *known == name) {
                    return Err(Malformed::Duplicate);
                }
                let value_start = start + part.len() - value.trim_start().len();
                values.push((name, value_start..value_start + value.trim().len()));
            }
            start += part.len() + 1;
        }
        if values.len() < 2 { Err(Malformed::TooFewParts) } else { Ok(Self { text, values }) }
    }

    fn range(&self, name: &str) -> Option<std::ops::Range<usize>> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, range)| range.clone())
    }

    fn value(&self, name: &str) -> Option<&'text str> {
        self.range(name).map(|range| &self.text[range])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "b2xkLWtleS1vZi00NC1jaGFyYWN0ZXJzLWxpa2UtMjAyMQ==";

    #[test]
    fn the_key_changes_and_nothing_else() {
        let text = format!(
            " endpoint = https://Chat.service.signalr.net/ ;ClientEndpoint=https://gw.example.com; ACCESSKEY = {OLD} ;version=1.0;"
        );
        let changed = ConnectionString::parse(&text).unwrap().with_key(&Key::new("NEW=="));
        assert_eq!(changed.expose(), text.replace(OLD, "NEW=="));
        assert_eq!(changed.host(), "chat.service.signalr.net");
        assert_eq!(changed.key(), Some(Key::new("NEW==")));
    }

    #[test]
    fn identity_based_strings_have_no_key() {
        for auth in ["azure", "Azure.MSI", "aad"] {
            let text = format!("Endpoint=https://chat.service.signalr.net;AuthType={auth};Version=1.0;");
            let parsed = ConnectionString::parse(&text).unwrap();
            assert_eq!(parsed.key(), None);
            assert_eq!(parsed.with_key(&Key::new("k")).expose(), text);
        }
        let unknown = "Endpoint=https://chat.service.signalr.net;AuthType=nonsense;AccessKey=k;";
        assert!(ConnectionString::parse(unknown).unwrap().key().is_some());
    }

    #[test]
    fn what_the_sdk_refuses_is_refused() {
        let endpoint = "Endpoint=https://chat.service.signalr.net";
        for (text, why) in [
            (endpoint.to_owned(), Malformed::TooFewParts),
            ("AccessKey=k;Version=1.0;".to_owned(), Malformed::Endpoint),
            ("Endpoint=ftp://chat;AccessKey=k;".to_owned(), Malformed::Endpoint),
            (format!("{endpoint};Version=1.0;"), Malformed::NoKey),
            (format!("{endpoint};AccessKey=;Version=1.0;"), Malformed::NoKey),
            (format!("{endpoint};AccessKey=a;accesskey=b;"), Malformed::Duplicate),
            (format!("{endpoint};AccessKey=a;Version=2.0;"), Malformed::Version),
            (format!("{endpoint};AccessKey=a;Port=0;"), Malformed::Port),
        ] {
            assert_eq!(ConnectionString::parse(&text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn debug_holds_no_key() {
        let text = format!("Endpoint=https://chat.service.signalr.net;AccessKey={OLD};Version=1.0;");
        assert!(!format!("{:?}", ConnectionString::parse(&text).unwrap()).contains(OLD));
    }

    #[test]
    fn key_vault_references_are_recognised() {
        assert!(looks_like_key_vault_reference(
            "@microsoft.keyvault(SecretUri=https://v.vault.azure.net/secrets/s/)"
        ));
        assert!(!looks_like_key_vault_reference("Endpoint=https://chat;AccessKey=k;"));
    }
}
