//! The data plane of Key Vault, as far as secrets go (swagger: Key Vault secrets 7.5): what every request passes before it
//! reaches a secret, in the order of docs: Azure Key Vault authentication, Key Vault authentication flow.
//!
//! A vault is at `{name}.localhost` and at its hosts in Azure. Without a token it answers with a challenge, whose `resource` is
//! what the host ends with: that is how Microsoft's clients find out for whom to ask a token (docs: Authentication,
//! requests and responses), and how they refuse a vault that would have them send it elsewhere.

pub(crate) mod secrets;

use axum::http::StatusCode;
use serde_json::json;

use crate::barriers::BarrierKind;
use crate::call::{Answer, Answered, Call};
use crate::faults::{Fault, FaultKind};
use crate::platform::GET_SECRET;
use crate::roles::{Denial, DeniedBy};
use crate::state::State;
use crate::{barriers, references, roles};

/// What each operation needs: the data action, and what access policies call it (docs: Azure role-based access control in
/// Key Vault; that of an update is not confirmed).
const NEEDS: [(&str, &str, &str); 10] = [
    ("KeyVault_GetSecret", GET_SECRET, "get"),
    ("KeyVault_SetSecret", "Microsoft.KeyVault/vaults/secrets/setSecret/action", "set"),
    ("KeyVault_UpdateSecret", "Microsoft.KeyVault/vaults/secrets/update/action", "set"),
    ("KeyVault_GetSecrets", READ_METADATA, "list"),
    ("KeyVault_GetSecretVersions", READ_METADATA, "list"),
    ("KeyVault_DeleteSecret", "Microsoft.KeyVault/vaults/secrets/delete", "delete"),
    ("KeyVault_GetDeletedSecret", READ_METADATA, "get"),
    ("KeyVault_GetDeletedSecrets", READ_METADATA, "list"),
    ("KeyVault_RecoverDeletedSecret", "Microsoft.KeyVault/vaults/secrets/recover/action", "recover"),
    ("KeyVault_PurgeDeletedSecret", "Microsoft.KeyVault/vaults/secrets/purge/action", "purge"),
];

const READ_METADATA: &str = "Microsoft.KeyVault/vaults/secrets/readMetadata/action";

/// The api-versions that Microsoft's clients of these years use (azure-keyvault-secrets 4.12.0 for Python, `ApiVersion`).
const API_VERSIONS: [&str; 5] = ["7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"];

/// The name of an operation, and what answers it.
pub(crate) type Operation = (&'static str, fn(&mut State, &Call) -> Answered);

/// The vault that a request is for, by its host. One that there is not has no host in DNS: over loopback the request is an
/// ordinary one then.
pub(crate) fn asked(state: &State, call: &Call) -> Option<String> {
    let host = call.host.to_lowercase();
    let name = references::vault_at(&host)?;
    state.vault(name).is_ok().then(|| name.to_owned())
}

/// Lets a request pass to its operation; nothing if the path is none of a vault's.
pub(crate) fn serve(state: &mut State, operation: Option<Operation>, call: &Call) -> Answer {
    let answered = admit(state, operation.map(|(name, _)| name), call).and_then(|()| match operation {
        Some((_, handle)) => handle(state, call),
        None => Err(Answer::error(StatusCode::NOT_FOUND, "NotFound", "There is no such resource.")),
    });
    // Headers of recordings (azure-sdk-for-js).
    answered
        .unwrap_or_else(|error| error)
        .with("x-ms-keyvault-region", "eastus")
        .with("x-ms-keyvault-service-version", "1.2.164.2")
        .with("x-ms-request-id", state.ids.uuid().to_string())
}

/// The answer of a vault to a fault; nothing for those that all of Azure answers alike.
pub(crate) fn refusal(state: &State, fault: &Fault, call: &Call) -> Option<Answer> {
    match fault.kind {
        FaultKind::Throttled => {
            // No `Retry-After` is documented: back off by 1, 2, 4, 8 and 16 s (docs: Azure Key Vault throttling guidance).
            let message = "Request was not processed because too many requests were received.";
            let answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, "Throttled", message);
            Some(match fault.retry_after {
                Some(seconds) => answer.with("retry-after", seconds.to_string()),
                None => answer,
            })
        }
        FaultKind::Unauthorized | FaultKind::ExpiredToken => {
            Some(challenge(state, call, "The token is not accepted."))
        }
        FaultKind::Forbidden => {
            let denial = Denial::of_the_caller("/", "*", DeniedBy::Role);
            Some(denied(state, &denial, ("Microsoft.KeyVault/vaults/secrets/*", "*"), call))
        }
        FaultKind::Conflict => Some(conflict("The secret is being changed.", "ObjectIsBeingDeleted")),
        _ => None,
    }
}

/// A 409 of a vault.
fn conflict(message: &str, inner: &str) -> Answer {
    let error = json!({"code": "Conflict", "message": message, "innererror": {"code": inner}});
    Answer::new(StatusCode::CONFLICT, json!({"error": error}))
}

/// A 403 of a vault; the inner code tells which of them (docs: Azure Key Vault REST API error codes).
pub(crate) fn forbidden(message: &str, inner: &str) -> Answer {
    let error = json!({"code": "Forbidden", "message": message, "innererror": {"code": inner}});
    Answer::new(StatusCode::FORBIDDEN, json!({"error": error}))
}

fn bad_parameter(message: &str) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "BadParameter", message)
}

fn admit(state: &State, operation: Option<&str>, call: &Call) -> Result<(), Answer> {
    let (_, domain) = parts(call);
    state.identity.check_for_vault(domain, call).map_err(|message| challenge(state, call, message))?;
    let vault = found(state, call)?;
    let id = state.vaults[vault].id.to_string();
    let stands = |kind: &BarrierKind| barriers::has_firewall(&state.barriers, *kind, &id);
    if let Some(kind) = [BarrierKind::VaultPrivate, BarrierKind::VaultFirewall].into_iter().find(stands) {
        let (said, inner) = match kind {
            BarrierKind::VaultPrivate => (
                "Public network access is disabled and request is not from a trusted service nor via an approved private \
                 link.",
                "ForbiddenByConnection",
            ),
            _ => (
                "Client address is not authorized and caller is not a trusted service.\r\nClient address: 192.0.2.10",
                "ForbiddenByFirewall",
            ),
        };
        let (caller, vault) = (state.identity.describe_to_a_vault(), call.param("vault"));
        let message = format!("{said}\r\nCaller: {caller}\r\nVault: {vault};location=eastus");
        return Err(forbidden(&message, inner));
    }
    let version = call.query("api-version").unwrap_or_default();
    if !API_VERSIONS.contains(&version.as_str()) {
        let message =
            format!("The api-version {version:?} is missing or none of {}.", API_VERSIONS.join(", "));
        return Err(bad_parameter(&message));
    }
    let Some((_, action, permission)) = NEEDS.iter().find(|(name, ..)| Some(*name) == operation) else {
        return Ok(());
    };
    match roles::denial(&state.denials, &scope(&id, call), action) {
        Some(denial) => Err(denied(state, denial, (action, permission), call)),
        None => Ok(()),
    }
}

/// The resource that a request is about: a role can be assigned at a single secret (docs: Azure role-based access control in
/// Key Vault).
fn scope(vault: &str, call: &Call) -> String {
    match call.param("secret") {
        "" => vault.to_owned(),
        secret => format!("{vault}/secrets/{secret}"),
    }
}

/// The texts are those of public reports.
fn denied(state: &State, denial: &Denial, (action, permission): (&str, &str), call: &Call) -> Answer {
    let (caller, vault) = (state.identity.describe_to_a_vault(), call.param("vault"));
    let id = found(state, call).map(|at| state.vaults[at].id.to_string()).unwrap_or_default();
    let (assignment, decision) = match denial.by {
        DeniedBy::AccessPolicy => {
            let message = format!(
                "The user, group or application '{caller}' does not have secrets {permission} permission on key vault \
                 '{vault};location=eastus'."
            );
            return forbidden(&message, "AccessDenied");
        }
        DeniedBy::Role => ("null", "null"),
        DeniedBy::DenyAssignment => ("'simulated'", "'DeniedByDenyAssignment'"),
    };
    let message = format!(
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role \
         definitions were changed recently, please observe propagation time.\r\nCaller: {caller}\r\nAction: '{action}'\r\n\
         Resource: '{}'\r\nAssignment: (not found)\r\nDenyAssignmentId: {assignment}\r\nDecisionReason: {decision}\r\n\
         Vault: {vault};location=eastus",
        scope(&id, call),
    );
    forbidden(&message, "ForbiddenByRbac")
}

/// The 401 that tells whom to ask for a token, and for whom (recordings of azure-sdk-for-js).
fn challenge(state: &State, call: &Call, message: &str) -> Answer {
    let (scheme, domain) = parts(call);
    let tenant = &state.identity.tenant;
    let authority = match is_here(domain) {
        true => format!("{scheme}://{domain}"),
        false => "https://login.microsoftonline.com".into(),
    };
    Answer::error(StatusCode::UNAUTHORIZED, "Unauthorized", message).with(
        "www-authenticate",
        format!("Bearer authorization=\"{authority}/{tenant}\", resource=\"{scheme}://{domain}\""),
    )
}

/// The scheme by which a vault is asked, and its host without its name, with the port.
fn parts(call: &Call) -> (&str, &str) {
    let scheme = call.base.split_once("://").map_or("https", |(scheme, _)| scheme);
    (scheme, call.host.split_once('.').map_or(call.host.as_str(), |(_, domain)| domain))
}

/// Whether vaults of a domain are on this machine.
fn is_here(domain: &str) -> bool {
    domain.split(':').next().is_some_and(|host| host.eq_ignore_ascii_case("localhost"))
}

/// What a vault's ids and links begin with.
fn origin(call: &Call) -> String {
    format!("{}://{}", parts(call).0, call.host)
}

fn found(state: &State, call: &Call) -> Result<usize, Answer> {
    let gone = |_| Answer::empty(StatusCode::NOT_FOUND);
    state.vault(call.param("vault")).map_err(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[test]
    fn every_operation_needs_a_data_action() {
        assert!(NEEDS.iter().all(|(operation, ..)| routes::is_operation(operation)));
        let known: Vec<&str> = routes::operations_of_vaults().collect();
        assert_eq!(known.len(), NEEDS.len());
    }
}
