//! The shape of the code that is kept by test: who may know whom.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

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
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
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
        "humantime",
        "secrecy",
        "serde",
        "serde_json",
        "sha2",
        "strsim",
        "thiserror",
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
            "std::net",
            "std::thread",
            "std::env",
        ] {
            assert!(!code(path).contains(effect), "{} knows of {effect}", path.display());
        }
    }
}

#[test]
fn only_the_clock_asks_the_operating_system_for_the_time() {
    let all = files(&source());
    let asks = |path: &&PathBuf| code(path).contains("Utc::now()") || code(path).contains("Instant::now()");
    let asking: Vec<_> =
        all.iter().filter(asks).map(|path| path.strip_prefix(source()).unwrap().to_owned()).collect();
    // Tokens are judged by azure_identity's own clock, so the simulator's token endpoint goes by the same.
    let allowed = ["clock.rs", "sim/identity.rs"];
    let others = asking.iter().filter(|path| !allowed.contains(&path.to_str().unwrap()));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

#[test]
fn nothing_but_the_command_line_and_the_demo_knows_the_simulator() {
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let may = name.starts_with("sim") || name.starts_with("demo") || name == "cli.rs" || name == "lib.rs";
        assert!(may || !code(&path).contains("crate::sim"), "{name} knows the simulator");
    }
}

#[test]
fn only_the_store_makes_a_proof_of_the_lease() {
    for path in files(&source()).iter().filter(|path| !path.ends_with("store.rs")) {
        assert!(!code(path).contains("LeaseProof("), "{} makes a proof", path.display());
    }
}

/// What is special to a kind of service or consumer stands in that kind's room, so that a new kind needs no other.
#[test]
fn what_is_special_to_a_kind_is_known_in_its_room() {
    let rooms = [
        ("azure/services/signalr.rs", &["Microsoft.SignalRService", "SignalR_", "/listKeys"][..]),
        ("azure/consumers/app_service", &["Microsoft.Web", "WebApps_", "/config/appsettings"]),
    ];
    // The embedded Azure and the demo are Azure; the fuzz targets play it; an example of a file to write is text.
    let others = ["sim", "demo", "fuzzing", "cli/init.rs", "report/text"];
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
        let may = name == "azure/arm/error.rs" || name.starts_with("sim");
        let known = codes.iter().find(|error_code| code(&path).contains(*error_code));
        assert!(may || known.is_none(), "{name} matches on {known:?}");
    }
}
