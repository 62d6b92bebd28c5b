//! Every sentence for people: what was decided, what happened, what failed and what to do next.
//!
//! Values carry no words. Start at [`InWords`], which the values of `rekey_core` have; errors of this crate have their
//! `Display` here as well. One file for each topic, each a list of messages in the form of `sentences!` and `words!`:
//!
//! | file | who speaks |
//! |---|---|
//! | `agent` | the agent on a machine |
//! | `azure` | what goes wrong on the way to Azure and back |
//! | `brief` | lists in a line, whose length is bounded |
//! | `command` | the program's commands, and what to type next; its file and its schedule |
//! | `error` | errors: Azure's refusals, the storage, requests that are not taken; each with what to do about it |
//! | [`journal`] | what happened and is on record |
//! | `metrics` | metrics that do not get to their receiver |
//! | `notice` | what an event means and wants, and what is wrong with one |
//! | `overview` | the page: how services stand |
//! | `run` | what is decided, waited for and in the way; what a run says, and how it ended |
//! | [`snapshot`] | what a check has shown, and what it could not see |

/// A list of messages: `name(values) = "…";` is one with values in it, `NAME = "…";` one without.
macro_rules! sentences {
    (@one $name:ident($($value:ident),*) $text:literal) => {
        pub(crate) fn $name($($value: impl std::fmt::Display + std::fmt::Debug),*) -> String {
            format!($text)
        }
    };
    (@one $name:ident $text:literal) => {
        pub(crate) const $name: &str = $text;
    };
    ($($name:ident $(($($value:ident),*))? = $text:literal;)+) => {
        $(sentences!(@one $name $(($($value),*))? $text);)+
    };
}

/// What each of several values says: `pattern => "…", values;`. Either of a type, or of a value within a function.
macro_rules! words {
    (impl InWords for $type:ty { $($rows:tt)+ }) => {
        impl crate::report::text::InWords for $type {
            fn in_words(&self) -> String {
                words!(match self { $($rows)+ })
            }
        }
    };
    (impl Display for $type:ty { $($pattern:pat $(if $guard:expr)? => $text:literal $(, $value:expr)*;)+ }) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $($pattern $(if $guard)? => write!(f, $text $(, $value)*),)+
                }
            }
        }
    };
    (match $of:tt { $($pattern:pat $(if $guard:expr)? => $text:literal $(, $value:expr)*;)+ }) => {
        match $of {
            $($pattern $(if $guard)? => format!($text $(, $value)*),)+
        }
    };
}

pub(crate) mod agent;
pub(crate) mod azure;
pub(crate) mod brief;
pub(crate) mod command;
mod error;
pub mod journal;
pub(crate) mod metrics;
pub(crate) mod notice;
pub(crate) mod overview;
pub(crate) mod run;
pub mod snapshot;

use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// What people read of a value.
pub trait InWords {
    /// A sentence without its full stop, or a part of one.
    fn in_words(&self) -> String;
}

/// Several, in a list.
pub(crate) fn listed<'a, T: InWords + 'a>(all: impl IntoIterator<Item = &'a T>, between: &str) -> String {
    all.into_iter().map(InWords::in_words).collect::<Vec<_>>().join(between)
}

/// A time as people read it.
pub fn readable(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A duration as people read it: in its two largest units, rounded; below a second in milliseconds.
pub fn rounded(duration: Duration) -> String {
    /// A year, a month, a day, an hour, a minute, a second, a millisecond, as `humantime` counts them.
    const UNITS: [u128; 7] = [31_557_600_000, 2_630_016_000, 86_400_000, 3_600_000, 60_000, 1000, 1];
    let length = duration.as_millis();
    let first = UNITS.iter().position(|unit| length >= *unit).unwrap_or(UNITS.len() - 1);
    let (large, small) = (UNITS[first], UNITS.get(first + 1).copied().unwrap_or(1));
    let whole = length / large * large;
    let rest = ((length - whole + small / 2) / small * small).min(large);
    let told =
        humantime::format_duration(Duration::from_millis(u64::try_from(whole + rest).unwrap_or(u64::MAX)));
    // As it is written in the configuration.
    told.to_string().replace("days", "d").replace("day", "d")
}

/// How sentences name the file that configures this process, once it is known.
static CONFIGURATION_FILE: OnceLock<String> = OnceLock::new();

/// The name of the file that configures this process, as it was given; `rekey.toml` if it was not.
pub fn file_name() -> &'static str {
    CONFIGURATION_FILE.get().map_or("rekey.toml", String::as_str)
}

/// From now on, sentences name this file. The first call counts.
pub fn name_file(name: String) {
    let _ = CONFIGURATION_FILE.set(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_two_units() {
        let day = 86_400;
        let said = [0, 59, 9000, 9001, 90_061, 7199, 2 * day + 86_399, 30 * day, 3652 * day + 75_600]
            .map(|seconds| rounded(Duration::from_secs(seconds)).to_string());
        insta::assert_snapshot!(said.join(", "), @"0s, 59s, 2h 30m, 2h 30m, 1d 1h, 2h, 3d, 30d, 10years");
        let said = [1204, 61_204, 999].map(|millis| rounded(Duration::from_millis(millis)).to_string());
        insta::assert_snapshot!(said.join(", "), @"1s 204ms, 1m 1s, 999ms");
    }
}
