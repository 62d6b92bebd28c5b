//! What a run needs for a write, by a right that no read of ours proves and no role on the consumer tells of: for secrets and
//! key-values, whose rights are those of the data plane, and container apps, which are put into their environment. Azure
//! Resource Manager tells what is granted there too, once it is known where that is: a vault or store is known by its name
//! alone.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;

use super::InstanceFacts;
use crate::azure::arm::{Arm, ArmError, Caller, Operation, Permission};
use crate::azure::consumers::Place;
use crate::azure::discovery::at_once;
use crate::azure::resources::VaultAccess;
use crate::report::cause;
use rekey_core::model::ConsumerId;

const VAULTS: &str = "Microsoft.KeyVault/vaults";
const STORES: &str = "Microsoft.AppConfiguration/configurationStores";

/// One right.
#[derive(Debug)]
pub(in crate::doctor) struct WriteRight {
    pub(in crate::doctor) of: ConsumerId,
    /// The environment that it is put into, where it is about that.
    pub(in crate::doctor) environment: Option<String>,
    pub(in crate::doctor) action: &'static str,
    pub(in crate::doctor) told: Told,
}

/// What is known of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::doctor) enum Told {
    Granted,
    Denied {
        /// By access policies, and not by roles.
        by_policies: bool,
    },
    /// Why nobody tells.
    Untold {
        why: String,
        by_policies: bool,
    },
}

impl Told {
    fn untold(why: impl Into<String>) -> Self {
        Self::Untold { why: why.into(), by_policies: false }
    }

    fn of(granted: bool) -> Self {
        if granted { Self::Granted } else { Self::Denied { by_policies: false } }
    }
}

/// The rights to write what holds keys of these services. `groups` tell in which subscriptions to look.
pub(super) async fn collect(
    arm: &Arm,
    caller: &Caller,
    instances: &[InstanceFacts<'_>],
    groups: &BTreeSet<(String, String)>,
) -> Vec<WriteRight> {
    let seen = instances.iter().filter_map(|one| one.as_checked.as_ref()?.as_ref().ok());
    let holders: BTreeSet<&ConsumerId> =
        seen.flat_map(|seen| &seen.consumers).map(|consumer| &consumer.at.app).collect();
    let subscriptions: BTreeSet<&String> = groups.iter().map(|(subscription, _)| subscription).collect();
    let mut there = BTreeMap::new();
    for (kind, is_one) in [
        (VAULTS, holders.iter().any(|of| of.secret().is_some())),
        (STORES, holders.iter().any(|of| matches!(of, ConsumerId::KeyValue(_)))),
    ] {
        if is_one {
            there.insert(kind, listed(arm, kind, &subscriptions).await);
        }
    }
    let there = &there;
    let of_data = holders.into_iter().filter_map(|of| {
        let place = match of {
            ConsumerId::KeyVaultSecret(secret) => (VAULTS, secret.vault().to_owned()),
            ConsumerId::KeyValue(at) => (STORES, at.host().split('.').next()?.to_owned()),
            _ => return None,
        };
        let rights = async move {
            let granted = match whereabouts(there.get(place.0), &place.1) {
                Ok(id) => Granted::ask(arm, caller, of, id).await,
                Err(why) => Granted::Unknown(why),
            };
            let right =
                |action| WriteRight { of: of.clone(), environment: None, action, told: granted.tell(action) };
            untried(of).into_iter().map(right).collect::<Vec<_>>()
        };
        Some(rights.boxed())
    });
    // Those of one environment are asked about once.
    let mut known = BTreeSet::new();
    let environments = instances.iter().flat_map(|one| &one.environments);
    let environments = environments.filter(|(_, id)| known.insert(id.to_lowercase())).collect::<Vec<_>>();
    let of_environments = environments.into_iter().filter_map(|(of, environment)| {
        let action = *changes(of).find_map(|actions| actions.get(1))?;
        let right = async move {
            let told = match arm.permissions(environment).await {
                Ok(entries) => Told::of(Permission::grant(&entries, action)),
                Err(error) => Told::untold(cause::told(&error)),
            };
            vec![WriteRight { of: of.clone(), environment: Some(environment.clone()), action, told }]
        };
        Some(right.boxed())
    });
    at_once(of_data.chain(of_environments)).await.into_iter().flatten().collect()
}

/// The actions on a secret or key-value that the kind declares, each once, but for that by which it was read.
fn untried(of: &ConsumerId) -> BTreeSet<&'static str> {
    let operations = Place::operations_on(of).into_iter();
    let untried = operations.filter(|operation| operation.is_change() || !operation.shows_secrets());
    untried.filter_map(|operation| operation.actions.first().copied()).collect()
}

/// The actions of what changes a consumer. Those behind the first are on what it is linked to.
fn changes(of: &ConsumerId) -> impl Iterator<Item = &'static [&'static str]> {
    let changes = Place::operations_on(of).into_iter().filter(Operation::is_change);
    changes.map(|operation| operation.actions)
}

/// The ids of all resources of a type that may be seen, and why others may not be.
type Listed = (Vec<String>, Option<String>);

async fn listed(arm: &Arm, kind: &'static str, subscriptions: &BTreeSet<&String>) -> Listed {
    let (mut ids, mut why) = (Vec::new(), None);
    for subscription in subscriptions {
        match arm.ids_of_type(subscription, kind).await {
            Ok(more) => ids.extend(more),
            Err(error) => why = Some(cause::told(&error)),
        }
    }
    (ids, why)
}

/// The id of a vault or store, whose name is unique in all of Azure.
fn whereabouts<'i>(listed: Option<&'i Listed>, name: &str) -> Result<&'i str, String> {
    let (ids, why) = listed.ok_or_else(|| NOT_LISTED.to_owned())?;
    let is_it = |id: &&String| id.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
    let not_there = || why.clone().unwrap_or_else(|| NOT_LISTED.to_owned());
    ids.iter().find(is_it).map(String::as_str).ok_or_else(not_there)
}

const NOT_LISTED: &str = "no subscription of what is configured shows it";

/// By what a vault or store goes, and what that grants.
enum Granted {
    Roles(Vec<Permission>),
    Policies {
        own: Vec<String>,
        others: Vec<String>,
    },
    /// Why nobody tells.
    Unknown(String),
}

impl Granted {
    /// A role may be assigned at a single secret.
    async fn ask(arm: &Arm, caller: &Caller, of: &ConsumerId, id: &str) -> Self {
        let by_roles = |granted: Result<Vec<Permission>, ArmError>| match granted {
            Ok(entries) => Self::Roles(entries),
            Err(error) => Self::Unknown(cause::told(&error)),
        };
        let Some(secret) = of.secret() else { return by_roles(arm.permissions(id).await) };
        match arm.vault_access(id, caller.object.as_deref().unwrap_or_default()).await {
            Err(error) => Self::Unknown(cause::told(&error)),
            Ok(VaultAccess::Roles) => {
                by_roles(arm.permissions(&format!("{id}/secrets/{}", secret.name())).await)
            }
            Ok(VaultAccess::Policies { own, others }) => Self::Policies { own, others },
        }
    }

    fn tell(&self, action: &str) -> Told {
        match self {
            Self::Unknown(why) => Told::untold(why),
            Self::Roles(entries) => Told::of(Permission::grant_data(entries, action)),
            Self::Policies { own, others } => match VaultAccess::permit(own, others, action) {
                Some(true) => Told::Granted,
                Some(false) => Told::Denied { by_policies: true },
                None => {
                    let why = "the vault uses access policies, and only those of others permit it: of groups, perhaps, that it is in"
                        .to_owned();
                    Told::Untold { why, by_policies: true }
                }
            },
        }
    }
}
