//! Lengths of time.

use std::time::Duration;

use chrono::TimeDelta;

/// A [`Duration`] as chrono's signed one; the longest there is if it does not fit (292 million years).
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
