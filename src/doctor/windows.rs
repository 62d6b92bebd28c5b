//! Windows, freezes and pauses: whether the next rotation finds a time, and whether it fits.

use chrono::{DateTime, TimeDelta, Utc};

use super::collect::InstanceFacts;
use super::finding::{Check, Finding, count};
use super::fixes;
use crate::report::text::{command as text, readable, rounded};
use rekey_core::plan;
use rekey_core::time::delta;

/// How long after a window opened the timer may come: it runs every five minutes.
const TIMER: TimeDelta = TimeDelta::minutes(5);

/// Of a service whose journal cannot be read, the next rotation is taken to be due now.
pub(super) fn check(instance: &InstanceFacts<'_>, now: DateTime<Utc>) -> Vec<Finding> {
    let paused = instance.journal.as_ref().ok().and_then(|journal| journal.paused(now));
    let paused = paused.map(|pause| {
        let (until, since) = (readable(pause.until), readable(pause.at));
        let what = text::pause_is_on(until, since, &pause.by, &pause.why);
        let why = "no rotation begins or goes on before that; apps are repaired all the same";
        Finding::note(Check::Windows, &instance.config.id, what, why)
    });
    paused.into_iter().chain(calendar(instance, now)).collect()
}

fn calendar(instance: &InstanceFacts<'_>, now: DateTime<Utc>) -> Option<Finding> {
    let (id, policy) = (&instance.config.id, &instance.config.policy);
    if policy.windows.is_empty() && policy.freezes.is_empty() {
        return None;
    }
    let calendar = policy.calendar();
    let due =
        instance.journal.as_ref().ok().and_then(|journal| plan::due_next(journal, policy)).unwrap_or(now);
    let opens = calendar.opens(due.max(now));
    // As the rotation itself is judged.
    let since = if calendar.opens(due) == opens { due } else { now };
    let told = format!("the next rotation is due at {}", readable(due));
    let Some(begins) = opens.filter(|opens| *opens <= since + delta(policy.rotate_every)) else {
        let next =
            opens.map_or("none opens ever".to_owned(), |at| format!("the next opens at {}", readable(at)));
        let every = rounded(policy.rotate_every);
        let what = format!("{told}, and no window is open in the {every} after that (rotate_every): {next}");
        let why = "the rotation is blocked until then; apps are repaired all the same";
        let fix = fixes::in_file(id, "write a window, or end a freeze, in");
        return Some(Finding::error(Check::Windows, id, what, why).fixed_by(fix));
    };
    let consumers = instance.config.consumers().count();
    let takes = plan::takes(consumers);
    let lasts = calendar.closes(begins).map(|closes| closes - begins);
    let long = |length: TimeDelta| rounded(length.to_std().unwrap_or_default());
    let open = lasts.map_or(String::new(), |lasts| format!(" for {}", long(lasts)));
    let what = format!(
        "{told}, and can be done from {} on{open}; regenerating a key and giving it to {} takes about {}",
        readable(begins),
        count(consumers, "app"),
        long(takes)
    );
    if lasts.is_some_and(|lasts| lasts < takes + TIMER) {
        let why = "it goes on in the next window: until then some apps hold the old key and some the new one, and both are valid";
        return Some(Finding::warning(Check::Windows, id, what, why));
    }
    Some(Finding::ok(Check::Windows, id, what))
}
