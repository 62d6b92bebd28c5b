//! How many requests were sent, and what Azure said that it still takes: for who looks. Nothing is decided by it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// How often an operation was asked for with one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The operation's name in Azure's contract.
    pub operation: &'static str,
    /// The status of the answers; none if there was no answer.
    pub status: Option<u16>,
    pub times: u64,
}

/// What is left of a bucket of requests, as Azure last told.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// Whose bucket it is; none for the tenant's.
    pub subscription: Option<String>,
    /// `reads` or `writes`.
    pub kind: &'static str,
    pub left: f64,
    /// When it was told.
    pub at: DateTime<Utc>,
}

/// Counts what is sent.
#[derive(Default)]
pub(super) struct Tally(Mutex<BTreeMap<(&'static str, Option<u16>), u64>>);

impl Tally {
    pub(super) fn count(&self, operation: &'static str, status: Option<u16>) {
        *self.0.lock().entry((operation, status)).or_default() += 1;
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        let sent = |(&(operation, status), &times): (&(&'static str, Option<u16>), &u64)| Sent {
            operation,
            status,
            times,
        };
        self.0.lock().iter().map(sent).collect()
    }
}
