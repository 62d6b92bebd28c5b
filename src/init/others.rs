//! Container apps, jobs and static web apps that hold a key of a service.

use futures::FutureExt;
use futures::future::join_all;

use crate::azure::arm::{Arm, ArmError, ArmErrorKind};
use crate::azure::consumers::{container_apps, static_web_apps};
use crate::config::ServiceConfig;
use crate::engine::check::{Check, Reader};
use crate::report::cause;
use crate::report::text::InWords;
use crate::report::text::snapshot as words;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, ContainerAppId, ServiceId, StaticWebAppId};
use rekey_core::plan::Unknown;
use rekey_core::policy::Policy;

/// What there is in a scope, of whatever kind but apps of App Service.
#[derive(Debug, Default)]
pub(crate) struct Others {
    container_apps: Vec<ContainerAppId>,
    static_web_apps: Vec<StaticWebAppId>,
    /// The lists that could not be had, with why.
    pub(crate) unlisted: Vec<(String, String)>,
}

/// One of them, and what was seen of it.
#[derive(Debug)]
pub struct Other {
    pub id: ConsumerId,
    /// Whether it surely holds a key.
    pub holds: bool,
    pub seen: Vec<String>,
}

impl Others {
    pub(crate) async fn list(arm: &Arm, subscription: &str, group: Option<&str>) -> Self {
        let scope = group.map_or_else(String::new, |group| format!("/resourceGroups/{group}"));
        let scope = format!("/subscriptions/{subscription}{scope}");
        let apps = container_apps::list_apps(arm, &scope);
        let jobs = container_apps::list_jobs(arm, &scope);
        let (apps, jobs, sites) = futures::join!(apps, jobs, static_web_apps::list(arm, &scope));
        let mut others = Self::default();
        let at = |what: &str| format!("{what} in {scope}");
        others.container_apps = others.taken(at("a container app"), apps);
        let jobs = others.taken(at("a job of Container Apps"), jobs);
        others.container_apps.extend(jobs);
        others.static_web_apps = others.taken(at("a static web app"), sites);
        others
    }

    /// With those of another scope, but for what is configured.
    pub(crate) fn join(&mut self, more: Self, configured: &[ConsumerId]) {
        let is_new = |id: ConsumerId| !configured.contains(&id);
        let apps = more.container_apps.into_iter();
        self.container_apps.extend(apps.filter(|app| is_new(ConsumerId::ContainerApp(app.clone()))));
        let sites = more.static_web_apps.into_iter();
        self.static_web_apps.extend(sites.filter(|site| is_new(ConsumerId::StaticWebApp(site.clone()))));
        self.unlisted.extend(more.unlisted);
    }

    fn taken<T>(&mut self, what: String, listed: Result<Vec<T>, ArmError>) -> Vec<T> {
        listed.unwrap_or_else(|error| {
            // A subscription that is not registered for it has none.
            if !matches!(error.kind(), ArmErrorKind::Gone | ArmErrorKind::Barred(_)) {
                self.unlisted.push((what, cause::told(&error)));
            }
            Vec::new()
        })
    }

    pub(super) fn len(&self) -> usize {
        self.container_apps.len() + self.static_web_apps.len()
    }

    /// Those that hold a key of a service, or of which that cannot be told; none where its keys cannot be listed.
    pub(crate) async fn of(&self, arm: &Arm, service: &ServiceId) -> Vec<Other> {
        if self.len() == 0 {
            return Vec::new();
        }
        let config = ServiceConfig {
            id: service.clone(),
            apps: vec![],
            vault_secrets: vec![],
            app_configuration: vec![],
            container_apps: self.container_apps.clone(),
            static_web_apps: self.static_web_apps.clone(),
            external: vec![],
            policy: Policy::default(),
        };
        let reader = Reader { arm, clock: arm.clock(), in_need: false };
        let journal = Journal::default();
        let Ok(check) = Check::take(reader, &config, &journal).await else { return Vec::new() };
        let snapshot = check.snapshot(&config, &journal);
        let seen = |id: ConsumerId| {
            let consumers = snapshot.consumers.iter().filter(|consumer| consumer.at.app == id);
            let holds = consumers.clone().next().is_some();
            let mut seen: Vec<String> =
                consumers.map(|one| format!("{} {}", one.at.entry(), words::holds(one, &snapshot))).collect();
            let unknown = snapshot.unknown.iter().filter(|unknown| is_about(unknown, &id));
            seen.extend(unknown.map(InWords::in_words));
            seen.dedup();
            (!seen.is_empty()).then_some(Other { id, holds, seen })
        };
        config.consumers().filter_map(seen).collect()
    }
}

/// Whether something stands in the way that is about a consumer. That one holds nothing does not.
fn is_about(unknown: &Unknown, id: &ConsumerId) -> bool {
    match unknown {
        Unknown::Unreadable { app, .. } | Unknown::Setting { app, .. } => app == id,
        Unknown::Reference { app, passing, .. } => app == id && !passing,
        _ => false,
    }
}

/// Of each service, in their order.
pub(super) async fn of_all(others: &Others, arm: &Arm, services: &[ServiceId]) -> Vec<Vec<Other>> {
    join_all(services.iter().map(|service| others.of(arm, service).boxed())).await
}
