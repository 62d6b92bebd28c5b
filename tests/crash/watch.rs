//! Who watches while a scenario is played: at every request, before and after, nobody may have lost a valid key.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use embedded_azure::{EmbeddedAzure, VirtualClock};
use signalr_rekey::clock::Clock;

use crate::common::{CONSUMERS, Story};

/// Looks at every consumer of the default world, and at others besides.
pub struct Watch {
    sim: Arc<EmbeddedAzure>,
    clock: Arc<VirtualClock>,
    names: Vec<&'static str>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The apps whose key was valid at the last check.
    valid: BTreeSet<&'static str>,
    /// Since when all of them are.
    all_since: Option<DateTime<Utc>>,
    lost: Vec<String>,
}

impl Watch {
    pub fn over(story: &Story, others: &[&'static str]) -> Self {
        let (sim, clock) = (Arc::clone(&story.sim), Arc::clone(&story.clock));
        let names = CONSUMERS.iter().map(|(app, _)| app).chain(others).copied().collect();
        let watch = Self { sim, clock, names, seen: Mutex::default() };
        watch.look();
        watch
    }

    /// Looks who holds a valid key now, and tells what time that is.
    pub fn look(&self) -> DateTime<Utc> {
        // By what the app signs with, which the embedded Azure knows.
        let valid: BTreeSet<_> = self.sim.with(|state| {
            let is_valid = |app: &&str| {
                let signs = state.signs(app).unwrap();
                assert!(!signs.is_empty(), "{app} signs with nothing");
                signs.iter().all(|(_, valid)| valid.is_some())
            };
            self.names.iter().copied().filter(is_valid).collect()
        });
        let (mut seen, now) = (self.seen.lock().unwrap(), self.clock.now());
        let lost: Vec<_> = seen.valid.difference(&valid).map(|app| format!("{app} at {now}")).collect();
        seen.lost.extend(lost);
        if valid.len() == self.names.len() && seen.all_since.is_none() {
            seen.all_since = Some(now);
        }
        seen.valid = valid;
        now
    }

    /// Whether everybody runs with a valid key, and would start with one.
    pub fn all_run(&self) -> bool {
        self.sim.with(|state| {
            let runs = |app: &&str| {
                let [signs, runs] = [state.signs(app), state.runs_with(app)].map(Result::unwrap);
                signs.iter().chain(&runs).all(|(_, valid)| valid.is_some())
            };
            self.names.iter().all(runs)
        })
    }

    /// Who lost a valid key, and when.
    pub fn lost(&self) -> Vec<String> {
        self.seen.lock().unwrap().lost.clone()
    }

    /// Since when everybody holds a valid key.
    pub fn all_valid_since(&self) -> DateTime<Utc> {
        self.seen.lock().unwrap().all_since.unwrap()
    }
}
