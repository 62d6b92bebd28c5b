//! The key-values of App Configuration of a service, and the apps that are given what they hold.

use super::collect::InstanceFacts;
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::arm::{ArmErrorKind, Caller};
use crate::report::text::{InWords, rounded};
use rekey_core::model::{ConsumerId, KeyValueId};
use rekey_core::plan::{Holding, SettingFault, Snapshot, Unknown};

const NOTHING_IS_REGENERATED: &str = "no key of the service is regenerated until this is resolved";

pub(super) fn check(instance: &InstanceFacts<'_>, caller: &Caller) -> Vec<Finding> {
    let id = &instance.config.id;
    // That nothing could be seen is told with the secrets.
    let Some(Ok(seen)) = &instance.as_checked else { return Vec::new() };
    let held = seen.consumers.iter().filter_map(|consumer| match &consumer.at.app {
        ConsumerId::KeyValue(at) => Some(holds(instance, at, &consumer.holds)),
        _ => None,
    });
    let unknown = seen.unknown.iter().filter_map(|unknown| out_of_sight(instance, unknown, caller));
    let found = held.chain(unknown).chain(readers(instance, seen));
    found.map(|finding| finding.of(id)).collect()
}

fn holds(instance: &InstanceFacts<'_>, at: &KeyValueId, holds: &Holding) -> Finding {
    let id = &instance.config.id;
    let (held, name, within) = (holds.in_words(), id.name(), rounded(instance.config.readers_of(at)));
    match holds {
        Holding::Stale(_) => {
            let what = format!("the key-value {at} holds {held} of {name}");
            let why = "whoever reads it is cut off until a run gives it a valid key";
            Finding::error(Check::AppConfiguration, at, what, why).fixed_by(fixes::rotate(id))
        }
        Holding::Valid(_) | Holding::Identity => {
            let what = format!(
                "the key-value {at} holds {held} of {name}; whoever reads it without being listed does so within {within}"
            );
            Finding::ok(Check::AppConfiguration, at, what)
        }
    }
}

fn out_of_sight(instance: &InstanceFacts<'_>, unknown: &Unknown, caller: &Caller) -> Option<Finding> {
    let refused = |at: &ConsumerId| {
        let mut refused = instance.refused.get(at).into_iter().flatten();
        refused.any(|refusal| refusal.kind == ArmErrorKind::Forbidden)
    };
    let mut fix = None;
    let at = match unknown {
        Unknown::KeyValueReference { app, .. } => app,
        Unknown::Unreadable { app: at @ ConsumerId::KeyValue(of), .. } => {
            fix = if refused(at) { fixes::store_role(caller, of) } else { None };
            at
        }
        Unknown::Setting { app: at @ ConsumerId::KeyValue(of), fault, .. } => {
            fix = (*fault == SettingFault::Locked).then(|| fixes::unlock(of));
            at
        }
        Unknown::NoConsumer { app: at @ ConsumerId::KeyValue(_) } => at,
        _ => return None,
    };
    let finding = Finding::error(Check::AppConfiguration, at, unknown.in_words(), NOTHING_IS_REGENERATED);
    Some(finding.fixed_by(fix))
}

/// With what an app was started shows nowhere in Azure but in the setting of ours.
fn readers<'a>(instance: &'a InstanceFacts<'_>, seen: &'a Snapshot) -> impl Iterator<Item = Finding> + 'a {
    let name = instance.config.id.name();
    // Of those that lead to nothing of ours there is nothing to say.
    let ours = instance
        .key_value_readers
        .iter()
        .filter(|(reader, _)| seen.consumers.iter().any(|one| one.at == reader.at));
    ours.map(move |(reader, is_current)| {
        let (app, of) = (&reader.at.app, &reader.of);
        let at = reader.at.section.map_or_else(|| "it".to_owned(), |_| reader.at.entry());
        if *is_current {
            let what = format!("{at} was last given {of} in its present state");
            return Finding::ok(Check::AppConfiguration, app, what);
        }
        let what = match &reader.started_with {
            Some(_) => format!("{of} was changed after {at} was last given it; locking and unlocking are changes too"),
            None => format!("it is not on record in which state {at} was last given {of}"),
        };
        let why = format!(
            "it counts as a holder of both keys of {name}, and none is regenerated, until a run has restarted it: \
             `signalr-rekey plan {name}` says when"
        );
        Finding::note(Check::AppConfiguration, app, what, why)
    })
}
