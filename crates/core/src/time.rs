//! Lengths and points of time, as values and as people read them.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// A time as people read it.
#[must_use]
pub fn readable(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
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
