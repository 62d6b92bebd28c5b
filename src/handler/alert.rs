//! What `OnAlert`'s httpTrigger carries: the request of an Azure Monitor action group, whose body is an alert, in the common
//! alert schema or in that of its kind (docs: Azure Monitor common alert schema; Non-common alert schema definitions; Azure
//! Functions custom handlers, HTTP request payload).
//!
//! The envelope holds function keys in several places, and nothing of it is kept but the alert.

use serde_json::Value;

use super::envelope::{Envelope, Fault, Malformed, json};
use crate::report::text::command::{BODY, VALUE};
use rekey_core::notice::{self, Event};

pub(super) fn read(envelope: Envelope) -> Result<Vec<Event>, Malformed> {
    let Value::Object(mut request) = envelope.value else {
        return Err(Malformed::new(VALUE, Fault::NoRequest));
    };
    match request.remove("Body") {
        // The host leaves it out where there is none, and where the request came without its length.
        None | Some(Value::Null) => Err(Malformed::new(BODY, Fault::NoAlert)),
        // The host writes it as text, whatever it is.
        Some(Value::String(text)) => Ok(notice::read(&json(text.as_bytes(), BODY)?, BODY)?),
        Some(other) => Ok(notice::read(&other, BODY)?),
    }
}
