//! `/sim/…`: what a test or a person does to the simulator itself. It needs no token.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::barriers::Barrier;
use super::call::{Answer, Answered, Call};
use super::faults::Fault;
use super::roles::Denial;
use super::state::State;
use crate::model::KeyType;

/// `POST /sim/regenerate`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Regenerate {
    instance: String,
    #[serde(rename = "keyType")]
    key_type: Which,
    /// Whether a colleague or a tool does it through ARM, which Event Grid tells of.
    #[serde(default, rename = "throughArm")]
    through_arm: bool,
}

#[derive(Deserialize)]
enum Which {
    #[serde(alias = "primary")]
    Primary,
    #[serde(alias = "secondary")]
    Secondary,
    #[serde(alias = "both")]
    Both,
}

/// `POST /sim/settings`; a value of null removes the setting.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    app: String,
    name: String,
    value: Option<String>,
    #[serde(default)]
    section: Section,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Section {
    #[default]
    AppSettings,
    ConnectionStrings,
}

/// `POST /sim/local-auth`: switches access keys off, which deletes them, or on again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalAuth {
    instance: String,
    disabled: bool,
}

/// `POST /sim/move`: a site, with its slots, to another resource group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    app: String,
    group: String,
}

/// `POST /sim/references`: what references to a secret or key of this name lead to; a value of null takes it away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    name: String,
    value: Option<String>,
}

/// What there is.
const ENDPOINTS: &str = "GET /sim/report, /sim/requests and /sim/world, POST /sim/regenerate, /sim/faults, /sim/denials, \
                         /sim/barriers, /sim/settings, /sim/local-auth, /sim/move and /sim/references, and DELETE /sim/faults, \
                         /sim/denials and /sim/barriers";

/// Whether a request is for the simulator itself.
pub(super) fn is_meant(call: &Call) -> bool {
    call.path == "/sim" || call.path.starts_with("/sim/")
}

/// Answers it. Bad input is a 400 that says what is wrong, and changes nothing.
pub(super) fn serve(state: &mut State, call: &Call) -> Answer {
    let answered = match (&call.method, call.path.trim_end_matches('/')) {
        (&Method::GET, "/sim/report") => Ok(as_json(&state.report())),
        (&Method::GET, "/sim/requests") => Ok(as_json(&state.log.requests())),
        (&Method::GET, "/sim/world") => Ok(Answer::ok(world(state))),
        (&Method::POST, "/sim/regenerate") => regenerate(state, call),
        (&Method::POST, "/sim/faults") => add_faults(state, call),
        (&Method::DELETE, "/sim/faults") => {
            state.faults.clear();
            Ok(Answer::ok(json!({})))
        }
        (&Method::POST, "/sim/denials") => deny(state, call),
        (&Method::DELETE, "/sim/denials") => {
            state.allow_all();
            Ok(Answer::ok(json!({})))
        }
        (&Method::POST, "/sim/barriers") => bar(state, call),
        (&Method::DELETE, "/sim/barriers") => {
            state.lift_barriers();
            Ok(Answer::ok(json!({})))
        }
        (&Method::POST, "/sim/settings") => edit(state, call),
        (&Method::POST, "/sim/local-auth") => local_auth(state, call),
        (&Method::POST, "/sim/move") => move_site(state, call),
        (&Method::POST, "/sim/references") => lead(state, call),
        _ => Err(Answer::error(StatusCode::NOT_FOUND, "NotFound", format!("There is {ENDPOINTS}."))),
    };
    answered.unwrap_or_else(|error| error)
}

fn regenerate(state: &mut State, call: &Call) -> Answered {
    let wanted: Regenerate = call.json().map_err(bad)?;
    let key_types: &[KeyType] = match wanted.key_type {
        Which::Primary => &[KeyType::Primary],
        Which::Secondary => &[KeyType::Secondary],
        Which::Both => &KeyType::ALL,
    };
    if wanted.through_arm {
        state.regenerate_through_arm(&wanted.instance, key_types)
    } else {
        state.force_regeneration(&wanted.instance, key_types)
    }
    .map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

fn add_faults(state: &mut State, call: &Call) -> Answered {
    let fault: Fault = call.json().map_err(bad)?;
    if fault.operation != "*" && !super::routes::is_operation(&fault.operation) {
        return Err(bad(format!(
            "there is no operation {:?}; see GET /sim/requests, or use \"*\"",
            fault.operation
        )));
    }
    state.faults.add(fault);
    Ok(Answer::ok(json!({})))
}

fn deny(state: &mut State, call: &Call) -> Answered {
    let denial: Denial = call.json().map_err(bad)?;
    state.denials.push(denial);
    Ok(Answer::ok(json!({})))
}

fn bar(state: &mut State, call: &Call) -> Answered {
    let barrier: Barrier = call.json().map_err(bad)?;
    state.barriers.push(barrier);
    Ok(Answer::ok(json!({})))
}

fn local_auth(state: &mut State, call: &Call) -> Answered {
    let LocalAuth { instance, disabled } = call.json().map_err(bad)?;
    state.disable_local_auth(&instance, disabled).map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

fn move_site(state: &mut State, call: &Call) -> Answered {
    let Move { app, group } = call.json().map_err(bad)?;
    state.move_site(&app, &group).map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

fn lead(state: &mut State, call: &Call) -> Answered {
    let Reference { name, value } = call.json().map_err(bad)?;
    state.lead_references(&name, value.as_deref()).map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

fn edit(state: &mut State, call: &Call) -> Answered {
    let Edit { app, name, value, section } = call.json().map_err(bad)?;
    match section {
        Section::AppSettings => state.edit_setting(&app, &name, value.as_deref()),
        Section::ConnectionStrings => state.edit_connection_string(&app, &name, value.as_deref()),
    }
    .map_err(bad)?;
    Ok(Answer::ok(json!({})))
}

fn world(state: &State) -> Value {
    let instances = state.instances.iter().filter(|one| !one.deleted).map(|one| one.id.to_string());
    let apps = state.apps.iter().filter(|app| !app.deleted).map(|app| app.id.to_string());
    json!({"instances": instances.collect::<Vec<_>>(), "apps": apps.collect::<Vec<_>>()})
}

fn as_json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::ok(value),
        Err(error) => Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", error.to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn bad(error: impl ToString) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "BadRequest", error.to_string())
}
