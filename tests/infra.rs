//! What `infra/` would deploy, held against what the code does: the templates as Microsoft's compiler evaluates them, of
//! the first deployment, the second, and one with everything else. `.ci/infra` writes them.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{CONSUMERS, HOUR, Story, all_hold, settled};
use embedded_azure::{AppConfiguration, KeyValue, Options, Secret, Vault, World};
use rekey_core::model::{KeyType, KeyValueId};
use rekey_core::plan::{BlockedBy, CutOff, Decision};
use rekey_core::policy::FirstRotation;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signalr_rekey::azure::arm::Operation;
use signalr_rekey::azure::rbac;
use signalr_rekey::config::{Environment, KeyValueConfig, SecretConfig, StateConfig, load_from};
use signalr_rekey::report::{Ending, InWords, RunReport};

/// What is evaluated; `.ci/infra` says of what.
const ALL: [&str; 3] = ["first", "second", "full"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn evaluated(name: &str) -> Value {
    let text = fs::read_to_string(root().join(format!("tests/infra/{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The resources of a type, however it is cased.
fn of_type(name: &str, of_type: &str) -> Vec<Value> {
    let all = evaluated(name)["predictedResources"].as_array().unwrap().clone();
    let is = |resource: &Value| resource["type"].as_str().unwrap().eq_ignore_ascii_case(of_type);
    all.into_iter().filter(is).collect()
}

fn only(name: &str, kind: &str) -> Value {
    let found = of_type(name, kind);
    assert_eq!(found.len(), 1, "{name}: {kind}");
    found[0].clone()
}

/// All texts in a value: the names of its members, too.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, into)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            into.push(name.clone());
            texts(value, into);
        }),
        _ => {}
    }
}

fn text<'v>(value: &'v Value, at: &str) -> &'v str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("there is no {at} in {value}"))
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|known| known == extension)).collect()
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// The texts between double quotes in a Rust file.
fn texts_of_a_source(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split('"').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>())
        .collect()
}

fn actions_of(operations: impl IntoIterator<Item = Operation>) -> BTreeSet<String> {
    operations
        .into_iter()
        .flat_map(|operation| operation.actions)
        .map(|action| (*action).to_owned())
        .collect()
}

/// A custom role: where it can be assigned, and what it allows.
fn roles(name: &str) -> Vec<(String, BTreeSet<String>)> {
    let of = |role: &Value| {
        let scopes = strings(&role["properties"]["assignableScopes"]);
        assert!(scopes.len() == 1 && text(role, "/id").starts_with(&format!("{}/", scopes[0])), "{role}");
        let permissions = role["properties"]["permissions"].as_array().unwrap();
        let kinds = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert!(
            permissions.iter().all(|of| [["actions"], ["dataActions"]].iter().any(|one| kinds(of) == *one)),
            "{role}"
        );
        let allowed = permissions.iter().flat_map(|of| of.as_object().unwrap().values()).flat_map(strings);
        (scopes[0].clone(), allowed.collect())
    };
    of_type(name, "Microsoft.Authorization/roleDefinitions").iter().map(of).collect()
}

/// What the roles allow in groups, not in whole subscriptions.
fn granted() -> BTreeSet<String> {
    roles("second").into_iter().flat_map(|(_, actions)| actions).collect()
}

/// Where there is no compiler, this at least tells that somebody changed a file and did not evaluate it.
#[test]
fn what_is_judged_here_is_what_the_files_say() {
    let list = fs::read_to_string(root().join("tests/infra/sources.sha256")).unwrap();
    let listed: BTreeSet<(String, String)> = list
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect();
    let folders = [("infra", "bicep"), ("infra", "bicepparam"), ("infra/modules", "bicep")];
    let of_tests = [("tests/infra", "bicep"), ("tests/infra", "bicepparam")];
    let here = folders.iter().chain(&of_tests).flat_map(|(folder, extension)| files(folder, extension));
    let here: BTreeSet<(String, String)> = here
        .map(|path| {
            let sum = Sha256::digest(fs::read(&path).unwrap());
            let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            (path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), sum)
        })
        .collect();
    assert_eq!(here, listed, "evaluate again: .ci/infra --write");
    for name in ALL {
        assert_eq!(evaluated(name)["diagnostics"], json!([]), "{name}");
    }
}

#[test]
fn the_roles_allow_exactly_what_the_handler_does() {
    let needed = actions_of(rbac::of_handler());
    let (wide, narrow): (BTreeSet<_>, BTreeSet<_>) =
        needed.into_iter().partition(|action| action.contains("/locations/"));
    // Who wrote to an app may be read, and a service be tagged, where that is asked for, and nowhere else.
    let naming = rbac::naming_writers().chain(rbac::tagging());
    let naming: BTreeSet<String> = naming.map(ToOwned::to_owned).collect();
    let narrow_of = |name: &str| if name == "full" { &narrow | &naming } else { narrow.clone() };
    for name in ALL {
        let mut scopes = BTreeSet::new();
        for (scope, actions) in roles(name) {
            assert!(actions.iter().all(|action| !action.contains('*')), "{name}: {actions:?}");
            let in_group = scope.contains("/resourceGroups/");
            assert!(
                actions.is_subset(&if in_group { narrow_of(name) } else { wide.clone() }),
                "{name}: {scope}: {actions:?}"
            );
            scopes.insert(scope);
        }
        for scope in scopes {
            let there: Vec<_> = roles(name).into_iter().filter(|(of, _)| *of == scope).collect();
            let all: BTreeSet<String> = there.iter().flat_map(|(_, actions)| actions.clone()).collect();
            let whole = scope.contains("/resourceGroups/");
            assert_eq!(all, if whole { narrow_of(name) } else { wide.clone() }, "{name}: {scope}");
            // One for the keys, one for the apps and so on, so that none comes with another.
            assert_eq!(there.len(), if whole { 6 } else { 1 }, "{name}: {scope}");
        }
    }
    let subscriptions =
        |name| roles(name).into_iter().filter(|(scope, _)| !scope.contains("/resourceGroups/"));
    assert_eq!(subscriptions("second").count(), 0, "only where that was asked for");
    assert_eq!(subscriptions("full").count(), 2);
}

/// Storage Blob Data Owner and Contributor, Monitoring Metrics Publisher (docs: Azure built-in roles).
const BUILT_IN: [(&str, &str); 3] = [
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "owns blobs"),
    ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "writes blobs"),
    ("3913510d-42f4-4e42-8a64-420c390055eb", "publishes telemetry"),
];

/// Who may do what on what, from the assignments of a deployment: the last two segments of what it is on.
fn assignments(name: &str) -> BTreeSet<(String, String, String)> {
    let definitions = of_type(name, "Microsoft.Authorization/roleDefinitions");
    let of = |assignment: &Value| {
        let id = text(assignment, "/id");
        let (on, _) = id.split_once("/providers/Microsoft.Authorization/roleAssignments/").unwrap();
        let role = text(assignment, "/properties/roleDefinitionId");
        let built_in = BUILT_IN.iter().find(|(id, _)| role.ends_with(&format!("/roleDefinitions/{id}")));
        let made = definitions.iter().find(|made| text(made, "/id") == role);
        let may = match (built_in, made) {
            (Some((_, may)), None) => *may,
            (None, Some(made)) => text(made, "/properties/description"),
            other => panic!("{role} is {other:?}"),
        };
        let principal = text(assignment, "/properties/principalId");
        let who = ["app", "delivery"].into_iter().find(|who| principal.contains(&format!("/rekey-{who}-")));
        let parts: Vec<&str> = on.rsplit('/').take(2).collect();
        (who.unwrap().to_owned(), may.to_owned(), format!("{}/{}", parts[1], parts[0]))
    };
    of_type(name, "Microsoft.Authorization/roleAssignments").iter().map(of).collect()
}

#[test]
fn each_identity_may_what_it_needs_on_what_was_named_and_on_nothing_else() {
    let keys = "List and regenerate the access keys of an instance, and follow the regeneration.";
    let settings = "List and write the app settings and connection strings of an app and its slots, and read what its \
                    references lead to.";
    let secrets = "Read a secret and make new versions of it.";
    let containers =
        "List and write the secrets of a container app or job, restart its revisions, and read who runs.";
    let pages = "List the environments of a static web app, and list and write the settings of each.";
    let key_values = "Read and write the key-values of an App Configuration store.";
    let poll = "Ask how a regeneration goes.";
    let of = |wanted: &[(&str, &str, &str)]| -> BTreeSet<_> {
        wanted.iter().map(|(who, may, on)| ((*who).into(), (*may).into(), (*on).into())).collect()
    };
    let own = |name: &str| {
        let storage = only(name, "Microsoft.Storage/storageAccounts")["name"].as_str().unwrap().to_owned();
        let app = only(name, "Microsoft.Insights/components")["name"].as_str().unwrap().to_owned();
        of(&[
            ("app", "owns blobs", &format!("storageAccounts/{storage}")),
            ("app", "publishes telemetry", &format!("components/{app}")),
            ("delivery", "writes blobs", "containers/dead-letters"),
        ])
    };
    for name in ["first", "second"] {
        let named = of(&[
            ("app", keys, "signalR/sr-demo"),
            ("app", settings, "sites/chat-web"),
            ("app", settings, "sites/chat-func"),
        ]);
        assert_eq!(assignments(name), &own(name) | &named, "{name}");
    }
    let named = of(&[
        ("app", keys, "signalR/sr-one"),
        ("app", keys, "signalR/sr-other"),
        ("app", keys, "signalR/sr-two"),
        ("app", settings, "sites/chat-web"),
        ("app", settings, "slots/staging"),
        ("app", secrets, "secrets/signalr"),
        ("app", containers, "containerApps/chat-api"),
        ("app", containers, "jobs/chat-nightly"),
        ("app", containers, "managedEnvironments/chat"),
        ("app", pages, "staticSites/chat-pages"),
        ("app", key_values, "configurationStores/appcs-chat"),
        ("app", poll, "subscriptions/00000000-0000-0000-0000-000000000001"),
        ("app", poll, "subscriptions/00000000-0000-0000-0000-000000000002"),
    ]);
    assert_eq!(assignments("full"), &own("full") | &named);
}

/// The families of operations in Azure's contracts that the client asks for.
const FAMILIES: [&str; 18] = [
    "Resources",
    "Tags",
    "Vaults",
    "Linker",
    "SignalR",
    "SignalRReplicas",
    "WebApps",
    "KeyVault",
    "AppConfiguration",
    "ContainerApps",
    "ContainerAppsRevisions",
    "ContainerAppsRevisionReplicas",
    "Jobs",
    "JobsExecutions",
    "StaticSites",
    "Subscriptions",
    "Permissions",
    "ActivityLogs",
];

#[test]
fn every_operation_of_the_client_is_declared() {
    let sources = sources(&root().join("src/azure"));
    assert!(sources.len() > 20, "{sources:?}");
    let named = sources.iter().flat_map(|path| texts_of_a_source(path));
    let is_operation = |text: &String| {
        let mut parts = text.split('_');
        let family = parts.next().is_some_and(|family| FAMILIES.contains(&family));
        // By its beginning alone an error tells the operations on operations.
        let name =
            parts.next().is_some_and(|name| name != "Operation" && name.chars().all(char::is_alphanumeric));
        family && name && parts.next().is_none()
    };
    let in_client: BTreeSet<String> = named.filter(is_operation).collect();
    let declared = rbac::operations();
    let names: BTreeSet<String> = declared.iter().map(|operation| operation.name.to_owned()).collect();
    assert_eq!(in_client, names);
    assert_eq!(declared.len(), names.len(), "each is declared once");
    assert!(declared.iter().all(|operation| !operation.actions.is_empty()), "{declared:?}");
}

#[tokio::test]
async fn rotations_and_recoveries_need_no_more_than_the_roles_allow() {
    let secrets = [("chat".to_owned(), Secret::new("{primary:sr-demo}"))].into();
    let vault = Vault { group: "rg-demo".into(), name: "kv-demo".into(), secrets };
    let store = AppConfiguration {
        group: "rg-demo".into(),
        name: "cs-demo".into(),
        key_values: vec![KeyValue::new("chat", None, "{primary:sr-demo}")],
        access_key: None,
    };
    let world = World { vaults: vec![vault], app_configurations: vec![store], ..World::default() };
    let mut story = Story::of(world, Options::default()).await;
    let id = "https://kv-demo.vault.azure.net/secrets/chat".parse().unwrap();
    story.config.instances[0].vault_secrets =
        vec![SecretConfig { id, readers_within: Duration::ZERO, unused: false }];
    let id = KeyValueId::new("https://cs-demo.azconfig.io", "chat", None).unwrap();
    story.config.instances[0].app_configuration =
        vec![KeyValueConfig { id, readers_within: Duration::ZERO, read_by: vec![] }];
    let references = [
        "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=chat)",
        "@Microsoft.AppConfiguration(Endpoint=https://cs-demo.azconfig.io; Key=chat)",
    ];
    for ((app, setting), reference) in CONSUMERS.into_iter().zip(references) {
        story.sim.edit_setting(app, setting, Some(reference)).unwrap();
    }
    story.clock.advance(HOUR);
    let granted = granted();
    let all = actions_of(rbac::operations());
    let not_granted = all.difference(&granted);
    let subscription = format!("/subscriptions/{}", story.config.instances[0].id.subscription());
    story.sim.with(|state| not_granted.for_each(|action| state.deny(&subscription, action)));
    assert!(settled(&story.watch(6 * HOUR).await), "{:?}", story.told);
    story.force("sr-demo", &KeyType::ALL).unwrap();
    story.repair().await;
    all_hold(&story);
    story.watch(HOUR).await;
    // The embedded Azure calls the two by their paths.
    let name = |operation: &'static str| match operation {
        "SignalR_OperationStatuses" => "SignalR_OperationStatus",
        "SignalR_OperationResults" => "SignalR_OperationResult",
        other => other,
    };
    let report = story.sim.report();
    let of_all = report.arm_requests.into_keys().chain(report.vault_requests.into_keys());
    let of_all = of_all.chain(report.store_requests.into_keys());
    let asked: BTreeSet<_> = of_all.map(name).collect();
    let done = [
        "SignalR_RegenerateKey",
        "SignalR_OperationStatus",
        "WebApps_UpdateApplicationSettingsSlot",
        "KeyVault_SetSecret",
        "AppConfiguration_PutKeyValue",
    ];
    assert!(done.iter().all(|operation| asked.contains(operation)), "{asked:?}");
    let handler: Vec<&str> = rbac::of_handler().map(|operation| operation.name).collect();
    let others: Vec<_> = asked.iter().filter(|operation| !handler.contains(*operation)).collect();
    assert_eq!(others, Vec::<&&str>::new(), "operations that the deployed identity is not allowed");
}

#[test]
fn the_subscription_lets_regenerations_through_and_not_our_own_reads() {
    let all = rbac::operations();
    let regenerate =
        all.iter().find(|operation| operation.name == "SignalR_RegenerateKey").unwrap().actions[0];
    let subscriptions = ["second", "full"]
        .into_iter()
        .flat_map(|name| of_type(name, "Microsoft.EventGrid/systemTopics/eventSubscriptions"));
    let filters: Vec<Value> = subscriptions.map(|of| of["properties"]["filter"].clone()).collect();
    assert_eq!(filters.len(), 3, "of a group, and of two");
    for filter in filters {
        let types = strings(&filter["includedEventTypes"]);
        assert!(types.iter().all(|of| of.starts_with("Microsoft.Resources.ResourceAction")), "{types:?}");
        assert!(types.iter().any(|of| of.ends_with("Success")) && types.len() == 3, "{types:?}");
        assert_eq!(filter["advancedFilters"].as_array().unwrap().len(), 1, "one more would let through less");
        let only = &filter["advancedFilters"][0];
        assert_eq!((text(only, "/key"), text(only, "/operatorType")), ("data.operationName", "StringIn"));
        let values = strings(&only["values"]);
        assert!(values.iter().all(|value| value.eq_ignore_ascii_case(regenerate)), "{values:?}");
        assert!(values.iter().collect::<BTreeSet<_>>().len() >= 2, "both casings: {values:?}");
    }
}

#[test]
fn a_group_that_has_a_system_topic_keeps_it() {
    let topics = |name| {
        let topics = of_type(name, "Microsoft.EventGrid/systemTopics");
        topics.iter().map(|topic| text(topic, "/properties/source").to_owned()).collect::<Vec<_>>()
    };
    let group = |subscription: u8, name: &str| {
        format!("/subscriptions/00000000-0000-0000-0000-00000000000{subscription}/resourceGroups/{name}")
    };
    assert_eq!(topics("first"), Vec::<String>::new(), "there is no function yet that could be called");
    assert_eq!(topics("second"), [group(1, "rg-demo")]);
    assert_eq!(topics("full"), [group(2, "rg-two")], "rg-one has one");

    let kind = "Microsoft.EventGrid/systemTopics/eventSubscriptions";
    let (theirs, ours): (Vec<Value>, Vec<Value>) =
        of_type("full", kind).into_iter().partition(|of| text(of, "/id").contains("/theirs/"));
    let (theirs, ours) = (&theirs[0], &ours[0]);
    let at = format!("{}/providers/{}", group(1, "rg-events"), "Microsoft.EventGrid/systemTopics/theirs/");
    assert!(text(theirs, "/id").starts_with(&at), "{theirs}");
    // Others subscribe there as well: a name that no other deployment has, and no identity of the topic's.
    let app = only("full", "Microsoft.Web/sites")["name"].as_str().unwrap().to_owned();
    assert!(text(theirs, "/id").ends_with(&format!("/{app}-on-key-notice")), "{theirs}");
    assert!(theirs["properties"]["deadLetterWithResourceIdentity"].is_null(), "{theirs}");
    let identity = text(ours, "/properties/deadLetterWithResourceIdentity/identity/userAssignedIdentity");
    let topic = &of_type("full", "Microsoft.EventGrid/systemTopics")[0];
    let has = topic["identity"]["userAssignedIdentities"].as_object().unwrap();
    assert!(identity.contains("/rekey-delivery-") && has.contains_key(identity), "{topic}");
    for of in [theirs, ours] {
        let function = text(of, "/properties/destination/properties/resourceId");
        assert!(function.ends_with(&format!("/sites/{app}/functions/OnKeyNotice")), "{function}");
    }
    // The activity log tells of each group with instances, whatever its topic.
    let told = of_type("full", "Microsoft.Insights/activityLogAlerts");
    let scopes: BTreeSet<String> = told.iter().flat_map(|of| strings(&of["properties"]["scopes"])).collect();
    let own = "/subscriptions/00000000-0000-0000-0000-0000000000bb".to_owned();
    assert_eq!(scopes, [group(1, "rg-one"), group(2, "rg-two"), own].into());
}

#[test]
fn the_functions_that_are_called_are_there() {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric()).collect::<String>();
    let mut all = Vec::new();
    texts(&evaluated("second"), &mut all);
    let called = ["/functions/", "Name == \"", "/api/"];
    let named =
        all.iter().flat_map(|text| called.iter().flat_map(|before| text.split(before).skip(1).map(name)));
    let groups = of_type("second", "Microsoft.Insights/actionGroups");
    let receivers = groups.iter().flat_map(|group| group["properties"]["azureFunctionReceivers"].as_array());
    let receivers = receivers.flatten().map(|receiver| text(receiver, "/functionName").to_owned());
    let named: BTreeSet<String> = named.chain(receivers).collect();
    assert!(named.len() >= 3, "{named:?}");
    for function in named {
        assert!(root().join(&function).join("function.json").is_file(), "there is no function {function}");
    }
}

#[test]
fn the_sample_names_what_rekey_toml_names() {
    let sample = load_from(
        &fs::read_to_string(root().join("rekey.toml")).unwrap(),
        "rekey.toml",
        &Environment::default(),
    )
    .unwrap();
    let named = sample.instances.iter().flat_map(|instance| {
        // A slot is below its app, and so is its role.
        let apps = instance.apps.iter().map(|app| app.id.to_string()).filter(|id| !id.contains("/slots/"));
        apps.chain([instance.id.to_string()])
    });
    let assigned = of_type("first", "Microsoft.Authorization/roleAssignments");
    let on = assigned.iter().map(|of| text(of, "/id").rsplit_once("/providers/").unwrap().0.to_lowercase());
    let elsewhere: BTreeSet<String> = on.filter(|on| on.contains("/resourcegroups/rg-demo/")).collect();
    assert_eq!(elsewhere, named.map(|id| id.to_lowercase()).collect());
}

/// What a deployment sets in the function app, with what is known only when it runs as Azure would fill it in.
fn settings(name: &str, suffix: &str) -> Vec<(String, String)> {
    let storage = only(name, "Microsoft.Storage/storageAccounts")["name"].as_str().unwrap().to_owned();
    let kind = "Microsoft.Web/sites/config";
    let set = only(name, kind)["properties"].as_object().unwrap().clone();
    let filled_in = |value: &str| {
        if !value.starts_with("[reference(") {
            return value.to_owned();
        }
        let (of, what) = value.trim_end_matches(']').rsplit_once(").").unwrap();
        match what {
            "primaryEndpoints.blob" if of.contains(&storage) => format!("https://{storage}.blob.{suffix}/"),
            "clientId" if of.contains("/rekey-app-") => "00000000-0000-0000-0000-00000000000c".to_owned(),
            "ConnectionString" => "InstrumentationKey=none".to_owned(),
            other => panic!("{other} of {of}"),
        }
    };
    set.iter().map(|(name, value)| (name.clone(), filled_in(value.as_str().unwrap()))).collect()
}

#[test]
fn the_settings_lead_the_program_to_the_storage_that_is_deployed_in_every_cloud() {
    for (cloud, suffix) in [
        ("AzureCloud", "core.windows.net"),
        ("AzureUSGovernment", "core.usgovcloudapi.net"),
        ("AzureChinaCloud", "core.chinacloudapi.cn"),
    ] {
        for name in ALL {
            let all = settings(name, suffix);
            let has =
                |wanted: &str| all.iter().find(|(known, _)| known == wanted).map(|(_, value)| value.as_str());
            // By an account's name the host takes the public suffix and looks for tables.
            assert!(
                has("AzureWebJobsStorage__accountName").is_none() && has("AzureWebJobsStorage").is_none()
            );
            assert_eq!(has("AzureWebJobsStorage__credential"), Some("managedidentity"));
            let environment: Environment =
                all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let file = fs::read_to_string(root().join("rekey.toml")).unwrap();
            let config = load_from(&file, "rekey.toml", &environment).unwrap();
            let account =
                only(name, "Microsoft.Storage/storageAccounts")["name"].as_str().unwrap().to_owned();
            let StateConfig::Blob(blob) = &config.state else { panic!("{name}: the journal is in memory") };
            assert_eq!(
                (&blob.account, blob.endpoint.to_string()),
                (&account, format!("https://{account}.blob.{suffix}/"))
            );
            // The same place as from a machine with the account's name and the cloud.
            let named: Environment =
                [("AzureWebJobsStorage__accountName", account.as_str()), ("AZURE_CLOUD", cloud)]
                    .into_iter()
                    .collect();
            assert_eq!(load_from(&file, "rekey.toml", &named).unwrap().state, config.state);
            let first = if name == "full" { FirstRotation::Now } else { FirstRotation::WhenDue };
            assert!(
                config.instances.iter().all(|instance| instance.policy.first_rotation == first),
                "{name}"
            );
        }
    }
    let full = settings("full", "core.windows.net");
    assert!(full.contains(&("REKEY_GRACE".into(), "3h".into())), "the operator's own: {full:?}");
    assert!(full.contains(&("ROTATION_SCHEDULE".into(), "0 0 * * * *".into())), "{full:?}");
}

#[test]
fn the_event_functions_are_kept_ready_unless_somebody_says_otherwise() {
    let ready = |name| {
        let app = only(name, "Microsoft.Web/sites");
        app["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"].clone()
    };
    for name in ["first", "second"] {
        assert_eq!(ready(name), json!([{"name": "http", "instanceCount": 1}]), "{name}");
    }
    assert_eq!(ready("full"), json!([]));
}

#[test]
fn no_secret_is_told_and_every_name_is_known_before() {
    for name in ALL {
        let all = evaluated(name);
        for output in all["outputs"].as_object().unwrap().values() {
            let output = output.as_str().unwrap().to_lowercase();
            assert!(!output.contains("list") && !output.contains("connectionstring"), "{name}: {output}");
        }
        for resource in all["predictedResources"].as_array().unwrap() {
            // What-if tells nothing of a resource whose name is known only when others are made.
            let id = text(resource, "/id");
            assert!(id.starts_with("/subscriptions/") && !id.contains(['[', '(']), "{name}: {id}");
            let mut within = Vec::new();
            texts(resource, &mut within);
            let secrets = within.iter().filter(|text| text.to_lowercase().contains("listkeys(")).count();
            let is_receiver = id.ends_with("-on-alert");
            assert_eq!(secrets, usize::from(is_receiver), "{name}: {id}");
            if let Some(shared) = resource.pointer("/properties/allowSharedKeyAccess") {
                assert_eq!(shared, &json!(false), "{name}: {id}");
            }
        }
    }
}

/// A log alert of a deployment, by the end of its name.
fn alert(name: &str, rule: &str) -> Option<Value> {
    let all = of_type(name, "Microsoft.Insights/scheduledQueryRules");
    all.into_iter().find(|of| text(of, "/name").ends_with(rule)).map(|of| of["properties"].clone())
}

#[test]
fn the_alerts_look_for_words_that_the_program_says() {
    let blocked = format!("chat: {}", Decision::Blocked(BlockedBy::JournalDisagrees).in_words());
    let rule = alert("second", "-blocked").unwrap();
    let query = text(&rule, "/criteria/allOf/0/query");
    assert!(
        blocked.contains(": blocked: ") && query.contains(r#"Message contains ": blocked: ""#),
        "{blocked}"
    );
    let app = only("second", "Microsoft.Web/sites")["name"].as_str().unwrap().to_owned();
    assert!(query.contains(&format!("AppRoleName =~ \"{app}\"")), "{query}");
    // Whatever keeps a run from repairing somebody, its line names him in these words.
    let run = RunReport {
        service: "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/SignalR/chat"
            .parse()
            .unwrap(),
        run: String::new(),
        events: vec![],
        recorded: vec![],
        rotations: vec![],
        took: Duration::ZERO,
        repaired_in: None,
        seen: None,
        known: None,
        cut_off: vec![CutOff::OutOfSight("manual:gateway".parse().unwrap())],
        foreseen: None,
        ending: Ending::Failed("403".into()),
    };
    let rule = alert("second", "-cut-off").unwrap();
    let query = text(&rule, "/criteria/allOf/0/query");
    let said = query.split(r#"Message contains ""#).nth(1).unwrap().trim_end_matches('"');
    assert!(said.len() > 20 && run.summary().contains(said), "{query}: {}", run.summary());
    let excluded = fs::read_to_string(root().join("host.json")).unwrap();
    assert!(excluded.contains("Request;Exception;Trace"), "sampling would hide runs from the alerts");
}

/// The workbook asks for what the program writes: lines with these members, from these parts of it.
#[test]
fn the_workbook_asks_for_lines_that_the_program_writes() {
    for name in ALL {
        let workbook = only(name, "Microsoft.Insights/workbooks");
        let data: Value = serde_json::from_str(text(&workbook, "/properties/serializedData")).unwrap();
        let panels: Vec<&Value> =
            data["items"].as_array().unwrap().iter().filter(|one| one["type"] == 3).collect();
        assert_eq!(panels.len(), 5, "{name}");
        let app = only(name, "Microsoft.Web/sites")["name"].as_str().unwrap().to_owned();
        for panel in panels {
            let query = text(panel, "/content/query");
            assert!(query.contains(&format!("AppRoleName =~ \"{app}\"")), "{query}");
            assert_eq!(text(panel, "/content/timeContextFromParameter"), "period");
            for part in query.split("target == \"").skip(1) {
                let module = part.split('"').next().unwrap();
                let path = module.replacen("signalr_rekey::", "src/", 1).replace("::", "/");
                let source = fs::read_to_string(root().join(format!("{path}.rs"))).unwrap();
                assert!(source.contains("tracing::info!("), "{module} logs nothing");
            }
        }
    }
    let line = fs::read_to_string(root().join("src/report/telemetry.rs")).unwrap();
    for member in ["level: &'event str", "target: &'event str", "message: String"] {
        assert!(line.contains(member), "{member}");
    }
}

#[test]
fn silence_is_told_once_there_is_code_and_no_later_than_its_schedule_calls_for() {
    // A rule that is not made cannot be switched off by a deployment that forgets `codeDeployed`.
    assert!(alert("first", "-no-success").is_none());
    for name in ALL {
        for rule in ["-cut-off", "-failed-runs", "-blocked"] {
            assert_eq!(alert(name, rule).unwrap()["enabled"], json!(true), "{name}: {rule}");
        }
    }
    let silent = alert("second", "-no-success").unwrap();
    assert_eq!((text(&silent, "/windowSize"), text(&silent, "/evaluationFrequency")), ("PT1H", "PT15M"));
    assert_eq!(silent["enabled"], json!(true));
    assert_eq!(alert("second", "-failed-runs").unwrap()["criteria"]["allOf"][0]["failingPeriods"], {
        json!({"numberOfEvaluationPeriods": 2, "minFailingPeriodsToAlert": 2})
    });
    // An hour between two runs: of two half hours in a row only one has any.
    assert_eq!(alert("full", "-failed-runs").unwrap()["criteria"]["allOf"][0]["failingPeriods"], {
        json!({"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1})
    });
    let chosen = alert("full", "-no-success").unwrap();
    assert_eq!((text(&chosen, "/windowSize"), text(&chosen, "/evaluationFrequency")), ("P1D", "PT1H"));
    let to = strings(&chosen["actions"]["actionGroups"]);
    assert!(to.len() == 1 && to[0].ends_with("-people"), "{to:?}");
}

/// How long a window is, in minutes.
fn minutes(window: &str) -> i64 {
    let number = |text: &str| text.parse::<i64>().unwrap();
    match window.strip_prefix("PT").and_then(|hours| hours.strip_suffix('H')) {
        Some(hours) => number(hours) * 60,
        None => number(window.strip_prefix('P').unwrap().strip_suffix('D').unwrap()) * 24 * 60,
    }
}

/// The schedules as a library for cron expressions reads them, which is not what infra/ does.
#[test]
fn the_windows_of_the_alerts_fit_the_schedules() {
    use croner::parser::{CronParser, Seconds};
    let told = evaluated("schedules")["outputs"]["told"].as_array().unwrap().clone();
    assert!(told.len() >= 18, "{told:?}");
    let longest = minutes("P2D");
    for of in told {
        let (schedule, window) = (text(&of, "/schedule"), minutes(text(&of, "/silence")));
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .dom_and_dow(true)
            .build()
            .parse(schedule)
            .unwrap();
        let runs: Vec<_> = cron
            .iter_after("2026-09-24T13:02:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap())
            .take(5000)
            .collect();
        let gap = runs.windows(2).map(|two| (two[1] - two[0]).num_minutes()).max().unwrap();
        // Never for one run that is late or fails, unless no window is long enough; and never after the twelfth but for
        // the shortest window, where the schedule is not even, or where it lists its minutes.
        assert!(window >= 2 * gap || window == longest, "{schedule}: {gap} min, {window} min");
        let even = runs.windows(2).all(|two| (two[1] - two[0]).num_minutes() == gap);
        let most = if schedule.contains(',') { minutes("PT6H") } else { (12 * gap).max(60) };
        assert!(window <= most || !even, "{schedule}: {gap} min, {window} min");
        // Where two half hours in a row are asked for, each of them has a run, even if one is missed.
        assert!(of["failures"] == json!(1) || gap <= 15, "{schedule}: {of}");
        assert!(of["failures"] == json!(2) || gap > 15 || !even, "{schedule}: {of}");
    }
}

/// `infra/deploy` with a stand-in for `az`, which keeps what it is asked and answers as the files in its folder say.
struct Deploy {
    folder: tempfile::TempDir,
}

const AZ: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$*" >>asked
case "$*" in
"account show"*) echo 00000000-0000-0000-0000-0000000000bb ;;
"provider show"*) if [ -e registered ]; then echo Registered; else echo NotRegistered; fi ;;
"deployment group create"*)
    if [ -s refused ]; then
        head -n 1 refused >&2
        sed -i 1d refused
        exit 1
    fi
    echo rekey-abc ;;
"functionapp function list"*)
    if [ -s listed ]; then
        head -n 1 listed | tr ' ' '\n'
        sed -i 1d listed
    else
        exit 3
    fi ;;
esac
"#;

impl Deploy {
    fn new(files: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("az", AZ);
        put("sleep", "#!/bin/sh\necho \"sleep $*\" >>\"$(dirname \"$0\")/asked\"\n");
        put("package.zip", "");
        files.iter().for_each(|(name, text)| put(name, text));
        for program in ["az", "sleep"] {
            fs::set_permissions(folder.path().join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    /// Its exit code, what it told, and what it asked `az` for, shortened to what matters.
    fn run(&self) -> (Option<i32>, String, Vec<String>) {
        let zip = self.folder.path().join("package.zip");
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let mut command = std::process::Command::new(root().join("infra/deploy"));
        let output = command.arg("rg-rekey").arg(&zip).env("PATH", path).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let asked = fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default();
        let short = |line: &str| {
            let known = ["--subscription ", "--namespace ", "codeDeployed="];
            let words: Vec<&str> = line.split(" --").collect();
            let values = known.iter().filter_map(|of| line.split(of).nth(1)?.split(' ').next());
            [vec![words[0]], values.collect()].concat().join(" ")
        };
        (output.status.code(), told, asked.lines().map(short).collect())
    }
}

const LISTED: &str =
    "rekey-abc/OnAlert rekey-abc/OnKeyNotice rekey-abc/OnReport rekey-abc/RotateKeys rekey-abc/Status\n";

#[test]
fn deploying_goes_in_its_order() {
    // The first list is of a host that is not up yet.
    let deploy = Deploy::new(&[("registered", ""), ("listed", &format!("rekey-abc/OnAlert\n{LISTED}"))]);
    let (code, told, asked) = deploy.run();
    assert_eq!(code, Some(0), "{told}");
    let asked: Vec<_> = asked.into_iter().filter(|line| !line.starts_with("provider show")).collect();
    assert_eq!(
        asked,
        [
            "account show",
            "deployment group create false",
            "functionapp deployment source config-zip",
            "functionapp function list",
            "sleep 15",
            "functionapp function list",
            "deployment group create true",
        ]
    );
}

#[test]
fn providers_that_are_missing_are_registered_where_the_instances_are() {
    let (code, told, asked) = Deploy::new(&[("listed", LISTED)]).run();
    assert_eq!(code, Some(0), "{told}");
    let registered: Vec<_> =
        asked.iter().filter_map(|line| line.strip_prefix("provider register ")).collect();
    let own = "00000000-0000-0000-0000-0000000000bb";
    let instances = "00000000-0000-0000-0000-000000000001";
    let of = |subscription: &str, names: &[&str]| {
        names.iter().map(|name| format!("{subscription} Microsoft.{name}")).collect::<Vec<_>>()
    };
    let all = ["Web", "Storage", "ManagedIdentity", "OperationalInsights", "Insights", "EventGrid"];
    assert_eq!(registered, [of(own, &all), of(instances, &["Insights", "EventGrid"])].concat());
    assert!(
        told.contains("registering Microsoft.EventGrid in subscription 00000000-0000-0000-0000-000000000001")
    );
}

#[test]
fn a_deployment_is_repeated_only_for_what_passes_by_itself() {
    let passes = "(RoleDefinitionDoesNotExist) The specified role definition does not exist.\n";
    let deploy = Deploy::new(&[("registered", ""), ("refused", passes), ("listed", LISTED)]);
    let (code, told, asked) = deploy.run();
    assert_eq!(code, Some(0), "{told}");
    let deployed = asked.iter().filter(|line| line.starts_with("deployment")).count();
    assert!(deployed == 3 && asked.contains(&"sleep 60".to_owned()), "{asked:?}");

    let lasts = "(AuthorizationFailed) The client does not have authorization.\n";
    let deploy = Deploy::new(&[("registered", ""), ("refused", lasts), ("listed", LISTED)]);
    let (code, told, asked) = deploy.run();
    assert!(code == Some(1) && told.contains("AuthorizationFailed"), "{code:?} {told}");
    assert_eq!(asked.last().unwrap(), "deployment group create false", "nothing was published: {asked:?}");
    let deploy = Deploy::new(&[("registered", ""), ("refused", &passes.repeat(9)), ("listed", LISTED)]);
    let (code, told, asked) = deploy.run();
    assert!(code == Some(1) && told.contains("RoleDefinitionDoesNotExist"), "{code:?} {told}");
    assert_eq!(asked.iter().filter(|line| line.starts_with("deployment")).count(), 4, "{asked:?}");
}

#[test]
fn functions_that_do_not_come_are_told_and_nothing_is_pointed_at_them() {
    let deploy = Deploy::new(&[("registered", ""), ("listed", &"rekey-abc/RotateKeys\n".repeat(50))]);
    let (code, told, asked) = deploy.run();
    assert!(
        code == Some(1) && told.contains("does not list OnAlert OnKeyNotice OnReport Status of rekey-abc"),
        "{code:?} {told}"
    );
    assert!(!asked.contains(&"deployment group create true".to_owned()), "{asked:?}");
    assert!(asked.iter().filter(|line| *line == "sleep 15").count() == 40, "{asked:?}");
}

/// Through the subnet that is named, and through none where none is: Azure takes no empty id for that.
#[test]
fn the_function_app_goes_out_through_the_subnet_that_is_named() {
    let of = |name: &str| only(name, "Microsoft.Web/sites")["properties"]["virtualNetworkSubnetId"].clone();
    for name in ["first", "second"] {
        assert_eq!(of(name), Value::Null, "{name}");
    }
    let parameters = fs::read_to_string(root().join("tests/infra/full.bicepparam")).unwrap();
    let named = parameters.lines().find_map(|line| line.strip_prefix("param subnet = ")).unwrap();
    assert_eq!(of("full"), Value::String(named.trim_matches('\'').to_owned()));
    assert!(of_type("full", "Microsoft.Network/virtualNetworks/subnets").is_empty(), "it is there already");
}
