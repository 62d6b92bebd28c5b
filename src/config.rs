//! What the operator decides: which services, which apps, and how carefully.
//!
//! Start at [`load()`]: it finds `rekey.toml`, lays the app settings over it and answers a [`Config`], or every
//! [`Fault`] that it found. A fault names the setting and its place, and never repeats what might be a secret.

mod agent;
mod environment;
mod external;
mod fault;
mod file;
mod load;
pub mod metrics;
mod notify;
mod places;
mod policy;
mod settings;
mod storage;
mod values;
mod waves;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use url::Url;

use rekey_core::intent::Configured;
use rekey_core::model::{AppId, ConsumerId, ContainerAppId, KeyValueId, SecretId, ServiceId, StaticWebAppId};
use rekey_core::plan::External;
use rekey_core::policy::{ApprovalPolicy, Policy};

pub use crate::azure::cloud::Cloud;
pub use agent::{
    AGENT_FILE, AgentConfig, AgentIdentity, Code, Health, Reporting, TakingEffect, load_agent,
    load_agent_from,
};
pub use environment::Environment;
pub use fault::{Fault, Faults};
pub use load::{FUNCTION_TIMEOUT, load, load_from, name_file};
pub(crate) use load::{config_path, given_file};
pub use metrics::{Metrics, MetricsConfig};
pub use notify::NotifyConfig;
pub use policy::{PolicySetting, policy_settings};
pub use storage::{BlobAccess, BlobConfig};
pub(crate) use values::{duration, meant};

/// Everything that was configured, checked and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// The services to look after, in the order of the file.
    pub instances: Vec<ServiceConfig>,
    /// Where and as whom Azure is asked.
    pub azure: AzureConfig,
    /// Where the journal is kept.
    pub state: StateConfig,
    /// How long `OnKeyNotice` may work before it answers; Event Grid waits 30 seconds.
    pub notice_budget: Duration,
    /// How long `RotateKeys` may work before it answers; below `functionTimeout` in host.json.
    pub timer_budget: Duration,
    /// How often the running process asks the service whether it still takes the key that consumers hold; never, if
    /// not set.
    pub watch: Option<Duration>,
    /// Who is told how things went.
    pub notify: Option<NotifyConfig>,
    /// Who is told numbers.
    pub metrics: Metrics,
    /// The timer's schedule as the Functions host reads it (`ROTATION_SCHEDULE`).
    pub schedule: Option<String>,
    /// Whether somebody has disabled the timer, and wants no rotation.
    pub timer_disabled: bool,
    /// The site that this process runs in (`WEBSITE_SITE_NAME`): writing its settings restarts us, so it is last.
    pub own_site: Option<String>,
}

impl Config {
    /// The consumers that more than one service names: runs over these may write the same place.
    pub(crate) fn shared_consumers(&self) -> BTreeSet<ConsumerId> {
        let mut seen = BTreeSet::new();
        let named = self.instances.iter().flat_map(ServiceConfig::consumers);
        named.filter(|consumer| !seen.insert(consumer.clone())).collect()
    }

    /// Names this release and what it looks after, and how.
    pub(crate) fn digest(&self) -> String {
        STANDARD.encode(Sha256::digest(format!("{} {:?}", env!("CARGO_PKG_VERSION"), self.instances)))
    }

    /// Which services are looked after, and which of their consumers.
    pub fn configured(&self) -> Vec<Configured<'_>> {
        let services = self.instances.iter();
        services
            .map(|service| Configured {
                id: &service.id,
                consumers: service.apps.iter().map(|app| &app.id).collect(),
                asks: service.policy.approval == ApprovalPolicy::Required,
            })
            .collect()
    }
}

/// One service and the apps that connect to it.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    pub id: ServiceId,
    /// Every app that holds a connection string of it.
    pub apps: Vec<AppConfig>,
    /// The Key Vault secrets that hold one, besides those that the apps refer to; and what is known of their readers.
    pub vault_secrets: Vec<SecretConfig>,
    /// The container apps, and jobs of Container Apps, one of whose secrets is one or leads to one.
    pub container_apps: Vec<ContainerAppId>,
    /// The static web apps whose settings, of whatever environment, have one.
    pub static_web_apps: Vec<StaticWebAppId>,
    /// The key-values of App Configuration that hold one, besides those that the apps' settings refer to; and what is known of
    /// their readers.
    pub app_configuration: Vec<KeyValueConfig>,
    /// What holds one and only others can change: machines that report, and what persons change.
    pub external: Vec<External>,
    /// What tells how consumers are: URLs that answer with success while they work.
    pub health: BTreeMap<ConsumerId, Url>,
    /// How to treat it.
    pub policy: Policy,
}

/// A key-value, and who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueConfig {
    pub id: KeyValueId,
    /// Within what time whoever reads it without being seen reads it anew.
    pub readers_within: Duration,
    /// The listed apps that read it by themselves when they start, by an SDK: they are restarted.
    pub read_by: Vec<AppId>,
}

/// A secret, and how long somebody may go on with what it held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretConfig {
    pub id: SecretId,
    /// Within what time whoever reads it without being seen reads it anew. None, if nobody reads it but the apps that are
    /// listed.
    pub readers_within: Duration,
    /// Whether nobody reads it any more, nor goes on with what it held: then it is left alone, unless an app that is listed
    /// refers to it all the same.
    pub unused: bool,
}

/// How long readers that nobody sees may go on with what a secret held before, where nothing is said of them: App Service
/// itself fetches secrets anew once in this time (docs: Use Key Vault references).
pub const READERS_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// All apps of these lists.
fn consumers<'a>(
    apps: &'a [AppConfig],
    container_apps: &'a [ContainerAppId],
    static_web_apps: &'a [StaticWebAppId],
) -> impl Iterator<Item = ConsumerId> + 'a {
    let apps = apps.iter().map(|app| ConsumerId::from(&app.id));
    let container_apps = container_apps.iter().cloned().map(ConsumerId::ContainerApp);
    let static_web_apps = static_web_apps.iter().cloned().map(ConsumerId::StaticWebApp);
    apps.chain(container_apps).chain(static_web_apps)
}

impl ServiceConfig {
    /// Every app that is named, of whatever kind.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerId> + '_ {
        consumers(&self.apps, &self.container_apps, &self.static_web_apps)
    }

    /// Those of them that are no apps of App Service.
    pub(crate) fn beside_app_service(&self) -> impl Iterator<Item = ConsumerId> + '_ {
        self.consumers().filter(|consumer| consumer.app().is_none())
    }

    /// How long readers that nobody sees may go on with what a secret held before.
    pub fn readers_within(&self, secret: &SecretId) -> Duration {
        let configured = self.vault_secrets.iter().find(|one| one.id == *secret);
        configured.map_or(READERS_WITHIN, |one| one.readers_within)
    }

    /// The secrets that are read whoever refers to them.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretId> {
        self.vault_secrets.iter().filter(|one| !one.unused).map(|one| &one.id)
    }

    /// Whether a person says that nobody uses a secret any more.
    pub fn is_unused(&self, secret: &SecretId) -> bool {
        self.vault_secrets.iter().any(|one| one.unused && one.id == *secret)
    }

    /// The same of a key-value.
    pub fn readers_of(&self, key_value: &KeyValueId) -> Duration {
        let configured = self.app_configuration.iter().find(|one| one.id == *key_value);
        configured.map_or(READERS_WITHIN, |one| one.readers_within)
    }
}

/// One app, and where in it the connection strings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppConfig {
    /// The web app, function app or slot.
    pub id: AppId,
    /// Names of app settings to look at. With no name in either list, all settings are looked at, by value.
    pub settings: Vec<String>,
    /// Names of entries of the connection-string section to look at.
    pub connection_strings: Vec<String>,
    /// Whether it is in order that the app holds no connection string of the service (`may_hold_none`). If not,
    /// finding none blocks regeneration: not knowing is not safe.
    pub may_hold_none: bool,
}

/// Where and as whom Azure is asked.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    pub cloud: Cloud,
    /// The base URL of Azure Resource Manager.
    pub resource_manager: Url,
    /// The client id of a user-assigned managed identity, or of an application.
    pub client_id: Option<String>,
}

/// Where the journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateConfig {
    /// In this process alone; gone with it.
    Memory,
    /// In Blob Storage.
    Blob(BlobConfig),
}
