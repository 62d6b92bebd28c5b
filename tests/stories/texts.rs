//! Keys that stand in texts which are no connection strings: rotated and repaired as those in strings are, and nothing else
//! of a text is changed.

use std::collections::BTreeMap;

use super::common::{HOUR, MINUTE, Story, ours};
use super::{PRIMARY, SECONDARY, settled};
use embedded_azure::{Options, SignalR, Site, World};
use rekey_core::model::KeyType;

const APP: &str = "shop";

/// Services, and an app of all of them with these settings.
async fn story(services: &[&str], settings: &[(&str, &str)]) -> Story {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Story::of(world(services, vec![site(APP, settings)]), Options::default()).await
}

fn world(services: &[&str], sites: Vec<Site>) -> World {
    let service = |name: &&str| SignalR {
        group: "rg".into(),
        name: (*name).into(),
        apps: sites.iter().map(|site| site.name.clone()).collect(),
        ..SignalR::default()
    };
    World { signalr: services.iter().map(service).collect(), sites, ..World::default() }
}

fn site(name: &str, settings: BTreeMap<String, String>) -> Site {
    Site { group: "rg".into(), name: name.into(), kind: "app".into(), settings, ..Site::default() }
}

fn settings(story: &Story) -> BTreeMap<String, String> {
    story.sim.settings(APP).unwrap()
}

/// The settings as they are, but for keys, which become others.
fn with(before: &BTreeMap<String, String>, keys: &[(&str, &str)]) -> BTreeMap<String, String> {
    let changed =
        |value: &String| keys.iter().fold(value.clone(), |value, (from, to)| value.replace(from, to));
    before.iter().map(|(name, value)| (name.clone(), changed(value))).collect()
}

/// Every app of a service signs with valid keys, by what the embedded Azure knows, and at least with one.
fn assert_well(story: &Story, app: &str, services: &[&str]) {
    let signs = story.sim.with(|state| state.signs(app)).unwrap();
    for service in services {
        let mut keys = signs.iter().filter(|(of, _)| of == service).peekable();
        assert!(keys.peek().is_some(), "{app} does not sign for {service}");
        assert!(keys.all(|(_, valid)| valid.is_some()), "{app} signs for {service} with {signs:?}");
    }
}

/// Nobody is refused any more.
fn assert_no_open_outage(story: &Story) {
    story.clock.advance(MINUTE);
    let report = story.sim.report();
    let apps = report.instances.values().flat_map(|service| &service.apps);
    let open: Vec<_> =
        apps.filter(|(_, app)| app.outages.iter().any(|outage| outage.open)).map(|(name, _)| name).collect();
    assert!(open.is_empty(), "{open:?}");
}

/// One name each, as people write them.
const TEXTS: [(&str, &str); 9] = [
    ("SIGNALR_ENDPOINT", "https://sr-one.service.signalr.net"),
    ("SIGNALR_ACCESS_KEY", "{primaryKey:sr-one}"),
    (
        "Options",
        r#"{"hub":"shop","endpoint":"https://sr-one.service.signalr.net","accessKey":"{primaryKey:sr-one}"}"#,
    ),
    ("Json", r#"{"hub":"shop","connectionString":"{primary:sr-one}"}"#),
    ("Quoted", "\"{primary:sr-one}\""),
    ("Two", "{primary:sr-one}|{primary:sr-one}"),
    ("DotEnv", "A=1\nSIGNALR={primary:sr-one}\nSIGNALR_KEY='{primaryKey:sr-one}'\nB=%PATH%\n"),
    ("Twice", "{primary:sr-one}Backup={primaryKey:sr-one};"),
    (
        "Yaml",
        "signalr:\n  key: {primaryKey:sr-one}\n  password: \"@Microsoft.KeyVault(VaultName=v;SecretName=s)\"",
    ),
];

#[tokio::test]
async fn every_text_is_rotated_without_a_refused_call_and_repaired_in_its_keys_alone() {
    let story = story(&["sr-one"], &TEXTS).await;
    let before = settings(&story);
    let old = story.key("sr-one", PRIMARY);
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let new = story.key("sr-one", SECONDARY);
    assert_eq!(settings(&story), with(&before, &[(old.expose(), new.expose())]));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "the standby key, and the one that was left");
    assert_eq!(story.requests("WebApps_UpdateApplicationSettings"), 1, "all of them in one write");
    assert_eq!(story.refused(), 0);

    story.force("sr-one", &KeyType::ALL).unwrap();
    let reports = story.repair().await;
    assert!(reports[0].ending.is_repaired(), "{reports:#?}");
    let after = settings(&story);
    let is_of = |key_type| {
        let key = story.key("sr-one", key_type);
        after == with(&before, &[(old.expose(), key.expose())])
    };
    assert!(KeyType::ALL.into_iter().any(is_of), "{:?}", after.keys());
    assert_well(&story, APP, &["sr-one"]);
    assert!(settled(&story.watch(HOUR).await));
    assert_no_open_outage(&story);
}

#[tokio::test]
async fn an_escaped_key_is_rotated_and_repaired() {
    let story = story(&["sr-one"], &[("Json", "{primary:sr-one}"), ("Url", "{primary:sr-one}")]).await;
    let string = settings(&story)["Json"].clone();
    // As System.Text.Json may write it, and a URL; the simulated keys have letters alone.
    let json = format!("{{\"c\":\"{}\"}}", string.replace('=', "\\u003D").replace("ISABLE", "\\u0049SABLE"));
    let percent =
        |text: &str| text.replace('=', "%3D").replace('/', "%2F").replace(':', "%3A").replace(';', "%3B");
    for (name, value) in [("Json", &json), ("Url", &format!("signalr={}&hub=a%20b", percent(&string)))] {
        story.sim.edit_setting(APP, name, Some(value)).unwrap();
    }
    let old = story.key("sr-one", PRIMARY);
    let read = |story: &Story| {
        let settings = settings(story);
        let json: serde_json::Value = serde_json::from_str(&settings["Json"]).unwrap();
        let url = url::form_urlencoded::parse(settings["Url"].as_bytes());
        let url: BTreeMap<_, _> = url.into_owned().collect();
        assert_eq!(url["hub"], "a b");
        [json["c"].as_str().unwrap().to_owned(), url["signalr"].clone()]
    };
    let holds = |story: &Story, key_type| {
        let key = story.key("sr-one", key_type);
        read(story) == [(); 2].map(|()| string.replace(old.expose(), key.expose()))
    };
    assert!(holds(&story, PRIMARY));
    assert!(settled(&story.watch(6 * HOUR).await));
    assert!(holds(&story, SECONDARY));
    assert_eq!(story.refused(), 0);
    story.force("sr-one", &KeyType::ALL).unwrap();
    assert!(story.repair().await[0].ending.is_repaired());
    assert!(KeyType::ALL.into_iter().any(|key_type| holds(&story, key_type)));
}

/// The app that holds both keys is a consumer of both: none is regenerated while it does.
#[tokio::test]
async fn a_text_with_both_keys_ends_with_one() {
    let both = r#"{"keys":["{primaryKey:sr-one}","{secondaryKey:sr-one}"]}"#;
    let story = story(&["sr-one"], &[("Both", both)]).await;
    let reports = story.watch(8 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let held = settings(&story)["Both"].clone();
    let key = KeyType::ALL.into_iter().map(|key_type| story.key("sr-one", key_type).expose().to_owned());
    let one: Vec<String> = key.filter(|key| held.contains(key)).collect();
    assert_eq!(held, format!(r#"{{"keys":["{0}","{0}"]}}"#, one[0]));
    assert_eq!(story.refused(), 0);
}

/// One of both is regenerated by force: the other stays where it is, and the repaired one joins it.
#[tokio::test]
async fn of_a_text_with_both_keys_the_invalid_one_is_replaced() {
    let both = "{primaryKey:sr-one},{secondaryKey:sr-one}";
    let story = story(&["sr-one"], &[("Both", both)]).await;
    let mut config = story.config.clone();
    config.instances[0].policy.first_rotation = rekey_core::policy::FirstRotation::WhenDue;
    let story = Story { config, ..story };
    assert!(settled(&story.watch(HOUR).await));
    assert_eq!(story.requests("WebApps_UpdateApplicationSettings"), 0, "both are valid");
    story.force("sr-one", &[PRIMARY]).unwrap();
    let reports = story.repair().await;
    assert!(reports[0].ending.is_repaired(), "{reports:#?}");
    let lines = reports[0].lines().join("\n");
    assert_eq!(lines.matches("shop").count(), 1, "it is named once: {lines}");
    let other = story.key("sr-one", SECONDARY);
    assert_eq!(settings(&story)["Both"], format!("{0},{0}", other.expose()));
}

#[tokio::test]
async fn several_services_in_one_text_are_rotated_and_repaired_side_by_side() {
    let text = r#"[{"endpoint":"https://sr-one.service.signalr.net","accessKey":"{primaryKey:sr-one}"},
        {"endpoint":"https://sr-two.service.signalr.net","accessKey":"{primaryKey:sr-two}"},
        {"connection":"{primary:sr-two}"}]"#;
    let services = ["sr-one", "sr-two"];
    let story = story(&services, &[("Hubs", text)]).await;
    let before = settings(&story);
    let old = services.map(|name| story.key(name, PRIMARY).expose().to_owned());
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let new = services.map(|name| story.key(name, SECONDARY).expose().to_owned());
    let moved = [(&*old[0], &*new[0]), (&*old[1], &*new[1])];
    assert_eq!(settings(&story), with(&before, &moved));
    assert_eq!(story.refused(), 0);

    story.force("sr-one", &[SECONDARY]).unwrap();
    story.force("sr-two", &[SECONDARY]).unwrap();
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| report.ending.is_repaired()), "{reports:#?}");
    let now = services.map(|name| story.key(name, PRIMARY).expose().to_owned());
    assert_eq!(settings(&story), with(&before, &[(&*old[0], &*now[0]), (&*old[1], &*now[1])]));
    assert_well(&story, APP, &services);
    assert!(settled(&story.watch(HOUR).await));
    assert_no_open_outage(&story);
}

/// Another service's key is never overwritten, not even by who takes a key for his own that he finds next to its host.
#[tokio::test]
async fn what_stands_beside_another_services_host_is_left_alone() {
    let story = story(&["sr-one"], &[("A", "{primary:sr-one}")]).await;
    assert!(settled(&story.watch(6 * HOUR).await));
    let former = story.key("sr-one", PRIMARY);
    story.force("sr-one", &[PRIMARY]).unwrap();
    story.repair().await;
    let text =
        format!(r#"{{"endpoint":"https://other.service.signalr.net","accessKey":"{}"}}"#, former.expose());
    story.sim.edit_setting(APP, "B", Some(&text)).unwrap();
    let reports = story.tick().await;
    assert!(reports[0].summary().contains("B of shop names another service"), "{reports:#?}");
    assert_eq!(settings(&story)["B"], text);
}

/// An editor gives a setting another meaning between the check and the write.
#[tokio::test]
async fn a_text_that_is_something_else_by_the_time_of_the_write_is_left_alone() {
    let story = story(&["sr-one"], &[("Key", "{primaryKey:sr-one}"), ("Other", "{primary:sr-one}")]).await;
    assert!(settled(&story.watch(6 * HOUR).await));
    story.force("sr-one", &KeyType::ALL).unwrap();
    story.sim.before("WebApps_ListApplicationSettings", 2, |state| {
        state.edit_setting(APP, "Key", Some("kept")).unwrap();
    });
    for _ in 0..3 {
        story.repair().await;
        story.clock.advance(MINUTE);
    }
    assert_eq!(settings(&story)["Key"], "kept");
    assert_well(&story, APP, &["sr-one"]);
}

/// Endpoint and key in settings of their own, JSON, quotes, and an app with nothing else: a public report had all of them
/// forgotten once the key was invalid. They are rotated and repaired.
#[tokio::test]
async fn apps_with_a_key_outside_a_connection_string_are_rotated_and_repaired() {
    let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let endpoint = || text("SIGNALR_ENDPOINT", "https://sr-one.service.signalr.net");
    let standby = || text("A", "{secondary:sr-one}");
    let quoted = text("Azure__SignalR__ConnectionString", "\"{primary:sr-one}\"");
    let sites = vec![
        site("chat-web", [text("Azure__SignalR__ConnectionString", "{primary:sr-one}")].into()),
        site("json-blob", [standby(), text("SIGNALR_OPTIONS", TEXTS[3].1)].into()),
        site("bare-key", [standby(), endpoint(), text("SIGNALR_ACCESS_KEY", "{primaryKey:sr-one}")].into()),
        site("quoted", [standby(), quoted].into()),
        site("bare-only", [endpoint(), text("SIGNALR_ACCESS_KEY", "{primaryKey:sr-one}")].into()),
    ];
    let names: Vec<String> = sites.iter().map(|site| site.name.clone()).collect();
    let story = Story::of(world(&["sr-one"], sites), Options::default()).await;
    let reports = story.watch(8 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.refused(), 0);

    let held = story.sim.with(|state| state.signs("bare-only")).unwrap();
    let in_use = held.first().and_then(|(_, key_type)| *key_type).unwrap();
    story.force("sr-one", &[ours(in_use)]).unwrap();
    let reports = story.repair().await;
    assert!(reports[0].ending.is_repaired(), "{reports:#?}");
    for name in &names {
        assert_well(&story, name, &["sr-one"]);
    }
    let reports = story.watch(4 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_no_open_outage(&story);
}
