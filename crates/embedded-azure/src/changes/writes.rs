//! Changes of container apps and jobs: as ARM is asked for them, with an operation that runs, and what the platform does to
//! their secrets by itself.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::activity::ActivityKind;
use crate::clock::delta;
use crate::containers::secrets::Secret;
use crate::containers::writes::{Change, Course, Write};
use crate::containers::{Container, Making, template};
use crate::ids::ContainerKind;
use crate::options::SecretSync;
use crate::platform::Platform;
use crate::service::Status;
use crate::state::State;

/// How many operations are remembered; those that run always are.
const MOST_WRITES: usize = 1000;

impl State {
    /// Lets something be done to a container app or job with what its replicas are made with.
    pub(crate) fn with_container<T>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Container, &mut Making<'_>, &Platform<'_>) -> T,
    ) -> T {
        let Self { containers, services, container_names, vaults, stores, references, denials, .. } = self;
        let platform = Platform { vaults, stores, elsewhere: references, denials };
        let half = delta(self.options.restart_takes) / 2;
        let mut making = Making { services, names: container_names, now: self.now, half };
        act(&mut containers[at], &mut making, &platform)
    }

    /// Whether an operation changes it now.
    pub(crate) fn is_being_written(&self, at: usize) -> bool {
        self.writes.iter().any(|write| write.container == at && write.status == Status::Running)
    }

    /// Begins an operation, and tells its place.
    pub(crate) fn begin_write(&mut self, at: usize, course: Course, version: &str) -> usize {
        let id = self.ids.uuid().to_string();
        let query = self.operation_query(version);
        let due = self.now + delta(self.options.container_write_takes);
        let mut excess = (self.writes.len() + 1).saturating_sub(MOST_WRITES);
        self.writes.retain(|write| {
            let forget = excess > 0 && write.status != Status::Running;
            excess -= usize::from(forget);
            !forget
        });
        let status = Status::Running;
        self.writes.push(Write { id, container: at, status, query, announcement: None, due, course });
        self.writes.len() - 1
    }

    /// Ends the operations that are due.
    pub(crate) fn finish_writes(&mut self) {
        let now = self.now;
        for place in 0..self.writes.len() {
            if !self.writes[place].is_due(now) {
                continue;
            }
            let write = &mut self.writes[place];
            let (at, course) = (write.container, std::mem::replace(&mut write.course, Course::Nothing));
            let failed = matches!(course, Course::Fails);
            write.status = if failed { Status::Failed } else { Status::Succeeded };
            let announcement = write.announcement.take();
            self.take_course(at, course);
            if let Some(announcement) = announcement {
                self.publish(&if failed { announcement.failed() } else { announcement });
            }
        }
    }

    /// Lets a change come about, or what comes of it instead.
    pub(crate) fn take_course(&mut self, at: usize, course: Course) {
        match course {
            Course::Changes(change) => self.apply(at, change),
            Course::Later(change, after) => self.change_later(at, change, after),
            Course::Nothing => self.containers[at].failed = false,
            Course::Fails => self.containers[at].failed = true,
        }
    }

    /// When the next operation ends.
    pub(crate) fn next_write(&self) -> Option<DateTime<Utc>> {
        self.writes.iter().filter(|write| write.status == Status::Running).map(|write| write.due).min()
    }

    /// Makes it what it is to be. Secrets are of the app and of no revision: those that run keep what they have read. Another
    /// template is another revision (docs: Update and deploy changes in Azure Container Apps; Manage secrets).
    pub(crate) fn apply(&mut self, at: usize, change: Change) {
        let values = |secrets: &[Secret]| -> Vec<String> {
            secrets.iter().filter(|one| one.vault.is_none()).filter_map(|one| one.value.clone()).collect()
        };
        let (old, new) = (values(&self.containers[at].secrets), values(&change.secrets));
        let label = self.containers[at].id.label();
        self.hand_over(&label, old.iter().map(String::as_str), new.iter().map(String::as_str));
        let names = self.with_container(at, |container, making, _| {
            let Change { document, secrets } = change;
            let names = different(&container.secrets, &secrets);
            let planted = secrets.iter().filter(|secret| names.contains(&secret.name));
            container.clients.planted.extend(planted.flat_map(|secret| secret.planted.iter().cloned()));
            let renewed = whole(container.template()) != whole(&document["properties"]["template"]);
            (container.document, container.secrets) = (document, secrets);
            (container.modified, container.failed) = (making.now, false);
            if renewed && container.id.kind == ContainerKind::App {
                container.revise(making);
            }
            container.supersede();
            container.run();
            names
        });
        if !names.is_empty() {
            self.tell(ActivityKind::SettingsChanged { app: label, names });
        }
    }

    /// The platform looks for new versions of the secrets of vaults. Active revisions that have a changed one in a variable
    /// are restarted; no revision is made (docs: Manage secrets in Azure Container Apps). Whether it does the same for jobs
    /// is doubted in the field, so it does not.
    pub(crate) fn sync_secrets(&mut self) {
        if self.options.secret_sync == SecretSync::Off {
            return;
        }
        let restarts = self.options.secret_sync == SecretSync::Restarts;
        let is_app = |container: &Container| !container.deleted && container.id.kind == ContainerKind::App;
        for at in (0..self.containers.len()).filter(|at| is_app(&self.containers[*at])).collect::<Vec<_>>() {
            let changed = self.with_container(at, |container, making, platform| {
                let changed = container.fetch(platform);
                for revision in container.revisions.iter_mut().filter(|_| restarts) {
                    let uses = template::in_variables(&revision.template)
                        .any(|(_, name)| changed.iter().any(|secret| secret == name));
                    if uses && revision.active {
                        revision.restart(making.now + making.half);
                    }
                }
                changed
            });
            if !changed.is_empty() {
                self.tell(ActivityKind::ReferencesFetched { app: self.containers[at].id.label() });
            }
        }
    }
}

/// A template without its nulls: a merge patch can only take them away, and that says nothing.
fn whole(template: &Value) -> Value {
    match template {
        Value::Object(members) => {
            let said = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(said.map(|(name, value)| (name.clone(), whole(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(whole).collect()),
        other => other.clone(),
    }
}

/// The names of the secrets that are added, removed or of another value.
fn different(old: &[Secret], new: &[Secret]) -> Vec<String> {
    let find = |all: &[Secret], name: &str| {
        all.iter().find(|secret| secret.name == name).map(|one| one.value.clone())
    };
    let changed = new.iter().filter(|secret| find(old, &secret.name) != Some(secret.value.clone()));
    let removed = old.iter().filter(|secret| find(new, &secret.name).is_none());
    changed.chain(removed).map(|secret| secret.name.clone()).collect()
}
