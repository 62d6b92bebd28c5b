//! What remains of a storm: numbers, and what should not have happened.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How a storm went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StormSummary {
    /// What it was made from; the same seed plays the same storm.
    pub seed: u64,
    /// Rotations that were completed.
    pub rotations: u64,
    /// How often time passed and every instance was looked at.
    pub rounds: u64,
    /// Passes over one instance.
    pub passes: u64,
    /// How many of them ended well, and were compared with what the embedded Azure knows to be true.
    pub judged: u64,
    /// How many of them were killed.
    pub kills: u64,
    /// How passes ended.
    pub endings: BTreeMap<&'static str, u64>,
    /// How often the weather had what in store.
    pub weather: BTreeMap<&'static str, u64>,
    /// Client calls made.
    pub client_calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that were refused and whose key did not die from outside. None should be.
    pub refused_unexplained: u64,
    /// Keys that were replaced because a worker asked for it.
    pub regenerations: u64,
    /// Requests to Azure Resource Manager.
    pub arm_requests: u64,
    /// Requests to the journal's storage.
    pub storage_requests: u64,
    /// The days that went by.
    pub virtual_days: i64,
    /// One number for what came of every pass and when: equal for equal storms.
    pub schedule: String,
    /// How long it took. The one figure that no two storms share.
    pub elapsed_ms: i64,
    /// What should not have happened.
    pub violations: Vec<String>,
}

impl StormSummary {
    /// The same without how long it took: what two storms of one seed must have in common.
    #[must_use]
    pub fn without_time(self) -> Self {
        Self { elapsed_ms: 0, ..self }
    }
}

impl fmt::Display for StormSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&str, u64>| {
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "the storm of seed {}, {} days in {} ms", self.seed, self.virtual_days, self.elapsed_ms)?;
        writeln!(f, "{:>10}  rotations, with {} regenerations", self.rotations, self.regenerations)?;
        writeln!(f, "{:>10}  passes in {} rounds: {}", self.passes, self.rounds, list(&self.endings))?;
        writeln!(f, "{:>10}  of them ended well, and were compared with what is true", self.judged)?;
        writeln!(
            f,
            "{:>10}  requests to Azure, {} to the storage",
            self.arm_requests, self.storage_requests
        )?;
        writeln!(f, "            weather: {}", list(&self.weather))?;
        writeln!(f, "{:>10}  client calls", self.client_calls)?;
        writeln!(f, "{:>10}  of them refused", self.refused)?;
        write!(
            f,
            "{:>10}  of these not explained by what others did to the keys or the settings",
            self.refused_unexplained
        )
    }
}
