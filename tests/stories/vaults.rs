//! Apps that get their connection string through a Key Vault reference.

mod attacks;
mod connection_strings;
mod errors;
mod left_behind;
mod reported;

use std::collections::BTreeMap;

use super::common::{DAY, HOUR, MINUTE, Story};
use super::settled;
use embedded_azure::{BarrierKind, Fault, FaultKind, Options, Secret, SignalR, Site, State, Vault, World};
use rekey_core::intent::Intent;
use rekey_core::journal::{Event, Held, Journal};
use rekey_core::model::{ConsumerId, KeyType};
use signalr_rekey::config::SecretConfig;
use signalr_rekey::store::Lease;

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
    story.config.instances[0].vault_secrets = vec![SecretConfig { id, readers_within, unused: false }];
    story
}

/// What all runs of the timer say in so long.
async fn everything_told(story: &Story, time: std::time::Duration) -> String {
    let mut told = String::new();
    for _ in 0..time.as_secs() / (10 * 60) {
        for report in story.tick().await {
            told += &format!("{:?} {}\n", report.lines(), report.summary());
        }
        story.clock.advance(10 * MINUTE);
    }
    told
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
        assert_eq!(writes, 1, "{reference}: a version for the move");
        story.watch(5 * HOUR).await;
        assert_eq!(story.requests("KeyVault_SetSecret"), writes, "{reference}");
    }
}

/// A secret knows no case, and whoever reads of it looks for it as he wrote it: in the configuration, else in a reference.
#[tokio::test]
async fn a_secret_is_told_of_as_it_is_written() {
    let mut story = story([NEWEST, BY_NAME], HOUR).await;
    let id = "https://kv-demo.vault.azure.net/secrets/SignalR".parse().unwrap();
    story.config.instances[0].vault_secrets = vec![SecretConfig { id, readers_within: HOUR, unused: false }];
    let told = everything_told(&story, 10 * HOUR).await;
    assert!(told.contains("kv-demo/SignalR") && !told.contains("kv-demo/signalr"), "{told}");
    story.config.instances[0].vault_secrets.clear();
    for (app, reference) in [("web", NEWEST), ("func", BY_NAME)] {
        let reference = reference.replace("signalr", "SignalR");
        story.sim.edit_setting(app, SETTING, Some(&reference)).unwrap();
    }
    story.sim.with(|state| state.deny("/", "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    let told = everything_told(&story, HOUR).await;
    assert!(told.contains("SignalR") && !told.contains("/signalr"), "{told}");
    assert_eq!(story.sim.report().refused_unexplained, 0);
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

#[tokio::test]
async fn a_pinned_reference_is_made_to_name_the_new_version() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    let versions = || story.sim.with(|state| state.secret_versions("kv-demo", "signalr")).unwrap();
    let first = versions().pop().unwrap();
    let pinned =
        format!("@Microsoft.KeyVault(SecretUri=https://kv-demo.vault.azure.net/secrets/signalr/{first})");
    story.sim.with(|state| state.edit_setting("web", SETTING, Some(&pinned))).unwrap();
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    let newest = versions().pop().unwrap();
    assert_ne!(newest, first);
    let setting = story.sim.with(|state| state.settings("web")).unwrap()[SETTING].clone();
    assert_eq!(setting, pinned.replace(&first, &newest));
}

/// Somebody lets an app refer to another secret, which holds a valid key too. The version that the app was last made to fetch is
/// one of the former: nobody waits for it, and nobody says that it is still to come.
#[tokio::test]
async fn a_reference_to_another_secret_is_not_compared_with_the_former() {
    let mut world = world([NEWEST, BY_NAME]);
    world.vaults[0].secrets.insert("other".to_owned(), Secret::new("{primary:sr-demo}"));
    let mut story = Story::of(world, Options::default()).await;
    for name in ["signalr", "other"] {
        let id = format!("https://kv-demo.vault.azure.net/secrets/{name}").parse().unwrap();
        let secret = SecretConfig { id, readers_within: HOUR, unused: false };
        story.config.instances[0].vault_secrets.push(secret);
    }
    let setting = |name: &str| story.sim.with(|state| state.settings("web")).unwrap().get(name).cloned();
    while setting("REKEY_REFRESHED").is_none() {
        story.clock.advance(MINUTE);
        story.tick().await;
    }
    let brought = story.sim.with(|state| state.secret_versions("kv-demo", "signalr")).unwrap().pop().unwrap();
    let to = NEWEST.replace("signalr", "other");
    story.sim.with(|state| state.edit_setting("web", SETTING, Some(&to))).unwrap();
    for wait in [0, 1, 5] {
        story.clock.advance(wait * MINUTE);
        let reports = story.tick().await;
        let told = format!("{:?} {}", reports[0].lines(), reports[0].summary());
        assert!(!told.contains("not yet") && !told.contains(&brought), "{told}");
        assert!(!told.contains("busy"), "{told}");
    }
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}

#[tokio::test]
async fn the_key_that_was_left_lives_as_long_as_readers_that_nobody_sees() {
    for within in [HOUR, 24 * HOUR] {
        let story = story([NEWEST, BY_NAME], within).await;
        // Beside the grace of two hours and a half.
        for regenerated in [0, 1] {
            story.watch(within + HOUR).await;
            assert_eq!(story.requests("SignalR_RegenerateKey"), regenerated, "{within:?}");
            story.watch(2 * HOUR).await;
            assert_eq!(story.requests("SignalR_RegenerateKey"), regenerated + 1, "{within:?}");
        }
        assert_eq!(story.refused(), 0);
    }
}

/// A person who knows that all readers have fetched the new version says so; the grace begins there.
#[tokio::test]
async fn readers_that_nobody_sees_are_waited_for_until_a_person_says_that_they_have_left() {
    let story = story([NEWEST, BY_NAME], 24 * HOUR).await;
    story.watch(30 * HOUR).await;
    assert_eq!(story.requests("SignalR_RegenerateKey"), 1, "the apps have just been moved");
    let left = |journal: &Journal| {
        let keys = journal.keys().unwrap();
        keys.iter().find(|(_, key)| matches!(key.held, Held::Left(_))).map(|(_, key)| key.fingerprint.clone())
    };
    let fingerprint = left(&story.journal().await).expect("a key was left");
    let consumer: ConsumerId =
        "keyVaultSecret:https://kv-demo.vault.azure.net/secrets/signalr".parse().unwrap();
    let (store, clock) = (story.store.clone(), story.clock.clone());
    let mut lease = Lease::acquire(store, clock, &story.config.instances[0].id, "a person").await.unwrap();
    lease.record(Event::ReadersAcknowledged { consumer, fingerprint, by: "ada".into() }).unwrap();
    lease.release().await.unwrap();
    story.watch(2 * HOUR).await;
    assert_eq!(story.requests("SignalR_RegenerateKey"), 1, "within the grace of two hours and a half");
    let reports = story.watch(HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((story.requests("SignalR_RegenerateKey"), story.refused()), (2, 0));
}

/// What is not seen, or does not come, blocks and is named; and nobody is cut off.
#[tokio::test]
async fn what_cannot_be_seen_of_a_secret_blocks() {
    type Change = fn(&mut State);
    let cases: [(&str, Change, &str); 5] = [
        (
            "role",
            |state| state.deny("/", "Microsoft.KeyVault/vaults/secrets/getSecret/action"),
            "getSecret/action",
        ),
        ("firewall", |state| state.bar("/", BarrierKind::VaultFirewall), "network rules"),
        ("disabled", |state| drop(state.enable_secret("kv-demo", "signalr", None, false)), "disabled"),
        ("deleted", |state| drop(state.delete_secret("kv-demo", "signalr")), "SecretNotFound"),
        (
            "elsewhere",
            |state| {
                let reference = NEWEST.replace("vault.azure.net", "vault.example.com");
                drop(state.edit_setting("web", SETTING, Some(&reference)));
            },
            "web",
        ),
    ];
    for (name, change, said) in cases {
        let story = story([NEWEST, BY_NAME], HOUR).await;
        story.sim.with(change);
        let reports = story.watch(6 * HOUR).await;
        let told = format!("{:?}", reports[0].lines()) + &reports[0].summary();
        assert!(reports[0].ending.is_failure(), "{name}: {told}");
        assert!(told.contains(said), "{name}: {told}");
        assert_eq!(story.requests("KeyVault_SetSecret"), 0, "{name}");
        assert_eq!(story.sim.report().refused_unexplained, 0, "{name}");
    }
}

/// Somebody writes another part of the secret between our reading and our write.
#[tokio::test]
async fn what_others_write_at_the_same_time_is_merged() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    story.sim.before("KeyVault_SetSecret", 1, |state| {
        let value = state.secret("kv-demo", "signalr").unwrap();
        state
            .set_secret("kv-demo", "signalr", &format!("{value}ServerEndpoint=https://gw.example;"))
            .unwrap();
    });
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    let secret = story.sim.with(|state| state.secret("kv-demo", "signalr")).unwrap();
    assert!(secret.contains("ServerEndpoint=https://gw.example"), "the other's part is there");
    in_the_secret(&story);
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}

/// Nothing tells with which version a process was started, so the first rotation makes sure of it.
#[tokio::test]
async fn a_process_that_runs_with_an_older_version_keeps_its_key_alive() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    // The processes run with the secondary key; the newest version has the primary, and was never fetched by a restart.
    let string = |key_type| format!("{{{key_type}:sr-demo}}");
    story.sim.with(|state| state.set_secret("kv-demo", "signalr", &string("secondary"))).unwrap();
    for app in ["web", "func"] {
        story.sim.with(|state| state.edit_setting(app, "OTHER", Some("1"))).unwrap();
    }
    story.clock.advance(10 * MINUTE);
    story.sim.with(|state| state.set_secret("kv-demo", "signalr", &string("primary"))).unwrap();
    story.clock.advance(25 * HOUR);
    let reports = story.watch(2 * DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
}

/// An answer is lost, and with it whatever it would have told.
#[tokio::test]
async fn whichever_answer_is_lost_nobody_is_cut_off() {
    let operations =
        ["KeyVault_SetSecret", "WebApps_UpdateApplicationSettings", "KeyVault_GetSecretVersions"];
    for operation in operations {
        for skipped in 0..3 {
            let story = story([NEWEST, BY_NAME], HOUR).await;
            story.sim.fault(Fault::new(operation, FaultKind::TimeoutAfter).after(skipped).times(1));
            let reports = story.watch(2 * DAY).await;
            assert!(settled(&reports), "{operation} {skipped}: {reports:#?}");
            assert_eq!(
                (story.refused(), story.sim.report().refused_unexplained),
                (0, 0),
                "{operation} {skipped}"
            );
            in_the_secret(&story);
        }
    }
}

/// An app whose own identity may not read the secret gets nothing of it, whatever we may.
#[tokio::test]
async fn an_app_that_may_not_read_the_secret_blocks_and_goes_on_when_it_may() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    story.sim.with(|state| state.deny_app("web", "/", "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    let reports = story.watch(10 * HOUR).await;
    let told = format!("{:?}", reports[0].lines()) + &reports[0].summary();
    assert!(reports[0].ending.is_failure() && told.contains("AccessToKeyVaultDenied"), "{told}");
    assert_eq!(story.sim.report().refused_unexplained, 0);
    story.sim.with(State::allow_all);
    let reports = story.watch(2 * DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.sim.report().refused_unexplained, 0);
    in_the_secret(&story);
}

/// A template that writes all settings takes ours away each night.
#[tokio::test]
async fn who_loses_what_was_noted_counts_as_a_holder_of_either_key_and_is_rotated_all_the_same() {
    let mut story = story([NEWEST, BY_NAME], HOUR).await;
    story.config.instances[0].policy.rotate_every = 3 * DAY;
    for _ in 0..8 {
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{reports:#?}");
        for app in ["web", "func"] {
            story.sim.with(|state| state.edit_setting(app, "REKEY_REFRESHED", None)).unwrap();
        }
    }
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    assert!(story.requests("SignalR_RegenerateKey") >= 4, "{}", story.requests("SignalR_RegenerateKey"));
}
