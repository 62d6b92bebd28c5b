//! Microsoft.SignalRService, api-version 2024-03-01.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{bad_request, page, resource_not_found};
use crate::call::{Answer, Answered, Call};
use crate::faults::FaultKind;
use crate::ids::{Key, KeyType, Pair, ServiceId, connection_string};
use crate::options::KeysOff;
use crate::regeneration::Requested;
use crate::service::{Course, Operation, Service, Status};
use crate::state::State;

/// Azure writes this type with a capital S, while the swagger's paths have a small one (recorded): clients must
/// compare ids without regard to case.
const TYPE: &str = "Microsoft.SignalRService/SignalR";

#[derive(Deserialize)]
struct RegenerateBody {
    #[serde(rename = "keyType")]
    key_type: Option<String>,
}

/// `SignalR_ListBySubscription` and `SignalR_ListByResourceGroup`
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let group = call.param("group");
    let within = |one: &&Service| group.is_empty() || one.id.group.eq_ignore_ascii_case(group);
    let present = state.services.iter().filter(|one| !one.deleted).filter(within);
    let items = present.map(|one| describe(state, one)).collect();
    page(state, call, items)
}

/// `SignalR_Get`
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    Ok(Answer::ok(describe(state, &state.services[at])))
}

/// What a resource may have of tags (docs: Use tags to organize your Azure resources, limitations).
const MOST_TAGS: usize = 50;
const LONGEST_TAG_NAME: usize = 512;
const LONGEST_TAG: usize = 256;

#[derive(Deserialize)]
struct TagsPatch {
    operation: Option<String>,
    #[serde(default)]
    properties: TagsProperties,
}

#[derive(Default, Deserialize)]
struct TagsProperties {
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// `Tags_UpdateAtScope` (swagger Microsoft.Resources 2021-04-01): `Merge` adds and changes, `Replace` leaves no others, `Delete`
/// takes away those of this name and value. Names compare without regard to case (docs: Use tags).
pub(crate) fn update_tags(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let invalid = |message: &str| bad_request("InvalidRequestContent", message);
    let patch = call.json::<TagsPatch>().map_err(|_| invalid("The request content was invalid."))?;
    let given = patch.properties.tags;
    let mut tags = state.services[at].tags.clone();
    let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    match patch.operation.as_deref().unwrap_or_default().to_ascii_lowercase().as_str() {
        "merge" => {
            for (name, value) in given {
                // The name stays as it was first written.
                let known = tags.keys().find(|known| is(known, &name)).cloned();
                tags.insert(known.unwrap_or(name), value);
            }
        }
        "replace" => tags = given,
        "delete" => tags.retain(|name, value| {
            !given.iter().any(|(gone, of)| is(gone, name) && (of.is_empty() || of == value))
        }),
        _ => return Err(invalid("The operation is Replace, Merge or Delete.")),
    }
    let too_long = |(name, value): (&String, &String)| {
        name.chars().count() > LONGEST_TAG_NAME || value.chars().count() > LONGEST_TAG
    };
    if tags.len() > MOST_TAGS || tags.iter().any(too_long) {
        return Err(bad_request("InvalidTags", "The tags are too many, or too long."));
    }
    state.services[at].tags = tags;
    let service = &state.services[at];
    Ok(Answer::ok(json!({
        "id": format!("{}/providers/Microsoft.Resources/tags/default", resource_id(service)),
        "name": "default", "type": "Microsoft.Resources/tags", "properties": {"tags": service.tags},
    })))
}

/// `SignalRReplicas_List`, as in the swagger's example of it.
pub(crate) fn replicas(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let service = &state.services[at];
    let replica = |region: &String| {
        json!({
            "id": format!("{}/replicas/{region}", resource_id(service)),
            "name": region,
            "type": "Microsoft.SignalRService/SignalR/replicas",
            "location": region,
            "sku": {"name": "Premium_P1", "tier": "Premium", "size": "P1", "capacity": 1},
            "properties": {
                "provisioningState": "Succeeded", "regionEndpointEnabled": "Enabled", "resourceStopped": "false",
            },
        })
    };
    let items = service.replicas.iter().map(replica).collect();
    page(state, call, items)
}

/// `SignalR_ListKeys`: all four strings (Azure CLI recording, 2024-10). Where access keys are switched off there are none.
pub(crate) fn list_keys(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let service = &state.services[at];
    match (service.disable_local_auth, state.options.keys_off) {
        (true, KeysOff::Empty) => Ok(Answer::ok(json!({}))),
        (true, KeysOff::Refused) => Err(keys_are_off("list")),
        (false, _) => Ok(Answer::ok(describe_keys(&service.host(), &service.listed()))),
    }
}

/// The words of Azure AI services for a `listKeys` of a resource whose keys are switched off (public reports).
fn keys_are_off(what: &str) -> Answer {
    bad_request("BadRequest", format!("Failed to {what} key. disableLocalAuth is set to be true."))
}

/// `SignalR_RegenerateKey`: 202 whose body already holds the new key, `Azure-AsyncOperation` and `Location` of some
/// 3.3 KB, no `Retry-After` (Azure CLI recording, 2024-10). The key type is taken in any case (same recording), and
/// `Salt` changes neither key (swagger: KeyType).
pub(crate) fn regenerate_key(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let wanted = call.json::<RegenerateBody>().ok().and_then(|body| body.key_type);
    let wanted = wanted.ok_or_else(|| bad_request("InvalidRequestContent", "The keyType is missing."))?;
    let key_type = match wanted.to_ascii_lowercase().as_str() {
        "primary" => Some(KeyType::Primary),
        "secondary" => Some(KeyType::Secondary),
        "salt" => None,
        _ => {
            let message = format!("The keyType '{wanted}' is invalid. It is Primary, Secondary or Salt.");
            return Err(bad_request("InvalidKeyType", message));
        }
    };
    // What is deleted cannot be made anew. No document says how that is answered.
    if state.services[at].disable_local_auth {
        return Err(keys_are_off("regenerate"));
    }
    let course = match call.fault {
        Some(FaultKind::NoEffect) => Course::WithoutEffect,
        Some(FaultKind::OperationFailed) => Course::Fail,
        _ => Course::Rotate,
    };
    let version = call.query("api-version").unwrap_or_default();
    match state.begin_regeneration(at, key_type, course, &version) {
        Requested::Busy => Err(Answer::error(
            // "PrimaryKey and SecondaryKey cannot be regenerated at the same time" (swagger). The status and code
            // are not recorded; 409 Conflict is what ARM's providers answer while another operation runs.
            StatusCode::CONFLICT,
            "Conflict",
            "Another operation is in progress on this resource. PrimaryKey and SecondaryKey cannot be regenerated at \
             the same time.",
        )),
        Requested::Accepted { operation, keys } => {
            let answer = Answer::new(StatusCode::ACCEPTED, describe_keys(&state.services[at].host(), &keys));
            Ok(with_links(state, call, &state.operations[operation], answer))
        }
    }
}

/// The `Azure-AsyncOperation` URL (docs: Track asynchronous Azure operations).
pub(crate) fn operation_status(state: &mut State, call: &Call) -> Answered {
    let operation = find_operation(state, call)?;
    let mut body = json!({
        "id": operation_id(state, operation),
        "name": operation.id,
        "status": match operation.status {
            Status::Running => "Running",
            Status::Succeeded => "Succeeded",
            Status::Failed => "Failed",
        },
        "startTime": azure_time(operation.started),
    });
    if operation.status != Status::Running {
        body["endTime"] = azure_time(operation.due).into();
    }
    if operation.status == Status::Failed {
        body["error"] = failure();
    }
    Ok(retry_after(state, operation, Answer::ok(body)))
}

/// The `Location` URL: 202 while the operation runs, then its result (swagger: final-state-via location).
pub(crate) fn operation_result(state: &mut State, call: &Call) -> Answered {
    let operation = find_operation(state, call)?;
    let service = &state.services[operation.service];
    match operation.status {
        Status::Running => Ok(with_links(state, call, operation, Answer::empty(StatusCode::ACCEPTED))),
        Status::Succeeded if service.disable_local_auth => Ok(Answer::ok(json!({}))),
        Status::Succeeded => Ok(Answer::ok(describe_keys(&service.host(), &service.listed()))),
        Status::Failed => Err(Answer::new(StatusCode::INTERNAL_SERVER_ERROR, json!({"error": failure()}))),
    }
}

fn failure() -> Value {
    json!({"code": "InternalServerError", "message": "The key could not be regenerated."})
}

fn find(state: &State, call: &Call) -> Result<usize, Answer> {
    let fits = |one: &Service| {
        !one.deleted
            && one.id.name().eq_ignore_ascii_case(call.param("name"))
            && one.id.group.eq_ignore_ascii_case(call.param("group"))
    };
    state.services.iter().position(fits).ok_or_else(|| resource_not_found(TYPE, call))
}

fn find_operation<'state>(state: &'state State, call: &Call) -> Result<&'state Operation, Answer> {
    let at = find(state, call)?;
    let id = call.param("operation");
    let operation =
        state.operations.iter().find(|known| known.service == at && known.id.eq_ignore_ascii_case(id));
    let operation = operation.ok_or_else(|| resource_not_found(TYPE, call))?;
    // Since 2024 these URLs are signed: whoever rebuilds them or re-encodes their query has another URL.
    if operation.query != call.query {
        return Err(bad_request("InvalidOperationUrl", "The signature of the operation's URL does not fit."));
    }
    Ok(operation)
}

fn with_links(state: &State, call: &Call, operation: &Operation, answer: Answer) -> Answer {
    let service = resource_id(&state.services[operation.service]);
    // A name that leads nowhere (RFC 6761), for no test may leave this machine.
    let elsewhere = call.fault == Some(FaultKind::ForeignHost);
    let base = if elsewhere { "https://eastus.management.azure.invalid" } else { &call.base };
    let (id, query) = (&operation.id, &operation.query);
    let answer = answer
        .with("azure-asyncoperation", format!("{base}{service}/operationStatuses/{id}?{query}"))
        .with("location", format!("{base}{service}/operationResults/{id}?{query}"));
    retry_after(state, operation, answer)
}

fn retry_after(state: &State, operation: &Operation, answer: Answer) -> Answer {
    match state.options.retry_after.filter(|_| operation.status == Status::Running) {
        Some(seconds) => answer.with("retry-after", seconds.to_string()),
        None => answer,
    }
}

fn operation_id(state: &State, operation: &Operation) -> String {
    format!("{}/operationStatuses/{}", resource_id(&state.services[operation.service]), operation.id)
}

fn resource_id(service: &Service) -> String {
    let ServiceId { subscription, group, name } = &service.id;
    format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{TYPE}/{name}")
}

fn describe_keys(host: &str, keys: &Pair<Key>) -> Value {
    json!({
        "primaryKey": keys.primary.expose(),
        "secondaryKey": keys.secondary.expose(),
        "primaryConnectionString": connection_string(host, &keys.primary),
        "secondaryConnectionString": connection_string(host, &keys.secondary),
    })
}

/// A resource as in the swagger's example SignalR_Get.
pub(crate) fn describe(state: &State, service: &Service) -> Value {
    let created = azure_time(state.started);
    json!({
        "id": resource_id(service),
        "name": service.id.name(),
        "type": TYPE,
        "kind": "SignalR",
        "location": "eastus",
        "tags": service.tags,
        "sku": {"name": "Standard_S1", "tier": "Standard", "size": "S1", "capacity": 1},
        "properties": {
            "provisioningState": "Succeeded",
            "externalIP": "10.0.0.1",
            "hostName": service.host(),
            "publicPort": 443,
            "serverPort": 443,
            "version": "1.0",
            "privateEndpointConnections": [],
            "sharedPrivateLinkResources": [],
            "tls": {"clientCertEnabled": false},
            "features": [{"flag": "ServiceMode", "value": service.mode, "properties": {}}],
            "cors": {"allowedOrigins": ["*"]},
            "networkACLs": {
                "defaultAction": "Deny",
                "publicNetwork": {"allow": ["ServerConnection", "ClientConnection", "RESTAPI", "Trace"]},
                "privateEndpoints": [],
            },
            "publicNetworkAccess": "Enabled",
            "disableLocalAuth": service.disable_local_auth,
            "disableAadAuth": false,
            "regionEndpointEnabled": "Enabled",
            "resourceStopped": "false",
        },
        "systemData": {
            "createdBy": "simulator", "createdByType": "Application", "createdAt": created,
            "lastModifiedBy": "simulator", "lastModifiedByType": "Application", "lastModifiedAt": created,
        },
    })
}

/// Seven decimals, as .NET prints them and the recordings show.
fn azure_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true).replace('Z', "0Z")
}
