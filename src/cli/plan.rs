//! `plan`: what would be done, and why.

use clap::Args;
use serde::Serialize;

use super::instances::look_at;
use super::{Exit, output};
use crate::config::{Environment, InstanceConfig};
use crate::pass::Preview;

/// The arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Names or resource ids of configured instances; all if none is given
    instances: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    instance: String,
    trouble: Vec<String>,
    decision: &'static str,
    text: String,
    warnings: Vec<String>,
}

pub(super) async fn plan(args: PlanArgs, environment: &Environment) -> Exit {
    let (seen, exit) = match look_at(&args.instances, environment).await {
        Ok(seen) => seen,
        Err(exit) => return exit,
    };
    if args.json {
        output::json(&seen.iter().map(|(instance, preview)| planned(instance, preview)).collect::<Vec<_>>());
    } else {
        seen.iter().for_each(|(instance, preview)| print(instance, preview));
    }
    exit
}

fn planned(instance: &InstanceConfig, preview: &Preview) -> Planned {
    Planned {
        instance: instance.id.to_string(),
        trouble: preview.trouble(),
        decision: preview.decision.name(),
        text: preview.decision.to_string(),
        warnings: preview.snapshot.warnings().collect(),
    }
}

fn print(instance: &InstanceConfig, preview: &Preview) {
    let (name, decision) = (instance.id.name(), preview.decision.to_string());
    for trouble in preview.trouble().iter().filter(|trouble| **trouble != decision) {
        output::say(&format!("{name}: {trouble}"));
    }
    output::say(&format!("{name}: {decision}"));
    let trouble = preview.trouble();
    let told = |warning: &String| trouble.iter().any(|trouble| trouble.contains(warning.as_str()));
    for warning in preview.snapshot.warnings().filter(|warning| !told(warning)) {
        output::say(&format!("  warning: {warning}"));
    }
    for note in preview.snapshot.notes() {
        output::say(&format!("  note: {note}"));
    }
}
