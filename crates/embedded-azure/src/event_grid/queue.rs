//! When each event is due, how often it was tried and what became of it. No I/O, and the time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use serde::Serialize;
use serde_json::Value;

use super::{EventGrid, PATIENCE, Schema};
use crate::clock::delta;

/// The waits between attempts; the last one is repeated (docs: Event Grid message delivery and retry).
const WAITS: [Duration; 10] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(3 * 3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(12 * 3600),
];

/// How many events wait at most, and how many dead letters are kept.
const MOST_PENDING: usize = 10_000;
const MOST_DEAD: usize = 100;

/// What is to be delivered, and what could not be.
#[derive(Debug)]
pub(crate) struct Queue {
    rules: EventGrid,
    rng: Rng,
    pending: Vec<Pending>,
    dead: VecDeque<DeadLetter>,
    /// How many deliveries were made up; the last one's id.
    deliveries: u64,
    occurred: u64,
    delivered: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Pending {
    event: Value,
    published: DateTime<Utc>,
    due: DateTime<Utc>,
    attempts: u32,
    /// The delivery that is on its way with it, and until when it may be answered.
    delivery: Option<(u64, DateTime<Utc>)>,
}

/// One call of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// By which it is answered.
    pub id: u64,
    /// What it brings, each in the subscription's schema.
    pub events: Vec<Value>,
    form: Form,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Events,
    CloudEvent,
    CloudEvents,
}

/// What came of calling the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It answered with this status.
    Answered(u16),
    /// No answer within 30 seconds, or no connection.
    Unanswered,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The event, in the subscription's schema.
    pub event: Value,
    /// Why.
    pub reason: Reason,
    /// How often it was sent.
    pub attempts: u32,
    /// What the last attempt came to.
    pub last_outcome: Outcome,
    /// When it happened.
    pub published: DateTime<Utc>,
    /// When it was given up.
    pub at: DateTime<Utc>,
}

/// Why an event was given up (docs: Dead letter and retry policies).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// It was sent as often as it may be.
    MaxDeliveryAttemptsExceeded,
    /// It would be too old at the next attempt.
    TimeToLiveExceeded,
    /// The endpoint gave an answer after which nothing is sent again.
    NotRetried,
}

/// What became of the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventGridReport {
    /// Events that the subscription wanted.
    pub occurred: u64,
    /// Successful deliveries of one, duplicates included.
    pub delivered: u64,
    /// Those that wait or are on their way.
    pub pending: usize,
    /// Those that were lost because too many waited, and dead letters that were forgotten because there are too many.
    pub dropped: u64,
    /// Those that were given up, oldest first.
    pub dead_letters: Vec<DeadLetter>,
}

impl Outcome {
    /// Only 200 to 204 are a success.
    const fn is_success(self) -> bool {
        matches!(self, Self::Answered(200..=204))
    }

    /// Nothing is sent to a webhook again after these: it would not help.
    const fn is_final(self) -> bool {
        matches!(self, Self::Answered(400 | 401 | 403 | 413))
    }

    /// The least wait that the status asks for.
    const fn least_wait(self) -> Duration {
        match self {
            Self::Answered(408) => Duration::from_secs(120),
            Self::Answered(503) => Duration::from_secs(30),
            Self::Answered(_) | Self::Unanswered => WAITS[0],
        }
    }
}

impl Queue {
    pub(crate) fn new(rules: EventGrid, rng: Rng) -> Self {
        let (pending, dead) = (Vec::new(), VecDeque::new());
        Self { rules, rng, pending, dead, deliveries: 0, occurred: 0, delivered: 0, dropped: 0 }
    }

    pub(crate) const fn rules(&self) -> &EventGrid {
        &self.rules
    }

    /// Takes an event in, if the subscription wants it.
    pub(crate) fn publish(&mut self, event: &Value, now: DateTime<Utc>) {
        if !self.rules.wants(event) {
            return;
        }
        self.occurred += 1;
        let twice = self.occurred.checked_rem(self.rules.duplicate_every) == Some(0);
        for _ in 0..1 + usize::from(twice) {
            if self.pending.len() == MOST_PENDING {
                self.dropped += 1;
            } else {
                let due = now + delta(self.rules.latency + self.rules.disorder.mul_f64(self.rng.f64()));
                let event = event.clone();
                self.pending.push(Pending { event, published: now, due, attempts: 0, delivery: None });
            }
        }
    }

    /// What is to be sent now, in the order in which it fell due. Each delivery is to be answered by
    /// [`Self::answered`], and counts as unanswered after a while.
    pub(crate) fn due(&mut self, now: DateTime<Utc>) -> Vec<Delivery> {
        let on_their_way = self.pending.iter().filter_map(|one| one.delivery);
        let lapsed: Vec<_> = on_their_way.filter(|(_, until)| *until <= now).collect();
        lapsed.into_iter().for_each(|(id, until)| self.answered(id, Outcome::Unanswered, until));
        let waits = |one: &&mut Pending| one.delivery.is_none() && one.due <= now;
        let mut ready: Vec<&mut Pending> = self.pending.iter_mut().filter(waits).collect();
        ready.sort_by_key(|one| one.due);
        let form = match self.rules.schema {
            Schema::EventGrid => Form::Events,
            Schema::CloudEvents if self.rules.batch > 1 => Form::CloudEvents,
            Schema::CloudEvents => Form::CloudEvent,
        };
        let mut deliveries = Vec::new();
        for group in ready.chunks_mut(self.rules.batch.max(1)) {
            self.deliveries += 1;
            let delivery = (self.deliveries, now + delta(PATIENCE));
            group.iter_mut().for_each(|one| one.delivery = Some(delivery));
            let events = group.iter().map(|one| one.event.clone()).collect();
            deliveries.push(Delivery { id: self.deliveries, events, form });
        }
        deliveries
    }

    /// When the next event falls due, or a delivery counts as unanswered; none if there is nothing to deliver.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.pending.iter().map(|one| one.delivery.map_or(one.due, |(_, until)| until)).min()
    }

    /// Notes what came of a delivery. It succeeds or fails with all its events.
    pub(crate) fn answered(&mut self, id: u64, outcome: Outcome, now: DateTime<Utc>) {
        let of_it = |one: &mut Pending| one.delivery.is_some_and(|(delivery, _)| delivery == id);
        for mut one in self.pending.extract_if(.., of_it).collect::<Vec<_>>() {
            let (outcome, now) = match one.delivery {
                Some((_, until)) if until < now => (Outcome::Unanswered, until),
                _ => (outcome, now),
            };
            one.attempts += 1;
            if outcome.is_success() {
                self.delivered += 1;
                continue;
            }
            match self.next_attempt(&one, outcome, now) {
                Ok(due) => self.pending.push(Pending { due, delivery: None, ..one }),
                Err(reason) => self.bury(one, reason, outcome, now),
            }
        }
    }

    /// The events that wait or are on their way, in the order in which they fall due.
    pub(crate) fn undelivered(&self) -> Vec<Value> {
        let mut pending: Vec<&Pending> = self.pending.iter().collect();
        pending.sort_by_key(|one| one.due);
        pending.into_iter().map(|one| one.event.clone()).collect()
    }

    pub(crate) fn report(&self) -> EventGridReport {
        EventGridReport {
            occurred: self.occurred,
            delivered: self.delivered,
            pending: self.pending.len(),
            dropped: self.dropped,
            dead_letters: self.dead.iter().cloned().collect(),
        }
    }

    fn next_attempt(
        &self,
        one: &Pending,
        outcome: Outcome,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Reason> {
        if outcome.is_final() {
            return Err(Reason::NotRetried);
        }
        if one.attempts >= self.rules.max_attempts {
            return Err(Reason::MaxDeliveryAttemptsExceeded);
        }
        let nth = usize::try_from(one.attempts).unwrap_or(usize::MAX).clamp(1, WAITS.len());
        let due = now + delta(WAITS[nth - 1].max(outcome.least_wait()));
        if due > one.published + delta(self.rules.time_to_live) {
            return Err(Reason::TimeToLiveExceeded);
        }
        Ok(due)
    }

    fn bury(&mut self, one: Pending, reason: Reason, last_outcome: Outcome, at: DateTime<Utc>) {
        if self.dead.len() == MOST_DEAD {
            self.dead.pop_front();
            self.dropped += 1;
        }
        let Pending { event, published, attempts, .. } = one;
        self.dead.push_back(DeadLetter { event, reason, attempts, last_outcome, published, at });
    }
}

impl Delivery {
    /// The `Content-Type` of the call (docs: CloudEvents 1.0 HTTP protocol binding).
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self.form {
            Form::Events => "application/json; charset=utf-8",
            Form::CloudEvent => "application/cloudevents+json; charset=utf-8",
            Form::CloudEvents => "application/cloudevents-batch+json; charset=utf-8",
        }
    }

    /// The body of the call.
    #[must_use]
    pub fn body(&self) -> Value {
        match (self.form, self.events.as_slice()) {
            (Form::CloudEvent, [event]) => event.clone(),
            (_, events) => events.into(),
        }
    }
}

#[cfg(test)]
mod tests;
