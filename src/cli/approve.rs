//! `approve`: a person's word that the rotation which is due may begin. It belongs to that rotation alone, and is on record with
//! who gave it, and when.

use clap::Args;

use super::acknowledge::{failed, record, who};
use super::instances::{PATIENCE, confirmed, one_on_record};
use super::plan::{foresee, lines};
use crate::clock::{Clock, SystemClock};
use crate::config::Environment;
use crate::engine::{Preview, RunError};
use crate::report::text::{InWords, command as text, readable};
use crate::store::StoreError;
use crate::terminal::{self, Exit};
use rekey_core::plan::{self, Asks, Assessment, Open};

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
    let (rekey, service) = one_on_record(&args.instance, environment, text::acknowledge_no_journal)?;
    let service = &service;
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
    confirmed(args.yes, text::APPROVE_QUESTION)?;
    let event = plan::approves(&due, by, false, policy, SystemClock.now());
    record(&rekey, service, event, "approve").await.map_err(told)?;
    terminal::say(&text::approved(name));
    Ok(Exit::Done)
}
