//! Stories about the simulated Azure, told over real HTTP. The clock is virtual, so hours pass in milliseconds.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly, its helpers too")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::model::{Key, KeyType};
use signalr_rekey::sim::{
    Fault, FaultKind, Happening, Options, SignalR, Sim, Site, VirtualClock, World, command,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo";
const SIGNALR: &str = "api-version=2024-03-01";
const WEB: &str = "api-version=2023-12-01";

/// A running simulator, its clock, and a client with a token.
struct Azure {
    sim: Sim,
    clock: Arc<VirtualClock>,
    http: Client,
    token: String,
}

impl Azure {
    async fn start() -> Self {
        Self::with(World::default(), Options::like_azure()).await
    }

    async fn with(world: World, options: Options) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let sim = Sim::start(world, options, clock.clone(), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        let token = token(&http, &sim, "https://management.azure.com").await;
        Self { sim, clock, http, token }
    }

    fn request(&self, method: Method, path: &str, query: &str) -> RequestBuilder {
        let url = format!("{}{path}?{query}", self.sim.base());
        self.http.request(method, url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str, query: &str) -> Response {
        self.request(Method::GET, path, query).send().await.unwrap()
    }

    async fn post(&self, path: &str, query: &str, body: Value) -> Response {
        self.request(Method::POST, path, query).json(&body).send().await.unwrap()
    }

    async fn list_keys(&self) -> Value {
        json_of(self.post(&instance("/listKeys"), SIGNALR, json!({})).await).await
    }

    async fn regenerate(&self, key_type: &str) -> Response {
        self.post(&instance("/regenerateKey"), SIGNALR, json!({"keyType": key_type})).await
    }

    async fn settings(&self, app: &str) -> BTreeMap<String, String> {
        let path = format!("{GROUP}/providers/Microsoft.Web/sites/{app}/config/appsettings/list");
        let body = json_of(self.post(&path, WEB, json!({})).await).await;
        serde_json::from_value(body["properties"].clone()).unwrap()
    }

    async fn put_settings(&self, app: &str, settings: &BTreeMap<String, String>) -> Response {
        let path = format!("{GROUP}/providers/Microsoft.Web/sites/{app}/config/appsettings");
        let body = json!({"properties": settings});
        self.request(Method::PUT, &path, WEB).json(&body).send().await.unwrap()
    }

    /// Moves every app to the key of this type, as the listed keys have it.
    async fn repoint(&self, from: &Key, to: &Key) {
        for app in ["chat-web", "chat-web/slots/staging", "chat-func"] {
            let mut settings = self.settings(app).await;
            settings.values_mut().for_each(|value| *value = value.replace(from.expose(), to.expose()));
            assert_eq!(self.put_settings(app, &settings).await.status(), StatusCode::OK);
        }
    }

    fn key(&self, key_type: KeyType) -> Key {
        self.sim.keys("sr-demo").unwrap()[key_type].clone()
    }

    /// Calls the data plane over loopback, as whoever holds `key` does, and answers the status and the error code.
    async fn probe(&self, key: &Key) -> (StatusCode, String) {
        let path = "/api/hubs/chat/users/nobody";
        let token =
            signed(key, &format!("https://sr-demo.service.signalr.net{path}"), self.clock.now() + HOUR);
        let url = format!("{}{path}?api-version=2022-06-01", self.sim.base());
        let answer = self.http.head(url).bearer_auth(token).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let code = header("x-ms-error-code").or_else(|| header("www-authenticate")).unwrap_or_default();
        (answer.status(), code)
    }
}

fn instance(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.SignalRService/signalR/sr-demo{rest}")
}

fn signed(key: &Key, audience: &str, expires: DateTime<Utc>) -> String {
    let claims = json!({"aud": audience, "exp": expires.timestamp()});
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key.expose().as_bytes()))
        .unwrap()
}

async fn token(http: &Client, sim: &Sim, resource: &str) -> String {
    let url = format!("{}/msi/token?api-version=2019-08-01&resource={resource}", sim.base());
    let answer = http.get(url).header("X-IDENTITY-HEADER", sim.identity_header()).send().await.unwrap();
    let body = json_of(answer).await;
    assert!(
        body["expires_on"].as_str().unwrap().parse::<i64>().unwrap() > SystemClock.now().timestamp() + 3600
    );
    body["access_token"].as_str().unwrap().to_owned()
}

async fn json_of(answer: Response) -> Value {
    answer.json().await.unwrap()
}

async fn fault_of(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    (status, json_of(answer).await["error"]["code"].as_str().unwrap().to_owned())
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn the_token_endpoint_wants_its_header_a_version_and_a_resource() {
    let azure = Azure::start().await;
    let ask = |query: &str, secret: &str| {
        let url = format!("{}/msi/token?{query}", azure.sim.base());
        azure.http.get(url).header("X-IDENTITY-HEADER", secret).send()
    };
    let secret = azure.sim.identity_header().to_owned();
    let good = "api-version=2019-08-01&resource=https://management.azure.com";
    assert_eq!(ask(good, "guessed").await.unwrap().status(), 401);
    assert_eq!(ask("api-version=2019-08-01", &secret).await.unwrap().status(), 400);
    assert_eq!(ask("resource=x", &secret).await.unwrap().status(), 400);
    let body = json_of(ask(good, &secret).await.unwrap()).await;
    let payload: Value =
        jsonwebtoken::dangerous::insecure_decode(body["access_token"].as_str().unwrap()).unwrap().claims;
    assert_eq!(payload["aud"], "https://management.azure.com");
    for claim in ["tid", "oid", "appid", "iss", "exp"] {
        assert!(!payload[claim].is_null(), "{claim}");
    }
}

#[tokio::test]
async fn entra_gives_tokens_for_a_client_secret() {
    let azure = Azure::start().await;
    let url = format!("{}/a-tenant/oauth2/v2.0/token", azure.sim.base());
    let form = "grant_type=client_credentials&client_id=me&client_secret=s&scope=https%3A%2F%2Fmanagement.azure.com%2F.default";
    let body = json_of(azure.http.post(&url).body(form).send().await.unwrap()).await;
    assert_eq!(body["token_type"], "Bearer");
    let asked = azure.http.get(format!("{}/subscriptions?api-version=2022-12-01", azure.sim.base()));
    let asked = asked.bearer_auth(body["access_token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(json_of(asked).await["value"][0]["state"], "Enabled");
    let refused = azure.http.post(&url).body("grant_type=password").send().await.unwrap();
    assert_eq!(json_of(refused).await["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn errors_have_arms_shape_and_codes() {
    let azure = Azure::start().await;
    let bare = azure.http.get(format!("{}{}?{SIGNALR}", azure.sim.base(), instance("")));
    let answer = bare.send().await.unwrap();
    assert!(header(&answer, "www-authenticate").contains("Bearer"));
    assert_eq!(fault_of(answer).await, (401, "AuthenticationFailed".into()));
    let forged =
        azure.http.get(format!("{}{}?{SIGNALR}", azure.sim.base(), instance(""))).bearer_auth("x.y.z");
    assert_eq!(fault_of(forged.send().await.unwrap()).await, (401, "InvalidAuthenticationToken".into()));
    let foreign = token(&azure.http, &azure.sim, "https://vault.azure.net").await;
    let foreign =
        azure.http.get(format!("{}{}?{SIGNALR}", azure.sim.base(), instance(""))).bearer_auth(foreign);
    assert_eq!(foreign.send().await.unwrap().status(), 401);
    for (path, query, status, code) in [
        (instance(""), "", 400, "MissingApiVersionParameter"),
        (instance(""), "api-version=soon", 400, "InvalidApiVersionParameter"),
        (instance("").replace("sr-demo", "sr-gone"), SIGNALR, 404, "ResourceNotFound"),
        (instance("").replace("rg-demo", "rg-gone"), SIGNALR, 404, "ResourceGroupNotFound"),
        (instance("").replace("0001/", "0002/"), SIGNALR, 404, "SubscriptionNotFound"),
        (instance("/listKeys"), SIGNALR, 405, "MethodNotAllowed"),
        ("/nothing/here".into(), SIGNALR, 404, "NotFound"),
        (format!("{GROUP}/providers/Microsoft.Web/sites/gone"), WEB, 404, "ResourceNotFound"),
    ] {
        assert_eq!(
            fault_of(azure.get(&path, query).await).await,
            (status, code.to_owned()),
            "{path} {query}"
        );
    }
}

#[tokio::test]
async fn answers_carry_arms_headers_and_ids_match_in_any_case() {
    let azure = Azure::start().await;
    let path = instance("/LISTKEYS")
        .replace("resourceGroups/rg-demo", "resourcegroups/RG-Demo")
        .replace("signalR/sr", "SIGNALR/SR");
    let answer = azure.request(Method::POST, &path, SIGNALR).header("x-ms-client-request-id", "mine");
    let answer = answer.header("content-length", "0").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-ms-client-request-id"), "mine");
    assert!(
        header(&answer, "x-ms-request-id").len() == 36
            && header(&answer, "x-ms-correlation-request-id").len() == 36
    );
    // POSTs count as writes.
    assert!(answer.headers().contains_key("x-ms-ratelimit-remaining-subscription-writes"));
    let keys = json_of(answer).await;
    let primary = keys["primaryKey"].as_str().unwrap();
    assert_eq!(primary.len(), 84);
    let text = format!("Endpoint=https://sr-demo.service.signalr.net;AccessKey={primary};Version=1.0;");
    assert_eq!(keys["primaryConnectionString"], text);
    assert_ne!(keys["primaryKey"], keys["secondaryKey"]);
}

#[tokio::test]
async fn a_regeneration_is_promised_at_once_and_kept_after_a_while() {
    let azure = Azure::start().await;
    let old = azure.key(KeyType::Secondary);
    let answer = azure.regenerate("secondary").await;
    assert_eq!(answer.status(), 202);
    assert!(!answer.headers().contains_key("retry-after"));
    let status_url = header(&answer, "azure-asyncoperation").to_owned();
    let result_url = header(&answer, "location").to_owned();
    assert!((3000..4096).contains(&status_url.len()), "{}", status_url.len());
    assert!(status_url.starts_with(azure.sim.base()) && result_url.starts_with(azure.sim.base()));
    let promised = json_of(answer).await;
    let new = Key::new(promised["secondaryKey"].as_str().unwrap());
    assert_ne!(new, old);
    assert_eq!(azure.list_keys().await, promised);

    // Until it is in effect the old key works and the new one does not; a second regeneration is refused.
    let poll = |url: String| azure.http.get(url).bearer_auth(&azure.token).send();
    assert_eq!(json_of(poll(status_url.clone()).await.unwrap()).await["status"], "Running");
    let running = poll(result_url.clone()).await.unwrap();
    assert_eq!(running.status(), 202);
    assert!(running.headers().contains_key("location"));
    assert_eq!(azure.probe(&old).await, (StatusCode::NOT_FOUND, "Warning.User.NotExisted".into()));
    assert_eq!(azure.probe(&new).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(fault_of(azure.regenerate("Primary").await).await, (409, "Conflict".into()));

    azure.clock.advance(Duration::from_secs(75));
    let done = json_of(poll(status_url.clone()).await.unwrap()).await;
    assert_eq!(done["status"], "Succeeded");
    assert!(done["endTime"].is_string());
    assert_eq!(json_of(poll(result_url).await.unwrap()).await, promised);
    assert_eq!(azure.probe(&new).await.0, StatusCode::NOT_FOUND);
    let (status, why) = azure.probe(&old).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(why.contains("The signature key was not found"), "{why}");
    // A URL that was rebuilt is another URL.
    let rebuilt = status_url.split("&t=").next().unwrap().to_owned();
    assert_eq!(poll(rebuilt).await.unwrap().status(), 400);
}

#[tokio::test]
async fn salt_changes_no_key_and_nonsense_is_refused() {
    let azure = Azure::start().await;
    let before = azure.list_keys().await;
    assert_eq!(azure.regenerate("salt").await.status(), 202);
    azure.clock.advance(MINUTE * 2);
    assert_eq!(azure.list_keys().await, before);
    assert_eq!(azure.regenerate("Tertiary").await.status(), 400);
    assert_eq!(azure.post(&instance("/regenerateKey"), SIGNALR, json!({})).await.status(), 400);
}

#[tokio::test]
async fn a_put_replaces_the_dictionary_and_restarts_the_app_only_for_a_change() {
    let azure = Azure::start().await;
    let mut events = azure.sim.events();
    let mut settings = azure.settings("chat-web").await;
    assert!(settings.contains_key("Azure__SignalR__ConnectionString") && settings.contains_key("GREETING"));
    assert_eq!(azure.put_settings("chat-web", &settings).await.status(), 200);
    assert!(events.try_recv().is_err(), "nothing was changed");

    settings.remove("GREETING");
    settings.insert("NEW".into(), "1".into());
    azure.put_settings("CHAT-WEB", &settings).await;
    assert_eq!(azure.settings("chat-web").await, settings);
    let Happening::SettingsChanged { app, names } = events.recv().await.unwrap().what else { panic!() };
    assert_eq!((app.as_str(), names), ("chat-web", vec!["NEW".to_owned(), "GREETING".to_owned()]));
    azure.clock.advance(Duration::from_secs(20));
    assert_eq!(azure.sim.report().refused, 0);
    assert_eq!(events.recv().await.unwrap().what, Happening::Restarted { app: "chat-web".into() });
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web/config/appsettings");
    let wrong = azure.request(Method::PUT, &path, WEB).json(&json!({"properties": {"A": 1}}));
    assert_eq!(wrong.send().await.unwrap().status(), 400);
    assert_eq!(azure.settings("chat-web").await, settings);
}

#[tokio::test]
async fn connection_strings_keep_their_types_and_reject_unknown_ones() {
    let mut world = World::default();
    world.sites[0].connection_strings.insert(
        "Azure:SignalR:ConnectionString".into(),
        serde_json::from_value(json!({"value": "{secondary:sr-demo}", "type": "Custom"})).unwrap(),
    );
    let azure = Azure::with(world, Options::like_azure()).await;
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web/config/connectionstrings");
    let listed = json_of(azure.post(&format!("{path}/list"), WEB, json!({})).await).await;
    let entry = &listed["properties"]["Azure:SignalR:ConnectionString"];
    assert_eq!(entry["type"], "Custom");
    assert!(entry["value"].as_str().unwrap().contains(azure.key(KeyType::Secondary).expose()));
    let put = |kind: &str| {
        let body = json!({"properties": {"A": {"value": "v", "type": kind}}});
        azure.request(Method::PUT, &path, WEB).json(&body).send()
    };
    assert_eq!(put("Nonsense").await.unwrap().status(), 400);
    assert_eq!(
        json_of(put("custom").await.unwrap()).await["properties"],
        json!({"A": {"value": "v", "type": "Custom"}})
    );
}

#[tokio::test]
async fn a_rotation_by_the_book_cuts_nobody_off() {
    let azure = Azure::start().await;
    let (primary, secondary) = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
    assert_eq!(azure.regenerate("Secondary").await.status(), 202);
    azure.clock.advance(Duration::from_secs(75));
    let fresh = azure.key(KeyType::Secondary);
    assert_ne!(fresh, secondary);
    azure.repoint(&primary, &fresh).await;
    azure.clock.advance(2 * HOUR);
    assert_eq!(azure.regenerate("Primary").await.status(), 202);
    azure.clock.advance(2 * MINUTE);
    let report = azure.sim.report();
    assert!(report.calls > 1000, "{}", report.calls);
    assert_eq!(report.refused, 0);
    assert_eq!(report.instances["sr-demo"].apps.len(), 3);
}

#[tokio::test]
async fn regenerating_the_key_in_use_cuts_everybody_off_until_they_are_repointed() {
    let azure = Azure::start().await;
    let mut events = azure.sim.events();
    let primary = azure.key(KeyType::Primary);
    azure.clock.advance(MINUTE);
    azure.sim.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    azure.clock.advance(Duration::from_secs(10));
    let report = azure.sim.report();
    assert!(report.refused > 0);
    let outage = &report.instances["sr-demo"].apps["chat-web"].outages[0];
    assert!(outage.open && outage.length_ms == 10_000, "{outage:?}");

    azure.repoint(&primary, &azure.key(KeyType::Primary)).await;
    azure.clock.advance(MINUTE);
    let report = azure.sim.report();
    for tally in report.instances["sr-demo"].apps.values() {
        // Ten seconds until the repoint, and twenty for the restart: to the millisecond, whatever the tick.
        assert_eq!(
            (tally.outages.len(), tally.outages[0].open, tally.outages[0].length_ms),
            (1, false, 30_000)
        );
    }
    let mut refused = 0;
    while let Ok(event) = events.try_recv() {
        refused += i32::from(matches!(event.what, Happening::Refused { .. }));
    }
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn a_key_that_dies_while_client_tokens_of_it_live_refuses_them() {
    for (grace, refused) in [(30 * MINUTE, true), (HOUR + MINUTE, false)] {
        let azure = Azure::start().await;
        let (primary, secondary) = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
        azure.repoint(&primary, &secondary).await;
        azure.clock.advance(grace);
        azure.sim.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
        azure.clock.advance(MINUTE);
        let report = azure.sim.report();
        // One token for each app: its client negotiates anew and is well again.
        assert_eq!(report.refused, if refused { 3 } else { 0 }, "{grace:?}");
    }
}

#[tokio::test]
async fn the_old_process_keeps_its_key_until_the_restart_is_over() {
    let azure = Azure::start().await;
    let (primary, secondary) = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
    azure.clock.advance(MINUTE);
    azure.repoint(&primary, &secondary).await;
    azure.clock.advance(Duration::from_secs(19));
    azure.sim.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    azure.clock.advance(MINUTE);
    let tally = &azure.sim.report().instances["sr-demo"].apps["chat-func"];
    assert_eq!(tally.outages[0].length_ms, 1000);
}

#[tokio::test]
async fn a_cut_off_does_not_hide_between_two_ticks() {
    let azure = Azure::start().await;
    // The key in use dies and the other is restored to the apps within one jump of ten days.
    let primary = azure.key(KeyType::Primary);
    assert_eq!(azure.regenerate("Primary").await.status(), 202);
    let promised = Key::new(azure.list_keys().await["primaryKey"].as_str().unwrap());
    azure.clock.advance(Duration::from_secs(56));
    azure.repoint(&primary, &promised).await;
    // Restarts end a second after the key came into effect.
    azure.clock.advance(240 * HOUR);
    let report = azure.sim.report();
    let tally = &report.instances["sr-demo"].apps["chat-web"];
    assert_eq!(tally.outages.iter().map(|outage| outage.length_ms).collect::<Vec<_>>(), [1000]);
    assert!(report.calls < 10_000, "a jump costs a bounded number of samples");
}

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
async fn a_forced_regeneration_overtakes_one_that_runs() {
    let azure = Azure::start().await;
    azure.regenerate("Secondary").await;
    azure.sim.regenerate("sr-demo", &[KeyType::Secondary]).unwrap();
    let forced = azure.key(KeyType::Secondary);
    azure.clock.advance(2 * MINUTE);
    assert_eq!(azure.key(KeyType::Secondary), forced);
    assert_eq!(azure.list_keys().await["secondaryKey"], forced.expose());
}

#[tokio::test]
async fn hooks_let_others_act_between_two_requests() {
    let azure = Azure::start().await;
    azure.sim.before("WebApps_UpdateApplicationSettings", 1, |state| {
        state.edit_setting("chat-web", "COLLEAGUE", Some("was here")).unwrap();
    });
    azure.sim.after("WebApps_ListApplicationSettings", 2, |state| state.delete_site("chat-func").unwrap());
    let settings = azure.settings("chat-web").await;
    azure.put_settings("chat-web", &settings).await;
    assert!(!azure.settings("chat-web").await.contains_key("COLLEAGUE"), "a PUT that knew nothing of it");
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-func");
    assert_eq!(azure.get(&path, WEB).await.status(), 404);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let site =
        |number: usize| Site { group: "rg-demo".into(), name: format!("app-{number}"), ..Site::default() };
    let world = World { sites: (0..5).map(site).collect(), signalr: Vec::new(), ..World::default() };
    let azure = Azure::with(world, Options { page_size: 2, ..Options::like_azure() }).await;
    let mut next = Some(format!("{}{GROUP}/providers/Microsoft.Web/sites?{WEB}", azure.sim.base()));
    let mut names = Vec::new();
    while let Some(url) = next {
        let page = json_of(azure.http.get(url).bearer_auth(&azure.token).send().await.unwrap()).await;
        let value = page["value"].as_array().unwrap();
        assert!(value.len() <= 2);
        names.extend(value.iter().map(|site| site["name"].as_str().unwrap().to_owned()));
        next = page["nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(names, ["app-0", "app-1", "app-2", "app-3", "app-4"]);
}

#[tokio::test]
async fn resources_have_the_fields_that_microsofts_clients_need() {
    let azure = Azure::start().await;
    let signalr = json_of(azure.get(&instance(""), SIGNALR).await).await;
    assert_eq!(signalr["properties"]["hostName"], "sr-demo.service.signalr.net");
    assert_eq!(signalr["sku"]["name"], "Standard_S1");
    let slots = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web/slots");
    let slots = json_of(azure.get(&slots, WEB).await).await;
    assert_eq!(slots["value"][0]["name"], "chat-web/staging");
    assert_eq!(slots["value"][0]["type"], "Microsoft.Web/sites/slots");
    for field in ["serverFarmId", "sku"] {
        assert!(slots["value"][0]["properties"][field].is_string(), "{field}");
    }
    let site = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web");
    for path in ["/config/slotConfigNames", "/config/web", "/slots/staging", "/slots/staging/config/web"] {
        assert_eq!(azure.get(&format!("{site}{path}"), WEB).await.status(), 200, "{path}");
    }
    for path in ["/tenants", "/subscriptions", GROUP] {
        assert_eq!(azure.get(path, "api-version=2022-12-01").await.status(), 200, "{path}");
    }
    let endpoints = json_of(azure.get("/metadata/endpoints", "api-version=2022-09-01").await).await;
    assert_eq!(endpoints["resourceManager"], format!("{}/", azure.sim.base()));
    let endpoints = json_of(azure.get("/metadata/endpoints", "api-version=2019-05-01").await).await;
    assert!(endpoints[0]["authentication"]["loginEndpoint"].is_string());
    let links = azure
        .request(Method::POST, &instance("/regenerateKey"), SIGNALR)
        .json(&json!({"keyType": "Primary"}));
    let links = links
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "front:8443")
        .send()
        .await
        .unwrap();
    assert!(header(&links, "location").starts_with("https://front:8443/subscriptions/"));
}

#[tokio::test]
async fn the_data_plane_tells_good_keys_from_bad() {
    let azure = Azure::start().await;
    let (base, key) = (azure.sim.base().to_owned(), azure.key(KeyType::Secondary));
    assert_eq!(azure.http.head(format!("{base}/api/health")).send().await.unwrap().status(), 200);
    let host = "SR-Demo.service.signalr.net:443";
    let soon = azure.clock.now() + MINUTE;
    for (audience, expires, expected) in [
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/g", soon, 404),
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/g?api-version=x", soon, 404),
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/other", soon, 401),
        ("https://another.service.signalr.net/api/v1/hubs/chat/groups/g", soon, 401),
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/g", azure.clock.now() - MINUTE, 401),
    ] {
        let request = azure.http.head(format!("{base}/api/v1/hubs/chat/groups/g")).header("host", host);
        let answer = request.bearer_auth(signed(&key, audience, expires)).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{audience}");
    }
    let send = "https://sr-demo.service.signalr.net/api/hubs/chat/:send";
    let sent = azure.http.post(format!("{base}/api/hubs/chat/:send")).bearer_auth(signed(&key, send, soon));
    assert_eq!(sent.send().await.unwrap().status(), 202);
    assert_eq!(azure.http.head(format!("{base}/api/hubs/chat/users/u")).send().await.unwrap().status(), 401);
    azure.sim.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
    assert_eq!(azure.probe(&key).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_deleted_instance_is_gone_and_its_clients_are_not_counted() {
    let azure = Azure::start().await;
    azure.clock.advance(MINUTE);
    let calls = azure.sim.report().calls;
    azure.sim.delete_instance("sr-demo").unwrap();
    azure.clock.advance(MINUTE);
    let report = azure.sim.report();
    assert_eq!((report.calls, report.refused), (calls, 0));
    assert_eq!(fault_of(azure.get(&instance(""), SIGNALR).await).await.1, "ResourceNotFound");
    let error = azure.sim.keys("sr-demo").unwrap_err().to_string();
    assert_eq!(error, "there is no SignalR instance named \"sr-demo\"; there is none at all");
}

#[tokio::test]
async fn the_control_endpoints_do_what_they_say_and_refuse_nonsense_by_name() {
    let azure = Azure::start().await;
    let control =
        |path: &str, body: Value| azure.http.post(format!("{}{path}", azure.sim.base())).json(&body).send();
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
        json_of(azure.http.get(format!("{}/sim/report", azure.sim.base())).send().await.unwrap()).await;
    let instance = &report["instances"]["sr-demo"];
    assert_eq!(instance["apps"]["chat-web/staging"]["outages"][0]["length_ms"], 20_000);
    assert_eq!(instance["apps"]["chat-web"]["outages"][0]["open"], true);
    assert_eq!(report["outages"].as_array().unwrap().len(), 3);
    assert_eq!(report["arm_requests"], json!({"SignalR_Get": 1}));
    assert_eq!(report["arm_requests_total"], 1);
}

#[tokio::test]
async fn latency_is_that_of_arm_alone() {
    let azure =
        Azure::with(World::default(), Options { latency: Duration::from_secs(3), ..Options::like_azure() })
            .await;
    let before = azure.clock.now();
    azure.probe(&azure.key(KeyType::Primary)).await;
    assert_eq!(azure.clock.now(), before);
    azure.get(&instance(""), SIGNALR).await;
    assert_eq!(azure.clock.now() - before, TimeDelta::seconds(3));
}

#[tokio::test]
async fn the_same_seed_makes_the_same_keys() {
    let keys = |seed: u64, prefix: &str| {
        let options = Options { seed, key_prefix: prefix.to_owned(), ..Options::like_azure() };
        async move {
            let azure = Azure::with(World::default(), options).await;
            // Ids and URLs in between draw from another stream.
            azure.regenerate("Primary").await;
            azure.list_keys().await
        }
    };
    assert_eq!(keys(1, "").await, keys(1, "").await);
    assert_ne!(keys(1, "").await, keys(2, "").await);
    assert!(keys(1, "FINDME").await["primaryKey"].as_str().unwrap().starts_with("FINDME"));
}

#[tokio::test]
async fn the_worlds_faults_are_told_in_sentences() {
    let start = |world: Value| async move {
        let world: World = serde_json::from_value(world).unwrap();
        let clock = Arc::new(VirtualClock::default());
        let error =
            Sim::start(world, Options::default(), clock, ([127, 0, 0, 1], 0).into()).await.unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let signalr = |apps: &[&str]| json!({"group": "g", "name": "sr", "apps": apps});
    assert!(start(json!({"signalr": [signalr(&["gone"])]})).await.contains("add it to \"sites\""));
    assert!(start(json!({"signalr": [signalr(&[]), signalr(&[])]})).await.contains("twice"));
    let site = json!({"group": "g", "name": "a", "settings": {"A": "{primary:other}"}});
    assert!(start(json!({"sites": [site]})).await.contains("placeholder"));
    assert!(start(json!({"sites": [{"group": "g", "name": "a b"}]})).await.contains("resource id"));
    assert!(serde_json::from_value::<World>(json!({"sights": []})).is_err());
}

#[tokio::test]
async fn placeholders_and_listed_apps_become_connection_strings() {
    let world: World = serde_json::from_value(json!({
        "signalr": [
            {"group": "rg-demo", "name": "sr-a", "apps": ["web", "func", "web/staging"]},
            {"group": "rg-demo", "name": "sr-b", "apps": ["web"]},
        ],
        "sites": [
            {"group": "rg-demo", "name": "web", "slots": ["staging"], "settings": {"OTHER": "kept"}},
            {"group": "rg-demo", "name": "func", "kind": "functionapp"},
            {"group": "rg-demo", "name": "bare", "settings": {"KEY": "{secondaryKey:sr-a}"}},
        ],
    }))
    .unwrap();
    let toml: toml::Table = toml::from_str(&command::config(&world)).unwrap();
    assert_eq!(toml["instance"][0]["apps"].as_array().unwrap().len(), 4);
    assert_eq!(toml["instance"][1]["apps"].as_array().unwrap().len(), 1);
    let azure = Azure::with(world, Options::like_azure()).await;
    let web = azure.sim.settings("web").unwrap();
    assert!(web["Azure__SignalR__ConnectionString"].contains("sr-a.service"));
    assert!(web["Azure__SignalR__ConnectionString__sr-b"].contains("sr-b.service"));
    assert!(azure.sim.settings("func").unwrap().contains_key("AzureSignalRConnectionString"));
    assert_eq!(azure.sim.settings("web/staging").unwrap()["OTHER"], "kept");
    let bare = azure.sim.keys("sr-a").unwrap().secondary;
    assert_eq!(azure.sim.settings("bare").unwrap()["KEY"], bare.expose());
    azure.clock.advance(MINUTE);
    let apps = &azure.sim.report().instances["sr-a"].apps;
    assert_eq!(apps.keys().map(String::as_str).collect::<Vec<_>>(), ["bare", "func", "web", "web/staging"]);
}

#[tokio::test]
async fn apps_can_appear_while_time_runs() {
    let azure = Azure::start().await;
    let settings = BTreeMap::from([("Hub".to_owned(), "{primary:sr-demo}".to_owned())]);
    let site = Site { group: "rg-demo".into(), name: "late".into(), settings, ..Site::default() };
    azure.sim.with(|state| state.add_site(site.clone())).unwrap();
    let again = site.clone();
    assert!(azure.sim.with(|state| state.add_site(site)).is_err());
    azure.clock.advance(MINUTE);
    let calls = |azure: &Azure| azure.sim.report().instances["sr-demo"].apps["late"].calls;
    let before = calls(&azure);
    assert!(before > 0);
    azure.sim.delete_site("late").unwrap();
    azure.clock.advance(MINUTE);
    assert_eq!(calls(&azure), before);
    azure.sim.with(|state| state.add_site(again)).unwrap();
    azure.clock.advance(MINUTE);
    assert!(calls(&azure) > before);
}

#[tokio::test]
async fn in_real_time_traffic_runs_by_itself() {
    let options = Options {
        tick: Duration::from_millis(5),
        regenerate_takes: Duration::from_millis(100),
        ..Options::default()
    };
    let world = World {
        signalr: vec![SignalR { group: "rg-demo".into(), name: "sr-demo".into(), ..SignalR::default() }],
        ..World::default()
    };
    let sim =
        Sim::start(world, options.clone(), Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).await.unwrap();
    assert_eq!(sim.report().calls, 0, "no app holds it");
    drop(sim);
    let sim = Sim::start(World::default(), options, Arc::new(SystemClock), ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let mut events = sim.events();
    sim.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    let base = sim.base().to_owned();
    for _ in 0..4 {
        tokio::time::timeout(Duration::from_secs(5), events.recv()).await.unwrap().unwrap();
    }
    assert!(sim.environment()["IDENTITY_ENDPOINT"].starts_with(&base));
    drop(sim);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(reqwest::get(format!("{base}/sim/report")).await.is_err(), "it stops when it is dropped");
}
