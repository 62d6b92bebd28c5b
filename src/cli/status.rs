//! `status`: each service as it stands.

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::instances::{Seen, look_at};
use super::machine::{EventFields, Service, events, unseen, watches};
use crate::config::{Environment, ServiceConfig};
use crate::engine::Preview;
use crate::report::text::InWords;
use crate::report::text::command as text;
use crate::report::text::journal::history;
use crate::report::text::readable;
use crate::report::text::snapshot::{notes, warnings};
use crate::terminal::{self, Exit};
use rekey_core::journal::Journal;
use rekey_core::model::KeyType;

/// The arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Names or resource ids of configured instances; all if none is given
    instances: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Status {
    instances: Vec<Service<Remembered>>,
}

/// What `status` adds: what is remembered.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Remembered {
    regenerating: Option<Regenerating>,
    requested: Option<DateTime<Utc>>,
    events: Vec<EventFields>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Regenerating {
    key_type: KeyType,
    since: DateTime<Utc>,
}

impl Remembered {
    fn of(journal: &Journal) -> Self {
        let regenerating = journal
            .in_flight()
            .map(|flight| Regenerating { key_type: flight.key_type, since: flight.intended });
        Self { regenerating, requested: journal.requested(), events: events(journal) }
    }
}

pub(super) async fn status(args: StatusArgs, environment: &Environment) -> Exit {
    let (seen, exit) = match look_at(&args.instances, environment).await {
        Ok(seen) => seen,
        Err(exit) => return exit,
    };
    if args.json {
        terminal::json(&Status { instances: seen.iter().map(describe).collect() });
    } else {
        let shown = seen.iter().filter_map(|seen| Some((&seen.instance, seen.found.as_ref().ok()?)));
        shown.for_each(|(instance, preview)| print(instance, preview));
    }
    exit
}

fn describe(Seen { instance, found }: &Seen) -> Service<Remembered> {
    match found {
        Ok(preview) => {
            let Preview { snapshot, decision, journal, .. } = preview;
            let more = Remembered::of(journal);
            Service::seen(instance, snapshot, journal, preview.trouble(), decision, more)
        }
        Err(error) => Service::unseen(instance, Some(error.clone()), Remembered::default()),
    }
}

fn print(instance: &ServiceConfig, preview: &Preview) {
    let (name, trouble) = (instance.id.name(), preview.trouble());
    for trouble in &trouble {
        terminal::tell(&format!("{name}: {trouble}"));
    }
    terminal::say(&instance.id.to_string());
    for (key_type, fingerprint) in preview.snapshot.keys.iter() {
        terminal::say(&format!("  {:<9} key {fingerprint}", key_type.as_str()));
    }
    for consumer in &preview.snapshot.consumers {
        terminal::say(&format!("  {} holds {}", consumer.at.in_words(), consumer.holds.in_words()));
    }
    for unseen in unseen(&preview.snapshot) {
        terminal::say(&format!("  {unseen}"));
    }
    let told = |text: &str| trouble.iter().any(|trouble| trouble.contains(text));
    for warning in warnings(&preview.snapshot).into_iter().filter(|warning| !told(warning)) {
        terminal::tell(&format!("  warning: {warning}"));
    }
    for note in notes(&preview.snapshot) {
        terminal::tell(&format!("  note: {note}"));
    }
    let next = preview.decision.in_words();
    let next = if told(&next) { text::ROTATE_SEE_ABOVE } else { &next };
    terminal::tell(&format!("  next: {next}"));
    for watch in watches(&preview.journal, preview.snapshot.at) {
        terminal::tell(&format!("  {}", watch.text));
    }
    for (entry, told) in history(&preview.journal) {
        terminal::tell(&format!("  {} {told}", readable(entry.at)));
    }
}
