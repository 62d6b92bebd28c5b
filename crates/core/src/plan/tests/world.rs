//! A world in which anything may happen: Azure, apps, people, and a process of ours that may be killed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::evidence;
use crate::intent::{Cause, RotationRequest};
use crate::journal::InFlight;
use crate::policy::ApprovalPolicy;

/// What happens to a world between two of our steps, or to a run of ours.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// A run of up to so many steps; then the process is killed.
    Pass {
        steps: usize,
        kill: Kill,
    },
    Time(i64),
    Outside(KeyType),
    Edit {
        app: usize,
        to: KeyType,
        /// It keeps what it holds besides.
        beside: bool,
    },
    Readable {
        app: usize,
        readable: bool,
    },
    Delete {
        app: usize,
    },
    /// It gets another id, under which nobody looks for it, and goes on with what it holds; or it is named by its new id.
    Rename {
        app: usize,
        named: bool,
    },
    Request {
        compromised: bool,
    },
    /// Whether the URLs of operations can be asked.
    Askable(bool),
    /// A person forgets what stands in the way.
    Unblock,
    /// Who only others can change takes the key that an app holds, or is asked to take; and says so, or not yet.
    Fetch {
        external: usize,
        reports: bool,
    },
    /// It says what it holds; or a person does, who is right.
    Report {
        external: usize,
        by_a_person: bool,
    },
    /// It is not well any more, whichever of the valid keys it holds; or well again.
    Ill {
        app: usize,
        ill: bool,
    },
    /// A person says that whoever reads what the apps hold, and is not seen, has left this key.
    ReadersLeft {
        reader: usize,
        key_type: KeyType,
    },
    /// A person lets rotations rest for so long, or no more.
    Pause(i64),
    Resume,
    /// A person approves the rotation that waits for him, if one does.
    Approve,
    /// It is announced that somebody will regenerate a key; who holds it is to be moved away.
    Announce {
        key_type: KeyType,
        ahead: i64,
    },
}

/// Where in a regeneration the process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kill {
    No,
    BeforeSend,
    BeforeAnswer,
    AfterRepointOf(usize),
}

/// Azure and its apps, as far as keys go. Keys are numbers; each is made once.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: DateTime<Utc>,
    keys: PerKey<u64>,
    /// The regeneration that has not taken effect: key type, the key that still works, when it ends.
    pending: Option<(KeyType, u64, DateTime<Utc>)>,
    /// Whether that was started from outside.
    pending_outside: bool,
    listed_at_once: bool,
    pub(super) askable: bool,
    pub(super) apps: Vec<WorldApp>,
    last_held: BTreeMap<u64, DateTime<Utc>>,
    made: u64,
    /// The keys that were there when they were reported as compromised.
    compromised: BTreeSet<u64>,
    /// Those that only others can change.
    pub(super) externals: Vec<WorldExternal>,
    /// How long readers that nobody sees may go on with a key that the apps have left: those of one consumer and of another.
    pub(super) readers_within: [Duration; 2],
    /// When those of one have left a key sooner.
    readers_left: BTreeMap<(usize, u64), DateTime<Utc>>,
    paused_until: DateTime<Utc>,
    /// The keys whose rotation was approved.
    approved: BTreeSet<u64>,
    pub(super) journal: Journal,
    /// The documents that were written.
    evidence: evidence::Found,
    pub(super) policy: Policy,
}

#[derive(Clone, Debug)]
pub(super) struct WorldApp {
    /// Its one consumer may hold several.
    pub(super) keys: BTreeSet<u64>,
    pub(super) readable: bool,
    pub(super) deleted: bool,
    /// It is not found under the id that is configured.
    pub(super) renamed: bool,
    /// It does not answer, for a reason that is not its key.
    pub(super) ill: bool,
    /// An outside regeneration took its key: it may be failing until it is repaired.
    excused: bool,
}

#[derive(Clone, Debug)]
pub(super) struct WorldExternal {
    pub(super) holds: u64,
    /// An outside regeneration took its key, or it has said too late which it took.
    excused: bool,
}

/// The names of those that only others can change: the first reports by itself.
pub(super) fn external(n: usize) -> ConsumerId {
    if n == 0 { "reporter:iis" } else { "manual:gateway" }.parse().unwrap()
}

/// How long those may take: an hour, and a week.
fn externals(count: usize) -> Vec<External> {
    let within = |n| Duration::from_secs(if n == 0 { 3600 } else { 7 * 86_400 });
    let one = |n| External { id: external(n), within: within(n), owner: None, ticket: None };
    (0..count).map(one).collect()
}

impl World {
    pub(super) fn new(holds: &[KeyType], listed_at_once: bool, first_rotation: FirstRotation) -> Self {
        let keys = PerKey { primary: 1, secondary: 2 };
        let app = |key_type: &KeyType| WorldApp {
            keys: BTreeSet::from([keys[*key_type]]),
            readable: true,
            deleted: false,
            renamed: false,
            ill: false,
            excused: false,
        };
        let start = at(1_000_000);
        Self {
            now: start,
            keys,
            pending: None,
            pending_outside: false,
            listed_at_once,
            askable: true,
            apps: holds.iter().map(app).collect(),
            last_held: BTreeMap::from([(1, start), (2, start)]),
            made: 2,
            compromised: BTreeSet::new(),
            externals: Vec::new(),
            readers_within: [Duration::ZERO; 2],
            readers_left: BTreeMap::new(),
            paused_until: start,
            approved: BTreeSet::new(),
            journal: Journal::default(),
            evidence: evidence::Found::new(),
            policy: Policy { first_rotation, ..policy() },
        }
    }

    /// The same with some that only others can change, which hold these keys, and with readers that nobody sees.
    pub(super) fn with(mut self, holds: &[KeyType], readers_within: [i64; 2]) -> Self {
        let one = |key_type: &KeyType| WorldExternal { holds: self.keys[*key_type], excused: false };
        self.externals = holds.iter().map(one).collect();
        self.readers_within = readers_within.map(|within| Duration::from_secs(within.unsigned_abs()));
        self
    }

    pub(super) fn externals_of_config(&self) -> Vec<External> {
        externals(self.externals.len())
    }

    /// Whether what is on record of one is what it holds.
    fn is_on_record(&self, n: usize) -> bool {
        let report = self.journal.report(&external(n));
        report.is_some_and(|report| report.fingerprint == fingerprint(&self.externals[n].holds.to_string()))
    }

    /// Those who hold what is on record of them.
    fn reported(&self) -> impl Iterator<Item = &WorldExternal> {
        self.externals.iter().enumerate().filter(|(n, _)| self.is_on_record(*n)).map(|(_, one)| one)
    }

    fn listed(&self, key_type: KeyType) -> u64 {
        match self.pending {
            Some((pending, old, _)) if pending == key_type && !self.listed_at_once => old,
            _ => self.keys[key_type],
        }
    }

    pub(super) fn works(&self, key: u64) -> bool {
        KeyType::ALL.into_iter().any(|key_type| match self.pending {
            Some((pending, old, _)) if pending == key_type => old == key,
            _ => self.keys[key_type] == key,
        })
    }

    pub(super) fn all_work(&self, app: &WorldApp) -> bool {
        app.keys.iter().all(|key| self.works(*key))
    }

    pub(super) fn pass_time(&mut self, seconds: i64) {
        let of_apps = self.apps.iter().filter(|app| !app.deleted).flat_map(|app| app.keys.iter().copied());
        let held: Vec<u64> = of_apps.chain(self.reported().map(|one| one.holds)).collect();
        for key in held {
            self.last_held.insert(key, self.now + TimeDelta::seconds(seconds));
        }
        self.now += TimeDelta::seconds(seconds);
        if let Some((_, old, _)) = self.pending.take_if(|(_, _, end)| *end <= self.now)
            && self.pending_outside
        {
            self.apps.iter_mut().filter(|app| app.keys.contains(&old)).for_each(|app| app.excused = true);
            self.externals.iter_mut().filter(|one| one.holds == old).for_each(|one| one.excused = true);
        }
        self.nobody_is_cut_off();
    }

    fn nobody_is_cut_off(&self) {
        for app in self.apps.iter().filter(|app| !app.deleted && !app.excused) {
            assert!(self.all_work(app), "an app was cut off: {self:#?}");
        }
        for one in self.reported().filter(|one| !one.excused) {
            assert!(self.works(one.holds), "who only others can change was cut off: {self:#?}");
        }
    }

    /// Azure's operation; refused while another runs.
    fn start_regeneration(&mut self, key_type: KeyType) -> bool {
        if self.pending.is_some() {
            return false;
        }
        self.made += 1;
        let old = std::mem::replace(&mut self.keys[key_type], self.made);
        self.pending = Some((key_type, old, self.now + TimeDelta::seconds(75)));
        self.pending_outside = false;
        true
    }

    fn outside(&mut self, key_type: KeyType) {
        if self.start_regeneration(key_type) {
            self.pending_outside = true;
            self.last_held.insert(self.keys[key_type], self.now);
        }
    }

    pub(super) fn look(&self) -> Snapshot {
        let name = |key: u64| key.to_string();
        let holding = |key: u64| match KeyType::ALL.into_iter().find(|key_type| self.listed(*key_type) == key)
        {
            Some(key_type) => Holding::Valid(key_type),
            None => Holding::Stale(fingerprint(&name(key))),
        };
        let there = || self.apps.iter().enumerate().filter(|(_, app)| !app.deleted);
        let unreadable = |n| Unknown::Unreadable { app: app(n), detail: "403".into(), passing: false };
        let keys = PerKey::from_fn(|key_type| fingerprint(&name(self.listed(key_type))));
        let renamed = |n| match self.journal.seen(&app(n)) {
            Some(held) => {
                let whereabouts = Whereabouts::Unclear("403".into());
                let either = keys.iter().filter(|_| self.journal.is_blurred(&app(n))).map(|(_, key)| key);
                let held = held.iter().chain(either).cloned().collect();
                Unknown::Vanished { app: app(n), whereabouts, held }
            }
            None => Unknown::NeverSeen { app: app(n), meant: None },
        };
        let fingerprints = |app: &WorldApp| {
            let held: BTreeSet<_> = app.keys.iter().map(|key| fingerprint(&name(*key))).collect();
            held.into_iter().collect()
        };
        let seen = || there().filter(|(_, a)| a.readable && !a.renamed);
        let blurred = there()
            .filter(|(n, a)| !a.readable && !a.renamed && self.journal.seen(&app(*n)).is_some())
            .map(|(n, _)| app(n))
            .collect();
        let unknown = there().filter_map(|(n, a)| match (a.renamed, a.readable) {
            (true, _) => Some(renamed(n)),
            (false, false) => Some(unreadable(n)),
            (false, true) => None,
        });
        let mut snapshot = Snapshot {
            consumers: seen()
                .flat_map(|(n, a)| a.keys.iter().map(move |key| (n, *key)))
                .map(|(n, key)| consumer(n, holding(key)))
                .collect(),
            unknown: unknown.collect(),
            seen: seen().map(|(n, a)| (app(n), fingerprints(a))).collect(),
            blurred,
            readers_within: self
                .readers_within
                .into_iter()
                .enumerate()
                .map(|(n, within)| (app(n), within))
                .collect(),
            ..Snapshot::of_keys(self.now, keys.clone())
        };
        snapshot.add_external(self.externals_of_config(), &self.journal);
        snapshot
    }

    fn remember(&mut self, seen: &Snapshot) {
        for event in reconcile(seen, &self.journal, &self.policy, self.now) {
            self.record(event);
        }
    }

    fn record(&mut self, event: Event) {
        self.journal.apply(event, self.now).unwrap();
    }

    /// Up to `steps` steps of a run; the last decision.
    pub(super) fn pass(&mut self, steps: usize, kill: Kill) -> Decision {
        for _ in 0..steps {
            self.pass_time(1);
            let seen = self.look();
            self.remember(&seen);
            match decide(&seen, &self.journal, &self.policy, self.now) {
                Decision::Do(step) => {
                    if self.act(step, kill) {
                        break;
                    }
                }
                end => {
                    self.ends_well_only_if_all_is_seen(&end);
                    self.prove(&end);
                    return end;
                }
            }
        }
        decide(&self.look(), &self.journal, &self.policy, self.now)
    }

    /// Invariant 11, read off the world and not off what was seen of it.
    fn ends_well_only_if_all_is_seen(&self, end: &Decision) {
        if matches!(end, Decision::Settled { .. } | Decision::Waiting { .. }) {
            let out_of_sight = |app: &&WorldApp| !app.deleted && (!app.readable || app.renamed);
            assert!(
                self.apps.iter().find(out_of_sight).is_none(),
                "{end:?}, with an app out of sight: {self:#?}"
            );
            let listed = |key| KeyType::ALL.into_iter().any(|key_type| self.listed(key_type) == key);
            let stale = |app: &&WorldApp| !app.deleted && !app.keys.iter().all(|key| listed(*key));
            assert!(self.apps.iter().find(stale).is_none(), "{end:?}, with a stale app: {self:#?}");
            for n in 0..self.externals.len() {
                let report = self.journal.report(&external(n));
                let is_listed = |key_type| {
                    let listed = fingerprint(&self.listed(key_type).to_string());
                    report.is_some_and(|report| report.fingerprint == listed)
                };
                let valid = KeyType::ALL.into_iter().any(is_listed);
                assert!(valid, "{end:?}, and nobody knows what {} holds: {self:#?}", external(n));
            }
        }
    }

    /// Writes the documents of what is over, and holds each life to the chain of them.
    fn prove(&mut self, end: &Decision) {
        let settled = matches!(end, Decision::Settled { .. });
        if let Some(finished) = self.journal.concludes(settled, self.now) {
            self.record(Event::Concluded { finished });
        }
        while let Some(document) =
            evidence::next(&self.journal, &crate::model::ServiceId::new("s", "g", "chat")).unwrap()
        {
            let evidence::Document { name, body, sha256 } = document;
            assert_eq!(self.evidence.insert(name.clone(), Ok(body)), None, "{name} is written twice");
            self.record(Event::EvidenceKept { name, sha256 });
        }
        // Each time it is read from its end to its beginning, so not at each document.
        if !self.evidence.len().is_power_of_two() {
            return;
        }
        let known = self.journal.evidence();
        assert_eq!(evidence::verify(known, None, &self.evidence), vec![], "{self:#?}");
    }

    /// Does a step; true if the process was killed in it.
    fn act(&mut self, step: Step, kill: Kill) -> bool {
        match step {
            Step::Repoint { to, consumers, repair, part } => {
                !self.is_begun((part, repair), to, &consumers)
                    || self.repoint(to, &consumers, (repair, part), kill)
            }
            Step::Gate(Gated::Wave(number)) => {
                self.ask_how_it_is(number);
                true
            }
            Step::Gate(Gated::Repaired) => {
                self.ask_how_the_repaired_are();
                true
            }
            Step::Regenerate(key_type) => self.regenerate(key_type, kill),
            Step::Verify(key_type) => {
                let detail = "401".to_owned();
                let accepted = self.works(self.listed(key_type));
                let refused = Event::VerificationRefused { key_type, detail };
                self.record(if accepted { Event::Verified { key_type } } else { refused });
                false
            }
            Step::Follow(_) => {
                self.pass_time(80);
                let flight = self.journal.in_flight().unwrap().clone();
                if !self.askable {
                    return self.cannot_ask(&flight);
                }
                let now = fingerprint(&self.listed(flight.key_type).to_string());
                let detail = "no effect".to_owned();
                self.record(if now == flight.prior {
                    Event::RegenerationFailed { detail, lasting: false }
                } else {
                    Event::Regenerated { fingerprint: now, confirmed: true }
                });
                false
            }
        }
    }

    /// Takes down that a wave is begun; not where one of it is ill.
    fn is_begun(&mut self, (part, repair): (Part, bool), to: KeyType, consumers: &[ConsumerRef]) -> bool {
        let is_ill =
            |at: &ConsumerRef| self.apps.iter().enumerate().any(|(n, one)| app(n) == at.app && one.ill);
        if let Part::Wave { number, waits: true } = part
            && consumers.iter().any(is_ill)
        {
            let held_back = Event::WaveHeldBack { number, detail: "503".into() };
            let news = self.journal.held_back().is_none_or(|known| known.number != number);
            news.then(|| self.record(held_back));
            return false;
        }
        if let Part::Back(number) = part {
            assert!(self.journal.wave().is_some_and(|wave| wave.number == number), "{self:#?}");
        }
        begun((part, repair), to, consumers, &self.policy).into_iter().for_each(|event| self.record(event));
        true
    }

    fn ask_how_it_is(&mut self, number: u32) {
        let wave = self.journal.wave().unwrap().clone();
        let seen = self.look();
        let (asked, unseen) = (asked_of(&wave, &seen), not_seen_with(&wave, &seen));
        let ill = (0..self.apps.len()).any(|n| self.apps[n].ill && asked.contains(&app(n)));
        let over = wave.moved + delta(self.policy.gate_after + self.policy.settle_within) <= self.now;
        if !ill && unseen.is_empty() {
            self.record(passes(&wave, &seen, &self.policy));
        } else if over {
            let then = after_gate(&wave, &self.journal, &self.policy);
            self.record(Event::GateFailed { number, detail: "503".into(), then });
        }
    }

    fn ask_how_the_repaired_are(&mut self) {
        let repair = self.journal.repair().unwrap().clone();
        let seen = self.look();
        let asked = repaired_of(&repair, &seen);
        let ill = (0..self.apps.len()).any(|n| self.apps[n].ill && asked.contains(&app(n)));
        let over = repair.moved + delta(self.policy.gate_after + self.policy.settle_within) <= self.now;
        if !ill {
            self.record(repair_passes(&repair, &seen));
        } else if over {
            self.record(Event::RepairFailed { detail: "503".into() });
        }
    }

    /// The operation's URL is refused; true if that ends the run.
    fn cannot_ask(&mut self, flight: &InFlight) -> bool {
        let overdue = is_overdue(flight, &self.policy, self.now);
        if overdue {
            let over = self.pending.is_none_or(|(_, _, end)| end <= self.now);
            assert!(over || self.pending_outside, "it still runs: {self:#?}");
            self.record(Event::OperationLost {});
        }
        !overdue
    }

    fn repoint(
        &mut self,
        to: KeyType,
        consumers: &[ConsumerRef],
        (repair, part): (bool, Part),
        kill: Kill,
    ) -> bool {
        let open = self.policy.calendar().is_open(self.now) && self.paused_until <= self.now;
        self.record(Event::RepointIntended { key_type: to });
        let key = fingerprint(&self.listed(to).to_string());
        self.record(handed_out(&self.journal, &key, consumers, &[]));
        for (done, at) in consumers.iter().enumerate() {
            if kill == Kill::AfterRepointOf(done) {
                return true;
            }
            let key = self.listed(to);
            let worked = self.works(key);
            let index = (0..self.apps.len()).find(|n| app(*n) == at.app).unwrap();
            assert!(repair || worked, "moved to a key that does not work");
            let back = matches!(part, Part::Back(_));
            assert!(repair || open || back || self.is_urgent(), "moved outside of the windows: {self:#?}");
            let is_approved = |key: &u64| self.approved.contains(key);
            let approved =
                !self.needs_approval() || is_approved(&key) || self.apps[index].keys.iter().any(is_approved);
            let held = &self.apps[index].keys;
            let comes_home = self.policy.home == Some(to) && held.iter().all(|held| *held <= key);
            let excused = back || comes_home || self.is_urgent();
            assert!(repair || approved || excused, "moved without an approval: {self:#?}");
            let flees = self.apps[index].keys.iter().any(|key| self.compromised.contains(key));
            let leaps = self.announced() == Some(to) && !flees && !back;
            assert!(repair || !leaps, "moved to a key that others are about to regenerate: {self:#?}");
            // To repair it, what is invalid is replaced and what is valid stays.
            let listed = PerKey::from_fn(|key_type| self.listed(key_type));
            let stays = |held: &u64| repair && listed.iter().any(|(_, key)| key == held);
            let app = &mut self.apps[index];
            let (kept, left): (BTreeSet<u64>, BTreeSet<u64>) = app.keys.iter().partition(|held| stays(held));
            app.keys = kept.into_iter().chain([key]).collect();
            self.last_held.extend(left.into_iter().map(|key| (key, self.now)));
            let works = self.all_work(&self.apps[index]);
            self.apps[index].excused &= !works;
            self.apps[index].excused |= repair && !worked;
        }
        let apps = consumers.iter().map(|at| at.app.clone()).collect();
        self.record(Event::Repointed { key_type: to, apps, repaired: repair });
        false
    }

    /// Everything that is to be done is done, and nobody does anything else.
    pub(super) fn settle(&mut self) {
        for _ in 0..500 {
            if matches!(self.pass(20, Kill::No), Decision::Settled { .. }) {
                return;
            }
            self.pass_time(3600);
            self.approve();
        }
        panic!("does not settle: {self:#?}");
    }

    fn needs_approval(&self) -> bool {
        self.policy.approval == ApprovalPolicy::Required
    }

    pub(super) fn approve(&mut self) {
        let seen = self.look();
        self.remember(&seen);
        let Asks::For(due) = asks(&seen, &self.journal, &self.policy, self.now) else { return };
        self.approved.insert(self.listed(due.key_type));
        self.record(approves(&due, "somebody".into(), false, &self.policy, self.now));
    }

    /// Whether an app holds a key that was there when the keys were reported as compromised.
    fn is_urgent(&self) -> bool {
        let held = self.apps.iter().filter(|app| !app.deleted).flat_map(|app| &app.keys);
        let listed = PerKey::from_fn(|key_type| self.listed(key_type));
        let announced =
            |key: &u64| listed.iter().any(|(key_type, one)| one == key && self.is_announced(key_type));
        // What is known of others is what they have said.
        let said = (0..self.externals.len()).filter_map(|n| self.journal.report(&external(n)));
        let of = |key_type| fingerprint(&listed[key_type].to_string());
        let mut others = said.flat_map(|report| {
            KeyType::ALL.into_iter().filter(|key_type| of(*key_type) == report.fingerprint)
        });
        held.into_iter().any(|key| self.compromised.contains(key) || announced(key))
            || others.any(|key_type| self.is_announced(key_type))
    }

    /// Whether a regeneration of a key is announced that may still come.
    fn is_announced(&self, key_type: KeyType) -> bool {
        let mut open = self.journal.watches().iter().filter(|watch| self.now < watch.until);
        open.any(|watch| watch.keys.is_some_and(|keys| keys[key_type]))
    }

    fn regenerate(&mut self, key_type: KeyType, kill: Kill) -> bool {
        let key = self.keys[key_type];
        let held = self.apps.iter().any(|app| !app.deleted && app.keys.contains(&key));
        assert!(!held, "regenerated a key that an app holds: {self:#?}");
        let held = self.reported().any(|one| one.holds == key);
        assert!(!held, "regenerated a key that somebody reports to hold: {self:#?}");
        let left = self.last_held.get(&key).map(|left| {
            let of_reader = |(reader, within): (usize, &Duration)| {
                let told = self.readers_left.get(&(reader, key)).filter(|told| left <= *told);
                let at_last = *left + delta(*within);
                told.map_or(at_last, |told| at_last.min(*told))
            };
            // Each has its own time, and nobody's word is another's.
            self.readers_within.iter().enumerate().map(of_reader).fold(*left, DateTime::max)
        });
        let compromised = self.compromised.contains(&key);
        let grace = delta(if compromised { self.policy.exposed_grace } else { self.policy.grace });
        let over = left.is_none_or(|left| left + grace <= self.now);
        assert!(over || self.pending.is_some(), "regenerated within the grace, and not refused: {self:#?}");
        self.record(Event::RegenerationIntended { key_type });
        if kill == Kill::BeforeSend {
            return true;
        }
        let accepted = self.start_regeneration(key_type);
        if kill == Kill::BeforeAnswer {
            return true;
        }
        let operation = Some(OperationUrl::location("https://x"));
        let promised = Some(fingerprint(&self.keys[key_type].to_string()));
        let detail = "409 Conflict".to_owned();
        self.record(if accepted {
            Event::RegenerationAccepted { operation, promised }
        } else {
            Event::RegenerationFailed { detail, lasting: false }
        });
        false
    }

    pub(super) fn make(&mut self, change: &Move) {
        match *change {
            Move::Pass { steps, kill } => drop(self.pass(steps, kill)),
            Move::Time(seconds) => self.pass_time(seconds),
            Move::Outside(key_type) => self.outside(key_type),
            Move::Edit { app, to, beside } => self.edit(app, to, beside),
            Move::Readable { app, readable } => self.with_app(app, |app| app.readable = readable),
            Move::Delete { app } => self.with_app(app, |app| app.deleted = true),
            Move::Rename { app, named } => self.with_app(app, |app| app.renamed = !named),
            Move::Askable(askable) => self.askable = askable,
            Move::Unblock => self.record(Event::Unblocked {}),
            Move::Fetch { external, reports } => self.fetch(external, reports),
            Move::Report { external, by_a_person } => self.report(external, by_a_person),
            Move::Ill { app, ill } => self.with_app(app, |app| app.ill = ill),
            Move::ReadersLeft { reader, key_type } => self.readers_leave(reader, key_type),
            Move::Pause(seconds) => {
                let until = self.now + TimeDelta::seconds(seconds);
                self.paused_until = until;
                self.record(Event::Paused { until, by: "somebody".into(), why: "because".into() });
            }
            Move::Resume => {
                self.paused_until = self.now;
                self.record(Event::Resumed { by: "somebody".into() });
            }
            Move::Approve => self.approve(),
            Move::Announce { key_type, ahead } => self.announce(key_type, ahead),
            Move::Request { compromised } => {
                if self.journal.keys().is_some() {
                    if compromised {
                        self.compromised.extend(self.keys.iter().map(|(_, key)| *key));
                        self.compromised.extend(self.pending.map(|(_, old, _)| old));
                    }
                    self.record(Event::RotationRequested { compromised, noticed: false });
                    // What is made after it is made later.
                    self.pass_time(1);
                }
            }
        }
    }

    fn announce(&mut self, key_type: KeyType, ahead: i64) {
        let keys = PerKey::from_fn(|one| one == key_type);
        let deadline = Deadline { at: self.now + TimeDelta::seconds(ahead), keys };
        let (seen, now) = (self.look(), self.now);
        let rotation = RotationRequest { cause: Cause::Announced { keys }, since: None };
        let open = Open { rotation: Some(rotation), deadlines: &[deadline].into(), ..Open::nothing() };
        let assessed = assess(seen, &self.journal, open, &self.policy, now).unwrap();
        assessed.news.into_iter().for_each(|event| self.record(event));
    }

    /// The key whose regeneration is announced, and that of the other is not, if it may come within a grace.
    fn announced(&self) -> Option<KeyType> {
        let alone = |key_type: &KeyType| self.is_announced(*key_type) && !self.is_announced(key_type.other());
        let soon = self.now + delta(self.policy.grace);
        let last =
            self.journal.watches().iter().filter(|watch| watch.keys.is_some()).map(|watch| watch.until).max();
        KeyType::ALL.into_iter().find(alone).filter(|_| last.is_some_and(|last| last <= soon))
    }

    /// A colleague gives an app a key. Giving it one that is being replaced is his own doing. The one assumption that
    /// the proof makes: what he does lasts until the next check, for what comes and goes in between is never seen.
    fn edit(&mut self, app: usize, to: KeyType, beside: bool) {
        let key = self.listed(to);
        let safe = self.pending.is_none_or(|(pending, ..)| pending != to)
            && self.journal.in_flight().is_none_or(|flight| flight.key_type != to);
        let now = self.now;
        let old = &self.apps[app % self.apps.len()];
        if old.deleted || old.renamed {
            return;
        }
        let left = if beside { BTreeSet::new() } else { old.keys.clone() };
        let excused = !safe || (beside && old.excused);
        self.last_held.extend(left.iter().map(|key| (*key, now)));
        self.with_app(app, |app| {
            app.keys.retain(|held| !left.contains(held));
            app.keys.insert(key);
            app.excused = excused;
        });
        self.remember(&self.look());
    }

    /// It takes another key, from where we put ours, or as a person is asked; if there is neither, one that is listed.
    fn fetch(&mut self, n: usize, reports: bool) {
        let Some(count) = self.externals.len().checked_sub(1) else { return };
        let n = n.min(count);
        let seen = self.look();
        let asked = match decide(&seen, &self.journal, &self.policy, self.now) {
            Decision::Waiting { reason: WaitFor::External { key_type, .. }, .. }
            | Decision::Blocked(BlockedBy::ExternalLate { key_type, .. }) => {
                Some(self.listed(key_type.other()))
            }
            _ => None,
        };
        let of_apps = self.apps.iter().filter(|app| !app.deleted).find_map(|app| app.keys.last().copied());
        let taken = of_apps.filter(|key| self.works(*key)).or(asked);
        let holds = self.externals[n].holds;
        let stays = || if self.works(holds) { holds } else { self.listed(KeyType::Primary) };
        let taken = taken.unwrap_or_else(stays);
        if self.is_on_record(n) {
            self.last_held.insert(self.externals[n].holds, self.now);
        }
        // Who takes a key that somebody else is replacing is not cut off by us.
        let is_replaced = self.pending.is_some_and(|(_, old, _)| old == taken);
        self.externals[n] = WorldExternal { holds: taken, excused: is_replaced || !self.works(taken) };
        if reports {
            self.report(n, false);
        }
    }

    fn report(&mut self, n: usize, by_a_person: bool) {
        let Some(count) = self.externals.len().checked_sub(1) else { return };
        let n = n.min(count);
        let (consumer, holds) = (external(n), self.externals[n].holds);
        // Who says so late what it took, or takes what is being replaced, may be cut off by then.
        let on_record = self.is_on_record(n);
        let replaced = self.pending.is_some_and(|(_, old, _)| old == holds)
            || self.journal.in_flight().is_some_and(|flight| flight.prior == fingerprint(&holds.to_string()));
        self.externals[n].excused |= !self.works(holds) || (!on_record && replaced);
        let fingerprint = fingerprint(&holds.to_string());
        let event = match by_a_person {
            true => Event::Acknowledged { consumer, fingerprint, by: "somebody".into() },
            false => Event::Reported { consumer, fingerprint },
        };
        let told = self.journal.apply(event, self.now);
        assert!(told.is_ok() || by_a_person, "{told:?}");
        if self.is_on_record(n) {
            self.last_held.insert(holds, self.now);
        }
    }

    /// Whoever read one consumer without being seen has left a key, and a person says so; if he may.
    fn readers_leave(&mut self, reader: usize, key_type: KeyType) {
        let (key, by) = (self.listed(key_type), "somebody".to_owned());
        let fingerprint = fingerprint(&key.to_string());
        let event = Event::ReadersAcknowledged { consumer: app(reader), fingerprint, by };
        let held = self.apps.iter().any(|app| !app.deleted && app.keys.contains(&key));
        if !held && self.journal.apply(event, self.now).is_ok() {
            self.readers_left.insert((reader, key), self.now);
        }
    }

    fn with_app(&mut self, app: usize, change: impl FnOnce(&mut WorldApp)) {
        let index = app % self.apps.len();
        change(&mut self.apps[index]);
    }
}
