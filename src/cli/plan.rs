//! `plan`: what would be done, when, and why.

use chrono::{DateTime, Utc};
use clap::Args;

use super::machine::{Planned, answer, tell_rest};
use crate::config::{Environment, ServiceConfig};
use crate::engine::Preview;
use crate::report::text::{InWords, command as text, readable, rounded};
use crate::terminal::{self, Exit, spoken};
use rekey_core::model::ConsumerId;
use rekey_core::plan::{Decision, Forecast, Foreseen, forecast};
use rekey_core::policy::{FirstRotation, Policy};

/// The arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Names or resource ids of configured services; all if none is given
    instances: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn plan(args: PlanArgs, environment: &Environment) -> Exit {
    let planned = |instance: &ServiceConfig, preview: &Preview| {
        Planned::of(&foresee(instance, preview, false, preview.at))
    };
    answer((&args.instances, args.json), environment, planned, print).await
}

/// What would be done from here on; `asked` is whether a rotation is asked for now.
pub(super) fn foresee(
    instance: &ServiceConfig,
    preview: &Preview,
    asked: bool,
    now: DateTime<Utc>,
) -> Forecast {
    forecast(&preview.snapshot, &preview.journal, &instance.policy, now, asked)
}

fn print(instance: &ServiceConfig, preview: &Preview) {
    let (name, decision) = (instance.id.name(), preview.decision.in_words());
    for trouble in preview.trouble().iter().filter(|trouble| **trouble != decision) {
        terminal::tell(&format!("{name}: {trouble}"));
    }
    terminal::tell(&format!("{name}: {decision}"));
    tell_rest(instance, preview, why(instance, preview));
    // As of when it was decided, or the first step would be another than that.
    let now = preview.at;
    let forecast = foresee(instance, preview, false, now);
    if !forecast.says_no_more() {
        terminal::say(text::ROTATE_FORECAST);
        // What stands above in full need not be read twice.
        let is_told = matches!(&preview.decision, Decision::Blocked(_));
        let told =
            |line: String| if is_told { line.replace(&decision, text::BLOCKED_AS_ABOVE) } else { line };
        for line in lines(&forecast, now).into_iter().map(told) {
            terminal::tell_as_of(&format!("    {line}"), now);
        }
    }
}

/// Why anything would be done to a service of which nothing is on record.
pub(super) fn why(instance: &ServiceConfig, preview: &Preview) -> Option<String> {
    preview.journal.keys().is_none().then(|| first_sight(&instance.policy))
}

/// The steps and waits with their times, how it would end, and what it would restart.
pub(super) fn lines(forecast: &Forecast, now: DateTime<Utc>) -> Vec<String> {
    // Behind an approval nothing is done without it.
    let mut asked = false;
    let mut when = |at: DateTime<Utc>, asks: bool| {
        let when = if asked { text::once_approved(readable(at)) } else { readable(at).to_string() };
        asked |= asks;
        when
    };
    let step = |foreseen: &Foreseen| {
        let restarts: Vec<String> = foreseen.restarts().into_iter().map(ConsumerId::name).collect();
        let restarts =
            if restarts.is_empty() { String::new() } else { format!("; restarts {}", restarts.join(", ")) };
        let when = when(foreseen.at, foreseen.decision.asks_for_approval());
        format!("{when}: {}{restarts}", foreseen.decision.in_words())
    };
    let mut lines: Vec<String> = forecast.steps.iter().map(step).collect();
    lines.push(format!("{}: {}", when(forecast.over, false), end(forecast)));
    lines.push(summary(forecast, now));
    lines
}

/// How it would stand then.
pub(super) fn end(forecast: &Forecast) -> String {
    forecast.end.as_ref().map_or_else(|| text::FORECAST_ENDLESS.to_owned(), InWords::in_words)
}

/// How long it would take, and whom it would restart how often.
fn summary(forecast: &Forecast, now: DateTime<Utc>) -> String {
    let length = spoken(forecast.over - now);
    let end = match &forecast.end {
        None => text::rotate_foreseen_for(length),
        Some(Decision::Blocked(_)) => text::rotate_no_further_than(length),
        Some(Decision::Do(_) | Decision::Waiting { .. } | Decision::Settled { .. }) => {
            text::rotate_takes_about(length)
        }
    };
    let restarts = forecast.restarts();
    let often = |(app, times): (&&ConsumerId, &usize)| match times {
        1 => app.name(),
        times => format!("{} ({times} times)", app.name()),
    };
    let restarted: Vec<String> = restarts.iter().map(often).collect();
    if restarted.is_empty() {
        return text::rotate_restarts_none(end);
    }
    text::rotate_restarts(end, restarted.join(", "))
}

/// Why what is foreseen is foreseen, of a service whose journal was never written.
fn first_sight(policy: &Policy) -> String {
    let what = match policy.first_rotation {
        FirstRotation::Now => text::FIRST_NOW.to_owned(),
        FirstRotation::WhenDue => text::first_when_due(rounded(policy.rotate_every)),
    };
    text::first_sight(what, rounded(policy.grace))
}
