//! Container apps: their secrets, and how they change.

mod replicas;

use embedded_azure::{ContainerWrite, SecretSync, State};

use super::harness::*;

const APP: &str = "api-version=2024-03-01";
const RIGHTS: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

fn app(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.App/containerApps/chat-api{rest}")
}

/// One service, a vault with its connection string, and the container app `chat-api` with these members.
async fn azure(members: Value, options: Options) -> Azure {
    let mut container = json!({"group": "rg-demo", "name": "chat-api"});
    container.as_object_mut().unwrap().append(&mut members.as_object().unwrap().clone());
    let world = json!({
        "signalr": [{"group": "rg-demo", "name": "sr-demo"}],
        "vaults": [{"group": "rg-demo", "name": "kv-demo", "secrets": {"chat": "{primary:sr-demo}"}}],
        "containerApps": [container],
    });
    Azure::with(serde_json::from_value(world).unwrap(), options).await
}

/// The same whose one secret `signalr` is by value.
async fn by_value() -> Azure {
    azure(json!({"secrets": {"signalr": "{primary:sr-demo}", "other": "x"}}), Options::like_azure()).await
}

const VAULTED: &str = "https://kv-demo.vault.azure.net/secrets/chat";

async fn by_vault(options: Options) -> Azure {
    azure(json!({"secrets": {"vaulted": {"keyVaultUrl": VAULTED, "identity": "System"}}}), options).await
}

impl Azure {
    async fn app(&self) -> Value {
        json_of(self.get(&app(""), APP).await).await
    }

    async fn secrets(&self) -> Value {
        json_of(self.post(&app("/listSecrets"), APP, json!({})).await).await["value"].clone()
    }

    async fn patch(&self, body: Value) -> Response {
        self.request(Method::PATCH, &app(""), APP).json(&body).send().await.unwrap()
    }

    /// Patches the secrets, and waits until it is done.
    async fn patch_secrets(&self, secrets: Value) {
        let answer = self.patch(json!({"properties": {"configuration": {"secrets": secrets}}})).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        self.clock.advance(MINUTE);
        assert_eq!(self.app().await["properties"]["provisioningState"], "Succeeded");
    }

    /// The code of a refusal of secrets.
    async fn refused(&self, secrets: Value) -> (u16, String) {
        fault_of(self.patch(json!({"properties": {"configuration": {"secrets": secrets}}})).await).await
    }

    async fn revisions(&self) -> Vec<Value> {
        let body = json_of(self.get(&app("/revisions"), APP).await).await;
        body["value"].as_array().unwrap().clone()
    }

    /// The names, times of creation and states of the replicas of a revision.
    async fn replicas(&self, revision: &str) -> Vec<(String, DateTime<Utc>, String)> {
        let body = json_of(self.get(&app(&format!("/revisions/{revision}/replicas")), APP).await).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let replica = |one: &Value| {
            let properties = &one["properties"];
            let created = text(&properties["createdTime"]).parse().unwrap();
            (text(&one["name"]), created, text(&properties["runningState"]))
        };
        body["value"].as_array().unwrap().iter().map(replica).collect()
    }

    async fn restart(&self, revision: &str) {
        let answer = self.post(&app(&format!("/revisions/{revision}/restart")), APP, json!({})).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.text().await.unwrap(), "");
    }

    fn string(&self, key_type: KeyType) -> String {
        let key = self.key(key_type);
        format!("Endpoint=https://sr-demo.service.signalr.net;AccessKey={};Version=1.0;", key.expose())
    }

    /// Which keys the replicas sign with.
    fn runs_with(&self, name: &str) -> Vec<Option<KeyType>> {
        let all = self.inner.with(|state| state.runs_with(name)).unwrap();
        all.into_iter().map(|(_, key_type)| key_type).collect()
    }

    /// What the clients of a container app or job met in the next so much time: whether there were calls, and how many were
    /// refused without an explanation.
    fn calls(&self, name: &str, time: Duration) -> (bool, u64) {
        let figures = |azure: &Self| {
            let tally = azure.inner.report().instances["sr-demo"].apps.get(name).cloned().unwrap_or_default();
            (tally.calls, tally.refused_unexplained)
        };
        let before = figures(self);
        self.clock.advance(time);
        let after = figures(self);
        (after.0 > before.0, after.1 - before.1)
    }
}

const NEWEST: &str = "chat-api--0000001";
const PRIMARY: Option<KeyType> = Some(KeyType::Primary);
const SECONDARY: Option<KeyType> = Some(KeyType::Secondary);

#[tokio::test]
async fn a_get_names_secrets_and_a_list_tells_them() {
    let members = json!({"secrets": {"signalr": "{primary:sr-demo}", "vaulted": {"keyVaultUrl": VAULTED}}});
    let azure = azure(members, Options::like_azure()).await;
    let whole = azure.app().await;
    let vaulted = json!({"name": "vaulted", "keyVaultUrl": VAULTED, "identity": "System"});
    let properties = &whole["properties"];
    assert_eq!(properties["configuration"]["secrets"], json!([{"name": "signalr"}, vaulted]));
    assert_eq!(properties["configuration"]["activeRevisionsMode"], "Single");
    assert_eq!(properties["latestRevisionName"], NEWEST);
    assert!(!whole.to_string().contains(azure.key(KeyType::Primary).expose()), "no value");
    let primary = azure.string(KeyType::Primary);
    let mut told = vaulted.clone();
    told["value"] = primary.as_str().into();
    assert_eq!(azure.secrets().await, json!([{"name": "signalr", "value": primary}, told]));
    for list in [format!("{GROUP}/providers"), format!("{SUBSCRIPTION}/providers")] {
        let listed = json_of(azure.get(&format!("{list}/Microsoft.App/containerApps"), APP).await).await;
        assert_eq!(listed["value"], json!([whole]), "{list}");
    }
}

#[tokio::test]
async fn the_array_of_secrets_is_replaced_as_a_whole_when_the_operation_ends() {
    let azure = by_value().await;
    let modified = azure.app().await["systemData"]["lastModifiedAt"].clone();
    azure.clock.advance(MINUTE);
    let secondary = azure.string(KeyType::Secondary);
    let both = json!([{"name": "signalr", "value": secondary}, {"name": "other", "value": "x"}]);
    let body = json!({"properties": {"configuration": {"secrets": both}}});
    let accepted = azure.patch(body.clone()).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    assert_eq!(header(&accepted, "retry-after"), "10");
    let location = header(&accepted, "location").to_owned();
    assert!(location.contains("/locations/eastus/containerappOperationResults/"), "{location}");
    let ask = |url: &str| azure.http.get(url).bearer_auth(&azure.token).send();
    assert_eq!(ask(&location).await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(azure.app().await["properties"]["provisioningState"], "InProgress");
    assert_ne!(azure.secrets().await, both, "it is not done yet");
    assert_eq!(fault_of(azure.patch(body).await).await, (409, "ContainerAppOperationInProgress".into()));
    azure.clock.advance(MINUTE);
    let done = ask(&location).await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    let whole = json_of(done).await;
    assert_eq!(whole, azure.app().await);
    assert_ne!(whole["systemData"]["lastModifiedAt"], modified);
    assert_eq!(azure.secrets().await, both);
    assert_eq!(ask(&format!("{location}x")).await.unwrap().status(), StatusCode::BAD_REQUEST, "it is signed");
}

#[tokio::test]
async fn what_is_left_out_is_gone_and_the_rest_of_the_app_stays() {
    let members = json!({"secrets": {"signalr": "{primary:sr-demo}", "spare": "x"}, "env": {"A": "signalr"}, "tags": {"a": "b"}});
    let azure = azure(members, Options::like_azure()).await;
    let before = azure.app().await;
    let signalr = json!([{"name": "signalr", "value": azure.string(KeyType::Primary)}]);
    azure.patch_secrets(signalr.clone()).await;
    assert_eq!(azure.secrets().await, signalr, "the spare one has vanished");
    let mut after = azure.app().await;
    after["systemData"] = before["systemData"].clone();
    after["properties"]["configuration"]["secrets"] =
        before["properties"]["configuration"]["secrets"].clone();
    assert_eq!(after, before);
    // A patch that says nothing of secrets leaves them; null takes them away, which the template forbids.
    assert_eq!(azure.patch(json!({"tags": {"a": null, "c": "d"}})).await.status(), StatusCode::ACCEPTED);
    azure.clock.advance(MINUTE);
    assert_eq!(azure.app().await["tags"], json!({"c": "d"}));
    assert_eq!(azure.secrets().await, signalr);
    assert_eq!(azure.refused(Value::Null).await, (400, "ContainerAppSecretRefNotFound".into()));
}

#[tokio::test]
async fn secrets_that_azure_does_not_take_are_refused_and_nothing_changes() {
    let azure = by_value().await;
    let before = azure.secrets().await;
    let named = azure.app().await["properties"]["configuration"]["secrets"].clone();
    let full = |name: &str| json!({"name": name, "value": "x"});
    for (secrets, code) in [
        (named, "ContainerAppSecretInvalid"),
        (json!([full("signalr")]), "ContainerAppSecretRefNotFound"),
        (json!([full("signalr"), full("other"), full("Big")]), "ContainerAppSecretInvalid"),
        (json!([full("signalr"), full("other"), full("other")]), "ContainerAppSecretDuplicated"),
        (json!([full("signalr"), {"name": "other", "keyVaultUrl": VAULTED}]), "ContainerAppSecretInvalid"),
        (
            json!([full("signalr"), {"name": "other", "value": "x", "keyVaultUrl": VAULTED, "identity": "System"}]),
            "ContainerAppSecretInvalid",
        ),
        (
            json!([full("signalr"), {"name": "other", "keyVaultUrl": format!("{VAULTED}s"), "identity": "System"}]),
            "InvalidParameterValueInContainerTemplate",
        ),
        (json!("x"), "InvalidRequestContent"),
    ] {
        assert_eq!(azure.refused(secrets.clone()).await, (400, code.into()), "{secrets}");
    }
    azure.clock.advance(MINUTE);
    assert_eq!(azure.secrets().await, before);
}

#[tokio::test]
async fn the_platform_looks_for_new_versions_every_half_hour_and_restarts_who_has_them_in_a_variable() {
    for (sync, expected) in
        [(SecretSync::Restarts, SECONDARY), (SecretSync::Fetches, PRIMARY), (SecretSync::Off, PRIMARY)]
    {
        let azure = by_vault(Options { secret_sync: sync, ..Options::like_azure() }).await;
        azure.inner.with(|state| state.set_secret("kv-demo", "chat", "{secondary:sr-demo}")).unwrap();
        azure.clock.advance(29 * MINUTE);
        assert_eq!(azure.secrets().await[0]["value"], azure.string(KeyType::Primary), "{sync:?}");
        azure.clock.advance(2 * MINUTE);
        assert_eq!(azure.runs_with("containerApps/chat-api"), [expected], "{sync:?}");
        let fetched = azure.secrets().await[0]["value"] == azure.string(KeyType::Secondary);
        assert_eq!(fetched, sync != SecretSync::Off, "{sync:?}");
        assert_eq!(azure.revisions().await.len(), 1);
    }
    // One that is mounted alone is no variable, and a version that is pinned stays.
    let version = "/ec96f02080254f109c51a1f14cdb1931";
    for (url, env) in
        [(VAULTED.to_owned(), json!({})), (format!("{VAULTED}{version}"), json!({"A": "vaulted"}))]
    {
        let members =
            json!({"secrets": {"vaulted": {"keyVaultUrl": url}}, "env": env, "mounts": ["vaulted"]});
        let azure = azure(members, Options::like_azure()).await;
        let before = azure.replicas(NEWEST).await;
        azure.inner.with(|state| state.set_secret("kv-demo", "chat", "{secondary:sr-demo}")).unwrap();
        azure.clock.advance(HOUR);
        assert_eq!(azure.replicas(NEWEST).await, before, "{url}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_fetched_stays_what_it_was() {
    let azure = by_vault(Options::like_azure()).await;
    let before = azure.replicas(NEWEST).await;
    azure.inner.with(|state| {
        state.deny_app("containerApps/chat-api", SUBSCRIPTION, RIGHTS);
        state.set_secret("kv-demo", "chat", "{secondary:sr-demo}").unwrap();
    });
    azure.clock.advance(HOUR);
    assert_eq!(azure.secrets().await[0]["value"], azure.string(KeyType::Primary));
    assert_eq!(azure.replicas(NEWEST).await, before);
    let same = json!([{"name": "vaulted", "keyVaultUrl": VAULTED, "identity": "System"}]);
    assert_eq!(azure.refused(same.clone()).await, (400, "InvalidParameterValueInContainerTemplate".into()));
    azure.inner.with(State::allow_all);
    azure.patch_secrets(same).await;
    assert_eq!(azure.secrets().await[0]["value"], azure.string(KeyType::Secondary), "a patch fetches it");
    assert_eq!(azure.runs_with("containerApps/chat-api"), [PRIMARY]);
}

#[tokio::test]
async fn whether_a_restart_fetches_is_a_switch() {
    for (fetches, expected) in [(false, PRIMARY), (true, SECONDARY)] {
        let options = Options { restart_fetches_secrets: fetches, ..Options::like_azure() };
        let azure = by_vault(options).await;
        azure.inner.with(|state| state.set_secret("kv-demo", "chat", "{secondary:sr-demo}")).unwrap();
        azure.restart(NEWEST).await;
        azure.clock.advance(MINUTE);
        assert_eq!(azure.runs_with("containerApps/chat-api"), [expected]);
    }
}

#[tokio::test]
async fn what_goes_wrong_with_a_change_goes_wrong() {
    let azure = by_value().await;
    let secondary = azure.string(KeyType::Secondary);
    let secrets = json!([{"name": "signalr", "value": secondary}, {"name": "other", "value": "x"}]);
    let body = json!({"properties": {"configuration": {"secrets": secrets}}});
    let before = azure.secrets().await;
    for (kind, state) in [(FaultKind::OperationFailed, "Failed"), (FaultKind::Swallowed, "Succeeded")] {
        azure.inner.fault(Fault::new("ContainerApps_Update", kind).on("chat-api"));
        let accepted = azure.patch(body.clone()).await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
        let location = header(&accepted, "location").to_owned();
        azure.clock.advance(MINUTE);
        assert_eq!(azure.app().await["properties"]["provisioningState"], state);
        let result = azure.http.get(&location).bearer_auth(&azure.token).send().await.unwrap();
        assert_eq!(result.status().is_success(), kind == FaultKind::Swallowed);
        assert_eq!(azure.secrets().await, before);
    }
    azure
        .inner
        .fault(Fault { delay_ms: 600_000, ..Fault::new("ContainerApps_Update", FaultKind::AppliedLate) });
    azure.patch(body.clone()).await;
    azure.clock.advance(5 * MINUTE);
    assert_eq!(azure.secrets().await, before);
    azure.clock.advance(6 * MINUTE);
    assert_eq!(azure.secrets().await, secrets);
    azure.inner.fault(Fault::new("ContainerApps_Update", FaultKind::ForeignHost));
    let elsewhere = azure.patch(body).await;
    assert!(header(&elsewhere, "location").starts_with("https://eastus.management.azure.invalid/"));
    azure.inner.fault(Fault::new("ContainerApps_OperationResults", FaultKind::StillRunning));
    azure.clock.advance(MINUTE);
    let path =
        header(&elsewhere, "location").replace("https://eastus.management.azure.invalid", azure.inner.base());
    let ask = || azure.http.get(&path).bearer_auth(&azure.token).send();
    assert_eq!(ask().await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_change_can_be_done_at_once() {
    let options = Options { container_write: ContainerWrite::Done, ..Options::like_azure() };
    let azure = azure(json!({"secrets": {"signalr": "x"}}), options).await;
    let secrets = json!([{"name": "signalr", "value": "y"}]);
    let done = azure.patch(json!({"properties": {"configuration": {"secrets": secrets}}})).await;
    assert_eq!(done.status(), StatusCode::OK);
    assert_eq!(json_of(done).await, azure.app().await);
    assert_eq!(azure.secrets().await, secrets);
}

#[tokio::test]
async fn who_may_not_is_told_what_and_a_lock_keeps_secrets_shut() {
    let azure = by_value().await;
    let identity = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader");
    let vaulted = json!([
        {"name": "signalr", "keyVaultUrl": VAULTED, "identity": identity},
        {"name": "other", "value": "x"},
    ]);
    let patch = json!({"properties": {"configuration": {"secrets": vaulted}}});
    let restart = app(&format!("/revisions/{NEWEST}/restart"));
    let replicas = app(&format!("/revisions/{NEWEST}/replicas"));
    for (method, path, action, code) in [
        (Method::GET, app(""), "Microsoft.App/containerApps/read", "AuthorizationFailed"),
        (
            Method::POST,
            app("/listSecrets"),
            "Microsoft.App/containerApps/listSecrets/action",
            "AuthorizationFailed",
        ),
        (Method::PATCH, app(""), "Microsoft.App/containerApps/write", "AuthorizationFailed"),
        (
            Method::PATCH,
            app(""),
            "Microsoft.App/managedEnvironments/join/action",
            "LinkedAuthorizationFailed",
        ),
        (
            Method::PATCH,
            app(""),
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
            "LinkedAuthorizationFailed",
        ),
        (Method::GET, app("/revisions"), "Microsoft.App/containerApps/revisions/read", "AuthorizationFailed"),
        (
            Method::POST,
            restart,
            "Microsoft.App/containerApps/revisions/restart/action",
            "AuthorizationFailed",
        ),
        (Method::GET, replicas, "Microsoft.App/containerApps/revisions/replicas/read", "AuthorizationFailed"),
    ] {
        azure.inner.with(|state| state.deny(GROUP, action));
        let answer = azure.request(method, &path, APP).json(&patch).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{action}");
        let error = json_of(answer).await["error"].clone();
        assert_eq!(error["code"], code);
        assert!(error["message"].as_str().unwrap().contains(&format!("'{action}'")), "{error}");
        azure.inner.with(State::allow_all);
    }
    azure.inner.with(|state| state.bar(&app(""), embedded_azure::BarrierKind::ReadOnlyLock));
    assert_eq!(azure.get(&app(""), APP).await.status(), StatusCode::OK);
    let listed = fault_of(azure.post(&app("/listSecrets"), APP, json!({})).await).await;
    assert_eq!(listed, (409, "ScopeLocked".into()));
    azure.inner.with(State::lift_barriers);
    azure.inner.with(|state| state.bar(GROUP, embedded_azure::BarrierKind::DisabledSubscription));
    let listed = azure.post(&app("/listSecrets"), APP, json!({})).await;
    assert_eq!(listed.status(), StatusCode::OK, "it only lists");
    azure.inner.with(|state| state.delete_container("chat-api")).unwrap();
    assert_eq!(fault_of(azure.get(&app(""), APP).await).await, (404, "ResourceNotFound".into()));
}
