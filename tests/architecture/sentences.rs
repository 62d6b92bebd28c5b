//! Every sentence for people stands in `src/report`, and the core has none.

use std::collections::BTreeSet;

use super::{code, files, root, source};

/// The text of each string literal in code that people may read. What only programmers and clap's own help show is left out:
/// attributes, panics and debug lines.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find('"') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        // A quotation mark as a character begins no string.
        if before.ends_with('\'') && after.starts_with('\'') {
            rest = &after[1..];
            continue;
        }
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before[..before.len() - hashes].ends_with('r');
        let end = if is_raw {
            after.find(&format!("\"{}", "#".repeat(hashes))).unwrap()
        } else {
            let mut escaped = false;
            let mut signs = after.char_indices();
            let end = signs.find(|(_, sign)| {
                let ends = *sign == '"' && !escaped;
                escaped = *sign == '\\' && !escaped;
                ends
            });
            end.unwrap().0
        };
        let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default();
        let unseen = ["#[", "panic!(", "expect(", "debug!("];
        if !unseen.iter().any(|words| statement.contains(words)) {
            found.push(after[..end].to_owned());
        }
        rest = &after[end + 1..];
    }
    found
}

/// Whether a text has three words of small letters in a row: it is a part of a sentence, and no name, code or path.
fn is_prose(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
    let is_small = |word: &&str| {
        let word = word.trim_end_matches([',', ';', ':', '.']);
        !word.is_empty() && word.chars().all(|sign| sign.is_ascii_lowercase())
    };
    words.windows(3).any(|three| three.iter().all(is_small))
}

fn prose(code: &str) -> Vec<String> {
    literals(code).into_iter().filter(|text| is_prose(text)).collect()
}

/// Where else there is prose, and why.
const ELSEWHERE: [(&str, &str); 9] = [
    ("azure/consumers/app_service/dictionary.rs", "what serde is told was expected; nobody is shown it"),
    ("cli.rs", "the usage text"),
    ("cli/demo.rs", "the demo's own"),
    ("cli/notice.rs", "what is wrong with a flag, beside its usage"),
    ("cli/simulate.rs", "the embedded Azure's own usage and faults"),
    (
        "config/",
        "what is wrong with a value stands beside the rule for it, for it says what to write instead",
    ),
    ("doctor", "a finding stands beside the check that makes it, with the command that fixes it"),
    ("metrics.rs", "what each metric is, for its receiver, stands beside its name and unit"),
    ("init", "a file with comments is written, beside what is found"),
];

#[test]
fn every_sentence_for_people_stands_in_report() {
    let mut needed = BTreeSet::new();
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        if ["report", "demo"].iter().any(|part| name.starts_with(part)) || is_of_tests(&path) {
            continue;
        }
        let prose = prose(&code(&path));
        if prose.is_empty() {
            continue;
        }
        let allowed = ELSEWHERE.iter().find(|(place, _)| name.starts_with(place));
        assert!(allowed.is_some(), "{name} has sentences for people, which belong to report: {prose:#?}");
        needed.extend(allowed.map(|(place, _)| *place));
    }
    let listed: BTreeSet<&str> = ELSEWHERE.iter().map(|(place, _)| *place).collect();
    assert_eq!(needed, listed, "a place that has none any more");
}

/// Ids, key types and the like are shown as they are; what is decided or happened is put into words by `report`.
#[test]
fn the_core_has_no_sentences() {
    let of_models = [
        "id.rs",
        "key.rs",
        "consumer.rs",
        "key_value.rs",
        "secret.rs",
        "name.rs",
        "container_app.rs",
        "static_web_app.rs",
    ];
    let of_models = of_models.map(|file| format!("model/{file}"));
    let of_values: Vec<String> =
        of_models.into_iter().chain(["calendar.rs", "calendar/zone.rs"].map(str::to_owned)).collect();
    for path in files(&root().join("crates/core/src")).iter().filter(|path| !is_of_tests(path)) {
        let code = code(path);
        // What stands in the place of a name.
        let mask = path.ends_with("model/printable.rs").then_some("(a text that looks like a key)");
        assert_eq!(prose(&code), mask.into_iter().collect::<Vec<_>>(), "{}", path.display());
        let shows = code.contains("Display for ");
        assert!(
            !shows || of_values.iter().any(|file| path.ends_with(file)),
            "{} puts something into words",
            path.display()
        );
    }
}

#[test]
fn prose_is_told_from_names_code_and_what_nobody_is_shown() {
    let code = r##"f("it is so, and stays"); g(r#"a "b" is so now"#); x.expect("never mind this here"); h('"', "two words");
        #[error("not shown by this")] i("az login --tenant t", "Keys_Have_No_Words", "so \"it is\" said then");"##;
    assert_eq!(prose(code), ["it is so, and stays", r#"a "b" is so now"#]);
}

/// Whether a file holds tests alone: `tests.rs`, or a part of it.
fn is_of_tests(path: &std::path::Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}
