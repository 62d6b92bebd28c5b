//! The requests that were made, and the report.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event_grid::EventGridReport;
use crate::traffic::{Outage, Tally};

/// One request to the embedded Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// When it was answered, by the embedded Azure's clock.
    pub at: DateTime<Utc>,
    /// When it began, by the [count](super::EmbeddedAzure::moment) of all that begins and ends.
    pub begun: u64,
    /// When its answer left, by the same count.
    pub answered: u64,
    /// The HTTP method.
    pub method: String,
    /// The operation id: that of the swagger where it has one.
    pub operation: &'static str,
    /// The service, site, `site/slot`, vault, `vault/secret`, store or `store/key` it is about; empty if it is about none.
    pub resource: String,
    /// The status of the answer; none if the connection was closed without one.
    pub status: Option<u16>,
    /// Whether it counts as a request to Azure Resource Manager.
    pub arm: bool,
}

/// What the clients met, and what Azure was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When the embedded Azure started, by its clock.
    pub started: DateTime<Utc>,
    /// When the report was made, by its clock.
    pub now: DateTime<Utc>,
    /// Client calls made, in all.
    pub calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those of the refused whose key was not replaced from outside: the fault of whoever rotates.
    pub refused_unexplained: u64,
    /// When calls were refused, and whose; in order of their start.
    pub outages: Vec<AppOutage>,
    /// ARM requests by operation.
    pub arm_requests: BTreeMap<&'static str, u64>,
    /// ARM requests in all.
    pub arm_requests_total: u64,
    /// Requests to vaults by operation.
    pub vault_requests: BTreeMap<&'static str, u64>,
    /// Requests to App Configuration stores by operation.
    pub store_requests: BTreeMap<&'static str, u64>,
    /// The same by the name of the service.
    pub instances: BTreeMap<String, ServiceReport>,
    /// What became of the events, if there is a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_grid: Option<EventGridReport>,
}

/// An outage, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppOutage {
    /// The service that refused.
    pub instance: String,
    /// The app whose clients were refused.
    pub app: String,
    /// When, and for how long.
    #[serde(flatten)]
    pub outage: Outage,
}

/// What the clients of one service met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// Client calls made.
    pub calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those of the refused whose key was not replaced from outside.
    pub refused_unexplained: u64,
    /// Regenerations that replaced a key, as ARM was asked to.
    pub regenerations: u64,
    /// By the name of the app, `site` or `site/slot`.
    pub apps: BTreeMap<String, Tally>,
}

/// The last requests and the counts of all.
#[derive(Debug, Default)]
pub(crate) struct Log {
    requests: VecDeque<RequestRecord>,
    moments: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) vault_counts: BTreeMap<&'static str, u64>,
    pub(crate) store_counts: BTreeMap<&'static str, u64>,
}

/// How many requests are remembered one by one; the counts go on.
const MOST_REQUESTS: usize = 50_000;

impl Log {
    /// The next moment.
    pub(crate) fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    pub(crate) fn add(&mut self, record: RequestRecord) {
        if record.arm {
            *self.counts.entry(record.operation).or_default() += 1;
        }
        if self.requests.len() == MOST_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
    }

    /// Counts a request to a vault.
    pub(crate) fn count_of_vault(&mut self, operation: &'static str) {
        *self.vault_counts.entry(operation).or_default() += 1;
    }

    /// Counts a request to an App Configuration store.
    pub(crate) fn count_of_store(&mut self, operation: &'static str) {
        *self.store_counts.entry(operation).or_default() += 1;
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.requests.iter().cloned().collect()
    }
}
