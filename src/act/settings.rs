//! Writing a key into the settings of an app without losing anything of them.
//!
//! ARM's PUT replaces the whole dictionary and has no ETag (ARM swagger 2023-12-01,
//! WebApps_UpdateApplicationSettings), so the dictionary is read just before, only the keys in it are replaced, and
//! Azure's answer is compared with what was sent. What another writer does between that read and the PUT, one round
//! trip, cannot be seen by anybody; what he does after it is seen by the next look, before any key is regenerated.

use std::time::Duration;

use chrono::TimeDelta;
use futures::{FutureExt, StreamExt, stream};

use super::Actor;
use crate::azure::arm::{ArmError, ArmErrorKind, Settings};
use crate::observe::Look;
use crate::store::LeaseProof;
use rekey_core::model::{AppId, ConnectionString, Key, Section};
use rekey_core::plan::ConsumerRef;

/// How often a write is merged anew when Azure is busy with the app, lost the answer, or another writer came between.
const MERGES: u32 = 4;

/// How many rounds of apps are written on one proof of the lease: four, each a second or two, fit many times into the
/// minute that it is good for.
const ROUNDS: usize = 4;

/// The wait before merging anew. App Service answers 409 while it applies the last change.
const AGAIN: Duration = Duration::from_secs(2);

/// How long ago a look may have read a dictionary that is written back without reading it again: about as long as
/// reading it again takes. It spares a repaired app a round trip while its clients are failing.
fn just_before() -> TimeDelta {
    TimeDelta::seconds(1)
}

/// One dictionary that was rewritten, or was found to be as wanted.
#[derive(Debug)]
pub struct Rewrite {
    /// The app.
    pub app: AppId,
    /// The dictionary.
    pub section: Section,
    /// What it holds now.
    pub settings: Settings,
}

/// Why a dictionary was not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// Azure refused or did not answer.
    Arm {
        /// The app.
        app: AppId,
        /// What Azure said.
        #[source]
        error: ArmError,
    },
    /// What was written is not what is there.
    Overwritten {
        /// The app.
        app: AppId,
        /// The dictionary.
        section: Section,
    },
}

impl RewriteError {
    /// Whether to try again soon helps: Azure is busy, nobody knows what it did, or somebody else was at it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Arm { error, .. } => error.is_passing() || error.kind() == ArmErrorKind::OutcomeUnknown,
            Self::Overwritten { .. } => true,
        }
    }

    /// Whether there was no time left to send the write.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Arm { error, .. } if error.kind() == ArmErrorKind::OutOfTime)
    }
}

/// Tells whether a connection string is the instance's: by the time of the write it may be another's.
pub type IsOurs<'a> = &'a (dyn Fn(&ConnectionString) -> bool + Sync);

/// The consumers of one dictionary.
struct Target<'a> {
    app: &'a AppId,
    section: Section,
    names: Vec<&'a str>,
}

impl Actor<'_> {
    /// The consumers in batches for [`Actor::repoint`], with all that are of one app in the same batch, and the site
    /// that we run in last.
    pub fn batches(&self, consumers: &[ConsumerRef]) -> Vec<Vec<ConsumerRef>> {
        let mut sorted = consumers.to_vec();
        sorted.sort_by_cached_key(|consumer| (self.is_own_app(&consumer.app), consumer.app.clone()));
        let apps: Vec<_> = sorted.chunk_by(|a, b| a.app == b.app).collect();
        apps.chunks(ROUNDS * self.at_once).map(<[_]>::concat).collect()
    }

    /// Writes `key` into consumers, all apps at once and each by itself; the site that we run in comes last, because
    /// writing its settings restarts us. One PUT for each dictionary: each PUT restarts its app.
    ///
    /// Nothing is sent once the proof has ended: by then another worker may be at work, and the key no longer valid.
    pub async fn repoint(
        &self,
        proof: &LeaseProof<'_>,
        look: &Look,
        is_ours: IsOurs<'_>,
        key: &Key,
        consumers: &[ConsumerRef],
    ) -> Vec<Result<Rewrite, RewriteError>> {
        let arm = self.arm.until(self.deadline.min(proof.until()));
        let hands = Actor { arm: &arm, ..*self };
        let (own, others): (Vec<_>, Vec<_>) =
            targets(consumers).into_iter().partition(|target| self.is_own_app(target.app));
        let mut done = Vec::new();
        for group in [others, own] {
            let rewrites = group.into_iter().map(|target| hands.rewrite(look, is_ours, key, target).boxed());
            let rewrites: Vec<_> = rewrites.collect();
            done.extend(stream::iter(rewrites).buffer_unordered(self.at_once).collect::<Vec<_>>().await);
        }
        done
    }

    fn is_own_app(&self, app: &AppId) -> bool {
        self.own_site.is_some_and(|site| site.eq_ignore_ascii_case(app.site()))
    }

    async fn rewrite(
        &self,
        look: &Look,
        is_ours: IsOurs<'_>,
        key: &Key,
        target: Target<'_>,
    ) -> Result<Rewrite, RewriteError> {
        let mut last = None;
        for merge in 0..MERGES {
            if merge > 0 {
                self.clock.sleep(AGAIN).await;
            }
            match self.merge((merge == 0).then_some(look), is_ours, key, &target).await {
                Ok(Some(settings)) => {
                    return Ok(Rewrite { app: target.app.clone(), section: target.section, settings });
                }
                Ok(None) => last = None,
                Err(error) if may_be_merged_anew(&error) => last = Some(error),
                // That there was no time to try again is not why it failed.
                Err(error) if error.kind() == ArmErrorKind::OutOfTime && last.is_some() => break,
                Err(error) => return Err(RewriteError::Arm { app: target.app.clone(), error }),
            }
        }
        let app = target.app.clone();
        Err(match last {
            Some(error) => RewriteError::Arm { app, error },
            None => RewriteError::Overwritten { app, section: target.section },
        })
    }

    /// Reads, replaces the keys, writes, and compares; nothing if Azure's answer does not hold the new key.
    async fn merge(
        &self,
        look: Option<&Look>,
        is_ours: IsOurs<'_>,
        key: &Key,
        target: &Target<'_>,
    ) -> Result<Option<Settings>, ArmError> {
        let mut last_write = self.gates.enter(target.app).await;
        let is_current =
            |at| self.clock.now() < at + just_before() && last_write.is_none_or(|last| last < at);
        let before = match look.and_then(|look| look.settings(target.app, target.section)) {
            Some((settings, at)) if is_current(at) => settings.clone(),
            _ => self.arm.list_settings(target.app, target.section).await?,
        };
        let mut wanted = before.clone();
        for name in &target.names {
            replace_key(&mut wanted, name, is_ours, key);
        }
        // An app is not restarted for nothing.
        if wanted == before {
            return Ok(Some(before));
        }
        *last_write = Some(self.clock.now());
        let after = self.arm.update_settings(target.app, target.section, &wanted).await?;
        let took = target.names.iter().all(|name| after.expose(name) == wanted.expose(name));
        Ok(took.then_some(after))
    }
}

fn may_be_merged_anew(error: &ArmError) -> bool {
    matches!(error.kind(), ArmErrorKind::Conflict | ArmErrorKind::OutcomeUnknown)
}

/// Replaces the key in a consumer's connection string. What is there no longer, or is something else by now, is left
/// alone: the next look says what became of it.
fn replace_key(settings: &mut Settings, name: &str, is_ours: IsOurs<'_>, key: &Key) {
    let string = settings.expose(name).and_then(|value| ConnectionString::parse(value).ok());
    if let Some(string) = string.filter(|string| is_ours(string)) {
        settings.set_value(name, string.with_key(key).expose());
    }
}

fn targets(consumers: &[ConsumerRef]) -> Vec<Target<'_>> {
    let mut targets: Vec<Target<'_>> = Vec::new();
    for ConsumerRef { app, section, name } in consumers {
        match targets.iter_mut().find(|target| target.app == app && target.section == *section) {
            Some(target) => target.names.push(name),
            None => targets.push(Target { app, section: *section, names: vec![name] }),
        }
    }
    targets
}
