//! `doctor` and `init` over real HTTP against the simulated Azure: in a world that is in order, and with one thing wrong
//! after the other. No output holds key material, and every command that fixes names its resource in full.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod apps;
#[path = "../common/mod.rs"]
mod common;
mod containers;
mod deployed;
mod first_run;
mod init;
mod instances;
mod permissions;
mod program;
mod reporters;
mod waves;
mod windows;

use common::{KEY_MARK, Story};
use signalr_rekey::config::Environment;
use signalr_rekey::doctor::{self, Check, Circumstances, Finding, Report, Severity};

const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo";

/// A schedule as in local.settings.json.
const SCHEDULE: (&str, &str) = ("ROTATION_SCHEDULE", "0 */5 * * * *");

fn site(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Web/sites/{name}")
}

fn instance() -> String {
    format!("{GROUP}/providers/Microsoft.SignalRService/signalR/sr-demo")
}

/// What is found as a person, with this environment.
async fn examine(story: &Story) -> Report {
    examine_in(story, &[SCHEDULE], false).await
}

async fn examine_in(story: &Story, environment: &[(&str, &str)], as_deployed: bool) -> Report {
    let environment = environment.iter().copied().collect::<Environment>();
    let report = doctor::examine(&story.rekey(), &Circumstances { environment, as_deployed }).await;
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains(KEY_MARK) && !text.contains("AccessKey=") && !text.contains("eyJ"), "{text}");
    for fix in report.findings.iter().filter_map(|finding| finding.fix.as_ref()) {
        let subscription = GROUP.split("/resourceGroups").next().unwrap();
        // The name of a vault or store is unique in all of Azure, and its subscription is not known.
        let of_vault = fix.starts_with("az keyvault ") && fix.contains("name kv-demo");
        let of_secret = fix.starts_with("az role assignment ") && fix.contains("--name kv-demo ");
        let unlocks = fix.starts_with("az appconfig kv unlock --name cs-demo ");
        let of_store = fix.contains("az appconfig show --name") || unlocks;
        assert!(fix.contains(subscription) || of_vault || of_secret || of_store, "no full id in: {fix}");
    }
    report
}

/// The findings of a check that are no good.
fn bad(report: &Report, check: Check) -> Vec<&Finding> {
    let is = |finding: &&Finding| finding.check == check && finding.severity > Severity::Note;
    report.findings.iter().filter(is).collect()
}

/// The one bad finding of a check, which is of this severity and about this subject.
fn only<'r>(report: &'r Report, check: Check, severity: Severity, subject: &str) -> &'r Finding {
    let all = bad(report, check);
    let [finding] = all[..] else { panic!("not one but {all:#?}") };
    assert_eq!((finding.severity, finding.subject.as_str()), (severity, subject), "{finding:#?}");
    finding
}

/// No error but this one.
fn no_other_error(report: &Report, finding: &Finding) {
    let others: Vec<_> = report
        .findings
        .iter()
        .filter(|other| other.severity == Severity::Error && *other != finding)
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn a_world_in_order_has_no_errors() {
    let story = Story::new().await;
    let report = examine(&story).await;
    // The deployed app has a journal of its own: for a person's machine that is no warning.
    assert_eq!((report.errors, report.warnings, report.notes), (0, 0, 2), "{report:#?}");
    assert!(report.findings[0].check == Check::Storage && report.findings[0].severity == Severity::Note);
    let deployed = examine_in(&story, &[SCHEDULE], true).await;
    only(&deployed, Check::Storage, Severity::Warning, "REKEY_STATE");
    for check in [
        Check::Settings,
        Check::Identity,
        Check::Permission,
        Check::Instance,
        Check::LocalAuth,
        Check::Consumer,
        Check::Unconfigured,
        Check::DataPlane,
        Check::Schedule,
        Check::Durations,
    ] {
        assert!(report.findings.iter().any(|finding| finding.check == check), "{check} was not looked at");
    }
    let changes = ["SignalR_RegenerateKey", "WebApps_UpdateApplicationSettings"];
    assert!(changes.iter().all(|operation| story.requests(operation) == 0), "it changes nothing");
}
