//! Whether the timer is silent: timers of function apps were seen to stop while events still came, and nobody would notice
//! until the keys are too old, or a forced regeneration is announced by nothing (azure-functions-host#11828, #10527).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::{Config, StateConfig};
use crate::report::text::run as words;
use crate::report::{RunEvent, cause};
use crate::schedule::{USUAL, longest_gap};
use crate::store::{Store, timer_last_ran};
use rekey_core::model::ServiceId;
use rekey_core::time::delta;

/// How many runs are missed before the timer counts as silent: one may be lost to a deployment, another to what it did.
const MISSED: i32 = 3;

/// Knows when the timer last ran. What is in memory only saves asking the store again.
pub(super) struct Silence {
    /// Whether nothing is expected of it: somebody has disabled it, or the journal is in the memory of each process, where
    /// nobody sees what another does.
    disabled: bool,
    /// How long the timer may be silent between two runs.
    gap: TimeDelta,
    /// How long after its last run it counts as silent.
    limit: TimeDelta,
    /// Until when it cannot count as silent, by what was last read.
    not_before: Mutex<DateTime<Utc>>,
    /// When notices last did its work.
    stood_in: Mutex<BTreeMap<ServiceId, DateTime<Utc>>>,
}

impl Silence {
    pub(super) fn new(config: &Config, now: DateTime<Utc>) -> Self {
        let schedule = config.schedule.as_deref().map(|schedule| longest_gap(schedule, now));
        let gap = schedule.and_then(Result::ok).unwrap_or(USUAL);
        // A run itself may take its whole budget, and is on record when it ends.
        let limit = gap * MISSED + delta(config.timer_budget);
        Self {
            disabled: config.timer_disabled || config.state == StateConfig::Memory,
            gap,
            limit,
            not_before: Mutex::new(now),
            stood_in: Mutex::default(),
        }
    }

    /// That the timer is silent, if it is. Of one that somebody has disabled nothing is expected.
    pub(super) async fn of_timer(&self, store: &dyn Store, clock: &dyn Clock) -> Option<RunEvent> {
        let now = clock.now();
        if self.disabled || now < *self.not_before.lock() {
            return None;
        }
        let (last, at) = match timer_last_ran(store).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!("{}", words::silence_unknown(cause::told(&error)));
                return None;
            }
        };
        if at < last + self.limit {
            *self.not_before.lock() = now + (last + self.limit - at);
            return None;
        }
        Some(RunEvent::TimerSilent { since: last, every: self.gap.to_std().unwrap_or_default() })
    }

    /// Whether a notice is to do the timer's work now; not more often than the timer would.
    pub(super) fn stands_in(&self, service: &ServiceId, now: DateTime<Utc>) -> bool {
        let mut stood_in = self.stood_in.lock();
        let is_time = stood_in.get(service).is_none_or(|last| *last + self.gap <= now);
        if is_time {
            stood_in.insert(service.clone(), now);
        }
        is_time
    }
}
