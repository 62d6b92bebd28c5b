//! Apps behind App Configuration: by a reference, which a change of the configuration alone fetches, and by an SDK, which reads
//! at each start.

use super::harness::*;

const REFERENCE: &str =
    "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=Chat:SignalR; Label=prod)";
const IN_VAULT: &str = "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=in-vault)";
const STORE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.AppConfiguration/configurationStores/cs-demo";
const VAULT: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.KeyVault/vaults/kv-demo";

fn world(site: &Value) -> World {
    let mut app = json!({"group": "rg-demo", "name": "app"});
    app.as_object_mut().unwrap().extend(site.as_object().unwrap().clone());
    let vault_reference = "application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8";
    serde_json::from_value(json!({
        "signalr": [{"group": "rg-demo", "name": "sr-demo"}],
        "vaults": [{"group": "rg-demo", "name": "kv-demo", "secrets": {"chat": "{primary:sr-demo}"}}],
        "appConfigurations": [{"group": "rg-demo", "name": "cs-demo", "keyValues": [
            {"key": "Chat:SignalR", "label": "prod", "value": "{primary:sr-demo}"},
            {"key": "Chat:SignalR", "value": "of no label"},
            {"key": "in-vault", "contentType": vault_reference,
             "value": "{\"uri\":\"https://kv-demo.vault.azure.net/secrets/chat\"}"},
        ]}],
        "sites": [app],
    }))
    .unwrap()
}

async fn azure(site: Value, options: Options) -> Azure {
    Azure::with(world(&site), options).await
}

/// An app with this setting.
async fn with_setting(value: &str) -> Azure {
    azure(json!({"settings": {"Chat": value}}), Options::like_azure()).await
}

/// An app that reads this by itself.
async fn with_read(read: Value) -> Azure {
    azure(json!({"reads": [read]}), Options::like_azure()).await
}

fn site(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Web/sites/app{rest}")
}

fn set(azure: &Azure, value: &str) {
    azure.inner.with(|state| state.set_key_value("cs-demo", "Chat:SignalR", Some("prod"), value)).unwrap();
}

/// By which key the app's process signs; nothing if by none.
fn runs_with(azure: &Azure) -> Option<Option<KeyType>> {
    let keys = azure.inner.with(|state| state.runs_with("app")).unwrap();
    keys.into_iter().next().map(|(_, key_type)| key_type)
}

async fn restart(azure: &Azure) {
    assert_eq!(azure.post(&site("/restart"), WEB, json!({})).await.status(), 200);
    azure.clock.advance(MINUTE);
}

/// What the clients meet in the next minute: calls, refused ones, and those that nothing explains.
fn calls(azure: &Azure) -> (u64, u64, u64) {
    let figures = |azure: &Azure| {
        let report = azure.inner.report();
        [report.calls, report.refused, report.refused_unexplained]
    };
    let before = figures(azure);
    azure.clock.advance(MINUTE);
    let after = figures(azure);
    (after[0] - before[0], after[1] - before[1], after[2] - before[2])
}

const PRIMARY: Option<Option<KeyType>> = Some(Some(KeyType::Primary));
const SECONDARY: Option<Option<KeyType>> = Some(Some(KeyType::Secondary));

#[tokio::test]
async fn a_reference_is_fetched_by_a_change_of_the_configuration_alone() {
    let azure = with_setting(REFERENCE).await;
    assert_eq!(runs_with(&azure), PRIMARY);
    set(&azure, "{secondary:sr-demo}");
    restart(&azure).await;
    assert_eq!(runs_with(&azure), PRIMARY, "a plain restart does not");
    let refresh = site("/config/configreferences/appsettings/refresh");
    assert_eq!(azure.post(&refresh, "api-version=2022-03-01", json!({})).await.status(), 200);
    azure.clock.advance(MINUTE);
    restart(&azure).await;
    assert_eq!(runs_with(&azure), PRIMARY, "nor does a refresh");
    azure.clock.advance(25 * HOUR);
    restart(&azure).await;
    assert_eq!(runs_with(&azure), PRIMARY, "nor does a day");
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    azure.clock.advance(MINUTE);
    assert_eq!(runs_with(&azure), SECONDARY);
    assert_eq!(azure.settings("app").await["Chat"], REFERENCE);
}

#[tokio::test]
async fn a_refresh_of_vault_references_leaves_the_others_as_they_are() {
    let both = json!({"settings": {
        "A": REFERENCE, "B": "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=chat)",
    }});
    let azure = azure(both, Options { refresh_restarts: true, ..Options::like_azure() }).await;
    set(&azure, "{secondary:sr-demo}");
    azure.inner.with(|state| state.set_secret("kv-demo", "chat", "{secondary:sr-demo}")).unwrap();
    let refresh = site("/config/configreferences/appsettings/refresh");
    assert_eq!(azure.post(&refresh, "api-version=2022-03-01", json!({})).await.status(), 200);
    azure.clock.advance(MINUTE);
    let keys = azure.inner.with(|state| state.runs_with("app")).unwrap();
    assert_eq!(keys.len(), 2, "one has the new key, the other the old: {keys:?}");
}

#[tokio::test]
async fn who_rotates_and_forgets_the_reference_cuts_the_app_off() {
    let azure = with_setting(REFERENCE).await;
    let body = json!({"value": azure.list_keys().await["secondaryConnectionString"]});
    let own = token(&azure.http, &azure.inner, "https://azconfig.io").await;
    let url = format!("{}/kv/Chat%3ASignalR?label=prod&api-version=2023-11-01", azure.inner.base());
    let put = azure.http.put(url).header("host", "cs-demo.azconfig.io").bearer_auth(own).json(&body);
    assert_eq!(put.send().await.unwrap().status(), 200);
    restart(&azure).await;
    assert_eq!(azure.regenerate("Primary").await.status(), 202);
    azure.clock.advance(Duration::from_secs(80));
    let (_, refused, unexplained) = calls(&azure);
    assert!(refused > 0 && unexplained > 0, "{refused} {unexplained}");
    // Another person puts one there that does not work: not its fault.
    let azure = with_setting(REFERENCE).await;
    set(&azure, "Endpoint=https://sr-demo.service.signalr.net;AccessKey=invalid;Version=1.0;");
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    azure.clock.advance(MINUTE);
    let (_, refused, unexplained) = calls(&azure);
    assert!(refused > 0 && unexplained == 0, "{refused} {unexplained}");
}

#[tokio::test]
async fn a_key_value_that_names_a_secret_leads_to_the_secret_by_the_identity_of_the_app() {
    let azure = with_setting(IN_VAULT).await;
    assert_eq!(runs_with(&azure), PRIMARY);
    azure.inner.with(|state| state.set_secret("kv-demo", "chat", "{secondary:sr-demo}")).unwrap();
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    azure.clock.advance(MINUTE);
    assert_eq!(runs_with(&azure), SECONDARY);
    for scope in [STORE, VAULT] {
        azure.inner.with(|state| state.deny_app("app", scope, "*"));
        azure.inner.edit_setting("app", "TOUCHED", Some(scope)).unwrap();
        azure.clock.advance(MINUTE);
        assert_eq!(runs_with(&azure), None, "{scope}: it gets the reference's own text");
        azure.inner.with(embedded_azure::State::allow_all);
        azure.inner.edit_setting("app", "TOUCHED", Some("again")).unwrap();
        azure.clock.advance(MINUTE);
        assert_eq!(runs_with(&azure), SECONDARY);
    }
}

#[tokio::test]
async fn whether_such_references_are_listed_is_a_switch() {
    for listed in [false, true] {
        let settings = json!({"settings": {
            "A": REFERENCE,
            "B": "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=none)",
            "C": "@Microsoft.AppConfiguration(Key=none)",
            "D": "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=chat)",
            "E": "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=Chat:SignalR; Label=Prod)",
        }});
        let options = Options { app_configuration_listed: listed, ..Options::like_azure() };
        let azure = azure(settings, options).await;
        let path = site("/config/configreferences/appsettings");
        let all = json_of(azure.get(&path, WEB).await).await["value"].clone();
        let seen: Vec<[&str; 3]> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let [status, source] = ["status", "source"].map(|of| one["properties"][of].as_str().unwrap());
                [one["name"].as_str().unwrap(), status, source]
            })
            .collect();
        let vault = ["D", "Resolved", "KeyVault"];
        let store = "AppConfiguration";
        let expected = match listed {
            false => vec![vault],
            true => vec![
                ["A", "Resolved", store],
                ["B", "OtherReasons", store],
                ["C", "InvalidSyntax", store],
                vault,
                ["E", "OtherReasons", store],
            ],
        };
        assert_eq!(seen, expected);
        let one = azure.get(&format!("{path}/A"), WEB).await;
        assert_eq!(one.status().as_u16(), if listed { 200 } else { 404 });
    }
}

#[tokio::test]
async fn an_app_that_reads_by_an_sdk_does_so_when_it_starts() {
    let key_value = json!({"keyValue": {"store": "cs-demo", "key": "Chat:SignalR", "label": "prod"}});
    let azure = with_read(key_value.clone()).await;
    assert_eq!(runs_with(&azure), PRIMARY);
    set(&azure, "{secondary:sr-demo}");
    azure.clock.advance(25 * HOUR);
    assert_eq!(runs_with(&azure), PRIMARY, "it does not look again");
    let signs = azure.inner.with(|state| state.signs("app")).unwrap();
    assert_eq!(signs.into_iter().next().unwrap().1, Some(KeyType::Secondary), "it would now");
    restart(&azure).await;
    assert_eq!(runs_with(&azure), SECONDARY);
    azure.inner.with(|state| state.deny_app("app", STORE, "*"));
    restart(&azure).await;
    assert_eq!(runs_with(&azure), None, "it may not read");

    // A secret as a key-value, and one that a key-value names.
    for (read, name) in [
        (json!({"secret": {"vault": "kv-demo", "name": "chat"}}), "kv-demo"),
        (json!({"keyValue": {"store": "CS-demo", "key": "in-vault"}}), "cs-demo"),
    ] {
        let azure = with_read(read).await;
        azure.inner.with(|state| state.set_secret("kv-demo", "chat", "{secondary:sr-demo}")).unwrap();
        assert_eq!(runs_with(&azure), PRIMARY, "{name}");
        restart(&azure).await;
        assert_eq!(runs_with(&azure), SECONDARY, "{name}");
    }
    let azure = with_read(key_value).await;
    set(&azure, "Endpoint=https://sr-demo.service.signalr.net;AccessKey=invalid;Version=1.0;");
    restart(&azure).await;
    let (_, refused, unexplained) = calls(&azure);
    assert!(refused > 0 && unexplained == 0, "what another person puts there: {refused} {unexplained}");
}

#[tokio::test]
async fn an_app_behind_a_store_is_an_app_of_the_service() {
    for site in [
        json!({"settings": {"Chat": REFERENCE}}),
        json!({"connection_strings": {"Chat": {"value": REFERENCE}}}),
        json!({"settings": {"Chat": IN_VAULT}}),
        json!({"reads": [{"keyValue": {"store": "cs-demo", "key": "Chat:SignalR", "label": "prod"}}]}),
        json!({"reads": [{"keyValue": {"store": "cs-demo", "key": "in-vault"}}]}),
        json!({"reads": [{"secret": {"vault": "kv-demo", "name": "chat"}}]}),
    ] {
        let world = world(&site);
        assert_eq!(world.apps_of(&world.signalr[0]).len(), 1, "{site}");
    }
    for site in [
        json!({"settings": {"Chat": REFERENCE.replace("prod", "test")}}),
        json!({"settings": {"Chat": REFERENCE.replace("Chat:", "chat:")}}),
        json!({"reads": [{"keyValue": {"store": "cs-demo", "key": "Chat:SignalR"}}]}),
    ] {
        let world = world(&site);
        assert!(world.apps_of(&world.signalr[0]).is_empty(), "{site}");
    }
}
