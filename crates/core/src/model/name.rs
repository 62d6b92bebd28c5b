//! Names that know no case: [`AnyCase`], and those that the operator gives to consumers which have no id in Azure.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::holds_a_secret;

/// A name of letters of ASCII that is shown as it was written, and compared without regard to case.
#[derive(Clone)]
pub(super) struct AnyCase(String);

impl AnyCase {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|sign| sign.to_ascii_lowercase())
    }
}

impl PartialEq for AnyCase {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for AnyCase {}

impl Hash for AnyCase {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|sign| state.write_u8(sign));
        state.write_u8(u8::MAX);
    }
}

impl PartialOrd for AnyCase {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AnyCase {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

/// The name of a machine that reports what it holds, or of a consumer that a person changes. It knows no case, as hosts do.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(AnyCase);

impl Name {
    /// How one is written.
    pub(super) const TEMPLATE: &'static str = "{name}";

    /// The longest that one may be: as long as the name of a host.
    const LONGEST: usize = 253;

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// That a text is no [`Name`]: not letters, digits, `.`, `_` and `-` alone, longer than the name of a host, or like a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of letters, digits, '.', '_' and '-'")]
pub struct NotAName;

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || matches!(sign, b'.' | b'_' | b'-');
        let fits = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(is_sign);
        // It is shown wherever somebody looks, and a key that was put in its place must not be.
        if fits && !holds_a_secret(text) { Ok(Self(AnyCase::new(text))) } else { Err(NotAName) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_knows_no_case_is_shown_as_written_and_is_plain() {
        let [written, lower]: [Name; 2] = ["IIS-01", "iis-01"].map(|text| text.parse().unwrap());
        assert_eq!((&written, written.cmp(&lower)), (&lower, Ordering::Equal));
        assert_eq!(std::collections::HashSet::from([written.clone(), lower]).len(), 1);
        assert_eq!(written.to_string(), "IIS-01");
        let key = "aB3dEf6hIj9lMn2pQr5tUv8xYz1BcD4FgH7jKl0nOpQrStU";
        assert_eq!(key.parse::<Name>(), Err(NotAName), "a key");
        let [a, b, c]: [Name; 3] = ["a", "B", "c"].map(|text| text.parse().unwrap());
        assert!(a < b && b < c);
        assert_eq!("web_1.example.com".parse::<Name>().unwrap().as_str(), "web_1.example.com");
        for text in ["", "a b", "a:b", "a/b", "ä", "a\n", &"a".repeat(254)] {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text:?}");
        }
    }
}
