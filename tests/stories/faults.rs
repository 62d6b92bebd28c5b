//! What Azure and the storage do when they fail: nothing is sent blindly, nobody is cut off, and it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::common::{CONSUMERS, DAY, HOUR, MINUTE, Story, document_name};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use embedded_azure::{Fault, FaultKind, Options, SignalR, Site, World};
use rekey_core::intent::Intent;
use rekey_core::plan::{BlockedBy, Decision};
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::{Engine, Order};
use signalr_rekey::report::Ending;
use signalr_rekey::store::{ETag, Found, Store, StoreError, Stored};

/// A storage account that is out of reach.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Store for Broken {
    async fn get(&self, _: &str) -> Result<Found, StoreError> {
        Err(StoreError::Unavailable("the account is out of reach".into()))
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Option<&ETag>) -> Result<Stored, StoreError> {
        Err(StoreError::Unavailable("the account is out of reach".into()))
    }
}

#[tokio::test]
async fn throttling_delays_and_harms_nothing() {
    let story = Story::new().await;
    for _ in 0..60 {
        story.sim.fault(Fault { retry_after: Some(17), ..Fault::new("*", FaultKind::Throttled).times(3) });
        story.tick().await;
        story.clock.advance(10 * MINUTE);
    }
    story.sim.clear_faults();
    let reports = story.watch(HOUR).await;
    assert!(settled(&reports), "{:#?}", story.told.lock().unwrap());
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey") >= 2), (SECONDARY, true));
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_regeneration_that_came_to_nothing_moves_nobody_and_is_tried_again() {
    for kind in [FaultKind::NoEffect, FaultKind::OperationFailed, FaultKind::Conflict, FaultKind::Forbidden] {
        let story = Story::new().await;
        story.sim.fault(Fault::new("SignalR_RegenerateKey", kind));
        let reports = story.watch(7 * HOUR).await;
        assert!(settled(&reports), "{kind:?}: {reports:#?}");
        assert_eq!(all_hold(&story), SECONDARY, "{kind:?}");
        assert_eq!(story.requests("SignalR_RegenerateKey"), 3, "{kind:?}");
        assert_eq!(story.refused(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn a_regeneration_whose_answer_was_lost_is_not_sent_again_blindly() {
    for (kind, sent) in [
        (FaultKind::TimeoutAfter, 2),
        (FaultKind::ServerErrorAfter, 2),
        (FaultKind::TimeoutBefore, 3),
        (FaultKind::ServerError, 3),
    ] {
        let story = Story::new().await;
        story.sim.fault(Fault::new("SignalR_RegenerateKey", kind));
        let reports = story.watch(7 * HOUR).await;
        assert!(settled(&reports), "{kind:?}: {reports:#?}");
        assert_eq!(
            (all_hold(&story), story.requests("SignalR_RegenerateKey")),
            (SECONDARY, sent),
            "{kind:?}"
        );
        assert_eq!(story.refused(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_looked_at_before_it_is_repeated() {
    for kind in
        [FaultKind::TimeoutAfter, FaultKind::TimeoutBefore, FaultKind::Conflict, FaultKind::Unavailable]
    {
        let story = Story::new().await;
        story.sim.fault(Fault::new("WebApps_UpdateApplicationSettings", kind).on("chat-web"));
        let reports = story.watch(6 * HOUR).await;
        assert!(settled(&reports), "{kind:?}: {reports:#?}");
        all_hold(&story);
        let repeated = usize::from(kind != FaultKind::TimeoutAfter);
        assert_eq!(story.requests("WebApps_UpdateApplicationSettings"), 2 + repeated, "{kind:?}");
        assert_eq!(story.refused(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn an_app_that_may_not_be_read_blocks_the_rotation_and_not_the_repairing_of_others() {
    let story = Story::new().await;
    let forbidden = Fault::new("WebApps_ListApplicationSettings", FaultKind::Forbidden).on("chat-func");
    story.sim.fault(forbidden.times(1_000_000));
    let reports = story.watch(4 * HOUR).await;
    let blocked = &reports[0].ending;
    assert!(matches!(blocked, Ending::Decided(Decision::Blocked(BlockedBy::Unknown(_)))), "{blocked:?}");
    let text = reports[0].summary();
    assert!(text.contains("chat-func") && text.contains("AuthorizationFailed"), "{text}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    story.force("sr-demo", &[PRIMARY]).unwrap();
    story.repair().await;
    assert_eq!(story.held("chat-web", CONSUMERS[0].1), story.key("sr-demo", SECONDARY));
    story.sim.clear_faults();
    let reports = story.watch(7 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
}

#[tokio::test]
async fn an_app_that_may_not_be_written_keeps_its_valid_key_and_is_reported() {
    let story = Story::new().await;
    let forbidden = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden).on("chat-func");
    story.sim.fault(forbidden.times(1_000_000));
    let reports = story.watch(8 * HOUR).await;
    assert!(reports[0].ending.is_failure() && reports[0].summary().contains("chat-func"), "{reports:#?}");
    assert_eq!(story.held("chat-func", CONSUMERS[2].1), story.key("sr-demo", PRIMARY));
    assert_eq!(story.held("chat-web", CONSUMERS[0].1), story.key("sr-demo", SECONDARY));
    assert_eq!(
        (story.requests("SignalR_RegenerateKey"), story.refused()),
        (1, 0),
        "what is held is not regenerated"
    );
    story.sim.clear_faults();
    let reports = story.watch(5 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), story.refused()), (SECONDARY, 0));
}

#[tokio::test]
async fn an_instance_that_was_deleted_is_reported_and_stops_no_other() {
    let instance = |name: &str, app: &str| SignalR {
        group: "rg".into(),
        name: name.into(),
        apps: vec![app.into()],
        ..SignalR::default()
    };
    let site =
        |name: &str| Site { group: "rg".into(), name: name.into(), kind: "app".into(), ..Site::default() };
    let world = World {
        signalr: vec![instance("sr-one", "one"), instance("sr-two", "two")],
        sites: vec![site("one"), site("two")],
        ..World::default()
    };
    let story = Story::of(world, Options::default()).await;
    story.sim.delete_service("sr-one").unwrap();
    let reports = story.watch(6 * HOUR).await;
    assert!(reports[0].ending.is_failure() && reports[0].summary().contains("sr-one"), "{reports:#?}");
    assert!(settled(&reports[1..]), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
}

/// Whether anybody holds the lease of the one instance.
async fn is_held(story: &Story) -> bool {
    let name = document_name(&story.config.instances[0].id);
    let Some((body, _)) = story.store.get(&name).await.unwrap().document else { return false };
    serde_json::from_slice::<serde_json::Value>(&body).unwrap()["lease"].is_object()
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_gives_its_lease_back_and_the_next_carries_on() {
    let story = Story::new().await;
    // While it follows a regeneration, with the lease; and while it waits for a grace, without it.
    for (told, now) in [("Azure accepted the regeneration", true), ("before regenerating it", false)] {
        let mut rekey = story.rekey();
        let (stop, heard) = (rekey.stop.clone(), Arc::new(AtomicBool::new(false)));
        let hears = Arc::clone(&heard);
        rekey.narrator = Arc::new(move |_, line| {
            if line.to_string().contains(told) {
                hears.store(true, Ordering::SeqCst);
                stop.ask();
            }
        });
        let reports = rekey.run(&story.order(Intent::operator(now), DAY)).await;
        assert!(heard.load(Ordering::SeqCst), "{told}: {reports:#?}");
        assert_eq!((&reports[0].ending, is_held(&story).await), (&Ending::Stopped, false), "{reports:#?}");
        assert_eq!(reports[0].ending.name(), "stopped");
    }
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn nothing_is_begun_once_a_stop_was_asked_for() {
    let story = Story::new().await;
    let rekey = story.rekey();
    rekey.stop.ask();
    let reports = rekey.run(&story.order(Intent::operator(true), DAY)).await;
    assert_eq!(reports[0].ending, Ending::Stopped);
    assert!(story.sim.requests().is_empty());
}

#[tokio::test]
async fn without_its_journal_a_pass_changes_nothing_in_azure() {
    let story = Story::new().await;
    let rekey = Engine { store: Arc::new(Broken), ..story.rekey() };
    let run =
        |intent| Order { services: vec![], intent, holder: "me".into(), deadline: story.clock.now() + HOUR };
    story.force("sr-demo", &[PRIMARY]).unwrap();
    for intent in [Intent::operator(true), Intent::check()] {
        let reports = rekey.run(&run(intent)).await;
        assert!(reports[0].ending.is_failure() && reports[0].summary().contains("storage"), "{reports:#?}");
    }
    let changes = |request: &embedded_azure::RequestRecord| {
        request.method == "PUT" || request.operation == "SignalR_RegenerateKey"
    };
    assert!(!story.sim.requests().iter().any(changes));
}
