//! The world file: which services, sites and slots there are, and what their settings hold at first.

pub(crate) mod app_configurations;
mod chat;
mod check;
pub(crate) mod connectors;
pub(crate) mod containers;
mod holders;
pub(crate) mod static_sites;
pub(crate) mod vaults;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::barriers::Barrier;
use crate::ids::{AppId, ServiceId, StoreId, VaultId};
use crate::placeholders::{NoSuchService, Placeholders, fill, names};
use crate::roles::Denial;
use crate::world::app_configurations::{AppConfiguration, Read};
use crate::world::connectors::Connector;
use crate::world::containers::{ContainerApp, ContainerJob};
use crate::world::holders::lists;
use crate::world::static_sites::StaticWebApp;
use crate::world::vaults::Vault;

/// What the simulated subscription holds at the start.
///
/// In the values of settings `{primary:NAME}` and `{secondary:NAME}` stand for the connection strings of the
/// service NAME, `{primaryKey:NAME}` and `{secondaryKey:NAME}` for its bare keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// The subscription's id.
    #[serde(default = "default_subscription")]
    pub subscription: String,
    /// The SignalR services.
    #[serde(default)]
    pub signalr: Vec<SignalR>,
    /// The web apps and function apps.
    #[serde(default)]
    pub sites: Vec<Site>,
    /// The key vaults.
    #[serde(default)]
    pub vaults: Vec<Vault>,
    /// The App Configuration stores.
    #[serde(default, rename = "appConfigurations")]
    pub app_configurations: Vec<AppConfiguration>,
    /// The container apps.
    #[serde(default, rename = "containerApps")]
    pub container_apps: Vec<ContainerApp>,
    /// The jobs of Container Apps.
    #[serde(default, rename = "containerJobs")]
    pub container_jobs: Vec<ContainerJob>,
    /// The static web apps.
    #[serde(default, rename = "staticWebApps")]
    pub static_web_apps: Vec<StaticWebApp>,
    /// What references in settings lead to that name a vault or a store that is not here: by the name of the secret or key.
    /// The values may have placeholders too.
    #[serde(default)]
    pub references: BTreeMap<String, String>,
    /// What the caller may not do.
    #[serde(default)]
    pub denials: Vec<Denial>,
    /// What else stands in the caller's way: locks, policies …
    #[serde(default)]
    pub barriers: Vec<Barrier>,
    /// What Service Connector linked.
    #[serde(default)]
    pub connectors: Vec<Connector>,
}

/// One Azure SignalR Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalR {
    /// Its resource group.
    pub group: String,
    /// Its name, unique in all of Azure.
    pub name: String,
    /// The apps (`site` or `site/slot`) that hold its primary connection string. One in which no placeholder names
    /// the service gets a setting for it.
    #[serde(default)]
    pub apps: Vec<String>,
    /// Other hosts that lead to it: custom domains, and gateways before it.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Whether access keys are refused altogether.
    #[serde(default)]
    pub disable_local_auth: bool,
    /// Its service mode (swagger: FeatureFlags, `ServiceMode`): `Default`, if nothing is said, `Serverless` or `Classic`.
    #[serde(default)]
    pub mode: String,
    /// The regions of its replicas.
    #[serde(default)]
    pub replicas: Vec<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One web app or function app, with its slots.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its resource group.
    pub group: String,
    /// Its name, unique in all of Azure.
    pub name: String,
    /// `app`, `functionapp`, `functionapp,linux` …
    #[serde(default = "default_kind")]
    pub kind: String,
    /// How a function app on Flex Consumption goes over to changed settings: `Recreate` or `RollingUpdate`.
    #[serde(default)]
    pub update_strategy: Option<UpdateStrategy>,
    /// Its deployment slots. Each starts with a copy of the site's settings, as a slot cloned from production does.
    #[serde(default)]
    pub slots: Vec<String>,
    /// Its app settings.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Its connection-string section.
    #[serde(default)]
    pub connection_strings: BTreeMap<String, ConnectionStringEntry>,
    /// Names of app settings that stay with their slot when slots are swapped.
    #[serde(default)]
    pub sticky_settings: BTreeSet<String>,
    /// Its managed identities, and those of its slots.
    #[serde(default)]
    pub identity: SiteIdentity,
    /// What it reads by itself when its process starts.
    #[serde(default)]
    pub reads: Vec<Read>,
    /// App Service authentication in front of it, and of its slots.
    #[serde(default)]
    pub authentication: Option<SiteAuthentication>,
}

/// App Service authentication (swagger: SiteAuthSettingsV2, of which this is GlobalValidation).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SiteAuthentication {
    /// Whether every request needs it.
    pub require_authentication: bool,
    /// What becomes of a request without it: `RedirectToLoginPage`, `AllowAnonymous`, `Return401`, `Return403`, `Return404`.
    pub unauthenticated_client_action: String,
    /// The paths that need none.
    #[serde(default)]
    pub excluded_paths: Vec<String>,
}

/// The managed identities of an app, and by which of them its references are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteIdentity {
    /// Whether it has one of its own.
    pub system: bool,
    /// The ids of the user-assigned ones that it has.
    pub user: Vec<String>,
    /// The id of the user-assigned one by which references are resolved (`keyVaultReferenceIdentity`), which it may lack; its
    /// own if none is named.
    pub references: Option<String>,
}

impl Default for SiteIdentity {
    fn default() -> Self {
        Self { system: true, user: Vec::new(), references: None }
    }
}

impl SiteIdentity {
    /// Whether it has the identity by which its references are to be resolved.
    pub(crate) fn resolves(&self) -> bool {
        let has = |wanted: &String| self.user.iter().any(|id| id.eq_ignore_ascii_case(wanted));
        self.references.as_ref().map_or(self.system, has)
    }
}

/// What becomes of the instances of a function app when its settings change (docs: Site update strategies in Flex
/// Consumption).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStrategy {
    /// All are ended at once.
    Recreate,
    /// They are drained in batches, and end what they run, for which they have an hour.
    RollingUpdate,
}

/// One entry of a connection-string section (swagger: ConnStringValueTypePair).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionStringEntry {
    /// The connection string.
    pub value: String,
    /// Its type: `Custom` for SignalR.
    #[serde(rename = "type", default = "default_entry_type")]
    pub kind: String,
}

/// Why a world cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// A service lists an app that there is not.
    #[error(
        "signalr {service:?} lists the app {app:?}, but no site or slot has that name; add it to \"sites\""
    )]
    NoSuchApp {
        /// The service.
        service: String,
        /// The app.
        app: String,
    },
    /// A placeholder names a service that there is not.
    #[error(transparent)]
    NoSuchService(#[from] NoSuchService),
    /// Two resources of one kind have one name.
    #[error(
        "the name {0:?} stands twice; names of services, sites, vaults and stores are unique in all of Azure, those of secrets and \
         key-values in their vault or store"
    )]
    Twice(String),
    /// A secret that Key Vault would not take.
    #[error("the secret {secret:?} has {found}")]
    BadSecret {
        /// The vault and the secret.
        secret: String,
        /// What is wrong with it.
        found: &'static str,
    },
    /// A key that App Configuration would not take.
    #[error("{0:?} is no key of a key-value: it is empty, \".\", \"..\" or has a percent sign")]
    BadKey(String),
    /// An app reads of a store or vault that there is not.
    #[error("the app {app:?} reads of {place:?}, but no vault or store has that name")]
    NothingToRead {
        /// The app.
        app: String,
        /// The store or vault.
        place: String,
    },
    /// A container app of which one revision may be active has more.
    #[error(
        "{0:?} has an older revision that is active, which \"revisions_mode\": \"Multiple\" alone allows"
    )]
    ActiveRevisions(String),
    /// A name that cannot stand in a resource id.
    #[error("{0:?} cannot be part of a resource id; use letters, digits and hyphens")]
    BadName(String),
}

/// One app as it starts: a site, or a slot of one.
pub(crate) struct InitialApp {
    pub(crate) id: AppId,
    pub(crate) kind: String,
    pub(crate) update_strategy: Option<UpdateStrategy>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) connection_strings: BTreeMap<String, ConnectionStringEntry>,
    pub(crate) sticky_settings: BTreeSet<String>,
    pub(crate) identity: SiteIdentity,
    pub(crate) reads: Vec<Read>,
    pub(crate) authentication: Option<SiteAuthentication>,
}

impl fmt::Debug for ConnectionStringEntry {
    /// Without the value, which holds a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionStringEntry").field("type", &self.kind).finish_non_exhaustive()
    }
}

impl World {
    /// The ids of the services, in order.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceId> {
        self.signalr
            .iter()
            .map(|SignalR { group, name, .. }| {
                let (group, name) = (group.clone(), name.clone());
                ServiceId { subscription: self.subscription.clone(), group, name }
            })
            .collect()
    }

    /// The ids of the vaults, in order.
    #[must_use]
    pub fn vault_ids(&self) -> Vec<VaultId> {
        let id = |Vault { group, name, .. }: &Vault| {
            let (group, name) = (group.clone(), name.clone());
            VaultId { subscription: self.subscription.clone(), group, name }
        };
        self.vaults.iter().map(id).collect()
    }

    /// The ids of the App Configuration stores, in order.
    #[must_use]
    pub fn app_configuration_ids(&self) -> Vec<StoreId> {
        let id = |AppConfiguration { group, name, .. }: &AppConfiguration| {
            let (group, name) = (group.clone(), name.clone());
            StoreId { subscription: self.subscription.clone(), group, name }
        };
        self.app_configurations.iter().map(id).collect()
    }

    /// The ids of the apps that hold a connection string of `service`: those it lists, and those whose settings
    /// name it in a placeholder.
    #[must_use]
    pub fn apps_of(&self, service: &SignalR) -> Vec<AppId> {
        self.sites
            .iter()
            .flat_map(|site| self.apps(site))
            .filter(|app| self.holds(app, service))
            .map(|app| app.id)
            .collect()
    }

    /// The apps with every placeholder replaced and every listed connection string in place.
    pub(crate) fn build(&self, keys: &Placeholders) -> Result<Vec<InitialApp>, WorldError> {
        let mut apps: Vec<InitialApp> = self.sites.iter().flat_map(|site| self.apps(site)).collect();
        for app in &mut apps {
            for service in &self.signalr {
                if lists(service, &app.id) && !values(app).any(|value| names(value, &service.name)) {
                    add_connection(app, service);
                }
            }
            let name = app.id.name();
            for value in app.settings.values_mut() {
                *value = fill(value, keys, &name)?;
            }
            for entry in app.connection_strings.values_mut() {
                entry.value = fill(&entry.value, keys, &name)?;
            }
        }
        Ok(apps)
    }

    /// What references lead to, with every placeholder replaced.
    pub(crate) fn lead(&self, keys: &Placeholders) -> Result<BTreeMap<String, String>, WorldError> {
        let led = |(name, value): (&String, &String)| Ok((name.to_lowercase(), fill(value, keys, name)?));
        self.references.iter().map(led).collect()
    }

    fn apps(&self, site: &Site) -> Vec<InitialApp> {
        let slots = site.slots.iter().map(|slot| Some(slot.as_str()));
        let app = |slot: Option<&str>| InitialApp {
            id: AppId {
                subscription: self.subscription.clone(),
                group: site.group.clone(),
                site: site.name.clone(),
                slot: slot.map(str::to_owned),
            },
            kind: site.kind.clone(),
            update_strategy: site.update_strategy,
            settings: site.settings.clone(),
            connection_strings: site.connection_strings.clone(),
            sticky_settings: site.sticky_settings.clone(),
            identity: site.identity.clone(),
            reads: site.reads.clone(),
            authentication: site.authentication.clone(),
        };
        std::iter::once(None).chain(slots).map(app).collect()
    }
}

/// Puts the primary connection string under the name that the app's SDK or binding looks for: the ASP.NET Core SDK
/// and the Functions binding have each their own (docs: Connection string in Azure SignalR Service; Functions
/// SignalR bindings). A further service becomes a named endpoint.
fn add_connection(app: &mut InitialApp, service: &SignalR) {
    let default = if app.kind.contains("functionapp") {
        "AzureSignalRConnectionString"
    } else {
        "Azure__SignalR__ConnectionString"
    };
    let name = if app.settings.contains_key(default) {
        format!("Azure__SignalR__ConnectionString__{}", service.name)
    } else {
        default.to_owned()
    };
    app.settings.insert(name, format!("{{primary:{}}}", service.name));
}

fn values(app: &InitialApp) -> impl Iterator<Item = &str> {
    let entries = app.connection_strings.values().map(|entry| entry.value.as_str());
    app.settings.values().map(String::as_str).chain(entries)
}

fn default_subscription() -> String {
    "00000000-0000-0000-0000-000000000001".into()
}

fn default_kind() -> String {
    "app".into()
}

fn default_entry_type() -> String {
    "Custom".into()
}
