//! Static web apps, whose managed functions sign with what is in their settings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::common::proxy::{Answer, Proxy, Straight};
use super::common::{DAY, HOUR, MINUTE, Story};
use super::settled;
use embedded_azure::{
    BarrierKind, Fault, FaultKind, NoFunctions, Options, SignalR, State, StaticEnvironment, StaticWebApp,
    World,
};
use rekey_core::intent::Intent;
use rekey_core::model::KeyType;
use signalr_rekey::report::RunReport;

const STRING: &str = "{primary:sr-demo}";
const SETTING: &str = "AzureSignalRConnectionString";
const SITE: &str = "chat-pages";

fn settings() -> BTreeMap<String, String> {
    BTreeMap::from([(SETTING.to_owned(), STRING.to_owned()), ("OTHER".to_owned(), "kept".to_owned())])
}

/// A site with a preview; of each one dictionary or both have the string.
fn site() -> StaticWebApp {
    let preview = StaticEnvironment { settings: settings(), function_settings: Some(settings()) };
    StaticWebApp {
        group: "rg-demo".into(),
        name: SITE.into(),
        settings: settings(),
        environments: [("12".to_owned(), preview)].into(),
        ..StaticWebApp::default()
    }
}

fn world(site: StaticWebApp) -> World {
    World {
        signalr: vec![SignalR { group: "rg-demo".into(), name: "sr-demo".into(), ..SignalR::default() }],
        static_web_apps: vec![site],
        ..World::default()
    }
}

async fn story(site: StaticWebApp) -> Story {
    Story::of(world(site), Options::default()).await
}

/// Which key stands in a dictionary; none, if it is invalid or there is none.
fn holds(story: &Story, environment: Option<&str>, of_functions: bool) -> Option<KeyType> {
    let settings = story.sim.with(|state| state.static_settings(SITE, environment, of_functions)).unwrap();
    let value = settings.get(SETTING).cloned().unwrap_or_default();
    KeyType::ALL.into_iter().find(|key_type| value.contains(story.key("sr-demo", *key_type).expose()))
}

const PLACES: [(Option<&str>, bool); 3] = [(None, false), (Some("12"), false), (Some("12"), true)];

fn is_well(story: &Story) {
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    for (environment, of_functions) in PLACES {
        assert!(holds(story, environment, of_functions).is_some(), "{environment:?} {of_functions}");
        let settings =
            story.sim.with(|state| state.static_settings(SITE, environment, of_functions)).unwrap();
        assert_eq!(settings["OTHER"], "kept");
    }
}

fn told(reports: &[RunReport]) -> String {
    format!("{:?} {}", reports[0].lines(), reports[0].summary())
}

/// Functions that are not there have no settings, however that is answered.
#[tokio::test]
async fn every_environment_is_rotated_without_a_refused_call() {
    for no_functions in [NoFunctions::Empty, NoFunctions::NotFound, NoFunctions::Refused] {
        let site = StaticWebApp { function_settings: None, ..site() };
        let story = Story::of(world(site), Options { no_functions, ..Options::default() }).await;
        let before = story.key("sr-demo", KeyType::Primary);
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{no_functions:?}: {}", told(&reports));
        is_well(&story);
        for (environment, of_functions) in PLACES {
            let of = |state: &mut State| state.static_settings(SITE, environment, of_functions).unwrap();
            assert!(!story.sim.with(of)[SETTING].contains(before.expose()), "{environment:?} {of_functions}");
        }
        assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
        // Production is one, by whatever name.
        let writes: Vec<usize> = [
            "StaticSites_CreateOrUpdateStaticSiteAppSettings",
            "StaticSites_CreateOrUpdateStaticSiteBuildAppSettings",
            "StaticSites_CreateOrUpdateStaticSiteBuildFunctionAppSettings",
        ]
        .map(|operation| story.requests(operation))
        .into();
        assert_eq!(writes, [1, 1, 1], "{no_functions:?}");
    }
}

#[tokio::test]
async fn every_environment_is_repaired_after_a_forced_regeneration() {
    let story = story(site()).await;
    story.watch(DAY).await;
    story.force("sr-demo", &[holds(&story, None, false).unwrap()]).unwrap();
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports[0].ending.is_answered(), "{}", told(&reports));
    let refused = story.refused();
    assert!(refused > 0);
    story.watch(HOUR).await;
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (refused, 0));
}

/// Somebody edits a setting in the midst of it; and an old string that is written back is replaced again.
#[tokio::test]
async fn what_others_write_is_not_lost() {
    let operation = "StaticSites_CreateOrUpdateStaticSiteBuildAppSettings";
    let story = story(site()).await;
    story.sim.after(operation, 1, |state| {
        state.edit_static_setting(SITE, Some("12"), false, ("THEIRS", Some("1"))).unwrap();
        state.edit_static_setting(SITE, None, false, (SETTING, Some(STRING))).unwrap();
    });
    let reports = story.watch(2 * DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    is_well(&story);
    let settings = story.sim.with(|state| state.static_settings(SITE, Some("12"), false)).unwrap();
    assert_eq!(settings["THEIRS"], "1");
}

#[tokio::test]
async fn whatever_is_refused_blocks_and_is_named() {
    type Change = fn(&mut State);
    let cases: [(&str, Change); 8] = [
        ("staticSites/listappsettings/action", |state| {
            state.deny("/", "Microsoft.Web/staticSites/listappsettings/action");
        }),
        ("staticSites/listfunctionappsettings/action", |state| {
            state.deny("/", "Microsoft.Web/staticSites/listfunctionappsettings/action");
        }),
        ("builds/read", |state| state.deny("/", "Microsoft.Web/staticSites/builds/read")),
        ("builds/listappsettings/action", |state| {
            state.deny("/", "Microsoft.Web/staticSites/builds/listappsettings/action");
        }),
        ("staticSites/config/write", |state| state.deny("/", "Microsoft.Web/staticSites/config/write")),
        ("builds/config/write", |state| state.deny("/", "Microsoft.Web/staticSites/builds/config/write")),
        ("read-only lock", |state| {
            let subscription = World::default().subscription;
            let site = format!(
                "/subscriptions/{subscription}/resourceGroups/rg-demo/providers/Microsoft.Web/staticSites/{SITE}"
            );
            state.bar(&site, BarrierKind::ReadOnlyLock);
        }),
        ("NotFound", |state| state.delete_static_site(SITE).unwrap()),
    ];
    for (said, change) in cases {
        let story = story(site()).await;
        story.sim.with(change);
        let reports = story.watch(6 * HOUR).await;
        let told = told(&reports);
        assert!(reports[0].ending.is_failure(), "{said}: {told}");
        assert!(told.contains(said) && told.contains(SITE), "{said}: {told}");
        assert_eq!(story.sim.report().refused_unexplained, 0, "{said}");
        assert!(story.requests("SignalR_RegenerateKey") <= 1, "{said}");
    }
}

#[tokio::test]
async fn whatever_goes_wrong_once_is_done_again() {
    let operations = [
        "StaticSites_CreateOrUpdateStaticSiteAppSettings",
        "StaticSites_CreateOrUpdateStaticSiteBuildFunctionAppSettings",
        "StaticSites_GetStaticSiteBuilds",
    ];
    for operation in operations {
        for kind in [FaultKind::Conflict, FaultKind::Throttled, FaultKind::TimeoutAfter, FaultKind::Swallowed]
        {
            if kind == FaultKind::Swallowed && operation == operations[2] {
                continue;
            }
            let story = story(site()).await;
            story.sim.fault(Fault::new(operation, kind).times(1));
            let reports = story.watch(10 * HOUR).await;
            assert!(settled(&reports), "{operation} {kind:?}: {}", told(&reports));
            is_well(&story);
        }
    }
}

/// What answers in Azure's place where a preview's function settings are, which hold a key, and says that there is nothing.
const NOTHING: [(u16, &str); 4] = [
    (200, r#"{"properties":{}}"#),
    (400, r#"{"error":{"code":"BadRequest","message":"The server is busy"}}"#),
    (404, r#"{"error":{"code":"NotFound","message":"no"}}"#),
    (404, r#"{"error":{"code":"NotFound","message":"The static site has no managed functions."}}"#),
];

/// A dictionary that held a key is not gone for being answered for as if it were: the rotation and the repair of what is in it
/// wait until it is seen again, and say so.
#[tokio::test]
async fn what_held_a_key_is_never_nothing() {
    for (status, body) in NOTHING {
        for of_production in [false, true] {
            let site = StaticWebApp { function_settings: Some(settings()), ..site() };
            let story = story(site).await;
            let proxy = Proxy::start(story.sim.base(), Straight).await;
            let watch = async |time: Duration| story.watch_by(&proxy.base, time).await;
            watch(DAY).await;
            let regenerated = story.requests("SignalR_RegenerateKey");
            proxy.bend(move |request: &str| {
                let is_of_it = request.ends_with("/listFunctionAppSettings")
                    && request.contains("/builds/12/") != of_production;
                is_of_it.then(|| Answer::new(status, "application/json", body))
            });
            story.force("sr-demo", &KeyType::ALL).unwrap();
            for time in [Duration::ZERO, 2 * HOUR] {
                let reports = watch(time).await;
                let said = format!("{status} {body} {of_production}: {}", told(&reports));
                assert!(reports[0].ending.is_failure() && told(&reports).contains(SITE), "{said}");
                assert_eq!(story.requests("SignalR_RegenerateKey"), regenerated, "{said}");
            }
            proxy.bend(Straight);
            let reports = watch(DAY).await;
            let said = format!("{status} {body} {of_production}: {}", told(&reports));
            assert!(settled(&reports), "{said}");
            let of_functions = holds(&story, (!of_production).then_some("12"), true);
            assert!(of_functions.is_some(), "{said}");
        }
    }
}
