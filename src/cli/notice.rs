//! `notice`: what an event would do, or, with `--fire`, what it does to a handler on this machine.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::load;
use crate::azure::http::{self, Http, is_loopback};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Environment};
use crate::report::text::azure::NO_REASON_GIVEN;
use crate::report::text::{InWords, command as words, notice as notices};
use crate::report::{cause, text};
use crate::terminal::{self, Exit};
use rekey_core::intent::{Fault, foresee};
use rekey_core::notice::{self, Event};

/// The arguments of `notice`.
#[derive(Debug, Args)]
pub(super) struct NoticeArgs {
    /// A file with an event of Event Grid, a CloudEvent, a list of them, or an alert of Azure Monitor; - for stdin
    #[arg(value_name = "FILE")]
    file: String,
    /// Send it to the handler at this URL, as the Functions host would: http://127.0.0.1:PORT
    #[arg(long, value_name = "URL", value_parser = loopback)]
    fire: Option<Url>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// How the event is called that came by no file.
const STDIN: &str = "standard input";

/// The longest file: what Event Grid delivers at most.
const LONGEST: u64 = 1 << 20;

/// How much of the handler's answer is read: lines of a log, for each service a few.
const LARGEST_ANSWER: usize = 4 << 20;

/// The host of Event Grid's functions waits half a minute; what takes longer is not answered in time there either.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Answer<'a> {
    events: Vec<Meaning>,
    fired: Option<&'a Fired>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meaning {
    id: Option<String>,
    kind: String,
    means: String,
    /// What it would do; nothing where it was fired, for then the handler's own configuration decides.
    does: Option<Vec<String>>,
    warnings: Vec<String>,
}

/// What a handler answered to the events of a file.
#[derive(Serialize)]
struct Fired {
    function: &'static str,
    status: u64,
    lines: Vec<String>,
    error: Option<String>,
}

pub(super) async fn notice(args: NoticeArgs, environment: &Environment) -> Exit {
    match try_notice(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_notice(args: &NoticeArgs, environment: &Environment) -> Result<Exit, Exit> {
    let value = read(&args.file)?;
    let refused = |malformed: notice::Malformed| wrong(&notices::not_understood(malformed.in_words()));
    let events = notice::read(&value, if args.file == "-" { STDIN } else { &args.file }).map_err(refused)?;
    match &args.fire {
        Some(handler) => Ok(tell_fired(&fire(handler, &value, &events).await?, &events, args.json)),
        None => Ok(tell(&events, &load(environment)?, args.json)),
    }
}

/// An event that the handler would refuse is a failure here too.
fn tell(events: &[Event], config: &Config, json: bool) -> Exit {
    let now = SystemClock.now();
    let mut exit = Exit::Done;
    let mut of_one = |event: &Event| match foresee(event, &config.configured(), now) {
        Ok(foreseen) => {
            let cautions = foreseen.cautions.iter().map(text::notice::caution).collect();
            meaning(event, Some(text::notice::foreseen(&foreseen)), cautions)
        }
        Err(fault) => {
            exit = Exit::Failed;
            let why = match fault {
                Fault::Unreadable { fault, .. } => fault.in_words(),
                fault @ Fault::NotConfigured { .. } => text::notice::fault(&fault),
            };
            meaning(event, Some(vec![words::notice_refused(&why)]), vec![])
        }
    };
    let meanings: Vec<Meaning> = events.iter().map(&mut of_one).collect();
    if json {
        terminal::json(&Answer { events: meanings, fired: None });
        return exit;
    }
    for Meaning { kind, means, does, warnings, .. } in meanings {
        terminal::tell_as_of(&format!("{kind}: {means}"), now);
        let does = does.unwrap_or_default();
        if does.is_empty() {
            terminal::say(words::NOTICE_NOTHING);
        }
        does.iter().for_each(|line| terminal::tell_as_of(&format!("  {line}"), now));
        warnings.iter().for_each(|line| terminal::tell_as_of(&format!("  warning: {line}"), now));
    }
    exit
}

fn meaning(event: &Event, does: Option<Vec<String>>, warnings: Vec<String>) -> Meaning {
    let means = notice::classify(event).in_words();
    Meaning { id: event.id.clone(), kind: event.kind.clone(), means, does, warnings }
}

/// A handler that had nothing to do tells nothing; whoever fired is told that it answered all the same.
fn tell_fired(fired: &Fired, events: &[Event], json: bool) -> Exit {
    let Fired { function, status, lines, error } = fired;
    if json {
        let events = events.iter().map(|event| meaning(event, None, vec![])).collect();
        terminal::json(&Answer { events, fired: Some(fired) });
    } else {
        lines.iter().for_each(|line| terminal::say(line));
    }
    if !(200..300).contains(status) {
        let why = error.as_deref().unwrap_or(NO_REASON_GIVEN);
        terminal::complain(&format!("{function} answered {status}: {why}"));
        return Exit::Failed;
    }
    if !json && lines.is_empty() {
        terminal::say(&words::notice_nothing_told(function, *status));
    }
    Exit::Done
}

/// Calls the function as the host calls it. An alert goes where an action group's goes.
async fn fire(handler: &Url, value: &Value, events: &[Event]) -> Result<Fired, Exit> {
    let alert = events.iter().any(Event::is_alert);
    let (function, data) = if alert {
        ("OnAlert", json!({ "req": { "Method": "POST", "Body": value.to_string() } }))
    } else {
        ("OnKeyNotice", json!({ "event": value }))
    };
    let url = handler.join(function).map_err(|error| wrong(&cause::told(&error)))?;
    let http = Http::new();
    let client = http.client(&url).map_err(|error| wrong(&cause::told(&error)))?;
    let envelope = json!({ "Data": data, "Metadata": {} });
    let request = client.post(url).json(&envelope).timeout(PATIENCE);
    let answer = request.send().await.map_err(|error| {
        let what = words::notice_no_answer(handler);
        wrong(&cause::because(&what, Some(&error.without_url())))
    })?;
    let status = answer.status();
    let body = http::read(answer, LARGEST_ANSWER).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let told = body["Logs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines = told.map(ToOwned::to_owned).collect();
    // The answer of a function with an HTTP output holds the status that its caller gets.
    let status = body["Outputs"]["res"]["statusCode"].as_u64().unwrap_or_else(|| status.as_u16().into());
    let error = body["Error"].as_str().map(ToOwned::to_owned);
    Ok(Fired { function, status, lines, error })
}

fn read(file: &str) -> Result<Value, Exit> {
    let mut text = Vec::new();
    let read = if file == "-" {
        std::io::stdin().take(LONGEST + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(LONGEST + 1).read_to_end(&mut text))
    };
    read.map_err(|error| wrong(&cause::because(&words::notice_not_read(file), Some(&error))))?;
    if text.len() as u64 > LONGEST {
        return Err(wrong(&words::notice_too_long(file)));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    serde_json::from_slice(text)
        .map_err(|error| wrong(&words::notice_no_json(file, error.line(), error.column())))
}

fn wrong(why: &str) -> Exit {
    terminal::complain(why);
    Exit::Wrong
}

fn loopback(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && is_loopback(url));
    url.ok_or_else(|| "write http://127.0.0.1:PORT, the port of a handler on this machine".into())
}
