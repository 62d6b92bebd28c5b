//! Who has clients: what each of them runs, under which name it is counted, and what its clients met.

use std::collections::BTreeMap;

use crate::activity::ActivityKind;
use crate::ids::Key;
use crate::state::State;
use crate::traffic::{Change, Connection, Process, Tally};

/// One who has clients, by its place in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    /// A site or slot.
    App(usize),
    /// A container app or a job.
    Container(usize),
    /// An environment of a static web app.
    Environment(usize, usize),
}

/// What runs somewhere else than in a site, and the clients of it.
#[derive(Default)]
pub(crate) struct Clients {
    /// By what reports name it.
    pub(crate) name: String,
    /// All that runs, as one: a client does not know which replica it has met.
    pub(crate) process: Process,
    pub(crate) tallies: BTreeMap<usize, Tally>,
    /// Keys that another person gave it when they were invalid or about to be.
    pub(crate) planted: Vec<Key>,
}

/// Whether a change is felt by the clients of a party at a service. Thousands of others that sign and verify their calls at
/// each would take more time than Azure itself.
pub(crate) type Feels<'a> = dyn Fn(Party, usize) -> bool + 'a;

/// A party that is there, as it is sampled.
struct Sampled<'a> {
    party: Party,
    name: &'a str,
    process: &'a mut Process,
    tallies: &'a mut BTreeMap<usize, Tally>,
    planted: &'a [Key],
}

impl Clients {
    pub(crate) fn named(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Lets exactly this run from now on; the clients of before keep their tokens.
    pub(crate) fn run<'a>(&mut self, connections: impl Iterator<Item = &'a Connection>) {
        let mut all: Vec<Connection> = Vec::new();
        for connection in connections {
            // Replicas with the same key are one to their clients.
            let same =
                |known: &Connection| known.service == connection.service && known.key == connection.key;
            if !all.iter().any(same) {
                all.push(connection.clone());
            }
        }
        self.process.restart(all);
    }

    /// Ends everything that runs, with its outages: what is gone refuses nobody.
    pub(crate) fn close(&mut self) {
        self.process.restart(Vec::new());
        self.tallies.values_mut().for_each(Tally::close);
    }

    fn sampled(&mut self, party: Party) -> Sampled<'_> {
        let Self { name, process, tallies, planted } = self;
        Sampled { party, name, process, tallies, planted }
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
        let containers = containers.map(|(at, one)| one.clients.sampled(Party::Container(at)));
        let sites = static_sites.iter_mut().enumerate().filter(|(_, site)| !site.deleted);
        let environments = sites.flat_map(|(at, site)| {
            let all = site.environments.iter_mut().enumerate();
            all.map(move |(place, one)| one.clients.sampled(Party::Environment(at, place)))
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
