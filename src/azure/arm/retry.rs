//! How often a request is sent again, and how long is waited in between.
//!
//! *Whether* it may be sent again is decided with the error, in `refusal.rs`; this file knows only time.

use std::time::Duration;

use backon::ExponentialBuilder;
use chrono::{DateTime, Utc};

/// How long one request may take. ARM closes a synchronous request itself after about a minute; the slowest calls we
/// make answer within two seconds, so after half a minute sending it again is the better bet.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest `Retry-After` that is waited out here. An ARM bucket refills within 25 s (250 requests at 10 a second,
/// docs: Understand how ARM throttles requests), so a minute covers throttling; who is told to wait longer gets the
/// figure and decides for itself.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The longest `Retry-After` that is told to anybody. Azure's are minutes; whatever is longer comes from a server that is
/// no more to be believed, and a time that far away fits no date.
const LONGEST_TOLD: Duration = Duration::from_secs(24 * 3600);

/// Five attempts, with 0.5, 1, 2 and 4 s in between, each up to doubled by jitter: 7.5 to 15 s, which rides out a
/// restart of a front end and still fits into the 30 s that Event Grid waits.
const RETRIES: usize = 4;
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The delays of one request. Requests that run side by side need different seeds, or they would all come back at once.
pub(super) fn delays(seed: u64) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_DELAY)
        .with_max_times(RETRIES)
        .with_jitter()
        .with_jitter_seed(seed)
}

/// The wait before the next attempt; none when there is none. `delay` is the next of [`delays`], `told` Azure's
/// `Retry-After`, `left` the time until the deadline.
pub(super) fn wait(
    delay: Option<Duration>,
    told: Option<Duration>,
    left: Option<Duration>,
) -> Option<Duration> {
    let delay = delay?;
    let wait = match told {
        None => delay,
        Some(told) if told <= LONGEST_WAIT => told + delay / 2,
        Some(_) => return None,
    };
    // A wait that ends at the deadline leaves no time to send anything.
    left.is_none_or(|left| wait < left).then_some(wait)
}

/// What is told in milliseconds; a day is the most.
pub(super) fn milliseconds(told: u64) -> Duration {
    Duration::from_millis(told).min(LONGEST_TOLD)
}

/// Reads `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3). A date in the past means now; a day is the most.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let digits = !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit());
    let told = if digits {
        value.parse().map_or(LONGEST_TOLD, Duration::from_secs)
    } else {
        let date = DateTime::parse_from_rfc2822(value).ok()?;
        (date.to_utc() - now).to_std().unwrap_or_default()
    };
    Some(told.min(LONGEST_TOLD))
}

#[cfg(test)]
mod tests {
    use backon::BackoffBuilder;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z").unwrap().to_utc();
        for (value, wanted) in [
            ("10", Some(seconds(10))),
            (" 0 ", Some(seconds(0))),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(seconds(60))),
            ("Wed, 21 Oct 2015 07:26:00 GMT", Some(seconds(0))),
            ("18446744073709551615", Some(LONGEST_TOLD)),
            ("99999999999999999999999", Some(LONGEST_TOLD)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(LONGEST_TOLD)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), wanted, "{value}");
        }
    }

    #[test]
    fn the_delays_grow_with_jitter_and_end() {
        let some: Vec<Duration> = delays(7).build().collect();
        assert_eq!(some.len(), RETRIES);
        for (delay, base) in some.iter().zip([500, 1000, 2000, 4000]) {
            let base = Duration::from_millis(base);
            assert!((base..=base * 2).contains(delay), "{delay:?}");
        }
        assert_ne!(some, delays(8).build().collect::<Vec<_>>());
    }

    #[test]
    fn a_wait_obeys_azure_the_deadline_and_reason() {
        assert_eq!(wait(Some(seconds(2)), None, None), Some(seconds(2)));
        assert_eq!(wait(Some(seconds(2)), Some(seconds(10)), None), Some(seconds(11)));
        assert_eq!(wait(Some(seconds(2)), Some(seconds(3600)), None), None);
        assert_eq!(wait(Some(seconds(2)), None, Some(seconds(2))), None);
        assert_eq!(wait(None, Some(seconds(1)), None), None);
    }
}
