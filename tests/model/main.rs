//! Two workers at once, every interleaving of them, by a model checker.
//!
//! The workers' requests are the transitions: reading the journal, listing the keys, reading the apps, the conditional
//! writes, sending a regeneration, its arrival at Azure, its answer, polling, probing, and a PUT for each app. What a
//! worker does between two requests is the real code: `plan::reconcile`, `plan::decide` and `Journal::apply`
//! (`worker.rs`). A frozen worker is one whose next request is a long time in coming, which is an ordinary
//! interleaving, whatever it was about to do.
//!
//! **Bounds.** One instance, two apps (all on one key, or split), two workers that begin as many passes as they like,
//! at most one crash, one regeneration from outside and one lost request or answer in a run. Time is not bounded:
//! ages end where no rule tells them apart any more (`canon.rs`), so that the states are finitely many, and all of
//! them are visited. It passes in ticks of a minute: a lease of 2, a grace of 2, a regeneration of at most 1, the
//! longest operation of 3.
//!
//! **Assumptions.** A worker looks at the clock and sends in one transition. A request that was sent arrives within a
//! tick or never. Azure refuses what overlaps. Nobody but the workers writes apps. `ARCHITECTURE.md` says what is left
//! where these do not hold.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may fail loudly, and tell their figures")]

mod canon;
mod settle;
mod worker;
mod world;

use std::time::Instant;

use settle::Settled;
use signalr_rekey::config::Policy;
use signalr_rekey::model::KeyType;
use stateright::{Checker, Model, Property};
use world::{Broken, GRACE, State};

const P: KeyType = KeyType::Primary;
const S: KeyType = KeyType::Secondary;

/// What the workers keep to, and what may happen to them.
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    /// Whether writes of the document are conditional.
    pub(crate) etags: bool,
    /// Whether a worker looks at the clock just before it sends.
    pub(crate) checks_time: bool,
    crashes: u8,
    outside: u8,
    lost: u8,
    settled: Settled,
}

impl Rules {
    fn real() -> Self {
        let policy = worker::policy(GRACE);
        Self { policy, etags: true, checks_time: true, crashes: 1, outside: 1, lost: 1, settled: Settled::default() }
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
    Tick,
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&[P, P]), State::new(&[P, S])]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        actions.extend([Action::Step(0), Action::Step(1)]);
        for (index, transit) in state.transit.iter().enumerate() {
            actions.push(Action::Arrive(index));
            if state.lost < self.lost {
                actions.push(Action::Vanish(index));
                actions.extend(transit.awaited_by.map(Action::GiveUp));
            }
        }
        for worker in 0..2 {
            // Its request vanished, or its answer is lost on the way back.
            let vanished = state.awaits(worker) == Some(false) && !state.is_sending(worker);
            let lost = state.awaits(worker) == Some(true) && state.lost < self.lost;
            actions.extend((vanished || lost).then_some(Action::GiveUp(worker)));
            let crash = state.crashes < self.crashes && state.workers[worker].is_some();
            actions.extend(crash.then_some(Action::Crash(worker)));
        }
        if state.pending.is_some() {
            actions.push(Action::Effect);
        } else if state.outside < self.outside {
            actions.extend([Action::Outside(P), Action::Outside(S)]);
        }
        if state.may_tick() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.make(&mut state, action).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("nobody is cut off", |_, state: &State| !state.cut_off()),
            Property::<Self>::always("nothing is sent without the lease", |_, state| {
                state.broken != Some(Broken::SentWithoutLease)
            }),
            Property::<Self>::always("no key is regenerated that an app holds", |_, state| {
                state.broken != Some(Broken::HeldRegenerated)
            }),
            Property::<Self>::always("no key is regenerated within its grace", |_, state| {
                state.broken != Some(Broken::WithinGrace)
            }),
            Property::<Self>::always("no event is illegal", |_, state| state.broken != Some(Broken::Illegal)),
            Property::<Self>::always("every run settles", |rules, state| rules.settles(state)),
            Property::<Self>::sometimes("a run is settled", |rules, state| rules.is_settled(state)),
        ]
    }
}

impl Rules {
    /// Makes something happen; false if it changes nothing.
    pub(crate) fn make(&self, state: &mut State, action: Action) -> bool {
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
            }
            Action::GiveUp(worker) => {
                let vanished = state.awaits(worker) == Some(false) && !state.is_sending(worker);
                state.lost += u8::from(!vanished);
                worker::give_up(state, worker, self);
            }
            Action::Effect => state.take_effect(),
            Action::Outside(key_type) => {
                state.regenerate(key_type, true);
                state.outside += 1;
            }
            Action::Crash(worker) => {
                worker::crash(state, worker);
                state.crashes += 1;
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
    let started = Instant::now();
    let b = |n: &str| std::env::var(n).ok().and_then(|v| v.parse().ok());
    let real = Rules::real();
    let rules = Rules { crashes: b("CR").unwrap_or(1), outside: b("OU").unwrap_or(1), lost: b("LO").unwrap_or(1), ..real };
    let checker = rules.checker().threads(2).timeout(std::time::Duration::from_secs(40)).spawn_bfs().join();
    eprintln!(
        "{} unique states, {} states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f32()
    );
    for (name, path) in checker.discoveries() {
        if name != "a run is settled" {
            let last = path.last_state();
            let seen = last.document.journal.history().map(|e| format!("    {} {}\n", e.at, e.event)).collect::<String>();
            eprintln!("{name}:\n{:?} {:?} {:?} {:?}\n{seen} {:?}", last.keys, last.pending, last.transit, last.apps, last.workers.iter().flatten().map(|w| &w.next).collect::<Vec<_>>());
            eprintln!("{}", told(path.into_actions()));
        }
    }
    checker.assert_properties();
}

fn told(actions: Vec<Action>) -> String {
    actions.iter().map(|action| format!("  {action:?}\n")).collect()
}
