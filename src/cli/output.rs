//! What commands print: answers on stdout, complaints on stderr, progress where somebody watches.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::times::beside;
use crate::clock::{Clock, SystemClock};
use crate::pass::Narrator;
use crate::report::cause;
use crate::report::text::command::output as words;
use rekey_core::model::ServiceId;

/// Why the answer was not written, if it was not.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// A line of the answer. A reader that has gone away (`| head`) is no failure of ours; a disk that is full is, and
/// [`lost`] tells of it when the command ends.
pub(crate) fn say(line: &str) {
    note(writeln!(io::stdout().lock(), "{line}"));
}

/// Remembers why something of the answer could not be written.
pub(crate) fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Why not all of the answer was written, if so.
pub(crate) fn lost() -> Option<String> {
    note(io::stdout().lock().flush());
    LOST.get().map(|error| cause::because(words::BROKE_OFF, Some(error)))
}

/// A line about what is wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A line of the answer, with how far off its times are.
pub(super) fn tell(line: &str) {
    tell_as_of(line, SystemClock.now());
}

/// The same, of an answer that was made a moment ago.
pub(super) fn tell_as_of(line: &str, now: DateTime<Utc>) {
    say(&beside(line, now));
}

/// A line about what is wrong, with how far off its times are.
pub(super) fn complain_of(line: &str) {
    complain(&beside(line, SystemClock.now()));
}

/// What somebody at a terminal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// There is no terminal, and so nobody to ask.
    Nobody,
}

/// Whether there is somebody to ask.
pub(super) fn is_watched() -> bool {
    io::stdin().is_terminal()
}

/// Asks who sits at the terminal; anything but a yes is a no.
pub(super) fn ask(question: &str) -> Answer {
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
pub(super) fn json_line(answer: &impl Serialize) {
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

/// Shows what passes tell while people wait: a moving line under the told ones on a terminal, plain lines elsewhere,
/// nothing where a machine reads.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn start(quiet: bool) -> Self {
        let watched = io::stderr().is_terminal() && io::stdout().is_terminal();
        let bar = (!quiet && watched).then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
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

    /// Hears the lines of passes.
    pub(crate) fn narrator(&self) -> Narrator {
        let bar = self.bar.clone();
        Arc::new(move |instance: &ServiceId, line: &str| {
            let line = beside(&format!("{}: {line}", instance.name()), SystemClock.now());
            match &bar {
                Some(bar) => {
                    bar.println(&line);
                    bar.set_message(line);
                }
                None => say(&line),
            }
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
}
