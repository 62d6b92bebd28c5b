//! The Azure that the storm passes over.

use std::collections::BTreeMap;

use crate::sim::{SignalR, Site, World};

/// The setting that no worker may touch, besides those that editors write.
pub(super) const BYSTANDER: (&str, &str) = ("GREETING", "Hello; and welcome = enjoy");

/// Three instances. Each has a web app with a slot and a function app; one more web app holds strings of two instances.
pub(super) fn world() -> World {
    let names = ["sr-east", "sr-north", "sr-west"];
    let instance = |name: &&str| SignalR {
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
    World { signalr: names.iter().map(instance).collect(), sites, ..World::default() }
}

fn web(instance: &str) -> Site {
    Site { slots: vec!["staging".into()], ..site(&format!("web-{instance}"), "app") }
}

/// The kind of site that comes and goes. It brings its own connection string, so that it is whole when it comes back.
pub(super) fn function(instance: &str) -> Site {
    let mut site = site(&format!("func-{instance}"), "functionapp,linux");
    site.settings.insert("AzureSignalRConnectionString".into(), format!("{{primary:{instance}}}"));
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
