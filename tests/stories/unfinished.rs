//! Runs of the timer that get nothing done: the first is no failure, the second in a row is.

use std::sync::Arc;
use std::time::Duration;

use super::Story;
use super::common::{HOUR, MINUTE, all_hold, count};
use embedded_azure::{Fault, FaultKind, Options};
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use rekey_core::model::KeyType;
use rekey_core::time::delta;
use serde_json::{Value, json};
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::Dispatcher;
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};
use signalr_rekey::report::Ending;
use signalr_rekey::store::{ETag, Found, Lease, Store, StoreError, Stored};

/// The timer's run of a new process.
async fn timer(story: &Story, time: Duration) -> Outcome {
    let service = Dispatcher::new(story.rekey());
    let deadline = story.clock.now() + delta(time);
    let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
    service.run(Trigger::Timer, invocation).await
}

fn failure(outcome: &Outcome) -> &str {
    outcome.failure.as_deref().unwrap_or_else(|| panic!("it ended well: {outcome:#?}"))
}

#[tokio::test]
async fn a_lease_that_is_met_again_and_again_is_a_failure_from_the_second_run_on() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let store: Arc<dyn Store> = story.store.clone();
    let id = story.config.instances[0].id.clone();
    let hold = || Lease::acquire(store.clone(), story.clock.clone(), &id, "another");
    let lease = hold().await.unwrap();
    assert_eq!(timer(&story, MINUTE).await.failure, None, "met once");
    assert!(failure(&timer(&story, MINUTE).await).contains("this is run 2 in a row"));
    let third = timer(&story, MINUTE).await;
    assert!(
        failure(&third).contains(": failed: ") && failure(&third).contains("run 3 in a row"),
        "{third:#?}"
    );
    lease.release().await.unwrap();
    assert_eq!(timer(&story, MINUTE).await.failure, None);
    let lease = hold().await.unwrap();
    assert_eq!(timer(&story, MINUTE).await.failure, None, "the count began anew");
    drop(lease);
}

#[tokio::test]
async fn time_that_is_over_again_and_again_is_a_failure_from_the_second_run_on() {
    let story = Story::new().await;
    // A regeneration takes longer than these runs.
    let short = Duration::from_secs(3);
    story.watch(HOUR).await;
    story.clock.advance(2 * HOUR);
    assert_eq!(timer(&story, short).await.failure, None, "its first");
    assert!(failure(&timer(&story, short).await).contains("run 2 in a row"));
    assert_eq!(timer(&story, 9 * MINUTE).await.failure, None, "it goes on");
}

#[tokio::test]
async fn a_run_that_leaves_a_stale_consumer_fails_at_once() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    let busy = Fault::new("WebApps_UpdateApplicationSettings", FaultKind::Throttled).on("chat-func");
    story.sim.fault(Fault { retry_after: Some(60), ..busy.times(1_000) });
    let outcome = timer(&story, MINUTE).await;
    assert!(failure(&outcome).contains("chat-func"), "{outcome:#?}");
    story.sim.clear_faults();
    assert_eq!(timer(&story, 9 * MINUTE).await.failure, None);
    all_hold(&story);
}

/// A record that is damaged is written anew. What would be lost is a count, and the timer would look silent for ever.
#[tokio::test]
async fn a_damaged_record_of_the_timer_is_written_anew() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    for damaged in ["no", r#"{"unfinished": {}, "later": 1}"#] {
        let etag = story.store.get("timer.json").await.unwrap().document.map(|(_, etag)| etag);
        story.store.put("timer.json", damaged.into(), etag.as_ref()).await.unwrap();
        story.clock.advance(HOUR);
        assert_eq!(timer(&story, MINUTE).await.failure, None);
        let found = story.store.get("timer.json").await.unwrap();
        let written: Value = serde_json::from_slice(&found.document.unwrap().0).unwrap();
        assert_eq!(written["unfinished"], json!({}));
        assert!(found.at - found.modified < delta(MINUTE), "it is seen to run");
    }
}

/// A store that does not take what the timer leaves behind.
#[derive(Debug)]
struct NoTimer(Arc<dyn Store>);

#[async_trait::async_trait]
impl Store for NoTimer {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.0.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        if name == "timer.json" {
            return Err(StoreError::Unavailable("it said so".into()));
        }
        self.0.put(name, body, expected).await
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_put_on_record_is_a_failure() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let mut rekey = story.rekey();
    rekey.store = Arc::new(NoTimer(story.store.clone()));
    let deadline = story.clock.now() + delta(MINUTE);
    let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
    let outcome = Dispatcher::new(rekey).run(Trigger::Timer, invocation).await;
    assert!(failure(&outcome).contains("cannot record that RotateKeys has run"), "{outcome:#?}");
    assert!(outcome.logs.join("\n").contains("settled"), "what was due is done all the same");
}

/// Runs whose time is over while they prove a key say so: the service has refused nothing.
#[tokio::test]
async fn a_key_that_was_not_proved_in_time_is_not_told_as_refused() {
    let story = Story::new().await;
    story.tick().await;
    story.clock.advance(story.config.instances[0].policy.grace);
    let mut unproved = 0;
    for _ in 0..40 {
        let probes = story.requests("DataPlane_Exists");
        let reports = story.run(Intent::operator(false), Duration::from_secs(3)).await;
        let proved = story.requests("DataPlane_Exists") - probes;
        if (1..4).contains(&proved) {
            unproved += 1;
            assert!(matches!(reports[0].ending, Ending::OutOfTime { .. }), "{reports:#?}");
            assert!(!reports[0].summary().contains("accept"), "{}", reports[0].summary());
        }
        story.clock.advance(Duration::from_secs(10));
    }
    assert!(unproved > 0, "no run's time was over while it proved a key");
    let refused = |event: &Event| matches!(event, Event::VerificationRefused { .. });
    assert_eq!(count(&story.journal().await, refused), 0);
}

/// Where the time is too short for all, it is not always the same who come last.
#[tokio::test]
async fn who_was_not_finished_comes_first_in_the_next_run() {
    let story = Story::of(super::common::fleet::world(3, 1), Options::default()).await;
    story.watch(6 * HOUR).await;
    let last = super::common::fleet::service(2);
    let id = story.config.instances.iter().map(|one| one.id.clone()).find(|id| id.name() == last).unwrap();
    let etag = story.store.get("timer.json").await.unwrap().document.map(|(_, etag)| etag);
    let body = json!({"unfinished": {id.to_string(): 1}}).to_string();
    story.store.put("timer.json", body.into(), etag.as_ref()).await.unwrap();
    let before = story.sim.requests().len();
    assert_eq!(timer(&story, MINUTE).await.failure, None);
    let requests = story.sim.requests();
    let first = requests[before..].iter().find(|request| request.operation == "SignalR_ListKeys").unwrap();
    assert!(first.resource.ends_with(&last), "{}", first.resource);
}
