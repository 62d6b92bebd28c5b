//! What docs/operate.md says of the log, of storage commands, and of each sentence that the program has for people.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::common::program::{Azure, Handler, text};
use super::markdown::{Block, Document};
use super::root;

fn operate() -> Document {
    Document::read("docs/operate.md")
}

/// A text on one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The literals of a source file without its tests and comments, continued ones joined as the compiler joins them.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let (mut found, mut signs) = (Vec::new(), code.chars().peekable());
    while let Some(sign) = signs.next() {
        if sign != '"' {
            continue;
        }
        let mut literal = String::new();
        while let Some(sign) = signs.next().filter(|sign| *sign != '"') {
            match (sign, signs.peek()) {
                ('\\', Some('\n')) => while signs.next_if(|sign| sign.is_whitespace()).is_some() {},
                ('\\', Some(_)) => literal.extend(signs.next()),
                _ => literal.push(sign),
            }
        }
        found.push(literal);
    }
    found
}

/// What stands between what is variable in a literal, as far as it says anything.
fn parts(literal: &str) -> Vec<String> {
    let fixed = literal.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    let trimmed = fixed.map(|part| part.trim_matches([' ', ';', ':', ',', '.', '(', ')']).to_owned());
    trimmed.filter(|part| part.len() >= 10 && part.contains(' ')).collect()
}

/// Why a run, the storage or Azure is at fault. The other rooms of `report::text` have lists of their own in `reasons`, or
/// answer whoever typed a command with what to type next.
const FILES: [&str; 4] = ["agent", "azure", "error", "run"];

/// Sentences that need no row, by their beginning.
const WITHOUT_A_ROW: &[&str] = &[
    // What was tried, behind "cannot": the row is that of what came of it.
    "list the ",
    "read the ",
    "write the ",
    "regenerate a key",
    "sign in to Azure",
    // In `give the identity … there` and in `register the resource provider`.
    "this action",
    "its namespace",
    // Of the agent: between what failed and why.
    "it answered",
    // It is told as it went on record.
    "on record; the rotation may begin until",
    // In the place of what nobody said.
    "Azure gave no reason",
    "no reason given",
    "without a code",
    // A fault of the program: it stands behind "cannot DO THIS".
    "could not make the request",
    "could not write the body",
    "could not sign the call",
    "the answer did not come in time",
    "no answer within",
    // An app, or a list of apps, that a check did not come to, in `cannot read the settings of …` and the like.
    "it was not read",
    "it was not looked for",
    // What a group of variables is for, in `… is not set, but … is`.
    "an application's client secret",
    "a workload identity",
    "a managed identity",
    // In the row of an answer that is no token's.
    "something other than JSON",
    "is not a host name",
    // In `cannot read the journal … (…)`.
    "it is larger than",
    "a time in it",
    "it is not a journal",
    "its number is from the future",
    // In `… is no longer in resource group …: it cannot be told whether it was deleted or moved (…)`.
    "the list of sites in its subscription",
    "Azure lists the site",
    "cannot list the sites",
    "cannot search the other subscriptions",
    // Who has a lock, in its row.
    "another run (",
    // A step that `plan` foresees.
    "follow the regeneration of",
    "repair with the",
    "repoint to the",
    "verify that the",
    // Of an error's body, in the row of `not the envelope of this function: …`.
    "the body",
    // In a document of the storage, and not in the log.
    "Releases that do not know this version",
    // Why keys are watched closely, in `keys are watched closely from …`.
    "a regeneration is announced",
    "a regeneration of the Primary key is announced",
    "a regeneration of the Secondary key is announced",
];

#[test]
fn every_sentence_on_what_went_wrong_has_its_row() {
    let document = flat(&operate().text);
    let mut checked = 0;
    let mut missing = BTreeSet::new();
    let mut unused: BTreeSet<&str> = WITHOUT_A_ROW.iter().copied().collect();
    for file in FILES {
        let source = std::fs::read_to_string(root().join(format!("src/report/text/{file}.rs"))).unwrap();
        // What an event of the journal lacks to be legal, and what an envelope of the host lacks, is told in brackets or
        // behind a line that has its row, and is for whoever mends a program.
        let mut source = source;
        for block in ["impl InWords for Condition", "impl InWords for Fault"] {
            let Some((before, after)) = source.split_once(block) else { continue };
            source = format!("{before}{}", after.split_once("\n}\n").unwrap().1);
        }
        for literal in literals(&source) {
            let parts = parts(&literal);
            let Some(first) = parts.first() else { continue };
            checked += 1;
            // The beginning will do: long sentences stand in the tables with their end left out.
            let is_told = parts.iter().any(|part| {
                let words: Vec<&str> = part.split(' ').take(4).collect();
                document.contains(&words.join(" "))
            });
            let exempt = WITHOUT_A_ROW.iter().find(|start| first.starts_with(*start));
            exempt.iter().for_each(|start| {
                unused.remove(**start);
            });
            if !is_told && exempt.is_none() {
                missing.insert(format!("{file}: {literal}"));
            }
        }
    }
    assert!(checked > 100, "{checked}");
    assert!(missing.is_empty(), "not in docs/operate.md: {missing:#?}");
    assert!(unused.is_empty(), "nothing begins so any more: {unused:?}");
}

#[test]
fn what_a_source_says_is_found_in_it() {
    let source =
        "// \"a comment\"\nconst A: &str = \"one \\\n    two\"; f!(\"it is \\\"{x}\\\" here today\");";
    assert_eq!(literals(source), ["one two", "it is \"{x}\" here today"]);
    assert_eq!(parts("so it is {x}: and not at {y} all"), ["and not at"]);
}

/// The fields that the document promises stand in the lines that it promises them for, and its query finds them.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_log_have_the_fields_that_are_promised() {
    let azure = Azure::start(&[]);
    let mut handler = Handler::start(&azure, &[]).await;
    assert_eq!(handler.tick().await.0, 200);
    // It writes its last lines before it ends; killed, it would lose them.
    let id = handler.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    handler.child.wait().unwrap();
    let printed = handler.kill();
    let lines: Vec<Value> = printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let has = |line: &Value, fields: &[&str]| fields.iter().all(|field| line[*field].is_string());
    assert!(lines.iter().all(|line| has(line, &["time", "level", "target", "message"])), "{lines:#?}");
    let said =
        |what: &str| lines.iter().find(|line| line["message"].as_str().unwrap().contains(what)).expect(what);
    let of_run = said("first check: ");
    assert!(
        has(of_run, &["invocation", "function", "instance", "run"]) && !has(of_run, &["step"]),
        "{of_run}"
    );
    let of_step = said("Azure accepted the regeneration");
    assert!(has(of_step, &["invocation", "function", "instance", "run", "step"]), "{of_step}");
    let end = said("RotateKeys is done: ");
    assert!(has(end, &["invocation", "function"]) && !has(end, &["instance"]), "{end}");
    assert!(!has(said("serving the Functions host"), &["invocation"]));
    assert!(!has(said("doctor"), &["instance"]));

    let blocks = operate().blocks();
    let query = blocks.iter().find(|block| block.info == "kusto").unwrap().text.replace("chat", "sr-demo");
    let wanted: Vec<&str> =
        query.split("message contains '").skip(1).map(|of| of.split('\'').next().unwrap()).collect();
    assert_eq!(wanted.len(), 2, "{query}");
    let found = |line: &str| wanted.iter().any(|wanted| line.contains(wanted));
    let raw =
        |what: &str| printed.lines().find(|line| line.starts_with('{') && line.contains(what)).expect(what);
    for what in ["first check: ", "Azure accepted the regeneration", "RotateKeys is done: "] {
        assert!(found(raw(what)), "the query does not find {what}");
    }
    assert!(!found(raw("serving the Functions host")));
}

/// Nothing is deleted that is not at hand: no copy that Azure makes when it likes, and `&&` before each deletion.
#[test]
fn a_blob_is_deleted_only_after_it_was_fetched() {
    let journals = |block: &Block| block.text.contains("blob delete ");
    let all = ["docs/operate.md", "docs/upgrade.md"].map(|name| Document::read(name).blocks());
    let blocks: Vec<Block> = all.into_iter().flatten().filter(journals).collect();
    assert_eq!(blocks.len(), 2, "an unreadable journal, and the way back to an older release");
    for Block { text, .. } in blocks {
        let text = flat(&text.replace("\\\n", " "));
        assert!(!text.contains("copy start"), "{text}");
        let (before, _) = text.split_once("az storage blob delete ").unwrap();
        assert!(before.contains("az storage blob download "), "{text}");
        let tested = before.split("&&").map(str::trim).collect::<Vec<_>>();
        assert!(tested.len() == 3 && tested[1].starts_with("test -s ") && tested[2].is_empty(), "{text}");
        assert!(
            !text.contains("GROUP") && !text.contains("NAME"),
            "names of blobs are in lower case: {text}"
        );
    }
}

/// Who reads of an app that is cut off while no journal can be gone by is told how it is repaired all the same.
#[tokio::test(flavor = "multi_thread")]
async fn apps_are_repaired_without_a_journal_as_the_lines_say() {
    let azure = Azure::start(&[]);
    azure.force("sr-demo", "Both").await;
    let done = azure.run(&["rotate", "sr-demo", "--without-journal", "--yes"]);
    let told = text(&done.stdout);
    assert!(done.status.success() && told.contains("now hold the "), "{told}");
    let rows = operate().rows("Errors of the journal and the storage");
    let unreadable = rows.iter().find(|row| row[0].contains("cannot read the journal")).unwrap();
    assert!(
        unreadable[0].contains("If apps are cut off") && unreadable[2].contains("#an-unreadable-journal")
    );
}
