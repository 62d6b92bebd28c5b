//! What the operator's webhook is told, over real HTTP.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::proxy::{Answer, Proxy};
use common::{HOUR, KEY_MARK, MINUTE, Story, all_hold};
use embedded_azure::{Fault, FaultKind};
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use rekey_core::model::{ConsumerId, KeyType};
use rekey_core::plan::External;
use rekey_core::policy::ApprovalPolicy;
use rekey_core::time::delta;
use serde_json::Value;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::NotifyConfig;
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::engine::{Engine, Order};
use signalr_rekey::handler::{Invocation, Runner, Trigger};
use signalr_rekey::store::Lease;
use tokio::sync::Notify;

const SIGNING_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A webhook: what it was told, and what it answers.
#[derive(Clone, Default)]
struct Hook {
    told: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    /// Whether it takes what it is told and never answers.
    hangs: Arc<Mutex<bool>>,
    never: Arc<Notify>,
}

impl Hook {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/hook?secret=HOOKSECRET")
    }

    /// The types that were told and their texts, in order.
    fn told(&self) -> Vec<(String, String)> {
        let told = self.told.lock().unwrap();
        let read = |(headers, body): &(HeaderMap, Bytes)| {
            let body: Value = serde_json::from_slice(body).unwrap();
            (headers["ce-type"].to_str().unwrap().to_owned(), body["text"].as_str().unwrap().to_owned())
        };
        told.iter().map(read).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.told().into_iter().map(|(kind, _)| kind).collect()
    }
}

async fn take(State(hook): State<Hook>, headers: HeaderMap, body: Bytes) -> StatusCode {
    hook.told.lock().unwrap().push((headers, body));
    if *hook.hangs.lock().unwrap() {
        hook.never.notified().await;
    }
    hook.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::NO_CONTENT)
}

/// A story whose workers tell a webhook.
struct Told {
    story: Story,
    hook: Hook,
    rekey: Engine,
}

impl Told {
    async fn new() -> Self {
        let (mut story, hook) = (Story::new().await, Hook::default());
        let config = NotifyConfig::new(&hook.serve().await).unwrap();
        story.config.notify = Some(config.signed_by(&STANDARD.encode(SIGNING_KEY)).unwrap());
        let rekey = story.rekey();
        Self { story, hook, rekey }
    }

    /// A run, and what it told.
    async fn run(&self, intent: Intent) {
        let order: Order = self.story.order(intent, 9 * MINUTE);
        self.rekey.run(&order).await;
        self.rekey.notifier.as_ref().unwrap().drain().await;
    }

    async fn tick(&self) {
        self.run(Intent::operator(false)).await;
        self.story.clock.advance(10 * MINUTE);
    }

    async fn watch(&self, time: Duration) {
        for _ in 0..time.as_secs() / 600 {
            self.tick().await;
        }
    }
}

#[tokio::test]
async fn a_rotation_a_repairing_and_a_drift_are_told_once() {
    let told = Told::new().await;
    told.watch(6 * HOUR).await;
    assert_eq!(told.hook.kinds(), ["SignalRRekey.Rotated"]);
    let in_use = all_hold(&told.story);
    told.story.force("sr-demo", &[in_use]).unwrap();
    told.run(Intent::check()).await;
    told.watch(HOUR).await;
    told.story.force("sr-demo", &[in_use]).unwrap();
    told.watch(HOUR).await;
    let (kinds, texts): (Vec<_>, Vec<_>) = told.hook.told().into_iter().unzip();
    assert_eq!(kinds, ["SignalRRekey.Rotated", "SignalRRekey.Repaired", "SignalRRekey.DriftFound"]);
    assert!(texts[1].contains("chat-func") && texts[1].starts_with("sr-demo: "), "{texts:?}");
}

/// Whatever answers for the service takes each key, as long as it is asked: that is announced, and hinders nothing.
#[tokio::test]
async fn an_old_key_that_is_still_accepted_is_announced_and_blocks_nothing() {
    let mut told = Told::new().await;
    let takes_any_key = |request: &str| {
        let mut accepted = Answer::new(404, "text/plain", "");
        accepted.headers.insert("x-ms-error-code", "Warning.User.NotExisted".parse().unwrap());
        request.starts_with("HEAD /api/").then_some(accepted)
    };
    let proxy = Proxy::start(told.story.sim.base(), takes_any_key).await;
    told.rekey = told.story.worker(&proxy.base, told.story.store.clone(), told.story.clock.clone());
    told.watch(6 * HOUR).await;
    assert_eq!((told.story.requests("SignalR_RegenerateKey"), told.story.refused()), (2, 0));
    let (kinds, texts): (Vec<_>, Vec<_>) = told.hook.told().into_iter().unzip();
    assert_eq!(kinds, ["SignalRRekey.OldKeyAccepted"; 2]);
    assert!(texts[0].contains(", after 16 calls"), "{texts:?}");
    // The second time less of the run's time was left.
    assert!(texts.iter().all(|text| text.contains("the service still accepts the old key ")), "{texts:?}");
    // It is in the log as well, and the rotation is over, with its evidence.
    let said = told.story.told.lock().unwrap().clone();
    assert_eq!(said.iter().filter(|line| line.contains("still accepts the old key")).count(), 2, "{said:#?}");
    let journal = told.story.journal().await;
    let evidence = journal.evidence();
    assert!(evidence.open().is_none() && evidence.waiting().len() == 0 && evidence.head().is_some());
}

#[tokio::test]
async fn what_is_told_is_a_signed_cloud_event_without_a_key() {
    let told = Told::new().await;
    told.watch(6 * HOUR).await;
    let requests = told.hook.told.lock().unwrap();
    let (headers, body) = &requests[0];
    let header = |name: &str| headers[name].to_str().unwrap();
    let instance = told.story.config.instances[0].id.to_string();
    assert_eq!((header("ce-specversion"), header("ce-source")), ("1.0", instance.as_str()));
    assert_eq!(header("content-type"), "application/json");
    assert!(header("ce-time").parse::<chrono::DateTime<chrono::Utc>>().is_ok());
    assert_eq!(header("ce-id"), header("webhook-id"));

    let text = std::str::from_utf8(body).unwrap();
    let signed = format!("{}.{}.{text}", header("webhook-id"), header("webhook-timestamp"));
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY);
    hmac::verify(&key, signed.as_bytes(), &signature).expect("the signature is good");
    assert!(hmac::verify(&key, format!("{signed} ").as_bytes(), &signature).is_err());

    for (headers, body) in requests.iter() {
        let all = format!("{headers:?}{}", std::str::from_utf8(body).unwrap());
        assert!(!all.contains(KEY_MARK) && !all.contains("AccessKey"), "{all}");
    }
}

#[tokio::test]
async fn what_lasts_is_told_when_it_begins_and_once_in_six_hours() {
    let told = Told::new().await;
    told.watch(6 * HOUR).await;
    told.hook.told.lock().unwrap().clear();
    let forbidden = Fault::new("SignalR_ListKeys", FaultKind::Forbidden).times(1000);
    told.story.sim.fault(forbidden);
    told.watch(5 * HOUR).await;
    assert_eq!(told.hook.kinds(), ["SignalRRekey.Failed"]);
    told.watch(2 * HOUR).await;
    assert_eq!(told.hook.kinds(), ["SignalRRekey.Failed", "SignalRRekey.Failed"]);
    told.story.sim.clear_faults();
    told.tick().await;
    told.story.sim.fault(Fault::new("SignalR_ListKeys", FaultKind::Forbidden));
    told.tick().await;
    assert_eq!(told.hook.kinds().len(), 3, "it was over in between, so it is news");

    // What a person has to see to.
    let reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)";
    told.story.sim.edit_setting("chat-func", "AzureSignalRConnectionString", Some(reference)).unwrap();
    told.story.clock.advance(31 * 24 * HOUR);
    told.watch(4 * HOUR).await;
    let told = told.hook.told();
    let (kind, text) = told.last().unwrap();
    assert!(kind == "SignalRRekey.Blocked" && text.contains("refers to a Key Vault secret"), "{told:?}");
}

/// Who is cut off is told at once, whatever was told before, and again when more are; in whichever process.
#[tokio::test]
async fn that_it_gets_worse_is_told_at_once() {
    let Told { story, hook, .. } = Told::new().await;
    story.watch(6 * HOUR).await;
    hook.told.lock().unwrap().clear();
    let forbid = |operation| story.sim.fault(Fault::new(operation, FaultKind::Forbidden).times(u64::MAX));
    forbid("WebApps_ListApplicationSettings");
    run_each_alone(&story, 3).await;
    assert_eq!(hook.kinds(), ["SignalRRekey.Blocked"]);
    story.sim.clear_faults();
    forbid("WebApps_UpdateApplicationSettings");
    story.force("sr-demo", &KeyType::ALL).unwrap();
    run_each_alone(&story, 3).await;
    assert_eq!(hook.kinds()[1..], ["SignalRRekey.CutOff"]);
    forbid("WebApps_UpdateApplicationSettingsSlot");
    story.force("sr-demo", &KeyType::ALL).unwrap();
    run_each_alone(&story, 3).await;
    assert_eq!(hook.kinds()[1..], ["SignalRRekey.CutOff", "SignalRRekey.CutOff"]);
    // Another in the place of the one that was told.
    for app in ["chat-func", "chat-web"] {
        story.sim.clear_faults();
        story.sim.fault(
            Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden).on(app).times(u64::MAX),
        );
        story.force("sr-demo", &KeyType::ALL).unwrap();
        run_each_alone(&story, 2).await;
    }
    let told = hook.told();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[3].1.contains("cut off, because their key is invalid: chat-web"), "{told:?}");
    let names = |at: usize| told[at].1.contains("chat-web/staging (app setting");
    assert!(!names(1) && names(2), "{told:?}");
}

/// Runs of the timer, each in a process of its own.
async fn run_each_alone(story: &Story, runs: u32) {
    for _ in 0..runs {
        let rekey = story.rekey();
        let deadline = story.clock.now() + delta(9 * MINUTE);
        let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
        Dispatcher::new(rekey.clone()).run(Trigger::Timer, invocation).await;
        rekey.notifier.unwrap().drain().await;
        story.clock.advance(5 * MINUTE);
    }
}

/// On Flex Consumption each of the timer's runs may be a process of its own.
#[tokio::test]
async fn what_lasts_is_told_no_more_often_when_each_run_has_its_own_process() {
    let Told { story, hook, .. } = Told::new().await;
    story.watch(6 * HOUR).await;
    hook.told.lock().unwrap().clear();
    story.sim.fault(Fault::new("SignalR_ListKeys", FaultKind::Forbidden).times(10_000));
    run_each_alone(&story, 60).await;
    assert_eq!(hook.kinds(), ["SignalRRekey.Failed"], "in five hours");
    run_each_alone(&story, 24).await;
    assert_eq!(hook.kinds().len(), 2, "in seven hours");
    story.sim.clear_faults();
    run_each_alone(&story, 1).await;
    story.sim.fault(Fault::new("SignalR_ListKeys", FaultKind::Forbidden));
    run_each_alone(&story, 1).await;
    assert_eq!(hook.kinds().len(), 3, "it was over in between, so it is news");
}

/// Who is to change something is told what, by whom and where; and no key.
#[tokio::test]
async fn what_a_person_has_to_change_is_asked_for() {
    let mut told = Told::new().await;
    let consumer: ConsumerId = "manual:gateway".parse().unwrap();
    let external = External {
        id: consumer.clone(),
        within: 24 * HOUR,
        owner: Some("Ada".into()),
        ticket: Some("https://tickets.example/7".into()),
    };
    told.story.config.instances[0].external = vec![external];
    told.rekey = told.story.rekey();
    told.tick().await;
    assert_eq!(told.hook.kinds(), ["SignalRRekey.Blocked"], "nobody has said which key it holds");
    let fingerprint = told.story.key("sr-demo", KeyType::Primary).fingerprint();
    say(&told, Event::Acknowledged { consumer, fingerprint, by: "ada".into() }).await;
    told.hook.told.lock().unwrap().clear();

    told.watch(6 * HOUR).await;
    assert_eq!(told.hook.kinds(), ["SignalRRekey.ChangeRequested"], "once in six hours");
    let (_, body) = told.hook.told.lock().unwrap()[0].clone();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let asked = &body["waitingFor"][0];
    for (field, value) in [
        ("kind", "manual"),
        ("name", "gateway"),
        ("owner", "Ada"),
        ("ticket", "https://tickets.example/7"),
        ("leave", "Primary"),
        ("take", "Secondary"),
    ] {
        assert_eq!(asked[field], value, "{body}");
    }
    assert_eq!(body["waitingFor"].as_array().unwrap().len(), 1);
    assert!(!body.to_string().contains(KEY_MARK), "{body}");
    told.watch(24 * HOUR).await;
    let (kind, text) = told.hook.told().pop().unwrap();
    assert!(kind == "SignalRRekey.Blocked" && text.contains("late: ") && text.contains("gateway"), "{text}");
}

/// Puts a person's word on record, as the commands do.
async fn say(told: &Told, event: Event) {
    let (store, clock) = (told.story.store.clone(), told.story.clock.clone());
    let id = &told.story.config.instances[0].id;
    let mut lease = Lease::acquire(store, clock, id, "a person").await.unwrap();
    lease.record(event).unwrap();
    lease.release().await.unwrap();
}

/// A pause is told where a rotation is due, and then the approval that it waits for, with what it would do; and no key.
#[tokio::test]
async fn a_pause_and_a_missing_approval_of_a_due_rotation_are_told() {
    let mut told = Told::new().await;
    told.story.config.instances[0].policy.approval = ApprovalPolicy::Required;
    told.rekey = told.story.rekey();
    let until = told.story.clock.now() + delta(12 * HOUR);
    say(&told, Event::Paused { until, by: "ada".into(), why: "an audit".into() }).await;
    told.watch(4 * HOUR).await;
    let [(kind, text)] = &told.hook.told()[..] else { panic!("{:?}", told.hook.told()) };
    assert_eq!(kind, "SignalRRekey.Paused", "once, and nobody is asked meanwhile");
    assert!(text.contains("ada") && text.contains("an audit"), "{text}");
    told.hook.told.lock().unwrap().clear();

    say(&told, Event::Resumed { by: "ada".into() }).await;
    told.watch(HOUR).await;
    assert_eq!(told.hook.kinds(), ["SignalRRekey.ApprovalRequested"], "once in six hours");
    let (_, body) = told.hook.told.lock().unwrap()[0].clone();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let approval = &body["approval"];
    let in_use = told.story.key("sr-demo", KeyType::Primary).fingerprint();
    assert_eq!((&approval["key"], &approval["keyType"]), (&in_use.to_string().into(), &"Primary".into()));
    assert_eq!(approval["restarts"].as_array().unwrap().len(), 3, "{body}");
    let would_do = approval["wouldDo"].to_string();
    assert!(would_do.contains("regenerate the Secondary key") && would_do.contains("chat-web"), "{body}");
    assert!(!body.to_string().contains(KEY_MARK), "{body}");
    assert_eq!(all_hold(&told.story), KeyType::Primary);
}

/// The log is late, so that who it was is told after the repair.
#[tokio::test]
async fn who_wrote_an_old_string_back_is_told() {
    let mut told = Told::new().await;
    told.story.config.instances[0].policy.name_writers = true;
    told.rekey = told.story.rekey();
    let setting = "Azure__SignalR__ConnectionString";
    let old = told.story.sim.settings("chat-web").unwrap()[setting].clone();
    told.watch(6 * HOUR).await;
    told.hook.told.lock().unwrap().clear();
    told.story.sim.edit_setting("chat-web", setting, Some(&old)).unwrap();
    told.watch(HOUR).await;
    assert_eq!(told.hook.kinds(), ["SignalRRekey.Repaired", "SignalRRekey.WriterNamed"]);
    let (_, body) = told.hook.told.lock().unwrap()[1].clone();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let writers = body["writers"].as_array().unwrap();
    assert!(writers.len() == 1 && writers[0]["by"] == "colleague@example.com", "{body}");
    assert!(writers[0]["consumer"].as_str().unwrap().ends_with("/sites/chat-web"), "{body}");
    assert_eq!(writers[0]["action"], "Microsoft.Web/sites/config/write", "{body}");
    assert!(body["text"].as_str().unwrap().contains("colleague@example.com"), "{body}");
    assert!(!body.to_string().contains(KEY_MARK), "{body}");
}

/// It is repaired, and does not come back.
#[tokio::test]
async fn an_app_that_does_not_come_back_after_a_repair_is_told() {
    let mut told = Told::new().await;
    told.watch(6 * HOUR).await;
    told.hook.told.lock().unwrap().clear();
    let (url, _) = common::health::health(|| false).await;
    let instance = &mut told.story.config.instances[0];
    let id = instance.consumers().find(|consumer| consumer.name() == "chat-web").unwrap();
    instance.policy.watched.insert(id.clone());
    instance.health.insert(id, url);
    told.rekey = told.story.rekey();
    let in_use = all_hold(&told.story);
    told.story.force("sr-demo", &[in_use]).unwrap();
    told.watch(HOUR).await;
    let kinds = told.hook.kinds();
    assert_eq!(kinds.iter().filter(|kind| *kind == "SignalRRekey.Unhealthy").count(), 1, "{kinds:?}");
    let told = told.hook.told();
    let (_, text) = told.iter().find(|(kind, _)| kind == "SignalRRekey.Unhealthy").unwrap();
    assert!(
        text.contains("did not come back") && text.contains("chat-web") && text.contains("503"),
        "{text}"
    );
}

#[tokio::test]
async fn a_webhook_that_is_down_for_a_while_is_told_again() {
    let told = Told::new().await;
    let down = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::OK];
    told.hook.answers.lock().unwrap().extend(down);
    told.watch(6 * HOUR).await;
    let told = told.hook.told.lock().unwrap();
    let ids: Vec<_> = told.iter().map(|(headers, _)| headers["ce-id"].clone()).collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "the same event three times: {ids:?}");
}

#[tokio::test]
async fn a_webhook_that_refuses_is_told_once() {
    let told = Told::new().await;
    told.hook.answers.lock().unwrap().extend([StatusCode::GONE]);
    told.watch(6 * HOUR).await;
    assert_eq!(told.hook.kinds().len(), 1);
}

#[tokio::test]
async fn a_webhook_that_hangs_keeps_no_work_waiting() {
    let told = Told::new().await;
    *told.hook.hangs.lock().unwrap() = true;
    for _ in 0..36 {
        told.rekey.run(&told.story.order(Intent::operator(false), 9 * MINUTE)).await;
        told.story.clock.advance(10 * MINUTE);
    }
    let in_use = all_hold(&told.story);
    told.story.force("sr-demo", &[in_use]).unwrap();
    let reports = told.rekey.run(&told.story.order(Intent::check(), MINUTE)).await;
    assert!(reports[0].ending.is_repaired());
    assert_eq!(all_hold(&told.story), in_use.other());
    assert!(KeyType::ALL.contains(&in_use));
    while told.hook.kinds().len() < 2 {
        tokio::task::yield_now().await;
    }
    let asked = format!("{:?}", told.rekey.notifier);
    assert!(!asked.contains("HOOKSECRET"), "{asked}");
}
