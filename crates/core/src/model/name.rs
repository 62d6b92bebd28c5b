//! Names that the operator gives to consumers which have no id in Azure.

use std::fmt;
use std::str::FromStr;

/// The name of a machine that reports what it holds, or of a consumer that a person changes. It knows no case, as hosts do.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// How one is written.
    pub(super) const TEMPLATE: &'static str = "{name}";

    /// The longest that one may be: as long as the name of a host.
    const LONGEST: usize = 253;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// That a text is no [`Name`]: not letters, digits, `.`, `_` and `-` alone, or longer than the name of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of letters, digits, '.', '_' and '-'")]
pub struct NotAName;

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || matches!(sign, b'.' | b'_' | b'-');
        let fits = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(is_sign);
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotAName) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_knows_no_case_and_is_plain() {
        assert_eq!("IIS-01".parse::<Name>(), "iis-01".parse());
        assert_eq!("web_1.example.com".parse::<Name>().unwrap().as_str(), "web_1.example.com");
        for text in ["", "a b", "a:b", "a/b", "ä", "a\n", &"a".repeat(254)] {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text:?}");
        }
    }
}
