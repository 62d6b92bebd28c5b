//! From what was delivered to events. Lenient, for senders differ: a member may be missing, be another kind of value, or
//! hold its JSON as text.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Alert, Bridge, Event};

/// Why a body is not what it should be. It names the member at fault and holds nothing of the content, which can carry
/// function keys and claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {fault}")]
pub struct Malformed {
    member: Cow<'static, str>,
    fault: Cow<'static, str>,
}

impl Malformed {
    pub(crate) fn new(member: impl Into<Cow<'static, str>>, fault: impl Into<Cow<'static, str>>) -> Self {
        Self { member: member.into(), fault: fault.into() }
    }
}

/// The most events that Event Grid puts into one delivery (docs: Event Grid output batching).
const MOST_EVENTS: usize = 5000;

/// `schemaId` of an alert (docs: Azure Monitor common alert schema).
const COMMON_ALERT_SCHEMA: &str = "azureMonitorCommonAlertSchema";

/// Reads an event, a list of events, or an alert; `member` is what faults call the value.
pub fn read(value: &Value, member: &str) -> Result<Vec<Event>, Malformed> {
    match value {
        Value::Object(event) => Ok(vec![read_one(event, member)?]),
        Value::Array(events) if events.len() > MOST_EVENTS => {
            Err(Malformed::new(member.to_owned(), format!("it has more than {MOST_EVENTS} events")))
        }
        Value::Array(events) => {
            events.iter().enumerate().map(|(at, event)| read_item(at, event, member)).collect()
        }
        _ => Err(Malformed::new(member.to_owned(), "it is neither an event nor a list of events")),
    }
}

fn read_item(index: usize, event: &Value, member: &str) -> Result<Event, Malformed> {
    let member = format!("{member}, event {index}");
    match event {
        Value::Object(event) => read_one(event, &member),
        _ => Err(Malformed::new(member, "it is no object")),
    }
}

fn read_one(event: &Map<String, Value>, member: &str) -> Result<Event, Malformed> {
    let data = event.get("data").and_then(object).unwrap_or_default();
    if let Some(essentials) = data.get("essentials").and_then(object) {
        return Ok(read_alert(&essentials, &data));
    }
    if let Some(kind) = text(event, &["schemaId"]) {
        return read_old_alert(kind, &data, member);
    }
    let kind = text(event, &["eventType", "type"]);
    let kind = kind.ok_or_else(|| Malformed::new(member.to_owned(), "it has neither eventType nor type"))?;
    let authorization = data.get("authorization").and_then(object).unwrap_or_default();
    let own = ["subject", "topic", "source"].map(|name| text(event, &[name]));
    let more = [text(&data, &["resourceUri"]), text(&authorization, &["scope"])];
    Ok(Event {
        id: text(event, &["id"]),
        time: text(event, &["eventTime", "time"]).and_then(|text| time(&text)),
        resources: own.into_iter().chain(more).flatten().collect(),
        operation: text(&data, &["operationName"]).or_else(|| text(&authorization, &["action"])),
        bridge: Bridge {
            instance: text(&data, &["instance"]),
            key_types: data.get("keyTypes").filter(|types| !types.is_null()).map(texts),
            deadline: text(&data, &["deadline"]),
        },
        kind,
        alert: Alert::default(),
    })
}

/// An alert's `data` (docs: Common alert schema definitions). What its context holds depends on who raised it; that of an
/// activity-log alert has the operation, and that of Service Health what it is about.
fn read_alert(essentials: &Map<String, Value>, data: &Map<String, Value>) -> Event {
    let context = data.get("alertContext").and_then(object).unwrap_or_default();
    let authorization = context.get("authorization").and_then(object).unwrap_or_default();
    let properties = context.get("properties").and_then(object).unwrap_or_default();
    let mut resources = essentials.get("alertTargetIDs").map(texts).unwrap_or_default();
    resources.extend(text(&authorization, &["scope"]));
    let service = text(essentials, &["monitoringService"]).unwrap_or_default();
    Event {
        id: text(essentials, &["originAlertId", "alertId"]),
        kind: COMMON_ALERT_SCHEMA.to_owned(),
        time: text(essentials, &["firedDateTime"]).and_then(|text| time(&text)),
        resources,
        operation: text(&context, &["operationName"]).or_else(|| text(&authorization, &["action"])),
        bridge: Bridge::default(),
        alert: Alert {
            service_health: service.replace(' ', "").eq_ignore_ascii_case("ServiceHealth"),
            names_signalr: names_signalr(&properties),
        },
    }
}

/// An alert without the common alert schema (docs: Webhooks for activity log alerts). Of these only the activity log's says
/// what we need, for it is the entry of the log itself; the others each have a shape of their own.
fn read_old_alert(kind: String, data: &Map<String, Value>, member: &str) -> Result<Event, Malformed> {
    let context = data.get("context").and_then(object).unwrap_or_default();
    let Some(entry) = context.get("activityLog").and_then(object) else {
        return Err(Malformed::new(
            member.to_owned(),
            "it is an alert without the common alert schema: switch that on in the action group (the webhook action's \
             \"Enable the common alert schema\")",
        ));
    };
    let authorization = entry.get("authorization").and_then(object).unwrap_or_default();
    let properties = entry.get("properties").and_then(object).unwrap_or_default();
    let subscription = text(&entry, &["subscriptionId"]).map(|id| format!("/subscriptions/{id}"));
    let resources = [text(&entry, &["resourceId"]), text(&authorization, &["scope"]), subscription];
    let source = text(&entry, &["eventSource"]).unwrap_or_default();
    Ok(Event {
        id: text(&entry, &["eventDataId", "correlationId"]),
        kind,
        time: text(&entry, &["eventTimestamp", "submissionTimestamp"]).and_then(|text| time(&text)),
        resources: resources.into_iter().flatten().collect(),
        operation: text(&entry, &["operationName"]).or_else(|| text(&authorization, &["action"])),
        bridge: Bridge::default(),
        alert: Alert {
            service_health: source.replace(' ', "").eq_ignore_ascii_case("ServiceHealth"),
            names_signalr: names_signalr(&properties),
        },
    })
}

/// Whether Service Health speaks of SignalR. `impactedServices` is a list in a test and its JSON as text in earnest.
fn names_signalr(properties: &Map<String, Value>) -> bool {
    let names = ["service", "impactedServices", "title"];
    let said = names.iter().filter_map(|name| properties.get(*name));
    said.map(Value::to_string).any(|said| said.to_lowercase().contains("signalr"))
}

/// The first of these members that is a text with something in it.
fn text(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let texts = names.iter().filter_map(|name| object.get(*name)?.as_str());
    texts.map(str::trim).find(|text| !text.is_empty()).map(Into::into)
}

/// A list of texts, or one alone. What is no text is kept as its JSON, so that it is not taken for missing.
fn texts(value: &Value) -> Vec<String> {
    let text =
        |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        other => vec![text(other)],
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(Into::into)
}

/// An object, or a text that holds one; anything else holds nothing for us.
fn object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}
