//! The data plane of a service: does it take this key?
//!
//! Services are asked by [`KeyService::probe`](super::services::KeyService::probe), which knows of a call that needs a key;
//! here it is signed and sent. One answer proves little, for a new key spreads through the service unevenly
//! (azure-signalr#2197); asking several times in a row is the caller's business.
//!
//! A key counts as accepted by the one answer that only the service gives, and only to a caller with a good key. Whatever
//! stands before the service and answers every call (a front door, a proxy, a gateway with the certificate of its host) has
//! said nothing of the key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use url::Url;

use crate::azure::http::{Http, Insecure, check_secure, is_loopback};
use crate::clock::Clock;
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::model::Key;

/// How long one probe may take. The data plane answers within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a probe's token is good for: the usual tolerance between two clocks, for it is used at once and once.
const TOKEN_LIFE: TimeDelta = TimeDelta::minutes(5);

/// Asks the data plane of services with signed REST calls.
#[derive(Clone)]
pub struct DataPlane {
    http: Http,
    gateway: Option<Url>,
    clock: Arc<dyn Clock>,
}

/// By which 404 says that the service knows of nobody by the name that is asked for. Microsoft's management SDK takes no 404
/// without it for an answer (azure-signalr, `RestHubLifetimeManager.UserExistsAsync`, in letters of either case).
const ERROR_CODE: &str = "x-ms-error-code";
const NO_SUCH_USER: &str = "Warning.User.NotExisted";

/// What a probe tells of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The service took the key.
    Accepted,
    /// The service refused the key. A key that is only just made may be refused for a while.
    Refused {
        /// What the service said.
        detail: String,
    },
    /// Nothing is known of the key: the service could not be asked, or did not say.
    Unreachable {
        /// Why, and what may help.
        detail: String,
    },
}

/// Docs: data plane REST API reference; `aud` and `exp` are required.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl DataPlane {
    /// Makes a prober. With a `gateway`, the simulator on loopback, calls go there instead of to `https://{host}`, signed
    /// and named as if they did not.
    pub fn new(http: Http, gateway: Option<Url>, clock: Arc<dyn Clock>) -> Result<Self, Insecure> {
        match &gateway {
            // An https gateway elsewhere would be given signatures that are made for another host.
            Some(gateway) if !is_loopback(gateway) => Err(Insecure::new(gateway)),
            Some(gateway) => check_secure(gateway),
            None => Ok(()),
        }?;
        Ok(Self { http, gateway, clock })
    }

    /// One signed `HEAD` of `path`, with its query, at `host`, the service's own or a custom domain.
    pub(super) async fn probe(&self, host: &str, path: &str, key: &Key) -> Probe {
        let Some(audience) = audience(host, path) else {
            return Probe::Unreachable { detail: words::no_host(host) };
        };
        match self.ask(host, path, &audience, key).await {
            Ok((status, headers)) => read(host, status, &headers),
            Err(detail) => Probe::Unreachable { detail },
        }
    }

    async fn ask(
        &self,
        host: &str,
        path: &str,
        audience: &Url,
        key: &Key,
    ) -> Result<(u16, HeaderMap), String> {
        let target = match &self.gateway {
            Some(gateway) => gateway.join(path).map_err(|error| cause::told(&error))?,
            None => audience.clone(),
        };
        let authorization = self.sign(audience, key)?;
        let client = self.http.client(&target).map_err(|error| cause::told(&error))?;
        let request = client.head(target).timeout(TIMEOUT).header(AUTHORIZATION, authorization);
        let request = if self.gateway.is_some() { request.header(HOST, host) } else { request };
        let answer = request.send().await.map_err(|error| unreachable(host, error))?;
        Ok((answer.status().as_u16(), answer.headers().clone()))
    }

    /// The key's text itself is the HMAC secret, not what its base64 would decode to (.NET SDK, AuthUtility).
    fn sign(&self, audience: &Url, key: &Key) -> Result<HeaderValue, String> {
        let now = self.clock.now();
        let (iat, exp) = (now.timestamp(), (now + TOKEN_LIFE).timestamp());
        let claims = Claims { aud: audience.as_str(), iat, exp };
        let secret = EncodingKey::from_secret(key.expose().as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret);
        let token = Zeroizing::new(token.map_err(|error| cause::because(words::NOT_SIGNED, Some(&error)))?);
        let header = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut header = HeaderValue::from_str(&header).map_err(|error| cause::told(&error))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

impl fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPlane")
            .field("gateway", &self.gateway.as_ref().map(Url::as_str))
            .finish_non_exhaustive()
    }
}

/// The URL that is signed: the full one, on the host that the connection strings name, as the .NET SDK signs it.
fn audience(host: &str, path: &str) -> Option<Url> {
    let url = Url::parse(&format!("https://{host}{path}")).ok()?;
    (url.host_str() == Some(host.to_lowercase().as_str()) && url.port().is_none()).then_some(url)
}

fn read(host: &str, status: u16, headers: &HeaderMap) -> Probe {
    let code = headers.get(ERROR_CODE).and_then(|code| code.to_str().ok());
    let is_of_the_service = code.is_some_and(|code| code.eq_ignore_ascii_case(NO_SUCH_USER));
    match status {
        404 if is_of_the_service => Probe::Accepted,
        401 => Probe::Refused { detail: refusal(host, headers) },
        _ => Probe::Unreachable { detail: words::says_nothing(host, status) },
    }
}

fn refusal(host: &str, headers: &HeaderMap) -> String {
    let said = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let said = said.map(|said| said.chars().take(200).collect::<String>());
    words::refused(host, said.as_deref().unwrap_or(words::NO_REASON_GIVEN))
}

fn unreachable(host: &str, error: reqwest::Error) -> String {
    let what = words::out_of_reach(host);
    if error.is_timeout() {
        return cause::with(&what, &words::no_answer_within(humantime::format_duration(TIMEOUT)));
    }
    cause::because(&what, Some(&error.without_url()))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn told(status: u16, code: Option<&'static str>) -> &'static str {
        let code = code.map(|code| (HeaderName::from_static(ERROR_CODE), HeaderValue::from_static(code)));
        match read("chat.service.signalr.net", status, &code.into_iter().collect()) {
            Probe::Accepted => "accepted",
            Probe::Refused { .. } => "refused",
            Probe::Unreachable { .. } => "unreachable",
        }
    }

    #[test]
    fn what_the_service_answers_tells_of_the_key() {
        for code in [NO_SUCH_USER, "warning.user.notexisted"] {
            assert_eq!(told(404, Some(code)), "accepted");
        }
        for code in [None, Some(NO_SUCH_USER)] {
            assert_eq!(told(401, code), "refused");
        }
    }

    /// A front door that asks to sign in, a proxy that knows no such path: they answer every call alike, whatever the key.
    #[test]
    fn whatever_else_is_answered_says_nothing_of_the_key() {
        for status in [200, 204, 301, 400, 403, 404, 429, 500, 503] {
            assert_eq!(told(status, None), "unreachable", "{status}");
        }
        for (status, code) in [(200, NO_SUCH_USER), (404, "Warning.Group.NotExisted"), (404, "")] {
            assert_eq!(told(status, Some(code)), "unreachable", "{status} {code}");
        }
    }

    #[test]
    fn only_a_host_name_is_asked() {
        let path = "/api/x?api-version=2022-06-01";
        let url = audience("Chat.service.signalr.net", path).unwrap();
        assert_eq!(url.as_str(), format!("https://chat.service.signalr.net{path}"));
        for host in ["", "a/b", "a@evil.example", "a:8080", "a?x", "a#x", "a b"] {
            assert_eq!(audience(host, path), None, "{host}");
        }
    }
}
