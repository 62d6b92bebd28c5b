//! The handler over real HTTP, called as the Functions host calls it. Each of the ways in which the host breaks a naive
//! handler has a test here, where it concerns this layer. (That nothing is left for the exit of the process, which comes
//! as SIGKILL, is a matter of the journal.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Value, json};
use signalr_rekey::clock::Clock;
use signalr_rekey::handler::{
    self, Budgets, Hosting, Invocation, Outcome, Patience, Runner, Served, Trigger,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

#[path = "common/log.rs"]
mod log;

use log::Log;

const BUDGETS: Budgets = Budgets { timer: Duration::from_secs(540), notice: Duration::from_secs(25) };
/// What the first event of a process may have waited for its host.
const COLD: Duration = Duration::from_secs(10);
const ID: &str = "7c1d9f0e-2f63-4f0a-8a0c-51f3c2c0a9d1";

// --- The world: a clock moved by hand, a runner that does as it is told, a server on loopback. ---

#[derive(Debug)]
struct HandClock(watch::Sender<DateTime<Utc>>);

impl HandClock {
    fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.borrow()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        let _ = self.0.subscribe().wait_for(|now| *now >= time).await;
    }
}

#[derive(Clone, Copy)]
enum Behaviour {
    Succeed,
    Fail,
    /// Says that more time is all that it needs.
    Unfinished,
    Panic,
    /// Works until the test says so.
    Hang,
    /// Is about to end.
    Leave,
}

struct TestRunner {
    behaviour: Behaviour,
    seen: Mutex<Vec<(Trigger, Invocation)>>,
    started: Semaphore,
    release: Semaphore,
    ended: Semaphore,
}

#[async_trait]
impl Runner for TestRunner {
    fn is_leaving(&self) -> bool {
        matches!(self.behaviour, Behaviour::Leave)
    }

    async fn run(&self, trigger: Trigger, invocation: Invocation) -> Outcome {
        self.seen.lock().unwrap().push((trigger, invocation));
        self.started.add_permits(1);
        match self.behaviour {
            Behaviour::Succeed | Behaviour::Leave => {}
            Behaviour::Fail => {
                let failure = Some("sr-demo: Azure refused listKeys (403)".into());
                return Outcome {
                    logs: vec!["sr-demo: nothing was changed".into()],
                    failure,
                    ..Outcome::default()
                };
            }
            Behaviour::Unfinished => {
                let failure = Some("sr-demo: another run is at work on it".into());
                return Outcome { failure, unfinished: true, ..Outcome::default() };
            }
            Behaviour::Panic => panic!("AccessKey=PANIC-SECRET"),
            Behaviour::Hang => self.release.acquire().await.unwrap().forget(),
        }
        self.ended.add_permits(1);
        let served = vec![
            Served {
                ended: "sr-demo: settled".into(),
                run: "notice/1".into(),
                shared: false,
                keys_alone: false,
            },
            Served {
                ended: "sr-chat: settled".into(),
                run: "notice/2".into(),
                shared: true,
                keys_alone: false,
            },
        ];
        Outcome { logs: vec!["sr-demo: settled".into()], served, ..Outcome::default() }
    }
}

struct World {
    address: SocketAddr,
    clock: Arc<HandClock>,
    runner: Arc<TestRunner>,
}

impl World {
    async fn new(behaviour: Behaviour) -> Self {
        let start = Utc.with_ymd_and_hms(2026, 9, 24, 13, 0, 0).unwrap();
        let clock = Arc::new(HandClock(watch::Sender::new(start)));
        let none = || Semaphore::new(0);
        let (started, release, ended) = (none(), none(), none());
        let runner = Arc::new(TestRunner { behaviour, seen: Mutex::default(), started, release, ended });
        let listener = handler::listen(0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = handler::router(runner.clone(), clock.clone(), BUDGETS);
        tokio::spawn(handler::serve(listener, router));
        Self { address, clock, runner }
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, body.to_string().as_bytes()).await
    }

    async fn send(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Azure-Functions-InvocationId: {ID}\r\n\
            Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    async fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Reply::read(&String::from_utf8(answer).unwrap())
    }

    fn seen(&self) -> Vec<(Trigger, Invocation)> {
        self.runner.seen.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    body: Value,
}

impl Reply {
    /// Every answer in these tests is checked for what the host needs: a JSON object under this very content type.
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let types: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("content-type: ")).collect();
        assert_eq!(types, ["application/json"], "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(body.as_object().is_some_and(|body| !body.is_empty()), "{body}");
        Self { status: head.split(' ').nth(1).unwrap().parse().unwrap(), body }
    }

    fn error(&self) -> &str {
        self.body["Error"].as_str().unwrap()
    }
}

fn timer() -> Value {
    json!({
        "Data": { "timer": { "Schedule": { "AdjustForDST": true }, "ScheduleStatus": null, "IsPastDue": false } },
        "Metadata": { "sys": { "MethodName": "RotateKeys", "UtcNow": "2026-09-24T13:00:00.01Z", "RandGuid": ID } },
    })
}

fn event() -> Value {
    json!({ "id": "e-1", "type": "Microsoft.Resources.ResourceActionSuccess", "specversion": "1.0", "subject": "/s" })
}

fn notice() -> Value {
    json!({ "Data": { "event": event() }, "Metadata": {} })
}

// --- The traps, in the order in which the host sets them. ---

#[tokio::test]
async fn trap_1_and_2_every_answer_is_a_json_object_with_its_content_type() {
    let world = World::new(Behaviour::Succeed).await;
    let large = vec![b' '; 5 << 20];
    for (method, path, body, status) in [
        ("GET", "/", &b""[..], 200),
        ("POST", "/RotateKeys", timer().to_string().as_bytes(), 200),
        ("POST", "/OnKeyNotice", notice().to_string().as_bytes(), 200),
        ("POST", "/", b"{}", 405),
        ("GET", "/RotateKeys", b"", 405),
        ("DELETE", "/OnKeyNotice", b"", 405),
        ("POST", "/rotatekeys", b"{}", 404),
        ("POST", "/RotateKeys/", b"{}", 404),
        ("GET", "/favicon.ico", b"", 404),
        ("POST", "/RotateKeys", b"", 400),
        ("POST", "/RotateKeys", b"{\"Data\":", 400),
        ("POST", "/RotateKeys", b"\xff\xfe", 400),
        ("POST", "/RotateKeys", notice().to_string().replace("event", "timer").as_bytes(), 200),
        ("POST", "/OnKeyNotice", timer().to_string().as_bytes(), 400),
        ("POST", "/RotateKeys", &large, 413),
        // Refused, it would come again for a day.
        ("POST", "/OnKeyNotice", &large, 200),
    ] {
        assert_eq!(world.send(method, path, body).await.status, status, "{method} {path}");
    }
    for (behaviour, status) in [(Behaviour::Fail, 500), (Behaviour::Panic, 500)] {
        assert_eq!(World::new(behaviour).await.post("/RotateKeys", &timer()).await.status, status);
    }
}

#[tokio::test]
async fn trap_3_a_failure_is_explained_in_the_log_because_the_host_drops_the_answer() {
    let (log, _guard) = Log::capture();
    let reply = World::new(Behaviour::Fail).await.post("/RotateKeys", &timer()).await;
    assert_eq!((reply.status, reply.error()), (500, "sr-demo: Azure refused listKeys (403)"));
    assert_eq!(reply.body["Logs"], json!(["sr-demo: nothing was changed"]));
    for said in [reply.error(), "sr-demo: nothing was changed", ID, "RotateKeys"] {
        assert!(log.text().contains(said), "{said} is missing in {}", log.text());
    }
}

#[tokio::test]
async fn trap_4_a_run_that_overruns_is_answered_in_time_and_left_to_end_its_step() {
    for (path, body, budget, patience) in
        [("/OnKeyNotice", notice(), BUDGETS.notice, 30), ("/RotateKeys", timer(), BUDGETS.timer, 600)]
    {
        let world = World::new(Behaviour::Hang).await;
        let (reply, ()) = tokio::join!(world.post(path, &body), async {
            world.runner.started.acquire().await.unwrap().forget();
            world.clock.advance(budget);
            tokio::task::yield_now().await;
            // The margin: still before the host's patience ends.
            world.clock.advance(Duration::from_secs(patience - 1) - budget);
        });
        assert_eq!((reply.status, reply.error()), (503, "still working; the next delivery carries on"));
        assert_eq!(world.runner.ended.available_permits(), 0);
        world.runner.release.add_permits(1);
        world.runner.ended.acquire().await.unwrap().forget();
    }
}

#[tokio::test]
async fn trap_4_a_runner_that_ends_at_its_deadline_answers_for_itself() {
    let world = World::new(Behaviour::Hang).await;
    let body = notice();
    let (reply, ()) = tokio::join!(world.post("/OnKeyNotice", &body), async {
        world.runner.started.acquire().await.unwrap().forget();
        world.clock.advance(BUDGETS.notice - COLD);
        tokio::task::yield_now().await;
        world.runner.release.add_permits(1);
    });
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn trap_4_the_runner_is_told_its_deadline_by_function() {
    let world = World::new(Behaviour::Succeed).await;
    world.post("/RotateKeys", &timer()).await;
    world.post("/OnKeyNotice", &notice()).await;
    let deadlines: Vec<_> =
        world.seen().into_iter().map(|(_, call)| (call.function, call.deadline)).collect();
    let now = world.clock.now();
    let cold = Duration::from_secs(10);
    assert_eq!(
        deadlines,
        [("RotateKeys", now + BUDGETS.timer), ("OnKeyNotice", now + BUDGETS.notice - cold)]
    );
}

/// Event Grid's 30 seconds begin when it sends, which is not before the event, and a host that was started for it has used
/// some of them.
#[tokio::test]
async fn an_events_budget_counts_from_when_it_may_have_been_sent() {
    let world = World::new(Behaviour::Succeed).await;
    let now = world.clock.now();
    // How old the event is; how much of the budget is left.
    for (age, left) in [
        (None, 15),
        (None, 25),
        (Some(0), 25),
        (Some(8), 17),
        (Some(14), 11),
        // What a repair takes is left in any case.
        (Some(20), 10),
        (Some(29), 10),
        // It comes late, or again: nobody knows when it was sent.
        (Some(31), 25),
        (Some(3600), 25),
        // A clock of somebody else's.
        (Some(-20), 25),
    ] {
        let mut event = event();
        if let Some(age) = age {
            event["time"] = (now - chrono::TimeDelta::seconds(age)).to_rfc3339().into();
        }
        world.post("/OnKeyNotice", &json!({ "Data": { "event": event }, "Metadata": {} })).await;
        let (_, call) = world.seen().pop().unwrap();
        assert_eq!((call.deadline - now).num_seconds(), left, "{age:?}");
    }
}

#[tokio::test]
async fn it_listens_on_loopback_and_nowhere_else() {
    let world = World::new(Behaviour::Succeed).await;
    assert_eq!(world.address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    // The machine's own address on its way to others (TEST-NET-1, RFC 5737; nothing is sent). Without any there are none.
    let outward = UdpSocket::bind("0.0.0.0:0").unwrap();
    if outward.connect("192.0.2.1:9").is_ok() {
        let own = SocketAddr::new(outward.local_addr().unwrap().ip(), world.address.port());
        assert!(TcpStream::connect(own).await.is_err(), "it is open to others at {own}");
    }
    assert_eq!(world.send("GET", "/", b"").await.status, 200);
}

/// Opens a connection and sends a beginning.
async fn half(address: SocketAddr, beginning: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(beginning.as_bytes()).await.unwrap();
    stream
}

const HALF_BODY: &str = "POST /OnKeyNotice HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";

/// More than there are places. Each takes a descriptor here and one in the handler.
const HALVES: usize = 2100;

/// In a process of its own that may have as many descriptors as the system allows.
#[test]
fn half_bodies_take_no_place_from_anybody() {
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" --exact holds_half_bodies --ignored --nocapture"]);
    let played = shell.arg(std::env::current_exe().unwrap()).output().unwrap();
    let told = String::from_utf8_lossy(&played.stdout);
    assert!(
        played.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&played.stderr)
    );
}

#[tokio::test]
#[ignore = "run by the test above, with the descriptors that it needs"]
async fn holds_half_bodies() {
    let world = World::new(Behaviour::Succeed).await;
    let mut held = Vec::new();
    for _ in 0..HALVES {
        held.push(half(world.address, HALF_BODY).await);
    }
    let reply = world.post("/RotateKeys", &timer()).await;
    assert_eq!(reply.status, 200, "while {} half bodies are there: {}", held.len(), reply.body);
}

#[tokio::test]
async fn what_is_not_sent_in_time_is_given_up() {
    let world = World::new(Behaviour::Succeed).await;
    let short = Duration::from_millis(300);
    let patience = Patience { head: short, body: short };
    let hosting = Hosting { patience, ..Hosting::default() };
    let listener = handler::listen(0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = handler::router_with(world.runner.clone(), world.clock.clone(), BUDGETS, hosting);
    tokio::spawn(handler::serve_with(listener, router, patience));

    let mut stream = half(address, HALF_BODY).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("within 300ms"), "{answer}");

    for beginning in ["", "POST /OnKeyNotice HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = half(address, beginning).await;
        let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "a head that does not end holds its connection: {beginning:?}");
    }
    assert!(world.runner.seen.lock().unwrap().is_empty(), "nothing of it was run");
}

#[tokio::test]
async fn bodies_together_have_bounded_memory() {
    let world = World::new(Behaviour::Succeed).await;
    // Four megabytes less one byte each, and then nothing: 32 of them fill the room for bodies.
    let head = format!("POST /OnKeyNotice HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 4 << 20);
    let most = [head.as_bytes(), &vec![b' '; (4 << 20) - 1]].concat();
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        // Who is refused is hung up on, perhaps while he still sends.
        let _ = stream.write_all(&most).await;
        held.push(stream);
    }
    let mut refused = 0;
    for mut stream in held.drain(32..) {
        let mut answer = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await;
        refused += usize::from(matches!(read, Ok(Ok(_))) && answer == *b"HTTP/1.1 503");
    }
    assert!(refused >= 16, "{refused} of the last 32 were refused");
}

#[tokio::test]
async fn it_refuses_to_serve_on_anything_but_loopback() {
    for open in ["0.0.0.0:0", "[::]:0"] {
        // A machine without IPv6 has nothing to refuse.
        let Ok(listener) = TcpListener::bind(open).await else { continue };
        let address = listener.local_addr().unwrap();
        let world = World::new(Behaviour::Succeed).await;
        let router = handler::router(world.runner.clone(), world.clock.clone(), BUDGETS);
        let refused = handler::serve(listener, router).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("{address} is open to others; the host calls on 127.0.0.1"));
        let port = address.port();
        assert!(
            TcpStream::connect(("127.0.0.1", port)).await.is_err(),
            "it serves on {address} all the same"
        );
    }
}

#[tokio::test]
async fn trap_6_serving_ends_with_an_error_or_not_at_all() {
    let open = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let world = World::new(Behaviour::Succeed).await;
    let router = handler::router(world.runner.clone(), world.clock.clone(), BUDGETS);
    // The type says the rest: there is no value for "ended well".
    let refused: io::Result<std::convert::Infallible> = handler::serve(open, router).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn trap_7_there_are_no_outputs_that_could_be_taken_for_base64() {
    let reply = World::new(Behaviour::Succeed).await.post("/RotateKeys", &timer()).await;
    assert_eq!(reply.body, json!({ "Outputs": {}, "Logs": ["sr-demo: settled"], "ReturnValue": null }));
}

#[tokio::test]
async fn trap_8_events_are_understood_encoded_once_and_twice() {
    let world = World::new(Behaviour::Succeed).await;
    let (one, many) = (event().to_string(), json!([event(), event()]).to_string());
    for (value, count) in [(event(), 1), (one.into(), 1), (many.into(), 2), (json!([event()]), 1)] {
        let reply = world.post("/OnKeyNotice", &json!({ "Data": { "events": value }, "Metadata": {} })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        match world.seen().pop().unwrap().0 {
            Trigger::Events(events) => assert_eq!(events.len(), count),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn trap_9_a_repeated_delivery_is_run_while_the_first_goes_on() {
    let world = World::new(Behaviour::Hang).await;
    let (first, second) = (notice(), notice());
    let both =
        async { tokio::join!(world.post("/OnKeyNotice", &first), world.post("/OnKeyNotice", &second)) };
    let (replies, ()) = tokio::join!(both, async {
        world.runner.started.acquire_many(2).await.unwrap().forget();
        world.runner.release.add_permits(2);
    });
    assert_eq!((replies.0.status, replies.1.status), (200, 200));
}

#[tokio::test]
async fn trap_9_a_caller_that_left_does_not_cut_a_step_in_two() {
    let world = World::new(Behaviour::Hang).await;
    let body = timer().to_string();
    let head =
        format!("POST /RotateKeys HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    world.runner.started.acquire().await.unwrap().forget();
    drop(stream);
    // The server answers others meanwhile, so it has had the time to notice.
    assert_eq!(world.send("GET", "/", b"").await.status, 200);
    world.runner.release.add_permits(1);
    world.runner.ended.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn trap_10_nothing_of_an_envelope_is_logged_or_answered() {
    let (log, _guard) = Log::capture();
    let secret = "FUNCTION-KEY-IN-THE-ENVELOPE";
    let mut event = event();
    event["data"] = json!({ "claims": { "appid": secret }, "authorization": secret });
    let world = World::new(Behaviour::Succeed).await;
    let mut bodies = vec![
        json!({ "Data": { "event": event }, "Metadata": { "code": secret } }).to_string(),
        json!({ "Data": { secret: secret } }).to_string(),
        json!({ "Data": { "event": [secret] } }).to_string(),
        json!({ secret: secret }).to_string(),
    ];
    bodies.push(bodies[0].replace("}}", "}"));
    for (path, body) in [("/OnKeyNotice", &bodies), ("/RotateKeys", &bodies)]
        .iter()
        .flat_map(|(path, bodies)| bodies.iter().map(move |body| (*path, body.as_str())))
    {
        let reply = world.send("POST", path, body.as_bytes()).await;
        assert!(!reply.body.to_string().contains(secret), "{}", reply.body);
    }
    assert!(log.text().contains("not the envelope of this function"));
    assert!(!log.text().contains(secret), "{}", log.text());
}

// --- Beside the traps. ---

#[tokio::test]
async fn a_panic_fails_its_invocation_and_nothing_else() {
    let world = World::new(Behaviour::Panic).await;
    for _ in 0..2 {
        let reply = world.post("/RotateKeys", &timer()).await;
        assert_eq!(reply.status, 500);
        assert!(reply.error().starts_with("internal error"), "{}", reply.body);
        assert!(!reply.body.to_string().contains("PANIC-SECRET"));
    }
    assert_eq!(world.send("GET", "/", b"").await.status, 200);
}

#[tokio::test]
async fn a_body_may_be_chunked_and_begin_with_a_byte_order_mark() {
    let world = World::new(Behaviour::Succeed).await;
    let body = format!("\u{feff}{}", timer());
    let (left, right) = body.as_bytes().split_at(40);
    let mut request =
        b"POST /RotateKeys HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for chunk in [left, right, b""] {
        request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    assert_eq!(world.raw(&request).await.status, 200);
    assert_eq!(world.seen()[0].0, Trigger::Timer);
}

#[tokio::test]
async fn an_invocation_has_the_hosts_id_or_one_of_its_own() {
    let world = World::new(Behaviour::Succeed).await;
    world.post("/RotateKeys", &timer()).await;
    let body = timer().to_string();
    for header in ["", "X-Azure-Functions-InvocationId: two words\r\n"] {
        let head = format!("POST /RotateKeys HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{header}");
        world.raw(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    }
    let ids: Vec<String> = world.seen().into_iter().map(|(_, invocation)| invocation.id).collect();
    assert_eq!(ids[0], ID);
    assert!(ids[1..].iter().all(|id| id.len() == 36 && id != ID), "{ids:?}");
}

#[tokio::test]
async fn an_envelope_of_another_function_is_refused_by_its_member() {
    let reply = World::new(Behaviour::Succeed).await.post("/OnKeyNotice", &timer()).await;
    let error = "cannot understand the value in Data: it has neither eventType nor type. What is expected is an event of Event Grid, a CloudEvent, a list of them, or an alert of Azure Monitor";
    assert_eq!((reply.status, reply.error()), (400, error));
}

#[tokio::test]
async fn who_is_about_to_end_takes_nothing_on() {
    let world = World::new(Behaviour::Leave).await;
    for (path, body) in [("/RotateKeys", timer()), ("/OnKeyNotice", notice())] {
        let reply = world.post(path, &body).await;
        let why = "this process is about to end; the next delivery carries on, and what was sent by hand has to be sent again";
        assert_eq!((reply.status, reply.error()), (503, why), "{path}");
    }
    assert_eq!(for_the_caller(&world.post("/OnAlert", &alert()).await), 503);
    assert!(world.seen().is_empty(), "nothing was run");
    assert_eq!(world.send("GET", "/", b"").await.status, 200);
}

/// The body of a whole event, and its data once more, as the host sends it.
fn twice(data: &str) -> String {
    let mut event = event();
    event["data"] = data.into();
    // A text is encoded once more among the metadata.
    json!({ "Data": { "event": event }, "Metadata": { "data": json!(data).to_string() } }).to_string()
}

#[tokio::test]
async fn the_largest_event_is_read_and_a_larger_one_does_not_come_again() {
    let (log, _guard) = Log::capture();
    let world = World::new(Behaviour::Succeed).await;
    // Of a megabyte, of the characters that grow most: each takes two bytes of it.
    let largest = twice(&"\"".repeat(500_000));
    assert!(largest.len() > 2_900_000, "{}", largest.len());
    assert_eq!(world.send("POST", "/OnKeyNotice", largest.as_bytes()).await.status, 200);
    assert_eq!(world.seen().len(), 1, "it was read");
    assert!(!log.text().contains("passed over"));

    let larger = twice(&"x".repeat(3_000_000));
    let reply = world.send("POST", "/OnKeyNotice", larger.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let told = "OnKeyNotice passed over what it was sent: the body is larger than 4 MiB";
    assert!(reply.body["Logs"].to_string().contains(told), "{}", reply.body);
    let line = log.text().lines().find(|line| line.contains(told)).map(ToOwned::to_owned);
    assert!(line.is_some_and(|line| line.contains("ERROR") && line.contains(ID)), "{}", log.text());
    let reply = world.send("POST", "/OnAlert", larger.as_bytes()).await;
    assert_eq!(for_the_caller(&reply), 413);
    assert_eq!(world.seen().len(), 1, "neither was read");
}

/// The line at the end of an invocation.
#[tokio::test]
async fn each_invocation_ends_with_a_line_of_its_own() {
    for (behaviour, level, said) in [
        (
            Behaviour::Succeed,
            "INFO",
            "OnKeyNotice is done: sr-demo: settled; sr-chat: settled (done by the run notice/1; shared with the run \
             notice/2, which another invocation asked for)",
        ),
        (Behaviour::Fail, "ERROR", "OnKeyNotice failed: sr-demo: Azure refused listKeys (403)"),
        (
            Behaviour::Unfinished,
            "ERROR",
            "OnKeyNotice is not finished: sr-demo: another run is at work on it",
        ),
        (Behaviour::Panic, "ERROR", "OnKeyNotice failed: internal error"),
    ] {
        let (log, _guard) = Log::capture();
        World::new(behaviour).await.post("/OnKeyNotice", &notice()).await;
        let text = log.text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(said)).collect();
        assert_eq!(lines.len(), 1, "{said} in {text}");
        assert!(lines[0].contains(level) && lines[0].contains(ID), "{}", lines[0]);
    }
}

#[tokio::test]
async fn what_needs_more_time_is_no_internal_error() {
    let reply = World::new(Behaviour::Unfinished).await.post("/OnKeyNotice", &notice()).await;
    assert_eq!((reply.status, reply.error()), (503, "sr-demo: another run is at work on it"));
}

fn alert() -> Value {
    let alert = json!({ "data": { "essentials": { "alertTargetIDs": ["/subscriptions/s"] } } });
    let url = "https://x/api/OnAlert?code=FUNCTIONKEY";
    json!({ "Data": { "req": { "Url": url, "Method": "POST", "Body": alert.to_string() } }, "Metadata": {} })
}

/// The status that the caller of `OnAlert` gets, of an answer that the host takes for a success.
fn for_the_caller(reply: &Reply) -> u64 {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let res = &reply.body["Outputs"]["res"];
    assert_eq!(res["headers"]["content-type"], "application/json");
    assert!(serde_json::from_str::<Value>(res["body"].as_str().unwrap()).unwrap().is_object());
    res["statusCode"].as_u64().unwrap()
}

#[tokio::test]
async fn an_action_group_is_told_whether_to_send_again() {
    for (behaviour, status) in [
        (Behaviour::Succeed, 200),
        (Behaviour::Fail, 500),
        (Behaviour::Unfinished, 503),
        (Behaviour::Panic, 500),
    ] {
        let reply = World::new(behaviour).await.post("/OnAlert", &alert()).await;
        assert_eq!(for_the_caller(&reply), status);
        assert!(!reply.body.to_string().contains("FUNCTIONKEY"));
    }
    let world = World::new(Behaviour::Succeed).await;
    let nothing = json!({ "Data": { "req": { "Url": "https://x/api/OnAlert?code=FUNCTIONKEY" } } });
    let reply = world.post("/OnAlert", &nothing).await;
    assert_eq!(for_the_caller(&reply), 400);
    assert!(!reply.body.to_string().contains("FUNCTIONKEY"));

    let world = World::new(Behaviour::Hang).await;
    let body = alert();
    let (reply, ()) = tokio::join!(world.post("/OnAlert", &body), async {
        world.runner.started.acquire().await.unwrap().forget();
        world.clock.advance(BUDGETS.notice + Duration::from_secs(2));
    });
    assert_eq!(for_the_caller(&reply), 503);
}
