//! Connection strings, parsed as Microsoft's SDK does and changed in one place only: the value of `AccessKey`.

use std::fmt;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Host;

use super::Key;

/// A connection string of Azure SignalR Service (docs: Connection string in Azure SignalR Service; grammar as in
/// `ConnectionStringParser` of Microsoft.Azure.SignalR): parts `name=value` joined by `;`, split at their first `=`,
/// names without regard to case. The text is kept as it is, so that replacing the key leaves order, case and blanks alone.
///
/// Whatever a version of the SDK would connect with is taken, for an app that is not seen is cut off: a part that one
/// version refuses and another does not look at (`ClientEndpoint`, `ServerEndpoint`, what belongs to `AuthType`) is not
/// judged. A non-empty `AccessKey` is the key, whatever `AuthType` says, as it is to the SDK.
///
/// Guarantee: [`ConnectionString::with_key`] changes the characters of the key and nothing else.
#[derive(Clone)]
pub struct ConnectionString {
    text: SecretString,
    host: String,
    /// The hosts of `ServerEndpoint` and `ClientEndpoint`.
    other_hosts: Vec<String>,
    /// Where the key stands in `text`; none in an identity-based string.
    key: Option<Range<usize>>,
    has_auth_type: bool,
}

/// Why no version of the SDK takes a text as a connection string. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Malformed {
    /// Fewer than two parts.
    TooFewParts,
    /// The SDK refuses a name that stands twice.
    Duplicate,
    /// No `Endpoint`, or one that is no http(s) URL.
    Endpoint,
    /// A version other than 1.x.
    Version,
    /// A port outside 1 to 65535.
    Port,
}

impl ConnectionString {
    /// Reads a setting's value.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let parts = Parts::read(text)?;
        let host = parts.value("endpoint").and_then(host_of).ok_or(Malformed::Endpoint)?;
        check_version_and_port(&parts)?;
        let others = ["serverendpoint", "clientendpoint"].map(|name| parts.value(name).and_then(host_of));
        Ok(Self {
            text: SecretString::from(text),
            host,
            other_hosts: others.into_iter().flatten().collect(),
            key: parts.range("accesskey").filter(|range| !range.is_empty()),
            has_auth_type: parts.value("authtype").is_some_and(|kind| !kind.is_empty()),
        })
    }

    /// What stands in the place of the key in a text that was meant for a connection string, valid or not.
    pub fn attempted_key(text: &str) -> Option<&str> {
        let parts = split(text);
        let value = |name: &str| {
            let part = parts.iter().find(|(known, range)| same_name(known, name) && !range.is_empty());
            part.map(|(_, range)| &text[range.clone()])
        };
        value("endpoint").and(value("accesskey"))
    }

    /// The host of `Endpoint`, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The hosts of all its endpoints, that of `Endpoint` first: the SDK sends its calls to `ServerEndpoint`, and behind a
    /// gateway that, or `ClientEndpoint`, may be what names the service.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.host).chain(&self.other_hosts).map(String::as_str)
    }

    /// The key it holds; none when it is identity-based.
    pub fn key(&self) -> Option<Key> {
        self.key.clone().map(|range| Key::new(&self.text.expose_secret()[range]))
    }

    /// Where its key stands in the text.
    pub fn key_range(&self) -> Option<Range<usize>> {
        self.key.clone()
    }

    /// Whether it says how to connect by identity. Beside a key that means nothing.
    pub const fn has_auth_type(&self) -> bool {
        self.has_auth_type
    }

    /// Whether something else is meant to put the key in the place of what stands there now.
    pub fn has_placeholder(&self) -> bool {
        self.key.clone().is_some_and(|range| is_placeholder(&self.text.expose_secret()[range]))
    }

    /// The same string with another key; unchanged when it is identity-based.
    #[must_use]
    pub fn with_key(&self, key: &Key) -> Self {
        let Some(range) = self.key.clone() else { return self.clone() };
        let text = self.text.expose_secret();
        let changed = [&text[..range.start], key.expose(), &text[range.end..]].concat();
        let end = range.start + key.expose().len();
        Self { text: SecretString::from(changed), key: Some(range.start..end), ..self.clone() }
    }

    /// The whole text, key included. For writing it into a setting; for nothing else.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString").field("host", &self.host).field("key", &self.key()).finish()
    }
}

/// The pairs of signs between which templates, pipelines and shells name what they put in.
const PLACEHOLDERS: [(&str, &str); 8] =
    [("%", "%"), ("{", "}"), ("$(", ")"), ("${", "}"), ("#{", "}#"), ("<", ">"), ("[", "]"), ("__", "__")];

/// Nearly as long as the shortest key that Azure ever made, 32 bytes in base64. No placeholder is such a word.
const SHORTEST_KEY: usize = 40;

/// Whether a text that people write, and that is kept or shown, has a key in it: beside `AccessKey`, or as a word that looks like
/// one. The keys that Azure makes are of 43 signs or more and mix both cases and digits; hashes and ids of one case do not.
pub fn holds_a_secret(text: &str) -> bool {
    let is_key = |word: &str| {
        let is_any = |of: fn(&char) -> bool| word.chars().any(|sign| of(&sign));
        word.len() >= SHORTEST_IN_TEXT
            && is_any(char::is_ascii_uppercase)
            && is_any(char::is_ascii_lowercase)
            && is_any(char::is_ascii_digit)
    };
    let holds_key = |word: &str| {
        let is_url = word.contains("://");
        word.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '+' || (sign == '/' && !is_url)))
            .any(is_key)
    };
    ConnectionString::parse(text).is_ok()
        || text.to_ascii_lowercase().contains("accesskey=")
        || text.split_whitespace().any(holds_key)
}

/// 32 bytes in base64, without the sign that fills it up.
const SHORTEST_IN_TEXT: usize = 43;

/// Whether a text is there to be replaced by something else before an app reads it: a reference of App Service, or a
/// name between the signs of a template. A key between such signs is no name.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let inner = |(open, close): &(&str, &str)| text.strip_prefix(open)?.strip_suffix(close);
    let is_key_like = |sign: char| sign.is_ascii_alphanumeric() || "+/".contains(sign);
    let is_name = |inner: &str| {
        !inner.is_empty() && inner.split(|sign| !is_key_like(sign)).all(|word| word.len() < SHORTEST_KEY)
    };
    text.starts_with('@') || PLACEHOLDERS.iter().filter_map(inner).any(is_name)
}

/// The host of an absolute http(s) URL as .NET's `Uri` reads it, in lower case and as it is asked for in DNS; none where
/// `Uri` takes the text for no such URL.
///
/// A parser of URLs for browsers will not do: it reads `https:/host` and `https://a%2Eb`, which `Uri` refuses, and it refuses labels that
/// begin with `xn--` and are no Punycode, which `Uri` takes. Signs beyond ASCII, and what a
/// label begins with, are not judged, but taken.
pub fn host_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim_end_matches('/').trim().split_once(':')?;
    let is_known = ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let slash = ['/', '\\'];
    let rest = rest.strip_prefix(slash)?.strip_prefix(slash).filter(|_| is_known)?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains('\\') {
        return None;
    }
    let host = authority.split_once('@').map_or(authority, |(_, host)| host);
    if let Some(address) = host.strip_prefix('[') {
        return of_address(address);
    }
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let plain = |sign: char| !sign.is_ascii() || sign.is_ascii_alphanumeric() || "-_.".contains(sign);
    // The dot of the root may stand at the end, and means the same host.
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_host = host.chars().all(plain) && host.split('.').all(|label| !label.is_empty());
    let as_asked = || Host::parse(host).map_or_else(|_| host.to_lowercase(), |host| host.to_string());
    (is_host && is_port(port)).then(as_asked)
}

/// An address of IPv6, behind its bracket. `Uri` takes a zone, and anything but a bad port after it.
fn of_address(text: &str) -> Option<String> {
    let (inner, rest) = text.split_once(']')?;
    let address: core::net::Ipv6Addr = inner.split('%').next()?.parse().ok()?;
    rest.strip_prefix(':').is_none_or(is_port).then(|| format!("[{address}]"))
}

fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|digit| digit.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

/// The SDK asks for `^1\.\d+(?:[\w-.]+)?$`. What is beyond ASCII is not judged, but taken.
fn is_version(text: &str) -> bool {
    let mut signs = text.strip_prefix("1.").unwrap_or_default().chars();
    signs.next().is_some_and(|first| first.is_ascii_digit() || !first.is_ascii())
        && signs.all(|sign| !sign.is_ascii() || sign.is_ascii_alphanumeric() || "_-.".contains(sign))
}

fn check_version_and_port(parts: &Parts<'_>) -> Result<(), Malformed> {
    if !parts.value("version").is_none_or(is_version) {
        return Err(Malformed::Version);
    }
    // .NET's numbers may have a sign before them and end in NUL.
    match parts.value("port").map(|port| port.trim_end_matches('\0').parse::<u16>()) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err(Malformed::Port),
    }
}

/// Whether two names are the same to .NET.
fn same_name(one: &str, two: &str) -> bool {
    folded(one) == folded(two)
}

/// A name as .NET's `OrdinalIgnoreCase` compares it: in simple upper case, in which no sign beyond ASCII becomes one
/// within it. So an `AccessKey` with a long s or a Kelvin sign in it is another name.
fn folded(name: &str) -> String {
    let fold = |sign: char| {
        let mut upper = sign.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) if sign.is_ascii() || !one.is_ascii() => one,
            _ => sign,
        }
    };
    name.chars().map(fold).collect()
}

/// The `name=value` parts of a text, by the ranges of their values.
struct Parts<'text> {
    text: &'text str,
    values: Vec<(&'text str, Range<usize>)>,
}

fn split(text: &str) -> Vec<(&str, Range<usize>)> {
    let mut values = Vec::new();
    let mut start = 0;
    for part in text.split(';') {
        if let Some((name, value)) = part.split_once('=') {
            let value_start = start + part.len() - value.trim_start().len();
            values.push((name.trim(), value_start..value_start + value.trim().len()));
        }
        start += part.len() + 1;
    }
    values
}

impl<'text> Parts<'text> {
    fn read(text: &'text str) -> Result<Self, Malformed> {
        if text.split(';').filter(|part| !part.is_empty()).count() < 2 {
            return Err(Malformed::TooFewParts);
        }
        let values = split(text);
        let mut names: Vec<String> = values.iter().map(|(name, _)| folded(name)).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::Duplicate);
        }
        Ok(Self { text, values })
    }

    fn range(&self, name: &str) -> Option<Range<usize>> {
        self.values.iter().find(|(known, _)| same_name(known, name)).map(|(_, range)| range.clone())
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
    fn a_key_in_what_people_write_is_known_from_names_and_hashes() {
        let (older, newer) = ("jT7pCkvR+e2zQW9/".repeat(3), "kR7AOQAxnF5GKShtn2Gm".repeat(4));
        for text in [
            format!("key {older}="),
            format!("({newer})"),
            format!("the key:{newer}, of yesterday"),
            "Endpoint=https://chat;AuthType=azure.msi;".to_owned(),
            "accesskey=k".to_owned(),
        ] {
            assert!(holds_a_secret(&text), "{text}");
        }
        for text in [
            "load test, CHG-17".to_owned(),
            "https://dev.azure.com/Contoso/Project1/wiki/wikis/Project1/567/Change-Of-Keys".to_owned(),
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            "00000000-0000-0000-0000-000000000001".to_owned(),
        ] {
            assert!(!holds_a_secret(&text), "{text}");
        }
    }

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
    fn a_string_without_a_key_connects_by_identity_and_one_with_a_key_does_not() {
        let endpoint = "Endpoint=https://chat.service.signalr.net";
        for rest in
            ["AuthType=azure.msi", "AuthType=aad;Version=1.0;", "Version=1.0;", "AccessKey=", "AccessKey"]
        {
            let text = format!("{endpoint};{rest}");
            let parsed = ConnectionString::parse(&text).unwrap();
            assert_eq!(parsed.key(), None, "{text}");
            assert_eq!(parsed.with_key(&Key::new("k")).expose(), text);
        }
        for auth in ["azure", "Azure.MSI", "azure.app", "aad", "nonsense", ""] {
            let text = format!("{endpoint};AuthType={auth};AccessKey=k;Version=1.0;");
            let parsed = ConnectionString::parse(&text).unwrap();
            assert_eq!(parsed.key(), Some(Key::new("k")), "{text}");
            assert_eq!(parsed.with_key(&Key::new("new")).expose(), text.replace("=k;", "=new;"));
            assert_eq!(parsed.has_auth_type(), !auth.is_empty());
        }
    }

    #[test]
    fn whatever_a_version_of_the_sdk_would_connect_with_is_taken() {
        let host = "chat.service.signalr.net";
        for endpoint in [
            "https://chat.service.signalr.net",
            "HTTP://Chat.Service.SignalR.net//",
            "https://chat.service.signalr.net.",
            "https://chat.service.signalr.net:8443/",
            "https://chat.service.signalr.net:",
            "https:\\\\chat.service.signalr.net",
            "https:/\\chat.service.signalr.net",
            "https://user:word@chat.service.signalr.net/a path?x=1#y",
            "https://chat.service.signalr.net?x",
            "https://chat.service.signalr.net /",
            "https://\u{ff43}hat.service.signalr.net",
        ] {
            for rest in [
                "Version=1.0",
                "Version=1.0-preview",
                "Version=1.12_x.",
                "Version=1.\u{661}",
                "Port=00443",
                "Port=+443",
                "ClientEndpoint=nonsense",
                "ServerEndpoint=",
                "Acce\u{17f}\u{17f}Key=other",
                "\u{a0}Access\u{212a}ey\u{a0}=other",
                "=x",
                "words",
            ] {
                let text = format!("Endpoint={endpoint};AccessKey=\u{a0}{OLD}\u{3000};{rest}");
                let parsed = ConnectionString::parse(&text).unwrap();
                assert_eq!((parsed.host(), parsed.key()), (host, Some(Key::new(OLD))), "{text}");
            }
        }
    }

    #[test]
    fn every_endpoint_may_name_the_service() {
        let text = "Endpoint=https://gw.example;ServerEndpoint=https://Chat.example./x;AccessKey=k;ClientEndpoint=cdn";
        let parsed = ConnectionString::parse(text).unwrap();
        assert_eq!(parsed.hosts().collect::<Vec<_>>(), ["gw.example", "chat.example"]);
    }

    #[test]
    fn placeholders_are_known_by_their_signs_and_are_no_keys() {
        for text in [
            "%SIGNALR_KEY%",
            "{key}",
            "{{signalr.key}}",
            "$(SignalRKey)",
            "${SIGNALR_KEY}",
            "#{SignalR.Key}#",
            "<your-key>",
            "[parameters('key')]",
            "__KEY__",
            "@Microsoft.KeyVault(VaultName=v",
            "@appsetting('x')",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [OLD, "{", "%", "", "'quoted'", "100%", &format!("{{{OLD}}}"), &format!("<{OLD}>")] {
            assert!(!is_placeholder(text), "{text}");
        }
    }

    #[test]
    fn what_the_sdk_refuses_is_refused() {
        let endpoint = "Endpoint=https://chat.service.signalr.net";
        for (text, why) in [
            (endpoint.to_owned(), Malformed::TooFewParts),
            ("AccessKey=k;Version=1.0;".to_owned(), Malformed::Endpoint),
            ("Endpoint=ftp://chat;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpo\u{131}nt=https://chat;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https:/chat;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https:///chat;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https://ch\tat;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https://chat%2Enet;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https://chat..net;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https://chat\\;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint='https://chat';AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https://a@b@chat;AccessKey=k;".to_owned(), Malformed::Endpoint),
            ("Endpoint=https://chat:65536;AccessKey=k;".to_owned(), Malformed::Endpoint),
            (format!("{endpoint};AccessKey=a;\u{e9}=1;\u{c9}=2"), Malformed::Duplicate),
            (format!("{endpoint};AccessKey=a;Version=1.x;"), Malformed::Version),
            (format!("{endpoint};AccessKey=a;Version=1.0 beta;"), Malformed::Version),
            (format!("{endpoint};AccessKey=a;Version=1;"), Malformed::Version),
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
}
