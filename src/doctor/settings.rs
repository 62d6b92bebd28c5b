//! What is set: the app settings that the platform and the Functions host go by, how often the timer runs, and whether the
//! configured durations fit Azure's.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::collect::Facts;
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::consumers::Place;
use crate::azure::consumers::app_service::UpdateStrategy;
use crate::azure::http::is_loopback;
use crate::config::{Config, Environment, Fault, Metrics, ServiceConfig};
use crate::report::cause;
use crate::report::text::rounded;
use crate::schedule::{GOOD, SETTING, longest_gap};
use rekey_core::model::AppId;
use rekey_core::policy::Policy;
use rekey_core::time::delta;

const RUNTIME: &str = "FUNCTIONS_WORKER_RUNTIME";
const STORAGE: &str = "AzureWebJobsStorage";
const MANAGER: &str = "REKEY_RESOURCE_MANAGER";
const SITE: &str = "WEBSITE_SITE_NAME";
const CLIENT: &str = "AZURE_CLIENT_ID";

/// The app settings that the platform and the Functions host go by (docs: App settings reference for Azure Functions;
/// Environment variables and app settings in Azure App Service). Only for `--as-deployed`.
pub(super) fn environment(config: &Config, environment: &Environment, own: Option<&AppId>) -> Vec<Finding> {
    let always = [
        identity(environment, own),
        client(config),
        site(config),
        runtime(environment, own),
        host_storage(environment),
        manager(config, own),
    ];
    always.into_iter().chain(metrics(config)).collect()
}

/// Whether metrics get to where somebody wants them. Where nobody does, there is nothing to tell.
fn metrics(config: &Config) -> Vec<Finding> {
    let faulty = |fault: &Fault| {
        let what = format!("no metrics are exported: {}", fault.sentence());
        let why = "somebody asks for metrics, and nothing is exported until this setting is right; keys are rotated all \
                   the same";
        Finding::warning(Check::Environment, fault.setting().unwrap_or_default(), what, why)
    };
    match &config.metrics {
        Metrics::Off => vec![],
        Metrics::To(receiver) => {
            let what = format!("metrics are to be exported to {}, which was not tried", receiver.origin());
            vec![Finding::ok(Check::Environment, receiver.named_by, what)]
        }
        Metrics::Wrong(faults) => faults.iter().map(faulty).collect(),
    }
}

fn is_set(environment: &Environment, name: &str) -> bool {
    environment.get(name).is_some_and(|value| !value.trim().is_empty())
}

fn identity(environment: &Environment, own: Option<&AppId>) -> Finding {
    let (name, why) = (
        "IDENTITY_ENDPOINT",
        "the platform sets it, and IDENTITY_HEADER, in an app that has a managed identity; without one there is no identity to ask Azure with",
    );
    if is_set(environment, name) {
        return Finding::ok(Check::Environment, name, "the app has a managed identity");
    }
    let finding =
        Finding::error(Check::Environment, name, "it is not set: the app has no managed identity", why);
    finding.fixed_by(own.map(fixes::assign_identity))
}

fn client(config: &Config) -> Finding {
    let found = config.azure.client_id.as_ref().map(|id| format!("the user-assigned identity {id} is used"));
    let why = "an app that has only a user-assigned identity needs its client id here";
    let unset = || {
        Finding::note(Check::Environment, CLIENT, "it is not set: the system-assigned identity is used", why)
    };
    found.map_or_else(unset, |found| Finding::ok(Check::Environment, CLIENT, found))
}

fn site(config: &Config) -> Finding {
    let why = "the platform sets it; without it, this is not the environment of a function app, and an app that rotates \
               its own connection string does not know that it should be written last";
    match &config.own_site {
        Some(site) => Finding::ok(Check::Environment, SITE, format!("this is the app {site}")),
        None => Finding::warning(Check::Environment, SITE, "it is not set", why),
    }
}

fn runtime(environment: &Environment, own: Option<&AppId>) -> Finding {
    let found = environment.get(RUNTIME).unwrap_or_default();
    if found.eq_ignore_ascii_case("custom") {
        return Finding::ok(Check::Environment, RUNTIME, "it is custom");
    }
    let what = if found.is_empty() { "it is not set" } else { "it names another runtime" };
    let why = "the Functions host starts a custom handler only under FUNCTIONS_WORKER_RUNTIME = custom";
    let finding = Finding::error(Check::Environment, RUNTIME, what, why);
    finding.fixed_by(own.map(|own| fixes::own_setting(own, RUNTIME, "custom")))
}

/// The host keeps its own locks, and the timer its times, in this storage.
fn host_storage(environment: &Environment) -> Finding {
    let by_identity = ["accountName", "blobServiceUri"].map(|part| format!("{STORAGE}__{part}"));
    let by_identity = by_identity.iter().any(|name| is_set(environment, name));
    let text = environment.get(STORAGE).unwrap_or_default().trim().to_lowercase();
    let error = |what: &str| {
        let why = "the Functions host needs a storage account of its own, by a connection string or, with an identity, \
                   by AzureWebJobsStorage__blobServiceUri; without one no timer runs";
        Finding::error(Check::Environment, STORAGE, what, why)
    };
    if text.contains("usedevelopmentstorage=true") {
        return error("it names the storage emulator");
    }
    if !text.is_empty() {
        return Finding::ok(Check::Environment, STORAGE, "it is a connection string");
    }
    if by_identity {
        return Finding::ok(Check::Environment, STORAGE, "it is reached by identity");
    }
    error("it is not set")
}

fn manager(config: &Config, own: Option<&AppId>) -> Finding {
    let manager = &config.azure.resource_manager;
    let host = manager.host_str().unwrap_or_default();
    if !is_loopback(manager) {
        return Finding::ok(Check::Environment, MANAGER, format!("Azure Resource Manager is at {host}"));
    }
    let what = format!("it leads to {host}, the simulator of a developer's machine");
    let why = "in Azure nothing listens there, so no key is ever rotated";
    let finding = Finding::error(Check::Environment, MANAGER, what, why);
    finding.fixed_by(own.map(|own| fixes::no_own_setting(own, MANAGER)))
}

/// A forced regeneration that no event announces cuts clients off until the next run.
const LONG: TimeDelta = TimeDelta::hours(1);

/// Whether the timer runs, and often enough.
pub(super) fn schedule(
    config: &Config,
    expression: Option<&str>,
    as_deployed: bool,
    own: Option<&AppId>,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let better = || own.map(|own| fixes::own_setting(own, SETTING, GOOD));
    let Some(expression) = expression else {
        let why = format!("the timer of RotateKeys takes its schedule from this app setting, like {GOOD}");
        let finding = if as_deployed {
            Finding::error(Check::Schedule, SETTING, "it is not set, so the timer never runs", why)
        } else {
            Finding::note(
                Check::Schedule,
                SETTING,
                "it is not set here, so the schedule was not checked",
                why,
            )
        };
        return Some(finding.fixed_by(better()));
    };
    let gap = match longest_gap(expression, now) {
        Ok(gap) => gap,
        Err(what) => {
            let why = format!(
                "the Functions host does not start a timer whose schedule it cannot read; write {GOOD}"
            );
            return Some(Finding::error(Check::Schedule, SETTING, what, why).fixed_by(better()));
        }
    };
    let text = rounded(gap.to_std().unwrap_or_default());
    let what = format!("the longest time between two runs is {text}");
    let shortest = config.instances.iter().min_by_key(|instance| instance.policy.rotate_every)?;
    let every = shortest.policy.rotate_every;
    if gap > delta(every) {
        let every = rounded(every);
        let why = format!(
            "{} is to be rotated every {every}, and a rotation takes several runs",
            shortest.id.name()
        );
        return Some(Finding::error(Check::Schedule, SETTING, what, why).fixed_by(better()));
    }
    if gap > LONG {
        let why = "a forced regeneration that no event announces is fixed only by the next run; until then the \
                   clients of its consumers are cut off";
        return Some(Finding::warning(Check::Schedule, SETTING, what, why).fixed_by(better()));
    }
    Some(Finding::ok(Check::Schedule, SETTING, what))
}

/// Client tokens live an hour by default (docs: Azure SignalR Service troubleshooting guide), and an app may hand out the
/// last with the old key until it works with the new one.
const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// The common rule for keys and other secrets (Azure Policy built-ins on the age of secrets take 90 days as theirs).
const LONGEST_AGE: Duration = Duration::from_secs(90 * 86_400);

/// Who writes such an age does not want keys to be rotated by their age at all, as in a freeze.
const PAUSE: Duration = Duration::from_secs(365 * 86_400);

/// A setting of a service's policy that is to be another.
struct Better<'a> {
    environment: &'a Environment,
    own: Option<&'a AppId>,
}

/// The grace and the age of keys, of each service.
pub(super) fn durations(config: &Config, environment: &Environment, own: Option<&AppId>) -> Vec<Finding> {
    let better = Better { environment, own };
    let of_one = |instance| {
        let always = [grace(instance, &better), age(instance, &better)].into_iter();
        always.chain(full_checks(instance, &better)).chain(gate(config, instance))
    };
    config.instances.iter().flat_map(of_one).collect()
}

/// The apps whose services are drained, and whether the grace of their services is long enough for that.
pub(super) fn durations_of_apps(
    facts: &Facts<'_>,
    environment: &Environment,
    own: Option<&AppId>,
) -> Vec<Finding> {
    let better = Better { environment, own };
    let instances = facts.instances.iter().map(|facts| facts.config);
    let pairs = instances.flat_map(|instance| instance.apps.iter().map(move |app| (instance, &app.id)));
    let found = pairs.filter_map(|(instance, app)| {
        let told = match facts.apps.get(app)?.strategy.as_ref()? {
            Ok(UpdateStrategy::Recreate) => return None,
            Ok(UpdateStrategy::RollingUpdate) => drained(instance, app, &better),
            // A grace that is long enough for either needs no answer, and that an app is gone is told.
            Err(_) if instance.policy.grace >= when_drained() => return None,
            Err(error) => {
                let what = format!(
                    "it is not known whether its instances are drained for up to an hour: {}",
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

/// The shortest grace for an app whose services are drained.
fn when_drained() -> Duration {
    TOKEN_LIFE + UpdateStrategy::RollingUpdate.settles_within()
}

fn drained(instance: &ServiceConfig, app: &AppId, better: &Better<'_>) -> Finding {
    let needed = when_drained();
    let [grace, least] = [instance.policy.grace, needed].map(rounded);
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
    rounded(Policy::default().grace).to_string().replace(' ', "")
}

fn grace(instance: &ServiceConfig, better: &Better<'_>) -> Finding {
    let what = format!("the grace is {}", rounded(instance.policy.grace));
    let places = Place::configured(instance);
    let settled = places.iter().map(|place| place.settling().at_most()).max();
    if instance.policy.grace >= TOKEN_LIFE + settled.unwrap_or_default() {
        return Finding::ok(Check::Durations, &instance.id, what);
    }
    let why = "client tokens live an hour by default and an app needs minutes to restart: clients whose token was signed \
               with the key that is regenerated are cut off. A shorter grace is right only where tokens are made to live \
               shorter";
    let finding = Finding::warning(Check::Durations, &instance.id, what, why);
    finding.fixed_by(better.fix(instance, "REKEY_GRACE", "grace", &good_grace()))
}

fn age(instance: &ServiceConfig, better: &Better<'_>) -> Finding {
    let what = format!("keys are rotated every {}", rounded(instance.policy.rotate_every));
    if instance.policy.rotate_every <= LONGEST_AGE {
        return Finding::ok(Check::Durations, &instance.id, what);
    }
    if instance.policy.rotate_every >= PAUSE {
        let why = "so rotations by age are paused; apps are still repaired, and a requested rotation is still done. When the pause is over, take this out again";
        return Finding::note(Check::Durations, &instance.id, what, why);
    }
    let why = "90 days is the usual limit for the age of a key; the longer one is in use, the more places it has been in";
    let finding = Finding::warning(Check::Durations, &instance.id, what, why);
    finding.fixed_by(better.fix(instance, "REKEY_ROTATE_EVERY", "rotate_every", "30d"))
}

fn full_checks(instance: &ServiceConfig, better: &Better<'_>) -> Option<Finding> {
    let every = instance.policy.full_check_every;
    let what = || format!("all apps are read every {} at least (full_check_every)", rounded(every));
    let why = "where there are too many apps to read them at each run, an app that somebody gives an old connection string, and of which no event tells, stays cut off for up to that long";
    let finding = || Finding::warning(Check::Durations, &instance.id, what(), why);
    let fix = || better.fix(instance, "REKEY_FULL_CHECK_EVERY", "full_check_every", "1h");
    (delta(every) > LONG).then(|| finding().fixed_by(fix()))
}

/// Below it an app in Azure has hardly ended the process that has the old key.
const LEAST_GATE: Duration = Duration::from_secs(30);

/// How soon a wave is checked. The apps of the embedded Azure, on loopback, restart in a second or two.
fn gate(config: &Config, instance: &ServiceConfig) -> Option<Finding> {
    let after = instance.policy.gate_after;
    if after >= LEAST_GATE || is_loopback(&config.azure.resource_manager) {
        return None;
    }
    let what =
        format!("a wave is checked {} after its apps were given another key (gate_after)", rounded(after));
    let why = "an app in Azure takes about a minute to restart, and until then its old process answers: a wave that does not \
               work with its new key may pass its check, and the next one is moved";
    let finding = Finding::warning(Check::Durations, &instance.id, what, why);
    Some(finding.fixed_by(fixes::in_file(&instance.id, "set gate_after = \"1m\" in")))
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
