//! What goes wrong on request, and what others do in between.

use super::harness::*;

#[tokio::test]
async fn faults_hit_what_they_are_meant_for_and_are_used_up() {
    let azure = Azure::start().await;
    azure.inner.fault(Fault { retry_after: Some(7), ..Fault::new("SignalR_ListKeys", FaultKind::Throttled) });
    assert_eq!(azure.get(&instance(""), SIGNALR).await.status(), 200);
    let throttled = azure.post(&instance("/listKeys"), SIGNALR, json!({})).await;
    assert_eq!(header(&throttled, "retry-after"), "7");
    assert_eq!(fault_of(throttled).await, (429, "TooManyRequests".into()));
    assert_eq!(azure.post(&instance("/listKeys"), SIGNALR, json!({})).await.status(), 200);

    azure
        .inner
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
        azure.inner.fault(Fault::new("*", kind));
        let (status, code) = fault_of(azure.get(&instance(""), SIGNALR).await).await;
        assert_eq!((status, code.as_str()), expected);
    }
    azure.inner.fault(Fault::new("DataPlane_Exists", FaultKind::Unauthorized).times(2));
    let key = azure.key(KeyType::Primary);
    for expected in [401, 401, 404] {
        assert_eq!(azure.probe(&key).await.0, expected, "a key that has not reached every node");
    }
    azure.inner.fault(Fault { delay_ms: 90_000, ..Fault::new("*", FaultKind::Slow) });
    let before = azure.clock.now();
    assert_eq!(azure.get(&instance(""), SIGNALR).await.status(), 200);
    assert_eq!(azure.clock.now() - before, TimeDelta::seconds(90));
}

#[tokio::test]
async fn a_lost_answer_tells_nothing_of_the_effect() {
    for (kind, happened) in [(FaultKind::TimeoutBefore, false), (FaultKind::TimeoutAfter, true)] {
        let azure = Azure::start().await;
        let before = azure.list_keys().await;
        azure.inner.fault(Fault::new("SignalR_RegenerateKey", kind));
        let body = json!({"keyType": "Primary"});
        let answer =
            azure.request(Method::POST, &instance("/regenerateKey"), SIGNALR).json(&body).send().await;
        assert!(answer.is_err(), "the connection is closed: {answer:?}");
        assert_eq!(azure.list_keys().await != before, happened, "{kind:?}");
        let last =
            azure.inner.requests().into_iter().rfind(|one| one.operation == "SignalR_RegenerateKey").unwrap();
        assert_eq!((last.status, last.resource.as_str()), (None, "sr-demo"));
    }
    let azure = Azure::start().await;
    let before = azure.list_keys().await;
    azure.inner.fault(Fault::new("SignalR_RegenerateKey", FaultKind::ServerErrorAfter));
    assert_eq!(azure.regenerate("Primary").await.status(), 500);
    assert_ne!(azure.list_keys().await, before);
}

#[tokio::test]
async fn regenerations_can_fail_or_do_nothing() {
    for (kind, status) in [(FaultKind::OperationFailed, "Failed"), (FaultKind::NoEffect, "Succeeded")] {
        let azure = Azure::start().await;
        let before = azure.list_keys().await;
        azure.inner.fault(Fault::new("SignalR_RegenerateKey", kind));
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
    azure.inner.before("WebApps_UpdateApplicationSettings", 1, |state| {
        state.edit_setting("chat-web", "COLLEAGUE", Some("was here")).unwrap();
    });
    azure.inner.after("WebApps_ListApplicationSettings", 2, |state| state.delete_site("chat-func").unwrap());
    assert_eq!(
        azure.inner.waiting(),
        ["WebApps_UpdateApplicationSettings", "WebApps_ListApplicationSettings"]
    );
    let settings = azure.settings("chat-web").await;
    azure.put_settings("chat-web", &settings).await;
    assert!(!azure.settings("chat-web").await.contains_key("COLLEAGUE"), "a PUT that knew nothing of it");
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-func");
    assert_eq!(azure.get(&path, WEB).await.status(), 404);
    assert!(azure.inner.waiting().is_empty());
}

#[tokio::test]
async fn the_nth_request_meets_an_expired_token() {
    let azure = Azure::start().await;
    azure.inner.fault(Fault::new("SignalR_Get", FaultKind::ExpiredToken).after(2));
    for expected in [200, 200, 401, 200] {
        let answer = azure.get(&instance(""), SIGNALR).await;
        assert_eq!(answer.status(), expected);
        if expected == 401 {
            assert!(header(&answer, "www-authenticate").contains("invalid_token"));
            assert_eq!(fault_of(answer).await.1, "ExpiredAuthenticationToken");
        }
    }
}

#[tokio::test]
async fn a_site_is_busy_for_a_while_also_when_it_is_read() {
    let azure = Azure::start().await;
    let fault = Fault::new("WebApps_ListApplicationSettings", FaultKind::Conflict);
    azure.inner.fault(fault.on("chat-web").times(2));
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web/config/appsettings/list");
    for expected in [409, 409, 200] {
        assert_eq!(azure.post(&path, WEB, json!({})).await.status(), expected);
    }
}

#[tokio::test]
async fn an_operation_can_be_out_of_reach_or_say_nothing_while_the_key_changes() {
    for (kind, status, body) in [
        (FaultKind::StillRunning, 200, json!({"status": "Updating"}).to_string()),
        (FaultKind::NullStatus, 200, json!({"status": null}).to_string()),
        (FaultKind::Html, 200, "<html>".into()),
        (FaultKind::Forbidden, 403, "AuthorizationFailed".into()),
        (FaultKind::BadRequest, 400, "BadRequest".into()),
    ] {
        let azure = Azure::start().await;
        let before = azure.key(KeyType::Primary);
        azure.inner.fault(Fault::new("SignalR_OperationStatuses", kind).times(u64::MAX));
        let url = header(&azure.regenerate("Primary").await, "azure-asyncoperation").to_owned();
        azure.clock.advance(2 * MINUTE);
        let answer = azure.http.get(url).bearer_auth(&azure.token).send().await.unwrap();
        assert_eq!(answer.status(), status, "{kind:?}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(&body), "{kind:?}: {text}");
        assert_ne!(azure.key(KeyType::Primary), before, "what is said of it changes nothing in it");
    }
    let azure = Azure::start().await;
    azure.inner.fault(Fault::new("SignalR_RegenerateKey", FaultKind::ForeignHost));
    let answer = azure.regenerate("Primary").await;
    for name in ["azure-asyncoperation", "location"] {
        assert!(header(&answer, name).starts_with("https://eastus.management.azure.invalid/"), "{name}");
    }
}

#[tokio::test]
async fn settings_can_be_answered_for_and_not_be_written_or_only_later() {
    for (kind, after) in [(FaultKind::Swallowed, None), (FaultKind::AppliedLate, Some(7000))] {
        let azure = Azure::start().await;
        let before = azure.settings("chat-web").await;
        let mut sent = before.clone();
        sent.insert("ADDED".into(), "1".into());
        let fault = Fault::new("WebApps_UpdateApplicationSettings", kind);
        azure.inner.fault(Fault { delay_ms: after.unwrap_or_default(), ..fault });
        let began = azure.clock.now();
        let answer = json_of(azure.put_settings("chat-web", &sent).await).await;
        assert_eq!(azure.clock.now(), began, "nobody is kept waiting");
        assert_eq!(answer["properties"], json!(sent), "it is answered as if it were");
        assert_eq!(azure.settings("chat-web").await, before);
        azure.clock.advance(Duration::from_millis(6999));
        assert_eq!(azure.settings("chat-web").await, before);
        azure.clock.advance(Duration::from_millis(1));
        assert_eq!(azure.settings("chat-web").await == sent, after.is_some(), "{kind:?}");
    }
}

#[tokio::test]
async fn settings_are_refused_where_the_content_share_is_out_of_reach() {
    let refused = |answer: Response| async {
        let status = answer.status().as_u16();
        let body = json_of(answer).await;
        assert!(body["Message"].as_str().unwrap().contains("storage file share"), "{body}");
        status == 400 && body["Code"] == "BadRequest"
    };
    let azure = Azure::start().await;
    let before = azure.settings("chat-func").await;
    azure.inner.fault(Fault::new("WebApps_UpdateApplicationSettings", FaultKind::ContentShare));
    assert!(refused(azure.put_settings("chat-func", &BTreeMap::new()).await).await);
    let mut with = before.clone();
    let reference = "@Microsoft.KeyVault(VaultName=v;SecretName=files)";
    with.insert("WEBSITE_CONTENTAZUREFILECONNECTIONSTRING".into(), reference.into());
    assert!(refused(azure.put_settings("chat-func", &with).await).await);
    assert_eq!(azure.settings("chat-func").await, before, "nothing was written");
    with.insert("WEBSITE_SKIP_CONTENTSHARE_VALIDATION".into(), "1".into());
    assert_eq!(azure.put_settings("chat-func", &with).await.status(), 200);
}
