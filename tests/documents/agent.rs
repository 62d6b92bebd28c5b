//! docs/agent.md against what the agent takes.

use std::collections::BTreeSet;

use signalr_rekey::config::{AgentConfig, Environment, load_agent_from, load_from};

use super::markdown::{Document, codes};

fn load(text: &str) -> Result<AgentConfig, String> {
    let environment: Environment = [("REKEY_REPORT_CODE", "code")].into_iter().collect();
    // A path of Windows is a whole one there alone, and the file with the code is on the machine.
    let text = text.replace(r"'C:\", "'/").replace("/…/", "/s/");
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("code_file")).collect();
    load_agent_from(&text.join("\n"), "agent.toml", &environment).map_err(|faults| faults.to_string())
}

#[test]
fn every_file_in_it_is_one_that_the_agent_takes() {
    let blocks = Document::read("docs/agent.md").blocks();
    let of_agent = |text: &str| text.starts_with("secret = ");
    let files: Vec<_> = blocks.iter().filter(|block| block.info == "toml" && of_agent(&block.text)).collect();
    assert!(files.len() >= 5, "{}", files.len());
    for file in files {
        let config = load(&file.text).unwrap_or_else(|faults| panic!("{faults}: {}", file.text));
        assert!(!config.files.is_empty());
    }
    let others: Vec<_> =
        blocks.iter().filter(|block| block.info == "toml" && !of_agent(&block.text)).collect();
    assert_eq!(others.len(), 1, "the other end of it");
    let text = others[0].text.replace('…', "s");
    let config =
        load_from(&text, "rekey.toml", &Environment::default()).unwrap_or_else(|faults| panic!("{faults}"));
    let service = &config.instances[0];
    assert_eq!((service.vault_secrets.len(), service.external.len()), (1, 1));
}

#[test]
fn the_table_of_settings_has_every_key_with_its_default_and_no_other() {
    let rows = Document::read("docs/agent.md").rows("Settings");
    let named: BTreeSet<String> =
        rows.iter().map(|row| codes(&row[0])[0].trim_matches(['[', ']']).to_owned()).collect();
    let known = |text: &str, path: &str| -> BTreeSet<String> {
        let faults = load(text).unwrap_err();
        let line =
            faults.lines().find(|line| line.contains(path) && line.contains("known here are ")).unwrap();
        line.split("known here are ").nth(1).unwrap().split(", ").map(str::to_owned).collect()
    };
    assert_eq!(named, known("qqqqqqqqqqqq = 1", "agent.toml:1"));
    for table in ["reload", "health", "report"] {
        let row = rows.iter().find(|row| row[0] == format!("`[{table}]`")).unwrap();
        for key in known(&format!("[{table}]\nqqqqqqqqqqqq = 1"), &format!(" {table}: this key")) {
            assert!(codes(&row[2]).contains(&key), "{table} has {key}");
        }
    }
    let least =
        "secret = \"https://kv.vault.azure.net/secrets/a\"\nfiles = [\"/a\"]\n[reload]\ncommand = [\"a\"]\n";
    let config = load(&format!("{least}[health]\nurl = \"http://127.0.0.1/\"\n")).unwrap();
    let default = |key: &str| codes(&rows.iter().find(|row| row[0].contains(key)).unwrap()[1])[0].clone();
    assert_eq!(humantime::parse_duration(&default("every")), Ok(config.every));
    assert_eq!(default("state"), config.state.display().to_string());
    assert_eq!((default("verify").as_str(), config.verify), ("data-plane", true));
    assert_eq!(
        (default("identity").as_str(), format!("{:?}", config.identity)),
        ("managed", "Managed".to_owned())
    );
    let told = |key: &str| {
        let row = rows.iter().find(|row| row[0].contains(key)).unwrap();
        row[2].split("`within` (`").nth(1).unwrap().split('`').next().unwrap().to_owned()
    };
    assert_eq!(told("[reload]"), "1m");
    assert_eq!(humantime::parse_duration(&told("[health]")), Ok(config.health.unwrap().within));
}
