//! Which services a run of the timer reads in full, and which it may go by the keys of.
//!
//! Start at [`FullChecks::begin`]. A full check asks for the keys and for every place of every app, and nearly all of that
//! counts as writes to ARM, whose bucket holds 200 and gets back 10 a second (docs: Understand how Azure Resource Manager
//! throttles requests). A quarter of it is what full checks may take in a run, so that a repair by another process finds the
//! rest. What does not fit is stretched evenly over the runs of its `full_check_every`. Whether the keys are enough where it is
//! not a service's turn says [`plan::quiet`](rekey_core::plan::quiet()).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::azure::consumers::Place;
use crate::config::{Config, ServiceConfig};
use crate::report::{Ending, RunReport};
use crate::schedule;
use rekey_core::intent::Source;
use rekey_core::model::ServiceId;
use rekey_core::plan::Decision;
use rekey_core::time::delta;

/// How many requests full checks may take in a run however many services there are: a quarter of ARM's bucket of writes.
const SHARE: f64 = 50.0;

/// By how much of the interval a run may begin late: a timer's event comes within seconds, and whoever is read the moment that
/// his time is over is read in time.
const LATE: f64 = 0.1;

/// When services were last read in full, as far as the keys alone may be gone by since. The timer's runs take it from the
/// store and leave it there; of the rest of a process its notices' runs add what they came upon.
#[derive(Debug, Default)]
pub struct FullChecks(Mutex<Checks>);

#[derive(Debug, Default)]
struct Checks {
    /// When each service was last read in full, of those that were in order then and since.
    read: BTreeMap<ServiceId, DateTime<Utc>>,
    /// Whose turn it is in the run under way.
    turns: BTreeSet<ServiceId>,
    /// When a notice's run last came to no good end.
    doubted: BTreeMap<ServiceId, DateTime<Utc>>,
}

impl FullChecks {
    /// Begins a run of the timer with what earlier ones have left.
    pub(super) fn begin(
        &self,
        read: BTreeMap<ServiceId, DateTime<Utc>>,
        config: &Config,
        now: DateTime<Utc>,
    ) {
        let mut checks = self.0.lock();
        checks.read = read;
        // By another clock, which went wrong.
        checks.read.retain(|_, at| *at <= now);
        let last = checks.in_order();
        let interval = schedule::usual_gap(config.schedule.as_deref(), now);
        checks.turns = turns(&config.instances, &last, interval, now);
    }

    /// When a service was last read in full, if the run of the timer that is under way may go by its keys.
    pub(super) fn rests(&self, service: &ServiceId) -> Option<DateTime<Utc>> {
        let checks = self.0.lock();
        checks.read_in_order(service).filter(|_| !checks.turns.contains(service))
    }

    /// Takes down how a run ended. Whatever was not in order, or of which nobody knows, is read at the next.
    pub(super) fn note(&self, source: Source, report: &RunReport, now: DateTime<Utc>) {
        let mut checks = self.0.lock();
        let (service, settled) =
            (report.service.clone(), matches!(report.ending, Ending::Decided(Decision::Settled { .. })));
        match (source, &report.seen) {
            (Source::Timer, None) if settled => {}
            // What is told of at every run is found at every run.
            (Source::Timer, Some(seen)) if settled && seen.gone.is_empty() => {
                checks.read.insert(service, seen.at);
            }
            (Source::Timer, _) => drop(checks.read.remove(&service)),
            _ if !report.ending.is_answered() => drop(checks.doubted.insert(service, now)),
            _ => {}
        }
    }

    /// What the next run of the timer is left; and this one is over.
    pub(super) fn end(&self) -> BTreeMap<ServiceId, DateTime<Utc>> {
        let mut checks = self.0.lock();
        let left = checks.in_order();
        checks.read.clear();
        left
    }
}

impl Checks {
    fn in_order(&self) -> BTreeMap<ServiceId, DateTime<Utc>> {
        let read = |service: &ServiceId| Some((service.clone(), self.read_in_order(service)?));
        self.read.keys().filter_map(read).collect()
    }

    fn read_in_order(&self, service: &ServiceId) -> Option<DateTime<Utc>> {
        let read = self.read.get(service).copied();
        read.filter(|read| self.doubted.get(service).is_none_or(|doubted| doubted < read))
    }
}

/// Whose turn it is: who was not read, or is read always; who would be read later than its `full_check_every` otherwise; and as
/// far as they fit, first those whose time comes first. What fits is the share, or what has to be read in each run from now on
/// for all to be read in time.
fn turns(
    services: &[ServiceConfig],
    read: &BTreeMap<ServiceId, DateTime<Utc>>,
    interval: TimeDelta,
    now: DateTime<Utc>,
) -> BTreeSet<ServiceId> {
    let until = |service: &ServiceConfig| {
        let every = Some(service.policy.full_check_every).filter(|every| !every.is_zero())?;
        Some(*read.get(&service.id)? + delta(every))
    };
    let (mut stretched, always): (Vec<_>, Vec<_>) =
        services.iter().partition(|service| until(service).is_some());
    stretched.sort_by_cached_key(|service| (until(service), service.id.clone()));
    let runs = |service: &ServiceConfig| runs_until(until(service).unwrap_or(now), interval, now);
    let mut sum = 0.0;
    let in_each_run = |service: &&ServiceConfig| {
        sum += cost(service);
        sum / runs(service)
    };
    let needed = stretched.iter().map(in_each_run).fold(0.0, f64::max);
    let mut left = SHARE - always.iter().map(|service| cost(service)).sum::<f64>();
    let mut spent = 0.0;
    stretched.retain(|service| {
        let cost = cost(service);
        // A service is not read in parts: half of one more or less is as near as it gets.
        let is_needed = needed > SHARE && spent + cost / 2.0 < needed;
        let is_in = runs(service) <= 1.0 || cost <= left || is_needed;
        if is_in {
            (left, spent) = (left - cost, spent + cost);
        }
        is_in
    });
    always.into_iter().chain(stretched).map(|service| service.id.clone()).collect()
}

/// How many requests a full check makes.
fn cost(service: &ServiceConfig) -> f64 {
    1.0 + Place::configured(service).iter().map(Place::requests).sum::<usize>() as f64
}

/// How many runs there are up to a time, with this one and at least one. One that is due then may begin a little late.
fn runs_until(time: DateTime<Utc>, interval: TimeDelta, now: DateTime<Utc>) -> f64 {
    let intervals = (time - now).as_seconds_f64() / interval.as_seconds_f64();
    (intervals + LATE).floor().max(0.0) + 1.0
}

#[cfg(test)]
mod tests;
