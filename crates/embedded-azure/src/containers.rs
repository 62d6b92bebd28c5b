//! Container apps and jobs: what they are, what their replicas and executions run with, and what becomes of them in time
//! (docs: Azure Container Apps, Manage secrets; Jobs in Azure Container Apps).

pub(crate) mod revisions;
pub(crate) mod secrets;
pub(crate) mod template;
pub(crate) mod writes;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use self::revisions::Revision;
use self::secrets::Secret;
use crate::clients::Clients;
use crate::ids::{ContainerId, ContainerKind};
use crate::platform::Platform;
use crate::random::IdMaker;
use crate::service::Service;
use crate::traffic::{Connection, read_connections};
use crate::world::containers::InitialContainer;

/// A container app or a job.
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    /// What it is but for its secrets: `tags`, and `properties` with `configuration` and `template`.
    pub(crate) document: Value,
    pub(crate) secrets: Vec<Secret>,
    /// Of an app; the oldest first, and there is at least one.
    pub(crate) revisions: Vec<Revision>,
    /// Of a job; the oldest first.
    pub(crate) executions: Vec<Execution>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) modified: DateTime<Utc>,
    /// Whether the last change of it went wrong.
    pub(crate) failed: bool,
    pub(crate) deleted: bool,
    pub(crate) clients: Clients,
}

/// One execution of a job. It ends with the secrets that it began with.
pub(crate) struct Execution {
    pub(crate) name: String,
    pub(crate) started: DateTime<Utc>,
    /// When it ended, and as what.
    pub(crate) ended: Option<(DateTime<Utc>, &'static str)>,
    connections: Vec<Connection>,
}

/// What new replicas and executions are made with.
pub(crate) struct Making<'a> {
    pub(crate) services: &'a [Service],
    pub(crate) names: &'a mut IdMaker,
    pub(crate) now: DateTime<Utc>,
    /// How long a replica takes from its creation until it runs, and from a restart until it is created.
    pub(crate) half: TimeDelta,
}

/// How many executions are remembered (docs: Jobs in Azure Container Apps, the last hundred); those that run always are.
const MOST_EXECUTIONS: usize = 100;

impl Container {
    /// As the world file has it, with everything that is to run running.
    pub(crate) fn new(spec: InitialContainer, platform: &Platform<'_>, making: &mut Making<'_>) -> Self {
        let InitialContainer { id, document, secrets, revisions, wanted, executions } = spec;
        let now = making.now;
        let clients = Clients::named(id.label());
        let mut container = Self {
            document,
            secrets: secrets.into_iter().map(Secret::new).collect(),
            revisions: Vec::new(),
            executions: Vec::new(),
            created: now,
            modified: now,
            failed: false,
            deleted: false,
            clients,
            id,
        };
        let label = container.id.label();
        // A reference that leads nowhere gives an empty secret: such an app could not have been made.
        container.secrets.iter_mut().for_each(|secret| {
            let _ = secret.fetch(&label, platform);
        });
        if container.id.kind == ContainerKind::Job {
            (0..executions).for_each(|_| drop(container.execute(making)));
            return container;
        }
        let template = container.document["properties"]["template"].clone();
        for (name, older) in revisions {
            let mut revision = Revision::new(name, template.clone(), now);
            (revision.active, revision.weight, revision.wanted) =
                (older.active, older.weight, older.replicas);
            container.revisions.push(revision);
        }
        let mut newest = Revision::new(format!("{}--0000001", container.id.name), template, now);
        let given: u32 = container.revisions.iter().map(|revision| revision.weight).sum();
        (newest.weight, newest.wanted) = (100_u32.saturating_sub(given), wanted);
        container.revisions.push(newest);
        for at in 0..container.revisions.len() {
            let connections = container.connections(at, making.services);
            let revision = &mut container.revisions[at];
            let number = if revision.active { revision.wanted } else { 0 };
            revision.create(number, &connections, (now, TimeDelta::zero()), making.names);
        }
        container.run();
        container
    }

    /// Whether only the newest revision may be active.
    pub(crate) fn is_single(&self) -> bool {
        let mode = self.document["properties"]["configuration"]["activeRevisionsMode"].as_str();
        mode.is_none_or(|mode| !mode.eq_ignore_ascii_case("Multiple"))
    }

    pub(crate) fn template(&self) -> &Value {
        &self.document["properties"]["template"]
    }

    /// The most replicas of a revision (swagger: Scale, 10 if it is not said).
    pub(crate) fn most_replicas(&self) -> usize {
        let most = self.template()["scale"]["maxReplicas"].as_u64().unwrap_or(10);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// What containers by a template read when they start.
    pub(crate) fn reads<'a>(&'a self, template: &'a Value) -> Vec<&'a str> {
        let mounted = template::mounted(template);
        let is_read = |secret: &&Secret| {
            template::in_variables(template).any(|(_, name)| name == secret.name)
                || mounted.as_ref().is_none_or(|names| names.contains(secret.name.as_str()))
        };
        let secrets = self.secrets.iter().filter(is_read).filter_map(|secret| secret.value.as_deref());
        secrets.chain(template::literals(template)).collect()
    }

    /// What a replica of a revision signs with if it is created now.
    fn connections(&self, revision: usize, services: &[Service]) -> Vec<Connection> {
        read_connections(&self.reads(&self.revisions[revision].template), services)
    }

    /// What it signs with once everything that is active was restarted, and what runs of a job has ended.
    pub(crate) fn would_sign(&self, services: &[Service]) -> Vec<Connection> {
        let active = (0..self.revisions.len()).filter(|at| self.revisions[*at].active);
        match self.id.kind {
            ContainerKind::App => active.flat_map(|at| self.connections(at, services)).collect(),
            ContainerKind::Job => read_connections(&self.reads(self.template()), services),
        }
    }

    /// Lets its clients meet what runs now.
    pub(crate) fn run(&mut self) {
        let Self { revisions, executions, clients, .. } = self;
        let replicas =
            revisions.iter().flat_map(|revision| &revision.replicas).filter(|replica| replica.runs);
        let running = executions.iter().filter(|execution| execution.ended.is_none());
        let of_executions = running.flat_map(|execution| &execution.connections);
        clients.run(replicas.flat_map(|replica| &replica.connections).chain(of_executions));
    }

    /// When something changes by itself.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.revisions.iter().filter_map(Revision::next).min()
    }

    /// Does what is due, and tells whether anything began to run by that.
    pub(crate) fn work_off(&mut self, making: &mut Making<'_>) -> bool {
        let now = making.now;
        if self.deleted || self.next().is_none_or(|next| next > now) {
            return false;
        }
        let mut began = false;
        for at in 0..self.revisions.len() {
            if self.revisions[at].is_to_create(now) {
                let connections = self.connections(at, making.services);
                let revision = &mut self.revisions[at];
                revision.create(revision.wanted, &connections, (now, making.half), making.names);
            }
            began |= self.revisions[at].start(now);
        }
        self.supersede();
        self.run();
        began
    }

    /// Makes a revision of its template, which takes over when it runs if only one may be active.
    pub(crate) fn revise(&mut self, making: &Making<'_>) {
        let template = self.template().clone();
        let suffix = template["revisionSuffix"].as_str().filter(|suffix| !suffix.is_empty());
        let suffix = suffix.map_or_else(|| format!("{:07}", self.revisions.len() + 1), str::to_owned);
        let wanted = self.revisions.last().map_or(1, |newest| newest.wanted.max(1));
        let mut revision = Revision::new(format!("{}--{suffix}", self.id.name), template, making.now);
        revision.wanted = wanted;
        revision.restart(making.now + making.half);
        self.revisions.push(revision);
    }

    /// In single mode the newest revision takes everything over as soon as it runs.
    pub(crate) fn supersede(&mut self) {
        let is_single = self.is_single();
        let Some((newest, older)) = self.revisions.split_last_mut() else { return };
        if is_single && newest.replicas.iter().any(|replica| replica.runs) {
            older.iter_mut().for_each(Revision::deactivate);
            newest.weight = 100;
        }
    }

    /// Has a revision so many replicas; what is added reads the secrets of now.
    pub(crate) fn scale(&mut self, revision: usize, replicas: usize, making: &mut Making<'_>) {
        let missing = self.revisions[revision].shrink(replicas);
        if missing > 0 && self.revisions[revision].active {
            let connections = self.connections(revision, making.services);
            let when = (making.now, making.half);
            self.revisions[revision].create(missing, &connections, when, making.names);
        }
        self.run();
    }

    /// Begins an execution of a job, and tells its name.
    pub(crate) fn execute(&mut self, making: &mut Making<'_>) -> String {
        let name = format!("{}-{}", self.id.name, making.names.opaque(7).to_lowercase());
        let connections = read_connections(&self.reads(self.template()), making.services);
        let over = self.executions.iter().position(|execution| execution.ended.is_some());
        if let Some(oldest) = over.filter(|_| self.executions.len() >= MOST_EXECUTIONS) {
            self.executions.remove(oldest);
        }
        let started = making.now;
        self.executions.push(Execution { name: name.clone(), started, ended: None, connections });
        self.run();
        name
    }

    /// Ends an execution.
    pub(crate) fn end(&mut self, execution: usize, now: DateTime<Utc>, status: &'static str) {
        self.executions[execution].ended = Some((now, status));
        self.run();
    }

    /// Fetches the secrets of vaults that name no version; those whose value is another by that.
    pub(crate) fn fetch(&mut self, platform: &Platform<'_>) -> Vec<String> {
        let label = self.id.label();
        let mut changed = Vec::new();
        for secret in self.secrets.iter_mut().filter(|secret| secret.moves()) {
            let before = secret.value.clone();
            // One that cannot be fetched stays what it was.
            if secret.fetch(&label, platform).is_ok() && secret.value != before {
                self.clients.planted.extend(secret.planted.iter().cloned());
                changed.push(secret.name.clone());
            }
        }
        changed
    }

    /// The values of its secrets, by name.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let value = |secret: &Secret| (secret.name.clone(), secret.value.clone().unwrap_or_default());
        self.secrets.iter().map(value).collect()
    }
}
