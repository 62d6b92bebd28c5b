//! `approve`: a person's word that the rotation which is due may begin. It belongs to that rotation alone, and is on record with
//! who gave it, and when.

use clap::Args;

use super::acknowledge::{failed, who};
use super::instances::{PATIENCE, confirmed, in_turn, one_on_record};
use super::plan::{foresee, lines};
use crate::clock::{Clock, SystemClock};
use crate::config::{Environment, ServiceConfig};
use crate::engine::{Engine, Preview, RunError};
use crate::report::text::{InWords, command as text, readable};
use crate::store::StoreError;
use crate::terminal::{self, Exit};
use rekey_core::journal::{Approval, Event};
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
    match Box::pin(try_approve(&args, environment)).await {
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
    if let Some(approval) = put_on_record(&rekey, service, event).await.map_err(told)? {
        let (at, until) = (readable(approval.at), readable(approval.until));
        terminal::complain(&text::approve_already(name, approval.by, at, until));
        return Ok(Exit::Failed);
    }
    terminal::say(&text::approved(name));
    Ok(Exit::Done)
}

/// Puts an approval on record; the one that somebody else has given meanwhile, if he was faster.
async fn put_on_record(
    rekey: &Engine,
    service: &ServiceConfig,
    event: Event,
) -> Result<Option<Approval>, RunError> {
    let mut lease = in_turn(rekey, service, "approve").await?;
    let (now, given) = (rekey.clock.now(), lease.journal().approved().cloned());
    let is_same = |given: &Approval| match &event {
        Event::Approved { fingerprint, .. } => given.fingerprint == *fingerprint && now < given.until,
        _ => false,
    };
    let given = given.filter(is_same);
    // What does not fit is not on record, and the lease is given back all the same.
    let recorded = if given.is_none() { lease.record(event) } else { Ok(()) };
    lease.release().await?;
    recorded?;
    Ok(given)
}
