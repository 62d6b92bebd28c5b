//! What a vault refuses, as people meet it: each with its own words, and what to do.

use super::super::common::{DAY, HOUR, Story};
use super::super::settled;
use super::{
    BY_NAME, ConsumerId, Event, Intent, KeyType, MINUTE, NEWEST, everything_told, in_the_secret, story,
};
use embedded_azure::{BarrierKind, Denial, DeniedBy, Options, State};
use rekey_core::policy::FirstRotation;
use signalr_rekey::config::SecretConfig;

const SECRET: &str = "https://kv-demo.vault.azure.net/secrets/signalr";
const GET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
const LIST: &str = "Microsoft.KeyVault/vaults/secrets/readMetadata/action";

type Change = fn(&mut State);

fn by_policy(state: &mut State, action: &str) {
    state.deny_by(Denial { scope: "/".into(), action: action.into(), by: DeniedBy::AccessPolicy, app: None });
}

fn told(reports: &[signalr_rekey::report::RunReport]) -> String {
    format!("{:?}", reports[0].lines()) + &reports[0].summary()
}

/// Nothing is written or regenerated, nobody is cut off; and it goes on once it may.
async fn blocks_until(story: &Story, name: &str, said: &[&str], undone: Change) {
    let reports = story.watch(6 * HOUR).await;
    let told = told(&reports);
    assert!(reports[0].ending.is_failure(), "{name}: {told}");
    for words in said {
        assert!(told.contains(words), "{name}: {words} is not in {told}");
    }
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0, "{name}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
    story.sim.with(undone);
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{name}: {reports:#?}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "{name}");
    in_the_secret(story);
}

#[tokio::test]
async fn what_keeps_a_secret_from_being_read_is_told_in_its_own_words() {
    let cases: [(&str, Change, &[&str], Change); 6] = [
        (
            "role",
            |state| state.deny("/", GET),
            &["ForbiddenByRbac", "give the identity Microsoft.KeyVault/vaults/secrets/getSecret/action"],
            State::allow_all,
        ),
        (
            "policy",
            |state| by_policy(state, GET),
            &["AccessDenied", "does not have secrets get permission", "az keyvault set-policy"],
            State::allow_all,
        ),
        (
            "firewall",
            |state| state.bar("/", BarrierKind::VaultFirewall),
            &["ForbiddenByFirewall", "Client address: 192.0.2.10", "a subnet of its virtual network"],
            State::lift_barriers,
        ),
        (
            "private",
            |state| state.bar("/", BarrierKind::VaultPrivate),
            &["ForbiddenByConnection", "Public network access is disabled", "by a private endpoint"],
            State::lift_barriers,
        ),
        (
            "disabled",
            |state| state.enable_secret("kv-demo", "signalr", None, false).unwrap(),
            &["SecretDisabled", "enable the newest version of the secret"],
            |state| state.enable_secret("kv-demo", "signalr", None, true).unwrap(),
        ),
        (
            "deleted",
            |state| state.delete_secret("kv-demo", "signalr").unwrap(),
            &["SecretNotFound", "there is no such secret", "az keyvault secret recover"],
            |state| state.recover_secret("kv-demo", "signalr").unwrap(),
        ),
    ];
    for (name, change, said, undone) in cases {
        let story = story([NEWEST, BY_NAME], HOUR).await;
        story.sim.with(change);
        let said = [said, &[SECRET, "out of sight"]].concat();
        blocks_until(&story, name, &said, undone).await;
    }
}

/// What can be read and not written is found out by the first write, before which nothing was moved.
#[tokio::test]
async fn what_keeps_a_secret_from_being_written_is_told_in_its_own_words() {
    let story_of = || story([NEWEST, BY_NAME], HOUR);
    for (name, by) in [("role", DeniedBy::Role), ("policy", DeniedBy::AccessPolicy)] {
        let story = story_of().await;
        story.sim.with(|state| {
            state.deny_by(Denial { scope: "/".into(), action: SET.into(), by, app: None });
        });
        let reports = story.watch(10 * HOUR).await;
        let told = told(&reports);
        assert!(reports[0].ending.is_failure() && told.contains("cannot write the secret"), "{name}: {told}");
        assert!(told.contains(if name == "role" { SET } else { "az keyvault set-policy" }), "{name}: {told}");
        // The standby key is made, and nobody was moved to it.
        assert_eq!(story.requests("SignalR_RegenerateKey"), 1, "{name}");
        assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
        story.sim.with(State::allow_all);
        assert!(settled(&story.watch(DAY).await), "{name}");
        assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
    }
    // Who wrote at the same time cannot be looked for: that is said, and what was written counts by the next run.
    let story = story_of().await;
    story.sim.with(|state| state.deny("/", LIST));
    let all = everything_told(&story, 10 * HOUR).await;
    assert!(all.contains("cannot list the versions of the secret") && all.contains(LIST), "{all}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}

/// Key Vault gives an expired version to readers, and the next one lives as long as it did.
#[tokio::test]
async fn a_secret_that_has_expired_is_rotated_to_a_version_that_has_not() {
    let mut world = super::world([NEWEST, BY_NAME]);
    let start = super::super::common::start().timestamp();
    for secret in world.vaults[0].secrets.values_mut() {
        secret.exp = Some(start + 3600);
    }
    let mut story = Story::of(world, Options::default()).await;
    let id = SECRET.parse().unwrap();
    let readers_within = std::time::Duration::ZERO;
    story.config.instances[0].vault_secrets = vec![SecretConfig { id, readers_within, unused: false }];
    let lifetime = || story.sim.with(|state| state.secret_lifetime("kv-demo", "signalr")).unwrap();
    let first = lifetime();
    story.clock.advance(2 * HOUR);
    assert!(settled(&story.watch(8 * HOUR).await));
    assert_eq!(story.requests("KeyVault_SetSecret"), 1, "it was moved");
    assert!(first.is_some_and(|first| first > 0) && lifetime() == first, "{first:?} {:?}", lifetime());
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}

/// An app that refers to a secret that is disabled goes on with what the platform last fetched, and where nobody can tell which
/// key that is, it is as likely the one that did not change.
#[tokio::test]
async fn who_refers_to_a_disabled_secret_is_told_as_cut_off_only_perhaps() {
    let mut story = story([NEWEST, BY_NAME], HOUR).await;
    story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    story.tick().await;
    let other = in_the_secret(&story).other();
    story.sim.with(|state| state.enable_secret("kv-demo", "signalr", None, false)).unwrap();
    story.force("sr-demo", &[other]).unwrap();
    let said = story.repair().await[0].summary();
    for app in ["web", "func"] {
        assert!(said.contains(&format!("{app} (perhaps: ")), "{said}");
    }
    assert!(!said.contains("very likely"), "{said}");
}

/// Whom the run could not give a valid key is not told as repaired, and nothing of that is on record: what refers to a secret
/// has what that has.
#[tokio::test]
async fn who_refers_to_a_secret_that_could_not_be_repaired_is_told_as_cut_off() {
    type Change = fn(&mut State);
    let cases: [(&str, Change); 2] = [
        ("not written", |state| state.deny("/", SET)),
        ("disabled", |state| state.enable_secret("kv-demo", "signalr", None, false).unwrap()),
    ];
    for (name, change) in cases {
        let story = story([NEWEST, BY_NAME], HOUR).await;
        story.watch(DAY).await;
        story.sim.with(change);
        story.force("sr-demo", &KeyType::ALL).unwrap();
        for _ in 0..2 {
            let report = story.run(Intent::check(), 9 * MINUTE).await.pop().unwrap();
            let told = report.summary();
            let cut_off: Vec<String> =
                report.cut_off.iter().filter_map(|who| who.app()).map(ConsumerId::name).collect();
            for app in ["web", "func", "kv-demo/signalr"] {
                assert!(
                    cut_off.iter().any(|who| who == app),
                    "{name}: {app}: {told}\n{:?}\n{:?}",
                    report.seen,
                    story.journal().await.all_seen().collect::<Vec<_>>()
                );
            }
            assert!(!cut_off.iter().any(|who| who == "own"), "{name}: {told}");
            let repaired = told.split_once("(repaired in ").map_or("", |(_, repaired)| repaired);
            assert!(!repaired.contains("web") && !repaired.contains("func"), "{name}: {told}");
            for event in story.journal().await.history() {
                let Event::Repointed { apps, repaired: true, .. } = &event.event else { continue };
                // By the setting in which its string stands itself it was given one, which is no reference.
                assert!(name == "disabled" || apps.iter().all(|app| app.name() == "own"), "{name}: {apps:?}");
            }
        }
        story.sim.with(State::allow_all);
        story.sim.with(|state| state.enable_secret("kv-demo", "signalr", None, true).unwrap());
        let report = story.run(Intent::check(), 9 * MINUTE).await.pop().unwrap();
        let told = report.summary();
        // The platform fetches a secret that it found disabled anew by itself, in its own time: until then they are cut off.
        if name == "disabled" {
            assert!(told.contains("Key Vault secret kv-demo/signalr now holds"), "{told}");
        } else {
            assert!(report.cut_off.is_empty(), "{told}");
            assert!(told.contains("func, web, Key Vault secret kv-demo/signalr now hold"), "{told}");
        }
    }
}
