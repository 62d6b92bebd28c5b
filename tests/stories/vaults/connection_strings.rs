//! References in the connection-string section of apps.

use std::collections::BTreeMap;

use super::super::common::{DAY, HOUR, MINUTE, Story};
use super::super::settled;
use super::{BY_NAME, NEWEST};
use embedded_azure::{ConnectionStringEntry, Fault, FaultKind, Options, Secret, SignalR, Site, Vault, World};
use rekey_core::intent::Intent;
use rekey_core::model::KeyType;
use signalr_rekey::config::SecretConfig;

/// The name that the SDK for ASP.NET Core reads in that section.
const NAME: &str = "Azure:SignalR:ConnectionString";

fn entry(value: &str, kind: &str) -> ConnectionStringEntry {
    ConnectionStringEntry { value: value.into(), kind: kind.into() }
}

/// A site with a slot, whose connection strings refer to a secret; and a site that refers to one secret in its settings and
/// to another by the same name in its connection strings.
fn world() -> World {
    let site = |name: &str, slots: &[&str], settings: &[(&str, &str)], strings: &[(&str, &str)]| Site {
        group: "rg-demo".into(),
        name: name.into(),
        kind: "app,linux".into(),
        slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        connection_strings: strings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), entry(value, "Custom")))
            .chain([("Db".to_owned(), entry("Server=db;Password=p", "SQLAzure"))])
            .collect(),
        ..Site::default()
    };
    let of_both = [("AzureSignalR", "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=signalr-two)")];
    let secrets = ["signalr", "signalr-two"].map(|name| (name.to_owned(), Secret::new("{primary:sr-demo}")));
    World {
        signalr: vec![SignalR { group: "rg-demo".into(), name: "sr-demo".into(), ..SignalR::default() }],
        sites: vec![
            site("web", &["staging"], &[], &[(NAME, NEWEST)]),
            site("both", &[], &of_both, &[("AzureSignalR", BY_NAME)]),
        ],
        vaults: vec![Vault {
            group: "rg-demo".into(),
            name: "kv-demo".into(),
            secrets: BTreeMap::from(secrets),
        }],
        ..World::default()
    }
}

async fn story() -> Story {
    let mut story = Story::of(world(), Options::default()).await;
    let within = |name: &str| SecretConfig {
        id: format!("https://kv-demo.vault.azure.net/secrets/{name}").parse().unwrap(),
        readers_within: HOUR,
        unused: false,
    };
    story.config.instances[0].vault_secrets = ["signalr", "signalr-two"].map(within).to_vec();
    story
}

fn newest(story: &Story, secret: &str) -> String {
    story.sim.with(|state| state.secret_versions("kv-demo", secret)).unwrap().pop().unwrap()
}

#[tokio::test]
async fn connection_strings_that_refer_to_secrets_are_rotated_without_a_refused_call() {
    let story = story().await;
    let apps = ["web", "web/staging", "both"];
    let configured = story.config.instances[0].apps.len();
    assert_eq!(configured, apps.len(), "each is taken for an app of the service by what it refers to");
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "both keys are new");
    for app in apps {
        let strings = story.sim.with(|state| state.connection_strings(app)).unwrap();
        assert_eq!(strings["Db"], entry("Server=db;Password=p", "SQLAzure"), "{app}");
        // What the platform was made to fetch stands beside the reference, which itself is as it was.
        let refreshed = &strings["REKEY_REFRESHED"];
        let version = newest(&story, "signalr");
        assert!(refreshed.kind == "Custom" && refreshed.value.contains(&version), "{app}");
    }
    let strings = story.sim.with(|state| state.connection_strings("web")).unwrap();
    assert_eq!(strings[NAME], entry(NEWEST, "Custom"));
    let settings = story.sim.with(|state| state.settings("both")).unwrap();
    assert!(settings["REKEY_REFRESHED"].contains(&newest(&story, "signalr-two")), "not that of its namesake");
    // Nobody writes without need: each secret once, for the one move, and each dictionary for it and once before, to make sure
    // of what the processes run with.
    let writes = |slot| {
        story.requests(&format!("WebApps_UpdateConnectionStrings{slot}"))
            + story.requests(&format!("WebApps_UpdateApplicationSettings{slot}"))
    };
    assert_eq!((writes(""), writes("Slot"), story.requests("KeyVault_SetSecret")), (6, 2, 2));
}

#[tokio::test]
async fn connection_strings_that_refer_to_a_secret_are_repaired_after_a_forced_regeneration() {
    let story = story().await;
    story.watch(DAY).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports.iter().all(|report| report.ending.is_answered()), "{reports:#?}");
    story.clock.advance(5 * MINUTE);
    let refused = story.refused();
    assert!(refused > 0);
    story.watch(HOUR).await;
    assert_eq!(story.refused(), refused, "nobody is refused once it is repaired");
}

#[tokio::test]
async fn a_pinned_reference_in_a_connection_string_is_made_to_name_the_new_version() {
    let story = story().await;
    let first = newest(&story, "signalr");
    let pinned =
        format!("@Microsoft.KeyVault(SecretUri=https://kv-demo.vault.azure.net/secrets/signalr/{first})");
    story.sim.with(|state| state.edit_connection_string("web", NAME, Some(&pinned))).unwrap();
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    let strings = story.sim.with(|state| state.connection_strings("web")).unwrap();
    let version = newest(&story, "signalr");
    assert_ne!(version, first);
    assert_eq!(strings[NAME], entry(&pinned.replace(&first, &version), "Custom"));
}

#[tokio::test]
async fn whichever_answer_about_connection_strings_is_lost_nobody_is_cut_off() {
    for operation in ["WebApps_UpdateConnectionStrings", "WebApps_UpdateConnectionStringsSlot"] {
        for kind in [FaultKind::TimeoutAfter, FaultKind::Swallowed, FaultKind::Conflict] {
            let story = story().await;
            story.sim.fault(Fault::new(operation, kind).times(1));
            let reports = story.watch(2 * DAY).await;
            assert!(settled(&reports), "{operation} {kind:?}: {reports:#?}");
            let refused = (story.refused(), story.sim.report().refused_unexplained);
            assert_eq!(refused, (0, 0), "{operation} {kind:?}");
        }
    }
}

/// What the platform tells of the references cannot be read: the app may run with either key.
#[tokio::test]
async fn what_cannot_be_seen_of_references_in_connection_strings_blocks() {
    let story = story().await;
    let action = "Microsoft.Web/sites/slots/config/Read";
    story.sim.with(|state| state.deny("/", action));
    let reports = story.watch(6 * HOUR).await;
    let told = format!("{:?}", reports[0].lines()) + &reports[0].summary();
    assert!(reports[0].ending.is_failure() && told.contains(action), "{told}");
    assert!(told.contains("connection strings of web/staging"), "{told}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    assert_eq!(story.sim.report().refused_unexplained, 0);
}
