//! `agent.toml`: every fault at once, by its line, with nothing of what was written; and nothing is done.

use std::fs;

use signalr_rekey::config::{AgentConfig, Code, Environment, TakingEffect, load_agent_from};

use super::machine::Machine;

const GOOD: &str = "secret = \"https://kv.vault.azure.net/secrets/chat\"\nfiles = [\"/srv/chat/.env\"]\n";
const RELOAD: &str = "[reload]\ncommand = [\"systemctl\", \"restart\", \"chat\"]\n";

fn load(text: &str) -> Result<AgentConfig, String> {
    let environment: Environment = [("REKEY_REPORT_CODE", "hunter2")].into_iter().collect();
    load_agent_from(text, "agent.toml", &environment).map_err(|faults| faults.to_string())
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = load(&format!("{GOOD}{RELOAD}")).unwrap();
    assert_eq!(config.every.as_secs(), 60);
    assert!(config.verify && config.health.is_none() && config.reporting.is_none());
    assert_eq!(config.state.to_str(), Some("/var/lib/signalr-rekey/agent.json"));
    let TakingEffect::Reload { command, within } = config.taking_effect else { panic!("a command") };
    assert_eq!((command.len(), within.as_secs()), (3, 60));
    let more = "[report]\nurl = \"https://f.azurewebsites.net/api/OnReport\"\ninstance = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\nname = \"iis-01\"\n";
    let config = load(&format!("\u{feff}{GOOD}reads_file_within = \"0s\"\n{more}")).unwrap();
    assert_eq!(config.taking_effect, TakingEffect::ByItself { within: std::time::Duration::ZERO });
    let reporting = config.reporting.unwrap();
    assert!(matches!(reporting.code, Code::Given(_)));
    assert!(!format!("{reporting:?}").contains("hunter2"));
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let text = "
secret = \"Endpoint=https://a;AccessKey=hunter2;\"
files = [\".env\", \"/a\", \"/a\", 7]
evry = \"1m\"
verify = \"maybe\"
identity = \"me\"
state = \"agent.json\"
every = 5
reads_file_within = \"soon\"
[reload]
comand = []
within = \"0s\"
[health]
url = \"ftp://hunter2\"
[report]
url = \"https://f.azurewebsites.net/api/OnReport?code=hunter2\"
name = \"\"
";
    let faults = load(text).unwrap_err();
    assert!(!faults.contains("hunter2"), "{faults}");
    insta::assert_snapshot!(faults, @r#"
    the configuration has 17 faults:
      agent.toml:2:10: secret: this looks like a connection string, which is a secret and belongs in no file: take it out; write secret = "https://{vault}.vault.azure.net/secrets/{name}"
      agent.toml:3:10: files[0]: this is not a whole path, from the root or the drive on; write one such as /srv/chat/.env, on Windows between single quotes
      agent.toml:3:24: files[2]: this file is twice in this list
      agent.toml:3:30: files[3]: this is an integer; write the path of a file in which the app's key stands
      agent.toml:4:1: evry: this key is not known; did you mean `every`?
      agent.toml:5:10: verify: this is not known here; write data-plane or none
      agent.toml:6:12: identity: this is not known here; write managed or developer
      agent.toml:7:9: state: this is not a whole path, from the root or the drive on; write one such as /var/lib/signalr-rekey/agent.json, on Windows between single quotes
      agent.toml:8:9: every: a number alone has no unit: put s, m, h or d behind it, as in "1m"
      agent.toml:9:21: reads_file_within: this is not a duration; write 1m
      agent.toml:10:1: reload: its command is missing; write [reload] with its command = [ "systemctl", "restart", "…" ]
      agent.toml:11:1: reload.comand: this key is not known; did you mean `command`?
      agent.toml:12:10: reload.within: zero is too short; write 1m
      agent.toml:14:7: health.url: this is not a URL of http or https; write url = "http://127.0.0.1:…"
      agent.toml:15:1: report: its instance is missing; write instance = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}"
      agent.toml:16:7: report.url: the URL has more than an address; write it without its code, and the code into the file of code_file or into REKEY_REPORT_CODE
      agent.toml:17:8: report.name: this is not a name of letters, digits, '.', '_' and '-'; write the reporter's name in rekey.toml, such as name = "iis-01"
    "#);
}

#[test]
fn what_is_missing_is_told() {
    insta::assert_snapshot!(load("[report]\n").unwrap_err(), @r#"
    the configuration has 6 faults:
      agent.toml:1:1: the secret is missing; write secret = "https://{vault}.vault.azure.net/secrets/{name}"
      agent.toml:1:1: no file is named; write files = [ "…" ]: each file in which the app's key stands
      agent.toml:1:1: nothing says how the app comes to use the new key; write [reload] with its command = [ "…" ], or reads_file_within = "…" where the app reads its file anew by itself
      agent.toml:1:1: report: its url is missing; write url = "https://….azurewebsites.net/api/OnReport"
      agent.toml:1:1: report: its instance is missing; write instance = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}"
      agent.toml:1:1: report: its name is missing; write the reporter's name in rekey.toml, such as name = "iis-01"
    "#);
    let both = load(&format!("{GOOD}reads_file_within = \"1m\"\n{RELOAD}")).unwrap_err();
    insta::assert_snapshot!(both, @r#"
    the configuration has a fault:
      agent.toml:3:21: reads_file_within: with a [reload] command the app does not read its file by itself; write one of the two
    "#);
    assert!(load("secret = [").unwrap_err().contains("this is not TOML: "));
    let none = Environment::default();
    let more = "[report]\nurl = \"https://f.azurewebsites.net/api/OnReport\"\ninstance = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\nname = \"iis-01\"\n";
    let no_code = load_agent_from(&format!("{GOOD}{RELOAD}{more}"), "agent.toml", &none).unwrap_err();
    insta::assert_snapshot!(no_code.to_string(), @r#"
    the configuration has a fault:
      agent.toml:5:1: report: the code of the function is missing; write code_file = "…" with the file that holds it, or set REKEY_REPORT_CODE
    "#);
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("code");
    fs::write(&empty, " \n").unwrap();
    let with_file = format!("{more}code_file = {empty:?}\n");
    let empty = load_agent_from(&format!("{GOOD}{RELOAD}{with_file}"), "agent.toml", &none).unwrap_err();
    assert!(empty.to_string().contains("this file is empty; write the function's code into it"), "{empty}");
    let of_version = GOOD.replace("/secrets/chat", "/secrets/chat/0123456789abcdef0123456789abcdef");
    assert!(load(&format!("{of_version}{RELOAD}")).unwrap_err().contains("the URL of one version"));
    let elsewhere = GOOD.replace("vault.azure.net", "example.com");
    assert!(load(&format!("{elsewhere}{RELOAD}")).unwrap_err().contains("not the host of a Key Vault"));
    let http = load(&format!("{GOOD}{RELOAD}{}", more.replace("https:", "http:"))).unwrap_err();
    insta::assert_snapshot!(http, @r#"
    the configuration has a fault:
      agent.toml:6:7: report.url: reports go over https only; write url = "https://….azurewebsites.net/api/OnReport"
    "#);
}

/// With a fault nothing is read, asked or changed, and the exit code says that it is the configuration.
#[tokio::test]
async fn with_a_fault_nothing_is_done() {
    let mut machine = Machine::start().await;
    machine.file(".env", "A=1");
    machine.more = "evry = \"1m\"\n".into();
    let ran = machine.once().await;
    assert!(ran.code == Some(2) && ran.said.contains("agent.toml:"), "{}", ran.said);
    assert!(machine.sim.requests().is_empty() && !machine.path("state").exists());
    let mut command = machine.command(&["--once"]);
    fs::remove_file(machine.path("agent.toml")).unwrap();
    let ran = machine.ran(command.output().await.unwrap());
    assert!(ran.code == Some(2) && ran.said.contains("cannot read "), "{}", ran.said);
}
