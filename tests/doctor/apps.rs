//! What apps hold, and apps that nobody configured.

use std::sync::Arc;

use embedded_azure::{
    AppConfiguration, BarrierKind, Connector, Denial, DeniedBy, Fault, FaultKind, KeyValue, Options, Secret,
    SignalR, Site, SiteIdentity, State, Vault, World,
};
use rekey_core::model::KeyType;
use signalr_rekey::doctor::{Check, Finding, Report, Severity};
use signalr_rekey::store::MemoryStore;

use super::common::{DAY, HOUR, Story, all_hold};
use super::{GROUP, SCHEDULE, bad, examine, examine_in, instance, no_other_error, only, site};

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
        let fix = finding.fix.as_ref().unwrap();
        assert!(fix.contains(&site(name)) && fix.contains(&instance()), "{fix}");
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
    assert!(
        report.findings.iter().any(|finding| finding.what.starts_with("of 1 other app none")),
        "{report:#?}"
    );
}

#[tokio::test]
async fn an_app_that_is_not_configured_and_not_readable_may_hold_one() {
    let mut story = Story::new().await;
    leave_out(&mut story, "chat-func");
    story.sim.with(|state| state.deny(&site("chat-func"), "Microsoft.Web/sites/config/list/Action"));
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Warning, &site("chat-func"));
    assert!(finding.what.contains("may hold"), "{finding:?}");
    assert!(finding.fix.as_ref().unwrap().contains("Microsoft.Web/sites/config/list/Action"), "{finding:?}");
    assert_eq!(report.errors, 0);
}

#[tokio::test]
async fn lists_that_may_not_be_read_may_hide_a_holder() {
    let story = Story::new().await;
    story.sim.with(|state| state.deny(GROUP, "Microsoft.Web/sites/Read"));
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Warning, GROUP);
    assert!(finding.fix.as_ref().unwrap().contains("--role Reader"), "{finding:?}");

    story.sim.with(State::allow_all);
    story.sim.with(|state| state.deny(&site("chat-web"), "Microsoft.Web/sites/slots/Read"));
    let report = examine(&story).await;
    only(&report, Check::Unconfigured, Severity::Warning, &site("chat-web"));
}

/// What would have the operator cut an app off: an excuse for it, a name or a secret taken away, or a key written where it
/// is not known who reads it.
fn assert_nothing_rash(report: &Report) {
    for finding in &report.findings {
        let text =
            format!("{} {} {:?}", finding.what, finding.why.as_deref().unwrap_or_default(), finding.fix);
        for rash in ["may_hold_none = true }", "listKeys", "Take the name out", "take it out", "itself into"]
        {
            assert!(!text.contains(rash), "{rash}: {text}");
        }
    }
}

#[tokio::test]
async fn a_key_in_a_text_is_as_good_as_one_in_a_string_and_as_bad() {
    let story = Story::new().await;
    let (app, site) = ("chat-web/staging", site("chat-web/slots/staging"));
    let settings = [
        ("SIGNALR_ENDPOINT", "https://sr-demo.service.signalr.net"),
        ("SIGNALR_ACCESS_KEY", "{primaryKey:sr-demo}"),
        (SETTING, r#"{"connection":"{primary:sr-demo}"}"#),
    ];
    for (name, value) in settings {
        story.sim.edit_setting(app, name, Some(value)).unwrap();
    }
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:?}");
    story.tick().await;
    story.force("sr-demo", &[KeyType::Primary]).unwrap();
    let report = examine(&story).await;
    let of_app = |finding: &&Finding| finding.subject == site && finding.severity == Severity::Error;
    let found: Vec<_> = report.findings.iter().filter(of_app).collect();
    let [finding] = found[..] else { panic!("{found:?}") };
    for name in [SETTING, "SIGNALR_ACCESS_KEY"] {
        let says = format!("stale: app setting {name} holds a key");
        assert!(finding.what.contains(&says), "{finding:?}");
    }
    assert!(finding.fix.as_ref().is_some_and(|fix| fix.contains("rotate")), "{finding:?}");
}

#[tokio::test]
async fn what_cannot_be_followed_or_rewritten_is_an_error_and_nothing_rash_is_proposed() {
    let story = Story::new().await;
    let key = story.key("sr-demo", KeyType::Primary);
    let string = |rest: &str| format!("Endpoint=https://sr-demo.service.signalr.net;{rest}");
    for (value, check, says) in [
        (
            "@Microsoft.KeyVault(SecretUri=https://v.vault.example.com/secrets/s)".to_owned(),
            Check::KeyVault,
            "Key Vault reference",
        ),
        (
            "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.example.com; Key=k)".to_owned(),
            Check::KeyVault,
            "App Configuration reference",
        ),
        (format!("%{}%", key.expose()), Check::Consumer, "cannot be put in its place for sure"),
        (string("AccessKey=%KEY%;Version=1.0"), Check::Consumer, "placeholder"),
        (string(&format!("AccessKey={};Port=0", key.expose())), Check::Consumer, "its Port is not between"),
    ] {
        story.sim.edit_setting("chat-web/staging", SETTING, Some(&value)).unwrap();
        let report = examine(&story).await;
        let finding = only(&report, check, Severity::Error, &site("chat-web/slots/staging"));
        assert!(finding.what.contains(says) && finding.what.contains(SETTING), "{finding:?}");
        no_other_error(&report, finding);
        assert_nothing_rash(&report);
    }
}

#[tokio::test]
async fn an_app_with_nothing_but_references_is_an_error_that_names_them() {
    let story = Story::new().await;
    let vault = "@Microsoft.KeyVault(VaultName=v;SecretName=s)";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", None).unwrap();
    story.sim.edit_setting("chat-func", "Hub", Some(vault)).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::KeyVault, Severity::Error, &site("chat-func"));
    assert!(finding.what.contains("Hub"), "{finding:?}");
    assert_nothing_rash(&report);
}

#[tokio::test]
async fn a_key_beside_an_auth_type_should_go() {
    let story = Story::new().await;
    let old = story.sim.settings("chat-func").unwrap()["AzureSignalRConnectionString"].clone();
    let beside = format!("{old};AuthType=azure.msi").replace(";;", ";");
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(&beside)).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Warning, &site("chat-func"));
    assert!(finding.what.contains("AccessKey beside its AuthType"), "{finding:?}");
    assert_eq!(report.errors, 0, "it holds a valid key");
}

#[tokio::test]
async fn a_misspelt_setting_is_answered_with_the_one_that_may_be_meant() {
    let mut story = Story::new().await;
    let of = |name: &str, story: &Story| {
        story.config.instances[0].apps.iter().position(|app| app.id.name() == name).unwrap()
    };
    let at = of("chat-func", &story);
    story.config.instances[0].apps[at].settings = vec!["AzureSignalRConectionString".into()];
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Error, &site("chat-func"));
    let why = finding.why.as_deref().unwrap();
    assert!(why.contains("did you mean AzureSignalRConnectionString?"), "{finding:?}");
    assert_nothing_rash(&report);
}

#[tokio::test]
async fn a_mistyped_app_is_answered_with_the_one_that_may_be_meant() {
    let mut story = Story::new().await;
    leave_out(&mut story, "chat-func");
    let mistyped = site("chat-fnuc");
    story.config.instances[0].apps.push(super::common::app(mistyped.parse().unwrap()));
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Error, &mistyped);
    let fix = finding.fix.as_deref().unwrap();
    assert!(fix.contains(&format!("write {} for", site("chat-func"))), "{fix}");
    assert_nothing_rash(&report);
    // To add it beside the mistyped one is not proposed as well.
    let stranger = only(&report, Check::Unconfigured, Severity::Error, &site("chat-func"));
    assert_eq!(stranger.fix, None, "{stranger:?}");
    assert!(stranger.why.as_ref().unwrap().contains("what chat-fnuc is mistyped for"), "{stranger:?}");
}

#[tokio::test]
async fn an_app_out_of_sight_after_a_forced_regeneration_is_said_to_be_cut_off() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let cut_off = |report: &Report| {
        let of =
            |finding: &&Finding| finding.subject == site("chat-func") && finding.check == Check::Consumer;
        let said = report.findings.iter().filter(of).map(|finding| finding.what.clone());
        said.filter(|said| said.contains("cut off")).collect::<Vec<_>>()
    };
    let in_use = all_hold(&story);
    story.sim.with(|state| state.deny(&site("chat-func"), "Microsoft.Web/sites/config/list/Action"));
    assert!(cut_off(&examine(&story).await).is_empty(), "its key is valid still");
    story.force("sr-demo", &[in_use]).unwrap();
    let report = examine(&story).await;
    let said = cut_off(&report).join("\n");
    assert!(
        said.contains("very likely cut off")
            && said.contains("was last seen with a key that sr-demo no longer has"),
        "{report:#?}"
    );
    // Without the journal, the others tell.
    let forgetful = Story { store: Arc::new(MemoryStore::new(story.clock.clone())), ..story };
    let report = examine(&forgetful).await;
    let said = cut_off(&report).join("\n");
    assert!(
        said.contains("it may be cut off")
            && said.contains("other apps hold a key that sr-demo no longer has"),
        "{report:#?}"
    );
}

#[tokio::test]
async fn a_key_vault_reference_of_an_app_that_is_not_configured_may_lead_to_one() {
    let mut story = Story::new().await;
    leave_out(&mut story, "chat-func");
    let reference = "@Microsoft.KeyVault(VaultName=v;SecretName=s)";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    only(&examine(&story).await, Check::KeyVault, Severity::Warning, &site("chat-func"));
    let named = "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=signalr:chat)";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", None).unwrap();
    story.sim.edit_setting("chat-func", "Hub", Some(named)).unwrap();
    only(&examine(&story).await, Check::KeyVault, Severity::Warning, &site("chat-func"));
    story.sim.edit_setting("chat-func", "Hub", Some(reference)).unwrap();
    let report = examine(&story).await;
    let is_note = |finding: &&Finding| finding.check == Check::KeyVault && finding.severity == Severity::Note;
    let note = report.findings.iter().find(is_note).unwrap();
    assert!(note.subject == site("chat-func") && note.what.contains("Hub"), "{note:?}");
}

#[tokio::test]
async fn a_stale_consumer_is_an_error_and_rotate_repairs_it() {
    let story = Story::new().await;
    story.force("sr-demo", &[KeyType::Primary]).unwrap();
    let report = examine(&story).await;
    let found = bad(&report, Check::Consumer);
    assert_eq!(found.len(), 3, "{found:#?}");
    for finding in found {
        assert_eq!(finding.fix.as_ref().unwrap(), &format!("signalr-rekey rotate {}", instance()));
        let why = finding.why.as_ref().unwrap();
        assert!(finding.what.starts_with("stale: ") && why.contains("cut off"), "{finding:?}");
    }
    story.repair().await;
    all_hold(&story);
    assert_eq!(examine(&story).await.errors, 0);
}

#[tokio::test]
async fn an_app_that_was_seen_and_is_not_found_is_an_error() {
    let story = Story::new().await;
    story.tick().await;
    story.sim.delete_site("chat-func").unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Error, &site("chat-func"));
    assert!(finding.fix.is_none(), "nobody can tell whether it was moved: {finding:?}");
    no_other_error(&report, finding);
}

#[tokio::test]
async fn an_app_in_a_group_that_is_not_there_and_was_never_seen_is_an_error() {
    let mut story = Story::new().await;
    let elsewhere = site("chat-func").replace("rg-demo", "rg-demo-gone");
    story.config.instances[0].apps.push(super::common::app(elsewhere.parse().unwrap()));
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Error, &elsewhere);
    no_other_error(&report, finding);
}

#[tokio::test]
async fn an_app_without_a_connection_string_blocks() {
    let story = Story::new().await;
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", None).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Error, &site("chat-func"));
    assert!(finding.fix.as_ref().unwrap().contains("may_hold_none = true"), "{finding:?}");
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
    // The other is of the journal.
    assert_eq!((report.errors, report.notes), (0, 3), "{report:#?}");
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

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

/// A site in another resource group, with this value in a setting.
fn elsewhere(name: &str, value: &str) -> Site {
    let settings = [("Hub".to_owned(), value.to_owned())].into();
    Site { group: "rg-other".into(), name: name.into(), kind: "app".into(), settings, ..Site::default() }
}

#[tokio::test]
async fn an_app_in_another_group_that_holds_a_key_is_an_error_and_it_says_where_it_looked() {
    let story = Story::new().await;
    story.sim.with(|state| state.add_site(elsewhere("far", "{secondary:sr-demo}"))).unwrap();
    let report = examine(&story).await;
    let id = site("far").replace("rg-demo", "rg-other");
    let finding = only(&report, Check::Unconfigured, Severity::Error, &id);
    assert_eq!(finding.instances, [story.config.instances[0].id.clone()]);
    no_other_error(&report, finding);
    let groups: Vec<_> = report.looked.resource_groups.iter().map(String::as_str).collect();
    assert_eq!(
        groups,
        [
            &format!("{SUBSCRIPTION}/resourceGroups/rg-demo"),
            &format!("{SUBSCRIPTION}/resourceGroups/rg-other")
        ]
    );
    assert_eq!((report.looked.apps, report.looked.unread, report.looked.unlisted), (4, 0, 0));
    insta::assert_snapshot!(report.looked, @"looked at 4 apps or slots in 2 resource groups (rg-demo, rg-other) of 1 subscription (00000000-0000-0000-0000-000000000001)");
}

#[tokio::test]
async fn what_cannot_be_read_in_another_group_is_said_once_for_the_group() {
    let story = Story::new().await;
    for name in ["one", "two"] {
        story.sim.with(|state| state.add_site(elsewhere(name, "x"))).unwrap();
    }
    let group = format!("{SUBSCRIPTION}/resourceGroups/rg-other");
    story.sim.with(|state| state.deny(&group, "Microsoft.Web/sites/config/list/Action"));
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Warning, &group);
    assert!(finding.what.starts_with("one, two may hold a key of a configured service"), "{finding:?}");
    assert!(finding.fix.as_ref().unwrap().ends_with(&format!("--scope {group}")), "{finding:?}");
    assert_eq!((report.errors, report.looked.unread), (0, 2));
}

#[tokio::test]
async fn a_subscription_that_may_not_be_listed_is_said_and_a_list_that_leaves_something_out_too() {
    let story = Story::new().await;
    story.sim.fault(Fault::new("WebApps_List", FaultKind::Forbidden));
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Warning, SUBSCRIPTION);
    assert!(finding.what.starts_with("an app in another group of it may hold"), "{finding:?}");
    assert!(
        finding.fix.as_ref().unwrap().ends_with(&format!("--role Reader --scope {SUBSCRIPTION}")),
        "{finding:?}"
    );

    // The list of the group shows it, and that of the subscription does not.
    story.sim.with(|state| state.deny(&site("chat-func"), "Microsoft.Web/sites/Read"));
    let report = examine(&story).await;
    let finding = only(&report, Check::Unconfigured, Severity::Warning, SUBSCRIPTION);
    assert!(finding.what.contains("leaves out some that are there (chat-func)"), "{finding:?}");
}

/// One app that two instances name, in which one of them is.
async fn of_two() -> Story {
    let mut world = World::default();
    world.signalr.push(SignalR { group: "rg-demo".into(), name: "sr-two".into(), ..SignalR::default() });
    let mut story = Story::of(world, Options::default()).await;
    let mut apps = story.config.instances[0].apps.clone();
    apps.iter_mut().for_each(|app| app.may_hold_none = true);
    story.config.instances[1].apps = apps;
    story
}

#[tokio::test]
async fn an_app_of_two_instances_that_does_not_answer_is_one_finding() {
    let story = of_two().await;
    story.sim.fault(
        Fault::new("WebApps_ListApplicationSettings", FaultKind::ServerError).on("chat-func").times(50),
    );
    let report = examine(&story).await;
    let finding = only(&report, Check::Consumer, Severity::Error, &site("chat-func"));
    let both: Vec<_> = story.config.instances.iter().map(|instance| instance.id.clone()).collect();
    assert_eq!(finding.instances, both);
}

#[tokio::test]
async fn a_reference_of_an_app_is_told_for_the_instance_that_names_it() {
    let mut story = of_two().await;
    story.config.instances[1].apps.retain(|app| app.id.name() != "chat-func");
    let reference = "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.example.com; Key=k)";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    let report = examine(&story).await;
    let finding = only(&report, Check::KeyVault, Severity::Error, &site("chat-func"));
    assert_eq!(finding.instances, [story.config.instances[0].id.clone()]);
}

#[tokio::test]
async fn two_settings_of_an_app_are_one_line() {
    let story = Story::new().await;
    let settings = story.sim.settings("chat-func").unwrap();
    let value = &settings["AzureSignalRConnectionString"];
    story.sim.edit_setting("chat-func", "Second", Some(value)).unwrap();
    let report = examine(&story).await;
    let of_it = |finding: &&Finding| finding.check == Check::Consumer && finding.subject == site("chat-func");
    let told: Vec<&Finding> = report.findings.iter().filter(of_it).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].what.contains("AzureSignalRConnectionString") && told[0].what.contains("Second"),
        "{told:#?}"
    );
}

/// What a key-value holds is told, with whom it is sure that he has it, and what keeps it out of sight.
#[tokio::test]
async fn a_key_value_is_read_and_what_is_in_its_way_is_an_error() {
    let reference = "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=chat)";
    let mut world = World::default();
    world.app_configurations.push(AppConfiguration {
        group: "rg-demo".into(),
        name: "cs-demo".into(),
        key_values: vec![KeyValue::new("chat", None, "{primary:sr-demo}")],
        access_key: None,
    });
    let id = "https://cs-demo.azconfig.io/kv/chat";
    let story = Story::of(world, Options::default()).await;
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    let of = |report: &Report, subject: &str, says: &str| {
        let told = |finding: &&Finding| finding.subject == subject && finding.what.contains(says);
        report.findings.iter().filter(told).count()
    };
    assert_eq!(of(&report, id, "the Primary key of sr-demo"), 1, "{report:#?}");
    assert_eq!(of(&report, &site("chat-func"), "not on record in which state"), 1, "{report:#?}");
    story.watch(DAY).await;
    let report = examine(&story).await;
    assert_eq!(of(&report, &site("chat-func"), "in its present state"), 1, "{report:#?}");
    for locked in [true, false] {
        story.sim.with(|state| state.lock_key_value("cs-demo", "chat", None, locked)).unwrap();
    }
    let report = examine(&story).await;
    assert_eq!(of(&report, &site("chat-func"), "was changed after"), 1, "{report:#?}");
    story.tick().await;

    let read = "Microsoft.AppConfiguration/configurationStores/keyValues/read";
    story.sim.with(|state| state.deny("/", read));
    let report = examine(&story).await;
    let told = report.findings.iter().find(|finding| finding.subject == id).unwrap();
    assert_eq!((told.check, told.severity), (Check::AppConfiguration, Severity::Error));
    assert!(told.what.contains(read), "{told:?}");
    let fix = told.fix.as_deref().unwrap();
    assert!(fix.contains("App Configuration Data Owner") && fix.contains("--name cs-demo "), "{fix}");
    story.sim.with(State::allow_all);

    story.sim.with(|state| state.lock_key_value("cs-demo", "chat", None, true)).unwrap();
    let report = examine(&story).await;
    assert_eq!(of(&report, id, "is locked"), 1, "{report:#?}");
    let told =
        report.findings.iter().find(|one| one.subject == id && one.what.contains("is locked")).unwrap();
    assert_eq!(
        told.fix.as_deref(),
        Some("az appconfig kv unlock --name cs-demo --key chat --yes"),
        "{told:?}"
    );
}

/// What a write to a vault or store needs is a right of its data plane, which ARM tells of as of any other.
#[tokio::test]
async fn the_right_to_write_secrets_and_key_values_is_judged_without_a_write() {
    let (set, list, put) = (
        "Microsoft.KeyVault/vaults/secrets/setSecret/action",
        "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        "Microsoft.AppConfiguration/configurationStores/keyValues/write",
    );
    let mut world = World::default();
    let secrets = [("signalr".to_owned(), Secret::new("{primary:sr-demo}"))].into();
    world.vaults.push(Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets });
    world.app_configurations.push(AppConfiguration {
        group: "rg-demo".into(),
        name: "cs-demo".into(),
        key_values: vec![KeyValue::new("chat", None, "{primary:sr-demo}")],
        access_key: None,
    });
    let story = Story::of(world, Options::default()).await;
    let secret = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=signalr)";
    let key_value = "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=chat)";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(secret)).unwrap();
    story.sim.edit_setting("chat-web", "Azure__SignalR__ConnectionString", Some(key_value)).unwrap();
    let subjects = [
        (
            "https://kv-demo.vault.azure.net/secrets/signalr",
            set,
            "vaults/kv-demo",
            "Key Vault Secrets Officer",
        ),
        (
            "https://kv-demo.vault.azure.net/secrets/signalr",
            list,
            "vaults/kv-demo",
            "Key Vault Secrets Officer",
        ),
        (
            "https://cs-demo.azconfig.io/kv/chat",
            put,
            "configurationStores/cs-demo",
            "App Configuration Data Owner",
        ),
    ];
    let judged = |report: &Report, subject: &str| {
        let is = |one: &&Finding| one.subject == subject && one.check == Check::Permission;
        // The worst comes first.
        report.findings.iter().find(is).cloned().unwrap_or_else(|| panic!("{subject}: {report:#?}"))
    };
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    for (subject, action, ..) in subjects {
        let granted = judged(&report, subject);
        assert_eq!(granted.severity, Severity::Ok, "{granted:?}");
        assert!(granted.what.contains(&format!("{action} is granted")), "{granted:?}");
    }
    for (subject, action, scope, role) in subjects {
        story.sim.with(|state| state.deny("/", action));
        let denied = judged(&examine(&story).await, subject);
        assert_eq!(denied.severity, Severity::Error, "{denied:?}");
        assert!(denied.what.contains(action) && denied.fix.as_ref().unwrap().contains(role), "{denied:?}");
        story.sim.with(State::allow_all);
        // Where it is cannot be found out: so it is said that nobody tried.
        story.sim.with(|state| state.deny("/", "Microsoft.Resources/subscriptions/resources/read"));
        let untold = judged(&examine(&story).await, subject);
        assert_eq!(untold.severity, Severity::Warning, "{untold:?}");
        assert!(untold.what.contains(&format!("{action} was not tried")), "{untold:?}");
        let name = scope.rsplit('/').next().unwrap();
        assert!(untold.fix.as_ref().unwrap().contains(name), "{untold:?}");
        story.sim.with(State::allow_all);
    }
    // A vault that goes by access policies grants nothing by roles.
    for action in [set, list] {
        story.sim.with(|state| {
            let action = action.to_owned();
            state.deny_by(Denial { scope: "/".into(), action, by: DeniedBy::AccessPolicy, app: None });
        });
        let denied = judged(&examine(&story).await, subjects[0].0);
        assert_eq!(denied.severity, Severity::Error, "{denied:?}");
        assert!(denied.what.contains(action), "{denied:?}");
        assert!(
            denied.fix.as_ref().unwrap().starts_with("az keyvault set-policy --name kv-demo "),
            "{denied:?}"
        );
        story.sim.with(State::allow_all);
    }
    assert_eq!(story.requests("KeyVault_SetSecret") + story.requests("AppConfiguration_PutKeyValue"), 0);
}

/// What a secret holds is told, and what keeps it, or an app that refers to it, out of sight.
#[tokio::test]
async fn a_secret_is_read_and_what_is_in_its_way_is_an_error() {
    let reference = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=signalr)";
    let mut world = World::default();
    let secret = Secret::new("{primary:sr-demo}");
    world.vaults.push(Vault {
        group: "rg-demo".into(),
        name: "kv-demo".into(),
        secrets: [("signalr".to_owned(), secret)].into(),
    });
    let id = "https://kv-demo.vault.azure.net/secrets/signalr";
    let story = Story::of(world, Options::default()).await;
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    let told =
        |finding: &&Finding| finding.subject == id && finding.what.contains("the Primary key of sr-demo");
    assert_eq!(report.findings.iter().filter(told).count(), 1, "{report:#?}");

    story.sim.with(|state| state.deny("/", "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    let report = examine(&story).await;
    let of_secret = report.findings.iter().find(|finding| finding.subject == id).unwrap();
    assert_eq!((of_secret.check, of_secret.severity), (Check::KeyVault, Severity::Error));
    assert!(of_secret.what.contains("getSecret/action"), "{of_secret:?}");
    story.sim.with(State::allow_all);

    story.sim.with(|state| state.deny("/", "Microsoft.Web/sites/config/Read"));
    let report = examine(&story).await;
    let finding = only(&report, Check::KeyVault, Severity::Error, &site("chat-func"));
    assert!(finding.what.contains("Microsoft.Web/sites/config/Read"), "{finding:?}");
    let lacks = only(&report, Check::Permission, Severity::Error, &site("chat-func"));
    assert!(lacks.what.contains("may not do Microsoft.Web/sites/config/Read"), "{lacks:?}");
    for fix in [finding, lacks].map(|one| one.fix.as_deref().unwrap_or_default()) {
        assert!(fix.contains("az role definition create") && fix.contains("sites/config/Read"), "{fix}");
    }
}

/// Where the identity of an app is what keeps a secret from it, the command gives that identity what it lacks.
#[tokio::test]
async fn an_identity_that_may_not_read_a_secret_is_given_what_it_lacks() {
    let reference = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=signalr)";
    let mut world = World::default();
    let secrets = [("signalr".to_owned(), Secret::new("{primary:sr-demo}"))].into();
    world.vaults.push(Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets });
    let story = Story::of(world, Options::default()).await;
    for app in ["chat-func", "chat-web/staging"] {
        story.sim.edit_setting(app, "AzureSignalRConnectionString", Some(reference)).unwrap();
    }
    story.sim.edit_setting("chat-web/staging", "Azure__SignalR__ConnectionString", None).unwrap();
    let user = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-chat");
    let role = |principal: &str| {
        format!(
            "az role assignment create --assignee-object-id \"$({principal} --query principalId --output tsv)\" \
             --assignee-principal-type ServicePrincipal --role 'Key Vault Secrets User' \
             --scope \"$(az keyvault show --name kv-demo --query id --output tsv)/secrets/signalr\""
        )
    };
    let of_slot = format!("--ids {} --slot staging", site("chat-web"));
    let of_site = format!("--ids {}", site("chat-func"));
    let own = |of: &str| role(&format!("az webapp identity show {of}"));
    let assigned = role(&format!("az identity show --ids {user}"));
    let give = |of: &str, which: &str| format!("az webapp identity assign {of}{which}");
    let denied = |system, has: bool, wants: bool| {
        let user: Vec<String> = has.then(|| user.clone()).into_iter().collect();
        SiteIdentity {
            system,
            references: wants.then(|| {
                format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-chat")
            }),
            user,
        }
    };
    for (app, of, identity, status, fix) in [
        ("chat-func", &of_site, denied(true, false, false), "AccessToKeyVaultDenied", own(&of_site)),
        ("chat-func", &of_site, denied(true, true, true), "AccessToKeyVaultDenied", assigned.clone()),
        (
            "chat-func",
            &of_site,
            denied(false, false, false),
            "MSINotEnabled",
            format!("{} && {}", give(&of_site, ""), own(&of_site)),
        ),
        (
            "chat-func",
            &of_site,
            denied(true, false, true),
            "MSINotEnabled",
            format!("{} && {assigned}", give(&of_site, &format!(" --identities {user}"))),
        ),
        ("chat-web/staging", &of_slot, denied(true, false, false), "AccessToKeyVaultDenied", own(&of_slot)),
    ] {
        if status == "AccessToKeyVaultDenied" {
            let action = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
            story.sim.with(|state| state.deny_app(app, "/", action));
        }
        story.sim.with(|state| state.identify(app, identity.clone())).unwrap();
        let report = examine(&story).await;
        let id = if app == "chat-func" { site(app) } else { format!("{}/slots/staging", site("chat-web")) };
        let finding = only(&report, Check::KeyVault, Severity::Error, &id);
        assert!(finding.what.contains(status), "{of} {finding:?}");
        assert_eq!(finding.fix.as_deref(), Some(fix.as_str()), "{identity:?}");
        story.sim.with(State::allow_all);
        story.sim.with(|state| state.identify(app, SiteIdentity::default())).unwrap();
    }
    assert_eq!(bad(&examine(&story).await, Check::KeyVault).len(), 0);
}

/// Each refusal of a vault has the command that ends it.
#[tokio::test]
async fn what_a_vault_refuses_has_a_command_of_its_own() {
    let reference = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=signalr)";
    let mut world = World::default();
    let mut secret = Secret::new("{primary:sr-demo}");
    secret.exp = Some(1);
    let secrets = [("signalr".to_owned(), secret)].into();
    world.vaults.push(Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets });
    let mut story = Story::of(world, Options::default()).await;
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    let id = "https://kv-demo.vault.azure.net/secrets/signalr";
    let report = examine(&story).await;
    let expired = report.findings.iter().find(|one| one.subject == id && one.severity == Severity::Warning);
    assert!(expired.is_some_and(|one| one.what.contains("expired on 1970-01-01")), "{report:#?}");

    type Change = fn(&mut State);
    let cases: [(Change, Change, Option<&str>); 6] = [
        (
            |state| state.deny("/", "Microsoft.KeyVault/vaults/secrets/getSecret/action"),
            State::allow_all,
            Some(
                "--role 'Key Vault Secrets Officer' --scope \"$(az keyvault show --name kv-demo --query id --output tsv)/secrets/signalr\"",
            ),
        ),
        (
            |state| {
                let action = "Microsoft.KeyVault/vaults/secrets/getSecret/action".to_owned();
                state.deny_by(Denial { scope: "/".into(), action, by: DeniedBy::AccessPolicy, app: None });
            },
            State::allow_all,
            Some("az keyvault set-policy --name kv-demo --object-id "),
        ),
        (
            |state| state.bar("/", BarrierKind::VaultFirewall),
            State::lift_barriers,
            Some("az keyvault network-rule add --name kv-demo --subnet \"$(az webapp show --ids "),
        ),
        (|state| state.bar("/", BarrierKind::VaultPrivate), State::lift_barriers, None),
        (
            |state| state.enable_secret("kv-demo", "signalr", None, false).unwrap(),
            |state| state.enable_secret("kv-demo", "signalr", None, true).unwrap(),
            Some("az keyvault secret set-attributes --vault-name kv-demo --name signalr --enabled true"),
        ),
        (
            |state| state.delete_secret("kv-demo", "signalr").unwrap(),
            |state| state.recover_secret("kv-demo", "signalr").unwrap(),
            Some("recover --vault-name kv-demo --name signalr # if it was deleted; if its name is mistyped"),
        ),
    ];
    story.config.own_site = Some("chat-func".into());
    let environment = [
        SCHEDULE,
        ("WEBSITE_SITE_NAME", "chat-func"),
        ("WEBSITE_OWNER_NAME", "00000000-0000-0000-0000-000000000001+rg-demo-EastUSwebspace"),
        ("WEBSITE_RESOURCE_GROUP", "rg-demo"),
    ];
    for (change, undo, fix) in cases {
        story.sim.with(change);
        let report = examine_in(&story, &environment, true).await;
        let of_secret = |one: &&Finding| one.subject == id && one.severity == Severity::Error;
        let finding = report.findings.iter().find(of_secret).unwrap();
        let told = finding.fix.as_deref();
        assert_eq!(told.is_some(), fix.is_some(), "{finding:?}");
        assert!(told.zip(fix).is_none_or(|(told, fix)| told.contains(fix)), "{finding:?}");
        story.sim.with(undo);
    }
}

/// Service Connector tells who was given a key, though the app's settings may show none.
#[tokio::test]
async fn an_app_that_service_connector_linked_and_nobody_configured_is_an_error() {
    let link = |name: &str, app: &str, auth: &str| Connector {
        name: name.into(),
        app: app.into(),
        service: "sr-demo".into(),
        auth: auth.into(),
    };
    let mut world = World::default();
    let site = |name: &str| Site { group: "rg-demo".into(), name: name.into(), ..Site::default() };
    world.sites.extend([site("chat-jobs"), site("chat-admin")]);
    world.container_apps.push(embedded_azure::ContainerApp {
        group: "rg-demo".into(),
        name: "chat-api".into(),
        ..embedded_azure::ContainerApp::default()
    });
    world.connectors = vec![
        link("signalr_1", "chat-jobs", "secret"),
        link("signalr_2", "chat-admin", "systemAssignedIdentity"),
        link("signalr_3", "containerApps/chat-api", "secret"),
        link("signalr_4", "chat-web", "secret"),
    ];
    let story = Story::of(world, Options::default()).await;
    let report = examine(&story).await;
    let jobs = super::site("chat-jobs");
    let api = format!("{GROUP}/providers/Microsoft.App/containerApps/chat-api");
    for (id, list, name) in [(&jobs, "apps", "signalr_1"), (&api, "container_apps", "signalr_3")] {
        let found = report.findings.iter().find(|one| one.subject == *id && one.severity == Severity::Error);
        let found = found.unwrap_or_else(|| panic!("{id}: {report:#?}"));
        assert!(found.check == Check::Unconfigured && found.what.contains(name), "{found:?}");
        assert!(found.fix.as_ref().unwrap().contains(&format!("add \"{id}\" to the {list} of")), "{found:?}");
    }
    assert_eq!(report.errors, 2, "{report:#?}");

    story.sim.with(|state| state.deny("/", "Microsoft.ServiceLinker/linkers/read"));
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    let untold = report.findings.iter().find(|one| one.what.contains("whether Service Connector")).unwrap();
    assert!(untold.severity == Severity::Note && untold.what.contains("chat-jobs"), "{untold:?}");
    story.sim.with(State::allow_all);

    let arm = story.rekey().arm;
    let scope = signalr_rekey::init::Scope::find(&arm, None, None).await.unwrap();
    let text =
        signalr_rekey::init::write(&signalr_rekey::init::Found::look(&arm, scope).await.unwrap()).unwrap();
    let file = signalr_rekey::config::load_from(&text, "rekey.toml", &Default::default()).unwrap();
    let named: Vec<String> = file.instances[0].consumers().map(|one| one.to_string()).collect();
    assert!(named.contains(&jobs) && named.contains(&api), "{text}");
    assert!(!named.contains(&super::site("chat-admin")), "{text}");
    assert!(text.contains("  # Service Connector's link signalr_1 leads to the service, by a key"), "{text}");
}
