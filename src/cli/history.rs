//! `history`: what was done to a service, as the journal remembers it. Azure is not asked.

use clap::Args;
use serde::Serialize;

use super::instances::{chosen, complain_once, has_no_journal, rekey, warn_of_own_memory};
use super::machine::{Answer, EventFields, events};
use crate::compose::silent;
use crate::config::{Environment, ServiceConfig};
use crate::report::cause;
use crate::report::text::{command as words, journal, readable};
use crate::store::peek;
use crate::terminal::{self, Exit};
use rekey_core::journal::{Entry, Journal};

/// The arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Names or resource ids of configured services; all if none is given
    instances: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct History {
    instance: String,
    name: String,
    error: Option<String>,
    events: Vec<EventFields>,
}

/// A service with its journal, or why that cannot be read.
type Read = (ServiceConfig, Result<Journal, String>);

pub(super) async fn history(args: HistoryArgs, environment: &Environment) -> Exit {
    let (all, empty) = match read(&args.instances, environment).await {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    let failed = |(instance, read): &Read| Some(format!("{}: {}", instance.id.name(), read.as_ref().err()?));
    let exit = complain_once(all.iter().filter_map(failed).collect());
    if args.json {
        terminal::json(&Answer { instances: all.iter().map(fields).collect() });
    } else {
        all.iter()
            .filter_map(|(one, read)| Some((one, read.as_ref().ok()?)))
            .for_each(|read| print(read, empty));
    }
    exit
}

/// The journals, and what an empty one means. That there is none to be read is not the same as that nothing was done.
async fn read(named: &[String], environment: &Environment) -> Result<(Vec<Read>, &'static str), Exit> {
    let rekey = rekey(environment, silent())?;
    if has_no_journal(&rekey.config) {
        terminal::complain(&words::history_no_journal());
        return Err(Exit::Wrong);
    }
    let empty = match warn_of_own_memory(&rekey.config) {
        true => words::HISTORY_UNKNOWN,
        false => words::HISTORY_EMPTY,
    };
    let mut all = Vec::new();
    for instance in chosen(&rekey.config, named)? {
        let read = peek(&*rekey.store, &instance.id).await.map_err(|error| cause::told(&error));
        all.push((instance.clone(), read));
    }
    Ok((all, empty))
}

fn fields((instance, read): &Read) -> History {
    History {
        instance: instance.id.to_string(),
        name: instance.id.name().to_owned(),
        error: read.as_ref().err().cloned(),
        events: read.as_ref().map(events).unwrap_or_default(),
    }
}

fn print((instance, journal): (&ServiceConfig, &Journal), empty: &str) {
    terminal::say(&instance.id.to_string());
    if journal.history().next().is_none() {
        terminal::say(&format!("  {empty}"));
    }
    for (Entry { at, .. }, told) in journal::history(journal) {
        terminal::tell(&format!("  {}  {told}", readable(*at)));
    }
}
