//! Metrics as the OpenTelemetry Protocol writes them (opentelemetry-proto 1.x, `metrics/v1`; OTLP 1.x): as protobuf, or as
//! protobuf's JSON.
//!
//! Only what is said here is written, and of an answer one field is read: the generated types of the whole protocol, or an
//! SDK, would be a good part of what is deployed. The tests read what this writes with the protocol's own types.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::config::metrics::{Protocol, Temporality};

/// A number with what it is of and when it was so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) of: Vec<(&'static str, Attribute)>,
    /// From when on it counts, for a sum.
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) at: DateTime<Utc>,
    pub(super) value: Number,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

/// What a number is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attribute {
    Text(String),
    Whole(u16),
}

/// All points of one metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) description: &'static str,
    /// How it counts, if it is a sum.
    pub(super) sum: Option<Temporality>,
    pub(super) points: Vec<Point>,
}

/// A message of the schema, or a value in one.
enum Node {
    Message(Vec<Field>),
    List(Vec<Node>),
    Text(String),
    /// A fixed64, and an int64.
    Fixed(u64),
    Int(u64),
    Double(f64),
    Enum(u8),
    Flag(bool),
}

/// A field's number, its name in JSON, and its value.
type Field = (u32, &'static str, Node);

/// The body of an export.
pub(super) fn body(protocol: Protocol, resource: &[(String, String)], metrics: &[Metric]) -> Vec<u8> {
    let request = request(resource, metrics);
    match protocol {
        Protocol::Protobuf => request.protobuf(),
        Protocol::Json => request.json().to_string().into_bytes(),
    }
}

pub(super) const fn content_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Protobuf => "application/x-protobuf",
        Protocol::Json => "application/json",
    }
}

/// How many points a receiver says it did not take of an export that it took; nothing if that is no
/// `ExportMetricsServiceResponse`. Whatever was sent, it may be in protobuf or in JSON, or nothing at all, which is one in protobuf:
/// receivers of all these kinds are in use.
pub(super) fn rejected(answer: &[u8]) -> Option<u64> {
    if answer.trim_ascii().is_empty() {
        return Some(0);
    }
    if let Ok(answer) = serde_json::from_slice::<Value>(answer) {
        let answer = answer.as_object()?;
        let Some(partial) = answer.get("partialSuccess") else { return answer.is_empty().then_some(0) };
        let rejected = &partial["rejectedDataPoints"];
        // An int64 is a text in protobuf's JSON, and whoever reads it takes a number too.
        let text = rejected.as_str().and_then(|text| text.parse().ok());
        return Some(text.or_else(|| rejected.as_u64()).unwrap_or_default());
    }
    let Some(Wire::Bytes(partial)) = first_field(answer)? else { return None };
    match first_field(partial)? {
        // An int64: fewer than none are none.
        Some(Wire::Number(rejected)) => Some(i64::try_from(rejected).map_or(0, |_| rejected)),
        Some(_) => None,
        None => Some(0),
    }
}

/// An `ExportMetricsServiceRequest`.
fn request(resource: &[(String, String)], metrics: &[Metric]) -> Node {
    let attributes = resource.iter().map(|(key, value)| attribute(key, Node::Text(value.clone())));
    let resource = Node::Message(vec![(1, "attributes", Node::List(attributes.collect()))]);
    let scope = Node::Message(vec![
        (1, "name", Node::Text(env!("CARGO_PKG_NAME").to_owned())),
        (2, "version", Node::Text(env!("CARGO_PKG_VERSION").to_owned())),
    ]);
    let metrics = Node::List(metrics.iter().map(metric).collect());
    let scope = Node::Message(vec![(1, "scope", scope), (2, "metrics", metrics)]);
    let of_resource =
        Node::Message(vec![(1, "resource", resource), (2, "scopeMetrics", Node::List(vec![scope]))]);
    Node::Message(vec![(1, "resourceMetrics", Node::List(vec![of_resource]))])
}

fn metric(metric: &Metric) -> Node {
    let points = (1, "dataPoints", Node::List(metric.points.iter().map(point).collect()));
    let data = match metric.sum {
        None => (5, "gauge", Node::Message(vec![points])),
        Some(temporality) => {
            let temporality = match temporality {
                Temporality::Delta => 1,
                Temporality::Cumulative => 2,
            };
            let temporality = (2, "aggregationTemporality", Node::Enum(temporality));
            (7, "sum", Node::Message(vec![points, temporality, (3, "isMonotonic", Node::Flag(true))]))
        }
    };
    Node::Message(vec![
        (1, "name", Node::Text(metric.name.to_owned())),
        (2, "description", Node::Text(metric.description.to_owned())),
        (3, "unit", Node::Text(metric.unit.to_owned())),
        data,
    ])
}

fn point(point: &Point) -> Node {
    let value = match point.value {
        Number::Real(value) => (4, "asDouble", Node::Double(value)),
        // An sfixed64, whose bits are those of a fixed64.
        Number::Whole(value) => (6, "asInt", Node::Fixed(value)),
    };
    let since = point.since.map(|since| (2, "startTimeUnixNano", Node::Fixed(nanoseconds(since))));
    let at = (3, "timeUnixNano", Node::Fixed(nanoseconds(point.at)));
    let attributes = point.of.iter().map(|(key, value)| match value {
        Attribute::Text(text) => attribute(key, Node::Text(text.clone())),
        Attribute::Whole(number) => attribute(key, Node::Int(u64::from(*number))),
    });
    let attributes = (7, "attributes", Node::List(attributes.collect()));
    Node::Message(since.into_iter().chain([at, value, attributes]).collect())
}

/// A `KeyValue` with an `AnyValue`.
fn attribute(key: &str, value: Node) -> Node {
    let value = match value {
        Node::Int(number) => (3, "intValue", Node::Int(number)),
        text => (1, "stringValue", text),
    };
    Node::Message(vec![(1, "key", Node::Text(key.to_owned())), (2, "value", Node::Message(vec![value]))])
}

fn nanoseconds(at: DateTime<Utc>) -> u64 {
    at.timestamp_nanos_opt().and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).unwrap_or_default()
}

impl Node {
    fn json(&self) -> Value {
        match self {
            Self::Message(fields) => {
                let fields = fields.iter().map(|(_, name, node)| ((*name).to_owned(), node.json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Self::List(nodes) => nodes.iter().map(Self::json).collect(),
            Self::Text(text) => json!(text),
            // What has 64 bits is a text in protobuf's JSON.
            Self::Fixed(number) | Self::Int(number) => json!(number.to_string()),
            Self::Double(number) => json!(number),
            Self::Enum(number) => json!(number),
            Self::Flag(flag) => json!(flag),
        }
    }

    fn protobuf(&self) -> Vec<u8> {
        match self {
            Self::Message(fields) => {
                let mut written = Vec::new();
                for (number, _, node) in fields {
                    node.write(*number, &mut written);
                }
                written
            }
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::List(_)
            | Self::Fixed(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Enum(_)
            | Self::Flag(_) => Vec::new(),
        }
    }

    /// Writes a field: its number and its wire type, then its value (docs: Protocol Buffers, Encoding).
    fn write(&self, number: u32, to: &mut Vec<u8>) {
        let tag = |wire: u32| u64::from(number << 3 | wire);
        match self {
            Self::List(nodes) => nodes.iter().for_each(|node| node.write(number, to)),
            Self::Message(_) | Self::Text(_) => {
                let value = self.protobuf();
                varint(tag(2), to);
                varint(value.len() as u64, to);
                to.extend(value);
            }
            Self::Fixed(value) => {
                varint(tag(1), to);
                to.extend(value.to_le_bytes());
            }
            Self::Double(value) => {
                varint(tag(1), to);
                to.extend(value.to_le_bytes());
            }
            Self::Int(value) => {
                varint(tag(0), to);
                varint(*value, to);
            }
            Self::Enum(value) => {
                varint(tag(0), to);
                varint(u64::from(*value), to);
            }
            Self::Flag(flag) => {
                varint(tag(0), to);
                varint(u64::from(*flag), to);
            }
        }
    }
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

/// The value of a field on the wire, as far as any is read.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The last value of the field with number 1, if it is there; nothing where the message cannot be read.
#[allow(clippy::option_option, reason = "a message without the field is one all the same")]
fn first_field(mut message: &[u8]) -> Option<Option<Wire<'_>>> {
    let mut found = None;
    while !message.is_empty() {
        let tag = read_varint(&mut message)?;
        let value = match tag & 7 {
            0 => Wire::Number(read_varint(&mut message)?),
            2 => {
                let length = usize::try_from(read_varint(&mut message)?).ok()?;
                Wire::Bytes(message.split_off(..length)?)
            }
            1 => message.split_off(..8).map(|_| Wire::Other)?,
            5 => message.split_off(..4).map(|_| Wire::Other)?,
            _ => return None,
        };
        match tag >> 3 {
            0 => return None,
            1 => found = Some(value),
            _ => {}
        }
    }
    Some(found)
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
