//! How often the timer runs.

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::finding::{Check, Finding};
use super::mend;
use crate::config::Config;
use crate::model::AppId;

/// The app setting that `RotateKeys/function.json` takes the schedule from.
pub(super) const SETTING: &str = "ROTATION_SCHEDULE";

/// A forced regeneration that no event announces cuts clients off until the next run.
const LONG: TimeDelta = TimeDelta::hours(1);

/// How far ahead runs are looked at: five weeks hold every week and every month there is, but for a schedule that
/// leaves out whole months.
const AHEAD: TimeDelta = TimeDelta::weeks(5);

/// A run a second for a day is more than anybody wants; the gaps after that are the same again.
const MOST_RUNS: usize = 100_000;

const GOOD: &str = "0 */5 * * * *";

/// Whether it runs, and often enough.
pub(super) fn check(
    config: &Config,
    expression: Option<&str>,
    as_deployed: bool,
    own: Option<&AppId>,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let better = || own.map(|own| mend::own_setting(own, SETTING, GOOD));
    let Some(expression) = expression else {
        let why = format!("the timer of RotateKeys takes its schedule from this app setting, like {GOOD}");
        let finding = if as_deployed {
            Finding::error(Check::Schedule, SETTING, "it is not set, so the timer never runs", why)
        } else {
            Finding::note(
                Check::Schedule,
                SETTING,
                "it is not set here, so the schedule was not looked at",
                why,
            )
        };
        return Some(finding.mended_by(better()));
    };
    let gap = match longest_gap(expression, now) {
        Ok(gap) => gap,
        Err(what) => {
            let why = format!(
                "the Functions host does not start a timer whose schedule it cannot read; write {GOOD}"
            );
            return Some(Finding::error(Check::Schedule, SETTING, what, why).mended_by(better()));
        }
    };
    let text = humantime::format_duration(gap.to_std().unwrap_or_default());
    let what = format!("the longest time between two runs is {text}");
    let shortest = config.instances.iter().min_by_key(|instance| instance.policy.rotate_every)?;
    let every = shortest.policy.rotate_every;
    if gap > crate::clock::delta(every) {
        let every = humantime::format_duration(every);
        let why = format!(
            "{} is to be rotated every {every}, and a rotation takes several runs",
            shortest.id.name()
        );
        return Some(Finding::error(Check::Schedule, SETTING, what, why).mended_by(better()));
    }
    if gap > LONG {
        let why = "a forced regeneration that no event announces is mended only by the next run; until then the \
                   clients of its consumers are cut off";
        return Some(Finding::warning(Check::Schedule, SETTING, what, why).mended_by(better()));
    }
    Some(Finding::ok(Check::Schedule, SETTING, what))
}

/// The longest time between now and a run, or between two runs, of the weeks to come.
fn longest_gap(expression: &str, now: DateTime<Utc>) -> Result<TimeDelta, String> {
    // `hh:mm:ss` (docs: Timer trigger for Azure Functions, TimeSpan).
    if expression.contains(':') {
        return Err(format!(
            "{expression:?} is a time span, which only App Service plans take: elsewhere the timer never runs"
        ));
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
    if last == now { Err("it never comes to a run".into()) } else { Ok(longest) }
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
        return Err(format!("{expression:?} is no NCRONTAB expression"));
    }
    parser.parse(expression).map_err(|error| format!("{expression:?} is no NCRONTAB expression: {error}"))
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
}
