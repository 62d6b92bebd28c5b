//! What an agent tells on its machine: who takes its reports, and the health URL of the app.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The code that reports have to bring.
pub(crate) const CODE: &str = "a-code-of-a-function";

/// A status of ours: it is answered 200, and not that anything is on record, as a gateway before the function does.
pub(crate) const SAYS_NOTHING: u16 = 299;

/// Another: it is on record, and is no key of the service.
pub(crate) const NO_KEY_OF_IT: u16 = 298;

/// Takes reports at `/api/OnReport`, and answers for the app at `/health`.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) base: String,
    shared: Arc<Shared>,
}

struct Shared {
    reports: Mutex<Vec<Value>>,
    /// The handler that they are handed on to, as the Functions host does.
    handler: Mutex<Option<String>>,
    statuses: Mutex<Vec<u16>>,
    health: Mutex<Box<dyn FnMut() -> u16 + Send>>,
    truth: Mutex<Option<Box<dyn Fn() -> String + Send>>>,
    lies: Mutex<Vec<String>>,
    /// What is not answered: requests whose path contains it.
    held: watch::Sender<Option<&'static str>>,
    holding: watch::Sender<usize>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            reports: Mutex::default(),
            handler: Mutex::default(),
            statuses: Mutex::default(),
            health: Mutex::new(Box::new(|| 200)),
            truth: Mutex::default(),
            lies: Mutex::default(),
            held: watch::Sender::new(None),
            holding: watch::Sender::new(0),
        });
        let serving = Arc::clone(&shared);
        let router = Router::new().fallback(move |request: Request| {
            let serving = Arc::clone(&serving);
            async move { serving.answer(request).await }
        });
        tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { base, shared }
    }

    /// From now on reports are taken by a handler, and this is but the host before it.
    pub(crate) fn hand_on_to(&self, handler: String) {
        *self.shared.handler.lock().unwrap() = Some(handler);
    }

    /// The reports that were taken, oldest first.
    pub(crate) fn reports(&self) -> Vec<Value> {
        self.shared.reports.lock().unwrap().clone()
    }

    /// The fingerprint that was reported last.
    pub(crate) fn last(&self) -> Option<String> {
        self.reports().last().map(|report| report["fingerprint"].as_str().unwrap().to_owned())
    }

    /// What the app really works with: each report is held against it.
    pub(crate) fn truth(&self, truth: impl Fn() -> String + Send + 'static) {
        *self.shared.truth.lock().unwrap() = Some(Box::new(truth));
    }

    /// The reports that were not true.
    pub(crate) fn lies(&self) -> Vec<String> {
        self.shared.lies.lock().unwrap().clone()
    }

    /// The next reports are answered so, and then all are taken again.
    pub(crate) fn refuse(&self, statuses: &[u16]) {
        *self.shared.statuses.lock().unwrap() = statuses.to_vec();
    }

    /// How the app is from now on.
    pub(crate) fn health(&self, status: impl FnMut() -> u16 + Send + 'static) {
        *self.shared.health.lock().unwrap() = Box::new(status);
    }

    /// Answers nothing that is asked of such a path, until it is let go.
    pub(crate) fn hold(&self, path: &'static str) {
        self.shared.held.send_replace(Some(path));
    }

    pub(crate) async fn holds(&self) {
        self.shared.holding.subscribe().wait_for(|holding| *holding > 0).await.unwrap();
    }

    pub(crate) fn let_go(&self) {
        self.shared.held.send_replace(None);
    }
}

impl Shared {
    async fn answer(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let goes = |held: &Option<&'static str>| held.is_none_or(|held| !path.contains(held));
        let mut held = self.held.subscribe();
        if !goes(&held.borrow()) {
            self.holding.send_modify(|holding| *holding += 1);
            let waited = Counted(&self.holding);
            held.wait_for(goes).await.unwrap();
            drop(waited);
        }
        let status =
            if path == "/health" { (self.health.lock().unwrap())() } else { self.take(&parts, body).await };
        let said = match status {
            200 if path != "/health" => r#"{"recorded":true}"#.to_owned(),
            _ => format!("this is what it says: {CODE}"),
        };
        let (status, said) = match status {
            SAYS_NOTHING => (200, "<html>sign in</html>".to_owned()),
            NO_KEY_OF_IT => (200, r#"{"recorded":true,"keyType":null}"#.to_owned()),
            status => (status, said),
        };
        let mut response = Response::new(Body::from(said));
        *response.status_mut() = status.try_into().unwrap();
        response
    }

    async fn take(&self, parts: &http::request::Parts, body: Body) -> u16 {
        assert_eq!(
            (parts.method.as_str(), parts.uri.path(), parts.uri.query()),
            ("POST", "/api/OnReport", None)
        );
        if parts.headers.get("x-functions-key").is_none_or(|code| code != CODE) {
            return 401;
        }
        let body: Value = serde_json::from_slice(&to_bytes(body, 4096).await.unwrap()).unwrap();
        let next = {
            let mut statuses = self.statuses.lock().unwrap();
            if statuses.is_empty() { 200 } else { statuses.remove(0) }
        };
        if let Some(truth) = &*self.truth.lock().unwrap() {
            let truth = truth();
            if body["fingerprint"] != *truth {
                self.lies.lock().unwrap().push(format!("{body} while it works with {truth}"));
            }
        }
        let handler = self.handler.lock().unwrap().clone();
        let next = match handler {
            Some(handler) => handed_on(&handler, &body).await,
            None => next,
        };
        if [200, NO_KEY_OF_IT].contains(&next) {
            self.reports.lock().unwrap().push(body);
        }
        next
    }
}

/// What a handler answers to a report, in the envelope of an httpTrigger.
async fn handed_on(handler: &str, report: &Value) -> u16 {
    let request = json!({"Url": "https://x/api/OnReport", "Method": "POST", "Body": report.to_string()});
    let envelope = json!({"Data": {"req": request}, "Metadata": {}});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(format!("{handler}/OnReport")).json(&envelope).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["Outputs"]["res"]["statusCode"].as_u64().unwrap().try_into().unwrap()
}

/// One that is waited for, however that ends: the agent may be killed meanwhile.
struct Counted<'a>(&'a watch::Sender<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|holding| *holding -= 1);
    }
}
