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

use crate::arm::{Arm, ArmError, ArmErrorKind, OperationStatus, Regeneration};
use crate::clock::{Clock, delta};
use crate::config::InstanceConfig;
use crate::data_plane::DataPlane;
use crate::model::{KeyType, OperationUrl};
use crate::store::{Lease, LeaseProof, StoreError};

/// The hands of a pass over one instance.
#[derive(Debug)]
pub struct Actor<'a> {
    /// Azure Resource Manager, bounded by the time of the pass.
    pub arm: &'a Arm,
    /// The service's own API.
    pub data_plane: &'a DataPlane,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The instance.
    pub instance: &'a InstanceConfig,
    /// Keeps passes over other instances from writing the same app.
    pub gates: &'a Gates,
    /// The site we run in, whose settings are written last.
    pub own_site: Option<&'a str>,
    /// When the pass must have answered.
    pub deadline: DateTime<Utc>,
}

/// How following an operation ended.
#[derive(Debug)]
pub enum Followed {
    /// Azure says that it succeeded.
    Succeeded,
    /// Azure says that it failed, and why.
    Failed(String),
    /// Azure no longer knows the operation.
    Forgotten,
    /// The time of the pass ended first.
    Unfinished,
}

/// The waits between two polls where Azure names none (it does not for regenerations: Azure CLI recordings 2021 and
/// 2024). Regenerations took 13 to 75 s, so the first polls are close and the later ones far apart.
const POLLS: [u64; 5] = [1, 2, 4, 8, 15];

impl Actor<'_> {
    /// Sends the regeneration of a key. Whoever calls has just seen that nobody holds it.
    pub async fn regenerate(
        &self,
        _proof: &LeaseProof<'_>,
        key_type: KeyType,
    ) -> Result<Regeneration, ArmError> {
        self.arm.regenerate_key(&self.instance.id, key_type).await
    }

    /// Asks how an operation goes until it ends or the time does, and keeps the lease meanwhile.
    pub async fn follow(&self, lease: &mut Lease, operation: &OperationUrl) -> Result<Followed, FollowError> {
        for poll in 0.. {
            let asked = match self.arm.operation(operation).await {
                Ok(OperationStatus::Succeeded) => return Ok(Followed::Succeeded),
                Ok(OperationStatus::Failed { code, message }) => {
                    return Ok(Followed::Failed(format!("{code}: {message}")));
                }
                Ok(OperationStatus::Running { retry_after }) => retry_after,
                Err(error) if error.kind() == ArmErrorKind::Gone => return Ok(Followed::Forgotten),
                Err(error) if error.kind() == ArmErrorKind::OutOfTime => return Ok(Followed::Unfinished),
                Err(error) => return Err(error.into()),
            };
            let wait = asked.unwrap_or_else(|| Duration::from_secs(POLLS[POLLS.len().min(poll + 1) - 1]));
            let next = self.clock.now() + delta(wait);
            if next >= self.deadline {
                return Ok(Followed::Unfinished);
            }
            self.clock.sleep_until(next).await;
            lease.keep().await?;
        }
        Ok(Followed::Unfinished)
    }
}

/// Why following ended before the operation.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Azure could not be asked.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// The lease is lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}
