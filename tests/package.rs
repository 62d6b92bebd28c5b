//! What is deployed: which files, and that the Functions host can run it there.
//!
//! With `REKEY_PACKAGE` the package of `package/build` is run, as CI does; else one that is laid out here, with the
//! program of this build.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::program::{Azure, Handler, PROGRAM, free_port, key_event, timer};
use ignore::WalkBuilder;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Everything in the repository that git does not ignore, the binary that was put beside host.json, and what lies about
/// on a developer's machine.
fn lying_about() -> BTreeSet<String> {
    let walk = WalkBuilder::new(root()).hidden(false).git_global(false).require_git(false).build();
    let files = walk.map(Result::unwrap).filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
    let names = files.map(|file| file.path().strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
    let of_a_developer = [
        "signalr-rekey",
        "target/debug/signalr-rekey",
        "tests/azurite/node_modules/x/function.json",
        ".azurite/extents/1",
        "__azurite_db_blob__.json",
        "world.json",
        "src/plan/snapshots/a.snap.new",
    ];
    // `func` leaves .git out by itself; in a worktree it is a file.
    names
        .filter(|name| name != ".git" && !name.starts_with(".git/"))
        .chain(of_a_developer.map(ToOwned::to_owned))
        .collect()
}

fn rules(file: &str) -> Gitignore {
    let mut rules = GitignoreBuilder::new(root());
    assert!(rules.add(root().join(file)).is_none(), "{file} cannot be read");
    rules.build().unwrap()
}

fn matching(rules: &Gitignore, files: &BTreeSet<String>) -> BTreeSet<String> {
    let is = |name: &&String| rules.matched_path_or_any_parents(name, false).is_ignore();
    files.iter().filter(is).cloned().collect()
}

/// What belongs into the package.
fn package() -> BTreeSet<String> {
    matching(&rules("package/contents.txt"), &lying_about())
}

#[test]
fn the_package_is_the_functions_and_what_they_need() {
    let folders =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let functions = folders.map(|folder| format!("{folder}/function.json"));
    let functions = functions.filter(|function| root().join(function).is_file());
    let others = ["host.json", "rekey.toml", "signalr-rekey"].map(ToOwned::to_owned);
    assert_eq!(package(), functions.chain(others).collect());
}

#[test]
fn func_publishes_the_package() {
    // func has rules of its own (core tools, `GitIgnoreParser`): a pattern matches from the root, and whatever begins
    // with it; `*` is one character at least. So `src` leaves out a file `srcs` as well, and `*.md` none in a folder.
    let patterns = fs::read_to_string(root().join(".funcignore")).unwrap();
    let patterns: Vec<&str> = patterns.lines().map(str::trim).collect();
    let patterns = patterns.into_iter().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let patterns: Vec<String> = patterns.map(|line| line.trim_start_matches('/').to_owned()).collect();
    assert!(
        patterns.iter().all(|pattern| !pattern.contains(['!', '?', '['])),
        "rules that are not known here"
    );
    let left_out = |name: &String| patterns.iter().any(|pattern| begins_with(name, pattern));
    let all = lying_about();
    assert_eq!(all.iter().filter(|name| !left_out(name)).cloned().collect::<BTreeSet<_>>(), package());
    assert!(begins_with("a/b.md", "a") && begins_with("b.md", "*.md") && begins_with("ab", "a"));
    assert!(!begins_with("a/b.md", "*.md") && !begins_with("ba", "a") && !begins_with(".md", "*.md"));
}

fn begins_with(name: &str, pattern: &str) -> bool {
    let Some((plain, rest)) = pattern.split_once('*') else { return name.starts_with(pattern) };
    let Some(name) = name.strip_prefix(plain) else { return false };
    let end = name.find('/').unwrap_or(name.len());
    (1..=end).any(|length| name.is_char_boundary(length) && begins_with(&name[length..], rest))
}

#[test]
fn the_image_finds_the_package_where_the_host_looks() {
    let text = fs::read_to_string(root().join("package/Dockerfile")).unwrap();
    let copies: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("COPY ")).collect();
    // The context is the package itself.
    assert_eq!(copies, [". /home/site/wwwroot"]);
    assert!(text.contains("AzureWebJobsScriptRoot=/home/site/wwwroot"));
}

/// The folder that is deployed.
struct Deployed {
    folder: PathBuf,
    _laid_out: Option<TempDir>,
}

impl Deployed {
    fn new() -> Self {
        if let Some(folder) = std::env::var_os("REKEY_PACKAGE") {
            let folder = fs::canonicalize(folder).unwrap();
            return Self { folder, _laid_out: None };
        }
        let laid_out = tempfile::tempdir().unwrap();
        for name in package() {
            let source = if name == "signalr-rekey" { PathBuf::from(PROGRAM) } else { root().join(&name) };
            let to = laid_out.path().join(&name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(source, to).unwrap();
        }
        Self { folder: laid_out.path().to_owned(), _laid_out: Some(laid_out) }
    }

    /// The process as the host starts it: in the app's folder, with all that the host and the app settings have in the
    /// environment. The Azure of the local settings is the one that runs here; it has another port and a short grace.
    fn command(&self, azure: &Azure) -> Command {
        let host = json_of(&self.folder.join("host.json"));
        let description = &host["customHandler"]["description"];
        let mut command =
            Command::new(self.folder.join(description["defaultExecutablePath"].as_str().unwrap()));
        let arguments = description["arguments"].as_array().unwrap().iter();
        command.args(arguments.map(|argument| argument.as_str().unwrap())).current_dir(&self.folder);
        let settings = json_of(&root().join("local.settings.json"));
        let settings = settings["Values"].as_object().unwrap().iter();
        command.env_clear().envs(settings.map(|(name, value)| (name, value.as_str().unwrap())));
        command.envs(&azure.environment).env_remove("REKEY_CONFIG");
        // The storage of the local settings does not run here.
        command.env("REKEY_STATE", "memory");
        for (name, value) in OF_THE_HOST {
            command.env(name, value);
        }
        for name in ["AzureWebJobsScriptRoot", "FUNCTIONS_APP_ROOT_PATH"] {
            command.env(name, &self.folder);
        }
        command
    }

    fn functions(&self) -> Vec<(String, Value)> {
        let entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let functions = entries.filter(|path| path.join("function.json").is_file());
        let read = |path: PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), json_of(&path.join("function.json")))
        };
        functions.map(read).collect()
    }
}

/// What a host has in its environment and hands on.
const OF_THE_HOST: [(&str, &str); 8] = [
    ("PATH", "/usr/bin:/bin"),
    ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", "0c1f6a2e-5f3f-4a57-9d2f-7a3f1d8e1c11"),
    ("FUNCTIONS_HTTPWORKER_ID", "0c1f6a2e-5f3f-4a57-9d2f-7a3f1d8e1c11"),
    ("FUNCTIONS_EXTENSION_VERSION", "~4"),
    ("ASPNETCORE_URLS", "http://127.0.0.1:80"),
    ("DOTNET_RUNNING_IN_CONTAINER", "true"),
    ("WEBSITE_SITE_NAME", "func-rekey"),
    ("WEBSITE_INSTANCE_ID", "0123456789abcdef"),
];

/// How the host takes the answer to an invocation that is not forwarded.
#[derive(Debug, PartialEq)]
enum Verdict {
    Success,
    Failure(&'static str),
    /// The invocation is never completed; at `functionTimeout` the process is killed.
    Hang,
}

fn judge(status: u16, content_type: Option<&str>, body: &[u8]) -> Verdict {
    if !(200..300).contains(&status) {
        return Verdict::Failure("the status");
    }
    if body.is_empty() {
        return Verdict::Hang;
    }
    let kind = content_type.and_then(|text| text.split(';').next()).map(str::trim);
    if !matches!(kind, Some("application/json" | "text/json")) {
        return Verdict::Failure("the content type");
    }
    match serde_json::from_slice(body) {
        Ok(Value::Null) => Verdict::Hang,
        Ok(Value::Object(answer)) => members(&answer),
        _ => Verdict::Failure("the body is no object"),
    }
}

fn members(answer: &serde_json::Map<String, Value>) -> Verdict {
    let member = |wanted: &str| {
        answer.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let lines = |logs: &Value| {
        logs.is_null() || logs.as_array().is_some_and(|logs| logs.iter().all(Value::is_string))
    };
    if !member("Logs").is_none_or(lines) {
        return Verdict::Failure("Logs are no array of texts");
    }
    if !member("Outputs").is_none_or(|outputs| outputs.is_null() || outputs.is_object()) {
        return Verdict::Failure("Outputs are no object");
    }
    Verdict::Success
}

#[test]
fn answers_are_judged_as_the_host_does() {
    let json = Some("application/json; charset=utf-8");
    for (status, kind, body, verdict) in [
        (200, json, "{}", Verdict::Success),
        (201, Some("text/json"), r#"{"logs":["a"],"outputs":{}}"#, Verdict::Success),
        (500, json, "{}", Verdict::Failure("the status")),
        (200, json, "", Verdict::Hang),
        (204, None, "", Verdict::Hang),
        (200, json, "null", Verdict::Hang),
        (200, None, "{}", Verdict::Failure("the content type")),
        (200, Some("application/problem+json"), "{}", Verdict::Failure("the content type")),
        (200, json, "[]", Verdict::Failure("the body is no object")),
        (200, json, r#"{"Logs":"#, Verdict::Failure("the body is no object")),
        (200, json, r#"{"Logs":[1]}"#, Verdict::Failure("Logs are no array of texts")),
        (200, json, r#"{"Outputs":[]}"#, Verdict::Failure("Outputs are no object")),
    ] {
        assert_eq!(judge(status, kind, body.as_bytes()), verdict, "{status} {kind:?} {body}");
    }
}

/// What the host posts to a function with such a trigger.
fn data(trigger: &Value) -> Value {
    let payload = match trigger["type"].as_str().unwrap() {
        "timerTrigger" => timer(),
        "eventGridTrigger" => key_event("sr-demo"),
        "httpTrigger" => json!({
            "Url": "https://func-rekey.azurewebsites.net/api/x", "Method": "POST", "Query": {}, "Params": {},
            "Headers": {"Content-Type": ["application/json"]}, "Identities": [],
            "Body": r#"{"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{},"alertContext":{}}}"#,
        }),
        other => panic!("what the host sends to a {other} is not known here"),
    };
    json!({ trigger["name"].as_str().unwrap(): payload })
}

fn trigger(function: &Value) -> &Value {
    let bindings = function["bindings"].as_array().unwrap();
    bindings.iter().find(|binding| binding["type"].as_str().unwrap().ends_with("Trigger")).unwrap()
}

async fn invoke(handler: &Handler, name: &str, function: &Value) -> (Verdict, String) {
    let response = handler.post(name, data(trigger(function))).await;
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap();
    (judge(status, kind.as_deref(), body.as_bytes()), body)
}

#[tokio::test]
async fn the_host_can_run_what_is_deployed() {
    let deployed = Deployed::new();
    let azure = Azure::start(&[]);
    let handler = Handler::spawn(deployed.command(&azure), free_port(), &azure).await;
    let functions = deployed.functions();
    assert!(functions.len() >= 2, "{functions:?}");

    // First the timers, which rotate; then, after both keys were lost, the events, which repair; then the others.
    let of =
        |kind: &'static str| functions.iter().filter(move |(_, function)| trigger(function)["type"] == kind);
    for (name, function) in of("timerTrigger") {
        let (verdict, body) = invoke(&handler, name, function).await;
        assert_eq!(verdict, Verdict::Success, "{name}: {body}");
    }
    let report = azure.report().await;
    assert_eq!(
        (&report["refused"], &report["arm_requests"]["SignalR_RegenerateKey"]),
        (&json!(0), &json!(2))
    );

    azure.force("sr-demo", "Both").await;
    for (name, function) in of("eventGridTrigger") {
        let (verdict, body) = invoke(&handler, name, function).await;
        assert_eq!(verdict, Verdict::Success, "{name}: {body}");
        assert!(body.contains("in the place of an invalid one"), "{body}");
    }
    for (name, function) in of("httpTrigger") {
        let (verdict, body) = invoke(&handler, name, function).await;
        assert_eq!(verdict, Verdict::Success, "{name}: {body}");
    }
    // A folder of that name is not there: the host would not call it, and we answer no success.
    let (verdict, _) = invoke(&handler, "Unknown", &functions[0].1).await;
    assert_eq!(verdict, Verdict::Failure("the status"));

    let printed = handler.kill();
    assert!(printed.contains("serving the Functions host"), "{printed}");
    for reserved in ["LanguageWorkerConsoleLog", "azfuncjsonlog:"] {
        assert!(!printed.lines().any(|line| line.starts_with(reserved)), "{printed}");
    }
}
