//! Locks, policies, a disabled subscription and the like: what they refuse, with which code, and what they let pass.

use embedded_azure::{Barrier, BarrierKind, Denial, DeniedBy, State};

use super::harness::*;

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

fn web(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Web/sites/chat-web{rest}")
}

/// The status and code with which Azure answers: reading the service, its keys, a regeneration, reading the settings,
/// and writing them as they are.
async fn answers(azure: &Azure) -> [(u16, String); 5] {
    let of = |answer: Response| async {
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap_or_default();
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let settings = azure.inner.settings("chat-web").unwrap();
    [
        of(azure.get(&instance(""), SIGNALR).await).await,
        of(azure.post(&instance("/listKeys"), SIGNALR, json!({})).await).await,
        of(azure.regenerate("Salt").await).await,
        of(azure.post(&web("/config/appsettings/list"), WEB, json!({})).await).await,
        of(azure.put_settings("chat-web", &settings).await).await,
    ]
}

#[tokio::test]
async fn every_barrier_refuses_what_azure_says_it_does_and_nothing_else() {
    const READ: u16 = 200;
    let locked = (409, "ScopeLocked");
    let policy = (403, "RequestDisallowedByPolicy");
    let disabled = (409, "ReadOnlyDisabledSubscription");
    let unregistered = (409, "MissingSubscriptionRegistration");
    let [read, begun] = [(READ, ""), (202, "")];
    for (scope, kind, expected) in [
        (GROUP, BarrierKind::ReadOnlyLock, [read, locked, locked, locked, locked]),
        (&web(""), BarrierKind::ReadOnlyLock, [read, read, begun, locked, locked]),
        (SUBSCRIPTION, BarrierKind::CanNotDeleteLock, [read, read, begun, read, read]),
        (SUBSCRIPTION, BarrierKind::DisabledSubscription, [read, read, disabled, read, disabled]),
        (SUBSCRIPTION, BarrierKind::Policy, [read, read, begun, read, policy]),
        (&instance(""), BarrierKind::Unregistered, [read, unregistered, unregistered, read, read]),
    ] {
        let azure = Azure::start().await;
        let own = |answer: (u16, &str)| (answer.0, answer.1.to_owned());
        azure.inner.with(|state| state.bar(&scope.to_uppercase(), kind));
        assert_eq!(answers(&azure).await, expected.map(own), "{kind:?} at {scope}");
        azure.inner.with(State::lift_barriers);
        azure.clock.advance(2 * MINUTE);
        assert_eq!(answers(&azure).await, [read, read, begun, read, read].map(own), "it is lifted");
    }
}

#[tokio::test]
async fn a_deny_assignment_has_a_code_of_its_own_and_is_no_part_of_a_role() {
    let azure = Azure::start().await;
    azure.inner.with(|state| state.assign_denial(GROUP, "*/write"));
    let settings = azure.inner.settings("chat-web").unwrap();
    let refused = fault_of(azure.put_settings("chat-web", &settings).await).await;
    assert_eq!(refused, (403, "DenyAssignmentAuthorizationFailed".into()));
    assert_eq!(azure.settings("chat-web").await, settings, "*/write is not config/list/action");
    let path = format!("{GROUP}/providers/Microsoft.Authorization/permissions");
    let permissions = json_of(azure.get(&path, "api-version=2022-04-01").await).await;
    assert_eq!(permissions["value"][0]["notActions"], json!([]));
}

#[tokio::test]
async fn barriers_and_denials_stand_in_the_world_file_and_over_http() {
    let world = World {
        barriers: vec![Barrier { scope: SUBSCRIPTION.into(), kind: BarrierKind::DisabledSubscription }],
        denials: vec![Denial {
            scope: GROUP.into(),
            action: "*/listkeys/action".into(),
            by: DeniedBy::Role,
            app: None,
        }],
        ..World::default()
    };
    let world = serde_json::from_value(serde_json::to_value(world).unwrap()).unwrap();
    let azure = Azure::with(world, Options::like_azure()).await;
    assert_eq!(answers(&azure).await.map(|answer| answer.0), [200, 403, 409, 200, 409]);
    let subscription = json_of(azure.get(SUBSCRIPTION, "api-version=2022-12-01").await).await;
    assert_eq!(subscription["state"], "Disabled");
    let control = |method, path: &str, body: Value| azure.request(method, path, "").json(&body).send();
    for path in ["/sim/barriers", "/sim/denials"] {
        assert_eq!(control(Method::DELETE, path, json!({})).await.unwrap().status(), 200);
    }
    let barrier = json!({"scope": GROUP, "kind": "read-only-lock"});
    assert_eq!(control(Method::POST, "/sim/barriers", barrier).await.unwrap().status(), 200);
    let denial = json!({"scope": GROUP, "action": "*/list/action", "by": "deny-assignment"});
    assert_eq!(control(Method::POST, "/sim/denials", denial).await.unwrap().status(), 200);
    let codes = answers(&azure).await.map(|answer| answer.1);
    assert_eq!(codes, ["", "ScopeLocked", "ScopeLocked", "DenyAssignmentAuthorizationFailed", "ScopeLocked"]);
    let nonsense = json!({"scope": GROUP, "kind": "wall"});
    assert_eq!(control(Method::POST, "/sim/barriers", nonsense).await.unwrap().status(), 400);
}

#[tokio::test]
async fn an_app_that_is_moved_is_at_its_new_id_alone_and_runs_on() {
    let azure = Azure::start().await;
    azure.clock.advance(MINUTE);
    let moved =
        azure.request(Method::POST, "/sim/move", "").json(&json!({"app": "chat-web", "group": "rg-new"}));
    assert_eq!(moved.send().await.unwrap().status(), 200);
    let old = azure.post(&web("/config/appsettings/list"), WEB, json!({})).await;
    assert_eq!(fault_of(old).await, (404, "ResourceNotFound".into()));
    for path in ["", "/slots/staging"] {
        let id = web(path).replace("rg-demo", "rg-new");
        let list = format!("{id}/config/appsettings/list");
        assert_eq!(azure.post(&list, WEB, json!({})).await.status(), 200, "{id}");
    }
    let sites = json_of(azure.get(&format!("{SUBSCRIPTION}/providers/Microsoft.Web/sites"), WEB).await).await;
    let ids: Vec<&str> =
        sites["value"].as_array().unwrap().iter().map(|site| site["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&web("").replace("rg-demo", "rg-new"), &web("").replace("chat-web", "chat-func")]);
    let calls = azure.inner.report().instances["sr-demo"].apps["chat-web"].calls;
    azure.clock.advance(MINUTE);
    assert!(azure.inner.report().instances["sr-demo"].apps["chat-web"].calls > calls);
    // A group stays when its last resource has left it.
    azure.inner.with(|state| state.move_site("chat-web", "rg-newer")).unwrap();
    let gone = azure.get(&web("").replace("rg-demo", "rg-new"), WEB).await;
    assert_eq!(fault_of(gone).await, (404, "ResourceNotFound".into()));
}

#[tokio::test]
async fn an_id_that_is_mistyped_is_not_found_and_a_list_can_be_forbidden() {
    let azure = Azure::start().await;
    for (path, code) in [
        (web("x"), "ResourceNotFound"),
        (web("/slots/stagin"), "ResourceNotFound"),
        (web("").replace("rg-demo", "rg-dem"), "ResourceGroupNotFound"),
        (web("").replace("000001/", "000002/"), "SubscriptionNotFound"),
    ] {
        let answer = azure.post(&format!("{path}/config/appsettings/list"), WEB, json!({})).await;
        assert_eq!(fault_of(answer).await, (404, code.into()), "{path}");
    }
    azure.inner.fault(Fault::new("WebApps_List", FaultKind::Forbidden).times(u64::MAX));
    let list = format!("{SUBSCRIPTION}/providers/Microsoft.Web/sites");
    assert_eq!(fault_of(azure.get(&list, WEB).await).await, (403, "AuthorizationFailed".into()));
    assert_eq!(azure.get(&web(""), WEB).await.status(), 200);
}
