//! Regenerations: as ARM is asked for them, with an operation that runs, and by force, at once.

use axum::http::Method;

use crate::activity::ActivityKind;
use crate::changes::Unknown;
use crate::clock::delta;
use crate::ids::{Key, KeyType, Pair};
use crate::service::{Course, Operation, Status};
use crate::state::State;

/// What comes of asking for a regeneration.
pub(crate) enum Requested {
    /// Another one runs on the service.
    Busy,
    /// It was accepted; `keys` is what the answer shows.
    Accepted { operation: usize, keys: Pair<Key> },
}

/// How many regenerations are remembered; those that run always are.
const MOST_OPERATIONS: usize = 1000;

/// Lengths of the query parameters `c`, `s` and `h` of an operation's URL (Azure CLI recording, 2024-10).
const SIGNATURE_LENGTHS: [(&str, usize); 3] = [("c", 2600), ("s", 342), ("h", 43)];

impl State {
    /// Begins to regenerate a key, or `Salt`, as ARM is asked to.
    pub(crate) fn begin_regeneration(
        &mut self,
        at: usize,
        key_type: Option<KeyType>,
        course: Course,
        version: &str,
    ) -> Requested {
        if self.operations.iter().any(|known| known.service == at && known.status == Status::Running) {
            return Requested::Busy;
        }
        let id = self.ids.uuid().to_string();
        let query = self.operation_query(version);
        let key = key_type.map(|key_type| (key_type, self.keys.key()));
        let service = &mut self.services[at];
        let mut keys = service.listed();
        let mut generation = 0;
        if let Some((key_type, key)) = &key {
            service.note(key);
            keys[*key_type] = key.clone();
            let state = &mut service.keys[*key_type];
            generation = state.generation;
            if course != Course::WithoutEffect && !self.options.list_keys_lags {
                state.listed = key.clone();
            }
        }
        let name = service.id.name().to_owned();
        let due = self.now + delta(self.options.regenerate_takes);
        let (started, status) = (self.now, Status::Running);
        self.forget_old_operations();
        self.operations.push(Operation {
            id,
            service: at,
            key,
            generation,
            started,
            due,
            course,
            status,
            query,
            announcement: None,
        });
        self.tell(ActivityKind::RegenerationAccepted { instance: name, key_type });
        Requested::Accepted { operation: self.operations.len() - 1, keys }
    }

    /// Replaces keys at once, as a forced regeneration does: what held the old ones is refused from now on.
    pub fn force_regeneration(&mut self, service: &str, key_types: &[KeyType]) -> Result<(), Unknown> {
        let at = self.service(service)?;
        let fresh: Vec<(KeyType, Key)> =
            key_types.iter().map(|key_type| (*key_type, self.keys.key())).collect();
        self.change(&|_, service| service == at, |state| {
            for (key_type, key) in fresh {
                state.services[at].replace_by_force(key_type, key);
                let service = state.services[at].id.name().to_owned();
                state.tell(ActivityKind::Forced { instance: service, key_type });
            }
        });
        Ok(())
    }

    /// Replaces keys at once as well, but through ARM, as a colleague or a tool does: Event Grid tells of it.
    pub fn regenerate_through_arm(&mut self, service: &str, key_types: &[KeyType]) -> Result<(), Unknown> {
        let path = format!("{}/regenerateKey", self.services[self.service(service)?].id);
        self.force_regeneration(service, key_types)?;
        key_types.iter().for_each(|_| self.announce_colleague(Method::POST, &path));
        Ok(())
    }

    /// Ends an operation that is due.
    pub(crate) fn finish(&mut self, at: usize) {
        let operation = &mut self.operations[at];
        let service = &mut self.services[operation.service];
        let name = service.id.name().to_owned();
        let failed = operation.course == Course::Fail;
        operation.status = if failed { Status::Failed } else { Status::Succeeded };
        let key_type = operation.key.as_ref().map(|(key_type, _)| *key_type);
        let announcement = operation.announcement.take();
        let what = match &operation.key {
            Some((key_type, key)) if service.keys[*key_type].generation == operation.generation => {
                let state = &mut service.keys[*key_type];
                if operation.course == Course::Rotate {
                    state.replace(key.clone());
                    service.regenerations += 1;
                    ActivityKind::RegenerationInEffect { instance: name, key_type: Some(*key_type) }
                } else {
                    state.listed = state.effective.clone();
                    ActivityKind::RegenerationWithoutEffect { instance: name, failed }
                }
            }
            None if !failed => ActivityKind::RegenerationInEffect { instance: name, key_type },
            // Somebody replaced the key by force in the meantime: that one stays.
            _ => ActivityKind::RegenerationWithoutEffect { instance: name, failed },
        };
        self.tell(what);
        if let Some(announcement) = announcement {
            self.publish(&if failed { announcement.failed() } else { announcement });
        }
    }

    /// The query of an operation's URL, as it is signed.
    pub(crate) fn operation_query(&mut self, version: &str) -> String {
        // `t` is a time in .NET's ticks, which count from the year 1.
        let ticks = (self.now.timestamp() + 62_135_596_800) * 10_000_000;
        SIGNATURE_LENGTHS.iter().fold(format!("api-version={version}&t={ticks}"), |query, (name, length)| {
            format!("{query}&{name}={}", self.ids.opaque(*length))
        })
    }

    fn forget_old_operations(&mut self) {
        let mut excess = (self.operations.len() + 1).saturating_sub(MOST_OPERATIONS);
        self.operations.retain(|operation| {
            let forget = excess > 0 && operation.status != Status::Running;
            excess -= usize::from(forget);
            !forget
        });
    }
}
