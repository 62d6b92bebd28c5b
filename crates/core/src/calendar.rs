//! When working consumers may be moved: windows, and the freezes that close them.
//!
//! Start at [`Calendar`]. Everything is read off the wall clock of the zone that is named: a window is open at an instant if
//! that clock shows a time within it. So a window that the change to summer time leaves out does not open on that day, and one
//! that the change back shows twice opens twice.

mod zone;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc, Weekday,
};

use self::zone::Zone;

/// When working consumers may be moved. Without windows that is always, but for the freezes.
#[derive(Clone, Copy, Debug)]
pub struct Calendar<'a> {
    pub windows: &'a [Window],
    pub freezes: &'a [Freeze],
}

/// A time of some days of the week, `Sat,Sun 02:00-05:00 Europe/Berlin`. One that ends before it begins ends on the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins, counted from Monday.
    days: [bool; 7],
    from: NaiveTime,
    /// Midnight is the end of the day.
    until: NaiveTime,
    zone: Zone,
}

/// Days on which nothing is moved, both included: `2026-12-20..2027-01-06 Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    first: NaiveDate,
    last: NaiveDate,
    zone: Zone,
}

/// How far ahead the next change is looked for. A window opens in two weeks at the latest, if no freeze closes it.
const AHEAD: i64 = 400;

/// Three weeks in which no clock of the world is changed, from a Monday on, by which windows are measured.
const MEASURED: (&str, TimeDelta) = ("2026-01-12T00:00:00Z", TimeDelta::days(21));

/// The last year that a freeze may name. Times of later ones no longer fit into what is read and written of them.
const LAST_YEAR: i32 = 9000;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const A_WEEK: TimeDelta = TimeDelta::days(7);

impl<'a> Calendar<'a> {
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        let within = self.windows.is_empty() || self.windows.iter().any(|window| window.is_open(at));
        within && self.frozen(at).is_none()
    }

    /// The freeze that is on.
    pub fn frozen(&self, at: DateTime<Utc>) -> Option<&'a Freeze> {
        self.freezes.iter().find(|freeze| freeze.holds(at))
    }

    /// When it opens next, or `now` if it is open. That is told however far away it is.
    pub fn opens(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let windows = Calendar { freezes: &[], ..*self };
        let mut at = now;
        // Each freeze is left behind once, and once more where a clock that is set back shows its last hour again.
        for _ in 0..=2 * self.freezes.len() {
            at =
                if windows.is_open(at) { at } else { windows.changes(at).find(|at| windows.is_open(*at))? };
            let Some(freeze) = self.frozen(at) else { return Some(at) };
            at = freeze.thaws(at)?;
        }
        None
    }

    /// When it closes next, if it is open; nothing if that is not within a year.
    pub fn closes(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let closes = || self.changes(now).find(|at| !self.is_open(*at));
        self.is_open(now).then(closes).flatten()
    }

    /// The longest time for which windows stay open, and the longest for which none is, as the text alone shows them: in weeks
    /// in which no clock is changed; nothing without windows.
    pub fn longest(&self) -> Option<(TimeDelta, TimeDelta)> {
        let windows = Calendar { freezes: &[], ..*self };
        let start: DateTime<Utc> = MEASURED.0.parse().ok().filter(|_| !self.windows.is_empty())?;
        let end = start + MEASURED.1;
        let (mut open, mut closed) = (TimeDelta::zero(), TimeDelta::zero());
        let (mut since, mut is_open) = (start, windows.is_open(start));
        for at in windows.changes(start).take_while(|at| *at < end).chain([end]) {
            if at == end || windows.is_open(at) != is_open {
                let longest = if is_open { &mut open } else { &mut closed };
                *longest = (at - since).max(*longest);
                (since, is_open) = (at, !is_open);
            }
        }
        Some((open.min(A_WEEK), closed))
    }

    /// Every instant from now on at which it may open or close, one after the other.
    fn changes(self, now: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let of_day = move |day: i64| {
            let (from, until) = (now + TimeDelta::days(day), now + TimeDelta::days(day + 1));
            let of_windows = self.windows.iter().flat_map(move |window| window.changes(from));
            let all = of_windows.chain(self.freezes.iter().flat_map(Freeze::changes));
            all.filter(|at| from < *at && *at <= until).collect::<BTreeSet<_>>()
        };
        (0..AHEAD).flat_map(of_day)
    }
}

impl Window {
    fn is_open(&self, at: DateTime<Utc>) -> bool {
        let local = self.zone.shows(at);
        let (time, day) = (local.time(), local.weekday().num_days_from_monday() as usize);
        let (today, yesterday) = (self.days[day], self.days[(day + 6) % 7]);
        if self.is_overnight() {
            (today && self.from <= time) || (yesterday && time < self.until)
        } else {
            today && self.from <= time && (time < self.until || self.until == NaiveTime::MIN)
        }
    }

    /// Whether it goes on after midnight.
    fn is_overnight(&self) -> bool {
        self.until <= self.from && self.until != NaiveTime::MIN
    }

    /// Every instant of the day that begins now at which it may open or close, and some besides.
    fn changes(&self, now: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let today = self.zone.shows(now).date();
        let first = today.checked_sub_days(Days::new(1)).unwrap_or(today);
        let days = first.iter_days().take(3);
        days.flat_map(move |day| {
            let at = [self.from, self.until].into_iter();
            let at = at.flat_map(move |time| self.zone.instants(day.and_time(time)));
            at.chain(change_of_clock(&self.zone, day))
        })
    }
}

impl Freeze {
    fn holds(&self, at: DateTime<Utc>) -> bool {
        let day = self.zone.shows(at).date();
        (self.first..=self.last).contains(&day)
    }

    /// When it is over, if it is on.
    fn thaws(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.changes().filter(|at| now < *at && !self.holds(*at)).min()
    }

    fn changes(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let after = self.last.succ_opt().unwrap_or(self.last);
        let edges = [self.first, after].into_iter();
        edges.flat_map(move |day| {
            let midnight = self.zone.instants(day.and_time(NaiveTime::MIN));
            midnight.into_iter().chain(change_of_clock(&self.zone, day))
        })
    }
}

/// When the wall clock of a zone is changed within a day and a bit, to the second.
fn change_of_clock(zone: &Zone, day: NaiveDate) -> Option<DateTime<Utc>> {
    let offset = |at: DateTime<Utc>| zone.offset(at);
    // The day of UTC and half a day on either side have all of the zone's day.
    let noon = day.and_hms_opt(12, 0, 0)?.and_utc();
    let (mut before, mut after) = (noon - TimeDelta::days(1), noon + TimeDelta::days(1));
    if offset(before) == offset(after) {
        return None;
    }
    let old = offset(before);
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if offset(middle) == old { before = middle } else { after = middle }
    }
    Some(after)
}

/// When the clock of a zone shows a time, `2026-12-01T08:00 Europe/Berlin`; of two such instants the later. Nothing if it is
/// no time, the zone is not known, or its clock does not show that time on that day.
pub fn instant(text: &str) -> Option<DateTime<Utc>> {
    let (time, zone) = text.trim().rsplit_once(char::is_whitespace)?;
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"];
    let shown = forms.into_iter().find_map(|form| NaiveDateTime::parse_from_str(time.trim(), form).ok())?;
    let near = (1..=LAST_YEAR).contains(&shown.year());
    Zone::named(zone).filter(|_| near)?.instants(shown).last().copied()
}

/// Whether there is a time zone of this name, in any case.
pub fn is_zone(name: &str) -> bool {
    Zone::named(name).is_some()
}

/// The names of all time zones, for who wrote one that there is not.
pub fn zones() -> Vec<&'static str> {
    Zone::names().collect()
}

/// What is wrong with the text of a window or a freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarFault {
    /// It has not the parts that it should have.
    Shape,
    Days,
    Times,
    Zone,
    /// It ends when it begins, or before.
    Ends,
}

impl FromStr for Window {
    type Err = CalendarFault;

    fn from_str(text: &str) -> Result<Self, CalendarFault> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [days, times, zone] = parts[..] else { return Err(CalendarFault::Shape) };
        let days = read_days(days).ok_or(CalendarFault::Days)?;
        let times =
            times.split_once('-').and_then(|(from, until)| Some((read_time(from)?, read_time(until)?)));
        let (from, until) = times.ok_or(CalendarFault::Times)?;
        let zone = Zone::named(zone).ok_or(CalendarFault::Zone)?;
        if from == until && from != NaiveTime::MIN {
            return Err(CalendarFault::Ends);
        }
        Ok(Self { days, from, until, zone })
    }
}

impl FromStr for Freeze {
    type Err = CalendarFault;

    fn from_str(text: &str) -> Result<Self, CalendarFault> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [days, zone] = parts[..] else { return Err(CalendarFault::Shape) };
        let (first, last) = days.split_once("..").unwrap_or((days, days));
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let day = |text: &str| day(text).filter(|day| (1..=LAST_YEAR).contains(&day.year()));
        let days = day(first).zip(day(last));
        let (first, last) = days.ok_or(CalendarFault::Days)?;
        let zone = Zone::named(zone).ok_or(CalendarFault::Zone)?;
        if last < first {
            return Err(CalendarFault::Ends);
        }
        Ok(Self { first, last, zone })
    }
}

/// `Sat,Sun`, `Mon-Fri`, or `daily`.
fn read_days(text: &str) -> Option<[bool; 7]> {
    if text.eq_ignore_ascii_case("daily") {
        return Some([true; 7]);
    }
    let day = |name: &str| name.parse::<Weekday>().ok().map(|day| day.num_days_from_monday() as usize);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|n| days[(first + n) % 7] = true);
    }
    Some(days)
}

/// `02:00`, and `24:00` for the end of the day.
fn read_time(text: &str) -> Option<NaiveTime> {
    if text == "24:00" { Some(NaiveTime::MIN) } else { NaiveTime::parse_from_str(text, "%H:%M").ok() }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> =
            DAYS.into_iter().zip(self.days).filter(|(_, on)| *on).map(|(day, _)| day).collect();
        let days = if self.days == [true; 7] { "daily".to_owned() } else { days.join(",") };
        let time = |time: NaiveTime| format!("{:02}:{:02}", time.hour(), time.minute());
        let until = if self.until == NaiveTime::MIN { "24:00".to_owned() } else { time(self.until) };
        write!(f, "{days} {}-{until} {}", time(self.from), self.zone)
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{} {}", self.first, self.last, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Written(Vec<Window>, Vec<Freeze>);

    impl Written {
        fn read(&self) -> Calendar<'_> {
            Calendar { windows: &self.0, freezes: &self.1 }
        }

        fn is_open(&self, at: DateTime<Utc>) -> bool {
            self.read().is_open(at)
        }

        fn opens(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
            self.read().opens(now)
        }

        fn closes(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
            self.read().closes(now)
        }
    }

    fn calendar(windows: &[&str], freezes: &[&str]) -> Written {
        let windows = windows.iter().map(|text| text.parse().unwrap()).collect();
        let freezes = freezes.iter().map(|text| text.parse().unwrap()).collect();
        Written(windows, freezes)
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    #[test]
    fn a_window_opens_on_its_days_by_the_clock_of_its_zone() {
        let weekend = calendar(&["Sat,Sun 02:00-05:00 Europe/Berlin"], &[]);
        // 2026-07-04 is a Saturday; Berlin is two hours ahead of UTC in summer.
        for (now, opens, closes) in [
            ("2026-07-03T12:00", "2026-07-04T00:00", None),
            ("2026-07-03T23:59", "2026-07-04T00:00", None),
            ("2026-07-04T00:00", "2026-07-04T00:00", Some("2026-07-04T03:00")),
            ("2026-07-04T02:59", "2026-07-04T02:59", Some("2026-07-04T03:00")),
            ("2026-07-04T03:00", "2026-07-05T00:00", None),
            ("2026-07-05T03:00", "2026-07-11T00:00", None),
            // One hour ahead in winter.
            ("2026-12-04T12:00", "2026-12-05T01:00", None),
        ] {
            assert_eq!(weekend.opens(at(now)), Some(at(opens)), "{now}");
            assert_eq!(weekend.closes(at(now)), closes.map(at), "{now}");
        }
    }

    #[test]
    fn a_window_may_go_on_after_midnight_and_belongs_to_the_day_on_which_it_begins() {
        let night = calendar(&["Fri 22:00-04:00 UTC"], &[]);
        assert_eq!(night.opens(at("2026-07-04T04:00")), Some(at("2026-07-10T22:00")));
        assert_eq!(night.closes(at("2026-07-03T23:00")), Some(at("2026-07-04T04:00")));
        assert!(!night.is_open(at("2026-07-03T03:00")), "Thursday's night");
        let day = calendar(&["Mon 00:00-24:00 UTC"], &[]);
        assert!(day.is_open(at("2026-07-06T23:59")) && !day.is_open(at("2026-07-07T00:00")));
        let rest_of_day = calendar(&["Mon 22:00-24:00 UTC"], &[]);
        assert_eq!(rest_of_day.closes(at("2026-07-06T22:00")), Some(at("2026-07-07T00:00")));
    }

    #[test]
    fn a_window_that_does_not_exist_on_a_day_does_not_open_on_it() {
        // On 2026-03-29 the clocks of Berlin go from 02:00 to 03:00, at 01:00 of UTC.
        let gone = calendar(&["Sun 02:00-03:00 Europe/Berlin"], &[]);
        assert_eq!(gone.opens(at("2026-03-28T12:00")), Some(at("2026-04-05T00:00")));
        let half = calendar(&["Sun 02:30-04:00 Europe/Berlin"], &[]);
        assert_eq!(half.opens(at("2026-03-28T12:00")), Some(at("2026-03-29T01:00")), "when 03:00 is shown");
        let cut = calendar(&["Sun 01:00-02:30 Europe/Berlin"], &[]);
        assert_eq!(cut.closes(at("2026-03-29T00:30")), Some(at("2026-03-29T01:00")), "02:00 is never shown");
    }

    #[test]
    fn a_window_that_exists_twice_opens_twice() {
        // On 2026-10-25 the clocks of Berlin go from 03:00 back to 02:00, at 01:00 of UTC.
        let twice = calendar(&["Sun 02:15-02:45 Europe/Berlin"], &[]);
        let first = at("2026-10-25T00:15");
        assert_eq!(twice.opens(at("2026-10-24T12:00")), Some(first));
        assert_eq!(twice.closes(first), Some(at("2026-10-25T00:45")));
        assert_eq!(twice.opens(at("2026-10-25T00:45")), Some(at("2026-10-25T01:15")));
        // The clock leaves it and comes back.
        let late = calendar(&["Sun 02:30-03:30 Europe/Berlin"], &[]);
        assert_eq!(
            late.closes(at("2026-10-25T00:40")),
            Some(at("2026-10-25T01:00")),
            "the clock shows 02:00"
        );
        assert_eq!(late.opens(at("2026-10-25T01:00")), Some(at("2026-10-25T01:30")));
        let hour = calendar(&["Sun 02:00-03:00 Europe/Berlin"], &[]);
        assert_eq!(hour.closes(at("2026-10-25T00:00")), Some(at("2026-10-25T02:00")), "both hours are one");
    }

    #[test]
    fn a_freeze_closes_windows_on_both_of_its_days_and_all_between() {
        let frozen =
            calendar(&["Sat,Sun 02:00-05:00 Europe/Berlin"], &["2026-12-20..2027-01-06 Europe/Berlin"]);
        // 2026-12-19 is a Saturday, 2027-01-09 the first one after.
        assert_eq!(frozen.opens(at("2026-12-19T12:00")), Some(at("2027-01-09T01:00")));
        assert!(frozen.read().frozen(at("2026-12-19T23:00")).is_some(), "it is the 20th in Berlin");
        assert!(frozen.read().frozen(at("2027-01-06T22:59")).is_some());
        assert!(frozen.read().frozen(at("2027-01-06T23:00")).is_none());
        let alone = calendar(&[], &["2026-12-24 UTC"]);
        assert_eq!(alone.closes(at("2026-12-23T12:00")), Some(at("2026-12-24T00:00")));
        assert_eq!(alone.opens(at("2026-12-24T12:00")), Some(at("2026-12-25T00:00")));
        let long = calendar(&["Sat 02:00-03:00 UTC"], &["2026-01-01..2036-01-01 UTC"]);
        assert_eq!(
            long.opens(at("2026-12-24T12:00")),
            Some(at("2036-01-05T02:00")),
            "ten years are told too"
        );
        let rows = ["2026-12-24..2027-12-01 UTC", "2027-12-02..2028-12-01 UTC", "2027-06-01..2029-01-01 UTC"];
        assert_eq!(calendar(&[], &rows).opens(at("2026-12-24T12:00")), Some(at("2029-01-02T00:00")));
        assert_eq!(calendar(&[], &[]).opens(at("2026-12-24T12:00")), Some(at("2026-12-24T12:00")));
        assert_eq!(calendar(&[], &[]).closes(at("2026-12-24T12:00")), None);
    }

    #[test]
    fn the_text_shows_how_long_windows_are_open_and_how_long_none_is() {
        let (hour, day) = (TimeDelta::hours(1), TimeDelta::days(1));
        let none = TimeDelta::zero();
        for (windows, open, closed) in [
            (&["Sat,Sun 02:00-05:00 Europe/Berlin"][..], hour * 3, day * 5 + hour * 21),
            (&["Mon 22:00-04:00 UTC"], hour * 6, day * 6 + hour * 18),
            (&["daily 00:00-24:00 UTC"], day * 7, none),
            (&["daily 00:00-12:00 UTC", "daily 12:00-24:00 UTC"], day * 7, none),
            (&["Sat-Sun 00:00-24:00 UTC"], day * 2, day * 5),
            (&["Mon 01:00-02:00 UTC", "Thu 01:00-05:00 UTC"], hour * 4, day * 3 + hour * 20),
            // Those that touch are one, whatever their zones: it is 03:00 in Berlin.
            (&["daily 00:00-02:00 UTC", "daily 03:00-04:00 Europe/Berlin"], hour * 3, hour * 21),
            // On one day a year it does not open; that the text alone does not show.
            (&["Sun 02:00-03:00 Europe/Berlin"], hour, day * 6 + hour * 23),
        ] {
            assert_eq!(calendar(windows, &[]).read().longest(), Some((open, closed)), "{windows:?}");
        }
        assert_eq!(calendar(&[], &[]).read().longest(), None);
    }

    #[test]
    fn a_time_of_a_zone_is_an_instant() {
        for (text, instant_of) in [
            ("2026-12-01T08:00 Europe/Berlin", Some("2026-12-01T07:00")),
            (" 2026-12-01 08:00:00 utc ", Some("2026-12-01T08:00")),
            // The clock shows it twice, and not at all.
            ("2026-10-25T02:30 Europe/Berlin", Some("2026-10-25T01:30")),
            ("2026-03-29T02:30 Europe/Berlin", None),
            ("2026-12-01T08:00 Berlin", None),
            ("2026-12-01T08:00", None),
            ("tomorrow Europe/Berlin", None),
        ] {
            assert_eq!(instant(text), instant_of.map(at), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_in_any_case_and_shown_in_one_way() {
        for (text, shown) in [
            ("sat,sun 2:00-05:00 europe/berlin", "Sat,Sun 02:00-05:00 Europe/Berlin"),
            ("Fri-Mon 22:00-24:00 UTC", "Mon,Fri,Sat,Sun 22:00-24:00 UTC"),
            ("daily 00:00-24:00 America/New_York", "daily 00:00-24:00 America/New_York"),
            ("saturday 23:30-00:30 Asia/Kolkata", "Sat 23:30-00:30 Asia/Kolkata"),
        ] {
            let window: Window = text.parse().unwrap();
            assert_eq!(window.to_string(), shown);
            assert_eq!(shown.parse(), Ok(window));
        }
        use CalendarFault::{Days, Ends, Shape, Times, Zone};
        for (text, fault) in [
            ("", Shape),
            ("Sat 02:00-05:00", Shape),
            ("Sat 02:00 - 05:00 UTC", Shape),
            ("Sat, Sun 02:00-05:00 UTC", Shape),
            ("Someday 02:00-05:00 UTC", Days),
            ("Sat 02:00-25:00 UTC", Times),
            ("Sat 02:00-02:00 UTC", Ends),
            ("Sat 02:00-05:00 Europe/Atlantis", Zone),
        ] {
            assert_eq!(text.parse::<Window>(), Err(fault), "{text}");
        }
        for (text, fault) in [
            ("2026-12-20", Shape),
            ("2026-12-20..2026-12-19 UTC", Ends),
            ("20.12.2026 UTC", Days),
            ("2026-02-30 UTC", Days),
            ("2026-12-20..+20000-01-01 UTC", Days),
            ("2026-12-20 Europe/Atlantis", Zone),
        ] {
            assert_eq!(text.parse::<Freeze>(), Err(fault), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        /// Between now and the opening that is told it is closed at every minute, and open then; likewise for the closing.
        #[test]
        fn it_opens_and_closes_when_it_says(
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "UTC"]),
            (from, length) in (0..1440_u32, 1..1440_u32),
            days in prop::sample::select(vec!["Sun", "Sat,Sun", "daily", "Tue-Thu"]),
            frozen in prop::option::of(0..12_u64),
            start in 0..(2 * 365 * 1440_i64),
        ) {
            let until = (from + length) % 1440;
            let time = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let window = format!("{days} {}-{} {zone}", time(from), time(until));
            let now = at("2025-12-01T00:00") + TimeDelta::minutes(start);
            let day = now.date_naive();
            let freezes = frozen.map(|n| format!("{}..{} {zone}", day + Days::new(n), day + Days::new(n + 3)));
            let calendar = calendar(&[&window], &freezes.iter().map(String::as_str).collect::<Vec<_>>());
            let opens = calendar.opens(now).unwrap();
            let mut minute = now;
            while minute < opens {
                prop_assert!(!calendar.is_open(minute), "{window} {freezes:?} is open at {minute}");
                minute += TimeDelta::minutes(1);
            }
            prop_assert!(calendar.is_open(opens), "{window} {freezes:?} is closed at {opens}");
            if let Some(closes) = calendar.closes(opens) {
                minute = opens;
                while minute < closes {
                    prop_assert!(calendar.is_open(minute), "{window} {freezes:?} is closed at {minute}");
                    minute += TimeDelta::minutes(1);
                }
                prop_assert!(!calendar.is_open(closes), "{window} {freezes:?} is open at {closes}");
            }
        }
    }
}
