//! Requests that the process does not take, and faults of its own.

use std::fmt;

use super::InWords;
use crate::handler::{Fault, Malformed, Unread};
use crate::panics::Panicked;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the body is larger than 4 MiB"),
            Self::Broken => f.write_str("the body broke off before its end"),
            Self::Late(time) => {
                write!(f, "the body was not complete within {}", humantime::format_duration(*time))
            }
            Self::NoRoom => f.write_str("too many large bodies at once; the next delivery carries on"),
        }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.location.as_ref().map(|location| format!(" at {location}"));
        write!(f, "internal error{}", at.unwrap_or_default())
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
