//! From notices to what they want of each instance: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};

use super::coalesce::Merge;
use crate::config::{Config, ServiceConfig};
use crate::pass::{Announced, Hint, Purpose};
use crate::report::InWords;
use crate::report::text::notice as text;
use rekey_core::journal::Watch;
use rekey_core::model::{AppId, PerKey, ServiceId, likest};
use rekey_core::notice::{Event, Notice, classify};
use rekey_core::plan::{Request, Why};

/// What the events of one delivery want.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// Of each instance that is concerned.
    pub(super) wanted: BTreeMap<ServiceId, Wanted>,
    /// How many events called for nothing, and what the last of them was.
    pub(super) ignored: (u64, Option<Notice>),
    /// What could not be understood and should have been.
    pub(super) faults: Vec<String>,
    /// What was understood and is most probably not what was meant.
    pub(super) warnings: Vec<String>,
}

/// What is wanted of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// A look.
    pub(super) hint: Hint,
    /// A rotation.
    pub(super) request: Option<Request>,
    /// When keys will be regenerated.
    pub(super) deadlines: BTreeSet<DateTime<Utc>>,
}

impl Wanted {
    /// A look at everything.
    pub(super) fn look() -> Self {
        Self { hint: Hint { anything: true, ..Hint::default() }, ..Self::default() }
    }

    /// What a pass over the instance is for.
    pub(super) fn purpose(self) -> Purpose {
        match self.request {
            Some(request) => Purpose::Answer { request, deadlines: self.deadlines, hint: self.hint },
            None => Purpose::Check(self.hint),
        }
    }
}

impl Merge for Wanted {
    fn merge(&mut self, other: Self) {
        self.hint.merge(other.hint);
        self.request = merged(self.request, other.request);
        self.deadlines.extend(other.deadlines);
    }
}

/// The graver of two requests. What happened last counts: a rotation that was asked for before it is not enough.
fn merged(one: Option<Request>, other: Option<Request>) -> Option<Request> {
    let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
    let why = match (one.why, other.why) {
        (Why::Announced { keys: these }, Why::Announced { keys: those }) => {
            Why::Announced { keys: PerKey::from_fn(|key_type| these[key_type] || those[key_type]) }
        }
        (Why::Exposed, _) | (_, Why::Exposed) => Why::Exposed,
        (Why::Operator, why) | (why, Why::Operator) => why,
    };
    let since = one.since.zip(other.since).map(|(one, other)| one.max(other));
    Some(Request { why, since })
}

/// What events want of the instances that are configured.
pub(super) fn wanted(events: &[&Event], config: &Config, now: DateTime<Utc>) -> Delivery {
    let mut delivery = Delivery::default();
    for event in events {
        match classify(event) {
            Notice::Unreadable { fault } => {
                let id = event.id.as_deref().filter(|id| is_plain(id));
                delivery.faults.push(text::not_understood(id, fault));
            }
            notice => {
                let concerned = concerned(&notice, event, config);
                if let Some(fault) = not_ours(&notice, &concerned, config) {
                    delivery.faults.push(fault);
                } else if concerned.is_empty() {
                    delivery.ignored = (delivery.ignored.0 + 1, Some(notice));
                } else {
                    delivery.warnings.extend(warnings(&notice, event, now));
                }
                for (instance, wanted) in concerned {
                    delivery.wanted.entry(instance).or_default().merge(wanted);
                }
            }
        }
    }
    delivery
}

/// Whoever tells of a leak or an announcement means a service of ours: if it is none, nothing is done, and he has to know.
fn not_ours(notice: &Notice, concerned: &[(ServiceId, Wanted)], config: &Config) -> Option<String> {
    let (Notice::Announced { instance, .. } | Notice::Exposed { instance }) = notice else { return None };
    if !concerned.is_empty() {
        return None;
    }
    let names = config.instances.iter().map(|known| known.id.name());
    let meant = likest(instance.name(), names.map(|name| (name.to_owned(), name)));
    Some(text::not_configured(notice, instance, meant))
}

/// What a handler with this configuration would do about an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// A line or two for each instance.
    pub does: Vec<String>,
    /// What its sender did most probably not mean.
    pub warnings: Vec<String>,
}

/// What a handler with this configuration would do about an event that comes now; or why it would refuse it.
pub fn foresee(event: &Event, config: &Config, now: DateTime<Utc>) -> Result<Foreseen, String> {
    let notice = classify(event);
    if let Notice::Unreadable { fault } = &notice {
        return Err(fault.in_words());
    }
    let concerned = concerned(&notice, event, config);
    if let Some(fault) = not_ours(&notice, &concerned, config) {
        return Err(fault);
    }
    let told = |(instance, wanted): &(ServiceId, Wanted)| format!("{}: {wanted}", instance.name());
    let does = concerned.iter().map(told).chain(watched(&notice, now)).collect();
    Ok(Foreseen { does, warnings: warnings(&notice, event, now) })
}

/// What is done around an announced time.
fn watched(notice: &Notice, now: DateTime<Utc>) -> Option<String> {
    let Notice::Announced { instance, deadline: Some(at), .. } = notice else { return None };
    let Announced::Watched(Watch { from, until }) = Announced::of(*at, now) else { return None };
    Some(text::watched(instance.name(), from, until))
}

/// What whoever sent an announcement or the report of a leak did most probably not mean: it is done as it was written, and
/// falls short of what was wanted.
pub(super) fn warnings(notice: &Notice, event: &Event, now: DateTime<Utc>) -> Vec<String> {
    let (instance, keys, deadline) = match notice {
        Notice::Announced { instance, keys, deadline } => (instance, Some(keys), *deadline),
        Notice::Exposed { instance } => (instance, None, None),
        _ => return Vec::new(),
    };
    let of_time = keys.and_then(|_| of_deadline(deadline, now));
    let of_keys = keys.filter(|keys| keys.primary && keys.secondary);
    let of_keys = of_keys.map(|_| text::warning::BOTH_KEYS.to_owned());
    let no_time = event.time.is_none().then(|| text::warning::NO_TIME.to_owned());
    let others = !event.bridge.others.is_empty();
    let others = others.then(|| text::warning::UNKNOWN_MEMBER.to_owned());
    let all = of_time.into_iter().chain(of_keys).chain(no_time).chain(others);
    all.map(|warning| format!("{}: {warning}", instance.name())).collect()
}

fn of_deadline(deadline: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<String> {
    let Some(at) = deadline else { return Some(text::warning::NO_DEADLINE.to_owned()) };
    match Announced::of(at, now) {
        Announced::Watched(_) if at > now => None,
        Announced::Watched(_) => Some(text::warning::just_past(at)),
        Announced::Over => Some(text::warning::past(at)),
        Announced::Far => Some(text::warning::far(at)),
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request.map(|request| request.why) {
            Some(Why::Exposed) => f.write_str(text::wanted::ROTATION_AFTER_A_LEAK),
            Some(Why::Announced { .. } | Why::Operator) => f.write_str(text::wanted::ROTATION),
            None if self.hint.anything => f.write_str(text::wanted::CHECK),
            None if self.hint.regenerated => f.write_str(text::wanted::CHECK_AFTER_A_REGENERATION),
            None => {
                let apps: Vec<String> = self.hint.apps.iter().map(AppId::name).collect();
                f.write_str(&text::wanted::check_of(&apps.join(", ")))
            }
        }
    }
}

/// An id as its sender wrote it goes into the log only if it is as short and plain as ids are.
fn is_plain(id: &str) -> bool {
    id.len() <= 64
        && id.chars().all(|character| character.is_ascii_alphanumeric() || "-_.:".contains(character))
}

fn concerned(notice: &Notice, event: &Event, config: &Config) -> Vec<(ServiceId, Wanted)> {
    let regenerated = || {
        let hint = Hint { regenerated: true, happened: event.time, ..Hint::default() };
        Wanted { hint, ..Wanted::default() }
    };
    let asks = |why| Wanted { request: Some(Request { why, since: event.time }), ..Wanted::default() };
    let those = |fits: &dyn Fn(&ServiceConfig) -> bool, wanted: Wanted| {
        let fitting = config.instances.iter().filter(|instance| fits(instance));
        fitting.map(|instance| (instance.id.clone(), wanted.clone())).collect()
    };
    match notice {
        Notice::Regenerated { instance: Some(id) } => those(&|instance| instance.id == *id, regenerated()),
        Notice::Regenerated { instance: None } => those(&|_| true, regenerated()),
        Notice::RegenerationFailed { instance: Some(id) } | Notice::InstanceChanged { instance: id } => {
            those(&|instance| instance.id == *id, Wanted::look())
        }
        Notice::RegenerationFailed { instance: None } => those(&|_| true, Wanted::look()),
        Notice::AppChanged { app } => config.instances.iter().filter_map(|one| changed(one, app)).collect(),
        Notice::ServiceHealth { signalr, subscriptions } => {
            let named = |instance: &ServiceConfig| {
                subscriptions.iter().any(|one| one.eq_ignore_ascii_case(instance.id.subscription()))
            };
            those(&|instance| named(instance) || (*signalr && subscriptions.is_empty()), Wanted::look())
        }
        Notice::Announced { instance: id, keys, deadline } => {
            let wanted = Wanted {
                deadlines: deadline.iter().copied().collect(),
                ..asks(Why::Announced { keys: *keys })
            };
            those(&|instance| instance.id == *id, wanted)
        }
        Notice::Exposed { instance: id } => those(&|instance| instance.id == *id, asks(Why::Exposed)),
        Notice::Ignored(_) | Notice::Unreadable { .. } => Vec::new(),
    }
}

/// An instance with the apps that an event about a site or slot concerns: a site's own event may be meant for its slots.
fn changed(instance: &ServiceConfig, app: &AppId) -> Option<(ServiceId, Wanted)> {
    let same_site = |own: &AppId| {
        let ids =
            [(own.subscription(), app.subscription()), (own.group(), app.group()), (own.site(), app.site())];
        ids.iter().all(|(own, named)| own.eq_ignore_ascii_case(named))
    };
    let meant = |own: &&AppId| *own == app || (app.slot().is_none() && same_site(own));
    let apps: BTreeSet<AppId> = instance.apps.iter().map(|own| &own.id).filter(meant).cloned().collect();
    let wanted = || Wanted { hint: Hint { apps: apps.clone(), ..Hint::default() }, ..Wanted::default() };
    (!apps.is_empty()).then(|| (instance.id.clone(), wanted()))
}
