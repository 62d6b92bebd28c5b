//! `docs/notices.md` against what events mean, and against a real message of ours.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekey_core::notice::{Notice, classify, read};
use serde_json::{Value, json};
use signalr_rekey::report::notify::Kind;

use super::common::program::Azure;
use super::markdown::{Document, codes};
use super::{root, sources};

fn notices() -> Document {
    Document::read("docs/notices.md")
}

fn json_of(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root().join(path)).unwrap()).unwrap()
}

fn means(event: &Value) -> Notice {
    classify(&read(event, "the event").unwrap()[0])
}

#[test]
fn the_examples_mean_what_the_document_says() {
    assert!(matches!(
        means(&json_of("docs/events/announced.json")),
        Notice::Announced { deadline: Some(_), .. }
    ));
    assert!(matches!(means(&json_of("docs/events/exposed.json")), Notice::Compromised { .. }));
    assert!(matches!(means(&json_of("docs/events/regenerated.json")), Notice::Regenerated { .. }));
    assert!(matches!(
        means(&json_of("docs/events/service-health.json")),
        Notice::ServiceHealth { signalr: true, .. }
    ));
    let shown: Vec<Value> = notices()
        .blocks()
        .iter()
        .filter(|block| block.info == "json")
        .map(|block| serde_json::from_str(&block.text).unwrap())
        .collect();
    assert!(matches!(means(&json_of("docs/events/approved.json")), Notice::Approved { .. }));
    let examples =
        ["announced", "exposed", "approved"].map(|name| json_of(&format!("docs/events/{name}.json")));
    assert_eq!(shown[..3], examples);
}

#[test]
fn every_type_in_the_table_is_known_to_the_program() {
    let sources = sources("src").to_lowercase();
    let rows = notices().rows("What an event means");
    let named: Vec<String> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    let whole = named.iter().filter(|name| name.contains('.') && !name.contains('…'));
    let unknown: Vec<_> = whole.filter(|name| !sources.contains(&name.to_lowercase())).collect();
    assert_eq!(unknown, Vec::<&String>::new());
    assert!(named.len() >= 14, "{named:?}");
}

#[test]
fn what_the_recipe_publishes_is_an_announcement() {
    let recipe = json_of("docs/recipes/mail-to-announcement.json");
    let mut found = Vec::new();
    http_actions(&recipe["definition"]["actions"], &mut found);
    assert_eq!(found.len(), 1);
    let action = &found[0]["inputs"];
    assert_eq!(action["authentication"]["type"], "ManagedServiceIdentity");
    // As the workflow would fill it in.
    let instance = json_of("docs/events/announced.json")["data"]["instance"].as_str().unwrap().to_owned();
    let body = action["body"].to_string().replace("@{item()}", &instance);
    let body = body.replace("@{triggerBody()?['receivedDateTime']}", "2026-09-21T08:30:00Z");
    let event: Value = serde_json::from_str(&body).unwrap();
    match means(&event) {
        Notice::Announced { keys, deadline: None, .. } => assert!(keys.primary && keys.secondary),
        other => panic!("{other:?}"),
    }
    assert!(read(&event, "the event").unwrap()[0].time.is_some());
    let trigger = recipe["definition"]["triggers"]["When_a_new_email_arrives_(V3)"].to_string();
    assert!(trigger.contains("subjectFilter") && trigger.contains("/v3/Mail/OnNewEmail"), "{trigger}");
}

fn http_actions(actions: &Value, found: &mut Vec<Value>) {
    for action in actions.as_object().into_iter().flat_map(|actions| actions.values()) {
        if action["type"] == "Http" {
            found.push(action.clone());
        }
        http_actions(&action["actions"], found);
    }
}

#[test]
fn every_type_of_message_is_in_the_table() {
    let all = [
        Kind::Repaired,
        Kind::Rotated,
        Kind::DriftFound,
        Kind::Unhealthy,
        Kind::OldKeyAccepted,
        Kind::WriterNamed,
        Kind::CutOff,
        Kind::Failed,
        Kind::Blocked,
        Kind::ChangeRequested,
        Kind::ApprovalRequested,
        Kind::Paused,
    ];
    for kind in all {
        match kind {
            Kind::Repaired
            | Kind::Rotated
            | Kind::DriftFound
            | Kind::Unhealthy
            | Kind::WriterNamed
            | Kind::OldKeyAccepted
            | Kind::CutOff
            | Kind::Failed
            | Kind::Blocked
            | Kind::ChangeRequested
            | Kind::ApprovalRequested
            | Kind::Paused => {}
        }
    }
    let rows = notices().rows("Being told: the webhook");
    let named: Vec<String> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(named, all.map(|kind| kind.event_type().to_owned()));
}

type Told = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn take(State(told): State<Told>, headers: HeaderMap, body: Bytes) -> StatusCode {
    told.lock().unwrap().push((headers, body));
    StatusCode::NO_CONTENT
}

const SIGNING_KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A message as a receiver gets it, of a rotation of the embedded Azure.
async fn message() -> (HeaderMap, Bytes) {
    let told = Told::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiver = Router::new().fallback(take).with_state(Arc::clone(&told));
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let azure = Azure::start(&["--regenerate-takes", "100ms", "--restart-takes", "100ms"]);
    let mut command = azure.command(&["rotate", "--now"]);
    command
        .env("REKEY_GRACE", "1s")
        .env("REKEY_NOTIFY_WEBHOOK", webhook)
        .env("REKEY_NOTIFY_SECRET", SIGNING_KEY);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1);
    told[0].clone()
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_what_the_document_shows_and_its_python_verifies_it() {
    let (headers, body) = message().await;
    let blocks = notices().blocks();
    let of = |info: &str| blocks.iter().filter(|block| block.info == info).collect::<Vec<_>>();
    for line in of("http")[0].text.lines().skip(1) {
        let (name, _) = line.split_once(": ").unwrap();
        assert!(headers.contains_key(name), "there is no {name} in {headers:?}");
    }
    let shown: Value = serde_json::from_str(&of("json").last().unwrap().text).unwrap();
    assert_eq!(keys(&serde_json::from_slice(&body).unwrap()), keys(&shown));

    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let python = of("python");
    assert_eq!(python.len(), 1);
    let script = format!("{}\n{HARNESS}", python[0].text);
    let input = json!({ "secret": SIGNING_KEY, "headers": headers, "body": STANDARD.encode(&body) });
    // Python is not among what the tests need; where it is, as in CI, it has to agree.
    let child =
        Command::new("python3").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return };
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "True False False");
}

/// Verifies the message, the message with one byte more, and the message by another key.
const HARNESS: &str = "
import json, sys
told = json.load(sys.stdin)
body = base64.b64decode(told['body'])
other = base64.b64encode(b'another key of 32 bytes, like it').decode()
print(
    is_genuine(told['secret'], told['headers'], body),
    is_genuine(told['secret'], told['headers'], body + b' '),
    is_genuine(other, told['headers'], body),
)
";
