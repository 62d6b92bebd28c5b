//! What an agent remembers from one round to the next, in a file that only it and its administrators can read.
//!
//! Start at [`Memory::open`]. No key is in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rekey_core::model::Fingerprint;
use rekey_core::time::delta;
use serde::{Deserialize, Serialize};

use super::files;

/// How many fingerprints are remembered: a key each month for eight years.
const KNOWN: usize = 100;

/// However often the app was reloaded in vain, it is tried again after this.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// The version of the file.
const VERSION: u32 = 1;

/// The largest file that is read: it has some hundred fingerprints and the names of a few files.
const LARGEST: u64 = 1 << 20;

/// What is remembered, and the lock on it, which ends with the process.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    _lock: File,
    /// What is in the file, or will be once it is saved.
    pub(super) kept: Kept,
    /// When the service last accepted the key with which the app works. A new process asks at once.
    pub(super) accepted_at: Option<DateTime<Utc>>,
}

/// With which key the app was reloaded in vain, and until when it is not reloaded for it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InVain {
    fingerprint: Fingerprint,
    times: u32,
    until: DateTime<Utc>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// How it was reloaded and asked: what is mended there is tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// Until when the app is not reloaded for a key again, and what failed, where that is on record.
pub(super) struct Rest {
    pub(super) until: DateTime<Utc>,
    pub(super) why: Option<String>,
}

/// Why an agent cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// Another agent has it.
    #[error("{}", crate::report::text::agent::another_agent(.0.display()))]
    Locked(PathBuf),
    /// It cannot be read or made.
    #[error("{}", crate::report::text::agent::no_memory(.0.display()))]
    Unusable(PathBuf, #[source] io::Error),
    /// It is not what an agent writes.
    #[error("{}", crate::report::text::agent::strange_memory(.0.display()))]
    Strange(PathBuf),
}

/// What an agent remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kept {
    version: u32,
    /// The keys that were placed, or found in the place of one, the latest last.
    pub(super) known: Vec<Fingerprint>,
    /// The key that the app works with, as far as that is known.
    pub(super) running: Option<Fingerprint>,
    /// What was last reported, and when.
    pub(super) reported: Option<Reported>,
    /// The exchange that is under way.
    pub(super) exchange: Option<Exchange>,
    /// What the app was last reloaded for in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_vain: Option<InVain>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Reported {
    pub(super) fingerprint: Fingerprint,
    pub(super) at: DateTime<Utc>,
}

/// An exchange that was begun: what lies beside these files was put there by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) files: Vec<PathBuf>,
    /// Whether the app works with the new key, and all that is left is to tidy up.
    pub(super) works: bool,
}

impl Memory {
    /// Takes the lock and reads what is there; nothing, where there is no file yet.
    pub fn open(path: &Path) -> Result<Self, Unkept> {
        let unusable = |error| Unkept::Unusable(path.to_owned(), error);
        if let Some(folder) = path.parent() {
            files::make_folder(folder).map_err(unusable)?;
        }
        // The file itself is replaced by each write, and a lock on it with it.
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        files::for_owner_alone(&mut options);
        let lock = options.open(files::beside(path, ".lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Unkept::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let kept = match files::read(path, LARGEST) {
            Ok(text) => {
                let read = serde_json::from_str::<Kept>(&text).ok().filter(|kept| kept.version == VERSION);
                read.ok_or_else(|| Unkept::Strange(path.to_owned()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Kept { version: VERSION, ..Kept::default() }
            }
            Err(error) => return Err(unusable(error)),
        };
        Ok(Self { path: path.to_owned(), _lock: lock, kept, accepted_at: None })
    }

    /// Writes what is to be remembered, whole or not at all.
    pub(super) fn save(&self) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&self.kept)?;
        files::write_whole(&self.path, &text)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The app does not work with a key. It is restarted for it again after twice as long each time.
    pub(super) fn was_in_vain(
        &mut self,
        fingerprint: &Fingerprint,
        (why, by): (Option<String>, &str),
        now: DateTime<Utc>,
        every: Duration,
    ) {
        let before = self.kept.in_vain.take();
        let before = before.filter(|before| before.fingerprint == *fingerprint && before.is_by(by));
        let times = before.map_or(0, |before| before.times) + 1;
        let wait = every.saturating_mul(1 << times.min(16)).min(LONGEST_REST).max(every);
        let until = now + delta(wait);
        let by = Some(by.to_owned());
        self.kept.in_vain = Some(InVain { fingerprint: fingerprint.clone(), times, until, why, by });
    }

    /// Until when the app is not restarted again for a key with which it does not work.
    pub(super) fn rests(&self, fingerprint: &Fingerprint, by: &str, now: DateTime<Utc>) -> Option<Rest> {
        let rests = |one: &&InVain| one.fingerprint == *fingerprint && now < one.until && one.is_by(by);
        let one = self.kept.in_vain.as_ref().filter(rests)?;
        Some(Rest { until: one.until, why: one.why.clone() })
    }

    /// Whoever starts an agent that stays has looked at the app: it is tried again at once.
    pub fn try_at_once(&mut self) {
        self.kept.in_vain = None;
    }
}

impl InVain {
    /// An earlier release has not put on record by what.
    fn is_by(&self, by: &str) -> bool {
        self.by.as_deref().is_none_or(|before| before == by)
    }
}

impl Kept {
    /// Remembers a key; of many, the latest.
    pub(super) fn learn(&mut self, fingerprint: &Fingerprint) {
        self.known.retain(|known| known != fingerprint);
        self.known.push(fingerprint.clone());
        let surplus = self.known.len().saturating_sub(KNOWN);
        self.known.drain(..surplus);
    }

    /// Whether what lies beside a file was put there by us.
    pub(super) fn has_begun(&self, file: &Path) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.files.iter().any(|one| one == file))
    }
}

#[cfg(test)]
mod tests {
    use rekey_core::model::Key;

    use super::*;

    #[test]
    fn an_app_is_restarted_in_vain_less_often_each_time_and_at_once_for_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(&folder.path().join("a/agent.json")).unwrap();
        let [one, other] = ["one", "other"].map(|key| Key::new(key).fingerprint());
        let (now, minute) = (DateTime::UNIX_EPOCH, Duration::from_secs(60));
        let why = || (Some("it said so".to_owned()), "a command");
        let rests = |memory: &Memory, key, now| memory.rests(key, "a command", now).map(|rest| rest.until);
        for minutes in [2, 4, 8, 16, 32, 60, 60] {
            memory.was_in_vain(&one, why(), now, minute);
            assert_eq!(rests(&memory, &one, now), Some(now + chrono::TimeDelta::minutes(minutes)));
            assert_eq!(rests(&memory, &one, now + chrono::TimeDelta::minutes(minutes)), None);
            assert_eq!(rests(&memory, &other, now), None);
            assert!(memory.rests(&one, "another", now).is_none(), "what is mended is tried at once");
        }
        memory.was_in_vain(&other, why(), now, minute);
        assert_eq!(rests(&memory, &other, now), Some(now + chrono::TimeDelta::minutes(2)));
        assert_eq!(memory.rests(&other, "a command", now).and_then(|rest| rest.why), why().0);
        memory.was_in_vain(&other, why(), now, 24 * 60 * minute);
        assert_eq!(
            rests(&memory, &other, now),
            Some(now + chrono::TimeDelta::days(1)),
            "never sooner than it looks"
        );
        let text = r#"{"version":1,"known":[],"running":null,"reported":null,"exchange":null,
            "inVain":{"fingerprint":"FP","times":1,"until":"1970-01-02T00:00:00Z"}}"#;
        memory.kept = serde_json::from_str(&text.replace("FP", &one.to_string())).unwrap();
        let rest = memory.rests(&one, "a command", now).expect("as an earlier release has written it");
        assert_eq!(rest.why, None);
    }

    #[test]
    fn the_latest_keys_are_remembered_and_one_agent_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        let mut memory = Memory::open(&path).unwrap();
        let fingerprint = |n: usize| Key::new(n.to_string()).fingerprint();
        (0..150).for_each(|n| memory.kept.learn(&fingerprint(n)));
        memory.kept.learn(&fingerprint(60));
        assert_eq!((memory.kept.known.len(), memory.kept.known.last()), (KNOWN, Some(&fingerprint(60))));
        memory.save().unwrap();
        assert!(matches!(Memory::open(&path), Err(Unkept::Locked(_))));
        let kept = memory.kept.clone();
        drop(memory);
        assert_eq!(Memory::open(&path).unwrap().kept, kept);
        std::fs::write(&path, "{\"version\": 2}").unwrap();
        assert!(matches!(Memory::open(&path), Err(Unkept::Strange(_))));
    }
}
