//! What events want, and what is wrong with them, for people.

use super::{InWords, file_name, readable};
use rekey_core::intent::{Cause, Caution, Fault, Foreseen, Intent, Oddity};
use rekey_core::model::ConsumerId;

/// Why an event is refused.
pub(crate) fn fault(fault: &Fault) -> String {
    match fault {
        Fault::Unreadable { event, fault } => {
            format!(
                "cannot understand the event {}: {}",
                event.as_deref().unwrap_or("without id"),
                fault.in_words()
            )
        }
        Fault::NotConfigured { notice, service, meant } => {
            let meant = meant.as_ref().map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            let file = file_name();
            format!("{}, but {service} is not in {file}: nothing was rotated{meant}", notice.in_words())
        }
    }
}

/// What would be done about an event, in a line or two for each service.
pub(crate) fn foreseen(foreseen: &Foreseen) -> Vec<String> {
    let wanted = foreseen.intents.iter().map(|(service, it)| format!("{}: {}", service.name(), intent(it)));
    let watched = foreseen.watched.iter().map(|(service, watch)| {
        let (name, from, until) = (service.name(), readable(watch.from), readable(watch.until));
        format!(
            "{name}: watch its keys closely from {from} until {until}, and repair the apps at once when one is regenerated"
        )
    });
    wanted.chain(watched).collect()
}

fn intent(intent: &Intent) -> String {
    match intent.rotation.map(|request| request.cause) {
        Some(Cause::Compromised) => {
            "rotate now, and regenerate the compromised keys after exposed_grace; not more often than min_rotation_interval"
                .to_owned()
        }
        Some(Cause::Announced { .. } | Cause::Operator) => {
            "rotate now if consumers hold a key that will be regenerated; not more often than min_rotation_interval"
                .to_owned()
        }
        None if intent.everything => {
            "check its keys and all its apps, and repair consumers that hold an invalid key".to_owned()
        }
        None if intent.claim.is_some() => {
            "check its keys; unless the regeneration was our own, check all its apps and repair consumers that hold an invalid key"
                .to_owned()
        }
        None => {
            let apps: Vec<String> = intent.consumers.iter().map(ConsumerId::name).collect();
            format!("check its keys and {}; if anything is new there, check all its apps", apps.join(", "))
        }
    }
}

/// What the sender of an event did most probably not mean.
pub(crate) fn caution(caution: &Caution) -> String {
    let what = match caution.what {
        Oddity::NoDeadline => {
            "no deadline is given, so the keys are not watched when they are regenerated".to_owned()
        }
        Oddity::DeadlinePast(at) => format!(
            "the deadline {} is past: the keys are watched for the rest of the hour after it. If that is not meant, \
             correct the time and publish it again",
            readable(at)
        ),
        Oddity::DeadlineOver(at) => format!(
            "the deadline {} is past, so the keys are not watched: if the regeneration is still to come, correct the \
             time and publish it again",
            readable(at)
        ),
        Oddity::DeadlineFar(at) => format!(
            "the deadline {} is more than a year away, so the keys are not watched around it: correct the time, or \
             publish it again later",
            readable(at)
        ),
        Oddity::BothKeys => {
            "both keys will be regenerated, and every app holds one of them whatever is rotated before: apps are cut off from \
             then until they are repaired. If it is only one key, name it in keyTypes"
                .to_owned()
        }
        Oddity::NoTime => {
            "the event has no time with Z or an offset, so a copy that comes later asks for another rotation: give it the \
             time of the message"
                .to_owned()
        }
        Oddity::LongAgo(at) => format!(
            "the event's time {} is more than an hour ago: keys that were rotated since, because they were reported as \
             compromised, are taken for those that it means, and nothing is done. If keys were leaked later, give the time of \
             that leak and publish it again",
            readable(at)
        ),
        Oddity::OtherMembers => "its data has a member besides instance, which is ignored".to_owned(),
    };
    format!("{}: {what}", caution.service.name())
}
