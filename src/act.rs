//! One step, exactly as it was decided: check that the world is still as expected, do it, and see that it took.
//!
//! There are no choices left here. Whatever changes Azure asks for a [`LeaseProof`]. Start at [`Actor`].

mod gates;
mod prove;
mod settings;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use gates::Gates;
pub use prove::Proof;
pub use settings::{IsOurs, Rewrite, RewriteError};

use crate::azure::arm::{Arm, ArmError, ArmErrorKind, OperationStatus, Regeneration};
use crate::azure::data_plane::DataPlane;
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::observe;
use crate::report::cause;
use crate::store::LeaseProof;
use rekey_core::model::{KeyType, OperationUrl};

/// The hands of a pass over one instance.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Azure Resource Manager, bounded by the time of the pass.
    pub arm: &'a Arm,
    /// The service's own API.
    pub data_plane: &'a DataPlane,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The instance.
    pub instance: &'a ServiceConfig,
    /// Keeps passes over other instances from writing the same app.
    pub gates: &'a Gates,
    /// The site we run in, whose settings are written last.
    pub own_site: Option<&'a str>,
    /// How many apps are written at the same time.
    pub at_once: usize,
    /// When the pass must have answered.
    pub deadline: DateTime<Utc>,
}

/// How an operation goes.
#[derive(Debug)]
pub enum Progress {
    /// It goes on; ask again after so long.
    Running(Duration),
    /// Azure says that it succeeded.
    Succeeded,
    /// Azure says that it failed, and why.
    Failed(Failure),
    /// It can never be asked: Azure no longer knows it, or its URL leads off the host that we may ask. Why.
    Lost(ArmError),
}

/// Why a regeneration came to nothing.
#[derive(Debug)]
pub struct Failure {
    /// What was said of it.
    pub detail: String,
    /// Whether the next will fail alike, until a person does something about it.
    pub lasting: bool,
}

impl From<&ArmError> for Failure {
    fn from(error: &ArmError) -> Self {
        Self { detail: cause::told(error), lasting: !error.is_passing() }
    }
}

/// The waits between two polls where Azure names none (it does not for regenerations: Azure CLI recordings 2021 and
/// 2024). Regenerations took 13 to 75 s, so the first polls are close and the later ones far apart.
const POLLS: [u64; 5] = [1, 2, 4, 8, 15];

impl Actor<'_> {
    /// Sends the regeneration of a key. Whoever calls saw at `seen` that nobody holds it.
    ///
    /// The client looks at the clock just before it sends, the first time and again, and waits for the answer no longer
    /// than that. So a worker that was frozen after its journal write does not send when it thaws, and a request that
    /// Azure was too busy for is not sent again on the strength of an old look.
    pub async fn regenerate(
        &self,
        proof: &LeaseProof<'_>,
        seen: DateTime<Utc>,
        key_type: KeyType,
    ) -> Result<Regeneration, ArmError> {
        let until = proof.until().min(seen + observe::usable()).min(self.deadline);
        self.arm.until(until).regenerate_key(&self.instance.id, key_type).await
    }

    /// Asks once how an operation goes; `asked` says how often that was done before.
    pub async fn poll(&self, operation: &OperationUrl, asked: usize) -> Result<Progress, ArmError> {
        Ok(match self.arm.operation(operation).await {
            Ok(OperationStatus::Succeeded) => Progress::Succeeded,
            Ok(OperationStatus::Failed { code, message, lasting }) => {
                Progress::Failed(Failure { detail: format!("{code}: {message}"), lasting })
            }
            Ok(OperationStatus::Running { retry_after }) => {
                let usual = Duration::from_secs(POLLS[asked.min(POLLS.len() - 1)]);
                Progress::Running(retry_after.unwrap_or(usual))
            }
            Err(error) if matches!(error.kind(), ArmErrorKind::Gone | ArmErrorKind::Elsewhere) => {
                Progress::Lost(error)
            }
            Err(error) => return Err(error),
        })
    }
}
