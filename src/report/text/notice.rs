//! What an event means, and what is wrong with one that cannot be read.

use std::fmt;

use chrono::{DateTime, Utc};
use rekey_core::model::ServiceId;
use rekey_core::notice::{BridgeFault, Ignored, Misread, Notice};

use super::{InWords, file_name, readable};
use crate::handler::{Fault, Malformed};

impl InWords for Notice {
    fn in_words(&self) -> String {
        let named = |instance: &Option<ServiceId>| {
            instance.as_ref().map_or("an unnamed service".to_owned(), |id| id.name().to_owned())
        };
        match self {
            Self::Regenerated { instance } => format!("a key of {} was regenerated", named(instance)),
            Self::RegenerationFailed { instance } => {
                format!("a regeneration of a key of {} failed", named(instance))
            }
            Self::InstanceChanged { instance } => format!("{} changed", instance.name()),
            Self::AppChanged { app } => format!("the app {} changed", app.name()),
            Self::ServiceHealth { signalr: true, .. } => "Azure Service Health names SignalR".into(),
            Self::ServiceHealth { signalr: false, subscriptions } => {
                format!("Azure Service Health names {}", subscriptions.join(", "))
            }
            Self::Announced { instance, keys, deadline } => {
                let keys: Vec<&str> =
                    keys.iter().filter(|(_, announced)| **announced).map(|(key, _)| key.as_str()).collect();
                let at = deadline.map_or_else(String::new, |at| format!(" at {}", readable(at)));
                format!("the {} key of {} will be regenerated{at}", keys.join(" and the "), instance.name())
            }
            Self::Exposed { instance } => {
                format!("the keys of {} are reported as compromised", instance.name())
            }
            Self::Ignored(ignored) => ignored.in_words(),
            Self::Unreadable { fault } => format!("not understood: {}", fault.in_words()),
        }
    }
}

/// An event that called for nothing, and how many did so far.
pub(crate) fn ignored(why: &str, so_far: u64) -> String {
    format!("ignored: {why} ({so_far} ignored so far)")
}

/// A copy of an event that was answered.
pub(crate) const A_COPY: &str = "a copy of an event that was already handled";

/// An event of the bridge that is at fault. Its id is told if it is as plain as ids are.
pub(crate) fn not_understood(id: Option<&str>, fault: BridgeFault) -> String {
    format!("cannot understand the event {}: {}", id.unwrap_or("without id"), fault.in_words())
}

/// A report of a leak, or an announcement, of a service that is not configured.
pub(crate) fn not_configured(notice: &Notice, service: &ServiceId, meant: Option<&str>) -> String {
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    format!("{}, but {service} is not in {}: nothing was rotated{meant}", notice.in_words(), file_name())
}

/// What is done around an announced time.
pub(crate) fn watched(service: &str, from: DateTime<Utc>, until: DateTime<Utc>) -> String {
    format!(
        "{service}: watch its keys closely from {} until {}, and repair the apps at once when one is regenerated",
        readable(from),
        readable(until)
    )
}

/// What whoever sent an announcement or the report of a leak did most probably not mean.
pub(crate) mod warning {
    use super::{DateTime, Utc, readable};

    pub(crate) const BOTH_KEYS: &str = "both keys will be regenerated, and every app holds one of them whatever is rotated \
        before: apps are cut off from then until they are repaired. If it is only one key, name it in keyTypes";
    pub(crate) const NO_TIME: &str = "the event has no time with Z or an offset, so a copy that comes later asks for another \
        rotation: give it the time of the message";
    pub(crate) const UNKNOWN_MEMBER: &str = "its data has a member besides instance, which is ignored";
    pub(crate) const NO_DEADLINE: &str =
        "no deadline is given, so the keys are not watched when they are regenerated";

    pub(crate) fn just_past(deadline: DateTime<Utc>) -> String {
        format!(
            "the deadline {} is past: the keys are watched for the rest of the hour after it. If that is not meant, correct the \
             time and publish it again",
            readable(deadline)
        )
    }

    pub(crate) fn past(deadline: DateTime<Utc>) -> String {
        format!(
            "the deadline {} is past, so the keys are not watched: if the regeneration is still to come, correct the time and \
             publish it again",
            readable(deadline)
        )
    }

    pub(crate) fn far(deadline: DateTime<Utc>) -> String {
        format!(
            "the deadline {} is more than a year away, so the keys are not watched around it: correct the time, or publish it \
             again later",
            readable(deadline)
        )
    }
}

/// What a notice asks for.
pub(crate) mod wanted {
    pub(crate) const ROTATION_AFTER_A_LEAK: &str = "rotate now, and regenerate the compromised keys after exposed_grace; not \
        more often than min_rotation_interval";
    pub(crate) const ROTATION: &str = "rotate now if consumers hold a key that will be regenerated; not more often than \
        min_rotation_interval";
    pub(crate) const CHECK: &str =
        "check its keys and all its apps, and repair consumers that hold an invalid key";
    pub(crate) const CHECK_AFTER_A_REGENERATION: &str = "check its keys; unless the regeneration was our own, check all its \
        apps and repair consumers that hold an invalid key";

    pub(crate) fn check_of(apps: &str) -> String {
        format!("check its keys and {apps}; if anything is new there, check all its apps")
    }
}

impl InWords for Ignored {
    fn in_words(&self) -> String {
        match self {
            Self::Reading => "keys or settings were read",
            Self::OtherAction => "an action that changes no key",
            Self::Unrelated => "unrelated event",
        }
        .into()
    }
}

impl InWords for BridgeFault {
    fn in_words(&self) -> String {
        match self {
            Self::AlmostOurs => "its type ends like one of the bridge's but does not begin with SignalRRekey.",
            Self::UnknownType => {
                "its type is neither SignalRRekey.RegenerationAnnounced nor SignalRRekey.KeysExposed"
            }
            Self::NoInstance => "its data has no instance",
            Self::NotAnInstance => "its data.instance is not the resource id of a SignalR service",
            Self::Misspelt(meant) => {
                return format!("its data has an unknown member; did you mean {meant}?");
            }
            Self::UnknownMember => {
                "its data has an unknown member, which may be meant for instance, keyTypes or deadline: take it out"
            }
            Self::NotAKeyType => "its data.keyTypes has something other than Primary and Secondary",
            Self::NoKeyTypes => "its data.keyTypes is empty",
            Self::NotATime => "its data.deadline is not a time such as 2026-09-24T13:00:00Z",
        }
        .into()
    }
}

impl InWords for Misread {
    fn in_words(&self) -> String {
        match self {
            Self::TooMany(most) => return format!("it has more than {most} events"),
            Self::NoEvents => "it is neither an event nor a list of events",
            Self::NoObject => "it is not an object",
            Self::NoType => "it has neither eventType nor type",
            Self::OldAlert => {
                "it is an alert without the common alert schema: enable that in the action group (the webhook action's \
                 \"Enable the common alert schema\")"
            }
        }
        .into()
    }
}

impl InWords for rekey_core::notice::Malformed {
    fn in_words(&self) -> String {
        format!("{}: {}", self.member, self.fault.in_words())
    }
}

/// How faults call the parts of what the host sends.
pub(crate) const VALUE: &str = "the value in Data";
pub(crate) const BODY: &str = "the body of the request";

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.fault.in_words())
    }
}

impl InWords for Fault {
    fn in_words(&self) -> String {
        match self {
            Self::NoEnvelope => "it is empty; an envelope is {\"Data\":{…},\"Metadata\":{…}}",
            Self::NoJson { ends_early, line, column } => {
                let what = if *ends_early { "its JSON ends too early" } else { "it is not JSON" };
                return format!("{what} (line {line}, column {column})");
            }
            Self::NoJsonObject => "it is not a JSON object",
            Self::NoObject => "it is not an object",
            Self::Missing => "it is missing",
            Self::NoValue => "it is empty; the trigger's value belongs there",
            Self::SeveralValues => "it has more than one member; only the trigger's belongs there",
            Self::NoTimer => "it is not an object, as a timer's is",
            Self::NoRequest => "it is not an HTTP request",
            Self::NoAlert => "it is missing; an alert belongs there",
            Self::Event(misread) => return misread.in_words(),
        }
        .into()
    }
}
