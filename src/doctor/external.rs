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
use rekey_core::plan::External;

/// What a service that cannot be read, or its journal, leaves unknown is told there.
pub(super) fn check(instance: &InstanceFacts<'_>, now: DateTime<Utc>) -> Vec<Finding> {
    let Ok(journal) = &instance.journal else { return Vec::new() };
    let of_one = |one: &External| of_one(instance, one, journal, now).of(&instance.config.id);
    instance.config.external.iter().map(of_one).collect()
}

fn of_one(instance: &InstanceFacts<'_>, one: &External, journal: &Journal, now: DateTime<Utc>) -> Finding {
    let (service, consumer, subject) = (&instance.config.id, &one.id, called(&one.id));
    let Some(report) = journal.report(consumer) else {
        let what = one.never_reported().in_words();
        let why =
            "no key of the service is regenerated, and no app is moved, until it is known which key it holds";
        let finding = Finding::error(Check::Consumer, subject, what, why);
        return finding.fixed_by(fixes::acknowledge(service, &consumer.name()));
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
