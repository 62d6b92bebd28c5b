//! Tenants, subscriptions, resource groups, and the page that tells a client where everything is.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::page;
use crate::sim::call::{Answer, Answered, Call};
use crate::sim::state::State;

/// `Tenants_List`
pub(in crate::sim) fn tenants(state: &mut State, _: &Call) -> Answered {
    let tenant = &state.identity.tenant;
    Ok(Answer::ok(json!({"value": [{
        "id": format!("/tenants/{tenant}"), "tenantId": tenant, "tenantCategory": "Home",
        "displayName": "Simulated", "defaultDomain": "simulated.onmicrosoft.com", "tenantType": "AAD",
    }]})))
}

/// `Subscriptions_List`
pub(in crate::sim) fn subscriptions(state: &mut State, call: &Call) -> Answered {
    let items = vec![describe_subscription(state)];
    page(state, call, items)
}

/// `Subscriptions_Get`
pub(in crate::sim) fn subscription(state: &mut State, _: &Call) -> Answered {
    Ok(Answer::ok(describe_subscription(state)))
}

/// `ResourceGroups_List`
pub(in crate::sim) fn groups(state: &mut State, call: &Call) -> Answered {
    let items = state.groups().iter().map(|group| describe_group(state, group)).collect();
    page(state, call, items)
}

/// `ResourceGroups_Get`
pub(in crate::sim) fn group(state: &mut State, call: &Call) -> Answered {
    let groups = state.groups();
    let group = groups.iter().find(|group| group.eq_ignore_ascii_case(call.param("group")));
    group.map(|group| Answer::ok(describe_group(state, group))).ok_or_else(|| super::not_found(call))
}

/// Where the cloud's endpoints are. Three forms are in use: one flat object (2015-01-01), an array of clouds
/// (2019-05-01 and later), and one cloud (2022-09-01).
pub(in crate::sim) fn endpoints(state: &mut State, call: &Call) -> Answered {
    let login = json!({
        "loginEndpoint": call.base,
        "audiences": [format!("{}/", call.base), "https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": state.identity.tenant,
        "identityProvider": "AAD",
    });
    let host = &call.host;
    let cloud = json!({
        "name": "SimulatedCloud",
        "resourceManager": format!("{}/", call.base),
        "authentication": login,
        "portal": call.base,
        "graph": call.base,
        "graphAudience": call.base,
        "microsoftGraphResourceId": call.base,
        "activeDirectoryDataLake": call.base,
        "batch": call.base,
        "gallery": call.base,
        "media": call.base,
        "sqlManagement": call.base,
        "vmImageAliasDoc": call.base,
        "suffixes": {
            "storage": host, "keyVaultDns": host, "sqlServerHostname": host, "acrLoginServer": host,
            "mysqlServerEndpoint": host, "postgresqlServerEndpoint": host, "mariadbServerEndpoint": host,
            "azureDataLakeStoreFileSystem": host, "azureDataLakeAnalyticsCatalogAndJob": host,
        },
    });
    let version = call.query("api-version").unwrap_or_default();
    match version.as_str() {
        "" => Err(Answer::error(
            StatusCode::BAD_REQUEST,
            "MissingApiVersionParameter",
            "api-version is required.",
        )),
        version if version < "2019-05-01" => Ok(Answer::ok(json!({
            "galleryEndpoint": call.base, "graphEndpoint": call.base, "portalEndpoint": call.base,
            "authentication": cloud["authentication"],
        }))),
        version if version < "2022-09-01" => Ok(Answer::ok(Value::Array(vec![cloud]))),
        _ => Ok(Answer::ok(cloud)),
    }
}

fn describe_subscription(state: &State) -> Value {
    let id = &state.subscription;
    json!({
        "id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": state.identity.tenant,
        "displayName": "Simulated", "state": "Enabled", "authorizationSource": "RoleBased",
        "managedByTenants": [], "homeTenantId": state.identity.tenant,
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
        },
    })
}

fn describe_group(state: &State, group: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{}/resourceGroups/{group}", state.subscription),
        "name": group, "type": "Microsoft.Resources/resourceGroups", "location": "eastus", "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    })
}
