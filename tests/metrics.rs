//! What a receiver of OTLP is told, over real HTTP, read with the protocol's own types and held against what happened.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use common::log::Log;
use common::{HOUR, KEY_MARK, MINUTE, Story, all_hold};
use embedded_azure::{Fault, FaultKind};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use prost::Message;
use rekey_core::model::KeyType;
use rekey_core::notice::Event;
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::{Environment, Metrics, metrics};
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};
use signalr_rekey::metrics::INSTRUMENTS;
use tokio::sync::Notify;

/// A receiver: what it was sent, and what it answers.
#[derive(Clone, Default)]
struct Receiver {
    sent: Arc<Mutex<Vec<Export>>>,
    /// What it answers next. It takes all otherwise.
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// Whether it takes what it is sent, and never answers.
    hangs: Arc<Mutex<bool>>,
    arrived: Arc<Notify>,
    never: Arc<Notify>,
}

#[derive(Clone, Copy)]
enum Answer {
    /// With what it was told by as its words.
    Refuses(StatusCode),
    TakesAllBut(i64),
    /// 200, of a type and with a body.
    Says(&'static str, &'static [u8]),
}

#[derive(Clone)]
struct Export {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Export {
    fn is_json(&self) -> bool {
        self.headers["content-type"] == "application/json"
    }

    fn read(&self) -> ExportMetricsServiceRequest {
        if self.is_json() {
            return serde_json::from_slice(&self.body).unwrap();
        }
        assert_eq!(self.headers["content-type"], "application/x-protobuf");
        ExportMetricsServiceRequest::decode(&self.body[..]).unwrap()
    }

    fn metrics(&self) -> Vec<Metric> {
        let scopes = self.read().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).collect()
    }

    fn resource(&self) -> BTreeMap<String, String> {
        let resource = self.read().resource_metrics.remove(0).resource.unwrap();
        named(&resource.attributes)
    }

    fn sum_points(&self) -> Vec<NumberDataPoint> {
        let sums = self.metrics().into_iter().filter(|metric| matches!(metric.data, Some(Data::Sum(_))));
        sums.flat_map(|metric| points(&metric)).collect()
    }

    /// Each point: its metric, what it is of, and its value.
    fn points(&self) -> Vec<(String, BTreeMap<String, String>, f64)> {
        let of = |metric: Metric| {
            let points = points(&metric).into_iter();
            points.map(move |point| (metric.name.clone(), named(&point.attributes), value(&point)))
        };
        self.metrics().into_iter().flat_map(of).collect::<Vec<_>>()
    }

    /// The one point of a metric that is of this.
    fn value(&self, name: &str, of: &[(&str, &str)]) -> Option<f64> {
        let fits = |(metric, attributes, _): &&(String, BTreeMap<String, String>, f64)| {
            metric == name && of.iter().all(|(key, value)| attributes.get(*key).is_some_and(|is| is == value))
        };
        let points = self.points();
        let mut found = points.iter().filter(fits);
        let value = found.next().map(|(.., value)| *value);
        assert!(found.next().is_none(), "{name} {of:?} is there twice");
        value
    }

    /// The sums of a metric, by one of the attributes.
    fn sums(&self, name: &str, by: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (_, of, value) in self.points().iter().filter(|(metric, ..)| metric == name) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
            let value = *value as u64;
            *sums.entry(of[by].clone()).or_default() += value;
        }
        sums
    }
}

fn points(metric: &Metric) -> Vec<NumberDataPoint> {
    match metric.data.clone().unwrap() {
        Data::Gauge(gauge) => gauge.data_points,
        Data::Sum(sum) => sum.data_points,
        other => panic!("{other:?}"),
    }
}

fn named(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().unwrap().value.as_ref().unwrap() {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|one| (one.key.clone(), text(&one.value))).collect()
}

#[allow(clippy::cast_precision_loss, reason = "no count is so large")]
fn value(point: &NumberDataPoint) -> f64 {
    match point.value.unwrap() {
        Number::AsDouble(value) => value,
        Number::AsInt(value) => value as f64,
    }
}

impl Receiver {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn sent(&self) -> Vec<Export> {
        self.sent.lock().unwrap().clone()
    }

    fn last(&self) -> Export {
        self.sent().pop().unwrap()
    }
}

/// A proxy answers in the place of the receiver.
const A_PAGE: Answer = Answer::Says("text/html; charset=utf-8", b"<html>please sign in</html>");

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let export = Export { path: uri.path().to_owned(), headers, body };
    receiver.sent.lock().unwrap().push(export.clone());
    receiver.arrived.notify_one();
    if *receiver.hangs.lock().unwrap() {
        receiver.never.notified().await;
    }
    let rejected = match receiver.answers.lock().unwrap().pop_front().unwrap_or(Answer::TakesAllBut(0)) {
        Answer::Refuses(status) => return (status, format!("{uri} {:?}", export.headers)).into_response(),
        Answer::Says("", body) => return Response::new(body.into()),
        Answer::Says(kind, body) => return ([("content-type", kind)], body).into_response(),
        Answer::TakesAllBut(rejected) => rejected,
    };
    let partial = (rejected != 0).then(|| ExportMetricsPartialSuccess {
        rejected_data_points: rejected,
        error_message: "too old".into(),
    });
    let answer = ExportMetricsServiceResponse { partial_success: partial };
    match export.is_json() {
        true => Json(answer).into_response(),
        false => ([("content-type", "application/x-protobuf")], answer.encode_to_vec()).into_response(),
    }
}

/// A story whose processes export to a receiver.
struct Told {
    story: Story,
    receiver: Receiver,
    endpoint: String,
    dispatcher: Arc<Dispatcher>,
}

impl Told {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let (story, receiver) = (Story::new().await, Receiver::default());
        let endpoint = receiver.serve().await;
        Self::to(story, receiver, &endpoint, settings)
    }

    fn to(mut story: Story, receiver: Receiver, endpoint: &str, settings: &[(&str, &str)]) -> Self {
        let own = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)];
        let environment: Environment = own.iter().chain(settings).copied().collect();
        story.config.metrics = metrics::read(&environment);
        assert!(matches!(story.config.metrics, Metrics::To(_)), "{:?}", story.config.metrics);
        let dispatcher = Dispatcher::new(story.rekey());
        Self { story, receiver, endpoint: endpoint.to_owned(), dispatcher }
    }

    /// From here on it is another process.
    fn restart(&mut self) {
        self.dispatcher = Dispatcher::new(self.story.rekey());
    }

    async fn call(&self, trigger: Trigger, time: Duration) -> Outcome {
        let deadline = self.story.clock.now() + delta(time);
        let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
        Runner::run(&self.dispatcher, trigger, invocation).await
    }

    async fn tick(&self) -> Outcome {
        self.call(Trigger::Timer, 9 * MINUTE).await
    }

    async fn notice(&self) -> Outcome {
        let event = Event {
            kind: "Microsoft.Resources.ResourceActionSuccess".into(),
            operation: Some("Microsoft.SignalRService/SignalR/regenerateKey/action".into()),
            ..Event::default()
        };
        self.call(Trigger::Events(vec![event]), Duration::from_secs(25)).await
    }

    /// The timer at work every ten minutes.
    async fn watch(&self, time: Duration) {
        for _ in 0..time.as_secs() / 600 {
            let outcome = self.tick().await;
            assert_eq!(outcome.failure, None);
            self.story.clock.advance(10 * MINUTE);
        }
    }

    /// How often it was told that a cause had been overcome.
    fn again(&self, log: &Log) -> usize {
        times(log, &format!("are exported to {} again", self.endpoint))
    }

    fn service(&self) -> String {
        self.story.config.instances[0].id.to_string()
    }

    /// Requests as the embedded Azure counted them.
    fn requests(&self) -> BTreeMap<String, u64> {
        let counted = self.story.sim.report().arm_requests;
        counted.into_iter().map(|(operation, times)| (ours(operation), times)).collect()
    }
}

/// The embedded Azure calls two of them by their paths.
fn ours(operation: &str) -> String {
    match operation {
        "SignalR_OperationStatuses" => "SignalR_OperationStatus",
        "SignalR_OperationResults" => "SignalR_OperationResult",
        other => other,
    }
    .to_owned()
}

const OPERATION: &str = "signalr_rekey.azure.operation";
const OUTCOME: &str = "signalr_rekey.outcome";
const KEY: &str = "signalr_rekey.key.type";

fn unix(at: DateTime<Utc>) -> f64 {
    (at - DateTime::UNIX_EPOCH).as_seconds_f64()
}

#[tokio::test]
async fn the_numbers_are_what_happened() {
    for protocol in ["http/protobuf", "http/json"] {
        let told = Told::new(&[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        told.watch(6 * HOUR).await;
        let now = told.story.clock.now() - delta(10 * MINUTE);
        let (last, service) = (told.receiver.last(), told.service());
        assert_eq!(last.is_json(), protocol == "http/json");
        let regenerations = told.story.sim.report().instances["sr-demo"].regenerations;
        assert!(regenerations > 0);
        let sums = |name, by| last.sums(name, by);
        assert_eq!(
            sums("signalr_rekey.regenerations", OUTCOME),
            [("regenerated".to_owned(), regenerations)].into()
        );
        assert_eq!(sums("signalr_rekey.rotations", OUTCOME), [("completed".to_owned(), 1)].into());
        assert_eq!(sums("signalr_rekey.repairs", OUTCOME), BTreeMap::new());
        assert_eq!(sums("signalr_rekey.azure.requests", OPERATION), told.requests());
        // How each ended as well.
        for ((operation, status), times) in by_status(&told) {
            let of = [(OPERATION, operation.as_str()), ("http.response.status_code", &status.to_string())];
            assert_eq!(last.value("signalr_rekey.azure.requests", &of), Some(times), "{of:?}");
        }

        let journal = told.story.journal().await;
        let keys = journal.keys().unwrap();
        let of = |name: &str, key: Option<&str>| {
            let key = key.map(|key| (KEY, key));
            let of: Vec<_> = [("cloud.resource_id", service.as_str())].into_iter().chain(key).collect();
            last.value(name, &of)
        };
        for (key_type, name) in [(KeyType::Primary, "primary"), (KeyType::Secondary, "secondary")] {
            let age = (now - keys[key_type].created).as_seconds_f64();
            assert_eq!(of("signalr_rekey.key.age", Some(name)), Some(age));
            let due = delta(told.story.config.instances[0].policy.rotate_every).as_seconds_f64() - age;
            let held = all_hold(&told.story) == key_type;
            assert_eq!(of("signalr_rekey.key.time_to_due", Some(name)), held.then_some(due));
        }
        assert_eq!(of("signalr_rekey.consumers.stale", None), Some(0.0));
        assert_eq!(of("signalr_rekey.blocked.time", None), Some(0.0));
        assert_eq!(of("signalr_rekey.check.last_success", None), Some(unix(now)));

        // What is exported is what is said of it.
        let mut seen = BTreeSet::new();
        for metric in told.receiver.sent().iter().flat_map(Export::metrics) {
            let instrument = INSTRUMENTS.iter().find(|one| one.name == metric.name).unwrap();
            assert_eq!(metric.unit, instrument.unit);
            assert_eq!(metric.description, instrument.description);
            for point in points(&metric) {
                let known = |key: &String| instrument.attributes.contains(&key.as_str());
                assert!(named(&point.attributes).keys().all(known), "{metric:?}");
            }
            match metric.data.unwrap() {
                Data::Gauge(_) => assert!(!instrument.is_sum),
                Data::Sum(sum) => {
                    assert!(instrument.is_sum && sum.is_monotonic);
                    assert_eq!(sum.aggregation_temporality, 2, "cumulative");
                }
                other => panic!("{other:?}"),
            }
            seen.insert(metric.name);
        }
        // Nobody had to be repaired.
        let all = INSTRUMENTS.iter().map(|one| one.name.to_owned()).filter(|name| !name.ends_with("repairs"));
        assert_eq!(seen, all.collect());
    }
}

fn by_status(told: &Told) -> BTreeMap<(String, u16), f64> {
    let mut counted = BTreeMap::new();
    for request in told.story.sim.requests().iter().filter(|request| request.arm) {
        *counted.entry((ours(request.operation), request.status.unwrap())).or_default() += 1.0;
    }
    counted
}

#[tokio::test]
async fn who_is_left_with_an_invalid_key_is_counted_until_he_has_another() {
    let told = Told::new(&[]).await;
    told.watch(4 * HOUR).await;
    let in_use = all_hold(&told.story);
    told.story.sim.fault(
        Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Forbidden).on("chat-func").times(1000),
    );
    told.story.force("sr-demo", &[in_use]).unwrap();
    let outcome = told.notice().await;
    assert!(outcome.failure.is_some());
    let last = told.receiver.last();
    assert_eq!(last.value("signalr_rekey.consumers.stale", &[]), Some(1.0));
    let repairs = last.sums("signalr_rekey.repairs", OUTCOME);
    assert_eq!(repairs, [("left_cut_off".to_owned(), 1), ("repaired".to_owned(), 2)].into());
    let checked = last.value("signalr_rekey.check.last_success", &[]).unwrap();

    // A process that comes later knows when all was well last.
    let mut told = told;
    told.restart();
    told.story.clock.advance(HOUR);
    told.tick().await;
    let later = told.receiver.last();
    assert_eq!(later.value("signalr_rekey.check.last_success", &[]), Some(checked));

    told.story.sim.clear_faults();
    told.story.clock.advance(10 * MINUTE);
    told.tick().await;
    let last = told.receiver.last();
    assert_eq!(last.value("signalr_rekey.consumers.stale", &[]), Some(0.0));
    let repairs = last.sums("signalr_rekey.repairs", OUTCOME);
    assert_eq!(repairs, [("left_cut_off".to_owned(), 1), ("repaired".to_owned(), 1)].into());
    assert!(last.value("signalr_rekey.check.last_success", &[]) > Some(checked));
}

#[tokio::test]
async fn how_long_a_service_is_blocked_goes_on_in_the_next_process() {
    let mut told = Told::new(&[]).await;
    told.story.config.instances[0].policy.full_check_every = Duration::ZERO;
    told.restart();
    told.watch(4 * HOUR).await;
    told.story.sim.fault(
        Fault::new("WebApps_ListApplicationSettings", FaultKind::Forbidden).on("chat-func").times(1000),
    );
    told.tick().await;
    assert_eq!(told.receiver.last().value("signalr_rekey.blocked.time", &[]), Some(1.0), "at once");
    for hour in 1..=2_u32 {
        told.restart();
        told.story.clock.advance(HOUR);
        told.tick().await;
        let blocked = told.receiver.last().value("signalr_rekey.blocked.time", &[]);
        assert_eq!(blocked, Some(f64::from(hour) * 3600.0));
    }
}

/// Each process has an id, and what its sums count from: however often it exports, and however many processes come and go, the
/// last of each added up is what happened.
#[tokio::test]
async fn nothing_counts_twice_over_many_processes() {
    let mut told = Told::new(&[]).await;
    for _ in 0..3 {
        told.watch(HOUR).await;
        told.restart();
    }
    let mut last = BTreeMap::new();
    for export in told.receiver.sent() {
        let since: BTreeSet<u64> =
            export.sum_points().iter().map(|point| point.start_time_unix_nano).collect();
        assert_eq!(since.len(), 1, "all sums of a process count from its start");
        last.insert((export.resource()["service.instance.id"].clone(), since), export);
    }
    assert_eq!(last.len(), 3);
    let mut all = BTreeMap::new();
    for (operation, times) in
        last.values().flat_map(|last| last.sums("signalr_rekey.azure.requests", OPERATION))
    {
        *all.entry(operation).or_default() += times;
    }
    assert_eq!(all, told.requests());
}

/// With delta all exports added up are what happened, but for what may have been taken and was not answered.
#[tokio::test]
async fn with_delta_all_that_was_taken_adds_up() {
    let told = Told::new(&[("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")]).await;
    told.watch(30 * MINUTE).await;
    // Refused exports are no part of it.
    told.receiver.answers.lock().unwrap().push_back(Answer::Refuses(StatusCode::SERVICE_UNAVAILABLE));
    let refused = told.receiver.sent().len();
    told.watch(30 * MINUTE).await;
    let mut all = BTreeMap::new();
    let mut until = None;
    for (number, export) in
        told.receiver.sent().into_iter().enumerate().filter(|(number, _)| *number != refused)
    {
        for (operation, times) in export.sums("signalr_rekey.azure.requests", OPERATION) {
            *all.entry(operation).or_default() += times;
        }
        let sums = export.sum_points();
        let goes_on = |point: &NumberDataPoint| until.is_none_or(|until| point.start_time_unix_nano == until);
        assert!(sums.iter().all(goes_on), "{number}: without a gap");
        until = sums.first().map(|point| point.time_unix_nano);
    }
    assert_eq!(all, told.requests());
}

#[tokio::test]
async fn the_headers_arrive_and_the_endpoint_is_what_it_says() {
    let receiver = Receiver::default();
    let endpoint = receiver.serve().await;
    for (endpoint, of_metrics, path) in [
        (endpoint.clone(), None, "/v1/metrics"),
        (format!("{endpoint}/otlp/"), None, "/otlp/v1/metrics"),
        (
            "http://127.0.0.1:9".to_owned(),
            Some(format!("{endpoint}/PATHSECRET?a=QUERYSECRET")),
            "/PATHSECRET",
        ),
        ("http://127.0.0.1:9".to_owned(), Some(endpoint.clone()), "/"),
    ] {
        let (log, _guard) = Log::capture();
        let settings = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-of-all=no"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Authorization=Basic%20HEADERSECRET,x-two=a%2Cb"),
            ("OTEL_SERVICE_NAME", "keys of ours"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=test,service.name=not this,service.instance.id=ours",
            ),
        ];
        let own = of_metrics.iter().map(|own| ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", own.as_str()));
        let settings: Vec<_> = settings.into_iter().chain(own).collect();
        let told = Told::to(Story::new().await, receiver.clone(), &endpoint, &settings);
        let outcome = told.tick().await;
        let last = receiver.last();
        assert_eq!(last.path, path);
        assert_eq!(last.headers["authorization"], "Basic HEADERSECRET");
        assert_eq!(last.headers["x-two"], "a,b");
        assert!(!last.headers.contains_key("x-of-all"), "the ones for metrics go before");
        let resource = last.resource();
        assert_eq!(resource["service.name"], "keys of ours");
        assert_eq!(resource["deployment.environment.name"], "test");
        assert!(!resource["service.version"].is_empty());
        assert_ne!(
            resource["service.instance.id"], "ours",
            "two processes under one id would be taken for one"
        );
        // And are in no output, nor is a key in what is exported.
        receiver.answers.lock().unwrap().push_back(Answer::Refuses(StatusCode::UNAUTHORIZED));
        told.story.clock.advance(10 * MINUTE);
        told.tick().await;
        let all = format!("{outcome:?} {:?} {}", told.story.config, log.text());
        assert!(log.text().contains("401"), "{}", log.text());
        assert!(!all.contains("SECRET"), "{all}");
        let exported =
            receiver.sent().iter().map(|export| format!("{:?}", export.read())).collect::<String>();
        assert!(!exported.contains(KEY_MARK) && !exported.contains("HEADERSECRET"));
    }
}

/// How often the log has a text.
fn times(log: &Log, text: &str) -> usize {
    log.text().matches(text).count()
}

/// A forced regeneration is repaired while nobody takes the metrics, and the run ends as it would.
async fn repaired(told: &Told) {
    let in_use = all_hold(&told.story);
    told.story.force("sr-demo", &[in_use]).unwrap();
    let before = told.story.clock.now();
    let outcome = told.notice().await;
    assert_eq!(outcome.failure, None);
    all_hold(&told.story);
    // The clock of the run stands still while it is only metrics that are waited for.
    let took = told.story.clock.now() - before;
    assert!(took < delta(Duration::from_secs(25)), "{took}");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_delays_nothing_and_is_told_once() {
    let (log, _guard) = Log::capture();
    let story = Story::new().await;
    // A port of which nobody listens any more.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let told = Told::to(story, Receiver::default(), &format!("http://{gone}"), &[]);
    told.watch(4 * HOUR).await;
    repaired(&told).await;
    let told = format!("the metrics could not be exported to http://{gone}: it cannot be reached");
    assert_eq!(times(&log, &told), 1, "{}", log.text());
}

#[tokio::test]
async fn a_receiver_that_refuses_is_told_once_for_each_cause_and_gets_the_numbers_later() {
    for (status, said) in [(503, "503 Service Unavailable"), (400, "400 Bad Request")] {
        let (log, _guard) = Log::capture();
        let told = Told::new(&[]).await;
        told.watch(4 * HOUR).await;
        let refuse = Answer::Refuses(StatusCode::from_u16(status).unwrap());
        told.receiver.answers.lock().unwrap().extend([
            refuse,
            refuse,
            Answer::Refuses(StatusCode::NOT_FOUND),
            refuse,
        ]);
        told.tick().await;
        let service = told.receiver.last();
        repaired(&told).await;
        for _ in 0..2 {
            told.story.clock.advance(10 * MINUTE);
            told.tick().await;
        }
        let lost = "the metrics could not be exported";
        assert_eq!(times(&log, lost), 2, "{}", log.text());
        assert_eq!(times(&log, &format!("{lost} to {}: it answered {said}", told.endpoint)), 1);
        assert_eq!(told.again(&log), 0);
        assert!(service.value("signalr_rekey.repairs", &[]).is_none());
        told.story.clock.advance(10 * MINUTE);
        told.tick().await;
        assert_eq!(told.again(&log), 1);
        let last = told.receiver.last();
        assert_eq!(last.value("signalr_rekey.repairs", &[(OUTCOME, "repaired")]), Some(3.0));
        assert_eq!(last.sums("signalr_rekey.azure.requests", OPERATION), told.requests());
        // The same again is news again.
        told.receiver.answers.lock().unwrap().push_back(refuse);
        told.story.clock.advance(10 * MINUTE);
        told.tick().await;
        assert_eq!(times(&log, lost), 3);
    }
}

/// It has the request, and has not answered it, when the run is answered: nothing else was waited for.
#[tokio::test]
async fn a_receiver_that_hangs_is_waited_for_no_longer_than_the_bound() {
    let (log, _guard) = Log::capture();
    let told = Told::new(&[]).await;
    told.watch(4 * HOUR).await;
    let before = told.receiver.sent().len();
    *told.receiver.hangs.lock().unwrap() = true;
    repaired(&told).await;
    assert_eq!(told.receiver.sent().len(), before + 1, "one is under way");
    assert_eq!(times(&log, "takes longer than 1s"), 1);
    // The next does not ask for a second one beside it, and is answered too.
    told.story.clock.advance(10 * MINUTE);
    assert_eq!(told.tick().await.failure, None);
    assert_eq!(told.receiver.sent().len(), before + 1);
    assert_eq!(times(&log, "takes longer than 1s"), 1, "told once");
    // What came meanwhile goes with the next.
    *told.receiver.hangs.lock().unwrap() = false;
    told.receiver.never.notify_waiters();
    while told.receiver.sent().len() < before + 2 {
        told.receiver.arrived.notified().await;
    }
    let last = told.receiver.last();
    assert_eq!(last.value("signalr_rekey.repairs", &[(OUTCOME, "repaired")]), Some(3.0));
}

#[tokio::test]
async fn an_export_whose_answer_never_comes_is_told() {
    let (log, _guard) = Log::capture();
    let told = Told::new(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "50")]).await;
    *told.receiver.hangs.lock().unwrap() = true;
    for _ in 0..2 {
        told.tick().await;
        told.story.clock.advance(10 * MINUTE);
    }
    assert_eq!(told.receiver.sent().len(), 2);
    assert_eq!(times(&log, "no answer, so nobody knows whether it took them"), 1, "{}", log.text());
}

#[tokio::test]
async fn points_that_are_refused_are_told() {
    for protocol in ["http/protobuf", "http/json"] {
        let (log, _guard) = Log::capture();
        let told = Told::new(&[("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", protocol)]).await;
        told.receiver.answers.lock().unwrap().extend([Answer::TakesAllBut(3), Answer::TakesAllBut(300)]);
        for _ in 0..3 {
            told.tick().await;
            told.story.clock.advance(10 * MINUTE);
        }
        assert_eq!(times(&log, "it took the export, but refused 3 of its data points"), 1);
        assert_eq!(times(&log, "refused 300"), 0, "the cause is the same");
        assert_eq!(told.again(&log), 1);
        // Fewer than none are none.
        told.receiver.answers.lock().unwrap().push_back(Answer::TakesAllBut(-1));
        told.tick().await;
        assert_eq!(times(&log, "refused"), 1, "{}", log.text());
    }
}

/// Receivers that keep to the protocol by halves are in use, and what answers as none of them does may not be one.
#[tokio::test]
async fn who_does_not_answer_as_a_receiver_does_is_told() {
    const LONG: &[u8] = &[b'a'; 70 << 10];
    let told = Told::new(&[]).await;
    for (kind, said, cause) in [
        ("", &b""[..], None),
        ("text/html", b"", None),
        ("text/plain", b"\n", None),
        ("application/json", b"{}", None),
        ("application/json", br#"{"partialSuccess":{}}"#, None),
        ("application/x-protobuf", b"\x0a\x00", None),
        ("application/json", br#"{"partialSuccess":{"rejectedDataPoints":"3"}}"#, Some("refused 3 of")),
        ("text/plain", b"OK", Some("200 OK (text/plain), but not as a receiver of OTLP does")),
        ("", b"OK", Some("200 OK (no Content-Type), but not")),
        ("application/json", br#"{"ok":true}"#, Some("but not as a receiver")),
        ("application/json", b"[]", Some("but not as a receiver")),
        ("application/x-protobuf", b"\xff\xfe\xfd", Some("but not as a receiver")),
        ("application/x-protobuf", b"\x0a\x7fshort", Some("but not as a receiver")),
        ("application/x-protobuf", b"\x08\x01", Some("but not as a receiver")),
        ("", b" <html>please sign in</html>", Some("200 OK with a web page or a file")),
        ("application/octet-stream", LONG, Some("200 OK with a web page or a file")),
    ] {
        let (log, _guard) = Log::capture();
        told.receiver.answers.lock().unwrap().push_back(Answer::Says(kind, said));
        for _ in 0..2 {
            told.tick().await;
            told.story.clock.advance(10 * MINUTE);
        }
        let lost = times(&log, "the metrics could not be exported");
        assert_eq!((lost, told.again(&log)), if cause.is_some() { (1, 1) } else { (0, 0) }, "{}", log.text());
        assert!(cause.is_none_or(|cause| log.text().contains(cause)), "{}", log.text());
    }
}

/// A page in the place of the receiver takes nothing, and ends no fault.
#[tokio::test]
async fn a_page_in_the_place_of_the_receiver_takes_nothing() {
    let (log, _guard) = Log::capture();
    let told = Told::new(&[]).await;
    let answers = [Answer::Refuses(StatusCode::SERVICE_UNAVAILABLE), A_PAGE, A_PAGE];
    told.receiver.answers.lock().unwrap().extend(answers);
    for _ in 0..3 {
        told.tick().await;
        told.story.clock.advance(10 * MINUTE);
    }
    assert_eq!(times(&log, "it answered 200 OK with a web page or a file, as no receiver of OTLP does"), 1);
    assert_eq!(told.again(&log), 0);
    told.tick().await;
    assert_eq!(told.again(&log), 1);
    assert_eq!(told.receiver.last().sums("signalr_rekey.azure.requests", OPERATION), told.requests());
}

/// Nobody knows who is cut off while the keys cannot be listed: no number says that nobody is.
#[tokio::test]
async fn who_is_out_of_sight_is_not_counted_as_well() {
    let told = Told::new(&[]).await;
    told.watch(4 * HOUR).await;
    told.story.sim.fault(Fault::new("SignalR_ListKeys", FaultKind::Forbidden).times(1000));
    told.story.force("sr-demo", &KeyType::ALL).unwrap();
    let before = told.receiver.sent().len();
    told.tick().await;
    let sent = told.receiver.sent().split_off(before);
    let last = sent.last().unwrap();
    assert_eq!(
        last.value("signalr_rekey.blocked.time", &[]),
        Some(1.0),
        "and that it is blocked is told at once"
    );
    assert!(last.value("signalr_rekey.consumers.stale", &[]).is_none_or(|stale| stale > 0.0));
}

/// Events that call for nothing, and who looks at the page, cause no export.
#[tokio::test]
async fn what_changes_no_number_is_not_exported() {
    let told = Told::new(&[]).await;
    told.tick().await;
    let before = told.receiver.sent().len();
    let event = Event { kind: "Microsoft.Storage.BlobCreated".into(), ..Event::default() };
    told.call(Trigger::Events(vec![event]), Duration::from_secs(25)).await;
    assert_eq!(told.receiver.sent().len(), before);
}
