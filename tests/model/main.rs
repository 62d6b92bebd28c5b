//! Two workers at once, every interleaving of them, by a model checker.
//!
//! The workers' requests are the transitions: reading the journal, listing the keys, reading the apps, the conditional
//! writes, sending a regeneration, its arrival at Azure, its answer, polling, probing, and a PUT for each app. What a
//! worker does between two requests is the real code: `plan::reconcile`, `plan::decide` and `Journal::apply`
//! (`worker.rs`). A frozen worker is one whose next request is a long time in coming, which is an ordinary
//! interleaving, whatever it was about to do; one that is frozen between its journal write and its act included.
//!
//! **Bounds.** One instance from its first check to the end of its first rotation and ever after, two apps, two workers
//! that begin as many passes as they like. Faults: at most one crash, one regeneration from outside and one lost
//! request or answer; any two of them where the apps share a key, one where they are split over both. A regeneration
//! comes to nothing at most once in a row (each way to get there included): after that the same happens again, later.
//! Time is not bounded: ages end where no rule tells them apart any more (`canon.rs`), so that the states are finitely
//! many, and all of them are visited. It passes in ticks of a minute, with the real lease of two; the grace, two, and
//! the longest operation, two, are as short as the rules bear, which leaves the least to lean on.
//!
//! **Who reports, and who acknowledges.** In models of their own, with one fault at most, there is besides a machine that takes
//! the key of the first app whenever it likes and reports that at once, before or after the first check, or for which a person
//! says it; and readers of that app that nobody sees, until a person says, and is right, that they have left a key. Both write
//! the journal between any two requests of the workers, as `OnReport` and `acknowledge` do: only while nobody has the lease.
//!
//! **Who acknowledges what is not so.** A false word is a fault like the others, at most one of which happens: it says that the
//! machine holds a key which it does not. All that is claimed of everybody else is claimed beside it. It explains one refusal
//! and no other: that of the machine, with the key that it held when the word was said, until it takes another. Of readers that
//! nobody sees a false word is a true one to all but themselves, and it is they alone who are refused, with the key that they
//! are said to have left; so the models of a true word are theirs as well.
//!
//! **Waves.** In models of their own, with one fault, the second app is moved after the gate of the first, which comes back or
//! does not.
//!
//! **Assumptions.** A worker looks at the clock and sends in one transition. A request that was sent arrives within a
//! tick or never. Azure makes one regeneration at a time and refuses what overlaps; it takes a tick at most; listKeys
//! shows the new key at once. Nobody but the workers writes apps. `ARCHITECTURE.md` ("The journal and the lease") says
//! what is left where these do not hold.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may fail loudly, and tell their figures")]

mod canon;
mod settle;
mod worker;
mod world;

use std::time::Instant;

use rekey_core::model::KeyType;
use rekey_core::policy::Policy;
use settle::Settled;
use stateright::{Checker, HasDiscoveries, Model, Property};
use world::{Broken, GRACE, State};

const CUT_OFF: &str = "nobody is cut off";
const WITHOUT_LEASE: &str = "nothing is sent without the lease";
const HELD: &str = "no key is regenerated that an app holds";
const WITHIN_GRACE: &str = "no key is regenerated within its grace";
const A_RUN_SETTLES: &str = "a run is settled";
const BELIED: &str = "a machine of which a false word is said is cut off by that";

const P: KeyType = KeyType::Primary;
const S: KeyType = KeyType::Secondary;

/// How often in a row a regeneration may come to nothing.
const FAILURES: u32 = 1;

/// What the workers keep to.
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    /// Whether writes of the document are conditional.
    pub(crate) etags: bool,
    /// Whether a worker looks at the clock just before it sends.
    pub(crate) checks_time: bool,
    /// Whether the URLs of operations can be asked.
    pub(crate) asks: bool,
    /// Whether the first wave does not come back.
    pub(crate) gate_fails: bool,
    /// Whether workers go by what a machine reports.
    pub(crate) hears: bool,
    /// Whether there is a machine that reports, and then how long readers that nobody sees go on with a key.
    machine: Option<world::Tick>,
    /// Whether a person says what he sees of them: that they have left a key, and what the machine holds.
    person: bool,
    /// Whether he is right of the readers: else they go on with the key all the same.
    is_right: bool,
    /// Whether he may say of the machine, once, that it holds a key which it does not.
    is_false: bool,
    /// How many faults of all kinds may happen.
    faults: u8,
    settled: Settled,
}

impl Rules {
    fn real() -> Self {
        Self {
            policy: worker::policy(GRACE),
            etags: true,
            checks_time: true,
            asks: true,
            hears: true,
            gate_fails: false,
            machine: None,
            person: false,
            is_right: true,
            is_false: false,
            faults: 2,
            settled: Settled::default(),
        }
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A worker makes its next request.
    Step(usize),
    /// A request to regenerate reaches Azure.
    Arrive(usize),
    /// It never does.
    Vanish(usize),
    /// The client waits no longer for the answer.
    GiveUp(usize),
    /// The regeneration takes effect.
    Effect,
    /// Somebody regenerates a key.
    Outside(KeyType),
    /// A worker is killed.
    Crash(usize),
    /// The machine takes the key that an app has, and says so, or a person does.
    Report,
    /// A person says that whoever reads what the first app holds, and is not seen, has left this key.
    Acknowledge(KeyType),
    /// A person says that the machine holds this key, and it does not.
    Belie(KeyType),
    Tick,
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let state = |holds| State::new(holds, self.faults);
        match self.machine {
            None => vec![state(&[P, P]), State::new(&[P, S], self.faults.min(1))],
            Some(readers) => {
                let reported = [true, false].map(|reported| state(&[P, P]).beside(reported, readers));
                let split = state(&[S, S]).beside(true, readers);
                reported.into_iter().chain([split]).collect()
            }
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.is_broken_for_good() {
            return;
        }
        actions.extend([Action::Step(0), Action::Step(1)]);
        for (index, transit) in state.transit.iter().enumerate() {
            actions.push(Action::Arrive(index));
            if state.may(state.lost) {
                actions.push(Action::Vanish(index));
                actions.extend(transit.awaited_by.map(Action::GiveUp));
            }
        }
        for worker in 0..2 {
            // Its request vanished, or its answer is lost on the way back.
            let vanished = state.awaits(worker) == Some(false) && !state.is_sending(worker);
            let lost = state.awaits(worker) == Some(true) && state.may(state.lost);
            actions.extend((vanished || lost).then_some(Action::GiveUp(worker)));
            let crash = state.may(state.crashes) && state.workers[worker].is_some();
            actions.extend(crash.then_some(Action::Crash(worker)));
        }
        if state.pending.is_some() {
            actions.push(Action::Effect);
        } else if state.may(state.outside) {
            actions.extend([Action::Outside(P), Action::Outside(S)]);
        }
        actions.extend(state.machine.is_some().then_some(Action::Report));
        if self.person {
            actions.extend([Action::Acknowledge(P), Action::Acknowledge(S)]);
        }
        if self.is_false && state.may(state.lies) {
            actions.extend([Action::Belie(P), Action::Belie(S)]);
        }
        if state.may_tick() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.make(&mut state, action).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.document.journal.failures().is_none_or(|failures| failures.count <= FAILURES)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always(CUT_OFF, |_, state: &State| !state.cut_off()),
            Property::<Self>::always(WITHOUT_LEASE, |_, state| {
                state.broken != Some(Broken::SentWithoutLease)
            }),
            Property::<Self>::always(HELD, |_, state| state.broken != Some(Broken::HeldRegenerated)),
            Property::<Self>::always(WITHIN_GRACE, |_, state| state.broken != Some(Broken::WithinGrace)),
            Property::<Self>::always("no event is illegal", |_, state| state.broken != Some(Broken::Illegal)),
            Property::<Self>::always("every run settles", Self::settles),
            Property::<Self>::sometimes(A_RUN_SETTLES, Self::is_settled),
        ];
        if self.is_false {
            // Else nothing would be said by that nobody else is.
            properties.push(Property::<Self>::sometimes(BELIED, |_, state| state.is_cut_off_by_a_word()));
        }
        properties
    }
}

impl Rules {
    /// Makes something happen; false if it changes nothing.
    pub(crate) fn make(&self, state: &mut State, action: Action) -> bool {
        state.happened += 1;
        match action {
            Action::Step(worker) => {
                if !worker::step(state, worker, self) {
                    return false;
                }
            }
            Action::Arrive(index) => state.arrive(index),
            Action::Vanish(index) => {
                state.transit.remove(index);
                state.lost += 1;
                state.faults -= 1;
            }
            Action::GiveUp(worker) => {
                let vanished = state.awaits(worker) == Some(false) && !state.is_sending(worker);
                state.lost += u8::from(!vanished);
                state.faults -= u8::from(!vanished);
                worker::give_up(state, worker, self);
            }
            Action::Effect => state.take_effect(),
            Action::Outside(key_type) => {
                state.regenerate(key_type, true);
                state.outside += 1;
                state.faults -= 1;
            }
            Action::Crash(worker) => {
                worker::crash(state, worker);
                state.crashes += 1;
                state.faults -= 1;
            }
            Action::Report => {
                if !state.report(self.person) {
                    return false;
                }
            }
            Action::Acknowledge(key_type) => {
                if !state.acknowledge(key_type, self.is_right) {
                    return false;
                }
            }
            Action::Belie(key_type) => {
                if !state.belie(key_type) {
                    return false;
                }
                state.lies += 1;
                state.faults -= 1;
            }
            Action::Tick => state.now += 1,
        }
        self.tidy(state);
        true
    }

    /// Takes a worker that was overtaken, and can do nothing any more before it learns that, for one that knows it.
    fn tidy(&self, state: &mut State) {
        if self.etags {
            let etag = state.document.etag;
            for worker in &mut state.workers {
                worker.take_if(|session| session.etag != etag && session.is_harmless());
            }
        }
        state.forget();
    }
}

#[test]
fn two_workers_cut_nobody_off_and_always_settle() {
    holds("two workers", Rules::real());
}

/// Each run asks and fails until the longest operation is over; then the keys tell how it ended.
#[test]
fn where_no_operation_can_be_asked_nobody_is_cut_off_and_all_settles() {
    holds("no operation can be asked", Rules { asks: false, faults: 1, ..Rules::real() });
}

/// A machine reports at any moment, and is waited for; and readers that nobody sees go on with a key for a while.
#[test]
fn beside_a_machine_that_reports_nobody_is_cut_off_and_all_settles() {
    for (readers, faults) in [(1, 0), (0, 1)] {
        let rules = Rules { machine: Some(readers), faults, ..Rules::real() };
        holds(&format!("a machine, readers for {readers}, faults {faults}"), rules);
    }
}

/// One app after the other, with a gate between: the first comes back, or is given the key that it had.
#[test]
fn a_wave_that_comes_back_or_is_rolled_back_cuts_nobody_off() {
    for gate_fails in [false, true] {
        let waves = [(world::app(0), 1)].into();
        let gate_after = std::time::Duration::from_secs(60 * u64::from(world::GATE_AFTER));
        let policy = Policy { waves, gate_after, ..worker::policy(GRACE) };
        let rules = Rules { policy, gate_fails, faults: 1, ..Rules::real() };
        holds(&format!("a gate that {}", if gate_fails { "fails" } else { "passes" }), rules);
    }
}

/// What the machine says is not gone by, and the key that it holds is regenerated.
#[test]
fn who_takes_no_notice_of_reports_cuts_a_machine_off() {
    counterexample(Rules { machine: Some(0), faults: 0, hears: false, ..Rules::real() }, HELD);
}

/// A person says what the machine holds, and that readers whom nobody sees have left a key, between any two requests.
#[test]
fn beside_a_person_who_acknowledges_nobody_is_cut_off_and_all_settles() {
    let rules = Rules { machine: Some(1), faults: 0, person: true, ..Rules::real() };
    holds("a person who acknowledges, readers for 1, no fault", rules);
}

/// Nobody but the machine of which a person says what is not so, and that with the one key that it held.
#[test]
fn beside_a_false_word_about_a_machine_nobody_else_is_cut_off_and_all_settles() {
    let rules = Rules { machine: Some(0), faults: 1, is_false: true, ..Rules::real() };
    holds("a false word about a machine", rules);
}

/// A person's word is gone by: readers that he says have left, and have not, are cut off.
#[test]
fn a_person_who_is_wrong_about_readers_cuts_them_off() {
    let rules = Rules { machine: Some(2), faults: 0, person: true, is_right: false, ..Rules::real() };
    counterexample(rules, WITHIN_GRACE);
}

/// Visits all states, in which every property is to hold.
fn holds(words: &str, rules: Rules) {
    let started = Instant::now();
    let checker = rules.checker().threads(2).spawn_bfs().join();
    eprintln!(
        "{words}: {} unique states, {} transitions, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f32()
    );
    checker.assert_properties();
}

/// Looks for a counterexample to a property where something is missing that keeps it.
fn counterexample(rules: Rules, property: &'static str) {
    let started = Instant::now();
    let found = HasDiscoveries::AnyOf([property].into());
    let checker = rules.checker().threads(2).finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(property).into_actions();
    eprintln!(
        "{property}: a counterexample of {} transitions among {} states, {:.1} s: {path:?}",
        path.len(),
        checker.unique_state_count(),
        started.elapsed().as_secs_f32()
    );
}

#[test]
fn without_the_grace_a_key_dies_under_its_clients() {
    counterexample(Rules { policy: worker::policy(0), ..Rules::real() }, WITHIN_GRACE);
}

/// Both workers write, and each acts on what the other does not know of.
#[test]
fn without_the_condition_on_the_version_both_are_at_work() {
    counterexample(Rules { etags: false, ..Rules::real() }, WITHOUT_LEASE);
}

/// A worker is frozen between its journal write and its act; another takes over, makes the key anew and hands it out;
/// the first thaws, and kills it.
#[test]
fn who_thaws_and_does_not_look_at_the_clock_kills_a_key_in_use() {
    for property in [WITHOUT_LEASE, HELD, CUT_OFF] {
        counterexample(Rules { checks_time: false, faults: 0, ..Rules::real() }, property);
    }
}
