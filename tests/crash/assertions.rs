//! What must hold of every scenario at its end, whatever happened on the way.

use chrono::TimeDelta;
use rekey_core::evidence;
use rekey_core::journal::{ChangeStep, Event};
use rekey_core::model::KeyType;

use crate::common::{all_hold, count};
use crate::scenario::{Played, Scenario};

/// The apps' restart and one interval of their calls: what it takes at most until a key that was written is called
/// with, and until the calls show that it works.
const UNTIL_IT_SHOWS: TimeDelta = TimeDelta::seconds(20 + 60);

/// A worker that dies after it wrote the secrets of a container app and before it restarted that leaves its lease behind, and
/// the replicas as they were: who follows restarts them. The first that follows, after two minutes and a second, may come a
/// moment before that lease is over, and then it is the second.
const UNTIL_IT_IS_RESTARTED: TimeDelta = TimeDelta::seconds(2 * 121);

impl Played {
    /// Nobody was cut off, the end is right, no key was regenerated more often than so many times beyond what it
    /// takes, and the journal tells it all.
    pub fn judge(&self, beyond: usize) {
        assert_eq!(self.watch.lost(), Vec::<String>::new(), "a valid key was taken from a consumer");
        assert_eq!(self.untrue, Vec::<String>::new(), "a run ended well, and it was not true");
        self.judge_refusals();
        all_hold(&self.story);
        assert!(self.watch.all_run(), "somebody runs with an invalid key");
        self.judge_regenerations(beyond);
        self.judge_journal();
        self.judge_evidence();
    }

    /// Where Azure itself took no key away, nobody was ever refused. Where it did, everybody was cut off once, by
    /// that, and never again once all consumers had been repaired.
    fn judge_refusals(&self) {
        let report = self.story.sim.report();
        assert!(report.calls > 0);
        if self.scenario.forced().is_empty() {
            assert_eq!((report.refused, report.outages.len()), (0, 0), "{:#?}", report.outages);
        }
        let repaired = self.watch.all_valid_since();
        for (name, app) in &report.instances["sr-demo"].apps {
            let is_container = name.starts_with("containerApps/");
            let until_restarted = if is_container { UNTIL_IT_IS_RESTARTED } else { TimeDelta::zero() };
            assert!(app.outages.len() <= 1, "{:#?}", app.outages);
            for outage in &app.outages {
                let end = outage.start + TimeDelta::milliseconds(outage.length_ms);
                assert!(
                    !outage.open
                        && outage.start == self.began
                        && end <= repaired + UNTIL_IT_SHOWS + until_restarted,
                    "{outage:?}"
                );
            }
        }
    }

    fn judge_regenerations(&self, beyond: usize) {
        for (done, least) in self.regenerated.into_iter().zip(self.scenario.regenerations()) {
            assert!((least..=least + beyond).contains(&done), "regenerated {:?} times", self.regenerated);
        }
    }

    /// What was done is proved in a chain without a gap, each change once, and nothing waits to be.
    fn judge_evidence(&self) {
        let [_, after] = &self.journals;
        let kept = after.evidence();
        assert_eq!(evidence::verify(kept, None, &self.documents), vec![]);
        assert!(kept.open().is_none() && kept.waiting().len() == 0, "{kept:#?}");
        let records = self.documents.values().map(|body| evidence::read(body.as_ref().unwrap()).unwrap());
        let steps: Vec<_> = records.flat_map(|record| record.change.steps).collect();
        let replaced = steps.iter().filter(|step| match step {
            ChangeStep::Regeneration(one) => one.new.is_some(),
            ChangeStep::ChangedFromOutside { .. } => true,
            _ => false,
        });
        let told = |event: &Event| matches!(event, Event::Regenerated { .. } | Event::KeyChanged { .. });
        assert_eq!(replaced.count(), count(after, told), "{steps:#?}");
        let undecided = steps.iter().filter(|step| {
            matches!(step, ChangeStep::Regeneration(one) if one.new.is_some() && one.old_key.is_none())
        });
        assert_eq!(
            undecided.count(),
            0,
            "of each key that was replaced it is told what became of it: {steps:#?}"
        );
    }

    /// The journal knows the keys that there are, and its events tell of every key that was replaced.
    fn judge_journal(&self) {
        let [before, after] = &self.journals;
        let keys = after.keys().unwrap();
        for key_type in KeyType::ALL {
            assert_eq!(keys[key_type].fingerprint, self.story.key("sr-demo", key_type).fingerprint());
        }
        assert!(after.in_flight().is_none());
        let told = |tells: fn(&Event) -> bool| count(after, tells) - count(before, tells);
        let regenerated = told(|event| matches!(event, Event::Regenerated { .. }));
        let changed = told(|event| matches!(event, Event::KeyChanged { .. }));
        let done = self.regenerated.iter().sum::<usize>() + self.scenario.forced().len();
        assert_eq!(regenerated + changed, done, "{:#?}", after.history().collect::<Vec<_>>());
        let failed = told(|event| matches!(event, Event::RegenerationFailed { .. }));
        let intended = told(|event| matches!(event, Event::RegenerationIntended { .. }));
        assert_eq!(intended, regenerated + failed, "every intent has an end");
        let came_back = told(|event| matches!(event, Event::GateFailed { .. }));
        let is_told = usize::from(self.scenario == Scenario::RolledBack);
        assert_eq!(came_back, is_told, "a wave fails once, and is on record");
    }
}
