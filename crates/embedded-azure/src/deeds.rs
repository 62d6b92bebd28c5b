//! What was done through Azure Resource Manager, and by whom, as the activity log has it.

use axum::http::Method;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// What a request to ARM does, in the words of the events and of the activity log.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) method: Method,
    pub(crate) resource: String,
    pub(crate) operation: String,
    pub(crate) succeeded: bool,
}

/// What an entry is made of.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: DateTime<Utc>,
    pub(crate) deed: Deed,
    pub(crate) caller: String,
    pub(crate) id: String,
    pub(crate) correlation: String,
    pub(crate) client_request: String,
}

impl Entry {
    /// The group of its resource, as the resource's id has it.
    pub(crate) fn group(&self) -> &str {
        self.deed.resource.split('/').nth(4).unwrap_or_default()
    }

    pub(crate) fn provider(&self) -> &str {
        self.deed.operation.split('/').next().unwrap_or_default()
    }

    /// As entries look (field samples of `Microsoft.Web/sites/config/write`).
    pub(crate) fn document(&self, subscription: &str, shown: DateTime<Utc>) -> Value {
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
