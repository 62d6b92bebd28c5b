//! The data plane of Key Vault: the challenge, secrets and their versions, what is refused and in which words.

use embedded_azure::{BarrierKind, Denial, DeniedBy, State};

use super::harness::*;

const VERSION: &str = "api-version=7.5";
const VAULT: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.KeyVault/vaults/kv-demo";

/// An Azure with one vault, and a token for it.
struct Vault {
    azure: Azure,
    host: String,
    token: String,
}

impl Vault {
    async fn start() -> Self {
        Self::with(Options::like_azure()).await
    }

    async fn with(options: Options) -> Self {
        let mut world: Value = serde_json::to_value(World::default()).unwrap();
        world["vaults"] = json!([{"group": "rg-demo", "name": "kv-demo", "secrets": {
            "chat": "{primary:sr-demo}",
            "Other": {"value": "x", "contentType": "text/plain", "tags": {"team": "chat"}, "exp": 1_800_000_000},
            "off": {"value": "y", "enabled": false},
        }}]);
        let azure = Azure::with(serde_json::from_value(world).unwrap(), options).await;
        let port = azure.inner.base().rsplit(':').next().unwrap().to_owned();
        let token = token(&azure.http, &azure.inner, "https://vault.azure.net").await;
        Self { azure, host: format!("kv-demo.localhost:{port}"), token }
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

    async fn send(&self, method: Method, path: &str, body: Value) -> Response {
        self.request(method, path).json(&body).send().await.unwrap()
    }

    async fn set(&self, name: &str, body: Value) -> Value {
        let answer = self.send(Method::PUT, &format!("/secrets/{name}"), body).await;
        assert_eq!(answer.status(), 200);
        json_of(answer).await
    }

    fn control(&self, path: &str, body: &Value) -> RequestBuilder {
        self.azure.request(Method::POST, path, "").json(body)
    }
}

/// The status, the code and the inner code of an error.
async fn refused(answer: Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    let error = json_of(answer).await["error"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (status, text(&error["code"]), text(&error["innererror"]["code"]))
}

fn told(status: u16, code: &str, inner: &str) -> (u16, String, String) {
    (status, code.to_owned(), inner.to_owned())
}

fn version_of(bundle: &Value) -> String {
    bundle["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_token_of_its_own_a_vault_says_where_to_get_one() {
    let vault = Vault::start().await;
    let domain = vault.host.strip_prefix("kv-demo.").unwrap();
    // As Microsoft's clients ask first: with the method and no body.
    let asked = vault.bare(Method::PUT, "/secrets/new?api-version=2026-04-01").send().await.unwrap();
    let challenge = header(&asked, "www-authenticate").to_owned();
    assert!(header(&asked, "x-ms-keyvault-region").len() > 1 && header(&asked, "x-ms-request-id").len() > 1);
    let (scheme, parameters) = challenge.split_once(' ').unwrap();
    let parameters: BTreeMap<&str, &str> = parameters
        .split(", ")
        .map(|parameter| parameter.split_once('=').unwrap())
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    assert_eq!(scheme, "Bearer");
    assert_eq!(parameters["resource"], format!("http://{domain}"));
    assert!(parameters["authorization"].starts_with(&format!("http://{domain}/")), "{challenge}");
    assert_eq!(refused(asked).await, told(401, "Unauthorized", ""));

    let own = token(&vault.azure.http, &vault.azure.inner, parameters["resource"]).await;
    let azures = token(&vault.azure.http, &vault.azure.inner, "https://vault.azure.net/").await;
    for good in [&own, &azures] {
        let answer = vault.bare(Method::GET, "/secrets/chat/?api-version=7.4").bearer_auth(good);
        assert_eq!(answer.send().await.unwrap().status(), 200);
        // Resource Manager takes neither.
        let url = format!("{}{}?{SIGNALR}", vault.azure.inner.base(), instance(""));
        let arm = vault.azure.http.get(url).bearer_auth(good).send().await.unwrap();
        assert_eq!(fault_of(arm).await, (401, "InvalidAuthenticationTokenAudience".into()));
    }
    let elsewhere = token(&vault.azure.http, &vault.azure.inner, "https://localhost:1").await;
    for bad in [&vault.azure.token, &elsewhere, &"nonsense".to_owned()] {
        let answer = vault.bare(Method::GET, "/secrets/chat?api-version=7.5").bearer_auth(bad);
        let answer = answer.send().await.unwrap();
        assert_eq!(header(&answer, "www-authenticate"), challenge);
        assert_eq!(refused(answer).await, told(401, "Unauthorized", ""));
    }
    // By the host that it has in Azure it names Azure's own.
    let there = vault.azure.http.get(format!("{}/secrets?api-version=7.5", vault.azure.inner.base()));
    let there = there.header("host", "kv-demo.vault.azure.net").send().await.unwrap();
    let challenge = header(&there, "www-authenticate");
    assert!(challenge.contains("https://login.microsoftonline.com/"), "{challenge}");
    assert!(challenge.ends_with("resource=\"https://vault.azure.net\""), "{challenge}");
}

#[tokio::test]
async fn every_version_stays_and_the_newest_is_read() {
    let vault = Vault::start().await;
    let first = json_of(vault.get("/secrets/chat/").await).await;
    let primary = vault.azure.key(KeyType::Primary);
    assert!(first["value"].as_str().unwrap().contains(primary.expose()), "the placeholder is filled");
    let now = vault.azure.clock.now().timestamp();
    assert_eq!(first["attributes"]["created"], now);
    assert_eq!(version_of(&first).len(), 32);
    vault.azure.clock.advance(HOUR);

    let body = json!({
        "value": "two", "contentType": "text/plain", "tags": {"a": "b"},
        "attributes": {"enabled": true, "nbf": 5, "exp": 2_000_000_000},
    });
    let second = vault.set("CHAT", body).await;
    assert_eq!(second["id"], format!("http://{}/secrets/chat/{}", vault.host, version_of(&second)));
    let attributes = &second["attributes"];
    assert_eq!((&attributes["nbf"], &attributes["exp"]), (&json!(5), &json!(2_000_000_000)));
    assert_eq!((&attributes["created"], &second["tags"]["a"]), (&json!(now + 3600), &json!("b")));
    assert_eq!(json_of(vault.get("/secrets/chat").await).await, second);
    let old = format!("/secrets/chat/{}", version_of(&first).to_uppercase());
    assert_eq!(json_of(vault.get(&old).await).await["value"], first["value"]);
    // Nothing is taken over from the version before.
    let third = vault.set("chat", json!({"value": "three"})).await;
    assert!(
        third["tags"].is_null() && third["contentType"].is_null() && third["attributes"]["exp"].is_null()
    );

    for value in ["four", "five", "six"] {
        vault.set("chat", json!({"value": value})).await;
    }

    let page = json_of(vault.get("/secrets/chat/versions?maxresults=4").await).await;
    let next = page["nextLink"].as_str().unwrap().strip_prefix(&format!("http://{}", vault.host)).unwrap();
    let rest = vault.bare(Method::GET, next).bearer_auth(&vault.token).send().await.unwrap();
    let rest = json_of(rest).await;
    assert!(rest["nextLink"].is_null());
    let items = [&page["value"], &rest["value"]].map(|page| page.as_array().unwrap().clone()).concat();
    assert!(items.iter().all(|item| item["value"].is_null()), "no values");
    let mut listed: Vec<String> = items.iter().map(version_of).collect();
    assert!(listed.is_sorted(), "by nothing that tells their age");
    let mut made = vault.azure.inner.with(|state| state.secret_versions("kv-demo", "chat")).unwrap();
    assert_eq!(made[..3], [&first, &second, &third].map(version_of));
    made.sort();
    listed.sort();
    assert_eq!(listed, made);

    let secrets = json_of(vault.get("/secrets").await).await;
    let ids: Vec<&str> =
        secrets["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    let id = |name: &str| format!("http://{}/secrets/{name}", vault.host);
    assert_eq!(ids, [id("chat"), id("off"), id("Other")]);
    assert_eq!(secrets["value"][2]["tags"]["team"], "chat");
    let last = json_of(vault.get("/secrets?maxresults=2&$skiptoken=2").await).await;
    assert_eq!(last["value"].as_array().unwrap().len(), 1);
    let url = format!("{}/secrets?{VERSION}&maxresults=2", vault.azure.inner.base());
    let in_azure = vault.azure.http.get(url).header("host", "kv-demo.vault.azure.net");
    let page = json_of(in_azure.bearer_auth(&vault.token).send().await.unwrap()).await;
    let next = page["nextLink"].as_str().unwrap();
    assert!(next.starts_with("https://kv-demo.vault.azure.net:443/secrets?"), "{next}");
}

#[tokio::test]
async fn an_update_changes_what_is_sent_and_never_the_value() {
    let vault = Vault::start().await;
    let before = json_of(vault.get("/secrets/other").await).await;
    vault.azure.clock.advance(MINUTE);
    let path = format!("/secrets/other/{}", version_of(&before));
    let body = json!({"attributes": {"enabled": false}, "tags": {"x": "y"}});
    let updated = json_of(vault.send(Method::PATCH, &path, body).await).await;
    assert_eq!(updated["id"], before["id"]);
    assert!(updated["value"].is_null());
    assert_eq!((&updated["contentType"], &updated["tags"]), (&before["contentType"], &json!({"x": "y"})));
    let attributes = &updated["attributes"];
    assert_eq!((&attributes["enabled"], &attributes["exp"]), (&json!(false), &json!(1_800_000_000)));
    assert_eq!(attributes["updated"], before["attributes"]["updated"].as_i64().unwrap() + 60);
    assert_eq!(attributes["created"], before["attributes"]["created"]);
    let unknown = vault.send(Method::PATCH, "/secrets/other/0123", json!({})).await;
    assert_eq!(refused(unknown).await, told(404, "SecretNotFound", ""));
    // Without a version it is the newest.
    vault.send(Method::PATCH, "/secrets/other/", json!({"attributes": {"enabled": true}})).await;
    let newest = json_of(vault.get("/secrets/other").await).await;
    assert_eq!((&newest["value"], &newest["tags"]), (&json!("x"), &json!({"x": "y"})));
}

#[tokio::test]
async fn a_disabled_version_is_not_read_and_none_takes_its_place() {
    let vault = Vault::start().await;
    let disabled = told(403, "Forbidden", "SecretDisabled");
    assert_eq!(refused(vault.get("/secrets/off").await).await, disabled);
    let first = json_of(vault.get("/secrets/chat").await).await;
    let second = vault.set("chat", json!({"value": "two"})).await;
    let disable =
        json!({"vault": "kv-demo", "name": "chat", "action": "disable", "version": null, "value": null});
    assert_eq!(vault.control("/sim/secrets", &disable).send().await.unwrap().status(), 200);
    assert_eq!(refused(vault.get("/secrets/chat/").await).await, disabled, "it does not fall back");
    let path = format!("/secrets/chat/{}", version_of(&first));
    assert_eq!(vault.get(&path).await.status(), 200, "the old one is enabled");
    let versions = json_of(vault.get("/secrets/chat/versions").await).await;
    let enabled = |id: &Value| {
        let mut items = versions["value"].as_array().unwrap().iter();
        items.find(|item| item["id"] == *id).unwrap()["attributes"]["enabled"].clone()
    };
    assert_eq!((enabled(&first["id"]), enabled(&second["id"])), (json!(true), json!(false)));
}

#[tokio::test]
async fn a_deleted_secret_keeps_its_name_until_it_is_recovered_or_purged() {
    let vault = Vault::start().await;
    let before = json_of(vault.get("/secrets/chat").await).await;
    assert_eq!(refused(vault.get("/deletedsecrets/chat").await).await, told(404, "SecretNotFound", ""));
    let deleted = json_of(vault.send(Method::DELETE, "/secrets/chat", json!({})).await).await;
    let date = deleted["deletedDate"].as_i64().unwrap();
    assert_eq!(deleted["scheduledPurgeDate"], date + 90 * 24 * 3600);
    assert_eq!(deleted["recoveryId"], format!("http://{}/deletedsecrets/chat", vault.host));
    assert_eq!((&deleted["id"], &deleted["value"]), (&before["id"], &Value::Null));
    for path in ["/secrets/chat", "/secrets/chat/versions", &format!("/secrets/chat/{}", version_of(&before))]
    {
        assert_eq!(refused(vault.get(path).await).await, told(404, "SecretNotFound", ""), "{path}");
    }
    assert_eq!(json_of(vault.get("/deletedsecrets/chat").await).await, deleted);
    let present = json_of(vault.get("/secrets").await).await.to_string();
    let id = format!("{}/secrets/chat", vault.host);
    assert!(present.contains("Other") && !present.contains(&id), "{present}");
    let all = json_of(vault.get("/deletedsecrets").await).await;
    assert_eq!(all["value"], json!([deleted]));
    let set = vault.send(Method::PUT, "/secrets/Chat", json!({"value": "new"})).await;
    assert_eq!(refused(set).await, told(409, "Conflict", "ObjectIsDeletedButRecoverable"));

    let recovered = vault.send(Method::POST, "/deletedsecrets/chat/recover", json!({})).await;
    assert_eq!(json_of(recovered).await["id"], before["id"]);
    assert_eq!(json_of(vault.get("/secrets/chat").await).await, before);
    vault.send(Method::DELETE, "/secrets/chat", json!({})).await;
    let purged = vault.send(Method::DELETE, "/deletedsecrets/chat", json!({})).await;
    assert_eq!(purged.status(), 204);
    let recovered = vault.send(Method::POST, "/deletedsecrets/chat/recover", json!({})).await;
    assert_eq!(refused(recovered).await, told(404, "SecretNotFound", ""));
    vault.set("chat", json!({"value": "new"})).await;
}

#[tokio::test]
async fn data_actions_are_denied_at_a_vault_or_a_secret_in_the_words_of_its_kind() {
    let vault = Vault::start().await;
    let secret = format!("{VAULT}/secrets/chat");
    let (get, set) = ("getSecret/action", "setSecret/action");
    let action = |name: &str| format!("Microsoft.KeyVault/vaults/secrets/{name}");
    vault.azure.inner.with(|state| {
        state.deny(&secret.to_uppercase(), &action(get));
        state.assign_denial(VAULT, &action(set));
    });
    let denied = vault.get("/secrets/chat").await;
    let message = json_of(denied).await["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("Action: '{}'", action(get))), "{message}");
    assert!(message.contains("Assignment: (not found)") && message.contains(&secret), "{message}");
    let by_role = told(403, "Forbidden", "ForbiddenByRbac");
    assert_eq!(refused(vault.get("/secrets/chat").await).await, by_role);
    assert_eq!(vault.get("/secrets/other").await.status(), 200, "another secret");
    assert_eq!(vault.get("/secrets").await.status(), 200, "another action");
    let new = vault.send(Method::PUT, "/secrets/new", json!({"value": "x"})).await;
    assert_eq!(refused(new).await, by_role);
    // What is denied to an app is not denied to the caller.
    vault.azure.inner.with(|state| {
        state.allow_all();
        state.deny_app("chat-web", VAULT, "*");
    });
    assert_eq!(vault.get("/secrets/chat").await.status(), 200);
    let denial = Denial { scope: VAULT.into(), action: action(get), by: DeniedBy::AccessPolicy, app: None };
    let denial = serde_json::to_value(denial).unwrap();
    assert_eq!(denial["by"], "access-policy");
    assert_eq!(vault.control("/sim/denials", &denial).send().await.unwrap().status(), 200);
    assert_eq!(refused(vault.get("/secrets/chat").await).await, told(403, "Forbidden", "AccessDenied"));

    // The permissions API tells actions and data actions apart.
    vault.azure.inner.with(|state| {
        state.allow_all();
        state.deny(GROUP, &action("*"));
        state.deny(GROUP, "Microsoft.Web/sites/Read");
    });
    let path = format!("{GROUP}/providers/Microsoft.Authorization/permissions");
    let role = json_of(vault.azure.get(&path, "api-version=2022-04-01").await).await["value"][0].clone();
    assert_eq!(role["notDataActions"], json!([action("*")]));
    assert_eq!(role["notActions"], json!(["Microsoft.Web/sites/Read"]));
}

#[tokio::test]
async fn a_firewall_keeps_the_caller_from_the_vault_and_not_from_resource_manager() {
    let vault = Vault::start().await;
    let firewall = json!({"scope": VAULT, "kind": "vault-firewall"});
    assert_eq!(vault.control("/sim/barriers", &firewall).send().await.unwrap().status(), 200);
    let walled = told(403, "Forbidden", "ForbiddenByFirewall");
    assert_eq!(refused(vault.get("/secrets/chat").await).await, walled);
    let bare = vault.bare(Method::GET, "/secrets/chat?api-version=7.5").send().await.unwrap();
    assert_eq!(bare.status(), 401, "tokens are looked at first");
    vault.azure.inner.with(|state| {
        state.lift_barriers();
        state.bar(GROUP, BarrierKind::VaultFirewall);
    });
    assert_eq!(refused(vault.get("/secrets").await).await, walled);
    assert_eq!(vault.azure.settings("chat-web").await.len(), 3);
    vault.azure.inner.with(|state| {
        state.lift_barriers();
        state.bar(GROUP, BarrierKind::ReadOnlyLock);
    });
    assert_eq!(vault.get("/secrets/chat").await.status(), 200, "what is at ARM is not at the vault");
    vault.azure.inner.with(State::lift_barriers);
    assert_eq!(vault.get("/secrets/chat").await.status(), 200);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let vault = Vault::start().await;
    let bad = told(400, "BadParameter", "");
    let tags: BTreeMap<String, &str> = (0..16).map(|at| (format!("t{at}"), "x")).collect();
    for (path, body) in [
        ("/secrets/chat", json!({})),
        ("/secrets/chat", json!({"value": 5})),
        ("/secrets/chat", json!({"value": "x", "attributes": {"exp": "tomorrow"}})),
        ("/secrets/chat", json!({"value": "x", "attributes": {"exp": 1.5}})),
        ("/secrets/chat", json!({"value": "x", "tags": tags})),
        ("/secrets/a_b", json!({"value": "x"})),
    ] {
        assert_eq!(refused(vault.send(Method::PUT, path, body.clone()).await).await, bad, "{path} {body}");
    }
    for query in ["", "?api-version=", "?api-version=7.3", "?api-version=2027-01-01"] {
        let answer = vault.bare(Method::GET, &format!("/secrets/chat{query}")).bearer_auth(&vault.token);
        assert_eq!(refused(answer.send().await.unwrap()).await, bad, "{query}");
    }
    for version in ["7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"] {
        let path = format!("/secrets/chat/?api-version={version}");
        let answer = vault.bare(Method::GET, &path).bearer_auth(&vault.token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{version}");
    }
    for path in ["/secrets?maxresults=0", "/secrets?maxresults=26", "/secrets?$skiptoken=x"] {
        assert_eq!(refused(vault.get(path).await).await, bad, "{path}");
    }
    let nothing = told(404, "SecretNotFound", "");
    for path in ["/secrets/none", "/secrets/chat/0123", "/secrets/none/versions"] {
        assert_eq!(refused(vault.get(path).await).await, nothing, "{path}");
    }
    assert_eq!(vault.get("/keys/chat").await.status(), 404);
    // A vault that there is not has no host.
    let other = vault.azure.http.get(format!("{}/secrets/chat?{VERSION}", vault.azure.inner.base()));
    let other = other.header("host", "kv-none.localhost").bearer_auth(&vault.token).send().await.unwrap();
    assert_eq!(other.status(), 404);
}

#[tokio::test]
async fn faults_hit_vaults_and_requests_are_counted_by_operation() {
    let vault = Vault::start().await;
    let mut throttled = Fault::new("KeyVault_GetSecret", FaultKind::Throttled).on("kv-demo/chat");
    throttled.retry_after = Some(3);
    vault.azure.inner.fault(throttled);
    assert_eq!(vault.get("/secrets/other").await.status(), 200, "another secret");
    let answer = vault.get("/secrets/chat").await;
    assert_eq!(header(&answer, "retry-after"), "3");
    assert_eq!(refused(answer).await, told(429, "Throttled", ""));
    vault.azure.inner.fault(Fault::new("KeyVault_SetSecret", FaultKind::TimeoutAfter));
    let lost = vault.request(Method::PUT, "/secrets/chat").json(&json!({"value": "lost"})).send().await;
    assert!(lost.is_err());
    assert_eq!(json_of(vault.get("/secrets/chat").await).await["value"], "lost", "it took effect");
    for (kind, expected) in [
        (FaultKind::Unauthorized, told(401, "Unauthorized", "")),
        (FaultKind::Forbidden, told(403, "Forbidden", "ForbiddenByRbac")),
        (FaultKind::Conflict, told(409, "Conflict", "ObjectIsBeingDeleted")),
        (FaultKind::Unavailable, told(503, "ServerUnavailable", "")),
    ] {
        vault.azure.inner.fault(Fault::new("KeyVault_GetSecret", kind));
        assert_eq!(refused(vault.get("/secrets/chat").await).await, expected);
    }
    let report = vault.azure.inner.report();
    assert_eq!(report.vault_requests["KeyVault_GetSecret"], 7);
    assert_eq!(report.vault_requests["KeyVault_SetSecret"], 1);
    assert_eq!(report.arm_requests_total, 0);
    let request = vault.azure.inner.requests().into_iter().next_back().unwrap();
    assert_eq!((request.resource.as_str(), request.arm), ("kv-demo/chat", false));
}

#[tokio::test]
async fn a_request_to_a_vault_takes_its_time() {
    let latency = Duration::from_millis(250);
    let vault = Vault::with(Options { latency, ..Options::like_azure() }).await;
    let before = vault.azure.clock.now();
    assert_eq!(vault.get("/secrets/chat").await.status(), 200);
    assert_eq!((vault.azure.clock.now() - before).to_std().unwrap(), latency);
}

#[tokio::test]
async fn other_people_change_secrets_and_everybody_sees_which_there_are() {
    let vault = Vault::start().await;
    let mut happened = vault.azure.inner.activity();
    let control = |body: Value| vault.control("/sim/secrets", &body).send();
    let set = json!({"vault": "kv-demo", "name": "chat", "action": "set", "value": "{secondaryKey:sr-demo}"});
    assert_eq!(control(set).await.unwrap().status(), 200);
    assert_eq!(happened.try_recv().unwrap().to_string(), "kv-demo/chat: has a new version");
    let value = vault.azure.inner.with(|state| state.secret("KV-demo", "chat")).unwrap();
    assert_eq!(value, vault.azure.key(KeyType::Secondary).expose());
    for (body, word) in [
        (json!({"vault": "kv-none", "name": "chat", "action": "set", "value": "x"}), "kv-demo"),
        (json!({"vault": "kv-demo", "name": "chat", "action": "set"}), "value"),
        (json!({"vault": "kv-demo", "name": "chat", "action": "set", "value": "{primary:no}"}), "\"no\""),
        (json!({"vault": "kv-demo", "name": "a b", "action": "set", "value": "x"}), "hyphens"),
        (json!({"vault": "kv-demo", "name": "none", "action": "disable"}), "chat, off, Other"),
        (json!({"vault": "kv-demo", "name": "chat", "action": "recover"}), "chat"),
    ] {
        let answer = control(body.clone()).await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        let message = json_of(answer).await["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{message}");
    }
    for action in ["delete", "recover", "delete"] {
        let body = json!({"vault": "kv-demo", "name": "other", "action": action});
        assert_eq!(control(body).await.unwrap().status(), 200, "{action}");
    }
    let again = json!({"vault": "kv-demo", "name": "other", "action": "set", "value": "x"});
    let message = json_of(control(again).await.unwrap()).await["error"]["message"].to_string();
    assert!(message.contains("recover it or purge it"), "{message}");
    let seen = json_of(vault.azure.request(Method::GET, "/sim/secrets", "").send().await.unwrap()).await;
    let deleted: Vec<_> =
        seen.as_array().unwrap().iter().map(|one| (&one["name"], &one["deleted"])).collect();
    let expected =
        [("chat", false), ("off", false), ("Other", true)].map(|(name, gone)| (json!(name), json!(gone)));
    assert_eq!(deleted, expected.iter().map(|(name, gone)| (name, gone)).collect::<Vec<_>>());
    let versions = vault.azure.inner.with(|state| state.secret_versions("kv-demo", "chat")).unwrap();
    let ids: Vec<_> = seen[0]["versions"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, versions);
    assert!(!seen.to_string().contains("AccessKey"), "no values");
    let world = json_of(vault.azure.request(Method::GET, "/sim/world", "").send().await.unwrap()).await;
    assert_eq!(world["vaults"], json!([VAULT]));
    let purge = json!({"vault": "kv-demo", "name": "other", "action": "purge"});
    assert_eq!(control(purge).await.unwrap().status(), 200);
}

#[tokio::test]
async fn event_grid_tells_of_a_new_version() {
    let options = Options { event_grid: Some(EventGrid::default()), ..Options::like_azure() };
    let vault = Vault::with(options).await;
    let body = json!({"value": "x", "attributes": {"exp": 2_000_000_000}});
    let version = version_of(&vault.set("chat", body).await);
    vault.azure.inner.with(|state| state.set_secret("kv-demo", "chat", "y")).unwrap();
    let events = vault.azure.inner.undelivered_events();
    assert_eq!(events.len(), 2, "whoever wrote it; and requests to a vault are none of Resource Manager");
    let event = events.iter().find(|event| event["data"]["Version"] == version).unwrap();
    assert_eq!(event["eventType"], "Microsoft.KeyVault.SecretNewVersionCreated");
    assert_eq!((&event["topic"], &event["subject"]), (&json!(VAULT), &json!("chat")));
    let id = format!("https://kv-demo.vault.azure.net/secrets/chat/{version}");
    let data = json!({
        "Id": id, "VaultName": "kv-demo", "ObjectType": "Secret", "ObjectName": "chat", "Version": version,
        "NBF": null, "EXP": 2_000_000_000,
    });
    assert_eq!(event["data"], data);
}

#[tokio::test]
async fn the_worlds_vaults_are_checked() {
    let start = |vaults: Value| async move {
        let world: World = serde_json::from_value(json!({"vaults": vaults})).unwrap();
        let clock = Arc::new(VirtualClock::default());
        let listen = ([127, 0, 0, 1], 0).into();
        let error = EmbeddedAzure::start(world, Options::default(), clock, listen).await.unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let vault = |name: &str, secrets: Value| json!({"group": "g", "name": name, "secrets": secrets});
    assert!(start(json!([vault("kv_1", json!({}))])).await.contains("resource id"));
    assert!(start(json!([vault("kv1", json!({})), vault("KV1", json!({}))])).await.contains("twice"));
    assert!(start(json!([vault("kv1", json!({"a b": "x"}))])).await.contains("\"a b\""));
    assert!(start(json!([vault("kv1", json!({"a": "x", "A": "y"}))])).await.contains("twice"));
    assert!(start(json!([vault("kv1", json!({"a": "{primary:sr}"}))])).await.contains("\"kv1/a\""));
    let tags: BTreeMap<String, &str> = (0..16).map(|at| (format!("t{at}"), "x")).collect();
    let tagged = json!({"a": {"value": "x", "tags": tags}});
    assert!(start(json!([vault("kv1", tagged)])).await.contains("15 tags"));
    for wrong in [json!({"a": 5}), json!({"a": {"value": "x", "strange": 1}}), json!({"a": {}})] {
        let world = serde_json::from_value::<World>(json!({"vaults": [vault("kv1", wrong.clone())]}));
        assert!(world.is_err(), "{wrong}");
    }
    let debug = format!(
        "{:?}",
        serde_json::from_value::<World>(json!({"vaults": [vault("kv1", json!({"a": "FINDME"}))]}))
    );
    assert!(!debug.contains("FINDME"), "{debug}");
}
