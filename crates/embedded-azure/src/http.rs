//! The listener: reads a request, finds out for whom it is, lets its fault happen, and answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use futures::stream;
use serde_json::json;

use crate::call::{Answer, Call};
use crate::clock::{Clock, delta};
use crate::event_grid::{Courier, Delivery, Outcome};
use crate::faults::{Fault, FaultKind, Moment};
use crate::report::RequestRecord;
use crate::routes::{self, Found, Route};
use crate::service::Refusal;
use crate::state::State;
use crate::{app_configuration, arm, control, data_plane, key_vault};

/// The state, the time, and who asks for either.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    /// Our own port: a client that names another one reaches us through a front.
    port: u16,
    /// Where clients see us, if we were told.
    public_base: Option<String>,
    /// Who brings events to the webhook, if there is one.
    courier: Option<Courier>,
}

/// For whom a request is.
enum Target {
    Control,
    DataPlane,
    /// A vault, and what is asked of it if it is anything that there is.
    Vault(Option<&'static Route>),
    /// The same of an App Configuration store.
    Store(Option<&'static Route>),
    Route(&'static Route),
    OtherMethod,
    Nothing,
}

/// The largest body that is read; ARM itself takes 4 MB.
const MOST_BODY: usize = 4 << 20;

impl Shared {
    pub(crate) fn new(state: State, clock: Arc<dyn Clock>, port: u16) -> reqwest::Result<Self> {
        let public_base =
            state.options.public_base.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
        let endpoint = state.options.event_grid.as_ref().and_then(|grid| grid.endpoint.clone());
        let courier = endpoint.map(Courier::new).transpose()?;
        Ok(Self { state: Mutex::new(state), clock, port, public_base, courier })
    }

    /// The state as of now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two of its methods, so a panic elsewhere does not spoil it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance_to(self.clock.now());
        state
    }

    /// The deliveries that are due, if there is a webhook for them: otherwise a test takes them itself.
    pub(crate) fn take_due(&self) -> Vec<Delivery> {
        let mut state = self.state();
        if self.courier.is_some() { state.deliveries_due() } else { Vec::new() }
    }

    /// Calls the webhook, if there is one, and notes what came of it.
    pub(crate) async fn deliver(&self, delivery: Delivery) -> (Delivery, Outcome) {
        let outcome = match &self.courier {
            Some(courier) => courier.carry(&delivery).await,
            None => Outcome::Unanswered,
        };
        self.state().delivery_answered(delivery.id, outcome);
        (delivery, outcome)
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + delta(time)).await;
    }
}

/// The whole of the embedded Azure as one service: paths of ARM are matched without regard to case, so the router
/// of axum is not asked.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(move |request: Request| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request).await }
    })
}

async fn answer(shared: &Shared, request: Request) -> Response<Body> {
    let Some(mut call) = read(request, shared).await else {
        let message = "The request is larger than 4 MB.";
        return Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", message).into_response();
    };
    let target = aim(&shared.state(), &mut call);
    if let Target::Control = target {
        return control::serve(&mut shared.state(), &call).into_response();
    }
    let begun = shared.state().log.moment();
    let (operation, resource) = (target.operation(&call), target.resource(&shared.state(), &call));
    let latency = {
        let state = shared.state();
        if target.is_arm() || target.is_vault() || target.is_store() {
            state.options.latency
        } else {
            Duration::ZERO
        }
    };
    if !latency.is_zero() {
        shared.sleep(latency).await;
    }
    let fault = shared.state().faults.take(operation, target.is_arm(), &resource);
    let waits = fault.as_ref().map(Fault::keeps_waiting).unwrap_or_default();
    if !waits.is_zero() {
        shared.sleep(waits).await;
    }
    let answer = {
        let mut state = shared.state();
        let answer = perform(&mut state, &target, &mut call, fault.as_ref());
        let (now, answered) = (state.now, state.log.moment());
        if target.is_vault() {
            state.log.count_of_vault(operation);
        }
        if target.is_store() {
            state.log.count_of_store(operation);
        }
        state.log.add(RequestRecord {
            at: now,
            begun,
            answered,
            method: call.method.to_string(),
            operation,
            resource,
            status: answer.as_ref().map(|answer| answer.status.as_u16()),
            arm: target.is_arm(),
        });
        answer
    };
    answer.map_or_else(closed, Answer::into_response)
}

/// Lets the request happen, or its fault, or both; no answer means that the connection is to be closed.
fn perform(state: &mut State, target: &Target, call: &mut Call, fault: Option<&Fault>) -> Option<Answer> {
    let operation = target.operation(call);
    state.hooks.take(Moment::Before, operation).into_iter().for_each(|action| action(state));
    let spoiled = state.spoiled.take().map(|kind| Fault::new(operation, kind));
    let fault = spoiled.as_ref().or(fault);
    let instead = fault.and_then(|fault| refuse(state, fault, target, call));
    let happens = instead.is_none() && fault.is_none_or(|fault| fault.kind != FaultKind::TimeoutBefore);
    call.fault = fault.map(|fault| fault.kind);
    call.delay = fault.map(Fault::delay).unwrap_or_default();
    let answer = match (instead, happens) {
        (Some(answer), _) => Some(answer),
        (None, true) => {
            state.asked = !matches!(target, Target::Control);
            let answer = serve(state, target, call);
            state.asked = false;
            Some(answer)
        }
        (None, false) => None,
    };
    let answer =
        if call.fault == Some(FaultKind::ServerErrorAfter) { Some(internal_error()) } else { answer };
    let answer =
        if target.is_arm() { answer.map(|answer| arm::decorate(state, call, answer)) } else { answer };
    if let (Target::Route(route), Some(answer)) = (target, &answer)
        && route.arm
    {
        state.announce_request(route.pattern, call, answer);
    }
    state.hooks.take(Moment::After, operation).into_iter().for_each(|action| action(state));
    // What was made to happen without delay (a restart that takes no time) happens before the answer leaves.
    let now = state.now;
    state.advance_to(now);
    // What is lost on its way was answered all the same.
    answer.filter(|_| call.fault != Some(FaultKind::TimeoutAfter))
}

fn serve(state: &mut State, target: &Target, call: &Call) -> Answer {
    match target {
        Target::Control => control::serve(state, call),
        Target::DataPlane => data_plane::serve(state, call),
        Target::Vault(route) => key_vault::serve(state, route.map(Route::operation), call),
        Target::Store(route) => app_configuration::serve(state, route.map(Route::operation), call),
        Target::Route(route) if route.arm => arm::admit(state, route.operation, call)
            .and_then(|()| (route.handle)(state, call))
            .unwrap_or_else(|error| error),
        Target::Route(route) => (route.handle)(state, call).unwrap_or_else(|error| error),
        Target::OtherMethod => arm::method_not_allowed(call),
        Target::Nothing => arm::not_found(call),
    }
}

/// The answer that a fault gives instead of the real one.
fn refuse(state: &State, fault: &Fault, target: &Target, call: &Call) -> Option<Answer> {
    let of_vault = target.is_vault().then(|| key_vault::refusal(state, fault, call)).flatten();
    let of_store = target.is_store().then(|| app_configuration::refusal(fault)).flatten();
    if of_vault.is_some() || of_store.is_some() {
        return of_vault.or(of_store);
    }
    let answer = match fault.kind {
        FaultKind::Throttled => {
            let seconds = fault.retry_after.unwrap_or(1).to_string();
            // Of one resource, by its provider; `buckets` play the limits of a subscription.
            let message = format!("Too many requests for this resource. Try again after {seconds} seconds.");
            Answer::error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
                .with("retry-after", seconds)
        }
        FaultKind::ServerError => internal_error(),
        FaultKind::Unavailable => {
            let message = "The service is temporarily unavailable. Please try again.";
            let answer = Answer::error(StatusCode::SERVICE_UNAVAILABLE, "ServerUnavailable", message);
            match fault.retry_after {
                Some(seconds) => answer.with("retry-after", seconds.to_string()),
                None => answer,
            }
        }
        FaultKind::Unauthorized if target.is_arm() => {
            let message = "The access token is invalid.";
            Answer::error(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message)
        }
        FaultKind::Unauthorized => data_plane::refuse(Refusal::UnknownKey),
        FaultKind::Forbidden => {
            let message = format!(
                "The client does not have authorization to perform the action over scope '{}' or the scope is invalid.",
                call.path
            );
            Answer::error(StatusCode::FORBIDDEN, "AuthorizationFailed", message)
        }
        FaultKind::Conflict => {
            let message = "Another operation is in progress on this resource.";
            Answer::error(StatusCode::CONFLICT, "Conflict", message)
        }
        FaultKind::ExpiredToken => state.identity.expired(state.now, call),
        FaultKind::BadRequest => {
            let message = "The request is invalid.";
            Answer::error(StatusCode::BAD_REQUEST, "BadRequest", message)
        }
        FaultKind::Html => Answer::html(
            "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>",
        ),
        FaultKind::NullStatus => Answer::ok(json!({"status": null})),
        FaultKind::StillRunning if target.operation(call).ends_with("_OperationResults") => {
            Answer::empty(StatusCode::ACCEPTED)
        }
        FaultKind::StillRunning => Answer::ok(json!({"status": "Updating"})),
        FaultKind::ContentShare => arm::web::share_out_of_reach(),
        FaultKind::ServerErrorAfter
        | FaultKind::TimeoutBefore
        | FaultKind::TimeoutAfter
        | FaultKind::NoEffect
        | FaultKind::OperationFailed
        | FaultKind::Slow
        | FaultKind::ForeignHost
        | FaultKind::Swallowed
        | FaultKind::AppliedLate
        | FaultKind::Stale => return None,
    };
    Some(answer)
}

fn internal_error() -> Answer {
    let message = "The server encountered an internal error. Please retry the request.";
    Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
}

/// Closes the connection without an answer: a body that breaks before its first byte makes hyper drop the
/// connection before it has sent the head.
fn closed() -> Response<Body> {
    let broken = std::io::Error::other("the simulated connection broke");
    Response::new(Body::from_stream(stream::iter([Err::<Vec<u8>, _>(broken)])))
}

/// Finds out for whom a request is, and what its path names.
fn aim(state: &State, call: &mut Call) -> Target {
    if control::is_meant(call) {
        return Target::Control;
    }
    if data_plane::is_meant(state, call) {
        return Target::DataPlane;
    }
    if let Some(vault) = key_vault::asked(state, call) {
        let (route, params) = match routes::find_of_vault(&call.method, &call.path) {
            Found::Route(route, params) => (Some(route), params),
            Found::OtherMethod | Found::Nothing => (None, BTreeMap::new()),
        };
        call.params = params;
        call.params.insert("vault", vault);
        return Target::Vault(route);
    }
    if let Some(store) = app_configuration::asked(state, call) {
        let (route, params) = match routes::find_of_store(&call.method, &call.path) {
            Found::Route(route, params) => (Some(route), params),
            Found::OtherMethod | Found::Nothing => (None, BTreeMap::new()),
        };
        let decoded = |(name, part): (_, String)| (name, app_configuration::decoded(&part));
        call.params = params.into_iter().map(decoded).collect();
        call.params.insert("store", store);
        return Target::Store(route);
    }
    match routes::find(&call.method, &call.path) {
        Found::Route(route, params) => {
            call.params = params;
            Target::Route(route)
        }
        Found::OtherMethod => Target::OtherMethod,
        Found::Nothing => Target::Nothing,
    }
}

async fn read(request: Request, shared: &Shared) -> Option<Call> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MOST_BODY).await.ok()?;
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let host = header("x-forwarded-host").or_else(|| header("host")).unwrap_or_else(|| "localhost".into());
    // A front does TLS, which is why it is there: where it does not say so, the port tells that there is one.
    let direct = host.rsplit_once(':').is_some_and(|(_, port)| port.parse() == Ok(shared.port));
    let scheme = header("x-forwarded-proto").unwrap_or_else(|| if direct { "http" } else { "https" }.into());
    // Some clients join a base that ends in a slash to a path that begins with one, and `az resource show` writes
    // `providers/Microsoft.Web//sites`; ARM takes that.
    let given = parts.uri.path();
    let words: Vec<&str> = given.split('/').filter(|word| !word.is_empty()).collect();
    let path =
        format!("/{}{}", words.join("/"), if words.is_empty() || !given.ends_with('/') { "" } else { "/" });
    Some(Call {
        base: shared.public_base.clone().unwrap_or_else(|| format!("{scheme}://{host}")),
        host,
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
        headers: parts.headers,
        body,
        params: BTreeMap::new(),
        fault: None,
        delay: Duration::ZERO,
    })
}

impl Target {
    fn is_arm(&self) -> bool {
        match self {
            Self::Route(route) => route.arm,
            Self::OtherMethod | Self::Nothing => true,
            Self::Control | Self::DataPlane | Self::Vault(_) | Self::Store(_) => false,
        }
    }

    fn is_vault(&self) -> bool {
        matches!(self, Self::Vault(_))
    }

    fn is_store(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    fn operation(&self, call: &Call) -> &'static str {
        match self {
            Self::Route(route) | Self::Vault(Some(route)) | Self::Store(Some(route)) => route.operation,
            Self::DataPlane => data_plane::operation(call),
            Self::Control => "Control",
            Self::OtherMethod | Self::Nothing | Self::Vault(None) | Self::Store(None) => "Unknown",
        }
    }

    fn resource(&self, state: &State, call: &Call) -> String {
        match self {
            Self::DataPlane => data_plane::resource(state, call),
            _ => call.resource(),
        }
    }
}
