//! The demo as people and machines run it: the real program, in real time. Both ways run at once, for it takes a while.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What each key of the demo starts with.
const KEY_MARK: &str = "demokey";

/// Starts a demo, with settings of an operator around that it must not be led astray by.
fn demo(arguments: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_signalr-rekey"))
        .arg("demo")
        .args(arguments)
        .env("REKEY_RESOURCE_MANAGER", "https://management.invalid")
        .env("REKEY_CONFIG", "nowhere.toml")
        .env("AZURE_CLIENT_SECRET", "s")
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_rotation_refuses_nobody_and_a_forced_regeneration_is_repaired() {
    let (for_machines, for_people, quiet) = (demo(&["--json"]), demo(&[]), demo(&["--quiet"]));
    machines_read_numbers(&for_machines.wait_with_output().unwrap());
    people_read_a_timeline(&for_people.wait_with_output().unwrap());
    let output = quiet.wait_with_output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.starts_with("Both keys were rotated under traffic:\n"), "the summary alone: {stdout}");
}

/// What waits in a storm does so in virtual time: it is not told unless asked for, and then by that time alone.
#[test]
fn a_storm_has_one_clock() {
    let told = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalr-rekey"));
        command.args(["demo", "--storm", "--rotations", "3"]).args(flags).env_remove("RUST_LOG");
        let (stdout, stderr) = text(&command.output().unwrap());
        assert!(stdout.starts_with("the storm of seed 1,"), "{stdout}{stderr}");
        stderr
    };
    assert_eq!((told(&[]), told(&["--quiet"])), (String::new(), String::new()));
    let asked = told(&["--verbose"]);
    let waits = "asks again at 2026-01-0";
    assert!(asked.lines().any(|line| line.contains(waits)), "{asked}");
    assert!(asked.lines().all(|line| !line.starts_with(|first: char| first.is_ascii_digit())), "{asked}");
}

/// Each kind is moved and repaired; nobody is refused by the rotation.
#[test]
fn one_consumer_of_every_kind_is_rotated_and_repaired() {
    let began = std::time::Instant::now();
    let output = demo(&["--every-kind", "--json"]).wait_with_output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    let consumers = serde_json::json!({
        "appService": 3,
        "keyVaultSecret": 1,
        "keyValue": 1,
        "containerApp": 1,
        "staticWebApp": 1,
        "reporter": 1,
        "manual": 1,
    });
    assert_eq!(answer["consumers"], consumers, "{stdout}");
    assert_eq!(answer["rotation"]["refused"], 0, "{stdout}");
    assert!(answer["recovery"]["outageMs"].as_i64().unwrap() > 0, "{stdout}");
    eprintln!("{stdout} after {:?}", began.elapsed());
}

fn machines_read_numbers(output: &Output) {
    let (stdout, stderr) = text(output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    let members =
        |value: &Value| value.as_object().unwrap().keys().map(String::from).collect::<Vec<_>>().join(" ");
    assert_eq!(members(&answer), "consumers recovery rotation schemaVersion");
    assert_eq!(members(&answer["rotation"]), "armRequests clientCalls elapsedMs refused restarts");
    assert_eq!(answer["consumers"], serde_json::json!({ "appService": 3 }), "{stdout}");
    assert_eq!(members(&answer["recovery"]), "noticeToSettingsMs outageMs");
    let number = |act: &str, name: &str| answer[act][name].as_i64().unwrap();
    assert_eq!(number("rotation", "refused"), 0);
    assert_eq!(number("rotation", "restarts"), 3, "each app once: {stdout}");
    assert!(number("rotation", "clientCalls") > 100, "{stdout}");
    assert!(number("rotation", "armRequests") > 0, "{stdout}");
    assert!(number("recovery", "outageMs") > 0, "{stdout}");
    // The last settings are written before the last app is back: its restart comes in between.
    assert!(number("recovery", "noticeToSettingsMs") < number("recovery", "outageMs"), "{stdout}");
    assert!(number("rotation", "elapsedMs") < 25_000, "under 30 s in all: {stdout}");
}

fn people_read_a_timeline(output: &Output) {
    let (stdout, stderr) = text(output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    let story = [
        " s  host     the timer fires: POST /RotateKeys\n",
        " s  rekey    sr-demo: about to regenerate the Secondary key\n",
        " s  azure    sr-demo: the new Secondary key is in effect\n",
        " s  rekey    sr-demo: repointed to the Secondary key: chat-web/staging\n",
        " s  rekey    sr-demo: wave 1 is well with its new key\n",
        " s  rekey    sr-demo: repointed to the Secondary key: chat-func, chat-web\n",
        " s  rekey    sr-demo: wave 2 is well with its new key\n",
        " s  azure    sr-demo: the new Primary key is in effect\n",
        " s  rekey    sr-demo: settled",
        " s  azure    sr-demo: Secondary key replaced by force\n",
        " s  host     Event Grid tells of it: POST /OnKeyNotice\n",
        " s  rekey    sr-demo: given the ",
        " s  clients  chat-func: client calls to sr-demo work again",
        "     of them refused because of a key\n",
        "     restarts of apps; ",
        " ms  the longest outage of an app",
    ];
    let mut rest = stdout.as_str();
    for part in story {
        let found = rest.split_once(part);
        rest = found.unwrap_or_else(|| unreachable!("{part:?} is missing, or stands too early:\n{stdout}")).1;
    }
    is_drawn_to_its_end_or_not_at_all(&stdout);
    assert!(!stdout.contains('\u{1b}'), "no colours where nobody sees them");
    assert!(!stdout.to_lowercase().contains(KEY_MARK) && !stdout.contains("AccessKey"), "a key is shown");
}

/// The picture in README.md. Python is not among what the tests need; where it is, as in CI, it has to agree.
fn is_drawn_to_its_end_or_not_at_all(demo: &str) {
    for (told, draws) in [(demo, true), (&demo[..demo.len() - 2], false), (&demo[..demo.len() / 2], false)] {
        let mut script = Command::new("python3");
        script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/demo-cast.py"));
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut script) = script.spawn() else { return };
        script.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        let (picture, complaints) = text(&output);
        assert_eq!((output.status.success(), picture.ends_with("</svg>\n")), (draws, draws), "{complaints}");
        assert_eq!(complaints.contains("the demo did not reach its end"), !draws, "{complaints}");
    }
}
