//! Events as Event Grid's trigger hands them on, in the Event Grid schema or as CloudEvents 1.0 (docs: Event Grid
//! trigger for Azure Functions; Azure Resource Manager as an Event Grid source).
//!
//! A notice is a hint. [`instances_named`] and [`is_key_event`] say where to look; nothing in an event is ever written
//! anywhere else.

use serde_json::{Map, Value};

use super::envelope::{Envelope, Malformed, VALUE, decoded};
use crate::model::InstanceId;

/// What one delivery brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// The events; several only where function.json says `"cardinality":"many"`.
    pub events: Vec<Event>,
}

/// What we read of an event. Its data also holds the claims of whoever acted; those are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `id`: the same in every delivery of the event.
    pub id: Option<String>,
    /// `eventType`, or `type` of a CloudEvent.
    pub kind: String,
    /// `subject`: the resource it happened to.
    pub subject: Option<String>,
    /// `topic`, or `source` of a CloudEvent.
    pub source: Option<String>,
    /// `data.resourceUri`, else `data.authorization.scope`.
    pub resource: Option<String>,
    /// `data.operationName`, else `data.authorization.action`.
    pub operation: Option<String>,
}

/// The instances that a notice names, each once, in the order of the events. Event Grid itself mixes the case of ids
/// and goes on behind the instance's name; both are understood.
///
/// | looked at | for example |
/// |---|---|
/// | `subject` | `/subscriptions/…/providers/Microsoft.SignalRService/SignalR/chat` |
/// | `topic`, `source` | the same, where the topic is the instance's own |
/// | `data.resourceUri` | `/subscriptions/…/providers/Microsoft.SignalRService/SignalR/chat/operationStatuses/…` |
#[must_use]
pub fn instances_named(notice: &Notice) -> Vec<InstanceId> {
    let mut found = Vec::new();
    for event in &notice.events {
        let texts = [&event.subject, &event.source, &event.resource].into_iter().flatten();
        for id in texts.filter_map(|text| InstanceId::from_prefix(text).ok()) {
            if !found.contains(&id) {
                found.push(id);
            }
        }
    }
    found
}

/// Whether an event speaks of keys, in any case of its letters. Such an event is worth a look at every instance where
/// it names none.
///
/// | event | is one |
/// |---|---|
/// | operation `Microsoft.SignalRService/SignalR/regenerateKey/action` | yes |
/// | type with `Microsoft.SignalRService` and `regenerateKey` in it | yes |
/// | type `SignalRRekey.…`: a bridge of our own, from a Service Health alert or a mailbox | yes |
/// | operation `Microsoft.SignalRService/SignalR/listKeys/action`: our own looking raises it | no |
/// | operation `Microsoft.EventHub/…/regenerateKeys/action` | no |
/// | everything else | no |
#[must_use]
pub fn is_key_event(event: &Event) -> bool {
    let speaks_of_keys = |text: &str| {
        let text = text.to_lowercase();
        text.contains("microsoft.signalrservice") && text.contains("regeneratekey")
    };
    let bridged = event.kind.to_lowercase().starts_with("signalrrekey.");
    bridged || speaks_of_keys(&event.kind) || event.operation.as_deref().is_some_and(speaks_of_keys)
}

/// The most events that Event Grid puts into one delivery (docs: Event Grid output batching).
const MOST_EVENTS: usize = 5000;

pub(super) fn read(envelope: Envelope) -> Result<Notice, Malformed> {
    let events = match decoded(envelope.value)? {
        Value::Object(event) => vec![read_event(&event, VALUE)?],
        Value::Array(events) if events.len() > MOST_EVENTS => {
            return Err(Malformed::new(VALUE, format!("it has more than {MOST_EVENTS} events")));
        }
        Value::Array(events) => read_events(&events)?,
        _ => return Err(Malformed::new(VALUE, "it is neither an event nor a list of events")),
    };
    Ok(Notice { events })
}

fn read_events(events: &[Value]) -> Result<Vec<Event>, Malformed> {
    let read = |(index, event): (usize, &Value)| {
        let member = format!("{VALUE}, event {index}");
        match event {
            Value::Object(event) => read_event(event, &member),
            _ => Err(Malformed::new(member, "it is no object")),
        }
    };
    events.iter().enumerate().map(read).collect()
}

fn read_event(event: &Map<String, Value>, member: &str) -> Result<Event, Malformed> {
    let kind = text(event, &["eventType", "type"]);
    let kind = kind.ok_or_else(|| Malformed::new(member.to_owned(), "it has neither eventType nor type"))?;
    let data = event.get("data").and_then(object).unwrap_or_default();
    // Some senders write this member as JSON text.
    let authorization = data.get("authorization").and_then(object).unwrap_or_default();
    Ok(Event {
        id: text(event, &["id"]),
        kind,
        subject: text(event, &["subject"]),
        source: text(event, &["topic", "source"]),
        resource: text(&data, &["resourceUri"]).or_else(|| text(&authorization, &["scope"])),
        operation: text(&data, &["operationName"]).or_else(|| text(&authorization, &["action"])),
    })
}

/// The first of these members that is a text with something in it.
fn text(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let texts = names.iter().filter_map(|name| object.get(*name)?.as_str());
    texts.map(str::trim).find(|text| !text.is_empty()).map(Into::into)
}

/// An object, or a text that holds one; anything else holds nothing for us.
fn object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}
