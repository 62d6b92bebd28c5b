//! The real program as processes: `simulate`, and the handler as the Functions host runs it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::azurite;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_signalr-rekey");

/// A text without its times and how far off they are, which are others each day.
pub fn timeless(text: &str) -> String {
    let is_time = |text: &str| chrono::DateTime::parse_from_rfc3339(text).is_ok();
    let (mut told, mut rest) = (String::new(), text);
    while let Some(at) =
        (0..rest.len()).find(|at| rest.get(*at..at + "2026-09-24T13:00:00Z".len()).is_some_and(is_time))
    {
        told.push_str(&rest[..at]);
        told.push_str("TIME");
        rest = &rest[at + "2026-09-24T13:00:00Z".len()..];
        if rest.starts_with(" (") {
            rest = &rest[rest.find(')').unwrap() + 1..];
        }
    }
    told + rest
}

/// A simulated Azure in a process of its own, and what it told when it was ready.
pub struct Azure {
    child: Child,
    base: String,
    /// The address of its page, if it has one.
    pub web: Option<String>,
    pub environment: BTreeMap<String, String>,
    pub folder: TempDir,
    http: Client,
}

impl Azure {
    pub fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("rekey.toml");
        let mut command = program(&["simulate", "--listen", "127.0.0.1:0"]);
        if !flags.contains(&"--tick") {
            command.args(["--tick", "20ms"]);
        }
        let mut child =
            command.arg("--config-out").arg(&config).args(flags).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let mut environment: BTreeMap<String, String> =
            serde_json::from_value(ready["environment"].clone()).unwrap();
        environment.insert("REKEY_CONFIG".into(), config.to_str().unwrap().into());
        environment.insert("REKEY_GRACE".into(), "3s".into());
        let http = Client::builder().no_proxy().build().unwrap();
        let text = |name: &str| ready[name].as_str().map(str::to_owned);
        Self { child, base: text("base").unwrap(), web: text("web"), environment, folder, http }
    }

    /// An Azure with these instances, each with two apps, and journals in Azurite.
    pub fn with_journals(instances: &[&str], flags: &[&str]) -> Self {
        let apps = |instance: &str| ["web", "fn"].map(|kind| format!("{kind}-{instance}"));
        let signalr =
            instances.iter().map(|name| json!({"group": "rg-demo", "name": name, "apps": apps(name)}));
        let sites =
            instances.iter().flat_map(|name| apps(name)).map(|app| json!({"group": "rg-demo", "name": app}));
        let world = json!({
            "subscription": "00000000-0000-0000-0000-000000000001",
            "signalr": signalr.collect::<Vec<_>>(),
            "sites": sites.collect::<Vec<_>>(),
        });
        Self::of_world(&world, flags)
    }

    /// An Azure with a world of one's own, and journals in Azurite.
    pub fn of_world(world: &Value, flags: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), world.to_string()).unwrap();
        let mut azure = Self::start(&[&["--world", file.path().to_str().unwrap()], flags].concat());
        azure.environment.remove("REKEY_STATE");
        azure.environment.insert("AzureWebJobsStorage".into(), azurite::connection_string());
        azure
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.envs(&self.environment);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub async fn report(&self) -> Value {
        self.get("report").await
    }

    /// What the embedded Azure tells of itself.
    pub async fn get(&self, what: &str) -> Value {
        let response = self.http.get(format!("{}/sim/{what}", self.base)).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// Where it listens.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn force(&self, instance: &str, keys: &str) {
        self.ask("regenerate", json!({"instance": instance, "keyType": keys})).await;
    }

    /// Asks the embedded Azure for something that Azure does not offer.
    pub async fn ask(&self, what: &str, body: Value) {
        let url = format!("{}/sim/{what}", self.base);
        let response = self.http.post(url).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The handler in a process of its own, with everything that it printed.
pub struct Handler {
    pub child: Child,
    url: String,
    printed: Vec<Printed>,
    http: Client,
}

impl Handler {
    pub async fn start(azure: &Azure, arguments: &[&str]) -> Self {
        Self::start_at(free_port(), azure, arguments).await
    }

    /// Starts it where somebody else already calls.
    pub async fn start_at(port: u16, azure: &Azure, arguments: &[&str]) -> Self {
        Self::spawn(azure.command(arguments), port, azure).await
    }

    /// Starts a command of one's own, as the host does: the first request when it answers.
    pub async fn spawn(command: Command, port: u16, azure: &Azure) -> Self {
        Self::spawn_beside(command, port, azure.http.clone()).await
    }

    /// The same where Azure is in this process.
    pub async fn spawn_beside(mut command: Command, port: u16, http: Client) -> Self {
        command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = vec![drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap())];
        let handler = Self { child, url: format!("http://127.0.0.1:{port}"), printed, http };
        for _ in 0..400 {
            if handler.http.get(&handler.url).send().await.is_ok() {
                return handler;
            }
            // The host asks every 25 ms until the first answer; there is no event to wait for.
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the handler does not answer");
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Calls a function with an envelope; the answer as it comes.
    pub async fn post(&self, function: &str, data: Value) -> Response {
        let id = uuid::Uuid::new_v4().to_string();
        let envelope = json!({"Data": data, "Metadata": {"sys": {"MethodName": function, "UtcNow": "2026-09-24T13:00:00Z"}}});
        let request =
            self.http.post(format!("{}/{function}", self.url)).header("X-Azure-Functions-InvocationId", id);
        request.json(&envelope).send().await.unwrap()
    }

    pub async fn call(&self, function: &str, data: Value) -> (u16, Value) {
        let response = self.post(function, data).await;
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("application/json"), "{kind}");
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn tick(&self) -> (u16, Value) {
        self.call("RotateKeys", json!({"timer": timer()})).await
    }

    /// Tells it that a key of an instance was regenerated. Each is an event of its own.
    pub async fn notice(&self, instance: &str) -> (u16, Value) {
        self.call("OnKeyNotice", json!({"event": key_event(instance)})).await
    }

    /// A figure of the process's memory as it is now, in MiB.
    pub fn memory(&self, figure: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<f64>().unwrap() / 1024.0
    }

    /// Kills it as the host does (SIGKILL); all that it printed.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.printed.drain(..).map(Printed::whole).collect()
    }

    /// Waits until so many such lines are printed: the log is written by a thread of its own, which an answer does not wait for,
    /// and who kills the process may be quicker.
    pub async fn prints(&self, lines: usize, is_meant: impl Fn(&str) -> bool) {
        let printed = || self.printed.iter().map(|stream| stream.lines(&is_meant)).sum::<usize>();
        for _ in 0..600 {
            if printed() >= lines {
                return;
            }
            // There is no event to wait for.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{lines} such lines are not printed, but {}", printed());
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a stream has brought so far, read by a thread of its own.
struct Printed {
    so_far: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Printed {
    fn lines(&self, is_meant: impl Fn(&str) -> bool) -> usize {
        String::from_utf8_lossy(&self.so_far.lock().unwrap()).lines().filter(|line| is_meant(line)).count()
    }

    /// All of it, once its writer is gone.
    fn whole(self) -> String {
        self.reading.join().unwrap();
        text(&self.so_far.lock().unwrap())
    }
}

fn drain(mut from: impl Read + Send + 'static) -> Printed {
    let so_far = Arc::new(Mutex::new(Vec::new()));
    let (into, mut chunk) = (Arc::clone(&so_far), [0; 4096]);
    let reading = std::thread::spawn(move || {
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            into.lock().unwrap().extend_from_slice(&chunk[..read]);
        }
    });
    Printed { so_far, reading }
}

/// An address of this machine that answers nobody: as long as it is kept no other program can listen there.
pub struct Nobody(tokio::net::TcpSocket);

impl Nobody {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

/// A port that was free a moment ago, as the host picks it too.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the host hands a timer trigger that runs as usual.
pub fn timer() -> Value {
    json!({"Schedule": {"AdjustForDST": true}, "ScheduleStatus": null, "IsPastDue": false})
}

/// An event that says that a key of an instance was regenerated.
pub fn key_event(instance: &str) -> Value {
    let instance = format!(
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/RG-DEMO/providers\
         /Microsoft.SignalRService/SignalR/{instance}"
    );
    json!({
        "id": uuid::Uuid::new_v4().to_string(), "subject": instance,
        "eventType": "Microsoft.Resources.ResourceActionSuccess",
        "topic": "/subscriptions/00000000-0000-0000-0000-000000000001", "eventTime": "2026-09-24T13:00:00Z",
        "data": {"operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action", "resourceUri": instance},
        "dataVersion": "2", "metadataVersion": "1",
    })
}

/// The program, with nothing of this environment that could lead it to a real Azure.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"));
    command.args(arguments);
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
