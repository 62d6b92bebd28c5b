//! The data plane of one instance: which signed calls it accepts.
//!
//! Simulated apps and real HTTP clients go through the same [`check`].

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::state::Instance;
use rekey_core::model::{Key, KeyType};

/// The claims that the service requires (docs: Azure SignalR Service data plane REST API reference).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The URL that is called.
    pub(super) aud: String,
    /// When the token ends, in Unix seconds.
    pub(super) exp: i64,
}

/// Why a call is refused; each is a 401 with this text in `WWW-Authenticate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("The access token is missing or malformed")]
    Malformed,
    #[error("The audience is invalid")]
    Audience,
    #[error("The token is expired")]
    Expired,
    // The text that clients of a dead key have seen (public issue azure-signalr#2197).
    #[error("The signature key was not found")]
    UnknownKey,
    #[error("Access key authentication is disabled")]
    LocalAuthDisabled,
}

/// Signs a token as the SDK does: HS256, and the secret is the UTF-8 text of the key, not its base64 decoding
/// (SDK source: AuthUtility).
pub(super) fn sign(key: &Key, audience: &str, expires: DateTime<Utc>) -> String {
    let claims = Claims { aud: audience.to_owned(), exp: expires.timestamp() };
    let secret = EncodingKey::from_secret(key.expose().as_bytes());
    // Signing these two claims cannot fail; were it to, the empty token is refused like any other bad one.
    encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap_or_default()
}

/// Reads the claims of a token without checking its signature.
pub(super) fn claims(token: &str) -> Option<Claims> {
    jsonwebtoken::dangerous::insecure_decode::<Claims>(token).ok().map(|token| token.claims)
}

/// Whether `instance` accepts `token` for a call of `path` at `now`, and by which key.
pub(super) fn check(
    instance: &Instance,
    path: &str,
    token: &str,
    now: DateTime<Utc>,
) -> Result<KeyType, Refusal> {
    let claims = claims(token).ok_or(Refusal::Malformed)?;
    if instance.disable_local_auth {
        return Err(Refusal::LocalAuthDisabled);
    }
    let key_type = KeyType::ALL
        .into_iter()
        .find(|key_type| signed_by(token, &instance.keys[*key_type].effective))
        .ok_or(Refusal::UnknownKey)?;
    if claims.exp <= now.timestamp() {
        return Err(Refusal::Expired);
    }
    audience_fits(&claims.aud, |host| instance.is_at(host), path).then_some(key_type).ok_or(Refusal::Audience)
}

fn signed_by(token: &str, key: &Key) -> bool {
    let mut validation = Validation::new(Algorithm::HS256);
    // Only the signature is asked of the library: the simulator has its own clock, and audiences of two forms.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    decode::<Claims>(token, &DecodingKey::from_secret(key.expose().as_bytes()), &validation).is_ok()
}

/// Both forms are in use: the URL without query and trailing slash (docs), and with the query (the SDK itself).
/// The port is not part of it, and plain http is taken because the simulator speaks it.
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
