//! Container Apps and their jobs, which get their connection string through a secret of theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::common::proxy::{Answer, Bend, Proxy, Straight};
use super::common::{DAY, HOUR, MINUTE, Story};
use super::settled;
use embedded_azure::{
    BarrierKind, ContainerApp, ContainerJob, ContainerSecret, ContainerWrite, Fault, FaultKind,
    OlderRevision, Options, RevisionsMode, Secret, SecretSync, SignalR, Site, State, Vault, World,
};
use rekey_core::intent::Intent;
use rekey_core::model::KeyType;
use rekey_core::plan::{Decision, WaitFor};
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::SecretConfig;
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::{self, Lease};

const STRING: &str = "{primary:sr-demo}";
const API: &str = "chat-api";
const JOB: &str = "jobs/nightly";

fn by_value() -> BTreeMap<String, ContainerSecret> {
    BTreeMap::from([
        ("signalr".to_owned(), ContainerSecret::Value(STRING.into())),
        ("database".to_owned(), ContainerSecret::Value("Server=sql;Password=hunter2".into())),
    ])
}

fn in_the_vault(url: &str) -> BTreeMap<String, ContainerSecret> {
    let secret = ContainerSecret::Vault { url: url.into(), identity: "System".into() };
    BTreeMap::from([
        ("signalr".to_owned(), secret),
        ("database".to_owned(), ContainerSecret::Value("Server=sql;Password=hunter2".into())),
    ])
}

fn app(secrets: BTreeMap<String, ContainerSecret>) -> ContainerApp {
    ContainerApp {
        group: "rg-demo".into(),
        name: API.into(),
        secrets,
        replicas: 2,
        ..ContainerApp::default()
    }
}

/// A container app beside a web app that has the same string.
fn world(app: ContainerApp) -> World {
    let setting = BTreeMap::from([("AzureSignalRConnectionString".to_owned(), STRING.to_owned())]);
    World {
        signalr: vec![SignalR {
            group: "rg-demo".into(),
            name: "sr-demo".into(),
            apps: vec!["web".into()],
            ..SignalR::default()
        }],
        sites: vec![Site {
            group: "rg-demo".into(),
            name: "web".into(),
            kind: "app,linux".into(),
            settings: setting,
            ..Site::default()
        }],
        container_apps: vec![app],
        vaults: vec![Vault {
            group: "rg-demo".into(),
            name: "kv-demo".into(),
            secrets: BTreeMap::from([("chat".to_owned(), Secret::new(STRING))]),
        }],
        ..World::default()
    }
}

fn options() -> Options {
    Options { container_write_takes: Duration::from_secs(20), ..Options::default() }
}

async fn story(app: ContainerApp) -> Story {
    of(world(app), options()).await
}

async fn of(world: World, options: Options) -> Story {
    Story::of(world, options).await
}

/// Which key a secret of an app holds now; none, if it is invalid.
fn holds(story: &Story, app: &str) -> Option<KeyType> {
    let value = story.sim.with(|state| state.container_secrets(app)).unwrap()["signalr"].clone();
    KeyType::ALL.into_iter().find(|key_type| value.contains(story.key("sr-demo", *key_type).expose()))
}

fn told(reports: &[RunReport]) -> String {
    format!("{:?} {}", reports[0].lines(), reports[0].summary())
}

/// Nobody was refused, the app holds a valid key, and everything else of it is as it was.
fn is_well(story: &Story, app: &str) {
    let report = story.sim.report();
    assert_eq!((story.refused(), report.refused_unexplained), (0, 0));
    assert!(holds(story, app).is_some());
    let secrets = story.sim.with(|state| state.container_secrets(app)).unwrap();
    assert_eq!(secrets["database"], "Server=sql;Password=hunter2");
}

#[tokio::test]
async fn a_container_app_is_rotated_without_a_refused_call() {
    for write in [ContainerWrite::Accepted, ContainerWrite::Done] {
        let story = of(world(app(by_value())), Options { container_write: write, ..options() }).await;
        let before = story.key("sr-demo", KeyType::Primary);
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{}", told(&reports));
        is_well(&story, API);
        let secrets = story.sim.with(|state| state.container_secrets(API)).unwrap();
        assert!(!secrets["signalr"].contains(before.expose()), "it was moved");
        assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "both keys are new");
        assert_eq!(story.requests("ContainerApps_Update"), 1, "nobody writes without need");
        let restarts = story.requests("ContainerAppsRevisions_RestartRevision");
        story.watch(5 * HOUR).await;
        assert_eq!(story.requests("ContainerAppsRevisions_RestartRevision"), restarts, "nor restarts");
    }
}

#[tokio::test]
async fn a_container_app_is_repaired_after_a_forced_regeneration() {
    let story = story(app(by_value())).await;
    story.watch(DAY).await;
    let held = holds(&story, API).unwrap();
    story.force("sr-demo", &[held]).unwrap();
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports.iter().all(|report| report.ending.is_answered()), "{}", told(&reports));
    assert!(holds(&story, API).is_some());
    let refused = story.refused();
    assert!(refused > 0);
    story.watch(HOUR).await;
    assert_eq!(story.refused(), refused, "nobody is refused once it is repaired");
    assert_eq!(story.sim.report().refused_unexplained, 0);
}

/// Revisions without traffic run all the same, and whoever calls them by their label is refused with an old key.
#[tokio::test]
async fn every_active_revision_is_restarted_with_traffic_or_without() {
    let older = |active| OlderRevision { active, replicas: 1, weight: 0 };
    let revisions = [("chat-api--blue", older(true)), ("chat-api--gone", older(false))];
    let app = ContainerApp {
        revisions_mode: RevisionsMode::Multiple,
        revisions: revisions.map(|(name, revision)| (name.to_owned(), revision)).into(),
        ..app(by_value())
    };
    let story = story(app).await;
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    is_well(&story, API);
    let restarts = story.requests("ContainerAppsRevisions_RestartRevision");
    assert!(restarts > 0 && restarts % 2 == 0, "{restarts}: the two that are active, each time");
}

#[tokio::test]
async fn one_that_is_scaled_to_zero_has_nobody_to_restart() {
    let story = story(ContainerApp { replicas: 0, ..app(by_value()) }).await;
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    assert_eq!(story.requests("ContainerAppsRevisions_RestartRevision"), 0);
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    story.sim.with(|state| state.scale(API, None, 3)).unwrap();
    story.clock.advance(HOUR);
    is_well(&story, API);
}

/// What starts between the write and the restart may have started with the old value.
#[tokio::test]
async fn who_starts_while_the_secrets_are_written_is_restarted_too() {
    for operation in ["ContainerApps_Update", "ContainerAppsRevisions_RestartRevision"] {
        let story = story(app(by_value())).await;
        story.sim.after(operation, 1, |state| state.scale(API, None, 5).unwrap());
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{operation}: {}", told(&reports));
        is_well(&story, API);
    }
}

/// A run that is refused the restart leaves the written secrets behind, as one that is killed there does.
#[tokio::test]
async fn what_was_written_and_not_restarted_is_restarted_by_the_next_run() {
    let mut story = story(app(by_value())).await;
    story.config.instances[0].policy.rotate_every = 2 * DAY;
    assert!(settled(&story.watch(10 * HOUR).await));
    let (held, regenerated) = (holds(&story, API).unwrap(), story.requests("SignalR_RegenerateKey"));
    let action = "Microsoft.App/containerApps/revisions/restart/action";
    story.sim.with(|state| state.deny("/", action));
    story.clock.advance(2 * DAY);
    let reports = story.watch(5 * HOUR).await;
    assert!(reports[0].ending.is_failure() && told(&reports).contains(action), "{}", told(&reports));
    assert_ne!(holds(&story, API), Some(held), "the secret was written");
    assert_eq!(
        story.requests("SignalR_RegenerateKey"),
        regenerated + 1,
        "the key that replicas have is there"
    );
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    story.sim.with(State::allow_all);
    let writes = story.requests("ContainerApps_Update");
    let reports = story.watch(5 * HOUR).await;
    assert!(settled(&reports), "{}", told(&reports));
    is_well(&story, API);
    assert_eq!(story.requests("ContainerApps_Update"), writes, "the secrets held it already");
    assert_eq!(story.requests("SignalR_RegenerateKey"), regenerated + 2);
}

/// The same where the key is invalid: the secrets are in order by then, and the replicas are not.
#[tokio::test]
async fn replicas_with_an_invalid_key_are_not_forgotten_when_their_secret_is_in_order() {
    let story = story(app(by_value())).await;
    story.watch(DAY).await;
    let held = holds(&story, API).unwrap();
    story.sim.with(|state| state.deny("/", "Microsoft.App/containerApps/revisions/restart/action"));
    story.force("sr-demo", &[held]).unwrap();
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports[0].ending.is_failure(), "{}", told(&reports));
    assert!(holds(&story, API).is_some(), "the secret was written");
    let reports = story.watch(HOUR).await;
    assert!(reports[0].ending.is_failure() && told(&reports).contains(API), "{}", told(&reports));
    story.sim.with(State::allow_all);
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports[0].ending.is_answered(), "{}", told(&reports));
    let refused = story.refused();
    story.watch(HOUR).await;
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (refused, 0));
}

/// A run that dies between the restart and its look at who runs: when the replicas of before are gone, nobody waits for those
/// that the restart made, of which no time tells that they were made with the new value. They are restarted once more.
#[tokio::test]
async fn what_a_dead_run_has_restarted_is_not_waited_for() {
    let story = story(app(by_value())).await;
    story.watch(DAY).await;
    let restarts = story.requests("ContainerAppsRevisions_RestartRevision");
    story.force("sr-demo", &[holds(&story, API).unwrap()]).unwrap();
    let reports = story.run(Intent::check(), Duration::from_secs(27)).await;
    assert!(reports[0].ending.is_failure(), "{}", told(&reports));
    assert_eq!(story.requests("ContainerAppsRevisions_RestartRevision"), restarts + 1);
    story.clock.advance(Duration::from_secs(20));
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports[0].ending.is_answered(), "{}", told(&reports));
    assert!(reports[0].took < MINUTE, "{:?}", reports[0].took);
    assert!(!told(&reports).contains("being replaced"), "{}", told(&reports));
    assert_eq!(story.requests("ContainerAppsRevisions_RestartRevision"), restarts + 2);
    let refused = story.refused();
    story.watch(HOUR).await;
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (refused, 0));
}

/// The first run that sees it names the new replica, with what Azure says of it, and whoever is cut off by that: by a notice
/// that has no time to wait, by one that has, and by those after it, for as long as the old replica is there.
#[tokio::test]
async fn a_new_replica_that_does_not_come_up_is_named_by_the_first_run_that_sees_it() {
    for time in [MINUTE, 9 * MINUTE] {
        let story = story(ContainerApp { replicas: 1, ..app(by_value()) }).await;
        story.watch(DAY).await;
        let held = holds(&story, API).unwrap();
        story.sim.before("ContainerApps_Update", 1, |state| state.break_revision(API, None, true).unwrap());
        story.force("sr-demo", &[held]).unwrap();
        for run in 0..3 {
            let reports = story.run(Intent::check(), time).await;
            let (report, told) = (&reports[0], told(&reports));
            assert!(report.ending.is_failure(), "{run}: {told}");
            assert!(told.contains("(NotRunning: 0/1 containers are ready)"), "{run}: {told}");
            let summary = report.summary();
            let named = report.cut_off.iter().any(|who| who.app().is_some_and(|app| app.name() == API));
            assert!(named && summary.contains("chat-api"), "{run}: {summary}");
            assert!(!told.contains("too busy"), "{run}: {told}");
            if run > 0 || time > MINUTE {
                assert!(
                    summary.contains("cut off") && summary.contains("waited for until"),
                    "{run}: {summary}"
                );
            }
        }
        story.sim.with(|state| state.break_revision(API, None, false)).unwrap();
        let reports = story.watch(HOUR).await;
        assert!(reports[0].ending.is_answered(), "{}", told(&reports));
        assert_eq!(story.sim.report().refused_unexplained, 0);
    }
}

/// The old replicas stay, and with them their key.
#[tokio::test]
async fn replicas_that_do_not_come_up_keep_the_old_key_alive() {
    let story = story(app(by_value())).await;
    story.sim.before("ContainerApps_Update", 1, |state| state.break_revision(API, None, true).unwrap());
    let reports = story.watch(6 * HOUR).await;
    assert!(reports[0].ending.is_failure(), "{}", told(&reports));
    assert!(
        told(&reports).contains("still there") || told(&reports).contains("does not run"),
        "{}",
        told(&reports)
    );
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    story.sim.with(|state| state.break_revision(API, None, false)).unwrap();
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    is_well(&story, API);
}

/// Replicas that do not come up are waited for for minutes. Who calls meanwhile, to pause or with a report, has the lease in
/// seconds, and the app beside them is asked how it is when its time has come.
#[tokio::test]
async fn who_calls_while_replicas_are_waited_for_has_his_turn() {
    let mut story = story(app(by_value())).await;
    let policy = &mut story.config.instances[0].policy;
    (policy.restarts_at_once, policy.settle_within) = (5, HOUR);
    story.sim.before("ContainerApps_Update", 1, |state| state.break_revision(API, None, true).unwrap());
    let caller = async {
        let (id, mut called) = (&story.config.instances[0].id, None);
        loop {
            tokio::task::yield_now().await;
            if story.requests("ContainerApps_Update") == 0 {
                continue;
            }
            if called.is_none() {
                store::call(&*story.store, id).await.unwrap();
                called = Some(story.clock.now());
            }
            let (store, clock) = (story.store.clone(), story.clock.clone());
            if let Ok(lease) = Lease::acquire(store, clock, id, "pause").await {
                lease.release().await.unwrap();
                return called.map(|called| story.clock.now() - called);
            }
        }
    };
    let (reports, waited) = tokio::join!(story.watch(3 * HOUR), caller);
    assert!(waited.is_some_and(|waited| waited < TimeDelta::seconds(60)), "{waited:?} {}", told(&reports));
    let said = story.told.lock().unwrap().join("\n");
    assert!(said.contains("not seen with the new key: chat-api"), "{said}");
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
}

fn with_a_job(executions: usize) -> World {
    let job = ContainerJob {
        group: "rg-demo".into(),
        name: "nightly".into(),
        secrets: by_value(),
        executions,
        ..ContainerJob::default()
    };
    World { container_jobs: vec![job], ..world(app(by_value())) }
}

#[tokio::test]
async fn a_job_is_rotated_and_its_next_execution_has_the_new_key() {
    let story = of(with_a_job(0), options()).await;
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    assert_eq!(story.requests("Jobs_Update"), 1);
    story.sim.with(|state| state.start_execution(JOB)).unwrap();
    story.clock.advance(HOUR);
    is_well(&story, JOB);
}

/// An execution cannot be restarted: its key lives until it has ended, however long that takes.
#[tokio::test]
async fn an_execution_that_runs_keeps_its_key_alive_until_it_ends() {
    let story = of(with_a_job(1), options()).await;
    story.watch(3 * DAY).await;
    assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0));
    assert!(story.requests("SignalR_RegenerateKey") <= 1, "the key that it runs with is there");
    story.sim.with(|state| state.end_execution(JOB, None, true)).unwrap();
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
    is_well(&story, JOB);
}

/// A list of executions in which one is missing that was seen to run tells nothing of it: it counts until Azure says that it has
/// ended, or until it cannot run any more.
#[tokio::test]
async fn an_execution_that_is_not_listed_any_more_keeps_its_key_alive() {
    for comes_back in [true, false] {
        let mut world = with_a_job(0);
        world.container_jobs[0].replica_timeout = Some(86_400);
        let story = of(world, options()).await;
        let proxy = Proxy::start(story.sim.base(), Straight).await;
        let rekey = story.worker(&proxy.base, story.store.clone(), story.clock.clone());
        let watch = async |time: Duration| {
            let end = story.clock.now() + delta(time);
            loop {
                let reports = rekey.run(&story.order(Intent::operator(false), 9 * MINUTE)).await;
                if story.clock.now() >= end {
                    return reports;
                }
                story.clock.advance(10 * MINUTE);
            }
        };
        assert!(settled(&watch(DAY).await));
        story.clock.advance(31 * DAY);
        story.sim.with(|state| state.start_execution(JOB)).unwrap();
        let mut is_written = false;
        proxy.bend(move |request: &str| {
            is_written |= request.starts_with("PATCH") && request.contains(JOB);
            let is_list = request.contains("/executions") && is_written;
            is_list.then(|| Answer::new(200, "application/json", r#"{"value":[]}"#))
        });
        let reports = watch(20 * HOUR).await;
        assert_eq!(story.requests("SignalR_RegenerateKey"), 3, "{comes_back}: {}", told(&reports));
        assert!(told(&reports).contains("Azure does not list it any more"), "{}", told(&reports));
        assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{comes_back}");
        story.sim.with(|state| state.end_execution(JOB, None, true)).unwrap();
        if comes_back {
            proxy.bend(Straight);
        }
        // Those to whom it gave tokens until it ended have the grace.
        let hours = if comes_back { 5 } else { 10 };
        let reports = watch(hours * HOUR).await;
        assert!(settled(&reports), "{comes_back}: {}", told(&reports));
        assert_eq!(story.requests("SignalR_RegenerateKey"), 4, "{comes_back}");
        is_well(&story, JOB);
    }
}

/// It is waited for by its name, and until a time that stays, whenever one looks; nobody says that its key is held by nobody.
#[tokio::test]
async fn the_wait_for_an_execution_names_it_and_its_end_stays() {
    let mut world = with_a_job(1);
    world.container_jobs[0].replica_timeout = Some(2 * 86_400);
    let story = of(world, options()).await;
    let began = story.clock.now();
    let mut ends = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let reports = story.tick().await;
        let Ending::Decided(Decision::Waiting { reason, until }) = &reports[0].ending else {
            story.clock.advance(10 * MINUTE);
            continue;
        };
        if let WaitFor::Executions { who, .. } = reason {
            let told = told(&reports);
            assert!(told.contains(&who[0].name) && told.contains("of jobs/nightly (began at"), "{told}");
            assert!(!told.contains("which no consumer holds"), "{told}");
            assert_eq!(who[0].until, began + delta(2 * DAY + 10 * MINUTE));
            ends.insert(*until);
        }
        story.clock.advance(20 * MINUTE);
    }
    let grace = story.config.instances[0].policy.grace;
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [began + delta(2 * DAY + 10 * MINUTE + grace)]);
    // One that goes on for longer is no time's: somebody has to look.
    let reports = story.watch(2 * DAY).await;
    assert!(
        reports[0].ending.is_failure() && told(&reports).contains("replicaTimeout"),
        "{}",
        told(&reports)
    );
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0, "the key that it may run with is there");
    story.sim.with(|state| state.end_execution(JOB, None, true)).unwrap();
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    is_well(&story, JOB);
}

#[tokio::test]
async fn an_execution_with_an_invalid_key_is_named_until_it_ends() {
    let story = of(with_a_job(0), options()).await;
    story.watch(DAY).await;
    story.sim.with(|state| state.start_execution(JOB)).unwrap();
    story.watch(HOUR).await;
    story.force("sr-demo", &[holds(&story, JOB).unwrap()]).unwrap();
    let reports = story.watch(HOUR).await;
    assert!(reports[0].ending.is_failure() && told(&reports).contains("job stop"), "{}", told(&reports));
    story.sim.with(|state| state.end_execution(JOB, None, false)).unwrap();
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    assert_eq!(story.sim.report().refused_unexplained, 0);
}

const NEWEST: &str = "https://kv-demo.vault.azure.net/secrets/chat";

/// The secret of the vault is the consumer, and the app one that reads it.
#[tokio::test]
async fn a_secret_that_is_kept_in_a_vault_is_followed() {
    for sync in [SecretSync::Restarts, SecretSync::Fetches, SecretSync::Off] {
        let mut story =
            of(world(app(in_the_vault(NEWEST))), Options { secret_sync: sync, ..options() }).await;
        let id = NEWEST.parse().unwrap();
        story.config.instances[0].vault_secrets =
            vec![SecretConfig { id, readers_within: Duration::ZERO, unused: false }];
        let before = story.key("sr-demo", KeyType::Primary);
        let reports = story.watch(DAY).await;
        assert!(settled(&reports), "{sync:?}: {}", told(&reports));
        is_well(&story, API);
        let secret = story.sim.with(|state| state.secret("kv-demo", "chat")).unwrap();
        assert!(!secret.contains(before.expose()), "{sync:?}: it was moved");
        assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "{sync:?}");
        assert_eq!(story.requests("KeyVault_SetSecret"), 1, "{sync:?}");
        story.force("sr-demo", &[holds(&story, API).unwrap()]).unwrap();
        let reports = story.run(Intent::check(), 9 * MINUTE).await;
        assert!(reports[0].ending.is_answered(), "{sync:?}: {}", told(&reports));
        let refused = story.refused();
        story.watch(HOUR).await;
        assert_eq!((story.refused(), story.sim.report().refused_unexplained), (refused, 0), "{sync:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_named_is_made_to_name_the_new_one() {
    let first = of(world(app(in_the_vault(NEWEST))), options()).await;
    let version = first.sim.with(|state| state.secret_versions("kv-demo", "chat")).unwrap().pop().unwrap();
    let pinned = format!("{NEWEST}/{version}");
    let mut story = of(world(app(in_the_vault(&pinned))), options()).await;
    assert_eq!(story.sim.with(|state| state.secret_versions("kv-demo", "chat")).unwrap(), [version]);
    let id = NEWEST.parse().unwrap();
    story.config.instances[0].vault_secrets =
        vec![SecretConfig { id, readers_within: Duration::ZERO, unused: false }];
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    is_well(&story, API);
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2);
}

/// Another person writes another secret between our reading and our write, or puts the old string back after it.
#[tokio::test]
async fn what_others_write_beside_is_not_lost() {
    let story = story(app(by_value())).await;
    story.sim.before("ContainerAppsRevisions_RestartRevision", 1, |state| {
        state.edit_container_secret(API, "other", Some("theirs")).unwrap();
    });
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    assert_eq!(story.sim.with(|state| state.container_secrets(API)).unwrap()["other"], "theirs");
    is_well(&story, API);
}

#[tokio::test]
async fn an_old_string_that_is_put_back_is_replaced_again() {
    let story = story(app(by_value())).await;
    story.sim.after("ContainerAppsRevisions_RestartRevision", 1, |state| {
        state.edit_container_secret(API, "signalr", Some(STRING)).unwrap();
    });
    let reports = story.watch(2 * DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    is_well(&story, API);
}

/// Who writes our secret again and again is told as one, with how often it was tried, and not as one who was quicker.
#[tokio::test]
async fn who_undoes_what_is_written_is_told_with_how_often() {
    let story = story(app(by_value())).await;
    for nth in 1..20 {
        story.sim.after("ContainerAppsRevisions_RestartRevision", nth, |state| {
            state.edit_container_secret(API, "signalr", Some(STRING)).unwrap();
        });
    }
    let mut all = String::new();
    for _ in 0..40 {
        all += &told(&story.run(Intent::operator(false), 2 * HOUR).await);
        story.clock.advance(10 * MINUTE);
    }
    assert!(all.contains("were given the new key 4 times in this run"), "{all}");
    assert!(!all.contains("at the same time"), "{all}");
}

/// An app that somebody changes in the grace period counts as one that may hold either key, for nobody can tell what it held in
/// between; and that is said, once for each change.
#[tokio::test]
async fn why_an_app_counts_as_a_holder_that_somebody_changed_is_told() {
    let story = story(app(by_value())).await;
    while holds(&story, API) == Some(KeyType::Primary) {
        story.watch(MINUTE).await;
        story.clock.advance(10 * MINUTE);
    }
    story.watch(5 * MINUTE).await;
    story.clock.advance(5 * MINUTE);
    story.sim.with(|state| state.edit_container_secret(API, "other", Some("theirs"))).unwrap();
    let reports = story.tick().await;
    let said = told(&reports);
    assert_eq!(said.matches("the container app chat-api was changed at ").count(), 1, "{said}");
    assert!(settled(&story.watch(DAY).await));
    is_well(&story, API);
}

/// In the grace period somebody puts the old string back for a minute, in which a process starts, and then the new one, all
/// between two checks: the process goes on with the old key, which lives until it is restarted, or has ended.
#[tokio::test]
async fn who_started_between_two_changes_of_a_secret_keeps_his_key_alive() {
    for job in [false, true] {
        let world = if job { with_a_job(0) } else { world(app(by_value())) };
        let story = of(world, options()).await;
        let name = if job { JOB } else { API };
        while holds(&story, name) == Some(KeyType::Primary) {
            story.watch(MINUTE).await;
            story.clock.advance(10 * MINUTE);
        }
        story.clock.advance(5 * MINUTE);
        let put = |string| {
            story.sim.with(|state| state.edit_container_secret(name, "signalr", Some(string))).unwrap();
        };
        put(STRING);
        if job {
            story.sim.with(|state| state.start_execution(JOB)).unwrap();
        } else {
            story.sim.with(|state| state.restart_revision(API, None)).unwrap();
        }
        story.clock.advance(MINUTE);
        put("{secondary:sr-demo}");
        story.watch(2 * DAY).await;
        assert_eq!((story.refused(), story.sim.report().refused_unexplained), (0, 0), "{name}");
    }
}

/// What cannot be seen or done blocks, by its name, and nobody is cut off.
#[tokio::test]
async fn whatever_is_refused_blocks_and_is_named() {
    type Change = fn(&mut State);
    let cases: [(&str, Change); 9] = [
        ("containerApps/listSecrets/action", |state| {
            state.deny("/", "Microsoft.App/containerApps/listSecrets/action");
        }),
        ("containerApps/read", |state| state.deny("/", "Microsoft.App/containerApps/read")),
        ("revisions/read", |state| state.deny("/", "Microsoft.App/containerApps/revisions/read")),
        ("replicas/read", |state| state.deny("/", "Microsoft.App/containerApps/revisions/replicas/read")),
        ("containerApps/write", |state| state.deny("/", "Microsoft.App/containerApps/write")),
        ("join/action", |state| state.deny("/", "Microsoft.App/managedEnvironments/join/action")),
        ("read-only lock", |state| {
            state.bar(&path_of(state, "containerApps/chat-api"), BarrierKind::ReadOnlyLock);
        }),
        ("Policy", |state| state.bar(&path_of(state, "containerApps/chat-api"), BarrierKind::Policy)),
        ("ResourceNotFound", |state| state.delete_container(API).unwrap()),
    ];
    for (said, change) in cases {
        let story = story(app(by_value())).await;
        story.sim.with(change);
        let reports = story.watch(6 * HOUR).await;
        let told = told(&reports);
        assert!(reports[0].ending.is_failure(), "{said}: {told}");
        assert!(told.contains(said) && told.contains(API), "{said}: {told}");
        assert_eq!(story.sim.report().refused_unexplained, 0, "{said}");
        assert!(story.requests("SignalR_RegenerateKey") <= 1, "{said}");
    }
}

fn path_of(_: &State, rest: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/rg-demo/providers/Microsoft.App/{rest}",
        World::default().subscription
    )
}

/// Azure is busy, an answer is lost, or an update that was taken on comes to nothing.
#[tokio::test]
async fn whatever_goes_wrong_once_is_done_again() {
    let operations =
        ["ContainerApps_Update", "ContainerAppsRevisions_RestartRevision", "ContainerApps_ListSecrets"];
    let kinds = [
        FaultKind::Conflict,
        FaultKind::Throttled,
        FaultKind::ServerErrorAfter,
        FaultKind::TimeoutBefore,
        FaultKind::TimeoutAfter,
        FaultKind::OperationFailed,
        FaultKind::Swallowed,
    ];
    for operation in operations {
        for kind in kinds {
            let of_update = matches!(kind, FaultKind::OperationFailed | FaultKind::Swallowed);
            let of_all = matches!(kind, FaultKind::Conflict | FaultKind::TimeoutAfter);
            if of_update && operation != operations[0] || !of_all && operation == operations[2] {
                continue;
            }
            let story = story(app(by_value())).await;
            story.sim.fault(Fault::new(operation, kind).times(1));
            let reports = story.watch(10 * HOUR).await;
            assert!(settled(&reports), "{operation} {kind:?}: {}", told(&reports));
            is_well(&story, API);
        }
    }
}

/// An update that fails once is made again by the same run. One that fails as the one before it did is for a person to see to,
/// and the run says where to look, and that trying again may well help.
#[tokio::test]
async fn a_failed_update_is_made_again_and_told_when_it_goes_on() {
    let once = story(app(by_value())).await;
    once.watch(DAY).await;
    once.force("sr-demo", &[holds(&once, API).unwrap()]).unwrap();
    let before = once.requests("ContainerApps_Update");
    once.sim.fault(Fault::new("ContainerApps_Update", FaultKind::OperationFailed).times(1));
    let reports = once.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports[0].ending.is_answered(), "{}", told(&reports));
    assert_eq!(once.requests("ContainerApps_Update"), before + 2);
    let story = story(app(by_value())).await;
    story.watch(DAY).await;
    story.force("sr-demo", &[holds(&story, API).unwrap()]).unwrap();
    let before = story.requests("ContainerApps_Update");
    story.sim.fault(Fault::new("ContainerApps_Update", FaultKind::OperationFailed).times(3));
    for tried in [2, 3] {
        let reports = story.run(Intent::check(), 9 * MINUTE).await;
        let told = told(&reports);
        assert!(reports[0].ending.is_failure() && !told.contains("trying again will not help"), "{told}");
        assert!(
            told.contains("the update before it failed as well") && told.contains("az containerapp"),
            "{told}"
        );
        assert_eq!(story.requests("ContainerApps_Update"), before + tried);
    }
    let reports = story.run(Intent::check(), 9 * MINUTE).await;
    assert!(reports[0].ending.is_answered(), "{:?}", reports[0].lines());
    assert_eq!(story.sim.report().refused_unexplained, 0);
}

/// A key in the template itself cannot be replaced without a new revision, which is for a person to make.
#[tokio::test]
async fn a_key_in_the_open_is_named_and_blocks() {
    let values = BTreeMap::from([("HUB".to_owned(), STRING.to_owned())]);
    let story = story(ContainerApp { values, ..app(by_value()) }).await;
    let reports = story.watch(6 * HOUR).await;
    let told = told(&reports);
    assert!(reports[0].ending.is_failure() && told.contains("HUB") && told.contains("secretref"), "{told}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    assert_eq!(story.sim.report().refused_unexplained, 0);
}

/// Somebody changes something else of the app: nobody is restarted for that.
#[tokio::test]
async fn an_app_that_is_changed_otherwise_is_left_alone() {
    let story = story(app(by_value())).await;
    story.watch(DAY).await;
    let restarts = story.requests("ContainerAppsRevisions_RestartRevision");
    story.sim.with(|state| state.edit_container_secret(API, "other", Some("x"))).unwrap();
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{}", told(&reports));
    assert_eq!(story.requests("ContainerAppsRevisions_RestartRevision"), restarts);
    is_well(&story, API);
}

/// An answer that leaves out who runs, beside others that tell of them.
struct LeavesOut(&'static str);

impl Bend for LeavesOut {
    fn after(&mut self, request: &str, answer: &mut Answer) {
        let Self(what) = *self;
        let path = if what == "replicas" { "/replicas" } else { "/revisions" };
        if !request.starts_with("GET ") || !request.ends_with(path) {
            return;
        }
        let mut body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        match what {
            "replicas" | "revisions" => body["value"] = serde_json::json!([]),
            _ => {
                let revisions = body["value"].as_array_mut().unwrap();
                revisions.iter_mut().for_each(|one| one["properties"]["active"] = false.into());
            }
        }
        answer.body = body.to_string();
    }
}

/// Where two answers of Azure contradict each other nobody is believed to have left: no key is regenerated on the strength of it,
/// and the run says why. Revisions that are said to be inactive and have replicas are restarted like the others.
#[tokio::test]
async fn who_is_left_out_of_one_answer_and_is_in_another_is_not_gone() {
    for what in ["replicas", "revisions", "inactive"] {
        let story = story(app(by_value())).await;
        let proxy = Proxy::start(story.sim.base(), Straight).await;
        let watch = async |time: Duration| story.watch_by(&proxy.base, time).await;
        watch(DAY).await;
        proxy.bend(LeavesOut(what));
        story.force("sr-demo", &KeyType::ALL).unwrap();
        let reports = watch(2 * HOUR).await;
        let said = format!("{what}: {:?} {}", reports[0].lines(), reports[0].summary());
        let is_told = reports[0].ending.is_failure() && said.contains("one of the two is not true");
        assert_eq!(is_told, what != "inactive", "{said}");
        proxy.bend(Straight);
        let reports = watch(DAY).await;
        let said = format!("{what}: {:?} {}", reports[0].lines(), reports[0].summary());
        assert!(settled(&reports), "{said}");
        let refused = story.refused();
        watch(2 * HOUR).await;
        assert_eq!((story.refused(), story.sim.report().refused_unexplained), (refused, 0), "{said}");
    }
}
