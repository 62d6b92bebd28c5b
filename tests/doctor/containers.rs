//! Container apps and static web apps.

use std::collections::{BTreeMap, BTreeSet};

use embedded_azure::{
    ContainerApp, ContainerJob, ContainerSecret, Options, State, StaticEnvironment, StaticWebApp, World,
};
use rekey_core::model::KeyType;
use signalr_rekey::config::{Environment, load_from};
use signalr_rekey::doctor::{Check, Finding, Severity};
use signalr_rekey::init::{Found, Scope, write};

use super::common::{MINUTE, Story};
use super::{GROUP, examine, instance};
use rekey_core::intent::Intent;

fn world() -> World {
    let secret = || ContainerSecret::Value("{primary:sr-demo}".into());
    let setting = || ("AzureSignalRConnectionString".to_owned(), "{primary:sr-demo}".to_owned());
    let app = ContainerApp {
        group: "rg-demo".into(),
        name: "chat-api".into(),
        secrets: [("signalr".to_owned(), secret())].into(),
        replicas: 1,
        ..ContainerApp::default()
    };
    let job = ContainerJob {
        group: "rg-demo".into(),
        name: "nightly".into(),
        secrets: [("signalr".to_owned(), secret())].into(),
        ..ContainerJob::default()
    };
    let other = ContainerApp { name: "other".into(), secrets: [].into(), ..app.clone() };
    let preview = StaticEnvironment { settings: [setting()].into(), function_settings: None };
    let pages = StaticWebApp {
        group: "rg-demo".into(),
        name: "chat-pages".into(),
        environments: [("12".to_owned(), preview)].into(),
        ..StaticWebApp::default()
    };
    World {
        container_apps: vec![app, other],
        container_jobs: vec![job],
        static_web_apps: vec![pages],
        ..World::default()
    }
}

fn ids() -> [String; 3] {
    [
        "Microsoft.App/containerApps/chat-api",
        "Microsoft.App/jobs/nightly",
        "Microsoft.Web/staticSites/chat-pages",
    ]
    .map(|id| format!("{GROUP}/providers/{id}"))
}

/// A rotation would cut them off: whoever is there, holds a key and is not configured is an error with the line to add; who holds
/// none is not told.
#[tokio::test]
async fn who_holds_a_key_and_is_not_configured_is_found() {
    let mut story = Story::of(world(), Options::default()).await;
    let service = &mut story.config.instances[0];
    service.container_apps.clear();
    service.static_web_apps.clear();
    let report = examine(&story).await;
    assert_eq!(report.errors, 3, "{report:#?}");
    for id in ids() {
        let mut of_it = report.findings.iter().filter(|finding| finding.subject == id);
        let found = of_it.next().unwrap_or_else(|| panic!("{id}: {report:#?}"));
        assert!((found.check, found.severity) == (Check::Unconfigured, Severity::Error), "{found:?}");
        let list = if id.contains("Microsoft.App") { "container_apps" } else { "static_web_apps" };
        assert!(found.fix.as_ref().unwrap().contains(&format!("add \"{id}\" to the {list} of")), "{found:?}");
    }
    assert!(!report.findings.iter().any(|finding| finding.subject.ends_with("/other")), "{report:#?}");
}

/// Azure refuses a second role of a name.
#[tokio::test]
async fn roles_that_allow_other_things_have_other_names() {
    let story = Story::of(world(), Options::default()).await;
    story.sim.with(|state| {
        for right in ["write", "read", "Read", "Write", "regeneratekey/action"] {
            for kind in ["Microsoft.App/containerApps", "Microsoft.App/jobs", "Microsoft.Web/sites/config"] {
                state.deny("/", &format!("{kind}/{right}"));
            }
            state.deny("/", &format!("Microsoft.SignalRService/SignalR/{right}"));
        }
        state.deny("/", "Microsoft.App/managedEnvironments/join/action");
        state.deny("/", "Microsoft.Web/staticSites/builds/config/write");
    });
    let report = examine(&story).await;
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for fix in report.findings.iter().filter_map(|finding| finding.fix.as_ref()) {
        for role in fix.split("az role definition create --role-definition '").skip(1) {
            let role: serde_json::Value =
                serde_json::Deserializer::from_str(role).into_iter().next().unwrap().unwrap();
            let name = role["Name"].as_str().unwrap().to_owned();
            roles.entry(name).or_default().insert(role["Actions"].to_string());
        }
    }
    assert!(roles.keys().any(|name| name.contains(" jobs ")), "{roles:#?}");
    assert!(roles.len() >= 5 && roles.values().all(|actions| actions.len() == 1), "{roles:#?}");
}

#[tokio::test]
async fn each_is_read_and_each_right_of_it_is_judged() {
    let story = Story::of(world(), Options::default()).await;
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    for id in ids() {
        let of_it = || report.findings.iter().filter(|finding| finding.subject == id);
        assert!(of_it().any(|one| one.what.contains("the Primary key of sr-demo")), "{id}: {report:#?}");
        let rights = of_it().find(|one| one.check == Check::Permission).unwrap();
        assert!(rights.severity == Severity::Ok, "{rights:?}");
        assert!(rights.what.contains(" was allowed") && rights.what.contains(" is granted"), "{rights:?}");
    }
    for (action, subject) in [
        ("Microsoft.App/containerApps/write", &ids()[0]),
        ("Microsoft.App/containerApps/revisions/restart/action", &ids()[0]),
        ("Microsoft.App/jobs/write", &ids()[1]),
        ("Microsoft.Web/staticSites/builds/config/write", &ids()[2]),
    ] {
        story.sim.with(|state| state.deny("/", action));
        let report = examine(&story).await;
        let is = |finding: &&Finding| finding.severity == Severity::Error && finding.what.contains(action);
        let finding = report.findings.iter().find(is).unwrap_or_else(|| panic!("{action}: {report:#?}"));
        assert_eq!((&finding.subject, finding.check), (subject, Check::Permission));
        let fix = finding.fix.as_ref().unwrap();
        assert!(
            fix.contains("az role definition create") && fix.contains(action) && fix.contains(subject),
            "{fix}"
        );
        story.sim.with(State::allow_all);
    }
    let action = "Microsoft.App/containerApps/listSecrets/action";
    story.sim.with(|state| state.deny("/", action));
    let report = examine(&story).await;
    let is = |finding: &&Finding| finding.check == Check::Consumer && finding.severity == Severity::Error;
    let finding = report.findings.iter().find(is).unwrap();
    assert!(finding.subject == ids()[0] && finding.what.contains(action), "{finding:?}");
}

#[tokio::test]
async fn who_is_stale_is_an_error_and_rotate_repairs_it() {
    let story = Story::of(world(), Options::default()).await;
    story.force("sr-demo", &[KeyType::Primary]).unwrap();
    let report = examine(&story).await;
    for id in ids() {
        let is = |finding: &&Finding| finding.subject == id && finding.severity == Severity::Error;
        let finding = report.findings.iter().find(is).unwrap_or_else(|| panic!("{id}: {report:#?}"));
        assert!(finding.what.starts_with("stale: "), "{finding:?}");
        assert_eq!(finding.fix.as_ref().unwrap(), &format!("signalr-rekey rotate {}", instance()));
    }
    story.run(Intent::check(), 9 * MINUTE).await;
    assert_eq!(examine(&story).await.errors, 0);
}

#[tokio::test]
async fn init_names_those_that_hold_a_key_and_no_others() {
    let story = Story::of(world(), Options::default()).await;
    let arm = story.rekey().arm;
    for group in [None, Some("rg-demo")] {
        let scope = Scope::find(&arm, group, None).await.unwrap();
        let text = write(&Found::look(&arm, scope).await.unwrap()).unwrap();
        assert!(text.contains("secret signalr holds the Primary key"), "{text}");
        let config = load_from(&text, "rekey.toml", &Environment::default()).unwrap();
        let consumers = |config: &signalr_rekey::config::Config| {
            let mut all: Vec<String> = config.instances[0].consumers().map(|one| one.to_string()).collect();
            all.sort();
            all
        };
        assert_eq!(consumers(&config), consumers(&story.config), "{text}");
    }
    story.sim.with(|state| state.deny("/", "Microsoft.App/jobs/read"));
    let found = Found::look(&arm, Scope::find(&arm, None, None).await.unwrap()).await.unwrap();
    assert!(found.summary().iter().any(|line| line.contains("a job of Container Apps in")), "{found:?}");
}

/// Nothing of it may be done, and not even what is granted is told: each line says the same of it, and has the command.
#[tokio::test]
async fn who_is_denied_altogether_is_told_without_contradiction_and_with_the_command() {
    let story = Story::of(world(), Options::default()).await;
    for (at, action) in [(1, "Microsoft.App/jobs/listSecrets/action"), (2, "Microsoft.Web/staticSites/")] {
        let id = &ids()[at];
        story.sim.with(|state| state.deny(id, "*"));
        let report = examine(&story).await;
        let of_it: Vec<&Finding> = report.findings.iter().filter(|one| one.subject == *id).collect();
        let read = of_it.iter().find(|one| one.check == Check::Consumer).unwrap();
        assert!(read.severity == Severity::Error && read.what.contains(action), "{read:?}");
        let fix = read.fix.as_deref().unwrap_or_else(|| panic!("{read:?}"));
        assert!(fix.contains("az role definition create") && fix.contains(action), "{fix}");
        let denied =
            of_it.iter().find(|one| one.check == Check::Permission && one.severity == Severity::Error);
        let denied = denied.unwrap_or_else(|| panic!("{of_it:#?}"));
        assert!(denied.what.contains("may not do ") && denied.what.contains(action), "{denied:?}");
        assert_eq!(denied.fix, read.fix);
        // What was refused is not said to be beyond trying, nor that it was allowed.
        let refused = denied.what.split("may not do ").nth(1).unwrap().split(';').next().unwrap();
        for other in of_it.iter().filter(|one| one.severity != Severity::Error) {
            assert!(!other.what.contains(&format!("{refused} is")), "{other:?}");
            assert!(!other.what.contains("was allowed"), "{other:?}");
        }
        story.sim.with(State::allow_all);
    }
}

/// A write of a container app needs a right on the environment that it is in, which a role on the app does not give.
#[tokio::test]
async fn the_right_to_join_the_environment_is_judged_there() {
    let story = Story::of(world(), Options::default()).await;
    let environment = format!("{GROUP}/providers/Microsoft.App/managedEnvironments/environment");
    let action = "Microsoft.App/managedEnvironments/join/action";
    let report = examine(&story).await;
    let granted = report.findings.iter().find(|one| one.subject == environment);
    let granted = granted.unwrap_or_else(|| panic!("{report:#?}"));
    assert!(granted.severity == Severity::Ok && granted.what.contains(action), "{granted:?}");

    story.sim.with(|state| state.deny(&environment, action));
    let report = examine(&story).await;
    let finding = report.findings.iter().find(|one| one.subject == environment).unwrap();
    assert_eq!((finding.check, finding.severity), (Check::Permission, Severity::Error), "{finding:?}");
    let fix = finding.fix.as_deref().unwrap();
    assert!(fix.contains(action) && fix.ends_with(&format!("--scope {environment}")), "{fix}");

    story.sim.with(|state| state.deny(&environment, "Microsoft.Authorization/permissions/read"));
    let report = examine(&story).await;
    let finding = report.findings.iter().find(|one| one.subject == environment).unwrap();
    assert_eq!(finding.severity, Severity::Warning, "{finding:?}");
    assert!(finding.what.contains("was not tried"), "{finding:?}");
    let fix = finding.fix.as_deref().unwrap();
    assert!(fix.starts_with("az role assignment list ") && fix.contains(&environment), "{fix}");
}
