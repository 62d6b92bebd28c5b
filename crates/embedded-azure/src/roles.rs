//! What the caller, or the identity of an app, may not do: denied actions by scope, the answer of the permissions API, and
//! the 403 of calls to ARM that need a denied action. Vaults have a 403 of their own.
//!
//! Everything is allowed that is not denied. A denial counts for its scope and everything below (docs: Understand scope
//! for Azure RBAC; Understand Azure deny assignments).

mod containers;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::{Answer, Call};

/// An action, or a pattern of actions with `*`, that the caller or an app may not do at a scope and below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// The id of a subscription, resource group or resource.
    pub scope: String,
    /// The action, like `Microsoft.Web/sites/config/list/Action`, or a data action.
    pub action: String,
    /// Why not.
    #[serde(default)]
    pub by: DeniedBy,
    /// Whose identity: that of this app (`site`, `site/slot`, `containerApps/NAME` or `jobs/NAME`), by which its references
    /// are resolved. The caller's if none is named.
    #[serde(default)]
    pub app: Option<String>,
}

impl Denial {
    pub(crate) fn of_the_caller(scope: &str, action: &str, by: DeniedBy) -> Self {
        Self { scope: scope.to_owned(), action: action.to_owned(), by, app: None }
    }
}

/// Why somebody may not do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeniedBy {
    /// No role of his grants it: 403 `AuthorizationFailed`.
    #[default]
    Role,
    /// A deny assignment, of a deployment stack or a managed application, takes it away whatever his roles grant: 403
    /// `DenyAssignmentAuthorizationFailed` (docs: Understand Azure deny assignments; no log shows status and code
    /// together).
    DenyAssignment,
    /// The vault goes by access policies, and none permits it: 403 `AccessDenied` instead of `ForbiddenByRbac` (docs: Azure
    /// Key Vault REST API error codes). Of data actions alone.
    AccessPolicy,
}

/// The action that an operation needs (docs: Azure permissions for Web and Mobile, for Management and governance;
/// Microsoft.SignalRService's operation list). Operations that are not here need none.
const ACTIONS: [(&str, &str); 47] = [
    ("Subscriptions_Get", "Microsoft.Resources/subscriptions/read"),
    ("ResourceGroups_List", "Microsoft.Resources/subscriptions/resourceGroups/read"),
    ("ResourceGroups_Get", "Microsoft.Resources/subscriptions/resourceGroups/read"),
    ("ResourceGroups_CheckExistence", "Microsoft.Resources/subscriptions/resourceGroups/read"),
    ("Resources_List", "Microsoft.Resources/subscriptions/resources/read"),
    ("Resources_ListByResourceGroup", "Microsoft.Resources/subscriptions/resourceGroups/resources/read"),
    ("Permissions_ListForResourceGroup", "Microsoft.Authorization/permissions/read"),
    ("Permissions_ListForInstance", "Microsoft.Authorization/permissions/read"),
    ("Permissions_ListForSite", "Microsoft.Authorization/permissions/read"),
    ("Permissions_ListForSlot", "Microsoft.Authorization/permissions/read"),
    ("SignalR_ListBySubscription", "Microsoft.SignalRService/SignalR/read"),
    ("SignalR_ListByResourceGroup", "Microsoft.SignalRService/SignalR/read"),
    ("SignalR_Get", "Microsoft.SignalRService/SignalR/read"),
    ("SignalRReplicas_List", "Microsoft.SignalRService/SignalR/replicas/read"),
    ("SignalR_ListKeys", "Microsoft.SignalRService/SignalR/listkeys/action"),
    ("SignalR_RegenerateKey", "Microsoft.SignalRService/SignalR/regeneratekey/action"),
    ("SignalR_OperationStatuses", "Microsoft.SignalRService/SignalR/operationStatuses/read"),
    ("SignalR_OperationResults", "Microsoft.SignalRService/SignalR/operationResults/read"),
    // On the tags alone: no right on the resource is asked for (docs: Use tags to organize your Azure resources).
    ("Tags_UpdateAtScope", "Microsoft.Resources/tags/write"),
    ("WebApps_List", "Microsoft.Web/sites/Read"),
    ("WebApps_ListByResourceGroup", "Microsoft.Web/sites/Read"),
    ("WebApps_Get", "Microsoft.Web/sites/Read"),
    ("WebApps_ListSlots", "Microsoft.Web/sites/slots/Read"),
    ("WebApps_GetSlot", "Microsoft.Web/sites/slots/Read"),
    ("WebApps_ListApplicationSettings", "Microsoft.Web/sites/config/list/Action"),
    ("WebApps_ListApplicationSettingsSlot", "Microsoft.Web/sites/slots/config/list/Action"),
    ("WebApps_ListConnectionStrings", "Microsoft.Web/sites/config/list/Action"),
    ("WebApps_ListConnectionStringsSlot", "Microsoft.Web/sites/slots/config/list/Action"),
    ("WebApps_UpdateApplicationSettings", "Microsoft.Web/sites/config/Write"),
    ("WebApps_UpdateApplicationSettingsSlot", "Microsoft.Web/sites/slots/config/Write"),
    ("WebApps_UpdateConnectionStrings", "Microsoft.Web/sites/config/Write"),
    ("WebApps_UpdateConnectionStringsSlot", "Microsoft.Web/sites/slots/config/Write"),
    ("WebApps_ListSlotConfigurationNames", "Microsoft.Web/sites/config/Read"),
    ("WebApps_GetAppSettingsKeyVaultReferences", "Microsoft.Web/sites/config/Read"),
    ("WebApps_GetAppSettingsKeyVaultReferencesSlot", "Microsoft.Web/sites/slots/config/Read"),
    ("WebApps_GetAppSettingKeyVaultReference", "Microsoft.Web/sites/config/Read"),
    ("WebApps_GetAppSettingKeyVaultReferenceSlot", "Microsoft.Web/sites/slots/config/Read"),
    ("WebApps_GetSiteConnectionStringKeyVaultReferences", "Microsoft.Web/sites/config/Read"),
    ("WebApps_GetSiteConnectionStringKeyVaultReferencesSlot", "Microsoft.Web/sites/slots/config/Read"),
    ("WebApps_GetSiteConnectionStringKeyVaultReference", "Microsoft.Web/sites/config/Read"),
    ("WebApps_GetSiteConnectionStringKeyVaultReferenceSlot", "Microsoft.Web/sites/slots/config/Read"),
    ("WebApps_GetAuthSettingsV2WithoutSecrets", "Microsoft.Web/sites/config/Read"),
    ("WebApps_GetAuthSettingsV2WithoutSecretsSlot", "Microsoft.Web/sites/slots/config/Read"),
    // What the refresh needs is told in public definitions of roles alone.
    ("WebApps_RefreshKeyVaultReferences", "Microsoft.Web/sites/config/Write"),
    ("WebApps_RefreshKeyVaultReferencesSlot", "Microsoft.Web/sites/slots/config/Write"),
    ("WebApps_Restart", "Microsoft.Web/sites/restart/Action"),
    ("WebApps_RestartSlot", "Microsoft.Web/sites/slots/restart/Action"),
];

/// Lets a call pass, or answers the 403 of ARM (public issues: AuthorizationFailed).
/// `client` is the caller in ARM's words.
pub(crate) fn check(denials: &[Denial], client: &str, operation: &str, call: &Call) -> Result<(), Answer> {
    let mut actions = ACTIONS.iter().chain(&containers::ACTIONS);
    let Some((_, action)) = actions.find(|(name, _)| *name == operation) else { return Ok(()) };
    let hits = |denial: &&Denial| fits(&denial.action.to_lowercase(), &action.to_lowercase());
    let Some(denial) = at(denials, &call.path).find(hits) else { return Ok(()) };
    let scope = &call.path;
    let (code, message) = match denial.by {
        DeniedBy::Role | DeniedBy::AccessPolicy => (
            "AuthorizationFailed",
            format!(
                "The client {client} does not have authorization to perform action '{action}' over scope '{scope}' or \
                 the scope is invalid. If access was recently granted, please refresh your credentials."
            ),
        ),
        DeniedBy::DenyAssignment => (
            "DenyAssignmentAuthorizationFailed",
            format!(
                "The client {client} has permission to perform action '{action}' on scope '{scope}'; however, the \
                 access is denied because of the deny assignment with name 'simulated' and Id 'simulated' at scope '{}'.",
                denial.scope
            ),
        ),
    };
    Err(Answer::error(StatusCode::FORBIDDEN, code, message))
}

/// Whether the caller may do something at a path.
pub(crate) fn may(denials: &[Denial], path: &str, action: &str) -> bool {
    denial(denials, path, action).is_none()
}

/// What keeps the caller from a data action, if anything does.
pub(crate) fn denial<'a>(denials: &'a [Denial], scope: &str, action: &str) -> Option<&'a Denial> {
    at(denials, scope).find(|denial| fits(&denial.action.to_lowercase(), &action.to_lowercase()))
}

/// Whether the identity of an app, `site` or `site/slot`, is denied a data action.
pub(crate) fn denies_app(denials: &[Denial], app: &str, scope: &str, action: &str) -> bool {
    let own = |denial: &&Denial| denial.app.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(app));
    denials
        .iter()
        .filter(own)
        .filter(|denial| covers(&denial.scope, scope))
        .any(|denial| fits(&denial.action.to_lowercase(), &action.to_lowercase()))
}

/// `Permissions_ListForResource` and `Permissions_ListForResourceGroup` (swagger Microsoft.Authorization 2022-04-01):
/// one role that grants everything but what is denied. Deny assignments are no part of a role.
pub(crate) fn permissions(denials: &[Denial], call: &Call) -> Answer {
    let by_role = at(denials, &call.path).filter(|denial| denial.by == DeniedBy::Role);
    let (data, others): (Vec<&str>, Vec<&str>) =
        by_role.map(|denial| denial.action.as_str()).partition(|action| is_data_action(action));
    let role = json!({
        "actions": ["*"], "notActions": others, "dataActions": DATA_ACTIONS, "notDataActions": data,
    });
    Answer::ok(json!({"value": [role]}))
}

/// All that can be done with the secrets of a vault and the key-values of a store.
const DATA_ACTIONS: [&str; 2] =
    ["Microsoft.KeyVault/vaults/secrets/*", "Microsoft.AppConfiguration/configurationStores/keyValues/*"];

fn is_data_action(action: &str) -> bool {
    DATA_ACTIONS
        .iter()
        .map(|all| all.trim_end_matches('*'))
        .any(|prefix| action.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

/// What the caller is denied at a path.
fn at<'a>(denials: &'a [Denial], path: &str) -> impl Iterator<Item = &'a Denial> {
    denials.iter().filter(move |denial| denial.app.is_none() && covers(&denial.scope, path))
}

/// Whether a path is at a scope or below it.
pub(crate) fn covers(scope: &str, path: &str) -> bool {
    let whole = |text: &str| format!("{}/", text.trim_end_matches('/').to_lowercase());
    whole(path).starts_with(&whole(scope))
}

/// Whether a pattern fits; both in lower case.
fn fits(pattern: &str, action: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == action,
        Some((before, after)) => action.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && fits(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[test]
    fn patterns_fit_across_slashes() {
        assert!(fits("microsoft.web/*", "microsoft.web/sites/read"));
        assert!(fits("*/config/*", "microsoft.web/sites/config/write"));
        assert!(!fits("*/read", "microsoft.web/sites/config/write"));
    }

    #[test]
    fn every_operation_that_needs_an_action_is_there() {
        let mut actions = ACTIONS.iter().chain(&containers::ACTIONS);
        assert!(actions.all(|(operation, _)| routes::is_operation(operation)));
    }
}
