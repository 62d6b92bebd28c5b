//! The Azure that the storm goes over, and the settings in it that hold connection strings.

use std::collections::BTreeMap;

use embedded_azure::{SignalR, Site, World};

/// The setting that no worker may touch, besides those that editors write.
pub(super) const BYSTANDER: (&str, &str) = ("GREETING", "Hello; and welcome = enjoy");

/// Three services. Each has a web app with a slot and a function app; one more web app holds strings of two services.
pub(super) fn world() -> World {
    let names = ["sr-east", "sr-north", "sr-west"];
    let service = |name: &&str| SignalR {
        group: "rg-storm".into(),
        name: (*name).to_owned(),
        apps: vec![format!("web-{name}"), format!("web-{name}/staging"), format!("func-{name}")],
        ..SignalR::default()
    };
    let mut sites: Vec<Site> = names.iter().flat_map(|name| [web(name), function(name)]).collect();
    let both = [("Azure__SignalR__ConnectionString", names[0]), ("Second", names[1])];
    let mut shared = site("web-shared", "app");
    shared.settings.extend(both.map(|(name, of)| (name.to_owned(), format!("{{primary:{of}}}"))));
    sites.push(shared);
    World { signalr: names.iter().map(service).collect(), sites, ..World::default() }
}

fn web(service: &str) -> Site {
    Site { slots: vec!["staging".into()], ..site(&format!("web-{service}"), "app") }
}

/// The kind of site that comes and goes. It brings its own connection string, so that it is whole when it comes back.
pub(super) fn function(service: &str) -> Site {
    let mut site = site(&format!("func-{service}"), "functionapp,linux");
    site.settings.insert("AzureSignalRConnectionString".into(), format!("{{primary:{service}}}"));
    site
}

fn site(name: &str, kind: &str) -> Site {
    let (key, value) = BYSTANDER;
    Site {
        group: "rg-storm".into(),
        name: name.into(),
        kind: kind.into(),
        settings: BTreeMap::from([(key.into(), value.into())]),
        ..Site::default()
    }
}

/// A setting that holds a connection string.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) app: String,
    pub(super) setting: &'static str,
    pub(super) service: String,
}

/// Every setting that holds a connection string, by the names of the services.
pub(super) fn consumers<'a>(services: impl Iterator<Item = &'a str>) -> Vec<Consumer> {
    const WEB: &str = "Azure__SignalR__ConnectionString";
    let mut all: Vec<Consumer> = Vec::new();
    for (at, service) in services.enumerate() {
        let consumer = |app: String, setting| Consumer { app, setting, service: service.to_owned() };
        all.push(consumer(format!("web-{service}"), WEB));
        all.push(consumer(format!("web-{service}/staging"), WEB));
        all.push(consumer(format!("func-{service}"), "AzureSignalRConnectionString"));
        if let Some(setting) = [WEB, "Second"].get(at) {
            all.push(consumer("web-shared".into(), setting));
        }
    }
    all
}
