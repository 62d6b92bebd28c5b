//! What the process writes where. Logs and the panic hook belong to the whole process, so each test runs itself again as
//! a child and reads the child's streams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::process::{Command, Output as Streams};
use std::sync::Arc;

use serde_json::Value;
use signalr_rekey::clock::SystemClock;
use signalr_rekey::{panics, report::telemetry};

const CHILD: &str = "SIGNALR_REKEY_TEST_CHILD";

/// The streams of this very test, run by itself; none in the child.
fn parent(test: &str) -> Option<Streams> {
    if std::env::var_os(CHILD).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    Some(command.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap())
}

/// The JSON lines among what the test harness prints.
fn json_lines(streams: &Streams) -> Vec<Value> {
    let text = String::from_utf8(streams.stdout.clone()).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok()).collect()
}

fn stderr(streams: &Streams) -> String {
    String::from_utf8(streams.stderr.clone()).unwrap()
}

fn init(filter: Option<&str>) -> telemetry::Logs {
    telemetry::init(telemetry::Output::Json, filter, Arc::new(SystemClock)).unwrap()
}

#[test]
fn lines_are_flat_and_carry_the_spans_around_them() {
    let Some(streams) = parent("lines_are_flat_and_carry_the_spans_around_them") else {
        let _logs = init(None);
        let _invocation =
            tracing::info_span!("invocation", invocation = "i-1", function = "RotateKeys").entered();
        let instance =
            tracing::info_span!("instance", instance = "sr-demo", step = tracing::field::Empty).entered();
        instance.record("step", "repoint chat-web");
        tracing::info!(attempt = 2_u64, level = "mine", "settings written");
        tracing::warn!("azfuncjsonlog: a line\nand another");
        tracing::debug!("not shown");
        return;
    };
    let mut lines = json_lines(&streams);
    for line in &mut lines {
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'));
    }
    insta::assert_snapshot!(lines.iter().map(|line| format!("{line}\n")).collect::<String>(), @r#"
    {"attempt":2,"function":"RotateKeys","instance":"sr-demo","invocation":"i-1","level":"INFO","level_":"mine","message":"settings written","step":"repoint chat-web","target":"telemetry"}
    {"function":"RotateKeys","instance":"sr-demo","invocation":"i-1","level":"WARN","message":"azfuncjsonlog: a line\nand another","step":"repoint chat-web","target":"telemetry"}
    "#);
    insta::assert_snapshot!(stderr(&streams), @r#"
    warning: azfuncjsonlog: a line\nand another function=RotateKeys instance=sr-demo invocation=i-1 step=repoint chat-web
    "#);
}

#[test]
fn dependencies_are_not_heard_below_info() {
    let Some(streams) = parent("dependencies_are_not_heard_below_info") else {
        let _logs = init(Some("trace"));
        tracing::trace!(target: "signalr_rekey::pass", "ours");
        tracing::trace!(target: "hyper::proto", "authorization: Bearer TOKEN");
        tracing::info!(target: "hyper::proto", "theirs");
        return;
    };
    let messages: Vec<Value> = json_lines(&streams).iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["ours", "theirs"]);
}

#[test]
fn a_panic_tells_its_place_and_not_its_message() {
    let Some(streams) = parent("a_panic_tells_its_place_and_not_its_message") else {
        panics::install_hook();
        let _logs = init(None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let caught = runtime.block_on(panics::catch(async { panic!("AccessKey=PANIC-SECRET") }));
        let caught: Result<(), _> = caught;
        tracing::error!("{}", caught.unwrap_err());
        return;
    };
    let all = format!("{}{}", String::from_utf8_lossy(&streams.stdout), stderr(&streams));
    assert!(!all.contains("PANIC-SECRET"), "{all}");
    let lines = json_lines(&streams);
    let place = lines[0]["panicked_at"].as_str().unwrap();
    assert!(place.contains("telemetry.rs:"), "{place}");
    assert_eq!(lines[1]["message"], format!("internal error at {place}"));
    assert!(stderr(&streams).starts_with("error: internal error: a panic"), "{}", stderr(&streams));
}

#[test]
fn no_line_is_lost_and_none_overtakes_another_where_somebody_reads() {
    const LINES: usize = 5000;
    let Some(streams) = parent("no_line_is_lost_and_none_overtakes_another_where_somebody_reads") else {
        let _logs = init(None);
        (0..LINES).for_each(|number| tracing::warn!(number, "line"));
        return;
    };
    let numbers: Vec<u64> = json_lines(&streams).iter().filter_map(|line| line["number"].as_u64()).collect();
    assert_eq!(numbers, (0..LINES as u64).collect::<Vec<_>>());
    let text = stderr(&streams);
    let text: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: line number=")).collect();
    assert_eq!(text.len(), LINES);
    assert_eq!(text.last(), Some(&format!("warning: line number={}", LINES - 1).as_str()));
}
