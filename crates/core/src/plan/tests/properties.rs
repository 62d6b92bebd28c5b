//! What holds in every world and every interleaving.

use proptest::prelude::*;

use super::world::{Kill, Move, World};
use super::*;
use crate::policy::{ApprovalPolicy, OnUnhealthy};

/// It goes out of sight, takes a key there, gets another id, and is deleted: until then it held the key, and its grace begins.
#[test]
fn who_vanished_out_of_sight_may_have_held_either_key_until_it_is_deleted() {
    use KeyType::{Primary, Secondary};
    let mut world = World::new(&[Secondary, Secondary, Primary], false, FirstRotation::Now);
    for change in [
        Move::Pass { steps: 3, kill: Kill::No },
        Move::Time(7199),
        Move::Pass { steps: 5, kill: Kill::No },
        Move::Readable { app: 0, readable: false },
        Move::Edit { app: 0, to: Secondary, beside: false },
        Move::Rename { app: 0, named: false },
        Move::Pass { steps: 1, kill: Kill::No },
        Move::Time(899),
        Move::Delete { app: 0 },
        Move::Request { compromised: true },
        Move::Pass { steps: 1, kill: Kill::No },
    ] {
        // The world itself knows when a key was last held, and refuses what comes within its grace.
        world.make(&change);
    }
    let seen = world.look();
    let decision = decide(&seen, &world.journal, &world.policy, world.now);
    assert!(matches!(decision, Decision::Waiting { reason: WaitFor::Grace(_), .. }), "{decision:?}");
}

/// An app took our new key and left it, and then somebody else regenerated it: his key may be held until it is found.
#[test]
fn a_key_that_replaced_ours_unseen_gets_its_own_grace() {
    use KeyType::{Primary, Secondary};
    let mut world = World::new(&[Secondary], false, FirstRotation::WhenDue);
    let a_step = || Move::Pass { steps: 1, kill: Kill::No };
    for change in [
        a_step(),
        Move::Askable(false),
        Move::Time(2_591_999),
        a_step(),
        Move::Edit { app: 0, to: Primary, beside: false },
        a_step(),
        a_step(),
        a_step(),
        Move::Time(212),
        Move::Outside(Secondary),
        Move::Time(113),
        Move::Outside(Primary),
    ] {
        world.make(&change);
    }
    world.pass_time(100);
    // The world itself refuses what comes within a key's grace.
    for _ in 0..200 {
        if matches!(world.pass(20, Kill::No), Decision::Settled { .. }) {
            return;
        }
        world.pass_time(600);
    }
    panic!("does not settle: {world:#?}");
}

fn key_type() -> impl Strategy<Value = KeyType> {
    prop_oneof![Just(KeyType::Primary), Just(KeyType::Secondary)]
}

pub(super) fn a_move() -> impl Strategy<Value = Move> {
    let kill = prop_oneof![
        4 => Just(Kill::No),
        1 => Just(Kill::BeforeSend),
        1 => Just(Kill::BeforeAnswer),
        1 => (0..3_usize).prop_map(Kill::AfterRepointOf),
    ];
    let time = prop_oneof![1..200_i64, 200..20_000_i64, 80_000..3_000_000_i64];
    prop_oneof![
        6 => (1..12_usize, kill).prop_map(|(steps, kill)| Move::Pass { steps, kill }),
        4 => time.prop_map(Move::Time),
        1 => key_type().prop_map(Move::Outside),
        1 => (0..4_usize, key_type(), any::<bool>()).prop_map(|(app, to, beside)| Move::Edit { app, to, beside }),
        1 => (0..4_usize, any::<bool>()).prop_map(|(app, readable)| Move::Readable { app, readable }),
        1 => (0..4_usize).prop_map(|app| Move::Delete { app }),
        1 => (0..4_usize, any::<bool>()).prop_map(|(app, named)| Move::Rename { app, named }),
        1 => any::<bool>().prop_map(|compromised| Move::Request { compromised }),
        1 => any::<bool>().prop_map(Move::Askable),
        1 => Just(Move::Unblock),
        2 => (0..2_usize, any::<bool>()).prop_map(|(external, reports)| Move::Fetch { external, reports }),
        2 => (0..2_usize, any::<bool>()).prop_map(|(external, by_a_person)| Move::Report { external, by_a_person }),
        1 => (0..2_usize, key_type()).prop_map(|(reader, key_type)| Move::ReadersLeft { reader, key_type }),
        1 => (1..170_000_i64).prop_map(Move::Pause),
        1 => Just(Move::Resume),
        1 => Just(Move::Approve),
        1 => (key_type(), 1..400_000_i64).prop_map(|(key_type, ahead)| Move::Announce { key_type, ahead }),
        2 => (0..4_usize, any::<bool>()).prop_map(|(app, ill)| Move::Ill { app, ill }),
    ]
}

/// Waves, or none; with a gate, or none; and a pause between them, or none.
fn waves() -> impl Strategy<Value = Policy> {
    let numbers = prop::collection::vec(1..4_u32, 4);
    let of_apps = prop_oneof![1 => Just(vec![]), 2 => numbers];
    let after = prop_oneof![Just(OnUnhealthy::RollBack), Just(OnUnhealthy::Stop)];
    (of_apps, 0..3_u32, prop::sample::select(vec![0, 3600]), after, any::<bool>()).prop_map(
        |(numbers, restarts_at_once, pause, on_unhealthy, watched)| Policy {
            waves: numbers.into_iter().enumerate().map(|(n, wave)| (app(n), wave)).collect(),
            watched: watched.then(|| app(0)).into_iter().collect(),
            restarts_at_once,
            pause_between_waves: Duration::from_secs(pause),
            on_unhealthy,
            ..policy()
        },
    )
}

/// Windows of every night, or none, a freeze of a few days, or none, and rotations that a person has to approve, or not.
pub(super) fn a_policy() -> impl Strategy<Value = Policy> {
    let window =
        prop::sample::select(vec!["daily 02:00-04:00 Europe/Berlin", "daily 22:00-01:00 America/New_York"]);
    let freeze =
        prop::sample::select(vec!["1970-01-12..1970-01-13 UTC", "1970-02-10..1970-02-14 Asia/Kolkata"]);
    let approval = prop_oneof![2 => Just(ApprovalPolicy::None), 1 => Just(ApprovalPolicy::Required)];
    let later = prop::sample::select(vec![0, 3600, 80_000]);
    let home = prop::option::of(key_type());
    (prop::option::of(window), prop::option::of(freeze), later, approval, home, waves()).prop_map(
        |(window, freeze, later, approval, home, waves)| Policy {
            approval,
            home,
            windows: window.iter().map(|text| text.parse().unwrap()).collect(),
            freezes: freeze.iter().map(|text| text.parse().unwrap()).collect(),
            due_later: Duration::from_secs(later),
            ..waves
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Invariants 1, 2 and 3 in every world and interleaving, and every world settles.
    #[test]
    fn nobody_is_ever_cut_off_and_every_world_settles(
        holds in prop::collection::vec(key_type(), 1..4),
        listed_at_once in any::<bool>(),
        now in any::<bool>(),
        askable_at_last in any::<bool>(),
        externals in prop::collection::vec(key_type(), 0..3),
        readers_within in prop_oneof![3 => Just([0_i64, 0]), 1 => Just([86_400, 0]), 1 => Just([7_200, 86_400])],
        policy in a_policy(),
        moves in prop::collection::vec(a_move(), 0..40),
    ) {
        let first = if now { FirstRotation::Now } else { FirstRotation::WhenDue };
        let mut world = World::new(&holds, listed_at_once, first).with(&externals, readers_within);
        world.policy = Policy { first_rotation: first, ..policy };
        for change in &moves {
            world.make(change);
        }
        world.apps.iter_mut().for_each(|app| (app.readable, app.renamed, app.ill) = (true, false, false));
        // A person looks at a wave that did not come back, once it is back on the key that it had.
        world.pass_time(100);
        while matches!(world.pass(20, Kill::No), Decision::Do(Step::Repoint { part: Part::Back(_), .. })) {}
        world.make(&Move::Unblock);
        world.askable = askable_at_last;
        world.pass_time(100);
        let mut passes = 0;
        // Whoever only others can change does what is asked of it, and says so.
        (0..externals.len()).for_each(|external| world.make(&Move::Fetch { external, reports: true }));
        while !matches!(world.pass(20, Kill::No), Decision::Settled { .. }) {
            world.pass_time(600);
            world.approve();
            (0..externals.len()).for_each(|external| world.make(&Move::Fetch { external, reports: true }));
            let decision = decide(&world.look(), &world.journal, &world.policy, world.now);
            let blocked = matches!(&decision, Decision::Blocked(BlockedBy::Unhealthy { .. }));
            prop_assert!(!blocked, "a gate fails with everybody well: {world:#?}");
            passes += 1;
            // A month: three moves of three waves each, two waves to a night, five days of freeze, and a day for readers that
            // nobody sees before each of three regenerations, which can cost the next night too.
            prop_assert!(passes < 4_500, "does not settle: {world:#?}");
        }
        world.pass_time(100);
        for one in &world.externals {
            prop_assert!(world.works(one.holds), "left behind with a dead key: {world:#?}");
        }
        for app in world.apps.iter().filter(|app| !app.deleted) {
            prop_assert!(world.all_work(app), "left behind with a dead key: {world:#?}");
        }
    }

    /// Whatever happened before, a rotation that nobody disturbs ends with everybody at home, on a key that it made, and has
    /// made the other as well. (The world itself refuses whatever would cut somebody off.)
    #[test]
    fn a_rotation_ends_at_home_and_both_keys_are_new(
        holds in prop::collection::vec(key_type(), 1..4),
        listed_at_once in any::<bool>(),
        home in key_type(),
        policy in a_policy(),
        moves in prop::collection::vec(a_move(), 0..20),
    ) {
        let mut world = World::new(&holds, listed_at_once, FirstRotation::Now);
        world.policy = Policy { home: Some(home), ..policy };
        // Whom a notice has moved stays where he is.
        let moves = moves.iter().filter(|change| !matches!(change, Move::Announce { .. }));
        moves.for_each(|change| world.make(change));
        prop_assume!(world.apps.iter().any(|app| !app.deleted));
        world.apps.iter_mut().for_each(|app| (app.readable, app.renamed, app.ill) = (true, false, false));
        world.askable = true;
        world.pass_time(100);
        while matches!(world.pass(20, Kill::No), Decision::Do(Step::Repoint { part: Part::Back(_), .. })) {}
        world.make(&Move::Unblock);
        world.make(&Move::Resume);
        world.settle();
        let before = world.journal.keys().unwrap().clone();
        world.make(&Move::Request { compromised: false });
        world.settle();
        let keys = world.journal.keys().unwrap();
        for (key_type, record) in keys.iter() {
            prop_assert!(record.fingerprint != before[key_type].fingerprint, "{key_type} is as it was: {world:#?}");
        }
        let seen = world.look();
        let at_home = seen.consumers.iter().all(|consumer| consumer.holds == Holding::Valid(home));
        prop_assert!(at_home, "somebody is not at home: {world:#?}");
    }

    /// From every world a forecast comes to its end, and begins with what is decided now; who is stale comes first.
    #[test]
    fn a_forecast_comes_to_its_end(
        holds in prop::collection::vec(key_type(), 1..4),
        listed_at_once in any::<bool>(),
        externals in prop::collection::vec(key_type(), 0..3),
        policy in a_policy(),
        moves in prop::collection::vec(a_move(), 0..40),
        asked in any::<bool>(),
    ) {
        let mut world = World::new(&holds, listed_at_once, FirstRotation::Now).with(&externals, [0, 0]);
        world.policy = policy;
        moves.iter().for_each(|change| world.make(change));
        let seen = world.look();
        let foreseen = forecast(&seen, &world.journal, &world.policy, world.now, asked);
        prop_assert!(foreseen.steps.len() < 80, "it goes on and on: {foreseen:#?}");
        let ends = matches!(foreseen.end, Some(Decision::Settled { .. } | Decision::Blocked(BlockedBy::Unknown(_))));
        let fails = matches!(foreseen.end, Some(Decision::Blocked(BlockedBy::RegenerationFails { .. } | BlockedBy::KeyRefused { .. } | BlockedBy::ExternalLate { .. } | BlockedBy::Unhealthy { .. } | BlockedBy::NotApproved(_))));
        prop_assert!(ends || fails, "{foreseen:#?}");
        if !asked {
            let mut journal = world.journal.clone();
            for event in reconcile(&seen, &journal, &world.policy, world.now) {
                journal.apply(event, world.now).unwrap();
            }
            let now = decide(&seen, &journal, &world.policy, world.now);
            let first = foreseen.steps.first().map(|step| &step.decision).or(foreseen.end.as_ref());
            prop_assert_eq!(first, Some(&now));
        }
        let repairs = |foreseen: &Foreseen| matches!(foreseen.decision, Decision::Do(Step::Repoint { repair: true, .. }));
        prop_assert!(seen.stale().is_empty() || repairs(&foreseen.steps[0]), "{foreseen:#?}");
        prop_assert!(foreseen.steps.is_sorted_by_key(|step| step.at) && foreseen.over >= world.now);
    }

    /// What windows, freezes, a pause and a missing approval hold back is what moves consumers that work, or prepares for it. All
    /// else is decided as if there were none of them: repairs, what is under way, proofs, and the end of a key that was left.
    #[test]
    fn nothing_but_a_rotation_is_ever_held_back(
        holds in prop::collection::vec(key_type(), 1..4),
        listed_at_once in any::<bool>(),
        externals in prop::collection::vec(key_type(), 0..3),
        policy in a_policy(),
        moves in prop::collection::vec(a_move(), 0..40),
    ) {
        let mut world = World::new(&holds, listed_at_once, FirstRotation::Now).with(&externals, [0, 0]);
        world.policy = policy;
        moves.iter().for_each(|change| world.make(change));
        let (seen, mut journal) = (world.look(), world.journal.clone());
        for event in reconcile(&seen, &journal, &world.policy, world.now) {
            journal.apply(event, world.now).unwrap();
        }
        let mut free = journal.clone();
        free.apply(Event::Resumed { by: "somebody".into() }, world.now).unwrap();
        let at_any_time = Policy {
            windows: vec![],
            freezes: vec![],
            approval: ApprovalPolicy::None,
            ..world.policy.clone()
        };
        let free = decide(&seen, &free, &at_any_time, world.now);
        let held = decide(&seen, &journal, &world.policy, world.now);
        let rotates = match &free {
            Decision::Do(Step::Repoint { repair, .. }) => !repair,
            Decision::Do(Step::Regenerate(_))
            | Decision::Waiting { reason: WaitFor::Grace(_) | WaitFor::Readers { .. } | WaitFor::BetweenWaves(_), .. } => {
                true
            }
            _ => false,
        };
        let holds = match &held {
            Decision::Waiting { reason, .. } => reason.is_for_calendar() || matches!(reason, WaitFor::Approval { .. }),
            Decision::Blocked(BlockedBy::NeverOpens { .. } | BlockedBy::NotApproved(_)) => true,
            Decision::Blocked(BlockedBy::Unknown(_)) => !seen.unknown.is_empty(),
            _ => false,
        };
        prop_assert!(held == free || (rotates && holds), "{held:?} in place of {free:?}: {world:#?}");
    }

    /// decide is total: whatever the journal and the snapshot, even when they have nothing to do with each other.
    #[test]
    fn decide_never_panics(
        moves in prop::collection::vec(a_move(), 0..20),
        others in prop::collection::vec(a_move(), 0..20),
        seconds in any::<i32>(),
    ) {
        let both = [KeyType::Primary, KeyType::Secondary];
        let mut one = World::new(&both, true, FirstRotation::Now).with(&both, [0, 0]);
        moves.iter().for_each(|change| one.make(change));
        let mut other = World::new(&[KeyType::Secondary], false, FirstRotation::WhenDue);
        others.iter().for_each(|change| other.make(change));
        let now = one.now + TimeDelta::seconds(i64::from(seconds));
        let mut journal = one.journal.clone();
        for event in reconcile(&other.look(), &journal, &one.policy, now) {
            journal.apply(event, now).unwrap();
        }
        drop(decide(&other.look(), &one.journal, &one.policy, now));
        drop(decide(&other.look(), &journal, &one.policy, now));
    }
}
