//! One request: its token, its time, its attempts, and the reading of its answer.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use azure_core::credentials::{Secret, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientMethodOptions, Context};
use backon::Retryable;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::join;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
};
use reqwest::{Method, Response, StatusCode};
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;

use super::contract::{Effect, Operation};
use super::error::{ArmError, ArmErrorKind};
use super::gate::{self, Admission};
use super::said::{is_page, read_error_body};
use super::sync_tokens::SYNC_TOKEN;
use super::{Arm, retry};
use crate::azure::credentials::InsteadOf;
use crate::azure::http;
use crate::bounded::Unread;
use crate::clock::sleeper;
use crate::report::cause;
use crate::report::text::{azure as words, readable};
use rekey_core::time::delta;

/// The largest answer that is read. Azure Resource Manager itself passes on none above 12 MB (swagger
/// Microsoft.Consumption, ReservationsSummaries_List: "ARM has a payload size limit of 12MB"), so no honest one is
/// refused. A full page of sites is about 2 MB; a dictionary of settings is far smaller.
const LARGEST_ANSWER: usize = 12 << 20;

/// The largest answer other than success that is read. Of those only a code and a sentence are kept.
const LARGEST_REFUSAL: usize = 64 << 10;

/// How much of a header is kept that is only shown. Azure's correlation ids are UUIDs of 36 characters.
const LONGEST_ID: usize = 100;

/// What marks our own requests in the activity log and in the events that they raise.
pub(crate) const CLIENT_REQUEST_PREFIX: &str = "signalr-rekey-";
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const CORRELATION_ID: &str = "x-ms-correlation-request-id";

/// Under which name the log has that Azure is waited for: commands show it too.
pub(crate) const WAITS: &str = "signalr_rekey::waits";

/// A request, complete but for its token.
pub(crate) struct Call {
    operation: Operation,
    method: Method,
    pub(crate) url: Url,
    pub(super) host: Host,
    /// What it is asked on condition of, and for.
    headers: HeaderMap,
    /// Whether a store is told what it has told us.
    synchronized: bool,
    body: Option<Zeroizing<Vec<u8>>>,
}

/// Who answers a request. Each takes tokens of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    ResourceManager,
    /// A Key Vault, at a URL of [`Arm::vault_url`].
    Vault,
    /// An App Configuration store, at a URL of [`Arm::store_url`].
    Store,
}

/// An answer of success.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// None when it broke off or was too large: of a change, the status alone is worth keeping.
    body: Option<Zeroizing<Vec<u8>>>,
}

impl Call {
    pub(crate) fn get(operation: Operation, url: Url) -> Self {
        let (headers, host) = (HeaderMap::new(), Host::ResourceManager);
        Self { operation, method: Method::GET, url, host, headers, synchronized: true, body: None }
    }

    /// A POST without a body, as listing keys and settings takes it.
    pub(crate) fn post(operation: Operation, url: Url) -> Self {
        Self { method: Method::POST, ..Self::get(operation, url) }
    }

    pub(crate) fn put(operation: Operation, url: Url) -> Self {
        Self { method: Method::PUT, ..Self::get(operation, url) }
    }

    pub(crate) fn patch(operation: Operation, url: Url) -> Self {
        Self { method: Method::PATCH, ..Self::get(operation, url) }
    }

    /// The same for a Key Vault, at a URL of [`Arm::vault_url`].
    pub(crate) fn at_vault(self) -> Self {
        Self { host: Host::Vault, ..self }
    }

    /// The same for an App Configuration store, at a URL of [`Arm::store_url`].
    pub(crate) fn at_store(self) -> Self {
        Self { host: Host::Store, ..self }
    }

    /// The same as others ask, who do not know what the store has told us.
    pub(crate) fn told_of_nothing(self) -> Self {
        Self { synchronized: false, ..self }
    }

    /// The same with a header more.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// What it is about, without its query.
    fn resource(&self) -> String {
        let host = self.data_host().map(|host| format!("https://{host}"));
        format!("{}{}", host.unwrap_or_default(), self.url.path())
    }

    /// The host, where it is that of a vault or a store.
    fn data_host(&self) -> Option<&str> {
        self.url.host_str().filter(|_| self.host != Host::ResourceManager)
    }

    /// The bucket that it takes from. A vault and a store have their own limits; what is left of them they do not tell.
    fn bucket(&self) -> gate::Name {
        match self.data_host() {
            Some(host) => gate::Name::of(&self.method, &format!("/subscriptions/{host}")),
            None => gate::Name::of(&self.method, self.url.path()),
        }
    }

    pub(crate) fn with_body(mut self, body: &impl Serialize) -> Result<Self, ArmError> {
        let written = serde_json::to_vec(body).map(Zeroizing::new);
        self.body = Some(written.map_err(|_| self.error(ArmErrorKind::Refused, words::NO_BODY))?);
        Ok(self)
    }

    pub(crate) fn error(&self, kind: ArmErrorKind, message: &str) -> ArmError {
        ArmError::new(kind, self.operation, &self.resource(), message)
    }
}

impl Answer {
    /// How many bytes were read of the body.
    pub(crate) fn length(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len())
    }

    /// The body as JSON. What is wrong with it is not told in serde's words: they quote the value, which may be a key.
    pub(crate) fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ArmError> {
        let read = self.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        read.ok_or_else(|| {
            let page = self.body.as_ref().is_some_and(|body| is_page(body));
            let kind = match call.operation.effect {
                Effect::Read if page => ArmErrorKind::Page,
                Effect::Read => ArmErrorKind::Malformed,
                Effect::Change => ArmErrorKind::OutcomeUnknown,
            };
            let said = if page { words::PAGE } else { words::NOT_THE_CONTRACT };
            self.fault(call, kind, said)
        })
    }

    /// An error about this answer.
    pub(crate) fn fault(&self, call: &Call, kind: ArmErrorKind, message: &str) -> ArmError {
        call.error(kind, message).answered(self.status, correlation_id(&self.headers))
    }

    pub(crate) fn retry_after(&self, arm: &Arm) -> Option<Duration> {
        retry_after(&self.headers, arm)
    }
}

impl Arm {
    /// Sends a request, again where that is right, until it is answered with success.
    ///
    /// Boxed, since the compiler cannot see that the retry's closures are `Send` for every lifetime (rust-lang/rust
    /// issue 102211).
    pub(crate) fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, ArmError>> {
        let mut attempt = 0;
        let attempts = move || {
            attempt += 1;
            self.attempt(call, attempt).boxed()
        };
        let sent = attempts
            .retry(retry::delays(self.shared.jitter_seed.fetch_add(1, Ordering::Relaxed)))
            .sleep(sleeper(&self.shared.clock))
            .when(|error: &ArmError| error.0.resend)
            .adjust(|error, delay| retry::wait(delay, error.0.retry_after, self.left_to_resend()))
            .notify(|error, wait| self.tell_of_wait(error, wait));
        sent.into_future().boxed()
    }

    /// Says that a 429 is waited for, once for all requests that meet one before that wait is over.
    fn tell_of_wait(&self, error: &ArmError, wait: Duration) {
        let now = self.shared.clock.now();
        let mut told = self.shared.told_of_wait.lock();
        if matches!(error.kind(), ArmErrorKind::Throttled { .. }) && told.is_none_or(|until| until <= now) {
            let until = now + delta(wait);
            *told = Some(until);
            tracing::info!(target: WAITS, "{}", words::asked_again(error.in_short(), readable(until)));
        }
    }

    /// One attempt, and its line in the log.
    async fn attempt(&self, call: &Call, attempt: u32) -> Result<Answer, ArmError> {
        let started = self.shared.clock.now();
        let answer = self.exchange(call).await;
        let ms = (self.shared.clock.now() - started).num_milliseconds();
        let (status, correlation_id) = match &answer {
            Ok(answer) => (Some(answer.status), correlation_id(&answer.headers)),
            Err(error) => (error.status(), error.correlation_id().map(Into::into)),
        };
        if let (Ok(Answer { headers, .. }), Effect::Change, Some(trace)) =
            (&answer, call.operation.effect, &self.trace)
        {
            *trace.lock() = self::correlation_id(headers);
        }
        let (operation, resource) = (call.operation.name, call.resource());
        // Not the message, which may quote a secret that was sent: whoever sent it takes it out further up.
        let caused_by = answer.as_ref().err().and_then(|error| error.source()).map(cause::told);
        tracing::debug!(operation, resource, status, attempt, ms, correlation_id, caused_by, "ARM request");
        answer
    }

    /// A token that Azure takes no longer (it may be revoked, or expire between two polls of an operation) is renewed once,
    /// and the request sent once more: nothing came of it.
    async fn exchange(&self, call: &Call) -> Result<Answer, ArmError> {
        let token = self.token(call, None).await?;
        let refused = match self.exchange_as(call, token.clone()).await {
            Err(error) if error.is_about_the_token() => error,
            answer => return answer,
        };
        let another = self.token(call, Some(&token)).await?;
        if another == token {
            return Err(refused.adding(words::SAME_TOKEN_AGAIN));
        }
        let answer = self.exchange_as(call, another).await;
        answer.map_err(|error| match error.is_about_the_token() {
            true => error.adding(words::NEW_TOKEN_TOO),
            false => error,
        })
    }

    async fn exchange_as(&self, call: &Call, token: HeaderValue) -> Result<Answer, ArmError> {
        let admission = self.admitted(call).await?;
        // In a box of its own, which is made for those alone that are under way: thousands may wait.
        self.send_admitted(call, token, admission).boxed().await
    }

    async fn send_admitted(
        &self,
        call: &Call,
        token: HeaderValue,
        admission: Admission,
    ) -> Result<Answer, ArmError> {
        let timeout = self.time_for(call)?;
        let no_client = |error| call.error(ArmErrorKind::Refused, words::NO_CLIENT).caused_by(error);
        let target = self.target(call);
        let client = self.shared.http.client(&target).map_err(no_client)?;
        let mut request = client
            .request(call.method.clone(), target)
            .timeout(timeout)
            .header(AUTHORIZATION, token)
            .header(ACCEPT, "application/json")
            .headers(call.headers.clone())
            .header(CLIENT_REQUEST_ID, format!("{CLIENT_REQUEST_PREFIX}{}", Uuid::new_v4()));
        request = match &call.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_vec()),
            // ARM answers a POST without any length 411.
            None if call.method == Method::POST => request.header(CONTENT_LENGTH, "0"),
            None => request,
        };
        if let Some(host) = call.data_host() {
            request = request.header(HOST, host);
        }
        let store = call.data_host().filter(|_| call.host == Host::Store);
        if let Some(token) =
            store.filter(|_| call.synchronized).and_then(|host| self.shared.sync_tokens.of(host))
        {
            request = request.header(SYNC_TOKEN, token);
        }
        let sent = request.send().await;
        let status = sent.as_ref().ok().map(|response| response.status().as_u16());
        self.shared.tally.count(call.operation.name, status);
        let response = sent.map_err(|error| self.broken(call, error))?;
        if let Some(host) = store {
            self.shared.sync_tokens.learn(host, response.headers());
        }
        let has_room = admission.answered(response.headers());
        let answer = self.read(call, response).await;
        if let Err(error) = &answer
            && error.is_about_all_requests()
            && !has_room
        {
            admission.throttled(error.0.retry_after.unwrap_or(retry::FIRST_DELAY).min(retry::LONGEST_WAIT));
            // That all have to wait is no delay of this one.
            self.timing.iter().for_each(|timing| *timing.sent.lock() = None);
        }
        answer
    }

    /// Waits until Azure has room for a request and nobody is before it.
    async fn admitted(&self, call: &Call) -> Result<Admission, ArmError> {
        let bucket = call.bucket();
        let admitted = self.shared.gate.admit(bucket, &self.turn, self.deadline).await;
        let admitted = admitted.ok_or_else(|| call.error(ArmErrorKind::OutOfTime, words::NO_TURN_IN_TIME))?;
        if let Some(timing) = &self.timing {
            timing.sent.lock().get_or_insert(self.shared.clock.now());
        }
        Ok(admitted)
    }

    async fn read(&self, call: &Call, mut response: Response) -> Result<Answer, ArmError> {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let limit = if status.is_success() { LARGEST_ANSWER } else { LARGEST_REFUSAL };
        let body = http::read(response, limit).await;
        if !status.is_success() {
            return Err(self.refused(call, status, &headers, &body.unwrap_or_default()));
        }
        let status = status.as_u16();
        let body = match (body, call.operation.effect) {
            (Ok(body), _) => Some(body),
            (Err(_), Effect::Change) => None,
            (Err(Unread::Broken(error)), Effect::Read) => return Err(self.broken(call, error)),
            (Err(Unread::TooLarge), Effect::Read) => {
                let error = call.error(ArmErrorKind::Malformed, &words::too_large(limit >> 20));
                return Err(error.answered(status, correlation_id(&headers)));
            }
        };
        Ok(Answer { status, headers, body })
    }

    fn refused(&self, call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ArmError {
        let mut said = read_error_body(body, !call.operation.secrets);
        if status.is_redirection() {
            said.message = words::REDIRECTED.into();
        }
        let (status, after) = (status.as_u16(), retry_after(headers, self));
        let error = ArmError::refusal(call.operation, &call.resource(), status, said, after);
        error.answered(status, correlation_id(headers))
    }

    fn broken(&self, call: &Call, error: reqwest::Error) -> ArmError {
        let late = self.left().is_some_and(|left| left.is_zero());
        ArmError::transport(call.operation, &call.resource(), error, late)
    }

    /// The `Authorization` header. azure_identity keeps tokens and renews them early, so it is asked every time; for another
    /// token than one that was `refused` as well.
    pub(super) async fn token(
        &self,
        call: &Call,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, ArmError> {
        let timeout = self.time_for(call)?;
        let scope = self.scope(call);
        let scopes = [scope.as_str()];
        let bare = refused.and_then(|refused| refused.to_str().ok()?.strip_prefix("Bearer "));
        let options = bare.map(|bare| {
            let context = Context::new().with_value(InsteadOf(Secret::new(bare.to_owned())));
            TokenRequestOptions { method_options: ClientMethodOptions { context } }
        });
        let asked = self.shared.credential.get_token(&scopes, options);
        let token = tokio::time::timeout(timeout, asked).await.map_err(|_| {
            if timeout < retry::REQUEST_TIMEOUT {
                call.error(ArmErrorKind::OutOfTime, words::NO_TOKEN_IN_TIME)
            } else {
                call.error(ArmErrorKind::Unavailable, words::NO_TOKEN_SOON)
            }
        })?;
        let token = token.map_err(|error| {
            let passes = passes(&error);
            let kind = if passes { ArmErrorKind::Unavailable } else { ArmErrorKind::Unauthenticated };
            call.error(kind, words::NO_TOKEN).caused_by(error)
        })?;
        let text = Zeroizing::new(format!("Bearer {}", token.token.secret()));
        let strange = |_| call.error(ArmErrorKind::Unauthenticated, words::STRANGE_TOKEN);
        let mut header = HeaderValue::from_str(&text).map_err(strange)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Gets a token and opens a connection before the first request. A failure is logged here and reported by the first request,
    /// which tries again.
    pub async fn warm_up(&self) {
        let scopes = [self.shared.scope.as_str()];
        // It asks for no token, and changes nothing: what `az cloud register` asks.
        let url = self.url("/metadata/endpoints", "2022-09-01");
        let connected = async {
            let client = self.shared.http.client(&url).ok()?;
            let sent = client.get(url.clone()).timeout(retry::REQUEST_TIMEOUT).send().await.ok()?;
            http::read(sent, LARGEST_REFUSAL).await.ok()
        };
        let (token, connected) = join!(self.shared.credential.get_token(&scopes, None), connected);
        let no_token = token.err().map(|error| cause::told(&error));
        tracing::debug!(no_token, connected = connected.is_some(), "ready to ask Azure");
    }

    /// How long a request may take that is sent now; the error if there is no time for one.
    fn time_for(&self, call: &Call) -> Result<Duration, ArmError> {
        match self.left() {
            None => Ok(retry::REQUEST_TIMEOUT),
            Some(left) if left.is_zero() => Err(call.error(ArmErrorKind::OutOfTime, words::NO_TIME_TO_SEND)),
            Some(left) => Ok(left.min(retry::REQUEST_TIMEOUT)),
        }
    }

    /// The time until nothing is sent again, where there is one.
    fn left_to_resend(&self) -> Option<Duration> {
        let resends =
            self.resends_until.map(|until| (until - self.shared.clock.now()).to_std().unwrap_or_default());
        self.left().into_iter().chain(resends).min()
    }

    /// The time until the deadline, where there is one.
    fn left(&self) -> Option<Duration> {
        let longest = self.timing.as_ref().and_then(|timing| timing.longest);
        let patience = self.sent().zip(longest).map(|(sent, longest)| sent + longest);
        let left = self.deadline.into_iter().chain(patience).min()? - self.shared.clock.now();
        // What is past leaves none.
        Some(left.to_std().unwrap_or_default())
    }
}

/// Whether that there is no token may pass by itself: the endpoint is out of reach, busy or out of order.
fn passes(error: &azure_core::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<azure_core::Error>().map(azure_core::Error::kind) {
            Some(ErrorKind::Connection | ErrorKind::Io) => return true,
            Some(ErrorKind::HttpResponse { status, .. }) => {
                return status.is_server_error() || matches!(u16::from(*status), 408 | 429);
            }
            _ => next = error.source(),
        }
    }
    false
}

fn correlation_id(headers: &HeaderMap) -> Option<String> {
    text(headers, CORRELATION_ID).map(|id| id.chars().take(LONGEST_ID).collect())
}

fn retry_after(headers: &HeaderMap, arm: &Arm) -> Option<Duration> {
    // App Configuration tells milliseconds (docs: App Configuration REST API, throttling).
    let millis = text(headers, "retry-after-ms").and_then(|millis| millis.trim().parse().ok());
    let told = || retry::retry_after(&text(headers, "retry-after")?, arm.shared.clock.now());
    millis.map(retry::milliseconds).or_else(told)
}

/// A header's text, if it is there and readable.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(Into::into)
}
