//! Every pair of a state and an event: those that fit, and why the others do not.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::*;
use crate::journal::{AfterGate, Fate};
use crate::model::{AppId, ConsumerId, Fingerprint, Key, KeyType, OperationUrl, PerKey};

const PRIMARY: KeyType = KeyType::Primary;
const SECONDARY: KeyType = KeyType::Secondary;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn fingerprint(name: &str) -> Fingerprint {
    Key::new(name).fingerprint()
}

fn shop() -> ConsumerId {
    AppId::new("s", "g", "shop", None).into()
}

fn machine() -> ConsumerId {
    "reporter:iis-01".parse().unwrap()
}

fn reported(key: &str) -> Event {
    Event::Reported { consumer: machine(), fingerprint: fingerprint(key) }
}

fn acknowledged(consumer: ConsumerId, key: &str) -> Event {
    Event::Acknowledged { consumer, fingerprint: fingerprint(key), by: "ada".into() }
}

fn readers_left(consumer: ConsumerId, key: &str) -> Event {
    Event::ReadersAcknowledged { consumer, fingerprint: fingerprint(key), by: "ada".into() }
}

fn wave() -> Event {
    Event::WaveIntended { number: 1, key_type: PRIMARY, apps: vec![shop()] }
}

fn held_back() -> Event {
    Event::WaveHeldBack { number: 1, detail: "503".into() }
}

fn gate_failed(number: u32) -> Event {
    Event::GateFailed { number, detail: "503".into(), then: AfterGate::RollBack }
}

fn repair() -> Event {
    Event::RepairIntended { apps: vec![shop()] }
}

fn repair_failed() -> Event {
    Event::RepairFailed { detail: "503".into() }
}

const fn awaited(awaited: bool) -> Event {
    Event::ExternalAwaited { key_type: PRIMARY, awaited, who: vec![] }
}

fn paused(until: i64) -> Event {
    Event::Paused { until: at(until), by: "ada".into(), why: "an audit".into() }
}

fn approved(key: &str, until: i64) -> Event {
    Event::Approved { fingerprint: fingerprint(key), until: at(until), by: "ada".into(), noticed: false }
}

fn watch(from: i64, until: i64) -> Event {
    Event::WatchAsked { from: at(from), until: at(until), keys: None }
}

fn accepted(operation: Option<OperationUrl>, promised: Option<&str>) -> Event {
    Event::RegenerationAccepted { operation, promised: promised.map(fingerprint) }
}

fn operation() -> Option<OperationUrl> {
    Some(OperationUrl::location("https://operation"))
}

/// States that differ in what fits them, each with the events that lead there. All but the first begin with an adoption.
fn states() -> Vec<(&'static str, Journal)> {
    let intended = || Event::RegenerationIntended { key_type: PRIMARY };
    let replaced = || Event::Regenerated { fingerprint: fingerprint("p2"), confirmed: true };
    let seen = || Event::AppsSeen {
        apps: [(shop(), vec![])].into(),
        dictionaries: [].into(),
        executions: [].into(),
    };
    let led: Vec<(&'static str, Vec<Event>)> = vec![
        ("at rest", vec![]),
        ("held", vec![Event::Taken { key_type: PRIMARY }]),
        ("verified", vec![Event::Verified { key_type: PRIMARY }]),
        ("unrepaired", vec![Event::KeyChanged { key_type: SECONDARY, fingerprint: fingerprint("s2") }]),
        ("an app in sight", vec![seen()]),
        ("an app out of sight", vec![seen(), Event::AppsBlurred { apps: [shop()].into() }]),
        ("blind", vec![Event::Blinded {}]),
        ("an app missing", vec![Event::AppsMissing { missing: true }]),
        ("many watches", (0..64).map(|_| watch(100, 200)).collect()),
        ("intended", vec![intended()]),
        ("accepted", vec![intended(), accepted(operation(), Some("p2"))]),
        ("accepted, no more told", vec![intended(), accepted(None, None)]),
        ("operation lost", vec![intended(), accepted(operation(), Some("p2")), Event::OperationLost {}]),
        ("being given out", vec![Event::RepointIntended { key_type: PRIMARY }]),
        ("reported to be held", vec![reported("p")]),
        ("waited for", vec![reported("p"), awaited(true)]),
        ("a wave with a gate", vec![wave()]),
        ("a wave rolled back", vec![wave(), gate_failed(1)]),
        ("a wave held back", vec![held_back()]),
        ("a repair with a gate", vec![repair()]),
        ("a repair that failed", vec![repair(), repair_failed()]),
        ("replaced", vec![intended(), replaced()]),
        ("to be proved", vec![intended(), replaced(), Event::Concluded { finished: true }]),
    ];
    let adopted = || {
        let mut journal = Journal::default();
        let keys = PerKey { primary: fingerprint("p"), secondary: fingerprint("s") };
        journal.apply(Event::Adopted { keys }, at(0)).unwrap();
        journal
    };
    let follow = |events: Vec<Event>| {
        let mut journal = adopted();
        events.into_iter().for_each(|event| journal.apply(event, at(1)).unwrap());
        journal
    };
    let led = led.into_iter().map(|(name, events)| (name, follow(events)));
    std::iter::once(("never seen", Journal::default())).chain(led).collect()
}

/// One of each event, and of those that fit or not by what they say one of each sort.
fn events() -> Vec<(&'static str, Event)> {
    let repointed = |key_type| Event::Repointed { key_type, apps: vec![shop()], repaired: false };
    let detail = || "it said so".to_owned();
    vec![
        ("adopted", Event::Adopted { keys: PerKey::from_fn(|_| fingerprint("x")) }),
        ("keyChanged", Event::KeyChanged { key_type: PRIMARY, fingerprint: fingerprint("x") }),
        ("keyChanged, same", Event::KeyChanged { key_type: PRIMARY, fingerprint: fingerprint("p") }),
        ("recovered", Event::Recovered {}),
        (
            "consumersSeen",
            Event::AppsSeen {
                apps: [(shop(), vec![fingerprint("p")])].into(),
                dictionaries: [].into(),
                executions: [].into(),
            },
        ),
        ("consumersBlurred", Event::AppsBlurred { apps: [shop()].into() }),
        ("consumersMissing, true", Event::AppsMissing { missing: true }),
        ("consumersMissing, false", Event::AppsMissing { missing: false }),
        ("taken", Event::Taken { key_type: PRIMARY }),
        ("left", Event::Left { key_type: PRIMARY }),
        ("blinded", Event::Blinded {}),
        ("sighted", Event::Sighted {}),
        ("rotationRequested", Event::RotationRequested { compromised: true, noticed: true }),
        ("watchAsked", watch(100, 200)),
        ("watchAsked, backwards", watch(200, 100)),
        ("heard", Event::Heard { call: 1 }),
        ("unblocked", Event::Unblocked {}),
        ("regenerationIntended", Event::RegenerationIntended { key_type: PRIMARY }),
        ("regenerationAccepted", accepted(operation(), Some("p2"))),
        ("operationLost", Event::OperationLost {}),
        ("regenerated", Event::Regenerated { fingerprint: fingerprint("p2"), confirmed: true }),
        ("regenerated, same", Event::Regenerated { fingerprint: fingerprint("p"), confirmed: true }),
        ("regenerationFailed", Event::RegenerationFailed { detail: detail(), lasting: false }),
        ("verified", Event::Verified { key_type: PRIMARY }),
        ("verificationRefused", Event::VerificationRefused { key_type: PRIMARY, detail: detail() }),
        ("repointIntended", Event::RepointIntended { key_type: PRIMARY }),
        ("repointed", repointed(PRIMARY)),
        ("repointed, the other", repointed(SECONDARY)),
        ("reported", reported("p")),
        ("reported, of no key", reported("x")),
        ("reported, of an app", Event::Reported { consumer: shop(), fingerprint: fingerprint("p") }),
        ("acknowledged", acknowledged(machine(), "p")),
        ("acknowledged, of no key", acknowledged(machine(), "x")),
        ("acknowledged, of an app", acknowledged(shop(), "p")),
        ("readersAcknowledged", readers_left(shop(), "p")),
        ("readersAcknowledged, x", readers_left(shop(), "x")),
        ("readersAcknowledged, not", readers_left(machine(), "p")),
        ("externalAwaited, false", awaited(false)),
        ("externalAwaited", awaited(true)),
        ("paused", paused(100)),
        ("paused, over", paused(9)),
        ("resumed", Event::Resumed { by: "ada".into() }),
        ("approved", approved("p", 100)),
        ("approved, over", approved("p", 9)),
        ("approved, of no key", approved("x", 100)),
        ("waveIntended", wave()),
        ("waveHeldBack", held_back()),
        ("gatePassed", Event::GatePassed { number: 1, left: vec![] }),
        ("gatePassed, another", Event::GatePassed { number: 2, left: vec![] }),
        ("gateFailed", gate_failed(1)),
        ("gateFailed, another", gate_failed(2)),
        ("repairIntended", repair()),
        ("repairPassed", Event::RepairPassed { left: vec![] }),
        ("repairFailed", repair_failed()),
        ("writtenBack", Event::WrittenBack { consumers: [(shop(), fingerprint("o"))].into() }),
        (
            "writerNamed",
            Event::WriterNamed {
                consumer: shop(),
                by: "ada@example.com".into(),
                written: at(8),
                action: "write".into(),
            },
        ),
        ("writerUnknown", Event::WriterUnknown { consumers: [shop()].into(), detail: "403".into() }),
        ("traced", Event::Traced { regeneration: Some("c-1".into()), consumers: [].into() }),
        ("oldKeyTried", Event::OldKeyTried { fingerprint: fingerprint("p"), calls: 1, fate: Fate::Refused }),
        ("concluded", Event::Concluded { finished: true }),
        ("evidenceKept", Event::EvidenceKept { name: "2026/01/1.json".into(), sha256: "0".into() }),
    ]
}

fn letter(column: usize) -> char {
    char::from_digit(u32::try_from(column).unwrap(), 36).unwrap()
}

fn reason_letter(n: usize) -> char {
    ('a'..='z').chain('A'..='Z').nth(n).unwrap()
}

/// Written out, so that a change of the table is a change here.
#[test]
fn every_pair_of_a_state_and_an_event_fits_or_is_refused_for_a_reason() {
    let mut lines: Vec<String> =
        states().iter().enumerate().map(|(n, (name, _))| format!("{} {name}", letter(n))).collect();
    let mut reasons: Vec<Condition> = Vec::new();
    let mut rows = Vec::new();
    for (name, event) in events() {
        let cell = |(_, journal): &(&str, Journal)| {
            let mut after = journal.clone();
            let Err(illegal) = after.apply(event.clone(), at(9)) else { return '+' };
            assert_eq!(after, *journal, "{name}: what is refused changes nothing");
            let known = reasons.iter().position(|reason| *reason == illegal.unmet).unwrap_or_else(|| {
                reasons.push(illegal.unmet);
                reasons.len() - 1
            });
            reason_letter(known)
        };
        let cells: String = states().iter().map(cell).collect();
        assert!(cells.contains('+') || name.contains(','), "{name} fits no state");
        rows.push(format!("{name:24} {cells}"));
    }
    let columns: String = (0..states().len()).map(letter).collect();
    lines.push(format!("{:24} {columns}", ""));
    lines.extend(rows);
    let reasons = reasons.iter().enumerate();
    lines.extend(reasons.map(|(n, reason)| format!("{} {reason:?}", reason_letter(n))));
    insta::assert_snapshot!(lines.join("\n"), @r"
    0 never seen
    1 at rest
    2 held
    3 verified
    4 unrepaired
    5 an app in sight
    6 an app out of sight
    7 blind
    8 an app missing
    9 many watches
    a intended
    b accepted
    c accepted, no more told
    d operation lost
    e being given out
    f reported to be held
    g waited for
    h a wave with a gate
    i a wave rolled back
    j a wave held back
    k a repair with a gate
    l a repair that failed
    m replaced
    n to be proved
                             0123456789abcdefghijklmn
    adopted                  +aaaaaaaaaaaaaaaaaaaaaaa
    keyChanged               b+++++++++cccc++++++++++
    keyChanged, same         bdddddddddccccdddddddd++
    recovered                beee+eeeeeeeeeeeeeeeeeee
    consumersSeen            b+++++++++++++++++++++++
    consumersBlurred         bffff+ffffffffffffffffff
    consumersMissing, true   b+++++++g+++++++++++++++
    consumersMissing, false  bggggggg+ggggggggggggggg
    taken                    b+h+++++++++++hhh+++++++
    left                     bi+iiiiiiiiiii+++iiiiiii
    blinded                  b++++++j++++++++++++++++
    sighted                  bkkkkkk+kkkkkkkkkkkkkkkk
    rotationRequested        b+++++++++++++++++++++++
    watchAsked               +++++++++l++++++++++++++
    watchAsked, backwards    mmmmmmmmmmmmmmmmmmmmmmmm
    heard                    b+++++++++++++++++++++++
    unblocked                ++++++++++++++++++++++++
    regenerationIntended     b+h+++++++nnnnhhh+++++++
    regenerationAccepted     booooooooo+pppoooooooooo
    operationLost            bqqqqqqqqqq+qqqqqqqqqqqq
    regenerated              booooooooo++++oooooooooo
    regenerated, same        boooooooooddddoooooooooo
    regenerationFailed       booooooooo++++oooooooooo
    verified                 b++r++++++nnnn++++++++++
    verificationRefused      b++r++++++nnnn++++++++++
    repointIntended          b+++++++++s+s+++++++++++
    repointed                bttttttttttttt+ttttttttt
    repointed, the other     bttttttttttttttttttttttt
    reported                 ++++++++++++++++++++++++
    reported, of no key      ++++++++++++++++++++++++
    reported, of an app      uuuuuuuuuuuuuuuuuuuuuuuu
    acknowledged             b+++++++++++++++++++++vv
    acknowledged, of no key  bvvvvvvvvvvvvvvvvvvvvvvv
    acknowledged, of an app  buuuuuuuuuuuuuuuuuuuuuuu
    readersAcknowledged      b+w+++++++++++www+++++vv
    readersAcknowledged, x   bvvvvvvvvvvvvvvvvvvvvvvv
    readersAcknowledged, not bxxxxxxxxxxxxxxxxxxxxxxx
    externalAwaited, false   byyyyyyyyyyyyyyy+yyyyyyy
    externalAwaited          bz+zzzzzzzzzzz++yzzzzzzz
    paused                   ++++++++++++++++++++++++
    paused, over             mmmmmmmmmmmmmmmmmmmmmmmm
    resumed                  ++++++++++++++++++++++++
    approved                 b+++++++++++++++++++++vv
    approved, over           bmmmmmmmmmmmmmmmmmmmmmmm
    approved, of no key      bvvvvvvvvvvvvvvvvvvvvvvv
    waveIntended             b+++++++++s+s+++++A+++++
    waveHeldBack             b++++++++++++++++++B++++
    gatePassed               bCCCCCCCCCCCCCCCC+CCCCCC
    gatePassed, another      bCCCCCCCCCCCCCCCCCCCCCCC
    gateFailed               bCCCCCCCCCCCCCCCC+CCCCCC
    gateFailed, another      bCCCCCCCCCCCCCCCCCCCCCCC
    repairIntended           b+++++++++++++++++++++++
    repairPassed             bDDDDDDDDDDDDDDDDDDD+DDD
    repairFailed             bDDDDDDDDDDDDDDDDDDD+DDD
    writtenBack              b+++++++++++++++++++++++
    writerNamed              b+++++++++++++++++++++++
    writerUnknown            b+++++++++++++++++++++++
    traced                   bEEE+EEEEE+++++EEEEEEE+E
    oldKeyTried              bFFFFFFFFFFFFFFFFFFFFF+F
    concluded                bEEE+EEEEEnnnn+EEEEEEE+E
    evidenceKept             bGGGGGGGGGGGGGGGGGGGGGG+
    a NeverSeen
    b Seen
    c NotBeingReplaced
    d AnotherKey
    e Unrepaired
    f AppsInSight
    g News
    h NotHeld
    i Held
    j InSight
    k Blind
    l Room
    m InOrder
    n NoneInFlight
    o InFlight
    p NotAccepted
    q HasOperation
    r NotVerified
    s Stays
    t BeingGivenOut
    u External
    v Current
    w LeftByAll
    x NotExternal
    y NewsOfWait
    z HeldToWait
    A NoGateFailed
    B NewsOfWave
    C GateOpen
    D RepairOpen
    E ChangeOpen
    F FateOpen
    G Unproved
    ");
}

#[test]
fn each_condition_of_each_event_refuses_by_itself() {
    let mut never_alone = BTreeSet::new();
    for (name, event) in events().iter().filter(|(name, _)| !name.contains(',')) {
        for condition in conditions(event) {
            let mut alone = false;
            for (_, other) in events().iter().filter(|(other, _)| other.split(',').next() == Some(name)) {
                alone |= states().iter().any(|(_, journal)| {
                    conditions(other)
                        .iter()
                        .all(|one| one.is_met(journal, other, at(9)) != (one == condition))
                });
            }
            if !alone {
                never_alone.insert(format!("{name}: {condition:?}"));
            }
        }
    }
    // Of a service that was never seen nothing else is known either, so those fail together there.
    let not_by_itself = |line: &&String| !line.ends_with(": Seen");
    assert_eq!(never_alone.iter().filter(not_by_itself).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_table_of_the_docs_has_each_event() {
    let rows: BTreeSet<&str> = include_str!("../legal.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .flat_map(|line| line.split(" | ").next().unwrap_or_default().trim_matches('`').split("`, `"))
        .collect();
    let missing: Vec<&str> = events()
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.contains(',') && !rows.contains(name))
        .collect();
    assert_eq!(
        missing,
        ["consumersSeen", "rotationRequested", "watchAsked", "heard", "unblocked", "paused", "resumed"]
    );
}
