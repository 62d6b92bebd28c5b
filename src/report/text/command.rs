//! The commands: what they say of a service, of themselves, and of what to type next.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use rekey_core::model::KeyType;
use rekey_core::policy::{FirstRotation, Policy};

use super::{readable, rounded};

/// How the storage of the deployed app is named.
pub(crate) const NAME_THE_STORAGE: &str = "`az login`, and set AzureWebJobsStorage__accountName=ACCOUNT (or \
    AzureWebJobsStorage__blobServiceUri=https://ACCOUNT.blob.core.windows.net) to the storage account of the function app; \
    you need Storage Blob Data Contributor there";

/// `doctor`: how what is in order is seen.
pub(crate) const DOCTOR_ALL: &str = "; --all shows what passed";

/// The file of a setting that might hold anything, a secret too.
pub(crate) const THE_FILE: &str = "the file of REKEY_CONFIG";

pub(crate) const NOTHING_DONE: &str = "nothing was done";

/// Nobody can be asked to confirm.
pub(crate) const NOT_A_TERMINAL: &str = "not a terminal: pass --yes to confirm. Nothing was done";

/// A journal that other processes do not see.
pub(crate) const OWN_MEMORY: &str = "the journal is in the memory of this process alone (REKEY_STATE=memory): what other \
    processes did, rotations included, is not known here. A shared journal needs a storage, such as Azurite";

/// A command that works without what the deployed app knows.
pub(crate) fn without_the_journal() -> String {
    format!(
        "warning: this is without the journal of the deployed app, as if every key were seen for the first time. To share it: \
         {NAME_THE_STORAGE}"
    )
}

/// A name that is not configured.
pub(crate) fn not_configured(name: &str, file: &str, known: &str) -> String {
    format!("{name:?} is not configured; {file} has: {known}")
}

// What an output could not do.

pub(crate) const BROKE_OFF: &str = "could not write the whole answer";
pub(crate) const NO_JSON: &str = "could not write the answer as JSON";
pub(crate) const STOPPING: &str =
    "stopping after the current step, to give the lease back; press again to stop at once";

// `unblock`.

pub(crate) const UNBLOCK_QUESTION: &str = "Clear these, so that the next run retries at once?";

pub(crate) fn unblock_no_journal() -> String {
    format!(
        "this is without the journal of the deployed app, which is what `unblock` clears; nothing was done. To share it: \
         {NAME_THE_STORAGE}"
    )
}

pub(crate) fn unblock_lease(holder: &str, until: DateTime<Utc>) -> String {
    format!("a lease of {holder} until {}, longer than any run takes one", readable(until))
}

pub(crate) fn unblock_to_be_cleared(obstacle: &str) -> String {
    format!("  recorded: {obstacle}")
}

pub(crate) fn unblock_to_be_resolved(warning: &str) -> String {
    format!("  to be resolved, which this command cannot do: {warning}")
}

pub(crate) fn unblock_nothing_to_clear(name: &str, in_sight: bool) -> String {
    let rest = if in_sight { "the next run does what is said above" } else { "resolve what is said above" };
    format!("nothing to clear: no failure of {name} is on record; {rest}")
}

pub(crate) fn unblock_cleared(count: usize, in_sight: bool) -> String {
    let failures =
        if count == 1 { "1 recorded failure".into() } else { format!("{count} recorded failures") };
    let rest = if in_sight {
        "the next run retries"
    } else {
        "the next run is still blocked until what is said above is resolved"
    };
    format!("cleared {failures}; {rest}")
}

// `rotate`.

pub(crate) fn rotate_no_journal() -> String {
    format!(
        "rotate needs the journal of the deployed app, and no storage is named: without it this run ignores a run that may \
         be at work in Azure, and the next one there takes the new key for an outside regeneration. Nothing was done. \
         {NAME_THE_STORAGE}. Where no app is deployed, or its storage is down: --without-journal"
    )
}

pub(crate) fn rotate_nothing_to_do(name: &str, end: &str) -> String {
    format!("{name}: nothing to do: {end}")
}

pub(crate) fn rotate_to_do(name: &str) -> String {
    format!("{name}: this will be done:")
}

/// Why what is foreseen is foreseen, of a service whose journal was never written.
pub(crate) fn first_sight(policy: &Policy) -> String {
    let what = match policy.first_rotation {
        FirstRotation::Now => "first_rotation = \"now\" asks for a rotation of both keys".to_owned(),
        FirstRotation::WhenDue => format!(
            "first_rotation = \"when-due\" counts both keys as made now, and rotates them in {}",
            rounded(policy.rotate_every)
        ),
    };
    format!(
        "  why: its journal was never written, so how old its keys are, and who held them until now, is not known: {what}. No \
         key is regenerated before a whole grace period ({}) has passed",
        rounded(policy.grace)
    )
}

pub(crate) fn rotate_no_standing(name: &str, why: &str) -> String {
    format!("{name}: cannot read how things stand: {why}")
}

pub(crate) const ROTATE_WITHOUT_JOURNAL: &str = "this was without the journal: every consumer holds a valid key, but when the next \
    rotation is due, and what else is under way, is not known here";
pub(crate) const ROTATE_OTHER_RUN_AND_REQUEST: &str = "the other run goes on, and your rotation request is recorded: run `rotate` in two minutes, without --now";
pub(crate) const ROTATE_OTHER_RUN: &str =
    "the other run goes on, and nothing was requested of it: repeat this command in two minutes";
pub(crate) const ROTATE_REQUEST_RECORDED: &str =
    "your rotation request is recorded: once this is resolved, run `rotate` without --now";

pub(crate) fn rotate_no_further_than(length: impl Display) -> String {
    format!("it would get no further than in {length}")
}

pub(crate) fn rotate_takes_about(length: impl Display) -> String {
    format!("it would take about {length}")
}

pub(crate) fn rotate_restarts(takes: &str, apps: &[String]) -> String {
    if apps.is_empty() {
        return format!("{takes}, and restart no app");
    }
    format!("{takes}, and restart {}", apps.join(", "))
}

pub(crate) const ROTATE_FORECAST: &str = "  what would be done, if nobody changes anything meanwhile:";
pub(crate) const ROTATE_SEE_ABOVE: &str = "nothing, until what is said above is resolved";

// How things stand when a run was stopped.

pub(crate) const STANDING_NOTHING: &str = "nothing was done, and nothing is on record";

pub(crate) fn standing_in_flight(key_type: KeyType, since: DateTime<Utc>) -> String {
    format!(
        "the {key_type} key, which no consumer holds, is being regenerated since {}: Azure finishes that by itself",
        readable(since)
    )
}

pub(crate) fn standing_ours(at: DateTime<Utc>) -> String {
    format!("was regenerated at {}", readable(at))
}

pub(crate) fn standing_outside(at: DateTime<Utc>) -> String {
    format!("was regenerated from outside, as was seen at {}", readable(at))
}

pub(crate) fn standing_first_seen(at: DateTime<Utc>) -> String {
    format!("is the one that was first seen at {}", readable(at))
}

pub(crate) fn standing_accepted(made: &str) -> String {
    format!("{made}, and the service accepts it")
}

pub(crate) fn standing_held_by(holders: &str) -> String {
    format!("it is held by {holders}")
}

pub(crate) const STANDING_HELD: &str = "consumers hold it, or are being given it";
pub(crate) const STANDING_NOT_HELD: &str = "no consumer holds it";

pub(crate) fn standing_left(at: DateTime<Utc>) -> String {
    format!("no consumer holds it since {}", readable(at))
}

pub(crate) fn standing_unseen(at: DateTime<Utc>) -> String {
    format!("no consumer was seen with it since {}", readable(at))
}

pub(crate) fn standing_next(next: &str) -> String {
    format!("what is next: {next}")
}

pub(crate) const STANDING_NOBODY_CARRIES_ON: &str = "nothing carries on, because the journal was in this process alone: run `rotate` \
    again, which sees everything as if for the first time";
pub(crate) const STANDING_THE_TIMER_CARRIES_ON: &str = "RotateKeys of the deployed app carries on at its next schedule; to go on \
    yourself, run `rotate` again, without --now";

// What consumers hold, in lists.

pub(crate) const HOLDS_STALE: &str = "the service no longer has this key";
pub(crate) const HOLDS_STALE_TEXT: &str = "an invalid key, in a text that cannot be rewritten";
pub(crate) const HOLDS_REFERENCE: &str = "a reference, which is not followed";
pub(crate) const HOLDS_INVALID: &str = "an invalid connection string";
pub(crate) const HOLDS_UNSEEN: &str = "what could not be read";

// `history`.

pub(crate) fn history_no_journal() -> String {
    format!(
        "this is without the journal of the deployed app, so there is no history to read. To share it: {NAME_THE_STORAGE}"
    )
}

pub(crate) const HISTORY_UNKNOWN: &str = "nothing is known: this process has done nothing with it";
pub(crate) const HISTORY_EMPTY: &str = "nothing yet: no run has recorded anything about it";

// `notice`.

pub(crate) fn notice_refused(fault: &str) -> String {
    format!("it would be refused: {fault}")
}

pub(crate) const NOTICE_NOTHING: &str = "  nothing would be done";
pub(crate) const NOTICE_NO_MORE: &str = "no reason given";

pub(crate) fn notice_nothing_told(function: &str, status: u64) -> String {
    format!(
        "{function} answered {status} and reports nothing that it did: the event calls for nothing, or was handled before"
    )
}

pub(crate) fn notice_no_answer(handler: impl Display) -> String {
    format!("no answer from the handler at {handler}; start it, or give its port")
}

pub(crate) fn notice_not_read(file: &str) -> String {
    format!("cannot read {file}")
}

pub(crate) fn notice_too_long(file: &str) -> String {
    format!("{file} is longer than 1 MiB, the most that Event Grid delivers")
}

pub(crate) fn notice_no_json(file: &str, line: usize, column: usize) -> String {
    format!("{file} is not JSON (line {line}, column {column})")
}

// `handler`.

pub(crate) const HANDLER_ENDS: &str = "this process ends now";
pub(crate) const HANDLER_ASKED_TO_STOP: &str = "it was asked to stop";
pub(crate) const HANDLER_NO_PARENT: &str = "the Functions host that started it is gone";

pub(crate) fn handler_cannot_serve(port: u16) -> String {
    format!("cannot serve on 127.0.0.1:{port}")
}

pub(crate) fn handler_ending(why: &str) -> String {
    format!(
        "this process is ending because {why}: it takes on nothing more, finishes the current step and gives its leases back"
    )
}

pub(crate) fn handler_ends_all_the_same(longest: impl Display) -> String {
    format!(
        "a step did not finish within {longest}, and this process ends all the same: its lease ends by itself within two \
         minutes, and the next run carries on from what is on record"
    )
}

pub(crate) fn handler_no_port(variable: &str) -> String {
    format!(
        "{variable} is not set: the Functions host sets it, so this command is for the host to start (`func start`). To \
         rotate from here, use `signalr-rekey rotate`"
    )
}

pub(crate) fn handler_strange_port(variable: &str) -> String {
    format!("{variable} is not a port number")
}

// `init`.

pub(crate) const INIT_NOTHING_FOUND: &str =
    "no app that could be read holds a connection string of a service, so nothing was written";
pub(crate) const INIT_SLOTS_MISSING: &str = "the slots of some apps could not be listed, so the file does not name them: see \
    above, and add those that hold a key, or run init as somebody who may read them";

pub(crate) fn init_written(path: impl Display) -> String {
    format!("{path} is written: review it, then run `doctor`")
}

pub(crate) fn init_written_and_another_read(path: impl Display, read: &str) -> String {
    format!(
        "{path} is written: review it. Other commands read another file here, {read}: REKEY_CONFIG, --config or the folder \
         of the app says so. To use the new one: --config {path}"
    )
}

pub(crate) fn init_there_already(path: impl Display) -> String {
    format!("{path} already exists and was left as it is; --force overwrites it")
}

pub(crate) fn init_not_written(path: impl Display) -> String {
    format!("cannot write {path}")
}
