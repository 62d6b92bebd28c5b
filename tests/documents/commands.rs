//! Every fenced command: run here against the embedded Azure, run by `.ci/run`, or marked as needing Azure or `func`.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::common::program::{Azure, PROGRAM, text, timeless};
use super::markdown::{Block, Document, codes};
use super::settings::{flags, subcommands};
use super::{documents, root};

/// What a block of commands may be, and other blocks.
const COMMANDS: [&str; 3] = ["sh", "sh azure", "sh func"];
const OTHERS: [&str; 8] = ["text", "toml", "json", "http", "python", "kusto", "bicep", "hcl"];

fn blocks(kind: &str) -> Vec<(String, Block)> {
    let all = documents().into_iter().flat_map(|document| {
        let name = document.name.clone();
        document.blocks().into_iter().map(move |block| (name.clone(), block))
    });
    all.filter(|(_, block)| block.info == kind).collect()
}

/// Documents whose commands a person runs, for they take hours, and the test that stands in for them.
const BY_HAND: [(&str, &str); 1] = [("fuzz/README.md", "tests/corpora.rs")];

fn is_by_hand(document: &str) -> bool {
    let listed = BY_HAND.iter().find(|(name, _)| *name == document);
    listed.is_some_and(|(_, test)| {
        assert!(root().join(test).exists(), "{test} stands in for {document}");
        true
    })
}

/// The commands of a block without comments, those that go over several lines as one.
fn lines(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split(" #").next().unwrap().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// What is too slow for a test here: CI runs it.
fn is_of_ci(line: &str) -> bool {
    line.starts_with("cargo ") || line.starts_with("package/build")
}

#[test]
fn every_block_says_what_it_is() {
    for document in documents() {
        for block in document.blocks() {
            let known = COMMANDS.contains(&block.info.as_str()) || OTHERS.contains(&block.info.as_str());
            // A decision of what runs a command is a matter of its fence alone.
            assert!(known, "{}: a block is {:?}", document.name, block.info);
        }
    }
    assert!(blocks("sh").len() >= 8 && blocks("sh azure").len() >= 12);
}

#[test]
fn ci_runs_what_is_not_run_here() {
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap().replace(" --locked", "");
    let mut found = 0;
    for (name, block) in blocks("sh") {
        for line in lines(&block.text).iter().filter(|line| is_of_ci(line) && !is_by_hand(&name)) {
            // CI builds the package for each target that it has.
            let run = line.strip_suffix(" x86_64-unknown-linux-gnu").unwrap_or(line);
            let is_run = ci.lines().any(|known| {
                known == run || known.strip_prefix(run).is_some_and(|rest| rest.starts_with(' '))
            });
            assert!(is_run, "{name}: .ci/run does not run {line}");
            found += 1;
        }
    }
    assert!(found >= 3, "{found}");
}

fn there_is(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

const ANNOUNCED: &str = "docs/events/announced.json";

/// A folder like the root, in which a command may write.
fn lay_out(folder: &Path) {
    std::os::unix::fs::symlink(root().join("docs"), folder.join("docs")).unwrap();
    // The deadline in the document is one of its day.
    let event = std::fs::read(root().join(ANNOUNCED)).unwrap();
    let mut event: serde_json::Value = serde_json::from_slice(&event).unwrap();
    event["data"]["deadline"] = (chrono::Utc::now() + chrono::TimeDelta::days(3)).to_rfc3339().into();
    std::fs::write(folder.join("announced.json"), event.to_string()).unwrap();
}

#[test]
fn every_command_that_needs_no_azure_runs() {
    let mut ran = 0;
    for document in documents().iter().filter(|document| !is_by_hand(&document.name)) {
        ran += run_commands(document);
    }
    assert!(ran >= 9, "{ran}");
    let printed = |block: &Block| block.next.as_ref().is_some_and(|(info, _)| info == "text");
    let notices = Document::read("docs/notices.md").blocks();
    let compared = notices.iter().filter(|block| block.info == "sh" && printed(block)).count();
    assert_eq!(
        compared,
        notices.iter().filter(|block| block.info == "text").count(),
        "each is what a command prints"
    );
}

/// Runs the blocks of a document in its order, against an Azure of its own; how many commands that were.
fn run_commands(document: &Document) -> usize {
    let blocks = document.blocks();
    let scripts = blocks.iter().filter(|block| block.info == "sh").map(|block| {
        let here: Vec<String> = lines(&block.text).into_iter().filter(|line| !is_of_ci(line)).collect();
        (here, block)
    });
    // What the tests need has no curl.
    let runs = |(here, block): &(Vec<String>, &Block)| {
        !here.is_empty() && (!block.text.contains("curl ") || there_is("curl"))
    };
    let scripts: Vec<_> = scripts.filter(runs).collect();
    if scripts.is_empty() {
        return 0;
    }
    let azure = Azure::start(&["--regenerate-takes", "100ms", "--restart-takes", "100ms"]);
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path());
    for (here, block) in &scripts {
        let told = run(&here.join("\n"), &azure, folder.path());
        assert!(
            !told.contains("AccessKey=") && !told.contains("AAAAASRS"),
            "{}: a key in {told}",
            document.name
        );
        // What a document says that a command prints, it prints.
        if let Some((info, wanted)) = &block.next
            && info == "text"
        {
            assert_eq!(timeless(told.trim_end()), timeless(wanted.trim_end()), "{}", document.name);
        }
    }
    scripts.iter().map(|(here, _)| here.len()).sum()
}

/// What a script prints, with the program on its path.
fn run(script: &str, azure: &Azure, folder: &Path) -> String {
    let own = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    let base = azure.environment["REKEY_RESOURCE_MANAGER"].trim_end_matches('/');
    let script = script.replace("http://127.0.0.1:7400", base).replace(ANNOUNCED, "announced.json");
    let mut command = Command::new("sh");
    command.args(["-euc", &script]).current_dir(folder).env_clear().envs(&azure.environment);
    command.env("PATH", format!("{own}:{}", std::env::var("PATH").unwrap())).env("REKEY_GRACE", "1s");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success(), "{script}\n{told}{}", text(&output.stderr));
    told
}

/// What only a real Azure could run, and what stands in a sentence, is at least a command that there is, with files that
/// there are.
#[test]
fn commands_that_are_not_run_exist() {
    let subcommands = subcommands();
    let fenced = COMMANDS.iter().flat_map(|kind| blocks(kind)).flat_map(|(name, block)| {
        lines(&block.text).into_iter().map(move |line| (name.clone(), line)).collect::<Vec<_>>()
    });
    let inline =
        documents().into_iter().filter(|document| document.name != "CHANGELOG.md").flat_map(|document| {
            let Document { name, .. } = &document;
            codes(&document.prose()).into_iter().map(|code| (name.clone(), code)).collect::<Vec<_>>()
        });
    let mut seen = 0;
    for (name, line) in fenced.chain(inline) {
        // The title of an alert is none.
        if line.starts_with("signalr-rekey cannot ") {
            continue;
        }
        let mut words = line.split_whitespace();
        if words.next().is_none_or(|first| first.trim_start_matches("./") != "signalr-rekey") {
            continue;
        }
        let Some(subcommand) = words.next().filter(|word| !word.starts_with("--")) else { continue };
        assert!(subcommands.contains(subcommand), "{name}: {line}");
        let known = flags(subcommand);
        for flag in words.filter(|word| word.starts_with("--") && *word != "--config" && *word != "--help") {
            assert!(known.contains(flag), "{name}: {line}: there is no {flag}");
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
    for (name, block) in blocks("sh azure") {
        for word in block.text.split_whitespace().map(|word| word.trim_start_matches('@')) {
            if ["docs/", "infra/", "package/"].iter().any(|folder| word.starts_with(folder)) {
                assert!(root().join(word).exists(), "{name}: {word}");
            }
        }
    }
}

/// The formula and the table of what a schedule costs.
#[tokio::test(flavor = "multi_thread")]
async fn the_costs_of_a_schedule_are_those_of_a_look() {
    let app = |name: &str| json!({"group": "rg", "name": name});
    let (services, apps) = (2, 3);
    let world = json!({
        "subscription": "00000000-0000-0000-0000-000000000001",
        "signalr": [
            {"group": "rg", "name": "sr-a", "apps": ["a-1", "a-2", "a-3"]},
            {"group": "rg", "name": "sr-b", "apps": ["b-1", "b-2", "b-3"]},
        ],
        "sites": [app("a-1"), app("a-2"), app("a-3"), app("b-1"), app("b-2"), app("b-3")],
    });
    let azure = Azure::of_world(&world, &[]);
    // What docs/performance.md says that commands ask.
    let commands = Document::read("docs/performance.md").rows("What commands ask");
    let of_60 = |row: usize| commands[row][2].replace(',', "").parse::<u64>().unwrap();
    let check = 1 + 2 * apps;
    for (command, asks) in [
        ("plan", services * check),
        ("status", services * check),
        ("doctor", services * (4 + 5 * apps) + 2 + 3),
    ] {
        let before = azure.report().await["arm_requests_total"].as_u64().unwrap();
        azure.run(&[command]);
        let asked = azure.report().await["arm_requests_total"].as_u64().unwrap() - before;
        assert_eq!(asked, asks, "{command}: the formulas of docs/performance.md and docs/deploy.md");
    }
    // Of 180 sites two lists have four pages each, and one group has the lists of container apps, jobs and static web apps.
    assert_eq!((of_60(0), of_60(1)), (60 * check, 60 * (4 + 5 * apps) + 2 * 4 + 3));
    for row in Document::read("docs/deploy.md").rows("Many services") {
        let number = |cell: usize| row[cell].split(' ').next().unwrap().parse::<u64>().unwrap();
        let (services, full) = (number(0), number(0).min(50 / check));
        // Once in an hour, or what fits in a run at each of twelve.
        assert_eq!(number(3), 12 * services + 2 * apps * (12 * full).max(services), "{row:?}");
        assert!(number(1) <= full.max(services / 12) && number(1) + 1 >= full.max(services / 12), "{row:?}");
        assert_eq!(number(2), 60.min(5 * services.div_ceil(full)), "{row:?}");
    }

    let rows = Document::read("docs/deploy.md").rows("The schedule");
    let number = |cell: &String| cell.parse::<u64>().unwrap();
    for row in &rows {
        let (apps, run) = (number(&row[0]), number(&row[1]));
        assert_eq!(run, 1 + 2 * apps);
        // Above a quarter of the bucket the keys are asked for each time, and the apps once in an hour.
        let hours = [60, 12, 4, 1].map(|runs| if run <= 50 { runs * run } else { runs + 2 * apps });
        assert_eq!(row[2..].iter().map(number).collect::<Vec<_>>(), hours, "{apps} apps");
    }
    assert_eq!(rows.iter().map(|row| number(&row[0])).collect::<Vec<_>>(), [1, 10, 100]);
}
