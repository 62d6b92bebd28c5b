//! The real program as a process: its commands, its exit codes, and the handler as the Functions host runs it, against
//! `signalr-rekey simulate` as another process. Time is real here, so everything is quick and short.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::journals::Journals;
use common::program::{Azure, Handler, Nobody, PROGRAM, free_port, key_event, program, text};
use serde_json::{Value, json};

#[tokio::test]
async fn the_handler_rotates_and_repairs_as_the_host_calls_it() {
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
    assert!(reply["Logs"].to_string().contains("in the place of an invalid one"), "{reply}");
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
    assert_eq!(planned["instances"][0]["decision"], "waiting", "{planned}");
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
    let last = text(&rotated.stdout).lines().last().unwrap().to_owned();
    let answer: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(answer["instances"][0]["ending"], "settled", "{answer}");
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
    let nobody = Nobody::new();
    let mut command = azure.command(&["plan"]);
    let output = command.env("REKEY_RESOURCE_MANAGER", nobody.url()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("sr-demo: cannot list the keys, so whether consumers hold a valid key cannot be told: could not connect"), "{told}");
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

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let azure = Azure::start(&[]);
    for arguments in [
        &["plan"][..],
        &["plan", "--json"],
        &["status"],
        &["status", "--json"],
        &["history"],
        &["doctor"],
        &["init", "--output", "-", "--resource-group", "rg-demo"],
        &["rotate", "--for", "1s", "--json"],
        &["--help"],
        &["--version"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let told = azure.command(arguments).stdout(full).output().unwrap();
        assert_eq!(told.status.code(), Some(1), "{arguments:?}: {}", text(&told.stderr));
        let why = text(&told.stderr);
        assert!(
            why.contains("could not write the whole answer; caused by: No space left"),
            "{arguments:?}: {why}"
        );

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = azure.command(arguments).stdout(writer).output().unwrap();
        let read = azure.command(arguments).output().unwrap();
        assert_eq!(left.status.code(), read.status.code(), "{arguments:?}: {}", text(&left.stderr));
        assert!(!text(&left.stderr).contains("could not be written"), "{arguments:?}");
    }
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A `rotate` that follows a regeneration which never ends, stopped by signals. Its exit code and what it said.
async fn stopped(signals: &[&str]) -> (Option<i32>, String) {
    let azure = Azure::start(&["--regenerate-takes", "1h"]);
    let mut command = azure.command(&["rotate", "--now"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while azure.report().await["arm_requests"]["SignalR_RegenerateKey"].is_null() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    for name in signals {
        signal(&child, name);
        if told.is_empty() {
            stderr.read_line(&mut told).unwrap();
        }
    }
    let (done, ended) = std::sync::mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || done.send(child.wait().unwrap().code()));
    let Ok(code) = ended.recv_timeout(Duration::from_secs(60)) else {
        let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
        panic!("it does not end: {told}");
    };
    stderr.read_to_string(&mut told).unwrap();
    (code, told)
}

#[tokio::test]
async fn ctrl_c_ends_a_rotation_as_unfinished_and_says_so() {
    for name in ["-INT", "-TERM"] {
        let (code, told) = stopped(&[name]).await;
        assert_eq!(code, Some(3), "{name}: {told}");
        assert!(told.contains("to give the lease back"), "{told}");
        // What state things are in, and who goes on.
        for says in [
            "sr-demo: stopped; the next run carries on",
            "  the Primary key is the one that was first seen at ",
            "it is held by chat-web (app setting Azure__SignalR__ConnectionString), chat-web/staging (app setting",
            "  the Secondary key, which no consumer holds, is being regenerated since ",
            "  what is next: follow the regeneration of the Secondary key",
            "  nothing carries on, because the journal was in this process alone",
        ] {
            assert!(told.contains(says), "{says:?} is missing in: {told}");
        }
    }
}

#[tokio::test]
async fn the_second_ctrl_c_ends_it_at_once() {
    let (code, told) = stopped(&["-INT", "-INT"]).await;
    // It may have been done with giving the lease back before the second came.
    assert!(matches!(code, Some(130 | 3)), "{code:?} {told}");
}

/// 1,000 calls that each log a line to stdout and to stderr, which nobody reads: 64 KiB of pipe are full after a third.
#[tokio::test]
async fn a_log_that_nobody_reads_keeps_no_call_waiting() {
    let azure = Azure::start(&[]);
    let port = free_port();
    let mut command = azure.command(&["handler"]);
    command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    while http.get(&url).send().await.is_err() {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    for number in 0..1000 {
        let answer = http.post(format!("{url}Nothing{number}")).send().await;
        assert_eq!(answer.unwrap().status().as_u16(), 404, "call {number}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let lines = printed.lines().filter(|line| line.contains("no such function")).count();
    assert!(
        (100..1000).contains(&lines),
        "{lines} lines were in the pipe: the test shows nothing if it was not full"
    );
}

#[tokio::test]
async fn an_expired_login_is_told_once_with_what_repairs_it() {
    let world = json!({
        "subscription": "00000000-0000-0000-0000-000000000001",
        "signalr": (0..5).map(|n| json!({"group": "rg", "name": format!("sr-{n}"), "apps": [format!("app-{n}")]})).collect::<Vec<_>>(),
        "sites": (0..5).map(|n| json!({"group": "rg", "name": format!("app-{n}")})).collect::<Vec<_>>(),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.json");
    std::fs::write(&file, world.to_string()).unwrap();
    let azure = Azure::start(&["--world", file.to_str().unwrap()]);
    let az = folder.path().join("az");
    std::fs::write(
        &az,
        "#!/bin/sh\necho 'ERROR: AADSTS700082: The refresh token has expired due to inactivity.' >&2\n\
         echo 'Interactive authentication is needed. Please run:' >&2\n\
         echo 'az login --tenant \"contoso\" --scope \"https://management.core.windows.net//.default\"' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    for arguments in [&["plan"][..], &["status"], &["rotate", "--for", "5s"], &["doctor"]] {
        let mut command = azure.command(arguments);
        command.env("PATH", format!("{}:/bin:/usr/bin", folder.path().display()));
        let output = command.env_remove("IDENTITY_ENDPOINT").env_remove("IDENTITY_HEADER").output().unwrap();
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{told}");
        let cause = "caused by: az: AADSTS700082: The refresh token has expired due to inactivity (run: az login --tenant \"contoso\"";
        assert_eq!(told.matches(cause).count(), 1, "{arguments:?}: {told}");
        assert!((0..5).all(|n| told.contains(&format!("sr-{n}"))) || arguments == ["doctor"], "{told}");
    }
}

#[tokio::test]
async fn why_something_could_not_start_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.json");
    std::fs::write(&world, "{\"subscription\": 5}").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, world) = (taken.local_addr().unwrap().to_string(), world.to_str().unwrap().to_owned());
    let missing = folder.path().join("nothing.json").to_str().unwrap().to_owned();
    for (arguments, words) in [
        (
            ["simulate", "--world", &world],
            &["the world file", "is not valid; caused by: invalid type", "line 1 column 18"][..],
        ),
        (["simulate", "--world", &missing], &["cannot read", "caused by: No such file"]),
        (["simulate", "--listen", &address], &["the embedded Azure could not start; caused by: ", "in use"]),
    ] {
        let output = program(&arguments).output().unwrap();
        let told = text(&output.stderr);
        assert!(!output.status.success() && words.iter().all(|word| told.contains(word)), "{told}");
    }
    let azure = Azure::start(&[]);
    let mut handler = azure.command(&["handler"]);
    let port = address.rsplit_once(':').unwrap().1;
    let output = handler.env("FUNCTIONS_CUSTOMHANDLER_PORT", port).output().unwrap();
    let told = text(&output.stderr);
    assert!(
        told.contains("cannot serve on 127.0.0.1") && told.contains("caused by: Address already in use"),
        "{told}"
    );
}

#[tokio::test]
async fn debug_shows_the_whole_chain() {
    let azure = Azure::start(&[]);
    let nobody = Nobody::new();
    let mut command = azure.command(&["plan"]);
    command.env("REKEY_RESOURCE_MANAGER", nobody.url()).env("RUST_LOG", "debug");
    let told = text(&command.output().unwrap().stderr);
    // The apps are read side by side with the keys.
    let is_of_keys = |line: &&str| line.contains("ARM request") && line.contains("SignalR_ListKeys");
    let line = told.lines().find(is_of_keys).unwrap_or_else(|| panic!("{told}"));
    assert!(line.contains("tcp connect error"), "{line}");
}

#[test]
fn an_embedded_azure_that_is_open_to_others_says_so() {
    for (listen, warns) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let mut child = program(&["simulate", "--listen", listen])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(told.contains("is open to others"), warns, "{listen}: {told}");
    }
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

/// Whether there is a process of this number that has not ended.
fn lives(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    status.is_ok_and(|status| !status.rsplit(')').next().unwrap().trim_start().starts_with(['Z', 'X']))
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so().await {
            return;
        }
        // There is no event to wait for in another process.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn regenerations(report: &Value) -> u64 {
    report["arm_requests"]["SignalR_RegenerateKey"].as_u64().unwrap_or(0)
}

/// A host that is killed leaves its handler behind, with a rotation in its midst.
#[tokio::test]
async fn a_handler_whose_host_is_killed_gives_its_lease_back_and_leaves() {
    let azure = Azure::with_journals(&["sr-orphan"], &["--regenerate-takes", "1h"]);
    let journals = Journals::open();
    // The parent stands for the host. What it starts is told by its number.
    let port = free_port().to_string();
    let host = azure.command(&[]);
    let handler = host.get_program().to_owned();
    let mut host = {
        let mut shell = std::process::Command::new("sh");
        shell.env_clear().envs(host.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("FUNCTIONS_CUSTOMHANDLER_PORT", &port);
        shell.args(["-c", "\"$0\" handler >\"$1\" 2>&1 & echo $!; wait"]).arg(handler);
        shell.arg(azure.folder.path().join("printed"));
        shell.stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let handler: u32 = line.trim().parse().unwrap();

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    until("the handler answers", async || http.get(&url).send().await.is_ok()).await;
    let envelope = json!({"Data": {"timer": common::program::timer()}, "Metadata": {}});
    let tick = tokio::spawn(http.post(format!("{url}RotateKeys")).json(&envelope).send());
    until("a regeneration", async || regenerations(&azure.report().await) == 1).await;
    journals.wait("sr-orphan", |journal| !journal["journal"]["inFlight"]["operation"].is_null()).await;
    assert!(journals.read("sr-orphan").await.unwrap()["lease"].is_object(), "it follows the operation");

    host.kill().unwrap();
    host.wait().unwrap();
    let killed = std::time::Instant::now();
    until("the handler is gone", async || !lives(handler)).await;
    let took = killed.elapsed();
    let journal = journals.read("sr-orphan").await.unwrap();
    assert!(journal["lease"].is_null(), "{journal}");
    assert!(!journal["journal"]["inFlight"]["operation"].is_null(), "the next run follows it: {journal}");
    assert_eq!(regenerations(&azure.report().await), 1);
    assert!(took < Duration::from_secs(30), "{took:?}");
    let _ = tick.await;
    let printed = std::fs::read_to_string(azure.folder.path().join("printed")).unwrap();
    for told in ["the Functions host that started it is gone", "stopped; the next run carries on", "ends now"]
    {
        assert!(printed.contains(told), "{told} is missing in {printed}");
    }
}

/// Nothing is due: the first run is quick.
fn rotated_already(mut azure: Azure) -> Azure {
    azure.environment.insert("REKEY_FIRST_ROTATION".into(), "when-due".into());
    azure
}

/// In the midst of a repair: the write that is under way comes to its end and on record, its invocation is answered, and
/// what comes meanwhile is to come again.
#[tokio::test]
async fn a_handler_that_is_asked_to_stop_ends_its_step_and_takes_nothing_on() {
    for name in ["-TERM", "-INT"] {
        let service = format!("sr-stop{}", name.to_lowercase());
        let azure = rotated_already(Azure::with_journals(&[&service], &[]));
        let journals = Journals::open();
        let mut handler = Handler::start(&azure, &[]).await;
        assert_eq!(handler.tick().await.0, 200);
        azure
            .ask("faults", json!({"operation": "WebApps_UpdateApplicationSettings", "count": 2, "kind": "slow", "delay_ms": 3000}))
            .await;
        azure.force(&service, "Both").await;
        let (repaired, refused) = tokio::join!(handler.notice(&service), async {
            // The write, which takes three seconds, is sent as soon as its intent is on record.
            let begun =
                |journal: &Value| journal["journal"]["history"].to_string().contains("repointIntended");
            journals.wait(&service, begun).await;
            signal(&handler.child, name);
            loop {
                let answer = handler.call("OnKeyNotice", json!({"event": {"eventType": "Other"}})).await;
                if answer.0 != 200 {
                    return answer;
                }
            }
        });
        assert_eq!(refused.0, 503, "{}", refused.1);
        assert!(refused.1.to_string().contains("about to end"), "{}", refused.1);
        assert_eq!(repaired.0, 503, "more was to be looked at: {}", repaired.1);
        let code = tokio::task::spawn_blocking(move || {
            let code = handler.child.wait().unwrap().code();
            (code, handler.kill())
        });
        let (code, printed) = code.await.unwrap();
        assert_eq!(code, Some(1), "0 is not restarted: {printed}");
        assert!(
            printed.contains("it was asked to stop") && printed.contains("this process ends now"),
            "{printed}"
        );
        let journal = journals.read(&service).await.unwrap();
        assert!(journal["lease"].is_null(), "{journal}");
        let last = journal["journal"]["history"].to_string();
        assert!(last.contains("repointed"), "what was written is on record: {journal}");
    }
}

#[tokio::test]
async fn a_handler_that_is_asked_to_stop_twice_ends_at_once() {
    let azure = Azure::with_journals(&["sr-twice"], &[]);
    let journals = Journals::open();
    let port = free_port();
    let mut handler = Handler::start_at(port, &azure, &[]).await;
    azure
        .ask(
            "faults",
            json!({"operation": "SignalR_RegenerateKey", "count": 1, "kind": "slow", "delay_ms": 25_000}),
        )
        .await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let envelope = json!({"Data": {"timer": common::program::timer()}, "Metadata": {}});
    let tick = tokio::spawn(http.post(format!("http://127.0.0.1:{port}/RotateKeys")).json(&envelope).send());
    // Its intent is on record, and the request is on its way.
    journals.wait("sr-twice", |journal| journal["journal"]["inFlight"].is_object()).await;
    signal(&handler.child, "-TERM");
    let other = || handler.call("OnKeyNotice", json!({"event": {"eventType": "Other"}}));
    until("it takes nothing on", async || other().await.0 == 503).await;
    signal(&handler.child, "-TERM");
    assert!(tick.await.unwrap().is_err(), "nobody answers any more");
    assert_eq!(handler.child.wait().unwrap().code(), Some(130));
}

/// A run has the lease while it follows a regeneration. Who pauses meanwhile is told so, and has his turn after it.
#[tokio::test]
async fn a_command_waits_for_its_turn_beside_a_run_at_work() {
    let azure = Azure::with_journals(&["sr-turn"], &["--regenerate-takes", "4s"]);
    let journals = Journals::open();
    let mut rotate =
        azure.command(&["rotate", "--yes", "--for", "2m"]).stdout(Stdio::null()).spawn().unwrap();
    journals.wait("sr-turn", |journal| journal["lease"].is_object()).await;
    let paused = azure.run(&["pause", "--until", "1h", "--why", "an audit", "--by", "ada"]);
    rotate.kill().unwrap();
    rotate.wait().unwrap();
    let told = text(&paused.stderr);
    assert_eq!(paused.status.code(), Some(0), "{told}");
    assert!(told.contains("sr-turn: another run (rotate/") && told.contains("waits for its turn"), "{told}");
    let journal = journals.read("sr-turn").await.unwrap();
    assert!(journal["journal"]["paused"].is_object(), "{journal}");
}

/// Three notices of one service: the first is repaired by a run of its own, the others share the next. Each has one line
/// of its own that tells which.
#[tokio::test]
async fn each_invocation_has_its_own_line_and_its_run() {
    let azure = rotated_already(Azure::start(&[]));
    let handler = Handler::start(&azure, &[]).await;
    assert_eq!(handler.tick().await.0, 200);
    azure
        .ask("faults", json!({"operation": "SignalR_ListKeys", "count": 1, "kind": "slow", "delay_ms": 2000}))
        .await;
    azure.force("sr-demo", "Both").await;
    // The run of the first to come has not got further than its first request when the others are there.
    let notices = [handler.notice("sr-demo"), handler.notice("sr-demo"), handler.notice("sr-demo")];
    for (status, reply) in futures::future::join_all(notices).await {
        assert_eq!(status, 200, "{reply}");
    }
    assert_eq!(handler.call("OnKeyNotice", json!({"event": {"id": "2", "eventType": "Other"}})).await.0, 200);
    handler.prints(3, |line| line.starts_with('{') && line.contains("OnKeyNotice is done: sr-demo: ")).await;
    let printed = handler.kill();
    let lines: Vec<Value> = printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let says = |line: &Value, word: &str| line["message"].as_str().unwrap().contains(word);
    let ends: Vec<&Value> =
        lines.iter().filter(|line| says(line, "OnKeyNotice is done: sr-demo: ")).collect();
    assert_eq!(ends.len(), 3, "one for each, and none for what calls for nothing: {printed}");
    let of = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    let ids: std::collections::BTreeSet<String> = ends.iter().map(|line| of(line, "invocation")).collect();
    assert_eq!(ids.len(), 3, "{ends:?}");
    let (shared, own): (Vec<&Value>, Vec<&Value>) =
        ends.iter().partition(|line| says(line, "which another invocation asked for"));
    assert_eq!((own.len(), shared.len()), (2, 1), "{ends:?}");
    // Each run's lines bear the id of who asked for it, and its name, which all who shared it tell.
    for end in own {
        let run_of_it = |line: &&Value| line["invocation"] == end["invocation"] && line["run"].is_string();
        let run = lines.iter().find(run_of_it).unwrap_or_else(|| panic!("its run has no line: {end}"));
        assert!(says(end, &format!("done by the run {}", of(run, "run"))), "{end}");
    }
}

/// The host drops what is said with a failure: one line of ours says the function, the service and the cause.
#[tokio::test]
async fn the_reason_of_a_failure_is_in_one_line_and_a_repeat_is_asked_for() {
    let azure = Azure::start(&[]);
    let nobody = Nobody::new();
    let mut command = azure.command(&["handler"]);
    command.env("REKEY_RESOURCE_MANAGER", nobody.url());
    let handler = Handler::spawn(command, free_port(), &azure).await;
    let resource = key_event("sr-demo")["subject"].clone();
    let alert = json!({"schemaId": "azureMonitorCommonAlertSchema", "data": {
        "essentials": {"alertId": "1", "alertTargetIDs": [resource], "monitoringService": "Activity Log - Administrative"},
        "alertContext": {"operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action", "status": "Succeeded"},
    }});
    let alert = json!({"req": {"Method": "POST", "Body": alert.to_string()}});
    // The first event of a process has less time, and one that is asked beside another waits for that one's run.
    handler.call("OnKeyNotice", json!({"event": {"eventType": "Other"}})).await;
    let (status, reply) = handler.call("OnAlert", alert).await;
    let to_notice = handler.notice("sr-demo").await;
    assert_eq!((status, &reply["Outputs"]["res"]["statusCode"]), (200, &json!(503)), "{reply}");
    assert_eq!(to_notice.0, 503, "{}", to_notice.1);
    let beginning = |function: &str| format!("{function} is not finished: sr-demo: failed: ");
    for function in ["OnAlert", "OnKeyNotice"] {
        let is_for_people = |line: &str| !line.starts_with('{') && line.contains(&beginning(function));
        handler.prints(1, is_for_people).await;
    }
    let printed = handler.kill();
    for function in ["OnAlert", "OnKeyNotice"] {
        let beginning = beginning(function);
        let line =
            printed.lines().filter(|line| !line.starts_with('{')).find(|line| line.contains(&beginning));
        let line = line.unwrap_or_else(|| panic!("{beginning} is missing in {printed}"));
        assert!(line.contains("onnection refused"), "{line}");
    }
}

/// Without a schedule the host runs no timer, and nobody else would say so.
#[tokio::test]
async fn a_timer_that_the_host_does_not_run_is_told_at_the_start_and_to_the_first_event() {
    let azure = Azure::start(&[]);
    let told = "ROTATION_SCHEDULE: it is not set, so the Functions host does not run RotateKeys";
    for (schedule, times) in [(None, 1), (Some("0 */5 * * * *"), 0)] {
        let mut command = azure.command(&["handler"]);
        command.env_remove("ROTATION_SCHEDULE");
        command.envs(schedule.map(|schedule| ("ROTATION_SCHEDULE", schedule)));
        let handler = Handler::spawn(command, free_port(), &azure).await;
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(
                handler.call("OnKeyNotice", json!({"event": {"eventType": "Other"}})).await.1.to_string(),
            );
        }
        assert_eq!(answers.iter().filter(|answer| answer.contains(told)).count(), times, "{answers:?}");
        handler.prints(2 * times, |line| line.starts_with('{') && line.contains(told)).await;
        let printed = handler.kill();
        // stderr has it once more.
        let lines = printed.lines().filter(|line| line.starts_with('{') && line.contains(told)).count();
        assert_eq!(lines, 2 * times, "{printed}");
    }
}
