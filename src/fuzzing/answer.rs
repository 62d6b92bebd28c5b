//! Answers of Azure Resource Manager, through the whole client but for the wire.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use reqwest::{Body, Method, RequestBuilder, Response};

use super::still::StillClock;
use super::{PLANTED, assert_harmless};
use crate::azure::arm::{Arm, ArmError, ArmOptions, OperationStatus};
use crate::azure::consumers::app_service::Dictionary;
use crate::azure::http::Http;
use crate::azure::services::KeyService;
use rekey_core::model::{AppId, KeyType, OperationUrl, Section, ServiceId, ServiceType};

const BASE: &str = "https://management.azure.com";

/// What divides one answer from the next.
const NEXT: &str = "\n%%\n";

/// The longest error in words: Azure's message, two ids and our own advice, with room to spare.
const LONGEST_ERROR: usize = 4000;

thread_local! {
    /// The answers that are still to come; none where a network is asked.
    static ANSWERS: RefCell<Option<VecDeque<Response>>> = const { RefCell::new(None) };
}

/// The next answer. When all are given, a PUT is answered with what it put, as Azure does, and anything else with 404, so
/// that every list ends.
pub(crate) fn next_answer(request: &RequestBuilder) -> Option<Response> {
    ANSWERS.with_borrow_mut(|answers| answers.as_mut()?.pop_front().or_else(|| last_answer(request)))
}

fn last_answer(request: &RequestBuilder) -> Option<Response> {
    let sent = request.try_clone()?.build().ok()?;
    let put = sent.body().filter(|_| sent.method() == Method::PUT).and_then(Body::as_bytes);
    let (status, body) = put.map_or((404, Vec::new()), |put| (200, put.to_vec()));
    ::http::Response::builder().status(status).body(body).ok().map(Response::from)
}

/// The first line names what is asked; then come answers, each a line with the status, lines of headers, an empty line
/// and the body. No answer panics, and no error holds what we have sent or is longer than people read.
pub fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (asked, answers) = text.split_once('\n').unwrap_or((&text, ""));
    let answers = answers.split(NEXT).filter_map(read).collect();
    let Some((runtime, arm)) = client() else { return };
    ANSWERS.with_borrow_mut(|slot| *slot = Some(answers));
    let error = runtime.block_on(ask(arm, asked.trim()));
    ANSWERS.with_borrow_mut(|slot| *slot = None);
    if let Some(error) = error {
        let said = format!("{error} {error:?}");
        assert!(error.to_string().len() <= LONGEST_ERROR, "{said}");
        if asked.trim().starts_with("update") {
            assert_harmless(&said);
        }
    }
}

fn read(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let mut answer = ::http::Response::builder().status(lines.next()?.trim().parse::<u16>().ok()?);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        answer = answer.header(name.trim(), value.trim());
    }
    Some(answer.body(body.to_owned()).ok()?.into())
}

async fn ask(arm: &Arm, asked: &str) -> Option<ArmError> {
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
        "status" => status(arm, &OperationUrl::async_operation(&format!("{BASE}/op?s=1"))).await.err(),
        "result" => status(arm, &OperationUrl::location(&format!("{BASE}/op?s=1"))).await.err(),
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
    ANSWERS.with_borrow_mut(|answers| answers.iter_mut().for_each(VecDeque::clear));
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

/// The one client, which reads the machine's certificates when it is made.
fn client() -> Option<&'static (tokio::runtime::Runtime, Arm)> {
    static CLIENT: OnceLock<Option<(tokio::runtime::Runtime, Arm)>> = OnceLock::new();
    let make = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let options = ArmOptions {
            base: BASE.parse().ok()?,
            credential: Arc::new(Token),
            clock: Arc::new(StillClock),
            http: Http::new(),
            jitter_seed: 1,
        };
        Some((runtime, Arm::new(options).ok()?))
    };
    CLIENT.get_or_init(make).as_ref()
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
