//! What cannot be seen or done: it is told in each round, and fails it, and no file is the worse for it.

use std::fs;
use std::time::Duration;

use embedded_azure::{BarrierKind, KeyType};

use super::machine::{Machine, kill, read, string};
use super::receiver::{NO_KEY_OF_IT, SAYS_NOTHING};

/// What is wrong, what is done about it beforehand, and what is told.
type Case = (&'static str, fn(&mut Machine), &'static str);

#[tokio::test]
async fn what_keeps_it_from_its_work_is_told_and_changes_nothing() {
    let cases: [Case; 14] = [
        ("no file", |machine| fs::remove_file(&machine.files[0]).unwrap(), "cannot read "),
        ("no text", |machine| fs::write(&machine.files[0], b"\xff\xfe").unwrap(), "is not UTF-8"),
        (
            "too large",
            |machine| fs::write(&machine.files[0], "x".repeat(5 << 20)).unwrap(),
            "larger than 4 MiB",
        ),
        ("no key", |machine| fs::write(&machine.files[0], "A=1").unwrap(), "holds no key of the service"),
        (
            "placeholder",
            |machine| {
                let text = "A=Endpoint=https://sr-demo.service.signalr.net;AccessKey=${KEY};";
                fs::write(&machine.files[0], text).unwrap();
            },
            "stands a placeholder",
        ),
        (
            "base64 within a word",
            |machine| {
                let text = format!("k=prefix{}suffix", machine.wanted().expose());
                fs::write(&machine.files[0], text).unwrap();
            },
            "in a form in which it cannot be replaced",
        ),
        (
            "left by somebody",
            |machine| fs::write(machine.path("app/.env.rekey-old"), "what is this").unwrap(),
            "no exchange of this agent is on record",
        ),
        (
            "no role",
            |machine| {
                machine
                    .sim
                    .with(|state| state.deny("/", "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
            },
            "give the identity Microsoft.KeyVault/vaults/secrets/getSecret/action",
        ),
        (
            "firewall",
            |machine| machine.sim.with(|state| state.bar("/", BarrierKind::VaultFirewall)),
            "network rules do not let this machine in",
        ),
        (
            "disabled",
            |machine| {
                machine.sim.with(|state| state.enable_secret("kv-demo", "signalr", None, false)).unwrap();
            },
            "enable the newest version of the secret",
        ),
        (
            "deleted",
            |machine| {
                machine.sim.with(|state| state.delete_secret("kv-demo", "signalr")).unwrap();
            },
            "there is no such secret",
        ),
        (
            "no string",
            |machine| machine.sim.with(|state| state.set_secret("kv-demo", "signalr", "hunter2")).unwrap(),
            "holds no connection string with a key",
        ),
        (
            "an old key in the secret",
            |machine| drop(machine.sim.regenerate("sr-demo", &[KeyType::Primary])),
            "does not accept the key of the secret",
        ),
        (
            "state",
            |machine| {
                fs::create_dir(machine.path("state")).unwrap();
                fs::write(machine.path("state/agent.json"), "{}").unwrap();
            },
            "is not the state of an agent",
        ),
    ];
    for (name, change, told) in cases {
        let mut machine = Machine::start().await;
        let old = string(&machine.other());
        let path = machine.file(".env", &old);
        let wanted = machine.wanted().fingerprint().to_string();
        change(&mut machine);
        let before = fs::read(&path).ok();
        for _ in 0..2 {
            let ran = machine.once().await;
            assert_eq!(ran.code, Some(1), "{name}: {}", ran.said);
            assert!(ran.said.contains(told), "{name}: {}", ran.said);
            assert_eq!(fs::read(&path).ok(), before, "{name}: the file is as it was");
        }
        assert_eq!(machine.reloads(), 0, "{name}");
        let reports = machine.receiver.reports();
        assert!(reports.iter().all(|report| report["fingerprint"] != *wanted), "{name}: {reports:?}");
    }
}

/// The service cannot be asked: nobody knows whether its key is good, so nothing is changed; who cannot reach it says so.
#[tokio::test]
async fn a_service_that_cannot_be_asked_is_not_taken_on_trust() {
    let mut machine = Machine::start().await;
    let old = string(&machine.other());
    let path = machine.file(".env", &old);
    let out_of_reach = |request: &str| {
        request.contains("/api/hubs/").then(|| super::common::proxy::Answer::new(503, "text/plain", ""))
    };
    machine.proxy.bend(out_of_reach);
    let ran = machine.once().await;
    assert!(ran.code == Some(1) && ran.said.contains("cannot ask the service"), "{}", ran.said);
    assert_eq!(read(&path), old);
    machine.more = "verify = \"none\"\n".into();
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(read(&path), string(&machine.wanted()));
}

/// One file that has no key keeps no other from being repaired; but nobody is told that all is well.
#[tokio::test]
async fn one_file_keeps_no_other_from_its_key_and_nothing_is_reported() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    let good = machine.file(".env", &string(&old));
    let bad = machine.file("web.config", "<configuration/>");
    for round in 0..2 {
        let ran = machine.once().await;
        assert!(ran.code == Some(1) && ran.said.contains("web.config holds no key"), "{}", ran.said);
        assert_eq!((read(&good), machine.reloads()), (string(&machine.wanted()), 1), "{round}");
        assert_eq!(
            machine.receiver.last(),
            Some(old.fingerprint().to_string()),
            "{round}: it may still be in use"
        );
    }
    fs::write(bad, string(&old)).unwrap();
    let ran = machine.once().await;
    assert_eq!((ran.code, machine.reloads()), (Some(0), 2), "{}", ran.said);
    assert_eq!(machine.receiver.last(), Some(machine.wanted().fingerprint().to_string()));
}

#[tokio::test]
async fn a_report_that_is_not_taken_fails_the_round_and_is_sent_again() {
    for (statuses, told) in [
        (vec![401], "give the agent the current code of the function"),
        (vec![404], "check the URL"),
        (vec![400], "check instance and name against rekey.toml"),
        (vec![409], "check instance and name against rekey.toml"),
        (vec![SAYS_NOTHING], "it was not the function OnReport that answered (<html>sign in</html>)"),
    ] {
        let mut machine = Machine::start().await;
        let old = string(&machine.other());
        machine.file(".env", &old);
        machine.receiver.refuse(&statuses);
        let ran = machine.once().await;
        assert!(ran.code == Some(1) && ran.said.contains(told), "{statuses:?}: {}", ran.said);
        assert_eq!(machine.reloads(), 1);
        let ran = machine.once().await;
        assert_eq!((ran.code, machine.reloads()), (Some(0), 1), "{}", ran.said);
        assert_eq!(machine.receiver.last(), Some(machine.wanted().fingerprint().to_string()));
    }
    // A run that is at work for longer than it waits.
    let mut machine = Machine::start().await;
    let old = string(&machine.other());
    machine.file(".env", &old);
    machine.receiver.refuse(&[503, 503, 503]);
    let ran = machine.once().await;
    assert!(ran.code == Some(1) && ran.said.contains("a run may be at work on the service"), "{}", ran.said);

    // What passes by itself is waited for.
    let mut machine = Machine::start().await;
    let old = string(&machine.other());
    machine.file(".env", &old);
    machine.receiver.refuse(&[503]);
    let ran = machine.once().await;
    assert_eq!((ran.code, machine.receiver.reports().len()), (Some(0), 1), "{}", ran.said);
}

#[tokio::test]
async fn two_agents_do_not_work_at_once() {
    let mut machine = Machine::start().await;
    let old = string(&machine.other());
    machine.file(".env", &old);
    machine.receiver.hold("OnReport");
    let mut first = machine.spawn(&["--once"]);
    machine.receiver.holds().await;
    let second = machine.once().await;
    assert!(second.code == Some(3) && second.said.contains("another agent is at work"), "{}", second.said);
    kill(&mut first).await;
    machine.receiver.let_go();
    let third = machine.once().await;
    assert_eq!((third.code, machine.reloads()), (Some(0), 1), "its lock ended with it: {}", third.said);
}

/// An agent that goes on says each time what is wrong, and does its work when that is cured.
#[tokio::test]
async fn one_that_goes_on_says_it_again_and_does_its_work_when_it_can() {
    let mut machine = Machine::start().await;
    let path = machine.file(".env", "A=1");
    machine.more = "every = \"100ms\"\n".into();
    let child = machine.spawn(&[]);
    let enough = async || {
        while machine.proxy.count("/secrets/signalr") < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    enough().await;
    let old = string(&machine.other());
    fs::write(&path, &old).unwrap();
    while machine.receiver.last().is_none_or(|last| last != machine.wanted().fingerprint().to_string()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ran = machine.ran(child.wait_with_output().await.unwrap());
    assert_eq!(ran.code, Some(0), "it was asked to stop: {}", ran.said);
    assert!(ran.said.matches("holds no key of the service").count() >= 3, "{}", ran.said);
    let reports = machine.receiver.reports();
    assert!(reports.len() <= 2, "the same is not reported each time: {reports:?}");
}

/// An app that does not work with its key is not restarted for that all the time.
#[tokio::test]
async fn an_app_is_restarted_in_vain_less_often_each_time() {
    let mut machine = Machine::start().await;
    let old = string(&machine.other());
    machine.file(".env", &old);
    // The restart with the old key goes well.
    let path = machine.files[0].display().to_string();
    machine.more = format!(
        "every = \"100ms\"\n{}",
        machine.reload(&format!("grep -q '{}' '{path}'", machine.other().expose()))
    );
    let begun = std::time::Instant::now();
    let mut child = machine.spawn(&[]);
    while machine.reloads() < 6 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // After 0.2 s and 0.4 s.
    assert!(begun.elapsed() > Duration::from_millis(600), "{:?}", begun.elapsed());
    child.start_kill().unwrap();
    let ran = machine.ran(child.wait_with_output().await.unwrap());
    assert!(ran.said.contains("is not restarted for it again before "), "{}", ran.said);
    assert_eq!(read(&machine.files[0]), old);
}

/// Nothing of the files and the secret changes when a key is regenerated by force: that the app is cut off is seen by asking.
#[tokio::test]
async fn an_app_whose_key_was_regenerated_is_told_as_cut_off() {
    let mut machine = Machine::start().await;
    let wanted = string(&machine.wanted());
    machine.file(".env", &wanted);
    assert_eq!(machine.once().await.code, Some(0));
    let out_of_reach = |request: &str| {
        request.contains("/api/hubs/").then(|| super::common::proxy::Answer::new(503, "text/plain", ""))
    };
    machine.proxy.bend(out_of_reach);
    let ran = machine.once().await;
    assert!(ran.code == Some(1) && ran.said.contains("whether it still accepts the key"), "{}", ran.said);
    machine.proxy.bend(|_: &str| None);
    machine.sim.regenerate("sr-demo", &KeyType::ALL).unwrap();
    for _ in 0..2 {
        let ran = machine.once().await;
        assert!(ran.code == Some(1) && ran.said.contains("the app is cut off"), "{}", ran.said);
        assert!(!ran.said.contains("in order"), "{}", ran.said);
    }
    machine.force(&[]);
    let ran = machine.once().await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
}

/// One that stays asks again when some minutes are over, and at once where the handler says that the key is none.
#[tokio::test]
async fn a_report_of_a_key_that_is_none_of_the_service_fails_the_round() {
    let mut machine = Machine::start().await;
    let wanted = string(&machine.wanted());
    machine.file(".env", &wanted);
    machine.receiver.refuse(&[NO_KEY_OF_IT, NO_KEY_OF_IT]);
    for times in 1..=2 {
        let ran = machine.once().await;
        assert!(ran.code == Some(1) && ran.said.contains("neither of the service's keys"), "{}", ran.said);
        assert_eq!(machine.receiver.reports().len(), times);
    }
    assert_eq!(machine.once().await.code, Some(0));
}
