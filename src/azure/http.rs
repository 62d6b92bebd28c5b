//! The one HTTP client of the process, for Azure Resource Manager, the data plane and azure_identity alike.
//!
//! Start at [`Http`]. Building a client reads the system's certificates, so it happens at the first request, beside what the
//! Functions host waits for when it starts us.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, Transport};
use futures::stream;
use reqwest::{Client, Response};
use secrecy::zeroize::Zeroizing;
use url::{Host, Position, Url};

use crate::bounded::{self, Unread};
use crate::report::cause;
use crate::report::text::azure as words;

/// How long a TCP and TLS handshake may take. Azure's front doors answer within a second; five leave room for one
/// lost SYN, and stay well below the time of a request, so that a connect failure is known as one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a token endpoint may take from the first byte of the request to the last of its answer. Azure's answer within
/// a second; no connection of theirs may be left hanging on a body that never ends.
pub(crate) const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer of a token endpoint that is read. A token has to fit into a header, of which servers take 8 to 32 kB
/// (Kestrel: 32 KiB for all together), and what stands around it is small.
const LARGEST_TOKEN_ANSWER: usize = 64 << 10;

/// The most headers that an answer over HTTP/1.1 may have; Azure sends about twenty. It is also hyper's own default,
/// which is here made sure of. The bytes of a head are bounded by hyper to 408 KiB (`DEFAULT_MAX_BUFFER_SIZE`), which
/// reqwest cannot change: what is kept of headers is bounded where it is taken.
const MOST_HEADERS: usize = 100;

/// The same over HTTP/2, in bytes. hyper's default of 16 KiB is close to what Azure sends with a regeneration: two URLs
/// of 3.3 kB each since 2024, and some twenty others.
const LARGEST_HEADERS: u32 = 64 << 10;

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A lazily built pair of clients; cloning it shares them.
///
/// Guarantees: no redirect is followed, nothing is sent again behind our back, and loopback and link-local hosts (the
/// simulator, the platform's token endpoint) are reached directly, whatever the proxy settings of the system say. No
/// answer is unpacked (reqwest's features `gzip`, `brotli`, `deflate` and `zstd` are off), so none can be larger than
/// what came over the wire, and that is read by `read` below, which stops.
#[derive(Clone, Default)]
pub struct Http {
    clients: Arc<Clients>,
}

#[derive(Default)]
struct Clients {
    direct: OnceLock<Result<Client, HttpError>>,
    system: OnceLock<Result<Client, HttpError>>,
}

/// The client could not be built: the TLS set-up of the machine is broken.
#[derive(Clone, Debug, thiserror::Error)]
pub struct HttpError(#[source] Arc<reqwest::Error>);

/// A URL that a token or a signature would leave on unencrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Insecure(pub(crate) String);

impl Http {
    /// A pair that is built when it is first needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same clients as azure_identity takes them.
    pub fn transport(&self) -> Transport {
        Transport::new(Arc::new(self.clone()))
    }

    pub(crate) fn client(&self, url: &Url) -> Result<&Client, HttpError> {
        let client = if is_near(url) {
            self.clients.direct.get_or_init(|| build(Client::builder().no_proxy()))
        } else {
            self.clients.system.get_or_init(|| build(Client::builder()))
        };
        client.as_ref().map_err(Clone::clone)
    }
}

fn build(builder: reqwest::ClientBuilder) -> Result<Client, HttpError> {
    builder
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .http1_max_headers(MOST_HEADERS)
        .http2_max_header_list_size(LARGEST_HEADERS)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .map_err(|error| HttpError(Arc::new(error)))
}

/// Reads the body of an answer, and stops where it goes beyond `limit` bytes. The connection is closed then.
pub(crate) async fn read(
    response: Response,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Unread<reqwest::Error>> {
    let expected = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
    let next =
        |mut response: Response| async move { Ok(response.chunk().await?.map(|chunk| (chunk, response))) };
    bounded::read(stream::try_unfold(response, next), limit, expected).await
}

/// How long one answer to the question whether an app works may take.
const HEALTH_ANSWER: Duration = Duration::from_secs(5);

/// Asks a URL whether an app works; or why it does not, as far as that tells. No token goes with it, no redirect is followed,
/// and of the answer nothing but the status is read.
pub(crate) async fn ask_health(http: &Http, url: &Url) -> Result<(), String> {
    let client = http.client(url).map_err(|error| cause::told(&error))?;
    let answer = client.get(url.clone()).timeout(HEALTH_ANSWER).send().await;
    let answer =
        answer.map_err(|error| cause::because(words::NO_HEALTH_ANSWER, Some(&error.without_url())))?;
    let status = answer.status();
    match status.as_u16() {
        _ if status.is_success() => Ok(()),
        number @ 300..=399 => Err(words::health_redirects(number)),
        number @ (401 | 403) => Err(words::health_refused(number)),
        number => Err(words::health_status(number)),
    }
}

/// A URL that is asked how an app is, as people are told of it: a query may be a secret.
pub(crate) fn shown(url: &Url) -> String {
    format!("{}{}", origin_of(url), url.path())
}

/// Refuses a URL to which no credential may be sent: https is always in order, plain http on loopback alone.
pub(crate) fn check_secure(url: &Url) -> Result<(), Insecure> {
    let secure = match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(url),
        _ => false,
    };
    secure.then_some(()).ok_or_else(|| Insecure::new(url))
}

/// Where a URL leads, with the port if it names one, and without what may be a secret: a user, a path, a query.
pub(crate) fn origin_of(url: &Url) -> String {
    format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort])
}

impl Insecure {
    /// Neither the path nor the user name of a wrong URL is repeated: people paste secrets there.
    pub(crate) fn new(url: &Url) -> Self {
        Self(origin_of(url))
    }
}

/// Whether a URL's host is this machine: 127.0.0.0/8, ::1 or `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Loopback, or the link-local addresses on which Azure's platform gives out tokens.
fn is_near(url: &Url) -> bool {
    is_loopback(url) || matches!(url.host(), Some(Host::Ipv4(address)) if address.is_link_local())
}

#[async_trait]
impl HttpClient for Http {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let client =
            self.client(request.url()).map_err(|error| azure_core::Error::new(ErrorKind::Other, error))?;
        let answered = tokio::time::timeout(TOKEN_TIMEOUT, execute(client, request)).await;
        let late = |_| azure_core::Error::with_message(ErrorKind::Io, words::NO_WHOLE_ANSWER_IN_TIME);
        answered.map_err(late)?
    }
}

/// One request of azure_identity. Its pipeline reads an answer whole, so it is handed one that is bounded.
async fn execute(client: &Client, request: &Request) -> azure_core::Result<AsyncRawResponse> {
    let (status, headers, chunks) = client.execute_request(request).await?.deconstruct();
    let mut body = match bounded::read(chunks, LARGEST_TOKEN_ANSWER, 0).await {
        Ok(body) => body,
        Err(Unread::Broken(error)) => return Err(error),
        Err(Unread::TooLarge) => {
            let message = words::too_large_for_a_token(LARGEST_TOKEN_ANSWER >> 10);
            return Err(azure_core::Error::with_message(ErrorKind::Other, message));
        }
    };
    if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
        return Err(no_json(u16::from(status), &body));
    }
    Ok(AsyncRawResponse::from_bytes(status, headers, std::mem::take(&mut *body)))
}

/// A page of some proxy, a gateway or a portal. azure_identity would only say that it cannot be parsed. What came as a
/// success is not repeated: it might hold a token.
fn no_json(status: u16, body: &[u8]) -> azure_core::Error {
    let text = String::from_utf8_lossy(body);
    let page = text.trim_start().starts_with('<');
    let may_be_told = status >= 400 && !page && !text.trim().is_empty();
    let said = if may_be_told { format!(": {}", cause::tidy(&text)) } else { String::new() };
    let what = if page { words::A_PAGE } else { words::NO_JSON };
    let message = words::no_token_endpoint(status, what, said);
    // The kinds that azure_core asks again for, and the one for which it does not.
    let kind = if matches!(status, 408 | 429 | 500..) { ErrorKind::Io } else { ErrorKind::Other };
    azure_core::Error::with_message(kind, message)
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_over_https_or_to_loopback() {
        for secure in [
            "https://management.azure.com",
            "http://127.0.0.1:7400",
            "http://127.8.9.1",
            "http://[::1]:1",
            "http://localhost:7400/arm",
            "http://LOCALHOST",
        ] {
            assert_eq!(check_secure(&Url::parse(secure).unwrap()), Ok(()), "{secure}");
        }
        for insecure in [
            "http://management.azure.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "http://[::ffff:127.0.0.1]",
            "ftp://localhost",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            assert!(check_secure(&Url::parse(insecure).unwrap()).is_err(), "{insecure}");
        }
    }

    #[test]
    fn a_refused_url_is_named_without_what_people_paste_into_it() {
        let url = Url::parse("http://user:hunter2@example.com/path?sig=hunter2").unwrap();
        insta::assert_snapshot!(check_secure(&url).unwrap_err(), @"http://example.com is neither https nor on loopback, and credentials go nowhere else: write its https:// URL instead");
    }
}
