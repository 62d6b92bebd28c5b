//! What the journal costs: storage requests for each run and each rotation, and the size of the document.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are for people")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use common::counting::Counting;
use common::{DAY, HOUR, MINUTE, Story, two_services_of_one_app};
use embedded_azure::{Options, Site};
use rekey_core::intent::Intent;
use rekey_core::journal::{Event, Fate, Journal};
use rekey_core::model::{AppId, ConsumerId, Key, KeyType, PerKey};
use rekey_core::plan::Decision;
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::{Engine, Order};
use signalr_rekey::report::Ending;
use signalr_rekey::store::Store;

/// One run of the timer, and how many storage requests it made.
async fn pass(story: &Story, store: &Arc<Counting>, process: &Engine) -> (Ending, u64) {
    let before = store.requests();
    let (store_of, fenced) = (Arc::clone(store) as Arc<dyn Store>, Arc::clone(&process.fenced));
    let rekey = Engine { store: store_of, fenced, ..story.rekey() };
    let run = Order {
        services: vec![],
        intent: Intent::timer(),
        holder: format!("worker-{before}"),
        deadline: story.clock.now() + delta(9 * MINUTE),
    };
    let reports = rekey.run(&run).await;
    (reports[0].ending.clone(), store.requests() - before)
}

#[tokio::test]
async fn an_idle_pass_makes_one_storage_request_and_a_rotation_at_most_fourteen_and_one_at_each_poll() {
    let story = Story::new().await;
    story.watch(6 * HOUR).await;
    let store = Counting::new(story.store.clone());
    let process = story.rekey();
    let (_, first) = pass(&story, &store, &process).await;
    assert_eq!(first, 2, "the first of a process looks at what keeps older releases out");
    let (ending, idle) = pass(&story, &store, &process).await;
    assert!(matches!(ending, Ending::Decided(Decision::Settled { .. })), "{ending:?}");
    assert_eq!(idle, 1, "the journal is read, and nothing is written");

    story.clock.advance(31 * DAY);
    let (mut rotation, mut waiting, regenerated) = (0, 0, story.requests("SignalR_RegenerateKey"));
    let polled = story.requests("SignalR_OperationStatuses");
    for _ in 0..60 {
        let (ending, requests) = pass(&story, &store, &process).await;
        // One request is what a run with nothing to do costs.
        if requests > idle {
            rotation += requests;
        } else {
            waiting += 1;
        }
        if matches!(ending, Ending::Decided(Decision::Settled { .. })) {
            break;
        }
        story.clock.advance(5 * MINUTE);
    }
    assert_eq!(story.requests("SignalR_RegenerateKey"), regenerated + 2, "both halves");
    // At each poll it is read whether another run calls.
    let polls = u64::try_from(story.requests("SignalR_OperationStatuses") - polled).unwrap();
    println!(
        "an idle pass: {idle} storage request; a rotation: {rotation}, of which {polls} at polls, and {waiting} idle \
         passes in its grace"
    );
    assert!(polls >= 2 && rotation <= 14 + polls, "{rotation} and {polls} polls");
}

/// What a rotation asks of Azure Resource Manager, of the service and of an app's `health`. How often an operation is polled hangs
/// on its time alone.
async fn asked_in_a_rotation(gates: bool) -> [usize; 3] {
    let mut story = Story::new().await;
    let (url, asked) = common::health::health(|| true).await;
    let instance = &mut story.config.instances[0];
    instance.policy.grace = MINUTE;
    if gates {
        instance.policy.waves.clear();
        let id = instance.consumers().find(|consumer| consumer.name() == "chat-web").unwrap();
        instance.policy.watched.insert(id.clone());
        instance.health.insert(id, url);
    }
    story.run(Intent::operator(false), DAY).await;
    story.clock.advance(31 * DAY);
    let count = || {
        let requests = story.sim.requests();
        let of = |begin: &[&str]| {
            let fits = |name: &str| begin.iter().any(|begin| name.starts_with(begin));
            requests.iter().filter(|one| fits(one.operation)).count()
        };
        [of(&["SignalR_ListKeys", "WebApps_"]), of(&["DataPlane_"]), asked.load(Ordering::SeqCst)]
    };
    let before = count();
    let reports = story.run(Intent::operator(false), DAY).await;
    assert!(matches!(reports[0].ending, Ending::Decided(Decision::Settled { .. })), "{reports:#?}");
    let after = count();
    [0, 1, 2].map(|n| after[n] - before[n])
}

/// The default world has two waves, of which the second has an app with a `health`.
#[tokio::test]
async fn gates_ask_what_the_documents_say() {
    let ([arm, probes, none], [arm_gated, probes_gated, health]) =
        (asked_in_a_rotation(false).await, asked_in_a_rotation(true).await);
    println!(
        "two gates ask {} of ARM, {} of the service, {health} of a health",
        arm_gated - arm,
        probes_gated - probes
    );
    let (gates, apps) = (2, common::CONSUMERS.len());
    assert!(arm_gated <= arm + gates * (1 + 2 * apps), "{arm} and {arm_gated}");
    assert_eq!(probes_gated - probes, 1 + 3, "three where a health is asked");
    assert_eq!((none, health), (0, 1 + 3), "before the wave, and at its gate");
}

/// What both rotations of two services of one app cost, and how often the app was written.
async fn rotations_of_one_app(shared: bool) -> (u64, usize) {
    let mut world = two_services_of_one_app();
    if !shared {
        // The same, and each service has an app of its own.
        let site = world.sites.remove(0);
        for (service, name) in world.signalr.iter_mut().zip(["sr-one", "sr-two"]) {
            let settings = [(name.to_owned(), site.settings[name].clone())].into();
            let own = format!("only-{name}");
            service.apps = vec![own.clone()];
            world.sites.push(Site { name: own, settings, ..site.clone() });
        }
    }
    let story = Story::of(world, Options::default()).await;
    let (store, process) = (Counting::new(story.store.clone()), story.rekey());
    for _ in 0..80 {
        pass(&story, &store, &process).await;
        story.clock.advance(5 * MINUTE);
    }
    assert_eq!(story.requests("SignalR_RegenerateKey"), 4, "two rotations");
    let polls = u64::try_from(story.requests("SignalR_OperationStatuses")).unwrap();
    (store.requests() - polls, story.requests("WebApps_UpdateApplicationSettings"))
}

#[tokio::test]
async fn a_write_to_an_app_that_services_share_costs_three_storage_requests_and_any_other_none() {
    let (own, writes) = rotations_of_one_app(false).await;
    let (shared, shared_writes) = rotations_of_one_app(true).await;
    let locks = shared - own;
    println!(
        "{shared_writes} writes to a shared app cost {locks} storage requests more than {writes} to apps of one service"
    );
    assert_eq!((shared_writes, writes), (2, 2));
    assert_eq!(locks, 3 * 2, "the lock is read, taken and given back");
}

/// A journal that was driven through rotations, with Azure's long URLs and an outage in each tenth; and whether their evidence
/// could be written.
fn rotated(times: usize, proved: bool) -> Journal {
    let mut journal = Journal::default();
    let mut now: DateTime<Utc> = DateTime::UNIX_EPOCH;
    let mut fingerprint = {
        let mut made = 0;
        move || {
            made += 1;
            Key::new(format!("key {made}")).fingerprint()
        }
    };
    let apps: Vec<ConsumerId> = (0..5)
        .map(|n| {
            AppId::new(
                "00000000-0000-0000-0000-000000000001",
                "rg-with-a-name",
                &format!("web-app-{n}"),
                None,
            )
            .into()
        })
        .collect();
    let keys = PerKey::from_fn(|_| fingerprint());
    let mut apply = |event| {
        now += TimeDelta::minutes(3);
        journal.apply(event, now).expect("a legal event");
    };
    let (mut replaced, id) = (keys.clone(), "00000000-0000-0000-0000-000000000001".to_owned());
    apply(Event::Adopted { keys });
    let mut standby = KeyType::Secondary;
    apply(Event::Taken { key_type: standby.other() });
    for rotation in 0..times {
        let active = standby.other();
        for (half, key_type) in [standby, active].into_iter().enumerate() {
            apply(Event::RegenerationIntended { key_type });
            let (made, old) = (fingerprint(), replaced[key_type].clone());
            apply(Event::RegenerationAccepted { operation: None, promised: Some(made.clone()) });
            apply(Event::Traced { regeneration: Some(id.clone()), consumers: [].into() });
            apply(Event::Regenerated { fingerprint: made.clone(), confirmed: true });
            replaced[key_type] = made;
            apply(Event::OldKeyTried { fingerprint: old, calls: 1, fate: Fate::Refused });
            if half == 0 {
                apply(Event::Verified { key_type });
                apply(Event::RepointIntended { key_type });
                apply(Event::Repointed { key_type, apps: apps.clone(), repaired: rotation % 10 == 0 });
                let consumers = apps.iter().map(|app| (app.clone(), id.clone())).collect();
                apply(Event::Traced { regeneration: None, consumers });
                apply(Event::Left { key_type: active });
            }
        }
        apply(Event::Concluded { finished: true });
        if proved {
            apply(Event::EvidenceKept {
                name: format!("2026/01/{rotation:06}.json"),
                sha256: "0".repeat(64),
            });
        }
        standby = active;
    }
    journal
}

#[test]
fn the_document_stays_small_after_a_thousand_rotations() {
    let size = |journal: &Journal| serde_json::to_vec_pretty(journal).unwrap().len();
    for proved in [true, false] {
        let (early, late) = (size(&rotated(300, proved)), size(&rotated(1000, proved)));
        println!(
            "the document after 300 rotations: {early} bytes; after 1,000: {late} bytes; evidence: {proved}"
        );
        assert!(late <= 64 * 1024, "{late}");
        assert!(late <= early + 256, "bounded: {early} then {late}");
    }
    assert_eq!(
        rotated(1000, false).evidence().left_out().changes,
        994,
        "and it is known how many are not told of"
    );
}
