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
    pub(super) fn read(members: &[(String, Value)]) -> Result<Self, Malformed> {
        const MEMBERS: [&str; 3] = ["instance", "name", "fingerprint"];
        let text = |member: &'static str| {
            let mut values = members.iter().filter(|(name, _)| name == member).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (Some(_), Some(_)) => Err(Malformed::new(member, Fault::Repeated)),
                (Some(value), None) => value.as_str().ok_or_else(|| Malformed::new(member, Fault::NoText)),
                (None, _) => Err(Malformed::new(member, Fault::NotThere)),
            }
        };
        let [instance, name, fingerprint] = MEMBERS.map(text);
        let (instance, name, fingerprint) = (instance?, name?, fingerprint?);
        if members.iter().any(|(name, _)| !MEMBERS.contains(&name.as_str())) {
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
