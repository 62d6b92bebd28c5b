//! The Functions host's side: it calls `POST /RotateKeys`, `POST /OnKeyNotice` and `POST /OnAlert` on loopback, we run a
//! [`Runner`] and answer in time.
//!
//! Start at [`router`]. An invocation goes body → envelope → [`Trigger`] → [`Runner::run`] → reply.
//!
//! Guarantees:
//! - Every answer is a JSON object as `application/json`, panics and refusals included.
//! - An invocation is answered before the host or Event Grid loses patience, whatever the runner does: an invocation
//!   that the host times out costs the whole process. A runner that overruns is left running, never dropped in the
//!   middle of a step.
//! - An envelope is never logged, nor repeated in an answer: it can carry function keys.
//!
//! Assumption: deliveries repeat and overlap (Event Grid sends again after 30 seconds while the first run goes on). The
//! runner holds a lease; nothing here tells a first delivery from a second.

mod alert;
mod body;
mod envelope;
mod reply;
mod timer;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::cause;
use crate::clock::{Clock, delta};
use crate::config::Config;
use crate::notice::{self, Event, Malformed};
use crate::panics::{self, Panicked};

pub use timer::{Retry, Timer};

/// Why we are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// `RotateKeys`: it is time to look at every instance.
    Timer(Timer),
    /// `OnKeyNotice`, `OnAlert`: something happened, or may have.
    Events(Vec<Event>),
}

/// One call of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The host's id of it, or one of our own. It stays the same over the retries of a timer.
    pub id: String,
    /// The function's name.
    pub function: &'static str,
    /// When the work should stop between two steps and report where it stands.
    pub deadline: DateTime<Utc>,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What people read, line by line, in the function's log.
    pub logs: Vec<String>,
    /// Why the run failed or is not done; then the host is told so, and a notice is delivered again.
    pub failure: Option<String>,
    /// Whether more time is all that it needs.
    pub unfinished: bool,
}

/// Does the work of an invocation.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Works until done or until the deadline, whichever is first.
    ///
    /// The future is never dropped before its end, and may panic: then the invocation fails and the process lives.
    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome;
}

/// How long each function may work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// `RotateKeys`; below `functionTimeout`.
    pub timer: Duration,
    /// `OnKeyNotice` and `OnAlert`; below the 30 seconds that Event Grid waits.
    pub notice: Duration,
}

impl From<&Config> for Budgets {
    fn from(config: &Config) -> Self {
        Self { timer: config.timer_budget, notice: config.notice_budget }
    }
}

/// How long a caller may take to say what it wants. The Functions host sends each call in one go; whoever does not is kept
/// from holding what others need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the head of a request, counted from the answer before it on the same connection. The host closes a connection
    /// that has been idle for a minute (docs: SocketsHttpHandler.PooledConnectionIdleTimeout); ours ends later, so that no
    /// call is sent into a connection that we are just closing.
    pub head: Duration,
    /// For the whole body. A megabyte takes milliseconds on loopback, and tens of seconds only where the machine stands still.
    pub body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(120), body: Duration::from_secs(20) }
    }
}

/// Everything that the host calls.
pub fn router(runner: Arc<dyn Runner>, clock: Arc<dyn Clock>, budgets: Budgets) -> Router {
    router_with(runner, clock, budgets, Patience::default())
}

/// The same with a patience of one's own for bodies.
pub fn router_with(
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    budgets: Budgets,
    patience: Patience,
) -> Router {
    let host = Host {
        runner,
        clock,
        budgets,
        patience: patience.body,
        room: body::room(),
        places: Semaphore::new(MOST_AT_ONCE),
    };
    Router::new()
        .route("/", get(async || reply::ready()))
        .route("/RotateKeys", post(rotate_keys))
        .route("/OnKeyNotice", post(on_key_notice))
        .route("/OnAlert", post(on_alert))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "a function is called by POST")
        })
        .fallback(async || {
            refuse(StatusCode::NOT_FOUND, "no such function; there are RotateKeys, OnKeyNotice and OnAlert")
        })
        .layer(CatchPanicLayer::custom(|payload: Box<dyn std::any::Any + Send>| {
            Function::RotateKeys.answered(failed(Panicked::of(payload.as_ref()).to_string(), vec![]))
        }))
        .with_state(Arc::new(host))
}

/// Listens where the host calls, and nowhere else: IPv4 loopback.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Serves for as long as the process lives. It returns only with an error, and the process then has to leave with a
/// code other than 0: the host does not restart what left with 0.
pub async fn serve(listener: TcpListener, router: Router) -> io::Result<Infallible> {
    serve_with(listener, router, Patience::default()).await
}

/// The same with a patience of one's own for the heads of requests.
pub async fn serve_with(listener: TcpListener, router: Router, patience: Patience) -> io::Result<Infallible> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let why = format!("{address} is open to others; the host calls on 127.0.0.1");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, router.clone(), patience.head));
            }
            // Of the connection alone: the next may be better. Out of descriptors: those in use have to end first.
            Err(error) => {
                tracing::error!("{}", cause::because("a connection could not be taken", Some(&error)));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// How long it is waited after a connection could not be taken.
const AGAIN: Duration = Duration::from_millis(100);

/// Answers the requests of one connection. What goes wrong with it is the caller's to notice.
async fn converse(stream: TcpStream, router: Router, head: Duration) {
    // Answers are small and awaited: they must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head);
    let _ = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

struct Host {
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    budgets: Budgets,
    /// How long a body may take.
    patience: Duration,
    /// The memory for bodies.
    room: Semaphore,
    places: Semaphore,
}

/// How many invocations are taken at once. Each that waits costs a few kilobytes, and one that is turned away is
/// delivered again.
const MOST_AT_ONCE: usize = 2048;

/// A function of the app, as the host knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// The timer's.
    RotateKeys,
    /// Event Grid's.
    OnKeyNotice,
    /// Azure Monitor's.
    OnAlert,
}

impl Function {
    const fn name(self) -> &'static str {
        match self {
            Self::RotateKeys => "RotateKeys",
            Self::OnKeyNotice => "OnKeyNotice",
            Self::OnAlert => "OnAlert",
        }
    }

    const fn budget(self, budgets: &Budgets) -> Duration {
        match self {
            Self::RotateKeys => budgets.timer,
            Self::OnKeyNotice | Self::OnAlert => budgets.notice,
        }
    }

    /// How long after the deadline the runner may still end its step before we answer for it. The largest budgets
    /// leave 30 seconds to `functionTimeout` and two to Event Grid's patience.
    const fn margin(self) -> Duration {
        match self {
            Self::RotateKeys => Duration::from_secs(20),
            Self::OnKeyNotice | Self::OnAlert => Duration::from_secs(1),
        }
    }

    /// Reads what the host sends to this function.
    pub(crate) fn trigger(self, body: &[u8]) -> Result<Trigger, Malformed> {
        let envelope = envelope::open(body)?;
        match self {
            Self::RotateKeys => timer::read(envelope).map(Trigger::Timer),
            Self::OnKeyNotice => {
                notice::read(&envelope::decoded(envelope.value)?, envelope::VALUE).map(Trigger::Events)
            }
            Self::OnAlert => alert::read(envelope).map(Trigger::Events),
        }
    }
}

async fn rotate_keys(State(host): State<Arc<Host>>, headers: HeaderMap, body: Body) -> Response {
    host.invoke(Function::RotateKeys, &headers, body).await
}

async fn on_key_notice(State(host): State<Arc<Host>>, headers: HeaderMap, body: Body) -> Response {
    host.invoke(Function::OnKeyNotice, &headers, body).await
}

async fn on_alert(State(host): State<Arc<Host>>, headers: HeaderMap, body: Body) -> Response {
    host.invoke(Function::OnAlert, &headers, body).await
}

impl Host {
    async fn invoke(&self, function: Function, headers: &HeaderMap, body: Body) -> Response {
        let id = invocation_id(headers);
        let span = tracing::info_span!("invocation", invocation = %id, function = function.name());
        self.answer(function, id, body).instrument(span).await
    }

    async fn answer(&self, function: Function, id: String, body: Body) -> Response {
        let body = match body::read(body, &self.room, self.patience).await {
            Ok(body) => body,
            Err(unread) => return function.answered(refused(unread.status(), unread.to_string())),
        };
        // Only now: who sends half a body and no more takes no place from anybody.
        let Ok(_place) = self.places.try_acquire() else {
            let error = "too many at once; the next delivery carries on".to_owned();
            return function.answered(refused(StatusCode::SERVICE_UNAVAILABLE, error));
        };
        let trigger = function.trigger(&body.bytes);
        drop(body);
        match trigger {
            Ok(trigger) => self.run(function, id, trigger).await,
            Err(malformed) => {
                let error = format!("not the envelope of this function: {malformed}");
                function.answered(refused(StatusCode::BAD_REQUEST, error))
            }
        }
    }

    async fn run(&self, function: Function, id: String, trigger: Trigger) -> Response {
        let deadline = later(self.clock.now(), function.budget(&self.budgets));
        let invocation = Invocation { id, function: function.name(), deadline };
        let mut work = self.spawn(trigger, invocation);
        let answer = tokio::select! {
            biased;
            ended = &mut work => finished(ended),
            () = self.clock.sleep_until(later(deadline, function.margin())) => overrun(work),
        };
        function.answered(answer)
    }

    /// The work is a task of its own, so that neither a lost connection nor our own impatience drops it in the middle
    /// of a step.
    fn spawn(&self, trigger: Trigger, invocation: Invocation) -> JoinHandle<Result<Outcome, Panicked>> {
        let runner = Arc::clone(&self.runner);
        let work = panics::catch(async move { runner.run(trigger, invocation).await });
        tokio::spawn(work.in_current_span())
    }
}

/// What is answered to an invocation.
struct Answer {
    logs: Vec<String>,
    /// With which status, and why.
    failure: Option<(StatusCode, String)>,
}

impl Function {
    /// The answer in the shape that the host wants. Whoever calls `OnAlert` is told by the output of the function: were
    /// the invocation itself to fail, the host would make a 500 of it, which an action group does not repeat (docs:
    /// Webhook actions are repeated after 408, 429, 503 and 504).
    fn answered(self, Answer { logs, failure }: Answer) -> Response {
        match failure {
            None if self == Self::OnAlert => reply::http(StatusCode::OK, None, &logs),
            None => reply::success(&logs),
            Some((status, error)) if self == Self::OnAlert => reply::http(status, Some(&error), &logs),
            Some((status, error)) => reply::failure(status, &error, &logs),
        }
    }
}

fn finished(ended: Result<Result<Outcome, Panicked>, JoinError>) -> Answer {
    match ended {
        Ok(Ok(Outcome { logs, failure: None, .. })) => Answer { logs, failure: None },
        Ok(Ok(Outcome { logs, failure: Some(failure), unfinished: true })) => unfinished(failure, logs),
        Ok(Ok(Outcome { logs, failure: Some(failure), unfinished: false })) => failed(failure, logs),
        Ok(Err(panicked)) => failed(panicked.to_string(), vec![]),
        // Nobody aborts the task, and its panics are caught: the runtime itself is going down.
        Err(_) => failed("the process is shutting down".into(), vec![]),
    }
}

fn overrun(work: JoinHandle<Result<Outcome, Panicked>>) -> Answer {
    let late = async move {
        match work.await {
            Ok(Ok(Outcome { failure: None, .. })) => tracing::info!("the work that overran has ended well"),
            Ok(Ok(Outcome { failure: Some(failure), .. })) => {
                tracing::error!("the work that overran has failed: {failure}");
            }
            Ok(Err(panicked)) => tracing::error!("the work that overran has failed: {panicked}"),
            Err(_) => {}
        }
    };
    tokio::spawn(late.in_current_span());
    unfinished("still working; the next delivery carries on".into(), vec![])
}

fn failed(error: String, logs: Vec<String>) -> Answer {
    tell(&logs);
    tracing::error!("the run failed: {error}");
    Answer { logs, failure: Some((StatusCode::INTERNAL_SERVER_ERROR, error)) }
}

fn unfinished(error: String, logs: Vec<String>) -> Answer {
    tell(&logs);
    tracing::error!("the run is not finished: {error}");
    Answer { logs, failure: Some((StatusCode::SERVICE_UNAVAILABLE, error)) }
}

/// Says in our own log what was done: the host drops what comes with the answer to a failure.
fn tell(logs: &[String]) {
    for line in logs {
        tracing::info!("{line}");
    }
}

fn refused(status: StatusCode, error: String) -> Answer {
    tracing::error!(status = status.as_u16(), "refused: {error}");
    Answer { logs: vec![], failure: Some((status, error)) }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    Function::RotateKeys.answered(refused(status, error.to_owned()))
}

/// The host's id, if it is one: what goes into every line of the log has to be short and plain.
fn invocation_id(headers: &HeaderMap) -> String {
    const LONGEST: usize = 64;
    let plain = |id: &&str| id.chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
    let id = headers.get("X-Azure-Functions-InvocationId").and_then(|id| id.to_str().ok()).map(str::trim);
    let id = id.filter(|id| (1..=LONGEST).contains(&id.len())).filter(plain);
    id.map_or_else(|| uuid::Uuid::new_v4().to_string(), Into::into)
}

/// The end of time, rather than a panic, where a budget leads beyond it.
fn later(time: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    time.checked_add_signed(delta(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
