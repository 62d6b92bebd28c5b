//! The watch: a forced regeneration is found without any event, and without asking Azure Resource Manager.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::{CONSUMERS, HOUR, MINUTE, Story};
use embedded_azure::{Fault, FaultKind};
use rekey_core::model::KeyType;
use rekey_core::time::delta;
use signalr_rekey::clock::Clock;
use signalr_rekey::engine::Dispatcher;
use tokio::task::JoinHandle;

/// A story with a process that watches it every minute.
struct Watched {
    story: Story,
    watch: JoinHandle<()>,
}

impl Watched {
    async fn new() -> Self {
        let mut story = Story::new().await;
        story.watch(6 * HOUR).await;
        story.config.watch = Some(MINUTE);
        let service = Dispatcher::new(story.rekey());
        let watch = tokio::spawn(service.watch(MINUTE));
        let watched = Self { story, watch };
        // The first round looks, to learn which keys there are.
        watched.until_probes(1).await;
        watched
    }

    /// Lets the watch ask the service so many times more; how many requests Azure Resource Manager saw.
    async fn until_probes(&self, more: usize) -> usize {
        let (before, arm) = (self.probes(), self.arm());
        while self.probes() < before + more {
            tokio::task::yield_now().await;
        }
        self.arm() - arm
    }

    fn probes(&self) -> usize {
        self.story.requests("DataPlane_Exists")
    }

    fn arm(&self) -> usize {
        self.story.sim.requests().iter().filter(|request| request.arm).count()
    }

    fn is_repaired(&self) -> bool {
        let keys = KeyType::ALL.map(|key_type| self.story.key("sr-demo", key_type));
        CONSUMERS.iter().all(|(app, setting)| keys.contains(&self.story.held(app, setting)))
    }

    /// Waits until everybody holds a valid key; when that is.
    async fn until_repaired(&self) -> DateTime<Utc> {
        let patience = self.story.clock.now() + TimeDelta::hours(4);
        while !self.is_repaired() {
            assert!(self.story.clock.now() < patience, "nobody repaired it");
            tokio::task::yield_now().await;
        }
        self.story.clock.now()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

#[tokio::test]
async fn what_no_event_told_is_repaired_within_a_round() {
    let watched = Watched::new().await;
    let start = watched.story.clock.now();
    watched.story.force("sr-demo", &KeyType::ALL).unwrap();
    let took = watched.until_repaired().await - start;
    // A minute between two rounds, and three refusals a second apart.
    assert!(took <= delta(MINUTE + Duration::from_secs(10)), "{took}");
    // The keys that are watched from now on are the new ones: nothing is looked at again.
    watched.until_probes(2).await;
    assert_eq!(watched.until_probes(10).await, 0);
}

#[tokio::test]
async fn watching_asks_nothing_of_azure_resource_manager() {
    let watched = Watched::new().await;
    assert_eq!(watched.until_probes(20).await, 0);
}

#[tokio::test]
async fn a_refusal_or_two_is_no_dead_key() {
    let watched = Watched::new().await;
    for count in [1, 2] {
        watched.story.sim.fault(Fault::new("DataPlane_Exists", FaultKind::Unauthorized).times(count));
        assert_eq!(watched.until_probes(6).await, 0, "after {count}");
    }
    watched.story.sim.fault(Fault::new("DataPlane_Exists", FaultKind::Unavailable).times(5));
    assert_eq!(watched.until_probes(10).await, 0, "a service that fails says nothing of the key");
}
