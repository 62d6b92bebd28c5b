//! Who wrote what, by the activity log of Azure Monitor.
//!
//! Azure shows an entry minutes after what it tells of, and leaves out what may not be read: who lacks the right gets an answer
//! without a word of it.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;

use super::arm::{Arm, ArmError, CLIENT_REQUEST_PREFIX, Call, Operation};
use rekey_core::model::is_unseen;
use rekey_core::plan::LoggedWrite;

/// Microsoft.Insights.
const VERSION: &str = "2015-04-01";

/// The first action names the right in the words of Azure's list of operations.
pub(crate) const LIST: Operation =
    Operation::read("ActivityLogs_List", &["Microsoft.Insights/eventtypes/values/read"]).naming_writers();

/// How long it may take. Nothing waits for it but the end of the run.
const PATIENCE: TimeDelta = TimeDelta::seconds(5);

/// How much is kept of a text of the log. A name is shorter.
const LONGEST: usize = 200;

/// What was written in a group in a time.
#[derive(Clone, Debug)]
pub struct WriteLog {
    pub writes: Vec<LoggedWrite>,
    /// Whether Azure has more of it on another page.
    pub goes_on: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    value: Vec<Entry>,
    next_link: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    caller: Option<String>,
    #[serde(default)]
    resource_id: Option<String>,
    operation_name: Option<Named>,
    status: Option<Named>,
    event_timestamp: Option<DateTime<Utc>>,
    http_request: Option<HttpRequest>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpRequest {
    #[serde(default)]
    client_request_id: Option<String>,
}

impl Arm {
    /// `ActivityLogs_List`, one page, asked for once: what was written in a resource group. The log can be asked about one
    /// resource, but settings have ids of their own in it, below the app's; and its `$select` knows no `caller`.
    pub async fn writes_in_group(
        &self,
        (subscription, group): (&str, &str),
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<WriteLog, ArmError> {
        let path = format!(
            "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values"
        );
        let mut url = self.url(&path, VERSION);
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let filter = format!(
            "eventTimestamp ge '{}' and eventTimestamp le '{}' and resourceGroupName eq '{group}'",
            time(from),
            time(until)
        );
        url.query_pairs_mut().append_pair("$filter", &filter);
        let (call, now) = (Call::get(LIST, url), self.now());
        let once = self.no_later_than(now + PATIENCE).resending_until(now);
        let page: Page = once.send(&call).await?.json(&call)?;
        let goes_on = page.next_link.is_some_and(|link| !link.is_empty());
        Ok(WriteLog { writes: page.value.into_iter().filter_map(Entry::write).collect(), goes_on })
    }
}

impl Entry {
    /// What it tells of a write that was done; nothing of one that failed, or that is told without saying by whom or when.
    fn write(self) -> Option<LoggedWrite> {
        let status = self.status.map(|status| status.value).unwrap_or_default();
        let is_done = ["Succeeded", "Accepted"].iter().any(|done| status.eq_ignore_ascii_case(done));
        let ours = self.http_request.and_then(|request| request.client_request_id);
        Some(LoggedWrite {
            resource: self.resource_id?,
            action: shortened(&self.operation_name?.value),
            by: Some(shortened(&self.caller?)).filter(|by| is_done && !by.is_empty())?,
            at: self.event_timestamp?,
            ours: ours.is_some_and(|id| id.starts_with(CLIENT_REQUEST_PREFIX)),
        })
    }
}

/// A text of the log, on one line.
fn shortened(text: &str) -> String {
    text.trim().chars().filter(|sign| !is_unseen(*sign)).take(LONGEST).collect()
}
