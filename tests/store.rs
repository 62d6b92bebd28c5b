//! One suite for every store: in memory, and Blob Storage in the shape of Azurite. What holds for one holds for the
//! other, or the stories that are told with the one prove nothing for the other.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use common::{HOUR, azurite, document_name, expire_lease};
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::journal::{Event, Journal};
use signalr_rekey::model::{InstanceId, Key, PerKey};
use signalr_rekey::sim::VirtualClock;
use signalr_rekey::store::{Draft, ETag, Found, Lease, MemoryStore, Store, StoreError, Stored, peek};

/// A store and the clock that it goes by, which can be moved in memory alone.
async fn on_each<F: Future<Output = ()>>(story: impl Fn(Arc<dyn Store>, Arc<dyn Clock>) -> F) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Utc::now()));
    story(Arc::new(MemoryStore::new(Arc::clone(&clock))), clock).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    story(azurite::store(Arc::clone(&clock)), clock).await;
}

/// An instance that nobody else has a journal for.
fn instance() -> InstanceId {
    let name = format!("i{}", uuid::Uuid::new_v4().simple());
    InstanceId::new("00000000-0000-0000-0000-000000000001", "Group(1)", &name)
}

fn adopted() -> Event {
    let fingerprint = |text| Key::new(text).fingerprint();
    Event::Adopted { keys: PerKey { primary: fingerprint("p"), secondary: fingerprint("s") } }
}

async fn acquire(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    id: &InstanceId,
    who: &str,
) -> Result<Lease, StoreError> {
    Lease::acquire(Arc::clone(store), Arc::clone(clock), id, who).await
}

#[tokio::test]
async fn documents_are_created_and_updated_under_conditions() {
    on_each(async |store: Arc<dyn Store>, _| {
        let name = document_name(&instance());
        assert!(store.get(&name).await.unwrap().document.is_none());
        let first = store.put(&name, b"one".to_vec(), None).await.unwrap().etag;
        assert_eq!(
            store.put(&name, b"other".to_vec(), None).await.unwrap_err(),
            StoreError::Changed,
            "create once"
        );
        let second = store.put(&name, b"two".to_vec(), Some(&first)).await.unwrap().etag;
        assert_ne!(first, second);
        let lost = store.put(&name, b"lost".to_vec(), Some(&first)).await;
        assert_eq!(lost.unwrap_err(), StoreError::Changed, "a lost update");
        let (body, etag) = store.get(&name).await.unwrap().document.unwrap();
        assert_eq!((body.as_slice(), etag), (&b"two"[..], second));
        let absent = store.put(&format!("{name}.absent"), b"x".to_vec(), Some(&first)).await;
        assert_eq!(absent.unwrap_err(), StoreError::Changed, "what has gone was overtaken");
    })
    .await;
}

#[tokio::test]
async fn what_one_worker_records_the_next_one_reads() {
    on_each(async |store, clock| {
        let id = instance();
        let mut lease = acquire(&store, &clock, &id, "one").await.unwrap();
        lease.record(adopted()).unwrap();
        lease.proof().await.unwrap();
        lease.record(Event::RotationRequested { exposed: false, noticed: false }).unwrap();
        lease.release().await.unwrap();
        let lease = acquire(&store, &clock, &id, "two").await.unwrap();
        assert_eq!(lease.journal().history().count(), 2);
        assert_eq!(*lease.journal(), peek(&*store, &id).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn one_worker_at_a_time_and_who_lost_the_lease_writes_no_more() {
    on_each(async |store, clock| {
        let id = instance();
        let mut first = acquire(&store, &clock, &id, "one").await.unwrap();
        let held = acquire(&store, &clock, &id, "two").await.unwrap_err();
        assert!(matches!(held, StoreError::Held { holder, .. } if holder == "one"));
        expire_lease(&*store, &id).await;
        let second = acquire(&store, &clock, &id, "two").await.unwrap();
        first.record(adopted()).unwrap();
        assert_eq!(first.proof().await.map(drop).unwrap_err(), StoreError::Changed, "no proof, so no step");
        second.release().await.unwrap();
        assert_eq!(first.release().await.unwrap_err(), StoreError::Changed);
    })
    .await;
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_is_renewed_before() {
    let clock = Arc::new(VirtualClock::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let (id, dynamic): (_, Arc<dyn Clock>) = (instance(), clock.clone());
    let mut lease = acquire(&store, &dynamic, &id, "one").await.unwrap();
    for _ in 0..10 {
        clock.advance(Duration::from_secs(85));
        lease.keep().await.unwrap();
        assert!(matches!(acquire(&store, &dynamic, &id, "two").await, Err(StoreError::Held { .. })));
    }
    clock.advance(Duration::from_secs(119));
    assert!(acquire(&store, &dynamic, &id, "two").await.is_err());
    clock.advance(Duration::from_secs(1));
    assert!(acquire(&store, &dynamic, &id, "two").await.is_ok());
}

#[tokio::test]
async fn a_renewal_is_a_write_like_any_other() {
    let clock = Arc::new(VirtualClock::new(Utc::now()));
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    for store in [memory, azurite::store(clock.clone())] {
        let (id, dynamic): (_, Arc<dyn Clock>) = (instance(), clock.clone());
        let mut lease = acquire(&store, &dynamic, &id, "one").await.unwrap();
        let version = async || store.get(&document_name(&id)).await.unwrap().document.unwrap().1;
        let first = version().await;
        lease.keep().await.unwrap();
        assert_eq!(version().await, first, "not before most of it is gone");
        clock.advance(Duration::from_secs(85));
        lease.keep().await.unwrap();
        assert_ne!(version().await, first, "renewed");
        expire_lease(&*store, &id).await;
        let taken = acquire(&store, &dynamic, &id, "two").await.unwrap();
        clock.advance(Duration::from_secs(85));
        assert_eq!(lease.keep().await.unwrap_err(), StoreError::Changed, "who lost it cannot renew it");
        taken.release().await.unwrap();
    }
}

/// An hour early or late: the storage's clock alone decides, so a wrong clock neither steals a lease nor keeps one.
#[tokio::test]
async fn a_wrong_clock_steals_no_lease() {
    let right: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = azurite::store(Arc::clone(&right));
    for wrong in [Utc::now() + HOUR, Utc::now() - HOUR] {
        let wrong: Arc<dyn Clock> = Arc::new(VirtualClock::new(wrong));
        let wrong_store = azurite::store(Arc::clone(&wrong));
        let id = instance();
        let lease = acquire(&store, &right, &id, "right").await.unwrap();
        let stolen = acquire(&wrong_store, &wrong, &id, "wrong").await;
        assert!(matches!(stolen, Err(StoreError::Held { .. })), "stolen by a clock at {}", wrong.now());
        lease.release().await.unwrap();

        let id = instance();
        let lease = acquire(&wrong_store, &wrong, &id, "wrong").await.unwrap();
        let stolen = acquire(&store, &right, &id, "right").await.unwrap_err();
        let StoreError::Held { until, .. } = stolen else { panic!("{stolen}") };
        let left = (until - Utc::now()).num_seconds();
        assert!((100..=121).contains(&left), "a lease of {left} s by the storage's clock");
        drop(lease);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_left_as_it_is() {
    on_each(async |store, clock| {
        for body in
            ["", "{", "[]", "{\"version\":2}", "{\"version\":1,\"lease\":null,\"journal\":{\"future\":1}}"]
        {
            let id = instance();
            store.put(&document_name(&id), body.into(), None).await.unwrap();
            let error = acquire(&store, &clock, &id, "one").await.unwrap_err();
            assert!(matches!(error, StoreError::Unreadable { .. }), "{body}: {error}");
            let (there, _) = store.get(&document_name(&id)).await.unwrap().document.unwrap();
            assert_eq!(there, body.as_bytes());
        }
    })
    .await;
}

/// An accepted time would be added to, and whoever looked at the instance would panic.
#[tokio::test]
async fn a_journal_with_impossible_times_or_of_impossible_size_is_left_as_it_is() {
    let clock = Arc::new(VirtualClock::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let clock: Arc<dyn Clock> = clock;
    let refused = async |body: String| {
        let id = instance();
        store.put(&document_name(&id), body.into_bytes(), None).await.unwrap();
        let StoreError::Unreadable { detail, .. } = acquire(&store, &clock, &id, "one").await.unwrap_err()
        else {
            panic!("it is read")
        };
        detail
    };
    let mut journal = serde_json::to_value(Journal::default()).unwrap();
    for time in ["+262142-12-31T23:59:59Z", "-0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        journal["requested"] = time.into();
        let document = serde_json::json!({ "version": 1, "lease": null, "journal": journal });
        let detail = refused(document.to_string()).await;
        assert_eq!(detail, "a time in it is not within the years 1970 to 9980", "{time}");
    }
    let lease = serde_json::json!({ "holder": "x", "expires": "+200000-01-01T00:00:00Z" });
    let document = serde_json::json!({ "version": 1, "lease": lease, "journal": Journal::default() });
    assert!(refused(document.to_string()).await.starts_with("a time in it"));
    assert_eq!(refused(" ".repeat(5 << 20)).await, "it is larger than 4 MiB");
}

#[tokio::test]
async fn what_is_said_of_a_journal_repeats_nothing_of_it() {
    on_each(async |store, clock| {
        for body in [
            "{\"version\":\"SECRET\"}",
            "{\"version\":1,\"lease\":null,\"journal\":{\"SECRET\":1}}",
            "{\"version\":1,\"lease\":\"SECRET\"}",
        ] {
            let id = instance();
            store.put(&document_name(&id), body.into(), None).await.unwrap();
            let error = acquire(&store, &clock, &id, "one").await.unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("see line 1, column ") && !said.contains("SECRET"), "{said}");
        }
    })
    .await;
}

/// A store whose n-th write is done, but its answer lost.
#[derive(Debug)]
struct Forgetful {
    store: Arc<dyn Store>,
    writes: AtomicUsize,
    lost: usize,
}

#[async_trait]
impl Store for Forgetful {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.store.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let stored = self.store.put(name, body, expected).await?;
        if self.writes.fetch_add(1, Ordering::Relaxed) == self.lost {
            return Err(StoreError::Changed);
        }
        Ok(stored)
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_recognised_as_our_own() {
    on_each(async |store, clock| {
        for lost in 0..3 {
            let id = instance();
            let store: Arc<dyn Store> =
                Arc::new(Forgetful { store: Arc::clone(&store), writes: AtomicUsize::new(0), lost });
            let mut lease = acquire(&store, &clock, &id, "one").await.unwrap();
            lease.record(adopted()).unwrap();
            lease.commit().await.unwrap();
            lease.release().await.unwrap();
            assert!(peek(&*store, &id).await.unwrap().keys().is_some());
        }
    })
    .await;
}

/// Storage that closes the connection so many times before a write has come through.
#[derive(Debug)]
struct Closing {
    inner: MemoryStore,
    closes: AtomicUsize,
    /// What somebody else writes meanwhile.
    meanwhile: Option<&'static [u8]>,
}

#[async_trait]
impl Store for Closing {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.inner.get(name).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let left = self.closes.load(Ordering::SeqCst);
        if left == 0 {
            return self.inner.put(name, body, expected).await;
        }
        self.closes.store(left - 1, Ordering::SeqCst);
        if let Some(other) = self.meanwhile {
            self.inner.put(name, other.to_vec(), expected).await?;
        }
        Err(StoreError::Unavailable("the connection was closed".into()))
    }
}

#[tokio::test]
async fn a_write_that_did_not_come_through_is_sent_again_if_nobody_wrote_meanwhile() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let closing = |closes: usize, meanwhile| -> Arc<dyn Store> {
        let (inner, closes) = (MemoryStore::new(Arc::clone(&clock)), AtomicUsize::new(closes));
        Arc::new(Closing { inner, closes, meanwhile })
    };
    for closes in [1, 2] {
        let (store, id, start) = (closing(closes, None), instance(), clock.now());
        let lease = acquire(&store, &clock, &id, "one").await.unwrap();
        assert!(clock.now() > start, "not at once");
        lease.release().await.unwrap();
    }
    let closed = acquire(&closing(3, None), &clock, &instance(), "one").await.unwrap_err();
    assert_eq!(closed, StoreError::Unavailable("the connection was closed".into()), "not for ever");

    let (store, id) = (closing(1, Some(b"{}")), instance());
    acquire(&store, &clock, &id, "one").await.unwrap_err();
    let there = store.get(&document_name(&id)).await.unwrap().document.unwrap().0;
    assert_eq!(there, b"{}", "what somebody else wrote is not written over");
}

#[tokio::test]
async fn a_storage_that_is_not_there_is_an_error_and_takes_no_lease() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let connection = azurite::connection_string();
    let (start, _) = connection.split_once("BlobEndpoint").unwrap();
    let nowhere = format!("{start}BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;");
    let environment = [("Elsewhere", nowhere), ("REKEY_STATE", "Elsewhere".into())].into_iter().collect();
    let store = azurite::store_by(&environment, Arc::clone(&clock));
    let error = Draft::read(store, clock, &instance(), "one").await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("AccountKey"), "{error}");
}
