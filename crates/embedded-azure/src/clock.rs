//! Time as an argument: the clock of the system, and one that passes hours in milliseconds.

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

/// Tells the embedded Azure the time, and wakes it.
#[async_trait]
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// Waits until `time`; at once if it has passed.
    async fn sleep_until(&self, time: DateTime<Utc>);
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        let wait = (time - Utc::now()).to_std().unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
}

/// A clock that stands still until somebody waits for it: [`Clock::sleep_until`] lets the other tasks run for a
/// moment and then moves time itself. So a rotation with regenerations of 75 seconds and a grace period of two hours
/// runs in milliseconds, over real HTTP.
///
/// Caveat: do not race it against work (`select!`, a timeout). The sleeper does not wait for the work, so the
/// deadline passes at once; compare [`Clock::now`] with the deadline between steps instead. Several tasks that
/// sleep at once do not take turns in the order of their times; whoever wakes sees a time at or after the one it asked
/// for, and time never runs backwards.
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
        *self.lock() += delta(duration);
    }

    fn lock(&self) -> MutexGuard<'_, DateTime<Utc>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first second of 2026: any fixed time does, and this one reads well.
fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default()
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new(beginning())
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.lock()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        let mut now = self.lock();
        *now = time.max(*now);
    }
}

/// tokio's time, from the first second of 2026 on. In a runtime of one thread with paused time (`tokio::time::pause`) it moves
/// only when all tasks wait, and then to the earliest time that one of them waits for. So any number may wait at once, and
/// limits by the second hold.
#[derive(Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
}

impl Default for TokioClock {
    fn default() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        beginning() + delta(self.start.elapsed())
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        let wait = (time - self.now()).to_std().unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
}

/// The same length with a sign; the longest that there is where it is longer.
pub(crate) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_moves_time_and_never_back() {
        let clock = VirtualClock::default();
        let start = clock.now();
        let later = start + TimeDelta::hours(2);
        clock.sleep_until(later).await;
        assert_eq!(clock.now(), later);
        clock.sleep_until(start).await;
        assert_eq!(clock.now(), later);
    }
}
