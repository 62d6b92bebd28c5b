//! `plan`: what would be done, and why.

use std::sync::Arc;

use chrono::TimeDelta;
use clap::Args;
use serde::Serialize;

use super::{Exit, instances, load, output};
use crate::clock::{Clock, SystemClock};
use crate::compose::{compose, silent};
use crate::config::{Environment, InstanceConfig};
use crate::pass::Rekey;
use crate::plan::{Decision, Snapshot};

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
struct Planned<'a> {
    instance: String,
    decision: &'a str,
    text: String,
    warnings: Vec<String>,
}

/// How long Azure may take to answer.
fn patience() -> TimeDelta {
    TimeDelta::minutes(2)
}

pub(super) async fn plan(args: PlanArgs, environment: &Environment) -> Exit {
    match look_at_all(&args.instances, environment, args.json).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn look_at_all(named: &[String], environment: &Environment, json: bool) -> Result<Exit, Exit> {
    let config = load(environment)?;
    let rekey = compose(config, environment, Arc::new(SystemClock), silent()).map_err(|error| {
        output::complain(&error.to_string());
        Exit::Wrong
    })?;
    let mut exit = Exit::Done;
    let mut answers = Vec::new();
    for instance in instances::chosen(&rekey.config, named)? {
        match look(&rekey, instance).await {
            Ok((snapshot, decision)) => {
                if matches!(decision, Decision::Blocked(_)) {
                    exit = Exit::Failed;
                }
                answers.push(tell(instance, &snapshot, &decision, json));
            }
            Err(error) => {
                output::complain(&format!("{}: {error}", instance.id.name()));
                exit = Exit::Failed;
            }
        }
    }
    if json {
        output::json(&answers);
    }
    Ok(exit)
}

async fn look(
    rekey: &Rekey,
    instance: &InstanceConfig,
) -> Result<(Snapshot, Decision), crate::pass::PassError> {
    rekey.preview(instance, SystemClock.now() + patience()).await
}

fn tell<'a>(instance: &InstanceConfig, snapshot: &Snapshot, decision: &Decision, json: bool) -> Planned<'a> {
    let gone =
        snapshot.gone.iter().map(|app| format!("{} no longer exists; take it out of rekey.toml", app.name()));
    let warnings: Vec<String> = gone.chain(snapshot.unknown.iter().map(ToString::to_string)).collect();
    let text = decision.to_string();
    if !json {
        output::say(&format!("{}: {text}", instance.id.name()));
        for warning in &warnings {
            output::say(&format!("  warning: {warning}"));
        }
    }
    Planned { instance: instance.id.to_string(), decision: decision.name(), text, warnings }
}
