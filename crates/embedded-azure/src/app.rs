//! One web app, function app or slot: its settings, and the process that has read them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::{AppId, Key};
use crate::platform::{Platform, Resolution};
use crate::references::{self, Reference};
use crate::service::Service;
use crate::traffic::{Connection, Process, Tally, read_connections};
use crate::world::app_configurations::Read;
use crate::world::{ConnectionStringEntry, InitialApp, SiteAuthentication, SiteIdentity, UpdateStrategy};

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
    pub(crate) authentication: Option<SiteAuthentication>,
    pub(crate) modified: DateTime<Utc>,
    pub(crate) deleted: bool,
    pub(crate) tallies: BTreeMap<usize, Tally>,
    /// Keys that another person gave it when they were invalid or about to be.
    pub(crate) planted: Vec<Key>,
    pub(crate) process: Process,
    /// What its process reads by itself when it starts.
    sdk: Vec<Read>,
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
        let InitialApp {
            id,
            kind,
            update_strategy,
            settings,
            connection_strings,
            sticky_settings,
            identity,
            reads,
            authentication,
        } = app;
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
            authentication,
            modified: now,
            deleted: false,
            tallies: BTreeMap::new(),
            planted: Vec::new(),
            process: Process::default(),
            sdk: reads,
            restarted_at: None,
            resolved: BTreeMap::new(),
            fetched_at: now,
            refreshed_at: None,
        }
    }

    /// Starts a process, which reads everything there is for it. What another person planted in what it reads by itself is
    /// planted in the app.
    pub(crate) fn start(&mut self, platform: &Platform<'_>, services: &[Service]) {
        let planted = self.sdk.iter().filter_map(|read| platform.read(&self.name, read));
        self.planted.extend(planted.flat_map(|led| led.planted));
        let connections = self.connections(platform, services);
        self.process.restart(connections);
    }

    /// What a process that starts now signs with.
    pub(crate) fn connections(&self, platform: &Platform<'_>, services: &[Service]) -> Vec<Connection> {
        let own = self.sdk.iter().filter_map(|read| platform.read(&self.name, read));
        let own: Vec<String> = own.map(|led| led.value).collect();
        let all: Vec<&str> = self.reads().into_iter().chain(own.iter().map(String::as_str)).collect();
        read_connections(&all, services)
    }

    /// What its process reads of its settings when it starts: every value, and in the place of a reference what the platform has resolved it
    /// to. One that leads nowhere reaches the app as its own text (docs: Use Key Vault references; Use App Configuration
    /// references).
    pub(crate) fn reads(&self) -> Vec<&str> {
        let led = |value| self.resolved.get(value).and_then(|resolution| resolution.value.as_deref());
        self.values().map(|value| led(value).unwrap_or(value)).collect()
    }

    /// Lets the platform fetch its references, as a change of the configuration does, and tells whether any leads to something
    /// else by that. What another person planted in a secret or key-value is planted in the app that takes it.
    pub(crate) fn fetch(&mut self, platform: &Platform<'_>, now: DateTime<Utc>) -> bool {
        let resolve =
            |value: &str| Some((value.to_owned(), platform.resolve(&self.name, &self.identity, value)?));
        let resolved = self.values().filter_map(resolve).collect();
        self.take(resolved, now)
    }

    /// The same for those to Key Vault alone. References to App Configuration are fetched by nothing but a change of the
    /// configuration (docs: Use App Configuration references; public issue AppConfiguration#1089).
    pub(crate) fn refresh(&mut self, platform: &Platform<'_>, now: DateTime<Utc>) -> bool {
        let mut resolved = BTreeMap::new();
        for value in self.values() {
            let stays = matches!(references::read(value), Some(Reference::KeyValue(_)));
            let kept = self.resolved.get(value).filter(|_| stays).cloned();
            if let Some(resolution) = kept.or_else(|| platform.resolve(&self.name, &self.identity, value)) {
                resolved.insert(value.to_owned(), resolution);
            }
        }
        self.take(resolved, now)
    }

    fn take(&mut self, resolved: BTreeMap<String, Resolution>, now: DateTime<Utc>) -> bool {
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
