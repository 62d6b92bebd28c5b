//! Container apps and static web apps.

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
