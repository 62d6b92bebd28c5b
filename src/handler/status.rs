//! What `Status` is asked: which service, and in which form.

use serde_json::{Map, Value};

use super::envelope::{Fault, Malformed};
use crate::report::text::command::QUERY;

/// What whoever looks wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusAsked {
    /// The name or resource id of a service; all if none is named.
    pub instance: Option<String>,
    /// Whether as JSON.
    pub json: bool,
}

impl StatusAsked {
    /// Reads `?instance=…&format=json`, and nothing that is not quite that.
    pub(crate) fn read(query: Map<String, Value>) -> Result<Self, Malformed> {
        let mut asked = Self::default();
        for (name, value) in query {
            let Value::String(value) = value else { return Err(Malformed::new(QUERY, Fault::NoParameter)) };
            match (name.as_str(), value.as_str()) {
                ("instance", _) => asked.instance = Some(value),
                ("format", "json") => asked.json = true,
                ("format", "html") => asked.json = false,
                ("format", _) => return Err(Malformed::new("format", Fault::NoFormat)),
                _ => return Err(Malformed::new(QUERY, Fault::NoParameter)),
            }
        }
        Ok(asked)
    }
}
