//! What is true of apps, whoever looks after them.

use rekey_core::model::{AppId, ServiceId};
use signalr_rekey::sim::{BarrierKind, State};

use super::harness::*;

/// The troubles of the default world's instance with its apps, and with one whose id is mistyped.
fn troubles(azure: &Azure) -> Vec<String> {
    let id: ServiceId = instance("").parse().unwrap();
    let app = |name: &str| format!("{GROUP}/providers/Microsoft.Web/sites/{name}").parse::<AppId>().unwrap();
    let apps = ["chat-web", "chat-web/slots/staging", "chat-func"].map(app);
    azure.sim.with(|state| state.troubles(&id, &apps))
}

#[tokio::test]
async fn all_is_well_if_everything_can_be_read_and_everybody_signs_with_a_valid_key() {
    let azure = Azure::start().await;
    assert_eq!(troubles(&azure), Vec::<String>::new());
    for (trouble, word) in [
        (
            Box::new(|state: &mut State| state.deny(GROUP, "*/config/list/action"))
                as Box<dyn Fn(&mut State)>,
            "403",
        ),
        (Box::new(|state| state.bar(GROUP, BarrierKind::ReadOnlyLock)), "ScopeLocked"),
        (Box::new(|state| drop(state.force_regeneration("sr-demo", &[KeyType::Primary]))), "refuses"),
        (Box::new(|state| drop(state.move_site("chat-func", "rg-other"))), "ResourceNotFound"),
    ] {
        azure.sim.with(|state| trouble(state));
        assert!(troubles(&azure).iter().any(|found| found.contains(word)), "{word}: {:?}", troubles(&azure));
        azure.sim.with(State::allow_all);
        azure.sim.with(State::lift_barriers);
    }
    let azure = Azure::start().await;
    let fault = Fault::new("WebApps_ListConnectionStrings", FaultKind::Forbidden).on("chat-func");
    azure.sim.fault(fault.clone().times(3));
    assert_eq!(troubles(&azure), Vec::<String>::new(), "it passes");
    azure.sim.fault(fault.times(u64::MAX));
    assert_eq!(troubles(&azure), ["WebApps_ListConnectionStrings of chat-func is answered forbidden"]);
    azure.sim.clear_faults();
    azure.sim.delete_site("chat-func").unwrap();
    assert_eq!(troubles(&azure), Vec::<String>::new(), "it is gone");
    assert!(azure.sim.report().arm_requests_total == 0, "nobody was asked");
}

#[tokio::test]
async fn an_id_that_leads_nowhere_is_a_trouble() {
    let azure = Azure::start().await;
    let id: ServiceId = instance("").parse().unwrap();
    let app: AppId = format!("{GROUP}/providers/Microsoft.Web/sites/chat-fun").parse().unwrap();
    let found = azure.sim.with(|state| state.troubles(&id, &[app]));
    assert_eq!(found, ["WebApps_ListApplicationSettings of chat-fun is answered 404 ResourceNotFound"]);
}
