//! Waves and their gates, over real HTTP on a clock that passes hours. How an app is tells a server of the story's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::BarrierKind;
use url::Url;

use super::common::{HOUR, MINUTE, Story, count};
use super::{PRIMARY, SECONDARY, all_hold, settled};
use rekey_core::intent::{Cause, Intent};
use rekey_core::journal::{AfterGate, Event, Gate, Journal};
use rekey_core::model::{ConsumerId, KeyType};
use rekey_core::plan::{BlockedBy, Decision, WaitFor};
use signalr_rekey::clock::Clock;
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::Lease;

const DAY: Duration = Duration::from_secs(86_400);

/// A server that says how an app is.
async fn health(is_well: impl Fn() -> bool + Send + Sync + 'static) -> Url {
    super::common::health::health(is_well).await.0
}

/// The default world, in the waves that it has where nothing is said.
async fn in_waves() -> Story {
    let mut story = Story::new().await;
    story.config.instances[0].policy.waves.clear();
    story
}

/// An app of the default world.
fn id(story: &Story, name: &str) -> ConsumerId {
    let consumers = story.config.instances[0].consumers();
    consumers.into_iter().find(|consumer| consumer.name() == name).unwrap()
}

/// Lets an app be asked how it is.
fn ask(story: &mut Story, name: &str, url: Url) {
    let id = id(story, name);
    let instance = &mut story.config.instances[0];
    instance.policy.watched.insert(id.clone());
    instance.health.insert(id, url);
}

/// The key that an app signs with.
fn signs(story: &Story, app: &str) -> KeyType {
    let signs = story.sim.with(|state| state.signs(app)).unwrap();
    super::common::ours(signs.into_iter().find_map(|(_, key_type)| key_type).unwrap())
}

/// When the settings of slots, and of sites, were written.
fn writes(story: &Story, operation: &str) -> Vec<DateTime<Utc>> {
    let requests = story.sim.requests();
    requests.iter().filter(|request| request.operation == operation).map(|request| request.at).collect()
}

const SLOTS: &str = "WebApps_UpdateApplicationSettingsSlot";
const SITES: &str = "WebApps_UpdateApplicationSettings";

fn blocked(reports: &[RunReport]) -> &BlockedBy {
    match &reports[0].ending {
        Ending::Decided(Decision::Blocked(by)) => by,
        other => panic!("not blocked: {other}"),
    }
}

/// A world of which the slot is not well any more once it was written.
async fn with_an_ill_slot() -> Story {
    let mut story = in_waves().await;
    let sim = Arc::clone(&story.sim);
    let url = health(move || sim.requests().iter().all(|request| request.operation != SLOTS)).await;
    ask(&mut story, "chat-web/staging", url);
    story
}

async fn until_slots_are_written(story: &Story) {
    while writes(story, SLOTS).is_empty() {
        story.tick().await;
        story.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn slots_come_first_and_the_rest_after_their_gate_and_the_pause() {
    let mut story = in_waves().await;
    story.config.instances[0].policy.pause_between_waves = Duration::from_secs(1800);
    let reports = story.watch(7 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), SECONDARY);
    let (slots, sites) = (writes(&story, SLOTS), writes(&story, SITES));
    assert_eq!((slots.len(), sites.len()), (1, 2), "each app is restarted once");
    assert!(sites.iter().all(|at| slots[0] + TimeDelta::minutes(31) <= *at), "{slots:?} {sites:?}");
    let journal = story.journal().await;
    assert_eq!(count(&journal, |event| matches!(event, Event::GatePassed { .. })), 2);
    assert_eq!(story.refused(), 0);
}

#[tokio::test]
async fn a_wave_that_does_not_come_back_is_rolled_back_and_nobody_is_moved_until_a_person_says_so() {
    let mut story = in_waves().await;
    let (sim, cured) = (Arc::clone(&story.sim), Arc::new(AtomicBool::new(false)));
    let is_cured = Arc::clone(&cured);
    let url = health(move || {
        let signs = sim.with(|state| state.signs("chat-web/staging")).unwrap();
        let held = signs.into_iter().find_map(|(_, key_type)| key_type);
        is_cured.load(Ordering::SeqCst) || held.is_none_or(|held| super::common::ours(held) == PRIMARY)
    })
    .await;
    ask(&mut story, "chat-web/staging", url);
    let reports = story.watch(4 * HOUR).await;
    let BlockedBy::Unhealthy { wave: 1, to: SECONDARY, then: AfterGate::RollBack, detail } =
        blocked(&reports)
    else {
        panic!("{reports:#?}");
    };
    assert!(detail.contains("503") && detail.contains("chat-web/staging"), "{detail}");
    assert!(!detail.contains("hidden"), "a query may be a secret: {detail}");
    assert_eq!((all_hold(&story), writes(&story, SITES).len()), (PRIMARY, 0));
    assert_eq!(story.requests("SignalR_RegenerateKey"), 1, "the key that it had is not touched");
    assert_eq!(story.refused(), 0);

    // It stays so, and says so, until a person has looked.
    let reports = story.watch(HOUR).await;
    assert!(matches!(blocked(&reports), BlockedBy::Unhealthy { .. }));
    cured.store(true, Ordering::SeqCst);
    let reports = story.run(Intent::operator(true), DAY).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), story.refused()), (SECONDARY, 0));
}

#[tokio::test]
async fn an_app_that_is_not_well_before_holds_its_wave_back_and_is_not_rolled_back_for_it() {
    let mut story = in_waves().await;
    let cured = Arc::new(AtomicBool::new(false));
    let is_cured = Arc::clone(&cured);
    ask(&mut story, "chat-web", health(move || is_cured.load(Ordering::SeqCst)).await);
    let reports = story.watch(5 * HOUR).await;
    let BlockedBy::UnhealthyBefore { wave: 2, detail } = blocked(&reports) else { panic!("{reports:#?}") };
    assert!(detail.contains("chat-web") && detail.contains("503"), "{detail}");
    let held = ["chat-web/staging", "chat-web", "chat-func"].map(|app| signs(&story, app));
    assert_eq!(held, [SECONDARY, PRIMARY, PRIMARY]);
    let journal = story.journal().await;
    assert_eq!(count(&journal, |event| matches!(event, Event::WaveHeldBack { .. })), 1, "told once");
    cured.store(true, Ordering::SeqCst);
    let reports = story.watch(4 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), story.refused()), (SECONDARY, 0));
}

/// It holds a key that works all the time, and a later run does what is on record.
#[tokio::test]
async fn a_rollback_that_comes_to_nothing_is_done_by_a_later_run() {
    let story = with_an_ill_slot().await;
    until_slots_are_written(&story).await;
    let fault = embedded_azure::Fault::new(SLOTS, embedded_azure::FaultKind::Forbidden);
    story.sim.fault(fault.times(u64::MAX));
    let reports = story.watch(HOUR).await;
    assert!(matches!(reports[0].ending, Ending::Failed(_)), "{reports:#?}");
    let journal = story.journal().await;
    let failed = journal.wave().map(|wave| &wave.gate);
    assert!(matches!(failed, Some(Gate::Failed { then: AfterGate::RollBack, .. })), "{failed:?}");
    assert_eq!(signs(&story, "chat-web/staging"), SECONDARY);
    story.sim.clear_faults();
    let reports = story.tick().await;
    assert!(matches!(blocked(&reports), BlockedBy::Unhealthy { .. }));
    story.clock.advance(MINUTE);
    assert_eq!((all_hold(&story), story.refused()), (PRIMARY, 0));
}

/// The second wave, of which one app cannot be written, and the other is moved at once; and what is well of that.
async fn half_moved(is_well: bool) -> (Story, Vec<RunReport>) {
    let mut story = in_waves().await;
    story.config.instances[0].policy.pause_between_waves = Duration::from_secs(1800);
    let sim = Arc::clone(&story.sim);
    let written = move || sim.requests().iter().any(|one| one.operation == SITES && one.status == Some(200));
    ask(&mut story, "chat-func", health(move || is_well || !written()).await);
    until_slots_are_written(&story).await;
    bar(&story, "chat-web");
    let reports = story.watch(2 * HOUR).await;
    (story, reports)
}

/// Has Azure refuse every write of the app.
fn bar(story: &Story, name: &str) {
    let id = id(story, name).to_string();
    let scope = &id[id.find("/subscriptions").unwrap()..];
    story.sim.with(|state| state.bar(scope, BarrierKind::Policy));
}

/// Nobody is forgotten for another who cannot be written.
#[tokio::test]
async fn an_app_that_does_not_come_back_is_rolled_back_though_another_of_its_wave_cannot_be_written() {
    let (story, reports) = half_moved(false).await;
    let BlockedBy::Unhealthy { wave: 2, then: AfterGate::RollBack, detail, .. } = blocked(&reports) else {
        panic!("{reports:#?}");
    };
    assert!(detail.contains("chat-func") && !detail.contains("chat-web"), "{detail}");
    let held = ["chat-web/staging", "chat-web", "chat-func"].map(|app| signs(&story, app));
    assert_eq!((held, story.refused()), ([SECONDARY, PRIMARY, PRIMARY], 0));
}

/// What is left of the wave is tried by each run, and is moved once it can be; the others are asked and restarted once.
#[tokio::test]
async fn what_is_left_of_a_wave_is_moved_when_it_can_be_and_has_its_own_gate() {
    let (story, reports) = half_moved(true).await;
    assert!(matches!(&reports[0].ending, Ending::Failed(why) if why.contains("chat-web")), "{reports:#?}");
    let passed = |journal: &Journal| {
        let left = |event: &Event| match event {
            Event::GatePassed { number: 2, left } => Some(left.len()),
            _ => None,
        };
        journal.history().filter_map(|entry| left(&entry.event)).collect::<Vec<_>>()
    };
    assert_eq!(passed(&story.journal().await), [1]);
    let held = ["chat-web/staging", "chat-web", "chat-func"].map(|app| signs(&story, app));
    assert_eq!(held, [SECONDARY, PRIMARY, SECONDARY]);
    story.sim.with(embedded_azure::State::lift_barriers);
    let reports = story.watch(8 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(passed(&story.journal().await), [1, 0]);
    let written =
        story.sim.requests().iter().filter(|one| one.operation == SITES && one.status == Some(200)).count();
    assert_eq!((all_hold(&story), story.refused(), written), (SECONDARY, 0, 2));
}

/// The same of who was repaired: the one that cannot be comes first again and again, and hides nobody.
#[tokio::test]
async fn an_app_that_does_not_come_back_after_a_repair_is_told_though_another_cannot_be_repaired() {
    let mut story = in_waves().await;
    let well = Arc::new(AtomicBool::new(true));
    let is_well = Arc::clone(&well);
    ask(&mut story, "chat-func", health(move || is_well.load(Ordering::SeqCst)).await);
    assert!(settled(&story.watch(7 * HOUR).await));
    well.store(false, Ordering::SeqCst);
    bar(&story, "chat-web");
    story.force("sr-demo", &[SECONDARY]).unwrap();
    story.clock.advance(2 * MINUTE);
    let reports = story.repair().await;
    assert!(reports[0].ending.is_failure(), "{reports:#?}");
    let reports = story.watch(HOUR).await;
    assert!(matches!(&reports[0].ending, Ending::Failed(why) if why.contains("chat-web")), "{reports:#?}");
    let failed =
        story.journal().await.repair().and_then(|repair| repair.failed.clone()).expect("it is asked");
    assert!(failed.detail.contains("chat-func") && failed.detail.contains("503"), "{}", failed.detail);
    assert_eq!(signs(&story, "chat-func"), PRIMARY);
}

#[tokio::test]
async fn a_forced_regeneration_between_two_waves_is_repaired_at_once() {
    let mut story = in_waves().await;
    story.config.instances[0].policy.pause_between_waves = Duration::from_secs(6 * 3600);
    let reports = story.watch(4 * HOUR).await;
    let pauses = |report: &RunReport| {
        matches!(report.ending, Ending::Decided(Decision::Waiting { reason: WaitFor::BetweenWaves(2), .. }))
    };
    assert!(reports.iter().all(pauses), "{reports:#?}");
    assert_eq!([signs(&story, "chat-web/staging"), signs(&story, "chat-web")], [SECONDARY, PRIMARY]);
    story.force("sr-demo", &[PRIMARY]).unwrap();
    story.clock.advance(2 * MINUTE);
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| !report.ending.is_failure()), "{reports:#?}");
    story.clock.advance(MINUTE);
    assert_eq!(all_hold(&story), SECONDARY);
    assert_eq!(story.journal().await.wave(), None, "there is no way back to a key that is gone");
}

/// The hook strikes right after the write of the first wave, so that the run which wrote it is at its gate.
fn force_in_the_middle(story: &Story, key_type: KeyType) {
    let forced = super::common::azures(&[key_type]);
    story.sim.after(SLOTS, 1, move |state| state.force_regeneration("sr-demo", &forced).unwrap());
}

/// Nobody was cut off for longer than a gate begins late and an app takes to restart, and by nothing else.
fn is_soon_repaired(story: &Story) {
    story.clock.advance(MINUTE);
    let report = story.sim.report();
    assert_eq!(report.refused_unexplained, 0, "{report:#?}");
    assert!(!report.outages.is_empty(), "somebody held that key");
    let soon = |outage: &embedded_azure::Outage| !outage.open && outage.length_ms <= 4 * 60_000;
    assert!(report.outages.iter().all(|one| soon(&one.outage)), "{:#?}", report.outages);
}

/// It takes the key away from all who were not moved yet, and with it the way back from a wave that is not well.
#[tokio::test]
async fn a_forced_regeneration_of_the_old_key_in_the_middle_of_a_wave_leaves_no_way_back() {
    let story = with_an_ill_slot().await;
    force_in_the_middle(&story, PRIMARY);
    story.watch(4 * HOUR).await;
    assert_eq!((all_hold(&story), writes(&story, SLOTS).len()), (SECONDARY, 1));
    let journal = story.journal().await;
    assert_eq!(
        (journal.wave(), count(&journal, |event| matches!(event, Event::GateFailed { .. }))),
        (None, 0)
    );
    is_soon_repaired(&story);
}

/// Who was moved is given back the key that works, and the rotation begins anew.
#[tokio::test]
async fn a_forced_regeneration_of_the_new_key_in_the_middle_of_a_wave_is_repaired_and_the_rotation_goes_on() {
    let story = in_waves().await;
    force_in_the_middle(&story, SECONDARY);
    let reports = story.watch(12 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!((all_hold(&story), writes(&story, SLOTS).len()), (SECONDARY, 3));
    assert_eq!(story.refused(), 0, "the slot has the old key again before it has restarted");
}

/// What was to be moved back stays, for the key that it had is gone meanwhile.
#[tokio::test]
async fn a_rollback_that_is_still_to_be_done_ends_where_its_key_is_regenerated() {
    let story = with_an_ill_slot().await;
    let forbidden = embedded_azure::Fault::new(SLOTS, embedded_azure::FaultKind::Forbidden).times(u64::MAX);
    until_slots_are_written(&story).await;
    story.sim.fault(forbidden);
    let reports = story.watch(HOUR).await;
    assert!(matches!(reports[0].ending, Ending::Failed(_)), "{reports:#?}");
    let failed = story.journal().await.wave().map(|wave| wave.gate.clone());
    assert!(matches!(failed, Some(Gate::Failed { then: AfterGate::RollBack, .. })), "{failed:?}");
    story.force("sr-demo", &[PRIMARY]).unwrap();
    story.clock.advance(2 * MINUTE);
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| !report.ending.is_failure()), "{reports:#?}");
    story.sim.clear_faults();
    story.watch(HOUR).await;
    assert_eq!((all_hold(&story), story.journal().await.wave()), (SECONDARY, None));
    is_soon_repaired(&story);
}

#[tokio::test]
async fn a_window_that_closes_between_two_waves_leaves_the_next_to_the_window_after_it() {
    let mut story = in_waves().await;
    let from = story.clock.now() + TimeDelta::hours(4);
    let window =
        format!("daily {}-{} UTC", from.format("%H:%M"), (from + TimeDelta::minutes(30)).format("%H:%M"));
    let policy = &mut story.config.instances[0].policy;
    policy.windows = vec![window.parse().unwrap()];
    policy.pause_between_waves = Duration::from_secs(3600);
    let reports = story.watch(12 * HOUR).await;
    let waits = |report: &RunReport| {
        matches!(report.ending, Ending::Decided(Decision::Waiting { reason: WaitFor::Window, .. }))
    };
    assert!(reports.iter().all(waits), "{reports:#?}");
    assert_eq!([signs(&story, "chat-web/staging"), signs(&story, "chat-web")], [SECONDARY, PRIMARY]);
    let reports = story.watch(24 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    let sites = writes(&story, SITES);
    let next = from + TimeDelta::days(1);
    assert!(sites.iter().all(|at| next <= *at && *at < next + TimeDelta::minutes(30)), "{sites:?}");
    assert_eq!((all_hold(&story), story.refused()), (SECONDARY, 0));
}

/// A rotation that is over, and whether the app that is asked how it is goes on being well.
async fn rotated_and_asked() -> (Story, Arc<AtomicBool>) {
    let mut story = in_waves().await;
    let well = Arc::new(AtomicBool::new(true));
    let is_well = Arc::clone(&well);
    ask(&mut story, "chat-web", health(move || is_well.load(Ordering::SeqCst)).await);
    let reports = story.watch(7 * HOUR).await;
    assert!(settled(&reports) && all_hold(&story) == SECONDARY, "{reports:#?}");
    (story, well)
}

/// Repairs in the middle of the night, and what the app answers some minutes later.
async fn repaired(well: bool) -> (Story, Vec<RunReport>) {
    let (story, is_well) = rotated_and_asked().await;
    is_well.store(well, Ordering::SeqCst);
    story.force("sr-demo", &[SECONDARY]).unwrap();
    story.clock.advance(2 * MINUTE);
    let begun = story.clock.now();
    let reports = story.repair().await;
    assert!(reports.iter().all(|report| !report.ending.is_failure()), "{reports:#?}");
    assert_eq!(all_hold(&story), PRIMARY);
    assert!(story.clock.now() - begun < TimeDelta::seconds(10), "it waits for nobody");
    let reports = story.watch(4 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), PRIMARY);
    (story, reports)
}

/// Which app is ill, and for what, says nothing about the key that it is given in the place of an invalid one. That it does not
/// come back is told.
#[tokio::test]
async fn an_app_that_is_not_well_is_repaired_at_once_and_told_and_is_not_moved_back() {
    let (story, _) = repaired(false).await;
    let journal = story.journal().await;
    let failed = journal.repair().and_then(|repair| repair.failed.clone()).expect("it is on record");
    assert!(failed.detail.contains("chat-web") && failed.detail.contains("503"), "{}", failed.detail);
    assert_eq!(count(&journal, |event| matches!(event, Event::RepairFailed { .. })), 1);
    let gates = |event: &Event| matches!(event, Event::GateFailed { .. } | Event::WaveHeldBack { .. });
    assert_eq!(count(&journal, gates), 0);
    let told = story.told.lock().unwrap().join("\n");
    assert!(told.contains("those who were repaired did not come back"), "{told}");
}

#[tokio::test]
async fn an_app_that_comes_back_after_a_repair_is_on_record_as_well() {
    let (story, _) = repaired(true).await;
    let journal = story.journal().await;
    assert!(journal.repair().is_none());
    assert_eq!(count(&journal, |event| matches!(event, Event::RepairPassed { .. })), 1);
}

/// After compromised keys a gate tells what it finds, and nobody gets such a key back.
#[tokio::test]
async fn after_compromised_keys_a_gate_that_fails_is_told_and_rolls_nobody_back() {
    let (story, well) = rotated_and_asked().await;
    let (before, regenerated) = (story.journal().await, story.requests("SignalR_RegenerateKey"));
    well.store(false, Ordering::SeqCst);
    story.run(Intent::rotation(Cause::Compromised, None), MINUTE).await;
    let reports = story.watch(4 * HOUR).await;
    assert!(settled(&reports), "{reports:#?}");
    assert_eq!(all_hold(&story), PRIMARY);
    let journal = story.journal().await;
    let failed = journal.history().find_map(|entry| match &entry.event {
        Event::GateFailed { detail, then, .. } => Some((detail.clone(), *then)),
        _ => None,
    });
    let (detail, then) = failed.expect("it is told");
    assert!(detail.contains("chat-web") && detail.contains("503"), "{detail}");
    assert_eq!(then, AfterGate::Report);
    let moved = |event: &Event| matches!(event, Event::Repointed { repaired: false, .. });
    assert_eq!(count(&journal, moved), count(&before, moved) + 1, "all at once, and nobody back");
    assert_eq!(
        story.requests("SignalR_RegenerateKey"),
        regenerated + 2,
        "both keys that were compromised are dead"
    );
}

/// A gate waits for minutes, and the lease is free meanwhile: whoever reports compromised keys, or pauses, is not kept waiting, and
/// nobody is moved back to such a key.
#[tokio::test]
async fn a_report_of_compromised_keys_comes_in_while_a_gate_waits() {
    let story = with_an_ill_slot().await;
    until_slots_are_written(&story).await;
    let report = async {
        loop {
            let (store, clock) = (story.store.clone(), story.clock.clone());
            if story.journal().await.wave().is_none_or(|wave| wave.gate != Gate::Open) {
                return false;
            }
            let id = &story.config.instances[0].id;
            if let Ok(mut lease) = Lease::acquire(store, clock, id, "OnKeyNotice").await {
                let is_open = lease.journal().wave().is_some_and(|wave| wave.gate == Gate::Open);
                lease.record(Event::RotationRequested { compromised: true, noticed: true }).unwrap();
                lease.release().await.unwrap();
                return is_open;
            }
            tokio::task::yield_now().await;
        }
    };
    let (reports, reported) = tokio::join!(story.run(Intent::operator(false), DAY), report);
    assert!(reported, "the gate was decided before anybody could say anything: {reports:#?}");
    let back = |event: &Event| matches!(event, Event::GateFailed { then: AfterGate::RollBack, .. });
    let journal = story.journal().await;
    assert_eq!(count(&journal, back), 0, "{reports:#?}");
    // Clients with old tokens are cut off by `exposed_grace`, and that is what is wanted of compromised keys; apps are not.
    assert!(story.sim.waiting().is_empty() && settled(&reports), "{reports:#?}");
    all_hold(&story);
}

/// While the run waits, who looks sees what it waits for.
#[tokio::test]
async fn an_app_that_is_not_well_yet_is_trouble_for_who_looks() {
    let story = with_an_ill_slot().await;
    until_slots_are_written(&story).await;
    story.clock.advance(2 * MINUTE);
    let service = &story.config.instances[0];
    let preview = story.rekey().preview(service, story.clock.now() + TimeDelta::minutes(2)).await.unwrap();
    let trouble = preview.trouble().join("\n");
    for told in ["not well yet; it has until", "chat-web/staging", "503"] {
        assert!(trouble.contains(told), "{told} is missing in {trouble}");
    }
}
