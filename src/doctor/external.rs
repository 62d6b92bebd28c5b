//! Consumers that only others can change: what was last reported of each, and when.

use chrono::{DateTime, Utc};

use super::collect::InstanceFacts;
use super::finding::{Check, Finding};
use super::fixes;
use crate::report::text::InWords;
use crate::report::text::brief::called;
use crate::report::text::{readable, rounded};
use rekey_core::journal::{Journal, Report};
use rekey_core::model::{ConsumerId, KeyType};
use rekey_core::plan::{Awaited, BlockedBy, Decision, External, Open, assess};

/// What a service that cannot be read, or its journal, leaves unknown is told there.
pub(super) fn check(instance: &InstanceFacts<'_>, now: DateTime<Utc>) -> Vec<Finding> {
    let Ok(journal) = &instance.journal else { return Vec::new() };
    let late = late(instance, journal, now);
    let of_one = |one: &External| {
        let late = late.iter().find(|(_, who)| who.consumer == one.id);
        let finding = match (late, journal.report(&one.id)) {
            (Some((key_type, who)), Some(report)) => is_late(instance, *key_type, who, report, now),
            _ => of_one(instance, one, journal, now),
        };
        finding.of(&instance.config.id)
    };
    instance.config.external.iter().map(of_one).collect()
}

/// Those who take longer than they may, and the key that they hold: what the next run is going to block on.
fn late(instance: &InstanceFacts<'_>, journal: &Journal, now: DateTime<Utc>) -> Vec<(KeyType, Awaited)> {
    let Some(Ok(seen)) = &instance.as_checked else { return Vec::new() };
    let policy = &instance.config.policy;
    let assessed = assess(seen.clone(), journal, Open::nothing(), policy, now);
    match assessed.map(|assessment| assessment.decision) {
        Ok(Decision::Blocked(BlockedBy::ExternalLate { key_type, who, .. })) => {
            who.into_iter().map(|one| (key_type, one)).collect()
        }
        _ => Vec::new(),
    }
}

fn is_late(
    instance: &InstanceFacts<'_>,
    key_type: KeyType,
    who: &Awaited,
    report: &Report,
    now: DateTime<Utc>,
) -> Finding {
    let (service, other) = (&instance.config.id, key_type.other());
    let what = format!(
        "late: it holds the {key_type} key of {}, and was to take the {other} key by {}; {}",
        service.name(),
        readable(who.late),
        said(report, now)
    );
    let why = format!(
        "the {key_type} key stays valid, and no key is regenerated, until it has taken the other one. Acknowledged before that, \
         it is cut off when its key is regenerated"
    );
    let word = fixes::acknowledge(service, &who.consumer.name(), Some(other));
    let fix = format!("once it has taken the {other} key and cannot say so itself: {word}");
    Finding::error(Check::Consumer, called(&who.consumer), what, why).fixed_by(fix)
}

fn of_one(instance: &InstanceFacts<'_>, one: &External, journal: &Journal, now: DateTime<Utc>) -> Finding {
    let (service, consumer, subject) = (&instance.config.id, &one.id, called(&one.id));
    let Some(report) = journal.report(consumer) else {
        let what = one.never_reported().in_words();
        let why =
            "no key of the service is regenerated, and no app is moved, until it is known which key it holds";
        let finding = Finding::error(Check::Consumer, subject, what, why);
        return finding.fixed_by(fixes::acknowledge(service, &consumer.name(), None));
    };
    let said = said(report, now);
    let Ok(listed) = &instance.listed else {
        return Finding::ok(Check::Consumer, subject, said);
    };
    let holds = |key_type: &KeyType| listed.keys[*key_type].fingerprint() == report.fingerprint;
    match KeyType::ALL.into_iter().find(holds) {
        Some(key_type) => {
            let what = format!("it holds the {key_type} key of {}; {said}", service.name());
            Finding::ok(Check::Consumer, subject, what)
        }
        None => {
            let what = one.stale(report).in_words();
            let why = match &one.id {
                ConsumerId::Manual(_) => "no run can change it: its owner has to, and to acknowledge it",
                _ => "no run can change it: its agent does when it fetches the key, and reports it then",
            };
            Finding::error(Check::Consumer, subject, format!("{what}; {said}"), why)
        }
    }
}

/// When and by whom it was last said.
fn said(report: &Report, now: DateTime<Utc>) -> String {
    let ago = rounded((now - report.at).to_std().unwrap_or_default());
    match &report.by {
        None => format!("its last report is of {}, {ago} ago", readable(report.at)),
        Some(by) => format!("{by} acknowledged it at {}, {ago} ago", readable(report.at)),
    }
}
