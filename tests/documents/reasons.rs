//! Every reason, ending, error and finding that an operator may read stands in `docs/operate.md`, and nothing stands there
//! that the program no longer says.
//!
//! The lists here have a match without a wildcard beside them, so that a new variant does not compile until it is listed.

use chrono::{DateTime, TimeDelta, Utc};
use rekey_core::journal::{AfterGate, Event, Fate, Journal, Pause, Report};
use rekey_core::model::{
    AppId, ConsumerId, Key, KeyType, KeyValueId, Malformed, PerKey, SecretId, ServiceId,
};
use rekey_core::plan::{
    Awaited, BlockedBy, CutOff, Decision, Due, Execution, External, Gated, Part, ReferenceFault,
    SettingFault, Snapshot, Step, Unknown, Unseen, WaitFor, WavesDiffer, Whereabouts, standing,
};
use rekey_core::policy::Policy;
use signalr_rekey::azure::arm::{ArmErrorKind, Barrier};
use signalr_rekey::doctor::Check;
use signalr_rekey::engine::RunError;
use signalr_rekey::report::{Ending, InWords};
use signalr_rekey::store::StoreError;

use super::markdown::{Document, codes, fits};
use super::{root, sources};

const PRIMARY: KeyType = KeyType::Primary;

fn operate() -> Document {
    Document::read("docs/operate.md")
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn app() -> ConsumerId {
    AppId::new("s", "g", "web", None).into()
}

/// What the tables under a heading say in their first column.
fn told_under(heading: &str) -> Vec<String> {
    operate().rows(heading).iter().flat_map(|row| codes(&row[0])).collect()
}

/// Each text is in the tables under the heading, and each line of the tables is one of the texts.
fn assert_both_ways(heading: &str, texts: &[String]) {
    let patterns = told_under(heading);
    for text in texts {
        assert!(patterns.iter().any(|pattern| fits(pattern, text)), "not under {heading:?}: {text}");
    }
    for pattern in &patterns {
        assert!(pattern.matches(|sign: char| sign.is_alphabetic()).count() >= 6, "{pattern} fits anything");
        assert!(texts.iter().any(|text| fits(pattern, text)), "the program does not say {pattern:?}");
    }
}

fn external(id: &str) -> ConsumerId {
    id.parse().unwrap()
}

fn awaited() -> Vec<Awaited> {
    let one = |id: &str, owner: Option<&str>| Awaited {
        consumer: external(id),
        since: now(),
        late: now(),
        owner: owner.map(ToOwned::to_owned),
        ticket: owner.map(|_| "https://tickets.example/7".to_owned()),
    };
    vec![one("reporter:iis-01", None), one("manual:partner-gateway", Some("Ada"))]
}

fn due() -> Due {
    Due { key_type: PRIMARY, key: Key::new("a key").fingerprint(), since: now() }
}

fn waits() -> Vec<WaitFor> {
    let job = "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/jobs/nightly".parse().unwrap();
    let job = ConsumerId::ContainerApp(job);
    let execution =
        Execution { job, name: "nightly-x".into(), began: Some(now()), until: now(), told: false };
    let secret = ConsumerId::KeyVaultSecret(SecretId::new("v.vault.azure.net", "chat").unwrap());
    let readers = Unseen { consumer: secret, since: now(), until: now() };
    let all = vec![
        WaitFor::Grace(PRIMARY),
        WaitFor::Executions { key_type: PRIMARY, who: vec![execution] },
        WaitFor::Readers { key_type: PRIMARY, who: vec![readers] },
        WaitFor::Operation(PRIMARY),
        WaitFor::LostOperation(PRIMARY),
        WaitFor::Acceptance(PRIMARY),
        WaitFor::RegenerateAgain { key_type: PRIMARY, detail: "it said so".into() },
        WaitFor::Window,
        WaitFor::Freeze,
        WaitFor::Gate(Gated::Wave(1)),
        WaitFor::Gate(Gated::Repaired),
        WaitFor::BetweenWaves(2),
        WaitFor::Announced(PRIMARY),
        WaitFor::Pause(Pause { at: now(), until: now(), by: "ada".into(), why: "an audit".into() }),
        WaitFor::Approval { due: due(), expired: None },
        WaitFor::Approval { due: due(), expired: Some(now()) },
        WaitFor::Home { home: PRIMARY, held: Box::new(WaitFor::Window) },
        WaitFor::External { key_type: PRIMARY, who: awaited(), compromised: false },
        WaitFor::External { key_type: PRIMARY, who: awaited(), compromised: true },
    ];
    for wait in &all {
        match wait {
            WaitFor::Grace(_)
            | WaitFor::Executions { .. }
            | WaitFor::Readers { .. }
            | WaitFor::Operation(_)
            | WaitFor::LostOperation(_)
            | WaitFor::Acceptance(_)
            | WaitFor::RegenerateAgain { .. }
            | WaitFor::Window
            | WaitFor::Freeze
            | WaitFor::Gate(_)
            | WaitFor::BetweenWaves(_)
            | WaitFor::Announced(_)
            | WaitFor::Pause(_)
            | WaitFor::Approval { .. }
            | WaitFor::Home { .. }
            | WaitFor::External { .. } => {}
        }
    }
    all
}

/// One of those, with somebody to ask.
fn others(id: &str) -> External {
    let (owner, ticket) = (Some("Ada".to_owned()), Some("https://tickets.example/7".to_owned()));
    External { id: external(id), within: std::time::Duration::from_secs(60), owner, ticket }
}

fn report() -> Report {
    Report { fingerprint: Key::new("a key").fingerprint(), since: now(), at: now(), by: None }
}

fn unknowns() -> Vec<Unknown> {
    let name = || "ASetting".to_owned();
    let setting = |fault| Unknown::Setting { app: app(), name: name(), fault };
    let secret = || ConsumerId::KeyVaultSecret(SecretId::new("v.vault.azure.net", "chat").unwrap());
    let id = |rest: &str| format!("/subscriptions/s/resourceGroups/g/providers/{rest}");
    let container_app =
        || ConsumerId::ContainerApp(id("Microsoft.App/containerApps/chat-api").parse().unwrap());
    let static_web_app =
        || ConsumerId::StaticWebApp(id("Microsoft.Web/staticSites/chat-pages").parse().unwrap());
    let key_value = || KeyValueId::new("https://s.azconfig.io", "chat", None).unwrap();
    let reader = |name| {
        let (app, to, why) = (app(), key_value(), "it is so".to_owned());
        Unknown::KeyValueReference { app, name, to, why, passing: false }
    };
    let all = vec![
        Unknown::Unreadable { app: app(), detail: "it said so".into(), passing: false },
        Unknown::Unreadable {
            app: static_web_app(),
            detail: "its app settings held a key when they were last read, and Azure answers now that there are none at all: x"
                .into(),
            passing: false,
        },
        Unknown::Unreadable { app: secret(), detail: "it said so".into(), passing: false },
        Unknown::NoConsumer { app: secret() },
        Unknown::Unreadable {
            app: ConsumerId::KeyValue(key_value()),
            detail: "it said so".into(),
            passing: false,
        },
        Unknown::NoConsumer { app: ConsumerId::KeyValue(key_value()) },
        others("reporter:iis-01").never_reported(),
        others("manual:partner-gateway").never_reported(),
        others("reporter:iis-01").stale(&report()),
        others("manual:partner-gateway").stale(&report()),
        Unknown::NeverSeen { app: app(), meant: None },
        Unknown::NeverSeen { app: app(), meant: Some(app()) },
        Unknown::NeverSeen { app: app(), meant: Some(AppId::new("s", "other", "shop", None).into()) },
        Unknown::Vanished { app: app(), whereabouts: Whereabouts::Moved(app()), held: vec![] },
        Unknown::Vanished {
            app: app(),
            whereabouts: Whereabouts::Unclear("it said so".into()),
            held: vec![],
        },
        Unknown::NoConsumer { app: app() },
        Unknown::Reference {
            app: app(),
            name: name(),
            fault: ReferenceFault::Other,
            why: "it is so".into(),
            passing: false,
        },
        reader(name()),
        reader(key_value().to_string()),
        setting(SettingFault::KeyVaultReference),
        setting(SettingFault::MistypedReference),
        setting(SettingFault::Missing),
        setting(SettingFault::NotOurs),
        setting(SettingFault::KeyInOtherText),
        setting(SettingFault::Unnamed),
        setting(SettingFault::AppConfigurationReference),
        Unknown::OnlyReferences { app: app(), names: vec![name()] },
        setting(SettingFault::StaleKeyInOtherText),
        setting(SettingFault::Placeholder),
        setting(SettingFault::Locked),
        setting(SettingFault::InvalidString(Malformed::Port)),
        setting(SettingFault::OtherServicesHost),
        setting(SettingFault::InTemplate),
        Unknown::Unreadable { app: container_app(), detail: "it said so".into(), passing: false },
        Unknown::Unreadable { app: static_web_app(), detail: "it said so".into(), passing: false },
        Unknown::NoConsumer { app: container_app() },
        Unknown::NoConsumer { app: static_web_app() },
        Unknown::Reference {
            app: container_app(),
            name: name(),
            fault: ReferenceFault::Other,
            why: "it is so".into(),
            passing: false,
        },
    ];
    for unknown in &all {
        match unknown {
            Unknown::Unreadable { .. }
            | Unknown::NeverSeen { .. }
            | Unknown::Vanished { whereabouts: Whereabouts::Moved(_) | Whereabouts::Unclear(_), .. }
            | Unknown::NoConsumer { .. }
            | Unknown::Reference { .. }
            | Unknown::KeyValueReference { .. }
            | Unknown::OnlyReferences { .. }
            | Unknown::NeverReported { .. }
            | Unknown::ExternalStale { .. } => {}
            Unknown::Setting { fault, .. } => match fault {
                SettingFault::KeyVaultReference
                | SettingFault::AppConfigurationReference
                | SettingFault::MistypedReference
                | SettingFault::Missing
                | SettingFault::NotOurs
                | SettingFault::Unnamed
                | SettingFault::KeyInOtherText
                | SettingFault::StaleKeyInOtherText
                | SettingFault::InTemplate
                | SettingFault::Placeholder
                | SettingFault::Locked
                | SettingFault::InvalidString(_)
                | SettingFault::OtherServicesHost => {}
            },
        }
    }
    all
}

fn unhealthy(then: AfterGate) -> BlockedBy {
    BlockedBy::Unhealthy { wave: 1, to: PRIMARY, then, detail: "it said so".into() }
}

fn blocks() -> Vec<BlockedBy> {
    let all = vec![
        BlockedBy::Unknown(unknowns()),
        BlockedBy::KeyRefused { key_type: PRIMARY, since: now(), detail: "it said so".into() },
        BlockedBy::RegenerationFails { key_type: PRIMARY, again: now(), detail: "it said so".into() },
        unhealthy(AfterGate::RollBack),
        unhealthy(AfterGate::Stop),
        BlockedBy::UnhealthyBefore { wave: 1, detail: "it said so".into() },
        BlockedBy::WavesDiffer(vec![WavesDiffer {
            waves: vec![(app(), 1), (external("manual:gateway"), 2)],
            by: vec![],
        }]),
        BlockedBy::NeverOpens { opens: None },
        BlockedBy::NeverOpens { opens: Some(now()) },
        BlockedBy::NotApproved(due()),
        BlockedBy::JournalDisagrees,
        BlockedBy::ExternalLate { key_type: PRIMARY, who: awaited(), others: vec![], compromised: false },
        BlockedBy::ExternalLate { key_type: PRIMARY, who: awaited(), others: awaited(), compromised: true },
    ];
    for blocked in &all {
        match blocked {
            BlockedBy::Unknown(_)
            | BlockedBy::KeyRefused { .. }
            | BlockedBy::RegenerationFails { .. }
            | BlockedBy::Unhealthy { .. }
            | BlockedBy::UnhealthyBefore { .. }
            | BlockedBy::WavesDiffer(_)
            | BlockedBy::NeverOpens { .. }
            | BlockedBy::NotApproved(_)
            | BlockedBy::JournalDisagrees
            | BlockedBy::ExternalLate { .. } => {}
        }
    }
    all
}

/// Of decisions, those with which a run ends: what is to be done is done.
pub(super) fn endings() -> Vec<Ending> {
    let waiting = Decision::Waiting { reason: waits()[0].clone(), until: now() };
    let reason = WaitFor::External { key_type: PRIMARY, who: awaited(), compromised: false };
    let awaiting = Decision::Waiting { reason, until: now() };
    let reason = WaitFor::Approval { due: due(), expired: None };
    let asking = Decision::Waiting { reason, until: now() };
    let all = vec![
        Ending::Decided(awaiting),
        Ending::Decided(asking),
        Ending::Decided(Decision::Settled { next: Some(now()) }),
        Ending::Decided(Decision::Settled { next: None }),
        Ending::Decided(waiting),
        Ending::Decided(Decision::Blocked(BlockedBy::JournalDisagrees)),
        Ending::Repaired,
        Ending::Known,
        Ending::OutOfTime { cut_off: vec![] },
        Ending::OutOfTime { cut_off: vec![CutOff::Unchecked] },
        Ending::Recorded,
        Ending::HandedOver { holder: "another".into() },
        Ending::Awaited { until: now() },
        Ending::Unseen(vec![Unknown::Unreadable { app: app(), detail: "it said so".into(), passing: true }]),
        Ending::Unseen(vec![Unknown::Reference {
            app: app(),
            name: "ASetting".into(),
            fault: ReferenceFault::Awaited,
            why: "it is so".into(),
            passing: true,
        }]),
        Ending::Stopped,
        Ending::Busy { holder: "another".into(), until: now(), cut_off: vec![] },
        Ending::Busy { holder: "another".into(), until: now(), cut_off: vec![CutOff::Unchecked] },
        Ending::Postponed { until: now() },
        Ending::Unwatched { at: now() },
        Ending::NeverFinished { ending: Box::new(Ending::OutOfTime { cut_off: vec![] }), runs: 2 },
        Ending::Unavailable("it said so".into()),
        Ending::Failed("it said so".into()),
    ];
    for ending in &all {
        match ending {
            Ending::Decided(
                Decision::Settled { .. } | Decision::Waiting { .. } | Decision::Blocked(_) | Decision::Do(_),
            )
            | Ending::Repaired
            | Ending::Known
            | Ending::OutOfTime { .. }
            | Ending::Recorded
            | Ending::HandedOver { .. }
            | Ending::Awaited { .. }
            | Ending::Unseen(_)
            | Ending::Stopped
            | Ending::Busy { .. }
            | Ending::Postponed { .. }
            | Ending::Unwatched { .. }
            | Ending::NeverFinished { .. }
            | Ending::Unavailable(_)
            | Ending::Failed(_) => {}
        }
    }
    all
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn words<T: InWords>(all: &[T]) -> Vec<String> {
    all.iter().map(InWords::in_words).collect()
}

#[test]
fn every_ending_is_explained() {
    assert_both_ways("How a run ends", &texts(&endings()));
    let notices = Document::read("docs/notices.md").text;
    let start = notices.find("`ending` is one of").expect("the members of a message are explained");
    let sentence = notices[start..].split("`apps`").next().unwrap();
    for ending in endings() {
        assert!(sentence.contains(&format!("`{}`", ending.name())), "{}", ending.name());
    }
}

#[test]
fn every_reason_to_wait_is_explained() {
    assert_both_ways("What is waited for", &words(&waits()));
}

#[test]
fn every_reason_to_be_blocked_is_explained() {
    let others = blocks().into_iter().filter(|blocked| !matches!(blocked, BlockedBy::Unknown(_)));
    let all = [words(&unknowns()), others.map(|blocked| blocked.in_words()).collect()].concat();
    // The sentence on a refused key is long; the document has its beginning.
    let heading = "What blocks";
    let patterns: Vec<String> = told_under(heading);
    let begins = |pattern: &String, text: &str| fits(&format!("{pattern}…"), text);
    for text in &all {
        assert!(patterns.iter().any(|pattern| begins(pattern, text)), "not under {heading:?}: {text}");
    }
    let explained = |pattern: &String| all.iter().any(|text| begins(pattern, text));
    let quoted = |pattern: &String| pattern.contains(' ') && pattern.len() > 20;
    assert_eq!(
        patterns.iter().filter(|pattern| !explained(pattern)).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    assert!(patterns.iter().all(quoted), "{patterns:?}");
    let unknown = BlockedBy::Unknown(unknowns()).in_words();
    assert!(
        codes(&operate().prose())
            .iter()
            .any(|code| fits(code, &format!("blocked: {unknown}")) && code.len() > 30)
    );
}

/// A journal of the first sight of a service and of these events, and what it says of a step that is still to be done.
fn tried(events: Vec<Event>, step: Step) -> String {
    let keys = PerKey::from_fn(|key_type| Key::new(key_type.as_str()).fingerprint());
    let (mut journal, policy) = (Journal::default(), Policy::default());
    let seen = Snapshot::of_keys(now(), keys.clone());
    journal.apply(Event::Adopted { keys }, now()).unwrap();
    let later = now() + TimeDelta::hours(1);
    for event in events {
        journal.apply(event, later).unwrap();
    }
    let then = later + TimeDelta::hours(1);
    standing(&seen, &journal, &Decision::Do(step), &policy, then).unwrap().in_words()
}

#[test]
fn everything_that_was_tried_in_vain_is_explained() {
    let (key_type, detail) = (PRIMARY, || "it said so".to_owned());
    let failed = Event::RegenerationFailed { detail: detail(), lasting: true };
    let texts = [
        tried(vec![Event::RegenerationIntended { key_type }, failed], Step::Regenerate(key_type)),
        tried(vec![Event::VerificationRefused { key_type, detail: detail() }], Step::Verify(key_type)),
        tried(
            vec![Event::RepointIntended { key_type }],
            Step::Repoint { to: key_type, consumers: vec![], repair: false, part: Part::All },
        ),
    ];
    let part = Part::Wave { number: 1, waits: true };
    let held_back = tried(
        vec![Event::WaveHeldBack { number: 1, detail: detail() }],
        Step::Repoint { to: key_type, consumers: vec![], repair: false, part },
    );
    let repaired =
        vec![Event::RepairIntended { apps: vec![app()] }, Event::RepairFailed { detail: detail() }];
    let not_back = tried(repaired, Step::Gate(Gated::Repaired));
    assert_both_ways("What failed before", &[&texts[..], &[held_back, not_back]].concat());
}

/// One of each event, and both sorts of those that have two.
pub(super) fn events() -> Vec<Event> {
    let fingerprint = || Key::new("a key").fingerprint();
    let detail = || "it said so".to_owned();
    let request = |compromised| Event::RotationRequested { compromised, noticed: false };
    let approved =
        |noticed| Event::Approved { fingerprint: fingerprint(), until: now(), by: "ada".into(), noticed };
    let moved = |repaired| Event::Repointed { key_type: PRIMARY, apps: vec![app()], repaired };
    let gate_failed = |then| Event::GateFailed { number: 1, detail: detail(), then };
    let all = vec![
        Event::Adopted { keys: PerKey::from_fn(|_| fingerprint()) },
        Event::KeyChanged { key_type: PRIMARY, fingerprint: fingerprint() },
        Event::Recovered {},
        Event::AppsSeen { apps: [(app(), vec![])].into(), dictionaries: [].into(), executions: [].into() },
        Event::AppsBlurred { apps: [app()].into() },
        Event::AppsMissing { missing: true },
        Event::AppsMissing { missing: false },
        Event::Taken { key_type: PRIMARY },
        Event::Left { key_type: PRIMARY },
        Event::Blinded {},
        Event::Sighted {},
        request(false),
        request(true),
        Event::WatchAsked { from: now(), until: now(), keys: None },
        Event::Heard { call: 1 },
        Event::Unblocked {},
        Event::RegenerationIntended { key_type: PRIMARY },
        Event::RegenerationAccepted { operation: None, promised: None },
        Event::OperationLost {},
        Event::Regenerated { fingerprint: fingerprint(), confirmed: true },
        Event::RegenerationFailed { detail: detail(), lasting: true },
        Event::Verified { key_type: PRIMARY },
        Event::VerificationRefused { key_type: PRIMARY, detail: detail() },
        Event::RepointIntended { key_type: PRIMARY },
        moved(false),
        moved(true),
        Event::Reported { consumer: external("reporter:iis-01"), fingerprint: fingerprint() },
        Event::Acknowledged {
            consumer: external("manual:partner-gateway"),
            fingerprint: fingerprint(),
            by: "ada".into(),
        },
        Event::ReadersAcknowledged { consumer: app(), fingerprint: fingerprint(), by: "ada".into() },
        Event::WaveIntended { number: 1, key_type: PRIMARY, apps: vec![app()] },
        Event::WaveHeldBack { number: 1, detail: detail() },
        Event::GatePassed { number: 1, left: vec![] },
        gate_failed(AfterGate::RollBack),
        gate_failed(AfterGate::Stop),
        gate_failed(AfterGate::Report),
        Event::RepairIntended { apps: vec![app()] },
        Event::RepairPassed { left: vec![] },
        Event::RepairFailed { detail: detail() },
        Event::WrittenBack { consumers: [(app(), fingerprint())].into() },
        Event::WriterNamed {
            consumer: app(),
            by: "ada@example.com".into(),
            written: now(),
            action: "Microsoft.Web/sites/config/write".into(),
        },
        Event::WriterUnknown { consumers: [app()].into(), detail: detail() },
        Event::Traced { regeneration: Some("c-1".into()), consumers: [(app(), "c-2".into())].into() },
        old_key_tried(Fate::Refused),
        old_key_tried(Fate::StillAccepted),
        old_key_tried(Fate::NotAsked),
        old_key_tried(Fate::NotKnown { why: Some("it said so".into()) }),
        Event::Concluded { finished: true },
        Event::Concluded { finished: false },
        Event::EvidenceKept { name: "2026/01/a.json".into(), sha256: "0".into() },
        Event::EvidenceBegun { found: "2026/01/a.json".into() },
        Event::Paused { until: now(), by: "ada".into(), why: "an audit".into() },
        Event::Resumed { by: "ada".into() },
        approved(false),
        approved(true),
        Event::ExternalAwaited { key_type: PRIMARY, awaited: true, who: vec![external("reporter:iis-01")] },
        Event::ExternalAwaited { key_type: PRIMARY, awaited: false, who: vec![] },
    ];
    for event in &all {
        match event {
            Event::Adopted { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Approved { .. }
            | Event::KeyChanged { .. }
            | Event::Recovered {}
            | Event::AppsSeen { .. }
            | Event::AppsBlurred { .. }
            | Event::AppsMissing { .. }
            | Event::Taken { .. }
            | Event::Left { .. }
            | Event::Blinded {}
            | Event::Sighted {}
            | Event::RotationRequested { .. }
            | Event::WatchAsked { .. }
            | Event::Heard { .. }
            | Event::Unblocked {}
            | Event::RegenerationIntended { .. }
            | Event::RegenerationAccepted { .. }
            | Event::OperationLost {}
            | Event::Regenerated { .. }
            | Event::RegenerationFailed { .. }
            | Event::Verified { .. }
            | Event::VerificationRefused { .. }
            | Event::RepointIntended { .. }
            | Event::Repointed { .. }
            | Event::Reported { .. }
            | Event::Acknowledged { .. }
            | Event::ReadersAcknowledged { .. }
            | Event::WaveIntended { .. }
            | Event::WaveHeldBack { .. }
            | Event::GatePassed { .. }
            | Event::GateFailed { .. }
            | Event::RepairIntended { .. }
            | Event::RepairPassed { .. }
            | Event::RepairFailed { .. }
            | Event::WrittenBack { .. }
            | Event::WriterNamed { .. }
            | Event::WriterUnknown { .. }
            | Event::Traced { .. }
            | Event::OldKeyTried { .. }
            | Event::Concluded { .. }
            | Event::EvidenceKept { .. }
            | Event::EvidenceBegun { .. }
            | Event::ExternalAwaited { .. } => {}
        }
    }
    all
}

#[test]
fn every_event_of_the_journal_is_explained() {
    let patterns = told_under("What a log line tells");
    for event in events() {
        let text = event.in_words();
        assert!(patterns.iter().any(|pattern| fits(pattern, &text)), "not explained: {text}");
    }
}

fn old_key_tried(fate: Fate) -> Event {
    Event::OldKeyTried { fingerprint: Key::new("k").fingerprint(), calls: 2, fate }
}

fn instance(name: &str) -> Box<ServiceId> {
    Box::new(ServiceId::new("s", "g", name))
}

#[test]
fn every_error_of_the_storage_is_explained() {
    let mut journal = Journal::default();
    let illegal = journal.apply(Event::Verified { key_type: PRIMARY }, now()).unwrap_err();
    let all = vec![
        StoreError::Changed,
        StoreError::Held { holder: "another".into(), until: now(), heard: 0 },
        StoreError::StrangeLease { holder: "another".into(), claims: now(), until: now() },
        StoreError::Unreadable { name: "a/b/c.json".into(), detail: "it said so".into() },
        StoreError::OfAnother { name: "a/b/c.json".into(), found: instance("c"), wanted: instance("d") },
        StoreError::TwoJournals { old: "a/b/c.json".into(), new: "a/b/signalr/c.json".into() },
        StoreError::OtherEvidence { name: "2026/01/a.json".into() },
        StoreError::NoEvidence { why: "it said so".into(), passes: true },
        StoreError::Unavailable("it said so".into()),
        StoreError::from(illegal),
    ];
    for error in &all {
        match error {
            StoreError::Changed
            | StoreError::Held { .. }
            | StoreError::StrangeLease { .. }
            | StoreError::Unreadable { .. }
            | StoreError::OfAnother { .. }
            | StoreError::TwoJournals { .. }
            | StoreError::OtherEvidence { .. }
            | StoreError::NoEvidence { .. }
            | StoreError::Unavailable(_)
            | StoreError::Refused(_)
            | StoreError::Illegal(_) => {}
        }
    }
    let patterns = told_under("Errors of the journal and the storage");
    // A refusal is made by an answer of the storage alone; its unit test has the sentence.
    let refused = "the storage st refuses the journal: it is so (403 Code, no); the service was not touched. If apps are cut off, …";
    // What the storage's clock tells of ours.
    let clocks = [3, -3].map(|hours| RunError::Clock { ahead: TimeDelta::hours(hours) }.to_string());
    let all = [texts(&all), vec![refused.to_owned()], clocks.to_vec()].concat();
    for text in all.clone() {
        let fitting = patterns.iter().filter(|pattern| fits(&format!("{pattern}…"), &text)).count();
        assert_eq!(fitting, 1, "{text}");
    }
    assert_eq!(patterns.len(), all.len());
}

/// What the advice of an error of Azure Resource Manager begins with; an error itself is made by a request alone.
fn advice(kind: ArmErrorKind) -> &'static [&'static str] {
    match kind {
        ArmErrorKind::Throttled { .. } => &["at the earliest"],
        ArmErrorKind::Conflict => &["another operation is at work on it"],
        ArmErrorKind::Forbidden => {
            &["there; a new role assignment can take hours to take effect", "which this is linked to"]
        }
        ArmErrorKind::Gone => &[
            "there is no such secret",
            "there is no such vault",
            "it does not exist: correct its id",
            "Azure no longer knows the operation",
        ],
        ArmErrorKind::OutcomeUnknown => &["it may or may not have taken effect"],
        ArmErrorKind::Unauthenticated => &["check the identity: a managed identity in Azure"],
        ArmErrorKind::OutOfTime => &["nothing was changed; try again with more time"],
        ArmErrorKind::Unavailable => &["nothing was changed; try again, as the next run does"],
        ArmErrorKind::Barred(Barrier::Lock) => &["a read-only lock forbids this"],
        ArmErrorKind::Barred(Barrier::DisabledSubscription) => {
            &["the subscription is disabled and read-only"]
        }
        ArmErrorKind::Barred(Barrier::UnregisteredProvider) => &["register the resource provider"],
        ArmErrorKind::Barred(Barrier::Policy) => &["an Azure Policy forbids this"],
        ArmErrorKind::Barred(Barrier::DenyAssignment) => &["a deny assignment forbids this"],
        ArmErrorKind::Barred(Barrier::UnknownSubscription) => &["has no such subscription"],
        ArmErrorKind::Barred(Barrier::OtherTenant) => &["belongs to another tenant than the subscription"],
        ArmErrorKind::Barred(Barrier::NoKeys) => &["access keys are disabled (disableLocalAuth), which"],
        ArmErrorKind::Barred(Barrier::ContentShare) => &["content share is not usable"],
        ArmErrorKind::Barred(Barrier::VaultFirewall) => {
            &["the vault's network rules do not let this process in"]
        }
        ArmErrorKind::Barred(Barrier::VaultPrivate) => &["takes no calls from public networks"],
        ArmErrorKind::Barred(Barrier::VaultPolicy) => &["the vault uses access policies"],
        ArmErrorKind::Barred(Barrier::SecretDisabled) => &["enable the newest version of the secret"],
        ArmErrorKind::Barred(Barrier::SecretDeleted) => &["the secret was deleted: recover it"],
        ArmErrorKind::Barred(Barrier::StoreFirewall) => &["the store's network rules do not let"],
        ArmErrorKind::Barred(Barrier::KeyValueLocked) => &["the key-value is locked: unlock it"],
        ArmErrorKind::Barred(Barrier::NoKeyValue) => {
            &["the store has no key-value with this key", "there is no such store"]
        }
        ArmErrorKind::Refused => &["trying again will not help"],
        ArmErrorKind::Elsewhere => &["no access token is sent there"],
        ArmErrorKind::Malformed => &["report this, with the correlation id"],
        ArmErrorKind::Page => &["let this process reach Azure Resource Manager directly"],
    }
}

#[test]
fn every_error_of_azure_is_explained() {
    let kinds = [
        ArmErrorKind::Throttled { retry_after: None },
        ArmErrorKind::Conflict,
        ArmErrorKind::Forbidden,
        ArmErrorKind::Gone,
        ArmErrorKind::OutcomeUnknown,
        ArmErrorKind::Unauthenticated,
        ArmErrorKind::OutOfTime,
        ArmErrorKind::Unavailable,
        ArmErrorKind::Barred(Barrier::Lock),
        ArmErrorKind::Barred(Barrier::DisabledSubscription),
        ArmErrorKind::Barred(Barrier::UnregisteredProvider),
        ArmErrorKind::Barred(Barrier::Policy),
        ArmErrorKind::Barred(Barrier::DenyAssignment),
        ArmErrorKind::Barred(Barrier::UnknownSubscription),
        ArmErrorKind::Barred(Barrier::OtherTenant),
        ArmErrorKind::Barred(Barrier::NoKeys),
        ArmErrorKind::Barred(Barrier::ContentShare),
        ArmErrorKind::Barred(Barrier::VaultFirewall),
        ArmErrorKind::Barred(Barrier::VaultPrivate),
        ArmErrorKind::Barred(Barrier::VaultPolicy),
        ArmErrorKind::Barred(Barrier::SecretDisabled),
        ArmErrorKind::Barred(Barrier::SecretDeleted),
        ArmErrorKind::Barred(Barrier::StoreFirewall),
        ArmErrorKind::Barred(Barrier::KeyValueLocked),
        ArmErrorKind::Barred(Barrier::NoKeyValue),
        ArmErrorKind::Refused,
        ArmErrorKind::Elsewhere,
        ArmErrorKind::Malformed,
        ArmErrorKind::Page,
    ];
    let patterns = told_under("Errors of Azure Resource Manager");
    let source = sources("src/report/text");
    let all: Vec<_> = kinds.iter().flat_map(|kind| advice(*kind)).collect();
    for words in &all {
        assert!(source.contains(*words), "the program does not say {words:?}");
        assert_eq!(patterns.iter().filter(|pattern| pattern.contains(*words)).count(), 1, "{words:?}");
    }
    assert_eq!(patterns.len(), all.len());
}

/// Lines that no value prints alone: each part of theirs between what is variable is in the program.
#[test]
fn other_lines_are_said_by_the_program() {
    let sources = sources("src");
    let mut parts = 0;
    let events = words(&events());
    let is_event = |pattern: &String| events.iter().any(|event| fits(pattern, event));
    let headings =
        ["What commands say", "What a log line tells", "Errors of the configuration", "Errors of the agent"];
    for heading in headings {
        for pattern in told_under(heading).iter().filter(|pattern| !is_event(pattern)) {
            for part in pattern.split('…').map(|part| part.trim_matches([' ', ';', ':', ',', '.', '(', ')']))
            {
                let said = sources.contains(part) || VARIABLE.contains(&part);
                assert!(part.len() < 4 || said, "the program does not say {part:?} of {pattern:?}");
                parts += 1;
            }
        }
    }
    assert!(parts > 50, "{parts}");
}

/// Parts that the program puts together from several.
const VARIABLE: [&str; 6] = [
    "key: cannot regenerate a key",
    "cannot find rekey.toml in",
    "keys are checked every 10s from",
    "the work that overran has ended well",
    "has failed",
    "internal error at",
];

#[test]
fn every_check_of_the_doctor_is_explained() {
    let all = [
        Check::Settings,
        Check::Environment,
        Check::Identity,
        Check::Permission,
        Check::Instance,
        Check::LocalAuth,
        Check::Storage,
        Check::Consumer,
        Check::KeyVault,
        Check::AppConfiguration,
        Check::Unconfigured,
        Check::DataPlane,
        Check::Schedule,
        Check::Durations,
        Check::Windows,
    ];
    for check in all {
        match check {
            Check::Settings
            | Check::Environment
            | Check::Identity
            | Check::Permission
            | Check::Instance
            | Check::LocalAuth
            | Check::Storage
            | Check::Consumer
            | Check::KeyVault
            | Check::AppConfiguration
            | Check::Unconfigured
            | Check::DataPlane
            | Check::Schedule
            | Check::Durations
            | Check::Windows => {}
        }
    }
    assert_eq!(told_under("What the doctor finds"), texts(&all));
}

#[test]
fn every_alert_is_explained() {
    // As Microsoft's compiler evaluates infra/, with the code published.
    let deployed = std::fs::read_to_string(root().join("tests/infra/second.json")).unwrap();
    let deployed: serde_json::Value = serde_json::from_str(&deployed).unwrap();
    let resources = deployed["predictedResources"].as_array().unwrap().iter();
    let rules = resources.filter(|of| of["type"] == "Microsoft.Insights/scheduledQueryRules");
    let titles = rules.map(|rule| rule["properties"]["displayName"].as_str().unwrap().to_owned());
    let titles: Vec<String> = titles.collect();
    assert!(titles.len() >= 3, "{titles:?}");
    assert_eq!(told_under("Alerts"), titles);
}
