//! An embedded Azure on a virtual clock, and a client with a token.

pub(crate) use std::collections::BTreeMap;
pub(crate) use std::sync::Arc;
pub(crate) use std::time::Duration;

pub(crate) use chrono::{DateTime, TimeDelta, Utc};
pub(crate) use embedded_azure::{
    ActivityKind, AppId, Clock, EmbeddedAzure, EventGrid, Fault, FaultKind, Key, KeyType, KeysOff, Options,
    SignalR, Site, SystemClock, UpdateStrategy, VirtualClock, World,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
pub(crate) use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
pub(crate) use serde_json::{Value, json};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo";
pub(crate) const SIGNALR: &str = "api-version=2024-03-01";
pub(crate) const WEB: &str = "api-version=2023-12-01";

/// A running embedded Azure, its clock, and a client with a token.
pub(crate) struct Azure {
    pub(crate) inner: EmbeddedAzure,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) http: Client,
    pub(crate) token: String,
}

impl Azure {
    pub(crate) async fn start() -> Self {
        Self::with(World::default(), Options::like_azure()).await
    }

    pub(crate) async fn with(world: World, options: Options) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let inner =
            EmbeddedAzure::start(world, options, clock.clone(), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        let token = token(&http, &inner, "https://management.azure.com").await;
        Self { inner, clock, http, token }
    }

    pub(crate) fn request(&self, method: Method, path: &str, query: &str) -> RequestBuilder {
        let url = format!("{}{path}?{query}", self.inner.base());
        self.http.request(method, url).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str, query: &str) -> Response {
        self.request(Method::GET, path, query).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, query: &str, body: Value) -> Response {
        self.request(Method::POST, path, query).json(&body).send().await.unwrap()
    }

    pub(crate) async fn list_keys(&self) -> Value {
        json_of(self.post(&instance("/listKeys"), SIGNALR, json!({})).await).await
    }

    pub(crate) async fn regenerate(&self, key_type: &str) -> Response {
        self.post(&instance("/regenerateKey"), SIGNALR, json!({"keyType": key_type})).await
    }

    pub(crate) async fn settings(&self, app: &str) -> BTreeMap<String, String> {
        let path = format!("{GROUP}/providers/Microsoft.Web/sites/{app}/config/appsettings/list");
        let body = json_of(self.post(&path, WEB, json!({})).await).await;
        serde_json::from_value(body["properties"].clone()).unwrap()
    }

    pub(crate) async fn put_settings(&self, app: &str, settings: &BTreeMap<String, String>) -> Response {
        let path = format!("{GROUP}/providers/Microsoft.Web/sites/{app}/config/appsettings");
        let body = json!({"properties": settings});
        self.request(Method::PUT, &path, WEB).json(&body).send().await.unwrap()
    }

    /// Moves every app to the key of this type, as the listed keys have it.
    pub(crate) async fn repoint(&self, from: &Key, to: &Key) {
        for app in ["chat-web", "chat-web/slots/staging", "chat-func"] {
            let mut settings = self.settings(app).await;
            settings.values_mut().for_each(|value| *value = value.replace(from.expose(), to.expose()));
            assert_eq!(self.put_settings(app, &settings).await.status(), StatusCode::OK);
        }
    }

    pub(crate) fn key(&self, key_type: KeyType) -> Key {
        self.inner.keys("sr-demo").unwrap()[key_type].clone()
    }

    /// Calls the data plane over loopback, as whoever holds `key` does, and answers the status and the error code.
    pub(crate) async fn probe(&self, key: &Key) -> (StatusCode, String) {
        let path = "/api/hubs/chat/users/nobody";
        let token =
            signed(key, &format!("https://sr-demo.service.signalr.net{path}"), self.clock.now() + HOUR);
        let url = format!("{}{path}?api-version=2022-06-01", self.inner.base());
        let answer = self.http.head(url).bearer_auth(token).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let code = header("x-ms-error-code").or_else(|| header("www-authenticate")).unwrap_or_default();
        (answer.status(), code)
    }
}

pub(crate) fn instance(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.SignalRService/signalR/sr-demo{rest}")
}

pub(crate) fn signed(key: &Key, audience: &str, expires: DateTime<Utc>) -> String {
    let claims = json!({"aud": audience, "exp": expires.timestamp()});
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key.expose().as_bytes()))
        .unwrap()
}

pub(crate) async fn token(http: &Client, sim: &EmbeddedAzure, resource: &str) -> String {
    let url = format!("{}/msi/token?api-version=2019-08-01&resource={resource}", sim.base());
    let answer = http.get(url).header("X-IDENTITY-HEADER", sim.identity_header()).send().await.unwrap();
    let body = json_of(answer).await;
    assert!(
        body["expires_on"].as_str().unwrap().parse::<i64>().unwrap() > SystemClock.now().timestamp() + 3600
    );
    body["access_token"].as_str().unwrap().to_owned()
}

pub(crate) async fn json_of(answer: Response) -> Value {
    answer.json().await.unwrap()
}

pub(crate) async fn fault_of(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    (status, json_of(answer).await["error"]["code"].as_str().unwrap().to_owned())
}

pub(crate) fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers()[name].to_str().unwrap()
}
