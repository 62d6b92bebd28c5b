//! Tenants, subscriptions, resource groups, and the page that tells a client where everything is.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{containers, page, resources as others, signalr, static_sites, web};
use crate::barriers::BarrierKind;
use crate::call::{Answer, Answered, Call};
use crate::state::State;

/// `Tenants_List`
pub(crate) fn tenants(state: &mut State, _: &Call) -> Answered {
    let tenant = &state.identity.tenant;
    Ok(Answer::ok(json!({"value": [{
        "id": format!("/tenants/{tenant}"), "tenantId": tenant, "tenantCategory": "Home",
        "displayName": "Simulated", "defaultDomain": "simulated.onmicrosoft.com", "tenantType": "AAD",
    }]})))
}

/// `Subscriptions_List`
pub(crate) fn subscriptions(state: &mut State, call: &Call) -> Answered {
    let items = vec![describe_subscription(state)];
    page(state, call, items)
}

/// `Subscriptions_Get`
pub(crate) fn subscription(state: &mut State, _: &Call) -> Answered {
    Ok(Answer::ok(describe_subscription(state)))
}

/// `ResourceGroups_List`
pub(crate) fn groups(state: &mut State, call: &Call) -> Answered {
    let items = state.groups().iter().map(|group| describe_group(state, group)).collect();
    page(state, call, items)
}

/// `ResourceGroups_Get`
pub(crate) fn group(state: &mut State, call: &Call) -> Answered {
    let groups = state.groups();
    let group = groups.iter().find(|group| group.eq_ignore_ascii_case(call.param("group")));
    group.map(|group| Answer::ok(describe_group(state, group))).ok_or_else(|| super::not_found(call))
}

/// `ResourceGroups_CheckExistence`; the gate answers 404 for one that there is not.
pub(crate) fn group_exists(_: &mut State, _: &Call) -> Answered {
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

/// `Subscriptions_ListLocations`: the one region in which everything is (swagger example GetLocations).
pub(crate) fn locations(state: &mut State, _: &Call) -> Answered {
    let region = |name: &str| format!("/subscriptions/{}/locations/{name}", state.subscription);
    Ok(Answer::ok(json!({"value": [{
        "id": region("eastus"), "name": "eastus", "type": "Region",
        "displayName": "East US", "regionalDisplayName": "(US) East US",
        "metadata": {
            "regionType": "Physical", "regionCategory": "Recommended", "geographyGroup": "US",
            "longitude": "-79.8164", "latitude": "37.3719", "physicalLocation": "Virginia",
            "pairedRegion": [{"name": "westus", "id": region("westus")}],
        },
    }]})))
}

/// `Providers_List`
pub(crate) fn providers(state: &mut State, call: &Call) -> Answered {
    let items = PROVIDERS.iter().map(|provider| describe_provider(state, provider)).collect();
    page(state, call, items)
}

/// `Providers_Get`: clients look up here which api-version a type of resource has.
pub(crate) fn provider(state: &mut State, call: &Call) -> Answered {
    let name = call.param("provider");
    let known = PROVIDERS.iter().find(|provider| provider.namespace.eq_ignore_ascii_case(name));
    known.map(|provider| Answer::ok(describe_provider(state, provider))).ok_or_else(|| {
        let message = format!("The resource namespace '{name}' is invalid.");
        Answer::error(StatusCode::NOT_FOUND, "InvalidResourceNamespace", message)
    })
}

/// `Resources_List` and `Resources_ListByResourceGroup`: what the providers hold, without its properties.
pub(crate) fn resources(state: &mut State, call: &Call) -> Answered {
    let wanted = call.query("$filter").unwrap_or_default();
    let wanted = parse_filter(&wanted).ok_or_else(|| {
        let message = "Invalid $filter. The embedded Azure knows resourceType, resourceGroup, name and location, each with \
                       eq, joined by and.";
        super::bad_request("InvalidFilterInQueryString", message)
    })?;
    let services = state.services.iter().filter(|one| !one.deleted);
    let services = services.map(|one| (one.id.group.as_str(), signalr::describe(state, one)));
    let apps = state.apps.iter().filter(|app| !app.deleted);
    let apps = apps.map(|app| (app.id.group.as_str(), web::describe(app)));
    let of_containers = state.containers.iter().enumerate().filter(|(_, one)| !one.deleted);
    let of_containers =
        of_containers.map(|(at, one)| (one.id.group.as_str(), containers::describe(state, at)));
    let static_sites = state.static_sites.iter().filter(|site| !site.deleted);
    let static_sites = static_sites.map(|site| (site.id.group.as_str(), static_sites::describe(site)));
    let vaults = state.vaults.iter().map(|vault| &vault.id);
    let vaults = vaults.map(|id| (id.group.as_str(), others::describe_vault(state, id)));
    let stores = state.stores.iter().map(|store| &store.id);
    let stores = stores.map(|id| (id.group.as_str(), others::describe_store(id)));
    let asked = call.param("group");
    let items = services
        .chain(apps)
        .chain(of_containers)
        .chain(static_sites)
        .chain(vaults)
        .chain(stores)
        .filter(|(group, _)| asked.is_empty() || group.eq_ignore_ascii_case(asked))
        .filter(|(group, item)| wanted.iter().all(|(field, value)| fits(field, value, group, item)))
        .map(|(_, item)| summary(&item))
        .collect();
    page(state, call, items)
}

/// Where the cloud's endpoints are. Three forms are in use: one flat object (2015-01-01), an array of clouds
/// (2019-05-01 and later), and one cloud (2022-09-01).
pub(crate) fn endpoints(state: &mut State, call: &Call) -> Answered {
    let login = json!({
        "loginEndpoint": call.base,
        "audiences": [format!("{}/", call.base), "https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": state.identity.tenant,
        "identityProvider": "AAD",
    });
    let host = call.authority();
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

/// A resource provider and its types, each with the api-version that is served here.
struct Provider {
    namespace: &'static str,
    types: &'static [(&'static str, &'static str)],
}

static PROVIDERS: [Provider; 4] = [
    Provider { namespace: "Microsoft.SignalRService", types: &[("SignalR", "2024-03-01")] },
    Provider {
        namespace: "Microsoft.Web",
        types: &[("sites", "2023-12-01"), ("sites/slots", "2023-12-01"), ("staticSites", "2024-04-01")],
    },
    Provider {
        namespace: "Microsoft.App",
        types: &[("containerApps", "2024-03-01"), ("jobs", "2024-03-01")],
    },
    Provider {
        namespace: "Microsoft.Resources",
        types: &[
            ("subscriptions", "2022-12-01"),
            ("resourceGroups", "2022-12-01"),
            ("resources", "2022-12-01"),
        ],
    },
];

/// A provider as in the swagger's example GetProvider.
fn describe_provider(state: &State, provider: &Provider) -> Value {
    let types = provider.types.iter().map(|(name, version)| {
        json!({
            "resourceType": name, "locations": ["East US"], "apiVersions": [version],
            "capabilities": "SupportsTags, SupportsLocation",
        })
    });
    json!({
        "id": format!("/subscriptions/{}/providers/{}", state.subscription, provider.namespace),
        "namespace": provider.namespace,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": types.collect::<Vec<_>>(),
    })
}

/// The terms `field eq 'value'` of a filter (swagger: Resources_List, `$filter`); none if it has others.
fn parse_filter(text: &str) -> Option<Vec<(String, String)>> {
    let term = |term: &str| {
        let (field, value) = term.trim().split_once(" eq ")?;
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        let field = field.trim().to_lowercase();
        let known = ["resourcetype", "resourcegroup", "name", "location"].contains(&field.as_str());
        known.then(|| (field, value.to_owned()))
    };
    if text.trim().is_empty() { Some(Vec::new()) } else { text.split(" and ").map(term).collect() }
}

fn fits(field: &str, value: &str, group: &str, item: &Value) -> bool {
    let of = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    // Providers write a region by its name or by its display name; ARM takes both.
    let plain = |text: &str| text.replace(' ', "").to_lowercase();
    match field {
        "resourcegroup" => group.eq_ignore_ascii_case(value),
        "resourcetype" => of("type").eq_ignore_ascii_case(value),
        "location" => plain(&of("location")) == plain(value),
        _ => of("name").eq_ignore_ascii_case(value),
    }
}

/// A resource as ARM itself knows it (swagger: GenericResourceExpanded).
fn summary(item: &Value) -> Value {
    let known = ["id", "name", "type", "kind", "location", "tags", "sku"];
    let fields = known.iter().filter_map(|name| Some(((*name).to_owned(), item.get(name)?.clone())));
    Value::Object(fields.collect())
}

fn describe_subscription(state: &State) -> Value {
    let id = &state.subscription;
    json!({
        "id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": state.identity.tenant,
        "displayName": "Simulated", "authorizationSource": "RoleBased",
        "managedByTenants": [], "homeTenantId": state.identity.tenant,
        "state": if is_disabled(state) { "Disabled" } else { "Enabled" },
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
        },
    })
}

/// Whether the subscription is disabled.
fn is_disabled(state: &State) -> bool {
    state.barriers.iter().any(|barrier| barrier.kind == BarrierKind::DisabledSubscription)
}

fn describe_group(state: &State, group: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{}/resourceGroups/{group}", state.subscription),
        "name": group, "type": "Microsoft.Resources/resourceGroups", "location": "eastus", "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    })
}
