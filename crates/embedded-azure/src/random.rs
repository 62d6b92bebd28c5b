//! Seeded randomness: one stream for each purpose, so that one more operation id does not change the next key.

use fastrand::Rng;
use uuid::{Builder, Uuid};

use crate::ids::Key;

/// Makes access keys.
#[derive(Debug)]
pub(crate) struct KeyMaker {
    rng: Rng,
    prefix: String,
}

/// Makes ids and the opaque query parameters of operation URLs.
#[derive(Debug)]
pub(crate) struct IdMaker {
    rng: Rng,
}

impl KeyMaker {
    pub(crate) fn new(seed: u64, prefix: &str) -> Self {
        Self { rng: stream(seed, 1), prefix: prefix.chars().take(40).collect() }
    }

    /// A key as Azure makes them since 2024 (Azure CLI recording, 2024-10): 84 characters without padding, of which
    /// the signature `JQQJ99` … `AAAAASRS` stands in the middle and near the end.
    pub(crate) fn key(&mut self) -> Key {
        let random = alphanumeric(&mut self.rng, 52 - self.prefix.chars().count());
        let made = alphanumeric(&mut self.rng, 14);
        let check = alphanumeric(&mut self.rng, 4);
        Key::new(format!("{}{random}JQQJ99{made}AAAAASRS{check}", self.prefix))
    }
}

impl IdMaker {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: stream(seed, 2) }
    }

    /// For the ids of events, so that a subscription changes no other id.
    pub(crate) fn of_events(seed: u64) -> Self {
        Self { rng: stream(seed, 3) }
    }

    /// For the versions of secrets, for the same reason.
    pub(crate) fn of_secrets(seed: u64) -> Self {
        Self { rng: stream(seed, 5) }
    }

    /// For the ETags of key-values and the names of sync tokens.
    pub(crate) fn of_key_values(seed: u64) -> Self {
        Self { rng: stream(seed, 6) }
    }

    /// For the names of replicas and executions, so that they change no other id.
    pub(crate) fn of_containers(seed: u64) -> Self {
        Self { rng: stream(seed, 7) }
    }

    /// The ETag of a key-value: 43 signs of base64url in what the service answers today.
    pub(crate) fn etag(&mut self) -> String {
        self.opaque(43)
    }

    /// The id of a version of a secret: 32 hexadecimal digits.
    pub(crate) fn version(&mut self) -> String {
        self.uuid().simple().to_string()
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid()
    }

    /// What stands for a certificate, signature or hash in base64url.
    pub(crate) fn opaque(&mut self, length: usize) -> String {
        alphanumeric(&mut self.rng, length)
    }
}

/// What makes deliveries unreliable.
pub(crate) fn of_deliveries(seed: u64) -> Rng {
    stream(seed, 4)
}

/// Streams of one seed differ by purpose; the constant spreads small seeds apart (Steele et al., SplitMix).
fn stream(seed: u64, purpose: u64) -> Rng {
    Rng::with_seed(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn alphanumeric(rng: &mut Rng, length: usize) -> String {
    std::iter::repeat_with(|| rng.alphanumeric()).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_look_like_those_of_2024_and_follow_from_the_seed() {
        let key = KeyMaker::new(7, "FINDME").key();
        assert_eq!(key.expose().len(), 84);
        assert!(key.expose().starts_with("FINDME") && key.expose().contains("JQQJ99"));
        assert_eq!(key, KeyMaker::new(7, "FINDME").key());
        assert_ne!(key, KeyMaker::new(8, "FINDME").key());
    }
}
