//! `unblock`: after a person has looked, lets what was refused or came to nothing be tried again at once.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use clap::Args;

use super::instances::{chosen, rekey, warn_of_memory};
use super::{Exit, output};
use crate::cause;
use crate::clock::{Clock, SystemClock};
use crate::compose::silent;
use crate::config::{Environment, InstanceConfig};
use crate::journal::Event;
use crate::pass::{PassError, Rekey};
use crate::store::Lease;

/// The arguments of `unblock`.
#[derive(Debug, Args)]
pub(super) struct UnblockArgs {
    /// The name or resource id of a configured instance
    instance: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn unblock(args: UnblockArgs, environment: &Environment) -> Exit {
    match try_unblock(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_unblock(args: &UnblockArgs, environment: &Environment) -> Result<Exit, Exit> {
    let rekey = rekey(environment, silent())?;
    let Some(instance) = chosen(&rekey.config, std::slice::from_ref(&args.instance))?.first().copied() else {
        return Err(Exit::Wrong);
    };
    if warn_of_memory(&rekey.config) {
        output::complain("there is nothing that could be forgotten; nothing was done");
        return Ok(Exit::Wrong);
    }
    show(&rekey, instance).await.map_err(|error| failed(instance, &error))?;
    if !args.yes && !confirmed() {
        output::complain("nothing was done");
        return Ok(Exit::Failed);
    }
    clear(&rekey, instance).await.map_err(|error| failed(instance, &error))?;
    output::say("what stood in the way is forgotten; the next pass tries again");
    Ok(Exit::Done)
}

fn failed(instance: &InstanceConfig, error: &PassError) -> Exit {
    output::complain(&format!("{}: {}", instance.id.name(), cause::told(error)));
    Exit::Failed
}

/// What is known: the decision as it stands, and what it rests on.
async fn show(rekey: &Rekey, instance: &InstanceConfig) -> Result<(), PassError> {
    let preview = rekey.preview(instance, SystemClock.now() + chrono::TimeDelta::minutes(2)).await?;
    output::say(&format!("{}: {}", instance.id.name(), preview.decision));
    for warning in preview.snapshot.warnings() {
        output::say(&format!("  {warning}; this is not forgotten, it has to be cured"));
    }
    for entry in preview.journal.history().rev().take(5).collect::<Vec<_>>().into_iter().rev() {
        output::say(&format!("  {}  {}", crate::plan::readable(entry.at), entry.event));
    }
    Ok(())
}

fn confirmed() -> bool {
    if !io::stdin().is_terminal() {
        output::complain(
            "nobody is there to ask whether the refusals and failures of this instance are to be forgotten; give --yes if they are",
        );
        return false;
    }
    let _ = write!(
        io::stderr(),
        "Forget refusals and failures of this instance, so that they are tried again? [y/N] "
    );
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

async fn clear(rekey: &Rekey, instance: &InstanceConfig) -> Result<(), PassError> {
    let holder = format!("unblock/{}", uuid::Uuid::new_v4());
    let store = Arc::clone(&rekey.store);
    let mut lease = Lease::acquire_by_hand(store, Arc::clone(&rekey.clock), &instance.id, &holder).await?;
    lease.record(Event::Unblocked {})?;
    Ok(lease.release().await?)
}
