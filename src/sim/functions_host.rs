//! A stand-in for the Functions host: waits for a custom handler, calls its functions and judges the answers as the
//! host does (host source: DefaultHttpWorkerService).
//!
//! Start at [`Host`]; [`envelope`] has what it sends, and [`webhook`] is its front
//! to Event Grid.

pub mod envelope;
pub mod webhook;

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::handler::{self, Budgets, Invocation, Outcome, Retry, Runner, Timer, Trigger};
    use rekey_core::model::ServiceId;
    use rekey_core::notice::{Notice, classify};

    /// Remembers what it was asked, and fails if that was a notice.
    #[derive(Default)]
    struct Remembering(Mutex<Vec<(Trigger, Invocation)>>);

    #[async_trait]
    impl Runner for Remembering {
        fn is_leaving(&self) -> bool {
            false
        }

        async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
            let failure = matches!(trigger, Trigger::Events(_)).then(|| "not repaired".to_owned());
            self.0.lock().unwrap().push((trigger, invocation));
            Outcome { logs: vec!["sr-demo: settled".into()], failure, ..Outcome::default() }
        }
    }

    async fn serve(runner: Arc<Remembering>) -> Host {
        let listener = handler::listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let budgets = Budgets { timer: PATIENCE, notice: PATIENCE };
        tokio::spawn(handler::serve(listener, handler::router(runner, Arc::new(SystemClock), budgets)));
        Host::new(port).unwrap()
    }

    #[tokio::test]
    async fn the_handler_understands_what_is_sent() {
        let runner = Arc::new(Remembering::default());
        let host = serve(Arc::clone(&runner)).await;
        let instance = ServiceId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "sr-demo");
        let now = SystemClock.now();
        host.ready().await.unwrap();
        let reply = host.invoke("RotateKeys", &envelope::timer(None, now)).await.unwrap();
        assert_eq!(reply.logs, ["sr-demo: settled"]);
        let event = json!({
            "id": "e-1", "eventType": "Microsoft.Resources.ResourceActionSuccess", "subject": instance.to_string(),
            "data": {"operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action"},
        });
        let notice = envelope::event("OnKeyNotice", &event, now);
        let refused = host.invoke("OnKeyNotice", &notice).await.unwrap_err().to_string();
        assert!(refused.contains("500") && refused.contains("not repaired"), "{refused}");
        let unknown = host.invoke("Unknown", &notice).await.unwrap_err().to_string();
        assert!(unknown.contains("404"), "{unknown}");

        let seen = runner.0.lock().unwrap();
        let retry = Some(Retry { count: 0, max: 3 });
        assert_eq!(seen[0].0, Trigger::Timer(Timer { past_due: false, retry }));
        assert!(Uuid::try_parse(&seen[0].1.id).is_ok());
        let Trigger::Events(events) = &seen[1].0 else { panic!("no events") };
        assert_eq!(classify(&events[0]), Notice::Regenerated { instance: Some(instance) });
    }
}
