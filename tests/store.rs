//! One suite for every store: in memory, and Blob Storage in the shape of Azurite. What holds for one holds for the
//! other, or the stories that are told with the one prove nothing for the other.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use common::hooked::Forgetful;
use common::program::Nobody;
use common::proxy::{Answer, Proxy, Straight};
use common::{HOUR, azurite, document_name, expire_lease, format_1_name};
use embedded_azure::VirtualClock;
use futures::FutureExt;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{AppId, ConsumerId, Key, PerKey, ServiceId};
use serde_json::Value;
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::store::{
    AppLocks, Draft, ETag, Found, Held, Lease, LockError, LockHolder, Locker, MemoryStore, Store, StoreError,
    Stored, peek,
};
use tokio::sync::Semaphore;

/// A store and the clock that it goes by, which can be moved in memory alone.
async fn on_each<F: Future<Output = ()>>(story: impl Fn(Arc<dyn Store>, Arc<dyn Clock>) -> F) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Utc::now()));
    story(Arc::new(MemoryStore::new(Arc::clone(&clock))), clock).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    story(azurite::store(Arc::clone(&clock)), clock).await;
}

/// An instance that nobody else has a journal for.
fn instance() -> ServiceId {
    let name = format!("i{}", uuid::Uuid::new_v4().simple());
    ServiceId::new("00000000-0000-0000-0000-000000000001", "Group(1)", &name)
}

fn adopted() -> Event {
    let fingerprint = |text| Key::new(text).fingerprint();
    Event::Adopted { keys: PerKey { primary: fingerprint("p"), secondary: fingerprint("s") } }
}

async fn acquire(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    id: &ServiceId,
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
        lease.record(Event::RotationRequested { compromised: false, noticed: false }).unwrap();
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
        for body in [
            "",
            "{",
            "[]",
            "{\"version\":3}",
            "{\"version\":2}",
            "{\"version\":1,\"lease\":null,\"journal\":{\"future\":1}}",
        ] {
            for name in [document_name, format_1_name] {
                let id = instance();
                let name = name(&id);
                store.put(&name, body.into(), None).await.unwrap();
                let error = acquire(&store, &clock, &id, "one").await.unwrap_err();
                assert!(matches!(error, StoreError::Unreadable { .. }), "{body}: {error}");
                let (there, _) = store.get(&name).await.unwrap().document.unwrap();
                assert_eq!(there, body.as_bytes());
            }
        }
    })
    .await;
}

/// A document of format 1 as one of format 2, with the journal as it is.
fn of_format_2(mut document: Value, id: &ServiceId) -> Value {
    document["version"] = 2.into();
    document["service"] = id.to_string().into();
    document["fenced"] = true.into();
    document
}

/// An accepted time would be added to, and whoever looked at the instance would panic.
#[tokio::test]
async fn a_journal_with_impossible_times_or_of_impossible_size_is_left_as_it_is() {
    let clock = Arc::new(VirtualClock::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let clock: Arc<dyn Clock> = clock;
    let refused = async |format_1: Value| {
        let mut details = Vec::new();
        for of_now in [false, true] {
            let id = instance();
            let (name, body) = if of_now {
                (document_name(&id), of_format_2(format_1.clone(), &id))
            } else {
                (format_1_name(&id), format_1.clone())
            };
            store.put(&name, body.to_string().into_bytes(), None).await.unwrap();
            let StoreError::Unreadable { detail, .. } =
                acquire(&store, &clock, &id, "one").await.unwrap_err()
            else {
                panic!("it is read")
            };
            details.push(detail);
        }
        assert_eq!(details[0], details[1]);
        details.remove(0)
    };
    let mut journal = serde_json::to_value(Journal::default()).unwrap();
    for time in ["+262142-12-31T23:59:59Z", "-0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        journal["requested"] = time.into();
        let document = serde_json::json!({ "version": 1, "lease": null, "journal": journal });
        let detail = refused(document).await;
        assert_eq!(detail, "a time in it is not within the years 1970 to 9980", "{time}");
    }
    let lease = serde_json::json!({ "holder": "x", "expires": "+200000-01-01T00:00:00Z" });
    let document = serde_json::json!({ "version": 1, "lease": lease, "journal": Journal::default() });
    assert!(refused(document).await.starts_with("a time in it"));
    let large = serde_json::json!({ "version": 1, "lease": null, "journal": " ".repeat(5 << 20) });
    assert_eq!(refused(large).await, "it is larger than 4 MiB");
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
            store.put(&format_1_name(&id), body.into(), None).await.unwrap();
            let error = acquire(&store, &clock, &id, "one").await.unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("see line 1, column ") && !said.contains("SECRET"), "{said}");
            store.put(&document_name(&id), body.replace('1', "2").into(), None).await.unwrap();
            let error = acquire(&store, &clock, &id, "one").await.unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("see line 1, column ") && !said.contains("SECRET"), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_recognised_as_our_own() {
    on_each(async |store, clock| {
        for lost in 0..3 {
            let id = instance();
            let store: Arc<dyn Store> = Forgetful::new(Arc::clone(&store), lost, StoreError::Changed);
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

    // The first write of all keeps older releases out; the next one is the journal's.
    let (inner, closes) = (MemoryStore::new(Arc::clone(&clock)), AtomicUsize::new(1));
    let overtaken = Arc::new(Closing { inner, closes, meanwhile: Some(b"{}") });
    let (store, id): (Arc<dyn Store>, _) = (overtaken.clone(), instance());
    acquire(&store, &clock, &id, "one").await.unwrap_err();
    let there = async |name: &str| store.get(name).await.unwrap().document.unwrap().0;
    assert_eq!(there(&format_1_name(&id)).await, b"{}", "what somebody else wrote is not written over");
    let id = instance();
    acquire(&store, &clock, &id, "one").await.unwrap().release().await.unwrap();
    overtaken.closes.store(1, Ordering::SeqCst);
    acquire(&store, &clock, &id, "two").await.unwrap_err();
    assert_eq!(there(&document_name(&id)).await, b"{}", "what somebody else wrote is not written over");
}

/// A store whose requests to Azurite go through a proxy.
async fn behind_a_proxy() -> (Arc<dyn Store>, Arc<dyn Clock>, Proxy) {
    let connection = azurite::connection_string();
    let (start, endpoint) = connection.split_once("BlobEndpoint=").unwrap();
    let proxy = Proxy::start(endpoint.split("/devstoreaccount1").next().unwrap(), Straight).await;
    let behind = format!("{start}BlobEndpoint={}devstoreaccount1;", proxy.base);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let environment = [("Behind", behind), ("REKEY_STATE", "Behind".into())].into_iter().collect();
    (azurite::store_by(&environment, Arc::clone(&clock)), clock, proxy)
}

/// As Blob Storage refuses, with its code in a header and in XML.
fn refusal(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Not so.\nRequestId:7</Message></Error>"
    );
    let mut answer = Answer::new(status, "application/xml", &body);
    answer.headers.insert("x-ms-error-code", code.parse().unwrap());
    answer
}

#[tokio::test]
async fn a_storage_that_refuses_a_write_is_no_other_worker_and_is_not_asked_again() {
    let (store, clock, proxy) = behind_a_proxy().await;
    for (status, code, advice) in [
        (412, "LeaseIdMissing", "break it"),
        (409, "BlobImmutableDueToPolicy", "an immutability policy"),
        (409, "BlobArchived", "set its tier to Hot"),
        (409, "ContainerBeingDeleted", "is being deleted"),
        (409, "AccountIsDisabled", "enable it"),
        (403, "AuthorizationPermissionMismatch", "Storage Blob Data Contributor"),
        (403, "AuthorizationFailure", "firewall"),
        (403, "AuthenticationFailed", "renew the connection string"),
        (403, "KeyBasedAuthenticationNotPermitted", "accepts no account keys"),
        (412, "SomethingNew", "until what it says is resolved"),
        (409, "SomethingNew", "until what it says is resolved"),
        (404, "SomethingNew", "until what it says is resolved"),
    ] {
        let id = instance();
        let mut lease = acquire(&store, &clock, &id, "one").await.unwrap();
        lease.record(adopted()).unwrap();
        proxy.bend(move |request: &str| request.starts_with("PUT").then(|| refusal(status, code)));
        let before = proxy.count("PUT");
        let error = lease.commit().await.unwrap_err();
        assert_eq!(proxy.count("PUT") - before, 1, "{code}: asked again");
        let StoreError::Refused(refused) = &error else { panic!("{code}: {error}") };
        assert_eq!(refused.code(), code);
        let text = error.to_string();
        assert!(text.contains(&format!("{status} {code}, Not so)")) && text.contains(advice), "{text}");
        assert!(text.contains("devstoreaccount1") && !text.contains(['<', '?']), "{text}");

        // A first write and a read are refused alike.
        let first = acquire(&store, &clock, &instance(), "one").await.unwrap_err();
        assert!(matches!(first, StoreError::Refused(_)), "{code}: {first}");
        proxy.bend(move |request: &str| request.starts_with("GET").then(|| refusal(status, code)));
        let read = peek(&*store, &id).await.unwrap_err();
        assert!(matches!(read, StoreError::Refused(_)), "{code}: {read}");
        proxy.bend(Straight);
        assert!(peek(&*store, &id).await.unwrap().keys().is_none(), "{code}: nothing was written");
    }
}

#[tokio::test]
async fn a_stranger_that_finds_nothing_is_no_empty_storage() {
    let (store, clock, proxy) = behind_a_proxy().await;
    proxy.bend(|_: &str| Some(Answer::new(404, "text/html", "<html>nginx</html>")));
    let error = acquire(&store, &clock, &instance(), "one").await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "taken for an instance that was never seen: {error}");
}

#[tokio::test]
async fn a_busy_storage_is_told_in_words() {
    let (store, clock, proxy) = behind_a_proxy().await;
    proxy.bend(|_: &str| Some(refusal(503, "ServerBusy")));
    let error = acquire(&store, &clock, &instance(), "one").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(proxy.count("GET") > 1, "it passes, so it is asked again");
    let text = error.to_string();
    assert!(text.contains("ServerBusy, Not so") && !text.contains('<'), "{text}");
}

/// Nobody of ours takes a lease of more than two minutes, so none lasts longer than that after the write that took it.
#[tokio::test]
async fn a_lease_that_no_worker_can_have_is_believed_for_two_minutes_and_no_longer() {
    let document = |id: &ServiceId| {
        let document = serde_json::json!({
            "lease": { "holder": "ghost", "expires": "2099-01-01T00:00:00Z" },
            "journal": Journal::default(),
        });
        of_format_2(document, id).to_string().into_bytes()
    };
    on_each(async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        let id = instance();
        store.put(&document_name(&id), document(&id), None).await.unwrap();
        let held = acquire(&store, &clock, &id, "one").await.unwrap_err();
        let StoreError::StrangeLease { holder, until, .. } = held else { panic!("{held}") };
        let left = (until - clock.now()).num_seconds();
        assert!(holder == "ghost" && (110..=121).contains(&left), "{left} s");
        // A person who has looked ends it at once.
        let by_hand = Lease::acquire_by_hand(Arc::clone(&store), Arc::clone(&clock), &id, "unblock").await;
        by_hand.unwrap().release().await.unwrap();
        acquire(&store, &clock, &id, "one").await.unwrap().release().await.unwrap();
    })
    .await;
    let clock = Arc::new(VirtualClock::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let (id, dynamic): (_, Arc<dyn Clock>) = (instance(), clock.clone());
    store.put(&document_name(&id), document(&id), None).await.unwrap();
    clock.advance(Duration::from_secs(119));
    assert!(acquire(&store, &dynamic, &id, "one").await.is_err());
    clock.advance(Duration::from_secs(1));
    acquire(&store, &dynamic, &id, "one").await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_journal_under_the_name_of_another_instance_is_refused_and_left_as_it_is() {
    on_each(async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        let ids = [instance(), instance()];
        for id in &ids {
            let mut lease = acquire(&store, &clock, id, "one").await.unwrap();
            lease.record(adopted()).unwrap();
            lease.release().await.unwrap();
        }
        let [one, other] = [&ids[0], &ids[1]].map(document_name);
        let read = async |name: &str| store.get(name).await.unwrap().document.unwrap();
        let ((one_body, one_etag), (other_body, other_etag)) = (read(&one).await, read(&other).await);
        store.put(&one, other_body.clone(), Some(&one_etag)).await.unwrap();
        store.put(&other, one_body, Some(&other_etag)).await.unwrap();
        for id in &ids {
            let error = acquire(&store, &clock, id, "one").await.unwrap_err();
            assert!(matches!(&error, StoreError::OfAnother { wanted, .. } if **wanted == *id), "{error}");
            assert!(ids.iter().all(|id| error.to_string().contains(&id.to_string())), "{error}");
            assert_eq!(peek(&*store, id).await.unwrap_err(), error, "nor is it shown as if it were its own");
        }
        assert_eq!(read(&one).await.0, other_body);
    })
    .await;
}

#[tokio::test]
async fn a_journal_that_does_not_say_whose_it_is_belongs_to_its_name_and_says_so_from_then_on() {
    on_each(async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        let id = instance();
        let old = serde_json::json!({ "version": 1, "lease": null, "journal": Journal::default() });
        store.put(&format_1_name(&id), old.to_string().into_bytes(), None).await.unwrap();
        acquire(&store, &clock, &id, "one").await.unwrap().release().await.unwrap();
        let (body, _) = store.get(&document_name(&id)).await.unwrap().document.unwrap();
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["service"], id.to_string());
        // Ids are the same in any case of letters.
        let loud = ServiceId::new(id.subscription(), &id.group().to_uppercase(), &id.name().to_uppercase());
        acquire(&store, &clock, &loud, "two").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_storage_that_is_not_there_is_an_error_and_takes_no_lease() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let nobody = Nobody::new();
    let connection = azurite::connection_string();
    let (start, _) = connection.split_once("BlobEndpoint").unwrap();
    let nowhere = format!("{start}BlobEndpoint={}/devstoreaccount1;", nobody.url());
    let environment = [("Elsewhere", nowhere), ("REKEY_STATE", "Elsewhere".into())].into_iter().collect();
    let store = azurite::store_by(&environment, Arc::clone(&clock));
    let error = Draft::read(store, clock, &instance(), "one").await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("Connection refused") && text.contains("devstoreaccount1"), "{text}");
    assert!(!text.contains("AccountKey") && !text.contains("://"), "{text}");
}

/// An app that nobody else locks, and the name of its lock.
fn app() -> (ConsumerId, String) {
    let name = format!("a{}", uuid::Uuid::new_v4().simple());
    let app = AppId::new("00000000-0000-0000-0000-000000000001", "Group(1)", &name, Some("Staging"));
    let lock = format!(
        "locks/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/group(1)/providers/microsoft.web\
         /sites/{name}/slots/staging.json"
    );
    (app.into(), lock)
}

/// Two processes and one store: one locks an app at a time, a lock that is not given back ends by itself, and who has lost
/// his leaves the other's alone.
#[tokio::test]
async fn one_process_at_a_time_locks_an_app() {
    on_each(async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        let (app, name) = app();
        let processes = [AppLocks::default(), AppLocks::default()];
        let service = instance();
        let locker = |number: usize, run: &'static str| Locker {
            locks: &processes[number],
            store: &*store,
            clock: &clock,
            run,
            service: &service,
        };
        let (one, two) = (locker(0, "one"), locker(1, "two"));
        let (begun, room) = (clock.now(), Semaphore::new(9));
        let lock = one.lock(&app, true, &room).await.unwrap();
        let proves_until = lock.proves_until().unwrap();
        let half = TimeDelta::seconds(60);
        assert!(begun + half <= proves_until && proves_until <= clock.now() + half, "half of the lease");
        let held = two.lock(&app, true, &room).await.unwrap_err();
        let by_one = |holder: &str| holder == format!("one for {}", service.name());
        assert!(
            matches!(&held, LockError::Held(Held { holder: LockHolder::Run(run), .. }) if by_one(run)),
            "{held:?}"
        );
        assert!(lock.release().await, "it was ours to the end");

        let LockError::Held(Held { again, .. }) = held else { panic!("{held:?}") };
        clock.sleep_until(again).await;
        let lock = two.lock(&app, true, &room).await.unwrap();
        let held = one.lock(&app, true, &room).await.unwrap_err();
        // As time would.
        let (body, etag) = store.get(&name).await.unwrap().document.unwrap();
        let mut document: Value = serde_json::from_slice(&body).unwrap();
        document["lease"]["expires"] = serde_json::json!("2020-01-01T00:00:00Z");
        store.put(&name, serde_json::to_vec(&document).unwrap(), Some(&etag)).await.unwrap();
        let LockError::Held(Held { again, .. }) = held else { panic!("{held:?}") };
        clock.sleep_until(again).await;
        let taken = one.lock(&app, true, &room).await.unwrap();
        assert!(!lock.release().await, "it was another's by then");
        let held = two.lock(&app, true, &room).await;
        assert!(held.is_err(), "and that one's was left alone: {held:?}");
        assert!(taken.release().await);
    })
    .await;
}

/// Within a process one task at a time has an app, and nothing is asked of the store where nobody shares it.
#[tokio::test]
async fn an_app_of_one_service_is_locked_in_its_process_alone() {
    on_each(async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        let (app, name) = app();
        let (locks, service) = (AppLocks::default(), instance());
        let locker = Locker { locks: &locks, store: &*store, clock: &clock, run: "one", service: &service };
        let room = Semaphore::new(9);
        let lock = locker.lock(&app, false, &room).await.unwrap();
        assert!(lock.proves_until().is_none());
        assert!(locker.lock(&app, false, &room).now_or_never().is_none(), "one at a time");
        assert!(lock.release().await);
        assert!(locker.lock(&app, false, &room).now_or_never().is_some());
        assert!(store.get(&name).await.unwrap().document.is_none());
    })
    .await;
}

/// What is too large to be a lock is somebody's that cannot be read, and ends as any other: by when it was written.
#[tokio::test]
async fn a_lock_that_is_too_large_ends_by_itself() {
    on_each(async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        let (app, name) = app();
        let stored = store.put(&name, vec![b' '; 5 << 20], None).await.unwrap();
        let (locks, service, room) = (AppLocks::default(), instance(), Semaphore::new(1));
        let locker = Locker { locks: &locks, store: &*store, clock: &clock, run: "one", service: &service };
        let error = locker.lock(&app, true, &room).await.unwrap_err();
        let LockError::Held(Held { holder: LockHolder::Unreadable, until, .. }) = &error else {
            panic!("{error:?}")
        };
        let left = (*until - stored.at).num_seconds();
        assert!((115..=125).contains(&left), "{left} s after it was written");
        assert!(!error.to_string().contains("journal"), "{error}");
    })
    .await;
}
