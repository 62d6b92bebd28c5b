//! The endpoints that steer the embedded Azure.

use super::harness::*;

#[tokio::test]
async fn the_control_endpoints_do_what_they_say_and_refuse_nonsense_by_name() {
    let azure = Azure::start().await;
    let control =
        |path: &str, body: Value| azure.http.post(format!("{}{path}", azure.inner.base())).json(&body).send();
    azure.clock.advance(MINUTE);
    let both = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
    for (path, body, word) in [
        ("/sim/regenerate", json!({"instance": "sr-gone", "keyType": "Both"}), "sr-demo"),
        ("/sim/regenerate", json!({"instance": "sr-demo", "keyType": "Salt"}), "Primary"),
        ("/sim/faults", json!({"operation": "SignalR_Nothing", "kind": "500"}), "SignalR_Nothing"),
        ("/sim/faults", json!({"kind": "meltdown"}), "timeout-before"),
        ("/sim/faults", json!({"kind": 418}), "429"),
        ("/sim/settings", json!({"app": "gone", "name": "A", "value": "1"}), "chat-func"),
        ("/sim/settings", json!({"app": "chat-web", "name": "A", "value": "{primary:no}"}), "no"),
    ] {
        let answer = control(path, body).await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        let message = json_of(answer).await["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(both, (azure.key(KeyType::Primary), azure.key(KeyType::Secondary)));

    let forced = control("/sim/regenerate", json!({"instance": "SR-demo", "keyType": "Both"})).await.unwrap();
    assert_eq!(forced.status(), 200);
    assert!(azure.key(KeyType::Primary) != both.0 && azure.key(KeyType::Secondary) != both.1);
    let edit = json!({"app": "chat-web/staging", "name": "Azure__SignalR__ConnectionString", "value": "{primary:sr-demo}"});
    assert_eq!(control("/sim/settings", edit).await.unwrap().status(), 200);
    control("/sim/faults", json!({"operation": "*", "count": 1, "kind": 429})).await.unwrap();
    assert_eq!(azure.get(&instance(""), SIGNALR).await.status(), 429);
    azure.clock.advance(MINUTE);

    let report =
        json_of(azure.http.get(format!("{}/sim/report", azure.inner.base())).send().await.unwrap()).await;
    let instance = &report["instances"]["sr-demo"];
    assert_eq!(instance["apps"]["chat-web/staging"]["outages"][0]["length_ms"], 20_000);
    assert_eq!(instance["apps"]["chat-web"]["outages"][0]["open"], true);
    assert_eq!(report["outages"].as_array().unwrap().len(), 3);
    assert_eq!(report["arm_requests"], json!({"SignalR_Get": 1}));
    assert_eq!(report["arm_requests_total"], 1);
}

#[tokio::test]
async fn every_request_tells_when_it_began_and_was_answered() {
    let azure = Azure::start().await;
    azure.list_keys().await;
    let between = azure.inner.moment();
    azure.list_keys().await;
    let requests = azure.inner.requests();
    let [.., first, second] = &requests[..] else { panic!("two requests") };
    let moments = [first.begun, first.answered, between, second.begun, second.answered];
    assert!(moments.is_sorted() && first.begun < first.answered, "{moments:?}");
}
