//! How often the timer runs, by the schedule that the Functions host reads.

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::config::Environment;
use crate::report::cause;
use crate::report::text::command as words;

/// The app setting that `RotateKeys/function.json` takes the schedule from.
pub const SETTING: &str = "ROTATION_SCHEDULE";

pub(crate) const GOOD: &str = "0 */5 * * * *";

/// How far ahead runs are looked at: five weeks hold every week and every month there is, but for a schedule that
/// leaves out whole months.
const AHEAD: TimeDelta = TimeDelta::weeks(5);

/// The time between two runs that is assumed where no schedule can be read: that of the one that `infra/` deploys.
pub(crate) const USUAL: TimeDelta = TimeDelta::minutes(5);

/// How many runs tell how often the timer runs while it runs often: at five minutes they are a working day.
const NEXT_RUNS: usize = 100;

/// A run a second for a day is more than anybody wants; the gaps after that are the same again.
const MOST_RUNS: usize = 100_000;

/// The app settings that take the timer out of service (docs: How to disable functions in Azure Functions); the others
/// are how the first is written where a name may have no dot.
const DISABLED: [&str; 3] = [
    "AzureWebJobs.RotateKeys.Disabled",
    "AzureWebJobs__RotateKeys__Disabled",
    "AzureWebJobs_RotateKeys_Disabled",
];

/// Why the Functions host runs no timer, by the app settings that it hands on. It starts the handler all the same, and
/// says so in its own log alone.
pub(crate) fn no_timer(environment: &Environment, now: DateTime<Utc>) -> Option<String> {
    let (setting, why, next) = match (disabled_by(environment), environment.get(SETTING).map(str::trim)) {
        (Some(name), _) => (name, words::ON.to_owned(), words::REMOVE.to_owned()),
        (None, None | Some("")) => (SETTING, words::NOT_SET.to_owned(), words::set_it_like(GOOD)),
        (None, Some(expression)) => {
            (SETTING, longest_gap(expression, now).err()?, words::write_it_like(GOOD))
        }
    };
    Some(words::no_timer(setting, &why, &next))
}

/// The app setting by which the timer is disabled.
pub(crate) fn disabled_by(environment: &Environment) -> Option<&'static str> {
    let is_on = |value: &str| value.eq_ignore_ascii_case("true") || value == "1";
    DISABLED.into_iter().find(|name| environment.get(name).is_some_and(is_on))
}

/// The longest time between now and a run, or between two runs, of the weeks to come.
pub(crate) fn longest_gap(expression: &str, now: DateTime<Utc>) -> Result<TimeDelta, String> {
    // `hh:mm:ss` (docs: Timer trigger for Azure Functions, TimeSpan).
    if expression.contains(':') {
        return Err(words::time_span(expression));
    }
    let cron = ncrontab(expression)?;
    let mut last = now;
    let mut longest = TimeDelta::zero();
    for run in cron.iter_after(now).take(MOST_RUNS) {
        longest = longest.max(run - last);
        last = run;
        if last > now + AHEAD {
            break;
        }
    }
    if last == now { Err(words::NEVER.into()) } else { Ok(longest) }
}

/// The shortest time between two of the next runs: some schedules rest at night.
pub(crate) fn usual_gap(expression: Option<&str>, now: DateTime<Utc>) -> TimeDelta {
    let Some(Ok(cron)) = expression.map(ncrontab) else { return USUAL };
    let runs: Vec<DateTime<Utc>> = cron.iter_after(now).take(NEXT_RUNS).collect();
    runs.iter().zip(runs.iter().skip(1)).map(|(one, next)| *next - *one).min().unwrap_or(USUAL)
}

/// An NCRONTAB expression (docs: Timer trigger for Azure Functions): five fields, or six with the seconds first; a day
/// must fit both the day of the month and the day of the week; `n/step` goes on from n.
fn ncrontab(expression: &str) -> Result<Cron, String> {
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .dom_and_dow(true)
        .sloppy_ranges(true)
        .build();
    // What croner takes besides: L, W, #, ? and @daily, and 7 for Sunday.
    let known = |sign: char| sign.is_ascii_alphanumeric() || sign.is_whitespace() || "*,-/".contains(sign);
    let word = |word: &str| word.chars().all(|sign| sign.is_ascii_digit()) || word.len() >= 3;
    let words = expression.split(|sign: char| !sign.is_ascii_alphanumeric()).all(word);
    let sunday = expression.split_whitespace().next_back().is_some_and(|days| days.contains('7'));
    if !expression.chars().all(known) || !words || sunday {
        return Err(words::no_expression(expression));
    }
    let what = words::no_expression(expression);
    parser.parse(expression).map_err(|error| cause::because(&what, Some(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(expression: &str) -> Result<TimeDelta, String> {
        // A Thursday.
        longest_gap(expression, "2026-09-24T13:02:00Z".parse().unwrap())
    }

    #[test]
    fn the_longest_gap_is_found_in_each_form_of_a_schedule() {
        let (minutes, hours, days) = (TimeDelta::minutes, TimeDelta::hours, TimeDelta::days);
        for (expression, wanted) in [
            ("0 */5 * * * *", minutes(5)),
            ("*/5 * * * *", minutes(5)),
            ("0 3/20 * * * *", minutes(20)),
            ("0 0 * * * *", hours(1)),
            ("0 0 9-17 * * *", hours(16)),
            ("0 0 0 * * MON-FRI", days(3)),
            ("0 0 0 1 * *", days(31)),
            // Both the day of the month and that of the week must fit: the next Friday the 13th.
            ("0 0 0 13 NOV 5", days(49) + hours(10) + minutes(58)),
        ] {
            assert_eq!(gap(expression), Ok(wanted), "{expression}");
        }
    }

    #[test]
    fn how_often_it_runs_is_told_by_the_hours_in_which_it_does() {
        let now = "2026-09-24T19:02:00Z".parse().unwrap();
        let minutes = TimeDelta::minutes;
        for (expression, wanted) in [
            (Some("0 */5 * * * *"), minutes(5)),
            (Some("0 */10 9-17 * * MON-FRI"), minutes(10)),
            (Some("0 0 3 * * *"), TimeDelta::days(1)),
            (Some("every hour"), USUAL),
            (None, USUAL),
        ] {
            assert_eq!(usual_gap(expression, now), wanted, "{expression:?}");
        }
    }

    #[test]
    fn what_the_host_would_not_read_is_no_schedule() {
        for expression in [
            "",
            "every hour",
            "* * * *",
            "0 0 0 L * *",
            "0 0 0 * * 7",
            "0 0 25 * * *",
            "@daily",
            "0 0 0 ? * 1",
            "0 0 0 1 1 1 2027",
            "00:00:00",
            // Flex Consumption and Consumption take no time span.
            "00:30:00",
            "1.00:00:00",
            "24:00:00",
        ] {
            assert!(gap(expression).is_err(), "{expression}");
        }
    }

    #[test]
    fn a_run_a_second_is_judged_in_no_time() {
        assert_eq!(gap("* * * * * *"), Ok(TimeDelta::seconds(1)));
    }

    #[test]
    fn a_host_that_runs_no_timer_is_told_by_its_settings() {
        let told = |settings: &[(&str, &str)]| {
            no_timer(&settings.iter().copied().collect(), "2026-09-24T13:02:00Z".parse().unwrap())
        };
        let good = (SETTING, GOOD);
        assert_eq!(told(&[good]), None);
        assert_eq!(told(&[good, (DISABLED[0], "false"), (DISABLED[1], "0")]), None);
        for settings in [
            &[][..],
            &[(SETTING, " ")],
            &[(SETTING, "every five minutes")],
            &[good, (DISABLED[0], "True")],
            &[good, (DISABLED[1], "1")],
        ] {
            let told = told(settings).unwrap_or_default();
            let named = settings.last().map_or(SETTING, |(name, _)| name);
            assert!(
                told.starts_with(named) && told.contains("does not run RotateKeys"),
                "{settings:?}: {told}"
            );
        }
    }
}
