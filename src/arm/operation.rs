//! Long-running operations (docs: Track asynchronous Azure operations).
//!
//! A regeneration is answered 202 at once and goes on for a minute or more. Its URL is an [`OperationUrl`];
//! [`Arm::operation`] asks it once. When to ask again is the caller's business, who keeps a journal in between.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Arm;
use super::error::{About, ArmError, ArmErrorKind, Effect, ErrorDetail, tidy};
use super::request::{Answer, Call, Operation, text};

const STATUS: Operation = Operation { name: "SignalR_OperationStatus", effect: Effect::Read, secrets: true };
const RESULT: Operation = Operation { name: "SignalR_OperationResult", effect: Effect::Read, secrets: true };

/// Where a long-running operation tells how it is.
///
/// Since 2024 it carries a signature in its query and is about 3.3 KB long. It is kept as Azure wrote it, for the
/// journal too, and used so: nothing is re-encoded, no api-version added. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperationUrl {
    /// Which header it came in, and with that how its answers are read.
    pub via: Via,
    url: String,
}

/// The header that an operation's URL came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Via {
    /// `Azure-AsyncOperation`: answers tell a status in words. Preferred.
    AzureAsyncOperation,
    /// `Location`: answers tell by their HTTP status.
    Location,
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// It goes on.
    Running {
        /// Azure's `Retry-After`, if it sent one. Microsoft.SignalRService sends none (recorded).
        retry_after: Option<Duration>,
    },
    /// It has ended well, says Azure. Whether the key has really changed, only `listKeys` tells.
    Succeeded,
    /// It has ended, and not well.
    Failed {
        /// Azure's error code; `Failed` or `Canceled` if it gave none.
        code: String,
        /// Azure's message.
        message: String,
    },
}

impl OperationUrl {
    /// Takes a URL from where it was kept.
    #[must_use]
    pub fn new(via: Via, url: impl Into<String>) -> Self {
        Self { via, url: url.into() }
    }

    /// Reads the headers of the answer to `asked`. A relative URL is completed by the one that was asked
    /// (RFC 9110, 10.2.2); an absolute one is left alone.
    pub(super) fn from_headers(headers: &HeaderMap, asked: &Url) -> Option<Self> {
        let found = [(Via::AzureAsyncOperation, "azure-asyncoperation"), (Via::Location, "location")];
        found.into_iter().find_map(|(via, name)| {
            let url = text(headers, name)?;
            let is_relative = Url::parse(&url).is_err();
            let url = if is_relative { asked.join(&url).ok()?.into() } else { url };
            Some(Self { via, url })
        })
    }

    const fn operation(&self) -> Operation {
        match self.via {
            Via::AzureAsyncOperation => STATUS,
            Via::Location => RESULT,
        }
    }
}

impl fmt::Debug for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationUrl").field("via", &self.via).finish_non_exhaustive()
    }
}

impl Arm {
    /// Asks once how an operation stands.
    ///
    /// A URL that leads off the host of this client is refused as `Malformed`, unasked: a token would go with it. `Gone`
    /// means that the record of the operation has expired.
    pub async fn operation(&self, url: &OperationUrl) -> Result<OperationStatus, ArmError> {
        let call = Call::get(url.operation(), self.operation_target(url)?);
        let answer = self.send(&call).await.map_err(ArmError::of_operation)?;
        match url.via {
            Via::AzureAsyncOperation => self.status_in_words(&call, &answer),
            Via::Location if answer.status == 202 => {
                Ok(OperationStatus::Running { retry_after: answer.retry_after(self) })
            }
            Via::Location => Ok(OperationStatus::Succeeded),
        }
    }

    fn operation_target(&self, url: &OperationUrl) -> Result<Url, ArmError> {
        let malformed = |resource, message| {
            ArmError::new(
                ArmErrorKind::Malformed,
                &About { operation: url.operation().name, resource },
                message,
            )
        };
        let target = Url::parse(&url.url).map_err(|_| malformed("an operation", "its URL is no URL"))?;
        if self.is_ours(&target) {
            Ok(target)
        } else {
            Err(malformed(target.path(), "its URL leads off the host that was asked; no token is sent there"))
        }
    }

    fn status_in_words(&self, call: &Call, answer: &Answer) -> Result<OperationStatus, ArmError> {
        let body: StatusBody = answer.json(call)?;
        let is = |word: &str| body.status.eq_ignore_ascii_case(word);
        Ok(match () {
            () if is("Succeeded") => OperationStatus::Succeeded,
            () if is("Failed") || is("Canceled") => failed(body),
            // Everything else means running; Microsoft.SignalRService says `Running` (recorded).
            () => OperationStatus::Running { retry_after: answer.retry_after(self) },
        })
    }
}

#[derive(Deserialize)]
struct StatusBody {
    status: String,
    error: Option<ErrorDetail>,
}

fn failed(body: StatusBody) -> OperationStatus {
    let (code, message) = body.error.map_or((None, None), |error| (error.code, error.message));
    OperationStatus::Failed {
        code: code.unwrap_or(body.status),
        message: message.map_or_else(|| "Azure gave no reason".into(), |message| tidy(&message, 600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "https://management.azure.com/subscriptions/s/x/regenerateKey?api-version=2024-03-01";

    fn from(headers: &[(&'static str, &str)]) -> Option<OperationUrl> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        OperationUrl::from_headers(&headers.collect(), &Url::parse(ASKED).unwrap())
    }

    #[test]
    fn the_azure_header_is_preferred_and_relative_urls_are_completed() {
        let signed = "https://management.azure.com/op?c=A%2fb%2Bc&s=%7E";
        for (headers, wanted) in [
            (&[][..], None),
            (&[("location", "/l?t=1")], Some((Via::Location, "https://management.azure.com/l?t=1"))),
            (
                &[("location", "/l"), ("azure-asyncoperation", signed)],
                Some((Via::AzureAsyncOperation, signed)),
            ),
            (&[("location", "//evil.example/l")], Some((Via::Location, "https://evil.example/l"))),
        ] {
            let wanted = wanted.map(|(via, url)| OperationUrl::new(via, url));
            assert!(from(headers) == wanted, "{headers:?}");
        }
    }

    #[test]
    fn the_journal_keeps_a_url_and_debug_does_not_show_it() {
        let url = OperationUrl::new(Via::Location, "https://management.azure.com/op?s=signature");
        let kept = serde_json::to_string(&url).unwrap();
        assert_eq!(kept, r#"{"via":"location","url":"https://management.azure.com/op?s=signature"}"#);
        assert_eq!(serde_json::from_str::<OperationUrl>(&kept).unwrap(), url);
        assert_eq!(format!("{url:?}"), "OperationUrl { via: Location, .. }");
    }
}
