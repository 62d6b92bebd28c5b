//! Whether the configured durations fit Azure's.

use std::time::Duration;

use super::ask::Facts;
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::arm::UpdateStrategy;
use crate::config::{Config, Environment, ServiceConfig};
use crate::report::cause;
use rekey_core::model::AppId;
use rekey_core::policy::Policy;

/// Client tokens live an hour by default (docs: Azure SignalR Service troubleshooting guide), and an app may hand out the
/// last with the old key until it has restarted, for which five minutes are plenty.
const SHORTEST_GRACE: Duration = Duration::from_secs(65 * 60);

/// How much longer an app hands out tokens with the old key whose instances are drained (docs: Site update strategies in
/// Flex Consumption: what runs may end, within an hour, and nothing tells that it has).
const DRAIN: Duration = Duration::from_secs(60 * 60);

/// The common rule for keys and other secrets (Azure Policy built-ins on the age of secrets take 90 days as theirs).
const LONGEST_AGE: Duration = Duration::from_secs(90 * 86_400);

/// Who writes such an age does not want keys to be rotated by their age at all, as in a freeze.
const PAUSE: Duration = Duration::from_secs(365 * 86_400);

/// A setting of an instance's policy that is to be another.
struct Better<'a> {
    environment: &'a Environment,
    own: Option<&'a AppId>,
}

/// The grace and the age of keys, of each instance.
pub(super) fn check(config: &Config, environment: &Environment, own: Option<&AppId>) -> Vec<Finding> {
    let better = Better { environment, own };
    config.instances.iter().flat_map(|instance| [grace(instance, &better), age(instance, &better)]).collect()
}

/// The apps whose instances are drained, and whether the grace of their instances is long enough for that.
pub(super) fn of_apps(facts: &Facts<'_>, environment: &Environment, own: Option<&AppId>) -> Vec<Finding> {
    let better = Better { environment, own };
    let instances = facts.instances.iter().map(|facts| facts.config);
    let pairs = instances.flat_map(|instance| instance.apps.iter().map(move |app| (instance, &app.id)));
    let found = pairs.filter_map(|(instance, app)| {
        let told = match facts.apps.get(app)?.strategy.as_ref()? {
            Ok(UpdateStrategy::Recreate) => return None,
            Ok(UpdateStrategy::RollingUpdate) => drained(instance, app, &better),
            // A grace that is long enough for either needs no answer, and that an app is gone is told.
            Err(_) if instance.policy.grace >= SHORTEST_GRACE + DRAIN => return None,
            Err(error) => {
                let what = format!(
                    "whether its instances are drained for up to an hour is not known: {}",
                    cause::told(error)
                );
                Finding::note(
                    Check::Durations,
                    app,
                    what,
                    "then the grace has to be an hour longer than elsewhere",
                )
            }
        };
        Some(told.of(&instance.id))
    });
    found.collect()
}

fn drained(instance: &ServiceConfig, app: &AppId, better: &Better<'_>) -> Finding {
    let needed = SHORTEST_GRACE + DRAIN;
    let [grace, least] = [instance.policy.grace, needed].map(crate::report::text::rounded);
    let name = instance.id.name();
    let what = format!(
        "its instances are drained (siteUpdateStrategy RollingUpdate), and the grace of {name} is {grace}"
    );
    if instance.policy.grace >= needed {
        return Finding::ok(Check::Durations, app, what);
    }
    let why = format!(
        "when its settings change, old instances work on for up to an hour, and hand out client tokens with the old key, \
         which live an hour more: they are cut off when that key is regenerated, unless the grace is at least {least}"
    );
    Finding::warning(Check::Durations, app, what, why).fixed_by(better.fix(
        instance,
        "REKEY_GRACE",
        "grace",
        &good_grace(),
    ))
}

/// What is advised: the default.
fn good_grace() -> String {
    crate::report::text::rounded(Policy::default().grace).to_string().replace(' ', "")
}

fn grace(instance: &ServiceConfig, better: &Better<'_>) -> Finding {
    let what = format!("the grace is {}", crate::report::text::rounded(instance.policy.grace));
    if instance.policy.grace >= SHORTEST_GRACE {
        return Finding::ok(Check::Durations, &instance.id, what);
    }
    let why = "client tokens live an hour by default and an app needs minutes to restart: clients whose token was signed \
               with the key that is regenerated are cut off. A shorter grace is right only where tokens are made to live \
               shorter";
    let finding = Finding::warning(Check::Durations, &instance.id, what, why);
    finding.fixed_by(better.fix(instance, "REKEY_GRACE", "grace", &good_grace()))
}

fn age(instance: &ServiceConfig, better: &Better<'_>) -> Finding {
    let what =
        format!("keys are rotated every {}", crate::report::text::rounded(instance.policy.rotate_every));
    if instance.policy.rotate_every <= LONGEST_AGE {
        return Finding::ok(Check::Durations, &instance.id, what);
    }
    if instance.policy.rotate_every >= PAUSE {
        let why = "so rotations by age are paused; apps are repaired all the same, and a rotation that is asked for is done. \
                   When the pause is over, take the age out again";
        return Finding::note(Check::Durations, &instance.id, what, why);
    }
    let why = "90 days is the usual limit for the age of a key; the longer one is in use, the more places it has been to";
    let finding = Finding::warning(Check::Durations, &instance.id, what, why);
    finding.fixed_by(better.fix(instance, "REKEY_ROTATE_EVERY", "rotate_every", "30d"))
}

impl Better<'_> {
    /// The change where the value comes from: the app setting, which wins, or the file.
    fn fix(&self, instance: &ServiceConfig, setting: &str, key: &str, value: &str) -> String {
        let in_file = || fixes::in_file(&instance.id, &format!("set {key} = \"{value}\" in"));
        match (self.environment.get(setting), self.own) {
            (None, _) => in_file(),
            (Some(_), Some(own)) => fixes::own_setting(own, setting, value),
            (Some(_), None) => format!("take {setting} out of the environment, and {}", in_file()),
        }
    }
}
