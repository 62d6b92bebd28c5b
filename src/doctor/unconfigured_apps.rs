//! Apps that are not configured and hold a key of a configured service: a rotation would cut them off.

use std::collections::BTreeMap;

use super::collect::{AppFacts, Facts, InstanceFacts};
use super::configured_apps::meant;
use super::finding::{Check, Finding, Severity, count, listed};
use super::fixes;
use crate::azure::arm::{ArmError, ArmErrorKind, Caller};
use crate::azure::consumers::app_service::READING;
use crate::azure::discovery::by_value;
use crate::init::others::{Other, led};
use crate::report::cause;
use rekey_core::model::{AppId, ConsumerId, ServiceId, printable, printable_list};
use rekey_core::plan::{ConsumerRef, Holding, SettingFault, Snapshot, Unknown};

/// The apps that the service's entry does not name.
pub(super) fn check(instance: &InstanceFacts<'_>, facts: &Facts<'_>) -> Vec<Finding> {
    let id = &instance.config.id;
    if instance.host().is_none() {
        return Vec::new();
    }
    let named = |app: &AppId| instance.config.apps.iter().any(|known| known.id == *app);
    let others = || facts.apps.iter().filter(|(app, _)| !named(app));
    let found = |(app, read): (&AppId, &AppFacts)| {
        let finding = holds(id, app, &instance.seen(&by_value(app), read));
        let is_error = finding.as_ref().is_some_and(|finding| finding.severity == Severity::Error);
        let finding = linked(id, app, read).filter(|_| !is_error).or(finding)?;
        let finding = meant_by_another(finding, instance, app, facts);
        // Where its references lead is asked for the service that names it.
        let elsewhere = finding.check == Check::KeyVault && facts.is_configured(app);
        (!elsewhere).then(|| finding.of(id))
    };
    let findings: Vec<Finding> = others().filter_map(found).collect();
    if !findings.is_empty() {
        return findings;
    }
    let what = match others().filter(|(_, read)| read.settings.error().is_none()).count() {
        0 => "there is no other app that could be read".to_owned(),
        read => format!("of {} none holds a key of it", count(read, "other app")),
    };
    vec![Finding::ok(Check::Unconfigured, id, what)]
}

/// Container apps, jobs and static web apps in the resource groups of what is configured that no entry names.
pub(super) fn strangers(instance: &InstanceFacts<'_>) -> Vec<Finding> {
    let service = &instance.config.id;
    let found = instance.strangers.iter().map(|Other { id, holds, seen }| {
        let list = if matches!(id, ConsumerId::ContainerApp(_)) { "container_apps" } else { "static_web_apps" };
        let fix = fixes::in_file(service, &format!("add \"{id}\" to the {list} of"));
        let seen = seen.join("; ");
        let finding = if *holds {
            let what = format!("it holds a key of {} ({seen}) and is not configured", service.name());
            let why = "a rotation gives new keys only to what is configured: this one would be cut off when its key is regenerated";
            Finding::error(Check::Unconfigured, id, what, why)
        } else {
            let what = format!("it may hold a key of {}, and is not configured: {seen}", service.name());
            Finding::warning(Check::Unconfigured, id, what, LOOK_AS_ANOTHER)
        };
        finding.fixed_by(Some(fix)).of(service)
    });
    found.collect()
}

/// An app that another is mistyped for is to be written in the place of that one, and not beside it.
fn meant_by_another(
    finding: Finding,
    instance: &InstanceFacts<'_>,
    app: &AppId,
    facts: &Facts<'_>,
) -> Finding {
    let mistyped = instance.config.apps.iter().find(|one| meant(&one.id, facts) == Some(app));
    let Some(mistyped) = mistyped.filter(|_| finding.fix.is_some()) else { return finding };
    let why = finding.why.unwrap_or_default();
    let why = format!("{why}. It may be what {} is mistyped for: see there", mistyped.id.name());
    Finding { why: Some(why), fix: None, ..finding }
}

/// An app that Service Connector gave a key of the service, wherever that stands by now.
fn linked(id: &ServiceId, app: &AppId, read: &AppFacts) -> Option<Finding> {
    let links: Vec<String> = led(read.links.as_ref().ok()?, id).collect();
    let told = (!links.is_empty()).then(|| links.join(", "))?;
    let what = format!("it was given a key of {} ({told}) and is not configured", id.name());
    let why = "a rotation gives new keys only to configured apps: this one would be cut off when its key is regenerated. If the \
               link is no longer used, delete it (`az webapp connection delete`)";
    let add = fixes::in_file(id, &format!("add \"{app}\" to the apps of"));
    Some(Finding::error(Check::Unconfigured, app, what, why).fixed_by(add))
}

fn holds(id: &ServiceId, app: &AppId, seen: &Snapshot) -> Option<Finding> {
    let holders = seen.holders(|holding| *holding != Holding::Identity);
    let at = holders.iter().map(ConsumerRef::entry);
    let in_text = |unknown: &Unknown| match unknown {
        Unknown::Setting { name, fault, .. } => matches!(
            fault,
            SettingFault::KeyInOtherText
                | SettingFault::StaleKeyInOtherText
                | SettingFault::InvalidString(_)
                | SettingFault::OtherServicesHost
        )
        .then(|| format!("setting {}", printable(name))),
        _ => None,
    };
    let all: Vec<String> = at.chain(seen.unknown.iter().filter_map(in_text)).collect();
    let add = || fixes::in_file(id, &format!("add \"{app}\" to the apps of"));
    if !seen.cut_off().is_empty() {
        let what =
            format!("it holds an invalid key of {} ({}) and is not configured", id.name(), all.join(", "));
        let why = "it is cut off now, and stays so: only configured apps are given new keys";
        return Some(Finding::error(Check::Unconfigured, app, what, why).fixed_by(add()));
    }
    if !all.is_empty() {
        let what = format!("it holds a key of {} ({}) and is not configured", id.name(), all.join(", "));
        let why = "a rotation gives new keys only to configured apps: this one would be cut off when its key is regenerated";
        return Some(Finding::error(Check::Unconfigured, app, what, why).fixed_by(add()));
    }
    let why = "if it does, the app keeps a key that will become invalid, because it is not configured";
    let unknown = seen.unknown.first()?;
    let what = format!("{}, which may lead to a connection string of {}", pointer(unknown)?, id.name());
    // Most apps have references, and most lead elsewhere: only one that is named like ours is a warning.
    Some(match unknown {
        Unknown::OnlyReferences { .. } => Finding::note(Check::KeyVault, app, what, why),
        _ => Finding::warning(Check::KeyVault, app, what, why).fixed_by(add()),
    })
}

/// What something that is not followed is.
fn pointer(unknown: &Unknown) -> Option<String> {
    match unknown {
        Unknown::Setting { name, fault, .. } => match fault {
            SettingFault::MistypedReference => {
                Some(format!("{} begins like a reference, and is none", printable(name)))
            }
            SettingFault::KeyVaultReference => Some(format!("{} is a Key Vault reference", printable(name))),
            SettingFault::AppConfigurationReference => {
                Some(format!("{} is an App Configuration reference", printable(name)))
            }
            SettingFault::Placeholder => Some(format!("{} has a placeholder for its key", printable(name))),
            _ => None,
        },
        Unknown::OnlyReferences { names, .. } => {
            Some(format!("it has references ({})", printable_list(names)))
        }
        _ => None,
    }
}

/// What could not be looked at, once for all services: one by one in the resource groups of what is configured, and
/// together for each other group, which may be full of apps that are none of our business.
pub(super) fn unreadable(facts: &Facts<'_>, caller: &Caller) -> Vec<Finding> {
    let apps = facts.unconfigured().filter_map(|(app, read)| Some((app.clone(), "", read.settings.error()?)));
    let slots = facts.unlisted.iter().filter_map(|(id, error)| Some((id.parse().ok()?, "a slot of ", error)));
    let (beside, elsewhere): (Vec<Unread<'_>>, Vec<_>) =
        apps.chain(slots).partition(|(app, ..)| facts.is_beside(app));
    let beside = beside.into_iter().map(|(app, part, error)| {
        let id = app.to_string();
        if part.is_empty() {
            return may_hold_one(&id, "it", error).fixed_by(lister(caller, &id, error));
        }
        may_hold_one(&id, "an app or slot of it", error).fixed_by(fixes::reader(caller, &id))
    });
    let mut groups: BTreeMap<String, Vec<Unread<'_>>> = BTreeMap::new();
    for unread in elsewhere {
        groups.entry(group_of(&unread.0)).or_default().push(unread);
    }
    let together = groups.into_iter().filter_map(|(group, unread)| {
        let (_, _, error) = unread.first()?;
        let who = listed(unread.iter().map(|(app, part, _)| format!("{part}{}", app.name())));
        Some(may_hold_one(&group, &who, error).fixed_by(lister(caller, &group, error)))
    });
    let lists = facts.unlisted.iter().filter(|(id, _)| id.parse::<AppId>().is_err());
    let lists = lists.map(|(id, error)| {
        let who = if id.contains("/resourceGroups/") {
            "an app or slot of it"
        } else {
            "an app in another group of it"
        };
        may_hold_one(id, who, error).fixed_by(fixes::reader(caller, id))
    });
    let others = facts.unlisted_others.iter().map(|(what, why)| {
        let what = format!("{what} may hold a key of a configured service: {why}");
        Finding::warning(Check::Unconfigured, "lists", what, LOOK_AS_ANOTHER)
    });
    let unlinked = (!facts.unlinked.is_empty()).then(|| {
        let who = listed(facts.unlinked.iter().map(|(id, _)| id.clone()));
        let why = facts.unlinked.first().map(|(_, why)| why.as_str()).unwrap_or_default();
        let what = format!("it is not known whether Service Connector gave these a key: {who}: {why}");
        Finding::note(Check::Unconfigured, "links", what, "what they hold was read all the same")
    });
    let found = beside.chain(together).chain(lists).chain(others).chain(unlinked);
    found.chain(partial(facts, caller)).collect()
}

/// An app that could not be read, or whose slots could not be listed, with the error.
type Unread<'a> = (AppId, &'static str, &'a ArmError);

/// Lets whoever asked list settings at a scope, where it is that which lacks.
fn lister(caller: &Caller, scope: &str, error: &ArmError) -> Option<String> {
    let lacks = error.kind() == ArmErrorKind::Forbidden;
    lacks.then(|| fixes::role(caller, "signalr-rekey lists settings", &READING.into(), scope)).flatten()
}

fn group_of(app: &AppId) -> String {
    format!("/subscriptions/{}/resourceGroups/{}", app.subscription(), app.group())
}

/// A list over a whole subscription holds what may be read, and does not say what it leaves out.
fn partial<'a>(facts: &'a Facts<'_>, caller: &'a Caller) -> impl Iterator<Item = Finding> + 'a {
    facts.partial.iter().map(|(subscription, left_out)| {
        let what = format!(
            "its list of apps leaves out some that are there ({}), so an app that it does not show may hold a key of a configured service",
            listed(left_out.iter().map(AppId::name))
        );
        let finding = Finding::warning(Check::Unconfigured, subscription, what, LOOK_AS_ANOTHER);
        finding.fixed_by(fixes::reader(caller, subscription))
    })
}

const LOOK_AS_ANOTHER: &str =
    "if it does, it is cut off when that key is regenerated. Check as somebody who may read it";

fn may_hold_one(id: &str, who: &str, error: &ArmError) -> Finding {
    let what = format!("{who} may hold a key of a configured service: {}", cause::told(error));
    Finding::warning(Check::Unconfigured, id, what, LOOK_AS_ANOTHER)
}
