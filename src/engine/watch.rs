//! The watch: between two runs of the timer, the running process asks the service itself whether it still takes the keys
//! that consumers hold.
//!
//! It lasts as long as the process, which Functions unloads half a minute after its last call unless `alwaysReady` keeps it;
//! `RotateKeys` looks in any case.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::join_all;

use super::Dispatcher;
use super::coalesce::outcome;
use crate::azure::data_plane::Probe;
use crate::azure::services::KeyService;
use crate::report::text::{rounded, run as words};
use rekey_core::intent::Intent;
use rekey_core::model::{Key, ServiceId};

/// How many refusals in a row say that a key is dead, and how far apart: single nodes of the service were seen to refuse
/// a good key now and then (azure-signalr#2197).
const REFUSALS: u32 = 3;
const APART: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// Watches all instances for as long as the process lives.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        tracing::info!("{}", words::watching_the_data_plane(rounded(every)));
        loop {
            self.engine().clock.sleep(every).await;
            join_all(self.engine().config.instances.iter().map(|service| self.check(&service.id))).await;
        }
    }

    /// Repairs if the service refuses a key that consumers hold.
    async fn check(&self, service: &ServiceId) {
        let Some(in_use) = self.engine().in_use.get(service) else {
            // Nobody has looked yet since the process was started; that check tells which keys there are.
            return self.run(service, Intent::check()).await;
        };
        for key in &in_use.keys {
            if let Some(detail) = self.refused(service, &in_use.host, key).await {
                tracing::warn!("{}", words::refused_in_use(service.name(), &detail));
                return self.run(service, Intent::check()).await;
            }
        }
    }

    /// What the service says, if it refuses a key several times in a row.
    async fn refused(&self, service: &ServiceId, host: &str, key: &Key) -> Option<String> {
        let mut said = None;
        for probe in 0..REFUSALS {
            if probe > 0 {
                self.engine().clock.sleep(APART).await;
            }
            match service.service_type().probe(&self.engine().data_plane, host, key).await {
                Probe::Refused { detail } => said = Some(detail),
                Probe::Accepted => return None,
                Probe::Unreachable { detail } => {
                    tracing::debug!("{}", words::watch_learned_nothing(&detail));
                    return None;
                }
            }
        }
        said
    }

    /// Looks, and tells of it in the log: nobody waits for an answer.
    async fn run(&self, service: &ServiceId, intent: Intent) {
        let ended = outcome(self.ask(service, intent).done).await;
        if let Some(metrics) = &self.engine().metrics {
            metrics.flush(DateTime::<Utc>::MAX_UTC).await;
        }
        match ended {
            Some(Ok(Some(report))) if !report.ending.is_answered() => {
                tracing::error!("{}", words::not_repaired_by_watch(report.summary()));
            }
            Some(Err(panicked)) => tracing::error!("{}: {panicked}", service.name()),
            _ => {}
        }
    }
}
