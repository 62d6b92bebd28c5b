//! Who is moved in which order, and what becomes of those who do not come back.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::journal::Gate;
use crate::policy::OnUnhealthy;

const STANDBY: KeyType = KeyType::Secondary;

/// A rotation that is about to move three apps, the first of which is in wave 1, and the others in 2.
fn about_to_move() -> Story {
    let mut story = Story::new();
    story.policy.waves = BTreeMap::from([(app(0), 1)]);
    story.policy.pause_between_waves = Duration::from_secs(600);
    story.look(&snapshot(at(0), "p", "s", &[P, P, P]));
    story.regenerate(at(7200), STANDBY, "s2");
    story.event(at(7300), Event::Verified { key_type: STANDBY });
    story
}

fn seen(time: i64, holds: &[Holding]) -> Snapshot {
    snapshot(at(time), "p", "s2", holds)
}

/// Moves what is decided, as a run does; whom.
fn moves(story: &mut Story, time: i64, holds: &[Holding]) -> (Vec<ConsumerId>, Part) {
    let decision = story.look(&seen(time, holds));
    let Decision::Do(Step::Repoint { to, consumers, repair, part }) = decision else {
        panic!("{decision:?}")
    };
    let apps: Vec<ConsumerId> = consumers.iter().map(|one| one.app.clone()).collect();
    let begun = begun((part, repair), to, &consumers, &story.policy);
    begun.into_iter().for_each(|event| story.event(at(time), event));
    story.event(at(time), Event::RepointIntended { key_type: to });
    story.event(at(time), Event::Repointed { key_type: to, apps: apps.clone(), repaired: repair });
    (apps, part)
}

const fn wave(number: u32) -> Part {
    Part::Wave { number, waits: true }
}

#[test]
fn the_first_wave_alone_is_moved_and_the_next_waits_for_its_gate_and_the_pause() {
    let mut story = about_to_move();
    assert_eq!(moves(&mut story, 7301, &[P, P, P]), (vec![app(0)], wave(1)));
    let waits = |reason, until| Decision::Waiting { reason, until: at(until) };
    assert_eq!(story.look(&seen(7303, &[S, P, P])), waits(WaitFor::Gate(Gated::Wave(1)), 7361));
    assert_eq!(story.look(&seen(7361, &[S, P, P])), Decision::Do(Step::Gate(Gated::Wave(1))));
    story.event(at(7365), Event::GatePassed { number: 1, left: vec![] });
    assert_eq!(story.look(&seen(7366, &[S, P, P])), waits(WaitFor::BetweenWaves(2), 7965));
    assert_eq!(moves(&mut story, 7965, &[S, P, P]), (vec![app(1), app(2)], wave(2)));
    // The last has a gate too, and the key that was left stays until it has passed.
    assert_eq!(story.look(&seen(7970, &[S, S, S])), waits(WaitFor::Gate(Gated::Wave(2)), 8025));
    story.event(at(8030), Event::GatePassed { number: 2, left: vec![] });
    assert_eq!(story.look(&seen(8031, &[S, S, S])), waits(WaitFor::Grace(KeyType::Primary), 7970 + 7200));
}

#[test]
fn as_many_of_a_wave_are_moved_at_once_as_may_restart_and_each_of_them_has_a_gate_without_a_pause() {
    let mut story = about_to_move();
    (story.policy.restarts_at_once, story.policy.waves) = (2, BTreeMap::new());
    assert_eq!(moves(&mut story, 7301, &[P, P, P]), (vec![app(0), app(1)], wave(2)));
    assert_eq!(story.look(&seen(7361, &[S, S, P])), Decision::Do(Step::Gate(Gated::Wave(2))));
    story.event(at(7365), Event::GatePassed { number: 2, left: vec![] });
    assert_eq!(moves(&mut story, 7366, &[S, S, P]), (vec![app(2)], wave(2)));
}

/// One of two was written when the run was killed: the other is moved before it is asked how they are.
#[test]
fn who_is_left_of_a_wave_that_was_begun_is_moved_before_its_gate() {
    let mut story = about_to_move();
    story.policy.waves = BTreeMap::from([(app(2), 3)]);
    moves(&mut story, 7301, &[P, P, P]);
    assert_eq!(moves(&mut story, 7350, &[S, P, P]), (vec![app(1)], wave(2)));
    let gate = story.journal.wave().unwrap();
    assert_eq!((gate.apps.len(), gate.moved), (2, at(7350)));
    assert_eq!(story.look(&seen(7410, &[S, S, P])), Decision::Do(Step::Gate(Gated::Wave(2))));
}

/// Two of a wave are to be moved, and one cannot be: the other is asked when its time has come, moved back if it is not well,
/// and kept apart if it is; whatever keeps the rest.
#[test]
fn who_was_moved_is_asked_how_it_is_though_others_of_its_wave_could_not_be() {
    let mut story = about_to_move();
    story.policy.waves = BTreeMap::from([(app(2), 3)]);
    let Decision::Do(Step::Repoint { to, consumers, part, .. }) = story.look(&seen(7301, &[P, P, P])) else {
        panic!("not moved");
    };
    let begun = begun((part, false), to, &consumers, &story.policy).unwrap();
    story.event(at(7301), begun);
    story.event(at(7301), Event::RepointIntended { key_type: to });
    story.event(at(7301), Event::Repointed { key_type: to, apps: vec![app(0)], repaired: false });
    // Until then the rest is tried again.
    let rest = story.look(&seen(7360, &[S, P, P]));
    assert!(matches!(rest, Decision::Do(Step::Repoint { part, .. }) if part == wave(2)), "{rest:?}");
    let asks = Decision::Do(Step::Gate(Gated::Wave(2)));
    assert_eq!(story.look(&seen(7361, &[S, P, P])), asks);
    // The rest is held back by a pause, which is no reason not to ask.
    let mut paused = story.clone();
    paused.event(at(7350), Event::Paused { until: at(90_000), by: "ada".into(), why: "an audit".into() });
    assert_eq!(paused.look(&seen(7361, &[S, P, P])), asks);

    let asked = |story: &Story| {
        let open = story.journal.wave().unwrap();
        (asked_of(open, &seen(7361, &[S, P, P])), not_seen_with(open, &seen(7361, &[S, P, P])))
    };
    assert_eq!(asked(&story), (BTreeSet::from([app(0)]), BTreeSet::new()));

    let mut ill = story.clone();
    let (then, detail) = (AfterGate::RollBack, "503".to_owned());
    ill.event(at(7700), Event::GateFailed { number: 2, detail, then });
    let Decision::Do(Step::Repoint { to, consumers, part, .. }) = ill.look(&seen(7701, &[S, P, P])) else {
        panic!("not moved back");
    };
    assert_eq!((to, consumers.len(), &consumers[0].app, part), (KeyType::Primary, 1, &app(0), Part::Back(2)));

    let passed = passes(story.journal.wave().unwrap(), &seen(7362, &[S, P, P]), &story.policy);
    assert_eq!(passed, Event::GatePassed { number: 2, left: vec![app(1)] });
    story.event(at(7362), passed);
    assert_eq!(moves(&mut story, 7363, &[S, P, P]), (vec![app(1)], wave(2)));
    let open = story.journal.wave().unwrap();
    assert_eq!((open.apps.clone(), open.moved), (BTreeSet::from([app(1)]), at(7363)));
    assert_eq!(story.look(&seen(7423, &[S, S, P])), Decision::Do(Step::Gate(Gated::Wave(2))));
    let passed = passes(story.journal.wave().unwrap(), &seen(7424, &[S, S, P]), &story.policy);
    assert_eq!(passed, Event::GatePassed { number: 2, left: vec![] });
    story.event(at(7424), passed);
    // The pause before the next wave counts from the end of the whole.
    let waits = Decision::Waiting { reason: WaitFor::BetweenWaves(3), until: at(7424 + 600) };
    assert_eq!(story.look(&seen(7425, &[S, S, P])), waits);
}

/// Who reads a secret is on the new key by himself, some time after it was written: he is asked all the same.
#[test]
fn who_is_left_of_a_wave_and_comes_by_himself_is_asked_too() {
    let mut story = about_to_move();
    (story.policy.restarts_at_once, story.policy.waves) = (3, BTreeMap::new());
    moves(&mut story, 7301, &[P, P, P]);
    story.event(at(7370), passes(story.journal.wave().unwrap(), &seen(7370, &[S, P, S]), &story.policy));
    let waits = Decision::Waiting { reason: WaitFor::Gate(Gated::Wave(2)), until: at(7370 + 60) };
    assert_eq!(story.look(&seen(7400, &[S, S, S])), waits);
    assert_eq!(story.look(&seen(7430, &[S, S, S])), Decision::Do(Step::Gate(Gated::Wave(2))));
}

/// An app that cannot be repaired comes first again and again, and hides nobody.
#[test]
fn gates_are_seen_to_beside_a_repair_that_fails() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    let holds = [S, Holding::Stale(fingerprint("gone")), P];
    let beside =
        |story: &Story, time| gates_beside(&seen(time, &holds), &story.journal, &story.policy, at(time));
    let first = story.look(&seen(7361, &holds));
    assert!(matches!(first, Decision::Do(Step::Repoint { repair: true, .. })), "{first:?}");
    assert_eq!(beside(&story, 7360), None, "it has its time");
    assert_eq!(beside(&story, 7361), Some(Step::Gate(Gated::Wave(1))));
    let then = AfterGate::RollBack;
    story.event(at(7700), Event::GateFailed { number: 1, detail: "503".into(), then });
    let back = beside(&story, 7701);
    assert!(
        matches!(back, Some(Step::Repoint { to: KeyType::Primary, part: Part::Back(1), .. })),
        "{back:?}"
    );
    // Nobody is moved while a key is on its way to another.
    story.event(at(7702), Event::Left { key_type: STANDBY });
    story.event(at(7702), Event::RegenerationIntended { key_type: STANDBY });
    assert_eq!(beside(&story, 7703), None);
}

#[test]
fn a_wave_that_does_not_come_back_gets_the_key_that_it_had_and_nobody_is_moved_until_a_person_says_so() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    let (then, detail) = (AfterGate::RollBack, "503".to_owned());
    story.event(at(7700), Event::GateFailed { number: 1, detail: detail.clone(), then });
    let Decision::Do(Step::Repoint { to, repair: false, part, .. }) = story.look(&seen(7701, &[S, P, P]))
    else {
        panic!("not moved back");
    };
    assert_eq!((to, part), (KeyType::Primary, Part::Back(1)));
    let blocked = Decision::Blocked(BlockedBy::Unhealthy { wave: 1, to: STANDBY, then, detail });
    assert_eq!(story.look(&seen(7705, &[P, P, P])), blocked);
    assert_eq!(story.look(&seen(7705 + 20 * 86_400, &[P, P, P])), blocked, "it does not go quiet");
    let mut asked = story.clone();
    story.event(at(8000), Event::Unblocked {});
    assert_eq!(moves(&mut story, 8001, &[P, P, P]), (vec![app(0)], wave(1)));
    // `rotate --now` makes another key for it.
    asked.event(at(8000), Event::RotationRequested { compromised: false, noticed: false });
    let next = asked.look(&seen(8001, &[P, P, P]));
    assert_eq!(next, Decision::Waiting { reason: WaitFor::Grace(STANDBY), until: at(7705 + 7200) });
}

#[test]
fn where_it_is_to_stop_the_wave_keeps_the_new_key() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    let failed = |then| Event::GateFailed { number: 1, detail: "503".into(), then };
    story.event(at(7700), failed(AfterGate::Stop));
    let stopped = story.look(&seen(7701, &[S, P, P]));
    assert!(matches!(stopped, Decision::Blocked(BlockedBy::Unhealthy { then: AfterGate::Stop, .. })));
    story.event(at(8000), Event::Unblocked {});
    assert_eq!(moves(&mut story, 8001, &[S, P, P]), (vec![app(1), app(2)], wave(2)));
}

/// Somebody regenerates the key that the wave had: there is no way back, and who holds it is repaired.
#[test]
fn nobody_is_moved_back_to_a_key_that_was_replaced_meanwhile() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    let then = AfterGate::RollBack;
    story.event(at(7700), Event::GateFailed { number: 1, detail: "503".into(), then });
    let stale = || Holding::Stale(fingerprint("p"));
    let decision = story.look(&snapshot(at(7701), "p2", "s2", &[S, stale(), stale()]));
    assert!(matches!(
        decision,
        Decision::Do(Step::Repoint { to: STANDBY, repair: true, part: Part::All, .. })
    ));
    assert_eq!(story.journal.wave(), None);
}

/// A forced regeneration ends a wave, and cures no app: how those are whom it moved is asked and told as of a repair.
#[test]
fn a_wave_that_ends_with_its_key_is_asked_how_it_is_and_what_was_found_is_told() {
    let regenerated = |story: &mut Story| {
        let seen = |time| snapshot(at(time), "p2", "s2", &[S, S, S]);
        story.look(&seen(7701));
        assert_eq!(story.journal.wave(), None);
        let decision = story.look(&seen(7702));
        (standing(&seen(7702), &story.journal, &decision, &story.policy, at(7702)), decision)
    };
    let mut open = about_to_move();
    moves(&mut open, 7301, &[P, P, P]);
    let mut failed = open.clone();
    assert_eq!(regenerated(&mut open), (None, Decision::Do(Step::Gate(Gated::Repaired))));
    open.event(at(7703), Event::RepairFailed { detail: "503".into() });
    let then = AfterGate::RollBack;
    failed.event(at(7700), Event::GateFailed { number: 1, detail: "503".into(), then });
    for (mut story, since) in [(open, 7703), (failed, 7700)] {
        let (told, decision) = regenerated(&mut story);
        assert_eq!(told, Some(Standing::NotBack { at: at(since), detail: "503".into() }), "{decision:?}");
        let mut passed = story.clone();
        passed.event(at(8000), Event::Unblocked {});
        assert!(passed.journal.repair().is_none(), "until a person says so");
    }
    // Of one that was seen to be well there is nothing to tell.
    let mut well = about_to_move();
    moves(&mut well, 7301, &[P, P, P]);
    well.event(at(7365), Event::GatePassed { number: 1, left: vec![] });
    assert_eq!(regenerated(&mut well).0, None);
    assert!(well.journal.repair().is_none());
}

#[test]
fn compromised_keys_wait_for_no_gate_and_what_it_shows_is_told_at_the_end() {
    let mut story = about_to_move();
    story.event(at(7301), Event::RotationRequested { compromised: true, noticed: true });
    story.regenerate(at(8400), STANDBY, "s3");
    story.event(at(8500), Event::Verified { key_type: STANDBY });
    let all = snapshot(at(8501), "p", "s3", &[P, P, P]);
    let Decision::Do(Step::Repoint { to, consumers, part, .. }) = story.look(&all) else {
        panic!("not moved")
    };
    assert_eq!((consumers.len(), part), (3, Part::Wave { number: 2, waits: false }));
    let begun = begun((part, false), to, &consumers, &story.policy).unwrap();
    story.event(at(8501), begun);
    story.event(at(8501), Event::RepointIntended { key_type: to });
    let moved = snapshot(at(8600), "p", "s3", &[S, S, S]);
    assert_eq!(story.look(&moved), Decision::Do(Step::Gate(Gated::Wave(2))));
    let wave = story.journal.wave().unwrap();
    assert_eq!(after_gate(wave, &story.journal, &story.policy), AfterGate::Report);
    let (number, then) = (2, AfterGate::Report);
    story.event(at(8700), Event::GateFailed { number, detail: "503".into(), then });
    let moved = snapshot(at(8701), "p", "s3", &[S, S, S]);
    assert!(matches!(story.look(&moved), Decision::Waiting { reason: WaitFor::Grace(_), .. }));
}

#[test]
fn no_pause_is_kept_that_would_end_after_an_announced_regeneration() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    story.event(at(7365), Event::GatePassed { number: 1, left: vec![] });
    let Announced::Watched(watch) = Announced::of(both(at(7900)), at(0)) else { panic!("not ahead") };
    story.event(at(7366), Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys });
    assert_eq!(moves(&mut story, 7367, &[S, P, P]), (vec![app(1), app(2)], wave(2)));
}

#[test]
fn a_window_that_closes_between_two_waves_holds_the_next_back_and_neither_gate_nor_way_back() {
    let mut story = about_to_move();
    story.policy.windows = vec!["daily 02:00-02:02 UTC".parse().unwrap()];
    moves(&mut story, 7301, &[P, P, P]);
    assert_eq!(story.look(&seen(7400, &[S, P, P])), Decision::Do(Step::Gate(Gated::Wave(1))));
    let mut failed = story.clone();
    story.event(at(7400), Event::GatePassed { number: 1, left: vec![] });
    let until = at(86_400 + 7200);
    assert_eq!(story.look(&seen(7401, &[S, P, P])), Decision::Waiting { reason: WaitFor::Window, until });
    let then = AfterGate::RollBack;
    failed.event(at(7700), Event::GateFailed { number: 1, detail: "503".into(), then });
    let back = failed.look(&seen(7701, &[S, P, P]));
    assert!(matches!(back, Decision::Do(Step::Repoint { part: Part::Back(1), .. })));
}

fn slot() -> ConsumerId {
    AppId::new("s", "g", "app-0", Some("staging")).into()
}

fn of_slot(holds: Holding) -> Consumer {
    let at = ConsumerRef { app: slot(), ..consumer(0, P).at };
    Consumer { at, holds }
}

fn of_secret(secret: &ConsumerId) -> Consumer {
    let at = ConsumerRef { app: secret.clone(), section: None, name: String::new() };
    Consumer { at, holds: P }
}

#[test]
fn slots_come_first_where_nothing_is_said_and_a_single_wave_has_no_gate() {
    let mut look = seen(0, &[P, P]);
    let order = WaveOrder::of(&look, &policy());
    assert!(!order.has_gates(&policy()));
    assert!(order.has_gates(&Policy { restarts_at_once: 1, ..policy() }));
    assert!(order.has_gates(&Policy { watched: [app(1)].into(), ..policy() }));
    look.consumers.push(of_slot(P));
    let order = WaveOrder::of(&look, &policy());
    assert_eq!((order.number(&slot()), order.number(&app(0)), order.has_gates(&policy())), (1, 2, true));
}

#[test]
fn who_reads_a_secret_is_in_one_wave_with_it_and_all_who_read_it() {
    let secret: ConsumerId =
        ConsumerId::KeyVaultSecret("https://v.vault.azure.net/secrets/a".parse().unwrap());
    let mut look = seen(0, &[P, P]);
    look.consumers.extend([of_slot(P), of_secret(&secret)]);
    look.reads = [(slot(), secret.clone()), (app(0), secret.clone())].into();
    let number = |policy: &Policy| {
        let order = WaveOrder::of(&look, policy);
        [slot(), app(0), secret.clone(), app(1)].map(|one| order.number(&one))
    };
    assert_eq!(number(&policy()), [2, 2, 2, 2]);
    assert_eq!(number(&Policy { waves: [(slot(), 1)].into(), ..policy() }), [1, 1, 1, 2]);
    let waves = BTreeMap::from([(slot(), 1), (secret.clone(), 3)]);
    let differ = WaveOrder::of(&look, &Policy { waves: waves.clone(), ..policy() }).differ;
    let [WavesDiffer { waves: who, .. }] = &differ[..] else { panic!("{differ:?}") };
    assert_eq!(who.iter().cloned().collect::<BTreeMap<_, _>>(), waves);
    // It blocks those who would be moved, and no repair.
    let mut story = about_to_move();
    story.policy.waves = waves;
    let with = |look: Snapshot| Snapshot {
        consumers: look.consumers.into_iter().chain([of_slot(P), of_secret(&secret)]).collect(),
        reads: [(slot(), secret.clone())].into(),
        ..look
    };
    let blocked = story.look(&with(seen(7301, &[P])));
    assert!(matches!(blocked, Decision::Blocked(BlockedBy::WavesDiffer(_))), "{blocked:?}");
    assert!(story.look(&with(seen(7302, &[Holding::Stale(fingerprint("p"))]))).repairs());
}

#[test]
fn a_gate_that_fails_is_followed_by_what_the_policy_says() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    let wave = story.journal.wave().unwrap();
    assert_eq!(wave.gate, Gate::Open);
    assert_eq!(after_gate(wave, &story.journal, &story.policy), AfterGate::RollBack);
    let stop = Policy { on_unhealthy: OnUnhealthy::Stop, ..story.policy.clone() };
    assert_eq!(after_gate(wave, &story.journal, &stop), AfterGate::Stop);
    assert_eq!(not_seen_with(wave, &seen(7303, &[S, P, P])), BTreeSet::new());
    assert_eq!(
        not_seen_with(wave, &seen(7303, &[Holding::Stale(fingerprint("gone")), P, P])),
        [app(0)].into()
    );
    let mut out_of_sight = seen(7303, &[]);
    out_of_sight.unknown.push(Unknown::NoConsumer { app: app(0) });
    assert_eq!(not_seen_with(wave, &out_of_sight), [app(0)].into());
}

/// Somebody writes an old string back into two apps, one of which has a `health`.
fn about_to_repair() -> Story {
    let mut story = about_to_move();
    story.policy.watched = BTreeSet::from([app(0)]);
    let stale = || Holding::Stale(fingerprint("s"));
    assert_eq!(moves(&mut story, 7400, &[stale(), stale(), P]), (vec![app(0), app(1)], Part::All));
    story
}

/// A repair waits for nobody. What the app answers once it had time is told, and nothing follows from it.
#[test]
fn who_was_repaired_is_asked_how_he_is_and_what_is_found_is_told() {
    let mut story = about_to_repair();
    let repair = story.journal.repair().unwrap();
    assert_eq!((repair.apps.len(), repair.moved), (1, at(7400)), "only a health tells how an app is");
    let asks = Decision::Do(Step::Gate(Gated::Repaired));
    story.policy.home = None;
    // Nobody is left who is due: all have the key that was made for it.
    let seen = |time| seen(time, &[S, S, S]);
    let waits = Decision::Waiting { reason: WaitFor::Gate(Gated::Repaired), until: at(7460) };
    assert_eq!(story.look(&seen(7401)), waits, "that is before the end of the grace");
    assert_eq!(story.look(&seen(7460)), asks);
    let mut well = story.clone();
    well.event(at(7461), Event::RepairPassed { left: vec![] });
    assert!(well.journal.repair().is_none());
    story.event(at(7800), Event::RepairFailed { detail: "503".into() });
    let decision = story.look(&seen(7801));
    assert!(matches!(decision, Decision::Waiting { reason: WaitFor::Grace(_), .. }), "{decision:?}");
    let told = Standing::NotBack { at: at(7800), detail: "503".into() };
    assert_eq!(
        standing(&seen(7801), &story.journal, &decision, &story.policy, at(90_000)),
        Some(told),
        "until a person says so"
    );
    story.event(at(90_000), Event::Unblocked {});
    assert_eq!(standing(&seen(7801), &story.journal, &decision, &story.policy, at(90_001)), None);
}

/// A repair of others does not make one forgotten who is still ill.
#[test]
fn who_was_not_well_after_a_repair_is_asked_again_with_those_of_the_next() {
    let mut story = about_to_repair();
    story.event(at(7800), Event::RepairFailed { detail: "503".into() });
    story.event(at(8000), Event::RepairIntended { apps: vec![app(1)] });
    let repair = story.journal.repair().unwrap();
    assert_eq!(repair.apps, BTreeSet::from([app(0), app(1)]));
    assert_eq!((repair.moved, &repair.failed), (at(8000), &None));
}

/// Its wave has a gate of its own.
#[test]
fn who_is_moved_after_he_was_repaired_is_asked_as_one_of_his_wave() {
    let mut story = about_to_repair();
    story.policy.waves = BTreeMap::new();
    moves(&mut story, 7410, &[P, P, P]);
    assert!(story.journal.repair().is_none() && story.journal.wave().is_some());
}

/// What `rotate --now` asks for after a wave was moved back. Others have the key already that it did not come back with: they
/// are united first, and all of them get another after that.
#[test]
fn after_a_wave_that_was_moved_back_a_rotation_makes_another_key_once_nobody_holds_both() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    story.event(at(7365), Event::GatePassed { number: 1, left: vec![] });
    moves(&mut story, 7965, &[S, P, P]);
    let then = AfterGate::RollBack;
    story.event(at(8400), Event::GateFailed { number: 2, detail: "503".into(), then });
    let blocked = story.look(&seen(8410, &[S, P, P]));
    assert!(matches!(blocked, Decision::Blocked(BlockedBy::Unhealthy { wave: 2, .. })), "{blocked:?}");
    let mut asked = story.clone();
    story.event(at(8500), Event::Unblocked {});
    assert_eq!(moves(&mut story, 8501, &[S, P, P]), (vec![app(1), app(2)], wave(2)));
    asked.event(at(8500), Event::RotationRequested { compromised: false, noticed: false });
    assert_eq!(moves(&mut asked, 8501, &[S, P, P]), (vec![app(1), app(2)], wave(2)), "to the same key");
    asked.event(at(8600), Event::GatePassed { number: 2, left: vec![] });
    asked.look(&seen(8601, &[S, S, S]));
    let another = asked.look(&seen(8601 + 7200, &[S, S, S]));
    assert_eq!(another, Decision::Do(Step::Regenerate(KeyType::Primary)));
    asked.regenerate(at(8601 + 7200), KeyType::Primary, "p2");
    asked.event(at(16_000), Event::Verified { key_type: KeyType::Primary });
    let moved = asked.look(&snapshot(at(16_000), "p2", "s2", &[S, S, S]));
    assert!(matches!(moved, Decision::Do(Step::Repoint { to: KeyType::Primary, .. })), "{moved:?}");
}

/// The next one is due before the last wave is moved: no end is foreseen, and nothing is wrong with the journal.
#[test]
fn a_rotation_that_is_longer_than_the_time_between_two_has_no_end() {
    let mut story = about_to_move();
    let seen = seen(7301, &[P, P, P]);
    let end = |story: &Story| forecast(&seen, &story.journal, &story.policy, seen.at, false).end;
    assert!(matches!(end(&story), Some(Decision::Settled { .. })), "{:?}", end(&story));
    story.policy.waves = BTreeMap::from([(app(0), 1), (app(1), 2), (app(2), 3)]);
    story.policy.pause_between_waves = Duration::from_secs(40 * 86_400);
    assert_eq!(end(&story), None);
}

#[test]
fn how_long_moving_takes_counts_the_waves_the_steps_and_the_pauses() {
    let mut story = about_to_move();
    story.policy.waves = BTreeMap::from([(app(0), 1), (app(1), 2), (app(2), 2)]);
    let order = WaveOrder::of(&seen(7301, &[P, P, P]), &story.policy);
    assert_eq!(order.sizes(), [1, 2]);
    let alone = WaveOrder::configured((0..3).map(app), &story.policy);
    assert_eq!(order, alone, "nobody reads what another one holds");
    let step = TimeDelta::seconds(5 + 60 + 5);
    let (first, pause) = (TimeDelta::seconds(79), delta(story.policy.pause_between_waves));
    assert!(pause > TimeDelta::zero());
    assert_eq!(takes_in_waves(&order, &story.policy), first + step * 2 + pause);
    story.policy.restarts_at_once = 1;
    assert_eq!(takes_in_waves(&order, &story.policy), first + step * 3 + pause);
}

/// One of two who are to be repaired cannot be, and is tried again by each run: the other keeps his time, and what is said of him
/// is not said of the one who still holds an invalid key.
#[test]
fn who_was_repaired_keeps_his_time_while_another_is_tried_again() {
    let mut story = about_to_move();
    story.policy.watched = BTreeSet::from([app(0), app(1)]);
    let stale = || Holding::Stale(fingerprint("s"));
    let begin = |story: &mut Story, time, holds: &[Holding]| {
        let Decision::Do(Step::Repoint { to, consumers, repair: true, part }) =
            story.look(&seen(time, holds))
        else {
            panic!("not repaired");
        };
        let begun = begun((part, true), to, &consumers, &story.policy).unwrap();
        story.event(at(time), begun);
        story.event(at(time), Event::RepointIntended { key_type: to });
        to
    };
    let to = begin(&mut story, 7400, &[stale(), stale(), P]);
    story.event(at(7400), Event::Repointed { key_type: to, apps: vec![app(0)], repaired: true });
    let half = [Holding::Valid(to), stale(), P];
    let beside =
        |story: &Story, time| gates_beside(&seen(time, &half), &story.journal, &story.policy, at(time));
    for time in [7420, 7440, 7459] {
        begin(&mut story, time, &half);
        assert_eq!(beside(&story, time), None, "he has his time");
    }
    assert_eq!(beside(&story, 7460), Some(Step::Gate(Gated::Repaired)));
    let repair = story.journal.repair().unwrap();
    assert_eq!(repaired_of(repair, &seen(7460, &half)), [app(0)].into());
    let mut failed = story.clone();
    failed.event(at(7800), Event::RepairFailed { detail: "503".into() });
    begin(&mut failed, 7900, &half);
    assert!(
        failed.journal.repair().unwrap().failed.is_some(),
        "it is told once, and not forgotten for a try at the other"
    );
    let passes = repair_passes(repair, &seen(7460, &half));
    assert_eq!(passes, Event::RepairPassed { left: vec![app(1)] });
    story.event(at(7461), passes);
    assert_eq!(beside(&story, 9000), None, "nobody is left who could be asked");
    begin(&mut story, 9001, &half);
    story.event(at(9001), Event::Repointed { key_type: to, apps: vec![app(1)], repaired: true });
    assert_eq!(story.journal.repair().unwrap().moved, at(9001));
}

/// Two read what a third holds, and one of them cannot be restarted: with him the others are asked again, for none of them can be
/// moved back alone.
#[test]
fn those_who_can_only_be_moved_together_are_left_together() {
    let mut story = about_to_move();
    story.policy.waves = BTreeMap::new();
    story.policy.restarts_at_once = 9;
    moves(&mut story, 7301, &[P, P, P]);
    let mut seen = seen(7370, &[S, P, S]);
    seen.reads = vec![(app(0), app(2)), (app(1), app(2))].into_iter().collect();
    let passed = passes(story.journal.wave().unwrap(), &seen, &story.policy);
    assert_eq!(passed, Event::GatePassed { number: 2, left: vec![app(0), app(1), app(2)] });
}

/// What is compromised waits for no gate, and who is waited for is not forgotten for it.
#[test]
fn who_is_waited_for_when_the_next_are_moved_stays_to_be_told() {
    let mut story = about_to_move();
    moves(&mut story, 7301, &[P, P, P]);
    story.event(at(7310), Event::RotationRequested { compromised: true, noticed: true });
    let (moved, part) = moves(&mut story, 7311, &[S, P, P]);
    assert_eq!((moved, part), (vec![app(1), app(2)], Part::Wave { number: 2, waits: false }));
    let repair = story.journal.repair().expect("it is asked");
    assert_eq!((repair.apps.clone(), repair.moved, &repair.failed), ([app(0)].into(), at(7301), &None));
    assert_eq!(story.look(&seen(7361, &[S, S, S])), Decision::Do(Step::Gate(Gated::Repaired)));
}

/// Each run tries in vain to move an app, the last one a moment ago: that the runs before it tried too is told.
#[test]
fn tries_right_after_one_another_count_from_the_first() {
    let mut story = about_to_move();
    story.policy.waves = BTreeMap::new();
    let stands = |story: &mut Story, time| {
        let decision = story.look(&seen(time, &[P, P, P]));
        standing(&seen(time, &[P, P, P]), &story.journal, &decision, &story.policy, at(time))
    };
    let in_vain = |time| Some(Standing::NotGivenOut { key_type: STANDBY, at: at(time) });
    for time in [7310, 7370] {
        story.event(at(time), Event::RepointIntended { key_type: STANDBY });
        assert_eq!(stands(&mut story, time + 50), None, "a run may be at it");
    }
    story.event(at(7430), Event::RepointIntended { key_type: STANDBY });
    assert_eq!(stands(&mut story, 7431), in_vain(7430));
    // One that gave it to somebody ends the row.
    story.event(at(7432), Event::RepointIntended { key_type: STANDBY });
    story.event(at(7432), Event::Repointed { key_type: STANDBY, apps: vec![app(2)], repaired: false });
    story.event(at(7433), Event::RepointIntended { key_type: STANDBY });
    assert_eq!(stands(&mut story, 7434), None);
    assert_eq!(stands(&mut story, 7433 + 120), in_vain(7433));
}

/// Where the keys were regenerated since, nobody was ever to be given the one that Azure lists now.
#[test]
fn a_key_that_is_new_was_tried_by_nobody() {
    let mut story = about_to_move();
    story.policy.waves = BTreeMap::new();
    story.event(at(7310), Event::RepointIntended { key_type: STANDBY });
    story.event(at(7311), Event::Repointed { key_type: STANDBY, apps: vec![app(0)], repaired: true });
    let stands = |snapshot: &Snapshot| {
        let to =
            Decision::Do(Step::Repoint { to: STANDBY, consumers: vec![], repair: true, part: Part::All });
        standing(snapshot, &story.journal, &to, &story.policy, at(9000))
    };
    assert!(matches!(stands(&seen(9000, &[P])), Some(Standing::NotGivenOut { .. })));
    assert_eq!(stands(&snapshot(at(9000), "p", "s3", &[P])), None);
}
