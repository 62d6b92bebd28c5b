//! The requests that were made, and the report.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::state::State;
use super::traffic::Tally;

/// One request to the simulated Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// When it was answered, by the simulator's clock.
    pub at: DateTime<Utc>,
    /// The HTTP method.
    pub method: String,
    /// The operation id: that of the swagger where it has one.
    pub operation: &'static str,
    /// The instance, site or `site/slot` it is about; empty if it is about none.
    pub resource: String,
    /// The status of the answer; none if the connection was closed without one.
    pub status: Option<u16>,
    /// Whether it counts as a request to Azure Resource Manager.
    pub arm: bool,
}

/// What the clients met, and what Azure was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When the simulator started, by its clock.
    pub started: DateTime<Utc>,
    /// When the report was made, by its clock.
    pub now: DateTime<Utc>,
    /// By the name of the instance.
    pub instances: BTreeMap<String, InstanceReport>,
    /// ARM requests by operation.
    pub arm_requests: BTreeMap<&'static str, u64>,
    /// The sums.
    pub totals: Totals,
}

/// What the clients of one instance met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// Client calls made.
    pub calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// By the name of the app, `site` or `site/slot`.
    pub apps: BTreeMap<String, Tally>,
}

/// The sums of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Client calls made.
    pub calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Requests to Azure Resource Manager.
    pub arm_requests: u64,
}

/// The last requests and the counts of all.
#[derive(Debug, Default)]
pub(super) struct Log {
    requests: VecDeque<RequestRecord>,
    counts: BTreeMap<&'static str, u64>,
}

/// How many requests are remembered one by one; the counts go on.
const MOST_REQUESTS: usize = 50_000;

impl Log {
    pub(super) fn add(&mut self, record: RequestRecord) {
        if record.arm {
            *self.counts.entry(record.operation).or_default() += 1;
        }
        if self.requests.len() == MOST_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
    }

    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.requests.iter().cloned().collect()
    }
}

impl State {
    /// What the clients met, and what Azure was asked, up to now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut instances = BTreeMap::new();
        let mut totals = Totals { arm_requests: self.log.counts.values().sum(), ..Totals::default() };
        for (at, instance) in self.instances.iter().enumerate() {
            let mut report = InstanceReport::default();
            for (app, tally) in self.apps.iter().filter_map(|app| Some((app, app.tallies.get(&at)?))) {
                report.calls += tally.calls;
                report.refused += tally.refused;
                report.apps.insert(app.name.clone(), tally.clone());
            }
            totals.calls += report.calls;
            totals.refused += report.refused;
            instances.insert(instance.id.name().to_owned(), report);
        }
        Report {
            started: self.started,
            now: self.now,
            instances,
            arm_requests: self.log.counts.clone(),
            totals,
        }
    }
}
