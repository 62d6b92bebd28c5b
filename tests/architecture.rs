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
    let pure = ["base64", "chrono", "secrecy", "serde", "serde_json", "sha2", "strsim", "thiserror", "url"];
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

/// The text of each string literal in code that people may read, with where it begins. What only programmers and clap's own
/// help show is left out: attributes, panics and debug lines.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find('"') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let raw = before.chars().rev().take_while(|sign| *sign == '#').count();
        let is_raw = before[..before.len() - raw].ends_with('r');
        // A quotation mark as a character is none of a string.
        if before.ends_with('\'') && after.starts_with('\'') {
            rest = &after[1..];
            continue;
        }
        let end = if is_raw {
            after.find(&format!("\"{}", "#".repeat(raw))).unwrap()
        } else {
            let mut escaped = false;
            let is_end = |(at, sign): (usize, char)| {
                let ends = sign == '"' && !escaped;
                escaped = sign == '\\' && !escaped;
                ends.then_some(at)
            };
            after.char_indices().find_map(is_end).unwrap()
        };
        let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default();
        let unseen = ["#[", "panic!(", "expect(", "debug!(", "reason ="];
        if !unseen.iter().any(|words| statement.contains(words)) {
            found.push(after[..end].to_owned());
        }
        rest = &after[end + 1..];
    }
    found
}

/// Whether a text has three words of small letters in a row: a part of a sentence, and no name, code or path.
fn is_prose(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
    let small = |word: &&str| {
        let word = word.trim_end_matches([',', ';', ':', '.']);
        !word.is_empty() && word.chars().all(|sign| sign.is_ascii_lowercase())
    };
    words.windows(3).any(|three| three.iter().all(small))
}

/// What may hold prose outside `report`, and why.
const PROSE_ELSEWHERE: [(&str, &str); 1] = [("cli.rs", "the usage text of the commands")];

#[test]
fn every_sentence_for_people_stands_in_report() {
    let mut needed = std::collections::BTreeSet::new();
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let prefix = |parts: &[&str]| parts.iter().any(|part| name.starts_with(part));
        if prefix(&["report", "sim", "demo", "fuzzing"]) || name.ends_with("tests.rs") {
            continue;
        }
        let prose: Vec<String> = literals(&code(&path)).into_iter().filter(|text| is_prose(text)).collect();
        if prose.is_empty() {
            continue;
        }
        let allowed = PROSE_ELSEWHERE.iter().find(|(file, _)| name.starts_with(file));
        needed.extend(allowed.map(|(file, _)| *file));
        assert!(allowed.is_some(), "{name} has sentences for people, which belong to report: {prose:#?}");
    }
    let listed = PROSE_ELSEWHERE.iter().map(|(file, _)| *file);
    assert!(needed.into_iter().eq(listed), "an exception that is needed no more");
}

#[test]
fn the_core_has_no_sentences() {
    for path in files(&root().join("crates/core/src")).iter().filter(|path| !path.ends_with("tests.rs")) {
        let code = code(path);
        let prose: Vec<String> = literals(&code).into_iter().filter(|text| is_prose(text)).collect();
        assert_eq!(prose, Vec::<String>::new(), "{}", path.display());
        let displays = code.matches("Display for ").count();
        let of_values = ["section.rs", "key.rs", "id.rs"].iter().any(|file| path.ends_with(file));
        assert!(displays == 0 || of_values, "{} puts values into words", path.display());
    }
}

#[test]
fn what_is_prose_is_found() {
    let code = r##"f("it is so, and stays"); g(r#"a "b c d" e"#); expect("never mind this here"); h('"', "two words");"##;
    let prose: Vec<String> = literals(code).into_iter().filter(|text| is_prose(text)).collect();
    assert_eq!(prose, ["it is so, and stays"]);
}
