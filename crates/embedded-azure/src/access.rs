//! Who has access: what the clients of the apps met, which keys the apps sign with, and whether everything could be read. It
//! judges those who look after the apps, so it goes by rules of its own and by nothing that they read or remember.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};

use crate::arm;
use crate::call::{Answer, Call};
use crate::changes::Unknown;
use crate::clients::Party;
use crate::event_grid::Queue;
use crate::ids::KeyType;
use crate::report::{AppOutage, Report, ServiceReport};
use crate::routes::{self, Found};
use crate::state::State;
use crate::traffic::{Connection, Outage};

impl State {
    /// What the clients met, and what Azure was asked, up to now.
    #[must_use]
    pub fn report(&self) -> Report {
        let instances: BTreeMap<String, ServiceReport> = (0..self.services.len())
            .map(|at| (self.services[at].id.name().to_owned(), self.instance_report(at)))
            .collect();
        let mut outages: Vec<AppOutage> = instances
            .iter()
            .flat_map(|(instance, report)| report.apps.iter().map(move |(app, tally)| (instance, app, tally)))
            .flat_map(|(instance, app, tally)| {
                let whose = move |outage: &Outage| AppOutage {
                    instance: instance.clone(),
                    app: app.clone(),
                    outage: outage.clone(),
                };
                tally.outages.iter().map(whose)
            })
            .collect();
        outages.sort_by_key(|outage| outage.outage.start);
        Report {
            started: self.started,
            now: self.now,
            calls: instances.values().map(|instance| instance.calls).sum(),
            refused: instances.values().map(|instance| instance.refused).sum(),
            refused_unexplained: instances.values().map(|instance| instance.refused_unexplained).sum(),
            outages,
            arm_requests: self.log.counts.clone(),
            arm_requests_total: self.log.counts.values().sum(),
            vault_requests: self.log.vault_counts.clone(),
            store_requests: self.log.store_counts.clone(),
            instances,
            event_grid: self.grid.as_ref().map(Queue::report),
        }
    }

    fn instance_report(&self, at: usize) -> ServiceReport {
        let mut report =
            ServiceReport { regenerations: self.services[at].regenerations, ..ServiceReport::default() };
        let apps = self.apps.iter().map(|app| (&app.name, &app.tallies));
        let others = self.clients().map(|clients| (&clients.name, &clients.tallies));
        for (name, tally) in apps.chain(others).filter_map(|(name, all)| Some((name, all.get(&at)?))) {
            report.calls += tally.calls;
            report.refused += tally.refused;
            report.refused_unexplained += tally.refused_unexplained;
            // An app that was deleted and made again has two.
            report.apps.entry(name.clone()).or_default().merge(tally);
        }
        report
    }

    /// Which keys of which services an app signs with as soon as it has read its settings as they are now; none for a
    /// key that the service refuses. Of what is no site: `containerApps/NAME`, `jobs/NAME`, `staticSites/NAME` with
    /// `/ENVIRONMENT`.
    pub fn signs(&self, app: &str) -> Result<BTreeSet<(String, Option<KeyType>)>, Unknown> {
        match self.elsewhere(app) {
            Some(Party::Container(at)) => {
                return Ok(self.keys_of(&self.containers[at].would_sign(&self.services)));
            }
            Some(Party::Environment(site, place)) => {
                let environment = &self.static_sites[site].environments[place];
                return Ok(self.keys_of(&environment.connections(&self.services)));
            }
            _ => {}
        }
        let app = &self.apps[self.app(app)?];
        Ok(self.keys_of(&app.connections(&self.platform(), &self.services)))
    }

    /// The same of the process that runs, which may have read something else: a secret in another version, say.
    pub fn runs_with(&self, app: &str) -> Result<BTreeSet<(String, Option<KeyType>)>, Unknown> {
        let clients = match self.elsewhere(app) {
            Some(Party::Container(at)) => Some(&self.containers[at].clients),
            Some(Party::Environment(site, place)) => {
                Some(&self.static_sites[site].environments[place].clients)
            }
            _ => None,
        };
        if let Some(clients) = clients {
            return Ok(self.keys_of(&clients.process.connections));
        }
        Ok(self.keys_of(&self.apps[self.app(app)?].process.connections))
    }

    /// One that is no site, by what reports name it.
    fn elsewhere(&self, name: &str) -> Option<Party> {
        let containers = self.containers.iter().enumerate().filter(|(_, one)| !one.deleted);
        let containers = containers.map(|(at, one)| (Party::Container(at), &one.clients));
        let sites = self.static_sites.iter().enumerate().filter(|(_, site)| !site.deleted);
        let environments = sites.flat_map(|(at, site)| {
            let all = site.environments.iter().enumerate();
            all.map(move |(place, one)| (Party::Environment(at, place), &one.clients))
        });
        let mut all = containers.chain(environments);
        all.find(|(_, clients)| clients.name.eq_ignore_ascii_case(name)).map(|(party, _)| party)
    }

    fn keys_of(&self, connections: &[Connection]) -> BTreeSet<(String, Option<KeyType>)> {
        let keys = connections.iter().map(|connection| {
            let service = &self.services[connection.service];
            let effective = service.effective();
            let valid = KeyType::ALL.into_iter().find(|key_type| effective[*key_type] == connection.key);
            (service.id.name().to_owned(), valid)
        });
        keys.collect()
    }

    /// What keeps it from being true that a service and all of these apps, by their resource ids, can be read and that each
    /// of them signs with valid keys of the service. With any of it, no run over the service has ended well. An app that
    /// was deleted, and not moved, need not be read.
    pub fn problems(&mut self, service: &str, apps: &[String]) -> Vec<String> {
        let mut problems: Vec<String> = self.unreadable(&format!("{service}/listKeys")).into_iter().collect();
        let name = service.rsplit('/').next().unwrap_or_default().to_owned();
        if self.services.iter().any(|one| one.id.is(service) && one.disable_local_auth) {
            problems.push(format!("{name} has no keys"));
        }
        for id in apps {
            let app = name_in(id);
            if self.is_deleted(&app) {
                continue;
            }
            problems.extend(lists(id).iter().find_map(|path| self.unreadable(path)));
            for holder in self.holders(&app) {
                if self.signs(&holder).is_ok_and(|signs| signs.contains(&(name.clone(), None))) {
                    problems.push(format!("{holder} signs with a key that {name} refuses"));
                }
            }
        }
        problems
    }

    /// What of this name signs: each environment of a static web app by itself.
    fn holders(&self, name: &str) -> Vec<String> {
        let below = format!("{name}/").to_lowercase();
        let is_below = |own: &str| name.starts_with("staticSites/") && own.to_lowercase().starts_with(&below);
        let environments = self.clients().map(|clients| clients.name.clone()).filter(|own| is_below(own));
        std::iter::once(name.to_owned()).chain(environments).collect()
    }

    /// Whether there was one of this name and is none any more.
    fn is_deleted(&self, name: &str) -> bool {
        let apps = self.apps.iter().map(|one| (one.name.clone(), one.deleted));
        let containers = self.containers.iter().map(|one| (one.id.label(), one.deleted));
        let static_sites = self.static_sites.iter().map(|site| (site.id.label(), site.deleted));
        let all = apps.chain(containers).chain(static_sites);
        let mut namesakes = all.filter(|(own, _)| own.eq_ignore_ascii_case(name)).peekable();
        namesakes.peek().is_some() && namesakes.all(|(_, deleted)| deleted)
    }

    /// Why a POST that lists is refused for as long as what lasts does; nothing if it is not.
    fn unreadable(&mut self, path: &str) -> Option<String> {
        let Found::Route(route, params) = routes::find(&Method::POST, path) else {
            return Some(format!("{path} is no path"));
        };
        let call = Call {
            method: Method::POST,
            base: String::new(),
            host: String::new(),
            path: path.to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            params,
            fault: None,
            delay: Duration::ZERO,
        };
        let lasting = self.faults.lasting(route.operation, &call.resource());
        let allowed = match lasting {
            Some(kind) => Err(kind.name().to_owned()),
            None => arm::may(self, route.operation, &call)
                .and_then(|()| (route.handle)(self, &call).map(drop))
                .map_err(|answer| code(&answer)),
        };
        allowed.err().map(|why| format!("{} of {} is answered {why}", route.operation, call.resource()))
    }
}

fn code(answer: &Answer) -> String {
    format!("{} {}", answer.status.as_u16(), answer.code().unwrap_or_default())
}

/// What has to be listed of a site, a slot, a container app, a job or a static web app.
fn lists(id: &str) -> Vec<String> {
    let below = |paths: [&str; 2]| paths.map(|path| format!("{id}/{path}")).to_vec();
    let whole = id.to_lowercase();
    if whole.contains("/microsoft.app/") {
        return vec![format!("{id}/listSecrets")];
    }
    match whole.contains("/staticsites/") {
        true => below(["listAppSettings", "listFunctionAppSettings"]),
        false => below(["config/appsettings/list", "config/connectionstrings/list"]),
    }
}

/// By what reports name it, of its id: `site`, `site/slot`, `containerApps/NAME`, `jobs/NAME` or `staticSites/NAME`.
fn name_in(id: &str) -> String {
    let words: Vec<&str> = id.split('/').collect();
    match words[..] {
        [.., site, "slots", slot] => format!("{site}/{slot}"),
        [.., kind @ ("containerApps" | "jobs" | "staticSites"), name] => format!("{kind}/{name}"),
        _ => words.last().copied().unwrap_or_default().to_owned(),
    }
}
