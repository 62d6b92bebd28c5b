//! Somebody writes an old string back: who, by the activity log, which is late.

use super::common::{HOUR, MINUTE, Story, count};
use super::{SECONDARY, all_hold, settled};
use embedded_azure::{Fault, FaultKind};
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use signalr_rekey::report::RunReport;

const SETTING: &str = "Azure__SignalR__ConnectionString";
const LOG: &str = "ActivityLogs_List";
const COLLEAGUE: &str = "colleague@example.com";

/// A service after a rotation, and the string that an app had before.
async fn rotated(name_writers: bool) -> (Story, String) {
    let mut story = Story::new().await;
    story.config.instances[0].policy.name_writers = name_writers;
    let old = story.sim.settings("chat-web").unwrap()[SETTING].clone();
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports) && all_hold(&story) == SECONDARY, "{reports:#?}");
    (story, old)
}

/// A run that reads every app.
async fn look(story: &Story) -> Vec<RunReport> {
    let reports = story.run(Intent::operator(false), 9 * MINUTE).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(story), SECONDARY, "whoever wrote it, it is repaired");
    reports
}

/// Who is named, and of how many it is not known.
async fn named(story: &Story) -> (Vec<String>, Vec<String>) {
    let (mut named, mut unknown) = (Vec::new(), Vec::new());
    for entry in story.journal().await.history() {
        match &entry.event {
            Event::WriterNamed { consumer, by, action, .. } => {
                named.push(format!("{} {by} {action}", consumer.name()));
            }
            Event::WriterUnknown { detail, .. } => unknown.push(detail.clone()),
            _ => {}
        }
    }
    (named, unknown)
}

fn written_back(event: &Event) -> bool {
    matches!(event, Event::WrittenBack { .. })
}

/// The entry is there minutes after the repair: a later run learns it.
#[tokio::test]
async fn who_wrote_an_old_string_back_is_named_once_the_log_shows_it() {
    let (story, old) = rotated(true).await;
    assert_eq!(story.requests(LOG), 0, "nobody asks without a reason");
    story.sim.edit_setting("chat-web", SETTING, Some(&old)).unwrap();
    look(&story).await;
    assert_eq!(count(&story.journal().await, written_back), 1);
    assert_eq!((named(&story).await, story.requests(LOG)), ((vec![], vec![]), 1), "it is not there yet");
    story.clock.advance(5 * MINUTE);
    let reports = look(&story).await;
    let expected = format!("chat-web {COLLEAGUE} Microsoft.Web/sites/config/write");
    assert_eq!(named(&story).await, (vec![expected], vec![]));
    assert!(reports[0].lines().iter().any(|line| line.contains(COLLEAGUE)), "{:?}", reports[0].lines());
    story.clock.advance(HOUR);
    look(&story).await;
    assert_eq!(story.requests(LOG), 2, "once in a run, and no more once it is known");
}

/// A template gives the app the key of before while that is valid: nobody is cut off, and it is moved once more.
#[tokio::test]
async fn a_key_that_is_still_valid_is_an_old_one_too() {
    let mut story = Story::new().await;
    story.config.instances[0].policy.name_writers = true;
    let old = story.sim.settings("chat-web").unwrap()[SETTING].clone();
    while story.requests("WebApps_UpdateApplicationSettings") < 2 {
        story.tick().await;
        story.clock.advance(MINUTE);
    }
    story.sim.edit_setting("chat-web", SETTING, Some(&old)).unwrap();
    story.run(Intent::operator(false), MINUTE).await;
    assert_eq!(count(&story.journal().await, written_back), 1);
    story.clock.advance(5 * MINUTE);
    story.run(Intent::operator(false), MINUTE).await;
    let (named, _) = named(&story).await;
    assert!(named.len() == 1 && named[0].contains(COLLEAGUE), "{named:?}");
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn without_the_setting_nothing_is_asked() {
    let (story, old) = rotated(false).await;
    story.sim.edit_setting("chat-web", SETTING, Some(&old)).unwrap();
    look(&story).await;
    story.clock.advance(HOUR);
    look(&story).await;
    assert_eq!((story.requests(LOG), count(&story.journal().await, written_back)), (0, 0));
}

#[tokio::test]
async fn a_log_that_may_not_be_read_is_told_once_and_hinders_nothing() {
    let (story, old) = rotated(true).await;
    story.sim.fault(Fault::new(LOG, FaultKind::Forbidden).times(u64::MAX));
    story.sim.edit_setting("chat-web", SETTING, Some(&old)).unwrap();
    look(&story).await;
    let (nobody, unknown) = named(&story).await;
    assert!(nobody.is_empty() && unknown.len() == 1 && unknown[0].contains("403"), "{unknown:?}");
    assert!(unknown[0].contains("Microsoft.Insights/eventtypes/values/read"), "{unknown:?}");
    story.clock.advance(HOUR);
    look(&story).await;
    assert_eq!(story.requests(LOG), 1);
}

/// Azure leaves out what may not be read, and is too busy at times: neither is an answer before the log would show it.
#[tokio::test]
async fn a_log_that_shows_nobody_is_asked_until_it_would_have_shown_him() {
    let (story, old) = rotated(true).await;
    let group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo";
    story.sim.with(|state| state.deny(group, "Microsoft.Insights/eventtypes/values/read"));
    story.sim.fault(Fault::new(LOG, FaultKind::Unavailable));
    story.sim.edit_setting("chat-web", SETTING, Some(&old)).unwrap();
    for _ in 0..2 {
        look(&story).await;
        assert_eq!(named(&story).await, (vec![], vec![]));
        story.clock.advance(5 * MINUTE);
    }
    assert_eq!(story.requests(LOG), 2, "what failed is not sent again");
    story.clock.advance(30 * MINUTE);
    look(&story).await;
    let (_, unknown) = named(&story).await;
    assert!(unknown.len() == 1 && unknown[0].contains("shows nobody"), "{unknown:?}");
    look(&story).await;
    assert_eq!(story.requests(LOG), 3);
}
