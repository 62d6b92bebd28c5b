//! The rotation that a run asks for, judged against what was seen and put on record.

use super::PassError;
use super::one::Pass;
use crate::journal::Journal;
use crate::plan::{self, Snapshot, Verdict};
use crate::store::Lease;

impl Pass<'_> {
    /// Judges the request that is still open, on a journal that is reconciled with the snapshot. Whether there is nothing to
    /// record of it.
    pub(super) fn needs_no_record(&mut self, snapshot: &Snapshot, journal: &Journal) -> bool {
        let Some(request) = self.asked else { return true };
        let now = self.rekey.clock.now();
        match plan::judge(&request, snapshot, journal, &self.instance.policy, now) {
            Verdict::Record(_) => return false,
            Verdict::Covered(why) => self.say(&why.to_string()),
            Verdict::TooSoon { until } => self.postponed = Some(until),
        }
        self.asked = None;
        true
    }

    /// Records the request that is still open, if it is to be.
    pub(super) fn record_request(&mut self, lease: &mut Lease, snapshot: &Snapshot) -> Result<(), PassError> {
        let Some(request) = self.asked.take() else { return Ok(()) };
        let now = self.rekey.clock.now();
        match plan::judge(&request, snapshot, lease.journal(), &self.instance.policy, now) {
            Verdict::Record(event) => self.record(lease, event)?,
            Verdict::Covered(why) => self.say(&why.to_string()),
            Verdict::TooSoon { until } => self.postponed = Some(until),
        }
        Ok(())
    }
}
