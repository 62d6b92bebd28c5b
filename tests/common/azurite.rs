//! Microsoft's storage emulator: installed by npm from the lock file at the first run, started on a free port, and ended
//! with the test process, whose end closes its standard input.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use signalr_rekey::azure::http::Http;
use signalr_rekey::clock::Clock;
use signalr_rekey::config::{Config, Environment, StateConfig, load_from};
use signalr_rekey::store::{BlobStore, Store};

/// The published account of every Azurite (docs: Use the Azurite emulator); no secret.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

struct Azurite {
    port: u16,
    /// Held so that its standard input stays open.
    _child: Child,
}

const ACCOUNT: &str = "devstoreaccount1";

/// Another, in which nobody puts anything.
const EMPTY: &str = "empty";

/// A connection string to the Azurite of this process.
pub fn connection_string() -> String {
    connection_string_of(ACCOUNT)
}

/// One to an account of it that has no container.
pub fn empty_account() -> String {
    connection_string_of(EMPTY)
}

fn connection_string_of(account: &str) -> String {
    static AZURITE: OnceLock<Azurite> = OnceLock::new();
    let port = AZURITE.get_or_init(start).port;
    format!(
        "DefaultEndpointsProtocol=http;AccountName={account};AccountKey={KEY};\
         BlobEndpoint=http://127.0.0.1:{port}/{account};"
    )
}

/// A store by the settings of a function app, as the program itself would make it.
pub fn store(clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    store_by(&[("AzureWebJobsStorage", connection_string())].into_iter().collect(), clock)
}

/// The same by other settings.
pub fn store_by(environment: &Environment, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    let file = "[[instance]]\nid = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/one\"\n\
                apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/app\"]\n";
    let Config { state: StateConfig::Blob(blob), .. } = load_from(file, "rekey.toml", environment).unwrap()
    else {
        panic!("the function app's storage is not used")
    };
    Arc::new(BlobStore::new(&blob, Arc::new(NoToken), Http::new(), clock).unwrap())
}

/// Nobody asks for a token where the account is opened by its key.
#[derive(Debug)]
struct NoToken;

#[async_trait]
impl TokenCredential for NoToken {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        panic!("a token was asked for")
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azurite")
}

/// The folder with Azurite's own programs, installed if need be.
pub fn programs() -> PathBuf {
    install();
    folder().join("node_modules/.bin")
}

/// The port that was free a moment ago may be another's by now: then another is tried.
fn start() -> Azurite {
    install();
    (0..3).find_map(|_| try_start()).expect("Azurite ended before it listened")
}

fn try_start() -> Option<Azurite> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("node");
    command.current_dir(folder()).args(["serve.js", "--blobPort", &port.to_string()]);
    command.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]);
    command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY};{EMPTY}:{KEY}"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| no_node(&error));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listens = lines.by_ref().any(|line| line.unwrap().contains("successfully listens"));
    if !listens {
        child.wait().unwrap();
        return None;
    }
    std::thread::spawn(move || lines.for_each(drop));
    Some(Azurite { port, _child: child })
}

/// Installs what the lock file names, once; test binaries that run side by side wait for each other.
fn install() {
    let lock = File::create(folder().join(".install-lock")).unwrap();
    lock.lock().unwrap();
    if folder().join("node_modules/azurite").exists() {
        return;
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let installed = Command::new("npm").args(arguments).current_dir(folder()).output();
    let output = installed.unwrap_or_else(|error| no_node(&error));
    assert!(output.status.success(), "npm ci failed: {}", String::from_utf8_lossy(&output.stderr));
}

fn no_node(error: &std::io::Error) -> ! {
    panic!(
        "these tests run against Azurite, which needs Node.js 20 or later with npm on PATH: install it ({error})"
    )
}
