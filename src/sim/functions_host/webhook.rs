//! The webhook of the Event Grid trigger (Event Grid extension source: one invocation for each event of a delivery, all
//! at once; 202 when all have succeeded, 500 if one has not, and Event Grid sends all of it again).
//!
//! Caveat: the handshake of a new subscription, which the real extension answers by itself, is a 400 here.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::Value;

use super::{Host, envelope};
use crate::clock::Clock;

/// The path at which the host listens for Event Grid.
pub const PATH: &str = "/runtime/webhooks/EventGrid";

/// The one function with an Event Grid trigger; its case counts.
const FUNCTION: &str = "OnKeyNotice";

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "functionName")]
    function: String,
}

/// Serves the webhook, and calls `OnKeyNotice` on the host's handler: `POST
/// /runtime/webhooks/EventGrid?functionName=OnKeyNotice`.
pub fn router(host: Host, clock: Arc<dyn Clock>) -> Router {
    Router::new().route(PATH, post(receive)).with_state(Arc::new((host, clock)))
}

async fn receive(
    State(shared): State<Arc<(Host, Arc<dyn Clock>)>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    if asked.function != FUNCTION {
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
    let (host, clock) = shared.as_ref();
    let invocations = events.iter().map(|event| async {
        let envelope = envelope::event(FUNCTION, event, clock.now());
        host.invoke(FUNCTION, &envelope).await
    });
    if join_all(invocations).await.iter().all(Result::is_ok) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}
