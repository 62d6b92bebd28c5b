//! Azurite, Microsoft's storage emulator, beside the embedded Azure: the Functions host keeps its timer's lease and its keys
//! in it. It is not ours: it is taken from the PATH.
//!
//! Caveat: if this process is killed by a signal that cannot be caught, Azurite stays, and with it its port.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The published account of every Azurite (docs: Use the Azurite emulator, Well-known storage account and key); no secret.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// How long Azurite may take until it listens: it is a program of Node.js, and reads some hundred files first.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Azurite. It ends when this is dropped.
#[derive(Debug)]
pub struct Azurite {
    child: Child,
    ports: [u16; 3],
    /// What it holds, and what it says; both go when it ends.
    folder: TempDir,
}

/// Why there is no storage, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It is not on the PATH.
    #[error(
        "Azurite, Microsoft's storage emulator, is not installed: install it with `npm install --global azurite` (it \
         needs Node.js), or leave --storage out"
    )]
    NotInstalled,
    /// Somebody listens on one of its ports.
    #[error(
        "port {0} of 127.0.0.1 is taken, perhaps by an Azurite that runs already: stop that, or give another port, or \
         0 for any that are free, as in --storage 0"
    )]
    Taken(u16),
    /// It ended.
    #[error("Azurite ended ({status}): {said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// It runs and does not listen.
    #[error("Azurite was started and does not listen on port {0} after a minute")]
    Silent(u16),
    /// It cannot be started, or waited for.
    #[error("Azurite cannot be started")]
    System(#[source] io::Error),
}

impl Azurite {
    /// Where it serves blobs unless it is told otherwise, and where `UseDevelopmentStorage=true` looks for them; queues and
    /// tables are at the next two (docs: Use the Azurite emulator).
    pub const BLOBS: u16 = 10_000;

    /// Starts it with its blobs at this port, and its queues and tables at the next two; 0 takes any that are free.
    pub async fn start(port: u16) -> Result<Self, StorageError> {
        let ports = if port == 0 { free()? } else { [port, port.saturating_add(1), port.saturating_add(2)] };
        if let Some(taken) = ports.into_iter().find(|port| listen(*port).is_err()) {
            return Err(StorageError::Taken(taken));
        }
        let folder = tempfile::tempdir().map_err(StorageError::System)?;
        let child = spawn(ports, &folder)?;
        let mut azurite = Self { child, ports, folder };
        let listens = timeout(PATIENCE, azurite.listens()).await;
        listens.unwrap_or(Err(StorageError::Silent(ports[0])))?;
        Ok(azurite)
    }

    /// What the setting `AzureWebJobsStorage` is to say.
    pub fn connection(&self) -> String {
        if self.ports[0] == Self::BLOBS {
            return "UseDevelopmentStorage=true".into();
        }
        let [blobs, queues, tables] = self.ports.map(|port| format!("http://127.0.0.1:{port}/{ACCOUNT}"));
        format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={blobs};\
             QueueEndpoint={queues};TableEndpoint={tables};"
        )
    }

    /// Ends it, and is there when it has ended.
    pub async fn end(mut self) {
        // It may have ended already: a terminal's ctrl-c goes to it as well.
        drop(self.child.kill().await);
    }

    /// Why it ended, when it does.
    pub async fn ended(&mut self) -> StorageError {
        match self.child.wait().await {
            Ok(status) => StorageError::Ended { status, said: self.said() },
            Err(error) => StorageError::System(error),
        }
    }

    async fn listens(&mut self) -> Result<(), StorageError> {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[0])).await.is_err() {
            if self.child.try_wait().map_err(StorageError::System)?.is_some() {
                return Err(self.ended().await);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The last of what it said.
    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }
}

/// The file that holds what Azurite says.
const LOG: &str = "said.txt";

fn spawn(ports: [u16; 3], folder: &TempDir) -> Result<Child, StorageError> {
    let log = std::fs::File::create(folder.path().join(LOG)).map_err(StorageError::System)?;
    let more = log.try_clone().map_err(StorageError::System)?;
    let mut command = Command::new("azurite");
    // The host's libraries are newer than the versions of the interface that Azurite knows.
    command
        .args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location"])
        .arg(folder.path());
    for (service, port) in ["--blobPort", "--queuePort", "--tablePort"].into_iter().zip(ports) {
        command.args([service, &port.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(log).stderr(more).kill_on_drop(true);
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StorageError::NotInstalled,
        _ => StorageError::System(error),
    })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Three ports that were free at once.
fn free() -> Result<[u16; 3], StorageError> {
    let found = || -> io::Result<[u16; 3]> {
        let held = [listen(0)?, listen(0)?, listen(0)?];
        let [blobs, queues, tables] = held.each_ref().map(TcpListener::local_addr);
        Ok([blobs?.port(), queues?.port(), tables?.port()])
    };
    found().map_err(StorageError::System)
}
