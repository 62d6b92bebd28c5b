//! States that behave alike, taken for one: keys are renamed in the order in which they appear, times become ages that
//! end where no rule can tell them apart any more, and of a journal counts only what `decide` and `reconcile` read.

use rekey_core::journal::{Gate, Held, Journal, Origin};
use rekey_core::model::KeyType;

use super::worker::{After, Handout, Next, Session};
use super::world::{GATE_AFTER, GRACE, Id, LEASE, LONGEST, State, Tick, app, id_of, machine, tick};

/// What tells a state from others. The two workers are alike, so it does not matter which is which.
pub(crate) fn canonical(state: &State) -> Vec<u8> {
    [[0, 1], [1, 0]].map(|workers| Canon::of(state, workers)).into_iter().min().unwrap_or_default()
}

struct Canon<'a> {
    state: &'a State,
    /// The workers in the order in which they are taken.
    workers: [usize; 2],
    names: Vec<Id>,
    out: Vec<u8>,
}

impl Canon<'_> {
    fn of(state: &State, workers: [usize; 2]) -> Vec<u8> {
        let mut canon = Canon { state, workers, names: vec![], out: Vec::with_capacity(128) };
        canon.world();
        canon.journal(&state.document.journal);
        for worker in workers {
            canon.worker(state.workers[worker].as_deref());
        }
        canon.keys();
        canon.out
    }

    fn name(&self, worker: usize) -> u8 {
        u8::from(self.workers[0] != worker)
    }

    fn put(&mut self, value: impl Into<u8>) {
        self.out.push(value.into());
    }

    fn key(&mut self, id: Id) {
        let known = self.names.iter().position(|name| *name == id);
        let position = known.unwrap_or_else(|| {
            self.names.push(id);
            self.names.len() - 1
        });
        self.put(u8::try_from(position).unwrap());
    }

    fn key_type(&mut self, key_type: KeyType) {
        self.put(key_type == KeyType::Secondary);
    }

    /// How long ago something was, as far as it matters: `most` and all that is longer are the same.
    fn age(&mut self, since: Tick, most: Tick) {
        self.put(u8::try_from((self.state.now - since).min(most)).unwrap());
    }

    fn world(&mut self) {
        let state = self.state;
        self.key(state.keys.primary);
        self.key(state.keys.secondary);
        match &state.pending {
            None => self.put(0),
            Some(pending) => {
                self.put(1 + u8::from(pending.outside));
                self.key_type(pending.key_type);
                self.key(pending.old);
                self.age(pending.since, 9);
            }
        }
        self.put(u8::try_from(state.transit.len()).unwrap());
        for transit in &state.transit {
            self.key_type(transit.key_type);
            self.age(transit.sent, 9);
            self.put(transit.awaited_by.map_or(9, |worker| self.name(worker)));
        }
        for app in &state.apps {
            self.key(app.key);
            self.put(app.excused);
        }
        if let Some(machine) = &state.machine {
            self.key(machine.key);
            self.put(machine.excused);
            self.put(state.belied);
        }
        // An expired lease is none.
        match state.document.lease.filter(|(_, expires)| *expires > state.now) {
            None => self.put(0),
            Some((worker, expires)) => {
                self.put(1 + self.name(worker));
                self.put(u8::try_from(expires - state.now).unwrap());
            }
        }
        self.out.extend([
            state.crashes,
            state.outside,
            state.lost,
            state.lies,
            state.faults,
            state.broken.map_or(9, |broken| broken as u8),
        ]);
    }

    fn journal(&mut self, journal: &Journal) {
        match journal.report(&machine().id) {
            None => self.put(255),
            Some(report) => self.key(id_of(&report.fingerprint)),
        }
        let Some(keys) = journal.keys() else { return self.put(0) };
        self.put(1 + u8::from(journal.is_unrepaired()));
        for (_, record) in keys.iter() {
            self.key(id_of(&record.fingerprint));
            // Only of a key that nobody vouches for it matters how old it is.
            if !record.verified && record.origin != Origin::FirstSeen {
                self.age(tick(record.created), LONGEST);
            }
            self.put(match record.origin {
                Origin::Ours => 0,
                Origin::Outside => 1,
                Origin::FirstSeen => 2,
            });
            self.out.extend([u8::from(record.confirmed), u8::from(record.verified)]);
            match &record.refusal {
                None => self.put(0),
                Some(refusal) => {
                    // Blocked, or not yet: how long after the key was made it was refused.
                    self.put(1);
                    self.age(tick(refusal.at), 1);
                    let after = tick(refusal.at) - tick(record.created);
                    self.put(u8::try_from(after.min(LONGEST + 1)).unwrap());
                }
            }
            match record.held {
                Held::Never => self.put(0),
                Held::Now => self.put(1),
                Held::Left(at) => {
                    self.put(2);
                    self.age(tick(at), GRACE + self.state.readers);
                }
                Held::Unknown(at) => {
                    self.put(3);
                    self.age(tick(at), GRACE + self.state.readers);
                }
            }
            // What a person said of readers counts if it was said since the key was left, and the earlier the sooner.
            match journal.readers_left(&app(0), &record.fingerprint) {
                None => self.put(0),
                Some(told) => {
                    let left = match record.held {
                        Held::Left(at) | Held::Unknown(at) => Some(at),
                        Held::Never | Held::Now => None,
                    };
                    self.put(1 + u8::from(left.is_some_and(|left| left <= told.at)));
                    self.age(tick(told.at), GRACE + self.state.readers);
                }
            }
            // How long somebody is waited for changes what is told, and nothing that is done.
            self.put(record.awaited.is_some());
        }
        match journal.in_flight() {
            None => self.put(0),
            Some(flight) => {
                self.put(1 + u8::from(flight.operation.is_some()));
                self.key_type(flight.key_type);
                self.key(id_of(&flight.prior));
                self.age(tick(flight.intended), LONGEST);
                match &flight.promised {
                    None => self.put(255),
                    Some(promised) => self.key(id_of(promised)),
                }
            }
        }
        // Which key is newer, and newer than the request, matters however long ago it was.
        let created = [keys.primary.created, keys.secondary.created];
        self.put(created[0].cmp(&created[1]) as u8);
        for created in created {
            self.put(journal.requested().map_or(9, |requested| created.cmp(&requested) as u8));
        }
        match journal.failures() {
            None => self.put(0),
            Some(failures) => {
                self.put(u8::try_from(failures.count).unwrap());
                self.age(tick(failures.at), 1 << failures.count.min(7));
            }
        }
        self.put(journal.is_blind());
        match journal.wave() {
            None => self.put(0),
            Some(wave) => {
                // Its number says who is in it.
                self.put(u8::try_from(wave.number).unwrap());
                self.key_type(wave.to);
                self.age(tick(wave.moved), GATE_AFTER);
                self.put(match wave.gate {
                    Gate::Open => 0,
                    Gate::Passed { .. } => 1,
                    Gate::Failed { .. } => 2,
                });
            }
        }
        match journal.repair() {
            None => self.put(0),
            Some(repair) => {
                self.put(1 + u8::from(repair.failed.is_some()));
                self.age(tick(repair.moved), GATE_AFTER);
            }
        }
    }

    fn worker(&mut self, session: Option<&Session>) {
        let Some(session) = session else { return self.put(0) };
        let current = session.etag == self.state.document.etag;
        self.put(1 + u8::from(current));
        match session.leased {
            None => self.put(255),
            Some(_) if session.writes_next() => self.put(254),
            Some(leased) => self.age(leased, LEASE),
        }
        match session.keys {
            None => self.put(255),
            Some((keys, at)) => {
                self.key(keys.primary);
                self.key(keys.secondary);
                self.age(at, 1);
            }
        }
        match &session.apps {
            None => self.put(255),
            Some((apps, at)) => {
                apps.iter().for_each(|app| self.key(*app));
                self.age(*at, 1);
            }
        }
        if std::sync::Arc::ptr_eq(&session.journal, &self.state.document.journal) {
            self.put(7);
        } else {
            self.journal(&session.journal);
        }
        self.next(&session.next);
    }

    fn next(&mut self, next: &Next) {
        match next {
            Next::ListKeys { and_apps } => self.put(u8::from(*and_apps)),
            Next::ReadApps => self.put(2),
            Next::Take => self.put(3),
            Next::Commit(after) => {
                self.put(4);
                match after {
                    After::Decide => self.put(0),
                    After::Send(key_type) => {
                        self.put(1);
                        self.key_type(*key_type);
                    }
                    After::Put(handout) => {
                        self.put(2);
                        self.handout(handout);
                    }
                    After::Poll => self.put(3),
                    After::Release => self.put(4),
                }
            }
            Next::Send(key_type) => {
                self.put(5);
                self.key_type(*key_type);
            }
            Next::Await { key_type, answer } => {
                self.put(6);
                self.key_type(*key_type);
                match answer {
                    None => self.put(254),
                    Some(None) => self.put(255),
                    Some(Some(key)) => self.key(*key),
                }
            }
            Next::Put(handout) => {
                self.put(7);
                self.handout(handout);
            }
            Next::Poll => self.put(8),
            Next::Finish => self.put(9),
            Next::Probe(key_type) => {
                self.put(10);
                self.key_type(*key_type);
            }
            Next::Release => self.put(11),
        }
    }

    fn handout(&mut self, handout: &Handout) {
        self.key_type(handout.to);
        self.key(handout.key);
        self.put(handout.repaired);
        self.put(u8::try_from(handout.apps.len()).unwrap());
        self.out.extend(handout.apps.iter().map(|app| u8::try_from(*app).unwrap()));
    }

    /// What is true of the keys that were named.
    fn keys(&mut self) {
        for id in self.names.clone() {
            self.put(self.state.killed.contains(&id));
            match self.state.left.get(&id) {
                None => self.put(255),
                Some(left) => self.age(*left, GRACE + self.state.readers),
            }
            match self.state.readers_left.get(&id) {
                None => self.put(255),
                Some(left) => self.age(*left, GRACE + self.state.readers),
            }
        }
    }
}
