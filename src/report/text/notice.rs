//! What an event means, and what is wrong with one that cannot be read.

use rekey_core::model::ServiceId;
use rekey_core::notice::{BridgeFault, Ignored, Misread, Notice};

use super::{InWords, readable};

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
            Self::Compromised { instance } => {
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
