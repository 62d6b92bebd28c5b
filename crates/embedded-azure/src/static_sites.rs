//! Static web apps: their environments with two dictionaries each, and the managed functions that have read both (docs:
//! Configure application settings for Azure Static Web Apps). Settings that are references are not resolved.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::clients::Clients;
use crate::ids::StaticSiteId;
use crate::service::Service;
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
