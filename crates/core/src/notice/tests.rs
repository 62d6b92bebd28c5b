//! One test for each row of the table, in both schemas and in every shape in which an event may come.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SUBSCRIPTION: &str = "/subscriptions/3f8a1c52-0000-0000-0000-0000000000c7";
const INSTANCE: &str = "/subscriptions/3f8a1c52-0000-0000-0000-0000000000c7/resourcegroups/Live/providers/Microsoft.SignalRService/SignalR/chat";
const SITE: &str = "/subscriptions/3f8a1c52-0000-0000-0000-0000000000c7/resourceGroups/live/providers/Microsoft.Web/sites/shop";

fn grid(kind: &str, resource: &str, operation: &str) -> Value {
    json!({
        "id": "0b1e", "eventType": kind, "topic": SUBSCRIPTION, "subject": resource,
        "eventTime": "2026-09-24T13:00:00.1234567Z", "dataVersion": "2", "metadataVersion": "1",
        "data": {
            "operationName": operation, "resourceUri": resource, "status": "Succeeded",
            "authorization": { "scope": resource, "action": operation },
            "claims": { "appid": "7a" },
        },
    })
}

/// The same as a CloudEvent.
fn cloud(event: &Value) -> Value {
    let mut event = event.clone();
    let members = event.as_object_mut().unwrap();
    for (old, new) in [("eventType", "type"), ("topic", "source"), ("eventTime", "time")] {
        let value = members.remove(old).unwrap();
        members.insert(new.into(), value);
    }
    members.insert("specversion".into(), "1.0".into());
    event
}

fn read_one(value: &Value) -> Event {
    let mut events = read(value, "it").unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

/// What an event means, in every shape in which it may come.
fn meaning(event: &Value) -> Notice {
    let notice = classify(&read_one(event));
    let listed = json!([event]);
    for same in [&cloud(event), &listed] {
        assert_eq!(classify(&read_one(same)), notice, "{same}");
    }
    // Members that senders leave out or write as text.
    let mut bare = event.clone();
    bare["data"] = Value::from(event["data"].to_string());
    assert_eq!(classify(&read_one(&bare)), notice, "data as text");
    let encoded = STANDARD.encode(event["data"].to_string());
    bare["data"] = Value::from(encoded.clone());
    assert_eq!(classify(&read_one(&bare)), notice, "data as the base64 of its JSON");
    let mut bytes = cloud(event);
    bytes.as_object_mut().unwrap().remove("data");
    bytes["data_base64"] = encoded.into();
    assert_eq!(classify(&read_one(&bytes)), notice, "data as bytes");
    for same in [event, &bytes, &bare] {
        assert_eq!(classify(&read_one(&renamed(same, &pascal))), notice, "members in Pascal case");
        assert_eq!(classify(&read_one(&renamed(same, &|name| name.to_uppercase()))), notice, "in capitals");
    }
    notice
}

/// The same with other names for all members, those of its data too.
fn renamed(value: &Value, name: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(known, value)| (name(known), renamed(value, name))).collect()
        }
        Value::Array(values) => values.iter().map(|value| renamed(value, name)).collect(),
        other => other.clone(),
    }
}

/// As .NET writes the members of a class.
fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[test]
fn of_two_members_the_one_that_is_spelt_as_documented_counts() {
    let success = "Microsoft.Resources.ResourceActionSuccess";
    let operation = "Microsoft.SignalRService/SignalR/regenerateKey/action";
    let mut event = grid(success, INSTANCE, operation);
    event["EventType"] = "Contoso.Any".into();
    event["Data"] = json!({});
    assert_eq!(classify(&read_one(&event)), Notice::Regenerated { instance: Some(instance()) });
}

/// What was really written, by whom, stands in `tests/events/README.md`.
#[test]
fn what_publishers_and_alerts_write_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/events");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort_unstable();
    let told = |name: &String| {
        let value: Value = serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
        let means = match read(&value, "it") {
            Ok(events) => {
                events.iter().map(|event| format!("{:?}", classify(event))).collect::<Vec<_>>().join("; ")
            }
            Err(malformed) => format!("{malformed:?}"),
        };
        format!("{name}: {means}")
    };
    let told: Vec<String> = names.iter().map(told).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    alert-of-a-budget.json: Malformed { member: "it", fault: OldAlert }
    alert-of-a-log-of-old.json: Malformed { member: "it", fault: OldAlert }
    alert-of-a-log-without-schema.json: Ignored(Unrelated)
    alert-of-a-log.json: InstanceChanged { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo }
    alert-of-a-metric-of-old.json: InstanceChanged { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo }
    alert-of-a-metric-with-moving-threshold.json: InstanceChanged { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo }
    alert-of-a-metric.json: InstanceChanged { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo }
    alert-of-autoscale.json: InstanceChanged { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo }
    alert-of-resource-health.json: InstanceChanged { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo }
    alert-of-service-health.json: ServiceHealth { signalr: true, subscriptions: ["00000000-0000-0000-0000-000000000001"] }
    alert-of-the-activity-log.json: Regenerated { instance: Some(/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo) }
    dotnet-class-of-ones-own.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    dotnet-cloud-event-of-binary-data.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    npm-cloud-event-of-bytes.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    npm-cloud-event.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    npm-event-grid-event.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    python-cloud-event-of-a-time.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    python-cloud-event-of-bytes.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    python-cloud-event-of-text.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    python-cloud-event.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    python-event-grid-event.json: Announced { instance: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo, keys: PerKey { primary: true, secondary: false }, deadline: Some(2026-09-24T13:00:00Z) }
    "#);
}

fn instance() -> ServiceId {
    INSTANCE.parse().unwrap()
}

fn site() -> AppId {
    SITE.parse().unwrap()
}

#[test]
fn a_regeneration_is_known_in_any_case_of_its_letters() {
    for operation in [
        "Microsoft.SignalRService/SignalR/regenerateKey/action",
        "Microsoft.SignalRService/SignalR/regeneratekey/action",
        "MICROSOFT.SIGNALRSERVICE/SIGNALR/REGENERATEKEY/ACTION",
    ] {
        let of = |kind: &str| meaning(&grid(kind, INSTANCE, operation));
        let named = Some(instance());
        assert_eq!(
            of("Microsoft.Resources.ResourceActionSuccess"),
            Notice::Regenerated { instance: named.clone() }
        );
        for failed in ["ResourceActionFailure", "ResourceActionCancel"] {
            let failure = Notice::RegenerationFailed { instance: named.clone() };
            assert_eq!(of(&format!("Microsoft.Resources.{failed}")), failure);
        }
    }
}

#[test]
fn a_regeneration_is_known_by_whatever_member_is_left() {
    let success = "Microsoft.Resources.ResourceActionSuccess";
    let action = "Microsoft.SignalRService/SignalR/regenerateKey/action";
    let below = format!("{INSTANCE}/operationStatuses/7");
    for data in [
        json!({ "operationName": action, "resourceUri": below }),
        json!({ "authorization": { "action": action, "scope": INSTANCE } }),
        json!({ "authorization": json!({ "action": action, "scope": INSTANCE }).to_string() }),
    ] {
        let event = json!({ "eventType": success, "data": data });
        assert_eq!(
            classify(&read_one(&event)),
            Notice::Regenerated { instance: Some(instance()) },
            "{event}"
        );
    }
    let nameless = json!({ "type": success, "data": { "operationName": action } });
    assert_eq!(classify(&read_one(&nameless)), Notice::Regenerated { instance: None });
}

#[test]
fn what_we_do_ourselves_all_the_time_calls_for_nothing() {
    let success = "Microsoft.Resources.ResourceActionSuccess";
    for (resource, operation, why) in [
        (INSTANCE, "Microsoft.SignalRService/SignalR/listKeys/action", Ignored::Reading),
        (SITE, "Microsoft.Web/sites/config/list/action", Ignored::Reading),
        (SITE, "Microsoft.Web/sites/slots/config/list/action", Ignored::Reading),
        (INSTANCE, "Microsoft.SignalRService/SignalR/restart/action", Ignored::OtherAction),
        (SITE, "Microsoft.Web/sites/restart/action", Ignored::OtherAction),
        (INSTANCE, "Microsoft.SignalRService/WebPubSub/regenerateKey/action", Ignored::OtherAction),
        (
            INSTANCE,
            "Microsoft.EventHub/namespaces/authorizationRules/regenerateKeys/action",
            Ignored::OtherAction,
        ),
    ] {
        assert_eq!(meaning(&grid(success, resource, operation)), Notice::Ignored(why), "{operation}");
    }
}

#[test]
fn writes_and_deletes_say_what_changed() {
    for kind in [
        "Microsoft.Resources.ResourceWriteSuccess",
        "Microsoft.Resources.ResourceDeleteSuccess",
        "Microsoft.ResourceNotifications.Resources.CreatedOrUpdated",
        "Microsoft.ResourceNotifications.Resources.Deleted",
    ] {
        let of = |resource: &str| meaning(&grid(kind, resource, "any/write"));
        assert_eq!(of(INSTANCE), Notice::InstanceChanged { instance: instance() });
        assert_eq!(of(SITE), Notice::AppChanged { app: site() });
        // As we do it ourselves, where we are told to tag services.
        let tags = format!("{INSTANCE}/providers/Microsoft.Resources/tags/default");
        let tagged = meaning(&grid(kind, &tags, "Microsoft.Resources/tags/write"));
        assert_eq!(tagged, Notice::Ignored(Ignored::OtherAction));
        assert_eq!(of(&format!("{SITE}/config/appsettings")), Notice::AppChanged { app: site() });
        let slot = format!("{SITE}/slots/blue");
        let named = Notice::AppChanged { app: slot.parse().unwrap() };
        assert_eq!(of(&format!("{slot}/config/connectionstrings")), named);
        let other =
            format!("{SUBSCRIPTION}/resourceGroups/live/providers/Microsoft.Storage/storageAccounts/a");
        assert_eq!(of(&other), Notice::Ignored(Ignored::Unrelated));
    }
    let failed = grid("Microsoft.Resources.ResourceWriteFailure", INSTANCE, "any/write");
    assert_eq!(meaning(&failed), Notice::Ignored(Ignored::OtherAction));
}

#[test]
fn app_service_says_which_app_changed() {
    for kind in ["Microsoft.Web.AppUpdated", "Microsoft.Web.SlotSwapCompleted"] {
        let mut event = grid(kind, "/Microsoft.Web/sites/shop", "");
        event["topic"] = SITE.into();
        event["data"] = json!({ "appEventTypeDetail": { "action": "ChangedAppSettings" }, "name": "shop" });
        assert_eq!(meaning(&event), Notice::AppChanged { app: site() });
    }
    let swap = "Microsoft.Web/sites/slotsswap/Action";
    let swapped = grid("Microsoft.Resources.ResourceActionSuccess", SITE, swap);
    assert_eq!(meaning(&swapped), Notice::AppChanged { app: site() });
}

fn alert(service: &str, targets: &[&str], context: &Value) -> Value {
    json!({
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": {
                "alertId": "/subscriptions/x/providers/Microsoft.AlertsManagement/alerts/9",
                "monitoringService": service, "alertTargetIDs": targets, "firedDateTime": "2026-09-24T13:00:00Z",
                "signalType": "Activity Log", "monitorCondition": "Fired",
            },
            "alertContext": context,
        },
    })
}

#[test]
fn an_alert_says_what_it_is_about() {
    let of = |alert: &Value| classify(&read_one(alert));
    let regenerated = json!({ "operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action" });
    let regeneration = alert("Activity Log - Administrative", &[&INSTANCE.to_lowercase()], &regenerated);
    assert_eq!(of(&regeneration), Notice::Regenerated { instance: Some(instance()) });

    let texts =
        json!({ "properties": { "impactedServices": "[{\"ServiceName\":\"Azure SignalR Service\"}]" } });
    let lists = json!({ "properties": { "impactedServices": [{ "ServiceName": "Azure SignalR Service" }] } });
    let other = json!({ "properties": { "service": "Virtual Machines" } });
    for (context, signalr) in [(texts, true), (lists, true), (other, false), (Value::Null, false)] {
        let subscriptions = vec!["3f8a1c52-0000-0000-0000-0000000000c7".to_owned()];
        let expected = Notice::ServiceHealth { signalr, subscriptions };
        for service in ["ServiceHealth", "Service Health"] {
            assert_eq!(of(&alert(service, &[SUBSCRIPTION], &context)), expected, "{context}");
        }
    }
    let unwell = alert(
        "Resource Health",
        &[INSTANCE],
        &json!({ "properties": { "currentHealthStatus": "Degraded" } }),
    );
    assert_eq!(of(&unwell), Notice::InstanceChanged { instance: instance() });
    let metric = alert("Platform", &[SITE], &json!({ "condition": {} }));
    assert_eq!(of(&metric), Notice::Ignored(Ignored::Unrelated));
    assert_eq!(of(&json!({ "data": { "essentials": {} } })), Notice::Ignored(Ignored::Unrelated));
}

/// An entry of the activity log as an alert without the common alert schema carries it.
fn entry(operation: &str, source: &str, resource: Option<&str>, properties: &Value) -> Value {
    json!({
        "schemaId": "Microsoft.Insights/activityLogs",
        "data": {
            "status": "Activated",
            "context": { "activityLog": {
                "eventDataId": "9d", "correlationId": "c", "eventSource": source, "eventTimestamp": "2026-09-24T13:00:00+00:00",
                "operationName": operation, "resourceId": resource, "status": "Succeeded",
                "authorization": { "action": operation, "scope": resource },
                "subscriptionId": "3f8a1c52-0000-0000-0000-0000000000c7", "properties": properties,
            } },
            "properties": {},
        },
    })
}

#[test]
fn an_alert_without_the_common_schema_says_the_same() {
    let of = |alert: &Value| classify(&read_one(alert));
    let regenerate = "Microsoft.SignalRService/SignalR/regenerateKey/action";
    let regenerated = entry(regenerate, "Administrative", Some(INSTANCE), &json!({}));
    assert_eq!(of(&regenerated), Notice::Regenerated { instance: Some(instance()) });
    let event = read_one(&regenerated);
    assert!(event.is_alert() && event.id.as_deref() == Some("9d") && event.time.is_some(), "{event:?}");
    let mut bare = regenerated.clone();
    bare["data"] = Value::from(regenerated["data"].to_string());
    assert_eq!(of(&bare), of(&regenerated), "data as text");

    let unwell = entry(
        "Microsoft.Resourcehealth/healthevent/Activated/action",
        "ResourceHealth",
        Some(INSTANCE),
        &json!({}),
    );
    assert_eq!(of(&unwell), Notice::InstanceChanged { instance: instance() });
    for (properties, signalr) in [
        (json!({ "service": "Azure SignalR Service" }), true),
        (json!({ "service": "Virtual Machines" }), false),
    ] {
        let health = entry("Microsoft.ServiceHealth/incident/action", "ServiceHealth", None, &properties);
        let subscriptions = vec!["3f8a1c52-0000-0000-0000-0000000000c7".to_owned()];
        assert_eq!(of(&health), Notice::ServiceHealth { signalr, subscriptions });
    }
    let other = entry("Microsoft.Web/sites/restart/action", "Administrative", Some(SITE), &json!({}));
    assert_eq!(of(&other), Notice::Ignored(Ignored::Unrelated));
}

/// Those of metrics, of autoscale and of logs, in their shapes of all years.
#[test]
fn an_alert_of_any_kind_is_about_the_resource_that_it_names() {
    let about = |resource: &str| {
        let context = json!({
            "timestamp": "2026-09-24T13:00:00.1714014Z", "id": format!("{SUBSCRIPTION}/providers/microsoft.insights/metricAlerts/a"),
            "subscriptionId": "3f8a1c52-0000-0000-0000-0000000000c7", "resourceId": resource,
        });
        let log = json!({
            "SubscriptionId": "3f8a1c52-0000-0000-0000-0000000000c7", "AlertRuleName": "a", "SearchQuery": "AzureDiagnostics",
            "ResourceId": resource, "SearchIntervalEndtimeUtc": "2026-09-24T13:00:00Z",
        });
        [
            json!({ "schemaId": "AzureMonitorMetricAlert", "data": { "version": "2.0", "status": "Activated", "context": context } }),
            json!({ "status": "Activated", "context": context, "properties": {} }),
            json!({ "version": "1.0", "status": "Activated", "operation": "Scale Out", "context": context }),
            json!({ "schemaId": "Microsoft.Insights/LogAlert", "data": log }),
            log,
        ]
    };
    for alert in about(INSTANCE) {
        let event = read_one(&alert);
        assert!(event.is_alert(), "{alert}");
        assert_eq!(classify(&event), Notice::InstanceChanged { instance: instance() }, "{alert}");
        assert_eq!(event.id, None, "that of the rule would make every alert of it a copy of the first");
    }
    for alert in about(SITE) {
        assert_eq!(classify(&read_one(&alert)), Notice::Ignored(Ignored::Unrelated), "{alert}");
    }
    // Service Health as it is sent for a test.
    let mut health = entry("Microsoft.ServiceHealth/incident/action", "x", None, &json!({}));
    for source in [json!(2), json!("x")] {
        health["data"]["context"]["activityLog"]["eventSource"] = source;
        let subscriptions = vec!["3f8a1c52-0000-0000-0000-0000000000c7".to_owned()];
        assert_eq!(classify(&read_one(&health)), Notice::ServiceHealth { signalr: false, subscriptions });
    }
}

#[test]
fn an_alert_that_names_nothing_is_told_from_an_event_and_leads_to_the_switch() {
    let budget = json!({ "schemaId": "AIP Budget Notification", "data": { "SubscriptionId": "s", "BudgetName": "b" } });
    let nameless = json!({ "AlertRuleName": "a", "SearchQuery": "AzureDiagnostics" });
    for alert in [budget, nameless, json!({ "context": { "name": "a" } })] {
        assert_eq!(read(&alert, "it").unwrap_err().fault, Misread::OldAlert, "{alert}");
    }
    // An event may have an attribute of that name: CloudEvents lets publishers add what they like.
    let mut event = cloud(&grid("Contoso.Any", "x", ""));
    event["schemaid"] = "a".into();
    assert_eq!(classify(&read_one(&event)), Notice::Ignored(Ignored::Unrelated));
    let error = read(&json!({ "schemaId": "a" }), "it").unwrap_err();
    assert_eq!(error, Malformed { member: "it".into(), fault: Misread::OldAlert });
}

fn bridged(kind: &str, data: Value) -> Value {
    let mut event = grid(kind, "mail", "");
    event["data"] = data;
    event
}

#[test]
fn the_bridge_announces_and_reports() {
    let announced = |data| meaning(&bridged("SignalRRekey.RegenerationAnnounced", data));
    let both = PerKey { primary: true, secondary: true };
    let expected = |keys, deadline| Notice::Announced { instance: instance(), keys, deadline };
    assert_eq!(announced(json!({ "instance": INSTANCE })), expected(both, None));
    assert_eq!(announced(json!({ "instance": INSTANCE, "keyTypes": null })), expected(both, None));
    let secondary = PerKey { primary: false, secondary: true };
    let deadline = "2026-10-01T00:00:00Z";
    for types in [json!(["secondary"]), json!("Secondary")] {
        let data =
            json!({ "instance": INSTANCE, "keyTypes": types, "deadline": "2026-10-01T02:00:00+02:00" });
        assert_eq!(announced(data), expected(secondary, Some(deadline.parse().unwrap())));
    }
    // A time without an offset is UTC; so publishers write a time that knows no place.
    for text in [
        "2026-10-01T00:00:00",
        "2026-10-01T00:00:00.0000000",
        "2026-10-01 00:00:00",
        "2026-10-01T00:00",
        "2026-10-01T02:00:00+0200",
        "2026-10-01 02:00:00 +02:00",
        "2026-10-01 00:00:00Z",
        "2026-10-01T00:00Z",
    ] {
        let data = json!({ "instance": INSTANCE, "deadline": text });
        assert_eq!(announced(data), expected(both, Some(deadline.parse().unwrap())), "{text}");
    }
    for none in [json!(null), json!("")] {
        assert_eq!(announced(json!({ "instance": INSTANCE, "deadline": none })), expected(both, None));
    }
    let exposed = bridged("signalrrekey.keysexposed", json!({ "instance": format!("{INSTANCE}/") }));
    assert_eq!(meaning(&exposed), Notice::Compromised { instance: instance() });
}

#[test]
fn a_type_that_is_almost_one_of_ours_is_no_strange_event() {
    for kind in ["SignalRekey.KeysExposed", "Contoso.RegenerationAnnounced", "signalr-rekey.keysExposed"] {
        let notice = meaning(&bridged(kind, json!({ "instance": INSTANCE })));
        assert!(matches!(notice, Notice::Unreadable { .. }), "{kind}: {notice:?}");
    }
    let strange = bridged("Contoso.KeysExposedSoon", json!({ "instance": INSTANCE }));
    assert_eq!(meaning(&strange), Notice::Ignored(Ignored::Unrelated));
}

#[test]
fn what_the_bridge_got_wrong_is_said() {
    let fault = |kind: &str, data: Value| match classify(&read_one(&bridged(kind, data))) {
        Notice::Unreadable { fault } => fault,
        other => panic!("understood: {other:?}"),
    };
    let kind = "SignalRRekey.RegenerationAnnounced";
    let faults = [
        fault(kind, Value::Null),
        fault(kind, json!({ "instance": "chat" })),
        fault(kind, json!({ "instance": INSTANCE, "keyTypes": ["Salt"] })),
        fault(kind, json!({ "instance": INSTANCE, "keyTypes": [7] })),
        fault(kind, json!({ "instance": INSTANCE, "keyTypes": [] })),
        fault(kind, json!({ "instance": INSTANCE, "deadline": "tomorrow" })),
        fault(kind, json!({ "instance": INSTANCE, "deadline": 1_790_254_800 })),
        fault(kind, json!({ "instance": INSTANCE, "deadline": "2026-10-01" })),
        fault(kind, json!({ "instance": INSTANCE, "deadline": "10/1/2026 12:00:00 AM" })),
        fault(kind, json!({ "instance": INSTANCE, "deadlin": "2026-10-01T00:00:00Z" })),
        fault(kind, json!({ "instance": INSTANCE, "Key_Types": ["Primary"] })),
        fault(kind, json!({ "instanceId": INSTANCE })),
        fault(kind, json!({ "instance": INSTANCE, "when": "2026-10-01T00:00:00Z" })),
        fault("SignalRRekey.KeysExposed", json!({ "instnace": INSTANCE })),
        fault("SignalRRekey.KeysExposed", json!({})),
        fault("SignalRRekey.Rotate", json!({ "instance": INSTANCE })),
    ];
    assert_eq!(
        faults,
        [
            BridgeFault::NoInstance,
            BridgeFault::NotAnInstance,
            BridgeFault::NotAKeyType,
            BridgeFault::NotAKeyType,
            BridgeFault::NoKeyTypes,
            BridgeFault::NotATime,
            BridgeFault::NotATime,
            BridgeFault::NotATime,
            BridgeFault::NotATime,
            BridgeFault::Misspelt("deadline"),
            BridgeFault::Misspelt("keyTypes"),
            BridgeFault::Misspelt("instance"),
            BridgeFault::UnknownMember,
            BridgeFault::Misspelt("instance"),
            BridgeFault::NoInstance,
            BridgeFault::UnknownType,
        ]
    );
}

/// Taken for earlier than it is, a report would count as answered by the rotation before it.
#[test]
fn an_events_own_time_is_not_guessed() {
    let at = |time: &str| {
        let mut event = bridged("SignalRRekey.KeysExposed", json!({ "instance": INSTANCE }));
        event["eventTime"] = time.into();
        read_one(&event).time
    };
    assert_eq!(at("2026-09-24T13:00:00"), None);
    assert_eq!(at("2026-09-24T15:00:00+02:00"), Some("2026-09-24T13:00:00Z".parse().unwrap()));
}

#[test]
fn what_has_nothing_to_do_with_us_is_said_to_have_none() {
    for data in [Value::Null, json!("good bye"), json!(5), json!([1])] {
        let mut event = grid("Contoso.Notice", "https://conf/kv/hub", "");
        event["data"] = data;
        assert_eq!(classify(&read_one(&event)), Notice::Ignored(Ignored::Unrelated));
    }
    let connected = grid("Microsoft.SignalRService.ClientConnectionConnected", INSTANCE, "");
    assert_eq!(meaning(&connected), Notice::Ignored(Ignored::Unrelated));
}

/// Any JSON, with our own words among its names and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let words = [
        "eventType",
        "type",
        "data",
        "subject",
        "topic",
        "source",
        "id",
        "time",
        "authorization",
        "scope",
        "action",
        "resourceUri",
        "operationName",
        "essentials",
        "alertContext",
        "alertTargetIDs",
        "properties",
        "service",
        "monitoringService",
        "instance",
        "keyTypes",
        "deadline",
        "data_base64",
        "schemaId",
        "context",
        "activityLog",
        "resourceId",
        "SignalRRekey.KeysExposed",
        "SignalRRekey.RegenerationAnnounced",
        "Microsoft.Resources.ResourceActionSuccess",
        "ServiceHealth",
    ];
    let word = prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(String::from),
        1 => ".{0,12}",
        1 => Just(INSTANCE.to_owned()),
        1 => Just(SITE.to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let entries = prop::collection::vec((word.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            entries.prop_map(|entries| entries.into_iter().collect()),
            inner.prop_map(|value| value.to_string().into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        for event in read(&value, "it").unwrap_or_default() {
            drop(classify(&event));
        }
    }
}
