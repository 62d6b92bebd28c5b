//! The operations on secrets (swagger: Key Vault secrets 7.5, and its examples).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{bad_parameter, conflict, forbidden, found, origin};
use crate::call::{Answer, Answered, Call};
use crate::state::State;
use crate::vaults::{Content, Secret, Unreadable, Version};
use crate::world::vaults::{MOST_TAGS, is_secret_name};

/// How long a deleted secret can be recovered, in days (docs: Azure Key Vault soft-delete overview).
const RETENTION: i64 = 90;

/// The most items on a page, and how many there are if nobody says otherwise (swagger: maxresults).
const MOST_RESULTS: usize = 25;

/// What of a secret is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    value: Option<String>,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    attributes: Attributes,
}

/// Times are whole Unix seconds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

/// `GetSecret`: the newest version, or the one that is named. Where the newest is disabled, no older one takes its place (tests
/// of azure-sdk-for-js).
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let (at, name, version) = (found(state, call)?, call.param("secret"), version(call));
    let vault = &state.vaults[at];
    let read = vault.read(name, version).map_err(|why| match why {
        Unreadable::NoSecret | Unreadable::NoVersion => not_found(call),
        Unreadable::Disabled => {
            forbidden("Operation get is not allowed on a disabled secret.", "SecretDisabled")
        }
    })?;
    let secret = vault.secret(name).ok_or_else(|| not_found(call))?;
    Ok(Answer::ok(bundle(call, secret, read, true)))
}

/// `GetSecrets`: without their values.
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let at = found(state, call)?;
    let present = state.vaults[at].secrets.values().filter(|secret| secret.deleted.is_none());
    let newest = present.filter_map(|secret| Some((secret, secret.version(None)?)));
    let items = newest.map(|(secret, version)| item(call, &secret.name, None, version)).collect();
    page(call, items)
}

/// `GetSecretVersions`: without their values. No order is documented; here it is that of their ids, which tells nothing of
/// their age.
pub(crate) fn versions(state: &mut State, call: &Call) -> Answered {
    let at = found(state, call)?;
    let secret = state.vaults[at].secret(call.param("secret")).ok_or_else(|| not_found(call))?;
    let mut versions: Vec<&Version> = secret.versions.iter().collect();
    versions.sort_by(|one, other| one.id.cmp(&other.id));
    page(call, versions.into_iter().map(|one| item(call, &secret.name, Some(&one.id), one)).collect())
}

/// `SetSecret`: a new version, which takes nothing over from the one before.
pub(crate) fn set(state: &mut State, call: &Call) -> Answered {
    let (at, name) = (found(state, call)?, call.param("secret"));
    if !is_secret_name(name) {
        return Err(bad_parameter("The name of a secret is 1 to 127 letters, digits and hyphens."));
    }
    let body = read(call)?;
    let value = body.value.ok_or_else(|| bad_parameter("The value of the secret is missing."))?;
    if state.vaults[at].deleted(name).is_some() {
        let message = format!(
            "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, \
             the secret can only be recovered or purged."
        );
        return Err(conflict(&message, "ObjectIsDeletedButRecoverable"));
    }
    let content = Content {
        content_type: body.content_type,
        tags: body.tags.unwrap_or_default(),
        enabled: body.attributes.enabled.unwrap_or(true),
        nbf: body.attributes.nbf,
        exp: body.attributes.exp,
        ..Content::of(value)
    };
    // What the caller writes is the caller's doing: nothing is planted.
    state.add_version(at, name, content, Vec::new());
    answer(state, at, call, true)
}

/// `UpdateSecret`: what is not sent stays, and the value cannot be sent. Without a version it is the newest.
pub(crate) fn update(state: &mut State, call: &Call) -> Answered {
    let (at, name, now) = (found(state, call)?, call.param("secret"), state.now.timestamp());
    let Body { content_type, tags, attributes, .. } = read(call)?;
    let secret = state.vaults[at].secret_mut(name).ok_or_else(|| not_found(call))?;
    let version = secret.version_mut(version(call)).ok_or_else(|| not_found(call))?;
    let content = &mut version.content;
    content.content_type = content_type.or(content.content_type.take());
    content.tags = tags.unwrap_or_else(|| std::mem::take(&mut content.tags));
    content.enabled = attributes.enabled.unwrap_or(content.enabled);
    content.nbf = attributes.nbf.or(content.nbf);
    content.exp = attributes.exp.or(content.exp);
    version.updated = now;
    state.secret_changed(at, name, "updated");
    answer(state, at, call, false)
}

/// `DeleteSecret`: it can be recovered, and its name is taken until it is purged.
pub(crate) fn delete(state: &mut State, call: &Call) -> Answered {
    let name = call.param("secret");
    state.delete_secret(call.param("vault"), name).map_err(|_| not_found(call))?;
    get_deleted(state, call)
}

/// `GetDeletedSecret`
pub(crate) fn get_deleted(state: &mut State, call: &Call) -> Answered {
    let at = found(state, call)?;
    let secret = state.vaults[at].deleted(call.param("secret")).ok_or_else(|| not_deleted(call))?;
    Ok(Answer::ok(deleted(call, secret)))
}

/// `GetDeletedSecrets`
pub(crate) fn list_deleted(state: &mut State, call: &Call) -> Answered {
    let at = found(state, call)?;
    let gone = state.vaults[at].secrets.values().filter(|secret| secret.deleted.is_some());
    page(call, gone.map(|secret| deleted(call, secret)).collect())
}

/// `RecoverDeletedSecret`
pub(crate) fn recover(state: &mut State, call: &Call) -> Answered {
    let at = found(state, call)?;
    state.recover_secret(call.param("vault"), call.param("secret")).map_err(|_| not_deleted(call))?;
    answer(state, at, call, false)
}

/// `PurgeDeletedSecret`
pub(crate) fn purge(state: &mut State, call: &Call) -> Answered {
    state.purge_secret(call.param("vault"), call.param("secret")).map_err(|_| not_deleted(call))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn version(call: &Call) -> Option<&str> {
    Some(call.param("version")).filter(|version| !version.is_empty())
}

/// The version that a call is about, as it is now.
fn answer(state: &State, at: usize, call: &Call, with_value: bool) -> Answered {
    let secret = state.vaults[at].secret(call.param("secret")).ok_or_else(|| not_found(call))?;
    let version = secret.version(version(call)).ok_or_else(|| not_found(call))?;
    Ok(Answer::ok(bundle(call, secret, version, with_value)))
}

/// The parser's own words can hold parts of the body, and so a key: they stay out of the answer.
fn read(call: &Call) -> Result<Body, Answer> {
    let malformed = |_| bad_parameter("The body is no JSON object of the right members and types.");
    let body: Body = call.json().map_err(malformed)?;
    let tags = body.tags.as_ref().map_or(0, BTreeMap::len);
    if tags > MOST_TAGS {
        return Err(bad_parameter("A secret has at most 15 tags."));
    }
    Ok(body)
}

/// `SecretBundle`
fn bundle(call: &Call, secret: &Secret, version: &Version, with_value: bool) -> Value {
    let mut bundle = item(call, &secret.name, Some(&version.id), version);
    if with_value {
        bundle["value"] = version.content.expose().into();
    }
    bundle
}

/// `SecretItem`: without a version the id is that of the secret.
fn item(call: &Call, name: &str, version: Option<&str>, of: &Version) -> Value {
    let Content { content_type, tags, enabled, nbf, exp, .. } = &of.content;
    let mut attributes = json!({
        "enabled": enabled, "created": of.created, "updated": of.updated,
        "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": RETENTION,
    });
    for (name, time) in [("nbf", nbf), ("exp", exp)] {
        if let Some(time) = time {
            attributes[name] = (*time).into();
        }
    }
    let version = version.map(|version| format!("/{version}")).unwrap_or_default();
    let mut item =
        json!({"id": format!("{}/secrets/{name}{version}", origin(call)), "attributes": attributes});
    if let Some(content_type) = content_type {
        item["contentType"] = content_type.as_str().into();
    }
    if !tags.is_empty() {
        item["tags"] = json!(tags);
    }
    item
}

/// `DeletedSecretBundle`
fn deleted(call: &Call, secret: &Secret) -> Value {
    let newest = secret.version(None).map(|version| bundle(call, secret, version, false));
    let mut bundle = newest.unwrap_or_default();
    let at = secret.deleted.unwrap_or_default();
    let purged = DateTime::<Utc>::from_timestamp(at, 0).map(|at| at + TimeDelta::days(RETENTION));
    bundle["recoveryId"] = format!("{}/deletedsecrets/{}", origin(call), secret.name).into();
    bundle["deletedDate"] = at.into();
    bundle["scheduledPurgeDate"] = purged.map(|at| at.timestamp()).into();
    bundle
}

/// One page of a list. Links have a port even where it goes without saying (swagger: examples).
fn page(call: &Call, mut items: Vec<Value>) -> Answered {
    let number = |name: &str| match call.query(name) {
        None => Ok(None),
        Some(text) => {
            text.parse::<usize>().map(Some).map_err(|_| bad_parameter(&format!("{name} is invalid.")))
        }
    };
    let most = number("maxresults")?.unwrap_or(MOST_RESULTS);
    if !(1..=MOST_RESULTS).contains(&most) {
        return Err(bad_parameter("maxresults is from 1 to 25."));
    }
    let (skip, total) = (number("$skiptoken")?.unwrap_or_default(), items.len());
    let page: Vec<Value> = items.drain(skip.min(total)..).take(most).collect();
    let next = skip + page.len();
    let port = if call.host.contains(':') { "" } else { ":443" };
    let link = (next < total).then(|| {
        let version = call.query("api-version").unwrap_or_default();
        format!(
            "{}{port}{}?api-version={version}&$skiptoken={next}&maxresults={most}",
            origin(call),
            call.path.trim_end_matches('/')
        )
    });
    Ok(Answer::ok(json!({"value": page, "nextLink": link})))
}

/// The texts are those of recordings (azure-sdk-for-js).
fn not_found(call: &Call) -> Answer {
    let version = version(call).map(|version| format!("/{version}")).unwrap_or_default();
    let message = format!(
        "A secret with (name/id) {}{version} was not found in this key vault. If you recently deleted this secret you may \
         be able to recover it using the correct recovery command.",
        call.param("secret")
    );
    Answer::error(StatusCode::NOT_FOUND, "SecretNotFound", message)
}

fn not_deleted(call: &Call) -> Answer {
    let message = format!("Deleted Secret not found: {}", call.param("secret"));
    Answer::error(StatusCode::NOT_FOUND, "SecretNotFound", message)
}
