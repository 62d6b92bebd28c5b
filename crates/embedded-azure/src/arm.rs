//! Azure Resource Manager: what every request passes before it reaches a resource provider, and the providers.

pub(crate) mod activity_log;
pub(crate) mod containers;
pub(crate) mod directory;
pub(crate) mod references;
pub(crate) mod resources;
pub(crate) mod signalr;
pub(crate) mod static_sites;
pub(crate) mod web;

use axum::http::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::call::{Answer, Answered, Call};
use crate::state::State;
use crate::{barriers, buckets, roles};

/// Lets a call pass to its resource provider: token, api-version, subscription, group, permission and what stands at the
/// scope come first, as ARM itself has it.
pub(crate) fn admit(state: &mut State, operation: &str, call: &Call) -> Result<(), Answer> {
    gate(state, call)?;
    may(state, operation, call)
}

/// Whether the caller may do it and nothing stands at the scope that refuses it.
pub(crate) fn may(state: &State, operation: &str, call: &Call) -> Result<(), Answer> {
    roles::check(&state.denials, &state.identity.describe(), operation, call)?;
    barriers::check(&state.barriers, &state.subscription, call)
}

/// The headers that every ARM answer carries (docs: Understand how ARM throttles requests; Azure CLI recordings:
/// POSTs count as writes, and a client's own id comes back).
pub(crate) fn decorate(state: &mut State, call: &Call, answer: Answer) -> Answer {
    let remaining = match state.options.buckets {
        true => state.buckets.remaining(state.now, call),
        false => buckets::recorded(call),
    };
    let correlation = call.header("x-ms-correlation-request-id").map(str::to_owned);
    let answer = answer
        .with("x-ms-request-id", state.ids.uuid().to_string())
        .with("x-ms-correlation-request-id", correlation.unwrap_or_else(|| state.ids.uuid().to_string()))
        .with(remaining.0, remaining.1);
    match call.header("x-ms-client-request-id") {
        Some(id) => answer.with("x-ms-client-request-id", id),
        None => answer,
    }
}

/// ARM's answer to a method that a path does not have.
pub(crate) fn method_not_allowed(call: &Call) -> Answer {
    let message = format!("The http method '{}' is not supported for this path.", call.method);
    Answer::error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
}

/// ARM's answer to a path that it does not know.
pub(crate) fn not_found(call: &Call) -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "NotFound", format!("The path '{}' could not be found.", call.path))
}

/// ARM's 404 for a resource (recorded 2025).
fn resource_not_found(kind: &str, call: &Call) -> Answer {
    let message = format!(
        "The Resource '{kind}/{}' under resource group '{}' was not found. For more details please go to \
         https://aka.ms/ARMResourceNotFoundFix",
        call.resource(),
        call.param("group"),
    );
    Answer::error(StatusCode::NOT_FOUND, "ResourceNotFound", message)
}

fn bad_request(code: &str, message: impl Into<String>) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, code, message)
}

/// One page of a list, with the link to the next (docs: ARM common pagination, `nextLink`).
fn page(state: &State, call: &Call, mut items: Vec<Value>) -> Answered {
    let skip = match call.query("$skipToken") {
        None => 0,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| bad_request("InvalidSkipToken", "The $skipToken is invalid."))?,
    };
    let total = items.len();
    let mut page: Vec<Value> = items.drain(skip.min(total)..).collect();
    page.truncate(state.options.page_size.max(1));
    let next = skip + page.len();
    let mut body = json!({"value": page});
    if next < total {
        let asked = form_urlencoded::parse(call.query.as_bytes());
        let asked = asked.filter(|(name, _)| !name.eq_ignore_ascii_case("$skipToken"));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked).append_pair("$skipToken", &next.to_string());
        body["nextLink"] = format!("{}{}?{}", call.base, call.path, query.finish()).into();
    }
    Ok(Answer::ok(body))
}

fn gate(state: &mut State, call: &Call) -> Result<(), Answer> {
    state.identity.check(call)?;
    if state.options.buckets {
        state.buckets.take(state.now, call)?;
    }
    let Some(version) = call.query("api-version").filter(|version| !version.is_empty()) else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(bad_request("MissingApiVersionParameter", message));
    };
    if !looks_like_api_version(&version) {
        let message =
            format!("The api-version '{version}' is invalid. It is a date, 'yyyy-MM-dd[-preview]'.");
        return Err(bad_request("InvalidApiVersionParameter", message));
    }
    let subscription = call.param("subscription");
    if !subscription.is_empty() && !subscription.eq_ignore_ascii_case(&state.subscription) {
        let message = format!("The subscription '{subscription}' could not be found.");
        return Err(Answer::error(StatusCode::NOT_FOUND, "SubscriptionNotFound", message));
    }
    let group = call.param("group");
    if !group.is_empty() && !state.groups().iter().any(|known| known.eq_ignore_ascii_case(group)) {
        let message = format!("Resource group '{group}' could not be found.");
        return Err(Answer::error(StatusCode::NOT_FOUND, "ResourceGroupNotFound", message));
    }
    Ok(())
}

fn looks_like_api_version(version: &str) -> bool {
    let date = version.get(..10).unwrap_or_default();
    let suffix = version.get(10..).unwrap_or_default();
    let dated = date.chars().enumerate().all(|(at, sign)| match at {
        4 | 7 => sign == '-',
        _ => sign.is_ascii_digit(),
    });
    date.len() == 10 && dated && (suffix.is_empty() || suffix.starts_with('-'))
}
