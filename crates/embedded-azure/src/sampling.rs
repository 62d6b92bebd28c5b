//! The calls of one instant, of everybody who has clients.

use std::collections::BTreeMap;

use crate::activity::ActivityKind;
use crate::clients::{Clients, Feels, Party};
use crate::ids::Key;
use crate::state::State;
use crate::traffic::{Change, Process, Tally};

/// A party that is there, as it is sampled.
struct Sampled<'a> {
    party: Party,
    name: &'a str,
    process: &'a mut Process,
    tallies: &'a mut BTreeMap<usize, Tally>,
    planted: &'a [Key],
}

impl<'a> Sampled<'a> {
    fn of(party: Party, clients: &'a mut Clients) -> Self {
        let Clients { name, process, tallies, planted } = clients;
        Self { party, name, process, tallies, planted }
    }
}

impl State {
    /// Lets the clients make their calls of this instant.
    pub(crate) fn sample(&mut self, feels: &Feels<'_>) {
        let (now, life) = (self.now, self.options.client_token_life);
        let Self { apps, containers, static_sites, services, .. } = self;
        let apps = apps.iter_mut().enumerate().filter(|(_, app)| !app.deleted).map(|(at, app)| Sampled {
            party: Party::App(at),
            name: &app.name,
            process: &mut app.process,
            tallies: &mut app.tallies,
            planted: &app.planted,
        });
        let containers = containers.iter_mut().enumerate().filter(|(_, one)| !one.deleted);
        let containers = containers.map(|(at, one)| Sampled::of(Party::Container(at), &mut one.clients));
        let sites = static_sites.iter_mut().enumerate().filter(|(_, site)| !site.deleted);
        let environments = sites.flat_map(|(at, site)| {
            let all = site.environments.iter_mut().enumerate();
            all.map(move |(place, one)| Sampled::of(Party::Environment(at, place), &mut one.clients))
        });
        let mut happenings = Vec::new();
        for Sampled { party, name, process, tallies, planted } in apps.chain(containers).chain(environments) {
            for at in process.services().into_iter().filter(|at| feels(party, *at)) {
                let counts = process.sample((at, &services[at]), planted, now, life);
                let service = || services[at].id.name().to_owned();
                match tallies.entry(at).or_default().add(counts, now) {
                    None => {}
                    Some(Change::Refused) => {
                        happenings.push(ActivityKind::Refused { instance: service(), app: name.to_owned() });
                    }
                    Some(Change::Recovered { after_ms }) => {
                        let app = name.to_owned();
                        happenings.push(ActivityKind::Recovered { instance: service(), app, after_ms });
                    }
                }
            }
        }
        happenings.into_iter().for_each(|what| self.tell(what));
    }

    /// Ends the connections of everybody with a service that is gone.
    pub(crate) fn disconnect(&mut self, service: usize) {
        self.operations.retain(|operation| operation.service != service);
        for app in &mut self.apps {
            app.process.forget(service);
            app.tallies.entry(service).or_default().close();
        }
        for clients in self.clients_mut() {
            clients.process.forget(service);
            clients.tallies.entry(service).or_default().close();
        }
    }

    /// The clients of whoever is no site.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &Clients> {
        let environments = self.static_sites.iter().flat_map(|site| &site.environments);
        let containers = self.containers.iter().map(|one| &one.clients);
        containers.chain(environments.map(|one| &one.clients))
    }

    fn clients_mut(&mut self) -> impl Iterator<Item = &mut Clients> {
        let environments = self.static_sites.iter_mut().flat_map(|site| &mut site.environments);
        let containers = self.containers.iter_mut().map(|one| &mut one.clients);
        containers.chain(environments.map(|one| &mut one.clients))
    }
}
