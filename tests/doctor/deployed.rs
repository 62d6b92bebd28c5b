//! `--as-deployed`: the platform's settings. The embedded Azure is on loopback, so that is found every time.

use embedded_azure::{Fault, FaultKind, Options, SiteAuthentication, World};
use signalr_rekey::config::metrics;
use signalr_rekey::doctor::{Check, Finding, Report, Severity};

use super::common::Story;
use super::{SCHEDULE, bad, examine_in, site};

/// A function app in which everything is in order.
const GOOD: [(&str, &str); 8] = [
    SCHEDULE,
    ("IDENTITY_ENDPOINT", "http://169.254.1.1/msi/token"),
    ("WEBSITE_SITE_NAME", "chat-func"),
    ("WEBSITE_OWNER_NAME", "00000000-0000-0000-0000-000000000001+rg-demo-EastUSwebspace"),
    ("WEBSITE_RESOURCE_GROUP", "rg-demo"),
    ("FUNCTIONS_WORKER_RUNTIME", "custom"),
    ("AzureWebJobsStorage", "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5"),
    ("AZURE_CLIENT_ID", "8c8d3d7d-0000-0000-0000-000000000000"),
];

async fn deployed(change: impl Fn(&str) -> Option<&'static str>) -> Report {
    let mut story = Story::new().await;
    let environment: Vec<(&str, &str)> = GOOD
        .into_iter()
        .map(|(name, value)| (name, change(name).unwrap_or(value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let get =
        |wanted| environment.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
    story.config.own_site = get("WEBSITE_SITE_NAME");
    story.config.azure.client_id = get("AZURE_CLIENT_ID");
    examine_in(&story, &environment, true).await
}

fn of(report: &Report, name: &str) -> Option<(Severity, Option<String>)> {
    let findings = report.findings.iter();
    let mut found = findings.filter(|finding| finding.subject == name);
    found.next().map(|finding| (finding.severity, finding.fix.clone()))
}

#[tokio::test]
async fn in_a_good_function_app_all_is_well() {
    let report = deployed(|_| None).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    let own = report.findings.iter().find(|finding| finding.what.contains("runs in this app")).unwrap();
    assert_eq!((own.severity, &own.subject), (Severity::Note, &site("chat-func")));
}

#[tokio::test]
async fn each_setting_that_is_wrong_is_found_and_repaired_in_the_own_app() {
    for (name, value, what) in [
        ("IDENTITY_ENDPOINT", "", "az functionapp identity assign --ids "),
        ("FUNCTIONS_WORKER_RUNTIME", "node", "FUNCTIONS_WORKER_RUNTIME=custom"),
        ("FUNCTIONS_WORKER_RUNTIME", "", "FUNCTIONS_WORKER_RUNTIME=custom"),
        ("ROTATION_SCHEDULE", "", "'ROTATION_SCHEDULE=0 */5 * * * *'"),
        ("ROTATION_SCHEDULE", "0 0 0 L * *", "'ROTATION_SCHEDULE=0 */5 * * * *'"),
    ] {
        let report = deployed(|setting| (setting == name).then_some(value)).await;
        let (severity, fix) = of(&report, name).unwrap();
        let fix = fix.unwrap();
        assert_eq!((severity, report.errors), (Severity::Error, 1), "{name}: {report:#?}");
        assert!(fix.contains(what) && fix.contains(&format!("--ids {}", site("chat-func"))), "{fix}");
    }
    for value in ["", "UseDevelopmentStorage=true"] {
        let report = deployed(|setting| (setting == "AzureWebJobsStorage").then_some(value)).await;
        assert_eq!(of(&report, "AzureWebJobsStorage").unwrap().0, Severity::Error, "{value}");
    }
}

/// The app itself behind App Service authentication that lets these paths through.
async fn authenticated(required: bool, action: &str, excluded: &[&str]) -> Report {
    let mut world = World::default();
    let own = world.sites.iter_mut().find(|site| site.name == "chat-func").unwrap();
    own.authentication = Some(SiteAuthentication {
        require_authentication: required,
        unauthenticated_client_action: action.into(),
        excluded_paths: excluded.iter().map(ToString::to_string).collect(),
    });
    let mut story = Story::of(world, Options::default()).await;
    story.config.own_site = Some("chat-func".into());
    examine_in(&story, &GOOD, true).await
}

fn of_authentication(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.what.contains("App Service authentication")).collect()
}

#[tokio::test]
async fn a_sign_in_that_is_asked_of_event_grid_too_is_an_error() {
    let all = ["/runtime/webhooks/EventGrid", "/api/OnAlert", "/api/OnReport"];
    for (excluded, closed) in [
        (&[][..], &all[..]),
        (&["/health"], &all[..]),
        // The start of a path is no path.
        (&["/runtime", "/api/OnAlert", "/api/OnReport"], &all[..1]),
        (&["/runtime/webhooks/*"], &all[1..]),
    ] {
        let report = authenticated(true, "RedirectToLoginPage", excluded).await;
        let found = of_authentication(&report);
        let [found] = found[..] else { panic!("{found:#?}") };
        assert_eq!((found.severity, &found.subject), (Severity::Error, &site("chat-func")));
        let what = format!("App Service authentication asks for a sign-in at {}", closed.join(", "));
        assert_eq!(found.what, what);
        let paths = [excluded, closed].concat().join(",");
        let fix = found.fix.as_ref().unwrap();
        assert!(fix.starts_with(&format!("az webapp auth update --ids {}", site("chat-func"))), "{fix}");
        assert!(
            fix.contains(&format!("--excluded-paths {paths}")) || fix.contains(&format!("'{paths}'")),
            "{fix}"
        );
    }
    for (required, action, excluded) in [
        (true, "Return401", &all[..]),
        (true, "Return401", &["/RUNTIME/webhooks/*", "/api/*"]),
        (false, "Return401", &[]),
        (true, "AllowAnonymous", &[]),
    ] {
        let report = authenticated(required, action, excluded).await;
        assert_eq!(of_authentication(&report)[0].severity, Severity::Ok, "{required} {action} {excluded:?}");
    }
}

#[tokio::test]
async fn authentication_that_cannot_be_read_is_noted_and_none_is_well() {
    assert_eq!(of_authentication(&deployed(|_| None).await)[0].severity, Severity::Ok);
    let mut story = Story::new().await;
    story.config.own_site = Some("chat-func".into());
    story.sim.fault(Fault::new("WebApps_GetAuthSettingsV2WithoutSecrets", FaultKind::Forbidden));
    let report = examine_in(&story, &GOOD, true).await;
    let found = of_authentication(&report);
    assert_eq!((found.len(), found[0].severity), (1, Severity::Note), "{found:#?}");
    assert!(found[0].what.contains("was not checked"), "{found:#?}");
    assert!(story.sim.waiting().is_empty());
}

#[tokio::test]
async fn a_duration_is_repaired_where_it_comes_from() {
    let mut story = Story::new().await;
    story.config.own_site = Some("chat-func".into());
    story.config.instances[0].policy.grace = std::time::Duration::from_secs(60);
    let from_setting = [&GOOD[..], &[("REKEY_GRACE", "1m")]].concat();
    for (environment, wanted) in
        [(&from_setting[..], "--settings REKEY_GRACE=2h30m"), (&GOOD, "set grace = \"2h30m\" in")]
    {
        let report = examine_in(&story, environment, true).await;
        let found = bad(&report, Check::Durations);
        assert!(found[0].fix.as_ref().unwrap().contains(wanted), "{found:#?}");
    }
}

#[tokio::test]
async fn what_is_not_of_the_platform_is_told() {
    let report =
        deployed(|setting| ["WEBSITE_SITE_NAME", "AZURE_CLIENT_ID"].contains(&setting).then_some("")).await;
    assert_eq!(of(&report, "WEBSITE_SITE_NAME").unwrap().0, Severity::Warning);
    assert_eq!(of(&report, "AZURE_CLIENT_ID").unwrap().0, Severity::Note);
}

#[tokio::test]
async fn the_embedded_azure_is_no_azure_to_be_deployed_to() {
    let mut story = Story::new().await;
    story.config.azure.resource_manager = story.sim.base().parse().unwrap();
    story.config.own_site = Some("chat-func".into());
    let report = examine_in(&story, &GOOD, true).await;
    let found = bad(&report, Check::Environment);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].fix.as_ref().unwrap().ends_with("--setting-names REKEY_RESOURCE_MANAGER"));
}

/// Each variable that is wrong is told under its own name, and what is in order under that of the endpoint.
#[tokio::test]
async fn where_metrics_go_is_told_and_each_variable_that_is_wrong() {
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let wrong = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_SDK_DISABLED", "yes")];
    for (more, severity, told) in [
        (
            &[][..],
            Severity::Ok,
            &[(ENDPOINT, "exported to https://collector.example:4318, which was not tried")][..],
        ),
        (
            &wrong,
            Severity::Warning,
            &[
                (wrong[0].0, "no metrics are exported: grpc is not spoken"),
                (wrong[1].0, "write true or false"),
            ],
        ),
    ] {
        let mut story = Story::new().await;
        let environment =
            [&[(ENDPOINT, "https://user:s3cret@collector.example:4318/s3cret?s3cret")], more].concat();
        story.config.metrics = metrics::read(&environment.into_iter().collect());
        let report = examine_in(&story, &GOOD, true).await;
        let found: Vec<_> = report.findings.iter().filter(|one| one.subject.starts_with("OTEL_")).collect();
        assert_eq!(found.len(), told.len(), "{found:#?}");
        for (name, what) in told {
            let finding = found.iter().find(|finding| finding.subject == *name).unwrap();
            assert!(finding.severity == severity && finding.what.contains(what), "{finding:#?}");
        }
        assert!(!serde_json::to_string(&report).unwrap().contains("s3cret"));
    }
}
