//! What a rotation costs. First, what it asks of Azure Resource Manager, beside the least that it can ask: `listKeys`
//! once, two regenerations with their polls, and for each app one list and one write. ARM counts requests, and N more
//! than that (and one) are thought well spent on looking again before a key dies. Then, what keeping the journal adds to
//! its time (`journal`).
//!
//! Start at [`main`]. The real pass runs over HTTP against the simulated Azure, whose regenerations take 75 s as the
//! longest on record did, with a clock that passes hours in milliseconds; the simulator counts. The instance is known
//! already when the rotation falls due, so that nothing of its first sight is in the figures. What the timer reads
//! between the two halves of a rotation is not in them either.

#![allow(clippy::print_stdout, reason = "the table is the answer")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a world that cannot be set up fails the run"
)]

#[path = "../../tests/common/mod.rs"]
mod common;
mod journal;
mod secrets;
#[path = "../table/mod.rs"]
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use common::{DAY, HOUR, MINUTE, Story};
use embedded_azure::{Options, SignalR, Site, World};
use rekey_core::intent::Intent;
use rekey_core::plan::Decision;
use rekey_core::policy::FirstRotation;
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::{Engine, Order};
use signalr_rekey::report::Ending;
use table::Figure;

/// How the configuration lists apps: with the name of the setting, or by the id alone, and then both dictionaries of an
/// app are read.
#[derive(Clone, Copy)]
enum Listed {
    Named,
    ByValue,
}

const SETTING: &str = "Azure__SignalR__ConnectionString";

/// How many timer runs a rotation may take before something is wrong with it.
const MOST_RUNS: usize = 5;

fn main() {
    let sizes: &[usize] = if table::measuring() { &[1, 10, 100] } else { &[1] };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rotations = runtime.block_on(rotations(sizes));
    println!("\nARM requests of a rotation of one instance, beside the least possible\n{}", table::head());
    rotations.iter().for_each(|rotation| println!("{}", rotation.figure()));
    println!("\nthe same with one Key Vault secret, the vault's requests too\n{}", table::head());
    for readers in [&[1, 4], &sizes[1..]].concat() {
        println!("{}", runtime.block_on(secrets::figure(readers)));
    }
    println!("\nwhat they were, and how long the rotation took here (the simulated hours not counted)");
    rotations.iter().for_each(|rotation| println!("{}", rotation.details()));
    println!(
        "\nthe same pass with its journal in Blob Storage (Azurite) and in memory, without Azure's own time"
    );
    for journal::Cost { what, blob, memory } in
        runtime.block_on(journal::costs(if table::measuring() { 15 } else { 1 }))
    {
        let ratio = blob.as_secs_f64() / memory.as_secs_f64();
        println!("{what:<42} {blob:>9.1?} {memory:>9.1?} {ratio:>6.2}x");
    }
}

async fn rotations(sizes: &[usize]) -> Vec<Rotation> {
    let mut rotations = Vec::new();
    for grace in [Duration::from_secs(3), 2 * HOUR] {
        for listed in [Listed::Named, Listed::ByValue] {
            for apps in sizes {
                rotations.push(Rotation::of(*apps, listed, grace).await);
            }
        }
    }
    rotations
}

/// One rotation, counted.
struct Rotation {
    name: String,
    apps: u64,
    requests: BTreeMap<&'static str, u64>,
    took: Duration,
}

impl Rotation {
    async fn of(apps: usize, listed: Listed, grace: Duration) -> Self {
        let story = story(apps, listed, grace).await;
        let rekey = story.rekey();
        let ending = run(&rekey, &story).await;
        assert!(
            matches!(ending, Ending::Decided(Decision::Settled { .. })),
            "watched, not touched: {ending}"
        );
        story.clock.advance(DAY);
        let before = requests(&story);
        let start = Instant::now();
        rotate(&rekey, &story).await;
        let took = start.elapsed();
        let requests = since(requests(&story), &before);
        let (how, grace) = (listed.words(), humantime::format_duration(grace));
        Self { name: format!("{apps} apps {how}, grace {grace}"), apps: apps as u64, requests, took }
    }

    fn figure(&self) -> Figure {
        let floor = 1 + 2 + self.count("SignalR_Operation") + 2 * self.apps;
        let goal = floor + self.apps + 1;
        let ours: u64 = self.requests.values().sum();
        Figure {
            name: self.name.clone(),
            ours: ours.to_string(),
            floor: floor.to_string(),
            ratio: ours as f64 / floor as f64,
            goal: format!("<= {goal}"),
            reached: ours <= goal,
        }
    }

    fn details(&self) -> String {
        let kinds = [
            ("listKeys", "SignalR_ListKeys"),
            ("regenerate", "SignalR_RegenerateKey"),
            ("polls", "SignalR_Operation"),
            ("list", "WebApps_List"),
            ("write", "WebApps_Update"),
        ];
        let counts = kinds.map(|(word, operation)| format!("{word} {}", self.count(operation)));
        format!("{:<42} {}, in {:.0?}", self.name, counts.join(", "), self.took)
    }

    /// All requests whose operation begins so.
    fn count(&self, operation: &str) -> u64 {
        self.requests.iter().filter(|(name, _)| name.starts_with(operation)).map(|(_, count)| count).sum()
    }
}

impl Listed {
    const fn words(self) -> &'static str {
        match self {
            Self::Named => "with names",
            Self::ByValue => "by value",
        }
    }
}

async fn story(apps: usize, listed: Listed, grace: Duration) -> Story {
    let mut story = Story::of(world(apps), Options::default()).await;
    let instance = &mut story.config.instances[0];
    instance.policy.first_rotation = FirstRotation::WhenDue;
    // Shorter than the default, because the simulator makes the clients' calls of all that time.
    instance.policy.rotate_every = DAY;
    instance.policy.grace = grace;
    if let Listed::Named = listed {
        instance.apps.iter_mut().for_each(|app| app.settings = vec![SETTING.to_owned()]);
    }
    story
}

fn world(apps: usize) -> World {
    let group = || "rg-bench".to_owned();
    let names: Vec<String> = (0..apps).map(|app| format!("app-{app:03}")).collect();
    let site =
        |name: &String| Site { group: group(), name: name.clone(), kind: "app".into(), ..Site::default() };
    let sites = names.iter().map(site).collect();
    let signalr = SignalR { group: group(), name: "sr-bench".into(), apps: names, ..SignalR::default() };
    World { signalr: vec![signalr], sites, ..World::default() }
}

/// Runs the timer, and lets it sleep through the waits that are longer than its run, until the rotation is over.
async fn rotate(rekey: &Engine, story: &Story) {
    let keys = story.keys("sr-bench").unwrap();
    for _ in 0..MOST_RUNS {
        match run(rekey, story).await {
            Ending::Decided(Decision::Waiting { until, .. }) => story.clock.sleep_until(until).await,
            Ending::Decided(Decision::Settled { .. }) => {
                let now = story.keys("sr-bench").unwrap();
                assert!(now.iter().all(|(key_type, key)| keys[key_type] != *key), "both keys are new");
                return;
            }
            ending => panic!("no rotation: {ending}"),
        }
    }
    panic!("the rotation did not end");
}

async fn run(rekey: &Engine, story: &Story) -> Ending {
    let deadline: DateTime<Utc> = story.clock.now() + delta(9 * MINUTE);
    let holder = uuid::Uuid::new_v4().to_string();
    let run = Order { services: vec![], intent: Intent::operator(false), holder, deadline };
    rekey.run(&run).await.remove(0).ending
}

fn requests(story: &Story) -> BTreeMap<&'static str, u64> {
    story.sim.report().arm_requests
}

fn since(
    mut requests: BTreeMap<&'static str, u64>,
    before: &BTreeMap<&'static str, u64>,
) -> BTreeMap<&'static str, u64> {
    for (operation, count) in &mut requests {
        *count -= before.get(operation).unwrap_or(&0);
    }
    requests
}
