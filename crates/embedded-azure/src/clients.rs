//! Who has clients: what each of them runs, under which name it is counted, and what its clients met.

use std::collections::BTreeMap;

use crate::ids::Key;
use crate::traffic::{Connection, Process, Tally};

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
}
