//! The documents against the program: every command in them runs or is marked, every setting, command, reason and error is
//! in them and still in the program, and every link leads somewhere.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod agent;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod json;
mod links;
mod markdown;
mod metrics;
mod notices;
mod operate;
mod reasons;
mod settings;
mod simulate;

use std::fs;
use std::path::Path;

use markdown::Document;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All documents of the product.
fn documents() -> Vec<Document> {
    let mut names =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "infra/README.md"].map(str::to_owned).to_vec();
    let folder = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let folder = folder.map(|name| format!("docs/{}", name.to_str().unwrap()));
    names.extend(folder.filter(|name| name.ends_with(".md")));
    names.extend(["fuzz/README.md".to_owned()].into_iter().filter(|name| root().join(name).exists()));
    names.sort();
    let documents: Vec<_> = names.iter().map(|name| Document::read(name)).collect();
    assert!(documents.len() >= 10, "{names:?}");
    documents
}

/// A text of the program's sources, on one line: Rust's continued strings are joined as the compiler joins them.
fn sources(folder: &str) -> String {
    let mut all = String::new();
    let mut folders = vec![root().join(folder)];
    if folder == "src" {
        folders.push(root().join("crates/core/src"));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut joined = String::new();
    let mut lines = all.lines();
    while let Some(line) = lines.next() {
        let mut line = line.to_owned();
        while let Some(open) = line.strip_suffix('\\') {
            line = format!("{open}{}", lines.next().unwrap_or_default().trim_start());
        }
        joined.push_str(&line);
        joined.push('\n');
    }
    joined
}
