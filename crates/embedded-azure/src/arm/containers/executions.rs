//! Executions of jobs (swagger: `Jobs_Start`, `JobsExecutions_List`, `Job_Execution`).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{find, time};
use crate::arm::page;
use crate::call::{Answer, Answered, Call};
use crate::containers::{Container, Execution};
use crate::state::State;

/// `Jobs_Start`, with the job's own template.
pub(crate) fn start(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let name = state.begin_execution(at);
    let id = format!("{}/executions/{name}", state.containers[at].id);
    Ok(Answer::ok(json!({"name": name, "id": id})))
}

/// `JobsExecutions_List`: the newest first.
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let job = &state.containers[at];
    let items = job.executions.iter().rev().map(|execution| describe(job, execution)).collect();
    page(state, call, items)
}

/// `Job_Execution`
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let (job, name) = (&state.containers[at], call.param("execution"));
    let found = job.executions.iter().find(|execution| execution.name.eq_ignore_ascii_case(name));
    found.map(|execution| Answer::ok(describe(job, execution))).ok_or_else(|| {
        let message = format!("Job execution '{name}' not found.");
        Answer::error(StatusCode::NOT_FOUND, "JobExecutionNotFound", message)
    })
}

fn describe(job: &Container, execution: &Execution) -> Value {
    let mut properties = json!({
        "status": execution.ended.map_or("Running", |(_, status)| status),
        "startTime": time(execution.started),
        "template": job.template(),
    });
    if let Some((ended, _)) = execution.ended {
        properties["endTime"] = time(ended).into();
    }
    json!({
        "id": format!("{}/executions/{}", job.id, execution.name),
        "name": execution.name,
        "type": "Microsoft.App/jobs/executions",
        "properties": properties,
    })
}
