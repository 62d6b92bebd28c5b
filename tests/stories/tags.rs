//! Tags on the service, for who looks at Azure alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::all_hold;
use super::common::log::Log;
use super::common::{HOUR, MINUTE, Story};
use embedded_azure::{EventGrid, Fault, FaultKind, Options, World};
use rekey_core::notice::{self, Event};
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::{Dispatcher, Engine};
use signalr_rekey::handler::{Invocation, Outcome, Runner, Trigger};
use signalr_rekey::report::text::readable;
use signalr_rekey::store::{ETag, Found, MemoryStore, Store, StoreError, Stored};
use tokio::time::Instant;

const UPDATE: &str = "Tags_UpdateAtScope";

async fn story(tags: bool) -> Story {
    let mut world = World::default();
    world.signalr[0].tags = [("team".to_owned(), "chat".to_owned())].into();
    let mut story = Story::of(world, Options::default()).await;
    story.config.instances[0].policy.tags = tags;
    story
}

/// An invocation of a process of its own.
async fn call(story: &Story, trigger: Trigger, time: Duration) -> Outcome {
    let deadline = story.clock.now() + delta(time);
    let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
    Runner::run(&Dispatcher::new(story.rekey()), trigger, invocation).await
}

/// The timer at work every ten minutes.
async fn watch(story: &Story, time: Duration) {
    for _ in 0..time.as_secs() / 600 {
        let outcome = call(story, Trigger::Timer, 9 * MINUTE).await;
        assert_eq!(outcome.failure, None);
        story.clock.advance(10 * MINUTE);
    }
}

async fn notice(story: &Story) -> Outcome {
    let event = Event {
        kind: "Microsoft.Resources.ResourceActionSuccess".into(),
        operation: Some("Microsoft.SignalRService/SignalR/regenerateKey/action".into()),
        ..Event::default()
    };
    call(story, Trigger::Events(vec![event]), Duration::from_secs(25)).await
}

fn tags(story: &Story) -> BTreeMap<String, String> {
    story.sim.with(|state| state.tags("sr-demo")).unwrap()
}

/// Whatever process comes next, a tag is written where it changes, and those of others stay.
#[tokio::test]
async fn the_service_is_tagged_where_a_tag_changes_and_only_there() {
    let story = story(true).await;
    watch(&story, 6 * HOUR).await;
    let journal = story.journal().await;
    let keys = journal.keys().unwrap();
    let in_use = &keys[all_hold(&story)];
    let made = keys.iter().map(|(_, key)| key.created).max().unwrap();
    let due = in_use.created + delta(story.config.instances[0].policy.rotate_every);
    let wanted = [
        ("team", "chat".to_owned()),
        ("rekey-last-rotated", readable(made)),
        ("rekey-next-due", readable(due)),
        ("rekey-condition", "Ready".to_owned()),
    ];
    assert_eq!(tags(&story), wanted.map(|(name, value)| (name.to_owned(), value)).into());
    let before = story.requests(UPDATE);
    assert!((1..=6).contains(&before), "{before}");
    watch(&story, 6 * HOUR).await;
    assert_eq!(story.requests(UPDATE), before, "nothing has changed");
}

#[tokio::test]
async fn nobody_tags_a_service_without_being_told_to() {
    let story = story(false).await;
    watch(&story, 4 * HOUR).await;
    assert_eq!(story.requests(UPDATE), 0);
    assert_eq!(tags(&story), [("team".to_owned(), "chat".to_owned())].into());
}

/// Each tag that is written is an event too, and comes back where somebody subscribes to writes.
#[tokio::test]
async fn the_event_of_a_tag_causes_no_check() {
    let grid = EventGrid { latency: Duration::ZERO, disorder: Duration::ZERO, ..EventGrid::default() };
    let options = Options { event_grid: Some(grid), ..Options::default() };
    let mut story = Story::of(World::default(), options).await;
    story.config.instances[0].policy.tags = true;
    watch(&story, 10 * MINUTE).await;
    let mut told = story.sim.undelivered_events();
    told.retain(|event| event["subject"].as_str().is_some_and(|subject| subject.contains("/tags/")));
    assert_eq!((told.len(), told.is_empty()), (story.requests(UPDATE), false));
    let asked = story.sim.requests().len();
    for event in &told {
        assert_eq!(event["data"]["operationName"], "Microsoft.Resources/tags/write");
        let events = notice::read(event, "the event").unwrap();
        assert_eq!(call(&story, Trigger::Events(events), Duration::from_secs(25)).await, Outcome::default());
    }
    assert_eq!(story.sim.requests().len(), asked, "nothing is asked");
}

/// Who may not, or is not answered, repairs and rotates as ever, says so once, and tries again.
#[tokio::test]
async fn a_tag_that_cannot_be_written_fails_and_delays_nothing() {
    let (log, _guard) = Log::capture();
    let story = story(true).await;
    let dispatcher = Dispatcher::new(story.rekey());
    story.sim.fault(Fault::new(UPDATE, FaultKind::Forbidden).times(1000));
    for _ in 0..30 {
        let deadline = story.clock.now() + delta(9 * MINUTE);
        let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
        let outcome = Runner::run(&dispatcher, Trigger::Timer, invocation).await;
        assert_eq!(outcome.failure, None);
        story.clock.advance(10 * MINUTE);
    }
    assert_eq!(log.text().matches("could not be tagged").count(), 1, "{}", log.text());
    assert!(log.text().contains("Microsoft.Resources/tags/write"), "the right that lacks is named");
    let in_use = all_hold(&story);
    story.force("sr-demo", &[in_use]).unwrap();
    let asked = story.sim.requests().len();
    assert_eq!(notice(&story).await.failure, None);
    all_hold(&story);
    let after: Vec<_> = story.sim.requests().split_off(asked);
    let last = |operation: &str| after.iter().rposition(|one| one.operation == operation);
    assert!(last(UPDATE) > last("WebApps_UpdateApplicationSettings"), "after everybody is repaired");
    assert_eq!(tags(&story).len(), 1, "its own alone");
    story.sim.clear_faults();
    watch(&story, MINUTE * 10).await;
    assert_eq!(tags(&story).len(), 4);
}

/// A proxy answers in Azure's place that all is well.
#[tokio::test]
async fn an_answer_that_does_not_show_the_tags_is_no_proof_of_them() {
    let (log, _guard) = Log::capture();
    let story = story(true).await;
    story.sim.fault(Fault::new(UPDATE, FaultKind::Html).times(2));
    watch(&story, MINUTE * 20).await;
    assert_eq!((story.requests(UPDATE), tags(&story).len()), (2, 1));
    assert!(log.text().contains("could not be tagged"), "{}", log.text());
    watch(&story, MINUTE * 10).await;
    assert_eq!(tags(&story).len(), 4);
}

/// Azure has taken the tags and nobody heard of it. What the service is tagged with is not known then, and is written again.
#[tokio::test]
async fn a_tag_of_which_nobody_knows_whether_it_was_written_is_written_again() {
    let story = story(true).await;
    watch(&story, 6 * HOUR).await;
    let tick = async || {
        call(&story, Trigger::Timer, 9 * MINUTE).await;
        story.clock.advance(10 * MINUTE);
        tags(&story)["rekey-condition"].clone()
    };
    let blind =
        || story.sim.fault(Fault::new("WebApps_ListApplicationSettings", FaultKind::Forbidden).times(1000));
    blind();
    assert_eq!(tick().await, "Blocked");
    story.sim.clear_faults();
    story.sim.fault(Fault::new(UPDATE, FaultKind::TimeoutAfter).times(1000));
    assert_eq!(tick().await, "Ready");
    story.sim.clear_faults();
    blind();
    assert_eq!(tick().await, "Blocked");
}

/// When it was last rotated is known where others have made both keys since.
#[tokio::test]
async fn when_it_was_rotated_stays_known_after_a_regeneration_from_outside() {
    let story = story(true).await;
    watch(&story, 6 * HOUR).await;
    let rotated = tags(&story)["rekey-last-rotated"].clone();
    story.force("sr-demo", &rekey_core::model::KeyType::ALL).unwrap();
    watch(&story, MINUTE * 10).await;
    assert_eq!(tags(&story)["rekey-last-rotated"], rotated);
}

/// A store that never answers who keeps which tags were given. From then on time is tokio's own, which goes on where everybody waits.
#[derive(Debug)]
struct Hangs {
    store: Arc<MemoryStore>,
    since: Arc<Mutex<Option<Instant>>>,
}

#[async_trait::async_trait]
impl Store for Hangs {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.store.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        if name.starts_with("overview-") && String::from_utf8_lossy(&body).contains("rekey-condition") {
            tokio::time::pause();
            *self.since.lock().unwrap() = Some(Instant::now());
            std::future::pending::<()>().await;
        }
        self.store.put(name, body, expected).await
    }
}

/// Azure takes two seconds of the three, and the storage would take all that it is given.
#[tokio::test]
async fn azure_and_the_storage_share_the_time_that_tags_may_take() {
    let story = story(true).await;
    let (clock, since) = (story.clock.clone(), Arc::default());
    story.sim.after(UPDATE, 1, move |_| clock.advance(Duration::from_secs(2)));
    let store = Arc::new(Hangs { store: story.store.clone(), since: Arc::clone(&since) });
    let deadline = story.clock.now() + delta(9 * MINUTE);
    let invocation = Invocation { id: "an-id".into(), function: "RotateKeys", deadline };
    let process = Dispatcher::new(Engine { store, ..story.rekey() });
    assert_eq!(Runner::run(&process, Trigger::Timer, invocation).await.failure, None);
    let waited = since.lock().unwrap().unwrap().elapsed();
    assert!(waited <= Duration::from_millis(1001), "{waited:?}");
    assert_eq!(tags(&story).len(), 4);
}
