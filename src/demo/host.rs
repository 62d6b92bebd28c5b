//! A stand-in for the Functions host: waits for a custom handler, calls its functions and judges the answers as the
//! host does (host source: DefaultHttpWorkerService).

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Client, Response};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Trouble;

/// The release whose source says what is sent.
const VERSION: &str = "4.1037.0.0";

/// How often the host asks whether a handler is ready.
const PING_EVERY: Duration = Duration::from_millis(25);

/// How long it goes on asking (`initializationTimeout`).
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls one handler.
pub(super) struct Host {
    client: Client,
    base: String,
}

/// What a function answered when all went well.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Reply {
    /// What people read in the function's log.
    #[serde(default, rename = "Logs")]
    pub(super) logs: Vec<String>,
}

impl Host {
    /// Calls the handler on a port.
    pub(super) fn new(port: u16) -> Result<Self, Trouble> {
        let agent = format!("Azure-Functions-Host/{VERSION}");
        let client = Client::builder().no_proxy().user_agent(agent).build();
        let client = client.map_err(|error| Trouble::of("no HTTP client can be made", &error))?;
        Ok(Self { client, base: format!("http://{}:{port}", Ipv4Addr::LOCALHOST) })
    }

    /// Waits until the handler answers anything at all.
    pub(super) async fn ready(&self) -> Result<(), Trouble> {
        let answered = async {
            while self.client.get(format!("{}/", self.base)).send().await.is_err() {
                tokio::time::sleep(PING_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, answered).await;
        waited.map_err(|_| Trouble::new("the handler did not become ready within 30 seconds"))
    }

    /// Calls a function, and waits for its answer as long as the caller does.
    pub(super) async fn invoke(&self, function: &str, envelope: &Value) -> Result<Reply, Trouble> {
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
        let broken = |error: reqwest::Error| {
            Trouble::of(&format!("{function} was called and gave no answer"), &error.without_url())
        };
        judge(function, request.send().await.map_err(broken)?).await
    }
}

/// The host takes 2xx with a JSON object as `application/json` for a success, and nothing else.
async fn judge(function: &str, answer: Response) -> Result<Reply, Trouble> {
    let status = answer.status();
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let body = answer.text().await;
    let body = body.map_err(|error| Trouble::of(&format!("the answer of {function} broke off"), &error))?;
    if !status.is_success() {
        return Err(Trouble::new(format!("{function} answered {status}: {body}")));
    }
    match serde_json::from_str::<Value>(&body) {
        Ok(reply @ Value::Object(_)) if is_json => Reply::deserialize(reply)
            .map_err(|error| Trouble::of(&format!("the Logs of {function} are no texts"), &error)),
        _ => Err(Trouble::new(format!("{function} answered {status}, but not with a JSON object"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;

    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::demo::envelope;
    use crate::host::{self, Budgets, Invocation, Outcome, Retry, Runner, Timer, Trigger};
    use crate::model::InstanceId;
    use crate::notice::{Notice, classify};

    /// Remembers what it was asked, and fails if that was a notice.
    #[derive(Default)]
    struct Remembering(Mutex<Vec<(Trigger, Invocation)>>);

    #[async_trait]
    impl Runner for Remembering {
        async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
            let failure = matches!(trigger, Trigger::Events(_)).then(|| "not mended".to_owned());
            self.0.lock().unwrap().push((trigger, invocation));
            Outcome { logs: vec!["sr-demo: settled".into()], failure, unfinished: false }
        }
    }

    async fn serve(runner: Arc<Remembering>) -> Host {
        let listener = host::listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let budgets = Budgets { timer: PATIENCE, notice: PATIENCE };
        tokio::spawn(host::serve(listener, host::router(runner, Arc::new(SystemClock), budgets)));
        Host::new(port).unwrap()
    }

    #[tokio::test]
    async fn the_handler_understands_what_is_sent() {
        let runner = Arc::new(Remembering::default());
        let host = serve(Arc::clone(&runner)).await;
        let instance = InstanceId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "sr-demo");
        let now = SystemClock.now();
        host.ready().await.unwrap();
        let reply = host.invoke("RotateKeys", &envelope::timer(None, now)).await.unwrap();
        assert_eq!(reply.logs, ["sr-demo: settled"]);
        let notice = envelope::key_regenerated(&instance, now);
        let refused = host.invoke("OnKeyNotice", &notice).await.unwrap_err().to_string();
        assert!(refused.contains("500") && refused.contains("not mended"), "{refused}");
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
