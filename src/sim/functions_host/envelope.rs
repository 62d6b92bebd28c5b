//! What the Functions host writes around a trigger, for the two functions of ours (docs: Azure Functions custom handlers,
//! request payload).

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// The timer of `RotateKeys`, with the retry policy of its function.json. `last` is its previous run; before the first
/// one the host writes a date in year 1.
#[must_use]
pub fn timer(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Value {
    let last = last.map_or_else(|| "0001-01-01T00:00:00+00:00".to_owned(), local);
    let status = json!({ "Last": last, "Next": local(now), "LastUpdated": last });
    let timer = json!({ "Schedule": { "AdjustForDST": true }, "ScheduleStatus": status, "IsPastDue": false });
    let retry =
        json!({ "RetryCount": 0, "MaxRetryCount": 3, "Exception": null, "Instance": null, "State": {} });
    json!({
        "Data": { "timer": timer },
        "Metadata": { "sys": system("RotateKeys", now), "RetryContext": retry },
    })
}

/// One event, in either schema, for a function whose binding is called `event`.
#[must_use]
pub fn event(function: &str, event: &Value, now: DateTime<Utc>) -> Value {
    let mut metadata = json!({ "sys": system(function, now) });
    // The host repeats the event's data here, if it has any.
    if let Some(data) = event.get("data") {
        metadata["data"] = data.clone();
    }
    json!({ "Data": { "event": event }, "Metadata": metadata })
}

fn system(function: &str, now: DateTime<Utc>) -> Value {
    json!({ "MethodName": function, "UtcNow": universal(now), "RandGuid": guid() })
}

fn guid() -> String {
    Uuid::new_v4().to_string()
}

/// In the host's own zone, which is UTC in Azure and still written as an offset.
fn local(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, false)
}

fn universal(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-09-24T13:00:00.0142371Z".parse().unwrap()
    }

    #[test]
    fn a_timer_that_never_ran_has_its_dates_in_year_1() {
        let first = timer(None, now());
        let status = &first["Data"]["timer"]["ScheduleStatus"];
        assert_eq!(status["Last"], "0001-01-01T00:00:00+00:00");
        assert_eq!(status["Next"], "2026-09-24T13:00:00.014237+00:00");
        assert_eq!(first["Metadata"]["RetryContext"]["RetryCount"], 0);
        assert_eq!(first["Metadata"]["sys"]["UtcNow"], "2026-09-24T13:00:00.014237Z");
        let second = timer(Some(now()), now());
        assert_eq!(second["Data"]["timer"]["ScheduleStatus"]["Last"], "2026-09-24T13:00:00.014237+00:00");
    }

    #[test]
    fn an_events_data_stands_in_the_metadata_too() {
        let whole = event("OnKeyNotice", &json!({"id": "e-1", "data": {"status": "Succeeded"}}), now());
        assert_eq!(whole["Data"]["event"]["data"], whole["Metadata"]["data"]);
        assert_eq!(whole["Metadata"]["sys"]["MethodName"], "OnKeyNotice");
        assert!(!whole.to_string().contains('\n'));
        let bare = event("OnKeyNotice", &json!({"id": "e-1"}), now());
        assert!(bare["Metadata"].get("data").is_none());
    }
}
