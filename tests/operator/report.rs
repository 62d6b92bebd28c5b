//! What `report` shows of the evidence of a service, and what it finds wrong with it. Journals and documents are made with the
//! core, at times of their own, and lie in Azurite; Azure is not asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rekey_core::evidence::{self, Document};
use rekey_core::journal::{Event, Fate, Journal};
use rekey_core::model::{Key, KeyType, PerKey, ServiceId};
use serde_json::{Value, json};
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::store::{EVIDENCE, Store};

use super::common::program::{Azure, text};
use super::common::{azurite, document_name};
use super::{FILE, file, in_the_cloud};

/// A service with the storage of its deployed app.
struct Proved {
    store: Arc<dyn Store>,
    service: ServiceId,
    journal: Journal,
    at: DateTime<Utc>,
    keys: usize,
    config: PathBuf,
    _folder: tempfile::TempDir,
}

impl Proved {
    /// One of its own, for the storage is that of all tests.
    async fn new() -> Self {
        let subscription = uuid::Uuid::new_v4().to_string();
        let service = ServiceId::new(&subscription, "rg", "chat");
        let app =
            format!("/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Web/sites/web");
        let content = format!("[[instance]]\nid = \"{service}\"\napps = [\"{app}\"]\n");
        let (folder, config) = file("rekey.toml", &content);
        Self::of(service, config, folder).await
    }

    async fn of(service: ServiceId, config: PathBuf, folder: tempfile::TempDir) -> Self {
        let (store, at) = (azurite::store(Arc::new(SystemClock)), SystemClock.now() - TimeDelta::days(100));
        let journal = Journal::default();
        let mut proved = Self { store, service, journal, at, keys: 2, config, _folder: folder };
        proved.begin().await;
        proved
    }

    /// Has the service seen for the first time.
    async fn begin(&mut self) {
        self.journal = Journal::default();
        let key = |number: &str| Key::new(number).fingerprint();
        self.event(Event::Adopted { keys: PerKey { primary: key("key 0"), secondary: key("key 1") } });
        self.remember().await;
    }

    fn event(&mut self, event: Event) {
        self.at += TimeDelta::minutes(1);
        self.journal.apply(event, self.at).unwrap();
    }

    async fn put(&self, name: &str, body: Vec<u8>) {
        let etag = self.store.get(name).await.unwrap().document.map(|(_, etag)| etag);
        self.store.put(name, body, etag.as_ref()).await.unwrap();
    }

    /// Writes the journal down.
    async fn remember(&self) {
        let journal = serde_json::to_value(&self.journal).unwrap();
        let document = json!({
            "version": 2, "service": self.service, "fenced": true, "lease": null, "journal": journal,
        });
        self.put(&document_name(&self.service), document.to_string().into_bytes()).await;
    }

    /// A rotation from its beginning to its end; the document that is to be written of it.
    fn rotate(&mut self) -> Document {
        for key_type in KeyType::ALL {
            self.event(Event::RegenerationIntended { key_type });
            self.keys += 1;
            let fingerprint = Key::new(format!("key {}", self.keys)).fingerprint();
            self.event(Event::Regenerated { fingerprint, confirmed: true });
        }
        self.event(Event::Concluded { finished: true });
        evidence::next(&self.journal, &self.service).unwrap().unwrap()
    }

    /// The same, with its document as it is left in the storage: as it is written, or as somebody makes it, or not at all. Its name.
    async fn proves(&mut self, left: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> String {
        let Document { name, body, sha256 } = self.rotate();
        if let Some(body) = left(body) {
            self.put(&format!("{EVIDENCE}{name}"), body).await;
        }
        self.event(Event::EvidenceKept { name: name.clone(), sha256 });
        self.remember().await;
        name
    }

    /// What `report` answers, and what it complains of.
    fn report(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let arguments = [&["report"], arguments].concat();
        let told = by_storage(&azurite::connection_string(), &arguments, &self.config);
        (told.status.code(), text(&told.stdout), text(&told.stderr))
    }

    /// What is found wrong, each in a sentence.
    fn faults(&self) -> BTreeSet<String> {
        let (code, told, complaints) = self.report(&["--verify", "--json"]);
        let report: Value = serde_json::from_str(&told).unwrap();
        let [service] = &report["instances"].as_array().unwrap()[..] else { panic!("{report}") };
        let faults = service["faults"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap());
        let faults: BTreeSet<String> = faults.map(ToOwned::to_owned).collect();
        assert_eq!(code, Some(if faults.is_empty() { 0 } else { 1 }), "{faults:?}");
        // A person is told how long ago a time was.
        let is_told =
            |fault: &String| complaints.contains(&format!("chat: {}", fault.split(" (").next().unwrap()));
        assert!(faults.iter().all(is_told), "{complaints}");
        faults
    }
}

/// The program with this storage, and an Azure on this machine, which alone has its journals in an emulator. Nobody listens there.
fn by_storage(storage: &str, arguments: &[&str], config: &Path) -> Output {
    let azure = ("REKEY_RESOURCE_MANAGER", "http://127.0.0.1:9");
    in_the_cloud(arguments, config, &[("AzureWebJobsStorage", storage), azure])
}

fn as_it_is(body: Vec<u8>) -> Option<Vec<u8>> {
    Some(body)
}

fn readable(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

#[tokio::test]
async fn what_was_done_is_reported_in_each_form() {
    let mut proved = Proved::new().await;
    let old = proved.proves(as_it_is).await;
    proved.at += TimeDelta::days(80);
    // A name with which somebody would like to say something else.
    let (fingerprint, until) =
        (proved.journal.keys().unwrap().primary.fingerprint.clone(), proved.at + TimeDelta::days(1));
    let by = "<img src=x> \"ada\"".to_owned();
    proved.event(Event::Approved { fingerprint, until, by, noticed: false });
    let name = proved.proves(as_it_is).await;

    let (code, told, complaints) = proved.report(&[]);
    assert_eq!(code, Some(0), "{complaints}");
    assert!(
        told.contains(&proved.service.to_string()) && told.contains(&readable(proved.at)[..10]),
        "{told}"
    );
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("; by schedule")).collect();
    let [line] = &lines[..] else { panic!("{told}") };
    assert!(line.contains("rotation; by schedule, approved by <img src=x> \"ada\"; "), "{line}");

    let (code, told, _) = proved.report(&["--csv", "--since", "200d"]);
    let rows: Vec<&str> = told.lines().collect();
    assert_eq!((code, rows.len()), (Some(0), 3), "{told}");
    assert_eq!(
        rows[0],
        r#""instance","began","ended","what","asked","keys","oldKeys","moved","document","sha256""#
    );
    assert!(rows[1].contains(&old) && rows[2].contains(&name), "the oldest first: {told}");
    assert!(rows[2].contains(r#","by schedule, approved by <img src=x> ""ada""","#), "{told}");

    let (code, told, _) = proved.report(&["--json"]);
    assert_eq!(told.matches("schemaVersion").count(), 1, "a member twice has no one value: {told}");
    let report: Value = serde_json::from_str(&told).unwrap();
    let of_service = &report["instances"][0];
    assert_eq!((code, &report["schemaVersion"], &of_service["documents"]), (Some(0), &json!(1), &json!(2)));
    let [change] = &of_service["changes"].as_array().unwrap()[..] else { panic!("{report}") };
    let (body, _) = proved.store.get(&format!("{EVIDENCE}{name}")).await.unwrap().document.unwrap();
    assert_eq!((&change["document"], &change["sha256"]), (&json!(name), &json!(evidence::sha256(&body))));
    assert_eq!((&change["what"], &change["sequence"]), (&json!("rotation"), &json!(2)));
    assert_eq!(change["previous"]["name"], json!(old));

    let (code, told, _) = proved.report(&["--html"]);
    assert!(code == Some(0) && told.starts_with("<!DOCTYPE html>") && told.contains(&name), "{told}");
    assert!(told.contains("&lt;img src=x&gt;") && !told.contains("<img"), "{told}");
    assert!(!told.contains("http://") && !told.contains("https://") && !told.contains("src=\""), "{told}");

    assert_eq!(proved.faults(), BTreeSet::new());
    let (code, told, _) = proved.report(&["--verify"]);
    assert!(code == Some(0) && told.contains("OK: documents, all as they were written: 2"), "{told}");

    for says in ["<th scope=\"col\">By whose word</th>", "first 16 hexadecimal digits of the SHA-256"] {
        assert!(proved.report(&["--html"]).1.contains(says), "{says}");
    }
}

/// What goes on, and what waits for its document, is told, and is no fault of those that are there: until it is late.
#[tokio::test]
async fn what_has_no_document_yet_is_told_in_each_form() {
    let mut proved = Proved::new().await;
    proved.proves(as_it_is).await;
    proved.at = SystemClock.now() - TimeDelta::minutes(20);
    proved.rotate();
    proved.event(Event::RegenerationIntended { key_type: KeyType::Primary });
    let began = shown(proved.at);
    proved.remember().await;
    let waits = "over, and waits for its document, which the next run writes";
    let on_the_way = format!("under way since {began}");
    for form in [&[][..], &["--csv"], &["--html"]] {
        let (code, told, complaints) = proved.report(&[&["--since", "1d"], form].concat());
        assert!(
            code == Some(0) && told.contains(waits) && told.contains(&on_the_way),
            "{form:?}: {told}{complaints}"
        );
        assert!(!told.contains("nothing was changed"), "{told}");
        assert_eq!(told.contains("nothing was over in this time"), form.is_empty(), "{told}");
        let says = "chat: changes that wait for their document, which the next run writes: 1;";
        assert!(complaints.contains(says), "{complaints}");
    }
    let (code, told, _) = proved.report(&["--verify"]);
    assert!(code == Some(0) && told.contains("OK: documents, all as they were written: 1"), "{told}");
    assert!(told.contains(waits) && told.contains(&on_the_way), "{told}");
    let report: Value = serde_json::from_str(&proved.report(&["--json"]).1).unwrap();
    let [service] = &report["instances"].as_array().unwrap()[..] else { panic!("{report}") };
    assert!(service["waiting"] == 1 && service["waitingSince"].is_string(), "{service}");
    assert!(service["underWay"].as_str().unwrap().starts_with(&began[..19]), "{service}");

    let mut proved = Proved::new().await;
    proved.proves(as_it_is).await;
    proved.rotate();
    let ended = shown(proved.at);
    proved.remember().await;
    for arguments in [&["--verify"][..], &[]] {
        let (code, told, complaints) = proved.report(arguments);
        let says = format!("chat: a change that was over at {ended}");
        assert!(code == Some(1) && complaints.contains(&says), "{told}{complaints}");
        assert!(complaints.contains("still has no document"), "{complaints}");
    }
}

/// A quarter is asked for by its dates.
#[tokio::test]
async fn what_was_over_between_two_dates_is_reported() {
    let mut proved = Proved::new().await;
    let first = proved.proves(as_it_is).await;
    let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
    let (from, until) = (day(proved.at - TimeDelta::days(1)), day(proved.at + TimeDelta::days(2)));
    proved.at += TimeDelta::days(80);
    let second = proved.proves(as_it_is).await;
    for (times, wanted) in [
        (&["--since", &from, "--until", &until][..], [true, false]),
        (&["--since", &from], [true, true]),
        (&["--since", &until], [false, true]),
        (&["--since", "200d", "--until", "50d"], [true, false]),
    ] {
        let (code, told, complaints) = proved.report(&[times, &["--csv"]].concat());
        let found = [told.contains(&first), told.contains(&second)];
        assert_eq!((code, found), (Some(0), wanted), "{times:?}: {told}{complaints}");
    }
    for (times, says) in [
        (&["--since", &until, "--until", &from][..], "must be the later one"),
        (&["--since", "2999-01-01"], "--until (now, if it is not given) must be the later one"),
        (&["--since", "2026-13-01"], "or a date, as in 2026-01-01"),
    ] {
        let (code, told, complaints) = proved.report(times);
        assert!(code == Some(2) && told.is_empty() && complaints.contains(says), "{complaints}");
    }
}

/// That the old key is invalid is told with when, by how many calls, and that the new one was accepted beside it.
#[tokio::test]
async fn what_became_of_the_old_key_is_told_with_how_it_is_known() {
    let mut proved = Proved::new().await;
    let old = proved.journal.keys().unwrap().primary.fingerprint.clone();
    proved.event(Event::RegenerationIntended { key_type: KeyType::Primary });
    proved.event(Event::Regenerated { fingerprint: Key::new("anew").fingerprint(), confirmed: true });
    proved.event(Event::OldKeyTried { fingerprint: old.clone(), calls: 3, fate: Fate::Refused });
    let at = shown(proved.at);
    proved.proves(as_it_is).await;
    let (_, told, complaints) = proved.report(&["--since", "200d", "--csv"]);
    let says = format!(
        "{old} is refused: at {at} the service refused call 3, and accepted the new key right after it"
    );
    assert!(told.contains(&says), "{told}{complaints}");
}

/// From its end to its beginning: what is vouched for, and what nothing vouches for any more.
#[tokio::test]
async fn each_document_that_is_missing_changed_or_not_readable_is_named() {
    let mut proved = Proved::new().await;
    let began = proved.at + TimeDelta::minutes(1);
    let first = proved.proves(as_it_is).await;
    proved.proves(|_| None).await;
    let third = proved.proves(|_| Some(b"{\"version\": 1,\n}".to_vec())).await;
    let fourth = proved.proves(|_| None).await;
    let fifth = proved.proves(as_it_is).await;
    let beside = fifth.replace("000005", "000005-copy");
    proved.put(&format!("{EVIDENCE}{beside}"), b"{}".to_vec()).await;
    let all = [
        format!("the document {fourth} is missing"),
        format!("the document {third} cannot be read: it is no document of evidence (line 2, column 1)"),
        format!("the document of number 2 is missing, in the chain that began at {}", shown(began)),
        format!(
            "the document {beside} is there, and the journal knows nothing of it: somebody put it there, or the journal is \
             an older one that was put back"
        ),
    ];
    assert_eq!(proved.faults(), all.clone().into());
    let (code, told, complaints) = proved.report(&["--verify"]);
    assert!(
        code == Some(1) && told.contains("NOT OK: faults: 4; documents that are there: 4"),
        "{told}{complaints}"
    );
    // Each of the two tells them, for whoever keeps one alone.
    for fault in all.iter().map(|fault| fault.split(" (").next().unwrap()) {
        assert!(told.contains(&format!("  fault: {fault}")), "{fault}: {told}");
        assert!(complaints.contains(&format!("chat: {fault}")), "{fault}: {complaints}");
    }
    // Who asks what was done is not told less than that.
    let (code, told, complaints) = proved.report(&["--csv", "--since", "200d"]);
    for fault in all.iter().filter(|fault| !fault.contains("of number 2")) {
        assert_eq!(complaints.matches(fault).count(), 1, "{fault}: {complaints}");
    }
    assert!(code == Some(1) && told.contains(&first) && told.contains(&fifth), "{told}");

    let mut proved = Proved::new().await;
    let first = proved.proves(|body| Some(text(&body).replace("true", "false").into_bytes())).await;
    let second = proved.proves(as_it_is).await;
    let changed = format!("the document {first} is not what was written");
    assert_eq!(proved.faults(), [changed.clone()].into());
    let (code, _, complaints) = proved.report(&[]);
    assert!(code == Some(1) && complaints.contains(&changed), "{complaints}");
    // One is taken away, and nothing stands in its place.
    let mut proved = Proved::new().await;
    let gone = proved.proves(|_| None).await;
    let (code, told, complaints) = proved.report(&[]);
    assert!(
        code == Some(1) && complaints.contains(&format!("the document {gone} is missing")),
        "{told}{complaints}"
    );
    assert_ne!(gone, second);
}

fn shown(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An older release refuses a journal with evidence; where somebody takes it away for one, the chain has no end that is known.
#[tokio::test]
async fn a_chain_whose_end_was_lost_with_the_journal_is_told_for_good() {
    let mut proved = Proved::new().await;
    let began = proved.at + TimeDelta::minutes(1);
    proved.proves(as_it_is).await;
    let last = proved.proves(as_it_is).await;
    assert_eq!(proved.faults(), BTreeSet::new());
    proved.begin().await;
    let lost = format!(
        "the journal knows nothing of the chain that began at {} (2 documents, the last {last}): the journal was deleted or put \
         back, and whether the chain went on after that document cannot be told",
        shown(began)
    );
    assert_eq!(proved.faults(), [lost.clone()].into());
    proved.proves(as_it_is).await;
    assert_eq!(proved.faults(), [lost].into(), "and a new one goes on");
}

/// Nothing was put in evidence there; that is not as if nothing had been done.
#[tokio::test]
async fn without_a_container_or_a_journal_nothing_is_said_to_be_well() {
    let proved = Proved::new().await;
    let (empty, azure) = (azurite::empty_account(), Azure::start(&[]));
    for arguments in [&["report"][..], &["report", "--verify"], &["report", "--json"]] {
        let told = by_storage(&empty, arguments, &proved.config);
        let complaints = text(&told.stderr);
        assert_eq!((told.status.code(), text(&told.stdout)), (Some(1), String::new()), "{complaints}");
        assert!(
            complaints.contains("there is no container signalr-rekey-evidence: no change was ever put"),
            "{complaints}"
        );
        assert!(complaints.contains("not the same as that nothing was changed"), "{complaints}");
        let told = in_the_cloud(arguments, &proved.config, &[]);
        let by_itself = azure.run(arguments);
        for told in [told, by_itself] {
            let complaints = text(&told.stderr);
            assert_eq!((told.status.code(), text(&told.stdout)), (Some(2), String::new()), "{complaints}");
            assert!(
                complaints.contains("the evidence is beside the journal of the deployed app")
                    && complaints.contains("on which you need Storage Blob Data Reader"),
                "{complaints}"
            );
        }
    }
    for (since, says) in [("30", "put s, m, h or d behind it, as in 90d"), ("soon", "write 90d")] {
        let told = in_the_cloud(&["report", "--since", since], &proved.config, &[]);
        let complaints = text(&told.stderr);
        assert!(told.status.code() == Some(2) && complaints.contains(says), "{since}: {complaints}");
    }
}

/// Which of its flags exclude each other is what docs/commands.md says.
#[test]
fn a_report_has_one_form_and_a_check_has_no_time() {
    let (_folder, config) = file("chat.toml", FILE);
    for arguments in [
        &["--json", "--csv"][..],
        &["--json", "--html"],
        &["--csv", "--html"],
        &["--verify", "--csv"],
        &["--verify", "--html"],
        &["--verify", "--since", "90d"],
        &["--verify", "--until", "1d"],
    ] {
        let told = in_the_cloud(&[&["report"], arguments].concat(), &config, &[]);
        assert!(text(&told.stderr).contains("cannot be used with"), "{arguments:?}: {}", text(&told.stderr));
        assert_eq!(told.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_key_that_was_regenerated_from_outside_is_reported() {
    let mut proved = Proved::new().await;
    let (old, new) = (Key::new("key 0").fingerprint(), Key::new("from outside").fingerprint());
    proved.event(Event::KeyChanged { key_type: KeyType::Primary, fingerprint: new.clone() });
    proved.proves(as_it_is).await;
    for form in [&[][..], &["--csv"], &["--html"]] {
        let (code, told, complaints) = proved.report(&[&["--since", "200d"], form].concat());
        let told = told.replace("&gt;", ">");
        let says = format!("Primary {old} -> {new} (from outside)");
        assert!(code == Some(0) && told.contains(&says), "{form:?}: {told}{complaints}");
        assert!(told.contains(&format!("{old} was not tried: it was regenerated from outside")), "{told}");
    }
}

/// The document of the next change has the number of one that is there, and another month: nothing stands in its way. A plain
/// report tells of it too, whatever the time that it is of.
#[tokio::test]
async fn an_older_journal_that_was_put_back_is_told_though_its_next_document_is_of_another_month() {
    let mut proved = Proved::new().await;
    proved.proves(as_it_is).await;
    let backup = proved.journal.clone();
    let unknown = proved.proves(as_it_is).await;
    proved.journal = backup;
    proved.at += TimeDelta::days(40);
    let next = proved.proves(as_it_is).await;
    assert!(next[7..] == unknown[7..] && next != unknown, "{next}, {unknown}");
    let told = format!(
        "the document {unknown} is there, and the journal knows nothing of it: somebody put it there, or the journal is an \
         older one that was put back"
    );
    assert_eq!(proved.faults(), [told.clone()].into());
    let (code, answer, complaints) = proved.report(&["--since", "65d"]);
    assert!(code == Some(1) && answer.contains(&told) && complaints.contains(&told), "{answer}{complaints}");
    let (_, answer, _) = proved.report(&["--since", "1d"]);
    assert!(answer.contains(&told) && !answer.contains("nothing was changed"), "{answer}");
    assert!(answer.contains("no change was found in this time, which proves nothing"), "{answer}");
}

/// An older journal was put back, which knows nothing of a document: `unblock` says so, and begins a new chain.
#[tokio::test]
async fn unblock_begins_a_new_chain_where_another_document_is_in_the_way() {
    let azure = Azure::with_journals(&["sr-restored"], &[]);
    let service = ServiceId::new("00000000-0000-0000-0000-000000000001", "rg-demo", "sr-restored");
    let (folder, config) = file("rekey.toml", "");
    let mut proved = Proved::of(service, config, folder).await;
    let Document { name, .. } = proved.rotate();
    proved.put(&format!("{EVIDENCE}{name}"), b"{}".to_vec()).await;
    proved.remember().await;
    let done = azure.run(&["unblock", "sr-restored", "--yes"]);
    let told = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{told}{}", text(&done.stderr));
    assert!(
        told.contains(&format!("the document of evidence {name} is not the one that is to be written")),
        "{told}"
    );
    assert!(told.contains("a new chain is begun") && told.contains("cleared 1 recorded failure"), "{told}");
    let (body, _) = proved.store.get(&document_name(&proved.service)).await.unwrap().document.unwrap();
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["journal"]["evidence"]["anew"]["found"], json!(name));
    let nothing = azure.run(&["unblock", "sr-restored", "--yes"]);
    assert!(text(&nothing.stderr).contains("nothing to clear"), "{}", text(&nothing.stderr));
    let history = text(&azure.run(&["history"]).stdout);
    assert!(
        history
            .contains(&format!("a new chain of evidence is begun, for another document is there as {name}")),
        "{history}"
    );
}

/// Where a journal is gone, or nobody ever checked, nobody knows what was changed.
#[tokio::test]
async fn of_what_nobody_has_checked_it_is_not_said_that_nothing_was_changed() {
    Proved::new().await.proves(as_it_is).await;
    let mut proved = Proved::new().await;
    proved.journal = Journal::default();
    proved.remember().await;
    for form in [&[][..], &["--verify"], &["--json"]] {
        let (code, told, complaints) = proved.report(form);
        assert!(complaints.contains("no run has recorded anything about it"), "{form:?}: {complaints}");
        assert!(
            code == Some(1) && !told.contains("nothing was changed") && !told.contains("OK: documents"),
            "{told}"
        );
    }
}
