//! A proxy before the simulated Azure, for answers that it does not give itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use reqwest::Client;
use reqwest::header::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

/// An answer, on its way back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: &str) -> Self {
        let headers =
            [("content-type".parse().unwrap(), content_type.parse().unwrap())].into_iter().collect();
        Self { status, headers, body: body.to_owned() }
    }

    /// A refusal by Azure Resource Manager.
    pub fn refusal(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "error": { "code": code, "message": message } });
        Self::new(status, "application/json", &body.to_string())
    }
}

/// What is done with requests: an answer in the place of Azure's, or a change to Azure's.
pub trait Bend: Send + 'static {
    /// An answer to `METHOD path` that Azure is not asked for.
    fn before(&mut self, _request: &str) -> Option<Answer> {
        None
    }

    /// Changes Azure's answer.
    fn after(&mut self, _request: &str, _answer: &mut Answer) {}
}

impl<F: FnMut(&str) -> Option<Answer> + Send + 'static> Bend for F {
    fn before(&mut self, request: &str) -> Option<Answer> {
        self(request)
    }
}

/// Where something is kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    There,
    Back,
}

/// Nothing is bent.
pub struct Straight;

impl Bend for Straight {}

/// It ends when it is dropped.
pub struct Proxy {
    pub base: Url,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    upstream: String,
    client: Client,
    latency: Duration,
    bend: Mutex<Box<dyn Bend>>,
    seen: Mutex<Vec<String>>,
    /// What is kept back: requests whose `METHOD path` contains this, or the answers to them.
    held: watch::Sender<Option<(Way, String)>>,
    /// How many are.
    holding: watch::Sender<usize>,
}

impl Proxy {
    pub async fn start(upstream: &str, bend: impl Bend) -> Self {
        Self::start_far(upstream, bend, Duration::ZERO).await
    }

    /// One before something that is as far away.
    pub async fn start_far(upstream: &str, bend: impl Bend, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        // Azurite closes idle connections whenever it likes, and nothing here is to fail for that.
        let client = Client::builder().tls_certs_only([]).no_proxy().pool_max_idle_per_host(0);
        let client = client.redirect(reqwest::redirect::Policy::none());
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            client: client.build().unwrap(),
            latency,
            bend: Mutex::new(Box::new(bend)),
            seen: Mutex::default(),
            held: watch::Sender::new(None),
            holding: watch::Sender::new(0),
        });
        let carrying = Arc::clone(&shared);
        let router = Router::new().fallback(move |request: Request| {
            let carrying = Arc::clone(&carrying);
            async move { carrying.carry(request).await }
        });
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { base, shared, serving }
    }

    /// From now on something else goes wrong.
    pub fn bend(&self, bend: impl Bend) {
        *self.shared.bend.lock().unwrap() = Box::new(bend);
    }

    /// What keeps requests whose `METHOD path` contains a text back from when it is called, or the answers to them: as if the
    /// worker were frozen, or the network slow.
    pub fn holder(&self) -> impl Fn(Way, &str) + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move |way, text| drop(shared.held.send_replace(Some((way, text.to_owned()))))
    }

    /// Waits until something is kept back.
    pub async fn holds(&self) {
        self.shared.holding.subscribe().wait_for(|holding| *holding > 0).await.unwrap();
    }

    /// Lets all of them go.
    pub fn let_go(&self) {
        self.shared.held.send_replace(None);
    }

    /// How many requests there were whose `METHOD path` contains a text.
    pub fn count(&self, text: &str) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|request| request.contains(text)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    async fn carry(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let name = format!("{} {}", parts.method, parts.uri.path());
        self.seen.lock().unwrap().push(name.clone());
        self.keep_back(Way::There, &name).await;
        let instead = self.bend.lock().unwrap().before(&name);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let mut answer = match instead {
            Some(answer) => answer,
            None => self.ask(parts, body).await,
        };
        self.bend.lock().unwrap().after(&name, &mut answer);
        self.keep_back(Way::Back, &name).await;
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = answer.status.try_into().unwrap();
        *response.headers_mut() = answer.headers;
        // What is said of the connection is said of another one.
        for name in ["content-length", "transfer-encoding", "connection", "keep-alive"] {
            response.headers_mut().remove(name);
        }
        response
    }

    async fn keep_back(&self, way: Way, name: &str) {
        let goes = |held: &Option<(Way, String)>| {
            held.as_ref().is_none_or(|(held, text)| *held != way || !name.contains(text.as_str()))
        };
        let mut held = self.held.subscribe();
        if !goes(&held.borrow()) {
            self.holding.send_modify(|holding| *holding += 1);
            held.wait_for(goes).await.unwrap();
            self.holding.send_modify(|holding| *holding -= 1);
        }
    }

    /// Under the name by which the client knows us, so that the links in answers lead here.
    async fn ask(&self, parts: http::request::Parts, body: Bytes) -> Answer {
        let url = format!("{}{}", self.upstream, parts.uri);
        let request = self.client.request(parts.method, url).headers(parts.headers);
        let answer = request.header("x-forwarded-proto", "http").body(body).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, body: answer.text().await.unwrap() }
    }
}
