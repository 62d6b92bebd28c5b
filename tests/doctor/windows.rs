//! Windows, freezes and pauses.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, TimeDelta, Utc};
use rekey_core::journal::Event;
use signalr_rekey::clock::Clock;
use signalr_rekey::doctor::{Check, Finding, Report, Severity};
use signalr_rekey::store::Lease;

use super::common::{HOUR, Story};
use super::{examine, instance, only};

/// The one finding, of whatever severity.
fn told(report: &Report) -> &Finding {
    let found: Vec<_> = report.findings.iter().filter(|finding| finding.check == Check::Windows).collect();
    let [finding] = found[..] else { panic!("{found:#?}") };
    finding
}

fn window(story: &mut Story, from: DateTime<Utc>, lasts: TimeDelta) {
    let text = format!("daily {}-{} UTC", from.format("%H:%M"), (from + lasts).format("%H:%M"));
    story.config.instances[0].policy.windows = vec![text.parse().unwrap()];
}

#[tokio::test]
async fn the_next_window_and_whether_the_rotation_fits_are_told() {
    let mut story = Story::new().await;
    let none = examine(&story).await;
    assert!(none.findings.iter().all(|finding| finding.check != Check::Windows), "{none:#?}");

    let from = story.clock.now() + TimeDelta::hours(5);
    window(&mut story, from, TimeDelta::hours(1));
    story.tick().await;
    let report = examine(&story).await;
    let fits = told(&report);
    assert_eq!(fits.severity, Severity::Ok, "{fits:#?}");
    let opens = format!("can be done from {}", from.format("%Y-%m-%dT%H:%M:00Z"));
    assert!(fits.what.contains(&opens) && fits.what.contains(" for 1h; "), "{fits:#?}");

    window(&mut story, from, TimeDelta::minutes(5));
    let report = examine(&story).await;
    let short = only(&report, Check::Windows, Severity::Warning, &instance());
    assert!(short.why.as_deref().unwrap().contains("both are valid"), "{short:#?}");
}

/// What its waves and the pauses between them take counts.
#[tokio::test]
async fn whether_a_rotation_in_waves_fits_is_told() {
    let mut story = Story::new().await;
    story.tick().await;
    let from = story.clock.now() + TimeDelta::hours(5);
    window(&mut story, from, TimeDelta::hours(3));
    assert_eq!(told(&examine(&story).await).severity, Severity::Ok);
    let policy = &mut story.config.instances[0].policy;
    (policy.pause_between_waves, policy.waves) = (4 * HOUR, BTreeMap::new());
    let report = examine(&story).await;
    let short = told(&report);
    assert_eq!(short.severity, Severity::Warning, "{short:#?}");
    assert!(short.what.contains("3 apps in 2 waves, with 4h between them, takes about 4h"), "{short:#?}");
    assert!(short.fix.as_ref().is_some_and(|fix| fix.contains("pause_between_waves")), "{short:#?}");
}

#[tokio::test]
async fn no_window_before_the_next_rotation_would_be_due_is_an_error() {
    let mut story = Story::new().await;
    story.tick().await;
    let today = story.clock.now().date_naive();
    let freeze = |days| vec![format!("{today}..{} UTC", today + Days::new(days)).parse().unwrap()];
    story.config.instances[0].policy.freezes = freeze(20);
    assert_eq!(told(&examine(&story).await).severity, Severity::Ok);
    story.config.instances[0].policy.freezes = freeze(380);
    let report = examine(&story).await;
    let never = only(&report, Check::Windows, Severity::Error, &instance());
    assert!(never.what.contains("no window is open in the 30d after that"), "{never:#?}");
    let after = format!("the next opens at {}", today + Days::new(381));
    assert!(never.what.contains(&after) && never.fix.is_some(), "{never:#?}");
}

#[tokio::test]
async fn a_pause_is_noted() {
    let story = Story::new().await;
    story.tick().await;
    let id = &story.config.instances[0].id;
    let mut lease = Lease::acquire(story.store.clone(), story.clock.clone(), id, "a test").await.unwrap();
    let until = story.clock.now() + TimeDelta::hours(2);
    lease.record(Event::Paused { until, by: "ada".into(), why: "an audit".into() }).unwrap();
    lease.release().await.unwrap();
    let report = examine(&story).await;
    let paused = told(&report);
    assert_eq!(paused.severity, Severity::Note, "{paused:#?}");
    assert!(paused.what.ends_with("by ada: an audit"), "{paused:#?}");
    story.clock.advance(3 * HOUR);
    let over = examine(&story).await;
    assert!(over.findings.iter().all(|finding| finding.check != Check::Windows), "{over:#?}");
}
