//! What `infra/` allows the deployed handler, held against what the code does.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{HOUR, Story, all_hold, settled};
use signalr_rekey::arm::{ACTIONS, HANDLER};
use signalr_rekey::model::KeyType;
use signalr_rekey::plan::{BlockedBy, Decision};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|known| known == extension)).collect()
}

/// The texts between single quotes in a Bicep file, or double ones in a Rust file.
fn texts(path: &Path, quote: char) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split(quote).skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>())
        .collect()
}

fn actions_of(operations: &[&str]) -> BTreeSet<&'static str> {
    ACTIONS
        .iter()
        .filter(|(operation, _)| operations.contains(operation))
        .map(|(_, action)| *action)
        .collect()
}

/// All actions in the roles of `infra/`: texts that name an operation of Azure's.
fn granted(file: &str) -> BTreeSet<String> {
    let is_action = |text: &String| {
        let last = text.rsplit('/').next().unwrap_or_default();
        text.starts_with("Microsoft.")
            && ["action", "read", "write", "delete", "*"].contains(&last.to_lowercase().as_str())
    };
    texts(&root().join("infra/modules").join(file), '\'').into_iter().filter(is_action).collect()
}

#[test]
fn the_roles_allow_exactly_what_the_handler_does() {
    let of_a_subscription = |action: &&str| action.contains("/locations/");
    let needed = actions_of(HANDLER);
    let (wide, narrow): (BTreeSet<_>, BTreeSet<_>) = needed.into_iter().partition(of_a_subscription);
    let owned = |actions: BTreeSet<&str>| actions.into_iter().map(ToOwned::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(granted("access.bicep"), owned(narrow), "on the instances and apps");
    assert_eq!(granted("polling.bicep"), owned(wide), "in the subscription, where that was asked for");
    // Whatever else stands in `infra/`, no other file makes a role.
    for file in files("infra/modules", "bicep").into_iter().chain(files("infra", "bicep")) {
        let makes = fs::read_to_string(&file).unwrap().contains("roleDefinitions@");
        let may = file.ends_with("access.bicep") || file.ends_with("polling.bicep");
        assert_eq!(makes, may, "{}", file.display());
    }
}

#[test]
fn every_operation_of_the_client_is_in_the_table() {
    let sources = files("src/arm", "rs").into_iter().filter(|path| !path.ends_with("rbac.rs"));
    let named = sources.flat_map(|path| texts(&path, '"'));
    let is_operation = |text: &String| {
        let mut parts = text.split('_');
        let family = parts.next().is_some_and(|family| {
            ["SignalR", "SignalRReplicas", "WebApps", "Subscriptions", "Permissions"].contains(&family)
        });
        // By its beginning alone an error tells the operations on operations.
        let name =
            parts.next().is_some_and(|name| name != "Operation" && name.chars().all(char::is_alphanumeric));
        family && name && parts.next().is_none()
    };
    let in_client: BTreeSet<String> = named.filter(is_operation).collect();
    let in_table: BTreeSet<String> = ACTIONS.iter().map(|(operation, _)| (*operation).to_owned()).collect();
    assert_eq!(in_client, in_table);
    assert!(HANDLER.iter().all(|operation| in_table.contains(*operation)), "{HANDLER:?}");
}

#[tokio::test]
async fn rotations_and_recoveries_need_no_more_than_the_roles_allow() {
    let story = Story::new().await;
    let granted = granted("access.bicep");
    let not_granted = ACTIONS.iter().map(|(_, action)| *action).filter(|action| !granted.contains(*action));
    let subscription = format!("/subscriptions/{}", story.config.instances[0].id.subscription());
    story.sim.with(|state| not_granted.for_each(|action| state.deny(&subscription, action)));
    assert!(settled(&story.watch(6 * HOUR).await), "{:?}", story.told);
    story.sim.regenerate("sr-demo", &KeyType::ALL).unwrap();
    story.mend().await;
    all_hold(&story);
    story.watch(HOUR).await;
    // The simulator calls the two by their paths.
    let name = |operation: &'static str| match operation {
        "SignalR_OperationStatuses" => "SignalR_OperationStatus",
        "SignalR_OperationResults" => "SignalR_OperationResult",
        other => other,
    };
    let asked: BTreeSet<_> = story.sim.report().arm_requests.into_keys().map(name).collect();
    let done = ["SignalR_RegenerateKey", "SignalR_OperationStatus", "WebApps_UpdateApplicationSettingsSlot"];
    assert!(done.iter().all(|operation| asked.contains(operation)), "{asked:?}");
    let others: Vec<_> = asked.iter().filter(|operation| !HANDLER.contains(operation)).collect();
    assert_eq!(others, Vec::<&&str>::new(), "operations that the deployed identity is not allowed");
}

#[test]
fn the_subscription_lets_regenerations_through_and_not_our_own_reads() {
    let filter = texts(&root().join("infra/modules/watch.bicep"), '\'');
    let values: Vec<&String> = filter.iter().filter(|text| text.ends_with("/action")).collect();
    let (_, regenerate) =
        ACTIONS.iter().find(|(operation, _)| *operation == "SignalR_RegenerateKey").unwrap();
    assert!(values.iter().all(|value| value.eq_ignore_ascii_case(regenerate)), "{values:?}");
    assert!(values.iter().collect::<BTreeSet<_>>().len() >= 2, "both casings: {values:?}");
}

#[test]
fn the_functions_that_are_called_are_there() {
    let modules = files("infra/modules", "bicep");
    let all: Vec<String> = modules.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric()).collect::<String>();
    let called = ["/functions/", "functionName: '", "Name == \"", "/api/"];
    let named =
        all.iter().flat_map(|text| called.iter().flat_map(|before| text.split(before).skip(1).map(name)));
    let named: BTreeSet<String> = named.collect();
    assert!(named.len() >= 3, "{named:?}");
    for function in named {
        assert!(root().join(&function).join("function.json").is_file(), "there is no function {function}");
    }
}

#[test]
fn azd_finds_the_app_by_its_tag_and_the_sample_names_what_rekey_toml_names() {
    let azure = fs::read_to_string(root().join("azure.yaml")).unwrap();
    let service = azure.split("services:\n").nth(1).unwrap().trim_start().split(':').next().unwrap();
    let app = fs::read_to_string(root().join("infra/modules/app.bicep")).unwrap();
    assert!(app.contains(&format!("'azd-service-name': '{service}'")), "{service}");

    let named = |path: &str, quote| {
        let texts = texts(&root().join(path), quote).into_iter();
        texts.filter(|text| text.starts_with("/subscriptions/")).collect::<BTreeSet<_>>()
    };
    // A slot is below its app, and so is its role.
    let of_rekey = named("rekey.toml", '"').into_iter().filter(|id| !id.contains("/slots/"));
    assert_eq!(named("infra/main.bicepparam", '\''), of_rekey.collect());
}

#[test]
fn the_alerts_look_for_words_that_the_program_says() {
    let rules = fs::read_to_string(root().join("infra/modules/alerts.bicep")).unwrap();
    let blocked = format!("chat: {}", Decision::Blocked(BlockedBy::JournalDisagrees));
    assert!(
        blocked.contains(": blocked: ") && rules.contains(r#"Message contains ": blocked: ""#),
        "{blocked}"
    );
    let excluded = fs::read_to_string(root().join("host.json")).unwrap();
    assert!(excluded.contains("Request;Exception;Trace"), "sampling would hide runs from the alerts");
}
