//! What stands at a scope and refuses requests whatever the caller's role: locks, a disabled subscription, a policy, a
//! provider that is not registered. A deny assignment is a [`Denial`](super::Denial).
//!
//! A barrier counts for its scope and everything below (docs: Lock your resources; Azure Policy scope).

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::{Answer, Call};
use crate::roles::covers;

/// A barrier at a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barrier {
    /// The id of a subscription, resource group or resource.
    pub scope: String,
    /// What it is.
    pub kind: BarrierKind,
}

/// What can stand at a scope. In JSON in kebab case: `read-only-lock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BarrierKind {
    /// A `ReadOnly` lock: 409 `ScopeLocked` for everything but GET, and so for every POST that only lists, too (docs:
    /// Lock your resources, "A read-only lock on a storage account prevents users from listing the account keys";
    /// public issue azure-sdk-for-java#24893 for `config/…/list` of a site; for SignalR deduced).
    ReadOnlyLock,
    /// A `CanNotDelete` lock: refuses deletions alone (docs: Lock your resources).
    CanNotDeleteLock,
    /// A disabled subscription: 409 `ReadOnlyDisabledSubscription` for writes (public issues
    /// vscode-azureappservice#912 and #1646 for code and message). Whether a POST that only lists counts as one is not
    /// told anywhere; here it does not.
    DisabledSubscription,
    /// A policy with the effect `deny`: 403 `RequestDisallowedByPolicy`. Policies judge resources that are created or
    /// updated (docs: Azure Policy, deny effect), and so PUT and PATCH.
    Policy,
    /// A resource provider that the subscription is not registered for: 409 `MissingSubscriptionRegistration` for
    /// everything but GET (docs: Resolve errors for resource provider registration).
    Unregistered,
    /// The firewall of a vault, which lets the platform in and not the caller: 403 `ForbiddenByFirewall` for everything that
    /// is asked of the vault itself (docs: Azure Key Vault REST API error codes). Azure Resource Manager is outside of it.
    VaultFirewall,
    /// A vault whose public network access is disabled: 403 `ForbiddenByConnection`, to everybody but the platform here (docs:
    /// Azure Key Vault REST API error codes; Diagnose private links configuration issues on Azure Key Vault).
    VaultPrivate,
    /// The network rules of an App Configuration store: 403 `ip-address-rejected` for everything that is asked of the store
    /// itself (docs: App Configuration, Network access errors). The platform is let in here.
    StoreFirewall,
}

/// Whether the firewall of a vault or store keeps the caller out.
pub(crate) fn has_firewall(barriers: &[Barrier], kind: BarrierKind, resource: &str) -> bool {
    barriers.iter().any(|barrier| barrier.kind == kind && covers(&barrier.scope, resource))
}

/// Lets a call pass, or answers why it is refused.
pub(crate) fn check(barriers: &[Barrier], subscription: &str, call: &Call) -> Result<(), Answer> {
    let mut at_scope = barriers.iter().filter(|barrier| covers(&barrier.scope, &call.path));
    at_scope.find_map(|barrier| barrier.refusal(subscription, call)).map_or(Ok(()), Err)
}

/// Whether a request only lists, though it is a POST.
fn lists(call: &Call) -> bool {
    // `list`, `listKeys`, `listSecrets`, `listAppSettings`, `listFunctionAppSettings`
    let path = call.path.trim_end_matches('/').to_lowercase();
    path.rsplit('/').next().is_some_and(|action| action.starts_with("list"))
}

impl BarrierKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ReadOnlyLock,
        Self::CanNotDeleteLock,
        Self::DisabledSubscription,
        Self::Policy,
        Self::Unregistered,
        Self::VaultFirewall,
        Self::VaultPrivate,
        Self::StoreFirewall,
    ];

    fn refuses(self, call: &Call) -> bool {
        let method = &call.method;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::ReadOnlyLock | Self::Unregistered => !reads,
            Self::CanNotDeleteLock => *method == Method::DELETE,
            Self::DisabledSubscription => !reads && !lists(call),
            Self::Policy => matches!(*method, Method::PUT | Method::PATCH),
            Self::VaultFirewall | Self::VaultPrivate | Self::StoreFirewall => false,
        }
    }
}

impl Barrier {
    /// The bodies are those of public logs; the words of the policy and the provider are made up.
    fn refusal(&self, subscription: &str, call: &Call) -> Option<Answer> {
        if !self.kind.refuses(call) {
            return None;
        }
        Some(match self.kind {
            BarrierKind::VaultFirewall | BarrierKind::VaultPrivate | BarrierKind::StoreFirewall => {
                return None;
            }
            BarrierKind::ReadOnlyLock | BarrierKind::CanNotDeleteLock => {
                let deed = if call.method == Method::DELETE { "delete" } else { "write" };
                let message = format!(
                    "The scope '{}' cannot perform {deed} operation because following scope(s) are locked: '{}'. Please \
                     remove the lock and try again.",
                    call.path, self.scope
                );
                Answer::error(StatusCode::CONFLICT, "ScopeLocked", message)
            }
            BarrierKind::DisabledSubscription => {
                let message = format!(
                    "The subscription '{subscription}' is disabled and therefore marked as read only. You cannot \
                     perform any write actions on this subscription until it is re-enabled."
                );
                Answer::error(StatusCode::CONFLICT, "ReadOnlyDisabledSubscription", message)
            }
            BarrierKind::Policy => disallowed(subscription, call),
            BarrierKind::Unregistered => unregistered(call),
        })
    }
}

/// docs: Resolve errors for policy.
fn disallowed(subscription: &str, call: &Call) -> Answer {
    let assignment = format!(
        "/subscriptions/{subscription}/providers/Microsoft.Authorization/policyAssignments/simulated"
    );
    let name = call.resource();
    let message = format!(
        "Resource '{name}' was disallowed by policy. Policy identifiers: '[{{\"policyAssignment\":{{\"name\":\"simulated\",\
         \"id\":\"{assignment}\"}}}}]'."
    );
    let info = json!({"policyDefinitionDisplayName": "simulated", "policyAssignmentId": assignment});
    let error = json!({
        "code": "RequestDisallowedByPolicy", "target": name, "message": message,
        "additionalInfo": [{"type": "PolicyViolation", "info": info}],
    });
    Answer::new(StatusCode::FORBIDDEN, json!({"error": error}))
}

/// docs: Resolve errors for resource provider registration.
fn unregistered(call: &Call) -> Answer {
    let namespace = call.path.split('/').skip_while(|word| !word.eq_ignore_ascii_case("providers")).nth(1);
    let namespace = namespace.unwrap_or("Microsoft.Resources");
    let message = format!(
        "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to \
         register subscriptions."
    );
    let detail =
        json!({"code": "MissingSubscriptionRegistration", "target": namespace, "message": message.clone()});
    let error = json!({"code": "MissingSubscriptionRegistration", "message": message, "details": [detail]});
    Answer::new(StatusCode::CONFLICT, json!({"error": error}))
}
