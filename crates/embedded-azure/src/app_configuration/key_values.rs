//! The operations on key-values, locks and labels (docs: App Configuration REST API, Key-values; Lock key-values; Labels).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::StatusCode;
use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{filters, found, invalid, problem};
use crate::call::{Answer, Answered, Call};
use crate::faults::FaultKind;
use crate::state::State;
use crate::stores::{Conditions, Item, KeyValue, Name};
use crate::world::app_configurations::is_key;

/// The most items on a page (docs: App Configuration REST API, Pagination; the number is what its clients see).
const PAGE: usize = 100;

/// What of a key-value is written; more may be sent, and is not looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    value: Option<String>,
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

/// `GetKeyValue` and `CheckKeyValue`
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let (at, name) = named(state, call)?;
    let store = &state.stores[at];
    let late = call.fault == Some(FaultKind::Stale);
    let late = late && !store.is_seen_by(call.header("sync-token").unwrap_or_default());
    let found = if late { store.get_late(&name) } else { store.get(&name) };
    let (found, conditions) = (found.ok_or_else(not_found)?, conditions(call));
    if conditions.is_known(Some(&found.etag)) {
        return Ok(Answer::empty(StatusCode::NOT_MODIFIED).with("etag", quoted(&found.etag)));
    }
    check(&conditions, Some(found))?;
    let selected = selected(call);
    Ok(answer(&name, found, selected.as_deref()))
}

/// `GetKeyValues`: in the order of keys and labels.
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let at = found(state, call)?;
    let (keys, labels) = (filters::read(call, "key")?, filters::read(call, "label")?);
    let (tags, selected) = (filters::tags(call)?, selected(call));
    let tagged = |one: &KeyValue| {
        tags.iter().all(|(name, value)| one.item.tags.get(name).is_some_and(|known| known == value))
    };
    let all = state.stores[at].key_values.iter();
    let fitting = all
        .filter(|(name, _)| keys.fits(Some(&name.key)) && labels.fits(name.label.as_deref()))
        .filter(|(_, one)| tagged(one));
    let items: Vec<(String, Value)> = fitting
        .map(|(name, one)| (one.etag.clone(), select(describe(name, one), selected.as_deref())))
        .collect();
    page(call, items, "kvset")
}

/// `GetLabels`: those that key-values have; none is a label of its own.
pub(crate) fn labels(state: &mut State, call: &Call) -> Answered {
    let at = found(state, call)?;
    let filter = filters::read(call, "name")?;
    let all: BTreeSet<Option<&str>> =
        state.stores[at].key_values.keys().map(|name| name.label.as_deref()).collect();
    let fitting = all.into_iter().filter(|label| filter.fits(*label));
    let items = fitting.map(|label| (label.unwrap_or_default().to_owned(), json!({"name": label}))).collect();
    page(call, items, "labelset")
}

/// `PutKeyValue`: the whole of it.
pub(crate) fn put(state: &mut State, call: &Call) -> Answered {
    let (at, name) = named(state, call)?;
    if !is_key(&name.key) {
        return Err(invalid("key", "key(1): Invalid character"));
    }
    // The parser's own words can hold parts of the body, and so a key: they stay out of the answer.
    let malformed = |_| invalid("body", "The body is no key-value of the right members and types.");
    let Body { value, content_type, tags } =
        if call.body.is_empty() { Body::default() } else { call.json().map_err(malformed)? };
    changeable(state, at, &name, call)?;
    let item = Item { value: value.map(Into::into), content_type, tags: tags.unwrap_or_default() };
    // What the caller writes is the caller's doing: nothing is planted.
    state.write_key_value(at, &name, item, Vec::new());
    written(state, at, &name)
}

/// `DeleteKeyValue`: the answer is what is gone.
pub(crate) fn delete(state: &mut State, call: &Call) -> Answered {
    let (at, name) = named(state, call)?;
    changeable(state, at, &name, call)?;
    match state.remove_key_value(at, &name) {
        Some(gone) => Ok(answer(&name, &gone, None)),
        None => Ok(Answer::empty(StatusCode::NO_CONTENT)),
    }
}

/// `PutLock`
pub(crate) fn lock(state: &mut State, call: &Call) -> Answered {
    set_lock(state, call, true)
}

/// `DeleteLock`
pub(crate) fn unlock(state: &mut State, call: &Call) -> Answered {
    set_lock(state, call, false)
}

fn set_lock(state: &mut State, call: &Call, locked: bool) -> Answered {
    let (at, name) = named(state, call)?;
    let present = state.stores[at].get(&name).ok_or_else(not_found)?;
    check(&conditions(call), Some(present))?;
    state.set_lock(at, &name, locked);
    written(state, at, &name)
}

/// The store and the key-value that a call is about.
fn named(state: &State, call: &Call) -> Result<(usize, Name), Answer> {
    Ok((found(state, call)?, Name::new(call.param("key"), call.query("label").as_deref())))
}

fn conditions(call: &Call) -> Conditions {
    let header = |name: &str| call.header(name).map(str::to_owned);
    Conditions { if_match: header("if-match"), if_none_match: header("if-none-match") }
}

/// Whether what a call demands is so. The documents show no body.
fn check(conditions: &Conditions, found: Option<&KeyValue>) -> Result<(), Answer> {
    let allowed = conditions.allow(found.map(|found| found.etag.as_str()));
    if allowed { Ok(()) } else { Err(Answer::empty(StatusCode::PRECONDITION_FAILED)) }
}

/// Whether a key-value may be written or deleted. Which of a lock and a condition comes first no document says.
fn changeable(state: &State, at: usize, name: &Name, call: &Call) -> Result<(), Answer> {
    let found = state.stores[at].get(name);
    if found.is_some_and(|found| found.locked) {
        let title = format!("Modifing key '{}' is not allowed", name.key);
        let detail = "The key is read-only. To allow modification unlock it first.";
        let more = json!({"name": name.key, "detail": detail});
        return Err(problem(StatusCode::CONFLICT, "key-locked", &title, more));
    }
    check(&conditions(call), found)
}

/// A key-value as it is now.
fn written(state: &State, at: usize, name: &Name) -> Answered {
    state.stores[at].get(name).map(|found| answer(name, found, None)).ok_or_else(not_found)
}

fn not_found() -> Answer {
    Answer::empty(StatusCode::NOT_FOUND)
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn answer(name: &Name, found: &KeyValue, selected: Option<&[String]>) -> Answer {
    Answer::ok(select(describe(name, found), selected))
        .with("content-type", "application/vnd.microsoft.appconfig.kv+json; charset=utf-8")
        .with("etag", quoted(&found.etag))
        .with("last-modified", found.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn describe(name: &Name, found: &KeyValue) -> Value {
    let KeyValue { etag, item, locked, modified, .. } = found;
    json!({
        "etag": etag, "key": name.key, "label": name.label, "content_type": item.content_type, "value": item.expose(),
        "tags": item.tags, "locked": locked,
        "last_modified": modified.to_rfc3339_opts(SecondsFormat::Secs, false),
    })
}

/// The fields that are asked for; nothing for all.
fn selected(call: &Call) -> Option<Vec<String>> {
    let text = call.query("$Select").filter(|text| !text.is_empty())?;
    Some(text.split(',').map(|field| field.trim().to_owned()).collect())
}

fn select(mut item: Value, selected: Option<&[String]>) -> Value {
    if let (Some(selected), Value::Object(fields)) = (selected, &mut item) {
        fields.retain(|name, _| selected.iter().any(|wanted| wanted == name));
    }
    item
}

/// One page of a list. The link to the next is relative, and stands in the body and in a header. Each page has an ETag of its own
/// (docs: Key-values, List key-values conditionally).
fn page(call: &Call, mut items: Vec<(String, Value)>, set: &str) -> Answered {
    let skip = match call.query("After") {
        None => 0,
        Some(text) => text.parse::<usize>().map_err(|_| invalid("After", "After(1): Invalid character"))?,
    };
    let total = items.len();
    let page: Vec<(String, Value)> = items.drain(skip.min(total)..).take(PAGE).collect();
    let mut hasher = DefaultHasher::new();
    page.iter().for_each(|(etag, _)| etag.hash(&mut hasher));
    let etag = format!("{:016x}", hasher.finish());
    let conditions = conditions(call);
    if conditions.is_known(Some(&etag)) {
        return Ok(Answer::empty(StatusCode::NOT_MODIFIED).with("etag", quoted(&etag)));
    }
    let allowed = conditions.allow(Some(&etag));
    if !allowed {
        return Err(Answer::empty(StatusCode::PRECONDITION_FAILED));
    }
    let next = skip + page.len();
    let page: Vec<Value> = page.into_iter().map(|(_, item)| item).collect();
    let mut body = json!({"items": page, "etag": etag});
    let kind = format!("application/vnd.microsoft.appconfig.{set}+json; charset=utf-8");
    let mut link = None;
    if next < total {
        let asked = form_urlencoded::parse(call.query.as_bytes());
        let asked = asked.filter(|(name, _)| !name.eq_ignore_ascii_case("After"));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked).append_pair("After", &next.to_string());
        let next = format!("{}?{}", call.path.trim_end_matches('/'), query.finish());
        link = Some(format!("<{next}>; rel=\"next\""));
        body["@nextLink"] = next.into();
    }
    let answer = Answer::ok(body).with("content-type", kind).with("etag", quoted(&etag));
    Ok(link.into_iter().fold(answer, |answer, link| answer.with("link", link)))
}
