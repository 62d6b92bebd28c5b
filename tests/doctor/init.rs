//! The file that `init` writes.

use embedded_azure::{
    AppConfiguration, Fault, FaultKind, KeyValue, Options, Secret, SignalR, Site, Vault, World,
};
use rekey_core::model::{AppId, KeyType, ServiceId};
use signalr_rekey::azure::arm::Arm;
use signalr_rekey::config::{AppConfig, Config, Environment, load_from};
use signalr_rekey::init::{Found, Named, Scope, write};

use super::common::{KEY_MARK, Story};
use super::{GROUP, instance, site};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

fn arm(story: &Story) -> Arm {
    story.rekey().arm
}

async fn found(story: &Story) -> Found {
    let arm = arm(story);
    let found = Found::look(&arm, Scope::find(&arm, None, None).await.unwrap()).await.unwrap();
    assert!(!format!("{found:?}").contains(KEY_MARK));
    found
}

fn read(text: &str) -> Config {
    assert!(!text.contains(KEY_MARK) && !text.contains("AccessKey="), "{text}");
    load_from(text, "rekey.toml", &Environment::default()).unwrap()
}

/// What a configuration names, in an order of its own.
fn named(config: &Config) -> Vec<(ServiceId, Vec<AppId>)> {
    let apps = |apps: &[AppConfig]| {
        let mut apps: Vec<AppId> = apps.iter().map(|app| app.id.clone()).collect();
        apps.sort();
        apps
    };
    let mut all: Vec<_> = config.instances.iter().map(|one| (one.id.clone(), apps(&one.apps))).collect();
    all.sort();
    all
}

#[tokio::test]
async fn it_loads_and_names_what_the_world_holds() {
    let second = SignalR {
        group: "rg-two".into(),
        name: "sr-two".into(),
        apps: vec!["chat-web".into()],
        ..SignalR::default()
    };
    let mut world = World::default();
    world.signalr.push(second);
    let story = Story::of(world, Options::default()).await;
    let text = write(&found(&story).await).unwrap();
    assert_eq!(named(&read(&text)), named(&story.config));
}

#[tokio::test]
async fn a_group_is_taken_by_name_and_by_id() {
    let story = Story::new().await;
    let arm = arm(&story);
    let upper = GROUP.to_uppercase();
    for (group, subscription) in
        [("rg-demo", None), (GROUP, None), (&upper, Some(SUBSCRIPTION)), ("RG-DEMO", Some(SUBSCRIPTION))]
    {
        let scope = Scope::find(&arm, Some(group), subscription).await.unwrap();
        let found = Found::look(&arm, scope).await.unwrap();
        assert_eq!(found.services[0].apps.len(), 3, "{group}");
    }
    for (group, subscription) in
        [("/subscriptions/s", None), (GROUP, Some("another")), ("a?b", None), ("", None)]
    {
        assert!(Scope::find(&arm, Some(group), subscription).await.is_err(), "{group:?}");
    }
}

#[tokio::test]
async fn an_app_that_may_not_be_read_is_named_so_that_it_blocks() {
    let story = Story::new().await;
    story.sim.with(|state| state.deny(&site("chat-func"), "Microsoft.Web/sites/config/list/Action"));
    let found = found(&story).await;
    let mention = format!("{} may hold one: it could not be read: ", site("chat-func"));
    let text = write(&found).unwrap();
    assert!(text.contains(&format!("# {mention}")), "{text}");
    assert!(found.summary().iter().any(|line| line.starts_with(&mention)), "{:?}", found.summary());
    assert!(text.contains("  # it could not be read, and is named so that it blocks"), "{text}");
    assert_eq!(named(&read(&text)), named(&story.config), "left out, it would be cut off");
}

#[tokio::test]
async fn slots_that_may_not_be_listed_are_mentioned() {
    let story = Story::new().await;
    story.sim.with(|state| state.deny(&site("chat-web"), "Microsoft.Web/sites/slots/Read"));
    let text = write(&found(&story).await).unwrap();
    assert!(text.contains(&format!("# {}/slots may hold one", site("chat-web"))), "{text}");
    assert_eq!(read(&text).instances[0].apps.len(), 2);
}

#[tokio::test]
async fn an_app_with_a_reference_that_may_be_ours_is_named_and_others_stand_in_comments() {
    let setting = "AzureSignalRConnectionString";
    for (name, reference, is_named) in [
        (setting, "@Microsoft.KeyVault(VaultName=v;SecretName=s)", true),
        (setting, "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=s)", true),
        ("Hub", "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/signalr-chat/)", true),
        ("Hub", "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=SignalR:Chat)", true),
        ("Hub", "@Microsoft.KeyVault(VaultName=v;SecretName=s)", false),
    ] {
        let story = Story::new().await;
        story.sim.edit_setting("chat-func", setting, None).unwrap();
        story.sim.edit_setting("chat-func", name, Some(reference)).unwrap();
        let text = write(&found(&story).await).unwrap();
        assert_eq!(read(&text).instances[0].apps.len(), if is_named { 3 } else { 2 }, "{reference}: {text}");
        let mention = match (is_named, reference.starts_with("@Microsoft.KeyVault")) {
            (true, true) => {
                format!("  # {name} refers to the Key Vault secret https://v.vault.azure.net/secrets/s")
            }
            (true, false) => {
                format!("  # {name} refers to the key-value https://s.azconfig.io/kv/")
            }
            (false, _) => "# /subscriptions".to_owned(),
        };
        assert!(text.contains(&mention) && text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn what_the_operator_should_know_of_an_instance_stands_in_comments() {
    let story = Story::new().await;
    story.sim.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
    let text = write(&found(&story).await).unwrap();
    assert!(text.contains("# access keys are disabled"), "{text}");
}

#[tokio::test]
async fn an_app_with_a_key_in_any_text_is_named_and_one_where_it_cannot_be_replaced_so_that_it_blocks() {
    let story = Story::new().await;
    let key = story.key("sr-demo", KeyType::Primary);
    for (value, says) in [
        (format!("key={}", key.expose()), "app setting AzureSignalRConnectionString holds the Primary key"),
        (format!("%{}%", key.expose()), "AzureSignalRConnectionString of chat-func holds a key"),
    ] {
        story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(&value)).unwrap();
        let text = write(&found(&story).await).unwrap();
        assert!(text.contains(&format!("  # {says}")), "{text}");
        assert_eq!(read(&text).instances[0].apps.len(), 3);
    }
}

#[tokio::test]
async fn without_the_keys_apps_are_recognised_by_the_host() {
    let story = Story::new().await;
    story.sim.with(|state| state.deny(&instance(), "*/listkeys/action"));
    let text = write(&found(&story).await).unwrap();
    assert!(text.contains("# its keys could not be listed"), "{text}");
    assert!(!text.contains("holds a stale key"), "{text}");
    assert_eq!(read(&text).instances[0].apps.len(), 3);
}

#[tokio::test]
async fn an_instance_without_apps_is_a_comment_and_nothing_at_all_is_no_file() {
    let mut world = World::default();
    world.signalr.push(SignalR { group: "rg-demo".into(), name: "sr-alone".into(), ..SignalR::default() });
    let story = Story::of(world, Options::default()).await;
    let text = write(&found(&story).await).unwrap();
    assert!(text.contains("# no app was found that holds a connection string of"), "{text}");
    assert_eq!(read(&text).instances.len(), 1);

    for app in ["chat-web", "chat-func"] {
        story.sim.delete_site(app).unwrap();
    }
    assert!(write(&found(&story).await).is_none());
}

#[tokio::test]
async fn an_app_in_another_group_is_found_for_the_instance_of_a_group() {
    let mut world = World::default();
    let settings = [("Hub".to_owned(), "{primary:sr-demo}".to_owned())].into();
    let far = |name: &str, settings| Site {
        group: "rg-other".into(),
        name: name.into(),
        kind: "app".into(),
        settings,
        ..Site::default()
    };
    world.sites.extend([far("far", settings), far("farther", std::collections::BTreeMap::default())]);
    let story = Story::of(world, Options::default()).await;
    let far = site("farther").replace("rg-demo", "rg-other");
    story.sim.with(|state| state.deny(&far, "Microsoft.Web/sites/config/list/Action"));
    let arm = arm(&story);
    let look = || async {
        Found::look(&arm, Scope::find(&arm, Some("rg-demo"), None).await.unwrap()).await.unwrap()
    };
    let found = look().await;
    let text = write(&found).unwrap();
    let apps: Vec<String> = read(&text).instances[0].apps.iter().map(|app| app.id.name()).collect();
    assert!(apps.contains(&"far".to_owned()), "{text}");
    assert!(
        !apps.contains(&"farther".to_owned()) && text.contains(&format!("# {far} may hold one")),
        "{text}"
    );
    assert!(found.summary()[0].contains("(rg-demo, rg-other): 5 apps and slots"), "{:?}", found.summary());

    story.sim.fault(Fault::new("WebApps_List", FaultKind::Forbidden));
    let found = look().await;
    let told = found.summary().join("\n");
    assert!(
        told.contains(&format!("an app in another group of /subscriptions/{SUBSCRIPTION} may hold one")),
        "{told}"
    );
    assert_eq!(read(&write(&found).unwrap()).instances[0].apps.len(), 3);
}

/// What no app refers to is found by what it holds, where its vault or store is named.
#[tokio::test]
async fn secrets_and_key_values_that_no_app_refers_to_are_found_where_they_are_kept() {
    let mut world = World::default();
    let secret = |value: &str| Secret::new(value);
    let disabled = Secret { enabled: false, ..Secret::new("{primary:sr-demo}") };
    let secrets = [
        ("followed".to_owned(), secret("{primary:sr-demo}")),
        ("partner".to_owned(), secret("{secondaryKey:sr-demo}")),
        ("other".to_owned(), secret("nothing of ours")),
        ("disabled".to_owned(), disabled),
    ];
    world.vaults.push(Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets: secrets.into() });
    world.app_configurations.push(AppConfiguration {
        group: "rg-demo".into(),
        name: "cs-demo".into(),
        key_values: vec![
            KeyValue::new("chat:\"signalr\"", Some("prod"), "{primary:sr-demo}"),
            KeyValue::new("greeting", None, "hello"),
        ],
        access_key: None,
    });
    let options = Options { page_size: 1, ..Options::default() };
    let story = Story::of(world, options).await;
    let reference = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=followed)";
    story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    let arm = arm(&story);
    let look = async |vaults: &[&str], stores: &[&str]| {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let named = Named::read(&names(vaults), &names(stores)).unwrap();
        let scope = Scope::find(&arm, None, None).await.unwrap().and(named);
        let found = Found::look(&arm, scope).await.unwrap();
        assert!(!format!("{found:?}").contains(KEY_MARK));
        found
    };
    let text = write(&look(&["kv-demo"], &["cs-demo"]).await).unwrap();
    let config = read(&text);
    let service = &config.instances[0];
    let secrets: Vec<String> = service.vault_secrets.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(secrets, ["https://kv-demo.vault.azure.net/secrets/partner"], "{text}");
    let [key_value] = &service.app_configuration[..] else { panic!("{text}") };
    assert_eq!((key_value.id.key(), key_value.id.label()), ("chat:\"signalr\"", Some("prod")));
    let day = std::time::Duration::from_secs(24 * 3600);
    assert!(service.vault_secrets[0].readers_within == day && key_value.readers_within == day, "{text}");
    assert!(text.contains("  # it holds the Secondary key"), "{text}");
    assert!(text.contains("  # who reads it is not known"), "{text}");
    // Unnamed, nobody looks there.
    let unasked = read(&write(&look(&[], &[]).await).unwrap());
    assert!(
        unasked.instances[0].vault_secrets.is_empty() && unasked.instances[0].app_configuration.is_empty()
    );

    // What could not be looked through is no good end.
    assert_eq!(look(&["kv-demo"], &["cs-demo"]).await.lacks(), None);
    story.sim.with(|state| {
        state.deny("/", "Microsoft.KeyVault/vaults/secrets/readMetadata/action");
        state.deny("/", "Microsoft.AppConfiguration/configurationStores/keyValues/read");
    });
    let found = look(&["kv-demo"], &["cs-demo"]).await;
    for what in
        ["a secret of the vault kv-demo may hold one", "a key-value of the store cs-demo may hold one"]
    {
        assert!(found.summary().iter().any(|line| line.starts_with(what)), "{:?}", found.summary());
    }
    assert!(found.lacks().is_some_and(|why| why.contains("vaults and stores")), "{found:?}");

    // A secret that may not be read may hold the key in use: it is named, so that it blocks.
    story.sim.with(embedded_azure::State::allow_all);
    let partner = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
    story.sim.with(|state| state.deny("/", partner));
    let found = look(&["kv-demo"], &[]).await;
    assert!(found.lacks().is_some(), "{found:?}");
    let text = write(&found).unwrap();
    assert!(text.contains("  # it could not be read, and is named so that it blocks"), "{text}");
    let config = read(&text);
    let named: Vec<&str> = config.instances[0].vault_secrets.iter().map(|one| one.id.name()).collect();
    assert!(named.contains(&"partner") && !named.contains(&"followed"), "{text}");
}
