//! What other people do to container apps and jobs, and what happens to their replicas and executions.

use std::collections::BTreeMap;

use axum::http::Method;

use super::{EditError, Unknown, enumerate, matches_name};
use crate::activity::ActivityKind;
use crate::clients::Party;
use crate::containers::Container;
use crate::containers::secrets::Secret;
use crate::containers::writes::Change;
use crate::ids::ContainerKind;
use crate::state::State;

impl State {
    /// Gives a secret of a container app or job a value, or with `None` takes it away, as a person does in the portal. No
    /// replica that runs is reached by that. The placeholders of the world file stand for the keys of this moment.
    pub fn edit_container_secret(
        &mut self,
        app: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), EditError> {
        let at = self.container(app)?;
        let value = value.map(|value| self.fill(value, app)).transpose()?;
        let planted = value.as_deref().map(|value| self.invalid_keys_in(&[value])).unwrap_or_default();
        let container = &self.containers[at];
        let (document, mut secrets) = (container.document.clone(), container.secrets.clone());
        let place = secrets.iter().position(|secret| secret.name.eq_ignore_ascii_case(name));
        let secret =
            value.map(|value| Secret { name: name.to_owned(), vault: None, value: Some(value), planted });
        match (place, secret) {
            (Some(place), Some(secret)) => secrets[place] = secret,
            (Some(place), None) => drop(secrets.remove(place)),
            (None, Some(secret)) => secrets.push(secret),
            (None, None) => {}
        }
        self.apply(at, Change { document, secrets });
        self.announce_colleague(Method::PATCH, &self.containers[at].id.to_string());
        Ok(())
    }

    /// The values of the secrets of a container app or job, as the platform has them now.
    pub fn container_secrets(&self, app: &str) -> Result<BTreeMap<String, String>, Unknown> {
        Ok(self.containers[self.container(app)?].values())
    }

    /// Begins to restart a revision, the newest if none is named.
    pub fn restart_revision(&mut self, app: &str, revision: Option<&str>) -> Result<(), Unknown> {
        let (at, revision) = self.revision(app, revision)?;
        self.begin_restart(at, revision);
        Ok(())
    }

    /// Makes a revision active, or ends it.
    pub fn activate_revision(
        &mut self,
        app: &str,
        revision: Option<&str>,
        active: bool,
    ) -> Result<(), Unknown> {
        let (at, revision) = self.revision(app, revision)?;
        self.set_active(at, revision, active);
        Ok(())
    }

    /// Lets a revision have so many replicas, as the scaler does; none is scaled to zero.
    pub fn scale(&mut self, app: &str, revision: Option<&str>, replicas: usize) -> Result<(), Unknown> {
        let (at, revision) = self.revision(app, revision)?;
        self.change(&|party, _| party == Party::Container(at), |state| {
            state.with_container(at, |container, making, _| container.scale(revision, replicas, making));
        });
        Ok(())
    }

    /// Lets replicas of a revision that are created from now on never run, or run again.
    pub fn break_revision(&mut self, app: &str, revision: Option<&str>, broken: bool) -> Result<(), Unknown> {
        let (at, revision) = self.revision(app, revision)?;
        self.with_container(at, |container, making, _| {
            container.revisions[revision].set_broken(broken, (making.now, making.half));
        });
        Ok(())
    }

    /// Begins an execution of a job, and tells its name.
    pub fn start_execution(&mut self, job: &str) -> Result<String, Unknown> {
        let at = self.job(job)?;
        Ok(self.begin_execution(at))
    }

    /// Ends an execution of a job that runs, the oldest if none is named: well, or not.
    pub fn end_execution(&mut self, job: &str, execution: Option<&str>, well: bool) -> Result<(), Unknown> {
        let at = self.job(job)?;
        let running =
            || self.containers[at].executions.iter().enumerate().filter(|(_, one)| one.ended.is_none());
        let wanted = |name: &str| execution.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name));
        let found = running().find(|(_, one)| wanted(&one.name)).map(|(place, _)| place);
        let place = found.ok_or_else(|| Unknown {
            kind: "execution that runs",
            name: execution.unwrap_or(job).to_owned(),
            known: enumerate(running().map(|(_, one)| one.name.as_str())),
        })?;
        let (now, status) = (self.now, if well { "Succeeded" } else { "Failed" });
        self.change(&|party, _| party == Party::Container(at), |state| {
            state.containers[at].end(place, now, status);
        });
        Ok(())
    }

    /// Deletes a container app or a job.
    pub fn delete_container(&mut self, app: &str) -> Result<(), Unknown> {
        let at = self.container(app)?;
        let container = &mut self.containers[at];
        container.deleted = true;
        container.clients.close();
        let (name, id) = (container.id.label(), container.id.to_string());
        self.tell(ActivityKind::Deleted { name });
        self.announce_colleague(Method::DELETE, &id);
        Ok(())
    }

    /// Begins to replace the replicas of a revision. Whether that fetches secrets of vaults again no document says.
    pub(crate) fn begin_restart(&mut self, at: usize, revision: usize) {
        let fetches = self.options.restart_fetches_secrets;
        self.with_container(at, |container, making, platform| {
            if fetches {
                container.fetch(platform);
            }
            container.revisions[revision].restart(making.now + making.half);
        });
    }

    pub(crate) fn set_active(&mut self, at: usize, revision: usize, active: bool) {
        self.change(&|party, _| party == Party::Container(at), |state| {
            state.with_container(at, |container, making, _| {
                let revision = &mut container.revisions[revision];
                match (revision.active, active) {
                    (true, false) => revision.deactivate(),
                    (false, true) => {
                        revision.active = true;
                        revision.wanted = revision.wanted.max(1);
                        revision.restart(making.now + making.half);
                    }
                    _ => {}
                }
                container.run();
            });
        });
    }

    pub(crate) fn begin_execution(&mut self, at: usize) -> String {
        let fetches = self.options.executions_fetch_secrets;
        self.change(&|party, _| party == Party::Container(at), |state| {
            state.with_container(at, |container, making, platform| {
                if fetches {
                    container.fetch(platform);
                }
                container.execute(making)
            })
        })
    }

    /// A container app or job that is there, by its name, by `containerApps/NAME` or `jobs/NAME`, or by its id. By its name
    /// alone it is an app before it is a job.
    pub(crate) fn container(&self, name: &str) -> Result<usize, Unknown> {
        let fits = |one: &Container| {
            matches_name(&one.id.name, &one.id.to_string(), name) || one.id.label().eq_ignore_ascii_case(name)
        };
        self.containers.iter().position(|one| !one.deleted && fits(one)).ok_or_else(|| {
            let known: Vec<String> =
                self.containers.iter().filter(|one| !one.deleted).map(|one| one.id.label()).collect();
            let known = enumerate(known.iter().map(String::as_str));
            Unknown { kind: "container app or job", name: name.to_owned(), known }
        })
    }

    fn job(&self, name: &str) -> Result<usize, Unknown> {
        let is_job = |at: &usize| self.containers[*at].id.kind == ContainerKind::Job;
        let labelled = self.container(&format!("jobs/{name}")).or_else(|_| self.container(name))?;
        Some(labelled).filter(is_job).ok_or_else(|| {
            let jobs = self.containers.iter().filter(|one| !one.deleted && one.id.kind == ContainerKind::Job);
            Unknown { kind: "job", name: name.to_owned(), known: enumerate(jobs.map(|one| one.id.name())) }
        })
    }

    /// A revision of a container app, the newest if none is named.
    fn revision(&self, app: &str, name: Option<&str>) -> Result<(usize, usize), Unknown> {
        let at = self.container(app)?;
        let revisions = &self.containers[at].revisions;
        let wanted = |own: &str| name.is_none_or(|name| own.eq_ignore_ascii_case(name));
        let found = revisions.iter().rposition(|revision| wanted(&revision.name));
        found.map(|revision| (at, revision)).ok_or_else(|| Unknown {
            kind: "revision",
            name: name.unwrap_or(app).to_owned(),
            known: enumerate(revisions.iter().map(|revision| revision.name.as_str())),
        })
    }
}
