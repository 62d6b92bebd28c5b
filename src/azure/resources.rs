//! What Azure Resource Manager tells of resources around those that are rotated: where a vault or store is, by what a vault
//! goes, and what Service Connector linked. For `doctor` and `init`.

use serde::Deserialize;

use super::arm::{Arm, ArmError, ArmErrorKind, Call, Operation};
use rekey_core::model::ServiceId;

/// Microsoft.Resources, Microsoft.KeyVault and Microsoft.ServiceLinker.
const RESOURCES_VERSION: &str = "2022-12-01";
const VAULTS_VERSION: &str = "2023-07-01";
const LINKS_VERSION: &str = "2024-04-01";

const LIST: Operation =
    Operation::read("Resources_List", &["Microsoft.Resources/subscriptions/resources/read"]);
const VAULT: Operation = Operation::read("Vaults_Get", &["Microsoft.KeyVault/vaults/read"]);
const LINKS: Operation = Operation::read("Linker_List", &["Microsoft.ServiceLinker/linkers/read"]);

/// Those operations.
pub(super) const OPERATIONS: [Operation; 3] = [LIST, VAULT, LINKS];

/// By what a vault decides who may do what with its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAccess {
    /// By roles.
    Roles,
    /// By access policies.
    Policies {
        /// What those permit whom it was asked about, in small letters.
        own: Vec<String>,
        /// What those of others permit: he may be in a group that is one of them.
        others: Vec<String>,
    },
}

impl VaultAccess {
    /// Whether policies permit him what by roles would be this action; nothing where that is not known (docs: Migrate to Azure
    /// role-based access control, on the permissions of secrets).
    pub fn permit(own: &[String], others: &[String], action: &str) -> Option<bool> {
        let what = match action.rsplit("/secrets/").next() {
            Some("getSecret/action") => "get",
            Some("setSecret/action") => "set",
            Some("readMetadata/action") => "list",
            _ => return None,
        };
        let has = |all: &[String]| all.iter().any(|one| one == what || one == "all");
        match (has(own), has(others)) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        }
    }
}

#[derive(Deserialize)]
struct Vault {
    properties: VaultProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VaultProperties {
    enable_rbac_authorization: Option<bool>,
    #[serde(default)]
    access_policies: Vec<AccessPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessPolicy {
    #[serde(default)]
    object_id: String,
    #[serde(default)]
    permissions: Permitted,
}

#[derive(Default, Deserialize)]
struct Permitted {
    #[serde(default)]
    secrets: Option<Vec<String>>,
}

/// What Service Connector linked an app to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    /// The id of what it leads to.
    target: String,
    /// Whether the app was given a key; what is not known to be an identity is taken for one.
    by_key: bool,
}

impl Link {
    /// Whether it gave the app a key of a service.
    pub fn leads_to(&self, service: &ServiceId) -> bool {
        self.by_key && self.target.parse::<ServiceId>().is_ok_and(|target| target == *service)
    }
}

/// How an app signs in that has no key (swagger Microsoft.ServiceLinker: AuthType).
const IDENTITIES: [&str; 6] = [
    "systemAssignedIdentity",
    "userAssignedIdentity",
    "servicePrincipalSecret",
    "servicePrincipalCertificate",
    "userAccount",
    "easyAuthMicrosoftEntraID",
];

#[derive(Deserialize)]
struct Linker {
    #[serde(default)]
    name: String,
    properties: LinkerProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinkerProperties {
    target_service: Option<Target>,
    auth_info: Option<AuthInfo>,
}

#[derive(Deserialize)]
struct Target {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthInfo {
    auth_type: Option<String>,
}

impl From<Linker> for Link {
    fn from(linker: Linker) -> Self {
        let LinkerProperties { target_service, auth_info } = linker.properties;
        let auth = auth_info.and_then(|info| info.auth_type).unwrap_or_default();
        let by_key = !IDENTITIES.iter().any(|identity| identity.eq_ignore_ascii_case(&auth));
        let target = target_service.and_then(|target| target.id).unwrap_or_default();
        Self { name: linker.name, target, by_key }
    }
}

impl Arm {
    /// `Resources_List`, all pages: the ids of all resources of a type in a subscription that may be read.
    pub async fn ids_of_type(&self, subscription: &str, of_type: &str) -> Result<Vec<String>, ArmError> {
        let mut url = self.url(&format!("/subscriptions/{subscription}/resources"), RESOURCES_VERSION);
        url.query_pairs_mut().append_pair("$filter", &format!("resourceType eq '{of_type}'"));
        self.ids(Call::get(LIST, url)).await
    }

    /// `Vaults_Get`: by what a vault goes, and what its policies permit an object of the directory.
    pub async fn vault_access(&self, vault: &str, object: &str) -> Result<VaultAccess, ArmError> {
        let call = Call::get(VAULT, self.url(vault, VAULTS_VERSION));
        let Vault { properties } = self.send(&call).await?.json(&call)?;
        // One that says nothing goes by policies (swagger: VaultProperties).
        if properties.enable_rbac_authorization == Some(true) {
            return Ok(VaultAccess::Roles);
        }
        let is_own = |policy: &AccessPolicy| policy.object_id.eq_ignore_ascii_case(object);
        let (own, others): (Vec<_>, Vec<_>) = properties.access_policies.into_iter().partition(is_own);
        let permitted = |policies: Vec<AccessPolicy>| {
            let all = policies.into_iter().flat_map(|policy| policy.permissions.secrets.unwrap_or_default());
            all.map(|one| one.to_lowercase()).collect()
        };
        Ok(VaultAccess::Policies { own: permitted(own), others: permitted(others) })
    }

    /// `Linker_List`, all pages: what Service Connector linked an app to. Where nobody uses it there is none.
    pub async fn links(&self, app: &str) -> Result<Vec<Link>, ArmError> {
        let path = format!("{app}/providers/Microsoft.ServiceLinker/linkers");
        let linkers = self.pages::<Linker>(Call::get(LINKS, self.url(&path, LINKS_VERSION))).await;
        match linkers {
            Ok(linkers) => Ok(linkers.into_iter().map(Link::from).collect()),
            Err(error) if matches!(error.kind(), ArmErrorKind::Gone | ArmErrorKind::Barred(_)) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_tells_whether_it_gave_a_key() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/SignalR/Chat";
        let link = |auth: &str, target: &str| {
            let body = format!(
                r#"{{"id":"x","name":"signalr_1","properties":{{"authInfo":{auth},"clientType":"dotnet","scope":null,
                    "targetService":{{"type":"AzureResource","id":"{target}"}}}}}}"#
            );
            Link::from(serde_json::from_str::<Linker>(&body).unwrap())
        };
        let service = ServiceId::new("s", "g", "chat");
        for (auth, target, leads) in [
            (r#"{"authType":"secret"}"#, id, true),
            ("null", id, true),
            (r#"{"authType":"SystemAssignedIdentity"}"#, id, false),
            (r#"{"authType":"secret"}"#, "/subscriptions/s/resourceGroups/g/providers/x/y/z", false),
        ] {
            assert_eq!(link(auth, target).leads_to(&service), leads, "{auth} {target}");
        }
    }

    #[test]
    fn what_a_group_may_permit_is_not_known() {
        const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
        let text = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (own, others, set) in [
            (&["get", "set"][..], &[][..], Some(true)),
            (&["all"], &[], Some(true)),
            (&["get"], &["set"], None),
            (&["get"], &["get"], Some(false)),
            (&[], &[], Some(false)),
        ] {
            assert_eq!(VaultAccess::permit(&text(own), &text(others), SET), set, "{own:?} {others:?}");
        }
    }
}
