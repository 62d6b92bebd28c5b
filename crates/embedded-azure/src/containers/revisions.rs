//! Revisions of a container app and their replicas (docs: Azure Container Apps, Update and deploy changes; Manage secrets).
//!
//! A replica runs with what the secrets were when it was created. After a restart new replicas are created beside those that
//! run, which end when the new ones do their work.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::random::IdMaker;
use crate::traffic::Connection;

/// One revision.
pub(crate) struct Revision {
    pub(crate) name: String,
    pub(crate) created: DateTime<Utc>,
    /// As it was when the revision was made.
    pub(crate) template: Value,
    pub(crate) active: bool,
    /// How much of a hundred calls it is given.
    pub(crate) weight: u32,
    /// How many replicas the scaler wants of it while it is active.
    pub(crate) wanted: usize,
    /// Whether what is created from now on does not come to run.
    pub(crate) broken: bool,
    pub(crate) replicas: Vec<Replica>,
    /// When a restart creates its replicas.
    creates_at: Option<DateTime<Utc>>,
    /// How often it was restarted.
    generation: u64,
}

/// One replica.
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) created: DateTime<Utc>,
    pub(crate) runs: bool,
    /// What it signs with.
    pub(crate) connections: Vec<Connection>,
    /// When it begins to run, if it does.
    runs_at: Option<DateTime<Utc>>,
    generation: u64,
}

impl Revision {
    pub(crate) fn new(name: String, template: Value, now: DateTime<Utc>) -> Self {
        Self {
            name,
            created: now,
            template,
            active: true,
            weight: 0,
            wanted: 1,
            broken: false,
            replicas: Vec::new(),
            creates_at: None,
            generation: 0,
        }
    }

    /// Begins to replace all replicas; where there are to be none, nothing is created.
    pub(crate) fn restart(&mut self, creates_at: DateTime<Utc>) {
        self.generation += 1;
        self.creates_at = (self.active && self.wanted > 0).then_some(creates_at);
    }

    /// Makes it inactive, which ends its replicas.
    pub(crate) fn deactivate(&mut self) {
        self.active = false;
        self.weight = 0;
        self.replicas.clear();
        self.creates_at = None;
    }

    /// Ends the replicas beyond so many, and tells how many are missing.
    pub(crate) fn shrink(&mut self, wanted: usize) -> usize {
        self.wanted = wanted;
        if wanted == 0 {
            self.replicas.clear();
            self.creates_at = None;
            return 0;
        }
        if self.creates_at.is_some() {
            return 0;
        }
        let generation = self.generation;
        let mut left = wanted;
        self.replicas.retain(|replica| {
            let stays = replica.generation < generation || left > 0;
            left -= usize::from(stays && replica.generation == generation);
            stays
        });
        left
    }

    /// Creates replicas, which run `takes` later; at once if that is no time.
    pub(crate) fn create(
        &mut self,
        number: usize,
        connections: &[Connection],
        (now, takes): (DateTime<Utc>, TimeDelta),
        names: &mut IdMaker,
    ) {
        self.creates_at = None;
        for _ in 0..number {
            let tail = (names.opaque(9).to_lowercase(), names.opaque(5).to_lowercase());
            self.replicas.push(Replica {
                name: format!("{}-{}-{}", self.name, tail.0, tail.1),
                created: now,
                runs: false,
                connections: connections.to_vec(),
                runs_at: (!self.broken).then(|| now + takes),
                generation: self.generation,
            });
        }
        self.start(now);
    }

    /// Lets run whatever is due, ends what that replaces, and tells whether there was any.
    pub(crate) fn start(&mut self, now: DateTime<Utc>) -> bool {
        let mut began = false;
        for replica in self.replicas.iter_mut().filter(|one| one.runs_at.is_some_and(|due| due <= now)) {
            replica.runs_at = None;
            replica.runs = true;
            began = true;
        }
        let newest = self.replicas.iter().filter(|one| one.runs).map(|one| one.generation).max();
        if let Some(newest) = newest {
            self.replicas.retain(|replica| replica.generation >= newest);
        }
        began
    }

    /// What is created does not come to run any more, or all of it does after `takes`.
    pub(crate) fn set_broken(&mut self, broken: bool, (now, takes): (DateTime<Utc>, TimeDelta)) {
        self.broken = broken;
        for replica in self.replicas.iter_mut().filter(|one| !one.runs) {
            replica.runs_at = (!broken).then(|| now + takes);
        }
    }

    /// Whether a restart is to create its replicas by now.
    pub(crate) fn is_to_create(&self, now: DateTime<Utc>) -> bool {
        self.creates_at.is_some_and(|due| due <= now)
    }

    /// When something changes by itself.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        let starts = self.replicas.iter().filter_map(|replica| replica.runs_at);
        starts.chain(self.creates_at).min()
    }

    /// Azure's word for its state. There are more than the swagger has (public issue azure-rest-api-specs#29102).
    pub(crate) fn running_state(&self, most: usize) -> &'static str {
        let running = self.replicas.iter().filter(|replica| replica.runs).count();
        let failing = self.replicas.iter().any(|replica| !replica.runs && replica.runs_at.is_none());
        match (self.active, running) {
            (false, _) => "Stopped",
            (true, 0) if failing => "ActivationFailed",
            (true, 0) if self.wanted == 0 => "ScaledToZero",
            (true, 0) => "Processing",
            (true, _) if failing => "Degraded",
            (true, running) if running >= most => "RunningAtMaxScale",
            (true, _) => "Running",
        }
    }

    pub(crate) fn health_state(&self, most: usize) -> &'static str {
        match self.running_state(most) {
            "Running" | "RunningAtMaxScale" => "Healthy",
            "ActivationFailed" | "Degraded" => "Unhealthy",
            _ => "None",
        }
    }
}
