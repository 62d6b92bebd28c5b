//! What Service Connector linked (docs: What is Service Connector?): an app to a service, whose settings it wrote.

use serde::{Deserialize, Serialize};

use super::World;

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// What is linked: `site`, `site/slot` or `containerApps/NAME`.
    pub app: String,
    /// The service that it is linked to.
    pub service: String,
    /// How it signs in (swagger: AuthType): `secret`, by a key, or for example `systemAssignedIdentity`.
    #[serde(default = "by_key")]
    pub auth: String,
}

/// A link as it stands.
pub(crate) struct Link {
    /// The id of what is linked.
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) auth: String,
}

impl World {
    /// The links. One of an app that there is not is nobody's.
    pub(crate) fn links(&self) -> Vec<Link> {
        let apps = || self.sites.iter().flat_map(|site| self.apps(site));
        let id_of = |name: &str| {
            let app = apps().find(|app| app.id.name().eq_ignore_ascii_case(name));
            let containers = self.container_ids().into_iter();
            let mut containers = containers.filter(|id| id.label().eq_ignore_ascii_case(name));
            app.map(|app| app.id.to_string()).or_else(|| containers.next().map(|id| id.to_string()))
        };
        let link = |one: &Connector| {
            let Connector { name, app, service, auth } = one.clone();
            Some(Link { source: id_of(&app)?, name, service, auth })
        };
        self.connectors.iter().filter_map(link).collect()
    }
}

fn by_key() -> String {
    "secret".into()
}
