//! The world file and the seed.

use super::harness::*;

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
async fn debug_output_events_and_reports_hold_no_key() {
    let options = Options { key_prefix: "FINDME".into(), ..Options::like_azure() };
    let azure = Azure::with(World::default(), options).await;
    let mut events = azure.inner.activity();
    let (old, new) = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
    azure.repoint(&old, &new).await;
    azure.regenerate("Primary").await;
    azure.clock.advance(HOUR);
    let report = azure.inner.report();
    let mut text = format!("{:?} {report:?} {:?}", azure.inner, azure.inner.requests());
    text += &azure.inner.with(|state| format!("{state:?} {:?}", state.connection_strings("chat-web")));
    while let Ok(event) = events.try_recv() {
        text += &format!("{event} {event:?} {}", json!(event));
    }
    assert!(text.contains("chat-web: restarted with the new settings") && !text.contains("FINDME"), "{text}");
}

#[tokio::test]
async fn the_worlds_faults_are_told_in_sentences() {
    let start = |world: Value| async move {
        let world: World = serde_json::from_value(world).unwrap();
        let clock = Arc::new(VirtualClock::default());
        let error = EmbeddedAzure::start(world, Options::default(), clock, ([127, 0, 0, 1], 0).into())
            .await
            .unwrap_err();
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
    let apps: Vec<usize> = world.signalr.iter().map(|service| world.apps_of(service).len()).collect();
    assert_eq!(apps, [4, 1]);
    let azure = Azure::with(world, Options::like_azure()).await;
    let web = azure.inner.settings("web").unwrap();
    assert!(web["Azure__SignalR__ConnectionString"].contains("sr-a.service"));
    assert!(web["Azure__SignalR__ConnectionString__sr-b"].contains("sr-b.service"));
    assert!(azure.inner.settings("func").unwrap().contains_key("AzureSignalRConnectionString"));
    assert_eq!(azure.inner.settings("web/staging").unwrap()["OTHER"], "kept");
    let bare = azure.inner.keys("sr-a").unwrap().secondary;
    assert_eq!(azure.inner.settings("bare").unwrap()["KEY"], bare.expose());
    azure.clock.advance(MINUTE);
    let apps = &azure.inner.report().instances["sr-a"].apps;
    assert_eq!(apps.keys().map(String::as_str).collect::<Vec<_>>(), ["bare", "func", "web", "web/staging"]);
}
