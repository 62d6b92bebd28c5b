//! A text without its escapes, and where each sign of it stands in the text as it is written.

use std::ops::Range;

use secrecy::zeroize::Zeroizing;

use super::words;
use rekey_core::model::ConnectionString;

/// How often a text is unescaped: JSON in JSON in a URL.
const LAYERS: usize = 4;

/// What divides strings that stand in one text: quotes, lines, and what lists and markup put between them. Blanks do not,
/// for a connection string may have some.
const DELIMITERS: [char; 9] = ['"', '\'', '`', '\n', '\r', '|', ',', '<', '>'];

/// A text without its escapes. A key has none of the signs by which a text escapes others, so that it is in here whenever
/// somebody who reads the text can find it.
pub(in super::super) struct Decoded<'t> {
    pub(in super::super) written: &'t str,
    pub(in super::super) plain: Zeroizing<String>,
    /// Where each byte of `plain` begins in `written`, and where the last ends; nothing where both are the same.
    starts: Option<Vec<usize>>,
    /// Whether no escape is left.
    pub(super) is_plain: bool,
}

impl<'t> Decoded<'t> {
    pub(in super::super) fn read(written: &'t str) -> Self {
        let mut plain = Zeroizing::new(written.to_owned());
        let mut starts: Option<Vec<usize>> = None;
        for _ in 0..LAYERS {
            let mut layer = Vec::new();
            let Some(next) = unescaped(&plain, |start, bytes| layer.extend((0..bytes).map(|_| start))) else {
                break;
            };
            layer.push(plain.len());
            starts = Some(match starts {
                Some(before) => layer.into_iter().map(|at| before[at]).collect(),
                None => layer,
            });
            plain = next;
        }
        let is_plain = unescaped(&plain, |_, _| {}).is_none();
        Self { written, plain, starts, is_plain }
    }

    /// Where a part of the plain text stands in the text as it is written.
    pub(in super::super) fn written_at(&self, plain: &Range<usize>) -> Range<usize> {
        let at = |byte: usize| self.starts.as_ref().map_or(byte, |starts| starts[byte]);
        at(plain.start)..at(plain.end)
    }

    /// Where the words stand that are keys, and whole words; of those that overlap, the first and longest.
    pub(in super::super) fn keys(&self, is_key: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
        let goes_on = |sign: char| words::is_of_url_base64(sign) || sign == '=';
        let is_key =
            |word: &Range<usize>| is_key(self.part(word)) && !self.plain[word.end..].starts_with(goes_on);
        let mut keys: Vec<Range<usize>> = words::words(&self.plain).filter(is_key).collect();
        keys.sort_by_key(|word| (word.start, std::cmp::Reverse(word.end)));
        keys.dedup_by(|later, earlier| later.start < earlier.end);
        keys
    }

    /// A part of the plain text.
    pub(in super::super) fn part(&self, plain: &Range<usize>) -> &str {
        &self.plain[plain.clone()]
    }

    /// The connection strings in it that hold a key, each with where that stands in the plain text.
    pub(in super::super) fn strings(&self) -> impl Iterator<Item = (ConnectionString, Range<usize>)> {
        let mut end = 0;
        let segments = self.plain.split(DELIMITERS).map(move |segment| {
            let start = end;
            end += segment.len() + 1;
            (start, segment)
        });
        segments.filter_map(|(start, segment)| {
            let (at, string) = string_in(segment)?;
            let key = string.key_range()?;
            Some((string, start + at + key.start..start + at + key.end))
        })
    }

    /// The hosts that it names, with where they stand, in order.
    pub(in super::super) fn hosts(&self) -> impl Iterator<Item = (Range<usize>, &str)> {
        words::hosts(&self.plain).map(|at| (at.clone(), &self.plain[at]))
    }

    /// The text as it is written, but for some parts, each of which becomes a word that is no key.
    pub(in super::super) fn without(&self, parts: &[Range<usize>]) -> Zeroizing<String> {
        let mut sorted = parts.to_vec();
        sorted.sort_by_key(|part| part.start);
        let mut rest = Zeroizing::new(String::with_capacity(self.written.len()));
        let mut at = 0;
        for part in sorted {
            rest.push_str(self.written.get(at..part.start).unwrap_or_default());
            rest.push_str(" x ");
            at = at.max(part.end);
        }
        rest.push_str(&self.written[at..]);
        rest
    }
}

/// Whether a text has a sign by which strings in it may be divided.
pub(in super::super) fn may_be_several(text: &str) -> bool {
    text.contains(DELIMITERS)
}

/// A connection string that a segment of a text is, or ends with: `NAME=Endpoint=…`.
fn string_in(segment: &str) -> Option<(usize, ConnectionString)> {
    let lower = Zeroizing::new(segment.to_ascii_lowercase());
    let key = lower.find("accesskey")?;
    let first = lower.find("endpoint").map_or(key, |endpoint| endpoint.min(key));
    let read = |at: usize| ConnectionString::parse(&segment[at..]).ok().map(|string| (at, string));
    read(0).or_else(|| read(first))
}

/// The text without escapes; none where it has none.
pub(super) fn without_escapes(text: &str) -> Option<Zeroizing<String>> {
    let mut plain = None;
    for _ in 0..LAYERS {
        match unescaped(plain.as_deref().map_or(text, String::as_str), |_, _| {}) {
            Some(next) => plain = Some(next),
            None => break,
        }
    }
    plain
}

/// One layer of escapes taken off: those of JSON and of shells, of URLs, and of HTML. Of each sign is `noted` where it began,
/// and how many bytes it has.
pub(super) fn unescaped(text: &str, mut noted: impl FnMut(usize, usize)) -> Option<Zeroizing<String>> {
    if !text.contains(['\\', '%', '&']) {
        return None;
    }
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut at = 0;
    let mut changed = false;
    while let Some(sign) = text[at..].chars().next() {
        let rest = &text[at..];
        let read = match sign {
            '\\' => of_backslash(rest),
            '%' => hex(rest.get(1..3)).map(|sign| (sign, 3)),
            '&' => of_html(rest),
            _ => None,
        };
        let (sign, length) = read.unwrap_or((sign, sign.len_utf8()));
        changed |= read.is_some();
        noted(at, sign.len_utf8());
        plain.push(sign);
        at += length;
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
        'n' | 'r' => Some(('\n', 2)),
        't' => Some((' ', 2)),
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
            "lt" => '<',
            "gt" => '>',
            _ => return None,
        },
    };
    Some((sign, end + 1))
}
