//! `report`: what was done to services in a time, from their evidence, for who has to show it; and whether all of that is there
//! as it was written. Azure is not asked.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::Args;
use futures::StreamExt;
use futures::stream;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use super::instances::{chosen, complain_once, has_no_journal, rekey};
use crate::compose::silent;
use crate::config::{Environment, ServiceConfig, StateConfig, duration};
use crate::engine::Engine;
use crate::report::cause;
use crate::report::text::{InWords, command as words, readable};
use crate::store::{self, peek};
use crate::terminal::{self, Exit};
use rekey_core::evidence::{self, Document, Flaw, Found, Record};
use rekey_core::journal::{self, ChangeStep, Evidence, Journal, LeftOut};
use rekey_core::time::delta;

/// How many documents are read at the same time.
const AT_ONCE: usize = 16;

/// The arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Names or resource ids of configured services; all if none is given
    instances: Vec<String>,
    /// What was over in this time, or from the beginning of this date on, as in 2026-01-01 (UTC)
    #[arg(long, value_name = "WHEN", default_value = "90d", value_parser = When::read, conflicts_with = "verify")]
    since: When,
    /// Up to that long ago, or to the beginning of this date; without it up to now
    #[arg(long, value_name = "WHEN", value_parser = When::read, conflicts_with = "verify")]
    until: Option<When>,
    /// Check every document of all times: that each is there, as it was written; not with --since, --until, --csv or --html
    #[arg(long)]
    verify: bool,
    /// Answer in JSON; not with --csv or --html
    #[arg(long)]
    json: bool,
    /// Answer as a table, one line for each change; not with --html
    #[arg(long, conflicts_with_all = ["json", "verify"])]
    csv: bool,
    /// Answer as a page that asks for nothing else
    #[arg(long, conflicts_with_all = ["json", "csv", "verify"])]
    html: bool,
}

/// After how long a change that is over counts as one whose document is late: no run takes longer, and the next one writes it.
const LATE: TimeDelta = TimeDelta::hours(1);

/// A time as it is asked for.
#[derive(Clone, Copy, Debug)]
enum When {
    Ago(Duration),
    At(DateTime<Utc>),
}

impl When {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().parse::<NaiveDate>() {
            Ok(date) => Ok(Self::At(date.and_time(NaiveTime::MIN).and_utc())),
            Err(_) => duration(text, "90d").map(Self::Ago).map_err(|why| words::no_date_either(&why)),
        }
    }

    fn as_of(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Ago(ago) => now.checked_sub_signed(delta(ago)).unwrap_or(DateTime::UNIX_EPOCH),
            Self::At(at) => at,
        }
    }
}

/// From when on, and until when: what was over then.
type Times = (DateTime<Utc>, DateTime<Utc>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// As of when.
    at: DateTime<Utc>,
    /// What was over from then on; nothing where all was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<DateTime<Utc>>,
    /// Until when, if not until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<DateTime<Utc>>,
    instances: Vec<Service>,
    /// How many documents are of services that are not in the configuration, or were not named.
    of_others: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    instance: String,
    name: String,
    /// What is wrong, each in a sentence: what could not be read, or is not as it was written.
    faults: Vec<String>,
    /// How many documents there are, of all times.
    documents: usize,
    /// How many changes wait for theirs, and what of them there was no room for.
    waiting: usize,
    left_out: LeftOut,
    /// Since when a change goes on, if one does; since when one is over that has no document yet.
    under_way: Option<DateTime<Utc>>,
    waiting_since: Option<DateTime<Utc>>,
    /// Those, as they are so far.
    #[serde(skip)]
    unproved: Vec<(String, [String; 7])>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Change>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    document: String,
    sha256: String,
    #[serde(flatten)]
    record: Record,
}

pub(super) async fn report(args: ReportArgs, environment: &Environment) -> Exit {
    match answer(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn answer(args: &ReportArgs, environment: &Environment) -> Result<Exit, Exit> {
    let rekey = rekey(environment, silent())?;
    if rekey.config.state == StateConfig::Memory || has_no_journal(&rekey.config) {
        terminal::complain(&words::report_no_journal());
        return Err(Exit::Wrong);
    }
    let services = chosen(&rekey.config, &args.instances)?;
    let names = store::evidence_names(&*rekey.store).await.map_err(|error| {
        terminal::complain(&words::evidence_not_listed(cause::told(&error)));
        Exit::Failed
    })?;
    let Some(names) = names else {
        terminal::complain(words::NO_EVIDENCE);
        return Err(Exit::Failed);
    };
    let at = rekey.clock.now();
    let until = args.until.map(|until| until.as_of(at));
    let times = (!args.verify).then(|| (args.since.as_of(at), until.unwrap_or(DateTime::<Utc>::MAX_UTC)));
    if times.is_some_and(|(since, _)| until.unwrap_or(at) <= since) {
        terminal::complain(words::REPORT_NO_TIME);
        return Err(Exit::Wrong);
    }
    let since = times.map(|(since, _)| since);
    let mut instances = Vec::new();
    for service in &services {
        instances.push(look(&rekey, service, &names, times).await);
    }
    // Each document is of one service.
    let of_others = names.len() - instances.iter().map(|one| one.documents).sum::<usize>();
    let report = Report { at, since, until, instances, of_others };
    Ok(report.tell(args))
}

/// What there is of a service: with a time, what was over since; without, whether all is there as it was written.
async fn look(rekey: &Engine, service: &ServiceConfig, names: &[String], times: Option<Times>) -> Service {
    let since = times.map(|(since, _)| since);
    let names: Vec<&String> = names.iter().filter(|name| evidence::is_of(name, &service.id)).collect();
    let journal = peek(&*rekey.store, &service.id).await;
    let mut faults: Vec<String> =
        journal.as_ref().err().map(|error| cause::told(error)).into_iter().collect();
    let next = journal.as_ref().ok().and_then(|journal| evidence::next(journal, &service.id).ok().flatten());
    let is_next = |name: &str| next.as_ref().is_some_and(|next| next.name == name);
    let wanted = names.iter().filter(|name| is_within(name, since) || is_next(name));
    let mut found = read(rekey, wanted.map(|name| (*name).clone()).collect()).await;
    let changes = times.map(|times| changes(&found, times, &mut faults));
    for name in &names {
        found.entry((*name).clone()).or_insert_with(|| Err(String::new()));
    }
    if let Ok(journal) = &journal {
        if journal.history().next().is_none() && journal.evidence().head().is_none() {
            faults.push(words::REPORT_NEVER_CHECKED.to_owned());
        }
        faults.extend(check(journal, next.as_ref(), &found, since));
    }
    let journal = journal.unwrap_or_default();
    let evidence = journal.evidence();
    Service {
        instance: service.id.to_string(),
        name: service.id.name().to_owned(),
        faults,
        documents: names.len(),
        waiting: evidence.waiting().len(),
        left_out: evidence.left_out(),
        under_way: evidence.open().map(|open| open.began),
        waiting_since: evidence.waiting().next().map(|first| first.ended),
        unproved: unproved(evidence),
        changes,
    }
}

/// The changes that have no document yet, each with why.
fn unproved(evidence: &Evidence) -> Vec<(String, [String; 7])> {
    let waiting = evidence.waiting().map(|change| (words::DOCUMENT_WAITS.to_owned(), cells(change)));
    let open = evidence.open().map(|open| {
        let [began, _, rest @ ..] = cells(open);
        let [what, asked, keys, old_keys, moved] = rest;
        let ended = String::new();
        (words::change_under_way(&began), [began, ended, what, asked, keys, old_keys, moved])
    });
    waiting.chain(open).collect()
}

/// Whether a document may tell of what was over since then. What bears no month may.
fn is_within(name: &str, since: Option<DateTime<Utc>>) -> bool {
    let first = since.map(|since| since.format("%Y/%m").to_string());
    first.zip(evidence::month(name)).is_none_or(|(first, month)| *month >= *first)
}

async fn read(rekey: &Engine, names: Vec<String>) -> Found {
    let read = async |name: String| {
        let read = store::evidence(&*rekey.store, &name).await;
        let body = match read {
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(words::EVIDENCE_GONE.to_owned()),
            Err(error) => Err(cause::told(&error)),
        };
        (name, body)
    };
    stream::iter(names).map(read).buffer_unordered(AT_ONCE).collect().await
}

fn changes(found: &Found, (since, until): Times, faults: &mut Vec<String>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, body) in found {
        let record = match body {
            Ok(body) => evidence::read(body).map(|record| (record, evidence::sha256(body))),
            Err(why) => Err(evidence::Flawed::NotGiven(why.clone())),
        };
        match record {
            Ok((record, sha256)) if (since..until).contains(&record.change.ended) => {
                changes.push(Change { document: name.clone(), sha256, record });
            }
            Ok(_) => {}
            Err(why) => {
                faults.push(Flaw::Unreadable { name: name.clone(), why }.in_words());
            }
        }
    }
    changes.sort_by_key(|change| (change.record.change.ended, change.record.sequence));
    changes
}

/// What is not as it was written, of what was read; of the rest, what its name shows.
fn check(
    journal: &Journal,
    next: Option<&Document>,
    found: &Found,
    since: Option<DateTime<Utc>>,
) -> Vec<String> {
    let flaws = evidence::verify(journal.evidence(), next, found);
    // Those of before were not read; and that one cannot be was told as it was read.
    let is_meant = |flaw: &&Flaw| match flaw {
        _ if since.is_none() => true,
        Flaw::Gap { .. } | Flaw::Unreadable { .. } => false,
        Flaw::Unknown { .. } => true,
        Flaw::Missing { name } | Flaw::Changed { name } => is_within(name, since),
        Flaw::NoHead { last, .. } => is_within(last, since),
    };
    flaws.iter().filter(is_meant).map(InWords::in_words).collect()
}

impl Report {
    fn tell(&self, args: &ReportArgs) -> Exit {
        let fault = |one: &Service| {
            let name = one.name.clone();
            one.faults.iter().map(move |fault| format!("{name}: {fault}")).collect::<Vec<_>>()
        };
        let late = self.instances.iter().filter_map(|one| one.late(self.at));
        let exit = complain_once(self.instances.iter().flat_map(fault).chain(late).collect());
        self.instances.iter().filter_map(Service::owes).for_each(|owes| terminal::complain(&owes));
        if self.of_others > 0 {
            terminal::complain(&words::evidence_of_others(self.of_others));
        }
        if args.json {
            terminal::json(self);
        } else if args.csv {
            terminal::say(&csv(&COLUMNS));
            self.rows().for_each(|row| terminal::say(&csv(&row)));
        } else if args.html {
            terminal::say(&self.page().into_string());
        } else {
            self.print();
        }
        exit
    }

    fn print(&self) {
        for one in &self.instances {
            terminal::say(&one.instance);
            // They are on stderr too: whoever keeps one of the two alone is told of them.
            one.faults.iter().for_each(|fault| terminal::tell(&format!("  {}", words::report_fault(fault))));
            match &one.changes {
                Some(changes) if changes.is_empty() => {
                    let none = match (one.faults.is_empty(), one.unproved.is_empty()) {
                        (true, true) => words::NOTHING_CHANGED,
                        (true, false) => words::NOTHING_OVER,
                        (false, _) => words::NOTHING_FOUND,
                    };
                    terminal::say(&format!("  {none}"));
                }
                Some(changes) => changes.iter().for_each(|change| {
                    let [_, ended, parts @ ..] = cells(&change.record.change);
                    terminal::tell(&format!("  {ended}  {}", joined(&parts)));
                }),
                None if one.faults.is_empty() => {
                    terminal::say(&format!("  {}", words::evidence_whole(one.documents)));
                }
                None => {
                    terminal::say(&format!("  {}", words::evidence_flawed(one.faults.len(), one.documents)));
                }
            }
            for (state, [_, _, parts @ ..]) in &one.unproved {
                terminal::tell(&format!("  {state}: {}", joined(parts)));
            }
        }
    }

    /// One line for each change. What has no document yet has in its place why.
    fn rows(&self) -> impl Iterator<Item = [String; 10]> {
        self.instances.iter().flat_map(|one| {
            let proved = one.changes.iter().flatten();
            let proved =
                proved.map(|one| (cells(&one.record.change), one.document.clone(), one.sha256.clone()));
            let unproved =
                one.unproved.iter().map(|(state, cells)| (cells.clone(), state.clone(), String::new()));
            proved.chain(unproved).map(|(cells, document, sha256)| {
                let [began, ended, what, asked, keys, old_keys, moved] = cells;
                [one.instance.clone(), began, ended, what, asked, keys, old_keys, moved, document, sha256]
            })
        })
    }

    fn page(&self) -> Markup {
        let since = self.since.map(readable).unwrap_or_default();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                    meta name="viewport" content="width=device-width";
                    title { (words::REPORT_TITLE) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (words::REPORT_TITLE) }
                    p { (words::report_of(&since, readable(self.until.unwrap_or(self.at)), self.instances.len())) }
                    @for one in &self.instances {
                        @for fault in &one.faults {
                            p.bad { (one.name) ": " (fault) }
                        }
                        @for owes in one.owes().into_iter().chain(one.late(self.at)) {
                            p.bad { (owes) }
                        }
                    }
                    @if self.of_others > 0 {
                        p { (words::evidence_of_others(self.of_others)) }
                    }
                    table {
                        thead { tr { @for head in words::REPORT_HEADS.split('|') { th scope="col" { (head) } } } }
                        tbody { @for row in self.rows() { tr { @for cell in row { td { (cell) } } } } }
                    }
                    p { (words::REPORT_LEGEND) }
                }
            }
        }
    }
}

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:1rem;color-scheme:light dark}\
    table{border-collapse:collapse}th,td{border:1px solid;padding:.2rem .5rem;text-align:left;vertical-align:top;\
    overflow-wrap:anywhere}.bad{color:#b3261e;font-weight:600}";

impl Service {
    /// That changes wait for their documents, if any does.
    fn owes(&self) -> Option<String> {
        let Self { name, waiting, left_out: LeftOut { changes, entries }, .. } = self;
        (*waiting > 0).then(|| words::evidence_waits(name, waiting, changes, entries))
    }

    /// That a change has waited for its document for longer than a run takes, if one has.
    fn late(&self, now: DateTime<Utc>) -> Option<String> {
        let since = self.waiting_since.filter(|since| *since + LATE <= now)?;
        Some(words::evidence_late(&self.name, readable(since)))
    }
}

/// When a change began and was over, what it was, who asked, the keys that were made, what became of those of before, and who was
/// moved.
fn cells(change: &journal::Change) -> [String; 7] {
    let (mut keys, mut old_keys) = (Vec::new(), Vec::new());
    for step in &change.steps {
        match step {
            ChangeStep::Regeneration(one) => {
                let new = one.new.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
                keys.push(format!("{} {} -> {new}", one.key, one.old));
                old_keys.extend(one.old_key.as_ref().map(|old| format!("{} {}", one.old, old.in_words())));
            }
            ChangeStep::ChangedFromOutside { key, old, new, .. } => {
                keys.push(words::changed_from_outside(key, old, new));
                old_keys.push(words::old_key_kept_nowhere(old));
            }
            _ => {}
        }
    }
    let mut moved: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in &change.moves {
        moved.entry(one.to.to_string()).or_default().push(one.consumer.to_string());
    }
    let moved = moved.into_iter().map(|(to, who)| format!("to {to}: {}", who.join(", ")));
    [
        readable(change.began),
        readable(change.ended),
        change.what().to_owned(),
        change.asked.in_words(),
        keys.join("; "),
        old_keys.join("; "),
        moved.collect::<Vec<_>>().join("; "),
    ]
}

/// Those that say something, in a line.
fn joined(parts: &[String]) -> String {
    parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// What the columns of the table are.
const COLUMNS: [&str; 10] =
    ["instance", "began", "ended", "what", "asked", "keys", "oldKeys", "moved", "document", "sha256"];

/// A line of a table (RFC 4180). What a spreadsheet would take for a formula begins with a quote.
fn csv<T: AsRef<str>>(row: &[T]) -> String {
    let cell = |text: &T| {
        let text = text.as_ref();
        let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    };
    row.iter().map(cell).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_text_whatever_is_in_it() {
        let row = ["=1+1".to_owned(), "a \"b\", c".to_owned()];
        assert_eq!(csv(&row), r#""'=1+1","a ""b"", c""#);
    }
}
