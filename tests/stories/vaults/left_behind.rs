//! Secrets that nothing leads to any more, and the readers of them that nobody sees.

use std::time::Duration;

use super::super::common::{DAY, HOUR, Story};
use super::super::settled;
use super::{BY_NAME, NEWEST, SETTING, in_the_secret, story};
use embedded_azure::{BarrierKind, State};
use rekey_core::model::{Key, KeyType};

/// Two apps refer to a secret, which a virtual machine reads as well, and then both are given a string of their own.
async fn left_behind() -> Story {
    let mut story = story([NEWEST, BY_NAME], Duration::ZERO).await;
    assert!(settled(&story.watch(8 * HOUR).await), "the secret is followed");
    // What is known of the readers is that which is taken for granted: nothing is configured any more.
    story.config.instances[0].vault_secrets.clear();
    for app in ["web", "func"] {
        let value = story.sim.with(|state| state.secret("kv-demo", "signalr")).unwrap();
        story.sim.with(|state| state.edit_setting(app, SETTING, Some(&value))).unwrap();
    }
    story
}

/// The key that the machine runs with, which it took from the secret just now.
fn of_the_machine(story: &Story) -> (KeyType, Key) {
    let key_type = in_the_secret(story);
    (key_type, story.key("sr-demo", key_type))
}

/// How long the service takes a key on, while the timer is at work.
async fn lives(story: &Story, (key_type, key): &(KeyType, Key), most: Duration) -> Duration {
    let mut lived = Duration::ZERO;
    while lived < most && story.key("sr-demo", *key_type) == *key {
        story.watch(HOUR).await;
        lived += HOUR;
    }
    lived
}

fn asks_for_a_rotation(story: &mut Story) {
    story.config.instances[0].policy.rotate_every = 2 * DAY;
}

#[tokio::test]
async fn a_secret_whose_references_were_taken_out_is_rotated_on_and_its_readers_have_their_time() {
    let mut story = left_behind().await;
    let machine = of_the_machine(&story);
    asks_for_a_rotation(&mut story);
    story.clock.advance(2 * DAY);
    let lived = lives(&story, &machine, 4 * DAY).await;
    assert!((DAY..3 * DAY).contains(&lived), "the machine reads the secret anew each day, and had {lived:?}");
    let now = of_the_machine(&story);
    assert_ne!(now.1, machine.1, "what the machine reads by then is the other key");
    let preview = story
        .rekey()
        .preview(&story.config.instances[0], story.order(rekey_core::intent::Intent::timer(), HOUR).deadline)
        .await
        .unwrap();
    let told = signalr_rekey::report::text::snapshot::warnings(&preview.snapshot).join("\n");
    assert!(told.contains("kv-demo.vault.azure.net/secrets/signalr any more"), "{told}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}

#[tokio::test]
async fn a_secret_that_was_left_behind_is_repaired_after_a_forced_regeneration() {
    let story = left_behind().await;
    story.watch(HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story.watch(HOUR).await;
    in_the_secret(&story);
}

/// What becomes of the secret itself takes nothing from its readers either: they go on with what it held.
#[tokio::test]
async fn who_took_a_key_from_a_secret_that_is_gone_has_its_time() {
    type Change = fn(&mut State);
    let gone: [(&str, Change); 3] = [
        ("deleted", |state| state.delete_secret("kv-demo", "signalr").unwrap()),
        ("of something else", |state| state.set_secret("kv-demo", "signalr", "Server=db").unwrap()),
        ("of identity", |state| {
            let string = "Endpoint=https://sr-demo.service.signalr.net;AuthType=azure.msi;Version=1.0;";
            state.set_secret("kv-demo", "signalr", string).unwrap();
        }),
    ];
    for (name, change) in gone {
        let mut story = left_behind().await;
        let machine = of_the_machine(&story);
        story.sim.with(change);
        let reports = story.watch(HOUR).await;
        assert!(settled(&reports), "{name}: {reports:#?}");
        asks_for_a_rotation(&mut story);
        story.clock.advance(2 * DAY);
        let lived = lives(&story, &machine, 4 * DAY).await;
        assert!((DAY..3 * DAY).contains(&lived), "{name}: {lived:?}");
        // And then it is forgotten: it is not asked about any more, and nobody waits for it.
        story.watch(HOUR).await;
        let asked = story.requests("KeyVault_GetSecret");
        story.watch(4 * HOUR).await;
        assert_eq!(story.requests("KeyVault_GetSecret"), asked, "{name}");
        assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
    }
}

/// Whether it still holds a key cannot be told, so it blocks; until a person says that nobody uses it.
#[tokio::test]
async fn a_secret_that_was_left_behind_and_is_out_of_sight_blocks_until_a_person_says_that_it_is_unused() {
    let mut story = left_behind().await;
    let machine = of_the_machine(&story);
    story.sim.with(|state| state.bar("/", BarrierKind::VaultFirewall));
    asks_for_a_rotation(&mut story);
    story.clock.advance(2 * DAY);
    let reports = story.watch(4 * HOUR).await;
    let told = format!("{:?}", reports[0].lines()) + &reports[0].summary();
    assert!(reports[0].ending.is_failure() && told.contains("unused = true"), "{told}");
    assert!(told.contains("https://kv-demo.vault.azure.net/secrets/signalr is out of sight"), "{told}");
    assert_eq!(story.key("sr-demo", machine.0), machine.1);

    let id = "https://kv-demo.vault.azure.net/secrets/signalr".parse().unwrap();
    let unused = signalr_rekey::config::SecretConfig { id, readers_within: DAY, unused: true };
    story.config.instances[0].vault_secrets = vec![unused];
    assert!(lives(&story, &machine, DAY).await < DAY, "nobody has to be waited for");
    assert!(settled(&story.watch(6 * HOUR).await));
    assert_eq!(story.sim.report().refused_unexplained, 0);
}

/// Who says so of a secret that an app refers to is not believed.
#[tokio::test]
async fn a_secret_that_an_app_refers_to_is_not_unused() {
    let mut story = story([NEWEST, BY_NAME], HOUR).await;
    story.config.instances[0].vault_secrets[0].unused = true;
    let before = of_the_machine(&story);
    assert!(settled(&story.watch(DAY).await));
    assert_ne!(of_the_machine(&story).1, before.1, "it was moved");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}
