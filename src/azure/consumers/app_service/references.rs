//! What App Service has made of an app's references to Key Vault secrets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{API_VERSION, Place, dictionary};
use crate::azure::arm::{Arm, ArmError, Call, Operation, Subject};
use rekey_core::plan::ReferenceFault;

/// docs: Azure permissions for Web and Mobile.
const READ: &[&str] = &["Microsoft.Web/sites/config/Read"];
const READ_OF_SLOT: &[&str] = &["Microsoft.Web/sites/slots/config/Read"];

/// Of app settings and of connection strings, of a site and of a slot.
pub(super) const OPERATIONS: [Operation; 4] = [
    read("WebApps_GetAppSettingsKeyVaultReferences", READ),
    read("WebApps_GetAppSettingsKeyVaultReferencesSlot", READ_OF_SLOT),
    read("WebApps_GetSiteConnectionStringKeyVaultReferences", READ),
    read("WebApps_GetSiteConnectionStringKeyVaultReferencesSlot", READ_OF_SLOT),
];

const fn read(name: &'static str, actions: &'static [&'static str]) -> Operation {
    Operation::read(name, actions).about(Subject::Consumer).by_handler()
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

    /// What is wrong with one that is not resolved (ARM swagger Microsoft.Web, ResolveStatus). `UnauthorizedClient` is taken
    /// for a matter of the identity: no document tells when it comes.
    pub(crate) fn fault(&self) -> ReferenceFault {
        let faults = [
            ("AccessToKeyVaultDenied", ReferenceFault::NotAllowed),
            ("UnauthorizedClient", ReferenceFault::NotAllowed),
            ("MSINotEnabled", ReferenceFault::NoIdentity),
            ("InvalidSyntax", ReferenceFault::Syntax),
            ("VaultNotFound", ReferenceFault::NoVault),
            ("SecretNotFound", ReferenceFault::NoSecret),
            ("SecretVersionNotFound", ReferenceFault::NoVersion),
        ];
        let known = faults.into_iter().find(|(status, _)| self.status.eq_ignore_ascii_case(status));
        known.map_or(ReferenceFault::Other, |(_, fault)| fault)
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

/// Reads what the platform has made of the references in one of an app's dictionaries.
pub(crate) async fn read_references(arm: &Arm, of: &Place) -> Result<References, ArmError> {
    let Place { app, section } = of;
    let path = format!("{app}/config/configreferences/{}", dictionary::path_of(*section));
    let operation = OPERATIONS[dictionary::index(app, *section)];
    let all: Vec<Reference> = arm.pages(Call::get(operation, arm.url(&path, API_VERSION))).await?;
    Ok(all.into_iter().map(|one| (one.name, one.properties)).collect())
}
