//! Machines that report which key they hold, over the handler's HTTP; and what persons change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::common::{DAY, HOUR, MINUTE, Story, document_name};
use super::settled;
use chrono::TimeDelta;
use rekey_core::intent::{Cause, Intent};
use rekey_core::journal::Event;
use rekey_core::model::{ConsumerId, Key, KeyType};
use rekey_core::plan::External;
use rekey_core::policy::FirstRotation;
use serde_json::{Value, json};
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::handler::{self, Budgets, Invocation, KeyReport, Outcome, Runner, Trigger};
use signalr_rekey::report::RunReport;
use signalr_rekey::store::{Lease, Store};

const IIS: &str = "iis-01";
const GATEWAY: &str = "partner-gateway";

fn external(id: &str, within: Duration) -> External {
    let (owner, ticket) = (Some("Ada".to_owned()), Some("https://tickets.example/7".to_owned()));
    let is_manual = id.starts_with("manual:");
    External {
        id: id.parse().unwrap(),
        within,
        owner: owner.filter(|_| is_manual),
        ticket: ticket.filter(|_| is_manual),
    }
}

/// A service with apps, and a machine that is none of Azure's.
struct Machines {
    story: Story,
    /// The key that the machine signs with.
    key: Key,
    address: SocketAddr,
}

impl Machines {
    /// The machine holds the primary key, as the apps do, and has said nothing yet.
    async fn new() -> Self {
        Self::of(&[external("reporter:iis-01", HOUR)]).await
    }

    async fn of(externals: &[External]) -> Self {
        let mut story = Story::new().await;
        story.config.instances[0].external = externals.to_vec();
        let key = story.key("sr-demo", KeyType::Primary);
        let address = serve(&story).await;
        Self { story, key, address }
    }

    /// The same, and it has reported.
    async fn reported() -> Self {
        let machines = Self::new().await;
        machines.report_of(IIS).await;
        machines
    }

    fn instance(&self) -> String {
        self.story.config.instances[0].id.to_string()
    }

    /// What the machine says under a name.
    async fn report_of(&self, name: &str) -> Value {
        let (status, body) = self.send(&self.body(name)).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    fn body(&self, name: &str) -> Value {
        let fingerprint = self.key.fingerprint();
        json!({ "instance": self.instance(), "name": name, "fingerprint": fingerprint })
    }

    /// Sends a report as the Functions host hands it on: what whoever sent it is answered.
    async fn send(&self, body: &Value) -> (u64, Value) {
        self.send_text(&body.to_string()).await
    }

    async fn send_text(&self, body: &str) -> (u64, Value) {
        let url = "https://x/api/OnReport?code=FUNCTIONKEY";
        let sent = self.sent(json!({ "Url": url, "Method": "POST", "Body": body })).await;
        let body = serde_json::from_str(sent["body"].as_str().unwrap()).unwrap();
        (sent["statusCode"].as_u64().unwrap(), body)
    }

    /// What the host is told to answer to a request.
    async fn sent(&self, request: Value) -> Value {
        let envelope = json!({ "Data": { "req": request }, "Metadata": {} });
        let answer = reqwest::Client::new()
            .post(format!("http://{}/OnReport", self.address))
            .header("content-type", "application/json")
            .body(envelope.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "the host takes all else for a fault of the function");
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        answer["Outputs"]["res"].clone()
    }

    /// Takes the key that the apps have; the machine's agent finds it in a secret.
    fn fetch(&mut self) {
        self.key = self.story.held("chat-web", "Azure__SignalR__ConnectionString");
    }

    /// Whether the machine signs with a key that the service takes.
    fn works(&self) -> bool {
        KeyType::ALL.iter().any(|key_type| self.story.key("sr-demo", *key_type) == self.key)
    }

    fn regenerations(&self) -> usize {
        self.story.requests("SignalR_RegenerateKey")
    }

    /// The timer at work every ten minutes, for so long; the machine works all the time.
    async fn watch(&self, time: Duration) -> RunReport {
        let end = self.story.clock.now() + TimeDelta::from_std(time).unwrap();
        loop {
            let report = self.story.tick().await.pop().unwrap();
            assert!(self.works(), "the machine was cut off: {}", report.summary());
            if self.story.clock.now() >= end {
                return report;
            }
            self.story.clock.advance(10 * MINUTE);
        }
    }

    /// The same until the machine alone is waited for.
    async fn until_asked(&self) -> RunReport {
        for _ in 0..60 {
            let report = self.watch(MINUTE).await;
            if report.summary().contains("waiting for these to take") {
                return report;
            }
            self.story.clock.advance(10 * MINUTE);
        }
        panic!("nobody was asked");
    }

    /// The document of the service.
    async fn document(&self) -> Vec<u8> {
        let name = document_name(&self.story.config.instances[0].id);
        let document = self.story.store.get(&name).await.unwrap().document;
        document.map(|(body, _)| body).unwrap_or_default()
    }

    async fn record(&self, event: Event) {
        let (store, clock) = (self.story.store.clone(), self.story.clock.clone());
        let id = &self.story.config.instances[0].id;
        let mut lease = Lease::acquire(store, clock, id, "a person").await.unwrap();
        lease.record(event).unwrap();
        lease.release().await.unwrap();
    }
}

/// A process of the deployed handler. Its own patience goes by the time of the machine: that of the story leaps.
async fn serve(story: &Story) -> SocketAddr {
    let budgets = Budgets { timer: 9 * MINUTE, notice: Duration::from_secs(25) };
    let runner = Arc::new(Dispatcher::new(story.rekey()));
    let listener = handler::listen(0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = handler::router(runner, Arc::new(SystemClock), budgets);
    tokio::spawn(handler::serve(listener, router));
    address
}

#[tokio::test]
async fn a_machine_that_reports_in_time_is_rotated_with_the_apps() {
    let mut machines = Machines::reported().await;
    let before = machines.key.clone();
    let asked = machines.until_asked().await;
    let told = asked.summary();
    assert!(!asked.ending.is_failure() && told.contains("reporter iis-01 (asked at "), "{told}");
    assert_eq!(machines.regenerations(), 1, "the other key alone is new");
    machines.fetch();
    assert_ne!(machines.key, before);
    let answer = machines.report_of(IIS).await;
    assert_eq!(
        (&answer["recorded"], &answer["known"], &answer["keyType"]),
        (&json!(true), &json!(false), &json!("Secondary")),
        "{answer}"
    );
    // Its grace of two and a half hours counts from there.
    let within = machines.watch(2 * HOUR).await;
    assert!(within.summary().contains("grace period of the Primary key"), "{}", within.summary());
    assert_eq!(machines.regenerations(), 1);
    let end = machines.watch(HOUR).await;
    assert!(settled(&[end]));
    assert_eq!((machines.regenerations(), machines.story.refused()), (2, 0));
}

#[tokio::test]
async fn a_machine_that_is_late_blocks_by_name_and_keeps_its_key() {
    let mut machines = Machines::reported().await;
    machines.until_asked().await;
    let late = machines.watch(HOUR + 20 * MINUTE).await;
    let told = late.summary();
    assert!(late.ending.is_failure() && told.contains("blocked: late: "), "{told}");
    assert!(told.contains("reporter iis-01") && told.contains("acknowledge"), "{told}");
    // For as long as it takes, and whatever a notice finds.
    let later = machines.watch(DAY).await;
    assert!(later.ending.is_failure() && machines.regenerations() == 1, "{}", later.summary());
    let notice = machines.story.repair().await.pop().unwrap();
    let lines = notice.lines().join("\n");
    assert!(lines.contains("reporter iis-01"), "every run tells who is waited for: {lines}");
    machines.fetch();
    machines.report_of(IIS).await;
    let end = machines.watch(4 * HOUR).await;
    assert!(settled(&[end]));
    assert_eq!((machines.regenerations(), machines.story.refused()), (2, 0));
}

#[tokio::test]
async fn a_machine_that_goes_back_to_the_old_key_is_waited_for_again() {
    let mut machines = Machines::reported().await;
    machines.until_asked().await;
    let old = machines.key.clone();
    machines.fetch();
    machines.report_of(IIS).await;
    machines.watch(2 * HOUR).await;
    // Somebody restored the machine from a backup.
    machines.key = old;
    machines.report_of(IIS).await;
    let asked = machines.watch(50 * MINUTE).await;
    assert!(asked.summary().contains("reporter iis-01 (asked at "), "{}", asked.summary());
    assert_eq!(machines.regenerations(), 1);
    let late = machines.watch(DAY).await;
    assert!(late.ending.is_failure() && machines.regenerations() == 1, "{}", late.summary());
    machines.fetch();
    machines.report_of(IIS).await;
    machines.watch(2 * HOUR).await;
    assert_eq!(machines.regenerations(), 1, "the grace counts from the last report");
    assert!(settled(&[machines.watch(2 * HOUR).await]));
}

#[tokio::test]
async fn of_a_machine_that_never_reported_nothing_is_known_and_nothing_is_done() {
    let machines = Machines::new().await;
    let blocked = machines.watch(DAY).await;
    let told = blocked.summary();
    assert!(blocked.ending.is_failure() && told.contains("reporter iis-01 has never reported"), "{told}");
    assert_eq!(machines.regenerations(), 0);
    assert_eq!(machines.story.requests("WebApps_UpdateApplicationSettings"), 0);
    machines.report_of(IIS).await;
    machines.until_asked().await;
    assert_eq!(machines.regenerations(), 1);
}

#[tokio::test]
async fn after_a_forced_regeneration_the_apps_are_repaired_and_the_machine_is_named() {
    let mut machines = Machines::reported().await;
    machines.story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    assert!(settled(&[machines.watch(HOUR).await]));
    machines.story.force("sr-demo", &[KeyType::Primary]).unwrap();
    let repaired = machines.story.repair().await.pop().unwrap();
    let told = repaired.summary();
    assert!(repaired.ending.is_failure() && told.contains("cut off"), "{told}");
    assert!(told.contains("reporter iis-01 (by what was last reported of it"), "{told}");
    assert!(told.contains("chat-web"), "the apps are repaired: {told}");
    let refused = machines.story.refused();
    machines.story.clock.advance(10 * MINUTE);
    assert_eq!(machines.story.refused(), refused, "the apps work again");
    let still = machines.story.tick().await.pop().unwrap();
    assert!(still.ending.is_failure() && still.summary().contains("iis-01"), "{}", still.summary());
    // Its agent fetches the key that the apps have.
    machines.fetch();
    machines.report_of(IIS).await;
    assert!(settled(&[machines.watch(10 * MINUTE).await]));
    assert!(!machines.story.journal().await.is_unrepaired());
}

#[tokio::test]
async fn compromised_keys_shorten_no_wait_for_a_machine() {
    let mut machines = Machines::reported().await;
    machines.story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    machines.watch(HOUR).await;
    let request = Intent::rotation(Cause::Compromised, None);
    machines.story.run(request, Duration::from_secs(25)).await;
    let asked = machines.until_asked().await;
    assert!(asked.summary().contains("compromised and stays valid until"), "{}", asked.summary());
    machines.watch(12 * HOUR).await;
    assert_eq!(machines.regenerations(), 1);
    machines.fetch();
    machines.report_of(IIS).await;
    // The grace is the short one.
    machines.watch(30 * MINUTE).await;
    assert_eq!(machines.regenerations(), 2);
}

#[tokio::test]
async fn what_a_person_changes_waits_for_his_word() {
    let mut machines = Machines::of(&[external("manual:partner-gateway", DAY)]).await;
    let consumer: ConsumerId = "manual:partner-gateway".parse().unwrap();
    let unsaid = machines.watch(HOUR).await;
    let told = unsaid.summary();
    assert!(unsaid.ending.is_failure() && told.contains("manual consumer partner-gateway"), "{told}");
    let by = "ada".to_owned();
    let word = |key: &Key| Event::Acknowledged {
        consumer: consumer.clone(),
        fingerprint: key.fingerprint(),
        by: by.clone(),
    };
    machines.record(word(&machines.key)).await;
    let asked = machines.until_asked().await;
    let told = asked.summary();
    assert!(told.contains("manual consumer partner-gateway (asked at "), "{told}");
    assert!(told.contains("owner Ada; https://tickets.example/7"), "{told}");
    let patient = machines.watch(20 * HOUR).await;
    assert!(!patient.ending.is_failure() && machines.regenerations() == 1, "{}", patient.summary());
    let late = machines.watch(5 * HOUR).await;
    assert!(late.ending.is_failure() && late.summary().contains("partner-gateway"), "{}", late.summary());
    machines.fetch();
    machines.record(word(&machines.key)).await;
    machines.watch(2 * HOUR).await;
    assert_eq!(machines.regenerations(), 1, "the grace begins there");
    assert!(settled(&[machines.watch(HOUR).await]));
    let journal = machines.story.journal().await;
    assert_eq!(journal.report(&consumer).unwrap().by.as_deref(), Some("ada"));
    // A report says it as well, from a pipeline, say.
    let answer = machines.report_of(GATEWAY).await;
    assert_eq!(answer["known"], true, "{answer}");
}

#[tokio::test]
async fn a_service_without_an_app_that_we_can_write_is_rotated_by_reports_alone() {
    let mut machines = Machines::reported().await;
    machines.story.config.instances[0].apps.clear();
    let asked = machines.until_asked().await;
    assert!(asked.summary().contains("iis-01"), "{}", asked.summary());
    machines.key = machines.story.key("sr-demo", KeyType::Secondary);
    machines.report_of(IIS).await;
    assert!(settled(&[machines.watch(4 * HOUR).await]));
    assert_eq!(machines.regenerations(), 2);
}

#[tokio::test]
async fn what_is_no_report_of_ours_is_refused_and_nothing_changes() {
    let machines = Machines::reported().await;
    machines.watch(MINUTE).await;
    let before = machines.document().await;
    let good = machines.body(IIS);
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    let another = machines.instance().replace("sr-demo", "sr-other");
    let without = |member: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(member);
        body
    };
    for (body, status, said) in [
        (with("name", json!("iis-02")), 404, "iis-02 is neither among the reporters"),
        (with("name", json!("chat-web")), 404, "chat-web is neither"),
        (with("instance", json!(another)), 404, "sr-other is not in"),
        (with("instance", json!("sr-demo")), 400, "instance: it is not the resource id"),
        (with("name", json!("a b")), 400, "name: it is not a name"),
        (with("fingerprint", json!("0123456789abcde")), 400, "fingerprint: it is not a fingerprint"),
        (with("fingerprint", json!(machines.key.expose())), 400, "fingerprint: it is not a fingerprint"),
        (with("fingerprint", json!(7)), 400, "fingerprint: it is not a text"),
        (with("keyType", json!("Primary")), 400, "other members"),
        (without("fingerprint"), 400, "fingerprint: it is missing"),
        (json!([good]), 400, "it is not a JSON object"),
    ] {
        let (answered, answer) = machines.send(&body).await;
        assert_eq!(answered, status, "{answer}");
        let told = answer["error"].as_str().unwrap();
        assert!(told.contains(said), "{told}");
        assert!(!told.contains(machines.key.expose()), "{told}");
        assert_eq!(machines.document().await, before, "{told}");
    }
    let (answered, answer) = machines.send_text("").await;
    assert_eq!(answered, 400, "{answer}");
    let (answered, answer) = machines.send_text("{\"instance\":").await;
    assert_eq!(answered, 400, "{answer}");
    assert_eq!(machines.document().await, before);
}

/// Whoever has the function's key may say of a configured name what he likes. It moves no app, and no key is regenerated by it.
#[tokio::test]
async fn a_report_causes_nothing_by_itself() {
    let machines = Machines::reported().await;
    assert_eq!(machines.story.sim.requests().len(), 0, "Azure is asked nothing");
    let mut machines = machines;
    machines.story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    machines.watch(HOUR).await;
    let forged = json!({
        "instance": machines.instance(), "name": IIS, "fingerprint": Key::new("forged").fingerprint(),
    });
    let (status, answer) = machines.send(&forged).await;
    assert_eq!((status, &answer["keyType"]), (200, &Value::Null), "{answer}");
    assert!(answer["text"].as_str().unwrap().contains("neither of the two"), "{answer}");
    let blocked = machines.watch(10 * MINUTE).await;
    assert!(blocked.ending.is_failure() && blocked.summary().contains("iis-01"), "{}", blocked.summary());
    machines.report_of(IIS).await;
    assert!(settled(&[machines.watch(DAY).await]));
    assert_eq!(machines.regenerations(), 0);
    assert_eq!(machines.story.requests("WebApps_UpdateApplicationSettings"), 0);
}

#[tokio::test]
async fn what_is_on_record_is_said_again_without_a_write_until_an_hour_is_over() {
    let machines = Machines::reported().await;
    let before = machines.document().await;
    machines.story.clock.advance(50 * MINUTE);
    let again = machines.report_of(&IIS.to_uppercase()).await;
    assert_eq!((&again["recorded"], &again["known"]), (&json!(true), &json!(true)), "{again}");
    assert_eq!(machines.document().await, before);
    machines.story.clock.advance(20 * MINUTE);
    assert_eq!(machines.report_of(IIS).await["known"], true);
    let journal = machines.story.journal().await;
    let report = journal.report(&"reporter:iis-01".parse().unwrap()).unwrap();
    assert_eq!(report.at, machines.story.clock.now(), "that it is still there");
    assert!(report.since < report.at);
}

/// The lease is another's: what is news waits for its turn, as long as there is time; what is none does not wait.
#[tokio::test]
async fn beside_a_run_a_report_waits_and_says_so_if_it_could_not_be_taken() {
    let machines = Machines::reported().await;
    machines.watch(MINUTE).await;
    let (store, clock) = (machines.story.store.clone(), machines.story.clock.clone());
    let id = machines.story.config.instances[0].id.clone();
    let lease = Lease::acquire(store, clock, &id, "a run").await.unwrap();
    let document = machines.document().await;

    let dispatcher = Dispatcher::new(machines.story.rekey());
    let report = |key: &Key| KeyReport {
        service: id.clone(),
        name: IIS.parse().unwrap(),
        fingerprint: key.fingerprint(),
    };
    let send = async |key: &Key, time: i64| -> Outcome {
        let deadline = machines.story.clock.now() + TimeDelta::seconds(time);
        let invocation = Invocation { id: "1".into(), function: "OnReport", deadline };
        dispatcher.run(Trigger::Report(report(key)), invocation).await
    };
    let other = machines.story.key("sr-demo", KeyType::Secondary);
    let refused = send(&other, 25).await;
    assert_eq!(refused.reply.as_ref().unwrap().status, 503, "{refused:?}");
    let why = refused.failure.unwrap();
    assert!(why.contains("a run") && why.contains("send it again"), "{why}");
    assert_eq!(machines.document().await, document, "the run's lease stands");
    let known = send(&machines.key, 25).await;
    assert_eq!(known.reply.unwrap().status, 200, "what is on record waits for nobody");
    // The run that had it died: its lease ends after two minutes.
    drop(lease);
    let taken = send(&other, 180).await;
    assert_eq!(taken.reply.unwrap().status, 200, "{:?}", taken.failure);
    let journal = machines.story.journal().await;
    let said = journal.report(&"reporter:iis-01".parse().unwrap()).unwrap();
    assert_eq!(said.fingerprint, other.fingerprint());
}

/// Two processes of the app, and several machines at once.
#[tokio::test]
async fn reports_to_two_processes_at_once_are_all_on_record() {
    let names = ["a", "b", "c", "d", "e"];
    let externals: Vec<External> =
        names.iter().map(|name| external(&format!("reporter:{name}"), HOUR)).collect();
    let mut machines = Machines::of(&externals).await;
    let first = machines.address;
    let second = serve(&machines.story).await;
    machines.watch(MINUTE).await;
    let mut sent = Vec::new();
    for (n, name) in names.iter().enumerate() {
        machines.address = if n % 2 == 0 { first } else { second };
        let url = format!("http://{}/OnReport", machines.address);
        let request = json!({ "Method": "POST", "Body": machines.body(name).to_string() });
        let envelope = json!({ "Data": { "req": request }, "Metadata": {} }).to_string();
        sent.push(tokio::spawn(async move {
            let answer = reqwest::Client::new().post(url).body(envelope).send().await.unwrap();
            serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
        }));
    }
    for answer in sent {
        let answer = answer.await.unwrap();
        assert_eq!(answer["Outputs"]["res"]["statusCode"], 200, "{answer}");
    }
    let journal = machines.story.journal().await;
    for name in names {
        let report = journal.report(&format!("reporter:{name}").parse().unwrap()).unwrap();
        assert_eq!(report.fingerprint, machines.key.fingerprint(), "{name}");
    }
}

/// Of many services the keys alone are checked; who only reports is not forgotten there.
#[tokio::test]
async fn a_report_is_seen_by_a_run_that_reads_no_app() {
    let mut machines = Machines::reported().await;
    machines.story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    machines.watch(MINUTE).await;
    let report = |journal: &rekey_core::journal::Journal| {
        let keys = machines.story.keys("sr-demo").unwrap();
        let listed = rekey_core::model::PerKey::from_fn(|key_type| keys[key_type].fingerprint());
        let service = &machines.story.config.instances[0];
        let apps = service.apps.iter().map(|app| ConsumerId::from(&app.id));
        let (now, external) = (machines.story.clock.now(), service.external.iter().cloned());
        rekey_core::plan::quiet(&listed, apps, external, journal, &service.policy, now, now)
    };
    assert!(report(&machines.story.journal().await).is_some(), "nothing has happened");
    machines.key = Key::new("of another service");
    machines.report_of(IIS).await;
    assert_eq!(report(&machines.story.journal().await), None);
}

/// What is sent twice, or not by POST, is no report; and the answer names things as they are configured.
#[tokio::test]
async fn a_report_is_read_exactly_and_answered_by_the_names_of_the_configuration() {
    let machines = Machines::reported().await;
    let before = machines.document().await;
    let body = machines.body(IIS).to_string();
    let twice = body.replacen('{', "{\"name\":\"iis-02\",", 1);
    let (status, said) = machines.send_text(&twice).await;
    let error = said["error"].as_str().unwrap();
    assert!(status == 400 && error.contains("name: it is there more than once"), "{status} {said}");
    for request in [json!({ "Method": "GET", "Body": body }), json!({ "Body": body })] {
        let sent = machines.sent(request).await;
        assert_eq!((&sent["statusCode"], &sent["headers"]["allow"]), (&json!(405), &json!("POST")), "{sent}");
    }
    assert_eq!(machines.document().await, before);
    let other = json!({
        "instance": machines.instance().to_uppercase(), "name": "IIS-01", "fingerprint": machines.key.fingerprint(),
    });
    let (status, said) = machines.send(&other).await;
    assert_eq!(
        (status, &said["instance"], &said["name"]),
        (200, &json!(machines.instance()), &json!(IIS)),
        "{said}"
    );
}

/// A key that is compromised is said to be so also when who holds it is late; who is to be asked is named when he is cut off.
#[tokio::test]
async fn who_is_late_with_a_compromised_key_is_told_so_and_whom_to_ask_is_told_when_it_is_cut_off() {
    let mut machines = Machines::of(&[external("manual:partner-gateway", HOUR)]).await;
    machines.story.config.instances[0].policy.first_rotation = FirstRotation::WhenDue;
    machines.report_of(GATEWAY).await;
    machines.watch(HOUR).await;
    machines.story.run(Intent::rotation(Cause::Compromised, None), Duration::from_secs(25)).await;
    machines.until_asked().await;
    let late = machines.watch(2 * HOUR).await.summary();
    assert!(late.contains("late: ") && late.contains("key, which is compromised, stays valid"), "{late}");
    assert!(late.contains("; owner Ada; https://tickets.example/7"), "{late}");
    let events = machines.story.journal().await;
    let history = signalr_rekey::report::text::journal::history(&events);
    let awaited =
        history.iter().any(|(_, told)| told.ends_with("are waited for: manual consumer partner-gateway"));
    assert!(awaited, "{history:?}");
    machines.story.force("sr-demo", &KeyType::ALL).unwrap();
    let cut_off = machines.story.repair().await.pop().unwrap().summary();
    let whom = "can give it another; owner Ada; https://tickets.example/7)";
    assert!(
        cut_off.contains("manual consumer partner-gateway (by what") && cut_off.contains(whom),
        "{cut_off}"
    );
}
