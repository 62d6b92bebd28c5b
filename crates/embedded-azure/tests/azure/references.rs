//! What simulated apps sign with: what Microsoft's SDK would, what references lead to, and keys that stand elsewhere.

use super::harness::*;

const VAULT: &str = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/chat/)";

/// One service with one app, whose one setting has this value.
async fn app(value: &str) -> Azure {
    app_with(value, &[]).await
}

async fn app_with(value: &str, references: &[(&str, &str)]) -> Azure {
    let settings = BTreeMap::from([("Chat".to_owned(), value.to_owned())]);
    let site = Site { group: "rg-demo".into(), name: "app".into(), settings, ..Site::default() };
    let signalr = SignalR {
        group: "rg-demo".into(),
        name: "sr-demo".into(),
        domains: vec!["chat.example".into()],
        ..SignalR::default()
    };
    let references =
        references.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let world = World { signalr: vec![signalr], sites: vec![site], references, ..World::default() };
    Azure::with(world, Options::like_azure()).await
}

/// The calls of the app in the next minute, and how many of them were refused.
fn calls(azure: &Azure) -> (bool, bool) {
    let figures = |azure: &Azure| {
        let report = azure.inner.report();
        let tally = report.instances["sr-demo"].apps.get("app").cloned().unwrap_or_default();
        (tally.calls, tally.refused)
    };
    let before = figures(azure);
    azure.clock.advance(MINUTE);
    let after = figures(azure);
    (after.0 > before.0, after.1 > before.1)
}

#[tokio::test]
async fn an_app_is_cut_off_by_the_key_that_the_sdk_signs_with() {
    let key = "{primaryKey:sr-demo}";
    let host = "sr-demo.service.signalr.net";
    for value in [
        format!("Endpoint=https://{host};AccessKey={key};AuthType=azure.msi;Version=1.0;"),
        format!("Endpoint=https://{host}.;AccessKey={key};Version=1.0-preview"),
        format!("Endpoint=https://chat.example;AccessKey={key}"),
        format!("Endpoint=https://gateway.example;ServerEndpoint=https://{host};AccessKey={key}"),
        format!("Endpoint=https://gateway.example;AccessKey={key};ClientEndpoint=https://gateway.example"),
        key.to_owned(),
        format!("{{\"endpoint\":\"https://{host}\",\"key\":\"{key}\"}}"),
        format!("'{key}'"),
    ] {
        let azure = app(&value).await;
        assert_eq!(calls(&azure), (true, false), "{value}");
        azure.inner.regenerate("sr-demo", &[KeyType::Secondary]).unwrap();
        assert_eq!(calls(&azure), (true, false), "{value}: another key");
        azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
        assert_eq!(calls(&azure), (true, true), "{value}");
        let signs = azure.inner.with(|state| state.signs("app")).unwrap();
        assert_eq!(signs.into_iter().collect::<Vec<_>>(), [("sr-demo".to_owned(), None)], "{value}");
    }
    for value in [
        format!("Endpoint=https://{host};AuthType=azure.msi"),
        format!("Endpoint=https://{host};AccessKey=;{key}"),
        format!("{key}="),
        VAULT.to_owned(),
    ] {
        let azure = app(&value).await;
        assert_eq!(calls(&azure), (false, false), "{value}");
    }
}

#[tokio::test]
async fn an_app_with_a_reference_holds_what_it_leads_to_until_it_fetches_it_again() {
    for reference in [
        VAULT,
        "@Microsoft.KeyVault(VaultName=v;SecretName=CHAT)",
        "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=chat)",
    ] {
        let azure = app_with(reference, &[("Chat", "{primary:sr-demo}")]).await;
        assert_eq!(calls(&azure), (true, false), "{reference}");
        azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
        assert_eq!(calls(&azure), (true, true), "{reference}");
        let lead = json!({"name": "chat", "value": "{secondary:sr-demo}"});
        let led = azure.request(Method::POST, "/sim/references", "").json(&lead).send().await.unwrap();
        assert_eq!(led.status(), 200);
        assert_eq!(calls(&azure), (true, true), "nothing fetches it yet");
        let restart = format!("{GROUP}/providers/Microsoft.Web/sites/app/restart");
        assert_eq!(azure.post(&restart, WEB, json!({})).await.status(), 200);
        azure.clock.advance(MINUTE);
        assert_eq!(calls(&azure), (true, true), "a plain restart does not");
        azure.inner.edit_setting("app", "REFRESHED", Some("1")).unwrap();
        azure.clock.advance(MINUTE);
        assert_eq!(calls(&azure), (true, false), "a change of the configuration does");
        let stored = azure.settings("app").await;
        assert_eq!(stored["Chat"], reference, "the setting is what it was");
    }
}

#[tokio::test]
async fn an_app_behind_a_reference_is_an_app_of_the_service() {
    let azure = app_with(VAULT, &[("chat", "{primary:sr-demo}")]).await;
    let control = azure.request(Method::GET, "/sim/world", "").send().await.unwrap();
    assert_eq!(json_of(control).await["apps"].as_array().unwrap().len(), 1);
    let settings = BTreeMap::from([("A".to_owned(), VAULT.to_owned())]);
    let site = Site { group: "rg-demo".into(), name: "app".into(), settings, ..Site::default() };
    let signalr = SignalR { group: "rg-demo".into(), name: "sr-demo".into(), ..SignalR::default() };
    let references = BTreeMap::from([("CHAT".to_owned(), "{primary:sr-demo}".to_owned())]);
    let world = World { signalr: vec![signalr.clone()], sites: vec![site], references, ..World::default() };
    assert_eq!(world.apps_of(&signalr).len(), 1);
    assert_eq!(world.apps_of(&world.signalr[0])[0].name(), "app");
}
