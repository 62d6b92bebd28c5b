//! What is true of apps, whoever looks after them.

use embedded_azure::{BarrierKind, State};

use super::harness::*;

/// The problems of the default world's service with its apps, and with one whose id is mistyped.
fn problems(azure: &Azure) -> Vec<String> {
    let app = |name: &str| format!("{GROUP}/providers/Microsoft.Web/sites/{name}");
    let apps = ["chat-web", "chat-web/slots/staging", "chat-func"].map(app);
    azure.inner.with(|state| state.problems(&instance(""), &apps))
}

#[tokio::test]
async fn all_is_well_if_everything_can_be_read_and_everybody_signs_with_a_valid_key() {
    let azure = Azure::start().await;
    assert_eq!(problems(&azure), Vec::<String>::new());
    for (problem, word) in [
        (
            Box::new(|state: &mut State| state.deny(GROUP, "*/config/list/action"))
                as Box<dyn Fn(&mut State)>,
            "403",
        ),
        (Box::new(|state| state.bar(GROUP, BarrierKind::ReadOnlyLock)), "ScopeLocked"),
        (Box::new(|state| drop(state.force_regeneration("sr-demo", &[KeyType::Primary]))), "refuses"),
        (Box::new(|state| drop(state.move_site("chat-func", "rg-other"))), "ResourceNotFound"),
    ] {
        azure.inner.with(|state| problem(state));
        assert!(problems(&azure).iter().any(|found| found.contains(word)), "{word}: {:?}", problems(&azure));
        azure.inner.with(State::allow_all);
        azure.inner.with(State::lift_barriers);
    }
    let azure = Azure::start().await;
    let fault = Fault::new("WebApps_ListConnectionStrings", FaultKind::Forbidden).on("chat-func");
    azure.inner.fault(fault.clone().times(3));
    assert_eq!(problems(&azure), Vec::<String>::new(), "it passes");
    azure.inner.fault(fault.times(u64::MAX));
    assert_eq!(problems(&azure), ["WebApps_ListConnectionStrings of chat-func is answered forbidden"]);
    azure.inner.clear_faults();
    azure.inner.delete_site("chat-func").unwrap();
    assert_eq!(problems(&azure), Vec::<String>::new(), "it is gone");
    assert!(azure.inner.report().arm_requests_total == 0, "nobody was asked");
}

#[tokio::test]
async fn an_id_that_leads_nowhere_is_a_problem() {
    let azure = Azure::start().await;
    let app = format!("{GROUP}/providers/Microsoft.Web/sites/chat-fun");
    let found = azure.inner.with(|state| state.problems(&instance(""), &[app]));
    assert_eq!(found, ["WebApps_ListApplicationSettings of chat-fun is answered 404 ResourceNotFound"]);
}
