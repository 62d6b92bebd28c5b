//! Apps that are given their connection string by App Configuration: through a reference in a setting, or because they read it
//! themselves when they start.

use std::collections::BTreeMap;
use std::time::Duration;

use super::common::{DAY, HOUR, MINUTE, Story};
use super::settled;
use embedded_azure::{
    AppConfiguration, BarrierKind, Fault, FaultKind, KeyValue, Options, Read, Secret, SignalR, Site, State,
    Vault, World,
};
use rekey_core::intent::Intent;
use rekey_core::model::{KeyType, KeyValueId};
use rekey_core::plan::{CutOff, Decision, Step};
use rekey_core::policy::FirstRotation;
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::KeyValueConfig;
use signalr_rekey::report::RunReport;
use signalr_rekey::report::text::snapshot::notes;

const SETTING: &str = "AzureSignalRConnectionString";
const KEY: &str = "signalr:chat";
const LABEL: Option<&str> = Some("Prod");
const REFERENCE: &str =
    "@Microsoft.AppConfiguration(Endpoint=https://store.azconfig.io; Key=signalr:chat; Label=Prod)";
const READ: &str = "Microsoft.AppConfiguration/configurationStores/keyValues/read";
const WRITE: &str = "Microsoft.AppConfiguration/configurationStores/keyValues/write";
const VAULT_REFERENCE: &str = "application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8";

fn site(name: &str, value: Option<&str>) -> Site {
    Site {
        group: "rg-demo".into(),
        name: name.into(),
        kind: "app,linux".into(),
        settings: value.map(|value| (SETTING.to_owned(), value.to_owned())).into_iter().collect(),
        ..Site::default()
    }
}

/// Two apps that refer to a key-value, one that reads it by an SDK, and one with a string of its own. The same key without the
/// label is none of ours.
fn world(references: [&str; 2]) -> World {
    let key_value = KeyValue {
        content_type: Some("text/plain".into()),
        tags: BTreeMap::from([("team".to_owned(), "chat".to_owned())]),
        ..KeyValue::new(KEY, LABEL, "{primary:sr-demo}")
    };
    let read = Read::KeyValue { store: "store".into(), key: KEY.into(), label: LABEL.map(Into::into) };
    World {
        signalr: vec![SignalR {
            group: "rg-demo".into(),
            name: "sr-demo".into(),
            apps: ["web", "func", "sdk", "own"].map(Into::into).to_vec(),
            ..SignalR::default()
        }],
        sites: vec![
            site("web", Some(references[0])),
            site("func", Some(references[1])),
            Site { reads: vec![read], ..site("sdk", None) },
            site("own", Some("{primary:sr-demo}")),
        ],
        app_configurations: vec![AppConfiguration {
            group: "rg-demo".into(),
            name: "store".into(),
            key_values: vec![key_value, KeyValue::new(KEY, None, "unlabelled")],
            access_key: None,
        }],
        ..World::default()
    }
}

async fn story_of(world: World, readers_within: Duration) -> Story {
    let mut story = Story::of(world, Options::default()).await;
    let service = &mut story.config.instances[0];
    let sdk = service.apps.iter().map(|app| app.id.clone()).find(|id| id.name() == "sdk");
    let id = KeyValueId::new("https://store.azconfig.io", KEY, LABEL).unwrap();
    let read_by = sdk.into_iter().collect();
    service.app_configuration = vec![KeyValueConfig { id, readers_within, read_by }];
    story
}

async fn story(readers_within: Duration) -> Story {
    story_of(world([REFERENCE, REFERENCE]), readers_within).await
}

fn value(story: &Story) -> String {
    story.sim.with(|state| state.key_value("store", KEY, LABEL)).unwrap()
}

/// Which key the key-value holds now.
fn in_the_store(story: &Story) -> KeyType {
    let value = value(story);
    let holds = |key_type: &KeyType| value.contains(story.key("sr-demo", *key_type).expose());
    KeyType::ALL.into_iter().find(holds).expect("the key-value holds a valid key")
}

fn nobody_was_refused(story: &Story, name: &str) {
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
}

fn told(reports: &[RunReport]) -> String {
    format!("{:?} {}", reports[0].lines(), reports[0].summary())
}

#[tokio::test]
async fn a_key_value_that_apps_refer_to_or_read_is_rotated_without_a_refused_call() {
    let story = story(HOUR).await;
    let before = story.key("sr-demo", KeyType::Primary);
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    nobody_was_refused(&story, "rotation");
    assert!(!value(&story).contains(before.expose()), "it was moved");
    in_the_store(&story);
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "both keys are new");
    assert_eq!(story.sim.with(|state| state.key_value("store", KEY, None)).unwrap(), "unlabelled");
    // Nobody writes without need. Those of which it was not on record with what they were started, were once more.
    let counts = || {
        ["AppConfiguration_PutKeyValue", "WebApps_UpdateApplicationSettings"].map(|one| story.requests(one))
    };
    assert_eq!(counts(), [1, 7]);
    story.watch(5 * HOUR).await;
    assert_eq!(counts(), [1, 7]);
    for app in ["web", "func", "sdk"] {
        let settings = story.sim.settings(app).unwrap();
        assert!(settings["REKEY_REFRESHED"].contains('@'), "{app}: {settings:?}");
        assert_eq!(settings.get(SETTING).map(String::as_str), (app != "sdk").then_some(REFERENCE), "{app}");
    }
}

#[tokio::test]
async fn who_is_given_a_key_value_is_repaired_after_a_forced_regeneration() {
    for known in [true, false] {
        let story = story(HOUR).await;
        if known {
            story.watch(DAY).await;
        }
        let held = in_the_store(&story);
        story.force("sr-demo", &[held]).unwrap();
        let reports = story.run(Intent::check(), 9 * MINUTE).await;
        assert!(reports.iter().all(|report| !report.ending.is_failure()), "{known}: {reports:#?}");
        in_the_store(&story);
        story.clock.advance(10 * MINUTE);
        let refused = story.refused();
        assert!(refused > 0, "{known}");
        story.watch(DAY).await;
        assert_eq!(story.refused(), refused, "{known}: nobody is refused once it is repaired");
        assert_eq!(story.sim.report().refused_unexplained, 0, "{known}");
    }
}

/// The worker dies when the key-value is written and no app was restarted: what is valid there is not what they have.
#[tokio::test]
async fn who_was_not_restarted_after_the_key_value_was_repaired_is_found() {
    let story = story(HOUR).await;
    story.watch(DAY).await;
    let held = in_the_store(&story);
    story.force("sr-demo", &[held]).unwrap();
    let update = "WebApps_UpdateApplicationSettings";
    story.sim.fault(Fault::new(update, FaultKind::ServerError).times(60));
    let reports = story.run(Intent::check(), 5 * MINUTE).await;
    assert!(reports[0].ending.is_failure(), "{reports:#?}");
    in_the_store(&story);
    story.sim.clear_faults();
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports.iter().all(|report| !report.ending.is_failure()), "{reports:#?}");
    story.clock.advance(10 * MINUTE);
    let refused = story.refused();
    story.watch(DAY).await;
    assert_eq!(story.refused(), refused);
}

#[tokio::test]
async fn the_key_that_was_left_lives_as_long_as_readers_that_nobody_sees() {
    for within in [Duration::ZERO, 24 * HOUR] {
        let story = story(within).await;
        // Beside the grace of two hours and a half.
        for regenerated in [0, 1] {
            story.watch(within + HOUR).await;
            assert_eq!(story.requests("SignalR_RegenerateKey"), regenerated, "{within:?}");
            story.watch(2 * HOUR).await;
            assert_eq!(story.requests("SignalR_RegenerateKey"), regenerated + 1, "{within:?}");
        }
        nobody_was_refused(&story, "bound");
    }
}

/// An editor changes another part of the value between our reading and our write: the write is refused, and made anew.
#[tokio::test]
async fn what_others_write_at_the_same_time_is_kept() {
    let story = story(HOUR).await;
    story.sim.before("AppConfiguration_PutKeyValue", 1, |state| {
        let value = state.key_value("store", KEY, LABEL).unwrap();
        state
            .set_key_value("store", KEY, LABEL, &format!("{value}ServerEndpoint=https://gw.example;"))
            .unwrap();
    });
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert!(value(&story).contains("ServerEndpoint=https://gw.example"), "the other's part is there");
    in_the_store(&story);
    assert_eq!(story.requests("AppConfiguration_PutKeyValue"), 2);
    nobody_was_refused(&story, "editor");
}

/// An editor puts the old string back while its key is still valid, and apps are started with it: they keep it alive.
#[tokio::test]
async fn who_is_started_with_what_an_editor_put_back_keeps_its_key_alive() {
    for restarted in [true, false] {
        let story = story(Duration::ZERO).await;
        let old = value(&story);
        story.watch(4 * HOUR).await;
        assert_eq!(
            story.requests("SignalR_RegenerateKey"),
            1,
            "the apps have been moved, and the grace runs"
        );
        assert_ne!(value(&story), old);
        let moved = value(&story);
        story.sim.with(|state| state.set_key_value("store", KEY, LABEL, &old)).unwrap();
        if restarted {
            for app in ["web", "func", "sdk"] {
                story.sim.edit_setting(app, "OTHER", Some("1")).unwrap();
            }
            story.clock.advance(MINUTE);
            story.sim.with(|state| state.set_key_value("store", KEY, LABEL, &moved)).unwrap();
        }
        let reports = story.watch(2 * DAY).await;
        assert!(settled(&reports), "{restarted}: {reports:#?}");
        nobody_was_refused(&story, "editor");
        in_the_store(&story);
    }
}

#[tokio::test]
async fn what_cannot_be_seen_or_written_of_a_key_value_blocks() {
    type Change = fn(&mut State);
    let cases: [(&str, Change, &str); 6] = [
        ("role", |state| state.deny("/", READ), READ),
        ("firewall", |state| state.bar("/", BarrierKind::StoreFirewall), "network rules"),
        (
            "locked",
            |state| state.lock_key_value("store", KEY, LABEL, true).unwrap(),
            "az appconfig kv unlock",
        ),
        (
            "deleted",
            |state| state.delete_key_value("store", KEY, LABEL).unwrap(),
            "no key-value with this key",
        ),
        ("not ours", |state| state.set_key_value("store", KEY, LABEL, "words").unwrap(), "holds no key"),
        (
            "key in a longer word",
            |state| {
                state.set_key_value("store", KEY, LABEL, "x{primaryKey:sr-demo}y {primary:sr-demo}").unwrap();
            },
            "cannot be put in its place",
        ),
    ];
    for (name, change, said) in cases {
        let story = story(HOUR).await;
        story.sim.with(change);
        let reports = story.watch(6 * HOUR).await;
        let told = told(&reports);
        assert!(reports[0].ending.is_failure(), "{name}: {told}");
        assert!(told.contains(said), "{name}: {told}");
        assert_eq!(story.requests("SignalR_RegenerateKey"), 0, "{name}");
        assert_eq!(story.requests("AppConfiguration_PutKeyValue"), 0, "{name}");
        assert_eq!(story.sim.report().refused_unexplained, 0, "{name}");
    }
}

/// Who may hold either key is not told as cut off, by all likelihood, where one of them changes: the key-value that it reads
/// holds the other, and always did.
#[tokio::test]
async fn a_reader_that_may_have_a_valid_key_is_told_as_one() {
    let mut story = story(HOUR).await;
    story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    story.sim.with(|state| state.lock_key_value("store", KEY, LABEL, true)).unwrap();
    story.sim.fault(Fault::new("WebApps_UpdateApplicationSettings", FaultKind::ServerError).times(1_000));
    story.tick().await;
    let other = in_the_store(&story).other();
    story.force("sr-demo", &[other]).unwrap();
    let is_perhaps = |who: &&CutOff| matches!(who, CutOff::AsLikelyNot(_));
    for reports in [story.repair().await, story.tick().await] {
        let cut_off = &reports[0].cut_off;
        assert_eq!((cut_off.len(), cut_off.iter().filter(is_perhaps).count()), (3, 3), "{cut_off:?}");
    }
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let cut_off = &story.repair().await[0].cut_off;
    assert!(cut_off.len() >= 3 && !cut_off.iter().any(|who| is_perhaps(&who)), "{cut_off:?}");
}

/// What forbids writing alone shows at the write: nobody is moved, and it goes on when it is allowed.
#[tokio::test]
async fn who_may_not_write_a_key_value_says_so_and_goes_on_when_he_may() {
    let story = story(HOUR).await;
    story.sim.with(|state| state.deny("/", WRITE));
    let reports = story.watch(6 * HOUR).await;
    assert!(reports[0].ending.is_failure() && told(&reports).contains(WRITE), "{}", told(&reports));
    nobody_was_refused(&story, "denied");
    story.sim.with(State::allow_all);
    let reports = story.watch(2 * DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    nobody_was_refused(&story, "allowed");
}

/// A token goes to stores alone: neither to a host that a setting names, nor to one that rekey.toml names.
#[tokio::test]
async fn a_reference_to_another_host_gets_no_token_and_blocks() {
    let elsewhere = REFERENCE.replace("store.azconfig.io", "store.azconfig.io.evil.example");
    for configured in [false, true] {
        let mut story = story_of(world([&elsewhere, REFERENCE]), HOUR).await;
        if configured {
            let id = KeyValueId::new("https://store.azconfig.io.evil.example", KEY, LABEL).unwrap();
            let other = KeyValueConfig { id, readers_within: HOUR, read_by: vec![] };
            story.config.instances[0].app_configuration.push(other);
        }
        let reports = story.watch(6 * HOUR).await;
        let told = told(&reports);
        assert!(reports[0].ending.is_failure(), "{told}");
        let said = if configured {
            "is not given a token"
        } else {
            "App Configuration reference that is not followed"
        };
        assert!(told.contains(said), "{told}");
        let asked = story.sim.requests();
        assert!(asked.iter().all(|request| !format!("{request:?}").contains("evil")), "{asked:?}");
        assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    }
}

/// A key-value that leads to a secret: the secret is rotated, and a version that the key-value names is replaced.
#[tokio::test]
async fn a_key_value_that_leads_to_a_secret_is_followed() {
    for pinned in [false, true] {
        let mut world = world([REFERENCE, REFERENCE]);
        let secrets = BTreeMap::from([("signalr".to_owned(), Secret::new("{primary:sr-demo}"))]);
        world.vaults = vec![Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets }];
        let uri = r#"{"uri":"https://kv-demo.vault.azure.net/secrets/signalr"}"#;
        let key_value = &mut world.app_configurations[0].key_values[0];
        (key_value.value, key_value.content_type) = (uri.into(), Some(VAULT_REFERENCE.into()));
        let story = story_of(world, HOUR).await;
        let versions = || story.sim.with(|state| state.secret_versions("kv-demo", "signalr")).unwrap();
        let with_version = |version: &str| uri.replace("signalr\"", &format!("signalr/{version}\""));
        if pinned {
            let first = with_version(versions().last().unwrap());
            story.sim.with(|state| state.set_key_value("store", KEY, LABEL, &first)).unwrap();
            for app in ["web", "func", "sdk"] {
                story.sim.edit_setting(app, "OTHER", Some("1")).unwrap();
            }
            story.clock.advance(10 * MINUTE);
        }
        let reports = story.watch(3 * DAY).await;
        assert!(settled(&reports), "{pinned}: {reports:#?}");
        nobody_was_refused(&story, "secret");
        let secret = story.sim.with(|state| state.secret("kv-demo", "signalr")).unwrap();
        assert!(KeyType::ALL.iter().any(|key| secret.contains(story.key("sr-demo", *key).expose())));
        assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "{pinned}");
        assert_eq!(story.requests("AppConfiguration_PutKeyValue"), usize::from(pinned));
        let wanted = if pinned { with_version(versions().last().unwrap()) } else { uri.to_owned() };
        assert_eq!(value(&story), wanted);
        // And it is repaired.
        story.force("sr-demo", &KeyType::ALL).unwrap();
        let reports = story.run(Intent::check(), 9 * MINUTE).await;
        assert!(reports.iter().all(|report| !report.ending.is_failure()), "{pinned}: {reports:#?}");
        story.clock.advance(10 * MINUTE);
        let refused = story.refused();
        story.watch(DAY).await;
        assert_eq!(story.refused(), refused, "{pinned}");
    }
}

/// An answer is lost, and with it whatever it would have told.
#[tokio::test]
async fn whichever_answer_is_lost_nobody_is_cut_off() {
    for operation in
        ["AppConfiguration_PutKeyValue", "AppConfiguration_GetKeyValue", "WebApps_UpdateApplicationSettings"]
    {
        for skipped in 0..3 {
            let story = story(HOUR).await;
            story.sim.fault(Fault::new(operation, FaultKind::TimeoutAfter).after(skipped).times(1));
            let reports = story.watch(2 * DAY).await;
            assert!(settled(&reports), "{operation} {skipped}: {reports:#?}");
            nobody_was_refused(&story, operation);
            in_the_store(&story);
        }
    }
}

/// A replica is behind: who does not bring back what the store has told is given what was there before.
#[tokio::test]
async fn apps_are_restarted_once_others_see_what_was_written() {
    let story = story(HOUR).await;
    story.watch(3 * HOUR).await;
    assert_eq!(story.requests("AppConfiguration_PutKeyValue"), 0, "the standby key's grace runs");
    story.sim.fault(Fault::new("AppConfiguration_GetKeyValue", FaultKind::Stale).times(6));
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    nobody_was_refused(&story, "replica");
    let all = story.sim.requests();
    let requests: Vec<&str> = all.iter().map(|request| request.operation).collect();
    let put = requests.iter().position(|one| *one == "AppConfiguration_PutKeyValue").unwrap();
    let restart = requests[put..].iter().position(|one| one.starts_with("WebApps_Update")).unwrap();
    let seen =
        requests[put..put + restart].iter().filter(|one| **one == "AppConfiguration_GetKeyValue").count();
    assert!(seen > 1, "it was asked until it was seen: {seen}");
}

/// A template that writes all settings takes ours away each night.
#[tokio::test]
async fn who_loses_what_was_noted_counts_as_a_holder_of_either_key_and_is_rotated_all_the_same() {
    let mut story = story(HOUR).await;
    story.config.instances[0].policy.rotate_every = 3 * DAY;
    for _ in 0..8 {
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{reports:#?}");
        for app in ["web", "func", "sdk"] {
            story.sim.edit_setting(app, "REKEY_REFRESHED", None).unwrap();
        }
    }
    nobody_was_refused(&story, "template");
    assert!(story.requests("SignalR_RegenerateKey") >= 4, "{}", story.requests("SignalR_RegenerateKey"));
}

/// There need be no app where the key is in a store alone.
#[tokio::test]
async fn a_service_without_an_app_is_rotated_in_its_store() {
    let mut story = story_of(world([REFERENCE, REFERENCE]), 24 * HOUR).await;
    for app in ["web", "func", "own"] {
        story.sim.edit_setting(app, SETTING, None).unwrap();
    }
    story.config.instances[0].apps.clear();
    story.config.instances[0].app_configuration[0].read_by.clear();
    let before = value(&story);
    let reports = story.watch(3 * DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_ne!(value(&story), before);
    in_the_store(&story);
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
}

/// An app with a string of its own and a reference, and one with the reference alone, which an earlier release could not follow:
/// both ended with an invalid key, or blocked. Both are rotated now, and nobody is told to allow an app to hold none.
#[tokio::test]
async fn an_app_configuration_reference_beside_a_string_or_alone_is_followed() {
    let mut world = world([REFERENCE, REFERENCE]);
    world.sites.truncate(2);
    world.signalr[0].apps.truncate(2);
    world.sites[0].settings.insert("REPORTS_SIGNALR".into(), "{primary:sr-demo}".into());
    // Nothing but the apps is configured: what they refer to is found.
    let story = Story::of(world, Options::default()).await;
    let reports = story.watch(3 * DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    in_the_store(&story);
    nobody_was_refused(&story, "reference");
    // And repaired.
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports.iter().all(|report| !report.ending.is_failure()), "{reports:#?}");
    story.clock.advance(10 * MINUTE);
    let refused = story.refused();
    story.watch(DAY).await;
    assert_eq!(story.refused(), refused);
}

/// Nothing that is configured refers to the key-value any more, and a machine that no list names reads it once a day: it is rotated
/// on, the operator is told, and what the machine took from it lives for its time.
#[tokio::test]
async fn a_key_value_whose_references_were_taken_out_is_rotated_on_and_its_readers_have_their_time() {
    let mut story = story(Duration::ZERO).await;
    assert!(settled(&story.watch(8 * HOUR).await), "the key-value is followed");
    let service = &mut story.config.instances[0];
    service.app_configuration.clear();
    service.apps.retain(|app| app.id.name() != "sdk");
    service.policy.rotate_every = 2 * DAY;
    let string = value(&story);
    for app in ["web", "func"] {
        story.sim.with(|state| state.edit_setting(app, SETTING, Some(&string))).unwrap();
    }
    let taken = in_the_store(&story);
    let key = story.key("sr-demo", taken);
    story.clock.advance(2 * DAY);
    let mut lived = Duration::ZERO;
    while lived < 4 * DAY && story.key("sr-demo", taken) == key {
        story.watch(HOUR).await;
        lived += HOUR;
    }
    assert!((DAY..3 * DAY).contains(&lived), "it had {lived:?}");
    assert!(!value(&story).contains(key.expose()), "what is read by then is the other key");
    in_the_store(&story);
    let deadline = story.order(Intent::timer(), HOUR).deadline;
    let preview = story.rekey().preview(&story.config.instances[0], deadline).await.unwrap();
    let told = signalr_rekey::report::text::snapshot::warnings(&preview.snapshot).join("\n");
    assert!(told.contains("any more"), "{told}");
    // Once it is gone, and the keys that it held are, it is forgotten.
    story.sim.with(|state| state.delete_key_value("store", KEY, LABEL)).unwrap();
    let reports = story.watch(8 * DAY).await;
    assert!(settled(&reports), "{}", self::told(&reports));
}

/// Whoever locks a key-value again after a rotation changes it, by all that shows: its readers count as holders of both keys until
/// they are restarted. No run has failed at anything, and that is what is told.
#[tokio::test]
async fn a_key_value_that_was_locked_and_unlocked_was_changed_and_no_run_is_blamed() {
    let mut story = story(Duration::ZERO).await;
    story.config.instances[0].policy.grace = 6 * HOUR;
    let moved = async |story: &Story| {
        for _ in 0..200 {
            story.tick().await;
            story.clock.advance(5 * MINUTE);
            if in_the_store(story) == KeyType::Secondary {
                return story.watch(HOUR).await;
            }
        }
        panic!("nobody was moved");
    };
    moved(&story).await;
    let preview = async || {
        let deadline = story.clock.now() + delta(MINUTE);
        story.rekey().preview(&story.config.instances[0], deadline).await.unwrap()
    };
    let before = preview().await;
    assert!(before.trouble().is_empty() && before.snapshot.given_before.is_empty(), "{before:#?}");
    for locked in [true, false] {
        story.sim.with(|state| state.lock_key_value("store", KEY, LABEL, locked)).unwrap();
    }
    story.clock.advance(15 * MINUTE);
    let after = preview().await;
    assert_eq!(after.trouble(), Vec::<String>::new());
    assert!(
        matches!(after.decision, Decision::Do(Step::Repoint { repair: false, .. })),
        "{:?}",
        after.decision
    );
    let notes = notes(&after.snapshot).join("\n");
    for app in ["web", "func", "sdk"] {
        assert!(notes.contains(&format!("after {app} was last given it")), "{notes}");
    }
    // A run that tries it and is refused is told.
    story.sim.fault(Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden).times(1000));
    story.tick().await;
    story.clock.advance(5 * MINUTE);
    let trouble = preview().await.trouble().join("\n");
    assert!(trouble.contains("did not manage to give the Secondary key"), "{trouble}");
    story.sim.clear_faults();
    story.tick().await;
    assert!(preview().await.snapshot.given_before.is_empty());
    nobody_was_refused(&story, "locked and unlocked");
}
