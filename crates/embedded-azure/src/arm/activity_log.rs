//! The activity log of Azure Monitor: who did what through Azure Resource Manager, as `ActivityLogs_List` tells it (swagger
//! Microsoft.Insights 2015-04-01).
//!
//! An entry is shown some time after what it tells of (docs: Azure Monitor activity log), for 90 days (there), and to whoever
//! may read it on the resource that it is of: who may not gets an answer without it, and no 403 (public issue:
//! azure-sdk-for-java 2097; in the swagger an entry has an id "as required by ARM for RBAC").

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{bad_request, page};
use crate::call::{Answered, Call};
use crate::clock::delta;
use crate::event_grid::Deed;
use crate::roles;
use crate::state::State;

/// How long entries are kept.
const KEPT: TimeDelta = TimeDelta::days(90);

/// How many of the embedded Azure's are, for it may run for long.
const MOST: usize = 10_000;

const READ: &str = "Microsoft.Insights/eventtypes/values/read";

/// What an entry is made of.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    at: DateTime<Utc>,
    deed: Deed,
    caller: String,
    id: String,
    correlation: String,
    client_request: String,
}

impl State {
    /// Takes down what was done, and by whom. What was only read is in no activity log (docs: there).
    /// A person is told by his name, an application by its object (swagger: the UPN claim or SPN claim).
    pub(crate) fn log_deed(&mut self, deed: Option<Deed>, caller: &str, ids: [Option<String>; 2]) {
        let Some(deed) = deed else { return };
        let [correlation, client_request] =
            ids.map(|given| given.unwrap_or_else(|| self.event_ids.uuid().to_string()));
        let caller = caller.to_owned();
        let id = self.event_ids.uuid().to_string();
        let entry = Entry { at: self.now, deed, caller, id, correlation, client_request };
        self.deeds.push_back(entry);
        self.deeds.drain(..self.deeds.len().saturating_sub(MOST));
    }
}

impl Entry {
    /// The group of its resource, as the resource's id has it.
    fn group(&self) -> &str {
        self.deed.resource.split('/').nth(4).unwrap_or_default()
    }

    fn provider(&self) -> &str {
        self.deed.operation.split('/').next().unwrap_or_default()
    }

    /// As entries look (field samples of `Microsoft.Web/sites/config/write`).
    fn document(&self, subscription: &str, shown: DateTime<Utc>) -> Value {
        let Self { at, deed, caller, id, correlation, client_request } = self;
        let named = |value: &str| json!({ "value": value, "localizedValue": value });
        let (status, told) = if deed.succeeded { ("Succeeded", "OK") } else { ("Failed", "BadRequest") };
        let time = |at: &DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        json!({
            "authorization": { "action": deed.operation, "scope": deed.resource },
            "caller": caller,
            "channels": "Operation",
            "claims": {},
            "correlationId": correlation,
            "description": "",
            "eventDataId": id,
            "eventName": named("EndRequest"),
            "category": named("Administrative"),
            "eventTimestamp": time(at),
            "httpRequest": {
                "clientRequestId": client_request, "clientIpAddress": "192.0.2.10", "method": deed.method.as_str(),
            },
            "id": format!("{}/events/{id}/ticks/{}", deed.resource, at.timestamp()),
            "level": if deed.succeeded { "Informational" } else { "Error" },
            "operationId": correlation,
            "operationName": named(&deed.operation),
            "resourceGroupName": self.group(),
            "resourceProviderName": named(self.provider()),
            "resourceId": deed.resource,
            "status": named(status),
            "subStatus": named(told),
            "submissionTimestamp": time(&shown),
            "subscriptionId": subscription,
        })
    }
}

/// What a `$filter` lets through.
struct Filter {
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    of: Option<(String, String)>,
}

/// `ActivityLogs_List`, the latest first.
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let filter = Filter::parse(&call.query("$filter").unwrap_or_default()).ok_or_else(|| {
        bad_request("BadRequest", "The $filter is missing, or is none of the patterns that are allowed.")
    })?;
    if filter.from < state.now - KEPT {
        let message = "The start time cannot be more than 90 days in the past.";
        return Err(bad_request("BadRequest", message));
    }
    let delay = delta(state.options.activity_log_delay);
    let shown = |entry: &&Entry| {
        entry.at + delay <= state.now && roles::may(&state.denials, &entry.deed.resource, READ)
    };
    let found = state.deeds.iter().rev().filter(shown).filter(|entry| filter.lets(entry));
    let select = call.query("$select").unwrap_or_default();
    let items = found.map(|entry| selected(entry.document(&state.subscription, entry.at + delay), &select));
    let items = items.collect();
    page(state, call, items)
}

impl Filter {
    /// The patterns that are allowed (swagger: the description of `$filter`, "no other syntax is allowed").
    fn parse(text: &str) -> Option<Self> {
        let (mut from, mut until, mut of) = (None, None, None);
        for term in text.split(" and ") {
            let mut words = term.trim().splitn(3, ' ');
            let (name, comparison, value) = (words.next()?, words.next()?, words.next()?);
            let value = value.trim().trim_matches('\'').to_owned();
            let time = || DateTime::parse_from_rfc3339(&value).ok().map(|at| at.with_timezone(&Utc));
            match (name, comparison) {
                ("eventTimestamp", "ge") if from.is_none() => from = Some(time()?),
                ("eventTimestamp", "le") if until.is_none() => until = Some(time()?),
                ("resourceGroupName" | "resourceUri" | "resourceProvider" | "correlationId", "eq")
                    if of.is_none() =>
                {
                    of = Some((name.to_owned(), value));
                }
                _ => return None,
            }
        }
        Some(Self { from: from?, until, of })
    }

    fn lets(&self, entry: &Entry) -> bool {
        let is = |(name, value): &(String, String)| {
            let has = match name.as_str() {
                "resourceGroupName" => entry.group(),
                "resourceUri" => &entry.deed.resource,
                "resourceProvider" => entry.provider(),
                _ => &entry.correlation,
            };
            has.eq_ignore_ascii_case(value)
        };
        self.from <= entry.at && self.until.is_none_or(|until| entry.at <= until) && self.of.iter().all(is)
    }
}

/// The properties that are asked for; all of them, if none is.
fn selected(document: Value, select: &str) -> Value {
    let names: Vec<&str> = select.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    match document {
        Value::Object(all) if !names.is_empty() => {
            let kept: Map<String, Value> =
                all.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect();
            Value::Object(kept)
        }
        whole => whole,
    }
}
