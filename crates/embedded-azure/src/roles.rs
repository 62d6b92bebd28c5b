//! What the caller may not do: denied actions by scope, the answer of the permissions API, and the 403 of calls that
//! need a denied action.
//!
//! Everything is allowed that is not denied. A denial counts for its scope and everything below (docs: Understand scope
//! for Azure RBAC; Understand Azure deny assignments).

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::{Answer, Call};

/// An action, or a pattern of actions with `*`, that the caller may not do at a scope and below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// The id of a subscription, resource group or resource.
    pub scope: String,
    /// The action, like `Microsoft.Web/sites/config/list/Action`.
    pub action: String,
    /// Why not.
    #[serde(default)]
    pub by: DeniedBy,
}

/// Why the caller may not do something.
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
}

/// The action that an operation needs (docs: Azure permissions for Web and Mobile, for Management and governance;
/// Microsoft.SignalRService's operation list). Operations that are not here need none.
const ACTIONS: [(&str, &str); 34] = [
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
    ("WebApps_Restart", "Microsoft.Web/sites/restart/Action"),
    ("WebApps_RestartSlot", "Microsoft.Web/sites/slots/restart/Action"),
];

/// Lets a call pass, or answers the 403 of ARM (public issues: AuthorizationFailed).
/// `client` is the caller in ARM's words.
pub(crate) fn check(denials: &[Denial], client: &str, operation: &str, call: &Call) -> Result<(), Answer> {
    let Some((_, action)) = ACTIONS.iter().find(|(name, _)| *name == operation) else { return Ok(()) };
    let hits = |denial: &&Denial| fits(&denial.action.to_lowercase(), &action.to_lowercase());
    let Some(denial) = at(denials, &call.path).find(hits) else { return Ok(()) };
    let scope = &call.path;
    let (code, message) = match denial.by {
        DeniedBy::Role => (
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
    !at(denials, path).any(|denial| fits(&denial.action.to_lowercase(), &action.to_lowercase()))
}

/// `Permissions_ListForResource` and `Permissions_ListForResourceGroup` (swagger Microsoft.Authorization 2022-04-01):
/// one role that grants everything but what is denied. Deny assignments are no part of a role.
pub(crate) fn permissions(denials: &[Denial], call: &Call) -> Answer {
    let by_role = at(denials, &call.path).filter(|denial| denial.by == DeniedBy::Role);
    let denied: Vec<&str> = by_role.map(|denial| denial.action.as_str()).collect();
    let role = json!({"actions": ["*"], "notActions": denied, "dataActions": [], "notDataActions": []});
    Answer::ok(json!({"value": [role]}))
}

/// What is denied at a path.
fn at<'a>(denials: &'a [Denial], path: &str) -> impl Iterator<Item = &'a Denial> {
    denials.iter().filter(move |denial| covers(&denial.scope, path))
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
        assert!(ACTIONS.iter().all(|(operation, _)| routes::is_operation(operation)));
    }
}
