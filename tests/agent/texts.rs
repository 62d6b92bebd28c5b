//! The texts in which an app's key stands on a machine.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use embedded_azure::KeyType;
use rekey_core::model::Key;

use super::machine::{HOST, Machine, SERVICE, read, string};

/// Files as people have them, with a key in each; what stands around it must stay to the letter.
fn files(key: &Key) -> Vec<(&'static str, String)> {
    let (key, string) = (key.expose(), string(key));
    let escaped = string.replace('+', "\\u002B");
    vec![
        (
            "appsettings.json",
            format!(
                "\u{feff}{{\r\n  // of the service\r\n  \"Azure\": {{ \"SignalR\": {{ \"ConnectionString\": \"{escaped}\" }} }},\r\n  \
                 \"Logging\": {{ \"Path\": \"C:\\\\logs\\\\x\" }}\r\n}}\r\n"
            ),
        ),
        (
            "web.config",
            format!(
                "<?xml version=\"1.0\"?>\n<configuration>\n  <connectionStrings>\n    <add name=\"Azure:SignalR:ConnectionString\" \
                 connectionString=\"{string}\" />\n    <add name=\"Db\" connectionString=\"Server=.;Password=&quot;a&amp;b&quot;\" \
                 />\n  </connectionStrings>\n</configuration>\n"
            ),
        ),
        (".env", format!("# {string}\nA=1\nAzure__SignalR__ConnectionString={string}\nB=\"x y\"\n")),
        (
            "compose.yml",
            format!(
                "services:\n  chat:\n    environment:\n      - Azure__SignalR__ConnectionString={string}\n      OTHER: \
                 \"100%\"\n  b:\n    environment:\n      KEY: '{string}'\n"
            ),
        ),
        (
            "nginx.conf",
            format!(
                "location ~ \\.php$ {{\n  fastcgi_param SIGNALR \"{string}\";\n  rewrite ^/(.*)$ /x?y=$1 break;\n}}\n"
            ),
        ),
        ("apache.conf", format!("LogFormat \"%h %l %u\" x\nSetEnv AzureSignalR \"{string}\"\n")),
        (
            "chat.service",
            format!(
                "[Service]\nEnvironment=\"Azure__SignalR__ConnectionString={string}\"\nExecStart=/bin/chat\n"
            ),
        ),
        ("settings.ini", format!("[signalr]\nhost = {HOST}\nstring = {string}\nname = Ünï\n")),
        ("bare.yml", format!("endpoint: https://{HOST}\nkey: {key}\nother: value\n")),
    ]
}

/// All of them get the key of the secret, whatever stands around it, and nothing else of them changes.
#[tokio::test]
async fn the_key_is_replaced_in_every_text_and_nothing_else() {
    let mut machine = Machine::start().await;
    let (old, new) = (machine.wanted(), {
        machine.force(&[KeyType::Primary]);
        machine.wanted()
    });
    assert_ne!(old, new);
    // A key that stands by itself is not known by the service's host: it was placed by the agent before, or was current when
    // the agent first saw it. So all files begin with the current key.
    for (name, text) in files(&new) {
        let path = machine.file(name, &text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let first = machine.once().await;
    assert_eq!(first.code, Some(0), "{}", first.said);
    assert_eq!(machine.reloads(), 1, "what a process runs with that it never saw start is not known");
    for round in 0..2 {
        machine.force(&KeyType::ALL);
        let ran = machine.once().await;
        assert_eq!(ran.code, Some(0), "{}", ran.said);
        assert_eq!(machine.reloads(), 2 + round);
        let wanted = machine.wanted();
        for (name, text) in files(&wanted) {
            let path = machine.path("app").join(name);
            assert_eq!(read(&path), text, "{name}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "{name}");
        }
        assert_eq!(machine.receiver.last(), Some(wanted.fingerprint().to_string()));
        assert_eq!(
            machine.names().len(),
            files(&wanted).len(),
            "nothing is left beside: {:?}",
            machine.names()
        );
    }
    assert_eq!(fs::metadata(machine.path("state/agent.json")).unwrap().mode() & 0o777, 0o600);
    let report = &machine.receiver.reports()[0];
    assert_eq!((&report["instance"], &report["name"]), (&SERVICE.into(), &"web-01".into()));

    // Nothing to do is nothing done, but that it is told once more.
    let (before, told) = (machine.reloads(), machine.receiver.reports().len());
    let ran = machine.once().await;
    assert_eq!((ran.code, machine.reloads()), (Some(0), before), "{}", ran.said);
    assert_eq!(machine.receiver.reports().len(), told + 1);
}

/// What it may do is to read that one secret: it asks nothing else of Azure.
#[tokio::test]
async fn it_asks_for_the_secret_and_for_nothing_else() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    machine.file(".env", &string(&old));
    machine.sim.with(|state| {
        state.deny("/", "Microsoft.KeyVault/vaults/secrets/setSecret/action");
        state.deny("/", "Microsoft.KeyVault/vaults/secrets/readMetadata/action");
        state.deny("/", "Microsoft.SignalRService/SignalR/listkeys/action");
    });
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let asked: Vec<String> =
        machine.sim.requests().into_iter().map(|one| one.operation.to_string()).collect();
    let others: Vec<&String> = asked
        .iter()
        .filter(|one| {
            !one.ends_with("_GetToken") && *one != "KeyVault_GetSecret" && *one != "DataPlane_Exists"
        })
        .collect();
    assert!(others.is_empty() && asked.iter().any(|one| one == "KeyVault_GetSecret"), "{asked:?}");
}

/// Links are followed, so that it is the file that is replaced and not the link.
#[tokio::test]
async fn a_link_stays_a_link() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let real = machine.path("real.env");
    fs::write(&real, string(&old)).unwrap();
    let link = machine.path("app/.env");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    machine.files.push(link.clone());
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read(&real), string(&machine.wanted()));
}

/// Who runs as another than the file's owner gives the new file to that owner. (Only root may, as which this is run in CI.)
#[tokio::test]
async fn a_file_keeps_its_owner() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let path = machine.file(".env", &string(&old));
    if std::os::unix::fs::chown(&path, Some(12), Some(34)).is_err() {
        eprintln!("not root: a file of another owner is not tried");
        return;
    }
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (12, 34));
}

/// An app that reads its file by itself needs no command; it is given its time.
#[tokio::test]
async fn an_app_that_reads_its_file_by_itself_needs_no_command() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    machine.file(".env", &string(&old));
    machine.more = "reads_file_within = \"1s\"\n".into();
    let begun = std::time::Instant::now();
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(begun.elapsed().as_millis() >= 1000);
    assert_eq!(machine.receiver.last(), Some(machine.wanted().fingerprint().to_string()));
}
