//! Two handlers at once, as two processes with one Azurite and one simulated Azure. Time is real.
//!
//! What a model checker goes through in every order (`tests/model`) is done here with the real program, in a few.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::journals::Journals;
use common::program::{Azure, Handler, free_port};
use serde_json::{Value, json};

async fn two_handlers(azure: &Azure) -> [Handler; 2] {
    [Handler::start(azure, &[]).await, Handler::start(azure, &[]).await]
}

fn signal(handler: &Handler, signal: &str) {
    let pid = handler.child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

fn is_settled((status, reply): &(u16, Value), instances: &[&str]) -> bool {
    let logs = reply["Logs"].to_string();
    *status == 200 && instances.iter().all(|instance| logs.contains(&format!("{instance}: settled")))
}

/// Ticks a handler until everything is settled.
async fn settle(handler: &Handler, instances: &[&str]) {
    for _ in 0..20 {
        let told = handler.tick().await;
        if is_settled(&told, instances) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("it does not settle: {:?}", handler.tick().await);
}

fn regenerations(report: &Value) -> u64 {
    report["arm_requests"]["SignalR_RegenerateKey"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn timers_and_notices_at_both_at_once() {
    let instances = ["sr-a", "sr-b", "sr-c"];
    let azure = Azure::with_journals(&instances, &["--latency", "20ms"]);
    let [one, two] = two_handlers(&azure).await;
    let round = async || {
        let notices = |handler| futures::future::join_all(instances.map(|id| Handler::notice(handler, id)));
        let (a, b, _, _) = tokio::join!(one.tick(), two.tick(), notices(&one), notices(&two));
        [a, b].iter().all(|told| is_settled(told, &instances))
    };
    let mut rounds = 1;
    while !round().await {
        rounds += 1;
        assert!(rounds < 30, "it does not settle");
    }
    let report = azure.report().await;
    assert_eq!(report["refused"], 0, "{report}");
    assert_eq!(regenerations(&report), 6, "two for each instance and none refused: {report}");

    for keys in ["Primary", "Both", "Secondary"] {
        for instance in instances {
            azure.force(instance, keys).await;
        }
        for _ in 0..3 {
            round().await;
        }
        settle(&one, &instances).await;
        // Apps restart for a second, and their clients' tokens live for one more.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = azure.report().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = azure.report().await;
        assert_eq!(before["refused"], after["refused"], "repaired: {after}");
    }
    for instance in instances {
        assert!(Journals::open().read(instance).await.is_some());
    }
}

/// Two services whose connection strings stand in the settings of one app.
fn of_one_app(services: &[&str; 2], app: &str) -> Azure {
    let signalr = services.map(|name| json!({"group": "rg-demo", "name": name, "apps": [app]}));
    let world = json!({"signalr": signalr, "sites": [{"group": "rg-demo", "name": app}]});
    Azure::of_world(&world, &["--latency", "100ms"])
}

/// Each repairs its own service of the app at the same time, and both say that they are done; how often the app was written.
async fn both_repair(azure: &Azure, services: [&str; 2], [one, two]: [&Handler; 2]) -> u64 {
    let writes = async || {
        let report = azure.report().await;
        report["arm_requests"]["WebApps_UpdateApplicationSettings"].as_u64().unwrap_or_default()
    };
    let before = writes().await;
    for instance in services {
        azure.force(instance, "Both").await;
    }
    let (a, b) = tokio::join!(one.notice(services[0]), two.notice(services[1]));
    assert!(a.0 == 200 && b.0 == 200, "{a:?} {b:?}");
    let planned = azure.run(&["plan"]);
    let said = String::from_utf8_lossy(&planned.stdout);
    assert_eq!(planned.status.code(), Some(0), "both said that they were done: {said}");
    writes().await - before
}

/// Who shares a store locks the app in it, so that neither reads before the other has written: each writes once, and nothing
/// is written again because it was undone.
#[tokio::test]
async fn two_that_repair_services_of_one_app_do_not_undo_each_other() {
    let services = ["sr-shared-a", "sr-shared-b"];
    let azure = of_one_app(&services, "shared");
    let [one, two] = two_handlers(&azure).await;
    settle(&one, &services).await;
    for round in 0..3 {
        assert_eq!(both_repair(&azure, services, [&one, &two]).await, 2, "in round {round}");
    }
}

/// The fault that the lock keeps away, and what is left where two deployments share no store: each has read the app's
/// settings before the other writes them, and writes back what he read: the later write undoes the earlier. Who was undone
/// finds it when he reads back what he wrote, before he says that he is done.
#[tokio::test]
async fn two_without_a_common_store_undo_each_other_and_find_it_when_they_read_back() {
    let services = ["sr-apart-a", "sr-apart-b"];
    let azure = of_one_app(&services, "apart");
    let one = Handler::start(&azure, &[]).await;
    settle(&one, &services).await;
    let mut elsewhere = azure.command(&["handler"]);
    elsewhere.env("REKEY_STATE", "memory");
    let two = Handler::spawn(elsewhere, free_port(), &azure).await;
    for _ in 0..10 {
        if both_repair(&azure, services, [&one, &two]).await > 2 {
            return;
        }
    }
    panic!("nothing was undone and written again");
}

/// As on Flex Consumption, where the timer and the events never share a process. The timer's run follows its regeneration; the
/// key that every app holds is regenerated by somebody else meanwhile, and the notice of it reaches the other process.
#[tokio::test]
async fn a_notice_wakes_the_run_of_another_process() {
    let azure = Azure::with_journals(&["sr-call"], &["--regenerate-takes", "40s"]);
    let [timer, events] = two_handlers(&azure).await;
    let journals = Journals::open();
    let notice = async {
        journals.wait("sr-call", |document| document["journal"]["inFlight"]["operation"].is_object()).await;
        let document = journals.read("sr-call").await.unwrap();
        let standby = document["journal"]["inFlight"]["keyType"].as_str().unwrap().to_owned();
        azure.force("sr-call", if standby == "Primary" { "Secondary" } else { "Primary" }).await;
        events.notice("sr-call").await
    };
    let (_, told) = tokio::join!(timer.tick(), notice);
    assert_eq!(told.0, 200, "{told:?}");
    assert!(
        told.1["Logs"].to_string().contains("has checked since; every consumer holds a valid key"),
        "{told:?}"
    );
    let document = journals.read("sr-call").await.unwrap();
    let history = document["journal"]["history"].as_array().unwrap();
    let at = |is: &dyn Fn(&Value) -> bool| history.iter().position(|entry| is(&entry["event"]));
    let repaired = at(&|event| event["type"] == "repointed" && event["repaired"] == true);
    let over = at(&|event| event["type"] == "regenerated");
    assert!(repaired.is_some() && repaired < over, "the apps are repaired before the regeneration is over");
    settle(&timer, &["sr-call"]).await;
    let planned = azure.run(&["plan"]);
    assert_eq!(planned.status.code(), Some(0), "{planned:?}");
}

/// The first is frozen when the journal is such, its lease ends, the second does all that is to be done, and the first
/// thaws when it has been frozen for so long.
async fn frozen(instance: &str, azure: &Azure, when: impl Fn(&Value) -> bool, frozen_for: Duration) -> Value {
    let [one, two] = two_handlers(azure).await;
    let journals = Journals::open();
    let second = async {
        journals.wait(instance, when).await;
        signal(&one, "-STOP");
        let since = Instant::now();
        journals.pass_time(instance).await;
        settle(&two, &[instance]).await;
        tokio::time::sleep(frozen_for.saturating_sub(since.elapsed())).await;
        signal(&one, "-CONT");
    };
    let (told, ()) = tokio::join!(one.tick(), second);
    // Clients would be refused by now, had the first done anything more to the keys.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let report = azure.report().await;
    assert_eq!(report["refused"], 0, "{report} {told:?}");
    settle(&one, &[instance]).await;
    settle(&two, &[instance]).await;
    assert!(journals.read(instance).await.is_some());
    azure.report().await
}

#[tokio::test]
async fn frozen_while_an_operation_is_followed() {
    let azure = Azure::with_journals(&["sr-follow"], &[]);
    let operation = |document: &Value| document["journal"]["inFlight"]["operation"].is_object();
    let report = frozen("sr-follow", &azure, operation, Duration::ZERO).await;
    assert_eq!(regenerations(&report), 2, "{report}");
}

#[tokio::test]
async fn frozen_while_apps_are_written() {
    let azure = Azure::with_journals(&["sr-write"], &["--latency", "200ms"]);
    let intended = |document: &Value| document.to_string().contains("repointIntended");
    let report = frozen("sr-write", &azure, intended, Duration::ZERO).await;
    assert_eq!(regenerations(&report), 2, "{report}");
}

/// Azure is busy when the first sends its regeneration, so that it has to send again; frozen, it thaws to do so when
/// the second has made that very key anew and given it to every app. It was frozen for longer than a proof of the
/// lease lasts, so it lets it be. (Without that check of the clock this test fails: every client is refused.)
#[tokio::test]
async fn frozen_before_a_regeneration_is_sent() {
    let azure = Azure::with_journals(&["sr-send"], &[]);
    let busy = json!({"operation": "SignalR_RegenerateKey", "kind": "429", "retry_after": 10});
    azure.ask("faults", busy).await;
    let intended = |document: &Value| document["journal"]["inFlight"].is_object();
    let report = frozen("sr-send", &azure, intended, Duration::from_secs(65)).await;
    assert_eq!(regenerations(&report), 3, "the one that was throttled, and two: {report}");
}
