//! Keys in texts that are no connection strings: bare, in JSON, in a `.env`, several strings in one value, escaped.
//!
//! A current key is searched for as it is. Of a former key only the fingerprint is known, so a text is cut into words
//! that may be keys, and their fingerprints are compared. All of it takes time in proportion to the text.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::zeroize::Zeroizing;

/// Shorter words are not taken for keys. Azure's have 44 or 84 characters.
const SHORTEST: usize = 20;

/// Nor are longer ones: it bounds what is hashed.
const LONGEST: usize = 256;

/// In a path a key may stand behind so many slashes; slashes are also in keys.
const SLASHES: usize = 8;

/// How often a text is unescaped: JSON in JSON in a URL.
const LAYERS: usize = 4;

/// How often what was base64 is looked into.
const WRAPPINGS: usize = 2;

/// A text and what it becomes without its escapes, and what is in it as base64.
///
/// A key has none of the signs by which a text escapes others, so that it is either in the text as it is, or in the one
/// without any escapes; what is in between need not be kept.
#[derive(Debug)]
pub(super) struct Text(Vec<Zeroizing<String>>);

impl Text {
    pub(super) fn read(value: &str) -> Self {
        let mut all = Vec::new();
        let mut layer = vec![Zeroizing::new(value.to_owned())];
        for _ in 0..=WRAPPINGS {
            let plain: Vec<_> = layer.iter().filter_map(|text| without_escapes(text)).collect();
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
        self.0.iter().any(|text| has_word(text, &is_key))
    }

    /// Whether it says of a word that it is an access key of a host, which it names as well.
    pub(super) fn names_a_key_of(&self, host: &str) -> bool {
        !host.is_empty() && self.0.iter().any(|text| names_a_key_of(text, host))
    }
}

const fn is_of_base64(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '+' | '/')
}

const fn is_of_url_base64(sign: char) -> bool {
    is_of_base64(sign) || matches!(sign, '-' | '_')
}

/// The longest runs of such signs, with where they end.
fn runs(text: &str, fits: fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split(move |sign| !fits(sign)).map(move |run| {
        let start = text[at..].find(run).map_or(at, |found| at + found);
        at = start + run.len();
        (at, run)
    })
}

fn has_word(text: &str, is_key: &impl Fn(&str) -> bool) -> bool {
    let of_base64 = runs(text, is_of_base64);
    let others = runs(text, is_of_url_base64).filter(|(_, run)| run.contains(['-', '_']));
    of_base64.chain(others).any(|(end, run)| {
        let padding = text[end..].bytes().take(2).take_while(|sign| *sign == b'=').count();
        let starts = [end - run.len()].into_iter();
        let slashes = run.match_indices('/').map(|(slash, _)| end - run.len() + slash + 1);
        starts.chain(slashes.take(SLASHES)).any(|start| {
            let ends = (0..=padding).map(|signs| end + signs);
            ends.map(|end| &text[start..end])
                .any(|word| (SHORTEST..=LONGEST).contains(&word.len()) && is_key(word))
        })
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

/// The text without escapes; none where it has none.
fn without_escapes(text: &str) -> Option<Zeroizing<String>> {
    let mut plain = None;
    for _ in 0..LAYERS {
        match unescaped(plain.as_deref().map_or(text, String::as_str)) {
            Some(next) => plain = Some(next),
            None => break,
        }
    }
    plain
}

/// One layer of escapes taken off: those of JSON and of shells, of URLs, and of HTML.
fn unescaped(text: &str) -> Option<Zeroizing<String>> {
    if !text.contains(['\\', '%', '&']) {
        return None;
    }
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    let mut changed = false;
    while let Some(sign) = rest.chars().next() {
        let read = match sign {
            '\\' => of_backslash(rest),
            '%' => hex(rest.get(1..3)).map(|sign| (sign, 3)),
            '&' => of_html(rest),
            _ => None,
        };
        let (sign, length) = read.unwrap_or((sign, sign.len_utf8()));
        changed |= read.is_some();
        plain.push(sign);
        rest = &rest[length..];
    }
    changed.then_some(plain)
}

/// The sign that two or four hexadecimal digits mean, if it is one of ASCII: a key has no other.
fn hex(digits: Option<&str>) -> Option<char> {
    let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).filter(char::is_ascii)
}

fn of_backslash(rest: &str) -> Option<(char, usize)> {
    let next = rest[1..].chars().next()?;
    match next {
        'u' => hex(rest.get(2..6)).map(|sign| (sign, 6)),
        'x' => hex(rest.get(2..4)).map(|sign| (sign, 4)),
        'n' | 'r' | 't' => Some((' ', 2)),
        other => Some((other, 1 + other.len_utf8())),
    }
}

/// The entities for the signs that keys have, and for those by which others are written.
fn of_html(rest: &str) -> Option<(char, usize)> {
    let end = rest.bytes().take(12).position(|sign| sign == b';')?;
    let name = rest.get(1..end)?;
    let sign = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        }
        .ok()
        .and_then(char::from_u32)?,
        None => match name {
            "amp" => '&',
            "plus" => '+',
            "equals" => '=',
            "sol" => '/',
            "bsol" => '\\',
            "percnt" => '%',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        },
    };
    Some((sign, end + 1))
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
        for unit in ["/", "%25", "\\", "&amp;", "QUFB", "a/", "-", "=", "accesskey "] {
            let count = |times: usize| {
                let asked = std::cell::Cell::new(0);
                let text = Text::read(&unit.repeat(times));
                let held: usize = text.0.iter().map(|text| text.len()).sum();
                text.has_word(|word| {
                    asked.set(asked.get() + word.len());
                    false
                });
                asked.get() + held
            };
            assert!(count(20_000) <= 12 * (count(2_000) + 10_000), "{unit}");
        }
    }
}
