//! `rekey.toml` and the app settings, read together; and what is said when they are wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rekey_core::model::KeyType;
use rekey_core::policy::{ApprovalPolicy, FirstRotation, OnUnhealthy, Policy, Verify};
use signalr_rekey::config::{
    Cloud, Config, Environment, Faults, Metrics, StateConfig, load, load_from, metrics,
};
use url::Url;

const INSTANCE: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.SignalRService/signalR/sr-demo";
const APP: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Web/sites/chat-web";
const SECRET: &str = "Endpoint=https://sr-demo.service.signalr.net;AccessKey=c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0;Version=1.0;";

/// A text of the file, with `$INSTANCE`, `$APP` and `$SECRET` in their places.
fn toml(text: &str) -> String {
    text.replace("$INSTANCE", INSTANCE).replace("$APP", APP).replace("$SECRET", SECRET)
}

fn read(text: &str, settings: &[(&str, &str)]) -> Result<Config, Faults> {
    let environment: Environment = settings.iter().copied().collect();
    load_from(&toml(text), "rekey.toml", &environment)
}

/// What the operator gets to read. In every test here it holds nothing of a secret.
fn faults(text: &str, settings: &[(&str, &str)]) -> String {
    let faults = read(text, settings).expect_err("there is a fault").to_string();
    assert!(!faults.contains("c2VjcmV0") && !faults.contains("AccessKey="), "{faults}");
    faults
}

const GOOD: &str = r#"
[[instance]]
id = "$INSTANCE"
apps = ["$APP"]
"#;

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

#[test]
fn the_least_is_an_instance_and_its_apps() {
    let config = read(GOOD, &[]).unwrap();
    let instance = &config.instances[0];
    assert_eq!((instance.id.name(), instance.apps[0].id.name().as_str()), ("sr-demo", "chat-web"));
    assert!(instance.apps[0].settings.is_empty() && !instance.apps[0].may_hold_none);
    assert_eq!(instance.policy, Policy::default());
    assert_eq!(
        (config.notice_budget, config.timer_budget),
        (Duration::from_secs(25), Duration::from_secs(540))
    );
    assert_eq!((config.state, config.own_site), (StateConfig::Memory, None));
    assert_eq!(config.azure.resource_manager.as_str(), "https://management.azure.com/");
}

#[test]
fn what_only_others_can_change_needs_no_app_beside_it() {
    let config = read(
        r#"
        [[instance]]
        id = "$INSTANCE"
        reporters = [{ name = "IIS-01", within = "2h" }, { name = "iis-02" }, "iis-03"]
        manual = [
            { name = "partner-gateway", owner = "Ada", ticket = "https://tickets.example/7" },
            { name = "kiosk", owner = "Bob", within = "1d" },
        ]
        "#,
        &[],
    )
    .unwrap();
    let instance = &config.instances[0];
    assert!(instance.apps.is_empty());
    let told: Vec<_> = instance
        .external
        .iter()
        .map(|one| (String::from(one.id.clone()), one.within, one.owner.as_deref(), one.ticket.as_deref()))
        .collect();
    let told: Vec<_> =
        told.iter().map(|(id, within, owner, ticket)| (id.as_str(), *within, *owner, *ticket)).collect();
    assert_eq!(
        told,
        [
            ("reporter:IIS-01", hours(2), None, None),
            ("reporter:iis-02", hours(1), None, None),
            ("reporter:iis-03", hours(1), None, None),
            ("manual:partner-gateway", hours(7 * 24), Some("Ada"), Some("https://tickets.example/7")),
            ("manual:kiosk", hours(24), Some("Bob"), None),
        ]
    );
}

/// A key in the place of a name, an owner or a ticket would be shown wherever somebody looks.
#[test]
fn a_key_is_no_name_no_owner_and_no_ticket() {
    let key = "aB3dEf6hIj9lMn2pQr5tUv8xYz1BcD4FgH7jKl0nOpQrStU";
    for list in [
        format!("reporters = [\"{key}\"]"),
        format!("reporters = [{{ name = \"{key}\" }}]"),
        format!("manual = [{{ name = \"kiosk\", owner = \"{key}\" }}]"),
        format!(
            "manual = [{{ name = \"kiosk\", owner = \"Ada\", ticket = \"https://tickets.example/{key}\" }}]"
        ),
    ] {
        let said = faults(&format!("[[instance]]\nid = \"$INSTANCE\"\n{list}\n"), &[]);
        assert!(said.contains("this looks like a key, which is a secret"), "{said}");
        assert!(!said.contains(key), "{said}");
    }
}

#[test]
fn what_is_wrong_with_those_that_only_others_can_change_is_said_at_once() {
    let faults = faults(
        r#"[[instance]]
id = "$INSTANCE"
reporters = [{ name = "iis-01", owner = "Ada" }, "iis 02", { within = "1h" }, 7, "$SECRET"]
manual = [{ name = "IIS-01", owner = "Ada" }, { name = "gateway" }, "kiosk", { name = "a", owner = "$SECRET" }]
"#,
        &[],
    );
    insta::assert_snapshot!(faults, @r#"
    the configuration has 9 faults:
      rekey.toml:3:33: instance[0].reporters[0]: this key is not known; known here are name, within
      rekey.toml:3:50: instance[0].reporters[1]: this is not a name; write letters, digits, '.', '_' and '-', as in "iis-01"
      rekey.toml:3:60: instance[0].reporters[2]: its name is missing; write { name = "…", within = "1h" }
      rekey.toml:3:79: instance[0].reporters[3]: this is an integer; write a name, in quotes
      rekey.toml:3:82: instance[0].reporters[4]: this looks like a connection string, which is a secret and belongs in no file: take it out
      rekey.toml:4:20: instance[0].manual[0].name: this name is already listed; put what is known of it in one entry (the first is in line 3; ids compare without case)
      rekey.toml:4:47: instance[0].manual[1]: its owner is missing; write owner = "…": whom to ask for the change
      rekey.toml:4:69: instance[0].manual[2]: this is a string; write { name = "…", owner = "…", ticket = "https://…" }
      rekey.toml:4:100: instance[0].manual[3].owner: this looks like a connection string, which is a secret and belongs in no file: take it out
    "#);
}

#[test]
fn the_journal_is_in_the_same_account_by_its_url_and_by_its_name() {
    let clouds = [
        ("AzureCloud", "core.windows.net"),
        ("AzureUSGovernment", "core.usgovcloudapi.net"),
        ("AzureChinaCloud", "core.chinacloudapi.cn"),
    ];
    for (cloud, suffix) in clouds {
        // As `primaryEndpoints.blob` has it, and as a person writes it.
        for url in [format!("https://chatstate.blob.{suffix}/"), format!(" https://chatstate.blob.{suffix}")]
        {
            for name in ["AzureWebJobsStorage", "Elsewhere"] {
                let by = |part: &str, value: &str| {
                    let part = format!("{name}__{part}");
                    let settings = [(part.as_str(), value), ("AZURE_CLOUD", cloud), ("REKEY_STATE", name)];
                    let kept = if name == "Elsewhere" { &settings[..] } else { &settings[..2] };
                    read(GOOD, kept).unwrap().state
                };
                let (by_url, by_name) = (by("blobServiceUri", &url), by("accountName", "chatstate"));
                assert_eq!(by_url, by_name, "{cloud}");
                let StateConfig::Blob(blob) = by_url else { panic!("{url}: a restart would forget") };
                assert_eq!(blob.account, "chatstate");
            }
        }
    }
    // The URL names its cloud by itself: a deployment in another cloud need not say it again.
    let url = "https://chatstate.blob.core.usgovcloudapi.net/";
    let StateConfig::Blob(blob) = read(GOOD, &[("AzureWebJobsStorage__blobServiceUri", url)]).unwrap().state
    else {
        panic!("in memory")
    };
    assert_eq!(blob.endpoint.as_str(), url);
    for wrong in ["http://chatstate.blob.core.windows.net/", "chatstate.blob.core.windows.net"] {
        let told = faults(GOOD, &[("AzureWebJobsStorage__blobServiceUri", wrong)]);
        assert!(told.contains("AzureWebJobsStorage: its Blob endpoint is"), "{told}");
    }
}

#[test]
fn the_nearest_word_wins_and_a_setting_over_all() {
    let text = r#"
rotate_every = "20d"
grace = "3h"
verify = "control-plane"
first_rotation = "when-due"
longest_operation = "5m"
exposed_grace = "5m"
min_rotation_interval = "6h"
full_check_every = "2h"
windows = ["Sat 02:00-05:00 UTC"]
freezes = ["2026-12-24 UTC"]
approval = "required"
spread = "1s"
pause_between_waves = "30m"
restarts_at_once = 3
gate_after = "90s"
settle_within = "10m"
on_unhealthy = "stop"
home = "Primary"
name_writers = true
tags = true
watch = "2m"
timer_budget = "2m"
notice_budget = "10s"

[[instance]]
id = "$INSTANCE"
apps = [{ id = "$APP/slots/staging", settings = ["A", "B"], connection_strings = ["C"], may_hold_none = true }]
grace = "90m"

[[instance]]
id = "$INSTANCE-2"
apps = ["$APP"]
verify = "data-plane"
"#;
    let head = Policy {
        rotate_every: hours(480),
        grace: hours(3),
        verify: Verify::ControlPlane,
        first_rotation: FirstRotation::WhenDue,
        longest_operation: Duration::from_secs(300),
        exposed_grace: Duration::from_secs(300),
        min_rotation_interval: hours(6),
        full_check_every: hours(2),
        windows: vec!["Sat 02:00-05:00 UTC".parse().unwrap()],
        freezes: vec!["2026-12-24 UTC".parse().unwrap()],
        approval: ApprovalPolicy::Required,
        spread: Duration::from_secs(1),
        due_later: Duration::ZERO,
        pause_between_waves: hours(1) / 2,
        restarts_at_once: 3,
        gate_after: Duration::from_secs(90),
        settle_within: Duration::from_secs(600),
        on_unhealthy: OnUnhealthy::Stop,
        home: Some(KeyType::Primary),
        name_writers: true,
        tags: true,
        waves: BTreeMap::new(),
        watched: BTreeSet::new(),
    };
    let config = read(text, &[]).unwrap();
    assert_eq!(config.watch, Some(Duration::from_secs(120)));
    assert_eq!(config.instances[0].policy, Policy { grace: hours(3) / 2, ..head.clone() });
    assert_eq!(config.instances[1].policy, Policy { verify: Verify::DataPlane, ..head.clone() });
    let app = &config.instances[0].apps[0];
    assert_eq!(
        (app.id.slot(), &app.settings[..], app.may_hold_none),
        (Some("staging"), &["A".into(), "B".into()][..], true)
    );
    assert_eq!(app.connection_strings, ["C"]);

    let settings = [
        ("REKEY_ROTATE_EVERY", "90d"),
        ("REKEY_GRACE", "5m"),
        ("REKEY_VERIFY", "Control-Plane"),
        ("REKEY_FIRST_ROTATION", "now"),
        ("REKEY_FULL_CHECK_EVERY", "0s"),
        ("REKEY_WINDOWS", "daily 22:00-24:00 UTC"),
        ("REKEY_FREEZES", "none"),
        ("REKEY_APPROVAL", "none"),
        ("REKEY_NOTICE_BUDGET", "20s"),
        ("REKEY_STATE", "memory"),
        ("WEBSITE_SITE_NAME", "rekey-func"),
        ("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555"),
        ("AZURE_CLOUD", "AzureUSGovernment"),
    ];
    let config = read(text, &settings).unwrap();
    let policy = Policy {
        rotate_every: hours(90 * 24),
        grace: Duration::from_secs(300),
        first_rotation: FirstRotation::Now,
        full_check_every: Duration::ZERO,
        windows: vec!["daily 22:00-24:00 UTC".parse().unwrap()],
        freezes: vec![],
        approval: ApprovalPolicy::None,
        ..head
    };
    assert!(config.instances.iter().all(|instance| instance.policy == policy));
    assert_eq!(
        (config.notice_budget, config.own_site.as_deref()),
        (Duration::from_secs(20), Some("rekey-func"))
    );
    assert_eq!(config.azure.client_id.as_deref(), Some("11111111-2222-3333-4444-555555555555"));
    assert_eq!(config.azure.cloud, Cloud::UsGovernment);
    assert_eq!(config.azure.resource_manager.as_str(), "https://management.usgovcloudapi.net/");
}

#[test]
fn waves_and_what_tells_how_apps_are_stand_with_each_entry() {
    let text = r#"
restarts_at_once = "all"

[[instance]]
id = "$INSTANCE"
apps = ["$APP", { id = "$APP/slots/staging", wave = 3, health = "https://app.example/health?code=1" }]
vault_secrets = [{ id = "https://v.vault.azure.net/secrets/chat", wave = 2 }]
app_configuration = [{ endpoint = "https://s.azconfig.io", key = "chat", read_by = ["$APP"], wave = 2 }]
"#;
    let config = read(text, &[]).unwrap();
    let instance = &config.instances[0];
    let numbers: Vec<u32> = instance.policy.waves.values().copied().collect();
    assert_eq!((numbers.len(), numbers.iter().sum::<u32>(), instance.policy.restarts_at_once), (3, 7, 0));
    let watched: Vec<_> = instance.policy.watched.iter().collect();
    assert_eq!(watched, instance.health.keys().collect::<Vec<_>>());
    let urls: Vec<&str> = instance.health.values().map(Url::as_str).collect();
    assert_eq!(urls, ["https://app.example/health?code=1"]);

    for (entry, said) in [
        (r#"wave = 0"#, "a wave is a number from 1 to 100"),
        (r#"wave = "2""#, "a number without quotes"),
        (r#"health = "http://app.example/""#, "this is not an https URL"),
        (r#"health = "https://user:hunter2@app.example/""#, "this URL has no user"),
        (r#"health = true"#, "the URL that tells how it is"),
    ] {
        let text = format!("[[instance]]\nid = \"$INSTANCE\"\napps = [{{ id = \"$APP\", {entry} }}]\n");
        let fault = read(&text, &[]).unwrap_err().to_string();
        assert!(fault.contains(said) && !fault.contains("hunter2"), "{entry}: {fault}");
    }
    let apart = text.replace("\"$APP\", {", "{ id = \"$APP\", wave = 1 }, {");
    let fault = read(&apart, &[]).unwrap_err().to_string();
    assert!(
        fault.contains("app_configuration[0]: it and the apps of read_by are in different waves"),
        "{fault}"
    );
}

#[test]
fn all_faults_are_reported_at_once_by_place_and_never_by_value() {
    let text = r#"
rotate_evry = "30d"
grace = 2
verify = "trust"
notice_budget = "29s"
timer_budget = "10m"

[[instance]]
id = "$SECRET"
apps = ["chat-web", "$INSTANCE", "$SECRET", 7, { id = "$APP", setings = ["A"], settings = [], connection_strings = ["", "A", "a", "$SECRET", 1] }]
first_rotation = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
timer_budget = "5m"

[[instance]]
id = "$INSTANCE"
apps = ["$APP", "$APP", { settings = ["A"] }, { id = "$APP/SLOTS/x", may_hold_none = "yes" }]
rotate_every = "a month"

[[instance]]
id = "$INSTANCE"
apps = []

[[instance]]
"#;
    insta::assert_snapshot!(faults(text, &[
        ("REKEY_GRACE", "0s"),
        ("REKEY_VERFY", "data-plane"),
        ("REKEY_STATE", "$SECRET"),
        ("AZURE_CLIENT_ID", "my-identity"),
    ]), @r#"
    the configuration has 30 faults:
      rekey.toml:2:1: rotate_evry: this key is not known; did you mean `rotate_every`?
      rekey.toml:3:9: grace: a number alone has no unit: put s, m, h or d behind it, as in "2h"
      rekey.toml:4:10: verify: this is not known here; write data-plane or control-plane
      rekey.toml:5:17: notice_budget: 29s is too long: Event Grid waits 30s and then sends again; write at most 28s, such as 25s
      rekey.toml:6:16: timer_budget: 10m is too long: the host kills the process at 10m; write at most 570s, such as 9m
      rekey.toml:9:6: instance[0].id: this looks like a connection string, which is a secret and belongs in no file: take it out; write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}
      rekey.toml:10:9: instance[0].apps[0]: this is not the id of a web app, function app or slot; write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]
      rekey.toml:10:21: instance[0].apps[1]: this is the id of a SignalR service, not of an app; write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]
      rekey.toml:10:110: instance[0].apps[2]: this looks like a connection string, which is a secret and belongs in no file: take it out; write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]
      rekey.toml:10:218: instance[0].apps[3]: this is an integer; write the app's id: "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]"
      rekey.toml:10:305: instance[0].apps[4].setings: this key is not known; did you mean `settings`?
      rekey.toml:10:333: instance[0].apps[4].settings: the list is empty; name a setting, or leave the key out to have all of them checked
      rekey.toml:10:359: instance[0].apps[4].connection_strings[0]: the name is empty; write the name of a setting
      rekey.toml:10:368: instance[0].apps[4].connection_strings[2]: this name is twice in this list; take one out
      rekey.toml:10:373: instance[0].apps[4].connection_strings[3]: this looks like a connection string, which is a secret and belongs in no file: take it out
      rekey.toml:10:481: instance[0].apps[4].connection_strings[4]: this is an integer; write the name of a setting, in quotes
      rekey.toml:11:18: instance[0].first_rotation: this is not known here; write now or when-due
      rekey.toml:12:1: instance[0].timer_budget: this key belongs at the top of the file, above the first [[instance]]
      rekey.toml:16:86: instance[1].apps[1]: this app is already listed; put all its names in one entry (the first is in line 16; ids compare without case)
      rekey.toml:16:163: instance[1].apps[2]: its id is missing; write the app's id: "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]"
      rekey.toml:16:293: instance[1].apps[3].may_hold_none: this is a string; write true or false, without quotes
      rekey.toml:17:16: instance[1].rotate_every: this is not a duration; write 30d
      rekey.toml:20:6: instance[2].id: this instance is already named, and two policies cannot hold; put all its apps in one entry (the first is in line 15; ids compare without case)
      rekey.toml:21:8: instance[2].apps: no consumer is listed; list every app, and whatever else holds a connection string of this service, because what is not listed keeps a key that will stop working
      rekey.toml:23:1: instance[3]: its id is missing; write id = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}"
      rekey.toml:23:1: instance[3]: no consumer is listed; list every app, and whatever else holds a connection string of this service, because what is not listed keeps a key that will stop working
      AZURE_CLIENT_ID: this is not a client id; write the GUID that the managed identity or application shows as its client id (not its resource id, not its name)
      REKEY_GRACE: zero is too short; write 2h
      REKEY_STATE: there is no storage connection of this name; write the name of a setting that holds a connection string, the NAME of a NAME__blobServiceUri or NAME__accountName, or memory
      REKEY_VERFY: there is no such setting; did you mean REKEY_VERIFY?
    "#);
}

#[test]
fn apps_may_be_left_out_where_other_consumers_are_listed() {
    let group = "/subscriptions/s/resourceGroups/g/providers";
    let service = format!("{group}/Microsoft.SignalRService/signalR/chat");
    let file = |lists: &str| format!("[[instance]]\nid = \"{service}\"\n{lists}\n").replace("GROUP", group);
    let read = |lists: &str| load_from(&file(lists), "rekey.toml", &Environment::default());
    for lists in [
        r#"container_apps = ["GROUP/Microsoft.App/containerApps/api", "GROUP/Microsoft.App/jobs/api"]"#,
        "apps = []\nstatic_web_apps = [\"GROUP/Microsoft.Web/staticSites/pages\"]",
        r#"vault_secrets = ["https://v.vault.azure.net/secrets/chat"]"#,
    ] {
        assert_eq!(read(lists).unwrap().instances.len(), 1, "{lists}");
    }
    for (lists, said) in [
        ("", "no consumer is listed"),
        ("apps = []", "no consumer is listed"),
        ("vault_secrets = []", "no consumer is listed"),
        ("container_apps = []", "no consumer is listed"),
        (r#"container_apps = ["GROUP/Microsoft.Web/sites/web"]"#, "not the id of a container app or job"),
        (r#"container_apps = ["GROUP/Microsoft.App/jobs/a_b"]"#, "not one of a container app or job"),
        (
            r#"container_apps = ["GROUP/Microsoft.App/jobs/a", "GROUP/microsoft.app/JOBS/A"]"#,
            "already listed",
        ),
        (r#"static_web_apps = ["GROUP/Microsoft.Web/sites/web"]"#, "not the id of a static web app"),
        (r#"static_web_apps = ["Endpoint=https://x;AccessKey=y"]"#, "looks like a connection string"),
        (r#"vault_secrets = ["https://v.example.com/secrets/chat"]"#, "this is not the host of a Key Vault"),
        (
            r#"vault_secrets = ["https://v.vault.azure.net.evil.com/secrets/chat"]"#,
            "not the host of a Key Vault",
        ),
        (
            r#"vault_secrets = ["https://v.vault.azure.net/secrets/chat/0123456789abcdef0123456789abcdef"]"#,
            "this is the URL of one version of a secret",
        ),
        (
            r#"app_configuration = [{ endpoint = "https://s.example.com", key = "a" }]"#,
            "this is not the host of an App Configuration store",
        ),
    ] {
        let fault = read(lists).unwrap_err().to_string();
        assert!(
            fault.contains(said) && fault.starts_with("the configuration has a fault"),
            "{lists}: {fault}"
        );
    }
}

#[test]
fn a_grace_is_shorter_than_what_it_is_part_of() {
    let head = |text: &str| format!("{text}\n{GOOD}");
    let all = [
        faults(&head("rotate_every = \"1h\"\ngrace = \"1h\""), &[]),
        faults(&head("rotate_every = \"1h\""), &[]),
        faults(&format!("{GOOD}grace = \"31d\""), &[]),
        faults(&head("grace = \"10m\""), &[("REKEY_GRACE", "40d")]),
        faults(GOOD, &[("REKEY_ROTATE_EVERY", "30m")]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    the configuration has a fault:
      rekey.toml:2:9: grace: 1h is not shorter than rotate_every (1h), so no rotation would ever end; write less than 1h
    the configuration has a fault:
      rekey.toml:1:16: rotate_every: 1h is not longer than the grace of 150m (the default), so no rotation would ever end; write a longer time, or a grace below 1h
    the configuration has a fault:
      rekey.toml:5:9: instance[0].grace: 31d is not shorter than rotate_every (30d), so no rotation would ever end; write less than 30d
    the configuration has a fault:
      REKEY_GRACE: 40d is not shorter than rotate_every (30d), so no rotation would ever end; write less than 30d
    the configuration has a fault:
      REKEY_ROTATE_EVERY: 30m is not longer than the grace of 150m (the default), so no rotation would ever end; write a longer time, or a grace below 30m
    "#);
    // A default that is wrong for two instances is wrong once.
    let two = format!("grace = \"40d\"\n{GOOD}{}", GOOD.replace("$INSTANCE", "$INSTANCE-2"));
    assert_eq!(read(&two, &[]).unwrap_err().iter().count(), 1);
    // Seconds are for development.
    let simulated = [("REKEY_RESOURCE_MANAGER", "http://127.0.0.1:7400")];
    assert!(read(&head("rotate_every = \"10s\"\ngrace = \"2s\""), &simulated).is_ok());
}

#[test]
fn durations_have_a_unit_and_an_end() {
    let head = |text: &str| faults(&format!("{text}\n{GOOD}"), &[]);
    let all = [
        head("rotate_every = 30"),
        head("rotate_every = \"30\""),
        head("rotate_every = 1.5"),
        head("rotate_every = \"-1d\""),
        head("rotate_every = \"11y\""),
        head("grace = \"0s\""),
        head("grace = 0"),
        head("longest_operation = \"soon\""),
        head("longest_operation = true"),
        faults(
            GOOD,
            &[("REKEY_ROTATE_EVERY", "30"), ("REKEY_GRACE", " "), ("REKEY_NOTICE_BUDGET", "28s 1ms")],
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    the configuration has a fault:
      rekey.toml:1:16: rotate_every: a number alone has no unit: put s, m, h or d behind it, as in "30d"
    the configuration has a fault:
      rekey.toml:1:16: rotate_every: a number alone has no unit: put s, m, h or d behind it, as in 30d
    the configuration has a fault:
      rekey.toml:1:16: rotate_every: a number alone has no unit: put s, m, h or d behind it, as in "30d"
    the configuration has a fault:
      rekey.toml:1:16: rotate_every: this is not a duration; write 30d
    the configuration has a fault:
      rekey.toml:1:16: rotate_every: more than ten years is too long; write 30d, or 3650d to pause rotations by age
    the configuration has a fault:
      rekey.toml:1:9: grace: zero is too short; write 2h
    the configuration has a fault:
      rekey.toml:1:9: grace: a number alone has no unit: put s, m, h or d behind it, as in "2h"
    the configuration has a fault:
      rekey.toml:1:21: longest_operation: this is not a duration; write 10m
    the configuration has a fault:
      rekey.toml:1:21: longest_operation: this is a boolean; write "10m"
    the configuration has 3 faults:
      REKEY_GRACE: it is set, but empty; write 2h, or remove the setting
      REKEY_NOTICE_BUDGET: 28s 1ms is too long: Event Grid waits 30s and then sends again; write at most 28s, such as 25s
      REKEY_ROTATE_EVERY: a number alone has no unit: put s, m, h or d behind it, as in 30d
    "#);
}

/// Three waves with 15 days between them take a month, and then the next rotation is due.
#[test]
fn pauses_that_leave_a_rotation_no_end_are_refused() {
    let app = |name: &str, wave: u32| {
        let site = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.Web/sites";
        format!("{{ id = \"{site}/{name}\", wave = {wave} }}")
    };
    let file = |pause: &str| {
        let id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.SignalRService/signalR/chat";
        let apps = [app("a", 1), app("b", 2), app("c", 3)].join(", ");
        format!("pause_between_waves = \"{pause}\"\n[[instance]]\nid = \"{id}\"\napps = [{apps}]\n")
    };
    assert!(read(&file("14d"), &[]).is_ok());
    let said = faults(&file("16d"), &[]);
    assert!(said.contains("are 32d 3h: not shorter"), "not in months: {said}");
    insta::assert_snapshot!(faults(&file("15d"), &[]), @r#"
    the configuration has a fault:
      rekey.toml:1:23: pause_between_waves: 15d between 3 waves, and the grace, are 30d 3h: not shorter than rotate_every (30d), so no rotation would ever end; write a shorter pause, or fewer waves
    "#);
}

/// A key that was put in the place of a window or freeze is not repeated, nor in that of one of several.
#[test]
fn a_key_in_the_place_of_a_window_is_not_shown() {
    let key = "aB3dEf6hIj9lMn2pQr5tUv8xYz1BcD4FgH7jKl0nOpQrStU";
    let string = format!("Endpoint=https://chat.service.signalr.net;AccessKey={key};Version=1.0;");
    for wrong in [key, &string, &format!("Sat 02:00-05:00 {key}"), &format!("2026-12-20 {key}")] {
        for name in ["windows", "freezes"] {
            let said = faults(&format!("{name} = [\"{wrong}\"]\n{GOOD}"), &[]);
            assert!(said.contains("which is a secret") && !said.contains(key), "{said}");
        }
        for name in ["REKEY_WINDOWS", "REKEY_FREEZES"] {
            let said = faults(GOOD, &[(name, wrong)]);
            assert!(said.contains(name) && !said.contains(key), "{said}");
        }
    }
}

/// What can be told of windows from the text alone is told when it is read.
#[test]
fn windows_that_can_never_do_their_work_are_refused() {
    let head = |text: &str| faults(&format!("{text}\n{GOOD}"), &[]);
    let set = |name: &'static str, value: &'static str| faults(GOOD, &[(name, value)]);
    let all = [
        head("windows = \"Sat 02:00-05:00 UTC\""),
        head("windows = [\"Sat 02:00 UTC\", 5, \"Sat 02:00-05:00 Berlin\"]"),
        head("windows = [\"Sat 02:00-05:00 Europe/Berln\"]\nfreezes = [\"2026-12-20 Europe/Lisboa\"]"),
        head("windows = [\"Sat 02:00-02:10 UTC\", \"Sun 02:00-02:14 UTC\"]"),
        head("rotate_every = \"3d\"\nwindows = [\"Sat 02:00-05:00 UTC\"]"),
        head("rotate_every = \"6d\"\nwindows = [\"Sun 02:00-03:00 Europe/Berlin\"]"),
        head("freezes = [\"2026-12-20..2026-12-01 UTC\"]"),
        head("spread = \"30d\""),
        set("REKEY_WINDOWS", "Sat 02:00-05:00 UTC; Nun 02:00-05:00 UTC"),
        set("REKEY_FREEZES", "tomorrow"),
        set("REKEY_WINDOWS", "Sat 02:00-05:00 UTC, Sun 02:00-05:00 UTC"),
        set("REKEY_WINDOWS", ";"),
        set("REKEY_FREEZES", " ; ;"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    the configuration has a fault:
      rekey.toml:1:11: windows: this is a string; write a list: windows = [ "Sat,Sun 02:00-05:00 Europe/Berlin" ]
    the configuration has 3 faults:
      rekey.toml:1:12: windows[0]: "Sat 02:00 UTC": its times are not understood; write days, a time and a time zone, as in "Sat,Sun 02:00-05:00 Europe/Berlin"
      rekey.toml:1:29: windows[1]: this is an integer; write "Sat,Sun 02:00-05:00 Europe/Berlin"
      rekey.toml:1:32: windows[2]: "Sat 02:00-05:00 Berlin": its time zone is not known; write days, a time and a time zone, as in "Sat,Sun 02:00-05:00 Europe/Berlin"
    the configuration has 2 faults:
      rekey.toml:1:12: windows[0]: "Sat 02:00-05:00 Europe/Berln": its time zone is not known (did you mean Europe/Berlin?); write days, a time and a time zone, as in "Sat,Sun 02:00-05:00 Europe/Berlin"
      rekey.toml:2:12: freezes[0]: "2026-12-20 Europe/Lisboa": its time zone is not known (did you mean Europe/Lisbon?); write the first and the last day and a time zone, as in "2026-12-20..2027-01-06 Europe/Berlin"
    the configuration has a fault:
      rekey.toml:1:11: windows: no window is open for longer than 14m: regenerating a key and moving the apps to it takes minutes, and the timer has to run meanwhile; write a window of 15m or more
    the configuration has a fault:
      rekey.toml:2:11: windows: no window is open for 165h, so that no rotation could keep to rotate_every (3d); write windows on more days, or a longer rotate_every
    the configuration has a fault:
      rekey.toml:2:11: windows: no window is open for 167h, so that no rotation could keep to rotate_every (6d); write windows on more days, or a longer rotate_every
    the configuration has a fault:
      rekey.toml:1:12: freezes[0]: "2026-12-20..2026-12-01 UTC": it ends before it begins; write the first and the last day and a time zone, as in "2026-12-20..2027-01-06 Europe/Berlin"
    the configuration has a fault:
      rekey.toml:1:10: spread: 30d is not shorter than rotate_every (30d); write less than that
    the configuration has a fault:
      REKEY_WINDOWS: "Nun 02:00-05:00 UTC": its days are not understood; write days, a time and a time zone, as in "Sat,Sun 02:00-05:00 Europe/Berlin"
    the configuration has a fault:
      REKEY_FREEZES: "tomorrow": this is not a freeze; write the first and the last day and a time zone, as in "2026-12-20..2027-01-06 Europe/Berlin"
    the configuration has a fault:
      REKEY_WINDOWS: "Sat 02:00-05:00 UTC, Sun 02:00-05:00 UTC": this is not a window; write days, a time and a time zone, as in "Sat,Sun 02:00-05:00 Europe/Berlin". Several are items of a list in the file, with ; between them in an app setting
    the configuration has a fault:
      REKEY_WINDOWS: nothing stands in this list; write Sat,Sun 02:00-05:00 Europe/Berlin, or none
    the configuration has a fault:
      REKEY_FREEZES: nothing stands in this list; write 2026-12-20..2027-01-06 Europe/Berlin, or none
    "#);
    // A window of all day is open at all times, and one that is left out on a day of a year is not left out in the text.
    for good in [
        "rotate_every = \"6h\"\nwindows = [\"daily 00:00-24:00 UTC\"]",
        "rotate_every = \"7d\"\nwindows = [\"Sun 02:00-03:00 Europe/Berlin\"]",
        "windows = \"none\"\nfreezes = \"none\"",
    ] {
        assert_eq!(
            read(&format!("{good}\n{GOOD}"), &[]).err().map(|faults| faults.to_string()),
            None,
            "{good}"
        );
    }
    let config = read(&format!("windows = [\"Sat 02:00-05:00 UTC\"]\n{GOOD}"), &[("REKEY_WINDOWS", "none")]);
    assert_eq!(config.unwrap().instances[0].policy.windows, [], "the default is written as it is told");
    let zones = "windows = [\"Sat,Sun 02:00-05:00 Europe/Berlin\"]\nfreezes = [\"2026-12-24 UTC\"]\nspread = \"24h\"\n";
    let config =
        read(&format!("{zones}{GOOD}"), &[("REKEY_FREEZES", "2026-12-20..2027-01-06 UTC; 2027-05-01 UTC")]);
    let policy = config.unwrap().instances[0].policy.clone();
    assert_eq!(policy.windows[0].to_string(), "Sat,Sun 02:00-05:00 Europe/Berlin");
    assert_eq!(policy.freezes.len(), 2, "the app setting wins");
    assert!(policy.due_later < policy.spread, "{policy:?}");
}

/// The share of a service is the same wherever it is computed, and services have different ones.
#[test]
fn services_are_spread_by_their_ids() {
    let service = |name: &str| GOOD.replace("$INSTANCE", &format!("$INSTANCE-{name}"));
    let later = |name: &str| {
        let file = format!("spread = \"24h\"\n{}", service(name));
        read(&file, &[]).unwrap().instances[0].policy.due_later
    };
    let all: BTreeSet<_> = (0..20).map(|n| later(&format!("s{n}"))).collect();
    assert_eq!(all.len(), 20, "{all:?}");
    assert_eq!(later("a"), later("A"), "ids compare without case");
    let hours: BTreeSet<_> = all.iter().map(|later| later.as_secs() / 21_600).collect();
    assert_eq!(hours.len(), 4, "some in each quarter of the day: {all:?}");
}

/// Apps that are not read for long stay cut off for long, and a number means what nobody knows.
#[test]
fn full_checks_come_once_a_day_at_least() {
    let head = |value: &str| faults(&format!("full_check_every = {value}\n{GOOD}"), &[]);
    let set = |value: &str| faults(GOOD, &[("REKEY_FULL_CHECK_EVERY", value)]);
    let all = [
        head("\"25h\""),
        head("\"1y\""),
        head("\"11y\""),
        head("3600"),
        head("0"),
        set("90d"),
        set("5"),
        set("0"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    the configuration has a fault:
      rekey.toml:1:20: full_check_every: 25h is too long: an app that somebody gives an old connection string stays cut off until it is read; write at most 1d, such as 1h
    the configuration has a fault:
      rekey.toml:1:20: full_check_every: 365d 6h is too long: an app that somebody gives an old connection string stays cut off until it is read; write at most 1d, such as 1h
    the configuration has a fault:
      rekey.toml:1:20: full_check_every: more than ten years is too long; write 1h
    the configuration has a fault:
      rekey.toml:1:20: full_check_every: a number alone has no unit: put s, m, h or d behind it, as in "1h"
    the configuration has a fault:
      rekey.toml:1:20: full_check_every: a number alone has no unit: put s, m, h or d behind it, as in "0s"
    the configuration has a fault:
      REKEY_FULL_CHECK_EVERY: 90d is too long: an app that somebody gives an old connection string stays cut off until it is read; write at most 1d, such as 1h
    the configuration has a fault:
      REKEY_FULL_CHECK_EVERY: a number alone has no unit: put s, m, h or d behind it, as in 1h
    the configuration has a fault:
      REKEY_FULL_CHECK_EVERY: a number alone has no unit: put s, m, h or d behind it, as in 0s
    "#);
    for good in ["1d", "0s", "61m"] {
        assert!(read(&format!("full_check_every = \"{good}\"\n{GOOD}"), &[]).is_ok(), "{good}");
    }
}

#[test]
fn a_grace_is_longer_than_an_app_takes_to_restart() {
    let head = |text: &str| format!("{text}\n{GOOD}");
    let all = [
        faults(&head("grace = \"59s\"\nexposed_grace = \"4s\""), &[]),
        faults(&head(""), &[("REKEY_GRACE", "3s")]),
        faults(
            &format!("{GOOD}exposed_grace = \"1s\""),
            &[("REKEY_RESOURCE_MANAGER", "https://management.azure.com")],
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    the configuration has 2 faults:
      rekey.toml:1:9: grace: 59s is too short: an app needs about a minute to restart with the new key, and its clients are refused if the old one stops working before that; write at least 1m
      rekey.toml:2:17: exposed_grace: 4s is too short: an app needs about a minute to restart with the new key, and its clients are refused if the old one stops working before that; write at least 1m
    the configuration has a fault:
      REKEY_GRACE: 3s is too short: an app needs about a minute to restart with the new key, and its clients are refused if the old one stops working before that; write at least 1m
    the configuration has a fault:
      rekey.toml:5:17: instance[0].exposed_grace: 1s is too short: an app needs about a minute to restart with the new key, and its clients are refused if the old one stops working before that; write at least 1m
    ");
    assert!(read(&head("grace = \"60s\"\nexposed_grace = \"1m\""), &[]).is_ok());
    for loopback in ["http://127.0.0.1:7400", "http://localhost:7400", "https://127.0.0.1:7400"] {
        let settings = [("REKEY_RESOURCE_MANAGER", loopback)];
        assert!(read(&head("grace = \"2s\"\nexposed_grace = \"1s\""), &settings).is_ok(), "{loopback}");
    }
}

/// Every place of the file, with a secret in it that is as short and plain as a word.
#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    const SHORT: &str = "hunter2-Passw0rd";
    let keys = [
        "rotate_every",
        "grace",
        "verify",
        "first_rotation",
        "longest_operation",
        "exposed_grace",
        "min_rotation_interval",
        "full_check_every",
        "notice_budget",
        "timer_budget",
        "watch",
        "notify",
        "instance",
        "id",
        "apps",
        "settings",
        "hunter2",
    ];
    let mut texts: Vec<String> = Vec::new();
    for key in keys {
        texts.push(format!("{key} = \"{SHORT}\"\n{GOOD}"));
        texts.push(format!("{key} = {SHORT}\n{GOOD}"));
        texts.push(format!("{key} = 20240611190733\n{GOOD}"));
        texts.push(format!("{key} = \"20240611190733\"\n{GOOD}"));
        texts.push(format!("{GOOD}{key} = \"{SHORT}\"\n"));
    }
    texts.push(format!("{SHORT} = 1\n{GOOD}"));
    texts.push(format!("{SHORT}\n{GOOD}"));
    texts.push(format!("[{SHORT}]\n{GOOD}"));
    texts.push(format!("[notify]\nwebhook = \"{SHORT}\"\n{GOOD}"));
    texts.push(format!("[notify]\n{SHORT} = \"{SHORT}\"\n{GOOD}"));
    texts.push(format!("[[instance]]\nid = \"{SHORT}\"\napps = [\"{SHORT}\"]\n"));
    for names in [r#"["$S", "$S"]"#, r#"["$S=x"]"#, "\"$S\""] {
        let names = names.replace("$S", SHORT);
        for list in ["settings", "connection_strings", "may_hold_none"] {
            texts.push(format!(
                "[[instance]]\nid = \"$INSTANCE\"\napps = [{{ id = \"$APP\", {list} = {names} }}]\n"
            ));
        }
    }
    for text in &texts {
        let told = match read(text, &[]) {
            // The name of a setting that is looked at may be any.
            Ok(_) => continue,
            Err(faults) => faults.to_string(),
        };
        assert!(!told.contains("hunter2") || text.contains("hunter2 ="), "{text}\n{told}");
        assert!(!told.contains("Passw0rd") && !told.contains("20240611190733"), "{text}\n{told}");
    }
    let state = faults(
        GOOD,
        &[("REKEY_STATE", SHORT), ("REKEY_VERIFY", SHORT), ("REKEY_GRACE", SHORT), ("AZURE_CLOUD", SHORT)],
    );
    assert!(!state.contains("hunter2"), "{state}");
}

#[test]
fn the_part_of_an_id_that_is_at_fault_is_named() {
    let named = |instance: &str, app: &str| {
        faults(&format!("[[instance]]\nid = \"{instance}\"\napps = [\"{app}\"]\n"), &[])
    };
    let all = [
        named(&INSTANCE.replace("sr-demo", ".."), &APP.replace("chat-web", "chat_web")),
        named(&INSTANCE.replace("/s/", "/../"), &APP.replace("/rg/", "/rg./")),
        named(INSTANCE, &format!("{APP}/slots/.")),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    the configuration has 2 faults:
      rekey.toml:2:6: instance[0].id: this is not the id of a SignalR service: its service name is not valid (letters, digits and -, at most 63, a letter first, no - at the end); write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}
      rekey.toml:3:9: instance[0].apps[0]: this is not the id of a web app, function app or slot: its site is not a valid name (letters, digits and -, at most 60, no - at either end); write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]
    the configuration has 2 faults:
      rekey.toml:2:6: instance[0].id: this is not the id of a SignalR service: its subscription is not an id such as 00000000-0000-0000-0000-000000000000; write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}
      rekey.toml:3:9: instance[0].apps[0]: this is not the id of a web app, function app or slot: its resource group is not a valid name (letters, digits, - _ . ( ), at most 90, no full stop at the end); write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]
    the configuration has a fault:
      rekey.toml:3:9: instance[0].apps[0]: this is not the id of a web app, function app or slot: its slot is not a valid name (letters, digits and -, at most 59, no - at either end); write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]
    ");
}

#[test]
fn the_file_has_to_name_something_to_do() {
    let all = [
        faults("", &[]),
        faults("instance = []", &[]),
        faults("[instance]\nid = \"$INSTANCE\"", &[]),
        faults("[[instances]]\nid = \"$INSTANCE\"\napps = [\"$APP\"]", &[]),
        faults("[[instance]]\nid = \"$APP\"\napps = \"$APP\"", &[]),
        faults("id = \"$INSTANCE\"\n[\"$SECRET\"]\na = 1", &[]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    the configuration has a fault:
      rekey.toml:1:1: no [[instance]] is named, so there is nothing to do; add one with its id and its apps
    the configuration has a fault:
      rekey.toml:1:12: instance: no [[instance]] is named, so there is nothing to do; add one with its id and its apps
    the configuration has a fault:
      rekey.toml:1:1: instance: this is a table; write [[instance]], with two brackets: there may be several
    the configuration has 2 faults:
      rekey.toml:1:1: no [[instance]] is named, so there is nothing to do; add one with its id and its apps
      rekey.toml:1:3: instances: this key is not known; did you mean `instance`?
    the configuration has 2 faults:
      rekey.toml:2:6: instance[0].id: this is the id of an app, which belongs in apps; write /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}
      rekey.toml:3:8: instance[0].apps: this is a string; write a list: apps = [ "…" ]
    the configuration has 3 faults:
      rekey.toml:1:1: no [[instance]] is named, so there is nothing to do; add one with its id and its apps
      rekey.toml:1:1: id: this key belongs in an [[instance]]
      rekey.toml:2:2: this key is not known; known here are rotate_every, grace, verify, first_rotation, longest_operation, exposed_grace, min_rotation_interval, full_check_every, windows, freezes, approval, spread, pause_between_waves, restarts_at_once, gate_after, settle_within, on_unhealthy, home, name_writers, tags, notice_budget, timer_budget, watch, notify, instance
    "#);
}

#[test]
fn what_is_no_toml_is_reported_beside_the_settings() {
    let text = "grace = 2h\nverify = \"data-plane\nrotate_every = \"30d\"\nrotate_every = \"$SECRET\"\n";
    insta::assert_snapshot!(faults(text, &[("REKEY_STATE", "blob")]), @r#"
    the configuration has 4 faults:
      rekey.toml:1:9: this is not TOML: string values must be quoted, expected literal string
      rekey.toml:2:21: this is not TOML: invalid basic string, expected `"`
      rekey.toml:4:1: this is not TOML: duplicate key
      REKEY_STATE: there is no storage connection of this name; write the name of a setting that holds a connection string, the NAME of a NAME__blobServiceUri or NAME__accountName, or memory
    "#);
}

#[test]
fn tokens_go_over_https_or_to_loopback() {
    for good in
        ["https://management.azure.com", "http://127.0.0.1:7400", "http://[::1]:7400/", "http://localhost:1"]
    {
        assert!(read(GOOD, &[("REKEY_RESOURCE_MANAGER", good)]).is_ok(), "{good}");
    }
    let bad = [
        "http://management.azure.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "ftp://127.0.0.1",
        "management.azure.com",
        "https://user:SECRET@management.azure.com",
        "https://management.azure.com/subscriptions?x=1",
        "",
    ];
    let all: Vec<String> = bad.map(|url| faults(GOOD, &[("REKEY_RESOURCE_MANAGER", url)])).into();
    assert!(!all.join("").contains("SECRET"));
    insta::assert_snapshot!(all.join("\n"), @r"
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: tokens go over https only; write https:// (http is only for 127.0.0.1)
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: tokens go over https only; write https:// (http is only for 127.0.0.1)
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: tokens go over https only; write https:// (http is only for 127.0.0.1)
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: this is not an https URL; write a base URL such as https://management.azure.com
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: this is not a URL; write a base URL such as https://management.azure.com
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: a base URL has no user, path, query or fragment; write a base URL such as https://management.azure.com
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: a base URL has no user, path, query or fragment; write a base URL such as https://management.azure.com
    the configuration has a fault:
      REKEY_RESOURCE_MANAGER: it is set, but empty; write https://management.azure.com, or remove the setting
    ");
}

#[test]
fn what_is_configured_by_half_is_refused() {
    let all = [
        faults(GOOD, &[("AZURE_CLIENT_SECRET", "$SECRET")]),
        faults(GOOD, &[("AZURE_FEDERATED_TOKEN_FILE", "/t"), ("AZURE_TENANT_ID", "t")]),
        faults(GOOD, &[("IDENTITY_ENDPOINT", "http://127.0.0.1:1/")]),
        faults(GOOD, &[("IDENTITY_HEADER", "$SECRET")]),
        faults(GOOD, &[("AZURE_CLOUD", "AzureGermanCloud")]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    the configuration has 2 faults:
      AZURE_CLIENT_ID: AZURE_CLIENT_SECRET is set and needs it; set both, or neither
      AZURE_TENANT_ID: AZURE_CLIENT_SECRET is set and needs it; set both, or neither
    the configuration has a fault:
      AZURE_CLIENT_ID: AZURE_FEDERATED_TOKEN_FILE is set and needs it; set both, or neither
    the configuration has a fault:
      IDENTITY_HEADER: IDENTITY_ENDPOINT is set and needs it; set both, or neither
    the configuration has a fault:
      IDENTITY_ENDPOINT: IDENTITY_HEADER is set and needs it; set both, or neither
    the configuration has a fault:
      AZURE_CLOUD: this is not known here (did you mean AzureCloud?); write AzureCloud or AzureUSGovernment or AzureChinaCloud
    ");
    let arc = [("IDENTITY_ENDPOINT", "http://localhost:1"), ("IMDS_ENDPOINT", "http://localhost:2")];
    assert!(read(GOOD, &arc).is_ok());
}

#[test]
fn the_file_is_found_where_the_app_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let elsewhere = folder.path().join("other.toml");
    let other = elsewhere.to_str().unwrap();
    std::fs::write(folder.path().join("rekey.toml"), format!("\u{feff}{}", toml(GOOD))).unwrap();
    std::fs::write(&elsewhere, "grace = 1").unwrap();
    let load = |settings: &[(&str, &str)]| load(&settings.iter().copied().collect());
    assert!(load(&[("AzureWebJobsScriptRoot", root)]).is_ok());
    assert!(load(&[("FUNCTIONS_APP_ROOT_PATH", root), ("AzureWebJobsScriptRoot", "/nowhere")]).is_ok());
    let named = load(&[("FUNCTIONS_APP_ROOT_PATH", root), ("REKEY_CONFIG", other)]).unwrap_err().to_string();
    assert!(named.contains("other.toml:1:9: grace: "), "{named}");
    let missing =
        load(&[("REKEY_CONFIG", "/nowhere/AccessKey=x"), ("REKEY_STATE", "disk")]).unwrap_err().to_string();
    insta::assert_snapshot!(missing, @r"
    the configuration has 2 faults:
      REKEY_CONFIG: cannot find the file of REKEY_CONFIG; give the path of a TOML file
      REKEY_STATE: there is no storage connection of this name; write the name of a setting that holds a connection string, the NAME of a NAME__blobServiceUri or NAME__accountName, or memory
    ");
}

#[test]
fn the_environment_shows_names_alone() {
    let environment: Environment =
        [("REKEY_GRACE", "2h"), ("AzureWebJobsStorage", SECRET)].into_iter().collect();
    assert_eq!(format!("{environment:?}"), r#"Environment{"AzureWebJobsStorage", "REKEY_GRACE"}"#);
}

#[test]
fn who_is_told_and_how_it_is_signed_is_a_secret() {
    let file = format!("{GOOD}\n[notify]\nwebhook = \"https://hooks.example/SECRETPATH\"\n");
    let config = read(&file, &[]).unwrap();
    let notify = config.notify.as_ref().unwrap();
    assert_eq!(
        (notify.expose_url(), notify.host().as_str()),
        ("https://hooks.example/SECRETPATH", "hooks.example")
    );
    assert_eq!(notify.expose_signing_key(), None);
    let key = ("REKEY_NOTIFY_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let settings = [("REKEY_NOTIFY_WEBHOOK", "http://127.0.0.1:9/told"), key, ("REKEY_WATCH", "30s")];
    let config = read(&file, &settings).unwrap();
    let notify = config.notify.as_ref().unwrap();
    assert_eq!(
        (notify.expose_url(), config.watch),
        ("http://127.0.0.1:9/told", Some(Duration::from_secs(30)))
    );
    assert_eq!(notify.expose_signing_key(), Some(&b"0123456789abcdef0123456789abcdef"[..]));
    assert_eq!(format!("{notify:?}"), "NotifyConfig { host: \"127.0.0.1\", signed: true }");

    let wrong = [
        faults(&GOOD.replace("[[", "notify = \"https://x\"\n[["), &[]),
        faults(&format!("{GOOD}[notify]\nwebhok = \"https://x\"\n"), &[]),
        faults(
            &format!("watch = \"5s\"\n{GOOD}[notify]\nwebhook = \"http://hooks.example/SECRETPATH\"\n"),
            &[],
        ),
        faults(GOOD, &[("REKEY_NOTIFY_WEBHOOK", "SECRETPATH"), ("REKEY_NOTIFY_SECRET", "c2VjcmV0")]),
        faults(GOOD, &[key]),
    ];
    let wrong = wrong.join("\n");
    assert!(!wrong.contains("SECRETPATH"), "{wrong}");
    insta::assert_snapshot!(wrong, @r#"
    the configuration has a fault:
      rekey.toml:2:10: notify: this is a string; write [notify] with its webhook = "https://…"
    the configuration has 2 faults:
      rekey.toml:5:1: notify: its webhook is missing; write webhook = "https://…"
      rekey.toml:6:1: notify.webhok: this key is not known; did you mean `webhook`?
    the configuration has 2 faults:
      rekey.toml:1:9: watch: 5s is too short; write at least 10s, such as 60s
      rekey.toml:7:11: notify.webhook: messages go over https only; write the https:// URL of the webhook
    the configuration has 2 faults:
      REKEY_NOTIFY_SECRET: this is not the base64 of at least 24 bytes; make one by `openssl rand -base64 32`
      REKEY_NOTIFY_WEBHOOK: this is not a URL; write the https:// URL of the webhook (it is not shown: it is a secret)
    the configuration has a fault:
      REKEY_NOTIFY_SECRET: there is no webhook whose messages it could sign; set REKEY_NOTIFY_WEBHOOK too, or neither
    "#);
}

#[test]
fn a_file_that_is_something_else_is_refused_soon() {
    let text: String = (0..20_000).map(|line| format!("a_key_that_is_not_known_{line} = {line}\n")).collect();
    let faults = load_from(&text, "rekey.toml", &Environment::default()).unwrap_err();
    assert_eq!(faults.iter().count(), 100);
    assert!(faults.to_string().ends_with("\n  and perhaps more: fix these first"), "{faults}");
}

/// What is wrong with the settings of metrics; nothing if they are in order, or there are none.
fn wrong_metrics(settings: &[(&str, &str)]) -> Option<String> {
    match metrics::read(&settings.iter().copied().collect()) {
        Metrics::Wrong(faults) => Some(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        Metrics::Off | Metrics::To(_) => None,
    }
}

#[test]
fn wrong_settings_of_metrics_are_told_without_their_values_and_stop_nothing_else() {
    const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318");
    for (setting, value, said) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "grpc is not spoken here; write http/protobuf"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "s3cret", "write http/protobuf or http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "s3cret:4318", "this is no URL of http or https"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "this is no list of headers"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0As3cret", "this is no list of headers"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a b=s3cret", "this is no list of headers"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%zz", "%25 for a percent sign"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%2", "%25 for a percent sign"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=b,Host=s3cret",
            "host, content-type, content-length and their like",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "Content-Length=3",
            "host, content-type, content-length and their like",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "transfer-encoding=s3cret", "this is no list of headers"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "write a whole number above 0, such as 10000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0", "this is no number of milliseconds"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "s3cret", "write cumulative or delta"),
        ("OTEL_RESOURCE_ATTRIBUTES", "s3cret", "this is no list of attributes"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=s3cret%", "%25 for a percent sign"),
        ("OTEL_RESOURCE_ATTRIBUTES", "s3%cret=a", "this is no list of attributes"),
        ("OTEL_METRICS_EXPORTER", "prometheus", "write otlp, or none"),
        ("OTEL_SDK_DISABLED", "yes", "write true or false"),
    ] {
        let told = wrong_metrics(&[GENERAL, (setting, value)]).unwrap();
        assert!(told.starts_with(&format!("{setting}: ")) && told.contains(said), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
        // What another program is told is none of ours.
        assert_eq!(wrong_metrics(&[(setting, value)]).filter(|_| !setting.ends_with("ENDPOINT")), None);
        let text = format!("[[instance]]\nid = \"{INSTANCE}\"\napps = [\"{APP}\"]\n");
        let settings = [GENERAL, (setting, value)];
        assert!(load_from(&text, "rekey.toml", &settings.into_iter().collect()).is_ok());
    }
    // Secrets go over https, or to this machine.
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret");
    for (endpoint, is_wrong) in [
        ("http://collector.example:4318", true),
        ("https://collector.example:4318", false),
        ("http://127.0.0.1:4318", false),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        assert_eq!(wrong_metrics(&[endpoint]), None, "without a secret");
        let told = wrong_metrics(&[endpoint, headers]);
        assert_eq!(told.is_some_and(|told| told.contains("over https only")), is_wrong, "{endpoint:?}");
    }
    let with_user = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:s3cret@collector.example")];
    assert!(wrong_metrics(&with_user).is_some_and(|told| !told.contains("s3cret")));
}

#[test]
fn metrics_are_off_unless_an_endpoint_is_set() {
    let endpoint = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:4318/v1/metrics");
    for off in [
        &[][..],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        &[endpoint, ("OTEL_METRICS_EXPORTER", "none")],
        &[endpoint, ("OTEL_SDK_DISABLED", "TRUE")],
    ] {
        assert!(matches!(metrics::read(&off.iter().copied().collect()), Metrics::Off), "{off:?}");
    }
    let on = [endpoint, ("OTEL_SDK_DISABLED", "False"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "")];
    let Metrics::To(config) = metrics::read(&on.into_iter().collect()) else { panic!("they are on") };
    let shown = format!("{config:?}");
    insta::assert_snapshot!(shown, @r#"MetricsConfig { origin: "http://127.0.0.1:4318", headers: 0, protocol: Protobuf, temporality: Cumulative, timeout: 10s, .. }"#);
}
