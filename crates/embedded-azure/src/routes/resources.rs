//! Vaults, stores and environments as resources (swagger Microsoft.KeyVault 2023-07-01), Service Connector (swagger
//! Microsoft.ServiceLinker 2024-04-01), and the tags of a service (swagger Microsoft.Resources 2021-04-01).

use super::{GET, PATCH, Route, arm, permissions};
use crate::arm::{resources, signalr};

pub(super) static ROUTES: &[Route] = &[
    arm(GET, group!("/providers/Microsoft.KeyVault/vaults/{name}"), "Vaults_Get", resources::vault),
    arm(
        GET,
        group!(
            "/providers/Microsoft.KeyVault/vaults/{name}/secrets/{secret}/providers/Microsoft.Authorization/permissions"
        ),
        "Permissions_ListForSecret",
        permissions,
    ),
    arm(
        GET,
        group!(
            "/providers/Microsoft.AppConfiguration/configurationStores/{name}/providers/Microsoft.Authorization/permissions"
        ),
        "Permissions_ListForStore",
        permissions,
    ),
    arm(
        GET,
        group!(
            "/providers/Microsoft.App/managedEnvironments/{name}/providers/Microsoft.Authorization/permissions"
        ),
        "Permissions_ListForEnvironment",
        permissions,
    ),
    arm(
        PATCH,
        service!("/providers/Microsoft.Resources/tags/default"),
        "Tags_UpdateAtScope",
        signalr::update_tags,
    ),
    arm(GET, site!("/providers/Microsoft.ServiceLinker/linkers"), "Linker_ListForSite", resources::links),
    arm(
        GET,
        site!("/slots/{slot}/providers/Microsoft.ServiceLinker/linkers"),
        "Linker_ListForSlot",
        resources::links,
    ),
    arm(
        GET,
        group!("/providers/Microsoft.App/containerApps/{name}/providers/Microsoft.ServiceLinker/linkers"),
        "Linker_ListForContainerApp",
        resources::links,
    ),
];
