//! The agent killed at each step of its own: a file is the old text or the new one, and the next start goes on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rekey_core::model::Key;

use super::common::program::PROGRAM;
use super::common::proxy::Way;
use super::machine::{Machine, kill, read, string};

/// The calls by which a process changes what is on a disk; a file is made empty just before it is first written.
const CALLS: [&str; 7] = ["mkdir", "write", "fchown", "fchmod", "fsync", "rename", "unlink"];

/// Some more text, so that a file that is half written would be seen.
fn text(name: &str, key: &Key) -> String {
    let padding = format!("# {name} {}\n", "x".repeat(60)).repeat(300);
    format!("{padding}A={}\n{padding}B=1\n", string(key))
}

/// A machine whose app has two files, and reads both when it is reloaded.
struct App {
    machine: Machine,
    old: Key,
    new: Key,
    files: [PathBuf; 2],
    /// What was seen in a file that is neither the old text nor the new one.
    broken: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl App {
    async fn start() -> Self {
        let mut machine = Machine::start().await;
        let (old, new) = (machine.other(), machine.wanted());
        let files = ["a.env", "b.env"].map(|name| machine.file(name, &text(name, &old)));
        let (from, to) = (machine.path("app"), machine.path("running"));
        fs::create_dir(&to).unwrap();
        let (from, shown) = (from.display(), to.display());
        let waits = format!(
            "while test -e '{}'; do touch '{shown}/waits'; sleep 0.02; done",
            machine.path("hold").display()
        );
        machine.more = format!(
            "[health]\nurl = \"{}/health\"\n{}",
            machine.receiver.base,
            machine.reload(&format!("{waits}; cp '{from}'/*.env '{shown}'")),
        );
        let fingerprints = [&old, &new].map(|key| (key.expose().to_owned(), key.fingerprint().to_string()));
        machine.receiver.truth(move || {
            let texts: Vec<String> = ["a.env", "b.env"]
                .iter()
                .map(|name| fs::read_to_string(to.join(name)).unwrap_or_default())
                .collect();
            let all = |key: &str| texts.iter().all(|text| text.contains(key));
            let known = fingerprints.iter().find(|(key, _)| all(key));
            known.map_or_else(|| "something of both".to_owned(), |(_, fingerprint)| fingerprint.clone())
        });
        let app = Self {
            machine,
            old,
            new,
            files,
            broken: Arc::default(),
            looks: Arc::default(),
            over: Arc::default(),
        };
        app.reset();
        app.look_on();
        app
    }

    /// As if nothing had ever been done here; the app works with the old key.
    fn reset(&self) {
        for (file, name) in self.files.iter().zip(["a.env", "b.env"]) {
            // As a whole too: somebody is looking.
            let text = text(name, &self.old);
            fs::write(self.machine.path("next"), &text).unwrap();
            fs::rename(self.machine.path("next"), file).unwrap();
            fs::write(self.machine.path("running").join(name), &text).unwrap();
        }
        let _ = fs::remove_dir_all(self.machine.path("state"));
        let _ = fs::remove_file(self.machine.path("reloads"));
        let _ = fs::remove_file(self.machine.path("running/waits"));
    }

    /// Reads both files in a tight loop.
    fn look_on(&self) {
        let may: Vec<(PathBuf, [String; 2])> = self
            .files
            .iter()
            .zip(["a.env", "b.env"])
            .map(|(file, name)| (file.clone(), [text(name, &self.old), text(name, &self.new)]))
            .collect();
        let (broken, looks, over) =
            (Arc::clone(&self.broken), Arc::clone(&self.looks), Arc::clone(&self.over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for (file, texts) in &may {
                    if !texts.contains(&read(file)) {
                        broken.store(true, Ordering::Relaxed);
                    }
                }
                looks.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        });
    }

    /// It was killed: nothing is half done but what lies beside.
    fn check_killed(&self, when: &str) {
        let names = self.machine.names();
        let known = ["a.env", "b.env"]
            .into_iter()
            .flat_map(|name| [name.to_owned(), format!("{name}.rekey-old"), format!("{name}.rekey-new")]);
        let known: Vec<String> = known.collect();
        assert!(names.iter().all(|name| known.contains(name)), "{when}: {names:?}");
        for name in ["a.env", "b.env"] {
            let copy = self.machine.path("app").join(format!("{name}.rekey-old"));
            if let Ok(copy) = fs::read_to_string(copy) {
                assert!(copy == text(name, &self.old), "{when}: the copy is whole");
            }
        }
    }

    /// The next start goes on to the end.
    async fn goes_on(&self, when: &str) {
        let ran = self.machine.once().await;
        assert_eq!(ran.code, Some(0), "{when}: {}", ran.said);
        for (file, name) in self.files.iter().zip(["a.env", "b.env"]) {
            assert!(read(file) == text(name, &self.new), "{when}: {name}");
        }
        assert_eq!(self.machine.names(), ["a.env", "b.env"], "{when}");
        assert_eq!(self.machine.receiver.last(), Some(self.new.fingerprint().to_string()), "{when}");
        let state = fs::read_dir(self.machine.path("state")).unwrap().count();
        assert_eq!(state, 2, "{when}: the state and its lock, and nothing unfinished");
        assert_eq!(self.machine.receiver.lies(), Vec::<String>::new(), "{when}");
        assert!(!self.broken.load(Ordering::Relaxed), "{when}: a file was seen half written");
    }

    /// Runs one that is killed as it makes a call for the n-th time; whether it came so far.
    async fn killed_at(&self, call: &str, nth: usize) -> bool {
        let config = self.machine.path("agent.toml");
        fs::write(&config, self.machine.toml()).unwrap();
        let mut command = self.machine.bare("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:signal=KILL:when={nth}"), PROGRAM, "agent", "--once"]);
        let output = command.arg("--config").arg(&config).output().await;
        let output = output.expect("strace is needed: apt-get install strace");
        let status = output.status;
        let ran = self.machine.ran(output);
        let is_killed = status.signal() == Some(9);
        assert!(is_killed || ran.code == Some(0), "{call} {nth}: {status}: {}", ran.said);
        is_killed
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Before each call that changes something on the disk, and so after each as well.
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_each_change_of_a_file() {
    let app = App::start().await;
    let mut kills = BTreeMap::new();
    for call in CALLS {
        for nth in 1.. {
            app.reset();
            if !app.killed_at(call, nth).await {
                break;
            }
            kills.insert(call, nth);
            let when = format!("killed at {call} {nth}");
            app.check_killed(&when);
            // The one that goes on is killed as well, at a place that is another each time.
            if nth % 2 == 0 && app.killed_at("rename", nth / 2).await {
                app.check_killed(&format!("{when}, then at rename {}", nth / 2));
            }
            app.goes_on(&when).await;
        }
    }
    assert!(kills["rename"] >= 6 && kills["fsync"] >= 8 && kills["unlink"] >= 2, "{kills:?}");
    assert!(app.looks.load(Ordering::Relaxed) > 1000);
}

/// While it waits for the vault, the service, the reload command, the app and whoever takes its report.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_waits_for_others() {
    let app = App::start().await;
    let machine = &app.machine;
    for step in ["vault", "vault's answer", "probe", "reload", "health", "report"] {
        app.reset();
        match step {
            "vault" => machine.proxy.holder()(Way::There, "/secrets/signalr"),
            "vault's answer" => machine.proxy.holder()(Way::Back, "/secrets/signalr"),
            "probe" => machine.proxy.holder()(Way::Back, "/api/hubs"),
            "reload" => fs::write(machine.path("hold"), "").unwrap(),
            "health" => machine.receiver.hold("health"),
            _ => machine.receiver.hold("OnReport"),
        }
        let mut child = machine.spawn(&["--once"]);
        match step {
            "vault" | "vault's answer" | "probe" => machine.proxy.holds().await,
            "reload" => {
                while !machine.path("running/waits").exists() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
            _ => machine.receiver.holds().await,
        }
        let is_new = read(&app.files[0]) == text("a.env", &app.new);
        assert_eq!(is_new, ["reload", "health", "report"].contains(&step), "{step}");
        let told = machine.receiver.reports().len();
        kill(&mut child).await;
        machine.proxy.let_go();
        machine.receiver.let_go();
        let _ = fs::remove_file(machine.path("hold"));
        app.check_killed(step);
        assert_eq!(machine.receiver.reports().len(), told, "{step}: nothing is told before");
        app.goes_on(step).await;
    }
    assert!(app.looks.load(Ordering::Relaxed) > 1000);
}

/// One of two files has no key, and keeps the app from no other's: it is reloaded for that, though the agent was killed before.
#[tokio::test]
async fn killed_before_the_reload_of_one_file_of_two() {
    let mut machine = Machine::start().await;
    let old = machine.other();
    machine.file("a.env", &string(&old));
    machine.file("b.env", "A=1");
    let hold = machine.path("hold").display().to_string();
    fs::write(&hold, "").unwrap();
    machine.more = machine.reload(&format!("while test -e '{hold}'; do sleep 0.02; done"));
    let mut child = machine.spawn(&["--once"]);
    while machine.reloads() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    kill(&mut child).await;
    fs::remove_file(&hold).unwrap();
    for _ in 0..2 {
        let ran = machine.once().await;
        assert_eq!((ran.code, machine.reloads()), (Some(1), 2), "{}", ran.said);
        assert_eq!(machine.names(), ["a.env", "b.env"]);
    }
}
