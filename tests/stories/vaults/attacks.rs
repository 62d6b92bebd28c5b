//! Others at work on a secret, at the worst moment: nothing of theirs is lost, and nobody is cut off.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::common::{DAY, HOUR, MINUTE, Story};
use super::super::settled;
use super::{BY_NAME, NEWEST, SETTING, everything_told, in_the_secret, story, world};
use embedded_azure::{Fault, FaultKind, Options, Secret, SignalR, State, Vault, World};
use rekey_core::intent::Intent;
use rekey_core::model::KeyType;
use signalr_rekey::config::SecretConfig;

const THEIRS: &str = "ServerEndpoint=https://gw.example;";

/// What the secret holds now.
fn value(story: &Story) -> String {
    story.sim.with(|state| state.secret("kv-demo", "signalr")).unwrap()
}

/// Somebody adds a part of his own to what is there.
fn add_theirs(state: &mut State) {
    let value = state.secret("kv-demo", "signalr").unwrap();
    state.set_secret("kv-demo", "signalr", &format!("{value}{THEIRS}")).unwrap();
}

/// Everything went well, and what they wrote is there.
fn kept(story: &Story, name: &str) {
    assert!(value(story).contains(THEIRS), "{name}: what they wrote was lost");
    in_the_secret(story);
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
}

/// Two versions were made in one second, long ago. The older of them is nobody's who came between.
#[tokio::test]
async fn versions_of_one_second_of_before_are_left_alone() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    story.clock.advance(HOUR);
    story.sim.with(|state| {
        let value = state.secret("kv-demo", "signalr").unwrap();
        for note in 0..8 {
            state.set_secret("kv-demo", "signalr", &format!("{value}Note={note};")).unwrap();
        }
        add_theirs(state);
    });
    story.clock.advance(DAY);
    assert!(settled(&story.watch(DAY).await));
    kept(&story, "an older one of the same second");
    assert!(value(&story).contains("Note=7;"), "the newest was rewritten, and no other");
    assert_eq!(story.requests("KeyVault_SetSecret"), 1, "nothing had to be merged");
}

/// The version that is replaced, the one that came between, and ours are all of one second.
#[tokio::test]
async fn who_writes_in_the_same_second_is_merged() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    story.watch(DAY).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    // A person writes it anew, with the key that is invalid, just before it is read.
    story.sim.with(|state| {
        let value = state.secret("kv-demo", "signalr").unwrap();
        state.set_secret("kv-demo", "signalr", &format!("{value}Note=1;")).unwrap();
    });
    story.sim.before("KeyVault_SetSecret", 1, add_theirs);
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports.iter().all(|report| report.ending.is_answered()), "{reports:#?}");
    assert!(value(&story).contains(THEIRS) && value(&story).contains("Note=1;"), "both are there");
    in_the_secret(&story);
}

/// Of a secret with more versions than are on one page, whoever came between is on any of them.
#[tokio::test]
async fn who_came_between_is_found_among_many_versions() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    for _ in 0..70 {
        story.sim.with(|state| {
            let value = state.secret("kv-demo", "signalr").unwrap();
            state.set_secret("kv-demo", "signalr", &value).unwrap();
        });
        story.clock.advance(MINUTE);
    }
    story.sim.before("KeyVault_SetSecret", 1, add_theirs);
    assert!(settled(&story.watch(DAY).await));
    kept(&story, "70 versions");
    // Three pages for each of two writes.
    assert_eq!(story.requests("KeyVault_GetSecretVersions"), 6);
}

/// Azure is too busy in the midst of it. A vault names no time to wait.
#[tokio::test]
async fn a_vault_that_is_too_busy_in_the_midst_of_a_write_is_asked_again() {
    for operation in ["KeyVault_GetSecret", "KeyVault_SetSecret", "KeyVault_GetSecretVersions"] {
        for (kind, times) in
            [(FaultKind::Throttled, 2), (FaultKind::Throttled, 3), (FaultKind::Unavailable, 1)]
        {
            let story = story([NEWEST, BY_NAME], HOUR).await;
            story.sim.before("KeyVault_SetSecret", 1, add_theirs);
            story.sim.fault(Fault::new(operation, kind).times(times));
            assert!(settled(&story.watch(DAY).await), "{operation} {kind:?} {times}");
            kept(&story, operation);
        }
    }
}

/// The answer to a write is lost, and somebody else wrote just before it: that he did is found out all the same.
#[tokio::test]
async fn who_wrote_before_a_write_whose_answer_was_lost_is_merged() {
    for kind in [FaultKind::TimeoutAfter, FaultKind::ServerErrorAfter] {
        let story = story([NEWEST, BY_NAME], HOUR).await;
        story.sim.before("KeyVault_SetSecret", 1, add_theirs);
        story.sim.fault(Fault::new("KeyVault_SetSecret", kind).times(1));
        assert!(settled(&story.watch(DAY).await), "{kind:?}");
        kept(&story, &format!("{kind:?}"));
    }
}

/// The clock of the vault is not ours.
#[tokio::test]
async fn a_vault_whose_clock_is_wrong_is_written_as_any_other() {
    for skew in [-3600, -5, 5, 3600] {
        let story = story([NEWEST, BY_NAME], HOUR).await;
        // Later than the version with which the world began, by either clock.
        story.clock.advance(2 * HOUR);
        story.sim.with(|state| state.skew_vaults(skew));
        story.sim.with(|state| {
            let value = state.secret("kv-demo", "signalr").unwrap();
            state.set_secret("kv-demo", "signalr", &value).unwrap();
        });
        story.sim.before("KeyVault_SetSecret", 1, add_theirs);
        assert!(settled(&story.watch(DAY).await), "{skew}");
        kept(&story, &format!("{skew} s"));
    }
}

/// Somebody takes the secret out of use while it is written: that stands, and no app is made to fetch what is disabled.
#[tokio::test]
async fn a_secret_that_is_disabled_while_it_is_written_stays_disabled() {
    let story = story([NEWEST, BY_NAME], HOUR).await;
    story.sim.before("KeyVault_SetSecret", 1, |state| {
        state.enable_secret("kv-demo", "signalr", None, false).unwrap();
    });
    let told = everything_told(&story, 8 * HOUR).await;
    let enabled = || story.sim.with(|state| state.is_secret_enabled("kv-demo", "signalr")).unwrap();
    assert!(!enabled() && told.contains("somebody disabled the secret while it was written"), "{told}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    story.sim.with(|state| state.enable_secret("kv-demo", "signalr", None, true)).unwrap();
    assert!(settled(&story.watch(DAY).await));
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    in_the_secret(&story);
}

/// Between the check and the write of an app its reference is made to name a version of another vault's secret.
#[tokio::test]
async fn a_reference_that_was_made_to_name_another_secret_meanwhile_is_left_alone() {
    let mut world = world([NEWEST, BY_NAME]);
    let secrets = BTreeMap::from([("signalr".to_owned(), Secret::new("{primary:sr-demo}"))]);
    world.vaults.push(Vault { group: "rg-demo".into(), name: "kv-other".into(), secrets });
    let mut story = Story::of(world, Options::default()).await;
    let secret = |vault: &str| SecretConfig {
        id: format!("https://{vault}.vault.azure.net/secrets/signalr").parse().unwrap(),
        readers_within: HOUR,
        unused: false,
    };
    story.config.instances[0].vault_secrets = vec![secret("kv-demo"), secret("kv-other")];
    let clock = Arc::clone(&story.clock);
    let version = story.sim.with(|state| state.secret_versions("kv-other", "signalr")).unwrap().remove(0);
    let pinned =
        format!("@Microsoft.KeyVault(VaultName=kv-other;SecretName=signalr;SecretVersion={version})");
    let theirs = pinned.clone();
    story.sim.before("KeyVault_SetSecret", 1, move |state| {
        state.edit_setting("web", SETTING, Some(&theirs)).unwrap();
        // What was read before is too old to be written back by then.
        clock.advance(std::time::Duration::from_secs(2));
    });
    story.watch(6 * HOUR).await;
    let setting = |app: &str| story.sim.with(|state| state.settings(app)).unwrap()[SETTING].clone();
    let known = story.sim.with(|state| state.secret_versions("kv-other", "signalr")).unwrap();
    assert!(known.iter().any(|version| setting("web").contains(version)), "{}", setting("web"));
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    let known = story.sim.with(|state| state.secret_versions("kv-other", "signalr")).unwrap();
    assert_eq!(setting("web"), pinned.replace(&version, known.last().unwrap()), "and then it is followed");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}

/// One secret holds strings of two services, both of which are rotated at the same time; and one holds both keys of one.
#[tokio::test]
async fn a_secret_with_several_keys_is_rotated_as_a_whole() {
    let service = |name: &str, app: &str| SignalR {
        group: "rg-demo".into(),
        name: name.into(),
        apps: vec![app.into()],
        ..SignalR::default()
    };
    let of_two = r#"{"a": "{primary:sr-a}", "b": "{primary:sr-b}"}"#;
    let of_both = r#"{"first": "{primary:sr-a}", "second": "{secondary:sr-a}"}"#;
    let secrets = BTreeMap::from([
        ("of-two".to_owned(), Secret::new(of_two)),
        ("of-both".to_owned(), Secret::new(of_both)),
    ]);
    let world = World {
        signalr: vec![service("sr-a", "chat-web"), service("sr-b", "chat-func")],
        vaults: vec![Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets }],
        ..World::default()
    };
    let mut story = Story::of(world, Options::default()).await;
    let secret = |name: &str| SecretConfig {
        id: format!("https://kv-demo.vault.azure.net/secrets/{name}").parse().unwrap(),
        readers_within: HOUR,
        unused: false,
    };
    story.config.instances[0].vault_secrets = vec![secret("of-two"), secret("of-both")];
    story.config.instances[1].vault_secrets = vec![secret("of-two")];
    let valid = |story: &Story, name: &str, service: &str| {
        let value = story.sim.with(|state| state.secret("kv-demo", name)).unwrap();
        let read: BTreeMap<String, String> = serde_json::from_str(&value).unwrap();
        let keys = KeyType::ALL.map(|key_type| story.key(service, key_type));
        let of_service = read.values().filter(|value| value.contains(service));
        of_service.clone().count() > 0
            && of_service.clone().all(|value| keys.iter().any(|key| value.contains(key.expose())))
    };
    for round in ["rotated", "repaired"] {
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{round}: {reports:#?}");
        for (name, service) in [("of-two", "sr-a"), ("of-two", "sr-b"), ("of-both", "sr-a")] {
            assert!(valid(&story, name, service), "{round}: {name} {service}");
        }
        assert_eq!(story.sim.report().refused_unexplained, 0, "{round}");
        for service in ["sr-a", "sr-b"] {
            story.force(service, &KeyType::ALL).unwrap();
        }
    }
}
