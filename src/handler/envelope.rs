//! What the host sends around a trigger: `{"Data":{"<binding>":<value>},"Metadata":{…}}` (docs: Azure Functions custom
//! handlers, request payload).
//!
//! Guarantee: what is said of a fault names the member and holds nothing of the content.

use serde_json::{Map, Value};

use rekey_core::notice::Malformed;

/// An envelope, opened.
#[derive(Debug)]
pub(super) struct Envelope {
    /// The value of the one binding, whatever its name.
    pub(super) value: Value,
    /// What goes with it; empty if there is none.
    pub(super) metadata: Map<String, Value>,
}

/// How faults call the value of the one binding.
pub(super) const VALUE: &str = "the value in Data";

/// The UTF-8 byte order mark. The host sends none; a proxy or a file fed by hand may.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Opens an envelope. The depth of its JSON is bounded by the parser (128), its size by the route.
pub(super) fn open(body: &[u8]) -> Result<Envelope, Malformed> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return Err(Malformed::new(
            "the body",
            "it is empty; an envelope is {\"Data\":{…},\"Metadata\":{…}}",
        ));
    }
    let Value::Object(mut envelope) = json(body, "the body")? else {
        return Err(Malformed::new("the body", "it is no JSON object"));
    };
    let value = match envelope.remove("Data") {
        Some(Value::Object(data)) => only_value(data)?,
        Some(_) => return Err(Malformed::new("Data", "it is no object")),
        None => return Err(Malformed::new("Data", "it is missing")),
    };
    let metadata = match envelope.remove("Metadata") {
        Some(Value::Object(metadata)) => metadata,
        // Nothing that we need is there, so what is wrong with it is no reason to refuse.
        _ => Map::new(),
    };
    Ok(Envelope { value, metadata })
}

/// A value that is JSON, or a string that holds JSON (strings are JSON inside JSON: the host encodes every scalar and
/// array once more).
pub(super) fn decoded(value: Value) -> Result<Value, Malformed> {
    match value {
        Value::String(text) => json(text.as_bytes(), VALUE),
        other => Ok(other),
    }
}

fn only_value(data: Map<String, Value>) -> Result<Value, Malformed> {
    let mut values = data.into_iter().map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Malformed::new("Data", "it is empty; the trigger's value belongs there")),
        (Some(_), Some(_)) => {
            Err(Malformed::new("Data", "it has more than one member; only the trigger's belongs there"))
        }
    }
}

/// Parses JSON. Of the parser's message only the place is kept.
pub(super) fn json(text: &[u8], member: &'static str) -> Result<Value, Malformed> {
    serde_json::from_slice(text).map_err(|error| {
        let what = if error.is_eof() { "its JSON ends too early" } else { "it is no JSON" };
        Malformed::new(member, format!("{what} (line {}, column {})", error.line(), error.column()))
    })
}
