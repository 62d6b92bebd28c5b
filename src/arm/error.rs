//! What can go wrong with a request, as far as it changes what is done next.
//!
//! Start at [`ArmErrorKind`]. This is the one file that knows Azure's statuses and error codes; everything else
//! matches on the kind.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::rbac;

/// A request to Azure Resource Manager that failed.
///
/// `Display` is a sentence for the operator: what failed, on which resource, what Azure said, and what to do next. It
/// never repeats [`Error::source`], and holds no key, no setting's value and no query of a URL (queries carry signatures).
pub struct ArmError(Box<Inner>);

struct Inner {
    kind: ArmErrorKind,
    operation: &'static str,
    resource: String,
    status: Option<u16>,
    code: Option<String>,
    message: String,
    correlation_id: Option<String>,
    resend: bool,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
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
    /// Azure refused the request, or it could not be made; nothing was changed, and the same request will be refused again.
    Refused,
    /// The answer is not what the contract says, or leads off the host that was asked.
    Malformed,
}

/// What a request does, and with that what may be done when its answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changes nothing: it may be sent again after any failure.
    Read,
    /// It changes something: once it has left us it is sent again only if Azure said that nothing was done.
    Change,
}

impl ArmError {
    /// What is to be decided.
    #[must_use]
    pub fn kind(&self) -> ArmErrorKind {
        self.0.kind
    }

    /// The operation by its name in Azure's contract, like `SignalR_RegenerateKey`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
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
            resource: about.resource.to_owned(),
            status: None,
            code: None,
            message: message.into(),
            correlation_id: None,
            resend: false,
            retry_after: None,
            source: None,
        }))
    }

    /// The connection failed before an answer came. `late` says that the deadline has passed.
    pub(super) fn transport(about: &About<'_>, effect: Effect, error: reqwest::Error, late: bool) -> Self {
        let (kind, resend, message) = match effect {
            _ if error.is_builder() => (ArmErrorKind::Refused, false, "the request could not be made"),
            _ if error.is_connect() => (ArmErrorKind::Unavailable, true, "no connection could be made"),
            Effect::Change => (ArmErrorKind::OutcomeUnknown, false, "it was sent, and no answer came"),
            Effect::Read if late => (ArmErrorKind::OutOfTime, false, "no answer came before the deadline"),
            Effect::Read => (ArmErrorKind::Unavailable, true, "no whole answer came"),
        };
        // The URL would show the signature of an operation.
        Self::new(kind, about, message).resend(resend).caused_by(error.without_url())
    }

    /// Azure answered with something other than success.
    pub(super) fn refusal(about: &About<'_>, effect: Effect, refusal: Refusal) -> Self {
        let Refusal { status, retry_after, code, message, correlation_id } = refusal;
        let kind = classify(status, code.as_deref(), effect, retry_after);
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
    pub(super) fn without<'a>(mut self, secrets: impl Iterator<Item = &'a str>) -> Self {
        for secret in secrets {
            redact(&mut self.0.message, secret);
            self.0.code.iter_mut().for_each(|code| redact(code, secret));
        }
        self
    }

    /// What to do next, in the imperative.
    fn advice(&self) -> String {
        match self.0.kind {
            ArmErrorKind::Throttled { retry_after: Some(wait) } => {
                format!("wait {} before asking again", humantime::format_duration(wait))
            }
            ArmErrorKind::Throttled { retry_after: None } => "wait a minute before asking again".into(),
            ArmErrorKind::Conflict => {
                "wait until the other operation on it has ended; the next pass tries again".into()
            }
            ArmErrorKind::Forbidden => {
                let action = rbac::action(self.0.operation).unwrap_or("this action");
                format!("give the identity {action} there; a new role assignment can take hours to show")
            }
            ArmErrorKind::Gone if self.0.operation.starts_with("SignalR_Operation") => {
                "the record of the operation has expired; the listed keys show how it ended".into()
            }
            ArmErrorKind::Gone => "it no longer exists; take it out of rekey.toml if that is meant".into(),
            ArmErrorKind::OutcomeUnknown => {
                "it may or may not have taken effect; the next pass looks before anything is sent again"
                    .into()
            }
            ArmErrorKind::Unauthenticated => {
                "check the identity: a managed identity in Azure, `az login` on a developer's machine".into()
            }
            ArmErrorKind::OutOfTime => "nothing was changed; the next pass carries on".into(),
            ArmErrorKind::Unavailable => "nothing was changed; the next pass tries again".into(),
            ArmErrorKind::Refused => {
                "trying again will not help; the configuration or the resource must change".into()
            }
            ArmErrorKind::Malformed => "report this, with the correlation id if there is one".into(),
        }
    }
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, resource, status, code, message, correlation_id, .. } = &*self.0;
        write!(f, "{operation} on {resource} failed: ")?;
        match (status, code) {
            (Some(status), Some(code)) => write!(f, "{status} {code}, ")?,
            (Some(status), None) => write!(f, "{status}, ")?,
            (None, _) => {}
        }
        write!(f, "{message}")?;
        if let Some(id) = correlation_id {
            write!(f, " (x-ms-correlation-request-id {id})")?;
        }
        write!(f, "; {}", self.advice())
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

/// What an error is about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) operation: &'static str,
    pub(super) resource: &'a str,
}

/// An answer other than success, read.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) correlation_id: Option<String>,
}

/// Azure's code for "another operation is at work", also where Microsoft.Web gives it with 429 (recorded 2018).
const CONFLICT: &str = "Conflict";

/// The codes of a 404 that say: this does not exist. Others do not (`SubscriptionNotFound` also means a token of
/// another tenant), nor does a bare 404 of some proxy: an app counts as deleted only if Azure says so.
const GONE: [&str; 4] = ["ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "NotFound"];

fn classify(status: u16, code: Option<&str>, effect: Effect, retry_after: Option<Duration>) -> ArmErrorKind {
    let is = |wanted: &str| code.is_some_and(|code| code.eq_ignore_ascii_case(wanted));
    match status {
        401 => ArmErrorKind::Unauthenticated,
        403 => ArmErrorKind::Forbidden,
        404 | 410 if GONE.into_iter().any(is) => ArmErrorKind::Gone,
        409 => ArmErrorKind::Conflict,
        429 if is(CONFLICT) => ArmErrorKind::Conflict,
        429 => ArmErrorKind::Throttled { retry_after },
        408 | 500.. if effect == Effect::Change => ArmErrorKind::OutcomeUnknown,
        408 | 500.. => ArmErrorKind::Unavailable,
        _ => ArmErrorKind::Refused,
    }
}

/// How much of Azure's words is repeated: its longest usual message (AuthorizationFailed, with two ids and a scope) is
/// about 400 characters.
pub(super) const LONGEST_MESSAGE: usize = 600;
const LONGEST_FOREIGN_TEXT: usize = 200;
pub(super) const LONGEST_CODE: usize = 100;

/// Azure's code and message, from either of the shapes of its error bodies: `{"error":{"code","message"}}` (swagger,
/// common-types ErrorResponse) and Microsoft.Web's capitalised `{"Code","Message"}`. A body that is no JSON is repeated
/// only if `may_repeat`: answers that belong to secrets are not.
pub(super) fn read_error_body(body: &[u8], may_repeat: bool) -> (Option<String>, String) {
    let said_nothing = || "Azure gave no reason".to_owned();
    let Ok(body_read) = serde_json::from_slice::<ErrorBody>(body) else {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        let text = String::from_utf8_lossy(body);
        let text = tidy(&text, LONGEST_FOREIGN_TEXT);
        return (None, if may_repeat && !is_json && !text.is_empty() { text } else { said_nothing() });
    };
    let detail = body_read.error.unwrap_or(body_read.bare);
    let code = detail.code.map(|code| tidy(&code, LONGEST_CODE)).filter(|code| !code.is_empty());
    let message = detail.message.map(|message| tidy(&message, LONGEST_MESSAGE));
    (code, message.filter(|message| !message.is_empty()).unwrap_or_else(said_nothing))
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
        resource: "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat/regenerateKey",
    };

    fn answered(status: u16, body: &str, effect: Effect, retry_after: Option<Duration>) -> ArmError {
        let (code, message) = read_error_body(body.as_bytes(), true);
        let correlation_id = Some("1c0f".to_owned());
        ArmError::refusal(&ABOUT, effect, Refusal { status, retry_after, code, message, correlation_id })
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
            (404, shaped("SubscriptionNotFound"), (Refused, false), (Refused, false)),
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

    #[test]
    fn both_shapes_of_error_bodies_are_read_and_others_are_not_repeated() {
        for (body, may_repeat, code, message) in [
            (r#"{"error":{"code":"A","message":"b.\n c."}}"#, false, Some("A"), "b. c"),
            (r#"{"Code":"A","Message":"b"}"#, false, Some("A"), "b"),
            (r#"{"error":{"code":"A"}}"#, true, Some("A"), "Azure gave no reason"),
            (r#"{"properties":{"S":"secret"}}"#, true, None, "Azure gave no reason"),
            (r#"["secret"]"#, true, None, "Azure gave no reason"),
            ("<html>  Bad\nGateway </html>", true, None, "<html> Bad Gateway </html>"),
            ("AccessKey=secret", false, None, "Azure gave no reason"),
            ("", true, None, "Azure gave no reason"),
        ] {
            let read = read_error_body(body.as_bytes(), may_repeat);
            assert_eq!(read, (code.map(Into::into), message.into()), "{body}");
        }
        let (_, long) = read_error_body("ä".repeat(1000).as_bytes(), true);
        assert_eq!(long.chars().count(), LONGEST_FOREIGN_TEXT + 1);
    }

    #[test]
    fn sentences_for_the_operator() {
        let denied = r#"{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.SignalRService/SignalR/regenerateKey/action'."}}"#;
        insta::assert_snapshot!(answered(403, denied, Effect::Change, None), @"SignalR_RegenerateKey on /subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat/regenerateKey failed: 403 AuthorizationFailed, The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.SignalRService/SignalR/regenerateKey/action' (x-ms-correlation-request-id 1c0f); give the identity Microsoft.SignalRService/SignalR/regeneratekey/action there; a new role assignment can take hours to show");
        let wait = Some(Duration::from_secs(90));
        insta::assert_snapshot!(answered(429, "{}", Effect::Read, wait), @"SignalR_RegenerateKey on /subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat/regenerateKey failed: 429, Azure gave no reason (x-ms-correlation-request-id 1c0f); wait 1m 30s before asking again");
        let late =
            ArmError::new(ArmErrorKind::OutOfTime, &ABOUT, "the deadline had passed before it was sent");
        insta::assert_snapshot!(late, @"SignalR_RegenerateKey on /subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat/regenerateKey failed: the deadline had passed before it was sent; nothing was changed; the next pass carries on");
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
