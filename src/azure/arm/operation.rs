//! Long-running operations (docs: Track asynchronous Azure operations).
//!
//! A regeneration is answered 202 at once and goes on for a minute or more. Its URL is an [`OperationUrl`];
//! [`Arm::follow`] asks it once. When to ask again is the caller's business, who keeps a journal in between.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::Arm;
use super::contract::Operation;
use super::error::{ArmError, ArmErrorKind};
use super::refusal::is_lasting_code;
use super::request::{Answer, Call, text};
use super::said::{ErrorDetail, LONGEST_CODE, LONGEST_MESSAGE, tidy};
use crate::report::text::azure as words;
use rekey_core::model::OperationUrl;

/// The longest URL of an operation that is taken: some five times what Azure sends since 2024. It goes into the journal,
/// and a regeneration whose URL is not known is followed by the keys instead.
const LONGEST_URL: usize = 16 << 10;

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
        /// Whether the next will fail alike, until a person does something about it.
        lasting: bool,
    },
}

/// Reads the headers of the answer to `asked`. A relative URL is completed by the one that was asked
/// (RFC 9110, 10.2.2); an absolute one is left alone, and one that is longer than any of Azure's is none.
pub(crate) fn operation_url(headers: &HeaderMap, asked: &Url) -> Option<OperationUrl> {
    let url = |name| {
        let url = text(headers, name).filter(|url| url.len() <= LONGEST_URL)?;
        if Url::parse(&url).is_err() { asked.join(&url).ok().map(String::from) } else { Some(url) }
    };
    let preferred = url("azure-asyncoperation").map(OperationUrl::async_operation);
    preferred.or_else(|| url("location").map(OperationUrl::location))
}

impl Arm {
    /// Asks once how an operation stands; `asked` is what asking for it is called in Azure's contract.
    ///
    /// A URL that leads off the host of this client is refused as `Elsewhere`, unasked: a token would go with it. `Gone`
    /// means that the record of the operation has expired.
    pub(crate) async fn follow(
        &self,
        asked: Operation,
        url: &OperationUrl,
    ) -> Result<OperationStatus, ArmError> {
        let call = Call::get(asked, self.operation_target(asked, url)?);
        let answer = self.send(&call).await.map_err(ArmError::of_operation)?;
        match url {
            OperationUrl::AsyncOperation(_) => self.status_in_words(&call, &answer),
            OperationUrl::Location(_) if answer.status == 202 => {
                Ok(OperationStatus::Running { retry_after: answer.retry_after(self) })
            }
            OperationUrl::Location(_) => Ok(OperationStatus::Succeeded),
        }
    }

    fn operation_target(&self, asked: Operation, url: &OperationUrl) -> Result<Url, ArmError> {
        let elsewhere = |resource, message| ArmError::new(ArmErrorKind::Elsewhere, asked, resource, message);
        let target = Url::parse(url.expose()).map_err(|_| elsewhere("an operation", words::NO_URL))?;
        if self.is_ours(&target) { Ok(target) } else { Err(elsewhere(target.path(), words::OTHER_HOST)) }
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
    let code = code.unwrap_or(body.status);
    OperationStatus::Failed {
        lasting: is_lasting_code(&code),
        code: tidy(&code, LONGEST_CODE),
        message: message.map_or_else(|| words::NO_REASON.into(), |it| tidy(&it, LONGEST_MESSAGE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "https://management.azure.com/subscriptions/s/x/regenerateKey?api-version=2024-03-01";

    fn from(headers: &[(&'static str, &str)]) -> Option<OperationUrl> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        operation_url(&headers.collect(), &Url::parse(ASKED).unwrap())
    }

    #[test]
    fn the_azure_header_is_preferred_and_relative_urls_are_completed() {
        let signed = "https://management.azure.com/op?c=A%2fb%2Bc&s=%7E";
        for (headers, wanted) in [
            (&[][..], None),
            (&[("location", "/l?t=1")], Some(OperationUrl::location("https://management.azure.com/l?t=1"))),
            (
                &[("location", "/l"), ("azure-asyncoperation", signed)],
                Some(OperationUrl::async_operation(signed)),
            ),
            (&[("location", &format!("/{}", "l".repeat(LONGEST_URL)))], None),
            (&[("location", "//evil.example/l")], Some(OperationUrl::location("https://evil.example/l"))),
        ] {
            assert!(from(headers) == wanted, "{headers:?}");
        }
    }

    #[test]
    fn of_a_failure_no_more_is_kept_than_people_read() {
        let body =
            format!(r#"{{"status":"Failed","error":{{"code":"{0}","message":"{0}"}}}}"#, "x".repeat(9000));
        let OperationStatus::Failed { code, message, lasting: false } =
            failed(serde_json::from_str(&body).unwrap())
        else {
            panic!("it failed")
        };
        assert_eq!((code.chars().count(), message.chars().count()), (LONGEST_CODE + 1, LONGEST_MESSAGE + 1));
    }
}
