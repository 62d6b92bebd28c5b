//! Time as an argument. Nothing in this crate asks the operating system for the time but [`SystemClock`].

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time and waits. Everything that needs either is handed one of these.
#[async_trait]
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// Waits until `time`; at once if it has passed.
    async fn sleep_until(&self, time: DateTime<Utc>);

    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + delta(duration)).await;
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        if let Ok(wait) = (time - Utc::now()).to_std() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// A duration as people read it: in its two largest units, rounded; below a second in milliseconds.
#[must_use]
pub fn rounded(duration: Duration) -> humantime::FormattedDuration {
    /// A year, a month, a day, an hour, a minute, a second, a millisecond, as `humantime` counts them.
    const UNITS: [u128; 7] = [31_557_600_000, 2_630_016_000, 86_400_000, 3_600_000, 60_000, 1000, 1];
    let length = duration.as_millis();
    let first = UNITS.iter().position(|unit| length >= *unit).unwrap_or(UNITS.len() - 1);
    let (large, small) = (UNITS[first], UNITS.get(first + 1).copied().unwrap_or(1));
    let whole = length / large * large;
    let rest = ((length - whole + small / 2) / small * small).min(large);
    humantime::format_duration(Duration::from_millis(u64::try_from(whole + rest).unwrap_or(u64::MAX)))
}

/// A [`Duration`] as chrono's signed one; the longest there is if it does not fit (292 million years).
#[must_use]
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_two_units() {
        let day = 86_400;
        let said = [0, 59, 9000, 9001, 90_061, 7199, 2 * day + 86_399, 30 * day, 3652 * day + 75_600]
            .map(|seconds| rounded(Duration::from_secs(seconds)).to_string());
        insta::assert_snapshot!(said.join(", "), @"0s, 59s, 2h 30m, 2h 30m, 1day 1h, 2h, 3days, 30days, 10years");
        let said = [1204, 61_204, 999].map(|millis| rounded(Duration::from_millis(millis)).to_string());
        insta::assert_snapshot!(said.join(", "), @"1s 204ms, 1m 1s, 999ms");
    }
}
