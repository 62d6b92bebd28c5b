//! What can go wrong with a request, as far as it changes what is done next.
//!
//! Start at [`ArmErrorKind`]: everything else matches on it, and `refusal.rs` alone knows Azure's statuses and error codes.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::contract::{Effect, Operation, Subject};
use super::said::{Linked, redact};
use crate::report::text::azure as words;

/// A request to Azure Resource Manager that failed.
///
/// `Display` is a sentence for the operator: what failed, on which resource, what Azure said, and what to do next. It
/// never repeats [`Error::source`], and holds no key, no setting's value and no query of a URL (queries carry signatures).
pub struct ArmError(pub(super) Box<Inner>);

pub(super) struct Inner {
    pub(super) kind: ArmErrorKind,
    operation: Operation,
    resource: String,
    status: Option<u16>,
    pub(super) code: Option<String>,
    message: String,
    correlation_id: Option<String>,
    /// Whether the same request may be sent again at once.
    pub(super) resend: bool,
    /// Azure's `Retry-After`, which comes with 429 and, at times, with 503.
    pub(super) retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// What to do next, where whoever asked knows it better than the kind tells.
    advice: Option<String>,
    /// What lacks on another resource, where it is that.
    pub(super) linked: Option<Linked>,
}

/// What is to be decided about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmErrorKind {
    /// Too many requests, also after waiting; nothing was done. Wait at least that long.
    Throttled {
        /// Azure's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Another operation is at work on the resource; nothing was done. Wait until it ends.
    Conflict,
    /// The identity may not do this; nothing was done.
    Forbidden,
    /// The resource does not exist: Azure said so itself, in the words of its contract. For an operation: its record
    /// has expired.
    Gone,
    /// The request was sent, and its effect is not known. Look before anything is sent again.
    OutcomeUnknown,
    /// No token could be had, or Azure did not take it; nothing was done.
    Unauthenticated,
    /// The deadline came first; nothing was changed.
    OutOfTime,
    /// Azure or the network failed, also when asked again; nothing was changed.
    Unavailable,
    /// Something in Azure forbids it, whoever asks and however often; nothing was changed.
    Barred(Barrier),
    /// Azure refused the request, or it could not be made; nothing was changed, and the same request will be refused again.
    Refused,
    /// The URL that Azure gave us leads off the host that was asked, or nowhere. It was not asked: a token goes to that
    /// host alone.
    Elsewhere,
    /// The answer is not what the contract says.
    Malformed,
    /// The answer is a page of HTML: something else answers in the place of Azure Resource Manager.
    Page,
}

/// What forbids a request for good: neither a role nor waiting cures it, a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// A lock on the resource, or on what it lies in. One that is read-only refuses every POST, listing keys and
    /// settings too.
    Lock,
    /// The subscription is disabled: what is there can be read, and not changed.
    DisabledSubscription,
    /// The subscription is not registered with the resource provider.
    UnregisteredProvider,
    /// An Azure Policy with the effect `deny`.
    Policy,
    /// A deny assignment, as deployment stacks and managed applications make them.
    DenyAssignment,
    /// The tenant of the identity knows no such subscription.
    UnknownSubscription,
    /// The token is of another tenant than the subscription.
    OtherTenant,
    /// Access keys are switched off, which has deleted both: there is nothing to list and nothing to regenerate, and
    /// whoever holds one is refused.
    NoKeys,
    /// The app's own content share is out of order, which Azure looks at before it writes settings.
    ContentShare,
    /// The firewall of a Key Vault does not let us in.
    VaultFirewall,
    /// A Key Vault takes no calls but through its private endpoints.
    VaultPrivate,
    /// A Key Vault goes by access policies, and none lets us do this.
    VaultPolicy,
    /// The newest version of a secret is disabled.
    SecretDisabled,
    /// A secret was deleted, and may be recovered.
    SecretDeleted,
    /// The store's network rules, or its private endpoint, do not let us in.
    StoreFirewall,
    /// A key-value is locked: it can be read, and not written.
    KeyValueLocked,
    /// The store has no key-value of that key and label.
    NoKeyValue,
}

impl ArmError {
    /// What to do next, where whoever asked knows it better than the kind tells.
    pub(crate) fn own_advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// What is to be decided.
    pub fn kind(&self) -> ArmErrorKind {
        self.0.kind
    }

    /// Whether it passes by itself: Azure is busy, with us, with another operation or with itself. Everything else stays
    /// until a person does something about it, or is an [`ArmErrorKind::OutcomeUnknown`].
    pub fn is_passing(&self) -> bool {
        matches!(
            self.0.kind,
            ArmErrorKind::Throttled { .. }
                | ArmErrorKind::Conflict
                | ArmErrorKind::Unavailable
                | ArmErrorKind::OutOfTime
        )
    }

    /// The operation by its name in Azure's contract, like `SignalR_RegenerateKey`.
    pub fn operation(&self) -> &'static str {
        self.0.operation.name
    }

    /// The action that a role has to allow for it.
    pub(crate) fn action(&self) -> Option<&'static str> {
        self.0.operation.actions.first().copied()
    }

    /// The right that lacks on another resource, where Azure named one.
    pub(crate) fn linked(&self) -> Option<&Linked> {
        self.0.linked.as_ref()
    }

    /// Whether a vault refused it.
    pub(crate) fn is_of_a_vault(&self) -> bool {
        self.0.operation.is_of_a_vault()
    }

    /// Whether all that a vault or store has was asked for, so that what is not there is the vault or store itself.
    pub(crate) fn is_of_a_list(&self) -> bool {
        matches!(self.0.operation.name, "KeyVault_GetSecrets" | "AppConfiguration_GetKeyValues")
    }

    /// Whether it is about a regeneration that Azure was asked to follow.
    pub(crate) fn is_of_an_operation(&self) -> bool {
        self.0.operation.subject == Subject::Regeneration
    }

    /// The path that was asked, without its query.
    pub fn resource(&self) -> &str {
        &self.0.resource
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Azure's error code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Azure's message, or ours where Azure said nothing.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `x-ms-correlation-request-id`: what Azure's support asks for.
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    pub(in crate::azure) fn new(
        kind: ArmErrorKind,
        operation: Operation,
        resource: &str,
        message: &str,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            resource: resource.to_owned(),
            status: None,
            code: None,
            message: message.to_owned(),
            correlation_id: None,
            resend: false,
            retry_after: None,
            source: None,
            advice: None,
            linked: None,
        }))
    }

    /// The same error with another advice: of what a flag named, `rekey.toml` is not to blame.
    pub(crate) fn advising(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// The connection failed before an answer came. `late` says that the deadline has passed.
    pub(super) fn transport(operation: Operation, resource: &str, error: reqwest::Error, late: bool) -> Self {
        let (kind, resend, message) = match operation.effect {
            _ if error.is_builder() => (ArmErrorKind::Refused, false, words::NOT_MADE),
            _ if error.is_connect() => (ArmErrorKind::Unavailable, true, words::NO_CONNECTION),
            Effect::Change => (ArmErrorKind::OutcomeUnknown, false, words::NO_ANSWER_TO_A_CHANGE),
            Effect::Read if late => (ArmErrorKind::OutOfTime, false, words::NO_ANSWER_IN_TIME),
            Effect::Read => (ArmErrorKind::Unavailable, true, words::NO_WHOLE_ANSWER),
        };
        // The URL would show the signature of an operation.
        let mut failed = Self::new(kind, operation, resource, message).caused_by(error.without_url());
        failed.0.resend = resend;
        failed
    }

    pub(super) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Whether Azure does not take the token, which another may cure.
    pub(super) fn is_about_the_token(&self) -> bool {
        self.0.kind == ArmErrorKind::Unauthenticated && self.0.status == Some(401)
    }

    pub(super) fn answered(mut self, status: u16, correlation_id: Option<String>) -> Self {
        (self.0.status, self.0.correlation_id) = (Some(status), correlation_id);
        self
    }

    /// What else is to be said.
    pub(super) fn adding(mut self, what: &str) -> Self {
        self.0.message = format!("{}; {what}", self.0.message);
        self
    }

    /// An operation's URL that is answered 404 has expired, whatever code the provider gives it.
    pub(super) fn of_operation(mut self) -> Self {
        if matches!(self.0.status, Some(404 | 410)) {
            self.0.kind = ArmErrorKind::Gone;
        }
        self
    }

    /// Takes secrets that were sent out of what Azure said about them.
    pub(crate) fn without<'a>(mut self, secrets: impl Iterator<Item = &'a str>) -> Self {
        for secret in secrets {
            redact(&mut self.0.message, secret);
            self.0.code.iter_mut().for_each(|code| redact(code, secret));
        }
        self
    }
}

impl fmt::Debug for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A source is shown by its Display: the Debug of azure_core's errors holds whole answers.
        let source = self.source().map(ToString::to_string);
        f.debug_tuple("ArmError").field(&self.kind()).field(&self.to_string()).field(&source).finish()
    }
}

impl Error for ArmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
