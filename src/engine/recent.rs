//! The events that were answered well of late: a copy of one tells nothing new, and costs nothing.
//!
//! Event Grid delivers at least once, and copies come in the hundreds when something is wrong (docs: Event Grid message
//! delivery and retry). The run that answered an event began after it was received, so it saw all that the event can tell.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use chrono::{DateTime, TimeDelta, Utc};

use rekey_core::notice::Event;

/// How many are remembered, and for how long. Copies come within minutes; a sender that gives all its events one id and
/// no time is taken at its word again after that.
const MOST: usize = 4096;
const LONGEST: TimeDelta = TimeDelta::minutes(10);

/// Remembers events by a digest of all that was read of them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    digest: RandomState,
    at: HashMap<u64, DateTime<Utc>>,
    order: VecDeque<u64>,
}

impl Recent {
    /// Whether a copy of an event was answered well. One without an id is never taken for a copy.
    pub(super) fn knows(&self, event: &Event, now: DateTime<Utc>) -> bool {
        let known = self.at.get(&self.digest.hash_one(event)).filter(|_| event.id.is_some());
        known.is_some_and(|at| now < *at + LONGEST)
    }

    /// Takes in an event that was answered well.
    pub(super) fn answered(&mut self, event: &Event, now: DateTime<Utc>) {
        let digest = self.digest.hash_one(event);
        if self.at.insert(digest, now).is_none() {
            self.order.push_back(digest);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: usize) -> Event {
        Event { id: Some(id.to_string()), kind: "a".into(), ..Event::default() }
    }

    #[test]
    fn only_a_whole_copy_is_known_and_not_for_ever() {
        let (mut recent, now) = (Recent::default(), DateTime::UNIX_EPOCH);
        recent.answered(&event(1), now);
        assert!(recent.knows(&event(1), now));
        assert!(!recent.knows(&event(2), now));
        assert!(
            !recent.knows(&Event { operation: Some("b".into()), ..event(1) }, now),
            "the same id alone is not enough"
        );
        assert!(!recent.knows(&event(1), now + LONGEST));
        let nameless = Event { id: None, ..event(1) };
        recent.answered(&nameless, now);
        assert!(!recent.knows(&nameless, now));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let (mut recent, now) = (Recent::default(), DateTime::UNIX_EPOCH);
        (0..MOST + 10).for_each(|id| recent.answered(&event(id), now));
        assert_eq!((recent.at.len(), recent.order.len()), (MOST, MOST));
        assert!(!recent.knows(&event(9), now) && recent.knows(&event(10), now));
    }
}
