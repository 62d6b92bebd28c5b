//! Windows, freezes and pauses: whether the next rotation finds a time, and whether it fits.

use chrono::{DateTime, TimeDelta, Utc};

use super::collect::InstanceFacts;
use super::finding::{Check, Finding, count};
use super::fixes;
use crate::report::text::run::opens_at;
use crate::report::text::{command as text, readable, rounded};
use rekey_core::plan::{self, Opening, WaveOrder};

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
    let due =
        instance.journal.as_ref().ok().and_then(|journal| plan::due_next(journal, policy)).unwrap_or(now);
    let opening = Opening::of(due, now, policy);
    let Some(begins) = opening.begins else {
        let (next, every) = (opens_at(opening.opens), rounded(policy.rotate_every));
        let what = text::no_window_in_time(readable(due), every, next);
        let why = "the rotation is blocked until then; apps are repaired all the same";
        let fix = fixes::in_file(id, "write a window, or end a freeze, in");
        return Some(Finding::error(Check::Windows, id, what, why).fixed_by(fix));
    };
    let order = match &instance.as_checked {
        Some(Ok(seen)) => WaveOrder::of(seen, policy),
        _ => WaveOrder::configured(instance.config.consumers(), policy),
    };
    let (apps, waves) = (order.sizes().iter().sum(), order.numbers().len());
    let takes = plan::takes_in_waves(&order, policy);
    let lasts = policy.calendar().closes(begins).map(|closes| closes - begins);
    let long = |length: TimeDelta| rounded(length.to_std().unwrap_or_default());
    let open = lasts.map_or(String::new(), |lasts| format!(" for {}", long(lasts)));
    let in_waves = match waves {
        0 | 1 => String::new(),
        waves if policy.pause_between_waves.is_zero() => format!(" in {waves} waves"),
        waves => format!(" in {waves} waves, with {} between them,", rounded(policy.pause_between_waves)),
    };
    let what = format!(
        "the next rotation is due at {}, and can be done from {} on{open}; regenerating a key and giving it to {}{in_waves} takes \
         about {}",
        readable(due),
        readable(begins),
        count(apps, "app"),
        long(takes)
    );
    if lasts.is_some_and(|lasts| lasts < takes + TIMER) {
        let why = "with the five minutes that may pass before the timer runs, it does not fit into the window and goes on in the next \
             one: until then some apps hold the old key and some the new one, and both are valid";
        let fix = fixes::in_file(id, "write a longer window, or a shorter pause_between_waves, in");
        return Some(Finding::warning(Check::Windows, id, what, why).fixed_by(fix));
    }
    Some(Finding::ok(Check::Windows, id, what))
}
