//! How carefully the keys of a service are rotated: what the operator decides, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::calendar::{Calendar, Freeze, Window};
use crate::model::{ConsumerId, KeyType};

/// How carefully the keys of a service are rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The age at which a key in use is due to be replaced.
    pub rotate_every: Duration,
    /// How long a key stays valid after its last consumer left it.
    pub grace: Duration,
    /// How a new key is proved before consumers get it.
    pub verify: Verify,
    /// When a service that was never seen before is first rotated.
    pub first_rotation: FirstRotation,
    /// How long a key that is compromised stays valid after its last consumer left it, where that is less than `grace`.
    pub exposed_grace: Duration,
    /// The least time between two rotations that notices ask for.
    pub min_rotation_interval: Duration,
    /// The longest that Azure may take for a regeneration whose operation URL we never learned.
    pub longest_operation: Duration,
    /// How old the last reading of all apps may be when a run of the timer goes by the keys alone, for nothing has happened.
    /// None ever does if it is zero.
    pub full_check_every: Duration,
    /// When consumers that work are moved, and keys regenerated because they are due; at any time if there is none.
    pub windows: Vec<Window>,
    /// Days on which the windows stay closed.
    pub freezes: Vec<Freeze>,
    /// Whether a person has to approve a rotation before it begins.
    pub approval: ApprovalPolicy,
    /// The time over which services that become due together are spread.
    pub spread: Duration,
    /// How much of it is this service's: a key in use is due so much later.
    pub due_later: Duration,
    /// How long it rests between two waves, from when the gate of the first has passed.
    pub pause_between_waves: Duration,
    /// How many apps are restarted in one step; all of a wave, if it is none.
    pub restarts_at_once: u32,
    /// How long after the last write of a step its gate begins: until then an app may still run with the old key, and answer.
    pub gate_after: Duration,
    /// How long a gate waits for what it asks about.
    pub settle_within: Duration,
    pub on_unhealthy: OnUnhealthy,
    /// In which wave consumers are moved that do not have the wave of their kind.
    pub waves: BTreeMap<ConsumerId, u32>,
    /// The key on which a rotation ends; on either, if it is none.
    pub home: Option<KeyType>,
    /// Whether Azure's activity log is asked who wrote an old string back.
    pub name_writers: bool,
    /// Whether the service is tagged with when it was rotated, when it is due, and how it stands.
    pub tags: bool,
    /// The consumers that have a URL which tells how they are.
    pub watched: BTreeSet<ConsumerId>,
}

impl Policy {
    /// When consumers that work may be moved.
    pub fn calendar(&self) -> Calendar<'_> {
        Calendar { windows: &self.windows, freezes: &self.freezes }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // A month: short enough for the common rule of 90 days, long enough that restarts stay rare.
            rotate_every: Duration::from_secs(30 * 24 * 3600),
            // What may still be done with a key after its last consumer left it, one after the other: an instance that Flex
            // Consumption drains works on with the old settings for an hour (docs: Site update strategies in Flex
            // Consumption), a restart takes minutes where nothing is drained, and the last client token that the old
            // process hands out lives an hour by default (docs: Troubleshooting guide). That is 125 minutes; a fifth more
            // is margin, for a drain begins batch by batch and nothing tells when it is over.
            grace: Duration::from_secs(150 * 60),
            verify: Verify::DataPlane,
            first_rotation: FirstRotation::Now,
            // Restarts take tens of seconds, and App Service gives up on an app that does not start within 230 s. Who
            // holds a client token of the compromised key is cut off: that is what is wanted of a leak.
            exposed_grace: Duration::from_secs(15 * 60),
            // A rotation restarts every app twice at most; once an hour is bearable, whoever forges notices.
            min_rotation_interval: Duration::from_secs(3600),
            // The longest regeneration on record took 74 s; eight times that, rounded up.
            longest_operation: Duration::from_secs(600),
            // Only who writes an old string back without an event is found by it. Once an hour a thousand services with three
            // apps each take a fifth of the writes that ARM gives back, and their keys every five minutes a third.
            full_check_every: Duration::from_secs(3600),
            windows: vec![],
            freezes: vec![],
            approval: ApprovalPolicy::None,
            spread: Duration::ZERO,
            due_later: Duration::ZERO,
            pause_between_waves: Duration::ZERO,
            restarts_at_once: 0,
            // App Service begins to restart an app within seconds of the write, and says nothing of it.
            gate_after: Duration::from_secs(60),
            // App Service gives up on an app that does not start within 230 s; the rest is for one that has to warm up.
            settle_within: Duration::from_secs(5 * 60),
            on_unhealthy: OnUnhealthy::RollBack,
            waves: BTreeMap::new(),
            home: None,
            // It names persons.
            name_writers: false,
            // It is written beside tags of others, which may want to have all of them.
            tags: false,
            watched: BTreeSet::new(),
        }
    }
}

/// How a new key is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// By signed REST calls that the service accepts.
    DataPlane,
    /// By the operation's success and the listed key, for networks from which the data plane is out of reach.
    ControlPlane,
}

/// Whether a person has to approve a rotation before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalPolicy {
    None,
    Required,
}

/// When a service that was never seen before is first rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRotation {
    /// As soon as it is safe.
    Now,
    /// Once it has been watched for `rotate_every`.
    WhenDue,
}

/// What is done with a wave that does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnhealthy {
    /// It gets the key back that it had, and nothing more is done until a person says so.
    RollBack,
    /// It keeps the new key, and likewise.
    Stop,
}
