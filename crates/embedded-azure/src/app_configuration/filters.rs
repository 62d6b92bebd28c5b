//! Which key-values a list holds (docs: App Configuration REST API, Key-values, Filtering).

use url::form_urlencoded;

use super::invalid;
use crate::call::{Answer, Call};

/// What a key or a label has to be.
pub(super) enum Filter {
    Any,
    OneOf(Vec<Term>),
}

/// A text, or what it begins with.
#[derive(Default)]
pub(super) struct Term {
    text: String,
    prefix: bool,
}

/// The most texts in one filter, and the most filters by tags.
const MOST: usize = 5;

/// Reads a filter of the query; without it there is none.
pub(super) fn read(call: &Call, name: &str) -> Result<Filter, Answer> {
    match call.query(name) {
        None => Ok(Filter::Any),
        Some(text) => parse(&text).map_err(|at| match at {
            Fault::Sign(at) => invalid(name, &format!("{name}({at}): Invalid character")),
            Fault::TooMany => invalid(name, &format!("{name}: Too many values")),
        }),
    }
}

/// The filters by tags, each `name=value`; all of them have to fit.
pub(super) fn tags(call: &Call) -> Result<Vec<(String, String)>, Answer> {
    let given = form_urlencoded::parse(call.query.as_bytes()).filter(|(name, _)| name == "tags");
    let pairs: Option<Vec<(String, String)>> = given
        .map(|(_, text)| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let pairs = pairs.ok_or_else(|| invalid("tags", "tags(1): Invalid character"))?;
    if pairs.len() > MOST { Err(invalid("tags", "tags: Too many values")) } else { Ok(pairs) }
}

enum Fault {
    /// By its place, the first being 1.
    Sign(usize),
    TooMany,
}

fn parse(text: &str) -> Result<Filter, Fault> {
    if text == "*" {
        return Ok(Filter::Any);
    }
    let mut terms = vec![Term::default()];
    let mut signs = text.chars().enumerate();
    while let Some((at, sign)) = signs.next() {
        let last = terms.len() - 1;
        let term = &mut terms[last];
        match sign {
            ',' => terms.push(Term::default()),
            // A star ends its text.
            _ if term.prefix => return Err(Fault::Sign(at)),
            '*' => term.prefix = true,
            '\\' => term.text.push(signs.next().ok_or(Fault::Sign(at + 1))?.1),
            _ => term.text.push(sign),
        }
    }
    if terms.len() > MOST { Err(Fault::TooMany) } else { Ok(Filter::OneOf(terms)) }
}

impl Filter {
    /// Whether a key fits, or a label; none is written as `\0`.
    pub(super) fn fits(&self, text: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(terms) => terms.iter().any(|term| term.fits(text)),
        }
    }
}

impl Term {
    fn fits(&self, text: Option<&str>) -> bool {
        match text {
            None => matches!(self.text.as_str(), "\0" | "") && !self.prefix,
            Some(text) if self.prefix => text.starts_with(&self.text),
            Some(text) => text == self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(filter: &str, text: Option<&str>) -> bool {
        parse(filter).ok().expect("a filter").fits(text)
    }

    #[test]
    fn filters_are_texts_and_beginnings_of_them() {
        for (filter, text) in [
            ("*", Some("a")),
            ("*", None),
            ("abc", Some("abc")),
            ("ab*", Some("abc")),
            ("x,abc", Some("abc")),
            (r"a\*b\,c\\d", Some(r"a*b,c\d")),
            ("\0", None),
            ("x,\0", None),
        ] {
            assert!(fits(filter, text), "{filter:?} {text:?}");
        }
        for (filter, text) in [
            ("abc", Some("ABC")),
            ("abc", Some("abcd")),
            ("ab*", None),
            ("\0", Some("x")),
            (r"a\*", Some("ab")),
        ] {
            assert!(!fits(filter, text), "{filter:?} {text:?}");
        }
    }

    #[test]
    fn filters_that_are_none_are_refused() {
        for filter in ["*a", "a*b", "a\\", "a,b,c,d,e,f"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
    }
}
