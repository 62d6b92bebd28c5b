//! The `health` of apps, by which waves are held back, what stands still until a person has looked, and who may be named.

use std::sync::atomic::Ordering;

use rekey_core::journal::{AfterGate, Event};
use rekey_core::model::KeyType;
use signalr_rekey::doctor::{Check, Severity};
use signalr_rekey::store::Lease;

use super::common::Story;
use super::common::health::health;
use super::{examine, instance, only, site};

#[tokio::test]
async fn each_health_is_asked_once_and_one_that_would_hold_its_wave_back_is_an_error() {
    let mut story = Story::new().await;
    let ids: Vec<_> = story.config.instances[0].consumers().collect();
    let id = |name: &str| ids.iter().find(|one| one.name() == name).unwrap().clone();
    let (well, asked_well) = health(|| true).await;
    let (unwell, asked_unwell) = health(|| false).await;
    story.config.instances[0].health.insert(id("chat-func"), well);
    story.config.instances[0].health.insert(id("chat-web"), unwell);
    let report = examine(&story).await;
    let error = only(&report, Check::Consumer, Severity::Error, &site("chat-web"));
    assert!(error.what.contains("503") && !error.what.contains("hidden"), "{error:#?}");
    assert!(
        error.why.as_deref().unwrap().contains("its wave is held back") && error.fix.is_some(),
        "{error:#?}"
    );
    let says = |finding: &&signalr_rekey::doctor::Finding| {
        finding.severity == Severity::Ok && finding.what.contains("answers with success")
    };
    let told: Vec<_> = report.findings.iter().filter(says).collect();
    assert!(told.len() == 1 && told[0].subject == site("chat-func"), "{told:#?}");
    assert_eq!([asked_well, asked_unwell].map(|asked| asked.load(Ordering::SeqCst)), [1, 1]);
}

/// What stands still until a person has looked is an error by itself, whatever its apps answer by now.
#[tokio::test]
async fn a_wave_that_did_not_come_back_is_told_until_a_person_has_looked() {
    let story = Story::new().await;
    story.tick().await;
    let id = &story.config.instances[0].id;
    let apps = story.config.instances[0].consumers().collect();
    let mut lease = Lease::acquire(story.store.clone(), story.clock.clone(), id, "a test").await.unwrap();
    let (number, then, detail) = (1, AfterGate::Stop, "it answered 503".to_owned());
    lease.record(Event::WaveIntended { number, key_type: KeyType::Secondary, apps }).unwrap();
    lease.record(Event::GateFailed { number, detail, then }).unwrap();
    lease.release().await.unwrap();
    let error = examine(&story).await;
    let error = only(&error, Check::Consumer, Severity::Error, &instance());
    assert!(error.what.contains("did not come back") && error.what.contains("503"), "{error:#?}");
    assert!(error.why.as_deref().unwrap().contains("signalr-rekey unblock sr-demo"), "{error:#?}");
}

/// A read without the right is answered as if nobody had written anything: what is granted has to tell.
#[tokio::test]
async fn the_right_to_see_who_wrote_is_looked_for_where_writers_are_to_be_named() {
    const READ: &str = "Microsoft.Insights/eventtypes/values/read";
    let mut story = Story::new().await;
    story.sim.with(|state| state.deny(&site("chat-web"), READ));
    let is_of_it = |finding: &&signalr_rekey::doctor::Finding| finding.what.contains(READ);
    assert_eq!(examine(&story).await.findings.iter().filter(is_of_it).count(), 0, "nobody is to be named");
    story.config.instances[0].policy.name_writers = true;
    let report = examine(&story).await;
    let lacks: Vec<_> =
        report.findings.iter().filter(is_of_it).filter(|one| one.severity == Severity::Warning).collect();
    assert!(
        lacks.iter().any(|one| one.subject == site("chat-web")) && lacks.len() == 2,
        "it and its slot: {lacks:#?}"
    );
    assert!(lacks.iter().all(|one| one.fix.as_deref().is_some_and(|fix| fix.contains(READ))), "{lacks:#?}");
    let granted = report.findings.iter().filter(is_of_it).filter(|one| one.severity == Severity::Ok).count();
    assert_eq!(granted, 1);
}

/// Nothing depends on tags but who looks at them, so it is a warning; and nobody hears of it who wants none.
#[tokio::test]
async fn the_right_to_tag_is_looked_for_where_services_are_tagged() {
    const WRITE: &str = "Microsoft.Resources/tags/write";
    let mut story = Story::new().await;
    let id = story.config.instances[0].id.to_string();
    story.sim.with(|state| state.deny(&id, WRITE));
    let is_of_it = |finding: &&signalr_rekey::doctor::Finding| finding.what.contains(WRITE);
    assert_eq!(examine(&story).await.findings.iter().filter(is_of_it).count(), 0);
    story.config.instances[0].policy.tags = true;
    let report = examine(&story).await;
    let lacks: Vec<_> = report.findings.iter().filter(is_of_it).collect();
    assert!(lacks.len() == 1 && lacks[0].severity == Severity::Warning, "{lacks:#?}");
    assert!(lacks[0].fix.as_deref().is_some_and(|fix| fix.contains(WRITE)), "{lacks:#?}");
}
