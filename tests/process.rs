//! The real program as a process: its commands, its exit codes, and the handler as the Functions host runs it, against
//! `signalr-rekey simulate` as another process. Time is real here, so everything is quick and short.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use common::program::{Azure, Handler, PROGRAM, program, text};
use serde_json::{Value, json};

#[tokio::test]
async fn the_handler_rotates_and_mends_as_the_host_calls_it() {
    let azure = Azure::start(&[]);
    let handler = Handler::start(&azure, &["handler"]).await;
    let (status, reply) = handler.tick().await;
    assert_eq!((status, &reply["Outputs"]), (200, &json!({})), "{reply}");
    assert!(reply["Logs"].to_string().contains("sr-demo: settled"), "{reply}");
    let report = azure.report().await;
    assert_eq!(report["refused"], 0, "{report}");
    assert_eq!(report["arm_requests"]["SignalR_RegenerateKey"], 2, "{report}");
    assert!(report["calls"].as_u64().unwrap() > 500, "{report}");

    azure.force("sr-demo", "Both").await;
    let (status, reply) = handler.notice("sr-demo").await;
    assert_eq!(status, 200, "{reply}");
    assert!(reply["Logs"].to_string().contains("mended to the"), "{reply}");
    let (status, reply) =
        handler.call("OnKeyNotice", json!({"event": {"id": "2", "eventType": "Other"}})).await;
    assert_eq!(status, 200, "what does not concern us is no failure: {reply}");
    assert_eq!(handler.call("Unknown", json!({})).await.0, 404);

    let printed = handler.kill();
    // stderr has the failures once more, as text.
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_steps = lines.iter().filter(|line| line["step"].is_string()).collect::<Vec<_>>();
    assert!(of_steps.len() >= 6, "{printed}");
    assert!(
        of_steps.iter().all(|line| line["invocation"].is_string() && line["instance"] == "sr-demo"),
        "{printed}"
    );
    assert!(!printed.contains("AAAAASRS") && !printed.contains("AccessKey="), "a key was printed");
}

#[tokio::test]
async fn a_handler_that_was_killed_is_followed_by_one_that_carries_on() {
    let azure = Azure::start(&["--regenerate-takes", "3s"]);
    let handler = Handler::start(&azure, &[]).await;
    let killed = {
        let tick = handler.tick();
        let regenerated = async {
            while azure.report().await["arm_requests"]["SignalR_RegenerateKey"].is_null() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! { _ = tick => false, () = regenerated => true }
    };
    assert!(killed, "killed in the middle");
    drop(handler.kill());
    let handler = Handler::start(&azure, &[]).await;
    let (status, reply) = handler.tick().await;
    assert_eq!(status, 200, "{reply}");
    let report = azure.report().await;
    assert_eq!(report["refused"], 0, "{report}");
}

#[tokio::test]
async fn commands_show_plan_and_rotate() {
    let azure = Azure::start(&[]);
    let plan = azure.run(&["plan", "--json"]);
    assert_eq!(plan.status.code(), Some(0), "{}", text(&plan.stderr));
    let planned: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(planned[0]["decision"], "waiting", "{planned}");
    let before = azure.report().await;
    assert!(before["arm_requests"]["SignalR_RegenerateKey"].is_null(), "plan changes nothing: {before}");

    let status = azure.run(&["status", "sr-demo"]);
    let shown = text(&status.stdout);
    assert!(
        shown.contains(
            "chat-web/staging (app setting Azure__SignalR__ConnectionString) holds the Primary key"
        ),
        "{shown}"
    );

    let short = azure.run(&["rotate", "--for", "1s"]);
    assert_eq!(short.status.code(), Some(3), "not finished: {}{}", text(&short.stdout), text(&short.stderr));
    let rotated = azure.run(&["rotate", "SR-DEMO", "--now", "--json"]);
    assert_eq!(rotated.status.code(), Some(0), "{}", text(&rotated.stderr));
    let answer: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(answer[0]["ending"], "settled", "{answer}");
    assert_eq!(azure.report().await["refused"], 0);
}

#[tokio::test]
async fn what_is_wrong_is_told_and_nothing_is_done() {
    let azure = Azure::start(&[]);
    let unknown = azure.run(&["plan", "sr-none"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("sr-demo"), "the known ones are named");

    let bad = azure.folder.path().join("bad.toml");
    std::fs::write(&bad, "grace = \"soon\"\nrotate_evry = \"30d\"\n[[instance]]\nid = \"x\"\napps = []\n")
        .unwrap();
    let faults = azure.command(&["plan", "--config"]).arg(&bad).env_remove("REKEY_GRACE").output().unwrap();
    let told = text(&faults.stderr);
    assert_eq!(faults.status.code(), Some(2), "{told}");
    for fault in ["bad.toml:1:", "rotate_evry", "rotate_every", "bad.toml:4:", "apps"] {
        assert!(told.contains(fault), "{fault} is missing in: {told}");
    }

    let alone = azure.run(&["handler"]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(text(&alone.stderr).contains("FUNCTIONS_CUSTOMHANDLER_PORT"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = azure.command(&["handler"]).env("FUNCTIONS_CUSTOMHANDLER_PORT", port).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "never 0, which the host would not restart");
}

#[tokio::test]
async fn an_azure_that_is_not_there_is_named_and_the_run_fails() {
    let azure = Azure::start(&[]);
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = azure.command(&["plan"]);
    let output = command.env("REKEY_RESOURCE_MANAGER", format!("http://{nowhere}")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("SignalR_ListKeys") && told.contains("sr-demo"), "{told}");
}

#[test]
fn help_teaches_and_says_nothing_of_files_that_are_not_there() {
    let help = program(&["--help"]).output().unwrap();
    let told = text(&help.stdout);
    assert_eq!(help.status.code(), Some(0));
    for word in ["handler", "plan", "rotate", "status", "simulate", "Exit codes"] {
        assert!(told.contains(word), "{word} is missing in: {told}");
    }
    assert_eq!(program(&[]).output().unwrap().status.code(), Some(2));
    assert!(PathBuf::from(PROGRAM).exists());
}

/// What a person has to know first stands in the first line, and the exit code says that there is such a thing.
#[tokio::test]
async fn plan_and_status_say_first_who_is_cut_off_and_what_is_out_of_sight() {
    let azure = Azure::start(&[]);
    let first = |command: &str| {
        let shown = azure.run(&[command]);
        let line = text(&shown.stdout).lines().next().unwrap_or_default().to_owned();
        (shown.status.code().unwrap(), line)
    };
    for command in ["plan", "status"] {
        assert_eq!(first(command).0, 0, "nobody is cut off, all is seen");
    }
    let forbidden = json!({
        "operation": "WebApps_ListApplicationSettings", "resource": "chat-func", "count": 1000, "kind": "forbidden",
    });
    azure.ask("faults", forbidden).await;
    for command in ["plan", "status"] {
        let (code, line) = first(command);
        assert!(
            code == 1 && line.starts_with("sr-demo: blocked: ") && line.contains("chat-func"),
            "{code}: {line}"
        );
    }
    azure.force("sr-demo", "Both").await;
    for command in ["plan", "status"] {
        let (code, line) = first(command);
        assert!(
            code == 1 && line.starts_with("sr-demo: stale: ") && line.contains("chat-web"),
            "{code}: {line}"
        );
        let shown = azure.run(&[command]);
        assert!(
            text(&shown.stdout).lines().nth(1).unwrap().contains("chat-func"),
            "the unseen one comes second"
        );
    }
}
