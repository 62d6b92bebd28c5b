//! The `health` of apps, by which waves are held back.

use std::sync::atomic::Ordering;

use signalr_rekey::doctor::{Check, Severity};

use super::common::Story;
use super::common::health::health;
use super::{examine, only, site};

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
