//! `docs/simulate.md` against the embedded Azure: its flags, its requests with their bodies, its world file.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use embedded_azure::{BarrierKind, FaultKind, World};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use signalr_rekey::config::{self, Environment};
use signalr_rekey::demo::setup;

use super::common::azurite;
use super::common::program::{Azure, PROGRAM, program, text};
use super::markdown::{Document, codes};
use super::root;
use super::settings::{flags, help};

fn document() -> Document {
    Document::read("docs/simulate.md")
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_flag_has_its_row_and_its_default() {
    let rows = document().rows("Flags");
    let named: Vec<String> = rows.iter().map(|row| codes(&row[0])[0].clone()).collect();
    assert_eq!(named.iter().cloned().collect::<BTreeSet<_>>(), flags("simulate"));
    let help = help(&["simulate"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for row in &rows {
        let flag = &codes(&row[0])[0];
        let said = help.split(&format!(" {flag} ")).last().unwrap();
        // The next flag begins where this one's text ends.
        let said = said.split(" --").next().unwrap();
        let default = said.split("[default: ").nth(1).map(|rest| rest.split(']').next().unwrap());
        if let Some(default) = default {
            assert_eq!(codes(&row[1]).first().map(String::as_str), Some(default), "{flag}: {said}");
        }
    }
    assert!(help.matches("[default: ").count() >= 12);
}

/// The requests in the document, with their bodies, in its order.
fn requests() -> Vec<(Method, String, Option<Value>)> {
    let request = |row: &Vec<String>| {
        let named = codes(&row[0]).remove(0);
        let (method, path) = named.split_once(' ').unwrap();
        let body = codes(&row[1]).first().map(|body| serde_json::from_str(body).unwrap());
        (method.parse().unwrap(), path.to_owned(), body)
    };
    document().rows("While it runs").iter().map(request).collect()
}

async fn ask(azure: &Azure, method: Method, path: &str, body: Option<&Value>) -> Response {
    let base = azure.environment["REKEY_RESOURCE_MANAGER"].trim_end_matches('/');
    let request = Client::builder().no_proxy().build().unwrap().request(method, format!("{base}{path}"));
    let request = if let Some(body) = body { request.json(body) } else { request };
    request.send().await.unwrap()
}

/// What is wrong with a body, as it is answered.
async fn fault(answer: Response) -> String {
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer: Value = answer.json().await.unwrap();
    answer["error"]["message"].as_str().unwrap().to_owned()
}

/// The names that a message of serde's lists: each stands in backticks, and the first is the one that is unknown.
fn expected(message: &str) -> BTreeSet<String> {
    assert!(message.contains("unknown field `strange`"), "{message}");
    set(message.split('`').skip(3).step_by(2))
}

fn members(value: &Value) -> BTreeSet<String> {
    set(value.as_object().unwrap().keys().map(String::as_str))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_there_and_takes_the_body_that_stands_beside_it() {
    // Against the world file of the document, which has something of each kind.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.json");
    std::fs::write(&file, world().to_string()).unwrap();
    let azure = Azure::start(&["--world", file.to_str().unwrap()]);
    let nothing: Value = ask(&azure, Method::GET, "/sim", None).await.json().await.unwrap();
    let said = nothing["error"]["message"].as_str().unwrap();
    let there = said.strip_prefix("There is ").unwrap().trim_end_matches('.').split(", ");
    let requests = requests();
    let named: Vec<String> = requests.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(named.iter().cloned().collect::<BTreeSet<_>>(), set(there));
    assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), named.len(), "none stands twice");
    for (method, path, body) in &requests {
        if method == Method::POST {
            let body = body.as_ref().unwrap_or_else(|| panic!("{path} has no body"));
            // Every member that there is stands in the document.
            let mut strange = body.clone();
            strange["strange"] = json!(1);
            let message = fault(ask(&azure, method.clone(), path, Some(&strange)).await).await;
            assert_eq!(members(body), expected(&message), "{path}");
        }
        let answer = ask(&azure, method.clone(), path, body.as_ref()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{method} {path}: {}", answer.text().await.unwrap());
    }
    let there: Value = ask(&azure, Method::GET, "/sim/world", None).await.json().await.unwrap();
    assert!(there["apps"].to_string().contains("/resourceGroups/rg-other/"), "it was moved: {there}");

    assert!(azure.run(&["plan"]).stdout.len() > 1, "there are requests to list now");
    let prose = document().prose();
    let told = codes(&prose);
    let report: Value = ask(&azure, Method::GET, "/sim/report", None).await.json().await.unwrap();
    let requests: Value = ask(&azure, Method::GET, "/sim/requests", None).await.json().await.unwrap();
    let member = members(&report).into_iter().chain(members(&requests[0])).chain(members(&there));
    for member in member.filter(|member| member != "apps") {
        assert!(told.contains(&member), "nothing is said of {member}");
    }
}

#[test]
fn every_kind_has_its_row() {
    let first = |heading: &str| -> Vec<String> {
        document().rows(heading).iter().map(|row| codes(&row[0])[0].clone()).collect()
    };
    let faults = first("Faults");
    assert_eq!(faults.iter().cloned().collect::<BTreeSet<_>>(), set(FaultKind::ALL.map(FaultKind::name)));
    assert_eq!(faults.len(), FaultKind::ALL.len());
    let barriers =
        BarrierKind::ALL.map(|kind| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned());
    assert_eq!(first("Barriers"), barriers);
}

fn world() -> Value {
    let blocks = document().blocks();
    let shown: Vec<_> = blocks.iter().filter(|block| block.info == "json").collect();
    assert_eq!(shown.len(), 1);
    serde_json::from_str(&shown[0].text).unwrap()
}

#[test]
fn the_world_file_shows_every_member_and_can_be_served() {
    let shown = world();
    let unknown = |pointer: &str| {
        let mut strange = shown.clone();
        strange.pointer_mut(pointer).unwrap()["strange"] = json!(1);
        expected(&serde_json::from_value::<World>(strange).unwrap_err().to_string())
    };
    let entry = "/sites/0/connection_strings/Azure:SignalR:ConnectionString";
    let secret = "/vaults/0/secrets/chat";
    let key_value = "/appConfigurations/0/keyValues/0";
    let of_stores = ["/appConfigurations/0", key_value, "/appConfigurations/0/accessKey"];
    let reads = ["/sites/0/reads/0/keyValue", "/sites/0/reads/1/secret"];
    let of_containers = [
        "/containerApps/0",
        "/containerApps/0/revisions/chat-api--old",
        "/containerApps/0/secrets/vaulted",
        "/containerJobs/0",
        "/staticWebApps/0",
        "/staticWebApps/0/environments/12",
    ];
    let others = ["", "/signalr/0", "/sites/0", entry, "/vaults/0", secret, "/denials/0", "/barriers/0"];
    for pointer in others.into_iter().chain(of_stores).chain(reads).chain(of_containers) {
        assert_eq!(members(shown.pointer(pointer).unwrap()), unknown(pointer), "{pointer}");
    }
    let rows = document().rows("The world file");
    let named: BTreeSet<String> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    let mut all = members(&shown);
    let of_containers = ["containerApps", "containerJobs", "staticWebApps"];
    for list in ["signalr", "sites", "vaults", "appConfigurations"].into_iter().chain(of_containers) {
        all.extend(members(&shown[list][0]).iter().map(|name| format!("{list}.{name}")));
    }
    all.extend(members(shown.pointer(secret).unwrap()));
    all.extend(members(shown.pointer(key_value).unwrap()));
    assert_eq!(named, all);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.json");
    std::fs::write(&file, shown.to_string()).unwrap();
    let azure = Azure::start(&["--world", file.to_str().unwrap()]);
    let status = azure.run(&["status"]);
    let told = text(&status.stdout);
    for app in ["chat-web", "chat-web/staging", "chat-func"] {
        assert!(told.contains(app), "{told}{}", text(&status.stderr));
    }
}

/// A running `simulate`, and what it told when it was ready.
struct Simulate {
    child: Child,
    ready: Value,
    pasted: String,
}

impl Simulate {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str(&line) else {
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            panic!("it is not ready: {told}");
        };
        // The lines end with the variable that sorts last.
        let mut pasted = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap) {
            pasted.push_str(&line);
            pasted.push('\n');
            if line.starts_with("export ROTATION_SCHEDULE=") {
                break;
            }
        }
        Self { child, ready, pasted }
    }

    /// Runs a script in a shell into which the lines were pasted.
    fn sh(&self, script: &str) -> (bool, String) {
        let exports =
            self.pasted.lines().filter(|line| line.starts_with("export ")).collect::<Vec<_>>().join("\n");
        let mut command = Command::new("sh");
        command.args(["-euc", &format!("{exports}\n{script}")]).env_clear().env("PROGRAM", PROGRAM);
        let output =
            command.env("PATH", std::env::var("PATH").unwrap()).stdin(Stdio::null()).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "being stopped is no failure");
    }
}

impl Drop for Simulate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which apps read a key-value by themselves no setting of theirs tells, so the configuration does.
#[test]
fn the_configuration_of_a_world_names_who_reads_a_key_value_by_itself() {
    let world: World = serde_json::from_value(world()).unwrap();
    let config = config::load_from(
        &setup::rekey_toml(&world),
        "rekey.toml",
        &Environment::from_iter([("REKEY_STATE", "memory")]),
    );
    let service = config.unwrap().instances.remove(0);
    let [read] = &service.app_configuration[..] else { panic!("{:?}", service.app_configuration) };
    assert_eq!(
        read.id.to_string(),
        "https://cs-demo.azconfig.io/kv/Azure:SignalR:ConnectionString?label=prod"
    );
    let names: Vec<String> = read.read_by.iter().map(rekey_core::model::AppId::name).collect();
    assert_eq!(names, ["chat-web", "chat-web/staging"]);
}

#[test]
fn the_lines_to_paste_are_those_of_the_document_and_lead_a_shell_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("it's chat.toml");
    let azure =
        Simulate::start(program(&["simulate", "--listen", "127.0.0.1:0", "--config-out"]).arg(&config));
    let blocks = document().blocks();
    let shown = &blocks.iter().find(|block| block.info == "text").unwrap().text;
    let name = |line: &str| line.split('=').next().unwrap().to_owned();
    assert_eq!(
        azure.pasted.lines().map(name).collect::<Vec<_>>(),
        shown.lines().map(name).collect::<Vec<_>>()
    );
    for (name, value) in azure.ready["environment"].as_object().unwrap() {
        assert!(
            azure.pasted.contains(&format!("export {name}='{}'", value.as_str().unwrap())),
            "{}",
            azure.pasted
        );
    }
    let (well, told) = azure.sh("\"$PROGRAM\" status");
    assert!(well && told.contains("sr-demo"), "{told}");
    azure.stop();
}

fn blob_port(azure: &Simulate) -> u16 {
    let connection = azure.ready["environment"]["AzureWebJobsStorage"].as_str().unwrap();
    let rest = connection.split("BlobEndpoint=http://127.0.0.1:").nth(1).unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// The programs of Azurite's package in front of the PATH.
fn path_with_azurite() -> String {
    format!("{}:{}", azurite::programs().display(), std::env::var("PATH").unwrap())
}

#[test]
fn storage_is_there_for_the_journal_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("chat.toml");
    let mut command =
        program(&["simulate", "--listen", "127.0.0.1:0", "--storage", "0", "--regenerate-takes", "100ms"]);
    command.arg("--config-out").arg(&config).env("PATH", path_with_azurite());
    let azure = Simulate::start(&mut command);
    assert!(!azure.pasted.contains("REKEY_STATE"), "{}", azure.pasted);
    // `func start` is led to the same Azure and the same storage.
    let local = std::fs::read(root().join("local.settings.json")).unwrap();
    let local: Value = serde_json::from_slice(&local).unwrap();
    assert!(members(&azure.ready["environment"]).is_subset(&members(&local["Values"])), "{local}");
    assert!(local["Values"]["REKEY_STATE"].is_null(), "the journal is in that storage");
    assert_eq!(local["Values"]["AzureWebJobsStorage"], "UseDevelopmentStorage=true");
    let (_, told) = azure.sh("REKEY_GRACE=1s \"$PROGRAM\" rotate --now; \"$PROGRAM\" history");
    assert!(told.contains("first check"), "another process reads the journal: {told}");
    let port = blob_port(&azure);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    azure.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "Azurite has ended too");
}

fn refused(path: &Path, storage: &str) -> String {
    let mut command = program(&["simulate", "--listen", "127.0.0.1:0", "--storage", storage]);
    let output = command.env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    text(&output.stderr)
}

#[test]
fn where_there_can_be_no_storage_it_is_said_what_to_do() {
    let nowhere = tempfile::tempdir().unwrap();
    let said = refused(nowhere.path(), "0");
    assert!(said.contains("is not installed: install it with `npm install --global azurite`"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(nowhere.path(), &port);
    assert!(
        said.contains(&format!("port {port} of 127.0.0.1 is taken")) && said.contains("--storage 0"),
        "{said}"
    );
    // A program of that name that does not run.
    let broken = nowhere.path().join("azurite");
    std::fs::write(&broken, "#!/bin/sh\necho 'no such option' >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = refused(nowhere.path(), "0");
    assert!(said.contains("Azurite ended") && said.contains("no such option"), "{said}");
}
