//! A machine: a folder with the files of an app, an agent, and an embedded Azure with the secret that it reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use embedded_azure::{EmbeddedAzure, KeyType, Options, Secret, SignalR, SystemClock, Vault, World};
use rekey_core::model::{ConnectionString, Key};
use signalr_rekey::demo::setup;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::common::KEY_MARK;
use super::common::program::PROGRAM;
use super::common::proxy::{Proxy, Straight};
use super::receiver::{CODE, Receiver};

pub(crate) const HOST: &str = "sr-demo.service.signalr.net";

/// The service, as a run of the product knows it.
pub(crate) const SERVICE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo";

pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) sim: Arc<EmbeddedAzure>,
    pub(crate) proxy: Proxy,
    pub(crate) receiver: Receiver,
    /// What stands at the end of `agent.toml`.
    pub(crate) more: String,
    pub(crate) files: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Machine {
    /// One whose secret holds the primary key; the secondary one is valid as well.
    pub(crate) async fn start() -> Self {
        let secret = |value: &str| Secret::new(value);
        let world = World {
            signalr: vec![SignalR { group: "rg-demo".into(), name: "sr-demo".into(), ..SignalR::default() }],
            sites: vec![],
            vaults: vec![Vault {
                group: "rg-demo".into(),
                name: "kv-demo".into(),
                secrets: BTreeMap::from([
                    ("signalr".to_owned(), secret("{primary:sr-demo}")),
                    ("other".to_owned(), secret("{secondary:sr-demo}")),
                ]),
            }],
            ..World::default()
        };
        let options = Options { key_prefix: KEY_MARK.to_owned(), live: false, ..Options::default() };
        let sim =
            EmbeddedAzure::start(world, options, Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).await;
        let sim = Arc::new(sim.unwrap());
        let proxy = Proxy::start(sim.base(), Straight).await;
        let environment = setup::environment(&sim).into_iter();
        let mut environment: BTreeMap<String, String> =
            environment.map(|(name, value)| (name.to_owned(), value)).collect();
        environment.insert("REKEY_RESOURCE_MANAGER".into(), proxy.base.as_str().trim_end_matches('/').into());
        environment.insert("REKEY_REPORT_CODE".into(), CODE.into());
        let receiver = Receiver::start().await;
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("app")).unwrap();
        let more = String::new();
        Self { folder, sim, proxy, receiver, more, files: vec![], environment }
    }

    /// The key that the secret holds.
    pub(crate) fn wanted(&self) -> Key {
        self.key_in("signalr")
    }

    /// Another key that the service has.
    pub(crate) fn other(&self) -> Key {
        self.key_in("other")
    }

    fn key_in(&self, secret: &str) -> Key {
        let text = self.sim.with(|state| state.secret("kv-demo", secret)).unwrap();
        ConnectionString::parse(&text).unwrap().key().unwrap()
    }

    /// Replaces keys by force, and has the secret hold the new primary one, as a run would have left it.
    pub(crate) fn force(&self, key_types: &[KeyType]) {
        self.sim.regenerate("sr-demo", key_types).unwrap();
        let state = |secret: &str, text: &str| {
            let text = text.to_owned();
            self.sim.with(|state| state.set_secret("kv-demo", secret, &text)).unwrap();
        };
        state("signalr", "{primary:sr-demo}");
        state("other", "{secondary:sr-demo}");
    }

    /// Puts a file into the folder of the app, for the agent to look after.
    pub(crate) fn file(&mut self, name: &str, text: &str) -> PathBuf {
        let path = self.path("app").join(name);
        fs::write(&path, text).unwrap();
        self.files.push(path.clone());
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names in the folder of the app.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("app")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// How often the app was reloaded: its command adds a line each time.
    pub(crate) fn reloads(&self) -> usize {
        fs::read_to_string(self.path("reloads")).map_or(0, |text| text.lines().count())
    }

    /// The time goes by in which an app is not reloaded again that was reloaded in vain.
    pub(crate) fn rests(&self) {
        let state = self.path("state/agent.json");
        let mut kept: serde_json::Value = serde_json::from_str(&read(&state)).unwrap();
        assert!(kept.as_object_mut().unwrap().remove("inVain").is_some(), "{kept}");
        fs::write(state, kept.to_string()).unwrap();
    }

    /// The reload command, in which more may be done.
    pub(crate) fn reload(&self, more: &str) -> String {
        let script = format!("echo once >> '{}'; {more}", self.path("reloads").display());
        format!("[reload]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n")
    }

    /// Writes `agent.toml` and starts the agent with more arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let config = self.path("agent.toml");
        fs::write(&config, self.toml()).unwrap();
        let mut command = self.bare(PROGRAM);
        command.args(["agent", "--config", config.to_str().unwrap()]).args(arguments);
        command
    }

    /// A program in the environment of the agent.
    pub(crate) fn bare(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"));
        command.envs(&self.environment).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    pub(crate) fn toml(&self) -> String {
        let files: Vec<String> = self.files.iter().map(|file| format!("{file:?}")).collect();
        let (state, base) = (self.path("state/agent.json"), &self.receiver.base);
        let reload = if self.more.contains("[reload]") || self.more.contains("reads_file_within") {
            String::new()
        } else {
            self.reload("")
        };
        format!(
            "secret = \"https://kv-demo.vault.azure.net/secrets/signalr\"\nfiles = [{}]\nstate = {state:?}\n{}{reload}\n\
             [report]\nurl = \"{base}/api/OnReport\"\ninstance = \"{SERVICE}\"\nname = \"web-01\"\n",
            files.join(", "),
            self.more,
        )
    }

    /// One round, as cron has it. Nothing that it says or remembers holds a key or the code.
    pub(crate) async fn once(&self) -> Ran {
        let output = self.command(&["--once"]).output().await.unwrap();
        self.ran(output)
    }

    pub(crate) fn ran(&self, output: Output) -> Ran {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let remembered = fs::read_to_string(self.path("state/agent.json")).unwrap_or_default();
        for text in [&said, &remembered] {
            assert!(!text.contains(KEY_MARK) && !text.contains(CODE) && !text.contains("eyJ"), "{text}");
        }
        Ran { code: output.status.code(), said }
    }

    /// Starts one and lets it go on.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// A connection string of the service with a key.
pub(crate) fn string(key: &Key) -> String {
    format!("Endpoint=https://{HOST};AccessKey={};Version=1.0;", key.expose())
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Kills it as SIGKILL does, and waits until it is gone.
pub(crate) async fn kill(child: &mut Child) {
    child.kill().await.unwrap();
}
