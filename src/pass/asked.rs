//! The rotation that a run asks for, judged against what was seen.

use super::one::Pass;
use crate::report::InWords;
use rekey_core::journal::{Event, Journal};
use rekey_core::plan::{self, Snapshot, Verdict, Why};

impl Pass<'_> {
    /// Judges the request that is still open, on a journal that is reconciled with the snapshot. The event that it is to be
    /// recorded as; until then it stays open.
    pub(super) fn judge_request(&mut self, snapshot: &Snapshot, journal: &Journal) -> Option<Event> {
        let request = self.asked?;
        // The first look at a service asks for a rotation by itself: that is the one that the operator means.
        if request.why == Why::Operator && self.has_asked() {
            self.asked = None;
            return None;
        }
        let now = self.rekey.clock.now();
        match plan::judge(&request, snapshot, journal, &self.instance.policy, now) {
            Verdict::Record(event) => return Some(event),
            Verdict::Covered(why) => self.say(&why.in_words()),
            Verdict::TooSoon { until } => self.postponed = Some(until),
        }
        self.asked = None;
        None
    }
}
