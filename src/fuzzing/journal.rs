//! Documents as the storage may hold them, and events as they may come.

use std::sync::Arc;

use futures::FutureExt;

use super::still::StillClock;
use crate::clock::Clock;
use crate::store::{Lease, MemoryStore, Store, StoreError, peek};
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{AppId, KeyType, PerKey, Section, ServiceId};
use rekey_core::plan::{self, Consumer, ConsumerRef, Holding, Snapshot};
use rekey_core::policy::Policy;

/// What divides a document from the events, each in a line of its own.
const THEN: &[u8] = b"\n%%\n";

/// A document is read, or refused and left as it is; what was read is written back the same; and neither an event nor a
/// decision on it panics.
pub fn journal(data: &[u8]) {
    let at = data.windows(THEN.len()).position(|window| window == THEN);
    let (document, events) = at.map_or((data, &b""[..]), |at| (&data[..at], &data[at + THEN.len()..]));
    let events = events.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let events: Vec<Event> = events.collect();
    for name in NAMES {
        // Nothing here waits for anything: the store is in memory.
        let done = keep(name, document, events.clone()).now_or_never();
        assert!(done.is_some(), "it waits");
    }
}

/// The name of the document in format 1, and in that of now.
const NAMES: [&str; 2] = ["s/g/chat.json", "s/g/signalr/chat.json"];

async fn keep(name: &str, document: &[u8], events: Vec<Event>) {
    let clock: Arc<dyn Clock> = Arc::new(StillClock);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let id = ServiceId::new("s", "g", "chat");
    let stored = store.put(name, document.to_vec(), None).await;
    assert!(stored.is_ok());
    let read = peek(&*store, &id).await;
    let mut lease = match Lease::acquire(Arc::clone(&store), clock, &id, "fuzz").await {
        Ok(lease) => lease,
        Err(error) => {
            assert_eq!(
                read.is_ok(),
                matches!(error, StoreError::Held { .. } | StoreError::StrangeLease { .. }),
                "{error}"
            );
            let there = store.get(name).await.ok().and_then(|found| found.document);
            assert!(there.is_some_and(|(body, _)| body == document), "it is left as it is");
            return;
        }
    };
    assert_eq!(read.as_ref(), Ok(lease.journal()));
    for event in events {
        decide(lease.journal());
        let before = lease.journal().clone();
        assert!(!event.to_string().is_empty());
        if lease.record(event).is_err() {
            assert_eq!(*lease.journal(), before, "an illegal event changes nothing");
        }
    }
    decide(lease.journal());
    let kept = lease.journal().clone();
    assert!(lease.release().await.is_ok());
    assert_eq!(peek(&*store, &id).await, Ok(kept), "it reads back");
}

/// What would be done next, for each way in which an app may hold a key.
fn decide(journal: &Journal) {
    let (now, policy) = (StillClock.now(), Policy::default());
    let Some(keys) = journal.keys() else { return };
    let fingerprints = PerKey::from_fn(|key_type| keys[key_type].fingerprint.clone());
    let stale = Holding::Stale(rekey_core::model::Key::new("stale").fingerprint());
    for holds in [Holding::Valid(KeyType::Primary), Holding::Valid(KeyType::Secondary), stale] {
        let app = AppId::new("s", "g", "shop", None).into();
        let at = ConsumerRef { app, section: Section::AppSettings, name: "A".into() };
        let consumers = vec![Consumer { at, holds }];
        let snapshot = Snapshot { consumers, ..Snapshot::of_keys(now, fingerprints.clone()) };
        let events = plan::reconcile(&snapshot, journal, &policy, now);
        let mut journal = journal.clone();
        for event in events {
            // A state that we would never have written may have none of it.
            drop(journal.apply(event, now));
        }
        assert!(!plan::decide(&snapshot, &journal, &policy, now).to_string().is_empty());
    }
}
