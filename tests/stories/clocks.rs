//! A worker whose clock is wrong, beside a storage whose clock is right.

use super::common::{DAY, HOUR, MINUTE, Story};
use super::{all_hold, settled};
use chrono::TimeDelta;
use rekey_core::intent::Intent;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::Engine;
use signalr_rekey::report::RunReport;

fn wrong(story: &Story, hours: i64) -> Engine {
    story.worker_by(TimeDelta::hours(hours))
}

async fn run(story: &Story, worker: &Engine) -> RunReport {
    let order = story.order(Intent::operator(false), 12 * HOUR);
    worker.run(&order).await.pop().unwrap()
}

/// By its clock the grace of a key is over that apps have left a moment ago.
#[tokio::test]
async fn who_is_ahead_ends_no_grace() {
    let story = Story::new().await;
    assert!(settled(&story.watch(DAY).await));
    story.clock.advance(31 * DAY);
    // Up to where everybody has left the old key.
    let held = all_hold(&story);
    for _ in 0..200 {
        if all_hold(&story) == held {
            story.tick().await;
            story.clock.advance(MINUTE);
        }
    }
    assert_eq!(all_hold(&story), held.other());
    let made = story.requests("SignalR_RegenerateKey");
    for hours in [3, 8, -3] {
        let report = run(&story, &wrong(&story, hours)).await;
        let told = report.summary();
        assert!(report.ending.is_failure() && !report.ending.is_answered(), "{hours}: {told}");
        let how = if hours > 0 { "ahead of" } else { "behind" };
        let said = format!("the clock of this machine is {}h {how} that of the storage", hours.abs());
        assert!(told.contains(&said), "{told}");
        assert_eq!(story.requests("SignalR_RegenerateKey"), made, "{hours}");
    }
    assert!(settled(&story.watch(4 * HOUR).await), "by a right clock it goes on");
    assert_eq!(story.requests("SignalR_RegenerateKey"), made + 1);
    assert_eq!(story.sim.report().refused, 0);
}

/// Nobody waits for a clock to be set who is cut off; and what is put on record of it is of the storage's time.
#[tokio::test]
async fn whose_clock_is_wrong_repairs_and_begins_no_grace_in_the_past() {
    for hours in [3, -3] {
        let story = Story::new().await;
        assert!(settled(&story.watch(DAY).await));
        let held = all_hold(&story);
        story.force("sr-demo", &[held]).unwrap();
        story.clock.advance(2 * MINUTE);
        let report = run(&story, &wrong(&story, hours)).await;
        assert!(report.summary().contains("the clock of this machine is "), "{}", report.summary());
        assert_eq!(all_hold(&story), held.other(), "{hours}");
        let now = story.clock.now();
        let journal = story.journal().await;
        let late = journal.history().filter(|entry| entry.at > now || entry.at < now - TimeDelta::days(2));
        assert_eq!(late.count(), 0, "{hours}: {:#?}", journal.history().collect::<Vec<_>>());
    }
}
