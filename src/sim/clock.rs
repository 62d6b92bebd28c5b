//! A clock that passes hours in milliseconds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::clock::Clock;
use rekey_core::time::delta;

/// A clock that stands still until somebody waits for it: [`Clock::sleep_until`] lets the other tasks run for a
/// moment and then moves time itself. So a rotation with regenerations of 75 seconds and a grace of two hours runs
/// in milliseconds, over real HTTP.
///
/// Caveat: do not race it against work (`select!`, a timeout). The sleeper does not wait for the work, so the
/// deadline passes at once; compare [`Clock::now`] with the deadline between steps instead. Several tasks that sleep
/// at once do not take turns in the order of their times; whoever wakes sees a time at or after the one it asked for,
/// and time never runs backwards.
#[derive(Debug)]
pub struct VirtualClock {
    now: Mutex<DateTime<Utc>>,
}

/// How often a sleeper lets others run before it moves time: enough for tasks that were just woken to go through a
/// few awaits of their own.
const YIELDS: usize = 8;

impl VirtualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { now: Mutex::new(now) }
    }

    /// Moves time on.
    pub fn advance(&self, duration: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += delta(duration);
    }

    fn advance_to(&self, time: DateTime<Utc>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = time.max(*now);
    }
}

impl Default for VirtualClock {
    /// The first second of 2026: any fixed time does, and this one reads well.
    fn default() -> Self {
        Self::new(DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default())
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        self.advance_to(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_moves_time_and_never_back() {
        let clock = VirtualClock::default();
        let start = clock.now();
        clock.sleep(Duration::from_secs(7200)).await;
        assert_eq!(clock.now() - start, delta(Duration::from_secs(7200)));
        clock.sleep_until(start).await;
        assert_eq!(clock.now() - start, delta(Duration::from_secs(7200)));
    }
}
