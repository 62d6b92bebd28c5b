//! Apps and their settings: what changes in them, what never does, and who else writes them.

use super::common::{HOUR, Story, app, two_services_of_one_app};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use embedded_azure::{ConnectionStringEntry, Options, SignalR, Site, World};
use rekey_core::model::{AppId, KeyType};

#[tokio::test]
async fn an_app_that_appears_holds_back_the_regeneration_of_its_key() {
    let mut story = Story::new().await;
    story.watch(3 * HOUR).await;
    assert_eq!(all_hold(&story), SECONDARY, "the old key is within its grace");
    let old = story.sim.settings("chat-web").unwrap();
    let settings = [("SignalR".to_owned(), "{primary:sr-demo}".to_owned())].into();
    let site = Site {
        group: "rg-demo".into(),
        name: "late".into(),
        kind: "app".into(),
        settings,
        ..Site::default()
    };
    story.sim.with(|state| state.add_site(site)).unwrap();
    let late = AppId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "late", None);
    story.config.instances[0].apps.push(app(late));
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let held = story.held("late", "SignalR");
    assert!(KeyType::ALL.into_iter().any(|key_type| story.key("sr-demo", key_type) == held));
    assert_eq!(old.len(), story.sim.settings("chat-web").unwrap().len());
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn an_app_that_vanishes_stops_nothing() {
    let story = Story::new().await;
    story.sim.before("WebApps_UpdateApplicationSettings", 1, |state| state.delete_site("chat-func").unwrap());
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    assert!(reports[0].lines().iter().any(|line| line.contains("chat-func was deleted")), "{reports:#?}");
    assert_eq!(story.refused(), 0);
}

/// One app with every shape of consumer, and things that must stay as they are.
fn manifold() -> World {
    let string = "Endpoint=https://SR-ONE.service.signalr.net ; AccessKey={primaryKey:sr-one};\
                  ClientEndpoint=https://gateway.example.com;Version=1.0;";
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let site = Site {
        group: "rg".into(),
        name: "shop".into(),
        kind: "app".into(),
        settings: [
            setting("OTHER", "kept"),
            setting("EMPTY", ""),
            setting("SignalRBehindGateway", string),
            setting("CustomDomain", "Endpoint=https://chat.example.com;AccessKey={primaryKey:sr-one};"),
            setting(
                "Identity",
                "Endpoint=https://sr-one.service.signalr.net;AuthType=azure.msi;Version=1.0;",
            ),
            setting("Foreign", "Endpoint=https://other.service.signalr.net;AccessKey=foreign;Version=1.0;"),
            setting("DbPassword", "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/db/)"),
        ]
        .into(),
        connection_strings: [(
            "Azure:SignalR:ConnectionString".to_owned(),
            ConnectionStringEntry { value: "{primary:sr-one}".into(), kind: "Custom".into() },
        )]
        .into(),
        ..Site::default()
    };
    let instance = SignalR {
        group: "rg".into(),
        name: "sr-one".into(),
        apps: vec!["shop".into()],
        ..SignalR::default()
    };
    World { signalr: vec![instance], sites: vec![site], ..World::default() }
}

#[tokio::test]
async fn only_the_keys_of_the_instance_change_wherever_they_are() {
    let story = Story::of(manifold(), Options::default()).await;
    let before = story.sim.settings("shop").unwrap();
    let old = story.key("sr-one", PRIMARY);
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let new = story.key("sr-one", SECONDARY);
    let after = story.sim.settings("shop").unwrap();
    let expected = |value: &String| value.replace(old.expose(), new.expose());
    assert_eq!(after, before.iter().map(|(name, value)| (name.clone(), expected(value))).collect());
    let section = story.sim.connection_strings("shop").unwrap();
    let entry = &section["Azure:SignalR:ConnectionString"];
    assert!(entry.value.contains(new.expose()) && entry.kind == "Custom", "{:?}", entry.kind);
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_stale_string_behind_a_custom_domain_is_recognised_by_the_key_it_had() {
    let story = Story::of(manifold(), Options::default()).await;
    story.watch(6 * HOUR).await;
    story.force("sr-one", &KeyType::ALL).unwrap();
    story.repair().await;
    let held = story.held("shop", "CustomDomain");
    assert!(KeyType::ALL.into_iter().any(|key_type| story.key("sr-one", key_type) == held));
}

#[tokio::test]
async fn a_colleague_who_edits_settings_all_the_while_loses_nothing() {
    let story = Story::new().await;
    let lists = ["WebApps_ListApplicationSettings", "WebApps_ListConnectionStrings", "SignalR_ListKeys"];
    let mut names = Vec::new();
    for (operation, nth) in lists.into_iter().flat_map(|operation| (1..7).map(move |nth| (operation, nth))) {
        let name = format!("{operation}_{nth}");
        names.push(name.clone());
        story.sim.before(operation, nth, move |state| {
            state.edit_setting("chat-web", &name, Some("mine")).unwrap();
            state.edit_setting("chat-func", &name, Some("mine")).unwrap();
        });
    }
    // What comes between the list and the PUT of one app is lost to everybody (ARM has no ETag for settings); what
    // comes after its PUT is not.
    story.sim.after("WebApps_UpdateApplicationSettings", 2, move |state| {
        state.edit_setting("chat-web", "after_write", Some("mine")).unwrap();
        state.edit_setting("chat-func", "after_write", Some("mine")).unwrap();
    });
    names.push("after_write".to_owned());
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    all_hold(&story);
    let (web, func) = (story.sim.settings("chat-web").unwrap(), story.sim.settings("chat-func").unwrap());
    let done =
        names.iter().filter(|name| web.contains_key(*name) || func.contains_key(*name)).collect::<Vec<_>>();
    assert!(done.len() >= 12, "most hooks met their request: {done:?}");
    for name in done {
        assert_eq!(
            (web.get(name), func.get(name)),
            (Some(&"mine".to_owned()), Some(&"mine".to_owned())),
            "{name}"
        );
    }
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_colleague_who_writes_the_old_key_back_is_outdone_before_it_dies() {
    let story = Story::new().await;
    let old = story.sim.settings("chat-func").unwrap()["AzureSignalRConnectionString"].clone();
    story.sim.after("WebApps_UpdateApplicationSettings", 2, move |state| {
        state.edit_setting("chat-func", "AzureSignalRConnectionString", Some(&old)).unwrap();
    });
    let reports = story.watch(8 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    all_hold(&story);
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn two_instances_that_share_an_app_do_not_undo_each_other() {
    let world = two_services_of_one_app();
    let story = Story::of(world, Options::default()).await;
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    for name in ["sr-one", "sr-two"] {
        assert_eq!(story.held("both", name), story.key(name, SECONDARY));
        story.force(name, &[SECONDARY]).unwrap();
    }
    story.repair().await;
    for name in ["sr-one", "sr-two"] {
        assert_eq!(story.held("both", name), story.key(name, PRIMARY), "repaired side by side");
    }
    assert_eq!(story.requests("WebApps_UpdateApplicationSettings"), 4, "nothing was written twice");
}

#[tokio::test]
async fn a_key_vault_reference_that_leads_nowhere_is_reported_and_never_overwritten() {
    let reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/signalr/)";
    let mut world = World::default();
    let settings = [("AzureSignalRConnectionString".to_owned(), reference.to_owned())].into();
    world.sites.push(Site {
        group: "rg-demo".into(),
        name: "vaulted".into(),
        kind: "functionapp".into(),
        settings,
        ..Site::default()
    });
    let mut story = Story::of(world, Options::default()).await;
    let vaulted = AppId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "vaulted", None);
    story.config.instances[0].apps.push(app(vaulted));
    let reports = story.watch(4 * HOUR).await;
    assert!(reports[0].summary().contains("refers to a Key Vault secret"), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    assert_eq!(story.sim.settings("vaulted").unwrap()["AzureSignalRConnectionString"], reference);
}

#[tokio::test]
async fn our_own_site_is_written_last() {
    let mut story = Story::new().await;
    story.config.own_site = Some("CHAT-WEB".to_owned());
    story.watch(3 * HOUR).await;
    let writes: Vec<_> = story.sim.requests().into_iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(writes[0].resource, "chat-func");
    assert_eq!(writes.len(), 3);
}
