//! The parser of Microsoft.Azure.SignalR, as it is, against ours, on strings that nobody would write and some that people
//! do: nothing that any version of it would connect with to our service, or with our key, may be out of our sight, and
//! writing another key must change what it reads in the key alone.
//!
//! Needs the program that `REKEY_SIGNALR_PARSE` names, called as `PROGRAM VERSION IN.json OUT.json`; without it nothing is
//! compared, and a line says so. `REKEY_SDK_STRINGS` says how many strings, `REKEY_SDK_SEED` which.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::process::Command;

use chrono::DateTime;
use fastrand::Rng;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{AppId, Key, KeyPair, KeyType, PerKey, Section, host_of};
use rekey_core::plan::{Holding, SettingFault, Snapshot, Unknown};
use serde_json::Value;
use signalr_rekey::azure::consumers::Marks;
use signalr_rekey::azure::consumers::app_service::Dictionary;
use signalr_rekey::azure::discovery::{Dictionaries, by_value};

const VERSIONS: [&str; 3] = ["1.34.0", "1.15.2", "1.0.7"];
const HOST: &str = "chat.service.signalr.net";
const CURRENT: &str = "Aq7Ah3XvP0nZ2sLdT5yWbM8cRfJ4gUeHiQoV6tNxSzDlBpKaEwYrCmFuGjOkJQQJ99BCACYeBjFXJ3AAAAS1";
const SECOND: &str = "c2Vjb25kK2tleS9vZi00NC1jaGFyYWN0ZXJzLTAxMg==";
const FORMER: &str = "Zm9ybWVyK2tleS9vZi00NC1jaGFyYWN0ZXJzLTAxMg==";
const UNKNOWN: &str = "dW5rbm93bitrZXkvb2YtNDQtY2hhcmFjdGVycy0wMQ==";
const NEW: &str = "bmV3K2tleS9vZi00NC1jaGFyYWN0ZXJzLWxpa2UtMA==";

/// What is dropped into a string by chance: what separates, what one parser takes for blank and another does not, and
/// what becomes another sign in upper or lower case or in DNS.
const ODD: [char; 38] = [
    ' ', '\t', '\n', '\r', ';', '=', '\u{a0}', '\u{85}', '\u{3000}', '\u{feff}', '\u{1f}', '\0', '/', '\\',
    '.', ':', '@', '?', '#', '%', '"', '\'', '-', '_', '+', '[', '{', '\u{212a}', '\u{17f}', '\u{131}', 'é',
    'É', '\u{ff43}', '\u{3002}', '\u{200b}', '\u{ad}', '²', '\u{660}',
];

/// The parts of strings, and what may stand in each.
const PARTS: [(&str, &[&str]); 12] = [
    (
        "Endpoint",
        &[
            "https://chat.service.signalr.net",
            "https://chat.service.signalr.net/",
            "https://chat.service.signalr.net",
            "http://CHAT.service.signalr.net:8080",
            "https://chat.service.signalr.net.",
            "https://chat.service.signalr.net/path?x=1#y",
            "https:\\\\chat.service.signalr.net",
            "https://user:word@chat.service.signalr.net",
            "https://gw.example",
            "https://other.service.signalr.net",
            "https://[::1]:8443",
            "chat.service.signalr.net",
            "wss://chat.service.signalr.net",
            "",
        ],
    ),
    ("AccessKey", &[CURRENT, CURRENT, SECOND, FORMER, UNKNOWN, "", "%KEY%", "'quoted'"]),
    ("Version", &["1.0", "1.0", "1.0-preview", "1.12.3", "1", "2.0", "1.0a", "1..0", ""]),
    ("Port", &["443", "8080", "0", "65536", "+443", "0443", "443.0", ""]),
    ("AuthType", &["azure", "azure.msi", "azure.app", "aad", "AccessKey", "nonsense", ""]),
    ("ClientEndpoint", &["https://gw.example/x", "https://chat.service.signalr.net", "gw", ""]),
    ("ServerEndpoint", &["https://chat.service.signalr.net", "https://gw.example?x", "srv", ""]),
    ("ClientId", &["00000000-0000-0000-0000-000000000001", "c"]),
    ("TenantId", &["00000000-0000-0000-0000-000000000002"]),
    ("ClientSecret", &["s"]),
    ("ApplicationName", &["x=y", ""]),
    ("", &["", "words"]),
];

fn string(chance: &mut Rng) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (n, (name, values)) in PARTS.iter().enumerate() {
        let likely = [97, 92, 60][..].get(n).copied().unwrap_or(14);
        if chance.u32(..100) < likely {
            // What comes first is what people write.
            let at = if chance.bool() { 0 } else { chance.usize(..values.len()) };
            let name = if chance.u32(..8) == 0 { swapped(name, chance) } else { (*name).to_owned() };
            let blank = |chance: &mut Rng| if chance.u32(..12) == 0 { " " } else { "" };
            let (a, b, c, d) = (blank(chance), blank(chance), blank(chance), blank(chance));
            parts.push(format!("{a}{name}{b}={c}{}{d}", values[at]));
        }
    }
    if chance.u32(..3) == 0 {
        chance.shuffle(&mut parts);
    }
    if chance.u32(..25) == 0
        && let Some(twice) = parts.first().cloned()
    {
        parts.push(twice);
    }
    let mut text: Vec<char> = parts.join(";").chars().collect();
    if chance.bool() {
        text.push(';');
    }
    for _ in 0..[0, 0, 1, 1, 2, 4][chance.usize(..6)] {
        let at = chance.usize(..=text.len());
        match chance.u32(..5) {
            0 if at < text.len() => drop(text.remove(at)),
            1 if at < text.len() => text[at] = ODD[chance.usize(..ODD.len())],
            _ => text.insert(at, ODD[chance.usize(..ODD.len())]),
        }
    }
    text.into_iter().collect()
}

fn swapped(name: &str, chance: &mut Rng) -> String {
    let swap = |sign: char| {
        if chance.bool() { sign.to_ascii_uppercase() } else { sign.to_ascii_lowercase() }
    };
    name.chars().map(swap).collect()
}

/// What a version of the SDK reads in each string; nothing where it refuses it.
fn read(program: &str, version: &str, strings: &[String]) -> Vec<Option<Value>> {
    let folder = tempfile::tempdir().unwrap();
    let (asked, answered) = (folder.path().join("in.json"), folder.path().join("out.json"));
    let named: BTreeMap<String, &String> =
        strings.iter().enumerate().map(|(n, string)| (n.to_string(), string)).collect();
    std::fs::write(&asked, serde_json::to_vec(&named).unwrap()).unwrap();
    let status = Command::new(program).arg(version).args([&asked, &answered]).status().unwrap();
    assert!(status.success(), "{program} {version}: {status}");
    let answer: Value = serde_json::from_slice(&std::fs::read(&answered).unwrap()).unwrap();
    let results = &answer["results"];
    assert_eq!(results.as_object().unwrap().len(), strings.len());
    let taken = |n: usize| Some(results[n.to_string()].clone()).filter(|read| read["ok"] == true);
    (0..strings.len()).map(taken).collect()
}

/// What an app with one such setting shows.
fn shown(string: &str) -> Snapshot {
    let (keys, journal) = (keys(), journal());
    let settings: Dictionary = [("X", string)].into_iter().collect();
    let read: Dictionaries = [(Section::AppSettings, settings)].into_iter().collect();
    let marks = Marks { keys: Some(&keys), host: HOST, journal: &journal };
    read.shown(&by_value(&AppId::new("s", "g", "web", None)), marks, None)
}

/// What is written in the place of a string that holds a key of ours.
fn with_new_key(string: &str) -> String {
    let (keys, journal) = (keys(), journal());
    let marks = Marks { keys: Some(&keys), host: HOST, journal: &journal };
    let written = marks.with_key(string, &Key::new(NEW), false);
    written.map_or_else(|| string.to_owned(), |text| text.as_str().to_owned())
}

fn keys() -> KeyPair {
    KeyPair { primary: Key::new(CURRENT), secondary: Key::new(SECOND) }
}

/// It knows the keys, and one that was before them.
fn journal() -> Journal {
    let keys = keys();
    let mut journal = Journal::default();
    let mut known = PerKey::from_fn(|key_type| keys[key_type].fingerprint());
    let second = std::mem::replace(&mut known.secondary, Key::new(FORMER).fingerprint());
    let changed = Event::KeyChanged { key_type: KeyType::Secondary, fingerprint: second };
    for event in [Event::Adopted { keys: known }, changed] {
        journal.apply(event, DateTime::UNIX_EPOCH).unwrap();
    }
    journal
}

/// What the SDK read, with another key.
fn object(read: &Value, key: String) -> serde_json::Map<String, Value> {
    let mut members = read.as_object().cloned().unwrap_or_default();
    members.insert("key".into(), key.into());
    members
}

/// Whether what the SDK read leads to our service.
fn is_ours(read: &Value) -> bool {
    let names_us = |url: &str| host_of(url).as_deref() == Some(HOST);
    ["endpoint", "server", "client"].iter().any(|part| read[*part].as_str().is_some_and(names_us))
}

#[derive(Debug, Default)]
struct Tally {
    keys: usize,
    identities: usize,
    refused_by_all: usize,
    rewritten: usize,
}

#[test]
fn what_microsofts_parser_reads_we_see() {
    let Ok(program) = std::env::var("REKEY_SIGNALR_PARSE") else {
        println!("skipped: REKEY_SIGNALR_PARSE names no program with the parser of Microsoft's SDK");
        return;
    };
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
    };
    let (seed, count) = (number("REKEY_SDK_SEED", 1), number("REKEY_SDK_STRINGS", 20_000));
    println!("{count} strings from seed {seed}");
    let mut chance = Rng::with_seed(seed);
    let strings: Vec<String> = (0..count).map(|_| string(&mut chance)).collect();
    let reads = VERSIONS.map(|version| read(&program, version, &strings));
    let mut tally = Tally::default();
    let mut faults = Vec::new();
    let mut rewritten = Vec::new();
    for (n, string) in strings.iter().enumerate() {
        let seen = shown(string);
        let taken: Vec<&Value> = reads.iter().filter_map(|reads| reads[n].as_ref()).collect();
        let claims = seen.consumers.iter().any(|consumer| consumer.holds != Holding::Identity);
        if taken.is_empty() {
            tally.refused_by_all += 1;
            // What is not judged is taken.
            let is_judged = string.is_ascii() && !string.contains(".-") && !string.contains("._");
            // A key of ours that stands in it, or one beside our host, is one in a text, whatever reads that.
            let holds_one = [CURRENT, SECOND, FORMER].iter().any(|key| string.contains(key));
            let names_us = string.replace('\\', "").to_ascii_lowercase().contains(HOST);
            if claims && is_judged && !holds_one && !names_us {
                faults.push(format!("claimed, though no version takes it: {string:?}"));
            }
            continue;
        }
        for read in taken {
            // Older versions read an empty key as a key, which opens nothing.
            let key = read["key"].as_str().filter(|key| !key.is_empty());
            let uses_ours = key.is_some_and(|key| is_ours(read) || [CURRENT, SECOND].contains(&key));
            if uses_ours {
                tally.keys += 1;
                // A string of ours that is not to be overwritten, or that contradicts itself, is told.
                let told = seen.unknown.iter().any(|unknown| {
                    matches!(
                        unknown,
                        Unknown::Setting {
                            fault: SettingFault::Placeholder | SettingFault::OtherServicesHost,
                            ..
                        }
                    )
                });
                if !claims && !told {
                    faults.push(format!("not seen: {string:?} as {read}"));
                }
            } else if is_ours(read) {
                tally.identities += 1;
                if seen.consumers.is_empty() && seen.unknown.is_empty() {
                    faults.push(format!("not seen as identity: {string:?} as {read}"));
                }
            }
        }
        if claims {
            rewritten.push((n, with_new_key(string)));
        }
    }
    tally.rewritten = rewritten.len();
    let texts: Vec<String> = rewritten.iter().map(|(_, text)| text.clone()).collect();
    for (version, before) in VERSIONS.iter().zip(&reads) {
        for ((n, text), after) in rewritten.iter().zip(read(&program, version, &texts)) {
            let Some(before) = before[*n].clone() else { continue };
            let Some(key) = before["key"].as_str() else {
                if after.as_ref() != Some(&before) {
                    faults.push(format!("{version} reads {text:?} otherwise: {before} became {after:?}"));
                }
                continue;
            };
            let with = |key: String| Some(Value::Object(object(&before, key)));
            // Of a string that leads elsewhere, or whose key is told to be none, the characters of our key alone are
            // replaced, with nothing around them.
            let within =
                [CURRENT, SECOND, FORMER].iter().fold(key.to_owned(), |key, one| key.replace(one, NEW));
            let is_told = || !is_ours(&before) || !shown(&strings[*n]).unknown.is_empty();
            if after != with(NEW.to_owned()) && !(after == with(within) && is_told()) {
                faults.push(format!("{version} reads {text:?} otherwise: {before} became {after:?}"));
            }
        }
    }
    println!("{tally:?}, {} faults", faults.len());
    assert!(
        tally.keys > strings.len() / 2 && tally.identities > strings.len() / 100,
        "{tally:?}: telling strings"
    );
    assert!(
        faults.is_empty(),
        "{} faults, such as:\n{}",
        faults.len(),
        faults[..faults.len().min(20)].join("\n")
    );
}
