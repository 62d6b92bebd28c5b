//! The agent: where an app runs on a machine, it puts the key that a Key Vault secret holds into the app's files.
//!
//! Start at [`Agent::round`]: the secret is read, and each file; where a file has another key, the service is asked whether
//! it accepts that of the secret, exactly the key's characters are replaced, the app is made to read the file anew and asked
//! whether it works, and what it works with is reported. `exchange` is that way; the others are what it goes by:
//!
//! | part | what |
//! |---|---|
//! | `files` | reading a file, replacing it whole, and what a crash left beside it |
//! | `copies` | the texts from before, and the way back to them |
//! | `state` | what is remembered: fingerprints, and what is under way; the lock that one agent has |
//! | `app` | the reload command and the health URL |
//! | `reporting` | telling who waits for it which key is in use |
//!
//! Guarantees: a file is the old text or the new one, whenever the agent is killed, and the next start goes on. A key is put
//! into a file only if the service accepts it (`verify`), and is reported only once the app was made to use it and was found
//! to work. What cannot be seen or done is told in each round, and fails it. No key is in anything that it tells, remembers
//! or reports; the files, and until the exchange is over the copies beside them, are all that hold one.

mod app;
mod copies;
mod exchange;
mod files;
mod reporting;
mod state;

use std::sync::Arc;

use crate::azure::arm::{Arm, ArmOptions};
use crate::azure::credentials::{CredentialError, Otherwise, credential_or};
use crate::azure::data_plane::DataPlane;
use crate::azure::http::{Http, Insecure, is_loopback};
use crate::clock::Clock;
use crate::config::{AgentConfig, AgentIdentity, Environment};

pub use self::state::{Memory, Unkept};

/// What the agent tells as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something was done.
    Done(String),
    /// Something could not be seen or done; what is to be done about it.
    Failed(String),
}

/// Hears what the agent tells.
pub type Teller = Box<dyn Fn(&Told) + Send + Sync>;

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Azure would be asked over an insecure connection.
    #[error(transparent)]
    Insecure(#[from] Insecure),
    /// There is nobody to ask Azure as.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The app works with the key of the secret, and whoever waits for that knows it.
    Well,
    /// Something failed, and was told.
    Badly,
}

/// The agent of one machine.
pub struct Agent {
    config: AgentConfig,
    arm: Arm,
    data_plane: DataPlane,
    http: Http,
    clock: Arc<dyn Clock>,
    teller: Teller,
}

impl Agent {
    /// Puts its parts together. Nothing is sent yet.
    pub fn new(
        config: AgentConfig,
        environment: &Environment,
        clock: Arc<dyn Clock>,
        jitter_seed: u64,
        teller: Teller,
    ) -> Result<Self, AgentError> {
        let http = Http::new();
        let variable = |name: &str| environment.get(name).map(ToOwned::to_owned);
        let otherwise = match config.identity {
            AgentIdentity::Managed => Otherwise::VirtualMachine,
            AgentIdentity::Developer => Otherwise::DeveloperTools,
        };
        let credential = credential_or(otherwise, &variable, &config.azure, &http, &clock)?;
        let base = config.azure.resource_manager.clone();
        let gateway = is_loopback(&base).then(|| base.clone());
        let data_plane = DataPlane::new(http.clone(), gateway, Arc::clone(&clock))?;
        let options =
            ArmOptions { base, credential, clock: Arc::clone(&clock), http: http.clone(), jitter_seed };
        Ok(Self { config, arm: Arm::new(options)?, data_plane, http, clock, teller })
    }

    /// Looks at the secret and at the files once, and does what is to be done. What the app works with is reported where that
    /// is news, or was not reported for an hour; in any case with `report_anyway`.
    pub async fn round(&self, memory: &mut Memory, report_anyway: bool) -> Ended {
        exchange::run(self, memory, report_anyway).await
    }

    fn done(&self, what: String) {
        (self.teller)(&Told::Done(what));
    }
}
