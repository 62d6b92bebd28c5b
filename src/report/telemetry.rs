//! Logs. Start at [`init`].
//!
//! Under the Functions host a line is a JSON object on stdout, flat: the fields of the event and of all the spans around
//! it (`invocation`, `instance`, `step`) stand side by side, so that one filter finds all lines of an invocation.
//! Warnings and errors also go to stderr, as text on one line: the host drops the logs of a failed answer, and files
//! stderr as errors (a line with "warn" in it as a warning). On a terminal all goes to stderr as readable text.
//!
//! Nothing waits for a log: lines are written by threads of their own, and where nobody reads them they are counted and
//! dropped. [`Logs`] writes the last of them when it goes.
//!
//! The filter is `RUST_LOG`, levels and `target=level` with commas between, `info` by default. What the dependencies say below `info` is never shown: at that level
//! some of them print whole requests, tokens included.

mod outlet;

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::sync::Arc;

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt as text;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope, SpanRef};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::outlet::Outlet;
use crate::clock::Clock;
use rekey_core::model::is_unseen;

/// Where logs go, and in what shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// JSON lines on stdout, warnings and errors on stderr too.
    Json,
    /// Readable text on stderr; stdout belongs to the command's answer.
    Text {
        /// Without colours, at a terminal too (`NO_COLOR`).
        is_plain: bool,
        /// With the time of each line; not where what is logged happens in a time of its own.
        is_timed: bool,
    },
}

impl Output {
    /// What the handler uses: text for somebody who sits before it, JSON for the host.
    pub fn of_handler(is_plain: bool) -> Self {
        if io::stdout().is_terminal() { Self::Text { is_plain, is_timed: true } } else { Self::Json }
    }
}

/// The process's logs. When it is dropped, what is still to be written is written, as long as somebody reads.
#[must_use = "what is logged after it was dropped may be lost"]
pub struct Logs(Vec<Outlet>);

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.iter().for_each(Outlet::flush);
    }
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// They are set up already.
    #[error("the logs are set up already")]
    Again(#[source] TryInitError),
    /// The system gives no thread.
    #[error("cannot write the logs: no thread is available for them")]
    Thread(#[from] io::Error),
}

/// Sets up the process's logs, once. `filter` is the value of `RUST_LOG`; parts of it that make no sense are left out.
///
/// # Errors
/// Logs are set up already, or the system is out of threads.
pub fn init(output: Output, filter: Option<&str>, clock: Arc<dyn Clock>) -> Result<Logs, LogError> {
    let registry = tracing_subscriber::registry().with(targets(filter.unwrap_or_default()));
    match output {
        Output::Json => {
            let ours = Arc::clone(&clock);
            let json = Outlet::open(io::stdout(), move |lines| Line::lost(lines, &*ours).json())?;
            let ours = Arc::clone(&clock);
            let text =
                Outlet::open(io::stderr(), move |lines| Line::lost(lines, &*ours).text(Level::WARN).into())?;
            let logs = Logs(vec![json.clone(), text.clone()]);
            let layer = Lines { clock, json, text };
            registry.with(layer.with_filter(filter_fn(may_be_shown))).try_init().map_err(LogError::Again)?;
            Ok(logs)
        }
        Output::Text { is_plain, is_timed } => {
            let ansi = io::stderr().is_terminal() && !is_plain;
            let lost = move |lines| Line::lost(lines, &*clock).text(Level::WARN).into();
            let outlet = Outlet::open(io::stderr(), lost)?;
            let logs = Logs(vec![outlet.clone()]);
            let writer = move || outlet.clone();
            let layer = text::layer().with_writer(writer).with_ansi(ansi).with_target(false);
            let layer = if is_timed { layer.boxed() } else { layer.without_time().boxed() };
            registry.with(layer.with_filter(filter_fn(may_be_shown))).try_init().map_err(LogError::Again)?;
            Ok(logs)
        }
    }
}

/// A comma-separated list of levels and `target=level`. It is not an `EnvFilter`, which could also tell spans apart by
/// their fields, and for that brings a regex engine along: a megabyte of the executable.
fn targets(filter: &str) -> Targets {
    let parts = filter.split(',').map(str::trim).filter(|part| !part.is_empty());
    let understood: Vec<Targets> = parts.filter_map(|part| part.parse().ok()).collect();
    if understood.is_empty() {
        return Targets::new().with_default(LevelFilter::INFO);
    }
    understood.into_iter().fold(Targets::new(), |all, part| {
        let default = part.default_level().or(all.default_level()).unwrap_or(LevelFilter::OFF);
        all.with_targets(part).with_default(default)
    })
}

fn may_be_shown(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.target().split("::").next().is_some_and(|root| root == env!("CARGO_CRATE_NAME"));
    ours || *metadata.level() <= Level::INFO
}

/// Writes events as flat lines.
struct Lines {
    clock: Arc<dyn Clock>,
    json: Outlet,
    text: Outlet,
}

/// The fields of a span or an event.
#[derive(Default)]
struct Fields(Map<String, Value>);

/// One line. What every line has stands first.
#[derive(Serialize)]
struct Line<'event> {
    time: String,
    level: &'event str,
    target: &'event str,
    message: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        // The values are written out before the span is locked: their code is not ours, and may itself log.
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<Fields>()
        {
            known.0.append(&mut fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut fields = Map::new();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            fields.append(&mut fields_of(&span));
        }
        let message = own.0.remove("message").map(plain).unwrap_or_default();
        fields.append(&mut own.0);
        let metadata = event.metadata();
        let line = Line {
            time: time(&*self.clock),
            level: metadata.level().as_str(),
            target: metadata.target(),
            message,
            fields,
        };
        self.json.put(line.json());
        if *metadata.level() <= Level::WARN {
            self.text.put(line.text(*metadata.level()).into());
        }
    }
}

fn fields_of<S: for<'span> LookupSpan<'span>>(span: &SpanRef<'_, S>) -> Map<String, Value> {
    span.extensions().get::<Fields>().map(|fields| fields.0.clone()).unwrap_or_default()
}

fn time(clock: &dyn Clock) -> String {
    clock.now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Line<'_> {
    /// What is said of lines that nobody read.
    fn lost(lines: u64, clock: &dyn Clock) -> Self {
        Self {
            time: time(clock),
            level: Level::WARN.as_str(),
            target: module_path!(),
            message: format!("{lines} lines of the log before this one are lost: nobody read them in time"),
            fields: Map::new(),
        }
    }

    /// The line as JSON.
    fn json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// The line as text. It begins with its level and so never with one of the host's reserved prefixes
    /// (`LanguageWorkerConsoleLog`, `azfuncjsonlog:`), and what would begin a new line is escaped.
    fn text(&self, level: Level) -> String {
        let word = if level == Level::ERROR { "error" } else { "warning" };
        let mut text = format!("{word}: {}", self.message);
        for (name, value) in &self.fields {
            let _ = write!(text, " {name}={}", plain(value.clone()));
        }
        let escape = |character: char| match is_unseen(character) {
            true => character.escape_default().to_string(),
            false => character.to_string(),
        };
        text.chars().map(escape).chain(["\n".to_owned()]).collect()
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Fields {
    /// The names of what every line has are taken.
    fn put(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            name @ ("time" | "level" | "target") => format!("{name}_"),
            name => name.to_owned(),
        };
        self.0.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_what_rust_log_says_as_far_as_it_makes_sense() {
        let ours = "signalr_rekey::pass";
        for (filter, of_ours, of_others) in [
            ("", LevelFilter::INFO, LevelFilter::INFO),
            ("off", LevelFilter::OFF, LevelFilter::OFF),
            ("debug", LevelFilter::DEBUG, LevelFilter::DEBUG),
            (" warn , signalr_rekey=debug ", LevelFilter::DEBUG, LevelFilter::WARN),
            ("signalr_rekey=debug", LevelFilter::DEBUG, LevelFilter::OFF),
            ("signalr_rekey=loud,warn", LevelFilter::WARN, LevelFilter::WARN),
            ("[pass{instance=chat}]=debug", LevelFilter::INFO, LevelFilter::INFO),
        ] {
            let targets = targets(filter);
            let shown = |target: &str| {
                let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
                let enabled = levels.into_iter().filter(|level| targets.would_enable(target, level));
                enabled.max().map_or(LevelFilter::OFF, LevelFilter::from_level)
            };
            assert_eq!((shown(ours), shown("hyper")), (of_ours, of_others), "{filter:?}");
        }
    }
}
