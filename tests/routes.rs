//! Every route by which a forced regeneration is found, from the regeneration to the last app that works again, with the
//! real program: the simulated Azure and the handler as processes, Event Grid's deliveries through the host's webhook, the
//! journal in Azurite, and apps that make client calls the whole time. Time is real.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are for people")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::journals::Journals;
use common::program::{Azure, Handler, free_port};
use embedded_azure::functions_host::{Host, WEBHOOK, webhook};
use serde_json::{Value, json};

/// An Azure whose Event Grid reaches a handler.
struct Route {
    name: &'static str,
    instance: String,
    azure: Azure,
    handler: Arc<Handler>,
}

impl Route {
    /// `flags` are those of `simulate`, `settings` the handler's own. The keys are rotated once, so that nothing is left to do.
    async fn new(name: &'static str, flags: &[&str], settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{}?functionName=OnKeyNotice", listener.local_addr().unwrap(), WEBHOOK);
        let front = webhook(Host::new(port).unwrap(), "OnKeyNotice", Arc::new(embedded_azure::SystemClock));
        tokio::spawn(async move { axum::serve(listener, front).await });
        let flags = [&["--latency", "20ms", "--event-grid", &url], flags].concat();
        let mut azure = Azure::with_journals(&[name], &flags);
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        azure.environment.extend(settings);
        let handler = Arc::new(Handler::start_at(port, &azure, &["handler"]).await);
        let instance = format!(
            "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers\
             /Microsoft.SignalRService/signalR/{name}"
        );
        let route = Self { name, instance, azure, handler };
        route.settle().await;
        assert_eq!(route.azure.report().await["refused"], 0, "a rotation cuts nobody off");
        route
    }

    async fn settle(&self) {
        for _ in 0..40 {
            let (status, reply) = self.handler.tick().await;
            if status == 200 && reply["Logs"].to_string().contains("settled") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("it does not settle: {:?}", self.handler.tick().await);
    }

    async fn regenerate(&self, keys: &str, through_arm: bool) {
        let body = json!({ "instance": self.name, "keyType": keys, "throughArm": through_arm });
        self.azure.ask("regenerate", body).await;
    }

    /// Waits until every app that was cut off works again; how long that took.
    async fn until_recovered(&self, patience: Duration) -> Duration {
        let start = Instant::now();
        let mut cut_off = false;
        while start.elapsed() < patience {
            let report = self.azure.report().await;
            let outages = report["outages"].as_array().unwrap().clone();
            cut_off |= !outages.is_empty();
            if cut_off && outages.iter().all(|outage| outage["open"] == false) {
                let apps = outages.len();
                let (took, longest) = (start.elapsed(), longest(&outages));
                println!("{}: {apps} outages over after {took:.1?}, the longest {longest} ms", self.name);
                return took;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not repaired within {patience:?}: {}", self.azure.report().await);
    }

    /// The key that the apps hold.
    async fn in_use(&self) -> &'static str {
        let document = Journals::open().read(self.name).await.unwrap();
        let held = document["journal"]["keys"]["primary"]["held"]["state"] == "now";
        if held { "Primary" } else { "Secondary" }
    }

    async fn arm_requests(&self) -> u64 {
        self.azure.report().await["arm_requests_total"].as_u64().unwrap()
    }
}

fn longest(outages: &[Value]) -> i64 {
    outages.iter().filter_map(|outage| outage["length_ms"].as_i64()).max().unwrap_or(-1)
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_event_of_azure_resource_manager_repairs_and_no_loop_forms() {
    // Everything that ARM announces is delivered, our own reads and writes too.
    let route = Route::new("grid", &[], &[]).await;
    route.regenerate("Both", true).await;
    route.until_recovered(SOON).await;
    // The events of our own requests are answered, and cause no further ones.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = route.arm_requests().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(route.arm_requests().await, before, "a loop");
    let grid = &route.azure.report().await["event_grid"];
    assert_eq!(
        (grid["pending"].as_u64(), grid["dead_letters"].as_array().map(Vec::len)),
        (Some(0), Some(0)),
        "{grid}"
    );
}

#[tokio::test]
async fn cloud_events_repair_through_duplicates_disorder_and_batches() {
    let flags = [
        "--event-schema",
        "cloud-events",
        "--event-duplicates",
        "2",
        "--event-disorder",
        "300ms",
        "--event-batch",
        "5",
    ];
    let route = Route::new("cloud", &flags, &[]).await;
    route.regenerate("Both", true).await;
    route.until_recovered(SOON).await;
}

#[tokio::test]
async fn an_alert_repairs() {
    let filter = ["--event-filter", "Microsoft.None/none/action"];
    let route = Route::new("alert", &filter, &[]).await;
    route.regenerate("Both", false).await;
    let alert = json!({
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": { "monitoringService": "ServiceHealth", "alertTargetIDs": ["/subscriptions/00000000-0000-0000-0000-000000000001"] },
            "alertContext": { "properties": { "service": "Azure SignalR Service" } },
        },
    });
    let request = json!({ "Url": "https://x/api/OnAlert?code=FUNCTIONKEY", "Method": "POST", "Body": alert.to_string() });
    let (status, reply) = route.handler.call("OnAlert", json!({ "req": request })).await;
    assert_eq!((status, &reply["Outputs"]["res"]["statusCode"]), (200, &json!(200)), "{reply}");
    route.until_recovered(SOON).await;
    let Ok(handler) = Arc::try_unwrap(route.handler) else { panic!("the handler is shared") };
    let printed = handler.kill();
    assert!(printed.contains("repaired in") && !printed.contains("FUNCTIONKEY"), "{printed}");
}

/// An app that is slow to be read: the others are repaired without it, and Event Grid's next delivery, ten
/// seconds later, carries on.
#[tokio::test]
async fn what_does_not_fit_the_budget_is_carried_on_by_the_next_delivery() {
    let filter = ["--event-filter", "Microsoft.SignalRService/SignalR/regenerateKey/action"];
    let route = Route::new("slow", &filter, &[("REKEY_NOTICE_BUDGET", "9s")]).await;
    let slow = json!({ "operation": "WebApps_ListApplicationSettings", "resource": "web-slow", "kind": "slow", "delay_ms": 12000 });
    route.azure.ask("faults", slow).await;
    // One event; of each key there would be another.
    route.regenerate(route.in_use().await, true).await;
    let took = route.until_recovered(Duration::from_secs(60)).await;
    assert!(took > Duration::from_secs(8), "{took:?}");
    let Ok(handler) = Arc::try_unwrap(route.handler) else { panic!("the handler is shared") };
    let printed = handler.kill();
    assert!(printed.contains("OnKeyNotice is not finished") && printed.contains("repaired in"), "{printed}");
}

#[tokio::test]
async fn the_watch_repairs_what_nobody_told() {
    let filter = ["--event-filter", "Microsoft.None/none/action"];
    let route = Route::new("watched", &filter, &[("REKEY_WATCH", "10s")]).await;
    route.regenerate("Both", false).await;
    route.until_recovered(Duration::from_secs(25)).await;
}

#[tokio::test]
async fn the_timer_repairs_what_nobody_told() {
    let filter = ["--event-filter", "Microsoft.None/none/action"];
    let route = Route::new("timed", &filter, &[]).await;
    route.regenerate("Both", false).await;
    let (status, reply) = route.handler.tick().await;
    assert_eq!(status, 200, "{reply}");
    route.until_recovered(SOON).await;
}

#[tokio::test]
async fn an_announcement_lets_the_regeneration_hit_a_key_that_nobody_holds() {
    let route = Route::new("announced", &["--event-filter", "Microsoft.None/none/action"], &[]).await;
    let in_use = route.in_use().await;
    let event = json!({
        "id": "mail-1", "type": "SignalRRekey.RegenerationAnnounced", "source": "mail", "specversion": "1.0",
        "time": chrono::Utc::now().to_rfc3339(), "data": { "instance": route.instance, "keyTypes": [in_use] },
    });
    let answer = route.handler.call("OnKeyNotice", json!({ "event": event })).await;
    assert!(answer.1.to_string().contains("repointed to"), "{answer:?}");
    // The apps restart, and their clients' tokens end.
    tokio::time::sleep(Duration::from_secs(4)).await;
    route.regenerate(in_use, false).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let report = route.azure.report().await;
    assert_eq!(report["refused"], 0, "{report}");
}

/// The run that rotates has the lease and follows its own regeneration when somebody takes the key in use from under the
/// apps: it is called, repairs, and goes on.
#[tokio::test]
async fn what_happens_in_the_middle_of_a_rotation_is_repaired_in_the_middle_of_it() {
    let settings = [("REKEY_FIRST_ROTATION", "when-due")];
    let route = Route::new("middle", &["--regenerate-takes", "8s"], &settings).await;
    let (journals, in_use) = (Journals::open(), route.in_use().await);
    let event = json!({
        "id": "leak-1", "type": "SignalRRekey.KeysExposed", "time": chrono::Utc::now().to_rfc3339(),
        "data": { "instance": route.instance },
    });
    let handler = Arc::clone(&route.handler);
    let rotation = tokio::spawn(async move { handler.call("OnKeyNotice", json!({ "event": event })).await });
    journals.wait(route.name, |document| document["journal"]["inFlight"]["operation"].is_object()).await;
    route.regenerate(in_use, true).await;
    let took = route.until_recovered(Duration::from_secs(20)).await;
    let document = journals.read(route.name).await.unwrap();
    assert!(
        document["journal"]["inFlight"].is_object(),
        "the regeneration is still under way: {took:?} {document}"
    );
    rotation.await.unwrap();
}
