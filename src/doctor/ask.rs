//! The reading. Whatever fails is kept as it failed, and everything else is read all the same.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;

use crate::arm::{Arm, ArmError, Instance, ListedKeys, Permission};
use crate::config::{AppConfig, Config, InstanceConfig};
use crate::journal::Journal;
use crate::model::AppId;
use crate::observe::survey::{Dictionaries, Marks, at_once, parted, slots};
use crate::pass::Rekey;
use crate::plan::{Holding, Snapshot};
use crate::store::{StoreError, peek};

/// Everything that was read. It holds key material; its `Debug` does not.
#[derive(Debug)]
pub(super) struct Facts<'c> {
    pub(super) instances: Vec<InstanceFacts<'c>>,
    /// The configured apps, and all others in the same resource groups.
    pub(super) apps: BTreeMap<AppId, AppFacts>,
    /// The lists that could not be read, of sites in a group or of a site's slots, by the id of either.
    pub(super) unlisted: Vec<(String, ArmError)>,
}

/// What was read of an instance.
#[derive(Debug)]
pub(super) struct InstanceFacts<'c> {
    pub(super) config: &'c InstanceConfig,
    pub(super) resource: Result<Instance, ArmError>,
    pub(super) listed: Result<ListedKeys, ArmError>,
    pub(super) permissions: Result<Vec<Permission>, ArmError>,
    pub(super) journal: Result<Journal, StoreError>,
}

/// What was read of an app.
#[derive(Debug)]
pub(super) struct AppFacts {
    pub(super) settings: Dictionaries,
    /// What may be done with it; only asked of a configured one.
    pub(super) permissions: Option<Result<Vec<Permission>, ArmError>>,
}

impl<'c> Facts<'c> {
    /// Reads everything.
    pub(super) async fn ask(rekey: &'c Rekey, arm: &Arm) -> Self {
        let config = &rekey.config;
        let asked = config.instances.iter().map(|instance| InstanceFacts::ask(rekey, arm, instance).boxed());
        let instances = at_once(asked).await;
        let configured: BTreeSet<&AppId> =
            config.instances.iter().flat_map(|instance| &instance.apps).map(|app| &app.id).collect();
        let (found, unlisted) = listed(arm, groups(config)).await;
        let all: BTreeSet<AppId> = found.into_iter().chain(configured.iter().copied().cloned()).collect();
        let asked = all.into_iter().map(|app| {
            let is_configured = configured.contains(&app);
            async move {
                let facts = AppFacts::ask(arm, &app, is_configured).await;
                (app, facts)
            }
            .boxed()
        });
        let apps = at_once(asked).await.into_iter().collect();
        Self { instances, apps, unlisted }
    }

    /// What the configured apps of an instance hold of it.
    pub(super) fn holdings(&self, instance: &InstanceFacts<'_>) -> Vec<Holding> {
        let read = |app: &AppConfig| Some(instance.seen(app, self.apps.get(&app.id)?));
        let seen = instance.config.apps.iter().filter_map(read);
        seen.flat_map(|seen| seen.consumers).map(|consumer| consumer.holds).collect()
    }

    /// The configured apps.
    pub(super) fn configured(&self) -> impl Iterator<Item = (&AppId, &AppFacts)> {
        self.apps.iter().filter(|(_, app)| app.permissions.is_some())
    }

    /// The others, which were found beside them.
    pub(super) fn strangers(&self) -> impl Iterator<Item = (&AppId, &AppFacts)> {
        self.apps.iter().filter(|(_, app)| app.permissions.is_none())
    }
}

impl<'c> InstanceFacts<'c> {
    async fn ask(rekey: &Rekey, arm: &Arm, config: &'c InstanceConfig) -> Self {
        let scope = config.id.to_string();
        // One after the other: several instances are asked at the same time.
        let resource = arm.instance(&config.id).await;
        let listed = arm.list_keys(&config.id).await;
        let permissions = arm.permissions(&scope).await;
        let journal = peek(&*rekey.store, &config.id).await;
        Self { config, resource, listed, permissions, journal }
    }

    /// The host of its data plane, as far as it is known.
    pub(super) fn host(&self) -> Option<&str> {
        let listed = self.listed.as_ref().ok().and_then(|listed| listed.host.as_deref());
        listed.or_else(|| self.resource.as_ref().ok().and_then(|instance| instance.host_name.as_deref()))
    }

    /// What an app shows of the instance.
    pub(super) fn seen(&self, app: &AppConfig, facts: &AppFacts) -> Snapshot {
        let forgotten = Journal::default();
        let marks = Marks {
            keys: self.listed.as_ref().ok().map(|listed| &listed.keys),
            host: self.host().unwrap_or_default(),
            journal: self.journal.as_ref().unwrap_or(&forgotten),
        };
        facts.settings.shown(app, marks)
    }
}

impl AppFacts {
    /// Reads an app's settings, and of a configured one what may be done with it.
    pub(super) async fn ask(arm: &Arm, app: &AppId, is_configured: bool) -> Self {
        let settings = Dictionaries::read(arm, app).await;
        let permissions = if is_configured { Some(arm.permissions(&app.to_string()).await) } else { None };
        Self { settings, permissions }
    }
}

/// The resource groups that hold a configured instance or app, each once.
fn groups(config: &Config) -> BTreeSet<(String, String)> {
    let of_instances = config.instances.iter().map(|one| (one.id.subscription(), one.id.group()));
    let apps = config.instances.iter().flat_map(|instance| &instance.apps);
    let of_apps = apps.map(|app| (app.id.subscription(), app.id.group()));
    of_instances.chain(of_apps).map(|(one, two)| (one.to_lowercase(), two.to_lowercase())).collect()
}

/// The sites in the groups, with their slots, and the lists that could not be read.
async fn listed(arm: &Arm, groups: BTreeSet<(String, String)>) -> (Vec<AppId>, Vec<(String, ArmError)>) {
    let asked = groups.into_iter().map(|(subscription, group)| {
        async move {
            let id = format!("/subscriptions/{subscription}/resourceGroups/{group}");
            (id, arm.list_group_sites(&subscription, &group).await)
        }
        .boxed()
    });
    let (sites, mut unlisted) = parted(at_once(asked).await);
    let (slots, more) = slots(arm, &sites).await;
    unlisted.extend(more);
    (sites.into_iter().chain(slots).collect(), unlisted)
}
