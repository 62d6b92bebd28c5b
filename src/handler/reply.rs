//! What we answer. Always a JSON object as `application/json`, never an empty body: on an empty one the host waits
//! until `functionTimeout` and then kills the process (docs: Azure Functions custom handlers, response payload).

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Content;

/// The run went well. There are no outputs; strings among them would be taken for base64 where they can be.
pub(super) fn success(logs: &[String]) -> Response {
    answer(StatusCode::OK, json!({ "Outputs": {}, "Logs": logs, "ReturnValue": null }))
}

/// The run failed, or was none. The host drops all of this but the status, so the caller logs it too.
pub(super) fn failure(status: StatusCode, error: &str, logs: &[String]) -> Response {
    answer(status, json!({ "Error": error, "Logs": logs }))
}

/// The answer of a function with an HTTP output, which is called `res` in its function.json: the host passes it on to the
/// caller, and takes the run itself for a success.
pub(super) fn http(status: StatusCode, content: &Content, logs: &[String]) -> Response {
    let (mut headers, body) = match content {
        Content::Json(body) => (json!({ "content-type": "application/json" }), body.to_string()),
        Content::Page { body, headers } => {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            (Value::Object(headers.collect()), body.clone())
        }
    };
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers["allow"] = json!("POST");
    }
    let res = json!({ "statusCode": status.as_u16(), "headers": headers, "body": body });
    answer(StatusCode::OK, json!({ "Outputs": { "res": res }, "Logs": logs, "ReturnValue": null }))
}

/// The host's question whether we are ready.
pub(super) fn ready() -> Response {
    answer(StatusCode::OK, json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") }))
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}
