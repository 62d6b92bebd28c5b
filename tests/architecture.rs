//! The shape of the code that is kept by test: who may know whom.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
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

fn assert_knows_nothing_of(parts: &[&str], words: &[&str]) {
    let paths: Vec<_> = parts.iter().flat_map(|part| files(&source().join(part))).collect();
    assert!(!paths.is_empty());
    for path in paths.iter().filter(|path| !path.ends_with("tests.rs")) {
        for word in words {
            assert!(!code(path).contains(word), "{} knows of {word}", path.display());
        }
    }
}

#[test]
fn the_decision_and_the_journal_are_pure() {
    let effects =
        ["tokio", "reqwest", "crate::arm", "crate::store", "crate::act", "async ", "Utc::now", "SystemClock"];
    assert_knows_nothing_of(&["plan.rs", "plan", "journal.rs", "journal", "notice.rs", "notice"], &effects);
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

#[test]
fn azures_error_codes_are_known_in_one_file() {
    let codes = ["AuthorizationFailed", "ResourceNotFound", "SubscriptionRequestsThrottled"];
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let may = name == "arm/error.rs" || name.starts_with("sim");
        let known = codes.iter().find(|error_code| code(&path).contains(*error_code));
        assert!(may || known.is_none(), "{name} matches on {known:?}");
    }
}
