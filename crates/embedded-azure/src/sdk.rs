//! What the process of a simulated app makes of its settings: which text is a connection string for Microsoft's SDK, and
//! which keys an app finds that reads endpoint and key by itself.
//!
//! Nothing here is the product's: a mistake of its parser must not hide what it does to apps. Start at [`read`].
//!
//! The rules are those of Microsoft.Azure.SignalR (docs: Connection string in Azure SignalR Service; its
//! `ConnectionStringParser`), tried with 1.34.0, 1.15.2 and 1.0.7. Where the three differ, what one of them would sign
//! with counts, for apps run on all of them: 1.0.7 knows no `ClientEndpoint`, 1.15.2 no `ServerEndpoint`, and 1.34.0 alone
//! refuses an `azure.app` without its parts.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ids::Key;

/// What the SDK makes of a text.
#[derive(PartialEq, Eq)]
pub(crate) enum Reading {
    /// It signs with a key.
    Signs {
        /// The host of `Endpoint`, in lower case; tokens are made out to it.
        host: String,
        /// The host of `ServerEndpoint`, which is called instead.
        server: Option<String>,
        key: Key,
    },
    /// It asks for tokens as an identity: there is no key in it.
    Identity,
    /// It is no connection string.
    Refused,
}

/// Reads a text as the SDK does. A non-empty `AccessKey` is used, whatever `AuthType` says.
pub(crate) fn read(text: &str) -> Reading {
    read_parts(text).unwrap_or(Reading::Refused)
}

fn read_parts(text: &str) -> Option<Reading> {
    let words: Vec<&str> = text.split(';').filter(|word| !word.is_empty()).collect();
    // "Must have at least two parts", of whatever kind.
    if words.len() < 2 {
        return None;
    }
    let mut parts: Vec<(String, &str)> = Vec::new();
    for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
        // .NET's OrdinalIgnoreCase folds no letter of another script into one of ours.
        let name = name.trim().to_ascii_lowercase();
        if parts.iter().any(|(known, _)| *known == name) {
            return None;
        }
        parts.push((name, value.trim()));
    }
    let value = |name: &str| parts.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    let host = host_of(value("endpoint")?)?;
    let fits = value("version").is_none_or(is_version) && value("port").is_none_or(is_port);
    let key = value("accesskey").unwrap_or_default();
    Some(match (fits, key) {
        (false, _) => return None,
        (true, "") => Reading::Identity,
        (true, key) => {
            Reading::Signs { host, server: value("serverendpoint").and_then(host_of), key: Key::new(key) }
        }
    })
}

/// `^1\.\d+(?:[\w-.]+)?$`
fn is_version(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("1.") else { return false };
    let tail = rest.trim_start_matches(char::is_numeric);
    tail.len() < rest.len()
        && tail.chars().all(|sign| sign.is_alphanumeric() || matches!(sign, '_' | '-' | '.'))
}

fn is_port(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|port| (1..=65535).contains(&port))
}

/// The host of an absolute http or https URL, as .NET's `Uri` takes it: two slashes, or two backslashes, and a host. It is
/// stricter than browsers are. Addresses are left as they are spelled.
fn host_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let rest = rest.strip_prefix("//").or_else(|| rest.strip_prefix("\\\\"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    let (host, port) =
        match authority.rsplit_once(':').filter(|(host, _)| bracketed(host) || !host.contains(':')) {
            Some((host, port)) => (host, port),
            None => (authority, ""),
        };
    let port_fits = port.is_empty() || port.parse::<u16>().is_ok();
    (port_fits && (bracketed(host) || is_name(host))).then(|| host.to_lowercase())
}

fn bracketed(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Letters of any script, digits, hyphens and underscores between dots; a dot may stand at the end.
fn is_name(host: &str) -> bool {
    let fits = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_');
    let host = host.strip_suffix('.').unwrap_or(host);
    host.split('.').all(|label| !label.is_empty() && label.chars().all(fits))
}

/// Whether an app that takes the key out of a text by itself finds `key` in it: bare, in quotes, in JSON, escaped as JSON
/// or URLs are, or in base64 as a whole.
pub(crate) fn finds(text: &str, key: &Key) -> bool {
    // Nothing of this makes a text shorter.
    if text.len() < key.expose().len() {
        return false;
    }
    let plain = std::iter::once(Cow::Borrowed(text));
    let views = plain.chain(in_base64(text)).flat_map(|text| {
        let unescaped = [unescape_json(&text).into(), unescape_url(&text).into()];
        std::iter::once(text).chain(unescaped)
    });
    views.into_iter().any(|view| stands_in(&view, key.expose()))
}

fn in_base64(text: &str) -> Option<Cow<'static, str>> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Whether a key stands in a text with nothing beside it that could belong to it.
fn stands_in(text: &str, key: &str) -> bool {
    let belongs = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '+' | '/' | '=');
    // What is before a key may end in a sign of equality, as in `key=…`.
    let free_before =
        |at: usize| text[..at].chars().next_back().is_none_or(|sign| sign == '=' || !belongs(sign));
    let free_after = |at: usize| text[at + key.len()..].chars().next().is_none_or(|sign| !belongs(sign));
    text.match_indices(key).any(|(at, _)| free_before(at) && free_after(at))
}

/// `\u002B`, `\/` and the like.
fn unescape_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escaped = &rest[at + 1..];
        let code = escaped.strip_prefix('u').and_then(|code| code.get(..4));
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
        match (code, escaped.chars().next()) {
            (Some(sign), _) => {
                plain.push(sign);
                rest = &escaped[5..];
            }
            (None, Some(sign)) => {
                plain.push(sign);
                rest = &escaped[sign.len_utf8()..];
            }
            (None, None) => rest = "",
        }
    }
    plain + rest
}

/// `%2B` and the like.
fn unescape_url(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let escaped = &rest[at + 1..];
        let code = escaped.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(char::from(code));
                rest = &escaped[2..];
            }
            None => {
                plain.push('%');
                rest = escaped;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests;
