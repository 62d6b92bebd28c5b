//! Chains of arbitrary lives of a service, and every way to spoil one.

use proptest::prelude::*;

use super::*;
use crate::journal::{AskedBy, ChangeStep, Event, Fate, LeftOut};
use crate::model::{AppId, ConsumerId, Fingerprint, Key, KeyType, PerKey};
use crate::plan::{ConsumerRef, handed_out};

fn service() -> ServiceId {
    "/subscriptions/S/resourceGroups/rg/providers/Microsoft.SignalRService/SignalR/Chat".parse().unwrap()
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes)
}

fn key(number: usize) -> Fingerprint {
    Key::new(format!("key {number}")).fingerprint()
}

fn web() -> ConsumerId {
    AppId::new("s", "g", "web", None).into()
}

/// A service that was seen, and what was written of it.
struct Life {
    journal: Journal,
    minutes: i64,
    keys: usize,
    documents: Found,
    /// How many of them were put on record.
    kept: usize,
}

impl Life {
    fn new() -> Self {
        let mut life =
            Self { journal: Journal::default(), minutes: 0, keys: 2, documents: Found::default(), kept: 0 };
        life.event(Event::Adopted { keys: PerKey { primary: key(0), secondary: key(1) } });
        life
    }

    /// What is not legal does not happen.
    fn event(&mut self, event: Event) {
        self.minutes += 1;
        let _ = self.journal.apply(event, at(self.minutes));
    }

    fn new_key(&mut self) -> Fingerprint {
        self.keys += 1;
        key(self.keys)
    }

    /// Writes what waits, and puts it on record, if whoever does so does not die before.
    fn keep(&mut self, dies: bool) {
        let Some(Document { name, body, sha256 }) = next(&self.journal, &service()).unwrap() else { return };
        let there = self.documents.entry(name.clone()).or_insert_with(|| Ok(body.clone()));
        assert_eq!(*there, Ok(body), "whoever writes it writes the same");
        if !dies {
            self.kept += 1;
            self.event(Event::EvidenceKept { name, sha256 });
        }
    }

    /// A person lets a chain begin in the place of this one.
    fn begin(&mut self, found: &str) {
        self.event(Event::EvidenceBegun { found: found.to_owned() });
    }

    fn flaws(&self) -> Vec<Flaw> {
        let next = next(&self.journal, &service()).unwrap();
        verify(self.journal.evidence(), next.as_ref(), &self.documents)
    }

    /// A rotation from its beginning to its end, with its document.
    fn rotate(&mut self) {
        for key_type in KeyType::ALL {
            self.event(Event::RegenerationIntended { key_type });
            let fingerprint = self.new_key();
            self.event(Event::Regenerated { fingerprint, confirmed: true });
        }
        self.event(Event::Concluded { finished: true });
        self.keep(false);
    }
}

fn step(life: &mut Life, what: u8) {
    let key_type = if what & 1 == 0 { KeyType::Primary } else { KeyType::Secondary };
    match what / 2 {
        0 => life.event(Event::RegenerationIntended { key_type }),
        1 => {
            let fingerprint = life.new_key();
            life.event(Event::Regenerated { fingerprint, confirmed: true });
        }
        2 => life.event(Event::RegenerationFailed { detail: "409".into(), lasting: false }),
        3 => {
            let fingerprint = life.new_key();
            life.event(Event::KeyChanged { key_type, fingerprint });
        }
        4 => life.event(Event::RepointIntended { key_type }),
        5 => life.event(Event::Repointed { key_type, apps: vec![web()], repaired: what & 1 == 0 }),
        6 => life.event(Event::Concluded { finished: what & 1 == 0 }),
        7 => life.keep(false),
        8 => life.keep(true),
        9 => {
            // What is there would be of neither chain.
            let next = next(&life.journal, &service()).unwrap();
            if let Some(next) = next.filter(|next| !life.documents.contains_key(&next.name)) {
                life.begin(&next.name);
            }
        }
        _ => life.minutes += 60 * 24 * 20,
    }
}

proptest! {
    #[test]
    fn the_chain_of_any_life_verifies_and_no_spoilt_one_does(
        steps in proptest::collection::vec(0_u8..22, 0..200),
        which: prop::sample::Index,
        byte: prop::sample::Index,
    ) {
        let mut life = Life::new();
        for what in steps {
            step(&mut life, what);
            prop_assert_eq!(life.flaws(), vec![]);
        }
        // All that waits is written in the end, and each of them is there.
        while next(&life.journal, &service()).unwrap().is_some() {
            life.keep(false);
        }
        prop_assert_eq!(life.flaws(), vec![]);
        prop_assert_eq!(life.documents.len(), life.kept);
        if life.documents.is_empty() {
            return Ok(());
        }
        let name = life.documents.keys().nth(which.index(life.documents.len())).unwrap().clone();
        let whole = life.documents[&name].clone().unwrap();
        let mut changed = whole.clone();
        changed[byte.index(whole.len())] ^= 1;
        life.documents.insert(name.clone(), Ok(changed));
        prop_assert!(life.flaws().contains(&Flaw::Changed { name: name.clone() }), "{:?}", life.flaws());
        life.documents.insert(name.clone(), Err("403".into()));
        let not_given = Flaw::Unreadable { name: name.clone(), why: Flawed::NotGiven("403".into()) };
        prop_assert!(life.flaws().contains(&not_given));
        life.documents.remove(&name);
        prop_assert!(life.flaws().contains(&Flaw::Missing { name: name.clone() }), "{:?}", life.flaws());
    }
}

#[test]
fn a_journal_that_was_lost_or_is_older_than_its_documents_shows() {
    let mut life = Life::new();
    life.rotate();
    let older = life.journal.clone();
    life.rotate();
    let names: Vec<String> = life.documents.keys().cloned().collect();
    life.journal = older;
    assert_eq!(life.flaws(), [Flaw::Unknown { name: names[1].clone() }]);

    let documents = std::mem::take(&mut life.documents);
    life = Life { minutes: life.minutes, documents, ..Life::new() };
    let no_head = Flaw::NoHead { chain: at(2), documents: 2, last: names[1].clone() };
    assert_eq!(life.flaws(), std::slice::from_ref(&no_head), "nothing is written since");
    life.rotate();
    assert_eq!(life.flaws(), std::slice::from_ref(&no_head), "a chain of its own goes on");

    // Of two that are missing the first is not named by anything any more.
    life.documents.remove(&names[0]);
    let no_head = Flaw::NoHead { chain: at(2), documents: 1, last: names[1].clone() };
    assert_eq!(life.flaws(), [no_head, Flaw::Missing { name: names[0].clone() }]);
}

#[test]
fn a_chain_that_is_begun_in_the_place_of_another_vouches_for_it_as_far_as_the_journal_knew_it() {
    for known in 0..2 {
        let mut life = Life::new();
        (0..known).for_each(|_| life.rotate());
        for key_type in KeyType::ALL {
            life.event(Event::RegenerationIntended { key_type });
            let fingerprint = life.new_key();
            life.event(Event::Regenerated { fingerprint, confirmed: true });
        }
        let older = life.journal.clone();
        // The document is written, and then the journal of before is put back, which comes to another.
        life.event(Event::Concluded { finished: true });
        life.keep(false);
        life.journal = older;
        life.minutes += 60;
        life.event(Event::Concluded { finished: true });
        let Some(document) = next(&life.journal, &service()).unwrap() else { panic!() };
        assert_ne!(life.documents[&document.name], Ok(document.body), "it stands in the way");
        life.begin(&document.name);
        let begun = life.minutes;
        life.keep(false);
        life.rotate();
        // What the journal knows nothing of is told as it was before; all that it knew is vouched for.
        let beyond = match known {
            0 => Flaw::NoHead { chain: at(2), documents: 1, last: document.name.clone() },
            _ => Flaw::Unknown { name: document.name.clone() },
        };
        assert_eq!(life.flaws(), [beyond]);
        let records = life.documents.values().map(|body| read(body.as_ref().unwrap()).unwrap());
        let anew: Vec<_> = records.filter_map(|record| record.anew).collect();
        assert_eq!(anew.len(), 1);
        assert_eq!((anew[0].at, &anew[0].found), (at(begun), &document.name));
        assert_eq!(anew[0].last.as_ref().map(|last| last.sequence), (known > 0).then_some(1));
        if known > 0 {
            let first = document.name.replace("000002", "000001");
            life.documents.insert(first.clone(), Ok(b"{}".to_vec()));
            assert!(life.flaws().contains(&Flaw::Changed { name: first }), "{:?}", life.flaws());
        }
    }
}

#[test]
fn a_rotation_that_the_first_check_asks_for_is_by_schedule_and_a_later_one_by_who_asked() {
    for (seconds, by) in [(0, AskedBy::Schedule), (1, AskedBy::Schedule), (60, AskedBy::Command)] {
        let mut journal = Journal::default();
        let later = |seconds| at(1) + chrono::TimeDelta::seconds(seconds);
        journal
            .apply(Event::Adopted { keys: PerKey { primary: key(0), secondary: key(1) } }, later(0))
            .unwrap();
        let asked = Event::RotationRequested { compromised: false, noticed: false };
        journal.apply(asked, later(seconds)).unwrap();
        let intended = Event::RegenerationIntended { key_type: KeyType::Secondary };
        journal.apply(intended, later(seconds + 1)).unwrap();
        assert_eq!(journal.evidence().open().unwrap().asked.by, by, "{seconds}");
    }
}

#[test]
fn a_name_with_a_number_that_was_never_reached_is_told_in_a_line_and_not_in_as_many() {
    let mut life = Life::new();
    life.rotate();
    let name = life.documents.keys().next().unwrap().clone();
    let file = name.rsplit_once('/').unwrap().1;
    let forged = name.replace(file, &format!("19690101T000000000Z-{}.json", u64::MAX));
    life.documents.insert(forged.clone(), life.documents[&name].clone());
    let chain = at(-365 * 24 * 60);
    let no_head = Flaw::NoHead { chain, documents: 1, last: forged.clone() };
    let missing = Flaw::Gap { chain, first: 1, last: u64::MAX - 1 };
    assert_eq!(life.flaws(), [no_head, Flaw::Changed { name: forged }, missing]);
}

#[test]
fn what_was_put_in_beside_or_is_of_another_release_shows() {
    let mut life = Life::new();
    life.rotate();
    let name = life.documents.keys().next().unwrap().clone();
    let beside = name.replace("000001", "000001-copy");
    life.documents.insert(beside.clone(), life.documents[&name].clone());
    assert_eq!(life.flaws(), [Flaw::Unknown { name: beside }]);
    assert_eq!(read(br#"{"version":9}"#), Err(Flawed::OfVersion(9)));
    assert_eq!(read(b"{\n"), Err(Flawed::Malformed { line: 2, column: 0 }));
}

#[test]
fn a_document_tells_who_asked_who_was_moved_and_what_became_of_the_old_key() {
    let mut life = Life::new();
    let seen = |keys: &[Fingerprint]| Event::AppsSeen {
        apps: [(web(), keys.to_vec())].into(),
        dictionaries: [].into(),
        executions: [].into(),
    };
    life.event(seen(&[key(0)]));
    life.event(Event::RotationRequested { compromised: true, noticed: false });
    life.event(Event::RegenerationIntended { key_type: KeyType::Secondary });
    life.event(Event::Traced { regeneration: Some("c-1".into()), consumers: [].into() });
    let made = life.new_key();
    life.event(Event::Regenerated { fingerprint: made.clone(), confirmed: true });
    life.event(Event::Verified { key_type: KeyType::Secondary });
    life.event(Event::RepointIntended { key_type: KeyType::Secondary });
    let section = Some(crate::model::Section::AppSettings);
    let consumer = ConsumerRef { app: web(), section, name: "x".into() };
    life.event(handed_out(&life.journal, &made, &[consumer], &[]));
    life.event(Event::Repointed { key_type: KeyType::Secondary, apps: vec![web()], repaired: false });
    life.event(Event::Traced { regeneration: None, consumers: [(web(), "c-2".to_owned())].into() });
    life.event(seen(&[key(0), made.clone()]));
    life.event(seen(std::slice::from_ref(&made)));
    let tried = |fingerprint| Event::OldKeyTried { fingerprint, calls: 2, fate: Fate::Refused };
    life.event(tried(key(7)));
    life.event(tried(key(1)));
    life.event(Event::Concluded { finished: true });
    life.keep(false);
    let (name, body) = life.documents.pop_first().unwrap();
    assert_eq!(name, "1970/01/s/rg/signalr/chat/19700101T000400000Z-000001.json");
    let Record { change, previous, what, .. } = read(&body.unwrap()).unwrap();
    assert_eq!((previous, what.as_str()), (None, "rotation"));
    assert_eq!((change.asked.by, change.asked.compromised), (AskedBy::Command, true));
    let [ChangeStep::Regeneration(one), ChangeStep::Acceptance { .. }, ChangeStep::HandingOut { done, .. }] =
        &change.steps[..]
    else {
        panic!("{:?}", change.steps)
    };
    assert_eq!((one.correlation.as_deref(), one.new.as_ref()), (Some("c-1"), Some(&made)));
    assert_eq!(one.old_key.as_ref().map(|old| (&old.fate, old.calls)), Some((&Fate::Refused, 2)));
    let moved = &change.moves[0];
    assert_eq!((&moved.from, &moved.to, moved.correlation.as_deref()), (&vec![key(0)], &made, Some("c-2")));
    assert_eq!((moved.written, moved.observed), (*done, Some(at(13))));
}

#[test]
fn what_cannot_be_written_for_long_is_bounded_and_what_was_left_out_is_said() {
    let mut life = Life::new();
    for _ in 0..40 {
        life.event(Event::RepointIntended { key_type: KeyType::Primary });
        for app in 0..1500 {
            let apps = vec![AppId::new("s", "g", &format!("app{app}"), None).into()];
            life.event(Event::Repointed { key_type: KeyType::Primary, apps, repaired: false });
        }
        life.event(Event::Concluded { finished: true });
    }
    let size = serde_json::to_vec_pretty(&life.journal).unwrap().len();
    assert!(size < 2 << 20, "{size}");
    let counted = |life: &Life| {
        let moves =
            life.journal.evidence().waiting().map(|change| change.moves.len() as u64 + change.moves_left_out);
        moves.sum::<u64>() + life.journal.evidence().left_out().changes * 1500
    };
    assert_eq!(counted(&life), 40 * 1500);
    // Of the first two 1,000 moves of each are kept, and nothing of the others.
    let left_out = LeftOut { changes: 34, entries: 2 * 500 + 4 * 1500 };
    assert_eq!(life.journal.evidence().left_out(), left_out);
    life.keep(false);
    life.rotate();
    while next(&life.journal, &service()).unwrap().is_some() {
        life.keep(false);
    }
    let (_, body) = life.documents.pop_last().unwrap();
    assert_eq!(read(&body.unwrap()).unwrap().change.changes_left_out, 34);
    assert_eq!(life.journal.evidence().left_out(), LeftOut::default());
}

/// Each run tries once more to give out a key, for hours: what was done before and after that stays in sight.
#[test]
fn what_is_tried_again_and_again_pushes_out_nothing() {
    let [given, other] = [KeyType::Secondary, KeyType::Primary];
    let mut life = Life::new();
    let fingerprint = life.new_key();
    life.event(Event::KeyChanged { key_type: other, fingerprint });
    let refused = Event::VerificationRefused { key_type: given, detail: "401".into() };
    (0..100).for_each(|_| life.event(refused.clone()));
    (0..100).for_each(|_| life.event(Event::RepointIntended { key_type: given }));
    life.event(Event::Repointed { key_type: given, apps: vec![web()], repaired: true });
    life.event(Event::Recovered {});
    let steps = life.journal.evidence().open().unwrap().steps.clone();
    let [
        ChangeStep::ChangedFromOutside { .. },
        ChangeStep::Acceptance { again: 99, done: refused, .. },
        ChangeStep::HandingOut { again: 99, intended, done: Some(done), .. },
        ChangeStep::Recovered { .. },
    ] = steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!((refused, intended, done), (at(102), at(103), at(203)));
    // In the history the first and the last of each.
    let times: Vec<_> = life.journal.history().map(|entry| entry.at).collect();
    assert_eq!(times, [1, 2, 3, 102, 103, 202, 203, 204].map(at));

    // Of too many that differ the middle goes.
    for key_type in [given, other].repeat(50) {
        life.event(Event::RepointIntended { key_type });
    }
    let fingerprint = life.new_key();
    life.event(Event::KeyChanged { key_type: other, fingerprint });
    life.event(Event::Recovered {});
    let open = life.journal.evidence().open().unwrap();
    assert_eq!((open.steps.len() as u64 + open.steps_left_out, open.steps.len()), (106, 60));
    assert_eq!(
        (&open.steps[0], open.steps.last()),
        (&steps[0], Some(&ChangeStep::Recovered { done: at(306) }))
    );
}
