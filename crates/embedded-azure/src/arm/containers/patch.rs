//! What a PATCH makes of a container app or job (RFC 7396; swagger: Microsoft.App). What is refused has the codes and words of
//! public reports.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::resource_type;
use crate::arm::bad_request;
use crate::call::{Answer, Call};
use crate::containers::secrets::Secret;
use crate::containers::writes::Change;
use crate::containers::{Container, template};
use crate::platform::Platform;
use crate::roles;
use crate::state::State;
use crate::world::containers::FromVault;

/// The action for the environment that a container app is in (field role definitions).
const JOIN: &str = "Microsoft.App/managedEnvironments/join/action";

/// The action for an identity by which secrets are fetched.
const ASSIGN: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

/// What only Azure says: that it comes back changes nothing.
const READ_ONLY: [&str; 7] = [
    "provisioningState",
    "managedEnvironmentId",
    "runningStatus",
    "latestRevisionName",
    "latestReadyRevisionName",
    "latestRevisionFqdn",
    "environmentId",
];

/// What a container app or job becomes by a call. Secrets are fetched from vaults anew, and all of them have to be there.
pub(super) fn read(container: &Container, platform: &Platform<'_>, call: &Call) -> Result<Change, Answer> {
    let Ok(Value::Object(mut body)) = call.json::<Value>() else {
        return Err(bad_request("InvalidRequestContent", "The body is no JSON object."));
    };
    body.retain(|name, _| matches!(name.as_str(), "tags" | "properties"));
    let given = take_secrets(&mut body);
    if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
        READ_ONLY.into_iter().for_each(|name| drop(properties.remove(name)));
    }
    let mut document = container.document.clone();
    merge(&mut document, &Value::Object(body));
    let mut secrets = match given {
        Some(given) => read_secrets(&given)?,
        None => container.secrets.clone(),
    };
    let label = container.id.label();
    for secret in &mut secrets {
        secret.fetch(&label, platform).map_err(|()| unreachable_secret(secret))?;
    }
    check_references(&document["properties"]["template"], &secrets)?;
    Ok(Change { document, secrets })
}

/// Takes the secrets out of a body; nothing if it says nothing of them.
fn take_secrets(body: &mut Map<String, Value>) -> Option<Value> {
    let properties = body.get_mut("properties")?;
    let configuration = properties.get_mut("configuration")?;
    match configuration {
        // That takes away the configuration, and with it the secrets.
        Value::Null => Some(Value::Null),
        _ => configuration.as_object_mut()?.remove("secrets"),
    }
}

/// The array as a whole: what is not in it is gone.
fn read_secrets(given: &Value) -> Result<Vec<Secret>, Answer> {
    let given = match given {
        Value::Null => return Ok(Vec::new()),
        Value::Array(given) => given,
        _ => return Err(bad_request("InvalidRequestContent", "The secrets are no array.")),
    };
    let mut secrets: Vec<Secret> = Vec::new();
    let mut without: Vec<String> = Vec::new();
    for one in given {
        let text = |name: &str| one[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let name = text("name").filter(|name| is_name(name));
        let name = name.ok_or_else(|| {
            let message = "Invalid Request: Container app secret name must consist of lower case alphanumeric characters, \
                           '-' or '.', and must start and end with an alphanumeric character.";
            bad_request("ContainerAppSecretInvalid", message)
        })?;
        if secrets.iter().any(|known| known.name == name) {
            let message = format!(
                "Invalid Request: Container app secret with name '{name}' is specified more than once."
            );
            return Err(bad_request("ContainerAppSecretDuplicated", message));
        }
        let (vault, value) = match (text("value"), text("keyVaultUrl"), text("identity")) {
            (Some(value), None, _) => (None, Some(value)),
            (None, Some(url), Some(identity)) => (Some(FromVault { url, identity }), None),
            // Whether a value beside a URL is taken no document says: here it is not.
            _ => {
                without.push(name);
                continue;
            }
        };
        secrets.push(Secret { name, vault, value, planted: Vec::new() });
    }
    if without.is_empty() {
        return Ok(secrets);
    }
    let message = format!(
        "Invalid Request: Container app secret(s) with name(s) '{}' are invalid: value or keyVaultUrl and identity should \
         be provided.",
        without.join(", ")
    );
    Err(bad_request("ContainerAppSecretInvalid", message))
}

fn is_name(name: &str) -> bool {
    let inner = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.iter().all(|sign| inner(*sign) || matches!(sign, b'-' | b'.'))
        && [bytes.first(), bytes.last()].into_iter().all(|sign| sign.is_some_and(|sign| inner(*sign)))
}

fn unreachable_secret(secret: &Secret) -> Answer {
    let (name, identity) = (&secret.name, secret.vault.as_ref().map_or("", |vault| &vault.identity));
    let identity = if identity.eq_ignore_ascii_case("System") { "system" } else { identity };
    let message = format!(
        "The following field(s) are either invalid or missing. Field 'configuration.secrets' is invalid with details: \
         'Invalid value: \"{name}\": Unable to get value using Managed identity {identity} for secret {name}. Error: unable \
         to fetch secret '{name}' using Managed identity '{identity}'';."
    );
    bad_request("InvalidParameterValueInContainerTemplate", message)
}

/// A template may name no secret that is not there.
fn check_references(template: &Value, secrets: &[Secret]) -> Result<(), Answer> {
    let is_there = |name: &str| secrets.iter().any(|secret| secret.name == name);
    let lost = |container: &str, name: &str| {
        let message = format!("SecretRef '{name}' defined for container '{container}' not found.");
        Err(bad_request("ContainerAppSecretRefNotFound", message))
    };
    if let Some((container, name)) = template::in_variables(template).find(|(_, name)| !is_there(name)) {
        return lost(container, name);
    }
    let mounted = template::mounted(template).unwrap_or_default();
    mounted.into_iter().find(|name| !is_there(name)).map_or(Ok(()), |name| lost("volumes", name))
}

/// A write needs more than the right to write: the environment is joined, and identities are assigned. ARM refuses what is
/// linked with a code of its own (public logs). Whether it looks at what is not changed is not confirmed: here it does.
pub(super) fn check_links(state: &State, at: usize, change: &Change, call: &Call) -> Result<(), Answer> {
    let container = &state.containers[at];
    let environment = (container.id.environment(), JOIN);
    let vaults = change.secrets.iter().filter_map(|secret| secret.vault.as_ref());
    let identities = vaults.filter(|vault| vault.identity.starts_with('/'));
    let identities = identities.map(|vault| (vault.identity.clone(), ASSIGN));
    let mut links = std::iter::once(environment).chain(identities);
    let denied = links.find(|(scope, action)| !roles::may(&state.denials, scope, action));
    let Some((scope, action)) = denied else { return Ok(()) };
    let (client, path) = (state.identity.describe(), &call.path);
    let write = format!("{}/write", resource_type(container.id.kind));
    let message = format!(
        "The client {client} has permission to perform action '{write}' on scope '{path}'; however, it does not have \
         permission to perform action(s) '{action}' on the linked scope(s) '{scope}' (respectively) or the linked scope(s) \
         are invalid."
    );
    Err(Answer::error(StatusCode::FORBIDDEN, "LinkedAuthorizationFailed", message))
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_is_merged_as_the_rfc_says() {
        // The examples of RFC 7396, appendix A.
        for (original, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = original.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, result, "{original} {patch}");
        }
    }
}
