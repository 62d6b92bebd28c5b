//! The settings of the policy. Each is a row of one table: its name in the file, which is that of the field of [`Policy`], how
//! it is written, and the app setting that lies over it, if there is one. What it means and its default are the field's
//! (`rekey_core::policy`), and the README's table is compared with both.

use std::time::Duration;

use super::environment::Reader;
use super::fault::{Origin, Report, Sourced};
use super::values::{AGE, Fields, Form, Lasting, OneOf, OrZero, spoken};
use rekey_core::policy::{FirstRotation, Policy, Verify};

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

            fn policy(self) -> Policy {
                Policy { $($key: self.$key.value,)+ }
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
}

/// What `verify` may be.
const VERIFY: [(&str, Verify); 2] =
    [("data-plane", Verify::DataPlane), ("control-plane", Verify::ControlPlane)];

/// What `first_rotation` may be.
const FIRST_ROTATION: [(&str, FirstRotation); 2] =
    [("now", FirstRotation::Now), ("when-due", FirstRotation::WhenDue)];

impl PolicyLayer {
    /// The policy of a service, by the layers from the one that wins to the one that yields; what does not fit together is
    /// reported. No grace may be shorter than `least_grace`.
    pub(super) fn resolve(layers: [&Self; 3], least_grace: Duration, report: &mut Report<'_>) -> Policy {
        let resolved = Resolved::of(layers);
        check_grace(&resolved.rotate_every, &resolved.grace, report);
        for grace in [&resolved.grace, &resolved.exposed_grace] {
            check_least(grace, least_grace, report);
        }
        check_full_checks(&resolved.full_check_every, report);
        resolved.policy()
    }
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

fn pick<T: Copy>(layers: [Option<&Sourced<T>>; 3], default: T) -> Sourced<T> {
    let set = layers.into_iter().flatten().next();
    set.map_or(Sourced { value: default, origin: Origin::Default }, |set| Sourced {
        value: set.value,
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
