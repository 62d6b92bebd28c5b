//! Rotations as they should go, and new keys that are not to be had.

use std::sync::Arc;
use std::time::Duration;

use super::common::{CONSUMERS, DAY, HOUR, MINUTE, Story};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use embedded_azure::{Fault, FaultKind, Options, SignalR, Site, UpdateStrategy, World};
use rekey_core::intent::{Cause, Caution, Intent, Oddity, foresee};
use rekey_core::journal::Event;
use rekey_core::model::KeyType;
use rekey_core::notice;
use rekey_core::plan::{BlockedBy, Decision, WaitFor, forecast};
use rekey_core::policy::{FirstRotation, Policy, Verify};
use signalr_rekey::clock::Clock;
use signalr_rekey::report::{Ending, RunEvent};
use signalr_rekey::store::Lease;

#[tokio::test]
async fn a_first_rotation_replaces_both_keys_and_no_client_notices() {
    let story = Story::new().await;
    let before = story.keys("sr-demo").unwrap();
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), SECONDARY);
    let after = story.keys("sr-demo").unwrap();
    assert!(KeyType::ALL.into_iter().all(|key_type| before[key_type] != after[key_type]), "both are new");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    assert_eq!(
        story.requests("WebApps_UpdateApplicationSettings"),
        2,
        "one write for each app: each restarts it"
    );
    assert_eq!(story.requests("WebApps_UpdateApplicationSettingsSlot"), 1);
    assert_eq!(story.refused(), 0);
    assert!(story.sim.report().calls > 1000);
}

#[tokio::test]
async fn keys_are_rotated_again_when_they_are_due_and_not_before() {
    let mut story = Story::new().await;
    story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    story.watch(HOUR).await;
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0, "watched, not touched");
    story.clock.advance(30 * DAY);
    story.watch(6 * HOUR).await;
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (SECONDARY, 2));
    story.clock.advance(29 * DAY);
    story.watch(HOUR).await;
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    story.clock.advance(DAY);
    story.watch(6 * HOUR).await;
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (PRIMARY, 4));
    assert_eq!(story.refused(), 0);
}

/// What comes next is told by what the last step made of it, not by the check before it.
#[tokio::test]
async fn a_run_that_is_stopped_after_a_step_has_seen_what_came_of_it() {
    let story = Story::new().await;
    let rekey = story.rekey();
    let stop = rekey.stop.clone();
    story.sim.after("WebApps_UpdateApplicationSettingsSlot", 1, move |_| stop.ask());
    let mut reports = rekey.run(&story.order(Intent::operator(true), DAY)).await;
    let report = reports.remove(0);
    assert!(matches!(report.ending, Ending::Stopped), "{report:#?}");
    let seen = report.seen.unwrap();
    let journal = story.journal().await;
    let policy = &story.config.instances[0].policy;
    let foreseen = forecast(&seen, &journal, policy, story.clock.now(), false);
    let first = &foreseen.steps[0].decision;
    let reason = WaitFor::Grace(KeyType::Primary);
    assert!(matches!(first, Decision::Waiting { reason: told, .. } if *told == reason), "{foreseen:#?}");
}

#[tokio::test]
async fn a_rotation_that_was_asked_for_is_done_in_one_long_run() {
    let story = Story::new().await;
    let reports = story.run(Intent::operator(true), DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    let reports = story.run(Intent::operator(true), DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (PRIMARY, 4));
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn runs_that_are_much_too_short_carry_on_where_the_last_one_stopped() {
    let story = Story::new().await;
    for _ in 0..2000 {
        let reports = story.run(Intent::operator(false), Duration::from_secs(8)).await;
        if settled(&reports) {
            break;
        }
        story.clock.advance(MINUTE);
    }
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (SECONDARY, 2));
    assert_eq!(story.refused(), 0);
}

/// A service that refuses us every key, though its clients' are good.
fn refusing() -> Fault {
    Fault::new("DataPlane_Exists", FaultKind::Unauthorized).times(u64::MAX)
}

#[tokio::test]
async fn a_new_key_that_the_service_refuses_moves_nobody() {
    let story = Story::new().await;
    story.sim.fault(refusing());
    let reports = story.watch(4 * HOUR).await;
    let blocked =
        matches!(&reports[0].ending, Ending::Decided(Decision::Blocked(BlockedBy::KeyRefused { .. })));
    assert!(blocked, "{reports:#?}");
    assert_eq!(story.held("chat-web", CONSUMERS[0].1), story.key("sr-demo", PRIMARY), "nobody was moved");
    story.sim.clear_faults();
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "the key that waited was used");
}

#[tokio::test]
async fn a_person_who_has_looked_lets_a_refused_key_be_tried_at_once() {
    let story = Story::new().await;
    story.sim.fault(refusing());
    story.watch(4 * HOUR).await;
    story.sim.clear_faults();
    let clock: Arc<dyn Clock> = story.clock.clone();
    let mut lease =
        Lease::acquire(story.store.clone(), clock, &story.config.instances[0].id, "me").await.unwrap();
    lease.record(Event::Unblocked {}).unwrap();
    lease.release().await.unwrap();
    assert!(!story.tick().await[0].ending.is_failure());
    assert_eq!(all_hold(&story), SECONDARY);
}

#[tokio::test]
async fn without_the_data_plane_azures_word_is_waited_for() {
    for list_keys_lags in [false, true] {
        let mut story = Story::of(World::default(), Options { list_keys_lags, ..Options::default() }).await;
        story.config.instances[0].policy.verify = Verify::ControlPlane;
        let reports = story.watch(6 * HOUR).await;
        assert!(settled(&reports), "{reports:#?}");
        assert_eq!((all_hold(&story), story.refused()), (SECONDARY, 0));
        assert!(
            story.sim.requests().iter().all(|request| request.arm || !request.operation.contains("User"))
        );
    }
}

#[tokio::test]
async fn any_number_of_instances_wait_at_the_same_time() {
    let names: Vec<String> = (0..20).map(|n| format!("sr-{n:03}")).collect();
    let instance = |name: &String| SignalR {
        group: "rg".into(),
        name: name.clone(),
        apps: vec![format!("app-{name}")],
        ..SignalR::default()
    };
    let site = |name: &String| Site {
        group: "rg".into(),
        name: format!("app-{name}"),
        kind: "app".into(),
        ..Site::default()
    };
    let world = World {
        signalr: names.iter().map(instance).collect(),
        sites: names.iter().map(site).collect(),
        ..World::default()
    };
    let story = Story::of(world, Options::default()).await;
    let begun = story.clock.now();
    let reports = story.run(Intent::operator(true), 3 * DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    let hours = (story.clock.now() - begun).num_hours();
    assert!(hours < 8, "one after the other they would take 20 times the grace; these took {hours} hours");
    assert_eq!((story.requests("SignalR_RegenerateKey"), story.refused()), (40, 0));
}

/// A rotation of an app whose old instances work on for an hour, with this grace; how many of its clients were cut off.
async fn drained_with(grace: Duration) -> u64 {
    let mut world = World::default();
    world.sites[1].update_strategy = Some(UpdateStrategy::RollingUpdate);
    let mut story = Story::of(world, Options::default()).await;
    story.config.instances[0].policy.grace = grace;
    assert!(settled(&story.watch(9 * HOUR).await), "{:?}", story.told);
    all_hold(&story);
    story.refused()
}

#[tokio::test]
async fn the_default_grace_is_long_enough_for_an_app_that_is_drained() {
    assert_eq!(drained_with(Policy::default().grace).await, 0);
    assert!(drained_with(HOUR + 5 * MINUTE).await > 0, "what is enough elsewhere is too short there");
}

/// Keys are leaked a second time, and the event of it has the time of the first leak: it means keys that are answered for, and
/// whoever sent it is told, by the run and before it is published. With the time of the second leak it is answered.
#[tokio::test]
async fn a_second_leak_by_the_time_of_the_first_is_not_dropped_without_a_word() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let first = story.clock.now();
    let leak = |at| Intent::rotation(Cause::Compromised, Some(at));
    story.run(leak(first), Duration::from_secs(25)).await;
    story.watch(12 * HOUR).await;
    story.clock.advance(2 * DAY);
    let regenerated = story.requests("SignalR_RegenerateKey");
    let reports = story.run(leak(first), Duration::from_secs(25)).await;
    let told = reports[0].lines().join("\n");
    assert!(told.contains("send the event again with the time of that leak"), "{told}");
    assert!(reports[0].events.iter().any(RunEvent::is_warning), "{told}");

    let id = story.config.instances[0].id.to_string();
    let told = |at: chrono::DateTime<chrono::Utc>| {
        let event = serde_json::json!({
            "id": "1", "eventType": "SignalRRekey.KeysExposed", "eventTime": at, "data": { "instance": id }
        });
        let events = notice::read(&event, "file").unwrap();
        foresee(&events[0], &story.config.configured(), story.clock.now()).unwrap().cautions
    };
    assert!(matches!(told(first)[..], [Caution { what: Oddity::LongAgo(at), .. }] if at == first));
    assert!(told(story.clock.now()).is_empty());

    story.run(leak(story.clock.now()), Duration::from_secs(25)).await;
    story.watch(12 * HOUR).await;
    assert!(story.requests("SignalR_RegenerateKey") > regenerated, "the second leak is answered");
}

/// Azure is too busy for a regeneration, and while it is waited for somebody gives an app the key that is to be regenerated.
#[tokio::test]
async fn a_regeneration_is_not_sent_again_on_an_old_check() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let in_use = all_hold(&story);
    let before = story.key("sr-demo", in_use);
    story.clock.advance(31 * DAY);
    let busy = Fault::new("SignalR_RegenerateKey", FaultKind::Throttled);
    story.sim.fault(Fault { retry_after: Some(20), ..busy });
    let string = format!("{{{}:sr-demo}}", in_use.other().as_str().to_lowercase());
    let (app, setting) = CONSUMERS[0];
    story.sim.before("SignalR_RegenerateKey", 1, move |state| {
        state.edit_setting(app, setting, Some(&string)).unwrap();
    });
    story.watch(6 * HOUR).await;
    assert_eq!(story.refused(), 0);
    let now = story.key("sr-demo", all_hold(&story));
    assert_ne!(now, before, "it goes on all the same");
}
