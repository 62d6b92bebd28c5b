//! Static sites of Microsoft.Web (swagger 2024-04-01).

use super::{GET, POST, PUT, Route, arm, permissions};
use crate::arm::static_sites;

macro_rules! static_site {
    ($rest:literal) => {
        concat!(group!("/providers/Microsoft.Web/staticSites/{name}"), $rest)
    };
}

macro_rules! build {
    ($rest:literal) => {
        concat!(static_site!("/builds/{build}"), $rest)
    };
}

pub(super) static ROUTES: &[Route] = &[
    arm(
        GET,
        "/subscriptions/{subscription}/providers/Microsoft.Web/staticSites",
        "StaticSites_List",
        static_sites::list,
    ),
    arm(
        GET,
        group!("/providers/Microsoft.Web/staticSites"),
        "StaticSites_GetStaticSitesByResourceGroup",
        static_sites::list,
    ),
    arm(GET, static_site!(""), "StaticSites_GetStaticSite", static_sites::get),
    arm(GET, static_site!("/builds"), "StaticSites_GetStaticSiteBuilds", static_sites::builds),
    arm(GET, build!(""), "StaticSites_GetStaticSiteBuild", static_sites::build),
    arm(
        POST,
        static_site!("/listAppSettings"),
        "StaticSites_ListStaticSiteAppSettings",
        static_sites::list_settings,
    ),
    arm(
        POST,
        static_site!("/listFunctionAppSettings"),
        "StaticSites_ListStaticSiteFunctionAppSettings",
        static_sites::list_function_settings,
    ),
    arm(
        POST,
        build!("/listAppSettings"),
        "StaticSites_ListStaticSiteBuildAppSettings",
        static_sites::list_settings,
    ),
    arm(
        POST,
        build!("/listFunctionAppSettings"),
        "StaticSites_ListStaticSiteBuildFunctionAppSettings",
        static_sites::list_function_settings,
    ),
    arm(
        PUT,
        static_site!("/config/appsettings"),
        "StaticSites_CreateOrUpdateStaticSiteAppSettings",
        static_sites::update_settings,
    ),
    arm(
        PUT,
        static_site!("/config/functionappsettings"),
        "StaticSites_CreateOrUpdateStaticSiteFunctionAppSettings",
        static_sites::update_function_settings,
    ),
    arm(
        PUT,
        build!("/config/appsettings"),
        "StaticSites_CreateOrUpdateStaticSiteBuildAppSettings",
        static_sites::update_settings,
    ),
    arm(
        PUT,
        build!("/config/functionappsettings"),
        "StaticSites_CreateOrUpdateStaticSiteBuildFunctionAppSettings",
        static_sites::update_function_settings,
    ),
    arm(
        GET,
        static_site!("/providers/Microsoft.Authorization/permissions"),
        "Permissions_ListForStaticSite",
        permissions,
    ),
];
