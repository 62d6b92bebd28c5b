//! Azure over HTTP, for development, the demo and tests: Azure Resource Manager with Microsoft.SignalRService,
//! Microsoft.Web and Microsoft.App, the token endpoints, and the data planes of SignalR, Key Vault and App Configuration, with
//! apps that make traffic the whole time.
//!
//! Start at [`EmbeddedAzure::start`]. What it does follows Azure's documented rules or recorded answers, and the place in
//! the code says which. Inside, `state` knows everything and lets time pass, `changes` and `regeneration` hold what is done
//! to it, `platform` resolves the references of apps to secrets of `vaults` and key-values of `stores`, `containers` and
//! `static_sites` are what runs elsewhere than in sites, `clients` and `traffic` make the client calls, `access` tells
//! who has a valid key, `routes` is the one table from request to operation, and `http` joins them. [`event_grid`] tells
//! others of it, and [`functions_host`] is the other end: what stands between Event Grid or a timer and a custom handler.
//!
//! Guarantees: the same seed makes the same keys; every instant at which a client could begin to be refused is
//! sampled, however coarse the tick; nothing but `listKeys`, `regenerateKey`, the settings, the secrets and the templates of
//! containers tells a key.
//!
//! It shares no code with those that it is there to test, so that no mistake is made twice: which requests are allowed,
//! what a process signs with (`sdk`), what is accepted, and its ids and keys are all its own.
//!
//! Caveats: roles are modelled by what is denied alone (any token of ours may do anything else); Key Vault by its secrets,
//! App Configuration by its key-values, without history and snapshots, and no vault or store can be made or changed through ARM;
//! replicas by their list alone, swaps and network rules, but for the firewalls of vaults and stores, not at all.

mod access;
mod activity;
mod app;
mod app_configuration;
mod arm;
mod azurite;
mod barriers;
mod buckets;
mod call;
mod changes;
mod clients;
mod clock;
mod containers;
mod control;
mod data_plane;
mod deeds;
pub mod event_grid;
mod faults;
pub mod functions_host;
mod handovers;
mod http;
mod identity;
mod ids;
mod key_vault;
mod late;
mod options;
mod placeholders;
mod platform;
mod random;
mod references;
mod regeneration;
mod report;
mod roles;
mod routes;
mod sampling;
mod sdk;
mod service;
mod state;
mod static_sites;
mod stores;
mod tls;
mod traffic;
mod vaults;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::{JoinHandle, JoinSet};

pub use self::activity::{Activity, ActivityKind};
pub use self::azurite::{Azurite, StorageError};
pub use self::barriers::{Barrier, BarrierKind};
pub use self::changes::{EditError, Unknown};
pub use self::clock::{Clock, SystemClock, TokioClock, VirtualClock};
pub use self::event_grid::EventGrid;
pub use self::faults::{Fault, FaultKind};
pub use self::handovers::{Handover, Standing};
pub use self::ids::{
    AppId, ContainerId, ContainerKind, Key, KeyType, Pair, ServiceId, StaticSiteId, StoreId, VaultId,
};
pub use self::options::{ContainerWrite, KeysOff, NoFunctions, Options, SecretSync};
pub use self::placeholders::NoSuchService;
pub use self::report::{AppOutage, Report, RequestRecord, ServiceReport};
pub use self::roles::{Denial, DeniedBy};
pub use self::state::State;
pub use self::tls::TlsError;
pub use self::traffic::{Outage, Tally};
pub use self::world::app_configurations::{AccessKey, AppConfiguration, KeyValue, Read};
pub use self::world::connectors::Connector;
pub use self::world::containers::{
    ContainerApp, ContainerJob, ContainerSecret, OlderRevision, RevisionsMode,
};
pub use self::world::static_sites::{StaticEnvironment, StaticWebApp};
pub use self::world::vaults::{Secret, Vault};
pub use self::world::{
    ConnectionStringEntry, SignalR, Site, SiteAuthentication, SiteIdentity, UpdateStrategy, World, WorldError,
};

use self::event_grid::{Delivery, Outcome};
use self::faults::Moment;
use self::http::Shared;
use self::tls::TlsListener;

/// A running embedded Azure. It stops when it is dropped.
pub struct EmbeddedAzure {
    shared: Arc<Shared>,
    base: String,
    tls_base: Option<String>,
    identity_header: String,
    time: Option<JoinHandle<()>>,
    /// Whoever serves is told to end.
    stop: Vec<oneshot::Sender<()>>,
}

/// Why the embedded Azure could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The world makes no sense.
    #[error("the world cannot be built")]
    World(#[from] WorldError),
    /// The webhook cannot be called: this machine's TLS set-up is broken.
    #[error("no HTTP client can be made for the webhook")]
    Client(#[source] reqwest::Error),
    /// There can be no https.
    #[error("it cannot be served over TLS")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl EmbeddedAzure {
    /// Builds the world and begins to serve it. Port 0 takes any free port.
    pub async fn start(
        world: World,
        options: Options,
        clock: Arc<dyn Clock>,
        listen: SocketAddr,
    ) -> Result<Self, StartError> {
        let live = options.live;
        let tick = options.tick;
        let vaults = world.vaults.iter().map(|vault| format!("{}.localhost", vault.name.to_lowercase()));
        let stores = world.app_configurations.iter();
        let stores = stores.map(|store| format!("{}.azconfig.localhost", store.name.to_lowercase()));
        let hosts = vaults.chain(stores);
        let tls = options.tls.as_ref().map(|folder| tls::configure(folder, hosts)).transpose()?;
        let state = State::new(&world, options, clock.now())?;
        let identity_header = state.identity.header.clone();
        let (listener, address) = bind(listen).await?;
        let shared = Shared::new(state, clock, address.port()).map_err(StartError::Client)?;
        let shared = Arc::new(shared);
        let mut stop = vec![serve(listener, &shared)];
        let mut tls_base = None;
        if let Some(config) = tls {
            let port = if listen.port() == 0 { 0 } else { address.port().saturating_add(1) };
            let (listener, address) = bind(SocketAddr::new(address.ip(), port)).await?;
            let error = |source| StartError::Listen { address, source };
            stop.push(serve(TlsListener::new(listener, config).map_err(error)?, &shared));
            tls_base = Some(format!("https://{address}"));
        }
        let time = live.then(|| tokio::spawn(let_time_pass(Arc::clone(&shared), tick)));
        Ok(Self { shared, base: format!("http://{address}"), tls_base, identity_header, time, stop })
    }

    /// The base URL: Azure Resource Manager, the token endpoints and the data plane are all behind it.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The base URL of the same over TLS, if there is one.
    #[must_use]
    pub fn tls_base(&self) -> Option<&str> {
        self.tls_base.as_deref()
    }

    /// The secret header of the managed-identity endpoint.
    #[must_use]
    pub fn identity_header(&self) -> &str {
        &self.identity_header
    }

    /// Reads the state as of now, or changes it.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.state();
        let outcome = act(&mut state);
        let now = state.now;
        state.advance_to(now);
        outcome
    }

    /// What the clients met, and what Azure was asked.
    #[must_use]
    pub fn report(&self) -> Report {
        self.with(|state| state.report())
    }

    /// The last requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.with(|state| state.log.requests())
    }

    /// The next moment of the count by which requests begin and are answered: for what is to be counted with them. Of
    /// two requests the second was sent after the answer to the first only if it began at a later moment.
    #[must_use]
    pub fn moment(&self) -> u64 {
        self.with(|state| state.log.moment())
    }

    /// What happens from now on. A listener that lags more than 4096 behind loses the oldest.
    #[must_use]
    pub fn activity(&self) -> broadcast::Receiver<Activity> {
        self.with(|state| state.listen())
    }

    /// Lets the next requests go wrong.
    pub fn fault(&self, fault: Fault) {
        self.with(|state| state.faults.add(fault));
    }

    /// The operations of the faults and hooks that no request has met yet; empty when a test's plan came about.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        self.with(|state| state.faults.waiting().chain(state.hooks.waiting()).collect())
    }

    /// Takes back the faults that no request has met yet.
    pub fn clear_faults(&self) {
        self.with(|state| state.faults.clear());
    }

    /// Takes back the hooks whose request has not come yet.
    pub fn clear_hooks(&self) {
        self.with(|state| state.hooks.clear());
    }

    /// Does something just before the `nth` (1 is the next) request of an operation, or with `*` of any, is served.
    pub fn before(&self, operation: &str, nth: usize, act: impl FnOnce(&mut State) + Send + 'static) {
        self.with(|state| state.hooks.add(Moment::Before, operation, nth, Box::new(act)));
    }

    /// Does something just after the `nth` (1 is the next) request of an operation, or with `*` of any, was served,
    /// before its answer leaves.
    pub fn after(&self, operation: &str, nth: usize, act: impl FnOnce(&mut State) + Send + 'static) {
        self.with(|state| state.hooks.add(Moment::After, operation, nth, Box::new(act)));
    }

    /// Replaces keys at once, as a forced regeneration does.
    pub fn regenerate(&self, service: &str, key_types: &[KeyType]) -> Result<(), Unknown> {
        self.with(|state| state.force_regeneration(service, key_types))
    }

    /// Replaces keys at once through ARM, as a colleague or a tool does: Event Grid tells of it.
    pub fn regenerate_through_arm(&self, service: &str, key_types: &[KeyType]) -> Result<(), Unknown> {
        self.with(|state| state.regenerate_through_arm(service, key_types))
    }

    /// Calls the webhook with every delivery that is due, all at once, and tells what it answered. This is for a clock
    /// that is moved by hand; with [`Options::live`] it happens by itself.
    pub async fn deliver_due(&self) -> Vec<(Delivery, Outcome)> {
        let due = self.shared.take_due();
        join_all(due.into_iter().map(|delivery| self.shared.deliver(delivery))).await
    }

    /// When the next delivery is due, or one that is on its way counts as unanswered; none if no event waits.
    #[must_use]
    pub fn next_delivery(&self) -> Option<DateTime<Utc>> {
        self.with(|state| state.next_delivery())
    }

    /// The events that were not delivered yet, in the order in which they fall due.
    #[must_use]
    pub fn undelivered_events(&self) -> Vec<Value> {
        self.with(|state| state.undelivered_events())
    }

    /// Writes one app setting, or with `None` removes it, as another person would. The app restarts.
    pub fn edit_setting(&self, app: &str, name: &str, value: Option<&str>) -> Result<(), EditError> {
        self.with(|state| state.edit_setting(app, name, value))
    }

    /// Deletes a site with its slots, or one slot.
    pub fn delete_site(&self, app: &str) -> Result<(), Unknown> {
        self.with(|state| state.delete_site(app))
    }

    /// Deletes a service.
    pub fn delete_service(&self, service: &str) -> Result<(), Unknown> {
        self.with(|state| state.delete_service(service))
    }

    /// The app settings of a site or `site/slot`.
    pub fn settings(&self, app: &str) -> Result<BTreeMap<String, String>, Unknown> {
        self.with(|state| state.settings(app))
    }

    /// The connection-string section of a site or `site/slot`.
    pub fn connection_strings(&self, app: &str) -> Result<BTreeMap<String, ConnectionStringEntry>, Unknown> {
        self.with(|state| state.connection_strings(app))
    }

    /// The keys that the data plane accepts now.
    pub fn keys(&self, service: &str) -> Result<Pair<Key>, Unknown> {
        self.with(|state| state.keys(service))
    }
}

impl fmt::Debug for EmbeddedAzure {
    /// Without the identity header and the state, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedAzure").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Drop for EmbeddedAzure {
    fn drop(&mut self) {
        if let Some(time) = self.time.take() {
            time.abort();
        }
        // Dropping a sender is the signal.
        self.stop.clear();
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

/// Serves until what it returns is dropped.
fn serve<L: Listener<Addr = SocketAddr>>(listener: L, shared: &Arc<Shared>) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = axum::serve(listener, http::router(Arc::clone(shared)));
    tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        // It ends when it is stopped; errors of single connections are not errors of the server.
        drop(serve.with_graceful_shutdown(stopped).await);
    });
    stop
}

/// Makes the traffic of a clock that runs by itself, and delivers events.
async fn let_time_pass(shared: Arc<Shared>, tick: Duration) {
    let tick = tick.max(Duration::from_millis(1));
    let mut deliveries = JoinSet::new();
    loop {
        shared.sleep(tick).await;
        let due = shared.take_due();
        for delivery in due {
            let shared = Arc::clone(&shared);
            deliveries.spawn(async move { drop(shared.deliver(delivery).await) });
        }
        while deliveries.try_join_next().is_some() {}
    }
}
