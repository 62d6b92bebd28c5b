//! Every field that `--json` prints stands in `docs/json.md` with its kind, and nothing stands there that is not printed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

use serde_json::{Value, json};
use signalr_rekey::report;

use super::common::program::{Azure, Handler, key_event, program, text, timeless};
use super::markdown::{Document, codes};
use super::reasons;

/// A field of the document: what it may be, and the words it may have.
struct Field {
    kinds: Vec<String>,
    words: BTreeSet<String>,
}

/// The fields that a table under a heading has, below a path.
fn fields(heading: &str, below: &str) -> BTreeMap<String, Field> {
    let rows = Document::read("docs/json.md").rows(heading);
    let field = |row: &Vec<String>| {
        let quoted = codes(&row[1]).into_iter().filter(|code| code.starts_with('"'));
        let words: BTreeSet<String> = quoted.map(|word| word.trim_matches('"').to_owned()).collect();
        let kinds = match words.is_empty() {
            true => row[1].split(" or ").map(|kind| kind.trim().to_owned()).collect(),
            false if row[1].ends_with("or null") => vec!["text".to_owned(), "null".to_owned()],
            false => vec!["text".to_owned()],
        };
        codes(&row[0])
            .into_iter()
            .map(move |name| (format!("{below}{name}"), Field { kinds: kinds.clone(), words: words.clone() }))
    };
    rows.iter().flat_map(field).collect()
}

/// What a value is called in the document.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true/false",
        Value::Number(_) => "number",
        Value::String(text) if chrono::DateTime::parse_from_rfc3339(text).is_ok() => "time",
        Value::String(_) => "text",
        Value::Array(items) if items.iter().all(Value::is_string) => "texts",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Holds an answer against the fields that are documented; which of them it has.
fn walk(at: &str, value: &Value, known: &BTreeMap<String, Field>, seen: &mut BTreeSet<String>) {
    let (path, found) = (at.trim_end_matches('.'), kind(value));
    if !path.is_empty() && !path.ends_with("[]") {
        let field = known.get(path).unwrap_or_else(|| panic!("{path} is not in docs/json.md: {value}"));
        // An empty list is any list.
        let fits =
            |kind: &String| kind == found || (kind == "list" && found == "texts" && *value == json!([]));
        assert!(field.kinds.iter().any(fits), "{path} is {found}, and not {:?}: {value}", field.kinds);
        if let (Some(word), false) = (value.as_str(), field.words.is_empty()) {
            assert!(field.words.contains(word), "{path} is {word:?}, and not one of {:?}", field.words);
        }
        // What one of the two keys has, the other has at another time.
        if *value != Value::Null {
            let other = [("keys.primary", "keys.secondary"), ("keys.secondary", "keys.primary")];
            seen.extend(other.map(|(one, other)| path.replace(one, other)));
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                walk(&format!("{at}{name}."), value, known, seen);
            }
        }
        Value::Array(items) => {
            for item in items.iter().filter(|item| item.is_object()) {
                walk(&format!("{path}[]."), item, known, seen);
            }
        }
        _ => {}
    }
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// Holds the answers of a command against the tables under these headings, both ways.
fn assert_documented(command: &str, tables: &[(&str, &str)], answers: &[Value]) {
    let known: BTreeMap<String, Field> =
        tables.iter().flat_map(|(heading, below)| fields(heading, below)).collect();
    let mut seen = BTreeSet::new();
    answers.iter().for_each(|answer| walk("", answer, &known, &mut seen));
    let unseen: Vec<&String> = known.keys().filter(|path| !seen.contains(*path)).collect();
    assert!(unseen.is_empty(), "{command} prints nothing of {unseen:?}");
}

/// A service in order, one with an app of which something is out of sight and another that is stale, and one that cannot
/// be looked at.
async fn troubled() -> Azure {
    let app = |name: &str| json!({ "group": "rg", "name": name });
    let azure = Azure::of_world(
        &json!({
            "subscription": "00000000-0000-0000-0000-000000000001",
            "signalr": [
                { "group": "rg", "name": "sr-good", "apps": ["good"] },
                { "group": "rg", "name": "sr-odd", "apps": ["odd", "odder"] },
                { "group": "rg", "name": "sr-gone", "apps": ["gone"] },
            ],
            "sites": [app("good"), app("odd"), app("odder"), app("gone")],
        }),
        &[],
    );
    let settled = azure.command(&["rotate"]).env("REKEY_GRACE", "1s").output().unwrap();
    assert!(settled.status.success(), "{}", text(&settled.stderr));
    azure.force("sr-odd", "Both").await;
    for (operation, resource) in
        [("WebApps_ListApplicationSettings", "odder"), ("SignalR_ListKeys", "sr-gone")]
    {
        let fault =
            json!({ "operation": operation, "resource": resource, "count": 1000, "kind": "forbidden" });
        azure.ask("faults", fault).await;
    }
    azure
}

/// Tells a handler that the keys of the service in order will be regenerated in three days.
async fn announce(azure: &Azure) {
    let instance = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers\
                    /Microsoft.SignalRService/signalR/sr-good";
    let deadline = (chrono::Utc::now() + chrono::TimeDelta::days(3)).to_rfc3339();
    let event = json!({
        "id": "1", "type": "SignalRRekey.RegenerationAnnounced", "time": "2026-09-21T08:30:00Z",
        "data": { "instance": instance, "deadline": deadline },
    });
    let handler = Handler::start(azure, &["handler"]).await;
    let (code, answer) = handler.call("OnKeyNotice", json!({ "event": event })).await;
    assert_eq!(code, 200, "{answer}");
    drop(handler.kill());
}

fn of_one_app(service: &str, app: &str) -> Azure {
    Azure::of_world(
        &json!({
            "subscription": "00000000-0000-0000-0000-000000000001",
            "signalr": [{ "group": "rg", "name": service, "apps": [app] }],
            "sites": [{ "group": "rg", "name": app }],
        }),
        &[],
    )
}

/// A service of which a person is asked to change something.
fn asked() -> Azure {
    let azure = of_one_app("sr-asked", "asked");
    let file = azure.folder.path().join("rekey.toml");
    let manual = "manual = [{ name = \"partner-gateway\", owner = \"Ada\", ticket = \"https://tickets.example/7\" }]\n";
    let config = std::fs::read_to_string(&file).unwrap() + manual;
    std::fs::write(&file, config).unwrap();
    let short = |arguments: &[&str]| azure.command(arguments).env("REKEY_GRACE", "1s").output().unwrap();
    assert_eq!(
        short(&["rotate", "--for", "20s"]).status.code(),
        Some(1),
        "nobody has said which key it holds"
    );
    let said = short(&["acknowledge", "sr-asked", "partner-gateway", "--by", "ada", "--yes"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    azure
}

/// A secret whose readers nobody sees, and which they may read for a day.
fn read_by_others() -> Azure {
    let azure = Azure::of_world(
        &json!({
            "subscription": "00000000-0000-0000-0000-000000000001",
            "signalr": [{ "group": "rg", "name": "sr-read", "apps": ["reads"] }],
            "sites": [{ "group": "rg", "name": "reads" }],
            "vaults": [{ "group": "rg", "name": "kv-read", "secrets": { "vms": "{primary:sr-read}" } }],
        }),
        &[],
    );
    let file = azure.folder.path().join("rekey.toml");
    let secret = "vault_secrets = [{ id = \"https://kv-read.vault.azure.net/secrets/vms\", readers_within = \"24h\" }]\n";
    let config = std::fs::read_to_string(&file).unwrap() + secret;
    std::fs::write(&file, config).unwrap();
    azure
}

/// A slot that has been moved, and an app that waits for its gate.
fn in_waves() -> Azure {
    let azure = Azure::of_world(
        &json!({
            "subscription": "00000000-0000-0000-0000-000000000001",
            "signalr": [{ "group": "rg", "name": "sr-waves", "apps": ["waves", "waves/staging"] }],
            "sites": [{ "group": "rg", "name": "waves", "slots": ["staging"] }],
        }),
        &[],
    );
    let file = azure.folder.path().join("rekey.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("gate_after = \"1s\"", "gate_after = \"1h\"")).unwrap();
    azure
}

const ANSWER: (&str, &str) = ("Every answer", "");
const SERVICE: (&str, &str) = ("A service", "instances[].");

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_documented_and_every_documented_field_is_printed() {
    let azure = troubled().await;
    let plan = azure.run(&["plan", "--json"]);
    let status = azure.run(&["status", "--json"]);
    let history = azure.run(&["history", "--json"]);
    assert_eq!([&plan, &status, &history].map(|output| output.status.code()), [Some(1), Some(1), Some(0)]);
    for output in [&plan, &status] {
        let all = answer(output);
        let find = |name: &str| {
            all["instances"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
        };
        assert!(find("sr-gone")["error"].as_str().unwrap().contains("cannot list the keys"), "{all}");
        assert_eq!(find("sr-gone")["keys"], Value::Null, "{all}");
        let odd = find("sr-odd");
        let holds = |app: &str| {
            let of = |one: &&Value| one["id"].as_str().unwrap().ends_with(app);
            odd["consumers"].as_array().unwrap().iter().find(of).unwrap()["holds"].clone()
        };
        assert_eq!((holds("/odd"), holds("/odder")), (json!("stale"), json!("unknown")), "{odd}");
        let good = find("sr-good");
        let held = &good["consumers"][0];
        let key = held["holds"].as_str().unwrap();
        assert_eq!(good["keys"][key]["fingerprint"], held["fingerprint"], "{good}");
        assert_eq!(
            (&good["keys"][key]["held"], &good["decision"]),
            (&json!("now"), &json!("settled")),
            "{good}"
        );
    }

    let long = Azure::of_world(
        &json!({
            "subscription": "00000000-0000-0000-0000-000000000001",
            "signalr": [{ "group": "rg", "name": "sr-long", "apps": ["long"] }],
            "sites": [{ "group": "rg", "name": "long" }],
        }),
        &["--regenerate-takes", "1h"],
    );
    let waiting =
        long.command(&["rotate", "--for", "1s", "--json"]).env("REKEY_GRACE", "2h").output().unwrap();
    let resting = answer(&long.command(&["status", "--json"]).env("REKEY_GRACE", "2h").output().unwrap());
    let ahead = answer(&long.command(&["plan", "--json"]).env("REKEY_GRACE", "2h").output().unwrap());
    let mut frozen = long.command(&["plan", "--json"]);
    let never = answer(&frozen.env("REKEY_FREEZES", "2020-01-01..2099-01-01 UTC").output().unwrap());
    long.command(&["rotate", "--for", "4s"]).env("REKEY_GRACE", "1s").output().unwrap();
    let under_way = answer(&long.run(&["status", "--json"]));
    assert_eq!(under_way["instances"][0]["regenerating"]["keyType"], "Secondary", "{under_way}");

    let asked = asked();
    let awaiting =
        asked.command(&["rotate", "--for", "20s", "--json"]).env("REKEY_GRACE", "1s").output().unwrap();
    let [awaited_plan, awaited_status] =
        ["plan", "status"].map(|command| answer(&asked.run(&[command, "--json"])));
    for json in [&awaited_plan, &awaited_status] {
        let one = &json["instances"][0];
        assert_eq!(
            (&one["decision"], one["waitingFor"].as_array().unwrap().len()),
            (&json!("waiting"), 1),
            "{one}"
        );
        assert_eq!(one["waitingFor"][0]["id"], "partner-gateway", "{one}");
    }

    let read = read_by_others();
    let reading =
        read.command(&["rotate", "--for", "20s", "--json"]).env("REKEY_GRACE", "1s").output().unwrap();
    let [read_plan, read_status] = ["plan", "status"].map(|command| {
        answer(&read.command(&[command, "--json"]).env("REKEY_GRACE", "1s").output().unwrap())
    });
    for json in [&read_plan, &read_status] {
        assert_eq!(json["instances"][0]["waitingFor"][0]["kind"], "keyVaultSecret", "{json}");
    }

    let waves = in_waves();
    let moving =
        waves.command(&["rotate", "--for", "20s", "--json"]).env("REKEY_GRACE", "1s").output().unwrap();
    let [waves_plan, waves_status] =
        ["plan", "status"].map(|command| answer(&waves.run(&[command, "--json"])));
    for json in [&waves_plan, &waves_status] {
        let one = &json["instances"][0];
        let told = (&one["heldBy"]["type"], &one["wave"]["number"], &one["wave"]["gate"]);
        assert_eq!(told, (&json!("gate"), &json!(1), &json!("open")), "{one}");
    }

    announce(&azure).await;
    let [planned, stands] =
        ["plan", "status"].map(|command| answer(&azure.run(&[command, "sr-good", "--json"])));
    for (command, json) in [("plan", &planned), ("status", &stands)] {
        let watch = &json["instances"][0]["watches"][0];
        assert!(watch["text"].as_str().unwrap().ends_with(": a regeneration is announced"), "{json}");
        let told = text(&azure.run(&[command, "sr-good"]).stdout);
        let said = "  keys are watched closely from TIME until TIME: a regeneration is announced";
        assert!(timeless(&told).lines().any(|line| line == said), "{told}");
    }

    // It is over before the regeneration that is announced.
    let today = chrono::Utc::now().date_naive();
    let freeze = format!("{today}..{} UTC", today + chrono::Days::new(1));
    let frozen = |line: &[&str]| {
        azure.command(line).env("REKEY_FREEZES", &freeze).env("REKEY_GRACE", "1s").output().unwrap()
    };
    let held = frozen(&["rotate", "sr-good", "--now", "--for", "2s", "--json"]);
    let [held_plan, held_status] =
        ["plan", "status"].map(|command| answer(&frozen(&[command, "sr-good", "--json"])));
    assert_eq!(held_plan["instances"][0]["heldBy"]["type"], "freeze", "{held_plan}");

    let paused = azure.run(&["pause", "sr-good", "--until", "12h", "--why", "an audit", "--by", "ada"]);
    assert!(paused.status.success(), "{}", text(&paused.stderr));
    let key = format!("{}+/{}", "aB3".repeat(20), "Zx9".repeat(7));
    let string = "Endpoint=https://chat.service.signalr.net;AccessKey=k;";
    for (why, by) in
        [(key.as_str(), "ada"), (string, "ada"), ("an audit", key.as_str()), ("an audit", string)]
    {
        let refused = azure.run(&["pause", "sr-good", "--until", "1h", "--why", why, "--by", by]);
        let said = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains("looks like a key"), "{said}");
        assert!(!said.contains(&key) && !said.contains(string), "{said}");
    }
    let [paused_plan, paused_status] =
        ["plan", "status"].map(|command| answer(&azure.run(&[command, "sr-good", "--json"])));
    assert_eq!(paused_plan["instances"][0]["heldBy"]["why"], "an audit", "{paused_plan}");
    let told = text(&azure.run(&["status", "sr-good"]).stdout);
    let first = "sr-good: rotations are paused until TIME, since TIME, by ada: an audit";
    assert_eq!(timeless(&told).lines().next(), Some(first), "{told}");
    let resting_rotate = azure.run(&["rotate", "sr-good", "--for", "2s", "--json"]);
    let resumed = azure.run(&["resume", "sr-good", "--by", "ada"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert_eq!(azure.run(&["resume", "sr-good", "--by", "ada"]).status.code(), Some(1), "it is not paused");

    for word in ["paused until", "pause of rotations ended by ada"] {
        let told = text(&azure.run(&["history", "sr-good"]).stdout);
        assert!(told.contains(word), "{told}");
    }

    // Nothing is announced of this one.
    let approving = of_one_app("sr-asked", "asked");
    let required =
        |line: &[&str]| approving.command(line).env("REKEY_APPROVAL", "required").output().unwrap();
    let asking = required(&["rotate", "--for", "2s", "--json"]);
    let [asking_plan, asking_status] =
        ["plan", "status"].map(|command| answer(&required(&[command, "--json"])));
    assert_eq!(asking_plan["instances"][0]["heldBy"]["type"], "approval", "{asking_plan}");
    let yes = ["approve", "sr-asked", "--by", "ada", "--yes"];
    let approved = required(&yes);
    assert!(approved.status.success(), "{}", text(&approved.stderr));
    let again = required(&yes);
    let said = text(&again.stderr);
    assert!(again.status.code() == Some(1) && said.contains("ada approved this rotation at"), "{said}");
    let unasked = approving.run(&yes);
    let said = text(&unasked.stderr);
    assert!(unasked.status.code() == Some(1) && said.contains("no rotation waits for an approval"), "{said}");
    let told = text(&approving.run(&["history"]).stdout);
    assert!(told.contains("approved by ada; it may begin until"), "{told}");

    let short = azure.command(&["rotate", "sr-good", "--now", "--for", "2s", "--json"]).output().unwrap();
    let rotate = azure.run(&["rotate", "--json"]);
    let lines = |output: &Output| -> Vec<Value> {
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (progress, results): (Vec<Value>, Vec<Value>) =
        [&waiting, &held, &resting_rotate, &asking, &short, &awaiting, &reading, &moving, &rotate]
            .into_iter()
            .flat_map(lines)
            .partition(|line| line["type"] == "progress");
    // The service that cannot be looked at has its error here too, under the same names.
    let gone = results
        .iter()
        .flat_map(|line| line["instances"].as_array().unwrap())
        .find(|one| one["name"] == "sr-gone");
    assert!(gone.unwrap()["error"].as_str().unwrap().contains("cannot list the keys"), "{gone:?}");

    let below = |name| (name, "instances[].");
    assert_documented(
        "plan",
        &[ANSWER, SERVICE, below("What plan adds")],
        &[
            answer(&plan),
            ahead,
            planned,
            held_plan,
            never,
            awaited_plan,
            read_plan,
            paused_plan,
            asking_plan,
            waves_plan,
        ],
    );
    let events = ("An event", "instances[].events[].");
    let without_payload = |mut all: Value| {
        for instance in all["instances"].as_array_mut().unwrap() {
            for event in instance["events"].as_array_mut().unwrap() {
                let fields = event["event"].as_object_mut().unwrap();
                fields.retain(|name, _| name == "type");
            }
        }
        all
    };
    let statuses = [
        answer(&status),
        resting,
        under_way,
        stands,
        held_status,
        awaited_status,
        read_status,
        paused_status,
        asking_status,
        waves_status,
    ]
    .map(without_payload);
    assert_documented("status", &[ANSWER, SERVICE, below("What status adds"), events], &statuses);
    let mut broken = azure.command(&["history", "--json"]);
    broken.env(
        "AzureWebJobsStorage",
        "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:9/acc",
    );
    let histories = [answer(&history), answer(&broken.output().unwrap())].map(without_payload);
    assert_documented("history", &[ANSWER, below("What history prints"), events], &histories);
    assert_documented("rotate", &[("A line of progress", "")], &progress);
    let (folder, event) = (tempfile::tempdir().unwrap(), json!({ "id": "1", "eventType": "Contoso.Any" }));
    let file = folder.path().join("event.json");
    std::fs::write(&file, event.to_string()).unwrap();
    let notice = answer(&azure.run(&["notice", file.to_str().unwrap(), "--json"]));
    let handler = Handler::start(&azure, &["handler"]).await;
    let wrong = json!({ "id": "2", "type": "SignalRRekey.KeysExposed", "data": {} });
    std::fs::write(&file, wrong.to_string()).unwrap();
    let failed = answer(&azure.run(&["notice", file.to_str().unwrap(), "--json", "--fire", &handler.url()]));
    std::fs::write(&file, json!(key_event("sr-good")).to_string()).unwrap();
    let told = answer(&azure.run(&["notice", file.to_str().unwrap(), "--json", "--fire", &handler.url()]));
    assert_documented("notice", &[("What notice prints", "")], &[notice, failed, told]);
    let doctor = answer(&azure.run(&["doctor", "--json"]));
    assert_documented("doctor", &[("What doctor prints", "")], &[doctor]);
    assert_documented(
        "rotate",
        &[ANSWER, ("The last line", ""), SERVICE, below("What rotate adds")],
        &results,
    );
}

#[test]
fn what_the_demo_prints_is_documented() {
    let played = program(&["demo", "--every-kind", "--json"]).output().unwrap();
    assert_documented("demo", &[("What demo prints", "")], &[answer(&played)]);
}

#[test]
fn every_way_in_which_a_run_ends_has_its_word() {
    let known = fields("What rotate adds", "");
    let said: BTreeSet<String> = reasons::endings().iter().map(|ending| ending.name().to_owned()).collect();
    assert_eq!(known["ending"].words, said);
}

#[test]
fn every_event_of_the_journal_is_documented_with_its_fields() {
    let known = fields("The events", "");
    let rows = Document::read("docs/json.md").rows("The events");
    let mut types = BTreeSet::new();
    for event in reasons::events() {
        let value = report::json::event(&event);
        let name = value["type"].as_str().unwrap();
        types.insert(name.to_owned());
        let row = rows.iter().find(|row| codes(&row[0]) == [name]);
        let row = row.unwrap_or_else(|| panic!("the event {name} is not in docs/json.md"));
        let told: BTreeSet<String> = codes(&row[1]).into_iter().collect();
        let has = value.as_object().unwrap().keys().filter(|field| *field != "type").cloned();
        assert_eq!(told, has.collect(), "{name}");
    }
    assert_eq!(known.keys().cloned().collect::<BTreeSet<_>>(), types, "no other event is told of");
}
