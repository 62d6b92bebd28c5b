//! What the program needs to look after an embedded Azure: its configuration, its environment, and a worker inside this
//! very process, which the storm and the tests run. That has the real clients and azure_identity, and differs from the
//! deployed one in its clock, its store and where it gets tokens.
//!
//! The two share no types: what goes over from one to the other goes as text.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use chrono::{DateTime, Utc};
use embedded_azure::{EmbeddedAzure, Read, World};
use url::Url;

use crate::azure::arm::{Arm, ArmOptions};
use crate::azure::data_plane::DataPlane;
use crate::azure::http::{Http, Insecure};
use crate::clock::Clock;
use crate::config::{AppConfig, AzureConfig, Cloud, Config, Metrics, ServiceConfig, StateConfig};
use crate::engine::{Engine, Narrator};
use crate::schedule;
use crate::store::Store;
use rekey_core::model::{AppId, IdError, ServiceId};
use rekey_core::policy::Policy;

/// Why a worker could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The credential could not be made.
    #[error("the credential could not be made")]
    Credential(#[from] azure_core::Error),
    /// The embedded Azure is not on loopback.
    #[error(transparent)]
    Insecure(#[from] Insecure),
}

/// The rekey.toml that looks after every service of a world.
pub fn rekey_toml(world: &World) -> String {
    // Its apps restart in a second.
    let mut text = String::from("# Written by signalr-rekey simulate.\ngate_after = \"1s\"\n");
    for (service, id) in world.signalr.iter().zip(world.services()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n[[instance]]\nid = \"{id}\"\napps = [");
        for app in world.apps_of(service) {
            let _ = writeln!(text, "  \"{app}\",");
        }
        text.push_str("]\n");
        let _ = listed(&mut text, "container_apps", &world.containers_of(service));
        let _ = listed(&mut text, "static_web_apps", &world.static_web_apps_of(service));
        let _ = read_by_apps(&mut text, &world.read_by_apps(service));
    }
    text
}

/// The key-values that apps read by themselves, where there are any: by its settings no app tells of that.
fn read_by_apps<A: Display>(text: &mut String, all: &[(&Read, Vec<A>)]) -> std::fmt::Result {
    // A string of JSON is one of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut items = Vec::new();
    for (read, apps) in all {
        let Read::KeyValue { store, key, label } = read else { continue };
        let label = label.as_ref().map_or(String::new(), |label| format!("label = {}, ", quoted(label)));
        let apps: Vec<String> = apps.iter().map(|app| format!("\"{app}\"")).collect();
        items.push(format!(
            "  {{ endpoint = \"https://{store}.azconfig.io\", key = {}, {label}read_by = [{}] }},\n",
            quoted(key),
            apps.join(", ")
        ));
    }
    if items.is_empty() {
        return Ok(());
    }
    writeln!(text, "app_configuration = [\n{}]", items.concat())
}

/// A list of ids, where there are any.
fn listed(text: &mut String, name: &str, ids: &[impl Display]) -> std::fmt::Result {
    if ids.is_empty() {
        return Ok(());
    }
    writeln!(text, "{name} = [")?;
    ids.iter().try_for_each(|id| writeln!(text, "  \"{id}\","))?;
    writeln!(text, "]")
}

/// The environment with which the program works against this Azure.
pub fn environment(azure: &EmbeddedAzure) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("IDENTITY_ENDPOINT", format!("{}/msi/token", azure.base())),
        ("IDENTITY_HEADER", azure.identity_header().to_owned()),
        ("REKEY_RESOURCE_MANAGER", azure.base().to_owned()),
        (schedule::SETTING, schedule::GOOD.to_owned()),
    ])
}

/// A configuration that looks after everything in a world, with apps that are read by value.
pub fn config(world: &World, policy: &Policy) -> Result<Config, IdError> {
    let app =
        |id: AppId| AppConfig { id, settings: vec![], connection_strings: vec![], may_hold_none: false };
    let mut instances = Vec::new();
    for (service, id) in world.signalr.iter().zip(world.services()) {
        let ids = world.apps_of(service).into_iter().map(|id| id.to_string().parse());
        let apps = ids.map(|id| id.map(app)).collect::<Result<_, IdError>>()?;
        instances.push(ServiceConfig {
            id: id.to_string().parse::<ServiceId>()?,
            apps,
            vault_secrets: vec![],
            container_apps: read(world.containers_of(service))?,
            static_web_apps: read(world.static_web_apps_of(service))?,
            app_configuration: vec![],
            external: vec![],
            health: BTreeMap::new(),
            policy: policy.clone(),
        });
    }
    let resource_manager = Url::parse(Cloud::Public.resource_manager());
    Ok(Config {
        instances,
        azure: AzureConfig {
            cloud: Cloud::Public,
            resource_manager: resource_manager.unwrap_or_else(|_| unreachable!("a constant URL")),
            client_id: None,
        },
        state: StateConfig::Memory,
        notice_budget: Duration::from_secs(25),
        timer_budget: Duration::from_secs(9 * 60),
        watch: None,
        notify: None,
        metrics: Metrics::Off,
        schedule: None,
        timer_disabled: false,
        own_site: None,
    })
}

fn read<T: FromStr>(ids: Vec<impl Display>) -> Result<Vec<T>, T::Err> {
    ids.into_iter().map(|id| id.to_string().parse()).collect()
}

/// The embedded Azure and those who look after it go by one time.
#[async_trait]
impl<C: embedded_azure::Clock> Clock for C {
    fn now(&self) -> DateTime<Utc> {
        embedded_azure::Clock::now(self)
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        embedded_azure::Clock::sleep_until(self, time).await;
    }
}

/// A worker as a new process would be: with nothing in memory but what is in the store.
pub fn worker(
    base: &Url,
    http: &Http,
    config: Arc<Config>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    narrator: Narrator,
) -> Result<Engine, WorkerError> {
    let options = ArmOptions {
        base: base.clone(),
        credential: credential(http, base)?,
        clock: Arc::clone(&clock),
        http: http.clone(),
        jitter_seed: 1,
    };
    let data_plane = DataPlane::new(http.clone(), Some(base.clone()), Arc::clone(&clock))?;
    Ok(Engine::new(config, Arm::new(options)?, data_plane, store, clock, http, narrator))
}

/// azure_identity's client-secret credential, with Entra's token endpoint played by the embedded Azure at `base`. The
/// credential insists on an https authority, so its transport carries the request over.
pub fn credential(http: &Http, base: &Url) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let carrier = Carrier { http: http.clone(), base: base.clone() };
    let client_options =
        ClientOptions { transport: Some(Transport::new(Arc::new(carrier))), ..ClientOptions::default() };
    let options = ClientSecretCredentialOptions { client_options };
    let (tenant, client) = ("00000000-0000-0000-0000-0000000000aa", "00000000-0000-0000-0000-0000000000bb");
    Ok(ClientSecretCredential::new(tenant, client.into(), Secret::new("s"), Some(options))?)
}

#[derive(Debug)]
struct Carrier {
    http: Http,
    base: Url,
}

#[async_trait]
impl HttpClient for Carrier {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (path, query) = (request.url().path(), request.url().query());
        let mut url =
            self.base.join(path).map_err(|error| azure_core::Error::new(ErrorKind::DataConversion, error))?;
        url.set_query(query);
        let mut carried = Request::new(url, request.method());
        for (name, value) in request.headers().iter() {
            carried.insert_header(name.clone(), value.clone());
        }
        carried.set_body(request.body().clone());
        self.http.execute_request(&carried).await
    }
}
