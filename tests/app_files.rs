//! The files that the Functions host reads beside the binary fit each other, the code and the limits of the platform.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signalr_rekey::config::{Environment, FUNCTION_TIMEOUT, load_from};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

fn local_settings() -> Environment {
    let settings = json("local.settings.json");
    let values = settings["Values"].as_object().unwrap().clone();
    values.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn host_json_starts_our_binary_and_agrees_on_the_timeout() {
    let host = json("host.json");
    let description = json!({ "defaultExecutablePath": env!("CARGO_PKG_NAME"), "arguments": ["handler"] });
    assert_eq!(host["customHandler"]["description"], description);
    assert_eq!(host["customHandler"]["enableForwardingHttpRequest"], false);
    assert_eq!(host["extensionBundle"]["version"], "[4.*, 5.0.0)");
    let minutes = FUNCTION_TIMEOUT.as_secs() / 60;
    assert_eq!(host["functionTimeout"], format!("00:{minutes:02}:00"));
}

#[test]
fn each_function_has_one_trigger_and_a_folder_of_its_name() {
    let mut folders: Vec<String> = std::fs::read_dir(path("."))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.join("function.json").is_file())
        .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    folders.sort();
    // The names of the routes: the host posts to /{folder}, and case counts.
    assert_eq!(folders, ["OnAlert", "OnKeyNotice", "OnReport", "RotateKeys", "Status"]);
    let timer = json!({
        "type": "timerTrigger", "direction": "in", "name": "timer",
        "schedule": "%ROTATION_SCHEDULE%", "useMonitor": true, "runOnStartup": false,
    });
    let rotate = json("RotateKeys/function.json");
    assert_eq!(rotate["bindings"], json!([timer]));
    assert_eq!(rotate["retry"]["strategy"], "fixedDelay");
    let notice = json("OnKeyNotice/function.json");
    let trigger = json!({ "type": "eventGridTrigger", "direction": "in", "name": "event" });
    // No retry: it would only lengthen the 30 seconds that Event Grid waits before it delivers again by itself.
    assert_eq!(notice, json!({ "bindings": [trigger] }));
    // The answer goes out by the name that `host::reply` uses; authLevel function asks the caller for a key.
    let trigger = json!({
        "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "function", "methods": ["post"],
    });
    let answer = json!({ "type": "http", "direction": "out", "name": "res" });
    for function in ["OnAlert", "OnReport"] {
        let binding = json(&format!("{function}/function.json"));
        assert_eq!(binding, json!({ "bindings": [trigger, answer] }), "{function}");
    }
    let mut trigger = trigger;
    trigger["methods"] = json!(["get"]);
    assert_eq!(json("Status/function.json"), json!({ "bindings": [trigger, answer] }));
}

#[test]
fn the_sample_works_with_the_local_settings() {
    let config = load_from(&text("rekey.toml"), "rekey.toml", &local_settings()).unwrap();
    let apps: Vec<String> = config.instances[0].apps.iter().map(|app| app.id.name()).collect();
    assert_eq!((config.instances[0].id.name(), config.instances.len()), ("sr-demo", 1));
    assert_eq!(apps, ["chat-web", "chat-web/staging", "chat-func"]);
    assert_eq!(config.azure.resource_manager.as_str(), "http://127.0.0.1:7400/");
    let identity = local_settings().get("IDENTITY_ENDPOINT").map(str::to_owned);
    assert_eq!(identity.as_deref(), Some("http://127.0.0.1:7400/msi/token"));
}

#[test]
fn no_file_holds_a_secret() {
    for name in [
        "host.json",
        "local.settings.json",
        "rekey.toml",
        "RotateKeys/function.json",
        "OnKeyNotice/function.json",
        "OnReport/function.json",
        "Status/function.json",
    ] {
        let text = text(name).to_lowercase();
        for word in ["accesskey=", "accountkey=", "sharedaccess", "endpoint=", "password", "sig="] {
            assert!(!text.contains(word), "{name} holds {word}");
        }
    }
    assert_eq!(json("local.settings.json")["IsEncrypted"], false);
}
