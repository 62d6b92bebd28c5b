//! Forced regenerations, and what makes them hard to repair.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::common::{CONSUMERS, DAY, HOUR, MINUTE, Story};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use embedded_azure::{EmbeddedAzure, Fault, FaultKind, Options, World};
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use rekey_core::model::{ConsumerId, KeyType};
use rekey_core::plan::CutOff;
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::{Engine, Order};
use signalr_rekey::report::Ending;
use signalr_rekey::store::{Draft, ETag, Found, Store, StoreError, Stored};

#[tokio::test]
async fn a_forced_regeneration_of_the_key_in_use_is_repaired_with_the_other() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let other = story.key("sr-demo", PRIMARY);
    story.force("sr-demo", &[SECONDARY]).unwrap();
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| report.ending.is_repaired()), "{reports:#?}");
    assert_eq!((all_hold(&story), story.key("sr-demo", PRIMARY)), (PRIMARY, other));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "repairing regenerates nothing");
    let refused = story.refused();
    story.watch(2 * HOUR).await;
    let report = story.sim.report();
    let outages: Vec<_> = report.instances["sr-demo"].apps.values().flat_map(|app| &app.outages).collect();
    assert!(!outages.is_empty() && outages.iter().all(|outage| !outage.open), "{outages:#?}");
    assert!(refused > 0 && story.refused() <= refused, "nobody is refused once it is repaired");
}

/// A run that is killed in the middle of a repair leaves its lease behind. The next run of the timer waits it out and repairs;
/// one that has no time for that fails, and names who is cut off and until when the lease lasts.
#[tokio::test]
async fn a_dead_runs_lease_does_not_make_a_run_end_well_while_apps_are_cut_off() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let tick = || story.run(Intent::timer(), Duration::from_secs(20));
    let leave_a_lease = async || {
        let (store, clock) = (story.store.clone(), story.clock.clone());
        let draft = Draft::read(store, clock, &story.config.instances[0].id, "dead").await.unwrap();
        std::mem::forget(draft.take("dead").await.unwrap());
    };
    leave_a_lease().await;
    let reports = tick().await;
    assert!(matches!(&reports[0].ending, Ending::Busy { cut_off, .. } if cut_off.is_empty()), "{reports:#?}");
    assert!(!reports[0].ending.is_failure(), "nobody is cut off");
    story.force("sr-demo", &[SECONDARY]).unwrap();
    let reports = tick().await;
    let summary = reports[0].summary();
    assert!(reports[0].ending.is_failure() && summary.contains("cut off"), "{summary}");
    assert!(
        summary.contains("chat-web") && summary.contains("another run (dead) has the lease"),
        "{summary}"
    );
    assert_eq!(reports[0].cut_off.len(), CONSUMERS.len(), "{summary}");
    let reports = story.run(Intent::timer(), 9 * MINUTE).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), PRIMARY);
    assert!(reports[0].took < 3 * MINUTE, "{:?}", reports[0].took);
}

#[tokio::test]
async fn a_forced_regeneration_of_both_keys_is_repaired_at_once() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| report.ending.is_repaired()), "{reports:#?}");
    all_hold(&story);
}

/// Our own regeneration is under way, its key listed and not yet in effect, when somebody replaces the key in use.
#[tokio::test]
async fn of_two_new_keys_apps_get_the_one_that_the_service_takes() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.clock.advance(31 * DAY);
    let in_use = all_hold(&story);
    story.sim.after("SignalR_RegenerateKey", 1, move |state| {
        state.force_regeneration("sr-demo", &super::common::azures(&[in_use])).unwrap();
    });
    let cut_short = story.run(Intent::operator(false), Duration::from_secs(5)).await;
    assert!(!cut_short[0].ending.is_failure(), "{cut_short:#?}");
    let probes = story.requests("DataPlane_Exists");
    let reports = story.repair().await;
    assert!(reports[0].ending.is_repaired(), "{reports:#?}");
    assert_eq!(all_hold(&story), in_use, "the other is not in effect yet");
    assert_eq!(story.requests("DataPlane_Exists") - probes, 2, "each key was asked about once");
    assert!(settled(&story.watch(12 * HOUR).await));
}

/// Where the service refuses both for now, apps that are failing anyway do not wait longer than a few seconds.
#[tokio::test]
async fn a_service_that_refuses_both_keys_holds_nobody_back() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story.sim.fault(Fault::new("DataPlane_Exists", FaultKind::Unauthorized).times(6));
    let start = story.clock.now();
    let reports = story.repair().await;
    assert!(reports[0].ending.is_repaired(), "{reports:#?}");
    // Three seconds until they are written, and two until that was read back.
    assert!(story.clock.now() - start <= delta(Duration::from_secs(5)), "{}", story.clock.now() - start);
    assert!(story.sim.waiting().is_empty());
    all_hold(&story);
}

/// A key that is surely in effect needs no question.
#[tokio::test]
async fn an_old_key_is_given_without_asking() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let in_use = all_hold(&story);
    story.force("sr-demo", &[in_use]).unwrap();
    let probes = story.requests("DataPlane_Exists");
    assert!(story.repair().await[0].ending.is_repaired());
    assert_eq!((all_hold(&story), story.requests("DataPlane_Exists")), (in_use.other(), probes));
}

#[tokio::test]
async fn the_timer_repairs_what_no_event_told() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story.tick().await;
    all_hold(&story);
}

#[tokio::test]
async fn a_forced_regeneration_in_the_middle_of_a_rotation_is_repaired_and_the_rotation_ends() {
    for nth in 1..8 {
        let story = Story::new().await;
        story.sim.before("SignalR_ListKeys", nth, |state| {
            state.force_regeneration("sr-demo", &super::common::azures(&[PRIMARY])).unwrap();
        });
        let reports = story.watch(9 * HOUR).await;
        assert!(settled(&reports), "at look {nth}: {reports:#?}");
        all_hold(&story);
    }
}

#[tokio::test]
async fn an_app_that_azure_was_too_busy_to_show_is_not_taken_for_repaired() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &[SECONDARY]).unwrap();
    story.sim.fault(
        Fault::new("WebApps_ListApplicationSettings", FaultKind::Unavailable).on("chat-func").times(5),
    );
    let reports = story.repair().await;
    assert!(!reports[0].ending.is_repaired() && reports[0].summary().contains("chat-func"), "{reports:#?}");
    assert_eq!(
        story.held("chat-web", CONSUMERS[0].1),
        story.key("sr-demo", PRIMARY),
        "the others were not kept waiting"
    );
    story.sim.clear_faults();
    assert!(story.repair().await[0].ending.is_repaired());
    all_hold(&story);
}

#[tokio::test]
async fn a_notice_waits_for_the_run_that_is_at_work_and_then_looks() {
    let story = Story::new().await;
    story.watch(HOUR).await;
    let (long, short) =
        tokio::join!(story.run(Intent::operator(true), 9 * MINUTE), story.run(Intent::check(), 30 * MINUTE));
    assert!(!long[0].ending.is_failure(), "{long:#?}");
    assert!(short[0].ending.is_repaired(), "{short:#?}");
}

/// One app cannot be written, and the others are: the run that fails names as cut off whom it leaves so, and nobody else.
#[tokio::test]
async fn a_run_that_fails_names_only_those_as_cut_off_whom_it_leaves_so() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let failing = "chat-func";
    let refused = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden);
    story.sim.fault(refused.on(failing).times(1000));
    let reports = story.repair().await;
    assert!(reports[0].ending.is_failure(), "{reports:#?}");
    let named: Vec<String> =
        reports[0].cut_off.iter().filter_map(|who| who.app()).map(ConsumerId::name).collect();
    assert_eq!(named, [failing], "{}", reports[0].summary());
    // Where there is no time to read what was written, it is told as written and not as cut off; nobody is lost.
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let clock = story.clock.clone();
    story.sim.after("WebApps_UpdateApplicationSettings", 2, move |_| clock.advance(MINUTE / 2));
    let reports = story.repair().await;
    let (written, refused): (Vec<_>, Vec<_>) =
        reports[0].cut_off.iter().partition(|who| matches!(who, CutOff::Unconfirmed(_)));
    assert!(!written.is_empty() && !refused.is_empty(), "{reports:#?}");
    let told = reports[0].summary();
    assert!(told.contains("written, but not yet read back"), "{told}");
}

/// A store whose first read is late: the keys were listed and another worker has rotated them by then.
struct Late {
    inner: Arc<dyn Store>,
    sim: Arc<EmbeddedAzure>,
    other: (Engine, Order),
    is_first: AtomicBool,
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late")
    }
}

#[async_trait]
impl Store for Late {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        if self.is_first.swap(false, Ordering::Relaxed) {
            let listed =
                || self.sim.requests().iter().filter(|one| one.operation == "SignalR_ListKeys").count();
            let before = listed();
            while listed() == before {
                tokio::task::yield_now().await;
            }
            let reports = self.other.0.run(&self.other.1).await;
            assert!(settled(&reports), "{reports:#?}");
        }
        self.inner.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        self.inner.put(name, body, expected).await
    }
}

/// A notice's run asks for the journal and the keys side by side. Keys that are older than the journal are not taken for a
/// change of those that it knows.
#[tokio::test]
async fn keys_that_are_older_than_the_journal_are_listed_again() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let late = Late {
        inner: story.store.clone(),
        sim: Arc::clone(&story.sim),
        other: (story.rekey(), story.order(Intent::operator(true), 9 * HOUR)),
        is_first: AtomicBool::new(true),
    };
    let worker = story.worker(&story.sim.base().parse().unwrap(), Arc::new(late), story.clock.clone());
    let order = story.order(Intent::regenerated(Some(story.clock.now())), 24 * HOUR);
    let reports = worker.run(&order).await;
    assert!(reports[0].ending.is_answered(), "{reports:#?}");
    let changed = |event: &Event| matches!(event, Event::KeyChanged { .. } | Event::Repointed { .. });
    assert!(!reports[0].recorded.iter().any(changed), "{:#?}", reports[0].recorded);
    all_hold(&story);
    assert_eq!(story.refused(), 0);
}

/// Somebody regenerates the key in use and gives the new one to the apps himself, after we have listed the keys and before we
/// read the apps, of which Azure is too busy to show some at first.
#[tokio::test]
async fn keys_that_are_older_than_what_apps_hold_are_listed_again() {
    for notice in [true, false] {
        for others in [0, 2] {
            let story = Story::of(World::default(), Options::default()).await;
            story.watch(6 * HOUR).await;
            let in_use = all_hold(&story);
            let moved = CONSUMERS.into_iter().take(1 + others).collect::<Vec<_>>();
            for (app, _) in &moved {
                for operation in ["WebApps_ListApplicationSettings", "WebApps_ListApplicationSettingsSlot"] {
                    story.sim.fault(Fault::new(operation, FaultKind::Unavailable).on(app).times(1));
                }
            }
            let string = format!("{{{}:sr-demo}}", in_use.as_str().to_lowercase());
            story.sim.after("SignalR_ListKeys", 1, move |state| {
                state.force_regeneration("sr-demo", &super::common::azures(&[in_use])).unwrap();
                for (app, setting) in &moved {
                    state.edit_setting(app, setting, Some(&string)).unwrap();
                }
            });
            let reports = match notice {
                true => story.repair().await,
                false => story.run(Intent::timer(), 9 * MINUTE).await,
            };
            let untrue = super::common::untrue(&story.sim, &story.config, &reports);
            assert_eq!(untrue, Vec::<String>::new(), "notice {notice}, {others}: {reports:#?}");
            all_hold(&story);
        }
    }
}

/// The key that apps are given is regenerated by somebody else while it is written.
#[tokio::test]
async fn a_key_that_is_replaced_while_it_is_given_out_does_not_end_well() {
    for notice in [true, false] {
        let story = Story::new().await;
        story.watch(6 * HOUR).await;
        let in_use = all_hold(&story);
        story.force("sr-demo", &[in_use]).unwrap();
        story.sim.after("WebApps_UpdateApplicationSettings", 1, move |state| {
            state.force_regeneration("sr-demo", &super::common::azures(&[in_use.other()])).unwrap();
        });
        let reports = match notice {
            true => story.repair().await,
            false => story.run(Intent::timer(), 9 * MINUTE).await,
        };
        let untrue = super::common::untrue(&story.sim, &story.config, &reports);
        assert_eq!(untrue, Vec::<String>::new(), "notice {notice}: {reports:#?}");
        assert_eq!(all_hold(&story), in_use, "notice {notice}: repaired in the same run");
    }
}

/// Nobody has written a journal that is the version which this process knew before, so the keys that are listed beside it are
/// listed once. A new process knows none.
#[tokio::test]
async fn keys_are_listed_once_beside_a_journal_that_was_known_before() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let listed_by = async |worker: &Engine| {
        let before = story.requests("SignalR_ListKeys");
        let order = story.order(Intent::regenerated(Some(story.clock.now())), 24 * HOUR);
        let reports = worker.run(&order).await;
        assert!(reports[0].ending.is_answered(), "{reports:#?}");
        story.requests("SignalR_ListKeys") - before
    };
    let worker = story.rekey();
    assert!(settled(&worker.run(&story.order(Intent::operator(true), 9 * HOUR)).await));
    assert_eq!([listed_by(&worker).await, listed_by(&story.rekey()).await], [1, 2]);
}
