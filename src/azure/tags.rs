//! Tags of a service, which Resource Graph, Azure Policy and the portal see.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::arm::{Arm, ArmError, ArmErrorKind, Call, Operation};
use crate::report::text::azure as words;
use rekey_core::model::ServiceId;

/// Microsoft.Resources, tags.
const VERSION: &str = "2021-04-01";

/// It needs no right on the resource itself (docs: Use tags to organize your Azure resources).
pub(crate) const UPDATE: Operation =
    Operation::change("Tags_UpdateAtScope", &["Microsoft.Resources/tags/write"]).tagging();

impl Arm {
    /// `Tags_UpdateAtScope`, asked for once: gives a service these tags, and leaves all others as they are.
    pub async fn merge_tags(&self, id: &ServiceId, tags: &BTreeMap<String, String>) -> Result<(), ArmError> {
        let url = self.url(&format!("{id}/providers/Microsoft.Resources/tags/default"), VERSION);
        let body = json!({ "operation": "Merge", "properties": { "tags": tags } });
        let call = Call::patch(UPDATE, url).with_body(&body)?;
        let answer = self.resending_until(self.now()).send(&call).await?;
        let shown: Value = answer.json(&call)?;
        let shown = &shown["properties"]["tags"];
        if tags.iter().all(|(name, value)| shown[name] == **value) {
            return Ok(());
        }
        Err(answer.fault(&call, ArmErrorKind::OutcomeUnknown, words::TAGS_NOT_SHOWN))
    }
}
