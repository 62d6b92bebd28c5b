//! One process of either side. It is killed when it is dropped, whatever became of the measurement.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bare;
use super::client::{Connection, PING};

/// Longer than any start takes; what is not ready by then is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a starting server is tried. The host tries every 25 ms, which would hide what is measured.
const AGAIN: Duration = Duration::from_micros(50);

#[derive(Clone, Copy)]
pub(crate) enum Side {
    Ours,
    Bare,
}

pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a process and waits for its first answer to a ping; how long that took from just before the start.
    pub(crate) fn start(side: Side) -> io::Result<(Self, Duration)> {
        let port = free_port()?;
        let mut command = command(side, port)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let server = Self { process: command.spawn()?, port };
        server.until_ready(start)?;
        Ok((server, start.elapsed()))
    }

    fn until_ready(&self, start: Instant) -> io::Result<()> {
        loop {
            match Connection::open(self.port) {
                Ok(mut connection) => return connection.ask(PING),
                Err(_) if start.elapsed() < PATIENCE => thread::sleep(AGAIN),
                Err(error) => return Err(error),
            }
        }
    }

    /// A figure of the process's memory as it is now, in MiB; nothing where there is no `/proc`.
    pub(crate) fn memory(&self, figure: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'))?;
        let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The handler as the host starts it, with the sample configuration and a managed identity; nothing is asked of Azure.
fn command(side: Side, port: u16) -> io::Result<Command> {
    let mut command = match side {
        Side::Ours => Command::new(env!("CARGO_BIN_EXE_signalr-rekey")),
        Side::Bare => Command::new(std::env::current_exe()?),
    };
    command.env_clear();
    match side {
        Side::Bare => command.env(bare::PORT, port.to_string()),
        Side::Ours => command
            .arg("handler")
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("FUNCTIONS_APP_ROOT_PATH", env!("CARGO_MANIFEST_DIR"))
            .env("IDENTITY_ENDPOINT", "http://127.0.0.1:9/msi/token")
            .env("IDENTITY_HEADER", "bench"),
    };
    Ok(command)
}

/// A port that was free a moment ago, as the host picks it too.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
