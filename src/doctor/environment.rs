//! The app settings that the platform and the Functions host go by (docs: App settings reference for Azure Functions;
//! Environment variables and app settings in Azure App Service). Only for `--as-deployed`.

use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::http::is_loopback;
use crate::config::{Config, Environment};
use rekey_core::model::AppId;

const RUNTIME: &str = "FUNCTIONS_WORKER_RUNTIME";
const STORAGE: &str = "AzureWebJobsStorage";
const MANAGER: &str = "REKEY_RESOURCE_MANAGER";
const SITE: &str = "WEBSITE_SITE_NAME";
const CLIENT: &str = "AZURE_CLIENT_ID";

/// All of it.
pub(super) fn check(config: &Config, environment: &Environment, own: Option<&AppId>) -> Vec<Finding> {
    vec![
        identity(environment, own),
        client(config),
        site(config),
        runtime(environment, own),
        storage(environment),
        manager(config, own),
    ]
}

fn is_set(environment: &Environment, name: &str) -> bool {
    environment.get(name).is_some_and(|value| !value.trim().is_empty())
}

fn identity(environment: &Environment, own: Option<&AppId>) -> Finding {
    let (name, why) = (
        "IDENTITY_ENDPOINT",
        "the platform sets it, and IDENTITY_HEADER, in an app that has a managed identity; without one Azure is asked \
         as nobody",
    );
    if is_set(environment, name) {
        return Finding::ok(Check::Environment, name, "the app has a managed identity");
    }
    let finding =
        Finding::error(Check::Environment, name, "it is not set: the app has no managed identity", why);
    finding.fixed_by(own.map(fixes::assign_identity))
}

fn client(config: &Config) -> Finding {
    match &config.azure.client_id {
        Some(id) => {
            Finding::ok(Check::Environment, CLIENT, format!("the user-assigned identity {id} is used"))
        }
        None => {
            let why = "an app that has a user-assigned identity alone needs its client id here";
            Finding::note(
                Check::Environment,
                CLIENT,
                "it is not set: the system-assigned identity is used",
                why,
            )
        }
    }
}

fn site(config: &Config) -> Finding {
    let why = "the platform sets it; without it, this is not the environment of a function app, and an app that rotates \
               its own connection string does not know that it should be written last";
    match &config.own_site {
        Some(site) => Finding::ok(Check::Environment, SITE, format!("this is the app {site}")),
        None => Finding::warning(Check::Environment, SITE, "it is not set", why),
    }
}

fn runtime(environment: &Environment, own: Option<&AppId>) -> Finding {
    let found = environment.get(RUNTIME).unwrap_or_default();
    if found.eq_ignore_ascii_case("custom") {
        return Finding::ok(Check::Environment, RUNTIME, "it is custom");
    }
    let what = if found.is_empty() { "it is not set" } else { "it names another runtime" };
    let why = "the Functions host starts a custom handler only under FUNCTIONS_WORKER_RUNTIME = custom";
    let finding = Finding::error(Check::Environment, RUNTIME, what, why);
    finding.fixed_by(own.map(|own| fixes::own_setting(own, RUNTIME, "custom")))
}

/// The host keeps its own locks, and the timer its times, in this storage.
fn storage(environment: &Environment) -> Finding {
    let by_identity = ["accountName", "blobServiceUri"].map(|part| format!("{STORAGE}__{part}"));
    let by_identity = by_identity.iter().any(|name| is_set(environment, name));
    let text = environment.get(STORAGE).unwrap_or_default().trim().to_lowercase();
    let error = |what: &str| {
        let why = "the Functions host needs a storage account of its own, by a connection string or, with an identity, \
                   by AzureWebJobsStorage__blobServiceUri; without one no timer runs";
        Finding::error(Check::Environment, STORAGE, what, why)
    };
    if text.contains("usedevelopmentstorage=true") {
        return error("it names the storage emulator");
    }
    if !text.is_empty() {
        return Finding::ok(Check::Environment, STORAGE, "it is a connection string");
    }
    if by_identity {
        return Finding::ok(Check::Environment, STORAGE, "it is reached by identity");
    }
    error("it is not set")
}

fn manager(config: &Config, own: Option<&AppId>) -> Finding {
    let manager = &config.azure.resource_manager;
    let host = manager.host_str().unwrap_or_default();
    if !is_loopback(manager) {
        return Finding::ok(Check::Environment, MANAGER, format!("Azure Resource Manager is at {host}"));
    }
    let what = format!("it leads to {host}, the simulator of a developer's machine");
    let why = "in Azure nothing listens there, so no key is ever rotated";
    let finding = Finding::error(Check::Environment, MANAGER, what, why);
    finding.fixed_by(own.map(|own| fixes::no_own_setting(own, MANAGER)))
}
