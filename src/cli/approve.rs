//! `approve`: a person's word that the rotation which is due may begin. It belongs to that rotation alone, and is on record with
//! who gave it, and when.

use clap::Args;

use super::acknowledge::{failed, record, who, wrong};
use super::instances::{chosen, has_no_journal, rekey, warn_of_own_memory};
use super::plan::{foresee, lines};
use crate::clock::{Clock, SystemClock};
use crate::compose::silent;
use crate::config::Environment;
use crate::engine::{Preview, RunError};
use crate::report::text::command::{NOT_A_TERMINAL, NOTHING_DONE};
use crate::report::text::{InWords, command as text, readable};
use crate::store::StoreError;
use crate::terminal::{self, Answer, Exit};
use rekey_core::plan::{self, Asks, Assessment, Open};

/// How long Azure may take to show the service.
const PATIENCE: chrono::TimeDelta = chrono::TimeDelta::minutes(2);

/// The arguments of `approve`.
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The name or resource id of a configured service
    instance: String,
    /// Who says so; the user of this machine, if not given
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn approve(args: ApproveArgs, environment: &Environment) -> Exit {
    match try_approve(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_approve(args: &ApproveArgs, environment: &Environment) -> Result<Exit, Exit> {
    let rekey = rekey(environment, silent())?;
    let Some(service) = chosen(&rekey.config, std::slice::from_ref(&args.instance))?.first().copied() else {
        return Err(Exit::Wrong);
    };
    if has_no_journal(&rekey.config) {
        return Err(wrong(&text::acknowledge_no_journal()));
    }
    warn_of_own_memory(&rekey.config);
    let by = who(args.by.as_deref(), environment)?;
    let told = |error: RunError| failed(service, &error);
    let preview = rekey.preview(service, SystemClock.now() + PATIENCE).await.map_err(told)?;
    let (name, policy, now) = (service.id.name(), &service.policy, preview.at);
    terminal::tell(&format!("{name}: {}", preview.decision.in_words()));
    // With what this check adds: the first sight of a service asks for a rotation.
    let Preview { snapshot, journal, .. } = &preview;
    let assessed = plan::assess(snapshot.clone(), journal, Open::nothing(), policy, now);
    let Assessment { journal: with_news, .. } =
        assessed.map_err(|illegal| told(StoreError::from(illegal).into()))?;
    let due = match plan::asks(snapshot, &with_news, policy, now) {
        Asks::For(due) => due,
        Asks::Given(_, approval) => {
            let (at, until) = (readable(approval.at), readable(approval.until));
            terminal::complain(&text::approve_already(name, approval.by, at, until));
            return Ok(Exit::Failed);
        }
        Asks::Nothing => {
            terminal::complain(&text::approve_nothing(name));
            return Ok(Exit::Failed);
        }
    };
    if journal.keys().is_none() {
        terminal::complain(&text::approve_never_seen(name));
        return Ok(Exit::Failed);
    }
    terminal::tell(&text::approve_says(&by, due.key_type, &due.key));
    terminal::say(text::ROTATE_FORECAST);
    lines(&foresee(service, &preview, false, now), now)
        .iter()
        .for_each(|line| terminal::tell(&format!("    {line}")));
    if !args.yes {
        match terminal::ask(text::APPROVE_QUESTION) {
            Answer::Yes => {}
            Answer::No => {
                terminal::complain(NOTHING_DONE);
                return Ok(Exit::Failed);
            }
            Answer::Nobody => return Err(wrong(NOT_A_TERMINAL)),
        }
    }
    let event = plan::approves(&due, by, false, policy, SystemClock.now());
    record(&rekey, service, event, "approve").await.map_err(told)?;
    terminal::say(&text::approved(name));
    Ok(Exit::Done)
}
