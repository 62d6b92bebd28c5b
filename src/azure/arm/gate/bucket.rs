//! One bucket of Azure Resource Manager: what it is believed to hold, who is under way, and who waits and comes next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::Notify;

use rekey_core::time::delta;

/// How many requests of a bucket are under way at most, whatever is left in it. Each may have a connection of its own, and
/// 128 are set aside for an instance of App Service (docs: Troubleshoot intermittent outbound connection errors): half of
/// them, and as many as storage and the data plane can spare while somebody may be cut off.
pub(super) const UNDER_WAY: usize = 64;
pub(super) const UNDER_WAY_IN_NEED: usize = 100;

/// What a bucket of writes, and one of reads, is taken to hold until an answer says what is left, and how much a second is
/// given back.
const WRITES: (f64, f64) = (200.0, 10.0);
const READS: (f64, f64) = (250.0, 25.0);

/// How much a bucket must hold for a request. Something is left for those who are more urgent, of this process or of another
/// with the same identity: a quarter of the documented bucket by checks, an eighth by rotations; of a smaller one likewise.
fn needed(most: f64, urgency: Urgency) -> f64 {
    1.0 + match urgency {
        Urgency::Repair => 0.0,
        Urgency::Rotation => (most / 8.0).min(25.0),
        Urgency::Check => (most / 4.0).min(50.0),
    }
}

/// What a request is for; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Urgency {
    /// Somebody may be cut off.
    Repair,
    /// A rotation that was begun holds a lease, and is to come to its end.
    Rotation,
    /// Everything else.
    Check,
}

/// A bucket: of a subscription, or of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::azure::arm) struct Name {
    subscription: Option<String>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Reads,
    Writes,
}

#[derive(Debug)]
pub(super) struct Bucket {
    /// How many requests it is believed to hold, as of a time, and how many a second are given back.
    pub(super) left: f64,
    as_of: DateTime<Utc>,
    refill: f64,
    /// The most that it is known to hold: what is documented, until Azure has said something.
    pub(super) most: f64,
    is_told: bool,
    /// Whether Azure had no more to give. Nothing is sent before the time that it named: it would not serve it, and name a
    /// later one.
    is_shut: bool,
    shut_until: DateTime<Utc>,
    /// How many were sent, and the numbers of those that are not answered.
    sent: u64,
    pub(super) under_way: BTreeSet<u64>,
    pub(super) waiting: BTreeMap<Place, Arc<Waiter>>,
}

/// Who comes first: by urgency, then by run, then by request.
pub(super) type Place = (Urgency, u64, u64);

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) until: Option<DateTime<Utc>>,
    pub(super) outcome: Mutex<Option<Outcome>>,
    pub(super) bell: Notify,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// It may be sent, under this number.
    Admitted(u64),
    /// Its time is over.
    Late,
}

impl Name {
    /// The bucket that a request takes from. Every POST counts as a write, lists of secrets too (Azure CLI recordings of
    /// `listKeys`; of settings nobody says so).
    pub(in crate::azure::arm) fn of(method: &Method, path: &str) -> Self {
        let kind = if *method == Method::GET { Kind::Reads } else { Kind::Writes };
        let mut parts = path.split('/').skip_while(|part| !part.eq_ignore_ascii_case("subscriptions"));
        let subscription = parts.nth(1).filter(|id| !id.is_empty()).map(str::to_ascii_lowercase);
        Self { subscription, kind }
    }

    /// The bucket of the other kind.
    pub(super) fn other(&self) -> Self {
        let kind = match self.kind {
            Kind::Reads => Kind::Writes,
            Kind::Writes => Kind::Reads,
        };
        Self { kind, ..self.clone() }
    }

    /// The header that tells what is left.
    pub(super) const fn header(&self) -> &'static str {
        match (&self.subscription, self.kind) {
            (Some(_), Kind::Reads) => "x-ms-ratelimit-remaining-subscription-reads",
            (Some(_), Kind::Writes) => "x-ms-ratelimit-remaining-subscription-writes",
            (None, Kind::Reads) => "x-ms-ratelimit-remaining-tenant-reads",
            (None, Kind::Writes) => "x-ms-ratelimit-remaining-tenant-writes",
        }
    }

    pub(super) fn told_by(&self, headers: &HeaderMap) -> Option<f64> {
        headers.get(self.header())?.to_str().ok()?.trim().parse::<u32>().ok().map(f64::from)
    }
}

impl Bucket {
    pub(super) fn new(kind: Kind, now: DateTime<Utc>) -> Self {
        let (left, refill) = match kind {
            Kind::Reads => READS,
            Kind::Writes => WRITES,
        };
        Self {
            left,
            as_of: now,
            refill,
            most: left,
            is_told: false,
            is_shut: false,
            shut_until: now,
            sent: 0,
            under_way: BTreeSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Takes in what was given back since.
    pub(super) fn fill(&mut self, now: DateTime<Utc>) {
        if self.as_of < now {
            let passed = (now - self.as_of).as_seconds_f64();
            // Whatever was told, one request is tried.
            self.left = (self.left + passed * self.refill).min(self.most.max(2.0));
            self.as_of = now;
        }
    }

    /// Admits the requests for which there is room, and ends the wait of those whose time is over.
    pub(super) fn let_in(&mut self, now: DateTime<Utc>) {
        self.waiting.retain(|_, waiter| {
            let late = waiter.until.is_some_and(|until| until <= now);
            if late {
                waiter.settle(Outcome::Late);
            }
            !late
        });
        while let Some(first) = self.waiting.keys().next().map(|place| place.0) {
            if self.opens(first, now).is_none_or(|at| now < at) {
                break;
            }
            self.sent += 1;
            self.left = (self.left - 1.0).max(0.0);
            self.is_shut = false;
            self.under_way.insert(self.sent);
            if let Some((_, waiter)) = self.waiting.pop_first() {
                waiter.settle(Outcome::Admitted(self.sent));
            }
        }
    }

    /// When there may be room for a request; nothing if an answer has to come first.
    fn opens(&self, urgency: Urgency, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_shut {
            // One finds out what there is by now. What was sent before may hang, and tells nothing of it.
            return Some(self.shut_until);
        }
        let most = if urgency == Urgency::Repair { UNDER_WAY_IN_NEED } else { UNDER_WAY };
        if self.under_way.len() >= most {
            return None;
        }
        let missing = needed(self.most, urgency) - self.left;
        // A moment more, so that who wakes then does not find it a hair short.
        let moment = Duration::from_millis(1);
        let fills = |missing: f64| now + delta(Duration::from_secs_f64(missing / self.refill) + moment);
        Some(if missing > 0.0 { fills(missing) } else { now })
    }

    /// When to look after the first who waits: there may be room, or one of those who wait is late, whether or not anybody is
    /// let in before.
    pub(super) fn next(&self, urgency: Urgency, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let late = self.waiting.values().filter_map(|waiter| waiter.until).min();
        self.opens(urgency, now).into_iter().chain(late).min()
    }

    /// Takes in what was left when the request of this number was served. Whatever was sent after it, and before it and is
    /// not answered, may not be counted in that.
    pub(super) fn told(&mut self, left: f64, number: u64) {
        let uncounted = self.sent - number + self.under_way.range(..number).count() as u64;
        self.left = (left - uncounted as f64).max(0.0);
        self.most = if self.is_told { self.most.max(left) } else { left };
        self.is_told = true;
    }

    /// Sends nothing for so long: Azure has no more to give, and would not serve who comes before.
    pub(super) fn shut(&mut self, until: DateTime<Utc>) {
        self.is_shut = true;
        self.shut_until = self.shut_until.max(until);
        (self.left, self.as_of) = (0.0, self.shut_until);
    }
}

impl Waiter {
    fn settle(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.bell.notify_one();
    }
}
