//! Asking who wrote an old string back, once everything else is done.
//!
//! Start at [`Run::name_writers`]. It is asked once in a run, and fails and delays nothing: the log is late as a rule, so that
//! it is mostly a later run that learns it.

use std::collections::BTreeSet;

use super::RunError;
use super::run::Run;
use crate::report::text::azure as words;
use crate::report::{RunEvent, cause};
use crate::store::Lease;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::ConsumerId;
use rekey_core::plan::{self, Unnamed};

impl Run<'_> {
    /// Whether somebody is to be named, and it was not asked yet.
    pub(super) fn asks_who_wrote(&self, journal: &Journal) -> bool {
        let is_open = || !plan::unnamed(journal, &self.service.policy).is_empty();
        !self.log.has_asked_who_wrote() && !self.intent().only_repairs() && is_open()
    }

    /// Asks the activity log about the apps of one resource group, the ones that wait for longest, and takes down what it tells.
    pub(super) async fn name_writers(&mut self, lease: &mut Lease) -> Result<(), RunError> {
        if !self.asks_who_wrote(lease.journal()) {
            return Ok(());
        }
        self.emit(RunEvent::WritersAsked);
        let mut open = plan::unnamed(lease.journal(), &self.service.policy);
        let Some(group) = open.iter().min_by_key(|one| one.until).map(|one| group(&one.app)) else {
            return Ok(());
        };
        open.retain(|one| self::group(&one.app) == group);
        let (from, until) = (open.iter().map(|one| one.from).min(), open.iter().map(|one| one.until).max());
        let (Some(from), Some(until)) = (from, until) else { return Ok(()) };
        let events = match self.arm.writes_in_group((&group.0, &group.1), from, until).await {
            Ok(log) => {
                let (named, unnamed) = plan::name(open, &log.writes);
                let why = if log.goes_on { words::LOG_GOES_ON } else { words::NOT_IN_LOG };
                named.into_iter().chain(self.given_up(&unnamed, false, why)).collect::<Vec<_>>()
            }
            Err(error) => {
                let lasts = !error.is_passing();
                self.given_up(&open, lasts, &cause::told(&error)).into_iter().collect()
            }
        };
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            self.record(lease, event)?;
        }
        Ok(lease.commit().await?)
    }

    /// That nobody can be named, where the log would show it by now, or will not.
    fn given_up(&self, open: &[Unnamed], lasts: bool, why: &str) -> Option<Event> {
        let now = self.now();
        let over = open.iter().filter(|one| lasts || one.is_due(now)).map(|one| one.app.clone());
        let consumers: BTreeSet<ConsumerId> = over.collect();
        (!consumers.is_empty()).then(|| Event::WriterUnknown { consumers, detail: why.to_owned() })
    }
}

/// The subscription and resource group of an app.
fn group(app: &ConsumerId) -> (String, String) {
    let id = app.to_string();
    let part = |n: usize| id.split('/').nth(n).unwrap_or_default().to_lowercase();
    (part(2), part(4))
}
