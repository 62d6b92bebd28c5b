//! The terminal: answers on stdout, complaints on stderr, progress where somebody watches, times with how far off they are,
//! and how a command ends or is stopped.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::compose::silent;
use crate::engine::{Narrator, Stop};
use crate::report::text::command as words;
use crate::report::{RunEvent, cause};
use rekey_core::model::ServiceId;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    Wrong,
    Unfinished,
}

impl Exit {
    /// The code of the process.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Wrong => 2,
            Self::Unfinished => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why the answer was not written, if it was not.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Whether whoever read the answer has gone away.
static GONE: AtomicBool = AtomicBool::new(false);

/// Whether nothing but the answer, and what is wrong, is told.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on nothing but the answer, and what is wrong, is told.
pub(crate) fn hush() {
    QUIET.store(true, Ordering::Relaxed);
}

/// A line about what takes its time, for whoever wants to hear of it.
pub(crate) fn mention(line: &str) {
    if !is_quiet() {
        complain(line);
    }
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A line of the answer. A reader that has gone away (`| head`) is no failure of ours; a disk that is full is, and
/// [`lost`] tells of it when the command ends.
pub(crate) fn say(line: &str) {
    ROWS.fetch_add(rows(line), Ordering::Relaxed);
    note(writeln!(io::stdout().lock(), "{line}"));
}

/// How many rows of a terminal were written since it was cleared.
static ROWS: AtomicUsize = AtomicUsize::new(0);

/// How many rows a line takes.
pub(crate) fn rows(line: &str) -> usize {
    let (_, width) = Term::stdout().size();
    line.chars().count().div_ceil(width.max(1).into()).max(1)
}

/// How many rows are left of a terminal, but for the cursor's own.
pub(crate) fn rows_left() -> Option<usize> {
    let (height, _) = Term::stdout().size();
    let left = usize::from(height).saturating_sub(ROWS.load(Ordering::Relaxed) + 1);
    io::stdout().is_terminal().then_some(left)
}

/// Remembers why something of the answer could not be written.
pub(crate) fn note(written: io::Result<()>) {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => GONE.store(true, Ordering::Relaxed),
        Err(error) => drop(LOST.set(error)),
        Ok(()) => {}
    }
}

/// Whether nobody reads the answer any more.
pub(crate) fn nobody_reads() -> bool {
    GONE.load(Ordering::Relaxed)
}

/// Why not all of the answer was written, if so.
pub(crate) fn lost() -> Option<String> {
    note(io::stdout().lock().flush());
    LOST.get().map(|error| cause::because(words::BROKE_OFF, Some(error)))
}

/// Makes room for an answer that takes the place of the one before, where somebody watches.
pub(crate) fn clear() {
    if io::stdout().is_terminal() {
        ROWS.store(0, Ordering::Relaxed);
        // Cursor home, then everything behind it, and what has scrolled away stays.
        note(write!(io::stdout().lock(), "\x1b[H\x1b[J"));
    }
}

/// A line about what is wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A line of the answer, with how far off its times are.
pub(crate) fn tell(line: &str) {
    tell_as_of(line, SystemClock.now());
}

/// The same, of an answer that was made a moment ago.
pub(crate) fn tell_as_of(line: &str, now: DateTime<Utc>) {
    say(&beside(line, now));
}

/// A line about what is wrong, with how far off its times are.
pub(crate) fn complain_of(line: &str) {
    complain(&beside(line, SystemClock.now()));
}

/// What somebody at a terminal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// There is no terminal, and so nobody to ask.
    Nobody,
}

/// Whether there is somebody to ask.
pub(crate) fn is_watched() -> bool {
    io::stdin().is_terminal()
}

/// Asks who sits at the terminal; anything but a yes is a no.
pub(crate) fn ask(question: &str) -> Answer {
    answer(question, is_watched(), &mut io::stdin().lock(), &mut io::stderr().lock())
}

fn answer(question: &str, watched: bool, from: &mut impl BufRead, to: &mut impl Write) -> Answer {
    if !watched {
        return Answer::Nobody;
    }
    let mut said = String::new();
    let asked = write!(to, "{question} [y/N] ").and_then(|()| to.flush());
    let yes = asked.is_ok()
        && from.read_line(&mut said).is_ok()
        && ["y", "yes"].contains(&said.trim().to_lowercase().as_str());
    if yes { Answer::Yes } else { Answer::No }
}

/// The version of all that `--json` prints: it changes when a field goes or means something else, not when one is added.
pub(crate) const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versioned<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    answer: &'a T,
}

/// One object of an answer in several lines, one object a line.
pub(crate) fn json_line(answer: &impl Serialize) {
    print(serde_json::to_string(&Versioned { schema_version: SCHEMA_VERSION, answer }));
}

/// The answer for machines: an object, with the version of its fields.
pub(crate) fn json(answer: &impl Serialize) {
    print(serde_json::to_string_pretty(&Versioned { schema_version: SCHEMA_VERSION, answer }));
}

fn print(written: serde_json::Result<String>) {
    match written {
        Ok(text) => say(&text),
        Err(error) => complain(&cause::because(words::NO_JSON, Some(&error))),
    }
}

/// Shows what runs tell while people wait: a moving line under the told ones on a terminal, plain lines elsewhere,
/// nothing where a machine reads.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn start(quiet: bool) -> Self {
        let watched = io::stderr().is_terminal() && io::stdout().is_terminal();
        let bar = (!quiet && !is_quiet() && watched).then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            let bar = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar }
    }

    /// The moving line, for whoever works on another thread.
    #[cfg(feature = "simulator")]
    pub(crate) fn shown(&self) -> Shown {
        Shown(self.bar.clone())
    }

    /// Hears runs, and tells their lines. Below them stands what is drawn, or the last line.
    pub(crate) fn narrator(
        &self,
        draw: impl Fn(&ServiceId, &RunEvent) -> Option<String> + Send + Sync + 'static,
    ) -> Narrator {
        if is_quiet() {
            return silent();
        }
        let bar = self.bar.clone();
        Arc::new(move |instance: &ServiceId, event: &RunEvent| {
            let now = SystemClock.now();
            let line = event.is_told().then(|| beside(&format!("{}: {event}", instance.name()), now));
            let Some(bar) = &bar else {
                line.iter().for_each(|line| say(line));
                return;
            };
            line.iter().for_each(|line| bar.println(line));
            let below = draw(instance, event).map(|drawn| beside(&format!("\n{drawn}"), now));
            below.or(line).into_iter().for_each(|below| bar.set_message(below));
        })
    }
}

/// The moving line of a [`Progress`]; where nobody watches there is none.
#[cfg(feature = "simulator")]
pub(crate) struct Shown(Option<ProgressBar>);

#[cfg(feature = "simulator")]
impl Shown {
    pub(crate) fn set(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How long a time is as texts write it, `2026-09-24T13:00:00Z`.
const WRITTEN: usize = 20;

/// The text, with how far off each of its times is: `2026-09-24T13:00:00Z (in 1 h 58 min)`.
pub(crate) fn beside(text: &str, now: DateTime<Utc>) -> String {
    // Texts have whole seconds.
    let now = now.trunc_subsecs(0);
    let (mut told, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, time, after)) = next(rest) {
        told.push_str(before);
        told.push_str(&rest[before.len()..rest.len() - after.len()]);
        told.push_str(&format!(" ({})", off(time - now)));
        rest = after;
    }
    told.push_str(rest);
    told
}

/// The first time in a text, with what stands before and behind it.
fn next(text: &str) -> Option<(&str, DateTime<Utc>, &str)> {
    text.match_indices('T').find_map(|(at, _)| {
        let start = at.checked_sub("2026-09-24".len())?;
        let written = text.get(start..start + WRITTEN)?;
        let time = DateTime::parse_from_rfc3339(written).ok()?;
        Some((&text[..start], time.with_timezone(&Utc), &text[start + WRITTEN..]))
    })
}

/// How far off something is, in its two largest units.
fn off(distance: TimeDelta) -> String {
    let length = spoken(distance.abs());
    match distance.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// A duration in its two largest units, rounded: two hours less a moment are two hours.
pub(crate) fn spoken(length: TimeDelta) -> String {
    let seconds = match length.num_seconds() {
        days @ 86_400.. => (days + 1800) / 3600 * 3600,
        hours @ 3600.. => (hours + 30) / 60 * 60,
        seconds => seconds,
    };
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        if left / unit > 0 || parts.is_empty() {
            parts.push(format!("{} {name}", left / unit));
        }
        left %= unit;
    }
    parts.join(" ")
}

/// Ends at ctrl-c or where the system asks to stop. Where it cannot be listened for, the signal ends the process.
pub(crate) async fn stopped() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupted => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

/// The code of a process that was stopped at once: that of a shell for SIGINT, 128 and the signal's number.
pub(crate) const INTERRUPTED: i32 = 130;

/// At the first signal asks the runs to stop, so that they give their leases back; the second ends the process.
pub(crate) async fn stop_at_signal(stop: Stop) {
    stopped().await;
    complain(words::STOPPING);
    stop.ask();
    stopped().await;
    process::exit(INTERRUPTED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes_and_nobody_is_asked_without_a_terminal() {
        for (said, meant) in [
            ("y\n", Answer::Yes),
            ("YES\n", Answer::Yes),
            (" y", Answer::Yes),
            ("\n", Answer::No),
            ("", Answer::No),
            ("n\n", Answer::No),
            ("yesterday\n", Answer::No),
        ] {
            let mut shown = Vec::new();
            assert_eq!(answer("Go on?", true, &mut said.as_bytes(), &mut shown), meant, "{said:?}");
            assert_eq!(shown, b"Go on? [y/N] ");
        }
        let mut shown = Vec::new();
        assert_eq!(answer("Go on?", false, &mut &b"y\n"[..], &mut shown), Answer::Nobody);
        assert!(shown.is_empty(), "nobody is asked");
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    #[test]
    fn each_time_has_beside_it_how_far_off_it_is() {
        let now = at("2026-09-24T13:00:00Z");
        let text = "T: waiting until 2026-09-24T14:58:00Z: the Secondary key made at 2026-09-24T12:59:00Z, 2026-09-24T13:00:00Z";
        insta::assert_snapshot!(beside(text, now), @"T: waiting until 2026-09-24T14:58:00Z (in 1 h 58 min): the Secondary key made at 2026-09-24T12:59:00Z (1 min ago), 2026-09-24T13:00:00Z (now)");
        let moment = TimeDelta::milliseconds(900);
        for (text, told) in [("2026-09-24T13:00:00Z", "(now)"), ("2026-09-24T15:00:00Z", "(in 2 h)")] {
            assert_eq!(beside(text, now + moment), format!("{text} {told}"));
        }
        for text in
            ["", "no time", "2026-09-24T", "Tä 2026-09-24T1é:00:00Z", "2026-13-24T13:00:00Z", "T2026-09-24"]
        {
            assert_eq!(beside(text, now), text);
        }
    }

    #[test]
    fn two_units_say_enough() {
        let said = [0, 5, 60, 61, 3600, 3659, 7199, 86_400, 90_000, 2_592_000, 2_595_600];
        let said = said.map(|seconds| spoken(TimeDelta::seconds(seconds)));
        insta::assert_snapshot!(said.join(", "), @"0 s, 5 s, 1 min, 1 min 1 s, 1 h, 1 h 1 min, 2 h, 1 d, 1 d 1 h, 30 d, 30 d 1 h");
    }
}
