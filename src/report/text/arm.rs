//! Azure's refusals, and what to do about them: what failed, on which resource, what Azure said, and the next step.

use std::fmt;

use super::azure::{BETWEEN, CHECK_THE_IDENTITY};
use super::file_name;
use crate::azure::arm::{ArmError, ArmErrorKind, Barrier};
use crate::azure::credentials::{CredentialError, HalfSet};
use crate::azure::http::{HttpError, Insecure};
use crate::engine::act::RewriteError;

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} failed: ", self.operation(), self.resource())?;
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

/// What to do next, in the imperative.
fn advice(error: &ArmError) -> String {
    if let Some(advice) = error.own_advice() {
        return advice.to_owned();
    }
    match error.kind() {
        ArmErrorKind::Throttled { retry_after: Some(wait) } => {
            format!("wait {} before asking again", humantime::format_duration(wait))
        }
        ArmErrorKind::Throttled { retry_after: None } => "wait a minute before asking again".into(),
        ArmErrorKind::Conflict => {
            "wait until the other operation on it has ended, and try again, as the next run does".into()
        }
        ArmErrorKind::Forbidden => {
            let action = error.action().unwrap_or("this action");
            format!("give the identity {action} there; a new role assignment can take hours to show")
        }
        ArmErrorKind::Gone if error.operation().starts_with("SignalR_Operation") => {
            "the record of the operation has expired; the listed keys show how it ended".into()
        }
        ArmErrorKind::Gone => {
            let file = file_name();
            format!(
                "it does not exist: correct its id, or take it out of {file} if it was deleted on purpose"
            )
        }
        ArmErrorKind::OutcomeUnknown => {
            "it may or may not have taken effect; the next pass looks before anything is sent again".into()
        }
        ArmErrorKind::Unauthenticated => CHECK_THE_IDENTITY.into(),
        ArmErrorKind::OutOfTime => {
            "nothing was changed; try again with more time, as the next run does".into()
        }
        ArmErrorKind::Unavailable => "nothing was changed; try again, as the next run does".into(),
        ArmErrorKind::Barred(barrier) => of_barrier(barrier, error.operation()),
        ArmErrorKind::Elsewhere => {
            "no token is sent there; of an operation, the listed keys show how it ended".into()
        }
        ArmErrorKind::Refused => {
            "trying again will not help; the configuration or the resource must change".into()
        }
        ArmErrorKind::Malformed => "report this, with the correlation id if there is one".into(),
        ArmErrorKind::Page => {
            format!("{BETWEEN}: let this process reach Azure Resource Manager directly")
        }
    }
}

/// What to do about what forbids a request for good.
fn of_barrier(barrier: Barrier, operation: &str) -> String {
    match barrier {
            Barrier::Lock => "a lock refuses this: remove the read-only lock from the resource, its group or its subscription \
                (`az lock list` shows it); a CanNotDelete lock may stay"
                .into(),
            Barrier::DisabledSubscription => "the subscription is disabled and read-only: enable it again; until then no key \
                can be regenerated and no app be given another"
                .into(),
            Barrier::UnregisteredProvider => {
                let namespace =
                    if operation.starts_with("SignalR") { "Microsoft.SignalRService" } else { "Microsoft.Web" };
                format!("register the resource provider: az provider register --namespace {namespace}")
            }
            Barrier::Policy => "an Azure Policy refuses this, and no role cures it: exempt the resource from the assignment \
                that Azure names (`az policy exemption create`)"
                .into(),
            Barrier::DenyAssignment => "a deny assignment refuses this, and no role cures it: exclude the identity from it in \
                the deployment stack or managed application that made it"
                .into(),
            Barrier::UnknownSubscription => format!(
                "the tenant of the identity knows no such subscription: check the id in {}, and the tenant that you are \
                 signed in to (`az account list`)",
                file_name()
            ),
            Barrier::OtherTenant => "the identity is of another tenant than the subscription: take an identity of that \
                tenant (`az login --tenant …` on a developer's machine)"
                .into(),
            Barrier::NoKeys => "access keys are switched off (disableLocalAuth), which deleted both keys and ended every token: \
                apps that hold one are refused. Let them connect by identity, or switch keys on again: the next run gives \
                them the new ones. `signalr-rekey doctor` names the apps and the commands"
                .into(),
            Barrier::ContentShare => "the app's own content share is out of order, and nothing was written: correct \
                WEBSITE_CONTENTAZUREFILECONNECTIONSTRING and WEBSITE_CONTENTSHARE of the app; where they are references, \
                set WEBSITE_SKIP_CONTENTSHARE_VALIDATION to 1"
                .into(),
        }
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm { consumer, error } => write!(f, "{}: {error}", consumer.name()),
            Self::Locked { consumer, .. } => write!(f, "{}: not written", consumer.name()),
            Self::Overwritten { place } => write!(
                f,
                "{}: the {} were written and do not hold the new key; somebody else writes them at the same time. The next \
                 run tries again",
                place.consumer().name(),
                place.name()
            ),
        }
    }
}

impl fmt::Display for HalfSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, given, purpose } = self;
        write!(f, "{missing} is not set, but {given} is: set both for {purpose}, or neither")
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HalfConfigured(half) => half.fmt(f),
            Self::NoIdentity => f.write_str(
                "this app has no managed identity (IDENTITY_ENDPOINT is not set): assign one to it, and give it the role that \
                 the README names",
            ),
            Self::Unusable(what, _) => write!(f, "the credential of {what} could not be made"),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the HTTP client could not be set up")
    }
}

impl fmt::Display for Insecure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is neither https nor on loopback: credentials go nowhere else, write its https:// URL instead",
            self.0
        )
    }
}
