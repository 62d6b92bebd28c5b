//! The app: making it read its file anew, and asking whether it works.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::Agent;
use crate::azure::http::{ask_health, shown};
use crate::config::{Health, TakingEffect};
use crate::report::cause;
use crate::report::text::agent as words;
use crate::report::text::rounded;
use rekey_core::time::delta;

/// How much of a command's output is told: its end, where it says what failed.
const TAIL: usize = 1000;

/// How long the rest of its output is waited for once a command has ended.
const REST: Duration = Duration::from_millis(200);

/// Between two times that the app is asked.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What of our environment no command is given.
const OURS: [&str; 2] = ["AZURE_CLIENT_SECRET", "REKEY_REPORT_CODE"];

/// A digest of how the app is made to use its files and asked whether it works, as configured: it tells whether that is another.
pub(super) fn way(agent: &Agent) -> String {
    let digest = Sha256::digest(format!("{:?} {:?}", agent.config.taking_effect, agent.config.health));
    let drawn = digest.iter().take(8).fold(0_u64, |drawn, byte| drawn << 8 | u64::from(*byte));
    format!("{drawn:016x}")
}

/// Makes the app use what its files say, and waits until it works; or why it does not.
/// `hides` tells of a line whether a key is in it.
pub(super) async fn take_effect(agent: &Agent, hides: impl Fn(&str) -> bool) -> Result<(), String> {
    match &agent.config.taking_effect {
        TakingEffect::Reload { command, within } => run(agent, command, *within, hides).await?,
        TakingEffect::ByItself { within } => agent.clock.sleep(*within).await,
    }
    match &agent.config.health {
        Some(health) => is_well(agent, health).await,
        None => Ok(()),
    }
}

async fn run(
    agent: &Agent,
    command: &[String],
    within: Duration,
    hides: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in OURS {
        command.env_remove(name);
    }
    let started = command.kill_on_drop(true).spawn();
    let mut child =
        started.map_err(|error| cause::because(&words::reload_not_started(program), Some(&error)))?;
    let tail = Tail::default();
    let reading = [
        child.stdout.take().map(|output| tail.read(output)),
        child.stderr.take().map(|output| tail.read(output)),
    ];
    let ended = tokio::select! {
        ended = child.wait() => Some(ended),
        () = agent.clock.sleep(within) => None,
    };
    // What the command left running may have its output for ever, and goes on being read, so that it can go on writing.
    let read = futures::future::join_all(reading.into_iter().flatten());
    let _ = tokio::time::timeout(REST, read).await;
    let said = tail.shown(hides);
    let why = match ended {
        Some(Ok(status)) if status.success() => return Ok(()),
        Some(Ok(status)) => words::reload_failed(program, how(status)),
        Some(Err(error)) => cause::because(&words::reload_lost(program), Some(&error)),
        None => words::reload_late(program, rounded(within)),
    };
    Err(if said.is_empty() { why } else { words::with_output(why, said) })
}

fn how(status: ExitStatus) -> String {
    status.code().map_or_else(|| words::BY_SIGNAL.to_owned(), words::with_code)
}

/// Asks until the app answers with success.
async fn is_well(agent: &Agent, health: &Health) -> Result<(), String> {
    let Health { url, within } = health;
    let until = agent.clock.now() + delta(*within);
    loop {
        let why = match ask_health(&agent.http, url).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if agent.clock.now() + delta(ASK_AGAIN) > until {
            return Err(words::not_well(shown(url), rounded(*within), why));
        }
        agent.clock.sleep(ASK_AGAIN).await;
    }
}

/// The end of what a command says.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// Reads on until there is no more, whoever waits for it.
    fn read(&self, mut output: impl AsyncRead + Send + Unpin + 'static) -> tokio::task::JoinHandle<()> {
        let tail = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut chunk).await {
                let mut tail = tail.lock();
                tail.extend_from_slice(&chunk[..read]);
                // A whole line more than is told, so that no key is cut in half where it is looked for.
                let surplus = tail.len().saturating_sub(4 * TAIL);
                tail.drain(..surplus);
            }
        })
    }

    /// What is told of it, on one line.
    fn shown(&self, hides: impl Fn(&str) -> bool) -> String {
        let text = uncoloured(&String::from_utf8_lossy(&self.0.lock()));
        let line = |line: &str| {
            let line: String = line.trim().chars().filter(|sign| !sign.is_control()).collect();
            if hides(&line) { words::HIDDEN_LINE.to_owned() } else { line }
        };
        let lines: Vec<String> = text.lines().map(line).filter(|line| !line.is_empty()).collect();
        let mut told = lines.join(" | ");
        // A key may have been broken over several lines.
        if hides(&told) || hides(&lines.concat().split_whitespace().collect::<String>()) {
            return words::HIDDEN_OUTPUT.to_owned();
        }
        let count = told.chars().count();
        if let Some((at, _)) = told.char_indices().nth(count.saturating_sub(TAIL)).filter(|_| count > TAIL) {
            told = format!("…{}", &told[at..]);
        }
        told
    }
}

/// Without what colours a terminal (ECMA-48, control sequences), which would also hide a key from whoever looks for one.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|sign| matches!(sign, '@'..='~')).map_or(part.len(), |end| end + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_is_told_without_lines_that_hide_something() {
        let told = |text: &str| {
            let tail = Tail::default();
            tail.0.lock().extend_from_slice(text.as_bytes());
            tail.shown(|line| line.contains("KEY"))
        };
        assert_eq!(told("a\n\n b\r\n"), "a | b");
        assert_eq!(told("a\nthe KEY is\nb"), format!("a | {} | b", words::HIDDEN_LINE));
        assert_eq!(
            told("a\nthe \u{1b}[31mK\u{1b}[0;1mEY\u{1b}[0m is\nb"),
            format!("a | {} | b", words::HIDDEN_LINE)
        );
        assert_eq!(told("a\nthe K\n EY\nb"), words::HIDDEN_OUTPUT, "over two lines");
        let long = told(&format!("{}\nlast", "x".repeat(3 * TAIL)));
        assert!(long.starts_with('…') && long.ends_with("x | last") && long.chars().count() == TAIL + 1);
    }
}
