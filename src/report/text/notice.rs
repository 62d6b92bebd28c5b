//! What an event means, and what is wrong with one that cannot be read.

use std::fmt;

use rekey_core::model::ServiceId;
use rekey_core::notice::{BridgeFault, Ignored, Misread, Notice};

use super::{InWords, readable};
use crate::handler::{Fault, Malformed};

impl InWords for Notice {
    fn in_words(&self) -> String {
        let named = |instance: &Option<ServiceId>| {
            instance.as_ref().map_or("an instance that is not named".to_owned(), |id| id.name().to_owned())
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
            Self::Exposed { instance } => format!("the keys of {} are in strange hands", instance.name()),
            Self::Ignored(ignored) => ignored.in_words(),
            Self::Unreadable { fault } => format!("not understood: {}", fault.in_words()),
        }
    }
}

impl InWords for Ignored {
    fn in_words(&self) -> String {
        match self {
            Self::Reading => "somebody read keys or settings, as we do ourselves",
            Self::OtherAction => "an action that changes no key",
            Self::Unrelated => "nothing to do with us",
        }
        .into()
    }
}

impl InWords for BridgeFault {
    fn in_words(&self) -> String {
        match self {
            Self::AlmostOurs => "its type ends like one of ours, and does not begin with SignalRRekey.",
            Self::UnknownType => {
                "its type is neither SignalRRekey.RegenerationAnnounced nor SignalRRekey.KeysExposed"
            }
            Self::NoInstance => "its data has no instance",
            Self::NotAnInstance => "its data.instance is no resource id of a SignalR instance",
            Self::Misspelt(meant) => {
                return format!("its data has a member that is not known; did you mean {meant}?");
            }
            Self::UnknownMember => {
                "its data has a member besides instance, keyTypes and deadline, which may be meant for one of them: take it \
                 out"
            }
            Self::NotAKeyType => "its data.keyTypes holds something else than Primary and Secondary",
            Self::NoKeyTypes => "its data.keyTypes is empty",
            Self::NotATime => "its data.deadline is no time such as 2026-09-24T13:00:00Z",
        }
        .into()
    }
}

impl InWords for Misread {
    fn in_words(&self) -> String {
        match self {
            Self::TooMany(most) => return format!("it has more than {most} events"),
            Self::NoEvents => "it is neither an event nor a list of events",
            Self::NoObject => "it is no object",
            Self::NoType => "it has neither eventType nor type",
            Self::OldAlert => {
                "it is an alert without the common alert schema: switch that on in the action group (the webhook action's \
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
                let what = if *ends_early { "its JSON ends too early" } else { "it is no JSON" };
                return format!("{what} (line {line}, column {column})");
            }
            Self::NoJsonObject => "it is no JSON object",
            Self::NoObject => "it is no object",
            Self::Missing => "it is missing",
            Self::NoValue => "it is empty; the trigger's value belongs there",
            Self::SeveralValues => "it has more than one member; only the trigger's belongs there",
            Self::NoTimer => "it is no object, as a timer's is",
            Self::NoRequest => "it is no HTTP request",
            Self::NoAlert => "it is missing; an alert belongs there",
            Self::Event(misread) => return misread.in_words(),
        }
        .into()
    }
}
