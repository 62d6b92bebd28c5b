//! No key, token or operation URL is in anything that leaves the process other than its requests to Azure: logs,
//! replies, the journal, `Debug` and errors. The embedded Azure's keys all begin with a mark, and everything is searched.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use common::log::Log;
use common::{HOUR, KEY_MARK, MINUTE, Story};
use embedded_azure::{
    AppConfiguration, ContainerApp, ContainerSecret, Fault, FaultKind, KeyValue, Options, Secret,
    StaticWebApp, Vault, World,
};
use rekey_core::model::{KeyType, KeyValueId};
use rekey_core::notice::Event;
use rekey_core::time::delta;
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::config::{KeyValueConfig, SecretConfig, metrics};
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::engine::check::{Check, Reader};
use signalr_rekey::handler::{Invocation, Runner, StatusAsked, Trigger};
use signalr_rekey::store::Store;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt;

/// What must be in no output. `eyJ` begins every JSON Web Token.
const SECRETS: [&str; 5] = [KEY_MARK, "eyJ", "&s=", "AccessKey=", "HEADERSECRET"];

fn search(what: &str, text: &str) {
    for secret in SECRETS {
        if let Some(at) = text.find(secret) {
            let around: String =
                text[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what} holds {secret:?} after: {around}");
        }
    }
}

fn invocation(story: &Story, function: &'static str, time: Duration) -> Invocation {
    Invocation { id: "an-id".into(), function, deadline: story.clock.now() + delta(time) }
}

fn timer() -> Trigger {
    Trigger::Timer
}

fn notice() -> Trigger {
    let event = Event {
        kind: "Microsoft.Resources.ResourceActionSuccess".into(),
        operation: Some("Microsoft.SignalRService/SignalR/regenerateKey/action".into()),
        ..Event::default()
    };
    Trigger::Events(vec![event])
}

/// A rotation in which everything goes wrong once, then a forced regeneration.
async fn live_through_everything(story: &Story, output: &mut String) {
    for (operation, kind) in [
        ("SignalR_ListKeys", FaultKind::Forbidden),
        ("SignalR_ListKeys", FaultKind::TimeoutAfter),
        ("SignalR_RegenerateKey", FaultKind::Conflict),
        ("SignalR_RegenerateKey", FaultKind::ServerErrorAfter),
        ("SignalR_OperationStatuses", FaultKind::Forbidden),
        ("WebApps_ListApplicationSettings", FaultKind::Forbidden),
        ("WebApps_UpdateApplicationSettings", FaultKind::TimeoutAfter),
        ("WebApps_UpdateApplicationSettings", FaultKind::Forbidden),
        ("DataPlane_Exists", FaultKind::ServerError),
        ("KeyVault_GetSecret", FaultKind::Forbidden),
        ("KeyVault_SetSecret", FaultKind::TimeoutAfter),
        ("KeyVault_SetSecret", FaultKind::BadRequest),
        ("AppConfiguration_GetKeyValue", FaultKind::Forbidden),
        ("AppConfiguration_PutKeyValue", FaultKind::TimeoutAfter),
        ("AppConfiguration_PutKeyValue", FaultKind::BadRequest),
    ] {
        story.sim.fault(Fault::new(operation, kind));
    }
    for _ in 0..80 {
        let outcome = Runner::run(
            &Dispatcher::new(story.rekey()),
            timer(),
            invocation(story, "RotateKeys", 9 * MINUTE),
        )
        .await;
        output.push_str(&format!("{outcome:?}\n"));
        story.clock.advance(10 * MINUTE);
    }
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let outcome = Runner::run(
        &Dispatcher::new(story.rekey()),
        notice(),
        invocation(story, "OnKeyNotice", Duration::from_secs(25)),
    )
    .await;
    output.push_str(&format!("{outcome:?}\n"));
    for json in [true, false] {
        let look = Trigger::Status(StatusAsked { json, instance: None });
        let outcome = Runner::run(
            &Dispatcher::new(story.rekey()),
            look,
            invocation(story, "Status", Duration::from_secs(25)),
        )
        .await;
        assert_eq!(outcome.reply.as_ref().unwrap().status, 200);
        output.push_str(&format!("{outcome:?}\n"));
    }
}

/// Captures the log of the whole process, for a subscriber of one thread alone can miss what another has silenced.
fn captured() -> Log {
    let log = Log::default();
    let everything = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    let shown = FilterFn::new(|metadata| {
        // What the program's own log shows: of its dependencies nothing below INFO (telemetry).
        metadata.target().starts_with("signalr_rekey") || *metadata.level() <= tracing::Level::INFO
    });
    tracing::subscriber::set_global_default(everything.finish().with(shown)).unwrap();
    log
}

/// Whom the processes of a story export metrics to; what it was sent.
async fn receiver(story: &mut Story) -> Arc<Mutex<String>> {
    let sent = Arc::<Mutex<String>>::default();
    let taken = Arc::clone(&sent);
    let take = move |body: String| async move { taken.lock().unwrap().push_str(&body) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=HEADERSECRET"),
    ];
    story.config.metrics = metrics::read(&settings.into_iter().collect());
    sent
}

#[tokio::test]
async fn no_secret_leaves_the_process() {
    let log = captured();
    let secrets = [("chat".to_owned(), Secret::new("{primary:sr-demo}"))].into();
    let vault = Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets };
    let string = || "{primary:sr-demo}".to_owned();
    let container_app = ContainerApp {
        group: "rg-demo".into(),
        name: "chat-api".into(),
        secrets: [("signalr".to_owned(), ContainerSecret::Value(string()))].into(),
        replicas: 1,
        ..ContainerApp::default()
    };
    let static_web_app = StaticWebApp {
        group: "rg-demo".into(),
        name: "chat-pages".into(),
        settings: [("AzureSignalRConnectionString".to_owned(), string())].into(),
        ..StaticWebApp::default()
    };
    let store = AppConfiguration {
        group: "rg-demo".into(),
        name: "cs-demo".into(),
        key_values: vec![KeyValue::new("chat", None, "{primary:sr-demo}")],
        access_key: None,
    };
    let world = World {
        vaults: vec![vault],
        app_configurations: vec![store],
        container_apps: vec![container_app],
        static_web_apps: vec![static_web_app],
        ..World::default()
    };
    let mut story = Story::of(world, Options::default()).await;
    let exported = receiver(&mut story).await;
    let id = "https://kv-demo.vault.azure.net/secrets/chat".parse().unwrap();
    story.config.instances[0].vault_secrets =
        vec![SecretConfig { id, readers_within: Duration::ZERO, unused: false }];
    let id = KeyValueId::new("https://cs-demo.azconfig.io", "chat", None).unwrap();
    story.config.instances[0].app_configuration =
        vec![KeyValueConfig { id, readers_within: Duration::ZERO, read_by: vec![] }];
    // In texts, in a secret and in a key-value as well as in a connection string.
    for (app, name, text) in [
        (
            "chat-web",
            "Azure__SignalR__ConnectionString",
            "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=chat)",
        ),
        (
            "chat-func",
            "AzureSignalRConnectionString",
            r#"{"c":"{primary:sr-demo}","k":"{primaryKey:sr-demo}"}"#,
        ),
        (
            "chat-web/staging",
            "Azure__SignalR__ConnectionString",
            "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=chat)",
        ),
    ] {
        story.sim.edit_setting(app, name, Some(text)).unwrap();
    }
    let mut output = String::new();
    live_through_everything(&story, &mut output).await;
    assert!(story.sim.waiting().is_empty(), "every fault was met: {:?}", story.sim.waiting());
    assert!(output.contains("in the place of an invalid one"), "the story was lived through: {output}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 3);

    search("a reply", &output);
    search("what passes tell", &story.told.lock().unwrap().join("\n"));
    let logged = log.text();
    assert!(
        logged.contains("ARM request") && logged.contains("regenerated (new fingerprint"),
        "the log is captured"
    );
    search("the log", &logged);

    let exported = exported.lock().unwrap().clone();
    assert!(exported.contains("signalr_rekey.repairs"), "metrics are captured");
    search("the metrics", &exported);

    let journal = story.journal().await;
    search("the journal's Debug", &format!("{journal:#?}"));
    let id = &story.config.instances[0].id;
    let name = common::document_name(id);
    let (document, _) = story.store.get(&name).await.unwrap().document.unwrap();
    search("the journal's document", &String::from_utf8(document).unwrap());
    let proved = signalr_rekey::store::evidence_names(&*story.store).await.unwrap().unwrap();
    assert!(!proved.is_empty());
    for name in proved {
        let document = signalr_rekey::store::evidence(&*story.store, &name).await.unwrap().unwrap();
        search("a document of evidence", &String::from_utf8(document).unwrap());
    }
    search("the store's Debug", &format!("{:#?}", story.store));

    let rekey = story.rekey();
    let look = Check::take(
        Reader { arm: &rekey.arm, clock: &SystemClock, in_need: false },
        &story.config.instances[0],
        &journal,
    )
    .await
    .unwrap();
    search("a look's Debug", &format!("{look:#?}"));
    search("a snapshot's Debug", &format!("{:#?}", look.snapshot(&story.config.instances[0], &journal)));
    search("the parts' Debug", &format!("{:#?} {:#?} {:#?}", rekey.arm, rekey.data_plane, rekey.config));
    story.watch(HOUR).await;
    search("the embedded Azure's Debug", &format!("{:#?}", story.sim));
}

#[tokio::test]
async fn an_operation_url_is_in_the_journal_only_while_it_is_needed() {
    let story = Story::new().await;
    story.clock.advance(3 * HOUR);
    let id = &story.config.instances[0].id;
    let name = common::document_name(id);
    let mut seen = 0;
    for _ in 0..200 {
        let _ = Runner::run(
            &Dispatcher::new(story.rekey()),
            timer(),
            invocation(&story, "RotateKeys", Duration::from_secs(3)),
        )
        .await;
        let (document, _) = story.store.get(&name).await.unwrap().document.unwrap();
        let text = String::from_utf8(document).unwrap();
        let in_flight = story.journal().await.in_flight().is_some_and(|flight| flight.operation.is_some());
        assert_eq!(text.matches("&s=").count(), usize::from(in_flight));
        seen += usize::from(in_flight);
        story.clock.advance(Duration::from_secs(200));
    }
    assert!(seen > 0, "an operation was in flight between two runs");
}
