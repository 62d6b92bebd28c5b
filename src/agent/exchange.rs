//! One round: from the key that the secret holds to an app that works with it.
//!
//! Start at [`run`]. Wherever it ends or is killed, the next round goes on towards the key of the secret, by what the files
//! say then; what lies beside them is its own if the exchange is on record.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::zeroize::Zeroizing;

use super::copies::OldText;
use super::files::{self, LARGEST, Unplaced};
use super::reporting::report;
use super::state::{Exchange, Memory, Rest};
use super::{Agent, Ended, Told, app};
use crate::azure::arm::{ArmError, ArmErrorKind, Barrier};
use crate::azure::consumers::{Contents, InFile, Marks, Place};
use crate::azure::data_plane::Probe;
use crate::azure::services::{KeyService, names_a_service};
use crate::report::cause;
use crate::report::text::{agent as words, readable};
use rekey_core::journal::Journal;
use rekey_core::model::{Fingerprint, Key, KeyPair, ServiceType};
use rekey_core::plan::SettingFault;

/// How long the vault may take, with all attempts.
const VAULT: TimeDelta = TimeDelta::minutes(2);

/// How often the service is asked whether it accepts the key with which the app works. While it does not, in each round.
const ASK_SERVICE: TimeDelta = TimeDelta::minutes(5);

/// The key that is to be in the files, and by what others are known.
struct Wanted {
    key: Key,
    fingerprint: Fingerprint,
    /// The host of the service.
    host: String,
    /// It in the place of both: of the keys that there are the agent knows but this one.
    keys: KeyPair,
}

/// A file that was read.
struct Seen {
    /// Where it is, behind all links.
    path: PathBuf,
    text: Zeroizing<String>,
    found: InFile,
}

struct Round<'a> {
    agent: &'a Agent,
    memory: &'a mut Memory,
    ended: Ended,
    /// What failed last.
    why: Option<String>,
    /// The keys that stood in the files and in the copies beside them, no part of which may be told.
    held: Vec<Key>,
}

pub(super) async fn run(agent: &Agent, memory: &mut Memory, report_anyway: bool) -> Ended {
    let mut round = Round { agent, memory, ended: Ended::Well, why: None, held: vec![] };
    if let Some(wanted) = round.wanted().await {
        round.go(&wanted, report_anyway).await;
    }
    round.ended
}

impl Wanted {
    /// By what keys of the service are known: its host, the key that is wanted, and those that were ever seen.
    fn marks<'w>(&'w self, former: &'w Journal) -> Marks<'w> {
        Marks { keys: Some(&self.keys), host: &self.host, journal: former }
    }

    fn is_other(&self, key: &Key) -> bool {
        *key != self.key
    }
}

impl Seen {
    /// The keys in it that are to be replaced.
    fn others<'s>(&'s self, wanted: &'s Wanted) -> impl Iterator<Item = &'s Key> {
        self.found.keys.iter().filter(|key| wanted.is_other(key))
    }
}

impl Round<'_> {
    fn fail(&mut self, why: String) {
        self.ended = Ended::Badly;
        self.why = Some(why.clone());
        (self.agent.teller)(&Told::Failed(why));
    }

    fn former(&self) -> Journal {
        Journal::of_former(self.memory.kept.known.iter().cloned())
    }

    /// What is remembered is on the disk; or that was told.
    fn saved(&mut self) -> bool {
        let saved = self.memory.save();
        if let Err(error) = &saved {
            let path = self.memory.path().display().to_string();
            self.fail(cause::because(&words::not_remembered(path), Some(error)));
        }
        saved.is_ok()
    }

    /// The key that the secret holds.
    async fn wanted(&mut self) -> Option<Wanted> {
        let Agent { config, arm, clock, .. } = self.agent;
        let arm = arm.until(clock.now() + VAULT);
        let string = match Place::of_secret(config.secret.clone()).read(&arm).await {
            Ok(Contents::Secret(secret)) => secret.connection_string(),
            Ok(_) => None,
            Err(error) => {
                self.fail(cause::told(&advised(error)));
                return None;
            }
        };
        let Some((string, key)) = string.and_then(|string| string.key().map(|key| (string, key))) else {
            self.fail(words::no_string(&config.secret));
            return None;
        };
        if string.has_placeholder() {
            self.fail(words::no_string(&config.secret));
            return None;
        }
        let host = string.hosts().find(|host| names_a_service(host)).unwrap_or(string.host()).to_owned();
        let (fingerprint, keys) = (key.fingerprint(), KeyPair::from_fn(|_| key.clone()));
        Some(Wanted { key, fingerprint, host, keys })
    }

    async fn go(&mut self, wanted: &Wanted, report_anyway: bool) {
        let seen = self.look(wanted);
        self.held = seen.iter().flat_map(|file| file.found.keys.iter().cloned()).collect();
        // A copy that cannot be read is told where it is to be put back.
        self.held.extend(self.copies(wanted).into_iter().flatten().map(|copy| copy.old));
        self.tidy_up();
        let old = seen.iter().flat_map(|file| file.others(wanted)).next().cloned();
        let is_whole = self.exchange(wanted, &seen, old.as_ref()).await;
        let works = self.memory.kept.running.clone();
        // What was not seen may have another key, which the app may have been started with since.
        let Some(works) = works.filter(|works| is_whole || *works != wanted.fingerprint) else { return };
        match report(self.agent, self.memory, &works, report_anyway).await {
            Ok(()) => drop(self.saved()),
            Err(why) => self.fail(why),
        }
        if works == wanted.fingerprint {
            self.still_accepted(wanted).await;
        }
    }

    /// Asks the service now and then whether it still accepts the key with which the app works: a regeneration by somebody
    /// else cuts it off, and the secret has the new key only once it was repaired.
    async fn still_accepted(&mut self, wanted: &Wanted) {
        let now = self.agent.clock.now();
        let is_recent = |asked: DateTime<Utc>| asked <= now && now - asked < ASK_SERVICE;
        if !self.agent.config.verify || self.memory.accepted_at.is_some_and(is_recent) {
            return;
        }
        match self.probe(wanted, &wanted.key).await {
            Probe::Accepted => self.memory.accepted_at = Some(now),
            Probe::Refused { detail } => self.fail(words::cut_off(&wanted.fingerprint, detail)),
            Probe::Unreachable { detail } => {
                self.fail(words::acceptance_unknown(&wanted.fingerprint, detail));
            }
        }
    }

    /// Reads all files. Of each that cannot be used it is told why.
    fn look(&mut self, wanted: &Wanted) -> Vec<Seen> {
        let agent = self.agent;
        agent.config.files.iter().filter_map(|file| self.look_at(file, wanted)).collect()
    }

    fn look_at(&mut self, file: &Path, wanted: &Wanted) -> Option<Seen> {
        let shown = file.display();
        let read = std::fs::canonicalize(file).and_then(|path| Ok((files::read(&path, LARGEST)?, path)));
        let (text, path) = match read {
            Ok(read) => read,
            Err(error) => {
                self.fail(match error.kind() {
                    io::ErrorKind::InvalidData => words::no_text(shown),
                    io::ErrorKind::FileTooLarge => words::too_large(shown, LARGEST >> 20),
                    _ => cause::because(&words::unreadable(shown), Some(&error)),
                });
                return None;
            }
        };
        if !self.memory.kept.has_begun(&path)
            && let Some((left, _)) = files::left_beside(&path).into_iter().find(|(_, is_there)| *is_there)
        {
            self.fail(words::strange_copy(shown, left.display()));
            return None;
        }
        let found = wanted.marks(&self.former()).in_file(&text);
        for fault in &found.faults {
            self.fail(words::in_the_way(file.display(), in_the_way(*fault)));
        }
        if found.keys.is_empty() && found.faults.is_empty() {
            self.fail(words::no_key(file.display(), &wanted.host));
        }
        let is_in_order = !found.keys.is_empty();
        is_in_order.then_some(Seen { path, text, found })
    }

    /// Takes away what an exchange that came to its end has left.
    fn tidy_up(&mut self) {
        let Some(exchange) = self.memory.kept.exchange.take_if(|exchange| exchange.works) else { return };
        for file in &exchange.files {
            if let Err(error) = files::tidy(file) {
                self.fail(cause::because(&words::copy_stays(file.display()), Some(&error)));
                self.memory.kept.exchange = Some(exchange);
                return;
            }
        }
        let _ = self.saved();
    }

    /// Puts the wanted key into the files that have another, and makes the app work with it. Whether all files have it now.
    async fn exchange(&mut self, wanted: &Wanted, seen: &[Seen], old: Option<&Key>) -> bool {
        let was_begun = self.memory.kept.exchange.is_some();
        let is_news = self.memory.kept.running.as_ref() != Some(&wanted.fingerprint);
        let (by, now) = (app::way(self.agent), self.agent.clock.now());
        let rests = self.memory.rests(&wanted.fingerprint, &by, now);
        if let Some(Rest { until, why }) = rests.filter(|_| old.is_some() || was_begun || is_news) {
            let why = why.unwrap_or_else(|| words::NOT_ON_RECORD.to_owned());
            self.fail(words::rests(&wanted.fingerprint, readable(until), why));
            return false;
        }
        let mut placed = Vec::new();
        if let Some(old) = old {
            self.works_with(wanted, old);
            if !self.is_accepted(wanted).await || !self.begin(wanted, seen) {
                return false;
            }
            placed = self.place(wanted, seen);
        }
        let has_it = |file: &Seen| file.others(wanted).next().is_none() || placed.contains(&file.path);
        let is_whole = seen.iter().all(has_it)
            && seen.len() == self.agent.config.files.len()
            && seen.iter().all(|file| file.found.faults.is_empty());
        if !placed.is_empty() || was_begun || (old.is_none() && is_whole && is_news) {
            self.take_effect(wanted, is_whole).await;
        } else if old.is_some() {
            // Nothing came of it, and nothing is left of it.
            self.memory.kept.exchange = None;
            let _ = self.saved();
        }
        is_whole
    }

    /// A file has an older key than the app was last seen to work with, or nothing was seen of it yet.
    fn works_with(&mut self, wanted: &Wanted, old: &Key) {
        let running = &mut self.memory.kept.running;
        if running.as_ref().is_none_or(|running| *running == wanted.fingerprint) {
            *running = Some(old.fingerprint());
        }
    }

    /// Whether the service accepts the wanted key: a secret may be older than a file that a person has repaired.
    async fn is_accepted(&mut self, wanted: &Wanted) -> bool {
        if !self.agent.config.verify {
            return true;
        }
        match self.probe(wanted, &wanted.key).await {
            Probe::Accepted => {
                self.memory.accepted_at = Some(self.agent.clock.now());
                return true;
            }
            Probe::Refused { detail } => self.fail(words::wanted_refused(&self.agent.config.secret, detail)),
            Probe::Unreachable { detail } => self.fail(words::wanted_unknown(detail)),
        }
        false
    }

    async fn probe(&self, wanted: &Wanted, key: &Key) -> Probe {
        ServiceType::SignalR.probe(&self.agent.data_plane, &wanted.host, key).await
    }

    /// Puts on record what is going to be done, and by what it will be recognised.
    fn begin(&mut self, wanted: &Wanted, seen: &[Seen]) -> bool {
        let kept = &mut self.memory.kept;
        seen.iter().flat_map(|file| &file.found.keys).for_each(|key| kept.learn(&key.fingerprint()));
        kept.learn(&wanted.fingerprint);
        let exchange = kept.exchange.get_or_insert_default();
        for file in seen.iter().filter(|file| file.others(wanted).next().is_some()) {
            if !exchange.files.contains(&file.path) {
                exchange.files.push(file.path.clone());
            }
        }
        self.saved()
    }

    /// Writes the files; those that have the wanted key now.
    fn place(&mut self, wanted: &Wanted, seen: &[Seen]) -> Vec<PathBuf> {
        let former = self.former();
        let mut placed = Vec::new();
        for file in seen.iter().filter(|file| file.others(wanted).next().is_some()) {
            let shown = file.path.display();
            let is_copied = files::left_beside(&file.path)[1].1;
            let text = wanted.marks(&former).file_with_key(&file.text, &wanted.key);
            let replaced = match &text {
                Some(text) => files::replace(&file.path, &file.text, text),
                None => Err(Unplaced::Changed),
            };
            match replaced {
                Ok(()) => {
                    self.agent.done(words::placed(&wanted.fingerprint, shown));
                    placed.push(file.path.clone());
                }
                Err(unplaced) => {
                    self.fail(match unplaced {
                        Unplaced::Changed => words::changed_meanwhile(shown),
                        Unplaced::Failed(error) => cause::because(&words::not_placed(shown), Some(&error)),
                    });
                    if !is_copied && let Err(error) = files::tidy(&file.path) {
                        self.fail(cause::because(&words::copy_stays(file.path.display()), Some(&error)));
                    }
                }
            }
        }
        placed
    }

    /// Makes the app use what the files say. If it does not work with that, they are put back where that helps.
    async fn take_effect(&mut self, wanted: &Wanted, is_whole: bool) {
        if let Err(why) = self.reloaded(wanted).await {
            self.fail(why);
            self.was_in_vain(wanted);
            // Whether it was started with the new key nobody knows, so what it had before counts, if that is known.
            self.memory.kept.running.take_if(|running| *running == wanted.fingerprint);
            self.go_back(wanted).await;
            let _ = self.saved();
            return;
        }
        if !self.still_placed(wanted, is_whole) {
            self.was_in_vain(wanted);
            let _ = self.saved();
            return;
        }
        let kept = &mut self.memory.kept;
        if is_whole {
            kept.running = Some(wanted.fingerprint.clone());
            kept.learn(&wanted.fingerprint);
        }
        if let Some(exchange) = &mut kept.exchange {
            exchange.works = true;
        }
        if self.saved() {
            if is_whole {
                self.agent.done(words::works(&wanted.fingerprint));
            }
            self.tidy_up();
        }
    }

    fn was_in_vain(&mut self, wanted: &Wanted) {
        let (now, every) = (self.agent.clock.now(), self.agent.config.every);
        let why = (self.why.clone(), &*app::way(self.agent));
        self.memory.was_in_vain(&wanted.fingerprint, why, now, every);
    }

    /// Whether no file has got another key while the app was made to read it: what it has read then nobody knows. What it had
    /// before counts, or what the file has now.
    fn still_placed(&mut self, wanted: &Wanted, is_whole: bool) -> bool {
        let agent = self.agent;
        let mut are_placed = true;
        for file in &agent.config.files {
            let Ok(text) = std::fs::canonicalize(file).and_then(|path| files::read(&path, LARGEST)) else {
                // One that could not be read before was told then.
                if is_whole {
                    are_placed = false;
                    self.fail(words::unread_after_reload(file.display()));
                }
                continue;
            };
            let found = wanted.marks(&self.former()).in_file(&text);
            if let Some(other) = found.keys.iter().find(|key| wanted.is_other(key)) {
                are_placed = false;
                self.fail(words::changed_in_reload(file.display()));
                self.works_with(wanted, other);
            }
        }
        are_placed
    }

    async fn reloaded(&self, wanted: &Wanted) -> Result<(), String> {
        let former = self.former();
        let hides = |text: &str| {
            wanted.marks(&former).is_told_in(text)
                || self.held.iter().chain([&wanted.key]).any(|key| has_part_of(text, key))
        };
        app::take_effect(self.agent, hides).await
    }

    fn copies(&self, wanted: &Wanted) -> Result<Vec<OldText>, String> {
        let former = self.former();
        let files = self.memory.kept.exchange.iter().flat_map(|Exchange { files, .. }| files);
        let copies = files.map(|file| OldText::of(file, wanted.marks(&former), &wanted.key));
        copies.filter_map(Result::transpose).collect()
    }

    /// Puts the old texts back, if the service still accepts the keys in them: else the new ones are no worse.
    async fn go_back(&mut self, wanted: &Wanted) {
        let copies = match self.copies(wanted) {
            Ok(copies) => copies,
            Err(why) => return self.fail(why),
        };
        let Some(old) = copies.first().map(|copy| copy.old.clone()) else {
            return self.fail(words::NOTHING_TO_PUT_BACK.to_owned());
        };
        if !self.agent.config.verify {
            return self.fail(words::NOT_PUT_BACK_UNVERIFIED.to_owned());
        }
        for copy in &copies {
            match self.probe(wanted, &copy.old).await {
                Probe::Accepted => {}
                Probe::Refused { detail } => return self.fail(words::not_put_back_refused(detail)),
                Probe::Unreachable { detail } => return self.fail(words::not_put_back_unknown(detail)),
            }
        }
        let former = self.former();
        for copy in &copies {
            if let Err(error) = copy.put_back(wanted.marks(&former), &wanted.key) {
                self.fail(cause::because(&words::put_back_failed(copy.path.display()), Some(&error)));
                return;
            }
        }
        // Beside those that were not put back lies what they are no worse than.
        if let Some(exchange) = &mut self.memory.kept.exchange {
            exchange.works = true;
        }
        self.tidy_up();
        // It is what the app starts with from here on, whether or not it works: a key that it holds must not die.
        self.memory.kept.running = Some(old.fingerprint());
        match self.reloaded(wanted).await {
            Ok(()) => self.agent.done(words::put_back(old.fingerprint())),
            Err(why) => self.fail(words::put_back_and_not_well(old.fingerprint(), why)),
        }
    }
}

/// Why the secret cannot be read, with what is to be done about that for a machine.
fn advised(error: ArmError) -> ArmError {
    match error.kind() {
        ArmErrorKind::Barred(Barrier::VaultFirewall) => error.advising(words::VAULT_FIREWALL),
        ArmErrorKind::Barred(Barrier::VaultPrivate) => error.advising(words::VAULT_PRIVATE),
        ArmErrorKind::Barred(Barrier::VaultPolicy) => error.advising(words::VAULT_POLICY),
        _ => error,
    }
}

/// So many signs of a key one after another are told to nobody: whoever writes them has the rest as well.
const PART: usize = 12;

/// Whether a part of a key stands in a text, whatever is around it.
fn has_part_of(text: &str, key: &Key) -> bool {
    let signs = key.expose().as_bytes();
    let is_there = |part: &[u8]| text.as_bytes().windows(part.len()).any(|window| window == part);
    signs.windows(PART.min(signs.len()).max(1)).any(is_there)
}

/// What is wrong with a key that cannot be replaced.
const fn in_the_way(fault: SettingFault) -> &'static str {
    match fault {
        SettingFault::Placeholder => words::PLACEHOLDER,
        SettingFault::OtherServicesHost => words::OTHER_SERVICES_HOST,
        _ => words::IRREPLACEABLE,
    }
}
