//! Where it is looked: a resource group or a subscription, as it was named by a flag.

use std::fmt;

use super::stores::Named;
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Barrier};
use crate::azure::consumers::app_service::Site;
use crate::azure::services::{KeyService, ServiceResource};
use crate::report::cause;
use rekey_core::model::{AppId, ServiceType};

/// Where it is looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    subscription: String,
    group: Option<String>,
    named: Named,
}

/// Why it is not clear where to look.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// The group is given by its name, and its subscription is not.
    #[error("there are several subscriptions; name one with --subscription: {0}")]
    Several(String),
    /// The identity sees no subscription that is at work.
    #[error("no subscription found; name one with --subscription")]
    None,
    /// What is given is neither a name nor an id, or two things that exclude each other.
    #[error("{0}")]
    Unclear(String),
    /// The subscriptions cannot be listed.
    #[error(transparent)]
    Arm(#[from] ArmError),
}

impl Scope {
    /// Reads what was given. Without a subscription the only one that can be seen is meant.
    pub async fn find(
        arm: &Arm,
        group: Option<&str>,
        subscription: Option<&str>,
    ) -> Result<Self, ScopeError> {
        let (subscription, group) = match group {
            Some(id) if id.contains('/') => {
                let (of_id, group) = read_group(id)?;
                if subscription.is_some_and(|given| !given.eq_ignore_ascii_case(&of_id)) {
                    return Err(ScopeError::Unclear("the group's id names another subscription".into()));
                }
                (Some(of_id), Some(group))
            }
            name => (subscription.map(ToOwned::to_owned), name.map(ToOwned::to_owned)),
        };
        let subscription = match subscription {
            Some(subscription) => subscription,
            None => only_subscription(arm).await?,
        };
        // They become part of a path.
        let clean = |part: &str| part.chars().all(|sign| sign.is_alphanumeric() || "-_.()".contains(sign));
        let strange = |part: &&String| part.is_empty() || !clean(part);
        if let Some(part) = [Some(&subscription), group.as_ref()].into_iter().flatten().find(strange) {
            return Err(ScopeError::Unclear(format!(
                "{part:?} is not a name or id of that kind: correct --resource-group or --subscription"
            )));
        }
        Ok(Self { subscription, group, named: Named::default() })
    }

    /// With vaults and stores, wherever they are.
    #[must_use]
    pub fn and(self, named: Named) -> Self {
        Self { named, ..self }
    }

    /// The vaults and stores that are looked through.
    pub(super) const fn named(&self) -> &Named {
        &self.named
    }

    pub(super) async fn instances(&self, arm: &Arm) -> Result<Vec<ServiceResource>, ArmError> {
        let mut all = Vec::new();
        for kind in ServiceType::ALL {
            let listed = kind.list(arm, &self.subscription, self.group.as_deref()).await;
            all.extend(listed.map_err(by_flag)?);
        }
        Ok(all)
    }

    /// The sites: those of the group first, and then all others of the subscription, for an instance of the group may have
    /// its apps anywhere; with why the others could not be listed.
    pub(super) async fn sites(&self, arm: &Arm) -> Result<(Vec<AppId>, Option<(String, String)>), ArmError> {
        let ids = |sites: Vec<Site>| sites.into_iter().map(|site| site.id).collect::<Vec<AppId>>();
        let all = arm.list_sites(&self.subscription).await;
        let Some(group) = &self.group else { return Ok((ids(all.map_err(by_flag)?), None)) };
        let mut sites = ids(arm.list_group_sites(&self.subscription, group).await.map_err(by_flag)?);
        match all.map(ids) {
            Ok(all) => {
                let others: Vec<AppId> = all.into_iter().filter(|site| !sites.contains(site)).collect();
                sites.extend(others);
                Ok((sites, None))
            }
            Err(error) => {
                let other = format!("an app in another group of /subscriptions/{}", self.subscription);
                Ok((sites, Some((other, cause::told(&error)))))
            }
        }
    }

    /// The resource group, where one was named.
    pub(super) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The subscription, by its id.
    pub(super) fn subscription(&self) -> &str {
        &self.subscription
    }

    /// Whether an app is in it.
    pub(super) fn covers(&self, app: &AppId) -> bool {
        self.group.as_ref().is_none_or(|group| group.eq_ignore_ascii_case(app.group()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/subscriptions/{}", self.subscription)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, "/resourceGroups/{group}"))
    }
}

/// Whether what was asked for, and named by a flag, does not exist.
pub(crate) fn is_misnamed(error: &ArmError) -> bool {
    matches!(error.kind(), ArmErrorKind::Gone | ArmErrorKind::Barred(Barrier::UnknownSubscription))
}

/// Where it is looked was named by a flag, and by no file.
fn by_flag(error: ArmError) -> ArmError {
    match error.kind() {
        ArmErrorKind::Gone => error.advising(
            "that subscription has no such resource group: correct --resource-group or --subscription (`az group list` \
             shows the groups)",
        ),
        ArmErrorKind::Barred(Barrier::UnknownSubscription) => error.advising(
            "the identity's tenant has no such subscription: correct --subscription, or the id in --resource-group, or \
             sign in to its tenant (`az account list` shows what you see)",
        ),
        _ => error,
    }
}

fn read_group(id: &str) -> Result<(String, String), ScopeError> {
    let parts: Vec<&str> = id.trim_matches('/').split('/').collect();
    match parts[..] {
        [one, subscription, two, group]
            if one.eq_ignore_ascii_case("subscriptions") && two.eq_ignore_ascii_case("resourceGroups") =>
        {
            Ok((subscription.to_owned(), group.to_owned()))
        }
        _ => Err(ScopeError::Unclear(format!(
            "{id:?} is not the id of a resource group; write /subscriptions/{{subscription}}/resourceGroups/{{group}}, or its \
             name"
        ))),
    }
}

async fn only_subscription(arm: &Arm) -> Result<String, ScopeError> {
    let all = arm.list_subscriptions().await?;
    let at_work: Vec<_> = all.iter().filter(|one| one.state.eq_ignore_ascii_case("Enabled")).collect();
    match at_work[..] {
        [] => Err(ScopeError::None),
        [only] => Ok(only.id.clone()),
        _ => {
            let named = at_work.iter().map(|one| format!("{} ({})", one.id, one.display_name));
            Err(ScopeError::Several(named.collect::<Vec<_>>().join(", ")))
        }
    }
}
