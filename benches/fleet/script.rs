//! The script on Microsoft's management SDK.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::Row;

/// What the script took.
pub(crate) struct Script {
    /// From its first request of a service to its last, in seconds.
    pub(crate) seconds: f64,
    /// From the start of the process to its end.
    pub(crate) process: f64,
    /// In MiB.
    pub(crate) peak: f64,
    pub(crate) requests: u64,
}

impl Script {
    /// Nothing where `tests/clients/prepare` has not made its virtual environment.
    pub(crate) fn measure(world: &Value, row: &Row, threads: usize) -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = here.join("target/clients-venv");
        // Written last: without it the installation broke off.
        if !installed.join("installed.txt").exists() {
            return None;
        }
        let azure = row.azure(world);
        let mut command = Command::new(installed.join("bin/python"));
        // As often as we poll first where Azure names no time; the SDK's own default is 30 seconds.
        let arguments = [azure.base(), &threads.to_string(), "1"];
        command.arg(here.join("benches/fleet/sdk.py")).args(arguments).envs(&azure.environment);
        let start = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), world).unwrap();
        let output = child.wait_with_output().unwrap();
        let process = start.elapsed().as_secs_f64();
        assert!(output.status.success(), "the script failed");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let asked = tokio::runtime::Handle::current();
        let report = tokio::task::block_in_place(|| asked.block_on(azure.report()));
        let moved = report["instances"].as_object().unwrap().values();
        assert!(
            moved.into_iter().all(|service| service["regenerations"] == 1),
            "one key of each service is new"
        );
        Some(Self {
            seconds: answer["seconds"].as_f64().unwrap(),
            process,
            peak: answer["peak"].as_f64().unwrap() / 1024.0,
            requests: report["arm_requests_total"].as_u64().unwrap(),
        })
    }
}
