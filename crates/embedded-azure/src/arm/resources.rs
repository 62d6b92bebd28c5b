//! What Azure Resource Manager itself tells of vaults, and of what Service Connector linked.

use serde_json::{Value, json};

use super::{page, resource_not_found};
use crate::call::{Answer, Answered, Call};
use crate::ids::{StoreId, VaultId};
use crate::roles::{self, DeniedBy};
use crate::state::State;

/// The data actions of secrets, and what access policies call them (docs: Azure role-based access control in Key Vault).
const OF_SECRETS: [(&str, &str); 4] = [
    ("Microsoft.KeyVault/vaults/secrets/getSecret/action", "get"),
    ("Microsoft.KeyVault/vaults/secrets/setSecret/action", "set"),
    ("Microsoft.KeyVault/vaults/secrets/readMetadata/action", "list"),
    ("Microsoft.KeyVault/vaults/secrets/delete", "delete"),
];

/// `Vaults_Get` (swagger Microsoft.KeyVault 2023-07-01). A vault goes by access policies where one is what denies something: the
/// caller then has one with all that is not denied.
pub(crate) fn vault(state: &mut State, call: &Call) -> Answered {
    let (name, group) = (call.param("name"), call.param("group"));
    let is_it = |id: &VaultId| id.name.eq_ignore_ascii_case(name) && id.group.eq_ignore_ascii_case(group);
    let found = state.vaults.iter().find(|vault| is_it(&vault.id));
    let id = &found.ok_or_else(|| resource_not_found("Microsoft.KeyVault/vaults", call))?.id;
    Ok(Answer::ok(describe_vault(state, id)))
}

/// As in the swagger's example of it.
pub(crate) fn describe_vault(state: &State, id: &VaultId) -> Value {
    let scope = id.to_string();
    let of_policies = |action: &str| {
        roles::denial(&state.denials, &scope, action).is_some_and(|one| one.by == DeniedBy::AccessPolicy)
    };
    let by_policies = OF_SECRETS.iter().any(|(action, _)| of_policies(action));
    let permitted: Vec<&str> = OF_SECRETS
        .iter()
        .filter(|(action, _)| roles::may(&state.denials, &scope, action))
        .map(|(_, name)| *name)
        .collect();
    let policy = json!({
        "tenantId": state.identity.tenant, "objectId": state.identity.object(),
        "permissions": {"keys": [], "secrets": permitted, "certificates": []},
    });
    let policies = if by_policies { vec![policy] } else { Vec::new() };
    json!({
        "id": scope, "name": id.name, "type": "Microsoft.KeyVault/vaults", "location": "eastus", "tags": {},
        "properties": {
            "sku": {"family": "A", "name": "standard"}, "tenantId": state.identity.tenant,
            "accessPolicies": policies, "enableRbacAuthorization": !by_policies,
            "enableSoftDelete": true, "vaultUri": format!("https://{}.vault.azure.net/", id.name.to_lowercase()),
            "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled",
        },
    })
}

/// A store as ARM itself knows it.
pub(crate) fn describe_store(id: &StoreId) -> Value {
    json!({
        "id": id.to_string(), "name": id.name, "type": "Microsoft.AppConfiguration/configurationStores",
        "location": "eastus", "tags": {}, "sku": {"name": "standard"},
    })
}

/// `Linker_List` (swagger Microsoft.ServiceLinker 2024-04-01; field samples): what Service Connector linked a site, a slot or a
/// container app to.
pub(crate) fn links(state: &mut State, call: &Call) -> Answered {
    let extension = "/providers/microsoft.servicelinker/";
    let path = call.path.to_lowercase();
    let (source, _) = path.split_once(extension).unwrap_or((path.as_str(), ""));
    let of_it = state.links.iter().filter(|link| link.source.eq_ignore_ascii_case(source));
    let items = of_it.map(|link| {
        let target = state.services.iter().find(|one| one.id.name().eq_ignore_ascii_case(&link.service));
        json!({
            "id": format!("{}/providers/Microsoft.ServiceLinker/linkers/{}", link.source, link.name),
            "name": link.name, "type": "microsoft.servicelinker/linkers",
            "properties": {
                "authInfo": {"authType": link.auth}, "clientType": "dotnet", "provisioningState": "Succeeded",
                "scope": null, "secretStore": {"keyVaultId": null, "keyVaultSecretName": null},
                "targetService": {"type": "AzureResource", "id": target.map(|one| one.id.to_string())},
            },
        })
    });
    let items = items.collect();
    page(state, call, items)
}
