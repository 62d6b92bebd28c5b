//! Takes down who was given which key.

use std::collections::BTreeSet;

use crate::handovers::{Handover, Standing};
use crate::ids::{Key, KeyType};
use crate::service::{Operation, Status};
use crate::state::State;
use crate::traffic::{Connection, read_connections};

/// How many are kept for who asks late.
const MOST_HANDOVERS: usize = 10_000;

impl State {
    /// The handovers since they were last taken, the oldest first.
    pub fn take_handovers(&mut self) -> Vec<Handover> {
        std::mem::take(&mut self.handovers)
    }

    /// Notes what became of a place that held some values and now holds others.
    pub(crate) fn hand_over<'a>(
        &mut self,
        place: &str,
        old: impl IntoIterator<Item = &'a str>,
        new: impl IntoIterator<Item = &'a str>,
    ) {
        let [old, new] = [old.into_iter().collect::<Vec<_>>(), new.into_iter().collect()]
            .map(|values: Vec<&str>| read_connections(&values, &self.services));
        let services: BTreeSet<usize> = old.iter().chain(&new).map(|held| held.service).collect();
        for at in services {
            let of = |all: &[Connection]| -> Vec<Key> {
                all.iter().filter(|held| held.service == at).map(|held| held.key.clone()).collect()
            };
            let (old, new) = (of(&old), of(&new));
            let beyond = |one: &[Key], other: &[Key]| -> Vec<(Key, Standing)> {
                let beyond = one.iter().filter(|key| !other.contains(key));
                beyond.map(|key| (key.clone(), self.standing(at, key))).collect()
            };
            let (left, given) = (beyond(&old, &new), beyond(&new, &old));
            if (left.is_empty() && given.is_empty()) || self.handovers.len() == MOST_HANDOVERS {
                continue;
            }
            let (place, service) = (place.to_owned(), self.services[at].id.name().to_owned());
            self.handovers.push(Handover { at: self.now, place, service, asked: self.asked, left, given });
        }
    }

    fn standing(&self, at: usize, key: &Key) -> Standing {
        let service = &self.services[at];
        // One that was overtaken by force replaces nothing.
        let replaces = |one: &&Operation| {
            let current =
                |(key_type, _): &(KeyType, Key)| service.keys[*key_type].generation == one.generation;
            one.service == at && one.status == Status::Running && one.key.as_ref().is_some_and(current)
        };
        let running = self.operations.iter().filter(replaces).filter_map(|one| one.key.as_ref());
        let running: Vec<&(KeyType, Key)> = running.collect();
        for key_type in KeyType::ALL {
            let state = &service.keys[key_type];
            if state.effective == *key {
                let ends = state.listed != *key || running.iter().any(|(of, _)| *of == key_type);
                return if ends { Standing::Ends(key_type) } else { Standing::Works(key_type) };
            }
            if state.listed == *key || running.iter().any(|(of, promised)| (*of, promised) == (key_type, key))
            {
                return Standing::Begins(key_type);
            }
        }
        if service.replaced_by_force(key) { Standing::ForcedOut } else { Standing::Gone }
    }
}
