//! The process: its schedule, its panics, and how it calls the parts of what the host sends.

/// A panic, as the log tells it.
pub(crate) const A_PANIC: &str = "internal error: a panic (its message is not shown, as it may hold a key)";

/// How faults call the parts of what the host sends.
pub(crate) const VALUE: &str = "the value in Data";
pub(crate) const BODY: &str = "the body of the request";

pub(crate) const ON: &str = "it is on";
pub(crate) const REMOVE: &str = "remove it";
pub(crate) const NOT_SET: &str = "it is not set";
pub(crate) const NEVER: &str = "it never leads to a run";

pub(crate) fn set_it_like(good: &str) -> String {
    format!("set it, like {good}")
}

pub(crate) fn write_it_like(good: &str) -> String {
    format!("write it like {good}")
}

/// The Functions host runs no timer.
pub(crate) fn no_timer(setting: &str, why: &str, next: &str) -> String {
    format!(
        "{setting}: {why}, so the Functions host does not run RotateKeys: no key is rotated, and a regeneration that no event \
         tells of is not found; {next}"
    )
}

pub(crate) fn time_span(expression: &str) -> String {
    format!(
        "{expression:?} is a time span, which only App Service plans accept: elsewhere the timer never runs"
    )
}

pub(crate) fn no_expression(expression: &str) -> String {
    format!("{expression:?} is not an NCRONTAB expression")
}
