//! Whether an instance is there, at work, and takes keys.

use super::ask::InstanceFacts;
use super::finding::{Check, Finding};
use super::mend;
use crate::arm::{ArmError, ArmErrorKind, Instance};
use crate::cause;
use crate::model::InstanceId;
use crate::plan::Holding;

/// All of it. That something may not be read is the matter of `permission`.
pub(super) fn check(facts: &InstanceFacts<'_>, holdings: &[Holding]) -> Vec<Finding> {
    let id = &facts.config.id;
    let of_resource = match &facts.resource {
        Ok(instance) => vec![state(id, instance), local_auth(id, instance, holdings)],
        Err(error) => failed(id, error).into_iter().collect(),
    };
    let of_keys = facts.listed.as_ref().err().and_then(|error| failed(id, error));
    // What fails for both is told once.
    let told_already = facts.resource.is_err() && !of_resource.is_empty();
    of_resource.into_iter().chain(of_keys.filter(|_| !told_already)).collect()
}

fn failed(id: &InstanceId, error: &ArmError) -> Option<Finding> {
    let finding = match error.kind() {
        ArmErrorKind::Forbidden => return None,
        ArmErrorKind::Gone => {
            let why = "each run fails on it. Its id may be mistyped, or it was moved: then name the right one. Taken out \
                       of rekey.toml, nobody looks after the service that is meant";
            let finding = Finding::error(Check::Instance, id, "it does not exist", why);
            finding.mended_by(mend::in_file(id, "correct the id of"))
        }
        _ => {
            let why = "what cannot be read is not rotated";
            Finding::error(Check::Instance, id, cause::told(error), why)
        }
    };
    Some(finding)
}

fn state(id: &InstanceId, instance: &Instance) -> Finding {
    let state = &instance.provisioning_state;
    if instance.stopped {
        let why = "its data plane is switched off: no client can connect, and no new key can be verified";
        let finding = Finding::error(Check::Instance, id, "it is stopped", why);
        finding.mended_by(mend::property(id, "resourceStopped", "false"))
    } else if state.eq_ignore_ascii_case("Succeeded") {
        Finding::ok(Check::Instance, id, format!("it is at work in {}", instance.location))
    } else {
        let why = "while another operation is at work on it, Azure refuses to regenerate its keys; a rotation waits";
        Finding::warning(Check::Instance, id, format!("its provisioning state is {state}"), why)
    }
}

fn local_auth(id: &InstanceId, instance: &Instance, holdings: &[Holding]) -> Finding {
    if !instance.disable_local_auth {
        return Finding::ok(Check::LocalAuth, id, "it takes access keys");
    }
    let what = "access keys are switched off (disableLocalAuth)";
    let finding = if holdings.iter().all(|holding| *holding == Holding::Identity) {
        let why = "its keys open nothing, so there is nothing to rotate: take it out of rekey.toml, or switch them on";
        Finding::warning(Check::LocalAuth, id, what, why)
    } else {
        let why = "its keys open nothing: the apps that hold a connection string with a key are refused. Switch keys on, \
                   or let the apps connect by identity";
        Finding::error(Check::LocalAuth, id, what, why)
    };
    finding.mended_by(mend::property(id, "disableLocalAuth", "false"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn what_is_stopped_or_busy_is_told() {
        let id = InstanceId::new("s", "g", "chat");
        let instance = |stopped, state: &str| Instance {
            id: id.clone(),
            location: "eastus".into(),
            host_name: None,
            provisioning_state: state.into(),
            disable_local_auth: false,
            stopped,
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
