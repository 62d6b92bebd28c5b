//! What commands print: answers on stdout, complaints on stderr, progress where somebody watches.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::model::InstanceId;
use crate::pass::Narrator;

/// A line of the answer. A reader that has gone away (`| head`) is no failure of ours.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// A line about what is wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The answer for machines.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(&text),
        Err(error) => complain(&format!("the answer cannot be written as JSON: {error}")),
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
