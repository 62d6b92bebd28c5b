//! Static web apps: their environments with two dictionaries each, and the managed functions that have read both (docs:
//! Configure application settings for Azure Static Web Apps). Settings that are references are not resolved.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::activity::ActivityKind;
use crate::clients::{Clients, Party};
use crate::clock::delta;
use crate::ids::StaticSiteId;
use crate::service::Service;
use crate::state::State;
use crate::traffic::{Connection, read_connections};
use crate::world::static_sites::{InitialEnvironment, PRODUCTION};

/// One static web app.
pub(crate) struct StaticSite {
    pub(crate) id: StaticSiteId,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) deleted: bool,
    /// Production first.
    pub(crate) environments: Vec<Environment>,
}

/// One environment of it, a build in Azure's words.
pub(crate) struct Environment {
    pub(crate) name: String,
    pub(crate) settings: BTreeMap<String, String>,
    /// Nothing where there are no managed functions.
    pub(crate) function_settings: Option<BTreeMap<String, String>>,
    pub(crate) modified: DateTime<Utc>,
    pub(crate) restarted_at: Option<DateTime<Utc>>,
    pub(crate) clients: Clients,
}

/// One of the two dictionaries of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dictionary {
    Settings,
    FunctionSettings,
}

impl StaticSite {
    pub(crate) fn new(
        id: StaticSiteId,
        tags: BTreeMap<String, String>,
        environments: Vec<InitialEnvironment>,
        services: &[Service],
        now: DateTime<Utc>,
    ) -> Self {
        let label = id.label();
        let environment = |InitialEnvironment { name, settings, function_settings }: InitialEnvironment| {
            let whole = if name == PRODUCTION { label.clone() } else { format!("{label}/{name}") };
            let clients = Clients::named(whole);
            let (modified, restarted_at) = (now, None);
            let mut one = Environment { name, settings, function_settings, modified, restarted_at, clients };
            let connections = one.connections(services);
            one.clients.run(connections.iter());
            one
        };
        let environments = environments.into_iter().map(environment).collect();
        Self { id, tags, created: now, deleted: false, environments }
    }
}

impl Environment {
    /// What its managed functions sign with when they start now; there may be none.
    pub(crate) fn connections(&self, services: &[Service]) -> Vec<Connection> {
        let Some(own) = &self.function_settings else { return Vec::new() };
        let values: Vec<&str> = self.settings.values().chain(own.values()).map(String::as_str).collect();
        read_connections(&values, services)
    }
}

impl State {
    /// Replaces a dictionary; the managed functions restart after a while if anything is different, as an app does.
    pub(crate) fn replace_static(
        &mut self,
        (site, place): (usize, usize),
        dictionary: Dictionary,
        settings: BTreeMap<String, String>,
    ) {
        let restarts = self.now + delta(self.options.restart_takes);
        let environment = &mut self.static_sites[site].environments[place];
        let old = match dictionary {
            Dictionary::Settings => std::mem::replace(&mut environment.settings, settings),
            Dictionary::FunctionSettings => {
                environment.function_settings.replace(settings).unwrap_or_default()
            }
        };
        let new = match dictionary {
            Dictionary::Settings => &environment.settings,
            Dictionary::FunctionSettings => {
                environment.function_settings.as_ref().unwrap_or(&environment.settings)
            }
        };
        let names = crate::changes::different(&old, new);
        if names.is_empty() {
            return;
        }
        environment.modified = self.now;
        environment.restarted_at = Some(restarts);
        let app = environment.clients.name.clone();
        self.tell(ActivityKind::SettingsChanged { app, names });
    }

    /// When managed functions have restarted next.
    pub(crate) fn next_static_restart(&self) -> Option<DateTime<Utc>> {
        self.static_sites.iter().flat_map(|site| &site.environments).filter_map(|one| one.restarted_at).min()
    }

    /// The environments that change with what is due now.
    pub(crate) fn restarting_environments(&self) -> Vec<Party> {
        let now = self.now;
        let sites = self.static_sites.iter().enumerate();
        let all = sites.flat_map(|(at, site)| site.environments.iter().enumerate().map(move |one| (at, one)));
        all.filter(|(_, (_, one))| one.restarted_at.is_some_and(|due| due <= now))
            .map(|(at, (place, _))| Party::Environment(at, place))
            .collect()
    }

    /// Lets the managed functions that are due start with what their settings are now.
    pub(crate) fn restart_static(&mut self) {
        let Self { static_sites, services, now, .. } = self;
        let mut restarted = Vec::new();
        for site in static_sites.iter_mut().filter(|site| !site.deleted) {
            for one in &mut site.environments {
                if one.restarted_at.take_if(|due| *due <= *now).is_some() {
                    let connections = one.connections(services);
                    one.clients.run(connections.iter());
                    restarted.push(one.clients.name.clone());
                }
            }
        }
        restarted.into_iter().for_each(|app| self.tell(ActivityKind::Restarted { app }));
    }
}
