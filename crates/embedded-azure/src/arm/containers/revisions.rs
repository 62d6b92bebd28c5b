//! Revisions of a container app and their replicas (swagger: `ContainerAppsRevisions`, `ContainerAppsRevisionReplicas`).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{find, template, time};
use crate::arm::page;
use crate::call::{Answer, Answered, Call};
use crate::containers::Container;
use crate::containers::revisions::{Replica, Revision};
use crate::state::State;

/// `ContainerAppsRevisions_ListRevisions`: those that are active, and the rest.
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let container = &state.containers[at];
    let items = container.revisions.iter().map(|revision| describe(container, revision)).collect();
    page(state, call, items)
}

/// `ContainerAppsRevisions_GetRevision`
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let (at, revision) = find_revision(state, call)?;
    let container = &state.containers[at];
    Ok(Answer::ok(describe(container, &container.revisions[revision])))
}

/// `ContainerAppsRevisions_RestartRevision`: answered at once, and replicas follow. One that is inactive stays so (public
/// issue vscode-azurecontainerapps#163).
pub(crate) fn restart(state: &mut State, call: &Call) -> Answered {
    let (at, revision) = find_revision(state, call)?;
    state.begin_restart(at, revision);
    Ok(Answer::empty(StatusCode::OK))
}

/// `ContainerAppsRevisions_ActivateRevision`
pub(crate) fn activate(state: &mut State, call: &Call) -> Answered {
    let (at, revision) = find_revision(state, call)?;
    state.set_active(at, revision, true);
    Ok(Answer::empty(StatusCode::OK))
}

/// `ContainerAppsRevisions_DeactivateRevision`
pub(crate) fn deactivate(state: &mut State, call: &Call) -> Answered {
    let (at, revision) = find_revision(state, call)?;
    state.set_active(at, revision, false);
    Ok(Answer::empty(StatusCode::OK))
}

/// `ContainerAppsRevisionReplicas_ListReplicas`: in one page.
pub(crate) fn replicas(state: &mut State, call: &Call) -> Answered {
    let (at, revision) = find_revision(state, call)?;
    let container = &state.containers[at];
    let revision = &container.revisions[revision];
    let items: Vec<Value> =
        revision.replicas.iter().map(|replica| describe_replica(container, revision, replica)).collect();
    Ok(Answer::ok(json!({"value": items})))
}

fn find_revision(state: &State, call: &Call) -> Result<(usize, usize), Answer> {
    let at = find(state, call)?;
    let name = call.param("revision");
    let found = state.containers[at].revisions.iter().position(|one| one.name.eq_ignore_ascii_case(name));
    found.map(|revision| (at, revision)).ok_or_else(|| {
        let message = format!("Revision '{name}' for container app '{}' not found.", call.param("name"));
        Answer::error(StatusCode::NOT_FOUND, "RevisionNotFound", message)
    })
}

fn describe(container: &Container, revision: &Revision) -> Value {
    let most = container.most_replicas();
    json!({
        "id": format!("{}/revisions/{}", container.id, revision.name),
        "name": revision.name,
        "type": "Microsoft.App/containerapps/revisions",
        "properties": {
            "createdTime": time(revision.created),
            "lastActiveTime": time(revision.created),
            "fqdn": format!("{}.simulated.eastus.azurecontainerapps.io", revision.name),
            "template": template(&revision.template),
            "active": revision.active,
            "replicas": revision.replicas.len(),
            "trafficWeight": revision.weight,
            "healthState": revision.health_state(most),
            "provisioningState": "Provisioned",
            "runningState": revision.running_state(most),
        },
    })
}

fn describe_replica(container: &Container, revision: &Revision, replica: &Replica) -> Value {
    // No document has an example of the details.
    let (state, details) =
        if replica.runs { ("Running", "") } else { ("NotRunning", "0/1 containers are ready.") };
    let inner = |one: &Value| {
        json!({
            "name": one["name"], "containerId": format!("containerd://{}", replica.name), "ready": replica.runs,
            "started": replica.runs, "restartCount": 0,
            "runningState": if replica.runs { "Running" } else { "Waiting" }, "runningStateDetails": "",
        })
    };
    let containers = revision.template["containers"].as_array().into_iter().flatten();
    json!({
        "id": format!("{}/revisions/{}/replicas/{}", container.id, revision.name, replica.name),
        "name": replica.name,
        "type": "Microsoft.App/containerapps/revisions/replicas",
        "properties": {
            "createdTime": time(replica.created),
            "runningState": state,
            "runningStateDetails": details,
            "containers": containers.map(inner).collect::<Vec<_>>(),
            "initContainers": [],
        },
    })
}
