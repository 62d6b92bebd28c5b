//! Each action that a run needs, taken away.

use rekey_core::model::KeyType;
use signalr_rekey::doctor::{Check, Severity};

use super::common::Story;
use super::{GROUP, bad, examine, instance, only, site};

#[tokio::test]
async fn each_action_that_lacks_is_named_with_the_command_that_grants_it() {
    for (scope, action, severity) in [
        (instance(), "Microsoft.SignalRService/SignalR/read", Severity::Warning),
        (instance(), "Microsoft.SignalRService/SignalR/listkeys/action", Severity::Error),
        (instance(), "Microsoft.SignalRService/SignalR/regeneratekey/action", Severity::Error),
        (instance(), "Microsoft.SignalRService/SignalR/operationStatuses/read", Severity::Error),
        (site("chat-func"), "Microsoft.Web/sites/config/list/Action", Severity::Error),
        (site("chat-func"), "Microsoft.Web/sites/config/Write", Severity::Error),
        (site("chat-web/slots/staging"), "Microsoft.Web/sites/slots/config/list/Action", Severity::Error),
        (site("chat-web/slots/staging"), "Microsoft.Web/sites/slots/config/Write", Severity::Error),
    ] {
        let story = Story::new().await;
        story.sim.with(|state| state.deny(&scope, &action.to_lowercase()));
        let report = examine(&story).await;
        let finding = only(&report, Check::Permission, severity, &scope);
        assert!(finding.what.contains(action), "{finding:?}");
        let fix = finding.fix.as_ref().unwrap();
        let role = fix.strip_prefix("az role definition create --role-definition '").expect(fix);
        let role: serde_json::Value =
            serde_json::Deserializer::from_str(role).into_iter().next().unwrap().unwrap();
        let actions = role["Actions"].as_array().unwrap();
        assert!(actions.contains(&action.into()) && !role["Actions"].to_string().contains('*'), "{fix}");
        assert!(fix.contains("; az role assignment create --assignee-object-id "), "{fix}");
        assert!(fix.ends_with(&format!(" --scope {scope}")), "{fix}");
        assert_eq!(report.errors, usize::from(severity == Severity::Error), "{report:#?}");
    }
}

/// An app that is cut off and may not be written is not repaired by `rotate` before that is permitted.
#[tokio::test]
async fn what_is_not_permitted_stands_before_what_needs_it() {
    let story = Story::new().await;
    story.tick().await;
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story.sim.with(|state| state.deny(&site("chat-web"), "Microsoft.Web/sites/config/write"));
    let report = examine(&story).await;
    let errors: Vec<_> = report.findings.iter().filter(|one| one.severity == Severity::Error).collect();
    assert_eq!(errors[0].check, Check::Permission, "{errors:#?}");
    let fix = errors[1].fix.as_deref().unwrap_or_default();
    assert!(errors.len() == 4 && fix.starts_with("signalr-rekey rotate "), "{errors:#?}");
}

#[tokio::test]
async fn a_role_that_stops_at_the_group_lacks_everything() {
    let story = Story::new().await;
    story.sim.with(|state| state.deny(GROUP, "Microsoft.Web/*"));
    let report = examine(&story).await;
    // To list and to write, of two sites and a slot.
    assert_eq!(bad(&report, Check::Permission).len(), 6, "{report:#?}");
}

#[tokio::test]
async fn where_azure_does_not_tell_what_is_granted_harmless_reads_do() {
    let story = Story::new().await;
    story.sim.with(|state| {
        state.deny(GROUP, "Microsoft.Authorization/permissions/read");
        state.deny(&site("chat-func"), "Microsoft.Web/sites/config/list/Action");
    });
    let report = examine(&story).await;
    assert_eq!((report.errors, report.notes), (1, 6), "{report:#?}");
    let found = bad(&report, Check::Permission);
    let of = |severity| found.iter().filter(move |finding| finding.severity == severity);
    assert!(of(Severity::Error).all(|finding| finding.subject == site("chat-func")));
    // To regenerate, to follow, and to write three apps: none can be tried without doing it.
    assert_eq!(of(Severity::Warning).count(), 5, "{found:#?}");
}

#[tokio::test]
async fn what_a_role_grants_and_azure_refuses_all_the_same_is_told() {
    use embedded_azure::{Fault, FaultKind};
    let story = Story::new().await;
    story.sim.fault(Fault::new("SignalR_ListKeys", FaultKind::Forbidden));
    let report = examine(&story).await;
    let finding = only(&report, Check::Permission, Severity::Error, &instance());
    assert!(finding.what.contains("is granted by a role but was refused"), "{finding:?}");
    // What nobody can tell is said of each app, and not passed over.
    let untold = bad(&report, Check::Consumer);
    assert_eq!(untold.len(), 3, "{report:#?}");
    assert!(
        untold.iter().all(|finding| finding.what.contains("or is cut off, cannot be told")),
        "{untold:?}"
    );
}
