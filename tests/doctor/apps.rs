//! What apps hold, and apps that nobody configured.

use signalr_rekey::doctor::{Check, Severity};
use signalr_rekey::model::KeyType;
use signalr_rekey::sim::{Fault, FaultKind, Site, State};

use super::common::{Story, all_hold};
use super::{GROUP, bad, examine, instance, no_other_error, only, site};

const SETTING: &str = "Azure__SignalR__ConnectionString";

/// Leaves an app out of the configuration.
fn leave_out(story: &mut Story, name: &str) {
    story.config.instances[0].apps.retain(|app| app.id.name() != name);
}

#[tokio::test]
async fn an_app_that_is_not_configured_and_holds_a_key_is_an_error() {
    let mut story = Story::new().await;
    leave_out(&mut story, "chat-web/staging");
    leave_out(&mut story, "chat-func");
    let report = examine(&story).await;
    let found = bad(&report, Check::Unconfigured);
    assert_eq!(found.len(), 2, "{found:#?}");
    for (finding, name) in found.iter().zip(["chat-func", "chat-web/slots/staging"]) {
        assert_eq!((finding.severity, &finding.subject), (Severity::Error, &site(name)));
        let mend = finding.mend.as_ref().unwrap();
        assert!(mend.contains(&site(name)) && mend.contains(&instance()), "{mend}");
    }
    assert!(found[0].what.contains("AzureSignalRConnectionString"), "{:?}", found[0]);
}

#[tokio::test]
async fn an_app_that_is_not_configured_and_holds_a_key_in_other_text_is_an_error() {
    let story = Story::new().await;
    let settings = [("BARE".to_owned(), "key={secondaryKey:sr-demo}".to_owned())].into();
    let site_of = Site {
        group: "rg-demo".into(),
        name: "other".into(),
        kind: "app".into(),
        settings,
        ..Site::default()
    };
    story.sim.with(|state| state.add_site(site_of)).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Error, &site("other"));
    assert!(finding.what.contains("BARE"), "{finding:?}");
    no_other_error(&report, finding);
}

#[tokio::test]
async fn an_app_that_is_not_configured_and_holds_nothing_is_in_order() {
    let story = Story::new().await;
    let settings = [("GREETING".to_owned(), "hello".to_owned())].into();
    let other = Site {
        group: "rg-demo".into(),
        name: "other".into(),
        kind: "app".into(),
        settings,
        ..Site::default()
    };
    story.sim.with(|state| state.add_site(other)).unwrap();
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    assert!(report.findings.iter().any(|finding| finding.what.starts_with("of 1 other app ")), "{report:#?}");
}

#[tokio::test]
async fn an_app_that_is_not_configured_and_not_readable_may_hold_one() {
    let mut story = Story::new().await;
    leave_out(&mut story, "chat-func");
    story.sim.with(|state| state.deny(&site("chat-func"), "Microsoft.Web/sites/config/list/Action"));
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Warning, &site("chat-func"));
    assert!(finding.what.contains("may hold"), "{finding:?}");
    assert_eq!(report.errors, 0);
}

#[tokio::test]
async fn lists_that_may_not_be_read_may_hide_a_holder() {
    let story = Story::new().await;
    story.sim.with(|state| state.deny(GROUP, "Microsoft.Web/sites/Read"));
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Warning, GROUP);
    assert!(finding.mend.as_ref().unwrap().contains("--role Reader"), "{finding:?}");

    story.sim.with(State::allow_all);
    story.sim.with(|state| state.deny(&site("chat-web"), "Microsoft.Web/sites/slots/Read"));
    let report = examine(&story).await;
    only(&report, Check::Unconfigured, Severity::Warning, &site("chat-web"));
}

#[tokio::test]
async fn a_key_vault_reference_is_an_error_that_a_command_mends() {
    let story = Story::new().await;
    let reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s/)";
    story.sim.edit_setting("chat-web/staging", SETTING, Some(reference)).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::KeyVault, Severity::Error, &site("chat-web/slots/staging"));
    let mend = finding.mend.as_ref().unwrap();
    assert!(mend.contains(&format!("--ids {} --slot staging", site("chat-web"))), "{mend}");
    assert!(mend.contains(&format!("{}/listKeys", instance())), "{mend}");
    no_other_error(&report, finding);
}

#[tokio::test]
async fn a_key_vault_reference_of_an_app_that_is_not_configured_may_lead_to_one() {
    let mut story = Story::new().await;
    leave_out(&mut story, "chat-func");
    let reference = "@Microsoft.KeyVault(VaultName=v;SecretName=s)";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    only(&examine(&story).await, Check::KeyVault, Severity::Warning, &site("chat-func"));
}

#[tokio::test]
async fn a_stale_consumer_is_an_error_and_rotate_mends_it() {
    let story = Story::new().await;
    story.sim.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    let report = examine(&story).await;
    let found = bad(&report, Check::Consumer);
    assert_eq!(found.len(), 3, "{found:#?}");
    for finding in found {
        assert_eq!(finding.mend.as_ref().unwrap(), &format!("signalr-rekey rotate {}", instance()));
    }
    story.mend().await;
    all_hold(&story);
    assert_eq!(examine(&story).await.errors, 0);
}

#[tokio::test]
async fn an_app_that_was_deleted_is_a_warning() {
    let story = Story::new().await;
    story.sim.delete_site("chat-func").unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Warning, &site("chat-func"));
    assert!(finding.mend.as_ref().unwrap().starts_with("in rekey.toml, take"), "{finding:?}");
    assert_eq!(report.errors, 0, "{report:#?}");
}

#[tokio::test]
async fn an_app_in_a_group_that_is_not_there_is_a_warning() {
    let mut story = Story::new().await;
    let elsewhere = site("chat-func").replace("rg-demo", "rg-demo-gone");
    story.config.instances[0].apps.push(super::common::app(elsewhere.parse().unwrap()));
    let report = examine(&story).await;
    only(&report, Check::Consumer, Severity::Warning, &elsewhere);
    assert_eq!(report.errors, 0, "{report:#?}");
}

#[tokio::test]
async fn an_app_without_a_connection_string_blocks() {
    let story = Story::new().await;
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", None).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Error, &site("chat-func"));
    assert!(finding.mend.as_ref().unwrap().contains("may_hold_none = true"), "{finding:?}");
    no_other_error(&report, finding);
}

#[tokio::test]
async fn a_named_setting_that_is_missing_and_one_that_is_not_named_are_errors() {
    let mut story = Story::new().await;
    let app = &mut story.config.instances[0].apps[0];
    app.settings = vec!["Other".into()];
    let report = examine(&story).await;
    let missing = only(&report, Check::Consumer, Severity::Error, &site("chat-web"));
    assert!(missing.what.contains("has no setting Other"), "{missing:?}");
    let unnamed = only(&report, Check::Unconfigured, Severity::Error, &site("chat-web"));
    assert!(unnamed.what.contains(SETTING), "{unnamed:?}");
}

#[tokio::test]
async fn who_connects_by_identity_is_noted() {
    let story = Story::new().await;
    let identity = "Endpoint=https://sr-demo.service.signalr.net;AuthType=azure.msi;Version=1.0;";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(identity)).unwrap();
    let report = examine(&story).await;
    assert_eq!((report.errors, report.notes), (0, 1), "{report:#?}");
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_an_error_and_the_others_are_looked_at() {
    let story = Story::new().await;
    let fault =
        Fault::new("WebApps_ListApplicationSettings", FaultKind::ServerError).on("chat-func").times(50);
    story.sim.fault(fault);
    let report = examine(&story).await;
    only(&report, Check::Consumer, Severity::Error, &site("chat-func"));
    let seen = report.findings.iter().filter(|finding| finding.what.contains("holds the Primary key"));
    assert_eq!(seen.count(), 2, "{report:#?}");
}
