//! The ARM client at the edges of the protocol, against a server that answers as it is told.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod scripted;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use chrono::{TimeDelta, Utc};
use rekey_core::journal::Journal;
use rekey_core::model::{
    AppId, Key, KeyPair, KeyType, KeyValueId, OperationUrl, SecretId, Section, ServiceId, ServiceType,
    StaticWebAppId,
};
use scripted::{LeapingClock, Reply, Server, Token};
use serde_json::{Value, json};
use signalr_rekey::azure::arm::{Arm, ArmError, ArmErrorKind, ArmOptions, Barrier, OperationStatus};
use signalr_rekey::azure::consumers::app_service::Dictionary;
use signalr_rekey::azure::consumers::{
    Change, Marks, Place, Written, app_configuration, app_service, container_apps, key_vault, static_web_apps,
};
use signalr_rekey::azure::credentials::InsteadOf;
use signalr_rekey::azure::http::Http;
use signalr_rekey::azure::rbac;
use signalr_rekey::azure::services::KeyService;
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::report::cause;
use url::Url;

const KEYS: &str = r#"{"primaryKey":"PRIMARY-KEY-JQQJ99","secondaryKey":"SECONDARY-KEY-JQQJ99",
    "primaryConnectionString":"Endpoint=https://chat.service.signalr.net;AccessKey=PRIMARY-KEY-JQQJ99;Version=1.0;",
    "secondaryConnectionString":"Endpoint=https://chat.service.signalr.net;AccessKey=SECONDARY-KEY-JQQJ99;Version=1.0;"}"#;
const CHAT: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat";
const SHOP: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop";

fn chat() -> ServiceId {
    ServiceId::new("s", "g", "chat")
}

fn shop(slot: Option<&str>) -> AppId {
    AppId::new("s", "g", "shop", slot)
}

fn arm(base: &Url, clock: Arc<dyn Clock>) -> Arm {
    let options = ArmOptions {
        base: base.clone(),
        credential: Arc::new(Token),
        clock,
        http: Http::new(),
        jitter_seed: 1,
    };
    Arm::new(options).unwrap()
}

fn kind<T>(result: Result<T, ArmError>) -> ArmErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn why_no_connection_could_be_made_is_told() {
    // A server that speaks no TLS; a port on which nobody listens.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = format!("https://{}", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        plain
            .incoming()
            .flatten()
            .for_each(|mut stream| drop(stream.write_all(b"HTTP/1.1 400 no TLS here\r\n\r\n")));
    });
    // Bound, and nobody listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = socket.local_addr().unwrap();
    for (base, words) in [
        (tls, &["caused by: ", "corrupt message"][..]),
        (format!("http://{nobody}"), &["caused by: tcp connect error", "refused"]),
    ] {
        let error = ServiceType::SignalR
            .list_keys(&arm(&base.parse().unwrap(), LeapingClock::new()), &chat())
            .await
            .unwrap_err();
        let told = cause::told(&error);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        assert!(!told.contains("error sending request"), "{told}");
    }
}

#[tokio::test]
async fn a_request_bears_what_azure_needs_and_nothing_more() {
    let server = Server::play([Reply::json(200, KEYS), Reply::json(202, KEYS)]).await;
    let arm = arm(&server.base, LeapingClock::new());
    let listed = ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap();
    assert_eq!(listed.keys.primary, Key::new("PRIMARY-KEY-JQQJ99"));
    assert_eq!(listed.host.as_deref(), Some("chat.service.signalr.net"));
    ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Secondary).await.unwrap();
    let [list, regenerate] = server.asked().try_into().unwrap();
    assert_eq!(list.line, format!("POST {CHAT}/listKeys?api-version=2024-03-01 HTTP/1.1"));
    assert_eq!(list.header("content-length"), Some("0"));
    assert_eq!(list.header("authorization"), Some("Bearer the-token"));
    assert!(list.header("x-ms-client-request-id").unwrap().starts_with("signalr-rekey-"));
    assert!(list.header("user-agent").unwrap().starts_with("signalr-rekey/"));
    assert_eq!(regenerate.line, format!("POST {CHAT}/regenerateKey?api-version=2024-03-01 HTTP/1.1"));
    assert_eq!(regenerate.body, r#"{"keyType":"Secondary"}"#);
}

#[tokio::test]
async fn throttling_is_waited_out_as_long_as_azure_says() {
    let body = r#"{"error":{"code":"SubscriptionRequestsThrottled","message":"Slow down."}}"#;
    let throttled = |wait| Reply::with(429, &[("Retry-After", wait)], body);
    let script = [throttled("10"), throttled("Thu, 01 Jan 2026 00:00:41 GMT"), Reply::json(200, KEYS)];
    let server = Server::play(script).await;
    let clock = LeapingClock::new();
    ServiceType::SignalR
        .regenerate(&arm(&server.base, clock.clone()), &chat(), KeyType::Primary)
        .await
        .unwrap();
    let [first, second] = clock.waits().try_into().unwrap();
    assert!((seconds(10)..seconds(11)).contains(&first), "{first:?}");
    assert!(first + second >= seconds(41) && first + second < seconds(44), "{second:?}");
}

#[tokio::test]
async fn who_is_told_to_wait_too_long_is_told_so() {
    let throttled = || Reply::with(429, &[("Retry-After", "600")], "{}");
    let server = Server::play([throttled(), Reply::with(429, &[("Retry-After", "20")], "{}")]).await;
    let clock = LeapingClock::new();
    let arm = arm(&server.base, clock.clone());
    let wanted = ArmErrorKind::Throttled { retry_after: Some(seconds(600)) };
    assert_eq!(kind(ServiceType::SignalR.list_keys(&arm, &chat()).await), wanted);
    // 20 seconds would be waited, but not beyond the deadline.
    let wanted = ArmErrorKind::Throttled { retry_after: Some(seconds(20)) };
    let deadline = clock.now() + TimeDelta::seconds(15);
    assert_eq!(kind(ServiceType::SignalR.list_keys(&arm.until(deadline), &chat()).await), wanted);
    assert!(clock.waits().is_empty());
}

#[tokio::test]
async fn a_read_is_sent_again_after_any_passing_failure() {
    let server = Server::play([
        Reply::HangUp,
        Reply::with(503, &[("Retry-After", "7")], "busy"),
        Reply::Truncated(200, String::new()),
        Reply::json(408, ""),
        Reply::json(200, KEYS),
    ])
    .await;
    let clock = LeapingClock::new();
    ServiceType::SignalR.list_keys(&arm(&server.base, clock.clone()), &chat()).await.unwrap();
    assert_eq!((server.asked().len(), clock.waits().len()), (5, 4));
    assert!(clock.waits()[1] >= seconds(7), "{:?}", clock.waits());
}

#[tokio::test]
async fn attempts_end() {
    let server = Server::play(std::iter::repeat_with(|| Reply::json(500, "")).take(20)).await;
    let clock = LeapingClock::new();
    assert_eq!(
        kind(ServiceType::SignalR.list_keys(&arm(&server.base, clock.clone()), &chat()).await),
        ArmErrorKind::Unavailable
    );
    assert_eq!(server.asked().len(), 5);
    assert!(clock.waits().iter().sum::<Duration>() <= seconds(15));
}

#[tokio::test]
async fn a_change_that_may_have_been_made_is_not_sent_again() {
    let settings: Dictionary = [("A", "1")].into_iter().collect();
    for reply in [
        || Reply::HangUp,
        || Reply::json(500, "{}"),
        || Reply::json(503, "{}"),
        || Reply::json(408, "{}"),
        || Reply::json(504, "{}"),
    ] {
        let server = Server::play([reply()]).await;
        let arm = arm(&server.base, LeapingClock::new());
        let regenerated = ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await;
        assert_eq!((kind(regenerated), server.asked().len()), (ArmErrorKind::OutcomeUnknown, 1));
        let server = Server::play([reply()]).await;
        let arm = self::arm(&server.base, LeapingClock::new());
        let updated = arm.update_settings(&shop(None), Section::AppSettings, &settings).await;
        assert_eq!((kind(updated), server.asked().len()), (ArmErrorKind::OutcomeUnknown, 1));
    }
}

/// A credential that numbers its tokens, and makes a new one only when one is asked for instead of the last.
#[derive(Debug, Default)]
struct Numbered {
    last: AtomicUsize,
    stubborn: bool,
}

#[async_trait]
impl TokenCredential for Numbered {
    async fn get_token(
        &self,
        _: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let refused =
            options.as_ref().and_then(|options| options.method_options.context.value::<InsteadOf>());
        let last = format!("token-{}", self.last.load(Ordering::SeqCst));
        if refused.is_some_and(|InsteadOf(refused)| refused.secret() == last) && !self.stubborn {
            self.last.fetch_add(1, Ordering::SeqCst);
        }
        let token = format!("token-{}", self.last.load(Ordering::SeqCst));
        Ok(AccessToken::new(token, OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1)))
    }
}

#[tokio::test]
async fn a_token_that_azure_takes_no_longer_is_renewed_once_and_the_request_sent_once_more() {
    let expired =
        || Reply::json(401, r#"{"error":{"code":"ExpiredAuthenticationToken","message":"It expired."}}"#);
    let invalid = || {
        Reply::json(401, r#"{"error":{"code":"InvalidAuthenticationToken","message":"It is not valid."}}"#)
    };
    let tenant =
        || Reply::json(401, r#"{"error":{"code":"InvalidAuthenticationTokenTenant","message":"Other."}}"#);
    let running = || Reply::json(200, r#"{"status":"Running"}"#);
    let made = |base: &Url, stubborn| {
        let credential = Arc::new(Numbered { stubborn, ..Numbered::default() });
        let (clock, http) = (LeapingClock::new(), Http::new());
        Arm::new(ArmOptions { base: base.clone(), credential, clock, http, jitter_seed: 1 }).unwrap()
    };
    let tokens = |server: &Server| {
        let asked = server.asked();
        asked.iter().map(|asked| asked.header("authorization").unwrap().to_owned()).collect::<Vec<_>>()
    };

    // A list, a poll, and a change, each when the token has just expired.
    let script = [
        expired(),
        Reply::json(200, KEYS),
        running(),
        invalid(),
        running(),
        expired(),
        Reply::json(202, KEYS),
    ];
    let server = Server::play(script).await;
    let arm = made(&server.base, false);
    ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap();
    let url = OperationUrl::async_operation(format!("{}op/1?s=x", server.base));
    ServiceType::SignalR.follow(&arm, &url).await.unwrap();
    ServiceType::SignalR.follow(&arm, &url).await.unwrap();
    ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await.unwrap();
    assert_eq!(tokens(&server), [0, 1, 1, 1, 2, 2, 3].map(|number| format!("Bearer token-{number}")));

    let server = Server::play([expired(), expired()]).await;
    let error = ServiceType::SignalR.list_keys(&made(&server.base, false), &chat()).await.unwrap_err();
    assert_eq!((error.kind(), server.asked().len()), (ArmErrorKind::Unauthenticated, 2), "once, not again");
    assert!(error.to_string().contains("It expired; a fresh access token was refused as well"), "{error}");

    let server = Server::play([expired()]).await;
    let error = ServiceType::SignalR.list_keys(&made(&server.base, true), &chat()).await.unwrap_err();
    assert_eq!((error.kind(), server.asked().len()), (ArmErrorKind::Unauthenticated, 1));
    assert!(error.to_string().contains("returned the same one"), "{error}");
    assert!(!error.to_string().contains("token-"), "{error}");

    let server = Server::play([tenant()]).await;
    let wrong = ServiceType::SignalR.list_keys(&made(&server.base, false), &chat()).await;
    assert_eq!(kind(wrong), ArmErrorKind::Barred(Barrier::OtherTenant), "no token of this identity cures it");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_conflict_is_the_callers_to_wait_out() {
    let capitals = r#"{"Code":"Conflict","Message":"Another operation is in progress.","Target":null}"#;
    for reply in [Reply::json(409, "{}"), Reply::with(429, &[("Retry-After", "1")], capitals)] {
        let server = Server::play([reply]).await;
        let regenerated = ServiceType::SignalR
            .regenerate(&arm(&server.base, LeapingClock::new()), &chat(), KeyType::Primary)
            .await;
        assert_eq!((kind(regenerated), server.asked().len()), (ArmErrorKind::Conflict, 1));
    }
}

#[tokio::test]
async fn where_no_connection_comes_about_even_a_change_is_tried_again() {
    let base = Server::play([]).await.base;
    let mut closed = base.clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    closed.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    drop(listener);
    let clock = LeapingClock::new();
    let error = ServiceType::SignalR
        .regenerate(&arm(&closed, clock.clone()), &chat(), KeyType::Primary)
        .await
        .unwrap_err();
    assert_eq!((error.kind(), clock.waits().len()), (ArmErrorKind::Unavailable, 4));
    insta::assert_snapshot!(error, @"cannot regenerate a key: could not connect; nothing was changed; try again, as the next run does");
}

#[tokio::test]
async fn a_deadline_cuts_a_request_and_the_kind_says_what_that_means() {
    let server = Server::play([Reply::Silence, Reply::Silence]).await;
    let arm = arm(&server.base, Arc::new(SystemClock));
    let soon = || SystemClock.now() + TimeDelta::milliseconds(400);
    assert_eq!(
        kind(ServiceType::SignalR.list_keys(&arm.until(soon()), &chat()).await),
        ArmErrorKind::OutOfTime
    );
    let regenerated = ServiceType::SignalR.regenerate(&arm.until(soon()), &chat(), KeyType::Primary).await;
    assert_eq!(kind(regenerated), ArmErrorKind::OutcomeUnknown);
    let passed =
        ServiceType::SignalR.regenerate(&arm.until(SystemClock.now()), &chat(), KeyType::Primary).await;
    assert_eq!(kind(passed), ArmErrorKind::OutOfTime);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn an_order_that_was_taken_is_taken_whatever_becomes_of_its_answer() {
    let headers = "Location: /results/1\r\nAzure-AsyncOperation: /statuses/1\r\nRetry-After: 3\r\n";
    let server = Server::play([
        Reply::Truncated(202, headers.into()),
        Reply::Answer(202, headers.into(), "no JSON".into()),
        Reply::json(200, KEYS),
        Reply::json(202, "{}"),
    ])
    .await;
    let arm = arm(&server.base, LeapingClock::new());
    let status = server.base.join("/statuses/1").unwrap();
    for _ in 0..2 {
        let regeneration = ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await.unwrap();
        assert_eq!(regeneration.operation, Some(OperationUrl::async_operation(status.clone())));
        assert_eq!((regeneration.keys, regeneration.finished), (None, false));
        assert_eq!(regeneration.retry_after, Some(seconds(3)));
    }
    let done = ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await.unwrap();
    assert!(done.finished && done.keys.is_some() && done.operation.is_none());
    assert!(!ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await.unwrap().finished);
}

/// The URL of an operation by the one header or the other.
const ASYNC: fn(String) -> OperationUrl = |url| OperationUrl::async_operation(url);
const LOCATION: fn(String) -> OperationUrl = |url| OperationUrl::location(url);

#[tokio::test]
async fn operations_tell_how_they_stand() {
    use OperationStatus::{Failed, Running, Succeeded};
    let failed = |code: &str, message: &str| {
        let lasting = code == "RequestDisallowedByPolicy";
        Failed { code: code.into(), message: message.into(), lasting }
    };
    let none = "Azure gave no reason";
    for (via, status, body, wanted) in [
        (ASYNC, 200, r#"{"status":"Running"}"#, Running { retry_after: None }),
        (ASYNC, 202, r#"{"status":"InProgress"}"#, Running { retry_after: None }),
        (ASYNC, 200, r#"{"status":"Succeeded","properties":{}}"#, Succeeded),
        (ASYNC, 200, r#"{"status":"Canceled"}"#, failed("Canceled", none)),
        (
            ASYNC,
            200,
            r#"{"status":"Failed","error":{"code":"E","message":"It broke."}}"#,
            failed("E", "It broke"),
        ),
        (
            ASYNC,
            200,
            r#"{"status":"Failed","error":{"code":"RequestDisallowedByPolicy","message":"No."}}"#,
            failed("RequestDisallowedByPolicy", "No"),
        ),
        (LOCATION, 202, "", Running { retry_after: None }),
        (LOCATION, 200, KEYS, Succeeded),
        (LOCATION, 204, "", Succeeded),
    ] {
        let server = Server::play([Reply::json(status, body)]).await;
        let url = via(format!("{}op/1?s=x", server.base));
        assert_eq!(
            ServiceType::SignalR.follow(&arm(&server.base, LeapingClock::new()), &url).await.unwrap(),
            wanted
        );
        assert_eq!(server.lines(), ["GET /op/1?s=x"]);
    }
}

#[tokio::test]
async fn an_operation_without_words_or_with_none_left_is_an_error() {
    let not_found = r#"{"error":{"code":"OperationNotFound","message":"m"}}"#;
    let server = Server::play([Reply::json(200, "{}"), Reply::json(404, not_found)]).await;
    let arm = arm(&server.base, LeapingClock::new());
    let url = OperationUrl::async_operation(format!("{}op/1?s=signature", server.base));
    assert_eq!(kind(ServiceType::SignalR.follow(&arm, &url).await), ArmErrorKind::Malformed);
    let error = ServiceType::SignalR.follow(&arm, &url).await.unwrap_err();
    assert_eq!(error.kind(), ArmErrorKind::Gone);
    assert!(!format!("{error} {error:?}").contains("signature"), "{error:?}");
}

#[tokio::test]
async fn a_long_signed_url_is_used_as_it_is() {
    let signature = format!("t=1&c={}&s=a%2Fb%2fc+d~e_-.%7E&h=%20", "MIIH".repeat(1100));
    let path = format!("{CHAT}/operationStatuses/1?api-version=2023-08-01-preview&{signature}");
    assert!(path.len() > 4096);
    let script = |base: &str| {
        let url = format!("{base}{path}");
        [
            Reply::with(202, &[("Azure-AsyncOperation", &url)], KEYS),
            Reply::json(200, r#"{"status":"Running"}"#),
        ]
    };
    let server = Server::play_with(script).await;
    let arm = arm(&server.base, LeapingClock::new());
    let operation =
        ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await.unwrap().operation.unwrap();
    let kept: OperationUrl = serde_json::from_str(&serde_json::to_string(&operation).unwrap()).unwrap();
    ServiceType::SignalR.follow(&arm, &kept).await.unwrap();
    assert_eq!(server.lines()[1], format!("GET {path}"));
}

#[tokio::test]
async fn nothing_leads_off_the_host() {
    let other = Server::play([Reply::json(200, r#"{"status":"Succeeded"}"#)]).await;
    let page = format!(r#"{{"value":[],"nextLink":"{}page"}}"#, other.base);
    let redirect = Reply::with(307, &[("Location", &format!("{}moved", other.base))], "");
    let server = Server::play([Reply::json(200, &page), redirect]).await;
    let arm = arm(&server.base, LeapingClock::new());
    let with_user = server.base.as_str().replace("http://", "http://user:password@");
    for url in [other.base.as_str(), "https://127.0.0.1/op", &with_user, "/op", "http://[", "data:,x"] {
        let url = OperationUrl::async_operation(url);
        assert_eq!(kind(ServiceType::SignalR.follow(&arm, &url).await), ArmErrorKind::Elsewhere);
    }
    assert_eq!(server.asked().len(), 0);
    assert_eq!(kind(arm.list_sites("s").await), ArmErrorKind::Malformed);
    let redirected = ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap_err();
    assert_eq!((redirected.kind(), redirected.status()), (ArmErrorKind::Refused, Some(307)));
    assert_eq!((server.asked().len(), other.asked().len()), (2, 0));
}

#[tokio::test]
async fn an_answer_without_measure_is_not_read() {
    let endless = Reply::Endless(200, "x".repeat(9 << 20));
    let promised = Reply::with(200, &[], &"x".repeat(9 << 20));
    let server = Server::play([endless, promised]).await;
    let arm = arm(&server.base, LeapingClock::new());
    for _ in 0..2 {
        assert_eq!(kind(ServiceType::SignalR.list_keys(&arm, &chat()).await), ArmErrorKind::Malformed);
    }
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn plain_http_is_for_loopback_alone() {
    for base in ["http://management.azure.com", "http://10.0.0.4:80", "http://localhost.example.com"] {
        let (base, credential) = (base.parse().unwrap(), Arc::new(Token));
        let options =
            ArmOptions { base, credential, clock: LeapingClock::new(), http: Http::new(), jitter_seed: 1 };
        assert!(Arm::new(options).is_err());
    }
}

#[tokio::test]
async fn settings_of_sites_and_slots_go_there_and_back() {
    let listed = r#"{"properties":{"B":{"value":"old","type":"Custom","x":1},"A":{"value":"kept","type":"SQLAzure"}}}"#;
    let server = Server::play([Reply::json(200, listed), Reply::json(200, listed)]).await;
    let arm = arm(&server.base, LeapingClock::new());
    let slot = shop(Some("staging"));
    let mut settings = arm.list_settings(&slot, Section::ConnectionStrings).await.unwrap();
    assert!(settings.set_value("B", "new"));
    let answered = arm.update_settings(&slot, Section::ConnectionStrings, &settings).await.unwrap();
    assert_ne!(answered, settings);
    let [list, update] = server.asked().try_into().unwrap();
    let path = format!("{SHOP}/slots/staging/config/connectionstrings");
    assert_eq!(list.line, format!("POST {path}/list?api-version=2023-12-01 HTTP/1.1"));
    assert_eq!(update.line, format!("PUT {path}?api-version=2023-12-01 HTTP/1.1"));
    assert_eq!(update.body, listed.replace("old", "new"));
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let site =
        |name: &str| format!(r#"{{"id":"{SHOP}{name}","kind":"app","properties":{{"state":"Running"}}}}"#);
    let next = "/subscriptions/s/providers/Microsoft.Web/sites?$skiptoken=a%20b";
    let first = format!(r#"{{"value":[{},{{"id":"strange"}}],"nextLink":"{next}"}}"#, site(""));
    let script = [first, format!(r#"{{"value":[{}],"nextLink":null}}"#, site("2")), r#"{"value":[]}"#.into()];
    let server = Server::play(script.map(|body| Reply::json(200, &body))).await;
    let arm = arm(&server.base, LeapingClock::new());
    let names: Vec<_> = arm.list_sites("s").await.unwrap().iter().map(|site| site.id.name()).collect();
    assert_eq!(names, ["shop", "shop2"]);
    assert!(ServiceType::SignalR.list(&arm, "s", None).await.unwrap().is_empty());
    let lines = server.lines();
    assert_eq!(lines[1], format!("GET {next}"));
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn keys_and_settings_are_in_no_error_and_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // Of the whole process, for a subscriber of one thread alone can miss what another has silenced.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let settings = r#"{"properties":{"A":"Endpoint=https://c.service.signalr.net;AccessKey=SECRET-JQQJ99;Version=1.0;"}}"#;
    let echo = r#"{"error":{"code":"BadRequest","message":"SECRET-JQQJ99 is no good"}}"#;
    let signed =
        [("Azure-AsyncOperation", "/op?s=SIGNATURE-JQQJ99"), ("x-ms-correlation-request-id", "corr-1")];
    let server = Server::play([
        Reply::json(200, KEYS),
        Reply::with(202, &signed, KEYS),
        Reply::json(200, r#"{"primaryKey":["PRIMARY-KEY-JQQJ99"]}"#),
        Reply::json(400, KEYS),
        Reply::json(400, "AccessKey=PRIMARY-KEY-JQQJ99"),
        Reply::json(200, settings),
        Reply::json(400, echo),
    ])
    .await;
    let arm = arm(&server.base, LeapingClock::new());
    let app = shop(None);
    let mut shown = format!("{:?}", ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap());
    let regeneration = ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await.unwrap();
    let operation = regeneration.operation.clone().unwrap();
    // The scripted server hangs up on the poll after its last act: errors with a URL in them are looked at, too.
    for _ in 0..3 {
        let error = ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap_err();
        shown += &format!("{error} {error:?}");
    }
    let settings = arm.list_settings(&app, Section::AppSettings).await.unwrap();
    let error = arm.update_settings(&app, Section::AppSettings, &settings).await.unwrap_err();
    shown += &format!("{regeneration:?} {settings:?} {error} {error:?} {arm:?}");
    let error = ServiceType::SignalR.follow(&arm, &operation).await.unwrap_err();
    shown += &format!("{error} {error:?} {:?}", std::error::Error::source(&error));
    let log = log.text();
    assert!(log.contains("SignalR_RegenerateKey") && log.contains("corr-1"), "{log}");
    for text in [&shown, &log] {
        assert!(!text.contains("JQQJ99") && !text.contains("the-token"), "{text}");
    }
}

#[tokio::test]
async fn a_service_without_keys_is_told_from_half_an_answer_and_from_other_refusals() {
    let refused = |code: &str, message: &str| {
        Reply::json(400, &serde_json::json!({"error": {"code": code, "message": message}}).to_string())
    };
    let server = Server::play([
        Reply::json(200, "{}"),
        Reply::json(200, r#"{"primaryKey":null,"secondaryKey":""}"#),
        refused("BadRequest", "Failed to list key. disableLocalAuth is set to be true."),
        refused("LocalAuthDisabled", "no"),
        refused("KeysGone", "Local authentication is disabled"),
        Reply::json(200, r#"{"primaryKey":"a"}"#),
        refused("BadRequest", "The keyType is missing."),
    ])
    .await;
    let arm = arm(&server.base, LeapingClock::new());
    for _ in 0..5 {
        let error = ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap_err();
        assert_eq!(error.kind(), ArmErrorKind::Barred(Barrier::NoKeys), "{error}");
        assert!(!error.is_passing() && error.to_string().contains("or enable keys again"), "{error}");
    }
    assert_eq!(
        ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap_err().kind(),
        ArmErrorKind::Malformed
    );
    assert_eq!(
        ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap_err().kind(),
        ArmErrorKind::Refused
    );
}

/// What comes of reading and writing an app and a job whose every request is refused, one after another.
async fn errors_of_containers(keys: &KeyPair) -> Vec<ArmError> {
    let of = |rest: &str| format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.App/{rest}");
    let requests = [
        "POST containerApps/chat/listSecrets",
        "GET containerApps/chat?",
        "GET containerApps/chat/revisions?",
        "GET containerApps/chat/revisions/r/replicas",
        "PATCH containerApps/chat?",
        "POST containerApps/chat/revisions/r/restart",
        "POST jobs/chat/listSecrets",
        "GET jobs/chat?",
        "GET jobs/chat/executions",
        "PATCH jobs/chat?",
    ];
    let mut errors = Vec::new();
    for request in requests {
        let (method, rest) = request.split_once(' ').unwrap();
        let refused = format!("{method} {}", of(rest));
        let held = json!({"value": [{"name": "s", "value": string(&keys.primary)}]}).to_string();
        let server = Server::answer(move |asked| match &asked.line {
            line if line.starts_with(&refused) => Reply::json(403, "{}"),
            line if line.contains("listSecrets") => Reply::json(200, &held),
            line if line.contains("replicas") => Reply::json(200, r#"{"value":[{"name":"r-1"}]}"#),
            line if line.contains("revisions") => Reply::json(200, r#"{"value":[{"name":"r"}]}"#),
            line if line.contains("executions") => Reply::json(200, r#"{"value":[]}"#),
            _ => Reply::json(200, "{}"),
        })
        .await;
        let arm = arm(&server.base, LeapingClock::new());
        let id = of(rest.split_inclusive("chat").next().unwrap()).parse().unwrap();
        // A restart follows where the secrets hold the key already.
        let key = if request.contains("restart") { &keys.primary } else { &keys.secondary };
        errors.push(written(&arm, &Place::of_container_app(id), "s", keys, key).await);
    }
    errors
}

/// The same for the dictionaries of a static web app.
async fn errors_of_static_web_apps(keys: &KeyPair) -> Vec<ArmError> {
    let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/staticSites/pages";
    let site: StaticWebAppId = id.parse().unwrap();
    let mut errors = Vec::new();
    for environment in [None, Some("12")] {
        for place in Place::of_environment(&site, environment) {
            for method in ["POST", "PUT"] {
                let held = json!({"properties": {"S": string(&keys.primary)}}).to_string();
                let server = Server::answer(move |asked| {
                    if asked.line.starts_with(method) {
                        Reply::json(403, "{}")
                    } else {
                        Reply::json(200, &held)
                    }
                })
                .await;
                let arm = arm(&server.base, LeapingClock::new());
                let name = environment.map_or_else(|| "S".to_owned(), |one| format!("S (environment {one})"));
                errors.push(written(&arm, &place, &name, keys, &keys.secondary).await);
            }
        }
    }
    let server = Server::play([Reply::json(403, "{}")]).await;
    let arm = arm(&server.base, LeapingClock::new());
    errors.push(Place::Environments(site).read(&arm).await.unwrap_err());
    for scope in ["/subscriptions/s", "/subscriptions/s/resourceGroups/g"] {
        let server = Server::answer(|_| Reply::json(403, "{}")).await;
        let arm = crate::arm(&server.base, LeapingClock::new());
        errors.push(container_apps::list_apps(&arm, scope).await.unwrap_err());
        errors.push(container_apps::list_jobs(&arm, scope).await.unwrap_err());
        errors.push(static_web_apps::list(&arm, scope).await.unwrap_err());
    }
    errors
}

fn string(key: &Key) -> String {
    format!("Endpoint=https://chat.service.signalr.net;AccessKey={};Version=1.0;", key.expose())
}

async fn written(arm: &Arm, place: &Place, name: &str, keys: &KeyPair, key: &Key) -> ArmError {
    let (journal, versions) = (Journal::default(), BTreeMap::new());
    let marks = Marks { keys: Some(keys), host: "chat.service.signalr.net", journal: &journal };
    let change = Change { names: &[name], marks, key, versions: &versions, only_stale: false };
    place.write(arm, None, &change).await.unwrap_err()
}

#[tokio::test]
async fn every_operation_names_the_right_that_it_needs() {
    let app = [shop(None), shop(Some("staging"))];
    let keys =
        KeyPair { primary: Key::new("a key of the service"), secondary: Key::new("another key of it") };
    let version = |version: &str, key: &Key| {
        let value =
            format!("Endpoint=https://chat.service.signalr.net;AccessKey={};Version=1.0;", key.expose());
        let id = format!("https://v.vault.azure.net/secrets/chat/{version}");
        Reply::json(200, &json!({"id": id, "value": value}).to_string())
    };
    let forbidden = || Reply::json(403, "{}");
    // Of a secret what is read, written, and listed after that is forbidden, one after another.
    let (old, new) = (|| version("1", &keys.primary), version("2", &keys.secondary));
    let of_secrets = [forbidden(), old(), forbidden(), old(), new, forbidden()];
    // Of a key-value what is read and written, and of one that is refused for want of a role there is no word.
    let of_key_values = [Reply::json(403, ""), key_value("e1", &keys.primary), Reply::json(403, "")];
    let of_lists = [forbidden(), Reply::json(403, "")];
    let all =
        std::iter::repeat_with(forbidden).take(34).chain(of_secrets).chain(of_key_values).chain(of_lists);
    let server = Server::play(all).await;
    let arm = arm(&server.base, LeapingClock::new());
    let mut errors = vec![
        ServiceType::SignalR.describe(&arm, &chat()).await.unwrap_err(),
        ServiceType::SignalR.list_keys(&arm, &chat()).await.unwrap_err(),
        ServiceType::SignalR.replicas(&arm, &chat()).await.unwrap_err(),
        arm.update_strategy(&app[0]).await.unwrap_err(),
        arm.reference_identity(&app[0]).await.unwrap_err(),
        arm.reference_identity(&app[1]).await.unwrap_err(),
        ServiceType::SignalR.regenerate(&arm, &chat(), KeyType::Primary).await.unwrap_err(),
        ServiceType::SignalR.list(&arm, "s", None).await.unwrap_err(),
        ServiceType::SignalR.list(&arm, "s", Some("g")).await.unwrap_err(),
        arm.list_sites("s").await.unwrap_err(),
        arm.list_group_sites("s", "g").await.unwrap_err(),
        arm.list_slots(&app[0]).await.unwrap_err(),
        arm.list_subscriptions().await.unwrap_err(),
        arm.permissions(&chat().to_string()).await.unwrap_err(),
        arm.ids_of_type("s", "Microsoft.KeyVault/vaults").await.unwrap_err(),
        arm.vault_access("/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v", "o")
            .await
            .unwrap_err(),
        arm.links(&app[0].to_string()).await.unwrap_err(),
        arm.authentication(&app[0]).await.unwrap_err(),
        arm.writes_in_group(("s", "g"), Utc::now(), Utc::now()).await.unwrap_err(),
        arm.merge_tags(&chat(), &BTreeMap::new()).await.unwrap_err(),
    ];
    for via in [ASYNC, LOCATION] {
        let url = via(server.base.to_string());
        errors.push(ServiceType::SignalR.follow(&arm, &url).await.unwrap_err());
    }
    for (app, section) in app.iter().flat_map(|app| Section::ALL.map(|section| (app, section))) {
        errors.push(arm.list_settings(app, section).await.unwrap_err());
        errors.push(arm.update_settings(app, section, &Dictionary::default()).await.unwrap_err());
    }
    for (app, section) in app.iter().flat_map(|app| Section::ALL.map(|section| (app, section))) {
        let of = app_service::Place { app: app.clone(), section };
        errors.push(Place::References(of).read(&arm).await.unwrap_err());
    }
    let secret = Place::of_secret(SecretId::new("v.vault.azure.net", "chat").unwrap());
    errors.push(secret.read(&arm).await.unwrap_err());
    let journal = Journal::default();
    let marks = Marks { keys: Some(&keys), host: "chat.service.signalr.net", journal: &journal };
    let (key, versions) = (&keys.secondary, BTreeMap::new());
    let change = Change { names: &[], marks, key, versions: &versions, only_stale: false };
    for _ in 0..2 {
        errors.push(secret.write(&arm, None, &change).await.unwrap_err());
    }
    let in_store = Place::of_key_value(KeyValueId::new("https://s.azconfig.io", "chat", None).unwrap());
    errors.push(in_store.read(&arm).await.unwrap_err());
    errors.push(in_store.write(&arm, None, &change).await.unwrap_err());
    errors.push(key_vault::list(&arm, "v").await.unwrap_err());
    errors.push(app_configuration::list(&arm, "s").await.map(drop).unwrap_err());
    errors.extend(errors_of_containers(&keys).await);
    errors.extend(errors_of_static_web_apps(&keys).await);
    let operations = rbac::operations();
    for error in &errors {
        let declared = operations.iter().find(|operation| operation.name == error.operation()).unwrap();
        let action = declared.actions[0];
        assert!(error.to_string().contains(action), "{error}");
    }
    let used = |name| errors.iter().any(|error| error.operation() == name);
    assert!(operations.iter().all(|operation| used(operation.name)), "an action that nothing needs");
}

fn key_value(etag: &str, key: &Key) -> Reply {
    key_value_with(&[], etag, key)
}

fn key_value_with(headers: &[(&str, &str)], etag: &str, key: &Key) -> Reply {
    let value = format!("Endpoint=https://chat.service.signalr.net;AccessKey={};Version=1.0;", key.expose());
    let body = json!({
        "etag": etag, "key": "chat", "label": null, "content_type": "text/plain", "value": value,
        "tags": {"team": "chat"}, "locked": false, "last_modified": "2026-11-24T02:41:26+00:00", "new": [1],
    });
    Reply::with(200, headers, &body.to_string())
}

#[tokio::test]
async fn a_key_value_is_written_whole_on_condition_and_merged_anew_if_that_is_not_met() {
    let keys =
        KeyPair { primary: Key::new("a key of the service"), secondary: Key::new("another key of it") };
    let id = KeyValueId::new("https://s.azconfig.io", "a/b", Some("x&y")).unwrap();
    let server = Server::play([
        key_value_with(&[("sync-token", "i=dg==;sn=1")], "e1", &keys.primary),
        Reply::json(412, ""),
        key_value("e2", &keys.primary),
        key_value_with(&[("sync-token", "i=dw==;sn=2")], "e3", &keys.secondary),
        // Others do not see it at once.
        key_value("e2", &keys.primary),
        key_value("e3", &keys.secondary),
    ])
    .await;
    let arm = arm(&server.base, LeapingClock::new());
    let journal = Journal::default();
    let marks = Marks { keys: Some(&keys), host: "chat.service.signalr.net", journal: &journal };
    let change =
        Change { names: &[""], marks, key: &keys.secondary, versions: &BTreeMap::new(), only_stale: false };
    let written = Place::of_key_value(id).write(&arm, None, &change).await.unwrap();
    assert!(matches!(written, Written::Accepted(_)), "{written:?}");
    let requests = server.asked();
    let of = |at: usize, name: &str| requests[at].header(name).unwrap_or("-").to_owned();
    let told: Vec<_> = (0..6).map(|at| [of(at, "if-match"), of(at, "sync-token")].join(" ")).collect();
    assert_eq!(told, ["- -", "\"e1\" i=dg==", "- i=dg==", "\"e2\" i=dg==", "- -", "- -"]);
    for (at, request) in requests.iter().enumerate() {
        assert!(request.line.contains(" /kv/a%2Fb?label=x%26y&api-version=2023-11-01 "), "{}", request.line);
        assert_eq!(of(at, "host"), "s.azconfig.io");
        assert_eq!(of(at, "authorization"), "Bearer the-token-for-stores");
    }
    let body: Value = serde_json::from_str(&requests[3].body).unwrap();
    let value = "Endpoint=https://chat.service.signalr.net;AccessKey=another key of it;Version=1.0;";
    assert_eq!(
        body,
        json!({"value": value, "content_type": "text/plain", "tags": {"team": "chat"}, "new": [1]})
    );
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
