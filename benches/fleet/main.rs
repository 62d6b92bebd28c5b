//! How long it takes to give a fleet new keys, beside a script on Microsoft's management SDK (`sdk.py`) in the same run:
//! the real program as a process, the embedded Azure as another, 50 ms for each request to Azure Resource Manager.
//!
//! *moved* is from the timer's call to the last write of settings; *whole* to the last request, when both keys are new:
//! the grace period of three seconds is in it. The script does one key of the two and looks at nothing afresh.
//! Its row says "not installed" where `tests/clients/prepare` has not made its virtual environment.

#![allow(clippy::print_stdout, reason = "the table is the answer")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a world that cannot be set up fails the run"
)]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use common::program::{Azure, Handler};
use serde_json::{Value, json};

/// How Azure's operations behave.
#[derive(Clone, Copy)]
struct Operations {
    take: &'static str,
    retry_after: Option<&'static str>,
}

const AT_ONCE: Operations = Operations { take: "0s", retry_after: None };
const SLOW: Operations = Operations { take: "2s", retry_after: None };
const SLOW_AND_TOLD: Operations = Operations { take: "2s", retry_after: Some("1") };

/// How old a key may be: a rotation is due as soon as a fleet is known and its standby keys are out of their grace period.
const DUE: Duration = Duration::from_secs(60);

/// How often the timer may have to call until both keys are new.
const MOST_RUNS: usize = 4;

fn main() {
    let all: &[(usize, usize, Operations, f64)] = &[
        (1, 2, AT_ONCE, 3.4),
        (10, 3, AT_ONCE, 1.0),
        (100, 3, AT_ONCE, 2.0),
        (1, 3, SLOW, 1.0),
        (100, 3, SLOW, 5.0),
        (100, 3, SLOW_AND_TOLD, 5.0),
    ];
    // `cargo test --benches`, which gives no `--bench`, proves only that it still runs.
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let rows = if measuring { all } else { &all[..1] };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>9} {:>8} {:>8}",
        "fleet", "moved", "whole", "SDK x1", "SDK x16", "ratio", "goal", "requests", "formula", "memory"
    );
    for (services, apps, operations, goal) in rows {
        runtime.block_on(row(*services, *apps, *operations, *goal));
    }
}

async fn row(services: usize, apps: usize, operations: Operations, goal: f64) {
    let world = world(services, apps);
    let ours = ours(&world, operations, services).await;
    let sdk = [1, 16].map(|threads| sdk(&world, operations, threads));
    let told = |script: &Option<Script>| {
        script.as_ref().map_or("not installed".into(), |script| format!("{:.2} s", script.seconds))
    };
    let ratio = sdk[1].as_ref().map(|script| script.seconds / ours.moved);
    let formula = services as u64 * (5 + 5 * apps as u64) + ours.polls;
    let told_ratio = ratio.map_or("-".into(), |ratio| format!("{ratio:.2}x"));
    let memory = sdk[1].as_ref().map_or("-".into(), |script| format!("{:.2}x", ours.peak / script.peak));
    let when = operations.retry_after.map_or(String::new(), |seconds| format!(", Retry-After {seconds}"));
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>9} {:>8} {:>8}  {}",
        format!("{services} x {apps}, operations {}{when}", operations.take),
        format!("{:.2} s", ours.moved),
        format!("{:.2} s", ours.whole),
        told(&sdk[0]),
        told(&sdk[1]),
        told_ratio,
        format!(">= {goal}x"),
        ours.requests,
        formula,
        memory,
        match ratio {
            Some(ratio) if ratio >= goal => "reached",
            Some(_) => "MISSED",
            None => "not compared",
        },
    );
    for (operation, count) in ours.by_operation.iter().filter(|(_, count)| **count > 0) {
        println!("    {operation}: {count}");
    }
}

/// What we took.
struct Ours {
    moved: f64,
    whole: f64,
    requests: u64,
    polls: u64,
    by_operation: BTreeMap<String, u64>,
    /// In MiB.
    peak: f64,
}

async fn ours(world: &Value, operations: Operations, services: usize) -> Ours {
    let mut azure = azure(world, operations);
    azure.environment.insert("REKEY_FIRST_ROTATION".into(), "when-due".into());
    azure.environment.insert("REKEY_ROTATE_EVERY".into(), humantime::format_duration(DUE).to_string());
    // The script proves nothing either: four accepted calls in a row, a second apart, would be in our figure alone.
    azure.environment.insert("REKEY_VERIFY".into(), "control-plane".into());
    azure.environment.insert("REKEY_STATE".into(), "memory".into());
    let handler = Handler::start(&azure, &["handler"]).await;
    // Known before, so that nothing of the first sight is in the figures.
    let known = Instant::now();
    assert_eq!(handler.tick().await.0, 200);
    tokio::time::sleep((DUE + Duration::from_secs(1)).saturating_sub(known.elapsed())).await;
    let before = azure.report().await["arm_requests"].clone();
    let start = Utc::now();
    let wanted = 2 * services as u64;
    for _ in 0..MOST_RUNS {
        let (status, answer) = handler.tick().await;
        assert_eq!(status, 200, "{answer}");
        if regenerations(&azure.report().await) == wanted {
            break;
        }
    }
    let report = azure.report().await;
    assert_eq!(regenerations(&report), wanted, "both keys of each service are new: {report}");
    assert_eq!(report["refused_unexplained"], 0);
    let requests = azure.get("requests").await;
    let last = |which: &dyn Fn(&str) -> bool| {
        let of = requests.as_array().unwrap().iter().filter(|one| which(one["operation"].as_str().unwrap()));
        let at: DateTime<Utc> = of.last().unwrap()["at"].as_str().unwrap().parse().unwrap();
        (at - start).as_seconds_f64()
    };
    let by_operation: BTreeMap<String, u64> = report["arm_requests"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, count)| (name.clone(), count.as_u64().unwrap() - before[name].as_u64().unwrap_or(0)))
        .collect();
    let polls = by_operation.iter().filter(|(name, _)| name.starts_with("SignalR_Operation"));
    Ours {
        moved: last(&|operation| operation.starts_with("WebApps_Update")),
        whole: last(&|_| true),
        requests: by_operation.values().sum(),
        polls: polls.map(|(_, count)| count).sum(),
        peak: handler.memory("VmHWM"),
        by_operation,
    }
}

fn regenerations(report: &Value) -> u64 {
    let services = report["instances"].as_object().unwrap().values();
    services.map(|service| service["regenerations"].as_u64().unwrap()).sum()
}

/// What the script took.
struct Script {
    seconds: f64,
    /// In MiB.
    peak: f64,
}

fn sdk(world: &Value, operations: Operations, threads: usize) -> Option<Script> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients-venv");
    // Written last: without it the installation broke off.
    if !installed.join("installed.txt").exists() {
        return None;
    }
    let python = installed.join("bin/python");
    let azure = azure(world, operations);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fleet/sdk.py");
    let mut command = Command::new(python);
    // As often as we poll where Azure names no time; the SDK's own default is 30 seconds.
    command.arg(script).args([azure.base(), &threads.to_string(), "1"]).envs(&azure.environment);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), world).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let peak = answer["peak"].as_f64().unwrap() / 1024.0;
    Some(Script { seconds: answer["seconds"].as_f64().unwrap(), peak })
}

fn azure(world: &Value, operations: Operations) -> Azure {
    let mut flags = vec!["--latency", "50ms", "--regenerate-takes", operations.take];
    flags.extend(operations.retry_after.iter().flat_map(|seconds| ["--retry-after", *seconds]));
    Azure::of_world(world, &flags)
}

fn world(services: usize, apps: usize) -> Value {
    let service = |at: usize| format!("sr-{at:03}");
    let app = move |at: usize, app: usize| format!("app-{at:03}-{app}");
    json!({
        "subscription": "00000000-0000-0000-0000-000000000001",
        "signalr": (0..services).map(|at| json!({
            "group": "rg-fleet", "name": service(at), "apps": (0..apps).map(|one| app(at, one)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "sites": (0..services).flat_map(|at| (0..apps).map(move |one| json!({
            "group": "rg-fleet", "name": app(at, one),
        }))).collect::<Vec<_>>(),
    })
}
