//! What the host sends around a trigger: `{"Data":{"<binding>":<value>},"Metadata":{…}}` (docs: Azure Functions custom
//! handlers, request payload).
//!
//! Guarantee: what is said of a fault names the member and holds nothing of the content.

use std::borrow::Cow;
use std::{fmt, iter};

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::report::text::command::{BODY, METHOD, QUERY, VALUE};
use rekey_core::notice::{self, Event, Misread};

/// An envelope, opened: the value of its one binding, whatever that is called. Nothing that we need is in the metadata.
#[derive(Debug)]
pub(super) struct Envelope(Value);

/// Why a body is not what it should be. It names the member at fault and holds nothing of the content, which can carry
/// function keys and claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Malformed {
    pub(crate) member: Cow<'static, str>,
    pub(crate) fault: Fault,
}

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An empty body.
    NoEnvelope,
    NoJson {
        /// Whether what there is would go on.
        ends_early: bool,
        line: usize,
        column: usize,
    },
    NoJsonObject,
    /// Another kind of value.
    NoObject,
    Missing,
    /// No binding's value.
    NoValue,
    /// Those of several bindings.
    SeveralValues,
    /// Another kind of value than a timer's.
    NoTimer,
    /// Another kind of value than a request.
    NoRequest,
    /// A request without a body.
    NoAlert,
    /// No event, and no alert.
    Event(Misread),
    /// A request without a report.
    NoReport,
    /// A member of a report that is missing.
    NotThere,
    /// One that is no text.
    NoText,
    /// A report with members that it does not have.
    MoreMembers,
    /// No resource id of a service.
    NoServiceId,
    /// No name of a consumer.
    NoName,
    /// Not what is shown as a key's fingerprint.
    NoFingerprint,
    /// A parameter of a query that is none of ours.
    NoParameter,
    /// A format that is neither.
    NoFormat,
    /// A member of a report that is there more than once.
    Repeated,
    /// A report that was not sent by POST.
    NoPost,
}

impl Malformed {
    pub(super) fn new(member: &'static str, fault: Fault) -> Self {
        Self { member: member.into(), fault }
    }

    /// Whoever sent the event or the request is at fault, and not who delivers it.
    pub(super) fn is_of_the_sender(&self) -> bool {
        let of_report = matches!(
            self.fault,
            Fault::NoParameter
                | Fault::NoFormat
                | Fault::NotThere
                | Fault::NoText
                | Fault::Repeated
                | Fault::NoPost
                | Fault::NoServiceId
                | Fault::NoName
                | Fault::NoFingerprint
        );
        self.member == BODY || of_report || matches!(self.fault, Fault::Event(_))
    }
}

impl From<notice::Malformed> for Malformed {
    fn from(malformed: notice::Malformed) -> Self {
        Self { member: malformed.member.into(), fault: Fault::Event(malformed.fault) }
    }
}

/// The UTF-8 byte order mark. The host sends none; a proxy or a file fed by hand may.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Opens an envelope. The depth of its JSON is bounded by the parser (128), its size by the route.
pub(super) fn open(body: &[u8]) -> Result<Envelope, Malformed> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return Err(Malformed::new("the body", Fault::NoEnvelope));
    }
    let Value::Object(mut envelope) = json(body, "the body")? else {
        return Err(Malformed::new("the body", Fault::NoJsonObject));
    };
    let value = match envelope.remove("Data") {
        Some(Value::Object(data)) => only_value(data)?,
        Some(_) => return Err(Malformed::new("Data", Fault::NoObject)),
        None => return Err(Malformed::new("Data", Fault::Missing)),
    };
    Ok(Envelope(value))
}

impl Envelope {
    /// What a timer trigger carries is an object (docs: Timer trigger for Azure Functions, usage), of which nothing is used.
    pub(super) fn timer(self) -> Result<(), Malformed> {
        decoded(self.0)?.is_object().then_some(()).ok_or(Malformed::new(VALUE, Fault::NoTimer))
    }

    /// The events of an Event Grid trigger.
    pub(super) fn events(self) -> Result<Vec<Event>, Malformed> {
        Ok(notice::read(&decoded(self.0)?, VALUE)?)
    }

    /// What `OnAlert`'s httpTrigger carries: the request of an Azure Monitor action group, whose body is an alert, in the
    /// common alert schema or in that of its kind (docs: Azure Monitor common alert schema; Non-common alert schema
    /// definitions; Azure Functions custom handlers, HTTP request payload). The request holds function keys in several
    /// places, and nothing of it is kept but the alert.
    pub(super) fn alert(self) -> Result<Vec<Event>, Malformed> {
        let body = match self.request()?.remove("Body") {
            None | Some(Value::Null) => return Err(Malformed::new(BODY, Fault::NoAlert)),
            Some(Value::String(text)) => json(text.as_bytes(), BODY)?,
            Some(other) => other,
        };
        Ok(notice::read(&body, BODY)?)
    }

    /// What stands in the query of the request that an httpTrigger carries, without its function key. Nothing else is kept.
    pub(super) fn query(self) -> Result<Map<String, Value>, Malformed> {
        match self.request()?.remove("Query") {
            Some(Value::Object(mut query)) => {
                query.remove("code");
                Ok(query)
            }
            None | Some(Value::Null) => Ok(Map::new()),
            Some(_) => Err(Malformed::new(QUERY, Fault::NoObject)),
        }
    }

    /// The members of the report that `OnReport`'s httpTrigger carries, in order, as often as they are there. Nothing else of
    /// the request is kept.
    pub(super) fn report(self) -> Result<Vec<(String, Value)>, Malformed> {
        let mut request = self.request()?;
        let is_post =
            |method: &Value| method.as_str().is_some_and(|method| method.eq_ignore_ascii_case("POST"));
        if !request.get("Method").is_some_and(is_post) {
            return Err(Malformed::new(METHOD, Fault::NoPost));
        }
        match request.remove("Body") {
            None | Some(Value::Null) => Err(Malformed::new(BODY, Fault::NoReport)),
            Some(Value::String(text)) => {
                if !json::<Value>(text.as_bytes(), BODY)?.is_object() {
                    return Err(Malformed::new(BODY, Fault::NoJsonObject));
                }
                let Members(members) = json(text.as_bytes(), BODY)?;
                Ok(members)
            }
            Some(Value::Object(members)) => Ok(members.into_iter().collect()),
            Some(_) => Err(Malformed::new(BODY, Fault::NoJsonObject)),
        }
    }

    /// The request that an httpTrigger carries. Its body the host writes as text, whatever it is, and leaves out where there is
    /// none and where the request came without its length.
    fn request(self) -> Result<Map<String, Value>, Malformed> {
        match self.0 {
            Value::Object(request) => Ok(request),
            _ => Err(Malformed::new(VALUE, Fault::NoRequest)),
        }
    }
}

/// The members of a JSON object, those too that are there more than once: of two the parser would keep the last.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(All)
    }
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        iter::from_fn(|| map.next_entry().transpose()).collect::<Result<_, _>>().map(Members)
    }
}

/// A value that is JSON, or a string that holds JSON (strings are JSON inside JSON: the host encodes every scalar and
/// array once more).
fn decoded(value: Value) -> Result<Value, Malformed> {
    match value {
        Value::String(text) => json(text.as_bytes(), VALUE),
        other => Ok(other),
    }
}

fn only_value(data: Map<String, Value>) -> Result<Value, Malformed> {
    let mut values = data.into_iter().map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Malformed::new("Data", Fault::NoValue)),
        (Some(_), Some(_)) => Err(Malformed::new("Data", Fault::SeveralValues)),
    }
}

/// Parses JSON. Of the parser's message only the place is kept.
fn json<T: DeserializeOwned>(text: &[u8], member: &'static str) -> Result<T, Malformed> {
    serde_json::from_slice(text).map_err(|error| {
        let (ends_early, line, column) = (error.is_eof(), error.line(), error.column());
        Malformed::new(member, Fault::NoJson { ends_early, line, column })
    })
}
