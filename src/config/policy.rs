//! The settings of the policy. Each is a row of one table: its name in the file, which is that of the field of [`Policy`], how
//! it is written, and the app setting that lies over it, if there is one. What it means and its default are the field's
//! (`rekey_core::policy`), and the table of docs/configuration.md is compared with both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::environment::Reader;
use super::fault::{Origin, Report, Sourced};
use super::places::what_it_is_not;
use super::values::{
    AGE, Fields, Form, Lasting, OneOf, OrAll, OrZero, Several, YesNo, meant, quoted, spoken,
};
use rekey_core::calendar::{Calendar, CalendarFault, Freeze, Window, zones};
use rekey_core::model::{KeyType, ServiceId};
use rekey_core::plan;
use rekey_core::policy::{ApprovalPolicy, FirstRotation, OnUnhealthy, Policy, Verify};

/// One setting of the policy, as documents tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySetting {
    /// Its name in the file.
    pub key: &'static str,
    /// The app setting that lies over it.
    pub app_setting: Option<&'static str>,
    /// What it is where nobody sets it, as it is written.
    pub default: String,
}

macro_rules! policy_settings {
    ($($key:ident: $value:ty = $form:expr, $app_setting:expr;)+) => {
        /// The settings that one place sets: the file's head, a service, or the app settings.
        #[derive(Clone, Debug, Default)]
        pub(super) struct PolicyLayer {
            $($key: Option<Sourced<$value>>,)+
        }

        /// All settings, each with where it came from.
        struct Resolved {
            $($key: Sourced<$value>,)+
        }

        impl PolicyLayer {
            /// Their names in the file.
            pub(super) const KEYS: [&str; [$(stringify!($key)),+].len()] = [$(stringify!($key)),+];

            /// Their names among the app settings.
            pub(super) fn app_settings() -> impl Iterator<Item = &'static str> {
                [$($app_setting),+].into_iter().flatten()
            }

            /// Those of a table of the file.
            pub(super) fn of_file(fields: &Fields<'_>, report: &mut Report<'_>) -> Self {
                Self { $($key: $form.of_file(fields, stringify!($key), report),)+ }
            }

            /// Those of the app settings.
            pub(super) fn of_settings(reader: &mut Reader<'_, '_>) -> Self {
                Self { $($key: $app_setting.and_then(|name| reader.read(name, &$form)),)+ }
            }
        }

        impl Resolved {
            /// The first layer that sets one wins; the last word is the default's.
            fn of(layers: [&PolicyLayer; 3]) -> Self {
                let default = Policy::default();
                Self { $($key: pick(layers.map(|layer| layer.$key.as_ref()), default.$key),)+ }
            }

            fn policy(self, due_later: Duration) -> Policy {
                Policy {
                    $($key: self.$key.value,)+
                    due_later,
                    // They are of the entries of lists.
                    waves: BTreeMap::new(),
                    watched: BTreeSet::new(),
                }
            }
        }

        pub fn policy_settings() -> Vec<PolicySetting> {
            let default = Policy::default();
            vec![$(PolicySetting {
                key: stringify!($key),
                app_setting: $app_setting,
                default: $form.written(default.$key),
            },)+]
        }
    };
}

policy_settings! {
    rotate_every: Duration = Lasting(AGE), Some("REKEY_ROTATE_EVERY");
    grace: Duration = Lasting("2h"), Some("REKEY_GRACE");
    verify: Verify = OneOf(&VERIFY), Some("REKEY_VERIFY");
    first_rotation: FirstRotation = OneOf(&FIRST_ROTATION), Some("REKEY_FIRST_ROTATION");
    longest_operation: Duration = Lasting("10m"), None;
    exposed_grace: Duration = Lasting("15m"), None;
    min_rotation_interval: Duration = Lasting("1h"), None;
    full_check_every: Duration = OrZero(Lasting("1h")), Some("REKEY_FULL_CHECK_EVERY");
    windows: Vec<Window> = WINDOWS, Some("REKEY_WINDOWS");
    freezes: Vec<Freeze> = FREEZES, Some("REKEY_FREEZES");
    approval: ApprovalPolicy = OneOf(&APPROVAL), Some("REKEY_APPROVAL");
    spread: Duration = OrZero(Lasting("24h")), None;
    pause_between_waves: Duration = OrZero(Lasting("30m")), None;
    restarts_at_once: u32 = OrAll, None;
    gate_after: Duration = OrZero(Lasting("1m")), None;
    settle_within: Duration = Lasting("5m"), None;
    on_unhealthy: OnUnhealthy = OneOf(&ON_UNHEALTHY), None;
    home: Option<KeyType> = OneOf(&HOME), None;
    name_writers: bool = YesNo, None;
    tags: bool = YesNo, None;
}

/// When working apps may be moved.
const WINDOWS: Several<Window> = Several {
    example: "Sat,Sun 02:00-05:00 Europe/Berlin",
    read: |text| text.parse().map_err(|fault| no_window(text, fault)),
    write: ToString::to_string,
};

/// When they may not.
const FREEZES: Several<Freeze> = Several {
    example: "2026-12-20..2027-01-06 Europe/Berlin",
    read: |text| text.parse().map_err(|fault| no_freeze(text, fault)),
    write: ToString::to_string,
};

fn no_window(text: &str, fault: CalendarFault) -> String {
    let what = match fault {
        CalendarFault::Shape => "this is not a window",
        CalendarFault::Days => "its days are not understood",
        CalendarFault::Times => "its times are not understood",
        CalendarFault::Zone => "its time zone is not known",
        CalendarFault::Ends => "it ends when it begins",
    };
    misread(text, fault, what, &format!("write days, a time and a time zone, as in \"{}\"", WINDOWS.example))
}

fn no_freeze(text: &str, fault: CalendarFault) -> String {
    let what = match fault {
        CalendarFault::Shape | CalendarFault::Times => "this is not a freeze",
        CalendarFault::Days => "its days are not understood",
        CalendarFault::Zone => "its time zone is not known",
        CalendarFault::Ends => "it ends before it begins",
    };
    let good = format!("write the first and the last day and a time zone, as in \"{}\"", FREEZES.example);
    misread(text, fault, what, &good)
}

/// What is wrong with one of several, which one it is, and how it is written. What is a secret is not repeated.
fn misread(text: &str, fault: CalendarFault, what: &str, good: &str) -> String {
    let secret = what_it_is_not(text, "");
    if !secret.is_empty() {
        return secret.to_owned();
    }
    let zone = text.split_whitespace().last().filter(|_| fault == CalendarFault::Zone);
    let meant = zone.map(|zone| meant(zone, &zones())).unwrap_or_default();
    let are_several = fault == CalendarFault::Shape && text.split_whitespace().count() > 3;
    let several = ". Several are items of a list in the file, with ; between them in an app setting";
    format!("{}: {what}{meant}; {good}{}", quoted(text), if are_several { several } else { "" })
}

/// What `verify` may be.
const VERIFY: [(&str, Verify); 2] =
    [("data-plane", Verify::DataPlane), ("control-plane", Verify::ControlPlane)];

/// What `on_unhealthy` may be.
const ON_UNHEALTHY: [(&str, OnUnhealthy); 2] =
    [("roll-back", OnUnhealthy::RollBack), ("stop", OnUnhealthy::Stop)];

/// What `approval` may be.
const APPROVAL: [(&str, ApprovalPolicy); 2] =
    [("none", ApprovalPolicy::None), ("required", ApprovalPolicy::Required)];

/// What `home` may be.
const HOME: [(&str, Option<KeyType>); 3] =
    [("none", None), ("Primary", Some(KeyType::Primary)), ("Secondary", Some(KeyType::Secondary))];

/// What `first_rotation` may be.
const FIRST_ROTATION: [(&str, FirstRotation); 2] =
    [("now", FirstRotation::Now), ("when-due", FirstRotation::WhenDue)];

impl PolicyLayer {
    /// The policy of a service, by the layers from the one that wins to the one that yields; what does not fit together is
    /// reported. No grace may be shorter than `least_grace`, no window than moving so many `consumers` takes, and no time between
    /// two rotations than the pauses between so many `waves`.
    pub(super) fn resolve(
        layers: [&Self; 3],
        id: Option<&ServiceId>,
        least_grace: Duration,
        (consumers, waves): (usize, usize),
        report: &mut Report<'_>,
    ) -> Policy {
        let resolved = Resolved::of(layers);
        check_grace(&resolved.rotate_every, &resolved.grace, report);
        for grace in [&resolved.grace, &resolved.exposed_grace] {
            check_least(grace, least_grace, report);
        }
        check_full_checks(&resolved.full_check_every, report);
        check_windows(&resolved, consumers, report);
        check_spread(&resolved, report);
        check_pauses(&resolved, waves, report);
        let share = id.map(|id| share(&id.to_string(), resolved.spread.value)).unwrap_or_default();
        resolved.policy(share)
    }
}

/// The least that a window must be open: for a regeneration, which takes up to 75 s, for proving the key, writing a hundred
/// apps, and reading them back; and a run of the timer, every five minutes, has to fall into it.
const LEAST_WINDOW: Duration = Duration::from_secs(15 * 60);
const TIMER: Duration = Duration::from_secs(5 * 60);

/// A window that can never do its work is refused as far as the text shows it.
fn check_windows(resolved: &Resolved, consumers: usize, report: &mut Report<'_>) {
    let windows = &resolved.windows;
    let calendar = Calendar { windows: &windows.value, freezes: &[] };
    let Some((open, closed)) = calendar.longest() else { return };
    let [open, closed] = [open, closed].map(|long| long.to_std().unwrap_or_default());
    let takes = TIMER + plan::takes(consumers).to_std().unwrap_or_default();
    let minutes = Duration::from_secs(takes.as_secs().div_ceil(60) * 60);
    let least = LEAST_WINDOW.max(minutes);
    if open < least {
        let [open, least] = [open, least].map(spoken);
        report.origin(
            &windows.origin,
            format!(
                "no window is open for longer than {open}: regenerating a key and moving the apps to it takes minutes, and \
                 the timer has to run meanwhile; write a window of {least} or more"
            ),
        );
    }
    let every = resolved.rotate_every.value;
    if every < closed {
        let [every, closed] = [every, closed].map(spoken);
        report.origin(
            &windows.origin,
            format!(
                "no window is open for {closed}, so that no rotation could keep to rotate_every ({every}); write windows \
                 on more days, or a longer rotate_every"
            ),
        );
    }
}

/// A rotation whose waves take longer than it takes for the next to be due would never end.
fn check_pauses(resolved: &Resolved, waves: usize, report: &mut Report<'_>) {
    let (pause, every) = (&resolved.pause_between_waves, resolved.rotate_every.value);
    let pauses = u32::try_from(waves.saturating_sub(1)).unwrap_or(u32::MAX);
    let takes = pause.value.saturating_mul(pauses).saturating_add(resolved.grace.value);
    if pauses > 0 && !pause.value.is_zero() && takes >= every {
        let [long, every, takes] = [pause.value, every, takes].map(spoken);
        let sentence = format!(
            "{long} between {waves} waves, and the grace, are {takes}: not shorter than rotate_every ({every}), so no rotation \
             would ever end; write a shorter pause, or fewer waves"
        );
        report.origin(&pause.origin, sentence);
    }
}

/// Services that are spread over longer than they are rotated would never be due.
fn check_spread(resolved: &Resolved, report: &mut Report<'_>) {
    let (spread, every) = (&resolved.spread, resolved.rotate_every.value);
    if spread.value >= every {
        let [long, every] = [spread.value, every].map(spoken);
        let origin = &spread.origin;
        report.origin(
            origin,
            format!("{long} is not shorter than rotate_every ({every}); write less than that"),
        );
    }
}

/// How much of a time is that of the service of this id: always the same, and different for others.
fn share(id: &str, of: Duration) -> Duration {
    let digest = Sha256::digest(id.to_ascii_lowercase());
    let drawn = digest.iter().take(8).fold(0_u64, |drawn, byte| drawn << 8 | u64::from(*byte));
    Duration::from_secs(drawn.checked_rem(of.as_secs()).unwrap_or_default())
}

/// The longest that all apps may go unread. Whoever has more of them than ARM lets through in a day has other troubles.
const LONGEST_UNREAD: Duration = Duration::from_secs(86_400);

fn check_full_checks(every: &Sourced<Duration>, report: &mut Report<'_>) {
    if every.value > LONGEST_UNREAD {
        let [long, most, usual] =
            [every.value, LONGEST_UNREAD, Policy::default().full_check_every].map(spoken);
        report.origin(
            &every.origin,
            format!(
                "{long} is too long: an app that somebody gives an old connection string stays cut off until it is read; \
                 write at most {most}, such as {usual}"
            ),
        );
    }
}

fn pick<T: Clone>(layers: [Option<&Sourced<T>>; 3], default: T) -> Sourced<T> {
    let set = layers.into_iter().flatten().next();
    set.map_or(Sourced { value: default, origin: Origin::Default }, |set| Sourced {
        value: set.value.clone(),
        origin: set.origin.clone(),
    })
}

/// A key that dies before its last holder has restarted cuts that one off.
fn check_least(grace: &Sourced<Duration>, least: Duration, report: &mut Report<'_>) {
    if grace.value < least {
        let [short, least] = [grace.value, least].map(spoken);
        report.origin(
            &grace.origin,
            format!(
                "{short} is too short: an app needs about a minute to restart with the new key, and its clients are \
                 refused if the old one stops working before that; write at least {least}"
            ),
        );
    }
}

/// A rotation ends with its grace; were the next one due before that, none would ever end.
fn check_grace(rotate_every: &Sourced<Duration>, grace: &Sourced<Duration>, report: &mut Report<'_>) {
    if grace.value < rotate_every.value {
        return;
    }
    let [every, wait] = [rotate_every.value, grace.value].map(spoken);
    if grace.origin == Origin::Default {
        let sentence = format!(
            "{every} is not longer than the grace of {wait} (the default), so no rotation would ever end; \
            write a longer time, or a grace below {every}"
        );
        report.origin(&rotate_every.origin, sentence);
    } else {
        let sentence = format!(
            "{wait} is not shorter than rotate_every ({every}), so no rotation would ever end; \
            write less than {every}"
        );
        report.origin(&grace.origin, sentence);
    }
}
