//! The fold: what may follow what, and what is kept.

use chrono::TimeDelta;

use super::*;
use crate::model::{AppId, Key, OperationUrl};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn fingerprint(name: &str) -> Fingerprint {
    Key::new(name).fingerprint()
}

fn adopted() -> Journal {
    let mut journal = Journal::default();
    let keys = PerKey { primary: fingerprint("p"), secondary: fingerprint("s") };
    journal.apply(Event::Adopted { keys }, at(0)).unwrap();
    journal
}

fn record(journal: &Journal, key_type: KeyType) -> &KeyRecord {
    &journal.keys().unwrap()[key_type]
}

#[test]
fn a_regeneration_is_intended_accepted_and_done() {
    let mut journal = adopted();
    let key_type = KeyType::Secondary;
    journal.apply(Event::RegenerationIntended { key_type }, at(1)).unwrap();
    assert_eq!(journal.in_flight().unwrap().prior, fingerprint("s"));
    let promised = Some(fingerprint("s2"));
    journal.apply(Event::RegenerationAccepted { operation: None, promised }, at(2)).unwrap();
    journal.apply(Event::Regenerated { fingerprint: fingerprint("s2"), confirmed: true }, at(3)).unwrap();
    let after = record(&journal, key_type);
    assert_eq!((after.origin, after.held, after.created), (Origin::Ours, Held::Never, at(3)));
    assert!(journal.in_flight().is_none() && journal.remembers(&fingerprint("s")));
}

#[test]
fn what_is_out_of_order_is_illegal_and_changes_nothing() {
    let key_type = KeyType::Primary;
    let mut held = adopted();
    held.apply(Event::Taken { key_type }, at(1)).unwrap();
    let mut flying = adopted();
    flying.apply(Event::RegenerationIntended { key_type }, at(1)).unwrap();
    let keys = PerKey { primary: fingerprint("a"), secondary: fingerprint("b") };
    for (mut journal, event) in [
        (Journal::default(), Event::RegenerationIntended { key_type }),
        (Journal::default(), Event::Verified { key_type }),
        (adopted(), Event::Adopted { keys }),
        (adopted(), Event::Left { key_type }),
        (adopted(), Event::RegenerationAccepted { operation: None, promised: None }),
        (adopted(), Event::Regenerated { fingerprint: fingerprint("x"), confirmed: true }),
        (adopted(), Event::RegenerationFailed { detail: String::new(), lasting: false }),
        (held, Event::RegenerationIntended { key_type }),
        (flying.clone(), Event::RegenerationIntended { key_type: key_type.other() }),
        (flying.clone(), Event::Regenerated { fingerprint: fingerprint("p"), confirmed: true }),
        (flying, Event::KeyChanged { key_type, fingerprint: fingerprint("x") }),
    ] {
        let before = journal.clone();
        assert!(journal.apply(event.clone(), at(9)).is_err(), "{event:?}");
        assert_eq!(journal, before);
    }
}

#[test]
fn a_key_changed_from_outside_may_be_in_somebodys_hands() {
    let mut journal = adopted();
    let event = Event::KeyChanged { key_type: KeyType::Primary, fingerprint: fingerprint("p2") };
    journal.apply(event, at(5)).unwrap();
    assert_eq!(record(&journal, KeyType::Primary).held, Held::Unknown(at(5)));
}

#[test]
fn history_and_memory_are_bounded() {
    let mut journal = adopted();
    for n in 0..600 {
        let event =
            Event::KeyChanged { key_type: KeyType::Primary, fingerprint: fingerprint(&n.to_string()) };
        journal.apply(event, at(n)).unwrap();
    }
    assert_eq!((journal.history.len(), journal.former.len()), (HISTORY, FORMER));
    let apps = |count| (0..count).map(|n| AppId::new("s", "g", &format!("app-{n}"), None).into()).collect();
    let repair = |count| Event::Repointed { key_type: KeyType::Primary, apps: apps(count), repaired: true };
    journal.apply(Event::RepointIntended { key_type: KeyType::Primary }, at(0)).unwrap();
    for n in 0..50 {
        journal.apply(repair(400), at(n)).unwrap();
    }
    assert_eq!(journal.history.len(), HISTORY_APPS / 400, "older events made room");
    journal.apply(repair(HISTORY_APPS + 1), at(50)).unwrap();
    assert_eq!(journal.history.len(), 1, "the latest is kept, however large");
}

#[test]
fn the_document_reads_back_and_the_history_holds_no_operation_url() {
    let mut journal = adopted();
    journal.apply(Event::RegenerationIntended { key_type: KeyType::Primary }, at(1)).unwrap();
    let operation = Some(OperationUrl::async_operation("https://management.azure.com/x?t=1&s=signature"));
    journal.apply(Event::RegenerationAccepted { operation, promised: None }, at(2)).unwrap();
    let text = serde_json::to_string(&journal).unwrap();
    assert_eq!(text.matches("signature").count(), 1, "in the step in flight alone");
    assert_eq!(serde_json::from_str::<Journal>(&text).unwrap(), journal);
    assert!(!format!("{journal:?}").contains("signature"));
}
