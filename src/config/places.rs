//! Where keys of the file belong, and what is said of values in all of its lists.

use super::fault::{At, Report};
use rekey_core::model::ConnectionString;

pub(super) const TOP_ONLY: [&str; 5] = ["notice_budget", "timer_budget", "watch", "notify", "instance"];

pub(super) const AT_TOP: &str = "at the top of the file, above the first [[instance]]";
pub(super) const IN_INSTANCE: &str = "in an [[instance]]";

/// Remembers an id, or reports it if it was named before.
pub(super) fn note_once<T: Clone + PartialEq>(
    id: &T,
    at: &At,
    seen: &mut Vec<(T, At)>,
    sentence: &str,
    report: &mut Report<'_>,
) {
    match seen.iter().find(|(known, _)| known == id) {
        Some((_, first)) => {
            let line = report.line(first);
            report.at(
                at,
                format!("{sentence} in one entry (the first is in line {line}; ids compare without case)"),
            );
        }
        None => seen.push((id.clone(), at.clone())),
    }
}

/// A connection string in the wrong place is more than a slip: it is a secret in a file.
pub(super) fn what_it_is_not<'s>(text: &str, otherwise: &'s str) -> &'s str {
    let lower = text.to_lowercase();
    if ConnectionString::parse(text).is_ok() || lower.contains("accesskey=") {
        "this looks like a connection string, which is a secret and belongs in no file: take it out"
    } else {
        otherwise
    }
}
