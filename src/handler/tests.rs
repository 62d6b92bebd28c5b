//! Bodies as the host writes them, and bodies as nobody should.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use rekey_core::notice;

const CHAT: &str = "/subscriptions/11111111-0000-0000-0000-000000000000/resourcegroups/rg/providers/microsoft.signalrservice/SignalR/Chat";

fn timer(body: &Value) -> Result<(), String> {
    match Function::RotateKeys.trigger(body.to_string().as_bytes()) {
        Ok(Trigger::Timer) => Ok(()),
        Ok(_) => Err("events".into()),
        Err(malformed) => Err(malformed.to_string()),
    }
}

fn notice(value: &Value) -> Result<Vec<Event>, String> {
    let body = json!({ "Data": { "anything": value }, "Metadata": { "sys": {} } });
    match Function::OnKeyNotice.trigger(body.to_string().as_bytes()) {
        Ok(Trigger::Events(events)) => Ok(events),
        Ok(_) => Err("a timer".into()),
        Err(malformed) => Err(malformed.to_string()),
    }
}

fn regenerated() -> Value {
    json!({
        "id": "e-1",
        "eventType": "Microsoft.Resources.ResourceActionSuccess",
        "topic": "/subscriptions/11111111-0000-0000-0000-000000000000",
        "subject": CHAT,
        "data": {
            "operationName": "microsoft.signalrservice/SIGNALR/regeneratekey/action",
            "resourceUri": format!("{CHAT}/operationStatuses/7"),
        },
    })
}

#[test]
fn a_timer_is_read_leniently() {
    let status = json!({ "Last": "0001-01-01T00:00:00+00:00", "Next": "nonsense" });
    let usual = json!({
        "Data": { "timer": { "Schedule": { "AdjustForDST": true }, "ScheduleStatus": status, "IsPastDue": true } },
        "Metadata": { "RetryContext": { "RetryCount": 1, "MaxRetryCount": -1, "Exception": { "any": ["thing"] } } },
    });
    assert_eq!(timer(&usual), Ok(()));
    for value in
        [json!({}), json!({ "ScheduleStatus": null, "IsPastDue": null }), json!("{\"IsPastDue\":false}")]
    {
        assert_eq!(timer(&json!({ "Data": { "t": value }, "Metadata": null })), Ok(()));
    }
}

#[test]
fn events_come_as_objects_strings_and_lists() {
    let event = regenerated();
    let one = notice(&event).unwrap();
    assert_eq!(notice(&event.to_string().into()), Ok(one.clone()));
    assert_eq!(notice(&json!([event])), Ok(one.clone()));
    assert_eq!(notice(&json!([event]).to_string().into()), Ok(one));
    assert_eq!(notice(&json!("[]")), Ok(vec![]));
}

fn alert(request: &Value) -> Result<Vec<Event>, String> {
    let envelope = json!({ "Data": { "req": request }, "Metadata": { "code": "\"function-key\"" } });
    match Function::OnAlert.trigger(envelope.to_string().as_bytes()) {
        Ok(Trigger::Events(events)) => Ok(events),
        Ok(_) => Err("a timer".into()),
        Err(malformed) => Err(malformed.to_string()),
    }
}

#[test]
fn an_alert_is_the_text_of_a_body() {
    let body = json!({ "data": { "essentials": { "alertTargetIDs": [CHAT] } } });
    let expected = notice::read(&body, "").unwrap();
    for sent in [Value::from(body.to_string()), body] {
        let request =
            json!({ "Url": "https://x/api/OnAlert?code=function-key", "Method": "POST", "Body": sent });
        assert_eq!(alert(&request), Ok(expected.clone()));
    }
    let missing = alert(&json!({ "Url": "https://x/api/OnAlert?code=function-key" }));
    assert_eq!(missing, Err("the body of the request: it is missing; an alert belongs there".into()));
    let broken = alert(&json!({ "Body": "{\"SECRET" }));
    assert_eq!(broken, Err("the body of the request: its JSON ends too early (line 1, column 8)".into()));
    assert_eq!(alert(&json!("x")), Err("the value in Data: it is not an HTTP request".into()));
}

#[test]
fn faults_name_the_member_and_hold_nothing_of_the_content() {
    let secret = "SECRET";
    let faults: Vec<String> = [
        (Function::RotateKeys, String::new()),
        (Function::RotateKeys, format!("{{\"Data\":{{\"timer\":\"{secret}")),
        (Function::RotateKeys, format!("[\"{secret}\"]")),
        (Function::RotateKeys, format!("{{\"{secret}\":1}}")),
        (Function::RotateKeys, format!("{{\"Data\":\"{secret}\"}}")),
        (Function::RotateKeys, "{\"Data\":{}}".into()),
        (Function::RotateKeys, format!("{{\"Data\":{{\"{secret}\":{{}},\"b\":{{}}}}}}")),
        (Function::RotateKeys, format!("{{\"Data\":{{\"{secret}\":\"{secret}\"}}}}")),
        (Function::RotateKeys, format!("{{\"Data\":{{\"{secret}\":[\"{secret}\"]}}}}")),
        (Function::OnKeyNotice, "{\"Data\":{\"event\":\"null\"}}".into()),
        (Function::OnKeyNotice, format!("{{\"Data\":{{\"event\":{{\"{secret}\":1}}}}}}")),
        (Function::OnKeyNotice, format!("{{\"Data\":{{\"event\":[{{\"type\":\"a\"}},\"{secret}\"]}}}}")),
    ]
    .iter()
    .map(|(function, body)| function.trigger(body.as_bytes()).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(faults.join("\n"), @r#"
    the body: it is empty; an envelope is {"Data":{…},"Metadata":{…}}
    the body: its JSON ends too early (line 1, column 24)
    the body: it is not a JSON object
    Data: it is missing
    Data: it is not an object
    Data: it is empty; the trigger's value belongs there
    Data: it has more than one member; only the trigger's belongs there
    the value in Data: it is not JSON (line 1, column 1)
    the value in Data: it is not an object, as a timer's is
    the value in Data: it is neither an event nor a list of events
    the value in Data: it has neither eventType nor type
    the value in Data, event 1: it is not an object
    "#);
    assert!(!faults.join("").contains(secret));
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{{\"Data\":{{\"event\":{}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Function::OnKeyNotice.trigger(deep.as_bytes()).is_err());
    let inner = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(notice(&inner.into()).is_err());
}

/// Any JSON, with our own words among its names and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "Data",
            "Metadata",
            "RetryContext",
            "RetryCount",
            "MaxRetryCount",
            "IsPastDue",
            "event",
            "eventType",
            "type",
            "data",
            "subject",
            "topic",
            "source",
            "id",
            "authorization",
            "resourceUri",
            "operationName",
        ])
        .prop_map(String::from),
        ".{0,12}",
        Just(CHAT.to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        Just(Value::from("{\"type\":\"x\"}")),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let entries = prop::collection::vec((word.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            entries.prop_map(|entries| entries.into_iter().collect()),
            inner.prop_map(|value| value.to_string().into()),
        ]
    })
}

fn try_all(body: &[u8]) {
    for function in [Function::RotateKeys, Function::OnKeyNotice, Function::OnAlert] {
        if let Ok(Trigger::Events(events)) = function.trigger(body) {
            events.iter().for_each(|event| drop(notice::classify(event)));
        }
    }
}

/// Never asked: the invocation is turned away before.
struct Nobody;

#[async_trait]
impl Runner for Nobody {
    fn is_leaving(&self) -> bool {
        false
    }

    async fn run(&self, _: Trigger, _: Invocation) -> Outcome {
        panic!("it was run")
    }
}

#[tokio::test]
async fn more_at_once_than_memory_is_meant_for_are_turned_away() {
    let budgets = Budgets { timer: Duration::from_secs(1), notice: Duration::from_secs(1) };
    let clock = Arc::new(crate::clock::SystemClock);
    let host = Host {
        runner: Arc::new(Nobody),
        clock,
        budgets,
        places: Semaphore::new(0),
        patience: Patience::default().body,
        room: body::room(),
        fault: Mutex::default(),
        cold: AtomicBool::new(false),
    };
    for function in [Function::RotateKeys, Function::OnKeyNotice] {
        let reply = host.invoke(function, &HeaderMap::new(), Body::empty()).await;
        assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let reply = host.invoke(Function::OnAlert, &HeaderMap::new(), Body::empty()).await;
    let body = axum::body::to_bytes(reply.into_body(), 4096).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["Outputs"]["res"]["statusCode"], 503, "the action group sends again");
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        try_all(&body);
    }

    #[test]
    fn no_json_makes_the_parser_panic(body in any_json(), value in any_json()) {
        try_all(body.to_string().as_bytes());
        try_all(json!({ "Data": { "req": { "Body": value } } }).to_string().as_bytes());
        try_all(json!({ "Data": { "event": value }, "Metadata": body }).to_string().as_bytes());
    }
}

#[test]
fn the_last_line_of_a_run_counts_whose_apps_were_read() {
    let served = |services: usize, keys_alone: usize| {
        let one = |number| Served {
            ended: format!("sr-{number}: settled"),
            run: "timer/1".into(),
            shared: false,
            keys_alone: number < keys_alone,
        };
        told(&(0..services).map(one).collect::<Vec<_>>())
    };
    let told = served(60, 53);
    let end = "sr-9: settled; and 50 more services; in all, of 53 services the keys alone were checked, and of 7 the apps as well";
    assert!(told.ends_with(end), "{told}");
    assert_eq!(served(2, 0), "sr-0: settled; sr-1: settled");
}
