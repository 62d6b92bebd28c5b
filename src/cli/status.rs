//! `status`: each instance as it stands.

use clap::Args;
use serde::Serialize;

use super::instances::look_at;
use super::{Exit, output};
use crate::config::{Environment, InstanceConfig};
use crate::journal::Journal;
use crate::model::{Fingerprint, PerKey};
use crate::pass::Preview;
use crate::plan::{Consumer, readable};

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
#[serde(rename_all = "camelCase")]
struct Status {
    instance: String,
    trouble: Vec<String>,
    keys: PerKey<Fingerprint>,
    consumers: Vec<ConsumerStatus>,
    warnings: Vec<String>,
    notes: Vec<String>,
    next: String,
    journal: Journal,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerStatus {
    at: String,
    holds: String,
}

pub(super) async fn status(args: StatusArgs, environment: &Environment) -> Exit {
    let (seen, exit) = match look_at(&args.instances, environment).await {
        Ok(seen) => seen,
        Err(exit) => return exit,
    };
    let all: Vec<Status> = seen.into_iter().map(|(instance, preview)| describe(&instance, preview)).collect();
    if args.json {
        output::json(&all);
    } else {
        all.iter().for_each(print);
    }
    exit
}

fn describe(instance: &InstanceConfig, preview: Preview) -> Status {
    let consumer = |consumer: &Consumer| ConsumerStatus {
        at: consumer.at.to_string(),
        holds: consumer.holds.to_string(),
    };
    Status {
        instance: instance.id.to_string(),
        trouble: preview.trouble(),
        keys: preview.snapshot.keys.clone(),
        consumers: preview.snapshot.consumers.iter().map(consumer).collect(),
        warnings: preview.snapshot.warnings().collect(),
        notes: preview.snapshot.notes().collect(),
        next: preview.decision.to_string(),
        journal: preview.journal,
    }
}

fn print(status: &Status) {
    let name = status.instance.rsplit('/').next().unwrap_or_default();
    for trouble in &status.trouble {
        output::say(&format!("{name}: {trouble}"));
    }
    output::say(&status.instance);
    for (key_type, fingerprint) in status.keys.iter() {
        output::say(&format!("  {:<9} key {fingerprint}", key_type.as_str()));
    }
    for consumer in &status.consumers {
        output::say(&format!("  {} holds {}", consumer.at, consumer.holds));
    }
    let told = |text: &String| status.trouble.iter().any(|trouble| trouble.contains(text.as_str()));
    for warning in status.warnings.iter().filter(|warning| !told(warning)) {
        output::say(&format!("  warning: {warning}"));
    }
    for note in &status.notes {
        output::say(&format!("  note: {note}"));
    }
    let next =
        if told(&status.next) { "nothing, before what is said above is seen to" } else { &status.next };
    output::say(&format!("  next: {next}"));
    for entry in status.journal.history() {
        output::say(&format!("  {} {}", readable(entry.at), entry.event));
    }
}
