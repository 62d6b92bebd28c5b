//! What is done to the embedded Azure: through ARM, by Azure itself, and by other people.

mod containers;
mod given;
mod key_values;
mod late;
mod secrets;
mod static_sites;
mod writes;

use std::collections::BTreeMap;

use axum::http::Method;

use crate::activity::ActivityKind;
use crate::app::{App, Section};
use crate::barriers::{Barrier, BarrierKind};
use crate::faults::FaultKind;
use crate::ids::{Key, KeyType, Pair};
use crate::placeholders::{self, NoSuchService, Placeholders};
use crate::roles::{Denial, DeniedBy};
use crate::service::{Service, Status};
use crate::state::State;
use crate::traffic::{Connection, Tally, read_connections};
use crate::world::{ConnectionStringEntry, Site, SiteIdentity, World, WorldError};

/// A name that the embedded Azure does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} named {name:?}; there is {known}")]
pub struct Unknown {
    kind: &'static str,
    name: String,
    known: String,
}

impl State {
    /// Writes one app setting, or with `None` removes it, as a person does in the portal. The app restarts. The
    /// placeholders of the world file stand for the keys of this moment.
    pub fn edit_setting(&mut self, app: &str, name: &str, value: Option<&str>) -> Result<(), EditError> {
        let at = self.app(app)?;
        let mut settings = self.apps[at].settings.clone();
        match value {
            Some(value) => {
                let value = self.fill(value, app)?;
                self.plant(at, &value);
                settings.insert(name.to_owned(), value)
            }
            None => settings.remove(name),
        };
        self.replace_settings(at, settings);
        self.announce_colleague(Method::PUT, &format!("{}/config/appsettings", self.apps[at].id));
        Ok(())
    }

    /// Writes one entry of the connection-string section, or with `None` removes it.
    pub fn edit_connection_string(
        &mut self,
        app: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), EditError> {
        let at = self.app(app)?;
        let mut entries = self.apps[at].connection_strings.clone();
        match value {
            Some(value) => {
                let value = self.fill(value, app)?;
                self.plant(at, &value);
                entries.insert(name.to_owned(), ConnectionStringEntry { value, kind: "Custom".into() })
            }
            None => entries.remove(name),
        };
        self.replace_connection_strings(at, entries);
        self.announce_colleague(Method::PUT, &format!("{}/config/connectionstrings", self.apps[at].id));
        Ok(())
    }

    /// Adds a site with its slots.
    pub fn add_site(&mut self, site: Site) -> Result<(), WorldError> {
        let taken = |app: &&str| self.app(app).is_ok();
        if let Some(name) = Some(site.name.as_str()).filter(taken) {
            return Err(WorldError::Twice(name.to_owned()));
        }
        let (subscription, sites) = (self.subscription.clone(), vec![site]);
        let world = World { subscription, signalr: Vec::new(), sites, ..World::default() };
        world.check()?;
        for app in world.build(&self.pairs())? {
            self.announce_colleague(Method::PUT, &app.id.to_string());
            self.add_app(app);
        }
        Ok(())
    }

    /// Gives a site, or `site/slot`, other identities. Whether the platform fetches references anew by that no document says;
    /// here it does, as for any change of the configuration.
    pub fn identify(&mut self, app: &str, identity: SiteIdentity) -> Result<(), Unknown> {
        let at = self.app(app)?;
        self.apps[at].identity = identity;
        self.fetch(at);
        self.restart(at);
        Ok(())
    }

    /// Deletes a site with its slots, or one slot (`site/slot`).
    pub fn delete_site(&mut self, app: &str) -> Result<(), Unknown> {
        let at = self.app(app)?;
        let id = self.apps[at].id.clone();
        for other in self.apps.iter_mut().filter(|other| {
            other.id == id || (id.slot.is_none() && other.id.site.eq_ignore_ascii_case(&id.site))
        }) {
            other.deleted = true;
            other.tallies.values_mut().for_each(Tally::close);
        }
        self.tell(ActivityKind::Deleted { name: app.to_owned() });
        self.announce_colleague(Method::DELETE, &id.to_string());
        Ok(())
    }

    /// Deletes a service. Its clients are not counted any more: no rotation could keep them.
    pub fn delete_service(&mut self, service: &str) -> Result<(), Unknown> {
        let at = self.service(service)?;
        self.services[at].deleted = true;
        self.disconnect(at);
        self.tell(ActivityKind::Deleted { name: service.to_owned() });
        self.announce_colleague(Method::DELETE, &self.services[at].id.to_string());
        Ok(())
    }

    /// Switches access keys off, or on again. Switched off, the keys are deleted for good, and with them ends what they have
    /// signed; switched on again there are new ones (docs: Disable local authentication for Azure SignalR Service).
    pub fn disable_local_auth(&mut self, service: &str, disabled: bool) -> Result<(), Unknown> {
        let at = self.service(service)?;
        let deletes = disabled && !self.services[at].disable_local_auth;
        let next = deletes.then(|| KeyType::ALL.map(|key_type| (key_type, self.keys.key())));
        self.change(&|_, service| service == at, |state| {
            state.services[at].disable_local_auth = disabled;
            // Nobody is told the next ones, nor do they work, before they are switched on.
            for (key_type, key) in next.into_iter().flatten() {
                state.services[at].replace_by_force(key_type, key);
            }
        });
        self.announce_colleague(Method::PATCH, &self.services[at].id.to_string());
        Ok(())
    }

    /// The app settings of a site or `site/slot`.
    pub fn settings(&self, app: &str) -> Result<BTreeMap<String, String>, Unknown> {
        Ok(self.apps[self.app(app)?].settings.clone())
    }

    /// The tags of a service.
    pub fn tags(&self, service: &str) -> Result<BTreeMap<String, String>, Unknown> {
        Ok(self.services[self.service(service)?].tags.clone())
    }

    /// The connection-string section of a site or `site/slot`.
    pub fn connection_strings(&self, app: &str) -> Result<BTreeMap<String, ConnectionStringEntry>, Unknown> {
        Ok(self.apps[self.app(app)?].connection_strings.clone())
    }

    /// Whether an app's old process is still serving while its new one starts.
    pub fn is_restarting(&self, app: &str) -> Result<bool, Unknown> {
        Ok(self.apps[self.app(app)?].restarting())
    }

    /// The request that the running hook waited for goes wrong in this way, whatever else was planned for it.
    pub fn spoil(&mut self, kind: FaultKind) {
        self.spoiled = Some(kind);
    }

    /// The keys that the data plane accepts.
    pub fn keys(&self, service: &str) -> Result<Pair<Key>, Unknown> {
        Ok(self.services[self.service(service)?].effective())
    }

    /// Moves a site, with its slots, to another resource group: its old id answers 404 from now on, and its apps run on
    /// (docs: Move resources to a new resource group or subscription). The old group stays.
    pub fn move_site(&mut self, app: &str, group: &str) -> Result<(), Unknown> {
        let id = self.apps[self.app(app)?].id.clone();
        self.empty_groups.insert(id.group.clone());
        for other in self.apps.iter_mut().filter(|other| {
            !other.deleted
                && other.id.group.eq_ignore_ascii_case(&id.group)
                && other.id.site.eq_ignore_ascii_case(&id.site)
        }) {
            group.clone_into(&mut other.id.group);
        }
        Ok(())
    }

    /// Lets references to a secret or key of this name, in no vault that there is, lead to a value, or with `None` nowhere.
    /// Apps read it when they next fetch their references, which they do when their configuration changes (docs: Use Key
    /// Vault references).
    pub fn lead_references(&mut self, name: &str, value: Option<&str>) -> Result<(), NoSuchService> {
        let name = name.to_lowercase();
        match value {
            Some(value) => {
                let value = self.fill(value, &name)?;
                self.references.insert(name, value)
            }
            None => self.references.remove(&name),
        };
        Ok(())
    }

    /// Takes from the caller an action, or a pattern of actions, at a scope and below it.
    pub fn deny(&mut self, scope: &str, action: &str) {
        self.denials.push(Denial::of_the_caller(scope, action, DeniedBy::Role));
    }

    /// The same, in whatever way.
    pub fn deny_by(&mut self, denial: Denial) {
        self.denials.push(denial);
    }

    /// The same, by a deny assignment.
    pub fn assign_denial(&mut self, scope: &str, action: &str) {
        self.denials.push(Denial::of_the_caller(scope, action, DeniedBy::DenyAssignment));
    }

    /// Takes from the identity of an app a data action at a scope and below it.
    pub fn deny_app(&mut self, app: &str, scope: &str, action: &str) {
        let app = Some(app.to_owned());
        self.denials.push(Denial { app, ..Denial::of_the_caller(scope, action, DeniedBy::Role) });
    }

    /// Gives everything back.
    pub fn allow_all(&mut self) {
        self.denials.clear();
    }

    /// Puts up a barrier.
    pub fn bar(&mut self, scope: &str, kind: BarrierKind) {
        self.barriers.push(Barrier { scope: scope.to_owned(), kind });
    }

    /// Takes all barriers away.
    pub fn lift_barriers(&mut self) {
        self.barriers.clear();
    }

    /// Replaces a section of the settings; the app restarts if anything is different.
    pub(crate) fn replace(&mut self, at: usize, section: Section) {
        match section {
            Section::Settings(settings) => self.replace_settings(at, settings),
            Section::ConnectionStrings(entries) => self.replace_connection_strings(at, entries),
        }
    }

    /// Replaces the app settings; the app restarts if anything is different.
    fn replace_settings(&mut self, at: usize, settings: BTreeMap<String, String>) {
        let old = std::mem::replace(&mut self.apps[at].settings, settings);
        let new = self.apps[at].settings.clone();
        let names = different(&old, &new);
        let place = self.apps[at].name.clone();
        self.hand_over(&place, old.values().map(String::as_str), new.values().map(String::as_str));
        self.settings_changed(at, names);
    }

    /// Replaces the connection-string section; the app restarts if anything is different.
    fn replace_connection_strings(&mut self, at: usize, entries: BTreeMap<String, ConnectionStringEntry>) {
        let old = std::mem::replace(&mut self.apps[at].connection_strings, entries);
        let new = self.apps[at].connection_strings.clone();
        let names = different(&old, &new);
        let place = self.apps[at].name.clone();
        let values = |entry: &'_ ConnectionStringEntry| entry.value.clone();
        let [before, after]: [Vec<String>; 2] = [&old, &new].map(|all| all.values().map(values).collect());
        self.hand_over(&place, before.iter().map(String::as_str), after.iter().map(String::as_str));
        self.settings_changed(at, names);
    }

    /// The resource groups, deleted resources' included.
    pub(crate) fn groups(&self) -> Vec<String> {
        let services = self.services.iter().map(|one| one.id.group.as_str());
        let vaults = self.vaults.iter().map(|vault| vault.id.group.as_str());
        let stores = self.stores.iter().map(|store| store.id.group.as_str());
        let apps = self.apps.iter().map(|app| app.id.group.as_str());
        let containers = self.containers.iter().map(|one| one.id.group.as_str());
        let static_sites = self.static_sites.iter().map(|site| site.id.group.as_str());
        let apps = apps.chain(containers).chain(static_sites);
        let all = services
            .chain(vaults)
            .chain(stores)
            .chain(apps)
            .chain(self.empty_groups.iter().map(String::as_str));
        let by_folded: BTreeMap<String, String> =
            all.map(|group| (group.to_lowercase(), group.to_owned())).collect();
        by_folded.into_values().collect()
    }

    /// Adding, removing or editing a setting restarts the app (docs: Configure an App Service app).
    fn settings_changed(&mut self, at: usize, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let now = self.now;
        self.apps[at].modified = now;
        // "An immediate refetch of all referenced secrets" (docs: Use Key Vault references, Rotation).
        self.fetch(at);
        let app = self.apps[at].name.clone();
        self.restart(at);
        self.tell(ActivityKind::SettingsChanged { app, names });
        self.announce_settings(at);
    }

    /// Notes what another person does to an app that its clients will suffer from: a reference is as good as what it
    /// leads to.
    fn plant(&mut self, at: usize, value: &str) {
        let led = self
            .platform()
            .resolve(&self.apps[at].name, &self.apps[at].identity, value)
            .and_then(|resolution| resolution.value);
        let planted = self.invalid_keys_in(&[led.as_deref().unwrap_or(value)]);
        self.apps[at].planted.extend(planted);
    }

    /// The keys in values that do not work, or will be replaced by a regeneration that is already under way.
    pub(crate) fn invalid_keys_in(&self, values: &[&str]) -> Vec<Key> {
        let is_replaced = |at: usize, key: &Key| {
            self.operations.iter().any(|operation| {
                let replaces =
                    |(key_type, _): &(KeyType, Key)| self.services[at].keys[*key_type].effective == *key;
                operation.service == at
                    && operation.status == Status::Running
                    && operation.key.as_ref().is_some_and(replaces)
            })
        };
        read_connections(values, &self.services)
            .into_iter()
            .filter(|Connection { service, key }| {
                let works = self.services[*service].effective().values().contains(&key);
                !works || is_replaced(*service, key)
            })
            .map(|connection| connection.key)
            .collect()
    }

    pub(crate) fn fill(&self, value: &str, place: &str) -> Result<String, NoSuchService> {
        placeholders::fill(value, &self.pairs(), place)
    }

    /// What placeholders stand for.
    fn pairs(&self) -> Placeholders {
        let present = self.services.iter().filter(|one| !one.deleted);
        present.map(|one| (one.id.name().to_lowercase(), (one.host(), one.effective()))).collect()
    }

    pub(crate) fn service(&self, name: &str) -> Result<usize, Unknown> {
        let fits = |one: &Service| !one.deleted && matches_name(one.id.name(), &one.id.to_string(), name);
        self.services.iter().position(fits).ok_or_else(|| {
            let known = self.services.iter().filter(|one| !one.deleted).map(|one| one.id.name());
            Unknown { kind: "SignalR service", name: name.to_owned(), known: enumerate(known) }
        })
    }

    pub(crate) fn app(&self, name: &str) -> Result<usize, Unknown> {
        let present = |app: &&App| !app.deleted;
        let fits = |app: &App| present(&app) && matches_name(&app.name, &app.id.to_string(), name);
        self.apps.iter().position(fits).ok_or_else(|| {
            let known = self.apps.iter().filter(present).map(|app| app.name.as_str());
            Unknown { kind: "app", name: name.to_owned(), known: enumerate(known) }
        })
    }
}

/// Why an edit was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such app, vault, secret, store or key-value.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// A placeholder in the value names no service.
    #[error(transparent)]
    Placeholder(#[from] NoSuchService),
    /// The secret is deleted, and its name cannot be reused before it is recovered or purged.
    #[error("the secret {0:?} is deleted: recover it or purge it first")]
    Deleted(String),
    /// The key-value is locked: it has to be unlocked first.
    #[error("the key-value {0:?} is locked: unlock it first")]
    Locked(String),
    /// App Configuration takes no such key.
    #[error("{0:?} is no key of a key-value")]
    BadKey(String),
    /// Key Vault takes no such name.
    #[error("{0:?} is no name of a secret; use letters, digits and hyphens")]
    BadName(String),
}

fn matches_name(own: &str, id: &str, wanted: &str) -> bool {
    own.eq_ignore_ascii_case(wanted) || id.eq_ignore_ascii_case(wanted)
}

fn enumerate<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.take(20).collect();
    if names.is_empty() { "none at all".into() } else { names.join(", ") }
}

/// The names of what was added, removed or given another value.
fn different<T: PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Vec<String> {
    let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(*value)).map(|(name, _)| name);
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    changed.chain(removed).cloned().collect()
}
