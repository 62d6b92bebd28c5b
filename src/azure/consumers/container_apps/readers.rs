//! Who runs with the secrets of an app or a job: replicas of active revisions, and executions that have not ended.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::{EXECUTIONS, Place, REPLICAS, REVISIONS, Reader, STARTS_WITHIN};
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Call, tidy};
use crate::report::text::azure as words;
use rekey_core::model::ContainerAppKind;

#[derive(Deserialize)]
pub(super) struct Revision {
    name: String,
    #[serde(default)]
    properties: OfRevision,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OfRevision {
    active: Option<bool>,
    /// How many there are of it, as it says itself.
    replicas: Option<u64>,
    template: Template,
}

#[derive(Deserialize)]
pub(super) struct Replica {
    name: String,
    #[serde(default)]
    properties: OfReplica,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OfReplica {
    created_time: Option<Value>,
    running_state: Option<String>,
    running_state_details: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Execution {
    name: String,
    #[serde(default)]
    properties: OfExecution,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OfExecution {
    status: Option<String>,
    start_time: Option<Value>,
    end_time: Option<Value>,
}

/// The configuration of a job, for how long its executions may run. That of an app has nothing of it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Configuration {
    replica_timeout: Option<u64>,
    replica_retry_limit: Option<u64>,
    manual_trigger_config: Option<Trigger>,
    schedule_trigger_config: Option<Trigger>,
    event_trigger_config: Option<Trigger>,
    ingress: Option<Ingress>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ingress {
    traffic: Option<Vec<Traffic>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Traffic {
    revision_name: Option<String>,
    weight: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Trigger {
    parallelism: Option<u64>,
    replica_completion_count: Option<u64>,
}

/// How long an execution counts as going on where nothing tells it.
const UNTOLD: TimeDelta = TimeDelta::days(30);

impl Configuration {
    /// The revisions that are given traffic, as far as they are named.
    pub(super) fn with_traffic(&self) -> impl Iterator<Item = &str> {
        let rules = self.ingress.iter().flat_map(|ingress| &ingress.traffic).flatten();
        rules.filter(|rule| rule.weight != Some(0)).filter_map(|rule| rule.revision_name.as_deref())
    }

    /// How long an execution may run: as long as a replica may (ARM swagger 2024-03-01, `replicaTimeout`), as often as one is
    /// tried, for as many as follow one another; and the time that starting and ending it takes.
    pub(super) fn longest(&self) -> TimeDelta {
        let rounds = |trigger: &Trigger| {
            let at_once = trigger.parallelism.unwrap_or(1).max(1);
            trigger.replica_completion_count.unwrap_or(1).div_ceil(at_once).max(1)
        };
        let triggers =
            [&self.manual_trigger_config, &self.schedule_trigger_config, &self.event_trigger_config];
        let rounds = triggers.into_iter().flatten().map(rounds).max().unwrap_or(1);
        let tries = self.replica_retry_limit.unwrap_or(0).saturating_add(1).saturating_mul(rounds);
        let seconds = self.replica_timeout.map(|timeout| timeout.saturating_mul(tries));
        let told = seconds.and_then(|seconds| TimeDelta::try_seconds(i64::try_from(seconds).ok()?));
        told.map_or(UNTOLD, |told| told.min(TimeDelta::days(365)) + STARTS_WITHIN)
    }
}

/// The containers of a template, for their variables alone.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Template {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    env: Option<Vec<Variable>>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: Option<String>,
}

impl Template {
    /// The variables whose values stand in it, and not in a secret.
    pub(super) fn variables(self) -> impl Iterator<Item = (String, SecretString)> {
        let containers = [self.containers, self.init_containers].into_iter().flatten().flatten();
        let variables = containers.filter_map(|container| container.env).flatten();
        variables.filter_map(|one| Some((one.name, one.value?.into())))
    }
}

impl Reader {
    /// Whether it is of the same revision.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.revision == other.revision
    }

    pub(super) fn is_of(&self, revision: &str) -> bool {
        self.revision.as_deref() == Some(revision)
    }

    /// Of an execution that was seen at a time: when it will have ended, at the latest.
    pub(crate) fn ends_by(&self, seen: DateTime<Utc>) -> DateTime<Utc> {
        self.created.unwrap_or(seen) + self.longest
    }
}

/// Azure's word for a replica that does its work (ARM swagger 2024-03-01, `ContainerAppReplicaRunningState`).
const RUNNING: &str = "Running";

/// How much of what is said of that is told.
const LONGEST_DETAILS: usize = 300;

/// Who runs with the secrets of an app or a job.
#[derive(Default)]
pub(super) struct WhoReads {
    /// The names of all revisions.
    pub listed: Vec<String>,
    /// Those of the active ones.
    pub revisions: Vec<String>,
    pub readers: Vec<Reader>,
    /// The executions that have ended, with when, as far as that is told.
    pub ended: Vec<(String, Option<DateTime<Utc>>)>,
    /// The variables in the templates of the active ones.
    pub variables: Vec<(String, SecretString)>,
}

impl Place {
    pub(super) async fn who_reads(&self, arm: &Arm) -> Result<WhoReads, ArmError> {
        match self.id.kind() {
            ContainerAppKind::App => self.replicas(arm).await,
            ContainerAppKind::Job => {
                let (readers, ended) = self.executions(arm).await?;
                Ok(WhoReads { readers, ended, ..WhoReads::default() })
            }
        }
    }

    async fn replicas(&self, arm: &Arm) -> Result<WhoReads, ArmError> {
        let call = Call::get(REVISIONS, self.url(arm, "/revisions"));
        let all: Vec<Revision> = arm.pages(call).await?;
        let listed = all.iter().map(|revision| revision.name.clone()).collect();
        // Of one of which it is not said it may be true, and one that has replicas is active whatever is said.
        let is_active = |revision: &Revision| {
            revision.properties.active != Some(false)
                || revision.properties.replicas.is_some_and(|count| count > 0)
        };
        let active: Vec<Revision> = all.into_iter().filter(is_active).collect();
        let read = try_join_all(active.iter().map(|revision| self.replicas_of(arm, &revision.name))).await?;
        for (revision, read) in active.iter().zip(&read) {
            let told = revision.properties.replicas.unwrap_or_default();
            if u64::try_from(read.len()).is_ok_and(|read| read < told) {
                let why = words::fewer_replicas(&revision.name, told, read.len());
                let call = Call::get(REVISIONS, self.url(arm, "/revisions"));
                return Err(call.error(ArmErrorKind::Conflict, &why).advising(words::CONTRADICTED));
            }
        }
        let revisions = active.iter().map(|revision| revision.name.clone()).collect();
        let variables =
            active.into_iter().flat_map(|revision| revision.properties.template.variables()).collect();
        Ok(WhoReads { listed, revisions, readers: read.concat(), variables, ended: vec![] })
    }

    async fn replicas_of(&self, arm: &Arm, revision: &str) -> Result<Vec<Reader>, ArmError> {
        let call = Call::get(REPLICAS, self.url(arm, &format!("/revisions/{revision}/replicas")));
        let listed: Vec<Replica> = match arm.pages(call).await {
            // A revision that went meanwhile has none.
            Err(error) if error.kind() == ArmErrorKind::Gone => vec![],
            listed => listed?,
        };
        let reader = |Replica { name, properties }: Replica| {
            let state = properties.running_state.unwrap_or_else(|| RUNNING.to_owned());
            let details = properties.running_state_details.map(|details| tidy(&details, LONGEST_DETAILS));
            let details = details.filter(|details| !details.is_empty());
            Reader {
                name,
                revision: Some(revision.to_owned()),
                created: time(properties.created_time.as_ref()),
                runs: state.eq_ignore_ascii_case(RUNNING),
                state: details.map_or_else(|| state.clone(), |details| format!("{state}: {details}")),
                longest: TimeDelta::zero(),
            }
        };
        Ok(listed.into_iter().map(reader).collect())
    }

    /// Those that have not ended, in whatever word; and the names of those that have, with when.
    async fn executions(
        &self,
        arm: &Arm,
    ) -> Result<(Vec<Reader>, Vec<(String, Option<DateTime<Utc>>)>), ArmError> {
        let all: Vec<Execution> = arm.pages(Call::get(EXECUTIONS, self.url(arm, "/executions"))).await?;
        let ended = ["Succeeded", "Failed", "Stopped"];
        let has_ended = |execution: &Execution| {
            let status = execution.properties.status.as_deref().unwrap_or_default();
            ended.iter().any(|end| status.eq_ignore_ascii_case(end))
        };
        let reader = |Execution { name, properties }: Execution| Reader {
            name,
            revision: None,
            created: time(properties.start_time.as_ref()),
            runs: true,
            state: RUNNING.to_owned(),
            longest: TimeDelta::zero(),
        };
        let (ended, going): (Vec<Execution>, Vec<_>) = all.into_iter().partition(has_ended);
        let ended = ended.into_iter().map(|one| (one.name, time(one.properties.end_time.as_ref())));
        Ok((going.into_iter().map(reader).collect(), ended.collect()))
    }
}

/// A time of Azure's, with an offset or, as some of its services write it, without one: then it is UTC.
pub(super) fn time(value: Option<&Value>) -> Option<DateTime<Utc>> {
    let text = value?.as_str()?;
    let with_offset = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    with_offset.ok().or_else(|| DateTime::parse_from_rfc3339(&format!("{text}Z")).ok().map(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        let of = |text: &str| time(Some(&json!(text))).map(|time| time.timestamp());
        let wanted = Some(1_795_600_800);
        for text in ["2026-11-25T10:00:00Z", "2026-11-25T12:00:00.1234567+02:00", "2026-11-25T10:00:00.5"] {
            assert_eq!(of(text), wanted, "{text}");
        }
        for value in [json!(null), json!(1), json!(""), json!("yesterday")] {
            assert_eq!(time(Some(&value)), None, "{value}");
        }
        assert_eq!(time(None), None);
    }

    #[test]
    fn variables_are_those_whose_values_stand_in_the_template() {
        let template: Template = serde_json::from_value(json!({
            "containers": [{"name": "a", "env": [{"name": "A", "value": "x"}, {"name": "B", "secretRef": "s"}]}, {}],
            "initContainers": [{"env": [{"name": "C", "value": ""}]}],
            "scale": {"minReplicas": 1},
        }))
        .unwrap();
        let names: Vec<String> = template.variables().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "C"]);
        assert_eq!(
            serde_json::from_value::<Template>(json!({"containers": null})).unwrap().variables().count(),
            0
        );
    }
}
