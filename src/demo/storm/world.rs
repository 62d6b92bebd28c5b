//! The Azure that the storm goes over, where in it connection strings are kept, and who signs with them.

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_azure::{
    AppConfiguration, ContainerApp, ContainerJob, ContainerSecret, EmbeddedAzure, KeyValue, Read, Secret,
    SignalR, Site, State, StaticEnvironment, StaticWebApp, Vault, World,
};

use crate::config::{Config, KeyValueConfig, SecretConfig};
use crate::demo::Trouble;
use rekey_core::model::{ConsumerId, KeyValueId};
use rekey_core::plan::External;

/// The setting that no worker may touch, besides those that editors write.
pub(super) const BYSTANDER: (&str, &str) = ("GREETING", "Hello; and welcome = enjoy");

pub(super) const EAST: &str = "sr-east";
pub(super) const NORTH: &str = "sr-north";
pub(super) const WEST: &str = "sr-west";
const NAMES: [&str; 3] = [EAST, NORTH, WEST];
const GROUP: &str = "rg-storm";
const WEB: &str = "Azure__SignalR__ConnectionString";

pub(super) const VAULT: &str = "kv-storm";
/// Read by the references of apps, of which one names a version, by a container app and by a machine that reports.
pub(super) const FOLLOWED: &str = "signalr-east";
/// No reference leads to it: somebody reads it whom nobody sees.
pub(super) const CONFIGURED: &str = "signalr-west";
pub(super) const STORE: &str = "cs-storm";
pub(super) const KEY: &str = "SignalR";

/// The apps whose references lead to it.
pub(super) const READERS: [&str; 2] = ["by-vault", "by-version"];

/// Their sites play what is no resource of Azure: they are in no configuration.
pub(super) const REPORTER: &str = "vm-east";
pub(super) const UNSEEN: &str = "vm-west";
pub(super) const PARTNER: &str = "partner-north";

/// Within what time the machine that nobody sees has read its secret anew. It looks more often than that.
const READERS_WITHIN: Duration = Duration::from_secs(4 * 3600);
/// Within what time the others are to leave a key. The person takes longer at times, and is late.
const WITHIN: Duration = Duration::from_secs(2 * 3600);

/// Three services. Each has a web app with a slot and a function app; one more web app holds strings of two services; and of
/// each other kind of consumer there is one, of one of the three.
pub(super) fn world() -> World {
    let service = |name: &&str| SignalR {
        group: GROUP.into(),
        name: (*name).to_owned(),
        apps: vec![format!("web-{name}"), format!("web-{name}/staging"), format!("func-{name}")],
        ..SignalR::default()
    };
    let mut sites: Vec<Site> = NAMES.iter().flat_map(|name| [web(name), function(name)]).collect();
    let both = [(WEB, NAMES[0]), ("Second", NAMES[1])];
    let mut shared = site("web-shared", "app");
    shared.settings.extend(both.map(|(name, of)| (name.to_owned(), primary(of))));
    sites.push(shared);
    let by_vault = format!("@Microsoft.KeyVault(VaultName={VAULT};SecretName={FOLLOWED})");
    let by_store = format!("@Microsoft.AppConfiguration(Endpoint=https://{STORE}.azconfig.io; Key={KEY})");
    let [by_vault_name, by_version_name] = READERS;
    let strings = [
        (by_vault_name, by_vault.clone()),
        (by_version_name, by_vault),
        ("by-store", by_store),
        (PARTNER, primary(NORTH)),
    ];
    for (name, value) in strings {
        let mut site = site(name, "app");
        site.settings.insert(WEB.into(), value);
        sites.push(site);
    }
    let secret = |name: &str| Read::Secret { vault: VAULT.into(), name: name.into() };
    let key_value = Read::KeyValue { store: STORE.into(), key: KEY.into(), label: None };
    for (name, read) in [("by-sdk", key_value), (REPORTER, secret(FOLLOWED)), (UNSEEN, secret(CONFIGURED))] {
        sites.push(Site { reads: vec![read], ..site(name, "app") });
    }
    let secrets = [(FOLLOWED, EAST), (CONFIGURED, WEST)];
    let secrets = secrets.map(|(name, of)| (name.to_owned(), Secret::new(primary(of))));
    let key_values = vec![KeyValue::new(KEY, None, primary(NORTH))];
    World {
        signalr: NAMES.iter().map(service).collect(),
        sites,
        vaults: vec![Vault { group: GROUP.into(), name: VAULT.into(), secrets: secrets.into() }],
        app_configurations: vec![AppConfiguration {
            group: GROUP.into(),
            name: STORE.into(),
            key_values,
            access_key: None,
        }],
        container_apps: vec![
            container_app("api-west", by_value(WEST)),
            container_app("api-east", in_vault()),
        ],
        container_jobs: vec![ContainerJob {
            group: GROUP.into(),
            name: "night-west".into(),
            secrets: BTreeMap::from([("signalr".into(), by_value(WEST))]),
            ..ContainerJob::default()
        }],
        static_web_apps: vec![pages(NORTH)],
        ..World::default()
    }
}

fn primary(service: &str) -> String {
    format!("{{primary:{service}}}")
}

fn by_value(service: &str) -> ContainerSecret {
    ContainerSecret::Value(primary(service))
}

fn in_vault() -> ContainerSecret {
    let url = format!("https://{VAULT}.vault.azure.net/secrets/{FOLLOWED}");
    ContainerSecret::Vault { url, identity: "System".into() }
}

fn container_app(name: &str, secret: ContainerSecret) -> ContainerApp {
    let secrets = BTreeMap::from([("signalr".into(), secret)]);
    ContainerApp { group: GROUP.into(), name: name.into(), secrets, replicas: 2, ..ContainerApp::default() }
}

fn pages(service: &str) -> StaticWebApp {
    let settings = BTreeMap::from([("AzureSignalRConnectionString".to_owned(), primary(service))]);
    let preview = StaticEnvironment { settings: settings.clone(), function_settings: Some(BTreeMap::new()) };
    StaticWebApp {
        group: GROUP.into(),
        name: "pages-north".into(),
        function_settings: Some(settings),
        environments: BTreeMap::from([("7".into(), preview)]),
        ..StaticWebApp::default()
    }
}

/// Lets one of the apps name the version that there is: which one that is nobody knows before.
pub(super) fn pin(state: &mut State) -> Result<(), Trouble> {
    let unusable = |error| Trouble::of("the storm has a secret that is none", &error);
    let version = state.secret_versions(VAULT, FOLLOWED).map_err(unusable)?.pop().unwrap_or_default();
    let pinned =
        format!("@Microsoft.KeyVault(VaultName={VAULT};SecretName={FOLLOWED};SecretVersion={version})");
    let written = state.edit_setting(READERS[1], WEB, Some(&pinned));
    written.map_err(|error| Trouble::of("the storm has a setting that is none", &error))
}

/// Adds to a configuration what a world does not tell: who reads what, and who is no resource of Azure.
pub(super) fn complete(config: &mut Config) -> Result<(), Trouble> {
    let unusable = |error| Trouble::of("the storm has an id that is none", &error);
    for service in &mut config.instances {
        service.apps.retain(|app| ![REPORTER, UNSEEN, PARTNER].contains(&app.id.name().as_str()));
        match service.id.name() {
            EAST => {
                service.vault_secrets.push(secret(FOLLOWED, Duration::ZERO)?);
                service.external.push(external(&format!("reporter:{REPORTER}")).map_err(unusable)?);
            }
            NORTH => {
                let id = KeyValueId::new(&format!("https://{STORE}.azconfig.io"), KEY, None);
                let id = id.ok_or_else(|| Trouble::new("the storm has a key-value that is none"))?;
                let read_by = service.apps.iter().map(|app| app.id.clone());
                let read_by = read_by.filter(|app| app.name() == "by-sdk").collect();
                let readers_within = Duration::ZERO;
                service.app_configuration.push(KeyValueConfig { id, readers_within, read_by });
                service.external.push(external(&format!("manual:{PARTNER}")).map_err(unusable)?);
            }
            _ => service.vault_secrets.push(secret(CONFIGURED, READERS_WITHIN)?),
        }
    }
    Ok(())
}

fn secret(name: &str, readers_within: Duration) -> Result<SecretConfig, Trouble> {
    let id = format!("https://{VAULT}.vault.azure.net/secrets/{name}").parse();
    let id = id.map_err(|error| Trouble::of("the storm has a secret that is none", &error))?;
    Ok(SecretConfig { id, readers_within, unused: false })
}

fn external(id: &str) -> Result<External, <ConsumerId as std::str::FromStr>::Err> {
    Ok(External { id: id.parse()?, within: WITHIN, owner: None, ticket: None })
}

fn web(service: &str) -> Site {
    Site { slots: vec!["staging".into()], ..site(&format!("web-{service}"), "app") }
}

/// The kind of site that comes and goes. It brings its own connection string, so that it is whole when it comes back.
pub(super) fn function(service: &str) -> Site {
    let mut site = site(&format!("func-{service}"), "functionapp,linux");
    site.settings.insert("AzureSignalRConnectionString".into(), primary(service));
    site
}

fn site(name: &str, kind: &str) -> Site {
    let (key, value) = BYSTANDER;
    Site {
        group: GROUP.into(),
        name: name.into(),
        kind: kind.into(),
        settings: BTreeMap::from([(key.into(), value.into())]),
        ..Site::default()
    }
}

/// An app that is configured, and which of its settings holds a connection string; none where it reads it elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) app: String,
    pub(super) setting: Option<&'static str>,
    pub(super) service: String,
}

/// Every setting that holds a connection string, and every app that reads one elsewhere.
pub(super) fn consumers() -> Vec<Consumer> {
    let mut all: Vec<Consumer> = Vec::new();
    for (at, service) in NAMES.into_iter().enumerate() {
        let consumer = |app: String, setting| Consumer { app, setting, service: service.to_owned() };
        all.push(consumer(format!("web-{service}"), Some(WEB)));
        all.push(consumer(format!("web-{service}/staging"), Some(WEB)));
        all.push(consumer(format!("func-{service}"), Some("AzureSignalRConnectionString")));
        if let Some(setting) = [WEB, "Second"].get(at) {
            all.push(consumer("web-shared".into(), Some(setting)));
        }
    }
    let readers = READERS.map(|app| (app, EAST));
    for (app, service) in readers.into_iter().chain([("by-store", NORTH), ("by-sdk", NORTH)]) {
        all.push(Consumer { app: app.into(), setting: None, service: service.into() });
    }
    all
}

/// Who signs, by what the embedded Azure names it, with the name of the service.
pub(super) fn signers() -> Vec<(String, String)> {
    let others = [
        ("containerApps/api-east", EAST),
        ("containerApps/api-west", WEST),
        ("staticSites/pages-north", NORTH),
        ("staticSites/pages-north/7", NORTH),
        (REPORTER, EAST),
        (UNSEEN, WEST),
        (PARTNER, NORTH),
    ];
    let others = others.map(|(name, service)| (name.to_owned(), service.to_owned()));
    consumers().into_iter().map(|consumer| (consumer.app, consumer.service)).chain(others).collect()
}

/// Where a connection string is kept that people edit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Setting(String, &'static str),
    Secret(&'static str),
    KeyValue,
    Container(&'static str),
    /// The settings of the managed functions in production, or those of a preview.
    Pages(Option<&'static str>),
}

/// Every place, with the name of the service.
pub(super) fn places() -> Vec<(Place, String)> {
    let settings = consumers().into_iter();
    let settings = settings
        .filter_map(|consumer| Some((Place::Setting(consumer.app, consumer.setting?), consumer.service)));
    let others = [
        (Place::Secret(FOLLOWED), EAST),
        (Place::Secret(CONFIGURED), WEST),
        (Place::KeyValue, NORTH),
        (Place::Container("api-west"), WEST),
        (Place::Container("jobs/night-west"), WEST),
        (Place::Pages(None), NORTH),
        (Place::Pages(Some("7")), NORTH),
    ];
    settings.chain(others.map(|(place, service)| (place, service.to_owned()))).collect()
}

const PAGES: &str = "pages-north";

impl Place {
    /// What is there; nothing where nothing is.
    pub(super) fn read(&self, azure: &EmbeddedAzure) -> Option<String> {
        const OF_PAGES: &str = "AzureSignalRConnectionString";
        match self {
            Self::Setting(app, name) => azure.settings(app).ok()?.get(*name).cloned(),
            Self::Secret(name) => azure.with(|state| state.secret(VAULT, name)).ok(),
            Self::KeyValue => azure.with(|state| state.key_value(STORE, KEY, None)).ok(),
            Self::Container(app) => azure.with(|state| state.container_secrets(app)).ok()?.remove("signalr"),
            Self::Pages(place) => {
                let found = azure.with(|state| state.static_settings(PAGES, *place, place.is_none()));
                found.ok()?.remove(OF_PAGES)
            }
        }
    }

    /// Writes it as a person does, and tells whether that was possible.
    pub(super) fn write(&self, azure: &EmbeddedAzure, value: &str) -> bool {
        const OF_PAGES: &str = "AzureSignalRConnectionString";
        let written = |state: &mut State| match self {
            Self::Setting(app, name) => state.edit_setting(app, name, Some(value)),
            Self::Secret(name) => state.set_secret(VAULT, name, value),
            Self::KeyValue => state.set_key_value(STORE, KEY, None, value),
            Self::Container(app) => state.edit_container_secret(app, "signalr", Some(value)),
            Self::Pages(place) => {
                let of_functions = place.is_none();
                state.edit_static_setting(PAGES, *place, of_functions, (OF_PAGES, Some(value)))
            }
        };
        azure.with(written).is_ok()
    }
}
