//! Links, names of files, and what does not belong into a document.

use super::{documents, markdown, root};

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, '-' | '_')).collect()
}

fn targets(prose: &str) -> Vec<String> {
    let links = prose.split("](").skip(1);
    links.map(|link| link[..link.find(')').expect("a link ends")].to_owned()).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for document in documents() {
        let here = root().join(&document.name);
        for target in targets(&document.prose()).iter().filter(|target| !target.starts_with("https://")) {
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { here.clone() } else { here.parent().unwrap().join(path) };
            assert!(path.exists(), "{}: {target}", document.name);
            if !fragment.is_empty() {
                let path = path.canonicalize().unwrap();
                let name =
                    path.strip_prefix(root().canonicalize().unwrap()).unwrap().to_str().unwrap().to_owned();
                let anchors: Vec<_> = markdown::Document::read(&name)
                    .headings()
                    .iter()
                    .map(|heading| anchor(heading))
                    .collect();
                assert!(
                    anchors.iter().any(|anchor| anchor == fragment),
                    "{}: {target}: {anchors:?}",
                    document.name
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed}");
}

#[test]
fn files_that_are_named_are_there() {
    let mut found = 0;
    for document in documents() {
        for code in markdown::codes(&document.prose()) {
            let ours = ["src/", "tests/", "docs/", "infra/", "package/", ".ci/"];
            let is_path =
                ours.iter().any(|folder| code.starts_with(folder)) && !code.contains(char::is_whitespace);
            if is_path {
                assert!(root().join(&code).exists(), "{}: {code}", document.name);
                found += 1;
            }
        }
    }
    assert!(found > 15, "{found}");
}

#[test]
fn no_document_names_a_machine_or_runs_too_wide() {
    for document in documents() {
        for place in ["/work/", "/tmp/", "/root/", "/Users/", "C:\\", "/home/"] {
            // Where such things are on everybody's machine.
            let common = ["/home/site/wwwroot", r"C:\inetpub\", r"C:\ProgramData\", r"C:\Windows\"];
            let text = common.iter().fold(document.text.clone(), |text, common| text.replace(common, ""));
            assert!(!text.contains(place), "{} names {place}", document.name);
        }
        let wide = document.prose();
        let wide = wide.lines().find(|line| line.chars().count() > 120 && !line.starts_with('|'));
        assert_eq!(wide, None, "{}", document.name);
        assert!(document.text.ends_with('\n') && !document.text.contains(" \n"), "{}", document.name);
    }
}

#[test]
fn the_architecture_names_every_part() {
    let parts = |library: &str| {
        let code = std::fs::read_to_string(root().join(library)).unwrap();
        let parts =
            code.lines().filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod "));
        parts.map(|part| part.trim_end_matches(';').to_owned()).collect::<Vec<_>>()
    };
    let rows = markdown::Document::read("ARCHITECTURE.md").rows("Architecture");
    let named = |inner: bool| {
        let rows = rows.iter().filter(|row| row[0].starts_with('–') == inner);
        let mut named: Vec<String> = rows.flat_map(|row| markdown::codes(&row[0])).collect();
        named.retain(|part| !part.starts_with("crates/"));
        named.sort_unstable();
        named
    };
    for (library, inner) in [("src/lib.rs", false), ("crates/core/src/lib.rs", true)] {
        let mut parts = parts(library);
        parts.sort_unstable();
        assert_eq!(named(inner), parts, "{library}");
    }
}
