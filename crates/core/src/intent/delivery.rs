//! From the events of one delivery to what they want of each service.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cause, Intent};
use crate::journal::Watch;
use crate::model::{AppId, ConsumerId, PerKey, ServiceId, likest};
use crate::notice::{BridgeFault, Event, Notice, classify};
use crate::plan::{APPROVED_FOR, Announced, Deadline};

/// A service that is configured, and the consumers of it that are.
#[derive(Clone, Debug)]
pub struct Configured<'a> {
    pub id: &'a ServiceId,
    pub consumers: Vec<&'a AppId>,
    /// Whether its rotations wait for an approval.
    pub asks: bool,
}

/// What the events of one delivery want.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Of each service that is concerned.
    pub intents: BTreeMap<ServiceId, Intent>,
    /// How many events called for nothing, and what the last of them was.
    pub ignored: (u64, Option<Notice>),
    /// What could not be understood and should have been.
    pub faults: Vec<Fault>,
    /// What was understood and is most probably not what was meant.
    pub cautions: Vec<Caution>,
}

/// An event that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is one of our own bridge's and cannot be understood.
    Unreadable {
        /// Its id, if that is as short and plain as ids are.
        event: Option<String>,
        /// What is wrong with it.
        fault: BridgeFault,
    },
    /// It tells of compromised keys, an announcement or an approval, of a service that is not configured.
    NotConfigured {
        /// What it tells.
        notice: Box<Notice>,
        /// The service that it names.
        service: Box<ServiceId>,
        /// The name of the configured service that is likest.
        meant: Option<String>,
    },
}

/// What whoever sent an announcement, or the report of compromised keys, did most probably not mean: it is done as it was
/// written, and falls short of what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caution {
    /// The service that it is about.
    pub service: ServiceId,
    /// What is odd.
    pub what: Oddity,
}

/// How old the report of compromised keys is where its time is most probably not meant. What was published just now comes
/// within seconds, and what could not be delivered within minutes again (docs: Event Grid message delivery and retry).
const LONG_AGO: TimeDelta = TimeDelta::hours(1);

/// What is odd about an announcement or a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// No deadline is given.
    NoDeadline,
    /// The deadline is past, and its keys are watched for the rest of the hour after it.
    DeadlinePast(DateTime<Utc>),
    /// The deadline is past for more than an hour.
    DeadlineOver(DateTime<Utc>),
    /// The deadline is more than a year away.
    DeadlineFar(DateTime<Utc>),
    /// Both keys will be regenerated.
    BothKeys,
    /// The event has no time.
    NoTime,
    /// The event is of long ago, and keys that were reported as compromised since are taken for those that it means.
    LongAgo(DateTime<Utc>),
    /// Its data has a member that is not read.
    OtherMembers,
    /// The approval is said to be given at a time that is still to come.
    ApprovalAhead(DateTime<Utc>),
    /// The approval is so old that it has expired, unless no window has been open since.
    ApprovalOld(DateTime<Utc>),
    /// The rotations of that service wait for no approval.
    NoApprovalAsked,
}

/// What a handler would do about an event that comes now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// What is wanted of each service.
    pub intents: Vec<(ServiceId, Intent)>,
    /// The time in which the keys of a service are watched.
    pub watched: Option<(ServiceId, Watch)>,
    /// What its sender did most probably not mean.
    pub cautions: Vec<Caution>,
}

/// What events want of the services that are configured.
pub fn delivery(events: &[&Event], services: &[Configured<'_>], now: DateTime<Utc>) -> Delivery {
    let mut delivery = Delivery::default();
    for event in events {
        match understood(event, services) {
            Err(fault) => delivery.faults.push(fault),
            Ok((notice, intents)) if intents.is_empty() => {
                delivery.ignored = (delivery.ignored.0 + 1, Some(notice));
            }
            Ok((notice, intents)) => {
                delivery.cautions.extend(cautions(&notice, event, services, now));
                for (service, intent) in intents {
                    delivery
                        .intents
                        .entry(service)
                        .and_modify(|all| all.merge(intent.clone()))
                        .or_insert(intent);
                }
            }
        }
    }
    delivery
}

/// What a handler with this configuration would do about an event that comes now; or why it would refuse it.
pub fn foresee(event: &Event, services: &[Configured<'_>], now: DateTime<Utc>) -> Result<Foreseen, Fault> {
    let (notice, intents) = understood(event, services)?;
    Ok(Foreseen {
        intents,
        watched: watched(&notice, now),
        cautions: cautions(&notice, event, services, now),
    })
}

/// What an event means, and what that wants of whom.
fn understood(
    event: &Event,
    services: &[Configured<'_>],
) -> Result<(Notice, Vec<(ServiceId, Intent)>), Fault> {
    let notice = classify(event);
    if let Notice::Unreadable { fault } = notice {
        return Err(Fault::Unreadable { event: event.id.clone().filter(|id| is_plain(id)), fault });
    }
    let intents = intents(&notice, event, services);
    // Whoever tells of compromised keys or an announcement means a service of ours: if it is none, nothing is done, and he
    // has to know.
    match &notice {
        Notice::Announced { instance, .. }
        | Notice::Compromised { instance }
        | Notice::Approved { instance, .. }
            if intents.is_empty() =>
        {
            let names = services.iter().map(|known| known.id.name());
            let meant = likest(instance.name(), names.map(|name| (name.to_owned(), name)));
            let meant = meant.map(str::to_owned);
            Err(Fault::NotConfigured { service: Box::new(instance.clone()), meant, notice: Box::new(notice) })
        }
        _ => Ok((notice, intents)),
    }
}

/// The time in which keys are watched around an announced one.
fn watched(notice: &Notice, now: DateTime<Utc>) -> Option<(ServiceId, Watch)> {
    let Notice::Announced { instance, keys, deadline: Some(at) } = notice else { return None };
    match Announced::of(Deadline { at: *at, keys: *keys }, now) {
        Announced::Watched(watch) => Some((instance.clone(), watch)),
        Announced::Over | Announced::Far => None,
    }
}

fn cautions(notice: &Notice, event: &Event, services: &[Configured<'_>], now: DateTime<Utc>) -> Vec<Caution> {
    if let Notice::Approved { instance, approving } = notice {
        let of_time = match approving.at {
            at if approving.is_ahead(now) => Some(Oddity::ApprovalAhead(at)),
            at if at + APPROVED_FOR < now => Some(Oddity::ApprovalOld(at)),
            _ => None,
        };
        let asks = services.iter().any(|service| service.id == instance && service.asks);
        let all = (!asks).then_some(Oddity::NoApprovalAsked).into_iter().chain(of_time);
        return all.map(|what| Caution { service: instance.clone(), what }).collect();
    }
    let (service, keys, deadline) = match notice {
        Notice::Announced { instance, keys, deadline } => (instance, Some(keys), *deadline),
        Notice::Compromised { instance } => (instance, None, None),
        _ => return Vec::new(),
    };
    let of_time = keys.and_then(|keys| of_deadline(deadline, *keys, now));
    let of_keys = keys.filter(|keys| keys.primary && keys.secondary).map(|_| Oddity::BothKeys);
    let of_event = match event.time {
        None => Some(Oddity::NoTime),
        Some(at) if keys.is_none() && at < now - LONG_AGO => Some(Oddity::LongAgo(at)),
        Some(_) => None,
    };
    let others = (!event.bridge.others.is_empty()).then_some(Oddity::OtherMembers);
    let all = [of_time, of_keys, of_event, others].into_iter().flatten();
    all.map(|what| Caution { service: service.clone(), what }).collect()
}

fn of_deadline(deadline: Option<DateTime<Utc>>, keys: PerKey<bool>, now: DateTime<Utc>) -> Option<Oddity> {
    let Some(at) = deadline else { return Some(Oddity::NoDeadline) };
    match Announced::of(Deadline { at, keys }, now) {
        Announced::Watched(_) if at > now => None,
        Announced::Watched(_) => Some(Oddity::DeadlinePast(at)),
        Announced::Over => Some(Oddity::DeadlineOver(at)),
        Announced::Far => Some(Oddity::DeadlineFar(at)),
    }
}

/// An id as its sender wrote it is told only if it is as short and plain as ids are.
fn is_plain(id: &str) -> bool {
    id.len() <= 64
        && id.chars().all(|character| character.is_ascii_alphanumeric() || "-_.:".contains(character))
}

fn intents(notice: &Notice, event: &Event, services: &[Configured<'_>]) -> Vec<(ServiceId, Intent)> {
    let those = |fits: &dyn Fn(&ServiceId) -> bool, intent: Intent| {
        let fitting = services.iter().filter(|service| fits(service.id));
        fitting.map(|service| (service.id.clone(), intent.clone())).collect()
    };
    match notice {
        Notice::Regenerated { instance } => those(
            &|service| instance.as_ref().is_none_or(|named| named == service),
            Intent::regenerated(event.time),
        ),
        Notice::RegenerationFailed { instance } => {
            those(&|service| instance.as_ref().is_none_or(|named| named == service), Intent::check())
        }
        Notice::InstanceChanged { instance } => those(&|service| instance == service, Intent::check()),
        Notice::AppChanged { app } => services.iter().filter_map(|service| changed(service, app)).collect(),
        Notice::ServiceHealth { signalr, subscriptions } => {
            let named = |service: &ServiceId| {
                subscriptions.iter().any(|one| one.eq_ignore_ascii_case(service.subscription()))
            };
            those(&|service| named(service) || (*signalr && subscriptions.is_empty()), Intent::check())
        }
        Notice::Announced { instance, keys, deadline } => {
            let asked = Intent::rotation(Cause::Announced { keys: *keys }, event.time);
            let deadlines = deadline.iter().map(|at| Deadline { at: *at, keys: *keys }).collect();
            let intent = Intent { deadlines, ..asked };
            those(&|service| instance == service, intent)
        }
        Notice::Compromised { instance } => {
            those(&|service| instance == service, Intent::rotation(Cause::Compromised, event.time))
        }
        Notice::Approved { instance, approving } => {
            those(&|service| instance == service, Intent::approval(approving.clone()))
        }
        Notice::Ignored(_) | Notice::Unreadable { .. } => Vec::new(),
    }
}

/// A service with the apps that an event about a site or slot concerns: a site's own event may be meant for its slots.
fn changed(service: &Configured<'_>, app: &AppId) -> Option<(ServiceId, Intent)> {
    let same_site = |own: &AppId| {
        let ids =
            [(own.subscription(), app.subscription()), (own.group(), app.group()), (own.site(), app.site())];
        ids.iter().all(|(own, named)| own.eq_ignore_ascii_case(named))
    };
    let meant = |own: &&&AppId| **own == app || (app.slot().is_none() && same_site(own));
    let apps: BTreeSet<ConsumerId> =
        service.consumers.iter().filter(meant).map(|own| (*own).into()).collect();
    (!apps.is_empty()).then(|| (service.id.clone(), Intent::changed(apps)))
}
