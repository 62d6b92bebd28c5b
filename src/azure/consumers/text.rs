//! Keys in texts that are no connection strings: bare, in JSON, in a `.env`, several strings in one value, escaped.
//!
//! Start at [`Decoded`], in which keys are found that can be replaced, and at [`Decoded::span`], which says how. [`Text`] finds
//! all others. A current key is searched for as it is. Of a former key only the fingerprint is known, so a text is cut into
//! words that may be keys, and their fingerprints are compared. All of it takes time in proportion to the text.

mod decoded;
mod span;
mod words;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::zeroize::Zeroizing;

pub(super) use self::decoded::{Decoded, may_be_several};
pub(super) use self::span::Span;
pub(super) use self::words::is_word;
use self::words::{SHORTEST, is_of_base64, is_of_url_base64, runs};

/// How often what was base64 is looked into.
const WRAPPINGS: usize = 2;

/// A text and what it becomes without its escapes, and what is in it as base64.
///
/// A key has none of the signs by which a text escapes others, so that it is either in the text as it is, or in the one
/// without any escapes; what is in between need not be kept.
pub(super) struct Text(Vec<Zeroizing<String>>);

impl Text {
    pub(super) fn read(value: &str) -> Self {
        let mut all = Vec::new();
        let mut layer = vec![Zeroizing::new(value.to_owned())];
        for _ in 0..=WRAPPINGS {
            let plain: Vec<_> = layer.iter().filter_map(|text| decoded::without_escapes(text)).collect();
            let last = if plain.is_empty() { &layer } else { &plain };
            let next = last.iter().flat_map(|text| wrapped(text)).collect();
            all.append(&mut layer);
            all.extend(plain);
            layer = next;
        }
        Self(all)
    }

    /// Whether a text stands in it as it is.
    pub(super) fn contains(&self, what: &str) -> bool {
        !what.is_empty() && self.0.iter().any(|text| text.contains(what))
    }

    /// Whether one of the words that may be keys is one.
    pub(super) fn has_word(&self, is_key: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|text| words::words(text).any(|word| is_key(&text[word])))
    }

    /// Whether it says of a word that it is an access key of a host, which it names as well.
    pub(super) fn names_a_key_of(&self, host: &str) -> bool {
        !host.is_empty() && self.0.iter().any(|text| names_a_key_of(text, host))
    }
}

/// The words of a text that may be keys, escaped or not: what must not be repeated of it.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = Zeroizing<String>> {
    let layers =
        [Some(Zeroizing::new(text.to_owned())), decoded::without_escapes(text)].into_iter().flatten();
    layers.flat_map(|text| {
        let words = words::words(&text).map(|word| Zeroizing::new(text[word].to_owned()));
        words.collect::<Vec<_>>()
    })
}

fn names_a_key_of(text: &str, host: &str) -> bool {
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    let is_key = |rest: &str| {
        let word = rest
            .trim_start_matches(|sign: char| !is_of_base64(sign))
            .split(|sign| !is_of_base64(sign))
            .next();
        word.is_some_and(|word| word.len() >= SHORTEST)
    };
    names_host(&lower, host) && lower.split("accesskey").skip(1).any(is_key)
}

/// Whether a host stands in a text, and not as a part of a longer one.
fn names_host(text: &str, host: &str) -> bool {
    let is_of_name = |sign: char| sign.is_alphanumeric() || "-_".contains(sign);
    text.match_indices(host).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + host.len()..].trim_start_matches('.').chars();
        !before.is_some_and(|sign| is_of_name(sign) || sign == '.') && !after.next().is_some_and(is_of_name)
    })
}

/// What stands in it as base64 of a text, in whole words or over several lines. UTF-16, as PowerShell likes to encode it,
/// is every other byte of the same text.
fn wrapped(text: &str) -> Vec<Zeroizing<String>> {
    let engine = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let decoded = |word: &str| {
        let word = Zeroizing::new(word.replace('-', "+").replace('_', "/"));
        let bytes = Zeroizing::new(engine.decode(word.as_bytes()).ok()?);
        let text = String::from_utf8(bytes.iter().copied().filter(|byte| *byte != 0).collect()).ok()?;
        Some(Zeroizing::new(text))
    };
    let is_one = text.chars().all(|sign| is_of_url_base64(sign) || sign == '=' || sign.is_ascii_whitespace());
    if is_one {
        let joined: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
        if let Some(whole) = decoded(joined.trim_end_matches('=')) {
            return vec![whole];
        }
    }
    let words = runs(text, is_of_url_base64).filter(|(_, run)| run.len() >= SHORTEST);
    words.filter_map(|(_, run)| decoded(run)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "SEK+RET/abcdefghijklmnopqrstuvwxyz012345678=";
    const KEY84: &str =
        "Kq7Ah3XvP0nZ2sLdT5yWbM8cRfJ4gUeHiQoV6tNxSzDlBpKaEwYrCmFuGjOkJQQJ99BCACYeBjFXJ3AAAAS1";

    /// The same text as people and programs write it.
    fn written(text: &str) -> Vec<String> {
        let json = serde_json::to_string(text).unwrap();
        let escape = |sign: char, to: &str| text.replace(sign, to);
        let url = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let base64 = |text: &[u8]| base64::engine::general_purpose::STANDARD.encode(text);
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let lines: Vec<String> = base64(text.as_bytes())
            .as_bytes()
            .chunks(20)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        vec![
            text.to_owned(),
            json.clone(),
            escape('+', "\\u002B"),
            escape('=', "\\u003d"),
            escape('/', "\\/"),
            escape('+', "\\x2b"),
            escape('=', "\\="),
            serde_json::to_string(&escape('+', "\\u002b")).unwrap(),
            escape('+', "%2B").replace('/', "%2f").replace('=', "%3D"),
            url(text),
            url(&url(text)),
            escape('+', "&#43;").replace('/', "&#x2F;").replace('=', "&equals;"),
            escape('=', "&amp;#61;").replace('/', "&sol;"),
            base64(text.as_bytes()),
            base64(text.as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_"),
            base64(&utf16),
            base64(json.as_bytes()),
            base64(base64(text.as_bytes()).as_bytes()),
            lines.join("\r\n"),
            format!("{{\"data\":{{\"x\":\"{}\"}}}}", base64(text.as_bytes())),
        ]
    }

    #[test]
    fn a_key_is_found_however_it_is_written() {
        for key in [KEY, KEY84] {
            for around in [
                key.to_owned(),
                format!("\"{key}\""),
                format!("{{\"key\":\"{key}\"}}"),
                format!("Endpoint=https://chat.example;AccessKey={key};Version=1.0;"),
                format!("A=1\nSIGNALR_KEY={key}\nB=2"),
                format!("https://gw.example/x?key={key}&y=1"),
                format!("https://gw.example/a/b/{key}"),
                format!("primary-{key}"),
                format!("x {key}, y"),
            ] {
                for (n, value) in written(&around).into_iter().enumerate() {
                    let text = Text::read(&value);
                    assert!(text.contains(key), "{n}: {value}");
                    assert!(text.has_word(|word| word == key), "{n}: {value}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        for value in
            ["", "abc", "100%", "a\\", "&", "%4", "\\u12", "&#;", "é%C3%A9\\u00e9", &"A".repeat(1000)]
        {
            assert!(!Text::read(value).has_word(|_| true), "{value}");
        }
    }

    #[test]
    fn a_text_that_speaks_of_an_access_key_and_its_host_holds_one() {
        for (value, holds) in [
            (format!("{{\"endpoint\":\"https://Chat.example\",\"AccessKey\":\"{KEY}\"}}"), true),
            (format!("Endpoint=https://chat.example;AccessKey={KEY}|Endpoint=https://b;AccessKey=x"), true),
            (format!("Endpoint=https://other.example;AccessKey={KEY}"), false),
            (format!("Endpoint=https://mychat.example;AccessKey={KEY}|"), false),
            (format!("Endpoint=https://my.chat.example;AccessKey={KEY}|"), false),
            (format!("Endpoint=https://chat.example.org;AccessKey={KEY}|"), false),
            (format!("Endpoint=https://chat.example.;AccessKey={KEY}|"), true),
            ("Endpoint=https://chat.example;AccessKey=;Version=1.0".to_owned(), false),
            (format!("https://chat.example {KEY}"), false),
        ] {
            assert_eq!(Text::read(&value).names_a_key_of("chat.example"), holds, "{value}");
        }
    }

    #[test]
    fn the_work_grows_with_the_text_and_not_faster() {
        for unit in [
            "/",
            "%25",
            "\\",
            "&amp;",
            "QUFB",
            "a/",
            "-",
            "=",
            "accesskey ",
            "a.b ",
            "\"AccessKey=\"",
            "\\u0025",
        ] {
            let count = |times: usize| {
                let asked = std::cell::Cell::new(0);
                let text = Text::read(&unit.repeat(times));
                let held: usize = text.0.iter().map(|text| text.len()).sum();
                let is_key = |word: &str| {
                    asked.set(asked.get() + word.len());
                    false
                };
                let value = unit.repeat(times);
                let decoded = Decoded::read(&value);
                assert!(!text.has_word(is_key) && decoded.keys(is_key).is_empty());
                asked.get() + held + decoded.plain.len() + decoded.strings().count() + decoded.hosts().count()
            };
            assert!(count(20_000) <= 12 * (count(2_000) + 10_000), "{unit}");
        }
    }
}
