//! `rotate`: shows what would be done, asks, and runs passes until everything that is due is done.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::instances::{self, Seen};
use super::machine::Service;
use super::plan::{end, foresee, lines, why};
#[cfg(feature = "command-line")]
use super::waves::watcher;
use super::{load, standing};
use crate::clock::{Clock, SystemClock};
use crate::compose::silent;
use crate::config::{Config, Environment, ServiceConfig, StateConfig, duration};
use crate::engine::{Engine, Narrator, Order, Preview};
use crate::report::text::command as text;
use crate::report::text::command::{NOT_A_TERMINAL, NOTHING_DONE};
use crate::report::text::snapshot::cut_off_by_keys;
use crate::report::{Ending, RunEvent, RunReport, cause};
use crate::store::peek;
use crate::terminal::{self, Answer, Exit, Progress, beside, stop_at_signal};
use rekey_core::intent::Intent;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::ServiceId;
use rekey_core::plan::Decision;
use rekey_core::policy::FirstRotation;
use rekey_core::time::delta;

/// The arguments of `rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// Names or resource ids of configured services; all if none is given
    instances: Vec<String>,
    /// Rotate whatever the age of the keys
    #[arg(long)]
    now: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Work without the journal of the deployed app: where none is deployed, or its storage is down. Stale apps are
    /// repaired; keys are rotated with --now alone, for how old they are is not known
    #[arg(long)]
    without_journal: bool,
    /// Stop after this long, between two steps; the next run carries on. A rotation takes a grace and some
    /// minutes, a first one two
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = time_given)]
    r#for: Duration,
    /// Answer in JSON, one object a line: what happens, as it happens, and how it ended
    #[arg(long)]
    json: bool,
}

/// Zero and a number without a unit are refused, as in `rekey.toml`.
fn time_given(text: &str) -> Result<Duration, String> {
    duration(text, "24h")
}

pub(super) async fn rotate(args: RotateArgs, environment: &Environment) -> Exit {
    match try_rotate(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_rotate(args: &RotateArgs, environment: &Environment) -> Result<Exit, Exit> {
    let config = admit(load(environment)?, args, terminal::is_watched()).map_err(|why| {
        terminal::complain(&why);
        Exit::Wrong
    })?;
    let rekey = instances::put_together(config, environment, silent())?;
    let chosen = instances::chosen(&rekey.config, &args.instances)?;
    if must_ask(&rekey.config, args) && !confirmed(&rekey, &chosen, args).await? {
        terminal::complain(NOTHING_DONE);
        return Ok(Exit::Failed);
    }
    let progress = Progress::start(args.json);
    let narrator = if args.json { for_machines() } else { progress.narrator(watcher()) };
    let rekey = Engine { narrator, ..rekey.clone() };
    let order = Order {
        services: chosen.iter().map(|instance| instance.id.clone()).collect(),
        intent: Intent::operator(args.now),
        holder: format!("rotate/{}", uuid::Uuid::new_v4()),
        deadline: SystemClock.now().checked_add_signed(delta(args.r#for)).unwrap_or(DateTime::<Utc>::MAX_UTC),
    };
    let signals = tokio::spawn(stop_at_signal(rekey.stop.clone()));
    let reports = rekey.run(&order).await;
    drop(progress);
    if let Some(notifier) = &rekey.notifier {
        notifier.drain().await;
    }
    tell(&rekey, &reports, args).await;
    signals.abort();
    Ok(exit(&reports))
}

/// What is shown below the lines: the last one stays there.
#[cfg(not(feature = "command-line"))]
fn watcher() -> impl Fn(&ServiceId, &RunEvent) -> Option<String> + Send + Sync + 'static {
    |_, _| None
}

/// The configuration to work with; or why the command is not to begin at all.
fn admit(config: Config, args: &RotateArgs, watched: bool) -> Result<Config, String> {
    let config = if args.without_journal { without_journal(config) } else { config };
    if instances::has_no_journal(&config) && !args.without_journal {
        return Err(text::rotate_no_journal());
    }
    if must_ask(&config, args) && !watched {
        return Err(NOT_A_TERMINAL.to_owned());
    }
    Ok(config)
}

/// Nothing is known of the keys then, so that nothing is due.
fn without_journal(mut config: Config) -> Config {
    config.state = StateConfig::Memory;
    config.instances.iter_mut().for_each(|one| one.policy.first_rotation = FirstRotation::WhenDue);
    config
}

fn must_ask(config: &Config, args: &RotateArgs) -> bool {
    !args.yes && !instances::is_simulated(config)
}

/// Shows what would be done, and asks. With nothing to be seen of any service there is nothing to say yes to.
async fn confirmed(rekey: &Engine, chosen: &[&ServiceConfig], args: &RotateArgs) -> Result<bool, Exit> {
    let seen = instances::look_with(rekey, chosen).await;
    let exit = instances::complain_once(instances::failed(&seen));
    if seen.iter().all(|seen| seen.found.is_err()) {
        return Err(exit);
    }
    let now = SystemClock.now();
    intent(&seen, args.now, now).iter().for_each(|line| terminal::complain(&beside(line, now)));
    Ok(terminal::ask("Go on?") == Answer::Yes)
}

/// What would be done to which service, which apps that restarts, and how long it takes.
fn intent(seen: &[Seen], asked: bool, now: DateTime<Utc>) -> Vec<String> {
    let shown = seen.iter().filter_map(|seen| Some((&seen.instance, seen.found.as_ref().ok()?)));
    let of_one = |(instance, preview): (&ServiceConfig, &Preview)| {
        let forecast = foresee(instance, preview, asked, now);
        let name = instance.id.name();
        if forecast.is_idle() {
            return vec![text::rotate_nothing_to_do(name, end(&forecast))];
        }
        // Who says --now knows why.
        let why = why(instance, preview);
        let steps = lines(&forecast, now).into_iter().map(|step| format!("  {step}"));
        [text::rotate_to_do(name)].into_iter().chain(why.filter(|_| !asked)).chain(steps).collect()
    };
    shown.flat_map(of_one).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
enum Line {
    Progress {
        at: DateTime<Utc>,
        instance: String,
        name: String,
        text: String,
    },
    #[serde(rename_all = "camelCase")]
    Result {
        exit_code: u8,
        instances: Vec<Service<Rotated>>,
    },
}

/// What `rotate` adds: how it ended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    ending: &'static str,
    summary: String,
    lines: Vec<String>,
    took_seconds: f64,
}

/// Tells what happens while it happens, one object a line.
fn for_machines() -> Narrator {
    if terminal::is_quiet() {
        return silent();
    }
    Arc::new(|instance: &ServiceId, event: &RunEvent| {
        if !event.is_told() {
            return;
        }
        terminal::json_line(&Line::Progress {
            at: SystemClock.now(),
            instance: instance.to_string(),
            name: instance.name().to_owned(),
            text: event.to_string(),
        });
    })
}

/// What is done is the answer; what failed, or is not finished, is told where errors are told.
async fn tell(rekey: &Engine, reports: &[RunReport], args: &RotateArgs) {
    let failed = reports.iter().filter(|report| report.ending.is_failure());
    instances::complain_once(failed.map(RunReport::summary).collect());
    for report in reports.iter().filter(|report| !report.ending.is_failure() && !is_done(report)) {
        terminal::complain_of(&report.summary());
    }
    let mut instances = Vec::new();
    for report in reports {
        let configured = rekey.config.instances.iter().find(|one| one.id == report.service);
        let Some(instance) = configured else { continue };
        let journal = match peek(&*rekey.store, &report.service).await {
            Ok(journal) => Some(journal),
            // That nothing can be read is not the same as that nothing is on record.
            Err(error) => {
                let name = report.service.name();
                terminal::complain(&text::rotate_no_standing(name, cause::told(&error)));
                None
            }
        };
        if let Some(journal) = journal.as_ref().filter(|_| report.ending == Ending::Stopped) {
            let carries_on = standing::carries_on(&rekey.config);
            let told = standing::lines(instance, report, journal, SystemClock.now());
            let all = told.iter().map(String::as_str).chain([carries_on]);
            all.for_each(|line| terminal::complain_of(&format!("  {line}")));
        }
        if let Some(next) = next_command(&rekey.config, report, args.now) {
            terminal::complain(&format!("  {next}"));
        }
        instances.push(rotated(instance, report, &journal.unwrap_or_default()));
    }
    if args.json {
        terminal::json_line(&Line::Result { exit_code: exit(reports).code(), instances });
    } else {
        reports.iter().filter(|report| is_done(report)).for_each(|report| terminal::tell(&report.summary()));
        if args.without_journal && reports.iter().all(is_done) {
            terminal::complain(text::ROTATE_WITHOUT_JOURNAL);
        }
    }
}

/// What to type next, where the summary does not say it: who asked for a rotation has it on record in the storage, and asks
/// for another one if he repeats `--now`.
fn next_command(config: &Config, report: &RunReport, now: bool) -> Option<&'static str> {
    // Another request than one by --now is the first rotation's own.
    let asked = now && report.recorded.iter().any(|event| matches!(event, Event::RotationRequested { .. }));
    let is_on_record = asked && matches!(config.state, StateConfig::Blob(_));
    match &report.ending {
        Ending::Busy { .. } if is_on_record => Some(text::ROTATE_OTHER_RUN_AND_REQUEST),
        Ending::Busy { .. } => Some(text::ROTATE_OTHER_RUN),
        // A run that was stopped says so itself, beside how things stand.
        Ending::OutOfTime { .. } | Ending::Decided(Decision::Waiting { .. }) => {
            Some(standing::carries_on(config))
        }
        ending if is_on_record && ending.is_failure() => Some(text::ROTATE_REQUEST_RECORDED),
        _ => None,
    }
}

fn rotated(instance: &ServiceConfig, report: &RunReport, journal: &Journal) -> Service<Rotated> {
    let more = Rotated {
        ending: report.ending.name(),
        summary: report.summary(),
        lines: report.lines(),
        took_seconds: report.took.as_secs_f64(),
    };
    let cut_off = (!report.cut_off.is_empty()).then(|| cut_off_by_keys(&report.cut_off));
    let failed = report.ending.is_failure().then(|| report.ending.to_string());
    let trouble = cut_off.into_iter().chain(failed).collect();
    let error = match &report.ending {
        Ending::Failed(why) | Ending::Unavailable(why) => Some(why.clone()),
        _ => None,
    };
    let seen = report.seen.as_ref().map(|snapshot| (snapshot, standing::next(instance, snapshot, journal)));
    match seen {
        Some((snapshot, next)) => {
            Service { error, ..Service::seen(instance, snapshot, journal, trouble, &next, more) }
        }
        None => Service { trouble, ..Service::unseen(instance, error, more) },
    }
}

fn is_done(report: &RunReport) -> bool {
    matches!(report.ending, Ending::Decided(Decision::Settled { .. }))
}

fn exit(reports: &[RunReport]) -> Exit {
    if reports.iter().any(|report| report.ending.is_failure()) {
        return Exit::Failed;
    }
    if reports.iter().all(is_done) { Exit::Done } else { Exit::Unfinished }
}

#[cfg(test)]
mod tests {
    use chrono::SubsecRound;
    use clap::Parser;

    use super::*;
    use crate::config::load_from;
    use crate::engine::Preview;
    use rekey_core::model::{Key, KeyType, PerKey, Section};
    use rekey_core::plan::{Consumer, ConsumerRef, Holding, Snapshot};

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: RotateArgs,
    }

    const FILE: &str = "[[instance]]\nid = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\n\
        apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/web\"]\n";

    /// Whether a command line may begin, and why not; and whether it asks.
    fn admitted(settings: &[(&str, &str)], line: &str, watched: bool) -> Result<(Config, bool), String> {
        let config = load_from(FILE, "rekey.toml", &settings.iter().copied().collect()).unwrap();
        let Typed { args } = Typed::parse_from(["rotate"].into_iter().chain(line.split_whitespace()));
        let config = admit(config, &args, watched)?;
        let asks = must_ask(&config, &args);
        Ok((config, asks))
    }

    #[test]
    fn who_may_begin_and_who_is_asked() {
        let storage = &[("AzureWebJobsStorage__accountName", "acc")][..];
        let simulated = &[("REKEY_RESOURCE_MANAGER", "http://127.0.0.1:7400")][..];
        let asks = |settings: &[(&str, &str)], line, watched| {
            admitted(settings, line, watched).map(|(_, asks)| asks).map_err(|why| why[..12].to_owned())
        };
        // In the cloud: with the journal, at a terminal or with a yes.
        assert_eq!(asks(storage, "", true), Ok(true));
        assert_eq!(asks(storage, "--now chat", true), Ok(true));
        assert_eq!(asks(storage, "--yes", true), Ok(false));
        assert_eq!(asks(storage, "--yes", false), Ok(false));
        assert_eq!(asks(storage, "", false), Err("not a termin".to_owned()));
        // Without it: told to, and asked like everybody.
        let emulator = &[("AzureWebJobsStorage", "UseDevelopmentStorage=true")][..];
        for settings in [&[][..], &[("REKEY_STATE", "memory")], emulator] {
            assert_eq!(asks(settings, "--yes", true), Err("rotate needs".to_owned()));
            assert_eq!(asks(settings, "--without-journal", true), Ok(true));
            assert_eq!(asks(settings, "--without-journal", false), Err("not a termin".to_owned()));
            assert_eq!(asks(settings, "--without-journal --yes", false), Ok(false));
        }
        // On loopback there is nothing to lose.
        for line in ["", "--now", "--without-journal"] {
            assert_eq!(asks(simulated, line, false), Ok(false));
        }
    }

    /// What is shown before the question: every step with its time, what it restarts, and how long it all takes.
    #[test]
    fn what_is_asked_says_what_would_be_done() {
        let (config, _) = admitted(&[("REKEY_GRACE", "2h")], "--without-journal --now", true).unwrap();
        let instance = config.instances[0].clone();
        // A whole second: the parts of one would round the length up at times.
        let now = SystemClock.now().trunc_subsecs(0);
        let at = ConsumerRef {
            app: (&instance.apps[0].id).into(),
            section: Some(Section::AppSettings),
            name: "SignalR".to_owned(),
        };
        let keys = PerKey::from_fn(|key_type| Key::new(key_type.as_str()).fingerprint());
        let mut snapshot = Snapshot::of_keys(now, keys);
        snapshot.consumers.push(Consumer { at, holds: Holding::Valid(KeyType::Primary) });
        let decision = Decision::Settled { next: None };
        let preview = Preview {
            at: now,
            snapshot,
            decision,
            standing: None,
            unwell: vec![],
            journal: Journal::default(),
        };
        let seen = [Seen { instance, found: Ok(preview) }];
        let timeless = |lines: Vec<String>| {
            let times =
                |line: &str| line.split_inclusive(' ').filter(|word| !word.starts_with("20")).collect();
            lines.iter().map(|line| times(line)).collect::<Vec<String>>().join("\n")
        };
        insta::assert_snapshot!(timeless(intent(&seen, true, now)), @r"
        chat: this will be done:
          waiting until (grace period of the Secondary key) before regenerating it
          regenerate the Secondary key, which no consumer holds
          verify that the service accepts the Secondary key
          repoint to the Secondary key: web (app setting SignalR); restarts web
          waiting until (grace period of the Primary key) before regenerating it
          regenerate the Primary key, which no consumer holds
          settled; the next rotation is due at 
          it would take about 4 h 3 min, and restart web
        ");
        insta::assert_snapshot!(timeless(intent(&seen, false, now)), @"chat: nothing to do: settled; the next rotation is due at ");
    }

    /// What to type next goes by whether the request is on record: who repeats `--now` asks for one more rotation.
    #[test]
    fn who_cannot_go_on_is_told_what_to_type_and_when() {
        let storage = &[("AzureWebJobsStorage__accountName", "acc")][..];
        let (with, without) =
            (admitted(storage, "", true).unwrap().0, admitted(&[], "--without-journal", true).unwrap().0);
        let busy =
            || Ending::Busy { holder: "timer/1".to_owned(), until: SystemClock.now(), cut_off: vec![] };
        let request = Event::RotationRequested { compromised: false, noticed: false };
        let told = |config: &Config, ending: Ending, happened: &[&Event], now: bool| {
            let recorded = happened.iter().map(|&event| event.clone()).collect();
            let report = RunReport::that_ended(config.instances[0].id.clone(), ending, recorded);
            next_command(config, &report, now).unwrap_or("nothing")
        };
        let said =
            |config: &Config, ending: Ending, happened: &[&Event]| told(config, ending, happened, true);
        let failed = || Ending::Failed("it said so".to_owned());
        let settled = Ending::Decided(Decision::Settled { next: None });
        let all = [
            said(&with, busy(), &[]),
            said(&with, busy(), &[&request]),
            said(&with, failed(), &[&request]),
            said(&with, failed(), &[]),
            said(&with, settled, &[&request]),
            said(&without, failed(), &[&request]),
            said(&with, Ending::OutOfTime { cut_off: vec![] }, &[&request]),
            said(&without, Ending::OutOfTime { cut_off: vec![] }, &[]),
            told(&with, failed(), &[&request], false),
            told(&with, busy(), &[&request], false),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        the other run goes on, and nothing was requested of it: repeat this command in two minutes
        the other run goes on, and your rotation request is recorded: run `rotate` in two minutes, without --now
        your rotation request is recorded: once this is resolved, run `rotate` without --now
        nothing
        nothing
        nothing
        RotateKeys of the deployed app carries on at its next schedule; to go on yourself, run `rotate` again, without --now
        nothing carries on, because the journal was in this process alone: run `rotate` again, which sees everything as if for the first time
        nothing
        the other run goes on, and nothing was requested of it: repeat this command in two minutes
        ");
    }

    #[test]
    fn without_the_journal_nothing_is_due_and_storage_that_is_down_is_left_alone() {
        let storage = &[("AzureWebJobsStorage__accountName", "acc")][..];
        let first = |line| admitted(storage, line, true).unwrap().0;
        let (with, without) = (first("--yes"), first("--yes --without-journal"));
        assert!(matches!(with.state, StateConfig::Blob(_)));
        assert_eq!(with.instances[0].policy.first_rotation, FirstRotation::Now);
        assert_eq!(without.state, StateConfig::Memory);
        assert_eq!(without.instances[0].policy.first_rotation, FirstRotation::WhenDue);
    }
}
