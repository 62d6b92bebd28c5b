//! Stories of rotations, told over real HTTP between the real client, azure_identity and the simulated Azure. Each
//! ends by asking what became of the world.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::time::Duration;

use common::{CONSUMERS, DAY, HOUR, MINUTE, Story, all_hold, app, settled};
use signalr_rekey::config::{FirstRotation, Verify};
use signalr_rekey::model::{AppId, KeyType};
use signalr_rekey::pass::{Ending, Purpose};
use signalr_rekey::plan::{BlockedBy, Decision};
use signalr_rekey::sim::{ConnectionStringEntry, Fault, FaultKind, Options, SignalR, Site, World};

const PRIMARY: KeyType = KeyType::Primary;
const SECONDARY: KeyType = KeyType::Secondary;

#[tokio::test]
async fn a_first_rotation_replaces_both_keys_and_no_client_notices() {
    let story = Story::new().await;
    let before = story.sim.keys("sr-demo").unwrap();
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), SECONDARY);
    let after = story.sim.keys("sr-demo").unwrap();
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

#[tokio::test]
async fn a_rotation_that_was_asked_for_is_done_in_one_long_run() {
    let story = Story::new().await;
    let reports = story.run(Purpose::Rotate { now: true }, DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    let reports = story.run(Purpose::Rotate { now: true }, DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (PRIMARY, 4));
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn runs_that_are_much_too_short_carry_on_where_the_last_one_stopped() {
    let story = Story::new().await;
    for _ in 0..2000 {
        let reports = story.run(Purpose::Rotate { now: false }, Duration::from_secs(8)).await;
        if settled(&reports) {
            break;
        }
        story.clock.advance(MINUTE);
    }
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (SECONDARY, 2));
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_forced_regeneration_of_the_key_in_use_is_mended_with_the_other() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let other = story.key("sr-demo", PRIMARY);
    story.sim.regenerate("sr-demo", &[SECONDARY]).unwrap();
    let reports = story.mend().await;
    assert!(reports.iter().all(|report| report.ending.is_mended()), "{reports:#?}");
    assert_eq!((all_hold(&story), story.key("sr-demo", PRIMARY)), (PRIMARY, other));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "mending regenerates nothing");
    let refused = story.refused();
    story.watch(2 * HOUR).await;
    let report = story.sim.report();
    let outages: Vec<_> = report.instances["sr-demo"].apps.values().flat_map(|app| &app.outages).collect();
    assert!(!outages.is_empty() && outages.iter().all(|outage| !outage.open), "{outages:#?}");
    assert!(refused > 0 && story.refused() <= refused, "nobody is refused once it is mended");
}

#[tokio::test]
async fn a_forced_regeneration_of_both_keys_is_mended_at_once() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.sim.regenerate("sr-demo", &KeyType::ALL).unwrap();
    let reports = story.mend().await;
    assert!(reports.iter().all(|report| report.ending.is_mended()), "{reports:#?}");
    all_hold(&story);
}

#[tokio::test]
async fn the_timer_mends_what_no_event_told() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.sim.regenerate("sr-demo", &KeyType::ALL).unwrap();
    story.tick().await;
    all_hold(&story);
}

#[tokio::test]
async fn a_forced_regeneration_in_the_middle_of_a_rotation_is_mended_and_the_rotation_ends() {
    for nth in 1..8 {
        let story = Story::new().await;
        story.sim.before("SignalR_ListKeys", nth, |state| {
            state.force_regeneration("sr-demo", &[PRIMARY]).unwrap();
        });
        let reports = story.watch(9 * HOUR).await;
        assert!(settled(&reports), "at look {nth}: {reports:#?}");
        all_hold(&story);
    }
}

#[tokio::test]
async fn an_app_that_appears_holds_back_the_regeneration_of_its_key() {
    let mut story = Story::new().await;
    story.watch(3 * HOUR).await;
    assert_eq!(all_hold(&story), SECONDARY, "the old key is within its grace");
    let old = story.sim.settings("chat-web").unwrap();
    let settings = [("SignalR".to_owned(), "{primary:sr-demo}".to_owned())].into();
    let site = Site {
        group: "rg-demo".into(),
        name: "late".into(),
        kind: "app".into(),
        settings,
        ..Site::default()
    };
    story.sim.with(|state| state.add_site(site)).unwrap();
    let late = AppId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "late", None);
    story.config.instances[0].apps.push(app(late));
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let held = story.held("late", "SignalR");
    assert!(KeyType::ALL.into_iter().any(|key_type| story.key("sr-demo", key_type) == held));
    assert_eq!(old.len(), story.sim.settings("chat-web").unwrap().len());
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn an_app_that_vanishes_stops_nothing() {
    let story = Story::new().await;
    story.sim.before("WebApps_UpdateApplicationSettings", 1, |state| state.delete_site("chat-func").unwrap());
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    assert!(reports[0].lines.iter().any(|line| line.contains("chat-func no longer exists")), "{reports:#?}");
    assert_eq!(story.refused(), 0);
}

/// One app with every shape of consumer, and things that must stay as they are.
fn manifold() -> World {
    let string = "Endpoint=https://SR-ONE.service.signalr.net ; AccessKey={primaryKey:sr-one};\
                  ClientEndpoint=https://gateway.example.com;Version=1.0;";
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let site = Site {
        group: "rg".into(),
        name: "shop".into(),
        kind: "app".into(),
        settings: [
            setting("OTHER", "kept"),
            setting("EMPTY", ""),
            setting("SignalRBehindGateway", string),
            setting("CustomDomain", "Endpoint=https://chat.example.com;AccessKey={primaryKey:sr-one};"),
            setting(
                "Identity",
                "Endpoint=https://sr-one.service.signalr.net;AuthType=azure.msi;Version=1.0;",
            ),
            setting("Foreign", "Endpoint=https://other.service.signalr.net;AccessKey=foreign;Version=1.0;"),
            setting("DbPassword", "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/db/)"),
        ]
        .into(),
        connection_strings: [(
            "Azure:SignalR:ConnectionString".to_owned(),
            ConnectionStringEntry { value: "{primary:sr-one}".into(), kind: "Custom".into() },
        )]
        .into(),
        ..Site::default()
    };
    let instance = SignalR {
        group: "rg".into(),
        name: "sr-one".into(),
        apps: vec!["shop".into()],
        ..SignalR::default()
    };
    World { signalr: vec![instance], sites: vec![site], ..World::default() }
}

#[tokio::test]
async fn only_the_keys_of_the_instance_change_wherever_they_are() {
    let story = Story::of(manifold(), Options::default()).await;
    let before = story.sim.settings("shop").unwrap();
    let old = story.key("sr-one", PRIMARY);
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let new = story.key("sr-one", SECONDARY);
    let after = story.sim.settings("shop").unwrap();
    let expected = |value: &String| value.replace(old.expose(), new.expose());
    assert_eq!(after, before.iter().map(|(name, value)| (name.clone(), expected(value))).collect());
    let section = story.sim.connection_strings("shop").unwrap();
    let entry = &section["Azure:SignalR:ConnectionString"];
    assert!(entry.value.contains(new.expose()) && entry.kind == "Custom", "{:?}", entry.kind);
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_stale_string_behind_a_custom_domain_is_recognised_by_the_key_it_had() {
    let story = Story::of(manifold(), Options::default()).await;
    story.watch(6 * HOUR).await;
    story.sim.regenerate("sr-one", &KeyType::ALL).unwrap();
    story.mend().await;
    let held = story.held("shop", "CustomDomain");
    assert!(KeyType::ALL.into_iter().any(|key_type| story.key("sr-one", key_type) == held));
}

#[tokio::test]
async fn a_colleague_who_edits_settings_all_the_while_loses_nothing() {
    let story = Story::new().await;
    let lists = ["WebApps_ListApplicationSettings", "WebApps_ListConnectionStrings", "SignalR_ListKeys"];
    let mut names = Vec::new();
    for (operation, nth) in lists.into_iter().flat_map(|operation| (1..7).map(move |nth| (operation, nth))) {
        let name = format!("{operation}_{nth}");
        names.push(name.clone());
        story.sim.before(operation, nth, move |state| {
            state.edit_setting("chat-web", &name, Some("mine")).unwrap();
            state.edit_setting("chat-func", &name, Some("mine")).unwrap();
        });
    }
    // What comes between the list and the PUT of one app is lost to everybody (ARM has no ETag for settings); what
    // comes after its PUT is not.
    story.sim.after("WebApps_UpdateApplicationSettings", 2, move |state| {
        state.edit_setting("chat-web", "after_write", Some("mine")).unwrap();
        state.edit_setting("chat-func", "after_write", Some("mine")).unwrap();
    });
    names.push("after_write".to_owned());
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    all_hold(&story);
    let (web, func) = (story.sim.settings("chat-web").unwrap(), story.sim.settings("chat-func").unwrap());
    let done =
        names.iter().filter(|name| web.contains_key(*name) || func.contains_key(*name)).collect::<Vec<_>>();
    assert!(done.len() >= 12, "most hooks met their request: {done:?}");
    for name in done {
        assert_eq!(
            (web.get(name), func.get(name)),
            (Some(&"mine".to_owned()), Some(&"mine".to_owned())),
            "{name}"
        );
    }
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_colleague_who_writes_the_old_key_back_is_outdone_before_it_dies() {
    let story = Story::new().await;
    let old = story.sim.settings("chat-func").unwrap()["AzureSignalRConnectionString"].clone();
    story.sim.after("WebApps_UpdateApplicationSettings", 2, move |state| {
        state.edit_setting("chat-func", "AzureSignalRConnectionString", Some(&old)).unwrap();
    });
    let reports = story.watch(8 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    all_hold(&story);
    assert_eq!(story.refused(), 0);
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
async fn an_app_that_may_not_be_read_blocks_the_rotation_and_not_the_mending_of_others() {
    let story = Story::new().await;
    let forbidden = Fault::new("WebApps_ListApplicationSettings", FaultKind::Forbidden).on("chat-func");
    story.sim.fault(forbidden.times(1_000_000));
    let reports = story.watch(4 * HOUR).await;
    let blocked = &reports[0].ending;
    assert!(matches!(blocked, Ending::Decided(Decision::Blocked(BlockedBy::Unknown(_)))), "{blocked:?}");
    let text = reports[0].summary();
    assert!(text.contains("chat-func") && text.contains("AuthorizationFailed"), "{text}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    story.sim.regenerate("sr-demo", &[PRIMARY]).unwrap();
    story.mend().await;
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
    story.sim.delete_instance("sr-one").unwrap();
    let reports = story.watch(6 * HOUR).await;
    assert!(reports[0].ending.is_failure() && reports[0].summary().contains("sr-one"), "{reports:#?}");
    assert!(settled(&reports[1..]), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
}

#[tokio::test]
async fn two_instances_that_share_an_app_do_not_undo_each_other() {
    let instance = |name: &str| SignalR {
        group: "rg".into(),
        name: name.into(),
        apps: vec!["both".into()],
        ..SignalR::default()
    };
    let settings = ["sr-one", "sr-two"].map(|name| (name.to_owned(), format!("{{primary:{name}}}")));
    let site = Site {
        group: "rg".into(),
        name: "both".into(),
        kind: "app".into(),
        settings: settings.into(),
        ..Site::default()
    };
    let world = World {
        signalr: vec![instance("sr-one"), instance("sr-two")],
        sites: vec![site],
        ..World::default()
    };
    let story = Story::of(world, Options::default()).await;
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    for name in ["sr-one", "sr-two"] {
        assert_eq!(story.held("both", name), story.key(name, SECONDARY));
        story.sim.regenerate(name, &[SECONDARY]).unwrap();
    }
    story.mend().await;
    for name in ["sr-one", "sr-two"] {
        assert_eq!(story.held("both", name), story.key(name, PRIMARY), "mended side by side");
    }
    assert_eq!(story.requests("WebApps_UpdateApplicationSettings"), 4, "nothing was written twice");
}

#[tokio::test]
async fn an_app_that_azure_was_too_busy_to_show_is_not_taken_for_mended() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.sim.regenerate("sr-demo", &[SECONDARY]).unwrap();
    story.sim.fault(
        Fault::new("WebApps_ListApplicationSettings", FaultKind::Unavailable).on("chat-func").times(5),
    );
    let reports = story.mend().await;
    assert!(!reports[0].ending.is_mended() && reports[0].summary().contains("chat-func"), "{reports:#?}");
    assert_eq!(
        story.held("chat-web", CONSUMERS[0].1),
        story.key("sr-demo", PRIMARY),
        "the others were not kept waiting"
    );
    story.sim.clear_faults();
    assert!(story.mend().await[0].ending.is_mended());
    all_hold(&story);
}

#[tokio::test]
async fn a_key_vault_reference_is_reported_and_never_overwritten() {
    let reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/signalr/)";
    let mut world = World::default();
    let settings = [("AzureSignalRConnectionString".to_owned(), reference.to_owned())].into();
    world.sites.push(Site {
        group: "rg-demo".into(),
        name: "vaulted".into(),
        kind: "functionapp".into(),
        settings,
        ..Site::default()
    });
    let mut story = Story::of(world, Options::default()).await;
    let vaulted = AppId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "vaulted", None);
    story.config.instances[0].apps.push(app(vaulted));
    let reports = story.watch(4 * HOUR).await;
    assert!(reports[0].summary().contains("Key Vault reference"), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    assert_eq!(story.sim.settings("vaulted").unwrap()["AzureSignalRConnectionString"], reference);
}

#[tokio::test]
async fn a_new_key_that_the_service_refuses_moves_nobody() {
    let story = Story::new().await;
    story.sim.after("SignalR_RegenerateKey", 1, |state| state.disable_local_auth("sr-demo", true).unwrap());
    let reports = story.watch(4 * HOUR).await;
    let blocked =
        matches!(&reports[0].ending, Ending::Decided(Decision::Blocked(BlockedBy::KeyRefused { .. })));
    assert!(blocked, "{reports:#?}");
    assert_eq!(story.held("chat-web", CONSUMERS[0].1), story.key("sr-demo", PRIMARY), "nobody was moved");
    story.sim.with(|state| state.disable_local_auth("sr-demo", false)).unwrap();
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "the key that waited was used");
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
async fn our_own_site_is_written_last() {
    let mut story = Story::new().await;
    story.config.own_site = Some("CHAT-WEB".to_owned());
    story.watch(3 * HOUR).await;
    let writes: Vec<_> = story.sim.requests().into_iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(writes[0].resource, "chat-func");
    assert_eq!(writes.len(), 3);
}

#[tokio::test]
async fn a_notice_waits_for_the_run_that_is_at_work_and_then_looks() {
    let story = Story::new().await;
    story.watch(HOUR).await;
    let (long, short) = tokio::join!(
        story.run(Purpose::Rotate { now: true }, 9 * MINUTE),
        story.run(Purpose::Mend, 30 * MINUTE)
    );
    assert!(!long[0].ending.is_failure(), "{long:#?}");
    assert!(short[0].ending.is_mended(), "{short:#?}");
}
