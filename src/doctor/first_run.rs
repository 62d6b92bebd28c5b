//! What is found beside the first timer's run, and once a day after it: on Flex Consumption there is no console to run
//! `doctor` in, so the function app looks at itself and writes what it finds into its log.
//!
//! It asks little: Azure Resource Manager two requests for each service and one for each app, and the service one signed
//! call. What the run itself looks at it leaves to the run. A new release, or another configuration, is looked at anew.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::FutureExt;

use super::finding::{Finding, Report, Severity};
use super::{Circumstances, begin, permission, service};
use crate::azure::arm::{Arm, Caller};
use crate::azure::discovery::at_once;
use crate::azure::services::KeyService;
use crate::config::ServiceConfig;
use crate::engine::Engine;
use crate::handler::{Invocation, Outcome, Runner, Trigger};
use crate::report::cause;
use crate::{panics, store};
use rekey_core::model::{AppId, ConsumerId};

/// How long it may take. Whatever a slow Azure leaves unanswered by then is told as that.
const PATIENCE: TimeDelta = TimeDelta::minutes(1);

/// Does what another runner does, and beside the first timer's run logs what stands in the way of the next rotation.
///
/// The run neither waits for that nor fails by it.
pub struct FirstRun<R> {
    runner: R,
    rekey: Arc<Engine>,
    circumstances: Circumstances,
    begun: AtomicBool,
}

impl<R> fmt::Debug for FirstRun<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstRun").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl<R: Runner> FirstRun<R> {
    /// `circumstances` are those of the function app.
    pub fn new(runner: R, rekey: Engine, circumstances: Circumstances) -> Self {
        Self { runner, rekey: Arc::new(rekey), circumstances, begun: AtomicBool::new(false) }
    }

    fn begin(&self) {
        if self.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let (rekey, circumstances) = (Arc::clone(&self.rekey), self.circumstances.clone());
        tokio::spawn(async move {
            if was_examined(&rekey).await {
                return;
            }
            match panics::catch(examine_briefly(&rekey, &circumstances)).await {
                Ok(report) => log(&report),
                Err(panicked) => tracing::error!("doctor: {}", cause::told(&panicked)),
            }
        });
    }
}

#[async_trait]
impl<R: Runner> Runner for FirstRun<R> {
    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
        if matches!(trigger, Trigger::Timer) {
            self.begin();
        }
        self.runner.run(trigger, invocation).await
    }

    fn is_leaving(&self) -> bool {
        self.runner.is_leaving()
    }
}

/// Whether another process looked at the same within a day. Where that cannot be read, this one checks.
async fn was_examined(rekey: &Engine) -> bool {
    store::was_examined(&*rekey.store, &rekey.config.digest()).await.unwrap_or_else(|error| {
        tracing::warn!("cannot read when the doctor last checked: {}", cause::told(&error));
        false
    })
}

/// Looks at what would keep a rotation from going well and what a run finds only when it comes to it: the settings, the
/// permissions to regenerate and to write, and the way to the service.
pub async fn examine_briefly(rekey: &Engine, circumstances: &Circumstances) -> Report {
    let (mut findings, asker) = begin(rekey, circumstances, PATIENCE).await;
    let Some((arm, caller)) = &asker else { return Report::new(findings) };
    let configured = &rekey.config.instances;
    let instances = configured.iter().map(|one| of_instance(rekey, arm, one, caller).boxed());
    findings.extend(at_once(instances).await.into_iter().flatten());
    let apps: BTreeSet<&AppId> = configured.iter().flat_map(|one| &one.apps).map(|app| &app.id).collect();
    let apps = apps.into_iter().map(|app| {
        async move {
            let granted = arm.permissions(&app.to_string()).await;
            permission::untried_of_app(app, &granted, caller)
        }
        .boxed()
    });
    findings.extend(at_once(apps).await.into_iter().flatten());
    let others: BTreeSet<ConsumerId> =
        configured.iter().flat_map(ServiceConfig::beside_app_service).collect();
    let others = others.into_iter().map(|consumer| {
        async move {
            let granted = arm.permissions(&consumer.to_string()).await;
            permission::untried_of_consumer(&consumer, &granted, caller)
        }
        .boxed()
    });
    findings.extend(at_once(others).await.into_iter().flatten());
    Report::new(findings)
}

async fn of_instance(rekey: &Engine, arm: &Arm, instance: &ServiceConfig, caller: &Caller) -> Vec<Finding> {
    let granted = arm.permissions(&instance.id.to_string()).await;
    let mut findings = permission::untried_of_instance(&instance.id, &granted, caller);
    // That keys cannot be listed is told by the run, which fails on it.
    let kind = instance.id.service_type();
    if let Ok(listed) = kind.list_keys(arm, &instance.id).await
        && let Some(host) = &listed.host
    {
        let probe = kind.probe(&rekey.data_plane, host, &listed.keys.primary).await;
        findings.extend(service::reach(instance, probe));
    }
    findings
}

fn log(report: &Report) {
    for finding in &report.findings {
        match finding.severity {
            Severity::Error => tracing::error!("{}", line(finding)),
            Severity::Warning => tracing::warn!("{}", line(finding)),
            Severity::Note | Severity::Ok => {}
        }
    }
    if report.errors + report.warnings == 0 {
        tracing::info!("doctor: OK, nothing keeps a rotation from going well ({report})");
    }
}

/// A finding in one line. Alerts look for the words of runs that failed, which it does not have.
fn line(finding: &Finding) -> String {
    let Finding { check, subject, what, why, fix, .. } = finding;
    let why = why.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    let fix = fix.as_ref().map(|fix| format!("; do: {fix}")).unwrap_or_default();
    format!("doctor, {check}, {subject}: {what}{why}{fix}")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Check;
    use super::*;

    #[test]
    fn a_line_has_everything_and_no_word_of_an_alert() {
        let finding =
            Finding::error(Check::Schedule, "ROTATION_SCHEDULE", "it is not set", "the timer never runs");
        let told = line(&finding.fixed_by("set it".to_owned()));
        let wanted = "doctor, schedule, ROTATION_SCHEDULE: it is not set; the timer never runs; do: set it";
        assert_eq!(told, wanted);
        assert!(!told.contains(": failed: ") && !told.contains(": blocked: "));
    }
}
