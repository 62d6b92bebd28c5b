//! The real program, killed by SIGKILL in the midst of a rotation, with its journal in Azurite. Time is real here, so
//! these are a few points and not all of them.

use std::sync::Arc;
use std::time::Duration;

use embedded_azure::World;
use futures::future::join_all;
use rekey_core::journal::Event;
use rekey_core::model::ServiceId;
use serde_json::Value;
use signalr_rekey::clock::SystemClock;
use signalr_rekey::store::{Store, peek};

use crate::common::program::{Azure, Handler};
use crate::common::{azurite, count, expire_lease};

/// After which request to Azure Resource Manager the program is killed: in the first check; before and at the first
/// regeneration, while it is followed and when it has ended; at the writes to the apps; at the second regeneration.
const KILLED_AFTER: [(&str, u64); 9] = [
    ("SignalR_ListKeys", 1),
    ("WebApps_ListApplicationSettings", 2),
    ("SignalR_RegenerateKey", 1),
    ("SignalR_OperationStatuses", 1),
    ("SignalR_ListKeys", 2),
    ("WebApps_UpdateApplicationSettings", 1),
    ("WebApps_UpdateApplicationSettings", 2),
    ("SignalR_RegenerateKey", 2),
    ("SignalR_OperationStatuses", 3),
];

/// How often we ask the embedded Azure how far it is. There is nothing to wait for between two processes.
const EVERY: Duration = Duration::from_millis(5);

/// A thread for each of them: starting and ending processes blocks, and who is kept from looking kills too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn a_program_that_is_killed_in_a_rotation_is_followed_by_one_that_ends_it() {
    let stories = KILLED_AFTER.map(|after| tokio::spawn(killed_after(after)));
    for story in join_all(stories).await {
        story.unwrap();
    }
    println!("SIGKILL, Azurite: {} points {KILLED_AFTER:?}", KILLED_AFTER.len());
}

async fn killed_after((operation, nth): (&'static str, u64)) {
    let world = World { subscription: uuid::Uuid::new_v4().to_string(), ..World::default() };
    let instance = world.services().remove(0).to_string().parse().unwrap();
    let azure = azure(&world);
    let handler = Handler::start(&azure, &[]).await;
    let killed = {
        let tick = handler.tick();
        tokio::select! { _ = tick => false, () = reaches(&azure, operation, nth) => true }
    };
    assert!(killed, "it was done before {operation} {nth}");
    drop(handler.kill());

    // The lease of the dead lasts two minutes; nobody wants to wait for that here.
    let store = azurite::store(Arc::new(SystemClock));
    expire_lease(&*store, &instance).await;
    let handler = Handler::start(&azure, &[]).await;
    // The timer, on a schedule of its own. A run does not sit and wait for the two minutes in which a request that was sent
    // may still arrive.
    let mut ticks = 0;
    loop {
        let (status, reply) = handler.tick().await;
        assert_eq!(status, 200, "{reply}");
        if reply["Logs"].to_string().contains("sr-demo: settled") {
            break;
        }
        ticks += 1;
        assert!(ticks < 60, "{reply}");
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    judge(&azure.report().await, &*store, &instance).await;
}

async fn judge(report: &Value, store: &dyn Store, instance: &ServiceId) {
    assert_eq!(report["refused"], 0, "{report}");
    assert!(report["calls"].as_u64().unwrap() > 500, "{report}");
    let journal = peek(store, instance).await.unwrap();
    let sent = report["arm_requests"]["SignalR_RegenerateKey"].as_u64().unwrap();
    assert!((2..=3).contains(&sent), "one more than it takes at most: {report}");
    let regenerated = count(&journal, |event| matches!(event, Event::Regenerated { .. }));
    let failed = count(&journal, |event| matches!(event, Event::RegenerationFailed { .. }));
    let intended = count(&journal, |event| matches!(event, Event::RegenerationIntended { .. }));
    // An intent that was never sent ends as a failure.
    assert_eq!(
        (regenerated + failed, regenerated),
        (intended, 2),
        "{:#?}",
        journal.history().collect::<Vec<_>>()
    );
}

/// A quick Azure, with the program's journal in Azurite.
fn azure(world: &World) -> Azure {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.json");
    std::fs::write(&file, serde_json::to_vec(world).unwrap()).unwrap();
    let mut azure = Azure::start(&["--regenerate-takes", "2s", "--world", file.to_str().unwrap()]);
    azure.environment.insert("AzureWebJobsStorage".into(), azurite::connection_string());
    let config = azure.folder.path().join("rekey.toml");
    // A kill between the intent and the request is waited out: by default for ten minutes.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("longest_operation = \"6s\"\n{text}")).unwrap();
    azure
}

async fn reaches(azure: &Azure, operation: &str, nth: u64) {
    while azure.report().await["arm_requests"][operation].as_u64().unwrap_or_default() < nth {
        tokio::time::sleep(EVERY).await;
    }
}
