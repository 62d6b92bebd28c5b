//! The container apps and static web apps of a service: what they hold, who still runs with something else, and what may be
//! done with them.

use super::collect::InstanceFacts;
use super::finding::{Check, Finding};
use super::{fixes, permission};
use crate::azure::arm::Caller;
use crate::report::text::{InWords, snapshot};
use rekey_core::model::ConsumerId;
use rekey_core::plan::{Consumer, Holding, Snapshot, Unknown};

const NOTHING_IS_REGENERATED: &str = "no key of the service is regenerated until this is resolved";

pub(super) fn check(instance: &InstanceFacts<'_>, caller: &Caller) -> Vec<Finding> {
    let Some(Ok(seen)) = &instance.as_checked else { return Vec::new() };
    let consumers = instance.config.beside_app_service();
    let found = consumers.flat_map(|consumer| of_one(instance, seen, &consumer, caller));
    found.map(|finding| finding.of(&instance.config.id)).collect()
}

fn of_one(
    instance: &InstanceFacts<'_>,
    seen: &Snapshot,
    consumer: &ConsumerId,
    caller: &Caller,
) -> Vec<Finding> {
    let of_it = seen.consumers.iter().filter(|one| one.at.app == *consumer);
    let mut findings: Vec<Finding> = of_it.map(|one| holds(instance, seen, one)).collect();
    let unknown = seen.unknown.iter().filter(|unknown| is_about(unknown, consumer));
    let refused = instance.refused.get(consumer).map(Vec::as_slice).unwrap_or_default();
    findings.extend(unknown.map(|unknown| {
        let what = unknown.in_words();
        let is_unread = matches!(unknown, Unknown::Unreadable { .. });
        let fix = is_unread.then(|| permission::role_of_consumer(consumer, refused, caller)).flatten();
        let finding = match unknown.lasts() {
            true => Finding::error(Check::Consumer, consumer, what, NOTHING_IS_REGENERATED),
            false => Finding::warning(Check::Consumer, consumer, what, NOTHING_IS_REGENERATED),
        };
        finding.fixed_by(fix)
    }));
    let granted = instance.granted.iter().find(|(id, _)| id == consumer).map(|(_, granted)| granted);
    findings.extend(
        granted.into_iter().flat_map(|granted| permission::of_consumer(consumer, granted, refused, caller)),
    );
    let named = granted.filter(|_| instance.config.policy.name_writers);
    findings.extend(
        named.map(|granted| permission::of_naming(consumer, granted.as_ref().map(Vec::as_slice), caller)),
    );
    findings
}

fn holds(instance: &InstanceFacts<'_>, seen: &Snapshot, consumer: &Consumer) -> Finding {
    let id = &instance.config.id;
    let (app, entry) = (&consumer.at.app, consumer.at.entry());
    let what = format!("{entry} {} of {}", snapshot::holds(consumer, seen), id.name());
    match &consumer.holds {
        Holding::Stale(_) => {
            let why = "it is cut off, or its processes are that were started before: it is refused until a run gives it a valid key, and restarts it";
            Finding::error(Check::Consumer, app, format!("stale: {what}"), why).fixed_by(fixes::rotate(id))
        }
        Holding::Identity => Finding::note(Check::Consumer, app, what, "it holds no key and is left alone"),
        Holding::Valid(_) => Finding::ok(Check::Consumer, app, what),
    }
}

fn is_about(unknown: &Unknown, consumer: &ConsumerId) -> bool {
    match unknown {
        Unknown::Unreadable { app, .. }
        | Unknown::NeverSeen { app, .. }
        | Unknown::Vanished { app, .. }
        | Unknown::NoConsumer { app }
        | Unknown::OnlyReferences { app, .. }
        | Unknown::Reference { app, .. }
        | Unknown::KeyValueReference { app, .. }
        | Unknown::Setting { app, .. } => app == consumer,
        Unknown::NeverReported { .. } | Unknown::ExternalStale { .. } => false,
    }
}
