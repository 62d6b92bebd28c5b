//! Both commands as a process: what they print, and their exit codes.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use signalr_rekey::config::{Environment, load_from};

use super::common::program::{Azure, Nobody, text};
use super::{instance, site};

fn searched(output: &Output) -> String {
    let all = [text(&output.stdout), text(&output.stderr)].concat();
    assert!(!all.contains("AAAAASRS") && !all.contains("AccessKey=") && !all.contains("eyJ"), "{all}");
    all
}

#[tokio::test]
async fn the_exit_code_goes_by_the_worst_finding() {
    let azure = Azure::start(&[]);
    let good = azure.run(&["doctor"]);
    let told = searched(&good);
    assert_eq!(good.status.code(), Some(0), "{told}");
    // The grace of three seconds; that the journal is in memory is a note here.
    assert!(
        told.contains("0 errors, 1 warning, 2 notes, 15 checks passed; --all shows what passed"),
        "{told}"
    );
    assert!(
        told.starts_with("looked at 3 apps or slots in 1 resource group (rg-demo) of 1 subscription ("),
        "{told}"
    );
    assert!(!told.contains("\nok "), "{told}");
    let problems = text(&azure.run(&["doctor", "--all"]).stdout);
    assert!(problems.contains("ok      consumer      chat-web/staging: app setting"), "{problems}");
    let at = |word: &str| problems.find(word).unwrap_or_else(|| panic!("no {word} in {problems}"));
    assert!(at("\nwarning ") < at("\nnote ") && at("\nnote ") < at("\nok "), "problems first: {problems}");
    assert_eq!(azure.run(&["doctor", "--strict"]).status.code(), Some(1), "warnings count if asked");
    let mut strict = azure.command(&["doctor", "--strict"]);
    let strict = strict.env("REKEY_GRACE", "3h").output().unwrap();
    assert_eq!(
        strict.status.code(),
        Some(0),
        "nothing of the function app is held against a laptop: {}",
        text(&strict.stdout)
    );

    azure.ask("denials", json!({"scope": instance(), "action": "*/regeneratekey/action"})).await;
    let bad = azure.run(&["doctor"]);
    let told = searched(&bad);
    assert_eq!(bad.status.code(), Some(1), "{told}");
    assert!(
        told.contains("1 error, 1 warning,") && told.contains("fix: az role definition create"),
        "{told}"
    );

    let wrong = azure.command(&["doctor"]).env("REKEY_GRACE", "soon").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", searched(&wrong));
}

/// One lock is one cause, whoever it keeps from being read.
#[tokio::test]
async fn one_cause_is_told_in_full_once_and_everybody_is_named() {
    let azure = Azure::start(&[]);
    let group = instance().split("/providers/").next().unwrap().to_owned();
    azure.ask("barriers", json!({"scope": group, "kind": "read-only-lock"})).await;
    let told = searched(&azure.run(&["doctor"]));
    assert_eq!(told.matches("a read-only lock forbids this").count(), 1, "{told}");
    for app in ["chat-web", "chat-web/slots/staging", "chat-func"] {
        let (id, name) = (site(app), app.replace("/slots", ""));
        let line =
            format!("{id}: cannot read the app settings of {name}: for the same reason as sr-demo above\n");
        assert!(told.contains(&line), "{line}{told}");
    }
    // Machines get all of it.
    let json = searched(&azure.run(&["doctor", "--json"]));
    assert_eq!(json.matches("a read-only lock forbids this").count(), 4, "{json}");
}

/// The fields of an answer, a list's without its numbers.
fn fields(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(parts) => {
            for (name, value) in parts {
                found.insert(format!("{at}{name}"));
                fields(&format!("{at}{name}."), value, found);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| fields(&format!("{}[].", at.trim_end_matches('.')), item, found));
        }
        _ => {}
    }
}

/// docs/json.md has every field of the answer and no other.
fn assert_documented(report: &Value) {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    let section = document.split("## What doctor prints").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let told: BTreeSet<String> =
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect();
    let mut found = BTreeSet::new();
    fields("", report, &mut found);
    assert_eq!(found, told);
}

#[tokio::test]
async fn the_answer_for_machines_has_a_shape() {
    let azure = Azure::start(&[]);
    azure
        .ask("settings", json!({"app": "chat-func", "name": "AzureSignalRConnectionString", "value": null}))
        .await;
    let output = azure.run(&["doctor", "--json"]);
    searched(&output);
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_documented(&report);
    let findings = report["findings"].as_array_mut().unwrap();
    // One of each kind tells the shape.
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding["severity"].to_string()));
    insta::assert_json_snapshot!(report, @r#"
    {
      "errors": 1,
      "findings": [
        {
          "check": "consumer",
          "fix": "once you know that it needs none, in rekey.toml, write { id = \"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.Web/sites/chat-func\", may_hold_none = true } in the apps of the [[instance]] /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo",
          "instances": [
            "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo"
          ],
          "mend": "once you know that it needs none, in rekey.toml, write { id = \"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.Web/sites/chat-func\", may_hold_none = true } in the apps of the [[instance]] /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo",
          "severity": "error",
          "subject": "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.Web/sites/chat-func",
          "subjectKind": "app",
          "what": "no setting of it holds a connection string of sr-demo",
          "why": "it may hold one in a place that is not checked, so no key of the service is regenerated"
        },
        {
          "check": "durations",
          "fix": "take REKEY_GRACE out of the environment, and in rekey.toml, set grace = \"2h30m\" in the [[instance]] /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo",
          "instances": [],
          "mend": "take REKEY_GRACE out of the environment, and in rekey.toml, set grace = \"2h30m\" in the [[instance]] /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo",
          "severity": "warning",
          "subject": "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo",
          "subjectKind": "instance",
          "what": "the grace is 3s",
          "why": "client tokens live an hour by default and an app needs minutes to restart: clients whose token was signed with the key that is regenerated are cut off. A shorter grace is right only where tokens are made to live shorter"
        },
        {
          "check": "storage",
          "fix": null,
          "instances": [],
          "mend": null,
          "severity": "note",
          "subject": "REKEY_STATE",
          "subjectKind": "setting",
          "what": "the journal of the deployed app is not read",
          "why": "what the deployed app did, and which app it saw with which key, is not known here. To check with its journal, export AzureWebJobsStorage__accountName=STORAGE, the name of its storage account"
        },
        {
          "check": "settings",
          "fix": null,
          "instances": [],
          "mend": null,
          "severity": "ok",
          "subject": "rekey.toml",
          "subjectKind": "other",
          "what": "1 instance and 3 apps are configured",
          "why": null
        }
      ],
      "looked": {
        "apps": 3,
        "resourceGroups": [
          "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo"
        ],
        "subscriptions": [
          "/subscriptions/00000000-0000-0000-0000-000000000001"
        ],
        "unlisted": 0,
        "unread": 0
      },
      "notes": 2,
      "passed": 14,
      "schemaVersion": 1,
      "warnings": 1
    }
    "#);
}

#[tokio::test]
async fn a_function_app_without_an_identity_is_told_so() {
    let azure = Azure::start(&[]);
    let mut command = azure.command(&["doctor", "--as-deployed"]);
    command.env_remove("IDENTITY_ENDPOINT").env_remove("IDENTITY_HEADER");
    // On Flex Consumption nothing but the site's name tells that this is Azure.
    let output = command.env("WEBSITE_SITE_NAME", "chat-func").output().unwrap();
    let told = searched(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("az functionapp identity assign --ids {}", site("chat-func"))), "{told}");
}

#[tokio::test]
async fn a_receiver_of_metrics_is_said_to_be_untried() {
    let azure = Azure::start(&[]);
    let mut command = azure.command(&["doctor", "--as-deployed", "--all"]);
    let told = searched(&command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").output().unwrap());
    assert!(told.contains("metrics are to be exported to http://127.0.0.1:9, which was not tried"), "{told}");
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_an_error() {
    let azure = Azure::start(&[]);
    let storage =
        "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/acc";
    let output = azure.command(&["doctor"]).env("AzureWebJobsStorage", storage).output().unwrap();
    let told = searched(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot use the journal's storage") && !told.contains("a2V5"), "{told}");
}

#[tokio::test]
async fn init_writes_what_simulate_describes_and_nothing_over_it() {
    let azure = Azure::start(&[]);
    let path = azure.folder.path().join("found.toml");
    let file = path.to_str().unwrap();
    let output = azure.run(&["init", "--output", file]);
    let told = searched(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("3 apps are named: each holds a connection string of it, or may"), "{told}");
    // Where it is; and that the environment leads other commands to another file.
    let (full, read) = (path.canonicalize().unwrap(), azure.folder.path().join("rekey.toml"));
    for says in [
        format!("{} is written: review it", full.display()),
        format!("Other commands read another file here, {}", read.canonicalize().unwrap().display()),
        format!("--config {}", full.display()),
    ] {
        assert!(told.contains(&says), "{says:?} is missing in: {told}");
    }
    let none: Environment = [("REKEY_STATE", "memory")].into_iter().collect();
    let described = fs::read_to_string(azure.folder.path().join("rekey.toml")).unwrap();
    // The apps of the simulator take a second to restart, and those of Azure a minute.
    let quick = "gate_after = \"1s\"\n";
    assert!(described.contains(quick), "{described}");
    let described = described.replace(quick, "");
    let written = fs::read_to_string(&path).unwrap();
    let [written, described] =
        [&written, &described].map(|text| load_from(text, "rekey.toml", &none).unwrap().instances);
    assert_eq!(format!("{written:?}"), format!("{described:?}"));

    fs::write(&path, "mine").unwrap();
    let refused = azure.run(&["init", "--output", file]);
    assert_eq!(refused.status.code(), Some(2), "{}", searched(&refused));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(azure.run(&["init", "--output", file, "--force"]).status.code(), Some(0));
    assert!(fs::read_to_string(&path).unwrap().contains("[[instance]]"));
    let same = azure.run(&["init", "--force", "--output", read.to_str().unwrap()]);
    let told_of_same = text(&same.stderr);
    assert!(told_of_same.contains("is written: review it, then run `doctor`"), "{told_of_same}");
    assert!(!told_of_same.contains("another file"), "{told_of_same}");
}

#[tokio::test]
async fn init_writes_to_stdout_and_says_what_it_could_not_read() {
    let azure = Azure::start(&[]);
    azure.ask("denials", json!({"scope": site("chat-func"), "action": "Microsoft.Web/sites/config/*"})).await;
    let output = azure.run(&["init", "--resource-group", "rg-demo", "--output", "-"]);
    let told = searched(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for stream in [&output.stdout, &output.stderr] {
        assert!(text(stream).contains("chat-func may hold one: it could not be read: "), "{told}");
    }
    let nothing = azure.run(&["init", "--resource-group", "rg-none", "--output", "-"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", searched(&nothing));
    assert!(nothing.stdout.is_empty());
}

/// That nobody answers is no fault of the command line.
#[test]
fn init_fails_where_azure_is_out_of_reach() {
    let azure = Azure::start(&[]);
    let nobody = Nobody::new();
    let mut command = azure.command(&["init", "--output", "-"]);
    let output = command.env("REKEY_RESOURCE_MANAGER", nobody.url()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn of_what_a_flag_names_init_blames_the_flag_and_no_file() {
    let azure = Azure::start(&[]);
    for (flags, says) in [
        (
            &["--resource-group", "nope"][..],
            "that subscription has no such resource group: correct --resource-group",
        ),
        (&["--subscription", "garbage"], "no such subscription: correct --subscription"),
        (&["--subscription", "gar bage"], "correct --resource-group or --subscription"),
        (
            &["--subscription", "garbage", "--resource-group", "rg-demo"],
            "no such subscription: correct --subscription",
        ),
    ] {
        let refused = azure.run(&[&["init", "--output", "-"], flags].concat());
        let told = searched(&refused);
        assert_eq!(refused.status.code(), Some(2), "{flags:?}: {told}");
        assert!(told.contains(says) && !told.contains("rekey.toml"), "{flags:?}: {told}");
    }
}
