//! What App Service has made of an app's references to Key Vault secrets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::API_VERSION;
use crate::azure::arm::{Arm, ArmError, Call, Operation, Subject};
use rekey_core::model::AppId;

/// docs: Azure permissions for Web and Mobile.
const REFERENCES: Operation =
    Operation::read("WebApps_GetAppSettingsKeyVaultReferences", &["Microsoft.Web/sites/config/Read"])
        .about(Subject::Consumer)
        .by_handler();
const REFERENCES_OF_SLOT: Operation = Operation::read(
    "WebApps_GetAppSettingsKeyVaultReferencesSlot",
    &["Microsoft.Web/sites/slots/config/Read"],
)
.about(Subject::Consumer)
.by_handler();

pub(super) const OPERATIONS: [Operation; 2] = [REFERENCES, REFERENCES_OF_SLOT];

fn reading_references(app: &AppId) -> Operation {
    if app.slot().is_some() { REFERENCES_OF_SLOT } else { REFERENCES }
}

/// What the platform has made of an app's reference (ARM swagger Microsoft.Web, ApiKVReference).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resolved {
    /// `Resolved`, or in Azure's word why not.
    pub status: String,
    pub details: Option<String>,
    /// The version that the app is given.
    pub active_version: Option<String>,
}

impl Resolved {
    pub(crate) fn is_resolved(&self) -> bool {
        self.status.eq_ignore_ascii_case("Resolved")
    }

    /// Whether the platform has only just begun with it.
    pub(crate) fn is_under_way(&self) -> bool {
        ["Initialized", "FetchTimedOut"].iter().any(|status| self.status.eq_ignore_ascii_case(status))
    }
}

/// What the platform has made of all of an app's references, by the names of the settings.
pub(crate) type References = BTreeMap<String, Resolved>;

#[derive(Deserialize)]
struct Reference {
    name: String,
    properties: Resolved,
}

/// Reads what the platform has made of the references in an app's settings.
pub(crate) async fn read_references(arm: &Arm, app: &AppId) -> Result<References, ArmError> {
    let url = arm.url(&format!("{app}/config/configreferences/appsettings"), API_VERSION);
    let all: Vec<Reference> = arm.pages(Call::get(reading_references(app), url)).await?;
    Ok(all.into_iter().map(|one| (one.name, one.properties)).collect())
}
