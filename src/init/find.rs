//! What there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::FutureExt;

use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Barrier, Instance, ListedKeys, Site};
use crate::observe::survey::{Dictionaries, Marks, at_once, by_value, slots};
use crate::report::InWords;
use crate::report::cause;
use rekey_core::journal::Journal;
use rekey_core::model::{AppId, ServiceId};
use rekey_core::plan::Unknown;

/// Where it is looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    subscription: String,
    group: Option<String>,
}

/// Why it is not clear where to look.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// The group is given by its name, and its subscription is not.
    #[error("there are several subscriptions; name one with --subscription: {0}")]
    Several(String),
    /// The identity sees no subscription that is at work.
    #[error("no subscription can be seen; name one with --subscription")]
    None,
    /// What is given is neither a name nor an id, or two things that exclude each other.
    #[error("{0}")]
    Unclear(String),
    /// The subscriptions cannot be listed.
    #[error(transparent)]
    Arm(#[from] ArmError),
}

/// Everything that was found.
#[derive(Debug)]
pub struct Found {
    /// Where it was looked.
    pub scope: Scope,
    /// The instances, in Azure's order.
    pub services: Vec<Service>,
    /// How many sites and slots were looked at.
    pub looked_at: usize,
    /// Those that could not be read: by id, with what Azure said.
    pub unread: Vec<(String, String)>,
    /// The lists of slots that could not be had, likewise. Which apps are not named for that is not known.
    pub unlisted: Vec<(String, String)>,
    /// The list of the apps in other resource groups of the subscription, if it could not be had, likewise.
    pub elsewhere: Option<(String, String)>,
    /// The resource groups in which apps were found.
    pub groups: BTreeSet<String>,
}

/// One instance, and the apps that hold a connection string of it.
#[derive(Debug)]
pub struct Service {
    /// The instance.
    pub id: ServiceId,
    /// What the operator should know of it.
    pub remarks: Vec<String>,
    /// The apps.
    pub apps: Vec<App>,
    /// Apps that may hold one all the same, with why it is not known.
    pub doubtful: Vec<App>,
}

/// One app, and what was seen of it.
#[derive(Debug)]
pub struct App {
    /// The app.
    pub id: AppId,
    /// What was seen.
    pub seen: Vec<String>,
}

impl Scope {
    /// Reads what was given. Without a subscription the only one that can be seen is meant.
    pub async fn find(
        arm: &Arm,
        group: Option<&str>,
        subscription: Option<&str>,
    ) -> Result<Self, ScopeError> {
        let (subscription, group) = match group {
            Some(id) if id.contains('/') => {
                let (of_id, group) = read_group(id)?;
                if subscription.is_some_and(|given| !given.eq_ignore_ascii_case(&of_id)) {
                    return Err(ScopeError::Unclear("the group's id names another subscription".into()));
                }
                (Some(of_id), Some(group))
            }
            name => (subscription.map(ToOwned::to_owned), name.map(ToOwned::to_owned)),
        };
        let subscription = match subscription {
            Some(subscription) => subscription,
            None => only_subscription(arm).await?,
        };
        // They become part of a path.
        let clean = |part: &str| part.chars().all(|sign| sign.is_alphanumeric() || "-_.()".contains(sign));
        let strange = |part: &&String| part.is_empty() || !clean(part);
        if let Some(part) = [Some(&subscription), group.as_ref()].into_iter().flatten().find(strange) {
            return Err(ScopeError::Unclear(format!(
                "{part:?} is no name or id of that kind: correct --resource-group or --subscription"
            )));
        }
        Ok(Self { subscription, group })
    }

    async fn instances(&self, arm: &Arm) -> Result<Vec<Instance>, ArmError> {
        let listed = match &self.group {
            Some(group) => arm.list_group_instances(&self.subscription, group).await,
            None => arm.list_instances(&self.subscription).await,
        };
        listed.map_err(by_flag)
    }

    /// The sites: those of the group first, and then all others of the subscription, for an instance of the group may have
    /// its apps anywhere; with why the others could not be listed.
    async fn sites(&self, arm: &Arm) -> Result<(Vec<AppId>, Option<(String, String)>), ArmError> {
        let ids = |sites: Vec<Site>| sites.into_iter().map(|site| site.id).collect::<Vec<AppId>>();
        let all = arm.list_sites(&self.subscription).await;
        let Some(group) = &self.group else { return Ok((ids(all.map_err(by_flag)?), None)) };
        let mut sites = ids(arm.list_group_sites(&self.subscription, group).await.map_err(by_flag)?);
        match all.map(ids) {
            Ok(all) => {
                let others: Vec<AppId> = all.into_iter().filter(|site| !sites.contains(site)).collect();
                sites.extend(others);
                Ok((sites, None))
            }
            Err(error) => {
                let other = format!("an app in another group of /subscriptions/{}", self.subscription);
                Ok((sites, Some((other, cause::told(&error)))))
            }
        }
    }

    /// Whether an app is in it.
    fn covers(&self, app: &AppId) -> bool {
        self.group.as_ref().is_none_or(|group| group.eq_ignore_ascii_case(app.group()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/subscriptions/{}", self.subscription)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, "/resourceGroups/{group}"))
    }
}

/// Whether what was asked for, and named by a flag, does not exist.
#[must_use]
pub fn is_misnamed(error: &ArmError) -> bool {
    matches!(error.kind(), ArmErrorKind::Gone | ArmErrorKind::Barred(Barrier::UnknownSubscription))
}

/// Where it is looked was named by a flag, and by no file.
fn by_flag(error: ArmError) -> ArmError {
    match error.kind() {
        ArmErrorKind::Gone => error.advising(
            "there is no such resource group in that subscription: correct --resource-group or --subscription (`az group list` \
             shows the groups)",
        ),
        ArmErrorKind::Barred(Barrier::UnknownSubscription) => error.advising(
            "the tenant of the identity knows no such subscription: correct --subscription, or the id in --resource-group, or \
             sign in to its tenant (`az account list` shows what you see)",
        ),
        _ => error,
    }
}

fn read_group(id: &str) -> Result<(String, String), ScopeError> {
    let parts: Vec<&str> = id.trim_matches('/').split('/').collect();
    match parts[..] {
        [one, subscription, two, group]
            if one.eq_ignore_ascii_case("subscriptions") && two.eq_ignore_ascii_case("resourceGroups") =>
        {
            Ok((subscription.to_owned(), group.to_owned()))
        }
        _ => Err(ScopeError::Unclear(format!(
            "{id:?} is no id of a resource group; write /subscriptions/{{subscription}}/resourceGroups/{{group}}, or its \
             name"
        ))),
    }
}

async fn only_subscription(arm: &Arm) -> Result<String, ScopeError> {
    let all = arm.list_subscriptions().await?;
    let at_work: Vec<_> = all.iter().filter(|one| one.state.eq_ignore_ascii_case("Enabled")).collect();
    match at_work[..] {
        [] => Err(ScopeError::None),
        [only] => Ok(only.id.clone()),
        _ => {
            let named = at_work.iter().map(|one| format!("{} ({})", one.id, one.display_name));
            Err(ScopeError::Several(named.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// An instance with its keys, as far as they could be read.
struct Known {
    instance: Instance,
    listed: Result<ListedKeys, ArmError>,
}

/// An app with its dictionaries.
type Read = (AppId, Dictionaries);

impl Found {
    /// Looks. It fails only where nothing at all can be said.
    pub async fn look(arm: &Arm, scope: Scope) -> Result<Self, ArmError> {
        let instances = scope.instances(arm).await?;
        let (sites, elsewhere) = scope.sites(arm).await?;
        let groups = sites.iter().map(|site| site.group().to_lowercase()).collect();
        let (slots, unlisted) = slots(arm, &sites).await;
        let apps = in_order(sites, slots);
        let known = at_once(instances.into_iter().map(|instance| {
            async move {
                let listed = arm.list_keys(&instance.id).await;
                Known { instance, listed }
            }
            .boxed()
        }))
        .await;
        let reads = at_once(apps.into_iter().map(|app| {
            async move {
                let read = Dictionaries::read(arm, &app).await;
                (app, read)
            }
            .boxed()
        }))
        .await;
        let unread = reads.iter().filter_map(unreadable).collect();
        let of_site = |(site, error): (String, ArmError)| (format!("{site}/slots"), cause::told(&error));
        let unlisted = unlisted.into_iter().map(of_site).collect();
        let services = known.iter().map(|known| service(known, &reads, &scope)).collect();
        Ok(Self { scope, services, looked_at: reads.len(), unread, unlisted, elsewhere, groups })
    }

    /// What could not be read and listed.
    pub(super) fn not_seen(&self) -> impl Iterator<Item = &(String, String)> {
        self.unread.iter().chain(&self.unlisted).chain(&self.elsewhere)
    }

    /// Where it was looked, in words.
    #[must_use]
    pub fn place(&self) -> String {
        let groups: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
        format!(
            "{} for instances, and for their apps in all resource groups of /subscriptions/{} that show any ({groups})",
            self.scope, self.scope.subscription
        )
    }

    /// What was found, in lines for the operator.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let head = format!("looked in {}: {} apps and slots", self.place(), self.looked_at);
        let service = |service: &Service| {
            let named = match service.apps.len() {
                0 => "no app that holds a connection string of it was found".to_owned(),
                1 => "1 app is named: it holds a connection string of it, or may".to_owned(),
                number => format!("{number} apps are named: each holds a connection string of it, or may"),
            };
            let doubtful = match service.doubtful.len() {
                0 => String::new(),
                number => format!("; less likely to hold one, and in a comment alone: {number}"),
            };
            format!("{}: {named}{doubtful}", service.id)
        };
        let unread =
            |(id, why): &(String, String)| format!("{id} may hold one: could not be read because {why}");
        let services = self.services.iter().map(service);
        [head].into_iter().chain(services).chain(self.not_seen().map(unread)).collect()
    }
}

/// Each site with its slots behind it.
fn in_order(sites: Vec<AppId>, slots: Vec<AppId>) -> Vec<AppId> {
    let mut of: BTreeMap<AppId, Vec<AppId>> = BTreeMap::new();
    for slot in slots {
        let site = AppId::new(slot.subscription(), slot.group(), slot.site(), None);
        of.entry(site).or_default().push(slot);
    }
    sites
        .into_iter()
        .flat_map(|site| {
            let slots = of.remove(&site).unwrap_or_default();
            std::iter::once(site).chain(slots)
        })
        .collect()
}

fn unreadable((app, settings): &Read) -> Option<(String, String)> {
    Some((app.to_string(), cause::told(settings.error()?)))
}

fn service(known: &Known, reads: &[Read], scope: &Scope) -> Service {
    let Known { instance, listed } = known;
    let mut service =
        Service { id: instance.id.clone(), remarks: remarks(known), apps: vec![], doubtful: vec![] };
    let journal = Journal::default();
    let host =
        listed.as_ref().ok().and_then(|listed| listed.host.as_deref()).or(instance.host_name.as_deref());
    let keys = listed.as_ref().ok().map(|listed| &listed.keys);
    let marks = Marks { keys, host: host.unwrap_or_default(), journal: &journal };
    for (app, settings) in reads {
        let snapshot = settings.shown(&by_value(app), marks);
        let consumers = snapshot.consumers.iter().map(|consumer| {
            let at = &consumer.at;
            match listed {
                Ok(_) => format!("{} {} holds {}", at.section.entry(), at.name, consumer.holds.in_words()),
                Err(_) => format!("{} {}", at.section.entry(), at.name),
            }
        });
        let seen: Vec<String> = consumers.collect();
        let unclear: Vec<String> = snapshot.unknown.iter().map(InWords::in_words).collect();
        // What could not be read, or is a key in a place or a form that cannot be rewritten, or leads to one by its name,
        // is named: so the app stands in the way of a rotation until it is cured. Left out, it would be cut off.
        let is_unclear = |unknown: &Unknown| matches!(unknown, Unknown::OnlyReferences { .. });
        let holds_one = !seen.is_empty() || !snapshot.unknown.iter().all(is_unclear);
        // In a group that nobody asked for, what cannot be read is most likely none of ours: that is said, and not named.
        let unread = settings.error().filter(|_| !settings.is_gone() && scope.covers(app));
        let unread = unread.map(|error| {
            format!("it could not be read, and is named so that it blocks: {}", cause::told(error))
        });
        let is_named = holds_one || unread.is_some();
        let found = App { id: app.clone(), seen: [seen, unclear, unread.into_iter().collect()].concat() };
        match (is_named, found.seen.is_empty()) {
            (true, _) => service.apps.push(found),
            (false, false) => service.doubtful.push(found),
            (false, true) => {}
        }
    }
    service
}

fn remarks(known: &Known) -> Vec<String> {
    let Known { instance, listed } = known;
    let off = instance.disable_local_auth.then(|| {
        "access keys are switched off (disableLocalAuth), which deleted them: an app that holds one is refused, and each \
         run fails, until they are switched on again"
            .to_owned()
    });
    let stopped = instance.stopped.then(|| "it is stopped".to_owned());
    let failed = listed.as_ref().err().filter(|_| off.is_none());
    let by_host = failed.map(|error| {
        format!(
            "its keys could not be listed, so its apps were recognised by the host alone: {}",
            cause::told(error)
        )
    });
    [off, stopped, by_host].into_iter().flatten().collect()
}
