//! Static web apps: two dictionaries in each environment, and managed functions that have read both.

use embedded_azure::{NoFunctions, State};

use super::harness::*;

const STATIC: &str = "api-version=2024-04-01";

fn site(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Web/staticSites/chat-site{rest}")
}

async fn azure(function_settings: Value, options: Options) -> Azure {
    let world = json!({
        "signalr": [{"group": "rg-demo", "name": "sr-demo"}],
        "staticWebApps": [{
            "group": "rg-demo", "name": "chat-site",
            "settings": {"Chat": "{primary:sr-demo}"}, "function_settings": function_settings,
            "environments": {"12": {"function_settings": {"Chat": "{primary:sr-demo}"}}},
        }],
    });
    Azure::with(serde_json::from_value(world).unwrap(), options).await
}

async fn listed(azure: &Azure, path: &str) -> Value {
    json_of(azure.post(&site(path), STATIC, json!({})).await).await["properties"].clone()
}

async fn put(azure: &Azure, path: &str, properties: &Value) -> Response {
    let body = json!({"properties": properties});
    azure.request(Method::PUT, &site(path), STATIC).json(&body).send().await.unwrap()
}

fn runs_with(azure: &Azure, name: &str) -> Vec<Option<KeyType>> {
    let all = azure.inner.with(|state| state.runs_with(name)).unwrap();
    all.into_iter().map(|(_, key_type)| key_type).collect()
}

#[tokio::test]
async fn sites_and_their_environments_are_listed() {
    let azure = azure(json!({}), Options::like_azure()).await;
    let one = json_of(azure.get(&site(""), STATIC).await).await;
    assert_eq!((&one["name"], &one["type"]), (&json!("chat-site"), &json!("Microsoft.Web/staticSites")));
    let all = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Web/staticSites";
    for list in [format!("{GROUP}/providers/Microsoft.Web/staticSites"), all.to_owned()] {
        assert_eq!(json_of(azure.get(&list, STATIC).await).await["value"], json!([one]), "{list}");
    }
    let builds = json_of(azure.get(&site("/builds"), STATIC).await).await;
    let names: Vec<_> = builds["value"].as_array().unwrap().iter().map(|build| &build["name"]).collect();
    assert_eq!(names, ["default", "12"]);
    assert_eq!(json_of(azure.get(&site("/builds/12"), STATIC).await).await, builds["value"][1]);
    for path in ["x", "/builds/13"] {
        let lost = fault_of(azure.get(&site(path), STATIC).await).await;
        assert_eq!(lost, (404, "ResourceNotFound".into()), "{path}");
    }
}

#[tokio::test]
async fn each_dictionary_is_written_as_a_whole_and_the_functions_restart() {
    let azure = azure(json!({"Other": "x"}), Options::like_azure()).await;
    let key = azure.key(KeyType::Secondary);
    let value =
        format!("Endpoint=https://sr-demo.service.signalr.net;AccessKey={};Version=1.0;", key.expose());
    let (primary, secondary) = ([Some(KeyType::Primary)], [Some(KeyType::Secondary)]);
    for (list, write, name) in [
        ("/listAppSettings", "/config/appsettings", "staticSites/chat-site"),
        (
            "/builds/12/listFunctionAppSettings",
            "/builds/12/config/functionappsettings",
            "staticSites/chat-site/12",
        ),
    ] {
        assert_eq!(runs_with(&azure, name), primary);
        let new = json!({"Chat": value});
        let written = put(&azure, write, &new).await;
        assert_eq!(written.status(), StatusCode::OK);
        assert_eq!(json_of(written).await["properties"], new);
        assert_eq!(listed(&azure, list).await, new);
        assert_eq!(runs_with(&azure, name), primary, "it takes a while");
        azure.clock.advance(MINUTE);
        assert_eq!(runs_with(&azure, name), secondary);
    }
    // Production is a build too, and the other dictionaries are what they were.
    assert_eq!(listed(&azure, "/builds/default/listAppSettings").await, json!({"Chat": value}));
    assert_eq!(listed(&azure, "/listFunctionAppSettings").await, json!({"Other": "x"}));
    assert_eq!(listed(&azure, "/builds/12/listAppSettings").await, json!({}));
    assert_eq!(
        put(&azure, "/config/functionappsettings", &json!({"Chat": value})).await.status(),
        StatusCode::OK
    );
    assert_eq!(listed(&azure, "/listFunctionAppSettings").await, json!({"Chat": value}));
    let wrong = fault_of(put(&azure, "/config/appsettings", &json!({"Chat": 1})).await).await;
    assert_eq!(wrong, (400, "BadRequest".into()));
    azure.clock.advance(HOUR);
    assert_eq!(azure.inner.report().refused, 0);
    assert!(azure.inner.report().instances["sr-demo"].apps["staticSites/chat-site/12"].calls > 0);
}

#[tokio::test]
async fn without_functions_nobody_signs_and_how_that_is_told_is_a_switch() {
    for (no_functions, status, code) in [
        (NoFunctions::Empty, 200, ""),
        (NoFunctions::NotFound, 404, "NotFound"),
        (NoFunctions::Refused, 400, "BadRequest"),
    ] {
        let azure = azure(Value::Null, Options { no_functions, ..Options::like_azure() }).await;
        assert_eq!(runs_with(&azure, "staticSites/chat-site"), []);
        let answer = azure.post(&site("/listFunctionAppSettings"), STATIC, json!({})).await;
        assert_eq!(answer.status(), status);
        let body = json_of(answer).await;
        match code {
            "" => assert_eq!(body["properties"], json!({})),
            code => assert_eq!(body["error"]["code"], code),
        }
        let written = put(&azure, "/config/functionappsettings", &json!({"A": "b"})).await;
        assert_eq!(written.status(), status);
        assert_ne!(listed(&azure, "/listAppSettings").await, json!({}), "the other dictionary is there");
    }
}

#[tokio::test]
async fn faults_roles_locks_and_colleagues_are_as_everywhere() {
    let azure = azure(json!({}), Options::like_azure()).await;
    let before = listed(&azure, "/listAppSettings").await;
    azure.inner.fault(
        Fault::new("StaticSites_CreateOrUpdateStaticSiteAppSettings", FaultKind::Swallowed).on("chat-site"),
    );
    assert_eq!(put(&azure, "/config/appsettings", &json!({})).await.status(), StatusCode::OK);
    assert_eq!(listed(&azure, "/listAppSettings").await, before);
    let late =
        Fault::new("StaticSites_CreateOrUpdateStaticSiteBuildFunctionAppSettings", FaultKind::AppliedLate);
    azure.inner.fault(Fault { delay_ms: 60_000, ..late.on("chat-site/12") });
    let path = "/builds/12/config/functionappsettings";
    assert_eq!(put(&azure, path, &json!({})).await.status(), StatusCode::OK);
    assert_ne!(listed(&azure, "/builds/12/listFunctionAppSettings").await, json!({}));
    azure.clock.advance(2 * MINUTE);
    assert_eq!(listed(&azure, "/builds/12/listFunctionAppSettings").await, json!({}));
    for (path, action) in [
        ("/listAppSettings", "Microsoft.Web/staticSites/listappsettings/Action"),
        ("/listFunctionAppSettings", "Microsoft.Web/staticSites/listfunctionappsettings/Action"),
        ("/builds/12/listAppSettings", "Microsoft.Web/staticSites/builds/listappsettings/Action"),
        (
            "/builds/12/listFunctionAppSettings",
            "Microsoft.Web/staticSites/builds/listfunctionappsettings/Action",
        ),
    ] {
        azure.inner.with(|state| state.deny(&site(""), action));
        let answer = azure.post(&site(path), STATIC, json!({})).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        assert!(json_of(answer).await["error"]["message"].as_str().unwrap().contains(action), "{path}");
        azure.inner.with(State::allow_all);
    }
    azure.inner.with(|state| state.deny(GROUP, "Microsoft.Web/staticSites/config/write"));
    let refused = fault_of(put(&azure, "/config/appsettings", &json!({})).await).await;
    assert_eq!(refused, (403, "AuthorizationFailed".into()));
    azure.inner.with(|state| {
        state.allow_all();
        state.bar(&site(""), embedded_azure::BarrierKind::ReadOnlyLock);
    });
    let locked = fault_of(azure.post(&site("/listAppSettings"), STATIC, json!({})).await).await;
    assert_eq!(locked, (409, "ScopeLocked".into()));
    azure.inner.with(State::lift_barriers);
    let edit = json!({"site": "chat-site", "environment": "12", "section": "functionappsettings", "name": "A", "value": "b"});
    let edited = azure.request(Method::POST, "/sim/static-settings", "").json(&edit).send().await.unwrap();
    assert_eq!(edited.status(), StatusCode::OK);
    let settings = azure.inner.with(|state| state.static_settings("chat-site", Some("12"), true)).unwrap();
    assert_eq!(settings["A"], "b");
    azure.inner.with(|state| state.delete_static_site("chat-site")).unwrap();
    assert_eq!(fault_of(azure.get(&site(""), STATIC).await).await, (404, "ResourceNotFound".into()));
}
