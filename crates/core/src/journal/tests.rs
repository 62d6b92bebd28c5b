//! The fold: what may follow what, and what is kept.

use chrono::TimeDelta;

use super::*;
use crate::model::{AppId, ConsumerId, Key, OperationUrl};

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

fn machine() -> ConsumerId {
    "reporter:iis-01".parse().unwrap()
}

fn reported(key: &str) -> Event {
    Event::Reported { consumer: machine(), fingerprint: fingerprint(key) }
}

#[test]
fn a_report_counts_from_then_on_and_what_is_said_again_is_no_news() {
    let mut journal = adopted();
    journal.apply(reported("s"), at(5)).unwrap();
    assert_eq!(record(&journal, KeyType::Secondary).held, Held::Now);
    journal.apply(reported("s"), at(9)).unwrap();
    let report = journal.report(&machine()).unwrap();
    assert_eq!((report.since, report.at, &report.by), (at(5), at(9), &None));
    assert_eq!(journal.history.len(), 2, "the adoption, and the first report");
    let by = "ada".to_owned();
    let event = Event::Acknowledged { consumer: machine(), fingerprint: fingerprint("p"), by: by.clone() };
    journal.apply(event, at(10)).unwrap();
    let report = journal.report(&machine()).unwrap();
    assert_eq!((report.since, &report.by), (at(10), &Some(by)));
    assert_eq!(record(&journal, KeyType::Secondary).held, Held::Now, "until a check finds nobody with it");
}

#[test]
fn a_report_may_come_before_the_first_check_and_of_a_key_that_is_not_known() {
    let mut journal = Journal::default();
    journal.apply(reported("p"), at(1)).unwrap();
    assert!(journal.keys().is_none() && journal.report(&machine()).is_some());
    let mut journal = adopted();
    journal.apply(reported("another"), at(1)).unwrap();
    assert!(journal.keys().unwrap().iter().all(|(_, record)| record.held == Held::Unknown(at(0))));
}

#[test]
fn reports_do_not_push_out_what_was_done() {
    let mut journal = adopted();
    for n in 0..200 {
        journal.apply(reported(if n % 2 == 0 { "p" } else { "s" }), at(n)).unwrap();
    }
    assert_eq!(journal.history.len(), 1 + HISTORY_REPORTS_OF_ONE, "of one that goes to and fro");
    assert!(matches!(journal.history[0].event, Event::Adopted { .. }));
    assert_eq!(journal.history.back().unwrap().at, at(199), "the latest are kept");
    for n in 200..300 {
        let consumer = format!("reporter:m{}", n % 50).parse().unwrap();
        let key = if n < 250 { "p" } else { "s" };
        journal.apply(Event::Reported { consumer, fingerprint: fingerprint(key) }, at(n)).unwrap();
    }
    assert_eq!(journal.history.len(), 1 + HISTORY_REPORTS);
}

/// A machine that goes to and fro between two keys is seen to, and waited for, by each run: what was done stays on record.
#[test]
fn who_goes_to_and_fro_pushes_nothing_out_that_was_done() {
    let mut journal = adopted();
    journal.apply(Event::RotationRequested { compromised: true, noticed: false }, at(1)).unwrap();
    let key_type = KeyType::Primary;
    for n in 0..100 {
        let times = [4 * n + 2, 4 * n + 3, 4 * n + 4, 4 * n + 5].map(at);
        journal.apply(reported("p"), times[0]).unwrap();
        let who = vec![machine()];
        journal.apply(Event::ExternalAwaited { key_type, awaited: true, who }, times[1]).unwrap();
        journal.apply(reported("s"), times[2]).unwrap();
        journal.apply(Event::Left { key_type }, times[3]).unwrap();
    }
    let is_request = |entry: &&Entry| matches!(entry.event, Event::RotationRequested { .. });
    assert_eq!(journal.history().filter(is_request).count(), 1, "{:?}", journal.history);
    assert!(journal.history.len() < HISTORY, "{}", journal.history.len());
    assert_eq!(journal.history.back().unwrap().at, at(401), "the latest are kept");
}

#[test]
fn a_wait_ends_with_the_key_that_is_waited_for() {
    let key_type = KeyType::Primary;
    let waiting = || {
        let mut journal = adopted();
        journal.apply(reported("p"), at(1)).unwrap();
        journal.apply(Event::ExternalAwaited { key_type, awaited: true, who: vec![] }, at(2)).unwrap();
        assert_eq!(record(&journal, key_type).awaited, Some(at(2)));
        journal
    };
    let fingerprint = fingerprint("p2");
    for event in [
        Event::ExternalAwaited { key_type, awaited: false, who: vec![] },
        Event::Left { key_type },
        Event::RepointIntended { key_type },
        Event::KeyChanged { key_type, fingerprint },
    ] {
        let mut journal = waiting();
        journal.apply(event.clone(), at(3)).unwrap();
        assert_eq!(record(&journal, key_type).awaited, None, "{event:?}");
    }
}

#[test]
fn what_a_person_says_of_readers_is_of_one_key() {
    let mut journal = adopted();
    let secret: ConsumerId = "keyVaultSecret:https://v.vault.azure.net/secrets/chat".parse().unwrap();
    let said = |key: &str| Event::ReadersAcknowledged {
        consumer: secret.clone(),
        fingerprint: fingerprint(key),
        by: "ada".into(),
    };
    journal.apply(said("p"), at(3)).unwrap();
    let left = journal.readers_left(&secret, &fingerprint("p")).unwrap();
    assert_eq!((left.at, left.by.as_str()), (at(3), "ada"));
    assert_eq!(journal.readers_left(&secret, &fingerprint("s")), None);
    let event = Event::KeyChanged { key_type: KeyType::Primary, fingerprint: fingerprint("p2") };
    journal.apply(event, at(4)).unwrap();
    assert!(journal.readers.is_empty(), "of a key that there is no more nothing is kept");
}

/// A release that knows nothing of reports reads a document only where there are none: what it would do goes by less than
/// there is. It reads an empty map of each in a document of format 2, and refuses a member or an event that it does not know.
#[test]
fn what_is_new_stands_where_older_releases_refuse_it() {
    let mut journal = adopted();
    let plain = serde_json::to_value(&journal).unwrap();
    assert_eq!(plain["reports"], serde_json::json!({}));
    assert_eq!(plain["readers"], serde_json::json!({}));
    assert!(plain["keys"]["primary"].get("awaited").is_none());
    journal.apply(reported("p"), at(1)).unwrap();
    let key_type = KeyType::Primary;
    journal.apply(Event::ExternalAwaited { key_type, awaited: true, who: vec![] }, at(2)).unwrap();
    let text = serde_json::to_string(&journal).unwrap();
    let told = serde_json::to_value(&journal).unwrap();
    assert_eq!(told["reports"]["reporter:iis-01"]["fingerprint"], fingerprint("p").to_string());
    assert!(told["keys"]["primary"].get("awaited").is_some(), "which an older release does not know");
    assert_eq!(serde_json::from_str::<Journal>(&text).unwrap(), journal);
}
