//! Whether consumers were given keys as they should be: not outside of windows, in a pause, before a person has approved it or
//! a wave has come back, and never a key that does not work. It goes by what the embedded Azure has on record, what apps
//! answered and what persons said, and by nothing that workers put down.
//!
//! Start at [`Judge::hear`]. A consumer *moves* if it is given a key in the place of one that works; every other is repaired,
//! which waits for nothing. It moves *back* if it is given the key that it had before it was moved.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::{Handover, Key, Standing};
use serde::Serialize;

use super::held::{Answer, Calendar, is_watched, wave_of};
use super::world::NORTH;
use rekey_core::model::Fingerprint;

/// What was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moves {
    /// Consumers that worked and were given another key.
    pub moved: u64,
    /// Those of them that were given back the key that they had.
    pub moved_back: u64,
    /// Consumers that were given a key in the place of an invalid one.
    pub repaired: u64,
}

/// What it knows so far.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    calendars: BTreeMap<String, Calendar>,
    pauses: BTreeMap<String, Pause>,
    approved: Vec<Approved>,
    /// When each key of a service was first listed: at its so many-th look.
    listed: BTreeMap<(String, Fingerprint), usize>,
    looks: usize,
    /// When a person last let a service go on.
    unblocked: BTreeMap<String, DateTime<Utc>>,
    /// How each place of a service was moved last, unless it was given another key since.
    moves: BTreeMap<(String, String), Move>,
    /// What each app answered last.
    answers: BTreeMap<String, Answer>,
    pub(super) counts: Moves,
}

/// The rotation that a person approved.
#[derive(Clone, Debug)]
struct Approved {
    service: String,
    /// The key that it replaces.
    key: Fingerprint,
    /// The other key of then, if it was older. Where consumers hold both keys, or may, and both are due, the newer is replaced,
    /// and who holds the older is moved to that first: he who approves it is told of both.
    older: Option<Fingerprint>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

#[derive(Clone, Debug)]
struct Move {
    at: DateTime<Utc>,
    from: Key,
    to: Key,
    back: bool,
}

/// A run over a service, and what is on record of it.
pub(super) struct Evidence {
    pub(super) began: DateTime<Utc>,
    pub(super) handovers: Vec<Handover>,
    pub(super) answers: Vec<Answer>,
    /// Whether keys were replaced by force in its midst.
    pub(super) disturbed: bool,
    /// The keys that each service has after it.
    pub(super) keys: Vec<(String, Key)>,
}

/// How long after a window has closed that may still be written which was begun in it: a request is sent while its lease holds,
/// which is a minute at most, and what Azure answered for is written later at times.
const AFTERMATH: TimeDelta = TimeDelta::seconds(120);

impl Judge {
    pub(super) fn new(services: impl Iterator<Item = String>, start: DateTime<Utc>) -> Self {
        Self {
            calendars: services.map(|name| (name.clone(), Calendar::of(&name, start))).collect(),
            listed: BTreeMap::new(),
            looks: 0,
            pauses: BTreeMap::new(),
            approved: Vec::new(),
            unblocked: BTreeMap::new(),
            moves: BTreeMap::new(),
            answers: BTreeMap::new(),
            counts: Moves::default(),
        }
    }

    /// A person lets the rotations of a service rest.
    pub(super) fn paused(&mut self, service: &str, from: DateTime<Utc>, until: DateTime<Utc>) {
        self.pauses.insert(service.to_owned(), Pause { from, until });
    }

    /// A person ends that.
    pub(super) fn resumed(&mut self, service: &str) {
        self.pauses.remove(service);
    }

    /// A person approves the rotation that replaces a key, while the service has these.
    pub(super) fn approved(&mut self, service: &str, key: &Fingerprint, keys: &[Key]) {
        let keys: Vec<Fingerprint> = keys.iter().map(fingerprint).collect();
        let made = |key: &Fingerprint| self.listed.get(&(service.to_owned(), key.clone()));
        let older = keys.iter().find(|other| *other != key && made(other) <= made(key));
        let older = older.filter(|_| keys.contains(key)).cloned();
        self.approved.push(Approved { service: service.to_owned(), key: key.clone(), older });
    }

    /// A person has looked, and lets a service go on.
    pub(super) fn unblocked(&mut self, service: &str, at: DateTime<Utc>) {
        self.unblocked.insert(service.to_owned(), at);
    }

    /// Takes down what is on record of a run, and tells what should not have been done.
    pub(super) fn hear(&mut self, evidence: Evidence) -> Vec<String> {
        let Evidence { began, handovers, answers, disturbed, keys } = evidence;
        self.looks += 1;
        for (service, key) in keys {
            self.listed.entry((service, fingerprint(&key))).or_insert(self.looks);
        }
        let mut answers = answers.into_iter().peekable();
        let mut wrong = Vec::new();
        for handover in handovers {
            while let Some(answer) = answers.next_if(|answer| answer.at <= handover.at) {
                self.answers.insert(answer.app.clone(), answer);
            }
            wrong.extend(self.judge(&handover, began, disturbed).into_iter().map(|why| {
                let Handover { at, place, service, .. } = &handover;
                format!("{place} was given a key of {service} at {at}, though {why}")
            }));
        }
        self.answers.extend(answers.map(|answer| (answer.app.clone(), answer)));
        wrong
    }

    /// What speaks against that something was done.
    fn judge(&mut self, handover: &Handover, began: DateTime<Utc>, disturbed: bool) -> Vec<String> {
        let Handover { at, place, service, asked, left, given } = handover;
        let id = (service.clone(), place.clone());
        let last = self.moves.remove(&id);
        if !asked {
            return vec![];
        }
        let mut wrong = Vec::new();
        if given.iter().any(|(_, standing)| *standing == Standing::Gone) {
            wrong.push("that key does not work any more".to_owned());
        }
        if !disturbed && given.iter().any(|(_, standing)| *standing == Standing::ForcedOut) {
            wrong.push("somebody had replaced that key".to_owned());
        }
        let worked = left.iter().find(|(_, standing)| matches!(standing, Standing::Works(_)));
        let (Some((from, _)), Some((to, standing))) = (worked, given.first()) else {
            self.counts.repaired += 1;
            return wrong;
        };
        self.counts.moved += 1;
        if matches!(standing, Standing::Begins(_)) {
            wrong.push("that key does not work yet".to_owned());
        }
        let back = last.is_some_and(|last| !last.back && (&last.from, &last.to) == (to, from));
        if back {
            self.counts.moved_back += 1;
        } else {
            wrong.extend(self.too_soon(service, (from, to), (began, *at)));
            wrong.extend(self.before_others_came_back(handover, from, to));
        }
        self.moves.insert(id, Move { at: *at, from: from.clone(), to: to.clone(), back });
        wrong
    }

    /// What a move should have waited for.
    fn too_soon(
        &self,
        service: &str,
        (from, to): (&Key, &Key),
        (began, at): (DateTime<Utc>, DateTime<Utc>),
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(calendar) = self.calendars.get(service) {
            let mut moments = std::iter::successors(Some(at), |at| Some(*at - TimeDelta::seconds(10)));
            let since = (at - AFTERMATH).max(began - TimeDelta::seconds(10));
            if !moments.by_ref().take_while(|moment| since <= *moment).any(|moment| calendar.is_open(moment))
            {
                wrong.push("no window is open".to_owned());
            }
        }
        if self.pauses.get(service).is_some_and(|pause| pause.from <= began && at < pause.until) {
            wrong.push("its rotations are paused".to_owned());
        }
        let [replaced, given] = [from, to].map(fingerprint);
        let approves = |one: &Approved| {
            let is_older = one.key == given && one.older.as_ref() == Some(&replaced);
            one.service == *service && (one.key == replaced || is_older)
        };
        if service == NORTH && !self.approved.iter().any(approves) {
            wrong.push(format!("nobody has approved that {replaced} is replaced by {given}"));
        }
        wrong
    }

    /// Those who were moved in an earlier wave, and did not answer since that they are well.
    fn before_others_came_back(&self, handover: &Handover, from: &Key, to: &Key) -> Vec<String> {
        let Handover { place, service, .. } = handover;
        let earlier = self.moves.iter().filter(|((of, other), moved)| {
            of == service
                && is_watched(other)
                && wave_of(other) < wave_of(place)
                && !moved.back
                && (&moved.from, &moved.to) == (from, to)
        });
        let came_back = |app: &str, moved: &Move| {
            self.answers.get(app).is_some_and(|answer| moved.at < answer.at && answer.well)
                || self.unblocked.get(service).is_some_and(|unblocked| moved.at < *unblocked)
        };
        let missing = earlier.filter(|((_, app), moved)| !came_back(app, moved));
        missing.map(|((_, app), _)| format!("{app} of a wave before it has not come back")).collect()
    }
}

fn fingerprint(key: &Key) -> Fingerprint {
    rekey_core::model::Key::new(key.expose()).fingerprint()
}

#[cfg(test)]
mod tests {
    use embedded_azure::KeyType::{Primary, Secondary};

    use super::*;
    use crate::demo::storm::world::{EAST, WEST};

    /// A Saturday, on which the windows of the east are open all day.
    fn saturday() -> DateTime<Utc> {
        "2026-01-03T10:00:00Z".parse().unwrap_or_default()
    }

    fn fresh() -> Judge {
        Judge::new([EAST, NORTH, WEST].into_iter().map(str::to_owned), saturday())
    }

    fn key(name: &str) -> Key {
        Key::new(name)
    }

    /// One who worked with the old key and was given the new one.
    fn moved(service: &str, place: &str, at: DateTime<Utc>) -> Handover {
        Handover {
            at,
            place: place.into(),
            service: service.into(),
            asked: true,
            left: vec![(key("old"), Standing::Works(Primary))],
            given: vec![(key("new"), Standing::Works(Secondary))],
        }
    }

    fn reversed(handover: &Handover, at: DateTime<Utc>) -> Handover {
        let Handover { left, given, .. } = handover.clone();
        Handover { at, left: given, given: left, ..handover.clone() }
    }

    fn after(minutes: i64) -> DateTime<Utc> {
        saturday() + TimeDelta::minutes(minutes)
    }

    fn well(app: &str, at: DateTime<Utc>) -> Answer {
        Answer { at, app: app.into(), well: true }
    }

    /// What is said of a run that did this a second after it began.
    fn hear(judge: &mut Judge, handovers: Vec<Handover>, answers: Vec<Answer>) -> Vec<String> {
        let began = handovers.first().map_or(saturday(), |first| first.at) - TimeDelta::seconds(1);
        judge.hear(Evidence { began, handovers, answers, disturbed: false, keys: vec![] })
    }

    #[test]
    fn who_is_moved_in_a_window_is_in_order() {
        let mut judge = fresh();
        assert_eq!(
            hear(&mut judge, vec![moved(EAST, "web-sr-east", after(0))], vec![]),
            Vec::<String>::new()
        );
        assert_eq!(judge.counts, Moves { moved: 1, ..Moves::default() });
    }

    #[test]
    fn who_is_moved_outside_of_one_is_not() {
        // From Monday to Friday it is closed between 8 and 22 o'clock in Berlin.
        let (closed, closing) = (after(2 * 24 * 60), after(3 * 24 * 60 - 3 * 60 + 1));
        let said = hear(&mut fresh(), vec![moved(EAST, "web-sr-east", closed)], vec![]);
        assert!(said.len() == 1 && said[0].contains("no window is open"), "{said:?}");
        // What was begun before it closed is written to its end.
        let (began, handovers) = (closing - TimeDelta::minutes(2), vec![moved(EAST, "web-sr-east", closing)]);
        let (answers, keys) = (vec![], vec![]);
        let evidence = Evidence { began, handovers, answers, disturbed: false, keys };
        assert_eq!(fresh().hear(evidence), Vec::<String>::new());
    }

    #[test]
    fn who_is_repaired_waits_for_nothing() {
        let mut judge = fresh();
        judge.paused(NORTH, after(-60), after(60));
        for standing in [Standing::ForcedOut, Standing::Gone, Standing::Ends(Primary)] {
            let left = vec![(key("old"), standing)];
            let repaired = Handover { left, ..moved(NORTH, "web-sr-north", after(3 * 24 * 60)) };
            assert_eq!(hear(&mut judge, vec![repaired], vec![]), Vec::<String>::new());
        }
        assert_eq!(judge.counts, Moves { repaired: 3, ..Moves::default() });
    }

    #[test]
    fn who_is_moved_in_a_pause_is_not_in_order() {
        let mut judge = fresh();
        judge.paused(EAST, after(-60), after(60));
        let said = hear(&mut judge, vec![moved(EAST, "web-sr-east", after(0))], vec![]);
        assert!(said.len() == 1 && said[0].contains("paused"), "{said:?}");
        judge.resumed(EAST);
        assert_eq!(hear(&mut judge, vec![moved(EAST, "func-x", after(1))], vec![]), Vec::<String>::new());
    }

    #[test]
    fn nobody_is_moved_before_its_own_approval() {
        let mut judge = fresh();
        let approve = |judge: &mut Judge, service: &str, name: &str, keys: [&str; 2]| {
            judge.approved(service, &fingerprint(&key(name)), &keys.map(key));
        };
        approve(&mut judge, NORTH, "another", ["another", "old"]);
        approve(&mut judge, EAST, "old", ["old", "new"]);
        // One that was given before there was the key approves nothing that leads to it.
        approve(&mut judge, NORTH, "new", ["old", "another"]);
        let said = hear(&mut judge, vec![moved(NORTH, "web-sr-north", after(0))], vec![]);
        assert!(said.len() == 1 && said[0].contains("nobody has approved"), "{said:?}");
        approve(&mut judge, NORTH, "old", ["old", "new"]);
        let said = hear(&mut judge, vec![moved(NORTH, "by-store", after(1))], vec![]);
        assert_eq!(said, Vec::<String>::new());
    }

    /// Consumers hold both keys, and the rotation of one is approved.
    #[test]
    fn who_holds_the_older_of_two_keys_is_moved_to_the_newer_one_that_is_to_be_replaced() {
        let listed = |judge: &mut Judge, name: &str| {
            let (handovers, answers) = (vec![], vec![]);
            let keys = vec![(NORTH.to_owned(), key(name))];
            judge.hear(Evidence { began: saturday(), handovers, answers, disturbed: false, keys });
        };
        for (older, newer, fits) in [("old", "new", true), ("new", "old", false)] {
            let mut judge = fresh();
            listed(&mut judge, older);
            listed(&mut judge, newer);
            judge.approved(NORTH, &fingerprint(&key("new")), &[older, newer].map(key));
            let said = hear(&mut judge, vec![moved(NORTH, "by-store", after(1))], vec![]);
            assert_eq!(said.is_empty(), fits, "{said:?}");
        }
    }

    #[test]
    fn a_wave_waits_until_the_one_before_has_come_back() {
        let (slot, app) = ("web-sr-west/staging", "web-sr-west");
        let waves = |answers: Vec<Answer>| {
            let waves = vec![moved(WEST, slot, after(300)), moved(WEST, app, after(310))];
            hear(&mut fresh(), waves, answers)
        };
        for answers in [vec![], vec![well(slot, after(299))], vec![well(slot, after(311))]] {
            let said = waves(answers);
            assert!(said.len() == 1 && said[0].contains("has not come back"), "{said:?}");
        }
        let ill = Answer { well: false, ..well(slot, after(306)) };
        assert_eq!(waves(vec![well(slot, after(305)), ill]).len(), 1);
        assert_eq!(waves(vec![well(slot, after(305))]), Vec::<String>::new());
    }

    #[test]
    fn nobody_is_given_a_key_that_does_not_work() {
        let to = |standing| Handover {
            given: vec![(key("new"), standing)],
            ..moved(EAST, "web-sr-east", after(0))
        };
        for standing in [Standing::Gone, Standing::ForcedOut, Standing::Begins(Primary)] {
            assert_eq!(hear(&mut fresh(), vec![to(standing)], vec![]).len(), 1, "{standing:?}");
        }
    }

    #[test]
    fn the_way_back_waits_for_nothing_and_leads_to_a_key_that_works() {
        let mut judge = fresh();
        let forth = moved(EAST, "web-sr-east", after(0));
        // On Monday, when it is closed.
        let back = reversed(&forth, after(2 * 24 * 60));
        let dead = Handover { given: vec![(key("old"), Standing::Gone)], ..back.clone() };
        assert_eq!(hear(&mut judge, vec![forth.clone(), back], vec![]), Vec::<String>::new());
        assert_eq!(judge.counts, Moves { moved: 2, moved_back: 1, repaired: 0 });
        assert_eq!(hear(&mut fresh(), vec![forth.clone(), dead], vec![]).len(), 1);
        // What was moved back, and is moved again, waits for a window like any other.
        let again = Handover { at: after(2 * 24 * 60 + 5), ..forth };
        assert_eq!(hear(&mut judge, vec![again], vec![]).len(), 1);
    }

    #[test]
    fn what_another_person_wrote_is_not_judged() {
        let written = Handover { asked: false, ..moved(NORTH, "web-sr-north", after(0)) };
        assert_eq!(hear(&mut fresh(), vec![written], vec![]), Vec::<String>::new());
    }
}
