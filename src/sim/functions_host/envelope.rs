//! What the Functions host writes around a trigger, for the two functions of ours (docs: Azure Functions custom handlers,
//! request payload; Azure Resource Manager as an Event Grid source).

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::model::InstanceId;

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

/// The event of `OnKeyNotice` after somebody regenerated a key of an instance, in the Event Grid schema.
#[must_use]
pub fn key_regenerated(instance: &InstanceId, now: DateTime<Utc>) -> Value {
    let data = action(instance, "Microsoft.SignalRService/SignalR/regenerateKey/action");
    let event = json!({
        "id": guid(),
        "topic": format!("/subscriptions/{}", instance.subscription()),
        "subject": instance.to_string(),
        "eventType": "Microsoft.Resources.ResourceActionSuccess",
        "eventTime": universal(now),
        "data": data,
        "dataVersion": "2",
        "metadataVersion": "1",
    });
    json!({
        "Data": { "event": event },
        // The host repeats the event's data here.
        "Metadata": { "data": data, "sys": system("OnKeyNotice", now) },
    })
}

/// The data of an action's success.
fn action(instance: &InstanceId, operation: &str) -> Map<String, Value> {
    let id = instance.to_string();
    let authorization = json!({
        "scope": id,
        "action": operation,
        "evidence": { "role": "SignalR Contributor", "principalType": "User" },
    });
    let request = json!({
        "clientRequestId": guid(),
        // An address for documentation (RFC 5737).
        "clientIpAddress": "192.0.2.10",
        "method": "POST",
        "url": format!("https://management.azure.com{id}/regenerateKey?api-version=2024-03-01"),
    });
    [
        ("authorization", authorization),
        ("claims", json!({ "aud": "https://management.core.windows.net/", "ver": "1.0" })),
        ("correlationId", json!(guid())),
        ("httpRequest", request),
        ("resourceProvider", json!("Microsoft.SignalRService")),
        ("resourceUri", json!(id)),
        ("operationName", json!(operation)),
        ("status", json!("Succeeded")),
        ("subscriptionId", json!(instance.subscription())),
        ("tenantId", json!("00000000-0000-0000-0000-000000000002")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
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

    fn instance() -> InstanceId {
        InstanceId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "sr-demo")
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
        let envelope = key_regenerated(&instance(), now());
        let event = &envelope["Data"]["event"];
        assert_eq!(event["data"], envelope["Metadata"]["data"]);
        assert_eq!(event["subject"], instance().to_string());
        assert_eq!(event["data"]["operationName"], "Microsoft.SignalRService/SignalR/regenerateKey/action");
        assert!(!envelope.to_string().contains('\n'));
    }
}
