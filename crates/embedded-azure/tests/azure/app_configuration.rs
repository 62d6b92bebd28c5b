//! The data plane of App Configuration: key-values and their conditions, locks, lists, what is refused and in which words.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use embedded_azure::{BarrierKind, State};
use sha2::{Digest, Sha256};

use super::harness::*;

const VERSION: &str = "api-version=2023-11-01";
const STORE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.AppConfiguration/configurationStores/cs-demo";
const SECRET: &str = "c2ltdWxhdGVk";
const CHAT: &str = "/kv/Chat%3ASignalR?label=prod";

/// An Azure with one store, and a token for it.
struct Store {
    azure: Azure,
    host: String,
    token: String,
}

impl Store {
    async fn start() -> Self {
        Self::with(Options::like_azure()).await
    }

    async fn with(options: Options) -> Self {
        let mut world: Value = serde_json::to_value(World::default()).unwrap();
        world["appConfigurations"] = json!([{
            "group": "rg-demo", "name": "cs-demo", "accessKey": {"id": "demo", "secret": SECRET},
            "keyValues": [
                {"key": "Chat:SignalR", "label": "prod", "value": "{primary:sr-demo}", "contentType": "text/plain",
                 "tags": {"team": "chat"}},
                {"key": "Chat:SignalR", "value": "none"},
                {"key": "Chat:SignalR", "label": "Prod", "value": "other"},
                {"key": "fixed", "value": "x", "locked": true},
            ],
        }]);
        let azure = Azure::with(serde_json::from_value(world).unwrap(), options).await;
        let port = azure.inner.base().rsplit(':').next().unwrap().to_owned();
        let token = token(&azure.http, &azure.inner, "https://azconfig.io").await;
        Self { azure, host: format!("cs-demo.azconfig.localhost:{port}"), token }
    }

    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.azure.inner.base());
        self.azure.http.request(method, url).header("host", &self.host)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mark = if path.contains('?') { "&" } else { "?" };
        self.bare(method, &format!("{path}{mark}{VERSION}")).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn put(&self, path: &str, body: Value, conditions: &[(&str, &str)]) -> Response {
        let request = self.request(Method::PUT, path).json(&body);
        let request = conditions.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }

    async fn etag(&self, path: &str) -> String {
        header(&self.get(path).await, "etag").to_owned()
    }

    fn control(&self, path: &str, body: &Value) -> RequestBuilder {
        self.azure.request(Method::POST, path, "").json(body)
    }
}

/// The status of an answer without a body.
async fn bare(answer: Response) -> u16 {
    let status = answer.status().as_u16();
    assert_eq!(answer.text().await.unwrap(), "");
    status
}

/// The status and the type of a problem.
async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert!(header(&answer, "content-type").starts_with("application/problem+json"));
    let body = json_of(answer).await;
    assert_eq!(body["status"], status);
    let kind = body["type"].as_str().unwrap().strip_prefix("https://azconfig.io/errors/").unwrap().to_owned();
    (status, kind)
}

fn told(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

#[tokio::test]
async fn a_key_value_is_told_apart_by_its_key_and_its_label() {
    let store = Store::start().await;
    let answer = store.get(CHAT).await;
    assert_eq!(header(&answer, "content-type"), "application/vnd.microsoft.appconfig.kv+json; charset=utf-8");
    let etag = header(&answer, "etag").to_owned();
    assert!(header(&answer, "last-modified").ends_with("GMT"));
    let body = json_of(answer).await;
    assert_eq!(etag, format!("\"{}\"", body["etag"].as_str().unwrap()));
    let primary = store.azure.list_keys().await["primaryConnectionString"].clone();
    let mut expected = json!({
        "key": "Chat:SignalR", "label": "prod", "value": primary, "content_type": "text/plain",
        "tags": {"team": "chat"}, "locked": false,
    });
    for member in ["etag", "last_modified"] {
        expected[member] = body[member].clone();
    }
    assert_eq!(body, expected);
    for (path, value) in [
        ("/kv/Chat%3ASignalR", "none"),
        ("/kv/Chat:SignalR?label=", "none"),
        ("/kv/Chat%3ASignalR?label=%00", "none"),
        ("/kv/Chat%3ASignalR?label=Prod", "other"),
    ] {
        let found = json_of(store.get(path).await).await;
        assert_eq!(found["value"], value, "{path}");
    }
    for path in ["/kv/chat%3ASignalR?label=prod", "/kv/Chat%3ASignalR?label=test", "/kv/none"] {
        let answer = store.get(path).await;
        assert_eq!(bare(answer).await, 404, "{path}");
    }
    let selected = json_of(store.get(&format!("{CHAT}&$select=key,locked")).await).await;
    assert_eq!(selected, json!({"key": "Chat:SignalR", "locked": false}));
    let head = store.request(Method::HEAD, CHAT).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "etag")), (200, etag.as_str()));
    let there = store.azure.http.get(format!("{}{CHAT}&{VERSION}", store.azure.inner.base()));
    let there = there.header("host", "cs-demo.azconfig.io").bearer_auth(&store.token).send().await.unwrap();
    assert_eq!(json_of(there).await, body, "by the host that it has in Azure");
}

#[tokio::test]
async fn a_write_replaces_the_whole_and_may_depend_on_the_etag() {
    let store = Store::start().await;
    let old = store.etag(CHAT).await;
    let known = store.request(Method::GET, CHAT).header("if-none-match", &old).send().await.unwrap();
    assert_eq!(header(&known, "etag"), old);
    assert_eq!(bare(known).await, 304);
    store.azure.clock.advance(MINUTE);
    let written = store.put(CHAT, json!({"value": "new"}), &[("if-match", &old)]).await;
    assert_eq!(written.status(), 200);
    let body = json_of(written).await;
    assert_eq!(
        (&body["value"], &body["content_type"], &body["tags"]),
        (&json!("new"), &Value::Null, &json!({}))
    );
    let new = store.etag(CHAT).await;
    assert_ne!(old, new);
    let changed = store.request(Method::GET, CHAT).header("if-none-match", &old).send().await.unwrap();
    assert_eq!(json_of(changed).await, body);
    for (path, conditions) in [
        (CHAT, ("if-match", old.as_str())),
        (CHAT, ("if-none-match", new.as_str())),
        (CHAT, ("if-none-match", "\"*\"")),
        ("/kv/none", ("if-match", "*")),
        ("/kv/none", ("if-match", new.as_str())),
    ] {
        let refused = store.put(path, json!({"value": "lost"}), &[conditions]).await;
        assert_eq!(bare(refused).await, 412, "{path} {conditions:?}");
    }
    assert_eq!(json_of(store.get(CHAT).await).await["value"], "new");
    for (path, conditions) in [("/kv/made", ("if-none-match", "*")), (CHAT, ("if-match", "\"*\""))] {
        let tags = json!({"value": "y", "content_type": "a/b", "tags": {"t": "u"}, "locked": true});
        let body = json_of(store.put(path, tags, &[conditions]).await).await;
        let expected = (&json!("a/b"), &json!({"t": "u"}), &json!(false));
        assert_eq!((&body["content_type"], &body["tags"], &body["locked"]), expected);
    }
    let gone = store.request(Method::DELETE, "/kv/made").header("if-match", &old).send().await.unwrap();
    assert_eq!(bare(gone).await, 412);
    let gone = store.request(Method::DELETE, "/kv/made").send().await.unwrap();
    assert_eq!(json_of(gone).await["value"], "y");
    let gone = store.request(Method::DELETE, "/kv/made").send().await.unwrap();
    assert_eq!(bare(gone).await, 204);
}

#[tokio::test]
async fn what_is_locked_is_not_changed() {
    let store = Store::start().await;
    let locked = told(409, "key-locked");
    let answer = store.put("/kv/fixed", json!({"value": "y"}), &[]).await;
    assert_eq!(problem(answer).await, locked);
    let answer = store.request(Method::DELETE, "/kv/fixed").send().await.unwrap();
    let body = json_of(answer).await;
    assert_eq!(
        (&body["title"], &body["name"]),
        (&json!("Modifing key 'fixed' is not allowed"), &json!("fixed"))
    );
    let lock = |method: Method, path: &'static str| store.request(method, path).send();
    let before = store.etag("/kv/fixed").await;
    let unlocked = lock(Method::DELETE, "/locks/fixed").await.unwrap();
    assert_eq!(json_of(unlocked).await["locked"], false);
    assert_ne!(store.etag("/kv/fixed").await, before);
    assert_eq!(store.put("/kv/fixed", json!({"value": "y"}), &[]).await.status(), 200);
    let answer = lock(Method::PUT, "/locks/Chat:SignalR?label=prod").await.unwrap();
    assert_eq!(json_of(answer).await["locked"], true);
    assert_eq!(problem(store.put(CHAT, json!({"value": "y"}), &[]).await).await, locked);
    assert_eq!(
        store.put("/kv/Chat:SignalR", json!({"value": "y"}), &[]).await.status(),
        200,
        "another label"
    );
    assert_eq!(bare(lock(Method::PUT, "/locks/none").await.unwrap()).await, 404);
}

#[tokio::test]
async fn lists_are_filtered_and_go_on_over_pages() {
    let store = Store::start().await;
    for at in 0..250 {
        let value = format!("{at}");
        store
            .azure
            .inner
            .with(|state| state.set_key_value("cs-demo", &format!("m/{at:03}"), None, &value))
            .unwrap();
    }
    let keys = |body: &Value| -> Vec<String> {
        body["items"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    };
    let (mut path, mut all, mut pages) = (Some("/kv?key=m/*&$select=key".to_owned()), Vec::new(), 0);
    while let Some(next) = path.take() {
        // A link has its api-version already.
        let request =
            if pages == 0 { store.request(Method::GET, &next) } else { store.bare(Method::GET, &next) };
        let answer = request.bearer_auth(&store.token).send().await.unwrap();
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let body = json_of(answer).await;
        path = body["@nextLink"].as_str().map(str::to_owned);
        assert_eq!(link, path.as_ref().map(|next| format!("<{next}>; rel=\"next\"")));
        assert_eq!(body["items"][0].as_object().unwrap().len(), 1);
        all.extend(keys(&body));
        pages += 1;
    }
    assert_eq!((all.len(), pages), (250, 3));
    assert_eq!((all[0].as_str(), all[249].as_str()), ("m/000", "m/249"));
    for (query, expected) in [
        ("key=Chat*", 3),
        ("key=Chat*&label=prod", 1),
        ("key=Chat*&label=%00", 1),
        ("key=Chat*&label=p*,P*", 2),
        ("key=fixed,m/001", 2),
        ("key=chat*", 0),
        ("label=prod&tags=team%3Dchat", 1),
        ("tags=team%3Dother", 0),
    ] {
        let body = json_of(store.get(&format!("/kv?{query}")).await).await;
        assert_eq!(keys(&body).len(), expected, "{query}");
    }
    for query in ["key=*x", "label=a*b", "key=a,b,c,d,e,f", "tags=x", "After=x"] {
        let answer = store.get(&format!("/kv?{query}")).await;
        assert_eq!(problem(answer).await, told(400, "invalid-argument"), "{query}");
    }
    let labels = json_of(store.get("/labels").await).await;
    assert_eq!(labels["items"], json!([{"name": null}, {"name": "Prod"}, {"name": "prod"}]));
    let page = store.get("/kv?key=Chat*").await;
    let etag = header(&page, "etag").to_owned();
    let again = store.request(Method::GET, "/kv?key=Chat*").header("if-none-match", &etag);
    assert_eq!(bare(again.send().await.unwrap()).await, 304);
}

#[tokio::test]
async fn every_write_moves_the_sync_token_on() {
    let store = Store::start().await;
    let number = |answer: &Response| -> (String, u64) {
        let (token, number) = header(answer, "sync-token").split_once(";sn=").unwrap();
        let (id, value) = token.split_once('=').unwrap();
        let number: u64 = number.parse().unwrap();
        assert_eq!(value, STANDARD.encode(format!("0:{number}")));
        (id.to_owned(), number)
    };
    let (id, begun) = number(&store.get(CHAT).await);
    let (same, next) = number(&store.put(CHAT, json!({"value": "x"}), &[]).await);
    assert_eq!((same, next), (id.clone(), begun + 1));
    assert_eq!(number(&store.get("/kv").await), (id, next));
}

#[tokio::test]
async fn who_brings_back_no_sync_token_may_read_what_was_before() {
    let store = Store::start().await;
    let get = "AppConfiguration_GetKeyValue";
    store.azure.inner.fault(Fault::new(get, FaultKind::Stale).times(u64::MAX));
    assert_eq!(store.get(CHAT).await.status(), 200, "nothing was written yet");
    let first = store.put(CHAT, json!({"value": "first"}), &[]).await;
    let first = header(&first, "sync-token").to_owned();
    let answer = store.put(CHAT, json!({"value": "second"}), &[]).await;
    let (raw, body) = (header(&answer, "sync-token").to_owned(), json_of(answer).await);
    let bare_token = raw.split(";sn=").next().unwrap().to_owned();
    let read = |token: Option<String>| {
        let request = store.request(Method::GET, CHAT);
        if let Some(token) = token { request.header("sync-token", token) } else { request }.send()
    };
    for late in [None, Some(first.clone()), Some("other=MDo5OQ==".to_owned())] {
        assert_eq!(json_of(read(late.clone()).await.unwrap()).await["value"], "first", "{late:?}");
    }
    for token in [bare_token.clone(), raw, format!("other=MDox, {bare_token}")] {
        assert_eq!(json_of(read(Some(token)).await.unwrap()).await, body);
    }
    assert_eq!(store.put("/kv/new", json!({"value": "x"}), &[("if-none-match", "*")]).await.status(), 200);
    assert_eq!(bare(store.get("/kv/new").await).await, 404, "it was not there");
    let etag = format!("\"{}\"", body["etag"].as_str().unwrap());
    let written = store.put(CHAT, json!({"value": "third"}), &[("if-match", &etag)]).await;
    assert_eq!(written.status(), 200, "conditions are held against what is");
}

#[tokio::test]
async fn without_a_token_of_its_own_a_store_lets_nobody_in() {
    let store = Store::start().await;
    let path = format!("{CHAT}&{VERSION}");
    let ask = |token: Option<String>| {
        let request = store.bare(Method::GET, &path);
        if let Some(token) = token { request.bearer_auth(token) } else { request }.send()
    };
    let nobody = ask(None).await.unwrap();
    assert_eq!(header(&nobody, "www-authenticate"), "HMAC-SHA256, Bearer");
    assert_eq!(bare(nobody).await, 401);
    for audience in [
        "https://azconfig.io",
        "https://appconfig.azure.com/",
        "https://azconfig.localhost",
        "https://cs-demo.azconfig.localhost",
    ] {
        let own = token(&store.azure.http, &store.azure.inner, audience).await;
        assert_eq!(ask(Some(own.clone())).await.unwrap().status(), 200, "{audience}");
        let url = format!("{}{}?{SIGNALR}", store.azure.inner.base(), instance(""));
        let arm = store.azure.http.get(url).bearer_auth(own).send().await.unwrap();
        assert_eq!(arm.status(), 401, "{audience}");
    }
    let vaults = token(&store.azure.http, &store.azure.inner, "https://vault.azure.net").await;
    let others = token(&store.azure.http, &store.azure.inner, "https://cs-other.azconfig.localhost").await;
    for bad in [vaults, others, store.azure.token.clone(), "nonsense".to_owned()] {
        let answer = ask(Some(bad)).await.unwrap();
        assert!(header(&answer, "www-authenticate").contains("error=\"invalid_token\""));
        assert_eq!(bare(answer).await, 401);
    }
}

/// Signs a request as azure-appconfiguration does.
fn signed(store: &Store, method: Method, path: &str, body: &str, secret: &str, date: &str) -> RequestBuilder {
    let hash = STANDARD.encode(Sha256::digest(body));
    let text = format!("{method}\n{path}\n{date};{};{hash}", store.host);
    let key = jsonwebtoken::EncodingKey::from_base64_secret(secret).unwrap();
    let signature =
        jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    let signature = STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    let authorization = format!(
        "HMAC-SHA256 Credential=demo&SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"
    );
    let request = store.bare(method, path).header("authorization", authorization);
    request.header("x-ms-date", date).header("x-ms-content-sha256", hash).body(body.to_owned())
}

#[tokio::test]
async fn who_has_the_access_key_signs_his_requests() {
    let store = Store::start().await;
    let now = |off: TimeDelta| (SystemClock.now() + off).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let path = format!("{CHAT}&{VERSION}");
    let own = now(TimeDelta::zero());
    let body = r#"{"value":"by key"}"#;
    // Roles are not asked for.
    store.azure.inner.with(|state| state.deny(GROUP, "*"));
    let written = signed(&store, Method::PUT, &path, body, SECRET, &own).send().await.unwrap();
    assert_eq!(written.status(), 200);
    let read = signed(&store, Method::GET, &path, "", SECRET, &own).send().await.unwrap();
    assert_eq!(json_of(read).await["value"], "by key");
    let python = SystemClock.now().format("%b, %d %Y %H:%M:%S%.6f GMT").to_string();
    let read = signed(&store, Method::GET, &path, "", SECRET, &python).send().await.unwrap();
    assert_eq!(read.status(), 200, "{python}: as a client of Microsoft's writes it");
    let other_body = signed(&store, Method::PUT, &path, body, SECRET, &own).body("{}");
    for (bad, why) in [
        (signed(&store, Method::GET, &path, "", "b3RoZXI=", &own), "Invalid Signature"),
        (signed(&store, Method::GET, &path, "", SECRET, &now(TimeDelta::minutes(-16))), "expired"),
        (other_body, "Invalid content hash"),
    ] {
        let answer = bad.send().await.unwrap();
        assert!(header(&answer, "www-authenticate").contains(why), "{why}");
        assert_eq!(bare(answer).await, 401);
    }
}

#[tokio::test]
async fn what_the_caller_may_not_do_is_refused_without_a_word() {
    let store = Store::start().await;
    let action = |last: &str| format!("Microsoft.AppConfiguration/configurationStores/keyValues/{last}");
    let denial = json!({"scope": STORE, "action": action("write")});
    assert_eq!(store.control("/sim/denials", &denial).send().await.unwrap().status(), 200);
    assert_eq!(store.get(CHAT).await.status(), 200);
    assert_eq!(bare(store.put(CHAT, json!({"value": "x"}), &[]).await).await, 403);
    assert_eq!(bare(store.request(Method::PUT, "/locks/fixed").send().await.unwrap()).await, 403);
    assert_eq!(store.request(Method::DELETE, CHAT).send().await.unwrap().status(), 200);
    store.azure.inner.with(|state| {
        state.allow_all();
        state.deny(GROUP, &action("*"));
    });
    for path in [CHAT, "/kv", "/labels"] {
        assert_eq!(bare(store.get(path).await).await, 403, "{path}");
    }
    assert_eq!(bare(store.request(Method::DELETE, CHAT).send().await.unwrap()).await, 403);
    let path = format!("{GROUP}/providers/Microsoft.Authorization/permissions");
    let role = json_of(store.azure.get(&path, "api-version=2022-04-01").await).await["value"][0].clone();
    assert_eq!(role["notDataActions"], json!([action("*")]));
    // A denial of an app is none of the caller's.
    store.azure.inner.with(|state| {
        state.allow_all();
        state.deny_app("chat-web", STORE, "*");
    });
    assert_eq!(store.get("/kv").await.status(), 200);
}

#[tokio::test]
async fn a_firewall_is_told_apart_from_a_missing_role() {
    let store = Store::start().await;
    let firewall = json!({"scope": STORE, "kind": "store-firewall"});
    assert_eq!(store.control("/sim/barriers", &firewall).send().await.unwrap().status(), 200);
    assert_eq!(problem(store.get(CHAT).await).await, told(403, "ip-address-rejected"));
    store.azure.inner.with(State::lift_barriers);
    store.azure.inner.with(|state| state.bar(GROUP, BarrierKind::VaultFirewall));
    assert_eq!(store.get(CHAT).await.status(), 200, "that is for vaults");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let store = Store::start().await;
    for query in ["", "?api-version=", "?api-version=2020-01-01"] {
        let answer =
            store.bare(Method::GET, &format!("/kv{query}")).bearer_auth(&store.token).send().await.unwrap();
        assert_eq!(problem(answer).await, told(400, "invalid-argument"), "{query}");
    }
    for body in [json!({"value": 5}), json!([1]), json!({"value": "x", "tags": {"a": 1}})] {
        let answer = store.put(CHAT, body.clone(), &[]).await;
        assert_eq!(problem(answer).await, told(400, "invalid-argument"), "{body}");
    }
    let answer = store.put("/kv/a%25b", json!({"value": "x"}), &[]).await;
    assert_eq!(problem(answer).await, told(400, "invalid-argument"));
    assert_eq!(bare(store.get("/secrets").await).await, 404);
    let other = store.azure.http.get(format!("{}/kv?{VERSION}", store.azure.inner.base()));
    let other = other.header("host", "cs-none.azconfig.io").bearer_auth(&store.token).send().await.unwrap();
    assert_eq!(other.status(), 404);
}

#[tokio::test]
async fn faults_hit_stores_and_requests_are_counted_by_operation() {
    let store = Store::start().await;
    let get = "AppConfiguration_GetKeyValue";
    store.azure.inner.fault(Fault::new(get, FaultKind::Throttled).on("cs-demo/Chat:SignalR"));
    assert_eq!(store.get("/kv/fixed").await.status(), 200, "another key");
    let answer = store.get(CHAT).await;
    assert_eq!(header(&answer, "retry-after-ms"), "10");
    assert!(!answer.headers().contains_key("retry-after"));
    assert_eq!(problem(answer).await, told(429, "too-many-requests"));
    let mut slow = Fault::new(get, FaultKind::Throttled);
    slow.retry_after = Some(2);
    store.azure.inner.fault(slow);
    let answer = store.get(CHAT).await;
    assert_eq!((header(&answer, "retry-after-ms"), header(&answer, "retry-after")), ("2000", "2"));
    let put = "AppConfiguration_PutKeyValue";
    store.azure.inner.fault(Fault::new(put, FaultKind::TimeoutAfter));
    assert!(store.request(Method::PUT, CHAT).json(&json!({"value": "lost"})).send().await.is_err());
    assert_eq!(json_of(store.get(CHAT).await).await["value"], "lost", "it took effect");
    for (kind, status) in [
        (FaultKind::Unauthorized, 401),
        (FaultKind::Forbidden, 403),
        (FaultKind::Conflict, 412),
        (FaultKind::Unavailable, 503),
        (FaultKind::ServerError, 500),
    ] {
        store.azure.inner.fault(Fault::new(get, kind));
        assert_eq!(bare(store.get(CHAT).await).await, status);
    }
    let report = store.azure.inner.report();
    assert_eq!(
        (report.store_requests[get], report.store_requests[put], report.arm_requests_total),
        (9, 1, 0)
    );
    assert!(report.vault_requests.is_empty());
    let request = store.azure.inner.requests().into_iter().next_back().unwrap();
    assert_eq!((request.resource.as_str(), request.arm), ("cs-demo/Chat:SignalR", false));
    let latency = Duration::from_millis(250);
    let slow = Store::with(Options { latency, ..Options::like_azure() }).await;
    let before = slow.azure.clock.now();
    assert_eq!(slow.get(CHAT).await.status(), 200);
    assert_eq!((slow.azure.clock.now() - before).to_std().unwrap(), latency);
}

#[tokio::test]
async fn other_people_change_key_values_and_event_grid_tells_of_it() {
    let options = Options { event_grid: Some(EventGrid::default()), ..Options::like_azure() };
    let store = Store::with(options).await;
    let mut happened = store.azure.inner.activity();
    let control = |body: Value| store.control("/sim/key-values", &body).send();
    let named =
        |action: &str| json!({"store": "cs-demo", "key": "Chat:SignalR", "label": "prod", "action": action});
    let mut set = named("set");
    set["value"] = "{secondaryKey:sr-demo}".into();
    assert_eq!(control(set).await.unwrap().status(), 200);
    assert_eq!(happened.try_recv().unwrap().to_string(), "cs-demo/Chat:SignalR (prod): written");
    let value =
        store.azure.inner.with(|state| state.key_value("CS-demo", "Chat:SignalR", Some("prod"))).unwrap();
    assert_eq!(value, store.azure.key(KeyType::Secondary).expose());
    let body = json_of(store.get(CHAT).await).await;
    assert_eq!((&body["content_type"], &body["tags"]), (&json!("text/plain"), &json!({"team": "chat"})));
    let events = store.azure.inner.undelivered_events();
    let event =
        events.iter().find(|event| event["eventType"] == "Microsoft.AppConfiguration.KeyValueModified");
    let event = event.unwrap();
    assert_eq!(
        (&event["topic"], &event["subject"]),
        (&json!(STORE), &json!("https://cs-demo.azconfig.io/kv/Chat%3ASignalR?label=prod"))
    );
    assert_eq!((&event["data"]["key"], &event["data"]["etag"]), (&body["key"], &body["etag"]));
    for (body, word) in [
        (json!({"store": "cs-none", "key": "k", "action": "delete"}), "cs-demo"),
        (json!({"store": "cs-demo", "key": "k", "action": "set"}), "value"),
        (json!({"store": "cs-demo", "key": "k", "action": "set", "value": "{primary:no}"}), "\"no\""),
        (json!({"store": "cs-demo", "key": "%", "action": "set", "value": "x"}), "no key"),
        (json!({"store": "cs-demo", "key": "k", "action": "lock"}), "Chat:SignalR (prod)"),
        (json!({"store": "cs-demo", "key": "fixed", "action": "delete"}), "unlock it first"),
    ] {
        let answer = control(body.clone()).await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        let message = json_of(answer).await["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{message}");
    }
    for action in ["lock", "unlock", "delete"] {
        assert_eq!(control(named(action)).await.unwrap().status(), 200, "{action}");
    }
    assert_eq!(store.get(CHAT).await.status(), 404);
    let seen = json_of(store.azure.request(Method::GET, "/sim/key-values", "").send().await.unwrap()).await;
    let keys: Vec<_> = seen.as_array().unwrap().iter().map(|one| (&one["key"], &one["label"])).collect();
    let expected = [json!("Chat:SignalR"), json!("fixed"), json!("Prod"), Value::Null];
    assert_eq!(
        keys,
        [(&expected[0], &expected[3]), (&expected[0], &expected[2]), (&expected[1], &expected[3])]
    );
    assert!(!seen.to_string().contains("\"value\""));
    let world = json_of(store.azure.request(Method::GET, "/sim/world", "").send().await.unwrap()).await;
    assert_eq!(world["appConfigurations"], json!([STORE]));
}

#[tokio::test]
async fn the_worlds_stores_are_checked() {
    let start = |world: Value| async move {
        let world: World = serde_json::from_value(world).unwrap();
        let clock = Arc::new(VirtualClock::default());
        let listen = ([127, 0, 0, 1], 0).into();
        let error = EmbeddedAzure::start(world, Options::default(), clock, listen).await.unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let store = |name: &str, key_values: Value| json!({"group": "g", "name": name, "keyValues": key_values});
    let of = |stores: Value| json!({"appConfigurations": stores});
    assert!(start(of(json!([store("cs_1", json!([]))]))).await.contains("resource id"));
    assert!(start(of(json!([store("store", json!([])), store("STORE", json!([]))]))).await.contains("twice"));
    let one = json!({"key": "a", "value": "x"});
    let same = json!({"key": "a", "label": "", "value": "y"});
    assert!(start(of(json!([store("store", json!([one, same]))]))).await.contains("twice"));
    assert!(
        start(of(json!([store("store", json!([{"key": "a%b", "value": "x"}]))]))).await.contains("\"a%b\"")
    );
    let strange = json!([{"key": "a", "label": "l", "value": "{primary:sr}"}]);
    assert!(start(of(json!([store("store", strange)]))).await.contains("\"store/a (l)\""));
    for read in [
        json!({"keyValue": {"store": "none", "key": "a"}}),
        json!({"secret": {"vault": "none", "name": "a"}}),
    ] {
        let world = json!({"sites": [{"group": "g", "name": "app", "reads": [read]}]});
        assert!(start(world).await.contains("\"none\""));
    }
    for wrong in [json!([5]), json!([{"key": "a"}]), json!([{"key": "a", "value": "x", "strange": 1}])] {
        let world = serde_json::from_value::<World>(of(json!([store("store", wrong.clone())])));
        assert!(world.is_err(), "{wrong}");
    }
    let mut hidden = store("store", json!([{"key": "a", "value": "FINDME"}]));
    hidden["accessKey"] = json!({"id": "i", "secret": "FINDME"});
    let debug = format!("{:?}", serde_json::from_value::<World>(of(json!([hidden]))).unwrap());
    assert!(!debug.contains("FINDME"), "{debug}");
}
