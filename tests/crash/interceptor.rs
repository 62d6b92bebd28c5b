//! What stands between a worker and everything that it talks to: Azure Resource Manager, the token endpoint and the data
//! plane through a proxy, the journal through a store, and the time. Every request is counted as it passes, and one
//! of them can be made to meet a mishap.
//!
//! Start at [`Interceptor::leaves`] and [`Interceptor::answered`], which stand around every request, whatever carries it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::stream;
use reqwest::{Client, Url};
use signalr_rekey::clock::Clock;
use signalr_rekey::store::{ETag, EVIDENCE, Found, Store, StoreError, Stored};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The worker dies before the request is sent.
    StopBefore,
    /// The worker dies when the request took effect and was not yet answered.
    StopBetween,
    /// The worker dies with the answer in its hands, before it sends anything else and before it waits for anything.
    StopAfter,
    /// The request arrives twice, and the second answer is the one that is heard.
    Twice,
    /// The request takes effect, and its answer is lost.
    Lost,
    /// Somebody else does something before the request is sent.
    OthersBefore,
    /// The same when the request took effect and was not yet answered.
    OthersBetween,
}

/// The three places around a request at which a worker can die.
pub const STOPS: [Mishap; 3] = [Mishap::StopBefore, Mishap::StopBetween, Mishap::StopAfter];

/// The two places around a request at which others can come between. With the answer in hand is as before the next.
pub const OTHERS: [Mishap; 2] = [Mishap::OthersBefore, Mishap::OthersBetween];

/// What somebody else does meanwhile.
pub type Others = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The interceptor. What has passed on it, and what is still to go wrong.
pub struct Interceptor {
    state: Mutex<State>,
    stop: Notify,
    /// Is shown the world at every request, before and after, and tells the time.
    watch: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    others: Others,
}

/// A request that is on its way.
#[must_use]
struct Passage {
    nth: usize,
    writes: bool,
    mishap: Option<Mishap>,
}

#[derive(Default)]
struct State {
    /// The kinds of the requests so far.
    passed: Vec<&'static str>,
    /// The deaths so far that leave what no earlier one left.
    deaths: Vec<(usize, Mishap)>,
    /// The time of the last of them, if nobody else has done anything since.
    left_at: Option<DateTime<Utc>>,
    /// The writes that are on their way, and may take effect at any time.
    writing: usize,
    /// Which request (1 is the first) meets what.
    mishap: Option<(usize, Mishap)>,
    met: bool,
    /// The worker dies at whatever it does next.
    doomed: bool,
    stopped: bool,
}

impl Interceptor {
    pub fn new(
        mishap: Option<(usize, Mishap)>,
        watch: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
        others: Others,
    ) -> Self {
        let state = State { mishap, ..State::default() };
        Self { state: Mutex::new(state), stop: Notify::new(), watch: Box::new(watch), others }
    }

    /// A request is about to be sent.
    async fn leaves(&self, kind: &'static str) -> Passage {
        let now = (self.watch)();
        self.goes_on().await;
        let passage = self.state().pass(kind, now);
        match passage.mishap {
            Some(Mishap::StopBefore) => self.dies().await,
            Some(Mishap::OthersBefore) => (self.others)().await,
            _ => {}
        }
        passage
    }

    /// A request was answered; whether the worker gets to hear it.
    async fn answered(&self, passage: Passage) -> bool {
        let now = (self.watch)();
        if passage.writes {
            self.state().written(passage.nth, now);
        }
        match passage.mishap {
            Some(Mishap::StopBetween) => self.dies().await,
            Some(Mishap::StopAfter) => self.state().doomed = true,
            Some(Mishap::OthersBetween) => (self.others)().await,
            Some(Mishap::StopBefore | Mishap::Twice | Mishap::Lost | Mishap::OthersBefore) | None => {}
        }
        passage.mishap != Some(Mishap::Lost)
    }

    /// Nothing goes on for a worker that is dead, or dies here.
    async fn goes_on(&self) {
        let (doomed, stopped) = {
            let state = self.state();
            (state.doomed, state.stopped)
        };
        if doomed || stopped {
            self.dies().await;
        }
    }

    async fn dies(&self) {
        self.state().stopped = true;
        self.stop.notify_one();
        std::future::pending::<()>().await;
    }

    /// Waits for the moment at which the worker is to be dropped.
    pub async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// Whether the worker is to be buried, though it may have come to its end first.
    pub fn is_dead(&self) -> bool {
        let state = self.state();
        state.stopped || state.doomed
    }

    /// From now on another worker is on the interceptor.
    pub fn hand_over(&self) {
        let mut state = self.state();
        (state.stopped, state.doomed, state.writing) = (false, false, 0);
    }

    /// What happens next is not the worker's doing: others act, or another worker begins.
    pub fn turns(&self) {
        self.state().left_at = None;
    }

    /// Whether the mishap came about.
    pub fn met(&self) -> bool {
        self.state().met
    }

    /// The kinds of the requests so far.
    pub fn passed(&self) -> Vec<&'static str> {
        self.state().passed.clone()
    }

    /// At which requests, and where around them, a death leaves what no death before it left. A dead worker takes all that
    /// it knew along, so what it leaves is the world as it is: between two writes it is the same wherever it dies, unless it
    /// waits.
    pub fn deaths(&self) -> Vec<(usize, Mishap)> {
        self.state().deaths.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn pass(&mut self, kind: &'static str, now: DateTime<Utc>) -> Passage {
        self.passed.push(kind);
        let (nth, writes) = (self.passed.len(), writes(kind));
        if self.writing > 0 || self.left_at != Some(now) {
            self.deaths.push((nth, Mishap::StopBefore));
            self.left_at = Some(now);
        }
        self.writing += usize::from(writes);
        let mishap = self.mishap.take_if(|(at, _)| *at == nth).map(|(_, mishap)| mishap);
        self.met |= mishap.is_some();
        Passage { nth, writes, mishap }
    }

    fn written(&mut self, nth: usize, now: DateTime<Utc>) {
        // One whose worker died is not counted any more.
        self.writing = self.writing.saturating_sub(1);
        self.deaths.extend([(nth, Mishap::StopBetween), (nth, Mishap::StopAfter)]);
        self.left_at = Some(now);
    }
}

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptor").finish_non_exhaustive()
    }
}

/// The time of a worker on the interceptor: who is to die does so before it waits.
#[derive(Debug)]
pub struct Timed<C>(pub Arc<Interceptor>, pub Arc<C>);

#[async_trait]
impl<C: Clock> Clock for Timed<C> {
    fn now(&self) -> DateTime<Utc> {
        self.1.now()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        self.0.goes_on().await;
        self.1.sleep_until(time).await;
    }
}

/// A store at the end of the interceptor.
#[derive(Debug)]
pub struct Stores(pub Arc<Interceptor>, pub Arc<dyn Store>);

fn lost() -> StoreError {
    StoreError::Unavailable("the answer was lost".into())
}

#[async_trait]
impl Store for Stores {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        let kind = if name.starts_with(EVIDENCE) { "evidence read" } else { "journal read" };
        let passage = self.0.leaves(kind).await;
        if passage.mishap == Some(Mishap::Twice) {
            drop(self.1.get(name).await);
        }
        let found = self.1.get(name).await;
        if self.0.answered(passage).await { found } else { Err(lost()) }
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let kind = if name.starts_with(EVIDENCE) { "evidence written" } else { "journal write" };
        let passage = self.0.leaves(kind).await;
        if passage.mishap == Some(Mishap::Twice) {
            drop(self.1.put(name, body.clone(), expected).await);
        }
        let stored = self.1.put(name, body, expected).await;
        if self.0.answered(passage).await { stored } else { Err(lost()) }
    }
}

/// Whether an app is well that has a health URL.
type IsWell = Box<dyn Fn() -> bool + Send + Sync>;

/// Where an app is asked how it is, behind the proxy.
pub const HEALTH: &str = "/health";

/// The side of Azure: a reverse proxy before the embedded one, and before an app that tells how it is. It ends when it is
/// dropped.
pub struct Proxy {
    pub base: Url,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(
        interceptor: Arc<Interceptor>,
        upstream: &str,
        is_well: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let upstream = Arc::new(Upstream {
            interceptor,
            base: upstream.to_owned(),
            client: client(),
            is_well: Box::new(is_well),
        });
        let router = Router::new().fallback(move |request: Request| {
            let upstream = Arc::clone(&upstream);
            async move { upstream.carry(request).await }
        });
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { base, serving }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Upstream {
    interceptor: Arc<Interceptor>,
    base: String,
    client: Client,
    is_well: IsWell,
}

/// Without certificates, which take longer to read than all requests of a scenario.
fn client() -> Client {
    Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

impl Upstream {
    async fn carry(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let passage = self.interceptor.leaves(kind(&parts.method, parts.uri.path())).await;
        if passage.mishap == Some(Mishap::Twice) {
            drop(self.send(&parts, &body).await);
        }
        let answer = self.send(&parts, &body).await;
        if self.interceptor.answered(passage).await { answer } else { broken() }
    }

    /// Sends a request on under the name by which the client knows us, so that the links in answers lead here.
    async fn send(&self, parts: &Parts, body: &Bytes) -> Response<Body> {
        if parts.uri.path() == HEALTH {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() =
                if (self.is_well)() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            return answer;
        }
        let url = format!("{}{}", self.base, parts.uri);
        let request = self.client.request(parts.method.clone(), url).headers(parts.headers.clone());
        let request = request.header("x-forwarded-proto", "http").body(body.clone());
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        response
    }
}

/// Closes the connection: a body that breaks before its first byte makes hyper drop it without having sent the head.
fn broken() -> Response<Body> {
    let error = std::io::Error::other("the answer was lost");
    Response::new(Body::from_stream(stream::iter([Err::<Bytes, _>(error)])))
}

/// In which row of the table of crashes it stands: how that begins.
pub fn row(kind: &str) -> &'static str {
    match kind {
        "journal write" => "while the journal is written",
        // Its other two rows have as many.
        "regeneration sent" => "before the regeneration is sent",
        "operation asked" => "while it is followed",
        "probe of a key" => "while the key is verified",
        "health asked" => "while an app is asked how it is",
        "evidence written" => "while evidence is written",
        "settings written"
        | "secret written"
        | "key-value written"
        | "secrets of a container app written"
        | "revision restarted" => "before, in or after each write",
        _ => "while looking",
    }
}

/// Whether a request changes anything, by its kind.
pub fn writes(kind: &str) -> bool {
    let reads = [" read", " listed", " asked", "token", "probe of a key"];
    !reads.iter().any(|end| kind.ends_with(end))
}

/// What a request is for, in the words of the table of crashes.
fn kind(method: &Method, path: &str) -> &'static str {
    let path = path.to_lowercase();
    match path.rsplit('/').next() {
        _ if path == HEALTH => "health asked",
        _ if path.contains("/oauth2/") => "token",
        _ if path.starts_with("/api/") => "probe of a key",
        Some("listkeys") => "keys read",
        Some("regeneratekey") => "regeneration sent",
        Some("list") => "settings read",
        Some("sites") => "sites listed",
        Some("versions") => "versions listed",
        _ if path.starts_with("/secrets/") && method == Method::GET => "secret read",
        _ if path.starts_with("/secrets/") => "secret written",
        _ if path.starts_with("/kv/") && method == Method::GET => "key-value read",
        _ if path.starts_with("/kv/") => "key-value written",
        _ if path.contains("/configreferences/") => "references asked",
        Some("listsecrets") => "secrets of a container app read",
        Some("listappsettings" | "listfunctionappsettings") => "settings of a static web app read",
        Some("builds") => "environments listed",
        Some("executions") => "executions asked",
        Some("revisions" | "replicas") => "replicas asked",
        Some("restart") => "revision restarted",
        _ if path.contains("/containerapps/") && method == Method::GET => "container app read",
        _ if method == Method::PATCH => "secrets of a container app written",
        _ if method == Method::PUT => "settings written",
        _ if method == Method::GET => "operation asked",
        _ => "other",
    }
}
