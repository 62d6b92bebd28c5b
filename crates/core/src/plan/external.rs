//! Consumers that only others can change: machines that report what they hold, and what a person changes and acknowledges.
//!
//! Start at [`Snapshot::add_external`]: each holds what was last said of it. It is never written; a key that it holds is not
//! regenerated, and it is waited for where nobody else holds the older of two keys ([`View::await_external`]). What was never
//! said, or is said of a key that there is no more, may be either key.

use super::{
    Awaited, BlockedBy, Consumer, ConsumerRef, Decision, External, Holding, Snapshot, Unknown, View, WaitFor,
};
use crate::journal::{Event, Journal, Report};
use crate::model::KeyType;
use crate::time::delta;

impl Snapshot {
    /// Adds what was last said of consumers that only others can change.
    pub fn add_external(&mut self, external: impl IntoIterator<Item = External>, journal: &Journal) {
        for one in external {
            self.external.push(one.clone());
            let Some(report) = journal.report(&one.id) else {
                self.unknown.push(one.never_reported());
                continue;
            };
            let current = self.keys.iter().find(|(_, key)| **key == report.fingerprint);
            match current.map(|(key_type, _)| key_type) {
                Some(key_type) => {
                    let at = ConsumerRef { app: one.id, section: None, name: String::new() };
                    self.consumers.push(Consumer { at, holds: Holding::Valid(key_type) });
                }
                None => self.unknown.push(one.stale(report)),
            }
        }
    }

    /// Those of a key that only others can change.
    fn external_holders(&self, key_type: KeyType) -> impl Iterator<Item = &External> {
        let holds = move |one: &&External| {
            let holds =
                |consumer: &Consumer| consumer.at.app == one.id && consumer.holds == Holding::Valid(key_type);
            self.consumers.iter().any(holds)
        };
        self.external.iter().filter(holds)
    }

    /// How many of those hold a key that only others can change.
    pub(super) fn count_external(&self, key_type: KeyType) -> usize {
        self.external_holders(key_type).count()
    }
}

impl External {
    /// That nothing was ever said of what it holds.
    pub fn never_reported(&self) -> Unknown {
        let Self { id, owner, ticket, .. } = self.clone();
        Unknown::NeverReported { consumer: id, owner, ticket }
    }

    /// That it was last said to hold a key that is neither of the two.
    pub fn stale(&self, report: &Report) -> Unknown {
        let Self { id, owner, ticket, .. } = self.clone();
        let (held, since) = (report.fingerprint.clone(), report.since);
        Unknown::ExternalStale { consumer: id, held, since, owner, ticket }
    }
}

impl View<'_> {
    /// It is waited until those leave a key whom only others can change: nobody else holds it, and the other is there for them.
    /// Who takes longer than he may is told as late, by name. Compromised keys shorten no such wait: nothing would be safer for
    /// it.
    pub(super) fn await_external(&self, key_type: KeyType) -> Decision {
        let who: Vec<Awaited> = self.awaited(key_type).collect();
        let next = who.iter().map(|one| one.late).min();
        let compromised = self.is_compromised(key_type);
        match next.filter(|late| self.now < *late) {
            Some(until) => {
                Decision::Waiting { reason: WaitFor::External { key_type, who, compromised }, until }
            }
            None => {
                let (who, others) = who.into_iter().partition(|one| one.late <= self.now);
                Decision::Blocked(BlockedBy::ExternalLate { key_type, who, others, compromised })
            }
        }
    }

    /// Since when each is waited for: since it is on record, and the key that it is to take instead is there, and it was last
    /// said to hold this one.
    fn awaited(&self, key_type: KeyType) -> impl Iterator<Item = Awaited> {
        let begun = self.keys[key_type].awaited.unwrap_or(self.now);
        let begun = begun.max(self.keys[key_type.other()].created);
        self.snapshot.external_holders(key_type).map(move |one| {
            let said = self.journal.report(&one.id).map_or(begun, |report| report.since);
            let since = begun.max(said);
            let External { id, within, owner, ticket } = one.clone();
            Awaited { consumer: id, since, late: since + delta(within), owner, ticket }
        })
    }
}

/// That it begins to be waited for those who hold a key and whom only others can change, or that this is over, once the journal
/// is brought up to what was seen.
pub(super) fn wait_begun_or_over(
    snapshot: &Snapshot,
    journal: &Journal,
    decision: impl Fn() -> Decision,
) -> Vec<Event> {
    let Some(keys) = journal.keys() else { return Vec::new() };
    let over = |key_type: &KeyType| {
        keys[*key_type].awaited.is_some() && !snapshot.writable_holders(*key_type).is_empty()
    };
    let ended = KeyType::ALL.into_iter().filter(over);
    let over = |key_type| Event::ExternalAwaited { key_type, awaited: false, who: vec![] };
    let mut events: Vec<Event> = ended.map(over).collect();
    if snapshot.external.is_empty() {
        return events;
    }
    let decision = decision();
    let mut awaited = decision.awaits().peekable();
    if let Some((key_type, _)) =
        awaited.peek().copied().filter(|(key_type, _)| keys[*key_type].awaited.is_none())
    {
        let who = awaited.map(|(_, one)| one.consumer.clone()).collect();
        events.push(Event::ExternalAwaited { key_type, awaited: true, who });
    }
    events
}
