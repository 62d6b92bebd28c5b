//! What is denied is refused, and the permissions API tells of it.

use embedded_azure::State;

use super::harness::*;

const PERMISSIONS: &str = "/providers/Microsoft.Authorization/permissions";
const AUTHORIZATION: &str = "api-version=2022-04-01";

async fn not_actions(azure: &Azure, scope: &str) -> Value {
    let answer = azure.get(&format!("{scope}{PERMISSIONS}"), AUTHORIZATION).await;
    assert_eq!(answer.status(), StatusCode::OK, "{scope}");
    json_of(answer).await["value"][0]["notActions"].clone()
}

#[tokio::test]
async fn a_denied_action_is_refused_at_its_scope_and_below() {
    let azure = Azure::start().await;
    let web = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web");
    let slot = format!("{web}/slots/staging");
    let list = |app: &str| format!("{app}/config/appsettings/list");
    for scope in [GROUP, &instance(""), &web, &slot] {
        assert_eq!(not_actions(&azure, scope).await, json!([]), "all is allowed at first");
    }
    azure.inner.with(|state| {
        state.deny(&web.to_uppercase(), "*/config/list/action");
        state.deny(&instance(""), "Microsoft.SignalRService/SignalR/regenerateKey/action");
    });
    for app in [&web, &slot] {
        let refused = fault_of(azure.post(&list(app), WEB, json!({})).await).await;
        assert_eq!(refused, (403, "AuthorizationFailed".to_owned()), "{app}");
        assert_eq!(not_actions(&azure, app).await, json!(["*/config/list/action"]));
    }
    let other = format!("{GROUP}/providers/Microsoft.Web/sites/chat-func");
    assert_eq!(azure.post(&list(&other), WEB, json!({})).await.status(), StatusCode::OK);
    assert_eq!(fault_of(azure.regenerate("Primary").await).await.0, 403);
    assert!(azure.list_keys().await["primaryKey"].is_string(), "another action of it is not denied");
    assert_eq!(not_actions(&azure, GROUP).await, json!([]), "what is denied below is not denied here");

    azure.inner.with(State::allow_all);
    assert_eq!(azure.regenerate("Primary").await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn denials_are_set_and_taken_back_over_http() {
    let azure = Azure::start().await;
    let denial = json!({"scope": GROUP, "action": "Microsoft.Authorization/permissions/read"});
    let denials = |method| azure.request(method, "/sim/denials", "");
    assert_eq!(denials(Method::POST).json(&denial).send().await.unwrap().status(), StatusCode::OK);
    let asked = azure.get(&instance(PERMISSIONS), AUTHORIZATION).await;
    assert_eq!(fault_of(asked).await.0, 403);
    assert_eq!(denials(Method::DELETE).send().await.unwrap().status(), StatusCode::OK);
    not_actions(&azure, GROUP).await;
}
