//! The handler as a child process, started as the Functions host starts it.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Trouble;

/// What the operator may have set for real work: none of it reaches the handler, so that it cannot touch a real
/// Azure. What the demo itself gives is set afterwards.
const NOT_INHERITED: [&str; 12] = [
    "AZURE",
    "REKEY_",
    "IDENTITY_",
    "MSI_",
    "IMDS_",
    "FUNCTIONS_",
    "WEBSITE_",
    "ROTATION_",
    "ARM_",
    "SYSTEM_",
    "OTEL_",
    "RUST_LOG",
];

/// How many lines of the handler are shown if something goes wrong.
const LAST_LINES: usize = 12;

/// A running handler. It is killed when this is dropped, as the host kills it.
pub(super) struct Handler {
    child: Child,
    port: u16,
    last: Arc<Mutex<VecDeque<String>>>,
    readers: JoinSet<()>,
}

impl Handler {
    /// Starts this very program as a handler. `root` is the folder with its rekey.toml, and `hear` is told each line of
    /// its stdout.
    pub(super) fn start(
        root: &Path,
        settings: &BTreeMap<&'static str, String>,
        hear: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, Trouble> {
        let error = |error: std::io::Error| Trouble::of("the handler cannot be started", &error);
        let port = free_port().map_err(error)?;
        let mut command = Command::new(std::env::current_exe().map_err(error)?);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_the_operators(name)) {
            command.env_remove(name);
        }
        command.arg("handler").current_dir(root).envs(settings).envs(host_variables(root, port));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(error)?;
        let (last, mut readers) = (Arc::<Mutex<VecDeque<String>>>::default(), JoinSet::new());
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(read(stdout, Arc::clone(&last), hear));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(read(stderr, Arc::clone(&last), |_| {}));
        }
        Ok(Self { child, port, last, readers })
    }

    /// Where it was told to listen.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Waits for its end, which should not come.
    pub(super) async fn ended(&mut self) -> Trouble {
        match self.child.wait().await {
            Ok(status) => Trouble::new(format!("the handler has ended ({})", spoken(status))),
            Err(error) => Trouble::of("the handler cannot be watched", &error),
        }
    }

    /// Ends it, and waits until it is gone.
    pub(super) async fn stop(&mut self) {
        // It fails only if it has ended already.
        let _ = self.child.kill().await;
    }

    /// What it said last. Where it has ended, all that it said is read first.
    pub(super) async fn last_lines(&mut self) -> Vec<String> {
        /// Lines that are on their way arrive within this; a handler that lives on never ends its output.
        const ON_THEIR_WAY: Duration = Duration::from_millis(200);
        let all_read = async { while self.readers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(ON_THEIR_WAY, all_read).await;
        self.last.lock().iter().cloned().collect()
    }
}

/// What the host sets for a custom handler (host source: HttpWorkerProcess).
fn host_variables(root: &Path, port: u16) -> BTreeMap<&'static str, String> {
    let worker = Uuid::new_v4().to_string();
    BTreeMap::from([
        ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
        ("FUNCTIONS_HTTPWORKER_PORT", port.to_string()),
        ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", worker.clone()),
        ("FUNCTIONS_HTTPWORKER_ID", worker),
        ("FUNCTIONS_APP_ROOT_PATH", root.to_string_lossy().into_owned()),
    ])
}

fn is_the_operators(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_uppercase();
    NOT_INHERITED.iter().any(|start| name.starts_with(start))
}

/// A port that is free now; the host chooses it for its handler in the same way.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn read(stream: impl AsyncRead + Unpin, last: Arc<Mutex<VecDeque<String>>>, hear: impl Fn(&str)) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        hear(&line);
        let mut last = last.lock();
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}

fn spoken(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_leads_to_a_real_azure_is_inherited() {
        for name in
            ["AZURE_CLIENT_SECRET", "azure_tenant_id", "AzureWebJobsStorage", "REKEY_CONFIG", "RUST_LOG"]
        {
            assert!(is_the_operators(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "SystemRoot", "TMPDIR"] {
            assert!(!is_the_operators(OsStr::new(name)), "{name}");
        }
    }
}
