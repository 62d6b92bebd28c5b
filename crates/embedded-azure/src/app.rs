//! One web app, function app or slot: its settings, and the process that has read them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::ids::{AppId, Key};
use crate::sdk;
use crate::traffic::{Process, Tally};
use crate::world::{ConnectionStringEntry, InitialApp, UpdateStrategy};

/// One web app, function app or slot.
pub(crate) struct App {
    pub(crate) id: AppId,
    /// `site` or `site/slot`.
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) update_strategy: Option<UpdateStrategy>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) connection_strings: BTreeMap<String, ConnectionStringEntry>,
    pub(crate) sticky_settings: BTreeSet<String>,
    pub(crate) sticky_connection_strings: BTreeSet<String>,
    pub(crate) modified: DateTime<Utc>,
    pub(crate) deleted: bool,
    pub(crate) tallies: BTreeMap<usize, Tally>,
    /// Keys that another person gave it when they were invalid or about to be.
    pub(crate) planted: Vec<Key>,
    pub(crate) process: Process,
    pub(crate) restarted_at: Option<DateTime<Utc>>,
    /// What its references led to when they were last fetched, by their text.
    fetched: BTreeMap<String, String>,
    /// Whether the restart that is under way fetches them again.
    pub(crate) fetches: bool,
}

/// One of the two dictionaries of an app, whole.
pub(crate) enum Section {
    Settings(BTreeMap<String, String>),
    ConnectionStrings(BTreeMap<String, ConnectionStringEntry>),
}

impl App {
    pub(crate) fn new(app: InitialApp, now: DateTime<Utc>) -> Self {
        let InitialApp { id, kind, update_strategy, settings, connection_strings, sticky_settings } = app;
        Self {
            name: id.name(),
            id,
            kind,
            update_strategy,
            settings,
            connection_strings,
            sticky_settings,
            sticky_connection_strings: BTreeSet::new(),
            modified: now,
            deleted: false,
            tallies: BTreeMap::new(),
            planted: Vec::new(),
            process: Process::default(),
            restarted_at: None,
            fetched: BTreeMap::new(),
            fetches: false,
        }
    }

    /// What its process reads: every value, and in the place of a reference what it leads to. One that leads nowhere
    /// reaches the app as its own text (docs: Use Key Vault references; Use App Configuration references).
    pub(crate) fn reads(&self) -> Vec<&str> {
        let entries = self.connection_strings.values().map(|entry| entry.value.as_str());
        let values = self.settings.values().map(String::as_str).chain(entries);
        values.map(|value| self.fetched.get(value).map_or(value, String::as_str)).collect()
    }

    /// Follows its references, as the platform does when the configuration changes.
    pub(crate) fn fetch(&mut self, references: &BTreeMap<String, String>) {
        let entries = self.connection_strings.values().map(|entry| &entry.value);
        let values = self.settings.values().chain(entries);
        let led = |value: &String| Some((value.clone(), references.get(&sdk::referred(value)?)?.clone()));
        self.fetched = values.filter_map(led).collect();
    }

    /// Whether a restart is under way.
    pub(crate) fn restarting(&self) -> bool {
        self.restarted_at.is_some()
    }
}
