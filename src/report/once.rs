//! Lines about many services that fail at the same time: each cause once. Start at [`all`].

use std::collections::{BTreeMap, BTreeSet};

use super::cause::CAUSED_BY;
use super::text::azure::AS_THE_NEXT_RUN_DOES;
use super::text::brief::{THE_SAME_FOR, without_particulars};
use super::text::run::more_failed;
use super::text::snapshot::names_cut_off;

/// Many lines `name: what`, each cause once: a hundred services to which the same login is closed, or for which Azure was too
/// busy, are one trouble and not a hundred. The order stays, every name is kept, and who is cut off is always told.
pub(crate) fn all(lines: Vec<String>) -> Vec<String> {
    grouped(lines).into_iter().flat_map(Group::lines).collect()
}

/// The same in few lines: beyond so many causes the names alone are told, but for who is cut off.
pub(crate) fn briefly(lines: Vec<String>, most: usize) -> Vec<String> {
    let mut left = most;
    let is_told = |group: &Group| {
        let is_told = names_cut_off(&group.line) || left > 0;
        left = left.saturating_sub(1);
        is_told
    };
    let (told, more): (Vec<Group>, Vec<Group>) = grouped(lines).into_iter().partition(is_told);
    let names: Vec<String> = more.into_iter().flat_map(Group::names).collect();
    let more = (!names.is_empty()).then(|| more_failed(names.len(), names.join(", ")));
    told.into_iter().flat_map(Group::lines).chain(more).collect()
}

/// A line, and the names of those of which the same was to be said.
struct Group {
    line: String,
    others: Vec<String>,
}

impl Group {
    fn lines(self) -> impl Iterator<Item = String> {
        let same = (!self.others.is_empty()).then(|| format!("{THE_SAME_FOR}{}", self.others.join(", ")));
        [Some(self.line), same].into_iter().flatten()
    }

    fn names(self) -> impl Iterator<Item = String> {
        let name = self.line.split(": ").next().map(str::to_owned);
        name.into_iter().chain(self.others)
    }
}

fn grouped(lines: Vec<String>) -> Vec<Group> {
    let mut of_cause: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<Group> = Vec::new();
    for line in lines {
        let cause = cause_of(&line).filter(|_| !names_cut_off(&line));
        let known = cause.as_ref().and_then(|cause| of_cause.get(cause)).copied();
        match (known, line.split_once(": ")) {
            (Some(first), Some((name, _))) => kept[first].others.push(name.to_owned()),
            _ => {
                of_cause.extend(cause.map(|cause| (cause, kept.len())));
                kept.push(Group { line, others: Vec::new() });
            }
        }
    }
    kept
}

/// By what lines about several services are known to tell of one cause. Of what passes by itself it does not matter of which
/// app it was said, how Azure named the request, and when to ask again.
fn cause_of(line: &str) -> Option<String> {
    if let Some((_, cause)) = line.split_once(CAUSED_BY) {
        return Some(cause.to_owned());
    }
    let (_, what) = line.split_once(": ").filter(|_| line.contains(AS_THE_NEXT_RUN_DOES))?;
    let parts: BTreeSet<String> =
        what.split("; ").filter(|part| !part.starts_with(THE_SAME_FOR)).map(without_particulars).collect();
    Some(parts.into_iter().collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_of_many_is_told_once() {
        let lines = [
            "a: no token; caused by: expired",
            "b: 403, no role",
            "c: no token; caused by: expired",
            "d: no token; caused by: expired",
            "e: dns; caused by: no such host",
        ];
        insta::assert_snapshot!(all(lines.map(str::to_owned).to_vec()).join("\n"), @r"
        a: no token; caused by: expired
        the same for c, d
        b: 403, no role
        e: dns; caused by: no such host
        ");
    }

    fn throttled(name: &str, wait: u32) -> String {
        format!(
            "{name}: failed: Azure was too busy to show everything; the next run checks again: cannot read the settings of \
             {name}-web: cannot read the app settings of {name}-web: 429 TooMany, again after {wait} seconds \
             (x-ms-correlation-request-id {name}-1c0f); try again in {wait}s, as the next run does"
        )
    }

    #[test]
    fn one_busy_azure_is_told_once_and_who_is_cut_off_is_always_named() {
        let cut_off = |name: &str| {
            let text = throttled(name, 3)
                .replace("failed: ", "failed: cut off, because their key is invalid: web; ");
            (text.clone(), text)
        };
        let ((c, told_c), (e, told_e)) = (cut_off("c"), cut_off("e"));
        let lasting = "f: blocked: cannot read the settings of f-web: 403 AuthorizationFailed".to_owned();
        let other = throttled("g", 4).replace("429 TooMany", "503 Busy");
        let lines = vec![
            throttled("a", 1),
            throttled("b", 17),
            c,
            throttled("d", 2),
            e,
            lasting.clone(),
            other.clone(),
        ];
        let same = [throttled("a", 1), "the same for b, d".to_owned()];
        assert_eq!(
            all(lines.clone()),
            [&same[..], &[told_c.clone(), told_e.clone(), lasting, other]].concat()
        );
        let more = "2 more failed, each with an error of its own in the log: f, g".to_owned();
        assert_eq!(briefly(lines, 1), [&same[..], &[told_c, told_e, more]].concat());
    }
}
