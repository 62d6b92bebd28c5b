//! What Blob Storage says when it refuses, and what that means. The one file that knows its error codes (docs: Blob Storage
//! error codes; Common REST API error codes).

use std::fmt;

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

/// How much of what storage says is repeated; its messages end with ids and times that help nobody.
const LONGEST: usize = 200;

impl Said {
    /// The code is in a header, and with a message in the XML of the body.
    pub(super) fn read(status: u16, headers: &::http::HeaderMap, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let header = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
        let code = header.or_else(|| element(&body, "Code")).unwrap_or("without a code");
        let message = element(&body, "Message").and_then(|message| message.lines().next());
        let message = message.map_or("", |message| message.trim().trim_end_matches('.'));
        let message = if message.is_empty() { "it gave no reason" } else { message };
        let short = |text: &str| text.chars().filter(|sign| !sign.is_control()).take(LONGEST).collect();
        Self { status, code: short(code), message: short(message) }
    }

    /// Whether asking again may help, as `object_store` does.
    pub(super) const fn passes(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..)
    }

    /// Whether it is an answer rather than a refusal.
    pub(super) fn is_expected(&self) -> bool {
        EXPECTED.iter().any(|(status, code)| self.status == *status && self.code.eq_ignore_ascii_case(code))
    }

    /// What it means, and what to do about it.
    fn advice(&self) -> &'static str {
        match self.code.as_str() {
            "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" => {
                "no access to it: give yourself, or the identity of the app, the role Storage Blob Data Contributor on it"
            }
            "AuthorizationFailure" | "AuthorizationSourceIPMismatch" | "AuthorizationProtocolMismatch" => {
                "it does not let this host in: look at its firewall and its networks, and at whether it takes such keys"
            }
            "KeyBasedAuthenticationNotPermitted" => {
                "it takes no account keys: configure it by its account name, and give the identity the role Storage Blob \
                 Data Contributor"
            }
            "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => {
                "it does not take the key, signature or token: renew the connection string, or check the tenant of the \
                 identity"
            }
            "LeaseIdMissing"
            | "LeaseLost"
            | "LeaseIdMismatchWithBlobOperation"
            | "LeaseNotPresentWithBlobOperation" => {
                "somebody else has a blob lease on the journal, which signalr-rekey never takes: break it \
                 (`az storage blob lease break`)"
            }
            "BlobImmutableDueToPolicy" => {
                "an immutability policy or a legal hold keeps the journal as it is: take it off the container \
                 signalr-rekey"
            }
            "BlobArchived" | "BlobBeingRehydrated" => {
                "the journal is archived: give it the tier Hot (`az storage blob set-tier`), and take the container \
                 signalr-rekey out of the lifecycle rule"
            }
            "ContainerBeingDeleted" | "ContainerDisabled" => {
                "the container signalr-rekey is being deleted: when it is gone, the next run makes it again"
            }
            "AccountIsDisabled" | "AccountBeingCreated" => {
                "the account is not at work: enable it, or its subscription"
            }
            _ => "read what it said; the same request will be refused again",
        }
    }
}

impl Refusal {
    pub(super) fn new(account: &str, said: &Said) -> Self {
        Self { account: account.to_owned(), said: said.clone() }
    }

    /// The storage's error code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.said.code
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, said } = self;
        write!(f, "the storage {account} refuses the journal: {} ({said})", said.advice())
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

    #[test]
    fn refusals_read_as_sentences() {
        let refusal = Refusal::new("stdemo", &said(403, "AuthorizationPermissionMismatch"));
        insta::assert_snapshot!(refusal, @"the storage stdemo refuses the journal: no access to it: give yourself, or the identity of the app, the role Storage Blob Data Contributor on it (403 AuthorizationPermissionMismatch, No way)");
        let headers = [("x-ms-error-code", "LeaseIdMissing")]
            .map(|(name, code)| (name.parse().unwrap(), code.parse().unwrap()));
        let bare = Said::read(412, &headers.into_iter().collect(), b"");
        insta::assert_snapshot!(Refusal::new("stdemo", &bare), @"the storage stdemo refuses the journal: somebody else has a blob lease on the journal, which signalr-rekey never takes: break it (`az storage blob lease break`) (412 LeaseIdMissing, it gave no reason)");
    }
}
