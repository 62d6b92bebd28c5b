//! `status`: each service as it stands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::instances::{chosen, look_with, onlooker};
use super::machine::{EventFields, Shape, answer, events, tell, tell_rest, unseen};
use super::web::web;
use crate::clock::{Clock, SystemClock};
use crate::config::{Environment, ServiceConfig, duration};
use crate::engine::Preview;
use crate::report::text::journal::history;
use crate::report::text::snapshot::holds;
use crate::report::text::{InWords, command as text, readable};
use crate::terminal::{self, Exit, stopped};
use rekey_core::journal::{Entry, Journal, Pause};
use rekey_core::model::KeyType;
use rekey_core::plan::{Decision, Snapshot};

/// The arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Names or resource ids of configured services; all if none is given
    instances: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    /// Show the status page instead, by what the last runs told, in a browser on this machine until ctrl-c
    #[arg(long, conflicts_with_all = ["json", "instances"])]
    web: bool,
    /// Check again at this interval until ctrl-c, 10s unless another is given; with --json one object per check
    #[arg(long, value_name = "EVERY", num_args = 0..=1, require_equals = true, default_missing_value = "10s",
        value_parser = look_again, conflicts_with = "web")]
    watch: Option<Duration>,
}

/// The shortest time between two looks: each of them asks Azure for everything.
const AT_LEAST: Duration = Duration::from_secs(2);

fn look_again(text: &str) -> Result<Duration, String> {
    let every = duration(text, "10s")?;
    if every < AT_LEAST {
        Err(text::watch_too_often(humantime::format_duration(AT_LEAST)))
    } else {
        Ok(every)
    }
}

/// What `status` adds: what is remembered.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Remembered {
    regenerating: Option<Regenerating>,
    requested: Option<DateTime<Utc>>,
    paused: Option<Paused>,
    events: Vec<EventFields>,
}

/// That rotations rest, whether one is due or not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paused {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    by: String,
    why: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Regenerating {
    key_type: KeyType,
    since: DateTime<Utc>,
}

impl Remembered {
    fn of(journal: &Journal, now: DateTime<Utc>) -> Self {
        let regenerating = journal
            .in_flight()
            .map(|flight| Regenerating { key_type: flight.key_type, since: flight.intended });
        let paused = journal.paused(now).cloned();
        let paused = paused.map(|Pause { at, until, by, why }| Paused { since: at, until, by, why });
        Self { regenerating, requested: journal.requested(), paused, events: events(journal) }
    }
}

pub(super) async fn status(args: StatusArgs, environment: &Environment) -> Exit {
    if args.web {
        return web(environment).await;
    }
    match args.watch {
        None => answer((&args.instances, args.json), environment, remembered, print).await,
        Some(every) => watch(&args, every, environment).await.unwrap_or_else(|exit| exit),
    }
}

fn remembered(_: &ServiceConfig, preview: &Preview) -> Remembered {
    Remembered::of(&preview.journal, preview.at)
}

/// Looks again and again, until whoever watches has seen enough; how the last look ended is the answer.
async fn watch(args: &StatusArgs, every: Duration, environment: &Environment) -> Result<Exit, Exit> {
    let rekey = onlooker(environment)?;
    let chosen = chosen(&rekey.config, &args.instances)?;
    let shape = if args.json { Shape::JsonLine } else { Shape::Text };
    let mut exit = Exit::Done;
    // Below one service stands the last of what was done to it, as far as a terminal has room; below several none of it.
    let print = |instance: &ServiceConfig, preview: &Preview| {
        stands(instance, preview);
        let (past, mut taken) = (past(preview), 0);
        let left = match terminal::rows_left() {
            Some(left) if chosen.len() == 1 => left,
            Some(_) => 0,
            None => usize::MAX,
        };
        let fits = |line: &&String| {
            taken += terminal::rows(line);
            taken <= left
        };
        let fitting = past.iter().rev().take_while(fits).count();
        past[past.len() - fitting..].iter().for_each(|line| terminal::say(line));
    };
    let looks = async {
        loop {
            let seen = look_with(&rekey, &chosen).await;
            if !args.json {
                terminal::clear();
                let at = readable(SystemClock.now());
                terminal::say(&text::status_as_of(at, humantime::format_duration(every)));
            }
            exit = tell(&seen, shape, remembered, print);
            if terminal::nobody_reads() {
                break;
            }
            SystemClock.sleep(every).await;
        }
    };
    tokio::select! {
        () = looks => {}
        () = stopped() => {}
    }
    Ok(exit)
}

fn print(instance: &ServiceConfig, preview: &Preview) {
    stands(instance, preview);
    past(preview).iter().for_each(|line| terminal::say(line));
}

/// How a service stands, and what comes next.
fn stands(instance: &ServiceConfig, preview: &Preview) {
    let (name, trouble) = (instance.id.name(), preview.trouble());
    if let Some(pause) = preview.journal.paused(preview.at) {
        let (since, until) = (readable(pause.at), readable(pause.until));
        terminal::tell(&format!("{name}: {}", text::pause_is_on(until, since, &pause.by, &pause.why)));
    }
    for trouble in &trouble {
        terminal::tell(&format!("{name}: {trouble}"));
    }
    terminal::say(&instance.id.to_string());
    for (key_type, fingerprint) in preview.snapshot.keys.iter() {
        terminal::say(&format!("  {:<9} key {fingerprint}", key_type.as_str()));
    }
    for consumer in &preview.snapshot.consumers {
        terminal::say(&format!("  {} {}", consumer.at.in_words(), holds(consumer, &preview.snapshot)));
    }
    for unseen in unseen(&preview.snapshot) {
        terminal::say(&format!("  {unseen}"));
    }
    let next = preview.decision.in_words();
    let is_told = trouble.iter().any(|trouble| trouble.contains(&next));
    let next = match &preview.decision {
        Decision::Blocked(by) if by.passes() => text::STATUS_CHECKS_AGAIN,
        _ if is_told && only_others_repair(&preview.snapshot) => text::STATUS_RESOLVE_BY_OTHERS,
        _ if is_told => text::STATUS_RESOLVE,
        _ => &next,
    };
    tell_rest(instance, preview, Some(format!("  next: {next}")));
}

/// What was done, with how long ago.
fn past(preview: &Preview) -> Vec<String> {
    let now = SystemClock.now();
    let line = |(entry, told): (&Entry, String)| format!("  {} {told}", readable(entry.at));
    history(&preview.journal).into_iter().map(line).map(|line| terminal::beside(&line, now)).collect()
}

/// Whether somebody is cut off, and nobody whom a run can write.
fn only_others_repair(snapshot: &Snapshot) -> bool {
    let stale = snapshot.stale();
    !stale.is_empty() && stale.iter().all(|one| one.app.is_external()) && snapshot.lost.is_empty()
}
