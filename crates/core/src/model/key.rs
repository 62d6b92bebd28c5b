//! Access keys, and what may be said of them in public.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Which of the two access keys of a service. (`Salt` exists in Azure's API and is never touched.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyType {
    /// The first key.
    Primary,
    /// The second key.
    Secondary,
}

impl KeyType {
    /// Both, in Azure's order.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// The other key of the service.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }

    /// Azure's spelling, as `SignalR_RegenerateKey` takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "Primary",
            Self::Secondary => "Secondary",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// That a text is neither `Primary` nor `Secondary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKeyType;

impl FromStr for KeyType {
    type Err = NotAKeyType;

    /// Azure takes any case (`secondary` was recorded).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|key_type| key_type.as_str().eq_ignore_ascii_case(text)).ok_or(NotAKeyType)
    }
}

/// One value for each of the two keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PerKey<T> {
    /// That of the primary key.
    pub primary: T,
    /// That of the secondary key.
    pub secondary: T,
}

impl<T> PerKey<T> {
    /// Makes both values from their key type.
    pub fn from_fn(mut make: impl FnMut(KeyType) -> T) -> Self {
        Self { primary: make(KeyType::Primary), secondary: make(KeyType::Secondary) }
    }

    /// Both values with their key types, Primary first.
    pub fn iter(&self) -> impl Iterator<Item = (KeyType, &T)> {
        KeyType::ALL.into_iter().map(|key_type| (key_type, &self[key_type]))
    }
}

impl<T> PerKey<T> {
    /// Both values, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.primary, &mut self.secondary].into_iter()
    }
}

impl<T> Index<KeyType> for PerKey<T> {
    type Output = T;

    fn index(&self, key_type: KeyType) -> &T {
        match key_type {
            KeyType::Primary => &self.primary,
            KeyType::Secondary => &self.secondary,
        }
    }
}

impl<T> IndexMut<KeyType> for PerKey<T> {
    fn index_mut(&mut self, key_type: KeyType) -> &mut T {
        match key_type {
            KeyType::Primary => &mut self.primary,
            KeyType::Secondary => &mut self.secondary,
        }
    }
}

/// An access key: an opaque text (44 characters of base64 once, 84 since 2024; nothing is assumed of it).
/// It is wiped from memory when dropped, has no `Display`, and its `Debug` shows the fingerprint alone.
#[derive(Clone)]
pub struct Key(SecretString);

impl Key {
    /// Takes a key out of the open.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The key itself. For signing, and for writing it into a setting; for nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What may be said of the key in public.
    pub fn fingerprint(&self) -> Fingerprint {
        let hash = Sha256::digest(self.expose().as_bytes());
        Fingerprint(hash.iter().take(Fingerprint::BYTES).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key([redacted], fingerprint {})", self.fingerprint())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Key {}

/// Both keys of a service, as `SignalR_ListKeys` answers them.
pub type KeyPair = PerKey<Key>;

/// The first eight bytes of a key's SHA-256, in hexadecimal: enough to tell a service's keys of years apart
/// (a chance of 1 in 10^13 among a thousand), useless for guessing a key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    const BYTES: usize = 8;
}

/// That a text is not what a fingerprint is written as: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Reads what `Display` shows, in any case.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let is_one = text.len() == 2 * Self::BYTES && text.bytes().all(|sign| sign.is_ascii_hexdigit());
        if is_one { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotAFingerprint) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_its_fingerprint_and_nothing_else() {
        let key = Key::new("abc");
        // The first eight bytes of SHA-256("abc"), FIPS 180-2 appendix B.1.
        assert_eq!(format!("{key:?}"), "Key([redacted], fingerprint ba7816bf8f01cfea)");
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown_and_nothing_else_is_one() {
        let fingerprint = Key::new("abc").fingerprint();
        assert_eq!(fingerprint.to_string().to_uppercase().parse(), Ok(fingerprint));
        for text in ["", "ba7816bf8f01cfe", "ba7816bf8f01cfeaa", "ba7816bf8f01cfeg", " ba7816bf8f01cfea"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(NotAFingerprint), "{text}");
        }
    }

    #[test]
    fn key_types_are_read_in_any_case_and_salt_is_none() {
        assert_eq!("secondary".parse(), Ok(KeyType::Secondary));
        assert!("Salt".parse::<KeyType>().is_err());
    }
}
