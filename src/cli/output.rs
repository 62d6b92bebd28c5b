//! What commands print: answers on stdout, complaints on stderr, progress where somebody watches.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cause;
use crate::model::InstanceId;
use crate::pass::Narrator;

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
    LOST.get().map(|error| cause::because("the answer could not be written to its end", Some(error)))
}

/// A line about what is wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The answer for machines.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(&text),
        Err(error) => complain(&cause::because("the answer cannot be written as JSON", Some(&error))),
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
    pub(crate) fn narrator(&self, quiet: bool) -> Narrator {
        let bar = self.bar.clone();
        Arc::new(move |instance: &InstanceId, line: &str| {
            let line = format!("{}: {line}", instance.name());
            match &bar {
                _ if quiet => {}
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
