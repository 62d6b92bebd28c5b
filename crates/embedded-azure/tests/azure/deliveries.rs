//! How Event Grid tells others.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::Router;
use axum::http::{HeaderMap, StatusCode as Status};
use embedded_azure::event_grid::{EventGrid, Outcome, Schema};
use tokio::sync::mpsc;

use super::event_grid::{KEY_MARK, REGENERATE, azure};
use super::harness::*;

/// A webhook that remembers its calls, and answers as it was told, else 200.
#[derive(Default)]
struct Webhook {
    calls: Mutex<Vec<(HeaderMap, Value)>>,
    answers: Mutex<VecDeque<u16>>,
}

impl Webhook {
    async fn start() -> (Arc<Self>, EventGrid) {
        let webhook = Arc::new(Self::default());
        let heard = Arc::clone(&webhook);
        let listen = Router::new()
            .fallback(async move |headers: HeaderMap, body: String| heard.called(headers, &body));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?code=none", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, listen).await });
        (webhook, EventGrid::to(url.parse().unwrap()))
    }

    fn called(&self, headers: HeaderMap, body: &str) -> Status {
        self.calls.lock().unwrap().push((headers, serde_json::from_str(body).unwrap()));
        Status::from_u16(self.answers.lock().unwrap().pop_front().unwrap_or(200)).unwrap()
    }

    fn will_answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    fn taken(&self) -> Vec<(HeaderMap, Value)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

#[tokio::test]
async fn no_event_holds_key_material_or_a_token() {
    let (webhook, grid) = Webhook::start().await;
    let azure = azure(EventGrid { batch: 100, ..grid }).await;
    azure.list_keys().await;
    azure.regenerate("Primary").await;
    let settings = azure.settings("chat-web").await;
    azure.put_settings("chat-web", &settings).await;
    azure.inner.edit_setting("chat-func", "A", Some("{secondary:sr-demo}")).unwrap();
    azure.inner.regenerate_through_arm("sr-demo", &KeyType::ALL).unwrap();
    webhook.will_answer(&[400]);
    azure.inner.deliver_due().await;
    let report = serde_json::to_string(&azure.inner.report()).unwrap();
    let sent = webhook.taken().remove(0).1.to_string();
    assert!(sent.contains("regenerateKey") && report.contains("regenerateKey"));
    for text in [sent, report] {
        assert!(!text.contains(KEY_MARK) && !text.contains("AccessKey") && !text.contains(&azure.token));
    }
}

#[tokio::test]
async fn both_schemas_go_over_the_wire_as_they_are_documented() {
    for (schema, batch, kind, list, members) in [
        (Schema::EventGrid, 1, "application/json", true, ["eventType", "eventTime", "topic", "dataVersion"]),
        (
            Schema::CloudEvents,
            1,
            "application/cloudevents+json",
            false,
            ["type", "time", "source", "specversion"],
        ),
        (
            Schema::CloudEvents,
            5,
            "application/cloudevents-batch+json",
            true,
            ["type", "time", "source", "specversion"],
        ),
    ] {
        let (webhook, grid) = Webhook::start().await;
        let azure = azure(EventGrid { schema, batch, ..grid }).await;
        azure.list_keys().await;
        let delivered = azure.inner.deliver_due().await;
        assert_eq!(
            delivered.iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(),
            [Outcome::Answered(200)]
        );
        let (headers, body) = webhook.taken().remove(0);
        assert_eq!(headers["aeg-event-type"], "Notification");
        assert_eq!(headers["content-type"].to_str().unwrap().split(';').next(), Some(kind));
        let event = if list { &body[0] } else { &body };
        assert_eq!(body.is_array(), list);
        members.iter().for_each(|member| assert!(event[member].is_string(), "{member} in {event}"));
        assert_eq!(event["data"]["status"], "Succeeded");
    }
}

#[tokio::test]
async fn the_filter_batches_duplicates_and_disorder_do_what_they_say() {
    let (webhook, grid) = Webhook::start().await;
    let rules = EventGrid {
        operations: vec![REGENERATE.to_lowercase()],
        batch: 3,
        duplicate_every: 4,
        disorder: MINUTE,
        ..grid
    };
    let azure = azure(rules).await;
    for _ in 0..4 {
        azure.list_keys().await;
        azure.inner.regenerate_through_arm("sr-demo", &[KeyType::Primary]).unwrap();
    }
    let expected: Vec<Value> = azure.inner.undelivered_events();
    azure.clock.advance(MINUTE);
    azure.inner.deliver_due().await;
    let calls = webhook.taken();
    let mut sizes: Vec<usize> = calls.iter().map(|(_, body)| body.as_array().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 3], "four events, one of them twice");
    let ids = |events: &mut dyn Iterator<Item = &Value>| {
        let mut ids: Vec<String> = events.map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let sent = ids(&mut calls.iter().flat_map(|(_, body)| body.as_array().unwrap()));
    assert_eq!(sent, ids(&mut expected.iter()));
    assert_eq!(sent.windows(2).filter(|pair| pair[0] == pair[1]).count(), 1);
}

#[tokio::test]
async fn a_failing_webhook_is_called_again_later_and_in_the_end_no_more() {
    let (webhook, grid) = Webhook::start().await;
    let azure = azure(grid).await;
    azure.list_keys().await;
    webhook.will_answer(&[500, 503, 302, 202]);
    let mut waits = Vec::new();
    while let Some(due) = azure.inner.next_delivery() {
        waits.push((due - azure.clock.now()).num_seconds());
        azure.clock.sleep_until(due).await;
        azure.inner.deliver_due().await;
    }
    assert_eq!((waits, webhook.taken().len()), (vec![0, 10, 30, 60], 4));

    azure.list_keys().await;
    webhook.will_answer(&[413]);
    azure.inner.deliver_due().await;
    let url = format!("{}/sim/report", azure.inner.base());
    let report = json_of(azure.http.get(url).send().await.unwrap()).await["event_grid"].clone();
    let counts = ["occurred", "delivered", "pending", "dropped"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 0, 0]);
    let letter = &report["dead_letters"][0];
    assert_eq!((&letter["reason"], &letter["attempts"]), (&json!("NotRetried"), &json!(1)));
    assert_eq!(letter["event"]["eventType"], "Microsoft.Resources.ResourceActionSuccess");
}

#[tokio::test]
async fn an_answer_after_half_a_minute_is_none_and_so_is_a_closed_port() {
    let clock = Arc::new(Mutex::new(None::<Arc<VirtualClock>>));
    let slow = Arc::clone(&clock);
    let listen = Router::new().fallback(async move || {
        slow.lock().unwrap().as_ref().unwrap().advance(Duration::from_secs(31));
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, listen).await });
    let azure = azure(EventGrid::to(url.parse().unwrap())).await;
    *clock.lock().unwrap() = Some(Arc::clone(&azure.clock));
    azure.list_keys().await;
    let sent = azure.clock.now();
    assert_eq!(azure.inner.deliver_due().await[0].1, Outcome::Answered(200));
    assert_eq!(azure.inner.next_delivery(), Some(sent + Duration::from_secs(30 + 10)));
    server.abort();
    drop(server.await);
    azure.clock.advance(MINUTE);
    assert_eq!(azure.inner.deliver_due().await[0].1, Outcome::Unanswered);
    assert_eq!(azure.inner.undelivered_events().len(), 1);
}

#[tokio::test]
async fn with_a_clock_that_runs_events_are_delivered_by_themselves() {
    let (told, mut hear) = mpsc::unbounded_channel();
    let listen = Router::new().fallback(async move |body: String| drop(told.send(body)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, listen).await });
    let options = Options { event_grid: Some(EventGrid::to(url.parse().unwrap())), ..Options::default() };
    let clock = Arc::new(SystemClock);
    let sim =
        EmbeddedAzure::start(World::default(), options, clock, ([127, 0, 0, 1], 0).into()).await.unwrap();
    sim.regenerate_through_arm("sr-demo", &[KeyType::Primary]).unwrap();
    let body = tokio::time::timeout(Duration::from_secs(20), hear.recv()).await.unwrap().unwrap();
    assert!(body.to_lowercase().contains(&REGENERATE.to_lowercase()), "{body}");
}
