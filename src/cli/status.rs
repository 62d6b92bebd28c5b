//! `status`: each instance as it stands.

use std::sync::Arc;

use chrono::TimeDelta;
use clap::Args;
use serde::Serialize;

use super::{Exit, instances, load, output};
use crate::clock::{Clock, SystemClock};
use crate::compose::{compose, silent};
use crate::config::{Environment, InstanceConfig};
use crate::journal::Journal;
use crate::model::{Fingerprint, PerKey};
use crate::plan::{Decision, Holding, Snapshot};

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
    keys: PerKey<Fingerprint>,
    consumers: Vec<ConsumerStatus>,
    unknown: Vec<String>,
    gone: Vec<String>,
    next: String,
    journal: Option<Journal>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerStatus {
    at: String,
    holds: String,
}

pub(super) async fn status(args: StatusArgs, environment: &Environment) -> Exit {
    match try_status(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_status(args: &StatusArgs, environment: &Environment) -> Result<Exit, Exit> {
    let config = load(environment)?;
    let rekey = compose(config, environment, Arc::new(SystemClock), silent()).map_err(|error| {
        output::complain(&error.to_string());
        Exit::Wrong
    })?;
    let mut exit = Exit::Done;
    let mut all = Vec::new();
    for instance in instances::chosen(&rekey.config, &args.instances)? {
        let deadline = SystemClock.now() + TimeDelta::minutes(2);
        match rekey.preview(instance, deadline).await {
            Ok((snapshot, decision)) => {
                let journal = crate::store::peek(&*rekey.store, &instance.id).await.ok();
                all.push(describe(instance, &snapshot, &decision, journal.filter(|j| j.keys().is_some())));
            }
            Err(error) => {
                output::complain(&format!("{}: {error}", instance.id.name()));
                exit = Exit::Failed;
            }
        }
    }
    if args.json {
        output::json(&all);
    } else {
        all.iter().for_each(print);
    }
    Ok(exit)
}

fn describe(
    instance: &InstanceConfig,
    snapshot: &Snapshot,
    decision: &Decision,
    journal: Option<Journal>,
) -> Status {
    let consumer = |consumer: &crate::plan::Consumer| ConsumerStatus {
        at: consumer.at.to_string(),
        holds: match &consumer.holds {
            Holding::Valid(key_type) => key_type.to_string(),
            Holding::Stale(fingerprint) => format!("a dead key ({fingerprint})"),
            Holding::Identity => "no key (identity)".to_owned(),
        },
    };
    Status {
        instance: instance.id.to_string(),
        keys: snapshot.keys.clone(),
        consumers: snapshot.consumers.iter().map(consumer).collect(),
        unknown: snapshot.unknown.iter().map(ToString::to_string).collect(),
        gone: snapshot.gone.iter().map(crate::model::AppId::name).collect(),
        next: decision.to_string(),
        journal,
    }
}

fn print(status: &Status) {
    output::say(&status.instance);
    for (key_type, fingerprint) in status.keys.iter() {
        output::say(&format!("  {key_type:<10} {fingerprint}"));
    }
    for consumer in &status.consumers {
        output::say(&format!("  {} holds {}", consumer.at, consumer.holds));
    }
    for app in &status.gone {
        output::say(&format!("  {app} no longer exists; take it out of rekey.toml"));
    }
    for unknown in &status.unknown {
        output::say(&format!("  not known: {unknown}"));
    }
    output::say(&format!("  next: {}", status.next));
    for entry in status.journal.iter().flat_map(Journal::history) {
        output::say(&format!("  {} {}", crate::plan::readable(entry.at), entry.event));
    }
}
