//! Static web apps in the world file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{SignalR, World, WorldError};
use crate::ids::StaticSiteId;
use crate::placeholders::{Placeholders, fill, names};

/// One static web app.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticWebApp {
    /// Its resource group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its app settings, in production.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The settings of its managed functions, in production; with null it has no managed functions.
    #[serde(default = "none_yet")]
    pub function_settings: Option<BTreeMap<String, String>>,
    /// Its other environments, by their names: the numbers of pull requests.
    #[serde(default)]
    pub environments: BTreeMap<String, StaticEnvironment>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One environment that is not production.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticEnvironment {
    /// Its app settings.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The settings of its managed functions; with null it has no managed functions.
    #[serde(default = "none_yet")]
    pub function_settings: Option<BTreeMap<String, String>>,
}

/// The name of production (docs: Preview environments in Azure Static Web Apps; swagger: builds).
pub(crate) const PRODUCTION: &str = "default";

/// The dictionaries of one environment as it starts.
pub(crate) struct InitialEnvironment {
    pub(crate) name: String,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) function_settings: Option<BTreeMap<String, String>>,
}

impl Default for StaticWebApp {
    fn default() -> Self {
        Self {
            group: String::new(),
            name: String::new(),
            settings: BTreeMap::new(),
            function_settings: none_yet(),
            environments: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }
}

impl World {
    /// The ids of the static web apps that hold a key of a service, in any environment.
    #[must_use]
    pub fn static_web_apps_of(&self, service: &SignalR) -> Vec<StaticSiteId> {
        let in_any = |environment: &InitialEnvironment| {
            let InitialEnvironment { settings, function_settings, .. } = environment;
            let mut values = settings.values().chain(function_settings.iter().flat_map(BTreeMap::values));
            values.any(|value| names(value, &service.name))
        };
        let all = self.static_web_apps.iter().zip(self.static_site_ids());
        all.filter(|(site, _)| site.all_environments().iter().any(in_any)).map(|(_, id)| id).collect()
    }

    /// The ids of the static web apps.
    pub(crate) fn static_site_ids(&self) -> Vec<StaticSiteId> {
        let id = |site: &StaticWebApp| StaticSiteId {
            subscription: self.subscription.clone(),
            group: site.group.clone(),
            name: site.name.clone(),
        };
        self.static_web_apps.iter().map(id).collect()
    }

    /// Checks names.
    pub(crate) fn check_static_sites(&self) -> Result<(), WorldError> {
        let mut seen = BTreeSet::new();
        for (site, id) in self.static_web_apps.iter().zip(self.static_site_ids()) {
            let is_name =
                |name: &String| !name.is_empty() && name.chars().all(|sign| sign.is_ascii_alphanumeric());
            if let Some(name) = site.environments.keys().find(|name| !is_name(name)) {
                return Err(WorldError::BadName(format!("{}/{name}", site.name)));
            }
            if !id.is_valid() {
                return Err(WorldError::BadName(id.name));
            }
            if !seen.insert(id.name.to_lowercase()) || site.environments.contains_key(PRODUCTION) {
                return Err(WorldError::Twice(id.name));
            }
        }
        Ok(())
    }
}

impl StaticWebApp {
    /// Its environments with every placeholder replaced, production first.
    pub(crate) fn build(&self, keys: &Placeholders) -> Result<Vec<InitialEnvironment>, WorldError> {
        let filled = |settings: BTreeMap<String, String>| {
            let one = |(name, value): (String, String)| Ok((name, fill(&value, keys, &self.name)?));
            settings.into_iter().map(one).collect::<Result<BTreeMap<_, _>, WorldError>>()
        };
        let built = |environment: InitialEnvironment| {
            let InitialEnvironment { name, settings, function_settings } = environment;
            let function_settings = function_settings.map(filled).transpose()?;
            Ok(InitialEnvironment { name, settings: filled(settings)?, function_settings })
        };
        self.all_environments().into_iter().map(built).collect()
    }

    fn all_environments(&self) -> Vec<InitialEnvironment> {
        let production = InitialEnvironment {
            name: PRODUCTION.into(),
            settings: self.settings.clone(),
            function_settings: self.function_settings.clone(),
        };
        let others = self.environments.iter().map(|(name, one)| InitialEnvironment {
            name: name.clone(),
            settings: one.settings.clone(),
            function_settings: one.function_settings.clone(),
        });
        std::iter::once(production).chain(others).collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants a default of the member's type")]
fn none_yet() -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::new())
}
