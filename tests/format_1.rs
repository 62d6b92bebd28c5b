//! Journals of format 1, which an older release wrote and may still be writing: they are read, carried over under their own
//! lease, and closed to that release before anything is changed in Azure.
//!
//! The documents in `tests/format1` were written by such a release against the embedded Azure and Azurite: `following` when it
//! was killed in the middle of a regeneration, `settled` after a rotation, `repaired` after both keys were regenerated from
//! outside, `exposed` in the middle of the rotation that a report of exposed keys asked for.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use common::hooked::Forgetful;
use common::older::{OlderRun, Refused};
use common::program::{Azure, Handler, text};
use common::{azurite, document_name, format_1_name};
use embedded_azure::VirtualClock;
use proptest::prelude::*;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::ServiceId;
use serde_json::{Value, json};
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::store::{
    ETag, Found, Lease, MemoryStore, Store, StoreError, Stored, call, calls, peek, peek_at_both,
};

/// What an older release wrote, by its name.
const DOCUMENTS: [(&str, &str); 4] = [
    ("following", include_str!("format1/following.json")),
    ("settled", include_str!("format1/settled.json")),
    ("repaired", include_str!("format1/repaired.json")),
    ("exposed", include_str!("format1/exposed.json")),
];

/// A service that nobody else has a journal for, and the document as if it were that one's.
fn service_of(document: &str) -> (ServiceId, Value) {
    let name = format!("i{}", uuid::Uuid::new_v4().simple());
    let id = ServiceId::new("00000000-0000-0000-0000-000000000001", "rg-demo", &name);
    let mut document: Value = serde_json::from_str(document).unwrap();
    document["service"] = id.to_string().into();
    (id, document)
}

/// A document of format 1 with nothing in it but an adopted service, whose lease is over.
fn adopted() -> Value {
    let (_, mut document) = service_of(DOCUMENTS[1].1);
    document["lease"] = json!({"holder": "gone", "expires": "2026-01-01T00:00:00Z"});
    document["journal"]["history"] = json!([]);
    document["journal"]["seen"] = json!({});
    document
}

async fn acquire(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    id: &ServiceId,
    who: &str,
) -> Result<Lease, StoreError> {
    Lease::acquire(Arc::clone(store), Arc::clone(clock), id, who).await
}

async fn body(store: &dyn Store, name: &str) -> Option<Value> {
    let (body, _) = store.get(name).await.unwrap().document?;
    Some(serde_json::from_slice(&body).unwrap())
}

async fn put(store: &dyn Store, name: &str, document: &Value) {
    store.put(name, serde_json::to_vec_pretty(document).unwrap(), None).await.unwrap();
}

/// Writes over what is there.
async fn replace(store: &dyn Store, name: &str, body: &[u8]) {
    let etag = store.get(name).await.unwrap().document.map(|(_, etag)| etag);
    store.put(name, body.to_vec(), etag.as_ref()).await.unwrap();
}

fn in_memory() -> (Arc<dyn Store>, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(Utc::now()));
    (Arc::new(MemoryStore::new(clock.clone())), clock)
}

/// What an older release says of a service that was carried over.
fn refusal(id: &ServiceId) -> Refused {
    let name = format_1_name(id);
    Refused::Unreadable(format!(
        "the journal {name} cannot be read (version 2 is unknown to this release); it is left as it is and nothing is done to \
         the instance"
    ))
}

#[tokio::test]
async fn what_an_older_release_wrote_is_read_carried_over_and_closed_to_it() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Utc::now()));
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    for (store, clock) in [(memory, clock), {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        (azurite::store(Arc::clone(&clock)), clock)
    }] {
        for (name, document) in DOCUMENTS {
            let (id, mut document) = service_of(document);
            // Whoever had the lease was killed long ago.
            document["lease"] = json!({"holder": "gone", "expires": "2026-01-01T00:00:00Z"});
            put(&*store, &format_1_name(&id), &document).await;
            let before = peek(&*store, &id).await.unwrap();
            assert_eq!(
                body(&*store, &format_1_name(&id)).await.unwrap(),
                document,
                "{name}: to read is not to change"
            );
            assert!(body(&*store, &document_name(&id)).await.is_none(), "{name}");

            let lease = acquire(&store, &clock, &id, "one").await.unwrap();
            assert_eq!(*lease.journal(), before, "{name}");
            let older = OlderRun::begin(Arc::clone(&store), Arc::clone(&clock), &id, "older").await;
            assert_eq!(older.unwrap_err(), refusal(&id), "{name}");
            lease.release().await.unwrap();
            assert_eq!(peek(&*store, &id).await.unwrap(), before, "{name}");
            let now = body(&*store, &document_name(&id)).await.unwrap();
            assert_eq!(
                (&now["version"], &now["fenced"], &now["service"]),
                (&json!(2), &json!(true), &json!(id.to_string()))
            );
            assert_same_in_other_words(name, &document["journal"], &now["journal"]);
            // The next run finds nothing more to carry over.
            acquire(&store, &clock, &id, "two").await.unwrap().release().await.unwrap();
            assert_eq!(peek(&*store, &id).await.unwrap(), before, "{name}");
        }
    }
}

/// The words that are others in format 2, each put back.
fn assert_same_in_other_words(name: &str, old: &Value, new: &Value) {
    let mut text = serde_json::to_string(new).unwrap();
    assert!(text.contains("appService:/subscriptions/"), "{name}");
    for (old, new) in [
        ("", "appService:"),
        ("\"unmended\"", "\"unrepaired\""),
        ("\"mended\"", "\"repaired\""),
        ("\"exposed\"", "\"compromised\""),
        ("\"apps\"", "\"consumers\""),
        ("\"appsMissing\"", "\"consumersMissing\""),
    ] {
        text = text.replace(new, old);
    }
    let mut back: Value = serde_json::from_str(&text).unwrap();
    for empty in ["readers", "reports"] {
        assert_eq!(back.as_object_mut().unwrap().remove(empty), Some(json!({})), "{name}");
    }
    if let Some(flight) = back["inFlight"].as_object_mut() {
        flight.remove("accepted");
    }
    assert_eq!(back, *old, "{name}");
}

/// The documents were written with the simulator's keys; none of these is in them.
#[test]
fn no_key_is_in_the_documents() {
    for (name, document) in DOCUMENTS {
        let mut document: Value = serde_json::from_str(document).unwrap();
        // The URL of an operation is the simulator's, and over.
        if let Some(flight) = document["journal"]["inFlight"].as_object_mut() {
            flight.remove("operation");
        }
        let document = document.to_string();
        let words = document.split(|sign: char| !sign.is_ascii_alphanumeric() && !"+/=".contains(sign));
        let long: Vec<&str> = words.filter(|word| word.len() >= 40).collect();
        assert!(long.is_empty(), "{name}: {long:?}");
        assert!(!document.contains("AccessKey"), "{name}");
    }
}

#[tokio::test]
async fn a_lease_of_an_older_release_is_a_lease() {
    let (store, clock) = in_memory();
    let dynamic: Arc<dyn Clock> = clock.clone();
    let (id, document) = service_of(DOCUMENTS[1].1);
    put(&*store, &format_1_name(&id), &document).await;
    let mut older = OlderRun::begin(Arc::clone(&store), dynamic.clone(), &id, "older").await.unwrap();
    let held = acquire(&store, &dynamic, &id, "one").await.unwrap_err();
    assert!(matches!(&held, StoreError::Held { holder, .. } if holder == "older"), "{held}");
    // Its run reads the calls beside its own journal, and answers there.
    let number = call(&*store, &id).await.unwrap();
    let beside = format_1_name(&id).replace(".json", ".calls.json");
    assert_eq!(body(&*store, &beside).await.unwrap(), json!({"calls": number}));
    clock.advance(Duration::from_secs(60));
    let recorded = older.record().await.unwrap();
    assert!(acquire(&store, &dynamic, &id, "one").await.is_err(), "renewed");
    older.end().await.unwrap();
    let lease = acquire(&store, &dynamic, &id, "one").await.unwrap();
    assert!(lease.journal().history().any(|entry| entry.at == recorded), "what it did is known");
    // A run of this release reads the calls beside the journal of now; none of before comes again.
    assert_eq!(calls(&*store, &id).await.unwrap(), 0);
    clock.advance(Duration::from_secs(1));
    let next = call(&*store, &id).await.unwrap();
    assert!(next > number && calls(&*store, &id).await.unwrap() == next);
}

/// A service that no older release knew is closed to it as well, and stays so.
#[tokio::test]
async fn an_older_release_begins_no_journal_of_its_own_beside_ours() {
    let (store, clock) = in_memory();
    let dynamic: Arc<dyn Clock> = clock;
    let (id, document) = service_of(DOCUMENTS[1].1);
    acquire(&store, &dynamic, &id, "one").await.unwrap().release().await.unwrap();
    let older = || OlderRun::begin(Arc::clone(&store), dynamic.clone(), &id, "older");
    assert_eq!(older().await.unwrap_err(), refusal(&id));
    // Somebody takes the fence away: it is put up again with the next lease.
    let unfenced =
        Arc::new(Without { inner: Arc::clone(&store), hidden: format_1_name(&id), writes: Mutex::default() });
    let hidden: Arc<dyn Store> = unfenced.clone();
    acquire(&hidden, &dynamic, &id, "two").await.unwrap().release().await.unwrap();
    assert_eq!(unfenced.writes.lock().unwrap().len(), 1);
    // If an older release was faster, there are two journals, and a person has to say which is right.
    let again: Arc<dyn Store> = Arc::new(MemoryStore::new(dynamic.clone()));
    put(&*again, &format_1_name(&id), &document).await;
    put(&*again, &document_name(&id), &body(&*store, &document_name(&id)).await.unwrap()).await;
    let error = acquire(&again, &dynamic, &id, "three").await.unwrap_err();
    assert!(matches!(error, StoreError::TwoJournals { .. }) && !error.is_passing(), "{error}");
    assert_eq!(body(&*again, &format_1_name(&id)).await.unwrap(), document, "left as it is");
}

/// What stands where the fence was and cannot be read keeps an older release out as well as the fence did: the lease is had. A
/// journal that an older release can read is one too many, and whoever looks before there is anything to do is told so.
#[tokio::test]
async fn a_damaged_fence_keeps_nobody_from_a_repair() {
    let (store, clock) = in_memory();
    let dynamic: Arc<dyn Clock> = clock;
    let (id, document) = service_of(DOCUMENTS[1].1);
    acquire(&store, &dynamic, &id, "one").await.unwrap().release().await.unwrap();
    let old = format_1_name(&id);
    for damaged in [
        &b"{\"version\": 2, \"movedTo\""[..],
        b"{\"version\": 2, \"moved\": \"elsewhere\"}",
        b"{\"version\": 7}",
        b"{\"version\": 1, \"lease\": null}",
        b"",
    ] {
        replace(&*store, &old, damaged).await;
        let older = OlderRun::begin(Arc::clone(&store), dynamic.clone(), &id, "older").await;
        assert!(older.is_err(), "an older release reads {}", String::from_utf8_lossy(damaged));
        peek_at_both(&*store, &id).await.unwrap();
        acquire(&store, &dynamic, &id, "two").await.unwrap().release().await.unwrap();
    }
    replace(&*store, &old, document.to_string().as_bytes()).await;
    let two = peek_at_both(&*store, &id).await.unwrap_err();
    assert!(matches!(two, StoreError::TwoJournals { .. }), "{two}");
    // A copy that is not fenced yet may be of a journal that was damaged since: that one is not passed over.
    let mut copy = body(&*store, &document_name(&id)).await.unwrap();
    copy["fenced"] = false.into();
    replace(&*store, &document_name(&id), copy.to_string().as_bytes()).await;
    replace(&*store, &old, b"{\"version\": 1, \"lease\": null}").await;
    let unreadable = acquire(&store, &dynamic, &id, "three").await.unwrap_err();
    assert!(matches!(unreadable, StoreError::Unreadable { .. }), "{unreadable}");
}

/// The timer's first run of a process finds two journals while there is nothing to do, and puts up a fence that is gone.
#[tokio::test]
async fn the_timer_looks_at_the_fence_before_there_is_an_emergency() {
    let story = common::Story::new().await;
    story.watch(6 * common::HOUR).await;
    let id = story.config.instances[0].id.clone();
    let hidden: Arc<Without> = Arc::new(Without {
        inner: story.store.clone(),
        hidden: format_1_name(&id),
        writes: Mutex::default(),
    });
    let at = story.sim.base().parse().unwrap();
    let order = || story.order(rekey_core::intent::Intent::timer(), Duration::from_secs(60));
    let process = story.worker(&at, hidden.clone(), story.clock.clone());
    for _ in 0..2 {
        let reports = process.run(&order()).await;
        assert!(!reports[0].ending.is_failure(), "{reports:#?}");
    }
    assert_eq!(hidden.writes.lock().unwrap().len(), 1, "put up again, and nothing else is written");
    let mut document: Value = serde_json::from_str(DOCUMENTS[1].1).unwrap();
    document["service"] = id.to_string().into();
    replace(&*story.store, &format_1_name(&id), document.to_string().as_bytes()).await;
    let reports = story.rekey().run(&order()).await;
    let told = reports[0].summary();
    assert!(reports[0].ending.is_failure() && told.contains("an older release writes the journal"), "{told}");
}

/// A store in which a document is not there, until it is written.
#[derive(Debug)]
struct Without {
    inner: Arc<dyn Store>,
    hidden: String,
    writes: Mutex<Vec<Vec<u8>>>,
}

#[async_trait]
impl Store for Without {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        let found = self.inner.get(name).await?;
        let hidden = name == self.hidden && self.writes.lock().unwrap().is_empty();
        Ok(if hidden { Found { document: None, ..found } } else { found })
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        if name != self.hidden {
            return self.inner.put(name, body, expected).await;
        }
        assert!(expected.is_none(), "it is not there");
        self.writes.lock().unwrap().push(body);
        Ok(Stored { etag: ETag("w".into()), at: Utc::now() })
    }
}

// ---- one request after the other, in every order ------------------------------------------------------------------

/// A store that waits before each request until it is polled again, so that a worker does one request at each poll.
#[derive(Debug)]
struct Stepped(Arc<dyn Store>);

#[async_trait]
impl Store for Stepped {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        next_poll().await;
        self.0.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        next_poll().await;
        self.0.put(name, body, expected).await
    }
}

async fn next_poll() {
    let mut polled = false;
    std::future::poll_fn(
        |_| {
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        },
    )
    .await;
}

/// What was put on record and answered for, by whom.
type Committed = Arc<Mutex<Vec<(&'static str, DateTime<Utc>)>>>;

/// A service with a journal of format 1, and workers that each take one step when they are told to.
struct Table {
    store: Arc<dyn Store>,
    clock: Arc<VirtualClock>,
    id: ServiceId,
    committed: Committed,
    workers: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    /// How far time goes on at each step: two minutes let every lease end before the next request.
    step: Duration,
}

impl Table {
    async fn new(step: Duration) -> Self {
        let (store, clock) = in_memory();
        let (id, _) = service_of(DOCUMENTS[1].1);
        let mut document = adopted();
        document["service"] = id.to_string().into();
        put(&*store, &format_1_name(&id), &document).await;
        Self { store, clock, id, committed: Committed::default(), workers: vec![], step }
    }

    /// A run of this release, which puts one thing on record.
    fn seat_newer(&mut self, who: &'static str) {
        let store: Arc<dyn Store> = Arc::new(Stepped(Arc::clone(&self.store)));
        let (clock, id, committed): (Arc<dyn Clock>, _, _) =
            (self.clock.clone(), self.id.clone(), self.committed.clone());
        self.workers.push(Box::pin(async move {
            let Ok(mut lease) = acquire(&store, &clock, &id, who).await else { return };
            lease.record(Event::Unblocked {}).unwrap();
            let at = lease.journal().history().next_back().unwrap().at;
            if lease.commit().await.is_ok() {
                committed.lock().unwrap().push((who, at));
                let _ = lease.release().await;
            }
        }));
    }

    /// A run of an older release, which does the same.
    fn seat_older(&mut self, who: &'static str) {
        let store: Arc<dyn Store> = Arc::new(Stepped(Arc::clone(&self.store)));
        let (clock, id, committed): (Arc<dyn Clock>, _, _) =
            (self.clock.clone(), self.id.clone(), self.committed.clone());
        self.workers.push(Box::pin(async move {
            let Ok(mut run) = OlderRun::begin(store, clock, &id, who).await else { return };
            if let Ok(at) = run.record().await {
                committed.lock().unwrap().push((who, at));
                let _ = run.end().await;
            }
        }));
    }

    /// One request of one worker; whether it goes on after that.
    fn play(&mut self, worker: usize) -> bool {
        self.clock.advance(self.step);
        let future = self.workers[worker].as_mut();
        let goes_on = future.poll(&mut Context::from_waker(Waker::noop())).is_pending();
        if !goes_on {
            self.workers[worker] = Box::pin(std::future::pending());
        }
        goes_on
    }

    fn play_all(&mut self, worker: usize) {
        let mut steps = 0;
        while self.play(worker) {
            steps += 1;
            assert!(steps < 50, "it does not end");
        }
    }

    /// Whoever is left is gone, and a run comes after all leases are over: nothing that was on record is lost, and older
    /// releases are kept out.
    async fn clear(mut self, played: &dyn std::fmt::Debug) -> Vec<&'static str> {
        self.workers.clear();
        self.clock.advance(Duration::from_secs(300));
        let clock: Arc<dyn Clock> = self.clock.clone();
        let lease = acquire(&self.store, &clock, &self.id, "the next").await;
        let lease = lease.unwrap_or_else(|error| panic!("{played:?}: {error}"));
        let known: BTreeSet<DateTime<Utc>> = lease.journal().history().map(|entry| entry.at).collect();
        let committed = self.committed.lock().unwrap().clone();
        for (who, at) in &committed {
            assert!(known.contains(at), "{played:?}: what {who} put on record is lost");
        }
        lease.release().await.unwrap();
        let older = OlderRun::begin(Arc::clone(&self.store), clock, &self.id, "older").await;
        assert_eq!(older.unwrap_err(), refusal(&self.id), "{played:?}");
        assert_eq!(body(&*self.store, &document_name(&self.id)).await.unwrap()["fenced"], true, "{played:?}");
        committed.into_iter().map(|(who, _)| who).collect()
    }
}

/// All orders in which so many steps of each worker can come.
fn orders(steps: &[usize]) -> Vec<Vec<usize>> {
    if steps.iter().all(|left| *left == 0) {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for first in (0..steps.len()).filter(|worker| steps[*worker] > 0) {
        let mut left = steps.to_vec();
        left[first] -= 1;
        all.extend(orders(&left).into_iter().map(|rest| [vec![first], rest].concat()));
    }
    all
}

const STEPS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(130)];

/// A run of this release makes eight requests: it reads both documents, writes the three of carrying over, and those of its
/// record and its end; one of an older release four.
#[tokio::test]
async fn in_every_order_of_their_requests_nothing_that_either_release_put_on_record_is_lost() {
    let mut ended = BTreeSet::new();
    for step in STEPS {
        for order in orders(&[8, 5]) {
            let mut table = Table::new(step).await;
            table.seat_newer("newer");
            table.seat_older("older");
            for worker in &order {
                table.play(*worker);
            }
            ended.insert(table.clear(&order).await);
        }
    }
    // All that there is comes about: the one alone, the other alone, and both one after the other.
    let all = [vec!["newer"], vec!["older"], vec!["older", "newer"]];
    assert!(all.iter().all(|way| ended.contains(way)), "{ended:?}");
    assert!(!ended.contains(&vec!["newer", "older"]), "an older release comes to nothing after a newer one");
}

#[tokio::test]
async fn in_every_order_of_their_requests_two_runs_carry_over_once() {
    let mut ended = BTreeSet::new();
    for step in STEPS {
        for order in orders(&[7, 7]) {
            let mut table = Table::new(step).await;
            table.seat_newer("one");
            table.seat_newer("two");
            for worker in &order {
                table.play(*worker);
            }
            ended.insert(table.clear(&order).await);
        }
    }
    assert!(ended.contains(&vec!["one"]) && ended.contains(&vec!["one", "two"]), "{ended:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// Two runs of this release and two of an older one, each dying anywhere, in any order, with leases that hold or end.
    #[test]
    fn whoever_dies_wherever_nothing_on_record_is_lost(
        order in prop::collection::vec((0..4_usize, any::<bool>()), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut table = Table::new(STEPS[0]).await;
            table.seat_newer("one");
            table.seat_newer("two");
            table.seat_older("three");
            table.seat_older("four");
            for (worker, long) in &order {
                table.step = STEPS[usize::from(*long)];
                table.play(*worker);
            }
            table.clear(&order).await;
        });
    }
}

/// Killed before a request, or after it took effect: between any two. What comes next finishes it, whether an older release
/// went on in between or not.
#[tokio::test]
async fn wherever_the_one_who_carries_over_is_killed_the_next_run_finishes_it() {
    let mut kills = 0;
    for older_goes_on in [false, true] {
        for after in 0.. {
            let mut table = Table::new(STEPS[0]).await;
            table.seat_newer("killed");
            if (0..after).any(|_| !table.play(0)) {
                break;
            }
            kills += 1;
            table.workers.clear();
            table.seat_older("at once");
            table.play_all(0);
            table.clock.advance(Duration::from_secs(130));
            if older_goes_on {
                table.workers.clear();
                table.seat_older("older");
                table.play_all(0);
            }
            let carried_over = after > 5;
            let committed = table.clear(&(older_goes_on, after)).await;
            let older = committed.iter().filter(|who| **who != "killed").count();
            assert!(older == 0 || !carried_over, "an older release went on after the fence: {after}");
            assert!(older > 0 || carried_over || !older_goes_on, "it could have gone on: {after}");
        }
    }
    assert!(kills >= 2 * 8, "{kills}");
}

#[tokio::test]
async fn a_lost_answer_to_any_of_the_writes_is_recognised() {
    for lost in 0..5 {
        let table = Table::new(STEPS[0]).await;
        let clock: Arc<dyn Clock> = table.clock.clone();
        let unanswered = StoreError::Unavailable("the connection was closed".into());
        let store: Arc<dyn Store> = Forgetful::new(Arc::clone(&table.store), lost, unanswered);
        let mut lease = acquire(&store, &clock, &table.id, "one").await.unwrap();
        lease.record(Event::Unblocked {}).unwrap();
        let at = lease.journal().history().next_back().unwrap().at;
        lease.commit().await.unwrap();
        lease.release().await.unwrap();
        table.committed.lock().unwrap().push(("one", at));
        assert_eq!(table.clear(&lost).await, ["one"]);
    }
}

/// Before the fence stands no proof is given, so nothing is changed in Azure.
#[tokio::test]
async fn nothing_may_be_changed_before_the_older_release_is_kept_out() {
    let table = Table::new(STEPS[0]).await;
    let clock: Arc<dyn Clock> = table.clock.clone();
    let mut lease = acquire(&table.store, &clock, &table.id, "one").await.unwrap();
    assert!(lease.proof().await.unwrap().until() - clock.now() <= TimeDelta::seconds(60));
    let older = OlderRun::begin(Arc::clone(&table.store), clock, &table.id, "older").await;
    assert_eq!(older.unwrap_err(), refusal(&table.id));
}

// ---- as processes -------------------------------------------------------------------------------------------------

/// The program of now as a process, and an older release at work on the same service.
#[tokio::test]
async fn a_process_of_each_release_one_after_the_other() {
    let azure = Azure::with_journals(&["sr-older"], &[]);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = azurite::store(Arc::clone(&clock));
    let id = ServiceId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "sr-older");
    let mut document: Value = serde_json::from_str(DOCUMENTS[1].1).unwrap();
    document["service"] = id.to_string().into();
    put(&*store, &format_1_name(&id), &document).await;
    let mut older = OlderRun::begin(Arc::clone(&store), Arc::clone(&clock), &id, "older").await.unwrap();

    // Whoever only reads leaves it as it is, and tells the journal in the words of now.
    let held = body(&*store, &format_1_name(&id)).await;
    for command in [&["plan"][..], &["status"], &["history", "--json"]] {
        let output = azure.run(command);
        assert!(text(&output.stdout).contains("sr-older"), "{command:?}: {}", text(&output.stderr));
    }
    assert_eq!(body(&*store, &format_1_name(&id)).await, held);
    assert!(body(&*store, &document_name(&id)).await.is_none());

    // While the older release has the lease, nothing is done; its keys are not those of this Azure, so there is much to do.
    let handler = Handler::start(&azure, &[]).await;
    let (first, recorded) = tokio::join!(handler.notice("sr-older"), older.record());
    assert_ne!(first.0, 200, "{first:?}");
    assert!(body(&*store, &document_name(&id)).await.is_none());
    let beside = format_1_name(&id).replace(".json", ".calls.json");
    assert!(body(&*store, &beside).await.is_some(), "it asks the older one to check");
    older.end().await.unwrap();

    let told = handler.tick().await;
    assert_eq!(body(&*store, &document_name(&id)).await.unwrap()["fenced"], true, "{told:?}");
    let journal: Journal = peek(&*store, &id).await.unwrap();
    let recorded = recorded.unwrap();
    assert!(journal.history().any(|entry| entry.at == recorded), "what the older one did is known");
    let report = azure.report().await;
    assert_eq!(report["refused_unexplained"], 0, "{report}");
    let again = OlderRun::begin(Arc::clone(&store), clock, &id, "older").await;
    assert_eq!(again.unwrap_err(), refusal(&id));
}
