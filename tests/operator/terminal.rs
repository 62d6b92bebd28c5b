//! What a program owes to whoever sits at a terminal: completions, man pages, less to read or more, and no colours.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::common::program::{Azure, PROGRAM, program, text, timeless};

/// The commands that `--help` names.
fn commands() -> BTreeSet<String> {
    let help = text(&program(&["--help"]).output().unwrap().stdout);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let named = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn each_shell_gets_completions_that_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = program(&["completions", shell]).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{shell}");
        let script = text(&output.stdout);
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
    }
    let refused = program(&["completions", "tcsh"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("bash"), "{}", text(&refused.stderr));
}

/// What bash itself offers behind what is typed, by the script that it was given: commands, flags and values.
#[test]
fn bash_completes_what_is_typed() {
    let script = text(&program(&["completions", "bash"]).output().unwrap().stdout);
    let offered = |typed: &str| {
        let ask = format!(
            "COMP_WORDS=(signalr-rekey {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _signalr__rekey signalr-rekey \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo ${{COMPREPLY[*]}}"
        );
        let mut bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        write!(bash.stdin.take().unwrap(), "{script}\n{ask}\n").unwrap();
        text(&bash.wait_with_output().unwrap().stdout).trim().to_owned()
    };
    assert_eq!(offered("st"), "status");
    assert_eq!(offered("report --si"), "--since");
    assert_eq!(offered("completions ''").split(' ').next_back(), Some("zsh"));
    assert_eq!(offered("simulate --secret-sync ''"), "restarts fetches off");
}

#[test]
fn there_is_a_man_page_for_the_program_and_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("man1");
    let output = program(&["man", to.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found: BTreeSet<String> = std::fs::read_dir(&to)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let wanted = commands().into_iter().map(|name| format!("signalr-rekey-{name}.1"));
    assert_eq!(found, wanted.chain(["signalr-rekey.1".to_owned()]).collect());
    assert_eq!(text(&output.stdout), format!("{} man pages are in {}\n", found.len(), to.display()));
    let rotate = std::fs::read_to_string(to.join("signalr-rekey-rotate.1")).unwrap();
    assert!(rotate.contains(".TH") && rotate.contains("without\\-journal"), "{rotate}");
    let pause = std::fs::read_to_string(to.join("signalr-rekey-pause.1")).unwrap();
    let synopsis = pause.split(".SH SYNOPSIS").nth(1).unwrap().split(".SH").next().unwrap();
    assert!(synopsis.contains("\\-\\-until <"), "{synopsis}");
    // A folder that cannot be is an error, and not a success without pages.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let failed = program(&["man", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        text(&failed.stderr).starts_with("could not write the man pages into "),
        "{}",
        text(&failed.stderr)
    );
}

/// Below the lines, as long as it lasts; without a terminal there are the lines alone.
#[test]
fn a_rotation_is_drawn_at_a_terminal_and_nowhere_else() {
    const DRAWN: [&str; 3] = [
        "sr-demo: on the Primary key: chat-func, chat-web, chat-web/staging",
        "sr-demo: wave 1 is on its way: chat-web/staging",
        "sr-demo: on the Secondary key: chat-func, chat-web, chat-web/staging",
    ];
    let azure = Azure::start(&[]);
    let at_a_terminal = |line: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{PROGRAM} {line}"), "/dev/null"]).envs(&azure.environment);
        let output = script.stdin(Stdio::null()).output().expect("this test needs script of util-linux");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        text(&output.stdout)
    };
    let shown = at_a_terminal("rotate --now --yes");
    for line in DRAWN {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let quiet = at_a_terminal("rotate --now --yes --quiet");
    let piped = text(&azure.run(&["rotate", "--now", "--yes"]).stdout);
    assert!(piped.contains("sr-demo: repointed to the "), "{piped}");
    for line in DRAWN {
        assert!(!quiet.contains(line) && !piped.contains(line), "{line}: {quiet} {piped}");
    }
}

#[test]
fn whoever_wants_quiet_reads_how_it_ended_and_nothing_else() {
    let azure = Azure::start(&[]);
    let loud = text(&azure.run(&["rotate", "--now", "--yes"]).stdout);
    let quiet = azure.run(&["rotate", "--now", "--yes", "--quiet"]);
    assert_eq!((quiet.status.code(), text(&quiet.stderr)), (Some(0), String::new()));
    let quiet = text(&quiet.stdout);
    assert!(loud.lines().count() > 5 && quiet.lines().count() == 1, "{loud}\n---\n{quiet}");
    assert!(quiet.starts_with("sr-demo: "), "{quiet}");
    let machine = text(&azure.run(&["rotate", "--yes", "--quiet", "--json"]).stdout);
    let result: Value =
        serde_json::from_str(&machine).unwrap_or_else(|_| panic!("more than the result: {machine}"));
    assert_eq!(result["type"], "result", "{machine}");
    // What failed is told all the same.
    let failed = azure.run(&["status", "--quiet", "nobody"]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(text(&failed.stderr).contains("\"nobody\" is not configured"), "{}", text(&failed.stderr));
    let both = azure.run(&["status", "--quiet", "--verbose"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn whoever_wants_more_reads_what_azure_is_asked_and_no_colours_from_a_pipe() {
    let azure = Azure::start(&[]);
    let plain = text(&azure.run(&["status"]).stderr);
    let verbose = azure.run(&["status", "--verbose"]);
    let told = text(&verbose.stderr);
    assert!(told.contains("SignalR_ListKeys") && !plain.contains("SignalR_ListKeys"), "{told}\n---\n{plain}");
    assert!(!told.contains('\u{1b}') && !text(&verbose.stdout).contains('\u{1b}'), "{told}");
}

/// Reads what `status --watch` shows until it has looked twice, and ends it as ctrl-c does.
fn watched(arguments: &[&str], is_a_look: fn(&str) -> bool) -> (Option<i32>, Vec<String>) {
    let azure = Azure::start(&[]);
    let mut child = azure.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (mut seen, mut looks) = (Vec::new(), 0);
    for line in lines {
        looks += usize::from(is_a_look(&line));
        seen.push(line);
        if looks == 2 {
            break;
        }
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    (child.wait().unwrap().code(), seen)
}

#[test]
fn status_looks_again_until_it_is_stopped() {
    let (code, seen) = watched(&["status", "--watch=2s"], |line| line.starts_with("as of "));
    assert_eq!(code, Some(0), "{seen:?}");
    assert!(seen[0].ends_with("; checks again every 2s, ctrl-c ends it"), "{seen:?}");
    assert!(seen.iter().any(|line| line.contains("Primary   key ")), "{seen:?}");
    assert!(!seen.concat().contains('\u{1b}'), "a pipe is not cleared: {seen:?}");
    let (code, seen) = watched(&["status", "--watch=2s", "--json"], |line| line.starts_with('{'));
    assert_eq!((code, seen.len()), (Some(0), 2));
    for line in seen {
        let look: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(look["instances"][0]["name"], "sr-demo");
    }
}

/// `status --watch | head -1` ends, and asks Azure no more.
#[test]
fn who_reads_no_more_has_watched_enough() {
    let azure = Azure::start(&[]);
    let watch = format!("timeout 60 {PROGRAM} status --watch=2s | head -1; exit ${{PIPESTATUS[0]}}");
    let mut bash = Command::new("bash");
    let ended = bash.args(["-c", &watch]).envs(&azure.environment).output().unwrap();
    assert!(text(&ended.stdout).starts_with("as of "), "{}{}", text(&ended.stdout), text(&ended.stderr));
    assert_eq!(ended.status.code(), Some(0), "124 is that of timeout: {}", text(&ended.stderr));
}

/// What was done long ago does not push off the screen how it stands.
#[test]
fn what_is_watched_fits_on_the_screen() {
    let azure = Azure::with_journals(&["sr-a"], &[]);
    for _ in 0..2 {
        let rotated = azure.command(&["rotate", "--now", "--yes"]).env("REKEY_GRACE", "1s").output().unwrap();
        assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    }
    let watch = format!("stty rows 24 cols 80; exec {PROGRAM} status --watch=2s");
    let mut script = Command::new("script");
    script.args(["-qec", &watch, "/dev/null"]).envs(&azure.environment).stdin(Stdio::null());
    let mut script = script.stdout(Stdio::piped()).spawn().expect("this test needs script of util-linux");
    let lines = BufReader::new(script.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut screen: Vec<String> = Vec::new();
    for line in lines.map(|line| line.trim_end().to_owned()) {
        if line.contains("as of ") && !screen.is_empty() {
            break;
        }
        screen.push(line);
    }
    script.kill().unwrap();
    script.wait().unwrap();
    let rows =
        |line: &String| line.trim_start_matches("\u{1b}[H\u{1b}[J").chars().count().div_ceil(80).max(1);
    let told = screen.join("\n");
    assert!(screen.iter().map(rows).sum::<usize>() < 24, "{told}");
    assert!(told.contains("Primary   key ") && told.contains("  next: settled"), "{told}");
    let all = text(&azure.run(&["history"]).stdout);
    let words = |line: &str| timeless(line).split_whitespace().collect::<Vec<_>>().join(" ");
    let last = words(all.lines().last().unwrap());
    assert_eq!(words(screen.last().unwrap()), last, "the last that was done is there: {told}");
}

#[test]
fn status_does_not_look_without_a_pause() {
    let azure = Azure::start(&[]);
    for (every, says) in [("1s", "every 2s or less often"), ("5", "10s"), ("often", "10s")] {
        let refused = azure.run(&["status", &format!("--watch={every}")]);
        assert_eq!(refused.status.code(), Some(2), "{every}");
        assert!(text(&refused.stderr).contains(says), "{every}: {}", text(&refused.stderr));
    }
}
