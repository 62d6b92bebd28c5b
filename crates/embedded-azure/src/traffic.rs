//! The clients of the simulated apps: what they call, with which key, and how often they are refused.
//!
//! An app's *process* keeps the keys that it read when it started. At each sample it signs one server call and hands
//! out one client token; clients present every token again until it expires. A client whose token is refused throws
//! it away and negotiates anew, as the client libraries do.
//!
//! A refused call is *explained* if its key was replaced by force, or if another person gave the app a key that was invalid
//! or about to be. Every other one is the rotation's fault.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock::delta;
use crate::ids::Key;
use crate::sdk::{self, Reading};
use crate::service::{self, Service};

/// One connection of a process to a service, by the key that it read.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Which service, by its place in the state.
    pub(crate) service: usize,
    pub(crate) key: Key,
}

/// A client token that may still be presented. Of all tokens signed with one key only the one that expires last is
/// kept: whenever any of them is refused for its key, so is that one.
#[derive(Clone)]
struct ClientToken {
    service: usize,
    key: Key,
    text: String,
    expires: DateTime<Utc>,
}

/// The running process of an app, and the clients it has served.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) connections: Vec<Connection>,
    tokens: Vec<ClientToken>,
}

/// A time during which calls were refused without a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// The first refused call.
    pub start: DateTime<Utc>,
    /// From the first refused call to the first sample without one; so far, if it is not over.
    pub length_ms: i64,
    /// Whether calls are still refused.
    pub open: bool,
}

/// What the clients of one app met at one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Client calls made.
    pub calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those of the refused whose key was not replaced from outside: the fault of whoever rotates.
    pub refused_unexplained: u64,
    /// When.
    pub outages: Vec<Outage>,
}

/// The calls of one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    calls: u64,
    refused: u64,
    unexplained: u64,
}

/// What a sample changed in the eyes of the clients.
pub(crate) enum Change {
    Refused,
    Recovered { after_ms: i64 },
}

/// Outages beyond this many are counted as refused calls but not listed, which bounds memory.
const MOST_OUTAGES: usize = 1000;

/// The longest of the SDK's own REST tokens (SDK source: 1 h).
const SERVER_TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// A hub, a path and the URL forms of the SDK.
const SERVER_PATH: &str = "/api/hubs/chat/users/ann";
pub(crate) const CLIENT_PATH: &str = "/client";

impl Process {
    /// Takes over with new connections; the clients of the process before keep their tokens.
    pub(crate) fn restart(&mut self, connections: Vec<Connection>) {
        self.connections = connections;
    }

    /// The services that the process or one of its clients may call.
    pub(crate) fn services(&self) -> BTreeSet<usize> {
        let clients = self.tokens.iter().map(|token| token.service);
        self.connections.iter().map(|connection| connection.service).chain(clients).collect()
    }

    /// Makes the calls of one instant to one service. `planted` are the keys that another person gave to the app when
    /// they were invalid or about to be.
    pub(crate) fn sample(
        &mut self,
        (at, service): (usize, &Service),
        planted: &[Key],
        now: DateTime<Utc>,
        token_life: Duration,
    ) -> Sample {
        let host = service.host();
        let mut sample = Sample::default();
        let explained = |key: &Key| service.replaced_by_force(key) || planted.contains(key);
        for connection in self.connections.clone().into_iter().filter(|used| used.service == at) {
            let audience = format!("https://{host}{SERVER_PATH}?api-version=2022-06-01");
            let token = service::sign(&connection.key, &audience, now + delta(SERVER_TOKEN_LIFE));
            let accepted = service::check(service, SERVER_PATH, &token, now).is_ok();
            sample.add(accepted, || explained(&connection.key));
            self.hand_out(&connection, &host, now + delta(token_life));
        }
        self.tokens.retain(|token| {
            if token.service != at {
                return true;
            }
            if token.expires <= now {
                return false;
            }
            let accepted = service::check(service, CLIENT_PATH, &token.text, now).is_ok();
            sample.add(accepted, || explained(&token.key));
            accepted
        });
        sample
    }

    /// Forgets the clients of a service that is gone.
    pub(crate) fn forget(&mut self, service: usize) {
        self.connections.retain(|connection| connection.service != service);
        self.tokens.retain(|token| token.service != service);
    }

    fn hand_out(&mut self, connection: &Connection, host: &str, expires: DateTime<Utc>) {
        // Tokens carry whole seconds, so within one second they are the same token.
        let expires = DateTime::from_timestamp(expires.timestamp(), 0).unwrap_or(expires);
        let same = |token: &ClientToken| {
            token.service == connection.service && token.expires == expires && token.key == connection.key
        };
        if self.tokens.iter().any(same) {
            return;
        }
        let text = service::sign(&connection.key, &format!("https://{host}{CLIENT_PATH}/?hub=chat"), expires);
        let Connection { service, key } = connection.clone();
        self.tokens.retain(|token| token.service != service || token.key != key);
        self.tokens.push(ClientToken { service, key, text, expires });
    }
}

impl Sample {
    fn add(&mut self, accepted: bool, explained: impl FnOnce() -> bool) {
        self.calls += 1;
        if !accepted {
            self.refused += 1;
            self.unexplained += u64::from(!explained());
        }
    }
}

impl Tally {
    /// Adds a sample and tells whether it began or ended an outage.
    pub(crate) fn add(&mut self, sample: Sample, now: DateTime<Utc>) -> Option<Change> {
        let Sample { calls, refused, unexplained } = sample;
        self.calls += calls;
        self.refused += refused;
        self.refused_unexplained += unexplained;
        let room = self.outages.len() < MOST_OUTAGES;
        match (self.outages.last_mut().filter(|outage| outage.open), refused > 0) {
            (Some(outage), still_refused) => {
                outage.length_ms = (now - outage.start).num_milliseconds();
                outage.open = still_refused;
                (!still_refused).then_some(Change::Recovered { after_ms: outage.length_ms })
            }
            (None, true) if room => {
                self.outages.push(Outage { start: now, length_ms: 0, open: true });
                Some(Change::Refused)
            }
            (None, _) => None,
        }
    }

    /// Adds the counts of an app of the same name that came after this one.
    pub(crate) fn merge(&mut self, later: &Self) {
        let Self { calls, refused, refused_unexplained, outages } = later;
        self.calls += calls;
        self.refused += refused;
        self.refused_unexplained += refused_unexplained;
        self.outages.extend_from_slice(outages);
    }

    /// Ends an outage whose app or service is gone.
    pub(crate) fn close(&mut self) {
        if let Some(outage) = self.outages.last_mut() {
            outage.open = false;
        }
    }
}

/// What a process finds in its settings: every value that is a connection string with a key for the SDK, and, where the SDK
/// can make nothing of a value, every key that a service ever had and that an app can take out of it by itself.
pub(crate) fn read_connections(values: &[&str], services: &[Service]) -> Vec<Connection> {
    values.iter().flat_map(|value| connections_in(value, services)).collect()
}

fn connections_in(value: &str, services: &[Service]) -> Vec<Connection> {
    let present = || services.iter().enumerate().filter(|(_, one)| !one.deleted);
    match sdk::read(value) {
        Reading::Identity => Vec::new(),
        Reading::Signs { host, server, key } => {
            let at = |host: &str| present().find(|(_, one)| one.is_at(host));
            let by_host = at(&host).or_else(|| at(&server?));
            // The endpoint may be a domain that we know nothing of; then the key tells whose it is.
            let found = by_host.or_else(|| present().find(|(_, one)| one.issued(&key)));
            found.map(|(service, _)| Connection { service, key }).into_iter().collect()
        }
        Reading::Refused => present()
            .flat_map(|(service, one)| one.found_in(value).map(move |key| Connection { service, key }))
            .collect(),
    }
}
