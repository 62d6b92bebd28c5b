//! Container apps, jobs and static web apps that hold a key of a service.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::join_all;

use crate::azure::arm::{Arm, ArmError, ArmErrorKind};
use crate::azure::consumers::{container_apps, static_web_apps};
use crate::azure::discovery::at_once;
use crate::azure::resources::Link;
use crate::config::ServiceConfig;
use crate::engine::check::{Check, Reader};
use crate::report::cause;
use crate::report::text::InWords;
use crate::report::text::snapshot as words;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, ContainerAppId, ContainerAppKind, ServiceId, StaticWebAppId};
use rekey_core::plan::Unknown;
use rekey_core::policy::Policy;

/// What there is in a scope, of whatever kind but apps of App Service.
#[derive(Debug, Default)]
pub(crate) struct Others {
    container_apps: Vec<ContainerAppId>,
    static_web_apps: Vec<StaticWebAppId>,
    /// What Service Connector linked those of them to that it can link.
    links: Vec<(ContainerAppId, Vec<Link>)>,
    /// The lists that could not be had, with why.
    pub(crate) unlisted: Vec<(String, String)>,
    /// Those whose links could not be had, with why.
    pub(crate) unlinked: Vec<(String, String)>,
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

    /// Asks what Service Connector linked them to. It links neither jobs nor static web apps.
    pub(crate) async fn look_for_links(&mut self, arm: &Arm) {
        let apps = self.container_apps.iter().filter(|app| app.kind() == ContainerAppKind::App);
        let asked = apps.cloned().map(|app| {
            async move {
                let links = arm.links(&app.to_string()).await;
                (app, links)
            }
            .boxed()
        });
        for (app, links) in at_once(asked).await {
            match links {
                Ok(links) => self.links.push((app, links)),
                Err(error) => self.unlinked.push((app.to_string(), cause::told(&error))),
            }
        }
    }

    /// The links by which one of them was given a key of a service.
    fn linked(&self, id: &ConsumerId, service: &ServiceId) -> Vec<String> {
        let of_it = self.links.iter().filter(|(app, _)| *id == ConsumerId::ContainerApp(app.clone()));
        of_it.flat_map(|(_, links)| led(links, service)).collect()
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

    /// Those that hold a key of a service, or of which that cannot be told; where its keys cannot be listed, those alone that
    /// Service Connector linked to it.
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
            health: BTreeMap::new(),
            policy: Policy::default(),
        };
        let reader = Reader { arm, clock: arm.clock(), in_need: false };
        let journal = Journal::default();
        let check = Check::take(reader, &config, &journal).await;
        let snapshot = check.ok().map(|check| check.snapshot(&config, &journal));
        let seen = |id: ConsumerId| {
            let consumers = snapshot.iter().flat_map(|seen| &seen.consumers);
            let consumers = consumers.filter(|consumer| consumer.at.app == id);
            let linked = self.linked(&id, service);
            let holds = consumers.clone().next().is_some() || !linked.is_empty();
            let mut seen: Vec<String> = consumers
                .zip(std::iter::repeat(&snapshot))
                .filter_map(|(one, seen)| {
                    Some(format!("{} {}", one.at.entry(), words::holds(one, seen.as_ref()?)))
                })
                .collect();
            let unknown = snapshot.iter().flat_map(|seen| &seen.unknown).filter(|one| is_about(one, &id));
            seen.extend(unknown.map(InWords::in_words));
            seen.extend(linked);
            seen.dedup();
            (!seen.is_empty()).then_some(Other { id, holds, seen })
        };
        config.consumers().filter_map(seen).collect()
    }
}

/// The links that gave a key of a service, in words.
pub(crate) fn led<'l>(links: &'l [Link], service: &'l ServiceId) -> impl Iterator<Item = String> + 'l {
    let leading = links.iter().filter(|link| link.leads_to(service));
    leading.map(|link| words::linked_by(&link.name))
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
