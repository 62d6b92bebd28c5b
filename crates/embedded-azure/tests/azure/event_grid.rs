//! What Event Grid is told.

use embedded_azure::State;
use embedded_azure::event_grid::{Announced, EventGrid, Outcome};

use super::harness::*;

pub(super) const REGENERATE: &str = "Microsoft.SignalRService/SignalR/regenerateKey/action";
pub(super) const KEY_MARK: &str = "FINDME";

/// A subscription, on a clock that is moved by hand.
pub(super) async fn azure(grid: EventGrid) -> Azure {
    let options = Options { event_grid: Some(grid), key_prefix: KEY_MARK.into(), ..Options::like_azure() };
    Azure::with(World::default(), options).await
}

/// What was announced since the last call, as `type operation`.
fn announced(azure: &Azure) -> Vec<String> {
    let deliveries = azure.inner.with(|state| {
        let due = state.deliveries_due();
        due.iter().for_each(|delivery| state.delivery_answered(delivery.id, Outcome::Answered(200)));
        due
    });
    let tell = |event: &Value| {
        let kind = event["eventType"].as_str().unwrap();
        let what = &event["data"]["operationName"];
        let what = what.as_str().or_else(|| event["data"]["appEventTypeDetail"]["action"].as_str());
        format!("{} {}", kind.rsplit('.').next().unwrap(), what.unwrap())
    };
    deliveries.iter().flat_map(|delivery| delivery.events.iter().map(tell)).collect()
}

fn site(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Web/sites/{rest}")
}

#[tokio::test]
async fn every_write_is_announced_and_no_read_is() {
    let azure = azure(EventGrid::default()).await;
    for path in [instance(""), site("chat-web"), site("chat-web/config/slotConfigNames")] {
        assert_eq!(azure.get(&path, WEB).await.status(), 200);
    }
    azure.inner.regenerate("sr-demo", &KeyType::ALL).unwrap();
    assert_eq!(announced(&azure), [""; 0], "a forced regeneration comes by mail");

    azure.list_keys().await;
    azure.regenerate("Primary").await;
    assert_eq!(azure.regenerate("Secondary").await.status(), 409);
    assert_eq!(
        announced(&azure),
        [
            "ResourceActionSuccess Microsoft.SignalRService/SignalR/listKeys/action",
            "ResourceActionSuccess Microsoft.SignalRService/SignalR/regenerateKey/action",
            "ResourceActionFailure Microsoft.SignalRService/SignalR/regenerateKey/action",
        ]
    );
    let settings = azure.settings("chat-web/slots/staging").await;
    azure.put_settings("chat-web/slots/staging", &settings).await;
    azure.put_settings("chat-web", &BTreeMap::new()).await;
    azure.post(&site("chat-web/config/connectionstrings/list"), WEB, json!({})).await;
    azure.post(&site("chat-web/restart"), WEB, json!({})).await;
    assert_eq!(
        announced(&azure),
        [
            "ResourceActionSuccess Microsoft.Web/sites/slots/config/list/action",
            "ResourceWriteSuccess Microsoft.Web/sites/slots/config/write",
            "AppUpdated ChangedAppSettings",
            "ResourceWriteSuccess Microsoft.Web/sites/config/write",
            "ResourceActionSuccess Microsoft.Web/sites/config/list/action",
            "ResourceActionSuccess Microsoft.Web/sites/restart/action",
        ],
        "the slot got the settings that it had: App Service says nothing of it"
    );
}

#[tokio::test]
async fn what_people_do_is_announced_as_done_through_arm() {
    let azure = azure(EventGrid::default()).await;
    azure.inner.regenerate_through_arm("sr-demo", &KeyType::ALL).unwrap();
    azure.inner.edit_setting("chat-web", "A", Some("1")).unwrap();
    azure.inner.with(|state| state.edit_connection_string("chat-func", "A", Some("1"))).unwrap();
    let new = Site { group: "rg-demo".into(), name: "new".into(), ..Site::default() };
    azure.inner.with(|state| state.add_site(new)).unwrap();
    azure.inner.delete_site("chat-web/staging").unwrap();
    azure.inner.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
    azure.inner.delete_service("sr-demo").unwrap();
    assert_eq!(
        announced(&azure),
        [
            "ResourceActionSuccess Microsoft.SignalRService/SignalR/regeneratekey/action",
            "ResourceActionSuccess Microsoft.SignalRService/SignalR/regeneratekey/action",
            "AppUpdated ChangedAppSettings",
            "ResourceWriteSuccess Microsoft.Web/sites/config/write",
            "AppUpdated ChangedAppSettings",
            "ResourceWriteSuccess Microsoft.Web/sites/config/write",
            "ResourceWriteSuccess Microsoft.Web/sites/write",
            "ResourceDeleteSuccess Microsoft.Web/sites/slots/delete",
            "ResourceWriteSuccess Microsoft.SignalRService/SignalR/write",
            "ResourceDeleteSuccess Microsoft.SignalRService/SignalR/delete",
        ]
    );
}

#[tokio::test]
async fn a_colleagues_regeneration_comes_by_the_control_endpoint_too() {
    let azure = azure(EventGrid::default()).await;
    let control = async |body: Value| {
        let url = format!("{}/sim/regenerate", azure.inner.base());
        assert_eq!(azure.http.post(url).json(&body).send().await.unwrap().status(), 200);
    };
    let before = azure.key(KeyType::Primary);
    control(json!({"instance": "sr-demo", "keyType": "Primary"})).await;
    assert_eq!(announced(&azure).len(), 0);
    let forced = azure.key(KeyType::Primary);
    control(json!({"instance": "sr-demo", "keyType": "Primary", "throughArm": true})).await;
    assert_eq!(announced(&azure), [format!("ResourceActionSuccess {REGENERATE}").replace("Key/", "key/")]);
    assert!(before != forced && forced != azure.key(KeyType::Primary), "at once, either way");
}

#[tokio::test]
async fn failures_are_announced_and_refusals_are_not() {
    let azure = azure(EventGrid::default()).await;
    for (kind, expected) in [
        (FaultKind::Throttled, None),
        (FaultKind::Forbidden, None),
        (FaultKind::Unauthorized, None),
        (FaultKind::TimeoutBefore, None),
        (FaultKind::Conflict, Some("Failure")),
        (FaultKind::ServerError, Some("Failure")),
        (FaultKind::ServerErrorAfter, Some("Failure")),
        (FaultKind::Unavailable, Some("Failure")),
        (FaultKind::TimeoutAfter, Some("Success")),
    ] {
        azure.inner.fault(Fault::new("SignalR_ListKeys", kind));
        drop(azure.request(Method::POST, &instance("/listKeys"), SIGNALR).json(&json!({})).send().await);
        let ends: Vec<String> = announced(&azure);
        let expected = expected
            .map(|end| format!("ResourceAction{end} Microsoft.SignalRService/SignalR/listKeys/action"));
        assert_eq!(ends, expected.into_iter().collect::<Vec<_>>(), "{kind:?}");
    }
    let gone = instance("/listKeys").replace("sr-demo", "sr-gone");
    azure.post(&gone, SIGNALR, json!({})).await;
    assert_eq!(announced(&azure).len(), 1, "404");
    let foreign = instance("/listKeys").replace("0001/", "0002/");
    azure.post(&foreign, SIGNALR, json!({})).await;
    azure
        .http
        .post(format!("{}{}?{SIGNALR}", azure.inner.base(), instance("/listKeys")))
        .send()
        .await
        .unwrap();
    assert_eq!(announced(&azure).len(), 0, "another subscription's, and nobody's");
}

#[tokio::test]
async fn a_regeneration_may_be_announced_when_it_ends() {
    for (fault, end) in [(None, "Success"), (Some(FaultKind::OperationFailed), "Failure")] {
        let azure = azure(EventGrid { announced: Announced::WhenFinished, ..EventGrid::default() }).await;
        fault.into_iter().for_each(|kind| azure.inner.fault(Fault::new("SignalR_RegenerateKey", kind)));
        assert_eq!(azure.regenerate("Primary").await.status(), 202);
        assert_eq!((announced(&azure).len(), azure.inner.next_delivery()), (0, None));
        azure.clock.advance(2 * MINUTE);
        let event = azure.inner.undelivered_events().remove(0);
        assert_eq!(event["eventTime"], "2026-01-01T00:01:15.0000000Z");
        assert_eq!(event["data"]["status"], if end == "Success" { "Succeeded" } else { "Failed" });
        assert_eq!(announced(&azure), [format!("ResourceAction{end} {REGENERATE}")]);
    }
}

#[tokio::test]
async fn an_event_has_the_members_that_azures_have() {
    let azure = azure(EventGrid::default()).await;
    let path = instance("/regenerateKey").replace("resourceGroups", "resourcegroups");
    let request = azure.request(Method::POST, &path, SIGNALR).header("x-ms-client-request-id", "mine");
    let answer = request.json(&json!({"keyType": "Primary"})).send().await.unwrap();
    let correlation = header(&answer, "x-ms-correlation-request-id").to_owned();
    let event = azure.inner.undelivered_events().remove(0);
    let resource = path.strip_suffix("/regenerateKey").unwrap();
    for (member, expected) in [
        ("/topic", "/subscriptions/00000000-0000-0000-0000-000000000001"),
        ("/subject", resource),
        ("/eventType", "Microsoft.Resources.ResourceActionSuccess"),
        ("/eventTime", "2026-01-01T00:00:00.0000000Z"),
        ("/dataVersion", "2"),
        ("/metadataVersion", "1"),
        ("/data/authorization/scope", resource),
        ("/data/authorization/action", REGENERATE),
        ("/data/authorization/evidence/principalType", "ServicePrincipal"),
        ("/data/claims/aud", "https://management.azure.com"),
        ("/data/correlationId", &correlation),
        ("/data/httpRequest/clientRequestId", "mine"),
        ("/data/httpRequest/method", "POST"),
        ("/data/httpRequest/url", &format!("{}{path}?{SIGNALR}", azure.inner.base())),
        ("/data/resourceProvider", "Microsoft.SignalRService"),
        ("/data/resourceUri", resource),
        ("/data/operationName", REGENERATE),
        ("/data/status", "Succeeded"),
        ("/data/subscriptionId", "00000000-0000-0000-0000-000000000001"),
    ] {
        assert_eq!(event.pointer(member).and_then(Value::as_str), Some(expected), "{member}");
    }
    for member in ["/id", "/data/tenantId", "/data/claims/appid", "/data/authorization/evidence/principalId"]
    {
        assert_eq!(event.pointer(member).and_then(Value::as_str).unwrap().len(), 36, "{member}");
    }
    azure.inner.edit_setting("chat-web/staging", "A", Some("1")).unwrap();
    let updated = azure.inner.undelivered_events().remove(1);
    assert_eq!(updated["topic"], site("chat-web/slots/staging"));
    assert_eq!(updated["subject"], "/Microsoft.Web/sites/chat-web/slots/staging");
}

#[tokio::test]
async fn without_a_subscription_nothing_is_kept_and_nothing_is_different() {
    let (plain, told) = (Azure::start().await, azure_like_it_but_told().await);
    for azure in [&plain, &told] {
        azure.regenerate("Primary").await;
        azure.inner.edit_setting("chat-web", "A", Some("1")).unwrap();
        azure.inner.deliver_due().await;
    }
    assert_eq!(plain.inner.undelivered_events(), [Value::Null; 0]);
    assert!(plain.inner.report().event_grid.is_none() && plain.inner.with(State::deliveries_due).is_empty());
    assert_eq!(told.inner.undelivered_events().len(), 3);
    assert_eq!(plain.list_keys().await, told.list_keys().await);
    assert_eq!(plain.token.len(), told.token.len());
}

async fn azure_like_it_but_told() -> Azure {
    let event_grid = Some(EventGrid::default());
    Azure::with(World::default(), Options { event_grid, ..Options::like_azure() }).await
}
