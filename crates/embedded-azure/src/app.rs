//! One web app, function app or slot: its settings, and the process that has read them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::{AppId, Key};
use crate::platform::{Platform, Resolution};
use crate::traffic::{Process, Tally};
use crate::world::{ConnectionStringEntry, InitialApp, SiteIdentity, UpdateStrategy};

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
    pub(crate) identity: SiteIdentity,
    pub(crate) modified: DateTime<Utc>,
    pub(crate) deleted: bool,
    pub(crate) tallies: BTreeMap<usize, Tally>,
    /// Keys that another person gave it when they were invalid or about to be.
    pub(crate) planted: Vec<Key>,
    pub(crate) process: Process,
    pub(crate) restarted_at: Option<DateTime<Utc>>,
    /// What the platform has made of its references when it last fetched them, by their text.
    pub(crate) resolved: BTreeMap<String, Resolution>,
    fetched_at: DateTime<Utc>,
    /// When a refresh that was asked for is done.
    pub(crate) refreshed_at: Option<DateTime<Utc>>,
}

/// One of the two dictionaries of an app, whole.
pub(crate) enum Section {
    Settings(BTreeMap<String, String>),
    ConnectionStrings(BTreeMap<String, ConnectionStringEntry>),
}

impl App {
    pub(crate) fn new(app: InitialApp, now: DateTime<Utc>) -> Self {
        let InitialApp { id, kind, update_strategy, settings, connection_strings, sticky_settings, identity } =
            app;
        Self {
            name: id.name(),
            id,
            kind,
            update_strategy,
            settings,
            connection_strings,
            sticky_settings,
            sticky_connection_strings: BTreeSet::new(),
            identity,
            modified: now,
            deleted: false,
            tallies: BTreeMap::new(),
            planted: Vec::new(),
            process: Process::default(),
            restarted_at: None,
            resolved: BTreeMap::new(),
            fetched_at: now,
            refreshed_at: None,
        }
    }

    /// What its process reads when it starts: every value, and in the place of a reference what the platform has resolved it
    /// to. One that leads nowhere reaches the app as its own text (docs: Use Key Vault references; Use App Configuration
    /// references).
    pub(crate) fn reads(&self) -> Vec<&str> {
        let led = |value| self.resolved.get(value).and_then(|resolution| resolution.value.as_deref());
        self.values().map(|value| led(value).unwrap_or(value)).collect()
    }

    /// Lets the platform fetch its references, and tells whether any leads to something else by that. What another person
    /// planted in a secret is planted in the app that takes it.
    pub(crate) fn fetch(&mut self, platform: &Platform<'_>, now: DateTime<Utc>) -> bool {
        let resolve =
            |value: &str| Some((value.to_owned(), platform.resolve(&self.name, &self.identity, value)?));
        let resolved: BTreeMap<String, Resolution> = self.values().filter_map(resolve).collect();
        let changed = resolved != self.resolved;
        if changed {
            let planted = resolved.values().flat_map(|resolution| resolution.planted.iter().cloned());
            self.planted.extend(planted);
        }
        self.resolved = resolved;
        self.fetched_at = now;
        changed
    }

    /// When the platform fetches its references by itself or as it was asked to: those without a version every day (docs: Use
    /// Key Vault references, Rotation).
    pub(crate) fn fetches_at(&self) -> Option<DateTime<Utc>> {
        let moves = self.resolved.values().any(Resolution::moves);
        let daily = moves.then(|| self.fetched_at + TimeDelta::hours(24));
        self.refreshed_at.into_iter().chain(daily).min().filter(|_| !self.deleted)
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        let entries = self.connection_strings.values().map(|entry| entry.value.as_str());
        self.settings.values().map(String::as_str).chain(entries)
    }

    /// Whether a restart is under way.
    pub(crate) fn restarting(&self) -> bool {
        self.restarted_at.is_some()
    }
}
