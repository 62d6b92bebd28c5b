//! What goes wrong on request, and what others do in between.

use super::harness::*;

#[tokio::test]
async fn faults_hit_what_they_are_meant_for_and_are_used_up() {
    let azure = Azure::start().await;
    azure.sim.fault(Fault { retry_after: Some(7), ..Fault::new("SignalR_ListKeys", FaultKind::Throttled) });
    assert_eq!(azure.get(&instance(""), SIGNALR).await.status(), 200);
    let throttled = azure.post(&instance("/listKeys"), SIGNALR, json!({})).await;
    assert_eq!(header(&throttled, "retry-after"), "7");
    assert_eq!(fault_of(throttled).await, (429, "SubscriptionRequestsThrottled".into()));
    assert_eq!(azure.post(&instance("/listKeys"), SIGNALR, json!({})).await.status(), 200);

    azure
        .sim
        .fault(Fault::new("WebApps_ListApplicationSettings", FaultKind::Forbidden).on("chat-func").times(2));
    assert_eq!(azure.settings("chat-web").await.len(), 3);
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-func/config/appsettings/list");
    for expected in [403, 403, 200] {
        assert_eq!(azure.post(&path, WEB, json!({})).await.status(), expected);
    }
    for (kind, expected) in [
        (FaultKind::ServerError, (500, "InternalServerError")),
        (FaultKind::Unavailable, (503, "ServerUnavailable")),
        (FaultKind::Conflict, (409, "Conflict")),
    ] {
        azure.sim.fault(Fault::new("*", kind));
        let (status, code) = fault_of(azure.get(&instance(""), SIGNALR).await).await;
        assert_eq!((status, code.as_str()), expected);
    }
    azure.sim.fault(Fault::new("DataPlane_Exists", FaultKind::Unauthorized).times(2));
    let key = azure.key(KeyType::Primary);
    for expected in [401, 401, 404] {
        assert_eq!(azure.probe(&key).await.0, expected, "a key that has not reached every node");
    }
    azure.sim.fault(Fault { delay_ms: 90_000, ..Fault::new("*", FaultKind::Slow) });
    let before = azure.clock.now();
    assert_eq!(azure.get(&instance(""), SIGNALR).await.status(), 200);
    assert_eq!(azure.clock.now() - before, TimeDelta::seconds(90));
}

#[tokio::test]
async fn a_lost_answer_tells_nothing_of_the_effect() {
    for (kind, happened) in [(FaultKind::TimeoutBefore, false), (FaultKind::TimeoutAfter, true)] {
        let azure = Azure::start().await;
        let before = azure.list_keys().await;
        azure.sim.fault(Fault::new("SignalR_RegenerateKey", kind));
        let body = json!({"keyType": "Primary"});
        let answer =
            azure.request(Method::POST, &instance("/regenerateKey"), SIGNALR).json(&body).send().await;
        assert!(answer.is_err(), "the connection is closed: {answer:?}");
        assert_eq!(azure.list_keys().await != before, happened, "{kind:?}");
        let last =
            azure.sim.requests().into_iter().rfind(|one| one.operation == "SignalR_RegenerateKey").unwrap();
        assert_eq!((last.status, last.resource.as_str()), (None, "sr-demo"));
    }
    let azure = Azure::start().await;
    let before = azure.list_keys().await;
    azure.sim.fault(Fault::new("SignalR_RegenerateKey", FaultKind::ServerErrorAfter));
    assert_eq!(azure.regenerate("Primary").await.status(), 500);
    assert_ne!(azure.list_keys().await, before);
}

#[tokio::test]
async fn regenerations_can_fail_or_do_nothing() {
    for (kind, status) in [(FaultKind::OperationFailed, "Failed"), (FaultKind::NoEffect, "Succeeded")] {
        let azure = Azure::start().await;
        let before = azure.list_keys().await;
        azure.sim.fault(Fault::new("SignalR_RegenerateKey", kind));
        let answer = azure.regenerate("Secondary").await;
        let url = header(&answer, "azure-asyncoperation").to_owned();
        assert_ne!(json_of(answer).await, before, "it promises a key");
        azure.clock.advance(2 * MINUTE);
        let body = json_of(azure.http.get(url).bearer_auth(&azure.token).send().await.unwrap()).await;
        assert_eq!(body["status"], status);
        assert_eq!(body["error"]["code"].is_string(), status == "Failed");
        assert_eq!(azure.list_keys().await, before);
    }
}

#[tokio::test]
async fn hooks_let_others_act_between_two_requests() {
    let azure = Azure::start().await;
    azure.sim.before("WebApps_UpdateApplicationSettings", 1, |state| {
        state.edit_setting("chat-web", "COLLEAGUE", Some("was here")).unwrap();
    });
    azure.sim.after("WebApps_ListApplicationSettings", 2, |state| state.delete_site("chat-func").unwrap());
    assert_eq!(azure.sim.waiting(), ["WebApps_UpdateApplicationSettings", "WebApps_ListApplicationSettings"]);
    let settings = azure.settings("chat-web").await;
    azure.put_settings("chat-web", &settings).await;
    assert!(!azure.settings("chat-web").await.contains_key("COLLEAGUE"), "a PUT that knew nothing of it");
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-func");
    assert_eq!(azure.get(&path, WEB).await.status(), 404);
    assert!(azure.sim.waiting().is_empty());
}
