//! The activity log of Azure Monitor: who did what through Azure Resource Manager, as `ActivityLogs_List` tells it (swagger
//! Microsoft.Insights 2015-04-01).
//!
//! An entry is shown some time after what it tells of (docs: Azure Monitor activity log), for 90 days (there), and to whoever
//! may read it on the resource that it is of: who may not gets an answer without it, and no 403 (public issue:
//! azure-sdk-for-java 2097; in the swagger an entry has an id "as required by ARM for RBAC").

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::{bad_request, page};
use crate::call::{Answered, Call};
use crate::clock::delta;
use crate::deeds::Entry;
use crate::roles;
use crate::state::State;

/// How long entries are kept.
const KEPT: TimeDelta = TimeDelta::days(90);

const READ: &str = "Microsoft.Insights/eventtypes/values/read";

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
