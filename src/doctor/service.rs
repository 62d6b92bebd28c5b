//! Whether a service is there, at work, and takes keys: those that consumers hold too, and whether it can be reached to
//! say so.

use futures::FutureExt;

use super::collect::{Facts, InstanceFacts};
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::arm::{ArmError, ArmErrorKind};
use crate::azure::data_plane::Probe;
use crate::azure::discovery::at_once;
use crate::azure::services::{KeyService, ServiceResource};
use crate::config::ServiceConfig;
use crate::engine::Engine;
use crate::report::cause;
use crate::report::text::file_name;
use rekey_core::model::{KeyType, ServiceId, likest};
use rekey_core::plan::Holding;
use rekey_core::policy::Verify;

/// All of it. That something may not be read is the matter of `permission`. `holders` are the apps that hold a key.
pub(super) fn check(facts: &InstanceFacts<'_>, holders: &[String]) -> Vec<Finding> {
    let id = &facts.config.id;
    let mut findings: Vec<Finding> = match &facts.resource {
        Ok(instance) => vec![state(id, instance)],
        Err(error) => failed(id, error, &facts.others).into_iter().collect(),
    };
    // What fails for both is told once.
    let told_already = facts.resource.is_err() && !findings.is_empty();
    if facts.keys_are_off() {
        findings.push(keys_off(id, holders));
    } else {
        let error = facts.listed.as_ref().err().filter(|_| !told_already);
        findings.extend(error.and_then(|error| failed(id, error, &facts.others)));
        let on = || Finding::ok(Check::LocalAuth, id, "it accepts access keys");
        findings.extend(facts.resource.is_ok().then(on));
    }
    findings.extend(facts.resource.as_ref().ok().map(|instance| restarts(id, instance.mode.as_deref())));
    findings.extend(replicas(id, facts));
    findings
}

/// What a repoint, which restarts apps, does to the clients of the service (docs: Service mode in Azure SignalR Service).
fn restarts(id: &ServiceId, mode: Option<&str>) -> Finding {
    let (what, why) = match mode {
        Some("Default") => (
            "its service mode is Default: a restart of an app closes the client connections that go through it",
            "they connect anew, through another instance of the app or once this one is back. Each rotation restarts every app; \
             with windows you say when it may",
        ),
        Some("Serverless") => (
            "its service mode is Serverless: a restart of an app closes no client connection",
            "clients are connected to the service alone. What the app does for them, negotiating and sending, rests until it is \
             back",
        ),
        Some("Classic") => (
            "its service mode is Classic: a restart of an app closes the client connections that go through it, if it has any",
            "Classic mode is Default for clients that came while an app was connected as a server, and Serverless for the others",
        ),
        Some(other) => {
            let what = format!(
                "its service mode is {other}, of which it is not known what a restart of an app does to clients"
            );
            return Finding::note(Check::Instance, id, what, RESTARTS);
        }
        None => {
            let what = "it does not tell its service mode, so it is not known what a restart of an app does to its clients";
            return Finding::note(Check::Instance, id, what, RESTARTS);
        }
    };
    Finding::note(Check::Instance, id, what, why)
}

const RESTARTS: &str = "each rotation restarts every app, which may close client connections";

fn failed(id: &ServiceId, error: &ArmError, others: &[ServiceId]) -> Option<Finding> {
    match error.kind() {
        ArmErrorKind::Forbidden => None,
        ArmErrorKind::Gone => {
            let why = format!(
                "each run fails because of it. If its id is mistyped, or it was moved, correct it. Taken out of {}, the service that is meant is not looked after",
                file_name()
            );
            let names = others.iter().map(|other| (other.name().to_owned(), other));
            let change = likest(id.name(), names).map_or_else(
                || "correct the id of".to_owned(),
                |meant| format!("write {meant}, if that is meant, as the id of"),
            );
            let finding = Finding::error(Check::Instance, id, "it does not exist", why);
            Some(finding.fixed_by(fixes::in_file(id, &change)))
        }
        _ => Some(Finding::unread(Check::Instance, id, error, "what cannot be read is not rotated", id)),
    }
}

fn state(id: &ServiceId, instance: &ServiceResource) -> Finding {
    let state = &instance.provisioning_state;
    if instance.stopped {
        let why = "its data plane is stopped: no client can connect, and no new key can be verified";
        let finding = Finding::error(Check::Instance, id, "it is stopped", why);
        finding.fixed_by(fixes::property(id, "resourceStopped", "false"))
    } else if state.eq_ignore_ascii_case("Succeeded") {
        Finding::ok(Check::Instance, id, format!("it is running in {}", instance.location))
    } else {
        let why = "while another operation is at work on it, Azure refuses to regenerate its keys; a rotation waits";
        Finding::warning(Check::Instance, id, format!("its provisioning state is {state}"), why)
    }
}

/// Access keys are switched off. What a person does next must not make it worse: to switch them off is never advised, and
/// what comes of switching them on is said.
fn keys_off(id: &ServiceId, holders: &[String]) -> Finding {
    let what = "access keys are disabled (disableLocalAuth), so it has none: both were deleted, and every token that they signed has ended";
    if holders.is_empty() {
        let why = format!(
            "no app that was read holds one, so there is nothing to rotate, and each run fails until the service is taken out of {}",
            file_name()
        );
        let finding = Finding::warning(Check::LocalAuth, id, what, why);
        return finding.fixed_by(fixes::in_file(id, "take out"));
    }
    let what = format!("{what}. Cut off now, because they hold one: {}", holders.join(", "));
    let why = "to bring them back, enable keys: the service then has two new ones, and the run after that gives them to the apps, which restart. Until that run every app stays cut off. If an Azure Policy disabled them (the \
               activity log of the service tells who), exempt the service from it first, or it does so again. The other \
               way is to let the apps connect by identity";
    Finding::error(Check::LocalAuth, id, what, why).fixed_by(fixes::keys_on(id))
}

/// A key is proved from here, which is in one region.
fn replicas(id: &ServiceId, facts: &InstanceFacts<'_>) -> Option<Finding> {
    match &facts.replicas {
        Ok(regions) if regions.is_empty() => None,
        Ok(regions) => {
            let what = format!("it has replicas in {}", regions.join(", "));
            let why = "all have the same keys, and a call goes to the nearest of them: a new key is verified from here in one region only, and when the others accept it is not documented. There is nothing to set; if clients of only one region are refused after a rotation, this is the place to check";
            Some(Finding::note(Check::DataPlane, id, what, why))
        }
        // Whether it is there at all is told already.
        Err(_) if facts.resource.is_err() => None,
        Err(error) => {
            let what = format!("it is not known whether it has replicas: {}", cause::told(error));
            Some(Finding::note(
                Check::DataPlane,
                id,
                what,
                "a new key is verified from here, in one region only",
            ))
        }
    }
}

/// Asks for each key that a consumer holds; for the primary one where none holds any.
pub(super) async fn probes(rekey: &Engine, facts: &Facts<'_>) -> Vec<Finding> {
    let held = facts
        .instances
        .iter()
        .flat_map(|instance| held(instance, facts).into_iter().map(move |key| (instance, key)));
    let asked = held.filter_map(|(instance, key_type)| {
        let (host, listed) = (instance.host()?, instance.listed.as_ref().ok()?);
        let kind = instance.config.id.service_type();
        let probe = async move { kind.probe(&rekey.data_plane, host, &listed.keys[key_type]).await };
        Some(probe.map(move |probe| probed(instance, key_type, probe)).boxed())
    });
    at_once(asked).await
}

fn held(instance: &InstanceFacts<'_>, facts: &Facts<'_>) -> Vec<KeyType> {
    let holdings = facts.holdings(instance);
    let is_held = |key_type: &KeyType| holdings.contains(&Holding::Valid(*key_type));
    let held: Vec<KeyType> = KeyType::ALL.into_iter().filter(is_held).collect();
    if held.is_empty() { vec![KeyType::Primary] } else { held }
}

/// Whether the service can be reached at all, where keys are proved by that. What it says of a key is the matter of runs.
pub(super) fn reach(instance: &ServiceConfig, probe: Probe) -> Option<Finding> {
    let id = &instance.id;
    match probe {
        _ if instance.policy.verify != Verify::DataPlane => None,
        Probe::Accepted | Probe::Refused { .. } => {
            Some(Finding::ok(Check::DataPlane, id, "it can be reached"))
        }
        Probe::Unreachable { detail } => Some(out_of_reach(id, detail)),
    }
}

fn out_of_reach(id: &ServiceId, detail: String) -> Finding {
    let why = "no new key can be verified from here, so no consumer is given one. Let this network reach the service, or set verify = \"control-plane\"";
    Finding::error(Check::DataPlane, id, detail, why).fixed_by(fixes::network(id))
}

fn probed(instance: &InstanceFacts<'_>, key_type: KeyType, probe: Probe) -> Finding {
    let id = &instance.config.id;
    let by_probe = instance.config.policy.verify == Verify::DataPlane;
    match probe {
        Probe::Accepted => {
            Finding::ok(Check::DataPlane, id, format!("the service accepts the {key_type} key"))
        }
        Probe::Refused { detail } => {
            let what = format!("the service refuses the {key_type} key: {detail}");
            if instance.keys_are_off() {
                let why = "access keys are disabled (disableLocalAuth): see what is said of the service";
                return Finding::error(Check::DataPlane, id, what, why);
            }
            let why = "a key that was just regenerated may be refused for a minute or two: check again then. If it persists, consumers hold an invalid key: run rotate";
            Finding::error(Check::DataPlane, id, what, why).fixed_by(fixes::rotate(id))
        }
        Probe::Unreachable { detail } if by_probe => out_of_reach(id, detail),
        Probe::Unreachable { detail } => {
            let why = "with verify = \"control-plane\" that is in order: the listed key counts";
            Finding::note(Check::DataPlane, id, detail, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn what_is_stopped_or_busy_is_told() {
        let id = ServiceId::new("s", "g", "chat");
        let instance = |stopped, state: &str| ServiceResource {
            id: id.clone(),
            location: "eastus".into(),
            host_name: None,
            provisioning_state: state.into(),
            disable_local_auth: false,
            stopped,
            mode: None,
        };
        for (instance, severity) in [
            (instance(false, "Succeeded"), Severity::Ok),
            (instance(false, "Updating"), Severity::Warning),
            (instance(true, "Succeeded"), Severity::Error),
        ] {
            assert_eq!(state(&id, &instance).severity, severity);
        }
    }
}
