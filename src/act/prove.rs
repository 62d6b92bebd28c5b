//! Proving a key: the service must accept it several times in a row before any consumer gets it.

use std::time::Duration;

use super::Actor;
use crate::azure::data_plane::Probe;
use crate::report::text::azure as words;
use rekey_core::model::{Key, KeyPair, KeyType, PerKey};
use rekey_core::time::delta;

/// How many probes in a row must be accepted, and how far apart. A new key was seen to be refused now and then by
/// single nodes while it spreads (azure-signalr#2197); four in three seconds meet several of them.
const IN_A_ROW: u32 = 4;
const APART: Duration = Duration::from_secs(1);

/// How many probes one step makes at most before it reports what the service says.
const PROBES: u32 = 15;

/// What probing showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The service accepts the key.
    Accepted,
    /// It does not, or cannot be asked; what it said.
    Refused(String),
}

/// How often the service is asked about two keys that it both refuses before stale consumers are moved all the same: they
/// are failing already, and one of the two is about to work.
const SOUNDINGS: u32 = 3;

impl Actor<'_> {
    /// Asks the service once about both keys, and again for as long as it refuses both; those that it refuses. A service
    /// that cannot be asked refuses nothing.
    pub async fn sound_out(&self, host: &str, keys: &KeyPair) -> PerKey<bool> {
        let mut refused = PerKey::default();
        for sounding in 0..SOUNDINGS {
            if sounding > 0 {
                self.clock.sleep(APART).await;
            }
            let ask = |key_type| self.data_plane.probe(host, &keys[key_type]);
            let (primary, secondary) = futures::join!(ask(KeyType::Primary), ask(KeyType::Secondary));
            let is_refusal = |probe| matches!(probe, Probe::Refused { .. });
            refused = PerKey { primary: is_refusal(primary), secondary: is_refusal(secondary) };
            let next = self.clock.now() + delta(APART);
            if !(refused.primary && refused.secondary) || next >= self.deadline {
                break;
            }
        }
        refused
    }

    /// Signs calls with a key until the service accepted several in a row, or has refused for a while.
    pub async fn prove(&self, host: &str, key: &Key) -> Proof {
        let mut in_a_row = 0;
        let mut said = words::NOT_PROVED_IN_TIME.to_owned();
        for _ in 0..PROBES {
            match self.data_plane.probe(host, key).await {
                Probe::Accepted => in_a_row += 1,
                Probe::Refused { detail } | Probe::Unreachable { detail } => (in_a_row, said) = (0, detail),
            }
            if in_a_row == IN_A_ROW {
                return Proof::Accepted;
            }
            let next = self.clock.now() + delta(APART);
            if next >= self.deadline {
                break;
            }
            self.clock.sleep_until(next).await;
        }
        Proof::Refused(said)
    }
}
