//! What is left behind for whoever asks later: that old keys are dead, and a document of each change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::common::hooked::{Forgetful, Hooked};
use super::common::{DAY, HOUR, MINUTE, Story, document_name};
use super::{SECONDARY, settled};
use embedded_azure::World;
use futures::FutureExt;
use rekey_core::evidence::{self, Flaw, Found, Record};
use rekey_core::intent::Intent;
use rekey_core::journal::{AskedBy, ChangeStep, Event, Fate, How, OldKey};
use rekey_core::model::ServiceId;
use rekey_core::policy::Verify;
use signalr_rekey::clock::Clock;
use signalr_rekey::report::Ending;
use signalr_rekey::store::{EVIDENCE, Lease, Store, StoreError, evidence_names};

fn service(story: &Story) -> ServiceId {
    story.config.instances[0].id.clone()
}

/// All documents, each with its name.
async fn documents(story: &Story) -> Found {
    let mut documents = Found::new();
    for name in evidence_names(&*story.store).await.unwrap().unwrap_or_default() {
        let body = signalr_rekey::store::evidence(&*story.store, &name).await.unwrap().unwrap();
        documents.insert(name, Ok(body));
    }
    documents
}

async fn records(story: &Story) -> Vec<Record> {
    let documents = documents(story).await;
    documents.values().map(|body| evidence::read(body.as_ref().unwrap()).unwrap()).collect()
}

async fn flaws(story: &Story) -> Vec<Flaw> {
    let (journal, documents) = (story.journal().await, documents(story).await);
    let next = evidence::next(&journal, &service(story)).unwrap();
    evidence::verify(journal.evidence(), next.as_ref(), &documents)
}

fn old_keys(record: &Record) -> Vec<OldKey> {
    let regenerations = record.change.steps.iter().filter_map(|step| match step {
        ChangeStep::Regeneration(one) => one.old_key.clone(),
        _ => None,
    });
    regenerations.collect()
}

#[tokio::test]
async fn a_rotation_leaves_a_document_of_all_that_was_done_and_the_old_keys_are_dead() {
    let story = Story::new().await;
    assert!(settled(&story.watch(6 * HOUR).await));
    let all = records(&story).await;
    let [Record { change, what, previous: None, sequence: 1, .. }] = &all[..] else { panic!("{all:#?}") };
    assert_eq!((what.as_str(), change.finished, change.asked.by), ("rotation", true, AskedBy::Schedule));
    let regenerations = change.steps.iter().filter_map(|step| match step {
        ChangeStep::Regeneration(one) => Some(one),
        _ => None,
    });
    let regenerations: Vec<_> = regenerations.collect();
    assert_eq!(regenerations.len(), 2);
    for one in regenerations {
        assert!(one.correlation.is_some() && one.accepted.is_some() && one.done.is_some(), "{one:#?}");
        assert_eq!(one.old_key.as_ref().map(|old| &old.fate), Some(&Fate::Refused), "{one:#?}");
    }
    let accepted = |step: &&ChangeStep| matches!(step, ChangeStep::Acceptance { refused: None, .. });
    assert!(change.steps.iter().filter(accepted).count() >= 1);
    assert!(change.moves.len() >= 3, "{:#?}", change.moves);
    for moved in &change.moves {
        assert!(moved.correlation.is_some() && moved.observed >= moved.written, "{moved:#?}");
        assert_eq!((moved.how, moved.from.len(), moved.repaired), (How::Read, 1, false), "{moved:#?}");
    }
    assert_eq!(flaws(&story).await, vec![]);
}

#[tokio::test]
async fn a_repair_and_each_later_rotation_go_on_with_the_chain() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    story.force("sr-demo", &[SECONDARY]).unwrap();
    story.clock.advance(2 * MINUTE);
    story.watch(6 * HOUR).await;
    story.clock.advance(31 * DAY);
    story.watch(6 * HOUR).await;
    let all = records(&story).await;
    let what: Vec<_> = all.iter().map(|record| (record.sequence, record.what.as_str())).collect();
    assert!(what.len() >= 2 && what.iter().any(|(_, what)| what.contains("repair")), "{what:?}");
    let asked: Vec<_> = all.iter().map(|record| record.change.asked.by).collect();
    assert!(asked.contains(&AskedBy::Outside), "{asked:?}");
    assert_eq!(flaws(&story).await, vec![]);
    // A look at a service that is in order writes nothing more.
    story.tick().await;
    assert_eq!(records(&story).await.len(), all.len());
}

/// A repair waits for nothing, and what could not be written is written by the next run that can.
#[tokio::test]
async fn evidence_that_cannot_be_written_fails_the_run_and_is_made_up_for() {
    let story = Story::new().await;
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let store = Hooked::new(story.store.clone(), move |name, _| match name.starts_with(EVIDENCE) {
        true if down.load(Ordering::Relaxed) => Err(StoreError::Unavailable("503".into())),
        _ => Ok(()),
    });
    let base = story.sim.base().parse().unwrap();
    let rekey = story.worker(&base, store, story.clock.clone());
    let run = async || rekey.run(&story.order(Intent::operator(true), DAY)).await.remove(0);
    let report = run().await;
    let Ending::Unavailable(why) = &report.ending else { panic!("{:#?}", report.ending) };
    assert!(why.contains("its evidence could not be written"), "{why}");
    assert!(why.contains("cannot use the storage of the evidence: 503"), "{why}");
    assert!(!why.contains("the service was not touched"), "a rotation was done: {why}");
    assert!(report.ending.is_failure() && report.cut_off.is_empty());
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "the rotation was done all the same");
    assert_eq!(story.refused(), 0);

    story.force("sr-demo", &[SECONDARY]).unwrap();
    story.clock.advance(2 * MINUTE);
    let repaired = run().await;
    assert!(repaired.repaired_in.is_some() && repaired.ending.is_failure(), "{:#?}", repaired.ending);

    is_down.store(false, Ordering::Relaxed);
    let report = rekey.run(&story.order(Intent::timer(), 9 * MINUTE)).await.remove(0);
    assert!(!report.ending.is_failure(), "{:#?}", report.ending);
    assert!(records(&story).await.len() >= 2);
    assert_eq!(flaws(&story).await, vec![]);
}

/// Whoever writes one and loses the answer, or dies before it is on record, is followed by who writes the same.
#[tokio::test]
async fn a_lost_answer_to_any_write_leaves_one_chain() {
    for lost in 0..40 {
        let story = Story::new().await;
        let store = Forgetful::new(story.store.clone(), lost, StoreError::Unavailable("reset".into()));
        let base = story.sim.base().parse().unwrap();
        let rekey = story.worker(&base, store, story.clock.clone());
        rekey.run(&story.order(Intent::operator(true), DAY)).await;
        story.watch(6 * HOUR).await;
        assert_eq!(flaws(&story).await, vec![], "{lost}");
        assert_eq!(records(&story).await.len(), 1, "{lost}");
    }
}

#[tokio::test]
async fn another_document_under_the_name_is_left_and_told() {
    let story = Story::new().await;
    let taken = Arc::new(Mutex::new(None));
    let (inner, first) = (story.store.clone(), Arc::clone(&taken));
    let store = Hooked::new(story.store.clone(), move |name, body| {
        if body.is_some() && name.starts_with(EVIDENCE) && first.lock().unwrap().is_none() {
            *first.lock().unwrap() = Some(name.to_owned());
            inner.put(name, b"{}".to_vec(), None).now_or_never().unwrap().unwrap();
        }
        Ok(())
    });
    let base = story.sim.base().parse().unwrap();
    let rekey = story.worker(&base, store, story.clock.clone());
    let report = rekey.run(&story.order(Intent::operator(true), DAY)).await.remove(0);
    let Ending::Failed(why) = &report.ending else { panic!("{:#?}", report.ending) };
    assert!(why.contains("there is another document"), "{why}");
    let name = taken.lock().unwrap().clone().unwrap();
    assert_eq!(story.store.get(&name).await.unwrap().document.unwrap().0, b"{}");
    let name = name.strip_prefix(EVIDENCE).unwrap().to_owned();
    assert!(
        matches!(&flaws(&story).await[..], [Flaw::NoHead { last, .. }, Flaw::Unreadable { .. }] if *last == name)
    );
}

/// A restore: the chain goes on elsewhere once a person says so, and what nobody vouches for is told from then on.
#[tokio::test]
async fn an_older_journal_that_was_put_back_has_its_evidence_in_a_new_chain() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let name = document_name(&service(&story));
    let (older, _) = story.store.get(&name).await.unwrap().document.unwrap();
    story.force("sr-demo", &[SECONDARY]).unwrap();
    story.clock.advance(2 * MINUTE);
    story.watch(HOUR).await;
    let refused = story.refused();
    let [_, lost] = &documents(&story).await.into_keys().collect::<Vec<_>>()[..] else { panic!() };
    let (_, etag) = story.store.get(&name).await.unwrap().document.unwrap();
    story.store.put(&name, older, Some(&etag)).await.unwrap();

    let reports = story.watch(HOUR).await;
    let Ending::Failed(why) = &reports[0].ending else { panic!("{:#?}", reports[0].ending) };
    assert!(why.contains(&format!("there is another document {lost}")) && why.contains("unblock"), "{why}");
    assert_eq!(story.refused(), refused, "keys are looked after all the same");
    let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) = (story.store.clone(), story.clock.clone());
    let mut lease = Lease::acquire(store, clock, &service(&story), "a person").await.unwrap();
    lease.record(Event::EvidenceBegun { found: lost.clone() }).unwrap();
    lease.release().await.unwrap();
    assert!(settled(&story.watch(HOUR).await));
    assert_eq!(flaws(&story).await, [Flaw::Unknown { name: lost.clone() }]);
    let begun: Vec<Record> =
        records(&story).await.into_iter().filter(|record| record.anew.is_some()).collect();
    let [Record { anew: Some(anew), sequence: 1, previous: None, .. }] = &begun[..] else {
        panic!("{begun:#?}")
    };
    assert_eq!((&anew.found, anew.last.as_ref().map(|last| last.sequence)), (lost, Some(1)));
}

#[tokio::test]
async fn a_service_that_is_not_to_be_asked_is_not() {
    let mut story = Story::new().await;
    story.config.instances[0].policy.verify = Verify::ControlPlane;
    story.watch(6 * HOUR).await;
    let all = records(&story).await;
    let fates: Vec<_> = all.iter().flat_map(old_keys).map(|old| (old.calls, old.fate)).collect();
    assert_eq!(fates, [(0, Fate::NotAsked), (0, Fate::NotAsked)]);
}

/// The key is in the memory of one run alone.
#[tokio::test]
async fn what_the_next_run_cannot_know_is_not_claimed() {
    let story = Story::of(World::default(), embedded_azure::Options::default()).await;
    let rekey = story.rekey();
    let stop = rekey.stop.clone();
    story.sim.after("SignalR_RegenerateKey", 1, move |_| stop.ask());
    rekey.run(&story.order(Intent::operator(true), DAY)).await;
    story.clock.advance(5 * MINUTE);
    story.watch(6 * HOUR).await;
    let all = records(&story).await;
    let fates: Vec<_> = all.iter().flat_map(old_keys).map(|old| old.fate).collect();
    assert!(matches!(&fates[..], [Fate::NotKnown { why: Some(_) }, Fate::Refused]), "{fates:?}");
    let journal = story.journal().await;
    let told = journal.history().filter(|entry| matches!(entry.event, Event::OldKeyTried { .. }));
    assert_eq!(told.count(), 2);
}
