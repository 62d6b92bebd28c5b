//! What the Functions host asks for, as passes: the timer rotates, a notice mends.

use async_trait::async_trait;

use crate::host::{Event, Invocation, Notice, Outcome, Runner, Trigger, instances_named, is_key_event};
use crate::model::InstanceId;
use crate::pass::{PassReport, Purpose, Rekey, Run};

#[async_trait]
impl Runner for Rekey {
    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
        match trigger {
            Trigger::Timer(_) => {
                let run = run(vec![], Purpose::Rotate { now: false }, &invocation);
                let reports = Self::run(self, &run).await;
                outcome(&reports, |report| report.ending.is_failure())
            }
            Trigger::Notice(notice) => self.notice(&notice, &invocation).await,
        }
    }
}

impl Rekey {
    async fn notice(&self, notice: &Notice, invocation: &Invocation) -> Outcome {
        let Some(instances) = self.concerned(notice) else {
            let line = "no instance of ours is concerned; nothing to do".to_owned();
            tracing::debug!("{line}");
            return Outcome { logs: vec![line], failure: None };
        };
        let reports = Self::run(self, &run(instances, Purpose::Mend, invocation)).await;
        outcome(&reports, |report| !report.ending.is_mended())
    }

    /// The instances that a notice is a reason to look at: those it names, or all if it speaks of keys and names none
    /// of ours; nothing if it does not concern us.
    fn concerned(&self, notice: &Notice) -> Option<Vec<InstanceId>> {
        let events = notice.events.iter().filter(|event| !is_our_own_reading(event));
        let notice = Notice { events: events.cloned().collect() };
        let ours = |id: &InstanceId| self.config.instances.iter().any(|instance| instance.id == *id);
        let named: Vec<InstanceId> = instances_named(&notice).into_iter().filter(ours).collect();
        if !named.is_empty() {
            return Some(named);
        }
        notice.events.iter().any(is_key_event).then(Vec::new)
    }
}

/// Every look raises an event at the instance (docs: ResourceActionSuccess comes for POST too). Looking because of it
/// would never end.
fn is_our_own_reading(event: &Event) -> bool {
    event.operation.as_deref().is_some_and(|operation| operation.to_lowercase().ends_with("/listkeys/action"))
}

fn run(instances: Vec<InstanceId>, purpose: Purpose, invocation: &Invocation) -> Run {
    // The id stays the same over the retries of a timer, so the holder needs more than that.
    let holder = format!("{}/{}/{}", invocation.function, invocation.id, uuid::Uuid::new_v4());
    Run { instances, purpose, holder, deadline: invocation.deadline }
}

fn outcome(reports: &[PassReport], failed: impl Fn(&PassReport) -> bool) -> Outcome {
    let lines = |report: &PassReport| {
        let name = report.instance.name().to_owned();
        let told = report.lines.iter().map(|line| format!("{name}: {line}")).collect::<Vec<_>>();
        told.into_iter().chain([report.summary()])
    };
    let failures: Vec<String> =
        reports.iter().filter(|report| failed(report)).map(PassReport::summary).collect();
    Outcome {
        logs: reports.iter().flat_map(lines).collect(),
        failure: (!failures.is_empty()).then(|| failures.join("\n")),
    }
}
