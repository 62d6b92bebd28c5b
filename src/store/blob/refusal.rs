//! What Blob Storage says when it refuses, and what that means. The one file that knows its error codes (docs: Blob Storage
//! error codes; Common REST API error codes).

use crate::report::text::azure::{DOCUMENT_NO_CODE, NO_REASON_GIVEN};
use rekey_core::model::is_unseen;

/// An answer other than success, read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}, {message}")]
pub(super) struct Said {
    pub(super) status: u16,
    code: String,
    message: String,
}

/// A refusal by the storage that stays until a person does something about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    account: String,
    said: Said,
}

/// The refusals that are answers: the condition of a write did not hold, or there is nothing yet.
const EXPECTED: [(u16, &str); 5] = [
    (412, "ConditionNotMet"),
    (409, "BlobAlreadyExists"),
    (409, "ContainerAlreadyExists"),
    (404, "BlobNotFound"),
    (404, "ContainerNotFound"),
];

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A role lacks.
    NoRole,
    /// Its firewall or networks keep us out, or it does not take such keys.
    NotLetIn,
    /// It takes no account keys.
    NoAccountKeys,
    /// The key, signature or token is not valid.
    NotAuthenticated,
    /// Somebody has a blob lease on the document.
    BlobLease,
    /// An immutability policy or a legal hold.
    Immutable,
    /// The document is in the archive tier.
    Archived,
    /// The container is being deleted.
    ContainerGoes,
    AccountDisabled,
    Other,
}

/// How much of what storage says is repeated; its messages end with ids and times that help nobody.
const LONGEST: usize = 200;

impl Said {
    /// The code is in a header, and with a message in the XML of the body.
    pub(super) fn read(status: u16, headers: &::http::HeaderMap, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let header = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
        let code = header.or_else(|| element(&body, "Code")).unwrap_or(DOCUMENT_NO_CODE);
        let message = element(&body, "Message").and_then(|message| message.lines().next());
        let message = message.map_or("", |message| message.trim().trim_end_matches('.'));
        let message = if message.is_empty() { NO_REASON_GIVEN } else { message };
        let short = |text: &str| text.chars().filter(|sign| !is_unseen(*sign)).take(LONGEST).collect();
        Self { status, code: short(code), message: short(message) }
    }

    /// Whether asking again may help, as `object_store` does.
    pub(super) const fn passes(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..)
    }

    /// Whether there is no such container.
    pub(super) fn is_no_container(&self) -> bool {
        (self.status, self.code.as_str()) == (404, "ContainerNotFound")
    }

    /// Whether it is an answer rather than a refusal.
    pub(super) fn is_expected(&self) -> bool {
        EXPECTED.iter().any(|(status, code)| self.status == *status && self.code.eq_ignore_ascii_case(code))
    }
}

impl Refusal {
    pub(super) fn new(account: &str, said: &Said) -> Self {
        Self { account: account.to_owned(), said: said.clone() }
    }

    /// The storage account.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// Status, code and message, as the storage gave them.
    pub(crate) fn said(&self) -> String {
        self.said.to_string()
    }

    /// What it means, by its code. The emulator has another for a wrong key than Azure, which says the same of it (docs:
    /// Authorize with Shared Key; Azurite, `StorageErrorFactory`).
    pub(crate) fn meaning(&self) -> Meaning {
        match self.code() {
            "AuthorizationFailure" if self.said.message.contains("authenticate") => Meaning::NotAuthenticated,
            "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" => Meaning::NoRole,
            "AuthorizationFailure" | "AuthorizationSourceIPMismatch" | "AuthorizationProtocolMismatch" => {
                Meaning::NotLetIn
            }
            "KeyBasedAuthenticationNotPermitted" => Meaning::NoAccountKeys,
            "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => {
                Meaning::NotAuthenticated
            }
            "LeaseIdMissing"
            | "LeaseLost"
            | "LeaseIdMismatchWithBlobOperation"
            | "LeaseNotPresentWithBlobOperation" => Meaning::BlobLease,
            "BlobImmutableDueToPolicy" => Meaning::Immutable,
            "BlobArchived" | "BlobBeingRehydrated" => Meaning::Archived,
            "ContainerBeingDeleted" | "ContainerDisabled" => Meaning::ContainerGoes,
            "AccountIsDisabled" | "AccountBeingCreated" => Meaning::AccountDisabled,
            _ => Meaning::Other,
        }
    }

    /// The storage's error code.
    pub fn code(&self) -> &str {
        &self.said.code
    }
}

/// The text of an XML element that has no elements of its own.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str) -> Said {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No way.\nRequestId:1</Message></Error>"
        );
        Said::read(status, &::http::HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_condition_that_did_not_hold_is_an_answer_and_everything_like_it_is_not() {
        for (status, code, expected) in [
            (412, "ConditionNotMet", true),
            (412, "LeaseIdMissing", false),
            (412, "without a code", false),
            (409, "BlobAlreadyExists", true),
            (409, "ContainerAlreadyExists", true),
            (409, "BlobImmutableDueToPolicy", false),
            (409, "BlobArchived", false),
            (409, "ContainerBeingDeleted", false),
            (404, "BlobNotFound", true),
            (404, "ContainerNotFound", true),
            (404, "ResourceNotFound", false),
            (403, "ConditionNotMet", false),
        ] {
            let said = said(status, code);
            assert_eq!((said.is_expected(), said.passes()), (expected, false), "{said}");
        }
        for status in [408, 429, 500, 503] {
            assert!(said(status, "ServerBusy").passes(), "{status}");
        }
        assert!(
            !Said::read(404, &::http::HeaderMap::new(), b"<html>nginx</html>").is_expected(),
            "not storage's own"
        );
    }

    /// As Azure and Azurite say them: a firewall and a wrong key.
    #[test]
    fn a_wrong_key_is_told_from_a_firewall() {
        let meaning = |code: &str, message: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>{message}\nRequestId:1</Message></Error>");
            let said = Said::read(403, &::http::HeaderMap::new(), body.as_bytes());
            Refusal::new("stdemo", &said).meaning()
        };
        let unsigned = "Server failed to authenticate the request. Make sure the value of the Authorization header is \
                        formed correctly including the signature.";
        for code in ["AuthenticationFailed", "AuthorizationFailure"] {
            assert_eq!(meaning(code, unsigned), Meaning::NotAuthenticated, "{code}");
        }
        let kept_out = "This request is not authorized to perform this operation.";
        assert_eq!(meaning("AuthorizationFailure", kept_out), Meaning::NotLetIn);
    }

    #[test]
    fn refusals_read_as_sentences() {
        let refusal = Refusal::new("stdemo", &said(403, "AuthorizationPermissionMismatch"));
        insta::assert_snapshot!(refusal, @"the storage stdemo refuses the journal: no access: give yourself, or the app's identity, the role Storage Blob Data Contributor on it (Storage Blob Data Reader is enough for `status`, `plan`, `history` and `report`) (403 AuthorizationPermissionMismatch, No way)");
        let headers = [("x-ms-error-code", "LeaseIdMissing")]
            .map(|(name, code)| (name.parse().unwrap(), code.parse().unwrap()));
        let bare = Said::read(412, &headers.into_iter().collect(), b"");
        insta::assert_snapshot!(Refusal::new("stdemo", &bare), @"the storage stdemo refuses the journal: something else holds a blob lease on the journal (signalr-rekey never takes one): break it (`az storage blob lease break`) (412 LeaseIdMissing, no reason given)");
        let refusal = Refusal::new("stdemo", &said(409, "BlobImmutableDueToPolicy"));
        insta::assert_snapshot!(refusal.of_evidence(), @"stdemo refuses the document: an immutability policy or a legal hold forbids changing the document: remove it from the container signalr-rekey-evidence (409 BlobImmutableDueToPolicy, No way)");
    }
}
