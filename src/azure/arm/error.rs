//! What can go wrong with a request, as far as it changes what is done next.
//!
//! Start at [`ArmErrorKind`]. This is the one file that knows Azure's statuses and error codes; everything else
//! matches on the kind.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::contract::{About, Effect, Subject};
use crate::report::text::azure as words;

/// A request to Azure Resource Manager that failed.
///
/// `Display` is a sentence for the operator: what failed, on which resource, what Azure said, and what to do next. It
/// never repeats [`Error::source`], and holds no key, no setting's value and no query of a URL (queries carry signatures).
pub struct ArmError(Box<Inner>);

struct Inner {
    kind: ArmErrorKind,
    operation: &'static str,
    subject: Subject,
    action: Option<&'static str>,
    resource: String,
    status: Option<u16>,
    code: Option<String>,
    message: String,
    correlation_id: Option<String>,
    resend: bool,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// What to do next, where whoever asked knows it better than the kind tells.
    advice: Option<String>,
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
}

impl ArmError {
    /// What to do next, where whoever asked knows it better than the kind tells.
    pub(crate) fn own_advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// What is to be decided.
    #[must_use]
    pub fn kind(&self) -> ArmErrorKind {
        self.0.kind
    }

    /// Whether it passes by itself: Azure is busy, with us, with another operation or with itself. Everything else stays
    /// until a person does something about it, or is an [`ArmErrorKind::OutcomeUnknown`].
    #[must_use]
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
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The action that a role has to allow for it.
    pub(crate) fn action(&self) -> Option<&'static str> {
        self.0.action
    }

    /// Whether it is about a regeneration that Azure was asked to follow.
    pub(crate) fn is_of_an_operation(&self) -> bool {
        self.0.subject == Subject::Regeneration
    }

    /// The path that was asked, without its query.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.0.resource
    }

    /// The HTTP status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Azure's error code.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Azure's message, or ours where Azure said nothing.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `x-ms-correlation-request-id`: what Azure's support asks for.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    pub(super) fn new(kind: ArmErrorKind, about: &About<'_>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation: about.operation,
            subject: about.subject,
            action: about.action,
            resource: about.resource.to_owned(),
            status: None,
            code: None,
            message: message.into(),
            correlation_id: None,
            resend: false,
            retry_after: None,
            source: None,
            advice: None,
        }))
    }

    /// The same error with another advice: of what a flag named, `rekey.toml` is not to blame.
    #[must_use]
    pub(crate) fn advising(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// The connection failed before an answer came. `late` says that the deadline has passed.
    pub(super) fn transport(about: &About<'_>, effect: Effect, error: reqwest::Error, late: bool) -> Self {
        let (kind, resend, message) = match effect {
            _ if error.is_builder() => (ArmErrorKind::Refused, false, words::NOT_MADE),
            _ if error.is_connect() => (ArmErrorKind::Unavailable, true, words::NO_CONNECTION),
            Effect::Change => (ArmErrorKind::OutcomeUnknown, false, words::NO_ANSWER_TO_A_CHANGE),
            Effect::Read if late => (ArmErrorKind::OutOfTime, false, words::NO_ANSWER_IN_TIME),
            Effect::Read => (ArmErrorKind::Unavailable, true, words::NO_WHOLE_ANSWER),
        };
        // The URL would show the signature of an operation.
        Self::new(kind, about, message).resend(resend).caused_by(error.without_url())
    }

    /// Azure answered with something other than success.
    pub(super) fn refusal(about: &About<'_>, effect: Effect, refusal: Refusal) -> Self {
        let kind = classify(about, effect, &refusal);
        let Refusal { status, retry_after, said: Said { code, message, .. }, correlation_id } = refusal;
        let resend = matches!(kind, ArmErrorKind::Throttled { .. } | ArmErrorKind::Unavailable);
        let mut error = Self::new(kind, about, message).resend(resend);
        error.0.status = Some(status);
        error.0.retry_after = retry_after;
        error.0.code = code;
        error.0.correlation_id = correlation_id;
        error
    }

    #[must_use]
    pub(super) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    #[must_use]
    pub(super) fn answered(mut self, status: u16, correlation_id: Option<String>) -> Self {
        self.0.status = Some(status);
        self.0.correlation_id = correlation_id;
        self
    }

    #[must_use]
    fn resend(mut self, resend: bool) -> Self {
        self.0.resend = resend;
        self
    }

    /// Whether the same request may be sent again at once.
    pub(super) fn may_resend(&self) -> bool {
        self.0.resend
    }

    /// Whether Azure does not take the token, which another may cure.
    pub(super) fn is_about_the_token(&self) -> bool {
        self.0.kind == ArmErrorKind::Unauthenticated && self.0.status == Some(401)
    }

    /// What else is to be said.
    #[must_use]
    pub(super) fn adding(mut self, what: &str) -> Self {
        self.0.message = format!("{}; {what}", self.0.message);
        self
    }

    /// Azure's `Retry-After`, which comes with 429 and, at times, with 503.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// An operation's URL that is answered 404 has expired, whatever code the provider gives it.
    #[must_use]
    pub(super) fn of_operation(mut self) -> Self {
        if matches!(self.0.status, Some(404 | 410)) {
            self.0.kind = ArmErrorKind::Gone;
        }
        self
    }

    /// Takes secrets that were sent out of what Azure said about them.
    #[must_use]
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
        let shown = (self.kind(), self.to_string(), source);
        f.debug_tuple("ArmError").field(&shown.0).field(&shown.1).field(&shown.2).finish()
    }
}

impl Error for ArmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Shorter texts are no keys, and are found in every sentence.
const SHORTEST_SECRET: usize = 8;

/// Takes a secret out of what was made [`tidy`], also where that has cut it off in the middle.
fn redact(text: &mut String, secret: &str) {
    let secret = tidy(secret, usize::MAX);
    if secret.len() < SHORTEST_SECRET {
        return;
    }
    *text = text.replace(&secret, "[redacted]");
    let Some(kept) = text.strip_suffix('…') else { return };
    let mut parts = secret.char_indices().map(|(end, _)| &secret[..end]).rev();
    let cut = parts.find(|part| part.len() >= SHORTEST_SECRET && kept.ends_with(part));
    if let Some(part) = cut {
        *text = format!("{}[redacted]…", &kept[..kept.len() - part.len()]);
    }
}

/// An answer other than success, read.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) said: Said,
    pub(super) correlation_id: Option<String>,
}

/// What an error body says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Option<String>,
    pub(super) message: String,
    /// The codes of its details: the code itself may be that of a wrapper, like `InvalidTemplateDeployment`.
    pub(super) details: Vec<String>,
}

impl Said {
    fn codes(&self) -> impl Iterator<Item = &str> {
        self.code.iter().chain(&self.details).map(String::as_str)
    }

    fn says_one_of(&self, wanted: &[&str]) -> bool {
        self.codes().any(|code| wanted.iter().any(|wanted| code.eq_ignore_ascii_case(wanted)))
    }
}

/// The codes that say what forbids a request for good. They come with different statuses: a 409 is not always "busy", nor
/// a 403 always a matter of roles (docs: Lock your resources; Resolve errors for resource provider registration; Resolve
/// errors for policy; Understand deny assignments; Troubleshoot common deployment errors).
const BARRIERS: [(&str, Barrier); 7] = [
    ("ScopeLocked", Barrier::Lock),
    ("ReadOnlyDisabledSubscription", Barrier::DisabledSubscription),
    ("MissingSubscriptionRegistration", Barrier::UnregisteredProvider),
    ("RequestDisallowedByPolicy", Barrier::Policy),
    ("DenyAssignmentAuthorizationFailed", Barrier::DenyAssignment),
    ("SubscriptionNotFound", Barrier::UnknownSubscription),
    ("InvalidAuthenticationTokenTenant", Barrier::OtherTenant),
];

/// The codes of a right that lacks.
const FORBIDDEN: [&str; 2] = ["AuthorizationFailed", "LinkedAuthorizationFailed"];

/// Azure's codes for "another operation is at work", the first also where Microsoft.Web gives it with 429 (recorded 2018).
const CONFLICT: [&str; 2] = ["Conflict", "AnotherOperationInProgress"];

/// The codes of a 404 that say: this does not exist. Others do not, nor does a bare 404 of some proxy: an app counts as
/// deleted only if Azure says so.
const GONE: [&str; 4] = ["ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "NotFound"];

/// Goes by Azure's code where that tells more than the status, and by the status else.
fn classify(about: &About<'_>, effect: Effect, refusal: &Refusal) -> ArmErrorKind {
    let Refusal { status, retry_after, said, .. } = refusal;
    let is_refusal = (400..500).contains(status);
    match status {
        _ if is_refusal && barrier(said).is_some() => {
            barrier(said).map_or(ArmErrorKind::Refused, ArmErrorKind::Barred)
        }
        _ if is_refusal && is_about_keys_that_are_off(about, said) => ArmErrorKind::Barred(Barrier::NoKeys),
        _ if is_refusal && said.says_one_of(&FORBIDDEN) => ArmErrorKind::Forbidden,
        401 => ArmErrorKind::Unauthenticated,
        _ if is_refusal && is_about_the_share(about, effect, said) => {
            ArmErrorKind::Barred(Barrier::ContentShare)
        }
        403 => ArmErrorKind::Forbidden,
        404 | 410 if said.says_one_of(&GONE) => ArmErrorKind::Gone,
        409 => ArmErrorKind::Conflict,
        429 if said.says_one_of(&CONFLICT) => ArmErrorKind::Conflict,
        429 => ArmErrorKind::Throttled { retry_after: *retry_after },
        408 | 500.. if effect == Effect::Change => ArmErrorKind::OutcomeUnknown,
        408 | 500.. => ArmErrorKind::Unavailable,
        _ => ArmErrorKind::Refused,
    }
}

fn barrier(said: &Said) -> Option<Barrier> {
    BARRIERS.iter().find(|(code, _)| said.says_one_of(&[code])).map(|(_, barrier)| *barrier)
}

/// Whether a code says that what failed fails again until a person does something about it.
pub(super) fn is_lasting_code(code: &str) -> bool {
    let barriers = BARRIERS.iter().map(|(code, _)| code);
    barriers.chain(&FORBIDDEN).any(|wanted| code.eq_ignore_ascii_case(wanted))
}

/// Whether the service says that it has no access keys. Neither code nor words are documented for the services here; the
/// switch has the same name in all of Azure (`disableLocalAuth`), and refusals of other services name it in their code
/// or their words.
fn is_about_keys_that_are_off(about: &About<'_>, said: &Said) -> bool {
    let names_it = |text: &str| {
        let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
        let letters = letters.to_ascii_lowercase();
        letters.contains("localauth")
    };
    let of_service = matches!(about.subject, Subject::Service | Subject::Regeneration);
    of_service && (said.codes().any(names_it) || names_it(&said.message))
}

/// Whether a write of settings was refused because of the share that holds the app's content, which Azure validates, and
/// may make, when the settings that name it are written (docs: Use Key Vault references, "Considerations for Azure Files
/// mounting"). No code is documented for that, so its words are looked at.
fn is_about_the_share(about: &About<'_>, effect: Effect, said: &Said) -> bool {
    let message = said.message.to_ascii_lowercase();
    let named = ["website_content", "file share", "fileshare", "content share", "contentshare"];
    effect == Effect::Change
        && about.subject == Subject::Consumer
        && named.iter().any(|words| message.contains(words))
}

/// How much of Azure's words is repeated: its longest usual message (AuthorizationFailed, with two ids and a scope) is
/// about 400 characters.
pub(super) const LONGEST_MESSAGE: usize = 600;
const LONGEST_FOREIGN_TEXT: usize = 200;
pub(super) const LONGEST_CODE: usize = 100;
/// How many details are looked at; a policy has one for each assignment that denies.
const MOST_DETAILS: usize = 100;

/// Whether a body is a page of HTML.
pub(super) fn is_page(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    body.starts_with(b"<") && !body.starts_with(b"<?xml")
}

/// Azure's code and message, from either of the shapes of its error bodies: `{"error":{"code","message"}}` (swagger,
/// common-types ErrorResponse) and Microsoft.Web's capitalised `{"Code","Message"}`. A body that is no JSON is repeated
/// only if `may_repeat`: answers that belong to secrets are not.
pub(super) fn read_error_body(body: &[u8], may_repeat: bool) -> Said {
    let said_nothing = || words::NO_REASON.to_owned();
    let Ok(body_read) = serde_json::from_slice::<ErrorBody>(body) else {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        let text = String::from_utf8_lossy(body);
        let page = is_page(body).then(words::page);
        let text = tidy(&text, LONGEST_FOREIGN_TEXT);
        let text = Some(text).filter(|text| may_repeat && !is_json && !text.is_empty());
        let message = match (page, text) {
            (Some(page), Some(text)) => format!("{page}: {text}"),
            (page, text) => page.or(text).unwrap_or_else(said_nothing),
        };
        return Said { code: None, message, details: vec![] };
    };
    let detail = body_read.error.unwrap_or(body_read.bare);
    let code = detail.code.map(|code| tidy(&code, LONGEST_CODE)).filter(|code| !code.is_empty());
    let message = detail.message.map(|message| tidy(&message, LONGEST_MESSAGE));
    let details = detail.details.into_iter().flatten().filter_map(|detail| detail.code);
    Said {
        code,
        message: message.filter(|message| !message.is_empty()).unwrap_or_else(said_nothing),
        details: details.take(MOST_DETAILS).collect(),
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Option<ErrorDetail>,
    #[serde(flatten)]
    bare: ErrorDetail,
}

/// The `error` of an error body or of an operation's status.
#[derive(Clone, Deserialize)]
pub(super) struct ErrorDetail {
    #[serde(alias = "Code")]
    pub(super) code: Option<String>,
    #[serde(alias = "Message")]
    pub(super) message: Option<String>,
    #[serde(default, alias = "Details", deserialize_with = "details")]
    details: Option<Vec<Detail>>,
}

#[derive(Clone, Deserialize)]
struct Detail {
    #[serde(alias = "Code")]
    code: Option<String>,
}

/// Details of another shape cost their codes, and not the error that they belong to.
fn details<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Detail>>, D::Error> {
    let read = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(read).ok())
}

/// One line of at most `longest` characters, without the full stop at its end.
pub(super) fn tidy(text: &str, longest: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|character| !character.is_control()).collect();
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About<'static> = About {
        operation: "SignalR_RegenerateKey",
        subject: Subject::Service,
        action: Some("Microsoft.SignalRService/SignalR/regeneratekey/action"),
        resource: "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat/regenerateKey",
    };

    fn answered(status: u16, body: &str, effect: Effect, retry_after: Option<Duration>) -> ArmError {
        about(&ABOUT, status, body, effect, retry_after)
    }

    fn about(
        about: &About<'_>,
        status: u16,
        body: &str,
        effect: Effect,
        retry_after: Option<Duration>,
    ) -> ArmError {
        let said = read_error_body(body.as_bytes(), true);
        let correlation_id = Some("1c0f".to_owned());
        ArmError::refusal(about, effect, Refusal { status, retry_after, said, correlation_id })
    }

    #[test]
    fn what_azure_answers_decides_what_is_done() {
        use ArmErrorKind::{
            Conflict, Forbidden, Gone, OutcomeUnknown, Refused, Throttled, Unauthenticated, Unavailable,
        };
        let throttled = Throttled { retry_after: None };
        let shaped = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        let capitals =
            |code: &str| format!(r#"{{"Code":"{code}","Message":"m","Target":null,"Details":[]}}"#);
        // Status and body; then, for a read and for a change, the kind and whether it is sent again.
        for (status, body, read, change) in [
            (400, shaped("BadRequest"), (Refused, false), (Refused, false)),
            (401, shaped("ExpiredAuthenticationToken"), (Unauthenticated, false), (Unauthenticated, false)),
            (403, shaped("AuthorizationFailed"), (Forbidden, false), (Forbidden, false)),
            (404, shaped("ResourceNotFound"), (Gone, false), (Gone, false)),
            (404, shaped("ResourceGroupNotFound"), (Gone, false), (Gone, false)),
            (404, capitals("NotFound"), (Gone, false), (Gone, false)),
            (404, "<html>nginx</html>".into(), (Refused, false), (Refused, false)),
            (408, shaped("RequestTimeout"), (Unavailable, true), (OutcomeUnknown, false)),
            (409, shaped("AnotherOperationInProgress"), (Conflict, false), (Conflict, false)),
            (429, shaped("SubscriptionRequestsThrottled"), (throttled, true), (throttled, true)),
            (429, capitals("Conflict"), (Conflict, false), (Conflict, false)),
            (429, shaped("Conflict"), (Conflict, false), (Conflict, false)),
            (302, String::new(), (Refused, false), (Refused, false)),
            (500, shaped("InternalServerError"), (Unavailable, true), (OutcomeUnknown, false)),
            (503, "busy".into(), (Unavailable, true), (OutcomeUnknown, false)),
            (504, shaped("GatewayTimeout"), (Unavailable, true), (OutcomeUnknown, false)),
        ] {
            for (effect, wanted) in [(Effect::Read, read), (Effect::Change, change)] {
                let error = answered(status, &body, effect, None);
                assert_eq!((error.kind(), error.may_resend()), wanted, "{status} {body} {effect:?}");
            }
        }
    }

    /// `{"error":{…}}` with this code, and one detail where one is given.
    fn body_of(code: &str, detail: Option<&str>) -> String {
        let details = detail.map(|code| format!(r#","details":[{{"code":"Other"}},{{"code":"{code}"}}]"#));
        format!(r#"{{"error":{{"code":"{code}","message":"m"{}}}}}"#, details.unwrap_or_default())
    }

    #[test]
    fn what_forbids_for_good_goes_by_its_code_and_is_never_sent_again() {
        let barred = ArmErrorKind::Barred;
        for (status, code, detail, wanted) in [
            (409, "ScopeLocked", None, barred(Barrier::Lock)),
            (409, "scopelocked", None, barred(Barrier::Lock)),
            (403, "ScopeLocked", None, barred(Barrier::Lock)),
            (409, "ReadOnlyDisabledSubscription", None, barred(Barrier::DisabledSubscription)),
            (409, "MissingSubscriptionRegistration", None, barred(Barrier::UnregisteredProvider)),
            (403, "RequestDisallowedByPolicy", None, barred(Barrier::Policy)),
            (400, "InvalidTemplateDeployment", Some("RequestDisallowedByPolicy"), barred(Barrier::Policy)),
            (403, "DenyAssignmentAuthorizationFailed", None, barred(Barrier::DenyAssignment)),
            (404, "SubscriptionNotFound", None, barred(Barrier::UnknownSubscription)),
            (401, "InvalidAuthenticationTokenTenant", None, barred(Barrier::OtherTenant)),
            (403, "LinkedAuthorizationFailed", None, ArmErrorKind::Forbidden),
            (400, "LinkedAuthorizationFailed", None, ArmErrorKind::Forbidden),
            (401, "InvalidAuthenticationToken", None, ArmErrorKind::Unauthenticated),
            (400, "InvalidTemplateDeployment", Some("Other"), ArmErrorKind::Refused),
        ] {
            for effect in [Effect::Read, Effect::Change] {
                let error = answered(status, &body_of(code, detail), effect, None);
                assert_eq!(error.kind(), wanted, "{status} {code} {effect:?}");
                assert!(!error.may_resend() && !error.is_passing(), "{status} {code} {effect:?}");
            }
        }
    }

    #[test]
    fn what_passes_by_itself_is_known_by_its_kind() {
        for (status, code) in [
            (409, "Conflict"),
            (409, "AnotherOperationInProgress"),
            (429, "Conflict"),
            (429, "SubscriptionRequestsThrottled"),
            (503, "ServerBusy"),
            (408, "RequestTimeout"),
        ] {
            assert!(
                answered(status, &body_of(code, None), Effect::Read, None).is_passing(),
                "{status} {code}"
            );
        }
        assert!(!answered(500, "{}", Effect::Change, None).is_passing(), "nobody knows what it did");
    }

    #[test]
    fn a_content_share_is_named_where_settings_are_written_and_nowhere_else() {
        let app =
            About { operation: "WebApps_UpdateApplicationSettings", subject: Subject::Consumer, ..ABOUT };
        let (update, list) = ((&app, Effect::Change), (&app, Effect::Read));
        let share = r#"{"Code":"BadRequest","Message":"Creation of storage file share failed with: 'The remote server returned an error: (403) Forbidden.'"}"#;
        let setting = r#"{"error":{"code":"BadRequest","message":"WEBSITE_CONTENTAZUREFILECONNECTIONSTRING cannot be resolved"}}"#;
        let other = r#"{"error":{"code":"BadRequest","message":"The parameter name is not valid"}}"#;
        let role =
            r#"{"error":{"code":"AuthorizationFailed","message":"no action over scope /sites/file share"}}"#;
        for ((of, effect), status, body, wanted) in [
            (update, 400, share, ArmErrorKind::Barred(Barrier::ContentShare)),
            (update, 409, share, ArmErrorKind::Barred(Barrier::ContentShare)),
            (update, 403, setting, ArmErrorKind::Barred(Barrier::ContentShare)),
            (update, 400, other, ArmErrorKind::Refused),
            (update, 403, role, ArmErrorKind::Forbidden),
            (update, 500, share, ArmErrorKind::OutcomeUnknown),
            (list, 400, share, ArmErrorKind::Refused),
        ] {
            let error = about(of, status, body, effect, None);
            assert_eq!(error.kind(), wanted, "{effect:?} {status} {body}");
        }
    }

    #[test]
    fn both_shapes_of_error_bodies_are_read_and_others_are_not_repeated() {
        for (body, may_repeat, code, message) in [
            (r#"{"error":{"code":"A","message":"b.\n c."}}"#, false, Some("A"), "b. c"),
            (r#"{"Code":"A","Message":"b"}"#, false, Some("A"), "b"),
            (r#"{"error":{"code":"A"}}"#, true, Some("A"), "Azure gave no reason"),
            (r#"{"properties":{"S":"secret"}}"#, true, None, "Azure gave no reason"),
            (r#"["secret"]"#, true, None, "Azure gave no reason"),
            (
                "<html>  Bad\nGateway </html>",
                true,
                None,
                "an HTML page came instead of Azure Resource Manager's answer (a proxy, a firewall or a sign-in portal may \
                 be in between): <html> Bad Gateway </html>",
            ),
            (
                " <!DOCTYPE html><p>secret",
                false,
                None,
                "an HTML page came instead of Azure Resource Manager's answer (a proxy, a firewall or a sign-in portal may \
                 be in between)",
            ),
            ("<?xml version='1.0'?><Error/>", true, None, "<?xml version='1.0'?><Error/>"),
            ("AccessKey=secret", false, None, "Azure gave no reason"),
            ("", true, None, "Azure gave no reason"),
            (
                r#"{"Code":"A","Message":"b","Details":[{"Message":"c"},{"ErrorEntity":{}}]}"#,
                true,
                Some("A"),
                "b",
            ),
            (r#"{"error":{"code":"A","message":"b","details":"c"}}"#, true, Some("A"), "b"),
        ] {
            let read = read_error_body(body.as_bytes(), may_repeat);
            assert_eq!((read.code.as_deref(), read.message.as_str()), (code, message), "{body}");
        }
        let long = read_error_body("ä".repeat(1000).as_bytes(), true).message;
        assert_eq!(long.chars().count(), LONGEST_FOREIGN_TEXT + 1);
    }

    #[test]
    fn sentences_for_the_operator() {
        let denied = r#"{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.SignalRService/SignalR/regenerateKey/action'."}}"#;
        insta::assert_snapshot!(answered(403, denied, Effect::Change, None), @"cannot regenerate a key: 403 AuthorizationFailed, The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.SignalRService/SignalR/regenerateKey/action' (x-ms-correlation-request-id 1c0f); give the identity Microsoft.SignalRService/SignalR/regeneratekey/action there; a new role assignment can take hours to take effect");
        let wait = Some(Duration::from_secs(90));
        insta::assert_snapshot!(answered(429, "{}", Effect::Read, wait), @"cannot regenerate a key: 429, Azure gave no reason (x-ms-correlation-request-id 1c0f); wait 1m 30s before trying again");
        let late =
            ArmError::new(ArmErrorKind::OutOfTime, &ABOUT, "the deadline had passed before it was sent");
        insta::assert_snapshot!(late, @"cannot regenerate a key: the deadline had passed before it was sent; nothing was changed; try again with more time, as the next run does");
    }

    #[test]
    fn an_expired_operation_is_gone_whatever_its_code() {
        assert_eq!(answered(404, "", Effect::Read, None).of_operation().kind(), ArmErrorKind::Gone);
        assert_eq!(answered(400, "", Effect::Read, None).of_operation().kind(), ArmErrorKind::Refused);
    }

    #[test]
    fn what_was_sent_is_taken_out_of_what_azure_says() {
        let body = r#"{"error":{"code":"BadRequest","message":"value 'secret-key-1' of S is wrong"}}"#;
        let error = answered(400, body, Effect::Change, None).without(["secret-key-1", "is"].into_iter());
        assert_eq!(error.message(), "value '[redacted]' of S is wrong");
    }

    #[test]
    fn what_was_sent_is_not_in_a_code_nor_cut_in_half() {
        let secret = "Endpoint=https://a;  AccessKey=secret-key-1.";
        let body = format!(r#"{{"code":"{secret}","message":"{} {secret}"}}"#, "x".repeat(560));
        let error = answered(400, &body, Effect::Change, None).without([secret].into_iter());
        assert_eq!(error.code(), Some("[redacted]"));
        assert_eq!(error.message(), format!("{} [redacted]…", "x".repeat(560)));
    }
}
