//! Microsoft.App, api-version 2024-03-01 and later: container apps and jobs, their secrets, and the operations that change them.

pub(crate) mod executions;
mod patch;
pub(crate) mod revisions;

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{bad_request, page, resource_not_found};
use crate::call::{Answer, Answered, Call};
use crate::clock::delta;
use crate::containers::writes::{Change, Course, Write};
use crate::containers::{Container, secrets};
use crate::faults::FaultKind;
use crate::ids::ContainerKind;
use crate::options::ContainerWrite;
use crate::roles;
use crate::service::Status;
use crate::state::State;

/// Which of both a path is about.
fn kind(call: &Call) -> ContainerKind {
    let is_job = call.path.to_lowercase().contains("/microsoft.app/jobs");
    if is_job { ContainerKind::Job } else { ContainerKind::App }
}

fn resource_type(kind: ContainerKind) -> String {
    format!("Microsoft.App/{}", kind.segment())
}

/// `ContainerApps_ListBySubscription`, `ContainerApps_ListByResourceGroup`, and the same of jobs.
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let (group, kind) = (call.param("group"), kind(call));
    let action = format!("{}/read", resource_type(kind));
    // A list over groups holds what the caller may read, and says nothing of the rest, as that of sites.
    let may_read =
        |one: &&Container| !group.is_empty() || roles::may(&state.denials, &one.id.to_string(), &action);
    let within = |one: &&Container| group.is_empty() || one.id.group.eq_ignore_ascii_case(group);
    let is_listed = |one: &&Container| !one.deleted && one.id.kind == kind && within(one) && may_read(one);
    let listed = (0..state.containers.len()).filter(|at| is_listed(&&state.containers[*at]));
    let items = listed.map(|at| describe(state, at)).collect();
    page(state, call, items)
}

/// `ContainerApps_Get` and `Jobs_Get`: the names of secrets, without their values.
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    Ok(Answer::ok(describe(state, at)))
}

/// `ContainerApps_ListSecrets` and `Jobs_ListSecrets`: values in clear, those of vaults as they were fetched.
pub(crate) fn list_secrets(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let told: Vec<Value> = state.containers[at].secrets.iter().map(secrets::Secret::tell).collect();
    Ok(Answer::ok(json!({"value": told})))
}

/// `ContainerApps_Update` and `Jobs_Update`: a merge patch (swagger: "Patches a Container App using JSON Merge Patch").
pub(crate) fn update(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    if state.is_being_written(at) {
        let (name, kind) = (&state.containers[at].id.name, state.containers[at].id.kind);
        let (what, code) = match kind {
            ContainerKind::App => ("container app", "ContainerAppOperationInProgress"),
            ContainerKind::Job => ("job", "JobOperationInProgress"),
        };
        // The words are those of public reports.
        let message = format!(
            "Cannot modify a {what} '{name}' because there is an active provisioning operation in progress for the same \
             {what}. Please retry in some minutes."
        );
        return Err(Answer::error(StatusCode::CONFLICT, code, message));
    }
    let change = patch::read(&state.containers[at], &state.platform(), call)?;
    patch::check_links(state, at, &change, call)?;
    let course = course(change, call);
    let version = call.query("api-version").unwrap_or_default();
    match state.options.container_write {
        ContainerWrite::Done if !matches!(course, Course::Fails) => {
            state.take_course(at, course);
            Ok(Answer::ok(describe(state, at)))
        }
        ContainerWrite::Done | ContainerWrite::Accepted => {
            let write = state.begin_write(at, course, &version);
            Ok(with_location(state, call, &state.writes[write], Answer::empty(StatusCode::ACCEPTED)))
        }
    }
}

fn course(change: Change, call: &Call) -> Course {
    match call.fault {
        Some(FaultKind::Swallowed) => Course::Nothing,
        Some(FaultKind::AppliedLate) => Course::Later(change, delta(call.delay)),
        Some(FaultKind::OperationFailed) => Course::Fails,
        _ => Course::Changes(change),
    }
}

/// The `Location` of a change: 202 while it runs, then what has become of it.
pub(crate) fn operation_result(state: &mut State, call: &Call) -> Answered {
    let id = call.param("operation");
    let write = state.writes.iter().find(|write| write.id.eq_ignore_ascii_case(id));
    let write = write.ok_or_else(|| super::not_found(call))?;
    if write.query != call.query {
        return Err(bad_request("InvalidOperationUrl", "The signature of the operation's URL does not fit."));
    }
    match write.status {
        Status::Running => Ok(with_location(state, call, write, Answer::empty(StatusCode::ACCEPTED))),
        Status::Succeeded => Ok(Answer::ok(describe(state, write.container))),
        Status::Failed => {
            let message = "Failed to provision the change. Nothing of it is in effect.";
            Err(Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "ContainerAppOperationError", message))
        }
    }
}

/// The `Location` alone, as a PATCH is answered in the swagger, and a `Retry-After` of at most 10 s.
fn with_location(state: &State, call: &Call, write: &Write, answer: Answer) -> Answer {
    let container = &state.containers[write.container];
    let elsewhere = call.fault == Some(FaultKind::ForeignHost);
    // A name that leads nowhere (RFC 6761), for no test may leave this machine.
    let base = if elsewhere { "https://eastus.management.azure.invalid" } else { &call.base };
    let results = match container.id.kind {
        ContainerKind::App => "containerappOperationResults",
        ContainerKind::Job => "containerappsjobOperationResults",
    };
    let seconds = state.options.container_write_takes.as_secs().clamp(1, 10);
    let path =
        format!("/subscriptions/{}/providers/Microsoft.App/locations/eastus", container.id.subscription);
    answer
        .with("location", format!("{base}{path}/{results}/{}?{}", write.id, write.query))
        .with("retry-after", seconds.to_string())
}

/// The container app or job that a call is about.
fn find(state: &State, call: &Call) -> Result<usize, Answer> {
    let (name, group, kind) = (call.param("name"), call.param("group"), kind(call));
    let fits = |one: &Container| {
        !one.deleted
            && one.id.kind == kind
            && one.id.name.eq_ignore_ascii_case(name)
            && one.id.group.eq_ignore_ascii_case(group)
    };
    state.containers.iter().position(fits).ok_or_else(|| resource_not_found(&resource_type(kind), call))
}

/// As in the swagger's examples `ContainerApps_Get` and `Jobs_Get`.
pub(crate) fn describe(state: &State, at: usize) -> Value {
    let container = &state.containers[at];
    let provisioning = match (state.is_being_written(at), container.failed) {
        (true, _) => "InProgress",
        (false, true) => "Failed",
        (false, false) => "Succeeded",
    };
    let mut described = json!({
        "id": container.id.to_string(),
        "name": container.id.name,
        "type": resource_type(container.id.kind),
        "location": "East US",
        "tags": container.document["tags"],
        "identity": identity(container),
        "systemData": {
            "createdBy": "simulator", "createdByType": "Application", "createdAt": time(container.created),
            "lastModifiedBy": "simulator", "lastModifiedByType": "Application",
            "lastModifiedAt": time(container.modified),
        },
        "properties": container.document["properties"],
    });
    let properties = &mut described["properties"];
    properties["template"] = template(&properties["template"]);
    properties["provisioningState"] = provisioning.into();
    let named: Vec<Value> = container.secrets.iter().map(secrets::Secret::describe).collect();
    properties["configuration"]["secrets"] = if named.is_empty() { Value::Null } else { named.into() };
    if let Some(newest) = container.revisions.last() {
        let ready = container.revisions.iter().rfind(|one| one.replicas.iter().any(|replica| replica.runs));
        properties["managedEnvironmentId"] = container.id.environment().into();
        properties["runningStatus"] = "Running".into();
        properties["latestRevisionName"] = newest.name.as_str().into();
        properties["latestReadyRevisionName"] = ready.unwrap_or(newest).name.as_str().into();
        properties["latestRevisionFqdn"] =
            format!("{}.simulated.eastus.azurecontainerapps.io", newest.name).into();
    }
    described
}

/// With the members that Azure tells of even where there is nothing.
fn template(template: &Value) -> Value {
    let mut told = template.clone();
    for name in ["initContainers", "volumes"] {
        if told[name].is_null() {
            told[name] = Value::Null;
        }
    }
    told
}

/// It has an identity of its own, and those that its secrets are fetched by.
fn identity(container: &Container) -> Value {
    let assigned: serde_json::Map<String, Value> = container
        .secrets
        .iter()
        .filter_map(|secret| secret.vault.as_ref())
        .filter(|vault| vault.identity.starts_with('/'))
        .map(|vault| (vault.identity.clone(), json!({})))
        .collect();
    match assigned.is_empty() {
        true => json!({"type": "SystemAssigned"}),
        false => json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": assigned}),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true).replace('Z', "+00:00")
}
