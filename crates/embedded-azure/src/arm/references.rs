//! Key Vault references of an app, as Microsoft.Web tells of them (swagger: Microsoft.Web 2023-12-01,
//! `ApiKVReferenceCollection`). Whether those to App Configuration are among them is a switch: no document says it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{page, web};
use crate::app::App;
use crate::call::{Answer, Answered, Call};
use crate::platform::{Resolution, ResolveStatus};
use crate::references::{Reference, Source};
use crate::state::State;

/// `WebApps_GetAppSettingsKeyVaultReferences[Slot]`
pub(crate) fn of_settings(state: &mut State, call: &Call) -> Answered {
    let at = web::find(state, call)?;
    let items = settings(state, at);
    page(state, call, items)
}

/// `WebApps_GetAppSettingKeyVaultReference[Slot]`
pub(crate) fn of_setting(state: &mut State, call: &Call) -> Answered {
    let at = web::find(state, call)?;
    one(settings(state, at), call)
}

/// `WebApps_GetSiteConnectionStringKeyVaultReferences[Slot]`
pub(crate) fn of_connection_strings(state: &mut State, call: &Call) -> Answered {
    let at = web::find(state, call)?;
    let items = connection_strings(state, at);
    page(state, call, items)
}

/// `WebApps_GetSiteConnectionStringKeyVaultReference[Slot]`
pub(crate) fn of_connection_string(state: &mut State, call: &Call) -> Answered {
    let at = web::find(state, call)?;
    one(connection_strings(state, at), call)
}

/// Fetches the references again, which takes a while. It is in no swagger (docs: Use Key Vault references, Rotation, for the
/// request; what it answers is what public scripts read of it). When it is done, and whether those of connection strings
/// are among them, as here, nobody says.
pub(crate) fn refresh(state: &mut State, call: &Call) -> Answered {
    let at = web::find(state, call)?;
    state.begin_refresh(at);
    Ok(Answer::ok(json!({"value": settings(state, at)})))
}

fn settings(state: &State, at: usize) -> Vec<Value> {
    let app = &state.apps[at];
    let values = app.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    describe(state, app, "appsettings", values)
}

fn connection_strings(state: &State, at: usize) -> Vec<Value> {
    let app = &state.apps[at];
    let values = app.connection_strings.iter().map(|(name, entry)| (name.as_str(), entry.value.as_str()));
    describe(state, app, "connectionstrings", values)
}

fn one(references: Vec<Value>, call: &Call) -> Answered {
    let wanted = call.param("key");
    let is_wanted =
        |reference: &Value| reference["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    references.into_iter().find(is_wanted).map(Answer::ok).ok_or_else(|| {
        let message = format!("There is no Key Vault reference named '{wanted}'.");
        Answer::error(StatusCode::NOT_FOUND, "NotFound", message)
    })
}

/// The references among the values of a section. The form of `identityType` and the texts of `details` are not confirmed.
fn describe<'a>(
    state: &State,
    app: &'a App,
    section: &str,
    values: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<Value> {
    let kind = match app.id.slot {
        Some(_) => "Microsoft.Web/sites/slots/config/configreferences",
        None => "Microsoft.Web/sites/config/configreferences",
    };
    let described = |(name, value): (&str, &str)| {
        let resolution = app.resolved.get(value)?;
        let listed = source(resolution) == Source::KeyVault || state.options.app_configuration_listed;
        let properties = listed.then(|| properties(app, value, resolution))?;
        let id = format!("{}/config/configreferences/{section}/{name}", app.id);
        Some(json!({"id": id, "name": name, "type": kind, "properties": properties}))
    };
    values.filter_map(described).collect()
}

fn source(resolution: &Resolution) -> Source {
    match resolution.reference {
        Reference::KeyValue(_) | Reference::Malformed(Source::AppConfiguration) => Source::AppConfiguration,
        Reference::Secret(_) | Reference::Malformed(Source::KeyVault) => Source::KeyVault,
    }
}

fn properties(app: &App, value: &str, resolution: &Resolution) -> Value {
    let (vault, name, version) = match &resolution.reference {
        Reference::KeyValue(_) | Reference::Malformed(_) => (None, None, None),
        Reference::Secret(secret) => (Some(&secret.vault), Some(&secret.name), secret.version.as_ref()),
    };
    let details = match resolution.status {
        ResolveStatus::Resolved => "Reference has been successfully resolved.",
        ResolveStatus::InvalidSyntax => "The reference is not written as it has to be.",
        ResolveStatus::VaultNotFound => "The key vault was not found.",
        ResolveStatus::SecretNotFound => "The secret was not found in the key vault.",
        ResolveStatus::SecretVersionNotFound => "The version of the secret was not found.",
        ResolveStatus::AccessToKeyVaultDenied => "The identity of the app may not read the secret.",
        ResolveStatus::MsiNotEnabled => {
            "The app does not have the identity by which the secret is to be read."
        }
        ResolveStatus::OtherReasons => "The secret could not be read.",
    };
    let source = match source(resolution) {
        Source::KeyVault => "KeyVault",
        Source::AppConfiguration => "AppConfiguration",
    };
    json!({
        "reference": value,
        "status": resolution.status.name(),
        "vaultName": vault,
        "secretName": name,
        "secretVersion": version,
        "activeVersion": resolution.version,
        "identityType": match &app.identity.references {
            None => json!({"type": "SystemAssigned"}),
            Some(id) => json!({"type": "UserAssigned", "userAssignedIdentities": {id.as_str(): {}}}),
        },
        "details": details,
        "source": source,
    })
}
