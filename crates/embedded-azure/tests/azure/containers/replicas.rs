//! What the replicas of a container app run with, and how that changes.

use super::*;

#[tokio::test]
async fn replicas_run_with_the_secrets_of_their_creation_until_they_are_replaced() {
    let azure = by_value().await;
    assert_eq!(azure.runs_with("containerApps/chat-api"), [PRIMARY]);
    let old = azure.replicas(NEWEST).await;
    azure
        .inner
        .with(|state| state.edit_container_secret("chat-api", "signalr", Some("{secondary:sr-demo}")))
        .unwrap();
    azure.clock.advance(HOUR);
    assert_eq!(azure.runs_with("containerApps/chat-api"), [PRIMARY], "a new secret reaches nobody who runs");
    assert_eq!(azure.revisions().await.len(), 1, "and makes no revision");
    let would = azure.inner.with(|state| state.signs("containerApps/chat-api")).unwrap();
    assert_eq!(would.into_iter().collect::<Vec<_>>(), [("sr-demo".to_owned(), SECONDARY)]);

    let asked = azure.clock.now();
    azure.restart(NEWEST).await;
    assert_eq!(azure.replicas(NEWEST).await, old, "the answer comes before anything happens");
    azure.clock.advance(Duration::from_secs(12));
    let both = azure.replicas(NEWEST).await;
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], old[0]);
    assert!(both[1].1 > asked && both[1].2 == "NotRunning", "{both:?}");
    assert_eq!(azure.runs_with("containerApps/chat-api"), [PRIMARY]);
    azure.clock.advance(Duration::from_secs(12));
    let new = azure.replicas(NEWEST).await;
    assert_eq!(new.iter().map(|one| (&one.0, one.2.as_str())).collect::<Vec<_>>(), [(&both[1].0, "Running")]);
    assert_eq!(azure.runs_with("containerApps/chat-api"), [SECONDARY]);
}

#[tokio::test]
async fn who_rotates_without_a_restart_cuts_the_clients_off() {
    for restarts in [false, true] {
        let azure = by_value().await;
        assert_eq!(azure.calls("containerApps/chat-api", MINUTE), (true, 0));
        let secondary = azure.string(KeyType::Secondary);
        azure
            .patch_secrets(json!([{"name": "signalr", "value": secondary}, {"name": "other", "value": "x"}]))
            .await;
        if restarts {
            azure.restart(NEWEST).await;
            // The tokens of the clients live for an hour.
            azure.clock.advance(HOUR + 2 * MINUTE);
        }
        assert_eq!(azure.regenerate("Primary").await.status(), StatusCode::ACCEPTED);
        let (calls, refused) = azure.calls("containerApps/chat-api", HOUR);
        assert!(calls);
        assert_eq!(refused > 0, !restarts, "{refused}");
    }
}

#[tokio::test]
async fn every_active_revision_has_replicas_of_its_own() {
    let members = json!({
        "revisions_mode": "Multiple",
        "secrets": {"signalr": "{primary:sr-demo}"},
        "revisions": {"chat-api--old": {"active": true, "replicas": 2}, "chat-api--off": {"weight": 0}},
    });
    let azure = azure(members, Options::like_azure()).await;
    let told: Vec<_> = azure
        .revisions()
        .await
        .iter()
        .map(|one| {
            let of = |member: &str| one["properties"][member].clone();
            (one["name"].clone(), of("active"), of("replicas"), of("trafficWeight"), of("runningState"))
        })
        .collect();
    let row = |name: &str, active: bool, replicas: u64, weight: u64, state: &str| {
        (json!(name), json!(active), json!(replicas), json!(weight), json!(state))
    };
    assert_eq!(
        told,
        [
            row("chat-api--off", false, 0, 0, "Stopped"),
            row("chat-api--old", true, 2, 0, "Running"),
            row(NEWEST, true, 1, 100, "Running"),
        ]
    );
    azure
        .inner
        .with(|state| state.edit_container_secret("chat-api", "signalr", Some("{secondary:sr-demo}")))
        .unwrap();
    azure.restart(NEWEST).await;
    azure.clock.advance(MINUTE);
    assert_eq!(
        azure.runs_with("containerApps/chat-api"),
        [PRIMARY, SECONDARY],
        "one without weight signs too"
    );
    azure.restart("chat-api--off").await;
    azure.restart("chat-api--old").await;
    azure.clock.advance(MINUTE);
    assert_eq!(azure.runs_with("containerApps/chat-api"), [SECONDARY]);
    assert_eq!(azure.replicas("chat-api--off").await, [], "what is inactive stays so");
    azure.inner.with(|state| state.activate_revision("chat-api", Some("chat-api--off"), true)).unwrap();
    azure.clock.advance(MINUTE);
    assert_eq!(azure.replicas("chat-api--off").await.len(), 1);
    for (action, left) in [("deactivate", 0), ("activate", 1)] {
        let path = app(&format!("/revisions/chat-api--off/{action}"));
        assert_eq!(azure.post(&path, APP, json!({})).await.status(), StatusCode::OK);
        azure.clock.advance(MINUTE);
        assert_eq!(azure.replicas("chat-api--off").await.len(), left);
    }
    let lost = fault_of(azure.post(&app("/revisions/gone/restart"), APP, json!({})).await).await;
    assert_eq!(lost, (404, "RevisionNotFound".into()));
}

#[tokio::test]
async fn scaled_to_zero_nobody_signs_and_who_comes_back_has_the_secrets_of_then() {
    let azure = by_value().await;
    let scale = |replicas: usize| azure.inner.with(|state| state.scale("chat-api", None, replicas)).unwrap();
    scale(0);
    assert_eq!(azure.replicas(NEWEST).await, []);
    assert_eq!(azure.revisions().await[0]["properties"]["runningState"], "ScaledToZero");
    azure
        .inner
        .with(|state| state.edit_container_secret("chat-api", "signalr", Some("{secondary:sr-demo}")))
        .unwrap();
    azure.restart(NEWEST).await;
    azure.clock.advance(MINUTE);
    assert_eq!(azure.replicas(NEWEST).await, [], "a restart creates none");
    assert_eq!(azure.runs_with("containerApps/chat-api"), []);
    scale(2);
    assert_eq!(azure.replicas(NEWEST).await.len(), 2);
    assert_eq!(azure.runs_with("containerApps/chat-api"), [], "they do not run at once");
    azure.clock.advance(MINUTE);
    assert_eq!(azure.runs_with("containerApps/chat-api"), [SECONDARY]);
    scale(1);
    assert_eq!(azure.replicas(NEWEST).await.len(), 1);
}

#[tokio::test]
async fn replicas_that_do_not_come_to_run_leave_the_old_ones() {
    let azure = by_value().await;
    azure.inner.with(|state| {
        state.break_revision("chat-api", None, true).unwrap();
        state.edit_container_secret("chat-api", "signalr", Some("{secondary:sr-demo}")).unwrap();
        state.restart_revision("chat-api", None).unwrap();
    });
    azure.clock.advance(HOUR);
    assert_eq!(azure.replicas(NEWEST).await.len(), 2);
    let properties = azure.revisions().await[0]["properties"].clone();
    assert_eq!(
        (&properties["runningState"], &properties["healthState"]),
        (&json!("Degraded"), &json!("Unhealthy"))
    );
    assert_eq!(azure.runs_with("containerApps/chat-api"), [PRIMARY]);
    azure.inner.with(|state| state.break_revision("chat-api", None, false)).unwrap();
    azure.clock.advance(MINUTE);
    assert_eq!(azure.replicas(NEWEST).await.len(), 1);
    assert_eq!(azure.runs_with("containerApps/chat-api"), [SECONDARY]);
}

#[tokio::test]
async fn another_template_is_another_revision_and_takes_over_when_it_runs() {
    let azure = by_value().await;
    let mut template = azure.app().await["properties"]["template"].clone();
    assert_eq!(
        azure.patch(json!({"properties": {"template": template}})).await.status(),
        StatusCode::ACCEPTED
    );
    azure.clock.advance(MINUTE);
    assert_eq!(azure.revisions().await.len(), 1, "the same is none");
    template["containers"][0]["image"] = "registry.example/chat-api:2".into();
    assert_eq!(
        azure.patch(json!({"properties": {"template": template}})).await.status(),
        StatusCode::ACCEPTED
    );
    azure.clock.advance(Duration::from_secs(25));
    let active =
        |all: &[Value]| all.iter().map(|one| one["properties"]["active"] == true).collect::<Vec<_>>();
    assert_eq!(active(&azure.revisions().await), [true, true], "the old one serves until the new one runs");
    azure.clock.advance(MINUTE);
    let revisions = azure.revisions().await;
    assert_eq!(active(&revisions), [false, true]);
    assert_eq!(revisions[1]["name"], "chat-api--0000002");
    assert_eq!(azure.app().await["properties"]["latestRevisionName"], "chat-api--0000002");
}

#[tokio::test]
async fn a_key_that_a_colleague_placed_explains_what_is_refused() {
    let azure = by_value().await;
    let stale = azure.string(KeyType::Secondary);
    azure.inner.regenerate("sr-demo", &[KeyType::Secondary]).unwrap();
    let change = json!({"app": "chat-api", "name": "signalr", "value": stale});
    let done = azure.request(Method::POST, "/sim/container-secrets", "").json(&change).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    let restart = json!({"app": "chat-api", "revision": null, "action": "restart", "replicas": null});
    let done = azure.request(Method::POST, "/sim/revisions", "").json(&restart).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    azure.clock.advance(MINUTE);
    assert_eq!(azure.calls("containerApps/chat-api", MINUTE), (true, 0));
    let report = azure.inner.report();
    assert!(report.refused > 0 && report.refused_unexplained == 0);
}
