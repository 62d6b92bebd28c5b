//! Whose request is sent next, and how many are under way.
//!
//! Azure Resource Manager gives each principal a bucket of requests in each subscription, for reads and for writes apart, and
//! refills it slowly (docs: Understand how Azure Resource Manager throttles requests). It says in each answer how much is
//! left, and answers 429 with `Retry-After` where nothing is. Start at [`Gate::admit`]: a request waits until its bucket has
//! something for it, repairs before notices, those before rotations, and those before checks, and among them the run that
//! began first, so that what was begun is ended before more is begun. Only a request under way is counted: who waits for an operation, for a `Retry-After` or for
//! a grace period keeps nobody from anything.

mod bucket;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use tokio::sync::Notify;

pub(super) use bucket::Name;
pub use bucket::Urgency;

use bucket::{Bucket, Outcome, Place, Waiter};

use super::tally::Left;
use crate::clock::Clock;
use rekey_core::time::delta;

/// The place of a run among all others.
#[derive(Debug)]
pub(super) struct Turn {
    order: u64,
    urgency: AtomicU8,
}

/// The requests of a process.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    runs: AtomicU64,
    buckets: Mutex<BTreeMap<Name, Bucket>>,
}

/// A request that may be sent, and is under way for as long as this lives.
#[derive(Debug)]
pub(super) struct Admission {
    gate: Arc<Gate>,
    name: Name,
    number: u64,
}

impl Turn {
    fn urgency(&self) -> Urgency {
        match self.urgency.load(Ordering::Relaxed) {
            0 => Urgency::Repair,
            1 => Urgency::Notice,
            2 => Urgency::Rotation,
            _ => Urgency::Check,
        }
    }
}

impl Gate {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, runs: AtomicU64::default(), buckets: Mutex::default() }
    }

    /// A turn behind those of all runs before.
    pub(super) fn turn(&self, urgency: Urgency) -> Turn {
        let order = self.runs.fetch_add(1, Ordering::Relaxed);
        Turn { order, urgency: AtomicU8::new(urgency as u8) }
    }

    /// Makes a run more urgent, or less, and with it those of its requests that wait.
    pub(super) fn set(&self, turn: &Turn, urgency: Urgency) {
        if turn.urgency() == urgency {
            return;
        }
        let (mut buckets, now) = (self.buckets.lock(), self.clock.now());
        let before = turn.urgency();
        turn.urgency.store(urgency as u8, Ordering::Relaxed);
        for bucket in buckets.values_mut() {
            bucket.rank(turn.order, before, urgency);
            bucket.fill(now);
            bucket.admit(now, None);
        }
    }

    /// Waits until a request may be sent; nothing if that is not before `until`.
    pub(super) async fn admit(
        self: &Arc<Self>,
        name: Name,
        turn: &Turn,
        until: Option<DateTime<Utc>>,
    ) -> Option<Admission> {
        let queued = Queued::new(self, name, turn, until);
        loop {
            match queued.look() {
                Look::Settled(Outcome::Admitted(number)) => {
                    return Some(Admission { gate: Arc::clone(self), name: queued.name.clone(), number });
                }
                Look::Settled(Outcome::Late) => return None,
                Look::Again(None) => queued.waiter.bell.notified().await,
                Look::Again(Some(at)) => tokio::select! {
                    biased;
                    () = queued.waiter.bell.notified() => {}
                    () = self.clock.sleep_until(at) => {}
                },
            }
        }
    }

    /// What Azure last told of each bucket.
    pub(super) fn told(&self) -> Vec<Left> {
        let told = |(name, bucket): (&Name, &Bucket)| {
            let (left, at) = bucket.last_told?;
            Some(Left { subscription: name.subscription.clone(), kind: name.kind.name(), left, at })
        };
        self.buckets.lock().iter().filter_map(told).collect()
    }

    /// Changes a bucket, and lets in whom it has room for then. It may be a waiting request that asks, by its number.
    fn change<T>(
        &self,
        name: &Name,
        asks: Option<u64>,
        change: impl FnOnce(&mut Bucket, DateTime<Utc>) -> T,
    ) -> T {
        let now = self.clock.now();
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(name.clone()).or_insert_with(|| Bucket::new(name.kind, now));
        bucket.fill(now);
        let changed = change(bucket, now);
        bucket.admit(now, asks);
        changed
    }
}

/// A request that waits for its admission. Who is dropped, waits no more and is not under way.
struct Queued<'a> {
    gate: &'a Arc<Gate>,
    name: Name,
    turn: &'a Turn,
    number: u64,
    waiter: Arc<Waiter>,
}

enum Look {
    Settled(Outcome),
    /// When to look again, if nobody rings before.
    Again(Option<DateTime<Utc>>),
}

impl<'a> Queued<'a> {
    fn new(gate: &'a Arc<Gate>, name: Name, turn: &'a Turn, until: Option<DateTime<Utc>>) -> Self {
        let waiter = Arc::new(Waiter { until, outcome: Mutex::default(), bell: Notify::new() });
        let number = gate.runs.fetch_add(1, Ordering::Relaxed);
        let queued = Self { gate, name, turn, number, waiter };
        queued.change(|bucket, place, _| bucket.waiting.insert(place, Arc::clone(&queued.waiter)));
        queued
    }

    /// Changes its bucket, in which it has this place as long as nobody else changes it.
    fn change<T>(&self, change: impl FnOnce(&mut Bucket, Place, DateTime<Utc>) -> T) -> T {
        self.gate.change(&self.name, Some(self.number), |bucket, now| {
            change(bucket, (self.turn.urgency(), self.turn.order, self.number), now)
        })
    }

    fn look(&self) -> Look {
        self.change(|bucket, place, now| {
            bucket.let_in(now);
            if let Some(outcome) = self.waiter.outcome.lock().take() {
                return Look::Settled(outcome);
            }
            let first = bucket.waiting.keys().next() == Some(&place);
            Look::Again(if first { bucket.next(now) } else { None })
        })
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.change(|bucket, place, _| {
            bucket.waiting.remove(&place);
            if let Some(Outcome::Admitted(number)) = self.waiter.outcome.lock().take() {
                bucket.under_way.remove(&number);
            }
        });
    }
}

impl Admission {
    /// Takes in what an answer tells of the bucket; whether it has room. Where it tells of the other kind's, the request was
    /// counted there.
    pub(super) fn answered(&self, headers: &HeaderMap) -> bool {
        let left = self.name.told_by(headers);
        if let Some(left) = left {
            self.gate.change(&self.name, None, |bucket, _| bucket.told(left, self.number));
        } else if let Some(left) = self.name.other().told_by(headers) {
            self.gate.change(&self.name, None, |bucket, _| bucket.told_of_the_other(left, self.number));
        }
        left.is_some_and(|left| left >= 1.0)
    }

    /// Takes in that the bucket is empty, and for how long.
    pub(super) fn throttled(&self, wait: Duration) {
        self.gate.change(&self.name, None, |bucket, now| bucket.shut(now + delta(wait)));
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.gate.change(&self.name, None, |bucket, _| bucket.under_way.remove(&self.number));
    }
}

#[cfg(test)]
mod tests;
