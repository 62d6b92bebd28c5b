//! The people who pause, approve and cure, and which apps fall ill. They act between runs; the storage is whole then, and at
//! worst a dead worker's lease is in the way.
//!
//! Start at [`Care::begin_round`].

use std::collections::BTreeMap;

use chrono::TimeDelta;
use embedded_azure::{Key, KeyType};
use fastrand::Rng;

use super::held::{Ill, holds};
use super::run::Storm;
use crate::clock::Clock;
use crate::demo::Trouble;
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use rekey_core::model::ServiceId;
use rekey_core::plan::{self, Approving, BlockedBy, Decision, Due, WaitFor};

/// Those who pause, approve and cure, and what happens to the apps. They act between runs.
pub(super) struct Care {
    rng: Rng,
    /// What was approved before.
    approved: Option<Due>,
    counts: BTreeMap<&'static str, u64>,
}

impl Care {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed ^ 0xca4e), approved: None, counts: BTreeMap::new() }
    }

    /// How often which of it happened.
    pub(super) const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn chance(&mut self, percent: u8, what: &'static str) -> bool {
        let happens = self.rng.u8(0..100) < percent;
        if happens {
            *self.counts.entry(what).or_default() += 1;
        }
        happens
    }

    /// What happens before the runs of one round.
    pub(super) async fn begin_round(&mut self, storm: &mut Storm) -> Result<(), Trouble> {
        let round = storm.rounds;
        storm.health.ill.lock().retain(|_, ill| round < ill.until);
        let services: Vec<ServiceId> = storm.config.instances.iter().map(|known| known.id.clone()).collect();
        for service in &services {
            let decision = storm.decision(service).cloned();
            if !matches!(decision, Some(Decision::Settled { .. })) {
                self.fall_ill(storm, service);
            }
            match decision {
                Some(Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. })
                | Some(Decision::Blocked(BlockedBy::NotApproved(due))) => {
                    self.approve(storm, service, due).await?;
                }
                Some(Decision::Waiting { reason: WaitFor::Pause(_), .. }) if self.chance(20, "resumed") => {
                    let resumed = storm.record(service.name(), Event::Resumed { by: "ada".into() }).await;
                    if resumed {
                        storm.judge.resumed(service.name());
                    }
                }
                Some(Decision::Blocked(BlockedBy::Unhealthy { .. })) if self.chance(30, "unblocked") => {
                    if self.rng.u8(0..4) > 0 {
                        storm.health.ill.lock().retain(|app, _| !app.contains(service.name()));
                    }
                    storm.judge.unblocked(service.name(), storm.clock.now());
                    storm.record(service.name(), Event::Unblocked {}).await;
                }
                _ if self.chance(1, "paused") => {
                    let (now, by, why) = (storm.clock.now(), "ada".into(), "an audit".into());
                    let until = now + TimeDelta::hours(self.rng.i64(1..40));
                    if storm.record(service.name(), Event::Paused { until, by, why }).await {
                        storm.judge.paused(service.name(), now, until);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An app is not well; with the key that it does not have yet, mostly.
    fn fall_ill(&mut self, storm: &Storm, service: &ServiceId) {
        let apps = ["web-NAME", "web-NAME/staging", "func-NAME"];
        let app = apps[self.rng.usize(0..apps.len())].replace("NAME", service.name());
        let Some(held) = holds(&storm.azure, &app) else { return };
        let (with, rounds) = if self.chance(4, "app that does not come back") {
            let other = KeyType::ALL.into_iter().find(|key_type| *key_type != held);
            (other, self.rng.u64(5..60))
        } else if self.chance(2, "app unwell") {
            (None, self.rng.u64(1..8))
        } else {
            return;
        };
        storm.health.ill.lock().insert(app, Ill { with, until: storm.rounds + rounds });
    }

    /// Sooner or later a person approves: by the command, or by an event, which is sent again, or was on its way for too long, or
    /// tells of a rotation that is over.
    async fn approve(&mut self, storm: &mut Storm, service: &ServiceId, due: Due) -> Result<(), Trouble> {
        if self.rng.u8(0..100) < 70 {
            return Ok(());
        }
        let now = storm.clock.now();
        let event = |due: &Due, at| Approving { key: due.key.clone(), by: "bob".into(), at };
        let events = match self.rng.u8(0..5) {
            0 => {
                if self.chance(100, "approved") && storm.approve(service, &due).await {
                    self.approved = Some(due);
                }
                return Ok(());
            }
            1 if self.chance(100, "approval expired") => vec![event(&due, now - TimeDelta::days(20))],
            2 if self.chance(100, "approval of a rotation that is over") => {
                self.approved.iter().filter(|past| past.key != due.key).map(|past| event(past, now)).collect()
            }
            3 if self.chance(100, "approved twice") => vec![event(&due, now), event(&due, now)],
            _ => vec![event(&due, now - TimeDelta::hours(self.rng.i64(0..30)))],
        };
        for approving in events {
            if approving.key == due.key && now - TimeDelta::days(2) < approving.at {
                storm.judge.approved(service.name(), &due.key, &storm.keys(service));
                self.approved = Some(due.clone());
            }
            storm.run(service, Intent::approval(approving), None).await?;
        }
        Ok(())
    }

    /// Whoever is waited for does what he has to, and all apps are well.
    pub(super) async fn see_to_all(storm: &mut Storm) {
        storm.health.ill.lock().clear();
        let services: Vec<ServiceId> = storm.config.instances.iter().map(|known| known.id.clone()).collect();
        for service in &services {
            let name = service.name();
            match storm.decision(service).cloned() {
                Some(Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. })
                | Some(Decision::Blocked(BlockedBy::NotApproved(due))) => {
                    storm.approve(service, &due).await;
                }
                Some(Decision::Waiting { reason: WaitFor::Pause(_), .. }) => {
                    storm.judge.resumed(name);
                    storm.record(name, Event::Resumed { by: "ada".into() }).await;
                }
                Some(Decision::Blocked(BlockedBy::Unhealthy { .. })) => {
                    storm.judge.unblocked(name, storm.clock.now());
                    storm.record(name, Event::Unblocked {}).await;
                }
                _ => {}
            }
        }
    }
}

impl Storm {
    /// The keys that a service has now.
    pub(super) fn keys(&self, service: &ServiceId) -> Vec<Key> {
        let keys = self.azure.keys(service.name()).map(|keys| vec![keys.primary, keys.secondary]);
        keys.unwrap_or_default()
    }

    /// A person approves a rotation by the command. Whether it is on record.
    async fn approve(&mut self, service: &ServiceId, due: &Due) -> bool {
        self.judge.approved(service.name(), &due.key, &self.keys(service));
        let known = self.config.instances.iter().find(|known| known.id == *service);
        let Some(policy) = known.map(|known| &known.policy) else { return false };
        let event = plan::approves(due, "ada".into(), false, policy, self.clock.now());
        self.record(service.name(), event).await
    }
}
