//! Changes of container apps and jobs, and the operations that make them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::secrets::Secret;
use crate::event_grid::Event;
use crate::service::Status;

/// What a container app or job is to be.
pub(crate) struct Change {
    pub(crate) document: Value,
    pub(crate) secrets: Vec<Secret>,
}

/// An operation that changes one. What it changes is in effect when it ends: nobody who does not wait may rely on it.
pub(crate) struct Write {
    pub(crate) id: String,
    pub(crate) container: usize,
    pub(crate) status: Status,
    /// The query of its URL, which is signed.
    pub(crate) query: String,
    /// What Event Grid is to be told at its end.
    pub(crate) announcement: Option<Event>,
    pub(crate) due: DateTime<Utc>,
    pub(crate) course: Course,
}

/// How an operation goes on.
pub(crate) enum Course {
    Changes(Change),
    /// It ends well, and the change comes so much later.
    Later(Change, TimeDelta),
    /// It ends well, and nothing was changed.
    Nothing,
    Fails,
}

/// How often the platform looks for new versions of secrets; all container apps of an environment at one time (docs: Manage
/// secrets in Azure Container Apps; field report).
pub(crate) const SYNC_EVERY: TimeDelta = TimeDelta::minutes(30);

impl Write {
    pub(crate) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.status == Status::Running && self.due <= now
    }
}
