//! What other people do to static web apps.

use std::collections::BTreeMap;

use axum::http::Method;
use chrono::{DateTime, Utc};

use super::{EditError, Unknown, different, enumerate, matches_name};
use crate::activity::ActivityKind;
use crate::clients::Party;
use crate::clock::delta;
use crate::state::State;
use crate::static_sites::{Dictionary, StaticSite};
use crate::world::static_sites::PRODUCTION;

impl State {
    /// Writes a setting of a static web app, or with `None` removes it, in production if no environment is named; one of the
    /// managed functions if `of_functions`. The managed functions restart.
    pub fn edit_static_setting(
        &mut self,
        site: &str,
        environment: Option<&str>,
        of_functions: bool,
        (name, value): (&str, Option<&str>),
    ) -> Result<(), EditError> {
        let (at, place) = self.environment(site, environment)?;
        let dictionary = if of_functions { Dictionary::FunctionSettings } else { Dictionary::Settings };
        let mut settings = self.dictionary((at, place), dictionary);
        match value {
            Some(value) => {
                let value = self.fill(value, site)?;
                let planted = self.invalid_keys_in(&[&value]);
                self.static_sites[at].environments[place].clients.planted.extend(planted);
                settings.insert(name.to_owned(), value)
            }
            None => settings.remove(name),
        };
        self.replace_static((at, place), dictionary, settings);
        let id = &self.static_sites[at].id;
        let section = if of_functions { "functionappsettings" } else { "appsettings" };
        let path = match environment {
            Some(environment) => format!("{id}/builds/{environment}/config/{section}"),
            None => format!("{id}/config/{section}"),
        };
        self.announce_colleague(Method::PUT, &path);
        Ok(())
    }

    /// The settings of a static web app, in production if no environment is named; those of the managed functions if
    /// `of_functions`.
    pub fn static_settings(
        &self,
        site: &str,
        environment: Option<&str>,
        of_functions: bool,
    ) -> Result<BTreeMap<String, String>, Unknown> {
        let place = self.environment(site, environment)?;
        let dictionary = if of_functions { Dictionary::FunctionSettings } else { Dictionary::Settings };
        Ok(self.dictionary(place, dictionary))
    }

    /// Deletes a static web app with all its environments.
    pub fn delete_static_site(&mut self, site: &str) -> Result<(), Unknown> {
        let (at, _) = self.environment(site, None)?;
        let site = &mut self.static_sites[at];
        site.deleted = true;
        site.environments.iter_mut().for_each(|environment| environment.clients.close());
        let (name, id) = (site.id.label(), site.id.to_string());
        self.tell(ActivityKind::Deleted { name });
        self.announce_colleague(Method::DELETE, &id);
        Ok(())
    }

    /// A dictionary as it is; an empty one where there are no managed functions.
    fn dictionary(&self, (site, place): (usize, usize), dictionary: Dictionary) -> BTreeMap<String, String> {
        let environment = &self.static_sites[site].environments[place];
        match dictionary {
            Dictionary::Settings => environment.settings.clone(),
            Dictionary::FunctionSettings => environment.function_settings.clone().unwrap_or_default(),
        }
    }

    /// An environment of a static web app, production if none is named; by its name, by `staticSites/NAME`, or by its id.
    pub(crate) fn environment(&self, site: &str, name: Option<&str>) -> Result<(usize, usize), Unknown> {
        let fits = |one: &StaticSite| {
            matches_name(one.id.name(), &one.id.to_string(), site)
                || one.id.label().eq_ignore_ascii_case(site)
        };
        let found = self.static_sites.iter().position(|one| !one.deleted && fits(one)).ok_or_else(|| {
            let known = self.static_sites.iter().filter(|one| !one.deleted).map(|one| one.id.name());
            Unknown { kind: "static web app", name: site.to_owned(), known: enumerate(known) }
        })?;
        let name = name.unwrap_or(PRODUCTION);
        let environments = &self.static_sites[found].environments;
        let place = environments.iter().position(|one| one.name.eq_ignore_ascii_case(name));
        place.map(|place| (found, place)).ok_or_else(|| Unknown {
            kind: "environment",
            name: name.to_owned(),
            known: enumerate(environments.iter().map(|one| one.name.as_str())),
        })
    }

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
        let names = different(&old, new);
        if names.is_empty() {
            return;
        }
        let (old, new): (Vec<String>, Vec<String>) =
            (old.into_values().collect(), new.values().cloned().collect());
        environment.modified = self.now;
        environment.restarted_at = Some(restarts);
        let app = environment.clients.name.clone();
        self.hand_over(&app, old.iter().map(String::as_str), new.iter().map(String::as_str));
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
