//! What a configured app holds of a service.

use super::collect::{AppFacts, Facts, InstanceFacts};
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::arm::{ArmError, ArmErrorKind};
use crate::azure::discovery::by_value;
use crate::config::AppConfig;
use crate::report::text::{InWords, file_name};
use rekey_core::model::{AppId, Section, ServiceId, names_signalr, printable};
use rekey_core::plan::{Consumer, ConsumerRef, Holding, SettingFault, Unknown};

/// All of it, of one app and one service.
pub(super) fn check(instance: &InstanceFacts<'_>, app: &AppConfig, facts: &Facts<'_>) -> Vec<Finding> {
    let found = all(instance, app, facts).into_iter();
    found.map(|finding| finding.of(&instance.config.id)).collect()
}

fn all(instance: &InstanceFacts<'_>, app: &AppConfig, facts: &Facts<'_>) -> Vec<Finding> {
    let Some(read) = facts.apps.get(&app.id) else { return Vec::new() };
    let id = &instance.config.id;
    let lost = |unseen| lost(instance, app, facts, unseen).into_iter();
    if read.settings.is_gone() {
        return lost("is not found").chain([gone(instance, app, facts)]).collect();
    }
    if let Some(error) = read.settings.error() {
        return lost("cannot be read").chain(unreadable(id, app, error)).collect();
    }
    // That the service is gone, has no keys or may not be asked, is a finding of its own.
    let by_host = instance.keys_are_off() && instance.host().is_some();
    if instance.listed.is_err() && !by_host {
        let why = "the keys of the service cannot be listed, and what an app holds is compared with them";
        let what = format!("whether it holds a valid key of {}, or is cut off, cannot be told", id.name());
        return vec![Finding::warning(Check::Consumer, &app.id, what, why)];
    }
    found(instance, app, read)
}

fn found(instance: &InstanceFacts<'_>, app: &AppConfig, read: &AppFacts) -> Vec<Finding> {
    let id = &instance.config.id;
    let seen = instance.seen(app, read);
    let mut findings: Vec<Finding> =
        seen.consumers.iter().map(|consumer| holds(instance, consumer)).collect();
    findings.extend(seen.unknown.iter().filter_map(|unknown| not_seen(app, read, unknown)));
    if findings.is_empty() && !app.may_hold_none && !read.follows(app, instance.config) {
        findings.push(none(id, app, read));
    }
    findings.extend(keys_beside_identity(&seen.consumers, read));
    let is_new = |consumer: &&Consumer| !seen.consumers.iter().any(|known| known.at == consumer.at);
    let all = instance.seen(&by_value(&app.id), read);
    let others = all.consumers.iter().filter(is_new).filter(|other| other.holds != Holding::Identity);
    findings.extend(others.map(|other| unnamed(id, other)));
    findings
}

/// An app that is out of sight, and by what is known of it or of the others is cut off.
fn lost(instance: &InstanceFacts<'_>, app: &AppConfig, facts: &Facts<'_>, unseen: &str) -> Option<Finding> {
    let name = instance.config.id.name();
    let what = if instance.has_lost(&app.id) {
        format!("very likely cut off: it {unseen}, and was last seen with a key that {name} no longer has")
    } else if facts.has_stale(instance) {
        format!("it may be cut off: it {unseen}, and other apps hold a key that {name} no longer has")
    } else {
        return None;
    };
    let why = "an app that cannot be read is not repaired: resolve what is said of it here, then run rotate";
    Some(Finding::error(Check::Consumer, &app.id, what, why))
}

/// What a configured app that does not exist is mistyped for, most probably.
pub(super) fn meant<'f>(app: &AppId, facts: &'f Facts<'_>) -> Option<&'f AppId> {
    if !facts.apps.get(app)?.settings.is_gone() {
        return None;
    }
    let is_new = |other: &&AppId| {
        !facts.instances.iter().any(|one| one.config.apps.iter().any(|app| app.id == **other))
    };
    let there = facts.apps.iter().filter(|(_, read)| !read.settings.is_gone()).map(|(other, _)| other);
    let names: Vec<(String, &AppId)> = there.filter(is_new).map(|other| (other.name(), other)).collect();
    likest(&app.name(), names.iter().map(|(name, other)| (name.as_str(), *other)))
}

fn gone(instance: &InstanceFacts<'_>, app: &AppConfig, facts: &Facts<'_>) -> Finding {
    let id = &instance.config.id;
    let why = "if its id is mistyped, or it was moved or renamed, it keeps a key that is invalid, or will be, and runs are blocked: correct its id";
    let finding = Finding::error(Check::Consumer, &app.id, "it does not exist".to_owned(), why);
    match meant(&app.id, facts) {
        Some(other) => finding
            .fixed_by(fixes::in_file(id, &format!("write {other} for {}, if that is meant, in", app.id))),
        None => finding,
    }
}

/// That it may not be read is the matter of `permission`.
fn unreadable(id: &ServiceId, app: &AppConfig, error: &ArmError) -> Option<Finding> {
    let why = "no key is regenerated until every app can be read";
    let finding = || Finding::unread(Check::Consumer, &app.id, error, why, id);
    (error.kind() != ArmErrorKind::Forbidden).then(finding)
}

fn holds(instance: &InstanceFacts<'_>, consumer: &Consumer) -> Finding {
    let id = &instance.config.id;
    let Consumer { at, holds } = consumer;
    let (app, at) = (&at.app, at.entry());
    match holds {
        Holding::Valid(key_type) => {
            Finding::ok(Check::Consumer, app, format!("{at} holds the {key_type} key of {}", id.name()))
        }
        Holding::Identity => {
            let why = "it holds no key and is left alone";
            Finding::note(Check::Consumer, app, format!("{at} connects to {} by identity", id.name()), why)
        }
        Holding::Stale(_) if instance.keys_are_off() => {
            let what = format!("stale: {at} holds a key of {}, which has none", id.name());
            let why = "the app is cut off, and cannot be repaired while access keys are disabled: see what is said of the service";
            Finding::error(Check::Consumer, app, what, why)
        }
        Holding::Stale(fingerprint) => {
            let what = format!("stale: {at} holds a key ({fingerprint}) that {} no longer has", id.name());
            let why = "the app is cut off: it is refused until a run gives it a valid key";
            Finding::error(Check::Consumer, app, what, why).fixed_by(fixes::rotate(id))
        }
    }
}

/// What is seen and cannot be worked with. That nothing was read has been told.
///
/// There is no command for any of it: whether the app can read what a command would write into a setting, or whether
/// anything reads that setting at all, cannot be seen from here.
fn not_seen(app: &AppConfig, read: &AppFacts, unknown: &Unknown) -> Option<Finding> {
    let nothing_is_regenerated = "no key of the service is regenerated until this is resolved";
    let (check, why) = match unknown {
        Unknown::OnlyReferences { .. } | Unknown::Reference { .. } | Unknown::KeyValueReference { .. } => {
            (Check::KeyVault, nothing_is_regenerated.to_owned())
        }
        Unknown::Setting { name, fault, .. } => match fault {
            SettingFault::KeyVaultReference
            | SettingFault::AppConfigurationReference
            | SettingFault::MistypedReference => (Check::KeyVault, nothing_is_regenerated.to_owned()),
            SettingFault::NotOurs | SettingFault::Missing => {
                (Check::Consumer, format!("{}{nothing_is_regenerated}", did_you_mean(app, read, name)))
            }
            // Told for all settings of the app, read by value.
            SettingFault::Unnamed => return None,
            _ => (Check::Consumer, nothing_is_regenerated.to_owned()),
        },
        Unknown::NeverReported { .. }
        | Unknown::ExternalStale { .. }
        | Unknown::Unreadable { .. }
        | Unknown::NoConsumer { .. }
        | Unknown::NeverSeen { .. }
        | Unknown::Vanished { .. } => return None,
    };
    let is_stale = matches!(unknown, Unknown::Setting { fault: SettingFault::StaleKeyInOtherText, .. });
    let stale = if is_stale { "stale, cut off: " } else { "" };
    Some(Finding::error(check, &app.id, format!("{stale}{}", unknown.in_words()), why))
}

/// A setting of the app whose name is much like the one that rekey.toml gives it.
fn did_you_mean(app: &AppConfig, read: &AppFacts, name: &str) -> String {
    let named = || app.settings.iter().chain(&app.connection_strings);
    let is_new = |other: &&str| !named().any(|known| known.eq_ignore_ascii_case(other));
    let like = Section::ALL.into_iter().flat_map(|section| read.settings.names(section)).filter(is_new);
    let likest = likest(name, like.map(|other| (other, other)));
    likest.map(|other| format!("did you mean {other}? ")).unwrap_or_default()
}

/// How much alike two names must be for one to be meant by the other, by Jaro and Winkler: a slip of a finger or two, and
/// not merely the same beginning.
const LIKE: f64 = 0.9;

/// What has the name that is most like another, but for case and separators.
fn likest<'n, T>(name: &str, candidates: impl Iterator<Item = (&'n str, T)>) -> Option<T> {
    let letters = |name: &str| -> String {
        name.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let rated = candidates.map(|(other, it)| (strsim::jaro_winkler(&letters(name), &letters(other)), it));
    let (rate, best) = rated.max_by(|(one, _), (two, _)| one.total_cmp(two))?;
    (rate >= LIKE).then_some(best)
}

/// A key that stands beside an `AuthType` was left there by somebody who believed that it would not be used.
fn keys_beside_identity<'a>(
    consumers: &'a [Consumer],
    read: &'a AppFacts,
) -> impl Iterator<Item = Finding> + 'a {
    let holds = |(section, name): &(Section, &str)| {
        let at = consumers
            .iter()
            .find(|consumer| consumer.at.section == Some(*section) && consumer.at.name == *name);
        at.filter(|consumer| consumer.holds != Holding::Identity).map(|consumer| &consumer.at)
    };
    let found = read.settings.beside_a_key().filter_map(move |at| holds(&at));
    found.map(|at| {
        let what = format!("{} has an AccessKey beside its AuthType", at.entry());
        let why = "Microsoft's SDK uses the key and not the identity. If identity is what you want, take the AccessKey out \
                   of the string once the identity has its role; until then it is rotated like any other";
        Finding::warning(Check::Consumer, &at.app, what, why)
    })
}

fn none(id: &ServiceId, app: &AppConfig, read: &AppFacts) -> Finding {
    let what = format!("no setting of it holds a connection string of {}", id.name());
    let why = "it may hold one in a place that is not checked, so no key of the service is regenerated";
    let finding = Finding::error(Check::Consumer, &app.id, what, why);
    // An app that speaks of SignalR in the name of a setting most likely gets its key in a way that is not understood.
    let speaks_of_it = |section| read.settings.names(section).any(names_signalr);
    if Section::ALL.into_iter().any(speaks_of_it) {
        return finding;
    }
    let change = format!("write {{ id = \"{}\", may_hold_none = true }} in the apps of", app.id);
    finding.fixed_by(format!("once you know that it needs none, {}", fixes::in_file(id, &change)))
}

fn unnamed(id: &ServiceId, consumer: &Consumer) -> Finding {
    let ConsumerRef { app, name, .. } = &consumer.at;
    let what = format!("{} holds a key of {} and is not named", consumer.at.entry(), id.name());
    let file = file_name();
    let why =
        format!("{file} names other settings of this app, so this one keeps a key that will become invalid");
    let change = format!("add {} to the names of {app} in the apps of", printable(name));
    Finding::error(Check::Unconfigured, app, what, why).fixed_by(fixes::in_file(id, &change))
}
