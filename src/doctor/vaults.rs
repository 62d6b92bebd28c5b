//! The Key Vault secrets of a service, and the apps that refer to them.

use super::collect::{Facts, InstanceFacts};
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::consumers::app_service::ReferenceIdentity;
use crate::report::text::InWords;
use crate::report::text::snapshot as text;
use rekey_core::model::{AppId, ConsumerId, SecretId};
use rekey_core::plan::{Holding, Snapshot, Unknown};

const NOTHING_IS_REGENERATED: &str = "no key of the service is regenerated until this is resolved";

pub(super) fn check(instance: &InstanceFacts<'_>, facts: &Facts<'_>) -> Vec<Finding> {
    let id = &instance.config.id;
    let found = match &instance.of_vaults {
        None => Vec::new(),
        Some(Ok(seen)) => seen_of(instance, facts, seen),
        Some(Err(error)) => {
            vec![Finding::error(Check::KeyVault, id, error.clone(), NOTHING_IS_REGENERATED)]
        }
    };
    found.into_iter().map(|finding| finding.of(id)).collect()
}

/// What is said of apps beside their references is said elsewhere.
fn seen_of(instance: &InstanceFacts<'_>, facts: &Facts<'_>, seen: &Snapshot) -> Vec<Finding> {
    let name = instance.config.id.name();
    let secrets = seen.consumers.iter().filter(|consumer| consumer.at.app.app().is_none());
    let held = secrets.map(|consumer| {
        let (at, holds) = (&consumer.at.app, consumer.holds.in_words());
        let what = format!("the secret {at} holds {holds} of {name}");
        match consumer.holds {
            Holding::Stale(_) => {
                let why = "whoever refers to it is cut off until a run gives it a valid key";
                Finding::error(Check::KeyVault, at, what, why).fixed_by(fixes::rotate(&instance.config.id))
            }
            Holding::Valid(_) | Holding::Identity => Finding::ok(Check::KeyVault, at, what),
        }
    });
    let unknown = seen.unknown.iter().filter_map(|unknown| {
        let mut fix = None;
        let at = match unknown {
            Unknown::Reference { app, name, .. } => {
                fix = app.app().and_then(|id| way_in(instance, facts, id, name));
                app
            }
            Unknown::Unreadable { app: app @ ConsumerId::KeyVaultSecret(_), .. }
            | Unknown::NoConsumer { app: app @ ConsumerId::KeyVaultSecret(_) } => app,
            _ => return None,
        };
        let finding = Finding::error(Check::KeyVault, at, unknown.in_words(), NOTHING_IS_REGENERATED);
        Some(finding.fixed_by(fix))
    });
    let left = seen.left_behind.iter().filter_map(ConsumerId::secret).map(|secret| {
        let change =
            format!("write {{ id = \"{secret}\", readers_within = \"24h\" }} in the vault_secrets of");
        let fix = format!(
            "if somebody reads it, {}; if nobody does, the same with unused = true",
            fixes::in_file(&instance.config.id, &change)
        );
        let why =
            "it is rotated on, and whoever reads it without being seen keeps the old key alive for a day";
        Finding::warning(Check::KeyVault, secret, text::left_behind(secret), why).fixed_by(fix)
    });
    held.chain(unknown).chain(left).collect()
}

/// What lets the platform read the secret that a setting of an app refers to, where its identity is what it lacks.
fn way_in(instance: &InstanceFacts<'_>, facts: &Facts<'_>, app: &AppId, setting: &str) -> Option<String> {
    let identity = instance.identities.get(app)?.as_ref().ok()?;
    let config = instance.config.apps.iter().find(|one| one.id == *app)?;
    let followed = facts.apps.get(app)?.settings.followed(config);
    let secret = &followed.iter().find(|one| one.at.name == setting)?.reference.secret;
    Some(fixed(app, identity, secret))
}

fn fixed(app: &AppId, identity: &ReferenceIdentity, secret: &SecretId) -> String {
    match identity {
        ReferenceIdentity::System { exists } => {
            let role = fixes::secret_role(&fixes::own_principal(app), secret);
            if *exists { role } else { format!("{} && {role}", fixes::give_identity(app, None)) }
        }
        ReferenceIdentity::UserAssigned { id, assigned } => {
            let role = fixes::secret_role(&fixes::principal(id), secret);
            if *assigned { role } else { format!("{} && {role}", fixes::give_identity(app, Some(id))) }
        }
    }
}
