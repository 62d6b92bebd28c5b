//! The Key Vault secrets of a service, and the apps that refer to them.

use super::collect::InstanceFacts;
use super::finding::{Check, Finding};
use crate::report::text::InWords;
use rekey_core::model::ConsumerId;
use rekey_core::plan::{Holding, Snapshot, Unknown};

const NOTHING_IS_REGENERATED: &str = "no key of the service is regenerated until this is resolved";

pub(super) fn check(instance: &InstanceFacts<'_>) -> Vec<Finding> {
    let id = &instance.config.id;
    let found = match &instance.of_vaults {
        None => Vec::new(),
        Some(Ok(seen)) => seen_of(instance, seen),
        Some(Err(error)) => {
            vec![Finding::error(Check::KeyVault, id, error.clone(), NOTHING_IS_REGENERATED)]
        }
    };
    found.into_iter().map(|finding| finding.of(id)).collect()
}

/// What is said of apps beside their references is said elsewhere.
fn seen_of(instance: &InstanceFacts<'_>, seen: &Snapshot) -> Vec<Finding> {
    let name = instance.config.id.name();
    let is_secret = |id: &ConsumerId| matches!(id, ConsumerId::KeyVaultSecret(_));
    let secrets = seen.consumers.iter().filter(|consumer| is_secret(&consumer.at.app));
    let held = secrets.map(|consumer| {
        let (at, holds) = (&consumer.at.app, consumer.holds.in_words());
        let what = format!("the secret {at} holds {holds} of {name}");
        match consumer.holds {
            Holding::Stale(_) => {
                let why = "whoever refers to it is cut off until a run gives it a valid key";
                Finding::error(Check::KeyVault, at, what, why)
                    .fixed_by(super::fixes::rotate(&instance.config.id))
            }
            Holding::Valid(_) | Holding::Identity => Finding::ok(Check::KeyVault, at, what),
        }
    });
    let unknown = seen.unknown.iter().filter_map(|unknown| {
        let at = match unknown {
            Unknown::Reference { app, .. } => app,
            Unknown::Unreadable { app: app @ ConsumerId::KeyVaultSecret(_), .. }
            | Unknown::NoConsumer { app: app @ ConsumerId::KeyVaultSecret(_) } => app,
            _ => return None,
        };
        Some(Finding::error(Check::KeyVault, at, unknown.in_words(), NOTHING_IS_REGENERATED))
    });
    held.chain(unknown).collect()
}
