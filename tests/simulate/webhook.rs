//! The whole way of an event: Azure, Event Grid, the host's webhook, a custom handler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use embedded_azure::event_grid::{self, EventGrid, Schema};
use embedded_azure::functions_host::{self, Host, webhook};
use embedded_azure::{EmbeddedAzure, KeyType, Options, VirtualClock, World};
use rekey_core::model::ServiceId;
use rekey_core::notice::{Notice, classify};
use reqwest::Client;
use serde_json::json;
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::handler::{self, Budgets, Invocation, Outcome, Runner, Trigger};
use tokio::net::TcpListener;

const MINUTE: Duration = Duration::from_secs(60);

/// Remembers the operations that it was told of, and fails while it is told to.
#[derive(Default)]
struct Remembering {
    operations: Mutex<Vec<String>>,
    fails: AtomicBool,
}

#[async_trait]
impl Runner for Remembering {
    fn is_leaving(&self) -> bool {
        false
    }

    async fn run(&self, trigger: Trigger, _: Invocation) -> Outcome {
        let Trigger::Events(events) = trigger else { panic!("no events") };
        assert_eq!(events.len(), 1, "one invocation for each event");
        self.operations.lock().unwrap().extend(events.into_iter().filter_map(|event| event.operation));
        let failure = self.fails.load(Ordering::SeqCst).then(|| "not repaired".to_owned());
        Outcome { failure, ..Outcome::default() }
    }
}

/// Serves a handler and the webhook in front of it, and tells the webhook's URL.
async fn serve(runner: Arc<Remembering>) -> String {
    let host = handler(runner).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{}", listener.local_addr().unwrap(), functions_host::WEBHOOK);
    let router = webhook(host, "OnKeyNotice", Arc::new(embedded_azure::SystemClock));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Serves a handler, with the stand-in for the Functions host before it.
async fn handler(runner: Arc<impl Runner>) -> Host {
    let listener = handler::listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let budgets = Budgets { timer: MINUTE, notice: MINUTE };
    // The handler goes by a clock that nobody moves: its patience is not what is tested.
    tokio::spawn(handler::serve(listener, handler::router(runner, Arc::new(SystemClock), budgets)));
    Host::new(port).unwrap()
}

#[tokio::test]
async fn an_event_reaches_the_handler_in_either_schema_and_a_failure_comes_again() {
    for schema in [Schema::EventGrid, Schema::CloudEvents] {
        let runner = Arc::new(Remembering::default());
        let url = serve(Arc::clone(&runner)).await;
        let endpoint = format!("{url}?functionName=OnKeyNotice").parse().unwrap();
        let grid = EventGrid { schema, batch: 10, ..EventGrid::to(endpoint) };
        let options = Options { event_grid: Some(grid), ..Options::like_azure() };
        let clock = Arc::new(VirtualClock::default());
        let listen = ([127, 0, 0, 1], 0).into();
        let azure = EmbeddedAzure::start(World::default(), options, clock.clone(), listen).await.unwrap();
        azure.regenerate_through_arm("sr-demo", &KeyType::ALL).unwrap();
        runner.fails.store(true, Ordering::SeqCst);
        let answered = |status| event_grid::Outcome::Answered(status);
        assert_eq!(azure.deliver_due().await[0].1, answered(500));
        runner.fails.store(false, Ordering::SeqCst);
        clock.advance(Duration::from_secs(10));
        assert_eq!(azure.deliver_due().await[0].1, answered(202));
        assert_eq!(azure.next_delivery(), None);
        let heard = std::mem::take(&mut *runner.operations.lock().unwrap());
        assert_eq!(heard, ["Microsoft.SignalRService/SignalR/regeneratekey/action"; 4]);
    }
}

#[tokio::test]
async fn the_webhook_refuses_what_the_host_refuses() {
    let url = serve(Arc::default()).await;
    let http = Client::builder().no_proxy().build().unwrap();
    for (function, kind, body, status) in [
        ("OnKeyNotice", "Notification", "[]", 202),
        ("OnKeyNotice", "Notification", r#"{"id": "e-1", "type": "X"}"#, 202),
        ("onkeynotice", "Notification", "[]", 404),
        ("OnKeyNotice", "SubscriptionValidation", "[]", 400),
        ("OnKeyNotice", "Notification", "no JSON", 400),
        ("OnKeyNotice", "Notification", "[{}]", 500),
    ] {
        let call = http.post(format!("{url}?functionName={function}")).header("aeg-event-type", kind);
        assert_eq!(call.body(body).send().await.unwrap().status(), status, "{function} {kind} {body}");
    }
}

/// Remembers what it was asked, and fails if that was a notice.
#[derive(Default)]
struct Asked(Mutex<Vec<(Trigger, Invocation)>>);

#[async_trait]
impl Runner for Asked {
    fn is_leaving(&self) -> bool {
        false
    }

    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
        let failure = matches!(trigger, Trigger::Events(_)).then(|| "not repaired".to_owned());
        self.0.lock().unwrap().push((trigger, invocation));
        Outcome { logs: vec!["sr-demo: settled".into()], failure, ..Outcome::default() }
    }
}

#[tokio::test]
async fn the_handler_understands_what_the_host_sends() {
    let runner = Arc::new(Asked::default());
    let host = handler(Arc::clone(&runner)).await;
    let instance = ServiceId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "sr-demo");
    let now = SystemClock.now();
    host.ready().await.unwrap();
    let reply = host.invoke("RotateKeys", &functions_host::timer("RotateKeys", None, now)).await.unwrap();
    assert_eq!(reply.logs, ["sr-demo: settled"]);
    let event = json!({
        "id": "e-1", "eventType": "Microsoft.Resources.ResourceActionSuccess", "subject": instance.to_string(),
        "data": {"operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action"},
    });
    let notice = functions_host::event("OnKeyNotice", &event, now);
    let refused = host.invoke("OnKeyNotice", &notice).await.unwrap_err().to_string();
    assert!(refused.contains("500") && refused.contains("not repaired"), "{refused}");
    let unknown = host.invoke("Unknown", &notice).await.unwrap_err().to_string();
    assert!(unknown.contains("404"), "{unknown}");

    let seen = runner.0.lock().unwrap();
    assert_eq!(seen[0].0, Trigger::Timer);
    assert!(uuid::Uuid::try_parse(&seen[0].1.id).is_ok());
    let Trigger::Events(events) = &seen[1].0 else { panic!("no events") };
    assert_eq!(classify(&events[0]), Notice::Regenerated { instance: Some(instance) });
}
