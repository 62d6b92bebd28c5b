//! What the function app finds at the first timer's run of a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use embedded_azure::{Fault, FaultKind};
use serde_json::json;
use signalr_rekey::config::Environment;
use signalr_rekey::doctor::{self, Check, Circumstances, FirstRun, Report, Severity};
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};

use super::common::program::{Azure, Handler, free_port};
use super::common::{HOUR, Story};
use super::{bad, instance, only, site};

/// A function app in which everything is in order, but that its Azure is the embedded Azure.
const GOOD: [(&str, &str); 5] = [
    ("ROTATION_SCHEDULE", "0 */5 * * * *"),
    ("IDENTITY_ENDPOINT", "http://169.254.1.1/msi/token"),
    ("WEBSITE_SITE_NAME", "func-rekey"),
    ("FUNCTIONS_WORKER_RUNTIME", "custom"),
    ("AzureWebJobsStorage__blobServiceUri", "https://account.blob.core.windows.net"),
];

fn circumstances() -> Circumstances {
    Circumstances { environment: GOOD.into_iter().collect::<Environment>(), as_deployed: true }
}

async fn examine(story: &Story) -> Report {
    let mut rekey = story.rekey();
    let mut config = (*rekey.config).clone();
    config.own_site = Some("func-rekey".into());
    rekey.config = Arc::new(config);
    doctor::examine_briefly(&rekey, &circumstances()).await
}

#[tokio::test]
async fn what_no_run_tries_is_looked_at_with_two_requests_an_instance_and_one_an_app() {
    let story = Story::new().await;
    let report = examine(&story).await;
    assert_eq!(report.errors, 0, "{report:#?}");
    only(&report, Check::Storage, Severity::Warning, "REKEY_STATE");
    assert_eq!(story.sim.report().arm_requests_total, 2 + 3);

    story.sim.with(|state| {
        state.deny(&instance(), "*/regeneratekey/action");
        state.deny(&site("chat-web/slots/staging"), "Microsoft.Web/sites/slots/config/Write");
    });
    let report = examine(&story).await;
    let found: Vec<&str> = bad(&report, Check::Permission).iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(found, [instance(), site("chat-web/slots/staging")], "{report:#?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_taken_for_granted() {
    let story = Story::new().await;
    story.sim.with(|state| state.deny(super::GROUP, "Microsoft.Authorization/permissions/read"));
    let report = examine(&story).await;
    let found = bad(&report, Check::Permission);
    assert_eq!(found.len(), 5, "to regenerate, to follow, to write three apps: {report:#?}");
    assert!(
        found.iter().all(|one| one
            .why
            .as_ref()
            .unwrap()
            .contains("Microsoft.Authorization/permissions/read"))
    );

    story.sim.with(embedded_azure::State::allow_all);
    story.sim.fault(Fault::new("DataPlane_Exists", FaultKind::ServerError).times(10));
    only(&examine(&story).await, Check::DataPlane, Severity::Error, &instance());
}

/// A runner that has ended before anybody else gets a turn.
#[derive(Default)]
struct AtOnce(Arc<AtomicUsize>);

#[async_trait]
impl Runner for AtOnce {
    async fn run(&self, _: Trigger, _: Invocation) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        Outcome::default()
    }

    fn is_leaving(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn it_is_looked_once_in_the_life_of_a_process_and_no_run_waits_for_it() {
    let story = Story::new().await;
    let runner = AtOnce::default();
    let runs = Arc::clone(&runner.0);
    let first = FirstRun::new(runner, story.rekey(), circumstances());
    let invocation =
        || Invocation { id: "i".into(), function: "RotateKeys", deadline: super::common::start() };
    let asked = || story.sim.report().arm_requests_total;
    assert!(first.is_leaving(), "the host asks whom it runs");
    first.run(Trigger::Events(vec![]), invocation()).await;
    tokio::task::yield_now().await;
    assert_eq!(asked(), 0, "a notice has no time for it");
    first.run(Trigger::Timer, invocation()).await;
    assert_eq!((runs.load(Ordering::Relaxed), asked()), (2, 0), "the run is over before the first request");
    while asked() < 2 + 3 {
        tokio::task::yield_now().await;
    }
    first.run(Trigger::Timer, invocation()).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((runs.load(Ordering::Relaxed), asked()), (3, 5));

    // Another process looks again a day later, and not before.
    for (later, looks) in [(23 * HOUR, 1), (2 * HOUR, 2)] {
        story.clock.advance(later);
        let next = FirstRun::new(AtOnce::default(), story.rekey(), circumstances());
        next.run(Trigger::Timer, invocation()).await;
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        while asked() < 5 * looks {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked(), 5 * looks, "after {later:?}");
    }
}

#[tokio::test]
async fn the_deployed_handler_writes_it_into_its_log_once() {
    let azure = Azure::start(&[]);
    azure
        .ask("denials", json!({"scope": site("chat-func"), "action": "Microsoft.Web/sites/config/Write"}))
        .await;
    let mut command = azure.command(&["handler"]);
    // As on Flex Consumption, where nothing else tells that this is Azure.
    command.env("WEBSITE_SITE_NAME", "func-rekey");
    let handler = Handler::spawn(command, free_port(), &azure).await;
    for _ in 0..2 {
        handler.tick().await;
    }
    let printed = handler.kill();
    let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with('{')).collect();
    assert!(
        lines.iter().any(|line| line.contains("doctor, environment, FUNCTIONS_WORKER_RUNTIME")),
        "{printed}"
    );
    let lines: Vec<&str> = lines.into_iter().filter(|line| line.contains("doctor, permission, ")).collect();
    assert_eq!(lines.len(), 1, "{printed}");
    assert!(lines[0].contains("chat-func") && lines[0].contains("\"level\":\"ERROR\""), "{}", lines[0]);
    assert!(lines[0].contains("az role definition create"), "{}", lines[0]);
    assert!(!printed.contains("AccessKey=") && !printed.contains("AAAAASRS"), "{printed}");
}
