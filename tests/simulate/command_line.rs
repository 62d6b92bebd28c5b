//! What needs a process of its own: the ready line of `simulate`, and the environment of Microsoft's credential.
//!
//! The child is this test binary again, asked for a test that does nothing without the variable
//! it is handed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::ManagedIdentityCredential;
use clap::Parser;
use embedded_azure::{EmbeddedAzure, Options, SystemClock, World};
use reqwest::Client;
use serde_json::Value;
use signalr_rekey::cli::simulate;
use signalr_rekey::demo::setup;

const SCOPE: &str = "CHILD_SCOPE";
const CONFIG: &str = "CHILD_CONFIG";
const FLAGS: &str = "CHILD_FLAGS";

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    simulate: simulate::SimulateArgs,
}

/// A child that does not outlive its test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("command_line::{test}"), "--nocapture"]);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

#[test]
fn simulate_prints_one_line_when_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rekey.toml");
    let (_child, ready) = simulating(&config, "");
    let base = ready["base"].as_str().unwrap();
    assert_eq!(ready["environment"]["REKEY_RESOURCE_MANAGER"], base);
    assert_eq!(ready["environment"]["IDENTITY_ENDPOINT"], format!("{base}/msi/token"));
    assert!(ready["environment"]["IDENTITY_HEADER"].is_string());
    let config: toml::Table = toml::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    let app = config["instance"][0]["apps"][1].as_str().unwrap();
    assert!(app.ends_with("/sites/chat-web/slots/staging"), "{app}");
}

#[test]
fn child_simulates() {
    let Ok(config) = std::env::var(CONFIG) else { return };
    let more = std::env::var(FLAGS).unwrap();
    let flags = ["simulate", "--listen", "127.0.0.1:0", "--latency", "5ms", "--config-out", &config];
    let flags = flags.into_iter().chain(more.split_whitespace());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(simulate::simulate(CommandLine::parse_from(flags).simulate)).unwrap();
}

/// A running child, and what it told when it was ready.
fn simulating(config: &Path, flags: &str) -> (Guard, Value) {
    let mut child = Guard(child("child_simulates").env(CONFIG, config).env(FLAGS, flags).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    // The test harness of the child prints lines of its own, and may begin the one we wait for.
    let line = lines.map(Result::unwrap).find(|line| line.contains("{\"base\"")).unwrap();
    (child, serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap())
}

#[tokio::test]
async fn it_is_served_over_tls_too_where_a_folder_is_named_for_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rekey.toml");
    let (_child, ready) = simulating(&config, "");
    assert!(ready["tls"].is_null());
    let flags = format!("--tls {} --refresh-takes 2s --refresh-restarts", folder.path().display());
    let (_child, ready) = simulating(&config, &flags);
    let authority = std::fs::read(folder.path().join("ca.pem")).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    let http = Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    let world = |base: &Value| http.get(format!("{}/sim/world", base.as_str().unwrap())).send();
    let [plain, secure] = [world(&ready["base"]).await.unwrap(), world(&ready["tls"]).await.unwrap()];
    assert!(secure.url().as_str().starts_with("https://127.0.0.1:"), "{}", secure.url());
    assert_eq!(plain.json::<Value>().await.unwrap(), secure.json::<Value>().await.unwrap());
}

#[tokio::test]
async fn it_throttles_as_arm_does_where_it_is_told_to() {
    const LEFT: &str = "x-ms-ratelimit-remaining-subscription-writes";
    for (flags, left) in [("", "799"), ("--arm-buckets", "199")] {
        let folder = tempfile::tempdir().unwrap();
        let (_child, ready) = simulating(&folder.path().join("rekey.toml"), flags);
        let base = ready["base"].as_str().unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        let token = format!("{base}/msi/token?api-version=2019-08-01&resource=https://management.azure.com");
        let token = http.get(token).header("X-IDENTITY-HEADER", "local-development").send().await.unwrap();
        let token = token.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        let service = World::default().services().remove(0);
        let list = || {
            let url = format!("{base}{service}/listKeys?api-version=2024-03-01");
            http.post(url).bearer_auth(&token).json(&serde_json::json!({})).send()
        };
        let first = list().await.unwrap();
        assert_eq!((first.status().as_u16(), &first.headers()[LEFT]), (200, &left.parse().unwrap()));
        // More than the bucket has and what flows in meanwhile.
        let answers = futures::future::join_all((0..400).map(|_| list())).await;
        let (served, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().map(Result::unwrap).partition(|answer| answer.status() == 200);
        assert!(served.len() >= 199, "{}", served.len());
        assert_eq!(refused.is_empty(), flags.is_empty());
        let told =
            |answer: &reqwest::Response| answer.status() == 429 && answer.headers()["retry-after"] == "1";
        assert!(refused.iter().all(told));
    }
}

#[test]
fn a_public_base_is_scheme_and_host_alone() {
    let parse = |base: &str| CommandLine::try_parse_from(["simulate", "--public-base", base]);
    for good in ["https://azure.example:8443", "https://azure.example/", "http://127.0.0.1:7400"] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in [
        "azure.example",
        "ftp://azure.example",
        "https://azure.example/arm",
        "https://me@azure.example",
        "https://a/?b",
    ] {
        let error = parse(bad).err().unwrap().to_string();
        assert!(error.contains("write scheme and host alone"), "{bad}: {error}");
    }
}

#[test]
fn the_flags_about_events_need_a_webhook_and_it_a_whole_url() {
    let parse = |flags: &[&str]| CommandLine::try_parse_from([&["simulate"], flags].concat());
    let events = parse(&[
        "--event-grid=http://localhost:7071/runtime/webhooks/EventGrid?functionName=OnKeyNotice",
        "--event-schema=cloud-events",
        "--event-filter=A",
        "--event-filter=B",
    ]);
    assert_eq!(events.unwrap().simulate.events.event_filter, ["A", "B"]);
    for (flags, word) in [
        (["--event-batch", "3"], "--event-grid <URL>"),
        (["--event-disorder", "10s"], "--event-grid <URL>"),
        (["--event-grid", "localhost:7071"], "write a whole URL"),
    ] {
        let error = parse(&flags).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_credential_gets_a_token_that_arm_takes() {
    let options = Options::default();
    let azure =
        EmbeddedAzure::start(World::default(), options, Arc::new(SystemClock), ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
    let http = Client::builder().no_proxy().build().unwrap();
    for scope in ["https://management.azure.com/.default".to_owned(), format!("{}/.default", azure.base())] {
        let mut command = child("child_asks_for_a_token");
        command.envs(setup::environment(&azure)).env(SCOPE, scope);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let token = text.split_once("token=").unwrap().1.lines().next().unwrap();
        let url = format!("{}/subscriptions?api-version=2022-12-01", azure.base());
        assert_eq!(http.get(url).bearer_auth(token).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn child_asks_for_a_token() {
    let Ok(scope) = std::env::var(SCOPE) else { return };
    let credential = ManagedIdentityCredential::new(None).unwrap();
    let token = credential.get_token(&[&scope], None).await.unwrap();
    println!("token={}", token.token.secret());
}
