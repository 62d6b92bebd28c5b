//! What a setting's value may be: strings as Microsoft's SDK reads them, references, keys that cannot be replaced,
//! placeholders. What can be rewritten is; what cannot is named, before a key is forced and after it, and no run ends well
//! meanwhile.

use std::collections::BTreeMap;

use super::common::{HOUR, KEY_MARK, Story, app, document_name, two_services_of_one_app};
use super::settled;
use base64::Engine;
use embedded_azure::{Options, SignalR, Site, World};
use rekey_core::model::{AppId, KeyType};
use signalr_rekey::report::RunReport;
use signalr_rekey::store::Store;

const APP: &str = "shop";
/// The setting of the app that the simulated Azure gives a string to.
const ORDINARY: &str = "Azure__SignalR__ConnectionString";
const OURS: &str = "Endpoint=https://sr-one.service.signalr.net";

/// One instance; an app with an ordinary string, and one with these settings.
async fn story(settings: &[(&str, String)]) -> Story {
    let site = |name: &str, settings: BTreeMap<String, String>| Site {
        group: "rg".into(),
        name: name.into(),
        kind: "app".into(),
        settings,
        ..Site::default()
    };
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let instance = SignalR {
        group: "rg".into(),
        name: "sr-one".into(),
        apps: vec!["ordinary".into()],
        ..SignalR::default()
    };
    let world = World {
        signalr: vec![instance],
        sites: vec![site("ordinary", BTreeMap::new()), site(APP, settings)],
        ..World::default()
    };
    let mut story = Story::of(world, Options::default()).await;
    let id = AppId::new("00000000-0000-0000-0000-000000000001", "rg", APP, None);
    story.config.instances[0].apps.push(app(id));
    story
}

fn key(story: &Story, key_type: KeyType) -> String {
    story.key("sr-one", key_type).expose().to_owned()
}

/// A run that is over and did not end well, and that names all of this.
fn assert_names(reports: &[RunReport], names: &[&str]) {
    let said = format!("{} {:?}", reports[0].summary(), reports[0].lines());
    assert!(reports.iter().all(|report| report.ending.is_failure()), "it ended well: {said}");
    for name in names {
        assert!(said.contains(name), "{name} is not named: {said}");
    }
    assert!(!said.contains(KEY_MARK));
}

/// With this in a setting of an app nothing is regenerated, and after a forced regeneration of both keys the other app is
/// repaired, this is left as it is, and every run names it and does not end well: at once, a day later, and by notice.
async fn it_blocks_before_and_after(name: &str, value: &str, names: &[&str]) {
    let story = story(&[(name, value.to_owned())]).await;
    let value = story.sim.settings(APP).unwrap()[name].clone();
    assert_names(&story.watch(3 * HOUR).await, names);
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0, "{value}");
    story.force("sr-one", &KeyType::ALL).unwrap();
    assert_names(&story.repair().await, names);
    let held = story.held("ordinary", ORDINARY);
    assert!(
        KeyType::ALL.into_iter().any(|key_type| story.key("sr-one", key_type) == held),
        "repaired at once"
    );
    story.clock.advance(24 * HOUR);
    assert_names(&story.tick().await, names);
    assert_names(&story.repair().await, names);
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0, "{value}");
    assert_eq!(story.sim.settings(APP).unwrap()[name], value, "it is never overwritten");
}

#[tokio::test]
async fn every_string_that_the_sdk_would_use_is_rewritten_in_its_key_alone() {
    let strings = [
        ("Plain", "{o};AccessKey={k};Version=1.0;"),
        ("KeyBesideIdentity", "{o};AccessKey={k};AuthType=azure.msi;Version=1.0;"),
        ("KeyBehindIdentity", "{o};AuthType=aad; ACCESSKEY = {k} ;ClientId=c"),
        ("Preview", "{o};AccessKey={k};Version=1.0-preview;"),
        ("TrailingDot", "{o}.;AccessKey={k};Version=1.0;"),
        (
            "Gateway",
            "Endpoint=https://gw.example;ServerEndpoint=https://sr-one.service.signalr.net;AccessKey={k};",
        ),
        ("Port", "{o}:443/;Port=0443;AccessKey={k}\u{a0};other"),
        ("LongS", "{o};AccessKey={k};Acce\u{17f}\u{17f}Key=left;Version=1.12_x"),
    ];
    let written = |key: &str| -> BTreeMap<String, String> {
        let text = |text: &str| text.replace("{o}", OURS).replace("{k}", key);
        strings.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect()
    };
    let settings: Vec<(&str, String)> = strings
        .iter()
        .map(|(name, value)| (*name, value.replace("{o}", OURS).replace("{k}", "{primaryKey:sr-one}")))
        .collect();
    let story = story(&settings).await;
    assert_eq!(story.sim.settings(APP).unwrap(), written(&key(&story, KeyType::Primary)));
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    assert_eq!(story.sim.settings(APP).unwrap(), written(&key(&story, KeyType::Secondary)));
    assert_eq!(story.refused(), 0);

    story.force("sr-one", &KeyType::ALL).unwrap();
    let reports = story.repair().await;
    assert!(reports[0].ending.is_repaired(), "{reports:#?}");
    let after = story.sim.settings(APP).unwrap();
    assert!(
        KeyType::ALL.into_iter().any(|key_type| after == written(&key(&story, key_type))),
        "{:?}",
        after.keys()
    );
}

#[tokio::test]
async fn a_reference_blocks_by_the_name_of_its_setting() {
    for reference in [
        "@Microsoft.KeyVault(VaultName=v;SecretName=s)",
        "@microsoft.keyvault( SecretUri = https://v.vault.azure.net/secrets/s/ )",
        "@Microsoft.AppConfiguration(Endpoint=https://store.azconfig.io; Key=s; Label=prod)",
    ] {
        it_blocks_before_and_after(
            "AzureSignalRConnectionString",
            reference,
            &["AzureSignalRConnectionString", "refer"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_reference_blocks_by_the_name_of_what_it_leads_to() {
    for reference in [
        "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/shop-signalr/0123456789abcdef)",
        "@Microsoft.AppConfiguration(Endpoint=https://store.azconfig.io; Key=SignalR:Shop)",
    ] {
        it_blocks_before_and_after("HubConnection", reference, &["HubConnection", "refer"]).await;
    }
}

#[tokio::test]
async fn an_app_with_nothing_but_references_blocks_even_if_it_may_hold_none() {
    let reference = "@Microsoft.KeyVault(VaultName=v;SecretName=s)";
    it_blocks_before_and_after("HubConnection", reference, &["HubConnection"]).await;

    let mut story = story(&[("HubConnection", reference.to_owned())]).await;
    let app = &mut story.config.instances[0].apps[1];
    app.may_hold_none = true;
    assert_names(&story.tick().await, &["HubConnection"]);
    // Whoever knows what it needs says where that would be.
    story.config.instances[0].apps[1].settings = vec!["SignalR".into()];
    assert!(settled(&story.watch(6 * HOUR).await));
}

#[tokio::test]
async fn a_reference_to_something_else_beside_a_string_blocks_nothing() {
    let database = "@Microsoft.KeyVault(VaultName=v;SecretName=database)".to_owned();
    let story = story(&[("SignalR", "{primary:sr-one}".to_owned()), ("Database", database)]).await;
    assert!(settled(&story.watch(6 * HOUR).await));
    assert_eq!((story.requests("SignalR_RegenerateKey"), story.refused()), (2, 0));
}

/// What stands around it may belong to an escape, or to a name; and nobody writes into a reference.
#[tokio::test]
async fn a_key_that_cannot_be_replaced_for_sure_blocks_and_is_not_forgotten_once_it_is_invalid() {
    for (name, value) in [
        ("Percent", "%{primaryKey:sr-one}%"),
        ("Path", r"C:\{primaryKey:sr-one}"),
        ("Reference", "@Microsoft.KeyVault(VaultName=v;SecretName={primaryKey:sr-one})"),
    ] {
        it_blocks_before_and_after(name, value, &[name]).await;
    }
}

#[tokio::test]
async fn a_key_in_base64_blocks_and_is_not_forgotten_once_it_is_invalid() {
    let made = story(&[("A", "1".to_owned())]).await;
    let string = made.sim.settings("ordinary").unwrap()[ORDINARY].clone();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&string);
    for value in [base64.clone(), format!("{{\"data\":{{\"signalr\":\"{base64}\"}}}}")] {
        made.sim.edit_setting(APP, "A", Some(&value)).unwrap();
        assert_names(&made.tick().await, &["A of shop"]);
        assert_eq!(made.requests("SignalR_RegenerateKey"), 0, "{value}");
    }
    made.force("sr-one", &KeyType::ALL).unwrap();
    assert_names(&made.repair().await, &["A of shop"]);
    made.clock.advance(24 * HOUR);
    assert_names(&made.tick().await, &["A of shop"]);
}

#[tokio::test]
async fn a_placeholder_is_never_overwritten() {
    for value in [
        "%SIGNALR_KEY%",
        "@Microsoft.KeyVault(VaultName=v;SecretName=s)",
        "{key}",
        "$(SignalRKey)",
        "#{Key}#",
    ] {
        it_blocks_before_and_after(
            "Hub",
            &format!("{OURS};AccessKey={value};Version=1.0;"),
            &["Hub", "placeholder"],
        )
        .await;
    }
    it_blocks_before_and_after("AzureSignalRConnectionString", "%Elsewhere%", &["placeholder"]).await;
}

#[tokio::test]
async fn a_string_that_no_sdk_takes_is_told_as_not_valid() {
    for rest in ["Version=2.0", "Port=0", "accesskey=twice"] {
        let value = format!("{OURS};AccessKey={{primaryKey:sr-one}};{rest}");
        it_blocks_before_and_after("Hub", &value, &["Hub", "is not a valid connection string"]).await;
    }
}

#[tokio::test]
async fn identity_in_every_form_is_left_alone() {
    let settings = [
        ("AzureSignalRConnectionString__serviceUri", "https://sr-one.service.signalr.net".to_owned()),
        ("Bare", format!("{OURS};Version=1.0;")),
        ("Emptied", format!("{OURS};AccessKey=;AuthType=azure.msi;")),
    ];
    let story = story(&settings).await;
    let before = story.sim.settings(APP).unwrap();
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((story.sim.settings(APP).unwrap(), story.refused()), (before, 0));
}

/// Two instances share an app, and each finds the other's journal: a restore under the wrong name.
#[tokio::test]
async fn who_remembers_the_keys_of_another_service_does_not_write_into_its_strings() {
    let world = two_services_of_one_app();
    let story = Story::of(world, Options::default()).await;
    story.tick().await;
    let names = story.config.instances.iter().map(|one| document_name(&one.id)).collect::<Vec<_>>();
    let documents =
        [&names[0], &names[1]].map(|name| async { story.store.get(name).await.unwrap().document.unwrap() });
    let [one, two] = documents;
    let ((one, tag_one), (two, tag_two)) = (one.await, two.await);
    // As a document was before it named its service.
    let anonymous = |body: &[u8]| {
        let mut document: serde_json::Value = serde_json::from_slice(body).unwrap();
        document
            .as_object_mut()
            .unwrap()
            .retain(|name, _| ["version", "lease", "journal"].contains(&name.as_str()));
        serde_json::to_vec(&document).unwrap()
    };
    story.store.put(&names[0], anonymous(&two), Some(&tag_one)).await.unwrap();
    story.store.put(&names[1], anonymous(&one), Some(&tag_two)).await.unwrap();
    for _ in 0..4 {
        story.repair().await;
        let reports = story.tick().await;
        assert!(reports.iter().all(|report| report.ending.is_failure()), "{reports:#?}");
        for name in ["sr-one", "sr-two"] {
            let held = story.held("both", name);
            let is_valid = KeyType::ALL.into_iter().any(|key_type| story.key(name, key_type) == held);
            assert!(is_valid, "{name}: another service's key was written over a valid one");
        }
    }
    assert_eq!(story.refused(), 0);
}
