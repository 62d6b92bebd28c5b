//! `rotate`: passes until everything that is due is done.

use std::time::Duration;

use chrono::DateTime;
use clap::Args;
use serde::Serialize;

use super::output::{self, Progress};
use super::signals::stop_at_signal;
use super::{Exit, instances};
use crate::cause;
use crate::clock::{Clock, SystemClock, delta};
use crate::config::Environment;
use crate::pass::{Ending, PassReport, Purpose, Run};
use crate::plan::Decision;

/// The arguments of `rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// Names or resource ids of configured instances; all if none is given
    instances: Vec<String>,
    /// Rotate whatever the age of the keys
    #[arg(long)]
    now: bool,
    /// Stop after this long, between two steps; the next run carries on. A rotation takes a grace and some
    /// minutes, a first one two
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    r#for: Duration,
    /// Answer in JSON, and show no progress
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    instance: String,
    ending: &'static str,
    text: String,
    lines: Vec<String>,
}

pub(super) async fn rotate(args: RotateArgs, environment: &Environment) -> Exit {
    match try_rotate(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_rotate(args: &RotateArgs, environment: &Environment) -> Result<Exit, Exit> {
    let progress = Progress::start(args.json);
    let rekey = instances::rekey(environment, progress.narrator(args.json))?;
    instances::warn_of_memory(&rekey.config);
    let chosen = instances::chosen(&rekey.config, &args.instances)?;
    let run = Run {
        instances: chosen.iter().map(|instance| instance.id.clone()).collect(),
        purpose: Purpose::Rotate { now: args.now },
        holder: format!("rotate/{}", uuid::Uuid::new_v4()),
        deadline: SystemClock
            .now()
            .checked_add_signed(delta(args.r#for))
            .unwrap_or(DateTime::<chrono::Utc>::MAX_UTC),
    };
    let signals = tokio::spawn(stop_at_signal(rekey.stop.clone()));
    let reports = rekey.run(&run).await;
    drop(progress);
    if let Some(notifier) = &rekey.notifier {
        notifier.drain().await;
    }
    signals.abort();
    tell(&reports, args.json);
    Ok(exit(&reports))
}

fn tell(reports: &[PassReport], json: bool) {
    let failed = reports.iter().filter(|report| report.ending.is_failure());
    let failed: Vec<String> = failed.map(PassReport::summary).collect();
    cause::once(failed).iter().for_each(|line| output::complain(line));
    if json {
        let rotated = |report: &PassReport| Rotated {
            instance: report.instance.to_string(),
            ending: report.ending.name(),
            text: report.ending.to_string(),
            lines: report.lines.clone(),
        };
        output::json(&reports.iter().map(rotated).collect::<Vec<_>>());
    } else {
        for report in reports.iter().filter(|report| !report.ending.is_failure()) {
            output::say(&report.summary());
        }
    }
}

fn exit(reports: &[PassReport]) -> Exit {
    if reports.iter().any(|report| report.ending.is_failure()) {
        return Exit::Failed;
    }
    let done = |report: &PassReport| matches!(report.ending, Ending::Decided(Decision::Settled { .. }));
    if reports.iter().all(done) { Exit::Done } else { Exit::Unfinished }
}
