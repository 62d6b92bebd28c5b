//! One Azure SignalR Service: its keys, the regenerations of them, and which signed calls its data plane accepts.
//!
//! Simulated apps and real HTTP clients go through the same [`check`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::event_grid::Event;
use crate::ids::{Key, KeyType, Pair, ServiceId};
use crate::random::KeyMaker;
use crate::sdk;
use crate::world::SignalR;

/// One Azure SignalR Service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) id: ServiceId,
    pub(crate) keys: Pair<KeyState>,
    pub(crate) disable_local_auth: bool,
    /// Other hosts that lead to it, in lower case.
    domains: Vec<String>,
    /// The regions of its replicas.
    pub(crate) replicas: Vec<String>,
    /// Its service mode.
    pub(crate) mode: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) deleted: bool,
    /// How many keys were replaced because ARM was asked to.
    pub(crate) regenerations: u64,
    /// Every key that it ever had; bare keys in settings are recognised by it.
    issued: Vec<Key>,
    /// The keys that worked until somebody replaced them by force.
    forced_out: Vec<Key>,
}

/// One of the two keys. While a regeneration runs, what is listed is newer than what works.
#[derive(Debug)]
pub(crate) struct KeyState {
    pub(crate) listed: Key,
    pub(crate) effective: Key,
    /// Counts the replacements, so that an operation notices that it was overtaken.
    pub(crate) generation: u64,
}

/// A regeneration in the eyes of ARM.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) service: usize,
    /// Which key, with the new one; none for `Salt`.
    pub(crate) key: Option<(KeyType, Key)>,
    pub(crate) generation: u64,
    pub(crate) started: DateTime<Utc>,
    pub(crate) due: DateTime<Utc>,
    pub(crate) course: Course,
    pub(crate) status: Status,
    /// The query of its URLs, signature included.
    pub(crate) query: String,
    /// What is announced when it ends.
    pub(crate) announcement: Option<Event>,
}

/// How a regeneration is going to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// With a new key.
    Rotate,
    /// Reported as a success, with the old key.
    WithoutEffect,
    /// Reported as a failure, with the old key.
    Fail,
}

/// Where an operation stands, in the words of Microsoft.SignalRService (Azure CLI recording, 2021-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Succeeded,
    Failed,
}

/// The claims that the service requires (docs: Azure SignalR Service data plane REST API reference).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The URL that is called.
    pub(crate) aud: String,
    /// When the token ends, in Unix seconds.
    pub(crate) exp: i64,
}

/// Why a call is refused; each is a 401 with this text in `WWW-Authenticate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The access token is missing or malformed")]
    Malformed,
    #[error("The audience is invalid")]
    Audience,
    #[error("The token is expired")]
    Expired,
    // The text that clients of an invalid key have seen (public issue azure-signalr#2197).
    #[error("The signature key was not found")]
    UnknownKey,
    #[error("Access key authentication is disabled")]
    LocalAuthDisabled,
}

impl Service {
    pub(crate) fn new(id: ServiceId, spec: &SignalR, keys: &mut KeyMaker) -> Self {
        let keys = Pair::each(|_| {
            let key = keys.key();
            KeyState { listed: key.clone(), effective: key, generation: 0 }
        });
        let issued = keys.values().map(|key| key.effective.clone()).to_vec();
        Self {
            id,
            keys,
            disable_local_auth: spec.disable_local_auth,
            domains: spec.domains.iter().map(|domain| domain.to_lowercase()).collect(),
            replicas: spec.replicas.clone(),
            mode: if spec.mode.is_empty() { "Default".into() } else { spec.mode.clone() },
            tags: spec.tags.clone(),
            deleted: false,
            regenerations: 0,
            issued,
            forced_out: Vec::new(),
        }
    }

    /// The host of its data plane (docs: Connection string in Azure SignalR Service).
    pub(crate) fn host(&self) -> String {
        format!("{}.service.signalr.net", self.id.name().to_lowercase())
    }

    /// Whether a host leads to it: its own, also as a fully qualified name with a dot at its end, a custom domain (docs:
    /// Configure a custom domain for your Azure SignalR Service) or a gateway before it.
    pub(crate) fn is_at(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_lowercase();
        host == self.host() || self.domains.contains(&host)
    }

    /// The keys that listKeys shows.
    pub(crate) fn listed(&self) -> Pair<Key> {
        Pair::each(|key_type| self.keys[key_type].listed.clone())
    }

    /// The keys that work.
    pub(crate) fn effective(&self) -> Pair<Key> {
        Pair::each(|key_type| self.keys[key_type].effective.clone())
    }

    /// Notes a key that was made for it.
    pub(crate) fn note(&mut self, key: &Key) {
        self.issued.push(key.clone());
    }

    /// Replaces a key as Azure or another person does, without being asked through ARM.
    pub(crate) fn replace_by_force(&mut self, key_type: KeyType, key: Key) {
        self.note(&key);
        self.forced_out.push(self.keys[key_type].effective.clone());
        self.keys[key_type].replace(key);
    }

    /// Whether a key worked until it was replaced by force.
    pub(crate) fn replaced_by_force(&self, key: &Key) -> bool {
        self.forced_out.contains(key)
    }

    pub(crate) fn issued(&self, key: &Key) -> bool {
        self.issued.contains(key)
    }

    /// Its keys, of all times, that an app finds in a text.
    pub(crate) fn found_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Key> + 'a {
        self.issued.iter().filter(|key| sdk::finds(text, key)).cloned()
    }
}

impl KeyState {
    pub(crate) fn replace(&mut self, key: Key) {
        *self = Self { listed: key.clone(), effective: key, generation: self.generation + 1 };
    }
}

/// Signs a token as the SDK does: HS256, and the secret is the UTF-8 text of the key, not its base64 decoding
/// (SDK source: AuthUtility).
pub(crate) fn sign(key: &Key, audience: &str, expires: DateTime<Utc>) -> String {
    let claims = Claims { aud: audience.to_owned(), exp: expires.timestamp() };
    let secret = EncodingKey::from_secret(key.expose().as_bytes());
    // Signing these two claims cannot fail; were it to, the empty token is refused like any other bad one.
    encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap_or_default()
}

/// Reads the claims of a token without checking its signature.
pub(crate) fn claims(token: &str) -> Option<Claims> {
    jsonwebtoken::dangerous::insecure_decode::<Claims>(token).ok().map(|token| token.claims)
}

/// Whether `service` accepts `token` for a call of `path` at `now`, and by which key.
pub(crate) fn check(
    service: &Service,
    path: &str,
    token: &str,
    now: DateTime<Utc>,
) -> Result<KeyType, Refusal> {
    let claims = claims(token).ok_or(Refusal::Malformed)?;
    if service.disable_local_auth {
        return Err(Refusal::LocalAuthDisabled);
    }
    let key_type = KeyType::ALL
        .into_iter()
        .find(|key_type| signed_by(token, &service.keys[*key_type].effective))
        .ok_or(Refusal::UnknownKey)?;
    if claims.exp <= now.timestamp() {
        return Err(Refusal::Expired);
    }
    audience_fits(&claims.aud, |host| service.is_at(host), path).then_some(key_type).ok_or(Refusal::Audience)
}

fn signed_by(token: &str, key: &Key) -> bool {
    let mut validation = Validation::new(Algorithm::HS256);
    // Only the signature is asked of the library: the embedded Azure has its own clock, and audiences of two forms.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    decode::<Claims>(token, &DecodingKey::from_secret(key.expose().as_bytes()), &validation).is_ok()
}

/// Both forms are in use: the URL without query and trailing slash (docs), and with the query (the SDK itself).
/// The port is not part of it, and plain http is taken because the embedded Azure speaks it.
fn audience_fits(audience: &str, is_at: impl Fn(&str) -> bool, path: &str) -> bool {
    let Ok(url) = Url::parse(audience) else { return false };
    let same_host = url.host_str().is_some_and(is_at);
    let same_path = url.path().trim_end_matches('/').eq_ignore_ascii_case(path.trim_end_matches('/'));
    matches!(url.scheme(), "http" | "https") && same_host && same_path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_with_and_without_query_slash_and_tls() {
        let path = "/api/hubs/chat/users/ann";
        let is_at = |host: &str| host == "sr.service.signalr.net";
        for fits in [
            "https://sr.service.signalr.net/api/hubs/chat/users/ann",
            "http://SR.service.signalr.net:8888/api/hubs/chat/users/ann/",
            "https://sr.service.signalr.net/api/hubs/chat/users/ann?api-version=2022-06-01",
        ] {
            assert!(audience_fits(fits, is_at, path), "{fits}");
        }
        for other in ["https://other.service.signalr.net/api/hubs/chat/users/ann", "chat", "ftp://sr"] {
            assert!(!audience_fits(other, is_at, path), "{other}");
        }
    }
}
