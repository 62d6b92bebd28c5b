//! The process's own HTTP client under `object_store`, which also reads the storage's clock off every answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::refusal::Said;
use crate::azure::http::Http;
use crate::bounded::{self, Unread};
use crate::clock::Clock;
use crate::store::LARGEST_DOCUMENT;

/// How long one request to storage may take, to the last byte of its answer. Documents are a few kilobytes.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A refusal that is larger than any document may be.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("larger than {} MiB", LARGEST_DOCUMENT >> 20)]
struct TooLarge;

/// Sends requests to storage, and knows what time it is there.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    http: Http,
    clock: Arc<dyn Clock>,
    /// How far the storage's clock is ahead of ours, by the `Date` of the last answer.
    ahead: Arc<Mutex<TimeDelta>>,
    under_way: Arc<Semaphore>,
}

/// How many requests are under way at most. Each has a connection of its own, of which an instance of App Service has 128
/// (docs: Troubleshoot intermittent outbound connection errors); a document is read in a hundredth of a second.
const UNDER_WAY: usize = 24;

impl Storage {
    pub(super) fn new(http: Http, clock: Arc<dyn Clock>) -> Self {
        Self { http, clock, ahead: Arc::default(), under_way: Arc::new(Semaphore::new(UNDER_WAY)) }
    }

    /// The time by the storage's clock, to the second.
    pub(super) fn storage_now(&self) -> DateTime<Utc> {
        self.clock.now() + *self.ahead.lock()
    }

    fn read_clock(&self, response: &HttpResponse) {
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
            let ahead = date.to_utc() - self.clock.now();
            *self.ahead.lock() = ahead;
        }
    }
}

impl HttpConnector for Storage {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Storage {
    /// What storage refuses for good comes back as an error that holds its [`Said`], for `object_store` tells refusals by
    /// their status alone: a lease on the blob would look like a write that was overtaken.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request
            .uri()
            .to_string()
            .parse()
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let client = self.http.client(&url).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let lists = request.uri().query().is_some_and(|query| query.contains("comp=list"));
        // Nobody closes the semaphore.
        let _under_way = self.under_way.acquire().await.ok();
        let called = async {
            let response = HttpService::call(client, request).await?;
            self.read_clock(&response);
            told_apart(whole(response).await?, lists).await
        };
        let called = tokio::time::timeout(TIMEOUT, called).await;
        called.map_err(|error| HttpError::new(HttpErrorKind::Timeout, error))?
    }
}

/// An answer as it is, if it is one that the store expects; a refusal for good as an error, and one that passes in words,
/// for its XML would be shown to people. Of a list `object_store` expects nothing but success, and tells nobody else's status.
async fn told_apart(response: HttpResponse, lists: bool) -> Result<HttpResponse, HttpError> {
    if response.status().is_success() || response.status().is_redirection() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let said = Said::read(head.status.as_u16(), &head.headers, &body.bytes().await?);
    if said.passes() {
        let words = said.to_string();
        return Ok(HttpResponse::from_parts(head, HttpResponseBody::from(words.into_bytes())));
    }
    if said.is_expected() && !lists {
        return Ok(HttpResponse::from_parts(head, HttpResponseBody::from(Vec::new())));
    }
    Err(HttpError::new(HttpErrorKind::Unknown, said))
}

/// The answer with its body in memory. `object_store` reads bodies, those of errors too, as long as they go on and as
/// long as they take, so it is handed none that is not bounded. For a document that is too large stands one of a byte more
/// than is read, which nobody takes for one of ours: when it was written is in the head, and ends a lock that lies there.
async fn whole(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = match bounded::read(body.bytes_stream(), LARGEST_DOCUMENT, 0).await {
        Ok(mut body) => std::mem::take(&mut *body),
        Err(Unread::TooLarge) if head.status.is_success() => vec![b' '; LARGEST_DOCUMENT + 1],
        Err(Unread::TooLarge) => return Err(HttpError::new(HttpErrorKind::Unknown, TooLarge)),
        Err(Unread::Broken(error)) => return Err(error),
    };
    Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body)))
}
