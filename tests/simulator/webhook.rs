//! The whole way of an event: Azure, Event Grid, the host's webhook, a custom handler.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use signalr_rekey::handler::{self, Budgets, Invocation, Outcome, Runner, Trigger};
use signalr_rekey::sim::event_grid::{self, EventGrid, Schema};
use signalr_rekey::sim::functions_host::{Host, webhook};
use tokio::net::TcpListener;

use super::harness::*;

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
async fn serve(runner: Arc<Remembering>, clock: Arc<dyn Clock>) -> String {
    let handler = handler::listen(0).await.unwrap();
    let port = handler.local_addr().unwrap().port();
    let budgets = Budgets { timer: MINUTE, notice: MINUTE };
    // The handler goes by a clock that nobody moves: its patience is not what is tested.
    tokio::spawn(handler::serve(handler, handler::router(runner, Arc::new(SystemClock), budgets)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{}", listener.local_addr().unwrap(), webhook::PATH);
    let router = webhook::router(Host::new(port).unwrap(), clock);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn an_event_reaches_the_handler_in_either_schema_and_a_failure_comes_again() {
    for schema in [Schema::EventGrid, Schema::CloudEvents] {
        let runner = Arc::new(Remembering::default());
        let url = serve(Arc::clone(&runner), Arc::new(SystemClock)).await;
        let endpoint = format!("{url}?functionName=OnKeyNotice").parse().unwrap();
        let grid = EventGrid { schema, batch: 10, ..EventGrid::to(endpoint) };
        let options = Options { event_grid: Some(grid), ..Options::like_azure() };
        let azure = Azure::with(World::default(), options).await;
        azure.sim.regenerate_through_arm("sr-demo", &KeyType::ALL).unwrap();
        runner.fails.store(true, Ordering::SeqCst);
        let answered = |status| event_grid::Outcome::Answered(status);
        assert_eq!(azure.sim.deliver_due().await[0].1, answered(500));
        runner.fails.store(false, Ordering::SeqCst);
        azure.clock.advance(Duration::from_secs(10));
        assert_eq!(azure.sim.deliver_due().await[0].1, answered(202));
        assert_eq!(azure.sim.next_delivery(), None);
        let heard = std::mem::take(&mut *runner.operations.lock().unwrap());
        assert_eq!(heard, ["Microsoft.SignalRService/SignalR/regeneratekey/action"; 4]);
    }
}

#[tokio::test]
async fn the_webhook_refuses_what_the_host_refuses() {
    let url = serve(Arc::default(), Arc::new(SystemClock)).await;
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
