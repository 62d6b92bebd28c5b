//! A run of the timer in which nothing is to be done.

use std::time::Instant;

use serde_json::{Map, Value};

use super::{AT_ONCE, handler, row, world};

const APPS: usize = 3;

pub(crate) fn name(services: usize) -> String {
    format!("{services} x {APPS}, idle")
}

/// The fleet is seen for the first time, and then again.
pub(crate) async fn measure(services: usize) {
    let world = world(services, APPS);
    let mut azure = row(services, APPS, AT_ONCE, None).azure(&world);
    azure.environment.insert("REKEY_FIRST_ROTATION".into(), "when-due".into());
    azure.environment.insert("REKEY_STATE".into(), "memory".into());
    let handler = handler(&azure).await;
    println!("{}", name(services));
    let mut before = Map::new();
    for run in ["first sight", "idle", "idle"] {
        let start = Instant::now();
        let (status, answer) = handler.tick().await;
        let took = start.elapsed();
        assert_eq!(status, 200, "{answer}");
        let all = azure.report().await["arm_requests"].as_object().unwrap().clone();
        let asked = all.iter().map(|(name, count)| {
            let before: u64 = before.get(name).and_then(Value::as_u64).unwrap_or(0);
            (name, count.as_u64().unwrap() - before)
        });
        let asked: Vec<_> = asked.filter(|(_, count)| *count > 0).collect();
        let total: u64 = asked.iter().map(|(_, count)| count).sum();
        let peak = handler.memory("VmHWM");
        println!("    {run}: {total} requests in {took:.2?}, {peak:.1} MiB at the most");
        let asked = asked.iter().map(|(name, count)| format!("{name} {count}"));
        println!("        {}", asked.collect::<Vec<_>>().join(", "));
        before = all;
    }
}
