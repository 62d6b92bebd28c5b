//! `acknowledge`: a person's word for what nobody can see: that what only others can change holds another key, or that whoever
//! reads a secret without being seen has left the old one. It ends one wait, and is on record with who said so, and when.

use clap::Args;

use super::instances::{PATIENCE, confirmed, in_turn, one_on_record};
use super::unblock::is_of_another_run;
use crate::clock::{Clock, SystemClock};
use crate::config::{Environment, ServiceConfig};
use crate::engine::{Engine, Preview, RunError};
use crate::report::cause;
use crate::report::text::brief::called;
use crate::report::text::{InWords, command as text, file_name, readable};
use crate::store::StoreError;
use crate::terminal::{self, Exit};
use rekey_core::journal::{Event, Held, ReadersLeft};
use rekey_core::model::{ConsumerId, Fingerprint, KeyType, NotAKeyType, holds_a_secret};
use rekey_core::notice::name_of_person;

/// The arguments of `acknowledge`.
#[derive(Debug, Args)]
pub(super) struct AcknowledgeArgs {
    /// The name or resource id of a configured service
    instance: String,
    /// A reporter or manual consumer; or a secret or key-value by its URL, or as vault/name or store/key
    name: String,
    /// Which key a reporter or manual consumer holds now: Primary or Secondary; the one that it is to take, if not given
    #[arg(long, value_name = "KEY", value_parser = key_type)]
    key: Option<KeyType>,
    /// Who says so; the user of this machine, if not given
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

fn key_type(text: &str) -> Result<KeyType, &'static str> {
    text.parse().map_err(|NotAKeyType| text::ACKNOWLEDGE_NO_KEY_TYPE)
}

/// What is to be put on record, and how that is told.
struct Word {
    event: Event,
    says: String,
}

pub(super) async fn acknowledge(args: AcknowledgeArgs, environment: &Environment) -> Exit {
    match Box::pin(try_acknowledge(&args, environment)).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_acknowledge(args: &AcknowledgeArgs, environment: &Environment) -> Result<Exit, Exit> {
    let (rekey, service) = one_on_record(&args.instance, environment, text::acknowledge_no_journal)?;
    let service = &service;
    // Whom it is about comes first: who mistyped that need not be asked his own name.
    let by = || who(args.by.as_deref(), environment);
    let told = |error: RunError| failed(service, &error);
    let preview = rekey.preview(service, SystemClock.now() + PATIENCE).await.map_err(told)?;
    let name = service.id.name();
    if preview.journal.keys().is_none() {
        terminal::complain(&text::acknowledge_too_early(name));
        return Ok(Exit::Failed);
    }
    let Word { event, says } = word(args, service, &preview, by)?;
    terminal::tell(&text::acknowledge_stands(name, preview.decision.in_words()));
    terminal::say(&text::acknowledge_to_record(says));
    confirmed(args.yes, text::ACKNOWLEDGE_QUESTION)?;
    record(&rekey, service, event, "acknowledge").await.map_err(told)?;
    terminal::say(&text::acknowledged(name));
    Ok(Exit::Done)
}

pub(super) fn wrong(why: &str) -> Exit {
    terminal::complain(why);
    Exit::Wrong
}

pub(super) fn failed(service: &ServiceConfig, error: &RunError) -> Exit {
    // What fitted the journal a moment ago: another run has changed it since.
    if matches!(error, RunError::Store(StoreError::Illegal(_))) {
        terminal::complain(&text::acknowledge_overtaken(service.id.name()));
        return Exit::Failed;
    }
    terminal::complain_of(&format!("{}: {}", service.id.name(), cause::told(error)));
    if is_of_another_run(error) {
        terminal::complain(&format!("  {}", text::ACKNOWLEDGE_OTHER_RUN));
        return Exit::Unfinished;
    }
    Exit::Failed
}

/// Who says so: the one who is named, or the user of this machine.
pub(super) fn who(named: Option<&str>, environment: &Environment) -> Result<String, Exit> {
    if named.is_some_and(holds_a_secret) {
        return Err(wrong(&text::holds_a_secret("--by")));
    }
    let of_machine = || ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| environment.get(name));
    let by = named.or_else(of_machine).and_then(name_of_person);
    by.ok_or_else(|| wrong(text::ACKNOWLEDGE_NO_NAME))
}

fn word(
    args: &AcknowledgeArgs,
    service: &ServiceConfig,
    preview: &Preview,
    by: impl FnOnce() -> Result<String, Exit>,
) -> Result<Word, Exit> {
    let is_meant = |id: &ConsumerId| {
        [id.name(), id.to_string(), called(id)].iter().any(|one| one.eq_ignore_ascii_case(&args.name))
    };
    if let Some(one) = service.external.iter().find(|one| is_meant(&one.id)) {
        return of_external(args, &one.id, preview, by()?);
    }
    let bounds = &preview.snapshot.readers_within;
    // A label may be left out where only one key-value is meant by the rest.
    let unlabelled = |id: &&ConsumerId| match id {
        ConsumerId::KeyValue(of) if of.label().is_some() => {
            id.name().split(" [").next().is_some_and(|name| name.eq_ignore_ascii_case(&args.name))
        }
        _ => false,
    };
    let only = || {
        let mut fit = bounds.keys().filter(unlabelled);
        fit.next().filter(|_| fit.next().is_none())
    };
    if let Some(consumer) = bounds.keys().find(|id| is_meant(id)).or_else(only) {
        return of_readers(args, consumer, preview, by()?);
    }
    let external = service.external.iter().map(|one| called(&one.id));
    let known: Vec<String> = external.chain(bounds.keys().map(ToString::to_string)).collect();
    let known = if known.is_empty() { text::ACKNOWLEDGE_NOBODY.to_owned() } else { known.join(", ") };
    Err(wrong(&text::acknowledge_not_known(&args.name, service.id.name(), file_name(), known)))
}

/// That it holds a key: the one that is named, or that it is to take, or that all others surely hold.
fn of_external(
    args: &AcknowledgeArgs,
    consumer: &ConsumerId,
    preview: &Preview,
    by: String,
) -> Result<Word, Exit> {
    let (snapshot, named) = (&preview.snapshot, called(consumer));
    let asked = preview.decision.awaits().find(|(_, one)| one.consumer == *consumer);
    let asked = asked.map(|(key_type, _)| key_type.other());
    let is_held = |key_type: &KeyType| {
        let holders = snapshot.writable_holders(*key_type);
        holders.iter().any(|at| !snapshot.may_hold.contains(at))
    };
    let held: Vec<KeyType> = KeyType::ALL.into_iter().filter(is_held).collect();
    let of_all = if let [only] = held[..] { Some(only) } else { None };
    let key_type =
        args.key.or(asked).or(of_all).ok_or_else(|| wrong(&text::acknowledge_which_key(&named)))?;
    let fingerprint = snapshot.keys[key_type].clone();
    if preview.journal.keys().is_none_or(|keys| keys[key_type].fingerprint != fingerprint) {
        return Err(wrong(&text::acknowledge_new_key(key_type)));
    }
    let said = preview.journal.report(consumer);
    if said.is_some_and(|said| said.fingerprint == fingerprint) {
        terminal::complain(&text::acknowledge_known(named, key_type));
        return Err(Exit::Failed);
    }
    let says = text::acknowledge_holds(&by, named, key_type, &fingerprint);
    Ok(Word { event: Event::Acknowledged { consumer: consumer.clone(), fingerprint, by }, says })
}

/// That whoever reads it without being seen has left a key that no consumer holds any more.
fn of_readers(
    args: &AcknowledgeArgs,
    consumer: &ConsumerId,
    preview: &Preview,
    by: String,
) -> Result<Word, Exit> {
    let left = |(key_type, record): (KeyType, &rekey_core::journal::KeyRecord)| {
        let is_left = matches!(record.held, Held::Left(_) | Held::Unknown(_));
        let is_meant = args.key.is_none_or(|meant| meant == key_type);
        (is_left && is_meant).then(|| (key_type, record.fingerprint.clone()))
    };
    let left: Vec<(KeyType, Fingerprint)> =
        preview.journal.keys().into_iter().flat_map(|keys| keys.iter().filter_map(left)).collect();
    let [(key_type, fingerprint)] = &left[..] else {
        terminal::complain(&text::acknowledge_no_wait(consumer));
        return Err(Exit::Failed);
    };
    let told = preview.journal.readers_left(consumer, fingerprint);
    let of_this_time = |told: &&ReadersLeft| {
        let left = preview.journal.keys().map(|keys| keys[*key_type].held);
        matches!(left, Some(Held::Left(at) | Held::Unknown(at)) if at <= told.at)
    };
    if let Some(told) = told.filter(of_this_time) {
        let at = readable(told.at);
        terminal::complain(&text::acknowledge_left_known(consumer, key_type, &told.by, at));
        return Err(Exit::Failed);
    }
    let says = text::acknowledge_left(&by, consumer, key_type, fingerprint);
    let (consumer, fingerprint) = (consumer.clone(), fingerprint.clone());
    Ok(Word { event: Event::ReadersAcknowledged { consumer, fingerprint, by }, says })
}

/// Puts a person's word on record, under the lease of the journal.
pub(super) async fn record(
    rekey: &Engine,
    service: &ServiceConfig,
    event: Event,
    command: &str,
) -> Result<(), RunError> {
    let mut lease = in_turn(rekey, service, command).await?;
    // What does not fit is not on record, and the lease is given back all the same.
    let recorded = lease.record(event);
    lease.release().await?;
    Ok(recorded?)
}
