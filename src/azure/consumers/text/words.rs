//! The words of a text that may be keys, and the hosts that it names.

use std::ops::Range;

/// Shorter words are not taken for keys. Azure's have 44 or 84 characters.
pub(super) const SHORTEST: usize = 20;

/// Nor are longer ones: it bounds what is hashed.
const LONGEST: usize = 256;

/// In a path a key may stand behind so many slashes; slashes are also in keys.
const SLASHES: usize = 8;

pub(super) const fn is_of_base64(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '+' | '/')
}

pub(super) const fn is_of_url_base64(sign: char) -> bool {
    is_of_base64(sign) || matches!(sign, '-' | '_')
}

const fn is_of_host(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.')
}

/// The longest runs of such signs, with where they end.
pub(super) fn runs(text: &str, fits: fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split(move |sign| !fits(sign)).map(move |run| {
        let start = text[at..].find(run).map_or(at, |found| at + found);
        at = start + run.len();
        (at, run)
    })
}

/// Where words stand that may be keys. Some stand within others.
pub(super) fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let of_base64 = runs(text, is_of_base64);
    let others = runs(text, is_of_url_base64).filter(|(_, run)| run.contains(['-', '_']));
    of_base64
        .chain(others)
        .flat_map(|(end, run)| {
            let padding = text[end..].bytes().take(2).take_while(|sign| *sign == b'=').count();
            let begin = end - run.len();
            let slashes = run.match_indices('/').map(move |(slash, _)| begin + slash + 1);
            let starts = std::iter::once(begin).chain(slashes.take(SLASHES));
            starts.flat_map(move |start| (0..=padding).map(move |signs| start..end + signs))
        })
        .filter(|word| (SHORTEST..=LONGEST).contains(&word.len()))
}

/// Whether a text is one word that may be a key.
pub(in super::super) fn is_word(text: &str) -> bool {
    let word = text.trim_end_matches('=');
    text.len() - word.len() <= 2
        && (SHORTEST..=LONGEST).contains(&text.len())
        && word.chars().all(is_of_url_base64)
}

/// Where hosts stand, or what looks like one.
pub(super) fn hosts(text: &str) -> impl Iterator<Item = Range<usize>> {
    let runs = runs(text, is_of_host).filter(|(_, run)| run.contains('.'));
    runs.map(|(end, run)| end - run.len()..end - (run.len() - run.trim_end_matches('.').len()))
}
