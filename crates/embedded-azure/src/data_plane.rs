//! The SignalR data plane over HTTP (swagger: data plane 2022-06-01 and v1), as far as keys are checked by it.

use axum::http::{Method, StatusCode};
use url::Url;

use crate::call::{Answer, Call};
use crate::identity::is_loopback;
use crate::service::{self, Refusal, Service};
use crate::state::State;
use crate::traffic::CLIENT_PATH;

const DOMAIN: &str = ".service.signalr.net";

/// The names of its operations, for the log and for faults; the swagger of the data plane gives none.
pub(crate) const OPERATIONS: [&str; 5] =
    ["DataPlane_Health", "DataPlane_Exists", "DataPlane_Send", "DataPlane_Client", "DataPlane_Unknown"];

/// Whether a request is for the data plane: by its host, or, where the host is this machine's, by its path.
pub(crate) fn is_meant(state: &State, call: &Call) -> bool {
    let host = host_name(&call.host);
    let path = call.path.to_lowercase();
    host.trim_end_matches('.').ends_with(DOMAIN)
        || state.services.iter().any(|one| one.is_at(&host))
        || (is_loopback(&host) && (path.starts_with("/api/") || path.starts_with(CLIENT_PATH)))
}

/// The name of what is asked.
pub(crate) fn operation(call: &Call) -> &'static str {
    let [health, exists, send, client, unknown] = OPERATIONS;
    match probe(call) {
        Some(Probe::Health) => health,
        Some(Probe::Exists(_)) => exists,
        Some(Probe::Send(_)) => send,
        Some(Probe::Client) => client,
        None => unknown,
    }
}

/// The service that is called, by the host or else by the audience of the token; empty if there is none.
pub(crate) fn resource(state: &State, call: &Call) -> String {
    find(state, call).map_or_else(String::new, |service| service.id.name().to_owned())
}

fn find<'state>(state: &'state State, call: &Call) -> Option<&'state Service> {
    let host = host_name(&call.host);
    let host = if is_loopback(&host) { audience_host(call).unwrap_or_default() } else { host };
    state.services.iter().find(|one| !one.deleted && one.is_at(&host))
}

/// Answers a request to the data plane.
pub(crate) fn serve(state: &State, call: &Call) -> Answer {
    let service = find(state, call);
    match (probe(call), service) {
        (None, _) => Answer::empty(StatusCode::NOT_FOUND),
        // "Needs no token" (docs: data plane REST API reference), so it proves nothing about a key.
        (Some(Probe::Health), _) => Answer::empty(StatusCode::OK),
        (Some(_), None) if call.bearer().is_none() => refuse(Refusal::Malformed),
        // In DNS there is no such host; over loopback this is the nearest thing.
        (Some(_), None) => Answer::empty(StatusCode::NOT_FOUND),
        (Some(probe), Some(service)) => match check(state, service, call) {
            Err(refusal) => refuse(refusal),
            Ok(()) => accepted(&probe),
        },
    }
}

/// What is asked.
enum Probe {
    Health,
    /// Whether a user, group or connection exists, with the code for "no".
    Exists(&'static str),
    /// A message; or 204 for what is closed.
    Send(StatusCode),
    Client,
}

fn probe(call: &Call) -> Option<Probe> {
    let path = call.path.to_lowercase();
    if path.starts_with(CLIENT_PATH) {
        return Some(Probe::Client);
    }
    let path = path.strip_prefix("/api/")?;
    let path = path.strip_prefix("v1/").unwrap_or(path);
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let reads = call.method == Method::GET || call.method == Method::HEAD;
    match parts.as_slice() {
        ["health"] if reads => Some(Probe::Health),
        ["hubs", _, "users", _] if reads => Some(Probe::Exists("Warning.User.NotExisted")),
        ["hubs", _, "groups", _] if reads => Some(Probe::Exists("Warning.Group.NotExisted")),
        ["hubs", _, "connections", _] if reads => Some(Probe::Exists("Warning.Connection.NotExisted")),
        ["hubs", _, .., ":send"] if call.method == Method::POST => Some(Probe::Send(StatusCode::ACCEPTED)),
        ["hubs", _, .., ":closeconnections"] if call.method == Method::POST => {
            Some(Probe::Send(StatusCode::NO_CONTENT))
        }
        // v1 sends by POST to the hub, user or group itself.
        ["hubs", ..] if call.method == Method::POST => Some(Probe::Send(StatusCode::ACCEPTED)),
        _ => None,
    }
}

fn check(state: &State, service: &Service, call: &Call) -> Result<(), Refusal> {
    // Browsers cannot set headers on a WebSocket: clients send the token in the query instead.
    let in_query = call.query("access_token");
    let token = call.bearer().or(in_query.as_deref()).ok_or(Refusal::Malformed)?;
    service::check(service, &call.path, token, state.now).map(|_| ())
}

fn accepted(probe: &Probe) -> Answer {
    match probe {
        Probe::Exists(code) => Answer::empty(StatusCode::NOT_FOUND).with("x-ms-error-code", *code),
        Probe::Send(status) => Answer::empty(*status),
        Probe::Health | Probe::Client => Answer::empty(StatusCode::OK),
    }
}

/// The 401 of the data plane.
pub(crate) fn refuse(refusal: Refusal) -> Answer {
    let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{refusal}\"");
    Answer::empty(StatusCode::UNAUTHORIZED).with("www-authenticate", challenge)
}

/// The host without its port, in lower case.
fn host_name(host: &str) -> String {
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    bare.to_lowercase()
}

fn audience_host(call: &Call) -> Option<String> {
    let in_query = call.query("access_token");
    let claims = service::claims(call.bearer().or(in_query.as_deref())?)?;
    Some(Url::parse(&claims.aud).ok()?.host_str()?.to_lowercase())
}
