//! Static sites of Microsoft.Web, api-version 2024-04-01: their builds, which are environments, and the settings of both.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{bad_request, page, resource_not_found};
use crate::call::{Answer, Answered, Call};
use crate::faults::FaultKind;
use crate::options::NoFunctions;
use crate::roles;
use crate::state::State;
use crate::static_sites::{Dictionary, Environment, StaticSite};
use crate::world::static_sites::PRODUCTION;

#[derive(Deserialize)]
struct Settings {
    properties: BTreeMap<String, String>,
}

/// `StaticSites_List` and `StaticSites_GetStaticSitesByResourceGroup`
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let group = call.param("group");
    let within = |site: &&StaticSite| group.is_empty() || site.id.group.eq_ignore_ascii_case(group);
    // A list over groups holds what the caller may read, and says nothing of the rest, as that of sites.
    let may_read = |site: &&StaticSite| {
        !group.is_empty()
            || roles::may(&state.denials, &site.id.to_string(), "Microsoft.Web/staticSites/Read")
    };
    let present = state.static_sites.iter().filter(|site| !site.deleted);
    let items = present.filter(within).filter(may_read).map(describe).collect();
    page(state, call, items)
}

/// `StaticSites_GetStaticSite`
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let at = find_site(state, call)?;
    Ok(Answer::ok(describe(&state.static_sites[at])))
}

/// `StaticSites_GetStaticSiteBuilds`: production is one of them.
pub(crate) fn builds(state: &mut State, call: &Call) -> Answered {
    let at = find_site(state, call)?;
    let site = &state.static_sites[at];
    let items = site.environments.iter().map(|environment| describe_build(site, environment)).collect();
    page(state, call, items)
}

/// `StaticSites_GetStaticSiteBuild`
pub(crate) fn build(state: &mut State, call: &Call) -> Answered {
    let (at, place) = find(state, call)?;
    let site = &state.static_sites[at];
    Ok(Answer::ok(describe_build(site, &site.environments[place])))
}

/// `StaticSites_ListStaticSiteAppSettings` and `StaticSites_ListStaticSiteBuildAppSettings`: values in clear.
pub(crate) fn list_settings(state: &mut State, call: &Call) -> Answered {
    let (at, place) = find(state, call)?;
    let site = &state.static_sites[at];
    let settings = &site.environments[place].settings;
    Ok(Answer::ok(config(site, call, "appsettings", settings)))
}

/// `StaticSites_ListStaticSiteFunctionAppSettings` and `StaticSites_ListStaticSiteBuildFunctionAppSettings`
pub(crate) fn list_function_settings(state: &mut State, call: &Call) -> Answered {
    let (at, place) = find(state, call)?;
    let site = &state.static_sites[at];
    let nothing = BTreeMap::new();
    let settings = match &site.environments[place].function_settings {
        Some(settings) => settings,
        None => no_functions(state, call).map(|()| &nothing)?,
    };
    Ok(Answer::ok(config(site, call, "functionappsettings", settings)))
}

/// `StaticSites_CreateOrUpdateStaticSiteAppSettings` and `StaticSites_CreateOrUpdateStaticSiteBuildAppSettings`: the
/// dictionary as a whole.
pub(crate) fn update_settings(state: &mut State, call: &Call) -> Answered {
    let place = find(state, call)?;
    write(state, call, place, Dictionary::Settings)
}

/// `StaticSites_CreateOrUpdateStaticSiteFunctionAppSettings` and the same of a build.
pub(crate) fn update_function_settings(state: &mut State, call: &Call) -> Answered {
    let place = find(state, call)?;
    if state.static_sites[place.0].environments[place.1].function_settings.is_none() {
        no_functions(state, call)?;
    }
    write(state, call, place, Dictionary::FunctionSettings)
}

fn write(state: &mut State, call: &Call, place: (usize, usize), dictionary: Dictionary) -> Answered {
    let body: Settings = call.json().map_err(|error| {
        // The parser's own words can hold parts of the body, and so a key.
        let place = format!("line {}, column {}", error.line(), error.column());
        bad_request("BadRequest", format!("The body is not {{\"properties\": {{…}}}} of texts ({place})."))
    })?;
    let name = match dictionary {
        Dictionary::Settings => "appsettings",
        Dictionary::FunctionSettings => "functionappsettings",
    };
    let answer = config(&state.static_sites[place.0], call, name, &body.properties);
    match call.fault {
        Some(FaultKind::Swallowed) => {}
        Some(FaultKind::AppliedLate) => {
            state.replace_static_later(place, dictionary, body.properties, call.delay);
        }
        _ => state.replace_static(place, dictionary, body.properties),
    }
    Ok(Answer::ok(answer))
}

/// What is answered where there are no managed functions; no document says it.
fn no_functions(state: &State, call: &Call) -> Result<(), Answer> {
    let message = format!("The static site '{}' has no managed functions.", call.param("name"));
    match state.options.no_functions {
        NoFunctions::Empty => Ok(()),
        NoFunctions::NotFound => Err(Answer::error(StatusCode::NOT_FOUND, "NotFound", message)),
        NoFunctions::Refused => Err(bad_request("BadRequest", message)),
    }
}

fn find_site(state: &State, call: &Call) -> Result<usize, Answer> {
    let (name, group) = (call.param("name"), call.param("group"));
    let fits = |site: &StaticSite| {
        !site.deleted && site.id.name.eq_ignore_ascii_case(name) && site.id.group.eq_ignore_ascii_case(group)
    };
    let found = state.static_sites.iter().position(fits);
    found.ok_or_else(|| resource_not_found("Microsoft.Web/staticSites", call))
}

/// The environment that a call is about: production if it names none.
fn find(state: &State, call: &Call) -> Result<(usize, usize), Answer> {
    let at = find_site(state, call)?;
    let name = Some(call.param("build")).filter(|name| !name.is_empty()).unwrap_or(PRODUCTION);
    let found =
        state.static_sites[at].environments.iter().position(|one| one.name.eq_ignore_ascii_case(name));
    found.map(|place| (at, place)).ok_or_else(|| resource_not_found("Microsoft.Web/staticSites/builds", call))
}

/// A config resource (public log azure-cli#28659).
fn config(site: &StaticSite, call: &Call, name: &str, settings: &BTreeMap<String, String>) -> Value {
    let (place, kind) = match call.param("build") {
        "" => (site.id.to_string(), "Microsoft.Web/staticSites/config"),
        build => (format!("{}/builds/{build}", site.id), "Microsoft.Web/staticSites/builds/config"),
    };
    json!({
        "id": format!("{place}/config/{name}"), "name": name, "type": kind, "location": "East US",
        "properties": settings,
    })
}

/// A static site as in the swagger's example GetStaticSite.
pub(crate) fn describe(site: &StaticSite) -> Value {
    json!({
        "id": site.id.to_string(),
        "name": site.id.name,
        "type": "Microsoft.Web/staticSites",
        "location": "East US",
        "tags": site.tags,
        "sku": {"name": "Standard", "tier": "Standard"},
        "properties": {
            "defaultHostname": format!("{}.simulated.azurestaticapps.net", site.id.name.to_lowercase()),
            "repositoryUrl": null,
            "branch": null,
            "customDomains": [],
            "privateEndpointConnections": [],
            "stagingEnvironmentPolicy": "Enabled",
            "allowConfigFileUpdates": true,
            "contentDistributionEndpoint": "https://content.simulated.infrastructure.azurestaticapps.net",
            "keyVaultReferenceIdentity": "SystemAssigned",
            "userProvidedFunctionApps": [],
            "provider": "None",
        },
    })
}

/// A build as in the swagger's example GetStaticSiteBuild.
fn describe_build(site: &StaticSite, environment: &Environment) -> Value {
    let is_production = environment.name == PRODUCTION;
    let tail = if is_production { String::new() } else { format!("-{}", environment.name) };
    let time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({
        "id": format!("{}/builds/{}", site.id, environment.name),
        "name": environment.name,
        "type": "Microsoft.Web/staticSites/builds",
        "location": "East US",
        "properties": {
            "buildId": environment.name,
            "sourceBranch": if is_production { "main" } else { "change" },
            "pullRequestTitle": null,
            "hostname": format!("{}{tail}.simulated.azurestaticapps.net", site.id.name.to_lowercase()),
            "createdTimeUtc": time(site.created),
            "lastUpdatedOn": time(environment.modified),
            "status": "Ready",
            "userProvidedFunctionApps": null,
        },
    })
}
