//! Telling which key the app works with, to whom the rotation waits for.

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use super::Agent;
use super::state::{Memory, Reported};
use crate::azure::http;
use crate::bounded::Unread;
use crate::config::Reporting;
use crate::report::cause;
use crate::report::text::agent as words;
use rekey_core::model::{Fingerprint, ServiceId};

/// How long one report may take: a function that sleeps wakes up first.
const ANSWER: Duration = Duration::from_secs(60);

/// How often one is sent again at once, and how long after.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// After this the same is reported once more: whoever was told may have lost it.
const REPEAT: TimeDelta = TimeDelta::hours(1);

/// How much of an answer is told.
const LONGEST: usize = 300;

/// The largest answer that is read.
const LARGEST: usize = 64 << 10;

/// The header in which the Functions host takes the code of a function. In the URL it would be in logs on the way.
const CODE: &str = "x-functions-key";

#[derive(Serialize)]
struct Body<'a> {
    instance: &'a ServiceId,
    name: &'a str,
    fingerprint: &'a Fingerprint,
}

/// What the function answers when it has put a report on record, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    recorded: bool,
    /// Which of the service's keys it is; none of them, where it says so.
    #[serde(default, deserialize_with = "whatever_is_there")]
    key_type: Option<Option<String>>,
}

/// Tells a member that is null from one that is missing.
fn whatever_is_there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Reports a key, if that is news or due; or why that came to nothing.
pub(super) async fn report(
    agent: &Agent,
    memory: &mut Memory,
    fingerprint: &Fingerprint,
    anyway: bool,
) -> Result<(), String> {
    let Some(reporting) = &agent.config.reporting else { return Ok(()) };
    let now = agent.clock.now();
    let is_known = |reported: &Reported| {
        reported.fingerprint == *fingerprint && now - reported.at < REPEAT && reported.at <= now
    };
    if !anyway && memory.kept.reported.as_ref().is_some_and(is_known) {
        return Ok(());
    }
    let code = reporting.code.read();
    let code = code.map_err(|error| cause::because(words::NO_CODE, Some(&error)))?;
    let mut again = AGAIN.into_iter();
    let is_of_service = loop {
        match send(agent, reporting, fingerprint, code.as_ref()).await {
            Ok(Recorded { is_of_service }) => break is_of_service,
            Err(Unsent { why, passes }) => match again.next().filter(|_| passes) {
                Some(wait) => agent.clock.sleep(wait).await,
                None => return Err(words::not_reported(fingerprint, &reporting.name, why)),
            },
        }
    };
    if !is_of_service {
        // So that it is reported again with each round until that has changed, and is told as often.
        memory.kept.reported = None;
        return Err(words::reported_invalid(fingerprint, &reporting.name));
    }
    memory.kept.reported = Some(Reported { fingerprint: fingerprint.clone(), at: agent.clock.now() });
    agent.done(words::reported(fingerprint, &reporting.name));
    Ok(())
}

/// A report that is on record.
struct Recorded {
    /// Whether the key is one of the two that the service is known to have.
    is_of_service: bool,
}

/// Why a report was not taken, and whether that may pass by itself.
struct Unsent {
    why: String,
    passes: bool,
}

async fn send(
    agent: &Agent,
    reporting: &Reporting,
    fingerprint: &Fingerprint,
    code: Option<&SecretString>,
) -> Result<Recorded, Unsent> {
    let Reporting { url, instance, name, .. } = reporting;
    let client =
        agent.http.client(url).map_err(|error| Unsent { why: cause::told(&error), passes: false })?;
    let mut request = client.post(url.clone()).timeout(ANSWER).json(&Body { instance, name, fingerprint });
    if let Some(code) = code {
        request = request.header(CODE, code.expose_secret());
    }
    let answer = request.send().await.map_err(|error| {
        let why = cause::because(words::NO_REPORT_ANSWER, Some(&error.without_url()));
        Unsent { why, passes: true }
    })?;
    let status = answer.status();
    let body = match http::read(answer, LARGEST).await {
        Err(Unread::Broken(error)) if status.is_success() => {
            let why = cause::because(words::NO_REPORT_ANSWER, Some(&error.without_url()));
            return Err(Unsent { why, passes: true });
        }
        body => body.unwrap_or_default(),
    };
    if status.is_success() {
        // A gateway, or whatever else may be there, says 200 as well.
        let answer = serde_json::from_slice::<Answer>(&body).ok().filter(|answer| answer.recorded);
        let unsent =
            || Unsent { why: words::report_not_recorded(status.as_u16(), said(&body, code)), passes: false };
        return answer
            .map(|answer| Recorded { is_of_service: answer.key_type != Some(None) })
            .ok_or_else(unsent);
    }
    let passes = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    let said = said(&body, code);
    let why = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => words::report_unauthorized(status.as_u16()),
        StatusCode::NOT_FOUND => words::report_not_found(status.as_u16(), said),
        _ if passes => words::report_busy(status.as_u16(), said),
        _ => words::report_refused(status.as_u16(), said),
    };
    Err(Unsent { why, passes })
}

/// What an answer says, on one line, and without the code if it should repeat that.
fn said(body: &[u8], code: Option<&SecretString>) -> String {
    let text = String::from_utf8_lossy(body).split_whitespace().collect::<Vec<_>>().join(" ");
    let code = code.map(ExposeSecret::expose_secret).filter(|code| !code.is_empty());
    let text = code.map_or_else(|| text.clone(), |code| text.replace(code, "[redacted]"));
    let text: String = text.chars().filter(|sign| !sign.is_control()).take(LONGEST).collect();
    if text.is_empty() { words::NOTHING_SAID.to_owned() } else { text }
}
