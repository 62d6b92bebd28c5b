//! What the fuzz targets call, one function for each, and what `tests/corpora.rs` replays. Each takes any bytes, and panics
//! where something does not hold that is promised of such input.
//!
//! How to run them stands in `fuzz/README.md`.

mod answer;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use rekey_core::intent::foresee;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{AppId, ConnectionString, Key, KeyPair, KeyType, PerKey, Section, ServiceId};
use rekey_core::notice::{self, Notice};
use rekey_core::plan::{self, Consumer, ConsumerRef, Holding, Snapshot};
use rekey_core::policy::Policy;
use serde_json::Value;
use signalr_rekey::azure::consumers::Marks;
use signalr_rekey::azure::consumers::app_service::Dictionary;
use signalr_rekey::azure::discovery::{Dictionaries, by_value};
use signalr_rekey::clock::Clock;
use signalr_rekey::config::{Config, Environment, load_from};
use signalr_rekey::handler::{Function, Trigger};
use signalr_rekey::report::InWords;
use signalr_rekey::report::text::snapshot::warnings;
use signalr_rekey::store::{Lease, MemoryStore, Store, StoreError, peek};

pub use answer::answer;

/// A target: its name, which is that of its folder of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("answer", answer),
    ("connection_string", connection_string),
    ("document", document),
    ("envelope", envelope),
    ("journal", journal),
    ("notice", notice),
];

/// Made-up keys as Azure made them until 2024 and since, which seeds plant by these names. Nothing that is said to anybody
/// may hold one.
const PLANTED: [(&str, &str); 2] = [
    ("@KEY@", "cGxhbnRlZC1rZXktb2YtNDQtY2hhcmFjdGVycy0yMDIxAA=="),
    ("@KEY84@", "PlantedKeyOf84Characters0123456789abcdefghijklmnopqrstuvwxyzJQQJ99BCACYeBjFXJ3w3AAAA"),
];

/// The input with the keys planted.
fn plant(text: &str) -> String {
    PLANTED.iter().fold(text.to_owned(), |text, (name, key)| text.replace(name, key))
}

/// That a text which people read holds no planted key.
fn assert_harmless(said: &str) {
    for (name, key) in PLANTED {
        assert!(!said.contains(key), "{name} is repeated: {said}");
    }
}

/// As short as no key, so that it is told from what stands around it, and with the signs of base64.
const NEW: &str = "bmV3/w+A==";

/// Below this a "key" may well stand in the host too, or in a fingerprint.
const TELLING: usize = 16;

/// A text is taken as it is, and another key changes the characters of the key alone. A planted key that stands in it in
/// the clear is seen, whatever is around it, and is replaced or told; and nothing that is said of it repeats it.
pub fn connection_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    parse(text);
    let [first, second] = PLANTED.map(|(_, key)| Key::new(key));
    let keys = KeyPair { primary: first, secondary: second };
    let value = plant(text);
    for (name, is_current) in [("X", true), ("AzureSignalRConnectionString", true), ("X", false)] {
        let shown = shown(name, &value, &keys, is_current);
        if keys.iter().any(|(_, key)| stands_alone(&value, key.expose())) {
            assert!(!shown.consumers.is_empty() || !shown.unknown.is_empty(), "a key is not seen");
        }
        assert_harmless(&format!("{shown:?} {:?}", warnings(&shown)));
    }
    rewrite(&value, &keys);
}

/// With another key in it a value holds that one alone, if nothing in it was out of reach; and nothing is left to write.
fn rewrite(value: &str, keys: &KeyPair) {
    let journal = journal_of(keys);
    let marks = Marks { keys: Some(keys), host: HOST, journal: &journal };
    let with_key = |value: &str| marks.with_key(value, &keys.secondary, false);
    let before = shown("X", value, keys, true);
    let Some(written) = with_key(value) else {
        let holds = |consumer: &Consumer| consumer.holds != Holding::Identity;
        assert!(!before.consumers.iter().any(holds), "a consumer cannot be written");
        return;
    };
    assert!(!before.consumers.is_empty(), "what holds no key was written");
    if before.unknown.is_empty() && before.references.is_empty() {
        let after = shown("X", &written, keys, true);
        let is_new = |consumer: &Consumer| consumer.holds == Holding::Valid(KeyType::Secondary);
        assert!(!after.consumers.is_empty() && after.consumers.iter().all(is_new), "another key is left");
        assert_eq!(with_key(&written), Some(written), "it is written again");
    }
}

/// What a setting shows of an instance with these keys, or that had them once.
fn shown(name: &str, value: &str, keys: &KeyPair, is_current: bool) -> Snapshot {
    let journal = journal_of(keys);
    let settings: Dictionary = [(name, value)].into_iter().collect();
    let read: Dictionaries = [(Section::AppSettings, settings)].into_iter().collect();
    let marks = Marks { keys: Some(keys).filter(|_| is_current), host: HOST, journal: &journal };
    read.shown(&by_value(&AppId::new("s", "g", "web", None)), marks, None)
}

/// The host of the service.
const HOST: &str = "chat.service.signalr.net";

/// A journal that remembers keys.
fn journal_of(keys: &KeyPair) -> Journal {
    let mut journal = Journal::default();
    let known = PerKey::from_fn(|key_type| keys[key_type].fingerprint());
    // On a journal without events the first is always taken.
    let _ = journal.apply(Event::Adopted { keys: known }, DateTime::UNIX_EPOCH);
    journal
}

/// Whether a key stands in a text with none of the signs around it that keys have.
fn stands_alone(text: &str, key: &str) -> bool {
    let is_of_keys = |sign: char| sign.is_alphanumeric() || "+/=-_".contains(sign);
    text.match_indices(key).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + key.len()..].chars().next();
        !before.is_some_and(|sign| is_of_keys(sign) && sign != '=') && !after.is_some_and(is_of_keys)
    })
}

fn parse(text: &str) {
    let Ok(parsed) = ConnectionString::parse(text) else { return };
    assert_eq!(parsed.expose(), text, "the text is kept as it is");
    assert_eq!(parsed.host(), parsed.host().to_lowercase());
    let changed = parsed.with_key(&Key::new(NEW));
    assert_eq!(changed.host(), parsed.host());
    let Some(old) = parsed.key() else {
        assert_eq!(changed.expose(), text, "without a key nothing changes");
        return;
    };
    // All places, overlapping ones too: the key may be as odd as `==`.
    let mut places =
        (0..text.len()).filter(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(old.expose())));
    let spliced = |at: usize| [&text[..at], NEW, &text[at + old.expose().len()..]].concat();
    assert!(places.any(|at| spliced(at) == changed.expose()), "more than a key changed");
    assert_eq!(changed.key(), Some(Key::new(NEW)));
    let read = ConnectionString::parse(changed.expose());
    let read = read.map(|read| (read.host().to_owned(), read.key()));
    assert_eq!(read, Ok((parsed.host().to_owned(), Some(Key::new(NEW)))), "it reads back");
    assert_eq!(changed.with_key(&old).expose(), text, "the old key makes the old text");
    let said = format!("{parsed:?}");
    assert!(
        old.expose().len() < TELLING || parsed.host().contains(old.expose()) || !said.contains(old.expose())
    );
}

/// It is taken or refused, and no fault repeats a key that was pasted into it.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment: Environment = [("REKEY_STATE", "memory")].into_iter().collect();
    let Err(faults) = load_from(&plant(text), "rekey.toml", &environment) else { return };
    assert!(faults.iter().next().is_some(), "refused without a reason");
    let said = format!("{faults} {faults:?}");
    assert_harmless(&said);
    assert!(!said.to_lowercase().contains("accesskey="), "a connection string is repeated: {said}");
}

/// Longer than any sentence of ours about an envelope: of its content nothing is repeated.
const LONGEST_FAULT: usize = 200;

/// An envelope is taken or refused, and what is said of it holds nothing of it.
pub fn envelope(data: &[u8]) {
    // Bytes that are no text go in as they are.
    let planted = std::str::from_utf8(data).map(|text| plant(text).into_bytes());
    let data = planted.as_deref().unwrap_or(data);
    let all = [
        Function::RotateKeys,
        Function::OnKeyNotice,
        Function::OnAlert,
        Function::OnReport,
        Function::Status,
    ];
    for function in all {
        match function.trigger(data) {
            Ok(Trigger::Timer) => {}
            Ok(Trigger::Events(events)) => judge(&events, data.len()),
            // Of fixed shape, and as long as a name is at most.
            Ok(Trigger::Report(_)) => {}
            // The name of a service at most, of which nothing is told but whether it is there.
            Ok(Trigger::Status(_)) => {}
            Err(malformed) => {
                let said = malformed.to_string();
                assert!(said.len() <= LONGEST_FAULT, "{said}");
                assert_harmless(&said);
            }
        }
    }
}

/// How many bytes may be kept for one that was sent. JSON that stands where a text belongs is kept as serde_json writes it,
/// which is longer for some numbers (`[1e15]` becomes `1000000000000000.0`).
const GROWTH: usize = 6;

/// JSON is read, or refused, into no more than it was, and every event means something that can be said.
pub fn notice(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if let Ok(events) = notice::read(&value, "the value") {
        judge(&events, data.len());
    }
}

/// What every event that was read from so many bytes has to keep.
fn judge(events: &[notice::Event], sent: usize) {
    let kept: usize = events.iter().map(size).sum();
    assert!(kept <= sent * GROWTH, "{kept} bytes are kept of {sent}");
    for event in events {
        let notice = notice::classify(event);
        assert!(!notice.in_words().is_empty());
        if let Notice::Announced { keys, .. } = &notice {
            assert!(keys.iter().any(|(_, announced)| *announced), "no key is announced");
        }
        if let Some(config) = config() {
            let foreseen = foresee(event, &config.configured(), DateTime::UNIX_EPOCH).unwrap_or_default();

            assert!(foreseen.intents.len() <= config.instances.len());
        }
    }
}

fn size(event: &notice::Event) -> usize {
    // The kind of an alert is our own word, and no larger than its members.
    let notice::Event { id, kind, time: _, resources, operation, bridge, alert: _ } = event;
    let one =
        [Some(kind), id.as_ref(), operation.as_ref(), bridge.instance.as_ref(), bridge.deadline.as_ref()];
    let many = resources.iter().chain(bridge.key_types.iter().flatten()).chain(&bridge.others);
    one.into_iter().flatten().chain(many).map(String::len).sum()
}

/// One instance, the one that seeds speak of.
fn config() -> Option<&'static Config> {
    static CONFIG: OnceLock<Option<Config>> = OnceLock::new();
    let file = "[[instance]]\n\
        id = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\n\
        apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop\"]\n";
    let environment: Environment = [("REKEY_STATE", "memory")].into_iter().collect();
    CONFIG.get_or_init(|| load_from(file, "rekey.toml", &environment).ok()).as_ref()
}

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
    let clock: Arc<dyn Clock> = Arc::new(LeapingClock::default());
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
        assert!(!event.in_words().is_empty());
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
    let (now, policy) = (LeapingClock::default().now(), Policy::default());
    let Some(keys) = journal.keys() else { return };
    let fingerprints = PerKey::from_fn(|key_type| keys[key_type].fingerprint.clone());
    let stale = Holding::Stale(Key::new("stale").fingerprint());
    for holds in [Holding::Valid(KeyType::Primary), Holding::Valid(KeyType::Secondary), stale] {
        let app = AppId::new("s", "g", "shop", None);
        let at = ConsumerRef { app: app.into(), section: Some(Section::AppSettings), name: "A".into() };
        let consumers = vec![Consumer { at, holds }];
        let snapshot = Snapshot { consumers, ..Snapshot::of_keys(now, fingerprints.clone()) };
        let events = plan::reconcile(&snapshot, journal, &policy, now);
        let mut journal = journal.clone();
        for event in events {
            // A state that we would never have written may have none of it.
            drop(journal.apply(event, now));
        }
        assert!(!plan::decide(&snapshot, &journal, &policy, now).in_words().is_empty());
    }
}

/// Its time stands still but for waits, which are over at once; in milliseconds since its beginning.
#[derive(Debug, Default)]
struct LeapingClock(AtomicI64);

/// Its beginning: 2026-09-24T13:20:00Z.
const SECONDS: TimeDelta = TimeDelta::seconds(1_790_256_000);

#[async_trait]
impl Clock for LeapingClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + SECONDS + TimeDelta::milliseconds(self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        let passed = time - DateTime::UNIX_EPOCH - SECONDS;
        self.0.fetch_max(passed.num_milliseconds() + 1, Ordering::Relaxed);
    }
}
