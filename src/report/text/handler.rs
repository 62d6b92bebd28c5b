//! The process: requests that it does not take, faults of its own, its log and its schedule.

use std::fmt;

use crate::handler::Unread;
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

/// A panic, as the log tells it.
pub(crate) const A_PANIC: &str = "internal error: a panic (its message is not shown, as it may hold a key)";
