//! Every error of the program is told with its cause, and nothing is told past `cause`.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use embedded_azure::{StartError, StorageError, TlsError};
use rekey_core::model::{AppId, ServiceId, ServiceType};
use signalr_rekey::agent::{AgentError, Unkept};
use signalr_rekey::azure::arm::{Arm, ArmError, ArmOptions};
use signalr_rekey::azure::credentials::CredentialError;
use signalr_rekey::azure::http::Http;
use signalr_rekey::azure::services::KeyService;
use signalr_rekey::cli::simulate::SimulateError;
use signalr_rekey::clock::SystemClock;
use signalr_rekey::compose::ComposeError;
use signalr_rekey::config::{Environment, StateConfig, load_from};
use signalr_rekey::engine::RunError;
use signalr_rekey::engine::act::RewriteError;
use signalr_rekey::init::ScopeError;
use signalr_rekey::report::cause::told;
use signalr_rekey::report::telemetry::LogError;
use signalr_rekey::store::{BlobStore, LockError, Store, StoreError};

/// What stands at the root of the chains below.
const ROOT: &str = "the root of it all";

fn root() -> io::Error {
    io::Error::other(ROOT)
}

fn azure() -> azure_core::Error {
    azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, ROOT)
}

#[derive(Debug)]
struct Nobody;

#[async_trait::async_trait]
impl azure_core::credentials::TokenCredential for Nobody {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<azure_core::credentials::TokenRequestOptions<'_>>,
    ) -> azure_core::Result<azure_core::credentials::AccessToken> {
        Err(azure())
    }
}

/// An error of a request, as only a request makes one: nobody gives out a token.
async fn refused() -> ArmError {
    let options = ArmOptions {
        base: "http://127.0.0.1:9".parse().unwrap(),
        credential: std::sync::Arc::new(Nobody),
        clock: std::sync::Arc::new(SystemClock),
        http: Http::new(),
        jitter_seed: 1,
    };
    let chat = ServiceId::new("s", "g", "chat");
    ServiceType::SignalR.list_keys(&Arm::new(options).unwrap(), &chat).await.unwrap_err()
}

/// One of each error that can have a source, and where it can have several, of each way.
async fn with_source() -> Vec<(&'static str, Box<dyn Error>)> {
    let app = AppId::new("s", "g", "shop", None).into();
    let listen = "127.0.0.1:1".parse().unwrap();
    vec![
        ("ArmError", Box::new(refused().await)),
        ("RunError", Box::new(RunError::Arm(refused().await))),
        ("RewriteError", Box::new(RewriteError::Arm { consumer: app, error: refused().await })),
        (
            "LockError",
            Box::new(LockError::Store(StoreError::Unavailable(format!("no answer; caused by: {ROOT}")))),
        ),
        ("ScopeError", Box::new(ScopeError::Arm(refused().await))),
        ("CredentialError", Box::new(CredentialError::Unusable("the client secret", azure()))),
        ("ComposeError", Box::new(ComposeError::Credential(CredentialError::Unusable("x", azure())))),
        ("AgentError", Box::new(AgentError::Credential(CredentialError::Unusable("x", azure())))),
        ("Unkept", Box::new(Unkept::Unusable("agent.json".into(), root()))),
        ("StartError", Box::new(StartError::Listen { address: listen, source: root() })),
        ("StartError", Box::new(StartError::Tls(TlsError::Write { path: "ca.pem".into(), source: root() }))),
        ("TlsError", Box::new(TlsError::Write { path: "ca.pem".into(), source: root() })),
        ("StorageError", Box::new(StorageError::System(root()))),
        ("SimulateError", Box::new(SimulateError::Storage(StorageError::System(root())))),
        (
            "SimulateError",
            Box::new(SimulateError::Start(StartError::Listen { address: listen, source: root() })),
        ),
        ("SimulateError", Box::new(SimulateError::File { action: "read", path: "w".into(), source: root() })),
        ("SimulateError", Box::new(SimulateError::Terminal(root()))),
        (
            "SimulateError",
            Box::new(SimulateError::World { path: "w".into(), source: serde_json::Error::io(root()) }),
        ),
        ("LogError", Box::new(LogError::Thread(root()))),
    ]
}

/// Errors that end a chain: each says all that is known. A new one belongs here or above.
const WITHOUT_SOURCE: [&str; 19] = [
    "EditError", // of the embedded Azure's control
    "Faults",    // every fault with its place
    "HalfSet",   // of credentials
    "IdError",
    "Insecure",
    "LockError",     // a source is the storage's error, which has none
    "Malformed",     // of a connection string, of a notice
    "NotAName",      // of a machine, in the configuration
    "NoSuchService", // of the embedded Azure's control and world file
    "Panicked",
    "Refusal",    // of the embedded Azure
    "Said",       // of the storage, in its own words
    "StoreError", // says what the storage said; its one source is transparent
    "TooLarge",
    "Unknown",     // of the embedded Azure's control
    "StrangeName", // of the command line
    "Unread",      // of a request, whose sender is told
    "WorkerError", // transparent
    "WorldError",
];

/// Errors with a source that only a broken machine or connection makes: their source is of the same library, whose chain is
/// tested with `cause` and with real connections (`tests/arm_client.rs`).
const OF_CONNECTIONS: [&str; 2] = ["HostError", "HttpError"];

fn files(at: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    folders.iter().flat_map(|folder| self::files(folder)).chain(rust).collect()
}

/// The code of every source file of the product without comments and tests, by its name below its `src`.
fn sources() -> Vec<(String, String)> {
    ["src", "crates/core/src"].into_iter().flat_map(sources_of).collect()
}

fn sources_of(folder: &str) -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let code = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let name = |path: &PathBuf| path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
    files(&source).iter().map(|path| (name(path), code(path))).collect()
}

/// The names of all error types.
fn error_types() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let name = |text: &str| {
        let end = text.find(|sign: char| !sign.is_alphanumeric()).unwrap_or(text.len());
        text[..end].to_owned()
    };
    for (_, code) in sources().into_iter().chain(sources_of("crates/embedded-azure/src")) {
        for (_, after) in
            code.match_indices("thiserror::Error").map(|(at, word)| code.split_at(at + word.len()))
        {
            let declared =
                ["struct ", "enum "].iter().filter_map(|word| Some((after.find(word)?, *word))).min();
            let (at, word) = declared.unwrap();
            found.insert(name(&after[at + word.len()..]));
        }
        found.extend(code.split("Error for ").skip(1).map(name));
    }
    found
}

#[tokio::test]
async fn every_error_is_told_with_the_root_of_its_chain() {
    let with_source = with_source().await;
    for (name, error) in &with_source {
        let told = told(error.as_ref());
        assert!(told.ends_with(ROOT) && told.contains("; caused by: "), "{name}: {told}");
        assert_eq!(told.matches(ROOT).count(), 1, "{name}: {told}");
    }
    let mut listed: BTreeSet<String> = with_source.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.extend(WITHOUT_SOURCE.into_iter().chain(OF_CONNECTIONS).map(str::to_owned));
    assert_eq!(error_types(), listed, "an error type that is not listed above, or one that is no more");
}

#[tokio::test]
async fn why_there_is_no_token_for_the_storage_is_told() {
    let file = "[[instance]]\nid = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\n\
                apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop\"]\n";
    let settings: Environment = [("AzureWebJobsStorage__accountName", "chatstate")].into_iter().collect();
    let StateConfig::Blob(blob) = load_from(file, "rekey.toml", &settings).unwrap().state else {
        panic!("the storage is not used")
    };
    let clock = std::sync::Arc::new(SystemClock);
    let store = BlobStore::new(&blob, std::sync::Arc::new(Nobody), Http::new(), clock).unwrap();
    let told = told(&store.get("s/g/chat.json").await.unwrap_err());
    let says = "could not get an access token for chatstate: check the identity: a managed identity in Azure, `az login` on a developer's machine; ";
    assert!(told.contains(says) && told.ends_with(&format!("; caused by: {ROOT}")), "{told}");
}

/// Where an error is shown by its `Display` alone, and its cause is lost: none but what has no cause, or is tested to tell
/// it otherwise.
#[test]
fn nothing_is_told_past_the_cause() {
    const ALLOWED: [(&str, &str); 1] = [
        // The words of the developer's tools are the whole of it, kept to be told again.
        ("azure/credentials/keeping.rs", "Got::Nothing"),
    ];
    let mut needed = BTreeSet::new();
    for (name, code) in sources() {
        if ["demo", "report/cause.rs", "store/blob"].iter().any(|part| name.starts_with(part)) {
            continue;
        }
        for line in code.lines() {
            let shows = ["error.to_string()", "{error}", "%error", "?error"];
            if shows.iter().any(|words| line.contains(words)) {
                let allowed = ALLOWED.iter().find(|(file, words)| *file == name && line.contains(words));
                assert!(allowed.is_some(), "{name} shows an error without its cause: {line}");
                needed.extend(allowed);
            }
        }
    }
    assert_eq!(needed, ALLOWED.iter().collect(), "what is allowed and needed no more");
}
