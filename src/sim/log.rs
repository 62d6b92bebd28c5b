//! The requests that were made, and the report.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::event_grid::EventGridReport;
use super::state::State;
use super::traffic::{Outage, Tally};

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
    /// Client calls made, in all.
    pub calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those of the refused whose key did not die from outside: the fault of whoever rotates.
    pub refused_unexplained: u64,
    /// When calls were refused, and whose; in order of their start.
    pub outages: Vec<AppOutage>,
    /// ARM requests by operation.
    pub arm_requests: BTreeMap<&'static str, u64>,
    /// ARM requests in all.
    pub arm_requests_total: u64,
    /// The same by the name of the instance.
    pub instances: BTreeMap<String, InstanceReport>,
    /// What became of the events, if there is a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_grid: Option<EventGridReport>,
}

/// An outage, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppOutage {
    /// The instance that refused.
    pub instance: String,
    /// The app whose clients were refused.
    pub app: String,
    /// When, and for how long.
    #[serde(flatten)]
    pub outage: Outage,
}

/// What the clients of one instance met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// Client calls made.
    pub calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those of the refused whose key did not die from outside.
    pub refused_unexplained: u64,
    /// Regenerations that replaced a key, as ARM was asked to.
    pub regenerations: u64,
    /// By the name of the app, `site` or `site/slot`.
    pub apps: BTreeMap<String, Tally>,
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
        let instances: BTreeMap<String, InstanceReport> = (0..self.instances.len())
            .map(|at| (self.instances[at].id.name().to_owned(), self.instance_report(at)))
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
            instances,
            event_grid: self.grid.as_ref().map(super::event_grid::Queue::report),
        }
    }

    fn instance_report(&self, at: usize) -> InstanceReport {
        let mut report =
            InstanceReport { regenerations: self.instances[at].regenerations, ..InstanceReport::default() };
        for (app, tally) in self.apps.iter().filter_map(|app| Some((app, app.tallies.get(&at)?))) {
            report.calls += tally.calls;
            report.refused += tally.refused;
            report.refused_unexplained += tally.refused_unexplained;
            // An app that was deleted and made again has two.
            report.apps.entry(app.name.clone()).or_default().merge(tally);
        }
        report
    }
}
