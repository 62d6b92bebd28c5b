//! Instances, their data plane and their policies.

use std::time::Duration;

use embedded_azure::{Fault, FaultKind, KeysOff, Options, UpdateStrategy, World};
use rekey_core::policy::Verify;
use signalr_rekey::doctor::{Check, Finding, Severity};

use super::common::{DAY, HOUR, MINUTE, Story, all_hold};
use super::{SCHEDULE, bad, examine, examine_in, instance, no_other_error, only, site};

/// A story whose keys are switched off, and what `listKeys` answers then.
async fn switched_off(keys_off: KeysOff) -> Story {
    let story = Story::of(World::default(), Options { keys_off, ..Options::default() }).await;
    story.sim.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
    story
}

#[tokio::test]
async fn keys_that_are_switched_off_are_an_error_whose_cure_cuts_nobody_off() {
    for keys_off in [KeysOff::Empty, KeysOff::Refused] {
        let story = switched_off(keys_off).await;
        let report = examine(&story).await;
        let finding = only(&report, Check::LocalAuth, Severity::Error, &instance());
        for name in ["chat-web", "chat-web/staging", "chat-func"] {
            assert!(finding.what.contains(name), "{finding:?}");
        }
        let off = format!("--ids {} ", instance());
        let fix = finding.fix.as_ref().unwrap();
        assert!(
            fix.contains(&off) && fix.contains("disableLocalAuth=false && signalr-rekey rotate "),
            "{fix}"
        );
        assert!(finding.why.as_ref().unwrap().contains("two new ones"), "{finding:?}");
        // One for each app, and nothing that speaks of a broken answer or of a key that could be written.
        let consumers = bad(&report, Check::Consumer);
        assert_eq!((consumers.len(), report.errors), (3, 4), "{report:#?}");
        assert!(
            consumers.iter().all(|finding| finding.fix.is_none() && finding.what.contains("which has none"))
                && consumers.iter().all(|finding| finding.what.starts_with("stale: "))
        );
        for finding in &report.findings {
            assert!(!format!("{finding:?}").contains("disableLocalAuth=true"), "{finding:?}");
        }
        // What it says to do brings everybody back.
        story.sim.with(|state| state.disable_local_auth("sr-demo", false)).unwrap();
        story.tick().await;
        all_hold(&story);
        assert_eq!(examine(&story).await.errors, 0);
    }
}

#[tokio::test]
async fn keys_that_are_switched_off_and_nobody_holds_are_a_warning() {
    for keys_off in [KeysOff::Empty, KeysOff::Refused] {
        let story = switched_off(keys_off).await;
        let identity = "Endpoint=https://sr-demo.service.signalr.net;AuthType=azure;Version=1.0;";
        for (app, setting) in super::common::CONSUMERS {
            story.sim.edit_setting(app, setting, Some(identity)).unwrap();
        }
        let report = examine(&story).await;
        let finding = only(&report, Check::LocalAuth, Severity::Warning, &instance());
        assert!(!finding.fix.as_ref().unwrap().contains("az "), "nobody needs a key: {finding:?}");
        assert_eq!(report.errors, 0, "{report:#?}");
    }
}

#[tokio::test]
async fn that_keys_are_switched_off_is_told_by_the_list_alone() {
    for keys_off in [KeysOff::Empty, KeysOff::Refused] {
        let story = switched_off(keys_off).await;
        story.sim.with(|state| state.deny(&instance(), "Microsoft.SignalRService/SignalR/read"));
        only(&examine(&story).await, Check::LocalAuth, Severity::Error, &instance());
    }
}

#[tokio::test]
async fn replicas_are_named_for_a_key_is_proved_in_one_region() {
    let mut world = World::default();
    world.signalr[0].replicas = vec!["westus".into(), "japaneast".into()];
    let story = Story::of(world, Options::default()).await;
    let report = examine(&story).await;
    // The other is of the journal.
    assert_eq!((report.errors, report.notes), (0, 3), "{report:#?}");
    let is_note =
        |finding: &&Finding| finding.severity == Severity::Note && finding.check == Check::DataPlane;
    let note = report.findings.iter().find(is_note).unwrap();
    assert!(note.what.contains("westus, japaneast") && note.subject == instance(), "{note:?}");

    story.sim.with(|state| state.deny(&instance(), "Microsoft.SignalRService/SignalR/replicas/read"));
    let report = examine(&story).await;
    let is_note =
        |finding: &&Finding| finding.severity == Severity::Note && finding.check == Check::DataPlane;
    let note = report.findings.iter().find(is_note).unwrap();
    assert!(note.what.starts_with("it is not known whether it has replicas"), "{note:?}");
}

#[tokio::test]
async fn an_app_that_is_drained_needs_a_longer_grace() {
    let mut world = World::default();
    world.sites[1].update_strategy = Some(UpdateStrategy::RollingUpdate);
    let mut story = Story::of(world, Options::default()).await;
    let drained = |finding: &&Finding| finding.what.contains("RollingUpdate");
    let report = examine(&story).await;
    let found = report.findings.iter().find(drained).unwrap();
    assert_eq!((found.severity, &found.subject), (Severity::Ok, &site("chat-func")), "the default is enough");

    story.config.instances[0].policy.grace = 2 * HOUR;
    let report = examine(&story).await;
    let found = only(&report, Check::Durations, Severity::Warning, &site("chat-func"));
    assert!(drained(&found) && found.fix.as_ref().unwrap().contains("grace = \"2h30m\""), "{found:?}");
    assert_eq!(found.instances, [story.config.instances[0].id.clone()]);

    // Who may not read it is told that nobody knows.
    story.sim.fault(Fault::new("WebApps_Get", FaultKind::Forbidden).on("chat-func"));
    let report = examine(&story).await;
    let found = report.findings.iter().find(|finding| finding.what.contains("is not known")).unwrap();
    assert_eq!((found.severity, &found.subject), (Severity::Note, &site("chat-func")), "{found:?}");
}

#[tokio::test]
async fn a_data_plane_out_of_reach_is_an_error_unless_azures_word_counts() {
    let mut story = Story::new().await;
    let down = || Fault::new("DataPlane_Exists", FaultKind::ServerError).times(1);
    story.sim.fault(down());
    let report = examine(&story).await;
    let finding = only(&report, Check::DataPlane, Severity::Error, &instance());
    no_other_error(&report, finding);
    assert!(
        finding.fix.as_ref().unwrap().ends_with("--add properties.networkACLs.publicNetwork.allow RESTAPI"),
        "{finding:?}"
    );

    story.config.instances[0].policy.verify = Verify::ControlPlane;
    story.sim.fault(down());
    let report = examine(&story).await;
    // The other is of the journal.
    assert_eq!((report.errors, report.notes), (0, 3), "{report:#?}");
}

#[tokio::test]
async fn a_refused_key_is_an_error_that_rotate_repairs() {
    let story = Story::new().await;
    story.sim.fault(Fault::new("DataPlane_Exists", FaultKind::Unauthorized));
    let report = examine(&story).await;
    let finding = only(&report, Check::DataPlane, Severity::Error, &instance());
    assert_eq!(finding.fix.as_ref().unwrap(), &format!("signalr-rekey rotate {}", instance()));
}

#[tokio::test]
async fn an_instance_that_is_gone_is_one_error() {
    let story = Story::new().await;
    story.sim.delete_service("sr-demo").unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Instance, Severity::Error, &instance());
    no_other_error(&report, finding);
    assert!(finding.what.contains("does not exist"), "{finding:?}");
}

#[tokio::test]
async fn without_a_token_nothing_else_is_asked() {
    let story = Story::new().await;
    story.sim.fault(Fault::new("Entra_Token", FaultKind::Unauthorized).times(20));
    let report = examine(&story).await;
    let finding = only(&report, Check::Identity, Severity::Error, "the identity");
    no_other_error(&report, finding);
    assert_eq!(story.sim.report().arm_requests_total, 0);
}

#[tokio::test]
async fn durations_that_do_not_fit_are_warnings() {
    let mut story = Story::new().await;
    let policy = &mut story.config.instances[0].policy;
    (policy.grace, policy.rotate_every, policy.full_check_every) = (HOUR, 91 * DAY, 2 * HOUR);
    let report = examine(&story).await;
    let found = bad(&report, Check::Durations);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().all(|finding| finding.fix.as_ref().unwrap().contains(&instance())));

    let policy = &mut story.config.instances[0].policy;
    (policy.grace, policy.rotate_every, policy.full_check_every) = (HOUR + 5 * MINUTE, 90 * DAY, HOUR);
    assert!(bad(&examine(&story).await, Check::Durations).is_empty());
}

/// What the sample has for the embedded Azure is no good in Azure, and only there.
#[tokio::test]
async fn a_gate_that_asks_the_old_process_is_a_warning_in_azure_alone() {
    let mut story = Story::new().await;
    for (seconds, in_azure, found) in [(29, true, true), (30, true, false), (2, false, false)] {
        story.config.instances[0].policy.gate_after = Duration::from_secs(seconds);
        if !in_azure {
            story.config.azure.resource_manager = story.sim.base().parse().unwrap();
        }
        let report = examine(&story).await;
        if !found {
            assert!(bad(&report, Check::Durations).is_empty(), "{seconds} s: {report:#?}");
            continue;
        }
        let warning = only(&report, Check::Durations, Severity::Warning, &instance());
        assert!(warning.what.contains("29s"), "{warning:?}");
        assert!(warning.fix.as_ref().unwrap().contains("set gate_after = \"1m\" in"), "{warning:?}");
    }
}

#[tokio::test]
async fn a_timer_that_runs_too_seldom_is_found() {
    let mut story = Story::new().await;
    for (schedule, severity) in [
        ("0 0 * * * *", None),
        ("0 0 */2 * * *", Some(Severity::Warning)),
        ("0 0 3 1 * *", Some(Severity::Error)),
    ] {
        let report = examine_in(&story, &[(SCHEDULE.0, schedule)], false).await;
        let found = bad(&report, Check::Schedule);
        assert_eq!(found.first().map(|finding| finding.severity), severity, "{schedule}: {found:#?}");
    }
    story.config.instances[0].policy.rotate_every = Duration::from_secs(60);
    let report = examine(&story).await;
    only(&report, Check::Schedule, Severity::Error, SCHEDULE.0);
    let unreadable = examine_in(&story, &[(SCHEDULE.0, "now and then")], false).await;
    only(&unreadable, Check::Schedule, Severity::Error, SCHEDULE.0);
    let unset = examine_in(&story, &[], false).await;
    assert!(bad(&unset, Check::Schedule).is_empty(), "locally it need not be set");
}

#[tokio::test]
async fn a_mistyped_service_is_answered_with_the_one_that_may_be_meant() {
    let mut story = Story::new().await;
    story.config.instances[0].id = instance().replace("sr-demo", "sr-dmeo").parse().unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Instance, Severity::Error, &instance().replace("sr-demo", "sr-dmeo"));
    let fix = finding.fix.as_ref().unwrap();
    assert!(fix.contains(&format!("write {}, if that is meant", instance())), "{fix}");
    story.config.instances[0].id = instance().replace("sr-demo", "other").parse().unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Instance, Severity::Error, &instance().replace("sr-demo", "other"));
    assert!(finding.fix.as_ref().unwrap().contains("correct the id of"), "{finding:?}");
}

#[tokio::test]
async fn an_age_of_a_year_or_more_is_a_pause_and_nobody_is_told_to_end_it() {
    let mut story = Story::new().await;
    for (days, severity) in [(3650, Severity::Note), (365, Severity::Note), (364, Severity::Warning)] {
        story.config.instances[0].policy.rotate_every = days * DAY;
        let report = examine(&story).await;
        let is_age = |finding: &&Finding| finding.what.starts_with("keys are rotated every");
        let finding = report.findings.iter().find(is_age).unwrap();
        assert_eq!(finding.severity, severity, "{finding:?}");
        assert_eq!(finding.fix.is_some(), severity == Severity::Warning, "{finding:?}");
    }
}

/// A proxy's page is no fault of Azure's, and nobody at Microsoft finds it by a correlation id.
#[tokio::test]
async fn a_page_in_the_place_of_an_answer_is_told_from_azure() {
    let story = Story::new().await;
    story.sim.fault(Fault::new("SignalR_ListKeys", FaultKind::Html).times(50));
    let report = examine(&story).await;
    let told = format!("{report:?}");
    assert!(
        told.contains("an HTML page came") && told.contains("a proxy, a firewall or a sign-in portal"),
        "{told}"
    );
    assert!(!told.contains("report this"), "{told}");
}

/// What a restart of an app does to the clients of a service is told by its mode.
#[tokio::test]
async fn what_a_restart_does_to_clients_is_told_by_the_mode_of_the_service() {
    for (mode, says) in [
        ("Default", "closes the client connections"),
        ("Serverless", "closes no client connection"),
        ("Classic", "Classic mode"),
        ("Tomorrow", "not known what a restart"),
    ] {
        let mut world = World::default();
        world.signalr[0].mode = mode.into();
        let story = Story::of(world, Options::default()).await;
        let report = examine(&story).await;
        let is = |one: &&Finding| one.check == Check::Instance && one.what.contains(mode);
        let told = report.findings.iter().find(is).unwrap_or_else(|| panic!("{mode}: {report:#?}"));
        assert_eq!((told.severity, told.subject.as_str()), (Severity::Note, instance().as_str()));
        let all = format!("{} {}", told.what, told.why.as_deref().unwrap_or_default());
        assert!(all.contains(says), "{told:?}");
    }
}
