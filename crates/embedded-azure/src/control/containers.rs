//! What is done to container apps, jobs and static web apps.

use serde::Deserialize;
use serde_json::json;

use super::bad;
use crate::call::{Answer, Answered, Call};
use crate::state::State;

/// `POST /sim/container-secrets`: a person changes a secret of a container app or job; a value of null takes it away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    app: String,
    name: String,
    value: Option<String>,
}

/// `POST /sim/revisions`: what happens to a revision, the newest if none is named; a number of replicas belongs to `scale`
/// alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revision {
    app: String,
    revision: Option<String>,
    action: RevisionAction,
    replicas: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RevisionAction {
    Restart,
    Activate,
    Deactivate,
    Scale,
    Break,
    Mend,
}

/// `POST /sim/executions`: what happens to an execution of a job, the oldest that runs if none is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Execution {
    job: String,
    action: ExecutionAction,
    execution: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExecutionAction {
    Start,
    End,
    Fail,
}

/// `POST /sim/static-settings`: a person writes a setting of a static web app, in production if no environment is named; a
/// value of null removes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StaticSetting {
    site: String,
    environment: Option<String>,
    #[serde(default)]
    section: Section,
    name: String,
    value: Option<String>,
}

#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Section {
    #[default]
    AppSettings,
    FunctionAppSettings,
}

pub(super) fn change_secret(state: &mut State, call: &Call) -> Answered {
    let Secret { app, name, value } = call.json().map_err(bad)?;
    state.edit_container_secret(&app, &name, value.as_deref()).map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

pub(super) fn change_revision(state: &mut State, call: &Call) -> Answered {
    let Revision { app, revision, action, replicas } = call.json().map_err(bad)?;
    let revision = revision.as_deref();
    match action {
        RevisionAction::Restart => state.restart_revision(&app, revision),
        RevisionAction::Activate => state.activate_revision(&app, revision, true),
        RevisionAction::Deactivate => state.activate_revision(&app, revision, false),
        RevisionAction::Scale => {
            let replicas = replicas.ok_or_else(|| bad("`scale` needs a number of replicas"))?;
            state.scale(&app, revision, replicas)
        }
        RevisionAction::Break => state.break_revision(&app, revision, true),
        RevisionAction::Mend => state.break_revision(&app, revision, false),
    }
    .map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

pub(super) fn change_execution(state: &mut State, call: &Call) -> Answered {
    let Execution { job, action, execution } = call.json().map_err(bad)?;
    match action {
        ExecutionAction::Start => {
            let name = state.start_execution(&job).map_err(bad)?;
            return Ok(Answer::ok(json!({"execution": name})));
        }
        ExecutionAction::End => state.end_execution(&job, execution.as_deref(), true),
        ExecutionAction::Fail => state.end_execution(&job, execution.as_deref(), false),
    }
    .map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

pub(super) fn change_static_setting(state: &mut State, call: &Call) -> Answered {
    let StaticSetting { site, environment, section, name, value } = call.json().map_err(bad)?;
    let of_functions = section == Section::FunctionAppSettings;
    let setting = (name.as_str(), value.as_deref());
    state.edit_static_setting(&site, environment.as_deref(), of_functions, setting).map_err(bad)?;
    Ok(Answer::ok(json!({})))
}
