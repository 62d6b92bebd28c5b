//! A worker: `pass.rs` cut into single requests, with the real `reconcile`, `decide` and `Journal::apply` in between.

use std::sync::Arc;

use rekey_core::journal::{AfterGate, Event, Journal};
use rekey_core::model::{KeyType, OperationUrl, PerKey};
use rekey_core::plan::{self, Decision, Gated, Step};
use rekey_core::policy::Policy;

use super::Rules;
use super::world::{
    ARRIVES, Broken, Id, LEASE, MAY_SEND, State, Tick, fingerprint, id_of, index_of, snapshot_beside,
};

/// A run under way.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// As it was read, with what was recorded since.
    pub(crate) journal: Arc<Journal>,
    pub(crate) etag: u32,
    /// When the lease was last written.
    pub(crate) leased: Option<Tick>,
    pub(crate) keys: Option<(PerKey<Id>, Tick)>,
    pub(crate) apps: Option<(Vec<Id>, Tick)>,
    pub(crate) next: Next,
}

/// The next request of a run.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    ListKeys {
        and_apps: bool,
    },
    ReadApps,
    Take,
    /// Writes the journal on condition, and goes on.
    Commit(After),
    Send(KeyType),
    /// Waits for the answer: nothing yet, or the new key, or a refusal.
    Await {
        key_type: KeyType,
        answer: Option<Option<Id>>,
    },
    Put(Handout),
    Poll,
    /// Lists the keys to see what became of an operation that ended.
    Finish,
    Probe(KeyType),
    Release,
}

/// What follows a commit.
#[derive(Clone, Debug)]
pub(crate) enum After {
    Decide,
    Send(KeyType),
    Put(Handout),
    Poll,
    Release,
}

/// A repoint: a key on its way into apps.
#[derive(Clone, Debug)]
pub(crate) struct Handout {
    pub(crate) to: KeyType,
    pub(crate) key: Id,
    pub(crate) apps: Vec<usize>,
    pub(crate) repaired: bool,
}

/// Makes the next request of a worker; false if nothing changes by it.
pub(crate) fn step(state: &mut State, worker: usize, rules: &Rules) -> bool {
    let Some(session) = state.workers[worker].take() else { return begin(state, worker) };
    let mut pass = Pass { state, rules, worker, session };
    match pass.request() {
        Then::Goes => {
            let Pass { state, session, .. } = pass;
            state.workers[worker] = Some(session);
            true
        }
        Then::Ends => true,
        Then::Waits => {
            let Pass { state, session, .. } = pass;
            state.workers[worker] = Some(session);
            false
        }
    }
}

/// Reads the journal, unless another is at work.
fn begin(state: &mut State, worker: usize) -> bool {
    if state.document.lease.is_some_and(|(_, expires)| expires > state.now) {
        return false;
    }
    let (journal, etag) = (Arc::clone(&state.document.journal), state.document.etag);
    let next = Next::ListKeys { and_apps: true };
    state.workers[worker] =
        Some(Box::new(Session { journal, etag, leased: None, keys: None, apps: None, next }));
    true
}

enum Then {
    Goes,
    Waits,
    Ends,
}

struct Pass<'a> {
    state: &'a mut State,
    rules: &'a Rules,
    worker: usize,
    session: Box<Session>,
}

impl Pass<'_> {
    fn request(&mut self) -> Then {
        match self.session.next.clone() {
            Next::ListKeys { and_apps } => {
                self.list_keys();
                if and_apps { self.go(Next::ReadApps) } else { self.decide() }
            }
            Next::ReadApps => {
                let apps = self.state.apps.iter().map(|app| app.key).collect();
                self.session.apps = Some((apps, self.state.now));
                if self.session.leased.is_some() { self.decide() } else { self.take_unless_idle() }
            }
            Next::Take => {
                if self.write(true) {
                    self.decide()
                } else {
                    Then::Ends
                }
            }
            Next::Commit(after) => {
                if self.write(true) {
                    self.after(after)
                } else {
                    Then::Ends
                }
            }
            Next::Send(key_type) => self.send(key_type),
            Next::Await { answer: None, .. } => Then::Waits,
            Next::Await { answer: Some(answer), .. } => self.answered(answer),
            Next::Put(handout) => self.put(handout),
            Next::Poll => self.poll(),
            Next::Finish => self.finish(),
            Next::Probe(key_type) => self.probe(key_type),
            Next::Release => {
                self.write(false);
                Then::Ends
            }
        }
    }

    fn go(&mut self, next: Next) -> Then {
        self.session.next = next;
        Then::Goes
    }

    fn after(&mut self, after: After) -> Then {
        match after {
            After::Decide => self.decide(),
            After::Send(key_type) => self.go(Next::Send(key_type)),
            After::Put(handout) => self.go(Next::Put(handout)),
            After::Poll => self.go(Next::Poll),
            After::Release => self.go(Next::Release),
        }
    }

    /// A conditional write, which takes, renews or gives back the lease; false if somebody else wrote in between.
    fn write(&mut self, lease: bool) -> bool {
        if self.rules.etags && self.session.etag != self.state.document.etag {
            return false;
        }
        self.state.written += 1;
        let document = &mut self.state.document;
        document.journal = Arc::clone(&self.session.journal);
        document.lease = lease.then_some((self.worker, self.state.now + LEASE));
        document.etag = self.state.written;
        self.session.etag = self.state.written;
        self.session.leased = Some(self.state.now);
        true
    }

    fn record(&mut self, event: Event) {
        if Arc::make_mut(&mut self.session.journal).apply(event, self.state.time()).is_err() {
            self.state.breaks(Broken::Illegal);
        }
    }

    /// `decide` does not ask when a check was taken; that it is young enough is the caller's part.
    fn seen(&self) -> plan::Snapshot {
        let (keys, apps) = (self.session.keys.unwrap().0, &self.session.apps.as_ref().unwrap().0);
        let mut seen = snapshot_beside(self.state, keys, apps, &self.session.journal);
        if !self.rules.hears {
            seen.consumers.retain(|consumer| !consumer.at.app.is_external());
            seen.unknown.clear();
        }
        seen
    }

    fn list_keys(&mut self) {
        self.session.keys = Some((self.state.keys, self.state.now));
    }

    /// `Pass::try_run`: who has nothing to record and nothing to do takes no lease.
    fn take_unless_idle(&mut self) -> Then {
        let seen = self.seen();
        let (journal, now) = (&self.session.journal, self.state.time());
        let nothing_new = plan::reconcile(&seen, journal, &self.rules.policy, now).is_empty();
        let acts = || matches!(plan::decide(&seen, journal, &self.rules.policy, now), Decision::Do(_));
        if nothing_new && !acts() { Then::Ends } else { self.go(Next::Take) }
    }

    /// `Pass::work`: the part between two requests.
    fn decide(&mut self) -> Then {
        let (seen, now, time) = (self.seen(), self.state.now, self.state.time());
        for event in plan::reconcile(&seen, &self.session.journal, &self.rules.policy, time) {
            self.record(event);
        }
        let next = match plan::decide(&seen, &self.session.journal, &self.rules.policy, time) {
            Decision::Do(Step::Regenerate(_)) if self.session.oldest() < now => {
                Next::ListKeys { and_apps: true }
            }
            Decision::Do(Step::Regenerate(key_type)) => {
                self.record(Event::RegenerationIntended { key_type });
                Next::Commit(After::Send(key_type))
            }
            Decision::Do(Step::Repoint { .. }) if self.session.keys.unwrap().1 < now => {
                Next::ListKeys { and_apps: false }
            }
            Decision::Do(Step::Repoint { to, consumers, repair, part }) => {
                let begun = plan::begun((part, repair), to, &consumers, &self.rules.policy);
                begun.into_iter().for_each(|event| self.record(event));
                self.record(Event::RepointIntended { key_type: to });
                let apps = consumers.iter().map(index_of).collect();
                let key = self.session.keys.unwrap().0[to];
                Next::Commit(After::Put(Handout { to, key, apps, repaired: repair }))
            }
            Decision::Do(Step::Follow(_)) => Next::Poll,
            Decision::Do(Step::Verify(key_type)) => Next::Probe(key_type),
            // Of a wave that ended with one of its keys: nothing follows from how it is.
            Decision::Do(Step::Gate(Gated::Repaired)) => {
                self.record(Event::RepairPassed {});
                Next::Commit(After::Decide)
            }
            Decision::Do(Step::Gate(Gated::Wave(number))) => {
                let (detail, then) = (String::new(), AfterGate::RollBack);
                let fails = self.rules.gate_fails && number == 1;
                let failed = Event::GateFailed { number, detail, then };
                self.record(if fails { failed } else { Event::GatePassed { number, left: vec![] } });
                Next::Commit(After::Decide)
            }
            Decision::Waiting { .. } | Decision::Blocked(_) | Decision::Settled { .. } => Next::Release,
        };
        self.go(next)
    }

    /// Whether a worker that looks at the clock just before it sends lets it be.
    fn is_late(&self, bound: Tick) -> bool {
        self.rules.checks_time && self.session.leased.unwrap() + bound <= self.state.now
    }

    fn send(&mut self, key_type: KeyType) -> Then {
        let old_look = self.rules.checks_time && self.session.oldest() + MAY_SEND <= self.state.now;
        if self.is_late(MAY_SEND) || old_look {
            self.record(Event::RegenerationFailed { detail: String::new(), lasting: false });
            return self.go(Next::Commit(After::Release));
        }
        if !self.state.is_leased_to(self.worker) {
            self.state.breaks(Broken::SentWithoutLease);
        }
        let (sent, awaited_by) = (self.state.now, Some(self.worker));
        self.state.transit.push(super::world::Transit { key_type, sent, awaited_by });
        self.go(Next::Await { key_type, answer: None })
    }

    fn answered(&mut self, answer: Option<Id>) -> Then {
        let event = match answer {
            Some(key) => {
                let operation = Some(OperationUrl::location("https://operation"));
                Event::RegenerationAccepted { operation, promised: Some(fingerprint(key)) }
            }
            None => Event::RegenerationFailed { detail: "409".into(), lasting: false },
        };
        self.record(event);
        self.go(Next::Commit(After::Decide))
    }

    /// One PUT. It takes effect at once here, so it may be as late as one that is sent in time may arrive.
    fn put(&mut self, mut handout: Handout) -> Then {
        if self.is_late(MAY_SEND + ARRIVES) {
            return self.go(Next::Release);
        }
        if !self.state.is_leased_to(self.worker) {
            self.state.breaks(Broken::SentWithoutLease);
        }
        let app = handout.apps.remove(0);
        self.state.put(app, handout.key);
        let (apps, _) = self.session.apps.as_mut().unwrap();
        apps[app] = handout.key;
        if !handout.apps.is_empty() {
            return self.go(Next::Put(handout));
        }
        self.record(Event::Repointed { key_type: handout.to, apps: vec![], repaired: handout.repaired });
        self.decide()
    }

    fn poll(&mut self) -> Then {
        if !self.rules.asks {
            return self.cannot_ask();
        }
        let promised =
            self.session.journal.in_flight().and_then(|flight| flight.promised.as_ref()).map(id_of);
        let running = self
            .state
            .pending
            .as_ref()
            .is_some_and(|pending| Some(self.state.keys[pending.key_type]) == promised);
        if !running {
            return self.go(Next::Finish);
        }
        // `Lease::keep`: renewed when half of it is gone.
        if self.session.leased.unwrap() < self.state.now {
            self.go(Next::Commit(After::Poll))
        } else {
            Then::Waits
        }
    }

    /// The run fails, unless the operation should long have told how it ended.
    fn cannot_ask(&mut self) -> Then {
        let now = self.state.time();
        let flight = self
            .session
            .journal
            .in_flight()
            .filter(|flight| plan::is_overdue(flight, &self.rules.policy, now));
        if flight.is_none() {
            return self.go(Next::Release);
        }
        self.record(Event::OperationLost {});
        self.list_keys();
        self.go(Next::Commit(After::Decide))
    }

    fn finish(&mut self) -> Then {
        self.list_keys();
        if let Some(flight) = self.session.journal.in_flight() {
            let found = fingerprint(self.state.keys[flight.key_type]);
            let event = if found == flight.prior {
                Event::RegenerationFailed { detail: "unchanged".into(), lasting: false }
            } else {
                Event::Regenerated { fingerprint: found, confirmed: true }
            };
            self.record(event);
        }
        self.decide()
    }

    fn probe(&mut self, key_type: KeyType) -> Then {
        let accepted = self.state.works(self.session.keys.unwrap().0[key_type]);
        let refused = Event::VerificationRefused { key_type, detail: "401".into() };
        self.record(if accepted { Event::Verified { key_type } } else { refused });
        if self.session.leased.unwrap() < self.state.now {
            self.go(Next::Commit(After::Decide))
        } else {
            self.decide()
        }
    }
}

impl Session {
    fn oldest(&self) -> Tick {
        self.keys.unwrap().1.min(self.apps.as_ref().unwrap().1)
    }

    pub(crate) fn answered(&mut self, answer: Option<Id>) {
        if let Next::Await { answer: slot, .. } = &mut self.next {
            *slot = Some(answer);
        }
    }

    /// The keys that this worker may still hand out.
    pub(crate) fn keys_in_hand(&self) -> Vec<Id> {
        let put = match &self.next {
            Next::Put(handout) | Next::Commit(After::Put(handout)) => Some(handout.key),
            _ => None,
        };
        let listed = self.keys.iter().flat_map(|(keys, _)| [keys.primary, keys.secondary]);
        listed.chain(put).collect()
    }

    /// Whether the lease is written anew before its age matters.
    pub(crate) fn writes_next(&self) -> bool {
        matches!(self.next, Next::Take | Next::Commit(_) | Next::Await { .. } | Next::Release)
    }

    /// Whether nothing that this worker will do has an effect any more, once somebody else wrote the document: it can
    /// only read, and fails at its next write.
    pub(crate) fn is_harmless(&self) -> bool {
        !matches!(self.next, Next::Send(_) | Next::Await { .. } | Next::Put(_))
    }
}

/// The client gives up waiting for the answer; nobody knows the outcome, and the run goes on.
pub(crate) fn give_up(state: &mut State, worker: usize, rules: &Rules) {
    let Some(session) = state.workers[worker].take() else { return };
    disown(state, worker);
    let mut pass = Pass { state, rules, worker, session };
    pass.decide();
    let Pass { state, session, .. } = pass;
    state.workers[worker] = Some(session);
}

/// The process is killed.
pub(crate) fn crash(state: &mut State, worker: usize) {
    state.workers[worker] = None;
    disown(state, worker);
}

fn disown(state: &mut State, worker: usize) {
    state.transit.iter_mut().filter(|t| t.awaited_by == Some(worker)).for_each(|t| t.awaited_by = None);
}

/// The times of the model in a real policy.
pub(crate) fn policy(grace: Tick) -> Policy {
    let minutes = |ticks: Tick| std::time::Duration::from_secs(60 * u64::from(ticks));
    Policy {
        grace: minutes(grace),
        longest_operation: minutes(super::world::LONGEST),
        rotate_every: minutes(1_000_000),
        ..Policy::default()
    }
}
