//! One step, exactly as it was decided: check that the world is still as expected, do it, and see that it took.
//!
//! There are no choices left here. Whatever changes Azure asks for a [`LeaseProof`]. Start at [`Actor`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::Semaphore;

use super::check::{self, Check};
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, OperationStatus};
use crate::azure::consumers::{Change, Contents, Marks, Place, Versions, Written};
use crate::azure::data_plane::{DataPlane, Probe};
use crate::azure::services::{KeyService, Regeneration};
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::report::cause;
use crate::store::{AppLock, LeaseProof, LockError, Locker};
use rekey_core::model::{ConsumerId, Key, KeyPair, KeyType, OperationUrl, PerKey, ServiceType};
use rekey_core::plan::ConsumerRef;
use rekey_core::time::delta;

/// What a run over one service acts with.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Azure Resource Manager, bounded by the time of the run.
    pub arm: &'a Arm,
    /// The service's own API.
    pub data_plane: &'a DataPlane,
    pub clock: &'a dyn Clock,
    pub instance: &'a ServiceConfig,
    /// Keeps runs over other services from writing the same app.
    pub locks: Locker<'a>,
    /// The site we run in, whose settings are written last.
    pub own_site: Option<&'a str>,
    /// When the run must have answered.
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

/// What proving a key showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The service accepts the key.
    Accepted,
    /// It does not, or cannot be asked; what it said.
    Refused(String),
    /// The time of the run was over before enough calls were made, and none of the last was refused.
    OutOfTime,
}

/// One place that was rewritten, or was found to be as wanted.
#[derive(Debug)]
pub struct Rewrite {
    pub place: Place,
    /// What it holds now.
    pub contents: Contents,
    /// The id by which Azure's support finds the write, if one was sent.
    pub correlation: Option<String>,
}

/// Why a place was not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// Azure refused or did not answer.
    Arm {
        consumer: ConsumerId,
        /// What Azure said.
        #[source]
        error: ArmError,
    },
    /// The consumer could not be locked, so the place was not written.
    Locked {
        place: Place,
        #[source]
        error: LockError,
    },
    /// What was written is not what is there.
    Overwritten { place: Place },
    /// It was written so often in this run, and each time something else has changed it since.
    NotKept { place: Place, writes: u32 },
}

impl RewriteError {
    /// Whether to try again soon helps: Azure is busy, nobody knows what it did, or somebody else was at it.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Arm { error, .. } => error.is_passing() || error.kind() == ArmErrorKind::OutcomeUnknown,
            Self::Locked { error: LockError::Store(error), .. } => error.is_passing(),
            Self::Locked { error: LockError::Held(_), .. }
            | Self::Overwritten { .. }
            | Self::NotKept { .. } => true,
        }
    }

    /// Whether there was no time left to send the write, or to wait for whoever else writes the place.
    pub fn is_late(&self) -> bool {
        match self {
            Self::Arm { error, .. } => error.kind() == ArmErrorKind::OutOfTime,
            Self::Locked { error, .. } => matches!(error, LockError::Held(_)),
            Self::Overwritten { .. } | Self::NotKept { .. } => false,
        }
    }
}

/// How often a write is merged anew when Azure is busy with the app, lost the answer, or another writer came between.
const MERGES: u32 = 4;

/// How many places of a service are written at the same time, as far as Azure's limit of requests goes.
const PLACES_AT_ONCE: usize = 100;

/// How many apps are written on one proof of the lease, which is good for a minute: where nothing is left of Azure's limit,
/// which gives ten requests a second back, reading and writing a hundred takes twenty seconds.
const BATCH: usize = 100;

/// The wait before merging anew. App Service answers 409 while it applies the last change.
const AGAIN: Duration = Duration::from_secs(2);

/// How long ago a check may have read a place that is written back without reading it again: about as long as reading it
/// again takes. It spares a repaired app a round trip while its clients are failing.
const JUST_BEFORE: TimeDelta = TimeDelta::seconds(1);

/// The consumers of one place.
struct Target<'a> {
    place: Place,
    names: Vec<&'a str>,
}

/// What a write rests on.
#[derive(Clone, Copy)]
struct Basis<'a> {
    check: &'a Check,
    marks: Marks<'a>,
    key: &'a Key,
    only_stale: bool,
}

/// The waits between two polls where Azure names none (it does not for regenerations: Azure CLI recordings 2021 and
/// 2024). Regenerations took 13 to 75 s, so the first polls are close and the later ones far apart.
const POLLS: [u64; 6] = [1, 1, 2, 4, 7, 15];

/// How many probes in a row must be accepted, and how far apart. A new key was seen to be refused now and then by
/// single nodes while it spreads (azure-signalr#2197); four in three seconds meet several of them.
const IN_A_ROW: u32 = 4;
const APART: Duration = Duration::from_secs(1);

/// How many probes one step makes at most before it reports what the service says.
const PROBES: u32 = 15;

/// How often the service is asked about two keys that it both refuses before stale consumers are moved all the same: they
/// are failing already, and one of the two is about to work.
const SOUNDINGS: u32 = 3;

impl Actor<'_> {
    /// Sends the regeneration of a key. Whoever calls saw at `seen` that nobody holds it.
    ///
    /// The client looks at the clock just before it sends, the first time and again, and waits for the answer no longer
    /// than that. So a worker that was frozen after its journal write does not send when it thaws, and a request that
    /// Azure was too busy for is not sent again on the strength of an old check.
    pub async fn regenerate(
        &self,
        proof: &LeaseProof<'_>,
        seen: DateTime<Utc>,
        key_type: KeyType,
    ) -> Result<Regeneration, ArmError> {
        let until = proof.until().min(seen + check::USABLE).min(self.deadline);
        let arm = self.arm.until(until).resending_until(seen + check::USABLE_AGAIN);
        self.service().regenerate(&arm, &self.instance.id, key_type).await
    }

    /// Asks once how an operation goes; `asked` says how often that was done before.
    pub async fn poll(&self, operation: &OperationUrl, asked: usize) -> Result<Progress, ArmError> {
        Ok(match self.service().follow(self.arm, operation).await {
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

    /// Asks the service once about both keys, and again for as long as it refuses both; those that it refuses. A service
    /// that cannot be asked refuses nothing.
    pub async fn sound_out(&self, host: &str, keys: &KeyPair) -> PerKey<bool> {
        let mut refused = PerKey::default();
        for sounding in 0..SOUNDINGS {
            if sounding > 0 {
                self.clock.sleep(APART).await;
            }
            let ask = |key_type| self.service().probe(self.data_plane, host, &keys[key_type]);
            let (primary, secondary) = futures::join!(ask(KeyType::Primary), ask(KeyType::Secondary));
            let is_refusal = |probe| matches!(probe, Probe::Refused { .. });
            refused = PerKey { primary: is_refusal(primary), secondary: is_refusal(secondary) };
            let next = self.clock.now() + delta(APART);
            if !(refused.primary && refused.secondary) || next >= self.deadline {
                break;
            }
        }
        refused
    }

    /// Signs one call with a key that was replaced by `new`. Whatever stands before the service may refuse every call, so that the
    /// old one is refused is known only where the new one is accepted the same way, in the same moment.
    pub async fn try_old(&self, host: &str, old: &Key, new: &Key) -> Probe {
        let answer = self.service().probe(self.data_plane, host, old).await;
        if !matches!(answer, Probe::Refused { .. }) {
            return answer;
        }
        match self.service().probe(self.data_plane, host, new).await {
            Probe::Accepted => answer,
            Probe::Refused { detail } | Probe::Unreachable { detail } => Probe::Unreachable { detail },
        }
    }

    /// Signs calls with a key until the service accepted several in a row, or has refused for a while.
    pub async fn prove(&self, host: &str, key: &Key) -> Acceptance {
        let (mut in_a_row, mut said) = (0, None);
        for _ in 0..PROBES {
            match self.service().probe(self.data_plane, host, key).await {
                Probe::Accepted => in_a_row += 1,
                Probe::Refused { detail } | Probe::Unreachable { detail } => {
                    (in_a_row, said) = (0, Some(detail));
                }
            }
            if in_a_row == IN_A_ROW {
                return Acceptance::Accepted;
            }
            let next = self.clock.now() + delta(APART);
            if next >= self.deadline {
                // A refusal before calls that were accepted is over.
                said = said.filter(|_| in_a_row == 0);
                break;
            }
            self.clock.sleep_until(next).await;
        }
        said.map_or(Acceptance::OutOfTime, Acceptance::Refused)
    }

    fn service(&self) -> ServiceType {
        self.instance.id.service_type()
    }
}

impl Actor<'_> {
    /// The secrets, for apps that refer to them fetch what is there; then the key-values, which may lead to them; then the apps;
    /// and last those of the site that we run in: writing its settings restarts us.
    pub fn in_order(&self, consumers: Vec<ConsumerRef>) -> [Vec<ConsumerRef>; 4] {
        let restarts_us = |consumer: &ConsumerRef| {
            let place = Place::of_consumer(consumer);
            self.own_site.zip(place).is_some_and(|(site, place)| place.restarts(site))
        };
        let (key_values, others): (Vec<_>, Vec<_>) =
            consumers.into_iter().partition(|consumer| matches!(consumer.app, ConsumerId::KeyValue(_)));
        let (secrets, apps): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|consumer| matches!(consumer.app, ConsumerId::KeyVaultSecret(_)));
        let (own, others) = apps.into_iter().partition(restarts_us);
        [secrets, key_values, others, own]
    }

    /// The consumers in batches for [`Actor::repoint`], with all that are of one app in the same batch.
    pub fn batches(&self, consumers: &[ConsumerRef]) -> Vec<Vec<ConsumerRef>> {
        let mut sorted = consumers.to_vec();
        sorted.sort_by(|a, b| a.app.cmp(&b.app));
        let apps: Vec<_> = sorted.chunk_by(|a, b| a.app == b.app).collect();
        apps.chunks(BATCH).map(<[_]>::concat).collect()
    }

    /// Writes `key` into consumers, all places at once and each by itself. One write for each place: each restarts its app. A
    /// consumer that holds several keys gets it in the place of all, or, to `repair` it, of the invalid ones.
    ///
    /// Nothing is sent once the proof has ended: by then another worker may be at work, and the key no longer valid.
    pub async fn repoint(
        &self,
        proof: &LeaseProof<'_>,
        check: &Check,
        marks: Marks<'_>,
        key: &Key,
        consumers: &[ConsumerRef],
        repair: bool,
    ) -> Vec<Result<Rewrite, RewriteError>> {
        let deadline = self.deadline.min(proof.until());
        let arm = self.arm.until(deadline);
        let actor = Actor { arm: &arm, deadline, ..*self };
        let (basis, room) = (Basis { check, marks, key, only_stale: repair }, Semaphore::new(PLACES_AT_ONCE));
        join_all(targets(consumers).into_iter().map(|target| actor.rewrite(basis, &room, target).boxed()))
            .await
    }

    /// Writes a place, where there is room: who waits for another task of this process takes none.
    async fn rewrite(
        &self,
        basis: Basis<'_>,
        room: &Semaphore,
        target: Target<'_>,
    ) -> Result<Rewrite, RewriteError> {
        let Target { place, names } = target;
        let versions = self.versions(basis, &place);
        let Basis { marks, key, only_stale, .. } = basis;
        let change = Change { names: &names, marks, key, versions: &versions, only_stale };
        let mut last = None;
        for merge in 0..MERGES {
            if merge > 0 {
                self.clock.sleep(AGAIN).await;
            }
            let mut lock = self.lock(&place, basis, room).await?;
            let arm = self.arm.traced();
            let actor = Actor { arm: &arm, ..*self };
            let written = actor.merge(&mut lock, (merge == 0).then_some(basis.check), &place, &change).await;
            if let Err(error) = &written
                && error.kind() == ArmErrorKind::OutcomeUnknown
            {
                lock.may_arrive(error.in_short(), self.clock.now());
            }
            let was_ours = lock.release().await;
            match written {
                // Who had the lock besides may have read before this was written.
                Ok(_) if !was_ours => last = None,
                Ok(Written::Already(contents) | Written::Accepted(contents)) => {
                    return Ok(Rewrite { place, contents, correlation: arm.trace() });
                }
                Ok(Written::Overwritten) => last = None,
                Err(error) if may_be_merged_anew(&error) => last = Some(error),
                // That there was no time to try again is not why it failed.
                Err(error) if error.kind() == ArmErrorKind::OutOfTime && last.is_some() => break,
                Err(error) => return Err(RewriteError::Arm { consumer: place.consumer(), error }),
            }
        }
        Err(match last {
            Some(error) => RewriteError::Arm { consumer: place.consumer(), error },
            None => RewriteError::Overwritten { place },
        })
    }

    /// What a place refers to, in the versions that hold the key. Who is repaired is given whatever is there, if it is valid:
    /// that need not be written.
    fn versions(&self, basis: Basis<'_>, place: &Place) -> Versions {
        let KeyPair { primary, secondary } = basis.check.keys();
        let keys = if basis.only_stale { vec![basis.key, primary, secondary] } else { vec![basis.key] };
        match place.consumer() {
            ConsumerId::KeyValue(id) => {
                let behind = basis.check.version_behind(&id, &keys).into_iter();
                behind.map(|(name, version)| (name, (None, version))).collect()
            }
            consumer @ ConsumerId::ContainerApp(_) => basis.check.versions_in_vaults(&consumer, &keys),
            consumer => {
                let app = self.instance.apps.iter().find(|app| ConsumerId::from(&app.id) == consumer);
                app.map(|app| basis.check.versions(place, app, self.instance, &keys)).unwrap_or_default()
            }
        }
    }

    /// Locks the consumer. Between processes that is needed where others may be at the place: those of another configured
    /// service, or, where another's connection string is in it, of a configuration that we do not see.
    async fn lock<'room>(
        &self,
        place: &Place,
        basis: Basis<'_>,
        room: &'room Semaphore,
    ) -> Result<AppLock<'room>, RewriteError>
    where
        Self: 'room,
    {
        let contents = basis.check.contents(place);
        let seen_shared = contents.is_some_and(|(contents, _)| place.holds_anothers(contents, basis.marks));
        let lock = self.locks.lock(&place.consumer(), seen_shared, room).await;
        lock.map_err(|error| RewriteError::Locked { place: place.clone(), error })
    }

    /// Writes once, while nobody else of ours writes the app. Where another process may, it is read under the lock.
    async fn merge(
        &self,
        lock: &mut AppLock<'_>,
        check: Option<&Check>,
        place: &Place,
        change: &Change<'_>,
    ) -> Result<Written<Contents>, ArmError> {
        let proves_until = lock.proves_until();
        let arm = proves_until.map_or_else(|| self.arm.clone(), |until| self.arm.no_later_than(until));
        let is_current = |at| {
            let last_written = lock.last_written();
            proves_until.is_none()
                && self.clock.now() < at + JUST_BEFORE
                && last_written.is_none_or(|last| last < at)
        };
        let just_read = check.and_then(|check| check.contents(place)).filter(|(_, at)| is_current(*at));
        let written = place.write(&arm, just_read.map(|(contents, _)| contents), change).await;
        if !matches!(written, Ok(Written::Already(_))) {
            lock.wrote(self.clock.now());
        }
        written
    }
}

fn may_be_merged_anew(error: &ArmError) -> bool {
    matches!(error.kind(), ArmErrorKind::Conflict | ArmErrorKind::OutcomeUnknown)
}

fn targets(consumers: &[ConsumerRef]) -> Vec<Target<'_>> {
    let mut targets: Vec<Target<'_>> = Vec::new();
    for consumer in consumers {
        let Some(place) = Place::of_consumer(consumer) else { continue };
        match targets.iter_mut().find(|target| target.place == place) {
            Some(target) => target.names.push(&consumer.name),
            None => targets.push(Target { place, names: vec![&consumer.name] }),
        }
    }
    targets
}
