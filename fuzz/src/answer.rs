//! Answers of Azure Resource Manager, through the whole client and over HTTP: a server in the same thread gives them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, Response};
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use rekey_core::model::{AppId, KeyType, OperationUrl, Section, ServiceId, ServiceType};
use signalr_rekey::azure::arm::{Arm, ArmError, ArmOptions, OperationStatus};
use signalr_rekey::azure::consumers::app_service::Dictionary;
use signalr_rekey::azure::http::Http;
use signalr_rekey::azure::services::KeyService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::{LeapingClock, PLANTED, assert_harmless};

/// Where seeds have it that Azure is; in an answer it stands for where the server is.
const AZURE: &str = "https://management.azure.com";

/// What divides one answer from the next.
const NEXT: &str = "\n%%\n";

/// The longest error in words: Azure's message, two ids and our own advice, with room to spare.
const LONGEST_ERROR: usize = 4000;

thread_local! {
    /// The answers that are still to come.
    static ANSWERS: RefCell<VecDeque<Response<Bytes>>> = const { RefCell::new(VecDeque::new()) };
}

/// The next answer. When all are given, a PUT is answered with what it put, as Azure does, and anything else with 404, so
/// that every list ends.
async fn give(request: Request) -> Response<Body> {
    let put = request.method() == Method::PUT;
    let sent = to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    let next = ANSWERS.with_borrow_mut(VecDeque::pop_front);
    let next = next.or_else(|| {
        let (status, body) = if put { (200, sent) } else { (404, Bytes::new()) };
        Response::builder().status(status).body(body).ok()
    });
    next.unwrap_or_default().map(Body::from)
}

/// The first line names what is asked; then come answers, each a line with the status, lines of headers, an empty line
/// and the body. No answer panics, and no error holds what we have sent or is longer than people read.
pub fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (runtime, arm, base) = client();
    let text = text.replace(AZURE, base);
    let (asked, answers) = text.split_once('\n').unwrap_or((&text, ""));
    let answers: VecDeque<_> = answers.split(NEXT).filter_map(read).collect();
    let given = answers.len();
    ANSWERS.set(answers);
    let error = runtime.block_on(ask(arm, base, asked.trim()));
    let left = ANSWERS.with_borrow(VecDeque::len);
    assert!(left < given || given == 0 || !ASKED.contains(&asked.trim()), "the answers were not heard");
    if let Some(error) = error {
        let said = format!("{error} {error:?}");
        assert!(error.to_string().len() <= LONGEST_ERROR, "{said}");
        if asked.trim().starts_with("update") {
            assert_harmless(&said);
        }
    }
}

/// Headers that say where the body ends are the server's own.
const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "connection"];

fn read(text: &str) -> Option<Response<Bytes>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    // What is below 200 is no answer yet, and no server sends it for one.
    let status = lines.next()?.trim().parse::<u16>().ok().filter(|status| *status >= 200)?;
    let mut answer = Response::builder().status(status);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = name.trim();
        if !FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
            answer = answer.header(name, value.trim());
        }
    }
    answer.body(Bytes::copy_from_slice(body.as_bytes())).ok()
}

/// What can be asked.
const ASKED: [&str; 10] = [
    "instance",
    "instances",
    "sites",
    "permissions",
    "keys",
    "regenerate",
    "settings",
    "update",
    "status",
    "result",
];

async fn ask(arm: &Arm, base: &str, asked: &str) -> Option<ArmError> {
    let (id, app) = (ServiceId::new("s", "g", "chat"), AppId::new("s", "g", "shop", None));
    let section = Section::AppSettings;
    match asked {
        "instance" => ServiceType::SignalR.describe(arm, &id).await.err(),
        "instances" => ServiceType::SignalR.list(arm, "s", None).await.err(),
        "sites" => arm.list_sites("s").await.err(),
        "permissions" => arm.permissions("/subscriptions/s").await.err(),
        "keys" => ServiceType::SignalR.list_keys(arm, &id).await.err(),
        "regenerate" => regenerate(arm, &id).await.err(),
        "settings" => rewrite(arm, &app).await.err(),
        "update" => {
            let sent: Dictionary = PLANTED.into_iter().collect();
            arm.update_settings(&app, section, &sent).await.err()
        }
        "status" => status(arm, &OperationUrl::async_operation(format!("{base}/op?s=1"))).await.err(),
        "result" => status(arm, &OperationUrl::location(format!("{base}/op?s=1"))).await.err(),
        _ => None,
    }
}

async fn regenerate(arm: &Arm, id: &ServiceId) -> Result<(), ArmError> {
    let answer = ServiceType::SignalR.regenerate(arm, id, KeyType::Primary).await?;
    if let Some(keys) = &answer.keys {
        assert!(keys.iter().all(|(_, key)| !key.expose().is_empty()), "an empty text is no key");
    }
    match &answer.operation {
        Some(url) => status(arm, url).await,
        None => Ok(()),
    }
}

async fn status(arm: &Arm, url: &OperationUrl) -> Result<(), ArmError> {
    if let OperationStatus::Failed { code, message, .. } = ServiceType::SignalR.follow(arm, url).await? {
        assert!(code.len() + message.len() <= LONGEST_ERROR, "{code}: {message}");
    }
    Ok(())
}

/// What is listed goes back as it is, and a value can be replaced where it is a text and its name is there once.
async fn rewrite(arm: &Arm, app: &AppId) -> Result<(), ArmError> {
    let listed = arm.list_settings(app, Section::AppSettings).await?;
    ANSWERS.with_borrow_mut(VecDeque::clear);
    let written = arm.update_settings(app, Section::AppSettings, &listed).await?;
    assert!(written == listed && written.exposed().eq(listed.exposed()), "{written:?} instead of {listed:?}");
    let mut changed = listed.clone();
    for (name, value) in listed.exposed() {
        if listed.names().filter(|other| *other == name).count() == 1 {
            assert_eq!(changed.set_value(name, "new"), value.is_some());
            assert_eq!(changed.expose(name), value.map(|_| "new"));
        }
    }
    Ok(())
}

/// The one client, which reads the machine's certificates when it is made, and the server before it, which runs while the
/// client waits.
fn client() -> &'static (Runtime, Arm, String) {
    static CLIENT: OnceLock<(Runtime, Arm, String)> = OnceLock::new();
    let make = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).ok()?;
        let base = format!("http://{}", listener.local_addr().ok()?);
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(give)).await });
        let options = ArmOptions {
            base: base.parse().ok()?,
            credential: Arc::new(Token),
            clock: Arc::new(LeapingClock::default()),
            http: Http::new(),
            jitter_seed: 1,
        };
        Some((runtime, Arm::new(options).ok()?, base))
    };
    CLIENT.get_or_init(|| make().expect("a client and a server of its own"))
}

/// A credential that always has a token.
#[derive(Debug)]
struct Token;

#[async_trait]
impl TokenCredential for Token {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new("token", OffsetDateTime::UNIX_EPOCH))
    }
}
