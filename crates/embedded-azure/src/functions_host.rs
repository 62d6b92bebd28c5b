//! A stand-in for the Functions host: waits for a custom handler, calls its functions and judges the answers as the
//! host does (host source: DefaultHttpWorkerService).
//!
//! Start at [`Host`]; [`timer`], [`event`] and [`http`] are what it sends (docs: Azure Functions custom handlers, request payload),
//! and [`webhook`] is its front to Event Grid.
//!
//! Caveat: the handshake of a new subscription, which the real extension answers by itself, is a 400 here.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::post;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::join_all;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Clock;

/// The release whose source says what is sent.
const VERSION: &str = "4.1037.0.0";

/// How often the host asks whether a handler is ready.
const PING_EVERY: Duration = Duration::from_millis(25);

/// How long it goes on asking (`initializationTimeout`).
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls one handler.
#[derive(Debug)]
pub struct Host {
    client: Client,
    base: String,
}

/// What a function answered when all went well.
#[derive(Debug, Default, Deserialize)]
pub struct Reply {
    /// What people read in the function's log.
    #[serde(default, rename = "Logs")]
    pub logs: Vec<String>,
    /// What its output bindings are given, by their names.
    #[serde(default, rename = "Outputs")]
    pub outputs: Value,
}

/// What the host would count as a failure.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The machine's TLS set-up is broken.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
    /// Nothing answered on the handler's port.
    #[error("the handler did not become ready within 30 seconds")]
    NotReady,
    /// The connection ended before there was an answer.
    #[error("{function} was called and gave no answer")]
    Unanswered {
        /// The function.
        function: String,
        /// How it ended.
        source: reqwest::Error,
    },
    /// The connection ended in the middle of the answer.
    #[error("the answer of {function} broke off")]
    BrokenOff {
        /// The function.
        function: String,
        /// How it ended.
        source: reqwest::Error,
    },
    /// The function failed.
    #[error("{function} answered {status}: {body}")]
    Failed {
        /// The function.
        function: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        body: String,
    },
    /// The host drops such an answer, whatever its status.
    #[error("{function} answered {status}, but not with a JSON object")]
    NoObject {
        /// The function.
        function: String,
        /// The status of its answer.
        status: StatusCode,
    },
    /// The host cannot show such logs.
    #[error("the Logs of {function} are no texts")]
    Logs {
        /// The function.
        function: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Host {
    /// Calls the handler on a port.
    pub fn new(port: u16) -> Result<Self, HostError> {
        let agent = format!("Azure-Functions-Host/{VERSION}");
        let client = Client::builder().no_proxy().user_agent(agent).build().map_err(HostError::Client)?;
        Ok(Self { client, base: format!("http://{}:{port}", Ipv4Addr::LOCALHOST) })
    }

    /// Waits until the handler answers anything at all.
    pub async fn ready(&self) -> Result<(), HostError> {
        let answered = async {
            while self.client.get(format!("{}/", self.base)).send().await.is_err() {
                tokio::time::sleep(PING_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, answered).await;
        waited.map_err(|_| HostError::NotReady)
    }

    /// Calls a function, and waits for its answer as long as the caller does.
    pub async fn invoke(&self, function: &str, envelope: &Value) -> Result<Reply, HostError> {
        // In Azure the host sends chunks and no length.
        let line = envelope.to_string();
        let body = Body::wrap_stream(futures::stream::iter([Ok::<_, io::Error>(line)]));
        let request = self
            .client
            .post(format!("{}/{function}", self.base))
            .header("X-Azure-Functions-HostVersion", VERSION)
            .header("X-Azure-Functions-InvocationId", Uuid::new_v4().to_string())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body);
        let unanswered = |error: reqwest::Error| HostError::Unanswered {
            function: function.to_owned(),
            source: error.without_url(),
        };
        judge(function.to_owned(), request.send().await.map_err(unanswered)?).await
    }
}

/// The host takes 2xx with a JSON object as `application/json` for a success, and nothing else.
async fn judge(function: String, answer: Response) -> Result<Reply, HostError> {
    let status = answer.status();
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let body = match answer.text().await {
        Ok(body) => body,
        Err(source) => return Err(HostError::BrokenOff { function, source }),
    };
    if !status.is_success() {
        return Err(HostError::Failed { function, status, body });
    }
    match serde_json::from_str::<Value>(&body) {
        Ok(reply @ Value::Object(_)) if is_json => {
            Reply::deserialize(reply).map_err(|source| HostError::Logs { function, source })
        }
        _ => Err(HostError::NoObject { function, status }),
    }
}

/// What calls a function on a timer with a retry policy, whose binding is called `timer`. `last` is its previous run;
/// before the first one the host writes a date in year 1.
#[must_use]
pub fn timer(function: &str, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Value {
    let last = last.map_or_else(|| "0001-01-01T00:00:00+00:00".to_owned(), local);
    let status = json!({ "Last": last, "Next": local(now), "LastUpdated": last });
    let timer = json!({ "Schedule": { "AdjustForDST": true }, "ScheduleStatus": status, "IsPastDue": false });
    let retry =
        json!({ "RetryCount": 0, "MaxRetryCount": 3, "Exception": null, "Instance": null, "State": {} });
    json!({
        "Data": { "timer": timer },
        "Metadata": { "sys": system(function, now), "RetryContext": retry },
    })
}

/// What calls a function with one event, in either schema, whose binding is called `event`.
#[must_use]
pub fn event(function: &str, event: &Value, now: DateTime<Utc>) -> Value {
    let mut metadata = json!({ "sys": system(function, now) });
    // The host repeats the event's data here, if it has any.
    if let Some(data) = event.get("data") {
        metadata["data"] = data.clone();
    }
    json!({ "Data": { "event": event }, "Metadata": metadata })
}

/// What calls a function that has an HTTP trigger, whose binding is called `req`, with a body of JSON.
#[must_use]
pub fn http(function: &str, body: &Value, now: DateTime<Utc>) -> Value {
    let mut request = asked(function, "POST", &json!({}));
    request["Headers"] = json!({ "Content-Type": ["application/json"] });
    request["Body"] = body.to_string().into();
    json!({ "Data": { "req": request }, "Metadata": { "sys": system(function, now) } })
}

/// The same of one that is only looked at, with parameters by their names.
#[must_use]
pub fn get(function: &str, query: &Value, now: DateTime<Utc>) -> Value {
    json!({ "Data": { "req": asked(function, "GET", query) }, "Metadata": { "sys": system(function, now) } })
}

fn asked(function: &str, method: &str, query: &Value) -> Value {
    json!({
        "Url": format!("http://127.0.0.1/api/{function}"),
        "Method": method,
        "Query": query,
        "Headers": {},
        "Params": {},
    })
}

fn system(function: &str, now: DateTime<Utc>) -> Value {
    json!({ "MethodName": function, "UtcNow": universal(now), "RandGuid": guid() })
}

fn guid() -> String {
    Uuid::new_v4().to_string()
}

/// In the host's own zone, which is UTC in Azure and still written as an offset.
fn local(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, false)
}

fn universal(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The path at which the host listens for Event Grid.
pub const WEBHOOK: &str = "/runtime/webhooks/EventGrid";

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "functionName")]
    function: String,
}

/// The webhook of the Event Grid trigger of one function, whose case counts: `POST
/// /runtime/webhooks/EventGrid?functionName=FUNCTION` (Event Grid extension source: one invocation for each event of a
/// delivery, all at once; 202 when all have succeeded, 500 if one has not, and Event Grid sends all of it again).
pub fn webhook(host: Host, function: &'static str, clock: Arc<dyn Clock>) -> Router {
    Router::new().route(WEBHOOK, post(receive)).with_state(Arc::new(Webhook { host, function, clock }))
}

struct Webhook {
    host: Host,
    function: &'static str,
    clock: Arc<dyn Clock>,
}

async fn receive(
    State(shared): State<Arc<Webhook>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let Webhook { host, function, clock } = shared.as_ref();
    if asked.function != *function {
        return StatusCode::NOT_FOUND;
    }
    if headers.get("aeg-event-type").is_none_or(|kind| kind != "Notification") {
        return StatusCode::BAD_REQUEST;
    }
    let events = match serde_json::from_str(&body) {
        Ok(Value::Array(events)) => events,
        Ok(event @ Value::Object(_)) => vec![event],
        Ok(_) | Err(_) => return StatusCode::BAD_REQUEST,
    };
    let invocations = events.iter().map(|event| async {
        let envelope = self::event(function, event, clock.now());
        host.invoke(function, &envelope).await
    });
    if join_all(invocations).await.iter().all(Result::is_ok) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-09-24T13:00:00.0142371Z".parse().unwrap()
    }

    #[test]
    fn a_timer_that_never_ran_has_its_dates_in_year_1() {
        let first = timer("RotateKeys", None, now());
        let status = &first["Data"]["timer"]["ScheduleStatus"];
        assert_eq!(status["Last"], "0001-01-01T00:00:00+00:00");
        assert_eq!(status["Next"], "2026-09-24T13:00:00.014237+00:00");
        assert_eq!(first["Metadata"]["RetryContext"]["RetryCount"], 0);
        assert_eq!(first["Metadata"]["sys"]["UtcNow"], "2026-09-24T13:00:00.014237Z");
        let second = timer("RotateKeys", Some(now()), now());
        assert_eq!(second["Data"]["timer"]["ScheduleStatus"]["Last"], "2026-09-24T13:00:00.014237+00:00");
    }

    #[test]
    fn an_events_data_stands_in_the_metadata_too() {
        let whole = event("OnKeyNotice", &json!({"id": "e-1", "data": {"status": "Succeeded"}}), now());
        assert_eq!(whole["Data"]["event"]["data"], whole["Metadata"]["data"]);
        assert_eq!(whole["Metadata"]["sys"]["MethodName"], "OnKeyNotice");
        assert!(!whole.to_string().contains('\n'));
        let bare = event("OnKeyNotice", &json!({"id": "e-1"}), now());
        assert!(bare["Metadata"].get("data").is_none());
    }
}
