//! Whether the service takes the keys that consumers hold, and can be reached to say so.

use futures::FutureExt;

use super::ask::{Facts, InstanceFacts};
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::data_plane::Probe;
use crate::azure::discovery::at_once;
use crate::azure::services::{KeyService, ServiceKind};
use crate::config::ServiceConfig;
use crate::pass::Rekey;
use rekey_core::model::{KeyType, ServiceId};
use rekey_core::plan::Holding;
use rekey_core::policy::Verify;

/// Asks for each key that a consumer holds; for the primary one where none holds any.
pub(super) async fn check(rekey: &Rekey, facts: &Facts<'_>) -> Vec<Finding> {
    let held = facts
        .instances
        .iter()
        .flat_map(|instance| held(instance, facts).into_iter().map(move |key| (instance, key)));
    let asked = held.filter_map(|(instance, key_type)| {
        let (host, listed) = (instance.host()?, instance.listed.as_ref().ok()?);
        let kind = ServiceKind::of(&instance.config.id);
        let probe = async move { kind.probe(&rekey.data_plane, host, &listed.keys[key_type]).await };
        Some(probe.map(move |probe| judge(instance, key_type, probe)).boxed())
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
    let why = "no new key can be verified from here, so no consumer is given one. Let this network reach the service, or \
               set verify = \"control-plane\"";
    Finding::error(Check::DataPlane, id, detail, why).fixed_by(fixes::network(id))
}

fn judge(instance: &InstanceFacts<'_>, key_type: KeyType, probe: Probe) -> Finding {
    let id = &instance.config.id;
    let by_probe = instance.config.policy.verify == Verify::DataPlane;
    match probe {
        Probe::Accepted => Finding::ok(Check::DataPlane, id, format!("the service takes the {key_type} key")),
        Probe::Refused { detail } => {
            let what = format!("the service refuses the {key_type} key: {detail}");
            if instance.keys_are_off() {
                let why = "access keys are switched off (disableLocalAuth): see what is said of the instance";
                return Finding::error(Check::DataPlane, id, what, why);
            }
            let why = "a key that is only just regenerated is refused for a minute or two: look again then. If it stays, \
                       consumers hold a dead key: run rotate";
            Finding::error(Check::DataPlane, id, what, why).fixed_by(fixes::rotate(id))
        }
        Probe::Unreachable { detail } if by_probe => out_of_reach(id, detail),
        Probe::Unreachable { detail } => {
            let why = "with verify = \"control-plane\" that is in order: Azure's word counts";
            Finding::note(Check::DataPlane, id, detail, why)
        }
    }
}
