//! Finds the instances of a resource group or subscription and the apps that hold their connection strings, and writes a
//! `rekey.toml` of it for the operator to review.
//!
//! Start at [`Found::look`]; [`write()`] is pure. What could not be read is said where it matters: an app that may not be
//! read may hold one.
//!
//! Guarantee: nothing that is written holds key material or a setting's value.

pub(crate) mod others;
mod scope;
mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use futures::FutureExt;

use crate::azure::arm::{Arm, ArmError};
use crate::azure::consumers::Marks;
use crate::azure::discovery::{Dictionaries, at_once, by_value, slots};
use crate::azure::resources::Link;
use crate::azure::services::{KeyService, ListedKeys, ServiceResource};
use crate::report::cause;
use crate::report::text::{InWords, command as words, snapshot};
pub use others::Other;
use others::Others;
use rekey_core::journal::Journal;
use rekey_core::model::{AppId, ConsumerId, ServiceId};
use rekey_core::plan::Unknown;
pub(crate) use scope::is_misnamed;
pub use scope::{Scope, ScopeError};
use stores::Stores;
pub use stores::{Named, StrangeName};

/// Everything that was found.
#[derive(Debug)]
pub struct Found {
    /// Where it was looked.
    pub scope: Scope,
    /// The services, in Azure's order.
    pub services: Vec<Service>,
    /// How many sites and slots were looked at.
    pub looked_at: usize,
    /// Those that could not be read: by id, with what Azure said.
    pub unread: Vec<(String, String)>,
    /// The lists of slots that could not be had, likewise. Which apps are not named for that is not known.
    pub unlisted: Vec<(String, String)>,
    /// The lists of the secrets and key-values of what was named that could not be had, and the secrets that could not be read,
    /// likewise.
    pub unkept: Vec<(String, String)>,
    /// The list of the apps in other resource groups of the subscription, if it could not be had, likewise.
    pub elsewhere: Option<(String, String)>,
    /// The resource groups in which apps were found.
    pub groups: BTreeSet<String>,
}

/// One service, and the apps that hold a connection string of it.
#[derive(Debug)]
pub struct Service {
    pub id: ServiceId,
    /// What the operator should know of it.
    pub remarks: Vec<String>,
    pub apps: Vec<App>,
    /// Container apps, jobs and static web apps that hold one.
    pub others: Vec<Other>,
    /// Secrets and key-values that hold one and that no app refers to, of the vaults and stores that were named.
    pub kept: Vec<Other>,
    /// Apps that may hold one all the same, with why it is not known.
    pub doubtful: Vec<App>,
}

/// One app, and what was seen of it.
#[derive(Debug)]
pub struct App {
    pub id: AppId,
    pub seen: Vec<String>,
}

/// A service with its keys, as far as they could be read.
struct Known {
    instance: ServiceResource,
    listed: Result<ListedKeys, ArmError>,
}

impl Known {
    /// By what its keys and connection strings are recognised.
    fn marks<'k>(&'k self, journal: &'k Journal) -> Marks<'k> {
        let listed = self.listed.as_ref().ok();
        let host = listed.and_then(|listed| listed.host.as_deref()).or(self.instance.host_name.as_deref());
        Marks { keys: listed.map(|listed| &listed.keys), host: host.unwrap_or_default(), journal }
    }
}

/// An app, what it holds, and what Service Connector linked it to.
type Read = (AppId, Dictionaries, Vec<Link>);

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
                let listed = instance.id.service_type().list_keys(arm, &instance.id).await;
                Known { instance, listed }
            }
            .boxed()
        }))
        .await;
        let reads = at_once(apps.into_iter().map(|app| {
            async move {
                let read = Dictionaries::read(arm, &app).await;
                let asks = read.error().is_none() && !read.is_gone();
                let links = if asks { arm.links(&app.to_string()).await } else { Ok(Vec::new()) };
                (app, read, links)
            }
            .boxed()
        }))
        .await;
        let mut unread = Vec::new();
        let mut taken = |(app, read, links): (AppId, Dictionaries, Result<Vec<Link>, ArmError>)| {
            let errors = read.error().into_iter().chain(links.as_ref().err());
            unread.extend(errors.map(|error| (app.to_string(), cause::told(error))));
            (app, read, links.unwrap_or_default())
        };
        let reads: Vec<Read> = reads.into_iter().map(&mut taken).collect();
        let of_site = |(site, error): (String, ArmError)| (format!("{site}/slots"), cause::told(&error));
        let mut others = Others::list(arm, scope.subscription(), scope.group()).await;
        others.look_for_links(arm).await;
        let unlisted = unlisted.into_iter().map(of_site).collect();
        let mut services: Vec<Service> = known.iter().map(|known| service(known, &reads, &scope)).collect();
        let ids: Vec<ServiceId> = services.iter().map(|service| service.id.clone()).collect();
        for (service, of_it) in services.iter_mut().zip(others::of_all(&others, arm, &ids).await) {
            service.others = of_it;
        }
        let stores = Stores::read(arm, scope.named()).await;
        for (service, known) in services.iter_mut().zip(&known) {
            service.kept = stores.of(known, &reads);
        }
        let looked_at = reads.len() + others.len();
        let unread =
            unread.into_iter().chain(others.unlisted).chain(others.unlinked).chain(stores.unread).collect();
        let closed = stores.closed.into_iter().map(|(secret, why)| (secret.to_string(), why));
        let unkept = stores.unlisted.into_iter().chain(closed).collect();
        Ok(Self { scope, services, looked_at, unread, unlisted, unkept, elsewhere, groups })
    }

    /// What could not be read and listed.
    fn not_seen(&self) -> impl Iterator<Item = &(String, String)> {
        self.unread.iter().chain(&self.unlisted).chain(&self.unkept).chain(&self.elsewhere)
    }

    /// Why the file may lack what holds a key, though it was asked to be looked for: it is no good end.
    pub fn lacks(&self) -> Option<&'static str> {
        match (self.unlisted.is_empty(), self.unkept.is_empty()) {
            (true, true) => None,
            (false, _) => Some(words::INIT_SLOTS_MISSING),
            (true, false) => Some(words::INIT_STORES_MISSING),
        }
    }

    /// Where it was looked, in words.
    pub fn place(&self) -> String {
        let groups: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
        format!(
            "{} for services, and for their apps in all resource groups of /subscriptions/{} that show any ({groups})",
            self.scope,
            self.scope.subscription()
        )
    }

    /// What was found, in lines for the operator.
    pub fn summary(&self) -> Vec<String> {
        let head = format!("searched {}: {} apps and slots", self.place(), self.looked_at);
        let service = |service: &Service| {
            let named = match service.apps.len() + service.others.len() + service.kept.len() {
                0 => "no app that holds a connection string of it was found".to_owned(),
                1 => "1 consumer is named: it holds a connection string or a key of it, or may".to_owned(),
                number if service.others.is_empty() && service.kept.is_empty() => {
                    format!("{number} apps are named: each holds a connection string of it, or may")
                }
                number => format!(
                    "{number} consumers are named: each holds a connection string or a key of it, or may"
                ),
            };
            let doubtful = match service.doubtful.len() {
                0 => String::new(),
                number => format!("; less likely to hold one, and in a comment alone: {number}"),
            };
            format!("{}: {named}{doubtful}", service.id)
        };
        let unread = |(id, why): &(String, String)| format!("{id} may hold one: it could not be read: {why}");
        let services = self.services.iter().map(service);
        [head].into_iter().chain(services).chain(self.not_seen().map(unread)).collect()
    }
}

impl Service {
    /// Whether anything was found that holds a key of it.
    const fn names_any(&self) -> bool {
        !(self.apps.is_empty() && self.others.is_empty() && self.kept.is_empty())
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

fn service(known: &Known, reads: &[Read], scope: &Scope) -> Service {
    let Known { instance, listed } = known;
    let mut service = Service {
        id: instance.id.clone(),
        remarks: remarks(known),
        apps: vec![],
        others: vec![],
        kept: vec![],
        doubtful: vec![],
    };
    let journal = Journal::default();
    let marks = known.marks(&journal);
    for (app, settings, links) in reads {
        let shown = settings.shown(&by_value(app), marks, Some(&[]));
        let followed = settings.followed(&by_value(app));
        let followed = followed.iter().map(|one| snapshot::follows(&one.at.name, &one.reference.secret));
        let readers = settings.readers(&by_value(app), &[]);
        let readers = readers.iter().map(|one| snapshot::refers_to(&one.at.name, &one.of));
        let consumers = shown.consumers.iter().map(|consumer| {
            let at = &consumer.at;
            match listed {
                Ok(_) => format!("{} {}", at.entry(), snapshot::holds(consumer, &shown)),
                Err(_) => at.entry(),
            }
        });
        let linked = others::led(links, &instance.id);
        let seen: Vec<String> = consumers.chain(followed).chain(readers).chain(linked).collect();
        let unclear: Vec<String> = shown.unknown.iter().map(InWords::in_words).collect();
        // What could not be read, or is a key in a place or a form where it cannot be replaced, or leads to one by its name,
        // is named: so the app stands in the way of a rotation until it is cured. Left out, it would be cut off.
        let is_unclear = |unknown: &Unknown| matches!(unknown, Unknown::OnlyReferences { .. });
        let holds_one = !seen.is_empty() || !shown.unknown.iter().all(is_unclear);
        // In a group that nobody asked for, what cannot be read is most likely none of ours: that is said, and not named.
        let unread = settings.error().filter(|_| !settings.is_gone() && scope.covers(app));
        let unread = unread.map(|error| named_unread(&cause::told(error)));
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

/// What is said of an app or secret that could not be read: left out, whoever has a key from it would be cut off.
fn named_unread(why: &str) -> String {
    format!("it could not be read, and is named so that it blocks: {why}")
}

fn remarks(known: &Known) -> Vec<String> {
    let Known { instance, listed } = known;
    let off = instance.disable_local_auth.then(|| {
        "access keys are disabled (disableLocalAuth), which deleted them: an app that holds one is refused, and each run fails, until they are enabled again"
            .to_owned()
    });
    let stopped = instance.stopped.then(|| "it is stopped".to_owned());
    let failed = listed.as_ref().err().filter(|_| off.is_none());
    let by_host = failed.map(|error| {
        format!(
            "its keys could not be listed, so its apps were recognised only by the host: {}",
            cause::told(error)
        )
    });
    [off, stopped, by_host].into_iter().flatten().collect()
}

/// The text of `rekey.toml`; none where no instance has an app, for such a file would name nothing to do.
pub fn write(found: &Found) -> Option<String> {
    let (with_apps, without): (Vec<_>, Vec<_>) =
        found.services.iter().partition(|service| service.names_any());
    if with_apps.is_empty() {
        return None;
    }
    let mut text = head(found);
    for service in with_apps {
        entry(&mut text, service);
    }
    for service in without {
        comment(
            &mut text,
            "",
            &format!("\nno app was found that holds a connection string of {}", service.id),
        );
        about(&mut text, "", service);
    }
    Some(text)
}

fn head(found: &Found) -> String {
    let mut text = String::new();
    let number = found.looked_at;
    comment(&mut text, "", "Written by signalr-rekey init; review it before anything is rotated by it.");
    comment(
        &mut text,
        "",
        &format!(
            "It searched {}, found {number} apps and slots there, and checked nothing else.",
            found.place()
        ),
    );
    let rest = "An app elsewhere that holds a connection string must be added: one that is not named keeps a key that will become invalid.";
    comment(&mut text, "", rest);
    for (id, why) in found.not_seen() {
        comment(&mut text, "", &format!("{id} may hold one: it could not be read: {why}"));
    }
    text
}

fn entry(text: &mut String, service: &Service) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n[[instance]]\nid = \"{}\"", service.id);
    about(text, "", service);
    let apps = service.apps.iter().map(|app| ("apps", format!("\"{}\"", app.id), &app.seen));
    let others = service.others.iter().chain(&service.kept);
    let others = others.map(|other| (key_of(&other.id), stores::entry(&other.id), &other.seen));
    let all: Vec<_> = apps.chain(others).collect();
    for of_key in all.chunk_by(|(one, ..), (other, ..)| one == other) {
        for (at, (key, id, seen)) in of_key.iter().enumerate() {
            if at == 0 {
                let _ = writeln!(text, "{key} = [");
            }
            seen.iter().for_each(|line| comment(text, "  ", line));
            let _ = writeln!(text, "  {id},");
        }
        text.push_str("]\n");
    }
}

/// Where in an entry a consumer is listed.
const fn key_of(consumer: &ConsumerId) -> &'static str {
    match consumer {
        ConsumerId::AppService(_) => "apps",
        ConsumerId::KeyVaultSecret(_) => "vault_secrets",
        ConsumerId::KeyValue(_) => "app_configuration",
        ConsumerId::ContainerApp(_) => "container_apps",
        ConsumerId::StaticWebApp(_) => "static_web_apps",
        ConsumerId::Reporter(_) => "reporters",
        ConsumerId::Manual(_) => "manual",
    }
}

/// The remarks on a service, and the apps that may hold a connection string of it.
fn about(text: &mut String, indent: &str, service: &Service) {
    service.remarks.iter().for_each(|remark| comment(text, indent, remark));
    for App { id, seen } in &service.doubtful {
        comment(text, indent, &format!("{id} may hold one: {}", seen.join("; ")));
    }
}

/// One line, whatever is in it: TOML allows no control characters in a comment, and names come from Azure.
fn comment(text: &mut String, indent: &str, line: &str) {
    if line.starts_with('\n') {
        text.push('\n');
    }
    let plain: String = line.trim().chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    let _ = writeln!(text, "{indent}# {plain}");
}
