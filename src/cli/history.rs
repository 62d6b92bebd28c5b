//! `history`: what was done to an instance, as the journal remembers it. Azure is not asked.

use clap::Args;
use serde::Serialize;

use super::instances::{chosen, complain_once, rekey, warn_of_memory};
use super::{Exit, output};
use crate::cause;
use crate::compose::silent;
use crate::config::Environment;
use crate::journal::{Entry, Journal};
use crate::plan::readable;
use crate::store::peek;

/// The arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Names or resource ids of configured instances; all if none is given
    instances: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct History {
    instance: String,
    events: Vec<Entry>,
}

pub(super) async fn history(args: HistoryArgs, environment: &Environment) -> Exit {
    match read(&args.instances, environment).await {
        Ok((all, exit)) => {
            if args.json {
                output::json(&all);
            } else {
                all.iter().for_each(print);
            }
            exit
        }
        Err(exit) => exit,
    }
}

async fn read(named: &[String], environment: &Environment) -> Result<(Vec<History>, Exit), Exit> {
    let rekey = rekey(environment, silent())?;
    warn_of_memory(&rekey.config);
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for instance in chosen(&rekey.config, named)? {
        match peek(&*rekey.store, &instance.id).await {
            Ok(journal) => all.push(History { instance: instance.id.to_string(), events: events(&journal) }),
            Err(error) => failed.push(format!("{}: {}", instance.id.name(), cause::told(&error))),
        }
    }
    Ok((all, complain_once(failed)))
}

fn events(journal: &Journal) -> Vec<Entry> {
    journal.history().cloned().collect()
}

fn print(history: &History) {
    output::say(&history.instance);
    if history.events.is_empty() {
        output::say("  nothing yet: no pass has recorded anything of it");
    }
    for Entry { at, event } in &history.events {
        output::say(&format!("  {}  {event}", readable(*at)));
    }
}
