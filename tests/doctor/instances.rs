//! Instances, their data plane and their policies.

use std::time::Duration;

use signalr_rekey::config::Verify;
use signalr_rekey::doctor::{Check, Severity};
use signalr_rekey::sim::{Fault, FaultKind};

use super::common::{DAY, HOUR, MINUTE, Story};
use super::{SCHEDULE, bad, examine, examine_in, instance, no_other_error, only};

#[tokio::test]
async fn keys_that_are_switched_off_are_an_error() {
    let story = Story::new().await;
    story.sim.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::LocalAuth, Severity::Error, &instance());
    let mend = finding.mend.as_ref().unwrap();
    assert!(
        mend.contains(&format!("--ids {}", instance())) && mend.contains("disableLocalAuth=false"),
        "{mend}"
    );
    let refused = only(&report, Check::DataPlane, Severity::Error, &instance());
    assert!(refused.why.as_ref().unwrap().contains("disableLocalAuth"), "{refused:?}");
}

#[tokio::test]
async fn keys_that_are_switched_off_and_nobody_holds_are_a_warning() {
    let story = Story::new().await;
    story.sim.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
    let identity = "Endpoint=https://sr-demo.service.signalr.net;AuthType=azure;Version=1.0;";
    for (app, setting) in super::common::CONSUMERS {
        story.sim.edit_setting(app, setting, Some(identity)).unwrap();
    }
    only(&examine(&story).await, Check::LocalAuth, Severity::Warning, &instance());
}

#[tokio::test]
async fn a_data_plane_out_of_reach_is_an_error_unless_azures_word_counts() {
    let mut story = Story::new().await;
    let down = || Fault::new("DataPlane_Exists", FaultKind::ServerError).times(1);
    story.sim.fault(down());
    let report = examine(&story).await;
    let finding = only(&report, Check::DataPlane, Severity::Error, &instance());
    no_other_error(&report, finding);
    assert!(finding.mend.as_ref().unwrap().contains("network-rule"), "{finding:?}");

    story.config.instances[0].policy.verify = Verify::ControlPlane;
    story.sim.fault(down());
    let report = examine(&story).await;
    assert_eq!((report.errors, report.notes), (0, 1), "{report:#?}");
}

#[tokio::test]
async fn a_refused_key_is_an_error_that_rotate_mends() {
    let story = Story::new().await;
    story.sim.fault(Fault::new("DataPlane_Exists", FaultKind::Unauthorized));
    let report = examine(&story).await;
    let finding = only(&report, Check::DataPlane, Severity::Error, &instance());
    assert_eq!(finding.mend.as_ref().unwrap(), &format!("signalr-rekey rotate {}", instance()));
}

#[tokio::test]
async fn an_instance_that_is_gone_is_one_error() {
    let story = Story::new().await;
    story.sim.delete_instance("sr-demo").unwrap();
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
    (policy.grace, policy.rotate_every) = (HOUR, 91 * DAY);
    let report = examine(&story).await;
    let found = bad(&report, Check::Durations);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|finding| finding.mend.as_ref().unwrap().contains(&instance())));

    let policy = &mut story.config.instances[0].policy;
    (policy.grace, policy.rotate_every) = (HOUR + 5 * MINUTE, 90 * DAY);
    assert!(bad(&examine(&story).await, Check::Durations).is_empty());
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
