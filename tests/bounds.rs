//! Answers that do not end: how much of them is read, and what is said then. A server counts what was taken from it; the
//! difference to what was read are the buffers of the two ends of a connection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod scripted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::http::{HttpClient, Method, Request};
use rekey_core::model::{AppId, Key, KeyType, Section, ServiceId, ServiceType};
use scripted::{LeapingClock, Reply, Server, Token};
use signalr_rekey::azure::arm::{Arm, ArmError, ArmErrorKind, ArmOptions};
use signalr_rekey::azure::consumers::app_service::Dictionary;
use signalr_rekey::azure::data_plane::{DataPlane, Probe};
use signalr_rekey::azure::http::Http;
use signalr_rekey::azure::services::KeyService;
use signalr_rekey::clock::SystemClock;
use signalr_rekey::config::{Config, Environment, NotifyConfig, StateConfig, load_from};
use signalr_rekey::report::notify::Notifier;
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::{BlobStore, Store, StoreError, peek};
use url::Url;

const MIB: u64 = 1 << 20;
/// What a connection on loopback may hold on its way, in both directions and with room to grow (tcp_rmem, tcp_wmem).
const BUFFERS: u64 = 16 * MIB;

const OK: &str = "HTTP/1.1 200 OK\r\n";
const PIECE: &str = "                                                                ";

fn chat() -> ServiceId {
    ServiceId::new("s", "g", "chat")
}

fn arm(base: &Url) -> Arm {
    let (credential, clock, http) = (Arc::new(Token), LeapingClock::new(), Http::new());
    Arm::new(ArmOptions { base: base.clone(), credential, clock, http, jitter_seed: 1 }).unwrap()
}

fn flood(head: &str) -> Reply {
    Reply::Flood(format!("{head}\r\n"), PIECE.into())
}

/// The three ways in which a body that does not end may begin.
fn endless(status: &str) -> [Reply; 3] {
    let chunk = format!("40\r\n{PIECE}\r\n");
    [
        flood(&format!("HTTP/1.1 {status}\r\nconnection: close\r\n")),
        flood(&format!("HTTP/1.1 {status}\r\ncontent-length: 1099511627776\r\n")),
        Reply::Flood(format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n"), chunk),
    ]
}

fn error<T>(result: Result<T, ArmError>) -> ArmError {
    result.map(drop).unwrap_err()
}

#[tokio::test]
async fn of_an_endless_answer_of_azure_no_more_is_read_than_azure_sends_at_most() {
    for reply in endless("200 OK") {
        let server = Server::play([reply]).await;
        let error = error(ServiceType::SignalR.list_keys(&arm(&server.base), &chat()).await);
        assert_eq!(error.kind(), ArmErrorKind::Malformed);
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @"cannot list the keys, so whether consumers hold a valid key cannot be told: 200, the answer is larger than 12 MiB, which Azure Resource Manager never sends, and was not read to its end; check what REKEY_RESOURCE_MANAGER leads to; report this, with the correlation id if there is one");
        }
        assert!(server.flooded() <= 12 * MIB + BUFFERS, "{}", server.flooded());
        assert_eq!(server.asked().len(), 1, "it is not asked again");
    }
}

#[tokio::test]
async fn of_a_refusal_the_beginning_is_enough() {
    for reply in endless("403 Forbidden") {
        let server = Server::play([reply]).await;
        assert_eq!(
            error(ServiceType::SignalR.list_keys(&arm(&server.base), &chat()).await).kind(),
            ArmErrorKind::Forbidden
        );
        assert!(server.flooded() <= BUFFERS, "{}", server.flooded());
    }
}

#[tokio::test]
async fn a_list_is_bounded_over_all_its_pages() {
    let page =
        |_| Reply::json(200, &format!("{{\"value\":[],\"nextLink\":\"/\"}}{}", " ".repeat(12_000_000)));
    let server = Server::play((0..12).map(page)).await;
    let error = error(arm(&server.base).list_sites("s").await);
    assert_eq!((error.kind(), error.message()), (ArmErrorKind::Malformed, "the list does not end"));
    assert_eq!(server.asked().len(), 12, "128 MiB are full");
}

#[tokio::test]
async fn a_change_whose_answer_does_not_end_may_have_been_made() {
    let app = AppId::new("s", "g", "shop", None);
    let settings: Dictionary = [("A", "1")].into_iter().collect();
    for reply in endless("200 OK") {
        let server = Server::play([reply]).await;
        let updated = arm(&server.base).update_settings(&app, Section::AppSettings, &settings).await;
        assert_eq!(error(updated).kind(), ArmErrorKind::OutcomeUnknown);
        assert_eq!(server.asked().len(), 1, "it is not sent again");
        assert!(server.flooded() <= 12 * MIB + BUFFERS, "{}", server.flooded());
    }
}

#[tokio::test]
async fn what_comes_after_the_length_that_was_told_is_not_read() {
    let keys = r#"{"primaryKey":"p","secondaryKey":"s"}"#;
    let server = Server::play([flood(&format!("{OK}content-length: {}\r\n\r\n{keys}", keys.len()))]).await;
    let listed = ServiceType::SignalR.list_keys(&arm(&server.base), &chat()).await.unwrap();
    assert_eq!(listed.keys.primary, Key::new("p"));
    assert!(server.flooded() <= BUFFERS, "{}", server.flooded());
}

/// What cannot be unpacked cannot swell: a few kilobytes that become gigabytes are no way in.
#[tokio::test]
async fn no_answer_is_unpacked() {
    let keys = r#"{"primaryKey":"p","secondaryKey":"s"}"#;
    for encoding in ["gzip", "br", "deflate", "zstd"] {
        let server = Server::play([Reply::with(200, &[("content-encoding", encoding)], keys)]).await;
        let listed = ServiceType::SignalR.list_keys(&arm(&server.base), &chat()).await.unwrap();
        assert_eq!(listed.keys.secondary, Key::new("s"), "it was taken for {encoding}");
        assert_eq!(server.asked()[0].header("accept-encoding"), None);
    }
}

#[tokio::test]
async fn headers_are_bounded_and_those_of_a_regeneration_fit() {
    let url = |path: &str| format!("https://management.azure.com/{path}?s={}", "x".repeat(3800));
    let (operation, result) = (url("status"), url("result"));
    let headers = [("Azure-AsyncOperation", operation.as_str()), ("Location", result.as_str())];
    let server = Server::play([Reply::with(202, &headers, "{}")]).await;
    let answer =
        ServiceType::SignalR.regenerate(&arm(&server.base), &chat(), KeyType::Primary).await.unwrap();
    assert_eq!(answer.operation.unwrap().expose(), operation);
    // One too many.
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let reply = || Reply::Answer(200, many.clone(), "{}".into());
    let server = Server::play(std::iter::repeat_with(reply).take(5)).await;
    assert_eq!(
        error(ServiceType::SignalR.list_keys(&arm(&server.base), &chat()).await).kind(),
        ArmErrorKind::Unavailable
    );
    // One that does not end, and ever more of them.
    for piece in ["x", "x: y\r\n"] {
        let reply = || Reply::Flood(format!("{OK}a: "), piece.into());
        let server = Server::play(std::iter::repeat_with(reply).take(5)).await;
        assert_eq!(
            error(ServiceType::SignalR.list_keys(&arm(&server.base), &chat()).await).kind(),
            ArmErrorKind::Unavailable
        );
        assert!(server.flooded() <= 5 * BUFFERS, "{}", server.flooded());
    }
}

#[tokio::test]
async fn a_header_that_is_shown_is_shown_in_part() {
    let long = "i".repeat(50_000);
    let server = Server::play([Reply::with(403, &[("x-ms-correlation-request-id", &long)], "{}")]).await;
    let error = error(ServiceType::SignalR.list_keys(&arm(&server.base), &chat()).await);
    assert_eq!(error.correlation_id().map(str::len), Some(100));
}

#[tokio::test]
async fn a_token_endpoint_is_not_read_without_end() {
    for reply in endless("200 OK") {
        let server = Server::play([reply]).await;
        let asked = Http::new().execute_request(&Request::new(server.base.clone(), Method::Get)).await;
        let said = asked.map(drop).unwrap_err().to_string();
        assert_eq!(
            said,
            "the token endpoint's answer is larger than 64 KiB, which no access token is; check what answers there"
        );
        assert!(server.flooded() <= BUFFERS, "{}", server.flooded());
    }
}

#[tokio::test]
async fn of_the_data_plane_the_head_is_all() {
    for reply in endless("404 Not Found\r\nx-ms-error-code: Warning.User.NotExisted") {
        let server = Server::play([reply]).await;
        let prober = DataPlane::new(Http::new(), Some(server.base.clone()), Arc::new(SystemClock)).unwrap();
        let probe = ServiceType::SignalR.probe(&prober, "chat.service.signalr.net", &Key::new("k")).await;
        assert_eq!(probe, Probe::Accepted);
        assert!(server.flooded() <= BUFFERS, "{}", server.flooded());
    }
}

#[tokio::test]
async fn of_a_webhook_the_status_is_all() {
    for reply in endless("200 OK").into_iter().chain(endless("400 Bad Request")) {
        let server = Server::play([reply]).await;
        let config = NotifyConfig::new(server.base.as_str()).unwrap();
        let notifier = Notifier::new(config, Http::new(), LeapingClock::new());
        let ending = Ending::Failed("Azure refused listKeys (403)".into());
        let took = Duration::ZERO;
        notifier.tell(&RunReport {
            service: chat(),
            run: "notice/1".into(),
            events: vec![],
            rotations: vec![],
            recorded: vec![],
            repaired_in: None,
            foreseen: None,
            seen: None,
            took,
            known: None,
            cut_off: vec![],
            ending,
        });
        tokio::time::timeout(Duration::from_secs(5), notifier.drain()).await.unwrap();
        assert_eq!(server.asked().len(), 1);
        assert!(server.flooded() <= BUFFERS, "{}", server.flooded());
    }
}

/// A journal in a Blob Storage that is not one.
fn journal(base: &Url) -> BlobStore {
    let storage = format!(
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;BlobEndpoint={base}devstoreaccount1;"
    );
    let environment: Environment = [("AzureWebJobsStorage", storage)].into_iter().collect();
    let file = "[[instance]]\nid = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/one\"\n\
                apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/app\"]\n";
    let Config { state: StateConfig::Blob(blob), .. } = load_from(file, "rekey.toml", &environment).unwrap()
    else {
        panic!("the function app's storage is not used")
    };
    BlobStore::new(&blob, Arc::new(Token), Http::new(), Arc::new(SystemClock)).unwrap()
}

/// What Blob Storage sends with every document.
const BLOB: &str = "etag: \"1\"\r\nlast-modified: Thu, 24 Sep 2026 13:00:00 GMT\r\n";

#[tokio::test]
async fn a_journal_that_does_not_end_is_not_read_to_its_end() {
    let length = format!("{BLOB}content-length: 1099511627776\r\n");
    let server = Server::play([flood(&format!("{OK}{length}"))]).await;
    let store = journal(&server.base);
    let error = peek(&store, &chat()).await.unwrap_err();
    insta::assert_snapshot!(error, @"cannot read the journal s/g/signalr/chat.json (it is larger than 4 MiB); it was left as it is, and the service was not touched. If apps are cut off, `signalr-rekey rotate --without-journal` repairs them meanwhile");
    assert!(server.flooded() <= 4 * MIB + BUFFERS, "{}", server.flooded());
    // And what storage says when it refuses.
    let server = Server::play([flood("HTTP/1.1 403 Forbidden\r\nconnection: close\r\n")]).await;
    let error = journal(&server.base).get("s/g/chat.json").await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { .. } | StoreError::Unavailable(_)), "{error}");
    assert!(server.flooded() <= 4 * MIB + BUFFERS, "{}", server.flooded());
}

#[tokio::test]
async fn a_journal_that_stops_in_the_middle_is_not_waited_for() {
    let reply = || Reply::Stalled(format!("{OK}{BLOB}content-length: 100\r\n\r\n{{"));
    let server = Server::play(std::iter::repeat_with(reply).take(9)).await;
    let begun = Instant::now();
    let error = peek(&journal(&server.base), &chat()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
