//! What holds of every text: only keys change in it, and whoever reads it as it was meant finds the new one there.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::PerKey;
use url::form_urlencoded;

use super::*;

const HOST: &str = "chat.service.signalr.net";

/// Keys as Azure made them until 2024 and since, and one that begins like an escape.
const KEYS: [&str; 4] = [
    "Aq7Ah3XvP0nZ2sLdT5yWbM8cRfJ4gUeHiQoV6tNxSzDlBpKaEwYrCmFuGjOkJQQJ99BCACYeBjFXJ3AAAAS1",
    "c2Vjb25kK2tleS9vZi00NC1jaGFyYWN0ZXJzLTAxMg==",
    "2B+/ue9/of+44+signs+that+are/escaped+010203=",
    "41424344A5464748494A4B4C4D4E4F505152535455565758",
];

/// A former key, and one that nobody remembers.
const FORMER: &str = "Zm9ybWVyK2tleS9vZi00NC1jaGFyYWN0ZXJzLTAxMg==";
const UNKNOWN: &str = "dW5rbm93bitrZXkvb2YtNDQtY2hhcmFjdGVycy0wMQ==";

struct World {
    keys: KeyPair,
    journal: Journal,
}

impl World {
    /// A service with these keys, which had another once.
    fn new(primary: &str, secondary: &str) -> Self {
        let keys = KeyPair { primary: Key::new(primary), secondary: Key::new(secondary) };
        let now = PerKey::from_fn(|key_type| keys[key_type].fingerprint());
        let before = PerKey { secondary: Key::new(FORMER).fingerprint(), ..now.clone() };
        let mut journal = Journal::default();
        let changed = Event::KeyChanged { key_type: KeyType::Secondary, fingerprint: now.secondary };
        for event in [Event::Adopted { keys: before }, changed] {
            journal.apply(event, DateTime::<Utc>::UNIX_EPOCH).unwrap();
        }
        Self { keys, journal }
    }

    fn marks(&self) -> Marks<'_> {
        Marks { keys: Some(&self.keys), host: HOST, journal: &self.journal }
    }

    /// A value with the secondary key in the place of all.
    fn written(&self, value: &str) -> Option<String> {
        let written = self.marks().with_key(value, &self.keys.secondary, false);
        written.map(|text| text.to_string())
    }

    fn faults(&self, value: &str) -> Vec<SettingFault> {
        let fault = |value: Value| match value {
            Value::Fault(fault) => Some(fault),
            _ => None,
        };
        self.marks().values(value).into_iter().filter_map(fault).collect()
    }

    /// In short what a value is.
    fn is(&self, value: &str) -> String {
        let word = |value: &Value| match value {
            Value::Holds(Holding::Valid(key_type)) => key_type.to_string(),
            Value::Holds(Holding::Stale(_)) => "stale".to_owned(),
            Value::Holds(Holding::Identity) => "identity".to_owned(),
            Value::Reference(_) => "reference".to_owned(),
            Value::Placeholder { .. } => "placeholder".to_owned(),
            Value::Fault(fault) => format!("{fault:?}"),
            Value::Other => "-".to_owned(),
        };
        self.marks().values(value).iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// How texts are written within others, sign by sign, so that the parts of a text may be written by themselves.
#[derive(Clone, Copy, Debug)]
enum Layer {
    /// As `serde_json` writes a string.
    Json,
    /// As `System.Text.Json` does, and PHP.
    DotNet,
    Php,
    Html,
    HtmlInDecimals,
    /// A part of a URL.
    Url,
}

impl Layer {
    fn write(self, text: &str) -> String {
        let each = |write: &dyn Fn(char) -> Option<String>| -> String {
            text.chars().map(|sign| write(sign).unwrap_or_else(|| sign.to_string())).collect()
        };
        match self {
            Self::Json => text.chars().map(|sign| inner_json(&sign.to_string())).collect(),
            Self::DotNet => each(&|sign| {
                let escaped = "+\"&'<>`".contains(sign);
                Some(if escaped { format!("\\u{:04X}", sign as u32) } else { inner_json(&sign.to_string()) })
            }),
            Self::Php => {
                each(&|sign| Some(if sign == '/' { "\\/".to_owned() } else { inner_json(&sign.to_string()) }))
            }
            Self::Html => each(&|sign| match sign {
                '&' => Some("&amp;".into()),
                '"' => Some("&quot;".into()),
                '=' => Some("&equals;".into()),
                '<' => Some("&lt;".into()),
                '+' => Some("&#x2B;".into()),
                _ => None,
            }),
            Self::HtmlInDecimals => {
                each(&|sign| "&<>\"'+=".contains(sign).then(|| format!("&#{};", sign as u32)))
            }
            Self::Url => {
                form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
            }
        }
    }

    /// As somebody else reads it, who knows what it is.
    fn read(self, text: &str) -> String {
        match self {
            Self::Json | Self::DotNet | Self::Php => serde_json::from_str(&format!("\"{text}\"")).unwrap(),
            Self::Html | Self::HtmlInDecimals => {
                let mut plain = String::new();
                let mut parts = text.split('&');
                plain.push_str(parts.next().unwrap());
                for part in parts {
                    let (name, rest) = part.split_once(';').unwrap();
                    let number = name.strip_prefix('#').map(|number| match number.strip_prefix('x') {
                        Some(digits) => u32::from_str_radix(digits, 16).unwrap(),
                        None => number.parse().unwrap(),
                    });
                    let names = [("lt", '<'), ("gt", '>'), ("quot", '"'), ("equals", '='), ("amp", '&')];
                    let named = || names.iter().find(|(known, _)| *known == name).unwrap().1;
                    plain.push(number.map_or_else(named, |number| char::from_u32(number).unwrap()));
                    plain.push_str(rest);
                }
                plain
            }
            Self::Url => {
                let pair = format!("x={text}");
                form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap()
            }
        }
    }
}

fn inner_json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    json[1..json.len() - 1].to_owned()
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let layer = prop::sample::select(vec![
        Layer::Json,
        Layer::DotNet,
        Layer::Php,
        Layer::Html,
        Layer::HtmlInDecimals,
        Layer::Url,
    ]);
    prop::collection::vec(layer, 0..=2)
}

/// What stands around a key: anything, and what texts with keys are made of.
fn around() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ -~]{0,12}".boxed(),
        2 => prop::sample::select(vec![
            "\"", "'", "\n", "{\"accessKey\":\"", "\\u002B", "\\/", "%2B", "%", "&#43;", "&amp;", "\\", "https://gw.example/x?k=",
            "Endpoint=https://chat.service.signalr.net;AccessKey=", "Endpoint=https://other.service.signalr.net;AccessKey=",
            ";Version=1.0;", "%SIGNALR_KEY%", "@Microsoft.KeyVault(VaultName=v;SecretName=s)", "AccessKey=", "=", "/", "é", "\u{1F511}",
        ]).prop_map(str::to_owned).boxed(),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(KEYS.to_vec())
}

/// Whether two texts differ at most in a part of each, in the place of a key: what is before and behind it is the same.
fn is_between<'t>(text: &'t str, before: &str, behind: &str) -> Option<&'t str> {
    text.strip_prefix(before)?.strip_suffix(behind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_global_rejects: 40_000, ..ProptestConfig::default() })]

    /// Between quotes, lines or blanks a key is replaced however the text is written, and nothing else is.
    #[test]
    fn a_key_that_stands_alone_is_replaced_in_its_signs_alone(
        first in key(), second in key(), is_former in any::<bool>(), layers in layers(),
        before in "[a-zA-Z0-9 :{}\"\n-]{0,20}", behind in "[a-zA-Z0-9 :{}\"\n-]{0,20}",
        quote in prop::sample::select(vec!["\"", " ", "\n"]),
    ) {
        let old = if is_former { FORMER } else { first };
        let world = World::new(first, second);
        let write = |text: &str| layers.iter().fold(text.to_owned(), |text, layer| layer.write(&text));
        let (before, behind) = (write(&format!("{before}{quote}")), write(&format!("{quote}{behind}")));
        let value = [&before, &*write(old), &behind].concat();
        let written = world.written(&value);
        let Some(written) = written else {
            // In a URL whose other escapes tell nothing it is not sure, and that is told.
            let is_url = layers.iter().any(|layer| matches!(layer, Layer::Url));
            prop_assert!(is_url && !world.faults(&value).is_empty(), "it is not written: {}", value);
            return Ok(());
        };
        prop_assert!(world.faults(&value).is_empty(), "{}: {}", value, world.is(&value));
        let key = is_between(&written, &before, &behind);
        prop_assert!(key.is_some(), "{} became {}", value, written);
        let read = |text: &str| layers.iter().rev().fold(text.to_owned(), |text, layer| layer.read(&text));
        prop_assert_eq!(read(&value).replacen(old, second, 1), read(&written));
        // Nobody writes again what is as it should be.
        prop_assert_eq!(world.written(&written), Some(written.clone()));
    }

    /// Whatever is around it: what is written is another key in the place of this one, or nothing, and then that is said.
    #[test]
    fn whatever_is_around_a_key_it_is_replaced_or_told(
        first in key(), second in key(), is_former in any::<bool>(), layers in layers(),
        before in around(), behind in around(),
    ) {
        let old = if is_former { FORMER } else { first };
        let world = World::new(first, second);
        let write = |text: &str| layers.iter().fold(text.to_owned(), |text, layer| layer.write(&text));
        let value = [&*write(&before), &*write(old), &*write(&behind)].concat();
        prop_assume!(Text::read(&value).has_word(|word| word == old));
        prop_assert!(world.is(&value) != "-", "{}", value);
        let plain = |value: &str| Decoded::read(value).plain.to_string();
        if let Some(written) = world.written(&value) {
            let again = world.written(&written);
            prop_assert!(again.as_ref() == Some(&written) || !world.faults(&value).is_empty(), "it is written again: {}", value);
            // Where our key is not in a connection string, whose key is whatever stands there, the plain text tells.
            if ConnectionString::parse(&value).is_err() && !before.contains("AccessKey") {
                prop_assert_eq!(plain(&value).replace(old, second), plain(&written), "{}", value);
            }
        } else {
            prop_assert!(!world.faults(&value).is_empty() || world.is(&value).contains("placeholder"),
                "{}: {}", value, world.is(&value));
        }
    }

    #[test]
    fn a_text_without_a_key_of_ours_is_never_changed(
        first in key(), second in key(), layers in layers(), parts in prop::collection::vec(around(), 0..4),
    ) {
        let world = World::new(first, second);
        let plain = parts.concat().replace("https://chat.", "https://else.");
        let value = layers.iter().fold(plain, |text, layer| layer.write(&text));
        prop_assert_eq!(world.written(&value), None);
    }

    /// All keys of ours in one text become the new one, and another service's stay.
    #[test]
    fn of_many_keys_all_of_ours_are_replaced(
        order in Just(vec![KEYS[0], KEYS[1], FORMER, UNKNOWN, KEYS[0]]).prop_shuffle(),
        between in prop::sample::select(vec!["\n", "\",\"", " ", "|"]), layers in layers(),
    ) {
        let world = World::new(KEYS[0], KEYS[1]);
        let write = |text: &str| layers.iter().fold(text.to_owned(), |text, layer| layer.write(&text));
        let value = write(&order.join(between));
        let read = |text: &str| layers.iter().rev().fold(text.to_owned(), |text, layer| layer.read(&text));
        let of_ours = |key: &&'static str| if *key == UNKNOWN { UNKNOWN } else { KEYS[1] };
        let wanted: Vec<&str> = order.iter().map(of_ours).collect();
        prop_assert_eq!(world.written(&value).map(|text| read(&text)), Some(wanted.join(between)));
        // To repair it, the invalid one alone.
        let repaired = world.marks().with_key(&value, &world.keys.secondary, true).map(|text| read(&text));
        let wanted: Vec<&str> = order.iter().map(|key| if *key == FORMER { KEYS[1] } else { *key }).collect();
        prop_assert_eq!(repaired, Some(wanted.join(between)));
    }
}

/// Strings within texts whose key nobody remembers are ours by their host, and known by where they stand.
#[test]
fn strings_in_texts_are_ours_by_their_host() {
    let world = World::new(KEYS[0], KEYS[1]);
    let of = |host: &str, key: &str| format!("Endpoint=https://{host};AccessKey={key};Version=1.0;");
    let ours = |key: &str| of(HOST, key);
    let other = "other.service.signalr.net";
    for (value, is) in [
        (format!("\"{}\"", ours(UNKNOWN)), "stale"),
        (format!("'{}','{}'", ours(UNKNOWN), ours(KEYS[0])), "stale Primary"),
        (format!("{}\n{}", ours(UNKNOWN), of(other, UNKNOWN)), "stale"),
        (format!("A=1\nSIGNALR={}\nB=2", ours(UNKNOWN)), "stale"),
        (format!("<add value=\"{}\" />", ours(UNKNOWN)), "stale"),
        (format!("SIGNALR={}", ours(UNKNOWN)), "stale"),
        (format!("AccessKey={UNKNOWN}\nEndpoint=https://{HOST}"), "StaleKeyInOtherText"),
        (
            format!("run --connection {} --port 80", ours(UNKNOWN).trim_end_matches(';')),
            "StaleKeyInOtherText",
        ),
        (format!("\"{}\"", of(other, FORMER)), "OtherServicesHost"),
        (format!("\"{}\" \"{}\"", of(other, FORMER), ours(KEYS[0])), "Primary OtherServicesHost"),
        (format!("\"{}\"", of(other, UNKNOWN)), "-"),
        (format!("\"{}\"", of(other, KEYS[0])), "Primary"),
        (format!("\"{}\"", ours("%KEY%")), "Placeholder"),
        (format!("\"{}\" \"{}\"", ours("@Microsoft.KeyVault(x"), ours(KEYS[0])), "Primary Placeholder"),
        (format!("{{\"endpoint\":\"https://{other}\",\"key\":\"{FORMER}\"}}"), "OtherServicesHost"),
        (format!("{{\"endpoint\":\"https://{HOST}\",\"key\":\"{FORMER}\"}}"), "stale"),
        (format!("{{\"accessKey\":\"{UNKNOWN}\",\"endpoint\":\"https://{HOST}\"}}"), "StaleKeyInOtherText"),
        // A second key that nobody remembers, where no other service is told of.
        (
            format!(
                "{{\"endpoint\":\"https://{HOST}\",\"accessKey\":\"{}\",\"old\":{{\"accessKey\":\"{UNKNOWN}\"}}}}",
                KEYS[0]
            ),
            "Primary StaleKeyInOtherText",
        ),
        (format!("\\{}", KEYS[0]), "KeyInOtherText"),
        (format!("100%{}", KEYS[0]), "KeyInOtherText"),
        (format!("@Microsoft.KeyVault(VaultName=v;SecretName={})", KEYS[0]), "KeyInOtherText"),
        (
            format!("{{\"key\":\"{}\",\"s\":\"https://v.vault.azure.net/secrets/signalr\"}}", KEYS[0]),
            "Primary reference",
        ),
    ] {
        assert_eq!(world.is(&value), is, "{value}");
    }
}

/// In a URL a sign that the old key has not may need an escape, or may not: it depends on who reads it.
#[test]
fn in_a_url_it_is_sure_only_sometimes_how_a_sign_is_written() {
    let [plain, signs] = [World::new(KEYS[0], KEYS[3]), World::new(KEYS[0], KEYS[2])];
    let escaped = |key: &str| key.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
    let new = || Some(escaped(KEYS[2]));
    for (value, is, written) in [
        (format!("https://gw.example/x?key={FORMER}"), "StaleKeyInOtherText", None),
        (format!("https://gw.example/x?a=b%20c&key={FORMER}"), "StaleKeyInOtherText", None),
        (format!("https://gw.example/x?key={}", KEYS[0]), "KeyInOtherText", None),
        // These show it, and would not with the other key in their place.
        (format!("https://gw.example/x?key={}", KEYS[2]), "KeyInOtherText", None),
        (format!("https://gw.example/x?key={}", escaped(FORMER)), "StaleKeyInOtherText", None),
        (format!("https://gw.example/x?a=b%20c&key={}", escaped(FORMER)), "stale", new()),
        (format!("a=b%20c&key={}", KEYS[0]), "Primary", new()),
        (format!("a=b%20c&key={}", escaped(KEYS[2])), "Secondary", new()),
        (format!("a=b%5Cc&key={}", KEYS[0]), "KeyInOtherText", None),
        (format!("a=%5C%22&key={}", KEYS[0]), "KeyInOtherText", None),
    ] {
        assert_eq!(signs.is(&value), is, "{value}");
        let key = signs.written(&value).map(|text| text.rsplit_once("key=").unwrap().1.to_owned());
        assert_eq!(key, written, "{value}");
        // Neither key of this service has a sign of which that is not sure; the other service's is none of its keys.
        let is_anothers = value.contains("44%2Bsigns") || value.contains("44+signs");
        assert_eq!(plain.written(&value).is_none(), is_anothers, "{value}");
    }
}

/// What is not a key of ours, but stands in the place of one by its host, is replaced and nothing around it.
#[test]
fn a_stale_string_in_a_text_is_replaced_in_its_key() {
    let world = World::new(KEYS[0], KEYS[1]);
    for text in [
        "{\"c\":\"Endpoint=https://chat.service.signalr.net;AccessKey=@;Version=1.0;\",\"d\":\"Endpoint=https://b.service.signalr.net;AccessKey=dW5rbm93bitrZXkvb2YtNDQtY2hhcmFjdGVycy0wMQ==\"}",
        "A='x'\nS= Endpoint=https://chat.service.signalr.net ; ACCESSKEY = @ ;\nB=%PATH%",
        "Endpoint=https://chat.service.signalr.net;AccessKey=@;|Endpoint=https://chat.service.signalr.net;AccessKey=@",
    ] {
        let value = text.replace('@', UNKNOWN);
        assert_eq!(world.written(&value), Some(text.replace('@', KEYS[1])), "{value}");
    }
}

/// Another service's keys, wherever they stand, are a reason to lock the place before it is written.
#[test]
fn another_services_strings_are_seen_in_texts() {
    let world = World::new(KEYS[0], KEYS[1]);
    let string = |host: &str, key: &str| format!("Endpoint=https://{host};AccessKey={key};Version=1.0;");
    let other = "other.service.signalr.net";
    for (value, is) in [
        (string(other, UNKNOWN), true),
        (format!("\"{}\"", string(other, UNKNOWN)), true),
        (format!("{{\"c\":\"{}\"}}", string("gw.example", UNKNOWN)), true),
        (format!("https://{other}/"), true),
        (format!("{{\"endpoint\":\"https://{other}\",\"key\":\"{UNKNOWN}\"}}"), true),
        (string(HOST, UNKNOWN), false),
        (format!("\"{}\"", string(HOST, UNKNOWN)), false),
        (format!("https://{HOST}/"), false),
        (FORMER.to_owned(), false),
        ("words".to_owned(), false),
    ] {
        assert_eq!(world.marks().is_anothers(&value), is, "{value}");
    }
}
