//! Putting the parts together from what was configured.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;

use crate::azure::arm::{Arm, ArmOptions};
use crate::azure::credentials::{CredentialError, credential};
use crate::azure::data_plane::DataPlane;
use crate::azure::http::{Http, Insecure, is_loopback};
use crate::clock::Clock;
use crate::config::{AzureConfig, BlobAccess, BlobConfig, Config, Environment, StateConfig};
use crate::engine::{Engine, Narrator};
use crate::store::{BlobStore, MemoryStore, Store, StoreError};

/// Why the parts do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Azure would be asked over an insecure connection.
    #[error(transparent)]
    Insecure(#[from] Insecure),
    /// The journal's storage cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nobody to ask Azure as.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// Makes everything that a run needs. Nothing is sent yet.
pub fn compose(
    config: Config,
    environment: &Environment,
    clock: Arc<dyn Clock>,
    narrator: Narrator,
) -> Result<Engine, ComposeError> {
    let http = Http::new();
    let variable = |name: &str| environment.get(name).map(ToOwned::to_owned);
    let credential = credential(&variable, &config.azure, &http, &clock)?;
    let base = config.azure.resource_manager.clone();
    // A resource manager on loopback is the simulator, which serves the data plane of its services as well.
    let gateway = is_loopback(&base).then(|| base.clone());
    let data_plane = DataPlane::new(http.clone(), gateway, Arc::clone(&clock))?;
    let jitter_seed = u64::from(std::process::id());
    let store: Arc<dyn Store> = match &config.state {
        StateConfig::Memory => Arc::new(MemoryStore::new(Arc::clone(&clock))),
        StateConfig::Blob(blob) => {
            let identity = storage_identity(blob, &variable, &config.azure, &http, &clock)?;
            Arc::new(BlobStore::new(blob, identity, http.clone(), Arc::clone(&clock))?)
        }
    };
    let options = ArmOptions { base, credential, clock: Arc::clone(&clock), http: http.clone(), jitter_seed };
    let arm = Arm::new(options)?;
    Ok(Engine::new(Arc::new(config), arm, data_plane, store, clock, &http, narrator))
}

/// As whom storage is asked: the same as Azure Resource Manager, unless the connection names another client id.
fn storage_identity(
    blob: &BlobConfig,
    variable: &dyn Fn(&str) -> Option<String>,
    azure: &AzureConfig,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let named = match &blob.access {
        BlobAccess::Identity { client_id } => client_id.clone(),
        BlobAccess::AccountKey(_) | BlobAccess::Signature(_) => None,
    };
    let azure = AzureConfig { client_id: named.or_else(|| azure.client_id.clone()), ..azure.clone() };
    credential(variable, &azure, http, clock)
}

/// Hears what runs tell and keeps it to itself; the log has it all.
pub fn silent() -> Narrator {
    Arc::new(|_, _| {})
}
