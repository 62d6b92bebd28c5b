//! What happens, shown as it happens: when, who, what.

use std::io::{self, IsTerminal};

use chrono::{DateTime, Utc};
use console::Style;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::cli::output::say;
use crate::clock::{Clock, SystemClock};
use crate::sim::{Happening, Report, SimEvent};

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The embedded Azure, App Service included.
    Azure,
    /// The stand-in for the Functions host.
    Host,
    /// The handler.
    Rekey,
    /// The clients of the apps.
    Clients,
}

/// Shows lines on stdout, and below them on a terminal how the clients fare. Quiet where a machine reads.
///
/// Lines show in the order in which they arrive, with the time of their arrival.
pub(super) struct Timeline {
    started: DateTime<Utc>,
    quiet: bool,
    bar: Option<ProgressBar>,
}

/// What we read of a line of the handler's log.
#[derive(Deserialize)]
struct LogLine {
    level: String,
    target: String,
    message: String,
    #[serde(default)]
    instance: Option<String>,
}

impl Timeline {
    /// Begins to count the time.
    pub(super) fn start(quiet: bool) -> Self {
        let watched = io::stderr().is_terminal() && io::stdout().is_terminal();
        Self { started: SystemClock.now(), quiet, bar: (!quiet && watched).then(counters) }
    }

    /// Shows one line.
    pub(super) fn tell(&self, who: Who, what: &str) {
        self.show(who, what, &Style::new());
    }

    /// Shows what happened in the embedded Azure.
    pub(super) fn happened(&self, event: &SimEvent) {
        let (who, style) = match &event.what {
            Happening::Refused { .. } => (Who::Clients, Style::new().red()),
            Happening::Recovered { .. } => (Who::Clients, Style::new().green()),
            Happening::Forced { .. } => (Who::Azure, Style::new().yellow()),
            Happening::RegenerationAccepted { .. }
            | Happening::RegenerationInEffect { .. }
            | Happening::RegenerationWithoutEffect { .. }
            | Happening::SettingsChanged { .. }
            | Happening::Restarted { .. }
            | Happening::Deleted { .. } => (Who::Azure, Style::new()),
        };
        self.show(who, &event.to_string(), &style);
    }

    /// Shows a line of the handler's log, if it is one of our own.
    pub(super) fn logged(&self, line: &str) {
        let Ok(line) = serde_json::from_str::<LogLine>(line) else { return };
        if line.target.starts_with(env!("CARGO_CRATE_NAME")) {
            self.show(Who::Rekey, &line.text(), &line.style());
        }
    }

    /// Whether anybody sees the counters.
    pub(super) const fn counts(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows how the clients fare.
    pub(super) fn count(&self, report: &Report) {
        if let Some(bar) = &self.bar {
            let style = if report.refused == 0 { Style::new().green() } else { Style::new().red() };
            let refused = style.for_stderr().apply_to(format!("{} refused", report.refused));
            bar.set_message(format!("{} client calls, {refused}", report.calls));
        }
    }

    /// Takes the counters away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&self, who: Who, what: &str, style: &Style) {
        if self.quiet {
            return;
        }
        let elapsed = (SystemClock.now() - self.started).as_seconds_f64();
        let who = who.style().apply_to(format!("{:<7}", who.name()));
        let line = format!("{elapsed:>5.1} s  {who}  {}", style.apply_to(what));
        match &self.bar {
            Some(bar) => bar.suspend(|| say(&line)),
            None => say(&line),
        }
    }
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Host => "host",
            Self::Rekey => "rekey",
            Self::Clients => "clients",
        }
    }

    /// Shown only on a terminal, and not where NO_COLOR is set.
    const fn style(self) -> Style {
        match self {
            Self::Azure => Style::new().blue(),
            Self::Host => Style::new().magenta(),
            Self::Rekey => Style::new().cyan(),
            Self::Clients => Style::new().bold(),
        }
    }
}

impl LogLine {
    /// The message, with the instance before it if it does not say it itself.
    fn text(&self) -> String {
        match &self.instance {
            Some(instance) if !self.message.starts_with(instance.as_str()) => {
                format!("{instance}: {}", self.message)
            }
            _ => self.message.clone(),
        }
    }

    fn style(&self) -> Style {
        match self.level.as_str() {
            "ERROR" => Style::new().red(),
            "WARN" => Style::new().yellow(),
            _ => Style::new(),
        }
    }
}

fn counters() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_instance_once() {
        let line = |message: &str| {
            let line = serde_json::json!({
                "level": "INFO", "target": "signalr_rekey::pass", "message": message, "instance": "sr-demo",
            });
            serde_json::from_value::<LogLine>(line).unwrap().text()
        };
        assert_eq!(line("Azure accepted the regeneration"), "sr-demo: Azure accepted the regeneration");
        assert_eq!(line("sr-demo: settled"), "sr-demo: settled");
    }
}
