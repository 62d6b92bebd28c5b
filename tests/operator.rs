//! Commands in the hands of an operator: what they refuse, what they ask, what they call things, and where they tell it.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;
#[path = "operator/report.rs"]
mod report;
#[path = "operator/terminal.rs"]
mod terminal;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::program::{Azure, Handler, PROGRAM, program, text};
use serde_json::{Value, json};

const FILE: &str = "[[instance]]\n\
    id = \"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.SignalRService/signalR/chat\"\n\
    apps = [\"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.Web/sites/web\"]\n";

/// A file of that name in a folder of its own.
fn file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// The program with a configuration, before an Azure that is not the embedded Azure: a name that leads nowhere. Nobody is at
/// its terminal.
fn in_the_cloud(arguments: &[&str], config: &Path, settings: &[(&str, &str)]) -> Output {
    let mut command = program(arguments);
    command.arg("--config").arg(config).stdin(Stdio::null());
    command.env("REKEY_RESOURCE_MANAGER", "https://management.invalid").env("PATH", "/nowhere");
    command.envs(settings.iter().copied()).output().unwrap()
}

#[test]
fn without_the_journal_of_the_deployed_app_a_rotation_is_refused() {
    let (_folder, config) = file("chat.toml", FILE);
    for settings in [&[][..], &[("REKEY_STATE", "memory")]] {
        for arguments in
            [&["rotate"][..], &["rotate", "--yes"], &["rotate", "chat", "--now", "--yes", "--json"]]
        {
            let refused = in_the_cloud(arguments, &config, settings);
            let told = text(&refused.stderr);
            assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), String::new()), "{told}");
            for says in [
                "rotate needs the journal of the deployed app",
                "Nothing was done",
                "az login",
                "AzureWebJobsStorage__accountName=",
                "AzureWebJobsStorage__blobServiceUri=",
                "--without-journal",
            ] {
                assert!(told.contains(says), "{arguments:?}: {says:?} is missing in: {told}");
            }
        }
    }
    // With it, or told to do without it, it goes on to where Azure is to be asked.
    let storage = &[("AzureWebJobsStorage__accountName", "acc")][..];
    for (arguments, settings) in
        [(&["rotate", "--yes"][..], storage), (&["rotate", "--yes", "--without-journal", "--for", "5s"], &[])]
    {
        let told = in_the_cloud(arguments, &config, settings);
        assert_eq!(told.status.code(), Some(1), "{arguments:?}: {}", text(&told.stderr));
        assert!(text(&told.stderr).starts_with("chat: failed: "), "{}", text(&told.stderr));
    }
}

/// Who may write to an app can name its settings as he likes: no name moves the cursor, forges a line or shows a key.
#[tokio::test]
async fn what_a_setting_is_called_forges_no_line_and_shows_no_key() {
    let key = "aB3dEf6hIj9lMn2pQr5tUv8xYz1BcD4FgH7jKl0nOpQ=";
    let azure = Azure::start(&[]);
    let forged = "\u{1b}[2J\nsr-demo: OK: every consumer holds a valid key\u{202e}\u{9b}8m";
    let values = [
        "{primary:sr-demo}",
        "k{primaryKey:sr-demo}k",
        "@Microsoft.KeyVault(VaultName=none;SecretName=signalr)",
        "@Microsoft.AppConfiguration(Endpoint=https://none.azconfig.io; Key=signalr)",
        "@Microsoft.KeyVault(signalr)",
    ];
    for (number, value) in values.iter().enumerate() {
        for name in [format!("A{number}{forged}"), format!("B{number} {key}")] {
            azure.ask("settings", json!({"app": "chat-web", "name": name, "value": value})).await;
        }
    }
    let mut escaped = 0;
    let mut ask = |when: &str| {
        for arguments in [
            &["status"][..],
            &["status", "--json"],
            &["plan"],
            &["plan", "--json"],
            &["doctor"],
            &["doctor", "--json"],
            &["rotate", "--yes", "--for", "5s"],
            &["rotate", "--yes", "--for", "5s", "--json"],
            &["init", "--resource-group", "rg-demo"],
        ] {
            let answer = azure.run(arguments);
            let told = format!("{}{}", text(&answer.stdout), text(&answer.stderr));
            for hidden in
                [key.trim_end_matches('='), "\u{1b}", "\u{202e}", "\u{9b}", "\\u001b", "\nsr-demo: OK: every"]
            {
                assert!(!told.contains(hidden), "{when}, {arguments:?} tells {hidden:?}: {told}");
            }
            let shows = told.contains("u{1b}[2J") && told.contains("(a text that looks like a key)");
            escaped += usize::from(shows);
        }
    };
    ask("before");
    azure.force("sr-demo", "Both").await;
    ask("cut off");
    assert!(escaped > 12, "the names were met: {escaped}");
}

#[test]
fn without_a_terminal_a_rotation_needs_a_yes() {
    let (_folder, config) = file("chat.toml", FILE);
    for (arguments, settings) in [
        (&["rotate"][..], &[("AzureWebJobsStorage__accountName", "acc")][..]),
        (&["rotate", "--without-journal"], &[]),
        (
            &["rotate", "--now", "--json"],
            &[("AzureWebJobsStorage__blobServiceUri", "https://acc.blob.core.windows.net")],
        ),
    ] {
        let refused = in_the_cloud(arguments, &config, settings);
        let told = text(&refused.stderr);
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), String::new()), "{told}");
        assert!(
            told.contains("not a terminal: pass --yes to confirm") && told.contains("Nothing was done"),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn who_only_looks_is_told_in_one_line_that_the_journal_is_elsewhere() {
    let (_folder, config) = file("chat.toml", FILE);
    let (reader, contributor) = ("need Storage Blob Data Reader", "need Storage Blob Data Contributor");
    for (arguments, code, role) in [
        (&["plan"][..], 1, reader),
        (&["status"], 1, reader),
        (&["history"], 2, reader),
        (&["unblock", "chat"], 2, contributor),
        (&["acknowledge", "chat", "gateway"], 2, contributor),
        (&["history", "--json"], 2, reader),
    ] {
        let looked = in_the_cloud(arguments, &config, &[]);
        let told = text(&looked.stderr);
        assert_eq!(looked.status.code(), Some(code), "{arguments:?}: {told}");
        let lines: Vec<&str> =
            told.lines().filter(|line| line.contains("the journal of the deployed app")).collect();
        assert_eq!(lines.len(), 1, "{arguments:?}: {told}");
        for says in
            ["az login", "AzureWebJobsStorage__accountName=", "AzureWebJobsStorage__blobServiceUri=", role]
        {
            assert!(lines[0].contains(says), "{told}");
        }
        let named = in_the_cloud(arguments, &config, &[("AzureWebJobsStorage__accountName", "acc")]);
        assert!(!text(&named.stderr).contains("the journal of the deployed app"), "{}", text(&named.stderr));
    }
}

#[test]
fn against_the_embedded_azure_nothing_of_that_is_asked() {
    let azure = Azure::start(&[]);
    let done = azure.command(&["rotate", "--now"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), String::new()));
    // Each process has a memory of its own: that it knows of nothing does not mean that nothing was done.
    for arguments in [&["plan"][..], &["status"], &["history"]] {
        let done = azure.command(arguments).stdin(Stdio::null()).output().unwrap();
        let (code, told) = (done.status.code(), text(&done.stderr));
        assert_eq!((code, told.lines().count()), (Some(0), 1), "{arguments:?}: {told}");
        assert!(told.contains("is not known here"), "{arguments:?}: {told}");
        assert!(!text(&done.stdout).contains("no run has recorded anything"), "{}", text(&done.stdout));
    }
    // What would end with the process is not said to be on record.
    for arguments in [
        &["pause", "--until", "2h", "--why", "x", "--by", "ada"][..],
        &["resume", "--by", "ada"],
        &["unblock", "sr-demo", "--yes"],
        &["acknowledge", "sr-demo", "gateway", "--by", "ada", "--yes"],
        &["approve", "sr-demo", "--by", "ada", "--yes"],
    ] {
        let done = azure.command(arguments).stdin(Stdio::null()).output().unwrap();
        let (code, told) = (done.status.code(), text(&done.stderr));
        assert_eq!(code, Some(2), "{arguments:?}: {told}");
        assert!(told.contains("REKEY_STATE=memory") && told.contains("nothing was done"), "{told}");
        assert_eq!(text(&done.stdout), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_configuration_names_the_file_that_was_given() {
    let azure = Azure::start(&[]);
    let written = std::fs::read_to_string(&azure.environment["REKEY_CONFIG"]).unwrap();
    let (folder, chat) = file("chat.toml", &written.replace("sites/chat-func", "sites/chat-funk"));
    let given = chat.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = azure.command(arguments);
        let output = command.env_remove("REKEY_CONFIG").current_dir(folder.path()).output().unwrap();
        (output.status.code().unwrap(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    for (arguments, code, says) in [
        (&["plan", "--config", given][..], 1, "correct its id in CHAT; did you mean chat-func?"),
        (&["status", "--config", "chat.toml"], 1, "correct its id in chat.toml; did you mean"),
        (&["rotate", "--for", "1s", "--config", given], 1, "correct its id in CHAT; did you mean"),
        (&["doctor", "--config", given], 1, "fix: in CHAT, write /subscriptions/"),
        (
            &["doctor", "--all", "--config", given],
            1,
            "settings      CHAT: 1 instance and 3 apps are configured",
        ),
        (&["plan", "sr-none", "--config", given], 2, "\"sr-none\" is not configured; CHAT has: sr-demo"),
        (
            &["plan", "--config", "none.toml"],
            2,
            "--config: cannot find none.toml; give the path of a TOML file",
        ),
    ] {
        let (exit, told) = run(arguments);
        let says = says.replace("CHAT", given);
        assert!(
            exit == code && told.contains(&says),
            "{arguments:?}, {exit}: {says:?} is missing in: {told}"
        );
        assert!(!told.contains("rekey.toml") && !told.contains("REKEY_CONFIG"), "{arguments:?}: {told}");
    }
    azure.force("sr-demo", "Both").await;
    let (_, told) = run(&["doctor", "--config", given]);
    assert!(
        told.contains(&format!("/signalR/sr-demo --config {given}\n")),
        "the command that repairs: {told}"
    );
    let event = json!({ "type": "SignalRRekey.KeysExposed", "data": { "instance": "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/sr-demos" } });
    let (_other, event) = file("event.json", &event.to_string());
    let (exit, told) = run(&["notice", event.to_str().unwrap(), "--config", "chat.toml"]);
    assert!(exit == 1 && told.contains("is not in chat.toml: nothing was rotated"), "{exit}: {told}");
    // Where it is the setting that names it, that is said.
    let output = azure.command(&["plan"]).env("REKEY_CONFIG", "gone.toml").output().unwrap();
    let told = text(&output.stderr);
    assert!(told.contains("REKEY_CONFIG: cannot find gone.toml"), "{told}");
    let output =
        azure.command(&["plan"]).env_remove("REKEY_CONFIG").current_dir(folder.path()).output().unwrap();
    let told = text(&output.stderr);
    assert!(
        told.contains("cannot find rekey.toml in ")
            && told.contains("; put it next to host.json, or name yours with --config FILE or REKEY_CONFIG;"),
        "{told}"
    );
}

/// With a role that may not list the keys: a run, a look and the doctor say what nobody can tell by that.
#[tokio::test]
async fn where_keys_cannot_be_listed_nobody_is_taken_for_well() {
    let azure = Azure::start(&[]);
    let scope = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo";
    let action = "Microsoft.SignalRService/SignalR/listkeys/action";
    azure.ask("denials", json!({"scope": scope, "action": action})).await;
    let unknown = "sr-demo: cannot list the keys, so whether consumers hold a valid key cannot be told: 403";
    let failed = unknown.replace("sr-demo: ", "sr-demo: failed: ");
    for (arguments, code, says) in [
        (&["status"][..], 1, unknown),
        (&["plan"], 1, unknown),
        (&["rotate", "--yes"], 1, &failed),
        (&["doctor"], 1, "or is cut off, cannot be told"),
    ] {
        let output = azure.run(arguments);
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(says), "{arguments:?}: {told}");
    }
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operate.md")).unwrap();
    let first = document.split("## First of all").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(first.contains("cannot list the keys, so whether consumers hold a valid key cannot be told"));
}

/// Azure is too busy to show an app, or the keys: that blocks nothing, passes by itself, and is called so by every command.
#[tokio::test]
async fn a_busy_azure_is_called_busy_by_every_command() {
    let azure = Azure::start(&[]);
    let fault = |operation: &str, resource: &str| {
        // Longer than anybody waits.
        json!({"operation": operation, "resource": resource, "kind": "429", "retry_after": 600, "count": 1000})
    };
    azure.ask("faults", fault("WebApps_ListApplicationSettings", "chat-web")).await;
    let busy = "sr-demo: Azure was too busy to show everything; the next run checks again: cannot read the settings of chat-web";
    let told = |arguments: &[&str]| {
        let output = azure.command(arguments).env("REKEY_FIRST_ROTATION", "when-due").output().unwrap();
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        for wrong in ["blocked", "until this is resolved", "nothing, until", "before trying again"] {
            assert!(!told.contains(wrong), "{arguments:?}: {wrong:?} is in: {told}");
        }
        told
    };
    let failed = busy.replace("Azure was", "failed: Azure was");
    for (arguments, says) in [
        (&["status"][..], busy),
        (&["status"], "  next: the next run checks again, and repairs whoever it finds cut off"),
        (&["plan"], busy),
        (&["rotate"], &failed),
        (&["doctor"], "Azure was too busy, which passes by itself"),
        (&["doctor"], "fix: signalr-rekey status /subscriptions/"),
    ] {
        let told = told(arguments);
        assert!(told.contains(says), "{arguments:?}: {says:?} is missing in: {told}");
    }
    let mut status = azure.command(&["status", "--json"]);
    let status = status.env("REKEY_FIRST_ROTATION", "when-due").output().unwrap();
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(json["instances"][0]["decision"], "unseen", "{json:#}");
    azure.ask("faults", fault("SignalR_ListKeys", "sr-demo")).await;
    let unlisted = "cannot list the keys, so whether consumers hold a valid key cannot be told: 429 ";
    for arguments in [&["status"][..], &["rotate"], &["doctor"]] {
        let told = told(arguments);
        assert!(told.contains(unlisted), "{arguments:?}: {told}");
        assert!(
            told.contains("try again in 10m at the earliest, as the next run does"),
            "{arguments:?}: {told}"
        );
    }
    // Whoever reads that is sent to no role.
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operate.md")).unwrap();
    let first = document.split("## First of all").nth(1).unwrap().split("\n## ").next().unwrap();
    let first = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = first.split("cannot be told`").nth(1).unwrap();
    assert!(sentence.contains("429") && sentence.contains("the next run checks again"), "{sentence}");
}

/// Whoever waits for Azure is told what for, and a 429 that was waited for leaves a trace, once for all that meet it.
#[tokio::test]
async fn a_command_that_waits_says_so() {
    let azure = Azure::start(&[]);
    azure.ask("faults", json!({"operation": "WebApps_ListApplicationSettings", "kind": "429", "retry_after": 2, "count": 2})).await;
    azure.ask("faults", json!({"operation": "SignalR_ListKeys", "kind": "slow", "delay_ms": 4000})).await;
    let status = azure.run(&["status"]);
    let told = text(&status.stderr);
    assert_eq!(status.status.code(), Some(0), "{told}");
    assert_eq!(
        told.matches("answered 429, too many requests, to this: read the app settings of chat-").count(),
        1,
        "{told}"
    );
    assert!(told.contains("This process waits, and asks again at 20"), "{told}");
    assert_eq!(told.matches("still checking sr-demo; left to check, with it: 1. ").count(), 1, "{told}");
    let silent = azure.run(&["status"]);
    assert_eq!(text(&silent.stderr).lines().count(), 1, "{}", text(&silent.stderr));
}

/// A doctor or handler that is started with what `simulate` prints finds no fault in what it was given.
#[tokio::test]
async fn what_simulate_prints_names_the_schedule_too() {
    let azure = Azure::start(&[]);
    let told = text(&azure.run(&["doctor", "--all"]).stdout);
    assert!(!told.contains("ROTATION_SCHEDULE: it is not set"), "{told}");
    assert!(told.contains("ROTATION_SCHEDULE: the longest time between two runs is 5m"), "{told}");
    let handler = Handler::start(&azure, &[]).await;
    let printed = handler.kill();
    assert!(printed.contains("serving the Functions host"), "{printed}");
    assert!(!printed.contains("does not run RotateKeys"), "{printed}");
}

/// Behind an approval nothing is promised for a time at which nobody may have approved it.
#[test]
fn what_waits_for_an_approval_is_foreseen_once_approved() {
    let azure = Azure::start(&[]);
    let plan = azure.command(&["plan"]).env("REKEY_APPROVAL", "required").output().unwrap();
    let told = text(&plan.stdout);
    let mut steps = told.lines().filter(|line| line.starts_with("    ") && !line.contains(" would take "));
    assert!(steps.next().unwrap().contains("(now): waiting for approval since "), "{told}");
    let is_conditional = |line: &str| line.starts_with("    once approved, 20");
    assert!(steps.clone().count() > 5 && steps.all(is_conditional), "{told}");
}

#[tokio::test]
async fn a_plan_has_the_whole_sequence_with_its_times_and_restarts() {
    let azure = Azure::start(&[]);
    let plan = azure.command(&["plan"]).env("REKEY_GRACE", "2h").output().unwrap();
    let told = text(&plan.stdout);
    let order = [
        "sr-demo: waiting until ",
        "  why: nothing is on record about it here, so how old its keys are, and who held them until now, is not known: ",
        "  what would be done, if nobody changes anything meanwhile:",
        "(now): waiting until ",
        "regenerate the Secondary key, which no consumer holds",
        "verify that the service accepts the Secondary key",
        "repoint wave 1 to the Secondary key: chat-web/staging ",
        "; restarts chat-web/staging",
        "check that wave 1 is well with its new key",
        "repoint wave 2 to the Secondary key: chat-web ",
        "; restarts chat-func, chat-web\n",
        "check that wave 2 is well with its new key",
        "waiting until ",
        "regenerate the Primary key, which no consumer holds",
        "settled; the next rotation is due at ",
        "it would take about 4 h 3 min, and restart chat-func, chat-web, chat-web/staging",
    ];
    let mut rest = told.as_str();
    for part in order {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing in: {told}"));
        rest = &rest[at + part.len()..];
    }
    assert!(told.contains("Z (in 2 h)"), "{told}");
    let until =
        |line: &str| line.split("waiting until ").nth(1).unwrap().split('Z').next().unwrap().to_owned();
    let waits: Vec<String> = told.lines().filter(|line| line.contains("waiting until ")).map(until).collect();
    assert_eq!(waits[0], waits[1], "the first step is what is said at the head: {told}");
    // What is settled has no sequence.
    let rotated = azure.run(&["rotate"]);
    assert!(text(&rotated.stdout).contains("sr-demo: settled; the next rotation is due at "), "{rotated:?}");
    assert!(text(&rotated.stdout).contains("Z (in 30 d)"), "{rotated:?}");
    let status = text(&azure.run(&["status"]).stdout);
    assert!(status.contains("next: waiting") || status.contains("next: settled"), "{status}");
    assert!(status.contains("Z (in "), "{status}");
}

#[tokio::test]
async fn what_is_not_finished_is_told_where_errors_are_told() {
    let azure = Azure::start(&["--regenerate-takes", "1h"]);
    let short =
        azure.command(&["rotate", "--for", "4s", "--json"]).env("REKEY_GRACE", "1s").output().unwrap();
    assert_eq!(short.status.code(), Some(3), "{}", text(&short.stderr));
    assert!(text(&short.stderr).contains("sr-demo: out of time"), "{}", text(&short.stderr));
    let lines: Vec<Value> =
        text(&short.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, progress) = lines.split_last().unwrap();
    assert!(progress.len() >= 3, "{lines:#?}");
    for line in progress {
        assert!(
            line["type"] == "progress" && line["name"] == "sr-demo" && line["schemaVersion"] == 1,
            "{line}"
        );
    }
    assert!(
        progress.iter().any(|line| line["text"] == "about to regenerate the Secondary key"),
        "{lines:#?}"
    );
    assert_eq!((&last["type"], &last["exitCode"]), (&json!("result"), &json!(3)), "{last}");
    assert_eq!(last["instances"][0]["ending"], "outOfTime", "{last}");
}

#[tokio::test]
async fn who_stops_a_rotation_is_told_how_things_stand_and_who_carries_on() {
    let azure = Azure::with_journals(&["sr-stopped"], &[]);
    let mut command = azure.command(&["rotate", "--now", "--json"]);
    // Apps hold the new key by then, and the old one waits out its grace.
    command.env("REKEY_GRACE", "3s").stdout(Stdio::piped()).stderr(Stdio::piped());
    let first = command.output().unwrap();
    assert!(first.status.success(), "{}", text(&first.stderr));
    let mut child = command.env("REKEY_GRACE", "1h").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("waiting until ")), "it waits out the grace of an hour");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), &last["exitCode"]), (Some(3), &json!(3)), "{told}");
    for says in [
        "sr-stopped: stopped; the next run carries on",
        "  the Primary key was regenerated at ",
        "and the service accepts it; it is held by web-sr-stopped (app setting Azure__SignalR__ConnectionString), fn-sr",
        "  the Secondary key was regenerated at ",
        "no consumer holds it since ",
        "  what is next: waiting until ",
        "Z (in ",
        "  a handler against the simulator carries on when its timer is fired, if you run one; to go on yourself, run `rotate` again",
    ] {
        assert!(told.contains(says), "{says:?} is missing in: {told}");
    }
    assert_eq!(last["instances"][0]["ending"], "stopped", "{last}");
    assert_eq!(last["instances"][0]["consumers"][0]["holds"], "primary", "{last}");
}

/// A command that somebody types at a terminal, and what he answers.
fn typed(azure: &Azure, arguments: &[&str], answer: &str) -> (Option<i32>, String) {
    let line = [&[PROGRAM][..], arguments].concat().join(" ");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).envs(&azure.environment);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), text(&output.stdout))
}

#[tokio::test]
async fn unblock_says_what_there_is_to_clear_asks_and_says_if_there_is_nothing() {
    let azure = Azure::with_journals(&["sr-blocked"], &[]);
    let lock = json!({ "operation": "SignalR_RegenerateKey", "count": 1000, "kind": "forbidden" });
    let nothing = azure.run(&["unblock", "sr-blocked", "--yes"]);
    let told = text(&nothing.stderr);
    assert_eq!(nothing.status.code(), Some(1), "{told}");
    assert!(told.contains("nothing to clear: no failure of sr-blocked is on record"), "{told}");
    assert!(!text(&nothing.stdout).contains("cleared"), "{}", text(&nothing.stdout));

    azure.ask("faults", lock).await;
    let failed =
        azure.command(&["rotate", "--now", "--for", "30s"]).env("REKEY_GRACE", "1s").output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    let nobody = azure.command(&["unblock", "sr-blocked"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(nobody.status.code(), Some(2), "as with `rotate`");
    assert!(
        text(&nobody.stderr).contains("not a terminal: pass --yes to confirm"),
        "{}",
        text(&nobody.stderr)
    );
    let (code, told) = typed(&azure, &["unblock", "sr-blocked"], "n\n");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("recorded: regenerating a key failed once: ") && told.contains("[y/N]"), "{told}");
    assert!(told.contains("nothing was done"), "{told}");
    let (code, told) = typed(&azure, &["unblock", "sr-blocked"], "y\n");
    assert!(
        code == Some(0) && told.contains("cleared 1 recorded failure; the next run retries"),
        "{code:?}: {told}"
    );
    assert_eq!(azure.run(&["unblock", "sr-blocked", "--yes"]).status.code(), Some(1), "it is clear now");

    // What has to be cured is not said to be forgotten.
    let failed =
        azure.command(&["rotate", "--now", "--for", "30s"]).env("REKEY_GRACE", "1s").output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    let unseen = json!({
        "operation": "WebApps_ListApplicationSettings", "resource": "web-sr-blocked", "count": 1000, "kind": "forbidden",
    });
    azure.ask("faults", unseen).await;
    let done = azure.run(&["unblock", "sr-blocked", "--yes"]);
    let told = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(
        told.contains(
            "to be resolved, which this command cannot do: cannot read the settings of web-sr-blocked"
        ),
        "{told}"
    );
    assert!(
        told.contains(
            "cleared 1 recorded failure; the next run is still blocked until what is said above is resolved"
        ),
        "{told}"
    );
    let nothing = azure.run(&["unblock", "sr-blocked", "--yes"]);
    let told = text(&nothing.stderr);
    assert!(nothing.status.code() == Some(1) && told.contains("resolve what is said above"), "{told}");
}

/// Who is waited for that nobody sees is named with the time and what ends it, by the name that is printed; said twice, it is on
/// record once.
#[tokio::test]
async fn readers_that_nobody_sees_are_named_and_acknowledged_once() {
    let world = json!({
        "subscription": "00000000-0000-0000-0000-000000000001",
        "signalr": [{"group": "rg-demo", "name": "sr-read", "apps": ["web-sr-read"]}],
        "sites": [{"group": "rg-demo", "name": "web-sr-read"}],
        "vaults": [{"group": "rg-demo", "name": "kv-read", "secrets": {"vms": "{primary:sr-read}"}}],
        "appConfigurations": [{
            "group": "rg-demo",
            "name": "cs-read",
            "keyValues": [{"key": "Sdk", "label": "prod", "value": "{primary:sr-read}"}],
        }],
    });
    let azure = Azure::of_world(&world, &[]);
    let file = azure.folder.path().join("rekey.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let (secret, store) = ("https://kv-read.vault.azure.net/secrets/vms", "https://cs-read.azconfig.io");
    let ours = |line: &&str| !line.starts_with("vault_secrets") && !line.starts_with("app_configuration");
    let written: Vec<&str> = written.lines().filter(ours).collect();
    let more = format!(
        "\nvault_secrets = [{{ id = \"{secret}\", readers_within = \"24h\" }}]\n\
         app_configuration = [{{ endpoint = \"{store}\", key = \"Sdk\", label = \"prod\", readers_within = \"24h\" }}]\n"
    );
    std::fs::write(&file, written.join("\n") + &more).unwrap();
    let run = |arguments: &[&str]| azure.command(arguments).env("REKEY_GRACE", "1s").output().unwrap();
    let waits = text(&run(&["rotate", "--for", "10s"]).stderr);
    let status = text(&run(&["status"]).stdout);
    for told in [&waits, &status] {
        for says in [
            "Key Vault secret kv-read/vms (until ",
            "cs-read/Sdk [prod] (until ",
            "signalr-rekey acknowledge",
        ] {
            assert!(told.contains(says), "{says}: {waits} {status}");
        }
    }
    let json: Value = serde_json::from_slice(&run(&["status", "--json"]).stdout).unwrap();
    let awaited = json["instances"][0]["waitingFor"].as_array().unwrap();
    assert_eq!(awaited.len(), 2, "{json:#}");
    assert!(awaited.iter().all(|one| one["until"].is_string() && one["late"].is_null()), "{json:#}");
    for name in ["kv-read/vms", "cs-read/Sdk"] {
        let first = run(&["acknowledge", "sr-read", name, "--by", "ada", "--yes"]);
        assert_eq!(first.status.code(), Some(0), "{name}: {}", text(&first.stderr));
        let again = run(&["acknowledge", "sr-read", name, "--by", "ada", "--yes"]);
        assert_eq!(again.status.code(), Some(1), "{name}: {}", text(&again.stdout));
        assert!(text(&again.stderr).contains("it is on record since"), "{}", text(&again.stderr));
    }
    let history = text(&run(&["history"]).stdout);
    assert_eq!(history.matches("as ada acknowledged").count(), 2, "{history}");
    assert!(!text(&run(&["status"]).stdout).contains("without being seen"), "nobody is waited for");
}

/// What a person says of what nobody can see is shown, asked and recorded with his name.
#[tokio::test]
async fn acknowledge_says_what_it_records_asks_and_is_in_the_history() {
    let azure = Azure::with_journals(&["sr-told"], &[]);
    let file = azure.folder.path().join("rekey.toml");
    let more = "reporters = [\"iis-01\"]\nmanual = [{ name = \"gateway\", owner = \"Ada\" }]\n";
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + more).unwrap();
    let run = |arguments: &[&str]| azure.command(arguments).env("REKEY_GRACE", "1s").output().unwrap();
    let acknowledge = |more: &[&str]| {
        let output = run(&[&["acknowledge", "sr-told"], more].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };

    let unseen = acknowledge(&["gateway", "--by", "ada", "--yes"]);
    assert!(unseen.0 == Some(1) && unseen.2.contains("no run has checked it yet"), "{unseen:?}");
    assert!(
        unseen.2.contains("nothing was done") && !unseen.2.contains("journal does not allow"),
        "{unseen:?}"
    );
    let blocked = text(&run(&["rotate", "--for", "20s"]).stderr);
    assert!(blocked.contains("reporter iis-01 has never reported"), "{blocked}");
    let unknown = acknowledge(&["nobody", "--by", "ada", "--yes"]);
    assert_eq!(unknown.0, Some(2), "{unknown:?}");
    assert!(unknown.2.contains("reporter iis-01, manual consumer gateway"), "{unknown:?}");
    let nameless = acknowledge(&["gateway", "--yes"]);
    assert!(nameless.0 == Some(2) && nameless.2.contains("--by YOUR-NAME"), "{nameless:?}");
    let wrong = acknowledge(&["gateway", "--by", "ada", "--key", "Salt", "--yes"]);
    assert!(wrong.0 == Some(2) && wrong.2.contains("write Primary or Secondary"), "{wrong:?}");
    let nobody = azure
        .command(&["acknowledge", "sr-told", "gateway", "--by", "ada"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("not a terminal"), "{}", text(&nobody.stderr));
    let (code, told) = typed(&azure, &["acknowledge", "sr-told", "gateway", "--by", "ada"], "n\n");
    for line in ["as it stands, sr-told: ", "to be recorded: ada says: manual consumer gateway holds"] {
        assert!(told.contains(line), "{line:?}: {told}");
    }
    assert!(code == Some(1) && told.contains("nothing was done"), "{told}");
    assert!(told.contains("ada says: manual consumer gateway holds the Primary key ("), "{told}");
    assert!(!text(&run(&["history"]).stdout).contains("acknowledged"), "nothing is on record");

    for name in ["GATEWAY", "iis-01"] {
        let (code, told) = typed(&azure, &["acknowledge", "sr-told", name, "--by", "ada"], "y\n");
        assert!(code == Some(0) && told.contains("sr-told: recorded"), "{told}");
    }
    let again = acknowledge(&["gateway", "--by", "ada", "--yes"]);
    assert!(again.0 == Some(1) && again.2.contains("nothing to acknowledge"), "{again:?}");
    let history = text(&run(&["history"]).stdout);
    assert!(
        history.contains("manual consumer gateway holds the key") && history.contains("as ada acknowledged"),
        "{history}"
    );

    // Of a rotation that waits for both it is the key that they are to take.
    let waits = text(&run(&["rotate", "--for", "20s"]).stderr);
    assert!(waits.contains("waiting for these to take the Secondary key"), "{waits}");
    assert!(waits.contains("reporter iis-01 (asked at ") && waits.contains("; owner Ada)"), "{waits}");
    let status = text(&run(&["status"]).stdout);
    assert!(status.contains("reporter iis-01 holds the Primary key"), "{status}");
    let said = acknowledge(&["iis-01", "--by", "ada", "--yes"]);
    assert!(said.0 == Some(0) && said.1.contains("reporter iis-01 holds the Secondary key"), "{said:?}");
    let other = acknowledge(&["gateway", "--by", "ada", "--key", "secondary", "--yes"]);
    assert_eq!(other.0, Some(0), "{other:?}");
    let done = run(&["rotate", "--for", "60s"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

/// A world with a service and journals in a storage that nobody listens at.
fn storage_is_down(azure: &Azure, arguments: &[&str]) -> Output {
    let storage =
        "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:9/acc";
    let mut command = azure.command(arguments);
    command.env_remove("REKEY_STATE").env("AzureWebJobsStorage", storage).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn a_storage_that_is_down_is_named_with_its_host_and_there_is_a_way_without_it() {
    let azure = Azure::start(&[]);
    for arguments in [&["status"][..], &["history"], &["unblock", "sr-demo", "--yes"], &["rotate"]] {
        let failed = storage_is_down(&azure, arguments);
        let told = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{arguments:?}: {told}");
        let ways = [
            "`signalr-rekey rotate --without-journal`",
            "`REKEY_STATE=memory signalr-rekey status`",
            "`signalr-rekey doctor`",
        ];
        for says in ways.into_iter().chain(["no usable answer from acc at 127.0.0.1:9; "]) {
            assert!(told.contains(says), "{arguments:?}: {says:?} is missing in: {told}");
        }
        assert!(!told.contains("a2V5"), "{told}");
    }
    // The way that is named is one.
    let shown = azure.command(&["status"]).env("REKEY_STATE", "memory").output().unwrap();
    let told = text(&shown.stdout);
    assert!(shown.status.success() && told.contains(" holds the Primary key\n"), "{told}");
    // Without `az` and without an identity the line says which identity is asked.
    let (_folder, config) = file("chat.toml", FILE);
    let told = in_the_cloud(&["history"], &config, &[("AzureWebJobsStorage__accountName", "acc")]);
    let told = text(&told.stderr);
    assert!(
        told.contains("could not get an access token for acc: check the identity: ")
            && told.contains("`az login`"),
        "{told}"
    );
}

#[tokio::test]
async fn a_rotation_that_was_asked_for_and_blocked_is_said_to_be_on_record() {
    let azure = Azure::with_journals(&["sr-asked"], &[]);
    let unseen = json!({
        "operation": "WebApps_ListApplicationSettings", "resource": "web-sr-asked", "count": 1000, "kind": "forbidden",
    });
    azure.ask("faults", unseen).await;
    let on_record = "recorded: once this is resolved, run `rotate` without --now";
    let asked = azure.run(&["rotate", "--now"]);
    let told = text(&asked.stderr);
    assert!(asked.status.code() == Some(1) && told.contains(on_record), "{told}");
    let told = text(&azure.run(&["rotate"]).stderr);
    assert!(!told.contains(on_record), "nothing was asked for: {told}");
    // The app of which nothing could be read is in the list of consumers all the same.
    let shown = text(&azure.run(&["status"]).stdout);
    assert!(
        shown.contains("\n  web-sr-asked may hold either key: what is said of it above is not resolved\n"),
        "{shown}"
    );
    assert!(shown.contains("\n  fn-sr-asked (app setting "), "{shown}");
}

#[test]
fn how_long_a_rotation_may_take_is_more_than_nothing_and_has_a_unit() {
    let (_folder, config) = file("chat.toml", FILE);
    for (length, says) in
        [("0", "as in 24h"), ("0s", "zero is too short"), ("10", "put s, m, h or d"), ("soon", "write 24h")]
    {
        let refused = in_the_cloud(&["rotate", "--for", length], &config, &[]);
        let told = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && told.contains(says), "{length}: {told}");
    }
}

/// Of a service whose keys are switched off it is known who is cut off, and the words to look for are said.
#[tokio::test]
async fn who_is_cut_off_by_keys_that_are_switched_off_is_named_by_every_command() {
    let azure = Azure::with_journals(&["sr-off"], &[]);
    assert!(azure.run(&["rotate"]).status.success());
    azure.ask("local-auth", json!({"instance": "sr-off", "disabled": true})).await;
    for command in [&["status"][..], &["plan"], &["rotate"]] {
        let output = azure.run(command);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
        assert!(told.contains("cut off, because their key is invalid: web-sr-off ("), "{command:?}: {told}");
        let json = azure.run(&[command, &["--json"]].concat());
        let last = text(&json.stdout).lines().last().map(ToOwned::to_owned).unwrap();
        let answer: Value =
            serde_json::from_str(&text(&json.stdout)).or_else(|_| serde_json::from_str(&last)).unwrap();
        let trouble = answer["instances"][0]["trouble"].to_string();
        assert!(
            trouble.contains("cut off, because their key is invalid: web-sr-off ("),
            "{command:?}: {answer}"
        );
    }
}

/// A freeze that leaves no time for the next rotation is told before that is due, and a plan that only waits says for what.
#[test]
fn a_plan_says_that_no_window_comes() {
    let azure = Azure::with_journals(&["sr-demo"], &[]);
    let command = |arguments: &[&str]| {
        let mut command = azure.command(arguments);
        command.env("REKEY_FREEZES", "2020-01-01..2039-12-31 UTC").env("REKEY_GRACE", "2h");
        command.output().unwrap()
    };
    let first = text(&command(&["plan"]).stdout);
    assert!(first.contains("what would be done"), "{first}");
    assert!(first.contains("the next opens at 2040-01-01"), "{first}");
    let settled = azure.command(&["rotate"]).env("REKEY_GRACE", "1s").output().unwrap();
    assert!(settled.status.success(), "{}", text(&settled.stderr));
    for name in ["plan", "status"] {
        let told = text(&command(&[name]).stdout);
        assert!(told.contains("no window is open in the 30d after that (rotate_every)"), "{name}: {told}");
        let answer: Value = serde_json::from_slice(&command(&[name, "--json"]).stdout).unwrap();
        let service = &answer["instances"][0];
        assert_eq!(service["nextBegins"], Value::Null, "{service:#}");
        let warned = service["warnings"].to_string();
        assert!(warned.contains("2040-01-01") && warned.contains("blocked until then"), "{warned}");
    }
}

/// A zone that there is not is named, and what may be a key is not.
#[test]
fn a_pause_until_a_time_in_no_zone_says_so() {
    let azure = Azure::with_journals(&["sr-demo"], &[]);
    let key = "aB3dEf6hIj9lMn2pQr5tUv8x/z1BcD4FgH7jKl0nOpQrStU";
    for (until, words) in [
        ("2026-12-01T08:00 Europe/Berln", "Europe/Berln (did you mean Europe/Berlin?). Nothing was done"),
        ("noon europe/berlin", "--until is no time"),
        (&format!("2026-12-01T08:00 {key}"), "--until is no time"),
    ] {
        let said = azure.run(&["pause", "--until", until, "--why", "an audit", "--by", "ada"]);
        let told = text(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{told}");
        assert!(told.contains(words) && !told.contains(key), "{told}");
    }
}

/// Who mistyped a name is told that at once, and not only once he has said who he is.
#[test]
fn names_are_looked_at_before_it_is_asked_who_says_so() {
    let azure = Azure::with_journals(&["sr-demo"], &[]);
    let of_nobody = |arguments: &[&str]| {
        let mut command = azure.command(arguments);
        for name in ["USER", "LOGNAME", "USERNAME"] {
            command.env_remove(name);
        }
        command.output().unwrap()
    };
    for (name, asks) in [("sr-dmo", false), ("sr-demo", true)] {
        for arguments in [&["pause", name, "--until", "1h", "--why", "an audit"][..], &["resume", name]] {
            let said = of_nobody(arguments);
            let told = text(&said.stderr);
            assert_eq!((said.status.code(), told.contains("pass --by")), (Some(2), asks), "{told}");
        }
    }
}
