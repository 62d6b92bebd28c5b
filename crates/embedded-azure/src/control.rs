//! `/sim/…`: what a test or a person does to the embedded Azure itself. It needs no token.

mod containers;

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::barriers::Barrier;
use crate::call::{Answer, Answered, Call};
use crate::faults::Fault;
use crate::ids::{ContainerKind, KeyType};
use crate::roles::Denial;
use crate::state::State;
use crate::stores::{KeyValue, Name, Store};
use crate::vaults::{Content, Secret, Vault, Version};

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

/// `POST /sim/secrets`: what a person does to a secret. A value belongs to `set` alone; a version can be named to enable or
/// disable it, and is otherwise the newest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deed {
    vault: String,
    name: String,
    action: SecretAction,
    value: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SecretAction {
    Set,
    Enable,
    Disable,
    Delete,
    Recover,
    Purge,
}

/// `POST /sim/key-values`: what a person does to a key-value. A value belongs to `set` alone; so does a content type, and
/// without one it stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValueDeed {
    store: String,
    key: String,
    label: Option<String>,
    action: KeyValueAction,
    value: Option<String>,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyValueAction {
    Set,
    Delete,
    Lock,
    Unlock,
}

/// One thing that can be done, and how.
type Route = (Method, &'static str, fn(&mut State, &Call) -> Answered);

/// What there is. `docs/simulate.md` has a row for each.
static ROUTES: [Route; 22] = [
    (Method::GET, "/sim/report", |state, _| Ok(as_json(&state.report()))),
    (Method::GET, "/sim/requests", |state, _| Ok(as_json(&state.log.requests()))),
    (Method::GET, "/sim/world", |state, _| Ok(Answer::ok(world(state)))),
    (Method::POST, "/sim/regenerate", regenerate),
    (Method::POST, "/sim/settings", edit),
    (Method::POST, "/sim/local-auth", local_auth),
    (Method::POST, "/sim/move", move_site),
    (Method::POST, "/sim/references", lead),
    (Method::GET, "/sim/secrets", |state, _| Ok(Answer::ok(secrets(state)))),
    (Method::POST, "/sim/secrets", change_secret),
    (Method::GET, "/sim/key-values", |state, _| Ok(Answer::ok(key_values(state)))),
    (Method::POST, "/sim/key-values", change_key_value),
    (Method::POST, "/sim/container-secrets", containers::change_secret),
    (Method::POST, "/sim/revisions", containers::change_revision),
    (Method::POST, "/sim/executions", containers::change_execution),
    (Method::POST, "/sim/static-settings", containers::change_static_setting),
    (Method::POST, "/sim/faults", add_faults),
    (Method::DELETE, "/sim/faults", forgive),
    (Method::POST, "/sim/denials", deny),
    (Method::DELETE, "/sim/denials", allow),
    (Method::POST, "/sim/barriers", bar),
    (Method::DELETE, "/sim/barriers", lift),
];

/// Whether a request is for the embedded Azure itself.
pub(crate) fn is_meant(call: &Call) -> bool {
    call.path == "/sim" || call.path.starts_with("/sim/")
}

/// Answers it. Bad input is a 400 that says what is wrong, and changes nothing.
pub(crate) fn serve(state: &mut State, call: &Call) -> Answer {
    let path = call.path.trim_end_matches('/');
    let route = ROUTES.iter().find(|(method, known, _)| *method == call.method && *known == path);
    let Some((_, _, act)) = route else {
        let known: Vec<String> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        return Answer::error(StatusCode::NOT_FOUND, "NotFound", format!("There is {}.", known.join(", ")));
    };
    act(state, call).unwrap_or_else(|error| error)
}

fn forgive(state: &mut State, _: &Call) -> Answered {
    state.faults.clear();
    Ok(Answer::ok(json!({})))
}

fn allow(state: &mut State, _: &Call) -> Answered {
    state.allow_all();
    Ok(Answer::ok(json!({})))
}

fn lift(state: &mut State, _: &Call) -> Answered {
    state.lift_barriers();
    Ok(Answer::ok(json!({})))
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

fn change_secret(state: &mut State, call: &Call) -> Answered {
    let Deed { vault, name, action, value, version } = call.json().map_err(bad)?;
    let version = version.as_deref();
    match action {
        SecretAction::Set => {
            let value = value.ok_or_else(|| bad("`set` needs a value"))?;
            state.set_secret(&vault, &name, &value).map_err(bad)?;
        }
        SecretAction::Enable => state.enable_secret(&vault, &name, version, true).map_err(bad)?,
        SecretAction::Disable => state.enable_secret(&vault, &name, version, false).map_err(bad)?,
        SecretAction::Delete => state.delete_secret(&vault, &name).map_err(bad)?,
        SecretAction::Recover => state.recover_secret(&vault, &name).map_err(bad)?,
        SecretAction::Purge => state.purge_secret(&vault, &name).map_err(bad)?,
    }
    Ok(Answer::ok(json!({})))
}

fn change_key_value(state: &mut State, call: &Call) -> Answered {
    let KeyValueDeed { store, key, label, action, value, content_type } = call.json().map_err(bad)?;
    let label = label.as_deref();
    match action {
        KeyValueAction::Set => {
            let value = value.ok_or_else(|| bad("`set` needs a value"))?;
            state.set_key_value(&store, &key, label, &value).map_err(bad)?;
            if content_type.is_some() {
                state.set_content_type(&store, &key, label, content_type.as_deref()).map_err(bad)?;
            }
        }
        KeyValueAction::Delete => state.delete_key_value(&store, &key, label).map_err(bad)?,
        KeyValueAction::Lock => state.lock_key_value(&store, &key, label, true).map_err(bad)?,
        KeyValueAction::Unlock => state.lock_key_value(&store, &key, label, false).map_err(bad)?,
    }
    Ok(Answer::ok(json!({})))
}

/// All key-values, without their values.
fn key_values(state: &State) -> Value {
    let one = |store: &Store, (name, one): (&Name, &KeyValue)| {
        json!({
            "store": store.id.name(), "key": name.key, "label": name.label, "contentType": one.item.content_type,
            "tags": one.item.tags, "locked": one.locked, "etag": one.etag, "modified": one.modified,
        })
    };
    state.stores.iter().flat_map(|store| store.key_values.iter().map(move |of| one(store, of))).collect()
}

/// All secrets with their versions, the oldest first, without their values.
fn secrets(state: &State) -> Value {
    let version = |version: &Version| {
        let Content { content_type, tags, enabled, nbf, exp, .. } = &version.content;
        json!({
            "id": version.id, "enabled": enabled, "created": version.created, "contentType": content_type,
            "tags": tags, "nbf": nbf, "exp": exp,
        })
    };
    let secret = |vault: &Vault, secret: &Secret| {
        json!({
            "vault": vault.id.name(), "name": secret.name, "deleted": secret.deleted.is_some(),
            "versions": secret.versions.iter().map(version).collect::<Vec<_>>(),
        })
    };
    state.vaults.iter().flat_map(|vault| vault.secrets.values().map(|one| secret(vault, one))).collect()
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
    let instances = state.services.iter().filter(|one| !one.deleted).map(|one| one.id.to_string());
    let apps = state.apps.iter().filter(|app| !app.deleted).map(|app| app.id.to_string());
    let vaults = state.vaults.iter().map(|vault| vault.id.to_string());
    let containers = |kind| {
        let present = state.containers.iter().filter(move |one| !one.deleted && one.id.kind == kind);
        present.map(|one| one.id.to_string()).collect::<Vec<_>>()
    };
    let static_sites = state.static_sites.iter().filter(|site| !site.deleted).map(|site| site.id.to_string());
    let stores = state.stores.iter().map(|store| store.id.to_string());
    json!({
        "containerApps": containers(ContainerKind::App), "containerJobs": containers(ContainerKind::Job),
        "staticWebApps": static_sites.collect::<Vec<_>>(),
        "instances": instances.collect::<Vec<_>>(), "apps": apps.collect::<Vec<_>>(),
        "vaults": vaults.collect::<Vec<_>>(), "appConfigurations": stores.collect::<Vec<_>>(),
    })
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
