//! From what was delivered to events. Lenient, for senders differ: a member may be missing, be another kind of value, hold
//! its JSON as text or as base64, or have its name in another case (.NET writes the members of a class of one's own as
//! `EventType`, `Data` and `KeyTypes`). Of two whose names differ by case alone, the one that is spelt as documented counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};

use super::{APPROVED, Alert, BRIDGE, Bridge, Event};

/// Why a body is not what it should be. It names the member at fault and holds nothing of the content, which can carry
/// function keys and claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What whoever read it calls the member.
    pub member: String,
    /// What is wrong with it.
    pub fault: Misread,
}

/// Why what was delivered is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// More events than Event Grid puts into one delivery: this many.
    TooMany(usize),
    /// Neither an event nor a list of events.
    NoEvents,
    /// An event that is no object.
    NoObject,
    /// An event without a type.
    NoType,
    /// An alert without the common alert schema, which does not say what it is about.
    OldAlert,
}

impl Malformed {
    fn new(member: impl Into<String>, fault: Misread) -> Self {
        Self { member: member.into(), fault }
    }
}

/// The most events that Event Grid puts into one delivery (docs: Event Grid output batching).
const MOST_EVENTS: usize = 5000;

/// What the data of an event of our own bridge may have.
const BRIDGES: [&str; 3] = ["instance", "keyTypes", "deadline"];

/// And of an approval.
pub(super) const APPROVALS: [&str; 3] = ["instance", "key", "by"];

/// `schemaId` of an alert (docs: Azure Monitor common alert schema).
const COMMON_ALERT_SCHEMA: &str = "azureMonitorCommonAlertSchema";

/// Reads an event, a list of events, or an alert; `member` is what faults call the value.
pub fn read(value: &Value, member: &str) -> Result<Vec<Event>, Malformed> {
    match value {
        Value::Object(event) => Ok(vec![read_one(event, member)?]),
        Value::Array(events) if events.len() > MOST_EVENTS => {
            Err(Malformed::new(member, Misread::TooMany(MOST_EVENTS)))
        }
        Value::Array(events) => {
            events.iter().enumerate().map(|(at, event)| read_item(at, event, member)).collect()
        }
        _ => Err(Malformed::new(member, Misread::NoEvents)),
    }
}

fn read_item(index: usize, event: &Value, member: &str) -> Result<Event, Malformed> {
    let member = format!("{member}, event {index}");
    match event {
        Value::Object(event) => read_one(event, &member),
        _ => Err(Malformed::new(member, Misread::NoObject)),
    }
}

fn read_one(event: &Map<String, Value>, member: &str) -> Result<Event, Malformed> {
    let data = data(event);
    if let Some(essentials) = member_object(&data, "essentials") {
        return Ok(read_alert(&essentials, &data));
    }
    let Some(kind) = text(event, &["eventType", "type"]) else {
        let schema = old_alert(event);
        let schema = schema.ok_or_else(|| Malformed::new(member, Misread::NoType))?;
        return read_old_alert(schema, event, &data, member);
    };
    let authorization = member_object(&data, "authorization").unwrap_or_default();
    let own = ["subject", "topic", "source"].map(|name| text(event, &[name]));
    let more = [text(&data, &["resourceUri"]), text(&authorization, &["scope"])];
    Ok(Event {
        id: text(event, &["id"]),
        time: text(event, &["eventTime", "time"]).and_then(|text| time(&text)),
        resources: own.into_iter().chain(more).flatten().collect(),
        operation: text(&data, &["operationName"]).or_else(|| text(&authorization, &["action"])),
        bridge: Bridge {
            instance: text(&data, &["instance"]),
            key_types: get(&data, "keyTypes").filter(|types| !types.is_null()).map(texts),
            deadline: get(&data, "deadline").and_then(something),
            key: text(&data, &["key"]),
            by: text(&data, &["by"]),
            others: others(&kind.to_lowercase(), &data),
        },
        kind,
        alert: None,
    })
}

/// The members of the bridge's data that are none of those that it may have.
fn others(kind: &str, data: &Map<String, Value>) -> Vec<String> {
    let known = match kind.strip_prefix(BRIDGE) {
        None => return Vec::new(),
        Some(APPROVED) => APPROVALS,
        Some(_) => BRIDGES,
    };
    let known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
    data.keys().filter(|name| !known(name)).cloned().collect()
}

/// The data of an event: `data`, whose JSON may be text or the base64 of it (so .NET's own serializer writes `BinaryData`),
/// or `data_base64`, which is what publishers make of bytes (CloudEvents 1.0, JSON event format, 3.1.1).
fn data(event: &Map<String, Value>) -> Map<String, Value> {
    let encoded = |name| get(event, name).and_then(Value::as_str).and_then(decoded);
    let plain = member_object(event, "data").or_else(|| encoded("data"));
    plain.or_else(|| encoded("data_base64")).unwrap_or_default()
}

/// The object whose JSON this is the base64 of.
fn decoded(text: &str) -> Option<Map<String, Value>> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    object(&serde_json::from_slice(&bytes).ok()?)
}

/// An alert's `data` (docs: Common alert schema definitions). What its context holds depends on who raised it; that of an
/// activity-log alert has the operation, and that of Service Health what it is about.
fn read_alert(essentials: &Map<String, Value>, data: &Map<String, Value>) -> Event {
    let context = member_object(data, "alertContext").unwrap_or_default();
    let authorization = member_object(&context, "authorization").unwrap_or_default();
    let properties = member_object(&context, "properties").unwrap_or_default();
    let mut resources = get(essentials, "alertTargetIDs").map(texts).unwrap_or_default();
    resources.extend(text(&authorization, &["scope"]));
    let service = text(essentials, &["monitoringService"]).unwrap_or_default();
    Event {
        id: text(essentials, &["originAlertId", "alertId"]),
        kind: COMMON_ALERT_SCHEMA.to_owned(),
        time: text(essentials, &["firedDateTime"]).and_then(|text| time(&text)),
        resources,
        operation: text(&context, &["operationName"]).or_else(|| text(&authorization, &["action"])),
        bridge: Bridge::default(),
        alert: Some(Alert {
            service_health: is_service_health(&service),
            names_signalr: names_signalr(&properties),
        }),
    }
}

/// What an alert without the common alert schema calls itself; nothing if it is none. Those of metrics, of logs and of the
/// activity log have a `schemaId`; those of autoscale and the oldest ones of metrics only a `context`, and the oldest ones
/// of logs only their own members (docs: Non-common alert schema definitions; Webhook actions for log alert rules; Webhook
/// notifications for autoscale).
fn old_alert(event: &Map<String, Value>) -> Option<String> {
    let bare = || member_object(event, "context").is_some() || text(event, &["AlertRuleName"]).is_some();
    text(event, &["schemaId"]).or_else(|| bare().then(|| "alert without schemaId".to_owned()))
}

/// An alert without the common alert schema. That of the activity log is the entry of the log itself, with Service Health
/// and Resource Health among them; those of metrics and logs name the resource that they watch. What names none (a
/// budget's, or a body of one's own) tells us nothing.
fn read_old_alert(
    schema: String,
    event: &Map<String, Value>,
    data: &Map<String, Value>,
    member: &str,
) -> Result<Event, Malformed> {
    let context =
        member_object(data, "context").or_else(|| member_object(event, "context")).unwrap_or_default();
    let entry = member_object(&context, "activityLog");
    let is_entry = entry.is_some();
    let told = entry.unwrap_or(context);
    // Where a resource may be named: in the entry or context, in the data of a log's alert, or beside it.
    let named = [&told, data, event].into_iter().find_map(|place| text(place, &["resourceId"]));
    if named.is_none() && !is_entry {
        return Err(Malformed::new(member, Misread::OldAlert));
    }
    let authorization = member_object(&told, "authorization").unwrap_or_default();
    let properties = member_object(&told, "properties").unwrap_or_default();
    let subscription = text(&told, &["subscriptionId"]).map(|id| format!("/subscriptions/{id}"));
    let operation = text(&told, &["operationName"]).or_else(|| text(&authorization, &["action"]));
    let source = get(&told, "eventSource").and_then(something).unwrap_or_default();
    let of_health = |operation: &String| operation.to_lowercase().starts_with("microsoft.servicehealth/");
    Ok(Event {
        // The `id` of a context is that of the rule, which is the same each time.
        id: text(&told, &["eventDataId", "correlationId"]),
        kind: schema,
        time: text(&told, &["eventTimestamp", "submissionTimestamp", "timestamp"])
            .and_then(|text| time(&text)),
        resources: [named, text(&authorization, &["scope"]), subscription].into_iter().flatten().collect(),
        bridge: Bridge::default(),
        alert: Some(Alert {
            service_health: is_service_health(&source) || operation.as_ref().is_some_and(of_health),
            names_signalr: names_signalr(&properties),
        }),
        operation,
    })
}

/// Azure writes it with a blank or without, and as the number of its kind in what it sends for a test (docs: Common alert
/// schema, sample of Service Health).
fn is_service_health(source: &str) -> bool {
    source == "2" || source.replace(' ', "").eq_ignore_ascii_case("ServiceHealth")
}

/// Whether Service Health speaks of SignalR. `impactedServices` is a list in a test and its JSON as text in earnest; the
/// title is in the reader's language, and the other in English.
fn names_signalr(properties: &Map<String, Value>) -> bool {
    let names = ["service", "impactedServices", "title", "defaultLanguageTitle"];
    let said = names.iter().filter_map(|name| get(properties, name));
    said.map(Value::to_string).any(|said| said.to_lowercase().contains("signalr"))
}

/// The member of this name; where none is spelt so, one whose name is the same in another case.
fn get<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let other_case = || object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    object.get(name).or_else(|| other_case().map(|(_, value)| value))
}

fn member_object(object: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    get(object, name).and_then(self::object)
}

/// The first of these members that is a text with something in it.
fn text(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let texts = names.iter().filter_map(|name| get(object, name)?.as_str());
    texts.map(str::trim).find(|text| !text.is_empty()).map(Into::into)
}

/// A value as text; what is none is kept as its JSON, so that it is not taken for missing.
fn something(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

/// A list of texts, or one alone.
fn texts(value: &Value) -> Vec<String> {
    let text =
        |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        other => vec![text(other)],
    }
}

/// A time of day that says where it is. Without an offset an event's own time counts as unknown, and is not guessed: taken
/// for earlier than it is, the report of a leak would seem to be answered by the rotation before it.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // As Python's `%z` and .NET's `zzz` write the offset.
    let formats =
        ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z"];
    let others = || formats.iter().find_map(|format| DateTime::parse_from_str(text, format).ok());
    DateTime::parse_from_rfc3339(text).ok().or_else(others).map(Into::into)
}

/// When keys will be regenerated. Without an offset it is UTC, as Microsoft's publishers take one that is a time and no text
/// (Python's azure-core), and as Azure's mails and its portal write it.
pub(super) fn deadline(text: &str) -> Option<DateTime<Utc>> {
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let plain = || formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text.trim(), format).ok());
    time(text).or_else(|| plain().map(|time| time.and_utc()))
}

/// An object, or a text that holds one; anything else holds nothing for us.
fn object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}
