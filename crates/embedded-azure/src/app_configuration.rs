//! The data plane of App Configuration (swagger: App Configuration 2023-11-01; docs: App Configuration REST API): what every
//! request passes before it reaches a key-value.
//!
//! A store is at `{name}.azconfig.localhost` and at its hosts in Azure. It sends nobody for a token: clients derive for whom to
//! ask it from the host (azure-appconfiguration for Python, `get_audience`). Who has no role is answered without a body (public
//! issue AppConfiguration#410); everything else is a problem document.

mod filters;
mod hmac;
pub(crate) mod key_values;

use axum::http::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::barriers::{self, BarrierKind};
use crate::call::{Answer, Answered, Call};
use crate::faults::{Fault, FaultKind};
use crate::platform::READ_KEY_VALUE;
use crate::state::State;
use crate::{references, roles};

/// The action that each operation needs (docs: App Configuration REST API, Microsoft Entra authorization). A role counts for
/// the whole store.
const NEEDS: [(&str, &str); 8] = [
    ("AppConfiguration_GetKeyValue", READ_KEY_VALUE),
    ("AppConfiguration_CheckKeyValue", READ_KEY_VALUE),
    ("AppConfiguration_GetKeyValues", READ_KEY_VALUE),
    ("AppConfiguration_GetLabels", READ_KEY_VALUE),
    ("AppConfiguration_PutKeyValue", WRITE),
    ("AppConfiguration_PutLock", WRITE),
    ("AppConfiguration_DeleteLock", WRITE),
    ("AppConfiguration_DeleteKeyValue", "Microsoft.AppConfiguration/configurationStores/keyValues/delete"),
];

const WRITE: &str = "Microsoft.AppConfiguration/configurationStores/keyValues/write";

/// The api-versions that there are for key-values (azure-appconfiguration for Python and its changelog).
const API_VERSIONS: [&str; 6] = ["1.0", "2023-10-01", "2023-11-01", "2024-09-01", "2025-11-01", "2026-04-01"];

/// The name of an operation, and what answers it.
pub(crate) type Operation = (&'static str, fn(&mut State, &Call) -> Answered);

/// The store that a request is for, by its host. One that there is not has no host in DNS: over loopback the request is an
/// ordinary one then.
pub(crate) fn asked(state: &State, call: &Call) -> Option<String> {
    let host = call.host.to_lowercase();
    let name = references::store_at(&host)?;
    state.store(name).is_ok().then(|| name.to_owned())
}

/// A part of a path, which stands in it percent-encoded: keys may have any sign.
pub(crate) fn decoded(part: &str) -> String {
    let query = format!("part={}", part.replace('+', "%2B").replace('&', "%26"));
    let mut parsed = form_urlencoded::parse(query.as_bytes());
    parsed.next().map(|(_, part)| part.into_owned()).unwrap_or_default()
}

/// Lets a request pass to its operation; nothing if the path is none of a store's.
pub(crate) fn serve(state: &mut State, operation: Option<Operation>, call: &Call) -> Answer {
    let answered = admit(state, operation.map(|(name, _)| name), call).and_then(|()| match operation {
        Some((_, handle)) => handle(state, call),
        None => Err(Answer::empty(StatusCode::NOT_FOUND)),
    });
    let answer = answered.unwrap_or_else(|error| error);
    let told = answer.status != StatusCode::UNAUTHORIZED && answer.status != StatusCode::FORBIDDEN;
    let token = state.store(call.param("store")).ok().filter(|_| told);
    let answer = match token.map(|at| state.stores[at].sync_token()) {
        Some(token) => answer.with("sync-token", token),
        None => answer,
    };
    let id = state.ids.uuid().to_string();
    answer.with("x-ms-request-id", id.clone()).with("x-ms-correlation-request-id", id)
}

/// The answer of a store to a fault; nothing for those that all of Azure answers alike.
pub(crate) fn refusal(fault: &Fault) -> Option<Answer> {
    // docs: App Configuration REST API, Throttling: it tells milliseconds. Seconds besides only if a test wants them.
    let waits = |answer: Answer| match fault.retry_after {
        Some(seconds) => {
            let milliseconds = seconds.saturating_mul(1000).to_string();
            answer.with("retry-after-ms", milliseconds).with("retry-after", seconds.to_string())
        }
        None => answer.with("retry-after-ms", "10"),
    };
    Some(match fault.kind {
        FaultKind::Throttled => waits(problem(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Resource utilization has surpassed the assigned quota",
            json!({"policy": "Total Requests"}),
        )),
        FaultKind::Unavailable => waits(Answer::empty(StatusCode::SERVICE_UNAVAILABLE)),
        FaultKind::ServerError => Answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
        FaultKind::Unauthorized | FaultKind::ExpiredToken => unauthorized("The access token has expired"),
        FaultKind::Forbidden => Answer::empty(StatusCode::FORBIDDEN),
        FaultKind::Conflict => Answer::empty(StatusCode::PRECONDITION_FAILED),
        FaultKind::BadRequest => invalid("key", "The request is invalid."),
        _ => return None,
    })
}

/// A problem document (docs: App Configuration REST API; RFC 7807).
fn problem(status: StatusCode, kind: &str, title: &str, more: Value) -> Answer {
    let mut body = more;
    body["type"] = format!("https://azconfig.io/errors/{kind}").into();
    body["title"] = title.into();
    body["status"] = status.as_u16().into();
    Answer::new(status, body).with("content-type", "application/problem+json; charset=utf-8")
}

/// A 400 for a parameter.
fn invalid(name: &str, detail: &str) -> Answer {
    let title = format!("Invalid request parameter '{name}'");
    problem(StatusCode::BAD_REQUEST, "invalid-argument", &title, json!({"name": name, "detail": detail}))
}

/// docs: App Configuration REST API, Microsoft Entra authentication, Errors.
fn unauthorized(description: &str) -> Answer {
    let why = match description {
        "" => String::new(),
        text => format!(" error=\"invalid_token\", error_description=\"{text}\""),
    };
    Answer::empty(StatusCode::UNAUTHORIZED).with("www-authenticate", format!("HMAC-SHA256, Bearer{why}"))
}

fn admit(state: &State, operation: Option<&str>, call: &Call) -> Result<(), Answer> {
    let store = found(state, call)?;
    let by_key = authenticate(state, store, call)?;
    let id = state.stores[store].id.to_string();
    if barriers::has_firewall(&state.barriers, BarrierKind::StoreFirewall, &id) {
        // docs: App Configuration, Network access errors.
        let title = "Access to this resource is governed by a network access policy. The client IP address fails to meet the \
                     criteria for access. See https://aka.ms/appconfig/network-access-errors for more information.";
        return Err(problem(StatusCode::FORBIDDEN, "ip-address-rejected", title, json!({})));
    }
    check_version(call)?;
    let needed = NEEDS.iter().find(|(name, _)| Some(*name) == operation).filter(|_| !by_key);
    match needed {
        Some((_, action)) if !roles::may(&state.denials, &id, action) => {
            Err(Answer::empty(StatusCode::FORBIDDEN))
        }
        _ => Ok(()),
    }
}

/// Who asks, and whether by an access key: that may do everything.
fn authenticate(state: &State, store: usize, call: &Call) -> Result<bool, Answer> {
    let header = call.header("authorization").unwrap_or_default();
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            let checked = state.identity.check_for_store(&call.host, token.trim());
            checked.map(|()| false).map_err(unauthorized)
        }
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("HMAC-SHA256") => {
            let signed = hmac::check(state.stores[store].access_key.as_ref(), given, call);
            signed.map(|()| true).map_err(|text| {
                let why = format!("HMAC-SHA256 error=\"invalid_token\" error_description=\"{text}\", Bearer");
                Answer::empty(StatusCode::UNAUTHORIZED).with("www-authenticate", why)
            })
        }
        _ => Err(unauthorized("")),
    }
}

/// docs: App Configuration REST API, Versioning.
fn check_version(call: &Call) -> Result<(), Answer> {
    let version = call.query("api-version").unwrap_or_default();
    if API_VERSIONS.contains(&version.as_str()) {
        return Ok(());
    }
    let (title, detail) = match version.is_empty() {
        true => {
            ("API version is not specified", "An API version is required, but was not specified.".to_owned())
        }
        false => (
            "Unsupported API version",
            format!(
                "The HTTP resource that matches the request URI '{}' does not support the API version '{version}'.",
                call.path
            ),
        ),
    };
    let more = json!({"name": "api-version", "detail": detail});
    Err(problem(StatusCode::BAD_REQUEST, "invalid-argument", title, more))
}

fn found(state: &State, call: &Call) -> Result<usize, Answer> {
    state.store(call.param("store")).map_err(|_| Answer::empty(StatusCode::NOT_FOUND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[test]
    fn every_operation_needs_an_action() {
        assert!(NEEDS.iter().all(|(operation, _)| routes::is_operation(operation)));
        assert_eq!(routes::operations_of_stores().count(), NEEDS.len());
    }

    #[test]
    fn keys_are_decoded_as_paths_are() {
        for (part, key) in
            [("a%3Ab", "a:b"), ("a+b", "a+b"), ("a%2Fb%20c", "a/b c"), ("a&b=c", "a&b=c"), ("%C3%BC", "ü")]
        {
            assert_eq!(decoded(part), key);
        }
    }
}
