//! Container Apps and their jobs, whose secrets hold keys.
//!
//! Start at [`ContainerAppId`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{IdError, IdFault, ResourcePath, as_text, is_long};

/// The resource id of one container app, or of one job of Container Apps.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerAppId {
    kind: ContainerAppKind,
    at: ResourcePath,
}

/// What runs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContainerAppKind {
    /// An app, with revisions that run until they are stopped.
    App,
    /// A job, with executions that end by themselves.
    Job,
}

impl ContainerAppKind {
    const ALL: [Self; 2] = [Self::App, Self::Job];

    /// The resource type, as it stands in ids.
    const fn resource_type(self) -> &'static str {
        match self {
            Self::App => "Microsoft.App/containerApps",
            Self::Job => "Microsoft.App/jobs",
        }
    }
}

impl ContainerAppId {
    /// How one is written.
    pub const TEMPLATE: &'static str = "/subscriptions/{subscription}/resourceGroups/{group}/providers\
        /Microsoft.App/containerApps/{name}, or …/Microsoft.App/jobs/{name}";

    /// Whether it is an app or a job.
    pub const fn kind(&self) -> ContainerAppKind {
        self.kind
    }

    /// Its own name.
    pub fn name(&self) -> &str {
        &self.at.name
    }

    /// Its resource group.
    pub fn group(&self) -> &str {
        &self.at.group
    }

    pub fn subscription(&self) -> &str {
        &self.at.subscription
    }

    /// Which of its names makes a text no id, where all else of it is in order.
    pub fn fault(text: &str) -> Option<IdFault> {
        text.parse::<Self>().err()?.fault
    }
}

impl FromStr for ContainerAppId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fault = |fault| IdError { text: text.into(), wanted: Self::TEMPLATE, fault };
        let fits = |kind: ContainerAppKind| Some((kind, ResourcePath::split(text, kind.resource_type())?));
        let found = ContainerAppKind::ALL.into_iter().find_map(fits);
        let (kind, at) = found.filter(|(_, at)| at.slot.is_none()).ok_or_else(|| fault(None))?;
        at.fault(is_name, IdFault::ContainerApp).map_or(Ok(Self { kind, at }), |why| Err(fault(Some(why))))
    }
}

/// docs: Naming rules and restrictions for Azure resources.
fn is_name(name: &str) -> bool {
    let signs = name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-');
    is_long(name, 32) && signs && !name.starts_with('-') && !name.ends_with('-')
}

impl fmt::Display for ContainerAppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.write(self.kind.resource_type(), f)
    }
}

as_text!(ContainerAppId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_and_a_job_of_the_same_name_are_two() {
        let id = |of: &str| format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.App/{of}/chat");
        let [app, job] = ["containerApps", "jobs"].map(|of| id(of).parse::<ContainerAppId>().unwrap());
        assert_eq!((app.kind(), job.kind()), (ContainerAppKind::App, ContainerAppKind::Job));
        assert_ne!(app, job);
        assert_eq!([app.to_string(), job.to_string()], ["containerApps", "jobs"].map(id));
        assert_eq!(id("CONTAINERAPPS").to_uppercase().parse(), Ok(app));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let id = |rest: &str| format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.App/{rest}");
        for rest in
            ["containerApps", "containerApps/", "containerApps/a/revisions/b", "managedEnvironments/a"]
        {
            assert!(id(rest).parse::<ContainerAppId>().is_err(), "{rest}");
        }
        for name in ["..", "a_b", "-a", "a-", "a%2fb", &"a".repeat(33)] {
            let fault = ContainerAppId::fault(&id(&format!("containerApps/{name}")));
            assert_eq!(fault, Some(IdFault::ContainerApp), "{name}");
        }
    }
}
