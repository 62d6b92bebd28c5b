//! How often the timer runs.

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::{Check, Finding};
use super::fixes;
use crate::config::Config;
use crate::schedule::{GOOD, SETTING, longest_gap};
use rekey_core::model::AppId;

/// A forced regeneration that no event announces cuts clients off until the next run.
const LONG: TimeDelta = TimeDelta::hours(1);

/// Whether it runs, and often enough.
pub(super) fn check(
    config: &Config,
    expression: Option<&str>,
    as_deployed: bool,
    own: Option<&AppId>,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let better = || own.map(|own| fixes::own_setting(own, SETTING, GOOD));
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
        return Some(finding.fixed_by(better()));
    };
    let gap = match longest_gap(expression, now) {
        Ok(gap) => gap,
        Err(what) => {
            let why = format!(
                "the Functions host does not start a timer whose schedule it cannot read; write {GOOD}"
            );
            return Some(Finding::error(Check::Schedule, SETTING, what, why).fixed_by(better()));
        }
    };
    let text = crate::report::text::rounded(gap.to_std().unwrap_or_default());
    let what = format!("the longest time between two runs is {text}");
    let shortest = config.instances.iter().min_by_key(|instance| instance.policy.rotate_every)?;
    let every = shortest.policy.rotate_every;
    if gap > rekey_core::time::delta(every) {
        let every = crate::report::text::rounded(every);
        let why = format!(
            "{} is to be rotated every {every}, and a rotation takes several runs",
            shortest.id.name()
        );
        return Some(Finding::error(Check::Schedule, SETTING, what, why).fixed_by(better()));
    }
    if gap > LONG {
        let why = "a forced regeneration that no event announces is fixed only by the next run; until then the \
                   clients of its consumers are cut off";
        return Some(Finding::warning(Check::Schedule, SETTING, what, why).fixed_by(better()));
    }
    Some(Finding::ok(Check::Schedule, SETTING, what))
}
