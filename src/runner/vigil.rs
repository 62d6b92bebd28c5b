//! The watch: between two runs of the timer, the running process asks the service itself whether it still takes the keys
//! that consumers hold; and for the hour in which keys are announced to be regenerated, or the minutes after an event of a
//! regeneration that cannot be seen yet, it looks at them every few seconds.
//!
//! Both last as long as the process, which Functions may unload at any time; `RotateKeys` looks in any case.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;

use super::coalesce::outcome;
use super::wanted::Wanted;
use super::{Service, lock};
use crate::data_plane::Probe;
use crate::model::{InstanceId, Key};

/// How many refusals in a row say that a key is dead, and how far apart: single nodes of the service were seen to refuse
/// a good key now and then (azure-signalr#2197).
const REFUSALS: u32 = 3;
const APART: Duration = Duration::from_secs(1);

/// How often keys are looked at around the time for which their regeneration is announced, from when, and how long.
/// `listKeys` counts as a write, of which ARM gives back ten a second: one in ten seconds is a hundredth of that.
const CLOSE: Duration = Duration::from_secs(10);
const BEFORE: TimeDelta = TimeDelta::minutes(1);
const AFTER: TimeDelta = TimeDelta::hours(1);

/// How long after its event a regeneration comes into effect at the latest: the longest on record took 74 s.
const IN_EFFECT: TimeDelta = TimeDelta::minutes(3);

/// The longest wait for an announced time: a process does not live longer, and who announces earlier may say it again.
const FAR: TimeDelta = TimeDelta::days(1);

impl Service {
    /// Watches all instances for as long as the process lives.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        tracing::info!(
            "watching the data plane every {}; Functions may unload this process while nothing calls it, and then \
             RotateKeys alone looks",
            humantime::format_duration(every)
        );
        loop {
            self.rekey.clock.sleep(every).await;
            join_all(self.instances().iter().map(|instance| self.check(&instance.id))).await;
        }
    }

    /// Mends if the service refuses a key that consumers hold.
    async fn check(&self, instance: &InstanceId) {
        let Some(in_use) = self.rekey.in_use.get(instance) else {
            // Nobody has looked yet since the process was started; that look tells which keys there are.
            return self.look(instance, Wanted::look()).await;
        };
        for key in &in_use.keys {
            if let Some(detail) = self.refused(&in_use.host, key).await {
                tracing::warn!(
                    "{}: the service refuses a key that apps hold ({detail}); looking",
                    instance.name()
                );
                return self.look(instance, Wanted::look()).await;
            }
        }
    }

    /// What the service says, if it refuses a key several times in a row.
    async fn refused(&self, host: &str, key: &Key) -> Option<String> {
        let mut said = None;
        for probe in 0..REFUSALS {
            if probe > 0 {
                self.rekey.clock.sleep(APART).await;
            }
            match self.rekey.data_plane.probe(host, key).await {
                Probe::Refused { detail } => said = Some(detail),
                Probe::Accepted => return None,
                Probe::Unreachable { detail } => {
                    tracing::debug!("the watch learned nothing: {detail}");
                    return None;
                }
            }
        }
        said
    }

    /// Looks, and tells of it in the log: nobody waits for an answer.
    async fn look(&self, instance: &InstanceId, wanted: Wanted) {
        match outcome(self.ask(instance, wanted).done).await {
            Some(Ok(Some(report))) if !report.ending.is_answered() => {
                tracing::error!("the watch could not mend it; RotateKeys carries on: {}", report.summary());
            }
            Some(Err(panicked)) => tracing::error!("{}: {panicked}", instance.name()),
            _ => {}
        }
    }

    /// Looks at the keys every few seconds around the time for which their regeneration is announced.
    pub(super) fn watch_announced(self: &Arc<Self>, instance: &InstanceId, at: DateTime<Utc>) {
        if at - self.rekey.clock.now() <= FAR {
            self.watch_closely(instance, at - BEFORE, at + AFTER);
        }
    }

    /// Looks at the keys every few seconds after an event of a regeneration that cannot be seen yet.
    pub(super) fn watch_puzzling(self: &Arc<Self>, instance: &InstanceId) {
        let now = self.rekey.clock.now();
        self.watch_closely(instance, now + CLOSE, now + IN_EFFECT);
    }

    fn watch_closely(self: &Arc<Self>, instance: &InstanceId, from: DateTime<Utc>, until: DateTime<Utc>) {
        let known = self.instances().iter().any(|known| known.id == *instance);
        if !known || until <= self.rekey.clock.now() {
            return;
        }
        // Who is watched already is watched until the later of the two.
        let mut closely = lock(&self.closely);
        let watched = closely.get(instance).copied();
        closely.insert(instance.clone(), watched.map_or(until, |watched| watched.max(until)));
        drop(closely);
        if watched.is_none() {
            tokio::spawn(Arc::clone(self).closely(instance.clone(), from));
        }
    }

    async fn closely(self: Arc<Self>, instance: InstanceId, from: DateTime<Utc>) {
        tracing::info!("{}: its keys are looked at every {CLOSE:?} from {from} on", instance.name());
        self.rekey.clock.sleep_until(from).await;
        while self.is_watched_closely(&instance) {
            self.look(&instance, Wanted::default()).await;
            self.rekey.clock.sleep(CLOSE).await;
        }
    }

    fn is_watched_closely(&self, instance: &InstanceId) -> bool {
        let mut closely = lock(&self.closely);
        let goes_on = closely.get(instance).is_some_and(|until| self.rekey.clock.now() < *until);
        if !goes_on {
            closely.remove(instance);
        }
        goes_on
    }
}
