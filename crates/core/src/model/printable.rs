//! Names from outside, as people and machines are told them.
//!
//! Who may write to an app can name a setting as he likes: with signs that move the cursor, or turn the direction of what follows,
//! or with a key. The name itself stays as it is, for reading and writing; [`printable`] is what goes into sentences and answers.

use std::borrow::Cow;

use super::holds_a_secret;

/// What stands in the place of a name that looks like a key.
const LIKE_A_KEY: &str = "(a text that looks like a key)";

/// A name as it is told: on one line, with every sign seen, and without what looks like a key.
pub fn printable(name: &str) -> Cow<'_, str> {
    if holds_a_secret(name) {
        return LIKE_A_KEY.into();
    }
    if !name.contains(is_unseen) {
        return name.into();
    }
    let seen =
        |sign: char| if is_unseen(sign) { sign.escape_unicode().to_string() } else { sign.to_string() };
    name.chars().map(seen).collect()
}

/// Several names as they are told, in a list.
pub fn printable_list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| printable(name.as_ref()).into_owned()).collect::<Vec<_>>().join(", ")
}

/// Whether a sign shows nothing itself, and changes how what is around it is shown: controls, ends of lines, and the controls of
/// bidirectional text (Unicode, UAX #9).
pub fn is_unseen(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_on_one_line_without_keys() {
        let key = "aB3dEf6hIj9lMn2pQr5tUv8xYz1BcD4FgH7jKl0nOpQ=";
        for (name, says) in [
            ("Azure__SignalR__ConnectionString", "Azure__SignalR__ConnectionString"),
            ("Größe des Ärgers", "Größe des Ärgers"),
            ("A\u{1b}[2J\r\nOK\u{9b}8m", "A\\u{1b}[2J\\u{d}\\u{a}OK\\u{9b}8m"),
            ("a\u{202e}b\u{2066}c\u{2028}", "a\\u{202e}b\\u{2066}c\\u{2028}"),
            (&format!("old {key}"), LIKE_A_KEY),
            (key, LIKE_A_KEY),
        ] {
            assert_eq!(printable(name), says);
        }
        assert_eq!(printable_list(["a\n", key]), format!("a\\u{{a}}, {LIKE_A_KEY}"));
    }
}
