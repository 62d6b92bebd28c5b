//! The reading. Whatever fails is kept as it failed, and everything else is read all the same.

mod writes;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::FutureExt;

use super::finding::Looked;
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Barrier, Caller, Permission};
use crate::azure::consumers::app_service::{ReferenceIdentity, UpdateStrategy};
use crate::azure::consumers::{KeyValueReader, Marks};
use crate::azure::discovery::{Dictionaries, at_once, parted, slots};
use crate::azure::resources::Link;
use crate::azure::services::{KeyService, ListedKeys, ServiceResource};
use crate::config::{AppConfig, Config, ServiceConfig};
use crate::engine::Engine;
use crate::engine::check::{Check, Reader, Refusal, is_lost};
use crate::init::others::{Other, Others};
use crate::report::cause;
use crate::store::{StoreError, evidence, peek_at_both};
use rekey_core::journal::Journal;
use rekey_core::model::{AppId, ConsumerId, PerKey, ServiceId};
use rekey_core::plan::{Holding, ReferenceFault, Snapshot, Unknown};

pub(super) use writes::{Told, WriteRight};

/// What came of reading what the platform has made of the references of an app.
pub(super) struct Resolving {
    /// Whether the service was checked as a run does.
    pub(super) checked: bool,
    /// What could not be read of the app.
    pub(super) refused: Vec<Refusal>,
}

/// Everything that was read. It holds key material; its `Debug` does not.
#[derive(Debug)]
pub(super) struct Facts<'c> {
    pub(super) instances: Vec<InstanceFacts<'c>>,
    /// Whether the container of evidence lets us in, which all services share.
    pub(super) evidence: Result<(), StoreError>,
    /// The configured apps, and all others in their subscriptions that may be seen.
    pub(super) apps: BTreeMap<AppId, AppFacts>,
    /// The lists that could not be read, of sites in a subscription or group or of a site's slots, by the id of either.
    pub(super) unlisted: Vec<(String, ArmError)>,
    /// The lists of container apps, jobs and static web apps that could not be read, and why.
    pub(super) unlisted_others: Vec<(String, String)>,
    /// What no read proves that it may be written, and no role on the app tells.
    pub(super) writes: Vec<WriteRight>,
    /// The apps of which it could not be had what Service Connector linked them to, and why.
    pub(super) unlinked: Vec<(String, String)>,
    /// The subscriptions whose list of sites leaves out some that are there, and which.
    pub(super) partial: Vec<(String, Vec<AppId>)>,
    /// The resource groups of what is configured: subscription and name, in lower case.
    groups: BTreeSet<(String, String)>,
}

/// What was read of a service.
#[derive(Debug)]
pub(super) struct InstanceFacts<'c> {
    pub(super) config: &'c ServiceConfig,
    pub(super) resource: Result<ServiceResource, ArmError>,
    pub(super) listed: Result<ListedKeys, ArmError>,
    pub(super) permissions: Result<Vec<Permission>, ArmError>,
    pub(super) replicas: Result<Vec<String>, ArmError>,
    pub(super) journal: Result<Journal, StoreError>,
    /// What a check shows, where other consumers than apps of App Service are concerned.
    pub(super) as_checked: Option<Result<Snapshot, String>>,
    /// Container apps and static web apps in the resource groups of what is configured that are not, and hold a key of it, or may.
    pub(super) strangers: Vec<Other>,
    /// What may be done with its container apps and static web apps.
    pub(super) granted: Vec<(ConsumerId, Result<Vec<Permission>, ArmError>)>,
    /// What could not be read where that check was made, and why.
    pub(super) refused: BTreeMap<ConsumerId, Vec<Refusal>>,
    /// The environments that its container apps and jobs are in.
    environments: Vec<(ConsumerId, String)>,
    /// The secrets that have expired, and when.
    pub(super) expired_secrets: BTreeMap<ConsumerId, DateTime<Utc>>,
    /// By which identities references of apps are resolved; only asked where that is the matter.
    pub(super) identities: BTreeMap<AppId, Result<ReferenceIdentity, ArmError>>,
    /// Who is given what key-values hold, and whether it is sure that he has what they hold now; where that check was made.
    pub(super) key_value_readers: Vec<(KeyValueReader, bool)>,
    /// The instances of its subscription; only asked where it is gone, and empty if they cannot be listed.
    pub(super) others: Vec<ServiceId>,
}

/// What was read of an app.
#[derive(Debug)]
pub(super) struct AppFacts {
    pub(super) settings: Dictionaries,
    /// What may be done with it; only asked of a configured one.
    pub(super) permissions: Option<Result<Vec<Permission>, ArmError>>,
    /// How it goes over to changed settings; only asked of a configured one that is no slot, for Flex has none.
    pub(super) strategy: Option<Result<UpdateStrategy, ArmError>>,
    /// What Service Connector linked it to; only asked of one that is not configured and could be read.
    pub(super) links: Result<Vec<Link>, ArmError>,
}

impl<'c> Facts<'c> {
    pub(super) async fn collect(rekey: &'c Engine, arm: &Arm, caller: &Caller) -> Self {
        let config = &rekey.config;
        let asked =
            config.instances.iter().map(|instance| InstanceFacts::collect(rekey, arm, instance).boxed());
        let mut instances = at_once(asked).await;
        // Of no name that a document has: whether there is one does not matter.
        let evidence = evidence(&*rekey.store, "doctor").await.map(drop);
        let configured: BTreeSet<&AppId> =
            config.instances.iter().flat_map(|instance| &instance.apps).map(|app| &app.id).collect();
        let groups = groups(config);
        let Listed { apps: found, unlisted, partial } = listed(arm, &groups).await;
        let all: BTreeSet<AppId> = found.into_iter().chain(configured.iter().copied().cloned()).collect();
        let beside = |app: &AppId| is_in(&groups, app);
        // Other groups come last: where the time runs out, what is configured was read.
        let (first, last): (Vec<AppId>, Vec<AppId>) = all.into_iter().partition(beside);
        let asked = first.into_iter().chain(last).map(|app| {
            let is_configured = configured.contains(&app);
            async move {
                let facts = AppFacts::collect(arm, &app, is_configured).await;
                (app, facts)
            }
            .boxed()
        });
        let apps: BTreeMap<AppId, AppFacts> = at_once(asked).await.into_iter().collect();
        let others = others(arm, config, &groups).await;
        for instance in &mut instances {
            let service = instance.config;
            instance.strangers = others.of(arm, &service.id).await;
            let follows = |app: &AppConfig| apps.get(&app.id).is_some_and(|read| read.follows(app, service));
            let others: Vec<ConsumerId> = service.beside_app_service().collect();
            let journal = instance.journal.as_ref().ok();
            let remembers =
                journal.is_some_and(|journal| journal.all_seen().any(|(one, _)| one.secret().is_some()));
            let configured = !service.vault_secrets.is_empty() || !service.app_configuration.is_empty();
            let more = remembers || configured || !others.is_empty() || !service.external.is_empty();
            if more || service.apps.iter().any(follows) {
                instance.check(rekey, arm).await;
            }
            for consumer in others {
                let granted = arm.permissions(&consumer.to_string()).await;
                instance.granted.push((consumer, granted));
            }
        }
        let writes = writes::collect(arm, caller, &instances, &groups).await;
        let no_links = apps
            .iter()
            .filter_map(|(app, read)| Some((app.to_string(), cause::told(read.links.as_ref().err()?))));
        let unlinked = no_links.chain(others.unlinked).collect();
        Self {
            instances,
            evidence,
            apps,
            unlisted,
            unlisted_others: others.unlisted,
            writes,
            unlinked,
            partial,
            groups,
        }
    }

    pub(super) fn looked(&self) -> Looked {
        let unread = self.apps.values().filter(|app| app.settings.error().is_some()).count();
        let gone = self.apps.values().filter(|app| app.settings.is_gone()).count();
        let subscription = |name: &str| format!("/subscriptions/{}", name.to_lowercase());
        let group =
            |of: &str, name: &str| format!("{}/resourceGroups/{}", subscription(of), name.to_lowercase());
        let configured = self.groups.iter().map(|(of, name)| group(of, name));
        let found = self.apps.keys().map(|app| group(app.subscription(), app.group()));
        Looked {
            subscriptions: self.groups.iter().map(|(name, _)| subscription(name)).collect(),
            resource_groups: configured.chain(found).collect(),
            apps: self.apps.len() - unread - gone,
            unread,
            unlisted: self.unlisted.len() + self.partial.len(),
        }
    }

    /// Whether an app is in a resource group that has something configured in it.
    pub(super) fn is_beside(&self, app: &AppId) -> bool {
        is_in(&self.groups, app)
    }

    /// Whether an app is configured, for whichever service.
    pub(super) fn is_configured(&self, app: &AppId) -> bool {
        self.apps.get(app).is_some_and(|facts| facts.permissions.is_some())
    }

    /// The configured apps that hold a key of a service, or may, with how.
    pub(super) fn holders(&self, instance: &InstanceFacts<'_>) -> Vec<String> {
        let of = |app: &AppConfig| {
            let read = self.apps.get(&app.id)?;
            let seen = instance.seen(app, read);
            let holds = seen.consumers.iter().any(|consumer| consumer.holds != Holding::Identity);
            let perhaps = |why: &str| Some(format!("{} (perhaps: {why})", app.id.name()));
            match read.settings.error() {
                _ if holds => Some(app.id.name()),
                _ if instance.host().is_none() => {
                    perhaps("the host of the service, by which it would show, is not known")
                }
                Some(_) => perhaps("it could not be read"),
                None if !seen.unknown.is_empty() => perhaps("it holds something that is not understood"),
                None => None,
            }
        };
        instance.config.apps.iter().filter_map(of).collect()
    }

    /// Whether a configured app holds a key of a service that is invalid.
    pub(super) fn has_stale(&self, instance: &InstanceFacts<'_>) -> bool {
        self.holdings(instance).iter().any(|holding| matches!(holding, Holding::Stale(_)))
    }

    /// What the configured apps of a service hold of it.
    pub(super) fn holdings(&self, instance: &InstanceFacts<'_>) -> Vec<Holding> {
        let read = |app: &AppConfig| Some(instance.seen(app, self.apps.get(&app.id)?));
        let seen = instance.config.apps.iter().filter_map(read);
        seen.flat_map(|seen| seen.consumers).map(|consumer| consumer.holds).collect()
    }

    /// How it went to read what the platform has made of the references of a configured app, if it has any to secrets.
    pub(super) fn resolving(&self, id: &AppId, app: &AppFacts) -> Option<Resolving> {
        let follows = |one: &&InstanceFacts<'_>| {
            let mut apps = one.config.apps.iter().filter(|config| config.id == *id);
            apps.any(|config| !app.settings.followed(config).is_empty())
        };
        let of: Vec<&InstanceFacts<'_>> = self.instances.iter().filter(follows).collect();
        let refused =
            of.iter().filter_map(|one| one.refused.get(&ConsumerId::from(id))).flatten().cloned().collect();
        let checked = of.iter().all(|one| one.as_checked.as_ref().is_some_and(Result::is_ok));
        (!of.is_empty()).then_some(Resolving { checked, refused })
    }

    pub(super) fn configured(&self) -> impl Iterator<Item = (&AppId, &AppFacts)> {
        self.apps.iter().filter(|(_, app)| app.permissions.is_some())
    }

    /// The others, which were found beside them.
    pub(super) fn unconfigured(&self) -> impl Iterator<Item = (&AppId, &AppFacts)> {
        self.apps.iter().filter(|(_, app)| app.permissions.is_none())
    }
}

impl<'c> InstanceFacts<'c> {
    async fn collect(rekey: &Engine, arm: &Arm, config: &'c ServiceConfig) -> Self {
        let (id, kind) = (&config.id, config.id.service_type());
        // One after the other: several services are asked at the same time.
        let resource = kind.describe(arm, id).await;
        let listed = kind.list_keys(arm, id).await;
        let permissions = arm.permissions(&id.to_string()).await;
        let replicas = kind.replicas(arm, id).await;
        let journal = peek_at_both(&*rekey.store, id).await;
        let is_gone = resource.as_ref().is_err_and(|error| error.kind() == ArmErrorKind::Gone);
        let others = if is_gone { kind.list(arm, id.subscription(), None).await } else { Ok(Vec::new()) };
        let others = others.unwrap_or_default().into_iter().map(|instance| instance.id).collect();
        Self {
            config,
            resource,
            listed,
            permissions,
            replicas,
            journal,
            as_checked: None,
            strangers: vec![],
            granted: vec![],
            refused: BTreeMap::new(),
            environments: vec![],
            expired_secrets: BTreeMap::new(),
            identities: BTreeMap::new(),
            key_value_readers: vec![],
            others,
        }
    }

    /// Checks the service as a run does, which reads more than the settings of apps.
    async fn check(&mut self, rekey: &Engine, arm: &Arm) {
        let (Ok(journal), service) = (&self.journal, self.config) else { return };
        let reader = Reader { arm, clock: &*rekey.clock, in_need: false };
        let check = Check::take(reader, service, journal).await;
        for (id, secret) in check.iter().flat_map(Check::secrets) {
            let expired = secret.ok().and_then(|secret| secret.expired(rekey.clock.now()));
            self.expired_secrets.extend(expired.map(|at| (id, at)));
        }
        if let Ok(check) = &check {
            (self.refused, self.environments) = (check.refusals(), check.environments());
            self.key_value_readers = check.key_value_readers(service, journal);
        }
        self.as_checked = Some(match check {
            Ok(check) => Ok(check.snapshot(service, journal)),
            Err(error) => Err(cause::told(&error)),
        });
        let seen = self.as_checked.iter().flatten().flat_map(|seen| &seen.unknown);
        let concerned: BTreeSet<AppId> = seen.filter_map(app_without_access).cloned().collect();
        let asked = concerned.into_iter().map(|app| {
            async move {
                let identity = arm.reference_identity(&app).await;
                (app, identity)
            }
            .boxed()
        });
        self.identities = at_once(asked).await.into_iter().collect();
    }

    /// Whether an app that is out of sight was last seen with a key that is invalid now.
    pub(super) fn has_lost(&self, app: &AppId) -> bool {
        let (Ok(listed), Ok(journal)) = (&self.listed, &self.journal) else { return false };
        is_lost(&app.into(), journal, &PerKey::from_fn(|key_type| listed.keys[key_type].fingerprint()))
    }

    /// Whether access keys are switched off, which has deleted them: the service says so itself, or it lists none.
    pub(super) fn keys_are_off(&self) -> bool {
        let none = |error: &ArmError| error.kind() == ArmErrorKind::Barred(Barrier::NoKeys);
        let off = |instance: &ServiceResource| instance.disable_local_auth;
        self.listed.as_ref().is_err_and(none) || self.resource.as_ref().is_ok_and(off)
    }

    /// The host of its data plane, as far as it is known.
    pub(super) fn host(&self) -> Option<&str> {
        let listed = self.listed.as_ref().ok().and_then(|listed| listed.host.as_deref());
        listed.or_else(|| self.resource.as_ref().ok().and_then(|instance| instance.host_name.as_deref()))
    }

    /// What an app shows of the service.
    pub(super) fn seen(&self, app: &AppConfig, facts: &AppFacts) -> Snapshot {
        let forgotten = Journal::default();
        let marks = Marks {
            keys: self.listed.as_ref().ok().map(|listed| &listed.keys),
            host: self.host().unwrap_or_default(),
            journal: self.journal.as_ref().unwrap_or(&forgotten),
        };
        let followed = facts.permissions.is_some().then_some(self.config.app_configuration.as_slice());
        facts.settings.shown(app, marks, followed)
    }
}

impl AppFacts {
    /// Whether it refers to Key Vault secrets or key-values of ours.
    pub(super) fn follows(&self, app: &AppConfig, service: &ServiceConfig) -> bool {
        let readers = self.settings.readers(app, &service.app_configuration);
        !(self.settings.followed(app).is_empty() && readers.is_empty())
    }

    /// Reads an app's settings, and of a configured one what may be done with it.
    pub(super) async fn collect(arm: &Arm, app: &AppId, is_configured: bool) -> Self {
        let settings = Dictionaries::read(arm, app).await;
        let permissions = if is_configured { Some(arm.permissions(&app.to_string()).await) } else { None };
        let is_site = is_configured && app.slot().is_none() && !settings.is_gone();
        let strategy = if is_site { Some(arm.update_strategy(app).await) } else { None };
        let asks = !is_configured && settings.error().is_none() && !settings.is_gone();
        let links = if asks { arm.links(&app.to_string()).await } else { Ok(Vec::new()) };
        Self { settings, permissions, strategy, links }
    }
}

/// The app whose references lead nowhere for want of an identity that may.
fn app_without_access(unknown: &Unknown) -> Option<&AppId> {
    match unknown {
        Unknown::Reference {
            app, fault: ReferenceFault::NotAllowed | ReferenceFault::NoIdentity, ..
        } => app.app(),
        _ => None,
    }
}

/// The resource groups that hold a configured service or app, each once.
fn groups(config: &Config) -> BTreeSet<(String, String)> {
    let of_instances = config.instances.iter().map(|one| (one.id.subscription(), one.id.group()));
    let apps = config.instances.iter().flat_map(|instance| &instance.apps);
    let of_apps = apps.map(|app| (app.id.subscription(), app.id.group()));
    of_instances.chain(of_apps).map(|(one, two)| (one.to_lowercase(), two.to_lowercase())).collect()
}

/// The container apps, jobs and static web apps in these groups that are not configured.
async fn others(arm: &Arm, config: &Config, groups: &BTreeSet<(String, String)>) -> Others {
    let configured: Vec<ConsumerId> =
        config.instances.iter().flat_map(ServiceConfig::beside_app_service).collect();
    let mut others = Others::default();
    for (subscription, group) in groups {
        others.join(Others::list(arm, subscription, Some(group)).await, &configured);
    }
    others.look_for_links(arm).await;
    others
}

fn is_in(groups: &BTreeSet<(String, String)>, app: &AppId) -> bool {
    groups.contains(&(app.subscription().to_lowercase(), app.group().to_lowercase()))
}

/// What lists of sites and slots show.
struct Listed {
    apps: Vec<AppId>,
    unlisted: Vec<(String, ArmError)>,
    partial: Vec<(String, Vec<AppId>)>,
}

/// The sites in the groups and in all other groups of their subscriptions, with their slots, and the lists that could not
/// be read. A list over a subscription leaves out what may not be read, and says nothing of it: so the groups that matter
/// are asked one by one besides.
async fn listed(arm: &Arm, groups: &BTreeSet<(String, String)>) -> Listed {
    let by_group = groups.iter().map(|(subscription, group)| {
        async move {
            let id = format!("/subscriptions/{subscription}/resourceGroups/{group}");
            (id, arm.list_group_sites(subscription, group).await)
        }
        .boxed()
    });
    let (mut sites, mut unlisted) = parted(at_once(by_group).await);
    let subscriptions: BTreeSet<&String> = groups.iter().map(|(subscription, _)| subscription).collect();
    let over_all = subscriptions.into_iter().map(|subscription| {
        async move { (format!("/subscriptions/{subscription}"), arm.list_sites(subscription).await) }.boxed()
    });
    let mut partial = Vec::new();
    for (subscription, list) in at_once(over_all).await {
        let (found, more) = parted(vec![(subscription.clone(), list)]);
        let is_of =
            |site: &&AppId| subscription.ends_with(&format!("/{}", site.subscription().to_lowercase()));
        let left_out = sites.iter().filter(is_of).filter(|site| !found.contains(*site));
        let left_out: Vec<AppId> = left_out.cloned().collect();
        if more.is_empty() && !left_out.is_empty() {
            partial.push((subscription, left_out));
        }
        unlisted.extend(more);
        let new: Vec<AppId> = found.into_iter().filter(|site| !sites.contains(site)).collect();
        sites.extend(new);
    }
    let (slots, more) = slots(arm, &sites).await;
    unlisted.extend(more);
    Listed { apps: sites.into_iter().chain(slots).collect(), unlisted, partial }
}
