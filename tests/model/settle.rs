//! Every run settles: from every state that can be reached, a fair schedule leads to a settled instance.
//!
//! The schedule is one of many: what is under way ends, frozen workers thaw and finish their pass, then the first
//! worker makes pass after pass as time goes by, with no further fault. That it settles from *every* state means that no
//! interleaving, crash or regeneration leads where the workers do not get out again by themselves.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use rekey_core::model::KeyType;
use rekey_core::plan::{self, Decision};

use super::world::{Id, State, snapshot_beside};
use super::{Action, Rules};

/// States from which a run is known to settle.
#[derive(Default)]
pub(crate) struct Settled(Mutex<HashSet<u64>>);

/// So many passes, a minute apart, are more than enough for two rotations.
const PASSES: usize = 60;
/// More requests than one run ever makes.
const REQUESTS: usize = 100;

impl Rules {
    pub(crate) fn settles(&self, state: &State) -> bool {
        let under_way =
            state.workers.iter().any(Option::is_some) || !state.transit.is_empty() || state.pending.is_some();
        if state.broken.is_some() || under_way {
            return true;
        }
        let mut state = state.clone();
        let mut seen = vec![];
        for _ in 0..PASSES {
            for worker in [0, 1] {
                self.finish(&mut state, worker);
            }
            let mut hasher = DefaultHasher::new();
            state.hash(&mut hasher);
            let known =
                self.settled.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&hasher.finish());
            seen.push(hasher.finish());
            if known || self.is_settled(&state) {
                self.settled.0.lock().unwrap_or_else(PoisonError::into_inner).extend(seen);
                return true;
            }
            self.make(&mut state, Action::Tick);
            // The machine does what is asked of it, and says so.
            self.make(&mut state, Action::Report);
            self.make(&mut state, Action::Step(0));
        }
        false
    }

    /// Lets everything end that is under way, a worker's pass included.
    fn finish(&self, state: &mut State, worker: usize) {
        for _ in 0..REQUESTS {
            if !state.transit.is_empty() {
                self.make(state, Action::Arrive(0));
            } else if state.pending.is_some() {
                self.make(state, Action::Effect);
            } else if state.workers[worker].is_none() {
                return;
            } else if !self.make(state, Action::Step(worker)) {
                // Its request vanished.
                self.make(state, Action::GiveUp(worker));
            }
        }
    }

    /// Whether a worker would find nothing to do and nothing to wait for, and every app works.
    pub(crate) fn is_settled(&self, state: &State) -> bool {
        let apps: Vec<Id> = state.apps.iter().map(|app| app.key).collect();
        let mut journal = (*state.document.journal).clone();
        let seen = snapshot_beside(state, state.keys, &apps, &journal);
        for event in plan::reconcile(&seen, &journal, &self.policy, state.time()) {
            if journal.apply(event, state.time()).is_err() {
                return false;
            }
        }
        let decision = plan::decide(&seen, &journal, &self.policy, state.time());
        let rotated = journal.keys().zip(journal.requested()).is_some_and(|(keys, requested)| {
            KeyType::ALL
                .into_iter()
                .filter(|key_type| seen.is_held(*key_type))
                .all(|key_type| keys[key_type].created > requested)
        });
        let at_rest = state.pending.is_none() && state.transit.is_empty();
        let machine = state.machine.as_ref().map(|machine| machine.key);
        let works = apps.iter().chain(&machine).all(|key| state.works(*key));
        // Where a wave does not come back, it is up to a person, with everybody on a key that works.
        let rolled_back = matches!(decision, Decision::Blocked(plan::BlockedBy::Unhealthy { .. }));
        let settled = rotated && matches!(decision, Decision::Settled { .. });
        at_rest && works && (settled || rolled_back)
    }
}
