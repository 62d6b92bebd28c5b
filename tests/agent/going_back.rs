//! An app that does not work with the new key: the old file is put back where that helps.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use embedded_azure::KeyType;

use super::machine::{Machine, read, string};

/// The app works as long as its file is not the new one.
fn only_with(machine: &Machine, text: String) {
    let path = machine.files[0].clone();
    machine.receiver.health(move || if read(&path) == text { 200 } else { 500 });
}

#[tokio::test]
async fn a_file_is_put_back_while_the_service_accepts_the_old_key() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let path = machine.file(".env", &string(&old));
    machine.more = format!(
        "[health]\nurl = \"{}/health\"\nwithin = \"1s\"\n{}",
        machine.receiver.base,
        machine.reload("")
    );
    only_with(&machine, string(&old));
    for round in 1..=2 {
        let ran = machine.once().await;
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        assert!(
            ran.said.contains(&format!("the app does not work: {}/health", machine.receiver.base))
                && ran.said.contains("it answered 500"),
            "{}",
            ran.said
        );
        assert!(ran.said.contains("have the old key"), "{}", ran.said);
        assert_eq!((read(&path), machine.reloads()), (string(&old), 2 * round), "{}", ran.said);
        assert_eq!(machine.names(), [".env"]);
        assert_eq!(
            machine.receiver.last(),
            Some(old.fingerprint().to_string()),
            "it is told which it works with"
        );
        let ran = machine.once().await;
        assert!(
            ran.code == Some(1) && ran.said.contains("is not restarted for it again before"),
            "{}",
            ran.said
        );
        assert_eq!((read(&path), machine.reloads()), (string(&old), 2 * round), "{}", ran.said);
        machine.rests();
    }
    machine.receiver.health(|| 200);
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(read(&path), string(&machine.wanted()));
    assert_eq!(machine.receiver.last(), Some(machine.wanted().fingerprint().to_string()));
}

/// The new key is no worse than one that the service does not accept.
#[tokio::test]
async fn a_file_is_not_put_back_to_a_key_that_is_refused() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let path = machine.file(".env", &string(&old));
    machine.force(&KeyType::ALL);
    machine.more = machine
        .reload("echo AccessKey was \"$(cat app/.env 2>/dev/null)\"; echo it is out of order >&2; exit 7");
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(
        ran.said.contains("failed (exit code 7)") && ran.said.contains("it is out of order"),
        "{}",
        ran.said
    );
    assert!(ran.said.contains("does not accept the old one any more"), "{}", ran.said);
    assert_eq!(read(&path), string(&machine.wanted()));
    assert_eq!(machine.names(), [".env", ".env.rekey-old"], "its old text stays until the app works");
    assert_eq!(
        machine.receiver.last(),
        Some(old.fingerprint().to_string()),
        "nobody knows whether it was started with the new one"
    );

    machine.rests();
    machine.more = machine.reload("");
    let ran = machine.once().await;
    assert_eq!((ran.code, machine.names()), (Some(0), vec![".env".to_owned()]), "{}", ran.said);
    assert_eq!(machine.receiver.last(), Some(machine.wanted().fingerprint().to_string()));
}

/// What a command says is told, and no key that it says, in whatever form.
#[tokio::test]
async fn what_a_reload_command_says_is_told_without_keys() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let path = machine.file(".env", &string(&old));
    let path = path.display();
    machine.more = machine.reload(&format!(
        "cat '{path}'; base64 -w0 '{path}'; echo; sed 's/=/%3D/g' '{path}'; echo; echo $REKEY_REPORT_CODE; echo the end; exit 1"
    ));
    let ran = machine.once().await;
    assert!(ran.code == Some(1) && ran.said.contains("[a line with a key]"), "{}", ran.said);
    assert!(ran.said.contains("the end"), "{}", ran.said);
    for key in [machine.wanted(), old] {
        for part in [&key.expose()[..20], &key.expose()[20..]] {
            assert!(!ran.said.contains(part), "{}", ran.said);
        }
    }
}

#[tokio::test]
async fn a_reload_command_that_does_not_end_is_stopped() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let path = machine.file(".env", &string(&old));
    let waits = machine
        .reload("test -e slow && exec sleep 600; exit 0")
        .replace("[reload]\n", "[reload]\nwithin = \"1s\"\n");
    machine.more = waits.replace("test -e slow", &format!("test -e '{}'", machine.path("slow").display()));
    fs::write(machine.path("slow"), "").unwrap();
    let begun = std::time::Instant::now();
    let ran = machine.once().await;
    assert!(ran.code == Some(1) && ran.said.contains("did not end within 1s"), "{}", ran.said);
    assert!(
        ran.said.contains("does not work with it either"),
        "the second one did not end as well: {}",
        ran.said
    );
    assert!(begun.elapsed().as_secs() < 60);
    assert_eq!(read(&path), string(&old));
    fs::remove_file(machine.path("slow")).unwrap();
    machine.rests();
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(read(&path), string(&machine.wanted()));
}

/// Somebody edits the file between the reload and the way back: of what he wrote nothing is lost.
#[tokio::test]
async fn what_was_edited_meanwhile_is_kept_when_the_old_key_is_put_back() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let path = machine.file(".env", &string(&old));
    machine.more = format!(
        "[health]\nurl = \"{}/health\"\nwithin = \"1s\"\n{}",
        machine.receiver.base,
        machine.reload("")
    );
    let edited = Arc::new(AtomicBool::new(false));
    let (file, once, was) = (path.clone(), Arc::clone(&edited), string(&old));
    machine.receiver.health(move || {
        let text = read(&file);
        if !once.swap(true, Ordering::SeqCst) {
            fs::write(&file, format!("{text}\nADDED=1\n")).unwrap();
        }
        if read(&file).starts_with(&was) { 200 } else { 500 }
    });
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(edited.load(Ordering::SeqCst));
    assert_eq!(read(&path), format!("{}\nADDED=1\n", string(&old)), "{}", ran.said);
    assert_eq!(machine.names(), [".env"]);
}

/// Somebody puts the old file back: it is replaced again, and until then nobody is told that the new key is in use.
#[tokio::test]
async fn an_old_file_that_comes_back_is_found() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let path = machine.file(".env", &string(&old));
    assert_eq!(machine.once().await.code, Some(0));
    fs::write(&path, string(&old)).unwrap();
    machine.sim.with(|state| state.deny("/", "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    assert_eq!(machine.once().await.code, Some(1));
    machine.sim.with(embedded_azure::State::allow_all);
    machine.more = machine.reload("exit 1");
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert_eq!(
        machine.receiver.last(),
        Some(old.fingerprint().to_string()),
        "it may have been started with it"
    );
    machine.rests();
    machine.more = String::new();
    let ran = machine.once().await;
    assert_eq!((ran.code, read(&path)), (Some(0), string(&machine.wanted())), "{}", ran.said);
}

/// Somebody puts the old file back, and the app works with no key at all, so it is not the key's fault: the old text stays,
/// and its key must not die under it.
#[tokio::test]
async fn a_key_that_came_back_is_reported_whether_or_not_the_app_works() {
    let mut machine = Machine::start().await;
    let (old, new) = (machine.other(), machine.wanted());
    let path = machine.file(".env", &string(&old));
    assert_eq!(machine.once().await.code, Some(0));
    assert_eq!(machine.receiver.last(), Some(new.fingerprint().to_string()));
    fs::write(&path, string(&old)).unwrap();
    machine.more = format!(
        "[health]\nurl = \"{}/health\"\nwithin = \"1s\"\n{}",
        machine.receiver.base,
        machine.reload("")
    );
    machine.receiver.health(|| 500);
    let ran = machine.once().await;
    assert!(ran.code == Some(1) && ran.said.contains("so it is not the key"), "{}", ran.said);
    assert_eq!(read(&path), string(&old));
    assert_eq!(machine.receiver.last(), Some(old.fingerprint().to_string()), "{}", ran.said);
}

/// Between two tries it is said what failed, which need not be the app; and a command that was mended is tried at once.
#[tokio::test]
async fn a_mended_reload_command_is_tried_at_once() {
    let mut machine = Machine::start().await;
    machine.file(".env", &string(&machine.other()));
    machine.more = machine.reload("exit 7");
    let first = machine.once().await;
    assert!(first.code == Some(1) && first.said.contains("exit code 7"), "{}", first.said);
    let reloads = machine.reloads();
    let second = machine.once().await;
    assert_eq!((second.code, machine.reloads()), (Some(1), reloads), "{}", second.said);
    assert!(
        second.said.contains("failed (exit code 7)") && !second.said.contains("the app does not work"),
        "{}",
        second.said
    );
    machine.more = machine.reload("");
    let third = machine.once().await;
    assert_eq!((third.code, machine.reloads()), (Some(0), reloads + 1), "{}", third.said);
    assert_eq!(read(&machine.files[0]), string(&machine.wanted()));
}
