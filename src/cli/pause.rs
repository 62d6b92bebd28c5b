//! `pause` and `resume`: a person lets rotations rest for a while. It is on record in the journal of each service, with who said
//! so and why, and ends by itself.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use futures::future::ready;
use futures::{StreamExt, stream};

use super::acknowledge::{failed, record, who, wrong};
use super::instances::on_record;
use crate::clock::{Clock, SystemClock};
use crate::config::{Environment, ServiceConfig, duration, meant};
use crate::engine::Engine;
use crate::report::text::{command as text, readable};
use crate::store::peek;
use crate::terminal::{self, Exit};
use rekey_core::calendar;
use rekey_core::journal::{Event, Journal, Pause};
use rekey_core::model::{holds_a_secret, is_unseen};

/// The longest pause: who wants a longer one says so again, so that none is forgotten.
const LONGEST: TimeDelta = TimeDelta::days(365);

/// The longest reason that is put on record.
const LONGEST_WHY: usize = 200;

/// The arguments of `pause`.
#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// Names or resource ids of configured services; all if none is given
    instances: Vec<String>,
    /// Until when: a time with an offset (2026-12-01T08:00Z), a time and a zone ("2026-12-01T08:00 Europe/Berlin"), or a
    /// duration from now (12h)
    #[arg(long, value_name = "WHEN")]
    until: String,
    /// Why, for whoever meets it
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Who says so; the user of this machine, if not given
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// The arguments of `resume`.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// Names or resource ids of configured services; all if none is given
    instances: Vec<String>,
    /// Who says so; the user of this machine, if not given
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

pub(super) async fn pause(args: PauseArgs, environment: &Environment) -> Exit {
    let paused = async {
        let until = until(&args.until, SystemClock.now())?;
        if holds_a_secret(&args.why) {
            return Err(wrong(&text::holds_a_secret("--why")));
        }
        let why = reason(&args.why).ok_or_else(|| wrong(text::PAUSE_NO_REASON))?;
        let (rekey, services) = on_record(&args.instances, environment, text::acknowledge_no_journal)?;
        let by = who(args.by.as_deref(), environment)?;
        let each = services.iter().map(|service| {
            let event = Event::Paused { until, by: by.clone(), why: why.clone() };
            let told = move |before: Option<&Pause>| {
                let replaces = before.map(|before| text::pause_replaces(readable(before.until), &before.by));
                text::paused(service.id.name(), readable(until), replaces.unwrap_or_default())
            };
            put_on_record(&rekey, service, "pause", move |before| Some((event, told(before))))
        });
        Ok::<Exit, Exit>(all(each).await)
    };
    Box::pin(paused).await.unwrap_or_else(|exit| exit)
}

pub(super) async fn resume(args: ResumeArgs, environment: &Environment) -> Exit {
    let resumed = async {
        let (rekey, services) = on_record(&args.instances, environment, text::acknowledge_no_journal)?;
        let by = who(args.by.as_deref(), environment)?;
        let each = services.iter().map(|service| {
            let name = service.id.name();
            let event = Event::Resumed { by: by.clone() };
            let ended = move |before: Option<&Pause>| {
                let before = before?;
                let told = text::resumed(name, readable(before.until), &before.by);
                Some((event, told))
            };
            put_on_record(&rekey, service, "resume", ended)
        });
        Ok::<Exit, Exit>(all(each).await)
    };
    Box::pin(resumed).await.unwrap_or_else(|exit| exit)
}

/// How many services are paused side by side.
const AT_ONCE: usize = 32;

/// Puts on record what follows from the pause that is on, if anything does, and tells it. One service's failure stops no other.
async fn put_on_record(
    rekey: &Engine,
    service: &ServiceConfig,
    command: &str,
    follows: impl FnOnce(Option<&Pause>) -> Option<(Event, String)>,
) -> Exit {
    let journal: Journal = match peek(&*rekey.store, &service.id).await {
        Ok(journal) => journal,
        Err(error) => return failed(service, &error.into()),
    };
    let Some((event, told)) = follows(journal.paused(SystemClock.now())) else {
        terminal::complain(&text::resume_nothing(service.id.name()));
        return Exit::Failed;
    };
    match record(rekey, service, event, command).await {
        Ok(()) => {
            terminal::tell(&told);
            Exit::Done
        }
        Err(error) => failed(service, &error),
    }
}

/// Side by side: one that has to wait for its turn keeps no other waiting.
async fn all(each: impl Iterator<Item = impl Future<Output = Exit>>) -> Exit {
    stream::iter(each)
        .buffer_unordered(AT_ONCE)
        .fold(Exit::Done, |exit, other| ready(worse(exit, other)))
        .await
}

/// Of two ends the one that somebody has to look at first.
fn worse(one: Exit, other: Exit) -> Exit {
    if other == Exit::Done || one == Exit::Failed { one } else { other }
}

/// When a pause ends, by how it is written.
fn until(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Exit> {
    let text = text.trim();
    let with_offset = || {
        // Seconds may be left out.
        let whole = text.strip_suffix('Z').map_or_else(|| text.to_owned(), |time| format!("{time}+00:00"));
        let forms = ["%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%dT%H:%M%:z"];
        let read = forms.into_iter().find_map(|form| DateTime::parse_from_str(&whole, form).ok());
        read.map(|at| at.to_utc())
    };
    let from_now = || {
        let long = TimeDelta::from_std(duration(text, "12h").ok()?).ok()?;
        now.checked_add_signed(long)
    };
    let until = with_offset().or_else(|| calendar::instant(text)).or_else(from_now);
    match until {
        None => {
            let zone = text.split_whitespace().last().filter(|zone| zone.contains('/'));
            let zone = zone.filter(|zone| !calendar::is_zone(zone) && !holds_a_secret(zone));
            Err(zone.map_or_else(
                || wrong(text::PAUSE_NO_TIME),
                |zone| wrong(&text::pause_no_zone(zone, meant(zone, &calendar::zones()))),
            ))
        }
        Some(until) if until <= now => Err(wrong(&text::pause_over(readable(until)))),
        Some(until) if until > now + LONGEST => Err(wrong(&text::pause_too_long(readable(until)))),
        Some(until) => Ok(until),
    }
}

/// Why, on one line.
fn reason(text: &str) -> Option<String> {
    let why = text.trim();
    let is_one = !why.is_empty() && why.len() <= LONGEST_WHY && !why.contains(is_unseen);
    is_one.then(|| why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_time_of_a_zone_or_from_now_and_neither_past_nor_absurd() {
        let now: DateTime<Utc> = "2026-11-01T12:00:00Z".parse().unwrap();
        for (text, until_of) in [
            ("2026-12-01T08:00Z", Some("2026-12-01T08:00:00Z")),
            ("2026-12-01T08:00:30+01:00", Some("2026-12-01T07:00:30Z")),
            ("2026-12-01T08:00+01:00", Some("2026-12-01T07:00:00Z")),
            ("2026-12-01T08:00 Europe/Berlin", Some("2026-12-01T07:00:00Z")),
            ("12h", Some("2026-11-02T00:00:00Z")),
            ("365d", Some("2027-11-01T12:00:00Z")),
            ("366d", None),
            ("2026-11-01T11:59Z", None),
            ("2026-12-01T08:00", None),
            ("2026-12-01", None),
            ("12", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(until(text, now).ok(), until_of.map(|at| at.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_end_that_somebody_has_to_look_at_counts() {
        assert_eq!(worse(Exit::Done, Exit::Unfinished), Exit::Unfinished);
        assert_eq!(worse(Exit::Unfinished, Exit::Done), Exit::Unfinished);
        assert_eq!(worse(Exit::Unfinished, Exit::Failed), Exit::Failed);
        assert_eq!(worse(Exit::Failed, Exit::Unfinished), Exit::Failed);
    }
}
