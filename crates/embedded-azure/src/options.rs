//! How the embedded Azure behaves.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::event_grid::EventGrid;

/// The knobs of the embedded Azure. The defaults are a quick Azure: the real one takes 13 to 75 seconds for a
/// regeneration (recordings of 2021 and 2022), tens of seconds for a restart, and its client tokens live an hour.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each request to ARM, to a vault or to a store takes.
    pub latency: Duration,
    /// How long a regeneration takes to come into effect.
    pub regenerate_takes: Duration,
    /// The `Retry-After` of a regeneration, in seconds. The real service sends none (recordings of 2021 to 2024).
    pub retry_after: Option<u64>,
    /// How long an app's old process serves on after its settings were changed, and how long a restart of a revision or of
    /// managed functions takes.
    pub restart_takes: Duration,
    /// How long the platform takes to fetch an app's references again when it is asked to.
    pub refresh_takes: Duration,
    /// Whether an app restarts when the platform has fetched its references again, because it was asked to or a day was over:
    /// no document says it. What a change of the configuration fetches comes with a restart in any case.
    pub refresh_restarts: bool,
    /// Whether the list of an app's references tells of those to App Configuration too: no document says it. The swagger has
    /// names for Key Vault alone.
    pub app_configuration_listed: bool,
    /// How a change of a container app or job is answered.
    pub container_write: ContainerWrite,
    /// How long such a change takes where it is not done at once. The whole of it is in effect in the end.
    pub container_write_takes: Duration,
    /// What the platform does every half hour about the secrets of container apps that are in vaults.
    pub secret_sync: SecretSync,
    /// Whether the restart of a revision fetches secrets of vaults again: no document says it.
    pub restart_fetches_secrets: bool,
    /// Whether an execution of a job fetches them when it begins: no document says it, and a field report denies it.
    pub executions_fetch_secrets: bool,
    /// What the function settings of a static web app are answered with that has no managed functions.
    pub no_functions: NoFunctions,
    /// The interval between two client calls of an app.
    pub tick: Duration,
    /// How long client tokens live. Azure's live an hour by default (docs: Troubleshooting guide).
    pub client_token_life: Duration,
    /// How many resources are on one page of a list.
    pub page_size: usize,
    /// Where all randomness comes from: the same seed makes the same keys.
    pub seed: u64,
    /// What the token endpoint wants in `X-IDENTITY-HEADER`; drawn at random if not given.
    pub identity_header: Option<String>,
    /// Whether ARM throttles as documented: each principal has 250 reads in a subscription, refilled at 25 a second, and 200
    /// writes at 10, POSTs among them.
    pub buckets: bool,
    /// What every key starts with, so that tests can search outputs for it; at most 40 characters.
    pub key_prefix: String,
    /// Whether `listKeys` shows a new key only when it is in effect. The 202 of a regeneration already holds it
    /// (recorded); what `listKeys` shows meanwhile, no recording tells.
    pub list_keys_lags: bool,
    /// How long after a request the activity log shows it (docs: Azure Monitor activity log, 3 to 20 minutes).
    pub activity_log_delay: Duration,
    /// What `listKeys` answers of a service whose access keys are switched off: no document says, and no recording.
    pub keys_off: KeysOff,
    /// Under which URL clients see the embedded Azure, for the links in its answers. Without it `X-Forwarded-Proto` and
    /// `X-Forwarded-Host` tell, and else the `Host` that was asked for.
    pub public_base: Option<Url>,
    /// Serves the same over https too, at the next port (or any free one, where any was taken for http): a folder, in which
    /// the certificate of the authority is left as `ca.pem` for clients to trust.
    pub tls: Option<PathBuf>,
    /// Who is told what happens in Azure; nobody if not given.
    pub event_grid: Option<EventGrid>,
    /// Whether time passes by itself: a background task makes the traffic of the running clock and delivers events. To
    /// be off with a [`VirtualClock`](super::VirtualClock), which such a task would push on for ever.
    pub live: bool,
}

/// What `listKeys` answers where `disableLocalAuth` has deleted the keys. Unconfirmed: a client has to be safe with both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KeysOff {
    /// 200 with an empty object.
    #[default]
    Empty,
    /// 400, in the words that Azure AI services have for the same (public reports).
    Refused,
}

/// How a change of a container app or job is answered; both are in the swagger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ContainerWrite {
    /// 202 with a `Location`.
    #[default]
    Accepted,
    /// 200 with what it is now.
    Done,
}

/// What the platform does about new versions of the secrets of container apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SecretSync {
    /// It fetches them and restarts active revisions that have them in a variable (docs: Manage secrets in Azure Container
    /// Apps).
    #[default]
    Restarts,
    /// It fetches them and restarts nothing.
    Fetches,
    /// Nothing, as some report.
    Off,
}

/// What is answered for function settings where there are no managed functions. Unconfirmed: a client has to be safe with all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum NoFunctions {
    /// 200 with an empty dictionary.
    #[default]
    Empty,
    /// 404.
    NotFound,
    /// 400.
    Refused,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            regenerate_takes: Duration::from_secs(2),
            retry_after: None,
            restart_takes: Duration::from_secs(1),
            refresh_takes: Duration::from_secs(1),
            refresh_restarts: false,
            app_configuration_listed: false,
            container_write: ContainerWrite::default(),
            container_write_takes: Duration::from_secs(1),
            secret_sync: SecretSync::default(),
            restart_fetches_secrets: false,
            executions_fetch_secrets: false,
            no_functions: NoFunctions::default(),
            tick: Duration::from_millis(50),
            client_token_life: Duration::from_secs(1),
            page_size: 50,
            seed: 1,
            identity_header: None,
            buckets: false,
            key_prefix: String::new(),
            activity_log_delay: Duration::from_secs(180),
            list_keys_lags: false,
            keys_off: KeysOff::default(),
            public_base: None,
            tls: None,
            event_grid: None,
            live: true,
        }
    }
}

impl Options {
    /// As slow as the real Azure, for a [`VirtualClock`](super::VirtualClock): 75 seconds for a regeneration (the
    /// longest on record took 74), 20 for a restart, an hour for client tokens, a client call each second, and no time that passes by itself.
    #[must_use]
    pub fn like_azure() -> Self {
        Self {
            regenerate_takes: Duration::from_secs(75),
            restart_takes: Duration::from_secs(20),
            container_write_takes: Duration::from_secs(20),
            tick: Duration::from_secs(1),
            client_token_life: Duration::from_secs(3600),
            live: false,
            ..Self::default()
        }
    }
}
