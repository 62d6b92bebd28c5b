//! One bucket of Azure Resource Manager: what it is believed to hold, who is under way, and who waits and comes next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::Notify;

use rekey_core::time::delta;

/// How many requests of a bucket are under way at most, whatever is left in it. Over HTTP/2, which Azure speaks, they share a
/// few connections; over HTTP/1.1 each has one of its own, and 128 are set aside for an instance of App Service (docs:
/// Troubleshoot intermittent outbound connection errors).
pub(super) const PLACES: usize = 128;

/// How many of them rotations and checks may take together, and how many they leave to others whatever else is under way;
/// half of those are left to repairs by notices.
pub(super) const UNDER_WAY: usize = 64;
const LEFT_TO_OTHERS: usize = 16;

/// What a bucket of writes, and one of reads, is taken to hold until an answer says what is left, and how much a second is
/// given back.
const WRITES: (f64, f64) = (200.0, 10.0);
const READS: (f64, f64) = (250.0, 25.0);

/// Those who may come next, the first first, with the part of the documented bucket that each leaves to who is more urgent, of
/// this process or of another with the same identity, and how many places a run may have. A run of a rotation or a check
/// has more than half of theirs only if no other waits for one.
const LINES: [(Urgency, f64, usize); 6] = [
    (Urgency::Repair, 0.0, PLACES),
    (Urgency::Notice, 1.0 / 16.0, PLACES),
    (Urgency::Rotation, 1.0 / 8.0, UNDER_WAY / 2),
    (Urgency::Check, 1.0 / 4.0, UNDER_WAY / 2),
    (Urgency::Rotation, 1.0 / 8.0, UNDER_WAY),
    (Urgency::Check, 1.0 / 4.0, UNDER_WAY),
];

/// What a bucket holds where a notice costs nobody anything. Below that, only as many go before others as an eighth of the
/// bucket, and a quarter of what is given back: anybody may send notices, as many as he likes and of any service, and as
/// long as they show nothing, rotations and checks get the rest.
const PLENTY: f64 = 3.0 / 8.0;
const NOTICES: f64 = 1.0 / 8.0;
const OF_REFILL: f64 = 1.0 / 4.0;

/// How much a bucket must hold for a request that leaves this part to others.
fn needed(leaves: f64) -> f64 {
    1.0 + leaves * WRITES.0
}

/// What a request is for; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Urgency {
    /// Somebody may be cut off.
    Repair,
    /// A notice wants a check, and nothing shows yet that somebody is in need.
    Notice,
    /// A rotation that was begun holds a lease, and is to come to its end.
    Rotation,
    /// Everything else.
    Check,
}

/// A bucket: of a subscription, or of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::azure::arm) struct Name {
    pub(super) subscription: Option<String>,
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
    left: f64,
    as_of: DateTime<Utc>,
    refill: f64,
    /// How many notices may go before others.
    notices: f64,
    /// The most that it is known to hold: what is documented, until Azure told of more. That it told of less says nothing:
    /// others may have taken the rest.
    most: f64,
    /// Whether Azure had no more to give. Nothing is sent before the time that it named: it would not serve it, and name a
    /// later one.
    is_shut: bool,
    shut_until: DateTime<Utc>,
    /// What Azure last said was left, and when.
    pub(super) last_told: Option<(f64, DateTime<Utc>)>,
    /// How many were sent, and the numbers of those that are not answered, with what each is for and whose it is.
    sent: u64,
    pub(super) under_way: BTreeMap<u64, (Urgency, u64)>,
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

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
        }
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
            notices: NOTICES * WRITES.0,
            most: left,
            is_shut: false,
            shut_until: now,
            last_told: None,
            sent: 0,
            under_way: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Takes in what was given back since; nothing is as long as it is shut. Where the clock was set back, that lasts no longer
    /// from then on than Azure said.
    pub(super) fn fill(&mut self, now: DateTime<Utc>) {
        self.shut_until -= (self.as_of - now).max(TimeDelta::zero());
        let from = self.as_of.max(self.shut_until).min(now);
        let given = (now - from).as_seconds_f64() * self.refill;
        self.left = (self.left + given).min(self.most);
        self.notices = (self.notices + given * OF_REFILL).min(NOTICES * WRITES.0);
        self.as_of = now;
    }

    /// Gives the requests of a run that wait the place that they have now.
    pub(super) fn rank(&mut self, run: u64, before: Urgency, now: Urgency) {
        let theirs = self.waiting.range((before, run, 0)..=(before, run, u64::MAX));
        let numbers: Vec<u64> = theirs.map(|(place, _)| place.2).collect();
        for number in numbers {
            if let Some(waiter) = self.waiting.remove(&(before, run, number)) {
                self.waiting.insert((now, run, number), waiter);
            }
        }
    }

    /// Lets in whom there is room for, and wakes the first who still waits, unless it is the one who asks: what it waits for
    /// may have changed.
    pub(super) fn admit(&mut self, now: DateTime<Utc>, asks: Option<u64>) {
        self.let_in(now);
        if let Some((_, waiter)) = self.waiting.first_key_value().filter(|(place, _)| asks != Some(place.2)) {
            waiter.bell.notify_one();
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
        while let Some((_, place)) = self.first(now).filter(|(at, _)| *at <= now) {
            if place.0 == Urgency::Notice && self.left < needed(PLENTY) {
                self.notices = (self.notices - 1.0).max(0.0);
            }
            self.sent += 1;
            self.left = (self.left - 1.0).max(0.0);
            self.is_shut = false;
            self.under_way.insert(self.sent, (place.0, place.1));
            if let Some(waiter) = self.waiting.remove(&place) {
                waiter.settle(Outcome::Admitted(self.sent));
            }
        }
    }

    /// Who is let in first of those who wait, and when; nobody if an answer has to come first.
    fn first(&self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Place)> {
        let next =
            |(urgency, leaves, most)| Some((self.opens(urgency, leaves, now), self.first_of(urgency, most)?));
        // Who is more urgent comes first of those who may come now.
        LINES.into_iter().filter_map(next).min_by_key(|(at, _)| (*at).max(now))
    }

    /// The first of these who has a place, if there are any left for them.
    fn first_of(&self, urgency: Urgency, most: usize) -> Option<Place> {
        // Where nobody waits, nobody is counted.
        self.waiting.range((urgency, 0, 0)..=(urgency, u64::MAX, u64::MAX)).next()?;
        let free = PLACES - self.under_way.len();
        let ordinary = self.under_way.values().filter(|(of, _)| *of > Urgency::Notice).count();
        let left = match urgency {
            Urgency::Repair => 0,
            Urgency::Notice => LEFT_TO_OTHERS / 2,
            Urgency::Rotation | Urgency::Check if ordinary < UNDER_WAY => LEFT_TO_OTHERS,
            Urgency::Rotation | Urgency::Check => return None,
        };
        if free <= left {
            return None;
        }
        let mut run = 0;
        loop {
            let all = (urgency, run, 0)..=(urgency, u64::MAX, u64::MAX);
            let (place, _) = self.waiting.range(all).next()?;
            let own = self.under_way.values().filter(|(_, of)| *of == place.1).count();
            // Whatever hangs, something is left: a hundred of them are for who comes alone.
            let share = ((free + own) * 4 / 5).clamp(1, most);
            if own < share {
                return Some(*place);
            }
            run = place.1 + 1;
        }
    }

    /// When the bucket has so much for a request that it leaves this part to others.
    fn opens(&self, urgency: Urgency, leaves: f64, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.is_shut {
            // One finds out what there is by now. What was sent before may hang, and tells nothing of it.
            return self.shut_until;
        }
        let fills = |missing: f64, refill: f64| {
            // A moment more, so that who wakes then does not find it a hair short.
            let moment = Duration::from_millis(1);
            let takes = || delta(Duration::from_secs_f64(missing / refill) + moment);
            if missing > 0.0 { now + takes() } else { now }
        };
        let at = fills(needed(leaves) - self.left, self.refill);
        if urgency != Urgency::Notice {
            return at;
        }
        let one_may_go = fills(1.0 - self.notices, self.refill * OF_REFILL);
        at.max(one_may_go).min(fills(needed(PLENTY) - self.left, self.refill))
    }

    /// When to look after those who wait: there may be room, or one of them is late, whether or not anybody is let in before.
    pub(super) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let late = self.waiting.values().filter_map(|waiter| waiter.until).min();
        self.first(now).map(|(at, _)| at).into_iter().chain(late).min()
    }

    /// Takes in what was left when the request of this number was served. Whatever was sent after it, and before it and is
    /// not answered, may not be counted in that.
    pub(super) fn told(&mut self, left: f64, number: u64) {
        self.left = self.counted(left, number);
        self.most = self.most.max(left);
        self.last_told = Some((left, self.as_of));
    }

    /// The same, where it was the other kind's that was told: the request took nothing from this one, but those like it wait
    /// here, and are to find something there.
    pub(super) fn told_of_the_other(&mut self, left: f64, number: u64) {
        self.left = (self.left + 1.0).min(self.most).min(self.counted(left, number));
    }

    fn counted(&self, left: f64, number: u64) -> f64 {
        let uncounted = self.sent - number + self.under_way.range(..number).count() as u64;
        (left - uncounted as f64).max(0.0)
    }

    /// Sends nothing for so long: Azure has no more to give, and would not serve who comes before.
    pub(super) fn shut(&mut self, until: DateTime<Utc>) {
        self.is_shut = true;
        self.shut_until = self.shut_until.max(until);
        self.left = 0.0;
    }
}

impl Waiter {
    fn settle(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.bell.notify_one();
    }
}
