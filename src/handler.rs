//! The Functions host's side: it calls `POST /RotateKeys`, `POST /OnKeyNotice`, `POST /OnAlert`, `POST /OnReport`
//! and `POST /Status` on loopback, we run a [`Runner`] and answer in time.
//!
//! Start at [`router`]. An invocation goes body → envelope → [`Trigger`] → [`Runner::run`] → reply.
//!
//! Guarantees:
//! - Every answer is a JSON object as `application/json`, panics and refusals included.
//! - An invocation is answered before the host or Event Grid loses patience, whatever the runner does: an invocation
//!   that the host times out costs the whole process. A runner that overruns is left running, never dropped in the
//!   middle of a step.
//! - An envelope is never logged, nor repeated in an answer: it can carry function keys.
//! - Each invocation ends with one line of the log that tells the function, the services, how it ended, and why if it
//!   failed: the host drops the body and the logs of every answer that is no success.
//!
//! Assumption: deliveries repeat and overlap (Event Grid sends again after 30 seconds while the first run goes on). The
//! runner holds a lease; nothing here tells a first delivery from a second.

mod body;
mod envelope;
mod reply;
mod report;
mod status;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinHandle};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::clock::Clock;
use crate::config::Config;
use crate::panics::{self, Panicked};
use crate::report::cause;
use crate::report::text::notice as words;
use crate::report::text::run::ENDING_PROCESS;
use rekey_core::notice::Event;
use rekey_core::time::delta;

pub(crate) use body::Unread;
pub(crate) use envelope::Fault;
pub use envelope::Malformed;
pub use report::KeyReport;
pub use status::StatusAsked;

/// Why we are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// `RotateKeys`: it is time to look at every service.
    Timer,
    /// `OnKeyNotice`, `OnAlert`: something happened, or may have.
    Events(Vec<Event>),
    /// `OnReport`: a consumer says which key it holds.
    Report(KeyReport),
    /// `Status`: somebody wants to see how things stand.
    Status(StatusAsked),
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
    /// Whether to ask again soon helps, with any of it.
    pub unfinished: bool,
    /// What became of each service that was concerned.
    pub served: Vec<Served>,
    /// What whoever called by HTTP is answered, where that is more than whether it went well.
    pub reply: Option<Reply>,
}

/// The answer to a call by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    pub content: Content,
}

/// What an answer by HTTP holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A JSON object.
    Json(Value),
    /// A page, with the headers that it is sent with.
    Page { body: String, headers: Vec<(&'static str, String)> },
}

/// What became of one service that an invocation was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// How the run over it ended, with the service's name in front.
    pub ended: String,
    /// The name of the run, which all its lines in the log bear.
    pub run: String,
    /// Whether another invocation asked for that run, and this one shared it.
    pub shared: bool,
    /// Whether it went by the keys, and read no app.
    pub keys_alone: bool,
}

/// Does the work of an invocation.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Works until done or until the deadline, whichever is first.
    ///
    /// The future is never dropped before its end, and may panic: then the invocation fails and the process lives.
    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome;

    /// Whether the process is about to end: what is asked for now would come to nothing.
    fn is_leaving(&self) -> bool;
}

/// How long each function may work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// `RotateKeys`; below `functionTimeout`.
    pub timer: Duration,
    /// `OnKeyNotice`, `OnAlert` and `OnReport`; below the 30 seconds that Event Grid waits, which count from when it sends.
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
    router_with(runner, clock, budgets, Hosting::default())
}

/// How a handler is run, where it is not as usual.
#[derive(Clone, Debug, Default)]
pub struct Hosting {
    /// For what comes slowly.
    pub patience: Patience,
    /// What is wrong with the app itself, which its events are told of too: who looks into their log may be the only one
    /// who looks.
    pub fault: Option<String>,
}

/// The same with a hosting of one's own.
pub fn router_with(
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    budgets: Budgets,
    hosting: Hosting,
) -> Router {
    let host = Host {
        runner,
        clock,
        budgets,
        patience: hosting.patience.body,
        room: body::room(),
        places: Semaphore::new(MOST_AT_ONCE),
        fault: Mutex::new(hosting.fault),
        cold: AtomicBool::new(true),
    };
    Router::new()
        .route("/", get(async || reply::ready()))
        .route("/RotateKeys", post(rotate_keys))
        .route("/OnKeyNotice", post(on_key_notice))
        .route("/OnAlert", post(on_alert))
        .route("/OnReport", post(on_report))
        .route("/Status", post(status))
        .method_not_allowed_fallback(async || refuse(StatusCode::METHOD_NOT_ALLOWED, words::NO_POST))
        .fallback(async || refuse(StatusCode::NOT_FOUND, words::NO_FUNCTION))
        .layer(CatchPanicLayer::custom(|payload: Box<dyn std::any::Any + Send>| {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &Panicked::of(payload.as_ref()).to_string())
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
    let (_never, open) = watch::channel(false);
    accept(&listener, &router, patience, &open).await
}

/// Serves until `left` ends, by which time the runner is at rest and takes nothing on any more. Then each answer that is
/// under way gets to its caller, as long as he takes it.
pub(crate) async fn serve_until(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    left: impl Future<Output = ()>,
) -> io::Result<()> {
    let (close, open) = watch::channel(false);
    tokio::select! {
        biased;
        () = left => {}
        served = accept(&listener, &router, patience, &open) => match served? {},
    }
    drop((listener, open));
    close.send_replace(true);
    // Each connection holds a receiver.
    let _ = tokio::time::timeout(LAST_ANSWERS, close.closed()).await;
    Ok(())
}

/// How long the last answers may take. They are small and go over loopback; who does not take them is gone himself.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

async fn accept(
    listener: &TcpListener,
    router: &Router,
    patience: Patience,
    open: &watch::Receiver<bool>,
) -> io::Result<Infallible> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let why = words::open_to_others(address);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, router.clone(), patience.head, open.clone()));
            }
            // Of the connection alone: the next may be better. Out of descriptors: those in use have to end first.
            Err(error) => {
                tracing::error!("{}", cause::because(words::NO_CONNECTION_TAKEN, Some(&error)));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// How long it is waited after a connection could not be taken.
const AGAIN: Duration = Duration::from_millis(100);

/// Answers the requests of one connection, until it is to be closed. What goes wrong with it is the caller's to notice.
async fn converse(stream: TcpStream, router: Router, head: Duration, mut open: watch::Receiver<bool>) {
    // Answers are small and awaited: they must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => Some(served),
        // Without a sender nobody will ever close it.
        Ok(_) = open.wait_for(|closing| *closing) => None,
    };
    if served.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
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
    /// What is wrong with the app itself, until an event was told of it.
    fault: Mutex<Option<String>>,
    /// Whether no event has come yet to this process.
    cold: AtomicBool,
}

/// How many invocations are taken at once. Each that waits costs a few kilobytes, and one that is turned away is
/// delivered again.
const MOST_AT_ONCE: usize = 2048;

/// A function of the app, as the host knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The timer's.
    RotateKeys,
    /// Event Grid's.
    OnKeyNotice,
    /// Azure Monitor's.
    OnAlert,
    /// That of consumers which report the key that they hold.
    OnReport,
    /// That of whoever looks how things stand.
    Status,
}

impl Function {
    const fn name(self) -> &'static str {
        match self {
            Self::RotateKeys => "RotateKeys",
            Self::OnKeyNotice => "OnKeyNotice",
            Self::OnAlert => "OnAlert",
            Self::OnReport => "OnReport",
            Self::Status => "Status",
        }
    }

    /// Whether whoever calls it by HTTP is told by the output of the function.
    const fn is_called_by_http(self) -> bool {
        matches!(self, Self::OnAlert | Self::OnReport | Self::Status)
    }

    const fn budget(self, budgets: &Budgets) -> Duration {
        match self {
            Self::RotateKeys => budgets.timer,
            Self::OnKeyNotice | Self::OnAlert | Self::OnReport | Self::Status => budgets.notice,
        }
    }

    /// How long after the deadline the runner may still end its step before we answer for it. The largest budgets
    /// leave 30 seconds to `functionTimeout` and two to Event Grid's patience.
    const fn margin(self) -> Duration {
        match self {
            Self::RotateKeys => Duration::from_secs(20),
            Self::OnKeyNotice | Self::OnAlert | Self::OnReport | Self::Status => Duration::from_secs(1),
        }
    }

    /// Reads what the host sends to this function.
    pub fn trigger(self, body: &[u8]) -> Result<Trigger, Malformed> {
        let envelope = envelope::open(body)?;
        match self {
            Self::RotateKeys => envelope.timer().map(|()| Trigger::Timer),
            Self::OnKeyNotice => envelope.events().map(Trigger::Events),
            Self::OnAlert => envelope.alert().map(Trigger::Events),
            Self::OnReport => KeyReport::read(&envelope.report()?).map(Trigger::Report),
            Self::Status => envelope.query().and_then(StatusAsked::read).map(Trigger::Status),
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

async fn status(State(host): State<Arc<Host>>, headers: HeaderMap, body: Body) -> Response {
    host.invoke(Function::Status, &headers, body).await
}

async fn on_report(State(host): State<Arc<Host>>, headers: HeaderMap, body: Body) -> Response {
    host.invoke(Function::OnReport, &headers, body).await
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
            Err(Unread::TooLarge) if function == Function::OnKeyNotice => return function.not_ours(),
            Err(unread) => return function.answered(function.refused(unread.status(), &unread.to_string())),
        };
        // Only now: who sends half a body and no more takes no place from anybody.
        let Ok(_place) = self.places.try_acquire() else {
            return function.answered(function.come_again(words::TOO_MANY_AT_ONCE));
        };
        let trigger = function.trigger(&body.bytes);
        drop(body);
        match trigger {
            Ok(_) if self.runner.is_leaving() => function.answered(function.come_again(words::ABOUT_TO_END)),
            Ok(trigger) => self.run(function, id, trigger).await,
            Err(malformed) => {
                let error = match malformed.is_of_the_sender() {
                    true if function == Function::OnReport => words::not_a_report(&malformed),
                    true if function == Function::Status => words::not_a_question(&malformed),
                    true => words::not_understood(&malformed),
                    false => words::not_the_envelope(&malformed),
                };
                let status = match malformed.fault {
                    Fault::NoPost => StatusCode::METHOD_NOT_ALLOWED,
                    _ => StatusCode::BAD_REQUEST,
                };
                function.answered(function.refused(status, &error))
            }
        }
    }

    async fn run(&self, function: Function, id: String, trigger: Trigger) -> Response {
        let began = self.clock.now();
        let deadline = self.deadline(function, &trigger, began);
        let fault = self.fault_for(function);
        let invocation = Invocation { id, function: function.name(), deadline };
        let mut work = self.spawn(trigger, invocation);
        let mut answer = tokio::select! {
            biased;
            ended = &mut work => finished(ended),
            () = self.clock.sleep_until(later(deadline, function.margin())) => overrun(function, work),
        };
        function.tell(&answer, self.clock.now() - began);
        answer.logs.extend(fault);
        function.answered(answer)
    }

    /// When the work should stop.
    ///
    /// Event Grid's patience began when it sent, and a host that had to be started first has used up some of it. It sent
    /// no earlier than the event happened; an event that is older than its patience comes again, or late, and tells
    /// nothing of when it was sent. Who answers after all that still has something to say: the host's log has it, and
    /// what is done is done when the next delivery asks.
    fn deadline(&self, function: Function, trigger: &Trigger, now: DateTime<Utc>) -> DateTime<Utc> {
        let budget = function.budget(&self.budgets);
        let Trigger::Events(events) = trigger else { return later(now, budget) };
        let cold = self.cold.swap(false, Ordering::Relaxed);
        let patience = delta(EVENT_GRIDS_PATIENCE);
        let young = events.iter().filter_map(|event| event.time).filter(|time| now - patience < *time).min();
        let sent = young.unwrap_or(if cold { now - delta(COLD_START) } else { now }).min(now);
        later(sent, budget).max(later(now, budget.min(LEAST)))
    }

    /// What is wrong with the app itself, for the first event that comes.
    fn fault_for(&self, function: Function) -> Option<String> {
        if matches!(function, Function::RotateKeys | Function::OnReport | Function::Status) {
            return None;
        }
        let fault = self.fault.lock().take()?;
        tracing::error!("{fault}");
        Some(fault)
    }

    /// The work is a task of its own, so that neither a lost connection nor our own impatience drops it in the middle
    /// of a step.
    fn spawn(&self, trigger: Trigger, invocation: Invocation) -> JoinHandle<Result<Outcome, Panicked>> {
        let runner = Arc::clone(&self.runner);
        let work = panics::catch(async move { runner.run(trigger, invocation).await });
        tokio::spawn(work.in_current_span())
    }
}

/// How long Event Grid waits for the answer to a delivery (docs: Event Grid message delivery and retry).
const EVENT_GRIDS_PATIENCE: Duration = Duration::from_secs(30);

/// What the first event of a process may have waited for the host to start: five seconds on an idle machine, and an
/// instance of 512 MB has a quarter of a core.
const COLD_START: Duration = Duration::from_secs(10);

/// The least that an event is worked on before it is answered: five times what a repair of a few apps takes. An answer
/// that comes too late for Event Grid does what a 503 does, and one that is in time spares a delivery.
const LEAST: Duration = Duration::from_secs(10);

/// What is answered to an invocation.
struct Answer {
    logs: Vec<String>,
    /// With which status, and why.
    failure: Option<(StatusCode, String)>,
    served: Vec<Served>,
    /// What whoever called by HTTP is answered, where that is more than an error.
    content: Option<Content>,
}

impl Function {
    /// The answer in the shape that the host wants. Whoever calls by HTTP is told by the output of the function: were
    /// the invocation itself to fail, the host would make a 500 of it, which an action group does not repeat (docs:
    /// Webhook actions are repeated after 408, 429, 503 and 504).
    fn answered(self, Answer { logs, failure, content, .. }: Answer) -> Response {
        match failure {
            None if self.is_called_by_http() => {
                reply::http(StatusCode::OK, &content.unwrap_or_else(|| Content::Json(json!({}))), &logs)
            }
            None => reply::success(&logs),
            Some((status, error)) if self.is_called_by_http() => {
                reply::http(status, &Content::Json(json!({ "error": error })), &logs)
            }
            Some((status, error)) => reply::failure(status, &error, &logs),
        }
    }
}

fn finished(ended: Result<Result<Outcome, Panicked>, JoinError>) -> Answer {
    match ended {
        Ok(Ok(Outcome { logs, failure, unfinished, served, reply })) => {
            let status =
                if unfinished { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
            let (status, content) =
                reply.map_or((status, None), |Reply { status, content }| (status, Some(content)));
            Answer { logs, failure: failure.map(|failure| (status, failure)), served, content }
        }
        Ok(Err(panicked)) => Answer::failed(StatusCode::INTERNAL_SERVER_ERROR, panicked.to_string()),
        // Nobody aborts the task, and its panics are caught: the runtime itself is going down.
        Err(_) => Answer::failed(StatusCode::SERVICE_UNAVAILABLE, ENDING_PROCESS.into()),
    }
}

fn overrun(function: Function, work: JoinHandle<Result<Outcome, Panicked>>) -> Answer {
    let name = function.name();
    let late = async move {
        match work.await {
            Ok(Ok(Outcome { failure: None, .. })) => {
                tracing::info!("{}", words::ended_well_late(name));
            }
            Ok(Ok(Outcome { failure: Some(failure), .. })) => {
                tracing::error!("{}", words::failed_late(name, line(&failure)));
            }
            Ok(Err(panicked)) => {
                tracing::error!("{}", words::failed_late(name, panicked));
            }
            Err(_) => {}
        }
    };
    tokio::spawn(late.in_current_span());
    Answer::failed(StatusCode::SERVICE_UNAVAILABLE, words::STILL_WORKING.into())
}

impl Answer {
    const fn failed(status: StatusCode, error: String) -> Self {
        Self { logs: vec![], failure: Some((status, error)), served: vec![], content: None }
    }
}

/// Of how many services the line at the end of an invocation tells. Each has a line of its own run besides.
const TOLD_OF: usize = 10;

impl Function {
    /// The line at the end of an invocation.
    fn tell(self, answer: &Answer, took: TimeDelta) {
        let Answer { logs, failure, served, .. } = answer;
        let (name, took) = (self.name(), took.num_milliseconds());
        let runs = runs(served);
        match failure {
            // Of what called for nothing there can be thousands an hour.
            None if served.is_empty() => tracing::debug!(took_ms = took, "{name} is done: nothing to do"),
            None => tracing::info!(took_ms = took, "{name} is done: {}{runs}", told(served)),
            Some((status, error)) => {
                // What was done is in nothing that the host keeps.
                logs.iter().for_each(|line| tracing::info!("{line}"));
                let told = match *status {
                    StatusCode::SERVICE_UNAVAILABLE => words::not_finished(name, line(error)),
                    _ => words::failed(name, line(error)),
                };
                tracing::error!(took_ms = took, status = status.as_u16(), "{told}{runs}");
            }
        }
    }

    fn refused(self, status: StatusCode, error: &str) -> Answer {
        let name = self.name();
        tracing::error!(status = status.as_u16(), "{}", words::refused(name, error));
        Answer::failed(status, error.to_owned())
    }

    /// What comes again is no error yet.
    fn come_again(self, why: &str) -> Answer {
        let name = self.name();
        tracing::warn!("{}", words::took_nothing_on(name, why));
        Answer::failed(StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
    }

    /// An event that is larger than any of Event Grid's is none that concerns us. Refused, it would come again for a day;
    /// so it is taken, and told of as an error.
    fn not_ours(self) -> Response {
        let (name, error) = (self.name(), Unread::TooLarge);
        let line = words::passed_over(name, error);
        tracing::error!("{line}");
        reply::success(&[line])
    }
}

fn told(served: &[Served]) -> String {
    let mut told: Vec<&str> = served.iter().take(TOLD_OF).map(|one| one.ended.as_str()).collect();
    let more = format!("and {} more services", served.len().saturating_sub(TOLD_OF));
    if served.len() > TOLD_OF {
        told.push(&more);
    }
    let keys_alone = served.iter().filter(|one| one.keys_alone).count();
    let how_many = words::keys_alone(keys_alone, served.len() - keys_alone);
    if keys_alone > 0 {
        told.push(&how_many);
    }
    line(&told.join("; "))
}

/// The runs that served an invocation, by their names in the log.
fn runs(served: &[Served]) -> String {
    let mut runs: Vec<(&str, bool)> = served.iter().map(|one| (one.run.as_str(), one.shared)).collect();
    runs.dedup();
    let told = runs.into_iter().take(TOLD_OF).map(|(run, shared)| match shared {
        true => words::shared_run(run),
        false => words::own_run(run),
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) }
}

/// The same on one line.
fn line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

fn refuse(status: StatusCode, error: &str) -> Response {
    tracing::error!(status = status.as_u16(), "refused: {error}");
    Function::RotateKeys.answered(Answer::failed(status, error.to_owned()))
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
