//! The ids of container apps, of jobs and of static web apps.

use std::fmt;

use super::{is_group, is_subscription};

/// The resource id of one container app or of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerId {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) kind: ContainerKind,
    pub(crate) name: String,
}

/// What runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    /// A container app: revisions with replicas.
    App,
    /// A job: executions that end.
    Job,
}

/// The resource id of one static web app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticSiteId {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

impl ContainerKind {
    /// The type of the resource, after its provider.
    pub(crate) const fn segment(self) -> &'static str {
        match self {
            Self::App => "containerApps",
            Self::Job => "jobs",
        }
    }
}

impl ContainerId {
    /// Its name in its group.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By what reports and denials name it: a site may have the same name.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.kind.segment(), self.name)
    }

    /// The environment that it is in; each group has one.
    pub(crate) fn environment(&self) -> String {
        let Self { subscription, group, .. } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.App/managedEnvironments/environment"
        )
    }

    /// Whether Azure would give such names (docs: Naming rules and restrictions for Azure resources).
    pub(crate) fn is_valid(&self) -> bool {
        let name = self.name.as_bytes();
        is_subscription(&self.subscription)
            && is_group(&self.group)
            && (2..=32).contains(&name.len())
            && name.iter().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || *sign == b'-')
            && name[0].is_ascii_lowercase()
            && name[name.len() - 1] != b'-'
            && !self.name.contains("--")
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, kind, name } = self;
        let kind = kind.segment();
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.App/{kind}/{name}"
        )
    }
}

impl StaticSiteId {
    /// Its name in its group.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By what reports name it: a site may have the same name.
    pub(crate) fn label(&self) -> String {
        format!("staticSites/{}", self.name)
    }

    /// Whether Azure would give such names (docs: Naming rules and restrictions for Azure resources).
    pub(crate) fn is_valid(&self) -> bool {
        let name = self.name.as_bytes();
        is_subscription(&self.subscription)
            && is_group(&self.group)
            && (1..=60).contains(&name.len())
            && name.iter().all(|sign| sign.is_ascii_alphanumeric() || *sign == b'-')
            && name[0] != b'-'
            && name[name.len() - 1] != b'-'
    }
}

impl fmt::Display for StaticSiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, name } = self;
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/staticSites/{name}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_azure_gives() {
        let container = |name: &str| {
            let (subscription, group, name) = ("s".into(), "g".into(), name.to_owned());
            ContainerId { subscription, group, kind: ContainerKind::App, name }.is_valid()
        };
        assert!(container("chat-api") && container("a1"));
        for name in ["a", "Chat", "1a", "a-", "a--b", "a_b", "a2345678901234567890123456789012x"] {
            assert!(!container(name), "{name}");
        }
        let site = |name: &str| {
            let (subscription, group, name) = ("s".into(), "g".into(), name.to_owned());
            StaticSiteId { subscription, group, name }.is_valid()
        };
        assert!(site("Chat-1") && !site("-a") && !site("a.b") && !site(""));
    }
}
