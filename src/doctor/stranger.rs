//! Apps that are not configured and hold a key of a configured instance: a rotation would cut them off.

use super::ask::{AppFacts, Facts, InstanceFacts};
use super::finding::{Check, Finding, count};
use super::mend;
use crate::arm::{ArmError, Caller};
use crate::cause;
use crate::model::{AppId, InstanceId};
use crate::observe::survey::by_value;
use crate::plan::{Holding, Snapshot, Unknown};

/// The apps in the same resource groups that the instance's entry does not name.
pub(super) fn check(instance: &InstanceFacts<'_>, facts: &Facts<'_>) -> Vec<Finding> {
    let id = &instance.config.id;
    if instance.host().is_none() {
        return Vec::new();
    }
    let named = |app: &AppId| instance.config.apps.iter().any(|known| known.id == *app);
    let others = || facts.apps.iter().filter(|(app, _)| !named(app));
    let found = |(app, read): (&AppId, &AppFacts)| holds(id, app, &instance.seen(&by_value(app), read));
    let findings: Vec<Finding> = others().filter_map(found).collect();
    if !findings.is_empty() {
        return findings;
    }
    let what = match others().filter(|(_, read)| read.settings.error().is_none()).count() {
        0 => "there is no other app in the same resource groups that could be read".to_owned(),
        read => format!("of {} in the same resource groups none holds a key of it", count(read, "other app")),
    };
    vec![Finding::ok(Check::Unconfigured, id, what)]
}

fn holds(id: &InstanceId, app: &AppId, seen: &Snapshot) -> Option<Finding> {
    let holders = seen.consumers.iter().filter(|consumer| consumer.holds != Holding::Identity);
    let at = holders.map(|consumer| format!("{} {}", consumer.at.section.entry(), consumer.at.name));
    let in_text = |unknown: &Unknown| match unknown {
        Unknown::KeyInOtherText { name, .. }
        | Unknown::StaleKeyInOtherText { name, .. }
        | Unknown::InvalidString { name, .. }
        | Unknown::OtherServicesHost { name, .. } => Some(format!("setting {name}")),
        _ => None,
    };
    let all: Vec<String> = at.chain(seen.unknown.iter().filter_map(in_text)).collect();
    let add = || mend::in_file(id, &format!("add \"{app}\" to the apps of"));
    let is_cut_off = !seen.stale().is_empty()
        || seen.unknown.iter().any(|unknown| matches!(unknown, Unknown::StaleKeyInOtherText { .. }));
    if is_cut_off {
        let what =
            format!("it holds an invalid key of {} ({}) and is not configured", id.name(), all.join(", "));
        let why = "it is cut off now, and stays so: configured apps alone are given new keys";
        return Some(Finding::error(Check::Unconfigured, app, what, why).mended_by(add()));
    }
    if !all.is_empty() {
        let what = format!("it holds a key of {} ({}) and is not configured", id.name(), all.join(", "));
        let why = "a rotation gives new keys to configured apps alone: this one would be cut off when its key is \
                   regenerated";
        return Some(Finding::error(Check::Unconfigured, app, what, why).mended_by(add()));
    }
    let why = "if it does, the app keeps a key that will die, for it is not configured";
    let unknown = seen.unknown.first()?;
    let what = format!("{}, which may lead to a connection string of {}", pointer(unknown)?, id.name());
    // Most apps have references, and most lead elsewhere: only one that is named like ours is a warning.
    Some(match unknown {
        Unknown::OnlyReferences { .. } => Finding::note(Check::KeyVault, app, what, why),
        _ => Finding::warning(Check::KeyVault, app, what, why).mended_by(add()),
    })
}

/// What something that is not followed is.
fn pointer(unknown: &Unknown) -> Option<String> {
    match unknown {
        Unknown::KeyVaultReference { name, .. } => Some(format!("{name} is a Key Vault reference")),
        Unknown::AppConfigurationReference { name, .. } => {
            Some(format!("{name} is an App Configuration reference"))
        }
        Unknown::Placeholder { name, .. } => Some(format!("{name} has a placeholder for its key")),
        Unknown::OnlyReferences { names, .. } => Some(format!("it has references ({})", names.join(", "))),
        _ => None,
    }
}

/// What could not be looked at, once for all instances.
pub(super) fn unreadable(facts: &Facts<'_>, caller: &Caller) -> Vec<Finding> {
    let apps = facts
        .strangers()
        .filter_map(|(app, read)| Some(may_hold_one(&app.to_string(), "it", read.settings.error()?)));
    let lists = facts.unlisted.iter().map(|(id, error)| {
        may_hold_one(id, "an app or slot of it", error).mended_by(mend::reader(caller, id))
    });
    apps.chain(lists).collect()
}

fn may_hold_one(id: &str, who: &str, error: &ArmError) -> Finding {
    let what = format!("{who} may hold a key of a configured instance: {}", cause::told(error));
    let why = "if it does, it is cut off when that key is regenerated. Look as somebody who may read it";
    Finding::warning(Check::Unconfigured, id, what, why)
}
