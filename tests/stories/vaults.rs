//! Apps that get their connection string through a Key Vault reference.

use std::collections::BTreeMap;

use super::common::{DAY, HOUR, MINUTE, Story};
use super::settled;
use embedded_azure::{Options, Secret, SignalR, Site, Vault, World};
use rekey_core::intent::Intent;
use rekey_core::model::KeyType;
use signalr_rekey::config::SecretConfig;

const SETTING: &str = "AzureSignalRConnectionString";
const NEWEST: &str = "@Microsoft.KeyVault(SecretUri=https://kv-demo.vault.azure.net/secrets/signalr/)";
const BY_NAME: &str = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=signalr)";

/// Two apps that share a secret, and one with a string of its own.
fn world(references: [&str; 2]) -> World {
    let site = |name: &str, value: &str| Site {
        group: "rg-demo".into(),
        name: name.into(),
        kind: "app,linux".into(),
        settings: BTreeMap::from([(SETTING.to_owned(), value.to_owned())]),
        ..Site::default()
    };
    let secret = Secret::new("{primary:sr-demo}");
    World {
        signalr: vec![SignalR {
            group: "rg-demo".into(),
            name: "sr-demo".into(),
            apps: ["web", "func", "own"].map(Into::into).to_vec(),
            ..SignalR::default()
        }],
        sites: vec![
            site("web", references[0]),
            site("func", references[1]),
            site("own", "{primary:sr-demo}"),
        ],
        vaults: vec![Vault {
            group: "rg-demo".into(),
            name: "kv-demo".into(),
            secrets: BTreeMap::from([("signalr".to_owned(), secret)]),
        }],
        ..World::default()
    }
}

async fn story(references: [&str; 2], readers_within: std::time::Duration) -> Story {
    let mut story = Story::of(world(references), Options::default()).await;
    let id = "https://kv-demo.vault.azure.net/secrets/signalr".parse().unwrap();
    story.config.instances[0].vault_secrets = vec![SecretConfig { id, readers_within }];
    story
}

/// Which key a secret holds now.
fn in_the_secret(story: &Story) -> KeyType {
    let value = story.sim.with(|state| state.secret("kv-demo", "signalr")).unwrap();
    let holds = |key_type: &KeyType| value.contains(story.key("sr-demo", *key_type).expose());
    KeyType::ALL.into_iter().find(holds).expect("the secret holds a valid key")
}

#[tokio::test]
async fn a_secret_that_apps_refer_to_is_rotated_without_a_refused_call() {
    for reference in [NEWEST, BY_NAME] {
        let story = story([reference, reference], HOUR).await;
        let before = story.key("sr-demo", KeyType::Primary);
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{reports:#?}");
        let report = story.sim.report();
        assert_eq!((story.refused(), report.refused_unexplained), (0, 0));
        let secret = story.sim.with(|state| state.secret("kv-demo", "signalr")).unwrap();
        assert!(!secret.contains(before.expose()), "{reference}: it was moved");
        in_the_secret(&story);
        assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "{reference}: both keys are new");
        // Nobody writes without need.
        let writes = story.requests("KeyVault_SetSecret");
        story.watch(5 * HOUR).await;
        assert_eq!(story.requests("KeyVault_SetSecret"), writes, "{reference}");
    }
}

#[tokio::test]
async fn who_refers_to_a_secret_is_repaired_after_a_forced_regeneration() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    story.watch(DAY).await;
    let held = in_the_secret(&story);
    story.force("sr-demo", &[held]).unwrap();
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports.iter().all(|report| report.ending.is_answered()), "{reports:#?}");
    in_the_secret(&story);
    let refused = story.refused();
    assert!(refused > 0);
    story.watch(HOUR).await;
    assert_eq!(story.refused(), refused, "nobody is refused once it is repaired");
}
