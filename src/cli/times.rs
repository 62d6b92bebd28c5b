//! Times as people read them: how far off they are, beside the time itself.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// How long a time is as texts write it, `2026-09-24T13:00:00Z`.
const WRITTEN: usize = 20;

/// The text, with how far off each of its times is: `2026-09-24T13:00:00Z (in 1 h 58 min)`.
pub(super) fn beside(text: &str, now: DateTime<Utc>) -> String {
    // Texts have whole seconds.
    let now = now.trunc_subsecs(0);
    let (mut told, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, time, after)) = next(rest) {
        told.push_str(before);
        told.push_str(&rest[before.len()..rest.len() - after.len()]);
        told.push_str(&format!(" ({})", off(time - now)));
        rest = after;
    }
    told.push_str(rest);
    told
}

/// The first time in a text, with what stands before and behind it.
fn next(text: &str) -> Option<(&str, DateTime<Utc>, &str)> {
    text.match_indices('T').find_map(|(at, _)| {
        let start = at.checked_sub("2026-09-24".len())?;
        let written = text.get(start..start + WRITTEN)?;
        let time = DateTime::parse_from_rfc3339(written).ok()?;
        Some((&text[..start], time.with_timezone(&Utc), &text[start + WRITTEN..]))
    })
}

/// How far off something is, in its two largest units.
fn off(distance: TimeDelta) -> String {
    let length = spoken(distance.abs());
    match distance.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// A duration in its two largest units, rounded: two hours less a moment are two hours.
pub(super) fn spoken(length: TimeDelta) -> String {
    let seconds = match length.num_seconds() {
        days @ 86_400.. => (days + 1800) / 3600 * 3600,
        hours @ 3600.. => (hours + 30) / 60 * 60,
        seconds => seconds,
    };
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        if left / unit > 0 || parts.is_empty() {
            parts.push(format!("{} {name}", left / unit));
        }
        left %= unit;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    #[test]
    fn each_time_has_beside_it_how_far_off_it_is() {
        let now = at("2026-09-24T13:00:00Z");
        let text = "T: waiting until 2026-09-24T14:58:00Z: the Secondary key made at 2026-09-24T12:59:00Z, 2026-09-24T13:00:00Z";
        insta::assert_snapshot!(beside(text, now), @"T: waiting until 2026-09-24T14:58:00Z (in 1 h 58 min): the Secondary key made at 2026-09-24T12:59:00Z (1 min ago), 2026-09-24T13:00:00Z (now)");
        let moment = TimeDelta::milliseconds(900);
        for (text, told) in [("2026-09-24T13:00:00Z", "(now)"), ("2026-09-24T15:00:00Z", "(in 2 h)")] {
            assert_eq!(beside(text, now + moment), format!("{text} {told}"));
        }
        for text in
            ["", "no time", "2026-09-24T", "Tä 2026-09-24T1é:00:00Z", "2026-13-24T13:00:00Z", "T2026-09-24"]
        {
            assert_eq!(beside(text, now), text);
        }
    }

    #[test]
    fn two_units_say_enough() {
        let said = [0, 5, 60, 61, 3600, 3659, 7199, 86_400, 90_000, 2_592_000, 2_595_600];
        let said = said.map(|seconds| spoken(TimeDelta::seconds(seconds)));
        insta::assert_snapshot!(said.join(", "), @"0 s, 5 s, 1 min, 1 min 1 s, 1 h, 1 h 1 min, 2 h, 1 d, 1 d 1 h, 30 d, 30 d 1 h");
    }
}
