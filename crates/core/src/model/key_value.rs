//! Key-values of App Configuration, and how the settings of apps refer to them.
//!
//! Start at [`KeyValueId`].

use std::fmt;
use std::str::FromStr;

use super::id::IdError;
use super::secret::is_host;

/// A key-value of an App Configuration store: the store's host, which knows of no case, and its key and label, which do.
///
/// Its text is the URL by which it is read, with all in the key and label escaped that may mean something elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyValueId {
    host: String,
    key: String,
    label: Option<String>,
}

/// Key and value together may have 10 KiB (docs: App Configuration, keys and values).
const LONGEST: usize = 10 << 10;

impl KeyValueId {
    /// How one is written.
    pub const TEMPLATE: &'static str = "https://{store}.azconfig.io/kv/{key}?label={label}";

    /// Nothing where the endpoint is no URL of a host alone, or the key one that Azure does not take: it has no `%`, and is
    /// neither `.` nor `..` (docs: App Configuration, keys and values). An empty label is none.
    pub fn new(endpoint: &str, key: &str, label: Option<&str>) -> Option<Self> {
        let (scheme, rest) = endpoint.split_at_checked("https://".len())?;
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let host = host.strip_suffix(":443").unwrap_or(host).to_ascii_lowercase();
        let label = label.filter(|label| !label.is_empty() && *label != "\0");
        let is_text = |text: &str| text.len() <= LONGEST && !text.contains(char::is_control);
        let is_key = !key.is_empty() && ![".", ".."].contains(&key) && !key.contains('%') && is_text(key);
        let is_one = scheme.eq_ignore_ascii_case("https://") && is_host(&host) && label.is_none_or(is_text);
        (is_one && is_key).then(|| Self { host, key: key.to_owned(), label: label.map(ToOwned::to_owned) })
    }

    /// Reads a whole value, `@Microsoft.AppConfiguration(Endpoint=…; Key=…; Label=…)` (docs: Use App Configuration
    /// references). Whether case and blanks around its parts matter is not documented, so they do not here. Nothing where
    /// any of it is not understood.
    pub fn of_reference(value: &str) -> Option<Self> {
        let (head, rest) = value.trim().split_once('(')?;
        let head: String = head.chars().filter(|sign| !sign.is_whitespace()).collect();
        let is_one = head.eq_ignore_ascii_case("@Microsoft.AppConfiguration");
        let members = rest.strip_suffix(')').filter(|_| is_one)?;
        let (mut endpoint, mut key, mut label) = (None, None, None);
        for member in members.split(';').filter(|member| !member.trim().is_empty()) {
            let (name, value) = member.split_once('=')?;
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                "endpoint" => &mut endpoint,
                "key" => &mut key,
                "label" => &mut label,
                _ => return None,
            };
            if slot.replace(value.trim()).is_some() {
                return None;
            }
        }
        Self::new(endpoint?, key?, label)
    }

    /// The host of the store.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// What people call it: the store's own name, without its cloud's domain, the key, and the label if it has one.
    pub fn name(&self) -> String {
        let store = self.host.split('.').next().unwrap_or_default();
        let label = self.label.as_ref().map(|label| format!(" [{label}]")).unwrap_or_default();
        format!("{store}/{}{label}", self.key)
    }

    /// Whether its host is that of a store below one of a cloud's suffixes: nothing else is given a token.
    pub fn is_below(&self, suffixes: &[&str]) -> bool {
        let store = |suffix: &&str| self.host.strip_suffix(*suffix).and_then(|store| store.strip_suffix('.'));
        let mut stores = suffixes.iter().filter_map(store);
        stores.any(|store| !store.is_empty() && !store.contains('.'))
    }
}

impl FromStr for KeyValueId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let read = || {
            let (path, query) = text.split_once('?').map_or((text, None), |(path, rest)| (path, Some(rest)));
            let (endpoint, key) = path.split_once("/kv/")?;
            let label = match query {
                None => None,
                Some(query) => Some(decoded(query.strip_prefix("label=")?)?),
            };
            Self::new(endpoint, &decoded(key)?, label.as_deref())
        };
        read().ok_or_else(|| IdError { text: text.into(), wanted: Self::TEMPLATE, fault: None })
    }
}

impl fmt::Display for KeyValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}/kv/{}", self.host, encoded(&self.key))?;
        self.label.as_ref().map_or(Ok(()), |label| write!(f, "?label={}", encoded(label)))
    }
}

impl fmt::Debug for KeyValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text as a part of a URL: what RFC 3986 calls unreserved stands as it is, and the colon, which most keys have.
fn encoded(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(byte);
    text.bytes()
        .map(|byte| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Reads such a part; nothing if it is none.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let (sign, rest) = part.split_at_checked(2)?;
        let is_hex = sign.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(sign, 16).ok().filter(|_| is_hex)?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "https://store.azconfig.io";

    #[test]
    fn references_are_read_in_the_documented_form() {
        let plain = KeyValueId::new(ENDPOINT, "signalr:chat", None).unwrap();
        let labelled = KeyValueId::new(ENDPOINT, "signalr:chat", Some("Prod")).unwrap();
        let blanks = KeyValueId::new(ENDPOINT, "a key=1", Some("b c")).unwrap();
        for (inside, wanted) in [
            ("Endpoint=https://store.azconfig.io; Key=signalr:chat", &plain),
            ("Endpoint=https://store.azconfig.io; Key=signalr:chat; Label=", &plain),
            ("Endpoint=https://store.azconfig.io; Key=signalr:chat; Label=Prod", &labelled),
            ("label=Prod;key=signalr:chat;endpoint=HTTPS://Store.azconfig.io:443/;", &labelled),
            (" Endpoint = https://store.azconfig.io/ ;Key= a key=1 ; Label = b c ", &blanks),
        ] {
            for value in [
                format!("@Microsoft.AppConfiguration({inside})"),
                format!(" @MICROSOFT.appconfiguration ({inside}) "),
            ] {
                assert_eq!(KeyValueId::of_reference(&value).as_ref(), Some(wanted), "{value}");
            }
        }
        assert_ne!(plain, KeyValueId::new(ENDPOINT, "SignalR:chat", None).unwrap(), "case counts in keys");
    }

    #[test]
    fn what_is_not_understood_is_no_reference() {
        for inside in [
            "",
            "Key=a",
            "Endpoint=https://store.azconfig.io",
            "Endpoint=http://store.azconfig.io; Key=a",
            "Endpoint=https://me@store.azconfig.io; Key=a",
            "Endpoint=https://store.azconfig.io/x; Key=a",
            "Endpoint=https://store.azconfig.io?x; Key=a",
            "Endpoint=https://store.azconfig.io:444; Key=a",
            "Endpoint=https://localhost; Key=a",
            "Endpoint=https://store.azconfig.io; Key=%41",
            "Endpoint=https://store.azconfig.io; Key=..",
            "Endpoint=https://store.azconfig.io; Key=a; Key=b",
            "Endpoint=https://store.azconfig.io; Key=a; Snapshot=b",
            "Endpoint=https://store.azconfig.io; Key=a; Label",
        ] {
            let value = format!("@Microsoft.AppConfiguration({inside})");
            assert_eq!(KeyValueId::of_reference(&value), None, "{value}");
        }
        for value in [
            "",
            "x@Microsoft.AppConfiguration(Endpoint=https://store.azconfig.io; Key=a)",
            "@Microsoft.AppConfiguration(Endpoint=https://store.azconfig.io; Key=a",
            "@Microsoft.KeyVault(Endpoint=https://store.azconfig.io; Key=a)",
        ] {
            assert_eq!(KeyValueId::of_reference(value), None, "{value}");
        }
    }

    #[test]
    fn its_text_is_a_url_and_is_read_again() {
        for (key, label, text) in [
            ("signalr", None, "https://store.azconfig.io/kv/signalr"),
            ("Azure:SignalR", Some("prod"), "https://store.azconfig.io/kv/Azure:SignalR?label=prod"),
            (
                ".appconfig/a b?c#d+ä",
                Some("x&y"),
                "https://store.azconfig.io/kv/.appconfig%2Fa%20b%3Fc%23d%2B%C3%A4?label=x%26y",
            ),
        ] {
            let id = KeyValueId::new(ENDPOINT, key, label).unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id.clone()));
            assert_eq!((id.host(), id.key(), id.label()), ("store.azconfig.io", key, label));
        }
        for text in [
            "",
            "https://store.azconfig.io/kv/",
            "https://store.azconfig.io/kv/a?x=1",
            "https://store.azconfig.io/kv/%zz",
            "store/kv/a",
        ] {
            assert!(text.parse::<KeyValueId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_store_is_one_label_below_a_suffix() {
        let suffixes = ["azconfig.io", "azconfig.azure.us"];
        for (host, is_one) in [
            ("store.azconfig.io", true),
            ("store.azconfig.azure.us", true),
            ("azconfig.io", false),
            ("a.store.azconfig.io", false),
            ("storeazconfig.io", false),
            ("store.azconfig.io.evil.example", false),
            ("store.vault.azure.net", false),
        ] {
            let id = KeyValueId::new(&format!("https://{host}"), "a", None).unwrap();
            assert_eq!(id.is_below(&suffixes), is_one, "{host}");
        }
    }
}
