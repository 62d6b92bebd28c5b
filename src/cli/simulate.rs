//! `signalr-rekey simulate`: serve the embedded Azure until stopped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use embedded_azure::event_grid::{EventGrid, Schema};
use embedded_azure::{
    Azurite, ContainerWrite, EmbeddedAzure, KeysOff, NoFunctions, Options, SecretSync, StartError,
    StorageError, SystemClock, World,
};
use serde_json::json;
use url::Url;

use crate::demo::{Live, setup};
use crate::loopback::Door;
use crate::terminal::{mention, stopped};

/// What can be done to the embedded Azure while it runs, and what a world file holds.
const STEERING: &str = "\
docs/simulate.md says all of this at length.

While it runs (POST with a JSON body, no token):
  GET  /sim/report, /sim/requests, /sim/world
  POST /sim/regenerate  {\"instance\", \"keyType\": \"Primary|Secondary|Both\", \"throughArm\": false}
  POST /sim/settings    {\"app\", \"name\", \"value\": text or null, \"section\": \"appsettings|connectionstrings\"}
  POST /sim/container-secrets  {\"app\", \"name\", \"value\": text or null}
  POST /sim/revisions, /sim/executions, /sim/static-settings: as docs/simulate.md has them
  POST /sim/local-auth  {\"instance\", \"disabled\": true}: off, its keys are deleted; on again, it has new ones
  POST /sim/move        {\"app\", \"group\"}: the app is at another id from now on
  GET  /sim/secrets
  POST /sim/secrets     {\"vault\", \"name\", \"action\": \"set|enable|disable|delete|recover|purge\", \"value\", \"version\"}
  GET  /sim/key-values
  POST /sim/key-values  {\"store\", \"key\", \"label\", \"action\": \"set|delete|lock|unlock\", \"value\", \"contentType\"}
  POST /sim/references  {\"name\", \"value\": text or null}: where references to a secret or key of this name lead, where no
                        vault or store of this world is named
  POST /sim/faults      {\"operation\": \"*\", \"resource\", \"kind\", \"skip\": 0, \"count\": 1, \"delay_ms\", \"retry_after\"};
                        DELETE takes all back. Kinds: 429, 500, 500-after, 503, timeout-before, timeout-after, 401, 400,
                        forbidden, conflict, expired-token, slow, html; of a regeneration no-effect, operation-failed,
                        foreign-host; of its operation null-status, still-running; of settings that are written swallowed,
                        applied-late, content-share; of a key-value that is read stale
  POST /sim/denials     {\"scope\", \"action\", \"by\": \"role|deny-assignment|access-policy\", \"app\"}; DELETE takes all back
  POST /sim/barriers    {\"scope\", \"kind\": \"read-only-lock|can-not-delete-lock|disabled-subscription|policy|unregistered|
                        vault-firewall|vault-private|store-firewall\"}; DELETE takes all away

A world file has subscription, signalr (group, name, apps, domains, disable_local_auth, replicas, tags), sites (group, name, kind,
update_strategy, slots, settings, connection_strings, sticky_settings, identity, reads, authentication), vaults (group, name, secrets), appConfigurations
(group, name, keyValues, accessKey), references, denials and barriers. In values {primary:NAME}, {secondary:NAME}, {primaryKey:NAME} and {secondaryKey:NAME} stand for connection strings and
keys of a service.";

/// The flags of `simulate`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = STEERING)]
pub struct SimulateArgs {
    /// Where to listen; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:7400")]
    pub listen: SocketAddr,
    /// A JSON file with the services and sites; without it, one service and three apps
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Write a rekey.toml for this world
    #[arg(long, value_name = "FILE")]
    pub config_out: Option<PathBuf>,
    /// Start Azurite, Microsoft's storage emulator, too, which `func start` and the journal need, and end it in the end; it
    /// has to be installed. Its blobs are at PORT, its queues and tables at the next two; 0 takes any free ports
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = DEFAULT_STORAGE)]
    pub storage: Option<u16>,
    /// How long each request to Azure Resource Manager, to a vault or to an App Configuration store takes
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s", value_name = "DURATION")]
    pub latency: Duration,
    /// How long a regeneration takes to come into effect (Azure: 13 s to 75 s)
    #[arg(long, value_parser = humantime::parse_duration, default_value = "2s", value_name = "DURATION")]
    pub regenerate_takes: Duration,
    /// Throttle as Azure Resource Manager does: a subscription has 250 reads, refilled at 25 a second, and 200 writes at
    /// 10, all POSTs among them; beyond that 429 and a Retry-After
    #[arg(long)]
    pub arm_buckets: bool,
    /// The Retry-After of a running regeneration; Azure sends none
    #[arg(long, value_name = "SECONDS")]
    pub retry_after: Option<u64>,
    /// How long an app's old process serves on after its settings were changed
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", value_name = "DURATION")]
    pub restart_takes: Duration,
    /// How long the platform takes to fetch an app's Key Vault references again when it is asked to
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", value_name = "DURATION")]
    pub refresh_takes: Duration,
    /// Restart an app when its Key Vault references were fetched again, as it was asked for or after a day; no document says
    /// whether Azure does
    #[arg(long)]
    pub refresh_restarts: bool,
    /// Tell of references to App Configuration too where those of an app are listed; no document says whether Azure does
    #[arg(long)]
    pub app_configuration_listed: bool,
    /// How a change of a container app or job is answered: 202 and done in the end, or 200 and done at once
    #[arg(long, value_enum, default_value_t = ContainerWrite::Accepted)]
    pub container_write: ContainerWrite,
    /// How long a change of a container app or job takes that is accepted
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", value_name = "DURATION")]
    pub container_write_takes: Duration,
    /// What is done every half hour about the secrets of container apps that are in vaults
    #[arg(long, value_enum, default_value_t = SecretSync::Restarts)]
    pub secret_sync: SecretSync,
    /// Fetch the secrets of container apps from vaults again when a revision is restarted; no document says whether Azure does
    #[arg(long)]
    pub restart_fetches_secrets: bool,
    /// The same when an execution of a job begins
    #[arg(long)]
    pub executions_fetch_secrets: bool,
    /// What the function settings of a static web app are answered with that has no managed functions; no document says it
    #[arg(long, value_enum, default_value_t = NoFunctions::Empty)]
    pub no_functions: NoFunctions,
    /// The interval between two client calls of an app
    #[arg(long, value_parser = humantime::parse_duration, default_value = "50ms", value_name = "DURATION")]
    pub tick: Duration,
    /// How long the client tokens live that apps hand out (Azure: 1h). A grace period shorter than this and a restart
    /// together cuts clients off
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", value_name = "DURATION")]
    pub client_token_life: Duration,
    /// What the token endpoint wants as IDENTITY_HEADER; local.settings.json has the same
    #[arg(long, default_value = "local-development", value_name = "TEXT")]
    pub identity_header: String,
    /// Let listKeys show a new key only when it is in effect; the answer of the regeneration holds it at once
    #[arg(long)]
    pub list_keys_lags: bool,
    /// What listKeys answers of a service whose access keys are switched off (disableLocalAuth); no document says it
    #[arg(long, value_enum, default_value_t = KeysOff::Empty)]
    pub keys_off: KeysOff,
    /// How many resources are on one page of a list
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    pub page_size: usize,
    /// Serve the same over https at the next port (any free one with port 0), as Microsoft's clients want it. The certificate of
    /// the authority to trust is left in this folder, as ca.pem
    #[arg(long, value_name = "DIR")]
    pub tls: Option<PathBuf>,
    /// The URL by which clients reach the embedded Azure, behind a proxy that sends no X-Forwarded-Host; links in answers
    /// start with it
    #[arg(long, value_parser = parse_base, value_name = "URL")]
    pub public_base: Option<Url>,
    /// Show its keys, who signs with which, its traffic as a moving picture and the last requests in a browser on this
    /// machine, too
    #[arg(long)]
    pub web: bool,
    /// Where all randomness comes from: the same seed makes the same keys
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What Event Grid delivers
    #[command(flatten)]
    pub events: EventArgs,
}

/// The port of the blobs, as clap wants it.
const DEFAULT_STORAGE: &str = "10000";

/// The flags of `simulate` about Event Grid.
#[derive(Args, Clone, Debug)]
pub struct EventArgs {
    /// Deliver what happens as Event Grid would, to this webhook; for `func start`
    /// http://localhost:7071/runtime/webhooks/EventGrid?functionName=OnKeyNotice
    #[arg(long, value_parser = parse_webhook, value_name = "URL")]
    pub event_grid: Option<Url>,
    /// How events are written
    #[arg(long, value_enum, default_value_t = Schema::EventGrid, requires = "event_grid")]
    pub event_schema: Schema,
    /// Deliver every N-th event twice
    #[arg(long, default_value_t = 0, value_name = "N", requires = "event_grid")]
    pub event_duplicates: u64,
    /// Hold each event back for another time up to this, so that they overtake each other
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s", value_name = "DURATION", requires = "event_grid")]
    pub event_disorder: Duration,
    /// Deliver up to so many events at once
    #[arg(long, default_value_t = 1, value_name = "N", requires = "event_grid")]
    pub event_batch: usize,
    /// Only events of this operation, for example Microsoft.SignalRService/SignalR/regenerateKey/action; may be given
    /// several times
    #[arg(long, value_name = "OPERATION", requires = "event_grid")]
    pub event_filter: Vec<String>,
}

/// Why `simulate` ended.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The world file is not what it should be.
    #[error("the world file {path} is not valid")]
    World {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The embedded Azure could not start.
    #[error("the embedded Azure could not start")]
    Start(#[from] StartError),
    /// There is no storage, or none any more.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no port for the page.
    #[error("the embedded Azure cannot be shown to a browser on this machine")]
    Web(#[source] std::io::Error),
    /// Standard output is closed.
    #[error("the embedded Azure lost its terminal")]
    Terminal(#[source] std::io::Error),
}

/// Serves until it is told to stop. When ready it prints one line of JSON on stdout: the base URL, that over TLS and that of the
/// page if there is one, and the environment that signalr-rekey needs to work against it; and on stderr the same as lines for a shell.
pub async fn simulate(args: SimulateArgs) -> Result<(), SimulateError> {
    let world = args.world.as_deref().map_or_else(|| Ok(World::default()), read_world)?;
    let config = setup::rekey_toml(&world);
    let mut storage = match args.storage {
        Some(port) => Some(Azurite::start(port).await?),
        None => None,
    };
    let azure = EmbeddedAzure::start(world, args.options(), Arc::new(SystemClock), args.listen).await?;
    let azure = Arc::new(azure);
    if let Some(path) = &args.config_out {
        let error = |source| SimulateError::File { action: "write", path: path.clone(), source };
        std::fs::write(path, config).map_err(error)?;
    }
    let mut environment = setup::environment(&azure);
    environment.extend(storage.as_ref().map(|storage| ("AzureWebJobsStorage", storage.connection())));
    let mut ready = json!({"base": azure.base(), "environment": environment});
    if let Some(base) = azure.tls_base() {
        ready["tls"] = base.into();
    }
    let door = if args.web { Some(Door::open().await.map_err(SimulateError::Web)?) } else { None };
    if let Some(door) = &door {
        ready["web"] = door.url().into();
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}").and_then(|()| stdout.flush()).map_err(SimulateError::Terminal)?;
    mention(&to_paste(environment, args.config_out.as_deref()));
    if let Some(door) = &door {
        mention(&format!("\nIn a browser on this machine (keep the address to yourself): {}", door.url()));
    }
    // Nobody is answered any more when it is dropped.
    let _shown = door.map(|door| Live::of_azure(Arc::clone(&azure)).show(door));
    let outcome = until_stopped(storage.as_mut()).await;
    if let Some(storage) = storage {
        storage.end().await;
    }
    outcome
}

/// How much later than Azurite we may hear of the same signal.
const MOMENT: Duration = Duration::from_secs(1);

/// Ends well when it is told to stop, and otherwise when the storage is gone.
async fn until_stopped(storage: Option<&mut Azurite>) -> Result<(), SimulateError> {
    let lost = async {
        match storage {
            Some(storage) => storage.ended().await,
            None => std::future::pending().await,
        }
    };
    let mut told = pin!(stopped());
    tokio::select! {
        () = &mut told => Ok(()),
        // A terminal's ctrl-c goes to both, and Azurite may be the quicker.
        error = lost => tokio::time::timeout(MOMENT, told).await.or(Err(error.into())),
    }
}

/// The lines that make a shell work against the embedded Azure. Without a storage of its own the journal is kept in memory:
/// whatever storage the shell knows of is a real one's. The grace period is short, for hours are long to wait.
fn to_paste(environment: BTreeMap<&'static str, String>, config: Option<&Path>) -> String {
    let mut lines = environment;
    if !lines.contains_key("AzureWebJobsStorage") {
        lines.insert("REKEY_STATE", "memory".into());
    }
    lines.insert("REKEY_GRACE", "1m".into());
    if let Some(config) = config {
        let whole = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        lines.insert("REKEY_CONFIG", whole.to_string_lossy().into_owned());
    }
    let mut text = String::from("Ready; ctrl-c ends it. To use it, paste this into another terminal:\n");
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = write!(text, "\nexport {name}='{}'", value.replace('\'', r"'\''"));
    }
    text
}

fn parse_base(text: &str) -> Result<Url, String> {
    let whole = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && (url.has_host() && url.path() == "/")
            && (url.query().is_none() && url.fragment().is_none())
            && (url.username().is_empty() && url.password().is_none())
    };
    let url = Url::parse(text).ok().filter(whole);
    url.ok_or_else(|| "write scheme and host alone, like https://azure.example:8443".to_owned())
}

fn parse_webhook(text: &str) -> Result<Url, String> {
    let whole = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    Url::parse(text).ok().filter(whole).ok_or_else(|| "write a whole URL, http://… or https://…".to_owned())
}

fn read_world(path: &Path) -> Result<World, SimulateError> {
    let error = |source| SimulateError::File { action: "read", path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(error)?;
    serde_json::from_str(&text).map_err(|source| SimulateError::World { path: path.to_owned(), source })
}

impl SimulateArgs {
    fn options(&self) -> Options {
        Options {
            latency: self.latency,
            buckets: self.arm_buckets,
            regenerate_takes: self.regenerate_takes,
            retry_after: self.retry_after,
            restart_takes: self.restart_takes,
            refresh_takes: self.refresh_takes,
            refresh_restarts: self.refresh_restarts,
            app_configuration_listed: self.app_configuration_listed,
            container_write: self.container_write,
            container_write_takes: self.container_write_takes,
            secret_sync: self.secret_sync,
            restart_fetches_secrets: self.restart_fetches_secrets,
            executions_fetch_secrets: self.executions_fetch_secrets,
            no_functions: self.no_functions,
            tick: self.tick,
            client_token_life: self.client_token_life,
            identity_header: Some(self.identity_header.clone()),
            list_keys_lags: self.list_keys_lags,
            keys_off: self.keys_off,
            page_size: self.page_size,
            public_base: self.public_base.clone(),
            tls: self.tls.clone(),
            seed: self.seed,
            event_grid: self.events.subscription(),
            ..Options::default()
        }
    }
}

impl EventArgs {
    fn subscription(&self) -> Option<EventGrid> {
        Some(EventGrid {
            schema: self.event_schema,
            duplicate_every: self.event_duplicates,
            disorder: self.event_disorder,
            batch: self.event_batch,
            operations: self.event_filter.clone(),
            ..EventGrid::to(self.event_grid.clone()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use embedded_azure::{BarrierKind, FaultKind};

    use super::*;

    #[test]
    fn what_is_to_be_pasted_is_quoted_and_leads_to_no_real_storage() {
        let environment = BTreeMap::from([("A", "it's $HOME;".to_owned())]);
        let text = to_paste(environment, Some(Path::new("/no/one's.toml")));
        insta::assert_snapshot!(text, @r"
        Ready; ctrl-c ends it. To use it, paste this into another terminal:

        export A='it'\''s $HOME;'
        export REKEY_CONFIG='/no/one'\''s.toml'
        export REKEY_GRACE='1m'
        export REKEY_STATE='memory'
        ");
        let storage = BTreeMap::from([("AzureWebJobsStorage", "UseDevelopmentStorage=true".to_owned())]);
        assert!(!to_paste(storage, None).contains("REKEY_STATE"));
    }

    #[test]
    fn storage_is_where_the_host_looks_for_it_unless_a_port_is_given() {
        use clap::Parser;

        #[derive(Parser)]
        struct CommandLine {
            #[command(flatten)]
            args: SimulateArgs,
        }
        let storage = |flags: &[&str]| {
            CommandLine::try_parse_from([&["simulate"], flags].concat()).unwrap().args.storage
        };
        assert_eq!(storage(&[]), None);
        assert_eq!(storage(&["--storage"]), Some(Azurite::BLOBS));
        assert_eq!(storage(&["--storage", "--seed", "2"]), Some(Azurite::BLOBS));
        assert_eq!(storage(&["--storage", "0"]), Some(0));
    }

    #[test]
    fn the_help_names_every_kind_of_fault_and_barrier() {
        let barriers = BarrierKind::ALL.map(|kind| serde_json::to_value(kind).unwrap());
        let barriers = barriers.iter().map(|kind| kind.as_str().unwrap().to_owned());
        let faults = FaultKind::ALL.map(|kind| kind.name().to_owned());
        for kind in barriers.chain(faults) {
            assert!(STEERING.contains(&kind), "{kind}");
        }
    }
}
