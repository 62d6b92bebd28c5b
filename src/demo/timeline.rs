//! What happens, shown as it happens: when, who, what.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::Duration;

use chrono::{DateTime, Utc};
use console::Style;
use embedded_azure::{Activity, ActivityKind, Report};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::clock::{Clock, SystemClock};
use rekey_core::time::delta;

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
/// Lines stand in the order of the times that they carry: what the handler logs takes a moment longer to arrive than
/// what happens here, and is held back for as long. A line that is later than that stands where it arrives.
pub(crate) struct Timeline {
    started: DateTime<Utc>,
    quiet: bool,
    /// Where lines go.
    say: fn(&str),
    bar: Option<ProgressBar>,
    /// Lines that wait for earlier ones.
    waiting: Mutex<Vec<(DateTime<Utc>, String)>>,
    /// What was told last, for who looks later.
    lately: Mutex<VecDeque<Told>>,
    /// What remains of it, when it is over.
    over: Mutex<Option<String>>,
}

/// A line, as it was told.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) at: DateTime<Utc>,
    pub(super) who: Who,
    pub(super) what: String,
}

/// How many lines are remembered.
const LATELY: usize = 40;

/// How long a line waits for earlier ones: a line comes through a pipe within a few milliseconds, and nobody notices
/// this.
const HELD_BACK: Duration = Duration::from_millis(100);

/// What we read of a line of the handler's log.
#[derive(Deserialize)]
struct LogLine {
    time: DateTime<Utc>,
    level: String,
    target: String,
    message: String,
    #[serde(default)]
    instance: Option<String>,
}

impl Timeline {
    /// Begins to count the time. `say` shows a line.
    pub(crate) fn start(quiet: bool, say: fn(&str)) -> Self {
        let watched = io::stderr().is_terminal() && io::stdout().is_terminal();
        let bar = (!quiet && watched).then(counters);
        Self {
            started: SystemClock.now(),
            quiet,
            say,
            bar,
            waiting: Mutex::default(),
            lately: Mutex::default(),
            over: Mutex::default(),
        }
    }

    /// Shows lines when they are due, for ever.
    pub(super) async fn show(&self) {
        loop {
            SystemClock.sleep(HELD_BACK / 2).await;
            self.show_until(SystemClock.now() - delta(HELD_BACK));
        }
    }

    /// Adds a line of this moment.
    pub(super) fn tell(&self, who: Who, what: &str) {
        self.add(SystemClock.now(), who, what, &Style::new());
    }

    /// Adds what happened in the embedded Azure.
    pub(super) fn happened(&self, activity: &Activity) {
        let style = match &activity.what {
            ActivityKind::Refused { .. } => Style::new().red(),
            ActivityKind::Recovered { .. } => Style::new().green(),
            ActivityKind::Forced { .. } => Style::new().yellow(),
            ActivityKind::RegenerationAccepted { .. }
            | ActivityKind::RegenerationInEffect { .. }
            | ActivityKind::RegenerationWithoutEffect { .. }
            | ActivityKind::SettingsChanged { .. }
            | ActivityKind::Restarted { .. }
            | ActivityKind::ReferencesFetched { .. }
            | ActivityKind::SecretChanged { .. }
            | ActivityKind::KeyValueChanged { .. }
            | ActivityKind::Deleted { .. } => Style::new(),
        };
        self.add(activity.at, Who::of(activity), &activity.to_string(), &style);
    }

    /// Adds a line of the handler's log, if it is one of our own.
    pub(super) fn logged(&self, line: &str) {
        let Ok(line) = serde_json::from_str::<LogLine>(line) else { return };
        if line.target.starts_with(env!("CARGO_CRATE_NAME")) {
            self.add(line.time, Who::Rekey, &line.text(), &line.style());
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

    /// What was told last, the earliest first.
    pub(super) fn lately(&self) -> Vec<Told> {
        let mut lately: Vec<Told> = self.lately.lock().iter().cloned().collect();
        lately.sort_by_key(|told| told.at);
        lately
    }

    /// From now on it is over, and this is what remains.
    pub(crate) fn conclude(&self, what: &str) {
        *self.over.lock() = Some(what.to_owned());
    }

    /// What remains of it, if it is over.
    pub(super) fn conclusion(&self) -> Option<String> {
        self.over.lock().clone()
    }

    /// Shows what waits, and takes the counters away.
    pub(crate) fn end(&self) {
        self.show_until(DateTime::<Utc>::MAX_UTC);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn add(&self, at: DateTime<Utc>, who: Who, what: &str, style: &Style) {
        let mut lately = self.lately.lock();
        if lately.len() == LATELY {
            lately.pop_front();
        }
        lately.push_back(Told { at, who, what: what.to_owned() });
        drop(lately);
        if self.quiet {
            return;
        }
        // What the handler's log cuts off its times must not lead before the start.
        let elapsed = (at - self.started).as_seconds_f64().max(0.0);
        let who = who.style().apply_to(format!("{:<7}", who.name()));
        let line = format!("{elapsed:>5.1} s  {who}  {}", style.apply_to(what));
        self.waiting.lock().push((at, line));
    }

    fn show_until(&self, until: DateTime<Utc>) {
        let mut waiting = self.waiting.lock();
        waiting.sort_by_key(|(at, _)| *at);
        let due = waiting.partition_point(|(at, _)| *at <= until);
        for (_, line) in waiting.drain(..due) {
            match &self.bar {
                Some(bar) => bar.suspend(|| (self.say)(&line)),
                None => (self.say)(&line),
            }
        }
    }
}

impl Who {
    /// Who does something in the embedded Azure.
    pub(super) const fn of(activity: &Activity) -> Self {
        match activity.what {
            ActivityKind::Refused { .. } | ActivityKind::Recovered { .. } => Self::Clients,
            _ => Self::Azure,
        }
    }

    pub(super) const fn name(self) -> &'static str {
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
    /// The message, with the service before it if it does not say it itself.
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
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_instance_once() {
        let line = |message: &str| {
            let line = serde_json::json!({
                "time": "2026-09-24T13:00:00.014Z", "level": "INFO", "target": "signalr_rekey::pass", "message": message, "instance": "sr-demo",
            });
            serde_json::from_value::<LogLine>(line).unwrap().text()
        };
        assert_eq!(line("Azure accepted the regeneration"), "sr-demo: Azure accepted the regeneration");
        assert_eq!(line("sr-demo: settled"), "sr-demo: settled");
    }
}
