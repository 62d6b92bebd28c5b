//! The status page: what runs tell of services is what whoever looks is shown, as HTML and as JSON, and nothing more.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "browser/mod.rs"]
mod browser;
mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::counting::Counting;
use common::fleet::{service, world};
use common::log::Log;
use common::program::{Azure, Handler, program};
use common::{HOUR, KEY_MARK, MINUTE, Story, all_hold};
use embedded_azure::{Fault, FaultKind, Options};
use rekey_core::journal::Event;
use rekey_core::model::KeyType;
use rekey_core::notice;
use rekey_core::time::delta;
use serde_json::{Value, json};
use signalr_rekey::clock::Clock;
use signalr_rekey::config::Config;
use signalr_rekey::engine::{Dispatcher, Engine};
use signalr_rekey::handler::{Content, Invocation, Outcome, Reply, Runner, StatusAsked, Trigger};
use signalr_rekey::overview::{Rhythm, ServiceOverview, kept};
use signalr_rekey::store::{ETag, Found, Lease, Store, StoreError, Stored};
use url::Url;

/// A function app with one process.
struct App {
    story: Story,
    process: Arc<Dispatcher>,
}

impl App {
    fn of(story: Story) -> Self {
        let process = Dispatcher::new(story.rekey());
        Self { story, process }
    }

    async fn call(&self, trigger: Trigger, function: &'static str, time: Duration) -> Outcome {
        let deadline = self.story.clock.now() + delta(time);
        self.process.run(trigger, Invocation { id: "an-id".into(), function, deadline }).await
    }

    async fn tick(&self) -> Outcome {
        self.call(Trigger::Timer, "RotateKeys", 9 * MINUTE).await
    }

    /// The timer at work every five minutes, for so long.
    async fn live(&self, time: Duration) {
        let end = self.story.clock.now() + delta(time);
        while self.story.clock.now() < end {
            self.tick().await;
            self.story.clock.advance(5 * MINUTE);
        }
    }

    /// Puts events on record, as a run or a person does.
    async fn record(&self, events: impl IntoIterator<Item = Event>) {
        let Story { store, clock, config, .. } = &self.story;
        let id = &config.instances[0].id;
        let mut lease = Lease::acquire(store.clone(), clock.clone(), id, "a test").await.unwrap();
        events.into_iter().for_each(|event| lease.record(event).unwrap());
        lease.release().await.unwrap();
    }

    async fn look(&self, asked: StatusAsked) -> Outcome {
        self.call(Trigger::Status(asked), "Status", Duration::from_secs(25)).await
    }

    async fn json(&self) -> Value {
        match self.look(StatusAsked { json: true, ..StatusAsked::default() }).await.reply {
            Some(Reply { content: Content::Json(page), .. }) => page,
            other => panic!("{other:?}"),
        }
    }

    async fn page(&self) -> (String, Vec<(&'static str, String)>) {
        match self.look(StatusAsked::default()).await.reply {
            Some(Reply { content: Content::Page { body, headers }, .. }) => (body, headers),
            other => panic!("{other:?}"),
        }
    }

    /// The condition of the first service.
    async fn condition(&self) -> (String, String) {
        let condition = self.json().await["services"][0]["condition"].clone();
        let text = |name: &str| condition[name].as_str().unwrap().to_owned();
        (text("type"), text("reason"))
    }
}

fn is(condition: &(String, String), state: &str, reason: &str) -> bool {
    (condition.0.as_str(), condition.1.as_str()) == (state, reason)
}

#[tokio::test]
async fn it_shows_a_rotation_from_the_first_look_to_the_last() {
    let app = App::of(Story::new().await);
    let condition = app.condition().await;
    assert!(is(&condition, "Unknown", "NeverRun"), "{condition:?}");
    app.tick().await;
    let page = app.json().await;
    assert_eq!(page["schemaVersion"], 1);
    let service = &page["services"][0];
    assert_eq!(service["condition"]["type"], "Rotating", "{service:#}");
    app.live(8 * HOUR).await;
    let service = &app.json().await["services"][0];
    assert_eq!(service["condition"]["type"], "Ready", "{service:#}");
    assert!(service["condition"]["whatToDo"].is_null());
    let key = app.story.key("sr-demo", KeyType::Secondary).fingerprint().to_string();
    assert_eq!(service["keys"]["secondary"]["fingerprint"], key.as_str());
    assert_eq!(
        (&service["keys"]["secondary"]["held"], &service["keys"]["primary"]["held"]),
        (&json!("now"), &json!("never"))
    );
    assert_eq!(service["nextDue"], service["keys"]["secondary"]["due"]);
    let consumers = service["consumers"].as_array().unwrap();
    assert_eq!(consumers.len(), 3, "{service:#}");
    for consumer in consumers {
        assert_eq!((&consumer["kind"], &consumer["holds"]), (&json!("appService"), &json!(["secondary"])));
        assert!(consumer["observed"].is_string(), "{consumer:#}");
    }
    let timeline = &service["timeline"];
    let count = |of: &str| timeline[of].as_array().unwrap().len();
    assert_eq!(
        (count("lives"), count("moves"), count("graces"), count("outages")),
        (4, 1, 1, 0),
        "{timeline:#}"
    );
    assert_eq!(timeline["moves"][0]["keyType"], "Secondary");
    assert_eq!(service["runs"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn who_is_cut_off_is_shown_and_that_it_is_over() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let cut_off = async |kind| {
        app.story.sim.clear_faults();
        app.story.sim.fault(Fault::new("WebApps_UpdateApplicationSettings", kind).times(u64::MAX));
        app.story.clock.advance(5 * MINUTE);
        app.tick().await;
        let service = app.json().await["services"][0].clone();
        let condition = service["condition"].clone();
        let message = condition["message"].as_str().unwrap().to_owned();
        assert!(message.contains("chat-web") && message.contains("are being refused"), "{message}");
        let consumers = service["consumers"].as_array().unwrap();
        let holds = |name| consumers.iter().find(|one| one["name"] == name).unwrap()["holds"].clone();
        // These were given nothing, whatever was tried.
        assert_eq!((holds("chat-web"), holds("chat-func")), (json!(["stale"]), json!(["stale"])));
        let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        ((text("type"), text("reason")), message, text("whatToDo"))
    };
    app.story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    // What passes by itself needs nobody.
    let (condition, _, what) = cut_off(FaultKind::Unavailable).await;
    assert!(is(&condition, "Repairing", "CutOff"), "{condition:?}");
    assert_eq!(what, "");
    // It cannot be repaired.
    let (condition, message, what) = cut_off(FaultKind::Forbidden).await;
    assert!(is(&condition, "Blocked", "CutOff"), "{condition:?}");
    assert!(message.contains("AuthorizationFailed"), "{message}");
    assert_eq!(what, "signalr-rekey doctor");
    // A notice tells that it is over, without the timer.
    app.story.sim.clear_faults();
    let event = json!([{
        "id": "1", "eventType": "Microsoft.Resources.ResourceActionSuccess",
        "eventTime": app.story.clock.now(), "subject": "s", "topic": "t", "dataVersion": "1", "metadataVersion": "1",
        "data": {
            "resourceUri": app.story.config.instances[0].id.to_string(),
            "operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action",
            "status": "Succeeded", "authorization": {}, "claims": {}, "correlationId": "c", "subscriptionId": "s",
            "tenantId": "t", "resourceProvider": "Microsoft.SignalRService",
        },
    }]);
    let events = notice::read(&event, "the event").unwrap();
    let outcome = app.call(Trigger::Events(events), "OnKeyNotice", 25 * Duration::from_secs(1)).await;
    assert_eq!(outcome.failure, None);
    let condition = app.condition().await;
    assert!(condition.1 != "CutOff", "{condition:?}");
    let timeline = &app.json().await["services"][0]["timeline"];
    assert!(timeline["outages"][0]["until"].is_string(), "{timeline:#}");
    assert!(timeline["moves"].as_array().unwrap().iter().any(|one| one["repair"] == true), "{timeline:#}");
}

/// What keeps a run from repairing them is told with those who are cut off, and so is who finds out why.
#[tokio::test]
async fn why_who_is_cut_off_is_not_repaired_is_shown() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let forbidden = Fault::new("WebApps_ListApplicationSettings", FaultKind::Forbidden);
    app.story.sim.fault(forbidden.on("chat-func").times(u64::MAX));
    app.story.force("sr-demo", &[KeyType::Primary, KeyType::Secondary]).unwrap();
    app.live(HOUR).await;
    let condition = &app.json().await["services"][0]["condition"];
    assert_eq!(condition["reason"], "CutOff", "{condition:#}");
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.contains("chat-func") && message.contains("403") && !message.contains("chat-web"),
        "{message}"
    );
    assert!(condition["whatToDo"].as_str().unwrap().contains("doctor"), "{condition:#}");
}

#[tokio::test]
async fn what_is_old_is_not_known_any_more() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    // The last run was five minutes ago. The next one is due, may take nine minutes, and tells at its end.
    app.story.clock.advance(8 * MINUTE);
    assert!(is(&app.condition().await, "Ready", "Settled"));
    app.story.clock.advance(2 * MINUTE);
    let page = app.json().await;
    let condition = &page["services"][0]["condition"];
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("Unknown"), &json!("Outdated")));
    // Who looks from elsewhere goes by the schedule of whoever told, and not by his own.
    let mut config = app.story.config.clone();
    config.schedule = Some("0 0 0 * * *".into());
    let elsewhere = Dispatcher::new(Engine { config: Arc::new(config), ..app.story.rekey() });
    let look = StatusAsked { json: true, instance: None };
    let deadline = app.story.clock.now() + delta(MINUTE);
    let looked = Invocation { id: "an-id".into(), function: "Status", deadline };
    match elsewhere.run(Trigger::Status(look), looked).await.reply {
        Some(Reply { content: Content::Json(page), .. }) => {
            assert_eq!(page["services"][0]["condition"], *condition);
        }
        other => panic!("{other:?}"),
    }
    assert!(condition["message"].as_str().unwrap().contains("then it was: settled"), "{condition:#}");
    assert!(condition["whatToDo"].as_str().unwrap().contains("RotateKeys"), "{condition:#}");
}

/// What persons have said, and what windows make of the next rotation.
#[tokio::test]
async fn a_pause_and_when_the_next_rotation_begins_are_shown() {
    let mut story = Story::new().await;
    let today = story.clock.now().date_naive();
    let freeze = format!("{}..{} UTC", today + chrono::Days::new(20), today + chrono::Days::new(39));
    story.config.instances[0].policy.freezes = vec![freeze.parse().unwrap()];
    let app = App::of(story);
    app.live(8 * HOUR).await;
    let service = &app.json().await["services"][0];
    assert_eq!(service["paused"], Value::Null, "{service:#}");
    let begins = format!("{}T00:00:00Z", today + chrono::Days::new(40));
    assert_eq!(service["nextBegins"], json!(begins), "{service:#}");
    let (page, _) = app.page().await;
    assert!(page.contains("The next rotation begins then at the earliest"), "{page}");

    let until = app.story.clock.now() + delta(3 * HOUR);
    let (by, why) = ("<b>ada</b>".to_owned(), "an audit".to_owned());
    app.record([Event::Paused { until, by, why }]).await;
    app.live(10 * MINUTE).await;
    let service = &app.json().await["services"][0];
    assert_eq!(service["paused"]["why"], json!("an audit"), "{service:#}");
    let (page, _) = app.page().await;
    assert!(page.contains("Rotations are paused by &lt;b&gt;ada&lt;/b&gt; (an audit) since "), "{page}");
}

/// Those who were repaired and are not well hold nothing back, and are not all well.
#[tokio::test]
async fn who_did_not_come_back_after_a_repair_is_shown() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    assert!(is(&app.condition().await, "Ready", "Settled"));
    let apps = app.story.config.instances[0].consumers().take(1).collect();
    let detail = "chat-web answered 503".into();
    app.record([Event::RepairIntended { apps }, Event::RepairFailed { detail }]).await;
    app.live(10 * MINUTE).await;
    let condition = app.condition().await;
    assert!(is(&condition, "Blocked", "NotBack"), "{condition:?}");
    let service = &app.json().await["services"][0];
    let told = service["condition"].to_string();
    assert!(told.contains("chat-web answered 503") && told.contains("signalr-rekey unblock"), "{told}");
}

#[tokio::test]
async fn since_when_it_stands_so_is_since_the_first_run_that_told_it() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let since = app.json().await["services"][0]["condition"]["since"].clone();
    app.live(HOUR).await;
    let service = app.json().await["services"][0].clone();
    assert_eq!(service["condition"]["since"], since);
    assert!(service["at"].as_str().unwrap() > since.as_str().unwrap());
}

#[tokio::test]
async fn it_holds_no_key_and_lets_a_browser_load_nothing() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let (body, headers) = app.page().await;
    for text in [body, format!("{headers:?}"), app.json().await.to_string()] {
        for secret in [KEY_MARK, "eyJ", "&s=", "AccessKey="] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let header = |name: &str| headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    assert_eq!(
        (header("cache-control").as_str(), header("content-type").as_str()),
        ("no-store", "text/html; charset=utf-8")
    );
}

#[tokio::test]
async fn one_service_is_shown_alone_and_none_that_is_not_configured() {
    let app = App::of(Story::of(world(3, 1), Options::default()).await);
    app.tick().await;
    let asked = |name: String| StatusAsked { instance: Some(name), json: true };
    for named in [service(1), service(1).to_uppercase(), app.story.config.instances[1].id.to_string()] {
        match app.look(asked(named)).await.reply {
            Some(Reply { content: Content::Json(page), .. }) => {
                let names: Vec<_> =
                    page["services"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
                assert_eq!(names, [&json!(service(1))]);
            }
            other => panic!("{other:?}"),
        }
    }
    let outcome = app.look(asked("nobody".into())).await;
    assert_eq!(outcome.failure.as_deref(), Some("no configured service has this name or id"));
    assert_eq!(outcome.reply.unwrap().status, 404);
}

/// The same store, where the status page's documents can be neither read nor written, or never answer.
#[derive(Debug)]
struct Without {
    store: Arc<dyn Store>,
    answers: bool,
}

impl Without {
    async fn fail(&self, name: &str) -> Result<(), StoreError> {
        match (name.starts_with("overview-"), self.answers) {
            (false, _) => Ok(()),
            (true, true) => Err(StoreError::Unavailable("the disk is full".into())),
            (true, false) => std::future::pending().await,
        }
    }
}

#[async_trait::async_trait]
impl Store for Without {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.store.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        self.fail(name).await?;
        self.store.put(name, body, expected).await
    }
}

/// What cannot be written delays no repair by more than seconds, fails none, is told, and is not known when it is old.
#[tokio::test]
async fn an_overview_that_cannot_be_written_fails_no_repair_and_is_told() {
    for (answers, why) in [(true, "the disk is full"), (false, "the storage did not answer within 4s")] {
        let mut app = App::of(Story::new().await);
        app.live(8 * HOUR).await;
        let store = Arc::new(Without { store: app.story.store.clone(), answers });
        app.process = Dispatcher::new(Engine { store, ..app.story.rekey() });
        app.story.force("sr-demo", &[KeyType::Secondary]).unwrap();
        app.story.clock.advance(30 * MINUTE);
        let (log, guard) = Log::capture();
        assert_eq!(app.tick().await.failure, None);
        drop(guard);
        all_hold(&app.story);
        let said = log.text();
        assert!(
            said.contains("the overview for the status page could not be written") && said.contains(why),
            "{said}"
        );
        assert!(is(&app.condition().await, "Unknown", "Outdated"));
    }
}

/// A first run that is stopped has put nothing on record: nobody knows how the service stands, and nothing is blocked.
#[tokio::test]
async fn a_first_run_that_is_stopped_tells_nothing() {
    let story = Story::new().await;
    let engine = story.rekey();
    let stop = engine.stop.clone();
    story.sim.after("WebApps_ListApplicationSettings", 1, move |_| stop.ask());
    let app = App { process: Dispatcher::new(engine), story };
    app.tick().await;
    assert!(app.story.requests("SignalR_ListKeys") > 0 && app.story.journal().await.keys().is_none());
    let condition = app.condition().await;
    assert!(is(&condition, "Unknown", "NeverRun"), "{condition:?}");
}

/// A process whose clock is wrong tells what it sees all the same, and hides nothing of what others tell after it.
#[tokio::test]
async fn a_wrong_clock_hides_nothing() {
    let mut app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let right = Arc::clone(&app.process);
    for minutes in [-120, 120, 6, 5, -5, 4, -4] {
        // One that sees that all is well, by a wrong clock; then one that sees who is cut off, by another.
        let told = app.story.clock.now();
        for (minutes, fits) in [(minutes, "Ready"), (-minutes, "Blocked"), (0, "Blocked")] {
            if fits == "Ready" {
                app.story.sim.clear_faults();
                app.tick().await;
            } else {
                let fault = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden);
                app.story.sim.fault(fault.times(u64::MAX));
                app.story.force("sr-demo", &KeyType::ALL).unwrap();
            }
            let by = chrono::TimeDelta::minutes(minutes);
            app.process = Dispatcher::new(app.story.worker_by(by));
            let deadline = app.story.clock.now() + by + delta(9 * MINUTE);
            let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
            app.process.run(Trigger::Timer, invocation).await;
            if fits == "Blocked" {
                let condition = app.condition().await;
                assert!(is(&condition, "Blocked", "CutOff"), "{minutes}, by itself: {condition:?}");
            }
            app.process = Arc::clone(&right);
            if fits == "Blocked" {
                let service = &app.json().await["services"][0];
                assert_eq!(service["condition"]["reason"], "CutOff", "{minutes}, by a right clock");
                let since = service["condition"]["since"].as_str().unwrap();
                let since: chrono::DateTime<chrono::Utc> = since.parse().unwrap();
                let now = app.story.clock.now() + chrono::TimeDelta::seconds(3);
                assert!(told <= since && since <= now, "{minutes}: {since}");
            }
            app.story.clock.advance(30 * Duration::from_secs(1));
        }
    }
    app.story.sim.clear_faults();
    app.tick().await;
    let condition = app.condition().await;
    assert!(is(&condition, "Ready", "Settled"), "{condition:?}");
}

/// Who was cut off when that could last be checked is so until a check shows that he is not.
#[tokio::test]
async fn who_is_cut_off_stays_so_while_nothing_can_be_seen() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    app.story
        .sim
        .fault(Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden).times(u64::MAX));
    app.story.force("sr-demo", &KeyType::ALL).unwrap();
    app.tick().await;
    let first = app.json().await["services"][0]["condition"].clone();
    assert_eq!(first["reason"], "CutOff");
    for kind in [FaultKind::Forbidden, FaultKind::Unavailable, FaultKind::Forbidden] {
        app.story.clock.advance(5 * MINUTE);
        app.story.sim.fault(Fault::new("SignalR_ListKeys", kind).times(100));
        app.tick().await;
        let condition = &app.json().await["services"][0]["condition"];
        assert_eq!((&condition["type"], &condition["reason"]), (&first["type"], &first["reason"]));
        assert_eq!(condition["since"], first["since"]);
        let message = condition["message"].as_str().unwrap();
        assert_eq!(message.matches("are being refused").count(), 1, "{message}");
        assert!(message.contains("cannot list the keys"), "{message}");
        app.story.sim.clear_faults();
        let write = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden);
        app.story.sim.fault(write.times(u64::MAX));
    }
    app.story.sim.clear_faults();
    app.tick().await;
    assert!(is(&app.condition().await, "Ready", "Settled"));
}

/// What somebody has edited, damaged, or written by another release is not taken for what it is not; the next run writes it anew.
#[tokio::test]
async fn what_cannot_be_is_not_believed() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let name = "overview-0.json";
    let (written, _) = app.story.store.get(name).await.unwrap().document.unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    let id = app.story.config.instances[0].id.to_string();
    let put = async |body: Vec<u8>| {
        let etag = app.story.store.get(name).await.unwrap().document.map(|(_, etag)| etag);
        app.story.store.put(name, body, etag.as_ref()).await.unwrap();
    };
    let with = |field: &str, value: Value| {
        let mut edited = written.clone();
        let (_, service) = edited["services"].as_object_mut().unwrap().iter_mut().next().unwrap();
        assert_eq!(service["instance"].as_str().unwrap().to_lowercase(), id.to_lowercase());
        service[field] = value;
        serde_json::to_vec(&edited).unwrap()
    };
    let tomorrow = json!(app.story.clock.now() + delta(24 * HOUR));
    for (body, reason) in [
        (with("at", tomorrow), "Outdated"),
        (with("knownUntil", Value::Null), "Outdated"),
        (with("condition", json!({ "type": "Levitating" })), "Unreadable"),
        (with("at", Value::Null), "Unreadable"),
        (with("instance", json!(id.replace("sr-demo", "sr-other"))), "Unreadable"),
        (b"{\"services\": {".to_vec(), "Unreadable"),
        (b"[]".to_vec(), "Unreadable"),
    ] {
        put(body).await;
        let condition = app.condition().await;
        assert!(is(&condition, "Unknown", reason), "{condition:?}");
        app.live(5 * MINUTE).await;
        assert!(is(&app.condition().await, "Ready", "Settled"), "the next run tells");
    }
    // What another release has written of another service stays.
    let mut edited = written.clone();
    let (other, newer) = (id.replace("sr-demo", "sr-other"), json!({ "newer": [1] }));
    edited["services"][&other] = newer.clone();
    put(serde_json::to_vec(&edited).unwrap()).await;
    app.live(10 * MINUTE).await;
    let (kept, _) = app.story.store.get(name).await.unwrap().document.unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let kept = kept["services"].as_object().unwrap();
    assert!(kept.len() == 2 && kept.values().any(|one| *one == newer), "{kept:?}");
}

/// A document is written that can be read, however many consumers there are; those who need somebody are in it.
#[tokio::test]
async fn a_crowd_of_consumers_is_shown_as_far_as_there_is_room() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let Story { store, clock, config, .. } = &app.story;
    let rhythm = Rhythm::of(config, clock.now());
    let mut told = kept::read(&**store, config).await.unwrap().services.remove(0);
    let consumer = told.consumers[0].clone();
    told.consumers = vec![consumer.clone(); 30_000];
    told.consumers[29_999].holds = vec!["stale".into()];
    told.condition.reason = "News".into();
    kept::write(&**store, config, &[told], rhythm, None).await.unwrap();
    let service = &app.json().await["services"][0];
    assert_eq!(service["condition"]["reason"], "News");
    let shown = service["consumers"].as_array().unwrap();
    let left_out = service["consumersLeftOut"].as_u64().unwrap();
    assert_eq!(shown.len() as u64 + left_out, 30_000);
    assert!(shown.len() >= 256 && shown[0]["holds"] == json!(["stale"]), "{}", shown.len());
    let (page, _) = app.page().await;
    assert!(page.contains(&format!("And {left_out} more")), "{left_out}");
}

/// Notices that find nothing new write nothing; the timer tells at each run that it still looks.
#[tokio::test]
async fn what_is_not_new_is_not_written() {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    let store = Counting::new(app.story.store.clone());
    let config = &app.story.config;
    let rhythm = Rhythm::of(config, app.story.clock.now());
    let kept = kept::read(&*store, config).await.unwrap().services.remove(0);
    let at = |time: Duration| kept.at.map(|at| at + delta(time));
    let later = ServiceOverview { at: at(MINUTE), ..kept.clone() };
    let mut news = later.clone();
    news.condition.reason = "Grace".into();
    let timer = ServiceOverview { at: at(6 * MINUTE), ..news.clone() };
    for (told, writes) in [(later, 0), (news, 1), (timer, 2)] {
        let shown = told.at;
        kept::write(&*store, config, &[told], rhythm, None).await.unwrap();
        assert_eq!(store.writes(), writes);
        let now = kept::read(&*store, config).await.unwrap().services.remove(0).at;
        assert_eq!(now, if writes == 0 { kept.at } else { shown });
    }
}

/// A fleet costs a request for each hundred services to look at, and two for each hundred to keep; one service of it costs one,
/// unless it moved within the file and no run has told of it since.
#[tokio::test]
async fn a_fleet_is_kept_and_read_a_hundred_services_at_a_time() {
    let story = Story::of(world(250, 1), Options::default()).await;
    let store = Counting::new(story.store.clone());
    let engine = Engine { store: store.clone(), ..story.rekey() };
    let app = App { process: Dispatcher::new(engine), story };
    app.tick().await;
    let before = store.requests();
    let page = app.json().await;
    assert_eq!((store.requests() - before, page["services"].as_array().unwrap().len()), (3, 250));
    let one = async |config: &Config| {
        let before = store.requests();
        let known = kept::read_named(&*store, config, &service(120)).await.unwrap().services;
        (store.requests() - before, known.iter().all(|one| one.at.is_some()), known.len())
    };
    let mut config = app.story.config.clone();
    assert_eq!(one(&config).await, (1, true, 1));
    config.instances.reverse();
    config.instances.rotate_left(50);
    assert_eq!(one(&config).await, (4, true, 1));
    let before = store.requests();
    let asked = StatusAsked { instance: Some(service(120)), json: true };
    assert_eq!(app.look(asked).await.reply.map(|reply| reply.status.as_u16()), Some(200));
    assert_eq!(store.requests() - before, 1);
}

/// Every field of the answer has its row in docs/status-page.md, and no row is of a field that is not there.
#[tokio::test]
async fn the_document_tells_every_field() {
    let mut story = Story::new().await;
    story.config.instances[0].policy.windows = vec!["daily 00:00-24:00 UTC".parse().unwrap()];
    story.config.instances[0].policy.tags = true;
    let app = App::of(story);
    app.live(8 * HOUR).await;
    app.story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    app.live(HOUR).await;
    let document = include_str!("../docs/status-page.md");
    let (_, fields) = document.split_once("## Fields").unwrap();
    let (fields, _) = fields.split_once("\n## ").unwrap();
    let rows = fields.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let told: Vec<&str> =
        rows.flat_map(|(names, _)| names.split('`').filter(|name| !name.starts_with(','))).collect();
    let told: Vec<&str> = told.into_iter().filter(|name| !name.is_empty()).collect();
    let mut found = std::collections::BTreeSet::new();
    walk("", &app.json().await, &mut found);
    for field in &found {
        let shown = field.replace("keys.secondary.", "keys.primary.");
        // The fields of what the timeline has stand in one row each.
        let is_told = told.iter().any(|name| {
            name.strip_suffix("[]").map_or(*name == shown, |list| shown.starts_with(&format!("{list}[].")))
        });
        let has_rows = told
            .iter()
            .any(|name| name.starts_with(&format!("{shown}.")) || name.starts_with(&format!("{shown}[]")));
        assert!(is_told || has_rows, "docs/status-page.md does not tell {field}");
    }
    for name in told {
        let list = name.trim_end_matches("[]");
        assert!(found.iter().any(|field| field == list), "there is no {name}");
    }
}

fn walk(at: &str, value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                found.insert(path.clone());
                walk(&path, value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(&format!("{at}[]"), item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_shown_in_a_real_browser() {
    browser::look().await;
}

/// `status --web`: what the run of a handler told is shown at the address that it prints, by the storage alone, and nothing
/// anywhere else.
#[tokio::test]
async fn the_command_shows_it_in_a_real_browser() {
    let azure = Azure::with_journals(&["sr-web"], &[]);
    let handler = Handler::start(&azure, &[]).await;
    assert_eq!(handler.tick().await.0, 200);
    let mut child = azure.command(&["status", "--web"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address: Url = address.trim().parse().unwrap();
    let base = address.origin().ascii_serialization();
    assert!(base.starts_with("http://127.0.0.1:") && address.path().len() == 33, "{address}");
    let text = browser::look_at(&base, address.path(), "command").await;
    assert!(text.contains("sr-web") && text.contains("web-sr-web") && text.contains("Ready"), "{text}");

    let (status, kind, stored, body) = ask(format!("{address}?format=json&instance=sr-web")).await;
    assert_eq!((status, kind.as_str(), stored.as_str()), (200, "application/json", "no-store"));
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&page["schemaVersion"], &page["services"][0]["name"]), (&json!(1), &json!("sr-web")));
    for (url, status, said) in [
        (format!("{address}?instance=nobody"), 404, "no configured service has this name or id"),
        (format!("{address}?<b>=1"), 400, "Status takes ?format=json and ?instance=NAME"),
        (format!("{base}/"), 404, ""),
        (format!("{base}/{}", "0".repeat(32)), 404, ""),
    ] {
        let (found, kind, _, body) = ask(url.clone()).await;
        assert!(
            found == status && body.contains(said) && !kind.contains("html"),
            "{url}: {found} {kind} {body}"
        );
    }
    assert!(interrupt(child));
}

/// What is answered at an address: the status, what it is, whether it may be stored, and the body.
async fn ask(url: String) -> (u16, String, String, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).send().await.unwrap();
    let header = |name: &str| {
        let all = answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap());
        all.collect::<Vec<_>>().join(", ")
    };
    let (status, kind, stored) = (answer.status().as_u16(), header("content-type"), header("cache-control"));
    (status, kind, stored, answer.text().await.unwrap())
}

/// Ctrl-c; whether the program ended well.
fn interrupt(mut child: Child) -> bool {
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    interrupted.success() && child.wait().unwrap().success()
}

/// The page at an address as soon as it shows something.
async fn shows(address: &str, what: impl Fn(&str) -> bool) -> String {
    for _ in 0..600 {
        let (status, kind, stored, page) = ask(address.to_owned()).await;
        assert_eq!((status, kind.as_str(), stored.as_str()), (200, "text/html; charset=utf-8", "no-store"));
        assert!(!page.contains("AccessKey=") && !page.contains("eyJ"), "{page}");
        if what(&page) {
            return page;
        }
        // Time is real here.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{address} does not show it: {}", ask(address.to_owned()).await.3);
}

/// Nothing is answered but the address itself, and what that takes.
async fn answers_nothing_else(address: &Url) {
    let base = address.origin().ascii_serialization();
    assert!(base.starts_with("http://127.0.0.1:") && address.path().len() == 33, "{address}");
    for (url, status) in [
        (format!("{base}/"), 404),
        (format!("{base}/{}", "0".repeat(32)), 404),
        (format!("{address}/"), 404),
        (format!("{address}?<b>=1"), 400),
    ] {
        let (found, kind, _, body) = ask(url.clone()).await;
        assert!(found == status && !kind.contains("html") && !body.contains("sr-"), "{url}: {found} {body}");
    }
}

/// How many client calls a page tells of, and how many of them were refused.
fn calls(page: &str) -> (u64, u64) {
    let (_, title) = page.split_once("<title>").unwrap();
    let (refused, rest) = title.split_once(" of ").unwrap();
    let (calls, _) = rest.split_once(" client calls refused").unwrap();
    (calls.parse().unwrap(), refused.parse().unwrap())
}

/// `simulate --web`: its keys by their fingerprints, who signs with which, its traffic, and what was asked of it.
#[tokio::test]
async fn the_embedded_azure_is_shown_live_in_a_real_browser() {
    let azure = Azure::start(&["--web", "--restart-takes", "200ms"]);
    let address: Url = azure.web.as_ref().unwrap().parse().unwrap();
    answers_nothing_else(&address).await;
    let first = shows(address.as_str(), |page| page.contains(">P</text>")).await;
    assert!(first.contains(r#"<meta http-equiv="refresh" content="1">"#));
    for told in
        ["chat-web/staging", "signs with the Primary key", "Hold it still", "3</b> connections of apps"]
    {
        assert!(first.contains(told), "{told}: {first}");
    }
    assert!(first.contains("chat-func, chat-web, chat-web/staging"), "who signs with the key: {first}");
    let later = shows(address.as_str(), |page| calls(page).0 > calls(&first).0 + 10).await;
    assert_eq!(calls(&later).1, 0);

    let keys = listed_keys(&azure).await;
    let asked = shows(address.as_str(), |page| page.contains("SignalR_ListKeys")).await;
    let old = fingerprints(&asked);
    azure.force("sr-demo", "Primary").await;
    let refused = shows(address.as_str(), |page| page.contains("signs with an invalid key")).await;
    for key in keys.iter().chain(&listed_keys(&azure).await) {
        assert!(key.len() > 40 && !asked.contains(key) && !refused.contains(key), "a key is shown");
    }
    assert!(refused.contains("sr-demo: Primary key replaced by force"), "{refused}");
    assert!(refused.contains("client calls to sr-demo are refused") && calls(&refused).1 > 0, "{refused}");
    let new = fingerprints(&refused);
    assert!(old.len() == 2 && old[0] != new[0] && old[1] == new[1], "{old:?} {new:?}");

    let base = address.origin().ascii_serialization();
    let text = browser::look_at(&base, &format!("{}?still", address.path()), "simulate").await;
    assert!(text.contains("Let it move") && text.contains("The embedded Azure, live"), "{text}");
    browser::watch(&base, address.path(), "simulate-moves").await;
    let (_, _, _, still) = ask(format!("{address}?still")).await;
    assert!(!still.contains("http-equiv"), "{still}");
}

/// The keys as Azure Resource Manager tells them.
async fn listed_keys(azure: &Azure) -> Vec<String> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url =
        format!("{}/msi/token?api-version=2019-08-01&resource=https://management.azure.com", azure.base());
    let token = http.get(url).header("X-IDENTITY-HEADER", &azure.environment["IDENTITY_HEADER"]);
    let token: Value = token.send().await.unwrap().json().await.unwrap();
    let service = azure.get("world").await["instances"][0].as_str().unwrap().to_owned();
    let url = format!("{}{service}/listKeys?api-version=2024-03-01", azure.base());
    let list = http.post(url).bearer_auth(token["access_token"].as_str().unwrap()).json(&json!({}));
    let keys: Value = list.send().await.unwrap().json().await.unwrap();
    ["primaryKey", "secondaryKey"].map(|name| keys[name].as_str().unwrap().to_owned()).into()
}

fn fingerprints(page: &str) -> Vec<&str> {
    page.split("<code>").skip(1).map(|rest| rest.split_once("</code>").unwrap().0).collect()
}

/// `demo --web`: the traffic beside the status page, until ctrl-c.
#[tokio::test]
async fn the_demo_is_shown_live_in_a_real_browser() {
    let mut demo = program(&["demo", "--web"]);
    let mut child = demo.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut address = String::new();
    stdout.read_line(&mut address).unwrap();
    let address: Url = address.trim().parse().unwrap();
    answers_nothing_else(&address).await;
    let first = shows(address.as_str(), |page| page.contains("the timer fires")).await;
    assert!(first.contains("The first run is at work"), "{first}");
    let moved = shows(address.as_str(), |page| page.contains("signs with the Secondary key")).await;
    assert!(moved.contains("about to regenerate the Secondary key") && calls(&moved).1 == 0, "{moved}");
    let base = address.origin().ascii_serialization();
    browser::watch(&base, address.path(), "demo-moves").await;
    let over = shows(address.as_str(), |page| page.contains("The demo is over")).await;
    assert!(over.contains("Both keys were rotated under traffic") && over.contains("Outage: at "), "{over}");
    assert!(calls(&over).1 > 0, "those of the forced regeneration");
    let text = browser::look_at(&base, &format!("{}?still", address.path()), "demo").await;
    assert!(text.contains("What the status page shows") && text.contains("Ready"), "{text}");
    let goes_on = shows(address.as_str(), |page| calls(page).0 > calls(&over).0).await;
    assert!(!goes_on.to_lowercase().contains("demokey"), "{goes_on}");
    assert!(interrupt(child));
    let mut told = String::new();
    stdout.read_to_string(&mut told).unwrap();
    assert!(told.contains("host     the timer fires") && told.contains("the longest outage"), "{told}");
}

#[test]
fn the_command_does_not_show_what_it_cannot_know() {
    let azure = Azure::start(&[]);
    let output = azure.command(&["status", "--web"]).env("REKEY_STATE", "memory").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty() && said.contains("kept beside its journal"), "{said}");
}

/// Function apps that share a storage leave each other's services alone.
#[tokio::test]
async fn two_function_apps_with_one_storage_show_each_its_own() {
    let both = Story::of(world(2, 1), Options::default()).await;
    let of = |number: usize| {
        let mut config = both.config.clone();
        config.instances = vec![config.instances[number].clone()];
        config
    };
    let told = |number: usize, at| ServiceOverview {
        at: Some(at),
        ..ServiceOverview::unknown(&both.config.instances[number])
    };
    let now = both.clock.now();
    let rhythm = Rhythm::of(&both.config, now);
    let write = async |number: usize, at| {
        let told = [told(number, at)];
        kept::write(&*both.store, &of(number), &told, rhythm, None).await.unwrap();
    };
    write(0, now).await;
    write(1, now + delta(MINUTE)).await;
    let shown = async || kept::read(&*both.store, &of(0)).await.unwrap().services.remove(0).at;
    assert_eq!(shown().await, Some(now));
    // One that nobody writes any more is not kept for ever.
    both.clock.advance(60 * HOUR);
    write(1, both.clock.now()).await;
    assert_eq!(shown().await, None);
}
