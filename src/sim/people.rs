//! What is done to the simulated Azure: through ARM, by Azure itself, and by other people.

use std::collections::BTreeMap;

use axum::http::Method;

use super::event::Happening;
use super::faults::FaultKind;
use super::state::{Course, Instance, Operation, Section, State, Status};
use super::traffic::{Connection, Tally, read_connections};
use super::world::{ConnectionStringEntry, Site, World, WorldError};
use rekey_core::model::{AppId, Key, KeyPair, KeyType};
use rekey_core::time::delta;

/// A name that the simulated Azure does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} named {name:?}; there is {known}")]
pub struct Unknown {
    kind: &'static str,
    name: String,
    known: String,
}

/// What comes of asking for a regeneration.
pub(super) enum Requested {
    /// Another one runs on the instance.
    Busy,
    /// It was accepted; `keys` is what the answer shows.
    Accepted { operation: usize, keys: KeyPair },
}

/// How many regenerations are remembered; those that run always are.
const MOST_OPERATIONS: usize = 1000;

/// Lengths of the query parameters `c`, `s` and `h` of an operation's URL (Azure CLI recording, 2024-10).
const SIGNATURE_LENGTHS: [(&str, usize); 3] = [("c", 2600), ("s", 342), ("h", 43)];

impl State {
    /// Begins to regenerate a key, or `Salt`, as ARM is asked to.
    pub(super) fn begin_regeneration(
        &mut self,
        at: usize,
        key_type: Option<KeyType>,
        course: Course,
        version: &str,
    ) -> Requested {
        if self.operations.iter().any(|known| known.instance == at && known.status == Status::Running) {
            return Requested::Busy;
        }
        let id = self.ids.uuid().to_string();
        let query = self.operation_query(version);
        let key = key_type.map(|key_type| (key_type, self.keys.key()));
        let instance = &mut self.instances[at];
        let mut keys = instance.listed();
        let mut generation = 0;
        if let Some((key_type, key)) = &key {
            instance.note(key);
            keys[*key_type] = key.clone();
            let slot = &mut instance.keys[*key_type];
            generation = slot.generation;
            if course != Course::WithoutEffect && !self.options.list_keys_lags {
                slot.listed = key.clone();
            }
        }
        let name = instance.id.name().to_owned();
        let due = self.now + delta(self.options.regenerate_takes);
        let (started, status) = (self.now, Status::Running);
        self.forget_old_operations();
        self.operations.push(Operation {
            id,
            instance: at,
            key,
            generation,
            started,
            due,
            course,
            status,
            query,
            announcement: None,
        });
        self.tell(Happening::RegenerationAccepted { instance: name, key_type });
        Requested::Accepted { operation: self.operations.len() - 1, keys }
    }

    /// Replaces keys at once, as a forced regeneration does: what held the old ones is refused from now on.
    pub fn force_regeneration(&mut self, instance: &str, key_types: &[KeyType]) -> Result<(), Unknown> {
        let at = self.instance(instance)?;
        let fresh: Vec<(KeyType, Key)> =
            key_types.iter().map(|key_type| (*key_type, self.keys.key())).collect();
        self.change(|state| {
            for (key_type, key) in fresh {
                state.instances[at].replace_by_force(key_type, key);
                let instance = state.instances[at].id.name().to_owned();
                state.tell(Happening::Forced { instance, key_type });
            }
        });
        Ok(())
    }

    /// Replaces keys at once as well, but through ARM, as a colleague or a tool does: Event Grid tells of it.
    pub fn regenerate_through_arm(&mut self, instance: &str, key_types: &[KeyType]) -> Result<(), Unknown> {
        let path = format!("{}/regenerateKey", self.instances[self.instance(instance)?].id);
        self.force_regeneration(instance, key_types)?;
        key_types.iter().for_each(|_| self.announce_colleague(Method::POST, &path));
        Ok(())
    }

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

    /// Deletes a site with its slots, or one slot (`site/slot`).
    pub fn delete_site(&mut self, app: &str) -> Result<(), Unknown> {
        let at = self.app(app)?;
        let id = self.apps[at].id.clone();
        for other in self.apps.iter_mut().filter(|other| {
            other.id == id || (id.slot().is_none() && other.id.site().eq_ignore_ascii_case(id.site()))
        }) {
            other.deleted = true;
            other.tallies.values_mut().for_each(Tally::close);
        }
        self.tell(Happening::Deleted { name: app.to_owned() });
        self.announce_colleague(Method::DELETE, &id.to_string());
        Ok(())
    }

    /// Deletes an instance. Its clients are not counted any more: no rotation could keep them.
    pub fn delete_instance(&mut self, instance: &str) -> Result<(), Unknown> {
        let at = self.instance(instance)?;
        self.instances[at].deleted = true;
        self.disconnect(at);
        self.tell(Happening::Deleted { name: instance.to_owned() });
        self.announce_colleague(Method::DELETE, &self.instances[at].id.to_string());
        Ok(())
    }

    /// Switches access keys off, or on again. Switched off, the keys are deleted for good, and with them ends what they have
    /// signed; switched on again there are new ones (docs: Disable local authentication for Azure SignalR Service).
    pub fn disable_local_auth(&mut self, instance: &str, disabled: bool) -> Result<(), Unknown> {
        let at = self.instance(instance)?;
        let deletes = disabled && !self.instances[at].disable_local_auth;
        let next = deletes.then(|| KeyType::ALL.map(|key_type| (key_type, self.keys.key())));
        self.change(|state| {
            state.instances[at].disable_local_auth = disabled;
            // Nobody is told the next ones, nor do they work, before they are switched on.
            for (key_type, key) in next.into_iter().flatten() {
                state.instances[at].replace_by_force(key_type, key);
            }
        });
        self.announce_colleague(Method::PATCH, &self.instances[at].id.to_string());
        Ok(())
    }

    /// The app settings of a site or `site/slot`.
    pub fn settings(&self, app: &str) -> Result<BTreeMap<String, String>, Unknown> {
        Ok(self.apps[self.app(app)?].settings.clone())
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
    pub fn keys(&self, instance: &str) -> Result<KeyPair, Unknown> {
        Ok(self.instances[self.instance(instance)?].effective())
    }

    /// The keys that `listKeys` shows.
    pub fn listed_keys(&self, instance: &str) -> Result<KeyPair, Unknown> {
        Ok(self.instances[self.instance(instance)?].listed())
    }

    /// Moves a site, with its slots, to another resource group: its old id answers 404 from now on, and its apps run on
    /// (docs: Move resources to a new resource group or subscription). The old group stays.
    pub fn move_site(&mut self, app: &str, group: &str) -> Result<(), Unknown> {
        let id = self.apps[self.app(app)?].id.clone();
        self.empty_groups.insert(id.group().to_owned());
        for other in self.apps.iter_mut().filter(|other| {
            !other.deleted
                && other.id.group().eq_ignore_ascii_case(id.group())
                && other.id.site().eq_ignore_ascii_case(id.site())
        }) {
            other.id = AppId::new(other.id.subscription(), group, other.id.site(), other.id.slot());
        }
        Ok(())
    }

    /// Lets references to a secret or key of this name lead to a value, or with `None` nowhere. Apps read it when they
    /// next fetch their references, which they do when their configuration changes (docs: Use Key Vault references).
    pub fn lead_references(&mut self, name: &str, value: Option<&str>) -> Result<(), WorldError> {
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

    /// Replaces a section of the settings; the app restarts if anything is different.
    pub(super) fn replace(&mut self, at: usize, section: Section) {
        match section {
            Section::Settings(settings) => self.replace_settings(at, settings),
            Section::ConnectionStrings(entries) => self.replace_connection_strings(at, entries),
        }
    }

    /// Replaces the app settings; the app restarts if anything is different.
    fn replace_settings(&mut self, at: usize, settings: BTreeMap<String, String>) {
        let old = std::mem::replace(&mut self.apps[at].settings, settings);
        let names = different(&old, &self.apps[at].settings);
        self.settings_changed(at, names);
    }

    /// Replaces the connection-string section; the app restarts if anything is different.
    fn replace_connection_strings(&mut self, at: usize, entries: BTreeMap<String, ConnectionStringEntry>) {
        let old = std::mem::replace(&mut self.apps[at].connection_strings, entries);
        let names = different(&old, &self.apps[at].connection_strings);
        self.settings_changed(at, names);
    }

    /// The resource groups, deleted resources' included.
    pub(super) fn groups(&self) -> Vec<String> {
        let instances = self.instances.iter().map(|one| one.id.group());
        let apps = self.apps.iter().map(|app| app.id.group());
        let all = instances.chain(apps).chain(self.empty_groups.iter().map(String::as_str));
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
        let app = &mut self.apps[at];
        app.modified = now;
        app.fetches = true;
        let app = app.name.clone();
        self.restart(at);
        self.tell(Happening::SettingsChanged { app, names });
        self.announce_settings(at);
    }

    /// Notes what another person does to an app that its clients will suffer from.
    fn plant(&mut self, at: usize, value: &str) {
        let planted = self.dead_or_dying(&[value]);
        self.apps[at].planted.extend(planted);
    }

    /// The keys in values that do not work, or will be replaced by a regeneration that is already under way.
    pub(super) fn dead_or_dying(&self, values: &[&str]) -> Vec<Key> {
        let dying = |at: usize, key: &Key| {
            self.operations.iter().any(|operation| {
                let replaces =
                    |(key_type, _): &(KeyType, Key)| self.instances[at].keys[*key_type].effective == *key;
                operation.instance == at
                    && operation.status == Status::Running
                    && operation.key.as_ref().is_some_and(replaces)
            })
        };
        read_connections(values, &self.instances)
            .into_iter()
            .filter(|Connection { instance, key }| {
                let works =
                    self.instances[*instance].effective().iter().any(|(_, effective)| effective == key);
                !works || dying(*instance, key)
            })
            .map(|connection| connection.key)
            .collect()
    }

    fn operation_query(&mut self, version: &str) -> String {
        // `t` is a time in .NET's ticks, which count from the year 1.
        let ticks = (self.now.timestamp() + 62_135_596_800) * 10_000_000;
        SIGNATURE_LENGTHS.iter().fold(format!("api-version={version}&t={ticks}"), |query, (name, length)| {
            format!("{query}&{name}={}", self.ids.opaque(*length))
        })
    }

    fn forget_old_operations(&mut self) {
        let mut excess = (self.operations.len() + 1).saturating_sub(MOST_OPERATIONS);
        self.operations.retain(|operation| {
            let forget = excess > 0 && operation.status != Status::Running;
            excess -= usize::from(forget);
            !forget
        });
    }

    fn fill(&self, value: &str, app: &str) -> Result<String, WorldError> {
        super::world::fill(value, &self.pairs(), app)
    }

    /// What placeholders stand for.
    fn pairs(&self) -> BTreeMap<String, (String, KeyPair)> {
        let present = self.instances.iter().filter(|one| !one.deleted);
        present.map(|one| (one.id.name().to_lowercase(), (one.host(), one.effective()))).collect()
    }

    fn instance(&self, name: &str) -> Result<usize, Unknown> {
        let fits = |one: &Instance| !one.deleted && matches_name(one.id.name(), &one.id.to_string(), name);
        self.instances.iter().position(fits).ok_or_else(|| {
            let known = self.instances.iter().filter(|one| !one.deleted).map(|one| one.id.name());
            Unknown { kind: "SignalR instance", name: name.to_owned(), known: enumerate(known) }
        })
    }

    pub(super) fn app(&self, name: &str) -> Result<usize, Unknown> {
        let present = |app: &&super::state::App| !app.deleted;
        let fits =
            |app: &super::state::App| present(&app) && matches_name(&app.name, &app.id.to_string(), name);
        self.apps.iter().position(fits).ok_or_else(|| {
            let known = self.apps.iter().filter(present).map(|app| app.name.as_str());
            Unknown { kind: "app", name: name.to_owned(), known: enumerate(known) }
        })
    }
}

/// Why an edit was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such app.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// A placeholder in the value names no instance.
    #[error(transparent)]
    Placeholder(#[from] WorldError),
}

fn matches_name(own: &str, id: &str, wanted: &str) -> bool {
    own.eq_ignore_ascii_case(wanted) || id.eq_ignore_ascii_case(wanted)
}

fn enumerate<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.take(20).collect();
    if names.is_empty() { "none at all".into() } else { names.join(", ") }
}

fn different<T: PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Vec<String> {
    let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(*value)).map(|(name, _)| name);
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    changed.chain(removed).cloned().collect()
}
