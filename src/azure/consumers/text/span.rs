//! Where a key stands in a text as it is written, and how another key is written there.
//!
//! Letters and digits stand for themselves wherever a key can stand. The signs `+`, `/` and `=` do so in JSON, in `.env`, in
//! quotes and in connection strings, and in URLs they do not always; and whoever escaped them in the old key may need it in
//! the new one. So each is written as the old key has it; a sign that the old key has not, as those are that it has, or as
//! the signs around it. Where that tells nothing, nobody knows, and the text is not rewritten.

use std::ops::Range;

use secrecy::zeroize::Zeroizing;

use super::decoded::{Decoded, unescaped, without_escapes};

/// The signs of a key that some texts escape.
const SIGNS: [char; 3] = ['+', '/', '='];

/// What ends the surroundings of a key, unless it is escaped as in a URL itself.
const BOUNDS: &str = "\"'`;,|<>(){}[]";

/// How far the surroundings of a key are looked at to each side.
const FAR: usize = 1024;

/// Where a key stands in a text as it is written.
pub(in super::super) struct Span {
    pub(in super::super) at: Range<usize>,
    way: Way,
}

/// How a key is written.
enum Way {
    AsItIs,
    /// The signs that may need an escape in this order, as they are to be written; none where nobody knows.
    Signs([Option<Zeroizing<String>>; 3]),
}

impl Span {
    /// A place in which every key is written as it is.
    pub(in super::super) const fn as_it_is(at: Range<usize>) -> Self {
        Self { at, way: Way::AsItIs }
    }

    /// A key as it is to be written here, if that is known.
    pub(in super::super) fn written(&self, key: &str) -> Option<Zeroizing<String>> {
        let Way::Signs(signs) = &self.way else { return Some(Zeroizing::new(key.to_owned())) };
        let mut text = Zeroizing::new(String::with_capacity(3 * key.len()));
        for sign in key.chars() {
            match SIGNS.iter().position(|known| *known == sign) {
                Some(at) => text.push_str(signs[at].as_ref()?),
                None if sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_') => text.push(sign),
                None => return None,
            }
        }
        Some(text)
    }

    /// Whether every key that Azure may make can be written here.
    pub(in super::super) fn takes_any(&self) -> bool {
        match &self.way {
            Way::AsItIs => true,
            Way::Signs(signs) => signs.iter().all(Option::is_some),
        }
    }
}

/// A sign of the plain text, and the text that it was read from.
type Written<'t> = (char, &'t str);

impl Decoded<'_> {
    /// Where a key stands that was found in the plain text; none where another cannot be put in its place for sure.
    pub(in super::super) fn span(&self, key: &Range<usize>) -> Option<Span> {
        if !self.is_plain || ends_within_an_escape(&self.plain[..key.start]) {
            return None;
        }
        let signs: Vec<Written<'_>> = self.signs(key.clone()).collect();
        // A letter behind a backslash is a letter to a shell, and an error to JSON.
        let is_odd =
            |one: &Written<'_>| !SIGNS.contains(&one.0) && is_escaped(one) && changed_to(one, 'A').is_none();
        if signs.iter().any(is_odd) {
            return None;
        }
        let around = self.around(key);
        let way = Way::Signs(SIGNS.map(|sign| self.way_of(sign, &signs, &around)));
        Some(Span { at: self.written_at(key), way })
    }

    /// Whether each of some keys can be written in the place of one, and then each in the place of that: what the one shows of how
    /// signs are written another may not, and nobody is to be given a key that cannot be replaced any more.
    pub(in super::super) fn takes(&self, at: &Range<usize>, span: &Span, keys: &[&str]) -> bool {
        let takes_all = |span: &Span| keys.iter().all(|key| span.written(key).is_some());
        let around = self.around(at);
        let [before, behind] =
            [around.start..at.start, at.end..around.end].map(|part| self.written_at(&part));
        let is_kept = |key: &&str| {
            let Some(written) = span.written(key) else { return false };
            let text = [&self.written[before.clone()], &written, &self.written[behind.clone()]].concat();
            let text = Zeroizing::new(text);
            let start = at.start - around.start;
            Decoded::read(&text).span(&(start..start + key.len())).is_some_and(|span| takes_all(&span))
        };
        keys.iter().all(is_kept)
    }

    /// How a sign is to be written in the place of a key that is written like this.
    fn way_of(&self, sign: char, key: &[Written<'_>], around: &Range<usize>) -> Option<Zeroizing<String>> {
        let mut own = key.iter().filter(|(known, _)| *known == sign).map(|(_, written)| *written);
        if let Some(first) = own.next() {
            return own.all(|other| other == first).then(|| Zeroizing::new(first.to_owned()));
        }
        let mut escaped = key.iter().filter(|one| is_escaped(one));
        if let Some(one) = escaped.clone().find(|one| is_of_url(one)) {
            return changed_to(one, sign);
        }
        // In a URL that escapes other signs, a key that shows none of these is escaped as they are.
        let mut of_url = self.signs(around.clone()).filter(is_of_url).peekable();
        if of_url.peek().is_some() {
            let shows_none = !key.iter().any(|(known, _)| SIGNS.contains(known));
            return of_url.find_map(|one| changed_to(&one, sign)).filter(|_| shows_none);
        }
        if looks_like_url(&self.plain[around.clone()]) {
            return None;
        }
        let as_it_is = || Some(Zeroizing::new(sign.to_string()));
        escaped.find_map(|one| changed_to(one, sign)).or_else(as_it_is)
    }

    /// The signs of a part of the plain text, each with what it was read from.
    fn signs(&self, part: Range<usize>) -> impl DoubleEndedIterator<Item = Written<'_>> {
        let start = part.start;
        self.plain[part].char_indices().map(move |(at, sign)| {
            let at = start + at..start + at + sign.len_utf8();
            (sign, &self.written[self.written_at(&at)])
        })
    }

    /// The key with what stands around it up to a blank, a quote or the like.
    fn around(&self, key: &Range<usize>) -> Range<usize> {
        let is_of_it = |one: &Written<'_>| {
            let is_bound = one.0.is_whitespace() || BOUNDS.contains(one.0);
            !is_bound || is_of_url(one)
        };
        let length = |(sign, _): Written<'_>| sign.len_utf8();
        let before = self.signs(0..key.start).rev().take(FAR).take_while(is_of_it).map(length);
        let behind = self.signs(key.end..self.plain.len()).take(FAR).take_while(is_of_it).map(length);
        key.start - before.sum::<usize>()..key.end + behind.sum::<usize>()
    }
}

fn is_escaped((sign, written): &Written<'_>) -> bool {
    let mut signs = written.chars();
    signs.next() != Some(*sign) || signs.next().is_some()
}

/// Whether a sign is escaped as in URLs, whatever else is around that.
fn is_of_url(one: &Written<'_>) -> bool {
    if !is_escaped(one) {
        return false;
    }
    let mut text = Zeroizing::new(one.1.to_owned());
    loop {
        if text.contains('%') {
            return true;
        }
        match unescaped(&text, |_, _| {}) {
            Some(next) => text = next,
            None => return false,
        }
    }
}

/// Whether a text is a URL, or a query.
fn looks_like_url(text: &str) -> bool {
    text.contains("://") || text.contains(['?', '&', '%'])
}

/// What stands for another sign in the same way: the number in an escape is replaced.
fn changed_to((sign, written): &Written<'_>, other: char) -> Option<Zeroizing<String>> {
    // A backslash before a sign stands for that sign, and before another perhaps for nothing.
    if is_behind_a_backslash(written) {
        return None;
    }
    let (from, to) = (u32::from(*sign), u32::from(other));
    let is_other = |text: &Zeroizing<String>| {
        let plain = without_escapes(text);
        plain.as_ref().is_some_and(|plain| plain.chars().eq([other]))
    };
    let with = |old: &str, new: &str| {
        let at = written.rfind(old)?;
        Some(Zeroizing::new([&written[..at], new, &written[at + old.len()..]].concat())).filter(is_other)
    };
    with(&format!("{from:02X}"), &format!("{to:02X}"))
        .or_else(|| with(&format!("{from:02x}"), &format!("{to:02x}")))
        .or_else(|| with(&from.to_string(), &to.to_string()))
}

/// Whether a sign is written as itself behind a backslash, whatever else is around that.
fn is_behind_a_backslash(written: &str) -> bool {
    let mut text = Zeroizing::new(written.to_owned());
    while let Some(next) = unescaped(&text, |_, _| {}) {
        if next.chars().count() == 1 {
            return text.starts_with('\\') && text.chars().count() == 2;
        }
        text = next;
    }
    false
}

/// Whether the next letters would belong to an escape that has begun.
fn ends_within_an_escape(text: &str) -> bool {
    let digits = text.len() - text.trim_end_matches(|sign: char| sign.is_ascii_hexdigit()).len();
    (0..=digits.min(3)).any(|digits| {
        let before = &text[..text.len() - digits];
        (digits == 0 && before.ends_with('\\'))
            || (digits <= 1 && (before.ends_with('%') || before.ends_with("\\x")))
            || before.ends_with("\\u")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However long the word is that a key stands in, no more of it is looked at.
    #[test]
    fn the_surroundings_of_a_key_end_somewhere() {
        let key = "Aq7Ah3XvP0nZ2sLdT5yWbM8cRfJ4gUeHiQoV6tNxSzDl";
        let text = format!("{key}:").repeat(1000);
        let text = Decoded::read(&text);
        let keys = text.keys(|word| word == key);
        assert_eq!(keys.len(), 1000);
        assert!(keys.iter().all(|at| text.around(at).len() <= 2 * FAR + key.len()));
        assert!(keys.iter().all(|at| text.span(at).is_some_and(|span| span.takes_any())));
    }

    #[test]
    fn what_would_belong_to_an_escape_is_known() {
        for (text, is) in [
            ("", false),
            ("a", false),
            ("%", true),
            ("%4", true),
            ("%41", false),
            ("%4g", false),
            ("\\", true),
            ("\\a", false),
            ("\\x", true),
            ("\\x4", true),
            ("\\x41", false),
            ("\\u", true),
            ("\\u004", true),
            ("\\u0041", false),
            ("u004", false),
        ] {
            assert_eq!(ends_within_an_escape(text), is, "{text}");
        }
    }
}
