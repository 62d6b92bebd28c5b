//! What clients meet: by the book nobody is cut off, otherwise the right ones are, for as long as they should.

use super::harness::*;

#[tokio::test]
async fn a_rotation_by_the_book_cuts_nobody_off() {
    let azure = Azure::start().await;
    let (primary, secondary) = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
    assert_eq!(azure.regenerate("Secondary").await.status(), 202);
    azure.clock.advance(Duration::from_secs(75));
    let fresh = azure.key(KeyType::Secondary);
    assert_ne!(fresh, secondary);
    azure.repoint(&primary, &fresh).await;
    azure.clock.advance(2 * HOUR);
    assert_eq!(azure.regenerate("Primary").await.status(), 202);
    azure.clock.advance(2 * MINUTE);
    let report = azure.inner.report();
    assert!(report.calls > 1000, "{}", report.calls);
    assert_eq!(report.refused, 0);
    assert_eq!(report.instances["sr-demo"].apps.len(), 3);
}

#[tokio::test]
async fn regenerating_the_key_in_use_cuts_everybody_off_until_they_are_repointed() {
    let azure = Azure::start().await;
    let mut events = azure.inner.activity();
    let primary = azure.key(KeyType::Primary);
    azure.clock.advance(MINUTE);
    azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    azure.clock.advance(Duration::from_secs(10));
    let report = azure.inner.report();
    assert!(report.refused > 0);
    let outage = &report.instances["sr-demo"].apps["chat-web"].outages[0];
    assert!(outage.open && outage.length_ms == 10_000, "{outage:?}");

    azure.repoint(&primary, &azure.key(KeyType::Primary)).await;
    azure.clock.advance(MINUTE);
    let report = azure.inner.report();
    for tally in report.instances["sr-demo"].apps.values() {
        // Ten seconds until the repoint, and twenty for the restart: to the millisecond, whatever the tick.
        assert_eq!(
            (tally.outages.len(), tally.outages[0].open, tally.outages[0].length_ms),
            (1, false, 30_000)
        );
    }
    let mut refused = 0;
    while let Ok(event) = events.try_recv() {
        refused += i32::from(matches!(event.what, ActivityKind::Refused { .. }));
    }
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn a_key_that_dies_while_client_tokens_of_it_live_refuses_them() {
    for (grace, refused) in [(30 * MINUTE, true), (HOUR + MINUTE, false)] {
        let azure = Azure::start().await;
        let (primary, secondary) = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
        azure.repoint(&primary, &secondary).await;
        azure.clock.advance(grace);
        azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
        azure.clock.advance(MINUTE);
        let report = azure.inner.report();
        // One token for each app: its client negotiates anew and is well again.
        assert_eq!(report.refused, if refused { 3 } else { 0 }, "{grace:?}");
    }
}

#[tokio::test]
async fn the_old_process_keeps_its_key_until_the_restart_is_over() {
    let azure = Azure::start().await;
    let (primary, secondary) = (azure.key(KeyType::Primary), azure.key(KeyType::Secondary));
    azure.clock.advance(MINUTE);
    azure.repoint(&primary, &secondary).await;
    azure.clock.advance(Duration::from_secs(19));
    azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    azure.clock.advance(MINUTE);
    let tally = &azure.inner.report().instances["sr-demo"].apps["chat-func"];
    assert_eq!(tally.outages[0].length_ms, 1000);
}

#[tokio::test]
async fn a_cut_off_does_not_hide_between_two_ticks() {
    let azure = Azure::start().await;
    // The key in use dies and the other is restored to the apps within one jump of ten days.
    let primary = azure.key(KeyType::Primary);
    assert_eq!(azure.regenerate("Primary").await.status(), 202);
    let promised = Key::new(azure.list_keys().await["primaryKey"].as_str().unwrap());
    azure.clock.advance(Duration::from_secs(56));
    azure.repoint(&primary, &promised).await;
    // Restarts end a second after the key came into effect.
    azure.clock.advance(240 * HOUR);
    let report = azure.inner.report();
    let tally = &report.instances["sr-demo"].apps["chat-web"];
    assert_eq!(tally.outages.iter().map(|outage| outage.length_ms).collect::<Vec<_>>(), [1000]);
    assert!(report.calls < 10_000, "a jump costs a bounded number of samples");
}

#[tokio::test]
async fn a_deleted_service_is_gone_and_its_clients_are_not_counted() {
    let azure = Azure::start().await;
    azure.clock.advance(MINUTE);
    let calls = azure.inner.report().calls;
    azure.inner.delete_service("sr-demo").unwrap();
    azure.clock.advance(MINUTE);
    let report = azure.inner.report();
    assert_eq!((report.calls, report.refused), (calls, 0));
    assert_eq!(fault_of(azure.get(&instance(""), SIGNALR).await).await.1, "ResourceNotFound");
    let error = azure.inner.keys("sr-demo").unwrap_err().to_string();
    assert_eq!(error, "there is no SignalR service named \"sr-demo\"; there is none at all");
}

#[tokio::test]
async fn apps_can_appear_while_time_runs() {
    let azure = Azure::start().await;
    let settings = BTreeMap::from([("Hub".to_owned(), "{primary:sr-demo}".to_owned())]);
    let site = Site { group: "rg-demo".into(), name: "late".into(), settings, ..Site::default() };
    azure.inner.with(|state| state.add_site(site.clone())).unwrap();
    let again = site.clone();
    assert!(azure.inner.with(|state| state.add_site(site)).is_err());
    azure.clock.advance(MINUTE);
    let calls = |azure: &Azure| azure.inner.report().instances["sr-demo"].apps["late"].calls;
    let before = calls(&azure);
    assert!(before > 0);
    azure.inner.delete_site("late").unwrap();
    azure.clock.advance(MINUTE);
    assert_eq!(calls(&azure), before);
    azure.inner.with(|state| state.add_site(again)).unwrap();
    azure.clock.advance(MINUTE);
    assert!(calls(&azure) > before);
}

#[tokio::test]
async fn in_real_time_traffic_runs_by_itself() {
    let options = Options {
        tick: Duration::from_millis(5),
        regenerate_takes: Duration::from_millis(100),
        ..Options::default()
    };
    let world = World {
        signalr: vec![SignalR { group: "rg-demo".into(), name: "sr-demo".into(), ..SignalR::default() }],
        ..World::default()
    };
    let sim = EmbeddedAzure::start(world, options.clone(), Arc::new(SystemClock), ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    assert_eq!(sim.report().calls, 0, "no app holds it");
    drop(sim);
    let sim =
        EmbeddedAzure::start(World::default(), options, Arc::new(SystemClock), ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
    let mut events = sim.activity();
    sim.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    let base = sim.base().to_owned();
    for _ in 0..4 {
        tokio::time::timeout(Duration::from_secs(5), events.recv()).await.unwrap().unwrap();
    }
    drop(sim);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(reqwest::get(format!("{base}/sim/report")).await.is_err(), "it stops when it is dropped");
}
