//! What is true of apps, whoever looks after them.

use embedded_azure::{BarrierKind, Handover, Standing, State};

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

#[tokio::test]
async fn container_apps_jobs_and_static_web_apps_have_to_be_read_and_to_sign_well_too() {
    let world = json!({
        "signalr": [{"group": "rg-demo", "name": "sr-demo"}],
        "containerApps": [{"group": "rg-demo", "name": "chat-api", "secrets": {"signalr": "{primary:sr-demo}"}}],
        "containerJobs": [{"group": "rg-demo", "name": "nightly", "secrets": {"signalr": "{secondary:sr-demo}"}}],
        "staticWebApps": [{
            "group": "rg-demo", "name": "chat-site", "settings": {"A": "{secondary:sr-demo}"},
            "environments": {"12": {"settings": {"A": "{primary:sr-demo}"}}},
        }],
    });
    let azure = Azure::with(serde_json::from_value(world).unwrap(), Options::like_azure()).await;
    let ids = [
        "Microsoft.App/containerApps/chat-api",
        "Microsoft.App/jobs/nightly",
        "Microsoft.Web/staticSites/chat-site",
    ];
    let ids = ids.map(|id| format!("{GROUP}/providers/{id}"));
    let problems = || azure.inner.with(|state| state.problems(&instance(""), &ids));
    assert_eq!(problems(), Vec::<String>::new());
    for (action, operation) in [
        ("Microsoft.App/containerApps/listSecrets/action", "ContainerApps_ListSecrets of chat-api"),
        ("Microsoft.App/jobs/listSecrets/action", "Jobs_ListSecrets of nightly"),
        ("*/listfunctionappsettings/action", "StaticSites_ListStaticSiteFunctionAppSettings of chat-site"),
    ] {
        azure.inner.with(|state| state.deny(GROUP, action));
        assert_eq!(problems(), [format!("{operation} is answered 403 AuthorizationFailed")]);
        azure.inner.with(State::allow_all);
    }
    azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    let refused = |name: &str| format!("{name} signs with a key that sr-demo refuses");
    assert_eq!(problems(), [refused("containerApps/chat-api"), refused("staticSites/chat-site/12")]);
    azure.inner.with(|state| {
        state.delete_container("chat-api").unwrap();
        state.delete_static_site("chat-site").unwrap();
    });
    assert_eq!(problems(), Vec::<String>::new(), "they are gone");
}

/// Who was given which key since that was last asked: the place, whether an interface was asked for it, and how good what was
/// left and what was given were.
fn handed_over(azure: &Azure) -> Vec<(String, bool, Vec<Standing>, Vec<Standing>)> {
    let standings = |keys: Vec<(Key, Standing)>| keys.into_iter().map(|(_, standing)| standing).collect();
    let told = |one: Handover| (one.place, one.asked, standings(one.left), standings(one.given));
    azure.inner.with(State::take_handovers).into_iter().map(told).collect()
}

#[tokio::test]
async fn it_is_on_record_who_was_given_which_key_and_how_good_it_was() {
    use KeyType::{Primary, Secondary};
    use Standing::{Begins, Ends, ForcedOut, Works};
    let options = Options { list_keys_lags: false, ..Options::like_azure() };
    let azure = Azure::with(World::default(), options).await;
    let [old, other] = [Primary, Secondary].map(|key_type| azure.key(key_type));
    let mut settings = azure.settings("chat-web").await;
    settings.insert("GREETING".into(), "hello".into());
    azure.put_settings("chat-web", &settings).await;
    assert_eq!(handed_over(&azure), [], "no key has changed");
    azure.repoint(&old, &other).await;
    let moved = |place: &str| (place.to_owned(), true, vec![Works(Primary)], vec![Works(Secondary)]);
    let found = handed_over(&azure);
    assert!(found.contains(&moved("chat-web")) && found.iter().all(|one| *one == moved(&one.0)), "{found:?}");

    // By hand, to a key that is being replaced, and then to one that does not work yet.
    assert_eq!(azure.regenerate("Primary").await.status(), 202);
    let write =
        |value: &str| azure.inner.edit_setting("chat-web", "Azure__SignalR__ConnectionString", Some(value));
    write("{primary:sr-demo}").unwrap();
    let by_hand = |left, given| ("chat-web".to_owned(), false, vec![left], vec![given]);
    assert_eq!(handed_over(&azure), [by_hand(Works(Secondary), Ends(Primary))]);
    let listed = azure.list_keys().await["primaryConnectionString"].as_str().unwrap().to_owned();
    write(&listed).unwrap();
    assert_eq!(handed_over(&azure), [by_hand(Ends(Primary), Begins(Primary))]);
    azure.inner.regenerate("sr-demo", &[Secondary]).unwrap();
    write(&format!("Endpoint=https://sr-demo.service.signalr.net;AccessKey={};Version=1.0;", other.expose()))
        .unwrap();
    assert_eq!(handed_over(&azure), [by_hand(Begins(Primary), ForcedOut)]);
}
