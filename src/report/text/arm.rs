//! Azure's refusals, and what to do about them: what failed, on which resource, what Azure said, and the next step.

use std::fmt;

use super::azure::{BETWEEN, CHECK_THE_IDENTITY};
use super::file_name;
use crate::azure::arm::{ArmError, ArmErrorKind, Barrier};
use crate::azure::credentials::{CredentialError, HalfSet};
use crate::azure::http::{HttpError, Insecure};
use crate::engine::RunError;
use crate::engine::act::RewriteError;
use crate::report::cause;

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}{}: ", doing(self.operation(), self.resource()), leaves_open(self))?;
        match (self.status(), self.code()) {
            (Some(status), Some(code)) => write!(f, "{status} {code}, ")?,
            (Some(status), None) => write!(f, "{status}, ")?,
            (None, _) => {}
        }
        f.write_str(self.message())?;
        if let Some(id) = self.correlation_id() {
            write!(f, " (x-ms-correlation-request-id {id})")?;
        }
        write!(f, "; {}", advice(self))
    }
}

/// What nobody knows for want of an answer. Where access keys are switched off, everybody who holds one is cut off.
fn leaves_open(error: &ArmError) -> &'static str {
    let has_no_keys = error.kind() == ArmErrorKind::Barred(Barrier::NoKeys);
    if error.operation() == "SignalR_ListKeys" && !has_no_keys {
        ", so whether consumers hold a valid key cannot be told"
    } else {
        ""
    }
}

/// What an operation of Azure Resource Manager does, and to whom where whoever reads it may not know: lines about a service
/// begin with its name. An operation that is not known has its own name and its resource.
fn doing(operation: &str, resource: &str) -> String {
    let app = || name_in(resource, "sites");
    match operation {
        "SignalR_Get" => "read the service".into(),
        "SignalR_ListKeys" => "list the keys".into(),
        "SignalR_RegenerateKey" => "regenerate a key".into(),
        "SignalR_OperationStatus" | "SignalR_OperationResult" => "ask about the regeneration".into(),
        "SignalRReplicas_List" => "list the replicas of the service".into(),
        "SignalR_ListBySubscription" | "SignalR_ListByResourceGroup" => {
            format!("list the services in {}", scope(resource))
        }
        "WebApps_List" | "WebApps_ListByResourceGroup" => format!("list the apps in {}", scope(resource)),
        "WebApps_ListSlots" => format!("list the deployment slots of {}", app()),
        "WebApps_Get" | "WebApps_GetSlot" => format!("read the app {}", app()),
        "WebApps_ListApplicationSettings" | "WebApps_ListApplicationSettingsSlot" => {
            format!("read the app settings of {}", app())
        }
        "WebApps_ListConnectionStrings" | "WebApps_ListConnectionStringsSlot" => {
            format!("read the connection strings of {}", app())
        }
        "WebApps_UpdateApplicationSettings" | "WebApps_UpdateApplicationSettingsSlot" => {
            format!("write the app settings of {}", app())
        }
        "WebApps_UpdateConnectionStrings" | "WebApps_UpdateConnectionStringsSlot" => {
            format!("write the connection strings of {}", app())
        }
        "Subscriptions_List" => "list the subscriptions".into(),
        "GetToken" => "sign in to Azure".into(),
        "Permissions_ListForResource" | "Permissions_ListForResourceGroup" => {
            format!("list the permissions on {resource}")
        }
        other => format!("do {other} on {resource}"),
    }
}

/// The name of a resource, with its deployment slot, as its path has it.
fn name_in(path: &str, kind: &str) -> String {
    let after = |word: &str| {
        let mut parts = path.split('/').skip_while(|part| !part.eq_ignore_ascii_case(word));
        parts.nth(1).filter(|name| !name.is_empty())
    };
    match (after(kind), after("slots")) {
        (Some(name), Some(slot)) => format!("{name}/{slot}"),
        (Some(name), None) => name.to_owned(),
        (None, _) => path.to_owned(),
    }
}

/// The subscription or resource group of a list.
fn scope(path: &str) -> String {
    let group = name_in(path, "resourceGroups");
    if group != path {
        return format!("resource group {group}");
    }
    format!("subscription {}", name_in(path, "subscriptions"))
}

/// What to do next, in the imperative.
fn advice(error: &ArmError) -> String {
    if let Some(advice) = error.own_advice() {
        return advice.to_owned();
    }
    match error.kind() {
        ArmErrorKind::Throttled { retry_after: Some(wait) } => {
            format!("wait {} before trying again", humantime::format_duration(wait))
        }
        ArmErrorKind::Throttled { retry_after: None } => "wait a minute before trying again".into(),
        ArmErrorKind::Conflict => {
            "another operation is at work on it: try again when that has ended, as the next run does".into()
        }
        ArmErrorKind::Forbidden => {
            let action = error.action().unwrap_or("this action");
            format!("give the identity {action} there; a new role assignment can take hours to take effect")
        }
        ArmErrorKind::Gone if error.is_of_an_operation() => {
            "Azure no longer knows the operation; the listed keys show how it ended".into()
        }
        ArmErrorKind::Gone => {
            let file = file_name();
            format!(
                "it does not exist: correct its id, or take it out of {file} if it was deleted on purpose"
            )
        }
        ArmErrorKind::OutcomeUnknown => {
            "it may or may not have taken effect; the next run checks before anything is sent again".into()
        }
        ArmErrorKind::Unauthenticated => CHECK_THE_IDENTITY.into(),
        ArmErrorKind::OutOfTime => {
            "nothing was changed; try again with more time, as the next run does".into()
        }
        ArmErrorKind::Unavailable => "nothing was changed; try again, as the next run does".into(),
        ArmErrorKind::Barred(barrier) => of_barrier(barrier, error.action()),
        ArmErrorKind::Elsewhere => {
            "no access token is sent there; the listed keys show how an operation ended".into()
        }
        ArmErrorKind::Refused => {
            "trying again will not help: the configuration or the resource must change".into()
        }
        ArmErrorKind::Malformed => "report this, with the correlation id if there is one".into(),
        ArmErrorKind::Page => {
            format!("{BETWEEN}: let this process reach Azure Resource Manager directly")
        }
    }
}

/// What to do about what forbids a request for good.
fn of_barrier(barrier: Barrier, action: Option<&str>) -> String {
    match barrier {
            Barrier::Lock => "a read-only lock forbids this: remove it from the resource, its group or its subscription (`az lock list` shows it); a \
                CanNotDelete lock may stay"
                .into(),
            Barrier::DisabledSubscription => "the subscription is disabled and read-only: enable it again; until then no key can be regenerated and no app \
                repointed"
                .into(),
            Barrier::UnregisteredProvider => {
                let namespace = action.and_then(|action| action.split('/').next()).unwrap_or("its namespace");
                format!("register the resource provider: az provider register --namespace {namespace}")
            }
            Barrier::Policy => "an Azure Policy forbids this, whatever the role: exempt the resource from the assignment \
                that Azure names (`az policy exemption create`)"
                .into(),
            Barrier::DenyAssignment => "a deny assignment forbids this, whatever the role: exclude the identity from it in \
                the deployment stack or managed application that made it"
                .into(),
            Barrier::UnknownSubscription => format!(
                "the identity's tenant has no such subscription: check the id in {}, and the tenant that you are signed in to (`az \
                 account list`)",
                file_name()
            ),
            Barrier::OtherTenant => "the identity belongs to another tenant than the subscription: use an identity of that \
                tenant (`az login --tenant …` on a developer's machine)"
                .into(),
            Barrier::NoKeys => "access keys are disabled (disableLocalAuth), which deleted both keys and ended every token: \
                apps that hold one are refused. Let them connect by identity, or enable keys again: the next run gives \
                them the new ones. `signalr-rekey doctor` names the apps and the commands"
                .into(),
            Barrier::ContentShare => "the app's own content share is not usable, and nothing was written: correct \
                WEBSITE_CONTENTAZUREFILECONNECTIONSTRING and WEBSITE_CONTENTSHARE of the app; where they are references, \
                set WEBSITE_SKIP_CONTENTSHARE_VALIDATION to 1"
                .into(),
        }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::OutOfTime => f.write_str("out of time"),
            Self::Rewrites(errors) => {
                let told: Vec<String> = errors.iter().map(|error| cause::told(error)).collect();
                f.write_str(&told.join("; "))
            }
        }
    }
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm { error, .. } => error.fmt(f),
            Self::Locked { consumer, .. } => write!(f, "{}: not written", consumer.name()),
            Self::Overwritten { place } => write!(
                f,
                "{}: the {} were written but do not hold the new key: something else writes them at the same time. The next run \
                 tries again",
                place.consumer().name(),
                place.name()
            ),
        }
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HalfConfigured(half) => half.fmt(f),
            Self::NoIdentity => f.write_str(
                "this app has no managed identity (IDENTITY_ENDPOINT is not set): assign one, and give it the role that the README \
                 names",
            ),
            Self::Unusable(what, _) => write!(f, "could not make a credential of {what}"),
        }
    }
}

impl fmt::Display for HalfSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, given, purpose } = self;
        write!(f, "{missing} is not set, but {given} is: set both for {purpose}, or neither")
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not set up the HTTP client")
    }
}

impl fmt::Display for Insecure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is neither https nor on loopback, and credentials go nowhere else: write its https:// URL instead",
            self.0
        )
    }
}
