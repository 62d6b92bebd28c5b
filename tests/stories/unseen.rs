//! What cannot be seen, in every pair of what is known of it and what Azure shows: no run ends well, nobody who may hold a
//! key loses it, and all others are rotated and repaired as ever. The rows are those of the table in ARCHITECTURE.md.

use std::time::Duration;

use super::common::{CONSUMERS, DAY, HOUR, Story, app};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use embedded_azure::{Fault, FaultKind, Site};
use rekey_core::intent::{Cause, Intent};
use rekey_core::model::{AppId, KeyType, PerKey};
use rekey_core::plan::{BlockedBy, Decision, SettingFault, Unknown, Whereabouts};
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::AppConfig;
use signalr_rekey::report::{Ending, RunReport};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const LISTS: [&str; 2] = ["WebApps_ListApplicationSettings", "WebApps_ListConnectionStrings"];
const FOR_EVER: u64 = 1_000_000;

/// What every trigger asks for: the timer, a notice about a key, one about anything, one about an app, and a request.
fn triggers() -> Vec<Intent> {
    let app = AppId::new(SUBSCRIPTION, "rg-demo", "chat-web", None);
    let announced = PerKey { primary: true, secondary: true };
    vec![
        Intent::timer(),
        Intent::stand_in(),
        Intent::operator(false),
        Intent::operator(true),
        Intent::regenerated(None),
        Intent::changed([app.into()].into()),
        Intent::rotation(Cause::Announced { keys: announced }, None),
        Intent::rotation(Cause::Compromised, None),
        Intent::check(),
    ]
}

fn id(group: &str, site: &str) -> AppId {
    AppId::new(SUBSCRIPTION, group, site, None)
}

fn unknown(report: &RunReport) -> &[Unknown] {
    match &report.ending {
        Ending::Decided(Decision::Blocked(BlockedBy::Unknown(unknown))) | Ending::Unseen(unknown) => unknown,
        other => panic!("everything was seen: {other}"),
    }
}

/// Every trigger says that not everything was seen, and names the app.
async fn nothing_ends_well(story: &Story, name: &str) {
    for intent in triggers() {
        let reports = story.run(intent.clone(), 25 * Duration::from_secs(1)).await;
        let report = &reports[0];
        assert!(report.ending.is_failure() && !report.ending.is_answered(), "{intent:?}: {report:#?}");
        assert!(report.summary().contains(name), "{intent:?}: {}", report.summary());
        assert!(!unknown(report).is_empty());
    }
}

/// Takes a site away and makes it again in another group, with all that it holds.
fn move_site(story: &Story, name: &str, to: &str) {
    let settings = story.sim.settings(name).unwrap();
    story.sim.delete_site(name).unwrap();
    let site =
        Site { group: to.into(), name: name.into(), kind: "functionapp".into(), settings, ..Site::default() };
    story.sim.with(|state| state.add_site(site)).unwrap();
}

fn rename(story: &mut Story, from: &str, to: AppId) {
    let apps = &mut story.config.instances[0].apps;
    let found: &mut AppConfig = apps.iter_mut().find(|app| app.id.name() == from).unwrap();
    found.id = to;
}

#[tokio::test]
async fn no_app_can_be_read_from_the_first_hour_on() {
    let story = Story::new().await;
    for operation in LISTS {
        story.sim.fault(Fault::new(operation, FaultKind::Forbidden).times(FOR_EVER));
    }
    nothing_ends_well(&story, "chat-web").await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    nothing_ends_well(&story, "chat-func").await;
    story.watch(6 * HOUR).await;
    nothing_ends_well(&story, "chat-func").await;
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    story.sim.clear_faults();
    assert!(settled(&story.watch(8 * HOUR).await));
    all_hold(&story);
}

#[tokio::test]
async fn one_of_several_cannot_be_read_when_both_keys_are_forced() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let forbidden = Fault::new(LISTS[0], FaultKind::Forbidden).on("chat-func").times(FOR_EVER);
    story.sim.fault(forbidden);
    nothing_ends_well(&story, "chat-func").await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let reports = story.repair().await;
    assert!(reports[0].ending.is_failure(), "{reports:#?}");
    let held = story.held("chat-web", CONSUMERS[0].1);
    let works = KeyType::ALL.into_iter().any(|key_type| story.key("sr-demo", key_type) == held);
    assert!(works, "the others are repaired at once");
    story.watch(6 * HOUR).await;
    nothing_ends_well(&story, "chat-func").await;
    story.sim.clear_faults();
    assert!(settled(&story.watch(8 * HOUR).await));
    all_hold(&story);
}

#[tokio::test]
async fn what_passes_by_itself_comes_again_and_blocks_nobody() {
    for kind in [FaultKind::Conflict, FaultKind::Throttled, FaultKind::Unavailable] {
        let story = Story::new().await;
        story.watch(6 * HOUR).await;
        story.force("sr-demo", &KeyType::ALL).unwrap();
        story.sim.fault(Fault::new(LISTS[0], kind).on("chat-func").times(5));
        let reports = story.repair().await;
        assert!(matches!(reports[0].ending, Ending::Unseen(_)), "{kind:?}: {reports:#?}");
        assert!(reports[0].ending.is_failure() && reports[0].ending.needs_time(), "{kind:?}");
        story.sim.clear_faults();
        assert!(story.repair().await[0].ending.is_repaired(), "{kind:?}");
        all_hold(&story);
    }
}

#[tokio::test]
async fn a_mistyped_id_blocks_and_the_app_that_is_meant_is_named() {
    let mut story = Story::new().await;
    rename(&mut story, "chat-func", id("rg-demo", "chat-fnc"));
    nothing_ends_well(&story, "chat-fnc").await;
    let reports = story.watch(6 * HOUR).await;
    let meant = Some(id("rg-demo", "chat-func").into());
    assert_eq!(unknown(&reports[0]), [Unknown::NeverSeen { app: id("rg-demo", "chat-fnc").into(), meant }]);
    assert!(reports[0].summary().contains("did you mean chat-func?"), "{}", reports[0].summary());
    assert_eq!((story.requests("SignalR_RegenerateKey"), story.refused()), (0, 0));
    rename(&mut story, "chat-fnc", id("rg-demo", "chat-func"));
    assert!(settled(&story.watch(8 * HOUR).await));
    assert_eq!((all_hold(&story), story.refused()), (SECONDARY, 0));
}

#[tokio::test]
async fn a_mistyped_group_or_slot_blocks_and_is_named() {
    let mut story = Story::new().await;
    rename(&mut story, "chat-func", id("rg-dem", "chat-func"));
    let slot = |name| AppId::new(SUBSCRIPTION, "rg-demo", "chat-web", Some(name));
    rename(&mut story, "chat-web/staging", slot("stagin"));
    let reports = story.tick().await;
    let wanted = [
        Unknown::NeverSeen { app: slot("stagin").into(), meant: Some(slot("staging").into()) },
        Unknown::NeverSeen {
            app: id("rg-dem", "chat-func").into(),
            meant: Some(id("rg-demo", "chat-func").into()),
        },
    ];
    assert_eq!(unknown(&reports[0]), wanted);
    assert!(reports[0].summary().contains("did you mean /subscriptions/"), "{}", reports[0].summary());
}

#[tokio::test]
async fn an_app_that_was_moved_keeps_its_key_until_it_is_named_anew() {
    let mut story = Story::new().await;
    story.watch(6 * HOUR).await;
    let last_held = all_hold(&story);
    move_site(&story, "chat-func", "rg-other");
    nothing_ends_well(&story, "chat-func").await;
    let moved = story.held("chat-func", CONSUMERS[2].1);
    // A whole rotation falls due: the others are moved, and the key that the lost one last held is not regenerated.
    story.clock.advance(31 * DAY);
    let reports = story.watch(8 * HOUR).await;
    let held = vec![moved.fingerprint()];
    let whereabouts = Whereabouts::Moved(id("rg-other", "chat-func").into());
    let wanted = Unknown::Vanished { app: id("rg-demo", "chat-func").into(), whereabouts, held };
    assert_eq!(unknown(&reports[0]), [wanted]);
    assert_eq!(story.held("chat-web", CONSUMERS[0].1), story.key("sr-demo", last_held.other()));
    assert_eq!((story.key("sr-demo", last_held), story.refused()), (moved, 0));
    rename(&mut story, "chat-func", id("rg-other", "chat-func"));
    assert!(settled(&story.watch(9 * HOUR).await));
    all_hold(&story);
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn an_app_of_which_nobody_can_tell_where_it_went_is_not_taken_for_deleted() {
    let mut story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.sim.delete_site("chat-func").unwrap();
    story.sim.fault(Fault::new("WebApps_List", FaultKind::Forbidden).times(FOR_EVER));
    nothing_ends_well(&story, "chat-func").await;
    let reports = story.tick().await;
    let is_unclear =
        |one: &Unknown| matches!(one, Unknown::Vanished { whereabouts: Whereabouts::Unclear(_), .. });
    assert!(unknown(&reports[0]).iter().all(is_unclear), "{reports:#?}");
    assert!(reports[0].summary().contains("AuthorizationFailed"), "Azure's words: {}", reports[0].summary());
    // Repair of the others goes on.
    story.force("sr-demo", &KeyType::ALL).unwrap();
    assert!(story.repair().await[0].ending.is_failure());
    let held = story.held("chat-web", CONSUMERS[0].1);
    assert!(KeyType::ALL.into_iter().any(|key_type| story.key("sr-demo", key_type) == held));
    story.config.instances[0].apps.retain(|app| app.id.name() != "chat-func");
    assert!(settled(&story.watch(8 * HOUR).await));
}

/// A list that does not even show the apps that were read a moment ago proves nothing: an empty or partial list came with a
/// 200 before. Here it is that of a subscription in which there is no other app to compare it with.
#[tokio::test]
async fn a_list_for_which_nobody_vouches_is_not_believed() {
    let mut story = Story::new().await;
    story.watch(6 * HOUR).await;
    let last_held = all_hold(&story);
    story.config.instances[0].apps.retain(|app| app.id.name() == "chat-func");
    story.sim.delete_site("chat-func").unwrap();
    nothing_ends_well(&story, "chat-func").await;
    story.clock.advance(31 * DAY);
    story.watch(6 * HOUR).await;
    let reports = story.tick().await;
    let is_unclear =
        |one: &Unknown| matches!(one, Unknown::Vanished { whereabouts: Whereabouts::Unclear(_), .. });
    assert!(unknown(&reports[0]).iter().all(is_unclear), "{reports:#?}");
    let kept = story.key("sr-demo", last_held).fingerprint();
    let held = story.held("chat-web", CONSUMERS[0].1).fingerprint();
    assert_eq!(held, kept, "the key that it last held is not regenerated");
}

/// Who goes out of sight and whose key is then made invalid is very probably cut off, and it is said first.
#[tokio::test]
async fn who_is_very_probably_cut_off_is_named_first() {
    for moved in [false, true] {
        let story = Story::new().await;
        story.watch(6 * HOUR).await;
        if moved {
            move_site(&story, "chat-func", "rg-other");
        } else {
            story.sim.fault(Fault::new(LISTS[0], FaultKind::Forbidden).on("chat-func").times(FOR_EVER));
        }
        story.tick().await;
        assert!(!story.tick().await[0].summary().contains("cut off"), "its key is valid");
        story.force("sr-demo", &KeyType::ALL).unwrap();
        for reports in [story.repair().await, story.tick().await] {
            let said = reports[0].summary();
            let first = "sr-demo: blocked: cut off, because their key is invalid: chat-func (very likely";
            assert!(said.starts_with(first), "{said}");
        }
    }
}

/// One app that does not answer keeps nobody else cut off, and a run that could check nobody in time does not end well.
#[tokio::test]
async fn an_app_that_hangs_delays_nobody_and_is_named() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let busy = Fault::new(LISTS[0], FaultKind::Throttled).on("chat-func").times(FOR_EVER);
    story.sim.fault(Fault { retry_after: Some(20), ..busy });
    let start = story.clock.now();
    let reports = story.repair().await;
    assert!(matches!(reports[0].ending, Ending::Unseen(_)), "{reports:#?}");
    let held = story.held("chat-web", CONSUMERS[0].1);
    assert!(KeyType::ALL.into_iter().any(|key_type| story.key("sr-demo", key_type) == held));
    assert!(story.clock.now() - start < delta(Duration::from_secs(15)), "it was not waited for");
    // The same where nobody answers: the timer says at once that somebody is cut off.
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story
        .sim
        .fault(Fault { retry_after: Some(20), ..Fault::new(LISTS[0], FaultKind::Throttled).times(FOR_EVER) });
    let reports = story.run(Intent::operator(false), Duration::from_secs(20)).await;
    assert!(reports[0].ending.is_failure() && reports[0].summary().contains("cut off"), "{reports:#?}");
}

/// Of an app whose settings are named, another setting that holds a key is not looked past.
#[tokio::test]
async fn a_key_in_a_setting_that_is_not_named_blocks() {
    let mut story = Story::new().await;
    story.sim.edit_setting("chat-func", "Another", Some("{primary:sr-demo}")).unwrap();
    let apps = &mut story.config.instances[0].apps;
    let func = apps.iter_mut().find(|app| app.id.name() == "chat-func").unwrap();
    func.settings = vec![CONSUMERS[2].1.to_owned()];
    let reports = story.watch(6 * HOUR).await;
    let wanted = Unknown::Setting {
        app: id("rg-demo", "chat-func").into(),
        name: "Another".into(),
        fault: SettingFault::Unnamed,
    };
    assert_eq!((unknown(&reports[0]), story.requests("SignalR_RegenerateKey")), (&[wanted][..], 0));
    let apps = &mut story.config.instances[0].apps;
    apps.iter_mut().find(|app| app.id.name() == "chat-func").unwrap().settings.push("Another".into());
    assert!(settled(&story.watch(8 * HOUR).await));
    assert_eq!((story.held("chat-func", "Another"), story.refused()), (story.key("sr-demo", SECONDARY), 0));
}

#[tokio::test]
async fn a_slot_that_was_deleted_stops_nothing() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.sim.delete_site("chat-web/staging").unwrap();
    let reports = story.tick().await;
    assert!(settled(&reports), "{reports:#?}");
    assert!(
        reports[0].lines().iter().any(|line| line.contains("chat-web/staging was deleted")),
        "{reports:#?}"
    );
}

#[tokio::test]
async fn an_app_that_is_not_there_yet_is_awaited() {
    let mut story = Story::new().await;
    story.config.instances[0].apps.push(app(id("rg-demo", "to-come")));
    assert!(!settled(&story.watch(6 * HOUR).await));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    let settings = [("SignalR".to_owned(), "{primary:sr-demo}".to_owned())].into();
    let site = Site {
        group: "rg-demo".into(),
        name: "to-come".into(),
        kind: "app".into(),
        settings,
        ..Site::default()
    };
    story.sim.with(|state| state.add_site(site)).unwrap();
    assert!(settled(&story.watch(8 * HOUR).await));
    assert_eq!((story.held("to-come", "SignalR"), story.refused()), (story.key("sr-demo", SECONDARY), 0));
}

/// What another writer undoes a moment after our write is written again, before the run says that it is done.
#[tokio::test]
async fn a_repair_that_is_undone_is_done_again() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let old = story.sim.settings("chat-func").unwrap()[CONSUMERS[2].1].clone();
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story.sim.after("WebApps_UpdateApplicationSettings", 2, move |state| {
        state.edit_setting("chat-func", CONSUMERS[2].1, Some(&old)).unwrap();
        state.edit_setting("chat-web", CONSUMERS[0].1, Some(&old)).unwrap();
    });
    let reports = story.repair().await;
    assert!(reports[0].ending.is_repaired(), "{reports:#?}");
    all_hold(&story);
    // Two sites; the slot is written by another operation.
    let writes = story.requests("WebApps_UpdateApplicationSettings");
    assert_eq!((story.sim.waiting().len(), writes), (0, 2 + 2 + 2));
}

/// Azure's answer to a write is not the write: with a grace period shorter than a check, too.
#[tokio::test]
async fn writes_that_do_not_last_regenerate_nothing_and_end_in_a_failure() {
    for grace in [4, 8, 7200] {
        let mut story = Story::new().await;
        story.config.instances[0].policy.grace = Duration::from_secs(grace);
        let old = story.sim.settings("chat-func").unwrap()[CONSUMERS[2].1].clone();
        for write in 1..200 {
            let old = old.clone();
            story.sim.after("WebApps_UpdateApplicationSettings", write, move |state| {
                state.edit_setting("chat-func", CONSUMERS[2].1, Some(&old)).unwrap();
            });
        }
        story.watch(3 * HOUR).await;
        let reports = story.tick().await;
        assert!(reports[0].ending.is_failure(), "{grace} s: {reports:#?}");
        assert!(reports[0].summary().contains("chat-func"), "{grace} s: {}", reports[0].summary());
        assert_eq!(story.held("chat-func", CONSUMERS[2].1), story.key("sr-demo", PRIMARY));
        assert_eq!((story.requests("SignalR_RegenerateKey"), story.refused()), (1, 0), "{grace} s");
    }
}

#[tokio::test]
async fn a_missing_service_is_a_failure_and_no_missing_app() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.sim.delete_service("sr-demo").unwrap();
    let reports = story.tick().await;
    assert!(reports[0].ending.is_failure() && reports[0].summary().contains("sr-demo"), "{reports:#?}");
}
