//! A run of the timer in which nothing is to be done.

use std::time::Instant;

use super::common::program::Handler;
use super::row;
use super::world;

const APPS: usize = 3;

pub(crate) fn name(services: usize) -> String {
    format!("{services} x {APPS}, idle")
}

/// The fleet is seen for the first time, and then again.
pub(crate) async fn measure(services: usize) {
    let world = world(services, APPS);
    let mut azure = row(services, APPS, "0s", None).azure(&world);
    azure.environment.insert("REKEY_FIRST_ROTATION".into(), "when-due".into());
    azure.environment.insert("REKEY_STATE".into(), "memory".into());
    let handler = Handler::start(&azure, &["handler"]).await;
    println!("{}", name(services));
    let mut before = 0;
    for run in ["first sight", "idle", "idle"] {
        let start = Instant::now();
        let (status, answer) = handler.tick().await;
        let took = start.elapsed();
        assert_eq!(status, 200, "{answer}");
        let report = azure.report().await;
        let asked = report["arm_requests_total"].as_u64().unwrap();
        let requests = asked - before;
        before = asked;
        let peak = handler.memory("VmHWM");
        println!("    {run}: {requests} requests in {took:.2?}, {peak:.1} MiB at the most");
    }
}
