//! The tables of settings and of commands against what the program says of itself.

use std::collections::BTreeSet;
use std::time::Duration;

use signalr_rekey::config::{Config, Environment, PolicySetting, load_from, policy_settings};

use super::common::program::{program, text};
use super::markdown::{Document, codes};

const SETTINGS: &str = "docs/configuration.md";
const COMMANDS: &str = "docs/commands.md";

const INSTANCE: &str =
    "id = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\n";
const APPS: &str =
    "apps = [{ id = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/web\" }]\n";

fn load(head: &str, instance: &str, settings: &[(&str, &str)]) -> Result<Config, String> {
    let file = format!("{head}[[instance]]\n{instance}{INSTANCE}{APPS}");
    let environment: Environment = settings.iter().copied().collect();
    load_from(&file, "rekey.toml", &environment).map_err(|faults| faults.to_string())
}

/// The names in a fault that lists what is known.
fn known(fault: &str, before: &str) -> BTreeSet<String> {
    let list =
        fault.split(before).nth(1).unwrap_or_else(|| panic!("no list in {fault}")).lines().next().unwrap();
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

/// Nothing that is known is like it.
const STRANGE: &str = "qqqqqqqqqqqqqqqq";

fn known_keys(file: (&str, &str)) -> BTreeSet<String> {
    known(&load(file.0, file.1, &[]).unwrap_err(), "known here are ")
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The headings of the tables of settings: what a service may set for itself, and what it may not.
const TABLES: [&str; 2] = ["Of all services, or of one", "Of the deployment"];

/// The rows of the tables of settings: those that have a name in the file or among the app settings.
fn rows() -> Vec<Vec<String>> {
    let rows = TABLES.map(|table| Document::read(SETTINGS).rows(table)).concat();
    assert!(rows.iter().all(|row| row.len() == 4), "{rows:?}");
    rows
}

#[test]
fn the_table_of_settings_has_every_key_of_the_file_and_no_other() {
    let rows = rows();
    let named: Vec<String> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    let strange = format!("{STRANGE} = 1\n");
    let top = known_keys((&strange, ""));
    let in_table: BTreeSet<String> = named.iter().filter(|key| *key != "[notify] webhook").cloned().collect();
    assert_eq!(&in_table | &set(&["notify", "instance"]), top);
    assert_eq!(in_table.len() + 1, named.len(), "none stands twice, and [notify] is there");

    // The policy: what an instance may set for itself has a table of its own.
    let lists = [
        "id",
        "apps",
        "vault_secrets",
        "app_configuration",
        "container_apps",
        "static_web_apps",
        "reporters",
        "manual",
    ];
    let policy = &known_keys(("", &strange)) - &set(&lists);
    let own = Document::read(SETTINGS).rows(TABLES[0]);
    assert_eq!(own.iter().flat_map(|row| codes(&row[0])).collect::<BTreeSet<_>>(), policy);

    let document = Document::read(SETTINGS).prose();
    let app = format!("[[instance]]\n{INSTANCE}apps = [{{ {STRANGE} = 1 }}]\n");
    let fault = load_from(&app, "rekey.toml", &Environment::default()).unwrap_err().to_string();
    for key in known(&fault, "known here are ") {
        assert!(document.contains(&format!("{key} = ")), "an app's {key} is not in {SETTINGS}");
    }
}

#[test]
fn the_table_of_settings_has_every_app_setting_and_no_other() {
    let fault = load("", "", &[("REKEY_QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ", "1")]).unwrap_err();
    let ours = known(&fault, "known are ");
    let named: Vec<String> = rows().iter().flat_map(|row| codes(&row[1])).collect();
    let (of_ours, others): (BTreeSet<_>, BTreeSet<_>) =
        named.into_iter().partition(|name| name.starts_with("REKEY_"));
    assert_eq!(of_ours, ours);
    let mut looked_at = super::sources("src");
    looked_at.push_str(&std::fs::read_to_string(super::root().join("RotateKeys/function.json")).unwrap());
    for name in &others {
        assert!(looked_at.contains(name.as_str()), "{name} is nowhere looked at");
    }
    assert_eq!(others, set(&["AZURE_CLOUD", "AZURE_CLIENT_ID", "ROTATION_SCHEDULE", "RUST_LOG"]));
}

#[test]
fn the_table_of_settings_has_the_defaults_and_the_limits() {
    let config = load("", "", &[]).unwrap();
    let rows = rows();
    let row = |key: &str| rows.iter().find(|row| codes(&row[0]).iter().any(|code| code == key)).unwrap();
    let told = |key: &str| humantime::parse_duration(&codes(&row(key)[2])[0]).unwrap();
    for PolicySetting { key, app_setting, default } in policy_settings() {
        match humantime::parse_duration(&default) {
            Ok(default) => assert_eq!(told(key), default, "{key}"),
            Err(_) => assert_eq!(codes(&row(key)[2])[0].trim_matches('"'), default, "{key}"),
        }
        assert_eq!(codes(&row(key)[1]).first().map(String::as_str), app_setting, "{key}");
    }
    for (key, default) in [("notice_budget", config.notice_budget), ("timer_budget", config.timer_budget)] {
        assert_eq!(told(key), default, "{key}");
    }
    assert!(config.watch.is_none() && config.notify.is_none(), "never, and nobody");
    for key in ["notice_budget", "timer_budget", "watch"] {
        let limit = humantime::parse_duration(codes(&row(key)[3]).last().unwrap()).unwrap();
        let (inside, outside) = (limit, limit + Duration::from_secs(1));
        let (inside, outside) =
            if key == "watch" { (inside, limit - Duration::from_secs(1)) } else { (inside, outside) };
        let written = |limit: Duration| format!("{key} = \"{}s\"\n", limit.as_secs());
        assert!(
            load(&written(inside), "", &[]).is_ok() && load(&written(outside), "", &[]).is_err(),
            "{key}"
        );
    }
}

#[test]
fn the_sample_of_the_document_is_a_configuration() {
    let blocks = Document::read(SETTINGS).blocks();
    let samples: Vec<_> = blocks.iter().filter(|block| block.info == "toml").collect();
    assert_eq!(samples.len(), 1);
    let config =
        load_from(&samples[0].text.replace('…', "s"), "rekey.toml", &Environment::default()).unwrap();
    assert_eq!(config.instances[0].apps.len(), 2);
}

pub(super) fn help(arguments: &[&str]) -> String {
    let output = program(&[arguments, &["--help"]].concat()).output().unwrap();
    assert!(output.status.success());
    text(&output.stdout)
}

/// The subcommands that `--help` names.
pub(super) fn subcommands() -> BTreeSet<String> {
    listed().into_iter().collect()
}

/// The same, in its order.
fn listed() -> Vec<String> {
    let help = help(&[]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let named = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

/// The flags of a subcommand but for those that all have.
pub(super) fn flags(subcommand: &str) -> BTreeSet<String> {
    let help = help(&[subcommand]);
    let options = help.split("Options:\n").nth(1).unwrap();
    let words =
        options.lines().map(str::trim_start).filter(|line| line.starts_with("--") || line.starts_with("-h"));
    let flags = words.flat_map(|line| line.split([' ', ',', '=', '[']).find(|word| word.starts_with("--")));
    flags.filter(|flag| !matches!(*flag, "--help" | "--config")).map(str::to_owned).collect()
}

#[test]
fn the_table_of_commands_has_every_command_and_every_flag() {
    let groups = ["To look", "To act", "To serve, to try and to install"];
    let rows = groups.map(|group| Document::read(COMMANDS).rows(group)).concat();
    let named: Vec<String> = rows.iter().map(|row| codes(&row[0])[0].clone()).collect();
    let first = |row: &String| row.split_whitespace().next().unwrap().to_owned();
    let mut commands: Vec<String> = named.iter().map(first).collect();
    commands.dedup();
    assert_eq!(commands, listed(), "in the order of --help");
    for subcommand in subcommands().iter().filter(|name| *name != "simulate") {
        let mine =
            named.iter().filter(|row| first(row) == *subcommand).flat_map(|row| row.split_whitespace());
        let mine = mine
            .filter_map(|word| word.trim_matches(['[', ']']).split('[').next())
            .filter(|word| word.starts_with("--"));
        assert_eq!(mine.map(str::to_owned).collect::<BTreeSet<_>>(), flags(subcommand), "{subcommand}");
    }
    let codes =
        help(&[]).split("Exit codes:").nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let document = Document::read(COMMANDS).prose().split_whitespace().collect::<Vec<_>>().join(" ");
    for code in codes.trim_end_matches('.').split(", ") {
        let start: String = code.chars().take(16).collect();
        assert!(document.contains(&start), "{COMMANDS} says nothing of exit code {code}");
    }
}
