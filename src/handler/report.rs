//! What `OnReport` is sent: which key a machine, or whatever a pipeline has changed, holds now.

use serde_json::Value;

use super::envelope::{Fault, Malformed};
use crate::report::text::command::BODY;
use rekey_core::model::{Fingerprint, Name, ServiceId};

/// That a consumer holds a key of a service, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReport {
    pub service: ServiceId,
    pub name: Name,
    pub fingerprint: Fingerprint,
}

impl KeyReport {
    /// Reads `{"instance": …, "name": …, "fingerprint": …}`, and nothing that is not quite that: who sends something else means
    /// something else.
    pub(super) fn read(body: Value) -> Result<Self, Malformed> {
        let Value::Object(mut members) = body else {
            return Err(Malformed::new(BODY, Fault::NoJsonObject));
        };
        let mut text = |member: &'static str| match members.remove(member) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Malformed::new(member, Fault::NoText)),
            None => Err(Malformed::new(member, Fault::NotThere)),
        };
        let (instance, name, fingerprint) = (text("instance")?, text("name")?, text("fingerprint")?);
        if !members.is_empty() {
            return Err(Malformed::new(BODY, Fault::MoreMembers));
        }
        Ok(Self {
            service: instance.parse().map_err(|_| Malformed::new("instance", Fault::NoServiceId))?,
            name: name.parse().map_err(|_| Malformed::new("name", Fault::NoName))?,
            fingerprint: fingerprint
                .parse()
                .map_err(|_| Malformed::new("fingerprint", Fault::NoFingerprint))?,
        })
    }
}
