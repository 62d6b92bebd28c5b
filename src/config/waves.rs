//! In which wave consumers are moved, and what tells how they are, as `rekey.toml` has it: `wave` and `health` of an entry of
//! a list.

use std::collections::BTreeMap;

use url::Url;

use super::fault::Report;
use super::places::what_it_is_not;
use super::values::{Fields, health_url};
use rekey_core::model::ConsumerId;
use rekey_core::plan::WaveOrder;
use rekey_core::policy::Policy;

/// What an entry may say of it. What is only read by others has no health of its own.
pub(super) const WAVE_ONLY: [&str; 2] = ["wave", "health"];

/// There are more waves than anybody waits for, and fewer than a slip of the pen makes.
const MOST: u32 = 100;

/// What the entries of an instance say of it.
#[derive(Default)]
pub(super) struct Waves {
    numbers: BTreeMap<ConsumerId, u32>,
    pub(super) health: BTreeMap<ConsumerId, Url>,
}

impl Waves {
    /// Takes both out of an entry.
    pub(super) fn read(&mut self, fields: &Fields<'_>, of: impl Fn() -> ConsumerId, report: &mut Report<'_>) {
        self.read_number(fields, &of, report);
        let Some(node) = fields.get("health") else { return };
        let Some(text) = node.text("the URL that tells how it is: \"https://…\"", report) else { return };
        match health_url(text) {
            Ok(url) => drop(self.health.insert(of(), url)),
            Err(sentence) => report.at(&node.at, what_it_is_not(text, &sentence)),
        }
    }

    /// The same of what is only read by others.
    pub(super) fn read_number(
        &mut self,
        fields: &Fields<'_>,
        of: impl Fn() -> ConsumerId,
        report: &mut Report<'_>,
    ) {
        let Some(node) = fields.get("wave") else { return };
        let Some(number) = node.number() else {
            return node.refuse("a number without quotes, such as 2", report);
        };
        match number.parse() {
            Ok(number @ 1..=MOST) => drop(self.numbers.insert(of(), number)),
            _ => report.at(
                &node.at,
                format!("a wave is a number from 1 to {MOST}, such as 2; the lowest is moved first"),
            ),
        }
    }

    /// Whoever reads a consumer is moved with it.
    pub(super) fn fit(
        &self,
        fields: &Fields<'_>,
        read: &ConsumerId,
        readers: impl Iterator<Item = ConsumerId>,
        report: &mut Report<'_>,
    ) {
        let together = readers.chain([read.clone()]);
        let mut numbers: Vec<u32> = together.filter_map(|one| self.numbers.get(&one).copied()).collect();
        numbers.dedup();
        if numbers.len() > 1 {
            report.at(
                &fields.at,
                "it and the apps of read_by are in different waves, but one write moves them all; write the same wave with \
                 each of them, or with one alone",
            );
        }
    }

    /// In how many waves these are, as far as the text alone shows it: who reads what, only Azure does.
    pub(super) fn count(&self, consumers: impl Iterator<Item = ConsumerId>) -> usize {
        let policy = Policy { waves: self.numbers.clone(), ..Policy::default() };
        WaveOrder::configured(consumers, &policy).numbers().len()
    }

    /// The policy with them.
    pub(super) fn policy(&self, policy: Policy) -> Policy {
        Policy { waves: self.numbers.clone(), watched: self.health.keys().cloned().collect(), ..policy }
    }
}
