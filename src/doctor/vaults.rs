//! The Key Vault secrets of a service, and the apps that refer to them.

use super::collect::{Facts, InstanceFacts};
use super::finding::{Check, Finding};
use super::{fixes, permission};
use crate::azure::arm::{ArmErrorKind, Barrier, Caller};
use crate::azure::consumers::app_service::ReferenceIdentity;
use crate::report::text::snapshot as text;
use crate::report::text::{InWords, file_name};
use rekey_core::model::{AppId, ConsumerId, SecretId};
use rekey_core::plan::{Holding, Snapshot, Unknown};

const NOTHING_IS_REGENERATED: &str = "no key of the service is regenerated until this is resolved";

/// `own` is the app that this process runs in.
pub(super) fn check(
    instance: &InstanceFacts<'_>,
    facts: &Facts<'_>,
    caller: &Caller,
    own: Option<&AppId>,
) -> Vec<Finding> {
    let id = &instance.config.id;
    let found = match &instance.as_checked {
        None => Vec::new(),
        Some(Ok(seen)) => seen_of(instance, facts, seen, &Asker { caller, own }),
        Some(Err(error)) => {
            vec![Finding::error(Check::KeyVault, id, error.clone(), NOTHING_IS_REGENERATED)]
        }
    };
    found.into_iter().map(|finding| finding.of(id)).collect()
}

/// What is said of apps beside their references is said elsewhere.
fn seen_of(
    instance: &InstanceFacts<'_>,
    facts: &Facts<'_>,
    seen: &Snapshot,
    asker: &Asker<'_>,
) -> Vec<Finding> {
    let name = instance.config.id.name();
    let is_secret = |id: &ConsumerId| matches!(id, ConsumerId::KeyVaultSecret(_));
    let secrets = seen.consumers.iter().filter(|consumer| is_secret(&consumer.at.app));
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
            Unknown::Reference { app, name, .. } if app.app().is_some() => {
                let lacks = |id| permission::role_of_app(id, instance.refused.get(app)?, asker.caller);
                fix = app.app().and_then(|id| way_in(instance, facts, id, name).or_else(|| lacks(id)));
                app
            }
            Unknown::Unreadable { app: app @ ConsumerId::KeyVaultSecret(secret), .. } => {
                let refused = instance.refused.get(app).into_iter().flatten();
                let is_known = instance.journal.as_ref().is_ok_and(|journal| journal.seen(app).is_some());
                fix = refused.filter_map(|refusal| asker.way_to(secret, refusal.kind, is_known)).next();
                app
            }
            Unknown::NoConsumer { app: app @ ConsumerId::KeyVaultSecret(_) } => app,
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
    let expired = instance.expired_secrets.iter().map(|(secret, at)| {
        let what = format!("the newest version of the secret expired on {}", at.format("%Y-%m-%d"));
        let why = "Key Vault gives it to readers all the same, and one that looks at the time may refuse it; the next \
                   rotation makes a version that lives as long as this one did";
        Finding::warning(Check::KeyVault, secret, what, why)
    });
    held.chain(unknown).chain(left).chain(expired).collect()
}

/// Who asks, and where.
struct Asker<'a> {
    caller: &'a Caller,
    own: Option<&'a AppId>,
}

impl Asker<'_> {
    /// What lets this identity read and write a secret, or the function app reach its vault. Of one that was never seen nobody
    /// can tell whether it was ever there.
    fn way_to(&self, secret: &SecretId, why: ArmErrorKind, is_known: bool) -> Option<String> {
        match why {
            ArmErrorKind::Forbidden => fixes::own_secret_role(self.caller, secret),
            ArmErrorKind::Barred(Barrier::VaultPolicy) => fixes::vault_policy(self.caller, secret),
            ArmErrorKind::Barred(Barrier::VaultFirewall) => {
                self.own.map(|own| fixes::vault_network(own, secret))
            }
            ArmErrorKind::Barred(Barrier::SecretDisabled) => Some(fixes::enable_secret(secret)),
            ArmErrorKind::Gone if is_known => Some(fixes::recover_secret(secret)),
            // Behind the command, so that it can be pasted.
            ArmErrorKind::Gone => Some(format!(
                "{} # if it was deleted; if its name is mistyped, correct it in {}, or in the setting that refers to it",
                fixes::recover_secret(secret),
                file_name()
            )),
            _ => None,
        }
    }
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
