//! Who watches while a scenario is played: at every request, before and after, nobody may have lost a valid key.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use embedded_azure::{EmbeddedAzure, VirtualClock};
use signalr_rekey::clock::Clock;

use crate::common::{CONSUMERS, Story};

/// Looks at every consumer of the default world.
pub struct Watch {
    sim: Arc<EmbeddedAzure>,
    clock: Arc<VirtualClock>,
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
    pub fn over(story: &Story) -> Self {
        let (sim, clock) = (Arc::clone(&story.sim), Arc::clone(&story.clock));
        let watch = Self { sim, clock, seen: Mutex::default() };
        watch.look();
        watch
    }

    /// Looks who holds a valid key now.
    pub fn look(&self) {
        // By what the app signs with, which the embedded Azure knows.
        let is_valid = |(app, _): &(&str, &str)| {
            let signs = self.sim.with(|state| state.signs(app)).unwrap();
            assert!(!signs.is_empty(), "{app} signs with nothing");
            signs.iter().all(|(_, valid)| valid.is_some())
        };
        let valid: BTreeSet<_> = CONSUMERS.into_iter().filter(is_valid).map(|(app, _)| app).collect();
        let (mut seen, now) = (self.seen.lock().unwrap(), self.clock.now());
        let lost: Vec<_> = seen.valid.difference(&valid).map(|app| format!("{app} at {now}")).collect();
        seen.lost.extend(lost);
        if valid.len() == CONSUMERS.len() && seen.all_since.is_none() {
            seen.all_since = Some(now);
        }
        seen.valid = valid;
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
