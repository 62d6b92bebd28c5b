//! What the process of a simulated app makes of its settings: which text is a connection string for Microsoft's SDK,
//! where a reference leads, and which keys an app finds that reads endpoint and key by itself.
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

/// The name of the secret or key, in lower case, that a Key Vault or App Configuration reference names (docs: Use Key Vault
/// references; Use App Configuration references). Versions and labels are not told apart.
pub(crate) fn referred(text: &str) -> Option<String> {
    let text = text.trim();
    let inside = text.strip_prefix('@')?.strip_suffix(')')?;
    let (kind, inside) = inside.split_once('(')?;
    let part = |wanted: &str| {
        let mut parts = inside.split(';').filter_map(|part| part.split_once('='));
        parts.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let name = match kind.trim().to_lowercase().as_str() {
        "microsoft.keyvault" => {
            let in_uri = |uri: &'_ str| uri.split_once("/secrets/").map(|(_, rest)| rest.to_owned());
            let in_uri = part("SecretUri").and_then(in_uri);
            in_uri
                .and_then(|rest| rest.split('/').next().map(str::to_owned))
                .or_else(|| part("SecretName").map(str::to_owned))
        }
        "microsoft.appconfiguration" => part("Key").map(str::to_owned),
        _ => None,
    };
    name.map(|name| name.to_lowercase()).filter(|name| !name.is_empty())
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
mod tests {
    use super::*;

    const KEY: &str = "b1ueWha1e+0nly/Made0fLettersAndSigns=";

    /// What the SDK signs with: host and `ServerEndpoint`'s host.
    fn signs(text: &str) -> Option<(String, Option<String>)> {
        let text = text.replace("{key}", KEY);
        match read(&text) {
            Reading::Signs { host, server, key } => {
                assert_eq!(key.expose(), KEY, "{text}");
                Some((host, server))
            }
            Reading::Identity | Reading::Refused => None,
        }
    }

    #[test]
    fn every_string_with_a_key_signs_with_it() {
        let shop = "shop.service.signalr.net";
        for (rest, host) in [
            (";AccessKey={key};Version=1.0;", shop),
            (";AccessKey={key}", shop),
            (":8443/hub?a=b;accesskey = {key} ;VERSION=1.0-preview", shop),
            (";AccessKey=\u{a0}{key}\u{3000};Port= 00443 ;Version=1.2_x.é", shop),
            (".;AccessKey={key};Port=+80", "shop.service.signalr.net."),
            (";AccessKey={key};AuthType=azure", shop),
            (";AuthType=AZURE.MSI;ClientId=c;AccessKey={key}", shop),
            (";AccessKey={key};AuthType=azure.app", shop),
            (";AccessKey={key};AuthType=aad;TenantId=t", shop),
            (";AccessKey={key};ClientEndpoint=gateway;unknown;=x;a=b=c", shop),
            (";AccessKey={key};ſecret=1;Acceſſkey=2", shop),
        ] {
            let text = format!("Endpoint=https://{shop}{rest}");
            assert_eq!(signs(&text), Some((host.to_owned(), None)), "{text}");
        }
        for (text, host, server) in [
            (";;AccessKey={key};endpoint=HTTP:\\\\Shop;", "shop", None),
            ("\nEndpoint=https://me:pw@other@shop/;\nAccessKey={key}", "shop", None),
            ("Endpoint=https://[::1]:8080;AccessKey={key}", "[::1]", None),
            (
                "Endpoint=https://gw.shop.example;ServerEndpoint=https://shop./;AccessKey={key}",
                "gw.shop.example",
                Some("shop."),
            ),
        ] {
            let expected = Some((host.to_owned(), server.map(str::to_owned)));
            assert_eq!(signs(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_read_is_the_text_between_the_blanks_and_not_more() {
        for (written, expected) in [
            ("'{key}'", "'{key}'"),
            ("{key} # prod", "{key} # prod"),
            ("{key}%3D", "{key}%3D"),
            ("{key}\u{feff}", "{key}\u{feff}"),
        ] {
            let Reading::Signs { key, .. } = read(&format!("Endpoint=http://shop;AccessKey={written}"))
            else {
                panic!("{written}")
            };
            assert_eq!(key.expose(), expected);
        }
    }

    #[test]
    fn strings_without_a_key_are_identity_or_refused() {
        for text in [
            "Endpoint=https://shop;AuthType=azure.msi;Version=1.0;",
            "Endpoint=https://shop;AccessKey=;{key}",
            "Endpoint=https://shop;Version=1.0",
            "Endpoint=https://shop;SharedAccessKey={key}",
            "Endpoint=https://shop;AccessKey: {key};",
        ] {
            assert!(read(text) == Reading::Identity, "{text}");
        }
        for text in [
            "",
            ";;",
            "{key}",
            "AccessKey={key};Version=1.0",
            "Endpoint=https://shop",
            "\u{feff}Endpoint=https://shop;AccessKey={key}",
            "\"Endpoint=https://shop;AccessKey={key}\"",
            "Endpoint=https://shop;AccessKey={key};ACCESSKEY={key}",
            "Endpoint=https://shop;AccessKey={key};x=1;X=2",
            "Endpoint=https://shop;AccessKey={key};Version=1",
            "Endpoint=https://shop;AccessKey={key};Version=1.0+1",
            "Endpoint=https://shop;AccessKey={key};Version=2.0",
            "Endpoint=https://shop;AccessKey={key};Version=",
            "Endpoint=https://shop;AccessKey={key};Port=65536",
            "Endpoint=https://shop;AccessKey={key};Port=443.0",
            "Endpoint=https://shop:65536;AccessKey={key}",
            "Endpoint=wss://shop;AccessKey={key}",
            "Endpoint=shop:443;AccessKey={key}",
            "Endpoint=https:/shop;AccessKey={key}",
            "Endpoint=https:///shop;AccessKey={key}",
            "Endpoint=https://sh op;AccessKey={key}",
            "Endpoint=https://shop\\;AccessKey={key}",
            "Endpoint=https://shop%20;AccessKey={key}",
            "Endpoint=https://a..b;AccessKey={key}",
            "Endpoint=https://:443;AccessKey={key}",
        ] {
            assert!(read(text) == Reading::Refused, "{text}");
        }
    }

    #[test]
    fn references_name_a_secret_or_a_key() {
        for (text, name) in [
            (
                "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/Chat-String/)",
                Some("chat-string"),
            ),
            (
                "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/chat/0123456789abcdef)",
                Some("chat"),
            ),
            (" @microsoft.keyvault( VaultName=v ; SecretName = chat ; SecretVersion=1) ", Some("chat")),
            (
                "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=app:chat; Label=prod)",
                Some("app:chat"),
            ),
            ("@Microsoft.KeyVault(VaultName=v)", None),
            ("@Microsoft.Other(Key=x)", None),
            ("see @Microsoft.KeyVault(SecretName=x)", None),
        ] {
            assert_eq!(referred(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn an_app_finds_its_key_in_what_people_make_of_it() {
        let key = Key::new(KEY);
        for text in [
            KEY.to_owned(),
            format!(" '{KEY}' "),
            format!("{{\"endpoint\":\"https://shop\",\"key\":\"{KEY}\"}}"),
            format!(
                "{{\"key\":\"{}\"}}",
                KEY.replace('+', "\\u002B").replace('/', "\\/").replace('=', "\\u003d")
            ),
            format!("key={}", KEY.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D")),
            STANDARD.encode(format!("Endpoint=https://shop;AccessKey={KEY}")),
        ] {
            assert!(finds(&text, &key), "{text}");
        }
        for text in [format!("{KEY}="), format!("x{KEY}"), KEY[1..].to_owned(), "%".into(), "\\u12".into()] {
            assert!(!finds(&text, &key), "{text}");
        }
    }

    /// Microsoft's own parser judges ours, where it is there: `REKEY_SIGNALR_PARSE` is a program that is called with a
    /// version and two files, one of strings by id and one for what that version of the SDK reads in them.
    #[test]
    fn microsofts_parser_reads_the_same_in_strings_made_at_random() {
        let Some(program) = std::env::var_os("REKEY_SIGNALR_PARSE") else { return };
        let mut rng = fastrand::Rng::with_seed(20);
        let strings: Vec<String> = (0..5000).map(|_| made(&mut rng)).collect();
        let verdicts = ["1.34.0", "1.15.2", "1.0.7"].map(|version| judged(&program, version, &strings));
        let mut signing = 0;
        let mut different = Vec::new();
        for (at, text) in strings.iter().enumerate() {
            let theirs = verdicts.iter().find_map(|verdict| verdict[at].clone());
            let ours = match read(text) {
                Reading::Signs { host, key, .. } => Some((host, key.expose().to_owned())),
                Reading::Identity | Reading::Refused => None,
            };
            signing += usize::from(theirs.is_some());
            if theirs != ours {
                different.push((text, theirs, ours));
            }
        }
        assert!(signing > 1000 && signing < 4000, "{signing} of {} sign", strings.len());
        assert!(different.is_empty(), "{} of {}: {different:#?}", different.len(), strings.len());
    }

    /// The host and the key with which this version of the SDK signs, for each string.
    fn judged(program: &std::ffi::OsStr, version: &str, strings: &[String]) -> Vec<Option<(String, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let [given, found] = ["given.json", "found.json"].map(|name| folder.path().join(name));
        let by_id: std::collections::BTreeMap<String, &String> =
            strings.iter().enumerate().map(|(at, text)| (at.to_string(), text)).collect();
        std::fs::write(&given, serde_json::to_vec(&by_id).unwrap()).unwrap();
        let mut command = std::process::Command::new(program);
        assert!(command.arg(version).args([&given, &found]).status().unwrap().success());
        let found: serde_json::Value = serde_json::from_slice(&std::fs::read(found).unwrap()).unwrap();
        let verdict = |at: usize| {
            let verdict = &found["results"][at.to_string()];
            let text = |name: &str| verdict[name].as_str().map(str::to_lowercase);
            let key = verdict["key"].as_str().filter(|key| !key.is_empty())?;
            Some((text("host")?, key.to_owned()))
        };
        (0..strings.len()).map(verdict).collect()
    }

    /// A string of parts that people write, in any order, some of them spoilt.
    fn made(rng: &mut fastrand::Rng) -> String {
        const ENDPOINTS: [&str; 24] = [
            "https://shop.service.signalr.net",
            "http://shop",
            "HTTPS://Shop.Example/",
            "https://shop.:8443",
            "https://a_b-c",
            "https://me@shop",
            "https://shop/hub?x=1",
            "https:\\\\shop",
            "https://[::1]:90",
            "https://büro.example",
            "wss://shop",
            "shop",
            "https:/shop",
            "https:///shop",
            "https://",
            "https://a..b",
            "https://shop:",
            "https://shop:99999",
            "https://sh op",
            "https://shop\\x",
            "https://sh%20op",
            "https://shop#x",
            "https://-shop",
            "",
        ];
        const REST: [&str; 30] = [
            "Version=1.0",
            "Version=1",
            "version=1.0-preview",
            "Version=1.1.2_a",
            "Version=2.0",
            "Version=1.0+b",
            "Version= 1.0 ",
            "Port=443",
            "Port=0",
            "port=65536",
            "Port= 80 ",
            "Port=x",
            "Port=-1",
            "Port=+8",
            "AuthType=azure",
            "AuthType=azure.msi",
            "AuthType=azure.app",
            "AuthType=aad",
            "AuthType=none",
            "ClientId=c",
            "TenantId=t",
            "ClientSecret=s",
            "ClientEndpoint=https://gw",
            "ClientEndpoint=gw",
            "ServerEndpoint=https://srv",
            "ServerEndpoint=srv",
            "other=1",
            "=",
            "word",
            " ",
        ];
        let endpoint = format!("Endpoint={}", rng.choice(ENDPOINTS).unwrap_or_default());
        let key = rng.choice([KEY, KEY, KEY, "'k'", " k ", "", "k\u{a0}", "k#1"]).unwrap_or_default();
        let mut parts = vec![endpoint, format!("AccessKey={key}")];
        let more = rng.usize(0..4);
        parts.extend((0..more).filter_map(|_| rng.choice(REST)).map(str::to_owned));
        if rng.u8(0..12) == 0 {
            parts.remove(rng.usize(0..parts.len()));
        }
        if rng.u8(0..12) == 0 {
            let twice = parts[rng.usize(0..parts.len())].to_uppercase();
            parts.push(twice);
        }
        rng.shuffle(&mut parts);
        let part = |part: &String| match rng.u8(0..10) {
            0 => format!(" {part}\n"),
            1 => part.replace('=', " = "),
            2 => part.to_lowercase().replace(&KEY.to_lowercase(), KEY),
            _ => part.clone(),
        };
        let text = parts.iter().map(part).collect::<Vec<_>>().join(";");
        if rng.bool() { text + ";" } else { text }
    }
}
