//! How long it takes to give a fleet new keys, beside a script on Microsoft's management SDK (`sdk.py`) in the same run:
//! the real program as a process, the embedded Azure as another, 50 ms for each request to Azure Resource Manager.
//!
//! Start at [`main`]. What the columns say, and what was measured, is in `docs/performance.md`. An argument that is no flag
//! chooses the rows that contain it.

#![allow(clippy::print_stdout, reason = "the table is the answer")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a world that cannot be set up fails the run"
)]

#[path = "../../tests/common/mod.rs"]
mod common;
mod idle;
mod ours;
mod page;
mod script;

use std::process::Command;

use common::program::{Azure, Handler, free_port};
use ours::Ours;
use script::Script;
use serde_json::{Value, json};

/// One fleet, and how its Azure behaves.
struct Row {
    services: usize,
    apps: usize,
    /// How long an operation takes.
    take: &'static str,
    retry_after: Option<&'static str>,
    /// How many times as fast as the script it is to be.
    goal: Option<Goal>,
}

struct Goal {
    times: f64,
    threads: usize,
}

/// Operations that are over at the first poll.
const AT_ONCE: &str = "0s";

/// The script's threads. One is what a script has; sixteen is what who is in a hurry gives it. With one service they are
/// the same.
const THREADS: [usize; 2] = [1, 16];

const fn row(services: usize, apps: usize, take: &'static str, goal: Option<f64>) -> Row {
    let goal = match goal {
        Some(times) => Some(Goal { times, threads: THREADS[1] }),
        None => None,
    };
    Row { services, apps, take, retry_after: None, goal }
}

const fn told(row: Row) -> Row {
    Row { retry_after: Some("1"), ..row }
}

/// The rows, in the order of the document.
const ROWS: [Row; 9] = [
    row(1, 2, AT_ONCE, Some(3.4)),
    row(10, 3, AT_ONCE, None),
    row(100, 3, AT_ONCE, Some(2.0)),
    told(row(1, 2, "2s", None)),
    told(row(10, 3, "2s", None)),
    told(row(100, 3, "2s", Some(5.0))),
    row(1, 2, "2s", None),
    row(10, 3, "2s", None),
    row(100, 3, "2s", Some(5.0)),
];

fn main() {
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!(
        "{:<34} {:>8} {:>8} | {:>8} {:>8} {:>8} | {:>6} {:>7} | {:>7} {:>8} {:>8} | {:>7} {:>7}",
        "fleet",
        "moved",
        "whole",
        "SDK x1",
        "SDK x16",
        "process",
        "times",
        "goal",
        "asked",
        "formula",
        "trips",
        "MiB",
        "of SDK"
    );
    // `cargo test --benches`, which gives no `--bench`, proves only that it still runs.
    let rows = if measuring { &ROWS[..] } else { &ROWS[..1] };
    for row in rows.iter().filter(|row| is_wanted(&row.name())) {
        runtime.block_on(row.measure());
    }
    let idle = if measuring { 1_000 } else { 2 };
    if is_wanted(&idle::name(idle)) {
        runtime.block_on(idle::measure(idle));
    }
    if is_wanted(&page::name(idle)) {
        runtime.block_on(page::measure(idle));
    }
}

impl Row {
    fn name(&self) -> String {
        let Self { services, apps, take, .. } = self;
        let told = self.retry_after.map_or(String::new(), |seconds| format!(", told {seconds} s"));
        format!("{services} x {apps}, operations {take}{told}")
    }

    async fn measure(&self) {
        let world = world(self.services, self.apps);
        let ours = Ours::measure(&world, self).await;
        let scripts = THREADS.map(|threads| Script::measure(&world, self, threads));
        self.tell(&ours, &scripts);
        ours.tell(self);
    }

    fn tell(&self, ours: &Ours, scripts: &[Option<Script>; 2]) {
        let seconds = |seconds: f64| format!("{seconds:.2} s");
        let of = |script: &Option<Script>, told: &dyn Fn(&Script) -> String| {
            script.as_ref().map_or_else(|| "not installed".into(), told)
        };
        let goal = self.goal.as_ref();
        let at =
            goal.and_then(|goal| THREADS.iter().position(|threads| *threads == goal.threads)).unwrap_or(1);
        let times = scripts[at].as_ref().map(|script| script.seconds / ours.moved);
        let verdict = |times: Option<f64>| match (goal, times) {
            (None, _) => "",
            (Some(goal), Some(times)) if times >= goal.times => "reached",
            (Some(_), Some(_)) => "MISSED",
            (Some(_), None) => "not compared",
        };
        println!(
            "{:<34} {:>8} {:>8} | {:>8} {:>8} {:>8} | {:>6} {:>7} | {:>7} {:>8} {:>8} | {:>7.1} {:>7}  {}",
            self.name(),
            seconds(ours.moved),
            seconds(ours.whole),
            of(&scripts[0], &|script| seconds(script.seconds)),
            of(&scripts[1], &|script| seconds(script.seconds)),
            of(&scripts[at], &|script| seconds(script.process)),
            times.map_or("-".into(), |times| format!("{times:.2}x")),
            goal.map_or("-".into(), |goal| format!(">={}x", goal.times)),
            ours.requests,
            ours.formula(self),
            ours.trips,
            ours.peak,
            of(&scripts[at], &|script| format!("{:.2}x", ours.peak / script.peak)),
            verdict(times),
        );
        if let Some(script) = &scripts[at] {
            let process = script.process / ours.moved;
            println!(
                "    the script with its start, as a process: {process:.2}x; it asked {}",
                script.requests
            );
        }
    }

    /// An Azure that behaves so.
    fn azure(&self, world: &Value) -> Azure {
        let mut flags = vec!["--latency", "50ms", "--tick", "1s", "--regenerate-takes", self.take];
        flags.extend(self.retry_after.iter().flat_map(|seconds| ["--retry-after", *seconds]));
        Azure::of_world(world, &flags)
    }
}

/// The program with the embedded Azure in it, or the binary that `REKEY_BENCH_HANDLER` names: what is deployed is smaller.
async fn handler(azure: &Azure) -> Handler {
    let of_tests = azure.command(&["handler"]);
    let Some(binary) = std::env::var_os("REKEY_BENCH_HANDLER") else {
        return Handler::spawn(of_tests, free_port(), azure).await;
    };
    let mut command = Command::new(binary);
    command.env_clear().envs(of_tests.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg("handler");
    Handler::spawn(command, free_port(), azure).await
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
