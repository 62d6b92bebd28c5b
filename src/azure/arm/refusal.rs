//! What is to be decided of an answer other than success: the one file that knows Azure's statuses and error codes.

use std::time::Duration;

use super::contract::{Effect, Operation, Subject};
use super::error::{ArmError, ArmErrorKind, Barrier};
use super::said::Said;

impl ArmError {
    /// Azure answered with something other than success.
    pub(super) fn refusal(
        operation: Operation,
        resource: &str,
        status: u16,
        said: Said,
        retry_after: Option<Duration>,
    ) -> Self {
        let kind = classify(operation, status, &said, retry_after);
        let mut error = Self::new(kind, operation, resource, &said.message);
        error.0.linked = said.linked.filter(|_| kind == ArmErrorKind::Forbidden);
        error.0.code = said.code;
        error.0.retry_after = retry_after;
        error.0.resend = matches!(kind, ArmErrorKind::Throttled { .. } | ArmErrorKind::Unavailable);
        error
    }

    /// Whether the limit of requests of a whole subscription or tenant is used up, and not just that of one resource (docs:
    /// Understand how Azure Resource Manager throttles requests).
    pub(super) fn is_about_all_requests(&self) -> bool {
        let limits = ["SubscriptionRequestsThrottled", "TenantRequestsThrottled"];
        self.status() == Some(429) && self.code().is_some_and(|code| limits.contains(&code))
    }
}

/// The codes that say what forbids a request for good. They come with different statuses: a 409 is not always "busy", nor
/// a 403 always a matter of roles (docs: Lock your resources; Resolve errors for resource provider registration; Resolve
/// errors for policy; Understand deny assignments; Troubleshoot common deployment errors).
const BARRIERS: [(&str, Barrier); 15] = [
    ("ScopeLocked", Barrier::Lock),
    ("ReadOnlyDisabledSubscription", Barrier::DisabledSubscription),
    ("MissingSubscriptionRegistration", Barrier::UnregisteredProvider),
    ("RequestDisallowedByPolicy", Barrier::Policy),
    ("DenyAssignmentAuthorizationFailed", Barrier::DenyAssignment),
    ("SubscriptionNotFound", Barrier::UnknownSubscription),
    ("InvalidAuthenticationTokenTenant", Barrier::OtherTenant),
    ("ForbiddenByFirewall", Barrier::VaultFirewall),
    ("ForbiddenByConnection", Barrier::VaultPrivate),
    ("SecretDisabled", Barrier::SecretDisabled),
    ("ObjectIsDeletedButRecoverable", Barrier::SecretDeleted),
    ("ObjectIsBeingDeleted", Barrier::SecretDeleted),
    ("key-locked", Barrier::KeyValueLocked),
    ("ip-address-rejected", Barrier::StoreFirewall),
    ("nsp-rejected", Barrier::StoreFirewall),
];

/// The code of a vault with access policies for a right that lacks (docs: Azure Key Vault REST API error codes). Of others it
/// tells nothing.
const DENIED_BY_POLICY: &str = "AccessDenied";

/// The codes of a right that lacks.
const FORBIDDEN: [&str; 2] = ["AuthorizationFailed", "LinkedAuthorizationFailed"];

/// Azure's codes for "another operation is at work", the first also where Microsoft.Web gives it with 429 (recorded 2018).
const CONFLICT: [&str; 2] = ["Conflict", "AnotherOperationInProgress"];

/// The codes of a 404 that say: this does not exist. Others do not, nor does a bare 404 of some proxy: an app counts as
/// deleted only if Azure says so.
const GONE: [&str; 5] =
    ["ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "NotFound", "SecretNotFound"];

/// Goes by Azure's code where that tells more than the status, and by the status else.
fn classify(operation: Operation, status: u16, said: &Said, retry_after: Option<Duration>) -> ArmErrorKind {
    if (400..500).contains(&status) {
        let keys_off = || is_about_keys_that_are_off(operation, said).then_some(Barrier::NoKeys);
        if let Some(barrier) = barrier(said).or_else(keys_off) {
            return ArmErrorKind::Barred(barrier);
        }
        if operation.is_of_a_vault() && said.says_one_of(&[DENIED_BY_POLICY]) {
            return ArmErrorKind::Barred(Barrier::VaultPolicy);
        }
        if said.says_one_of(&FORBIDDEN) {
            return ArmErrorKind::Forbidden;
        }
        if status == 404 && operation.subject == Subject::KeyValue {
            return ArmErrorKind::Barred(Barrier::NoKeyValue);
        }
        if status != 401 && is_about_the_share(operation, said) {
            return ArmErrorKind::Barred(Barrier::ContentShare);
        }
    }
    match status {
        401 => ArmErrorKind::Unauthenticated,
        403 => ArmErrorKind::Forbidden,
        404 | 410 if said.says_one_of(&GONE) => ArmErrorKind::Gone,
        409 => ArmErrorKind::Conflict,
        // What the write rested on was written by somebody else.
        412 if operation.subject == Subject::KeyValue => ArmErrorKind::Conflict,
        429 if said.says_one_of(&CONFLICT) => ArmErrorKind::Conflict,
        429 => ArmErrorKind::Throttled { retry_after },
        408 | 500.. if operation.effect == Effect::Change => ArmErrorKind::OutcomeUnknown,
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
fn is_about_keys_that_are_off(operation: Operation, said: &Said) -> bool {
    let names_it = |text: &str| {
        let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
        letters.to_ascii_lowercase().contains("localauth")
    };
    let of_service = matches!(operation.subject, Subject::Service | Subject::Regeneration);
    of_service && (said.codes().any(names_it) || names_it(&said.message))
}

/// Whether a write of settings was refused because of the share that holds the app's content, which Azure validates, and
/// may make, when the settings that name it are written (docs: Use Key Vault references, "Considerations for Azure Files
/// mounting"). No code is documented for that, so its words are looked at.
fn is_about_the_share(operation: Operation, said: &Said) -> bool {
    let message = said.message.to_ascii_lowercase();
    let named = ["website_content", "file share", "fileshare", "content share", "contentshare"];
    operation.effect == Effect::Change
        && operation.subject == Subject::Consumer
        && named.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::super::said::read_error_body;
    use super::*;
    use crate::report::text::azure::AS_THE_NEXT_RUN_DOES;

    const CHAT: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat/regenerateKey";

    const REGENERATE: Operation = Operation::change(
        "SignalR_RegenerateKey",
        &["Microsoft.SignalRService/SignalR/regeneratekey/action"],
    )
    .about(Subject::Service);

    fn answered(status: u16, body: &str, effect: Effect, retry_after: Option<Duration>) -> ArmError {
        of(Operation { effect, ..REGENERATE }, status, body, retry_after)
    }

    fn of(operation: Operation, status: u16, body: &str, retry_after: Option<Duration>) -> ArmError {
        let said = read_error_body(body.as_bytes(), true);
        let error = ArmError::refusal(operation, CHAT, status, said, retry_after);
        error.answered(status, Some("1c0f".to_owned()))
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
                assert_eq!((error.kind(), error.0.resend), wanted, "{status} {body} {effect:?}");
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
                assert!(!error.0.resend && !error.is_passing(), "{status} {code} {effect:?}");
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
            let error = answered(status, &body_of(code, None), Effect::Read, None);
            assert!(error.is_passing(), "{status} {code}");
            // By that lines of many services are known to be of one cause.
            assert!(error.to_string().contains(AS_THE_NEXT_RUN_DOES), "{error}");
        }
        assert!(!answered(500, "{}", Effect::Change, None).is_passing(), "nobody knows what it did");
    }

    #[test]
    fn a_content_share_is_named_where_settings_are_written_and_nowhere_else() {
        let update = Operation::change("WebApps_UpdateApplicationSettings", &[]).about(Subject::Consumer);
        let list = Operation { effect: Effect::Read, ..update };
        let share = r#"{"Code":"BadRequest","Message":"Creation of storage file share failed with: 'The remote server returned an error: (403) Forbidden.'"}"#;
        let setting = r#"{"error":{"code":"BadRequest","message":"WEBSITE_CONTENTAZUREFILECONNECTIONSTRING cannot be resolved"}}"#;
        let other = r#"{"error":{"code":"BadRequest","message":"The parameter name is not valid"}}"#;
        let role =
            r#"{"error":{"code":"AuthorizationFailed","message":"no action over scope /sites/file share"}}"#;
        for (operation, status, body, wanted) in [
            (update, 400, share, ArmErrorKind::Barred(Barrier::ContentShare)),
            (update, 409, share, ArmErrorKind::Barred(Barrier::ContentShare)),
            (update, 403, setting, ArmErrorKind::Barred(Barrier::ContentShare)),
            (update, 400, other, ArmErrorKind::Refused),
            (update, 403, role, ArmErrorKind::Forbidden),
            (update, 500, share, ArmErrorKind::OutcomeUnknown),
            (list, 400, share, ArmErrorKind::Refused),
        ] {
            let error = of(operation, status, body, None);
            assert_eq!(error.kind(), wanted, "{operation:?} {status} {body}");
        }
    }

    #[test]
    fn sentences_for_the_operator() {
        let denied = r#"{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.SignalRService/SignalR/regenerateKey/action'."}}"#;
        insta::assert_snapshot!(answered(403, denied, Effect::Change, None), @"cannot regenerate a key: 403 AuthorizationFailed, The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.SignalRService/SignalR/regenerateKey/action' (x-ms-correlation-request-id 1c0f); give the identity Microsoft.SignalRService/SignalR/regeneratekey/action there; a new role assignment can take hours to take effect");
        let of_a_link = r#"{"error":{"code":"LinkedAuthorizationFailed","message":"The client 'c' with object id 'o' has permission to perform action 'Microsoft.App/containerApps/write' on scope '/subscriptions/s/resourceGroups/g/providers/Microsoft.App/containerApps/api'; however, it does not have permission to perform action(s) 'Microsoft.App/managedEnvironments/join/action' on the linked scope(s) '/subscriptions/s/resourceGroups/g/providers/Microsoft.App/managedEnvironments/env' (respectively) or the linked scope(s) are invalid."}}"#;
        let told = answered(403, of_a_link, Effect::Change, None).to_string();
        assert!(
            told.ends_with(
                "; give the identity Microsoft.App/managedEnvironments/join/action on \
                 /subscriptions/s/resourceGroups/g/providers/Microsoft.App/managedEnvironments/env, which this is linked to; a \
                 new role assignment can take hours to take effect"
            ),
            "{told}"
        );
        let wait = Some(Duration::from_secs(90));
        insta::assert_snapshot!(answered(429, "{}", Effect::Read, wait), @"cannot regenerate a key: 429, Azure gave no reason (x-ms-correlation-request-id 1c0f); this process waits for it no longer: try again in 1m 30s at the earliest, as the next run does");
        let late = ArmError::new(
            ArmErrorKind::OutOfTime,
            REGENERATE,
            CHAT,
            "the deadline had passed before it was sent",
        );
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
