//! The one routing table: method and path to operation id and handler.
//!
//! Operation ids are those of the swagger (Microsoft.SignalRService 2024-03-01, Microsoft.Web 2023-12-01,
//! Microsoft.App 2024-03-01, Microsoft.Resources 2022-12-01, Microsoft.Authorization 2022-04-01,
//! Microsoft.Insights 2015-04-01; Key Vault secrets 7.5, after `KeyVault_`; App Configuration 2023-11-01, after
//! `AppConfiguration_`) where there is one. Paths match without regard to case, as ARM's do.

mod stores;

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;

use crate::arm::{activity_log, directory, references, signalr, web};
use crate::call::{Answered, Call};
use crate::key_vault::{Operation, secrets};
use crate::state::State;
use crate::{data_plane, identity, roles};

/// One row of the table.
pub(crate) struct Route {
    method: Method,
    pub(crate) pattern: &'static str,
    pub(crate) operation: &'static str,
    /// Whether it is Azure Resource Manager's: behind a token, counted and delayed.
    pub(crate) arm: bool,
    pub(crate) handle: fn(&mut State, &Call) -> Answered,
}

impl Route {
    pub(crate) fn operation(&self) -> Operation {
        (self.operation, self.handle)
    }
}

/// What the table says of a path.
pub(crate) enum Found {
    Route(&'static Route, BTreeMap<&'static str, String>),
    /// The path is known, but not with this method.
    OtherMethod,
    Nothing,
}

const GET: Method = Method::GET;
const DELETE: Method = Method::DELETE;
const HEAD: Method = Method::HEAD;
const PATCH: Method = Method::PATCH;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

macro_rules! group {
    ($rest:literal) => {
        concat!("/subscriptions/{subscription}/resourceGroups/{group}", $rest)
    };
}

macro_rules! service {
    ($rest:literal) => {
        concat!(group!("/providers/Microsoft.SignalRService/signalR/{name}"), $rest)
    };
}

macro_rules! site {
    ($rest:literal) => {
        concat!(group!("/providers/Microsoft.Web/sites/{name}"), $rest)
    };
}

mod containers;
mod resources;
mod static_sites;

const fn arm(
    method: Method,
    pattern: &'static str,
    operation: &'static str,
    handle: fn(&mut State, &Call) -> Answered,
) -> Route {
    Route { method, pattern, operation, arm: true, handle }
}

const fn open(
    method: Method,
    pattern: &'static str,
    operation: &'static str,
    handle: fn(&mut State, &Call) -> Answered,
) -> Route {
    Route { method, pattern, operation, arm: false, handle }
}

static ROUTES: &[Route] = &[
    open(GET, "/msi/token", "ManagedIdentity_GetToken", |state, call| {
        identity::managed_identity_token(&state.identity, call)
    }),
    open(POST, "/{tenant}/oauth2/v2.0/token", "Entra_Token", |state, call| {
        identity::entra_token(&state.identity, call)
    }),
    open(GET, "/{tenant}/v2.0/.well-known/openid-configuration", "Entra_OpenIdConfiguration", |_, call| {
        identity::openid(call)
    }),
    open(GET, "/common/discovery/instance", "Entra_InstanceDiscovery", |state, call| {
        identity::instance_discovery(&state.identity, call)
    }),
    open(GET, "/metadata/endpoints", "Metadata_Endpoints", directory::endpoints),
    arm(GET, "/tenants", "Tenants_List", directory::tenants),
    arm(GET, "/subscriptions", "Subscriptions_List", directory::subscriptions),
    arm(GET, "/subscriptions/{subscription}", "Subscriptions_Get", directory::subscription),
    arm(GET, "/subscriptions/{subscription}/resourceGroups", "ResourceGroups_List", directory::groups),
    arm(GET, group!(""), "ResourceGroups_Get", directory::group),
    arm(HEAD, group!(""), "ResourceGroups_CheckExistence", directory::group_exists),
    arm(GET, "/subscriptions/{subscription}/locations", "Subscriptions_ListLocations", directory::locations),
    arm(GET, "/subscriptions/{subscription}/providers", "Providers_List", directory::providers),
    arm(GET, "/subscriptions/{subscription}/providers/{provider}", "Providers_Get", directory::provider),
    arm(GET, "/subscriptions/{subscription}/resources", "Resources_List", directory::resources),
    arm(GET, group!("/resources"), "Resources_ListByResourceGroup", directory::resources),
    arm(
        GET,
        "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values",
        "ActivityLogs_List",
        activity_log::list,
    ),
    // The swagger's one Permissions_ListForResource, by the kind of the resource.
    arm(
        GET,
        group!("/providers/Microsoft.Authorization/permissions"),
        "Permissions_ListForResourceGroup",
        permissions,
    ),
    arm(
        GET,
        service!("/providers/Microsoft.Authorization/permissions"),
        "Permissions_ListForInstance",
        permissions,
    ),
    arm(GET, site!("/providers/Microsoft.Authorization/permissions"), "Permissions_ListForSite", permissions),
    arm(
        GET,
        site!("/slots/{slot}/providers/Microsoft.Authorization/permissions"),
        "Permissions_ListForSlot",
        permissions,
    ),
    arm(
        GET,
        "/subscriptions/{subscription}/providers/Microsoft.SignalRService/signalR",
        "SignalR_ListBySubscription",
        signalr::list,
    ),
    arm(
        GET,
        group!("/providers/Microsoft.SignalRService/signalR"),
        "SignalR_ListByResourceGroup",
        signalr::list,
    ),
    arm(GET, service!(""), "SignalR_Get", signalr::get),
    arm(GET, service!("/replicas"), "SignalRReplicas_List", signalr::replicas),
    arm(POST, service!("/listKeys"), "SignalR_ListKeys", signalr::list_keys),
    arm(POST, service!("/regenerateKey"), "SignalR_RegenerateKey", signalr::regenerate_key),
    // Not in the swagger; the names are those of the actions in a role.
    arm(
        GET,
        service!("/operationStatuses/{operation}"),
        "SignalR_OperationStatuses",
        signalr::operation_status,
    ),
    arm(
        GET,
        service!("/operationResults/{operation}"),
        "SignalR_OperationResults",
        signalr::operation_result,
    ),
    arm(GET, "/subscriptions/{subscription}/providers/Microsoft.Web/sites", "WebApps_List", web::list),
    arm(GET, group!("/providers/Microsoft.Web/sites"), "WebApps_ListByResourceGroup", web::list),
    arm(GET, site!(""), "WebApps_Get", web::get),
    arm(GET, site!("/slots"), "WebApps_ListSlots", web::list_slots),
    arm(GET, site!("/slots/{slot}"), "WebApps_GetSlot", web::get),
    arm(POST, site!("/config/appsettings/list"), "WebApps_ListApplicationSettings", web::list_settings),
    arm(
        POST,
        site!("/slots/{slot}/config/appsettings/list"),
        "WebApps_ListApplicationSettingsSlot",
        web::list_settings,
    ),
    arm(PUT, site!("/config/appsettings"), "WebApps_UpdateApplicationSettings", web::update_settings),
    arm(
        PUT,
        site!("/slots/{slot}/config/appsettings"),
        "WebApps_UpdateApplicationSettingsSlot",
        web::update_settings,
    ),
    arm(
        POST,
        site!("/config/connectionstrings/list"),
        "WebApps_ListConnectionStrings",
        web::list_connection_strings,
    ),
    arm(
        POST,
        site!("/slots/{slot}/config/connectionstrings/list"),
        "WebApps_ListConnectionStringsSlot",
        web::list_connection_strings,
    ),
    arm(
        PUT,
        site!("/config/connectionstrings"),
        "WebApps_UpdateConnectionStrings",
        web::update_connection_strings,
    ),
    arm(
        PUT,
        site!("/slots/{slot}/config/connectionstrings"),
        "WebApps_UpdateConnectionStringsSlot",
        web::update_connection_strings,
    ),
    arm(GET, site!("/config/slotConfigNames"), "WebApps_ListSlotConfigurationNames", web::slot_config_names),
    arm(
        PUT,
        site!("/config/slotConfigNames"),
        "WebApps_UpdateSlotConfigurationNames",
        web::update_slot_config_names,
    ),
    arm(
        GET,
        site!("/config/configreferences/appsettings"),
        "WebApps_GetAppSettingsKeyVaultReferences",
        references::of_settings,
    ),
    arm(
        GET,
        site!("/slots/{slot}/config/configreferences/appsettings"),
        "WebApps_GetAppSettingsKeyVaultReferencesSlot",
        references::of_settings,
    ),
    arm(
        GET,
        site!("/config/configreferences/appsettings/{key}"),
        "WebApps_GetAppSettingKeyVaultReference",
        references::of_setting,
    ),
    arm(
        GET,
        site!("/slots/{slot}/config/configreferences/appsettings/{key}"),
        "WebApps_GetAppSettingKeyVaultReferenceSlot",
        references::of_setting,
    ),
    arm(
        GET,
        site!("/config/configreferences/connectionstrings"),
        "WebApps_GetSiteConnectionStringKeyVaultReferences",
        references::of_connection_strings,
    ),
    arm(
        GET,
        site!("/slots/{slot}/config/configreferences/connectionstrings"),
        "WebApps_GetSiteConnectionStringKeyVaultReferencesSlot",
        references::of_connection_strings,
    ),
    arm(
        GET,
        site!("/config/configreferences/connectionstrings/{key}"),
        "WebApps_GetSiteConnectionStringKeyVaultReference",
        references::of_connection_string,
    ),
    arm(
        GET,
        site!("/slots/{slot}/config/configreferences/connectionstrings/{key}"),
        "WebApps_GetSiteConnectionStringKeyVaultReferenceSlot",
        references::of_connection_string,
    ),
    // Not in the swagger.
    arm(
        POST,
        site!("/config/configreferences/appsettings/refresh"),
        "WebApps_RefreshKeyVaultReferences",
        references::refresh,
    ),
    arm(
        POST,
        site!("/slots/{slot}/config/configreferences/appsettings/refresh"),
        "WebApps_RefreshKeyVaultReferencesSlot",
        references::refresh,
    ),
    arm(POST, site!("/restart"), "WebApps_Restart", web::restart),
    arm(POST, site!("/slots/{slot}/restart"), "WebApps_RestartSlot", web::restart),
    arm(POST, site!("/publishxml"), "WebApps_ListPublishingProfileXmlWithSecrets", web::publishing_profiles),
    arm(
        POST,
        site!("/slots/{slot}/publishxml"),
        "WebApps_ListPublishingProfileXmlWithSecretsSlot",
        web::publishing_profiles,
    ),
    arm(GET, site!("/config/web"), "WebApps_GetConfiguration", web::configuration),
    arm(GET, site!("/config/authsettingsV2"), "WebApps_GetAuthSettingsV2WithoutSecrets", web::authentication),
    arm(
        GET,
        site!("/slots/{slot}/config/authsettingsV2"),
        "WebApps_GetAuthSettingsV2WithoutSecretsSlot",
        web::authentication,
    ),
    arm(GET, site!("/slots/{slot}/config/web"), "WebApps_GetConfigurationSlot", web::configuration),
];

/// What a vault is asked. The host is the vault's.
static VAULT_ROUTES: &[Route] = &[
    open(GET, "/secrets", "KeyVault_GetSecrets", secrets::list),
    open(GET, "/secrets/{secret}/versions", "KeyVault_GetSecretVersions", secrets::versions),
    open(GET, "/secrets/{secret}", "KeyVault_GetSecret", secrets::get),
    open(GET, "/secrets/{secret}/{version}", "KeyVault_GetSecret", secrets::get),
    open(PUT, "/secrets/{secret}", "KeyVault_SetSecret", secrets::set),
    open(PATCH, "/secrets/{secret}", "KeyVault_UpdateSecret", secrets::update),
    open(PATCH, "/secrets/{secret}/{version}", "KeyVault_UpdateSecret", secrets::update),
    open(DELETE, "/secrets/{secret}", "KeyVault_DeleteSecret", secrets::delete),
    open(GET, "/deletedsecrets", "KeyVault_GetDeletedSecrets", secrets::list_deleted),
    open(GET, "/deletedsecrets/{secret}", "KeyVault_GetDeletedSecret", secrets::get_deleted),
    open(DELETE, "/deletedsecrets/{secret}", "KeyVault_PurgeDeletedSecret", secrets::purge),
    open(POST, "/deletedsecrets/{secret}/recover", "KeyVault_RecoverDeletedSecret", secrets::recover),
];

/// Looks a request up.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    find_in(of_arm(), method, path)
}

/// Looks a request to a vault up.
pub(crate) fn find_of_vault(method: &Method, path: &str) -> Found {
    find_in(VAULT_ROUTES.iter(), method, path)
}

/// What Azure Resource Manager and the token endpoints are asked.
fn of_arm() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(containers::ROUTES).chain(static_sites::ROUTES).chain(resources::ROUTES)
}

/// Looks a request to an App Configuration store up.
pub(crate) fn find_of_store(method: &Method, path: &str) -> Found {
    find_in(stores::ROUTES.iter(), method, path)
}

fn find_in(routes: impl Iterator<Item = &'static Route>, method: &Method, path: &str) -> Found {
    let mut known = false;
    for route in routes {
        if let Some(params) = matched(route.pattern, path) {
            if route.method == *method {
                return Found::Route(route, params);
            }
            known = true;
        }
    }
    if known { Found::OtherMethod } else { Found::Nothing }
}

/// Whether faults may name it.
pub(crate) fn is_operation(name: &str) -> bool {
    let of_data = operations_of_vaults().chain(operations_of_stores());
    let others = data_plane::OPERATIONS.into_iter().chain(of_data);
    of_arm().map(|route| route.operation).chain(others).any(|known| known.eq_ignore_ascii_case(name))
}

/// What vaults are asked for.
pub(crate) fn operations_of_vaults() -> impl Iterator<Item = &'static str> {
    let names: BTreeSet<&str> = VAULT_ROUTES.iter().map(|route| route.operation).collect();
    names.into_iter()
}

/// What App Configuration stores are asked for.
pub(crate) fn operations_of_stores() -> impl Iterator<Item = &'static str> {
    stores::ROUTES.iter().map(|route| route.operation)
}

/// `Permissions_ListForResource` and `Permissions_ListForResourceGroup`
fn permissions(state: &mut State, call: &Call) -> Answered {
    Ok(roles::permissions(&state.denials, call))
}

fn matched(pattern: &'static str, path: &str) -> Option<BTreeMap<&'static str, String>> {
    let mut params = BTreeMap::new();
    let mut words = pattern.split('/');
    let mut parts = path.trim_end_matches('/').split('/');
    loop {
        match (words.next(), parts.next()) {
            (None, None) => return Some(params),
            (Some(word), Some(part)) => {
                match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
                    Some(name) if !part.is_empty() => drop(params.insert(name, part.to_owned())),
                    None if word.eq_ignore_ascii_case(part) => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_in_any_case_and_keep_the_case_of_names() {
        let path = "/SUBSCRIPTIONS/s/resourcegroups/RG/providers/microsoft.web/SITES/Shop/slots/Staging/config/AppSettings/list";
        let Found::Route(route, params) = find(&POST, path) else { panic!("not found") };
        assert_eq!(route.operation, "WebApps_ListApplicationSettingsSlot");
        assert_eq!((params["name"].as_str(), params["slot"].as_str()), ("Shop", "Staging"));
    }

    #[test]
    fn every_operation_has_one_row() {
        let mut names: Vec<_> = of_arm().map(|route| route.operation).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), of_arm().count());
    }

    #[test]
    fn a_known_path_with_another_method_is_told_apart() {
        assert!(matches!(find(&Method::DELETE, "/subscriptions"), Found::OtherMethod));
        assert!(matches!(find(&GET, "/subscriptions/s/nothing"), Found::Nothing));
    }
}
