//! Every seed of the fuzz targets, through the same functions as they are fuzzed with: what was once found stays found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "tests may fail loudly"
)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use targets::TARGETS;

/// A seed is read by people too.
const LARGEST_SEED: u64 = 4 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a folder, sorted, without their extension.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_seed_holds() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let folder = fuzz().join("seeds").join(name);
        for seed in names(&folder) {
            let data = fs::read(folder.join(&seed)).unwrap();
            if catch_unwind(|| target(&data)).is_err() {
                failed.push(format!("{name}/{seed}"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn every_target_has_its_file_and_a_few_small_seeds() {
    let known: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), known);
    assert_eq!(names(&fuzz().join("seeds")), known);
    for name in known {
        let folder = fuzz().join("seeds").join(&name);
        let sizes: Vec<u64> =
            fs::read_dir(&folder).unwrap().map(|seed| seed.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.len() >= 5, "{name} has {} seeds", sizes.len());
        assert!(sizes.iter().all(|size| *size <= LARGEST_SEED), "a seed of {name} is too large");
    }
}
