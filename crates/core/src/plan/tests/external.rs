//! Those that only others can change: what is waited for, how long, and what stays away.

use super::*;

const IIS: &str = "reporter:iis-01";
const GATEWAY: &str = "manual:gateway";
const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 86_400;

fn id(text: &str) -> ConsumerId {
    text.parse().unwrap()
}

fn external(text: &str, within: i64) -> External {
    External { id: id(text), within: Duration::from_secs(within.unsigned_abs()), owner: None, ticket: None }
}

/// A service with apps, a machine that reports, and what a person changes.
struct Told(Story);

impl Told {
    /// Both hold the primary key, as the apps do.
    fn new() -> Self {
        let mut told = Self(Story::new());
        told.report(0, IIS, "p");
        told.report(0, GATEWAY, "p");
        told
    }

    fn report(&mut self, time: i64, who: &str, key: &str) {
        let event = Event::Reported { consumer: id(who), fingerprint: fingerprint(key) };
        self.0.event(at(time), event);
    }

    fn snapshot(&self, time: i64, keys: [&str; 2], holds: &[Holding]) -> Snapshot {
        let mut seen = snapshot(at(time), keys[0], keys[1], holds);
        seen.add_external([external(IIS, HOUR), external(GATEWAY, WEEK)], &self.0.journal);
        seen
    }

    fn look(&mut self, time: i64, keys: [&str; 2], holds: &[Holding]) -> Decision {
        let seen = self.snapshot(time, keys, holds);
        self.0.look(&seen)
    }

    /// A rotation whose apps are moved to the new secondary key; when that was.
    fn moved() -> (Self, i64) {
        let (mut told, grace, key_type) = (Self::new(), 7200, KeyType::Secondary);
        told.look(0, ["p", "s"], &[P, P]);
        assert_eq!(told.look(grace, ["p", "s"], &[P, P]), Decision::Do(Step::Regenerate(key_type)));
        told.0.regenerate(at(grace), key_type, "s2");
        told.0.event(at(grace + 80), Event::Verified { key_type });
        let Decision::Do(Step::Repoint { consumers, .. }) = told.look(grace + 81, ["p", "s2"], &[P, P])
        else {
            panic!("not moved");
        };
        assert_eq!(consumers.len(), 2, "the apps alone: {consumers:?}");
        (told, grace + 90)
    }
}

/// Whom a decision waits for, with the seconds since when; or who is late.
fn waits_for(decision: &Decision) -> (Vec<(String, i64)>, bool) {
    let (who, late) = match decision {
        Decision::Waiting { reason: WaitFor::External { key_type: KeyType::Primary, who, .. }, .. } => {
            (who, false)
        }
        Decision::Blocked(BlockedBy::ExternalLate { key_type: KeyType::Primary, who, .. }) => (who, true),
        other => panic!("{other:?}"),
    };
    let told = who.iter().map(|one| (one.consumer.name(), one.since.timestamp()));
    (told.collect(), late)
}

fn named(all: &[(&str, i64)]) -> Vec<(String, i64)> {
    all.iter().map(|(name, since)| ((*name).to_owned(), *since)).collect()
}

#[test]
fn the_old_key_lives_until_everybody_said_that_he_left_it_and_its_grace_is_over() {
    let (mut told, moved) = Told::moved();
    let waiting = told.look(moved, ["p", "s2"], &[S, S]);
    assert_eq!(waits_for(&waiting), (named(&[("iis-01", moved), ("gateway", moved)]), false));
    assert!(matches!(waiting, Decision::Waiting { until, .. } if until == at(moved + HOUR)));

    told.report(moved + 60, IIS, "s2");
    let rest = told.look(moved + 61, ["p", "s2"], &[S, S]);
    assert_eq!(waits_for(&rest), (named(&[("gateway", moved)]), false));

    let by = "ada".to_owned();
    let event = Event::Acknowledged { consumer: id(GATEWAY), fingerprint: fingerprint("s2"), by };
    told.0.event(at(moved + 86_400), event);
    let left = moved + 86_401;
    let grace = told.look(left, ["p", "s2"], &[S, S]);
    let reason = WaitFor::Grace(KeyType::Primary);
    assert_eq!(grace, Decision::Waiting { reason, until: at(left + 7200) });
    let end = told.look(left + 7200, ["p", "s2"], &[S, S]);
    assert_eq!(end, Decision::Do(Step::Regenerate(KeyType::Primary)));
}

#[test]
fn who_is_late_blocks_by_name_and_holds_nothing_up_once_he_reports() {
    let (mut told, moved) = Told::moved();
    told.look(moved, ["p", "s2"], &[S, S]);
    let in_time = told.look(moved + HOUR - 1, ["p", "s2"], &[S, S]);
    assert!(matches!(in_time, Decision::Waiting { .. }), "{in_time:?}");
    let late = told.look(moved + HOUR, ["p", "s2"], &[S, S]);
    assert_eq!(waits_for(&late), (named(&[("iis-01", moved)]), true), "and the person has a week");
    let all: Vec<String> = late.awaits().map(|(_, one)| one.consumer.name()).collect();
    assert_eq!(all, ["iis-01", "gateway"], "who has time left is told as well");
    told.report(moved + HOUR + 1, IIS, "s2");
    let goes_on = told.look(moved + HOUR + 2, ["p", "s2"], &[S, S]);
    assert_eq!(waits_for(&goes_on), (named(&[("gateway", moved)]), false));
}

#[test]
fn a_later_report_of_the_old_key_is_waited_for_anew() {
    let (mut told, moved) = Told::moved();
    told.report(moved, IIS, "s2");
    told.report(moved, GATEWAY, "s2");
    told.look(moved + 1, ["p", "s2"], &[S, S]);
    told.report(moved + 5000, IIS, "p");
    let again = told.look(moved + 5001, ["p", "s2"], &[S, S]);
    assert_eq!(waits_for(&again), (named(&[("iis-01", moved + 5001)]), false));
    told.report(moved + 5100, IIS, "p");
    let late = told.look(moved + 5001 + HOUR, ["p", "s2"], &[S, S]);
    assert!(waits_for(&late).1, "that it says so again puts nothing off");
}

#[test]
fn what_it_took_and_left_between_two_checks_it_has_held() {
    let (mut told, moved) = Told::moved();
    told.report(moved, IIS, "s2");
    told.report(moved, GATEWAY, "s2");
    told.look(moved + 1, ["p", "s2"], &[S, S]);
    told.report(moved + 7000, IIS, "p");
    told.report(moved + 7100, IIS, "s2");
    let decision = told.look(moved + 7201, ["p", "s2"], &[S, S]);
    let reason = WaitFor::Grace(KeyType::Primary);
    assert_eq!(decision, Decision::Waiting { reason, until: at(moved + 7201 + 7200) });
}

#[test]
fn of_whom_nothing_was_ever_said_may_hold_either_key() {
    let mut told = Told(Story::new());
    told.report(0, GATEWAY, "p");
    for time in [0, 7200, 30 * 86_400] {
        let blocked = told.look(time, ["p", "s"], &[P]);
        let unsaid = external(IIS, HOUR).never_reported();
        assert_eq!(blocked, Decision::Blocked(BlockedBy::Unknown(vec![unsaid])));
    }
    told.report(30 * 86_400, IIS, "p");
    let decision = told.look(30 * 86_400 + 1, ["p", "s"], &[P]);
    let reason = WaitFor::Grace(KeyType::Secondary);
    assert_eq!(
        decision,
        Decision::Waiting { reason, until: at(30 * 86_400 + 1 + 7200) },
        "it may have held it"
    );
}

#[test]
fn who_is_cut_off_by_a_regeneration_from_outside_is_told_so_and_not_written() {
    let mut told = Told::new();
    told.look(0, ["p", "s"], &[P]);
    let stale = Holding::Stale(fingerprint("p"));
    let Decision::Do(Step::Repoint { consumers, repair: true, .. }) = told.look(100, ["p2", "s"], &[stale])
    else {
        panic!("not repaired");
    };
    assert_eq!(consumers.iter().map(|one| one.app.clone()).collect::<Vec<_>>(), [app(0)]);
    let seen = told.snapshot(110, ["p2", "s"], &[S]);
    let external = |who| CutOff::External { consumer: id(who), owner: None, ticket: None };
    assert_eq!(seen.cut_off(), [external(IIS), external(GATEWAY)]);
    let blocked = told.0.look(&seen);
    assert!(
        matches!(&blocked, Decision::Blocked(BlockedBy::Unknown(unknown)) if unknown.len() == 2),
        "{blocked:?}"
    );
    assert!(told.0.journal.is_unrepaired());
    told.report(200, IIS, "s");
    told.report(210, GATEWAY, "s");
    let healed = told.look(220, ["p2", "s"], &[S]);
    assert!(!told.0.journal.is_unrepaired() && !matches!(healed, Decision::Blocked(_)), "{healed:?}");
}

#[test]
fn compromised_keys_shorten_no_wait_for_them() {
    let (mut told, moved) = Told::moved();
    told.look(moved, ["p", "s2"], &[S, S]);
    told.0.event(at(moved + 1), Event::RotationRequested { compromised: true, noticed: true });
    let waiting = told.look(moved + 2, ["p", "s2"], &[S, S]);
    assert_eq!(waits_for(&waiting), (named(&[("iis-01", moved), ("gateway", moved)]), false));
}

/// Of two keys that are equally old the apps are moved to the one of a person: they are moved sooner than he is asked.
#[test]
fn apps_are_united_with_those_that_cannot_be_moved() {
    let mut told = Told(Story::new());
    told.report(0, IIS, "s");
    told.report(0, GATEWAY, "s");
    told.look(0, ["p", "s"], &[P, P]);
    told.0.event(at(1), Event::Verified { key_type: KeyType::Secondary });
    let Decision::Do(Step::Repoint { to, .. }) = told.look(2, ["p", "s"], &[P, P]) else {
        panic!("not moved")
    };
    assert_eq!(to, KeyType::Secondary);
}

/// Nobody is there whom we can write: the new key is made, proved, and asked to be taken.
#[test]
fn a_service_of_those_alone_is_rotated_too() {
    let (mut told, key_type) = (Told::new(), KeyType::Secondary);
    told.look(0, ["p", "s"], &[]);
    assert_eq!(told.look(7200, ["p", "s"], &[]), Decision::Do(Step::Regenerate(key_type)));
    told.0.regenerate(at(7200), key_type, "s2");
    assert_eq!(told.look(7280, ["p", "s2"], &[]), Decision::Do(Step::Verify(key_type)));
    told.0.event(at(7281), Event::Verified { key_type });
    let waiting = told.look(7290, ["p", "s2"], &[]);
    assert_eq!(waits_for(&waiting), (named(&[("iis-01", 7290), ("gateway", 7290)]), false));
}

/// The apps went back to the old key, for the new one was regenerated from outside: nobody is to leave the old one.
#[test]
fn a_wait_is_over_when_an_app_takes_the_key_again() {
    let (mut told, moved) = Told::moved();
    told.look(moved, ["p", "s2"], &[S, S]);
    let awaited = |told: &Told| told.0.journal.keys().unwrap().primary.awaited;
    assert_eq!(awaited(&told), Some(at(moved)));
    told.look(moved + 10, ["p", "s2"], &[P, S]);
    assert_eq!(awaited(&told), None);
    let again = told.look(moved + 20, ["p", "s2"], &[S, S]);
    assert_eq!(waits_for(&again).0, named(&[("iis-01", moved + 20), ("gateway", moved + 20)]));
}

fn bounded(time: i64, secret: &ConsumerId) -> Snapshot {
    let readers_within = [(secret.clone(), Duration::from_secs(86_400))].into();
    Snapshot { readers_within, ..snapshot(at(time), "p", "s2", &[S]) }
}

#[test]
fn a_bound_of_readers_ends_by_a_persons_word_and_the_grace_begins_there() {
    let (mut story, secret) = (Story::new(), id("keyVaultSecret:https://v.vault.azure.net/secrets/chat"));
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.regenerate(at(7200), KeyType::Secondary, "s2");
    story.event(at(7280), Event::Verified { key_type: KeyType::Secondary });
    let left = 7300;
    let key_type = KeyType::Primary;
    let grace = |until| Decision::Waiting { reason: WaitFor::Grace(key_type), until: at(until) };
    // Who is waited for is named, with since and until when.
    let wait = |left| {
        let (since, until) = (at(left), at(left + 86_400));
        let who = vec![Unseen { consumer: secret.clone(), since, until }];
        Decision::Waiting { reason: WaitFor::Readers { key_type, who }, until: at(left + 86_400 + 7200) }
    };
    assert_eq!(story.look(&bounded(left, &secret)), wait(left));
    assert_eq!(story.look(&bounded(left + 86_400, &secret)), grace(left + 86_400 + 7200));
    let said = || Event::ReadersAcknowledged {
        consumer: secret.clone(),
        fingerprint: fingerprint("p"),
        by: "ada".into(),
    };
    story.event(at(left + 100), said());
    assert_eq!(story.look(&bounded(left + 101, &secret)), grace(left + 100 + 7200));
    // It was taken again since, and left: what he said was of another time.
    story.look(&Snapshot { consumers: vec![consumer(0, P)], ..bounded(left + 200, &secret) });
    let again = story.look(&bounded(left + 300, &secret));
    assert_eq!(again, wait(left + 300));
}
