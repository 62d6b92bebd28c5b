//! Windows and freezes, over real HTTP on a clock that passes days.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::common::{DAY, HOUR, MINUTE, Story};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use rekey_core::intent::Intent;
use rekey_core::model::KeyType;
use rekey_core::plan::{BlockedBy, Decision, WaitFor};
use signalr_rekey::clock::Clock;
use signalr_rekey::report::{Ending, RunReport};

/// A window of every day that begins so long from now.
async fn story_with_window(begins: TimeDelta, lasts: TimeDelta) -> (Story, DateTime<Utc>) {
    let mut story = Story::new().await;
    let from = story.clock.now() + begins;
    let window = format!("daily {}-{} UTC", from.format("%H:%M"), (from + lasts).format("%H:%M"));
    story.config.instances[0].policy.windows = vec![window.parse().unwrap()];
    (story, from)
}

fn waits_for(reports: &[RunReport], wanted: &WaitFor) -> bool {
    reports.iter().all(|report| {
        matches!(&report.ending, Ending::Decided(Decision::Waiting { reason, .. }) if reason == wanted)
    })
}

#[tokio::test]
async fn a_rotation_waits_for_its_window_and_is_done_inside() {
    let (story, from) = story_with_window(TimeDelta::hours(8), TimeDelta::hours(1)).await;
    let reports = story.watch(7 * HOUR).await;
    assert!(waits_for(&reports, &WaitFor::Window), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 0);
    assert_eq!(all_hold(&story), PRIMARY);
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), SECONDARY);
    let writes = story.sim.requests();
    let writes: Vec<_> =
        writes.iter().filter(|one| one.operation.starts_with("WebApps_UpdateApplication")).collect();
    assert_eq!(writes.len(), 3);
    let within = |at: DateTime<Utc>| from - TimeDelta::minutes(1) <= at && at < from + TimeDelta::hours(1);
    assert!(writes.iter().all(|one| within(one.at)), "{writes:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), 2, "the old key dies after the window");
    assert_eq!(story.refused(), 0);
}

/// The first app is written as the window closes; the other two go on with a key that works, until it opens again.
#[tokio::test]
async fn a_window_that_closes_in_mid_rotation_leaves_everybody_with_a_valid_key() {
    let (story, _) = story_with_window(TimeDelta::hours(4), TimeDelta::minutes(20)).await;
    let fault =
        embedded_azure::Fault::new("WebApps_UpdateApplicationSettings", embedded_azure::FaultKind::Forbidden);
    story.sim.fault(fault.times(u64::MAX));
    story.watch(5 * HOUR).await;
    let signs = |app: &str| {
        let signs = story.sim.with(|state| state.signs(app)).unwrap();
        signs.into_iter().find_map(|(_, key_type)| key_type).unwrap().name().to_owned()
    };
    let slot = signs("chat-web/staging");
    assert_ne!(slot, signs("chat-web"), "the slot was moved, the others were refused to us");
    story.sim.clear_faults();
    let reports = story.watch(3 * HOUR).await;
    assert!(waits_for(&reports, &WaitFor::Window), "{reports:#?}");
    assert_eq!((signs("chat-web/staging"), story.requests("SignalR_RegenerateKey")), (slot, 1));
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), story.requests("SignalR_RegenerateKey")), (SECONDARY, 2));
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_forced_regeneration_during_a_freeze_is_repaired_at_once() {
    let mut story = Story::new().await;
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let today = story.clock.now().date_naive();
    let freeze = format!("{today}..{} UTC", today + chrono::Days::new(50));
    story.config.instances[0].policy.freezes = vec![freeze.parse().unwrap()];
    story.force("sr-demo", &[KeyType::Secondary]).unwrap();
    story.clock.advance(2 * MINUTE);
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| !report.ending.is_failure()), "{reports:#?}");
    assert_eq!(all_hold(&story), PRIMARY);
    // What becomes due in the freeze waits for its end.
    story.clock.advance(40 * DAY);
    let reports = story.watch(HOUR).await;
    assert!(waits_for(&reports, &WaitFor::Freeze), "{reports:#?}");
    let made = story.requests("SignalR_RegenerateKey");
    story.clock.advance(21 * DAY);
    let reports = story.watch(6 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(story.requests("SignalR_RegenerateKey"), made + 2);
}

#[tokio::test]
async fn windows_that_never_open_block_the_rotation_and_not_the_repair() {
    let mut story = Story::new().await;
    let today = story.clock.now().date_naive();
    let freeze = format!("{today}..{} UTC", today + chrono::Days::new(3_000));
    story.config.instances[0].policy.freezes = vec![freeze.parse().unwrap()];
    let reports = story.watch(4 * HOUR).await;
    let blocked = |report: &RunReport| {
        matches!(report.ending, Ending::Decided(Decision::Blocked(BlockedBy::NeverOpens { .. })))
            && report.ending.is_failure()
    };
    assert!(reports.iter().all(blocked), "{reports:#?}");
    story.force("sr-demo", &[KeyType::Primary]).unwrap();
    story.clock.advance(2 * MINUTE);
    story.repair().await;
    assert_eq!(all_hold(&story), SECONDARY);
}

/// `rotate --now` waits as long as it has time, and its request stays on record.
#[tokio::test]
async fn a_rotation_that_is_asked_for_waits_for_the_window_too() {
    let (story, _) = story_with_window(TimeDelta::hours(8), TimeDelta::hours(1)).await;
    let reports = story.run(Intent::operator(true), Duration::from_secs(4 * 3600)).await;
    assert!(waits_for(&reports, &WaitFor::Window), "{reports:#?}");
    let reports = story.run(Intent::operator(false), DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), SECONDARY);
}

/// The way home is a second move of everybody, in the next window; and then the key of the way dies too.
#[tokio::test]
async fn a_rotation_ends_at_home_with_both_keys_new_and_nobody_is_cut_off() {
    let (mut story, from) = story_with_window(TimeDelta::hours(8), TimeDelta::hours(1)).await;
    story.config.instances[0].policy.home = Some(KeyType::Primary);
    let reports = story.watch(14 * HOUR).await;
    let waits = WaitFor::Home { home: KeyType::Primary, held: Box::new(WaitFor::Window) };
    assert!(waits_for(&reports, &waits), "{reports:#?}");
    assert_eq!(all_hold(&story), SECONDARY);
    let reports = story.watch(DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), PRIMARY);
    assert_eq!(
        story.requests("SignalR_RegenerateKey"),
        3,
        "secondary, primary, and the secondary that they left"
    );
    let requests = story.sim.requests();
    let writes: Vec<_> =
        requests.iter().filter(|one| one.operation.starts_with("WebApps_UpdateApplication")).collect();
    assert_eq!(writes.len(), 6, "each app twice");
    let within = |at: DateTime<Utc>, day: TimeDelta| {
        from + day - TimeDelta::minutes(1) <= at && at < from + day + TimeDelta::hours(1)
    };
    assert!(writes[..3].iter().all(|one| within(one.at, TimeDelta::zero())), "{writes:#?}");
    assert!(writes[3..].iter().all(|one| within(one.at, TimeDelta::days(1))), "{writes:#?}");
    assert_eq!(story.refused(), 0);
}
