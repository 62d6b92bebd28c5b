//! What people have reported of apps with their string in Key Vault. Such references were reported, and blocked, before secrets
//! were followed; where there is a secret to follow, following it does better now.

use super::super::common::{HOUR, MINUTE, Story};
use super::super::settled;
use embedded_azure::{Options, Secret, SignalR, Site, Vault, World};
use rekey_core::intent::Intent;
use rekey_core::model::KeyType;
use signalr_rekey::config::SecretConfig;

const SECRET: &str = "chat-signalr-connectionstring";

/// A web app with a string of its own, and a function app with these settings; with the vault, or without.
fn world(settings: &[(&str, &str)], vault: bool) -> World {
    let site = |name: &str, settings: &[(&str, &str)]| Site {
        group: "rg-demo".into(),
        name: name.into(),
        kind: "functionapp".into(),
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Site::default()
    };
    let secrets = [(SECRET.to_owned(), Secret::new("{primary:sr-demo}"))].into();
    let vault = vault.then(|| Vault { group: "rg-demo".into(), name: "kv-app".into(), secrets });
    World {
        signalr: vec![SignalR { group: "rg-demo".into(), name: "sr-demo".into(), ..SignalR::default() }],
        sites: vec![
            site("chat-web", &[("Azure__SignalR__ConnectionString", "{primary:sr-demo}")]),
            site("chat-func", settings),
        ],
        vaults: vault.into_iter().collect(),
        ..World::default()
    }
}

async fn story(settings: &[(&str, &str)], vault: bool) -> Story {
    let mut story = Story::of(world(settings, vault), Options::default()).await;
    let instance = &mut story.config.instances[0];
    let id = instance.apps[0].id.clone();
    // Whether or not it leads anywhere, the function app is configured.
    let func = rekey_core::model::AppId::new(id.subscription(), id.group(), "chat-func", None);
    if !instance.apps.iter().any(|app| app.id == func) {
        instance.apps.push(super::super::common::app(func));
    }
    let id = format!("https://kv-app.vault.azure.net/secrets/{SECRET}").parse().unwrap();
    if vault {
        instance.vault_secrets = vec![SecretConfig { id, readers_within: HOUR, unused: false }];
    }
    story
}

/// The secret is named after SignalR, and the setting is not, in an app that holds a string of its own besides. Both keys were
/// regenerated, and nothing was said of it.
#[tokio::test]
async fn a_secret_that_is_named_after_signalr_counts_whatever_the_setting_is_called() {
    let by_uri = format!("@Microsoft.KeyVault(SecretUri=https://kv-app.vault.azure.net/secrets/{SECRET}/)");
    let settings = [("REPORTS", "{primary:sr-demo}"), ("HubConnection", by_uri.as_str())];
    // Where there is no such vault nothing can be followed: it is named, and no key is regenerated.
    let story_without = story(&settings, false).await;
    let reports = story_without.watch(8 * HOUR).await;
    let told = format!("{:?}", reports[0].lines()) + &reports[0].summary();
    assert!(reports[0].ending.is_failure() && told.contains("HubConnection of chat-func"), "{told}");
    assert_eq!(story_without.requests("SignalR_RegenerateKey"), 0);

    // Following does better now: the secret is rotated, and nobody is refused.
    let story_with = story(&settings, true).await;
    let reports = story_with.watch(12 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story_with.requests("SignalR_RegenerateKey"), 2);
    let value = story_with.sim.with(|state| state.secret("kv-app", SECRET)).unwrap();
    let keys = KeyType::ALL.map(|key_type| story_with.key("sr-demo", key_type));
    assert!(keys.iter().any(|key| value.contains(key.expose())), "the secret holds a valid key");
    assert_eq!((story_with.refused(), story_with.sim.report().refused_unexplained), (0, 0));
}

/// After a forced regeneration of both keys the run said that no app held an invalid key, when the app that gets its string
/// from a vault most likely did.
#[tokio::test]
async fn an_app_with_its_string_in_a_vault_is_not_forgotten_after_a_forced_regeneration() {
    let by_name = format!("@Microsoft.KeyVault(VaultName=kv-app;SecretName={SECRET})");
    let settings = [("AzureSignalRConnectionString", by_name.as_str())];
    let story_without = story(&settings, false).await;
    story_without.tick().await;
    story_without.force("sr-demo", &KeyType::ALL).unwrap();
    for _ in 0..3 {
        let reports = story_without.run(Intent::check(), 9 * MINUTE).await;
        let told = format!("{:?}", reports[0].lines()) + &reports[0].summary();
        assert!(!reports[0].ending.is_answered() && told.contains("chat-func"), "{told}");
        story_without.clock.advance(10 * MINUTE);
    }

    // Following does better now: the secret is given a valid key, and the app is made to fetch it.
    let story_with = story(&settings, true).await;
    assert!(settled(&story_with.watch(12 * HOUR).await));
    story_with.force("sr-demo", &KeyType::ALL).unwrap();
    story_with.run(Intent::check(), 9 * MINUTE).await;
    story_with.clock.advance(5 * MINUTE);
    let refused = story_with.refused();
    assert!(refused > 0, "until it was repaired");
    story_with.watch(HOUR).await;
    assert_eq!(story_with.refused(), refused, "and not after that");
}
