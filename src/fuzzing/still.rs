//! A clock that stands still, so that an input does the same every time.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;

/// It always shows the same time, and every wait is over at once.
#[derive(Debug)]
pub(super) struct StillClock;

/// The time that it shows: 2026-09-24T13:20:00Z.
const SECONDS: TimeDelta = TimeDelta::seconds(1_790_256_000);

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + SECONDS
    }

    async fn sleep_until(&self, _: DateTime<Utc>) {}
}
